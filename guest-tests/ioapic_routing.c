/*
 * The IOAPIC sends each line to the vector and the CPU its entry says, and nowhere when masked.
 *
 * Intel 82093AA data sheet, 3.2.4. The serial line (IRQ 4) and the PIT (IRQ 0) are the sources; both are
 * edge-triggered. Level-triggered lines are in intx_level.c. Needs two CPUs for the second half.
 */
#include "lib/acpi.h"
#include "lib/clock.h"
#include "lib/console.h"
#include "lib/cpu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/pit.h"
#include "lib/smp.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define SERIAL_VECTOR 0x61
#define PIT_VECTOR    0x72
#define OTHER_VECTOR  0x93

static volatile unsigned int serial_count[CPU_MAX], pit_count[CPU_MAX], other_count[CPU_MAX];

static void serial_interrupt(struct trap_frame *frame)
{
	(void)frame;
	cpu_inb(COM1 + 2);
	serial_count[smp_this_cpu()]++;
	lapic_eoi();
}

static void pit_interrupt(struct trap_frame *frame)
{
	(void)frame;
	pit_count[smp_this_cpu()]++;
	lapic_eoi();
}

static void other_interrupt(struct trap_frame *frame)
{
	(void)frame;
	cpu_inb(COM1 + 2);
	other_count[smp_this_cpu()]++;
	lapic_eoi();
}

static unsigned int routing_total(volatile unsigned int *counts)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < CPU_MAX; i++)
		sum += counts[i];
	return sum;
}

static void routing_clear(void)
{
	for (unsigned int i = 0; i < CPU_MAX; i++)
		serial_count[i] = pit_count[i] = other_count[i] = 0;
}

static unsigned int routing_serial_total(void)
{
	return routing_total(serial_count) + routing_total(other_count);
}

/* Make the UART raise its line once: enabling THRE with an empty transmitter does it. Waits for the interrupt
 * as long as a busy host may need if one is expected, and shortly if not. */
static void routing_fire_serial(bool expected)
{
	unsigned int before = routing_serial_total();

	CLOCK_WAIT_FOR((cpu_inb(COM1 + 5) & 0x60) == 0x60, CLOCK_MS(500));
	cpu_outb(COM1 + 1, 2);
	CLOCK_WAIT_FOR(routing_serial_total() != before, expected ? CLOCK_MS(2000) : CLOCK_MS(20));
	clock_wait_ticks(CLOCK_MS(3));
	cpu_outb(COM1 + 1, 0);
	cpu_inb(COM1 + 2);
}

static void routing_check_cpu(unsigned int cpu)
{
	uint32_t id = smp_apic_id(cpu);
	uint32_t gsi;

	ioapic_init();
	routing_clear();
	ioapic_route_isa(4, SERIAL_VECTOR, id);
	gsi = ioapic_route_isa(0, PIT_VECTOR, id);
	pit_set(0, PIT_RATE, 23864);	/* 20 ms */
	CLOCK_WAIT_FOR(pit_count[cpu] >= 3, CLOCK_MS(2000));
	ioapic_mask(gsi);
	pit_stop();
	clock_wait_ticks(CLOCK_MS(2));
	tap_check(pit_count[cpu] >= 3 && routing_total(pit_count) == pit_count[cpu], "PIT reaches CPU %u and no other", cpu);
	tap_equal(routing_total(serial_count), 0, "and not the serial vector");
	routing_fire_serial(true);
	tap_equal(serial_count[cpu], 1, "IRQ 4 reaches CPU %u once", cpu);
	tap_equal(routing_total(serial_count), 1, "and no other");
	routing_fire_serial(true);
	tap_equal(serial_count[cpu], 2, "and once again");
	ioapic_route_isa(4, OTHER_VECTOR, id);
	routing_fire_serial(true);
	tap_equal(other_count[cpu] << 8 | routing_total(serial_count), 1 << 8 | 2, "with another vector only there");
}

static void routing_check_masked(void)
{
	uint16_t flags;
	uint32_t gsi = acpi_isa_gsi(4, &flags);

	ioapic_init();
	routing_clear();
	routing_fire_serial(false);
	tap_equal(routing_serial_total(), 0, "masked: nobody is interrupted");
	ioapic_route(gsi, SERIAL_VECTOR, smp_apic_id(0), 0);
	clock_wait_ticks(CLOCK_MS(3));
	tap_equal(routing_total(serial_count), 0, "unmasked with the line low again: nothing is made up for");
	tap_equal(ioapic_entry(gsi) & 0x1ffff, SERIAL_VECTOR, "the entry reads back, nothing pending");
}

void test_main(void)
{
	unsigned int cpus = smp_start();

	trap_set_handler(SERIAL_VECTOR, serial_interrupt);
	trap_set_handler(PIT_VECTOR, pit_interrupt);
	trap_set_handler(OTHER_VECTOR, other_interrupt);
	ioapic_init();
	tap_check(ioapic_nr_pins() >= 24, "%u pins, at least 24", ioapic_nr_pins());
	cpu_enable_interrupts();
	for (unsigned int cpu = 0; cpu < cpus; cpu++)
		routing_check_cpu(cpu);
	routing_check_masked();
}
