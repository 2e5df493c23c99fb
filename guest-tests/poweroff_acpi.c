/*
 * Power off as an operating system does: SLP_TYP from \_S5 of the DSDT into PM1a control, then SLP_EN.
 * ACPI 6.4, 7.4.2 and 4.8.3.2.1. The verdict is the VMM's exit status; a machine which stays on bails out.
 */
#include "lib/acpi.h"
#include "lib/power.h"
#include "lib/tap.h"

void test_main(void)
{
	uint16_t type = power_find_s5();

	tap_plan(3);
	tap_check(type < 8, "\\_S5 has SLP_TYP %u, which is below 8", type);
	tap_check(acpi_pm1_control_port() != 0, "the FADT names PM1a_CNT: port 0x%x", acpi_pm1_control_port());
	tap_check(acpi_enable(), "SCI_EN is set or can be set");
	power_off(type);
}
