/*
 * The POST code port, 0x80: it remembers what guests write there, and when, for start-up timing and for the
 * report after a crash. It shows nothing by itself.
 */
#ifndef TRELLIS_DEVICES_POST_H
#define TRELLIS_DEVICES_POST_H

#include <pthread.h>

#include "vmm/base/dev.h"

enum { POST_RING = 64 };

/* A value, and how often it was written in a row. */
struct post_code {
	uint8_t value;
	uint64_t ns;      /* from start to the first of these writes */
	uint64_t repeats; /* writes in all, from 1 */
};

struct post {
	pthread_mutex_t lock;
	uint64_t start_ns;                         /* CLOCK_MONOTONIC; constant after init */
	void (*first)(void *ctx, uint64_t ns);     /* may be NULL; constant after init */
	void *first_ctx;                           /* borrowed; constant after init */

	/* Guarded by lock. */
	struct post_code ring[POST_RING];
	uint64_t nr_codes;                         /* since reset; newest at (nr_codes - 1) % POST_RING */
	uint8_t last;                              /* what the port reads */
	uint64_t first_ns;                         /* of the first write since init */
	bool seen;                                 /* first_ns is known */
};

/*
 * start_ns  when the machine was started, CLOCK_MONOTONIC
 * first     called for the first write since init and no other (also not after a reset), with nanoseconds
 * since start; on the writing vCPU's thread, without the lock; NULL: nobody wants to know
 */
void post_init(struct post *p, uint64_t start_ns, void (*first)(void *ctx, uint64_t ns), void *first_ctx);
void post_fini(struct post *p);

/* Nanoseconds from start to the first write since init; 0: there was none. Any thread. */
uint64_t post_first_ns(struct post *p);

/*
 * Call show for what was written since reset, oldest first, at most the last POST_RING different values in a
 * row. Works on a copy: show may take its time, and runs without the lock. Any thread.
 */
void post_each(struct post *p, void (*show)(void *ctx, const struct post_code *code), void *ctx);

/* A window of one byte (struct post). Reading gives the last value written. */
extern const struct io_ops post_io_ops;
extern const struct dev_ops post_dev_ops;

#endif
