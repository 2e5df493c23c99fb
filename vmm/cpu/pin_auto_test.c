/*
 * Unit tests of pin_auto.c and pin_host.c, over directories that look like hosts. Whether a placement is quick is not
 * measured here.
 */
#include "vmm/cpu/pin_rig.h"

#include <errno.h>

/* ---- cores and threads ---- */

START_TEST(threads_of_a_core_go_onto_threads_of_one_core)
{
	rig_host(1, 2, 2); /* 0,2 and 1,3 */
	rig_guest(4, 2);
	ck_assert_str_eq(rig_plan("auto", "0-3"), "0 2 1 3");
}
END_TEST

START_TEST(vcpus_without_siblings_get_cores_of_their_own_first)
{
	rig_host(1, 4, 2);
	rig_guest(3, 1);
	ck_assert_str_eq(rig_plan("auto", "0-7"), "0 1 2, io 3-7, main 3-7");
	rig_guest(6, 1);
	ck_assert_str_eq(rig_plan("auto", "0-7"), "0 1 2 3 4 5, io 6-7, main 6-7");
}
END_TEST

START_TEST(threads_of_a_core_get_cores_of_their_own_where_there_is_no_smt)
{
	rig_host(1, 4, 1);
	rig_guest(4, 2);
	ck_assert_str_eq(rig_plan("auto", "0-3"), "0 1 2 3");
}
END_TEST

START_TEST(threads_of_a_core_are_torn_apart_when_nothing_else_is_left)
{
	rig_host(1, 3, 2); /* 0,3 1,4 2,5 */
	rig_guest(4, 2);
	ck_assert_str_eq(rig_plan("auto", "0-1,3,5"), "0 3 1 5");
}
END_TEST

START_TEST(guest_core_of_which_a_part_is_present_is_placed)
{
	rig_host(1, 2, 2);
	rig_guest(3, 2);
	ck_assert_str_eq(rig_plan("auto", "0-3"), "0 2 1, io 3, main 3");
}
END_TEST

START_TEST(core_with_two_threads_finds_a_core_although_single_vcpus_are_numbered_before_it)
{
	struct topo_cpu *c;

	rig_host(1, 2, 2);
	rig_sys("0-2", "cpu/online"); /* 0,2 and 1 */
	rig_sys("1", "cpu/cpu1/topology/core_cpus_list");
	rig_guest(3, 1);
	c = rig_topo.cpu;
	c[2].unit[TOPO_CORE] = c[1].unit[TOPO_CORE]; /* as from a topology file */
	ck_assert_str_eq(rig_plan("auto", "0-2"), "1 0 2");
}
END_TEST

START_TEST(cores_that_share_a_cache_are_filled_one_after_the_other)
{
	rig_cpus("0-3", "0-3"); /* two complexes, numbered in turn */
	rig_cpu(0, 0, "0", "0,2");
	rig_cpu(1, 0, "1", "1,3");
	rig_cpu(2, 0, "2", "0,2");
	rig_cpu(3, 0, "3", "1,3");
	rig_guest(4, 1);
	ck_assert_str_eq(rig_plan("auto", "0-3"), "0 2 1 3");
}
END_TEST

START_TEST(kernels_before_5_3_name_siblings_in_another_file)
{
	rig_cpus("0-3", "0-3");
	for (unsigned int i = 0; i < 4; i++)
		rig_sys(i % 2 ? "1,3" : "0,2", "cpu/cpu%u/topology/thread_siblings_list", i);
	rig_guest(4, 2);
	ck_assert_str_eq(rig_plan("auto", "0-3"), "0 2 1 3");
}
END_TEST

START_TEST(host_of_which_nothing_is_known_is_flat)
{
	rig_guest(4, 2);
	ck_assert_str_eq(rig_plan("auto", "1-5"), "1 2 3 4, io 5, main 5");
}
END_TEST

/* ---- who may be where ---- */

START_TEST(offline_cpus_and_those_of_others_are_left_out)
{
	rig_host(1, 8, 1);
	rig_sys("0-5", "cpu/online");
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("auto", "3-7"), "3 4, io 5, main 5");
}
END_TEST

START_TEST(named_vcpus_keep_their_cpus_and_the_others_go_around_them)
{
	rig_host(1, 4, 1);
	rig_guest(3, 1);
	ck_assert_str_eq(rig_plan("auto,vcpu1=0", "0-3"), "1 0 2, io 3, main 3");
	rig_guest(3, 1);
	ck_assert_str_eq(rig_plan("auto,vcpu2=0-1", "0-3"), "2 3 0-1");
}
END_TEST

START_TEST(cpus_of_io_and_main_are_taken_last)
{
	rig_host(1, 4, 1);
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("auto,io=0,main=1", "0-3"), "2 3, io 0, main 1");
	rig_guest(3, 1);
	ck_assert_str_eq(rig_plan("auto,io=0,main=0", "0-2"), "0 1 2, io 0, main 0");
}
END_TEST

