/*
 * virtio-net (virtio 1.2, 5.1): receive, transmit and control queues over a network back end
 * (devices/net/netdev.h) or the kernel's vhost-net. One iothread for each pair of queues.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_NET_H
#define TRELLIS_DEVICES_VIRTIO_NET_H

#include "devices/net/netdev.h"
#include "devices/virtio/virtio.h"
#include "vmm/base/throttle.h"

struct virtio_net;

enum virtio_net_vhost { VHOST_OFF, VHOST_ON, VHOST_TRY };

struct virtio_net_options {
	const char *name;          /* borrowed for the device's life: "net0" */
	struct netdev *netdev;     /* borrowed for the device's life */
	uint8_t mac[6];
	unsigned int pairs;        /* 1 to NETDEV_MAX_PAIRS, at most netdev->max_pairs */
	uint16_t queue_size;       /* a power of two, 2 to VIRTQ_MAX_SIZE */
	uint32_t mtu;              /* 0: do not offer VIRTIO_NET_F_MTU */
	int vhost;                 /* enum virtio_net_vhost */
	struct throttle_limits rate_in, rate_out; /* to and from the guest */
};

struct virtio_net_stats {
	uint64_t rx_frames, rx_bytes, rx_dropped, tx_frames, tx_bytes, tx_dropped;
	uint64_t in_throttled_ns, out_throttled_ns;
};

/*
 * Would virtio_net_new() take these options? Nothing is made. o->netdev may be what netdev_tap_check() and its like
 * filled in. Returns 0, or a negative errno with the same sentence.
 */
MUST_CHECK int virtio_net_check(const struct virtio_net_options *o, struct err *e);

/* As virtio_blk_new() and its companions. */
MUST_CHECK int virtio_net_new(struct virtio_net **n, const struct virtio_net_options *o, const struct gmem *mem,
			      struct err *e);
void virtio_net_free(struct virtio_net *n);
struct virtio_dev *virtio_net_dev(struct virtio_net *n);
void virtio_net_get_stats(struct virtio_net *n, struct virtio_net_stats *s);

/* Tell the guest that its link is up or down (as a cable is pulled). Any thread. */
void virtio_net_set_link(struct virtio_net *n, bool up);

/* Ask the guest to announce itself on its network, after a migration (5.1.6.5.4). Any thread. */
void virtio_net_announce(struct virtio_net *n);

/* "tap tap0, vhost" and the like, for messages; what a user asked with vhost=try and got. */
bool virtio_net_uses_vhost(const struct virtio_net *n);

#endif
