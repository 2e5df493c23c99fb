/*
 * Guest RAM: which guest-physical ranges there are, what backs them, and the KVM slots. NUMA nodes follow each
 * other in it, from address 0, each with the memory that struct topo_node says; one that reaches into the hole below
 * 4 GiB goes on behind it.
 */
#ifndef TRELLIS_MEMORY_H
#define TRELLIS_MEMORY_H

#include "firmware/platform.h"
#include "vmm/base/gmem.h"
#include "vmm/base/topology.h"
#include "vmm/kvm.h"

/* One mapping of ours. */
struct memory_backing {
	uint8_t *hva;   /* owned */
	uint64_t bytes;
};

struct memory {
	struct gmem gmem;
	struct memory_backing backing; /* all of RAM: [0, low) then [4 GiB, ...) */
	uint64_t low_bytes;            /* RAM below 4 GiB */
	uint64_t high_bytes;           /* RAM from 4 GiB up */
};

enum { MEMORY_MIN_BYTES = 2 << 20 };

/* The largest RAM that an address width of phys_bits leaves room for, in bytes. */
uint64_t memory_max_bytes(unsigned int phys_bits);

/*
 * Map bytes (a multiple of 4 KiB) of RAM and lay it out: from 0 to at most MAP_LOW_RAM_MAX, the rest
 * from MAP_HIGH_RAM_BASE. Untouched pages cost nothing. Needs no KVM.
 * Returns 0 or a negative errno with a sentence. memory_fini() is safe on an all-zero struct.
 */
MUST_CHECK int memory_init(struct memory *mem, uint64_t bytes, struct err *e);
void memory_fini(struct memory *mem);

/*
 * Which RAM is in which node, by rising address, as memory_init() lays ram_bytes out: for struct platform.
 * t    its nodes' memory should add up to ram_bytes; what is more is cut off
 * map  receives at most PLATFORM_MAX_NODE_RANGES ranges
 * Returns their number; 0 without nodes. Pure.
 */
unsigned int memory_node_map(const struct topology *t, uint64_t ram_bytes, struct node_range *map);

/*
 * Can the host's nodes that t names give memory? For --check, and before memory_bind(). Needs no KVM, no RAM.
 * sysfs  "/sys" but in tests
 * Returns 0; -EINVAL (usage) with a sentence that says which nodes can.
 */
MUST_CHECK int memory_check_host_nodes(const struct topology *t, const char *sysfs, struct err *e);

/*
 * Have each node's RAM come from the host's nodes it names, by its policy (mbind(2)); nodes that name none are left
 * alone. Once, after memory_init() and before anything is written to RAM: pages that are there do not move.
 * Returns 0; -EINVAL (usage) as memory_check_host_nodes(); a negative errno with a sentence.
 */
MUST_CHECK int memory_bind(struct memory *mem, const struct topology *t, struct err *e);

/* Give every range to the guest, one KVM slot each. Call once, after memory_init(). */
MUST_CHECK int memory_attach(struct memory *mem, struct kvm *kvm, struct err *e);

#endif
