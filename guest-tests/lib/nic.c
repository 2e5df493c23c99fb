/* Driving network interfaces: no offloads, no merging of buffers, nothing that is not asked for. */
#include "lib/nic.h"
#include "lib/clock.h"
#include "lib/tap.h"

#define SIZE 16

void nic_find_pair(struct nic nic[2])
{
	virtio_find(&nic[0].dev, VIRTIO_NET, 0);
	virtio_find(&nic[1].dev, VIRTIO_NET, 1);
}

bool nic_start(struct nic *n, uint64_t features)
{
	if (!virtio_negotiate(&n->dev, features) || !virtq_setup(&n->queue[NIC_RX], &n->dev, 0, SIZE) ||
	    !virtq_setup(&n->queue[NIC_TX], &n->dev, 1, SIZE))
		return false;
	n->has_ctrl = n->dev.features & VIRTIO_BIT(NIC_F_CTRL_VQ);
	if (n->has_ctrl && !virtq_setup(&n->queue[NIC_CTRL], &n->dev, 2, SIZE))
		return false;
	virtio_driver_ok(&n->dev);
	return true;
}

void nic_post(struct nic *n, void *at, uint32_t bytes)
{
	const struct virtq_seg seg = { (uint64_t)at, bytes, true };

	virtq_add(&n->queue[NIC_RX], &seg, 1);
	virtq_kick(&n->queue[NIC_RX]);
}

bool nic_send(struct nic *n, const void *at, uint32_t bytes)
{
	const struct virtq_seg seg = { (uint64_t)at, bytes, false };
	uint32_t used;
	uint16_t id;

	virtq_add(&n->queue[NIC_TX], &seg, 1);
	virtq_kick(&n->queue[NIC_TX]);
	return virtq_wait(&n->queue[NIC_TX], &id, &used, CLOCK_MS(2000));
}

uint32_t nic_receive(struct nic *n, uint64_t ticks)
{
	uint32_t used;
	uint16_t id;

	return virtq_wait(&n->queue[NIC_RX], &id, &used, ticks) ? used : 0;
}
