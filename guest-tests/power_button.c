/*
 * The power button: the VMM is asked to shut down (SIGTERM to trellis), the guest gets an SCI and powers off.
 *
 * ACPI 6.4, 4.8.2.2.1 and 4.8.3.1. The line "# ready" tells the runner when to press. Nothing presses the button
 * twice, or without the enable bit. late-eoi on the command line: see intx_level.c.
 */
#include "lib/acpi.h"
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/power.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define VECTOR 0x49

static uint16_t event_port, enable_port;
static volatile unsigned int nr_interrupts, nr_presses;

static void button_interrupt(struct trap_frame *frame)
{
	uint16_t status = cpu_inw(event_port);

	(void)frame;
	nr_interrupts++;
	if (status & ACPI_PM1_PWRBTN) {
		nr_presses++;
		cpu_outw(event_port, ACPI_PM1_PWRBTN);
	}
	lapic_eoi();
}

void test_main(void)
{
	uint16_t type = power_find_s5();

	tap_plan(6);
	event_port = acpi_pm1_event_port();
	enable_port = (uint16_t)(event_port + acpi_fadt()->pm1_evt_len / 2);
	tap_check(acpi_enable(), "SCI_EN is set");
	ioapic_init();
	trap_set_handler(VECTOR, button_interrupt);
	cpu_outw(event_port, 0xffff);
	ioapic_route_isa((uint8_t)acpi_fadt()->sci_int, VECTOR, lapic_id());
	cpu_enable_interrupts();
	cpu_outw(enable_port, ACPI_PM1_PWRBTN);
	tap_equal(cpu_inw(enable_port) & ACPI_PM1_PWRBTN, ACPI_PM1_PWRBTN, "PWRBTN_EN reads back");
	clock_wait_ticks(CLOCK_MS(5));
	tap_equal(nr_interrupts, 0, "no SCI before the button is pressed");
	tap_note("ready");
	tap_check(CLOCK_WAIT_FOR(nr_presses, CLOCK_MS(10000)), "SCI with PWRBTN_STS");
	clock_wait_ticks(CLOCK_MS(5));
	tap_between(nr_interrupts, 1, 1 + args_has("late-eoi"), "exactly one: the level goes away with the status bit");
	tap_equal(cpu_inw(event_port) & ACPI_PM1_PWRBTN, 0, "PWRBTN_STS was cleared by writing 1");
	power_off(type);
}
