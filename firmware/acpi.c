/*
 * ACPI tables, as ACPI 6.3 defines them (FADT 6.3, MADT revision 5: the first which tells a pluggable
 * processor from a broken one); section numbers are those of ACPI 6.5. One function for each table. The
 * DSDT's contents are in acpi_dsdt.c, those of the tables about NUMA in acpi_numa.c.
 */
#include "firmware/acpi.h"

#include <errno.h>

#include "firmware/acpi_dsdt.h"
#include "firmware/acpi_numa.h"
#include "firmware/tables.h"
#include "vmm/base/map.h"

enum { HEADER_BYTES = 36, FADT_BYTES = 276, FACS_BYTES = 64, TABLE_ALIGN = 64, MAX_LISTED = 8 };

struct acpi {
	const struct platform *p;     /* borrowed */
	struct buf *out;              /* borrowed */
	uint32_t base;                /* guest-physical address of out's first byte */
	uint32_t facs, dsdt;          /* addresses; the FADT has them */
	uint32_t listed[MAX_LISTED];  /* addresses of what RSDT and XSDT point to */
	unsigned int nr_listed;
};

/* Start a table on its boundary; returns its offset. length and checksum come with table_end(). */
static size_t table_begin(struct acpi *a, const char *signature, uint8_t revision)
{
	size_t off;

	buf_align(a->out, TABLE_ALIGN);
	off = a->out->len;
	buf_put(a->out, signature, 4);
	buf_put32(a->out, 0);
	buf_put8(a->out, revision);
	buf_put8(a->out, 0);
	buf_put(a->out, "TRELLI", 6);
	buf_put(a->out, "TRELLIS ", 8);
	buf_put32(a->out, 1); /* OEM revision */
	buf_put(a->out, "TRLS", 4);
	buf_put32(a->out, 1); /* creator revision */
	return off;
}

/* Returns the table's address. */
static uint32_t table_end(struct acpi *a, size_t off)
{
	size_t len = a->out->len - off;

	buf_patch32(a->out, off + 4, (uint32_t)len);
	if (!a->out->failed)
		buf_patch8(a->out, off + 9, tables_checksum(a->out->data + off, len));
	return a->base + (uint32_t)off;
}

/* The one table without a header (5.2.10). Nothing here uses the global lock or a waking vector. */
static uint32_t facs_put(struct acpi *a)
{
	size_t off;

	buf_align(a->out, TABLE_ALIGN);
	off = a->out->len;
	buf_put(a->out, "FACS", 4);
	buf_put32(a->out, FACS_BYTES);
	buf_put_zero(a->out, 24); /* hardware signature, waking vectors, global lock, flags */
	buf_put8(a->out, 2);      /* version */
	buf_put_zero(a->out, FACS_BYTES - 33);
	return a->base + (uint32_t)off;
}

static uint32_t dsdt_put(struct acpi *a)
{
	size_t off = table_begin(a, "DSDT", 2); /* 2: integers have 64 bits */

	acpi_dsdt_put(a->p, a->out);
	return table_end(a, off);
}

/* A Generic Address Structure in I/O space (5.2.3.2). access: log2 of the bytes of one access, plus 1. */
static void gas_put(struct buf *b, uint16_t port, unsigned int bytes, uint8_t access)
{
	buf_put8(b, 1);
	buf_put8(b, (uint8_t)(8 * bytes));
	buf_put8(b, 0);
	buf_put8(b, access);
	buf_put64(b, port);
}

/* Fixed feature flags (5.2.9, table 5.10). */
static uint32_t fadt_flags(const struct platform *p)
{
	uint32_t flags = 1u << 0 |  /* WBINVD works */
			 1u << 2 |  /* PROC_C1: HLT is C1 on every processor */
			 1u << 5 |  /* SLP_BUTTON: no fixed sleep button; bit 4 clear: a fixed power button */
			 1u << 6 |  /* FIX_RTC: no wake status of the RTC in fixed registers */
			 1u << 10;  /* RESET_REG_SUP */

	if (PM_TMR_BITS == 32)
		flags |= 1u << 8; /* TMR_VAL_EXT */
	if (p->topo->nr_cpus > 8)
		flags |= 1u << 18; /* FORCE_APIC_CLUSTER_MODEL: flat logical mode ends at 8 processors */
	return flags;
}

