/*
 * Turns: how the devices that share a thread take their chains. A driver that adds buffers as fast as they
 * are served must not keep the thread from others, or from the vCPU that waits for the queue to stop.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_TURN_H
#define TRELLIS_DEVICES_VIRTIO_TURN_H

#include "devices/virtio/virtio.h"

/*
 * Hand the chains of queue q to handle() until there are none, the device has to wait, or the turn of a few
 * milliseconds is over; then the queue kicks itself and goes on when the loop has looked at the others. What
 * was completed is shown to the driver.
 * handle  completes the chain, keeps it, or puts it back. Returns true to be given the next one; false when
 *         the queue has to wait: the device calls virtio_take_turn() again when it can go on
 * Queue's thread; nothing happens when the queue does not run.
 */
void virtio_take_turn(struct virtio_dev *d, unsigned int q,
		      bool (*handle)(struct virtio_dev *d, unsigned int q, struct chain *c));

/* Kick queue q ourselves. Queue's thread. */
void virtio_kick_later(struct virtio_dev *d, unsigned int q);

#endif
