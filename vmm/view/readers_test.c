/*
 * Unit tests of the readers, by the reference's vectors (which were tried on Linux 6.1 and 6.12), and by small
 * tables that bring out one quirk each. What hwloc says was compared with hwloc; Windows could not be asked.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/view/readers.h"
#include "vmm/view/readers_vectors.h"

static struct leaves cpu[VECTOR_CPUS];
static struct reading got;

static void teardown(void)
{
	reading_fini(&got);
}

static struct vector_row row_of_vcpu(const struct reader_vector *v, const struct vector_row *row, uint32_t id)
{
	struct vector_row r = *row;

	switch (r.leaf) {
	case 1:
		r.ebx |= (id & 0xff) << 24;
		break;
	case 0xb:
	case 0x1f:
	case 0x80000026:
		r.edx = id;
		break;
	case 0x8000001e:
		r.eax = id;
		r.ebx = (r.ebx & 0xff00) | (id & ((1u << v->package_bits) - 1)) >> v->thread_bits;
		r.ecx = (r.ecx & ~0xffu) | id >> v->node_bits;
		break;
	default:
		break;
	}
	return r;
}

/* skip: a leaf to leave out, or 0. */
static void fill(const struct reader_vector *v, uint32_t skip)
{
	static struct cpuid_table table;

	for (unsigned int i = 0; i < v->cpus; i++) {
		table.nent = 0;
		for (unsigned int j = 0; j < VECTOR_ROWS; j++) {
			struct vector_row r = row_of_vcpu(v, &v->row[j], v->apic_id[i]);
			struct kvm_cpuid_entry2 *c;

			if ((j && !r.leaf) || (skip && r.leaf == skip))
				continue;
			c = cpuid_add(&table, r.leaf, r.index);
			c->eax = r.eax;
			c->ebx = r.ebx;
			c->ecx = r.ecx;
			c->edx = r.edx;
		}
		leaves_read(&table, v->apic_id[i], &cpu[i]);
	}
}

static const struct reader_vector *vector(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(reader_vectors); i++)
		if (!strcmp(reader_vectors[i].name, name))
			return &reader_vectors[i];
	ck_abort_msg("no vector %s", name);
	return NULL;
}

static void make(enum reader reader, unsigned int nr)
{
	reading_fini(&got);
	ck_assert_int_eq(reading_make(&got, reader, cpu, nr), 0);
}

static void expect_ids(const struct vector_ids *want, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		ck_assert_uint_eq(got.id[READ_PACKAGE][i], want->package[i]);
		ck_assert_uint_eq(got.id[READ_DIE][i], want->die[i]);
		ck_assert_uint_eq(got.id[READ_CORE][i], want->core[i]);
	}
}

static const enum read_set vector_set[VECTOR_SETS] = { READ_PACKAGE, READ_DIE, READ_MODULE, READ_CORE,
						       READ_L1D,     READ_L2,  READ_L3 };

static void expect_sets(const struct reader_vector *v, bool dies, bool modules)
{
	for (unsigned int s = 0; s < VECTOR_SETS; s++) {
		if ((vector_set[s] == READ_DIE && !dies) || (vector_set[s] == READ_MODULE && !modules))
			continue;
		for (unsigned int i = 0; i < v->cpus; i++)
			ck_assert_msg(got.set[vector_set[s]][i] == v->intended[s][i],
				      "%s: %s of vCPU %u: %u, not %u", v->name, read_set_name(vector_set[s]),
				      i, got.set[vector_set[s]][i], v->intended[s][i]);
	}
}

START_TEST(linux_6_1_reads_the_vectors)
{
	const struct reader_vector *v = &reader_vectors[_i];

	fill(v, 0);
	make(READER_LINUX_6_1, v->cpus);
	expect_ids(&v->linux_6_1, v->cpus);
	expect_sets(v, true, false);
}
END_TEST

START_TEST(linux_6_12_reads_the_vectors)
{
	const struct reader_vector *v = &reader_vectors[_i];

	fill(v, 0);
	make(READER_LINUX_6_12, v->cpus);
	expect_ids(&v->linux_6_9, v->cpus);
	expect_sets(v, true, false);
}
END_TEST

