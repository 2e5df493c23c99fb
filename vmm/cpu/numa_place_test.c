/* Unit tests of numa_place.c: who is in which node, how memory is shared out, and what does not go together. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/numa.h"
#include "vmm/cpu/topology.h"

static struct topology t;
static struct numa_spec spec;
static struct layout layout;
static struct topo_node layout_node[4];
static struct err e;

static void teardown(void)
{
	topology_fini(&t);
	numa_spec_fini(&spec);
	free(layout.cpu);
	layout = (struct layout){ 0 };
	memset(layout_node, 0, sizeof(layout_node));
}

/* sockets x dies x cores x threads. */
static void shape(unsigned int s, unsigned int d, unsigned int c, unsigned int th)
{
	const struct topology_spec ts = { .count = { [TOPO_PACKAGE] = s,
						     [TOPO_DIE] = d,
						     [TOPO_MODULE] = 1,
						     [TOPO_CORE] = c,
						     [TOPO_THREAD] = th } };

	ck_assert_int_eq(topology_init(&t, &ts, &e), 0);
}

/* Words of several --numa, separated by blanks. */
static void say(const char *args)
{
	char *copy = strdup(args), *save, *arg;

	for (arg = strtok_r(copy, " ", &save); arg; arg = strtok_r(NULL, " ", &save))
		ck_assert_msg(numa_spec_parse(&spec, arg, &e) == 0, "%s", e.text);
	free(copy);
}

static int place(uint64_t ram_bytes)
{
	return numa_place(&t, &spec, NULL, ram_bytes, &e);
}

static void placed(uint64_t ram_bytes)
{
	ck_assert_msg(place(ram_bytes) == 0, "%s", e.text);
}

/* nodes: one digit a vCPU. */
static void check_cpus(const char *nodes)
{
	ck_assert_uint_eq(t.nr_cpus, strlen(nodes));
	for (unsigned int i = 0; i < t.nr_cpus; i++)
		ck_assert_msg(t.cpu[i].node == nodes[i] - '0', "vCPU %u is in node %u", i, t.cpu[i].node);
}

START_TEST(nothing_said_means_no_numa)
{
	shape(2, 1, 2, 1);
	placed(GIB);
	ck_assert_uint_eq(t.nr_nodes, 0);
	ck_assert_ptr_null(t.node);
	ck_assert_ptr_null(t.distance);
}
END_TEST

START_TEST(vcpus_are_where_they_are_said_to_be)
{
	shape(1, 1, 3, 2);
	say("node=1,cpus=0-1,,4-5 node=0,cpus=2-3");
	placed(GIB);
	check_cpus("110011");
}
END_TEST

START_TEST(vcpus_are_dealt_out_by_socket)
{
	shape(4, 1, 2, 1);
	say("node=0 node=1");
	placed(GIB);
	check_cpus("00001111");
}
END_TEST

START_TEST(vcpus_are_dealt_out_by_die_when_sockets_are_too_few)
{
	shape(2, 2, 1, 2);
	say("node=0 node=1 node=2 node=3");
	placed(GIB);
	check_cpus("00112233");
}
END_TEST

START_TEST(pluggable_vcpus_have_nodes_too)
{
	const struct topology_spec ts = { .cpus = 1, .max = 4, .count = { [TOPO_PACKAGE] = 2 } };

	ck_assert_int_eq(topology_init(&t, &ts, &e), 0);
	say("node=0 node=1");
	placed(GIB);
	check_cpus("0011");
	ck_assert(!t.cpu[3].present);
}
END_TEST

