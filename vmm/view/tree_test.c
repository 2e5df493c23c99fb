/* Unit tests of tree.c: what is inside what, and what is folded. */
#include "vmm/view/view_rig.h"

static struct topology t;
static struct view_box root;
static struct err e;

static void teardown(void)
{
	view_tree_fini(&root);
	rig_fini(&t);
}

/* The tree as text: "Die 0(L3 32M(...))", a count of folded boxes behind a '*', vCPUs by number. */
static void put_box(FILE *out, const struct view_box *box)
{
	if (box->kind == VIEW_PU)
		fprintf(out, "%u", box->number);
	else
		fprintf(out, "%s(", box->label);
	for (unsigned int i = 0; i < box->nr_children; i++) {
		fputs(i ? " " : "", out);
		put_box(out, &box->child[i]);
	}
	fputs(box->kind == VIEW_PU ? "" : ")", out);
	if (box->repeat)
		fprintf(out, "*%u", box->repeat);
}

static const char *tree_text(unsigned int fold)
{
	static char text[8192];
	FILE *out;

	view_tree_fini(&root);
	ck_assert_int_eq(view_tree(&t, fold, &root, &e), 0);
	out = fmemopen(text, sizeof(text), "w");
	ck_assert_ptr_nonnull(out);
	put_box(out, &root);
	fclose(out);
	return text;
}

/* ---- nesting ---- */

START_TEST(levels_of_one_unit_have_no_box)
{
	rig_regular(&t, 1, 1, 1, 2, 2);
	ck_assert_str_eq(tree_text(0), "Machine: 4 vCPUs(Package 0(Core 0(0 1) Core 1(2 3)))");
}
END_TEST

START_TEST(all_levels_nest_when_they_exist)
{
	rig_regular(&t, 2, 2, 2, 1, 1);
	ck_assert_str_eq(tree_text(0),
			 "Machine: 8 vCPUs(Package 0(Die 0(Module 0(Core 0(0)) Module 1(Core 1(1))) "
			 "Die 1(Module 2(Core 2(2)) Module 3(Core 3(3)))) "
			 "Package 1(Die 2(Module 4(Core 4(4)) Module 5(Core 5(5))) "
			 "Die 3(Module 6(Core 6(6)) Module 7(Core 7(7)))))");
}
END_TEST

START_TEST(caches_of_a_core_are_around_it_and_of_a_die_inside_it)
{
	rig_regular(&t, 1, 2, 1, 1, 2);
	rig_caches(&t);
	/* A die with one core: all its caches hold the same vCPUs, the larger level is outside. */
	ck_assert_str_eq(tree_text(0),
			 "Machine: 4 vCPUs(Package 0(Die 0(L3 32M(L2 2M(L1d 48K(L1i 32K(Core 0(0 1)))))) "
			 "Die 1(L3 32M(L2 2M(L1d 48K(L1i 32K(Core 1(2 3))))))))");
}
END_TEST

START_TEST(cache_of_some_cores_is_between_die_and_core)
{
	rig_regular(&t, 1, 1, 1, 4, 1);
	rig_cache_of(&t, 2, CACHE_UNIFIED, 2 * MIB, TOPO_CORE, 0, 2);
	ck_assert_str_eq(
		tree_text(0),
		"Machine: 4 vCPUs(Package 0(L2 2M(Core 0(0) Core 1(1)) L2 2M(Core 2(2) Core 3(3))))");
}
END_TEST

START_TEST(cache_of_a_thread_is_inside_the_core)
{
	rig_regular(&t, 1, 1, 1, 1, 2);
	rig_cache_of(&t, 1, CACHE_DATA, 48 * KIB, TOPO_THREAD, 0, 0);
	ck_assert_str_eq(tree_text(0), "Machine: 2 vCPUs(Package 0(Core 0(L1d 48K(0) L1d 48K(1))))");
}
END_TEST

