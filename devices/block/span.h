/*
 * Who writes where in a file, so that a read-modify-write loses nobody's bytes.
 *
 * Under O_DIRECT a write of part of a block is made of a read of the whole block and a write of the whole
 * block, which also carries bytes that are not the writer's. Between the two nobody else may write them.
 * So such a writer holds its blocks *alone*; every other write holds its range *shared* with its like
 * (two plain writes never carry a byte that is not theirs). Spans are granted in the order of arrival,
 * the oldest never waits, and so everybody gets through.
 */
#ifndef TRELLIS_DEVICES_BLOCK_SPAN_H
#define TRELLIS_DEVICES_BLOCK_SPAN_H

#include <pthread.h>

#include "vmm/base/base.h"

/* A range that is held or waited for; memory of the caller. */
struct span {
	uint64_t start, end;
	bool alone;
	bool listed; /* between hold and release; the holder's own */
	struct span *next, *prev;
};

struct spans {
	pthread_mutex_t lock;
	pthread_cond_t released;
	struct span *first, *last; /* guarded by lock, as is all below; by arrival */
	unsigned int nr_alone;     /* held or waited for */
	unsigned int nr_waiting;
};

/* Returns NULL when there is no memory. free: NULL is fine; nothing may be held. */
struct spans *spans_new(void);
void spans_free(struct spans *s);

/* Wait until [start, end) can be had, and hold it. Not for threads that must not block; one span a thread. */
void spans_hold(struct spans *s, struct span *sp, uint64_t start, uint64_t end, bool alone);

/* Hold [start, end) shared if that can be done at once. Returns whether. Any thread. */
MUST_CHECK bool spans_try_share(struct spans *s, struct span *sp, uint64_t start, uint64_t end);

/* Give it back; nothing for a span that is not held. Any thread. */
void spans_release(struct spans *s, struct span *sp);

#endif
