/*
 * The firmware tables' places. In the BIOS area below 1 MiB are the anchors which guests search for and the
 * MP table. ACPI and SMBIOS grow with the processors: while they fit they lie there too, so that a small
 * guest touches no further page (which the host may make a huge one); otherwise at the top of low RAM.
 */
#include "vmm/tables.h"

#include <errno.h>

#include "firmware/acpi.h"
#include "firmware/mptable.h"
#include "firmware/smbios.h"
#include "vmm/base/map.h"

#define TABLES_AT   MAP_BIOS_BASE /* ACPI, then SMBIOS, while they end before the anchors */
#define SMBIOS_AT   0x000f0000ull
#define RSDP_AT     0x000f0080ull
#define MPTABLE_AT  0x000f0100ull
#define BIOS_END    0x00100000ull
#define KERNEL_ROOM (1 * MIB) /* above 1 MiB: less is no machine */

static void map_add(struct platform *p, uint64_t start, uint64_t end, enum mem_type type)
{
	if (end > start)
		p->map[p->nr_map++] = (struct mem_range){ .start = start, .len = end - start, .type = type };
}

void tables_describe(struct platform *platform, const struct processors *procs)
{
	const struct kvm_cpuid_entry2 *leaf1 = cpuid_get(procs->table, 1, 0);
	unsigned int bits = MIN(cpuid_phys_bits(procs->table), 48u); /* four-level paging of the host reaches so far */

	*platform = (struct platform){
		.topo = &procs->topo,
		.ram_bytes = procs->ram_bytes,
		.pci32_base = MAP_PCI32_BASE,
		.pci32_len = MAP_PCI32_LEN,
		.nr_buses = 1, /* of the ECAM's 256: guests probe every bus that MCFG names */
		.cpuid1_eax = leaf1 ? leaf1->eax : 0,
		.cpuid1_edx = leaf1 ? leaf1->edx : 0,
		.name = "trellis",
		.version = TRELLIS_VERSION,
	};
	if (bits > 33) { /* above the most RAM there can be, and below AMD's hole at the top */
		platform->pci64_base = 1ull << (bits - 1);
		platform->pci64_len = 1ull << (bits - 2);
	}
	platform->nr_node_map = memory_node_map(&procs->topo, procs->ram_bytes, platform->node_map);
	cpuid_vendor(procs->table, platform->cpu_vendor);
	cpuid_brand(procs->table, platform->cpu_brand);
}

void tables_check(struct processors *procs, struct findings *f)
{
	uint8_t rsdp[ACPI_RSDP_BYTES], entry[SMBIOS_ENTRY_BYTES];
	struct memory mem = { .low_bytes = MIN(procs->ram_bytes, MAP_LOW_RAM_MAX) };
	struct buf acpi = { 0 }, smbios = { 0 };
	struct platform platform;
	struct tables t;
	struct err ignored;

	mem.high_bytes = procs->ram_bytes - mem.low_bytes;
	tables_describe(&platform, procs);
	if (tables_plan(&t, &platform, &mem, &ignored) == 0 &&
	    acpi_build(&platform, t.acpi_base, &acpi, rsdp, &ignored) == 0 &&
	    smbios_build(&platform, t.smbios_base, &smbios, entry, &ignored) == 0)
		check_tables(procs, acpi.data, acpi.len, smbios.data, smbios.len, f);
	buf_fini(&acpi);
	buf_fini(&smbios);
}

int tables_plan(struct tables *t, struct platform *p, const struct memory *mem, struct err *e)
{
	uint64_t top = mem->low_bytes, need = 0;

	t->rsdp = RSDP_AT;
	t->acpi_bytes = acpi_size_max(p);
	t->smbios_bytes = smbios_size_max(p);
	if (t->acpi_bytes + t->smbios_bytes <= SMBIOS_AT - TABLES_AT) {
		t->acpi_base = TABLES_AT;
	} else {
		need = t->acpi_bytes + t->smbios_bytes;
		t->acpi_base = top -= MIN(top, need);
	}
	t->smbios_base = t->acpi_base + t->acpi_bytes;
	if (top < BIOS_END + KERNEL_ROOM)
		return err_usage(e, "--memory: %llu KiB are too little for %u processors and their tables; give at least "
				    "%llu KiB",
				 (unsigned long long)(mem->low_bytes / KIB), p->topo->nr_cpus,
				 (unsigned long long)((BIOS_END + KERNEL_ROOM + need) / KIB));
	t->low_limit = top;

	p->nr_map = 0;
	map_add(p, 0, MAP_EBDA, MEM_RAM);
	map_add(p, MAP_EBDA, 0xa0000, MEM_RESERVED);
	map_add(p, MAP_BIOS_BASE, BIOS_END, MEM_RESERVED);
	map_add(p, BIOS_END, top, MEM_RAM);
	if (top < mem->low_bytes) {
		map_add(p, t->acpi_base, t->smbios_base, MEM_ACPI);
		map_add(p, t->smbios_base, mem->low_bytes, MEM_RESERVED);
	}
	map_add(p, MAP_ECAM_BASE, MAP_ECAM_BASE + p->nr_buses * MIB, MEM_RESERVED);
	map_add(p, MAP_IDENTITY_PAGE, MAP_TSS_BASE + 3 * 4096, MEM_RESERVED);
	map_add(p, MAP_HIGH_RAM_BASE, MAP_HIGH_RAM_BASE + mem->high_bytes, MEM_RAM);
	return 0;
}

/* Put a built table at its place, if it fits, and empty the buffer for the next. */
static int place(struct gmem *mem, const char *what, uint64_t gpa, struct buf *b, uint64_t room, struct err *e)
{
	size_t len = b->len;

	b->len = 0;
	if (len > room)
		return err_set(e, -ENOSPC, "the %s tables take %zu bytes and there is room for %llu", what, len,
			       (unsigned long long)room);
	return gmem_write(mem, gpa, b->data, len) < 0 ? err_set(e, -EFAULT, "no RAM for the %s tables", what) : 0;
}

int tables_write(const struct tables *t, const struct platform *p, struct gmem *mem, struct err *e)
{
	uint8_t rsdp[ACPI_RSDP_BYTES], entry[SMBIOS_ENTRY_BYTES];
	struct buf b = { 0 };
	int rc;

	buf_reserve(&b, MAX(t->acpi_bytes, t->smbios_bytes));
	if ((rc = acpi_build(p, t->acpi_base, &b, rsdp, e)) == 0 &&
	    (rc = place(mem, "ACPI", t->acpi_base, &b, t->acpi_bytes, e)) == 0 &&
	    (rc = smbios_build(p, t->smbios_base, &b, entry, e)) == 0 &&
	    (rc = place(mem, "SMBIOS", t->smbios_base, &b, t->smbios_bytes, e)) == 0 &&
	    (rc = mptable_build(p, MPTABLE_AT, &b, e)) == 0 &&
	    (rc = place(mem, "MP", MPTABLE_AT, &b, BIOS_END - MPTABLE_AT, e)) == 0 &&
	    (gmem_write(mem, RSDP_AT, rsdp, sizeof(rsdp)) < 0 || gmem_write(mem, SMBIOS_AT, entry, sizeof(entry)) < 0))
		rc = err_set(e, -EFAULT, "no RAM for the firmware tables' anchors");
	buf_fini(&b);
	return rc;
}
