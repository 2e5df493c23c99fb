/*
 * Bus 0 looks the same through ECAM and through ports 0xcf8/0xcfc, and what is absent reads all ones.
 *
 * PCI Local Bus 3.0, 3.2.2.3 and 6.1; PCI Express 4.0, 7.2.2. Reads only, except for one scratch byte (interrupt
 * line) of the edu device if it is there. Devices on other buses are not looked for.
 */
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/multiboot.h"
#include "lib/pci.h"
#include "lib/tap.h"

static unsigned int nr_found, nr_differ, nr_holes_bad, nr_parts_bad, nr_fields_bad;

/* Bytes and words must be slices of the dword, by both ways. */
static void enumeration_check_parts(uint16_t bdf, unsigned int offset)
{
	uint32_t whole = pci_read(bdf, offset, 4);

	for (unsigned int i = 0; i < 4; i++) {
		uint8_t part = (uint8_t)(whole >> 8 * i);

		nr_parts_bad += pci_read(bdf, offset + i, 1) != part || pci_ecam_read(bdf, offset + i, 1) != part;
	}
	for (unsigned int i = 0; i < 4; i += 2) {
		uint16_t part = (uint16_t)(whole >> 8 * i);

		nr_parts_bad += pci_read(bdf, offset + i, 2) != part || pci_ecam_read(bdf, offset + i, 2) != part;
	}
}

static void enumeration_visit(uint16_t bdf)
{
	static const uint8_t offsets[] = { 0x00, 0x04, 0x08, 0x0c, 0x10, 0x2c, 0x34, 0x3c };
	uint32_t id = pci_read(bdf, 0, 4);
	uint32_t type;

	nr_differ += pci_ecam_read(bdf, 0, 4) != id;
	if (id == 0xffffffff) {
		nr_holes_bad += pci_read(bdf, 0x3c, 4) != 0xffffffff || pci_ecam_read(bdf, 0x3c, 4) != 0xffffffff;
		return;
	}
	nr_found++;
	for (unsigned int i = 0; i < sizeof(offsets); i++)
		nr_differ += pci_read(bdf, offsets[i], 4) != pci_ecam_read(bdf, offsets[i], 4);
	enumeration_check_parts(bdf, 0);
	enumeration_check_parts(bdf, 8);
	type = pci_read(bdf, PCI_HEADER_TYPE, 1);
	nr_fields_bad += (id & 0xffff) == 0 || (type & 0x7f) > 1 || (pci_read(bdf, PCI_PIN, 1) > 4);
	tap_note("00:%02x.%u %04x:%04x class %06x header %02x", bdf >> 3, bdf & 7, id & 0xffff, id >> 16,
		 pci_read(bdf, 8, 4) >> 8, type);
}

static void enumeration_check_ports(void)
{
	uint32_t old;

	cpu_outl(0xcf8, 0x80000004);
	tap_equal(cpu_inl(0xcf8), 0x80000004, "0xcf8 reads back");
	cpu_outb(0xcf8, 0x08);
	tap_equal(cpu_inl(0xcf8), 0x80000004, "a byte write to 0xcf8 does not reach it");
	cpu_outl(0xcf8, 0x00000000);
	tap_equal(cpu_inl(0xcfc), 0xffffffff, "without the enable bit 0xcfc reads all ones");
	old = pci_read(0, 0, 4);
	pci_write(0, 0, 4, 0x12345678);
	tap_equal(pci_read(0, 0, 4), old, "vendor and device id are read-only");
}

static void enumeration_check_write(void)
{
	uint16_t bdf = pci_find(0x1234, 0x11e8);
	uint32_t old;

	if (bdf == PCI_NONE) {
		tap_skip("no edu device to write to");
		return;
	}
	old = pci_read(bdf, PCI_LINE, 1);
	pci_ecam_write(bdf, PCI_LINE, 1, 0x5a);
	tap_equal(pci_read(bdf, PCI_LINE, 1), 0x5a, "written by ECAM, read by port");
	pci_write(bdf, PCI_LINE, 1, 0xa5);
	tap_equal(pci_ecam_read(bdf, PCI_LINE, 1), 0xa5, "written by port, read by ECAM");
	pci_write(bdf, PCI_LINE, 1, old);
	old = pci_ecam_read(bdf, 0x100, 4);	/* 0 from a PCI Express device, all ones from a conventional one */
	tap_check(old == 0 || old == 0xffffffff, "no extended capability: ECAM 0x100 reads 0x%x", old);
}

void test_main(void)
{
	if (!acpi_ecam_base())
		tap_bail("no MCFG");
	tap_note("ECAM at 0x%lx", acpi_ecam_base());
	tap_equal(pci_read(0, 8, 4) >> 16, 0x0600, "00:00.0 is a host bridge");
	for (uint16_t bdf = 0; bdf < 256; bdf++)
		enumeration_visit(bdf);
	tap_check(nr_found >= 1, "%u functions on bus 0", nr_found);
	tap_equal(nr_differ, 0, "ECAM and ports agree");
	tap_equal(nr_holes_bad, 0, "absent functions read all ones");
	tap_equal(nr_parts_bad, 0, "bytes and words are slices of the dword");
	tap_equal(nr_fields_bad, 0, "vendor, header type and pin are plausible");
	enumeration_check_ports();
	enumeration_check_write();
}
