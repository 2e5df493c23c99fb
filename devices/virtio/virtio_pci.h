/*
 * virtio over PCI, the modern interface alone (virtio 1.2, 4.1; device ids 0x1040 + type, revision 1):
 * common, notify, ISR, device-specific and PCI-access capabilities, MSI-X with a vector for each queue and
 * one for configuration changes, INTx for drivers without MSI-X, an ioeventfd for each queue.
 *
 * Lock: vp->lock guards what the driver writes. It is held while queues start and stop (virtio.h), and is
 * taken by vCPU threads and the main thread only. Order: vp->lock -> iothread's box; -> pci_root->lock.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_PCI_H
#define TRELLIS_DEVICES_VIRTIO_PCI_H

#include "devices/pci.h"
#include "devices/virtio/virtio.h"

/* Regions of BAR 0 (64-bit memory); BAR 2 holds the MSI-X table and pending bits. */
enum {
	VIRTIO_PCI_COMMON = 0x0000,
	VIRTIO_PCI_ISR = 0x1000,
	VIRTIO_PCI_DEVICE = 0x2000,
	VIRTIO_PCI_NOTIFY = 0x3000,
	VIRTIO_PCI_NOTIFY_STEP = 4, /* notify_off_multiplier */
	VIRTIO_PCI_BAR_BYTES = 0x4000,
};

struct virtio_pci {
	struct pci_func func;
	struct virtio_dev *dev; /* borrowed */
	pthread_mutex_t lock;
	uint32_t device_feature_select, driver_feature_select; /* guarded by lock, as is the next */
	uint16_t queue_select;
	unsigned int window;       /* offset of struct virtio_pci_cfg_cap in configuration space; constant */
	atomic_uint config_vector; /* written under lock */
	atomic_uint *queue_vector; /* owned; dev->nr_queues of them; written under lock */
	atomic_uint isr;           /* bit 0 queue, bit 1 configuration */
	int *kick_fd;              /* owned eventfds, one a queue; constant */
	struct pci_doorbell *bell; /* owned, one a queue */
};

/* dev: struct virtio_pci. Resets, stops, saves and loads transport and device. */
extern const struct dev_ops virtio_pci_dev_ops;

/*
 * Give a device, made and complete, its PCI function; the machine puts vp->func on a bus then.
 * class  of the function, as in struct pci_ids
 * Returns 0 or a negative errno with a sentence. virtio_pci_fini() resets the device first (its threads
 * must still run, or have no thread), is safe on an all-zero struct, and leaves the device itself to its owner.
 */
MUST_CHECK int virtio_pci_init(struct virtio_pci *vp, struct virtio_dev *dev, const struct dev_host *host,
			       uint32_t class, struct err *e);
void virtio_pci_fini(struct virtio_pci *vp);

#endif
