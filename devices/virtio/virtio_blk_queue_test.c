/*
 * How virtio-blk drives its queues, over a disk in memory: batches, full rings, stops and resets with requests
 * under way, limits, several queues on their threads.
 */
#include <fcntl.h>

#include "devices/virtio/virtio_blk_rig.h"

#define MS 1000000ull

static uint8_t byte_at(uint64_t gpa)
{
	return *(uint8_t *)td_ptr(&td, gpa);
}

/* Take n used buffers of queue 0. */
static void take_used(unsigned int n)
{
	struct td_used used;

	for (unsigned int i = 0; i < n; i++)
		ck_assert(td_wait(&td, 0, &used));
	ck_assert(!td_poll(&td, 0, &used));
	ck_assert(!td.failed);
}

/* ---- batches ---- */

START_TEST(batch_is_one_kick_of_the_disk_and_one_interrupt)
{
	td.indirect = true;
	disk->when = _i ? FAKE_LATER : FAKE_AT_KICK;
	rig_start(ALL_FEATURES | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
		  VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX));
	for (unsigned int i = 0; i < 8; i++)
		rig_add_own(0, VIRTIO_BLK_T_IN, i, SECTOR);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert_uint_eq(disk->logged, 8);
	ck_assert_uint_eq(disk->kicks, 1);
	ck_assert_uint_eq(td.q[0].interrupts, 1);
	take_used(8);
}
END_TEST

