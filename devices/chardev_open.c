/*
 * What a byte stream leads to: how each kind is opened, waited for, and closed.
 */
#include "devices/chardev_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/log.h"

#define POLL_NOW_NS 1000000ull
#define RETRY_NS    1000000000ull

static void arm(struct chardev *c, uint64_t delay_ns)
{
	pthread_mutex_lock(&c->lock);
	c->flush_armed = true;
	pthread_mutex_unlock(&c->lock);
	loop_timer_arm(&c->flush, delay_ns);
}

void chardev_pause_input(struct chardev *c)
{
	bool full;

	pthread_mutex_lock(&c->lock);
	full = c->in_len == sizeof(c->in);
	c->in_wanted = full; /* from here on chardev_read() resumes */
	pthread_mutex_unlock(&c->lock);
	if (!full && c->in_polled)
		arm(c, 0);
	if (!full || c->in_polled || c->in_paused)
		return; /* the device made room meanwhile, and nobody else would resume */
	c->in_paused = true;
	if (c->kind == CHARDEV_UNIX)
		loop_mod(c->loop, &c->in_source, 0); /* the end is told all the same (epoll_ctl(2), EPOLLHUP) */
	else
		loop_del(c->loop, &c->in_source);
}

void chardev_client_left(struct chardev *c)
{
	loop_del(c->loop, &c->in_source);
	if (c->in_left || loop_add(c->loop, &c->listen_source, EPOLLIN) < 0)
		return;
	c->in_left = true;
}

/* The socket's client is heard again, or is nobody's concern any more. */
static void forget_left(struct chardev *c)
{
	loop_del(c->loop, &c->in_source);
	if (c->in_left)
		loop_del(c->loop, &c->listen_source);
	c->in_left = false;
}

void chardev_resume_input(struct chardev *c)
{
	if (c->in_fd < 0)
		return;
	if (c->kind == CHARDEV_UNIX && c->in_paused)
		forget_left(c);
	c->in_source.fd = c->in_fd;
	switch (loop_add(c->loop, &c->in_source, EPOLLIN)) {
	case 0:
		c->in_paused = false;
		break;
	case -EPERM: /* a file: always ready */
		c->in_polled = true;
		arm(c, POLL_NOW_NS);
		break;
	default:
		log_warn("%s: input cannot be waited for and is ignored", c->label);
		break;
	}
}

/* Do not look at input; the flush timer tries again. */
static void chardev_pause_until(struct chardev *c, uint64_t delay_ns)
{
	c->in_paused = true;
	loop_del(c->loop, &c->in_source);
	arm(c, delay_ns);
}

void chardev_input_ended(struct chardev *c)
{
	if (c->kind == CHARDEV_UNIX) {
		chardev_hang_up(c);
		return;
	}
	if (c->kind == CHARDEV_PTY) { /* until somebody opens it again */
		chardev_pause_until(c, POLL_NOW_NS);
		return;
	}
	if (isatty(c->in_fd) && tcgetpgrp(c->in_fd) != getpgrp()) { /* EIO: in the background; fg ends that */
		chardev_pause_until(c, RETRY_NS);
		return;
	}
	if (!c->in_polled && !c->in_paused)
		loop_del(c->loop, &c->in_source);
	close(c->in_fd);
	c->in_fd = -1;
	c->in_polled = false;
}

/*
 * Standard output, for writes that do not block. O_NONBLOCK belongs to the open file description, which
 * the shell and others share, so terminals and pipes are opened anew. Files are not: they do not block,
 * and a second description would begin at offset 0.
 */
static int open_stdout(struct chardev *c)
{
	struct stat st;
	int fd = -1;

	if (fstat(STDOUT_FILENO, &st) < 0)
		return -1;
	c->out_socket = S_ISSOCK(st.st_mode);
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0)
		return fd;
	c->out_blocks = !S_ISREG(st.st_mode); /* somebody else's terminal, perhaps, after su */
	return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

static int open_stdio(struct chardev *c, struct err *e)
{
	c->out_fd = open_stdout(c);
	if (c->out_fd < 0)
		return err_sys(e, -errno, "%s: cannot use standard output", c->label);
	/* In the background, reading the terminal would stop us (SIGTTIN). */
	if (isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) != getpgrp())
		return 0;
	c->in_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	chardev_resume_input(c);
	return 0;
}

