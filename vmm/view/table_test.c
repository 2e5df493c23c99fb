/* Unit tests of table.c. */
#include "vmm/view/view_rig.h"

static struct processors p;
static char *text;

static void teardown(void)
{
	free(text);
	text = NULL;
	rig_fini(&p.topo);
}

static const char *table(void)
{
	free(text);
	return text = rig_print(view_table, &p);
}

START_TEST(id_is_split_at_the_level_boundaries)
{
	rig_regular(&p.topo, 2, 2, 1, 3, 2);
	table();
	ck_assert_str_eq(rig_line(text, "x2APIC"),
			 "x2APIC id in hex and bits: P package, D die, C core, T thread.");
	ck_assert_str_eq(rig_line(text, "vCPU"), "vCPU    id  P.D.CC.T  pkg  die  core  thr");
	ck_assert_str_eq(rig_line(text, "   0 "), "   0  0x00  0.0.00.0    0    0     0    0");
	ck_assert_str_eq(rig_line(text, "   6 "), "   6  0x08  0.1.00.0    0    1     3    0");
	ck_assert_str_eq(rig_line(text, "  23 "), "  23  0x1d  1.1.10.1    1    3    11    1");
	ck_assert_uint_eq(rig_count(text, "\n"), 24 + 3);
}
END_TEST

START_TEST(one_vcpu_has_an_id_without_fields)
{
	rig_regular(&p.topo, 1, 1, 1, 1, 1);
	table();
	ck_assert_str_eq(rig_line(text, "x2APIC"), "x2APIC id in hex and bits.");
	ck_assert_str_eq(rig_line(text, "   0 "), "   0  0x00  0    0     0    0");
}
END_TEST

START_TEST(all_five_fields_are_told)
{
	rig_regular(&p.topo, 3, 2, 2, 2, 2);
	table();
	ck_assert_str_eq(rig_line(text, "vCPU"), "vCPU    id  PP.D.M.C.T  pkg  die  mod  core  thr");
	ck_assert_str_eq(rig_line(text, "  47 "), "  47  0x2f  10.1.1.1.1    2    5   11    23    1");
}
END_TEST

START_TEST(package_field_is_as_wide_as_the_largest_id)
{
	rig_regular(&p.topo, 2, 1, 1, 2, 1);
	p.topo.cpu[2].apic_id = 0x100;
	p.topo.cpu[3].apic_id = 0x101;
	table();
	ck_assert_str_eq(rig_line(text, "vCPU"), "vCPU     id  PPPPPPPP.C  pkg  core  thr");
	ck_assert_str_eq(rig_line(text, "   3 "), "   3  0x101  10000000.1    1     3    0");
}
END_TEST

START_TEST(every_cache_kind_has_a_column)
{
	rig_regular(&p.topo, 1, 2, 1, 2, 2);
	rig_caches(&p.topo);
	table();
	ck_assert_str_eq(rig_line(text, "vCPU"), "vCPU    id  D.C.T  pkg  die  core  thr  L1d  L1i  L2  L3");
	ck_assert_str_eq(rig_line(text, "   5 "), "   5  0x05  1.0.1    0    1     2    1    2    2   2   1");
}
END_TEST

START_TEST(kinds_of_one_name_share_a_column_and_go_on_counting)
{
	rig_hybrid(&p.topo);
	rig_hybrid_caches(&p.topo);
	table();
	ck_assert_str_eq(rig_line(text, "vCPU"), "vCPU    id  CCC.T  pkg  core  thr  type  L1d  L1i  L2  L3");
	ck_assert_str_eq(rig_line(text, "   7 "),
			 "   7  0x07  011.1    0     3    1     P    3    3   3   0");
	ck_assert_str_eq(rig_line(text, "  11 "),
			 "  11  0x0e  111.0    0     7    0     E    7    7   4   0");
}
END_TEST

START_TEST(vcpu_without_a_cache_has_a_dash)
{
	rig_hybrid(&p.topo);
	rig_cache_of(&p.topo, 3, CACHE_UNIFIED, MIB, TOPO_PACKAGE, TOPO_PERFORMANCE, 0);
	table();
	ck_assert_str_eq(rig_line(text, "   0 "), "   0  0x00  000.0    0     0    0     P   0");
	ck_assert_str_eq(rig_line(text, "  11 "), "  11  0x0e  111.0    0     7    0     E   -");
}
END_TEST

START_TEST(state_and_host_are_told_only_where_there_is_something_to_tell)
{
	rig_regular(&p.topo, 1, 1, 1, 2, 1);
	table();
	ck_assert_ptr_null(strstr(text, "state"));
	ck_assert_ptr_null(strstr(text, "host"));
	rig_present(&p.topo, 1);
	p.topo.cpu[0].host_cpu = 17;
	table();
	ck_assert_str_eq(rig_line(text, "vCPU"), "vCPU    id  C  pkg  core  thr  state      host");
	ck_assert_str_eq(rig_line(text, "   0 "), "   0  0x00  0    0     0    0  present      17");
	ck_assert_str_eq(rig_line(text, "   1 "), "   1  0x01  1    0     1    0  pluggable     -");
}
END_TEST

START_TEST(node_is_told_with_numa)
{
	rig_regular(&p.topo, 1, 1, 1, 2, 1);
	rig_nodes(&p.topo, 2, 1, GIB);
	ck_assert_str_eq(rig_line(table(), "   1 "), "   1  0x01  1    0     1    0     1");
}
END_TEST

START_TEST(columns_are_aligned)
{
	const char *line, *end;
	size_t len = 0;

	rig_regular(&p.topo, 16, 2, 2, 32, 2);
	rig_caches(&p.topo);
	rig_nodes(&p.topo, 128, 32, GIB);
	table();
	ck_assert_uint_eq(rig_count(text, "\n"), TOPO_MAX_CPUS + 3);
	for (line = strstr(text, "vCPU "); *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!len)
			len = (size_t)(end - line);
		ck_assert_uint_eq((size_t)(end - line), len);
	}
}
END_TEST

START_TEST(unwritable_output_is_an_error)
{
	FILE *full = fopen("/dev/full", "w");
	struct err e = { 0 };

	ck_assert_ptr_nonnull(full);
	setvbuf(full, NULL, _IONBF, 0);
	rig_regular(&p.topo, 1, 1, 1, 2, 1);
	ck_assert_int_lt(view_table(&p, full, &e), 0);
	ck_assert_str_eq(e.text, "cannot write the table of processors");
	fclose(full);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("table");

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, id_is_split_at_the_level_boundaries);
	tcase_add_test(c, one_vcpu_has_an_id_without_fields);
	tcase_add_test(c, all_five_fields_are_told);
	tcase_add_test(c, package_field_is_as_wide_as_the_largest_id);
	tcase_add_test(c, every_cache_kind_has_a_column);
	tcase_add_test(c, kinds_of_one_name_share_a_column_and_go_on_counting);
	tcase_add_test(c, vcpu_without_a_cache_has_a_dash);
	tcase_add_test(c, state_and_host_are_told_only_where_there_is_something_to_tell);
	tcase_add_test(c, node_is_told_with_numa);
	tcase_add_test(c, columns_are_aligned);
	tcase_add_test(c, unwritable_output_is_an_error);
	return rig_run("table", c);
}
