/* Unit tests of layout_host.c and of layout_find_modules(), over small trees that look like sysfs. */
#include "vmm/cpu/layout_rig.h"

#include <errno.h>

/* Write one file of the tree, its path made from a format; a newline is put behind the text. */
__attribute__((format(printf, 2, 3))) static void sys(const char *text, const char *fmt, ...)
{
	char name[128], line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "%s\n", text);
	rig_file(name, line);
}

static const char *number(int v)
{
	static char text[16];

	snprintf(text, sizeof(text), "%d", v);
	return text;
}

/* A CPU's place as the kernel tells it. */
static void sys_cpu(unsigned int cpu, int package, int die, int core, const char *siblings)
{
	sys(number(package), "devices/system/cpu/cpu%u/topology/physical_package_id", cpu);
	sys(number(die), "devices/system/cpu/cpu%u/topology/die_id", cpu);
	sys(number(core), "devices/system/cpu/cpu%u/topology/core_id", cpu);
	sys(siblings, "devices/system/cpu/cpu%u/topology/core_cpus_list", cpu);
}

static void sys_cache(unsigned int cpu, unsigned int index, int level, const char *type, int kib, int ways,
		      const char *shared)
{
	char size[16];

	snprintf(size, sizeof(size), "%dK", kib);
	sys(number(level), "devices/system/cpu/cpu%u/cache/index%u/level", cpu, index);
	sys(type, "devices/system/cpu/cpu%u/cache/index%u/type", cpu, index);
	sys(size, "devices/system/cpu/cpu%u/cache/index%u/size", cpu, index);
	sys(number(ways), "devices/system/cpu/cpu%u/cache/index%u/ways_of_associativity", cpu, index);
	sys("64", "devices/system/cpu/cpu%u/cache/index%u/coherency_line_size", cpu, index);
	sys("1", "devices/system/cpu/cpu%u/cache/index%u/physical_line_partition", cpu, index);
	sys(number(kib * 1024 / 64 / ways), "devices/system/cpu/cpu%u/cache/index%u/number_of_sets", cpu,
	    index);
	sys(shared, "devices/system/cpu/cpu%u/cache/index%u/shared_cpu_list", cpu, index);
}

static void sys_node(unsigned int node, const char *cpus, const char *distances)
{
	sys(cpus, "devices/system/node/node%u/cpulist", node);
	sys(distances, "devices/system/node/node%u/distance", node);
}

static int read_host(const char *list)
{
	return layout_read_host(&rig_layout, rig_dir, list, &rig_err);
}

static void read_ok(const char *list)
{
	int rc = read_host(list);

	ck_assert_msg(rc == 0, "%s", rig_err.text);
}

/* ---- a laptop: two performance cores with two threads, one module of four efficiency cores ---- */

static void make_laptop(void)
{
	sys("0-7", "devices/system/cpu/online");
	sys("0-3", "devices/cpu_core/cpus");
	sys("4-7", "devices/cpu_atom/cpus");
	for (unsigned int i = 0; i < 8; i++) {
		bool big = i < 4;
		char own[16];

		snprintf(own, sizeof(own), big ? "%u-%u" : "%u", big ? i & ~1u : i, i | 1);
		sys_cpu(i, 0, 0, big ? (int)i / 2 * 4 : (int)i + 4, own);
		sys_cache(i, 0, 1, "Data", big ? 48 : 32, big ? 12 : 8, own);
		sys_cache(i, 1, 1, "Instruction", big ? 32 : 64, 8, own);
		sys_cache(i, 2, 2, "Unified", big ? 1280 : 2048, big ? 20 : 16, big ? own : "4-7");
		sys_cache(i, 3, 3, "Unified", 12288, 12, "0-7");
	}
}

