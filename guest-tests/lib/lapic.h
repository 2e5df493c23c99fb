/*
 * The local APIC of the calling CPU, in xAPIC or x2APIC mode, whichever APIC_BASE says (SDM vol. 3A,
 * chapter 11). Logical destinations are not used.
 */
#ifndef GUEST_LAPIC_H
#define GUEST_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

enum {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_EOI = 0xb0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
};

enum {
	LAPIC_LVT_MASKED = 1 << 16,
	LAPIC_TIMER_PERIODIC = 1 << 17,
	LAPIC_TIMER_DEADLINE = 2 << 17,
	LAPIC_ICR_INIT = 5 << 8,
	LAPIC_ICR_STARTUP = 6 << 8,
	LAPIC_ICR_ASSERT = 1 << 14,
	LAPIC_ICR_LEVEL = 1 << 15,
};

#define LAPIC_SPURIOUS_VECTOR 0xff
#define MSR_APIC_BASE         0x1b
#define MSR_TSC_DEADLINE      0x6e0

/* Switch on the APIC and mask its local lines; with "x2apic" on the command line also x2APIC mode. */
void lapic_init(void);
/* True if the calling CPU is in x2APIC mode. */
bool lapic_is_x2apic(void);
/* Read or write a register by its xAPIC offset. ICR is 64 bits wide only in x2APIC mode: lapic_send(). */
uint32_t lapic_read(uint32_t reg);
void lapic_write(uint32_t reg, uint32_t value);
/* The APIC id: 8 bits in xAPIC mode, 32 in x2APIC mode. */
uint32_t lapic_id(void);
/* End of interrupt. */
void lapic_eoi(void);
/* Send an interrupt command to one APIC id; waits for delivery in xAPIC mode. */
void lapic_send(uint32_t apic_id, uint32_t command);
/* The MSI address which reaches this APIC id, physical destination (SDM 3A, 11.11.1). Ids above 255 need a
 * hypervisor with KVM_FEATURE_MSI_EXT_DEST_ID: their bits 14-8 are in address bits 11-5. */
uint32_t lapic_msi_address(uint32_t apic_id);

#endif