/* IA-PC boot architecture flags (5.2.9.3). There is an i8042, for its reset line, but no keyboard. */
static uint16_t fadt_boot_flags(void)
{
	return 1u << 0 | /* LEGACY_DEVICES: serial ports; bit 1 clear: no keyboard to wait for */
	       1u << 2 | /* no VGA to probe for; bits 3 and 5 clear: MSI and the CMOS RTC work */
	       1u << 4;  /* no ASPM: no link has power states */
}

/* The fields that ACPI 1.0 has (5.2.9): addresses and lengths of the fixed hardware. */
static void fadt_put_v1(struct acpi *a, struct buf *b)
{
	buf_put32(b, a->facs);
	buf_put32(b, a->dsdt);
	buf_put8(b, 0);                      /* was INT_MODEL */
	buf_put8(b, 4);                      /* preferred profile: enterprise server */
	buf_put16(b, GSI_SCI);
	buf_put32(b, 0);                     /* no SMI_CMD: always in ACPI mode (4.8.2.5) */
	buf_put32(b, 0);                     /* ACPI_ENABLE, ACPI_DISABLE, S4BIOS_REQ, PSTATE_CNT */
	buf_put32(b, PORT_PM_EVT);
	buf_put32(b, 0);                     /* PM1b_EVT */
	buf_put32(b, PORT_PM_CNT);
	buf_put32(b, 0);                     /* PM1b_CNT */
	buf_put32(b, 0);                     /* PM2_CNT */
	buf_put32(b, PORT_PM_TMR);
	buf_put32(b, PORT_GPE0);
	buf_put32(b, 0);                     /* GPE1 */
	buf_put8(b, 4);                      /* PM1_EVT_LEN */
	buf_put8(b, 2);                      /* PM1_CNT_LEN */
	buf_put8(b, 0);                      /* PM2_CNT_LEN */
	buf_put8(b, 4);                      /* PM_TMR_LEN */
	buf_put8(b, GPE0_LEN);
	buf_put8(b, 0);                      /* GPE1 length */
	buf_put8(b, 0);                      /* GPE1_BASE */
	buf_put8(b, 0);                      /* CST_CNT */
	buf_put16(b, 0xfff);                 /* P_LVL2_LAT, more than 100: no C2 */
	buf_put16(b, 0xfff);                 /* P_LVL3_LAT, more than 1000: no C3 */
	buf_put_zero(b, 8);                  /* FLUSH_SIZE, FLUSH_STRIDE, DUTY_*, DAY_ALRM, MON_ALRM */
	buf_put8(b, 0x32);                   /* CENTURY: where in CMOS */
	buf_put16(b, fadt_boot_flags());
	buf_put8(b, 0);
	buf_put32(b, fadt_flags(a->p));
}

/*
 * The table has both forms of every address, the older for guests that know no other, and they agree.
 * X_FIRMWARE_CTRL alone stays 0: it is for a FACS above 4 GiB.
 */
static uint32_t fadt_put(struct acpi *a)
{
	size_t off = table_begin(a, "FACP", 6);
	struct buf *b = a->out;

	fadt_put_v1(a, b);
	gas_put(b, PORT_RESET, 1, 1);
	buf_put8(b, RESET_VALUE);
	buf_put16(b, 0);                     /* ARM_BOOT_ARCH */
	buf_put8(b, 3);                      /* minor version: 6.3 */
	buf_put64(b, 0);                     /* X_FIRMWARE_CTRL */
	buf_put64(b, a->dsdt);
	gas_put(b, PORT_PM_EVT, 4, 2);       /* two registers of 16 bits, status and enable */
	buf_put_zero(b, 12);                 /* X_PM1b_EVT */
	gas_put(b, PORT_PM_CNT, 2, 2);
	buf_put_zero(b, 24);                 /* X_PM1b_CNT, X_PM2_CNT */
	gas_put(b, PORT_PM_TMR, 4, 3);
	gas_put(b, PORT_GPE0, GPE0_LEN, 1);
	buf_put_zero(b, 36);                 /* X_GPE1, sleep control and status (hardware-reduced only) */
	buf_put(b, "trellis", 8);            /* hypervisor vendor identity */
	return table_end(a, off);
}

/*
 * One processor (5.2.12.2, 5.2.12.12). The wider entry is for ids which the older cannot hold and for
 * those only: Linux 6.7 and newer skip others. The UID is the APIC id, so that it fits whenever that does.
 */
