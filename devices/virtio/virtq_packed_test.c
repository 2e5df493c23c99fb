/*
 * Unit tests of virtq_packed.c: rings written by hand, as a driver that lies writes them, and who is told when.
 * What both formats share is in virtq_test.c.
 */
#include <check.h>
#include <stdlib.h>

#include "devices/virtio/virtq_rig.h"

enum {
	N = VRING_DESC_F_NEXT,
	W = VRING_DESC_F_WRITE,
	I = VRING_DESC_F_INDIRECT,
	A = 1 << VRING_PACKED_DESC_F_AVAIL, /* available in the first round */
	U = 1 << VRING_PACKED_DESC_F_USED,  /* and in the second */
	SIZE = 5,
	TABLE = 0x10000,
	DATA = 0x20000,
};

static struct virtq_rig r;

static void start(uint64_t features)
{
	ck_assert_int_eq(rig_start(&r, features | RIG_PACKED, SIZE, 16), 0);
}

static void teardown(void)
{
	rig_stop(&r);
}

static void entry(unsigned int i, uint64_t gpa, uint32_t len, uint16_t id, uint16_t flags)
{
	rig_put(rig_desc(&r, i), gpa, len, id, flags);
}

static uint16_t flags_of(unsigned int i)
{
	return get_le16(rig_desc(&r, i) + 14);
}

static void assert_broken(const char *why)
{
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert_str_eq(r.why, why);
	/* Once only, and nothing moves any more. */
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert(!virtq_want_kicks(&r.q));
	ck_assert_uint_eq(r.fails, 1);
	ck_assert_uint_eq(r.q.nr_open, 0);
}

/* ---- what is there ---- */

START_TEST(descriptor_that_is_not_available_is_not_taken)
{
	static const uint16_t flags[] = { 0, U, A | U, W | N | I };

	start(RIG_INDIRECT);
	entry(0, DATA, 8, 0, flags[_i]);
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert(!virtq_want_kicks(&r.q));
	ck_assert_uint_eq(r.fails, 0);
}
END_TEST

START_TEST(id_is_that_of_the_last_descriptor_and_any_number)
{
	struct chain *c;

	start(0);
	entry(1, DATA, 8, 0xffff, A | W);
	entry(0, DATA, 8, 7, A | N);
	c = virtq_pop(&r.q);
	ck_assert_uint_eq(c->nr_descs, 2);
	chain_complete(c, 3);
	virtq_flush(&r.q);
	ck_assert_uint_eq(get_le16(rig_desc(&r, 0) + 12), 0xffff);
	ck_assert_uint_eq(get_le32(rig_desc(&r, 0) + 8), 3);
	ck_assert_uint_eq(flags_of(0), A | U | W);
}
END_TEST

START_TEST(used_descriptor_says_whether_something_was_written)
{
	start(0);
	entry(0, DATA, 8, 0, A);
	chain_complete(virtq_pop(&r.q), 0);
	virtq_flush(&r.q);
	ck_assert_uint_eq(flags_of(0), A | U);
}
END_TEST

START_TEST(first_used_descriptor_of_a_batch_is_written_last)
{
	start(0);
	for (unsigned int i = 0; i < 3; i++)
		entry(i, DATA, 8, (uint16_t)i, A);
	for (unsigned int i = 0; i < 3; i++)
		chain_complete(virtq_pop(&r.q), 0);
	ck_assert_uint_eq(flags_of(0), A); /* the driver sees none of them */
	ck_assert_uint_eq(flags_of(1), A | U);
	ck_assert_uint_eq(flags_of(2), A | U);
	virtq_flush(&r.q);
	ck_assert_uint_eq(flags_of(0), A | U);
}
END_TEST

