/* I/O APIC redirection entries and silencing the 8259s. */
#include "lib/ioapic.h"
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/tap.h"

static uint64_t base;
static uint32_t gsi_base;

static uint32_t ioapic_read(uint8_t index)
{
	cpu_write32(base, index);
	return cpu_read32(base + 0x10);
}

static void ioapic_write(uint8_t index, uint32_t value)
{
	cpu_write32(base, index);
	cpu_write32(base + 0x10, value);
}

unsigned int ioapic_nr_pins(void)
{
	return ((ioapic_read(1) >> 16) & 0xff) + 1;
}

void pic_mask_all(void)
{
	cpu_outb(0x20, 0x11);	/* ICW1..4: edge, cascade on 2, 8086 mode (Intel 8259A data sheet) */
	cpu_outb(0xa0, 0x11);
	cpu_outb(0x21, 0x20);
	cpu_outb(0xa1, 0x28);
	cpu_outb(0x21, 0x04);
	cpu_outb(0xa1, 0x02);
	cpu_outb(0x21, 0x01);
	cpu_outb(0xa1, 0x01);
	cpu_outb(0x21, 0xff);
	cpu_outb(0xa1, 0xff);
}

void ioapic_init(void)
{
	const uint8_t *entry = acpi_madt_entry(1, 0);

	if (!entry)
		tap_bail("no IOAPIC in the MADT");
	base = cpu_read32((uint64_t)entry + 4);
	gsi_base = cpu_read32((uint64_t)entry + 8);
	pic_mask_all();
	for (unsigned int pin = 0; pin < ioapic_nr_pins(); pin++) {
		ioapic_write((uint8_t)(0x10 + 2 * pin), IOAPIC_MASKED);
		ioapic_write((uint8_t)(0x11 + 2 * pin), 0);
	}
}

static uint8_t ioapic_index(uint32_t gsi)
{
	if (gsi < gsi_base || gsi - gsi_base >= ioapic_nr_pins())
		tap_bail("GSI %u is not on the first IOAPIC", gsi);
	return (uint8_t)(0x10 + 2 * (gsi - gsi_base));
}

void ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, uint32_t flags)
{
	uint8_t index = ioapic_index(gsi);

	ioapic_write(index, IOAPIC_MASKED);	/* never a half-written entry that can fire */
	ioapic_write((uint8_t)(index + 1), apic_id << 24 | (apic_id >> 8 & 0x7f) << 17); /* above 255: see lapic.h */
	ioapic_write(index, flags | vector);
}

void ioapic_mask(uint32_t gsi)
{
	uint8_t index = ioapic_index(gsi);

	ioapic_write(index, ioapic_read(index) | IOAPIC_MASKED);
}

void ioapic_unmask(uint32_t gsi)
{
	uint8_t index = ioapic_index(gsi);

	ioapic_write(index, ioapic_read(index) & ~(uint32_t)IOAPIC_MASKED);
}

uint32_t ioapic_entry(uint32_t gsi)
{
	return ioapic_read(ioapic_index(gsi));
}

uint32_t ioapic_route_isa(uint8_t irq, uint8_t vector, uint32_t apic_id)
{
	uint16_t mps;
	uint32_t gsi = acpi_isa_gsi(irq, &mps);
	uint32_t flags = 0;

	if ((mps & 3) == 3)		/* ACPI 6.4, table 5.26; 0 "conforms": ISA is edge, high */
		flags |= IOAPIC_ACTIVE_LOW;
	if (((mps >> 2) & 3) == 3)
		flags |= IOAPIC_LEVEL;
	ioapic_route(gsi, vector, apic_id, flags);
	return gsi;
}
