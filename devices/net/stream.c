/*
 * A network over a stream of bytes: before each frame its length, 32 bits, big-endian, as QEMU's stream back end
 * and passt(1) have it. Bytes are received and sent many frames at a time; a frame is never torn: what a socket
 * took half of is kept until it takes the rest. It does not know how connections come about.
 */
#include "devices/net/stream_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/log.h"

enum {
	STREAM_MAX_PARTS = 64,         /* of a frame that is sent from where it lies */
	STREAM_SOCKET_BYTES = 1 << 20, /* asked for; the kernel gives what net.core.wmem_max allows */
};

_Static_assert(STREAM_RX_BYTES >= 2 * (NETDEV_MAX_FRAME + STREAM_LEN),
	       "compacting leaves room for a whole frame");
_Static_assert(STREAM_TX_BYTES >= 2 * (NETDEV_MAX_FRAME + STREAM_LEN),
	       "a frame fits behind the rest of another");

static struct stream *stream_of(struct netdev *n)
{
	return (struct stream *)((char *)n - offsetof(struct stream, dev));
}

static void stream_tell_link(struct stream *s, bool up)
{
	if (s->dev.link)
		s->dev.link(s->dev.link_ctx, up);
}

static bool stream_has_room(const struct stream *s)
{
	return STREAM_TX_BYTES - (s->tx_end - s->tx_pos) >= NETDEV_MAX_FRAME + STREAM_LEN;
}

/* Have the loop wait for what matters now. */
static void stream_update_events(struct stream *s)
{
	uint32_t events = (s->want_in ? EPOLLIN : 0u) | (s->tx_blocked ? EPOLLOUT : 0u);

	if (!s->loop || s->fd < 0)
		return;
	if (!s->added && events) {
		s->source.fd = s->fd;
		s->added = loop_add(s->loop, &s->source, events) == 0;
		if (!s->added)
			log_warn_once(&s->warned, "%s: cannot wait for the socket", s->dev.name);
	} else if (s->added && events != s->events) {
		loop_mod(s->loop, &s->source, events);
	}
	s->events = events;
}

static void stream_remove_source(struct stream *s)
{
	if (s->added)
		loop_del(s->loop, &s->source);
	s->added = false;
}

static void stream_arm_again(struct stream *s)
{
	if (!s->loop || s->again_armed)
		return;
	s->again_armed = true;
	loop_timer_arm(&s->again, 0);
}

/* The connection is over, be it the other side's wish or its nonsense. What was under way is gone. */
static void stream_lose(struct stream *s)
{
	stream_remove_source(s);
	close(s->fd);
	s->fd = -1;
	s->rx_pos = s->rx_end = s->tx_pos = s->tx_end = 0;
	s->tx_blocked = false;
	stream_tell_link(s, false);
	if (s->owner && s->owner->lost)
		s->owner->lost(s->owner_ctx);
	if (s->want_out)
		stream_arm_again(s); /* who waits for room is to learn that frames are dropped now */
}

void stream_connect(struct stream *s, int fd)
{
	int bytes = STREAM_SOCKET_BYTES;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)); /* smaller works as well */
	s->fd = fd;
	stream_update_events(s);
	if (s->loop)
		stream_tell_link(s, true);
}

/* ---- receiving ---- */

/* The length of the frame at the front: 0; -EAGAIN when not all of it is there, -EPROTO when it cannot be one. */
static int stream_peek(const struct stream *s, uint32_t *len)
{
	size_t have = s->rx_end - s->rx_pos;

	if (have < STREAM_LEN)
		return -EAGAIN;
	memcpy(len, s->rx + s->rx_pos, STREAM_LEN);
	*len = be32toh(*len);
	if (*len == 0 || *len > NETDEV_MAX_FRAME)
		return -EPROTO;
	return have - STREAM_LEN < *len ? -EAGAIN : 0;
}

static bool stream_has_frame(const struct stream *s)
{
	uint32_t len;

	return s->fd >= 0 && stream_peek(s, &len) != -EAGAIN;
}

static int stream_gone(const struct stream *s)
{
	return s->owner && s->owner->returns ? -EAGAIN : -ENOTCONN;
}

/* Receive what there is. 0: something came; -EAGAIN; or as stream_gone(). */
static int stream_fill(struct stream *s)
{
	ssize_t n;

	if (s->rx_pos && STREAM_RX_BYTES - s->rx_pos < NETDEV_MAX_FRAME + STREAM_LEN) {
		memmove(s->rx, s->rx + s->rx_pos, s->rx_end - s->rx_pos);
		s->rx_end -= s->rx_pos;
		s->rx_pos = 0;
	} else if (s->rx_pos == s->rx_end) {
		s->rx_pos = s->rx_end = 0;
	}
	do
		n = recv(s->fd, s->rx + s->rx_end, STREAM_RX_BYTES - s->rx_end, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		s->rx_end += (size_t)n;
		return 0;
	}
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return -EAGAIN;
	stream_lose(s);
	return stream_gone(s);
}

