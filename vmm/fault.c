/*
 * Guest memory that is gone. A thread of ours that touches it gets SIGBUS (sigaction(2)): the handler below says what
 * was lost and ends the process, with nothing but async-signal-safe calls (POSIX.1-2017, 2.4.3; fstatfs(2) is a bare
 * system call as well). A system call that touches it for us fails with EFAULT, which is an I/O error like any other;
 * KVM_RUN too, for which fault_explain() looks at what is behind guest memory.
 *
 * One process has one machine, and a handler gets no context: hence the variables of this file.
 */
#include "vmm/fault.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "vmm/base/sysfile.h"
#include "vmm/exit_status.h"
#include "vmm/terminal.h"
#include "vmm/vcpu.h"

/*
 * Linux 6.8, include/uapi/linux/kvm.h: older headers lack them. The exit reason is valid with EFAULT and EHWPOISON
 * only, and kernels without KVM_CAP_MEMORY_FAULT_INFO never use that number (Documentation/virt/kvm/api.rst, v6.8,
 * KVM_EXIT_MEMORY_FAULT).
 */
enum { EXIT_MEMORY_FAULT = 39 };

struct memory_fault {
	uint64_t flags;
	uint64_t gpa;
	uint64_t size;
};

enum cause {
	CAUSE_BROKEN,     /* the hardware lost it */
	CAUSE_TRUNCATED,  /* the file ends before it now */
	CAUSE_POOL,       /* a hugetlb page that could not be had */
	CAUSE_DISK_FULL,  /* the file has a hole there, and no room to fill it */
	CAUSE_UNREADABLE, /* some other failure of the file */
	CAUSE_UNKNOWN,    /* memory without a file */
};

struct loss {
	const struct gmem_range *range;
	uint64_t gpa;        /* where it was noticed */
	uint64_t first, end; /* what is gone: guest-physical addresses in range, end excluded */
	enum cause cause;
};

/* A sentence in the making, by hand: snprintf() is not for signal handlers. What does not fit is cut off. */
struct line {
	char *text; /* borrowed; always terminated */
	size_t size, len;
};

static _Atomic(const struct gmem *) watched; /* borrowed; NULL: none */
static struct sigaction before;              /* what SIGBUS did before fault_init() */
static atomic_flag reporting = ATOMIC_FLAG_INIT;

static void put(struct line *l, const char *text)
{
	while (*text && l->len + 1 < l->size)
		l->text[l->len++] = *text++;
	l->text[l->len] = '\0';
}

