/* Unit tests of drawing.c, and with it of place.c: whole drawings, and what any drawing keeps to. */
#include "vmm/view/view_rig.h"

static struct processors p;
static unsigned int columns;
static char *text;

static void setup(void)
{
	setenv("LC_ALL", "C.UTF-8", 1);
	columns = 80;
}

static void teardown(void)
{
	free(text);
	text = NULL;
	rig_fini(&p.topo);
}

static int view(struct processors *of, FILE *out, struct err *e)
{
	return view_drawing(of, out, columns, e);
}

/* The drawing and its sentence, without the table. */
static const char *drawing(void)
{
	free(text);
	text = rig_print(view, &p);
	ck_assert_ptr_nonnull(strstr(text, "x2APIC id in hex"));
	*strstr(text, "x2APIC id in hex") = '\0';
	return text;
}

/* Characters of the longest line; those that continue one are not counted. */
static unsigned int widest(const char *s)
{
	unsigned int best = 0, now = 0;

	for (; *s; s++) {
		now = *s == '\n' ? 0 : now + (((unsigned char)*s & 0xc0) != 0x80);
		best = MAX(best, now);
	}
	return best;
}

/* ---- whole drawings ---- */

START_TEST(four_cores_are_drawn_side_by_side)
{
	rig_regular(&p.topo, 1, 1, 1, 4, 1);
	rig_caches(&p.topo);
	ck_assert_str_eq(drawing(),
			 "┌─ Machine: 4 vCPUs ─ Package 0 ─ L3 32M ─────────┐\n"
			 "│ ┌ Core 0 ─┐ ┌ Core 1 ─┐ ┌ Core 2 ─┐ ┌ Core 3 ─┐ │\n"
			 "│ │ L2 2M   │ │ L2 2M   │ │ L2 2M   │ │ L2 2M   │ │\n"
			 "│ │ L1d 48K │ │ L1d 48K │ │ L1d 48K │ │ L1d 48K │ │\n"
			 "│ │ L1i 32K │ │ L1i 32K │ │ L1i 32K │ │ L1i 32K │ │\n"
			 "│ │ 0       │ │ 1       │ │ 2       │ │ 3       │ │\n"
			 "│ └─────────┘ └─────────┘ └─────────┘ └─────────┘ │\n"
			 "└─────────────────────────────────────────────────┘\n"
			 "1 socket x 4 cores = 4 vCPUs; L1d 48K, L1i 32K, L2 2M per core, L3 32M per\n"
			 "socket\n"
			 "Numbers in cores are vCPUs\n\n");
}
END_TEST

START_TEST(pluggable_vcpus_are_in_parentheses_and_dashed_boxes)
{
	rig_regular(&p.topo, 1, 1, 1, 3, 2);
	rig_present(&p.topo, 3);
	ck_assert_str_eq(drawing(),
			 "┌─ Machine: 6 vCPUs ─ Package 0 ──────┐\n"
			 "│ ┌ Core 0 ─┐ ┌ Core 1 ─┐ ┌ Core 2 ╌┐ │\n"
			 "│ │ 0 1     │ │ 2   (3) │ ╎ (4) (5) ╎ │\n"
			 "│ └─────────┘ └─────────┘ └╌╌╌╌╌╌╌╌╌┘ │\n"
			 "└─────────────────────────────────────┘\n"
			 "1 socket x 3 cores x 2 threads = 6 vCPUs, 3 present and 3 to be plugged\n"
			 "Numbers in cores are vCPUs; (n) is not there yet and can be plugged later\n\n");
}
END_TEST

START_TEST(hybrid_cores_are_named_and_share_what_they_share)
{
	rig_hybrid(&p.topo);
	rig_cache_of(&p.topo, 2, CACHE_UNIFIED, 2 * MIB, TOPO_CORE, TOPO_PERFORMANCE, 0);
	rig_cache_of(&p.topo, 2, CACHE_UNIFIED, 4 * MIB, TOPO_CORE, TOPO_EFFICIENCY, 4);
	ck_assert_ptr_nonnull(strstr(drawing(),
				     "│ ┌ P-core 0 ┐ ┌ P-core 1 ┐ ┌ P-core 2 ┐ ┌ P-core 3 ┐     │\n"
				     "│ │ L2 2M    │ │ L2 2M    │ │ L2 2M    │ │ L2 2M    │     │\n"
				     "│ │ 0 1      │ │ 2 3      │ │ 4 5      │ │ 6 7      │     │\n"
				     "│ └──────────┘ └──────────┘ └──────────┘ └──────────┘     │\n"
				     "│ ┌─ L2 4M ─────────────────────────────────────────────┐ │\n"
				     "│ │ ┌ E-core 4 ┐ ┌ E-core 5 ┐ ┌ E-core 6 ┐ ┌ E-core 7 ┐ │ │\n"
				     "│ │ │ 8        │ │ 9        │ │ 10       │ │ 11       │ │ │\n"));
}
END_TEST

