/*
 * A pool of threads for what may block. Threads come as they are needed, at most WORKERS_MAX, and go after
 * ten seconds without work. It knows nothing of disks.
 */
#ifndef TRELLIS_DEVICES_BLOCK_WORKERS_H
#define TRELLIS_DEVICES_BLOCK_WORKERS_H

#include "vmm/base/base.h"

enum { WORKERS_MAX = 64 };

struct workers;

/* Something to be done; memory of the caller, left alone by it until run() has been called. */
struct work {
	void (*run)(struct work *w); /* on a thread of the pool; w is no longer looked at afterwards */
	struct work *next;           /* the pool's own */
};

/* Returns NULL when there is no memory. free: everything that was added is done first; NULL is fine. */
struct workers *workers_new(void);
void workers_free(struct workers *p);

/* Have w run soon; in the caller if not even one thread can be had. Any thread. */
void workers_add(struct workers *p, struct work *w);

#endif
