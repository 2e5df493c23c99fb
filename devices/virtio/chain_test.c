/* Unit tests of chain.c: cursors over segments made by hand. Where chains come from is virtq_test.c's business. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "devices/virtio/virtq.h"

static uint8_t ram[64];
static struct iovec seg[8];
static struct chain c;

/* "abcd" "e" "fghij" to read; 3, 1, 4 bytes to write, behind them in memory. */
static void setup(void)
{
	memset(ram, 0, sizeof(ram));
	memcpy(ram, "abcdefghij", 10);
	seg[0] = (struct iovec){ ram, 4 };
	seg[1] = (struct iovec){ ram + 4, 1 };
	seg[2] = (struct iovec){ ram + 5, 5 };
	seg[3] = (struct iovec){ ram + 16, 3 };
	seg[4] = (struct iovec){ ram + 32, 1 };
	seg[5] = (struct iovec){ ram + 48, 4 };
	c = (struct chain){ .out = seg, .nr_out = 3, .in = seg + 3, .nr_in = 3 };
}

static void make_bad(unsigned int i)
{
	seg[i].iov_base = NULL;
	c.bad = true;
}

START_TEST(sums_are_what_is_left)
{
	ck_assert_uint_eq(chain_readable(&c), 10);
	ck_assert_uint_eq(chain_writable(&c), 8);
	ck_assert_int_eq(chain_skip_out(&c, 5), 0);
	ck_assert_int_eq(chain_skip_in(&c, 7), 0);
	ck_assert_uint_eq(chain_readable(&c), 5);
	ck_assert_uint_eq(chain_writable(&c), 1);
}
END_TEST

START_TEST(sums_count_bad_segments_and_saturate)
{
	make_bad(1);
	seg[1].iov_len = 0xffffffff;
	ck_assert_uint_eq(chain_readable(&c), 4 + 0xffffffffull + 5);
	seg[2].iov_len = SIZE_MAX - 4;
	ck_assert_uint_eq(chain_readable(&c), SIZE_MAX);
}
END_TEST

START_TEST(read_takes_any_number_of_bytes_however_they_are_cut)
{
	/* _i bytes first, the rest then. */
	char got[11] = "";

	ck_assert_int_eq(chain_read(&c, got, (size_t)_i), 0);
	ck_assert_uint_eq(chain_readable(&c), 10 - (size_t)_i);
	ck_assert_int_eq(chain_read(&c, got + _i, 10 - (size_t)_i), 0);
	ck_assert_str_eq(got, "abcdefghij");
	ck_assert_uint_eq(c.nr_out, 0);
	ck_assert_int_eq(chain_read(&c, got, 0), 0);
	ck_assert_int_eq(chain_read(&c, got, 1), -ENODATA);
}
END_TEST

START_TEST(first_segment_left_is_never_empty)
{
	for (unsigned int left = 10; left > 0; left--) {
		ck_assert_uint_ge(c.nr_out, 1);
		ck_assert_uint_gt(c.out[0].iov_len, 0);
		ck_assert_int_eq(chain_skip_out(&c, 1), 0);
	}
	ck_assert_uint_eq(c.nr_out, 0);
}
END_TEST

START_TEST(write_fills_segments_in_turn)
{
	ck_assert_int_eq(chain_write(&c, "12", 2), 0);
	ck_assert_int_eq(chain_write(&c, "345678", 6), 0);
	ck_assert_mem_eq(ram + 16, "123", 4);
	ck_assert_mem_eq(ram + 32, "4", 2);
	ck_assert_mem_eq(ram + 48, "5678", 5);
	ck_assert_int_eq(chain_write(&c, "9", 1), -ENODATA);
}
END_TEST

START_TEST(too_much_is_refused_and_changes_nothing)
{
	char got[16] = "untouched";
	uint8_t *at[8];

	ck_assert_int_eq(chain_read(&c, got, 11), -ENODATA);
	ck_assert_str_eq(got, "untouched");
	ck_assert_int_eq(chain_write(&c, "123456789", 9), -ENODATA);
	ck_assert_uint_eq(ram[16], 0);
	ck_assert_int_eq(chain_skip_out(&c, SIZE_MAX), -ENODATA);
	ck_assert_int_eq(chain_skip_in(&c, 9), -ENODATA);
	ck_assert_int_eq(chain_skip_in(&c, 4), 0);
	ck_assert_int_eq(chain_cut_tail(&c, at, 5), -ENODATA);
	ck_assert_uint_eq(chain_readable(&c), 10);
	ck_assert_uint_eq(chain_writable(&c), 4);
}
END_TEST

