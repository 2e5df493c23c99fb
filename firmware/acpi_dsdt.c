/*
 * The DSDT in AML. Devices that report themselves (PCI) are not here, nor is the power button, which is
 * fixed hardware (ACPI 6.5, 4.8.2.2.1.1). Interrupts of PCI are hard-wired to the IOAPIC: there are no link
 * devices, so that a guest that uses the 8259s alone has PCI devices with MSI only.
 */
#include "firmware/acpi_dsdt.h"

#include "firmware/aml.h"
#include "vmm/base/map.h"

#include <stdio.h>

enum { NR_PCI_SLOTS = 32, NR_PCI_PINS = 4 };

/* What the guest writes into SLP_TYP to switch off (7.4.2). No other sleeping state: there is no \_S3. */
static void put_sleep_states(struct buf *b)
{
	size_t package;

	aml_put_name(b, "_S5");
	package = aml_open_package(b, 4);
	aml_put_integer(b, PM_SLP_TYP_S5); /* PM1a_CNT */
	aml_put_integer(b, 0);             /* PM1b_CNT, which is absent */
	aml_put_integer(b, 0);
	aml_put_integer(b, 0);
	aml_close(b, package);
}

/*
 * One device for each processor; _UID is that of its MADT entry. Devices, because the older Processor ()
 * has 8 bits for that. A processor that is there needs no _STA (6.3.7); one that may come is absent.
 */
static void put_cpus(const struct platform *p, struct buf *b)
{
	char name[8];
	size_t device;

	for (unsigned int i = 0; i < p->topo->nr_cpus; i++) {
		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		device = aml_open_device(b, name);
		aml_put_name_string(b, "_HID", "ACPI0007");
		aml_put_name_integer(b, "_UID", p->topo->cpu[i].apic_id);
		if (!p->topo->cpu[i].present)
			aml_put_name_integer(b, "_STA", 0);
		if (p->topo->nr_nodes)
			aml_put_name_integer(b, "_PXM", p->topo->cpu[i].node); /* as in the SRAT (6.2.14) */
		aml_close(b, device);
	}
}

/* What the root bridge takes for itself and passes on (6.2.2). */
static void put_pci_resources(const struct platform *p, struct buf *b)
{
	size_t resources;

	aml_put_name(b, "_CRS");
	resources = aml_open_resources(b);
	aml_put_bus_window(b, 0, (uint16_t)(p->nr_buses - 1));
	aml_put_io(b, PORT_PCI_ADDR, 8);
	aml_put_io_window(b, 0, PORT_PCI_ADDR - 1);
	aml_put_io_window(b, PORT_PCI_ADDR + 8, 0xffff);
	if (p->pci32_len)
		aml_put_memory32_window(b, (uint32_t)p->pci32_base, (uint32_t)p->pci32_len);
	if (p->pci64_len)
		aml_put_memory64_window(b, p->pci64_base, p->pci64_len);
	aml_close_resources(b, resources);
}

/*
 * INTA to INTD of every slot of bus 0 (6.2.13). Neighbours start at different lines, as on any board.
 * Source 0: the number is a global interrupt.
 */
static void put_pci_routes(struct buf *b)
{
	size_t table, route;

	aml_put_name(b, "_PRT");
	table = aml_open_package(b, NR_PCI_SLOTS * NR_PCI_PINS);
	for (unsigned int slot = 0; slot < NR_PCI_SLOTS; slot++)
		for (unsigned int pin = 0; pin < NR_PCI_PINS; pin++) {
			route = aml_open_package(b, 4);
			aml_put_integer(b, slot << 16 | 0xffff); /* any function */
			aml_put_integer(b, pin);
			aml_put_integer(b, 0);
			aml_put_integer(b, GSI_PCI_BASE + (slot + pin) % NR_GSI_PCI);
			aml_close(b, route);
		}
	aml_close(b, table);
}

