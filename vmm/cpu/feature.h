/*
 * The features of processors by name: where CPUID tells them, and what each needs.
 */
#ifndef TRELLIS_CPU_FEATURE_H
#define TRELLIS_CPU_FEATURE_H

#include "vmm/cpu/cpuid.h"

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

struct feature {
	const char *name;          /* as in Linux's /proc/cpuinfo (v6.12), where that has it */
	const char *alias;         /* other names, separated by blanks: QEMU's, libvirt's, the vendors'; or NULL */
	uint32_t leaf, index;
	uint8_t reg, bit;          /* enum cpuid_reg */
	const char *needs;         /* names of features that must be there, separated by blanks; or NULL */
};

/* All features; the order is by leaf, index, register and bit. Ends with an entry whose name is NULL. */
extern const struct feature features[];

/* By name or alias, '-' and '_' and case being alike; NULL when unknown. */
const struct feature *feature_find(const char *name);

/* The known name that is most like this one, for messages; NULL when nothing is near. */
const char *feature_nearest(const char *name);

/* Is it in the table? / Put it there or take it out (adds a missing entry; returns -ENOSPC when that fails). */
bool feature_get(const struct cpuid_table *table, const struct feature *f);
MUST_CHECK int feature_set(struct cpuid_table *table, const struct feature *f, bool on);

/* A register of an entry. */
uint32_t cpuid_reg_get(const struct kvm_cpuid_entry2 *c, enum cpuid_reg reg);
void cpuid_reg_set(struct kvm_cpuid_entry2 *c, enum cpuid_reg reg, uint32_t value);

#endif
