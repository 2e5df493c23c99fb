/*
 * SRAT, SLIT, HMAT and _PXM: fields against ACPI 6.5, in shapes that are known to trip somebody; and iasl's opinion.
 * What Linux makes of them is shown by the Linux boots.
 */
#include <errno.h>

#include "firmware/acpi_rig.h"

static const struct rig_shape shapes[] = {
	{ { 1, 1, 1, 1, 1 }, 0 },    { { 1, 3, 1, 1, 2 }, 4 },     { { 2, 3, 2, 2, 3 }, 1 },
	{ { 1, 255, 1, 1, 1 }, 0 },  { { 1, 256, 1, 1, 1 }, 128 }, { { 2, 3, 1, 5, 20 }, 100 },
	{ { 1, 32, 1, 1, 127 }, 0 },
};

static struct rig r;
static uint8_t rsdp[ACPI_RSDP_BYTES];

static void teardown(void)
{
	rig_fini(&r);
}

static void make(struct rig_shape shape)
{
	rig_init(&r, shape);
	rig_set_nodes(&r);
}

/* Two packages of two cores; node 2 has memory alone. */
static void make_small(void)
{
	make((struct rig_shape){ { 1, 2, 1, 1, 2 }, 0 });
}

static void make_paths(void)
{
	r.topo.path = calloc((size_t)r.topo.nr_nodes * r.topo.nr_nodes, sizeof(*r.topo.path));
	ck_assert_ptr_nonnull(r.topo.path);
}

static void set_path(unsigned int from, unsigned int to, struct topo_path path)
{
	r.topo.path[from * r.topo.nr_nodes + to] = path;
}

START_TEST(tables_about_nodes_are_there_only_with_nodes)
{
	static const char *const signature[] = { "SRAT", "SLIT", "HMAT" };

	rig_init_flat(&r, 2);
	rig_build(&r, rsdp);
	for (size_t i = 0; i < ARRAY_SIZE(signature); i++)
		ck_assert_ptr_null(look_for(&r, rsdp, signature[i]));
	r.out.len = 0;
	rig_set_nodes(&r);
	rig_build(&r, rsdp);
	ck_assert_ptr_nonnull(look_for(&r, rsdp, "SRAT"));
	ck_assert_ptr_nonnull(look_for(&r, rsdp, "SLIT"));
	ck_assert_ptr_null(look_for(&r, rsdp, "HMAT"));
	r.out.len = 0;
	make_paths();
	rig_build(&r, rsdp);
	ck_assert_ptr_nonnull(look_for(&r, rsdp, "HMAT"));
}
END_TEST

/* Every processor in order, also those to be plugged, in the entry that the MADT has for it; then all memory. */
START_TEST(srat_has_every_processor_and_all_memory)
{
	const uint8_t *t, *entry;

	make(shapes[_i]);
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "SRAT");
	ck_assert_uint_eq(t[8], 3);
	ck_assert_uint_eq(get_le32(t + 36), 1);
	ck_assert_uint_eq(get_le64(t + 40), 0);
	entry = t + 48;
	for (unsigned int i = 0; i < r.topo.nr_cpus; i++, entry += entry[1]) {
		bool wide = r.topo.cpu[i].apic_id >= 255;

		ck_assert_uint_eq(entry[0], wide ? 2 : 0);
		ck_assert_uint_eq(entry[1], wide ? 24 : 16);
		ck_assert_uint_eq(wide ? get_le32(entry + 8) : entry[3], r.topo.cpu[i].apic_id);
		ck_assert_uint_eq(wide ? get_le32(entry + 4) : entry[2], r.topo.cpu[i].node);
		ck_assert_uint_eq(get_le32(entry + (wide ? 12 : 4)), 1);
		ck_assert_uint_eq(wide ? get_le16(entry + 2) : get_le32(entry + 8), 0);
	}
	for (unsigned int i = 0; i < r.p.nr_node_map; i++, entry += entry[1]) {
		ck_assert_uint_eq(entry[0], 1);
		ck_assert_uint_eq(entry[1], 40);
		ck_assert_uint_eq(get_le32(entry + 2), r.p.node_map[i].node);
		ck_assert_uint_eq(get_le64(entry + 8), r.p.node_map[i].start);
		ck_assert_uint_eq(get_le64(entry + 16), r.p.node_map[i].len);
		ck_assert_uint_eq(get_le32(entry + 28), 1);
	}
	ck_assert_ptr_eq(entry, t + get_le32(t + 4));
}
END_TEST

