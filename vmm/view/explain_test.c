/* Unit tests of explain.c and explain_readers.c: the right fields with this guest's values, and true forecasts. */
#include "vmm/view/dump_rig.h"

#include "vmm/view/explain_internal.h"

static void explain(bool amd, const char *options)
{
	rig_make(amd, options);
	ck_assert_msg(rig_print(view_explain) == 0, "%s", e.text);
}

/* The part of the text about one reader. */
static bool says(const char *reader, const char *what)
{
	const char *at = strstr(text, reader), *end;
	const char *found = at ? strstr(at, what) : NULL;

	if (!found)
		return false;
	for (end = at; (end = strstr(end, "\n  ")) && end[3] == ' '; end++)
		;
	return !end || found < end;
}

START_TEST(intel_levels_are_told_with_their_values)
{
	explain(false, "--cpus 24,sockets=2,dies=2,cores=3,threads=2");
	ck_assert(has("x2APIC id of vCPU 23: 0x1d = package 1 (from bit 4), die 1 (bit 3), core 2 (bits "
		      "2:1), thread 1 (bit 0)"));
	ck_assert(has("  1FH.1 EAX[4:0]           = 3 "));
	ck_assert(has("  1FH.2 EBX[15:0]          = 12 "));
	ck_assert(has("  1 EBX[23:16]             = 16     ids in a package"));
	ck_assert(has("  4.3 EAX[25:14]           = 7      L3, 16M: shared by 8 ids"));
	ck_assert(!has("8000001EH"));
	ck_assert(says("Linux <= 6.8:", "die_id: 0 1 0 1\n"));
	ck_assert(says("Linux >= 6.9:", "die_id: 0 1 2 3\n"));
	ck_assert(says("hwloc 2.9:", "2 packages, 4 dies, 12 cores, 24 threads"));
	ck_assert(says("old systems:", "does not see: dies (the shape has 4)"));
	ck_assert(!has("differs from the shape"));
}
END_TEST

START_TEST(amd_levels_are_told_with_their_values)
{
	explain(true, "--cpus 12,sockets=2,cores=3,threads=2");
	ck_assert(has("  1 EBX[23:16]             = 6      logical processors in a package"));
	ck_assert(has("  80000008H ECX[15:12]     = 3 "));
	ck_assert(has("  8000001EH EBX[15:8]      = 1 "));
	ck_assert(has("  8000001DH.3 EAX[25:14]   = 7 "));
	ck_assert(has("  80000026H.3 EBX[15:0]    = 6 "));
	ck_assert(says("Linux >= 6.9:", "went by 80000026H"));
	ck_assert(says("hwloc 2.9:", "went by 0BH"));
	ck_assert(says("old systems:", "differs from the shape: cores, 12 here and 6 asked for"));
	ck_assert(!says("Linux >= 6.9:", "differs"));
}
END_TEST

START_TEST(one_and_none_are_told_as_such)
{
	explain(false, "--cpus 2,sockets=2");
	ck_assert(has("shared by 1 id, minus 1"));
	ck_assert(has("the whole APIC id numbers the core"));
	ck_assert(!has("lowest 0 bits") && !has("shared by 1 ids"));
	explain(true, "--cpus 20,dies=10,cores=2");
	ck_assert(has("8000001EH ECX[10:8]      = 7      nodes in a package, minus 1 (ends at 7;"));
	ck_assert(says("Linux <= 6.8:", "10 dies"));
	ck_assert(!says("Linux <= 6.8:", "differs"));
}
END_TEST

START_TEST(quirks_of_linux_6_1_are_forecast)
{
	explain(false, "--cpus 4,dies=4,cores=1");
	ck_assert(says("Linux <= 6.8:", "says 4 packages"));
	ck_assert(says("Linux <= 6.8:", "every processor is a package of its own"));
	ck_assert(says("Linux >= 6.9:", "says 1 package, 4 dies"));
	explain(false, "--cpus 8,dies=2,modules=2,cores=2");
	ck_assert(says("Linux <= 6.8:", "die_cpus_list is the module"));
	ck_assert(says("hwloc 2.9:", "4 modules"));
}
END_TEST

START_TEST(zen_is_told_its_l3_in_eights)
{
	explain(true, "--cpus 12,cores=6,threads=2 --cpu EPYC");
	ck_assert(says("Linux >= 6.9:", "APIC id >> 3"));
	ck_assert(says("Linux >= 6.9:", "differs from the shape: L3 caches, 2 here and 1 asked for"));
	ck_assert(says("hwloc 2.9:", "1 L3"));
}
END_TEST

START_TEST(overrides_show_in_the_forecast)
{
	explain(false, "--cpus 4 --cpuid b.0.edx=1@2 --cpuid 1f.0.edx=1@2 --cpuid 1f.1.edx=1@2");
	ck_assert(says("hwloc 2.9:", "shows no topology"));
}
END_TEST

START_TEST(nodes_are_told_by_acpi)
{
	explain(false, "--cpus 4 --memory 2G --numa node=0,cpus=0-1 --numa node=1,cpus=2-3");
	ck_assert(has("2 nodes are told by ACPI: SRAT"));
	ck_assert(!has("llc-sibling"));
	explain(true, "--cpus 4 --memory 2G --numa node=0,cpus=0-1 --numa node=1,cpus=2-3");
	ck_assert(says("Linux <= 6.8:", "CPU #2's llc-sibling CPU #0"));
}
END_TEST

/* The forecast of the newest Linux and of hwloc is the shape, for all small ones. */
START_TEST(small_shapes_are_read_as_they_are)
{
	char options[96];

	for (unsigned int i = 0; i < 3 * 3 * 3 * 2; i++) {
		bool amd = _i;
		struct reading shape, r;
		struct leaves *l;
		unsigned int s = i % 3 + 1, d = i / 3 % 3 + 1, c = i / 9 % 3 + 1, t = i / 27 + 1;

		snprintf(options, sizeof(options), "--cpus %u,sockets=%u,dies=%u,cores=%u,threads=%u",
			 s * d * c * t, s, d, c, t);
		rig_make(amd, options);
		l = leaves_of_all(&p);
		ck_assert_int_eq(reading_of_shape(&shape, &p.topo), 0);
		ck_assert_int_eq(reading_make(&r, READER_LINUX_6_12, l, p.topo.nr_present), 0);
		for (enum read_set set = READ_PACKAGE; set <= READ_L3; set++)
			if (set != READ_MODULE)
				ck_assert_msg(reading_same_sets(&r, &shape, set), "%s: %s", options,
					      read_set_name(set));
		reading_fini(&r);
		ck_assert_int_eq(reading_make(&r, READER_HWLOC_2_9, l, p.topo.nr_present), 0);
		for (enum read_set set = READ_CORE; set <= READ_L3; set++)
			ck_assert_msg(reading_same_sets(&r, &shape, set), "%s: %s", options,
				      read_set_name(set));
		reading_fini(&r);
		reading_fini(&shape);
		free(l);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("explain");
	TCase *c = tcase_create("explain");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, NULL, rig_teardown);
	tcase_add_test(c, intel_levels_are_told_with_their_values);
	tcase_add_test(c, amd_levels_are_told_with_their_values);
	tcase_add_test(c, one_and_none_are_told_as_such);
	tcase_add_test(c, quirks_of_linux_6_1_are_forecast);
	tcase_add_test(c, zen_is_told_its_l3_in_eights);
	tcase_add_test(c, overrides_show_in_the_forecast);
	tcase_add_test(c, nodes_are_told_by_acpi);
	tcase_add_loop_test(c, small_shapes_are_read_as_they_are, 0, 2);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
