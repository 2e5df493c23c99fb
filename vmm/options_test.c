/* Unit tests of options.c: defaults, every option once, and the sentence for everything that is wrong. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/log.h"
#include "vmm/base/map.h"
#include "vmm/options.h"

static struct run_options o;
static struct err e;

static void teardown(void)
{
	run_options_fini(&o);
}

static int parse(char *const *argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return run_options_parse(&o, argc, argv, &e);
}

#define ARGS(...) (char *const[]){ "run", __VA_ARGS__, NULL }
#define K         "--kernel", "vmlinuz"

START_TEST(defaults_are_a_small_machine_with_one_console)
{
	ck_assert_int_eq(parse(ARGS(K)), 0);
	ck_assert_str_eq(o.kernel, "vmlinuz");
	ck_assert_str_eq(o.append, "");
	ck_assert_str_eq(o.name, "trellis");
	ck_assert_uint_eq(o.cpu.shape.cpus, 1);
	ck_assert_uint_eq(o.cpu.memory.bytes, 256 * MIB);
	ck_assert_uint_eq(o.nr_initrds, 0);
	ck_assert_uint_eq(o.nr_serials, 1);
	ck_assert_int_eq(o.serial[0].mode, STREAM_STDIO);
	ck_assert_uint_eq(o.shutdown_timeout_s, 60);
	ck_assert_int_eq(o.log_level, LOG_INFO);
	ck_assert_uint_eq(o.debug_exit_port, PORT_DEBUG_EXIT);
	ck_assert(!o.debug_exit && !o.no_reboot && !o.test_device && !o.timing && !o.check && !o.help);
}
END_TEST

START_TEST(long_options_are_stored)
{
	ck_assert_int_eq(parse(ARGS(K, "--append", "a=b,c d", "--memory", "2G", "--cpus", "8,max=16,sockets=2,threads=2",
				    "--no-reboot", "--shutdown-timeout", "0", "--test-device", "--name", "web-1.x_y",
				    "--log", "debug", "--timing", "--check")), 0);
	ck_assert_str_eq(o.append, "a=b,c d");
	ck_assert_uint_eq(o.cpu.memory.bytes, 2 * GIB);
	ck_assert_uint_eq(o.cpu.shape.cpus, 8);
	ck_assert_uint_eq(o.cpu.shape.max, 16);
	ck_assert_uint_eq(o.cpu.shape.count[TOPO_PACKAGE], 2);
	ck_assert_uint_eq(o.cpu.shape.count[TOPO_THREAD], 2);
	ck_assert_uint_eq(o.cpu.shape.count[TOPO_CORE], 0);
	ck_assert(o.no_reboot && o.test_device && o.timing && o.check);
	ck_assert_uint_eq(o.shutdown_timeout_s, 0);
	ck_assert_str_eq(o.name, "web-1.x_y");
	ck_assert_int_eq(o.log_level, LOG_DEBUG);
}
END_TEST

START_TEST(spellings_that_hands_know_are_accepted)
{
	ck_assert_int_eq(parse(ARGS("-kernel", "k", "-initrd", "i", "-append", "x", "-m", "512", "-smp", "4")), 0);
	ck_assert_str_eq(o.kernel, "k");
	ck_assert_str_eq(o.initrd[0].path, "i");
	ck_assert_uint_eq(o.cpu.memory.bytes, 512 * MIB);
	ck_assert_uint_eq(o.cpu.shape.cpus, 4);
}
END_TEST

START_TEST(all_levels_of_a_shape_can_be_said)
{
	ck_assert_int_eq(parse(ARGS(K, "--cpus", "sockets=2,dies=3,modules=4,cores=5,threads=6")), 0);
	ck_assert_uint_eq(o.cpu.shape.cpus, 0);
	ck_assert_uint_eq(o.cpu.shape.count[TOPO_PACKAGE], 2);
	ck_assert_uint_eq(o.cpu.shape.count[TOPO_DIE], 3);
	ck_assert_uint_eq(o.cpu.shape.count[TOPO_MODULE], 4);
	ck_assert_uint_eq(o.cpu.shape.count[TOPO_CORE], 5);
	ck_assert_uint_eq(o.cpu.shape.count[TOPO_THREAD], 6);
}
END_TEST

START_TEST(later_option_replaces_the_earlier_one_as_a_whole)
{
	ck_assert_int_eq(parse(ARGS(K, "--kernel", "b", "--append", "x", "--append", "y", "--cpus", "8,sockets=2", "--cpus",
				    "4", "-m", "1G", "-m", "2G", "--name", "a", "--name", "b")), 0);
	ck_assert_str_eq(o.kernel, "b");
	ck_assert_str_eq(o.append, "y");
	ck_assert_uint_eq(o.cpu.shape.cpus, 4);
	ck_assert_uint_eq(o.cpu.shape.count[TOPO_PACKAGE], 0);
	ck_assert_uint_eq(o.cpu.memory.bytes, 2 * GIB);
	ck_assert_str_eq(o.name, "b");
}
END_TEST

START_TEST(initrds_are_kept_in_order_with_their_arguments)
{
	ck_assert_int_eq(parse(ARGS(K, "--initrd", "a", "--initrd", "b,args=x y,,z", "--initrd", "file=c")), 0);
	ck_assert_uint_eq(o.nr_initrds, 3);
	ck_assert_str_eq(o.initrd[0].path, "a");
	ck_assert_ptr_null(o.initrd[0].args);
	ck_assert_str_eq(o.initrd[1].path, "b");
	ck_assert_str_eq(o.initrd[1].args, "x y,z");
	ck_assert_str_eq(o.initrd[2].path, "c");
}
END_TEST

START_TEST(serial_ports_are_kept_in_order)
{
	ck_assert_int_eq(parse(ARGS(K, "--serial", "none", "--serial", "file:/tmp/a:b", "--serial", "pty", "--serial",
				    "unix:s")), 0);
	ck_assert_uint_eq(o.nr_serials, 4);
	ck_assert_int_eq(o.serial[0].mode, STREAM_NONE);
	ck_assert_int_eq(o.serial[1].mode, STREAM_FILE);
	ck_assert_str_eq(o.serial[1].path, "/tmp/a:b");
	ck_assert_int_eq(o.serial[2].mode, STREAM_PTY);
	ck_assert_ptr_null(o.serial[2].path);
	ck_assert_int_eq(o.serial[3].mode, STREAM_UNIX);
	ck_assert_str_eq(o.serial[3].path, "s");
}
END_TEST

START_TEST(debug_exit_has_a_port_and_a_way_to_tell)
{
	ck_assert_int_eq(parse(ARGS(K, "--debug-exit")), 0);
	ck_assert(o.debug_exit);
	ck_assert_uint_eq(o.debug_exit_port, 0xf4);
	ck_assert_int_eq(o.debug_exit_status, DEBUG_EXIT_VALUE);
	run_options_fini(&o);
	ck_assert_int_eq(parse(ARGS(K, "--debug-exit=0x501,status=qemu")), 0);
	ck_assert_uint_eq(o.debug_exit_port, 0x501);
	ck_assert_int_eq(o.debug_exit_status, DEBUG_EXIT_QEMU);
	run_options_fini(&o);
	ck_assert_int_eq(parse(ARGS(K, "--debug-exit=status=qemu")), 0);
	ck_assert_uint_eq(o.debug_exit_port, 0xf4);
	ck_assert_int_eq(o.debug_exit_status, DEBUG_EXIT_QEMU);
}
END_TEST

START_TEST(uuid_is_read_in_the_order_it_is_written)
{
	const uint8_t want[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
				   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

	ck_assert_int_eq(parse(ARGS(K, "--uuid", "00112233-4455-6677-8899-AABBccddeeff")), 0);
	ck_assert_mem_eq(o.uuid, want, 16);
}
END_TEST

START_TEST(help_needs_no_kernel)
{
	ck_assert_int_eq(parse(ARGS("--help")), 0);
	ck_assert(o.help);
	run_options_fini(&o);
	ck_assert_int_eq(parse(ARGS("-h")), 0);
	ck_assert(o.help);
}
END_TEST

START_TEST(most_initrds_fit_and_one_more_is_refused)
{
	char *argv[2 * MAX_INITRDS + 6] = { "run", K };
	int argc = 3;

	for (unsigned int i = 0; i < MAX_INITRDS; i++) {
		argv[argc++] = "--initrd";
		argv[argc++] = "x";
	}
	ck_assert_int_eq(parse(argv), 0);
	run_options_fini(&o);
	argv[argc++] = "--initrd";
	argv[argc++] = "x";
	ck_assert_int_eq(parse(argv), -EINVAL);
	ck_assert_str_eq(e.text, "--initrd: at most 16 files can be given");
}
END_TEST

#define LONG_NAME "a123456789b123456789c123456789d123456789e123456789f123456789g1234"

static const struct {
	char *const *argv;
	const char *want;
} wrong[] = {
	{ (char *const[]){ "run", NULL }, "--kernel is missing: give the kernel to boot, e.g. trellis run --kernel" },
	{ ARGS("--memory", "1G"), "--kernel is missing" },
	{ ARGS("--kernel"), "--kernel needs a value: --kernel FILE" },
	{ ARGS("--kernel", ""), "--kernel: expected the path of a kernel file" },
	{ ARGS("vmlinuz"), "'vmlinuz' is no option; see trellis run --help" },
	{ ARGS(K, "--drive", "x"), "unknown option --drive; see trellis run --help" },
	{ ARGS(K, "--memory", "4X"), "--memory 4X: expected a size from 2M to 1024T, e.g. 512M or 2G" },
	{ ARGS(K, "--memory", "0"), "--memory 0: expected a size from 2M" },
	{ ARGS(K, "--memory", "1M"), "--memory 1M: expected a size from 2M" },
	{ ARGS(K, "--memory", "2000T"), "--memory 2000T: expected a size from 2M to 1024T" },
	{ ARGS(K, "--memory", "-1"), "--memory -1: expected a size" },
	{ ARGS(K, "--memory", "2050K"), "--memory 2050K: expected a multiple of 4K" },
	{ ARGS(K, "--memory", "1G,2G"), "--memory: unknown key '2G'" },
	{ ARGS(K, "--memory", "size=x"), "--memory x: expected a size" },
	{ ARGS(K, "--cpus", "0"), "--cpus 0: expected a number from 1 to 4096" },
	{ ARGS(K, "--cpus", "4097"), "--cpus 4097: expected a number from 1 to 4096" },
	{ ARGS(K, "--cpus", "four"), "--cpus four: expected a number from 1 to 4096" },
	{ ARGS(K, "--cpus", "4,socket=2"),
	  "--cpus: unknown key 'socket'; known are max=, sockets=, dies=, modules=, cores=, threads=" },
	{ ARGS(K, "--cpus", "4,sockets=0"), "--cpus: sockets=0: expected a number from 1 to 4096" },
	{ ARGS(K, "--cpus", "4,sockets"), "--cpus: sockets needs a value: sockets=N" },
	{ ARGS(K, "--cpus", "4,sockets=2,sockets=2"), "--cpus: sockets is there twice" },
	{ ARGS(K, "--cpus", "4,"), "--cpus 4,: there is nothing after a comma" },
	{ ARGS(K, "-smp", "x"), "--cpus x: expected a number" },
	{ ARGS(K, "--initrd", "a,arg=x"), "--initrd: unknown key 'arg'; known are args=" },
	{ ARGS(K, "--initrd", "a,b"), "--initrd: unknown key 'b'" },
	{ ARGS(K, "--initrd", ""), "--initrd '': expected FILE" },
	{ ARGS(K, "--serial", "com1"), "--serial com1: expected stdio, none, file:PATH, pty or unix:PATH" },
	{ ARGS(K, "--serial", ""), "--serial : expected stdio" },
	{ ARGS(K, "--serial", "file"), "--serial file: expected stdio, none, file:PATH" },
	{ ARGS(K, "--serial", "file:"), "--serial file:: expected a path after the colon" },
	{ ARGS(K, "--serial", "unix:"), "--serial unix:: expected a path after the colon" },
	{ ARGS(K, "--serial", "pty:/x"), "--serial pty:/x: expected stdio" },
	{ ARGS(K, "--serial", "stdio2"), "--serial stdio2: expected stdio" },
	{ ARGS(K, "--serial", "stdio", "--serial", "stdio"),
	  "stdio is there 2 times in --serial and --console; only one port can have the terminal" },
	{ ARGS(K, "--serial", "pty", "--serial", "pty", "--serial", "pty", "--serial", "pty", "--serial", "pty"),
	  "--serial: a machine has at most 4 serial ports" },
	{ ARGS(K, "--no-reboot=yes"), "--no-reboot takes no value" },
	{ ARGS(K, "--shutdown-timeout", "1m"), "--shutdown-timeout 1m: expected seconds, 0 to 86400" },
	{ ARGS(K, "--shutdown-timeout", "86401"), "--shutdown-timeout 86401: expected seconds, 0 to 86400" },
	{ ARGS(K, "--debug-exit", "0xf4", "0xf5"), "'0xf5' is no option" },
	{ ARGS(K, "--debug-exit=0x10000"), "--debug-exit 0x10000: expected a number from 0 to 65532" },
	{ ARGS(K, "--debug-exit=0xf4,status=x"), "--debug-exit: status=x: expected one of value, qemu" },
	{ ARGS(K, "--debug-exit="), "--debug-exit '': expected a number" },
	{ ARGS(K, "--name", ""), "--name '': expected 1 to 64 of letters, digits, '.', '_' and '-'" },
	{ ARGS(K, "--name", "a b"), "--name 'a b': expected 1 to 64 of letters" },
	{ ARGS(K, "--name", LONG_NAME), "expected 1 to 64 of letters" },
	{ ARGS(K, "--uuid", "1234"), "--uuid 1234: expected 32 hexadecimal digits as xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" },
	{ ARGS(K, "--uuid", "00112233-4455-6677-8899-aabbccddeefg"), "expected 32 hexadecimal digits" },
	{ ARGS(K, "--uuid", "001122334455-6677-8899-aabbccddeeff00"), "expected 32 hexadecimal digits" },
	{ ARGS(K, "--uuid", "00112233-4455-6677-8899-aabbccddeeff0"), "expected 32 hexadecimal digits" },
	{ ARGS(K, "--uuid", "00112233-4455-6677-8899-aabbccddee f"), "expected 32 hexadecimal digits" },
	{ ARGS(K, "--log", "loud"), "--log loud: expected error, warn, info or debug" },
	{ ARGS(K, "--timing=1"), "--timing takes no value" },
};

START_TEST(wrong_command_line_is_refused_with_a_sentence)
{
	ck_assert_int_eq(parse(wrong[_i].argv), -EINVAL);
	ck_assert_msg(strstr(e.text, wrong[_i].want), "'%s' does not have '%s'", e.text, wrong[_i].want);
	ck_assert(e.usage);
	ck_assert_ptr_null(strchr(e.text, '\n'));
	ck_assert_msg(e.text[strlen(e.text) - 1] != '.', "'%s' ends with a full stop", e.text);
}
END_TEST

START_TEST(longest_name_is_accepted)
{
	char name[65] = LONG_NAME;

	name[64] = 0;
	ck_assert_int_eq(parse(ARGS(K, "--name", name)), 0);
	ck_assert_str_eq(o.name, name);
}
END_TEST

START_TEST(options_can_be_finished_twice)
{
	ck_assert_int_eq(parse(ARGS(K, "--initrd", "a,args=b", "--serial", "file:x")), 0);
	run_options_fini(&o);
	run_options_fini(&o);
	ck_assert_ptr_null(o.kernel);
}
END_TEST

START_TEST(every_option_has_help_that_ends_as_a_sentence)
{
	const struct opt *opts[] = { run_opts, cpu_opts };

	for (const struct opt *opt = opts[_i]; opt->name; opt++)
		ck_assert_msg(opt->group || (opt->help && opt->help[strlen(opt->help) - 1] == '.'), "--%s", opt->name);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *t = tcase_create("options");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, defaults_are_a_small_machine_with_one_console);
	tcase_add_test(t, long_options_are_stored);
	tcase_add_test(t, spellings_that_hands_know_are_accepted);
	tcase_add_test(t, all_levels_of_a_shape_can_be_said);
	tcase_add_test(t, later_option_replaces_the_earlier_one_as_a_whole);
	tcase_add_test(t, initrds_are_kept_in_order_with_their_arguments);
	tcase_add_test(t, serial_ports_are_kept_in_order);
	tcase_add_test(t, debug_exit_has_a_port_and_a_way_to_tell);
	tcase_add_test(t, uuid_is_read_in_the_order_it_is_written);
	tcase_add_test(t, help_needs_no_kernel);
	tcase_add_test(t, most_initrds_fit_and_one_more_is_refused);
	tcase_add_loop_test(t, wrong_command_line_is_refused_with_a_sentence, 0, ARRAY_SIZE(wrong));
	tcase_add_test(t, longest_name_is_accepted);
	tcase_add_test(t, options_can_be_finished_twice);
	tcase_add_loop_test(t, every_option_has_help_that_ends_as_a_sentence, 0, 2);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
