/* Unit tests of numa.c: what --numa says, and what it may not say. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/numa.h"

static struct numa_spec spec;
static struct err e;

static void teardown(void)
{
	numa_spec_fini(&spec);
}

static void parse(const char *arg)
{
	ck_assert_msg(numa_spec_parse(&spec, arg, &e) == 0, "%s: %s", arg, e.text);
}

START_TEST(node_has_what_is_said_of_it)
{
	parse("node=0,cpus=0-3,,8,memory=1G,host-nodes=0-1,policy=interleave");
	ck_assert_uint_eq(spec.nr_nodes, 1);
	ck_assert_str_eq(spec.node[0].cpus, "0-3,8");
	ck_assert(spec.node[0].memory_said);
	ck_assert_uint_eq(spec.node[0].memory_bytes, GIB);
	ck_assert_uint_eq(spec.node[0].host_nodes[0], 3);
	ck_assert_uint_eq(spec.node[0].host_nodes[1], 0);
	ck_assert_int_eq(spec.node[0].policy, NODE_INTERLEAVE);
}
END_TEST

START_TEST(node_alone_says_nothing_else)
{
	parse("node=0");
	ck_assert_ptr_null(spec.node[0].cpus);
	ck_assert(!spec.node[0].memory_said);
	ck_assert_uint_eq(spec.node[0].host_nodes[0] | spec.node[0].host_nodes[1], 0);
	ck_assert_int_eq(spec.node[0].policy, NODE_DEFAULT);
}
END_TEST

START_TEST(memory_of_0_is_said)
{
	parse("node=0,memory=0");
	ck_assert(spec.node[0].memory_said);
	ck_assert_uint_eq(spec.node[0].memory_bytes, 0);
}
END_TEST

START_TEST(nodes_come_in_any_order)
{
	parse("node=2,cpus=2");
	parse("node=0,cpus=0");
	ck_assert_uint_eq(spec.nr_nodes, 3);
	ck_assert_str_eq(spec.node[2].cpus, "2");
	ck_assert_str_eq(spec.node[0].cpus, "0");
	ck_assert(!spec.node[1].said);
	ck_assert_ptr_null(spec.node[1].cpus);
}
END_TEST

START_TEST(host_nodes_without_policy_means_bind)
{
	parse("node=0,host-nodes=127");
	ck_assert_uint_eq(spec.node[0].host_nodes[0], 0);
	ck_assert_uint_eq(spec.node[0].host_nodes[1], 1ull << 63);
	ck_assert_int_eq(spec.node[0].policy, NODE_BIND);
	parse("node=1,host-nodes=0,policy=preferred");
	ck_assert_int_eq(spec.node[1].policy, NODE_PREFERRED);
}
END_TEST

START_TEST(distance_and_path_of_a_pair_come_together)
{
	parse("dist=0:1:21");
	parse("hmat=0:1,latency=90,bandwidth=20000");
	parse("dist=1:0:255");
	parse("dist=1:1:10");
	ck_assert_uint_eq(spec.nr_nodes, 0);
	ck_assert_uint_eq(spec.nr_pairs, 3);
	ck_assert_uint_eq(spec.pair[0].from, 0);
	ck_assert_uint_eq(spec.pair[0].to, 1);
	ck_assert_uint_eq(spec.pair[0].distance, 21);
	ck_assert_uint_eq(spec.pair[0].path.read_ns, 90);
	ck_assert_uint_eq(spec.pair[0].path.write_ns, 90);
	ck_assert_uint_eq(spec.pair[0].path.read_mbs, 20000);
	ck_assert_uint_eq(spec.pair[0].path.write_mbs, 20000);
	ck_assert_uint_eq(spec.pair[1].distance, 255);
}
END_TEST

START_TEST(reads_and_writes_can_differ)
{
	parse("hmat=0:0,latency=90,write-latency=150,read-bandwidth=300");
	ck_assert_uint_eq(spec.pair[0].path.read_ns, 90);
	ck_assert_uint_eq(spec.pair[0].path.write_ns, 150);
	ck_assert_uint_eq(spec.pair[0].path.read_mbs, 300);
	ck_assert_uint_eq(spec.pair[0].path.write_mbs, 0);
}
END_TEST

START_TEST(memory_sum_needs_every_node)
{
	ck_assert_uint_eq(numa_memory_sum(&spec), 0);
	parse("node=0,memory=1G");
	parse("node=1,memory=0");
	parse("node=2,memory=512M");
	ck_assert_uint_eq(numa_memory_sum(&spec), GIB + 512 * MIB);
	parse("node=3");
	ck_assert_uint_eq(numa_memory_sum(&spec), 0);
}
END_TEST

/* Each has a sentence of its own, which says what would do. */
static const struct {
	const char *arg, *want;
} refused[] = {
	{ "", "--numa : expected node=N, dist=FROM:TO:DISTANCE or hmat=FROM:TO first" },
	{ "0", "--numa 0: expected node=N" },
	{ "node", "--numa node: expected node=N" },
	{ "nodeid=0", "expected node=N" },
	{ "node,nodeid=0,cpus=0-3", "expected node=N" },
	{ "cpus=0-3,node=0", "expected node=N" },
	{ "node=", "--numa: node=: expected a number from 0 to 127" },
	{ "node=128", "--numa: node=128: expected a number from 0 to 127" },
	{ "node=-1", "expected a number from 0 to 127" },
	{ "node=0,mem=1G", "unknown key 'mem'; known are node=, cpus=, memory=, host-nodes=, policy=" },
	{ "node=0,cpus=0-3,8",
	  "'8' behind a comma is no key=value; a comma inside a list is written twice: cpus=0-3,,8" },
	{ "node=0,cpus=", "cpus=: expected a list of vCPUs" },
	{ "node=0,cpus=3-1", "node=0: cpus=3-1: expected a list of vCPUs from 0 to 4095" },
	{ "node=0,cpus=4096", "cpus=4096: expected a list of vCPUs from 0 to 4095" },
	{ "node=0,cpus=99999999999999999999", "expected a list of vCPUs" },
	{ "node=0,cpus=a", "cpus=a: expected a list of vCPUs" },
	{ "node=0,memory=6K", "node=0: memory=6K: expected a multiple of 4K" },
	{ "node=0,memory=1025T", "memory=1025T: expected a size" },
	{ "node=0,policy=bind", "node=0: policy=bind needs host-nodes=" },
	{ "node=0,host-nodes=0,policy=local", "policy=local: expected one of bind, preferred, interleave" },
	{ "node=0,host-nodes=128", "host-nodes=128: expected a list of the host's nodes, from 0 to 127" },
	{ "node=9,cpus=0", "node=9 is there twice" },
	{ "node=0,dist=0:1:20", "unknown key 'dist'" },
	{ "dist=0:1", "dist=0:1: expected FROM:TO:DISTANCE" },
	{ "dist=0:1:20:5", "expected FROM:TO:DISTANCE" },
	{ "dist=0:1:256", "expected FROM:TO:DISTANCE" },
	{ "dist=0:128:20", "expected FROM:TO:DISTANCE, two nodes from 0 to 127" },
	{ "dist=0:1: 20", "expected FROM:TO:DISTANCE" },
	{ "dist=00000000000000000000:1:20", "expected FROM:TO:DISTANCE" },
	{ "dist=1:1:11", "dist=1:1:11: the distance of a node to itself is always 10" },
	{ "dist=0:1:10", "dist=0:1:10: another node is farther away than the 10 of a node to itself" },
	{ "dist=0:1:0", "expected 11 to 254, or 255" },
	{ "dist=9:8:30", "the distance from node 9 to node 8 was said before: 25" },
	{ "dist=0:1:20,x=1", "unknown key 'x'; known are dist=" },
	{ "hmat=0", "hmat=0: expected FROM:TO" },
	{ "hmat=0:1:2,latency=3", "expected FROM:TO" },
	{ "hmat=0:1", "hmat=0:1 says nothing: add latency=NS" },
	{ "hmat=0:1,latency=0", "latency=0: expected a number from 1 to 4000000" },
	{ "hmat=0:1,bandwidth=1000000001", "expected a number from 1 to 1000000000" },
	{ "hmat=9:8,latency=5", "hmat=9:8 is there twice" },
};