START_TEST(second_round_has_the_wrap_counters_turned)
{
	start(0);
	for (unsigned int i = 0; i < SIZE; i++) {
		entry(i, DATA, 8, 0, A);
		chain_complete(virtq_pop(&r.q), 0);
		virtq_flush(&r.q);
	}
	entry(0, DATA, 8, 0, A); /* the first round's mark */
	ck_assert_ptr_null(virtq_pop(&r.q));
	entry(0, DATA, 8, 0, U);
	chain_complete(virtq_pop(&r.q), 1);
	virtq_flush(&r.q);
	ck_assert_uint_eq(flags_of(0), W);
}
END_TEST

START_TEST(chain_goes_on_at_the_begin_of_the_ring)
{
	struct chain *c;

	start(0);
	entry(0, DATA, 8, 0, A | N);
	entry(1, DATA, 8, 0, A | N);
	entry(2, DATA, 8, 0, A | N);
	entry(3, DATA, 8, 0, A);
	chain_complete(virtq_pop(&r.q), 0);
	virtq_flush(&r.q);
	entry(0, DATA + 1, 9, 3, U);
	entry(4, DATA, 8, 3, A | N);
	c = virtq_pop(&r.q);
	ck_assert_uint_eq(c->nr_out, 2);
	ck_assert_uint_eq(c->out[1].iov_len, 9);
	chain_complete(c, 0);
	virtq_flush(&r.q);
	ck_assert_uint_eq(flags_of(4), A | U); /* marked by the round in which it begins */
	ck_assert_uint_eq(r.q.next_used, 1);
	ck_assert(!r.q.used_wrap);
}
END_TEST

/* ---- the ladder ---- */

START_TEST(chain_without_end_breaks_the_queue)
{
	start(0);
	for (unsigned int i = 0; i < SIZE; i++)
		entry(i, DATA, _i ? 0 : 8, 0, A | N);
	assert_broken("a chain is longer than the queue");
}
END_TEST

START_TEST(chain_as_long_as_the_queue_is_fine)
{
	start(0);
	for (unsigned int i = 0; i < SIZE; i++)
		entry(i, DATA, 8, 0, A | (i + 1 < SIZE ? N : 0));
	ck_assert_uint_eq(virtq_pop(&r.q)->nr_out, SIZE);
}
END_TEST

START_TEST(chain_that_runs_into_what_the_device_has_breaks_the_queue)
{
	start(0);
	entry(0, DATA, 8, 0, A | N);
	entry(1, DATA, 8, 0, A);
	ck_assert_ptr_nonnull(virtq_pop(&r.q));
	for (unsigned int i = 2; i < SIZE; i++)
		entry(i, DATA, 8, 0, A | N);
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert_str_eq(r.why, "a chain is longer than the queue");
}
END_TEST

START_TEST(descriptor_that_the_device_has_breaks_the_queue_when_given_again)
{
	start(0);
	for (unsigned int i = 0; i < SIZE; i++) {
		entry(i, DATA, 8, 0, A);
		ck_assert_ptr_nonnull(virtq_pop(&r.q));
	}
	entry(0, DATA, 8, 0, U);
	ck_assert(virtq_want_kicks(&r.q));
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert_str_eq(r.why, "a descriptor was made available while the device has it");
	ck_assert(!virtq_want_kicks(&r.q));
}
END_TEST

START_TEST(readable_behind_writable_breaks_the_queue)
{
	start(0);
	entry(0, DATA, _i ? 0 : 8, 0, A | N | W);
	entry(1, DATA, 8, 0, A);
	assert_broken("a readable descriptor follows a writable one");
}
END_TEST

static const struct {
	uint64_t features, gpa;
	uint32_t len;
	uint16_t flags;
	const char *why;
} refs[] = {
	{ 0, TABLE, 16, I, "an indirect descriptor came without the feature" },
	{ RIG_INDIRECT, TABLE, 16, I | N, "an indirect descriptor is not the last of its chain" },
	{ RIG_INDIRECT, TABLE, 0, I, "the length of an indirect table is not that of descriptors" },
	{ RIG_INDIRECT, TABLE, 24, I, "the length of an indirect table is not that of descriptors" },
	{ RIG_INDIRECT, TABLE, 16 * 17, I, "a chain is longer than the queue" },
	{ RIG_INDIRECT, TABLE, 0xfffffff0, I, "an indirect table does not lie in RAM" },
	{ RIG_INDIRECT, RIG_RAM - 15, 16, I, "an indirect table does not lie in RAM" },
	{ RIG_INDIRECT, 0xfffffffffffffff0ull, 32, I, "an indirect table does not lie in RAM" },
};