/* One byte of _OSC's buffer: Arg3 [index] as a reference. */
static void put_osc_byte(struct buf *b, unsigned int index)
{
	aml_put_op(b, AML_INDEX);
	aml_put_op(b, AML_ARG0 + 3);
	aml_put_integer(b, index);
	aml_put_no_target(b);
}

/* Arg3 [0] |= bits: what is wrong with the request (6.2.11). */
static void put_osc_status(struct buf *b, unsigned int bits)
{
	aml_put_op(b, AML_OR);
	aml_put_op(b, AML_DEREF);
	put_osc_byte(b, 0);
	aml_put_integer(b, bits);
	put_osc_byte(b, 0);
}

/* Arg3 [index] &= mask; says so in the status when that took something away. */
static void put_osc_mask(struct buf *b, unsigned int index, unsigned int mask)
{
	size_t denied;

	aml_put_op(b, AML_STORE);
	aml_put_op(b, AML_DEREF);
	put_osc_byte(b, index);
	aml_put_op(b, AML_LOCAL0);

	denied = aml_open_if(b);
	aml_put_op(b, AML_LNOT);
	aml_put_op(b, AML_LEQUAL);
	aml_put_op(b, AML_AND);
	aml_put_op(b, AML_LOCAL0);
	aml_put_integer(b, mask);
	aml_put_no_target(b);
	aml_put_op(b, AML_LOCAL0);
	put_osc_status(b, 1u << 4); /* capabilities masked */
	aml_close(b, denied);

	aml_put_op(b, AML_AND);
	aml_put_op(b, AML_LOCAL0);
	aml_put_integer(b, mask);
	put_osc_byte(b, index);
}

/*
 * Who controls PCI Express features (PCI Firmware 3.3, 4.5.1). Arg0 names the interface, Arg1 its
 * revision, Arg2 counts the DWORDs of Arg3: status, what the guest supports, what it wants. It gets the
 * capability structure (bit 4). It does not get hotplug, native or SHPC: slots report through GPEs. There
 * is nothing that could signal PMEs or errors. Byte by byte, so that the method creates no named objects
 * and need not be serialized.
 */
static void put_pci_osc(struct buf *b)
{
	size_t method = aml_open_method(b, "_OSC", 4);
	size_t known, other;

	known = aml_open_if(b);
	aml_put_op(b, AML_LEQUAL);
	aml_put_op(b, AML_ARG0);
	aml_put_uuid(b, "33db4d5b-1ff7-401c-9657-7441c03dd766");
	other = aml_open_if(b);
	aml_put_op(b, AML_LLESS);
	aml_put_op(b, AML_ARG0 + 2);
	aml_put_integer(b, 3);
	put_osc_status(b, 1u << 1); /* failure: there is no control DWORD */
	aml_put_op(b, AML_RETURN);
	aml_put_op(b, AML_ARG0 + 3);
	aml_close(b, other);
	other = aml_open_if(b);
	aml_put_op(b, AML_LNOT);
	aml_put_op(b, AML_LEQUAL);
	aml_put_op(b, AML_ARG0 + 1);
	aml_put_integer(b, 1);
	put_osc_status(b, 1u << 3); /* revision unknown */
	aml_close(b, other);
	put_osc_mask(b, 8, 1u << 4);
	for (unsigned int i = 9; i < 12; i++)
		put_osc_mask(b, i, 0);
	aml_close(b, known);

	other = aml_open_else(b);
	put_osc_status(b, 1u << 2); /* interface unknown */
	aml_close(b, other);
	aml_put_op(b, AML_RETURN);
	aml_put_op(b, AML_ARG0 + 3);
	aml_close(b, method);
}

