/* Reset by the FADT's RESET_REG (ACPI 6.4, 4.8.3.6). The checks are in lib/reset.c. */
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/reset.h"
#include "lib/tap.h"

static void reset_by_acpi(void)
{
	const struct acpi_fadt *f = acpi_fadt();

	if (!(f->flags & ACPI_FADT_RESET_REG_SUP) || f->header.length < 129)
		tap_bail("the FADT has no RESET_REG");
	if (f->reset_reg.space != 1)
		tap_bail("RESET_REG is not an I/O port but space %u", f->reset_reg.space);
	cpu_outb((uint16_t)f->reset_reg.address, f->reset_value);
}

void test_main(void)
{
	reset_check(1, reset_by_acpi);
}
