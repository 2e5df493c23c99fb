/* Unit tests of dot.c. That dot accepts it is not proved here: braces, quotes and names are. */
#include "vmm/view/view_rig.h"

static struct processors p;
static char *text;

static void teardown(void)
{
	free(text);
	text = NULL;
	rig_fini(&p.topo);
}

static const char *dot(void)
{
	free(text);
	text = rig_print(view_dot, &p);
	ck_assert_uint_eq(rig_count(text, "{"), rig_count(text, "}"));
	ck_assert_uint_eq(rig_count(text, "\"") % 2, 0);
	ck_assert_uint_eq(rig_count(text, "<TR>"), rig_count(text, "</TR>"));
	ck_assert_uint_eq(rig_count(text, "<TD "), rig_count(text, "</TD>"));
	return text;
}

/* Every edge joins two nodes that are there. */
static void check_edges(void)
{
	char name[2][24], definition[64];

	for (const char *s = text; s; s = strchr(s + 1, '\n')) {
		if (sscanf(s, " %20[nmrot0-9] -- %20[nmrot0-9]", name[0], name[1]) != 2)
			continue;
		for (unsigned int i = 0; i < 2; i++) {
			snprintf(definition, sizeof(definition), " %s [", name[i]);
			ck_assert_msg(strstr(text, definition), "edge to %s, which is nowhere", name[i]);
		}
	}
}

START_TEST(units_are_clusters_and_cores_are_nodes)
{
	rig_regular(&p.topo, 2, 2, 1, 3, 2);
	rig_caches(&p.topo);
	dot();
	check_edges();
	ck_assert_uint_eq(rig_count(text, "subgraph cluster_"), 1 + 2 + 4);
	ck_assert_uint_eq(rig_count(text, ">Core "), 12);
	ck_assert_uint_eq(rig_count(text, "label=\"L3 32M\""), 4);
	ck_assert_uint_eq(rig_count(text, ">L2 2M<"), 12);
	/* Each core hangs on its L3, and each L3 on the root. */
	ck_assert_uint_eq(rig_count(text, " -- n"), 12 + 4);
	ck_assert_uint_eq(rig_count(text, "root -- n"), 4);
}
END_TEST

START_TEST(shared_l2_hangs_on_the_l3)
{
	rig_hybrid(&p.topo);
	rig_hybrid_caches(&p.topo);
	dot();
	check_edges();
	ck_assert_uint_eq(rig_count(text, "root -- n"), 1);
	/* Four performance cores and the L2 on the L3, four efficiency cores on the L2. */
	ck_assert_uint_eq(rig_count(text, " -- ") - 1, 4 + 1 + 4);
}
END_TEST

START_TEST(nodes_have_memory_and_distances)
{
	rig_regular(&p.topo, 2, 1, 1, 2, 1);
	rig_nodes(&p.topo, 3, 2, GIB);
	p.topo.distance[1] = 31;
	dot();
	check_edges();
	ck_assert_uint_eq(rig_count(text, "label=\"memory of node "), 3);
	ck_assert_ptr_nonnull(strstr(text, "m0 -- m1 [style=dashed, constraint=false, label=\"31 / 21\"]"));
	ck_assert_ptr_nonnull(strstr(text, "m1 -- m2 [style=dashed, constraint=false, label=\"21\"]"));
}
END_TEST

START_TEST(node_in_parts_has_one_memory)
{
	rig_regular(&p.topo, 2, 2, 1, 1, 1);
	rig_nodes(&p.topo, 2, 3, GIB);
	ck_assert_uint_eq(rig_count(dot(), "label=\"memory of node "), 2);
}
END_TEST

START_TEST(large_machine_is_folded)
{
	rig_regular(&p.topo, 8, 1, 1, 64, 2);
	rig_caches(&p.topo);
	ck_assert_uint_lt(strlen(dot()), 4096);
	check_edges();
	ck_assert_ptr_nonnull(strstr(text, "... 63 more\\nlike this:\\nCore 1-63"));
}
END_TEST

START_TEST(pluggable_vcpus_are_in_parentheses)
{
	rig_regular(&p.topo, 1, 1, 1, 2, 2);
	rig_present(&p.topo, 3);
	ck_assert_ptr_nonnull(strstr(dot(), ">(3)</TD>"));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("dot");

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, units_are_clusters_and_cores_are_nodes);
	tcase_add_test(c, shared_l2_hangs_on_the_l3);
	tcase_add_test(c, nodes_have_memory_and_distances);
	tcase_add_test(c, node_in_parts_has_one_memory);
	tcase_add_test(c, large_machine_is_folded);
	tcase_add_test(c, pluggable_vcpus_are_in_parentheses);
	return rig_run("dot", c);
}
