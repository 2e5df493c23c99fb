/* Unit tests of topology.c: what is derived, where every vCPU is, and what is refused with which sentence. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/topology.h"

static struct topology t;
static struct err e;

static void teardown(void)
{
	topology_fini(&t);
}

/* Counts in the order in which people say them. */
#define SHAPE(s, d, m, c, th)                                                                             \
	{                                                                                                 \
		[TOPO_PACKAGE] = s, [TOPO_DIE] = d, [TOPO_MODULE] = m, [TOPO_CORE] = c, [TOPO_THREAD] = th \
	}

static const struct {
	struct topology_spec spec;
	unsigned int want[NR_TOPO_LEVELS];
	unsigned int cpus, present;
} derived[] = {
	/* Nothing but a number, or not even that. */
	{ { 0, 0, SHAPE(0, 0, 0, 0, 0) }, SHAPE(1, 1, 1, 1, 1), 1, 1 },
	{ { 8, 0, SHAPE(0, 0, 0, 0, 0) }, SHAPE(1, 1, 1, 8, 1), 8, 8 },
	/* Cores take the rest. */
	{ { 8, 0, SHAPE(2, 0, 0, 0, 0) }, SHAPE(2, 1, 1, 4, 1), 8, 8 },
	{ { 8, 0, SHAPE(0, 0, 0, 0, 2) }, SHAPE(1, 1, 1, 4, 2), 8, 8 },
	{ { 8, 0, SHAPE(2, 0, 0, 0, 2) }, SHAPE(2, 1, 1, 2, 2), 8, 8 },
	{ { 24, 0, SHAPE(2, 2, 0, 0, 2) }, SHAPE(2, 2, 1, 3, 2), 24, 24 },
	{ { 8, 0, SHAPE(0, 0, 2, 0, 0) }, SHAPE(1, 1, 2, 4, 1), 8, 8 },
	/* Sockets take the rest. */
	{ { 8, 0, SHAPE(0, 0, 0, 2, 0) }, SHAPE(4, 1, 1, 2, 1), 8, 8 },
	{ { 8, 0, SHAPE(0, 0, 0, 2, 2) }, SHAPE(2, 1, 1, 2, 2), 8, 8 },
	{ { 8, 0, SHAPE(0, 2, 0, 2, 0) }, SHAPE(2, 2, 1, 2, 1), 8, 8 },
	/* Threads do, when both others are said. */
	{ { 8, 0, SHAPE(2, 0, 0, 2, 0) }, SHAPE(2, 1, 1, 2, 2), 8, 8 },
	{ { 4, 0, SHAPE(4, 0, 0, 1, 0) }, SHAPE(4, 1, 1, 1, 1), 4, 4 },
	/* Everything is said. */
	{ { 8, 0, SHAPE(2, 1, 1, 2, 2) }, SHAPE(2, 1, 1, 2, 2), 8, 8 },
	/* Only the shape is said: it is the number. */
	{ { 0, 0, SHAPE(2, 0, 0, 3, 2) }, SHAPE(2, 1, 1, 3, 2), 12, 12 },
	{ { 0, 0, SHAPE(4, 0, 0, 0, 0) }, SHAPE(4, 1, 1, 1, 1), 4, 4 },
	{ { 0, 0, SHAPE(0, 0, 0, 0, 2) }, SHAPE(1, 1, 1, 1, 2), 2, 2 },
	/* Room for more: the shape multiplies to max. */
	{ { 4, 16, SHAPE(0, 0, 0, 0, 0) }, SHAPE(1, 1, 1, 16, 1), 16, 4 },
	{ { 4, 16, SHAPE(2, 0, 0, 4, 2) }, SHAPE(2, 1, 1, 4, 2), 16, 4 },
	{ { 1, 16, SHAPE(2, 0, 0, 0, 0) }, SHAPE(2, 1, 1, 8, 1), 16, 1 },
	{ { 0, 16, SHAPE(0, 0, 0, 0, 0) }, SHAPE(1, 1, 1, 16, 1), 16, 16 },
	{ { 16, 16, SHAPE(0, 0, 0, 0, 0) }, SHAPE(1, 1, 1, 16, 1), 16, 16 },
	/* The largest. */
	{ { TOPO_MAX_CPUS, 0, SHAPE(0, 0, 0, 0, 0) }, SHAPE(1, 1, 1, TOPO_MAX_CPUS, 1), TOPO_MAX_CPUS, TOPO_MAX_CPUS },
};

