/*
 * Large pages that the balloon gave back, and that the host does not have when the guest wants them. They are played
 * by small ones that only count together, and an empty pool by a file that is too short: touching either would be
 * SIGBUS, so that MADV_POPULATE_WRITE says EFAULT. What hugetlbfs itself does is for a machine which has it.
 */
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/virtio_balloon_rig.h"

static const uint64_t ring_features[] = { 0, VIRTIO_BIT(VIRTIO_F_RING_PACKED),
					  VIRTIO_BIT(VIRTIO_F_IN_ORDER) };

enum { TAKEN = RAM / PAGE - 8 }; /* the last two large pages of RAM: whoever takes the pool, takes them */

static int pool = -1; /* RAM is this file; shorter, it is a pool that lacks its last pages */

static void pool_is(unsigned int nr_pages)
{
	ck_assert_int_eq(ftruncate(pool, (off_t)nr_pages * PAGE), 0);
}

/* How many of the last 8 pages are there? */
static unsigned int nr_there(void)
{
	unsigned char in[8];
	unsigned int nr = 0;

	ck_assert_int_eq(mincore(td_ptr(&td, (uint64_t)TAKEN * PAGE), 8 * PAGE, in), 0);
	for (unsigned int i = 0; i < 8; i++)
		nr += in[i] & 1;
	return nr;
}

static void begin_pool(uint64_t features)
{
	uint8_t *ram = td_ptr(&td, 0);

	pool = memfd_create("balloon_test", MFD_CLOEXEC);
	pool_is(RAM / PAGE);
	ck_assert_int_eq(pwrite(pool, ram, RAM, 0), RAM);
	ck_assert_ptr_eq(mmap(ram, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, pool, 0), ram);
	td.mem.range[0].fd = pool;
	begin_large(features);
}

/* A list of the nr last pages of RAM, from page TAKEN + from on. Not waited for. */
static void add_taken(unsigned int q, unsigned int from, unsigned int nr)
{
	uint64_t at = td_alloc(&td, 4 * nr, 4);
	struct td_seg seg = { at, 4 * nr, false };
	uint8_t *p = td_ptr(&td, at);

	for (unsigned int i = 0; i < nr; i++)
		put_le32(p + 4 * i, TAKEN + from + i);
	ck_assert_int_ge(td_add(&td, q, &seg, 1), 0);
	td_kick(&td, q);
	td_run(&td);
}

static bool is_used(unsigned int q)
{
	struct td_used used;

	td_run(&td);
	return td_poll(&td, q, &used);
}

/* The last 8 pages are in the balloon, and others have them now. */
static void give_and_lose(uint64_t features)
{
	begin_pool(features);
	add_taken(INFLATE, 0, 8);
	ck_assert(is_used(INFLATE));
	ck_assert_uint_eq(stats().discarded_bytes, 2 * LARGE);
	ck_assert_uint_eq(nr_there(), 0);
	pool_is(TAKEN);
}

static void run_for_ms(int ms)
{
	uint64_t end_ns = clock_now_ns() + (uint64_t)ms * 1000000;

	while (clock_now_ns() < end_ns)
		ck_assert_int_ge(loop_run_once(&thread.loop, 1), 0);
}

START_TEST(deflated_large_page_is_there_before_it_is_answered)
{
	begin_pool(ALL_FEATURES | ring_features[_i]);
	add_taken(INFLATE, 0, 8);
	ck_assert(is_used(INFLATE));
	ck_assert_uint_eq(nr_there(), 0);
	add_taken(DEFLATE, 6, 1);
	ck_assert(is_used(DEFLATE));
	ck_assert_uint_eq(nr_there(), 4);
}
END_TEST

START_TEST(deflate_waits_until_the_host_has_the_page)
{
	struct td_used used;

	give_and_lose(ALL_FEATURES | ring_features[_i]);
	add_taken(DEFLATE, 2, 3); /* of both large pages */
	ck_assert(!is_used(DEFLATE));
	pool_is(TAKEN + 4);
	run_for_ms(150);
	ck_assert(!is_used(DEFLATE));
	pool_is(TAKEN + 8);
	ck_assert(td_wait(&td, DEFLATE, &used));
	ck_assert_uint_eq(used.len, 0);
	ck_assert_uint_eq(nr_there(), 8);
	add_taken(DEFLATE, 0, 2);
	ck_assert(is_used(DEFLATE));
}
END_TEST

START_TEST(other_queues_go_on_while_one_waits)
{
	give_and_lose(ALL_FEATURES);
	add_taken(DEFLATE, 0, 1);
	add_taken(DEFLATE, 1, 1);
	SEND(INFLATE, 4, 5, 6, 7);
	ck_assert_uint_eq(page_byte(5), 0);
	virtio_balloon_ask_stats(b);
	ck_assert(!is_used(DEFLATE));
	pool_is(TAKEN + 8);
	td_kick(&td, DEFLATE); /* whether or not it is wanted: it is looked at */
	ck_assert(is_used(DEFLATE));
	ck_assert(is_used(DEFLATE));
}
END_TEST

