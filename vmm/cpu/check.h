/*
 * The consistency checker: it reads what guests will read (CPUID of every vCPU, MADT, SRAT, SMBIOS) with its own
 * decoder, and finds where two places tell different shapes. It knows nothing of how they were made.
 */
#ifndef TRELLIS_CPU_CHECK_H
#define TRELLIS_CPU_CHECK_H

#include "vmm/cpu/processors.h"

/* What was found, errors first come; each sentence says which two places disagree, and on what. */
struct findings {
	struct notes notes;
	unsigned int nr;                     /* all, also those that notes has no room for */
};

/*
 * CPUID against itself and against the shape that was asked for: leaf 1 vs 4 vs B vs 1F, 80000008 vs 8000001E vs
 * 8000001D vs 80000026, cache sharing vs cores and dies, ids of all vCPUs; and what --cpuid and --msr ask for in vain.
 */
void check_cpuid(struct processors *p, struct findings *f);

/*
 * The tables as bytes against CPUID: every MADT id and flag, SRAT vs MADT and nodes, SLIT's size and diagonal,
 * SMBIOS processor and thread counts. len 0: there is no such table.
 * acpi, smbios  the blobs that acpi_build() and smbios_build() make, at guest-physical acpi_base
 */
void check_tables(struct processors *p, const uint8_t *acpi, size_t acpi_len, const uint8_t *smbios,
		  size_t smbios_len, struct findings *f);

/* Log each as a warning. */
void findings_log(const struct findings *f);
void findings_fini(struct findings *f);

#endif
