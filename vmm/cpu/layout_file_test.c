/* Unit tests of layout_file.c and of layout_read(). */
#include "vmm/cpu/layout_rig.h"

#include <errno.h>

static int read_text(const char *text)
{
	return layout_read_file(&rig_layout, rig_file("shape", text), &rig_err);
}

static void read_ok(const char *text)
{
	int rc = read_text(text);

	ck_assert_msg(rc == 0, "%s", rig_err.text);
}

/* ---- places ---- */

static const struct {
	const char *text, *places;
} placed[] = {
	{ "cpu 0", "0.0.0.0.0" },
	{ "cpu 0\r\n", "0.0.0.0.0" },
	{ "# shape\n\n \tcpu 0-3 core=0-1 thread=0-1 # SMT\n", "0.0.0.0.0 0.0.0.0.1 0.0.0.1.0 0.0.0.1.1" },
	{ "cpu 0-3 package=0-1 die=0,4", "0.0.0.0.0 0.4.0.0.0 1.0.0.0.0 1.4.0.0.0" },
	{ "cpu 0-3 die=2 module=0,3 core=7-8", "0.2.0.7.0 0.2.0.8.0 0.2.3.7.0 0.2.3.8.0" },
	{ "cpu 1 core=1\ncpu 0", "0.0.0.0.0 0.0.0.1.0" },
	{ "cpu 0,2 core=0-1\ncpu 1,3 core=0-1 thread=1", "0.0.0.0.0 0.0.0.0.1 0.0.0.1.0 0.0.0.1.1" },
	{ "cpu 3-1 core=0-2", NULL },
	{ "cpu 2,1,0 core=0-2", "0.0.0.2.0 0.0.0.1.0 0.0.0.0.0" },
	{ "cpu 0-1 package=0-1\ncpu 2 package=1 core=1", "0.0.0.0.0 1.0.0.0.0 1.0.0.1.0" },
};

START_TEST(lists_of_a_line_are_combined_like_digits)
{
	ck_assert_int_eq(read_text(placed[_i].text), placed[_i].places ? 0 : -EINVAL);
	if (placed[_i].places)
		ck_assert_str_eq(rig_places(), placed[_i].places);
}
END_TEST

START_TEST(vcpu_with_nothing_said_has_defaults)
{
	read_ok("cpu 0-1 core=0-1");
	ck_assert_uint_eq(rig_layout.nr_cpus, 2);
	ck_assert_uint_eq(rig_layout.nr_caches, 0);
	ck_assert(!rig_layout.all_caches);
	ck_assert_uint_eq(rig_layout.nr_nodes, 0);
	ck_assert_uint_eq(rig_layout.cpu[1].apic_id, LAYOUT_NO_ID);
	ck_assert_int_eq(rig_layout.cpu[1].host_cpu, -1);
	ck_assert_int_eq(rig_layout.cpu[1].core_type, TOPO_ALIKE);
	ck_assert_int_eq(rig_layout.cpu[1].group[TOPO_MAX_CACHES - 1], LAYOUT_BY_LEVEL);
}
END_TEST

START_TEST(ids_and_types_are_taken_one_by_one)
{
	read_ok("cpu 0-1 core=0-1 type=performance apic=0x10,0\ncpu 2-3 module=1 core=0-1 type=e "
		"apic=32-33\n");
	ck_assert_str_eq(rig_each(RIG_APIC_ID), "16 0 32 33");
	ck_assert_str_eq(rig_each(RIG_TYPE), "1 1 2 2");
}
END_TEST

START_TEST(as_many_vcpus_as_there_may_be_are_read)
{
	read_ok("cpu 0-4095 package=0-3 die=0-3 module=0-3 core=0-31 thread=0-1\n");
	ck_assert_uint_eq(rig_layout.nr_cpus, 4096);
	ck_assert_uint_eq(rig_layout.cpu[4095].id[TOPO_CORE], 31);
}
END_TEST

