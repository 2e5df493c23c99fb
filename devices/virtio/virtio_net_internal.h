/*
 * What the files of virtio-net share: the device, a pair of queues, the receive filter.
 *
 *   virtio_net_new.c   from options to a device, and what the machine asks of it
 *   virtio_net.c       the device: features, start and stop, link, state
 *   virtio_net_vhost.c a pair that the kernel serves
 *   virtio_net_rx.c    frames from the back end into the driver's buffers
 *   virtio_net_tx.c    frames from the driver to the back end
 *   virtio_net_ctrl.c  what the driver asks for on the control queue, and the filter it sets
 *
 * Threads. A pair and all in it belong to the pair's iothread. What the control queue sets is read by all
 * pairs: n->lock guards it, and atomics tell the pairs that there is something new. Order of locks:
 * n->lock -> the lock of configuration space, -> the back end's; neither is held while a queue is served.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_NET_INTERNAL_H
#define TRELLIS_DEVICES_VIRTIO_NET_INTERNAL_H

#include <linux/virtio_net.h>
#include <pthread.h>
#include <stdatomic.h>

#include "devices/net/vhost.h"
#include "devices/virtio/virtio_net.h"

/* virtio 1.2, 5.1.3 and 5.1.6; younger than the kernel headers of Debian 12. */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
	NET_HDR = sizeof(struct virtio_net_hdr_v1),
	NET_MIN_FRAME = 14,  /* an Ethernet header */
	NET_BATCH = 256,     /* frames of one queue before the loop looks at the others */
	NET_FLUSH = 32,      /* frames before the driver sees them */
	NET_CTRL_BATCH = 64, /* commands, the same */
	NET_IOV = 1024,      /* segments that the kernel takes at once, IOV_MAX */
	NET_MAX_MACS = 64,   /* addresses of each kind that the filter can hold */
	NET_MAX_VLANS = 4096,
	NET_BOUNCE = NETDEV_MAX_FRAME + 1, /* one more, to see that a frame is too long */
	NET_SHORT_WAIT_NS = 20000000,      /* how long a frame waits for the rest of its buffers */
};

_Static_assert(NET_HDR == 12 && NETDEV_VNET_HDR == 12,
	       "virtio 1.2, 5.1.6: the header has num_buffers always");

#define BIT(name) VIRTIO_BIT(VIRTIO_NET_F_##name)

#define NET_GUEST_OFFLOADS                                                                                   \
	(BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN) | BIT(GUEST_UFO) |             \
	 BIT(GUEST_USO4) | BIT(GUEST_USO6))
#define NET_GUEST_LARGE                                                                                      \
	(BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_UFO) | BIT(GUEST_USO4) | BIT(GUEST_USO6))
#define NET_HOST_OFFLOADS                                                                                    \
	(BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) | BIT(HOST_UFO) | BIT(HOST_USO))

struct net_macs {
	uint8_t mac[NET_MAX_MACS][6];
	unsigned int nr;
	bool overflow; /* the driver wanted more: all of this kind pass */
};

/* Which frames the driver wants to see (5.1.6.5.1 to 5.1.6.5.3). */
struct net_filter {
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	bool vlan_all; /* CTRL_VLAN was not negotiated: no VLAN is filtered */
	uint8_t mac[6];
	struct net_macs uni, multi;
	uint8_t vlans[NET_MAX_VLANS / 8];
};

/* Why the receive queue does not ask the back end for frames. */
enum net_rx_wait {
	NET_RX_GO,
	NET_RX_STARVED,   /* the driver has no buffer for us; a kick ends it */
	NET_RX_SHORT,     /* too few for the frame in hand; a kick or the timer ends it */
	NET_RX_THROTTLED, /* the timer ends it */
	NET_RX_GONE,      /* the back end failed; a kick or its link ends it */
};

struct net_rx {
	bool running;
	enum net_rx_wait wait;
	struct chain **chain; /* owned array; popped and not used yet, the oldest first */
	unsigned int nr;
	size_t bytes;  /* what they can hold in all */
	size_t held;   /* a frame in hand, with its header; 0: none */
	size_t direct; /* so much of it is in the chains (or their part for the header), the rest in bounce */
	bool paid, asked; /* the frame in hand has its tokens; was told to wait for them */
	struct virtio_net_hdr_v1 hdr;
	uint8_t *bounce; /* owned, NET_BOUNCE; costs nothing until a frame does not fit */
	struct loop_timer timer;
};

struct net_tx {
	bool running;
	bool blocked;          /* the back end is full: it will say when not */
	bool throttled, asked; /* the timer goes on; the frame in front was told to wait */
	size_t paid;           /* bytes that the frame in front has tokens for, which the back end refused */
	uint8_t *bounce;       /* owned, NET_BOUNCE; for frames in too many pieces */
	struct loop_timer timer;
};

struct net_call {
	int fd; /* owned eventfd, -1; vhost signals it where there is no interrupt of the machine's */
	bool polled;
	struct loop_source source;
	struct net_pair *pair;
	unsigned int q;
};

struct net_stats { /* written by the pair's thread alone */
	atomic_ullong rx_frames, rx_bytes, rx_dropped, tx_frames, tx_bytes, tx_dropped;
};