START_TEST(what_is_not_said_is_derived)
{
	ck_assert_int_eq(topology_init(&t, &derived[_i].spec, &e), 0);
	ck_assert_mem_eq(t.count, derived[_i].want, sizeof(t.count));
	ck_assert_uint_eq(t.nr_cpus, derived[_i].cpus);
	ck_assert_uint_eq(t.nr_present, derived[_i].present);
	ck_assert_uint_eq(t.nr_nodes, 0);
}
END_TEST

START_TEST(first_vcpus_are_the_present_ones)
{
	const struct topology_spec spec = { .cpus = 3, .max = 8 };

	ck_assert_int_eq(topology_init(&t, &spec, &e), 0);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_int_eq(t.cpu[i].present, i < 3);
}
END_TEST

START_TEST(counts_that_are_no_powers_of_two_leave_holes)
{
	const struct topology_spec spec = { .count = SHAPE(2, 1, 1, 3, 1) };
	const uint32_t want[] = { 0, 1, 2, 4, 5, 6 };

	ck_assert_int_eq(topology_init(&t, &spec, &e), 0);
	ck_assert_uint_eq(t.nr_cpus, 6);
	for (unsigned int i = 0; i < 6; i++)
		ck_assert_uint_eq(t.cpu[i].apic_id, want[i]);
}
END_TEST

/* Three dies of five cores: 15 processors, 32 ids. Rounding up the product would give 16. */
START_TEST(every_level_is_rounded_up_by_itself)
{
	const struct topology_spec spec = { .count = SHAPE(2, 3, 1, 5, 1) };

	ck_assert_int_eq(topology_init(&t, &spec, &e), 0);
	ck_assert_uint_eq(t.shift[TOPO_PACKAGE], 5);
	ck_assert_uint_eq(t.cpu[15].apic_id, 32);
	ck_assert_uint_eq(t.cpu[29].apic_id, 32 + 2 * 8 + 4);
}
END_TEST

START_TEST(all_five_levels_have_their_own_bits)
{
	const struct topology_spec spec = { .count = SHAPE(3, 2, 2, 3, 2) };

	ck_assert_int_eq(topology_init(&t, &spec, &e), 0);
	ck_assert_uint_eq(t.shift[TOPO_THREAD], 0);
	ck_assert_uint_eq(t.shift[TOPO_CORE], 1);
	ck_assert_uint_eq(t.shift[TOPO_MODULE], 3);
	ck_assert_uint_eq(t.shift[TOPO_DIE], 4);
	ck_assert_uint_eq(t.shift[TOPO_PACKAGE], 5);
	ck_assert_uint_eq(t.cpu[71].apic_id, 2 << 5 | 1 << 4 | 1 << 3 | 2 << 1 | 1);
	ck_assert_uint_eq(t.cpu[71].id[TOPO_PACKAGE], 2);
	ck_assert_uint_eq(t.cpu[71].id[TOPO_DIE], 1);
	ck_assert_uint_eq(t.cpu[71].id[TOPO_MODULE], 1);
	ck_assert_uint_eq(t.cpu[71].id[TOPO_CORE], 2);
	ck_assert_uint_eq(t.cpu[71].id[TOPO_THREAD], 1);
}
END_TEST

START_TEST(ids_above_254_are_given)
{
	const struct topology_spec spec = { .cpus = 300 };

	ck_assert_int_eq(topology_init(&t, &spec, &e), 0);
	ck_assert_uint_eq(t.cpu[255].apic_id, 255);
	ck_assert_uint_eq(t.cpu[299].apic_id, 299);
}
END_TEST