START_TEST(nonsense_is_refused_with_its_own_sentence)
{
	parse("node=9");
	parse("dist=9:8:25");
	parse("hmat=9:8,latency=90");
	ck_assert_int_eq(numa_spec_parse(&spec, refused[_i].arg, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, refused[_i].want), "'%s' does not have '%s'", e.text, refused[_i].want);
	ck_assert(e.usage);
	ck_assert_uint_eq(spec.nr_nodes, 10);
}
END_TEST

START_TEST(zeroed_spec_can_be_finished_twice)
{
	numa_spec_fini(&spec);
	numa_spec_fini(&spec);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("numa");
	TCase *c = tcase_create("numa");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, node_has_what_is_said_of_it);
	tcase_add_test(c, node_alone_says_nothing_else);
	tcase_add_test(c, memory_of_0_is_said);
	tcase_add_test(c, nodes_come_in_any_order);
	tcase_add_test(c, host_nodes_without_policy_means_bind);
	tcase_add_test(c, distance_and_path_of_a_pair_come_together);
	tcase_add_test(c, reads_and_writes_can_differ);
	tcase_add_test(c, memory_sum_needs_every_node);
	tcase_add_loop_test(c, nonsense_is_refused_with_its_own_sentence, 0, ARRAY_SIZE(refused));
	tcase_add_test(c, zeroed_spec_can_be_finished_twice);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