static void put_number(struct line *l, uint64_t v, unsigned int base)
{
	char digits[24];
	size_t at = sizeof(digits);

	digits[--at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (base == 16) {
		digits[--at] = 'x';
		digits[--at] = '0';
	}
	put(l, digits + at);
}

/* "0x1000-0x1fff": the last byte is named, as in /proc/iomem. */
static void put_span(struct line *l, uint64_t first, uint64_t end)
{
	put_number(l, first, 16);
	put(l, "-");
	put_number(l, end - 1, 16);
}

/* "2 MiB" */
static void put_bytes(struct line *l, uint64_t bytes)
{
	static const char *const unit[] = { " bytes", " KiB", " MiB", " GiB" };
	unsigned int i = 0;

	while (i + 1 < ARRAY_SIZE(unit) && bytes && bytes % KIB == 0) {
		bytes /= KIB;
		i++;
	}
	put_number(l, bytes, 10);
	put(l, unit[i]);
}

static void put_cause(struct line *l, const struct loss *loss)
{
	switch (loss->cause) {
	case CAUSE_BROKEN:
		put(l, "the hardware reports a broken page of ");
		put_bytes(l, loss->end - loss->first);
		break;
	case CAUSE_TRUNCATED:
		put(l, "the file behind it was truncated");
		break;
	case CAUSE_POOL:
		put(l, "the host has no page of ");
		put_bytes(l, loss->range->page_bytes);
		put(l, " left for it, as the pool is empty or a limit is reached");
		break;
	case CAUSE_DISK_FULL:
		put(l, "the file behind it cannot grow, as its file system is full");
		break;
	case CAUSE_UNREADABLE:
		put(l, "the file behind it cannot be read or written there");
		break;
	case CAUSE_UNKNOWN:
		put(l, "the kernel cannot bring it back, as when swap space fails");
		break;
	}
}

/* The whole sentence, but for where our process had it mapped. */
static void put_loss(struct line *l, const struct loss *loss, const void *hva)
{
	put(l, "guest memory at guest-physical ");
	put_number(l, loss->gpa, 16);
	put(l, " (range ");
	put_span(l, loss->range->gpa, loss->range->gpa + loss->range->len);
	if (hva) {
		put(l, ", host address ");
		put_number(l, (uintptr_t)hva, 16);
	}
	put(l, ") is gone: ");
	put_cause(l, loss);
	put(l, "; ");
	put_span(l, loss->first, loss->end);
	put(l, " is lost");
}

/* The range that a host address lies in, or NULL. */
static const struct gmem_range *range_of_host(const struct gmem *m, uintptr_t at)
{
	for (unsigned int i = 0; m && i < m->nr_ranges; i++)
		if (at >= (uintptr_t)m->range[i].hva && at - (uintptr_t)m->range[i].hva < m->range[i].len)
			return &m->range[i];
	return NULL;
}

static const struct gmem_range *range_of_guest(const struct gmem *m, uint64_t gpa)
{
	for (unsigned int i = 0; m && i < m->nr_ranges; i++)
		if (gpa >= m->range[i].gpa && gpa - m->range[i].gpa < m->range[i].len)
			return &m->range[i];
	return NULL;
}

/* Of the range, what lies in the page of that size (a power of two) which holds the loss. */
static void lose_page(struct loss *loss, uint64_t bytes)
{
	const struct gmem_range *r = loss->range;
	uint64_t hva = (uintptr_t)r->hva;
	uint64_t page = align_down(hva + (loss->gpa - r->gpa), bytes);

	loss->first = r->gpa + (page > hva ? page - hva : 0);
	loss->end = r->gpa + MIN(page - hva + bytes, r->len); /* page - hva may be negative: it wraps back */
}

/* Does the file end before the range does? Then *cut is the first guest-physical address that is lost. */
static bool file_too_short(const struct gmem_range *r, uint64_t *cut)
{
	struct stat st;
	uint64_t left;

	if (r->fd < 0 || fstat(r->fd, &st) < 0)
		return false;
	left = (uint64_t)st.st_size > r->fd_offset ? (uint64_t)st.st_size - r->fd_offset : 0;
	left = align_up(MIN(left, r->len), r->page_bytes); /* the rest of its last page reads as zeros */
	*cut = r->gpa + left;
	return left < r->len;
}

/* Is there a file system without room for more? Those without any limit, as behind memfd, have no blocks at all. */
static bool file_system_full(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_blocks && !fs.f_bavail;
}

/* A file that ends at cut, a guest-physical address. */
static struct loss loss_of_cut(const struct gmem_range *r, uint64_t gpa, uint64_t cut)
{
	return (struct loss){
		.range = r, .gpa = gpa, .first = cut, .end = r->gpa + r->len, .cause = CAUSE_TRUNCATED
	};
}

/* What was lost where the kernel says no more than that it cannot be reached. */
static struct loss loss_at(const struct gmem_range *r, uint64_t gpa)
{
	struct loss loss = { .range = r, .gpa = gpa };
	uint64_t cut;

	lose_page(&loss, r->page_bytes);
	if (file_too_short(r, &cut) && gpa >= cut)
		loss = loss_of_cut(r, gpa, cut);
	else if (r->page_bytes > 4 * KIB)
		loss.cause = CAUSE_POOL;
	else if (r->fd < 0)
		loss.cause = CAUSE_UNKNOWN;
	else
		loss.cause = file_system_full(r->fd) ? CAUSE_DISK_FULL : CAUSE_UNREADABLE;
	return loss;
}

/* A page that the hardware lost; bytes is its size. */
static struct loss loss_of_broken(const struct gmem_range *r, uint64_t gpa, uint64_t bytes)
{
	struct loss loss = { .range = r, .gpa = gpa, .cause = CAUSE_BROKEN };

	lose_page(&loss, bytes);
	return loss;
}

/* The least significant bit of the address says how large the broken page is (sigaction(2), BUS_MCEERR_AR). */
static uint64_t broken_bytes(const siginfo_t *info)
{
	int lsb = info->si_addr_lsb;

	return lsb >= 12 && lsb < 48 ? 1ull << lsb : 4 * KIB;
}

/* Print as log_line() would, and end: nobody could go on without that memory. */
static void report_and_exit(const struct loss *loss, const void *hva)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	char text[512];
	struct line l = { .text = text, .size = sizeof(text) - 1 }; /* the rest is for the newline */

	while (atomic_flag_test_and_set(&reporting)) /* another thread is at it, and ends us all */
		pause();
	terminal_restore();
	put(&l, "trellis: error: ");
	put_loss(&l, loss, hva);
	text[l.len++] = '\n';
	if (poll(&out, 1, 0) != 0 && write(STDERR_FILENO, text, l.len) < 0)
		errno = 0; /* nowhere left to complain */
	_exit(EXIT_HOST_ERROR);
}

/* si_addr is an address with these codes alone; a signal that somebody sent has others. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	bool broken = info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO;
	const struct gmem_range *r = NULL;
	struct loss loss;

	(void)context;
	if (broken || info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR)
		r = range_of_host(atomic_load(&watched), (uintptr_t)info->si_addr);
	if (r) {
		uint64_t gpa = r->gpa + ((uintptr_t)info->si_addr - (uintptr_t)r->hva);

		loss = broken ? loss_of_broken(r, gpa, broken_bytes(info)) : loss_at(r, gpa);
		report_and_exit(&loss, info->si_addr);
	}
	/* A fault of ours: die of it as if there were no handler, as vmm/terminal.c does for other signals. */
	terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig); /* blocked until we return */
}

