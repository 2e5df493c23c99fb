/*
 * CPUID as a guest reads it: what the instruction answers for any leaf, all leaves in order, and the few registers
 * about topology of one vCPU, small enough to keep for thousands of them.
 */
#ifndef TRELLIS_VIEW_LEAVES_H
#define TRELLIS_VIEW_LEAVES_H

#include "vmm/cpu/cpuid.h"

struct regs {
	uint32_t eax, ebx, ecx, edx;
};

enum vendor { VENDOR_OTHER, VENDOR_INTEL, VENDOR_AMD, VENDOR_HYGON, VENDOR_ZHAOXIN };

enum { LEAVES_LEVELS = 8, LEAVES_CACHES = 16 };

#define LEAVES_NO_APIC_ID UINT32_MAX

/* Sub-leaves of one leaf, without the one that ends them. */
struct leaves_levels {
	unsigned int nr;
	struct regs sub[LEAVES_LEVELS];
};

struct leaves_caches {
	unsigned int nr;
	struct regs sub[LEAVES_CACHES];
};

struct leaves {
	enum vendor vendor;
	unsigned int family, model, stepping;
	uint32_t max_basic, max_extended;  /* max_extended: 0 when there are no extended leaves */
	struct regs l1, l1a, l7;           /* leaves 1, 1A, 7.0 */
	struct regs e1, e5, e6, e8, e1e;   /* 80000001 and so on; zero when out of range */
	struct leaves_levels lb, l1f, e26; /* 0B, 1F, 80000026; empty when out of range */
	struct leaves_caches l4, e1d;      /* 4, 8000001D; empty when out of range */
	uint32_t apic_id;                  /* what the APIC itself says, or LEAVES_NO_APIC_ID */
};

/*
 * What CPUID answers in a guest with this table, by KVM's rules (arch/x86/kvm/cpuid.c, v6.12, kvm_cpuid()): an
 * Intel-style guest that asks above the highest leaf gets the highest basic leaf, an AMD-style one zeros; a
 * missing sub-leaf of 0B and 1F keeps ECX[7:0] and the x2APIC id.
 */
struct regs leaves_answer(const struct cpuid_table *table, uint32_t leaf, uint32_t index);

/* Do sub-leaves matter for this leaf in this table? */
bool leaves_indexed(const struct cpuid_table *table, uint32_t leaf);

/*
 * Call each(ctx, leaf, index, indexed, regs) for all leaves that a reader finds when it goes by the maxima in
 * leaves 0, 40000000 (only with the hypervisor bit) and 80000000: rising leaves and sub-leaves, the sub-leaf that
 * ends a list included.
 */
void leaves_each(const struct cpuid_table *table,
		 void (*each)(void *ctx, uint32_t leaf, uint32_t index, bool indexed,
			      const struct regs *regs),
		 void *ctx);

/* Pick what struct leaves holds. apic_id: of the vCPU's APIC, or LEAVES_NO_APIC_ID. */
void leaves_read(const struct cpuid_table *table, uint32_t apic_id, struct leaves *out);

/* Pieces of a sub-leaf of 0B, 1F and 80000026. */
static inline unsigned int level_type(const struct regs *r)
{
	return (r->ecx >> 8) & 0xff;
}

static inline unsigned int level_shift(const struct regs *r)
{
	return r->eax & 0x1f;
}

static inline unsigned int level_cpus(const struct regs *r)
{
	return r->ebx & 0xffff;
}

/* Pieces of a sub-leaf of 4 and 8000001D. */
static inline unsigned int cache_type_of(const struct regs *r)
{
	return r->eax & 0x1f;
}

static inline unsigned int cache_level_of(const struct regs *r)
{
	return (r->eax >> 5) & 7;
}

static inline unsigned int cache_sharing(const struct regs *r)
{
	return ((r->eax >> 14) & 0xfff) + 1;
}

uint64_t cache_bytes(const struct regs *r);

/* The smallest n with 1 << n >= v; 0 for v of 0 and 1. */
unsigned int bits_for(unsigned int v);

#endif