START_TEST(caches_of_threads_are_one_line_in_the_core)
{
	rig_regular(&p.topo, 1, 1, 1, 1, 2);
	rig_cache_of(&p.topo, 1, CACHE_DATA, 48 * KIB, TOPO_THREAD, 0, 0);
	ck_assert_ptr_nonnull(strstr(drawing(), "│ L1d 48K each"));
	ck_assert_uint_eq(rig_count(text, "│ 0 1 "), 1);
}
END_TEST

START_TEST(eight_threads_are_two_rows_of_four)
{
	rig_regular(&p.topo, 1, 1, 1, 1, 8);
	ck_assert_ptr_nonnull(strstr(drawing(), "│ 0 1 2 3 "));
	ck_assert_ptr_nonnull(strstr(text, "│ 4 5 6 7 "));
}
END_TEST

START_TEST(nodes_with_memory_alone_are_boxes)
{
	rig_regular(&p.topo, 2, 1, 1, 2, 1);
	rig_nodes(&p.topo, 3, 2, 4 * GIB);
	ck_assert_ptr_nonnull(strstr(drawing(), " Node 0 4G ─ Package 0 ─"));
	ck_assert_ptr_nonnull(strstr(text, " Node 2 4G, memory only ─"));
	ck_assert_ptr_nonnull(strstr(text, "Distance between nodes 21, of a node to itself 10\n"));
}
END_TEST

START_TEST(distances_that_differ_are_a_matrix)
{
	rig_regular(&p.topo, 2, 1, 1, 1, 1);
	rig_nodes(&p.topo, 2, 1, GIB);
	p.topo.distance[1] = 31;
	ck_assert_ptr_nonnull(strstr(drawing(), "     0   1\n  0  10  31\n  1  21  10\n"));
}
END_TEST

/* ---- the locale ---- */

static const struct {
	const char *lc_all, *lc_ctype, *lang;
	bool utf8;
} locales[] = {
	{ "C.UTF-8", "", "C", true },          { "de_DE.utf8", "", "", true },
	{ "", "en_US.UTF-8", "C", true },      { "", "", "C.UTF-8", true },
	{ "C", "C.UTF-8", "C.UTF-8", false },  { "", "POSIX", "C.UTF-8", false },
	{ "", "", "de_DE.ISO-8859-1", false }, { "", "", "", false },
};

START_TEST(lines_are_ascii_unless_the_locale_is_utf8)
{
	setenv("LC_ALL", locales[_i].lc_all, 1);
	setenv("LC_CTYPE", locales[_i].lc_ctype, 1);
	setenv("LANG", locales[_i].lang, 1);
	rig_regular(&p.topo, 1, 1, 1, 2, 1);
	rig_present(&p.topo, 1);
	drawing();
	ck_assert_int_eq(strstr(text, "┌ Core 0 ┐ ┌ Core 1 ┐") != NULL, locales[_i].utf8);
	ck_assert_int_eq(strstr(text, "+ Core 0 + + Core 1 +") != NULL, !locales[_i].utf8);
	ck_assert_int_eq(strstr(text, ": (1)    :") != NULL, !locales[_i].utf8);
}
END_TEST

/* ---- width and height ---- */

START_TEST(two_by_two_by_three_by_two_fits_80_columns_unfolded)
{
	rig_regular(&p.topo, 2, 2, 1, 3, 2);
	rig_caches(&p.topo);
	ck_assert_uint_le(widest(drawing()), 80);
	ck_assert_uint_eq(rig_count(text, "Core "), 12);
	ck_assert_uint_eq(rig_count(text, "more like this"), 0);
}
END_TEST

START_TEST(rows_are_broken_to_fit_the_columns)
{
	columns = (unsigned int)_i;
	rig_regular(&p.topo, 2, 1, 1, 12, 1);
	ck_assert_uint_le(widest(drawing()), columns);
	ck_assert_uint_eq(rig_count(text, "Core "), 24);
}
END_TEST

