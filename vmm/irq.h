/*
 * Interrupts: the interrupt controllers; which GSI leads where; lines that devices raise; messages (MSI) that
 * eventfds deliver without a thread of ours.
 *
 * Usually all controllers and the PIT are KVM's. Its IOAPIC sends to ids of 8 bits only: a machine with an APIC
 * id above 254 has just the local APICs in the kernel ("split", KVM_CAP_SPLIT_IRQCHIP), and IOAPIC, PICs and PIT
 * from devices/. In split machines guests may put 15 bits of id into messages (KVM_FEATURE_MSI_EXT_DEST_ID,
 * Linux 6.12, Documentation/virt/kvm/x86/cpuid.rst).
 */
#ifndef TRELLIS_IRQ_H
#define TRELLIS_IRQ_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/i8259.h"
#include "devices/ioapic.h"
#include "vmm/base/dev.h"
#include "vmm/base/map.h"
#include "vmm/kvm.h"

enum {
	IRQ_FIRST_MSI_GSI = NR_IOAPIC_PINS,
	IRQ_MAX_GSIS = 4096, /* KVM_MAX_IRQ_ROUTES */
	IRQ_SOURCES_PER_PIN = 8,
};

struct irqs {
	struct kvm *kvm;                /* borrowed */
	pthread_mutex_t lock;           /* of lines; held while a controller of ours is told */
	uint8_t raised[NR_IOAPIC_PINS]; /* guarded by lock; a bit for each source that holds the pin up */

	pthread_mutex_t route_lock;       /* taken under lock and under the IOAPIC's */
	struct kvm_irq_routing *routes;   /* owned; guarded by route_lock; what was last told to KVM */
	size_t cap_routes;                /* guarded by route_lock */
	uint64_t used[IRQ_MAX_GSIS / 64]; /* guarded by route_lock; GSIs given out */

	bool split;              /* constant after init; the rest is for split machines only */
	struct ioapic *ioapic;   /* borrowed; constant after irqs_attach_chips() */
	struct i8259 *pic;       /* borrowed; constant after irqs_attach_chips() */
	atomic_bool extint;      /* the PICs' INTR pin */
	void (*kick)(void *ctx); /* constant after irqs_set_kick() */
	void *kick_ctx;
};

/*
 * Make the in-kernel interrupt controllers and, unless split, the timer chip. Must come before the first vCPU.
 * split  only local APICs in the kernel; the caller attaches the others
 * Returns 0 or a negative errno with a sentence. irqs_fini() is safe on an all-zero struct.
 */
MUST_CHECK int irqs_init(struct irqs *irqs, struct kvm *kvm, bool split, struct err *e);
void irqs_fini(struct irqs *irqs);

/* Make the in-kernel controllers and the timer chip of a VM, without routes; irqs_init() does it too. */
MUST_CHECK int irqs_create_chips(int vm_fd, bool split, struct err *e);

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

/* ---- vmm/irq_split.c: for split machines ---- */

/* What an IOAPIC is to call, and the line for the PICs' INTR pin. */
struct ioapic_host irqs_ioapic_host(struct irqs *irqs);
struct irq_line irqs_intr_line(struct irqs *irqs);

/* Lines lead to these from now on; both borrowed until irqs_fini(). Before any line is driven. */
void irqs_attach_chips(struct irqs *irqs, struct ioapic *ioapic, struct i8259 *pic);

/* kick makes the boot processor leave the guest and look at irqs_extint(). Before vCPUs run. */
void irqs_set_kick(struct irqs *irqs, void (*kick)(void *ctx), void *ctx);

/* Do the PICs have an interrupt for the boot processor? Any thread; false on machines that are not split. */
static inline bool irqs_extint(struct irqs *irqs)
{
	return atomic_load(&irqs->extint);
}

/* Acknowledge it: returns the vector to inject. Boot processor's thread. */
uint8_t irqs_extint_ack(struct irqs *irqs);

/* KVM_EXIT_IOAPIC_EOI. vCPU threads. */
void irqs_eoi(struct irqs *irqs, uint8_t vector);

/* For vmm/irq.c: set a pin's level, under irqs->lock. */
void irqs_split_drive_locked(struct irqs *irqs, unsigned int gsi, bool level);

/* For vmm/irq_split.c: the pin's GSI has this message in KVM's table; addr 0: it has none. */
void irqs_pin_route(struct irqs *irqs, unsigned int pin, uint64_t addr, uint32_t data);

/*
 * A message as the guest means it to one as KVM takes it with KVM_X2APIC_API_USE_32BIT_IDS: id bits 14-8 go from
 * address bits 11-5 to 46-40 (Linux 6.12, arch/x86/include/asm/msi.h; Documentation/virt/kvm/api.rst, 7.8).
 */
static inline uint64_t irqs_extended_addr(uint64_t addr)
{
	return (addr & ~0xfe0ull) | (addr >> 5 & 0x7f) << 40;
}

#endif