/* Dies and modules only where a leaf that this hwloc reads tells them. */
START_TEST(hwloc_reads_the_vectors)
{
	const struct reader_vector *v = &reader_vectors[_i];

	fill(v, 0);
	make(READER_HWLOC_2_9, v->cpus);
	ck_assert_uint_eq(got.quirks, 0);
	expect_sets(v, got.knows[READ_DIE], got.knows[READ_MODULE]);
	make(READER_HWLOC_NEW, v->cpus);
	ck_assert_uint_eq(got.quirks, 0);
	expect_sets(v, got.knows[READ_DIE], got.knows[READ_MODULE]);
}
END_TEST

START_TEST(windows_reads_the_vectors)
{
	const struct reader_vector *v = &reader_vectors[_i];

	fill(v, 0);
	make(READER_WINDOWS, v->cpus);
	expect_sets(v, got.knows[READ_DIE], got.knows[READ_MODULE]);
}
END_TEST

START_TEST(legacy_leaves_tell_the_same_packages)
{
	const struct reader_vector *v = &reader_vectors[_i];

	fill(v, 0);
	make(READER_LEGACY, v->cpus);
	ck_assert_mem_eq(got.set[READ_PACKAGE], v->intended[0], v->cpus * sizeof(uint16_t));
}
END_TEST

START_TEST(hwloc_knows_dies_by_the_leaf_it_can_read)
{
	const struct reader_vector *intel = vector("intel-2x2x1x3x2"), *amd = vector("amd-2x2x1x3x2");

	fill(intel, 0);
	make(READER_HWLOC_2_9, intel->cpus);
	ck_assert_uint_eq(got.sets[READ_DIE], 4);
	fill(amd, 0);
	make(READER_HWLOC_2_9, amd->cpus);
	ck_assert(!got.knows[READ_DIE]);
	make(READER_HWLOC_NEW, amd->cpus);
	ck_assert_uint_eq(got.sets[READ_DIE], 4);
}
END_TEST

/* The reference's linux_6_9plus_without_80000026: the package's number, but the die's vCPUs. */
START_TEST(without_80000026_linux_6_12_numbers_dies_by_package)
{
	const struct reader_vector *v = vector("amd-2x2x1x3x2");

	fill(v, 0x80000026);
	make(READER_LINUX_6_12, v->cpus);
	ck_assert_uint_eq(got.leaf, 0xb);
	ck_assert_mem_eq(got.id[READ_DIE], got.id[READ_PACKAGE], v->cpus * sizeof(uint32_t));
	ck_assert_uint_eq(got.sets[READ_DIE], 4);
}
END_TEST

/* One socket of four dies of one core: facts 5.1 (ii). */
START_TEST(linux_6_1_takes_single_core_dies_for_packages)
{
	static const struct vector_row rows[] = {
		{ 0, -1, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69 },
		{ 1, -1, 0x806f8, 0x00040000, 0x00200000, 0x10000000 },
		{ 0x1f, 0, 0, 1, 0x100, 0 },
		{ 0x1f, 1, 0, 1, 0x201, 0 },
		{ 0x1f, 2, 2, 4, 0x502, 0 },
	};
	struct reader_vector v = { .name = "dies", .cpus = 4, .package_bits = 2, .apic_id = { 0, 1, 2, 3 } };

	memcpy(v.row, rows, sizeof(rows));
	fill(&v, 0);
	make(READER_LINUX_6_1, 4);
	ck_assert_uint_eq(got.sets[READ_PACKAGE], 4);
	ck_assert_uint_eq(got.id[READ_PACKAGE][3], 0);
	ck_assert_uint_eq(got.quirks, READ_QUIRK_SINGLE);
	make(READER_LINUX_6_12, 4);
	ck_assert_uint_eq(got.sets[READ_PACKAGE], 1);
	ck_assert_uint_eq(got.sets[READ_DIE], 4);
	ck_assert_uint_eq(got.quirks, 0);
}
END_TEST