START_TEST(hybrid_laptop_has_modules_types_and_its_own_caches)
{
	make_laptop();
	read_ok("0-7");
	ck_assert_str_eq(rig_places(),
			 "0.0.0.0.0 0.0.0.0.1 0.0.1.0.0 0.0.1.0.1 0.0.2.0.0 0.0.2.1.0 0.0.2.2.0 0.0.2.3.0");
	ck_assert_str_eq(rig_each(RIG_TYPE), "1 1 1 1 2 2 2 2");
	ck_assert_str_eq(rig_each(RIG_HOST_CPU), "0 1 2 3 4 5 6 7");
	ck_assert_uint_eq(rig_layout.nr_caches, 7);
	ck_assert(rig_layout.all_caches);
	ck_assert_str_eq(rig_cache(0), "L1d 48K 12*64 sets 64 in core of p: 0 0 2 2 - - - -");
	ck_assert_str_eq(rig_cache(1), "L1d 32K 8*64 sets 64 in core of e: - - - - 4 5 6 7");
	ck_assert_str_eq(rig_cache(2), "L1i 32K 8*64 sets 64 in core of p: 0 0 2 2 - - - -");
	ck_assert_str_eq(rig_cache(3), "L1i 64K 8*64 sets 128 in core of e: - - - - 4 5 6 7");
	ck_assert_str_eq(rig_cache(4), "L2 1280K 20*64 sets 1024 in core of p: 0 0 2 2 - - - -");
	ck_assert_str_eq(rig_cache(5), "L2 2048K 16*64 sets 2048 in module of e: - - - - 4 4 4 4");
	ck_assert_str_eq(rig_cache(6), "L3 12288K 12*64 sets 16384 in die: 0 0 0 0 0 0 0 0");
	ck_assert_uint_eq(rig_layout.nr_nodes, 0);
}
END_TEST

START_TEST(performance_cores_alone_are_all_alike)
{
	make_laptop();
	read_ok("0-3");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.0.1 0.0.0.1.0 0.0.0.1.1");
	ck_assert_str_eq(rig_each(RIG_TYPE), "0 0 0 0");
	ck_assert_uint_eq(rig_layout.nr_caches, 4);
}
END_TEST

START_TEST(subset_with_holes_is_numbered_without_holes)
{
	make_laptop();
	read_ok("7,1-2,5");
	ck_assert_str_eq(rig_each(RIG_HOST_CPU), "1 2 5 7");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.1.0.0 0.0.2.0.0 0.0.2.1.0");
	ck_assert_str_eq(rig_cache(5), "L2 2048K 16*64 sets 2048 in module of e: - - 2 2");
	ck_assert_str_eq(rig_cache(6), "L3 12288K 12*64 sets 16384 in die: 0 0 0 0");
}
END_TEST

/* ---- servers ---- */

/* Two sockets of three cores with two threads, the second threads numbered last; a third node has only memory. */
static void make_server(void)
{
	static const char *const siblings[] = { "0,6", "1,7", "2,8", "3,9", "4,10", "5,11" };

	sys("0-11", "devices/system/cpu/online");
	sys("0,2-3", "devices/system/node/online");
	sys_node(0, "0-2,6-8", "10 21 28");
	sys_node(2, "3-5,9-11", "21 10 28");
	sys_node(3, "", "28 28 10");
	for (unsigned int i = 0; i < 12; i++) {
		sys_cpu(i, i % 6 / 3 * 3, 0, (int)(i % 3) * 8, siblings[i % 6]);
		sys_cache(i, 0, 3, "Unified", 20480, 20, i % 6 < 3 ? "0-2,6-8" : "3-5,9-11");
	}
}

START_TEST(threads_of_a_core_come_together_and_nodes_are_bound)
{
	make_server();
	read_ok("0-11");
	ck_assert_str_eq(rig_each(RIG_HOST_CPU), "0 6 1 7 2 8 3 9 4 10 5 11");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.0.1 0.0.0.1.0 0.0.0.1.1 0.0.0.2.0 0.0.0.2.1 "
				       "1.0.0.0.0 1.0.0.0.1 1.0.0.1.0 1.0.0.1.1 1.0.0.2.0 1.0.0.2.1");
	ck_assert_str_eq(rig_each(RIG_NODE), "0 0 0 0 0 0 1 1 1 1 1 1");
	ck_assert_uint_eq(rig_layout.nr_nodes, 2);
	ck_assert_uint_eq(rig_layout.node[1].host_nodes[0], 1 << 2);
	ck_assert_int_eq(rig_layout.node[1].policy, NODE_BIND);
	ck_assert_uint_eq(rig_layout.node[1].memory_bytes, 0);
	ck_assert_str_eq(rig_distances(), "10 21 21 10");
	ck_assert_str_eq(rig_cache(0), "L3 20480K 20*64 sets 16384 in die: 0 0 0 0 0 0 6 6 6 6 6 6");
}
END_TEST

