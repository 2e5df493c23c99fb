/* Unit tests of pin_spec.c and pin.c, over directories that look like hosts. Nothing is pinned. */
#include "vmm/cpu/pin_rig.h"

#include <errno.h>

#define EXPECTED "expected auto, none, or some of vcpuN=LIST, vcpus=LIST, io=LIST, main=LIST and overlap=ok"

/* ---- the option ---- */

START_TEST(keys_may_come_in_one_list_or_in_several_options)
{
	char text[32];

	ck_assert_str_eq(rig_say("vcpu0=2,io=0,,4-5 main=1,overlap=ok vcpu7=3"), "");
	ck_assert(rig_spec.said && rig_spec.overlap && !rig_spec.automatic);
	ck_assert_ptr_null(rig_spec.vcpus);
	ck_assert_str_eq(cpuset_text(rig_spec.io, text, sizeof(text)), "0,4-5");
	ck_assert_str_eq(cpuset_text(rig_spec.main, text, sizeof(text)), "1");
	ck_assert_uint_eq(rig_spec.nr_wishes, 2);
	ck_assert_uint_eq(rig_spec.wish[1].vcpu, 7);
	ck_assert_str_eq(cpuset_text(&rig_spec.wish[1].cpus, text, sizeof(text)), "3");
}
END_TEST

START_TEST(auto_is_a_word_among_the_others)
{
	ck_assert_str_eq(rig_say("auto,io=0 overlap=ok"), "");
	ck_assert(rig_spec.said && rig_spec.automatic && rig_spec.overlap && rig_spec.io);
}
END_TEST

START_TEST(none_takes_back_what_was_said_before_and_not_what_comes_after)
{
	ck_assert_str_eq(rig_say("auto,vcpu0=1,io=0,main=0,overlap=ok none"), "");
	ck_assert(!rig_spec.said && !rig_spec.automatic && !rig_spec.overlap && !rig_spec.io &&
		  !rig_spec.main);
	ck_assert_uint_eq(rig_spec.nr_wishes, 0);
	ck_assert_str_eq(rig_say("vcpu0=1 none vcpu0=2"), "");
	ck_assert_uint_eq(rig_spec.nr_wishes, 1);
}
END_TEST

START_TEST(text_that_is_no_list_is_refused_with_what_would_be_accepted)
{
	ck_assert_str_eq(rig_say("io=x"),
			 "--pin io=x: expected CPUs of this host, numbers from 0 to 8191, e.g. io=2, io=0-3 "
			 "or io=0-3,,8");
	ck_assert_str_eq(rig_say("vcpu1="),
			 "--pin vcpu1=: expected CPUs of this host, numbers from 0 to 8191, e.g. vcpu1=2, "
			 "vcpu1=0-3 or vcpu1=0-3,,8");
	ck_assert_str_eq(rig_say("vcpus=8192"),
			 "--pin vcpus=8192: expected CPUs of this host, numbers from 0 to 8191, e.g. "
			 "vcpus=2, vcpus=0-3 or vcpus=0-3,,8");
	ck_assert_str_eq(rig_say("io=0,4"),
			 "--pin: '4' is no key=value; a comma inside a list is written twice: io=0,,4");
	ck_assert_str_eq(rig_say("2-9"),
			 "--pin: '2-9' is no key=value; a comma inside a list is written twice: io=0,,4");
}
END_TEST

