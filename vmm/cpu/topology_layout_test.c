/* Unit tests of topology_layout.c and caches.c: uneven places, ids made and ids taken, caches by level and by group. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/caches.h"
#include "vmm/cpu/topology.h"

static struct topology t;
static struct layout l;
static struct layout_cpu cpus[64];
static struct cpuid_table no_host;
static struct err e;

static void setup(void)
{
	l = (struct layout){ .cpu = cpus };
	for (size_t i = 0; i < ARRAY_SIZE(cpus); i++) {
		cpus[i] = (struct layout_cpu){ .apic_id = LAYOUT_NO_ID, .host_cpu = -1 };
		for (unsigned int k = 0; k < TOPO_MAX_CACHES; k++)
			cpus[i].group[k] = LAYOUT_BY_LEVEL;
	}
}

static void teardown(void)
{
	topology_fini(&t);
}

/* One vCPU more, at this place. */
static struct layout_cpu *add(uint16_t package, uint16_t die, uint16_t module, uint16_t core, uint16_t thread)
{
	struct layout_cpu *c = &cpus[l.nr_cpus++];
	const uint16_t id[NR_TOPO_LEVELS] = { thread, core, module, die, package };

	memcpy(c->id, id, sizeof(id));
	return c;
}

static void build(void)
{
	int rc = topology_from_layout(&t, &l, 0, &e);

	ck_assert_msg(rc == 0, "%s", e.text);
}

static int place_caches(const char *arg)
{
	struct cache_spec spec = { 0 };

	if (arg)
		ck_assert_msg(cache_spec_parse(&spec, arg, &e) == 0, "%s", e.text);
	return caches_place(&t, &spec, &l, &no_host, &e);
}

/* Two dies of three and five cores. */
static void uneven_dies(void)
{
	for (uint16_t core = 0; core < 3; core++)
		add(0, 0, 0, core, 0);
	for (uint16_t core = 0; core < 5; core++)
		add(0, 1, 0, core, 0);
}

START_TEST(uneven_dies_get_fields_of_the_largest)
{
	const uint32_t want[] = { 0, 1, 2, 8, 9, 10, 11, 12 };

	uneven_dies();
	build();
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		ck_assert_uint_eq(t.cpu[i].apic_id, want[i]);
	ck_assert(!t.regular);
	ck_assert_uint_eq(t.shift[TOPO_DIE], 3);
	ck_assert_uint_eq(t.shift[TOPO_PACKAGE], 4);
	ck_assert_uint_eq(t.nr_units[TOPO_DIE], 2);
	ck_assert_uint_eq(t.count[TOPO_CORE], 5);
	ck_assert_uint_eq(topo_unit_cpus(&t, &t.cpu[0], TOPO_DIE), 3);
	ck_assert_uint_eq(topo_unit_cpus(&t, &t.cpu[7], TOPO_DIE), 5);
	ck_assert_uint_eq(topo_unit_cpus(&t, &t.cpu[7], TOPO_PACKAGE), 8);
}
END_TEST

START_TEST(layout_that_is_a_product_is_regular_and_equal_to_one)
{
	const struct topology_spec spec = { .count = { 2, 3, 1, 2, 2 } };
	struct topology product;

	for (unsigned int i = 0; i < 24; i++)
		add((uint16_t)(i / 12), (uint16_t)(i / 6 % 2), 0, (uint16_t)(i / 2 % 3), (uint16_t)(i % 2));
	build();
	ck_assert_int_eq(topology_init(&product, &spec, &e), 0);
	ck_assert(t.regular);
	for (unsigned int i = 0; i < 24; i++)
		ck_assert_mem_eq(&t.cpu[i], &product.cpu[i], sizeof(t.cpu[i]));
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
		ck_assert_uint_eq(t.shift[level], product.shift[level]);
		ck_assert_uint_eq(t.count[level], product.count[level]);
		ck_assert_uint_eq(t.nr_units[level], product.nr_units[level]);
	}
	topology_fini(&product);
}
END_TEST

