/*
 * SMBIOS against DMTF DSP0134 3.3.0, walked as a guest walks it, over many shapes; and dmidecode's opinion
 * of the whole.
 */
#include <errno.h>

#include "firmware/smbios_rig.h"

START_TEST(entry_points_have_anchors_and_checksums)
{
	struct table t;

	rig_init_flat(&t.r, 2);
	table_build(&t, BASE);
	ck_assert_mem_eq(t.entry, "_SM3_", 5);
	ck_assert_uint_eq(sum(t.entry, 24), 0);
	ck_assert_mem_eq(t.entry + 6, ((uint8_t[]){ 24, 3, 3, 0, 1, 0 }), 6);
	ck_assert_uint_eq(get_le32(t.entry + 12), t.r.out.len);
	ck_assert_uint_eq(get_le64(t.entry + 16), BASE);
	ck_assert_mem_eq(t.entry + 32, "_SM_", 4);
	ck_assert_uint_eq(sum(t.entry + 32, 31), 0);
	ck_assert_uint_eq(t.entry[32 + 5], 31);
	ck_assert_mem_eq(t.entry + 48, "_DMI_", 5);
	ck_assert_uint_eq(sum(t.entry + 48, 15), 0);
	ck_assert_uint_eq(get_le16(t.entry + 32 + 22), t.r.out.len);
	ck_assert_uint_eq(get_le32(t.entry + 32 + 24), BASE);
	rig_fini(&t.r);
}
END_TEST

START_TEST(table_beyond_64_kib_has_no_32_bit_entry_point)
{
	static const uint8_t zero[32];
	struct table t;

	rig_init_flat(&t.r, 4096);
	table_build(&t, BASE);
	ck_assert_uint_gt(t.r.out.len, UINT16_MAX);
	ck_assert_mem_eq(t.entry, "_SM3_", 5);
	ck_assert_mem_eq(t.entry + 32, zero, 32);
	rig_fini(&t.r);
}
END_TEST

START_TEST(structures_of_any_shape_add_up)
{
	size_t off = 0, largest = 0;
	unsigned int nr = 0;
	struct table t;

	rig_init(&t.r, shapes[_i]);
	table_build(&t, BASE);
	for (; off < t.r.out.len; nr++) {
		size_t end = next(&t, off);

		ck_assert_uint_eq(get_le16(t.r.out.data + off + 2), nr); /* handles are unique */
		largest = MAX(largest, end - off);
		off = end;
	}
	ck_assert_uint_eq(off, t.r.out.len);
	ck_assert_uint_eq(find(&t, 127, 0) + 6 - t.r.out.data, t.r.out.len);
	ck_assert(t.entry[32] == 0 || get_le16(t.entry + 32 + 28) == nr);
	ck_assert(t.entry[32] == 0 || get_le16(t.entry + 32 + 8) == largest);
	rig_fini(&t.r);
}
END_TEST

START_TEST(table_of_any_shape_stays_below_the_bound)
{
	struct table t;

	rig_init(&t.r, shapes[_i]);
	t.r.topo.nr_caches = TOPO_MAX_CACHES;
	for (unsigned int i = 4; i < TOPO_MAX_CACHES; i++)
		t.r.topo.cache[i] = t.r.topo.cache[i % 4];
	rig_count_units(&t.r.topo);
	t.r.p.ram_bytes = 256 * GIB; /* the most DIMMs */
	memset(t.r.p.cpu_brand, 'B', sizeof(t.r.p.cpu_brand) - 1);
	memset(t.name, 'N', sizeof(t.name) - 1);
	t.name[sizeof(t.name) - 1] = '\0';
	t.r.p.name = t.name;
	t.r.p.version = t.name;
	table_build(&t, BASE);
	ck_assert_uint_le(t.r.out.len, smbios_size_max(&t.r.p));
	ck_assert_uint_eq(smbios_size_max(&t.r.p) % 4096, 0);
	rig_fini(&t.r);
}
END_TEST

