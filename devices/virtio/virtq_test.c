/*
 * Unit tests of virtq.c, each for both ring formats: starting, order, putting back, memory, who is told. What
 * a lying driver can write into the rings is in virtq_split_test.c and virtq_packed_test.c.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "devices/virtio/virtq_rig.h"

static struct virtq_rig r;
static uint64_t data; /* a page of RAM */

static const uint64_t format[] = { 0, RIG_PACKED };

static void start(uint64_t features, uint16_t size)
{
	ck_assert_int_eq(rig_start(&r, features, size, RIG_MAX), 0);
	data = td_alloc(&r.td, 4096, 4096);
}

static void teardown(void)
{
	rig_stop(&r);
	ck_assert(!r.td.failed);
}

static int add(unsigned int nr)
{
	struct td_seg seg[RIG_MAX];

	for (unsigned int i = 0; i < nr; i++)
		seg[i] = (struct td_seg){ data, 8, true };
	return td_add(&r.td, 0, seg, nr);
}

/* Have one buffer come back, and be told of it if the driver wants. */
static void echo(void)
{
	struct chain *c;

	ck_assert_int_ge(add(1), 0);
	c = virtq_pop(&r.q);
	ck_assert_ptr_nonnull(c);
	chain_complete(c, 1);
	virtq_flush(&r.q);
}

static unsigned int used(struct td_used *u)
{
	unsigned int n = 0;

	while (td_poll(&r.td, 0, &u[n]))
		n++;
	return n;
}

/* ---- start ---- */

static const struct {
	uint16_t size, max_size;
	bool packed;
	int desc, driver, device; /* moved by */
	int rc;
} starts[] = {
	{ 0, 256, false, 0, 0, 0, -EINVAL },  { 0, 256, true, 0, 0, 0, -EINVAL },
	{ 3, 256, false, 0, 0, 0, -EINVAL },  { 3, 256, true, 0, 0, 0, 0 },
	{ 1, 256, false, 0, 0, 0, 0 },        { 1, 256, true, 0, 0, 0, 0 },
	{ 256, 256, false, 0, 0, 0, 0 },      { 256, 128, false, 0, 0, 0, -EINVAL },
	{ 129, 128, true, 0, 0, 0, -EINVAL }, { 1024, 4096, false, 0, 0, 0, 0 },
	{ 8, 8, false, 8, 0, 0, -EINVAL },    { 8, 8, false, 0, 1, 0, -EINVAL },
	{ 8, 8, false, 0, 2, 0, 0 },          { 8, 8, false, 0, 0, 2, -EINVAL },
	{ 8, 8, true, 8, 0, 0, -EINVAL },     { 8, 8, true, 0, 2, 0, -EINVAL },
	{ 8, 8, true, 0, 0, 2, -EINVAL },     { 8, 8, true, 0, 4, 4, 0 },
};

START_TEST(start_takes_a_queue_of_its_size_and_alignment_alone)
{
	struct virtq_setup s;

	start(0, 8);
	virtq_stop(&r.q);
	virtq_init(&r.q, &r.td.mem, "rig", 0, starts[_i].max_size);
	virtq_attach(&r.q, NULL, rig_fail, rig_interrupt, &r);
	s = (struct virtq_setup){
		.size = starts[_i].size,
		.packed = starts[_i].packed,
		.desc = 0x10000 + (uint64_t)starts[_i].desc,
		.driver = 0x20000 + (uint64_t)starts[_i].driver,
		.device = 0x30000 + (uint64_t)starts[_i].device,
	};
	ck_assert_int_eq(virtq_start(&r.q, &s), starts[_i].rc);
	ck_assert(r.q.started == (starts[_i].rc == 0));
	ck_assert_ptr_null(virtq_pop(&r.q));
}
END_TEST

START_TEST(start_refuses_an_area_that_is_not_all_in_ram)
{
	/* The last place where each area fits, and the next aligned one. */
	const uint64_t last[2][3] = {
		{ RIG_RAM - 16 * 8, RIG_RAM - 22, RIG_RAM - 72 },
		{ RIG_RAM - 16 * 8, RIG_RAM - 4, RIG_RAM - 4 },
	};
	const uint64_t align[2][3] = { { 16, 2, 4 }, { 16, 4, 4 } };
	bool packed = _i >= 3;

	start(format[packed], 8);
	for (unsigned int bad = 0; bad < 2; bad++) {
		struct virtq_setup s = r.td.q->setup;
		uint64_t *area[3] = { &s.desc, &s.driver, &s.device };

		*area[_i % 3] = last[packed][_i % 3] + bad * align[packed][_i % 3];
		ck_assert_int_eq(virtq_start(&r.q, &s), bad ? -EFAULT : 0);
		*area[_i % 3] = 0xfffffffffffffff0ull; /* wraps */
		ck_assert_int_eq(virtq_start(&r.q, &s), -EFAULT);
	}
}
END_TEST

