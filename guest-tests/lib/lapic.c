/* Local APIC registers. Both modes hide behind lapic_read() and lapic_write(). */
#include "lib/lapic.h"
#include "lib/cpu.h"
#include "lib/multiboot.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define BASE_ENABLE (1u << 11)
#define BASE_EXTD   (1u << 10)
#define X2APIC_MSR  0x800

static void lapic_ignore_spurious(struct trap_frame *frame)
{
	(void)frame;	/* no EOI for the spurious vector: SDM 3A, 11.9 */
}

bool lapic_is_x2apic(void)
{
	return cpu_rdmsr(MSR_APIC_BASE) & BASE_EXTD;
}

static uint64_t lapic_base(void)
{
	return cpu_rdmsr(MSR_APIC_BASE) & 0xffffff000ULL;
}

uint32_t lapic_read(uint32_t reg)
{
	if (lapic_is_x2apic())
		return (uint32_t)cpu_rdmsr(X2APIC_MSR + (reg >> 4));
	return cpu_read32(lapic_base() + reg);
}

void lapic_write(uint32_t reg, uint32_t value)
{
	if (lapic_is_x2apic())
		cpu_wrmsr(X2APIC_MSR + (reg >> 4), value);
	else
		cpu_write32(lapic_base() + reg, value);
}

void lapic_init(void)
{
	uint64_t base = cpu_rdmsr(MSR_APIC_BASE);

	if (!(base & BASE_ENABLE)) {
		base |= BASE_ENABLE;
		cpu_wrmsr(MSR_APIC_BASE, base);
	}
	if (args_has("x2apic") && !(base & BASE_EXTD)) {
		if (!(cpu_cpuid(1, 0).ecx & (1u << 21)))
			tap_skip_all("this CPU has no x2APIC mode");
		cpu_wrmsr(MSR_APIC_BASE, base | BASE_EXTD);
	}
	trap_set_handler(LAPIC_SPURIOUS_VECTOR, lapic_ignore_spurious);
	lapic_write(LAPIC_TPR, 0);
	lapic_write(LAPIC_SVR, 0x100 | LAPIC_SPURIOUS_VECTOR);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED);
	lapic_write(LAPIC_LVT_LINT0, LAPIC_LVT_MASKED);
	lapic_write(LAPIC_LVT_LINT1, LAPIC_LVT_MASKED);
	lapic_write(LAPIC_LVT_ERROR, LAPIC_LVT_MASKED);
}

uint32_t lapic_id(void)
{
	uint32_t id = lapic_read(LAPIC_ID);

	return lapic_is_x2apic() ? id : id >> 24;
}

void lapic_eoi(void)
{
	lapic_write(LAPIC_EOI, 0);
}

void lapic_send(uint32_t apic_id, uint32_t command)
{
	if (lapic_is_x2apic()) {
		cpu_wrmsr(X2APIC_MSR + (LAPIC_ICR >> 4), (uint64_t)apic_id << 32 | command);
		return;
	}
	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR, command);
	for (int tries = 0; tries < 1000 && (lapic_read(LAPIC_ICR) & (1u << 12)); tries++)
		cpu_pause();
}

uint32_t lapic_msi_address(uint32_t apic_id)
{
	return 0xfee00000u | (apic_id & 0xff) << 12 | (apic_id >> 8 & 0x7f) << 5;
}
