/*
 * A network between two programs over a Unix socket: who comes first listens, the second connects, and when one goes
 * the other waits for the next. What is sent is stream.c's business; a socket joins two, it is no hub.
 */
#include "devices/net/socket_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "devices/net/stream_internal.h"
#include "vmm/base/log.h"
#include "vmm/base/newfile.h"

#define MS       1000000ull
#define RETRY_NS (300 * MS)
#define LONG_NS  (10 * 1000 * MS)

enum {
	LOCK_TRIES = 1000, /* of a millisecond */
	NO_LOCK = INT_MAX, /* a directory that may be searched, but not read: then without */
};

struct net_socket {
	struct stream *s; /* owns us */
	struct sockaddr_un addr;
	int listen_fd;             /* owned; -1: we are the one who connects */
	struct loop *loop;         /* NULL while not attached */
	struct loop_source source; /* of listen_fd */
	struct loop_timer retry;
	uint64_t since_ns;     /* when the connection came */
	bool told, told_third; /* said once, until things have been well for long */
};

/* ---- places ---- */

int socket_address(struct sockaddr_un *addr, const char *path, const char *suffix, struct err *e)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*path)
		return err_usage(e,
				 "socket=: expected the path of a Unix socket, e.g. /run/user/1000/net.sock");
	if (strlen(path) + strlen(suffix) >= sizeof(addr->sun_path))
		return err_set(e, -ENAMETOOLONG,
			       "the socket path %s%s is longer than the %zu bytes that Linux takes", path,
			       suffix, sizeof(addr->sun_path) - 1);
	strcpy(addr->sun_path, path);
	strcat(addr->sun_path, suffix);
	return 0;
}

