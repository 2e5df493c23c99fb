/*
 * For chardev_test.c and chardev_open_test.c: a stream on a real loop, and what a device and a user do with it.
 * Include it in one file of a test program.
 */
#ifndef TRELLIS_DEVICES_CHARDEV_RIG_H
#define TRELLIS_DEVICES_CHARDEV_RIG_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/chardev.h"

#define MS 1000000ull

enum { A_MEBIBYTE = 1 << 20 };

static struct loop loop;
static struct chardev c;
static struct err e;
static char dir[] = "/tmp/chardev_test.XXXXXX";
static char path[64];

static unsigned int inputs, rooms, breaks, quits, opens, closes;
static int far_in, far_out; /* the other ends of standard input and output */
static int said_fd;         /* what goes to standard error */

static inline void on_input(void *ctx)
{
	ck_assert_ptr_eq(ctx, &c);
	inputs++;
}

static inline void on_room(void *ctx)
{
	ck_assert_ptr_eq(ctx, &c);
	rooms++;
}

static inline void on_break(void *ctx)
{
	ck_assert_ptr_eq(ctx, &c);
	breaks++;
}

static inline void on_opened(void *ctx, bool open)
{
	ck_assert_ptr_eq(ctx, &c);
	ck_assert_int_eq(chardev_is_open(&c), open);
	opens += open;
	closes += !open;
}

static inline void on_quit(void *ctx)
{
	ck_assert_ptr_eq(ctx, &c);
	quits++;
}

static const struct chardev_user user = {
	.ctx = &c, .input = on_input, .room = on_room, .brk = on_break, .opened = on_opened,
};
static const struct chardev_escape escape = { .ctx = &c, .quit = on_quit };

static inline void setup(void)
{
	int said[2];

	signal(SIGPIPE, SIG_IGN); /* as run.c does */
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/it", dir);
	ck_assert_int_eq(pipe2(said, O_NONBLOCK | O_CLOEXEC), 0);
	said_fd = said[0];
	dup2(said[1], STDERR_FILENO);
	ck_assert_int_eq(loop_init(&loop, &e), 0);
	c = (struct chardev){ 0 };
}

static inline void teardown(void)
{
	chardev_fini(&c);
	chardev_fini(&c);
	loop_fini(&loop);
	unlink(path);
	rmdir(dir);
}

/* How many lines went to standard error since the last call. */
static inline unsigned int lines_said(void)
{
	char text[8192];
	ssize_t n = read(said_fd, text, sizeof(text));
	unsigned int lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static inline int begin(enum chardev_kind kind, const char *where)
{
	int rc = chardev_init(&c, kind, where, "COM1", &loop, kind == CHARDEV_STDIO ? &escape : NULL, &e);

	chardev_attach(&c, &user);
	return rc;
}

/* Standard input and output are pipes; our ends do not block. */
static inline void begin_stdio(void)
{
	int in[2], out[2];

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	dup2(in[0], STDIN_FILENO);
	dup2(out[1], STDOUT_FILENO);
	close(in[0]);
	close(out[1]);
	far_in = in[1];
	far_out = out[0];
	fcntl(far_in, F_SETFL, O_NONBLOCK);
	fcntl(far_out, F_SETFL, O_NONBLOCK);
	ck_assert_int_eq(begin(CHARDEV_STDIO, NULL), 0);
}

static inline void stop_loop(void *ctx)
{
	(void)ctx;
	loop_stop(&loop);
}

static inline void run_ms(uint64_t ms)
{
	struct loop_timer end;

	ck_assert_int_eq(loop_timer_init(&loop, &end, stop_loop, NULL, &e), 0);
	loop_timer_arm(&end, ms * MS);
	ck_assert_int_eq(loop_run(&loop), 0);
	loop_timer_fini(&loop, &end);
}

static struct sockaddr_un address(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memcpy(a.sun_path, path, sizeof(path));
	return a;
}

static inline int client(void)
{
	struct sockaddr_un a = address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* A byte that is never the same at places a power of two apart. */
static inline uint8_t pattern(size_t at)
{
	return (uint8_t)(at % 251);
}

/* How many of len bytes are not the pattern from number at on. */
static inline size_t wrong_bytes(const uint8_t *bytes, size_t at, size_t len)
{
	size_t bad = 0;

	for (size_t i = 0; i < len; i++)
		bad += bytes[i] != pattern(at + i);
	return bad;
}

/* Write pattern bytes from number at until nothing is taken; returns the number of the next. */
static inline size_t fill(size_t at, size_t end)
{
	uint8_t piece[1000];
	size_t n = 1;

	while (at < end && n) {
		size_t len = MIN(sizeof(piece), end - at);

		for (size_t i = 0; i < len; i++)
			piece[i] = pattern(at + i);
		n = chardev_write(&c, piece, len);
		at += n;
	}
	return at;
}

static inline size_t put(const char *text)
{
	return chardev_write(&c, (const uint8_t *)text, strlen(text));
}

/* Everything that can be read from fd now, as a string. */
static inline const char *got(int fd)
{
	static char text[A_MEBIBYTE];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = 0;
	return text;
}

static inline const char *file_text(void)
{
	int fd = open(path, O_RDONLY);
	const char *text = got(fd);

	close(fd);
	return text;
}

/* What the device reads, as a string. */
static inline const char *taken(void)
{
	static char text[2 * CHARDEV_IN_BYTES];
	size_t n = chardev_read(&c, (uint8_t *)text, sizeof(text) - 1);

	text[n] = 0;
	return text;
}

#endif