struct net_pair {
	struct virtio_net *n;
	unsigned int nr;
	struct iothread thread;
	bool thread_made;
	bool attached;            /* the back end's queue waits on our loop */
	bool wants_in, wants_out; /* what it was told last */
	struct net_rx rx;
	struct net_tx tx;
	struct net_filter filter; /* a copy of the device's */
	unsigned int filter_generation;
	struct net_stats stats;
	struct vhost_net vhost;
	bool vhost_running;
	unsigned int vhost_queues; /* how many of the two have started */
	struct net_call call[2];
	struct iovec iov[NET_IOV]; /* of the frame that is being moved */
};

struct virtio_net {
	struct virtio_dev dev;
	struct netdev *netdev; /* borrowed */
	struct net_pair *pair; /* owned, nr_pairs */
	unsigned int nr_pairs;
	uint8_t default_mac[6];
	uint32_t mtu;
	bool vhost;              /* constant after virtio_net_new() */
	unsigned int ctrl_q;     /* constant from start to stop: depends on MQ */
	struct throttle in, out; /* to and from the guest; shared by all pairs */

	pthread_mutex_t lock;
	struct net_filter filter;  /* guarded by lock, as is all to the next comment */
	uint64_t offloads;         /* of NET_GUEST_OFFLOADS, in force */
	bool offloads_chosen;      /* the driver said so, later than with its features */
	bool link_user, link_back; /* virtio_net_set_link(); the back end */
	bool announce;             /* the driver was asked and has not acknowledged */
	bool can_announce;         /* GUEST_ANNOUNCE negotiated, driver running */

	/* told to the pairs; written under lock */
	atomic_uint filter_generation;
	atomic_uint active_pairs;
	atomic_uint frame_max; /* bytes of the largest frame to expect, without the virtio header */
	atomic_bool link;
	atomic_bool warned_gone; /* the back end failed; said once a reset */
};

static inline struct virtio_net *net_of(struct virtio_dev *d)
{
	return (struct virtio_net *)(void *)((char *)d - offsetof(struct virtio_net, dev));
}

static inline struct virtq *net_rx_vq(struct net_pair *p)
{
	return &p->n->dev.queue[2 * p->nr].vq;
}

static inline struct virtq *net_tx_vq(struct net_pair *p)
{
	return &p->n->dev.queue[2 * p->nr + 1].vq;
}

/* A counter with one writer. */
static inline void net_count(atomic_ullong *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* ---- virtio_net.c ---- */

extern const struct virtio_ops net_ops;

/* As after power-on: queues are stopped. */
void net_reset(struct virtio_dev *d);

/* features without those that need others which are not there (5.1.3.1). */
uint64_t net_sound_features(uint64_t features);

/* Have queue q served again soon, on its thread, after the others had their turn. Any thread. */
void net_poke(struct virtio_net *n, unsigned int q);

/* Tell the back end what the pair is waiting for. The pair's thread. */
void net_update_want(struct net_pair *p);

/* The status field of configuration space, from what is known; the driver hears of a change. Under n->lock. */
void net_update_status_locked(struct virtio_net *n, bool tell);

/* Put offloads and pairs in force at the back end. Under n->lock. Return 0 or a negative errno. */
MUST_CHECK int net_set_offloads_locked(struct virtio_net *n, uint64_t offloads);
MUST_CHECK int net_set_pairs_locked(struct virtio_net *n, unsigned int pairs);

/* ---- virtio_net_vhost.c ---- */

/* Use the kernel as the user asked: not at all, by all means, or if it can be. Returns 0, or fails with a sentence. */
MUST_CHECK int net_vhost_choose(struct virtio_net *n, const struct virtio_net_options *o,
				const struct gmem *mem, struct err *e);
void net_vhost_close(struct virtio_net *n);
/* For vhost=on: could the kernel serve this one? Returns 0, or as net_vhost_choose(). */
MUST_CHECK int net_vhost_check(const struct virtio_net_options *o, struct err *e);

/* Queue q of the pair starts or stops: the kernel works while both are there. The pair's thread. */
MUST_CHECK int net_vhost_queue_start(struct net_pair *p, unsigned int q);
void net_vhost_queue_stop(struct net_pair *p);

/* ---- virtio_net_rx.c; all on the pair's thread ---- */

void net_rx_start(struct net_pair *p);

/* Every buffer goes back to the ring as if it had not been taken; a frame in hand is lost. */
void net_rx_stop(struct net_pair *p);

/* The driver kicked, the link came back, or the pair is in use again: try. */
void net_rx_serve(struct net_pair *p);

/* Move frames until there is none, no buffer, or it is the others' turn. */
void net_rx_run(struct net_pair *p);

/* The timer's: net_pair. */
void net_rx_expired(void *ctx);

/* ---- virtio_net_tx.c; the same ---- */

void net_tx_start(struct net_pair *p);
void net_tx_stop(struct net_pair *p);
void net_tx_run(struct net_pair *p);
void net_tx_expired(void *ctx);

/* ---- virtio_net_ctrl.c ---- */

/* Execute what is in the control queue. Its thread. */
void net_ctrl_serve(struct virtio_net *n, unsigned int q);

/* What a driver that said nothing yet gets: everything, as QEMU has it. */
void net_filter_reset(struct net_filter *f, const uint8_t mac[6]);

/* Does the driver want a frame that begins with these bytes? len: at most 18 are looked at. */
bool net_filter_passes(const struct net_filter *f, const uint8_t *frame, size_t len);

void net_filter_save(const struct net_filter *f, struct buf *b);
MUST_CHECK int net_filter_load(struct net_filter *f, struct state_reader *r, struct err *e);

#endif