/* Two dies of two modules of two cores: facts 5.1 (i). */
START_TEST(linux_6_1_counts_modules_as_dies_when_there_are_both)
{
	static const struct vector_row rows[] = {
		{ 0, -1, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69 },
		{ 1, -1, 0x806f8, 0x00080000, 0x00200000, 0x10000000 },
		{ 0x1f, 0, 0, 1, 0x100, 0 },
		{ 0x1f, 1, 1, 2, 0x201, 0 },
		{ 0x1f, 2, 2, 4, 0x302, 0 },
		{ 0x1f, 3, 3, 8, 0x503, 0 },
	};
	struct reader_vector v = {
		.name = "both", .cpus = 8, .package_bits = 3, .apic_id = { 0, 1, 2, 3, 4, 5, 6, 7 }
	};

	memcpy(v.row, rows, sizeof(rows));
	fill(&v, 0);
	make(READER_LINUX_6_1, 8);
	ck_assert_uint_eq(got.sets[READ_DIE], 4);
	ck_assert_uint_eq(got.id[READ_DIE][7], 3);
	ck_assert_uint_eq(got.quirks, READ_QUIRK_MODULE_DIE);
	make(READER_LINUX_6_12, 8);
	ck_assert_uint_eq(got.sets[READ_DIE], 2);
	make(READER_HWLOC_2_9, 8);
	ck_assert_uint_eq(got.sets[READ_DIE], 2);
	ck_assert_uint_eq(got.sets[READ_MODULE], 4);
}
END_TEST

/* Family 17h model 1: the L3 is the APIC id >> 3. */
START_TEST(linux_cuts_the_l3_of_zen_into_eights)
{
	const struct reader_vector *v = vector("amd-1x2x1x8x2");

	fill(v, 0);
	for (unsigned int i = 0; i < v->cpus; i++) {
		cpu[i].family = 0x17;
		cpu[i].model = 1;
	}
	make(READER_LINUX_6_1, v->cpus);
	ck_assert_uint_eq(got.sets[READ_L3], 4);
	ck_assert(got.quirks & READ_QUIRK_L3_BY_8);
	make(READER_LINUX_6_12, v->cpus);
	ck_assert_uint_eq(got.sets[READ_L3], 4);
	make(READER_HWLOC_2_9, v->cpus);
	ck_assert_uint_eq(got.sets[READ_L3], 2);
}
END_TEST

START_TEST(without_topoext_threads_are_lost)
{
	const struct reader_vector *v = vector("amd-2x1x1x2x2");

	fill(v, 0);
	for (unsigned int i = 0; i < v->cpus; i++)
		cpu[i].e1.ecx &= ~(1u << 22);
	make(READER_LINUX_6_1, v->cpus);
	ck_assert_uint_eq(got.sets[READ_PACKAGE], 2);
	ck_assert_uint_eq(got.sets[READ_CORE], v->cpus);
	ck_assert(got.quirks & READ_QUIRK_NO_TOPOEXT);
}
END_TEST

/* The fact sheet's 2x3x5x1: with HTT and without CmpLegacy four packages. */
START_TEST(htt_without_cmplegacy_makes_linux_6_1_use_intels_rules)
{
	static const struct vector_row rows[] = {
		{ 0, -1, 0x10, 0x68747541, 0x444d4163, 0x69746e65 },
		{ 1, -1, 0x00a20f12, 0x000f0000, 0x00200000, 0x10000000 },
		{ 0xb, 0, 0, 1, 0x100, 0 },
		{ 0xb, 1, 5, 15, 0x201, 0 },
		{ 0x80000000, -1, 0x8000001f, 0, 0, 0 },
		{ 0x80000001, -1, 0, 0, 0x00400000, 0 },
		{ 0x80000008, -1, 0, 0, 0x0000500e, 0 },
		{ 0x8000001e, -1, 0, 0, 0, 0 },
	};
	struct reader_vector v = { .name = "htt", .cpus = 30, .package_bits = 5, .node_bits = 5 };

	for (unsigned int i = 0; i < v.cpus; i++)
		v.apic_id[i] = (uint16_t)(i / 15 << 5 | i % 15 / 5 << 3 | i % 5);
	memcpy(v.row, rows, sizeof(rows));
	fill(&v, 0);
	make(READER_LINUX_6_1, v.cpus);
	ck_assert_uint_eq(got.sets[READ_PACKAGE], 4);
	ck_assert(got.quirks & READ_QUIRK_HT);
	make(READER_LINUX_6_12, v.cpus);
	ck_assert_uint_eq(got.sets[READ_PACKAGE], 2);
}
END_TEST