START_TEST(vcpus_that_stand_for_a_cpu_go_there)
{
	rig_host(1, 4, 1);
	rig_guest(3, 1);
	rig_topo.cpu[0].host_cpu = 3;
	rig_topo.cpu[2].host_cpu = 0;
	ck_assert_str_eq(rig_plan("auto", "0-3"), "3 1 0, io 2, main 2");
	ck_assert_int_eq(rig_topo.cpu[1].host_cpu, 1);
}
END_TEST

START_TEST(cpu_that_a_vcpu_stands_for_must_be_allowed)
{
	rig_host(1, 4, 1);
	rig_guest(2, 1);
	rig_topo.cpu[0].host_cpu = 0;
	rig_topo.cpu[1].host_cpu = 3;
	ck_assert_str_eq(rig_refused("auto", "0-1"), "--pin auto: this process may not run on CPU 3 of this "
						     "host: taskset or a cgroup's cpuset leaves it "
						     "CPUs 0-1");
	ck_assert_str_eq(rig_refused("auto,vcpu0=3", "0-3"),
			 "--pin vcpu0 and vcpu1: both would run on CPU 3 alone; give each a CPU of its own, "
			 "or add overlap=ok");
}
END_TEST

START_TEST(places_are_told_to_those_who_show_them_only_when_there_is_a_plan)
{
	rig_host(1, 2, 1);
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("auto,io=9", "0-1"), "refused");
	ck_assert_int_eq(rig_topo.cpu[0].host_cpu, -1);
	ck_assert_str_eq(rig_plan("auto", "0-1"), "0 1");
	ck_assert_int_eq(rig_topo.cpu[0].host_cpu, 0);
	ck_assert_int_eq(rig_topo.cpu[1].host_cpu, 1);
}
END_TEST

START_TEST(too_few_cpus_are_refused_or_shared_evenly)
{
	rig_host(1, 2, 2);
	rig_guest(6, 1);
	ck_assert_str_eq(
		rig_refused("auto", "0-2"),
		"--pin auto: 6 vCPUs are to have a CPU each, and of those that this process may use 3 are "
		"free (0-2); start fewer vCPUs, or add overlap=ok, which has vCPUs share CPUs");
	ck_assert(!rig_problems.usage);
	ck_assert_str_eq(rig_plan("auto,overlap=ok", "0-2"), "0 1 2 1 0 2");
}
END_TEST

START_TEST(cpus_that_are_shared_are_the_least_loaded_ones)
{
	rig_host(1, 3, 1);
	rig_guest(4, 1);
	ck_assert_str_eq(rig_plan("auto,overlap=ok,vcpu0=0,vcpu1=0", "0-2"), "0 0 1 2");
	rig_guest(4, 1);
	ck_assert_str_eq(rig_plan("auto,overlap=ok,vcpu0=0,vcpu1=0", "0-1"), "0 0 1 1");
}
END_TEST

/* ---- nodes ---- */

START_TEST(guest_without_nodes_stays_inside_one_of_the_hosts_where_it_fits)
{
	rig_host(2, 2, 2); /* node 0: 0,4 1,5; node 1: 2,6 3,7 */
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("auto", "0-7"), "0 1, io 2-7, main 2-7");
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("auto", "1,5,7"), "1 5, io 7, main 7");
}
END_TEST

START_TEST(guest_without_nodes_takes_the_node_that_has_room)
{
	rig_host(2, 2, 2);
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("auto", "0,4,2-3"), "2 3, io 0,4, main 0,4"); /* with cores of their own */
	rig_guest(3, 1);
	ck_assert_str_eq(rig_plan("auto", "0,4,2-3,6"), "2 3 6, io 0,4, main 0,4");
}
END_TEST

START_TEST(guest_that_fits_into_no_node_is_spread)
{
	rig_host(2, 2, 1);
	rig_guest(3, 1);
	ck_assert_str_eq(rig_plan("auto", "0-3"), "0 1 2, io 3, main 3");
}
END_TEST

START_TEST(guest_nodes_without_host_nodes_come_to_lie_on_different_ones)
{
	rig_host(2, 4, 1);
	rig_guest(4, 1);
	rig_numa("node=0,cpus=0-1 node=1,cpus=2-3");
	ck_assert_str_eq(rig_plan("auto", "0-7"), "0 1 4 5, io 2-3,6-7, main 2-3,6-7");
}
END_TEST

START_TEST(guest_node_runs_where_its_memory_is)
{
	rig_host(2, 4, 1);
	rig_guest(4, 1);
	rig_numa("node=0,cpus=0-1,host-nodes=1 node=1,cpus=2-3,host-nodes=0");
	ck_assert_str_eq(rig_plan("auto", "0-7"), "4 5 0 1, io 2-3,6-7, main 2-3,6-7");
}
END_TEST

START_TEST(vcpus_of_guest_nodes_may_be_numbered_in_turn)
{
	rig_host(2, 2, 1);
	rig_guest(4, 1);
	rig_numa("node=0,cpus=0,,2 node=1,cpus=1,,3");
	ck_assert_str_eq(rig_plan("auto", "0-3"), "0 2 1 3");
}
END_TEST

