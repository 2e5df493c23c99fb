/*
 * In-kernel interrupt controllers and KVM's routes. GSIs 0-15 reach both the PIC and the IOAPIC, 16-23 the IOAPIC
 * only, and from 24 up each is one message. The PIT's output arrives at IOAPIC pin 2. What is different when the
 * controllers are ours is irq_split.c's business.
 */
#include "vmm/irq.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/log.h"

static int routes_reserve(struct irqs *irqs, size_t nr)
{
	size_t cap = MAX(irqs->cap_routes * 2, (size_t)64);
	struct kvm_irq_routing *grown;

	if (nr <= irqs->cap_routes)
		return 0;
	while (cap < nr)
		cap *= 2;
	grown = realloc(irqs->routes, sizeof(*grown) + cap * sizeof(grown->entries[0]));
	if (!grown)
		return -ENOMEM;
	if (!irqs->routes)
		*grown = (struct kvm_irq_routing){ 0 };
	irqs->routes = grown;
	irqs->cap_routes = cap;
	return 0;
}

static int routes_commit(struct irqs *irqs)
{
	return kvm_ioctl(irqs->kvm->vm_fd, KVM_SET_GSI_ROUTING, irqs->routes) < 0 ? -errno : 0;
}

static void route_pin(struct irqs *irqs, unsigned int gsi, unsigned int chip, unsigned int pin)
{
	irqs->routes->entries[irqs->routes->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

static int routes_init(struct irqs *irqs)
{
	int rc = routes_reserve(irqs, 64);

	if (rc < 0)
		return rc;
	for (unsigned int gsi = 0; gsi < NR_IOAPIC_PINS; gsi++) {
		if (gsi < 8)
			route_pin(irqs, gsi, KVM_IRQCHIP_PIC_MASTER, gsi);
		else if (gsi < 16)
			route_pin(irqs, gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - 8);
		/* IRQ 0 is wired to IOAPIC pin 2, and pin 2's own ISA line is the PIC cascade. */
		if (gsi == 0)
			route_pin(irqs, gsi, KVM_IRQCHIP_IOAPIC, GSI_PIT);
		else if (gsi != GSI_PIT)
			route_pin(irqs, gsi, KVM_IRQCHIP_IOAPIC, gsi);
	}
	return routes_commit(irqs);
}

static int create_split(int vm_fd, struct err *e)
{
	/* GSIs below this are IOAPIC pins, whose routes tell KVM which EOIs we want to see. */
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { NR_IOAPIC_PINS } };

	return kvm_ioctl(vm_fd, KVM_ENABLE_CAP, &cap) < 0 ? err_sys(e, -errno, "KVM_CAP_SPLIT_IRQCHIP") : 0;
}

int irqs_create_chips(int vm_fd, bool split, struct err *e)
{
	/* The speaker port 0x61 gates PIT channel 2, which guests use to calibrate their clocks. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (split)
		return create_split(vm_fd, e);
	if (kvm_ioctl(vm_fd, KVM_CREATE_IRQCHIP, NULL) < 0)
		return err_sys(e, -errno, "KVM_CREATE_IRQCHIP");
	if (kvm_ioctl(vm_fd, KVM_CREATE_PIT2, &pit) < 0)
		return err_sys(e, -errno, "KVM_CREATE_PIT2");
	return 0;
}

int irqs_init(struct irqs *irqs, struct kvm *kvm, bool split, struct err *e)
{
	int rc;

	*irqs = (struct irqs){ .kvm = kvm, .split = split };
	pthread_mutex_init(&irqs->lock, NULL);
	pthread_mutex_init(&irqs->route_lock, NULL);
	if (split && !(kvm->split_irqchip && kvm->x2apic_api))
		return err_set(
			e, -ENOTSUP,
			"this KVM lacks %s, which APIC ids above 254 need: without it at most 255 processors "
			"are possible, counting pluggable ones and gaps between ids; Linux 4.7 and newer "
			"have it",
			kvm->split_irqchip ? "KVM_CAP_X2APIC_API" : "KVM_CAP_SPLIT_IRQCHIP");
	rc = irqs_create_chips(kvm->vm_fd, split, e);
	if (rc < 0)
		return rc;
	rc = split ? routes_reserve(irqs, 64) : routes_init(irqs); /* of KVM's table nothing is there yet */
	return rc < 0 ? err_sys(e, rc, "KVM_SET_GSI_ROUTING") : 0;
}

void irqs_fini(struct irqs *irqs)
{
	if (!irqs->kvm)
		return;
	pthread_mutex_destroy(&irqs->route_lock);
	pthread_mutex_destroy(&irqs->lock);
	free(irqs->routes);
	*irqs = (struct irqs){ 0 };
}

static void drive_locked(struct irqs *irqs, unsigned int gsi, bool level)
{
	struct kvm_irq_level arg = { .irq = gsi, .level = level };

	if (irqs->split)
		irqs_split_drive_locked(irqs, gsi, level);
	else
		(void)kvm_ioctl(irqs->kvm->vm_fd, KVM_IRQ_LINE, &arg); /* cannot fail for a pin that exists */
}

static void lines_lower(struct irqs *irqs)
{
	pthread_mutex_lock(&irqs->lock);
	for (unsigned int gsi = 0; gsi < NR_IOAPIC_PINS; gsi++) {
		irqs->raised[gsi] = 0;
		drive_locked(irqs, gsi, false);
	}
	pthread_mutex_unlock(&irqs->lock);
}

int irqs_reset(struct irqs *irqs, int fresh_vm_fd, struct err *e)
{
	static const uint32_t chips[] = { KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC };
	int vm_fd = irqs->kvm->vm_fd;
	struct kvm_pit_state2 pit;

	lines_lower(irqs);
	if (irqs->split)
		return 0; /* the chips are devices, and have been reset as such */
	for (unsigned int i = 0; i < ARRAY_SIZE(chips); i++) {
		struct kvm_irqchip chip = { .chip_id = chips[i] };

		if (kvm_ioctl(fresh_vm_fd, KVM_GET_IRQCHIP, &chip) < 0 ||
		    kvm_ioctl(vm_fd, KVM_SET_IRQCHIP, &chip) < 0)
			return err_sys(e, -errno, "cannot reset interrupt controller %u", chips[i]);
	}
	if (kvm_ioctl(fresh_vm_fd, KVM_GET_PIT2, &pit) < 0 || kvm_ioctl(vm_fd, KVM_SET_PIT2, &pit) < 0)
		return err_sys(e, -errno, "cannot reset the timer chip");
	return 0;
}

static void line_set(void *ctx, unsigned int pin, bool level)
{
	struct irqs *irqs = ctx;
	unsigned int gsi = pin / IRQ_SOURCES_PER_PIN;
	uint8_t bit = (uint8_t)(1u << (pin % IRQ_SOURCES_PER_PIN));
	uint8_t was, is;

	pthread_mutex_lock(&irqs->lock);
	was = irqs->raised[gsi];
	is = level ? was | bit : was & (uint8_t)~bit;
	irqs->raised[gsi] = is;
	if (!was != !is)
		drive_locked(irqs, gsi, is);
	pthread_mutex_unlock(&irqs->lock);
}

struct irq_line irqs_line(struct irqs *irqs, unsigned int gsi, unsigned int source)
{
	return (struct irq_line){ .set = line_set, .ctx = irqs, .pin = gsi * IRQ_SOURCES_PER_PIN + source };
}

static int irqfd(struct irqs *irqs, const struct msi_vector *v, uint32_t flags)
{
	struct kvm_irqfd arg = { .fd = (uint32_t)v->fd, .gsi = (uint32_t)v->gsi, .flags = flags };

	return kvm_ioctl(irqs->kvm->vm_fd, KVM_IRQFD, &arg) < 0 ? -errno : 0;
}

static struct kvm_irq_routing_entry *route_find_locked(struct irqs *irqs, int gsi)
{
	for (unsigned int i = 0; i < irqs->routes->nr; i++)
		if (irqs->routes->entries[i].gsi == (uint32_t)gsi)
			return &irqs->routes->entries[i];
	return NULL;
}

static int gsi_alloc_locked(struct irqs *irqs)
{
	for (int gsi = IRQ_FIRST_MSI_GSI; gsi < IRQ_MAX_GSIS; gsi++)
		if (!(irqs->used[gsi / 64] & (1ull << (gsi % 64)))) {
			irqs->used[gsi / 64] |= 1ull << (gsi % 64);
			return gsi;
		}
	return -ENOSPC;
}

int irqs_msi_open(void *ctx, struct msi_vector *v)
{
	struct irqs *irqs = ctx;
	int rc;

	*v = (struct msi_vector){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .gsi = -1 };
	if (v->fd < 0)
		return -errno;
	pthread_mutex_lock(&irqs->route_lock);
	rc = gsi_alloc_locked(irqs);
	pthread_mutex_unlock(&irqs->route_lock);
	if (rc < 0) {
		close(v->fd);
		v->fd = -1;
		return rc;
	}
	v->gsi = rc;
	return 0;
}

static void route_remove_locked(struct irqs *irqs, int gsi)
{
	struct kvm_irq_routing_entry *route = route_find_locked(irqs, gsi);

	if (!route)
		return;
	*route = irqs->routes->entries[--irqs->routes->nr];
	(void)routes_commit(irqs); /* a shorter table that KVM has accepted before */
}

void irqs_msi_close(void *ctx, struct msi_vector *v)
{
	struct irqs *irqs = ctx;

	if (v->fd < 0)
		return;
	irqs_msi_mask(ctx, v);
	pthread_mutex_lock(&irqs->route_lock);
	route_remove_locked(irqs, v->gsi);
	irqs->used[v->gsi / 64] &= ~(1ull << (v->gsi % 64));
	pthread_mutex_unlock(&irqs->route_lock);
	close(v->fd);
	*v = (struct msi_vector){ .fd = -1, .gsi = -1 };
}

/* Point a GSI at a message; on failure the table stays as it was. */
static int route_set_locked(struct irqs *irqs, int gsi, uint64_t addr, uint32_t data)
{
	struct kvm_irq_routing_entry *route = route_find_locked(irqs, gsi);
	struct kvm_irq_routing_entry was;
	bool is_new = !route;
	int rc;

	if (is_new) {
		rc = routes_reserve(irqs, irqs->routes->nr + 1);
		if (rc < 0)
			return rc;
		route = &irqs->routes->entries[irqs->routes->nr++];
	}
	was = *route;
	*route = (struct kvm_irq_routing_entry){
		.gsi = (uint32_t)gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = (uint32_t)addr, .address_hi = (uint32_t)(addr >> 32), .data = data },
	};
	if (!is_new && !memcmp(&was, route, sizeof(was)))
		return 0;
	rc = routes_commit(irqs);
	if (rc < 0 && is_new)
		irqs->routes->nr--;
	else if (rc < 0)
		*route = was;
	return rc;
}