/* Over a machine of two sockets. */
static const struct {
	const char *say;
	uint64_t ram_kib;
	uint64_t want_kib[4];
} shares[] = {
	{ "node=0 node=1", 256 << 10, { 128 << 10, 128 << 10 } },
	{ "node=0,memory=1G node=1,memory=2G", 3 << 20, { 1 << 20, 2 << 20 } },
	{ "node=0,memory=100M node=1", 256 << 10, { 100 << 10, 156 << 10 } },
	{ "node=0 node=1,memory=0", 256 << 10, { 256 << 10, 0 } },
	{ "node=0,cpus=0-1 node=1,cpus=2-3 node=2",
	  256 << 10,
	  { 84 << 10, 84 << 10, 88 << 10 } }, /* the last: rest */
	{ "node=0,cpus=0-1 node=1,cpus=2-3 node=2,memory=64M", 257 << 10, { 96 << 10, 97 << 10, 64 << 10 } },
	{ "node=0 node=1", 2052, { 1024, 1028 } }, /* too little for large pages */
	{ "node=0 node=1", 0, { 0, 0 } },          /* not known */
	{ "node=0,memory=1G node=1", 0, { 1 << 20, 0 } },
};

START_TEST(memory_is_shared_out)
{
	shape(2, 1, 2, 1);
	say(shares[_i].say);
	placed(shares[_i].ram_kib * KIB);
	for (unsigned int n = 0; n < t.nr_nodes; n++)
		ck_assert_uint_eq(t.node[n].memory_bytes / KIB, shares[_i].want_kib[n]);
}
END_TEST

START_TEST(host_nodes_and_policy_are_passed_on)
{
	shape(2, 1, 1, 1);
	say("node=0,host-nodes=1 node=1,host-nodes=64-65,policy=interleave");
	placed(GIB);
	ck_assert_uint_eq(t.node[0].host_nodes[0], 2);
	ck_assert_int_eq(t.node[0].policy, NODE_BIND);
	ck_assert_uint_eq(t.node[1].host_nodes[1], 3);
	ck_assert_int_eq(t.node[1].policy, NODE_INTERLEAVE);
}
END_TEST

START_TEST(distances_are_10_and_20_unless_said)
{
	const uint8_t want[] = { 10, 31, 20, 31, 10, 50, 20, 40, 10 };

	shape(3, 1, 1, 1);
	say("node=0 node=1 node=2 dist=0:1:31 dist=1:2:50 dist=2:1:40"); /* 31 both ways, 50 and 40 one way each */
	placed(GIB);
	ck_assert_mem_eq(t.distance, want, sizeof(want));
}
END_TEST

START_TEST(the_other_way_holds_however_it_is_ordered)
{
	shape(2, 1, 1, 1);
	say("node=0 node=1 dist=1:0:40 dist=0:1:30");
	placed(GIB);
	ck_assert_uint_eq(t.distance[1], 30);
	ck_assert_uint_eq(t.distance[2], 40);
}
END_TEST

START_TEST(paths_are_there_only_if_said)
{
	shape(2, 1, 1, 1);
	say("node=0 node=1 dist=0:1:30");
	placed(GIB);
	ck_assert_ptr_null(t.path);
	say("hmat=0:1,latency=150");
	placed(GIB); /* again, which frees what was there */
	ck_assert_uint_eq(t.path[1].read_ns, 150);
	ck_assert_uint_eq(t.path[0].read_ns, 0);
	ck_assert_uint_eq(t.path[2].read_ns, 0);
}
END_TEST

/* Two sockets, a node each, crosswise. */
static void make_layout(unsigned int nr_nodes)
{
	shape(2, 1, 2, 1);
	layout.nr_cpus = 4;
	layout.cpu = calloc(4, sizeof(*layout.cpu));
	ck_assert_ptr_nonnull(layout.cpu);
	for (unsigned int i = 0; i < 4; i++)
		layout.cpu[i].node = i < 2;
	layout.nr_nodes = nr_nodes;
	layout.node = layout_node;
}

static int place_layout(uint64_t ram_bytes)
{
	return numa_place(&t, &spec, &layout, ram_bytes, &e);
}

