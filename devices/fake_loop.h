/*
 * For unit tests of this folder only: the timers and the clock of vmm/base/loop.h, moved by hand. Include it
 * in one file of a test program, and do not link vmm/base/loop.c into that program.
 */
#ifndef TRELLIS_DEVICES_FAKE_LOOP_H
#define TRELLIS_DEVICES_FAKE_LOOP_H

#include "vmm/base/loop.h"

enum { FAKE_MAX_TIMERS = 4 };

static struct {
	uint64_t now_ns;
	unsigned int nr_timers;
	unsigned int arms;   /* calls of loop_timer_arm() so far */
	struct {
		struct loop_timer *timer;
		uint64_t at_ns;
		bool armed;
	} slot[FAKE_MAX_TIMERS];
} fake_loop;

int loop_timer_init(struct loop *l, struct loop_timer *t, void (*expired)(void *ctx), void *ctx,
		    struct err *e)
{
	(void)l;
	if (fake_loop.nr_timers == FAKE_MAX_TIMERS)
		return err_set(e, -12, "too many timers for the fake loop");
	t->fd = (int)fake_loop.nr_timers++;
	t->expired = expired;
	t->ctx = ctx;
	fake_loop.slot[t->fd].timer = t;
	fake_loop.slot[t->fd].armed = false;
	return 0;
}

void loop_timer_fini(struct loop *l, struct loop_timer *t)
{
	(void)l;
	if (t->fd >= 0)
		fake_loop.slot[t->fd].armed = false;
	t->fd = -1;
}

void loop_timer_arm(struct loop_timer *t, uint64_t delay_ns)
{
	fake_loop.arms++;
	fake_loop.slot[t->fd].at_ns = fake_loop.now_ns + delay_ns;
	fake_loop.slot[t->fd].armed = true;
}

void loop_timer_disarm(struct loop_timer *t)
{
	fake_loop.slot[t->fd].armed = false;
}

uint64_t clock_now_ns(void)
{
	return fake_loop.now_ns;
}

/* Is any timer running? */
static inline bool fake_loop_armed(void)
{
	for (unsigned int i = 0; i < fake_loop.nr_timers; i++)
		if (fake_loop.slot[i].armed)
			return true;
	return false;
}

/* Let time pass; timers expire in order, each at its time. */
static inline void fake_loop_advance(uint64_t ns)
{
	uint64_t end = fake_loop.now_ns + ns;

	for (;;) {
		int next = -1;

		for (unsigned int i = 0; i < fake_loop.nr_timers; i++)
			if (fake_loop.slot[i].armed && fake_loop.slot[i].at_ns <= end &&
			    (next < 0 || fake_loop.slot[i].at_ns < fake_loop.slot[next].at_ns))
				next = (int)i;
		if (next < 0)
			break;
		fake_loop.now_ns = MAX(fake_loop.now_ns, fake_loop.slot[next].at_ns);
		fake_loop.slot[next].armed = false;
		fake_loop.slot[next].timer->expired(fake_loop.slot[next].timer->ctx);
	}
	fake_loop.now_ns = end;
}

/* As advance(), without any timer: what a guest sees when the loop's thread does not get to run. */
static inline void fake_loop_stall(uint64_t ns)
{
	fake_loop.now_ns += ns;
}

#endif
