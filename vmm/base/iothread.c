/*
 * A thread around an event loop, and a box of one through which others have it run something. The box
 * wakes the loop, so what is called runs between two callbacks and never inside one.
 */
#include "vmm/base/iothread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "vmm/base/cpuset.h"
#include "vmm/base/log.h"
#include "vmm/base/signals.h"

enum { IOTHREAD_STACK_BYTES = 256 << 10 }; /* address space; only what is used is touched */

/* On the thread: take what is in the box, run it, and say so. */
static void iothread_take_call(void *ctx)
{
	struct iothread *t = ctx;
	void (*fn)(void *ctx);
	void *fn_ctx;

	pthread_mutex_lock(&t->lock);
	fn = t->call;
	fn_ctx = t->call_ctx;
	pthread_mutex_unlock(&t->lock);
	if (!fn)
		return;
	fn(fn_ctx);
	pthread_mutex_lock(&t->lock);
	t->call = NULL;
	t->returned++;
	pthread_cond_broadcast(&t->idle);
	pthread_mutex_unlock(&t->lock);
}

int iothread_init(struct iothread *t, const char *name, struct err *e)
{
	int rc;

	*t = (struct iothread){ 0 };
	snprintf(t->name, sizeof(t->name), "%s", name);
	rc = loop_init(&t->loop, e);
	if (rc < 0) {
		*t = (struct iothread){ 0 };
		return rc;
	}
	t->loop.on_wake = iothread_take_call;
	t->loop.wake_ctx = t;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->idle, NULL);
	return 0;
}

static void *iothread_main(void *arg)
{
	struct iothread *t = arg;
	int rc;

	affinity_enter_io(); /* a vCPU's thread may have made this one, and be pinned */
	prctl(PR_SET_NAME, t->name);
	rc = loop_run(&t->loop);
	if (rc < 0) /* epoll_wait() on descriptors of ours: a bug, and nobody could go on */
		log_error("%s: waiting for events failed: %s", t->name, strerror(-rc));
	return NULL;
}

static int start_locked(struct iothread *t, struct err *e)
{
	pthread_attr_t attr;
	sigset_t mask, old;
	int rc;

	if (atomic_load(&t->running))
		return 0;
	signals_fill_but_faults(&mask);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, IOTHREAD_STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &mask, &old); /* inherited: signals are the main thread's */
	rc = -pthread_create(&t->thread, &attr, iothread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc < 0)
		return err_sys(e, rc, "cannot start the thread %s", t->name);
	atomic_store(&t->running, true);
	return 0;
}

int iothread_start(struct iothread *t, struct err *e)
{
	int rc;

	pthread_mutex_lock(&t->lock);
	rc = start_locked(t, e);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

void iothread_stop(struct iothread *t)
{
	if (!atomic_load(&t->running))
		return;
	loop_stop(&t->loop);
	pthread_join(t->thread, NULL);
	atomic_store(&t->running, false);
}

void iothread_fini(struct iothread *t)
{
	if (!t->loop.on_wake)
		return;
	iothread_stop(t);
	loop_fini(&t->loop);
	pthread_cond_destroy(&t->idle);
	pthread_mutex_destroy(&t->lock);
	*t = (struct iothread){ 0 };
}

void iothread_call(struct iothread *t, void (*fn)(void *ctx), void *ctx)
{
	uint64_t ticket;

	if (!atomic_load(&t->running) || pthread_equal(pthread_self(), t->thread)) {
		fn(ctx);
		return;
	}
	pthread_mutex_lock(&t->lock);
	while (t->call)
		pthread_cond_wait(&t->idle, &t->lock);
	t->call = fn;
	t->call_ctx = ctx;
	ticket = ++t->calls;
	loop_wake(&t->loop);
	while (t->returned < ticket) /* one box, so calls return in the order of their tickets */
		pthread_cond_wait(&t->idle, &t->lock);
	pthread_mutex_unlock(&t->lock);
}
