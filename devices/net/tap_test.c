/*
 * Taps and bridges in a network namespace of this test's own, each test its own (Check forks). Needs root and
 * /dev/net/tun, and is skipped otherwise; but for what has to fail.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/net/netdev.h"
#include "vmm/base/log.h"

enum { FRAME = 100 };

static struct netdev *n;
static struct err e;
static struct loop loop;
static unsigned int ins, outs;

static void setup(void)
{
	log_set_level(LOG_ERROR);
	e = (struct err){ 0 };
	ins = outs = 0;
	n = NULL;
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	ck_assert_int_eq(loop_init(&loop, NULL), 0);
}

static void teardown(void)
{
	netdev_close(n);
	loop_fini(&loop);
}

static int flags_of(const char *name, short add)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ck_assert_int_eq(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	if (add) {
		ifr.ifr_flags |= add;
		ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	}
	close(fd);
	return ifr.ifr_flags;
}

static int tun_open(const char *name, int flags)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = { .ifr_flags = (short)flags };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

/* As `ip tuntap add` does. */
static void make_tap(const char *name, int more)
{
	int fd = tun_open(name, IFF_TAP | IFF_NO_PI | more);

	ck_assert_int_eq(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
	flags_of(name, IFF_UP);
}

static void set_mtu(const char *name, int mtu)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq ifr = { .ifr_mtu = mtu };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ck_assert_int_eq(ioctl(fd, SIOCSIFMTU, &ifr), 0);
	close(fd);
}

/* The host's end of an interface. */
static int packet_socket(const char *name)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htobe16(ETH_P_ALL));

	a.sll_protocol = htobe16(ETH_P_ALL);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void make_frame(uint8_t *f, uint8_t mark)
{
	memset(f, mark, FRAME);
	memset(f, 0xff, 6);
	memcpy(f + 6, "\2\1\2\3\4\5", 6);
	f[12] = 0x88; /* local experiments: no protocol answers */
	f[13] = 0xb5;
}

static void ready(void *ctx, bool in, bool out)
{
	(void)ctx;
	ins += in;
	outs += out;
}

/* Frames of the host's own (neighbour discovery) come in between: take ours. */
static int recv_marked(unsigned int q, uint8_t mark, uint8_t *bytes)
{
	struct iovec iov[2] = { { bytes, NETDEV_VNET_HDR }, { bytes + NETDEV_VNET_HDR, 2000 } };
	int rc;

	while ((rc = n->ops->recv(n, q, iov, 2)) >= 0)
		if (rc > NETDEV_VNET_HDR + 20 && bytes[NETDEV_VNET_HDR + 20] == mark)
			return rc;
	return rc;
}

START_TEST(tap_takes_and_gives_frames_with_a_header)
{
	uint8_t out[NETDEV_VNET_HDR + FRAME] = { 0 }, in[4096], frame[FRAME];
	struct iovec iov = { out, sizeof(out) };
	int s;

	make_tap("t0", 0);
	ck_assert_msg(netdev_tap_open(&n, "t0", NULL, 1, &e) == 0, "%s", e.text);
	ck_assert_str_eq(n->name, "t0");
	ck_assert(n->vnet_hdr);
	ck_assert_uint_eq(n->mtu, 1500);
	s = packet_socket("t0");
	make_frame(out + NETDEV_VNET_HDR, 0x11);
	ck_assert_int_eq(n->ops->send(n, 0, &iov, 1), 0);
	do
		ck_assert_int_ge(recv(s, in, sizeof(in), 0), FRAME);
	while (in[20] != 0x11);
	ck_assert_mem_eq(in, out + NETDEV_VNET_HDR, FRAME);

	make_frame(frame, 0x22);
	ck_assert_int_eq(send(s, frame, FRAME, 0), FRAME);
	ck_assert_int_eq(recv_marked(0, 0x22, in), NETDEV_VNET_HDR + FRAME);
	ck_assert_mem_eq(in + NETDEV_VNET_HDR, frame, FRAME);
	ck_assert_int_eq(recv_marked(0, 0x22, in), -EAGAIN);
	close(s);
}
END_TEST

START_TEST(tap_wakes_the_loop_while_frames_are_wanted)
{
	uint8_t frame[FRAME];
	int s;

	make_tap("t0", 0);
	ck_assert_int_eq(netdev_tap_open(&n, "t0", NULL, 1, &e), 0);
	ck_assert_int_eq(n->ops->attach(n, 0, &loop, ready, NULL), 0);
	s = packet_socket("t0");
	make_frame(frame, 1);
	ck_assert_int_eq(send(s, frame, FRAME, 0), FRAME);
	ck_assert_int_eq(loop_run_once(&loop, 0), 0);
	n->ops->want(n, 0, true, false);
	ck_assert_int_eq(loop_run_once(&loop, 1000), 1);
	ck_assert(ins == 1 && outs == 0);
	n->ops->want(n, 0, false, true);
	ck_assert_int_eq(loop_run_once(&loop, 1000), 1);
	ck_assert(ins == 1 && outs == 1);
	n->ops->want(n, 0, false, false);
	ck_assert_int_eq(loop_run_once(&loop, 0), 0);
	n->ops->want(n, 0, true, true);
	n->ops->detach(n, 0);
	ck_assert_int_eq(loop_run_once(&loop, 0), 0);
	close(s);
}
END_TEST