/* ---- caches ---- */

START_TEST(groups_without_a_cache_line_are_of_the_hosts_cache)
{
	read_ok("cpu 0-3 core=0-3 l2=0,0,5,5\ncpu 4 core=4 l2=none l3=9\n");
	ck_assert_uint_eq(rig_layout.nr_caches, 2);
	ck_assert(!rig_layout.all_caches);
	ck_assert_str_eq(rig_cache(0), "L2 0K 0*0 sets 0 in core: 0 0 5 5 -");
	ck_assert_str_eq(rig_cache(1), "L3 0K 0*0 sets 0 in die: * * * * 9");
}
END_TEST

START_TEST(cache_line_says_size_and_sharing)
{
	read_ok("cache l1d size=48K ways=12 line=64\ncache l1i size=32K\ncache l3 size=6M shared=socket\ncpu "
		"0\n");
	ck_assert_str_eq(rig_cache(0), "L1d 48K 12*64 sets 64 in core: *");
	ck_assert_str_eq(rig_cache(1), "L1i 32K 0*0 sets 0 in core: *");
	ck_assert_str_eq(rig_cache(2), "L3 6144K 0*0 sets 0 in socket: *");
}
END_TEST

START_TEST(kinds_of_a_type_are_for_cores_of_that_type_only)
{
	read_ok("cpu 0 type=p\ncpu 1-2 module=1 core=0-1 type=e l2=3\n"
		"cache l2 size=2M type=p\ncache l2 size=4M type=efficiency shared=module\n");
	ck_assert_str_eq(rig_cache(0), "L2 2048K 0*0 sets 0 in core of p: * - -");
	ck_assert_str_eq(rig_cache(1), "L2 4096K 0*0 sets 0 in module of e: - 3 3");
}
END_TEST

START_TEST(one_cache_for_data_and_code_leaves_no_room_for_the_hosts)
{
	read_ok("cache l1 size=16K\ncpu 0\n");
	ck_assert(rig_layout.all_caches);
}
END_TEST

/* ---- nodes ---- */

START_TEST(nodes_come_of_lines_and_of_vcpus)
{
	read_ok("cpu 0-3 package=0-1 core=0-1 node=0,0,1,1\nnode 2 memory=4G\nnode 0 memory=512 "
		"host-nodes=1,64\n"
		"node 1 host-nodes=3 policy=interleave\ndistance 0 1 21\ndistance 1 0 31\ndistance 0 2 40\n");
	ck_assert_str_eq(rig_each(RIG_NODE), "0 0 1 1");
	ck_assert_uint_eq(rig_layout.nr_nodes, 3);
	ck_assert_uint_eq(rig_layout.node[2].memory_bytes, 4 * GIB);
	ck_assert_uint_eq(rig_layout.node[0].memory_bytes, 512 * MIB);
	ck_assert_uint_eq(rig_layout.node[0].host_nodes[0], 2);
	ck_assert_uint_eq(rig_layout.node[0].host_nodes[1], 1);
	ck_assert_int_eq(rig_layout.node[0].policy, NODE_BIND);
	ck_assert_int_eq(rig_layout.node[1].policy, NODE_INTERLEAVE);
	ck_assert_int_eq(rig_layout.node[2].policy, NODE_DEFAULT);
	ck_assert_str_eq(rig_distances(), "10 21 40 31 10 20 40 20 10");
}
END_TEST

START_TEST(memory_of_all_nodes_adds_up)
{
	read_ok("cpu 0-1 core=0-1 node=0-1\nnode 0 memory=1G\nnode 1 memory=1028K\nnode 2 memory=0\n");
	ck_assert_uint_eq(layout_memory_sum(&rig_layout), GIB + 1028 * KIB);
	layout_fini(&rig_layout);
	read_ok("cpu 0-1 core=0-1 node=0-1\nnode 0 memory=1G\nnode 1 policy=default\n");
	ck_assert_uint_eq(layout_memory_sum(&rig_layout), 0);
	layout_fini(&rig_layout);
	read_ok("cpu 0\n");
	ck_assert_uint_eq(layout_memory_sum(&rig_layout), 0);
}
END_TEST

