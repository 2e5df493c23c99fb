/*
 * What queue.c compares a disk with: the same reads, issued straight to an io_uring by a loop that does nothing
 * else. Include it in that file only.
 */
#ifndef TRELLIS_TOOLS_BENCH_QUEUE_H
#define TRELLIS_TOOLS_BENCH_QUEUE_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/base.h"
#include "vmm/base/loop.h"

enum {
	BATCH = 32,
	BATCHES = 4, /* in a round */
	BLOCK = 4096,
	FILE_BLOCKS = 8192,
};

static inline PRINTF(1, 2) _Noreturn void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("queue: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* Blocks far apart from each other, all of them in turn. */
static inline uint64_t next_block(uint64_t *at)
{
	*at = (*at + 2731) % FILE_BLOCKS;
	return *at;
}

struct uring {
	int fd, file;
	struct io_uring_params p;
	uint8_t *sq, *cq;
	struct io_uring_sqe *sqe;
	uint8_t *data;
	uint64_t next;
};

static inline uint32_t *ring_at(uint8_t *ring, uint32_t off)
{
	return (uint32_t *)(void *)(ring + off);
}

static inline void *uring_map(const struct uring *u, size_t bytes, off_t what)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd, what);

	if (p == MAP_FAILED)
		fail("io_uring: %s", strerror(errno));
	return p;
}

static inline void uring_open(struct uring *u, int file)
{
	*u = (struct uring){
		.file = file,
		.p = { .flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER },
	};
	u->next = FILE_BLOCKS / 2; /* far from what the device has just read, which is in the CPU's cache */
	u->fd = (int)syscall(SYS_io_uring_setup, BATCH, &u->p);
	if (u->fd < 0 && errno == EINVAL) { /* before 6.0 */
		u->p = (struct io_uring_params){ 0 };
		u->fd = (int)syscall(SYS_io_uring_setup, BATCH, &u->p);
	}
	if (u->fd < 0)
		fail("io_uring: %s", strerror(errno));
	if (syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_FILES, &file, 1) < 0)
		fail("io_uring: cannot register a file: %s", strerror(errno));
	u->sq = uring_map(u, u->p.sq_off.array + u->p.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
	u->cq = uring_map(u, u->p.cq_off.cqes + u->p.cq_entries * sizeof(struct io_uring_cqe),
			  IORING_OFF_CQ_RING);
	u->sqe = uring_map(u, u->p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	u->data = mmap(NULL, BATCH * BLOCK, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (u->data == MAP_FAILED)
		fail("no memory");
}

/* The requests are written while the clock runs: a device does that too. */
static inline void uring_submit(struct uring *u)
{
	uint32_t tail = *ring_at(u->sq, u->p.sq_off.tail), mask = *ring_at(u->sq, u->p.sq_off.ring_mask);

	for (unsigned int i = 0; i < BATCH; i++, tail++) {
		u->sqe[tail & mask] = (struct io_uring_sqe){
			.opcode = IORING_OP_READ,
			.flags = IOSQE_FIXED_FILE,
			.off = next_block(&u->next) * BLOCK,
			.addr = (uintptr_t)(u->data + i * BLOCK),
			.len = BLOCK,
			.user_data = i,
		};
		ring_at(u->sq, u->p.sq_off.array)[tail & mask] = tail & mask;
	}
	/* Pairs with the kernel's acquire of the tail. */
	__atomic_store_n(ring_at(u->sq, u->p.sq_off.tail), tail, __ATOMIC_RELEASE);
}

static inline unsigned int uring_reap(struct uring *u)
{
	struct io_uring_cqe *cqe = (void *)(u->cq + u->p.cq_off.cqes);
	uint32_t head = *ring_at(u->cq, u->p.cq_off.head), mask = *ring_at(u->cq, u->p.cq_off.ring_mask);
	/* Pairs with the kernel's release of the tail. */
	uint32_t tail = __atomic_load_n(ring_at(u->cq, u->p.cq_off.tail), __ATOMIC_ACQUIRE);
	unsigned int n = 0;

	for (; head != tail; head++, n++)
		if (cqe[head & mask].res != BLOCK)
			fail("a bare read failed: %d", cqe[head & mask].res);
	__atomic_store_n(ring_at(u->cq, u->p.cq_off.head), head, __ATOMIC_RELEASE);
	return n;
}

static inline uint64_t uring_round(struct uring *u)
{
	uint64_t begin = clock_now_ns();

	for (unsigned int b = 0; b < BATCHES; b++) {
		unsigned int submit = BATCH, done = 0;

		uring_submit(u);
		while (done < BATCH) {
			if (syscall(SYS_io_uring_enter, u->fd, submit, BATCH - done, IORING_ENTER_GETEVENTS,
				    NULL, 0) < 0 &&
			    errno != EINTR)
				fail("io_uring_enter: %s", strerror(errno));
			submit = 0;
			done += uring_reap(u);
		}
	}
	return clock_now_ns() - begin;
}

static inline void uring_close(struct uring *u)
{
	close(u->fd);
	munmap(u->data, BATCH * BLOCK); /* the rings go with the process */
}

#endif
