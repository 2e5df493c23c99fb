/*
 * Byte streams. The vCPU's side only touches buffers and one timer; every read and write of a descriptor
 * is on the loop's thread. Opening is in chardev_open.c.
 *
 * Output is collected for FLUSH_NS, so that a line of text is one write(2). While nobody reads a pty or
 * socket the newest output is kept, and who connects sees it. A file on a full disk is tried again every
 * second, and nothing is lost until the buffer is full as well; then the guest's serial port is busy.
 */
#include "devices/chardev_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/log.h"

#define FLUSH_NS    2000000ull    /* collect output for this long */
#define RETRY_NS    1000000000ull /* until a full disk is tried again */
#define PTY_POLL_NS 200000000ull  /* until we look again whether somebody opened the pty */

enum { FLUSH_NOW_BYTES = 16 << 10, WRITE_BYTES = 4096, KEY_ESCAPE = 0x01 };

void chardev_attach(struct chardev *c, const struct chardev_user *user)
{
	c->user = *user;
}

void chardev_set_open(struct chardev *c, bool open)
{
	if (c->is_open == open)
		return;
	c->is_open = open;
	if (c->user.opened)
		c->user.opened(c->user.ctx, open);
}

bool chardev_is_open(const struct chardev *c)
{
	return c->is_open;
}

/* ---- output ---- */

static void arm_locked(struct chardev *c, uint64_t delay_ns)
{
	c->flush_armed = true;
	loop_timer_arm(&c->flush, delay_ns);
}

/* Make room by moving what waits to the front, or by forgetting the oldest half when nobody reads. */
static size_t room_locked(struct chardev *c, size_t want)
{
	size_t room = CHARDEV_OUT_BYTES - c->out_head - c->out_len;

	if (room >= want)
		return room;
	if (c->keep_newest && CHARDEV_OUT_BYTES - c->out_len < want) {
		size_t drop = MIN(c->out_len, (size_t)CHARDEV_OUT_BYTES / 2);

		c->out_head += drop;
		c->out_len -= drop;
	}
	if (c->out_head >= CHARDEV_OUT_BYTES / 2 || c->out_len == 0 || c->keep_newest) {
		memmove(c->out, c->out + c->out_head, c->out_len);
		c->out_head = 0;
	}
	return CHARDEV_OUT_BYTES - c->out_head - c->out_len;
}

size_t chardev_write(struct chardev *c, const uint8_t *bytes, size_t len)
{
	size_t n;

	pthread_mutex_lock(&c->lock);
	if (c->dead) {
		pthread_mutex_unlock(&c->lock);
		return len;
	}
	n = MIN(len, room_locked(c, len));
	memcpy(c->out + c->out_head + c->out_len, bytes, n);
	c->out_len += n;
	if (n < len)
		c->was_full = true;
	if (!c->flush_armed && n)
		arm_locked(c, FLUSH_NS);
	else if (c->out_len >= FLUSH_NOW_BYTES && c->out_len - n < FLUSH_NOW_BYTES)
		arm_locked(c, 0);
	pthread_mutex_unlock(&c->lock);
	return n;
}

bool chardev_has_room(struct chardev *c)
{
	bool room;

	pthread_mutex_lock(&c->lock);
	room = c->dead || room_locked(c, 1) > 0;
	if (!room)
		c->was_full = true;
	pthread_mutex_unlock(&c->lock);
	return room;
}

void chardev_drop_output(struct chardev *c)
{
	pthread_mutex_lock(&c->lock);
	c->out_head = c->out_len = 0;
	if (c->was_full)
		arm_locked(c, 0); /* tells of the room */
	pthread_mutex_unlock(&c->lock);
}

