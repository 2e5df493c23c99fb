/*
 * A limit on operations and bytes a second: two token buckets (requests may go while both hold enough).
 * A bucket fills evenly up to its burst, and is full at the start. A request larger than the burst goes
 * when the bucket is full and leaves it in debt, so nothing is stuck and the rate holds.
 */
#ifndef TRELLIS_BASE_THROTTLE_H
#define TRELLIS_BASE_THROTTLE_H

#include <pthread.h>

#include "vmm/base/base.h"

struct throttle_bucket {
	uint64_t rate;    /* tokens a second; 0: no limit. Constant, as is burst */
	uint64_t burst;
	int64_t tokens;   /* below 0: debt */
	uint64_t rest;    /* of the last refill, in token * nanoseconds */
};

struct throttle {
	pthread_mutex_t lock;
	struct throttle_bucket ops, bytes; /* guarded by lock, as is all below */
	uint64_t refilled_ns;
	bool started;                      /* refilled_ns is valid */
	uint64_t waits;                    /* requests that had to wait */
	uint64_t waited_ns;                /* time for which at least one was told to wait */
	uint64_t waiting_since_ns;         /* 0: nobody waits */
	uint64_t waiting_until_ns;         /* when they were told to ask again: one that is dropped meanwhile
					      must not count as waiting for ever */
};

/* What the limits are to be; 0 is no limit. A burst of 0 means a tenth of a second's worth. */
struct throttle_limits {
	uint64_t ops, ops_burst;
	uint64_t bytes, bytes_burst;
};

void throttle_init(struct throttle *t, const struct throttle_limits *limits);
void throttle_fini(struct throttle *t);

/* Is there any limit? Constant after init. */
static inline bool throttle_active(const struct throttle *t)
{
	return t->ops.rate || t->bytes.rate;
}

/*
 * May a request of one operation and so many bytes go at now_ns (clock_now_ns())?
 * again  this request was told to wait before (it is not counted once more)
 * Returns 0, with its tokens taken; or for how many nanoseconds to wait before asking again, at least 1.
 * Any thread.
 */
uint64_t throttle_take(struct throttle *t, uint64_t now_ns, uint64_t bytes, bool again);

#endif
