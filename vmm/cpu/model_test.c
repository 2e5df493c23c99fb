/* Unit tests of model.c and models.c: the words of --cpu, and that the models' data is whole. */
#include "vmm/cpu/model_rig.h"
#include "vmm/cpu/models.h"

/* ---- words ---- */

START_TEST(every_word_is_understood)
{
	ck_assert_int_eq(
		model_spec_parse(&spec,
				 "epyc-milan,+avx512f,-pcid,x2apic=off,sse4a=on,vendor=intel,phys-bits=40,"
				 "hypervisor=on,kvm=off,nested=off,enforce=off",
				 &e),
		0);
	ck_assert_str_eq(spec.name, "EPYC-Milan");
	ck_assert_uint_eq(spec.nr_wishes, 4);
	ck_assert_str_eq(spec.wish[0].feature->name, "avx512f");
	ck_assert(spec.wish[0].on && !spec.wish[1].on && !spec.wish[2].on && spec.wish[3].on);
	ck_assert_int_eq(spec.vendor, 1 + CPUID_INTEL);
	ck_assert_uint_eq(spec.phys_bits, 40);
	ck_assert(!spec.no_hypervisor && spec.no_kvm && !spec.nested);
	ck_assert_int_eq(spec.enforce, ENFORCE_OFF);
}
END_TEST

START_TEST(model_may_be_left_out)
{
	ck_assert_int_eq(model_spec_parse(&spec, "+avx2", &e), 0);
	ck_assert_str_eq(spec.name, "host");
	ck_assert_int_eq(model_spec_parse(&spec, "vendor=amd,-avx2", &e), 0);
	ck_assert_str_eq(spec.name, "host");
	ck_assert_int_eq(spec.vendor, 1 + CPUID_AMD);
}
END_TEST

START_TEST(one_word_stands_for_another)
{
	ck_assert_int_eq(model_spec_parse(&spec, "host,+vmx", &e), 0);
	ck_assert(spec.nested);
	ck_assert_int_eq(model_spec_parse(&spec, "host,-hypervisor", &e), 0);
	ck_assert(spec.no_hypervisor);
	ck_assert_int_eq(model_spec_parse(&spec, "max", &e), 0);
	ck_assert(spec.nested);
	ck_assert_int_eq(model_spec_parse(&spec, "max,nested=off", &e), 0);
	ck_assert(!spec.nested);
	ck_assert_int_eq(model_spec_parse(&spec, "host,enforce", &e), 0);
	ck_assert_int_eq(spec.enforce, ENFORCE_ON);
	ck_assert_int_eq(model_spec_parse(&spec, "Haswell-noTSX", &e), 0);
	ck_assert_str_eq(spec.name, "Haswell");
	ck_assert_uint_eq(spec.nr_wishes, 2);
	ck_assert(!spec.wish[0].on && !spec.wish[1].on);
	ck_assert_int_eq(model_spec_parse(&spec, "host,+sse3,pni=on", &e), 0);
	ck_assert_uint_eq(spec.nr_wishes, 1);
}
END_TEST

static const struct {
	const char *arg, *want;
} bad[] = {
	{ "", "expected MODEL[,+FEATURE]" },
	{ ",+avx", "there is nothing at its beginning" },
	{ "host,", "there is nothing after a comma" },
	{ "host,,+avx", "there is nothing after a comma" },
	{ "hsot", "there is no such model; nearest is host, and known are host, max, host-model, x86-64-v1" },
	{ "EPYC-Turin", "--cpu EPYC-Turin: there is no such model" },
	{ "Skylake", "nearest is Skylake-Server" },
	{ "Hasswell", "nearest is Haswell" },
	{ "Foo", "--cpu Foo: there is no such model; known are host" },
	{ "h", "--cpu h: there is no such model; known are host" },
	{ "EPYC-Mi", "nearest is EPYC-Milan" },
	{ "host,+foo", "unknown feature 'foo'; names are those" },
	{ "xyzzyplugh", "there is no such model; known are host" },
	{ "a_name_of_a_model_that_is_longer_than_any_model_has", "there is no such model" },
	{ "host,+avx521f", "unknown feature 'avx521f'; nearest is avx512f" },
	{ "host,-xyzzyplugh", "unknown feature 'xyzzyplugh'; names are those in /proc/cpuinfo" },
	{ "host,+", "unknown feature ''" },
	{ "host,avx2", "'avx2' alone says nothing; write +avx2 or -avx2" },
	{ "host,EPYC", "unexpected 'EPYC'; expected +FEATURE" },
	{ "host,avx2=yes", "--cpu avx2=yes: expected on or off" },
	{ "host,avx2=", "expected on or off" },
	{ "host,axv2=on", "unknown feature 'axv2'; nearest is avx2" },
	{ "host,xyzzyplugh=1", "unknown key 'xyzzyplugh'; known are vendor=, phys-bits=" },
	{ "host,vendor=via", "--cpu vendor=via: expected intel or amd" },
	{ "host,phys-bits=31", "--cpu phys-bits=31: expected a number of bits from 32 to 52" },
	{ "host,phys-bits=53", "expected a number of bits from 32 to 52" },
	{ "host,phys-bits=46x", "expected a number of bits" },
	{ "host,hypervisor=maybe", "--cpu hypervisor=maybe: expected on or off" },
	{ "host,kvm=off,kvm=on", "kvm= is there twice" },
	{ "host,+avx,-avx", "+avx and -avx contradict each other" },
	{ "host,sse3=on,pni=off", "+pni and -pni contradict each other" },
	{ "host,+ht", "ht follows the shape and cannot be chosen" },
	{ "host,-topoext", "topoext follows the shape" },
	{ "host,+osxsave", "osxsave is switched by the guest; choose xsave" },
	{ "host,+svm,nested=off", "nested=off contradicts +svm" },
	{ "host,-vmx,nested=on", "nested=on contradicts -vmx" },
	{ "host,kvm=off,+kvm_pv_eoi", "kvm=off hides all that KVM tells, so +kvm_pv_eoi cannot be" },
	{ "host,hypervisor=off,+kvmclock", "hypervisor=off hides all that KVM tells" },
	{ "host,hypervisor=off,+hypervisor", "hypervisor=off contradicts +hypervisor" },
	{ "host,+"
	  "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhhiiiiiiiiiijjjjjjjj"
	  "jj"
	  "kkkkkkkkkkllllllllllmmmmmmmmmmnnnnnnnnnn",
	  "is longer than any feature's name" },
};

