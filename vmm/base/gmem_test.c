/* Unit tests of gmem.c: two ranges that touch, one apart. What is RAM is decided elsewhere. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/gmem.h"

#define PAGE 0x1000ull
#define LOW  0x10000ull        /* two pages */
#define MID  (LOW + 2 * PAGE)  /* one page, touches LOW's end */
#define FAR  0x100000000ull    /* one page */

static uint8_t low[2 * PAGE], mid[PAGE], far[PAGE];
static struct gmem m;
static struct err e;

static void setup(void)
{
	m = (struct gmem){ 0 };
	e = (struct err){ 0 };
	memset(low, 0x11, sizeof(low));
	memset(mid, 0x22, sizeof(mid));
	memset(far, 0x33, sizeof(far));
	/* Not in the order of addresses: the table sorts. */
	ck_assert_int_eq(gmem_add(&m, FAR, sizeof(far), far, &e), 0);
	ck_assert_int_eq(gmem_add(&m, LOW, sizeof(low), low, &e), 0);
	ck_assert_int_eq(gmem_add(&m, MID, sizeof(mid), mid, &e), 0);
}

START_TEST(ranges_are_kept_by_rising_address)
{
	ck_assert_uint_eq(m.nr_ranges, 3);
	ck_assert_uint_eq(m.range[0].gpa, LOW);
	ck_assert_uint_eq(m.range[1].gpa, MID);
	ck_assert_uint_eq(m.range[2].gpa, FAR);
	ck_assert_ptr_eq(m.range[1].hva, mid);
}
END_TEST

static const struct {
	uint64_t gpa, len;
} bad_range[] = {
	{ 0x500000, 0 },                 /* empty */
	{ 0x500000, UINT64_MAX },        /* wraps */
	{ UINT64_MAX - PAGE + 1, PAGE }, /* its end is no number */
	{ LOW, PAGE },                   /* the same begin */
	{ LOW + PAGE, PAGE },            /* inside */
	{ LOW - PAGE, 2 * PAGE },        /* over the begin */
	{ LOW - PAGE, 8 * PAGE },        /* around two of them */
	{ MID, 2 * PAGE },               /* over the end */
	{ FAR - PAGE, PAGE + 1 },        /* one byte too many */
};

START_TEST(range_that_is_empty_wraps_or_overlaps_is_refused)
{
	ck_assert_int_eq(gmem_add(&m, bad_range[_i].gpa, bad_range[_i].len, low, &e), -EINVAL);
	ck_assert_str_ne(e.text, "");
	ck_assert_uint_eq(m.nr_ranges, 3);
}
END_TEST

START_TEST(more_ranges_than_fit_are_refused)
{
	for (uint64_t i = m.nr_ranges; i < GMEM_MAX_RANGES; i++)
		ck_assert_int_eq(gmem_add(&m, FAR + 2 * i * PAGE, PAGE, far, &e), 0);
	ck_assert_int_eq(gmem_add(&m, FAR + 4096 * PAGE, PAGE, far, &e), -ENOSPC);
	ck_assert_uint_eq(m.nr_ranges, GMEM_MAX_RANGES);
}
END_TEST

START_TEST(hva_inside_one_range_points_to_it)
{
	ck_assert_ptr_eq(gmem_hva(&m, LOW, 2 * PAGE), low);
	ck_assert_ptr_eq(gmem_hva(&m, LOW + 5, 1), low + 5);
	ck_assert_ptr_eq(gmem_hva(&m, MID - 1, 1), low + 2 * PAGE - 1);
	ck_assert_ptr_eq(gmem_hva(&m, FAR + PAGE - 8, 8), far + PAGE - 8);
}
END_TEST

static const struct {
	uint64_t gpa;
	size_t len;
} no_hva[] = {
	{ 0, 1 },
	{ LOW - 1, 1 },
	{ LOW - 1, 2 },
	{ LOW, 2 * PAGE + 1 },     /* leaves its range, although RAM follows */
	{ MID - 1, 2 },
	{ MID + PAGE, 1 },
	{ MID + PAGE, 0 },         /* a length of 0 needs a valid address, too */
	{ FAR, SIZE_MAX },
	{ FAR + 1, SIZE_MAX },     /* gpa + len wraps to RAM's begin */
	{ UINT64_MAX, 1 },
	{ UINT64_MAX, SIZE_MAX },
};

START_TEST(hva_that_leaves_its_range_is_null)
{
	ck_assert_ptr_null(gmem_hva(&m, no_hva[_i].gpa, no_hva[_i].len));
}
END_TEST

