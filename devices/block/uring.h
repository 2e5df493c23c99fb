/*
 * An io_uring by bare system calls: rings shared with the kernel, one producer and one consumer, both the
 * thread that made it. It knows nothing of disks. Needs Linux 5.6.
 *
 * Submission entries are filled with uring_sqe() and go out together with uring_enter(); completions are
 * looked at with uring_cqe() and let go with uring_cqe_seen().
 */
#ifndef TRELLIS_DEVICES_BLOCK_URING_H
#define TRELLIS_DEVICES_BLOCK_URING_H

#include <linux/io_uring.h>
#include <sys/uio.h>

#include "vmm/base/base.h"
#include "vmm/base/err.h"

struct uring {
	int fd;       /* owned; -1: there is none */
	int enter_fd; /* fd, or its number among the thread's registered rings */
	unsigned int enter_flags;
	uint32_t setup; /* IORING_SETUP_* in use */
	uint8_t *rings; /* owned mapping, rings_bytes long */
	size_t rings_bytes;
	struct io_uring_sqe *sqes; /* owned mapping of sq_entries */
	unsigned int sq_entries, cq_entries, sq_mask, cq_mask;
	unsigned int *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail; /* in rings */
	unsigned int *cq_flags;                                         /* in rings; NULL before Linux 5.8 */
	struct io_uring_cqe *cqes;                                      /* in rings */
	unsigned int tail; /* of the submission ring; the kernel is shown it in uring_enter() */
};

/*
 * Set one up. entries: how many requests may be under way; at least as many fit.
 * Returns 0; a negative errno with the reason why the host refuses. uring_fini() is safe on a failed one.
 */
MUST_CHECK int uring_init(struct uring *u, unsigned int entries, struct err *e);
void uring_fini(struct uring *u);

/* Could uring_init() succeed here, and are the operations there that a disk needs? As uring_init(). */
MUST_CHECK int uring_check(struct err *e);

/*
 * Make fd known as fixed file 0; memory as fixed buffers 0 to nr - 1; and have event_fd signalled when there are
 * completions (epoll on the ring itself never wakes with IORING_SETUP_DEFER_TASKRUN: seen with Linux 6.18).
 * Return 0 or a negative errno.
 */
MUST_CHECK int uring_register_file(struct uring *u, int fd);
MUST_CHECK int uring_register_event(struct uring *u, int event_fd);
MUST_CHECK int uring_register_buffers(struct uring *u, const struct iovec *iov, unsigned int nr);

/*
 * Have the eventfd not signalled while we look at the completions anyway. When quiet ends the caller must look once
 * more: true is returned when there is something that came without a signal.
 */
bool uring_quiet(struct uring *u, bool quiet);

/* The next entry to fill, all zero. There must be room: fewer than sq_entries are under way. */
struct io_uring_sqe *uring_sqe(struct uring *u);

/* How many entries have been filled and not been taken by the kernel. */
unsigned int uring_pending(const struct uring *u);

/*
 * Show the kernel what was filled, and let it post what has completed. Does not wait. Returns 0; a negative errno when entries are left that were not taken.
 */
MUST_CHECK int uring_enter(struct uring *u);

/* Take back the entry filled last, if the kernel has not taken it. Returns false when there is none. */
MUST_CHECK bool uring_take_back(struct uring *u, uint64_t *user_data);

/* Are there completions that the kernel will post in uring_enter() only? */
bool uring_must_enter(const struct uring *u);

/* The oldest completion, or NULL. */
const struct io_uring_cqe *uring_cqe(const struct uring *u);
void uring_cqe_seen(struct uring *u);

#endif
