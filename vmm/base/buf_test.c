/* Unit tests of buf.c. That memory runs out is played with a length which no machine has. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/buf.h"

/* The address sanitizer ends a program that asks for too much, unless it is told not to. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static struct buf b;

static void setup(void)
{
	b = (struct buf){ 0 };
}

static void teardown(void)
{
	buf_fini(&b);
}

START_TEST(empty_buffer_has_no_bytes_and_no_failure)
{
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(buf_status(&b), 0);
}
END_TEST

START_TEST(integers_are_little_endian)
{
	const uint8_t want[] = { 1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8 };

	buf_put8(&b, 0x01);
	buf_put16(&b, 0x0203);
	buf_put32(&b, 0x04050607);
	buf_put64(&b, 0x08090a0b0c0d0e0f);
	ck_assert_uint_eq(b.len, sizeof(want));
	ck_assert_mem_eq(b.data, want, sizeof(want));
}
END_TEST

START_TEST(bytes_survive_growth)
{
	for (unsigned int i = 0; i < 5000; i++)
		buf_put16(&b, (uint16_t)i);
	ck_assert_int_eq(buf_status(&b), 0);
	ck_assert_uint_eq(b.len, 10000);
	for (unsigned int i = 0; i < 5000; i++)
		ck_assert_uint_eq(get_le16(b.data + 2 * i), i);
}
END_TEST

START_TEST(one_put_larger_than_twice_the_buffer_fits)
{
	static uint8_t big[100000];

	memset(big, 0x5a, sizeof(big));
	buf_put8(&b, 1);
	buf_put(&b, big, sizeof(big));
	ck_assert_int_eq(buf_status(&b), 0);
	ck_assert_uint_eq(b.len, 1 + sizeof(big));
	ck_assert_mem_eq(b.data + 1, big, sizeof(big));
}
END_TEST

START_TEST(put_of_nothing_changes_nothing)
{
	buf_put(&b, NULL, 0);
	buf_put_zero(&b, 0);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(reserved_room_is_used_without_moving)
{
	const uint8_t *was;

	buf_put8(&b, 1);
	buf_reserve(&b, 10000);
	ck_assert_uint_eq(b.len, 1);
	was = b.data;
	buf_put_zero(&b, 10000);
	ck_assert_ptr_eq(b.data, was);
	ck_assert_uint_eq(b.len, 10001);
	buf_reserve(&b, SIZE_MAX);
	ck_assert_int_eq(buf_status(&b), -ENOMEM);
}
END_TEST

START_TEST(zeros_are_zero_in_reused_memory)
{
	const uint8_t want[300] = { 0 };

	buf_put_zero(&b, sizeof(want));
	ck_assert_uint_eq(b.len, sizeof(want));
	ck_assert_mem_eq(b.data, want, sizeof(want));
}
END_TEST

START_TEST(align_fills_up_to_the_next_multiple_only)
{
	buf_put8(&b, 0xff);
	buf_align(&b, 16);
	ck_assert_uint_eq(b.len, 16);
	ck_assert_uint_eq(b.data[1], 0);
	ck_assert_uint_eq(b.data[15], 0);
	buf_align(&b, 16);
	ck_assert_uint_eq(b.len, 16);
	buf_align(&b, 4096);
	ck_assert_uint_eq(b.len, 4096);
}
END_TEST

START_TEST(patch_overwrites_exactly_its_bytes)
{
	const uint8_t want[] = { 0xa1, 0xb2, 0xb1, 0xc4, 0xc3, 0xc2, 0xc1,
				 0xd8, 0xd7, 0xd6, 0xd5, 0xd4, 0xd3, 0xd2, 0xd1, 0 };

	buf_put_zero(&b, 16);
	buf_patch8(&b, 0, 0xa1);
	buf_patch16(&b, 1, 0xb1b2);
	buf_patch32(&b, 3, 0xc1c2c3c4);
	buf_patch64(&b, 7, 0xd1d2d3d4d5d6d7d8);
	ck_assert_uint_eq(b.len, 16);
	ck_assert_mem_eq(b.data, want, sizeof(want));
}
END_TEST

START_TEST(patch_of_the_last_byte_is_allowed)
{
	buf_put32(&b, 0);
	buf_patch32(&b, 0, 0xffffffff);
	buf_patch8(&b, 3, 0x12);
	ck_assert_uint_eq(get_le32(b.data), 0x12ffffff);
}
END_TEST

static const size_t impossible[] = { SIZE_MAX, SIZE_MAX - 7, SIZE_MAX / 2 + 1, SIZE_MAX / 2 - 8 };

START_TEST(out_of_memory_sticks_and_keeps_what_was_there)
{
	buf_put32(&b, 0x01020304);
	buf_put_zero(&b, impossible[_i]);
	ck_assert_int_eq(buf_status(&b), -ENOMEM);
	buf_put8(&b, 5);
	buf_align(&b, 64);
	buf_patch8(&b, 4096, 1); /* was never put, since putting failed */
	ck_assert_int_eq(buf_status(&b), -ENOMEM);
	ck_assert_uint_eq(b.len, 4);
	ck_assert_uint_eq(get_le32(b.data), 0x01020304);
}
END_TEST

START_TEST(out_of_memory_of_an_empty_buffer_is_told)
{
	buf_put_zero(&b, impossible[_i]);
	ck_assert_int_eq(buf_status(&b), -ENOMEM);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(fini_makes_a_failed_buffer_usable_again)
{
	buf_put_zero(&b, SIZE_MAX / 4);
	buf_fini(&b);
	buf_put8(&b, 9);
	ck_assert_int_eq(buf_status(&b), 0);
	ck_assert_uint_eq(b.len, 1);
	ck_assert_uint_eq(b.data[0], 9);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("buf");
	TCase *t = tcase_create("buf");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, empty_buffer_has_no_bytes_and_no_failure);
	tcase_add_test(t, integers_are_little_endian);
	tcase_add_test(t, bytes_survive_growth);
	tcase_add_test(t, one_put_larger_than_twice_the_buffer_fits);
	tcase_add_test(t, put_of_nothing_changes_nothing);
	tcase_add_test(t, reserved_room_is_used_without_moving);
	tcase_add_test(t, zeros_are_zero_in_reused_memory);
	tcase_add_test(t, align_fills_up_to_the_next_multiple_only);
	tcase_add_test(t, patch_overwrites_exactly_its_bytes);
	tcase_add_test(t, patch_of_the_last_byte_is_allowed);
	tcase_add_loop_test(t, out_of_memory_sticks_and_keeps_what_was_there, 0, ARRAY_SIZE(impossible));
	tcase_add_loop_test(t, out_of_memory_of_an_empty_buffer_is_told, 0, ARRAY_SIZE(impossible));
	tcase_add_test(t, fini_makes_a_failed_buffer_usable_again);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
