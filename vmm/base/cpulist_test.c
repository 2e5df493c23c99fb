/* Unit tests of cpulist.c. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/cpulist.h"

static char seen[256];
static unsigned int calls, stop_at;

static void setup(void)
{
	seen[0] = 0;
	calls = 0;
	stop_at = 99999;
}

static int note(void *ctx, unsigned int n)
{
	size_t len = strlen(seen);

	ck_assert_ptr_eq(ctx, &calls);
	calls++;
	if (len < sizeof(seen))
		snprintf(seen + len, sizeof(seen) - len, "%u ", n);
	return n == stop_at ? -E2BIG : 0;
}

static const struct {
	const char *text, *want;
} good[] = {
	{ "", "" },
	{ "\n", "" },
	{ "0", "0 " },
	{ "0-3,8\n", "0 1 2 3 8 " },
	{ " 0-1,5-5,7 \t\n", "0 1 5 7 " },
	{ "9,2,2-3", "9 2 2 3 " },
	{ "010", "10 " },
	{ "0x10-0x12,0XfF", "16 17 18 255 " },
	{ "4095", "4095 " },
	{ "0000000000000000000000000000000007", "7 " },
};

START_TEST(list_is_read_in_its_order)
{
	ck_assert_int_eq(cpulist_each(good[_i].text, 4095, note, &calls), 0);
	ck_assert_str_eq(seen, good[_i].want);
}
END_TEST

static const char *const bad[] = {
	"a",          "-1",
	"+1",         "1-",
	"-",          ",",
	"1,",         ",1",
	"1,,2",       "3-1",
	"1 2",        "1, 2",
	"4096",       "0-4096",
	"1.5",        "0x",
	"0xg",        "1x",
	"1-2-3",      "0x1000",
	"4294967296", "18446744073709551616",
	"0-3:1/2",    "1;2",
};

START_TEST(text_that_is_no_list_is_refused)
{
	ck_assert_int_eq(cpulist_each(bad[_i], 4095, note, &calls), -EINVAL);
}
END_TEST

START_TEST(range_out_of_bounds_is_refused_before_it_is_walked)
{
	ck_assert_int_eq(cpulist_each("0-4294967295", 4095, note, &calls), -EINVAL);
	ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(range_up_to_the_largest_number_ends)
{
	ck_assert_int_eq(cpulist_each("4294967294-4294967295", UINT32_MAX, note, &calls), 0);
	ck_assert_str_eq(seen, "4294967294 4294967295 ");
}
END_TEST

START_TEST(walk_ends_with_what_the_callee_returned)
{
	stop_at = 2;
	ck_assert_int_eq(cpulist_each("0-9", 4095, note, &calls), -E2BIG);
	ck_assert_uint_eq(calls, 3);
}
END_TEST

static bool in_mask(const void *ctx, unsigned int i)
{
	return *(const uint64_t *)ctx >> i & 1;
}

static const struct {
	uint64_t mask;
	unsigned int nr;
	const char *want;
} printed[] = {
	{ 0, 64, "" },
	{ 1, 64, "0" },
	{ 0x10f, 64, "0-3,8" },
	{ 0x10f, 3, "0-2" },
	{ 0x15, 5, "0,2,4" },
	{ 0xffffffffffffffff, 64, "0-63" },
	{ 0xffffffffffffffff, 0, "" },
	{ 0x8000000000000001, 64, "0,63" },
};

START_TEST(numbers_are_printed_as_ranges)
{
	char text[64] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	ck_assert_ptr_nonnull(out);
	cpulist_print(out, printed[_i].nr, in_mask, &printed[_i].mask);
	fclose(out);
	ck_assert_str_eq(text, printed[_i].want);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cpulist");
	TCase *c = tcase_create("cpulist");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_loop_test(c, list_is_read_in_its_order, 0, ARRAY_SIZE(good));
	tcase_add_loop_test(c, text_that_is_no_list_is_refused, 0, ARRAY_SIZE(bad));
	tcase_add_test(c, range_out_of_bounds_is_refused_before_it_is_walked);
	tcase_add_test(c, range_up_to_the_largest_number_ends);
	tcase_add_test(c, walk_ends_with_what_the_callee_returned);
	tcase_add_loop_test(c, numbers_are_printed_as_ranges, 0, ARRAY_SIZE(printed));
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