START_TEST(cpus_of_one_node_are_bound_to_it)
{
	make_server();
	read_ok("3,9");
	ck_assert_uint_eq(rig_layout.nr_nodes, 1);
	ck_assert_uint_eq(rig_layout.node[0].host_nodes[0], 1 << 2);
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.0.1");
}
END_TEST

START_TEST(distances_which_are_no_slit_are_left_out)
{
	make_server();
	sys_node(2, "3-5,9-11", "10 10 28");
	read_ok("0-11");
	ck_assert_uint_eq(rig_layout.nr_nodes, 2);
	ck_assert_str_eq(rig_distances(), "none");
}
END_TEST

/* One die whose cores share level-3 caches by threes, as AMD's complexes do. */
START_TEST(cores_that_share_a_part_of_the_dies_cache_become_modules)
{
	sys("0-5", "devices/system/cpu/online");
	for (unsigned int i = 0; i < 6; i++) {
		sys_cpu(i, 0, 0, (int)i, number((int)i));
		sys_cache(i, 2, 2, "Unified", 512, 8, number((int)i));
		sys_cache(i, 3, 3, "Unified", 8192, 16, i < 3 ? "0-2" : "3-5");
	}
	read_ok("0-5");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.1.0 0.0.0.2.0 0.0.1.0.0 0.0.1.1.0 0.0.1.2.0");
	ck_assert_str_eq(rig_cache(1), "L3 8192K 16*64 sets 8192 in module: 0 0 0 3 3 3");
}
END_TEST

/* Three modules of two cores, the first two with a level-3 cache and the last with none; cores are interleaved. */
START_TEST(modules_beside_those_that_share_a_cache_are_numbered_apart)
{
	static const char *const l2[] = { "0,3", "1,4", "2,5" };

	sys("0-5", "devices/system/cpu/online");
	for (unsigned int i = 0; i < 6; i++) {
		sys_cpu(i, 0, 0, (int)i, number((int)i));
		sys_cache(i, 2, 2, "Unified", 2048, 16, l2[i % 3]);
	}
	for (unsigned int i = 0; i < 6; i++)
		if (i % 3 != 1)
			sys_cache(i, 3, 3, "Unified", 8192, 16, "0,2-3,5");
	read_ok("0-5");
	ck_assert_str_eq(rig_each(RIG_HOST_CPU), "0 3 2 5 1 4");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.1.0 0.0.1.0.0 0.0.1.1.0 0.0.2.0.0 0.0.2.1.0");
	ck_assert_str_eq(rig_cache(1), "L3 8192K 16*64 sets 8192 in die: 0 0 0 0 - -");
}
END_TEST

/* The same with three modules that share: ids of two bits would put the fourth among them. */
START_TEST(number_of_a_module_leaves_a_hole_where_ids_would_not_tell)
{
	static const char *const l2[] = { "0-1", "2-3", "4-5", "6-7" };

	sys("0-7", "devices/system/cpu/online");
	for (unsigned int i = 0; i < 8; i++) {
		sys_cpu(i, 0, 0, (int)i, number((int)i));
		sys_cache(i, 2, 2, "Unified", 2048, 16, l2[i / 2]);
		if (i < 6)
			sys_cache(i, 3, 3, "Unified", 8192, 16, "0-5");
	}
	read_ok("0-7");
	ck_assert_str_eq(rig_places(),
			 "0.0.0.0.0 0.0.0.1.0 0.0.1.0.0 0.0.1.1.0 0.0.2.0.0 0.0.2.1.0 0.0.4.0.0 0.0.4.1.0");
}
END_TEST

