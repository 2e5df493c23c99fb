/*
 * Unit tests of cpuid.c and cpuid_topology.c without KVM: host table and shape in, guest's leaves out. Two judges:
 * vectors made elsewhere, and a decoder that reads the leaves as Linux does and must find the shape again. What a
 * real Linux prints is test-linux's business.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/cpuid_rig.h"
#include "vmm/cpu/cpuid_vectors.h"

static void teardown(void)
{
	topology_fini(&t);
}

/* ---- vectors ---- */

static const struct cpuid_row *mask_of(enum cpuid_style style, uint32_t leaf)
{
	const struct cpuid_row *m = vector_masks[style];

	while (m->leaf && m->leaf != leaf)
		m++;
	ck_assert_uint_eq(m->leaf, leaf);
	return m;
}

static void text_of(char *text, size_t len, unsigned int vcpu, const struct cpuid_row *m, const struct cpuid_row *r)
{
	snprintf(text, len, "vCPU %u, %x.%u: %08x %08x %08x %08x", vcpu, r->leaf, r->index, r->eax & m->eax, r->ebx & m->ebx,
		 r->ecx & m->ecx, r->edx & m->edx);
}

static void row_fits(enum cpuid_style style, unsigned int vcpu, const struct cpuid_row *r)
{
	const struct cpuid_row *m = mask_of(style, r->leaf);
	struct kvm_cpuid_entry2 c = reg(r->leaf, r->index);
	const struct cpuid_row is = { r->leaf, r->index, c.eax, c.ebx, c.ecx, c.edx };
	char got[96], want[96];

	text_of(got, sizeof(got), vcpu, m, &is);
	text_of(want, sizeof(want), vcpu, m, r);
	ck_assert_str_eq(got, want);
}

START_TEST(leaves_are_those_of_the_vector)
{
	const struct cpuid_vector *v = &vectors[_i];
	unsigned int vcpu = 0;

	host(v->style);
	build(&v->spec);
	for (const struct cpuid_row *r = v->row; r->leaf; r++) {
		if (r->leaf == ROW_NEXT_VCPU) {
			vcpu = r->index;
			ck_assert_uint_eq(t.cpu[vcpu].apic_id, r->eax);
			cpuid_set_place(&table, &t, &t.cpu[vcpu]);
		} else {
			row_fits(v->style, vcpu, r);
		}
	}
}
END_TEST

/* ---- every shape ---- */

static void check_shape(enum cpuid_style style, const struct topology_spec *spec)
{
	bool (*fits)(const struct topo_cpu *p) = style == CPUID_AMD ? amd_fits : intel_fits;
	unsigned int wrong = 0;

	host(style);
	build(spec);
	for (unsigned int i = 0; i < t.nr_cpus; i++) {
		cpuid_set_place(&table, &t, &t.cpu[i]);
		wrong += !fits(&t.cpu[i]);
	}
	ck_assert_msg(!wrong && caches_fit(style == CPUID_AMD ? 0x8000001d : 4),
		      "%u vCPUs are elsewhere with sockets=%u,dies=%u,modules=%u,cores=%u,threads=%u", wrong,
		      t.count[TOPO_PACKAGE], t.count[TOPO_DIE], t.count[TOPO_MODULE], t.count[TOPO_CORE],
		      t.count[TOPO_THREAD]);
	topology_fini(&t);
}

enum { UP_TO = 64 };

static void check_all_shapes(enum cpuid_style style, unsigned int s)
{
	for (unsigned int d = 1; s * d <= UP_TO; d++)
		for (unsigned int m = 1; s * d * m <= UP_TO; m++)
			for (unsigned int c = 1; s * d * m * c <= UP_TO; c++)
				for (unsigned int h = 1; s * d * m * c * h <= UP_TO; h++) {
					const struct topology_spec spec = { .count = { h, c, m, d, s } };

					check_shape(style, &spec);
				}
}

START_TEST(intel_reader_finds_every_shape_again)
{
	check_all_shapes(CPUID_INTEL, (unsigned int)_i);
}
END_TEST

START_TEST(amd_reader_finds_every_shape_again)
{
	check_all_shapes(CPUID_AMD, (unsigned int)_i);
}
END_TEST

/* ---- hosts that lack leaves ---- */

static const uint32_t old_basic[] = { 4, 7, 0xa, 0xb, 0x16, 0x1e };

