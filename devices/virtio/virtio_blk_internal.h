/*
 * What virtio_blk.c (the device and the life of its queues) and virtio_blk_request.c (what a request means)
 * share. Not for others.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_BLK_INTERNAL_H
#define TRELLIS_DEVICES_VIRTIO_BLK_INTERNAL_H

#include <linux/virtio_blk.h>

#include "devices/virtio/virtio_blk.h"

enum {
	BLK_MAX_SEGS = 254,              /* of data in one request; QEMU says the same with a queue of 256 */
	BLK_MAX_RANGES = 32,             /* in one discard or write-zeroes request */
	BLK_MAX_DISCARD_SECTORS = 1 << 22, /* 2 GiB in each of them */
	/* 1 MiB: a host that has to write the zeros does so before a reset of the device is over. */
	BLK_MAX_ZEROES_SECTORS = 1 << 11,
};

/* Of data in one request: what one readv(2) moves at most, so that no request keeps a reset waiting long. */
#define BLK_MAX_BYTES 0x7ffff000ull

struct blk_queue;

/* One range of a discard or write-zeroes request, checked. */
struct blk_range {
	uint64_t offset, bytes;
	bool unmap;
};

/* A chain that is being served. */
struct blk_request {
	struct block_req io; /* the first member: done() finds the request by it */
	struct blk_queue *q;
	struct chain *chain;
	uint8_t *status;          /* where the guest wants the status byte */
	struct blk_range *ranges; /* owned; NULL unless there are several */
	unsigned int nr_ranges, next_range;
	struct blk_request *next; /* in q->unfinished */
	uint64_t cost_bytes;      /* for the throttle */
	uint32_t in_bytes;        /* written to the guest when all goes well, without the status byte */
};

/* Written by the queue's thread, read by any: relaxed, and never read-modify-write. */
struct blk_counters {
	_Atomic uint64_t reads, read_bytes, writes, write_bytes, flushes, discards, errors;
};

struct blk_queue {
	struct virtio_blk *blk; /* constant; borrowed, as is vq */
	struct virtq *vq;
	struct iothread thread;

	/* the queue's thread only, and only between queue_start and queue_stop */
	struct block_queue *io;      /* owned */
	struct blk_request *req;     /* owned; by chain->nr */
	struct blk_request *waiting; /* the throttle holds it back; nothing was popped after it */
	struct blk_request
		*unfinished;          /* have ranges left that were not submitted, as the queue is stopping */
	struct loop_timer timer;      /* when to try again: after the throttle, or soon */
	struct loop_timer size_timer; /* queue 0: when to look at the image's size */
	bool limited;                 /* there is a throttle */
	bool stalled;                 /* every entry of the ring is under way: completions go on */
	bool resubmitted;             /* done() submitted the next range: it wants a kick */
	bool stopping;

	struct blk_counters count;
};

struct virtio_blk {
	struct virtio_dev dev;   /* the first member: virtio_ops find the device by it */
	struct block *block;     /* borrowed */
	struct block_info info;  /* as it was at the start: but for the capacity it is constant */
	struct blk_queue *queue; /* owned; dev.nr_queues of them */
	struct throttle throttle;
	uint8_t id[VIRTIO_BLK_ID_BYTES];
	bool may_unmap; /* constant: zeroes may give space back */

	_Atomic uint64_t capacity_sectors; /* written on queue 0's thread */
	atomic_bool writeback; /* the cache mode that the driver chose (5.2.5); written by vCPUs */
	atomic_bool warned_io, warned_driver; /* one warning a reset */
};

/* Once, for each request of a queue that starts. */
void blk_request_init(struct blk_request *r, struct blk_queue *q);

/*
 * Serve the queue: everything that is available, in batches, until the driver has been asked to kick again,
 * or somebody else goes on (the throttle's timer, completions). The queue's thread.
 */
void blk_queue_pump(struct blk_queue *q);

/* For block_queue_on_batch(): publish completions, and go on if that was waited for. ctx is the queue. */
void blk_queue_batch(void *ctx);

/* The queue's timer: try what the throttle held back, and go on. ctx is the queue. */
void blk_queue_retry(void *ctx);

/* Finish what is under way and put back what was held back. The queue's thread. */
void blk_queue_drain(struct blk_queue *q);

#endif
