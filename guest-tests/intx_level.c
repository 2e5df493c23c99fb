/*
 * A level-triggered PCI interrupt (INTx of the edu device): repeats while asserted, ends when acknowledged.
 *
 * Which GSI the pin leads to is in _PRT, and there is no AML interpreter here; so all GSIs from 16 up are opened,
 * then those ISA ones which PCI can share, and the device shows which one it is. Skipped if none answers.
 * Level semantics: SDM vol. 3A, 11.8.5; Remote IRR: 82093AA data sheet, 3.2.4. With the word late-eoi on the
 * command line one interrupt more is allowed: KVM that interprets ring 0 (kvm_pvm) looks at a level only after
 * the handler has run, whichever VMM asks.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/edu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/pci.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define VECTOR 0x80		/* plus the GSI */

static struct edu edu;
static volatile unsigned int nr_interrupts, last_gsi;
static volatile unsigned int keep;	/* how many times to leave the line asserted */

static void intx_interrupt(struct trap_frame *frame)
{
	nr_interrupts++;
	last_gsi = (unsigned int)frame->vector - VECTOR;
	if (keep)
		keep--;
	else
		edu_write(&edu, EDU_ACK, edu_read(&edu, EDU_STATUS));
	if (nr_interrupts > 1000)	/* a line nobody can lower: stop the storm, fail below */
		ioapic_mask(last_gsi);
	lapic_eoi();
}

static void intx_open(unsigned int from, unsigned int to)
{
	for (unsigned int gsi = from; gsi < to && gsi < ioapic_nr_pins(); gsi++) {
		trap_set_handler((uint8_t)(VECTOR + gsi), intx_interrupt);
		ioapic_route(gsi, (uint8_t)(VECTOR + gsi), lapic_id(), IOAPIC_LEVEL | IOAPIC_ACTIVE_LOW);
	}
}

/* Exactly so many interrupts, or one more where KVM is known for it. */
static void intx_expect(unsigned int expected, const char *what)
{
	tap_between(nr_interrupts, expected, expected + args_has("late-eoi"), "%s", what);
}

/* 0 expected: waits shortly; otherwise as long as a busy host may need. */
static void intx_fire(unsigned int expected)
{
	nr_interrupts = 0;
	edu_write(&edu, EDU_RAISE, 1);
	CLOCK_WAIT_FOR(expected && nr_interrupts >= expected, expected ? CLOCK_MS(1000) : CLOCK_MS(20));
	clock_wait_ticks(CLOCK_MS(3));
}

void test_main(void)
{
	unsigned int gsi;

	edu = edu_init();
	if (!pci_read(edu.bdf, PCI_PIN, 1))
		tap_skip_all("the edu device has no interrupt pin");
	ioapic_init();
	intx_open(16, 32);
	edu_write(&edu, EDU_ACK, 0xffffffff);
	cpu_enable_interrupts();
	clock_wait_ticks(CLOCK_MS(3));
	nr_interrupts = 0;
	intx_fire(0);
	tap_equal(nr_interrupts, 0, "no interrupt while the command register disables INTx");
	edu_write(&edu, EDU_ACK, 1);
	pci_write(edu.bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	intx_fire(1);
	if (!nr_interrupts) {	/* the line is still up, so opening the right pin is enough */
		intx_open(5, 6);
		intx_open(10, 12);
		CLOCK_WAIT_FOR(nr_interrupts, CLOCK_MS(1000));
	}
	if (!nr_interrupts)
		tap_skip_all("INTx leads to no GSI that could be tried");
	gsi = last_gsi;
	tap_note("pin %u is GSI %u", pci_read(edu.bdf, PCI_PIN, 1), gsi);
	intx_expect(1, "asserted and acknowledged: one interrupt");
	tap_equal(edu_read(&edu, EDU_STATUS), 0, "nothing left to acknowledge");
	keep = 4;
	intx_fire(5);
	intx_expect(5, "left asserted over 4 EOIs: 4 more interrupts");
	tap_equal(ioapic_entry(gsi) & (IOAPIC_REMOTE_IRR | IOAPIC_LEVEL), IOAPIC_LEVEL, "Remote IRR is clear at rest");
	ioapic_mask(gsi);
	intx_fire(0);
	tap_equal(nr_interrupts, 0, "masked: none");
	ioapic_unmask(gsi);
	CLOCK_WAIT_FOR(nr_interrupts, CLOCK_MS(1000));
	clock_wait_ticks(CLOCK_MS(3));
	intx_expect(1, "unmasked while asserted: one");
}