START_TEST(hybrid_cores_keep_their_order_and_their_own_caches)
{
	rig_hybrid(&t);
	rig_cache_of(&t, 2, CACHE_UNIFIED, 2 * MIB, TOPO_CORE, TOPO_PERFORMANCE, 0);
	rig_cache_of(&t, 2, CACHE_UNIFIED, 4 * MIB, TOPO_CORE, TOPO_EFFICIENCY, 4);
	ck_assert_str_eq(
		tree_text(0),
		"Machine: 12 vCPUs(Package 0(L2 2M(P-core 0(0 1)) L2 2M(P-core 1(2 3)) L2 2M(P-core 2(4 5)) "
		"L2 2M(P-core 3(6 7)) L2 4M(E-core 4(8) E-core 5(9) E-core 6(10) E-core 7(11))))");
}
END_TEST

START_TEST(cores_without_a_cache_do_not_move_behind_those_that_have_it)
{
	rig_hybrid(&t);
	rig_cache_of(&t, 2, CACHE_UNIFIED, 4 * MIB, TOPO_CORE, TOPO_EFFICIENCY, 4);
	ck_assert_str_eq(tree_text(1), "Machine: 12 vCPUs(Package 0(P-core 0(0 1)*3 L2 4M(E-core 4(8)*3)))");
}
END_TEST

/* ---- NUMA ---- */

START_TEST(node_of_two_packages_is_around_them)
{
	rig_regular(&t, 4, 1, 1, 1, 1);
	rig_nodes(&t, 2, 2, 0);
	ck_assert_str_eq(tree_text(0), "Machine: 4 vCPUs(Node 0(Package 0(Core 0(0)) Package 1(Core 1(1))) "
				       "Node 1(Package 2(Core 2(2)) Package 3(Core 3(3))))");
}
END_TEST

START_TEST(node_of_one_package_is_around_it)
{
	rig_regular(&t, 2, 1, 1, 1, 1);
	rig_nodes(&t, 2, 1, GIB);
	ck_assert_str_eq(tree_text(0),
			 "Machine: 2 vCPUs(Node 0 1G(Package 0(Core 0(0))) Node 1 1G(Package 1(Core 1(1))))");
}
END_TEST

START_TEST(node_of_a_die_is_inside_the_package)
{
	rig_regular(&t, 1, 2, 1, 1, 1);
	rig_nodes(&t, 2, 1, 0);
	ck_assert_str_eq(tree_text(0),
			 "Machine: 2 vCPUs(Package 0(Node 0(Die 0(Core 0(0))) Node 1(Die 1(Core 1(1)))))");
}
END_TEST

START_TEST(node_that_cuts_a_package_is_shown_in_parts)
{
	rig_regular(&t, 2, 2, 1, 1, 1);
	rig_nodes(&t, 2, 3, 0);
	ck_assert_str_eq(tree_text(0),
			 "Machine: 4 vCPUs(Package 0(Node 0 (part)(Die 0(Core 0(0)) Die 1(Core 1(1)))) "
			 "Package 1(Node 0 (part)(Die 2(Core 2(2))) Node 1(Die 3(Core 3(3)))))");
}
END_TEST

START_TEST(nodes_whose_vcpus_alternate_are_each_one_box)
{
	rig_regular(&t, 4, 1, 1, 1, 1);
	rig_nodes(&t, 2, 4, 0);
	t.cpu[1].node = t.cpu[3].node = 1;
	ck_assert_str_eq(tree_text(0), "Machine: 4 vCPUs(Node 0(Package 0(Core 0(0)) Package 2(Core 2(2))) "
				       "Node 1(Package 1(Core 1(1)) Package 3(Core 3(3))))");
}
END_TEST

START_TEST(nodes_without_vcpus_come_last)
{
	rig_regular(&t, 1, 1, 1, 1, 1);
	rig_nodes(&t, 3, 1, 4 * GIB);
	t.node[2].memory_bytes = 0;
	ck_assert_str_eq(tree_text(0),
			 "Machine: 1 vCPU(Node 0 4G(Package 0(Core 0(0))) Node 1 4G, memory only() "
			 "Node 2 no memory, no CPUs())");
	ck_assert(root.child[1].present);
}
END_TEST

