/*
 * SMBIOS 3.x tables, types 0, 1, 4, 7, 16, 17, 19, 32 and 127 (DMTF DSP0134).
 */
#ifndef TRELLIS_FIRMWARE_SMBIOS_H
#define TRELLIS_FIRMWARE_SMBIOS_H

#include "firmware/platform.h"
#include "vmm/base/buf.h"
#include "vmm/base/err.h"

/* Both entry points (64-bit _SM3_ and, while the table allows it, 32-bit _SM_) on 16-byte boundaries. */
enum { SMBIOS_ENTRY_BYTES = 64 };

/* Upper bound of what smbios_build() makes for this platform, in bytes; a multiple of 4 KiB. */
size_t smbios_size_max(const struct platform *p);

/*
 * Build the structure table to lie at guest-physical address base (16-byte aligned, below 4 GiB).
 * out    receives the structures (appended to an empty buffer), at most smbios_size_max() bytes
 * entry  receives the entry points, to be put on a 16-byte boundary in 0xf0000-0xfffff
 * Returns 0; -ENOMEM; -EINVAL with a sentence. Pure.
 */
MUST_CHECK int smbios_build(const struct platform *p, uint64_t base, struct buf *out,
			    uint8_t entry[SMBIOS_ENTRY_BYTES], struct err *e);

#endif