START_TEST(wrong_words_are_refused_with_a_sentence)
{
	ck_assert_int_eq(model_spec_parse(&spec, bad[_i].arg, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, bad[_i].want), "'%s' does not have '%s'", e.text, bad[_i].want);
	ck_assert(e.usage);
}
END_TEST

START_TEST(more_wishes_than_there_is_room_for_are_refused)
{
	char arg[4096] = "host";
	unsigned int n = 0;

	for (const struct feature *f = features; n <= MODEL_MAX_WISHES; f++)
		if (f->leaf == 1 || f->leaf == 7) {
			if (!strcmp(f->name, "osxsave") || !strcmp(f->name, "ospke") ||
			    !strcmp(f->name, "ht"))
				continue;
			strcat(strcat(arg, ",-"), f->name);
			n++;
		}
	ck_assert_int_eq(model_spec_parse(&spec, arg, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "more than 64 features"));
}
END_TEST

/* ---- data ---- */

START_TEST(names_are_listed_with_a_line_about_each)
{
	unsigned int n = 0;

	ck_assert_str_eq(model_name(0), "host");
	for (; model_name(n); n++) {
		ck_assert_ptr_nonnull(model_about(n));
		ck_assert_uint_lt(strlen(model_name(n)), sizeof(spec.name));
		ck_assert_int_eq(model_spec_parse(&spec, model_name(n), &e), 0);
		ck_assert_str_eq(spec.name, model_name(n));
	}
	ck_assert_uint_eq(n, 3 + 4 + 10 + 4);
	ck_assert_ptr_null(model_about(n));
	ck_assert_ptr_null(model_name(UINT32_MAX));
}
END_TEST

START_TEST(line_about_a_model_has_its_numbers_and_its_vendor)
{
	for (const struct model *m = models; m->name; m++) {
		char numbers[64];

		snprintf(numbers, sizeof(numbers), "family %u, model %u, stepping %u", m->family, m->model,
			 m->stepping);
		ck_assert_msg(m->vendor == MODEL_ANY || strstr(m->about, numbers), "%s: %s", m->name,
			      m->about);
		ck_assert_msg(m->vendor != MODEL_INTEL || !strncmp(m->about, "Intel, ", 7), "%s", m->name);
		ck_assert_msg(m->vendor != MODEL_AMD || !strncmp(m->about, "AMD, ", 5), "%s", m->name);
		ck_assert_uint_lt(strlen(m->brand), 48);
		ck_assert(!m->base || model_find(m->base) < m); /* chains end */
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("model");
	TCase *c = tcase_create("model");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, every_word_is_understood);
	tcase_add_test(c, model_may_be_left_out);
	tcase_add_test(c, one_word_stands_for_another);
	tcase_add_loop_test(c, wrong_words_are_refused_with_a_sentence, 0, ARRAY_SIZE(bad));
	tcase_add_test(c, more_wishes_than_there_is_room_for_are_refused);
	tcase_add_test(c, names_are_listed_with_a_line_about_each);
	tcase_add_test(c, line_about_a_model_has_its_numbers_and_its_vendor);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