void fault_init(const struct gmem *mem)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	atomic_store(&watched, mem);
	sigfillset(&sa.sa_mask);
	sigaction(SIGBUS, &sa, &before);
}

void fault_fini(void)
{
	if (!atomic_exchange(&watched, NULL))
		return;
	sigaction(SIGBUS, &before, NULL);
}

/* How many hugetlb pages of the range are not there? *first is the guest-physical address of the first. */
static uint64_t count_holes(const struct gmem_range *r, uint64_t *first)
{
	uint64_t holes = 0;

	for (uint64_t at = 0; at < r->len; at += r->page_bytes) {
		unsigned char there;

		/* The first 4 KiB say it for the whole page; bit 0 alone is defined (mincore(2)). */
		if (mincore(r->hva + at, 4 * KIB, &there) < 0 || there & 1)
			continue;
		if (!holes++)
			*first = r->gpa + at;
	}
	return holes;
}

/* "the pool has 3 free pages of 2 MiB, 3 of them reserved", in the words of hugetlbpage.rst (v6.1). */
static void put_pool(struct line *l, uint64_t page_bytes)
{
	static const char dir[] = "/sys/kernel/mm/hugepages";
	unsigned long long kib = page_bytes / KIB;
	uint64_t free_pages, reserved;

	if (sysfile_u64("", &free_pages, "%s/hugepages-%llukB/free_hugepages", dir, kib) < 0 ||
	    sysfile_u64("", &reserved, "%s/hugepages-%llukB/resv_hugepages", dir, kib) < 0)
		return;
	put(l, "; the host's pool has ");
	put_number(l, free_pages, 10);
	put(l, " free, ");
	put_number(l, reserved, 10);
	put(l, " of them reserved");
}

static bool put_truncated(struct line *l, const struct gmem *m)
{
	for (unsigned int i = 0; i < m->nr_ranges; i++) {
		struct loss loss;
		uint64_t cut;

		if (!file_too_short(&m->range[i], &cut))
			continue;
		loss = loss_of_cut(&m->range[i], cut, cut);
		put_loss(l, &loss, NULL);
		return true;
	}
	return false;
}

/* KVM does not say where: look what is missing. Returns whether something is. */
static bool put_missing(struct line *l, const struct gmem *m)
{
	if (put_truncated(l, m))
		return true;
	for (unsigned int i = 0; i < m->nr_ranges; i++) {
		const struct gmem_range *r = &m->range[i];
		uint64_t holes, first = 0;

		if (r->page_bytes <= 4 * KIB || !(holes = count_holes(r, &first)))
			continue;
		put(l, "no page of ");
		put_bytes(l, r->page_bytes);
		put(l, " is behind guest-physical ");
		put_number(l, first, 16);
		if (holes > 1) {
			put(l, " and ");
			put_number(l, holes - 1, 10);
			put(l, " more places");
		}
		put_pool(l, r->page_bytes);
		return true;
	}
	return false;
}

bool fault_truncated(const struct gmem *m, char *buf, size_t len)
{
	struct line l = { .text = buf, .size = len };

	return put_truncated(&l, m);
}

bool fault_is_mmio(const struct vcpu *v)
{
	return v->run->exit_reason == KVM_EXIT_MMIO && gmem_hva(v->all->cfg.mem, v->run->mmio.phys_addr, 1);
}

const char *fault_explain(const struct vcpu *v, int error, char *buf, size_t len)
{
	const struct gmem *m = v->all->cfg.mem;
	const struct gmem_range *r = NULL;
	bool told = !error || v->run->exit_reason == EXIT_MEMORY_FAULT;
	struct line l = { .text = buf, .size = len };
	struct memory_fault fault;
	struct loss loss;

	if (error)
		put(&l, "KVM_RUN failed: ");
	/* kvm_run.memory_fault: the kernel's bytes, not the guest's. */
	memcpy(&fault, v->run->padding, sizeof(fault));
	if (!error)
		fault.gpa = v->run->mmio.phys_addr;
	if (told)
		r = range_of_guest(m, fault.gpa);
	if (r) {
		loss = error == EHWPOISON ? loss_of_broken(r, fault.gpa, r->page_bytes)
					  : loss_at(r, fault.gpa);
		put_loss(&l, &loss, NULL);
	} else if (told) {
		put(&l, "KVM cannot reach guest-physical ");
		put_number(&l, fault.gpa, 16);
		put(&l, ", where there is no RAM of ours");
	} else if (error == EHWPOISON) {
		put(&l, "the hardware reports a broken page in guest memory, and KVM does not say where");
	} else if (!put_missing(&l, m)) {
		put(&l, "KVM cannot reach guest memory, and does not say where");
	}
	return buf;
}