/* The device reads so many numbers of a list, and no more. */
START_TEST(page_at_the_end_of_a_long_list_is_not_given_back_while_in_use)
{
	enum { NR = (64 << 10) + 1 };
	struct td_seg seg = { td_alloc(&td, 4 * NR, 4), 4 * NR, false };
	uint8_t *p = td_ptr(&td, seg.gpa);

	begin_large(ALL_FEATURES);
	SEND(INFLATE, 0, 1, 2);
	for (unsigned int i = 0; i < NR; i++)
		put_le32(p + 4 * i, (uint32_t)(pages / PAGE + (i == NR - 1 ? 0 : 40)));
	ck_assert_int_eq(td_do(&td, DEFLATE, &seg, 1), 0);
	SEND(INFLATE, 3);
	ck_assert_uint_eq(page_byte(0), 0x55);
	SEND(INFLATE, 0, 1, 2);
	ck_assert_uint_eq(page_byte(0), 0);
}
END_TEST

START_TEST(long_list_waits_for_all_pages)
{
	enum { NR = (64 << 10) + 1 };
	uint64_t at = td_alloc(&td, 4 * NR, 4);
	struct td_seg seg = { at, 4 * NR, false };

	give_and_lose(ALL_FEATURES);
	ck_assert_int_ge(td_add(&td, DEFLATE, &seg, 1), 0);
	td_kick(&td, DEFLATE);
	ck_assert(!is_used(DEFLATE));
	pool_is(TAKEN + 8);
	td_kick(&td, DEFLATE);
	ck_assert(is_used(DEFLATE));
	ck_assert_uint_eq(nr_there(), 8);
}
END_TEST

START_TEST(pages_that_are_there_are_taken_out_without_a_pool)
{
	give_and_lose(ALL_FEATURES);
	SEND(INFLATE, 4, 5, 6);
	SEND(DEFLATE, 5, 6, 40);
	SEND(INFLATE, 7, 6);
	ck_assert_uint_eq(stats().discarded_bytes, 2 * LARGE);
}
END_TEST

START_TEST(reset_while_a_deflate_waits_returns_and_pages_follow)
{
	give_and_lose(ALL_FEATURES | ring_features[_i]);
	add_taken(DEFLATE, 0, 1);
	td_stop(&td);
	begin(ALL_FEATURES);
	SEND(INFLATE, 4, 5, 6, 7);
	SEND(DEFLATE, 4);
	ck_assert_uint_eq(page_byte(4), 0);
	run_for_ms(10);
	pool_is(TAKEN + 8);
	ck_assert_uint_eq(nr_there(), 0);
	run_for_ms(250);
	ck_assert_uint_eq(nr_there(), 8);
}
END_TEST

START_TEST(reset_fetches_what_was_given_back_and_not_what_is_given_next)
{
	give_and_lose(ALL_FEATURES);
	td_stop(&td);
	begin(ALL_FEATURES);
	add_taken(INFLATE, 4, 4);
	ck_assert_uint_eq(nr_there(), 0);
	pool_is(TAKEN + 8);
	run_for_ms(250);
	ck_assert_uint_eq(nr_there(), 4);
	ck_assert_int_eq(loop_run_once(&thread.loop, 150), 0); /* nothing is waited for */
}
END_TEST

START_TEST(stop_while_a_deflate_waits_puts_it_back_and_resume_finds_it)
{
	struct virtio_queue *q;
	struct td_used used;

	give_and_lose(ALL_FEATURES | ring_features[_i]);
	add_taken(DEFLATE, 0, 5);
	q = &virtio_balloon_dev(b)->queue[DEFLATE];
	virtio_stop(virtio_balloon_dev(b));
	ck_assert_uint_eq(q->saved_avail & 0x7fff, q->saved_used & 0x7fff);
	run_for_ms(150);
	ck_assert_int_eq(loop_run_once(&thread.loop, 150), 0); /* no timer goes on */
	virtio_resume(virtio_balloon_dev(b));
	ck_assert(!is_used(DEFLATE));
	pool_is(TAKEN + 8);
	ck_assert(td_wait(&td, DEFLATE, &used));
	ck_assert_uint_eq(nr_there(), 8);
}
END_TEST