START_TEST(indirect_descriptor_that_is_wrong_breaks_the_queue)
{
	start(refs[_i].features);
	entry(0, refs[_i].gpa, refs[_i].len, 0, refs[_i].flags | A);
	assert_broken(refs[_i].why);
}
END_TEST

START_TEST(indirect_descriptor_in_a_chain_breaks_the_queue)
{
	start(RIG_INDIRECT);
	entry(0, DATA, 8, 0, A | N);
	entry(1, TABLE, 16, 0, A | I);
	assert_broken("an indirect descriptor is part of a chain");
}
END_TEST

START_TEST(table_is_read_to_its_end_and_only_write_counts)
{
	struct chain *c;

	start(RIG_INDIRECT);
	for (unsigned int i = 0; i < 16; i++)
		rig_put((uint8_t *)td_ptr(&r.td, TABLE + 3) + 16 * i, DATA + i, 8, 0xaaaa,
			(uint16_t)((i % 2 ? N : I) | (i < 4 ? 0 : W) | A | U));
	entry(0, TABLE + 3, 16 * 16, 0x1234, A | I | W);
	c = virtq_pop(&r.q);
	ck_assert_uint_eq(c->id, 0x1234);
	ck_assert_uint_eq(c->nr_descs, 1);
	ck_assert_uint_eq(c->nr_out, 4);
	ck_assert_uint_eq(c->nr_in, 12);
	ck_assert_ptr_eq(c->in[11].iov_base, td_ptr(&r.td, DATA + 15));
}
END_TEST

/* ---- who is told ---- */

/* Let n buffers come back in one batch. Returns whether the driver was interrupted. */
static bool batch(unsigned int n)
{
	unsigned int before = r.interrupts;
	struct td_seg seg = { DATA, 8, true };
	struct td_used u;

	for (unsigned int i = 0; i < n; i++)
		td_add(&r.td, 0, &seg, 1);
	for (unsigned int i = 0; i < n; i++)
		chain_complete(virtq_pop(&r.q), 0);
	virtq_flush(&r.q);
	virtq_flush(&r.q);
	/* Taken without asking for interrupts anew: the event stays where the test put it. */
	r.td.q->setup.event_idx = false;
	while (td_poll(&r.td, 0, &u))
		;
	ck_assert_uint_le(r.interrupts - before, 1);
	return r.interrupts > before;
}

/* The driver wants to hear of the entry that is n places ahead of the next used one. */
static void event_ahead(unsigned int n, uint16_t flags)
{
	unsigned int at = r.q.next_used + n;
	bool wrap = r.q.used_wrap ^ (at >= SIZE);

	put_le16(rig_driver(&r, 0), (uint16_t)(at % SIZE | wrap << 15));
	put_le16(rig_driver(&r, 2), flags);
}

START_TEST(interrupts_follow_the_flags)
{
	start(_i ? RIG_EVENT : 0);
	put_le16(rig_driver(&r, 2), VRING_PACKED_EVENT_FLAG_DISABLE);
	ck_assert(!batch(3));
	put_le16(rig_driver(&r, 2), VRING_PACKED_EVENT_FLAG_ENABLE);
	ck_assert(batch(3));
	put_le16(rig_driver(&r, 2), 0xfffc); /* reserved bits */
	ck_assert(batch(3));
	put_le16(rig_driver(&r, 2), 3); /* reserved value: rather one too many */
	ck_assert(batch(3));
}
END_TEST

START_TEST(descriptor_event_without_the_feature_is_any_event)
{
	start(0);
	event_ahead(4, VRING_PACKED_EVENT_FLAG_DESC);
	ck_assert(batch(1));
}
END_TEST

