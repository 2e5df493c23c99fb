/*
 * What virtio.c and virtio_state.c tell each other. Not for devices, not for transports.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_INTERNAL_H
#define TRELLIS_DEVICES_VIRTIO_INTERNAL_H

#include "devices/virtio/virtio.h"

/* Start the device and its enabled queues; again: with the indices they had. Nothing if it is started or broken. */
void virtio_start(struct virtio_dev *d, bool again);

/* Do driver_features go together, and with this device? */
bool virtio_features_sound(struct virtio_dev *d);

/* Configuration change interrupt, if there is a driver. */
void virtio_notify_config(struct virtio_dev *d);

#endif