START_TEST(units_are_numbered_as_they_appear)
{
	add(1, 0, 0, 0, 0);
	add(0, 0, 0, 0, 0);
	add(1, 0, 0, 1, 0);
	build();
	ck_assert_uint_eq(t.cpu[0].unit[TOPO_PACKAGE], 0);
	ck_assert_uint_eq(t.cpu[1].unit[TOPO_PACKAGE], 1);
	ck_assert_uint_eq(t.cpu[2].unit[TOPO_PACKAGE], 0);
	ck_assert_uint_eq(t.cpu[2].unit[TOPO_CORE], 2);
	ck_assert_uint_eq(t.cpu[0].apic_id, 2);
	ck_assert_uint_eq(t.cpu[1].apic_id, 0);
}
END_TEST

START_TEST(two_vcpus_in_one_place_are_refused)
{
	add(0, 0, 0, 0, 0);
	add(0, 1, 0, 2, 1);
	add(0, 1, 0, 2, 1);
	ck_assert_int_eq(topology_from_layout(&t, &l, 0, &e), -EINVAL);
	ck_assert_str_eq(e.text, "vCPUs 1 and 2 have the same place: package 0, die 1, module 0, core 2, thread 1");
}
END_TEST

START_TEST(given_ids_are_kept_and_their_fields_found)
{
	/* Two threads a core, ids with a hole of one bit above the thread, and packages at bit 6. */
	const uint32_t ids[] = { 0x00, 0x01, 0x04, 0x05, 0x40, 0x41, 0x44, 0x45 };

	for (unsigned int i = 0; i < 8; i++)
		add((uint16_t)(i / 4), 0, 0, (uint16_t)(i / 2 % 2), (uint16_t)(i % 2))->apic_id = ids[i];
	build();
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_uint_eq(t.cpu[i].apic_id, ids[i]);
	ck_assert_uint_eq(t.shift[TOPO_CORE], 1);
	ck_assert_uint_eq(t.shift[TOPO_PACKAGE], 3);
}
END_TEST

START_TEST(given_ids_that_cannot_tell_the_places_are_refused)
{
	/* Cores 0 and 1 are interleaved: no bits name the core. */
	add(0, 0, 0, 0, 0)->apic_id = 0;
	add(0, 0, 0, 1, 0)->apic_id = 1;
	add(0, 0, 0, 0, 1)->apic_id = 2;
	add(0, 0, 0, 1, 1)->apic_id = 3;
	ck_assert_int_eq(topology_from_layout(&t, &l, 0, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "cannot put vCPUs 0 and 1 into different cores"));
}
END_TEST

START_TEST(ids_must_be_single_and_complete)
{
	add(0, 0, 0, 0, 0)->apic_id = 7;
	add(0, 0, 0, 1, 0)->apic_id = 7;
	ck_assert_int_eq(topology_from_layout(&t, &l, 0, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "vCPUs 0 and 1 both have APIC id 0x7"));
	topology_fini(&t);
	cpus[1].apic_id = LAYOUT_NO_ID;
	ck_assert_int_eq(topology_from_layout(&t, &l, 0, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "vCPU 1 has no APIC id"));
	topology_fini(&t);
	cpus[1].apic_id = TOPO_MAX_APIC_ID + 1;
	ck_assert_int_eq(topology_from_layout(&t, &l, 0, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "above 0xffff"));
}
END_TEST

START_TEST(numbers_that_need_too_many_bits_are_refused)
{
	add(0, 0, 0, 0, 0);
	add(40000, 40000, 40000, 40000, 40000);
	ck_assert_int_eq(topology_from_layout(&t, &l, 0, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "number the units of each level from 0"));
}
END_TEST

START_TEST(core_types_are_all_or_none)
{
	add(0, 0, 0, 0, 0)->core_type = TOPO_PERFORMANCE;
	add(0, 0, 0, 1, 0);
	ck_assert_int_eq(topology_from_layout(&t, &l, 0, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "vCPU 1 has no type"));
}
END_TEST

START_TEST(first_n_are_present)
{
	uneven_dies();
	ck_assert_int_eq(topology_from_layout(&t, &l, 3, &e), 0);
	ck_assert_uint_eq(t.nr_present, 3);
	ck_assert_uint_eq(t.nr_cpus, 8);
	ck_assert(t.cpu[2].present && !t.cpu[3].present);
	topology_fini(&t);
	ck_assert_int_eq(topology_from_layout(&t, &l, 9, &e), -EINVAL);
}
END_TEST

