/*
 * Unit tests of the checker on ACPI and SMBIOS: what firmware/ writes must pass, and every rule must see the one
 * field that breaks it. Fields are changed in the finished bytes, with the checksum made good again.
 */
#include "firmware/acpi.h"
#include "firmware/smbios.h"
#include "vmm/base/map.h"
#include "vmm/cpu/check_rig.h"

#define BASE 0x7ff00000ull

static struct platform platform;
static struct buf acpi, smbios;

static void teardown(void)
{
	buf_fini(&acpi);
	buf_fini(&smbios);
	rig_fini();
}

/* Two nodes by package (their vCPUs are the halves), RAM on both sides of the hole. */
static void add_nodes(void)
{
	struct topology *t = &procs.topo;

	t->nr_nodes = 2;
	t->node = calloc(2, sizeof(*t->node));
	t->distance = malloc(4);
	ck_assert(t->node && t->distance);
	memcpy(t->distance, (uint8_t[]){ 10, 21, 22, 10 }, 4);
	t->node[0].memory_bytes = 3 * GIB;
	t->node[1].memory_bytes = 1 * GIB;
	for (unsigned int i = 0; i < t->nr_cpus; i++)
		t->cpu[i].node = t->cpu[i].unit[TOPO_PACKAGE] % 2;
	platform.nr_node_map = 3;
	platform.node_map[0] = (struct node_range){ .start = 0, .len = 2 * GIB, .node = 0 };
	platform.node_map[1] = (struct node_range){ .start = 4 * GIB, .len = 1 * GIB, .node = 0 };
	platform.node_map[2] = (struct node_range){ .start = 5 * GIB, .len = 1 * GIB, .node = 1 };
}

static void build(const struct topology_spec *spec, bool nodes)
{
	uint8_t rsdp[ACPI_RSDP_BYTES], entry[SMBIOS_ENTRY_BYTES];

	rig_build(CPUID_INTEL, spec);
	platform = (struct platform){ .topo = &procs.topo,
				      .ram_bytes = 4 * GIB,
				      .nr_buses = 1,
				      .name = "",
				      .version = "0",
				      .pci32_base = 0xc0000000,
				      .pci32_len = 0x10000000 };
	if (nodes)
		add_nodes();
	ck_assert_msg(acpi_build(&platform, BASE, &acpi, rsdp, &rig_err) == 0, "%s", rig_err.text);
	ck_assert_msg(smbios_build(&platform, BASE, &smbios, entry, &rig_err) == 0, "%s", rig_err.text);
}

static void run(void)
{
	findings_fini(&found);
	check_tables(&procs, acpi.data, acpi.len, smbios.data, smbios.len, &found);
}

static const struct topology_spec shapes[] = {
	{ .cpus = 1 },
	{ .count = SHAPE(2, 1, 1, 3, 2) },
	{ .count = SHAPE(3, 3, 1, 5, 1) },
	{ .cpus = 3, .max = 12, .count = SHAPE(2, 1, 1, 3, 2) },
	{ .cpus = 300 },
	{ .cpus = 2, .max = 4096 },
	{ .count = SHAPE(300, 1, 1, 1, 1) },
};

START_TEST(what_firmware_writes_is_clean)
{
	build(&shapes[_i], false);
	run();
	ck_assert_msg(!found.nr, "%u findings%s", found.nr, rig_all());
}
END_TEST

START_TEST(what_firmware_writes_of_nodes_is_clean)
{
	static const unsigned int of[] = { 1, 2, 3, 6 };

	build(&shapes[of[_i]], true);
	run();
	ck_assert_msg(!found.nr, "%u findings%s", found.nr, rig_all());
}
END_TEST

/* ---- one field that is wrong ---- */

static uint8_t *table(const char *signature)
{
	for (size_t off = 0; off + 36 <= acpi.len; off += 4)
		if (!memcmp(acpi.data + off, signature, 4))
			return acpi.data + off;
	ck_abort_msg("no %s", signature);
	return NULL;
}

static void sum_up(uint8_t *t)
{
	uint8_t sum = 0;

	t[9] = 0;
	for (uint32_t i = 0; i < get_le32(t + 4); i++)
		sum += t[i];
	t[9] = (uint8_t)-sum;
}

/* 2x1x1x3x2, of which 8 are present. MADT entries have 8 bytes, from 44; SRAT's processors 16, from 48, then memory. */
enum { MADT_CPU = 44, SRAT_CPU = 48, SRAT_MEMORY = 48 + 12 * 16 };

