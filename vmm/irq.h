/*
 * Interrupts: the in-kernel PIC, IOAPIC, LAPICs and PIT; which GSI leads where; lines that devices
 * raise; messages (MSI) that eventfds deliver without a thread of ours.
 */
#ifndef TRELLIS_IRQ_H
#define TRELLIS_IRQ_H

#include <pthread.h>

#include "vmm/base/dev.h"
#include "vmm/base/map.h"
#include "vmm/kvm.h"

enum {
	IRQ_FIRST_MSI_GSI = NR_IOAPIC_PINS,
	IRQ_MAX_GSIS = 4096, /* KVM_MAX_IRQ_ROUTES */
	IRQ_SOURCES_PER_PIN = 8,
};

struct irqs {
	struct kvm *kvm;                       /* borrowed */
	pthread_mutex_t lock;
	uint8_t raised[NR_IOAPIC_PINS];        /* guarded by lock; a bit for each source that holds the pin up */
	struct kvm_irq_routing *routes;        /* owned; guarded by lock; what was last told to KVM */
	size_t cap_routes;                     /* guarded by lock */
	uint64_t used[IRQ_MAX_GSIS / 64];      /* guarded by lock; GSIs given out */
};

/*
 * Make the interrupt controllers and the timer chip. Must come before the first vCPU.
 * Returns 0 or a negative errno with a sentence. irqs_fini() is safe on an all-zero struct.
 */
MUST_CHECK int irqs_init(struct irqs *irqs, struct kvm *kvm, struct err *e);
void irqs_fini(struct irqs *irqs);

/* Make the in-kernel controllers and the timer chip of a VM, without routes; irqs_init() does it too. */
MUST_CHECK int irqs_create_chips(int vm_fd, struct err *e);

/*
 * Back to power-on: all lines low, the chips' state copied from a VM that has just been made. MSI routes
 * stay, their owners reset them. While no vCPU runs. Returns 0 or a negative errno with a sentence.
 */
MUST_CHECK int irqs_reset(struct irqs *irqs, int fresh_vm_fd, struct err *e);

/*
 * A line to pin gsi (below NR_IOAPIC_PINS) for one of up to 8 sources that share it: the pin is high
 * while any source holds it. The line may be used from any thread until irqs_fini().
 */
struct irq_line irqs_line(struct irqs *irqs, unsigned int gsi, unsigned int source);

/* The msi_* members of struct dev_host; see there. ctx is the struct irqs. */
int irqs_msi_open(void *ctx, struct msi_vector *v);
void irqs_msi_close(void *ctx, struct msi_vector *v);
int irqs_msi_set(void *ctx, struct msi_vector *v, uint64_t addr, uint32_t data);
void irqs_msi_mask(void *ctx, struct msi_vector *v);

#endif
