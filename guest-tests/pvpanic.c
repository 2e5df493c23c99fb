/*
 * The panic port (QEMU docs/specs/pvpanic.txt): port 0x505 says what it supports, writing 1 reports a panic.
 * The verdict is the VMM's exit status. Kdump's "crash loaded" bit is only read.
 */
#include "lib/acpi.h"
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/tap.h"

#define PORT 0x505

void test_main(void)
{
	uint8_t supported = cpu_inb(PORT);

	tap_plan(2);
	tap_check(supported != 0xff && (supported & 1), "port 0x505 reads 0x%x: PANICKED is supported", supported);
	tap_check(acpi_aml_contains("QEMU0001", 8), "ACPI has a device QEMU0001");
	cpu_outb(PORT, 1);
	clock_wait_ticks(CLOCK_MS(1000));
	tap_bail("still running after the panic");
}