static const struct {
	uint64_t mib[4], ram_kib, want_kib[4];
} scaled[] = {
	{ { 1000, 3000 }, 400 << 10, { 100 << 10, 300 << 10 } },
	{ { 0, 0 }, 400 << 10, { 200 << 10, 200 << 10 } },   /* not known: alike */
	{ { 1, 1000000 }, 64 << 10, { 2 << 10, 62 << 10 } }, /* a little stays a little, not nothing */
	{ { 0, 5 }, 64 << 10, { 0, 64 << 10 } },             /* nothing stays nothing */
	{ { 1, 1, 1 }, 100 << 10, { 36 << 10, 32 << 10, 32 << 10 } }, /* what is left goes to one */
	{ { 3, 1 }, 16, { 12, 4 } },
	{ { 30, 30, 1 }, 12, { 4, 4, 4 } }, /* pages do not divide further */
	{ { 1024, 1024, 512 }, 2560 << 10, { 1 << 20, 1 << 20, 512 << 10 } }, /* exactly what was said */
	{ { 1023, 1025, 513 }, 2561 << 10, { 1023 << 10, 1025 << 10, 513 << 10 } },
	{ { 1024, 1024, 512 }, 5 << 20, { 2 << 20, 2 << 20, 1 << 20 } },
	{ { 3 << 10, 4 << 10 }, 0, { 3 << 20, 4 << 20 } }, /* all RAM not known: as they are */
	{ { 1ull << 31, 1ull << 31 }, 1ull << 40, { 1ull << 39, 1ull << 39 } },
};

START_TEST(memory_of_a_layout_is_a_proportion)
{
	uint64_t sum = 0;

	make_layout(scaled[_i].mib[2] ? 3 : 2);
	for (unsigned int n = 0; n < 4; n++)
		layout_node[n].memory_bytes = scaled[_i].mib[n] * MIB;
	ck_assert_msg(place_layout(scaled[_i].ram_kib * KIB) == 0, "%s", e.text);
	for (unsigned int n = 0; n < t.nr_nodes; n++) {
		ck_assert_uint_eq(t.node[n].memory_bytes / KIB, scaled[_i].want_kib[n]);
		sum += t.node[n].memory_bytes;
	}
	ck_assert(sum == scaled[_i].ram_kib * KIB || !scaled[_i].ram_kib);
	check_cpus("1100");
}
END_TEST

START_TEST(layout_keeps_its_distances_and_policies)
{
	uint8_t distance[] = { 10, 12, 13, 10 };

	make_layout(2);
	layout.distance = distance;
	layout_node[1] = (struct topo_node){ 0, { 4 }, NODE_BIND };
	say("dist=1:0:77 dist=0:1:12");
	ck_assert_int_eq(place_layout(GIB), 0);
	ck_assert_uint_eq(t.distance[1], 12);
	ck_assert_uint_eq(t.distance[2], 77);
	ck_assert_uint_eq(t.node[1].host_nodes[0], 4);
	ck_assert_int_eq(t.node[1].policy, NODE_BIND);
}
END_TEST

START_TEST(as_many_nodes_without_vcpus_keep_the_vcpus_of_the_layout)
{
	make_layout(2);
	say("node=0,memory=768M node=1,memory=256M");
	ck_assert_int_eq(place_layout(GIB), 0);
	check_cpus("1100");
	ck_assert_uint_eq(t.node[0].memory_bytes, 768 * MIB);
}
END_TEST

START_TEST(nodes_with_vcpus_replace_those_of_the_layout)
{
	make_layout(2);
	say("node=0,cpus=0,,2 node=1,cpus=1,,3");
	ck_assert_int_eq(place_layout(GIB), 0);
	check_cpus("0101");
}
END_TEST

START_TEST(layout_without_nodes_is_as_no_layout)
{
	make_layout(0);
	ck_assert_int_eq(place_layout(GIB), 0);
	ck_assert_uint_eq(t.nr_nodes, 0);
	check_cpus("0000");
}
END_TEST

