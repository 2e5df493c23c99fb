/*
 * What virtio_balloon.c (the device, and its configuration) and virtio_balloon_queues.c (what its queues mean) share.
 * Not for others.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_BALLOON_INTERNAL_H
#define TRELLIS_DEVICES_VIRTIO_BALLOON_INTERNAL_H

#include "devices/virtio/balloon_pages.h"
#include "devices/virtio/virtio_balloon.h"

#define BALLOON_CONFIG_AT(field) ((unsigned int)offsetof(struct virtio_balloon_config, field))

struct virtio_balloon {
	struct virtio_dev dev;         /* first: its address is ours */
	struct iothread *thread;       /* borrowed */
	uint64_t ram_bytes;            /* constant */
	uint64_t stats_interval_ns;    /* constant */
	struct loop_timer stats_timer; /* it is time to ask; any thread arms it */

	/* thread only */
	struct balloon_pages pages;
	bool stats_on;                 /* the statistics queue runs */
	struct chain *held;            /* the driver's buffer for statistics; given back, it asks for news */
	struct loop_timer again_timer; /* for pages that the host did not have */
	uint64_t again_at_ns;          /* when it expires; 0: it is not armed */
	bool deflate_waits;            /* what is next in the deflate queue needs such a page */
	bool restoring;                /* the guest started afresh, and not all its pages are there yet */
	bool told_shortage;            /* and not yet that it is over */
	uint64_t warned_pool_ns;       /* when that was, or 0 */
	bool warned_guest, warned_host, warned_silent;

	pthread_mutex_t lock;
	struct virtio_balloon_stats stats; /* guarded by lock */
};

static inline struct virtio_balloon *balloon_of(struct virtio_dev *d)
{
	return (struct virtio_balloon *)d;
}

/* Of struct virtio_ops. */
void balloon_serve(struct virtio_dev *d, unsigned int q);
int balloon_queue_start(struct virtio_dev *d, unsigned int q);
void balloon_queue_stop(struct virtio_dev *d, unsigned int q);

/* The timers: it is time to ask for statistics; to try again to have pages. ctx is the balloon, as below. */
void balloon_stats_due(void *ctx);
void balloon_try_again(void *ctx);

/* The driver is gone: nothing is in the balloon any more, and what was given back is fetched. The thread. */
void balloon_forget(void *ctx);

#endif
