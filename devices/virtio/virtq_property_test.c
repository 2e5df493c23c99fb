/*
 * Random work through whole queues, both formats with every set of features, against a plain model: what was
 * added comes out, in order and byte for byte; what was completed comes back, once, with its length, not before
 * a flush; who has to be told is told. The driver is honest and runs in turn with the device: races are not here.
 */
#include <check.h>
#include <stdlib.h>

#include "devices/virtio/virtq_rig.h"

enum { MAX_SEGS = 40, STEPS_SMALL = 120000, STEPS = 30000, DATA = 0x200000, DATA_BYTES = 0x100000 };

/* A buffer on its way. */
struct item {
	int id;
	unsigned int nr;
	struct td_seg seg[MAX_SEGS];
	struct chain *c;   /* while open */
	unsigned int turn; /* of its pop */
	bool done;
	uint32_t len; /* once completed */
};

/* Buffers in the order of one stage; at most as many as the queue has entries. */
struct list {
	struct item *item[RIG_MAX];
	unsigned int nr;
};

/* ck_assert() makes system calls even when all is well, a thousand times as slow as what is tested. */
#define WANT(cond)                                                                                           \
	do {                                                                                                 \
		if (!(cond))                                                                                 \
			ck_abort_msg("step %u, line %d: %s", step, __LINE__, #cond);                         \
	} while (0)

static struct virtq_rig r;
static unsigned int step;
static struct item items[RIG_MAX];
static struct list spare, added, open, put, shown; /* put: completed, not flushed */
static uint64_t seed;
static unsigned int turn; /* of the next pop */
static bool waiting;      /* the device said that it waits for a kick */

static unsigned int any(unsigned int below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned int)((seed >> 33) % below);
}

static struct item *take(struct list *l, unsigned int i)
{
	struct item *it = l->item[i];

	l->nr--;
	memmove(&l->item[i], &l->item[i + 1], (l->nr - i) * sizeof(l->item[0]));
	return it;
}

static void give(struct list *l, struct item *it)
{
	l->item[l->nr++] = it;
}

static void step_add(void)
{
	struct item *it;
	unsigned int nr_out;

	if (!spare.nr)
		return;
	it = take(&spare, 0);
	it->nr = 1 + any(any(4) ? MIN(4u, r.q.setup.size) : MIN((unsigned int)MAX_SEGS, r.q.setup.size));
	nr_out = any(it->nr + 1);
	for (unsigned int i = 0; i < it->nr; i++)
		it->seg[i] = (struct td_seg){ DATA + any(DATA_BYTES), 1 + any(5000), i >= nr_out };
	r.td.indirect = (r.q.setup.indirect && any(2));
	it->id = td_add(&r.td, 0, it->seg, it->nr);
	if (it->id < 0) {
		give(&spare, it);
		return;
	}
	if (waiting)
		WANT(rig_driver_kicks(&r, r.td.indirect ? 1 : it->nr));
	waiting = false;
	give(&added, it);
}

static void step_pop(void)
{
	struct chain *c = virtq_pop(&r.q);
	struct item *it;

	WANT((c != NULL) == (added.nr != 0));
	if (!c)
		return;
	waiting = false;
	it = take(&added, 0);
	WANT(c->id == it->id);
	WANT(c->nr_out + c->nr_in == it->nr);
	WANT(!c->bad);
	for (unsigned int i = 0; i < it->nr; i++) {
		const struct iovec *v = i < c->nr_out ? &c->out[i] : &c->in[i - c->nr_out];

		WANT(v->iov_base == r.td.ram + it->seg[i].gpa);
		WANT(v->iov_len == it->seg[i].len);
		WANT(it->seg[i].in == (i >= c->nr_out));
	}
	it->c = c;
	it->done = false;
	it->turn = turn++;
	give(&open, it);
}

static void step_complete(void)
{
	struct item *it;
	unsigned int i = open.nr ? any(open.nr) : 0;

	if (!open.nr || open.item[i]->done)
		return;
	it = open.item[i];
	it->done = true;
	it->len = it->seg[it->nr - 1].in ? 1 + any(1000) : 0;
	chain_complete(it->c, it->len);
	if (!r.q.setup.in_order)
		give(&put, take(&open, i));
	while (r.q.setup.in_order && open.nr && open.item[0]->done)
		give(&put, take(&open, 0));
}

