/*
 * Unit tests of model_build.c, model_host.c, model_table.c and model_xsave.c: model, wishes and host in, CPUID table
 * out. Hosts are made of described models; that real hosts look like them is not proved here.
 */
#include "vmm/cpu/model_rig.h"
#include "vmm/cpu/models.h"

/* What a table must always be: leaf D and the features tell the same, nothing lacks what it needs, limits reach. */
static void check_whole(const char *what)
{
	static const struct {
		const char *feature;
		uint64_t mask;
	} owners[] = {
		{ "avx", 1ull << 2 }, { "mpx", 3ull << 3 },       { "avx512f", 7ull << 5 },
		{ "pku", 1ull << 9 }, { "amx_tile", 3ull << 17 },
	};
	struct kvm_cpuid_entry2 d0 = reg(0xd, 0), d1 = reg(0xd, 1);
	uint64_t expected = has("xsave") ? 3 : 0;
	uint32_t area = has("xsave") ? 576 : 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(owners); i++)
		expected |= has(owners[i].feature) ? owners[i].mask : 0;
	ck_assert_msg((d0.eax | (uint64_t)d0.edx << 32) == expected, "%s: XCR0 %x, not %llx", what, d0.eax,
		      (unsigned long long)expected);
	for (uint32_t i = 2; i < 63; i++) {
		const struct kvm_cpuid_entry2 *c = cpuid_get(&out, 0xd, i);

		if (!(expected >> i & 1)) {
			ck_assert_msg(!c || c->ecx & 1, "%s: component %u without its feature", what, i);
			continue;
		}
		ck_assert_msg(c && c->eax && c->ebx >= 576 && !(c->ecx & 1), "%s: component %u", what, i);
		area = MAX(area, c->ebx + c->eax);
	}
	ck_assert_msg(d0.ecx == area, "%s: %u bytes, not %u", what, d0.ecx, area);
	ck_assert_uint_eq(d0.ebx, has("xsave") ? 576 : 0);
	ck_assert(has("xsaves") || !(d1.ecx | d1.edx));
	ck_assert_uint_eq(!cpuid_get(&out, 0x1d, 0), !has("amx_tile"));
	ck_assert_uint_eq(!cpuid_get(&out, 0x8000000a, 0), !has("svm"));
	for (const struct feature *f = features; f->name; f++) {
		char word[32];

		if (!feature_get(&out, f))
			continue;
		for (const char *at = f->needs; at && *at; at += strlen(word) + (at[strlen(word)] == ' ')) {
			snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, " "), at);
			ck_assert_msg(has(word), "%s: %s without %s", what, f->name, word);
		}
		if (f->leaf < 0x40000000)
			ck_assert_msg(reg(0, 0).eax >= f->leaf, "%s: %s past leaf 0", what, f->name);
		if (f->leaf >= 0x80000000)
			ck_assert_msg(reg(0x80000000, 0).eax >= f->leaf, "%s: %s past leaf 80000000", what,
				      f->name);
		if (f->leaf == 7)
			ck_assert_msg(reg(7, 0).eax >= f->index, "%s: %s past leaf 7", what, f->name);
	}
}

/* ---- named models ---- */

