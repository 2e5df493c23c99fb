/*
 * Reading raw CPUID dumps: what `cpuid -r` and `cpuid -1 -r` print, and --format cpuid. The file is anybody's: its
 * size, lines and numbers are bounded, and what is not a dump is refused with file and line.
 */
#ifndef TRELLIS_VIEW_DUMP_READ_H
#define TRELLIS_VIEW_DUMP_READ_H

#include "vmm/view/leaves.h"

struct dump {
	struct leaves *cpu;        /* owned; nr_cpus */
	unsigned int nr_cpus;      /* at least 1, at most TOPO_MAX_CPUS */
	bool one_of_many;          /* `cpuid -1`: the others were not asked */
	struct cpuid_table *first; /* owned; all leaves of the first */
};

/*
 * path  a file, or "-" for standard input
 * Returns 0; -EINVAL (usage) with a sentence that begins "FILE:LINE: "; another negative errno with a sentence.
 * dump_fini() is safe either way, and on an all-zero struct.
 */
MUST_CHECK int dump_read(struct dump *d, const char *path, struct err *e);
void dump_fini(struct dump *d);

#endif