START_TEST(cpus_in_a_level_is_the_product_below_it)
{
	const struct topology_spec spec = { .count = SHAPE(2, 2, 2, 3, 2) };

	ck_assert_int_eq(topology_init(&t, &spec, &e), 0);
	ck_assert_uint_eq(topology_cpus_in(&t, TOPO_THREAD), 1);
	ck_assert_uint_eq(topology_cpus_in(&t, TOPO_CORE), 2);
	ck_assert_uint_eq(topology_cpus_in(&t, TOPO_MODULE), 6);
	ck_assert_uint_eq(topology_cpus_in(&t, TOPO_DIE), 12);
	ck_assert_uint_eq(topology_cpus_in(&t, TOPO_PACKAGE), 24);
}
END_TEST

START_TEST(ids_from_255_up_are_wide)
{
	const struct topology_spec narrow = { .cpus = 255 }, wide = { .cpus = 1, .max = 256 };

	ck_assert_int_eq(topology_init(&t, &narrow, &e), 0);
	ck_assert(!topology_wide_ids(&t));
	topology_fini(&t);
	ck_assert_int_eq(topology_init(&t, &wide, &e), 0);
	ck_assert(topology_wide_ids(&t)); /* though it is not present */
}
END_TEST

START_TEST(levels_have_words)
{
	ck_assert_str_eq(topology_level_name(TOPO_THREAD), "thread");
	ck_assert_str_eq(topology_level_name(TOPO_PACKAGE), "socket");
}
END_TEST

static const struct {
	struct topology_spec spec;
	const char *want;
} refused[] = {
	{ { 8, 0, SHAPE(3, 0, 0, 0, 0) }, "sockets=3,cores=2,threads=1 makes 6 processors, not 8" },
	{ { 8, 0, SHAPE(3, 0, 0, 0, 0) }, "try sockets=4,cores=2,threads=1 or sockets=2,cores=4,threads=1" },
	{ { 8, 0, SHAPE(2, 0, 0, 3, 2) }, "sockets=2,cores=3,threads=2 makes 12 processors, not 8" },
	{ { 8, 0, SHAPE(2, 0, 0, 3, 2) }, "try sockets=2,cores=2,threads=2 or" },
	{ { 8, 0, SHAPE(2, 0, 0, 3, 2) }, "or --cpus 12 with sockets=2,cores=3,threads=2" },
	{ { 7, 0, SHAPE(0, 0, 0, 0, 2) }, "cores=3,threads=2 makes 6 processors, not 7" },
	{ { 2, 0, SHAPE(4, 0, 0, 0, 0) }, "makes 4 processors, not 2" },
	{ { 8, 0, SHAPE(2, 2, 2, 2, 2) }, "sockets=2,dies=2,modules=2,cores=2,threads=2 makes 32 processors, not 8" },
	{ { 4, 12, SHAPE(2, 0, 0, 4, 2) }, "--cpus 4,max=12: sockets=2,cores=4,threads=2 makes 16 processors, not 12" },
	{ { 4, 12, SHAPE(2, 0, 0, 4, 2) }, "or max=16 with sockets=2,cores=4,threads=2" },
	{ { 4, 6, SHAPE(4, 0, 0, 0, 0) }, "or max=4 with sockets=4,cores=1,threads=1" },
	{ { 5, 6, SHAPE(4, 0, 0, 0, 0) }, "or --cpus 4 without max with sockets=4,cores=1,threads=1" },
	{ { 8, 4, SHAPE(0, 0, 0, 0, 0) }, "--cpus 8,max=4: max counts the present processors too, so it must be at least 8" },
	{ { 4097, 0, SHAPE(0, 0, 0, 0, 0) }, "--cpus: 4097 processors are more than the 4096 that a machine can have" },
	{ { 0, 0, SHAPE(4096, 0, 0, 4096, 0) }, "16777216 processors are more than the 4096" },
	{ { 1, 0, SHAPE(4096, 4096, 4096, 4096, 4096) }, "processors, not 1" },
	{ { 0, 0, SHAPE(4096, 4096, 4096, 4096, 4096) }, "more than the 4096" },
	{ { UINT32_MAX, UINT32_MAX, SHAPE(UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX) }, "4096" },
};