/* Some features of each, and some that it must not have. */
static const struct {
	const char *model, *has, *not ;
	uint32_t signature;
	enum cpuid_style style;
} samples[] = {
	{ "Nehalem", "sse4_2 popcnt cx16 vme", "aes avx rdtscp pclmulqdq", 0x106a3, CPUID_INTEL },
	{ "Westmere", "aes pclmulqdq arat", "avx xsave", 0x206c1, CPUID_INTEL },
	{ "SandyBridge", "avx xsaveopt rdtscp", "f16c rdrand", 0x206a1, CPUID_INTEL },
	{ "IvyBridge", "f16c rdrand smep erms", "avx2 movbe", 0x306a9, CPUID_INTEL },
	{ "Haswell", "avx2 bmi2 fma movbe rtm hle pcid", "adx rdseed smap", 0x306c4, CPUID_INTEL },
	{ "Broadwell", "adx rdseed smap 3dnowprefetch", "avx512f clwb", 0x306d2, CPUID_INTEL },
	{ "Skylake-Server", "avx512vl clwb pku pdpe1gb", "avx512_vnni mpx", 0x50654, CPUID_INTEL },
	{ "Cascadelake-Server", "avx512_vnni spec_ctrl ssbd", "gfni", 0x50656, CPUID_INTEL },
	{ "Icelake-Server", "gfni vaes la57 avx512_vbmi2", "amx_tile sha_ni", 0x606a6, CPUID_INTEL },
	{ "SapphireRapids", "amx_int8 avx512_fp16 avx_vnni xfd", "svm sse4a hybrid vmx", 0x806f8,
	  CPUID_INTEL },
	{ "EPYC", "sse4a sha_ni topoext cr8_legacy", "clwb svm npt monitor pcid", 0x800f12, CPUID_AMD },
	{ "EPYC-Rome", "clwb rdpid ibpb wbnoinvd", "pku erms", 0x830f10, CPUID_AMD },
	{ "EPYC-Milan", "pku erms fsrm pcid", "avx512f vaes", 0xa00f11, CPUID_AMD },
	{ "EPYC-Genoa", "avx512_bf16 auto_ibrs la57", "svm vnmi hle", 0xa10f11, CPUID_AMD },
	{ "x86-64-v1,vendor=intel", "sse2 lm", "pni cx16", 0xf61, CPUID_INTEL },
	{ "x86-64-v2,vendor=amd", "sse4_2 cx16 popcnt lahf_lm", "xsave avx", 0xa00f11, CPUID_AMD },
	{ "x86-64-v3,vendor=intel", "avx2 fma movbe abm bmi2", "avx512f aes", 0xf61, CPUID_INTEL },
	{ "x86-64-v4,vendor=amd", "avx512vl avx512cd", "avx512_vnni", 0xa00f11, CPUID_AMD },
};

static void must_all(const char *names, bool there)
{
	char word[32];

	for (const char *at = names; *at; at += strlen(word) + (at[strlen(word)] == ' ')) {
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, " "), at);
		ck_assert_msg(has(word) == there, "%s", word);
	}
}

START_TEST(model_has_its_features_and_numbers)
{
	char vendor[13];

	host_is("EPYC-Rome");
	must_describe(samples[_i].model);
	check_whole(samples[_i].model);
	must_all(samples[_i].has, true);
	must_all(samples[_i].not, false);
	must_all("x2apic hypervisor tsc_deadline_timer kvmclock kvm_pv_eoi kvmclock_stable_bit", true);
	ck_assert_uint_eq(reg(1, 0).eax, samples[_i].signature);
	ck_assert_int_eq(cpuid_style(&out), samples[_i].style);
	cpuid_vendor(&out, vendor);
	ck_assert_str_eq(vendor, samples[_i].style == CPUID_AMD ? "AuthenticAMD" : "GenuineIntel");
	ck_assert_uint_eq(reg(0x80000000, 0).ebx, samples[_i].style == CPUID_AMD ? reg(0, 0).ebx : 0);
	ck_assert_uint_eq(reg(0x80000001, 0).eax, samples[_i].style == CPUID_AMD ? samples[_i].signature : 0);
}
END_TEST

START_TEST(described_model_is_the_same_wherever_one_looks)
{
	static struct cpuid_table first;
	const char *name = samples[_i].model;

	host_is("SapphireRapids");
	must_describe(name);
	first = out;
	host_is("EPYC-Rome");
	host.is_kvm = false;
	host.tsc_deadline = false;
	must_describe(name);
	ck_assert_uint_eq(out.nent, first.nent);
	ck_assert_mem_eq(out.entry, first.entry, out.nent * sizeof(out.entry[0]));
}
END_TEST

START_TEST(model_on_a_host_like_it_runs_as_it_is_described)
{
	const char *name = samples[_i].model;

	host_is(name);
	must_build(name);
	check_whole(name);
	ck_assert_uint_eq(out.nent, host_table.nent);
	ck_assert_mem_eq(out.entry, host_table.entry, out.nent * sizeof(out.entry[0]));
	ck_assert_uint_eq(notes.nr, 0);
}
END_TEST