START_TEST(interrupt_comes_when_the_event_is_passed)
{
	start(RIG_EVENT);
	for (unsigned int round = 0; round < 2 * SIZE * SIZE; round++) {
		unsigned int ahead = round % (SIZE - 1);

		event_ahead(ahead, VRING_PACKED_EVENT_FLAG_DESC);
		if (ahead)
			ck_assert(!batch(ahead));
		ck_assert(batch(1));
		ck_assert(!batch(1));
	}
}
END_TEST

START_TEST(interrupt_comes_when_a_whole_ring_passes_the_event)
{
	start(RIG_EVENT);
	for (unsigned int round = 0; round < SIZE; round++) {
		event_ahead(round, VRING_PACKED_EVENT_FLAG_DESC);
		ck_assert(batch(SIZE));
		batch(1);
	}
}
END_TEST

START_TEST(kicks_are_asked_for_by_flag)
{
	start(0);
	virtq_no_kicks(&r.q);
	ck_assert_uint_eq(get_le16(rig_device(&r, 2)), VRING_PACKED_EVENT_FLAG_DISABLE);
	ck_assert(!virtq_want_kicks(&r.q));
	ck_assert_uint_eq(get_le16(rig_device(&r, 2)), VRING_PACKED_EVENT_FLAG_ENABLE);
}
END_TEST

START_TEST(kicks_are_asked_for_by_descriptor)
{
	start(RIG_EVENT);
	ck_assert(!virtq_want_kicks(&r.q));
	ck_assert_uint_eq(get_le32(rig_device(&r, 0)), VRING_PACKED_EVENT_FLAG_DESC << 16 | 0x8000);
	batch(3);
	batch(3);
	virtq_no_kicks(&r.q);
	ck_assert_uint_eq(get_le16(rig_device(&r, 2)), VRING_PACKED_EVENT_FLAG_DISABLE);
	ck_assert(!virtq_want_kicks(&r.q));
	ck_assert_uint_eq(get_le32(rig_device(&r, 0)), VRING_PACKED_EVENT_FLAG_DESC << 16 | 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_packed");
	TCase *t = tcase_create("virtq_packed");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(t, descriptor_that_is_not_available_is_not_taken, 0, 4);
	tcase_add_test(t, id_is_that_of_the_last_descriptor_and_any_number);
	tcase_add_test(t, used_descriptor_says_whether_something_was_written);
	tcase_add_test(t, first_used_descriptor_of_a_batch_is_written_last);
	tcase_add_test(t, second_round_has_the_wrap_counters_turned);
	tcase_add_test(t, chain_goes_on_at_the_begin_of_the_ring);
	tcase_add_loop_test(t, chain_without_end_breaks_the_queue, 0, 2);
	tcase_add_test(t, chain_as_long_as_the_queue_is_fine);
	tcase_add_test(t, chain_that_runs_into_what_the_device_has_breaks_the_queue);
	tcase_add_test(t, descriptor_that_the_device_has_breaks_the_queue_when_given_again);
	tcase_add_loop_test(t, readable_behind_writable_breaks_the_queue, 0, 2);
	tcase_add_loop_test(t, indirect_descriptor_that_is_wrong_breaks_the_queue, 0, ARRAY_SIZE(refs));
	tcase_add_test(t, indirect_descriptor_in_a_chain_breaks_the_queue);
	tcase_add_test(t, table_is_read_to_its_end_and_only_write_counts);
	tcase_add_loop_test(t, interrupts_follow_the_flags, 0, 2);
	tcase_add_test(t, descriptor_event_without_the_feature_is_any_event);
	tcase_add_test(t, interrupt_comes_when_the_event_is_passed);
	tcase_add_test(t, interrupt_comes_when_a_whole_ring_passes_the_event);
	tcase_add_test(t, kicks_are_asked_for_by_flag);
	tcase_add_test(t, kicks_are_asked_for_by_descriptor);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