static const struct {
	uint8_t distance[4];
	uint64_t bytes;
	const char *want;
} wrong_layouts[] = {
	{ { 11, 20, 20, 10 }, MIB, "the distance of node 0 to itself is 11; it is always 10" },
	{ { 10, 20, 5, 10 }, MIB, "the distance from node 1 to 0 is 5; expected 11 to 255" },
	{ { 10, 20, 20, 10 }, 1ull << 52, "more than 4096 TiB of memory" },
	{ { 10, 20, 20, 10 }, UINT64_MAX, "more than 4096 TiB of memory" },
};

START_TEST(wrong_layout_is_refused)
{
	uint8_t distance[4];

	memcpy(distance, wrong_layouts[_i].distance, sizeof(distance));
	make_layout(2);
	layout.distance = distance;
	layout_node[0].memory_bytes = MIB;
	layout_node[1].memory_bytes = wrong_layouts[_i].bytes;
	ck_assert_int_eq(place_layout(GIB), -EINVAL);
	ck_assert_msg(strstr(e.text, wrong_layouts[_i].want), "'%s' does not have '%s'", e.text,
		      wrong_layouts[_i].want);
}
END_TEST

START_TEST(layout_with_a_vcpu_in_no_node_is_refused)
{
	make_layout(2);
	layout.cpu[3].node = 2;
	ck_assert_int_eq(place_layout(GIB), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "vCPU 3 is in node 2, but the last node is 1"));
}
END_TEST

START_TEST(layout_whose_nodes_are_more_than_pages_is_refused)
{
	make_layout(2);
	layout_node[0].memory_bytes = layout_node[1].memory_bytes = MIB;
	ck_assert_int_eq(place_layout(4096), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "4 KiB are too little for 2 nodes with memory"));
}
END_TEST

/* The shape is 1 socket, 2 cores of 2 threads; RAM is 256 MiB. */
static const struct {
	const char *say, *want;
} refused[] = {
	{ "node=1,cpus=0-3", "there is a node 1 but no node 0" },
	{ "node=0,cpus=0-3 node=2,memory=1M", "there is a node 2 but no node 1" },
	{ "node=0,cpus=0-4", "node=0: there is no vCPU 4; the last one is 3" },
	{ "node=0,cpus=0-3,,1", "node=0: vCPU 1 is there twice" },
	{ "node=0,cpus=0-3 node=1,cpus=3", "node=1: vCPU 3 is in node 0 already; each is in one node" },
	{ "node=0,cpus=0-1 node=1", "vCPU 2 and 1 more are in no node; add them to cpus= of one" },
	{ "node=0,cpus=0-2 node=1", "vCPU 3 is in no node; add it to cpus= of one" },
	{ "node=0 node=1",
	  "2 nodes cannot share out 1 socket with 1 die in all evenly; say each node's vCPUs" },
	{ "node=0,cpus=0-2 node=1,cpus=3", "vCPUs 2 and 3 are threads of one core, but in nodes 0 and 1" },
	{ "node=0,cpus=0,,2 node=1,cpus=1,,3",
	  "vCPUs 0 and 1 are threads of one core, but in nodes 0 and 1" },
	{ "node=0,memory=100M", "the nodes have 100M of memory in all, but the machine has 256M; make them "
				"equal with --memory 100M" },
	{ "node=0,cpus=0-3,memory=300M node=1",
	  "the nodes that say their memory have 300M, more than the machine's 256M" },
	{ "node=0,cpus=0-3,memory=256M node=1", "nothing of the machine's 256M is left for node 1" },
	{ "node=0,cpus=0-3,memory=256M node=1,memory=0", "node 1 has neither vCPUs nor memory" },
	{ "node=0,cpus=0-3,memory=0 node=1,memory=256M",
	  "node=0: memory=0: guests boot from the memory at address 0" },
	{ "dist=0:1:20", "dist=0:1: there are no nodes; say them with --numa node=0" },
	{ "node=0 dist=0:1:20", "dist=0:1: there is no node 1; the last one is 0" },
	{ "node=0 hmat=5:0,latency=1", "hmat=5:0: there is no node 5; the last one is 0" },
	{ "node=0,cpus=0-3 node=1 hmat=1:0,latency=1", "hmat=1:0: node 1 has no vCPU" },
	{ "node=0,cpus=0-1 node=1,cpus=2-3,memory=0 hmat=0:1,latency=1", "hmat=0:1: node 1 has no memory" },
};