START_TEST(brand_limits_and_widths_are_the_models)
{
	char brand[49];

	host_is("SapphireRapids");
	must_build("Icelake-Server");
	cpuid_brand(&out, brand);
	ck_assert_str_eq(brand, "Intel Xeon Processor (Icelake)");
	ck_assert_uint_eq(reg(0, 0).eax, 0xd);
	ck_assert_uint_eq(reg(0x80000000, 0).eax, 0x80000008);
	ck_assert_uint_eq(reg(0x80000008, 0).eax, 57 << 8 | 46);
	must_build("Haswell");
	ck_assert_uint_eq(reg(0x80000008, 0).eax, 48 << 8 | 46);
	ck_assert_uint_eq(reg(1, 0).ebx, 0x800);
	ck_assert_uint_eq(reg(7, 0).eax, 0);
}
END_TEST

START_TEST(amd_repeats_leaf_1_and_intel_does_not)
{
	host_is("EPYC-Milan");
	must_build("EPYC-Milan,-mmx");
	ck_assert_uint_eq(reg(0x80000001, 0).edx & 0x0183f3ff, reg(1, 0).edx & 0x0183f3ff);
	ck_assert_uint_eq(reg(0x80000001, 0).edx & 1u << 23, 0);
	host_is("Haswell");
	must_build("host");
	ck_assert_uint_eq(reg(0x80000001, 0).edx & 0x0183f3ff, 0);
}
END_TEST

START_TEST(amx_comes_with_its_leaves)
{
	host_is("SapphireRapids");
	must_build("host");
	ck_assert_uint_eq(reg(0x1d, 1).eax, 0x04002000);
	ck_assert_uint_eq(reg(0x1d, 1).ebx, 0x00080040);
	ck_assert_uint_eq(reg(0x1d, 1).ecx, 16);
	ck_assert_uint_eq(reg(0x1e, 0).ebx, 0x4010);
	must_build("host,-amx_tile");
	check_whole("host,-amx_tile");
	ck_assert_uint_eq(reg(0xd, 0).ecx, 2696);
	must_build("Icelake-Server,+amx_int8");
	check_whole("Icelake-Server,+amx_int8");
	ck_assert_uint_eq(reg(0, 0).eax, 0x1e);
}
END_TEST

/* ---- the host's processor ---- */

START_TEST(host_is_what_kvm_supports_less_nested)
{
	host_is("EPYC-Genoa,nested=on");
	must_build("host");
	check_whole("host");
	must_all("svm npt nrip_save vnmi", false);
	must_all("avx512_bf16 auto_ibrs topoext", true);
	ck_assert_uint_eq(reg(1, 0).eax, 0xa10f11);
	ck_assert_uint_eq(notes.nr, 0);
	host_is("Haswell,nested=on");
	must_build("host");
	ck_assert(!has("vmx"));
}
END_TEST

START_TEST(nested_gives_vmx_or_svm)
{
	host_is("EPYC-Genoa,nested=on");
	must_build("host,nested=on");
	check_whole("host,nested=on");
	must_all("svm npt nrip_save vnmi", true);
	ck_assert_uint_eq(reg(0x8000000a, 0).eax, 1);
	must_build("EPYC-Rome,+svm");
	must_all("svm npt nrip_save", true);
	ck_assert(!has("vnmi"));
	must_build("max");
	ck_assert(has("svm"));
	host_is("Haswell,nested=on");
	must_build("Haswell,nested=on");
	ck_assert(has("vmx"));
}
END_TEST

START_TEST(nested_on_a_host_without_is_refused)
{
	host_is("EPYC-Genoa");
	ck_assert_int_eq(build("host,nested=on", false), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(e.text, "does not offer guests svm"));
	ck_assert_ptr_nonnull(strstr(e.text, "kvm_amd"));
	host_is("Haswell");
	ck_assert_int_eq(build("Haswell,nested=on", false), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(e.text, "vmx"));
	must_build("max");
	ck_assert(!has("vmx"));
	must_build("host,nested=on,enforce=off");
	ck_assert(!has("vmx") && noted("left out, since this host cannot give it: vmx"));
	must_describe("Haswell,nested=on");
	ck_assert(has("vmx") && noted("cannot run --cpu Haswell,nested=on: it lacks vmx"));
}
END_TEST