void irqs_pin_route(struct irqs *irqs, unsigned int pin, uint64_t addr, uint32_t data)
{
	int rc = 0;

	pthread_mutex_lock(&irqs->route_lock);
	if (addr)
		rc = route_set_locked(irqs, (int)pin, addr, data);
	else
		route_remove_locked(irqs, (int)pin);
	pthread_mutex_unlock(&irqs->route_lock);
	if (rc < 0)
		log_warn("interrupt line %u may stop: no route for it: %s", pin, strerror(-rc));
}

int irqs_msi_set(void *ctx, struct msi_vector *v, uint64_t addr, uint32_t data)
{
	struct irqs *irqs = ctx;
	int rc;

	/* Anywhere else it is a write to memory (SDM 3A, 11.11.1); KVM would look at the low bits alone. */
	if (addr >> 20 != 0xfee)
		return -EINVAL;
	if (irqs->split)
		addr = irqs_extended_addr(addr);
	pthread_mutex_lock(&irqs->route_lock);
	rc = route_set_locked(irqs, v->gsi, addr, data);
	pthread_mutex_unlock(&irqs->route_lock);
	if (rc < 0 || v->live)
		return rc;
	/* KVM looks at the eventfd when it is attached: what was signalled while masked comes now. */
	rc = irqfd(irqs, v, 0);
	v->live = rc == 0;
	return rc;
}

void irqs_msi_mask(void *ctx, struct msi_vector *v)
{
	if (!v->live)
		return;
	(void)irqfd(ctx, v, KVM_IRQFD_FLAG_DEASSIGN); /* fails only if it was not attached */
	v->live = false;
}