START_TEST(what_does_not_go_together_is_refused_with_its_own_sentence)
{
	shape(1, 1, 2, 2);
	say(refused[_i].say);
	ck_assert_int_eq(place(256 * MIB), -EINVAL);
	ck_assert_msg(strstr(e.text, refused[_i].want), "'%s' does not have '%s'", e.text, refused[_i].want);
	ck_assert(e.usage);
}
END_TEST

START_TEST(missing_pluggable_vcpus_are_named_as_such)
{
	const struct topology_spec ts = { .cpus = 2, .max = 4 };

	ck_assert_int_eq(topology_init(&t, &ts, &e), 0);
	say("node=0,cpus=0-1");
	ck_assert_int_eq(place(GIB), -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(e.text, "vCPU 2 and 1 more are in no node (those to be plugged need one, too)"));
}
END_TEST

START_TEST(most_nodes_can_be_had)
{
	char arg[32];

	shape(TOPO_MAX_NODES, 1, 1, 1);
	for (int n = 0; n < TOPO_MAX_NODES; n++) {
		snprintf(arg, sizeof(arg), "node=%d", n);
		say(arg);
	}
	placed(GIB);
	ck_assert_uint_eq(t.nr_nodes, TOPO_MAX_NODES);
	ck_assert_uint_eq(t.cpu[TOPO_MAX_NODES - 1].node, TOPO_MAX_NODES - 1);
	ck_assert_uint_eq(t.node[TOPO_MAX_NODES - 1].memory_bytes, 8 * MIB);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("numa_place");
	TCase *c = tcase_create("numa_place");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, nothing_said_means_no_numa);
	tcase_add_test(c, vcpus_are_where_they_are_said_to_be);
	tcase_add_test(c, vcpus_are_dealt_out_by_socket);
	tcase_add_test(c, vcpus_are_dealt_out_by_die_when_sockets_are_too_few);
	tcase_add_test(c, pluggable_vcpus_have_nodes_too);
	tcase_add_loop_test(c, memory_is_shared_out, 0, ARRAY_SIZE(shares));
	tcase_add_test(c, host_nodes_and_policy_are_passed_on);
	tcase_add_test(c, distances_are_10_and_20_unless_said);
	tcase_add_test(c, the_other_way_holds_however_it_is_ordered);
	tcase_add_test(c, paths_are_there_only_if_said);
	tcase_add_loop_test(c, memory_of_a_layout_is_a_proportion, 0, ARRAY_SIZE(scaled));
	tcase_add_test(c, layout_keeps_its_distances_and_policies);
	tcase_add_test(c, as_many_nodes_without_vcpus_keep_the_vcpus_of_the_layout);
	tcase_add_test(c, nodes_with_vcpus_replace_those_of_the_layout);
	tcase_add_test(c, layout_without_nodes_is_as_no_layout);
	tcase_add_loop_test(c, wrong_layout_is_refused, 0, ARRAY_SIZE(wrong_layouts));
	tcase_add_test(c, layout_with_a_vcpu_in_no_node_is_refused);
	tcase_add_test(c, layout_whose_nodes_are_more_than_pages_is_refused);
	tcase_add_loop_test(c, what_does_not_go_together_is_refused_with_its_own_sentence, 0,
			    ARRAY_SIZE(refused));
	tcase_add_test(c, missing_pluggable_vcpus_are_named_as_such);
	tcase_add_test(c, most_nodes_can_be_had);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