START_TEST(message_about_nested_has_the_users_words)
{
	host_is("EPYC-Genoa");
	for (int describe = 0; describe < 2; describe++) {
		ck_assert_int_eq(build("host,+vmx", describe), -EINVAL);
		ck_assert_str_eq(e.text, "--cpu +vmx: not a feature of AMD processors; nested=on gives svm");
	}
	ck_assert_int_eq(build("host,+svm", false), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(e.text, "--cpu +svm: this host's KVM does not offer"));
	ck_assert_ptr_nonnull(strstr(e.text, "or leave +svm out"));
	must_describe("host,+svm");
	ck_assert(noted("cannot run --cpu host,+svm: it lacks svm"));
	ck_assert_int_eq(build("host,+npt,vendor=intel", false), -EINVAL);
	ck_assert_str_eq(e.text, "--cpu +npt: not a feature of Intel processors");
	ck_assert_int_eq(build("Haswell,nested=on", false), -ENOTSUP);
	ck_assert_ptr_nonnull(
		strstr(e.text, "--cpu nested=on: this host's processor is not Intel's and has no vmx"));
	host_is("EPYC-Genoa,nested=on");
	must_build("host,+vmx,enforce=off");
	ck_assert(!has("vmx") && !has("svm") &&
		  noted("--cpu +vmx: left out, since it is not a feature of AMD"));
	must_build("host,+vmx,nested=on,enforce=off");
	ck_assert(!has("vmx") && has("svm") && has("npt"));
	host_is("Haswell");
	ck_assert_int_eq(build("host,+svm", false), -EINVAL);
	ck_assert_str_eq(e.text, "--cpu +svm: not a feature of Intel processors; nested=on gives vmx");
}
END_TEST

START_TEST(timer_mode_follows_kvms_timer)
{
	host_is("EPYC-Rome");
	host.tsc_deadline = false;
	must_build("host");
	ck_assert(!has("tsc_deadline_timer") && has("x2apic"));
	must_build("EPYC-Rome");
	ck_assert(!has("tsc_deadline_timer"));
	host.tsc_deadline = true;
	feature_set(&host_table, feature_find("tsc_deadline_timer"), false) == 0 ? (void)0 : ck_abort();
	must_build("host");
	ck_assert(has("tsc_deadline_timer"));
	must_build("host,-x2apic,-tsc_deadline");
	ck_assert(!has("x2apic") && !has("tsc_deadline_timer"));
}
END_TEST

START_TEST(host_known_by_the_instruction_alone_is_cut_to_what_guests_get)
{
	host_is("SapphireRapids,nested=on");
	host.is_kvm = false;
	for (const char *const *n =
		     (const char *const[]){ "monitor", "est", "acpi", "intel_pt", "hwp", "sgx", NULL };
	     *n; n++)
		ck_assert_int_eq(feature_set(&host_table, feature_find(*n), true), 0);
	cpuid_add(&host_table, 5, -1)->eax = 64;
	cpuid_add(&host_table, 0x14, 0)->eax = 1;
	must_describe("host");
	check_whole("host");
	must_all("monitor est acpi intel_pt hwp sgx vmx", false);
	must_all("amx_tile avx512_fp16 x2apic hypervisor tsc_deadline_timer kvmclock arat tsc_adjust", true);
	ck_assert_uint_eq(reg(5, 0).eax, 0);
	ck_assert_ptr_null(cpuid_get(&out, 0x14, 0));
	ck_assert_uint_eq(reg(0, 0).eax, 0x1f);
}
END_TEST

START_TEST(feature_without_its_state_component_is_not_there)
{
	host_is("Icelake-Server");
	cpuid_find(&host_table, 0xd, 0)->eax &= ~0xe0u;
	must_build("host");
	check_whole("host");
	ck_assert(!has("avx512f") && !has("avx512vl") && has("avx2") && has("pku"));
	cpuid_drop(&host_table, 0xd);
	must_build("host");
	check_whole("host");
	ck_assert(!has("xsave") && !has("avx") && has("sse4_2"));
	ck_assert_ptr_null(cpuid_get(&out, 0xd, 0));
}
END_TEST

START_TEST(components_lie_where_the_host_has_them)
{
	host_is("EPYC-Genoa");
	must_build("x86-64-v4,vendor=intel");
	check_whole("x86-64-v4");
	ck_assert_uint_eq(reg(0xd, 5).ebx, 832);
	must_describe("x86-64-v4,vendor=intel");
	ck_assert_uint_eq(reg(0xd, 5).ebx, 1088);
}
END_TEST

