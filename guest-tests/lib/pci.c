/* PCI configuration access. Bridges are not followed: the machines under test have bus 0 only. */
#include "lib/pci.h"
#include "lib/acpi.h"
#include "lib/cpu.h"

static uint16_t pci_select(uint16_t bdf, unsigned int offset)
{
	cpu_outl(0xcf8, 0x80000000u | (uint32_t)bdf << 8 | (offset & 0xfc));
	return (uint16_t)(0xcfc + (offset & 3));
}

uint32_t pci_read(uint16_t bdf, unsigned int offset, unsigned int bytes)
{
	uint16_t port = pci_select(bdf, offset);

	return bytes == 1 ? cpu_inb(port) : bytes == 2 ? cpu_inw(port) : cpu_inl(port);
}

void pci_write(uint16_t bdf, unsigned int offset, unsigned int bytes, uint32_t value)
{
	uint16_t port = pci_select(bdf, offset);

	if (bytes == 1)
		cpu_outb(port, (uint8_t)value);
	else if (bytes == 2)
		cpu_outw(port, (uint16_t)value);
	else
		cpu_outl(port, value);
}

static uint64_t pci_ecam_address(uint16_t bdf, unsigned int offset)
{
	static uint64_t base;

	if (!base)
		base = acpi_ecam_base();
	return base + ((uint64_t)bdf << 12) + offset;
}

uint32_t pci_ecam_read(uint16_t bdf, unsigned int offset, unsigned int bytes)
{
	uint64_t at = pci_ecam_address(bdf, offset);

	return bytes == 1 ? cpu_read8(at) : bytes == 2 ? cpu_read16(at) : cpu_read32(at);
}

void pci_ecam_write(uint16_t bdf, unsigned int offset, unsigned int bytes, uint32_t value)
{
	uint64_t at = pci_ecam_address(bdf, offset);

	if (bytes == 1)
		cpu_write8(at, (uint8_t)value);
	else if (bytes == 2)
		cpu_write16(at, (uint16_t)value);
	else
		cpu_write32(at, value);
}

uint16_t pci_find(uint16_t vendor, uint16_t device)
{
	for (uint16_t bdf = 0; bdf < 256; bdf++)
		if (pci_read(bdf, 0, 4) == ((uint32_t)device << 16 | vendor))
			return bdf;
	return PCI_NONE;
}

unsigned int pci_find_capability(uint16_t bdf, uint8_t id)
{
	unsigned int at = pci_read(bdf, PCI_CAPABILITIES, 1) & 0xfc;

	if (!(pci_read(bdf, 6, 2) & 0x10))	/* status: no capability list */
		return 0;
	for (int tries = 0; at && tries < 48; tries++) {
		if (pci_read(bdf, at, 1) == id)
			return at;
		at = pci_read(bdf, at + 1, 1) & 0xfc;
	}
	return 0;
}

uint32_t pci_bar_bytes(uint16_t bdf, unsigned int bar)
{
	unsigned int at = PCI_BAR0 + 4 * bar;
	uint32_t command = pci_read(bdf, PCI_COMMAND, 2);
	uint32_t old = pci_read(bdf, at, 4);
	uint32_t mask;

	pci_write(bdf, PCI_COMMAND, 2, command & ~(uint32_t)PCI_COMMAND_MEMORY);
	pci_write(bdf, at, 4, 0xffffffff);
	mask = pci_read(bdf, at, 4) & ~0xfu;
	pci_write(bdf, at, 4, old);
	pci_write(bdf, PCI_COMMAND, 2, command);
	return ~mask + 1;
}
