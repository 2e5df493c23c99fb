/*
 * For stream.c, and for those who bring it connections: socket.c and passt.c. A stream cuts frames out of bytes
 * and knows nothing of where its descriptor comes from; its owner does.
 */
#ifndef TRELLIS_DEVICES_NET_STREAM_INTERNAL_H
#define TRELLIS_DEVICES_NET_STREAM_INTERNAL_H

#include "devices/net/netdev.h"

enum {
	STREAM_LEN = 4, /* the length before each frame */
	STREAM_RX_BYTES =
		192 *
		1024, /* at least two of the largest frames, so that one recv(2) finds many small ones */
	STREAM_TX_BYTES = 192 * 1024,
	STREAM_COPY_MAX =
		4096, /* a frame up to here is gathered with others, a longer one goes from where it lies */
};

struct stream;

/*
 * Where connections come from. All functions may be NULL; those but close are called on the queue's thread.
 * returns  after one connection there may be another
 * attach   the loop runs from now on. A failure fails netdev_ops.attach
 * detach   it does not any more
 * lost     the connection is over and closed, and the link is down
 * close    the stream is being closed, its connection right after this: let go of all else
 */
struct stream_owner {
	bool returns;
	int (*attach)(void *ctx, struct loop *loop);
	void (*detach)(void *ctx);
	void (*lost)(void *ctx);
	void (*close)(void *ctx);
};

struct stream {
	struct netdev dev;
	const struct stream_owner *owner; /* NULL: the connection is all there is */
	void *owner_ctx;
	int fd; /* owned; the connection, -1: none */

	/* The queue's thread, as is all below; loop is NULL while not attached. */
	struct loop *loop;
	struct loop_source source;
	struct loop_timer again; /* frames lie in rx that no event of fd will tell of */
	void (*ready)(void *ctx, bool in, bool out);
	void *ready_ctx;
	bool want_in, want_out;
	bool added; /* source is in the loop, waiting for events */
	uint32_t events;
	bool serving; /* ready() is being called: what is left over is looked at after it */
	bool again_armed;
	bool warned; /* of nonsense from the other side, once */

	uint8_t *rx, *tx;      /* owned; STREAM_RX_BYTES and STREAM_TX_BYTES */
	size_t rx_pos, rx_end; /* bytes received and not yet taken are rx[rx_pos .. rx_end) */
	size_t tx_pos, tx_end; /* bytes accepted and not yet sent */
	bool tx_blocked;       /* the socket took no more: EPOLLOUT goes on */
};

/*
 * A stream without a connection. owner, ctx: borrowed until owner->close returned. Returns NULL when out of memory.
 * netdev_close() on &s->dev frees it.
 */
struct stream *stream_new(const char *name, const struct stream_owner *owner, void *ctx);

/* Use fd, a connected stream socket, from now on; owned. There must be no connection. Tells the link is up if attached. */
void stream_connect(struct stream *s, int fd);

#endif
