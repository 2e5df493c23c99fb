/* Start-up marks. Taking one costs a clock reading; nothing is printed unless asked for. */
#include "vmm/timing.h"

#include <stdio.h>

#include "vmm/base/log.h"
#include "vmm/base/loop.h"

void timing_mark(struct timing *t, enum timing_mark mark)
{
	t->at_ns[mark] = clock_now_ns();
}

void timing_add(struct timing *t, enum timing_part part, uint64_t from_ns)
{
	t->part_ns[part] += clock_now_ns() - from_ns;
}

void timing_print(const struct timing *t)
{
	static const char *const name[NR_TIMING_MARKS] = {
		[TIMING_KVM] = "kvm",         [TIMING_MEMORY] = "memory", [TIMING_VCPUS] = "vcpus",
		[TIMING_DEVICES] = "devices", [TIMING_TABLES] = "tables", [TIMING_LOAD] = "load",
		[TIMING_GUEST] = "guest",
	};
	char line[256] = "";
	size_t len = 0;

	for (unsigned int i = TIMING_KVM; i < NR_TIMING_MARKS; i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, " %s=%llu", name[i],
					(unsigned long long)((t->at_ns[i] - t->at_ns[i - 1]) / 1000));
	log_info("timing us:%s total=%llu cpuid=%llu setcpuid=%llu check=%llu main_ns=%llu end_ns=%llu", line,
		 (unsigned long long)((t->at_ns[TIMING_GUEST] - t->at_ns[TIMING_MAIN]) / 1000),
		 (unsigned long long)(t->part_ns[TIMING_CPUID] / 1000),
		 (unsigned long long)(t->part_ns[TIMING_SET_CPUID] / 1000),
		 (unsigned long long)(t->part_ns[TIMING_CHECK] / 1000), (unsigned long long)t->at_ns[TIMING_MAIN], (unsigned long long)t->at_ns[TIMING_GUEST]);
}
