/*
 * The guest's CPUID: what KVM supports on this host, with the topology leaves of our own shape.
 * Everything but what reads the host (cpuid_read_kvm(), cpuid_read_instruction() and their neighbours) is pure.
 * Sources: Intel SDM volume 2A, CPUID (June 2024, 253666-084);
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

/*
 * cpuid_host.c: what KVM on this host can give guests. kvm_fd is /dev/kvm. Returns 0 or a negative errno with a
 * sentence.
 */
MUST_CHECK int cpuid_read_kvm(int kvm_fd, struct cpuid_table *table, struct err *e);

/* cpuid_host.c: what the CPUID instruction says here, in the same form, with KVM's own leaves added. */
void cpuid_read_instruction(struct cpuid_table *table);

/* cpuid_host.c: does this host's KVM interpret what guests do in ring 0, instead of running it? */
bool cpuid_ring0_interpreted(void);

/* By vendor string: AMD and Hygon use AMD's leaves, all others Intel's. */
enum cpuid_style cpuid_style(const struct cpuid_table *table);

/* The entry of a leaf and, where it has them, of a sub-leaf; NULL when there is none. Borrowed. */
const struct kvm_cpuid_entry2 *cpuid_get(const struct cpuid_table *table, uint32_t leaf, uint32_t index);

/* Vendor (13 bytes), brand (49 bytes) as strings; brand is "" when there is none. */
void cpuid_vendor(const struct cpuid_table *table, char out[13]);
void cpuid_brand(const struct cpuid_table *table, char out[49]);

/* Version information, leaf 1 EAX, put together (Intel SDM volume 2A, CPUID, figure 3-6, June 2024). */
struct cpuid_version {
	unsigned int family, model, stepping;
};

static inline struct cpuid_version cpuid_version(uint32_t eax)
{
	struct cpuid_version v = { .family = eax >> 8 & 0xf, .model = eax >> 4 & 0xf, .stepping = eax & 0xf };

	if (v.family == 0x6 || v.family == 0xf)
		v.model |= (eax >> 16 & 0xf) << 4;
	if (v.family == 0xf)
		v.family += eax >> 20 & 0xff;
	return v;
}

/* Width of guest-physical addresses in bits; 36 when the table does not say. */
unsigned int cpuid_phys_bits(const struct cpuid_table *table);

/*
 * The caches that a processor tells of, by rising level; shared by level only (1 and 2 by core, 3 and up by die).
 * A middle-of-the-road server core's when it tells none. Returns their number, at most max.
 */
unsigned int cpuid_read_caches(const struct cpuid_table *host, struct topo_cache *cache, unsigned int max);

/*
 * Replace the topology and cache leaves of a processor's table (leaves 1, 4, B, 1F, 1A, 8000000x, 8000001D ...),
 * with everything that all vCPUs have in common; cpuid_set_place() writes the rest.
 * Returns 0; -ENOSPC with a sentence when the table has too many entries.
 */
MUST_CHECK int cpuid_build(struct cpuid_table *table, const struct topology *t, struct err *e);

/*
 * Write one vCPU's own values (its ids, the sizes of its units, its caches, its core type) into a table made by
 * cpuid_build(); another vCPU's are overwritten.
 */
void cpuid_set_place(struct cpuid_table *table, const struct topology *t, const struct topo_cpu *place);

#endif
