/* Page directories above 4 GiB. Only 2 MiB pages: not every CPU has 1 GiB ones. Nothing is ever unmapped. */
#include "lib/paging.h"
#include "lib/tap.h"

extern uint64_t page_pdpt[512];

static uint64_t directories[8][512] __attribute__((aligned(4096)));
static unsigned int nr_directories;

static uint64_t *paging_directory(uint64_t gib)
{
	if (gib >= 512)
		tap_bail("cannot map %lu GiB: only one PML4 entry is used", gib);
	if (!(page_pdpt[gib] & 1)) {
		if (nr_directories == 8)
			tap_bail("out of page directories");
		page_pdpt[gib] = (uint64_t)directories[nr_directories++] | 3;
	}
	return (uint64_t *)(page_pdpt[gib] & ~0xfffULL);
}

void paging_map(uint64_t start, uint64_t bytes)
{
	for (uint64_t page = start & ~0x1fffffULL; page < start + bytes; page += 0x200000) {
		uint64_t *directory = paging_directory(page >> 30);

		if (!directory[(page >> 21) & 511])	/* not-present before: nothing to flush (SDM 3A, 4.10.4.3) */
			directory[(page >> 21) & 511] = page | 0x83;
	}
}
