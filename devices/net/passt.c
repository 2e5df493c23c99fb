/*
 * A network without privileges: passt(1), started on one end of a socket pair, turns frames into system calls
 * of an ordinary user. DHCP, DNS, IPv6 and the forwarding of ports are its own. It ends when its socket does, even
 * if we are killed; it is not started again when it ends by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "devices/net/forward.h"
#include "devices/net/stream_internal.h"
#include "vmm/base/log.h"

#define MS       1000000ull
#define START_NS (10 * 1000 * MS) /* it takes 20 ms */

extern char **environ;

enum {
	PASST_SOCKET = 3, /* the number of its end, in passt */
	PASST_MAX_COMPLAINTS = 20,
	PASST_LINE = 256,
};

struct passt {
	struct stream *s;  /* owns us */
	pid_t pid;         /* owned; 0: none, or reaped */
	int pid_fd;        /* owned; -1: this kernel has none, and it is reaped at the end */
	int err_fd;        /* owned; its standard error, not blocking */
	struct loop *loop; /* NULL while not attached */
	struct loop_source pid_source, err_source;
	char line[PASST_LINE]; /* of its messages, as far as it has come */
	size_t line_len;
	char last[PASST_LINE]; /* the last message that matters */
	bool usage;            /* it prints its options: what comes is no message */
	unsigned int complaints;
};

/* ---- what it says ---- */

/* What passt always says: that there is no syslog, and that root is not what it wants to be. */
static bool is_noise(const char *line)
{
	return !*line || strncmp(line, "Failed to send ", 15) == 0 ||
	       strncmp(line, "Don't run as root", 17) == 0;
}

static void passt_take_line(struct passt *p)
{
	p->line[p->line_len] = '\0';
	p->line_len = 0;
	if (strncmp(p->line, "Usage:", 6) == 0)
		p->usage = true;
	if (p->usage || is_noise(p->line))
		return;
	memcpy(p->last, p->line, sizeof(p->last));
	if (!p->loop || p->complaints >= PASST_MAX_COMPLAINTS)
		return; /* not started yet: the sentence will have it */
	p->complaints++;
	log_warn("passt: %s%s", p->line,
		 p->complaints == PASST_MAX_COMPLAINTS ? " (and nothing more of this is shown)" : "");
}

/* Read what passt has said. Returns false at the end of it. */
static bool passt_listen(struct passt *p)
{
	char bytes[512];
	ssize_t n;

	while ((n = read(p->err_fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (bytes[i] == '\n')
				passt_take_line(p);
			else if (p->line_len < sizeof(p->line) - 1)
				p->line[p->line_len++] =
					(char)(bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?');
		}
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void passt_err_ready(void *ctx, uint32_t events)
{
	struct passt *p = ctx;

	(void)events;
	if (passt_listen(p))
		return;
	loop_del(p->loop, &p->err_source);
	close(p->err_fd);
	p->err_fd = -1;
}

/* ---- how it ends ---- */

/* Collect it. flags: WNOHANG when it may still run. */
static bool passt_reap(struct passt *p, int flags)
{
	pid_t pid = p->pid;

	if (pid == 0)
		return true;
	do
		pid = waitpid(p->pid, NULL, flags);
	while (pid < 0 && errno == EINTR);
	if (pid != 0)
		p->pid = 0;
	return pid != 0;
}

static void passt_ended(void *ctx, uint32_t events)
{
	struct passt *p = ctx;

	(void)events;
	if (!passt_reap(p, WNOHANG))
		return;
	loop_del(p->loop, &p->pid_source);
	close(p->pid_fd);
	p->pid_fd = -1;
}

static void passt_lost(void *ctx)
{
	struct passt *p = ctx;

	if (p->err_fd >= 0)
		(void)passt_listen(p);
	log_error("passt has ended%s%s: the guest's network is gone until trellis is started again",
		  *p->last ? ": " : "", p->last);
}

/* It has nothing to save, and must not keep us waiting. */
static void passt_end(struct passt *p)
{
	if (p->pid)
		(void)kill(p->pid, SIGKILL);
	(void)passt_reap(p, 0);
}

static void passt_close(void *ctx)
{
	struct passt *p = ctx;

	passt_end(p);
	if (p->pid_fd >= 0)
		close(p->pid_fd);
	if (p->err_fd >= 0)
		close(p->err_fd);
	free(p);
}

static int passt_attach(void *ctx, struct loop *loop)
{
	struct passt *p = ctx;
	int rc = 0;

	p->loop = loop;
	p->pid_source = (struct loop_source){ .fd = p->pid_fd, .ready = passt_ended, .ctx = p };
	p->err_source = (struct loop_source){ .fd = p->err_fd, .ready = passt_err_ready, .ctx = p };
	if (p->pid_fd >= 0)
		rc = loop_add(loop, &p->pid_source, EPOLLIN);
	if (rc == 0 && p->err_fd >= 0) {
		rc = loop_add(loop, &p->err_source, EPOLLIN);
		if (rc < 0 && p->pid_fd >= 0)
			loop_del(loop, &p->pid_source);
	}
	if (rc < 0)
		p->loop = NULL;
	return rc;
}

static void passt_detach(void *ctx)
{
	struct passt *p = ctx;

	if (p->pid_fd >= 0)
		loop_del(p->loop, &p->pid_source);
	if (p->err_fd >= 0)
		loop_del(p->loop, &p->err_source);
	p->loop = NULL;
}

static const struct stream_owner passt_owner = {
	.attach = passt_attach,
	.detach = passt_detach,
	.lost = passt_lost,
	.close = passt_close,
};

/* ---- how it starts ---- */

/*
 * Run argv with socket and err; all other descriptors of ours are O_CLOEXEC. A group of its own, so that Ctrl-C on
 * the terminal is for us to act on; no signal blocked or ignored. Returns 0 or a negative errno.
 */
static int passt_spawn(struct passt *p, char *const *argv, int sock, int err_fd)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, ours;
	int rc;

	sigemptyset(&none);
	sigfillset(&ours);
	sigdelset(&ours, SIGKILL);
	sigdelset(&ours, SIGSTOP);
	rc = posix_spawn_file_actions_init(&files);
	if (rc)
		return -rc;
	rc = posix_spawnattr_init(&attr);
	if (rc) {
		posix_spawn_file_actions_destroy(&files);
		return -rc;
	}
	if (!(rc = posix_spawn_file_actions_adddup2(&files, err_fd, STDERR_FILENO)) &&
	    !(rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0)) &&
	    !(rc = posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_RDWR, 0)) &&
	    !(rc = posix_spawn_file_actions_adddup2(&files, sock, PASST_SOCKET)) &&
	    !(rc = posix_spawnattr_setsigmask(&attr, &none)) &&
	    !(rc = posix_spawnattr_setsigdefault(&attr, &ours)) &&
	    !(rc = posix_spawnattr_setpgroup(&attr, 0)) &&
	    !(rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							   POSIX_SPAWN_SETPGROUP)))
		rc = posix_spawnp(&p->pid, argv[0], &files, &attr, argv, environ);
	if (rc)
		p->pid = 0;
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -rc;
}