START_TEST(uuid_is_little_endian_in_its_first_groups)
{
	static const uint8_t want[16] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
					  0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	struct table t;

	rig_init_flat(&t.r, 2);
	table_build(&t, BASE);
	ck_assert_mem_eq(find(&t, 1, 0) + 8, want, 16);
	rig_fini(&t.r);
}
END_TEST

START_TEST(strings_name_maker_version_and_machine)
{
	struct table t;

	rig_init_flat(&t.r, 2);
	table_build(&t, BASE);
	ck_assert_str_eq(string(find(&t, 0, 0), 4), "trellis");
	ck_assert_str_eq(string(find(&t, 0, 0), 5), "1.2.3");
	ck_assert_str_eq(string(find(&t, 1, 0), 4), "trellis");
	ck_assert_str_eq(string(find(&t, 1, 0), 6), "1.2.3");
	ck_assert_str_eq(string(find(&t, 3, 0), 8), "unit");
	ck_assert_str_eq(string(find(&t, 4, 0), 7), "GenuineIntel");
	ck_assert_str_eq(string(find(&t, 4, 0), 16), "A Processor @ 2.00GHz");
	rig_fini(&t.r);
}
END_TEST

START_TEST(missing_strings_are_not_specified)
{
	struct table t;

	rig_init_flat(&t.r, 2);
	t.r.p.name = NULL;
	t.r.p.cpu_brand[0] = '\0';
	table_build(&t, BASE);
	ck_assert_uint_eq(find(&t, 3, 0)[8], 0);
	ck_assert_uint_eq(find(&t, 4, 0)[16], 0);
	rig_fini(&t.r);
}
END_TEST

START_TEST(bios_says_that_this_is_a_virtual_machine)
{
	struct table t;

	rig_init_flat(&t.r, 2);
	table_build(&t, BASE);
	ck_assert_uint_ne(find(&t, 0, 0)[0x13] & 1u << 4, 0);
	rig_fini(&t.r);
}
END_TEST

static const struct {
	uint64_t ram;
	unsigned int nr;
	uint16_t size;    /* of the first, 7.18: MiB */
	uint32_t ext;     /* extended size */
	uint32_t last_mb; /* of the last */
} dimms[] = {
	{ 128 * MIB, 1, 128, 0, 128 },
	{ 16 * GIB, 1, 16384, 0, 16384 },
	{ 16 * GIB + 512 * MIB, 2, 16384, 0, 512 },
	{ 256 * GIB, 16, 16384, 0, 16384 },
	{ 257 * GIB, 9, 0x7fff, 32768, 1024 },
	{ 12288 * GIB, 12, 0x7fff, 1048576, 1048576 },
};

START_TEST(memory_devices_add_up_to_all_ram)
{
	const uint8_t *d;
	uint64_t total = 0;
	struct table t;

	rig_init_flat(&t.r, 1);
	t.r.p.ram_bytes = dimms[_i].ram;
	table_build(&t, BASE);
	ck_assert_uint_eq(count(&t, 17), dimms[_i].nr);
	ck_assert_uint_eq(get_le16(find(&t, 16, 0) + 13), dimms[_i].nr);
	for (unsigned int i = 0; i < dimms[_i].nr; i++) {
		d = find(&t, 17, i);
		ck_assert_uint_eq(d[1], 0x5c);
		ck_assert_ptr_eq(find_handle(&t, get_le16(d + 4)), find(&t, 16, 0));
		total += get_le64(d + 0x3c);
	}
	ck_assert_uint_eq(total, dimms[_i].ram);
	ck_assert_uint_eq(get_le16(find(&t, 17, 0) + 0x0c), dimms[_i].size);
	ck_assert_uint_eq(get_le32(find(&t, 17, 0) + 0x1c), dimms[_i].ext);
	ck_assert_uint_eq(get_le64(find(&t, 17, dimms[_i].nr - 1) + 0x3c) / MIB, dimms[_i].last_mb);
	rig_fini(&t.r);
}
END_TEST

