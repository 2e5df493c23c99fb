/*
 * Unit tests of tables.c: where the tables lie, what the memory map says about it, and that a guest which
 * searches as guests do finds all of them. What is in a table is tested in firmware/.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/map.h"
#include "vmm/tables.h"
#include "vmm/cpu/topology.h"

static struct topology topo;
static struct memory mem;
static struct platform p;
static struct tables t;
static struct err e;

static void teardown(void)
{
	topology_fini(&topo);
	memory_fini(&mem);
}

static void make(uint64_t ram, const struct topology_spec *spec)
{
	ck_assert_int_eq(topology_init(&topo, spec, &e), 0);
	topo.nr_caches = 1;
	topo.cache[0] = (struct topo_cache){ .type = CACHE_UNIFIED, .level = 2, .shared = TOPO_CORE, .bytes = 1 << 20, .line = 64,
					    .ways = 16, .partitions = 1, .sets = 1024 };
	ck_assert_int_eq(memory_init(&mem, ram, &e), 0);
	p = (struct platform){
		.topo = &topo,
		.ram_bytes = ram,
		.pci32_base = MAP_PCI32_BASE,
		.pci32_len = MAP_PCI32_LEN,
		.pci64_base = 1ull << 45,
		.pci64_len = 1ull << 44,
		.nr_buses = MAP_ECAM_BUSES,
		.com_present = { true },
		.pvpanic_present = true,
		.cpu_vendor = "GenuineIntel",
		.cpu_brand = "A Processor",
		.name = "unit",
		.version = "1",
	};
}

/* The smallest machine, usual ones, one with RAM above 4 GiB, and more sockets or processors than anybody has. */
static const struct {
	uint64_t ram;
	struct topology_spec spec;
} machines[] = {
	{ 2 * MIB + 512 * KIB, { .cpus = 1 } },
	{ 256 * MIB, { .cpus = 1 } },
	{ 256 * MIB + 4096, { .cpus = 4, .max = 64 } },
	{ 3 * GIB, { .cpus = 255 } },
	{ 3 * GIB + 4096, { .cpus = 300 } },
	{ 8 * GIB, { .count = { 2, 8, 2, 2, 4 } } },
	{ 256 * MIB, { .count = { 1, 1, 1, 1, 64 } } },
	{ 1 * GIB, { .cpus = TOPO_MAX_CPUS } },
	{ 1 * GIB, { .count = { 1, 1, 1, 1, TOPO_MAX_CPUS } } },
};

static void plan(int i)
{
	make(machines[i].ram, &machines[i].spec);
	ck_assert_int_eq(tables_plan(&t, &p, &mem, &e), 0);
}

/* The type that the map gives to an address; 0 where it says nothing. */
static uint32_t type_at(uint64_t gpa)
{
	for (unsigned int i = 0; i < p.nr_map; i++)
		if (gpa >= p.map[i].start && gpa - p.map[i].start < p.map[i].len)
			return p.map[i].type;
	return 0;
}

/* ---- the plan ---- */

START_TEST(map_rises_without_overlap_or_emptiness)
{
	plan(_i);
	ck_assert_uint_le(p.nr_map, PLATFORM_MAX_RANGES);
	ck_assert_uint_eq(p.map[0].start, 0);
	for (unsigned int i = 0; i < p.nr_map; i++)
		ck_assert_uint_gt(p.map[i].len, 0);
	for (unsigned int i = 1; i < p.nr_map; i++)
		ck_assert_uint_ge(p.map[i].start, p.map[i - 1].start + p.map[i - 1].len);
}
END_TEST

START_TEST(what_the_map_calls_ram_is_ram)
{
	plan(_i);
	for (unsigned int i = 0; i < p.nr_map; i++)
		ck_assert(p.map[i].type != MEM_RAM || gmem_hva(&mem.gmem, p.map[i].start, p.map[i].len));
	ck_assert_uint_ge(t.low_limit, 2 * MIB);
	ck_assert_uint_eq(type_at(t.low_limit - 1), MEM_RAM);
	ck_assert_uint_ne(type_at(t.low_limit), MEM_RAM);
}
END_TEST

START_TEST(all_ram_but_the_tables_is_given_to_the_guest)
{
	uint64_t ram = 0;

	plan(_i);
	for (unsigned int i = 0; i < p.nr_map; i++)
		ram += p.map[i].type == MEM_RAM ? p.map[i].len : 0;
	ck_assert_uint_eq(ram, machines[_i].ram - (MIB - MAP_EBDA) - (mem.low_bytes - t.low_limit));
}
END_TEST