START_TEST(intel_host_without_1f_tells_plain_shapes_by_b_alone)
{
	const struct topology_spec spec = { .count = { 2, 3, 1, 1, 2 } };

	host_intel(old_basic[_i]);
	build(&spec);
	cpuid_set_place(&table, &t, &t.cpu[11]);
	ck_assert_uint_eq(reg(0, 0).eax, MAX(old_basic[_i], 0xbu));
	ck_assert_ptr_null(cpuid_get(&table, 0x1f, 0)); /* empty or absent, but below leaf 0 it must not be */
	ck_assert(full_decode_fits(0xb, &t.cpu[11]));
}
END_TEST

START_TEST(intel_host_without_1f_gets_it_when_the_shape_needs_it)
{
	const struct topology_spec spec = { .count = { 2, 2, 2, 2, 2 } };

	host_intel(old_basic[_i]);
	build(&spec);
	cpuid_set_place(&table, &t, &t.cpu[31]);
	ck_assert_uint_eq(reg(0, 0).eax, 0x1f);
	ck_assert(full_decode_fits(0x1f, &t.cpu[31]));
}
END_TEST

START_TEST(host_with_more_leaves_than_1f_keeps_them)
{
	const struct topology_spec spec = { .cpus = 2 };

	host_intel(0x20);
	build(&spec);
	cpuid_set_place(&table, &t, &t.cpu[1]);
	ck_assert_uint_eq(reg(0, 0).eax, 0x20);
	ck_assert(full_decode_fits(0x1f, &t.cpu[1]));
}
END_TEST

static const uint32_t amd_basic[] = { 1, 0xd, 0x10, 0x1f, 0x20 };

START_TEST(amd_guest_never_sees_leaf_1f_and_always_80000026)
{
	const struct topology_spec spec = { .count = { 2, 3, 1, 2, 2 } };

	host_amd(amd_basic[_i], 0x8000001f);
	put(0x1f, 0, 0, 0, 0, 0);
	put(4, 0, 0x121, 0, 0, 0);
	build(&spec);
	cpuid_set_place(&table, &t, &t.cpu[23]);
	ck_assert_uint_ge(reg(0, 0).eax, 0xb);
	ck_assert_uint_le(reg(0, 0).eax, 0x10);
	ck_assert_uint_eq(reg(0x80000000, 0).eax, 0x80000026);
	ck_assert_ptr_null(cpuid_get(&table, 0x1f, 0));
	ck_assert_ptr_null(cpuid_get(&table, 4, 0));
	ck_assert(amd_fits(&t.cpu[23]));
}
END_TEST

START_TEST(hygon_is_told_as_amd_is)
{
	host_amd(0x10, 0x80000021);
	table.entry[0].ebx = 0x6f677948; /* "HygonGenuine" */
	table.entry[0].edx = 0x6e65476e;
	table.entry[0].ecx = 0x656e6975;
	ck_assert_int_eq(cpuid_style(&table), CPUID_AMD);
}
END_TEST

START_TEST(other_vendors_are_told_as_intel_is)
{
	host_intel(0xd);
	table.entry[0].ebx = 0x68532020; /* "  Shanghai  " */
	table.entry[0].edx = 0x68676e61;
	table.entry[0].ecx = 0x20206961;
	ck_assert_int_eq(cpuid_style(&table), CPUID_INTEL);
}
END_TEST

START_TEST(host_that_tells_no_caches_gets_plain_ones)
{
	const struct topology_spec spec = { .cpus = 4 };
	enum cpuid_style style = (enum cpuid_style)_i;

	host(style);
	cpuid_drop(&table, style == CPUID_AMD ? 0x8000001d : 4);
	build(&spec);
	ck_assert_uint_eq(t.nr_caches, 4);
	ck_assert(caches_fit(style == CPUID_AMD ? 0x8000001d : 4));
	for (unsigned int i = 0; i < t.nr_caches; i++)
		ck_assert_uint_eq(t.cache[i].bytes, t.cache[i].line * t.cache[i].ways * t.cache[i].sets);
}
END_TEST

START_TEST(host_with_leaf_0_alone_is_survived)
{
	const struct topology_spec spec = { .count = { 2, 2, 1, 2, 2 } };

	host((enum cpuid_style)_i);
	table.nent = 1;
	build(&spec);
	cpuid_set_place(&table, &t, &t.cpu[15]);
	ck_assert(leaf_b_fits(&t.cpu[15]));
}
END_TEST

