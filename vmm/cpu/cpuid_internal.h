/*
 * Editing tables: for cpuid*.c, and model*.c.
 */
#ifndef TRELLIS_CPU_CPUID_INTERNAL_H
#define TRELLIS_CPU_CPUID_INTERNAL_H

#include "vmm/cpu/cpuid.h"

/* As cpuid_get(), for writing. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t leaf, uint32_t index);

/* Take out every entry of a leaf. */
void cpuid_drop(struct cpuid_table *table, uint32_t leaf);

/* Append an all-zero entry; index -1: the leaf has no sub-leaves. NULL when the table is full. */
struct kvm_cpuid_entry2 *cpuid_add(struct cpuid_table *table, uint32_t leaf, int index);

#endif
