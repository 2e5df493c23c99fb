/*
 * The network device with its threads over a real tap, in a network namespace of this test's own: traffic both
 * ways, several pairs, resets under traffic. Worth building with -fsanitize=thread as well. Skipped without root
 * and /dev/net/tun.
 */
#include <check.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_net_internal.h"
#include "vmm/base/log.h"

enum { RAM = 64 << 20, SIZE = 64, BUFFER = 2048, FRAME = 1514, MARK = 20 };

static struct test_driver td;
static struct netdev *tap;
static struct virtio_net *net;
static uint64_t arena;
static int host; /* packet socket on the tap's other end */

static int make_tap(void)
{
	struct ifreq ifr = { .ifr_name = "t0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE };
	int fd, rc = -1, s;

	if (unshare(CLONE_NEWNET) < 0 || (fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC)) < 0)
		return -1;
	s = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(fd, TUNSETIFF, &ifr) == 0 && ioctl(fd, TUNSETPERSIST, 1) == 0 &&
	    ioctl(s, SIOCGIFFLAGS, &ifr) == 0) {
		ifr.ifr_flags |= IFF_UP;
		rc = ioctl(s, SIOCSIFFLAGS, &ifr);
	}
	close(s);
	close(fd);
	return rc;
}

static void setup(void)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htobe16(ETH_P_ALL) };
	struct virtio_net_options o = { .name = "net0", .mac = { 2 }, .pairs = 2, .queue_size = 256 };
	struct err e = { 0 };

	log_set_level(LOG_ERROR);
	ck_assert_int_eq(make_tap(), 0);
	a.sll_ifindex = (int)if_nametoindex("t0");
	host = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htobe16(ETH_P_ALL));
	ck_assert_int_eq(bind(host, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_msg(netdev_tap_open(&tap, "t0", NULL, 2, &e) == 0, "%s", e.text);
	td_init(&td, RAM);
	td.threads = true;
	arena = td_alloc(&td, 8ull * SIZE * BUFFER, 4096);
	o.netdev = tap;
	ck_assert_msg(virtio_net_new(&net, &o, &td.mem, &e) == 0, "%s", e.text);
}

static void teardown(void)
{
	td_stop(&td);
	virtio_net_free(net);
	netdev_close(tap);
	td_fini(&td);
	close(host);
}

static uint64_t buffer(unsigned int q, unsigned int i)
{
	return arena + (q * SIZE + i) * BUFFER;
}

static void start(void)
{
	ck_assert(td_start(&td, virtio_net_dev(net), BIT(MRG_RXBUF) | BIT(CTRL_VQ) | BIT(MQ) | BIT(CSUM),
			   SIZE));
	for (unsigned int q = 0; q < 4; q += 2) {
		for (unsigned int i = 0; i < SIZE; i++)
			ck_assert_int_ge(td_add(&td, q, &(struct td_seg){ buffer(q, i), BUFFER, true }, 1),
					 0);
		td_kick(&td, q);
	}
}

static int set_pairs(uint8_t pairs)
{
	uint64_t gpa = buffer(4, 0);
	uint8_t *p = td_ptr(&td, gpa);
	struct td_seg seg[2] = { { gpa, 4, false }, { gpa + 8, 1, true } };

	memcpy(p, (uint8_t[]){ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, pairs, 0 }, 4);
	ck_assert_int_eq(td_do(&td, 4, seg, 2), 1);
	return p[8];
}

static void make_frame(uint8_t *f, uint8_t mark)
{
	memset(f, mark, FRAME);
	memset(f, 0xff, 6);
	f[6] = 2;
	f[12] = 0x88; /* local experiments: no protocol answers */
	f[13] = 0xb5;
}

/* The guest sends nr frames on transmit queue q. */
static void guest_sends(unsigned int q, unsigned int nr)
{
	struct td_used used;

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t gpa = buffer(q, i);

		memset(td_ptr(&td, gpa), 0, NET_HDR);
		make_frame((uint8_t *)td_ptr(&td, gpa) + NET_HDR, 0x77);
		ck_assert_int_ge(td_add(&td, q, &(struct td_seg){ gpa, NET_HDR + FRAME, false }, 1), 0);
		td_kick(&td, q);
	}
	for (unsigned int i = 0; i < nr; i++)
		ck_assert(td_wait(&td, q, &used));
}

static unsigned int host_receives(uint8_t mark)
{
	unsigned int nr = 0;
	uint8_t f[4096];

	while (recv(host, f, sizeof(f), 0) > 0)
		nr += f[MARK] == mark;
	return nr;
}

static void host_sends(unsigned int nr)
{
	uint8_t f[FRAME];

	make_frame(f, 0x66);
	for (unsigned int i = 0; i < nr; i++) {
		f[11] = (uint8_t)i;
		ck_assert_int_eq(send(host, f, FRAME, 0), FRAME);
	}
}

START_TEST(frames_pass_both_ways)
{
	unsigned int got = 0;
	struct td_used used;

	start();
	guest_sends(1, 50);
	guest_sends(3, 10);
	ck_assert_uint_eq(host_receives(0x77), 60);
	host_sends(20);
	while (got < 20) {
		ck_assert(td_wait(&td, 0, &used));
		got += used.len == NET_HDR + FRAME; /* and whatever the host says by itself */
	}
}
END_TEST

START_TEST(resets_under_traffic_lose_nothing_afterwards)
{
	for (unsigned int round = 0; round < 30; round++) {
		start();
		ck_assert_int_eq(set_pairs(1 + round % 2), VIRTIO_NET_OK);
		host_sends(30);
		guest_sends(1 + 2 * (round % 2), 20);
		host_sends(10);
		td_stop(&td); /* in the middle */
		ck_assert_uint_eq(host_receives(0x77), 20);
		td.next = arena + 8ull * SIZE * BUFFER;
	}
	ck_assert(!td.failed);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtio_net_tap");
	TCase *t = tcase_create("virtio_net_tap");
	SRunner *sr;
	pid_t pid = fork(); /* this process stays in its namespace */
	int failed, status = -1;

	if (pid == 0)
		_exit(make_tap() < 0);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status) {
		printf("# SKIP taps need root and /dev/net/tun\n");
		return 0;
	}
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, frames_pass_both_ways);
	tcase_add_test(t, resets_under_traffic_lose_nothing_afterwards);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
