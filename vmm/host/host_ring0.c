/*
 * Is what guests do in ring 0 executed by the processor, or interpreted? A guest of one page counts: it is given a few
 * milliseconds, and how far it came tells. It has no interrupt controller and no device; nothing of it stays.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "vmm/host/host.h"

enum {
	CODE_GPA = 0x1000, /* and one page of memory there is all that the guest has */
	CODE_BYTES = 0x1000,
	LOOP_INSTRUCTIONS = 2, /* in each turn */
	WARM_UP_TURNS = 100,   /* for the first entry, and the page fault on the code */
	RUN_MS = 4,
	MAX_MS = 40, /* on a machine so busy that little of it is ours */
};

/* Interpreters were seen to do 1 to 10 million a second; the slowest processors do 1,000 million. */
#define INTERPRETED_BELOW 20000000ull

#define CPU_ENOUGH_NS     (RUN_MS * 1000000ull / 2)

/* turn: dec ecx; jnz turn; then hlt; jmp to it, should anything wake it. */
static const uint8_t code[] = { 0x49, 0x75, 0xfd, 0xf4, 0xeb, 0xfd };

struct tiny_guest {
	struct kvm kvm;
	int fd;              /* owned; the vCPU */
	struct kvm_run *run; /* owned mapping */
	uint8_t *page;       /* owned mapping */
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Flat 32-bit protected mode without paging: every KVM has that, and it is ring 0. */
static int set_mode(int fd)
{
	struct kvm_segment flat = {
		.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1
	};
	struct kvm_sregs sregs;

	if (kvm_ioctl(fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs = flat;
	flat.selector = 16;
	flat.type = 3; /* data, writable, accessed (Intel SDM volume 3A, 3.4.5.1, June 2024) */
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	sregs.cr0 |= 1; /* PE */
	return kvm_ioctl(fd, KVM_SET_SREGS, &sregs) < 0 ? -errno : 0;
}

static int guest_init(struct tiny_guest *g, struct err *e)
{
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = CODE_GPA, .memory_size = CODE_BYTES };
	void *map;
	int rc;

	*g = (struct tiny_guest){ .kvm = { .fd = -1, .vm_fd = -1 }, .fd = -1 };
	if ((rc = kvm_open(&g->kvm, e)) < 0 || (rc = kvm_create_vm(&g->kvm, e)) < 0)
		return rc;
	map = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return err_sys(e, -errno, "no memory for a guest of one page");
	g->page = map;
	memcpy(g->page, code, sizeof(code));
	slot.userspace_addr = (uintptr_t)g->page;
	if (kvm_ioctl(g->kvm.vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return err_sys(e, -errno, "KVM_SET_USER_MEMORY_REGION");
	g->fd = kvm_ioctl_value(g->kvm.vm_fd, KVM_CREATE_VCPU, 0);
	if (g->fd < 0)
		return err_sys(e, -errno, "KVM_CREATE_VCPU");
	map = mmap(NULL, g->kvm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	if (map == MAP_FAILED)
		return err_sys(e, -errno, "cannot map the state of a vCPU");
	g->run = map;
	rc = set_mode(g->fd);
	return rc < 0 ? err_sys(e, rc, "cannot set a vCPU's registers") : 0;
}

static void guest_fini(struct tiny_guest *g)
{
	if (g->run)
		munmap(g->run, g->kvm.run_bytes);
	if (g->fd >= 0)
		close(g->fd);
	if (g->page)
		munmap(g->page, CODE_BYTES);
	kvm_close(&g->kvm);
}

/* Start the loop for so many turns. */
static int set_turns(const struct tiny_guest *g, uint32_t turns)
{
	struct kvm_regs regs = { .rip = CODE_GPA, .rflags = 2, .rcx = turns };

	return kvm_ioctl(g->fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
}

/* Go on until the guest halts or a signal comes. Returns 1, 0 or a negative errno. */
static int guest_run(const struct tiny_guest *g)
{
	if (kvm_ioctl(g->fd, KVM_RUN, NULL) < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	return g->run->exit_reason == KVM_EXIT_HLT ? 1 : -EIO;
}

/*
 * Let it count until it had enough of a CPU; the timer's signal, which comes again and again, ends KVM_RUN. What
 * others take of the CPU is not counted.
 */
static int guest_count(const struct tiny_guest *g, uint64_t *per_second)
{
	uint64_t until = clock_ns(CLOCK_MONOTONIC) + MAX_MS * 1000000ull, from, spent = 0;
	struct kvm_regs regs;
	int rc = set_turns(g, WARM_UP_TURNS);

	while (rc == 0 && clock_ns(CLOCK_MONOTONIC) < until)
		rc = guest_run(g);
	if (rc <= 0)
		return rc < 0 ? rc : -ETIMEDOUT;
	rc = set_turns(g, UINT32_MAX);
	from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	while (rc == 0 && spent < CPU_ENOUGH_NS && clock_ns(CLOCK_MONOTONIC) < until) {
		rc = guest_run(g);
		spent = clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
	}
	if (rc < 0)
		return rc;
	if (kvm_ioctl(g->fd, KVM_GET_REGS, &regs) < 0)
		return -errno;
	/* Below 2^64: 32 bits of turns, 31 of the rest. */
	*per_second =
		(UINT32_MAX - (uint64_t)(uint32_t)regs.rcx) * LOOP_INSTRUCTIONS * 1000000000 / MAX(spent, 1u);
	return *per_second ? 0 : -ETIMEDOUT;
}

static void on_alarm(int sig)
{
	(void)sig; /* its arrival ends KVM_RUN */
}

/* guest_count() under a timer. Everything is put back as it was. */
static int count_with_timer(const struct tiny_guest *g, uint64_t *per_second)
{
	const struct itimerval every = { .it_interval.tv_usec = RUN_MS * 1000,
					 .it_value.tv_usec = RUN_MS * 1000 };
	const struct itimerval none = { .it_value.tv_sec = 0 };
	struct sigaction sa = { .sa_handler = on_alarm }, was; /* no SA_RESTART */
	sigset_t alarm_alone, mask;
	int rc;

	sigemptyset(&alarm_alone);
	sigaddset(&alarm_alone, SIGALRM);
	if (sigaction(SIGALRM, &sa, &was) < 0)
		return -errno;
	sigprocmask(SIG_UNBLOCK, &alarm_alone, &mask);
	rc = setitimer(ITIMER_REAL, &every, NULL) < 0 ? -errno : guest_count(g, per_second);
	setitimer(ITIMER_REAL, &none, NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigaction(SIGALRM, &was, NULL);
	return rc;
}

void host_measure_ring0(struct host_ring0 *r)
{
	struct tiny_guest g;
	struct err e = { 0 };
	int rc;

	*r = (struct host_ring0){ .interpreted = HOST_UNKNOWN };
	rc = guest_init(&g, &e);
	r->made = rc == 0;
	if (rc == 0) {
		rc = count_with_timer(&g, &r->per_second);
		if (rc < 0)
			err_sys(&e, rc, "a guest of one page did not run");
	}
	if (rc == 0)
		r->interpreted = r->per_second < INTERPRETED_BELOW ? HOST_YES : HOST_NO;
	else
		r->why = e;
	guest_fini(&g);
}
