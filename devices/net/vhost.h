/*
 * vhost-net: the kernel moves frames between the rings and a tap (linux/vhost.h). The device in
 * virtio_net.c stays the same; only the data path of a pair of queues is the kernel's.
 */
#ifndef TRELLIS_DEVICES_VHOST_H
#define TRELLIS_DEVICES_VHOST_H

#include "devices/virtio/virtq.h"
#include "vmm/base/err.h"
#include "vmm/base/gmem.h"

/* One for each pair of queues; all zero is closed. */
struct vhost_net {
	int fd;              /* owned; /dev/vhost-net */
	bool open;
	uint64_t features;   /* what the kernel offers, of VIRTIO_* and VHOST_* bits */
};

/*
 * Open /dev/vhost-net and give it guest memory.
 * Returns 0; a sentence that names the module (vhost_net) or the permission that is missing.
 */
MUST_CHECK int vhost_net_open(struct vhost_net *v, const struct gmem *mem, struct err *e);
void vhost_net_close(struct vhost_net *v);

/* Could /dev/vhost-net be opened? Returns 0, or as vhost_net_open(). Nothing is begun. */
MUST_CHECK int vhost_net_check(struct err *e);

/* Of the device's features those that the kernel can take part in; bits it has no say in pass. */
uint64_t vhost_net_mask(const struct vhost_net *v, uint64_t features);

/*
 * Let the kernel serve rx and tx (started, no chain open) with the negotiated features, on a tap.
 * kick and call descriptors: eventfds, borrowed until stopped; error: none.
 * Returns 0 or a negative errno. stop: the kernel lets go, and the indices are put back into the queues.
 */
MUST_CHECK int vhost_net_start(struct vhost_net *v, uint64_t features, struct virtq *rx, struct virtq *tx, int rx_kick,
			       int tx_kick, int rx_call, int tx_call, int tap_fd);
void vhost_net_stop(struct vhost_net *v, struct virtq *rx, struct virtq *tx);

#endif
