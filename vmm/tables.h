/*
 * Where the firmware tables lie, and the memory map that tells guests so.
 */
#ifndef TRELLIS_TABLES_H
#define TRELLIS_TABLES_H

#include "firmware/platform.h"
#include "vmm/cpu/check.h"
#include "vmm/memory.h"

struct tables {
	uint64_t acpi_base, acpi_bytes;
	uint64_t smbios_base, smbios_bytes; /* right behind */
	uint64_t rsdp;                      /* in the BIOS area */
	uint64_t low_limit;                 /* low RAM for the guest ends here */
};

/* Fill in what follows from processors and RAM; the rest of platform is zeroed. */
void tables_describe(struct platform *platform, const struct processors *procs);

/* Build the tables apart from any machine, and have the checker read them. What cannot be built is not checked. */
void tables_check(struct processors *procs, struct findings *f);

/*
 * Decide where the tables go and write platform->map: what is RAM, and what is not.
 * Returns 0; -EINVAL with a sentence when RAM is too small for them. Pure.
 */
MUST_CHECK int tables_plan(struct tables *t, struct platform *platform, const struct memory *mem, struct err *e);

/*
 * Build ACPI, SMBIOS and MP tables and write them into guest memory, as planned. Again at each reset.
 * Returns 0 or a negative errno with a sentence.
 */
MUST_CHECK int tables_write(const struct tables *t, const struct platform *platform, struct gmem *mem,
			    struct err *e);

#endif
