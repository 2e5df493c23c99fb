/*
 * Unit tests of virtq_split.c: rings written by hand, as a driver that lies writes them, and who is told when.
 * What both formats share is in virtq_test.c.
 */
#include <check.h>
#include <stdlib.h>

#include "devices/virtio/virtq_rig.h"

enum {
	N = VRING_DESC_F_NEXT,
	W = VRING_DESC_F_WRITE,
	I = VRING_DESC_F_INDIRECT,
	SIZE = 8,
	TABLE = 0x10000,
	DATA = 0x20000,
};

static struct virtq_rig r;

static void start(uint64_t features)
{
	ck_assert_int_eq(rig_start(&r, features, SIZE, 16), 0);
}

static void teardown(void)
{
	rig_stop(&r);
}

/* A head into the ring, and the index. */
static void avail(uint16_t idx, uint16_t head)
{
	put_le16(rig_driver(&r, 4 + 2 * ((idx - 1u) % SIZE)), head);
	put_le16(rig_driver(&r, 2), idx);
}

static void table(unsigned int i, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
	rig_put((uint8_t *)td_ptr(&r.td, TABLE) + 16 * i, gpa, len, flags, next);
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

/* ---- the ladder ---- */

START_TEST(index_that_jumps_breaks_the_queue)
{
	static const uint16_t jump[] = { SIZE + 1, 0x8000, 0xffff };

	start(0);
	avail(jump[_i], 0);
	assert_broken("the available index jumps by more than the queue");
}
END_TEST

START_TEST(index_that_gives_what_was_not_given_back_breaks_the_queue)
{
	start(0);
	rig_put(rig_desc(&r, 0), DATA, 8, 0, 0);
	put_le16(rig_driver(&r, 2), SIZE);
	for (unsigned int i = 0; i < SIZE; i++)
		ck_assert_ptr_nonnull(virtq_pop(&r.q));
	put_le16(rig_driver(&r, 2), SIZE + 1);
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert_uint_eq(r.fails, 1);
	/* What is open still goes back. */
	for (unsigned int i = 0; i < SIZE; i++)
		chain_complete(&r.q.chain[i], 0);
	virtq_flush(&r.q);
	ck_assert_uint_eq(get_le16(rig_device(&r, 2)), SIZE);
}
END_TEST

START_TEST(completed_but_unseen_chains_count_as_given)
{
	start(0);
	rig_put(rig_desc(&r, 0), DATA, 8, 0, 0);
	put_le16(rig_driver(&r, 2), SIZE);
	for (unsigned int i = 0; i < SIZE; i++)
		chain_complete(virtq_pop(&r.q), 0);
	put_le16(rig_driver(&r, 2), SIZE + 1);
	assert_broken("the available index jumps by more than the queue");
}
END_TEST

START_TEST(head_beyond_the_queue_breaks_it)
{
	static const uint16_t head[] = { SIZE, 0xffff };

	start(0);
	avail(1, head[_i]);
	assert_broken("the head of a chain lies beyond the queue");
}
END_TEST

START_TEST(next_beyond_the_queue_breaks_it)
{
	static const uint16_t next[] = { SIZE, 0xffff };

	start(0);
	rig_put(rig_desc(&r, 0), DATA, 8, N, next[_i]);
	avail(1, 0);
	assert_broken("a descriptor names a next one beyond the queue");
}
END_TEST

START_TEST(loop_breaks_the_queue)
{
	start(0);
	rig_put(rig_desc(&r, 0), DATA, _i ? 0 : 8, N, 1);
	rig_put(rig_desc(&r, 1), DATA, _i ? 0 : 8, N, 0);
	avail(1, 0);
	assert_broken("a chain is longer than the queue");
}
END_TEST

START_TEST(chain_as_long_as_the_queue_is_fine)
{
	struct chain *c;

	start(0);
	for (uint16_t i = 0; i < SIZE; i++)
		rig_put(rig_desc(&r, i), DATA, 8, i + 1 < SIZE ? N : 0, i + 1);
	avail(1, 0);
	c = virtq_pop(&r.q);
	ck_assert_uint_eq(c->nr_out, SIZE);
}
END_TEST

START_TEST(readable_behind_writable_breaks_the_queue)
{
	/* Also when the writable one is empty. */
	start(0);
	rig_put(rig_desc(&r, 0), DATA, _i ? 0 : 8, N | W, 1);
	rig_put(rig_desc(&r, 1), DATA, 8, 0, 0);
	avail(1, 0);
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
	{ RIG_INDIRECT, TABLE, 8, I, "the length of an indirect table is not that of descriptors" },
	{ RIG_INDIRECT, TABLE, 0xffffffff, I, "the length of an indirect table is not that of descriptors" },
	{ RIG_INDIRECT, TABLE, 0xfffffff0, I, "an indirect table does not lie in RAM" },
	{ RIG_INDIRECT, RIG_RAM, 16, I, "an indirect table does not lie in RAM" },
	{ RIG_INDIRECT, RIG_RAM - 15, 16, I, "an indirect table does not lie in RAM" },
	{ RIG_INDIRECT, 0xfffffffffffffff0ull, 32, I, "an indirect table does not lie in RAM" },
};

START_TEST(indirect_descriptor_that_is_wrong_breaks_the_queue)
{
	start(refs[_i].features);
	table(0, DATA, 8, 0, 0);
	rig_put(rig_desc(&r, 0), refs[_i].gpa, refs[_i].len, refs[_i].flags, 1);
	avail(1, 0);
	assert_broken(refs[_i].why);
}
END_TEST

static void indirect(uint32_t entries)
{
	start(RIG_INDIRECT);
	rig_put(rig_desc(&r, 2), TABLE, 16 * entries, I | W, 0xffff); /* WRITE and next are to be ignored */
	avail(1, 2);
}

START_TEST(nested_table_breaks_the_queue)
{
	indirect(2);
	table(0, DATA, 8, N, 1);
	table(1, TABLE, 16, I, 0);
	assert_broken("an indirect table refers to another one");
}
END_TEST

START_TEST(next_beyond_the_table_breaks_the_queue)
{
	indirect(2);
	table(0, DATA, 8, N, 2);
	assert_broken("a descriptor names a next one beyond its indirect table");
}
END_TEST

START_TEST(loop_in_a_table_breaks_the_queue)
{
	indirect(2);
	table(0, DATA, 8, N, 1);
	table(1, DATA, 8, N, 1);
	assert_broken("a chain is longer than the queue");
}
END_TEST

/* Linux does not look at the queue's size when it fills a table, only at what the device can take. */
START_TEST(table_may_be_as_long_as_the_largest_queue_of_the_device)
{
	struct chain *c;

	indirect(17);
	for (uint16_t i = 0; i < 16; i++)
		table(i, DATA + i, 8, W | (i < 15 ? N : 0), i + 1);
	c = virtq_pop(&r.q);
	ck_assert_uint_eq(c->nr_in, 16);
	ck_assert_ptr_eq(c->in[15].iov_base, td_ptr(&r.td, DATA + 15));
	chain_complete(c, 0);
	table(15, DATA, 8, W | N, 16);
	avail(2, 2);
	assert_broken("a chain is longer than the queue");
}
END_TEST

START_TEST(table_may_end_a_chain_and_both_count)
{
	struct chain *c;

	start(RIG_INDIRECT);
	rig_put(rig_desc(&r, 0), DATA, 8, N, 1);
	rig_put(rig_desc(&r, 1), TABLE + 1, 16 * 16, I, 0); /* at any address */
	rig_put((uint8_t *)td_ptr(&r.td, TABLE + 1), DATA + 8, 8, W, 0);
	avail(1, 0);
	c = virtq_pop(&r.q);
	ck_assert_uint_eq(c->nr_out, 1);
	ck_assert_uint_eq(c->nr_in, 1);
	for (uint16_t i = 0; i < 16; i++)
		rig_put((uint8_t *)td_ptr(&r.td, TABLE + 1) + 16 * i, DATA, 8, i < 15 ? N : 0, i + 1);
	avail(2, 0);
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert_str_eq(r.why, "a chain is longer than the queue");
}
END_TEST

START_TEST(same_head_twice_is_two_chains)
{
	struct chain *a, *b;

	start(0);
	rig_put(rig_desc(&r, 3), DATA, 8, W, 0);
	avail(1, 3);
	avail(2, 3);
	a = virtq_pop(&r.q);
	b = virtq_pop(&r.q);
	ck_assert_ptr_ne(a, b);
	chain_complete(a, 1);
	chain_complete(b, 2);
	virtq_flush(&r.q);
	ck_assert_uint_eq(get_le16(rig_device(&r, 2)), 2);
	ck_assert_uint_eq(get_le32(rig_device(&r, 4 + 8)), 3);
	ck_assert_uint_eq(get_le32(rig_device(&r, 4 + 12)), 2);
}
END_TEST

/* ---- who is told ---- */

/* Let n buffers come back in one batch. Returns whether the driver was interrupted. */
static bool batch(unsigned int n)
{
	unsigned int before = r.interrupts;
	struct td_seg seg = { DATA, 8, true };

	for (unsigned int i = 0; i < n; i++)
		td_add(&r.td, 0, &seg, 1);
	for (unsigned int i = 0; i < n; i++)
		chain_complete(virtq_pop(&r.q), 0);
	virtq_flush(&r.q);
	virtq_flush(&r.q);
	ck_assert_uint_le(r.interrupts - before, 1);
	return r.interrupts > before;
}

static void take_all(void)
{
	struct td_used u;

	while (td_poll(&r.td, 0, &u))
		;
}

START_TEST(driver_that_wants_no_interrupt_gets_none)
{
	start(0);
	put_le16(rig_driver(&r, 0), VRING_AVAIL_F_NO_INTERRUPT);
	ck_assert(!batch(3));
	put_le16(rig_driver(&r, 0), 0);
	ck_assert(batch(3));
}
END_TEST

START_TEST(flag_is_ignored_with_event_index)
{
	start(RIG_EVENT);
	put_le16(rig_driver(&r, 0), VRING_AVAIL_F_NO_INTERRUPT);
	ck_assert(batch(1));
}
END_TEST

START_TEST(interrupt_comes_when_used_event_is_passed)
{
	start(RIG_EVENT);
	for (unsigned int round = 0; round < 20000; round++) { /* the index wraps at 2^16 */
		uint16_t event = (uint16_t)(r.q.next_used + 2);

		take_all();
		put_le16(rig_driver(&r, 4 + 2 * SIZE), event);
		ck_assert(!batch(2));
		ck_assert(batch(1));
		ck_assert(!batch(1));
	}
}
END_TEST

START_TEST(kicks_are_asked_for_by_flag)
{
	start(0);
	virtq_no_kicks(&r.q);
	ck_assert_uint_eq(get_le16(rig_device(&r, 0)), VRING_USED_F_NO_NOTIFY);
	ck_assert(!virtq_want_kicks(&r.q));
	ck_assert_uint_eq(get_le16(rig_device(&r, 0)), 0);
}
END_TEST

START_TEST(kicks_are_asked_for_by_event_index)
{
	start(RIG_EVENT);
	batch(3);
	virtq_no_kicks(&r.q);
	ck_assert(!virtq_want_kicks(&r.q));
	ck_assert_uint_eq(get_le16(rig_device(&r, 0)), 0);
	ck_assert_uint_eq(get_le16(rig_device(&r, 4 + 8 * SIZE)), 3);
}
END_TEST

START_TEST(kicks_are_not_waited_for_when_something_is_there)
{
	struct td_seg seg = { DATA, 8, true };

	start(_i ? RIG_EVENT : 0);
	td_add(&r.td, 0, &seg, 1);
	ck_assert(virtq_want_kicks(&r.q));
	ck_assert_ptr_nonnull(virtq_pop(&r.q));
	ck_assert(!virtq_want_kicks(&r.q));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_split");
	TCase *t = tcase_create("virtq_split");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(t, index_that_jumps_breaks_the_queue, 0, 3);
	tcase_add_test(t, index_that_gives_what_was_not_given_back_breaks_the_queue);
	tcase_add_test(t, completed_but_unseen_chains_count_as_given);
	tcase_add_loop_test(t, head_beyond_the_queue_breaks_it, 0, 2);
	tcase_add_loop_test(t, next_beyond_the_queue_breaks_it, 0, 2);
	tcase_add_loop_test(t, loop_breaks_the_queue, 0, 2);
	tcase_add_test(t, chain_as_long_as_the_queue_is_fine);
	tcase_add_loop_test(t, readable_behind_writable_breaks_the_queue, 0, 2);
	tcase_add_loop_test(t, indirect_descriptor_that_is_wrong_breaks_the_queue, 0, ARRAY_SIZE(refs));
	tcase_add_test(t, nested_table_breaks_the_queue);
	tcase_add_test(t, next_beyond_the_table_breaks_the_queue);
	tcase_add_test(t, loop_in_a_table_breaks_the_queue);
	tcase_add_test(t, table_may_be_as_long_as_the_largest_queue_of_the_device);
	tcase_add_test(t, table_may_end_a_chain_and_both_count);
	tcase_add_test(t, same_head_twice_is_two_chains);
	tcase_add_test(t, driver_that_wants_no_interrupt_gets_none);
	tcase_add_test(t, flag_is_ignored_with_event_index);
	tcase_add_test(t, interrupt_comes_when_used_event_is_passed);
	tcase_add_test(t, kicks_are_asked_for_by_flag);
	tcase_add_test(t, kicks_are_asked_for_by_event_index);
	tcase_add_loop_test(t, kicks_are_not_waited_for_when_something_is_there, 0, 2);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