static const struct {
	const char *table;
	unsigned int off;
	uint8_t value;
	const char *want;
} wrong[] = {
	{ "APIC", MADT_CPU + 8 * 2 + 3, 0x77, "the MADT has APIC id 0x77, which no vCPU has" },
	{ "APIC", MADT_CPU + 8 * 2 + 3, 0x77, "vCPU 2: APIC id 0x2 is in the MADT 0 times" },
	{ "APIC", MADT_CPU + 8 * 2 + 3, 0x1, "vCPU 1 and 1 more: APIC id 0x1 is in the MADT 2 times" },
	{ "APIC", MADT_CPU + 8 * 3 + 4, 2,
	  "vCPU 3: the MADT flags APIC id 0x3 as 2 (1 enabled, 2 can come later), but this vCPU is there" },
	{ "APIC", MADT_CPU + 8 * 9 + 4, 1,
	  "vCPU 9: the MADT flags APIC id 0xb as 1 (1 enabled, 2 can come later), but this vCPU is plug" },
	{ "APIC", MADT_CPU + 8 * 9 + 4, 3, "the MADT flags APIC id 0xb as 3" },
	{ "APIC", MADT_CPU + 3, 1, "vCPU 1: it is first in the MADT, but vCPU 0 boots" },
	{ "APIC", MADT_CPU + 1, 0, "the MADT's entries end at byte 44" },
	{ "APIC", MADT_CPU + 1, 255, "the MADT's entries end at byte 44" },
	{ "APIC", MADT_CPU + 1, 16, "the MADT has a processor entry of type 0 with 16 bytes" },
	{ "SRAT", SRAT_CPU + 16 * 4 + 2, 1,
	  "vCPU 4: the SRAT puts APIC id 0x4 into node 1, asked for was node 0" },
	{ "SRAT", SRAT_CPU + 16 * 4 + 9, 1, "the SRAT puts APIC id 0x4 into node 256" },
	{ "SRAT", SRAT_CPU + 16 * 4 + 3, 0, "vCPU 0 and 1 more: APIC id 0x0 is in the SRAT 2 times" },
	{ "SRAT", SRAT_CPU + 16 * 4 + 4, 0, "vCPU 4: the SRAT's entry for APIC id 0x4 is not enabled" },
	{ "SRAT", SRAT_CPU + 1, 0, "the SRAT's entries end at byte 48" },
	{ "SRAT", SRAT_CPU + 1, 32, "the SRAT has an entry of type 0 with 32 bytes" },
	{ "SRAT", SRAT_MEMORY + 2, 1,
	  "the SRAT gives node 0 1073741824 bytes of memory, asked for were 3221225472" },
	{ "SRAT", SRAT_MEMORY + 2, 7, "the SRAT has memory of node 7, but there are 2 nodes" },
	{ "SRAT", SRAT_MEMORY + 28, 0, "the SRAT gives node 0 1073741824 bytes" },
	{ "SRAT", SRAT_MEMORY + 40 + 8 + 5, 1,
	  "" }, /* moved to where nothing is: the memory map is not our business */
	{ "SRAT", SRAT_MEMORY + 40 + 8 + 3, 0x7f, "the SRAT has the memory at 0x17f000000 twice" },
	{ "SRAT", SRAT_MEMORY + 40 + 8 + 4, 0, "the SRAT has the memory at 0x0 twice" },
	{ "SRAT", SRAT_MEMORY + 15, 0xff, "" },
	{ "SRAT", SRAT_MEMORY + 23, 0xff, "bytes of memory, asked for were" },
	{ "SLIT", 44, 11, "the SLIT tells distance 11 from node 0 to node 0" },
	{ "SLIT", 45, 10, "the SLIT tells distance 10 from node 0 to node 1: it is 10 inside" },
	{ "SLIT", 45, 22, "the SLIT tells distance 22 from node 0 to node 1, asked for was 21" },
	{ "SLIT", 36, 3, "the SLIT is for 3 nodes in 48 bytes, but there are 2 nodes" },
};

START_TEST(wrong_field_is_found)
{
	const struct topology_spec spec = { .cpus = 8, .max = 12, .count = SHAPE(2, 1, 1, 3, 2) };
	uint8_t *t;

	build(&spec, true);
	t = table(wrong[_i].table);
	t[wrong[_i].off] = wrong[_i].value;
	sum_up(t);
	run();
	ck_assert_msg(!wrong[_i].want[0] == !found.nr, "%u findings%s", found.nr, rig_all());
	ck_assert_msg(!found.nr || rig_count(wrong[_i].want), "none of %u findings has '%s'%s", found.nr,
		      wrong[_i].want, rig_all());
}
END_TEST

START_TEST(wrong_checksum_is_found)
{
	build(&shapes[0], false);
	table("APIC")[9]++;
	run();
	ck_assert_msg(rig_count("the ACPI table APIC has a wrong checksum"), "%s", rig_all());
}
END_TEST

START_TEST(wrong_length_is_found)
{
	build(&shapes[0], false);
	table("APIC")[7] = (uint8_t)(0x80 >> (7 * _i));
	run();
	ck_assert_msg(rig_count("the ACPI table at byte"), "%s", rig_all());
	ck_assert_msg(rig_count("there is no MADT"), "%s", rig_all());
}
END_TEST

/* Ids from 255 in the entries for them, and smaller ones not. */
START_TEST(wrong_width_of_entry_is_found)
{
	build(&shapes[4], false);
	procs.topo.cpu[3].apic_id = 299;
	procs.topo.cpu[299].apic_id = 3;
	run();
	ck_assert_msg(!rig_count("in an entry of type"), "%s", rig_all()); /* each id is where it belongs */
	memcpy(table("APIC") + 44 + 255 * 8 + 4, (uint8_t[]){ 3, 0 }, 2);
	sum_up(table("APIC"));
	run();
	ck_assert_msg(rig_count("the MADT tells APIC id 0x3 in an entry of type 9"), "%s", rig_all());
}
END_TEST