static int open_file(struct chardev *c, struct err *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;

	c->out_fd = open(c->path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0644);
	if (c->out_fd < 0)
		return chardev_refuse_writing(-errno, c->label, c->path, e);
	if (fstat(c->out_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (fcntl(c->out_fd, F_OFD_SETLK, &lock) < 0 && (errno == EAGAIN || errno == EACCES))
		return chardev_refuse_busy(c->label, c->path, e);
	if (ftruncate(c->out_fd, 0) < 0)
		return err_sys(e, -errno, "%s: cannot empty %s", c->label, c->path);
	return 0;
}

static int open_pty(struct chardev *c, struct err *e)
{
	struct termios tio;
	char name[64];
	int other_side;

	c->in_fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (c->in_fd < 0 || grantpt(c->in_fd) < 0 || unlockpt(c->in_fd) < 0 ||
	    ptsname_r(c->in_fd, name, sizeof(name)) != 0 || tcgetattr(c->in_fd, &tio) < 0 ||
	    (c->out_fd = fcntl(c->in_fd, F_DUPFD_CLOEXEC, 3)) < 0) /* each source needs its own, epoll_ctl(2) */
		return chardev_refuse_pty(-errno, c->label, e);
	cfmakeraw(&tio);
	(void)tcsetattr(c->in_fd, TCSANOW, &tio); /* a cooked one would work, if badly */
	other_side = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (other_side >= 0)
		close(other_side); /* the kernel says POLLHUP only after a first close */
	c->path = strdup(name);
	if (!c->path)
		return err_set(e, -ENOMEM, "out of memory");
	log_info("%s is %s", c->label, c->path);
	c->in_paused = true; /* nobody has it open yet */
	arm(c, POLL_NOW_NS);
	return 0;
}

static void client_arrives(void *ctx, uint32_t events)
{
	struct chardev *c = ctx;
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) { /* it would stay ready for ever */
		loop_del(c->loop, &c->listen_source);
		log_warn("%s: no file descriptor is free, so %s takes no more connections", c->label, c->path);
	}
	if (fd < 0)
		return; /* it left again */
	if (c->in_left) /* the last one; what it sent and nobody has read is lost */
		chardev_hang_up(c);
	c->in_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* each source needs its own, epoll_ctl(2) */
	if (c->in_fd < 0) {
		close(fd);
		return;
	}
	loop_del(c->loop, &c->listen_source); /* one at a time; the next waits in the backlog */
	c->out_fd = fd;
	c->out_socket = true;
	c->out_source.fd = fd;
	pthread_mutex_lock(&c->lock);
	c->keep_newest = false; /* before the user is told, who may write at once */
	pthread_mutex_unlock(&c->lock);
	chardev_set_open(c, true);
	chardev_resume_input(c);
	arm(c, 0);
}

void chardev_hang_up(struct chardev *c)
{
	if (c->out_fd < 0)
		return;
	if (c->out_waits)
		loop_del(c->loop, &c->out_source);
	forget_left(c);
	close(c->out_fd);
	close(c->in_fd);
	c->in_fd = c->out_fd = -1;
	c->out_waits = c->in_paused = false;
	pthread_mutex_lock(&c->lock);
	c->keep_newest = true;
	c->in_wanted = false;
	pthread_mutex_unlock(&c->lock);
	if (loop_add(c->loop, &c->listen_source, EPOLLIN) < 0)
		log_warn("%s: %s takes no more connections", c->label, c->path);
	arm(c, 0); /* tells of the room there is now that old output gives way */
	chardev_set_open(c, false);
}

/* A socket file that nobody listens at is a leftover. Returns 0 when it is gone, or -EADDRINUSE. */
static int remove_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	bool stale;
	int fd;

	/* Connecting to a file which is no socket is refused, too: never unlink what is the user's. */
	if (lstat(addr->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	stale = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 && errno == ECONNREFUSED;
	close(fd);
	return stale && unlink(addr->sun_path) == 0 ? 0 : -EADDRINUSE;
}

static int open_unix(struct chardev *c, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct sockaddr *sa = (const struct sockaddr *)&addr;
	int rc;

	if (strlen(c->path) >= sizeof(addr.sun_path))
		return chardev_refuse_long(c->label, c->path, e);
	memcpy(addr.sun_path, c->path, strlen(c->path));
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listen_fd < 0)
		return err_sys(e, -errno, "%s: cannot make a socket", c->label);
	rc = bind(c->listen_fd, sa, sizeof(addr)) < 0 ? -errno : 0;
	if (rc == -EADDRINUSE && remove_stale(&addr) == 0)
		rc = bind(c->listen_fd, sa, sizeof(addr)) < 0 ? -errno : 0;
	if (rc < 0) {
		close(c->listen_fd);
		c->listen_fd = -1;
		return rc == -EADDRINUSE ? chardev_refuse_taken(c->label, c->path, e) :
					   chardev_refuse_listening(rc, c->label, c->path, e);
	}
	c->listen_source = (struct loop_source){ .fd = c->listen_fd, .ready = client_arrives, .ctx = c };
	if (listen(c->listen_fd, 1) < 0 || (rc = loop_add(c->loop, &c->listen_source, EPOLLIN)) < 0)
		return chardev_refuse_listening(rc < 0 ? rc : -errno, c->label, c->path, e);
	return 0;
}

int chardev_open(struct chardev *c, struct err *e)
{
	int rc = -EINVAL;

	switch (c->kind) {
	case CHARDEV_STDIO:
		rc = open_stdio(c, e);
		break;
	case CHARDEV_FILE:
		rc = open_file(c, e);
		break;
	case CHARDEV_PTY:
		rc = open_pty(c, e);
		break;
	case CHARDEV_UNIX:
		rc = open_unix(c, e);
		break;
	}
	c->out_source.fd = c->out_fd;
	c->is_open = c->kind == CHARDEV_STDIO || c->kind == CHARDEV_FILE;
	return rc;
}

bool chardev_get_size(const struct chardev *c, uint16_t *cols, uint16_t *rows)
{
	struct winsize size;

	if (c->kind != CHARDEV_STDIO || ioctl(c->out_fd, TIOCGWINSZ, &size) < 0 || !size.ws_col || !size.ws_row)
		return false;
	*cols = size.ws_col;
	*rows = size.ws_row;
	return true;
}

void chardev_close(struct chardev *c)
{
	/* Closing alone would not do: standard input is open elsewhere, too, and epoll would go on looking. */
	if (c->out_fd >= 0) {
		loop_del(c->loop, &c->out_source);
		close(c->out_fd);
	}
	if (c->in_fd >= 0) {
		loop_del(c->loop, &c->in_source);
		close(c->in_fd);
	}
	if (c->listen_fd >= 0) {
		loop_del(c->loop, &c->listen_source);
		close(c->listen_fd);
		unlink(c->path);
	}
}