START_TEST(unknown_words_are_refused)
{
	ck_assert_int_eq(pin_spec_parse(&rig_spec, "", &rig_err), -EINVAL);
	ck_assert_str_eq(rig_err.text, "--pin '': " EXPECTED);
	ck_assert_str_eq(rig_say("automatic"), "--pin: unexpected 'automatic'; " EXPECTED);
	ck_assert_str_eq(rig_say("cpu0=1"), "--pin: unknown key 'cpu0'; " EXPECTED);
	ck_assert_str_eq(rig_say("vcpu=1"),
			 "--pin vcpu=1: expected vcpu and a number from 0 to 4095, e.g. vcpu0=2");
	ck_assert_str_eq(rig_say("vcpu4096=1"),
			 "--pin vcpu4096=1: expected vcpu and a number from 0 to 4095, e.g. vcpu0=2");
	ck_assert_str_eq(rig_say("overlap=on"),
			 "--pin: overlap=on: expected overlap=ok, which lets vCPUs share CPUs");
	ck_assert_str_eq(rig_say("io=1,"),
			 "--pin io=1,: there is nothing between a comma and the next, or the end");
	ck_assert_str_eq(rig_say("io=1,none"),
			 "--pin: none stands alone; what it takes back goes before it, what counts after it");
}
END_TEST

START_TEST(what_is_said_twice_is_refused)
{
	ck_assert_str_eq(
		rig_say("vcpu0=2-3 vcpu0=4"),
		"--pin vcpu0=4: vcpu0 is said already, to be 2-3; --pin none takes back what was said");
	ck_assert_str_eq(rig_say("io=1,io=2"),
			 "--pin io=2: io is said already, to be 1; --pin none takes back what was said");
	ck_assert_str_eq(
		rig_say("auto vcpus=0-3"),
		"--pin: auto and vcpus= each place all vCPUs; say one of them, and vcpuN= for exceptions");
}
END_TEST

/* ---- plans ---- */

START_TEST(nothing_said_pins_nothing)
{
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("none", "0-1"), "");
	ck_assert_ptr_null(rig_made.vcpu);
}
END_TEST

START_TEST(list_gives_each_vcpu_its_cpu_and_exceptions_go_before)
{
	rig_host(1, 8, 1);
	rig_guest(3, 1);
	ck_assert_str_eq(rig_plan("vcpus=2-4", "0-7"), "2 3 4");
	ck_assert_str_eq(rig_plan("vcpus=7,,1,,3,,5", "0-7"), "1 3 5");
	ck_assert_str_eq(rig_plan("vcpus=2-4,vcpu1=6-7", "0-7"), "2 6-7 4");
	ck_assert_str_eq(rig_plan("vcpus=2-3,vcpu2=0", "0-7"), "2 3 0");
	ck_assert_int_eq(rig_topo.cpu[0].host_cpu, -1);
}
END_TEST

START_TEST(vcpus_that_are_not_named_stay_free)
{
	rig_host(1, 8, 1);
	rig_guest(3, 1);
	ck_assert_str_eq(rig_plan("vcpu1=4,io=0-1,main=0", "0-7"), "- 4 -, io 0-1, main 0");
	ck_assert_str_eq(rig_plan("main=0", "0-7"), ", main 0");
}
END_TEST

START_TEST(io_and_main_may_run_on_a_vcpus_cpu)
{
	rig_host(1, 2, 1);
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("vcpus=0-1,io=0,main=1", "0-1"), "0 1, io 0, main 1");
}
END_TEST

START_TEST(cpu_that_is_not_there_is_refused)
{
	rig_host(1, 4, 1);
	rig_guest(1, 1);
	ck_assert_str_eq(rig_refused("vcpu0=9", "0-3"),
			 "--pin vcpu0: this host has no CPU 9; it has CPUs 0-3");
	ck_assert_str_eq(rig_refused("io=3-5", "0-3"),
			 "--pin io: this host has no CPUs 4-5; it has CPUs 0-3");
	ck_assert(!rig_problems.usage);
}
END_TEST

START_TEST(offline_cpu_is_refused_with_the_command_that_brings_it_back)
{
	rig_host(1, 6, 1);
	rig_sys("0-1,3", "cpu/online");
	rig_guest(1, 1);
	ck_assert_str_eq(rig_refused("vcpu0=2", "0-1,3"), "--pin vcpu0: CPU 2 of this host is offline; 'echo "
							  "1 > /sys/devices/system/cpu/cpu2/online' as root "
							  "brings it back");
	ck_assert_str_eq(
		rig_refused("main=0-5", "0-1,3"),
		"--pin main: CPUs 2,4-5 of this host are offline; 'chcpu -e 2,4-5' as root brings them back");
}
END_TEST

