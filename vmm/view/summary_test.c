/* Unit tests of summary.c: the shape in a sentence. */
#include "vmm/view/view_rig.h"

static struct topology t;

static void teardown(void)
{
	rig_fini(&t);
}

static const char *summary(void)
{
	static char buf[VIEW_SUMMARY];

	return view_summary(&t, buf);
}

START_TEST(regular_shape_is_a_product)
{
	rig_regular(&t, 2, 2, 1, 3, 2);
	ck_assert_str_eq(summary(), "2 sockets x 2 dies x 3 cores x 2 threads = 24 vCPUs");
}
END_TEST

START_TEST(smallest_shape_is_in_the_singular)
{
	rig_regular(&t, 1, 1, 1, 1, 1);
	ck_assert_str_eq(summary(), "1 socket x 1 core = 1 vCPU");
}
END_TEST

START_TEST(pluggable_vcpus_are_counted)
{
	rig_regular(&t, 1, 1, 2, 4, 1);
	rig_present(&t, 5);
	ck_assert_str_eq(summary(),
			 "1 socket x 2 modules x 4 cores = 8 vCPUs, 5 present and 3 to be plugged");
}
END_TEST

START_TEST(caches_of_one_sharing_are_told_together)
{
	rig_regular(&t, 2, 2, 1, 3, 2);
	rig_caches(&t);
	ck_assert_str_eq(summary(), "2 sockets x 2 dies x 3 cores x 2 threads = 24 vCPUs; "
				    "L1d 48K, L1i 32K, L2 2M per core, L3 32M per die");
}
END_TEST

START_TEST(cache_of_a_level_that_is_not_told_is_the_next_levels)
{
	rig_regular(&t, 2, 1, 1, 3, 1);
	rig_cache_of(&t, 3, CACHE_UNIFIED, 8 * MIB, TOPO_MODULE, 0, 0);
	ck_assert_str_eq(summary(), "2 sockets x 3 cores = 6 vCPUs; L3 8M per socket");
}
END_TEST

START_TEST(cache_of_no_level_is_counted)
{
	rig_regular(&t, 1, 1, 1, 4, 1);
	rig_cache_of(&t, 2, CACHE_UNIFIED, 2 * MIB, TOPO_CORE, 0, 2);
	ck_assert_str_eq(summary(), "1 socket x 4 cores = 4 vCPUs; L2 2M x 2");
}
END_TEST

START_TEST(hybrid_shape_counts_cores_of_both_types)
{
	rig_hybrid(&t);
	rig_hybrid_caches(&t);
	ck_assert_str_eq(summary(),
			 "1 socket, 4 P-cores, 4 E-cores, 12 vCPUs; L1d 48K x 4 (P), L1d 32K x 4 (E), "
			 "L1i 32K x 4 (P), L1i 64K x 4 (E), L2 2M x 4 (P), L2 4M x 1 (E), L3 24M per socket");
}
END_TEST

START_TEST(threads_that_are_apart_are_one_core)
{
	rig_hybrid(&t);
	t.cpu[11].unit[TOPO_CORE] = t.cpu[0].unit[TOPO_CORE];
	ck_assert_str_eq(summary(), "1 socket, 4 P-cores, 3 E-cores, 12 vCPUs");
}
END_TEST

START_TEST(uneven_shape_counts_units)
{
	static const struct rig_cpu cpus[] = { { .die = 0 }, { .die = 1 }, { .die = 1, .core = 1 } };

	rig_uneven(&t, cpus, 3);
	ck_assert_str_eq(summary(), "1 socket, 2 dies, 3 cores, 3 vCPUs");
}
END_TEST

START_TEST(nodes_are_counted)
{
	rig_regular(&t, 2, 1, 1, 1, 1);
	rig_nodes(&t, 3, 1, GIB);
	ck_assert_str_eq(summary(), "2 sockets x 1 core = 2 vCPUs; 3 NUMA nodes");
}
END_TEST

START_TEST(most_kinds_of_cache_fit)
{
	rig_regular(&t, 2, 2, 2, 2, 2);
	for (unsigned int i = 0; i < TOPO_MAX_CACHES; i++)
		rig_cache_of(&t, 4, CACHE_INSTRUCTION, UINT32_MAX, (enum topo_level)(i % NR_TOPO_LEVELS),
			     TOPO_ALIKE, 0);
	ck_assert_uint_lt(strlen(summary()), VIEW_SUMMARY);
}
END_TEST

static const struct {
	const char *text;
	size_t columns, want;
} wraps[] = {
	{ "one two", 7, 7 },  { "one two", 6, 3 }, { "one two", 3, 3 }, { "longword two", 5, 8 },
	{ "longword", 5, 8 }, { "", 5, 0 },        { "a b", 2, 1 },
};

START_TEST(line_is_broken_at_the_last_blank_that_fits)
{
	ck_assert_uint_eq(view_wrap(wraps[_i].text, wraps[_i].columns), wraps[_i].want);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("summary");

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, regular_shape_is_a_product);
	tcase_add_test(c, smallest_shape_is_in_the_singular);
	tcase_add_test(c, pluggable_vcpus_are_counted);
	tcase_add_test(c, caches_of_one_sharing_are_told_together);
	tcase_add_test(c, cache_of_a_level_that_is_not_told_is_the_next_levels);
	tcase_add_test(c, cache_of_no_level_is_counted);
	tcase_add_test(c, hybrid_shape_counts_cores_of_both_types);
	tcase_add_test(c, threads_that_are_apart_are_one_core);
	tcase_add_test(c, uneven_shape_counts_units);
	tcase_add_test(c, nodes_are_counted);
	tcase_add_test(c, most_kinds_of_cache_fit);
	tcase_add_loop_test(c, line_is_broken_at_the_last_blank_that_fits, 0, ARRAY_SIZE(wraps));
	return rig_run("summary", c);
}
