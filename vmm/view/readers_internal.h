/*
 * Between readers.c, readers_linux.c and readers_tools.c: how a reader hands over what it found of one vCPU.
 */
#ifndef TRELLIS_VIEW_READERS_INTERNAL_H
#define TRELLIS_VIEW_READERS_INTERNAL_H

#include "vmm/view/readers.h"

enum { KEY_PARTS = 5 };

/* vCPUs with equal keys belong together. */
struct read_key {
	uint32_t part[KEY_PARTS];
	uint16_t cpu;
	bool none; /* it has no such thing */
};

/* What a reader derives of each vCPU before it puts them together. */
struct read_cpu {
	uint32_t apic_id, package, die, module, core, node, llc;
};

/* key is called for each vCPU; then equal keys are put together. Returns 0 or -ENOMEM. */
MUST_CHECK int reading_group(struct reading *r, enum read_set set,
			     void (*key)(const void *ctx, unsigned int cpu, struct read_key *key),
			     const void *ctx);

/* Each reads into cpu[] (nr of them), fills r but for sets and ids, and makes the sets. */
MUST_CHECK int read_linux_6_1(struct reading *r, const struct leaves *l, struct read_cpu *cpu);
MUST_CHECK int read_linux_6_12(struct reading *r, const struct leaves *l, struct read_cpu *cpu);
MUST_CHECK int read_hwloc(struct reading *r, const struct leaves *l, struct read_cpu *cpu, bool knows_26);
MUST_CHECK int read_windows(struct reading *r, const struct leaves *l, struct read_cpu *cpu, bool legacy);

#endif