START_TEST(bad_segment_stops_what_reaches_it_and_nothing_else)
{
	char got[16] = "untouched";

	make_bad(1);
	make_bad(4);
	ck_assert_int_eq(chain_read(&c, got, 5), -EFAULT);
	ck_assert_int_eq(chain_skip_out(&c, 5), -EFAULT);
	ck_assert_str_eq(got, "untouched");
	ck_assert_int_eq(chain_read(&c, got, 4), 0);
	ck_assert_int_eq(chain_read(&c, got, 0), 0);
	ck_assert_int_eq(chain_read(&c, got, 1), -EFAULT);
	ck_assert_int_eq(chain_write(&c, "1234", 4), -EFAULT);
	ck_assert_int_eq(chain_skip_in(&c, 4), -EFAULT);
	ck_assert_uint_eq(ram[16], 0);
	ck_assert_int_eq(chain_write(&c, "123", 3), 0);
	ck_assert_uint_eq(chain_readable(&c), 6);
	ck_assert_uint_eq(chain_writable(&c), 5);
}
END_TEST

START_TEST(bad_tells_of_each_part_what_is_left_of_it)
{
	ck_assert(chain_out_ok(&c));
	ck_assert(chain_in_ok(&c));
	make_bad(3);
	ck_assert(chain_out_ok(&c));
	ck_assert(!chain_in_ok(&c));
	c.in++;
	c.nr_in--;
	ck_assert(chain_in_ok(&c));
}
END_TEST

START_TEST(tail_is_cut_across_segments_in_its_order)
{
	uint8_t *at[8] = { 0 };
	uint8_t *want[8] = { ram + 16, ram + 17, ram + 18, ram + 32, ram + 48, ram + 49, ram + 50, ram + 51 };
	size_t len = (size_t)_i;

	ck_assert_int_eq(chain_cut_tail(&c, at, len), 0);
	for (size_t i = 0; i < len; i++)
		ck_assert_ptr_eq(at[i], want[8 - len + i]);
	ck_assert_uint_eq(chain_writable(&c), 8 - len);
	ck_assert_uint_eq(c.nr_in, len < 4 ? 3 : len < 5 ? 2 : len < 8 ? 1 : 0);
}
END_TEST

START_TEST(tail_is_cut_behind_a_bad_segment_but_not_through_it)
{
	uint8_t *at[8];

	make_bad(4);
	ck_assert_int_eq(chain_cut_tail(&c, at, 5), -EFAULT);
	ck_assert_uint_eq(chain_writable(&c), 8);
	ck_assert_int_eq(chain_cut_tail(&c, at, 4), 0);
	ck_assert_int_eq(chain_cut_tail(&c, at, 1), -EFAULT);
	ck_assert_uint_eq(chain_writable(&c), 4);
}
END_TEST

START_TEST(chain_without_segments_has_nothing)
{
	uint8_t *at[8];
	char byte;

	c = (struct chain){ .out = seg, .in = seg };
	ck_assert_uint_eq(chain_readable(&c), 0);
	ck_assert_int_eq(chain_read(&c, &byte, 1), -ENODATA);
	ck_assert_int_eq(chain_write(&c, "x", 1), -ENODATA);
	ck_assert_int_eq(chain_cut_tail(&c, at, 1), -ENODATA);
	ck_assert_int_eq(chain_skip_in(&c, 0), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("chain");
	TCase *t = tcase_create("chain");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, sums_are_what_is_left);
	tcase_add_test(t, sums_count_bad_segments_and_saturate);
	tcase_add_loop_test(t, read_takes_any_number_of_bytes_however_they_are_cut, 0, 11);
	tcase_add_test(t, first_segment_left_is_never_empty);
	tcase_add_test(t, write_fills_segments_in_turn);
	tcase_add_test(t, too_much_is_refused_and_changes_nothing);
	tcase_add_test(t, bad_segment_stops_what_reaches_it_and_nothing_else);
	tcase_add_test(t, bad_tells_of_each_part_what_is_left_of_it);
	tcase_add_loop_test(t, tail_is_cut_across_segments_in_its_order, 1, 9);
	tcase_add_test(t, tail_is_cut_behind_a_bad_segment_but_not_through_it);
	tcase_add_test(t, chain_without_segments_has_nothing);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