START_TEST(tables_lie_in_memory_that_is_not_free)
{
	plan(_i);
	ck_assert_uint_eq(t.acpi_base % 4096, 0);
	ck_assert_uint_eq(t.smbios_base % 16, 0);
	ck_assert_uint_ge(t.smbios_base, t.acpi_base + t.acpi_bytes);
	ck_assert_ptr_nonnull(gmem_hva(&mem.gmem, t.acpi_base, t.acpi_bytes));
	ck_assert_ptr_nonnull(gmem_hva(&mem.gmem, t.smbios_base, t.smbios_bytes));
	for (uint64_t at = t.acpi_base; at < t.smbios_base + t.smbios_bytes; at += 4096)
		ck_assert(type_at(at) == MEM_RESERVED || type_at(at) == MEM_ACPI);
	ck_assert(t.smbios_base + t.smbios_bytes <= 0xf0000 || t.acpi_base >= MIB);
}
END_TEST

START_TEST(bios_area_and_windows_are_never_ram)
{
	plan(_i);
	ck_assert_uint_eq(type_at(MAP_EBDA), MEM_RESERVED);
	ck_assert_uint_eq(type_at(0xa0000), 0);
	ck_assert_uint_eq(type_at(MAP_BIOS_BASE), MEM_RESERVED);
	ck_assert_uint_eq(type_at(MIB - 1), MEM_RESERVED);
	ck_assert_uint_eq(type_at(MAP_ECAM_BASE), MEM_RESERVED);
	ck_assert_uint_eq(type_at(MAP_ECAM_BASE + 256 * MIB - 1), MEM_RESERVED);
	ck_assert_uint_eq(type_at(MAP_PCI32_BASE), 0);
	ck_assert_uint_eq(type_at(MAP_TSS_BASE), MEM_RESERVED);
}
END_TEST

static const struct {
	uint64_t ram;
	struct topology_spec spec;
} small[] = {
	{ 2 * MIB - 4096, { .cpus = 1 } },
	{ 2 * MIB, { .cpus = TOPO_MAX_CPUS } },
	{ 2 * MIB, { .count = { 1, 1, 1, 1, TOPO_MAX_CPUS } } },
	{ 4 * MIB, { .count = { 1, 1, 1, 1, TOPO_MAX_CPUS } } },
};

START_TEST(machine_too_small_is_refused_with_a_size_that_does)
{
	unsigned long long kib;
	const char *advice;

	make(small[_i].ram, &small[_i].spec);
	ck_assert_int_eq(tables_plan(&t, &p, &mem, &e), -EINVAL);
	ck_assert(e.usage);
	advice = strstr(e.text, "give at least ");
	ck_assert_ptr_nonnull(advice);
	kib = strtoull(advice + strlen("give at least "), NULL, 10);
	teardown();
	make(kib * KIB, &small[_i].spec);
	ck_assert_int_eq(tables_plan(&t, &p, &mem, &e), 0);
}
END_TEST

START_TEST(planning_again_gives_the_same_map)
{
	static struct platform once;

	plan(_i);
	once = p;
	ck_assert_int_eq(tables_plan(&t, &p, &mem, &e), 0);
	ck_assert_mem_eq(&p, &once, sizeof(p));
}
END_TEST

/* ---- what a guest finds ---- */

static const uint8_t *ram(uint64_t gpa, size_t len)
{
	const uint8_t *at = gmem_hva(&mem.gmem, gpa, len);

	ck_assert_ptr_nonnull(at);
	return at;
}

static uint8_t sum(const uint8_t *at, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *at++);
	return s;
}

/* Search 16-byte boundaries for an anchor, from one address to another, as guests do. */
static uint64_t find(const char *anchor, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += 16)
		if (!memcmp(ram(at, 16), anchor, strlen(anchor)))
			return at;
	return 0;
}

static void write_all(int i)
{
	plan(i);
	ck_assert_int_eq(tables_write(&t, &p, &mem.gmem, &e), 0);
}

/* ACPI 6.5, 5.2.5: the RSDP leads to the XSDT, and that to tables inside our range. */
START_TEST(rsdp_leads_to_tables_whose_sums_are_right)
{
	const uint8_t *rsdp, *xsdt;
	unsigned int tables;

	write_all(_i);
	ck_assert_uint_eq(find("RSD PTR ", 0xe0000, MIB), t.rsdp);
	rsdp = ram(t.rsdp, 36);
	ck_assert_uint_eq(sum(rsdp, 20), 0);
	ck_assert_uint_eq(sum(rsdp, 36), 0);
	xsdt = ram(get_le64(rsdp + 24), 36);
	ck_assert_mem_eq(xsdt, "XSDT", 4);
	tables = (get_le32(xsdt + 4) - 36) / 8;
	ck_assert_uint_ge(tables, 3);
	for (unsigned int n = 0; n < tables; n++) {
		uint64_t at = get_le64(xsdt + 36 + 8 * n);
		uint32_t len = get_le32(ram(at, 36) + 4);

		ck_assert(range_ok(at - t.acpi_base, len, t.acpi_bytes));
		ck_assert_uint_eq(sum(ram(at, len), len), 0);
	}
}
END_TEST

