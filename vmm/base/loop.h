/*
 * An event loop: file descriptors and timers, served by the one thread that calls loop_run().
 * A device belongs to one loop. Callbacks must not block.
 */
#ifndef TRELLIS_BASE_LOOP_H
#define TRELLIS_BASE_LOOP_H

#include <stdatomic.h>

#include "vmm/base/base.h"
#include "vmm/base/err.h"

struct loop {
	int epoll_fd;      /* owned */
	int wake_fd;       /* owned eventfd */
	atomic_bool stop;
	atomic_bool asked; /* loop_wake() since the last on_wake */
	void (*on_wake)(void *ctx); /* may be NULL; constant while the loop runs */
	void *wake_ctx;
	void *batch;       /* loop thread only: events not yet served */
	unsigned int batch_next, batch_len;
};

/* Something to wait for; memory of the caller, which must not move while it is added. */
struct loop_source {
	int fd;                                     /* borrowed */
	void (*ready)(void *ctx, uint32_t events);  /* EPOLLIN and friends; on the loop's thread */
	void *ctx;
};

/* A one-shot timer; memory of the caller. */
struct loop_timer {
	int fd;                     /* owned timerfd, -1 when not initialised */
	void (*expired)(void *ctx); /* on the loop's thread */
	void *ctx;
	struct loop_source source;
};

/* Returns 0 or a negative errno. loop_fini() is safe on an all-zero struct after a failed init. */
MUST_CHECK int loop_init(struct loop *l, struct err *e);
void loop_fini(struct loop *l);

/* Serve until loop_stop(). Returns 0, or a negative errno if waiting itself fails. */
MUST_CHECK int loop_run(struct loop *l);

/*
 * Serve what is ready now, or becomes ready within wait_ms (-1: as long as it takes), once; for threads that
 * have something else to do between, and for tests. Returns how many events were served; or a negative errno.
 */
MUST_CHECK int loop_run_once(struct loop *l, int wait_ms);

/* Make loop_run() return soon: the present one, or when none runs the next. Any thread, and signal handlers. */
void loop_stop(struct loop *l);

/* Have on_wake called soon on the loop's thread; several calls may merge into one. Any thread. */
void loop_wake(struct loop *l);

/*
 * Begin waiting for events (EPOLLIN | EPOLLOUT | EPOLLET ...) on s->fd; change them; end it.
 * After loop_del() on the loop's thread, s->ready is not called again.
 * loop_add() returns 0 or a negative errno (-EPERM: the file, e.g. a regular one, cannot be waited for).
 */
MUST_CHECK int loop_add(struct loop *l, struct loop_source *s, uint32_t events);
void loop_mod(struct loop *l, struct loop_source *s, uint32_t events);
void loop_del(struct loop *l, struct loop_source *s);

/* t->expired and t->ctx are set by the call. fini is safe on a timer with fd -1. Loop thread or setup. */
MUST_CHECK int loop_timer_init(struct loop *l, struct loop_timer *t, void (*expired)(void *ctx), void *ctx,
			       struct err *e);
void loop_timer_fini(struct loop *l, struct loop_timer *t);

/* Expire once, delay_ns from now (0 means at once); replaces an earlier time. Any thread. */
void loop_timer_arm(struct loop_timer *t, uint64_t delay_ns);
void loop_timer_disarm(struct loop_timer *t);

/* CLOCK_MONOTONIC in nanoseconds. Any thread. */
uint64_t clock_now_ns(void);

#endif
