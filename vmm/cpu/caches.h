/*
 * The guest's caches: what --cache says, else what a layout says, else the host's sizes, shared as the shape
 * has it. CPUID and SMBIOS tell the guest of them.
 */
#ifndef TRELLIS_CPU_CACHES_H
#define TRELLIS_CPU_CACHES_H

#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/layout.h"

enum { CACHE_SLOTS = 6, CACHE_MAX_WAYS = 1024 };
#define CACHE_MAX_BYTES (2 * GIB)

/* What --cache can name. */
struct cache_slot {
	const char *name;
	uint8_t level;
	enum cache_type type;
};

extern const struct cache_slot cache_slots[CACHE_SLOTS];

/* One cache of --cache. */
struct cache_wish {
	bool said, off;
	uint64_t bytes;
	unsigned int ways, line;             /* 0: not said */
	int shared;                          /* enum topo_level, or -1: not said */
};

struct cache_spec {
	struct cache_wish slot[CACHE_SLOTS];
};

/*
 * cache_spec.c: parse "l1d=48K,l2=2M:16/core,l3=off": SIZE[:WAYS[:LINE]][/LEVEL].
 * Returns 0 or -EINVAL with a sentence.
 */
MUST_CHECK int cache_spec_parse(struct cache_spec *spec, const char *arg, struct err *e);

/*
 * Fill t->cache and every vCPU's instances.
 * spec    what the user said
 * layout  NULL, or the layout that t was made from
 * host    the processor whose sizes are taken for what is not said
 * Returns 0; -EINVAL with a sentence when a size cannot be made, or when APIC ids cannot tell who shares a cache.
 */
MUST_CHECK int caches_place(struct topology *t, const struct cache_spec *spec, const struct layout *layout,
			    const struct cpuid_table *host, struct err *e);

/* "L1d", "L1i", "L2": buf at least 8 bytes. Returns buf. */
const char *cache_name(const struct topo_cache *c, char *buf, size_t len);

#endif