/* ---- presence ---- */

START_TEST(boxes_know_how_many_inside_are_present)
{
	rig_regular(&t, 2, 1, 1, 2, 2);
	rig_present(&t, 3);
	tree_text(0);
	ck_assert_uint_eq(root.nr_present, 3);
	ck_assert_uint_eq(root.child[0].nr_present, 3);
	ck_assert_uint_eq(root.child[0].child[1].nr_present, 1);
	ck_assert(root.child[0].child[1].present);
	ck_assert(!root.child[1].present);
	ck_assert(root.child[0].child[1].child[0].present);
	ck_assert(!root.child[0].child[1].child[1].present);
}
END_TEST

/* ---- folding ---- */

START_TEST(like_boxes_are_folded_into_the_first)
{
	rig_regular(&t, 1, 1, 1, 16, 2);
	ck_assert_str_eq(tree_text(4), "Machine: 32 vCPUs(Package 0(Core 0(0 1)*15))");
	ck_assert_uint_eq(root.child[0].nr, 32);
	ck_assert_uint_eq(root.child[0].child[0].folded.first, 1);
	ck_assert_uint_eq(root.child[0].child[0].folded.last, 15);
}
END_TEST

START_TEST(as_many_as_the_limit_are_not_folded)
{
	rig_regular(&t, 1, 1, 1, 4, 1);
	ck_assert_str_eq(tree_text(4),
			 "Machine: 4 vCPUs(Package 0(Core 0(0) Core 1(1) Core 2(2) Core 3(3)))");
	ck_assert_str_eq(tree_text(3), "Machine: 4 vCPUs(Package 0(Core 0(0)*3))");
}
END_TEST

START_TEST(boxes_that_hold_folded_ones_are_folded_too)
{
	rig_regular(&t, 4, 1, 1, 4, 1);
	ck_assert_str_eq(tree_text(2), "Machine: 16 vCPUs(Package 0(Core 0(0)*3)*3)");
	ck_assert_uint_eq(root.child[0].folded.first_core, 4);
	ck_assert_uint_eq(root.child[0].folded.last_core, 15);
}
END_TEST

START_TEST(boxes_that_differ_are_not_folded)
{
	rig_regular(&t, 1, 1, 1, 8, 2);
	rig_present(&t, 7);
	ck_assert_str_eq(tree_text(1),
			 "Machine: 16 vCPUs(Package 0(Core 0(0 1)*2 Core 3(6 7) Core 4(8 9)*3))");
}
END_TEST

START_TEST(cores_of_two_types_are_not_folded_together)
{
	rig_hybrid(&t);
	ck_assert_str_eq(tree_text(1), "Machine: 12 vCPUs(Package 0(P-core 0(0 1)*3 E-core 4(8)*3))");
}
END_TEST

START_TEST(nodes_of_different_memory_are_not_folded)
{
	rig_regular(&t, 4, 1, 1, 1, 1);
	rig_nodes(&t, 4, 1, GIB);
	t.node[3].memory_bytes = 2 * GIB;
	ck_assert_str_eq(
		tree_text(1),
		"Machine: 4 vCPUs(Node 0 1G(Package 0(Core 0(0)))*2 Node 3 2G(Package 3(Core 3(3))))");
}
END_TEST

START_TEST(few_threads_are_never_folded_and_many_are)
{
	rig_regular(&t, 1, 1, 1, 1, 8);
	ck_assert_str_eq(tree_text(1), "Machine: 8 vCPUs(Package 0(Core 0(0 1 2 3 4 5 6 7)))");
	rig_fini(&t);
	rig_regular(&t, 1, 1, 1, 1, 9);
	ck_assert_str_eq(tree_text(1), "Machine: 9 vCPUs(Package 0(Core 0(0*8)))");
}
END_TEST

