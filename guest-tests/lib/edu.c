/* Driving the edu device. MSI layout: PCI Local Bus 3.0, 6.8.1. */
#include "lib/edu.h"
#include "lib/cpu.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/pci.h"
#include "lib/tap.h"

/* Without firmware nobody has assigned the BAR. The 32-bit window of the machines under test holds this. */
#define FREE_ADDRESS 0xd0000000u

struct edu edu_init(void)
{
	struct edu e = { .bdf = pci_find(0x1234, 0x11e8) };

	if (e.bdf == PCI_NONE)
		tap_skip_all("no edu device (1234:11e8) on bus 0");
	e.bar_bytes = pci_bar_bytes(e.bdf, 0);
	e.bar = pci_read(e.bdf, PCI_BAR0, 4) & ~0xfu;
	if (!e.bar) {
		e.bar = FREE_ADDRESS;
		if (multiboot_touches_ram(e.bar, e.bar_bytes))
			tap_bail("0x%lx is RAM, cannot put BAR0 there", e.bar);
		pci_write(e.bdf, PCI_BAR0, 4, (uint32_t)e.bar);
	}
	pci_write(e.bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	e.msi = pci_find_capability(e.bdf, 0x05);
	return e;
}

uint32_t edu_read(const struct edu *e, uint32_t reg)
{
	return cpu_read32(e->bar + reg);
}

void edu_write(const struct edu *e, uint32_t reg, uint32_t value)
{
	cpu_write32(e->bar + reg, value);
}

void edu_msi_enable(const struct edu *e, uint32_t apic_id, uint8_t vector)
{
	uint32_t control = pci_read(e->bdf, e->msi + 2, 2);
	unsigned int data = control & 0x80 ? 12 : 8;	/* 64-bit address: data moves up */

	pci_write(e->bdf, e->msi + 2, 2, control & ~1u);
	pci_write(e->bdf, e->msi + 4, 4, lapic_msi_address(apic_id));
	if (control & 0x80)
		pci_write(e->bdf, e->msi + 8, 4, 0);
	pci_write(e->bdf, e->msi + data, 2, vector);
	pci_write(e->bdf, e->msi + 2, 2, (control & ~0x70u) | 1);
}

void edu_msi_disable(const struct edu *e)
{
	pci_write(e->bdf, e->msi + 2, 2, pci_read(e->bdf, e->msi + 2, 2) & ~1u);
}
