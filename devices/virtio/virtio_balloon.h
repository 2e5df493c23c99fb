/*
 * virtio-balloon (virtio 1.2, 5.5): inflate, deflate, statistics, free page reporting. Pages in the balloon,
 * and pages reported as free, are given back to the host through gmem_discard().
 */
#ifndef TRELLIS_DEVICES_VIRTIO_BALLOON_H
#define TRELLIS_DEVICES_VIRTIO_BALLOON_H

#include <linux/virtio_balloon.h>

#include "devices/virtio/virtio.h"

struct virtio_balloon;

struct virtio_balloon_options {
	const char *name;               /* borrowed for the device's life */
	struct iothread *thread;        /* borrowed for the device's life */
	uint64_t ram_bytes;             /* what the guest has in all */
	uint64_t target_bytes;          /* what it is to have at first; at most ram_bytes */
	bool deflate_on_oom;
	/* Not offered where memory has large pages: the guest takes such pages back without asking whether the host
	 * still has them. */
	bool free_page_reporting;
	unsigned int stats_interval_s;  /* 0: only when asked */
};

enum { BALLOON_NR_STATS = VIRTIO_BALLOON_S_NR };

struct virtio_balloon_stats {
	uint64_t at_ns;                    /* clock_now_ns() when the guest told them; 0: never */
	uint64_t value[BALLOON_NR_STATS];  /* by tag, VIRTIO_BALLOON_S_*; bytes where the tag is memory */
	bool known[BALLOON_NR_STATS];
	uint64_t inflated_bytes, discarded_bytes, reported_bytes; /* what was given back in all */
};

/* As virtio_blk_new() and its companions. */
MUST_CHECK int virtio_balloon_new(struct virtio_balloon **b, const struct virtio_balloon_options *o,
				  const struct gmem *mem, struct err *e);
void virtio_balloon_free(struct virtio_balloon *b);
struct virtio_dev *virtio_balloon_dev(struct virtio_balloon *b);

/* How much memory the guest is to have, and has (by what it says). -EINVAL beyond ram_bytes. Any thread. */
MUST_CHECK int virtio_balloon_set_target(struct virtio_balloon *b, uint64_t bytes);
uint64_t virtio_balloon_target(struct virtio_balloon *b);
uint64_t virtio_balloon_actual(struct virtio_balloon *b);

/* What the guest told last; and ask for newer numbers, which are there a moment later, see at_ns. Any thread. */
void virtio_balloon_get_stats(struct virtio_balloon *b, struct virtio_balloon_stats *s);
void virtio_balloon_ask_stats(struct virtio_balloon *b);

#endif