/* SMBIOS 3.7, 5.2.2: the anchor, its sum, and a table inside our range. */
START_TEST(smbios_anchor_leads_to_our_structures)
{
	const uint8_t *entry;
	uint64_t at;

	write_all(_i);
	at = find("_SM3_", 0xf0000, MIB);
	ck_assert_uint_ne(at, 0);
	entry = ram(at, 24);
	ck_assert_uint_eq(sum(entry, entry[6]), 0);
	ck_assert_uint_eq(get_le64(entry + 16), t.smbios_base);
	ck_assert_uint_le(get_le32(entry + 12), t.smbios_bytes);
}
END_TEST

/* MultiProcessor Specification 1.4, 4.1 and 4.2. */
START_TEST(mp_pointer_leads_to_a_table_whose_sum_is_right)
{
	const uint8_t *fps, *table;
	uint64_t at;

	write_all(_i);
	at = find("_MP_", 0xf0000, MIB);
	ck_assert_uint_ne(at, 0);
	fps = ram(at, 16);
	ck_assert_uint_eq(sum(fps, 16), 0);
	ck_assert_uint_lt(get_le32(fps + 4), MIB);
	table = ram(get_le32(fps + 4), 44);
	ck_assert_mem_eq(table, "PCMP", 4);
	ck_assert_uint_eq(sum(table, get_le16(table + 4)), 0);
}
END_TEST

START_TEST(nothing_is_written_outside_the_reserved_ranges)
{
	const uint8_t page[4096] = { 0 };

	write_all(_i);
	for (unsigned int i = 0; i < p.nr_map; i++)
		for (uint64_t off = 0; p.map[i].type == MEM_RAM && off < MIN(p.map[i].len, 2 * MIB); off += 4096)
			ck_assert_mem_eq(ram(p.map[i].start + off, MIN(4096, p.map[i].len - off)), page,
					 MIN(4096, p.map[i].len - off));
	ck_assert_mem_eq(ram(t.low_limit - 4096, 4096), page, 4096);
}
END_TEST

START_TEST(writing_again_after_the_guest_overwrote_them_mends_all)
{
	static uint8_t bios[128 * KIB], acpi[1024];
	uint8_t *now;

	write_all(_i);
	now = gmem_hva(&mem.gmem, MAP_BIOS_BASE, sizeof(bios));
	memcpy(bios, now, sizeof(bios));
	memcpy(acpi, ram(t.acpi_base, sizeof(acpi)), sizeof(acpi));
	for (size_t i = 0; i < sizeof(bios); i++)
		now[i] ^= bios[i] ? 0xff : 0; /* wherever something was written */
	memset(gmem_hva(&mem.gmem, t.acpi_base, sizeof(acpi)), 0xcc, sizeof(acpi));
	ck_assert_int_eq(tables_write(&t, &p, &mem.gmem, &e), 0);
	ck_assert_mem_eq(now, bios, sizeof(bios));
	ck_assert_mem_eq(ram(t.acpi_base, sizeof(acpi)), acpi, sizeof(acpi));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tables");
	TCase *c = tcase_create("tables");
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_loop_test(c, map_rises_without_overlap_or_emptiness, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, what_the_map_calls_ram_is_ram, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, all_ram_but_the_tables_is_given_to_the_guest, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, tables_lie_in_memory_that_is_not_free, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, bios_area_and_windows_are_never_ram, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, machine_too_small_is_refused_with_a_size_that_does, 0, ARRAY_SIZE(small));
	tcase_add_loop_test(c, planning_again_gives_the_same_map, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, rsdp_leads_to_tables_whose_sums_are_right, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, smbios_anchor_leads_to_our_structures, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, mp_pointer_leads_to_a_table_whose_sum_is_right, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, nothing_is_written_outside_the_reserved_ranges, 0, ARRAY_SIZE(machines));
	tcase_add_loop_test(c, writing_again_after_the_guest_overwrote_them_mends_all, 0, ARRAY_SIZE(machines));
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
