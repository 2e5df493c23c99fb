/*
 * --memory: how much RAM, and what is behind it. `trellis run` and `trellis topology` share it.
 */
#ifndef TRELLIS_CPU_MEMORY_OPTIONS_H
#define TRELLIS_CPU_MEMORY_OPTIONS_H

#include "vmm/base/opt.h"

enum memory_pages { MEMORY_PAGES_UNSAID, MEMORY_PAGES_2M, MEMORY_PAGES_1G };
enum memory_thp { THP_MADVISE, THP_ALWAYS, THP_NEVER };
enum memory_switch { MEMORY_UNSAID, MEMORY_ON, MEMORY_OFF };

enum { MEMORY_MAX_THREADS = 64 };

struct memory_options {
	uint64_t bytes;            /* SIZE */
	bool said;                 /* SIZE was */
	int hugepages;             /* enum memory_pages */
	char *path;                /* path=: a directory on a hugetlbfs, or NULL; owned, as all here */
	int thp;                   /* enum memory_thp */
	int prealloc;              /* enum memory_switch; hugepages= implies it */
	unsigned int threads;      /* of prealloc; 0: as many as there are CPUs to run on, and reason */
	bool lock;
	int merge;                 /* enum memory_switch */
	bool dump;                 /* guest RAM is part of core dumps */
	bool share;
	char *file;                /* file=, or NULL */
	uint64_t hard_limit_bytes; /* 0: none */
};

extern const struct opt_key memory_keys[]; /* for help; offsets are of struct memory_options */

void memory_options_init(struct memory_options *o); /* the defaults */
void memory_options_fini(struct memory_options *o);

/*
 * Parse the argument of --memory into o, over what is there: given twice, later keys win, as for QEMU's -m.
 * Returns 0, or -EINVAL (usage) with a sentence: unknown words, what cannot be had together (hugepages= with thp=,
 * merge=on or file=; merge=on with share=on, file= or hugepages=; path= with file=; threads= without prealloc=on), a
 * size that is no multiple of the pages'.
 */
MUST_CHECK int memory_options_parse(struct memory_options *o, const char *arg, struct err *e);

/*
 * Is RAM of bytes bytes made of whole pages of that size, a power of two?
 * Returns 0, or -EINVAL (usage) with a sentence that names the nearest sizes.
 */
MUST_CHECK int memory_options_check_size(uint64_t bytes, uint64_t page_bytes, struct err *e);

/* The size of huge pages that o asks for by its name: 2 MiB, 1 GiB, or 0. path= alone is not looked at. */
uint64_t memory_options_page_bytes(const struct memory_options *o);

#endif
