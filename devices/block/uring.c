/*
 * The system calls of io_uring(7) and the rings' memory order. The rings are the kernel's and ours alone; no
 * guest sees them.
 */
#include "devices/block/uring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/cpuset.h"

enum {
	NEEDED = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE,
	PROBED_OPS = 64,
};

/* The best ways of running a ring by one thread, newest kernel first; each falls back to the next. */
#define COOP (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL)
static const uint32_t setups[] = {
	/* 6.1: completions are posted when we ask for them, and nobody interrupts us with them */
	COOP | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	COOP | IORING_SETUP_SINGLE_ISSUER, /* 6.0 */
	COOP,                              /* 5.19 */
	0,
};

static int sys_setup(unsigned int entries, struct io_uring_params *p)
{
	int fd = (int)syscall(SYS_io_uring_setup, entries, p);

	return fd < 0 ? -errno : fd;
}

static int sys_enter(const struct uring *u, unsigned int submit, unsigned int flags)
{
	int n = (int)syscall(SYS_io_uring_enter, u->enter_fd, submit, 0, flags | u->enter_flags, NULL, 0);

	return n < 0 ? -errno : n;
}

static int sys_register(const struct uring *u, unsigned int what, const void *arg, unsigned int nr)
{
	int rc = (int)syscall(SYS_io_uring_register, u->fd, what, arg, nr);

	return rc < 0 ? -errno : rc;
}

/* The sysctl of Linux 6.6: 0 all may, 1 a group may, 2 nobody may. */
static bool disabled_by_sysctl(void)
{
	FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	int value = 0;

	if (!f)
		return false;
	if (fscanf(f, "%d", &value) != 1)
		value = 0;
	fclose(f);
	return value != 0;
}

static int refused(int rc, struct err *e)
{
	switch (rc) {
	case -ENOSYS:
		return err_set(e, rc,
			       "this kernel has no io_uring, or a seccomp filter (a container's?) hides it");
	case -EPERM:
	case -EACCES:
		if (disabled_by_sysctl())
			return err_set(e, rc, "the sysctl kernel.io_uring_disabled forbids io_uring");
		return err_set(e, rc,
			       "io_uring is forbidden here, probably by a seccomp filter (a container's?)");
	case -ENOMEM:
		return err_set(e, rc, "no memory for an io_uring; before Linux 5.12 ulimit -l counts it");
	default:
		return err_sys(e, rc, "io_uring_setup failed");
	}
}

/* Map the two rings, which lie in one mapping, and the submission entries. */
static int uring_map(struct uring *u, const struct io_uring_params *p)
{
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
	unsigned int *array;
	void *map;

	u->rings_bytes = MAX(sq, cq);
	map = mmap(NULL, u->rings_bytes, prot, flags, u->fd, IORING_OFF_SQ_RING);
	if (map == MAP_FAILED)
		return -errno;
	u->rings = map;
	map = mmap(NULL, p->sq_entries * sizeof(*u->sqes), prot, flags, u->fd, IORING_OFF_SQES);
	if (map == MAP_FAILED)
		return -errno;
	u->sqes = map;
	u->sq_entries = p->sq_entries;
	u->cq_entries = p->cq_entries;
	u->sq_head = (unsigned int *)(u->rings + p->sq_off.head);
	u->sq_tail = (unsigned int *)(u->rings + p->sq_off.tail);
	u->sq_flags = (unsigned int *)(u->rings + p->sq_off.flags);
	u->cq_head = (unsigned int *)(u->rings + p->cq_off.head);
	u->cq_tail = (unsigned int *)(u->rings + p->cq_off.tail);
	u->sq_mask = *(unsigned int *)(u->rings + p->sq_off.ring_mask);
	u->cq_flags = p->cq_off.flags ? (unsigned int *)(u->rings + p->cq_off.flags) : NULL;
	u->cq_mask = *(unsigned int *)(u->rings + p->cq_off.ring_mask);
	u->cqes = (struct io_uring_cqe *)(u->rings + p->cq_off.cqes);
	array = (unsigned int *)(u->rings + p->sq_off.array);
	for (unsigned int i = 0; i < u->sq_entries; i++)
		array[i] = i; /* slot i holds entry i, always: we fill them in order */
	return 0;
}

/* Saves the kernel the look-up of the descriptor at every call (Linux 5.18); it is as good without. */
static void uring_register_itself(struct uring *u)
{
	struct io_uring_rsrc_update up = { .offset = UINT32_MAX, .data = (uint64_t)u->fd };

	if (sys_register(u, IORING_REGISTER_RING_FDS, &up, 1) != 1)
		return;
	u->enter_fd = (int)up.offset;
	u->enter_flags = IORING_ENTER_REGISTERED_RING;
}

/*
 * What cannot be done at once the kernel gives to threads of its own, which do not inherit our affinity but may run
 * anywhere, on vCPUs' CPUs too (Linux 5.14; io_uring_register(2), IORING_REGISTER_IOWQ_AFF). They belong to the thread
 * that calls, not to the ring. An older kernel runs them where it likes; the requests are served all the same.
 */
static void uring_place_workers(const struct uring *u)
{
	const struct cpuset *io = affinity_io();

	if (io)
		(void)sys_register(u, IORING_REGISTER_IOWQ_AFF, io, sizeof(*io));
}

