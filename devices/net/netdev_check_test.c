/*
 * Unit tests of the netdev_*_check() functions: each says what the opening says, in the same situation, and leaves that
 * situation as it is. Taps and bridges are made in network namespaces of these tests' own; that takes root and
 * /dev/net/tun, and those tests are left out otherwise.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/net/link.h"
#include "devices/net/netdev.h"
#include "vmm/base/log.h"

enum { NOBODY = 54321 };

static struct netdev known, *n;
static struct err said, e;
static char dir[] = "/tmp/netdev_check.XXXXXX", path[64], peer[72];
static char *old_path;

static void setup(void)
{
	log_set_level(LOG_ERROR);
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chmod(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/it", dir);
	snprintf(peer, sizeof(peer), "%s.peer", path);
	old_path = strdup(getenv("PATH"));
	said = e = (struct err){ 0 };
	n = NULL;
}

static void teardown(void)
{
	netdev_close(n);
	setenv("PATH", old_path, 1);
	free(old_path);
	unlink(path);
	unlink(peer);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* What checking and opening returned are the same, and the sentence is. n is closed. */
static void judge(int checked, int opened, int rc)
{
	ck_assert_msg(checked == rc && opened == rc, "%d (%s), %d (%s)", checked, said.text, opened, e.text);
	if (rc < 0) {
		ck_assert_str_eq(said.text, e.text);
		ck_assert_int_eq(said.usage, e.usage);
	} else {
		ck_assert_uint_eq(known.max_pairs, n->max_pairs);
		ck_assert_uint_eq(known.mtu, n->mtu);
		ck_assert_str_eq(known.mtu_of, n->mtu_of);
		ck_assert_int_eq(known.vnet_hdr, n->vnet_hdr);
	}
	netdev_close(n);
	n = NULL;
	said = e = (struct err){ 0 };
}

/* The check first: what is open already is not free. */
#define same(check, open, rc)                                                                                \
	do {                                                                                                 \
		int checked_ = (check);                                                                      \
		judge(checked_, (open), (rc));                                                               \
	} while (0)

/* Run a function as somebody who is not root. Returns whether it returned true. */
static bool as_nobody(bool (*run)(void))
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit((geteuid() != 0 ||
		       (setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0)) &&
				      run()
			      ? 0
			      : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

/* ---- sockets ---- */

static void same_socket(const char *where, bool datagram, int rc)
{
	same(netdev_socket_check(&known, where, datagram, &said), netdev_socket_open(&n, where, datagram, &e),
	     rc);
}

/* A socket of this type at where, listening if it can. */
static int bind_at(const char *where, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, where);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 4), 0);
	return fd;
}

START_TEST(free_path_is_fine_and_stays_free)
{
	ck_assert_int_eq(netdev_socket_check(&known, path, _i, &said), 0);
	ck_assert_int_lt(access(path, F_OK), 0);
	same_socket(path, _i, 0);
}
END_TEST

START_TEST(bad_paths_are_refused_alike)
{
	static char longest[200];

	memset(longest, 'x', sizeof(longest) - 1);
	same_socket(longest, _i, -ENAMETOOLONG);
	same_socket("", _i, -EINVAL);
	same_socket("/absent/directory/it", _i, -ENOENT);
	same_socket("/dev/null/it", _i, -ENOTDIR);
}
END_TEST

