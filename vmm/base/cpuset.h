/*
 * Sets of the host's CPUs, and where the threads of this process run.
 *
 * Threads inherit the affinity of who makes them, and an I/O thread may be made by a vCPU's thread. So each thread
 * first of all goes where it belongs: I/O threads call affinity_enter_io(), a vCPU that is pinned cpuset_apply(), and
 * all others affinity_enter_any().
 */
#ifndef TRELLIS_BASE_CPUSET_H
#define TRELLIS_BASE_CPUSET_H

#include "vmm/base/base.h"

enum { CPUSET_BITS = 8192 }; /* CONFIG_NR_CPUS of x86 goes up to 8192 */

struct cpuset {
	uint64_t bits[CPUSET_BITS / 64];
};

static inline bool cpuset_has(const struct cpuset *s, unsigned int cpu)
{
	return cpu < CPUSET_BITS && s->bits[cpu / 64] >> cpu % 64 & 1;
}

static inline void cpuset_add(struct cpuset *s, unsigned int cpu)
{
	if (cpu < CPUSET_BITS)
		s->bits[cpu / 64] |= 1ull << cpu % 64;
}

unsigned int cpuset_count(const struct cpuset *s);
bool cpuset_empty(const struct cpuset *s);

/* Parse "2-9,12" into s, which is emptied first. Returns 0, or -EINVAL when it is no such list or an empty one. */
MUST_CHECK int cpuset_parse(struct cpuset *s, const char *list);

/* "2-9,12" (cut off where buf ends), "none" for the empty set. Returns buf. */
const char *cpuset_text(const struct cpuset *s, char *buf, size_t len);

/* Where the calling thread may run now. Returns 0 or a negative errno. */
MUST_CHECK int cpuset_get_own(struct cpuset *s);

/* Have a thread (0: the calling one) run on these CPUs alone: sched_setaffinity(2). Returns 0 or a negative errno. */
MUST_CHECK int cpuset_apply(const struct cpuset *s, int tid);

/*
 * Something of this process is pinned. Where I/O threads run from now on; NULL: wherever this process may run now.
 * The latter is kept, for affinity_enter_any(). s is copied. Set-up, before there are threads and before the calling
 * one is pinned. Without this call, affinity_enter_io() and affinity_enter_any() do nothing.
 */
void affinity_set_io(const struct cpuset *s);

/* Where they run, or NULL when that was not said. Constant once there are threads. */
const struct cpuset *affinity_io(void);

/* First thing in an I/O thread: go where affinity_set_io() says. Failure leaves the thread where it is. */
void affinity_enter_io(void);

/* The same in a thread that belongs to no CPU: go where this process could run before anything was pinned. */
void affinity_enter_any(void);

#endif