START_TEST(tap_that_is_deleted_fails_and_tells)
{
	struct iovec iov;
	uint8_t in[2000];
	int fd;

	make_tap("t0", 0);
	ck_assert_int_eq(netdev_tap_open(&n, "t0", NULL, 1, &e), 0);
	ck_assert_int_eq(n->ops->attach(n, 0, &loop, ready, NULL), 0);
	n->ops->want(n, 0, true, false);
	fd = n->ops->fd(n, 0);
	ck_assert_int_eq(ioctl(fd, TUNSETPERSIST, 0), 0);
	ck_assert_int_eq(system("ip link del dev t0 2>/dev/null"), 0);
	ck_assert_int_eq(loop_run_once(&loop, 1000), 1);
	ck_assert_uint_eq(ins, 1);
	iov = (struct iovec){ in, sizeof(in) };
	ck_assert_int_eq(n->ops->recv(n, 0, &iov, 1), -EBADFD);
	ck_assert_int_eq(n->ops->send(n, 0, &iov, 1), -EBADFD);
}
END_TEST

START_TEST(tap_offloads_follow_the_driver)
{
	uint64_t all;

	make_tap("t0", 0);
	ck_assert_int_eq(netdev_tap_open(&n, "t0", NULL, 1, &e), 0);
	all = n->features;
	ck_assert(all >> VIRTIO_NET_F_CSUM & 1);
	ck_assert(all >> VIRTIO_NET_F_GUEST_TSO4 & 1);
	ck_assert(all >> VIRTIO_NET_F_HOST_TSO6 & 1);
	ck_assert_int_eq(n->ops->set_offloads(n, all), 0);
	ck_assert_int_eq(n->ops->set_offloads(n, 0), 0);
	ck_assert_int_eq(n->ops->set_offloads(n, 1ull << VIRTIO_NET_F_GUEST_TSO4),
			 0); /* without CSUM: none */
	ck_assert_int_eq(n->ops->set_offloads(n, 1ull << 54 | 1ull << VIRTIO_NET_F_GUEST_CSUM),
			 0); /* half of USO */
	ck_assert_int_eq(
		n->ops->set_offloads(n, 1ull << VIRTIO_NET_F_GUEST_ECN | 1ull << VIRTIO_NET_F_GUEST_CSUM), 0);
}
END_TEST

