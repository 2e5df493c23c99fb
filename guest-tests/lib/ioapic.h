/* The first I/O APIC (Intel 82093AA data sheet), found through the MADT. Physical destinations only. */
#ifndef GUEST_IOAPIC_H
#define GUEST_IOAPIC_H

#include <stdint.h>

enum {
	IOAPIC_ACTIVE_LOW = 1 << 13,
	IOAPIC_REMOTE_IRR = 1 << 14,
	IOAPIC_LEVEL = 1 << 15,
	IOAPIC_MASKED = 1 << 16,
};

/* Mask every pin and both 8259s. Bails out without an IOAPIC in the MADT. */
void ioapic_init(void);
/* Number of pins. */
unsigned int ioapic_nr_pins(void);
/* Write a whole redirection entry's low word (vector and flags) and send it to an APIC id. */
void ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, uint32_t flags);
/* Set a pin to masked; the rest of the entry stays. */
void ioapic_mask(uint32_t gsi);
/* Clear a pin's mask bit. */
void ioapic_unmask(uint32_t gsi);
/* The low word of the redirection entry. */
uint32_t ioapic_entry(uint32_t gsi);
/* Route an ISA interrupt where the MADT's overrides say; returns its GSI. */
uint32_t ioapic_route_isa(uint8_t irq, uint8_t vector, uint32_t apic_id);
/* Initialise both 8259s to vectors 0x20 and 0x28 and mask all their inputs. */
void pic_mask_all(void);

#endif