/* write(2), without waiting. A piece is at most PIPE_BUF, which fits where poll() says that something does. */
static ssize_t write_some(struct chardev *c, const uint8_t *bytes, size_t len)
{
	struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };

	if (c->out_socket)
		return send(c->out_fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (c->out_blocks && poll(&p, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(c->out_fd, bytes, len);
}

/*
 * Write one piece of what waits. The bytes are copied out, so that the guest can go on writing meanwhile.
 * Returns how many went, 0 when nothing waits, or a negative errno.
 */
static ssize_t write_piece(struct chardev *c)
{
	uint8_t piece[WRITE_BYTES];
	size_t len;
	ssize_t n;

	pthread_mutex_lock(&c->lock);
	len = MIN(c->out_len, sizeof(piece));
	memcpy(piece, c->out + c->out_head, len);
	pthread_mutex_unlock(&c->lock);
	if (!len)
		return 0;
	do
		n = write_some(c, piece, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	pthread_mutex_lock(&c->lock);
	c->out_head += (size_t)n;
	c->out_len -= (size_t)n;
	if (!c->out_len)
		c->out_head = 0;
	pthread_mutex_unlock(&c->lock);
	return n;
}

static void tell_room(struct chardev *c)
{
	bool tell;

	pthread_mutex_lock(&c->lock);
	tell = c->was_full && (c->dead || room_locked(c, 1) > 0);
	if (tell)
		c->was_full = false;
	pthread_mutex_unlock(&c->lock);
	if (tell && c->user.room)
		c->user.room(c->user.ctx);
}

static void wait_for_out(struct chardev *c, bool wait)
{
	if (c->out_waits == wait)
		return;
	c->out_waits = wait;
	if (wait && loop_add(c->loop, &c->out_source, EPOLLOUT) < 0)
		c->out_waits = false;
	else if (!wait)
		loop_del(c->loop, &c->out_source);
	if (wait && !c->out_waits) { /* not something that can be waited for */
		pthread_mutex_lock(&c->lock);
		arm_locked(c, FLUSH_NS);
		pthread_mutex_unlock(&c->lock);
	}
}

/* A write failed for another reason than a slow reader. */
static void write_failed(struct chardev *c, int err)
{
	const char *where = c->path ? c->path : "standard output";

	if (c->kind == CHARDEV_UNIX) {
		chardev_hang_up(c);
		return;
	}
	pthread_mutex_lock(&c->lock);
	if (c->kind == CHARDEV_PTY) {
		c->keep_newest = true;
		arm_locked(c, PTY_POLL_NS);
	} else if (err == EPIPE) {
		c->dead = true;
		c->out_len = c->out_head = 0;
	} else {
		arm_locked(c, RETRY_NS);
	}
	pthread_mutex_unlock(&c->lock);
	if (c->warned || c->kind == CHARDEV_PTY)
		return;
	c->warned = true;
	if (err == EPIPE)
		log_warn("%s: nobody reads %s any more; output is dropped", c->label, where);
	else
		log_warn("%s: cannot write to %s: %s; what the guest prints is kept and tried again", c->label, where,
			 strerror(err));
}

/* Can the other side take anything? A pty nobody has open would swallow a little and lose it. */
static bool reader_is_there(struct chardev *c)
{
	struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };

	if (c->out_fd < 0)
		return false;
	return c->kind != CHARDEV_PTY || poll(&p, 1, 0) < 0 || !(p.revents & POLLHUP);
}

static void flush(struct chardev *c)
{
	unsigned int pieces = CHARDEV_OUT_BYTES / WRITE_BYTES; /* others want the loop as well */
	bool there = reader_is_there(c);
	ssize_t n;

	pthread_mutex_lock(&c->lock);
	c->flush_armed = false;
	c->keep_newest = !there;
	pthread_mutex_unlock(&c->lock);
	if (c->kind == CHARDEV_PTY)
		chardev_set_open(c, there);
	if (!there) {
		pthread_mutex_lock(&c->lock);
		if (c->kind == CHARDEV_PTY)
			arm_locked(c, PTY_POLL_NS);
		pthread_mutex_unlock(&c->lock);
		tell_room(c);
		return;
	}
	while ((n = write_piece(c)) > 0 && --pieces)
		c->warned = false;
	if (n > 0) {
		pthread_mutex_lock(&c->lock);
		arm_locked(c, 0);
		pthread_mutex_unlock(&c->lock);
	} else if (n == 0 || n == -EAGAIN) {
		wait_for_out(c, n == -EAGAIN);
	} else {
		write_failed(c, (int)-n);
	}
	tell_room(c);
}

static void resume_if_possible(struct chardev *c)
{
	bool wanted;

	pthread_mutex_lock(&c->lock);
	wanted = c->in_wanted;
	pthread_mutex_unlock(&c->lock);
	if (!wanted && reader_is_there(c))
		chardev_resume_input(c);
}

static void flush_due(void *ctx)
{
	struct chardev *c = ctx;

	flush(c);
	if (c->in_polled)
		chardev_input(c);
	else if (c->in_paused)
		resume_if_possible(c);
}

static void out_ready(void *ctx, uint32_t events)
{
	struct chardev *c = ctx;

	(void)events;
	wait_for_out(c, false);
	flush(c);
}

size_t chardev_drain(struct chardev *c, unsigned int wait_ms)
{
	uint64_t end = clock_now_ns() + wait_ms * 1000000ull;
	size_t left;

	while (reader_is_there(c)) {
		struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };
		uint64_t now = clock_now_ns();
		ssize_t n = write_piece(c);

		if (n == 0 || (n < 0 && n != -EAGAIN) || now >= end)
			break;
		if (n == -EAGAIN)
			(void)poll(&p, 1, (int)((end - now) / 1000000) + 1);
	}
	pthread_mutex_lock(&c->lock);
	left = c->kind == CHARDEV_STDIO || c->kind == CHARDEV_FILE ? c->out_len : 0;
	pthread_mutex_unlock(&c->lock);
	return left;
}

/* ---- input ---- */

static void help_keys(void)
{
	log_info("Ctrl-a x  quit");
	log_info("Ctrl-a b  send a break");
	log_info("Ctrl-a h  this help");
	log_info("Ctrl-a Ctrl-a  send Ctrl-a");
}

/* Take keys out of the stream; returns how many bytes are left for the guest. */
static size_t take_keys(struct chardev *c, uint8_t *bytes, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t b = bytes[i];

		if (!c->escaped && b == KEY_ESCAPE) {
			c->escaped = true;
			continue;
		}
		if (!c->escaped) {
			bytes[kept++] = b;
			continue;
		}
		c->escaped = false;
		if (b == 'x' || b == 'X')
			c->escape.quit(c->escape.ctx);
		else if (b == 'b' && c->user.brk)
			c->user.brk(c->user.ctx);
		else if (b == KEY_ESCAPE)
			bytes[kept++] = b;
		else if (b != 'b')
			help_keys();
	}
	return kept;
}