START_TEST(guest_nodes_with_less_choice_choose_first)
{
	rig_host(2, 2, 1);
	rig_guest(4, 1);
	rig_numa("node=0,cpus=0-1 node=1,cpus=2-3,host-nodes=0");
	ck_assert_str_eq(rig_plan("auto", "0-3"), "2 3 0 1");
}
END_TEST

START_TEST(guest_node_whose_host_nodes_are_full_is_refused)
{
	rig_host(2, 2, 1);
	rig_guest(3, 1);
	rig_numa("node=0,cpus=0 node=1,cpus=1-2,host-nodes=1");
	ck_assert_str_eq(rig_refused("auto", "0-2"),
			 "--pin auto: guest node 1 has 2 vCPUs to place, and of the CPUs of its host-nodes 1 "
			 "is free (2); start fewer vCPUs, or add overlap=ok, which has vCPUs share CPUs");
	ck_assert_str_eq(rig_plan("auto,overlap=ok", "0-2"), "0 2 2, io 1, main 1");
	rig_guest(3, 1);
	rig_numa("node=0,cpus=0 node=1,cpus=1-2,host-nodes=1");
	ck_assert_str_eq(rig_refused("auto,overlap=ok", "0-1"),
			 "--pin auto: guest node 1 has its memory from nodes of the host on whose CPUs this "
			 "process may not "
			 "run: taskset or a cgroup's cpuset leaves it none of them");
}
END_TEST

START_TEST(guest_node_on_a_host_node_of_nothing_but_memory_runs_anywhere)
{
	rig_host(2, 2, 1);
	rig_sys("0-2", "node/online");
	rig_sys("", "node/node2/cpulist");
	rig_guest(2, 1);
	rig_numa("node=0,cpus=0-1,host-nodes=2");
	ck_assert_str_eq(rig_plan("auto", "0-3"), "0 1, io 2-3, main 2-3");
}
END_TEST

START_TEST(pair_of_threads_prefers_a_node_with_a_whole_core_to_one_with_odd_threads)
{
	rig_host(2, 2, 2);
	rig_guest(2, 2);
	ck_assert_str_eq(rig_plan("auto", "0-1,3,7"), "3 7, io 0-1, main 0-1");
}
END_TEST

START_TEST(largest_guest_on_a_large_host_is_placed)
{
	rig_cpus("0-8191", "0-8191");
	rig_guest(4096, 2);
	ck_assert_int_eq(rig_plan_allowed("auto", "0-8191"), 0);
	for (unsigned int i = 0; i < 4096; i++)
		ck_assert_int_eq(rig_topo.cpu[i].host_cpu, (int)i);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("pin-auto");

	tcase_add_test(c, threads_of_a_core_go_onto_threads_of_one_core);
	tcase_add_test(c, vcpus_without_siblings_get_cores_of_their_own_first);
	tcase_add_test(c, threads_of_a_core_get_cores_of_their_own_where_there_is_no_smt);
	tcase_add_test(c, threads_of_a_core_are_torn_apart_when_nothing_else_is_left);
	tcase_add_test(c, guest_core_of_which_a_part_is_present_is_placed);
	tcase_add_test(c, core_with_two_threads_finds_a_core_although_single_vcpus_are_numbered_before_it);
	tcase_add_test(c, cores_that_share_a_cache_are_filled_one_after_the_other);
	tcase_add_test(c, kernels_before_5_3_name_siblings_in_another_file);
	tcase_add_test(c, host_of_which_nothing_is_known_is_flat);
	tcase_add_test(c, offline_cpus_and_those_of_others_are_left_out);
	tcase_add_test(c, named_vcpus_keep_their_cpus_and_the_others_go_around_them);
	tcase_add_test(c, cpus_of_io_and_main_are_taken_last);
	tcase_add_test(c, vcpus_that_stand_for_a_cpu_go_there);
	tcase_add_test(c, cpu_that_a_vcpu_stands_for_must_be_allowed);
	tcase_add_test(c, places_are_told_to_those_who_show_them_only_when_there_is_a_plan);
	tcase_add_test(c, too_few_cpus_are_refused_or_shared_evenly);
	tcase_add_test(c, cpus_that_are_shared_are_the_least_loaded_ones);
	tcase_add_test(c, guest_without_nodes_stays_inside_one_of_the_hosts_where_it_fits);
	tcase_add_test(c, guest_without_nodes_takes_the_node_that_has_room);
	tcase_add_test(c, guest_that_fits_into_no_node_is_spread);
	tcase_add_test(c, guest_nodes_without_host_nodes_come_to_lie_on_different_ones);
	tcase_add_test(c, guest_node_runs_where_its_memory_is);
	tcase_add_test(c, vcpus_of_guest_nodes_may_be_numbered_in_turn);
	tcase_add_test(c, guest_nodes_with_less_choice_choose_first);
	tcase_add_test(c, guest_node_whose_host_nodes_are_full_is_refused);
	tcase_add_test(c, guest_node_on_a_host_node_of_nothing_but_memory_runs_anywhere);
	tcase_add_test(c, pair_of_threads_prefers_a_node_with_a_whole_core_to_one_with_odd_threads);
	tcase_add_test(c, largest_guest_on_a_large_host_is_placed);
	return rig_run(suite_create("pin-auto"), c);
}