START_TEST(file_in_the_way_is_refused_alike)
{
	close(open(path, O_CREAT | O_WRONLY, 0600));
	same_socket(path, _i, -ENOTSOCK);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(leftover_is_fine_and_is_not_removed)
{
	close(bind_at(path, _i ? SOCK_DGRAM : SOCK_STREAM));
	ck_assert_int_eq(netdev_socket_check(&known, path, _i, &said), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	same_socket(path, _i, 0);
}
END_TEST

START_TEST(listener_is_fine_and_hears_nothing)
{
	int fd = bind_at(path, SOCK_STREAM);

	ck_assert_int_eq(netdev_socket_check(&known, path, false, &said), 0);
	ck_assert_int_lt(accept(fd, NULL, NULL), 0);
	ck_assert_int_eq(errno, EAGAIN);
	same_socket(path, false, 0);
	close(fd);
}
END_TEST

START_TEST(other_kind_is_refused_alike)
{
	int fd = bind_at(path, _i ? SOCK_STREAM : SOCK_DGRAM);

	same_socket(path, _i, -EPROTOTYPE);
	close(fd);
}
END_TEST

START_TEST(second_of_a_datagram_pair_is_fine_and_a_third_is_not)
{
	int first = bind_at(path, SOCK_DGRAM), second;

	same_socket(path, true, 0);
	second = bind_at(peer, SOCK_DGRAM);
	same_socket(path, true, -EADDRINUSE);
	close(first);
	close(second);
}
END_TEST

static bool sockets_of_nobody_are_refused_alike(void)
{
	bool alike = true;

	for (int datagram = 0; datagram < 2; datagram++) {
		int checked = netdev_socket_check(&known, path, datagram, &said);
		int opened = netdev_socket_open(&n, path, datagram, &e);

		alike = alike && checked == -EACCES && opened == checked && !strcmp(said.text, e.text);
	}
	return alike;
}

START_TEST(directory_of_somebody_else_is_refused_alike)
{
	ck_assert_int_eq(chmod(dir, 0555), 0);
	ck_assert(as_nobody(sockets_of_nobody_are_refused_alike));
	ck_assert_int_eq(chmod(dir, 0755), 0);
}
END_TEST

/* ---- passt ---- */

static void same_passt(const char *forward, unsigned int mtu, int rc)
{
	const char *const list[] = { forward };
	unsigned int nr = forward ? 1 : 0;

	same(netdev_passt_check(&known, list, nr, mtu, &said), netdev_passt_open(&n, list, nr, mtu, &e), rc);
}

START_TEST(passt_that_is_not_there_is_refused_alike)
{
	setenv("PATH", "/nowhere:/dev/null:", 1);
	same_passt(NULL, 0, -ENOENT);
	setenv("PATH", dir, 1);
	snprintf(path, sizeof(path), "%s/passt", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	same_passt(NULL, 0, -EACCES);
	same_passt("tcp:99999:22", 0, -EINVAL);
	same_passt(NULL, 1000, -EINVAL);
}
END_TEST

START_TEST(passt_that_is_there_is_found_and_not_started)
{
	int fd;

	snprintf(path, sizeof(path), "%s/passt", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0700);
	ck_assert_int_gt(dprintf(fd, "#!/bin/sh\n: >'%s'\n", peer), 0);
	close(fd);
	for (int i = 0; i < 2; i++) {
		char list[200];

		snprintf(list, sizeof(list), i ? "/nowhere:%s" : "%s:/bin", dir);
		setenv("PATH", list, 1);
		ck_assert_msg(netdev_passt_check(&known, NULL, 0, 1500, &said) == 0, "%s", said.text);
	}
	ck_assert_uint_eq(known.mtu, 1500);
	ck_assert_int_lt(access(peer, F_OK), 0);
}
END_TEST

/* ---- taps and bridges ---- */

static void enter_namespace(void)
{
	setup();
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
}

static int tun_open(const char *name, int flags)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = { .ifr_flags = (short)(flags | IFF_NO_PI) };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ck_assert_int_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

/* As `ip tuntap add` does; owner 0: anybody's. */
static void make_tap(const char *name, int more, unsigned int owner, unsigned int group)
{
	int fd = tun_open(name, IFF_TAP | more);

	ck_assert_int_eq(ioctl(fd, TUNSETPERSIST, 1), 0);
	if (owner)
		ck_assert_int_eq(ioctl(fd, TUNSETOWNER, owner), 0);
	if (group)
		ck_assert_int_eq(ioctl(fd, TUNSETGROUP, group), 0);
	close(fd);
}

static void same_tap(const char *ifname, unsigned int pairs, int rc)
{
	same(netdev_tap_check(&known, ifname, NULL, pairs, &said),
	     netdev_tap_open(&n, ifname, NULL, pairs, &e), rc);
}

START_TEST(link_tells_what_the_kernel_knows)
{
	struct net_link l;

	make_tap("t0", IFF_MULTI_QUEUE, 11, 22);
	ck_assert_int_eq(net_link_read(&l, "t0"), 0);
	ck_assert_str_eq(l.kind, "tun");
	ck_assert(l.tun_known && l.tap && l.multi_queue && !l.carrier);
	ck_assert_uint_eq(l.mtu, 1500);
	ck_assert(l.owner == 11 && l.group == 22);
	ck_assert_int_eq(net_link_read(&l, "lo"), 0);
	ck_assert_str_eq(l.kind, "");
	ck_assert(!l.tun_known && l.owner == NET_LINK_ANYBODY);
	ck_assert_int_eq(net_link_read(&l, "t1"), -ENODEV);
	ck_assert_int_eq(net_link_read(&l, "a_name_beyond_fifteen"), -ENODEV);
}
END_TEST

START_TEST(taps_that_fit_are_fine_and_stay_free)
{
	make_tap("one", 0, 0, 0);
	make_tap("many", IFF_MULTI_QUEUE, 0, 0);
	same_tap("one", 1, 0);
	same_tap("many", 1, 0);
	same_tap("many", 4, 0);
	same_tap("one", 1, 0);
}
END_TEST

START_TEST(taps_that_fit_not_are_refused_alike)
{
	int held[3];

	same_tap("t0", 1, -ENODEV);
	same_tap("t0", 2, -ENODEV);
	same_tap("t%d", 1, -ENODEV);
	same_tap("a_name_beyond_fifteen", 1, -ENODEV);
	same_tap("t0", 33, -EINVAL);
	same_tap("t0", 0, -EINVAL);
	same_tap("lo", 1, -EINVAL);
	same_tap("lo", 2, -EINVAL);
	make_tap("one", 0, 0, 0);
	make_tap("many", IFF_MULTI_QUEUE, 0, 0);
	same_tap("one", 2, -EINVAL);
	held[0] = tun_open("one", IFF_TAP);
	held[1] = tun_open("many", IFF_TAP | IFF_MULTI_QUEUE);
	held[2] = tun_open("u0", IFF_TUN);
	same_tap("one", 1, -EBUSY); /* they are down: that nobody sees frames does not make them free */
	same_tap("one", 2, -EINVAL);
	same_tap("many", 1, -EBUSY);
	same_tap("many", 2, -EBUSY);
	same_tap("u0", 1, -EINVAL);
	for (unsigned int i = 0; i < ARRAY_SIZE(held); i++)
		close(held[i]);
}
END_TEST

/* /dev/net/tun may be closed to others than root, which both say, too. */
static bool taps_of_nobody(void)
{
	static const struct {
		const char *name;
		unsigned int pairs;
		int rc;
	} rows[] = {
		{ "root's", 1, -EPERM },  { "root's", 2, -EINVAL }, { "mine", 1, 0 },
		{ "group's", 1, -EPERM }, { "ours", 1, 0 },         { "anyone's", 1, 0 },
	};
	bool fine = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		int checked = netdev_tap_check(&known, rows[i].name, NULL, rows[i].pairs, &said);
		int opened = netdev_tap_open(&n, rows[i].name, NULL, rows[i].pairs, &e);

		netdev_close(n);
		fine = fine && checked == opened && (checked == rows[i].rc || checked == -EACCES) &&
		       (checked == 0 || !strcmp(said.text, e.text));
	}
	return fine;
}

START_TEST(taps_of_others_are_refused_alike)
{
	make_tap("root's", 0, 12345, 0);
	make_tap("mine", 0, NOBODY, 0);
	make_tap("group's", 0, 0, 12345);
	make_tap("ours", 0, NOBODY, NOBODY);
	make_tap("anyone's", 0, 0, 0);
	ck_assert(as_nobody(taps_of_nobody));
}
END_TEST

/* Where user namespaces are forbidden there is nothing to see. */
static bool root_of_a_namespace(void)
{
	if (unshare(CLONE_NEWUSER) < 0)
		return true;
	if (net_link_may_administer())
		return false;
	return unshare(CLONE_NEWNET) == 0 && net_link_may_administer();
}

static bool nobody(void)
{
	return !net_link_may_administer();
}

START_TEST(administrator_is_who_owns_the_network_namespace)
{
	int status;
	pid_t pid;

	ck_assert(net_link_may_administer());
	ck_assert(as_nobody(nobody));
	pid = fork();
	if (pid == 0)
		_exit(root_of_a_namespace() ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(descriptors_are_looked_at_and_left_alone)
{
	int fd[2] = { tun_open("t0", IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE),
		      tun_open("t0", IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE) };

	ck_assert_int_eq(fcntl(fd[0], F_SETFD, 0), 0);
	ck_assert_int_eq(netdev_tap_check(&known, NULL, fd, 2, &said), 0);
	ck_assert_str_eq(known.name, "t0");
	ck_assert(known.vnet_hdr);
	ck_assert_int_eq(fcntl(fd[0], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(fd[0], F_GETFD), 0);
	ck_assert_int_eq(netdev_tap_open(&n, NULL, fd, 2, &e), 0);
}
END_TEST

START_TEST(descriptors_that_fit_not_are_refused_alike)
{
	int fd[2] = { eventfd(0, 0), -1 };

	same(netdev_tap_check(&known, NULL, fd, 1, &said), netdev_tap_open(&n, NULL, fd, 1, &e), -EINVAL);
	fd[0] = 999;
	same(netdev_tap_check(&known, NULL, fd, 1, &said), netdev_tap_open(&n, NULL, fd, 1, &e), -EINVAL);
	fd[0] = tun_open("u0", IFF_TUN);
	same(netdev_tap_check(&known, NULL, fd, 1, &said), netdev_tap_open(&n, NULL, fd, 1, &e), -EINVAL);
	fd[0] = tun_open("t1", IFF_TAP);
	fd[1] = tun_open("t2", IFF_TAP);
	same(netdev_tap_check(&known, NULL, fd, 2, &said), netdev_tap_open(&n, NULL, fd, 2, &e), -EINVAL);
	fd[0] = fd[1] = tun_open("t1", IFF_TAP);
	same(netdev_tap_check(&known, NULL, fd, 2, &said), netdev_tap_open(&n, NULL, fd, 2, &e), -EINVAL);
}
END_TEST

static void same_bridge(const char *bridge, unsigned int pairs, int rc)
{
	same(netdev_bridge_check(&known, bridge, pairs, &said), netdev_bridge_open(&n, bridge, pairs, &e),
	     rc);
}

static bool bridge_of_nobody(void)
{
	int checked = netdev_bridge_check(&known, "br0", 1, &said),
	    opened = netdev_bridge_open(&n, "br0", 1, &e);

	return (checked == -EPERM || checked == -EACCES) && opened == checked && !strcmp(said.text, e.text);
}

START_TEST(bridges_are_checked_and_no_tap_is_made)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	same_bridge("br0", 1, -ENODEV);
	same_bridge("a_name_beyond_fifteen", 1, -ENODEV);
	same_bridge("lo", 1, -EOPNOTSUPP);
	same_bridge("lo", 99, -EINVAL);
	ck_assert_int_eq(ioctl(fd, SIOCBRADDBR, "br0"), 0);
	ck_assert_int_eq(netdev_bridge_check(&known, "br0", 2, &said), 0);
	ck_assert_uint_eq(if_nametoindex("trellis0"), 0);
	same_bridge("br0", 2, 0);
	ck_assert(as_nobody(bridge_of_nobody));
	close(fd);
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

static TCase *tap_case(void)
{
	TCase *t = tcase_create("taps");

	tcase_add_checked_fixture(t, enter_namespace, teardown);
	tcase_add_test(t, link_tells_what_the_kernel_knows);
	tcase_add_test(t, taps_that_fit_are_fine_and_stay_free);
	tcase_add_test(t, taps_that_fit_not_are_refused_alike);
	tcase_add_test(t, taps_of_others_are_refused_alike);
	tcase_add_test(t, administrator_is_who_owns_the_network_namespace);
	tcase_add_test(t, descriptors_are_looked_at_and_left_alone);
	tcase_add_test(t, descriptors_that_fit_not_are_refused_alike);
	tcase_add_test(t, bridges_are_checked_and_no_tap_is_made);
	return t;
}

int main(void)
{
	Suite *s = suite_create("netdev_check");
	TCase *t = tcase_create("sockets");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, free_path_is_fine_and_stays_free, 0, 2);
	tcase_add_loop_test(t, bad_paths_are_refused_alike, 0, 2);
	tcase_add_loop_test(t, file_in_the_way_is_refused_alike, 0, 2);
	tcase_add_loop_test(t, leftover_is_fine_and_is_not_removed, 0, 2);
	tcase_add_test(t, listener_is_fine_and_hears_nothing);
	tcase_add_loop_test(t, other_kind_is_refused_alike, 0, 2);
	tcase_add_test(t, second_of_a_datagram_pair_is_fine_and_a_third_is_not);
	tcase_add_test(t, directory_of_somebody_else_is_refused_alike);
	tcase_add_test(t, passt_that_is_not_there_is_refused_alike);
	tcase_add_test(t, passt_that_is_there_is_found_and_not_started);
	suite_add_tcase(s, t);
	if (can_make_taps())
		suite_add_tcase(s, tap_case());
	else
		printf("# taps need root and /dev/net/tun: left out\n");
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
