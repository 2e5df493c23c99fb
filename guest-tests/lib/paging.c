/* Page directories above 4 GiB, for ring 3 too. Nothing is ever unmapped. */
#include "lib/paging.h"
#include "lib/cpu.h"
#include "lib/tap.h"

extern uint64_t page_pdpt[512];

static uint64_t directories[8][512] __attribute__((aligned(4096)));
static unsigned int nr_directories;

/* NULL if the GiB is one page already. */
static uint64_t *paging_directory(uint64_t gib)
{
	if (gib >= 512)
		tap_bail("cannot map %lu GiB: only one PML4 entry is used", gib);
	if (!(page_pdpt[gib] & 1)) {
		if (nr_directories == 8)
			tap_bail("out of page directories");
		page_pdpt[gib] = (uint64_t)directories[nr_directories++] | 7;
	}
	return page_pdpt[gib] & 0x80 ? NULL : (uint64_t *)(page_pdpt[gib] & ~0xfffULL);
}

void paging_map(uint64_t start, uint64_t bytes)
{
	for (uint64_t page = start & ~0x1fffffULL; page < start + bytes; page += 0x200000) {
		uint64_t *directory = paging_directory(page >> 30);

		if (directory && !directory[(page >> 21) & 511])	/* not-present before: nothing to flush (SDM 3A, 4.10.4.3) */
			directory[(page >> 21) & 511] = page | 0x87;
	}
}

bool paging_map_1g(uint64_t start, uint64_t bytes)
{
	/* AMD APM vol. 3, appendix E.4.2: leaf 80000001H, EDX bit 26, Page1GB. */
	if (cpu_cpuid(0x80000000, 0).eax < 0x80000001 || !(cpu_cpuid(0x80000001, 0).edx >> 26 & 1))
		return false;
	for (uint64_t page = start & ~0x3fffffffULL; page < start + bytes; page += 0x40000000) {
		if (page >> 30 >= 512)
			tap_bail("cannot map %lu GiB: only one PML4 entry is used", page >> 30);
		if (page >> 30 != 3)
			page_pdpt[page >> 30] = page | 0x87;
	}
	/* What was there has been replaced (SDM vol. 3A, 4.10.4.1). */
	__asm__ volatile("movq %%cr3, %%rax; movq %%rax, %%cr3" : : : "rax", "memory");
	return true;
}