START_TEST(save_while_a_deflate_waits_loses_nothing)
{
	struct virtio_dev *d;
	struct state_reader r;
	struct buf buf = { 0 };
	struct td_used used;

	give_and_lose(ALL_FEATURES | ring_features[_i]);
	add_taken(DEFLATE, 0, 5);
	d = virtio_balloon_dev(b);
	virtio_stop(d);
	virtio_save(d, &buf);
	r = (struct state_reader){ .data = buf.data, .len = buf.len, .version = 1 };
	ck_assert_int_eq(virtio_load(d, &r, NULL), 0);
	ck_assert(!is_used(DEFLATE)); /* in the same process, the pages are missing still */
	pool_is(TAKEN + 8);
	ck_assert(td_wait(&td, DEFLATE, &used));
	buf_fini(&buf);
}
END_TEST

START_TEST(broken_device_does_not_go_on_with_what_waits)
{
	give_and_lose(ALL_FEATURES);
	add_taken(DEFLATE, 0, 5);
	virtio_break(virtio_balloon_dev(b), "the test wants it so");
	pool_is(TAKEN + 8);
	run_for_ms(150);
	ck_assert(!is_used(DEFLATE));
}
END_TEST

/* Bus mastering went off and on again: nobody kicks for that. */
START_TEST(waiting_deflate_is_found_after_a_time_without_access)
{
	struct td_used used;

	give_and_lose(ALL_FEATURES);
	add_taken(DEFLATE, 0, 5);
	atomic_store(&td.access, false);
	pool_is(TAKEN + 8);
	run_for_ms(150);
	ck_assert(!is_used(DEFLATE));
	atomic_store(&td.access, true);
	ck_assert(td_wait(&td, DEFLATE, &used));
}
END_TEST

/* 64 MiB in one list: others get their turn in between, and in the end it is all there. */
START_TEST(long_fetch_is_done_in_parts)
{
	enum { BIG = 64 * MIB, FIRST = 4 << 20 };
	unsigned int nr = BIG / PAGE, first_calls = 0;
	struct td_seg seg = { 0, 4 * nr, false };
	struct td_used used;
	unsigned char in;

	td_fini(&td);
	td_init(&td, FIRST + BIG);
	options.ram_bytes = options.target_bytes = FIRST + BIG;
	td.mem.range[0].page_bytes = MIB;
	begin(ALL_FEATURES);
	seg.gpa = td_alloc(&td, seg.len, 4);
	for (unsigned int i = 0; i < nr; i++)
		put_le32((uint8_t *)td_ptr(&td, seg.gpa) + 4 * i, FIRST / PAGE + i);
	ck_assert_int_eq(td_do(&td, INFLATE, &seg, 1), 0);
	ck_assert_uint_eq(stats().discarded_bytes, BIG);
	ck_assert_int_ge(td_add(&td, DEFLATE, &seg, 1), 0);
	td_kick(&td, DEFLATE);
	while (!td_poll(&td, DEFLATE, &used)) {
		ck_assert_int_ge(loop_run_once(&thread.loop, 100), 1);
		first_calls++;
	}
	ck_assert_uint_ge(first_calls, 2);
	ck_assert_int_eq(mincore(td_ptr(&td, FIRST + BIG - PAGE), PAGE, &in), 0);
	ck_assert_uint_eq(in & 1, 1);
}
END_TEST

static void add_tests(TCase *t)
{
	const int rings = ARRAY_SIZE(ring_features);

	tcase_add_loop_test(t, deflated_large_page_is_there_before_it_is_answered, 0, rings);
	tcase_add_loop_test(t, deflate_waits_until_the_host_has_the_page, 0, rings);
	tcase_add_test(t, other_queues_go_on_while_one_waits);
	tcase_add_test(t, page_at_the_end_of_a_long_list_is_not_given_back_while_in_use);
	tcase_add_test(t, long_list_waits_for_all_pages);
	tcase_add_test(t, pages_that_are_there_are_taken_out_without_a_pool);
	tcase_add_loop_test(t, reset_while_a_deflate_waits_returns_and_pages_follow, 0, rings);
	tcase_add_test(t, reset_fetches_what_was_given_back_and_not_what_is_given_next);
	tcase_add_loop_test(t, stop_while_a_deflate_waits_puts_it_back_and_resume_finds_it, 0, rings);
	tcase_add_loop_test(t, save_while_a_deflate_waits_loses_nothing, 0, rings);
	tcase_add_test(t, broken_device_does_not_go_on_with_what_waits);
	tcase_add_test(t, waiting_deflate_is_found_after_a_time_without_access);
	tcase_add_test(t, long_fetch_is_done_in_parts);
}

static void teardown_pool(void)
{
	teardown();
	if (pool >= 0)
		close(pool);
}

int main(void)
{
	Suite *suite = suite_create("virtio_balloon_pool");
	TCase *t = tcase_create("virtio_balloon_pool");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown_pool);
	add_tests(t);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