START_TEST(supervisor_states_are_the_hosts_and_need_xsaves)
{
	struct kvm_cpuid_entry2 *c;

	host_is("SapphireRapids");
	ck_assert_int_eq(feature_set(&host_table, feature_find("shstk"), true), 0);
	cpuid_find(&host_table, 0xd, 1)->ecx = 1u << 11 | 1u << 12 | 1u << 15;
	for (int i = 11; i <= 12; i++) {
		c = cpuid_add(&host_table, 0xd, i);
		c->eax = 16;
		c->ecx = 1;
	}
	must_build("host");
	check_whole("host");
	ck_assert_uint_eq(reg(0xd, 1).ecx, 3u << 11);
	ck_assert_uint_eq(reg(0xd, 12).eax, 16);
	must_build("host,-xsaves");
	check_whole("host,-xsaves");
	ck_assert_uint_eq(reg(0xd, 1).ecx, 0);
	ck_assert(!has("shstk"));
}
END_TEST

START_TEST(interpreted_ring_0_leaves_out_what_cannot_run_there)
{
	host_is("Icelake-Server");
	host.ring0_interpreted = true;
	must_build("host");
	check_whole("host");
	must_all("cx16 xsave avx avx2 avx512f pku fma vaes", false);
	must_all("sse4_2 aes bmi2", true);
	ck_assert_uint_eq(notes.nr, 1);
	ck_assert(noted("cannot run some instructions there: fma, cx16, xsave"));
	must_build("host,+cx16");
	ck_assert(has("cx16") && !has("xsave"));
	must_build("host,+avx2");
	ck_assert(!has("cx16") && has("avx2"));
	must_build("max");
	ck_assert(has("cx16") && has("avx512f") && notes.nr == 0);
	must_build("Haswell");
	ck_assert(has("cx16") && has("avx2") && notes.nr == 0);
}
END_TEST

/* ---- wishes ---- */

START_TEST(removing_a_feature_removes_what_needs_it)
{
	host_is("Icelake-Server");
	must_build("host,-avx2");
	check_whole("host,-avx2");
	must_all("avx2 avx512f avx512bw avx512_vbmi2", false);
	must_all("avx fma vaes", true);
	ck_assert(noted("-avx2 also removes avx512f, avx512dq"));
	must_build("host,-avx");
	check_whole("host,-avx");
	ck_assert_uint_eq(reg(0xd, 0).eax, 0x203);
	must_build("host,-xsave");
	check_whole("host,-xsave");
	ck_assert_ptr_null(cpuid_get(&out, 0xd, 0));
	must_build("host,-xsave,-avx");
	ck_assert(!noted("removes avx,") && noted("-xsave also removes fma"));
	must_build("host,-sse4a");
	ck_assert_uint_eq(notes.nr, 0);
}
END_TEST

START_TEST(adding_a_feature_adds_what_it_needs)
{
	host_is("Icelake-Server");
	must_build("Nehalem,+vaes");
	check_whole("Nehalem,+vaes");
	must_all("vaes avx aes xsave", true);
	ck_assert(!has("avx2"));
	ck_assert(noted("+vaes also adds aes, xsave, avx"));
	ck_assert_uint_eq(reg(0, 0).eax, 0xd);
	must_build("Nehalem,+vaes,+avx,+aes,+xsave");
	ck_assert_uint_eq(notes.nr, 0);
}
END_TEST

START_TEST(contradictory_wishes_are_refused)
{
	host_is("Icelake-Server");
	ck_assert_int_eq(build("host,+avx512f,-avx2", false), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "+avx512f,-avx2: avx512f needs avx2"));
	ck_assert_int_eq(build("host,-fxsr,+vaes", true), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "vaes needs fxsr"));
	must_build("host,+avx2,-avx512f");
}
END_TEST

/* ---- what the host has not ---- */

START_TEST(missing_features_are_refused_by_name)
{
	host_is("Haswell");
	ck_assert_int_eq(build("Skylake-Server", false), -ENOTSUP);
	for (const char *const *n = (const char *const[]){ "rdseed", "adx", "smap", "avx512f", "avx512vl",
							   "pku", "xsavec", NULL };
	     *n; n++)
		ck_assert_msg(strstr(e.text, *n), "'%s' does not have %s", e.text, *n);
	ck_assert_ptr_nonnull(strstr(e.text, "enforce=off"));
	ck_assert(!e.usage);
	ck_assert_int_eq(build("host,+avx512f", false), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(e.text, "--cpu host,+avx512f: this host cannot give avx512f;"));
	ck_assert_int_eq(build("Skylake-Server,enforce=on", true), -ENOTSUP);
}
END_TEST