START_TEST(queue_that_is_not_started_gives_nothing_and_takes_everything)
{
	start(format[_i], 8);
	virtq_stop(&r.q);
	virtq_stop(&r.q);
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert(!virtq_want_kicks(&r.q));
	virtq_no_kicks(&r.q);
	virtq_flush(&r.q);
	ck_assert_uint_eq(r.interrupts, 0);
}
END_TEST

START_TEST(stop_forgets_open_chains_and_start_begins_anew)
{
	start(format[_i], 8);
	add(2);
	ck_assert_ptr_nonnull(virtq_pop(&r.q));
	virtq_stop(&r.q);
	memset(rig_desc(&r, 0), 0, 8 * 16);
	ck_assert_int_eq(virtq_start(&r.q, &r.td.q->setup), 0);
	ck_assert_uint_eq(r.q.nr_open, 0);
	ck_assert_uint_eq(r.q.next_avail, 0);
}
END_TEST

/* ---- chains ---- */

START_TEST(chain_has_its_segments_in_order_however_many)
{
	static const unsigned int count[] = { 1, CHAIN_FEW_SEGS, CHAIN_FEW_SEGS + 1, 1000 };
	static struct td_seg seg[RIG_MAX];
	unsigned int nr = count[_i / 2];
	struct chain *c;

	start(format[_i % 2], _i % 2 ? 1000 : 1024);
	for (unsigned int i = 0; i < nr; i++)
		seg[i] = (struct td_seg){ data + i, i + 1, i >= nr / 2 };
	ck_assert_int_ge(td_add(&r.td, 0, seg, nr), 0);
	c = virtq_pop(&r.q);
	ck_assert_uint_eq(c->nr_out, nr / 2);
	ck_assert_uint_eq(c->nr_in, nr - nr / 2);
	ck_assert_ptr_eq(c->in, c->out + c->nr_out);
	for (unsigned int i = 0; i < nr; i++) {
		ck_assert_ptr_eq(c->out[i].iov_base, td_ptr(&r.td, data + i));
		ck_assert_uint_eq(c->out[i].iov_len, i + 1);
	}
	chain_complete(c, 0);
}
END_TEST

START_TEST(segment_outside_ram_is_bad_and_keeps_its_length)
{
	static const struct td_seg bad[] = {
		{ RIG_RAM, 1, true },                /* behind RAM */
		{ RIG_RAM - 8, 9, true },            /* over its end */
		{ 0xc0000000, 0xffffffff, true },    /* in the hole */
		{ 0xfffffffffffffff8ull, 16, true }, /* wraps */
		{ 0, 0xffffffff, true },             /* longer than all of it */
		{ 0xffffffff, 2, true },             /* into high RAM from below */
		{ 0x100000000ull + TD_HIGH_BYTES - 1, 2, true },
	};
	struct td_seg seg[2] = { { data, 4, false }, bad[_i / 2] };
	struct chain *c;

	start(format[_i % 2], 8);
	seg[0].gpa = data;
	td_add(&r.td, 0, seg, 2);
	c = virtq_pop(&r.q);
	ck_assert(c->bad);
	ck_assert(chain_out_ok(c));
	ck_assert(!chain_in_ok(c));
	ck_assert_ptr_null(c->in[0].iov_base);
	ck_assert_uint_eq(chain_writable(c), seg[1].len);
	ck_assert_uint_eq(r.fails, 0);
	chain_complete(c, 0);
}
END_TEST

START_TEST(segments_at_both_ends_of_each_range_are_good)
{
	const struct td_seg seg[] = {
		{ 0, 1, true },
		{ RIG_RAM - 1, 1, true },
		{ 0x100000000ull, TD_HIGH_BYTES, true },
	};
	struct chain *c;

	start(format[_i], 8);
	td_add(&r.td, 0, seg, 3);
	c = virtq_pop(&r.q);
	ck_assert(!c->bad);
	ck_assert_ptr_eq(c->in[2].iov_base, r.td.high);
	chain_complete(c, 0);
}
END_TEST