START_TEST(cpu_that_a_container_does_not_give_is_refused_with_those_that_it_gives)
{
	rig_host(1, 4, 1);
	rig_guest(1, 1);
	ck_assert_str_eq(rig_refused("vcpu0=3", "0-1"), "--pin vcpu0: this process may not run on CPU 3 of "
							"this host: taskset or a cgroup's cpuset leaves it "
							"CPUs 0-1");
	ck_assert_str_eq(rig_refused("io=0-3", "2"), "--pin io: this process may not run on CPUs 0-1,3 of "
						     "this host: taskset or a cgroup's cpuset leaves "
						     "it CPU 2");
}
END_TEST

START_TEST(every_cause_has_its_sentence)
{
	rig_host(1, 4, 1);
	rig_sys("0-2", "cpu/online");
	rig_guest(2, 1);
	ck_assert_str_eq(rig_refused("vcpu0=2-4,vcpu5=0,main=9", "0-1"),
			 "--pin vcpu0: this host has no CPU 4; it has CPUs 0-3\n"
			 "--pin vcpu0: CPU 3 of this host is offline; 'echo 1 > "
			 "/sys/devices/system/cpu/cpu3/online' as root "
			 "brings it back\n"
			 "--pin vcpu0: this process may not run on CPU 2 of this host: taskset or a cgroup's "
			 "cpuset leaves it "
			 "CPUs 0-1\n"
			 "--pin vcpu5: there is no such vCPU; the guest starts with 2, counted from 0\n"
			 "--pin main: this host has no CPU 9; it has CPUs 0-3");
	ck_assert(rig_problems.usage);
}
END_TEST

START_TEST(pluggable_vcpu_cannot_be_pinned)
{
	rig_host(1, 4, 1);
	rig_guest(1, 2);
	ck_assert_uint_eq(rig_topo.nr_cpus, 2);
	ck_assert_str_eq(rig_refused("vcpu1=1", "0-3"),
			 "--pin vcpu1: there is no such vCPU; the guest starts with 1, counted from 0");
}
END_TEST

START_TEST(list_that_is_too_short_is_refused_or_dealt_in_turn)
{
	rig_host(1, 4, 1);
	rig_guest(5, 1);
	ck_assert_str_eq(rig_refused("vcpus=2-3", "0-3"), "--pin vcpus: 2-3 is 2 CPUs for 5 vCPUs; name at "
							  "least 5, or add overlap=ok, which has vCPUs share "
							  "them in turn");
	ck_assert(rig_problems.usage);
	ck_assert_str_eq(rig_plan("vcpus=2-3,overlap=ok", "0-3"), "2 3 2 3 2");
}
END_TEST

START_TEST(two_vcpus_on_one_cpu_are_refused_unless_that_is_fine)
{
	rig_host(1, 4, 1);
	rig_guest(3, 1);
	ck_assert_str_eq(rig_refused("vcpu0=2,vcpu2=2", "0-3"),
			 "--pin vcpu0 and vcpu2: both would run on CPU 2 alone; give each a CPU of its own, "
			 "or add overlap=ok");
	ck_assert(rig_problems.usage);
	ck_assert_str_eq(rig_refused("vcpus=1-3,vcpu0=3,vcpu1=3", "0-3"),
			 "--pin vcpu0 and vcpu1: both would run on CPU 3 alone; give each a CPU of its own, "
			 "or add overlap=ok\n"
			 "--pin vcpu0 and vcpu2: both would run on CPU 3 alone; give each a CPU of its own, "
			 "or add overlap=ok");
	ck_assert_str_eq(rig_plan("vcpu0=2,vcpu2=2,overlap=ok", "0-3"), "2 - 2");
}
END_TEST

