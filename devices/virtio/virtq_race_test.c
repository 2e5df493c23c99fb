/*
 * A driver and a device on two threads, each waiting until the other tells it: a kick or an interrupt that is
 * missing leaves both waiting for good, and a barrier that is missing gives torn buffers. What this finds it
 * finds by chance, and only what this machine's memory model lets happen.
 */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "devices/virtio/virtq_rig.h"

enum { BUFFERS = 200000, SIZE = 4 };

#define PATIENCE_NS 5000000000ull

/* An interrupt or a kick. */
struct bell {
	atomic_uint rung;
	unsigned int heard; /* by the one who waits */
};

static struct virtq_rig r;
static struct bell kick, call;
static uint64_t data[SIZE];
static unsigned int served, wrong; /* the device's thread, until it is joined */

/* Wait until somebody rang; awake, so that both sides meet as closely as can be. Returns whether it came. */
static bool sleep_on(struct bell *b)
{
	uint64_t end_ns = 0;

	for (unsigned int i = 1; atomic_load(&b->rung) == b->heard; i++) {
		if (i % 1024)
			continue;
		sched_yield();
		if (!end_ns)
			end_ns = clock_now_ns() + PATIENCE_NS;
		else if (clock_now_ns() > end_ns)
			return false;
	}
	b->heard = atomic_load(&b->rung);
	return true;
}

static void interrupt(void *ctx, struct virtq *q)
{
	(void)ctx;
	(void)q;
	atomic_fetch_add(&call.rung, 1);
}

static void *device(void *ctx)
{
	(void)ctx;
	while (served < BUFFERS) {
		struct chain *c;

		virtq_no_kicks(&r.q);
		while ((c = virtq_pop(&r.q))) {
			uint64_t number = 0;

			wrong += chain_read(c, &number, sizeof(number)) < 0 || number != served;
			served++;
			wrong += chain_write(c, &served, sizeof(served)) < 0;
			chain_complete(c, served);
			virtq_flush(&r.q);
		}
		if (!virtq_want_kicks(&r.q) && served < BUFFERS && !sleep_on(&kick))
			break;
	}
	return NULL;
}

/* Make one available, and kick only if the device says so. */
static bool driver_add(uint64_t number)
{
	uint64_t gpa = data[number % SIZE];
	struct td_seg seg[2] = { { gpa, 8, false }, { gpa + 8, 4, true } };

	if (r.td.q->nr_free < 2)
		return false;
	put_le64(td_ptr(&r.td, gpa), number);
	td_add(&r.td, 0, seg, 2);
	/* Pairs with virtq_want_kicks(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (rig_driver_kicks(&r, 2))
		atomic_fetch_add(&kick.rung, 1);
	return true;
}

/* Have a buffer back, waiting for an interrupt unless one is there. */
static bool driver_wait(struct td_used *u)
{
	while (!td_poll(&r.td, 0, u)) {
		/* td_poll() has moved the event behind what it took last. Pairs with virtq_flush(). */
		atomic_thread_fence(memory_order_seq_cst);
		if (td_poll(&r.td, 0, u))
			return true;
		if (r.td.failed || !sleep_on(&call))
			return false;
	}
	return true;
}

/* _i: format and event index. */
START_TEST(nobody_sleeps_through_what_the_other_did)
{
	uint64_t features = (_i & 1 ? RIG_PACKED : 0) | (_i & 2 ? RIG_EVENT : 0);
	uint64_t added = 0, used = 0, wrong_answers = 0;
	pthread_t thread;
	struct td_used u;

	ck_assert_int_eq(rig_start(&r, features, 2 * SIZE, RIG_MAX), 0);
	virtq_attach(&r.q, NULL, rig_fail, interrupt, &r);
	for (unsigned int i = 0; i < SIZE; i++)
		data[i] = td_alloc(&r.td, 64, 64);
	ck_assert_int_eq(pthread_create(&thread, NULL, device, NULL), 0);
	while (used < BUFFERS) {
		while (added < BUFFERS && driver_add(added))
			added++;
		if (!driver_wait(&u))
			break;
		used++;
		wrong_answers += get_le32(td_ptr(&r.td, data[(used - 1) % SIZE] + 8)) != u.len;
	}
	pthread_join(thread, NULL);
	ck_assert_uint_eq(used, BUFFERS);
	ck_assert_uint_eq(wrong_answers, 0);
	ck_assert_uint_eq(served, BUFFERS);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(r.fails, 0);
	ck_assert(!r.td.failed);
	rig_stop(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_race");
	TCase *t = tcase_create("virtq_race");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, nobody_sleeps_through_what_the_other_did, 0, 4);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