START_TEST(hva_of_length_0_inside_ram_is_valid)
{
	ck_assert_ptr_eq(gmem_hva(&m, LOW + 7, 0), low + 7);
}
END_TEST

START_TEST(read_across_touching_ranges_gives_both)
{
	uint8_t got[4] = { 0 };
	const uint8_t want[4] = { 0x11, 0x11, 0x22, 0x22 };

	ck_assert_int_eq(gmem_read(&m, MID - 2, got, 4), 0);
	ck_assert_mem_eq(got, want, 4);
}
END_TEST

START_TEST(write_across_touching_ranges_reaches_both)
{
	ck_assert_int_eq(gmem_write(&m, MID - 2, "abcd", 4), 0);
	ck_assert_mem_eq(low + 2 * PAGE - 2, "ab", 2);
	ck_assert_mem_eq(mid, "cd", 2);
	ck_assert_uint_eq(low[2 * PAGE - 3], 0x11);
	ck_assert_uint_eq(mid[2], 0x22);
}
END_TEST

START_TEST(zero_across_touching_ranges_clears_no_more_than_asked)
{
	ck_assert_int_eq(gmem_zero(&m, MID - 1, PAGE), 0);
	ck_assert_uint_eq(low[2 * PAGE - 2], 0x11);
	ck_assert_uint_eq(low[2 * PAGE - 1], 0);
	ck_assert_uint_eq(mid[PAGE - 2], 0);
	ck_assert_uint_eq(mid[PAGE - 1], 0x22);
}
END_TEST

static const struct {
	uint64_t gpa;
	size_t len;
} not_ram[] = {
	{ LOW - 1, 2 },
	{ MID, PAGE + 1 },
	{ LOW, 3 * PAGE + 1 },     /* both touching ranges, and a byte behind them */
	{ FAR + PAGE - 1, 2 },
	{ UINT64_MAX, 2 },
	{ FAR, SIZE_MAX },
	{ FAR + PAGE - 1, SIZE_MAX },
};

START_TEST(span_with_a_byte_outside_ram_copies_nothing)
{
	static uint8_t want_low[2 * PAGE], want_mid[PAGE], want_far[PAGE];
	uint8_t buf[1] = { 0xaa };

	memset(want_low, 0x11, sizeof(want_low));
	memset(want_mid, 0x22, sizeof(want_mid));
	memset(want_far, 0x33, sizeof(want_far));
	ck_assert_int_eq(gmem_read(&m, not_ram[_i].gpa, buf, not_ram[_i].len), -EFAULT);
	ck_assert_int_eq(gmem_write(&m, not_ram[_i].gpa, buf, not_ram[_i].len), -EFAULT);
	ck_assert_int_eq(gmem_zero(&m, not_ram[_i].gpa, not_ram[_i].len), -EFAULT);
	ck_assert_uint_eq(buf[0], 0xaa);
	ck_assert_mem_eq(low, want_low, sizeof(low));
	ck_assert_mem_eq(mid, want_mid, sizeof(mid));
	ck_assert_mem_eq(far, want_far, sizeof(far));
}
END_TEST

START_TEST(empty_memory_has_no_ram)
{
	struct gmem none = { 0 };
	uint8_t b;

	ck_assert_ptr_null(gmem_hva(&none, 0, 0));
	ck_assert_int_eq(gmem_read(&none, 0, &b, 1), -EFAULT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gmem");
	TCase *t = tcase_create("gmem");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, ranges_are_kept_by_rising_address);
	tcase_add_loop_test(t, range_that_is_empty_wraps_or_overlaps_is_refused, 0, ARRAY_SIZE(bad_range));
	tcase_add_test(t, more_ranges_than_fit_are_refused);
	tcase_add_test(t, hva_inside_one_range_points_to_it);
	tcase_add_loop_test(t, hva_that_leaves_its_range_is_null, 0, ARRAY_SIZE(no_hva));
	tcase_add_test(t, hva_of_length_0_inside_ram_is_valid);
	tcase_add_test(t, read_across_touching_ranges_gives_both);
	tcase_add_test(t, write_across_touching_ranges_reaches_both);
	tcase_add_test(t, zero_across_touching_ranges_clears_no_more_than_asked);
	tcase_add_loop_test(t, span_with_a_byte_outside_ram_copies_nothing, 0, ARRAY_SIZE(not_ram));
	tcase_add_test(t, empty_memory_has_no_ram);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