START_TEST(sets_of_several_cpus_may_overlap)
{
	rig_host(1, 4, 1);
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("vcpu0=0-1,vcpu1=0-1", "0-3"), "0-1 0-1");
	ck_assert_str_eq(rig_plan("vcpu0=0,vcpu1=0-1", "0-3"), "0 0-1");
}
END_TEST

START_TEST(without_sysfs_what_the_process_may_use_decides)
{
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("vcpus=0-1", "0-1"), "0 1");
	ck_assert_str_eq(rig_refused("vcpus=1-2", "0-1"), "--pin vcpus: this process may not run on CPU 2 of "
							  "this host: taskset or a cgroup's cpuset leaves it "
							  "CPUs 0-1");
}
END_TEST

/* Hosts of 8191 and more CPUs are described, not counted through with 16 bits or on a list that is cut off. */
START_TEST(last_cpu_that_a_kernel_can_have_is_one_like_others)
{
	rig_cpus("0-8191", "0-8191");
	rig_guest(2, 1);
	ck_assert_str_eq(rig_plan("vcpus=4095,,8191", "0-8191"), "4095 8191");
	ck_assert_str_eq(
		rig_refused("vcpu0=8191,vcpu1=8191", "0-8191"),
		"--pin vcpu0 and vcpu1: both would run on CPU 8191 alone; give each a CPU of its own, or add "
		"overlap=ok");
}
END_TEST

START_TEST(this_process_can_be_planned_for)
{
	char arg[64], cpus[32];
	struct cpuset own, one = { 0 };

	rig_guest(1, 1);
	ck_assert_int_eq(cpuset_get_own(&own), 0);
	for (unsigned int i = 0; i < CPUSET_BITS && cpuset_empty(&one); i++)
		if (cpuset_has(&own, i))
			cpuset_add(&one, i);
	snprintf(arg, sizeof(arg), "vcpu0=%s", cpuset_text(&one, cpus, sizeof(cpus)));
	ck_assert_str_eq(rig_say(arg), "");
	ck_assert_int_eq(pin_plan(&rig_made, &rig_spec, &rig_topo, "", &rig_problems), 0);
	ck_assert_int_eq(memcmp(&rig_made.vcpu[0], &one, sizeof(one)), 0);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("pin");

	tcase_add_test(c, keys_may_come_in_one_list_or_in_several_options);
	tcase_add_test(c, auto_is_a_word_among_the_others);
	tcase_add_test(c, none_takes_back_what_was_said_before_and_not_what_comes_after);
	tcase_add_test(c, text_that_is_no_list_is_refused_with_what_would_be_accepted);
	tcase_add_test(c, unknown_words_are_refused);
	tcase_add_test(c, what_is_said_twice_is_refused);
	tcase_add_test(c, nothing_said_pins_nothing);
	tcase_add_test(c, list_gives_each_vcpu_its_cpu_and_exceptions_go_before);
	tcase_add_test(c, vcpus_that_are_not_named_stay_free);
	tcase_add_test(c, io_and_main_may_run_on_a_vcpus_cpu);
	tcase_add_test(c, cpu_that_is_not_there_is_refused);
	tcase_add_test(c, offline_cpu_is_refused_with_the_command_that_brings_it_back);
	tcase_add_test(c, cpu_that_a_container_does_not_give_is_refused_with_those_that_it_gives);
	tcase_add_test(c, every_cause_has_its_sentence);
	tcase_add_test(c, pluggable_vcpu_cannot_be_pinned);
	tcase_add_test(c, list_that_is_too_short_is_refused_or_dealt_in_turn);
	tcase_add_test(c, two_vcpus_on_one_cpu_are_refused_unless_that_is_fine);
	tcase_add_test(c, sets_of_several_cpus_may_overlap);
	tcase_add_test(c, without_sysfs_what_the_process_may_use_decides);
	tcase_add_test(c, last_cpu_that_a_kernel_can_have_is_one_like_others);
	tcase_add_test(c, this_process_can_be_planned_for);
	return rig_run(suite_create("pin"), c);
}