START_TEST(slit_has_a_row_for_each_node)
{
	static const uint8_t want[] = { 10, 21, 30, 20, 10, 30, 30, 30, 10 };
	const uint8_t *t;

	make_small();
	r.topo.distance[1] = 21; /* from 0 to 1 */
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "SLIT");
	ck_assert_uint_eq(t[8], 1);
	ck_assert_uint_eq(get_le32(t + 4), 36 + 8 + sizeof(want));
	ck_assert_uint_eq(get_le64(t + 36), 3);
	ck_assert_mem_eq(t + 44, want, sizeof(want));
}
END_TEST

/* The nearest initiator by distance; with processors of its own, a node is its own. */
START_TEST(hmat_names_the_nearest_processors_of_each_memory)
{
	const uint8_t *t;

	make_small();
	make_paths();
	r.topo.distance[1 * 3 + 2] = 25; /* node 1 is nearer to node 2 than node 0 is */
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "HMAT");
	ck_assert_uint_eq(t[8], 2);
	ck_assert_uint_eq(get_le32(t + 4), 40 + 3 * 40);
	for (unsigned int n = 0; n < 3; n++) {
		const uint8_t *s = t + 40 + 40 * n;

		ck_assert_uint_eq(get_le32(s), 0);
		ck_assert_uint_eq(get_le32(s + 4), 40);
		ck_assert_uint_eq(get_le32(s + 8), 1);
		ck_assert_uint_eq(get_le32(s + 12), n == 2 ? 1 : n);
		ck_assert_uint_eq(get_le32(s + 16), n);
	}
}
END_TEST

START_TEST(hmat_leaves_out_memory_that_is_not_there)
{
	const uint8_t *t;

	make_small();
	make_paths();
	set_path(0, 0, (struct topo_path){ 80, 80, 0, 0 });
	r.p.node_map[1].node = 0; /* node 1 has no memory */
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "HMAT");
	ck_assert_uint_eq(get_le32(t + 40 + 16), 0);
	ck_assert_uint_eq(get_le32(t + 80 + 16), 2);
	ck_assert_uint_eq(get_le16(t + 120), 1);      /* the matrix: */
	ck_assert_uint_eq(get_le32(t + 120 + 12), 2); /* initiators 0, 1 */
	ck_assert_uint_eq(get_le32(t + 120 + 16), 2); /* targets 0, 2 */
	ck_assert_uint_eq(get_le32(t + 120 + 44), 2);
}
END_TEST

/* The n-th matrix of the HMAT, or NULL. */
static const uint8_t *matrix(unsigned int n)
{
	const uint8_t *t = find(&r, rsdp, "HMAT"), *end = t + get_le32(t + 4);

	for (t += 40; t < end; t += get_le32(t + 4))
		if (get_le16(t) == 1 && n-- == 0)
			return t;
	ck_assert_ptr_eq(t, end);
	return NULL;
}

START_TEST(hmat_has_one_matrix_when_reads_are_as_writes)
{
	static const uint8_t want[] = {
		1, 0, 0, 0, 64,   0,    0, 0,                 /* kind, length */
		0, 0, 0, 0,                                   /* memory, access latency */
		2, 0, 0, 0, 3,    0,    0, 0,                 /* two initiators, three targets */
		0, 0, 0, 0, 0xe8, 3,    0, 0,  0, 0,    0, 0, /* unit: 1000 ps */
		0, 0, 0, 0, 1,    0,    0, 0,  0, 0,    0, 0, 1,
		0, 0, 0, 2, 0,    0,    0, 90, 0, 0x2c, 1, 0, 0, /* from 0: 90, 300, not known */
		0, 0, 0, 0, 0xfe, 0xff,                          /* from 1: not known, not known, 65534 */
	};

	make_small();
	make_paths();
	set_path(0, 0, (struct topo_path){ 90, 90, 0, 0 });
	set_path(0, 1, (struct topo_path){ 300, 300, 0, 0 });
	set_path(1, 2, (struct topo_path){ 65534, 65534, 0, 0 });
	rig_build(&r, rsdp);
	ck_assert_mem_eq(matrix(0), want, sizeof(want));
	ck_assert_ptr_null(matrix(1));
}
END_TEST