START_TEST(segments_without_length_are_left_out)
{
	/* Where it lies does not matter then. */
	const struct td_seg seg[] = {
		{ data, 0, false }, { ~0ull, 0, false }, { 64, 4, true }, { 0, 0, true }
	};
	struct chain *c;

	start(format[_i], 8);
	td_add(&r.td, 0, seg, 4);
	c = virtq_pop(&r.q);
	ck_assert_uint_eq(c->nr_out, 0);
	ck_assert_uint_eq(c->nr_in, 1);
	ck_assert(!c->bad);
	chain_complete(c, 4);
}
END_TEST

START_TEST(full_queue_is_popped_to_the_end_and_served_in_any_order)
{
	struct chain *c[8];
	struct td_used u[9];

	start(format[_i], 8);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_int_ge(add(1), 0);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_ptr_nonnull(c[i] = virtq_pop(&r.q));
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert(!virtq_want_kicks(&r.q));
	for (unsigned int i = 0; i < 8; i++) {
		u[0].id = c[i * 3 % 8]->id;
		chain_complete(c[i * 3 % 8], u[0].id + 1);
	}
	ck_assert_uint_eq(used(u), 0); /* not before the flush */
	virtq_flush(&r.q);
	ck_assert_uint_eq(used(u), 8);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_uint_eq(u[i].len, u[i].id + 1);
	ck_assert_uint_eq(r.fails, 0);
}
END_TEST

START_TEST(in_order_queue_holds_back_what_overtakes)
{
	struct chain *c[4];
	struct td_used u[5];
	int id[4];

	start(format[_i] | RIG_IN_ORDER, 8);
	for (unsigned int i = 0; i < 4; i++)
		id[i] = add(1 + i % 2);
	for (unsigned int i = 0; i < 4; i++)
		c[i] = virtq_pop(&r.q);
	chain_complete(c[1], 1);
	chain_complete(c[3], 3);
	virtq_flush(&r.q);
	ck_assert_uint_eq(used(u), 0);
	ck_assert_uint_eq(r.interrupts, 0);
	chain_complete(c[0], 5);
	virtq_flush(&r.q);
	ck_assert_uint_eq(used(u), 2);
	ck_assert_int_eq((int)u[0].id, id[0]);
	ck_assert_uint_eq(u[1].len, 1);
	chain_complete(c[2], 2);
	virtq_flush(&r.q);
	ck_assert_uint_eq(used(u), 2);
	ck_assert_uint_eq(u[1].len, 3);
	ck_assert_uint_eq(r.q.nr_open, 0);
}
END_TEST

START_TEST(chains_put_back_come_again)
{
	uint64_t features = format[_i % 2] | (_i >= 2 ? RIG_IN_ORDER : 0);
	struct chain *c[3];
	struct td_used u[4];
	int id[3];

	start(features, 7 + !(_i % 2)); /* 7 entries: some chain goes around the end of the packed ring */
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < 3; i++)
			id[i] = add(1 + i);
		for (unsigned int i = 0; i < 3; i++)
			c[i] = virtq_pop(&r.q);
		virtq_unpop(&r.q, c[2]);
		virtq_unpop(&r.q, c[1]);
		chain_complete(c[0], 0);
		ck_assert(virtq_want_kicks(&r.q));
		for (unsigned int i = 1; i < 3; i++) {
			c[i] = virtq_pop(&r.q);
			ck_assert_int_eq(c[i]->id, id[i]);
			ck_assert_uint_eq(c[i]->nr_in, 1 + i);
		}
		chain_complete(c[1], 0);
		chain_complete(c[2], 0);
		virtq_flush(&r.q);
		ck_assert_uint_eq(used(u), 3);
	}
}
END_TEST

START_TEST(nothing_is_popped_while_access_is_off)
{
	start(format[_i], 8);
	add(1);
	atomic_store(&r.td.access, false);
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert(!virtq_want_kicks(&r.q));
	atomic_store(&r.td.access, true);
	ck_assert(virtq_want_kicks(&r.q));
	ck_assert_ptr_nonnull(virtq_pop(&r.q));
	ck_assert_uint_eq(r.fails, 0);
}
END_TEST

