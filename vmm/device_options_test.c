/* Unit tests of device_options.c: what is stored for each kind of device, and the sentence for what is wrong. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/block/block.h"
#include "devices/virtio/virtio_net.h"
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

#define ARGS(...) (char *const[]){ "run", "--kernel", "vmlinuz", __VA_ARGS__, NULL }

START_TEST(disk_has_the_defaults_of_the_manual)
{
	ck_assert_int_eq(parse(ARGS("--disk", "a.img")), 0);
	ck_assert_uint_eq(o.devices.nr_disks, 1);
	ck_assert_str_eq(o.devices.disk[0].path, "a.img");
	ck_assert_int_eq(o.devices.disk[0].format, -1);
	ck_assert_int_eq(o.devices.disk[0].cache, CACHE_WRITEBACK);
	ck_assert_int_eq(o.devices.disk[0].aio, AIO_AUTO);
	ck_assert_uint_eq(o.devices.disk[0].queue_size, 256);
	ck_assert_uint_eq(o.devices.disk[0].queues, 0);
	ck_assert(o.devices.disk[0].discard && !o.devices.disk[0].readonly && !o.devices.disk[0].backing);
}
END_TEST

START_TEST(disk_keys_are_stored)
{
	ck_assert_int_eq(parse(ARGS("--disk", "path=b.qcow2,format=qcow2,readonly=on,cache=directsync,aio=threads,queues=4,"
					      "queue-size=64,discard=off,serial=S1,id=root,iops=100,bps=2M,iops-burst=7,backing=on")),
			 0);
	ck_assert_int_eq(o.devices.disk[0].format, BLOCK_QCOW2);
	ck_assert_int_eq(o.devices.disk[0].cache, CACHE_DIRECTSYNC);
	ck_assert_int_eq(o.devices.disk[0].aio, AIO_THREADS);
	ck_assert_uint_eq(o.devices.disk[0].queues, 4);
	ck_assert_uint_eq(o.devices.disk[0].queue_size, 64);
	ck_assert_str_eq(o.devices.disk[0].serial, "S1");
	ck_assert_str_eq(o.devices.disk[0].id, "root");
	ck_assert_uint_eq(o.devices.disk[0].iops, 100);
	ck_assert_uint_eq(o.devices.disk[0].iops_burst, 7);
	ck_assert_uint_eq(o.devices.disk[0].bps, 2 * MIB);
	ck_assert(!o.devices.disk[0].discard && o.devices.disk[0].readonly && o.devices.disk[0].backing);
}
END_TEST

START_TEST(net_kinds_are_told_apart)
{
	ck_assert_int_eq(parse(ARGS("--net", "tap,ifname=tap0,queues=4,vhost=try", "--net", "bridge=br0", "--net",
				    "user,forward=tcp:2222:22,forward=udp:53:53", "--net", "socket=/tmp/x,datagram=on", "--net",
				    "tap,fd=5:6,mac=52:54:00:aa:Bb:01")),
			 0);
	ck_assert_uint_eq(o.devices.nr_nets, 5);
	ck_assert_int_eq(o.devices.net[0].type, NET_TAP);
	ck_assert_int_eq(o.devices.net[0].vhost, VHOST_TRY);
	ck_assert_uint_eq(o.devices.net[0].queues, 4);
	ck_assert_int_eq(o.devices.net[1].type, NET_BRIDGE);
	ck_assert_int_eq(o.devices.net[2].type, NET_USER);
	ck_assert_uint_eq(o.devices.net[2].forward.nr, 2);
	ck_assert_int_eq(o.devices.net[3].type, NET_SOCKET);
	ck_assert(o.devices.net[3].datagram);
	ck_assert_uint_eq(o.devices.net[4].queues, 2);
	ck_assert_int_eq(o.devices.net[4].fd[1], 6);
	ck_assert_int_eq(o.devices.net[4].mac_bytes[4], 0xbb);
}
END_TEST

START_TEST(balloon_and_rng_go_with_and_without_words)
{
	ck_assert_int_eq(parse(ARGS("--balloon", "--rng", "bps=1M")), 0);
	ck_assert(o.devices.balloon.present && o.devices.rng.present);
	ck_assert_uint_eq(o.devices.balloon.size_bytes, 0);
	ck_assert_uint_eq(o.devices.rng.bps, MIB);
	teardown();
	ck_assert_int_eq(parse(ARGS("--balloon=size=64M,free-page-reporting=on", "--rng")), 0);
	ck_assert_uint_eq(o.devices.balloon.size_bytes, 64 * MIB);
	ck_assert(o.devices.balloon.free_page_reporting);
}
END_TEST

START_TEST(console_on_the_terminal_takes_it_from_com1)
{
	ck_assert_int_eq(parse(ARGS("--console", "stdio", "--console", "unix:/tmp/ga,name=org.qemu.guest_agent.0")), 0);
	ck_assert_int_eq(o.serial[0].mode, STREAM_NONE);
	ck_assert(run_options_use_stdio(&o));
	ck_assert_ptr_null(o.devices.console[0].name);
	ck_assert_int_eq(o.devices.console[1].stream.mode, STREAM_UNIX);
	ck_assert_str_eq(o.devices.console[1].stream.path, "/tmp/ga");
	ck_assert_str_eq(o.devices.console[1].name, "org.qemu.guest_agent.0");
}
END_TEST

static const struct {
	char *const *argv;
	const char *want;
} bad[] = {
	{ ARGS("--disk", ""), "--disk '': expected FILE" },
	{ ARGS("--disk", "readonly=on"), "path=FILE is missing" },
	{ ARGS("--disk", "a,format=vmdk"), "format=vmdk: expected one of raw, qcow2, null" },
	{ ARGS("--disk", "a,cache=fast"), "cache=fast: expected one of writeback, none, writethrough, directsync, unsafe" },
	{ ARGS("--disk", "a,aio=posix"), "aio=posix: expected one of auto, io_uring, threads, native" },
	{ ARGS("--disk", "a,queues=65"), "queues=65: expected a number from 1 to 64" },
	{ ARGS("--disk", "a,queue-size=100"), "queue-size=100: expected a power of two" },
	{ ARGS("--disk", "a,serial=123456789012345678901"), "expected up to 20 bytes" },
	{ ARGS("--disk", "a,readonly=on,snapshot=on"), "readonly=on and snapshot=on" },
	{ ARGS("--disk", "a,iops=x"), "iops=x: expected a number" },
	{ ARGS("--disk", "a,speed=1"), "unknown key 'speed'; known are format=" },
	{ ARGS("--disk", "a,fixed-buffers=on", "--balloon"), "so --balloon could give nothing back" },
	{ ARGS("--disk", "a,iops-burst=5"), "so it needs the limit: iops=" },
	{ ARGS("--disk", "a,bps-burst=5"), "so it needs the limit: bps=" },
	{ ARGS("--disk", "a,id=sixteen-letters1"), "id=sixteen-letters1: expected up to 15 of letters" },
	{ ARGS("--disk", "a,id=a b"), "id=a b: expected up to 15 of letters" },
	{ ARGS("--disk", "a,id=x", "--net", "user,id=x"), "two devices are called x; give each an id= of its own" },
	{ ARGS("--disk", "a,id=disk1", "--disk", "b"), "two devices are called disk1" },
	{ ARGS("--disk", "a,format=raw,backing=on"), "backing=on belongs to format=qcow2" },
	{ ARGS("--net", "wifi"), "--net wifi: expected tap, user, bridge=NAME or socket=PATH first" },
	{ ARGS("--net", "bridge"), "--net bridge: expected tap, user, bridge=NAME or socket=PATH first" },
	{ ARGS("--net", ""), "--net '': expected tap, user, bridge=NAME or socket=PATH first" },
	{ ARGS("--net", "tap,ifname=sixteen-letters1"), "expected the name of an interface, up to 15 bytes" },
	{ ARGS("--net", "bridge=sixteen-letters1"), "expected the name of an interface, up to 15 bytes" },
	{ ARGS("--net", "user,forward=sctp:1:2"), "--net user: forward sctp:1:2: expected e.g. tcp:2222:22" },
	{ ARGS("--net", "user,forward=tcp:1:70000"), "no ports from 1 to 65535" },
	{ ARGS("--net", "user,burst-in=1M"), "so it needs the limit: rate-in=" },
	{ ARGS("--net", "user,rate-in=1M,burst-out=1M"), "so it needs the limit: rate-out=" },
	{ ARGS("--net", "user,mac=5:4:0:1:3:5"), "expected six pairs" },
	{ ARGS("--net", "user,mac=00:00:00:00:00:00"), "is nobody's address" },
	{ ARGS("--console", "name=foo"), "--console name=foo: expected stdio, none, file:PATH, pty or unix:PATH first" },
	{ ARGS("--rng", "bps-burst=1K"), "so it needs the limit: bps=" },
	{ ARGS("--net", "queues=2"), "expected tap, user, bridge=NAME or socket=PATH first" },
	{ ARGS("--net", "tap"), "ifname=NAME or fd=N is missing" },
	{ ARGS("--net", "tap,ifname=a,fd=3"), "give ifname= or fd=, not both" },
	{ ARGS("--net", "tap,fd=x"), "fd=x: expected numbers of open descriptors" },
	{ ARGS("--net", "tap,fd=3:4,queues=3"), "gives 2 descriptors for queues=3" },
	{ ARGS("--net", "user,ifname=a"), "belong to --net tap" },
	{ ARGS("--net", "user,vhost=on"), "vhost= needs a tap" },
	{ ARGS("--net", "user,queues=2"), "queues=2: only --net tap" },
	{ ARGS("--net", "tap,ifname=a,forward=tcp:1:2"), "forward= belongs to --net user" },
	{ ARGS("--net", "user,socket=/x"), "socket is a kind of its own" },
	{ ARGS("--net", "bridge=b,socket=/x"), "not both" },
	{ ARGS("--net", "user,mac=52:54:00:12:34"), "expected six pairs" },
	{ ARGS("--net", "user,mac=52:54:00:12:34:5g"), "expected six pairs" },
	{ ARGS("--net", "user,mac=01:54:00:12:34:56"), "is a group's address" },
	{ ARGS("--net", "user,mtu=67"), "mtu=67: expected a number from 68 to 65535" },
	{ ARGS("--console", "tty"), "--console tty: expected stdio, none, file:PATH, pty or unix:PATH" },
	{ ARGS("--console", "file:"), "expected a path after the colon" },
	{ ARGS("--console", "stdio", "--serial", "stdio"), "stdio is there 2 times" },
	{ ARGS("--balloon", "size=1"), "" }, /* one MiB is a size */
	{ ARGS("--balloon", "--balloon"), "a machine has one balloon" },
	{ ARGS("--rng", "--rng"), "one entropy device" },
	{ ARGS("--monitor", "/tmp/x"), "--monitor /tmp/x: expected unix:PATH" },
	{ ARGS("--monitor", "unix:"), "expected unix:PATH" },
};