START_TEST(hmat_has_two_matrices_when_reads_are_not_as_writes)
{
	static const uint8_t types[] = { 1, 2, 4, 5 };

	make_small();
	make_paths();
	set_path(0, 0, (struct topo_path){ 90, 91, 1000, 2000 });
	rig_build(&r, rsdp);
	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		static const uint16_t want[] = { 90, 91, 1000, 2000 };

		ck_assert_uint_eq(matrix(i)[9], types[i]);
		ck_assert_uint_eq(get_le64(matrix(i) + 24), i < 2 ? 1000 : 1);
		ck_assert_uint_eq(get_le16(matrix(i) + 52), want[i]);
	}
	ck_assert_ptr_null(matrix(4));
}
END_TEST

START_TEST(hmat_with_writes_alone_says_nothing_of_reads)
{
	make_small();
	make_paths();
	set_path(0, 0, (struct topo_path){ 0, 0, 0, 2000 });
	rig_build(&r, rsdp);
	ck_assert_uint_eq(matrix(0)[9], 5);
	ck_assert_ptr_null(matrix(1));
}
END_TEST

/* Two values of one matrix, in its unit: neither 0 nor 0xffff, and as exact as 16 bits can be. */
static const struct {
	uint32_t mbs[2];
	uint64_t unit;
	uint16_t want[2];
} large[] = {
	{ { 1, 65534 }, 1, { 1, 65534 } },
	{ { 65535, 65535 }, 65535, { 1, 1 } },
	{ { 100000, 20000 }, 20000, { 5, 1 } },
	{ { 131072, 131070 }, 3, { 43691, 43690 } }, /* the common divisor is too small */
	{ { 1000000000, 1 }, 15260, { 65531, 1 } },  /* too small for the unit, but still there */
	{ { 1000000000, 999999999 }, 15260, { 65531, 65531 } },
};

START_TEST(hmat_units_make_large_values_fit)
{
	unsigned int e[2];

	make_small();
	make_paths();
	for (unsigned int i = 0; i < 2; i++)
		set_path(0, i, (struct topo_path){ 0, 0, large[_i].mbs[i], large[_i].mbs[i] });
	rig_build(&r, rsdp);
	ck_assert_uint_eq(get_le64(matrix(0) + 24), large[_i].unit);
	for (unsigned int i = 0; i < 2; i++) {
		e[i] = get_le16(matrix(0) + 52 + 2 * i);
		ck_assert_uint_eq(e[i], large[_i].want[i]);
		ck_assert_uint_ne(e[i], 0xffff);
		ck_assert_uint_le(e[i] * large[_i].unit, UINT32_MAX); /* Linux multiplies in 32 bits */
	}
}
END_TEST

START_TEST(tables_of_any_shape_stay_below_the_bound)
{
	make(shapes[_i]);
	make_paths();
	for (unsigned int i = 0; i < r.topo.nr_nodes * r.topo.nr_nodes; i++)
		r.topo.path[i] = (struct topo_path){ 1 + i, 2 + i, 3 + i, 4 + i };
	r.p.nr_node_map = PLATFORM_MAX_NODE_RANGES;
	rig_build(&r, rsdp);
	ck_assert_uint_le(r.out.len, acpi_size_max(&r.p));
	ck_assert_uint_eq(acpi_size_max(&r.p) % 4096, 0);
}
END_TEST

START_TEST(nodes_that_do_not_exist_are_refused)
{
	make_small();
	r.topo.cpu[1].node = 3;
	ck_assert_int_eq(acpi_build(&r.p, BASE, &r.out, rsdp, &r.e), -EINVAL);
	r.topo.cpu[1].node = 0;
	r.p.node_map[2].node = 3;
	ck_assert_int_eq(acpi_build(&r.p, BASE, &r.out, rsdp, &r.e), -EINVAL);
	r.p.node_map[2].node = 2;
	r.topo.nr_nodes = TOPO_MAX_NODES + 1;
	ck_assert_int_eq(acpi_build(&r.p, BASE, &r.out, rsdp, &r.e), -EINVAL);
	ck_assert_uint_eq(r.out.len, 0);
}
END_TEST

/* --- iasl --- */