static size_t iov_scatter(const struct iovec *iov, unsigned int nr, const uint8_t *bytes, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < nr && done < len; i++) {
		size_t part = MIN(iov[i].iov_len, len - done);

		memcpy(iov[i].iov_base, bytes + done, part);
		done += part;
	}
	return done;
}

static int stream_recv(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr)
{
	struct stream *s = stream_of(n);
	bool filled = false;
	uint32_t len;
	size_t done;
	int rc;

	(void)q;
	if (s->fd < 0)
		return stream_gone(s);
	while ((rc = stream_peek(s, &len)) == -EAGAIN) {
		if (filled) /* half a frame; the event comes again with the rest */
			return -EAGAIN;
		rc = stream_fill(s);
		if (rc < 0)
			return rc;
		filled = true;
	}
	if (rc < 0) {
		log_warn_once(&s->warned,
			      "%s: the other side sent a length of %u bytes (1 to %d are possible): "
			      "connection closed",
			      s->dev.name, len, NETDEV_MAX_FRAME);
		stream_lose(s);
		return stream_gone(s);
	}
	done = iov_scatter(iov, nr, s->rx + s->rx_pos + STREAM_LEN, len);
	s->rx_pos += STREAM_LEN + len;
	if (!s->serving && s->want_in && stream_has_frame(s))
		stream_arm_again(s);
	return (int)done;
}

/* ---- sending ---- */

/* What is left of a frame, its length first, behind what waits already; there is room for it. */
static void stream_append(struct stream *s, const struct iovec *iov, unsigned int nr, size_t skip)
{
	for (unsigned int i = 0; i < nr; i++) {
		size_t cut = MIN(skip, iov[i].iov_len);

		memcpy(s->tx + s->tx_end, (const uint8_t *)iov[i].iov_base + cut, iov[i].iov_len - cut);
		s->tx_end += iov[i].iov_len - cut;
		skip -= cut;
	}
}

static void stream_compact(struct stream *s)
{
	if (s->tx_pos == 0)
		return;
	memmove(s->tx, s->tx + s->tx_pos, s->tx_end - s->tx_pos);
	s->tx_end -= s->tx_pos;
	s->tx_pos = 0;
}

/* How much of iov the socket took, which may be nothing; -ENOTCONN when the connection is over. */
static ssize_t stream_write(struct stream *s, struct iovec *iov, unsigned int nr)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = nr };
	ssize_t n;

	do
		n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM)
		return 0;
	/* What the other side said before it went is still to be received; that ends with the end of the stream. */
	if (errno == EPIPE && s->want_in && s->loop)
		return -ENOTCONN;
	stream_lose(s);
	return -ENOTCONN;
}

/* Send what waits. */
static void stream_push(struct stream *s)
{
	struct iovec v = { s->tx + s->tx_pos, s->tx_end - s->tx_pos };
	ssize_t n;

	if (s->fd < 0 || v.iov_len == 0)
		return;
	n = stream_write(s, &v, 1);
	if (n < 0) {
		s->tx_pos = s->tx_end = 0;
		s->tx_blocked = false;
	} else {
		s->tx_pos += (size_t)n;
		if (s->tx_pos == s->tx_end)
			s->tx_pos = s->tx_end = 0;
		s->tx_blocked = s->tx_end > 0;
	}
	stream_update_events(s);
}

/* A long frame, from where it lies, behind what waits; what the socket does not take is kept. */
static int stream_send_long(struct stream *s, const struct iovec *frame, unsigned int nr, uint32_t header)
{
	struct iovec v[2 + STREAM_MAX_PARTS];
	size_t waiting = s->tx_end - s->tx_pos;
	ssize_t n;

	v[0] = (struct iovec){ s->tx + s->tx_pos, waiting };
	v[1] = (struct iovec){ &header, STREAM_LEN };
	memcpy(v + 2, frame, nr * sizeof(*frame));
	n = stream_write(s, v, 2 + nr);
	if (n < 0) {
		s->tx_pos = s->tx_end = 0;
		s->tx_blocked = false;
		return -ENOTCONN;
	}
	s->tx_pos += MIN((size_t)n, waiting);
	stream_compact(s);
	stream_append(s, v + 1, 1 + nr, (size_t)n - MIN((size_t)n, waiting));
	s->tx_blocked = s->tx_end > 0;
	stream_update_events(s);
	return 0;
}

