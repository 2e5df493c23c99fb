/*
 * Overrides for research: single CPUID registers and MSRs, applied after everything else.
 */
#ifndef TRELLIS_CPU_OVERRIDE_H
#define TRELLIS_CPU_OVERRIDE_H

#include "vmm/cpu/feature.h"

#define OVERRIDE_ALL_VCPUS UINT32_MAX

struct cpuid_override {
	uint32_t leaf, index;
	bool has_index;                      /* else: a leaf without sub-leaves, or sub-leaf 0 */
	int reg;                             /* enum cpuid_reg */
	uint32_t value, mask;                /* only bits of the mask change */
	uint32_t vcpu;                       /* or OVERRIDE_ALL_VCPUS */
};

struct msr_override {
	uint32_t index;
	uint64_t value;
};

/* "LEAF[.SUBLEAF].REG=VALUE[:MASK][@vCPU]", numbers hexadecimal (SUBLEAF and vCPU decimal), 0x allowed. */
MUST_CHECK int cpuid_override_parse(struct cpuid_override *o, const char *arg, struct err *e);

/* "INDEX=VALUE", hexadecimal. */
MUST_CHECK int msr_override_parse(struct msr_override *o, const char *arg, struct err *e);

/*
 * Apply those that are meant for vCPU index to its finished table; a missing leaf is added.
 * Returns 0, or -ENOSPC when the table has no room.
 */
MUST_CHECK int cpuid_override_apply(const struct cpuid_override *o, unsigned int nr, unsigned int index,
				    struct cpuid_table *table);

#endif