START_TEST(array_of_2_tib_moves_to_the_wide_field)
{
	struct table t;

	rig_init_flat(&t.r, 1);
	t.r.p.ram_bytes = 2048 * GIB - MIB;
	table_build(&t, BASE);
	ck_assert_uint_eq(get_le32(find(&t, 16, 0) + 7), (2048 * GIB - MIB) / KIB);
	ck_assert_uint_eq(get_le64(find(&t, 16, 0) + 15), 0);
	rig_fini(&t.r);
	rig_init_flat(&t.r, 1);
	t.r.p.ram_bytes = 2048 * GIB;
	table_build(&t, BASE);
	ck_assert_uint_eq(get_le32(find(&t, 16, 0) + 7), 1u << 31);
	ck_assert_uint_eq(get_le64(find(&t, 16, 0) + 15), 2048 * GIB);
	rig_fini(&t.r);
}
END_TEST

START_TEST(mapped_addresses_leave_the_hole_below_4_gib_out)
{
	const uint8_t *m;
	struct table t;

	rig_init_flat(&t.r, 1);
	t.r.p.ram_bytes = 8 * GIB;
	t.r.p.map[2] = (struct mem_range){ MIB, 3 * GIB - MIB, MEM_RAM };
	t.r.p.map[3] = (struct mem_range){ 4 * GIB, 5 * GIB, MEM_RAM };
	table_build(&t, BASE);
	ck_assert_uint_eq(count(&t, 19), 2);
	m = find(&t, 19, 0);
	ck_assert_uint_eq(get_le32(m + 4), 0);
	ck_assert_uint_eq(get_le32(m + 8), 3 * MIB - 1);
	m = find(&t, 19, 1);
	ck_assert_uint_eq(get_le32(m + 4), 4 * MIB);
	ck_assert_uint_eq(get_le32(m + 8), 9 * MIB - 1);
	rig_fini(&t.r);
}
END_TEST

START_TEST(mapped_addresses_beyond_4_tib_move_to_the_wide_fields)
{
	const uint8_t *m;
	struct table t;

	rig_init_flat(&t.r, 1);
	t.r.p.ram_bytes = 5122 * GIB;
	t.r.p.map[3] = (struct mem_range){ 4 * GIB, 5120 * GIB, MEM_RAM };
	table_build(&t, BASE);
	m = find(&t, 19, 1);
	ck_assert_uint_eq(get_le32(m + 4), UINT32_MAX);
	ck_assert_uint_eq(get_le32(m + 8), UINT32_MAX);
	ck_assert_uint_eq(get_le64(m + 15), 4 * GIB);
	ck_assert_uint_eq(get_le64(m + 23), 5124 * GIB - 1);
	rig_fini(&t.r);
}
END_TEST

START_TEST(machine_without_memory_or_processors_is_refused)
{
	struct table t;

	rig_init_flat(&t.r, 1);
	t.r.p.ram_bytes = 0;
	ck_assert_int_eq(smbios_build(&t.r.p, BASE, &t.r.out, t.entry, &t.r.e), -EINVAL);
	rig_fini(&t.r);
}
END_TEST

START_TEST(base_that_cannot_hold_the_table_is_refused)
{
	struct table t;

	rig_init_flat(&t.r, 1);
	ck_assert_int_eq(smbios_build(&t.r.p, 0xfffffff0, &t.r.out, t.entry, &t.r.e), -EINVAL);
	rig_fini(&t.r);
}
END_TEST

/* --- dmidecode --- */

enum { DUMP_TABLE = 32 }; /* where dmidecode --dump-bin puts the table: base is chosen to match */

