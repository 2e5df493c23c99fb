/*
 * Interrupts of a split machine: lines to our IOAPIC and PICs, the IOAPIC's messages to KVM's local APICs, EOIs
 * back, and the PICs' INTR pin to the boot processor, which vmm/vcpu.c injects.
 *
 * Only level-triggered pins have a route in KVM's table: it is how KVM knows for which vectors an EOI has to
 * come to us (Linux 6.12, arch/x86/kvm/irq_comm.c, kvm_scan_ioapic_routes()); the messages themselves are sent
 * one by one. So a guest that sets up its edge-triggered pins does not wait for the table.
 */
#include "vmm/irq.h"

static void send(void *ctx, uint32_t addr, uint32_t data)
{
	struct irqs *irqs = ctx;
	uint64_t full = irqs_extended_addr(addr);
	struct kvm_msi msi = {
		.address_lo = (uint32_t)full,
		.address_hi = (uint32_t)(full >> 32),
		.data = data,
	};

	/* Nobody there: the message is lost, as on a bus. */
	(void)kvm_ioctl(irqs->kvm->vm_fd, KVM_SIGNAL_MSI, &msi);
}

static void watch(void *ctx, unsigned int pin, uint32_t addr, uint32_t data)
{
	irqs_pin_route(ctx, pin, irqs_extended_addr(addr), data);
}

struct ioapic_host irqs_ioapic_host(struct irqs *irqs)
{
	return (struct ioapic_host){ .ctx = irqs, .send = send, .watch = watch };
}

static void set_intr(void *ctx, unsigned int pin, bool level)
{
	struct irqs *irqs = ctx;

	(void)pin;
	/* Before the kick: pairs with vcpu_offer_extint() in vmm/vcpu.c. */
	atomic_store(&irqs->extint, level);
	if (level && irqs->kick)
		irqs->kick(irqs->kick_ctx);
}

struct irq_line irqs_intr_line(struct irqs *irqs)
{
	return (struct irq_line){ .set = set_intr, .ctx = irqs };
}

void irqs_attach_chips(struct irqs *irqs, struct ioapic *ioapic, struct i8259 *pic)
{
	irqs->ioapic = ioapic;
	irqs->pic = pic;
}

void irqs_set_kick(struct irqs *irqs, void (*kick)(void *ctx), void *ctx)
{
	irqs->kick = kick;
	irqs->kick_ctx = ctx;
}

/* The wiring is that of the in-kernel chips (vmm/irq.c, routes_init()). */
void irqs_split_drive_locked(struct irqs *irqs, unsigned int gsi, bool level)
{
	if (!irqs->ioapic)
		return; /* a machine that could not be built is being taken apart */
	if (gsi < I8259_NR_LINES)
		i8259_set_line(irqs->pic, gsi, level);
	if (gsi == 0)
		ioapic_set_line(irqs->ioapic, GSI_PIT, level);
	else if (gsi != GSI_PIT)
		ioapic_set_line(irqs->ioapic, gsi, level);
}

uint8_t irqs_extint_ack(struct irqs *irqs)
{
	return i8259_ack(irqs->pic);
}

void irqs_eoi(struct irqs *irqs, uint8_t vector)
{
	if (irqs->ioapic)
		ioapic_eoi(irqs->ioapic, vector);
}
