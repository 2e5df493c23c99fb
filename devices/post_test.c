/* Unit tests of post.c, with a clock moved by hand. */
#include <check.h>
#include <stdlib.h>

#include "devices/fake_loop.h"
#include "devices/post.h"

static struct post p;
static unsigned int firsts;
static uint64_t first_ns;
static struct post_code shown[2 * POST_RING];
static unsigned int nr_shown;

static void first(void *ctx, uint64_t ns)
{
	(void)ctx;
	firsts++;
	first_ns = ns;
}

static void show(void *ctx, const struct post_code *code)
{
	(void)ctx;
	shown[nr_shown++] = *code;
}

static void setup(void)
{
	memset(&fake_loop, 0, sizeof(fake_loop));
	fake_loop.now_ns = 5000;
	firsts = nr_shown = 0;
	post_init(&p, 5000, first, NULL);
}

static void teardown(void)
{
	post_fini(&p);
}

static void put(uint8_t val)
{
	post_io_ops.write(&p, 0, 1, val);
}

START_TEST(nothing_written_shows_nothing)
{
	post_each(&p, show, NULL);
	ck_assert_uint_eq(nr_shown, 0);
	ck_assert_uint_eq(post_first_ns(&p), 0);
	ck_assert_uint_eq(post_io_ops.read(&p, 0, 1), 0);
}
END_TEST

START_TEST(reading_gives_the_last_value)
{
	put(0x12);
	put(0x34);
	ck_assert_uint_eq(post_io_ops.read(&p, 0, 1), 0x34);
	ck_assert_uint_eq(post_io_ops.read(&p, 0, 2), 0xff34);
	ck_assert_uint_eq(post_io_ops.read(&p, 1, 1), 0xff);
}
END_TEST

START_TEST(values_are_shown_with_time_and_repeats)
{
	fake_loop_advance(10);
	put(0xa0);
	fake_loop_advance(10);
	put(0xa0);
	put(0xa0);
	fake_loop_advance(10);
	put(0xb0);
	post_each(&p, show, NULL);
	ck_assert_uint_eq(nr_shown, 2);
	ck_assert_uint_eq(shown[0].value, 0xa0);
	ck_assert_uint_eq(shown[0].ns, 10);
	ck_assert_uint_eq(shown[0].repeats, 3);
	ck_assert_uint_eq(shown[1].value, 0xb0);
	ck_assert_uint_eq(shown[1].ns, 30);
	ck_assert_uint_eq(shown[1].repeats, 1);
}
END_TEST

START_TEST(ring_keeps_the_newest)
{
	for (unsigned int i = 0; i < POST_RING + 10; i++)
		put((uint8_t)i);
	post_each(&p, show, NULL);
	ck_assert_uint_eq(nr_shown, POST_RING);
	ck_assert_uint_eq(shown[0].value, 10);
	ck_assert_uint_eq(shown[POST_RING - 1].value, POST_RING + 9);
}
END_TEST

START_TEST(first_write_is_told_once_even_over_reset)
{
	fake_loop_advance(7);
	put(0x00);
	put(0x01);
	post_dev_ops.reset(&p);
	fake_loop_advance(7);
	put(0x02);
	ck_assert_uint_eq(firsts, 1);
	ck_assert_uint_eq(first_ns, 7);
	ck_assert_uint_eq(post_first_ns(&p), 7);
}
END_TEST

START_TEST(reset_empties_the_ring)
{
	put(0x55);
	post_dev_ops.reset(&p);
	ck_assert_uint_eq(post_io_ops.read(&p, 0, 1), 0);
	put(0x55);
	post_each(&p, show, NULL);
	ck_assert_uint_eq(nr_shown, 1);
	ck_assert_uint_eq(shown[0].repeats, 1);
}
END_TEST

START_TEST(other_offsets_are_ignored)
{
	post_io_ops.write(&p, 1, 4, 0x99);
	post_io_ops.write(&p, UINT64_MAX, 8, 0x99);
	ck_assert_uint_eq(firsts, 0);
}
END_TEST

START_TEST(load_restores_the_last_value)
{
	struct buf b = { 0 };
	struct state_reader r;
	struct err e;

	put(0x77);
	post_dev_ops.save(&p, &b);
	post_dev_ops.reset(&p);
	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_int_eq(post_dev_ops.load(&p, &r, &e), 0);
	ck_assert_int_eq(state_close(&r, "post", &e), 0);
	ck_assert_uint_eq(post_io_ops.read(&p, 0, 1), 0x77);
	buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("post");
	TCase *t = tcase_create("post");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nothing_written_shows_nothing);
	tcase_add_test(t, reading_gives_the_last_value);
	tcase_add_test(t, values_are_shown_with_time_and_repeats);
	tcase_add_test(t, ring_keeps_the_newest);
	tcase_add_test(t, first_write_is_told_once_even_over_reset);
	tcase_add_test(t, reset_empties_the_ring);
	tcase_add_test(t, other_offsets_are_ignored);
	tcase_add_test(t, load_restores_the_last_value);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
