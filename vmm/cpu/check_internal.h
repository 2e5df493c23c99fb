/*
 * Between check.c, check_leaves.c, check_caches.c, check_sets.c, check_overrides.c and check_tables.c.
 *
 * The checker decodes CPUID anew: nothing here may use the shifts of struct topology, which only says what was asked.
 */
#ifndef TRELLIS_CPU_CHECK_INTERNAL_H
#define TRELLIS_CPU_CHECK_INTERNAL_H

#include "vmm/cpu/check.h"

enum { CHECK_SUBS = 8, CHECK_CACHES = 20, CHECK_CLASSES = 17, CHECK_SHIFTS = 32, CHECK_SENTENCES = 64 };

#define CHECK_UNKNOWN 0xff /* a shift which no leaf tells */

/* The leaves that list levels: B and 1F both vendors', 80000026 AMD's. */
enum { LEVELS_B, LEVELS_1F, LEVELS_26, NR_LEVELS_LEAVES };

/* One vCPU's entries as KVM finds them for the guest, the first that fits; NULL: none. Borrowed. */
struct check_leaves {
	const struct kvm_cpuid_entry2 *basic, *one, *seven, *type;              /* 0, 1, 7, 1A */
	const struct kvm_cpuid_entry2 *ext, *ext1, *ext5, *ext6, *ext8, *ext1e; /* 80000000, 80000001 ... */
	const struct kvm_cpuid_entry2 *kvm, *kvm1;                              /* 40000000, 40000001 */
	const struct kvm_cpuid_entry2 *level[NR_LEVELS_LEAVES][CHECK_SUBS];     /* by sub-leaf */
	const struct kvm_cpuid_entry2 *cache[2][CHECK_CACHES];                  /* 4, 8000001D */
	bool amd; /* AMD's and Hygon's leaves count */
};

/* What one leaf of levels tells; nr 0: it is not there, or a guest does not get as far as reading it. */
struct check_levels {
	uint8_t nr;
	uint8_t shift[CHECK_SUBS], type[CHECK_SUBS];
};

/* What one vCPU's leaves tell, for the comparison with the other vCPUs'. */
struct check_seen {
	uint32_t max_basic, max_ext;
	struct check_levels levels[NR_LEVELS_LEAVES];
	uint8_t shift[NR_TOPO_LEVELS]; /* where units begin in the id, or CHECK_UNKNOWN */
	uint8_t nr_caches;
	uint8_t cache_class[CHECK_CACHES], cache_shift[CHECK_CACHES];
	uint32_t cache_bytes[CHECK_CACHES];
	int node;           /* of 8000001E ECX, or -1 */
	unsigned int nodes; /* in a package, by the same */
};

/* A sentence, and for how many vCPUs it holds. */
struct check_sentence {
	const char *fmt; /* with leaf: what is found; borrowed */
	uint32_t leaf;
	unsigned int first, last, nr; /* vCPUs */
	char text[400];
};

struct check_id {
	uint32_t id, cpu;
};

struct check {
	const struct topology *t;         /* borrowed; what was asked */
	struct findings *findings;        /* borrowed */
	unsigned int n;                   /* vCPUs */
	struct check_id *sorted;          /* owned; vCPUs by rising APIC id */
	struct check_seen *seen;          /* owned; by vCPU */
	uint8_t class_key[CHECK_CLASSES]; /* level << 2 | type of a cache; class 0: no cache */
	unsigned int nr_classes;
	uint16_t *size[CHECK_CLASSES][CHECK_SHIFTS]; /* owned; see check_size() */
	bool failed;                                 /* out of memory */
	bool amd;                                    /* vCPU 0's leaves are AMD's */
	bool many;                                   /* some package has more than one processor */
	struct check_sentence *sentence; /* owned; CHECK_SENTENCES, made for the first: usually there is none */
	unsigned int nr_sentences, unheard;
};

/*
 * Note a disagreement. One format string and leaf make one sentence, with the values of the first vCPU that has it
 * and the number of all that do. leaf only tells such places apart.
 */
PRINTF(4, 5) void check_say(struct check *c, unsigned int cpu, uint32_t leaf, const char *fmt, ...);

/* Put what was said into the findings, in the order in which it was first said. */
void check_say_all(struct check *c);

/* A sentence that is about no vCPU, straight into the findings. */
PRINTF(2, 3) void check_note(struct findings *f, const char *fmt, ...);

/*
 * How many vCPUs have the APIC id of this one from bit shift up, itself included.
 * class  0: all are counted; else those that tell of a cache of this class (all vCPUs must have been read)
 */
unsigned int check_size(struct check *c, unsigned int class, unsigned int shift, unsigned int cpu);

/* ceil(log2(n)) for n >= 1: how many bits number n things. */
unsigned int check_bits(uint32_t n);

/* "s", or "" for 1: after a number. */
static inline const char *check_plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

enum { CHECK_BIT_NAMES = 40 };

/* "bits 1 to 3", "bit 1" or "no bit": those from one up to another, which is not among them. Returns buf. */
const char *check_bit_names(unsigned int from, unsigned int end, char buf[CHECK_BIT_NAMES]);

/* check_leaves.c: one vCPU's leaves but for caches, against each other; fills seen. */
void check_leaves(struct check *c, unsigned int cpu, const struct check_leaves *l);

/* check_caches.c: one vCPU's cache leaves; fills seen. Needs its levels. */
void check_caches(struct check *c, unsigned int cpu, const struct check_leaves *l);

/* check_caches.c: who shares which cache, and cores and caches that NUMA nodes divide; after all vCPUs were read. */
void check_sharing(struct check *c);

/* check_overrides.c: what --cpuid and --msr ask for in vain, or against CPUID; straight into the findings. */
void check_overrides(struct processors *p, struct findings *f);

/* check_sets.c: the packages, dies, modules and cores of all vCPUs against those that were asked for. */
void check_units(struct check *c);

/*
 * check_sets.c: does the guest put the vCPU into the same set as was asked for?
 * first  of this set, 0 before its first member is looked at: remembers its id, shifted
 * class, shift  what the guest goes by;  asked  how many are to be in the set
 * Returns how many the guest counts in it when that is wrong, or -1 when others than its members; 0: all is well.
 */
int check_set(struct check *c, unsigned int cpu, unsigned int class, unsigned int shift, uint32_t *first,
	      unsigned int asked);

#endif
