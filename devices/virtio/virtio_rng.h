/* virtio-rng, the entropy device (virtio 1.2, 5.4), from getrandom(2). */
#ifndef TRELLIS_DEVICES_VIRTIO_RNG_H
#define TRELLIS_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/virtio.h"
#include "vmm/base/throttle.h"

struct virtio_rng;

/* name, thread: borrowed for the device's life. As virtio_blk_new() and its companions. */
MUST_CHECK int virtio_rng_new(struct virtio_rng **r, const char *name, struct iothread *thread,
			      const struct throttle_limits *limits, const struct gmem *mem, struct err *e);
void virtio_rng_free(struct virtio_rng *r);
struct virtio_dev *virtio_rng_dev(struct virtio_rng *r);

#endif