int socket_lock(const struct sockaddr_un *addr, bool wait, struct err *e)
{
	const struct timespec a_moment = { .tv_nsec = 1 * MS };
	char dir[sizeof(addr->sun_path) + 1];
	char *slash;
	int fd, rc;

	snprintf(dir, sizeof(dir), "%s", addr->sun_path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[1] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return NO_LOCK;
	rc = flock(fd, LOCK_EX | LOCK_NB);
	for (int i = 0; rc < 0 && errno == EWOULDBLOCK && wait && i < LOCK_TRIES; i++) {
		nanosleep(&a_moment, NULL);
		rc = flock(fd, LOCK_EX | LOCK_NB);
	}
	if (rc == 0)
		return fd;
	rc = errno == EWOULDBLOCK
		     ? err_set(e, -EAGAIN, "%s: another program keeps its directory locked", addr->sun_path)
		     : NO_LOCK;
	close(fd);
	return rc;
}

void socket_unlock(int lock)
{
	if (lock != NO_LOCK)
		close(lock);
}

int socket_refuse_connecting(int rc, const struct sockaddr_un *addr, struct err *e)
{
	return err_sys(e, rc, "cannot connect to %s", addr->sun_path);
}

int socket_connect(const struct sockaddr_un *addr, int type, struct err *e)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return err_sys(e, -errno, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	switch (rc) {
	case -ENOENT:
	case -ECONNREFUSED:
		return -ENOENT;
	case -EPROTOTYPE:
		return socket_refuse_type(addr, type, e);
	case -EAGAIN:
		return err_set(e, -EBUSY, "%s: many wait to be connected there; a socket joins two guests",
			       addr->sun_path);
	default:
		return socket_refuse_connecting(rc, addr, e);
	}
}

static int refuse_making(int rc, const struct sockaddr_un *addr, struct err *e)
{
	return err_sys(e, rc, "cannot make the socket %s", addr->sun_path);
}

static int refuse_no_socket(const struct sockaddr_un *addr, struct err *e)
{
	return err_set(e, -ENOTSOCK, "%s is there already and is no socket; choose another path",
		       addr->sun_path);
}

static int refuse_in_use(const struct sockaddr_un *addr, struct err *e)
{
	return err_set(e, -EADDRINUSE, "another program uses the socket %s; give each pair a path of its own",
		       addr->sun_path);
}

static int refuse_removing(int rc, const struct sockaddr_un *addr, struct err *e)
{
	return err_sys(e, rc, "cannot remove %s, which nobody uses any more", addr->sun_path);
}

int socket_bind(int fd, const struct sockaddr_un *addr, int type, struct err *e)
{
	struct stat st;
	int other;

	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return refuse_making(-errno, addr, e);
	/* Connecting to a file which is no socket is refused, too: never unlink what is the user's. */
	if (lstat(addr->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return refuse_no_socket(addr, e);
	other = socket_connect(addr, type, e);
	if (other >= 0) {
		close(other);
		return refuse_in_use(addr, e);
	}
	if (other != -ENOENT)
		return other;
	if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		return refuse_removing(-errno, addr, e);
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return refuse_making(-errno, addr, e);
	return 0;
}

int socket_refuse_type(const struct sockaddr_un *addr, int type, struct err *e)
{
	return err_set(e, -EPROTOTYPE, "%s: the other side was started %s datagram=on; start both alike",
		       addr->sun_path, type == SOCK_STREAM ? "with" : "without");
}

enum socket_there socket_look(const struct sockaddr_un *addr, int *rc)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*rc = fd < 0 ? -errno : connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	switch (*rc) {
	case 0:
		return SOCKET_DATAGRAM;
	case -EPROTOTYPE:
		return SOCKET_STREAM;
	case -ENOENT:
	case -ECONNREFUSED:
		return SOCKET_NOBODY;
	default:
		return SOCKET_UNKNOWN;
	}
}

int socket_check_bind(const struct sockaddr_un *addr, struct err *e)
{
	struct stat st;
	int rc;

	if (lstat(addr->sun_path, &st) < 0) {
		rc = errno == ENOENT ? newfile_check(addr->sun_path) : -errno;
		return rc < 0 ? refuse_making(rc, addr, e) : 0;
	}
	if (!S_ISSOCK(st.st_mode))
		return refuse_no_socket(addr, e);
	if (socket_look(addr, &rc) != SOCKET_NOBODY)
		return refuse_in_use(addr, e);
	rc = newfile_check(addr->sun_path);
	return rc < 0 ? refuse_removing(rc, addr, e) : 0;
}

/* ---- connections ---- */

static int socket_listen(struct net_socket *k, struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return err_sys(e, -errno, "cannot make a socket");
	rc = socket_bind(fd, &k->addr, SOCK_STREAM, e);
	if (rc == 0 && listen(fd, 4) < 0)
		rc = err_sys(e, -errno, "cannot listen at %s", k->addr.sun_path);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	k->listen_fd = fd;
	return 0;
}

/* Find the other side, or begin to wait for it. */
static int socket_begin(struct net_socket *k, bool wait, struct err *e)
{
	int lock = socket_lock(&k->addr, wait, e), rc;

	if (lock < 0)
		return lock;
	rc = socket_connect(&k->addr, SOCK_STREAM, e);
	if (rc >= 0) {
		k->since_ns = clock_now_ns();
		stream_connect(k->s, rc);
		rc = 0;
	} else if (rc == -ENOENT) {
		rc = socket_listen(k, e);
	}
	socket_unlock(lock);
	return rc;
}

static void socket_arrival(void *ctx, uint32_t events)
{
	struct net_socket *k = ctx;
	int fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0) {
		if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
			return;                /* it left again */
		loop_del(k->loop, &k->source); /* it would stay ready for ever */
		loop_timer_arm(&k->retry, RETRY_NS);
	} else if (k->s->fd >= 0) {
		close(fd);
		log_warn_once(&k->told_third, "%s: a third program was turned away: a socket joins two",
			      k->s->dev.name);
	} else {
		k->since_ns = clock_now_ns();
		stream_connect(k->s, fd);
	}
}

static void socket_poll_listener(struct net_socket *k)
{
	k->source = (struct loop_source){ .fd = k->listen_fd, .ready = socket_arrival, .ctx = k };
	if (loop_add(k->loop, &k->source, EPOLLIN) < 0)
		log_warn("%s: cannot wait for connections", k->s->dev.name);
}

static void socket_retry(void *ctx)
{
	struct net_socket *k = ctx;
	struct err e;

	if (k->listen_fd < 0 && k->s->fd < 0) {
		int rc = socket_begin(k, false, &e);

		if (rc < 0 && rc != -EAGAIN)
			log_warn_once(&k->told, "%s", e.text);
		if (rc < 0) {
			loop_timer_arm(&k->retry, RETRY_NS);
			return;
		}
		if (k->listen_fd < 0)
			return;
	}
	if (k->listen_fd >= 0) {
		loop_del(k->loop, &k->source);
		socket_poll_listener(k);
	}
}

/* Not at once: one that turns us away would be asked again and again. */
static void socket_lost(void *ctx)
{
	struct net_socket *k = ctx;

	if (clock_now_ns() - k->since_ns > LONG_NS)
		k->told = k->told_third = false;
	if (!k->told)
		log_info("%s: the other side has gone; waiting for the next", k->s->dev.name);
	k->told = true;
	if (k->listen_fd < 0 && k->loop)
		loop_timer_arm(&k->retry, RETRY_NS);
}

static int socket_attach(void *ctx, struct loop *loop)
{
	struct net_socket *k = ctx;
	int rc = loop_timer_init(loop, &k->retry, socket_retry, k, NULL);

	if (rc < 0)
		return rc;
	k->loop = loop;
	if (k->listen_fd >= 0)
		socket_poll_listener(k);
	else if (k->s->fd < 0)
		loop_timer_arm(&k->retry, 0);
	return 0;
}

static void socket_detach(void *ctx)
{
	struct net_socket *k = ctx;

	if (k->listen_fd >= 0)
		loop_del(k->loop, &k->source);
	loop_timer_fini(k->loop, &k->retry);
	k->loop = NULL;
}

/* The file goes first: who sees the connection end looks for it at once. */
static void socket_close(void *ctx)
{
	struct net_socket *k = ctx;

	if (k->listen_fd >= 0) {
		unlink(k->addr.sun_path);
		close(k->listen_fd);
	}
	free(k);
}

static const struct stream_owner socket_owner = {
	.returns = true,
	.attach = socket_attach,
	.detach = socket_detach,
	.lost = socket_lost,
	.close = socket_close,
};

int netdev_socket_check(struct netdev *n, const char *path, bool datagram, struct err *e)
{
	struct sockaddr_un addr;
	int rc;

	*n = (struct netdev){ .max_pairs = 1 };
	snprintf(n->name, sizeof(n->name), "socket %.50s", path);
	if (datagram)
		return datagram_check(path, e);
	if ((rc = socket_address(&addr, path, "", e)) < 0)
		return rc;
	switch (socket_look(&addr, &rc)) {
	case SOCKET_STREAM: /* whether it listens, and takes us, only connecting tells */
		return 0;
	case SOCKET_DATAGRAM:
		return socket_refuse_type(&addr, SOCK_STREAM, e);
	case SOCKET_UNKNOWN:
		return socket_refuse_connecting(rc, &addr, e);
	case SOCKET_NOBODY:
		break;
	}
	return socket_check_bind(&addr, e);
}

int netdev_socket_open(struct netdev **n, const char *path, bool datagram, struct err *e)
{
	struct net_socket *k;
	int rc;

	if (datagram)
		return datagram_open(n, path, e);
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_set(e, -ENOMEM, "out of memory");
	k->listen_fd = k->retry.fd = -1;
	k->s = stream_new("socket", &socket_owner, k);
	if (!k->s) {
		free(k);
		return err_set(e, -ENOMEM, "out of memory");
	}
	snprintf(k->s->dev.name, sizeof(k->s->dev.name), "socket %.50s", path);
	rc = socket_address(&k->addr, path, "", e);
	if (rc == 0)
		rc = socket_begin(k, true, e);
	if (rc < 0) {
		netdev_close(&k->s->dev);
		return rc;
	}
	*n = &k->s->dev;
	return 0;
}