static void check_dmidecode(struct table *t, const uint8_t *entry)
{
	static const char *const complaint[] = { "rong", "nvalid",  "<BAD",     "<OUT OF SPEC",
						 "roken", "runcat", "nexpected", "Bad" };
	struct buf file = { 0 }, log = { 0 };

	buf_put(&file, entry, DUMP_TABLE);
	buf_put(&file, t->r.out.data, t->r.out.len);
	rig_write_file(&t->r, "dump", file.data, file.len);
	ck_assert_int_eq(rig_run(&t->r, "dmidecode --from-dump dump"), 0);
	rig_read_file(&t->r, "log", &log);
	for (size_t i = 0; i < ARRAY_SIZE(complaint); i++)
		ck_assert_msg(!strstr((char *)log.data, complaint[i]), "dmidecode says '%s'", complaint[i]);
	ck_assert_ptr_nonnull(strstr((char *)log.data, "SMBIOS 3.3"));
	ck_assert_ptr_nonnull(strstr((char *)log.data, "System is a virtual machine"));
	ck_assert_ptr_nonnull(strstr((char *)log.data, "UUID: 00112233-4455-6677-8899-aabbccddeeff"));
	ck_assert_ptr_nonnull(strstr((char *)log.data, "End Of Table"));
	buf_fini(&log);
	buf_fini(&file);
}

START_TEST(dmidecode_reads_any_shape_without_complaint)
{
	struct table t;

	rig_init(&t.r, shapes[_i]);
	table_build(&t, DUMP_TABLE);
	rig_make_dir(&t.r);
	check_dmidecode(&t, t.entry);
	rig_fini(&t.r);
}
END_TEST

START_TEST(dmidecode_reads_the_32_bit_entry_point_too)
{
	struct table t;

	rig_init_flat(&t.r, 2);
	table_build(&t, DUMP_TABLE);
	rig_make_dir(&t.r);
	check_dmidecode(&t, t.entry + 32);
	rig_fini(&t.r);
}
END_TEST

static void add_unit_tests(TCase *tc)
{
	tcase_add_test(tc, entry_points_have_anchors_and_checksums);
	tcase_add_test(tc, table_beyond_64_kib_has_no_32_bit_entry_point);
	tcase_add_loop_test(tc, structures_of_any_shape_add_up, 0, ARRAY_SIZE(shapes));
	tcase_add_loop_test(tc, table_of_any_shape_stays_below_the_bound, 0, ARRAY_SIZE(shapes));
	tcase_add_test(tc, uuid_is_little_endian_in_its_first_groups);
	tcase_add_test(tc, strings_name_maker_version_and_machine);
	tcase_add_test(tc, missing_strings_are_not_specified);
	tcase_add_test(tc, bios_says_that_this_is_a_virtual_machine);
	tcase_add_loop_test(tc, memory_devices_add_up_to_all_ram, 0, ARRAY_SIZE(dimms));
	tcase_add_test(tc, array_of_2_tib_moves_to_the_wide_field);
	tcase_add_test(tc, mapped_addresses_leave_the_hole_below_4_gib_out);
	tcase_add_test(tc, mapped_addresses_beyond_4_tib_move_to_the_wide_fields);
	tcase_add_test(tc, machine_without_memory_or_processors_is_refused);
	tcase_add_test(tc, base_that_cannot_hold_the_table_is_refused);
}

int main(void)
{
	Suite *suite = suite_create("smbios");
	TCase *tc = tcase_create("tables"), *tools = tcase_create("tools");
	SRunner *sr;
	int failed;

	add_unit_tests(tc);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tools, 60);
	if (rig_has_tool("dmidecode")) {
		tcase_add_loop_test(tools, dmidecode_reads_any_shape_without_complaint, 0,
				    ARRAY_SIZE(shapes));
		tcase_add_test(tools, dmidecode_reads_the_32_bit_entry_point_too);
	}
	suite_add_tcase(suite, tools);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