START_TEST(shape_that_does_not_fit_is_refused_with_one_that_does)
{
	ck_assert_int_eq(topology_init(&t, &refused[_i].spec, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, refused[_i].want), "'%s' does not have '%s'", e.text, refused[_i].want);
	ck_assert(e.usage);
	ck_assert_uint_lt(strlen(e.text), sizeof(e.text) - 1);
	ck_assert_ptr_null(t.cpu);
}
END_TEST

/* What a vCPU is called: its package, and its place inside, one number for each level. */
static bool same_unit(const struct topo_cpu *a, const struct topo_cpu *b, int level)
{
	for (int l = level; l < NR_TOPO_LEVELS; l++)
		if (a->id[l] != b->id[l])
			return false;
	return true;
}

/* Whatever a level is called, two vCPUs are in one unit of it if and only if their ids agree above its shift. */
static unsigned int wrong_pairs(unsigned int i)
{
	unsigned int wrong = 0;

	for (unsigned int j = 0; j < i; j++)
		for (int l = TOPO_THREAD; l < NR_TOPO_LEVELS; l++)
			wrong += same_unit(&t.cpu[i], &t.cpu[j], l) !=
				 (t.cpu[i].apic_id >> t.shift[l] == t.cpu[j].apic_id >> t.shift[l]);
	return wrong;
}

static void check_shape(const struct topology_spec *spec)
{
	unsigned int wrong = 0;

	ck_assert_int_eq(topology_init(&t, spec, &e), 0);
	wrong += t.cpu[0].apic_id != 0;
	for (unsigned int i = 1; i < t.nr_cpus; i++) {
		wrong += t.cpu[i].apic_id <= t.cpu[i - 1].apic_id; /* no id twice, thread fastest */
		wrong += wrong_pairs(i);
	}
	ck_assert_msg(!wrong, "sockets=%u,dies=%u,modules=%u,cores=%u,threads=%u", t.count[TOPO_PACKAGE],
		      t.count[TOPO_DIE], t.count[TOPO_MODULE], t.count[TOPO_CORE], t.count[TOPO_THREAD]);
	topology_fini(&t);
}

enum { UP_TO = 32 };

START_TEST(ids_tell_the_place_in_every_small_shape)
{
	unsigned int s = (unsigned int)_i;

	for (unsigned int d = 1; s * d <= UP_TO; d++)
		for (unsigned int m = 1; s * d * m <= UP_TO; m++)
			for (unsigned int c = 1; s * d * m * c <= UP_TO; c++)
				for (unsigned int h = 1; s * d * m * c * h <= UP_TO; h++) {
					const struct topology_spec spec = { .count = SHAPE(s, d, m, c, h) };

					check_shape(&spec);
				}
}
END_TEST

START_TEST(zeroed_topology_can_be_finished)
{
	struct topology none = { 0 };

	topology_fini(&none);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("topology");
	TCase *c = tcase_create("topology");
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_loop_test(c, what_is_not_said_is_derived, 0, ARRAY_SIZE(derived));
	tcase_add_test(c, first_vcpus_are_the_present_ones);
	tcase_add_test(c, counts_that_are_no_powers_of_two_leave_holes);
	tcase_add_test(c, every_level_is_rounded_up_by_itself);
	tcase_add_test(c, all_five_levels_have_their_own_bits);
	tcase_add_test(c, ids_above_254_are_given);
	tcase_add_test(c, cpus_in_a_level_is_the_product_below_it);
	tcase_add_test(c, ids_from_255_up_are_wide);
	tcase_add_test(c, levels_have_words);
	tcase_add_loop_test(c, shape_that_does_not_fit_is_refused_with_one_that_does, 0, ARRAY_SIZE(refused));
	tcase_add_loop_test(c, ids_tell_the_place_in_every_small_shape, 1, UP_TO + 1);
	tcase_add_test(c, zeroed_topology_can_be_finished);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
