/*
 * Where the start-up time goes: marks between exec and the guest's first write to port 0x80.
 */
#ifndef TRELLIS_TIMING_H
#define TRELLIS_TIMING_H

#include "vmm/base/base.h"

enum timing_mark { TIMING_MAIN, TIMING_KVM, TIMING_MEMORY, TIMING_VCPUS, TIMING_DEVICES, TIMING_TABLES, TIMING_LOAD,
		   TIMING_GUEST, NR_TIMING_MARKS };

/* What is part of several steps: working out the processors; KVM_SET_CPUID2; looking for contradictions. */
enum timing_part { TIMING_CPUID, TIMING_SET_CPUID, TIMING_CHECK, NR_TIMING_PARTS };

struct timing {
	uint64_t at_ns[NR_TIMING_MARKS]; /* CLOCK_MONOTONIC at the end of each step; 0: not reached */
	uint64_t part_ns[NR_TIMING_PARTS];
};

/* Note that a step ended now. */
void timing_mark(struct timing *t, enum timing_mark mark);

/* Count the time since from_ns, a clock_now_ns(), to a part. */
void timing_add(struct timing *t, enum timing_part part, uint64_t from_ns);

/* Print each step in microseconds, the whole, and the clock at the end, as one line for programs. */
void timing_print(const struct timing *t);

#endif