START_TEST(distances_that_are_not_said_are_not_there)
{
	read_ok("cpu 0-1 package=0-1 node=0-1\n");
	ck_assert_uint_eq(rig_layout.nr_nodes, 2);
	ck_assert_str_eq(rig_distances(), "none");
}
END_TEST

/* ---- errors ---- */

static const struct {
	const char *text, *want;
} refused[] = {
	{ "", "shape:1: there is no vCPU; expected lines as in cpu 0-3 core=0-1 thread=0-1" },
	{ "# nothing\n", ": there is no vCPU" },
	{ "vcpu 0\n", ":1: a line cannot begin with 'vcpu'; expected cpu, cache, node, distance or #" },
	{ "\n\ncpu\n", ":3: cpu needs numbers" },
	{ "cpu x\n", ":1: cpu: 'x' is no list of numbers from 0 to 4095, as in 0-3,8" },
	{ "cpu 4096\n", "'4096' is no list of numbers from 0 to 4095" },
	{ "cpu 0-1,1-2,0-4095\n", "no list of numbers" },
	{ "cpu 0-3 core=0-2\n", ":1: 4 vCPUs, but package= x die= x module= x core= x thread= say 3 places" },
	{ "cpu 0 core=0-4095 thread=0-4095 die=0-4095 module=0-4095 package=0-4095\n",
	  "say 1152921504606846976 places" },
	{ "cpu 0-1\n", "2 vCPUs, but package= x die= x module= x core= x thread= say 1 place" },
	{ "cpu 0 core\n", "core needs a value: core=VALUE" },
	{ "cpu 0 core=\n", "core needs a value" },
	{ "cpu 0 core=0 core=1\n", "core= is there twice" },
	{ "cpu 0 socket=0\n",
	  "unknown word 'socket'; known are thread=, core=, module=, die=, package=, node=, apic=" },
	{ "cpu 0-1 core=1,0\n", "core=1,0: expected rising numbers, as in 0-3,6" },
	{ "cpu 0 core=none\n", "core: 'none' is no list" },
	{ "cpu 0 type=fast\n", "type=fast: expected one of performance, efficiency, p, e" },
	{ "cpu 0 node=128\n", "node: '128' is no list of numbers from 0 to 127" },
	{ "cpu 0 apic=0x10000\n", "apic: '0x10000' is no list of numbers from 0 to 65535" },
	{ "cpu 0-2 core=0-2 l2=0,1\n",
	  "l2= has 2 numbers for 3 vCPUs; expected one for all, or one for each" },
	{ "cpu 0-2 core=0-2 apic=1\n", "apic= has 1 number for 3 vCPUs; expected one for each" },
	{ "cpu 0\ncpu 0\n", ":2: vCPU 0 is on line 1 already" },
	{ "cpu 0,0 core=0-1\n", ":1: vCPU 0 is on line 1 already" },
	{ "cpu 0\ncpu 2 core=1\n\n",
	  ":2: vCPU 2 is here, and no line has vCPU 1; expected each number from 0 once" },
	{ "cpu 1\n", "vCPU 1 is here, and no line has vCPU 0" },
	{ "cpu 0 core=1\ncpu 1 core=2\ncpu 2 core=1\n", ":3: vCPU 2 has the place of vCPU 0 on line 1" },
	{ "cpu 0 apic=1\ncpu 1 core=1 apic=0x1\n", ":2: vCPU 1 has the APIC id of vCPU 0 on line 1" },
	{ "cpu 0 apic=1\ncpu 1 core=1\n", ":2: vCPU 1 has no apic= and vCPU 0 has one" },
	{ "cpu 0\ncpu 1 core=1 type=p\n", ":2: vCPU 1 has a type= and vCPU 0 has none" },
	{ "cache\n", "cache needs a name: expected one of l1d, l1i, l1, l2, l3, l4" },
	{ "cache l5\n", "cache l5: expected one of l1d" },
	{ "cache l2 size=12\n", "size=12: expected a size from 1K to 2G, e.g. 48K or 2M" },
	{ "cache l2 size=3G\n", "size=3G: expected a size" },
	{ "cache l2 size=1M ways=0\n",
	  "ways: '0' is none, or out of range; expected a number from 1 to 1024" },
	{ "cache l2 size=1M line=48\n", "line=48: expected a power of two" },
	{ "cache l2 size=100K ways=3 line=64\n",
	  "size=100K is no multiple of 3 ways times lines of 64 bytes" },
	{ "cache l2 ways=3\n", "ways= and line= want a size= too" },
	{ "cache l2 shared=node\n",
	  "shared=node: expected one of thread, core, module, die, package, socket" },
	{ "cache l2 size=1M\ncache l2 size=2M type=p\n", ":2: cache l2 is on line 1 already" },
	{ "cache l2 type=p\ncache l2 type=p\n", ":2: cache l2 is on line 1 already" },
	{ "cache l2 type=p\ncpu 0 type=e l2=0\n",
	  ":2: vCPU 0 is in an l2, but no 'cache l2' line is for its type" },
	{ "cpu 0-1 core=0-1\ncache l2 size=1M type=efficiency\n",
	  ":2: cache l2 is for cores of a type, but no vCPU has one; expected type= on the cpu lines too" },
	{ "cpu 0 l1=0 l1d=0\n", "l1 is one cache for data and code; expected either it or l1d and l1i" },
	{ "node\n", "node: no number; expected a number from 0 to 127" },
	{ "node 128\n", "node: '128' is none, or out of range; expected a number from 0 to 127" },
	{ "node 0\nnode 0\n", ":2: node 0 is on line 1 already" },
	{ "node 0 memory=lots\n", "memory=lots: expected a size" },
	{ "node 0 memory=1025T\n", "memory=1025T: expected a size up to 1024T" },
	{ "node 0 memory=6K\n", "memory=6K: expected a multiple of 4K" },
	{ "node 0 host-nodes=128\n", "host-nodes=128: expected the host's nodes from 0 to 127" },
	{ "node 0 policy=first\n", "policy=first: expected one of default, bind, preferred, interleave" },
	{ "node 0 policy=bind\n", "policy=bind wants host-nodes= too" },
	{ "cpu 0 node=2\n", ":1: there is a node 2, but node 0 has neither vCPUs nor a node line" },
	{ "cpu 0\nnode 0\ndistance 0 2 20\n",
	  ":3: a distance is of node 2, which has neither vCPUs nor a node line" },
	{ "distance 0 0 11\n", "distance 0 0 11: it is 10 from a node to itself, and 11 to 255 to others" },
	{ "distance 0 1 10\n", "distance: '10' is none, or out of range; expected a number from 11 to 255" },
	{ "distance 0 1 9\n", "distance: '9' is none, or out of range; expected a number from 11 to 255" },
	{ "distance 0 1\n", "distance: no number; expected a number from 11 to 255" },
	{ "distance 0 1 256\n", "distance: '256' is none, or out of range" },
	{ "distance 0 1 20 30\n", "'30' is too much" },
	{ "distance 0 1 20\ndistance 0 1 20\n", ":2: the distance from node 0 to node 1 is there twice" },
	{ "cpu 0 \033[2J\n", ":1: there is a byte 0x1b; expected lines of text" },
};

