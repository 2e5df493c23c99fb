/*
 * Guest RAM: which guest-physical ranges there are, what backs them, and the KVM slots.
 */
#ifndef TRELLIS_MEMORY_H
#define TRELLIS_MEMORY_H

#include "vmm/base/gmem.h"
#include "vmm/kvm.h"

/* One mapping of ours; a NUMA node will be one of these. */
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

/* Give every range to the guest, one KVM slot each. Call once, after memory_init(). */
MUST_CHECK int memory_attach(struct memory *mem, struct kvm *kvm, struct err *e);

#endif