START_TEST(kicks_are_wanted_again_after_a_ring_was_full)
{
	td.indirect = true;
	disk->when = FAKE_HELD;
	rig_start(ALL_FEATURES | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		rig_add_own(0, VIRTIO_BLK_T_IN, i, SECTOR);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert_uint_eq(disk->logged, QUEUE_SIZE);
	ck_assert_uint_eq(get_le16(td_ptr(&td, td.q[0].setup.device)), VRING_USED_F_NO_NOTIFY);
	fake_release(disk);
	td_run(&td);
	ck_assert_uint_eq(get_le16(td_ptr(&td, td.q[0].setup.device)), 0);
	take_used(QUEUE_SIZE);
	disk->when = FAKE_AT_KICK;
	rig_expect_alive();
}
END_TEST

static unsigned int to_add, seen; /* requests that the driver still has, and that came back */

static void add_one(void)
{
	if (to_add && rig_add(0, VIRTIO_BLK_T_IN, 0, SECTOR) >= 0)
		to_add--;
}

static void see_used(void)
{
	struct td_used used;

	while (td_poll(&td, 0, &used))
		seen++;
}

/* A driver that answers each interrupt, on another processor, with as many requests as the ring takes. */
static void add_more(void *ctx, struct virtq *vq)
{
	unsigned int left;

	(void)ctx;
	(void)vq;
	td.q[0].interrupts++;
	see_used();
	do {
		left = to_add;
		add_one();
	} while (to_add != left);
	if (get_le16(td_ptr(&td, td.q[0].setup.device)) != VRING_USED_F_NO_NOTIFY)
		td_kick(&td, 0);
}

/* One that sees what came back, and has something new each time the device looks. */
static void see_only(void *ctx, struct virtq *vq)
{
	(void)ctx;
	(void)vq;
	td.q[0].interrupts++;
	see_used();
}

static struct loop *start_with_driver(void (*interrupt)(void *ctx, struct virtq *vq), void (*meanwhile)(void),
				      unsigned int nr)
{
	td.indirect = true;
	rig_start(ALL_FEATURES | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
	td.dev->queue[0].vq.interrupt = interrupt;
	disk->meanwhile = meanwhile;
	to_add = nr;
	seen = 0;
	add_one();
	td_kick(&td, 0);
	return &td.dev->queue[0].thread->loop;
}

START_TEST(driver_that_answers_interrupts_is_served_to_the_end)
{
	start_with_driver(add_more, NULL, 1000);
	td_run(&td);
	ck_assert_uint_eq(disk->logged, 1000);
	ck_assert_uint_eq(seen, 1000);
	ck_assert_uint_eq(td.q[0].interrupts, 1 + (999 + QUEUE_SIZE - 1) / QUEUE_SIZE);
}
END_TEST

START_TEST(busy_driver_does_not_keep_the_thread)
{
	struct loop *loop = start_with_driver(see_only, add_one, 1000);
	unsigned int turns = 1;

	ck_assert_int_eq(loop_run_once(loop, 1000), 1);
	ck_assert_uint_gt(disk->logged, 8);
	ck_assert_uint_le(disk->logged, 16);
	for (; seen < 1000; turns++)
		ck_assert_int_ge(loop_run_once(loop, 1000), 1);
	ck_assert_uint_eq(disk->logged, 1000);
	ck_assert_uint_ge(turns, 1000 / 16);
}
END_TEST

START_TEST(rounds_that_follow_each_other_share_interrupts)
{
	struct loop *loop = start_with_driver(see_only, add_one, 9);

	ck_assert_int_eq(loop_run_once(loop, 1000), 1);
	ck_assert_uint_eq(disk->kicks, 9);
	ck_assert_uint_eq(seen, 9); /* the last one, too: there was nothing more to wait for */
	ck_assert_uint_eq(td.q[0].interrupts, 3);
}
END_TEST

START_TEST(single_request_is_shown_at_once)
{
	struct loop *loop = start_with_driver(see_only, NULL, 1);

	ck_assert_int_eq(loop_run_once(loop, 1000), 1);
	ck_assert_uint_eq(seen, 1);
	ck_assert_uint_eq(td.q[0].interrupts, 1);
}
END_TEST

START_TEST(broken_device_takes_no_more)
{
	disk->when = FAKE_LATER;
	rig_start(ALL_FEATURES);
	rig_add_own(0, VIRTIO_BLK_T_IN, 0, SECTOR);
	td_kick(&td, 0);
	ck_assert_int_eq(loop_run_once(&td.dev->queue[0].thread->loop, 1000), 1);
	virtio_break(td.dev, "the test wants it so");
	rig_add_own(0, VIRTIO_BLK_T_IN, 0, SECTOR);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert_uint_eq(disk->logged, 1);
}
END_TEST

START_TEST(broken_device_does_not_begin_what_waited)
{
	uint64_t at;

	opts.limits = (struct throttle_limits){ .ops = 100, .ops_burst = 1 };
	rig_start(ALL_FEATURES);
	rig_add_own(0, VIRTIO_BLK_T_IN, 0, SECTOR);
	at = rig_add_own(0, VIRTIO_BLK_T_IN, 0, SECTOR);
	rig_add_own(0, VIRTIO_BLK_T_FLUSH, 0, 0);
	td_kick(&td, 0);
	td_run(&td);
	virtio_break(td.dev, "the test wants it so");
	ck_assert_int_eq(loop_run_once(&td.dev->queue[0].thread->loop, 500), 1); /* its time has come */
	td_run(&td);
	ck_assert_uint_eq(disk->logged, 1);
	td_stop(&td);
	ck_assert_uint_eq(byte_at(at), UNTOUCHED);
}
END_TEST

/* It broke through another queue, say, while this one had no room. */
START_TEST(broken_device_does_not_go_on_after_a_full_ring)
{
	td.indirect = true;
	disk->when = FAKE_HELD;
	rig_start(ALL_FEATURES | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		rig_add_own(0, VIRTIO_BLK_T_IN, i, SECTOR);
	td_kick(&td, 0);
	td_run(&td);
	virtio_break(td.dev, "the test wants it so");
	td.dev->queue[0].vq.interrupt = add_more;
	to_add = 4;
	fake_release(disk);
	td_run(&td);
	ck_assert_uint_eq(to_add, 0);
	ck_assert_uint_eq(disk->logged, QUEUE_SIZE);
}
END_TEST

START_TEST(disk_without_a_queue_breaks_the_device_until_reset)
{
	disk->open_rc = -EMFILE;
	ck_assert_int_eq(virtio_blk_new(&blk, &opts, &td.mem, NULL), 0);
	ck_assert(!td_start(&td, virtio_blk_dev(blk), ALL_FEATURES, QUEUE_SIZE));
	td_stop(&td);
	disk->open_rc = 0;
	rig_start(ALL_FEATURES);
	rig_expect_alive();
}
END_TEST

/* ---- stops and resets ---- */

static const uint64_t ring_features[] = { 0, VIRTIO_BIT(VIRTIO_F_RING_PACKED),
					  VIRTIO_BIT(VIRTIO_F_IN_ORDER) };

START_TEST(reset_waits_for_what_is_under_way)
{
	uint64_t first, second;

	disk->when = FAKE_HELD;
	rig_start(ALL_FEATURES | ring_features[_i]);
	first = rig_add_own(0, VIRTIO_BLK_T_IN, 0, SECTOR);
	second = rig_add_own(0, VIRTIO_BLK_T_OUT, 1, SECTOR);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert_uint_eq(byte_at(first), UNTOUCHED);
	td_stop(&td);
	ck_assert_uint_eq(byte_at(first), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(byte_at(second), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(disk->nr_queues, 0);
	disk->when = FAKE_AT_KICK;
	rig_start(ALL_FEATURES);
	rig_expect_alive();
}
END_TEST

START_TEST(reset_finishes_a_request_of_several_ranges)
{
	struct td_seg seg[] = { { hdr, 16, false }, { data, 5 * 16, false }, { status, 1, true } };

	disk->when = FAKE_HELD;
	rig_start(ALL_FEATURES);
	memset(rig_data(), 0, 5 * 16);
	for (unsigned int i = 0; i < 5; i++)
		put_le32(rig_data() + 16 * i + 8, i + 1);
	rig_header(hdr, VIRTIO_BLK_T_WRITE_ZEROES, 0);
	td_add(&td, 0, seg, 3);
	td_add(&td, 0, seg, 3);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert_uint_eq(disk->logged, 2);
	td_stop(&td);
	ck_assert_uint_eq(disk->logged, 10);
	ck_assert_uint_eq(byte_at(status), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(rig_stats().discards, 2);
}
END_TEST

static unsigned int open_descriptors(void)
{
	unsigned int nr = 0;

	for (int fd = 0; fd < 256; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

START_TEST(stopped_queues_keep_no_descriptors)
{
	unsigned int before;

	opts.nr_queues = 2;
	rig_start(ALL_FEATURES);
	td_stop(&td);
	before = open_descriptors();
	rig_start(ALL_FEATURES);
	td_stop(&td);
	ck_assert_uint_eq(open_descriptors(), before);
	disk->open_rc = -ENOMEM;
	ck_assert(!td_start(&td, virtio_blk_dev(blk), ALL_FEATURES, QUEUE_SIZE));
	td_stop(&td);
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

/* ---- limits ---- */

START_TEST(limited_requests_wait_their_turn)
{
	uint64_t start_ns, s[3];

	opts.limits = (struct throttle_limits){ .ops = 50, .ops_burst = 1 };
	rig_start(ALL_FEATURES | ring_features[_i]);
	start_ns = clock_now_ns();
	s[0] = rig_add_own(0, VIRTIO_BLK_T_IN, 0, SECTOR);
	s[1] = rig_add_own(0, VIRTIO_BLK_T_OUT, 1, SECTOR);
	s[2] = rig_add_own(0, VIRTIO_BLK_T_FLUSH, 0, 0);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert_uint_eq(byte_at(s[0]), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(byte_at(s[1]), UNTOUCHED);
	ck_assert_uint_eq(byte_at(s[2]), UNTOUCHED);
	take_used(3);
	ck_assert_uint_ge(clock_now_ns() - start_ns, 19 * MS);
	ck_assert_int_eq(fake_logged(disk, 0)->op, BLOCK_FLUSH);
	ck_assert_int_eq(fake_logged(disk, 1)->op, BLOCK_WRITE);
	ck_assert_uint_eq(rig_stats().throttled, 1);
	ck_assert_uint_ge(rig_stats().throttled_ns, 10 * MS);
}
END_TEST

START_TEST(bytes_are_limited_too)
{
	uint64_t start_ns;

	opts.limits = (struct throttle_limits){ .bytes = 100 * SECTOR, .bytes_burst = 2 * SECTOR };
	rig_start(ALL_FEATURES);
	start_ns = clock_now_ns();
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_IN, 0, 2 * SECTOR), 2 * SECTOR + 1);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_IN, 0, 2 * SECTOR), 2 * SECTOR + 1);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_FLUSH, 0, 0), 1);
	ck_assert_uint_ge(clock_now_ns() - start_ns, 19 * MS);
	ck_assert_uint_eq(rig_stats().throttled, 1);
}
END_TEST

/* Once in a thousand seconds: whoever waited for it would hang. */
static void start_with_one_waiting(uint64_t features)
{
	opts.limits = (struct throttle_limits){ .bytes = 1, .bytes_burst = SECTOR };
	rig_start(features);
	rig_add_own(0, VIRTIO_BLK_T_IN, 0, SECTOR);
	td_kick(&td, 0);
	td_run(&td);
	take_used(1);
	ck_assert_uint_eq(disk->logged, 1);
}

START_TEST(reset_while_a_request_waits_forgets_it)
{
	uint64_t at;

	start_with_one_waiting(ALL_FEATURES | ring_features[_i]);
	at = rig_add_own(0, VIRTIO_BLK_T_OUT, 0, SECTOR);
	td_kick(&td, 0);
	td_run(&td);
	td_stop(&td);
	ck_assert_uint_eq(byte_at(at), UNTOUCHED);
	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_FLUSH, 0, 0), 1);
	ck_assert_uint_eq(disk->logged, 2);
}
END_TEST

START_TEST(stop_puts_back_what_waits_and_resume_finds_it)
{
	struct td_seg seg[] = { { hdr, 16, false }, { data, 32, false }, { status, 1, true } };

	start_with_one_waiting(ALL_FEATURES | ring_features[_i]);
	memset(rig_data(), 0, 32);
	put_le32(rig_data() + 8, 1);
	put_le32(rig_data() + 16 + 8, 2);
	rig_header(hdr, VIRTIO_BLK_T_WRITE_ZEROES, 0);
	td_add(&td, 0, seg, 3);
	rig_add_own(0, VIRTIO_BLK_T_FLUSH, 0, 0);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert_uint_eq(disk->logged, 1);
	virtio_stop(td.dev);
	ck_assert_uint_eq(td.dev->queue[0].saved_avail & 0x7fff, td.dev->queue[0].saved_used & 0x7fff);
	/* The host lifts the limit: not a thing that options can do, so that the request becomes free here. */
	put_le32(rig_data() + 8, 0);
	put_le32(rig_data() + 16 + 8, 0);
	virtio_resume(td.dev);
	take_used(2);
	ck_assert_uint_eq(byte_at(status), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(fake_logged(disk, 0)->op, BLOCK_FLUSH);
}
END_TEST

/* ---- several queues ---- */

START_TEST(queues_share_the_disk_and_are_counted_together)
{
	struct td_used used;

	opts.nr_queues = 4;
	rig_start(ALL_FEATURES);
	for (unsigned int q = 0; q < 4; q++) {
		ck_assert_int_ge(rig_add(q, VIRTIO_BLK_T_IN, q, SECTOR), 0);
		td_kick(&td, q);
		ck_assert(td_wait(&td, q, &used));
		ck_assert_uint_eq(used.len, SECTOR + 1);
		ck_assert_mem_eq(rig_data(), disk->data + q * SECTOR, SECTOR);
	}
	ck_assert_uint_eq(rig_stats().reads, 4);
	ck_assert_uint_eq(rig_stats().read_bytes, 4 * SECTOR);
}
END_TEST

enum { THREADS = 3, EACH = 8, ROUNDS = 50 };

/* Guest memory of a read that shares nothing with others: header, a sector, status. */
static void own_read(struct td_seg seg[3], uint64_t sector)
{
	uint64_t mine = td_alloc(&td, 16 + SECTOR + 1, 16);

	rig_header(mine, VIRTIO_BLK_T_IN, sector);
	seg[0] = (struct td_seg){ mine, 16, false };
	seg[1] = (struct td_seg){ mine + 16, SECTOR, true };
	seg[2] = (struct td_seg){ mine + 16 + SECTOR, 1, true };
}

START_TEST(queues_run_on_their_own_threads)
{
	struct td_seg seg[THREADS][EACH][3];
	struct td_used used;

	opts.nr_queues = THREADS;
	td.threads = true;
	td.indirect = true;
	disk->when = _i ? FAKE_LATER : FAKE_AT_KICK;
	rig_start(ALL_FEATURES | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
	ck_assert_str_eq(td.dev->queue[2].thread->name, "disk0-2");
	ck_assert(td.dev->queue[2].thread->running);
	for (unsigned int i = 0; i < THREADS * EACH; i++)
		own_read(seg[i / EACH][i % EACH], i);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < THREADS * EACH; i++) {
			ck_assert_int_ge(td_add(&td, i / EACH, seg[i / EACH][i % EACH], 3), 0);
			td_kick(&td, i / EACH);
		}
		for (unsigned int i = 0; i < THREADS * EACH; i++) {
			ck_assert(td_wait(&td, i / EACH, &used));
			ck_assert_uint_eq(used.len, SECTOR + 1);
		}
	}
	for (unsigned int i = 0; i < THREADS * EACH; i++)
		ck_assert_mem_eq(td_ptr(&td, seg[i / EACH][i % EACH][1].gpa), disk->data + i * SECTOR,
				 SECTOR);
	ck_assert_uint_eq(rig_stats().reads, THREADS * EACH * ROUNDS);
}
END_TEST

/* A thread is amid its queue when the reset comes. Nothing may be under way afterwards; the fake looks. */
START_TEST(reset_from_another_thread_is_clean)
{
	struct td_seg seg[3];

	opts.nr_queues = THREADS;
	td.threads = true;
	td.indirect = true;
	disk->when = _i ? FAKE_LATER : FAKE_AT_KICK;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		rig_start(ALL_FEATURES | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
		for (unsigned int i = 0; i < THREADS * EACH; i++) {
			own_read(seg, i);
			ck_assert_int_ge(td_add(&td, i / EACH, seg, 3), 0);
			td_kick(&td, i / EACH);
		}
		td_stop(&td);
		ck_assert_uint_eq(disk->nr_queues, 0);
	}
	ck_assert_uint_le(rig_stats().reads, THREADS * EACH * ROUNDS);
}
END_TEST

static Suite *queue_suite(void)
{
	Suite *s = suite_create("virtio_blk_queue");
	TCase *t = tcase_create("queues");

	tcase_add_checked_fixture(t, rig_make, rig_destroy);
	tcase_add_loop_test(t, batch_is_one_kick_of_the_disk_and_one_interrupt, 0, 2);
	tcase_add_test(t, kicks_are_wanted_again_after_a_ring_was_full);
	tcase_add_test(t, driver_that_answers_interrupts_is_served_to_the_end);
	tcase_add_test(t, busy_driver_does_not_keep_the_thread);
	tcase_add_test(t, rounds_that_follow_each_other_share_interrupts);
	tcase_add_test(t, single_request_is_shown_at_once);
	tcase_add_test(t, broken_device_takes_no_more);
	tcase_add_test(t, broken_device_does_not_begin_what_waited);
	tcase_add_test(t, broken_device_does_not_go_on_after_a_full_ring);
	tcase_add_test(t, disk_without_a_queue_breaks_the_device_until_reset);
	tcase_add_loop_test(t, reset_waits_for_what_is_under_way, 0, ARRAY_SIZE(ring_features));
	tcase_add_test(t, reset_finishes_a_request_of_several_ranges);
	tcase_add_test(t, stopped_queues_keep_no_descriptors);
	tcase_add_loop_test(t, limited_requests_wait_their_turn, 0, ARRAY_SIZE(ring_features));
	tcase_add_test(t, bytes_are_limited_too);
	tcase_add_loop_test(t, reset_while_a_request_waits_forgets_it, 0, ARRAY_SIZE(ring_features));
	tcase_add_loop_test(t, stop_puts_back_what_waits_and_resume_finds_it, 0, ARRAY_SIZE(ring_features));
	tcase_add_test(t, queues_share_the_disk_and_are_counted_together);
	tcase_add_loop_test(t, queues_run_on_their_own_threads, 0, 2);
	tcase_add_loop_test(t, reset_from_another_thread_is_clean, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(queue_suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
