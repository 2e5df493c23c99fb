/*
 * The "edu" device (QEMU docs/specs/edu.rst; trellis has it as --test-device): 1234:11e8, 1 MiB of registers
 * in BAR0, an interrupt to raise at will by INTx or MSI. DMA and factorial are not used.
 */
#ifndef GUEST_EDU_H
#define GUEST_EDU_H

#include <stdbool.h>
#include <stdint.h>

enum { EDU_ID = 0x00, EDU_LIVENESS = 0x04, EDU_STATUS = 0x24, EDU_RAISE = 0x60, EDU_ACK = 0x64 };

struct edu {
	uint16_t bdf;
	uint64_t bar;		/* where BAR0 decodes */
	uint32_t bar_bytes;
	unsigned int msi;	/* offset of the MSI capability, 0 without */
};

/* Find the device, give it an address if it has none, enable memory and bus mastering, INTx off.
 * Ends the program as skipped if the machine has no such device. */
struct edu edu_init(void);
/* Read or write a register. */
uint32_t edu_read(const struct edu *e, uint32_t reg);
void edu_write(const struct edu *e, uint32_t reg, uint32_t value);
/* Point MSI at an APIC id and vector, and enable it. */
void edu_msi_enable(const struct edu *e, uint32_t apic_id, uint8_t vector);
/* Clear the MSI enable bit. */
void edu_msi_disable(const struct edu *e);

#endif
