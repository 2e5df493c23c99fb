/*
 * What tap.c, tap_open.c and tap_check.c share: an open tap, one descriptor for each queue, and why there is none.
 */
#ifndef TRELLIS_DEVICES_TAP_INTERNAL_H
#define TRELLIS_DEVICES_TAP_INTERNAL_H

#include "devices/net/netdev.h"

struct tap_queue {
	int fd;            /* owned, -1 */
	bool detached;     /* of the interface, by IFF_DETACH_QUEUE */
	struct loop *loop; /* borrowed; this and the rest belong to the loop's thread */
	struct loop_source source;
	uint32_t events; /* 0: not in the loop */
	void (*ready)(void *ctx, bool in, bool out);
	void *ctx;
};

struct tap {
	struct netdev dev;
	unsigned int nr_queues;
	struct tap_queue queue[NETDEV_MAX_PAIRS];
};

/* A tap without descriptors yet; NULL: out of memory. Ends with dev.ops->close(), which closes those it has. */
struct tap *tap_new(unsigned int pairs, const char *name);

/* All descriptors are there and dev.vnet_hdr is known: agree on headers and offloads. 0, or fails with a sentence. */
MUST_CHECK int tap_set_up(struct tap *t, struct err *e);

/*
 * tap_check.c: what tap_open.c and the checks ask alike, without changing anything. All return 0 or a negative errno
 * with a sentence.
 */
MUST_CHECK int tap_check_pairs(unsigned int pairs, struct err *e);
MUST_CHECK int tap_find(const char *ifname, unsigned int pairs,
			struct err *e); /* an interface of that name */
MUST_CHECK int tap_find_bridge(const char *bridge, struct err *e);

/* Are these open taps, all of one interface? n receives its name, and whether there are virtio headers. */
MUST_CHECK int tap_check_fds(struct netdev *n, const int *fd, unsigned int pairs, struct err *e);

/* Open /dev/net/tun, which makes nothing yet. Returns a descriptor, or a negative errno with a sentence. */
MUST_CHECK int tap_open_tun(struct err *e);

/* A macvtap has a file of its own, /dev/tap and its index, which every queue opens (linux/if_macvlan.h). */
enum { TAP_FILE_BYTES = 32 };
bool tap_is_macvtap(const char *ifname, char path[TAP_FILE_BYTES]);

/*
 * Why the kernel does not give us queue q of so many. one_queue: because more than one are asked of one that has one.
 * Returns rc, a negative errno, as those below.
 */
int tap_refuse(int rc, const char *ifname, unsigned int q, unsigned int pairs, bool one_queue, struct err *e);
int tap_refuse_macvtap(int rc, const char *ifname, const char *path, struct err *e);
int tap_refuse_bridge_rights(const char *bridge, struct err *e);
int tap_refuse_no_bridge(const char *bridge, struct err *e);

#endif
