/*
 * An I/O APIC of 24 pins (Intel 82093AA datasheet, 290566-001) with the EOI register of later ones (Intel ICH9
 * datasheet, 316972-004, 13.5) and the destination ids of 15 bits which hypervisors agreed on (Linux 6.12,
 * arch/x86/include/asm/io_apic.h, virt_destid_8_14). Used when KVM's own, whose ids have 8 bits, does not do.
 *
 * It turns each pin into a message and knows nothing about processors. Polarity is not looked at: a line is
 * raised or not. ExtINT entries send nothing, as in KVM: the boot processor's LINT0 is the way for those.
 */
#ifndef TRELLIS_DEVICES_IOAPIC_H
#define TRELLIS_DEVICES_IOAPIC_H

#include <pthread.h>

#include "vmm/base/dev.h"
#include "vmm/base/map.h"

enum { IOAPIC_WINDOW = 0x1000 };

/*
 * Where messages go; both are called under the IOAPIC's lock, on any thread, and must not call back.
 * addr, data  a message as a guest would write it for MSI: id bits 7-0 in addr[19:12], 14-8 in addr[11:5]
 * send   deliver one message now
 * watch  from now on ioapic_eoi() is to be called when a processor which takes this level-triggered message
 *        ends it; replaces the pin's earlier message. addr 0: there is none any longer
 */
struct ioapic_host {
	void *ctx;
	void (*send)(void *ctx, uint32_t addr, uint32_t data);
	void (*watch)(void *ctx, unsigned int pin, uint32_t addr, uint32_t data);
};

struct ioapic {
	pthread_mutex_t lock;
	struct ioapic_host host; /* constant after init */

	/* All that follows is guarded by lock. */
	uint8_t index;                       /* IOREGSEL */
	uint8_t id;                          /* four bits; nobody uses it */
	uint32_t level;                      /* pins that are high now */
	uint64_t entry[NR_IOAPIC_PINS];      /* IOREDTBL */
	uint32_t watched[NR_IOAPIC_PINS][2]; /* addr and data last given to watch() */
};

/* Make it with all pins masked. host is copied. Setup only. */
void ioapic_init(struct ioapic *a, const struct ioapic_host *host);

/* Release. No thread may use a any more. */
void ioapic_fini(struct ioapic *a);

/* Set pin (below NR_IOAPIC_PINS) high or low. Any thread, also under a device's lock. */
void ioapic_set_line(struct ioapic *a, unsigned int pin, bool level);

/* A processor has ended an interrupt with this vector. Any thread. */
void ioapic_eoi(struct ioapic *a, uint8_t vector);

/* A window of IOAPIC_WINDOW bytes (struct ioapic). A reset leaves the lines as those who drive them have them. */
extern const struct io_ops ioapic_io_ops;
extern const struct dev_ops ioapic_dev_ops;

#endif
