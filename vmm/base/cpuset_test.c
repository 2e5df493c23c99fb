/*
 * Unit tests of cpuset.c. They pin threads of their own to a CPU that the test may use anyway; where there is only
 * one, inheriting cannot be told from going there.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/cpuset.h"
#include "vmm/base/iothread.h"

static struct cpuset s, own, one;
static char text[64];

static const char *parsed(const char *list)
{
	return cpuset_parse(&s, list) < 0 ? "refused" : cpuset_text(&s, text, sizeof(text));
}

START_TEST(lists_are_parsed_and_printed_in_rising_order_and_in_ranges)
{
	ck_assert_str_eq(parsed("5"), "5");
	ck_assert_str_eq(parsed("12,2-9"), "2-9,12");
	ck_assert_str_eq(parsed("1,0,2,2"), "0-2");
	ck_assert_str_eq(parsed("63-64,8191"), "63-64,8191");
	ck_assert_uint_eq(cpuset_count(&s), 3);
}
END_TEST

START_TEST(what_is_no_list_of_cpus_or_an_empty_one_is_refused)
{
	ck_assert_str_eq(parsed(""), "refused");
	ck_assert_str_eq(parsed(" "), "refused");
	ck_assert_str_eq(parsed("x"), "refused");
	ck_assert_str_eq(parsed("3-1"), "refused");
	ck_assert_str_eq(parsed("1,"), "refused");
	ck_assert_str_eq(parsed("-1"), "refused");
	ck_assert_str_eq(parsed("8192"), "refused");
	ck_assert_str_eq(parsed("0-4294967296"), "refused");
}
END_TEST

START_TEST(members_above_the_last_are_neither_added_nor_there)
{
	struct cpuset empty = { 0 };

	cpuset_add(&empty, CPUSET_BITS);
	cpuset_add(&empty, UINT32_MAX);
	ck_assert(cpuset_empty(&empty));
	ck_assert(!cpuset_has(&empty, CPUSET_BITS));
	ck_assert_str_eq(cpuset_text(&empty, text, sizeof(text)), "none");
}
END_TEST

START_TEST(text_that_does_not_fit_is_cut_off_and_terminated)
{
	char little[6] = "xxxxx";

	ck_assert_int_eq(cpuset_parse(&s, "10,20,30"), 0);
	ck_assert_str_eq(cpuset_text(&s, little, sizeof(little)), "10,20");
}
END_TEST

START_TEST(cpu_that_no_host_has_cannot_be_gone_to)
{
	ck_assert_int_eq(cpuset_parse(&s, "8191"), 0);
	ck_assert_int_eq(cpuset_apply(&s, 0), -EINVAL);
}
END_TEST

/* ---- where threads go ---- */

/* own: where the test may run; one: the last CPU of those. */
static void affinity_setup(void)
{
	memset(&one, 0, sizeof(one));
	ck_assert_int_eq(cpuset_get_own(&own), 0);
	ck_assert_uint_gt(cpuset_count(&own), 0);
	for (unsigned int i = CPUSET_BITS; i-- && cpuset_empty(&one);)
		if (cpuset_has(&own, i))
			cpuset_add(&one, i);
}

static void *enter_io(void *arg)
{
	affinity_enter_io();
	return cpuset_get_own(arg) < 0 ? arg : NULL;
}

static void *enter_any(void *arg)
{
	affinity_enter_any();
	return cpuset_get_own(arg) < 0 ? arg : NULL;
}

/* Run a thread, made by one that is pinned to a single CPU as a vCPU is; s is where it then was. */
static void run_from_vcpu(void *(*fn)(void *arg))
{
	pthread_t thread;
	void *failed;

	ck_assert_int_eq(cpuset_apply(&one, 0), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, fn, &s), 0);
	pthread_join(thread, &failed);
	ck_assert_ptr_null(failed);
}

static bool same(const struct cpuset *a, const struct cpuset *b)
{
	return !memcmp(a, b, sizeof(*a));
}