START_TEST(error_about_many_features_still_says_what_to_do)
{
	host_is("x86-64-v1,vendor=amd");
	ck_assert_int_eq(build("SapphireRapids", false), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(e.text, "enforce=off leaves that out"));
	ck_assert_ptr_nonnull(strstr(e.text, "pni"));
}
END_TEST

START_TEST(missing_features_are_left_out_when_not_enforced)
{
	host_is("Haswell");
	must_build("Skylake-Server,enforce=off");
	check_whole("Skylake-Server,enforce=off");
	ck_assert(has("avx2") && !has("avx512f"));
	ck_assert(noted("left out, since this host cannot give it: ") && noted("avx512vl"));
	must_describe("Skylake-Server,enforce=off");
	ck_assert(!has("avx512f"));
}
END_TEST

START_TEST(described_model_keeps_what_this_host_lacks)
{
	host_is("Haswell");
	must_describe("Skylake-Server");
	ck_assert(has("avx512f"));
	ck_assert(noted("this host cannot run --cpu Skylake-Server: it lacks avx512f"));
	must_describe("host,+avx512f");
	check_whole("host,+avx512f");
	ck_assert(has("avx512f") && noted("this host cannot run --cpu host,+avx512f: it lacks avx512f"));
}
END_TEST

START_TEST(note_names_a_few_features_and_the_error_all)
{
	host_is("x86-64-v1,vendor=amd");
	must_describe("EPYC-Milan");
	ck_assert(noted("this host cannot run --cpu EPYC-Milan: it lacks pni, pclmulqdq, ssse3, fma, cx16, "
			"pcid, sse4_1, "
			"sse4_2 and "));
	ck_assert(noted(" more") && !noted("avx2"));
	ck_assert_int_eq(build("EPYC-Milan,enforce=on", true), -ENOTSUP);
	ck_assert_msg(strstr(e.text, "avx2") && strstr(e.text, "fsrm") && !strstr(e.text, " more"), "%s",
		      e.text);
	host_is("Haswell");
	must_describe("host,+avx512f,+vaes");
	ck_assert(noted("this host cannot run --cpu host,+avx512f,+vaes: it lacks avx512f, vaes") &&
		  !noted(" more"));
}
END_TEST

/* ---- keys ---- */

START_TEST(hypervisor_and_kvm_can_be_hidden)
{
	host_is("EPYC-Rome");
	must_build("host,kvm=off");
	ck_assert(has("hypervisor"));
	ck_assert_ptr_null(cpuid_get(&out, 0x40000000, 0));
	ck_assert_ptr_null(cpuid_get(&out, 0x40000001, 0));
	must_build("EPYC,hypervisor=off");
	ck_assert(!has("hypervisor"));
	ck_assert_ptr_null(cpuid_get(&out, 0x40000000, 0));
	must_build("host,-kvm-pv-eoi,-kvmclock");
	must_all("kvm_pv_eoi kvmclock kvmclock_old kvmclock_stable_bit", false);
	ck_assert(has("kvm_steal_time"));
	ck_assert_uint_eq(reg(0x40000000, 0).eax, 0x40000001);
	must_build("host,+kvm-hint-dedicated,+kvm-msi-ext-dest-id");
	must_all("kvm_hint_dedicated kvm_msi_ext_dest_id", true);
	must_build("host");
	must_all("kvm_hint_dedicated kvm_msi_ext_dest_id", false);
}
END_TEST