static void madt_put_cpu(struct buf *b, const struct topo_cpu *cpu)
{
	uint32_t flags = cpu->present ? 1u << 0 : 1u << 1; /* enabled, or online capable */

	if (cpu->apic_id < 255) {
		buf_put8(b, 0);
		buf_put8(b, 8);
		buf_put8(b, (uint8_t)cpu->apic_id);
		buf_put8(b, (uint8_t)cpu->apic_id);
		buf_put32(b, flags);
	} else {
		buf_put8(b, 9);
		buf_put8(b, 16);
		buf_put16(b, 0);
		buf_put32(b, cpu->apic_id);
		buf_put32(b, flags);
		buf_put32(b, cpu->apic_id);
	}
}

/* Interrupt source override (5.2.12.5). flags: as MPS INTI, polarity [1:0], trigger [3:2]. */
static void madt_put_override(struct buf *b, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	buf_put8(b, 2);
	buf_put8(b, 10);
	buf_put8(b, 0); /* ISA */
	buf_put8(b, irq);
	buf_put32(b, gsi);
	buf_put16(b, flags);
}

/* NMI arrives at LINT1 of every processor (5.2.12.7, 5.2.12.13). */
static void madt_put_nmi(struct buf *b, bool wide)
{
	buf_put8(b, 4);
	buf_put8(b, 6);
	buf_put8(b, 0xff);
	buf_put16(b, 0);
	buf_put8(b, 1);
	if (!wide)
		return;
	buf_put8(b, 0xa);
	buf_put8(b, 12);
	buf_put16(b, 0);
	buf_put32(b, UINT32_MAX);
	buf_put8(b, 1);
	buf_put_zero(b, 3);
}

/* Processors in the order of the topology: the boot processor first (5.2.12.1), pluggable ones last. */
static uint32_t madt_put(struct acpi *a)
{
	const struct topology *t = a->p->topo;
	size_t off = table_begin(a, "APIC", 5);
	struct buf *b = a->out;
	bool wide = false;

	buf_put32(b, (uint32_t)MAP_LAPIC_BASE);
	buf_put32(b, 1u << 0); /* PCAT_COMPAT: there are 8259s, too */
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		madt_put_cpu(b, &t->cpu[i]);
		wide |= t->cpu[i].apic_id >= 255;
	}
	buf_put8(b, 1); /* IOAPIC, 5.2.12.3 */
	buf_put8(b, 12);
	buf_put8(b, tables_ioapic_id(a->p));
	buf_put8(b, 0);
	buf_put32(b, (uint32_t)MAP_IOAPIC_BASE);
	buf_put32(b, 0); /* first GSI */
	madt_put_override(b, 0, GSI_PIT, 0);        /* as ISA has it: edge, active high */
	madt_put_override(b, GSI_SCI, GSI_SCI, 0xd); /* level, active high */
	madt_put_nmi(b, wide);
	return table_end(a, off);
}

/* PCI Firmware 3.3, 4.1.2. */
static uint32_t mcfg_put(struct acpi *a)
{
	size_t off = table_begin(a, "MCFG", 1);

	buf_put64(a->out, 0);
	buf_put64(a->out, MAP_ECAM_BASE);
	buf_put16(a->out, 0); /* segment */
	buf_put8(a->out, 0);
	buf_put8(a->out, (uint8_t)(a->p->nr_buses - 1));
	buf_put32(a->out, 0);
	return table_end(a, off);
}

static uint32_t srat_put(struct acpi *a)
{
	size_t off = table_begin(a, "SRAT", 3);

	acpi_srat_put(a->p, a->out);
	return table_end(a, off);
}

static uint32_t slit_put(struct acpi *a)
{
	size_t off = table_begin(a, "SLIT", 1);

	acpi_slit_put(a->p, a->out);
	return table_end(a, off);
}

static uint32_t hmat_put(struct acpi *a)
{
	size_t off = table_begin(a, "HMAT", 2);

	acpi_hmat_put(a->p, a->out);
	return table_end(a, off);
}

/* What RSDT and XSDT point to, the FADT first, where old guests look for it without comparing. */
static void listed_put(struct acpi *a)
{
	const bool nodes = a->p->topo->nr_nodes > 0;
	const struct {
		uint32_t (*put)(struct acpi *a);
		bool wanted;
	} tables[] = {
		{ fadt_put, true },  { madt_put, true },  { mcfg_put, true },
		{ srat_put, nodes }, { slit_put, nodes }, { hmat_put, nodes && a->p->topo->path },
	};

	_Static_assert(ARRAY_SIZE(tables) <= MAX_LISTED, "listed[] holds them");
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (tables[i].wanted)
			a->listed[a->nr_listed++] = tables[i].put(a);
}

