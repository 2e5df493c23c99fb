/*
 * The IOAPIC reaches CPUs with small and with large APIC ids, edge- and level-triggered, and hears their EOIs.
 *
 * Of a machine with many CPUs some are tried: the first, those around ids 254 to 257, the last. Ids above 255 need
 * the hypervisor's extended destination ids (KVM_FEATURE_MSI_EXT_DEST_ID, Linux 6.12,
 * Documentation/virt/kvm/x86/cpuid.rst). Sources are the PIT and the edu device's INTx. late-eoi on the command line:
 * see intx_level.c; KVM that interprets ring 0 (kvm_pvm) also tells the VMM of an EOI only when the CPU which has
 * halted after it runs again, so such CPUs are nudged.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/edu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/pci.h"
#include "lib/pit.h"
#include "lib/smp.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define PIT_VECTOR  0x41
#define INTX_VECTOR 0x80 /* plus the GSI */
#define KEPT        4

static struct edu edu;
static volatile unsigned int here, nr_pit, nr_intx, nr_elsewhere, keep, last_gsi = 16;

static void ids_count(volatile unsigned int *counter)
{
	if (smp_this_cpu() == here)
		(*counter)++;
	else
		nr_elsewhere++;
}

static void ids_pit_interrupt(struct trap_frame *frame)
{
	(void)frame;
	ids_count(&nr_pit);
	lapic_eoi();
}

static void ids_intx_interrupt(struct trap_frame *frame)
{
	last_gsi = (unsigned int)frame->vector - INTX_VECTOR;
	ids_count(&nr_intx);
	if (keep)
		keep--;
	else
		edu_write(&edu, EDU_ACK, 1);
	if (nr_intx > 1000)
		ioapic_mask(last_gsi);
	lapic_eoi();
}

static void ids_route_intx(uint32_t apic_id)
{
	for (unsigned int gsi = 16; gsi < 24 && gsi < ioapic_nr_pins(); gsi++) {
		trap_set_handler((uint8_t)(INTX_VECTOR + gsi), ids_intx_interrupt);
		ioapic_route(gsi, (uint8_t)(INTX_VECTOR + gsi), apic_id, IOAPIC_LEVEL | IOAPIC_ACTIVE_LOW);
	}
}

/* Wait for all of the level's interrupts, and for the last one's end. */
static void ids_wait_intx(unsigned int cpu)
{
	uint64_t end = clock_ticks() + CLOCK_MS(3000);

	while ((nr_intx <= KEPT || ioapic_entry(last_gsi) & IOAPIC_REMOTE_IRR) && clock_ticks() < end) {
		clock_wait_ticks(CLOCK_MS(5));
		if (cpu && args_has("late-eoi"))
			lapic_send(smp_apic_id(cpu), LAPIC_ICR_ASSERT | SMP_WAKE_VECTOR);
	}
}

static void ids_check_cpu(unsigned int cpu)
{
	uint32_t id = smp_apic_id(cpu), gsi;

	ioapic_init();
	here = cpu;
	nr_pit = nr_intx = nr_elsewhere = 0;
	gsi = ioapic_route_isa(0, PIT_VECTOR, id);
	pit_set(0, PIT_RATE, 23864); /* 20 ms */
	CLOCK_WAIT_FOR(nr_pit >= 3, CLOCK_MS(2000));
	ioapic_mask(gsi);
	pit_stop();
	tap_check(nr_pit >= 3, "id %u: ticks arrive", id);
	ids_route_intx(id);
	keep = KEPT;
	edu_write(&edu, EDU_RAISE, 1);
	ids_wait_intx(cpu);
	tap_between(nr_intx, KEPT + 1, KEPT + 1 + args_has("late-eoi"),
		    "id %u: a level repeats until acknowledged", id);
	tap_equal(ioapic_entry(last_gsi) & IOAPIC_REMOTE_IRR, 0, "id %u: its last EOI was heard", id);
	tap_equal(nr_elsewhere, 0, "id %u: nobody else was interrupted", id);
}

void test_main(void)
{
	unsigned int cpus = smp_start(), last = cpus - 1;

	edu = edu_init();
	pci_write(edu.bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	ioapic_init();
	trap_set_handler(PIT_VECTOR, ids_pit_interrupt);
	cpu_enable_interrupts();
	for (unsigned int cpu = 0; cpu < cpus; cpu++) {
		uint32_t id = smp_apic_id(cpu);

		if (cpu == 0 || cpu == last || (id >= 254 && id <= 257))
			ids_check_cpu(cpu);
	}
}