START_TEST(empty_table_is_survived)
{
	const struct topology_spec spec = { .cpus = 2 };
	char vendor[13], brand[49];

	table.nent = 0;
	build(&spec);
	cpuid_set_place(&table, &t, &t.cpu[1]);
	cpuid_vendor(&table, vendor);
	cpuid_brand(&table, brand);
	ck_assert_str_eq(vendor, "");
	ck_assert_str_eq(brand, "");
	ck_assert_uint_eq(cpuid_phys_bits(&table), 36);
}
END_TEST

START_TEST(full_table_is_refused_with_a_sentence)
{
	const struct topology_spec spec = { .count = { 2, 2, 2, 2, 2 } };

	host((enum cpuid_style)_i);
	while (table.nent < CPUID_MAX_ENTRIES)
		put(0x40000100, (int)table.nent, 0, 0, 0, 0);
	place(&spec);
	ck_assert_int_eq(cpuid_build(&table, &t, &e), -ENOSPC);
	ck_assert_str_ne(e.text, "");
	ck_assert_uint_le(table.nent, CPUID_MAX_ENTRIES);
}
END_TEST

/* ---- caches, features, names ---- */

START_TEST(caches_keep_the_hosts_sizes_and_take_our_sharing)
{
	const struct topology_spec spec = { .cpus = 8 };

	host_intel(0x1f);
	place(&spec);
	ck_assert_uint_eq(t.nr_caches, 4);
	ck_assert_uint_eq(t.cache[0].bytes, 32 * KIB);
	ck_assert_int_eq(t.cache[0].type, CACHE_DATA);
	ck_assert_int_eq(t.cache[1].type, CACHE_INSTRUCTION);
	ck_assert_uint_eq(t.cache[2].bytes, 1 * MIB);
	ck_assert_uint_eq(t.cache[2].ways, 16);
	ck_assert_uint_eq(t.cache[3].bytes, 16 * MIB);
	ck_assert_int_eq(t.cache[2].shared, TOPO_CORE);
	ck_assert_int_eq(t.cache[3].shared, TOPO_DIE);
}
END_TEST

START_TEST(cache_fields_at_their_limits_come_back)
{
	const struct topology_spec spec = { .cpus = 1 };

	host_intel(0xb);
	cpuid_drop(&table, 4);
	put(4, 0, 0x3e3, UINT32_MAX, 0xfffffffe, 2);
	build(&spec);
	ck_assert_uint_eq(t.nr_caches, 1);
	ck_assert_uint_eq(t.cache[0].line, 4096);
	ck_assert_uint_eq(t.cache[0].ways, 1024);
	ck_assert_uint_eq(reg(4, 0).ebx, UINT32_MAX);
	ck_assert_uint_eq(reg(4, 0).ecx, 0xfffffffe);
	ck_assert_uint_eq(reg(4, 0).edx, 2);
	ck_assert_uint_eq(reg(4, 0).eax & 0x3ff, 0x3e3 & 0x3ff);
}
END_TEST

START_TEST(endless_list_of_caches_is_cut)
{
	const struct topology_spec spec = { .cpus = 1 };

	host_intel(0xb);
	cpuid_drop(&table, 4);
	put(4, -1, 0x121, 7u << 22 | 63, 63, 0); /* no index: every sub-leaf is this one */
	place(&spec);
	ck_assert_uint_eq(t.nr_caches, TOPO_MAX_CACHES);
}
END_TEST

START_TEST(what_is_no_topology_stays)
{
	const struct topology_spec spec = { .cpus = 1 };

	host_intel(0x16);
	build(&spec);
	ck_assert_uint_eq(reg(1, 0).ecx, 0x200020);
	ck_assert_uint_eq(reg(0x80000008, 0).ecx, 0);
	ck_assert_uint_eq(reg(0x80000008, 0).eax, 0x302e);
	ck_assert_uint_eq(reg(1, 0).eax, 0x806f8);
	ck_assert_uint_eq(reg(1, 0).ebx & 0xffff, 0x0800);
}
END_TEST

START_TEST(amd_keeps_what_80000008_says_besides_counts)
{
	const struct topology_spec spec = { .cpus = 1 };

	host_amd(0x10, 0x80000021);
	build(&spec);
	ck_assert_uint_eq(reg(0x80000008, 0).ecx & 0xffff0000, 0xffff0000);
}
END_TEST