static bool has_hung_up(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

/*
 * Give passt a frame that means nothing to it (ethertype 88b5 is for experiments) and wait until it has read it: then
 * it has parsed its options, taken its ports and begun to serve. The broadcast address as sender is what it
 * takes the guest's for until the guest speaks.
 */
static int passt_await(struct passt *p, int fd, struct err *e)
{
	uint8_t frame[STREAM_LEN + 60] = { [3] = 60, [STREAM_LEN + 12] = 0x88, [STREAM_LEN + 13] = 0xb5 };
	const struct timespec a_moment = { .tv_nsec = 1 * MS };
	uint64_t until = clock_now_ns() + START_NS;
	int unread = 1;
	bool ended;

	memset(frame + STREAM_LEN, 0xff, 12);
	ended = send(fd, frame, sizeof(frame), MSG_NOSIGNAL) != (ssize_t)sizeof(frame);
	while (!ended && unread && clock_now_ns() < until) {
		nanosleep(&a_moment, NULL);
		if (ioctl(fd, SIOCOUTQ, &unread) <
		    0) /* what nobody has read, which is nothing when nobody is there */
			unread = 1;
		ended = has_hung_up(fd);
	}
	if (!ended && unread)
		return err_set(e, -ETIMEDOUT, "passt has not begun to serve within %llu s",
			       START_NS / (1000 * MS));
	if (!ended)
		return 0;
	passt_end(p);
	(void)passt_listen(p);
	return err_set(e, -EIO, "passt could not start: %s", *p->last ? p->last : "it ended without a word");
}

/* Why it cannot be run. Returns rc, a negative errno. */
static int passt_refuse(int rc, struct err *e)
{
	if (rc == -ENOENT)
		return err_set(
			e, rc,
			"--net user needs passt: install the package passt (Debian: apt install passt)");
	return err_sys(e, rc, "cannot start passt");
}

static int passt_launch(struct passt *p, char *const *argv, struct err *e)
{
	int pair[2] = { -1, -1 }, err[2] = { -1, -1 }, rc;

	/* Its complaints never block it: what nobody reads is lost. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    pipe2(err, O_CLOEXEC | O_NONBLOCK) < 0) {
		rc = err_sys(e, -errno, "cannot make a socket for passt");
	} else {
		rc = passt_spawn(p, argv, pair[1], err[1]);
		if (rc < 0)
			passt_refuse(rc, e);
	}
	if (pair[1] >= 0)
		close(pair[1]);
	if (err[1] >= 0)
		close(err[1]);
	p->err_fd = err[0];
	if (rc == 0)
		rc = passt_await(p, pair[0], e);
	if (rc < 0) {
		if (pair[0] >= 0)
			close(pair[0]);
		return rc;
	}
	p->pid_fd =
		(int)syscall(SYS_pidfd_open, p->pid, 0); /* Linux 5.3; without it, it is reaped at the end */
	if (p->pid_fd >= 0)
		(void)fcntl(p->pid_fd, F_SETFD, FD_CLOEXEC);
	stream_connect(p->s, pair[0]);
	return 0;
}

static int parse_forwards(struct forward *f, const char *const *text, unsigned int nr_texts, struct err *e)
{
	unsigned int nr = 0;
	int rc;

	for (unsigned int i = 0; i < nr_texts; i++) {
		rc = forward_parse(text[i], f + nr, FORWARD_MAX - nr, e);
		if (rc < 0)
			return rc;
		for (int n = 0; n < rc; n++, nr++) {
			/* As root, passt becomes nobody before it takes ports. */
			int busy = forward_check_free(&f[nr], false, e);

			if (busy < 0) {
				err_prefix(e, "forward %s", text[i]);
				return busy;
			}
		}
	}
	return (int)nr;
}

/* Put passt's command line together and start it. */
static int passt_start(struct passt *p, const struct forward *f, unsigned int nr, unsigned int mtu,
		       struct err *e)
{
	char spec[FORWARD_MAX][FORWARD_SPEC], socket_text[8], mtu_text[16];
	char *argv[16 + 2 * FORWARD_MAX];
	unsigned int n = 0;

	snprintf(socket_text, sizeof(socket_text), "%d", PASST_SOCKET);
	snprintf(mtu_text, sizeof(mtu_text), "%u", mtu);
	argv[n++] = "passt";
	argv[n++] = "--foreground";
	argv[n++] = "--quiet";
	argv[n++] = "--one-off";
	argv[n++] = "--fd";
	argv[n++] = socket_text;
	if (mtu) {
		argv[n++] = "--mtu";
		argv[n++] = mtu_text;
	}
	for (unsigned int i = 0; i < nr; i++) {
		forward_spec(&f[i], spec[i], sizeof(spec[i]));
		argv[n++] = f[i].udp ? "-u" : "-t";
		argv[n++] = spec[i];
	}
	argv[n] = NULL;
	return passt_launch(p, argv, e);
}

int netdev_passt_find(const char *root, char *file, size_t len)
{
	const char *at = getenv("PATH");
	int rc = -ENOENT;

	if (!at)
		at = "/usr/local/bin:/bin:/usr/bin"; /* as the C libraries do, but for the order */
	for (size_t n; rc != 0; at += n + 1) {
		struct stat st;

		n = strcspn(at, ":");
		snprintf(file, len, "%s%.*s%spasst", *at == '/' ? root : "", (int)n, at, n ? "/" : "./");
		if (stat(file, &st) == 0)
			rc = S_ISREG(st.st_mode) && access(file, X_OK) == 0 ? 0 : -EACCES;
		if (!at[n])
			break;
	}
	return rc;
}

/* Returns the number of forwards, or a negative errno with a sentence. */
static int passt_prepare(struct forward *f, const char *const *forwards, unsigned int nr_forwards,
			 unsigned int mtu, struct err *e)
{
	if (mtu && (mtu < 1280 || mtu > 65520))
		return err_usage(e, "--net user: mtu=%u: expected 1280 to 65520",
				 mtu); /* RFC 8200, 5; passt(1), --mtu */
	return parse_forwards(f, forwards, nr_forwards, e);
}

int netdev_passt_check(struct netdev *n, const char *const *forwards, unsigned int nr_forwards,
		       unsigned int mtu, struct err *e)
{
	struct forward f[FORWARD_MAX];
	int rc = passt_prepare(f, forwards, nr_forwards, mtu, e);
	char file[PATH_MAX];

	*n = (struct netdev){ .name = "passt", .max_pairs = 1, .mtu = mtu };
	if (rc < 0)
		return rc;
	rc = netdev_passt_find("", file, sizeof(file));
	return rc < 0 ? passt_refuse(rc, e) : 0;
}

int netdev_passt_open(struct netdev **n, const char *const *forwards, unsigned int nr_forwards,
		      unsigned int mtu, struct err *e)
{
	struct forward f[FORWARD_MAX];
	struct passt *p;
	int rc = passt_prepare(f, forwards, nr_forwards, mtu, e);

	if (rc < 0)
		return rc;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	p->pid_fd = p->err_fd = -1;
	p->s = stream_new("passt", &passt_owner, p);
	if (!p->s) {
		free(p);
		return err_set(e, -ENOMEM, "out of memory");
	}
	rc = passt_start(p, f, (unsigned int)rc, mtu, e);
	if (rc < 0) {
		netdev_close(&p->s->dev);
		return rc;
	}
	p->s->dev.mtu = mtu;
	*n = &p->s->dev;
	return 0;
}