START_TEST(thread_of_a_pinned_one_inherits_when_nothing_was_set)
{
	run_from_vcpu(enter_io);
	ck_assert(same(&s, &one));
	run_from_vcpu(enter_any);
	ck_assert(same(&s, &one));
	ck_assert_ptr_null(affinity_io());
}
END_TEST

START_TEST(io_thread_of_a_pinned_one_goes_where_io_belongs)
{
	affinity_set_io(&own);
	ck_assert(same(affinity_io(), &own));
	run_from_vcpu(enter_io);
	ck_assert(same(&s, &own));
}
END_TEST

START_TEST(io_thread_without_a_place_goes_where_the_process_could_run)
{
	affinity_set_io(NULL);
	ck_assert_ptr_null(affinity_io());
	run_from_vcpu(enter_io);
	ck_assert(same(&s, &own));
}
END_TEST

START_TEST(thread_that_is_not_pinned_does_not_follow_io)
{
	affinity_set_io(&one);
	run_from_vcpu(enter_any);
	ck_assert(same(&s, &own));
	run_from_vcpu(enter_io);
	ck_assert(same(&s, &one));
}
END_TEST

START_TEST(where_the_process_could_run_is_not_taken_from_a_pinned_thread)
{
	affinity_set_io(&one);
	ck_assert_int_eq(cpuset_apply(&one, 0), 0);
	affinity_set_io(NULL);
	run_from_vcpu(enter_any);
	ck_assert(same(&s, &own));
}
END_TEST

START_TEST(place_that_is_gone_leaves_the_thread_where_it_is)
{
	struct cpuset gone;

	ck_assert_int_eq(cpuset_parse(&gone, "8191"), 0);
	affinity_set_io(&gone);
	run_from_vcpu(enter_io);
	ck_assert(same(&s, &one));
}
END_TEST

static void get_own(void *ctx)
{
	ck_assert_int_eq(cpuset_get_own(ctx), 0);
}

START_TEST(iothread_started_by_a_pinned_thread_is_not_pinned_with_it)
{
	struct iothread t;

	affinity_set_io(&own);
	ck_assert_int_eq(iothread_init(&t, "unit-io", NULL), 0);
	ck_assert_int_eq(cpuset_apply(&one, 0), 0);
	ck_assert_int_eq(iothread_start(&t, NULL), 0);
	iothread_call(&t, get_own, &s);
	iothread_fini(&t);
	ck_assert(same(&s, &own));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cpuset");
	TCase *sets = tcase_create("sets"), *affinity = tcase_create("affinity");
	SRunner *sr;
	int failed;

	tcase_add_test(sets, lists_are_parsed_and_printed_in_rising_order_and_in_ranges);
	tcase_add_test(sets, what_is_no_list_of_cpus_or_an_empty_one_is_refused);
	tcase_add_test(sets, members_above_the_last_are_neither_added_nor_there);
	tcase_add_test(sets, text_that_does_not_fit_is_cut_off_and_terminated);
	tcase_add_test(sets, cpu_that_no_host_has_cannot_be_gone_to);
	/* each in a process of its own (Check forks), and so is what it pins */
	tcase_add_checked_fixture(affinity, affinity_setup, NULL);
	tcase_add_test(affinity, thread_of_a_pinned_one_inherits_when_nothing_was_set);
	tcase_add_test(affinity, io_thread_of_a_pinned_one_goes_where_io_belongs);
	tcase_add_test(affinity, io_thread_without_a_place_goes_where_the_process_could_run);
	tcase_add_test(affinity, thread_that_is_not_pinned_does_not_follow_io);
	tcase_add_test(affinity, where_the_process_could_run_is_not_taken_from_a_pinned_thread);
	tcase_add_test(affinity, place_that_is_gone_leaves_the_thread_where_it_is);
	tcase_add_test(affinity, iothread_started_by_a_pinned_thread_is_not_pinned_with_it);
	suite_add_tcase(suite, sets);
	suite_add_tcase(suite, affinity);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