START_TEST(cache_that_cuts_a_core_makes_no_modules)
{
	static const char *const siblings[] = { "0-1", "2-3", "4-5" };

	sys("0-5", "devices/system/cpu/online");
	for (unsigned int i = 0; i < 6; i++) {
		sys_cpu(i, 0, 0, (int)i / 2, siblings[i / 2]);
		sys_cache(i, 2, 2, "Unified", 2048, 16, i < 3 ? "0-2" : "3-5");
		sys_cache(i, 3, 3, "Unified", 8192, 16, i < 4 ? "0-3" : "4-5");
	}
	read_ok("0-5");
	/* but the level-3 cache does */
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.0.1 0.0.0.1.0 0.0.0.1.1 0.0.1.0.0 0.0.1.0.1");
}
END_TEST

START_TEST(cache_that_joins_dies_makes_no_modules)
{
	static const char *const l3[] = { "0", "1-2", "1-2", "3" };

	sys("0-3", "devices/system/cpu/online");
	for (unsigned int i = 0; i < 4; i++) {
		sys_cpu(i, 0, (int)i / 2, (int)i, number((int)i));
		sys_cache(i, 0, 3, "Unified", 8192, 16, l3[i]);
	}
	read_ok("0-3");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.1.0 0.1.0.0.0 0.1.0.1.0");
	ck_assert_str_eq(rig_cache(0), "L3 8192K 16*64 sets 8192 in socket: 0 1 1 3");
}
END_TEST

/* ---- what is missing ---- */

START_TEST(guest_with_unknown_numbers_is_one_package_of_cores)
{
	sys("0-2", "devices/system/cpu/online");
	for (unsigned int i = 0; i < 3; i++)
		sys_cpu(i, i ? -1 : 65535, -1, i == 2 ? 65535 : -1, number((int)i));
	read_ok("0-2");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.1.0 0.0.0.2.0");
	ck_assert_uint_eq(rig_layout.nr_caches, 0);
	ck_assert(!rig_layout.all_caches);
}
END_TEST

START_TEST(nothing_at_all_is_a_flat_machine)
{
	read_ok("3,5");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.1.0");
	ck_assert_str_eq(rig_each(RIG_HOST_CPU), "3 5");
	ck_assert_uint_eq(rig_layout.nr_nodes, 0);
}
END_TEST

START_TEST(old_kernel_tells_threads_by_their_numbers_or_by_siblings)
{
	sys("0-3", "devices/system/cpu/online");
	for (unsigned int i = 0; i < 4; i++) {
		sys("0", "devices/system/cpu/cpu%u/topology/physical_package_id", i);
		sys(number((int)i / 2), "devices/system/cpu/cpu%u/topology/core_id", i);
	}
	read_ok("0-3");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.0.1 0.0.0.1.0 0.0.0.1.1");
	for (unsigned int i = 0; i < 4; i++)
		sys(number((int)i), "devices/system/cpu/cpu%u/topology/thread_siblings_list", i);
	layout_fini(&rig_layout);
	read_ok("0-3");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.0.1.0 0.0.0.2.0 0.0.0.3.0");
}
END_TEST

START_TEST(cache_with_files_missing_or_wrong_is_taken_as_far_as_it_goes)
{
	sys("0-1", "devices/system/cpu/online");
	for (unsigned int i = 0; i < 2; i++) {
		sys("1", "devices/system/cpu/cpu%u/cache/index0/level", i);
		sys("Data", "devices/system/cpu/cpu%u/cache/index0/type", i);
		sys_cache(i, 1, 2, "Unified", 512, 8, i ? "0" : "garbage");
		sys("7", "devices/system/cpu/cpu%u/cache/index1/number_of_sets", i);
		sys_cache(i, 2, 9, "Unified", 512, 8, "0");
		sys_cache(i, 3, 3, "Wrong", 512, 8, "0");
	}
	read_ok("0-1");
	ck_assert_uint_eq(rig_layout.nr_caches, 2);
	ck_assert_str_eq(rig_cache(0), "L1d 0K 0*0 sets 0 in core: * *");
	ck_assert_str_eq(rig_cache(1), "L2 512K 0*0 sets 0 in core: 0 1");
}
END_TEST

