/*
 * How taps come to us: by the name of one that an administrator made, as open descriptors, or made here for a
 * bridge. Who may use a tap is the kernel's to decide; what is said here tells an administrator which command
 * mends it.
 */
#include "devices/net/tap_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/log.h"

#define MACVTAP_FILE "/dev/tap%u"

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
 * spread over all of them; but only a tap that is open has a carrier (drivers/net/tun.c, v6.1). When it is down, that
 * cannot be seen.
 */
static bool is_taken(const char *name)
{
	char file[32];
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	struct ifreq ifr = { .ifr_data = (char *)&link };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool taken;

	if (fd < 0)
		return false;
	snprintf(file, sizeof(file), MACVTAP_FILE, if_nametoindex(name)); /* one has the carrier of what is below */
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	taken = access(file, F_OK) < 0 && ioctl(fd, SIOCETHTOOL, &ifr) == 0 && link.data;
	close(fd);
	return taken;
}

static void warn_if_down(const char *name)
{
	struct ifreq ifr;

	if (interface_get(name, SIOCGIFFLAGS, &ifr) == 0 && !(ifr.ifr_flags & IFF_UP))
		log_warn("%s is down, and no frame passes until an administrator runs: ip link set dev %s up",
			 name, name);
}

/* For the commands in what is said below. */
static const char *multi(unsigned int pairs)
{
	return pairs > 1 ? " multi_queue" : "";
}

static int open_tun(struct err *e)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), rc = -errno;

	if (fd >= 0)
		return fd;
	if (rc == -ENOENT || rc == -ENODEV || rc == -ENXIO)
		return err_sys(e, rc, "taps need /dev/net/tun; as an administrator run: modprobe tun");
	if (rc == -EACCES || rc == -EPERM)
		return err_sys(
			e, rc,
			"taps need /dev/net/tun, which this user may not open; an administrator can run: "
			"chmod 0666 /dev/net/tun (taps have owners of their own)");
	return err_sys(e, rc, "cannot open /dev/net/tun");
}

/* A macvtap has a file of its own, /dev/tap and its index, which every queue opens (linux/if_macvlan.h). */
static int open_queue(const char *ifname, struct err *e)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), MACVTAP_FILE, if_nametoindex(ifname));
	if (access(path, F_OK) < 0)
		return open_tun(e);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno,
			       "cannot open %s of the macvtap %s; an administrator can run: chown $USER %s",
			       path, ifname, path);
	return fd;
}

static int set_iff(int fd, const char *ifname, bool many)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	ifr.ifr_flags = (short)(TAP_FLAGS | (many ? IFF_MULTI_QUEUE : 0));
	return ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
}

