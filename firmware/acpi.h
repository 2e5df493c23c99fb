/*
 * The ACPI tables: RSDP, XSDT, FADT (fixed hardware), FACS, MADT, MCFG, DSDT; with NUMA nodes SRAT and SLIT, and
 * HMAT when paths between them are known.
 */
#ifndef TRELLIS_FIRMWARE_ACPI_H
#define TRELLIS_FIRMWARE_ACPI_H

#include "firmware/platform.h"
#include "vmm/base/buf.h"
#include "vmm/base/err.h"

/* The RSDP (ACPI 6.5, 5.2.5.3): found by its signature on a 16-byte boundary in the BIOS area. */
enum { ACPI_RSDP_BYTES = 36 };

/* Upper bound of what acpi_build() makes for this platform, in bytes; a multiple of 4 KiB. */
size_t acpi_size_max(const struct platform *p);

/*
 * Build all tables to lie at guest-physical address base (page aligned, below 4 GiB).
 * out   receives the tables (appended to an empty buffer), at most acpi_size_max() bytes
 * rsdp  receives ACPI_RSDP_BYTES, to be put on a 16-byte boundary in the BIOS area
 * Returns 0; -ENOMEM; -EINVAL with a sentence. Pure.
 */
MUST_CHECK int acpi_build(const struct platform *p, uint64_t base, struct buf *out,
			  uint8_t rsdp[ACPI_RSDP_BYTES], struct err *e);

#endif