START_TEST(wrong_device_is_refused_with_a_sentence)
{
	int want = *bad[_i].want ? -EINVAL : 0;

	ck_assert_int_eq(parse(bad[_i].argv), want);
	ck_assert_msg(strstr(e.text, bad[_i].want), "'%s' does not have '%s'", e.text, bad[_i].want);
}
END_TEST

START_TEST(more_devices_than_pci_slots_are_refused)
{
	char *argv[3 + 2 * MAX_PCI_DEVICES + 2] = { "run", "--kernel", "vmlinuz" };

	for (unsigned int i = 0; i < MAX_PCI_DEVICES; i++) {
		argv[3 + 2 * i] = "--disk";
		argv[4 + 2 * i] = "a";
	}
	ck_assert_int_eq(parse(argv), 0);
	teardown();
	argv[3 + 2 * MAX_PCI_DEVICES] = "--rng";
	ck_assert_int_eq(parse(argv), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "32 PCI devices are asked for, and a machine has room for 31"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_options");
	TCase *c = tcase_create("device_options");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, disk_has_the_defaults_of_the_manual);
	tcase_add_test(c, disk_keys_are_stored);
	tcase_add_test(c, net_kinds_are_told_apart);
	tcase_add_test(c, balloon_and_rng_go_with_and_without_words);
	tcase_add_test(c, console_on_the_terminal_takes_it_from_com1);
	tcase_add_test(c, more_devices_than_pci_slots_are_refused);
	tcase_add_loop_test(c, wrong_device_is_refused_with_a_sentence, 0, ARRAY_SIZE(bad));
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
