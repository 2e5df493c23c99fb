/*
 * A byte stream to the world outside: terminal, file, pty, socket, or nothing. Output is collected
 * and written in pieces by the loop's thread, so that a guest's byte costs no system call.
 * What the bytes mean is the device's business.
 */
#ifndef TRELLIS_BASE_CHARDEV_H
#define TRELLIS_BASE_CHARDEV_H

#include "vmm/base/base.h"

struct chardev;

/* The device's side of the stream. All are called on the loop's thread, without the chardev's lock; any may be NULL. */
struct chardev_user {
	void *ctx;
	void (*input)(void *ctx);              /* bytes may be waiting, see chardev_read() */
	void (*room)(void *ctx);               /* chardev_write() has room again after it was full */
	void (*brk)(void *ctx);                /* the user asked for a break */
	void (*opened)(void *ctx, bool open);  /* somebody is connected now, or nobody any more; when that changes */
};

/*
 * Attach the device. One device at a time; a zeroed user detaches. Setup only.
 */
void chardev_attach(struct chardev *c, const struct chardev_user *user);

/*
 * Hand over bytes for output. Never blocks.
 * Returns how many were taken: fewer than len when the buffer is full (room() follows later).
 * Any thread; takes the chardev's own lock only.
 */
size_t chardev_write(struct chardev *c, const uint8_t *bytes, size_t len);

/* Is there room for one byte? A hint: another thread may take it. Any thread. */
bool chardev_has_room(struct chardev *c);

/*
 * Take bytes of input that have arrived, up to len; what is not taken stays (the source is not read
 * further while enough is waiting). Returns the count, 0 when nothing waits. Any thread.
 */
size_t chardev_read(struct chardev *c, uint8_t *bytes, size_t len);

/*
 * Is somebody connected? A socket: a client. A pseudo-terminal: as far as was noticed, within 200 ms or so.
 * Standard input and output, and files: always. Loop thread or setup.
 */
bool chardev_is_open(const struct chardev *c);

/* Throw output away that has not been written yet: it was meant for a client that left. Loop thread. */
void chardev_drop_output(struct chardev *c);

/* The size of the terminal at the other end; false when there is none or it has no size. Loop thread or setup. */
bool chardev_get_size(const struct chardev *c, uint16_t *cols, uint16_t *rows);

#endif