/* ---- all shapes ---- */

/* vCPUs from left to right are 0, 1, 2 ..., and boxes say truly which are inside. */
static unsigned int check_box(const struct view_box *box, unsigned int at)
{
	ck_assert_uint_eq(box->first, at);
	if (box->kind == VIEW_PU) {
		ck_assert_uint_eq(box->number, at);
		return at + 1;
	}
	for (unsigned int i = 0; i < box->nr_children; i++)
		at = check_box(&box->child[i], at);
	ck_assert_uint_eq(box->first + box->nr, at);
	return at;
}

START_TEST(every_vcpu_is_in_the_tree_once_and_in_order)
{
	unsigned int s = (unsigned int)_i, shapes = 0;

	for (unsigned int d = 1; d <= 3; d++)
		for (unsigned int m = 1; m <= 3; m++)
			for (unsigned int c = 1; c <= 5; c++)
				for (unsigned int h = 1; h <= 2; h++, shapes++) {
					rig_regular(&t, s, d, m, c, h);
					rig_caches(&t);
					rig_nodes(&t, 2 * s, (d * m * c * h + 1) / 2, GIB);
					ck_assert_int_eq(view_tree(&t, 0, &root, &e), 0);
					ck_assert_uint_eq(check_box(&root, 0), t.nr_cpus);
					view_tree_fini(&root);
					rig_fini(&t);
				}
	ck_assert_uint_eq(shapes, 90);
}
END_TEST

START_TEST(largest_machine_has_a_tree)
{
	rig_regular(&t, 16, 2, 2, 32, 2);
	rig_caches(&t);
	ck_assert_int_eq(view_tree(&t, 0, &root, &e), 0);
	ck_assert_uint_eq(check_box(&root, 0), TOPO_MAX_CPUS);
	view_tree_fini(&root);
	ck_assert_int_eq(view_tree(&t, 1, &root, &e), 0);
	ck_assert_uint_eq(root.nr_children, 1);
	ck_assert_uint_eq(root.child[0].repeat, 15);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("tree");

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, levels_of_one_unit_have_no_box);
	tcase_add_test(c, all_levels_nest_when_they_exist);
	tcase_add_test(c, caches_of_a_core_are_around_it_and_of_a_die_inside_it);
	tcase_add_test(c, cache_of_some_cores_is_between_die_and_core);
	tcase_add_test(c, cache_of_a_thread_is_inside_the_core);
	tcase_add_test(c, hybrid_cores_keep_their_order_and_their_own_caches);
	tcase_add_test(c, cores_without_a_cache_do_not_move_behind_those_that_have_it);
	tcase_add_test(c, node_of_two_packages_is_around_them);
	tcase_add_test(c, node_of_one_package_is_around_it);
	tcase_add_test(c, node_of_a_die_is_inside_the_package);
	tcase_add_test(c, node_that_cuts_a_package_is_shown_in_parts);
	tcase_add_test(c, nodes_whose_vcpus_alternate_are_each_one_box);
	tcase_add_test(c, nodes_without_vcpus_come_last);
	tcase_add_test(c, boxes_know_how_many_inside_are_present);
	tcase_add_test(c, like_boxes_are_folded_into_the_first);
	tcase_add_test(c, as_many_as_the_limit_are_not_folded);
	tcase_add_test(c, boxes_that_hold_folded_ones_are_folded_too);
	tcase_add_test(c, boxes_that_differ_are_not_folded);
	tcase_add_test(c, cores_of_two_types_are_not_folded_together);
	tcase_add_test(c, nodes_of_different_memory_are_not_folded);
	tcase_add_test(c, few_threads_are_never_folded_and_many_are);
	tcase_add_loop_test(c, every_vcpu_is_in_the_tree_once_and_in_order, 1, 4);
	tcase_add_test(c, largest_machine_has_a_tree);
	return rig_run("tree", c);
}
