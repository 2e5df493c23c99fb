/*
 * How taps come to us: by the name of one that an administrator made, as open descriptors, or made here for a
 * bridge. Who may use a tap is the kernel's to decide; tap_check.c looks before, and says which command mends it.
 */
#include "devices/net/tap_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net/link.h"
#include "vmm/base/log.h"

enum { TAP_FLAGS = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

/* ---- by name ---- */

static int interface_get(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

	*ifr = (struct ifreq){ 0 };
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	if (fd < 0)
		return -errno;
	rc = ioctl(fd, request, ifr) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static uint32_t interface_mtu(const char *name)
{
	struct ifreq ifr;

	return interface_get(name, SIOCGIFMTU, &ifr) < 0 || ifr.ifr_mtu < 0 ? 0 : (uint32_t)ifr.ifr_mtu;
}

/*
 * Has somebody a queue of the tap? Those of many queues are given to whoever asks for one more, and the frames are
 * spread over all of them; but only a tap that is open has a carrier (drivers/net/tun.c, v6.1).
 */
static bool is_taken(const char *name)
{
	struct net_link l;

	return net_link_read(&l, name) == 0 && !strcmp(l.kind, "tun") && l.carrier;
}

static void warn_if_down(const char *name)
{
	struct ifreq ifr;

	if (interface_get(name, SIOCGIFFLAGS, &ifr) == 0 && !(ifr.ifr_flags & IFF_UP))
		log_warn("%s is down, and no frame passes until an administrator runs: ip link set dev %s up",
			 name, name);
}

static int open_queue(const char *ifname, struct err *e)
{
	char path[TAP_FILE_BYTES];
	int fd;

	if (!tap_is_macvtap(ifname, path))
		return tap_open_tun(e);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? tap_refuse_macvtap(-errno, ifname, path, e) : fd;
}

static int set_iff(int fd, const char *ifname, bool many)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	ifr.ifr_flags = (short)(TAP_FLAGS | (many ? IFF_MULTI_QUEUE : 0));
	return ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
}

/* Why the kernel would not give us queue q of the tap. It says EINVAL first, whoever asks. */
static int refused(int fd, int rc, const char *ifname, unsigned int q, unsigned int pairs, struct err *e)
{
	bool one_queue = rc == -EINVAL && pairs > 1 && set_iff(fd, ifname, false) != -EINVAL;

	return tap_refuse(rc, ifname, q, pairs, one_queue, e);
}

/* A single queue fits taps made with and without multi_queue. */
static int join(int fd, const char *ifname, unsigned int pairs)
{
	int rc = set_iff(fd, ifname, pairs > 1);

	return rc == -EINVAL && pairs == 1 ? set_iff(fd, ifname, true) : rc;
}

static int open_by_name(struct tap *t, const char *ifname, struct err *e)
{
	const bool taken = is_taken(ifname);
	struct ifreq ifr;
	int rc;

	if ((rc = tap_find(ifname, t->nr_queues, e)) < 0)
		return rc;
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		int fd = open_queue(ifname, e);

		if (fd < 0)
			return fd;
		t->queue[i].fd = fd;
		rc = join(fd, ifname, t->nr_queues);
		if (rc == 0 && i == 0 && taken && ioctl(fd, TUNGETIFF, &ifr) == 0 &&
		    ifr.ifr_flags & IFF_MULTI_QUEUE)
			rc = -EBUSY;
		if (rc < 0)
			return refused(fd, rc, ifname, i, t->nr_queues, e);
	}
	t->dev.vnet_hdr = true;
	t->dev.mtu = interface_mtu(ifname);
	warn_if_down(ifname);
	return 0;
}

/* ---- given descriptors ---- */

/*
 * What the opener of a descriptor did not ask for cannot be had later: take it as it is. The interface's MTU is not
 * looked up: the name may be one of another network namespace.
 */
static int take_fds(struct tap *t, struct err *e)
{
	int fd[NETDEV_MAX_PAIRS], rc;

	for (unsigned int i = 0; i < t->nr_queues; i++)
		fd[i] = t->queue[i].fd;
	rc = tap_check_fds(&t->dev, fd, t->nr_queues, e);
	for (unsigned int i = 0; i < t->nr_queues && rc == 0; i++) {
		int flags = fcntl(fd[i], F_GETFL);

		if (flags < 0 || fcntl(fd[i], F_SETFL, flags | O_NONBLOCK) < 0 ||
		    fcntl(fd[i], F_SETFD, FD_CLOEXEC) < 0)
			rc = err_sys(e, -errno, "cannot use file descriptor %d", fd[i]);
	}
	return rc;
}

