/*
 * A network between two programs over Unix datagrams: one frame each, without a length. A pair needs two names: who
 * comes first takes PATH and sends to PATH.peer, the second the other way round. Any other program can be either.
 * Nothing tells when the other side comes or goes, so the link is always up, and frames that nobody takes are lost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net/netdev.h"
#include "devices/net/socket_internal.h"

enum {
	DATAGRAM_SOCKET_BYTES = 1 << 20, /* asked for; the kernel gives what net.core.wmem_max allows */
	DATAGRAM_MAX_EMPTY = 64,         /* in a row that are passed over before the loop goes on */
};

struct datagram {
	struct netdev dev;
	struct sockaddr_un own, peer;
	int rx_fd; /* owned; bound to own, connected to nobody: a peer that was started anew is heard */
	int tx_fd; /* owned; -1, or connected to peer, so that the loop can tell when that has room */
	struct loop *loop; /* NULL while not attached */
	struct loop_source rx_source, tx_source;
	bool out_polled; /* tx_source is in the loop */
	void (*ready)(void *ctx, bool in, bool out);
	void *ready_ctx;
};

static struct datagram *datagram_of(struct netdev *n)
{
	return (struct datagram *)((char *)n - offsetof(struct datagram, dev));
}

static int datagram_recv(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };
	ssize_t len;

	(void)q;
	for (int i = 0; i < DATAGRAM_MAX_EMPTY; i++) {
		len = recvmsg(datagram_of(n)->rx_fd, &msg, MSG_DONTWAIT);
		if (len > 0)
			return (int)len;
		if (len < 0 && errno != EINTR)
			return -EAGAIN;
	}
	return -EAGAIN;
}

static void datagram_poll_out(struct datagram *d, bool out)
{
	bool want = out && d->loop && d->tx_fd >= 0;

	if (want == d->out_polled)
		return;
	if (!want)
		loop_del(d->loop, &d->tx_source);
	else if (loop_add(d->loop, &d->tx_source, EPOLLOUT) < 0)
		return;
	d->out_polled = want;
}

static void datagram_hang_up(struct datagram *d)
{
	datagram_poll_out(d, false);
	if (d->tx_fd >= 0)
		close(d->tx_fd);
	d->tx_fd = -1;
}

static bool datagram_call(struct datagram *d)
{
	int bytes = DATAGRAM_SOCKET_BYTES;

	if (d->tx_fd >= 0)
		return true;
	d->tx_fd = socket_connect(&d->peer, SOCK_DGRAM, NULL);
	if (d->tx_fd < 0)
		return false;
	(void)setsockopt(d->tx_fd, SOL_SOCKET, SO_SNDBUF, &bytes,
			 sizeof(bytes)); /* less does for frames that fit */
	d->tx_source.fd = d->tx_fd;
	return true;
}

static int datagram_send(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };
	struct datagram *d = datagram_of(n);
	size_t len = 0;

	(void)q;
	for (unsigned int i = 0; i < nr; i++) {
		if (iov[i].iov_len > NETDEV_MAX_FRAME - len)
			return -EMSGSIZE;
		len += iov[i].iov_len;
	}
	if (len == 0)
		return -EMSGSIZE;
	for (int i = 0; i < 2 && datagram_call(d); i++) { /* a peer that was started anew is another socket */
		if (sendmsg(d->tx_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EAGAIN || errno == EINTR)
			return -EAGAIN;
		if (errno == EMSGSIZE || errno == ENOBUFS || errno == ENOMEM)
			return -errno;
		datagram_hang_up(d);
	}
	return -ENOTCONN;
}

static void datagram_rx_ready(void *ctx, uint32_t events)
{
	struct datagram *d = ctx;

	(void)events;
	d->ready(d->ready_ctx, true, false);
}

static void datagram_tx_ready(void *ctx, uint32_t events)
{
	struct datagram *d = ctx;

	(void)events;
	d->ready(d->ready_ctx, false, true);
}

