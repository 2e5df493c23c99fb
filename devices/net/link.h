/*
 * What the kernel tells of a network interface, and whether we may administer interfaces. Nothing is changed.
 */
#ifndef TRELLIS_DEVICES_NET_LINK_H
#define TRELLIS_DEVICES_NET_LINK_H

#include "vmm/base/base.h"

#define NET_LINK_ANYBODY UINT32_MAX

struct net_link {
	char kind[16]; /* "tun", "macvtap", "bridge" ...; "" for hardware and lo */
	uint32_t mtu;
	bool carrier;   /* a tap's: somebody has a queue of it */
	bool tun_known; /* of kind tun, and the kernel says what follows (Linux 4.17) */
	bool tap;       /* with Ethernet */
	bool multi_queue;
	uint32_t owner, group; /* who may use it; NET_LINK_ANYBODY */
};

/*
 * Ask (rtnetlink(7)) for the interface of that name in this network namespace.
 * Returns 0; -ENODEV when there is none; a negative errno when the kernel cannot be asked.
 */
MUST_CHECK int net_link_read(struct net_link *l, const char *name);

/* Have we CAP_NET_ADMIN in the user namespace that this network namespace belongs to? */
bool net_link_may_administer(void);

/* May we have a queue of this tap (drivers/net/tun.c, v6.1, tun_not_capable())? */
bool net_link_may_use(const struct net_link *l);

#endif
