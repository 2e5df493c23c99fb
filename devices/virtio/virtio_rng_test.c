/* The entropy device: buffers are filled, odd ones come back, and a limit holds. How random the bytes are is Linux's. */
#include "devices/virtio/virtio_rng.h"

#include <check.h>
#include <stdlib.h>

#include "devices/virtio/test_driver.h"

enum { RAM = 4 << 20, MAX_BYTES = 64 << 10, BUF = 256 << 10 };

static struct test_driver td;
static struct iothread thread;
static struct virtio_rng *rng;
static uint64_t buf;

static void begin(uint64_t bytes, uint64_t burst)
{
	const struct throttle_limits limits = { .bytes = bytes, .bytes_burst = burst };

	ck_assert_int_eq(virtio_rng_new(&rng, "rng0", &thread, &limits, &td.mem, NULL), 0);
	ck_assert(td_start(&td, virtio_rng_dev(rng), 0, 64));
}

static void setup(void)
{
	td_init(&td, RAM);
	ck_assert_int_eq(iothread_init(&thread, "rng", NULL), 0);
	buf = td_alloc(&td, BUF, 4096);
}

static void teardown(void)
{
	ck_assert(!td.failed);
	td_stop(&td);
	virtio_rng_free(rng);
	iothread_fini(&thread);
	td_fini(&td);
}

/* How many of the buffer's first len bytes are not 0. */
static unsigned int filled(size_t len)
{
	const uint8_t *p = td_ptr(&td, buf);
	unsigned int nr = 0;

	for (size_t i = 0; i < len; i++)
		nr += p[i] != 0;
	return nr;
}

static int64_t fetch(uint32_t len)
{
	struct td_seg seg = { buf, len, true };

	return td_do(&td, 0, &seg, 1);
}

START_TEST(buffer_is_filled_and_not_a_byte_more)
{
	begin(0, 0);
	ck_assert_int_eq(fetch(3000), 3000);
	ck_assert_uint_gt(filled(3000), 2900);
	ck_assert_uint_eq(filled(4096), filled(3000));
}
END_TEST

START_TEST(two_buffers_differ)
{
	uint8_t first[64];

	begin(0, 0);
	ck_assert_int_eq(fetch(64), 64);
	memcpy(first, td_ptr(&td, buf), 64);
	ck_assert_int_eq(fetch(64), 64);
	ck_assert_mem_ne(first, td_ptr(&td, buf), 64);
}
END_TEST

START_TEST(large_buffer_is_used_in_part)
{
	begin(0, 0);
	ck_assert_int_eq(fetch(BUF), MAX_BYTES);
	ck_assert_uint_gt(filled(MAX_BYTES), MAX_BYTES / 2);
	ck_assert_uint_eq(filled(BUF), filled(MAX_BYTES));
}
END_TEST

static const struct {
	struct td_seg seg[3];
	int64_t used;
} odd[] = {
	{ { { 0x1000, 8, false }, { 0x1000, 0, true }, { 0x1000, 0, true } }, 0 },
	{ { { 0x1000, 8, false }, { 0x1000, 5, true }, { 0x2000, 6, true } }, 11 },
	{ { { 0xf0000000, 8, false }, { 0x1000, 5, true }, { 0x2000, 6, true } },
	  11 }, /* what is read is nobody's */
	{ { { 0xf0000000, 8, true }, { 0x1000, 5, true }, { 0x2000, 6, true } }, 0 },
	{ { { 0x2000, 2048, true }, { 0x1000, 5, true }, { UINT64_MAX, 6, true } }, 2048 },
	{ { { 0, UINT32_MAX, true }, { 0, UINT32_MAX, true }, { 0, UINT32_MAX, true } }, 0 },
};

/* Whole pieces of 1 KiB in front of what is not RAM are told; nothing lies beyond. */
START_TEST(odd_buffer_comes_back_with_what_was_written)
{
	begin(0, 0);
	ck_assert_int_eq(td_do(&td, 0, odd[_i].seg, 3), odd[_i].used);
	ck_assert_int_eq(fetch(16), 16);
}
END_TEST

START_TEST(limit_makes_the_driver_wait_and_loses_nothing)
{
	uint64_t begun = clock_now_ns();

	begin(100000, 1000);
	for (unsigned int i = 0; i < 11; i++)
		ck_assert_int_eq(fetch(1000), 1000);
	ck_assert_uint_ge(clock_now_ns() - begun, 90000000);
}
END_TEST

START_TEST(reset_while_the_limit_holds_a_buffer_returns)
{
	struct td_seg seg = { buf, 1000, true };

	begin(10, 1000);
	ck_assert_int_eq(fetch(1000), 1000);
	td_add(&td, 0, &seg, 1);
	td_kick(&td, 0);
	td_run(&td);
	td_stop(&td);
	ck_assert(td_start(&td, virtio_rng_dev(rng), 0, 64));
	ck_assert_int_eq(loop_run_once(&thread.loop, 10) < 0, 0);
}
END_TEST

/* 64 buffers of 64 KiB are more than one turn under the sanitizers: the queue goes on by itself. */
START_TEST(flood_is_served_to_its_end)
{
	struct td_seg seg = { buf, BUF, true };
	struct td_used used;

	begin(0, 0);
	for (unsigned int i = 0; i < 64; i++)
		ck_assert_int_ge(td_add(&td, 0, &seg, 1), 0);
	td_kick(&td, 0);
	for (unsigned int i = 0; i < 64; i++)
		ck_assert(td_wait(&td, 0, &used));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio_rng");
	TCase *t = tcase_create("virtio_rng");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, buffer_is_filled_and_not_a_byte_more);
	tcase_add_test(t, two_buffers_differ);
	tcase_add_test(t, large_buffer_is_used_in_part);
	tcase_add_loop_test(t, odd_buffer_comes_back_with_what_was_written, 0, ARRAY_SIZE(odd));
	tcase_add_test(t, limit_makes_the_driver_wait_and_loses_nothing);
	tcase_add_test(t, reset_while_the_limit_holds_a_buffer_returns);
	tcase_add_test(t, flood_is_served_to_its_end);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
