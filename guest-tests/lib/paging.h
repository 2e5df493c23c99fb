/* More identity mapping: start.S maps the first 4 GiB, this the rest up to 512 GiB. */
#ifndef GUEST_PAGING_H
#define GUEST_PAGING_H

#include <stdbool.h>
#include <stdint.h>

/* Identity-map [start, start + bytes) with 2 MiB pages, write-back. Bails out past 512 GiB or 8 GiB in all. */
void paging_map(uint64_t start, uint64_t bytes);
/* Map every GiB that [start, start + bytes) touches as one page, but not the one below 4 GiB, where devices live.
 * Returns false, and changes nothing, if the CPU has no such pages. Bails out past 512 GiB. */
bool paging_map_1g(uint64_t start, uint64_t bytes);

#endif