static void check_iasl_all(void)
{
	static const char *const signature[] = { "SRAT", "SLIT", "HMAT", "DSDT" };

	rig_build(&r, rsdp);
	rig_make_dir(&r);
	check_iasl(&r, at(&r, get_le64(rsdp + 24)));
	for (size_t i = 0; i < ARRAY_SIZE(signature); i++)
		if (look_for(&r, rsdp, signature[i]))
			check_iasl(&r, find(&r, rsdp, signature[i]));
}

START_TEST(iasl_takes_tables_of_any_shape_and_back)
{
	make(shapes[_i]);
	check_iasl_all();
}
END_TEST

START_TEST(iasl_takes_paths_and_back)
{
	make_small();
	make_paths();
	for (unsigned int i = 0; i < 9; i++)
		r.topo.path[i] = (struct topo_path){ 90 + i, 100 + i, 100000 + i, 100000 + i };
	check_iasl_all();
}
END_TEST

/* iasl reads the table as a person does: what it says each field is must be what was meant. */
START_TEST(iasl_finds_nodes_where_they_were_put)
{
	static const char *const want[] = {
		"Proximity Domain Low(8) : 01",
		"Proximity Domain : 00000002",
		"Base Address : 0000000008000000",
		"Address Length : 00000003F8000000",
	};
	struct buf text = { 0 };
	const uint8_t *t;

	make_small();
	rig_build(&r, rsdp);
	rig_make_dir(&r);
	t = find(&r, rsdp, "SRAT");
	rig_write_file(&r, "t.dat", t, get_le32(t + 4));
	ck_assert_int_eq(rig_run(&r, "iasl -d t.dat"), 0);
	rig_read_file(&r, "t.dsl", &text);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		ck_assert_msg(strstr((char *)text.data, want[i]) != NULL, "no '%s' in %s", want[i],
			      (char *)text.data);
	buf_fini(&text);
}
END_TEST

/* --- the interpreter of ACPICA --- */

START_TEST(pxm_of_a_processor_is_its_node)
{
	struct buf log = { 0 };
	const uint8_t *dsdt;

	make_small();
	rig_build(&r, rsdp);
	rig_make_dir(&r);
	dsdt = find(&r, rsdp, "DSDT");
	rig_write_file(&r, "t.dat", dsdt, get_le32(dsdt + 4));
	ck_assert_int_eq(rig_run(&r, "acpiexec -b 'execute \\_SB.C002._PXM' t.dat"), 0);
	rig_read_file(&r, "log", &log);
	ck_assert_msg(strstr((char *)log.data, "0000000000000001") != NULL, "%s", (char *)log.data);
	buf_fini(&log);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("acpi_numa");
	TCase *tc = tcase_create("tables"), *tools = tcase_create("tools");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, tables_about_nodes_are_there_only_with_nodes);
	tcase_add_loop_test(tc, srat_has_every_processor_and_all_memory, 0, ARRAY_SIZE(shapes));
	tcase_add_test(tc, slit_has_a_row_for_each_node);
	tcase_add_test(tc, hmat_names_the_nearest_processors_of_each_memory);
	tcase_add_test(tc, hmat_leaves_out_memory_that_is_not_there);
	tcase_add_test(tc, hmat_has_one_matrix_when_reads_are_as_writes);
	tcase_add_test(tc, hmat_has_two_matrices_when_reads_are_not_as_writes);
	tcase_add_test(tc, hmat_with_writes_alone_says_nothing_of_reads);
	tcase_add_loop_test(tc, hmat_units_make_large_values_fit, 0, ARRAY_SIZE(large));
	tcase_add_loop_test(tc, tables_of_any_shape_stay_below_the_bound, 0, ARRAY_SIZE(shapes));
	tcase_add_test(tc, nodes_that_do_not_exist_are_refused);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tools, 60);
	tcase_add_checked_fixture(tools, NULL, teardown);
	if (rig_has_tool("iasl")) {
		tcase_add_loop_test(tools, iasl_takes_tables_of_any_shape_and_back, 0, ARRAY_SIZE(shapes));
		tcase_add_test(tools, iasl_takes_paths_and_back);
		tcase_add_test(tools, iasl_finds_nodes_where_they_were_put);
	}
	if (rig_has_tool("acpiexec"))
		tcase_add_test(tools, pxm_of_a_processor_is_its_node);
	suite_add_tcase(suite, tools);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