START_TEST(wrong_file_is_refused_with_a_sentence)
{
	ck_assert_int_eq(read_text(refused[_i].text), -EINVAL);
	ck_assert_msg(strstr(rig_err.text, refused[_i].want), "'%s' does not have '%s'", rig_err.text,
		      refused[_i].want);
	ck_assert(rig_err.usage);
}
END_TEST

START_TEST(file_that_is_not_there_is_named)
{
	ck_assert_int_eq(layout_read_file(&rig_layout, "/nowhere/shape", &rig_err), -ENOENT);
	ck_assert_str_eq(rig_err.text, "cannot read /nowhere/shape: No such file or directory");
}
END_TEST

START_TEST(file_without_end_is_refused)
{
	ck_assert_int_eq(layout_read_file(&rig_layout, "/dev/zero", &rig_err), -EFBIG);
}
END_TEST

/* ---- layout_read() ---- */

static const struct {
	const char *source, *want;
} sources[] = {
	{ "", "--topology '': no file is named; expected host, host:CPUS, hwloc:FILE or a topology file" },
	{ "hwloc:", "--topology 'hwloc:': no file is named" },
	{ "file:", "--topology 'file:': no file is named" },
	{ "hosts", "--topology hosts: there is no such file; expected host, host:CPUS, hwloc:FILE or a "
		   "topology file" },
	{ "host:", "--topology host:: expected CPUs of this host, as in host:0-3,8; online are " },
	{ "host:x", "--topology host:x: expected CPUs of this host" },
};