static void put_pci_root(const struct platform *p, struct buf *b)
{
	size_t device = aml_open_device(b, "PCI0");

	aml_put_name_eisaid(b, "_HID", "PNP0A08"); /* PCI Express */
	aml_put_name_eisaid(b, "_CID", "PNP0A03"); /* and, to who does not know that, PCI */
	aml_put_name_integer(b, "_SEG", 0);
	aml_put_name_integer(b, "_BBN", 0);
	aml_put_name_integer(b, "_UID", 0);
	put_pci_resources(p, b);
	put_pci_routes(b);
	put_pci_osc(b);
	aml_close(b, device);
}

/*
 * Addresses in use that belong to no other device. Guests believe MCFG only if the ECAM is reserved
 * (PCI Firmware 3.3, 4.1.2).
 */
static void put_reserved(const struct platform *p, struct buf *b)
{
	size_t device, resources;

	device = aml_open_device(b, "MBRD");
	aml_put_name_eisaid(b, "_HID", "PNP0C02");
	aml_put_name_integer(b, "_UID", 0);
	aml_put_name(b, "_CRS");
	resources = aml_open_resources(b);
	aml_put_memory32_fixed(b, (uint32_t)MAP_ECAM_BASE, (uint32_t)(p->nr_buses * MIB));
	aml_put_io(b, PORT_PM_BASE, PORT_PM_TMR + 4 - PORT_PM_BASE);
	aml_put_io(b, PORT_GPE0, GPE0_LEN);
	aml_close_resources(b, resources);
	aml_close(b, device);
}

/* Serial ports. COM1 and COM3 have one line, COM2 and COM4 the other. */
static void put_coms(const struct platform *p, struct buf *b)
{
	static const struct {
		uint16_t port;
		uint8_t irq;
	} com[PLATFORM_MAX_COMS] = {
		{ PORT_COM1, GSI_COM1 }, { PORT_COM2, GSI_COM2 }, { PORT_COM3, GSI_COM1 }, { PORT_COM4, GSI_COM2 }
	};
	char name[8];
	size_t device, resources;

	for (unsigned int i = 0; i < PLATFORM_MAX_COMS; i++) {
		if (!p->com_present[i])
			continue;
		snprintf(name, sizeof(name), "COM%u", (i + 1) & 7);
		device = aml_open_device(b, name);
		aml_put_name_eisaid(b, "_HID", "PNP0501"); /* 16550A */
		aml_put_name_integer(b, "_UID", i + 1);
		aml_put_name_string(b, "_DDN", name);
		aml_put_name(b, "_CRS");
		resources = aml_open_resources(b);
		aml_put_io(b, com[i].port, 8);
		aml_put_irq_shared(b, com[i].irq);
		aml_close_resources(b, resources);
		aml_close(b, device);
	}
}

static void put_rtc(struct buf *b)
{
	size_t device, resources;

	device = aml_open_device(b, "RTC");
	aml_put_name_eisaid(b, "_HID", "PNP0B00");
	aml_put_name(b, "_CRS");
	resources = aml_open_resources(b);
	aml_put_io(b, PORT_RTC, 2);
	aml_put_irq(b, GSI_RTC);
	aml_close_resources(b, resources);
	aml_close(b, device);
}

/* The guest tells about its own crash here; the id is the one that drivers look for. */
static void put_pvpanic(struct buf *b)
{
	size_t device, resources;

	device = aml_open_device(b, "PEVT");
	aml_put_name_string(b, "_HID", "QEMU0001");
	aml_put_name(b, "_CRS");
	resources = aml_open_resources(b);
	aml_put_io(b, PORT_PVPANIC, 1);
	aml_close_resources(b, resources);
	aml_put_name_integer(b, "_STA", 0x0f);
	aml_close(b, device);
}

void acpi_dsdt_put(const struct platform *p, struct buf *b)
{
	size_t scope;

	put_sleep_states(b);
	scope = aml_open_scope(b, "_SB");
	put_cpus(p, b);
	put_pci_root(p, b);
	put_reserved(p, b);
	put_coms(p, b);
	put_rtc(b);
	if (p->pvpanic_present)
		put_pvpanic(b);
	aml_close(b, scope);
}
