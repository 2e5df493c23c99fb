/*
 * What tap.c and tap_open.c share: an open tap, one descriptor for each queue.
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

#endif