START_TEST(wrong_source_is_refused_with_what_would_do)
{
	ck_assert_int_eq(layout_read(&rig_layout, sources[_i].source, &rig_err), -EINVAL);
	ck_assert_msg(strstr(rig_err.text, sources[_i].want), "'%s' does not have '%s'", rig_err.text,
		      sources[_i].want);
	ck_assert(rig_err.usage);
}
END_TEST

START_TEST(file_with_a_name_like_another_source_can_be_read)
{
	char source[256];

	snprintf(source, sizeof(source), "file:%s", rig_file("host:1", "cpu 0-2 core=0-2\n"));
	ck_assert_int_eq(layout_read(&rig_layout, source, &rig_err), 0);
	ck_assert_uint_eq(rig_layout.nr_cpus, 3);
	layout_fini(&rig_layout);
	ck_assert_int_eq(layout_read(&rig_layout, source + 5, &rig_err), 0);
	ck_assert_uint_eq(rig_layout.nr_cpus, 3);
}
END_TEST

START_TEST(zeroed_layout_can_be_finished)
{
	struct layout none = { 0 };

	layout_fini(&none);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("layout_file");

	tcase_add_loop_test(c, lists_of_a_line_are_combined_like_digits, 0, ARRAY_SIZE(placed));
	tcase_add_test(c, vcpu_with_nothing_said_has_defaults);
	tcase_add_test(c, ids_and_types_are_taken_one_by_one);
	tcase_add_test(c, as_many_vcpus_as_there_may_be_are_read);
	tcase_add_test(c, groups_without_a_cache_line_are_of_the_hosts_cache);
	tcase_add_test(c, cache_line_says_size_and_sharing);
	tcase_add_test(c, kinds_of_a_type_are_for_cores_of_that_type_only);
	tcase_add_test(c, one_cache_for_data_and_code_leaves_no_room_for_the_hosts);
	tcase_add_test(c, nodes_come_of_lines_and_of_vcpus);
	tcase_add_test(c, memory_of_all_nodes_adds_up);
	tcase_add_test(c, distances_that_are_not_said_are_not_there);
	tcase_add_loop_test(c, wrong_file_is_refused_with_a_sentence, 0, ARRAY_SIZE(refused));
	tcase_add_test(c, file_that_is_not_there_is_named);
	tcase_add_test(c, file_without_end_is_refused);
	tcase_add_loop_test(c, wrong_source_is_refused_with_what_would_do, 0, ARRAY_SIZE(sources));
	tcase_add_test(c, file_with_a_name_like_another_source_can_be_read);
	tcase_add_test(c, zeroed_layout_can_be_finished);
	return rig_run(suite_create("layout_file"), c);
}
