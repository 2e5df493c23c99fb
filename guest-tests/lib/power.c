/* S5 by PM1a control. A PM1b block is not served: none of our machines has one. */
#include "lib/power.h"
#include "lib/acpi.h"
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/tap.h"

uint16_t power_find_s5(void)
{
	int type = acpi_s5_type();

	if (type < 0)
		tap_bail("no \\_S5 package in the DSDT");
	return (uint16_t)type;
}

void power_off(uint16_t type)
{
	uint16_t port = acpi_pm1_control_port();
	uint16_t old = cpu_inw(port) & 0x203;	/* SCI_EN, BM_RLD and bit 9 stay as they are */

	cpu_outw(port, (uint16_t)(old | type << 10));
	cpu_outw(port, (uint16_t)(old | type << 10 | ACPI_PM1_SLP_EN));
	clock_wait_ticks(CLOCK_MS(2000));
	tap_bail("still on after SLP_TYP %u, SLP_EN at port 0x%x", type, port);
}
