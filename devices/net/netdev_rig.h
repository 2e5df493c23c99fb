/*
 * For stream_test.c and passt_test.c: a back end on a loop that is run by hand, and what a device does with it.
 * Include it in one file of a test program.
 */
#ifndef TRELLIS_DEVICES_NET_NETDEV_RIG_H
#define TRELLIS_DEVICES_NET_NETDEV_RIG_H

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/net/netdev.h"

/* One side. */
struct side {
	struct netdev *n;
	bool attached;
	unsigned int ins, outs; /* how often frames were said to be there, room to be */
	int link;               /* -1: nothing was said */
	unsigned int downs;
};

static struct loop loop;
static struct err e;

static inline void side_ready(void *ctx, bool in, bool out)
{
	struct side *s = ctx;

	s->ins += in;
	s->outs += out;
}

static inline void side_link(void *ctx, bool up)
{
	struct side *s = ctx;

	s->link = up;
	s->downs += !up;
}

static inline void side_attach(struct side *s)
{
	s->link = -1;
	s->n->link = side_link;
	s->n->link_ctx = s;
	ck_assert_int_eq(s->n->ops->attach(s->n, 0, &loop, side_ready, s), 0);
	s->n->ops->want(s->n, 0, true, false);
	s->attached = true;
}

static inline void side_close(struct side *s)
{
	if (s->attached)
		s->n->ops->detach(s->n, 0);
	netdev_close(s->n);
	*s = (struct side){ 0 };
}

/* Serve what is ready, and what becomes so in a moment; not for ever, as nobody here takes the frames. */
static inline void run(int wait_ms)
{
	for (int i = 0; i < 4 && loop_run_once(&loop, i ? 0 : wait_ms) > 0; i++)
		;
}

static inline int side_send(struct side *s, const void *frame, size_t len)
{
	struct iovec v = { (void *)frame, len };

	return s->n->ops->send(s->n, 0, &v, 1);
}

static inline void side_flush(struct side *s)
{
	if (s->n->ops->flush)
		s->n->ops->flush(s->n, 0);
}

static inline int side_recv(struct side *s, void *frame, size_t len)
{
	struct iovec v = { frame, len };

	return s->n->ops->recv(s->n, 0, &v, 1);
}

/* The same, and the loop is run for up to two seconds until there is one. */
static inline int side_await(struct side *s, void *frame, size_t len)
{
	int rc = side_recv(s, frame, len);

	for (int i = 0; rc == -EAGAIN && i < 200; i++) {
		run(10);
		rc = side_recv(s, frame, len);
	}
	return rc;
}

static inline void await_link(struct side *s, bool up)
{
	for (int i = 0; s->link != up && i < 200; i++)
		run(10);
	ck_assert_int_eq(s->link, up);
}

#endif
