/*
 * The Multiboot memory map is sane, and agrees with ACPI: tables are not free RAM, devices are not RAM at all.
 *
 * Multiboot 0.6.96, 3.3 (mmap_*, mem_*); ACPI 6.4, 15.4 for the types. Reads no memory except through the tables.
 */
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/string.h"
#include "lib/tap.h"

static void map_check_order(void)
{
	unsigned int unsorted = 0, overlap = 0, unaligned = 0, empty = 0, odd_type = 0;

	for (unsigned int i = 0; i < multiboot.nr_ranges; i++) {
		const struct multiboot_range *r = &multiboot.ranges[i];

		tap_note("%lx-%lx type %u", r->start, r->start + r->bytes - 1, r->type);
		empty += !r->bytes || r->start + r->bytes < r->start;
		odd_type += r->type < 1 || r->type > 5;
		/* Below 1 MiB the EBDA may begin at any KiB (INT 12H counts KiB). */
		unaligned += r->type == 1 && ((r->start | r->bytes) & (r->start < 0x100000 ? 0x3ff : 0xfff));
		if (i) {
			unsorted += r->start < r[-1].start;
			overlap += r->start < r[-1].start + r[-1].bytes;
		}
	}
	tap_check(multiboot.nr_ranges >= 2, "%u ranges", multiboot.nr_ranges);
	tap_equal(empty, 0, "none is empty or wraps");
	tap_equal(odd_type, 0, "types are 1 to 5");
	tap_equal(unsorted, 0, "sorted by address");
	tap_equal(overlap, 0, "no overlap");
	tap_equal(unaligned, 0, "RAM begins and ends on page boundaries");
}

/* Bytes of RAM from start up to the first hole. */
static uint64_t map_ram_from(uint64_t start)
{
	uint64_t at = start;

	for (unsigned int i = 0; i < multiboot.nr_ranges; i++) {
		const struct multiboot_range *r = &multiboot.ranges[i];

		if (r->type == 1 && r->start <= at && at < r->start + r->bytes)
			at = r->start + r->bytes;
	}
	return at - start;
}

static void map_check_sizes(void)
{
	uint64_t low = map_ram_from(0), high = map_ram_from(0x100000);

	tap_check(multiboot.flags & MULTIBOOT_HAS_MEMORY, "flags: mem_lower and mem_upper are valid");
	tap_check(low >= 0x80000 && low <= 0xa0000, "low RAM is 512 to 640 KiB: 0x%lx", low);
	tap_between(multiboot.mem_lower, 512, 640, "mem_lower is 512 to 640 KiB");
	tap_between(multiboot.mem_upper, 1, high >> 10, "mem_upper is not above the map's first hole");
	tap_between(high >> 10, multiboot.mem_upper, multiboot.mem_upper + 1024UL, "and not far below");
	tap_check(!multiboot_touches_ram(0xa0000, 0x60000), "0xa0000 to 0xfffff is not RAM");
}

static void map_check_table(const struct acpi_header *t)
{
	bool low = (uint64_t)t >= 0xa0000 && (uint64_t)t < 0x100000;	/* the BIOS area need not be listed */

	tap_check(low || !multiboot_touches_ram((uint64_t)t, t->length), "%c%c%c%c at 0x%lx is not in free RAM",
		  t->signature[0], t->signature[1], t->signature[2], t->signature[3], (uint64_t)t);
}

static void map_check_devices(void)
{
	const uint8_t *e;
	uint64_t ecam = acpi_ecam_base();

	tap_check(!multiboot_touches_ram(cpu_rdmsr(MSR_APIC_BASE) & 0xffffff000ULL, 4096), "the local APIC is not RAM");
	for (unsigned int n = 0; (e = acpi_madt_entry(1, n)) != NULL; n++)
		tap_check(!multiboot_touches_ram(cpu_read32((uint64_t)e + 4), 4096), "IOAPIC %u is not RAM", n);
	if (!ecam) {
		tap_skip("no ECAM");
		return;
	}
	tap_check(!multiboot_touches_ram(ecam, 0x100000), "ECAM at 0x%lx is not RAM", ecam);
	/* PCI Firmware Specification 3.2, 4.1.2: reserved, or the OS must not use it. */
	tap_equal(multiboot_type(ecam, 0x100000), 2, "it is reserved");
}

void test_main(void)
{
	const struct acpi_header *t;

	if (!tap_check(multiboot.flags & MULTIBOOT_HAS_MMAP, "flags: there is a memory map"))
		tap_bail("no memory map");
	map_check_order();
	map_check_sizes();
	for (unsigned int n = 0; (t = acpi_table(n)) != NULL; n++)
		map_check_table(t);
	map_check_table(acpi_find("DSDT"));
	map_check_devices();
}