static int stream_send(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr)
{
	struct stream *s = stream_of(n);
	uint32_t header;
	size_t len = 0;

	(void)q;
	if (s->fd < 0)
		return -ENOTCONN;
	for (unsigned int i = 0; i < nr; i++) {
		if (iov[i].iov_len > NETDEV_MAX_FRAME - len)
			return -EMSGSIZE;
		len += iov[i].iov_len;
	}
	if (len == 0)
		return -EMSGSIZE;
	if (!stream_has_room(s) && !s->tx_blocked)
		stream_push(s);
	if (s->fd < 0)
		return -ENOTCONN;
	if (!stream_has_room(s))
		return -EAGAIN;
	header = htobe32((uint32_t)len);
	if (len > STREAM_COPY_MAX && nr <= STREAM_MAX_PARTS && !s->tx_blocked)
		return stream_send_long(s, iov, nr, header);
	if (STREAM_TX_BYTES - s->tx_end < STREAM_LEN + len)
		stream_compact(s);
	stream_append(s, &(struct iovec){ &header, STREAM_LEN }, 1, 0);
	stream_append(s, iov, nr, 0);
	return 0;
}

static void stream_flush(struct netdev *n, unsigned int q)
{
	struct stream *s = stream_of(n);

	(void)q;
	if (!s->tx_blocked)
		stream_push(s);
}

/* ---- the loop ---- */

static void stream_serve(struct stream *s, bool in, bool out)
{
	if (!in && !out)
		return;
	s->serving = true;
	s->ready(s->ready_ctx, in, out);
	s->serving = false;
	if (s->loop && s->want_in && stream_has_frame(s))
		stream_arm_again(s);
}

static void stream_ready(void *ctx, uint32_t events)
{
	struct stream *s = ctx;
	bool ended = events & (EPOLLHUP | EPOLLERR);

	if (events & EPOLLOUT)
		stream_push(s);
	/* The end is told whether we want it or not, and would be for ever: look again when frames are wanted. */
	if (ended && !s->want_in)
		stream_remove_source(s);
	stream_serve(s, s->want_in && (ended || events & EPOLLIN),
		     s->want_out && (s->fd < 0 || stream_has_room(s)));
}

static void stream_again(void *ctx)
{
	struct stream *s = ctx;

	s->again_armed = false;
	stream_serve(s, s->want_in && stream_has_frame(s), s->want_out && (s->fd < 0 || stream_has_room(s)));
}

static void stream_want(struct netdev *n, unsigned int q, bool in, bool out)
{
	struct stream *s = stream_of(n);

	(void)q;
	s->want_in = in;
	s->want_out = out;
	stream_update_events(s);
	if (!s->serving && ((in && stream_has_frame(s)) || (out && (s->fd < 0 || stream_has_room(s)))))
		stream_arm_again(s);
}

static int stream_attach(struct netdev *n, unsigned int q, struct loop *loop,
			 void (*ready)(void *ctx, bool in, bool out), void *ctx)
{
	struct stream *s = stream_of(n);
	int rc;

	(void)q;
	rc = loop_timer_init(loop, &s->again, stream_again, s, NULL);
	if (rc < 0)
		return rc;
	s->loop = loop;
	s->ready = ready;
	s->ready_ctx = ctx;
	s->source = (struct loop_source){ .ready = stream_ready, .ctx = s };
	s->want_in = s->want_out = s->again_armed = false;
	rc = s->owner && s->owner->attach ? s->owner->attach(s->owner_ctx, loop) : 0;
	if (rc < 0) {
		loop_timer_fini(loop, &s->again);
		s->loop = NULL;
		return rc;
	}
	stream_update_events(s);
	stream_tell_link(s, s->fd >= 0);
	return 0;
}

static void stream_detach(struct netdev *n, unsigned int q)
{
	struct stream *s = stream_of(n);

	(void)q;
	if (!s->loop)
		return;
	if (!s->tx_blocked)
		stream_push(s);
	stream_remove_source(s);
	if (s->owner && s->owner->detach)
		s->owner->detach(s->owner_ctx);
	loop_timer_fini(s->loop, &s->again);
	s->loop = NULL;
}

static void stream_close(struct netdev *n)
{
	struct stream *s = stream_of(n);

	s->dev.link = NULL; /* who listened may be gone already */
	stream_detach(n, 0);
	if (s->owner && s->owner->close)
		s->owner->close(s->owner_ctx);
	if (s->fd >= 0)
		close(s->fd);
	free(s->rx);
	free(s->tx);
	free(s);
}

static const struct netdev_ops stream_ops = {
	.recv = stream_recv,
	.send = stream_send,
	.flush = stream_flush,
	.attach = stream_attach,
	.detach = stream_detach,
	.want = stream_want,
	.close = stream_close,
};

struct stream *stream_new(const char *name, const struct stream_owner *owner, void *ctx)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->dev = (struct netdev){ .ops = &stream_ops, .max_pairs = 1 };
	snprintf(s->dev.name, sizeof(s->dev.name), "%s", name);
	s->owner = owner;
	s->owner_ctx = ctx;
	s->fd = s->again.fd = -1;
	s->rx = malloc(STREAM_RX_BYTES);
	s->tx = malloc(STREAM_TX_BYTES);
	if (!s->rx || !s->tx) {
		free(s->rx);
		free(s->tx);
		free(s);
		return NULL;
	}
	return s;
}
