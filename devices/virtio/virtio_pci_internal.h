/*
 * What virtio_pci.c and virtio_pci_regs.c tell each other. Not for anybody else.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_PCI_INTERNAL_H
#define TRELLIS_DEVICES_VIRTIO_PCI_INTERNAL_H

#include "devices/virtio/virtio_pci.h"

enum { VIRTIO_PCI_ISR_QUEUE = 1, VIRTIO_PCI_COMMON_BYTES = 0x3c }; /* virtio 1.2, 4.1.4.5; 4.1.4.3 */

/* BAR 0, and pci_cfg_data of the window into it; dev: struct virtio_pci. */
extern const struct io_ops virtio_pci_bar_ops, virtio_pci_window_ops;

/* Set a vector as the driver wrote it. vp->lock is held. */
void virtio_pci_put_vector(struct virtio_pci *vp, atomic_uint *vector, uint64_t val);

/* Device and transport as after power-on. vp->lock is held. */
void virtio_pci_reset_locked(struct virtio_pci *vp);

#endif
