/*
 * The two halves of the Multiboot loader to each other: multiboot.c and multiboot_sections.c.
 */
#ifndef TRELLIS_FIRMWARE_MULTIBOOT_H
#define TRELLIS_FIRMWARE_MULTIBOOT_H

#include "firmware/boot_internal.h"
#include "vmm/base/buf.h"

/* The section header table for the information block; headers empty: nothing to tell. */
struct multiboot_sections {
	struct buf headers; /* owned; as in the file, with sh_addr of what was loaded for it */
	uint32_t nr, entry_bytes;
	uint32_t names; /* index of the section with the names */
};

/*
 * Claim RAM for len bytes above the image and everything else that is taken; where there is none, lower, but
 * not below 1 MiB.
 * gpa  receives the address, page aligned
 * Returns 0; -ENOSPC without a sentence.
 */
MUST_CHECK int multiboot_place_above(struct boot_ctx *c, uint64_t len, const char *name, uint64_t *gpa);

/*
 * Read the section header table, and load symbol and string tables above everything else (Multiboot
 * 0.6.96, 3.3, flag 5). A file without a usable table, or RAM without room, is no error: kernels
 * need it for nothing but names.
 * out  receives the table; its buf is to be released by the caller in any case
 * Returns 0; a negative errno with a sentence when reading failed.
 */
MUST_CHECK int multiboot_load_sections(struct boot_ctx *c, const struct elf *elf,
				       struct multiboot_sections *out, struct err *e);

#endif