START_TEST(equal_ids_and_an_empty_1f_are_noticed)
{
	const struct reader_vector *v = vector("intel-1x1x1x4x1");

	fill(v, 0x1f);
	make(READER_HWLOC_2_9, v->cpus);
	ck_assert_uint_eq(got.quirks, READ_QUIRK_EMPTY_1F);
	fill(v, 0);
	cpu[3] = cpu[2];
	make(READER_HWLOC_2_9, v->cpus);
	ck_assert_uint_eq(got.quirks, READ_QUIRK_SAME_ID);
}
END_TEST

/* Whatever the registers hold: no crash, no undefined shift, a set for every vCPU. */
START_TEST(nonsense_is_survived)
{
	static const uint32_t vendor[][3] = { { 0x756e6547, 0x6c65746e, 0x49656e69 },
					      { 0x68747541, 0x444d4163, 0x69746e65 },
					      { 0x6f677948, 0x656e6975, 0x6e65476e },
					      { 0x746e6543, 0x736c7561, 0x48727561 } };
	static const uint32_t leaf[] = { 1,          4,          4,          0xb,        0xb,
					 0xb,        0x1a,       0x1f,       0x1f,       0x1f,
					 0x80000001, 0x80000005, 0x80000006, 0x80000008, 0x8000001d,
					 0x8000001d, 0x8000001e, 0x80000026 };
	static struct cpuid_table table;
	uint32_t seed = 12345;

	for (unsigned int round = 0; round < 400; round++) {
		for (unsigned int i = 0; i < 4; i++) {
			struct kvm_cpuid_entry2 *c;

			table.nent = 0;
			c = cpuid_add(&table, 0, -1);
			*c = (struct kvm_cpuid_entry2){ 0,
							0,
							0,
							0x1f,
							vendor[round % 4][0],
							vendor[round % 4][1],
							vendor[round % 4][2],
							{ 0 } };
			c = cpuid_add(&table, 0x80000000, -1);
			c->eax = 0x80000026;
			for (size_t j = 0; j < ARRAY_SIZE(leaf); j++) {
				uint32_t r[4];
				int sub = j && leaf[j - 1] == leaf[j]
						  ? (int)table.entry[table.nent - 1].index + 1
						  : 0;

				for (unsigned int k = 0; k < 4; k++) {
					seed = seed * 1664525 + 1013904223;
					r[k] = seed >> (k == 2 ? 7 : seed >> 29);
				}
				c = cpuid_add(&table, leaf[j], sub);
				c->eax = r[0];
				c->ebx = r[1];
				c->ecx = r[2];
				c->edx = r[3];
			}
			leaves_read(&table, round & 1 ? i : LEAVES_NO_APIC_ID, &cpu[i]);
		}
		for (unsigned int reader = 0; reader < NR_READERS; reader++) {
			make((enum reader)reader, 4);
			ck_assert_uint_ge(got.sets[READ_PACKAGE], 1);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("readers");
	TCase *c = tcase_create("readers");
	SRunner *sr;
	int failed, nr = ARRAY_SIZE(reader_vectors);

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_loop_test(c, linux_6_1_reads_the_vectors, 0, nr);
	tcase_add_loop_test(c, linux_6_12_reads_the_vectors, 0, nr);
	tcase_add_loop_test(c, hwloc_reads_the_vectors, 0, nr);
	tcase_add_loop_test(c, windows_reads_the_vectors, 0, nr);
	tcase_add_loop_test(c, legacy_leaves_tell_the_same_packages, 0, nr);
	tcase_add_test(c, hwloc_knows_dies_by_the_leaf_it_can_read);
	tcase_add_test(c, without_80000026_linux_6_12_numbers_dies_by_package);
	tcase_add_test(c, linux_6_1_takes_single_core_dies_for_packages);
	tcase_add_test(c, linux_6_1_counts_modules_as_dies_when_there_are_both);
	tcase_add_test(c, linux_cuts_the_l3_of_zen_into_eights);
	tcase_add_test(c, without_topoext_threads_are_lost);
	tcase_add_test(c, htt_without_cmplegacy_makes_linux_6_1_use_intels_rules);
	tcase_add_test(c, equal_ids_and_an_empty_1f_are_noticed);
	tcase_add_test(c, nonsense_is_survived);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
