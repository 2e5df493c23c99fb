/*
 * Making and ending the byte streams of vmm/base/chardev.h: standard input and output, a file, a
 * pseudo-terminal, a Unix socket.
 */
#ifndef TRELLIS_DEVICES_CHARDEV_H
#define TRELLIS_DEVICES_CHARDEV_H

#include <pthread.h>

#include "vmm/base/chardev.h"
#include "vmm/base/err.h"
#include "vmm/base/loop.h"

enum chardev_kind { CHARDEV_STDIO, CHARDEV_FILE, CHARDEV_PTY, CHARDEV_UNIX };

enum {
	CHARDEV_OUT_BYTES = 256 << 10, /* output that may wait; only touched as far as it is used */
	CHARDEV_IN_BYTES = 4096,
};

/* What the user can do at the console with Ctrl-a; on the loop's thread. */
struct chardev_escape {
	void *ctx;
	void (*quit)(void *ctx);
};

struct chardev {
	enum chardev_kind kind;       /* constant after init, as all above the lock */
	const char *label;            /* "COM1"; borrowed */
	char *path;                   /* owned; file, socket, or name of the pty; NULL for stdio */
	struct loop *loop;            /* borrowed */
	struct chardev_escape escape; /* stdio only */
	struct chardev_user user;     /* set before vCPUs run */

	int in_fd, out_fd;            /* owned; never equal; -1: nobody there. Loop thread only */
	int listen_fd;                /* owned; socket only */
	bool out_socket, out_blocks;  /* loop thread: how out_fd is to be written to without waiting */
	bool out_waits;               /* loop thread: EPOLLOUT is awaited */
	bool in_polled;               /* loop thread: input that epoll cannot wait for (a file) */
	bool in_paused;               /* loop thread: epoll does not look at in_fd for input */
	bool in_left;                 /* loop thread: paused, and the socket's client is gone: another may come */
	bool is_open;                 /* loop thread: somebody is connected, and the user knows */
	bool escaped;                 /* loop thread: Ctrl-a came last */
	bool warned;                  /* loop thread: the present trouble was told */
	struct loop_source in_source, out_source, listen_source;
	struct loop_timer flush;      /* armed by writers: output is due; also looks for a pty's reader */

	pthread_mutex_t lock;
	uint8_t *out;                 /* owned mapping; guarded by lock */
	size_t out_head, out_len;     /* guarded by lock */
	bool flush_armed;             /* guarded by lock */
	bool was_full;                /* guarded by lock: somebody waits for room() */
	bool keep_newest;             /* guarded by lock: nobody reads; old output makes room for new */
	bool dead;                    /* guarded by lock: the reader is gone for good, output is dropped */
	uint8_t in[CHARDEV_IN_BYTES]; /* guarded by lock */
	size_t in_head, in_len;       /* guarded by lock */
	bool in_wanted;               /* guarded by lock: reading stopped for want of room */
};

/*
 * Open a stream.
 * path    file, or socket to listen at; NULL otherwise. An existing file is emptied, once a lock that
 *         keeps other programs away (open file description lock) is held; a socket nobody listens at
 *         is replaced.
 * label   for messages; borrowed
 * escape  NULL but for stdio
 * Returns 0 or a negative errno with a sentence. chardev_fini() is safe after a failed init.
 * Stdio: the descriptors themselves keep their flags; making the terminal raw is the caller's business.
 */
MUST_CHECK int chardev_init(struct chardev *c, enum chardev_kind kind, const char *path, const char *label,
			    struct loop *loop, const struct chardev_escape *escape, struct err *e);
void chardev_fini(struct chardev *c);

/* A stream that is to be opened. */
struct chardev_wish {
	enum chardev_kind kind;
	const char *path, *label; /* borrowed; as for chardev_init() */
};

/*
 * chardev_check.c: could chardev_init() open w[i], after those before it have been opened? Nothing is made, emptied,
 * locked or connected. Returns 0, or a negative errno with the sentence that chardev_init() has.
 */
MUST_CHECK int chardev_check(const struct chardev_wish *w, unsigned int i, struct err *e);

/*
 * Write out what waits, for at most wait_ms.
 * Returns 0, or the number of bytes that could not be written. Loop thread, or when no loop runs.
 */
size_t chardev_drain(struct chardev *c, unsigned int wait_ms);

#endif
