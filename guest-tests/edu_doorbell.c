/*
 * The edu device's doorbell (trellis only, devices/edu.h): a write sends its MSI without the device, follows
 * the BAR when it moves, and is silent while MSI is off.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/edu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/pci.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define VECTOR   0xa0
#define DOORBELL 0x1000
#define ROUNDS   5

static struct edu edu;
static volatile unsigned int nr;

static void bell_interrupt(struct trap_frame *frame)
{
	(void)frame;
	nr++;
	lapic_eoi();
}

static void ring(unsigned int expected, uint64_t wait)
{
	edu_write(&edu, DOORBELL, 1);
	CLOCK_WAIT_FOR(nr >= expected, wait);
	clock_wait_ticks(CLOCK_MS(1));
}

void test_main(void)
{
	edu = edu_init();
	ioapic_init();
	trap_set_handler(VECTOR, bell_interrupt);
	cpu_enable_interrupts();
	ring(1, CLOCK_MS(3));
	tap_equal(nr, 0, "MSI off: nothing");
	edu_msi_enable(&edu, lapic_id(), VECTOR);
	clock_wait_ticks(CLOCK_MS(3));
	tap_equal(nr, 0, "what was rung before is forgotten");
	for (unsigned int i = 1; i <= ROUNDS; i++)
		ring(i, CLOCK_MS(2000));
	tap_equal(nr, ROUNDS, "each ring is one message");
	tap_equal(edu_read(&edu, EDU_STATUS), 0, "the interrupt status knows nothing of it");
	pci_write(edu.bdf, 0x10, 4, (uint32_t)edu.bar + 0x200000);
	edu.bar += 0x200000;
	for (unsigned int i = 1; i <= ROUNDS; i++)
		ring(ROUNDS + i, CLOCK_MS(2000));
	tap_equal(nr, 2 * ROUNDS, "it moved with its BAR");
	edu_msi_disable(&edu);
	ring(2 * ROUNDS + 1, CLOCK_MS(3));
	tap_equal(nr, 2 * ROUNDS, "MSI off again: nothing");
}