START_TEST(missing_srat_is_found)
{
	build(&shapes[1], false);
	add_nodes();
	run();
	ck_assert_msg(rig_count("there is no SRAT, but 2 nodes"), "%s", rig_all());
}
END_TEST

START_TEST(srat_without_nodes_is_found)
{
	build(&shapes[1], true);
	procs.topo.nr_nodes = 0;
	run();
	ck_assert_msg(rig_count("there is a SRAT, but 0 nodes"), "%s", rig_all());
}
END_TEST

/* ---- SMBIOS ---- */

/* The n-th structure of type 4. */
static uint8_t *processor(unsigned int n)
{
	size_t off = 0, end;

	while (off + 4 <= smbios.len) {
		if (smbios.data[off] == 4 && n-- == 0)
			return smbios.data + off;
		for (end = off + smbios.data[off + 1]; smbios.data[end] || smbios.data[end + 1]; end++)
			;
		off = end + 2;
	}
	ck_abort_msg("no such processor");
	return NULL;
}

static const struct {
	unsigned int off;
	uint8_t value;
	const char *want;
} wrong_socket[] = {
	{ 0x23, 6, "tells of a socket with 6 cores, 3 enabled, 6 threads where CPUID has one with 3, 3, 6" },
	{ 0x24, 2, "3 cores, 2 enabled, 6 threads" },
	{ 0x25, 2, "3 cores, 3 enabled, 2 threads" },
	{ 0x18, 0, "has 3 enabled cores, but its status says that the socket is empty" },
	{ 0x00, 5, "SMBIOS type 4 tells of 1 socket, CPUID of 2 packages" },
	{ 0x01, 0x20, "an SMBIOS processor (type 4) has 32 bytes" },
	{ 0x01, 2, "has a length of 2 bytes" },
};

START_TEST(wrong_socket_is_found)
{
	build(&shapes[1], false);
	processor(1)[wrong_socket[_i].off] = wrong_socket[_i].value;
	run();
	ck_assert_msg(rig_count(wrong_socket[_i].want), "none of %u findings has '%s'%s", found.nr,
		      wrong_socket[_i].want, rig_all());
}
END_TEST

/* ---- bytes that mean nothing: only the sanitizers judge ---- */

START_TEST(broken_bytes_are_survived)
{
	const struct topology_spec spec = { .cpus = 8, .max = 12, .count = SHAPE(2, 1, 1, 3, 2) };
	uint32_t random = (uint32_t)_i * 2654435761u + 1;

	build(&spec, true);
	for (unsigned int k = 0; k < 40; k++) {
		random = random * 1664525 + 1013904223;
		acpi.data[(random >> 8) % acpi.len] ^= (uint8_t)(1u << (random >> 5 & 7));
		smbios.data[(random >> 8) % smbios.len] ^= (uint8_t)(1u << (random >> 5 & 7));
		run();
		ck_assert_uint_le(found.notes.nr, MAX_NOTES);
	}
}
END_TEST

START_TEST(cut_bytes_are_survived)
{
	build(&shapes[1], false);
	for (size_t len = 0; len < acpi.len; len++) {
		uint8_t *cut = malloc(len + 1);

		ck_assert(cut);
		memcpy(cut + 1, acpi.data, len); /* the sanitizer guards the end */
		check_tables(&procs, cut + 1, len, NULL, 0, &found);
		memcpy(cut + 1, smbios.data, MIN(len, smbios.len));
		check_tables(&procs, NULL, 0, cut + 1, MIN(len, smbios.len), &found);
		findings_fini(&found);
		free(cut);
	}
}
END_TEST

START_TEST(no_tables_are_no_findings)
{
	build(&shapes[0], false);
	check_tables(&procs, NULL, 0, NULL, 0, &found);
	ck_assert_uint_eq(found.nr, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("check_tables");
	TCase *c = tcase_create("check_tables");
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_loop_test(c, what_firmware_writes_is_clean, 0, ARRAY_SIZE(shapes));
	tcase_add_loop_test(c, what_firmware_writes_of_nodes_is_clean, 0, 4);
	tcase_add_loop_test(c, wrong_field_is_found, 0, ARRAY_SIZE(wrong));
	tcase_add_test(c, wrong_checksum_is_found);
	tcase_add_loop_test(c, wrong_length_is_found, 0, 2);
	tcase_add_test(c, wrong_width_of_entry_is_found);
	tcase_add_test(c, missing_srat_is_found);
	tcase_add_test(c, srat_without_nodes_is_found);
	tcase_add_loop_test(c, wrong_socket_is_found, 0, ARRAY_SIZE(wrong_socket));
	tcase_add_loop_test(c, broken_bytes_are_survived, 0, 20);
	tcase_add_test(c, cut_bytes_are_survived);
	tcase_add_test(c, no_tables_are_no_findings);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
