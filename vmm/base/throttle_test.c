/* Unit tests of throttle.c. Time is an argument, so nothing here waits. */
#include <check.h>
#include <stdlib.h>

#include "vmm/base/throttle.h"

#define SECOND 1000000000ull

static struct throttle t;

static void limit(uint64_t ops, uint64_t ops_burst, uint64_t bytes, uint64_t bytes_burst)
{
	const struct throttle_limits limits = {
		.ops = ops, .ops_burst = ops_burst, .bytes = bytes, .bytes_burst = bytes_burst,
	};

	throttle_init(&t, &limits);
}

static void teardown(void)
{
	throttle_fini(&t);
}

START_TEST(without_limits_nothing_waits)
{
	limit(0, 0, 0, 0);
	ck_assert(!throttle_active(&t));
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(throttle_take(&t, SECOND, UINT64_MAX, false), 0);
}
END_TEST

START_TEST(burst_goes_at_once_and_the_next_waits_for_its_token)
{
	limit(100, 5, 0, 0);
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(throttle_take(&t, SECOND, 512, false), 0);
	ck_assert_uint_eq(throttle_take(&t, SECOND, 512, false), SECOND / 100);
	ck_assert_uint_eq(throttle_take(&t, SECOND + SECOND / 100 - 1, 512, true), 1);
	ck_assert_uint_eq(throttle_take(&t, SECOND + SECOND / 100, 512, true), 0);
}
END_TEST

START_TEST(rate_holds_over_a_minute_however_often_it_is_asked)
{
	uint64_t now = SECOND, taken = 0;

	limit(0, 0, 7777777, 100000);
	while (now < 61 * SECOND) {
		uint64_t wait = throttle_take(&t, now, 1500, false);

		if (wait)
			now += MIN(wait, 1000003ull); /* asks far too early */
		else
			taken += 1500;
	}
	ck_assert_uint_ge(taken, 60 * 7777777ull - 1500);
	ck_assert_uint_le(taken, 60 * 7777777ull + 100000 + 1500);
}
END_TEST

START_TEST(request_beyond_the_burst_goes_when_full_and_is_paid_back)
{
	limit(0, 0, 1000, 100);
	ck_assert_uint_eq(throttle_take(&t, SECOND, 10000, false), 0);
	ck_assert_uint_eq(throttle_take(&t, SECOND, 100, false), 10 * SECOND);
	ck_assert_uint_eq(throttle_take(&t, 11 * SECOND, 100, true), 0);
}
END_TEST

START_TEST(the_slower_of_two_limits_decides)
{
	limit(1000, 1, 100, 100);
	ck_assert_uint_eq(throttle_take(&t, SECOND, 100, false), 0);
	ck_assert_uint_eq(throttle_take(&t, SECOND, 50, false), SECOND / 2);
	ck_assert_uint_eq(throttle_take(&t, SECOND + SECOND / 2, 50, true), 0);
}
END_TEST

START_TEST(clock_that_stands_or_goes_back_gives_no_tokens)
{
	limit(1, 1, 0, 0);
	ck_assert_uint_eq(throttle_take(&t, 10 * SECOND, 1, false), 0);
	ck_assert_uint_eq(throttle_take(&t, 9 * SECOND, 1, false), SECOND);
	ck_assert_uint_eq(throttle_take(&t, 10 * SECOND, 1, true), SECOND);
	ck_assert_uint_eq(throttle_take(&t, 11 * SECOND, 1, true), 0);
}
END_TEST

START_TEST(waits_are_counted_once_with_their_time)
{
	limit(1, 1, 0, 0);
	(void)throttle_take(&t, SECOND, 1, false);
	(void)throttle_take(&t, SECOND, 1, false);
	(void)throttle_take(&t, SECOND + SECOND / 2, 1, true);
	(void)throttle_take(&t, 2 * SECOND, 1, true);
	ck_assert_uint_eq(t.waits, 1);
	ck_assert_uint_eq(t.waited_ns, SECOND);
}
END_TEST

START_TEST(waiter_that_never_asks_again_counts_until_its_time)
{
	limit(1, 1, 0, 0);
	(void)throttle_take(&t, SECOND, 1, false);
	(void)throttle_take(&t, SECOND, 1, false);
	(void)throttle_take(&t, 100 * SECOND, 1, false);
	ck_assert_uint_eq(t.waited_ns, SECOND);
}
END_TEST

START_TEST(largest_numbers_do_not_overflow)
{
	limit(UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX);
	ck_assert_uint_eq(throttle_take(&t, 1, UINT64_MAX, false), 0);
	ck_assert_uint_le(throttle_take(&t, 1, UINT64_MAX, false), 2 * SECOND);
	ck_assert_uint_eq(throttle_take(&t, UINT64_MAX, UINT64_MAX, true), 0);
}
END_TEST

START_TEST(burst_of_zero_is_a_tenth_of_a_second)
{
	limit(1000, 0, 0, 0);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(throttle_take(&t, SECOND, 0, false), 0);
	ck_assert_uint_gt(throttle_take(&t, SECOND, 0, false), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("throttle");
	TCase *c = tcase_create("throttle");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, without_limits_nothing_waits);
	tcase_add_test(c, burst_goes_at_once_and_the_next_waits_for_its_token);
	tcase_add_test(c, rate_holds_over_a_minute_however_often_it_is_asked);
	tcase_add_test(c, request_beyond_the_burst_goes_when_full_and_is_paid_back);
	tcase_add_test(c, the_slower_of_two_limits_decides);
	tcase_add_test(c, clock_that_stands_or_goes_back_gives_no_tokens);
	tcase_add_test(c, waits_are_counted_once_with_their_time);
	tcase_add_test(c, waiter_that_never_asks_again_counts_until_its_time);
	tcase_add_test(c, largest_numbers_do_not_overflow);
	tcase_add_test(c, burst_of_zero_is_a_tenth_of_a_second);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
