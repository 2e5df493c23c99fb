/*
 * What the readers of layouts have in common: layout.c for layout_file.c, layout_host.c and layout_hwloc.c.
 */
#ifndef TRELLIS_CPU_LAYOUT_INTERNAL_H
#define TRELLIS_CPU_LAYOUT_INTERNAL_H

#include "vmm/cpu/layout.h"

/*
 * Read a whole file as text.
 * limit  largest size in bytes
 * text   receives memory to free(), with a NUL behind the len bytes; NULL on failure
 * Returns 0, or a negative errno with a sentence that names the path (-EFBIG: larger than limit).
 */
MUST_CHECK int layout_read_text(const char *path, size_t limit, char **text, size_t *len, struct err *e);

/*
 * The number of the kind of cache that is like c, sharing aside; added when it is new. All vCPUs that are there
 * get LAYOUT_NONE for a new kind.
 * Returns the index, or -ENOSPC.
 */
MUST_CHECK int layout_cache_kind(struct layout *l, const struct topo_cache *c);

/*
 * Place vCPU i, of which level tells the largest unit that is not the one of vCPU i - 1: its number there is
 * one more, and 0 in all smaller units. vCPU 0 is the first of everything.
 */
void layout_place_next(struct layout *l, unsigned int i, enum topo_level level);

/*
 * Make modules of cores that share a cache inside a die, where nobody told of modules: of a level-2 cache as
 * Intel's efficiency cores have them, else of a level-3 cache, which AMD calls a core complex. CPUID tells sharing
 * by the bits of APIC ids, and without a level of their own such cores would have no bits. For that reason
 * modules that share a level-3 cache with not all of the die's begin at a number that is a power of two.
 *
 * vCPUs must be in the order of their places, numbered by layout_place_next(), with all modules 0; they may be
 * put into another order. Returns 0 or -ENOMEM with a sentence.
 */
MUST_CHECK int layout_find_modules(struct layout *l, struct err *e);

/*
 * Say of each kind of cache which level shares it (the smallest whose units hold all sharers, and not less than
 * a core), and of which type of core it is, from what the vCPUs say; and put the kinds in order.
 */
void layout_describe_caches(struct layout *l);

/*
 * Are these fit to be a SLIT: 10 for a node itself, more for others (ACPI 6.5, 5.2.17)? Hosts whose firmware
 * says nothing useful exist.
 */
bool layout_distances_fit(const uint8_t *distance, unsigned int nr);

#endif
