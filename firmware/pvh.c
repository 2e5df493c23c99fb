/*
 * PVH: ELF kernels which say in a note where their 32-bit entry is, and read hvm_start_info (version 1,
 * xen/include/public/arch-x86/hvm/start_info.h, Xen 4.19; the entry state is in docs/misc/pvh.pandoc).
 * All initrds are one module, because that is the only one that Linux reads.
 */
#include "firmware/boot_internal.h"

#include <errno.h>
#include <inttypes.h>

#define START_MAGIC 0x336ec578u

enum {
	START_VERSION = 4,
	START_NR_MODULES = 12,
	START_MODLIST_PADDR = 16,
	START_CMDLINE_PADDR = 24,
	START_RSDP_PADDR = 32,
	START_MEMMAP_PADDR = 40,
	START_MEMMAP_ENTRIES = 48,
	START_BYTES = 56,

	MODULE_AT = 64, /* in our page: paddr, size, cmdline_paddr, reserved; 8 bytes each */
	MODULE_BYTES = 32,
	MEMMAP_AT = 128, /* addr, size, type, reserved */
	MEMMAP_BYTES = 24,
};

_Static_assert(START_BYTES <= MODULE_AT && MODULE_AT + MODULE_BYTES <= MEMMAP_AT, "pieces of the page");
_Static_assert(MEMMAP_AT + PLATFORM_MAX_RANGES * MEMMAP_BYTES <= BOOT_PARAMS_BYTES, "the map fits");

static void fill_page(const struct boot_ctx *c, const struct place_span *initrd, uint8_t *page)
{
	const struct platform *p = c->rq->platform;
	unsigned int nr = MIN(p->nr_map, (unsigned int)PLATFORM_MAX_RANGES);

	put_le32(page, START_MAGIC);
	put_le32(page + START_VERSION, 1);
	put_le64(page + START_CMDLINE_PADDR, BOOT_CMDLINE);
	put_le64(page + START_RSDP_PADDR, c->rq->rsdp);
	put_le64(page + START_MEMMAP_PADDR, BOOT_PARAMS + MEMMAP_AT);
	put_le32(page + START_MEMMAP_ENTRIES, nr);
	if (initrd->len) {
		put_le32(page + START_NR_MODULES, 1);
		put_le64(page + START_MODLIST_PADDR, BOOT_PARAMS + MODULE_AT);
		put_le64(page + MODULE_AT, initrd->start);
		put_le64(page + MODULE_AT + 8, initrd->len);
	}
	for (unsigned int i = 0; i < nr; i++) {
		uint8_t *entry = page + MEMMAP_AT + i * MEMMAP_BYTES;

		put_le64(entry, p->map[i].start);
		put_le64(entry + 8, p->map[i].len);
		put_le32(entry + 16, p->map[i].type);
	}
}

int pvh_load(struct boot_ctx *c, const struct elf *elf, struct err *e)
{
	/* 32-bit Linux reads no initrd above this (initrd_addr_max, boot.rst, v6.12). */
	uint64_t ceiling = elf->is64 ? 4 * GIB : 0x38000000;
	uint8_t page[BOOT_PARAMS_BYTES] = { 0 };
	struct place_span initrd;
	int rc;

	if (!elf_has_paddr(elf, elf->pvh_entry))
		return boot_refuse(
			c, e, "is an ELF file whose PVH entry point 0x%" PRIx64 " is in none of its segments",
			elf->pvh_entry);
	if ((rc = boot_reserve_low(c, e)) < 0 || (rc = elf_load(c, elf, e)) < 0 ||
	    (rc = boot_put_cmdline(c, UINT64_MAX, e)) < 0 || (rc = initrd_load(c, ceiling, &initrd, e)) < 0)
		return rc;
	fill_page(c, &initrd, page);
	c->entry->mode = BOOT_PVH;
	c->entry->rip = elf->pvh_entry;
	c->entry->info = BOOT_PARAMS;
	c->entry->what = elf->is64 ? "PVH ELF64" : "PVH ELF32";
	return boot_put(c, BOOT_PARAMS, page, sizeof(page), e);
}
