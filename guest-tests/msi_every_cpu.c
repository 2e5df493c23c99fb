/*
 * Message-signalled interrupts of the edu device reach every CPU, each exactly once per raise.
 *
 * PCI Local Bus 3.0, 6.8; SDM vol. 3A, 11.11. The vector differs per CPU, so a message to the wrong one
 * shows; of more than 48 CPUs the last 48 are tried. APIC ids above 255 need the hypervisor's extended
 * destination ids (KVM_FEATURE_MSI_EXT_DEST_ID, Linux 6.12, Documentation/virt/kvm/x86/cpuid.rst). MSI-X and
 * per-vector masking are not there to test.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/edu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/pci.h"
#include "lib/smp.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define VECTOR 0xa0		/* plus the CPU's place among those which are tried */
#define MAX_TRIED 48
#define ROUNDS 5

static struct edu edu;
static unsigned int first;
static volatile unsigned int counts[CPU_MAX], nr_wrong;

static void msi_interrupt(struct trap_frame *frame)
{
	unsigned int cpu = smp_this_cpu();

	if (frame->vector == VECTOR + cpu - first)
		counts[cpu]++;
	else
		nr_wrong++;
	lapic_eoi();
}

static unsigned int msi_total(void)
{
	unsigned int sum = nr_wrong;

	for (unsigned int i = 0; i < CPU_MAX; i++)
		sum += counts[i];
	return sum;
}

static void msi_raise(unsigned int expected_total, uint64_t wait)
{
	edu_write(&edu, EDU_RAISE, 1);
	CLOCK_WAIT_FOR(msi_total() >= expected_total, wait);
	clock_wait_ticks(CLOCK_MS(1));
	edu_write(&edu, EDU_ACK, 1);
}

static void msi_check_capability(void)
{
	uint32_t control;

	if (!edu.msi)
		tap_bail("no MSI capability");
	control = pci_read(edu.bdf, edu.msi + 2, 2);
	tap_check(control & 0x80, "the MSI capability takes 64-bit addresses");
	tap_equal(control & 1, 0, "MSI is off at first");
	tap_equal((control >> 1) & 7, 0, "one message");
	pci_write(edu.bdf, edu.msi + 4, 4, 0xfee01003);
	pci_write(edu.bdf, edu.msi + 8, 4, 0x12345678);
	tap_equal(pci_read(edu.bdf, edu.msi + 4, 4), 0xfee01000, "the address reads back, low bits 0");
	tap_equal(pci_read(edu.bdf, edu.msi + 8, 4), 0x12345678, "so does its upper half");
}

void test_main(void)
{
	unsigned int cpus = smp_start();

	edu = edu_init();
	ioapic_init();
	if (cpus > MAX_TRIED)
		first = cpus - MAX_TRIED;
	for (unsigned int i = 0; i < cpus - first; i++)
		trap_set_handler((uint8_t)(VECTOR + i), msi_interrupt);
	if (smp_apic_id(cpus - 1) > 255)
		tap_check(cpu_cpuid(0x40000001, 0).eax & 1u << 15, "the hypervisor offers extended destination ids");
	tap_equal(edu_read(&edu, EDU_ID) & 0xffff, 0x00ed, "identification 0x%x", edu_read(&edu, EDU_ID));
	edu_write(&edu, EDU_LIVENESS, 0x12345678);
	tap_equal(edu_read(&edu, EDU_LIVENESS), 0xedcba987, "liveness register inverts");
	msi_check_capability();
	cpu_enable_interrupts();
	edu_write(&edu, EDU_RAISE, 1);
	clock_wait_ticks(CLOCK_MS(3));
	tap_equal(edu_read(&edu, EDU_STATUS), 1, "raised shows in the status");
	tap_equal(msi_total(), 0, "MSI off, INTx disabled: no interrupt");
	edu_write(&edu, EDU_ACK, 1);
	tap_equal(edu_read(&edu, EDU_STATUS), 0, "acknowledged");
	for (unsigned int i = 0; i < cpus - first; i++) {
		edu_msi_enable(&edu, smp_apic_id(first + i), (uint8_t)(VECTOR + i));
		for (unsigned int n = 1; n <= ROUNDS; n++)
			msi_raise(i * ROUNDS + n, CLOCK_MS(2000));
		tap_equal(counts[first + i], ROUNDS, "CPU %u has its %u interrupts", first + i, ROUNDS);
		tap_equal(msi_total(), (i + 1) * ROUNDS, "and nobody else");
	}
	edu_msi_disable(&edu);
	msi_raise((cpus - first) * ROUNDS + 1, CLOCK_MS(10));
	tap_equal(msi_total(), (cpus - first) * ROUNDS, "disabled again: no interrupt");
}