START_TEST(rings_are_not_written_while_access_is_off)
{
	start(format[_i], 8);
	memset(rig_device(&r, 0), 0xa5, 4);
	atomic_store(&r.td.access, false);
	virtq_no_kicks(&r.q);
	ck_assert(!virtq_want_kicks(&r.q));
	ck_assert_uint_eq(get_le32(rig_device(&r, 0)), 0xa5a5a5a5);
}
END_TEST

START_TEST(indices_go_into_another_queue_and_work_goes_on)
{
	struct virtq_setup s;
	uint16_t avail, used_idx;

	start(format[_i], 8);
	for (unsigned int i = 0; i < 13; i++) { /* the packed ring is in its second round */
		struct td_used u;

		echo();
		ck_assert(td_poll(&r.td, 0, &u));
	}
	s = r.q.setup;
	virtq_indices(&r.q, &avail, &used_idx);
	ck_assert_uint_eq(avail, _i ? 5 : 13);
	ck_assert_uint_eq(used_idx, avail);
	virtq_stop(&r.q);
	ck_assert_int_eq(virtq_start(&r.q, &s), 0);
	virtq_set_indices(&r.q, avail, used_idx);
	ck_assert_ptr_null(virtq_pop(&r.q));
	for (unsigned int i = 0; i < 13; i++) {
		struct td_used u;

		echo();
		ck_assert(td_poll(&r.td, 0, &u));
	}
	ck_assert_uint_eq(r.fails, 0);
}
END_TEST

static const struct {
	bool packed;
	uint16_t avail, used;
} wrong_indices[] = {
	{ false, 8, 8 },          { false, 0x7fff, 0 }, /* the driver's index is 1 */
	{ true, 8, 0 },           { true, 0, 8 },           { true, 0x7fff, 0x7fff },
	{ true, 0x8000, 0x8008 }, { true, 0xffff, 0x8000 },
};

START_TEST(indices_that_are_wrong_break_the_queue)
{
	start(format[wrong_indices[_i].packed], 8);
	add(1);
	virtq_set_indices(&r.q, wrong_indices[_i].avail, wrong_indices[_i].used);
	ck_assert_ptr_null(virtq_pop(&r.q));
	ck_assert_uint_eq(r.fails, 1);
}
END_TEST

START_TEST(index_of_used_that_is_wrong_stays_inside_the_ring)
{
	start(0, 8);
	virtq_set_indices(&r.q, 0, 0xfffe);
	for (unsigned int i = 0; i < 4; i++)
		echo();
	ck_assert_uint_eq(get_le16(rig_device(&r, 2)), 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq");
	TCase *t = tcase_create("virtq");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(t, start_takes_a_queue_of_its_size_and_alignment_alone, 0, ARRAY_SIZE(starts));
	tcase_add_loop_test(t, start_refuses_an_area_that_is_not_all_in_ram, 0, 6);
	tcase_add_loop_test(t, queue_that_is_not_started_gives_nothing_and_takes_everything, 0, 2);
	tcase_add_loop_test(t, stop_forgets_open_chains_and_start_begins_anew, 0, 2);
	tcase_add_loop_test(t, chain_has_its_segments_in_order_however_many, 0, 8);
	tcase_add_loop_test(t, segment_outside_ram_is_bad_and_keeps_its_length, 0, 14);
	tcase_add_loop_test(t, segments_at_both_ends_of_each_range_are_good, 0, 2);
	tcase_add_loop_test(t, segments_without_length_are_left_out, 0, 2);
	tcase_add_loop_test(t, full_queue_is_popped_to_the_end_and_served_in_any_order, 0, 2);
	tcase_add_loop_test(t, in_order_queue_holds_back_what_overtakes, 0, 2);
	tcase_add_loop_test(t, chains_put_back_come_again, 0, 4);
	tcase_add_loop_test(t, nothing_is_popped_while_access_is_off, 0, 2);
	tcase_add_loop_test(t, rings_are_not_written_while_access_is_off, 0, 2);
	tcase_add_loop_test(t, indices_go_into_another_queue_and_work_goes_on, 0, 2);
	tcase_add_loop_test(t, indices_that_are_wrong_break_the_queue, 0, ARRAY_SIZE(wrong_indices));
	tcase_add_test(t, index_of_used_that_is_wrong_stays_inside_the_ring);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