/* ---- caches ---- */

START_TEST(caches_without_a_word_are_by_level)
{
	uneven_dies();
	build();
	ck_assert_int_eq(place_caches(NULL), 0);
	ck_assert_uint_eq(t.nr_caches, 4);
	ck_assert_uint_eq(t.cpu[0].cache[2], 0);
	ck_assert_uint_eq(t.cpu[1].cache[2], 1);
	ck_assert_uint_eq(t.cpu[2].cache[3], 0);
	ck_assert_uint_eq(t.cpu[3].cache[3], 1);
	ck_assert_uint_eq(t.cpu[3].cache_shift[3], 3);
	ck_assert_uint_eq(t.package_l3_kib[0], 32 << 10);
}
END_TEST

/* Kind 0 of the layout is an L3. */
static void say_l3(void)
{
	l.nr_caches = 1;
	l.cache[0] = (struct topo_cache){ .type = CACHE_UNIFIED, .level = 3, .shared = TOPO_DIE };
}

START_TEST(group_inside_a_die_gets_a_shift_of_its_own)
{
	for (unsigned int i = 0; i < 8; i++)
		add(0, 0, 0, (uint16_t)i, 0)->group[0] = (int32_t)(i / 4);
	say_l3();
	build();
	ck_assert_int_eq(place_caches(NULL), 0);
	ck_assert_uint_eq(t.cpu[3].cache[3], 0);
	ck_assert_uint_eq(t.cpu[4].cache[3], 1);
	ck_assert_uint_eq(t.cpu[4].cache_shift[3], 2);
	ck_assert_uint_eq(t.cache[3].bytes, 16 << 20); /* the host's, for want of a size */
}
END_TEST

START_TEST(group_that_is_a_die_takes_the_dies_shift)
{
	uneven_dies();
	for (unsigned int i = 0; i < 8; i++)
		cpus[i].group[0] = i < 3 ? 70 : 9;
	say_l3();
	build();
	ck_assert_int_eq(place_caches(NULL), 0);
	ck_assert_uint_eq(t.cpu[0].cache_shift[3], 3); /* 2 would do for its three ids */
	ck_assert_uint_eq(t.cpu[7].cache_shift[3], 3);
}
END_TEST

START_TEST(group_that_ids_cannot_tell_is_refused)
{
	for (unsigned int i = 0; i < 6; i++)
		add(0, 0, 0, (uint16_t)i, 0)->group[0] = i < 3 ? 0 : 1; /* ids 0-2, 3-5 */
	say_l3();
	build();
	ck_assert_int_eq(place_caches(NULL), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "3 vCPUs, the first of them 0, share an L3 cache, but CPUID would make it 4"));
}
END_TEST

START_TEST(core_types_have_caches_of_their_own)
{
	add(0, 0, 0, 0, 0)->core_type = TOPO_PERFORMANCE;
	add(0, 0, 0, 0, 1)->core_type = TOPO_PERFORMANCE;
	for (uint16_t core = 0; core < 4; core++)
		add(0, 0, 1, core, 0)->core_type = TOPO_EFFICIENCY;
	l.nr_caches = 2;
	l.cache[0] = (struct topo_cache){ .type = CACHE_UNIFIED, .level = 2, .shared = TOPO_CORE, .bytes = 2 << 20,
					  .core_type = TOPO_PERFORMANCE };
	l.cache[1] = (struct topo_cache){ .type = CACHE_UNIFIED, .level = 2, .shared = TOPO_MODULE, .bytes = 4 << 20,
					  .core_type = TOPO_EFFICIENCY };
	build();
	ck_assert_int_eq(place_caches(NULL), 0);
	ck_assert(t.hybrid);
	ck_assert_uint_eq(t.nr_caches, 5);
	ck_assert_uint_eq(t.cpu[0].cache[2], t.cpu[1].cache[2]);
	ck_assert_uint_eq(t.cpu[0].cache[3], TOPO_NO_CACHE);
	ck_assert_uint_eq(t.cpu[2].cache[2], TOPO_NO_CACHE);
	ck_assert_uint_eq(t.cpu[2].cache[3], t.cpu[5].cache[3]);
	ck_assert_uint_eq(t.cpu[2].cache_shift[3], t.shift[TOPO_MODULE]);
}
END_TEST