START_TEST(vendor_is_replaced_with_its_leaves)
{
	char vendor[13];

	host_is("EPYC-Genoa");
	cpuid_find(&host_table, 0x80000001, 0)->ebx = 0x40000000; /* package type SP5 */
	must_build("host");
	ck_assert_uint_eq(reg(0x80000001, 0).ebx, 0x40000000);
	must_build("host,vendor=intel");
	ck_assert(!reg(0x80000001, 0).eax && !reg(0x80000001, 0).ebx);
	check_whole("host,vendor=intel");
	cpuid_vendor(&out, vendor);
	ck_assert_str_eq(vendor, "GenuineIntel");
	ck_assert_uint_eq(reg(0x80000000, 0).eax, 0x80000008);
	ck_assert_uint_eq(reg(0x80000000, 0).ebx, 0);
	ck_assert_ptr_null(cpuid_get(&out, 0x80000021, 0));
	ck_assert_uint_eq(reg(0x80000001, 0).edx & 0x0183f3ff, 0);
	ck_assert(!has("topoext") && noted("told of an Intel processor"));
	host_is("SapphireRapids");
	must_build("host,vendor=amd");
	check_whole("host,vendor=amd");
	ck_assert(!has("amx_tile") && !has("amx_int8"));
	ck_assert_uint_le(reg(0, 0).eax, 0x10);
	cpuid_vendor(&out, vendor);
	ck_assert_str_eq(vendor, "AuthenticAMD");
	ck_assert_uint_eq(reg(0x80000000, 0).ebx, reg(0, 0).ebx);
	ck_assert_uint_ge(reg(0x80000000, 0).eax, 0x8000001e);
	ck_assert_uint_eq(reg(0x80000001, 0).eax, reg(1, 0).eax);
	ck_assert_ptr_null(cpuid_get(&out, 2, 0));
}
END_TEST

START_TEST(address_width_is_the_least_of_model_and_host)
{
	host_is("Haswell");
	cpuid_find(&host_table, 0x80000008, 0)->eax = 0x3027;
	must_build("host");
	ck_assert_uint_eq(reg(0x80000008, 0).eax, 48 << 8 | 39);
	must_build("Haswell");
	ck_assert_uint_eq(reg(0x80000008, 0).eax & 0xff, 39);
	must_describe("Haswell");
	ck_assert_uint_eq(reg(0x80000008, 0).eax & 0xff, 46);
	must_build("Haswell,phys-bits=36");
	ck_assert_uint_eq(reg(0x80000008, 0).eax & 0xff, 36);
	ck_assert_int_eq(build("host,phys-bits=40", false), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(
		e.text, "phys-bits=40: this host's physical addresses have 39 bits; expected 32 to 39"));
	must_build("host,phys-bits=40,enforce=off");
	ck_assert_uint_eq(reg(0x80000008, 0).eax & 0xff, 40);
	ck_assert(noted("phys-bits=40 is more than this host's 39"));
	must_describe("host,phys-bits=52");
	ck_assert_uint_eq(reg(0x80000008, 0).eax & 0xff, 52);
}
END_TEST

START_TEST(guests_own_width_stays_only_with_the_hosts)
{
	host_is("EPYC-Genoa");
	cpuid_find(&host_table, 0x80000008, 0)->eax = 0x303934;
	must_build("host");
	ck_assert_uint_eq(reg(0x80000008, 0).eax, 0x303934);
	must_build("host,-la57,phys-bits=40");
	ck_assert_uint_eq(reg(0x80000008, 0).eax, 0x3028);
}
END_TEST

/* ---- host-model ---- */

START_TEST(host_model_is_the_nearest_named_one_with_differences)
{
	host_is("EPYC-Rome,+vaes,+vpclmulqdq,-clwb");
	must_build("host-model");
	check_whole("host-model");
	ck_assert(noted("host-model: EPYC-Rome, with +vaes,+vpclmulqdq,-clwb"));
	ck_assert_uint_eq(notes.nr, 1);
	ck_assert_uint_eq(reg(1, 0).eax, 0x830f10);
	must_all("vaes vpclmulqdq rdpid", true);
	ck_assert(!has("clwb"));
}
END_TEST

START_TEST(host_model_is_the_newest_of_equally_near_ones)
{
	host_is("Nehalem,+pclmulqdq"); /* Westmere has AES, too */
	must_build("host-model");
	ck_assert_str_eq(notes.text[0], "host-model: Westmere, with -aes");
}
END_TEST

START_TEST(host_model_finds_every_model_on_itself)
{
	char want[64];

	if (models[_i].vendor == MODEL_ANY)
		return;
	host_is(models[_i].name);
	must_build("host-model");
	snprintf(want, sizeof(want), "host-model: %s", models[_i].name);
	ck_assert_str_eq(notes.text[0], want);
	ck_assert_mem_eq(out.entry, host_table.entry, out.nent * sizeof(out.entry[0]));
}
END_TEST

