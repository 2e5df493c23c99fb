/*
 * Sets of CPUs as sched_setaffinity(2) takes them, their text, and where threads go. What is pinned to which CPU is
 * decided elsewhere (vmm/cpu/pin.c).
 */
#include "vmm/base/cpuset.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "vmm/base/cpulist.h"

unsigned int cpuset_count(const struct cpuset *s)
{
	unsigned int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(s->bits); i++)
		n += (unsigned int)__builtin_popcountll(s->bits[i]);
	return n;
}

bool cpuset_empty(const struct cpuset *s)
{
	return cpuset_count(s) == 0;
}

static int add_number(void *ctx, unsigned int n)
{
	cpuset_add(ctx, n);
	return 0;
}

int cpuset_parse(struct cpuset *s, const char *list)
{
	memset(s, 0, sizeof(*s));
	if (cpulist_each(list, CPUSET_BITS - 1, add_number, s) < 0 || cpuset_empty(s))
		return -EINVAL;
	return 0;
}

static bool has_number(const void *ctx, unsigned int i)
{
	return cpuset_has(ctx, i);
}

const char *cpuset_text(const struct cpuset *s, char *buf, size_t len)
{
	cpulist_text(buf, len, CPUSET_BITS, has_number, s);
	if (cpuset_empty(s))
		snprintf(buf, len, "none");
	return buf;
}

/*
 * The kernel's masks are arrays of long, and x86 is little-endian: bit n of bits[n / 64] is CPU n. It takes masks of
 * any length and ignores CPUs which it could never have; it gives its own length, so the rest is zeroed here
 * (kernel/sched/syscalls.c, v6.12).
 */
_Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "the kernel's masks are arrays of long");

int cpuset_get_own(struct cpuset *s)
{
	memset(s, 0, sizeof(*s));
	return sched_getaffinity(0, sizeof(*s), (cpu_set_t *)s) < 0 ? -errno : 0;
}

int cpuset_apply(const struct cpuset *s, int tid)
{
	return sched_setaffinity(tid, sizeof(*s), (const cpu_set_t *)s) < 0 ? -errno : 0;
}

/* As the affinity that threads inherit, this is the process's. Written before there are threads, then constant. */
static struct {
	bool known, io_said;
	struct cpuset any; /* where this process could run; valid when known */
	struct cpuset io;  /* valid when io_said */
} affinity;

void affinity_set_io(const struct cpuset *s)
{
	if (!affinity.known) /* a second call may come from a thread that is pinned */
		affinity.known = cpuset_get_own(&affinity.any) == 0;
	affinity.io_said = s != NULL;
	if (s)
		affinity.io = *s;
}

const struct cpuset *affinity_io(void)
{
	return affinity.io_said ? &affinity.io : NULL;
}

static void enter(const struct cpuset *s)
{
	int rc = cpuset_apply(s, 0);

	(void)rc; /* the CPUs were checked at set-up; taken from us since, they are no reason to stop */
}

void affinity_enter_io(void)
{
	if (affinity.io_said)
		enter(&affinity.io);
	else
		affinity_enter_any();
}

void affinity_enter_any(void)
{
	if (affinity.known)
		enter(&affinity.any);
}
