/* Unit tests of state.c: what was written is read back, and a file that lies is refused with a sentence. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/state.h"

static struct buf b;
static struct err e;

static void setup(void)
{
	b = (struct buf){ 0 };
	e = (struct err){ 0 };
}

static void teardown(void)
{
	buf_fini(&b);
}

/* Section "rtc", version 2, with a body of 15 bytes. */
static void put_rtc(void)
{
	size_t mark = state_begin(&b, "rtc", 2);

	buf_put8(&b, 0x11);
	buf_put16(&b, 0x2233);
	buf_put32(&b, 0x44556677);
	buf_put64(&b, 0x8899aabbccddeeff);
	state_end(&b, mark);
}

static struct state_reader reader(void)
{
	return (struct state_reader){ .data = b.data, .len = b.len };
}

START_TEST(section_has_the_documented_bytes)
{
	const uint8_t want[] = { 3, 'r', 't', 'c', 2, 0, 0, 0, 15, 0, 0, 0, 0x11, 0x33, 0x22 };

	put_rtc();
	ck_assert_uint_eq(b.len, 12 + 15);
	ck_assert_mem_eq(b.data, want, sizeof(want));
}
END_TEST

START_TEST(integers_come_back)
{
	struct state_reader r, body;

	put_rtc();
	r = reader();
	ck_assert_int_eq(state_open(&r, "rtc", 2, &body, &e), 0);
	ck_assert_uint_eq(body.version, 2);
	ck_assert_uint_eq(state_get8(&body), 0x11);
	ck_assert_uint_eq(state_get16(&body), 0x2233);
	ck_assert_uint_eq(state_get32(&body), 0x44556677);
	ck_assert_uint_eq(state_get64(&body), 0x8899aabbccddeeff);
	ck_assert_int_eq(state_close(&body, "rtc", &e), 0);
	ck_assert_uint_eq(r.pos, r.len);
}
END_TEST

START_TEST(sections_follow_each_other)
{
	struct state_reader r, body;

	put_rtc();
	state_end(&b, state_begin(&b, "empty", 1));
	put_rtc();
	r = reader();
	ck_assert_int_eq(state_open(&r, "rtc", 9, &body, &e), 0);
	ck_assert_int_eq(state_open(&r, "empty", 1, &body, &e), 0);
	ck_assert_int_eq(state_close(&body, "empty", &e), 0);
	ck_assert_int_eq(state_open(&r, "rtc", 9, &body, &e), 0);
}
END_TEST

START_TEST(sections_may_be_nested)
{
	struct state_reader r, outer, inner;
	size_t mark = state_begin(&b, "outer", 1);

	put_rtc();
	state_end(&b, mark);
	r = reader();
	ck_assert_int_eq(state_open(&r, "outer", 1, &outer, &e), 0);
	ck_assert_int_eq(state_open(&outer, "rtc", 2, &inner, &e), 0);
	ck_assert_int_eq(state_close(&outer, "outer", &e), 0);
	ck_assert_uint_eq(state_get8(&inner), 0x11);
}
END_TEST

START_TEST(name_of_255_bytes_comes_back)
{
	char name[256];
	struct state_reader r, body;

	memset(name, 'n', 255);
	name[255] = 0;
	state_end(&b, state_begin(&b, name, 1));
	r = reader();
	ck_assert_int_eq(state_open(&r, name, 1, &body, &e), 0);
}
END_TEST

START_TEST(other_section_is_refused_by_name)
{
	struct state_reader r, body;

	put_rtc();
	r = reader();
	ck_assert_int_eq(state_open(&r, "pm", 2, &body, &e), -EINVAL);
	ck_assert_str_eq(e.text, "saved state has section 'rtc' where 'pm' was expected");
}
END_TEST

START_TEST(version_above_what_we_read_is_refused)
{
	struct state_reader r, body;

	put_rtc();
	r = reader();
	ck_assert_int_eq(state_open(&r, "rtc", 1, &body, &e), -EINVAL);
	ck_assert_str_eq(e.text, "saved state of 'rtc' has version 2; this program reads 1 to 1");
}
END_TEST

START_TEST(version_0_is_refused)
{
	struct state_reader r, body;

	put_rtc();
	buf_patch32(&b, 4, 0);
	r = reader();
	ck_assert_int_eq(state_open(&r, "rtc", 2, &body, &e), -EINVAL);
}
END_TEST