/* ---- limits ---- */

START_TEST(empty_and_full_hosts_are_survived)
{
	host_is("EPYC-Rome");
	host_table.nent = 0;
	must_build("host");
	must_build("host-model");
	must_describe("max");
	host_is("EPYC-Rome");
	while (cpuid_add(&host_table, 0x40000100, (int)host_table.nent))
		;
	must_build("EPYC-Rome");
	must_build("host");
	cpuid_drop(&host_table, 0x40000001);
	cpuid_drop(&host_table, 0x40000000);
	while (cpuid_add(&host_table, 0x20000100, (int)host_table.nent))
		;
	ck_assert_int_eq(build("host", false), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(e.text, "more than 256 entries"));
}
END_TEST

START_TEST(notes_past_their_number_are_dropped)
{
	for (unsigned int i = 0; i < MAX_NOTES + 5; i++)
		notes_add(&notes, "note %u", i);
	ck_assert_uint_eq(notes.nr, MAX_NOTES);
	ck_assert_str_eq(notes.text[MAX_NOTES - 1], "note 63");
	notes_fini(&notes);
	ck_assert_uint_eq(notes.nr, 0);
}
END_TEST

static void add_tests(TCase *c, int nr_models)
{
	tcase_add_loop_test(c, model_has_its_features_and_numbers, 0, ARRAY_SIZE(samples));
	tcase_add_loop_test(c, described_model_is_the_same_wherever_one_looks, 0, ARRAY_SIZE(samples));
	tcase_add_loop_test(c, model_on_a_host_like_it_runs_as_it_is_described, 0, ARRAY_SIZE(samples));
	tcase_add_test(c, brand_limits_and_widths_are_the_models);
	tcase_add_test(c, amd_repeats_leaf_1_and_intel_does_not);
	tcase_add_test(c, amx_comes_with_its_leaves);
	tcase_add_test(c, host_is_what_kvm_supports_less_nested);
	tcase_add_test(c, nested_gives_vmx_or_svm);
	tcase_add_test(c, nested_on_a_host_without_is_refused);
	tcase_add_test(c, message_about_nested_has_the_users_words);
	tcase_add_test(c, timer_mode_follows_kvms_timer);
	tcase_add_test(c, host_known_by_the_instruction_alone_is_cut_to_what_guests_get);
	tcase_add_test(c, feature_without_its_state_component_is_not_there);
	tcase_add_test(c, components_lie_where_the_host_has_them);
	tcase_add_test(c, supervisor_states_are_the_hosts_and_need_xsaves);
	tcase_add_test(c, interpreted_ring_0_leaves_out_what_cannot_run_there);
	tcase_add_test(c, removing_a_feature_removes_what_needs_it);
	tcase_add_test(c, adding_a_feature_adds_what_it_needs);
	tcase_add_test(c, contradictory_wishes_are_refused);
	tcase_add_test(c, missing_features_are_refused_by_name);
	tcase_add_test(c, error_about_many_features_still_says_what_to_do);
	tcase_add_test(c, missing_features_are_left_out_when_not_enforced);
	tcase_add_test(c, described_model_keeps_what_this_host_lacks);
	tcase_add_test(c, note_names_a_few_features_and_the_error_all);
	tcase_add_test(c, hypervisor_and_kvm_can_be_hidden);
	tcase_add_test(c, vendor_is_replaced_with_its_leaves);
	tcase_add_test(c, address_width_is_the_least_of_model_and_host);
	tcase_add_test(c, guests_own_width_stays_only_with_the_hosts);
	tcase_add_test(c, host_model_is_the_nearest_named_one_with_differences);
	tcase_add_test(c, host_model_is_the_newest_of_equally_near_ones);
	tcase_add_loop_test(c, host_model_finds_every_model_on_itself, 0, nr_models);
	tcase_add_test(c, empty_and_full_hosts_are_survived);
	tcase_add_test(c, notes_past_their_number_are_dropped);
}

int main(void)
{
	Suite *suite = suite_create("model_build");
	TCase *c = tcase_create("model_build");
	SRunner *sr;
	int failed, nr_models = 0;

	while (models[nr_models].name)
		nr_models++;
	tcase_add_checked_fixture(c, NULL, teardown);
	add_tests(c, nr_models);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