/* ---- which CPUs ---- */

static const struct {
	const char *list, *want;
} refused[] = {
	{ "", "--topology host:: expected CPUs of this host, as in host:0-3,8; online are 0-1,3" },
	{ " \n", "expected CPUs of this host" },
	{ "a", "--topology host:a: expected CPUs of this host" },
	{ "0,", "expected CPUs of this host" },
	{ "0-8192", "expected CPUs of this host" },
	{ "0-3", "--topology host:0-3: CPU 2 of this host is not online; expected some of 0-1,3" },
};

START_TEST(wrong_list_is_refused_with_what_is_online)
{
	sys("0-1,3", "devices/system/cpu/online");
	ck_assert_int_eq(read_host(refused[_i].list), -EINVAL);
	ck_assert_msg(strstr(rig_err.text, refused[_i].want), "'%s' does not have '%s'", rig_err.text,
		      refused[_i].want);
	ck_assert(rig_err.usage);
}
END_TEST

START_TEST(more_cpus_than_a_machine_can_have_are_refused)
{
	sys("0-8191", "devices/system/cpu/online");
	ck_assert_int_eq(read_host("0-4096"), -EINVAL);
	ck_assert_str_eq(
		rig_err.text,
		"--topology host: 4097 CPUs of this host; a machine can have 1 to 4096, choose some with "
		"host:CPUS");
}
END_TEST

/* What this process may run on is not known beforehand, but it is some of the real host's CPUs. */
START_TEST(without_a_list_the_cpus_of_this_process_are_taken)
{
	sys("0-8191", "devices/system/cpu/online");
	read_ok(NULL);
	ck_assert_uint_ge(rig_layout.nr_cpus, 1);
	ck_assert_uint_le(rig_layout.nr_cpus, (unsigned int)sysconf(_SC_NPROCESSORS_CONF));
}
END_TEST

START_TEST(this_very_host_can_be_read)
{
	struct topology t = { 0 };

	ck_assert_int_eq(layout_read(&rig_layout, "host", &rig_err), 0);
	ck_assert_int_eq(topology_from_layout(&t, &rig_layout, 0, &rig_err), 0);
	ck_assert_uint_eq(t.nr_cpus, rig_layout.nr_cpus);
	topology_fini(&t);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("layout_host");

	tcase_add_test(c, hybrid_laptop_has_modules_types_and_its_own_caches);
	tcase_add_test(c, performance_cores_alone_are_all_alike);
	tcase_add_test(c, subset_with_holes_is_numbered_without_holes);
	tcase_add_test(c, threads_of_a_core_come_together_and_nodes_are_bound);
	tcase_add_test(c, cpus_of_one_node_are_bound_to_it);
	tcase_add_test(c, distances_which_are_no_slit_are_left_out);
	tcase_add_test(c, cores_that_share_a_part_of_the_dies_cache_become_modules);
	tcase_add_test(c, modules_beside_those_that_share_a_cache_are_numbered_apart);
	tcase_add_test(c, number_of_a_module_leaves_a_hole_where_ids_would_not_tell);
	tcase_add_test(c, cache_that_cuts_a_core_makes_no_modules);
	tcase_add_test(c, cache_that_joins_dies_makes_no_modules);
	tcase_add_test(c, guest_with_unknown_numbers_is_one_package_of_cores);
	tcase_add_test(c, nothing_at_all_is_a_flat_machine);
	tcase_add_test(c, old_kernel_tells_threads_by_their_numbers_or_by_siblings);
	tcase_add_test(c, cache_with_files_missing_or_wrong_is_taken_as_far_as_it_goes);
	tcase_add_loop_test(c, wrong_list_is_refused_with_what_is_online, 0, ARRAY_SIZE(refused));
	tcase_add_test(c, more_cpus_than_a_machine_can_have_are_refused);
	tcase_add_test(c, without_a_list_the_cpus_of_this_process_are_taken);
	tcase_add_test(c, this_very_host_can_be_read);
	return rig_run(suite_create("layout_host"), c);
}