static int datagram_attach(struct netdev *n, unsigned int q, struct loop *loop,
			   void (*ready)(void *ctx, bool in, bool out), void *ctx)
{
	struct datagram *d = datagram_of(n);
	int rc;

	(void)q;
	d->ready = ready;
	d->ready_ctx = ctx;
	d->rx_source = (struct loop_source){ .fd = d->rx_fd, .ready = datagram_rx_ready, .ctx = d };
	d->tx_source = (struct loop_source){ .fd = d->tx_fd, .ready = datagram_tx_ready, .ctx = d };
	rc = loop_add(loop, &d->rx_source, 0);
	d->loop = rc < 0 ? NULL : loop;
	return rc;
}

static void datagram_detach(struct netdev *n, unsigned int q)
{
	struct datagram *d = datagram_of(n);

	(void)q;
	if (!d->loop)
		return;
	datagram_poll_out(d, false);
	loop_del(d->loop, &d->rx_source);
	d->loop = NULL;
}

static void datagram_want(struct netdev *n, unsigned int q, bool in, bool out)
{
	struct datagram *d = datagram_of(n);

	(void)q;
	if (!d->loop)
		return;
	loop_mod(d->loop, &d->rx_source, in ? EPOLLIN : 0u);
	datagram_poll_out(d, out);
}

static void datagram_close(struct netdev *n)
{
	struct datagram *d = datagram_of(n);

	datagram_detach(n, 0);
	datagram_hang_up(d);
	if (d->rx_fd >= 0) {
		unlink(d->own.sun_path);
		close(d->rx_fd);
	}
	free(d);
}

static const struct netdev_ops datagram_ops = {
	.recv = datagram_recv,
	.send = datagram_send,
	.attach = datagram_attach,
	.detach = datagram_detach,
	.want = datagram_want,
	.close = datagram_close,
};

/* Take the name that is free. */
static int datagram_take(struct datagram *d, int fd, const char *path, struct err *e)
{
	int lock, first, rc;

	rc = socket_address(&d->own, path, "", e);
	if (rc == 0)
		rc = socket_address(&d->peer, path, ".peer", e);
	if (rc < 0)
		return rc;
	lock = socket_lock(&d->own, true, e);
	if (lock < 0)
		return lock;
	first = socket_connect(&d->own, SOCK_DGRAM, e);
	if (first >= 0) { /* somebody has it: we are the second */
		struct sockaddr_un other = d->own;

		close(first);
		d->own = d->peer;
		d->peer = other;
		first = -ENOENT;
	}
	rc = first == -ENOENT ? socket_bind(fd, &d->own, SOCK_DGRAM, e) : first;
	socket_unlock(lock);
	return rc;
}

int datagram_check(const char *path, struct err *e)
{
	struct sockaddr_un own, peer;
	int rc;

	if ((rc = socket_address(&own, path, "", e)) < 0 ||
	    (rc = socket_address(&peer, path, ".peer", e)) < 0)
		return rc;
	switch (socket_look(&own, &rc)) {
	case SOCKET_NOBODY:
		return socket_check_bind(&own, e);
	case SOCKET_DATAGRAM:
		return socket_check_bind(&peer, e);
	case SOCKET_STREAM:
		return socket_refuse_type(&own, SOCK_DGRAM, e);
	case SOCKET_UNKNOWN:
		break;
	}
	return socket_refuse_connecting(rc, &own, e);
}

int datagram_open(struct netdev **n, const char *path, struct err *e)
{
	struct datagram *d = calloc(1, sizeof(*d));
	int fd, rc;

	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	d->dev = (struct netdev){ .ops = &datagram_ops, .max_pairs = 1 };
	snprintf(d->dev.name, sizeof(d->dev.name), "socket %.50s", path);
	d->rx_fd = d->tx_fd = -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = fd < 0 ? err_sys(e, -errno, "cannot make a socket") : datagram_take(d, fd, path, e);
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		netdev_close(&d->dev); /* rx_fd is -1: the file is not ours */
		return rc;
	}
	d->rx_fd = fd;
	*n = &d->dev;
	return 0;
}