static void step_unpop(void)
{
	struct item *it = open.nr ? open.item[open.nr - 1] : NULL;

	/* Only what was popped last can be put back. */
	if (!it || it->done || it->turn != turn - 1)
		return;
	turn--;
	virtq_unpop(&r.q, it->c);
	take(&open, open.nr - 1);
	memmove(&added.item[1], &added.item[0], added.nr * sizeof(added.item[0]));
	added.item[0] = it;
	added.nr++;
}

static void step_flush(void)
{
	unsigned int before = r.interrupts;
	bool seen_all = !shown.nr, some = put.nr;

	virtq_flush(&r.q);
	WANT(r.interrupts - before <= some);
	/* A driver that has seen everything sleeps until it is told. */
	if (seen_all && some)
		WANT(r.interrupts - before == 1);
	while (put.nr)
		give(&shown, take(&put, 0));
}

static void step_poll(void)
{
	struct td_used u;
	struct item *it;

	WANT(td_poll(&r.td, 0, &u) == (shown.nr != 0));
	WANT(!r.td.failed);
	if (!shown.nr)
		return;
	it = take(&shown, 0);
	WANT((int)u.id == it->id);
	WANT(u.len == it->len);
	give(&spare, it);
}

static void step_wait(void)
{
	if (any(2))
		virtq_no_kicks(&r.q);
	waiting = !virtq_want_kicks(&r.q);
	WANT(waiting == !added.nr);
}

/* Stopped and started again where it was, as around saving. */
static void step_restart(void)
{
	uint16_t avail, used;

	if (open.nr || put.nr)
		return;
	virtq_indices(&r.q, &avail, &used);
	virtq_stop(&r.q);
	WANT(virtq_start(&r.q, &r.td.q->setup) == 0);
	virtq_set_indices(&r.q, avail, used);
	waiting = false;
}

static void drain(void)
{
	while (added.nr)
		step_pop();
	while (open.nr)
		step_complete();
	step_flush();
	while (shown.nr)
		step_poll();
	step_poll();
	WANT(r.q.nr_open == 0);
	WANT(r.q.nr_taken == 0);
	WANT(r.td.q->nr_free == r.q.setup.size);
}

/* Split indices begin shortly before they wrap at 2^16, so that large queues do it too. */
static void near_the_wrap(void)
{
	uint16_t at = 65000;

	if (r.q.setup.packed)
		return;
	put_le16(rig_driver(&r, 2), at);
	put_le16(rig_device(&r, 2), at);
	put_le16(rig_driver(&r, 4 + 2 * r.q.setup.size), at);
	r.td.q->avail = r.td.q->used = at;
	virtq_set_indices(&r.q, at, at);
}

static const uint16_t sizes[] = { 1, 2, 3, 8, 256, 1024 };

/* _i: size, format, features. */
START_TEST(what_goes_in_comes_out_and_back)
{
	unsigned int size = sizes[_i / 16], steps = size > 8 ? STEPS : STEPS_SMALL, mood = 0;
	unsigned int kind = (unsigned int)_i % 16 | (size == 3); /* split queues have powers of two only */
	uint64_t features = (kind & 1 ? RIG_PACKED : 0) | (kind & 2 ? RIG_EVENT : 0) |
			    (kind & 4 ? RIG_INDIRECT : 0) | (kind & 8 ? RIG_IN_ORDER : 0);

	ck_assert_int_eq(rig_start(&r, features, (uint16_t)size, RIG_MAX), 0);
	near_the_wrap();
	seed = (uint64_t)_i + 1;
	turn = 0;
	waiting = false;
	spare = added = open = put = shown = (struct list){ 0 };
	for (unsigned int i = 0; i < size; i++)
		give(&spare, &items[i]);

	for (step = 0; step < steps; step++) {
		if (step % 64 == 0)
			mood = any(4); /* full, empty and in between */
		switch (any(16)) {
		case 0 ... 3:
			step_add();
			break;
		case 4 ... 6:
			step_pop();
			break;
		case 7 ... 9:
			step_complete();
			break;
		case 10:
			step_flush();
			break;
		case 11 ... 12:
			step_poll();
			break;
		case 13:
			step_wait();
			break;
		case 14:
			if (mood == 1)
				step_unpop();
			else if (mood == 2)
				step_add();
			break;
		case 15:
			if (mood == 3)
				drain();
			if (!any(64))
				step_restart();
			break;
		}
		WANT(r.fails == 0);
	}
	drain();
	rig_stop(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq_property");
	TCase *t = tcase_create("virtq_property");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, what_goes_in_comes_out_and_back, 0, 16 * (int)ARRAY_SIZE(sizes));
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