/* Why the kernel would not give us queue q of the tap. */
static int refused(int fd, int rc, const char *ifname, unsigned int q, unsigned int pairs, struct err *e)
{
	int other;

	switch (rc) {
	case -EPERM:
		return err_set(e, rc,
			       "%s belongs to another user; as an administrator make it anew: ip link del "
			       "dev %s; ip tuntap add dev %s mode tap user $USER%s",
			       ifname, ifname, ifname, multi(pairs));
	case -EBUSY:
		return err_set(e, rc, "%s is in use by another program; give each guest a tap of its own",
			       ifname);
	case -E2BIG:
		return err_set(e, rc, "%s gives no more than %u queues; ask for queues=%u", ifname, q, q);
	case -EINVAL:
		other = pairs > 1 ? set_iff(fd, ifname, false) : rc;
		if (other == 0 || other == -EBUSY)
			return err_set(e, rc,
				       "%s has one queue, and %u are asked for; as an administrator make "
				       "it anew: ip link del dev %s; ip tuntap add dev %s mode tap user "
				       "$USER multi_queue",
				       ifname, pairs, ifname, ifname);
		return err_set(e, rc,
			       "%s is no tap; as an administrator make one under another name: ip tuntap "
			       "add dev NAME mode tap user $USER%s",
			       ifname, multi(pairs));
	default:
		return err_sys(e, rc, "cannot use the tap %s", ifname);
	}
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

	/* The kernel would make a tap of that name, or of one that it invents. */
	if (strlen(ifname) >= IFNAMSIZ || strchr(ifname, '%') || !if_nametoindex(ifname))
		return err_set(e, -ENODEV,
			       "there is no network interface %s; as an administrator make it: ip tuntap "
			       "add dev %.15s mode tap user $USER%s && ip link set dev %.15s up",
			       ifname, ifname, multi(t->nr_queues), ifname);
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		int fd = open_queue(ifname, e);

		if (fd < 0)
			return fd;
		t->queue[i].fd = fd;
		rc = join(fd, ifname, t->nr_queues);
		if (rc == 0 && i == 0 && taken && ioctl(fd, TUNGETIFF, &ifr) == 0 && ifr.ifr_flags & IFF_MULTI_QUEUE)
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
 * What the opener of a descriptor did not ask for cannot be had later: look, and take it as it is. IFF_NO_PI is
 * its word: TUNGETIFF uses that bit to say IFF_NOFILTER.
 */
static int check_fd(struct tap *t, unsigned int i, struct err *e)
{
	int fd = t->queue[i].fd, flags;
	struct ifreq ifr = { 0 };

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_set(e, -EINVAL, "file descriptor %d is %s; expected one of an open tap", fd,
			       errno == EBADF ? "not open" : "no tap");
	ifr.ifr_name[IFNAMSIZ - 1] = 0;
	if (!(ifr.ifr_flags & IFF_TAP))
		return err_set(e, -EINVAL,
			       "file descriptor %d (%s) is a tun, without Ethernet; open it with IFF_TAP "
			       "and IFF_NO_PI",
			       fd, ifr.ifr_name);
	if (i && (strcmp(ifr.ifr_name, t->dev.name) || t->dev.vnet_hdr != !!(ifr.ifr_flags & IFF_VNET_HDR)))
		return err_set(e, -EINVAL,
			       "file descriptors %d and %d belong to different taps (%s, %s), or one lacks "
			       "IFF_VNET_HDR",
			       t->queue[0].fd, fd, t->dev.name, ifr.ifr_name);
	if (i == 0) {
		snprintf(t->dev.name, sizeof(t->dev.name), "%s", ifr.ifr_name);
		t->dev.vnet_hdr = ifr.ifr_flags & IFF_VNET_HDR;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, -errno, "cannot use file descriptor %d", fd);
	return 0;
}

/*
 * The interface's MTU is not looked up: the name may be one of another network namespace.
 */
static int take_fds(struct tap *t, struct err *e)
{
	int rc = 0;

	for (unsigned int i = 0; i < t->nr_queues && rc == 0; i++) {
		for (unsigned int k = 0; k < i; k++)
			if (t->queue[k].fd == t->queue[i].fd)
				return err_set(e, -EINVAL,
					       "file descriptor %d is given twice; each queue has its own",
					       t->queue[i].fd);
		rc = check_fd(t, i, e);
	}
	return rc;
}

int netdev_tap_open(struct netdev **n, const char *ifname, const int *fd, unsigned int pairs, struct err *e)
{
	struct tap *t;
	int rc;

	*n = NULL;
	if (!pairs || pairs > NETDEV_MAX_PAIRS)
		return err_set(e, -EINVAL, "%u queues are asked for; a tap has 1 to %d", pairs,
			       NETDEV_MAX_PAIRS);
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

static int no_bridge_rights(int rc, const char *bridge, struct err *e)
{
	return err_sys(e, rc,
		       "putting a tap on %s takes an administrator (CAP_NET_ADMIN), who can make one for "
		       "--net tap,ifname=tap0: ip tuntap add dev tap0 mode tap user $USER && ip link set "
		       "dev tap0 master %s up",
		       bridge, bridge);
}

static int make_queues(struct tap *t, char name[IFNAMSIZ], const char *bridge, struct err *e)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "trellis%%d"); /* the kernel puts a number */
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		int fd = open_tun(e);

		if (fd < 0)
			return fd;
		t->queue[i].fd = fd;
		ifr.ifr_flags = (short)(TAP_FLAGS | (t->nr_queues > 1 ? IFF_MULTI_QUEUE : 0));
		if (ioctl(fd, TUNSETIFF, &ifr) < 0)
			return errno == EPERM ? no_bridge_rights(-EPERM, bridge, e)
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
			return no_bridge_rights(-EPERM, bridge, e);
		if (errno == EOPNOTSUPP)
			return err_set(e, -EOPNOTSUPP, "%s is no bridge; --net bridge= takes one, e.g. br0",
				       bridge);
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

	if (strlen(bridge) >= IFNAMSIZ || !if_nametoindex(bridge))
		return err_set(e, -ENODEV,
			       "there is no bridge %s; as an administrator make it: ip link add dev %.15s "
			       "type bridge && ip link set dev %.15s up",
			       bridge, bridge, bridge);
	rc = make_queues(t, name, bridge, e);
	if (rc < 0)
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
	warn_if_down(bridge);
	return tap_set_up(t, e);
}

int netdev_bridge_open(struct netdev **n, const char *bridge, unsigned int pairs, struct err *e)
{
	struct tap *t;
	int rc;

	*n = NULL;
	if (!pairs || pairs > NETDEV_MAX_PAIRS)
		return err_set(e, -EINVAL, "%u queues are asked for; a tap has 1 to %d", pairs,
			       NETDEV_MAX_PAIRS);
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
