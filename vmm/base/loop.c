/*
 * The event loop: epoll, timerfd, eventfd. It knows no device, and it holds no lock: what a callback
 * shares with other threads is the callback's business.
 */
#include "vmm/base/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { LOOP_BATCH = 16 };

int loop_init(struct loop *l, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	int rc;

	*l = (struct loop){ .epoll_fd = -1, .wake_fd = -1 };
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll_fd < 0 || l->wake_fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0) {
		rc = err_sys(e, -errno, "cannot make an event loop");
		loop_fini(l);
		return rc;
	}
	return 0;
}

void loop_fini(struct loop *l)
{
	if (l->epoll_fd > 0)
		close(l->epoll_fd);
	if (l->wake_fd > 0)
		close(l->wake_fd);
	l->epoll_fd = l->wake_fd = -1;
}

static void loop_take_wake(struct loop *l)
{
	uint64_t count;

	if (read(l->wake_fd, &count, sizeof(count)) < 0)
		return; /* EAGAIN: somebody else's call was merged into an earlier one */
	if (atomic_exchange(&l->asked, false) && l->on_wake)
		l->on_wake(l->wake_ctx);
}

int loop_run_once(struct loop *l, int wait_ms)
{
	struct epoll_event batch[LOOP_BATCH];
	int n = epoll_wait(l->epoll_fd, batch, LOOP_BATCH, wait_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	l->batch = batch;
	l->batch_len = (unsigned int)n;
	for (l->batch_next = 0; l->batch_next < l->batch_len;) {
		struct epoll_event *ev = &batch[l->batch_next++];
		struct loop_source *s = ev->data.ptr;

		if (!s)
			loop_take_wake(l);
		else if (ev->events)
			s->ready(s->ctx, ev->events);
	}
	l->batch = NULL;
	l->batch_len = 0;
	return n;
}

int loop_run(struct loop *l)
{
	int rc = 0;

	while (!atomic_load(&l->stop) && rc >= 0)
		rc = loop_run_once(l, -1);
	if (rc < 0)
		return rc;
	atomic_store(&l->stop, false);
	return 0;
}

static void loop_signal(struct loop *l)
{
	uint64_t one = 1;
	int saved = errno;

	while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	errno = saved;
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	loop_signal(l);
}

void loop_wake(struct loop *l)
{
	atomic_store(&l->asked, true);
	loop_signal(l);
}

int loop_add(struct loop *l, struct loop_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, s->fd, &ev) < 0 ? -errno : 0;
}

void loop_mod(struct loop *l, struct loop_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	/* Fails only for a source that was never added, which is a bug of ours without consequence. */
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev);
}

void loop_del(struct loop *l, struct loop_source *s)
{
	struct epoll_event *batch = l->batch;

	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	for (unsigned int i = l->batch_next; batch && i < l->batch_len; i++)
		if (batch[i].data.ptr == s)
			batch[i].events = 0;
}

static void timer_ready(void *ctx, uint32_t events)
{
	struct loop_timer *t = ctx;
	uint64_t count;

	(void)events;
	/* Armed anew between the wake-up and here: the read says EAGAIN, and the new time stands. */
	if (read(t->fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		t->expired(t->ctx);
}

int loop_timer_init(struct loop *l, struct loop_timer *t, void (*expired)(void *ctx), void *ctx, struct err *e)
{
	int rc;

	t->expired = expired;
	t->ctx = ctx;
	t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (t->fd < 0)
		return err_sys(e, -errno, "cannot make a timer");
	t->source = (struct loop_source){ .fd = t->fd, .ready = timer_ready, .ctx = t };
	rc = loop_add(l, &t->source, EPOLLIN);
	if (rc < 0) {
		close(t->fd);
		t->fd = -1;
		return err_sys(e, rc, "cannot wait for a timer");
	}
	return 0;
}

void loop_timer_fini(struct loop *l, struct loop_timer *t)
{
	if (t->fd < 0)
		return;
	loop_del(l, &t->source);
	close(t->fd);
	t->fd = -1;
}

static void timer_set(struct loop_timer *t, uint64_t delay_ns)
{
	struct itimerspec its = {
		.it_value = { .tv_sec = (time_t)(delay_ns / 1000000000), .tv_nsec = (long)(delay_ns % 1000000000) },
	};

	(void)timerfd_settime(t->fd, 0, &its, NULL); /* fails on a bad fd or time only, and both are ours */
}

void loop_timer_arm(struct loop_timer *t, uint64_t delay_ns)
{
	timer_set(t, delay_ns ? delay_ns : 1); /* 0 would disarm */
}

void loop_timer_disarm(struct loop_timer *t)
{
	timer_set(t, 0);
}

uint64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}