START_TEST(tap_of_several_queues_uses_as_many_as_it_is_told)
{
	uint8_t in[4096], frame[FRAME];
	int s, got = 0;

	make_tap("t0", IFF_MULTI_QUEUE);
	ck_assert_msg(netdev_tap_open(&n, "t0", NULL, 4, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(n->max_pairs, 4);
	ck_assert_int_eq(n->ops->set_pairs(n, 1), 0);
	ck_assert_int_eq(n->ops->set_pairs(n, 1), 0);
	s = packet_socket("t0");
	make_frame(frame, 0x33);
	for (unsigned int i = 0; i < 20; i++) {
		frame[11] = (uint8_t)i; /* another flow */
		ck_assert_int_eq(send(s, frame, FRAME, 0), FRAME);
	}
	while (recv_marked(0, 0x33, in) > 0)
		got++;
	ck_assert_int_eq(got, 20);
	ck_assert_int_eq(n->ops->set_pairs(n, 4), 0);
	for (unsigned int i = 0; i < 20; i++) {
		frame[11] = (uint8_t)(0x80 + i);
		ck_assert_int_eq(send(s, frame, FRAME, 0), FRAME);
	}
	for (unsigned int q = 0; q < 4; q++)
		while (recv_marked(q, 0x33, in) > 0)
			got++;
	ck_assert_int_eq(got, 40);
	ck_assert_int_eq(n->ops->set_pairs(n, 2), 0);
	close(s);
}
END_TEST

START_TEST(tap_made_for_several_queues_serves_one)
{
	make_tap("t0", IFF_MULTI_QUEUE);
	ck_assert_msg(netdev_tap_open(&n, "t0", NULL, 1, &e) == 0, "%s", e.text);
}
END_TEST

/* The kernel would give a second program queues of it, and spread the frames over both. */
START_TEST(tap_of_several_queues_is_for_one_program)
{
	struct netdev *other;

	make_tap("t0", IFF_MULTI_QUEUE);
	for (unsigned int pairs = 1; pairs <= 2; pairs++) {
		ck_assert_msg(netdev_tap_open(&n, "t0", NULL, pairs, &e) == 0, "%s", e.text);
		ck_assert_int_eq(netdev_tap_open(&other, "t0", NULL, 1, &e), -EBUSY);
		ck_assert_int_eq(netdev_tap_open(&other, "t0", NULL, 2, &e), -EBUSY);
		ck_assert_ptr_nonnull(strstr(e.text, "in use by another program"));
		netdev_close(n);
		n = NULL;
	}
	ck_assert_msg(netdev_tap_open(&n, "t0", NULL, 2, &e) == 0, "%s", e.text);
}
END_TEST

START_TEST(tap_that_cannot_be_had_is_named_with_what_mends_it)
{
	int fd;

	ck_assert_int_eq(netdev_tap_open(&n, "t0", NULL, 1, &e), -ENODEV);
	ck_assert_ptr_nonnull(
		strstr(e.text, "ip tuntap add dev t0 mode tap user $USER && ip link set dev t0 up"));
	ck_assert_int_eq(netdev_tap_open(&n, "t%d", NULL, 2, &e), -ENODEV);
	ck_assert_ptr_nonnull(strstr(e.text, "multi_queue"));
	ck_assert_int_eq(netdev_tap_open(&n, "a_name_beyond_fifteen", NULL, 1, &e), -ENODEV);
	ck_assert_int_eq(netdev_tap_open(&n, "t0", NULL, 33, &e), -EINVAL);

	make_tap("t0", 0);
	ck_assert_int_eq(netdev_tap_open(&n, "t0", NULL, 2, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "has one queue"));
	fd = tun_open("t0", IFF_TAP | IFF_NO_PI);
	ck_assert_int_eq(netdev_tap_open(&n, "t0", NULL, 1, &e), -EBUSY);
	ck_assert_ptr_nonnull(strstr(e.text, "in use by another program"));
	ck_assert_int_eq(netdev_tap_open(&n, "t0", NULL, 2, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "has one queue"));
	close(fd);

	ck_assert_int_eq(netdev_tap_open(&n, "lo", NULL, 1, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "lo is no tap"));
	ck_assert_int_eq(netdev_tap_open(&n, "lo", NULL, 2, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "lo is no tap"));
	close(tun_open("u0", IFF_TUN | IFF_NO_PI));
	ck_assert_ptr_null(n);
}
END_TEST

START_TEST(tap_of_another_user_is_refused)
{
	int fd = tun_open("t0", IFF_TAP | IFF_NO_PI), status;
	pid_t pid;

	ck_assert_int_eq(ioctl(fd, TUNSETPERSIST, 1), 0);
	ck_assert_int_eq(ioctl(fd, TUNSETOWNER, 12345), 0);
	close(fd);
	pid = fork();
	if (pid == 0) {
		/* Root's file, that only root opens here: /dev/net/tun may be closed to others, which is refused as well. */
		int rc = setresuid(54321, 54321, 54321) == 0 ? netdev_tap_open(&n, "t0", NULL, 1, &e) : 0;

		_exit((rc == -EPERM && strstr(e.text, "belongs to another user")) ||
				      (rc == -EACCES && strstr(e.text, "/dev/net/tun"))
			      ? 0
			      : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(given_descriptors_are_taken_as_they_are)
{
	int fd[2] = { tun_open("t0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE), -1 };

	fd[1] = tun_open("t0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
	ck_assert_msg(netdev_tap_open(&n, NULL, fd, 2, &e) == 0, "%s", e.text);
	ck_assert_str_eq(n->name, "t0");
	ck_assert(n->vnet_hdr && n->features);
	ck_assert_int_eq(n->ops->fd(n, 1), fd[1]);
	ck_assert(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
	ck_assert_int_eq(n->ops->set_pairs(n, 1), 0);
	netdev_close(n);

	fd[0] = tun_open("t1", IFF_TAP | IFF_NO_PI);
	ck_assert_int_eq(netdev_tap_open(&n, NULL, fd, 1, &e), 0);
	ck_assert(!n->vnet_hdr && !n->features);
}
END_TEST

START_TEST(given_descriptors_that_fit_not_are_refused)
{
	int fd[2] = { eventfd(0, 0), -1 };

	ck_assert_int_eq(netdev_tap_open(&n, NULL, fd, 1, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "no tap"));
	ck_assert_int_lt(fcntl(fd[0], F_GETFD), 0); /* owned */
	fd[0] = 999;
	ck_assert_int_eq(netdev_tap_open(&n, NULL, fd, 1, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "not open"));
	fd[0] = tun_open("t0", IFF_TUN | IFF_NO_PI);
	ck_assert_int_eq(netdev_tap_open(&n, NULL, fd, 1, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "without Ethernet"));
	fd[0] = tun_open("t1", IFF_TAP | IFF_NO_PI);
	fd[1] = tun_open("t2", IFF_TAP | IFF_NO_PI);
	ck_assert_int_eq(netdev_tap_open(&n, NULL, fd, 2, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "different taps"));
	fd[0] = fd[1] = tun_open("t1", IFF_TAP | IFF_NO_PI);
	ck_assert_int_eq(netdev_tap_open(&n, NULL, fd, 2, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "twice"));
}
END_TEST

START_TEST(bridge_gets_a_tap_that_is_up_and_goes_with_us)
{
	uint8_t out[NETDEV_VNET_HDR + FRAME] = { 0 }, in[4096];
	struct iovec iov = { out, sizeof(out) };
	int s;

	ck_assert_int_eq(system("ip link add br0 type bridge && ip link set br0 up"), 0);
	set_mtu("br0", 1400);
	ck_assert_msg(netdev_bridge_open(&n, "br0", 2, &e) == 0, "%s", e.text);
	ck_assert_str_eq(n->name, "trellis0");
	ck_assert_uint_eq(n->mtu, 1400);
	ck_assert_uint_eq(n->max_pairs, 2);
	ck_assert(flags_of("trellis0", 0) & IFF_UP);
	usleep(50000); /* a port forwards when the bridge has heard of its carrier */
	s = packet_socket("br0");
	make_frame(out + NETDEV_VNET_HDR, 0x44);
	ck_assert_int_eq(n->ops->send(n, 0, &iov, 1), 0);
	do {
		struct pollfd p = { .fd = s, .events = POLLIN };

		ck_assert_int_eq(poll(&p, 1, 2000), 1);
		ck_assert_int_gt(recv(s, in, sizeof(in), 0), 0);
	} while (in[20] != 0x44);
	close(s);
	netdev_close(n);
	n = NULL;
	ck_assert_uint_eq(if_nametoindex("trellis0"), 0);
}
END_TEST

START_TEST(bridge_that_cannot_be_had_is_named_with_what_mends_it)
{
	pid_t pid;
	int status;

	ck_assert_int_eq(netdev_bridge_open(&n, "br0", 1, &e), -ENODEV);
	ck_assert_ptr_nonnull(strstr(e.text, "ip link add dev br0 type bridge"));
	ck_assert_int_eq(netdev_bridge_open(&n, "lo", 1, &e), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(e.text, "lo is no bridge"));
	ck_assert_uint_eq(if_nametoindex("trellis0"), 0);
	ck_assert_int_eq(system("ip link add br0 type bridge"), 0);
	pid = fork();
	if (pid == 0) {
		int rc = setresuid(54321, 54321, 54321) == 0 ? netdev_bridge_open(&n, "br0", 1, &e) : 0;

		_exit((rc == -EPERM && strstr(e.text, "master br0 up")) ||
				      (rc == -EACCES && strstr(e.text, "/dev/net/tun"))
			      ? 0
			      : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* In a child: this process stays where it is. */
static bool can_make_taps(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct ifreq ifr = { .ifr_name = "t0", .ifr_flags = IFF_TAP | IFF_NO_PI };
		int fd = open("/dev/net/tun", O_RDWR);

		_exit(unshare(CLONE_NEWNET) == 0 && fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) == 0 ? 0 : 1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
	Suite *s = suite_create("tap");
	TCase *t = tcase_create("tap");
	SRunner *sr;
	int failed;

	if (!can_make_taps()) {
		printf("# SKIP taps need root and /dev/net/tun\n");
		return 0;
	}
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, tap_takes_and_gives_frames_with_a_header);
	tcase_add_test(t, tap_wakes_the_loop_while_frames_are_wanted);
	tcase_add_test(t, tap_that_is_deleted_fails_and_tells);
	tcase_add_test(t, tap_offloads_follow_the_driver);
	tcase_add_test(t, tap_of_several_queues_uses_as_many_as_it_is_told);
	tcase_add_test(t, tap_made_for_several_queues_serves_one);
	tcase_add_test(t, tap_of_several_queues_is_for_one_program);
	tcase_add_test(t, tap_that_cannot_be_had_is_named_with_what_mends_it);
	tcase_add_test(t, tap_of_another_user_is_refused);
	tcase_add_test(t, given_descriptors_are_taken_as_they_are);
	tcase_add_test(t, given_descriptors_that_fit_not_are_refused);
	tcase_add_test(t, bridge_gets_a_tap_that_is_up_and_goes_with_us);
	tcase_add_test(t, bridge_that_cannot_be_had_is_named_with_what_mends_it);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
