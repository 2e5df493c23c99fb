/*
 * The floating pointer and the configuration table (MultiProcessor Specification 1.4, chapter 4). Present
 * processors alone are listed: it has no word for one that may come.
 */
#include "firmware/mptable.h"

#include <errno.h>

#include "firmware/tables.h"
#include "vmm/base/map.h"

enum { POINTER_BYTES = 16, HEADER_BYTES = 44, NR_ISA_IRQS = 16, NR_PCI_SLOTS = 32, NR_PCI_PINS = 4 };

/* Types of entries, by which the table is sorted (table 4-3). */
enum { ENTRY_CPU, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_IO_INT, ENTRY_LOCAL_INT };

/* What an interrupt is (tables 4-10 and 4-11), and its flags: polarity [1:0], trigger [3:2]; 0 is the bus's own way. */
enum { INT_VECTORED = 0, INT_NMI = 1, INT_EXTINT = 3 };
enum { FLAGS_BUS = 0, FLAGS_LEVEL_HIGH = 0xd };

enum { BUS_PCI = 0, BUS_ISA = 1 }; /* PCI's id here is also its bus number */

enum { ALL_APICS = 0xff };

struct mptable {
	struct buf *b;         /* borrowed */
	uint8_t ioapic;
	unsigned int nr_entries;
};

/* 4.3.1. The APIC is version 1.x, with 6 local vectors; KVM's says 0x14. */
static void cpu_put(struct mptable *m, const struct platform *p, const struct topo_cpu *cpu)
{
	buf_put8(m->b, ENTRY_CPU);
	buf_put8(m->b, (uint8_t)cpu->apic_id);
	buf_put8(m->b, 0x14);
	buf_put8(m->b, cpu == p->topo->cpu ? 3 : 1); /* usable; the first is the boot processor */
	buf_put32(m->b, p->cpuid1_eax & 0xfff);      /* family, model, stepping without extensions */
	buf_put32(m->b, p->cpuid1_edx);
	buf_put_zero(m->b, 8);
	m->nr_entries++;
}

/* 4.3.2. name: six characters, blanks behind. */
static void bus_put(struct mptable *m, uint8_t id, const char *name)
{
	buf_put8(m->b, ENTRY_BUS);
	buf_put8(m->b, id);
	buf_put(m->b, name, 6);
	m->nr_entries++;
}

/* 4.3.3. */
static void ioapic_put(struct mptable *m)
{
	buf_put8(m->b, ENTRY_IOAPIC);
	buf_put8(m->b, m->ioapic);
	buf_put8(m->b, 0x11); /* as KVM's version register has it */
	buf_put8(m->b, 1);    /* usable */
	buf_put32(m->b, (uint32_t)MAP_IOAPIC_BASE);
	m->nr_entries++;
}

/* 4.3.4 and 4.3.5 have one layout: source on a bus, destination at an APIC's input. */
static void interrupt_put(struct mptable *m, uint8_t entry, uint8_t type, uint16_t flags, uint8_t bus,
			  uint8_t irq, uint8_t apic, uint8_t input)
{
	const uint8_t bytes[] = { entry, type, (uint8_t)flags, (uint8_t)(flags >> 8), bus, irq, apic, input };

	buf_put(m->b, bytes, sizeof(bytes));
	m->nr_entries++;
}

/* Lines 0 to 15, of which 2 cascades the 8259s and brings nothing. */
static void isa_interrupts_put(struct mptable *m)
{
	for (uint8_t irq = 0; irq < NR_ISA_IRQS; irq++)
		if (irq != 2)
			interrupt_put(m, ENTRY_IO_INT, INT_VECTORED, irq == GSI_SCI ? FLAGS_LEVEL_HIGH : FLAGS_BUS,
				      BUS_ISA, irq, m->ioapic, irq ? irq : GSI_PIT);
}

/* As the DSDT's _PRT. The source is the slot in bits 6:2 and the pin in 1:0 (appendix D.3). */
static void pci_interrupts_put(struct mptable *m)
{
	for (uint8_t slot = 0; slot < NR_PCI_SLOTS; slot++)
		for (uint8_t pin = 0; pin < NR_PCI_PINS; pin++)
			interrupt_put(m, ENTRY_IO_INT, INT_VECTORED, FLAGS_BUS, BUS_PCI, (uint8_t)(slot << 2 | pin),
				      m->ioapic, (uint8_t)(GSI_PCI_BASE + (slot + pin) % NR_GSI_PCI));
}

static void entries_put(struct mptable *m, const struct platform *p)
{
	const struct topology *t = p->topo;

	for (unsigned int i = 0; i < t->nr_cpus; i++)
		if (t->cpu[i].present && t->cpu[i].apic_id < 255)
			cpu_put(m, p, &t->cpu[i]);
	bus_put(m, BUS_PCI, "PCI   ");
	bus_put(m, BUS_ISA, "ISA   ");
	ioapic_put(m);
	isa_interrupts_put(m);
	pci_interrupts_put(m);
	interrupt_put(m, ENTRY_LOCAL_INT, INT_EXTINT, FLAGS_BUS, BUS_ISA, 0, ALL_APICS, 0);
	interrupt_put(m, ENTRY_LOCAL_INT, INT_NMI, FLAGS_BUS, BUS_ISA, 0, ALL_APICS, 1);
}

/* 4.1. Feature byte 2 clear: no IMCR, interrupts start in virtual wire mode. */
static void pointer_put(struct buf *b, uint32_t table)
{
	uint8_t bytes[POINTER_BYTES] = "_MP_";

	put_le32(bytes + 4, table);
	bytes[8] = 1; /* length in units of 16 bytes */
	bytes[9] = 4; /* version 1.4 */
	bytes[10] = tables_checksum(bytes, sizeof(bytes));
	buf_put(b, bytes, sizeof(bytes));
}

/* 4.2. Length, checksum and number of entries are patched in by mptable_build(). */
static void header_put(struct buf *b)
{
	buf_put(b, "PCMP", 4);
	buf_put16(b, 0);
	buf_put8(b, 4); /* version 1.4 */
	buf_put8(b, 0);
	buf_put(b, "TRELLIS ", 8);
	buf_put(b, "KVM         ", 12);
	buf_put_zero(b, 6); /* OEM table, its size */
	buf_put16(b, 0);
	buf_put32(b, (uint32_t)MAP_LAPIC_BASE);
	buf_put_zero(b, 4); /* extended table, its checksum */
}

int mptable_build(const struct platform *p, uint64_t base, struct buf *out, struct err *e)
{
	struct mptable m = { .b = out, .ioapic = tables_ioapic_id(p) };
	size_t len;
	int rc;

	pointer_put(out, (uint32_t)base + POINTER_BYTES);
	header_put(out);
	entries_put(&m, p);
	rc = buf_status(out);
	if (rc < 0)
		return err_set(e, rc, "no memory for the MP table");
	len = out->len - POINTER_BYTES; /* at most 255 processors: below 8 KiB */
	buf_patch16(out, POINTER_BYTES + 4, (uint16_t)len);
	buf_patch16(out, POINTER_BYTES + 34, (uint16_t)m.nr_entries);
	buf_patch8(out, POINTER_BYTES + 7, tables_checksum(out->data + POINTER_BYTES, len));
	return 0;
}
