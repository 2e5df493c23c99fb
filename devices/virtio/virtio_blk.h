/*
 * virtio-blk (virtio 1.2, 5.2): what a request means, over the disks of devices/block/. One iothread and
 * one block queue for each virtqueue; they exist while the driver has the queue running.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_BLK_H
#define TRELLIS_DEVICES_VIRTIO_BLK_H

#include "devices/block/block.h"
#include "devices/virtio/virtio.h"
#include "vmm/base/throttle.h"

struct virtio_blk;

struct virtio_blk_options {
	const char *name;       /* borrowed for the device's life: "disk0" */
	struct block *block;    /* borrowed for the device's life */
	const char *serial;     /* at most 20 bytes; borrowed for the call; NULL: empty */
	unsigned int nr_queues; /* 1 to 64 */
	uint16_t queue_size;    /* a power of two, 2 to VIRTQ_MAX_SIZE */
	bool discard;           /* offer discard (and zeroes that unmap) */
	struct throttle_limits limits;
};

struct virtio_blk_stats {
	uint64_t reads, read_bytes, writes, write_bytes, flushes, discards, errors;
	uint64_t throttled, throttled_ns;
};

/* Returns 0 or a negative errno with a sentence. free: after the transport is gone; NULL is fine. Main thread. */
MUST_CHECK int virtio_blk_new(struct virtio_blk **b, const struct virtio_blk_options *o,
			      const struct gmem *mem, struct err *e);
void virtio_blk_free(struct virtio_blk *b);

struct virtio_dev *virtio_blk_dev(struct virtio_blk *b);

/* Any thread; the numbers of one moment need not fit together. */
void virtio_blk_get_stats(struct virtio_blk *b, struct virtio_blk_stats *s);

#endif