START_TEST(spec_goes_over_everything_else)
{
	uneven_dies();
	say_l3();
	for (unsigned int i = 0; i < 8; i++)
		cpus[i].group[0] = (int32_t)i;
	build();
	ck_assert_int_eq(place_caches("l1d=48K,l2=2M:16/die,l3=30M:15:64/socket,l4=64M,l1i=off"), 0);
	ck_assert_uint_eq(t.nr_caches, 4); /* L1d, L2, L3, L4 */
	ck_assert_uint_eq(t.cache[0].bytes, 48 << 10);
	ck_assert_uint_eq(t.cache[0].ways, 12);
	ck_assert_uint_eq(t.cache[0].sets, 64);
	ck_assert_uint_eq(t.cache[1].ways, 16);
	ck_assert_uint_eq(t.cache[1].shared, TOPO_DIE);
	ck_assert_uint_eq(t.cache[2].sets, 32768);
	ck_assert_uint_eq(t.cpu[0].cache[2], t.cpu[7].cache[2]);
	ck_assert_uint_eq(t.cpu[0].cache_shift[2], t.shift[TOPO_PACKAGE]);
	ck_assert_uint_eq(t.cache[3].shared, TOPO_DIE);
}
END_TEST

static const struct {
	const char *arg, *want;
} bad_specs[] = {
	{ "l5=1M", "l5" },
	{ "l2", "l2" },
	{ "l2=", "expected SIZE" },
	{ "l2=4M/tile", "'tile' is no level" },
	{ "l2=4M:0", "'0' is no number of ways" },
	{ "l2=4M:8:48", "'48' is no line size" },
	{ "l2=4M:8:64:1", "no line size" },
	{ "l2=4X", "expected SIZE" },
	{ "l2=512", "l2" },
	{ "l2=4G", "from 1K to 2G" },
	{ "l1=32K,l1d=32K", "either it or l1d and l1i" },
	{ "l2=1M,l2=2M", "twice" },
};

START_TEST(wrong_spec_is_refused_with_a_sentence)
{
	struct cache_spec spec = { 0 };
	bool refused = cache_spec_parse(&spec, bad_specs[_i].arg, &e) == -EINVAL;

	/* "512" is 512 MiB: taken. */
	ck_assert(refused || !strcmp(bad_specs[_i].arg, "l2=512"));
	ck_assert_msg(!refused || strstr(e.text, bad_specs[_i].want), "'%s' does not have '%s'", e.text, bad_specs[_i].want);
}
END_TEST

START_TEST(ways_that_do_not_divide_are_refused)
{
	add(0, 0, 0, 0, 0);
	build();
	ck_assert_int_eq(place_caches("l2=1M:7"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "1048576 bytes are no multiple of 7 ways"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("topology_layout");
	TCase *c = tcase_create("topology_layout");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, uneven_dies_get_fields_of_the_largest);
	tcase_add_test(c, layout_that_is_a_product_is_regular_and_equal_to_one);
	tcase_add_test(c, units_are_numbered_as_they_appear);
	tcase_add_test(c, two_vcpus_in_one_place_are_refused);
	tcase_add_test(c, given_ids_are_kept_and_their_fields_found);
	tcase_add_test(c, given_ids_that_cannot_tell_the_places_are_refused);
	tcase_add_test(c, ids_must_be_single_and_complete);
	tcase_add_test(c, numbers_that_need_too_many_bits_are_refused);
	tcase_add_test(c, core_types_are_all_or_none);
	tcase_add_test(c, first_n_are_present);
	tcase_add_test(c, caches_without_a_word_are_by_level);
	tcase_add_test(c, group_inside_a_die_gets_a_shift_of_its_own);
	tcase_add_test(c, group_that_is_a_die_takes_the_dies_shift);
	tcase_add_test(c, group_that_ids_cannot_tell_is_refused);
	tcase_add_test(c, core_types_have_caches_of_their_own);
	tcase_add_test(c, spec_goes_over_everything_else);
	tcase_add_loop_test(c, wrong_spec_is_refused_with_a_sentence, 0, ARRAY_SIZE(bad_specs));
	tcase_add_test(c, ways_that_do_not_divide_are_refused);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
