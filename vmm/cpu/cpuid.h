/*
 * The guest's CPUID: what KVM supports on this host, with the topology leaves of our own shape.
 * Everything but cpuid_read_host() is pure. Sources: Intel SDM volume 2A, CPUID (June 2024, 253666-084);
 * AMD APM volume 3, appendix E (24594, revision 3.36).
 */
#ifndef TRELLIS_CPU_CPUID_H
#define TRELLIS_CPU_CPUID_H

#include <linux/kvm.h>

#include "vmm/base/err.h"
#include "vmm/base/topology.h"

enum { CPUID_MAX_ENTRIES = 256 }; /* KVM takes no more */

/* As struct kvm_cpuid2, with room for every entry: KVM ioctls take its address. */
struct cpuid_table {
	uint32_t nent;
	uint32_t padding;
	struct kvm_cpuid_entry2 entry[CPUID_MAX_ENTRIES];
};

_Static_assert(offsetof(struct cpuid_table, entry) == sizeof(struct kvm_cpuid2), "layout of kvm_cpuid2");

/* Which vendor's way of telling topology applies. */
enum cpuid_style { CPUID_INTEL, CPUID_AMD };

/* What KVM on this host can give guests. kvm_fd is /dev/kvm. Returns 0 or a negative errno with a sentence. */
MUST_CHECK int cpuid_read_host(int kvm_fd, struct cpuid_table *table, struct err *e);

/* By vendor string: AMD and Hygon use AMD's leaves, all others Intel's. */
enum cpuid_style cpuid_style(const struct cpuid_table *table);

/* The entry of a leaf and, where it has them, of a sub-leaf; NULL when there is none. Borrowed. */
const struct kvm_cpuid_entry2 *cpuid_get(const struct cpuid_table *table, uint32_t leaf, uint32_t index);

/* Vendor (13 bytes), brand (49 bytes) as strings; brand is "" when there is none. */
void cpuid_vendor(const struct cpuid_table *table, char out[13]);
void cpuid_brand(const struct cpuid_table *table, char out[49]);

/* Width of guest-physical addresses in bits; 36 when the table does not say. */
unsigned int cpuid_phys_bits(const struct cpuid_table *table);

/*
 * Fill t->cache with the host's caches: their sizes, ways and lines, but shared as our shape says
 * (levels 1 and 2 by core, level 3 by die), never as the host shares them.
 */
void cpuid_fill_caches(const struct cpuid_table *host, struct topology *t);

/*
 * Turn the host's table into the guest's: topology and cache leaves replaced, features that are not
 * offered taken out. tsc_deadline: KVM's timer has that mode. Values of single vCPUs are left 0.
 * Returns 0; -ENOSPC with a sentence when the table has too many entries.
 */
MUST_CHECK int cpuid_build(struct cpuid_table *table, const struct topology *t, bool tsc_deadline, struct err *e);

/* Write one vCPU's own values (its APIC id, core and node) into a table made by cpuid_build(). */
void cpuid_set_place(struct cpuid_table *table, const struct topology *t, const struct topo_cpu *place);

#endif
