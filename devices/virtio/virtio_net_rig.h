/*
 * A network device for tests: its back end is a list of frames to come, and one of those that went. Include it
 * in one file of a test program. It moves when told to: fake_net_turn() is the event loop's part.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_NET_RIG_H
#define TRELLIS_DEVICES_VIRTIO_NET_RIG_H

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>

#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_net_internal.h"

enum {
	FAKE_PAIRS = 4,
	FAKE_FRAMES = 1024,
	FAKE_TURNS = 4096, /* more in one go is a device that spins */
	FAKE_FRAME_MAX = NET_HDR + NETDEV_MAX_FRAME + 100,
};

struct fake_frame {
	unsigned int len;
	uint8_t *bytes; /* owned; with the header if the back end has one */
};

struct fake_net {
	struct netdev dev;
	struct fake_frame coming[FAKE_FRAMES], gone[FAKE_FRAMES];
	unsigned int nr_coming, next_coming, nr_gone;
	bool full;            /* sending: -EAGAIN */
	int recv_rc, send_rc; /* below 0: what fails */
	bool in[FAKE_PAIRS], out[FAKE_PAIRS], attached[FAKE_PAIRS];
	void (*ready[FAKE_PAIRS])(void *ctx, bool in, bool out);
	void *ctx[FAKE_PAIRS];
	uint64_t offloads;
	unsigned int pairs, flushes, segments;
	int offloads_rc, pairs_rc;
	bool forget; /* do not keep what was sent: for fuzzing */
};

static inline struct fake_net *fake_of(struct netdev *n)
{
	return (struct fake_net *)(void *)n; /* dev is the first member */
}

static inline int fake_recv(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr)
{
	struct fake_net *f = fake_of(n);
	struct fake_frame *c = &f->coming[f->next_coming];
	size_t done = 0;

	(void)q;
	if (f->recv_rc < 0)
		return f->recv_rc;
	if (f->next_coming == f->nr_coming)
		return -EAGAIN;
	for (unsigned int i = 0; i < nr && done < c->len; i++) {
		size_t part = MIN(iov[i].iov_len, c->len - done);

		memcpy(iov[i].iov_base, c->bytes + done, part);
		done += part;
	}
	free(c->bytes);
	f->next_coming++;
	return (int)done;
}

static inline int fake_send(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr)
{
	struct fake_net *f = fake_of(n);
	struct fake_frame *g = &f->gone[f->nr_gone];
	size_t len = 0, done = 0;

	(void)q;
	if (f->full)
		return -EAGAIN;
	if (f->send_rc < 0)
		return f->send_rc;
	f->segments = nr;
	for (unsigned int i = 0; i < nr; i++)
		len += iov[i].iov_len;
	if (nr > NET_IOV || len > NET_HDR + NETDEV_MAX_FRAME)
		abort(); /* the device's promise */
	if (f->nr_gone == FAKE_FRAMES)
		return 0;
	*g = (struct fake_frame){ (unsigned int)len, malloc(len + 1) };
	for (unsigned int i = 0; i < nr; i++) {
		memcpy(g->bytes + done, iov[i].iov_base, iov[i].iov_len);
		done += iov[i].iov_len;
	}
	if (f->forget)
		free(g->bytes);
	else
		f->nr_gone++;
	return 0;
}

static inline void fake_flush(struct netdev *n, unsigned int q)
{
	(void)q;
	fake_of(n)->flushes++;
}

static inline int fake_attach(struct netdev *n, unsigned int q, struct loop *loop,
			      void (*ready)(void *ctx, bool in, bool out), void *ctx)
{
	struct fake_net *f = fake_of(n);

	(void)loop;
	if (f->attached[q])
		abort();
	f->attached[q] = true;
	f->ready[q] = ready;
	f->ctx[q] = ctx;
	return 0;
}

static inline void fake_detach(struct netdev *n, unsigned int q)
{
	struct fake_net *f = fake_of(n);

	f->attached[q] = f->in[q] = f->out[q] = false;
}

static inline void fake_want(struct netdev *n, unsigned int q, bool in, bool out)
{
	struct fake_net *f = fake_of(n);

	if (!f->attached[q])
		abort();
	f->in[q] = in;
	f->out[q] = out;
}

static inline int fake_set_offloads(struct netdev *n, uint64_t guest_features)
{
	fake_of(n)->offloads = guest_features;
	return fake_of(n)->offloads_rc;
}

static inline int fake_set_pairs(struct netdev *n, unsigned int pairs)
{
	if (fake_of(n)->pairs_rc == 0)
		fake_of(n)->pairs = pairs;
	return fake_of(n)->pairs_rc;
}

static inline void fake_close(struct netdev *n)
{
	struct fake_net *f = fake_of(n);

	while (f->next_coming < f->nr_coming)
		free(f->coming[f->next_coming++].bytes);
	while (f->nr_gone)
		free(f->gone[--f->nr_gone].bytes);
	free(f);
}

static const struct netdev_ops fake_net_ops = {
	.recv = fake_recv,
	.send = fake_send,
	.flush = fake_flush,
	.attach = fake_attach,
	.detach = fake_detach,
	.want = fake_want,
	.set_offloads = fake_set_offloads,
	.set_pairs = fake_set_pairs,
	.close = fake_close,
};

static inline struct fake_net *fake_net_new(bool vnet_hdr)
{
	struct fake_net *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->dev = (struct netdev){ .ops = &fake_net_ops,
				  .name = "fake0",
				  .max_pairs = FAKE_PAIRS,
				  .vnet_hdr = vnet_hdr,
				  .features = vnet_hdr ? NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS : 0,
				  .mtu = 1500 };
	return f;
}

/* A frame from the outside; hdr: 12 bytes, if the back end has headers (NULL: zeros). */
static inline void fake_net_push(struct fake_net *f, const void *hdr, const void *frame, unsigned int len)
{
	struct fake_frame *c;
	unsigned int at = f->dev.vnet_hdr ? NET_HDR : 0;

	if (f->next_coming == f->nr_coming)
		f->next_coming = f->nr_coming = 0;
	if (f->nr_coming == FAKE_FRAMES)
		return;
	c = &f->coming[f->nr_coming++];
	*c = (struct fake_frame){ at + len, calloc(1, at + len + 1) };
	if (hdr && at)
		memcpy(c->bytes, hdr, at);
	memcpy(c->bytes + at, frame, len);
}

/* What a level-triggered loop does, once around. Returns whether anybody was called. */
static inline bool fake_net_turn(struct fake_net *f)
{
	bool moved = false;

	for (unsigned int q = 0; q < FAKE_PAIRS; q++) {
		bool in = f->attached[q] && f->in[q] && (f->recv_rc < 0 || f->next_coming < f->nr_coming);
		bool out = f->attached[q] && f->out[q] && !f->full;

		if (in || out) {
			f->ready[q](f->ctx[q], in, out);
			moved = true;
		}
	}
	return moved;
}

/* Back end and device loops until both are quiet; false when they never are. */
static inline bool fake_net_run(struct fake_net *f, struct test_driver *td)
{
	for (unsigned int i = 0; i < FAKE_TURNS; i++) {
		td_run(td);
		if (!fake_net_turn(f))
			return true;
	}
	return false;
}

#endif
