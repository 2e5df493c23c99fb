/*
 * What operating systems and tools make of the topology leaves: one interpreter for each, which knows the leaves
 * alone and not the shape that was asked for. The rules are theirs (Linux v6.1 and v6.12, arch/x86/kernel/cpu/,
 * arch/x86/kernel/smpboot.c; hwloc 2.9, hwloc/topology-x86.c), quirks included. Windows' are not published: its
 * reader does what Intel's and AMD's manuals tell software to do, and Windows' documented results allow.
 */
#ifndef TRELLIS_VIEW_READERS_H
#define TRELLIS_VIEW_READERS_H

#include "vmm/view/leaves.h"

enum reader {
	READER_LINUX_6_1,  /* up to 6.8 */
	READER_LINUX_6_12, /* from 6.9 */
	READER_HWLOC_2_9,  /* its x86 back end; on a live Linux hwloc goes by sysfs */
	READER_HWLOC_NEW,  /* one that knows 80000026H */
	READER_WINDOWS,
	READER_LEGACY, /* leaves 1, 4 and 80000008 alone, 8-bit ids: XP, Server 2003 and their age */
	NR_READERS
};

enum read_set {
	READ_PACKAGE,
	READ_DIE,
	READ_MODULE,
	READ_CORE,
	READ_L1D,
	READ_L1I,
	READ_L2,
	READ_L3,
	READ_L4,
	NR_READ_SETS
};

enum { NR_READ_IDS = READ_CORE + 1 };

#define READ_NO_ID  UINT32_MAX
#define READ_NO_SET UINT16_MAX

/* Things in which a reader goes wrong, or gives up. */
enum read_quirk {
	READ_QUIRK_SINGLE = 1 << 0,     /* Linux 6.1: takes the machine for one without cores and threads */
	READ_QUIRK_MODULE_DIE = 1 << 1, /* Linux 6.1: die ids hold the module's bits */
	READ_QUIRK_L3_BY_8 = 1 << 2,    /* Linux: L3 is the APIC id >> 3, whatever 8000001D says */
	READ_QUIRK_HT = 1 << 3,         /* Linux 6.1 on AMD: HTT without CmpLegacy means Intel's rules */
	READ_QUIRK_SAME_ID = 1 << 4,    /* two vCPUs have one APIC id; hwloc then shows nothing */
	READ_QUIRK_NO_TOPOEXT = 1 << 5, /* AMD without TOPOEXT: no threads, no sharing of small caches */
	READ_QUIRK_EMPTY_1F = 1 << 6, /* leaf 0 reaches 1F and 1F is empty: hwloc does not fall back to 0B */
	READ_QUIRK_SHIFTS = 1 << 7,   /* Linux 6.9: not all vCPUs tell the boot processor's shifts */
};

struct reading {
	unsigned int nr; /* vCPUs */
	uint32_t leaf;   /* the leaf which told the levels: 0x1f, 0xb, 0x80000026, 4 or 1 */
	unsigned int core_shift, package_shift;
	unsigned int quirks;       /* enum read_quirk */
	bool knows[NR_READ_SETS];  /* does this reader have such a thing at all? */
	uint32_t *id[NR_READ_IDS]; /* owned; the number it shows, or READ_NO_ID */
	uint16_t *set
		[NR_READ_SETS]; /* owned; the first vCPU that is put together with this one, or READ_NO_SET */
	unsigned int sets[NR_READ_SETS]; /* how many there are */
};

/*
 * Read nr vCPUs (1 to TOPO_MAX_CPUS; the boot processor first) as this reader would.
 * Returns 0 or -ENOMEM; reading_fini() is safe either way, and on an all-zero struct.
 */
MUST_CHECK int reading_make(struct reading *r, enum reader reader, const struct leaves *cpu, unsigned int nr);
void reading_fini(struct reading *r);

/* "Linux <= 6.8" and so on; "package", "die" ... "L3 cache". */
const char *reader_name(enum reader reader);
const char *read_set_name(enum read_set set);

/* The cache in leaf 4 or 8000001D that this set is about (READ_L1D to READ_L4); NULL when there is none. Borrowed. */
const struct regs *read_cache_find(const struct leaves_caches *list, enum read_set set);

/* Do two readings put the same vCPUs together? Both of the same nr. */
bool reading_same_sets(const struct reading *a, const struct reading *b, enum read_set set);

#endif
