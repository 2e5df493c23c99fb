/*
 * Guest RAM: which guest-physical ranges there are, what backs them, and the KVM slots. NUMA nodes follow each
 * other in it, from address 0, each with the memory that struct topo_node says; one that reaches into the hole below
 * 4 GiB goes on behind it.
 *
 *   memory.c           one mapping, congruent to guest-physical addresses, and KVM's slots
 *   memory_backing.c   what is mapped: anonymous memory, memfd, hugetlbfs, a file; and what the kernel is advised
 *   memory_populate.c  having all of it at once, by several threads
 *   memory_numa.c      which of the host's nodes it comes from, and whether it did
 *   memory_check*.c    whether this host can give it, and the sentences when it cannot
 */
#ifndef TRELLIS_MEMORY_H
#define TRELLIS_MEMORY_H

#include "firmware/platform.h"
#include "vmm/base/gmem.h"
#include "vmm/base/topology.h"
#include "vmm/cpu/memory_options.h"
#include "vmm/base/notes.h"
#include "vmm/host/host_memory.h"
#include "vmm/kvm.h"

/* One mapping of ours. */
struct memory_backing {
	uint8_t *hva;        /* owned */
	uint64_t bytes;
	int fd;              /* owned: memfd or file, mapped shared from its offset 0; -1: anonymous */
	uint64_t page_bytes; /* 4 KiB, or what hugetlb pages have */
	char *created;       /* owned: a file= that we made; removed unless the machine starts; NULL: none */
	bool was_empty;      /* a file= that was there without a byte: emptied again unless the machine starts */
	bool has_room;       /* a file= that has all its blocks */
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
 * Map bytes (a multiple of 4 KiB) of RAM and lay it out: from 0 to at most MAP_LOW_RAM_MAX, the rest from
 * MAP_HIGH_RAM_BASE. Anonymous; untouched pages cost nothing. For checks and tests: needs no KVM, asks nothing of the
 * host. Returns 0 or a negative errno with a sentence. memory_fini() is safe on an all-zero struct.
 */
MUST_CHECK int memory_init(struct memory *mem, uint64_t bytes, struct err *e);

/*
 * As memory_init(), with the backing that o asks for, bound to the host's nodes as t says (mbind(2)), advised, and,
 * where o wants it, locked and populated; the placement of what was populated is read back. Hugetlb pages are always
 * populated: a shortage is an error here, never a signal later. bytes may differ from o->bytes.
 * On a terminal a progress bar is drawn when populating lasts over a second. SIGINT, SIGTERM and SIGHUP end it early
 * (they are blocked, and looked for): -EINTR with a sentence.
 * Returns 0; -EINVAL (usage) or another negative errno with a sentence. Main thread.
 */
MUST_CHECK int memory_open(struct memory *mem, const struct memory_options *o, uint64_t bytes, const struct topology *t,
			   struct err *e);
void memory_fini(struct memory *mem);

/* The machine starts: a file= that was made for it stays. Until then memory_fini() removes it. */
void memory_keep(struct memory *mem);

/*
 * Is there address space for bytes of what o asks for (ulimit -v, the processor's addresses)? It is taken and given back.
 * Returns 0 or a negative errno with the sentence that mapping them would fail with.
 */
MUST_CHECK int memory_check_map(const struct memory_options *o, uint64_t bytes, struct err *e);

/*
 * Could memory_open() give this, now? Adds a sentence to problems for each reason why not, and changes nothing. Of
 * address space: memory_check_map(). memory_open() uses the same sentences for the same causes.
 * root   see vmm/base/sysfile.h
 */
void memory_check(const struct memory_options *o, uint64_t bytes, const struct topology *t, const char *root,
		  struct notes *problems);

/*
 * The part of memory_check() that asks of words, files and nodes, not of how much the host has now: for `run --check`.
 * page_bytes  receives those of the backing
 * Returns whether the host's nodes that t names are there, and may be used.
 */
bool memory_check_words(const struct memory_options *o, uint64_t bytes, const struct topology *t, const char *root,
			uint64_t *page_bytes, struct notes *problems);

/*
 * memory_check_nodes.c: are there enough hugetlb pages, on the nodes where policy bind wants them? The sentence tells
 * how many are needed and free, on each node, and the command that reserves them.
 * Returns 0; -ENOMEM; -EOPNOTSUPP when this host has no pages of that size.
 */
MUST_CHECK int memory_check_pool(const struct host_memory *h, enum host_page size, uint64_t bytes, const struct topology *t,
				 struct err *e);

/*
 * Which RAM is in which node, by rising address, as memory_init() lays ram_bytes out: for struct platform.
 * t    its nodes' memory should add up to ram_bytes; what is more is cut off
 * map  receives at most PLATFORM_MAX_NODE_RANGES ranges
 * Returns their number; 0 without nodes. Pure.
 */
unsigned int memory_node_map(const struct topology *t, uint64_t ram_bytes, struct node_range *map);

/*
 * Can the host's nodes that t names give memory? For --check, and before memory_bind(). Needs no KVM, no RAM.
 * root   see vmm/base/sysfile.h
 * Returns 0; -EINVAL (usage) with a sentence that says which nodes can.
 */
MUST_CHECK int memory_check_host_nodes(const struct topology *t, const char *root, struct err *e);

/*
 * Have each node's RAM come from the host's nodes it names, by its policy (mbind(2)), and read the policy back; nodes
 * that name none are left alone. Part of memory_open(), before anything is written to RAM: pages that are there do
 * not move.
 * Returns 0; -EINVAL (usage) as memory_check_host_nodes(); a negative errno with a sentence.
 */
MUST_CHECK int memory_bind(struct memory *mem, const struct topology *t, struct err *e);

/*
 * Are the pages that are there on the nodes that policy bind allows? Looks at up to 1,024 pages of each guest node
 * (move_pages(2)). Returns 0, or -EXDEV with a sentence: guest node, the host's node found, those asked for.
 */
MUST_CHECK int memory_verify(const struct memory *mem, const struct topology *t, struct err *e);

/*
 * memory_populate.c: have every page of [hva, hva + bytes) by MADV_POPULATE_WRITE (Linux 5.14; without it by writing),
 * on threads threads (0: chosen), this one among them, piece by piece. Part of memory_open(); tools/bench measures it.
 * Returns 0 or a negative errno (-EINTR: a signal asks us to end); no text.
 */
MUST_CHECK int memory_populate(uint8_t *hva, uint64_t bytes, uint64_t page_bytes, unsigned int threads);

/* Give every range to the guest, one KVM slot each. Call once, after memory_init() or memory_open(). */
MUST_CHECK int memory_attach(struct memory *mem, struct kvm *kvm, struct err *e);

#endif