int netdev_tap_open(struct netdev **n, const char *ifname, const int *fd, unsigned int pairs, struct err *e)
{
	struct tap *t;
	int rc;

	*n = NULL;
	if ((rc = tap_check_pairs(pairs, e)) < 0)
		return rc;
	t = tap_new(pairs, ifname ? ifname : "tap");
	if (!t)
		return err_set(e, -ENOMEM, "out of memory for a tap");
	for (unsigned int i = 0; i < pairs && !ifname; i++)
		t->queue[i].fd = fd[i];
	rc = ifname ? open_by_name(t, ifname, e) : take_fds(t, e);
	if (rc == 0)
		rc = tap_set_up(t, e);
	if (rc < 0) {
		netdev_close(&t->dev);
		return rc;
	}
	*n = &t->dev;
	return 0;
}

/* ---- a tap of our own, on a bridge ---- */

static int make_queues(struct tap *t, char name[IFNAMSIZ], const char *bridge, struct err *e)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "trellis%%d"); /* the kernel puts a number */
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		int fd = tap_open_tun(e);

		if (fd < 0)
			return fd;
		t->queue[i].fd = fd;
		ifr.ifr_flags = (short)(TAP_FLAGS | (t->nr_queues > 1 ? IFF_MULTI_QUEUE : 0));
		if (ioctl(fd, TUNSETIFF, &ifr) < 0)
			return errno == EPERM ? tap_refuse_bridge_rights(bridge, e)
					      : err_sys(e, -errno, "cannot make a tap for %s", bridge);
	}
	snprintf(name, IFNAMSIZ, "%.*s", IFNAMSIZ - 1, ifr.ifr_name);
	return 0;
}

/*
 * As QEMU's bridge helper does: a bridge without an address of its own takes the lowest of its ports', and its
 * MTU from the smallest, so that neither may come from a guest's tap.
 */
static int make_port(int sock, const char *name, const char *bridge, struct err *e)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
	if (ioctl(sock, SIOCGIFMTU, &ifr) == 0) {
		snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
		(void)ioctl(sock, SIOCSIFMTU, &ifr); /* then it stays at 1500, as the tap's field says */
	}
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(sock, SIOCGIFHWADDR, &ifr) == 0) {
		ifr.ifr_hwaddr.sa_data[0] = (char)0xfe;
		(void)ioctl(sock, SIOCSIFHWADDR, &ifr);
	}
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
	ifr.ifr_ifindex = (int)if_nametoindex(name);
	if (ioctl(sock, SIOCBRADDIF, &ifr) < 0) {
		if (errno == EPERM)
			return tap_refuse_bridge_rights(bridge, e);
		if (errno == EOPNOTSUPP)
			return tap_refuse_no_bridge(bridge, e);
		return err_sys(e, -errno, "cannot put a tap on %s", bridge);
	}
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return err_sys(e, -errno, "cannot bring up %s", name);
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	if (ioctl(sock, SIOCSIFFLAGS, &ifr) < 0)
		return err_sys(e, -errno, "cannot bring up %s", name);
	return 0;
}

static int bridge_open(struct tap *t, const char *bridge, struct err *e)
{
	char name[IFNAMSIZ];
	int sock, rc;

	if ((rc = tap_find_bridge(bridge, e)) < 0 || (rc = make_queues(t, name, bridge, e)) < 0)
		return rc;
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return err_sys(e, -errno, "cannot put a tap on %s", bridge);
	rc = make_port(sock, name, bridge, e);
	close(sock);
	if (rc < 0)
		return rc;
	snprintf(t->dev.name, sizeof(t->dev.name), "%s", name);
	t->dev.vnet_hdr = true;
	t->dev.mtu = interface_mtu(name);
	snprintf(t->dev.mtu_of, sizeof(t->dev.mtu_of), "%s", bridge);
	warn_if_down(bridge);
	return tap_set_up(t, e);
}

int netdev_bridge_open(struct netdev **n, const char *bridge, unsigned int pairs, struct err *e)
{
	struct tap *t;
	int rc;

	*n = NULL;
	if ((rc = tap_check_pairs(pairs, e)) < 0)
		return rc;
	t = tap_new(pairs, "tap");
	if (!t)
		return err_set(e, -ENOMEM, "out of memory for a tap");
	rc = bridge_open(t, bridge, e);
	if (rc < 0) {
		netdev_close(&t->dev);
		return rc;
	}
	*n = &t->dev;
	return 0;
}