void chardev_input(struct chardev *c)
{
	uint8_t bytes[CHARDEV_IN_BYTES];
	size_t room, len;
	ssize_t n;

	if (c->in_fd < 0)
		return;
	pthread_mutex_lock(&c->lock);
	room = sizeof(c->in) - c->in_len;
	pthread_mutex_unlock(&c->lock);
	if (!room) {
		chardev_pause_input(c);
		return;
	}
	n = read(c->in_fd, bytes, room);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) { /* end of input; a pty without a reader (EIO); a client that left */
		chardev_input_ended(c);
		return;
	}
	len = c->kind == CHARDEV_STDIO ? take_keys(c, bytes, (size_t)n) : (size_t)n;

	pthread_mutex_lock(&c->lock);
	if (c->in_head + c->in_len + len > sizeof(c->in)) {
		memmove(c->in, c->in + c->in_head, c->in_len);
		c->in_head = 0;
	}
	memcpy(c->in + c->in_head + c->in_len, bytes, len);
	c->in_len += len;
	if (c->in_polled)
		arm_locked(c, 0); /* a file is always ready */
	pthread_mutex_unlock(&c->lock);
	if (len && c->user.input)
		c->user.input(c->user.ctx);
}

void chardev_in_ready(void *ctx, uint32_t events)
{
	struct chardev *c = ctx;

	(void)events;
	if (c->in_paused)
		chardev_client_left(c);
	else
		chardev_input(c);
}

size_t chardev_read(struct chardev *c, uint8_t *bytes, size_t len)
{
	size_t n;

	pthread_mutex_lock(&c->lock);
	n = MIN(len, c->in_len);
	memcpy(bytes, c->in + c->in_head, n);
	c->in_head += n;
	c->in_len -= n;
	if (!c->in_len)
		c->in_head = 0;
	if (n && c->in_wanted) { /* the loop's thread starts reading again */
		c->in_wanted = false;
		arm_locked(c, 0);
	}
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* ---- life ---- */

int chardev_init(struct chardev *c, enum chardev_kind kind, const char *path, const char *label, struct loop *loop,
		 const struct chardev_escape *escape, struct err *e)
{
	int rc;

	*c = (struct chardev){
		.kind = kind, .label = label, .loop = loop, .in_fd = -1, .out_fd = -1, .listen_fd = -1, .flush.fd = -1,
		.keep_newest = kind == CHARDEV_PTY || kind == CHARDEV_UNIX,
	};
	if (escape)
		c->escape = *escape;
	pthread_mutex_init(&c->lock, NULL);
	c->out_source = (struct loop_source){ .fd = -1, .ready = out_ready, .ctx = c };
	c->in_source = (struct loop_source){ .fd = -1, .ready = chardev_in_ready, .ctx = c };
	if (path && !(c->path = strdup(path)))
		return err_set(e, -ENOMEM, "out of memory");
	c->out = mmap(NULL, CHARDEV_OUT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->out == MAP_FAILED) {
		c->out = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	rc = loop_timer_init(loop, &c->flush, flush_due, c, e);
	return rc < 0 ? rc : chardev_open(c, e);
}

void chardev_fini(struct chardev *c)
{
	if (!c->loop)
		return;
	chardev_close(c);
	loop_timer_fini(c->loop, &c->flush);
	if (c->out)
		munmap(c->out, CHARDEV_OUT_BYTES);
	free(c->path);
	pthread_mutex_destroy(&c->lock);
	*c = (struct chardev){ .in_fd = -1, .out_fd = -1, .listen_fd = -1, .flush.fd = -1 };
}