START_TEST(large_packages_saturate_the_narrow_fields)
{
	const struct topology_spec spec = { .cpus = 300 };

	host((enum cpuid_style)_i);
	build(&spec);
	cpuid_set_place(&table, &t, &t.cpu[299]);
	ck_assert_uint_eq(reg(1, 0).ebx >> 16 & 0xff, 255);
	ck_assert_uint_eq(reg(1, 0).ebx >> 24, 299 & 0xff);
	ck_assert(leaf_b_fits(&t.cpu[299]));
}
END_TEST

START_TEST(vendor_brand_and_width_are_read)
{
	char vendor[13], brand[49];

	host_intel(0x16);
	cpuid_vendor(&table, vendor);
	ck_assert_str_eq(vendor, "GenuineIntel");
	cpuid_brand(&table, brand);
	ck_assert_str_eq(brand, "");
	for (uint32_t i = 0; i < 3; i++)
		put(0x80000002 + i, -1, 0x41414141, 0x42424242, 0x43434343, 0x44444444);
	cpuid_brand(&table, brand);
	ck_assert_str_eq(brand, "AAAABBBBCCCCDDDDAAAABBBBCCCCDDDDAAAABBBBCCCCDDDD");
	ck_assert_uint_eq(cpuid_phys_bits(&table), 46);
}
END_TEST

START_TEST(building_twice_gives_the_same_table)
{
	const struct topology_spec spec = { .count = { 2, 3, 2, 2, 2 } };
	static struct cpuid_table once;

	host((enum cpuid_style)_i);
	build(&spec);
	once = table;
	ck_assert_int_eq(cpuid_build(&table, &t, &e), 0);
	cpuid_set_place(&table, &t, &t.cpu[0]);
	ck_assert_uint_eq(table.nent, once.nent);
	for (uint32_t i = 0; i < once.nent; i++)
		ck_assert_mem_eq(cpuid_get(&table, once.entry[i].function, once.entry[i].index), &once.entry[i],
				 sizeof(once.entry[i]));
}
END_TEST

static void add_tests(TCase *c)
{
	tcase_add_loop_test(c, leaves_are_those_of_the_vector, 0, ARRAY_SIZE(vectors));
	tcase_add_loop_test(c, intel_reader_finds_every_shape_again, 1, UP_TO + 1);
	tcase_add_loop_test(c, amd_reader_finds_every_shape_again, 1, UP_TO + 1);
	tcase_add_loop_test(c, intel_host_without_1f_tells_plain_shapes_by_b_alone, 0, ARRAY_SIZE(old_basic));
	tcase_add_loop_test(c, intel_host_without_1f_gets_it_when_the_shape_needs_it, 0, ARRAY_SIZE(old_basic));
	tcase_add_test(c, host_with_more_leaves_than_1f_keeps_them);
	tcase_add_loop_test(c, amd_guest_never_sees_leaf_1f_and_always_80000026, 0, ARRAY_SIZE(amd_basic));
	tcase_add_test(c, hygon_is_told_as_amd_is);
	tcase_add_test(c, other_vendors_are_told_as_intel_is);
	tcase_add_loop_test(c, host_that_tells_no_caches_gets_plain_ones, CPUID_INTEL, CPUID_AMD + 1);
	tcase_add_loop_test(c, host_with_leaf_0_alone_is_survived, CPUID_INTEL, CPUID_AMD + 1);
	tcase_add_test(c, empty_table_is_survived);
	tcase_add_loop_test(c, full_table_is_refused_with_a_sentence, CPUID_INTEL, CPUID_AMD + 1);
	tcase_add_test(c, caches_keep_the_hosts_sizes_and_take_our_sharing);
	tcase_add_test(c, cache_fields_at_their_limits_come_back);
	tcase_add_test(c, endless_list_of_caches_is_cut);
	tcase_add_test(c, what_is_no_topology_stays);
	tcase_add_test(c, amd_keeps_what_80000008_says_besides_counts);
	tcase_add_loop_test(c, large_packages_saturate_the_narrow_fields, CPUID_INTEL, CPUID_AMD + 1);
	tcase_add_test(c, vendor_brand_and_width_are_read);
	tcase_add_loop_test(c, building_twice_gives_the_same_table, CPUID_INTEL, CPUID_AMD + 1);
}

int main(void)
{
	Suite *suite = suite_create("cpuid");
	TCase *c = tcase_create("cpuid");
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, NULL, teardown);
	add_tests(c);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