int uring_init(struct uring *u, unsigned int entries, struct err *e)
{
	struct io_uring_params p = { 0 };
	int rc = -EINVAL;

	*u = (struct uring){ .fd = -1, .enter_fd = -1 };
	for (unsigned int i = 0; i < ARRAY_SIZE(setups) && rc == -EINVAL; i++) {
		p = (struct io_uring_params){ .flags = setups[i] | IORING_SETUP_CLAMP };
		rc = sys_setup(MAX(entries, 1), &p);
	}
	if (rc < 0)
		return refused(rc, e);
	u->fd = u->enter_fd = rc;
	u->setup = p.flags;
	if ((p.features & NEEDED) != NEEDED) {
		uring_fini(u);
		return err_set(e, -ENOSYS, "this kernel's io_uring is too old (Linux 5.6 is needed)");
	}
	rc = uring_map(u, &p);
	if (rc < 0) {
		uring_fini(u);
		return err_sys(e, rc, "cannot map the rings of an io_uring");
	}
	uring_register_itself(u);
	uring_place_workers(u);
	return 0;
}

void uring_fini(struct uring *u)
{
	if (u->enter_flags) {
		struct io_uring_rsrc_update up = { .offset = (uint32_t)u->enter_fd };

		(void)sys_register(u, IORING_UNREGISTER_RING_FDS, &up, 1); /* else it ends with the thread */
	}
	if (u->sqes)
		munmap(u->sqes, u->sq_entries * sizeof(*u->sqes));
	if (u->rings)
		munmap(u->rings, u->rings_bytes);
	if (u->fd >= 0)
		close(u->fd);
	*u = (struct uring){ .fd = -1, .enter_fd = -1 };
}

int uring_check(struct err *e)
{
	static const uint8_t needed[] = { IORING_OP_READV,       IORING_OP_WRITEV, IORING_OP_READ_FIXED,
					  IORING_OP_WRITE_FIXED, IORING_OP_READ,   IORING_OP_WRITE,
					  IORING_OP_FSYNC };
	size_t bytes = sizeof(struct io_uring_probe) + PROBED_OPS * sizeof(struct io_uring_probe_op);
	struct io_uring_probe *probe = calloc(1, bytes);
	struct uring u;
	int rc;

	if (!probe)
		return err_set(e, -ENOMEM, "no memory to look for io_uring");
	rc = uring_init(&u, 1, e);
	if (!rc) {
		rc = sys_register(&u, IORING_REGISTER_PROBE, probe, PROBED_OPS);
		for (unsigned int i = 0; i < ARRAY_SIZE(needed) && rc >= 0; i++)
			if (!(probe->ops[needed[i]].flags & IO_URING_OP_SUPPORTED))
				rc = -EOPNOTSUPP;
		if (rc < 0)
			err_set(e, rc,
				"this kernel's io_uring cannot read or write files (Linux 5.6 is needed)");
	}
	uring_fini(&u);
	free(probe);
	return rc;
}

int uring_register_file(struct uring *u, int fd)
{
	return sys_register(u, IORING_REGISTER_FILES, &fd, 1);
}

int uring_register_event(struct uring *u, int event_fd)
{
	return sys_register(u, IORING_REGISTER_EVENTFD, &event_fd, 1);
}

int uring_register_buffers(struct uring *u, const struct iovec *iov, unsigned int nr)
{
	return sys_register(u, IORING_REGISTER_BUFFERS, iov, nr);
}

struct io_uring_sqe *uring_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = &u->sqes[u->tail++ & u->sq_mask];

	memset(sqe, 0, sizeof(*sqe));
	return sqe;
}

unsigned int uring_pending(const struct uring *u)
{
	return u->tail - __atomic_load_n(u->sq_head, __ATOMIC_ACQUIRE);
}

int uring_enter(struct uring *u)
{
	bool get = (u->setup & IORING_SETUP_DEFER_TASKRUN) || uring_must_enter(u);
	unsigned int pending = uring_pending(u);
	int rc;

	/* Pairs with the kernel's acquire of the tail: the entries below it are complete (io_uring.7). */
	__atomic_store_n(u->sq_tail, u->tail, __ATOMIC_RELEASE);
	do
		rc = sys_enter(u, pending, get ? IORING_ENTER_GETEVENTS : 0);
	while (rc == -EINTR);
	if (!uring_pending(u))
		return 0;
	return rc < 0 ? rc : -EAGAIN;
}

bool uring_take_back(struct uring *u, uint64_t *user_data)
{
	if (!uring_pending(u))
		return false;
	/* Without a polling thread the kernel looks at the tail inside uring_enter() only, so it may go back. */
	u->tail--;
	__atomic_store_n(u->sq_tail, u->tail, __ATOMIC_RELEASE);
	*user_data = u->sqes[u->tail & u->sq_mask].user_data;
	return true;
}

bool uring_must_enter(const struct uring *u)
{
	/* A hint: set a moment too late, the signal of the eventfd comes after it. */
	return __atomic_load_n(u->sq_flags, __ATOMIC_RELAXED) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

bool uring_quiet(struct uring *u, bool quiet)
{
	if (u->cq_flags)
		__atomic_store_n(u->cq_flags, quiet ? IORING_CQ_EVENTFD_DISABLED : 0, __ATOMIC_RELAXED);
	if (quiet)
		return false;
	/*
	 * Pairs with the kernel's barrier between posting a completion, or asking for IORING_ENTER_GETEVENTS, and
	 * looking at the flag: one of us sees the other's store.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return uring_cqe(u) || uring_must_enter(u);
}

const struct io_uring_cqe *uring_cqe(const struct uring *u)
{
	unsigned int head = *u->cq_head; /* ours alone to change */

	/* Pairs with the kernel's release of the tail: the completions below it are complete (io_uring.7). */
	if (head == __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE))
		return NULL;
	return &u->cqes[head & u->cq_mask];
}

void uring_cqe_seen(struct uring *u)
{
	/* Pairs with the kernel's acquire of the head: we have read the slot, it may be used again. */
	__atomic_store_n(u->cq_head, *u->cq_head + 1, __ATOMIC_RELEASE);
}
