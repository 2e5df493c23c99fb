/*
 * Where a network interface leads: a tap, a bridge, passt, a socket. Frames go in and come out; nothing
 * here knows virtqueues. Each queue pair belongs to one I/O thread, which alone calls recv, send, attach,
 * detach and want for that queue; the rest is for set-up and the main or a vCPU thread, one at a time.
 */
#ifndef TRELLIS_DEVICES_NETDEV_H
#define TRELLIS_DEVICES_NETDEV_H

#include <linux/virtio_net.h>
#include <sys/uio.h>

#include "vmm/base/base.h"
#include "vmm/base/err.h"
#include "vmm/base/loop.h"

enum {
	NETDEV_MAX_PAIRS = 32,
	NETDEV_VNET_HDR = sizeof(struct virtio_net_hdr_mrg_rxbuf), /* 12 */
	NETDEV_MAX_FRAME = 65535 + 14 + 4, /* the largest packet with its Ethernet and VLAN header */
};

struct netdev;

struct netdev_ops {
	/*
	 * Take one frame: with vnet_hdr, NETDEV_VNET_HDR bytes of header first. A frame longer than the memory
	 * is cut and lost. Returns its length, header included; -EAGAIN: none; other: the back end is gone.
	 */
	int (*recv)(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr);
	/*
	 * Hand over one frame, header first as above. Never blocks. Returns 0: taken; -EAGAIN: later (want out);
	 * other: dropped.
	 */
	int (*send)(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr);
	/* Frames handed over may wait for this, the end of a batch. May be NULL. */
	void (*flush)(struct netdev *n, unsigned int q);

	/* Begin and end waiting on loop; want: call ready() when a frame can be taken, handed over. */
	int (*attach)(struct netdev *n, unsigned int q, struct loop *loop,
		      void (*ready)(void *ctx, bool in, bool out), void *ctx);
	void (*detach)(struct netdev *n, unsigned int q);
	void (*want)(struct netdev *n, unsigned int q, bool in, bool out);

	/* What frames to the guest may look like: a set of VIRTIO_NET_F_GUEST_* bits. NULL: none can be had. */
	int (*set_offloads)(struct netdev *n, uint64_t guest_features);
	/* How many pairs are in use, from 1 up. NULL: one only. */
	int (*set_pairs)(struct netdev *n, unsigned int pairs);
	/* For vhost: the descriptor of queue q, -1: none. NULL as well. */
	int (*fd)(struct netdev *n, unsigned int q);
	void (*close)(struct netdev *n);
};

struct netdev {
	const struct netdev_ops *ops;
	char name[64];             /* "tap0", "passt", for messages */
	unsigned int max_pairs;
	bool vnet_hdr;             /* frames carry a header: offloads are possible */
	uint64_t features;         /* of VIRTIO_NET_F_CSUM, HOST_*, GUEST_*, what it can do */
	uint32_t mtu;              /* 0: not known */
	char mtu_of[16];           /* the interface whose MTU that is; "": name */
	void (*link)(void *ctx, bool up); /* set by the device: the other side came or went; on queue 0's thread */
	void *link_ctx;
};

static inline void netdev_close(struct netdev *n)
{
	if (n)
		n->ops->close(n);
}

/*
 * tap.c. Open a tap (or macvtap) that an administrator made, or take the descriptors given.
 * ifname  of an existing interface; NULL: use fd
 * fd      descriptors, comma and colon separated numbers as QEMU's fds=; owned afterwards
 * pairs   queues; more than one needs a multi_queue tap
 * Returns 0; a negative errno with a sentence that says which command an administrator runs.
 */
MUST_CHECK int netdev_tap_open(struct netdev **n, const char *ifname, const int *fd, unsigned int pairs,
			       struct err *e);

/*
 * tap.c. Make a tap of our own and put it on a bridge; needs CAP_NET_ADMIN, or a sentence with the ip commands
 * that make one. The tap goes away with us.
 */
MUST_CHECK int netdev_bridge_open(struct netdev **n, const char *bridge, unsigned int pairs, struct err *e);

/*
 * socket.c. A Unix socket at path: connect when somebody listens there, listen otherwise (again after the
 * other side has gone). datagram (datagram.c): one frame a datagram, without the length; the first to come has
 * path, the second path.peer, and each sends to the other's.
 */
MUST_CHECK int netdev_socket_open(struct netdev **n, const char *path, bool datagram, struct err *e);

/*
 * passt.c. Start passt on a socket pair; it ends when we do.
 * forwards  "tcp:2222:22", "udp:[ADDR/]HOST:GUEST", checked here
 * Returns 0; a sentence that names the package when passt is not installed.
 */
MUST_CHECK int netdev_passt_open(struct netdev **n, const char *const *forwards, unsigned int nr_forwards,
				 unsigned int mtu, struct err *e);

/*
 * passt.c. Look for the program where posix_spawnp(3) does, in PATH.
 * root  put before the directories that begin with a slash; "" but in tests
 * file  receives its path, which begins with root; cut off where it does not fit
 * Returns 0; -ENOENT; -EACCES: there is one that this user may not run.
 */
MUST_CHECK int netdev_passt_find(const char *root, char *file, size_t len);

/*
 * tap_check.c, socket.c, passt.c. Would the function of that name without "check" succeed now? The sentences are the
 * same, and nothing is made, taken, connected or changed; what only trying can tell is not told.
 * n  receives what is known beforehand: name, max_pairs, vnet_hdr, mtu. No ops; it needs no closing
 */
MUST_CHECK int netdev_tap_check(struct netdev *n, const char *ifname, const int *fd, unsigned int pairs,
				struct err *e);
MUST_CHECK int netdev_bridge_check(struct netdev *n, const char *bridge, unsigned int pairs, struct err *e);
MUST_CHECK int netdev_socket_check(struct netdev *n, const char *path, bool datagram, struct err *e);
MUST_CHECK int netdev_passt_check(struct netdev *n, const char *const *forwards, unsigned int nr_forwards,
				  unsigned int mtu, struct err *e);

#endif