START_TEST(header_cut_anywhere_is_refused)
{
	struct state_reader r, body;

	put_rtc();
	r = reader();
	r.len = (size_t)_i;
	ck_assert_int_eq(state_open(&r, "rtc", 2, &body, &e), -EINVAL);
	ck_assert_str_eq(e.text, "saved state ends where section 'rtc' was expected");
}
END_TEST

START_TEST(body_cut_anywhere_is_refused)
{
	struct state_reader r, body;

	put_rtc();
	r = reader();
	r.len = (size_t)_i;
	ck_assert_int_eq(state_open(&r, "rtc", 2, &body, &e), -EINVAL);
	ck_assert_str_eq(e.text, "saved state of 'rtc' is cut short");
}
END_TEST

START_TEST(body_length_beyond_the_file_is_refused)
{
	struct state_reader r, body;

	put_rtc();
	buf_patch32(&b, 8, UINT32_MAX);
	r = reader();
	ck_assert_int_eq(state_open(&r, "rtc", 2, &body, &e), -EINVAL);
	ck_assert_str_eq(e.text, "saved state of 'rtc' is cut short");
}
END_TEST

START_TEST(get_past_the_body_gives_zeros_and_sticks)
{
	struct state_reader r, body;

	put_rtc();
	put_rtc(); /* bytes behind the body are there, and are not the body's */
	r = reader();
	ck_assert_int_eq(state_open(&r, "rtc", 2, &body, &e), 0);
	state_get64(&body);
	ck_assert_uint_eq(state_get64(&body), 0);
	ck_assert_uint_eq(state_get8(&body), 0);
	ck_assert_int_eq(state_close(&body, "rtc", &e), -EINVAL);
	ck_assert_str_eq(e.text, "saved state of 'rtc' is cut short");
}
END_TEST

START_TEST(get_of_a_length_that_would_wrap_gives_zeros)
{
	struct state_reader r = { .data = (const uint8_t *)"abcd", .len = SIZE_MAX, .pos = SIZE_MAX - 2 };
	uint8_t got[4] = { 1, 2, 3, 4 };
	const uint8_t zero[4] = { 0 };

	state_get(&r, got, sizeof(got));
	ck_assert(r.failed);
	ck_assert_mem_eq(got, zero, sizeof(got));
}
END_TEST

START_TEST(bytes_left_over_are_refused)
{
	struct state_reader r, body;

	put_rtc();
	r = reader();
	ck_assert_int_eq(state_open(&r, "rtc", 2, &body, &e), 0);
	state_get64(&body);
	ck_assert_int_eq(state_close(&body, "rtc", &e), -EINVAL);
	ck_assert_str_eq(e.text, "saved state of 'rtc' has 7 bytes too many");
}
END_TEST

START_TEST(unprintable_name_in_a_file_ends_at_its_first_zero)
{
	const uint8_t bytes[] = { 5, 'r', 't', 0, 'x', 'y', 1, 0, 0, 0, 0, 0, 0, 0 };
	struct state_reader r = { .data = bytes, .len = sizeof(bytes) }, body;

	ck_assert_int_eq(state_open(&r, "rtc", 1, &body, &e), -EINVAL);
	ck_assert_str_eq(e.text, "saved state has section 'rt' where 'rtc' was expected");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state");
	TCase *t = tcase_create("state");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, section_has_the_documented_bytes);
	tcase_add_test(t, integers_come_back);
	tcase_add_test(t, sections_follow_each_other);
	tcase_add_test(t, sections_may_be_nested);
	tcase_add_test(t, name_of_255_bytes_comes_back);
	tcase_add_test(t, other_section_is_refused_by_name);
	tcase_add_test(t, version_above_what_we_read_is_refused);
	tcase_add_test(t, version_0_is_refused);
	tcase_add_loop_test(t, header_cut_anywhere_is_refused, 0, 12);
	tcase_add_loop_test(t, body_cut_anywhere_is_refused, 12, 12 + 15);
	tcase_add_test(t, body_length_beyond_the_file_is_refused);
	tcase_add_test(t, get_past_the_body_gives_zeros_and_sticks);
	tcase_add_test(t, get_of_a_length_that_would_wrap_gives_zeros);
	tcase_add_test(t, bytes_left_over_are_refused);
	tcase_add_test(t, unprintable_name_in_a_file_ends_at_its_first_zero);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
