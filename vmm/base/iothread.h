/*
 * A thread that serves one event loop: the I/O threads of disks, network interfaces and the smaller
 * devices. What belongs to the thread is touched by others only through iothread_call().
 */
#ifndef TRELLIS_BASE_IOTHREAD_H
#define TRELLIS_BASE_IOTHREAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/base/base.h"
#include "vmm/base/err.h"
#include "vmm/base/loop.h"

struct iothread {
	struct loop loop;          /* sources and timers are added on the thread, by iothread_call() */
	char name[16];             /* of the thread, as ps -L and /proc show it */
	pthread_t thread;          /* valid while running */
	atomic_bool running;       /* changed by start, under lock, and by stop */
	pthread_mutex_t lock;
	pthread_cond_t idle;       /* a call was taken up and has returned, or the box is free */
	void (*call)(void *ctx);   /* guarded by lock; what the thread is to run next; NULL: nothing */
	void *call_ctx;            /* guarded by lock */
	uint64_t calls, returned;  /* guarded by lock; how many were put into the box, how many are over */
};

/*
 * Make the loop, without a thread: until iothread_start() calls run in the caller, which is what unit
 * tests want. name: at most 15 bytes are kept.
 * Returns 0 or a negative errno with a sentence. iothread_fini() is safe on an all-zero struct, ends
 * the thread if it runs, and joins it.
 */
MUST_CHECK int iothread_init(struct iothread *t, const char *name, struct err *e);
void iothread_fini(struct iothread *t);

/*
 * Start the thread; nothing when it runs already. All signals are blocked in it. Returns 0 or a negative errno.
 * Any thread: devices that share it may be started by several vCPUs at once.
 */
MUST_CHECK int iothread_start(struct iothread *t, struct err *e);

/*
 * End the thread and join it; the loop and its sources stay, and calls run in the caller again. Nobody may start it
 * or call meanwhile.
 */
void iothread_stop(struct iothread *t);

/*
 * Run fn(ctx) on the thread, between two of its callbacks, and wait until it has returned. On the thread
 * itself, or when no thread runs: in the caller. fn must not wait for anything that the caller holds.
 * Any thread; several may call at once.
 */
void iothread_call(struct iothread *t, void (*fn)(void *ctx), void *ctx);

#endif
