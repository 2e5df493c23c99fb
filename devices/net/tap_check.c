/*
 * Whether a tap can be had, asked without taking it, and every sentence about taps and bridges that cannot. Which of
 * them holds is in the end the kernel's to say: what it does not tell beforehand is left to the opening.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/net/link.h"
#include "devices/net/tap_internal.h"

/* ---- the sentences ---- */

/* For the commands in what is said below. */
static const char *multi(unsigned int pairs)
{
	return pairs > 1 ? " multi_queue" : "";
}

int tap_refuse(int rc, const char *ifname, unsigned int q, unsigned int pairs, bool one_queue, struct err *e)
{
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
		if (one_queue)
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

int tap_refuse_macvtap(int rc, const char *ifname, const char *path, struct err *e)
{
	return err_sys(e, rc, "cannot open %s of the macvtap %s; an administrator can run: chown $USER %s",
		       path, ifname, path);
}

int tap_refuse_bridge_rights(const char *bridge, struct err *e)
{
	return err_sys(e, -EPERM,
		       "putting a tap on %s takes an administrator (CAP_NET_ADMIN), who can make one for "
		       "--net tap,ifname=tap0: ip tuntap add dev tap0 mode tap user $USER && ip link set "
		       "dev tap0 master %s up",
		       bridge, bridge);
}

int tap_refuse_no_bridge(const char *bridge, struct err *e)
{
	return err_set(e, -EOPNOTSUPP, "%s is no bridge; --net bridge= takes one, e.g. br0", bridge);
}

/* ---- asked before opening, too ---- */

int tap_check_pairs(unsigned int pairs, struct err *e)
{
	if (!pairs || pairs > NETDEV_MAX_PAIRS)
		return err_set(e, -EINVAL, "%u queues are asked for; a tap has 1 to %d", pairs,
			       NETDEV_MAX_PAIRS);
	return 0;
}

int tap_find(const char *ifname, unsigned int pairs, struct err *e)
{
	/* The kernel would make a tap of that name, or of one that it invents. */
	if (strlen(ifname) < IFNAMSIZ && !strchr(ifname, '%') && if_nametoindex(ifname))
		return 0;
	return err_set(e, -ENODEV,
		       "there is no network interface %s; as an administrator make it: ip tuntap "
		       "add dev %.15s mode tap user $USER%s && ip link set dev %.15s up",
		       ifname, ifname, multi(pairs), ifname);
}

int tap_find_bridge(const char *bridge, struct err *e)
{
	if (strlen(bridge) < IFNAMSIZ && if_nametoindex(bridge))
		return 0;
	return err_set(e, -ENODEV,
		       "there is no bridge %s; as an administrator make it: ip link add dev %.15s "
		       "type bridge && ip link set dev %.15s up",
		       bridge, bridge, bridge);
}

int tap_open_tun(struct err *e)
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

bool tap_is_macvtap(const char *ifname, char path[TAP_FILE_BYTES])
{
	snprintf(path, TAP_FILE_BYTES, "/dev/tap%u", if_nametoindex(ifname));
	return access(path, F_OK) == 0;
}

/* IFF_NO_PI is the opener's word: TUNGETIFF uses that bit to say IFF_NOFILTER. */
static int check_fd(struct netdev *n, const int *fds, unsigned int i, struct err *e)
{
	struct ifreq ifr = { 0 };
	int fd = fds[i];

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_set(e, -EINVAL, "file descriptor %d is %s; expected one of an open tap", fd,
			       errno == EBADF ? "not open" : "no tap");
	ifr.ifr_name[IFNAMSIZ - 1] = 0;
	if (!(ifr.ifr_flags & IFF_TAP))
		return err_set(e, -EINVAL,
			       "file descriptor %d (%s) is a tun, without Ethernet; open it with IFF_TAP "
			       "and IFF_NO_PI",
			       fd, ifr.ifr_name);
	if (i && (strcmp(ifr.ifr_name, n->name) || n->vnet_hdr != !!(ifr.ifr_flags & IFF_VNET_HDR)))
		return err_set(e, -EINVAL,
			       "file descriptors %d and %d belong to different taps (%s, %s), or one lacks "
			       "IFF_VNET_HDR",
			       fds[0], fd, n->name, ifr.ifr_name);
	if (i == 0) {
		snprintf(n->name, sizeof(n->name), "%s", ifr.ifr_name);
		n->vnet_hdr = ifr.ifr_flags & IFF_VNET_HDR;
	}
	return 0;
}

int tap_check_fds(struct netdev *n, const int *fd, unsigned int pairs, struct err *e)
{
	int rc = 0;

	for (unsigned int i = 0; i < pairs && rc == 0; i++) {
		for (unsigned int k = 0; k < i; k++)
			if (fd[k] == fd[i])
				return err_set(e, -EINVAL,
					       "file descriptor %d is given twice; each queue has its own",
					       fd[i]);
		rc = check_fd(n, fd, i, e);
	}
	return rc;
}

/* ---- asked instead of opening ---- */

/* In the order in which the kernel looks at these things (drivers/net/tun.c, v6.1, tun_set_iff()). */
static int check_tun(struct netdev *n, const char *ifname, unsigned int pairs, struct err *e)
{
	int fd = tap_open_tun(e);
	struct net_link l;

	if (fd < 0)
		return fd;
	close(fd);
	if (net_link_read(&l, ifname) < 0)
		return 0;
	n->mtu = l.mtu;
	if (strcmp(l.kind, "tun") || (l.tun_known && !l.tap))
		return tap_refuse(-EINVAL, ifname, 0, pairs, false, e);
	if (l.tun_known && pairs > 1 && !l.multi_queue)
		return tap_refuse(-EINVAL, ifname, 0, pairs, true, e);
	if (!net_link_may_use(&l))
		return tap_refuse(-EPERM, ifname, 0, pairs, false, e);
	return l.carrier ? tap_refuse(-EBUSY, ifname, 0, pairs, false, e) : 0;
}

static int check_macvtap(struct netdev *n, const char *ifname, const char *path, struct err *e)
{
	struct net_link l;

	if (access(path, R_OK | W_OK) < 0)
		return tap_refuse_macvtap(-errno, ifname, path, e);
	if (net_link_read(&l, ifname) == 0)
		n->mtu = l.mtu;
	return 0;
}

int netdev_tap_check(struct netdev *n, const char *ifname, const int *fd, unsigned int pairs, struct err *e)
{
	char path[TAP_FILE_BYTES];
	int rc = tap_check_pairs(pairs, e);

	*n = (struct netdev){ .max_pairs = pairs, .vnet_hdr = ifname != NULL };
	snprintf(n->name, sizeof(n->name), "%s", ifname ? ifname : "tap");
	if (rc < 0)
		return rc;
	if (!ifname)
		return tap_check_fds(n, fd, pairs, e);
	if ((rc = tap_find(ifname, pairs, e)) < 0)
		return rc;
	return tap_is_macvtap(ifname, path) ? check_macvtap(n, ifname, path, e)
					    : check_tun(n, ifname, pairs, e);
}

int netdev_bridge_check(struct netdev *n, const char *bridge, unsigned int pairs, struct err *e)
{
	struct net_link l;
	int rc, fd;

	*n = (struct netdev){ .max_pairs = pairs, .vnet_hdr = true };
	snprintf(n->name, sizeof(n->name), "a tap on %s", bridge); /* it has no name yet */
	if ((rc = tap_check_pairs(pairs, e)) < 0 || (rc = tap_find_bridge(bridge, e)) < 0)
		return rc;
	if ((fd = tap_open_tun(e)) < 0)
		return fd;
	close(fd);
	if (!net_link_may_administer())
		return tap_refuse_bridge_rights(bridge, e);
	if (net_link_read(&l, bridge) < 0)
		return 0;
	n->mtu = l.mtu;
	snprintf(n->mtu_of, sizeof(n->mtu_of), "%s", bridge);
	return strcmp(l.kind, "bridge") ? tap_refuse_no_bridge(bridge, e) : 0;
}