START_TEST(columns_out_of_reason_are_taken_as_the_nearest_that_are_not)
{
	rig_regular(&p.topo, 1, 1, 1, 64, 1);
	columns = 0;
	ck_assert_uint_le(widest(drawing()), 40);
	columns = UINT32_MAX;
	ck_assert_uint_le(widest(drawing()), 500);
}
END_TEST

START_TEST(large_machine_is_folded_to_about_a_screen)
{
	rig_regular(&p.topo, 8, 1, 1, 64, 2);
	rig_caches(&p.topo);
	drawing();
	ck_assert_uint_le(rig_count(text, "\n"), 54);
	ck_assert_uint_le(widest(text), 80);
	ck_assert_ptr_nonnull(strstr(text, "... 63 more"));
	ck_assert_ptr_nonnull(strstr(text, "Core 1-63 "));
}
END_TEST

START_TEST(largest_machine_is_folded_twice)
{
	rig_regular(&p.topo, 16, 2, 2, 32, 2);
	rig_caches(&p.topo);
	ck_assert_ptr_nonnull(strstr(drawing(), "... 15 more like this: Package 1-15"));
	ck_assert_uint_le(rig_count(text, "\n"), 54);
}
END_TEST

START_TEST(drawing_that_folding_does_not_shorten_is_cut)
{
	rig_regular(&p.topo, 1, 1, 1, 2048, 1);
	for (unsigned int i = 0; i < p.topo.nr_cpus; i++)
		p.topo.cpu[i].core_type = i % 2 ? TOPO_EFFICIENCY : TOPO_PERFORMANCE;
	ck_assert_ptr_nonnull(strstr(drawing(), " more lines; --format svg draws all\n"));
	ck_assert_uint_le(rig_count(text, "\n"), 250);
}
END_TEST

START_TEST(numbers_that_are_not_in_a_row_are_not_told_as_one)
{
	rig_regular(&p.topo, 1, 1, 1, 256, 1);
	rig_nodes(&p.topo, 2, 256, GIB);
	for (unsigned int i = 0; i < p.topo.nr_cpus; i++)
		p.topo.cpu[i].node = i % 2;
	drawing();
	ck_assert_ptr_nonnull(strstr(text, "... 127 more"));
	ck_assert_ptr_null(strstr(text, "Core 2-"));
}
END_TEST

START_TEST(table_of_a_large_machine_is_shortened)
{
	rig_regular(&p.topo, 1, 1, 1, 256, 1);
	text = rig_print(view, &p);
	ck_assert_ptr_nonnull(strstr(text, " ...  236 more; --format table has them all\n"));
	ck_assert_ptr_nonnull(strstr(text, "\n  15  0x0f"));
	ck_assert_ptr_nonnull(strstr(text, "\n 252  0xfc"));
	ck_assert_ptr_null(strstr(text, "\n  16  0x10"));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("drawing");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, four_cores_are_drawn_side_by_side);
	tcase_add_test(c, pluggable_vcpus_are_in_parentheses_and_dashed_boxes);
	tcase_add_test(c, hybrid_cores_are_named_and_share_what_they_share);
	tcase_add_test(c, caches_of_threads_are_one_line_in_the_core);
	tcase_add_test(c, eight_threads_are_two_rows_of_four);
	tcase_add_test(c, nodes_with_memory_alone_are_boxes);
	tcase_add_test(c, distances_that_differ_are_a_matrix);
	tcase_add_loop_test(c, lines_are_ascii_unless_the_locale_is_utf8, 0, ARRAY_SIZE(locales));
	tcase_add_test(c, two_by_two_by_three_by_two_fits_80_columns_unfolded);
	tcase_add_loop_test(c, rows_are_broken_to_fit_the_columns, 40, 160);
	tcase_add_test(c, columns_out_of_reason_are_taken_as_the_nearest_that_are_not);
	tcase_add_test(c, large_machine_is_folded_to_about_a_screen);
	tcase_add_test(c, largest_machine_is_folded_twice);
	tcase_add_test(c, drawing_that_folding_does_not_shorten_is_cut);
	tcase_add_test(c, numbers_that_are_not_in_a_row_are_not_told_as_one);
	tcase_add_test(c, table_of_a_large_machine_is_shortened);
	return rig_run("drawing", c);
}