/* The older RSDT is for guests that never learnt of the XSDT (5.2.7, 5.2.8). */
static uint32_t root_put(struct acpi *a, bool wide)
{
	size_t off = table_begin(a, wide ? "XSDT" : "RSDT", 1);

	for (unsigned int i = 0; i < a->nr_listed; i++) {
		buf_put32(a->out, a->listed[i]);
		if (wide)
			buf_put32(a->out, 0);
	}
	return table_end(a, off);
}

/* 5.2.5.3: the first checksum covers what ACPI 1.0 had, the second everything. */
static void rsdp_fill(uint8_t rsdp[ACPI_RSDP_BYTES], uint32_t rsdt, uint64_t xsdt)
{
	memset(rsdp, 0, ACPI_RSDP_BYTES);
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "TRELLI", 6);
	rsdp[15] = 2; /* revision */
	put_le32(rsdp + 16, rsdt);
	put_le32(rsdp + 20, ACPI_RSDP_BYTES);
	put_le64(rsdp + 24, xsdt);
	rsdp[8] = tables_checksum(rsdp, 20);
	rsdp[32] = tables_checksum(rsdp, ACPI_RSDP_BYTES);
}

size_t acpi_size_max(const struct platform *p)
{
	/* For each processor at most 16 bytes of MADT and 46 of DSDT, _PXM included; the rest is about 3 KiB. */
	return align_up(8 * KIB + (size_t)p->topo->nr_cpus * 64 + acpi_numa_size_max(p), 4 * KIB);
}

static int nodes_check(const struct platform *p, struct err *e)
{
	const struct topology *t = p->topo;

	if (t->nr_nodes > TOPO_MAX_NODES || p->nr_node_map > PLATFORM_MAX_NODE_RANGES)
		return err_set(e, -EINVAL, "ACPI can tell of %d NUMA nodes, not %u", TOPO_MAX_NODES,
			       t->nr_nodes);
	for (unsigned int i = 0; t->nr_nodes && i < t->nr_cpus; i++)
		if (t->cpu[i].node >= t->nr_nodes)
			return err_set(e, -EINVAL, "vCPU %u is in node %u of %u", i, t->cpu[i].node,
				       t->nr_nodes);
	for (unsigned int i = 0; i < p->nr_node_map; i++)
		if (p->node_map[i].node >= t->nr_nodes)
			return err_set(e, -EINVAL, "memory is in node %u of %u", p->node_map[i].node,
				       t->nr_nodes);
	return 0;
}

static int platform_check(const struct platform *p, uint64_t base, struct err *e)
{
	if (base % (4 * KIB) || !range_ok(base, acpi_size_max(p), 1ull << 32))
		return err_set(e, -EINVAL, "ACPI tables cannot lie at 0x%llx", (unsigned long long)base);
	if (!p->topo->nr_cpus || p->topo->nr_cpus > TOPO_MAX_CPUS)
		return err_set(e, -EINVAL, "ACPI can tell of 1 to %d processors, not %u", TOPO_MAX_CPUS,
			       p->topo->nr_cpus);
	if (!p->nr_buses || p->nr_buses > MAP_ECAM_BUSES)
		return err_set(e, -EINVAL, "ACPI can tell of 1 to %d PCI buses, not %u", MAP_ECAM_BUSES, p->nr_buses);
	if (!range_ok(p->pci32_base, p->pci32_len, 1ull << 32))
		return err_set(e, -EINVAL, "the 32-bit PCI window does not end below 4 GiB");
	if (!range_ok(p->pci64_base, p->pci64_len, UINT64_MAX))
		return err_set(e, -EINVAL, "the 64-bit PCI window does not end below 16 EiB");
	return nodes_check(p, e);
}

int acpi_build(const struct platform *p, uint64_t base, struct buf *out, uint8_t rsdp[ACPI_RSDP_BYTES],
	       struct err *e)
{
	struct acpi a = { .p = p, .out = out, .base = (uint32_t)base };
	uint32_t rsdt, xsdt;
	int rc;

	rc = platform_check(p, base, e);
	if (rc < 0)
		return rc;
	a.facs = facs_put(&a);
	a.dsdt = dsdt_put(&a);
	listed_put(&a);
	rsdt = root_put(&a, false);
	xsdt = root_put(&a, true);
	rc = buf_status(out);
	if (rc < 0)
		return err_set(e, rc, "no memory for the ACPI tables");
	rsdp_fill(rsdp, rsdt, xsdt);
	return 0;
}
