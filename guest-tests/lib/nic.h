/*
 * Two virtio network interfaces on one wire: what nic 0 sends, nic 1 receives, and back. One queue pair each.
 * virtio 1.2, 5.1. The header has 12 bytes (5.1.6: num_buffers is always there with VERSION_1).
 */
#ifndef GUEST_NIC_H
#define GUEST_NIC_H

#include "lib/virtio.h"

enum { NIC_RX, NIC_TX, NIC_CTRL, NIC_QUEUES };
enum { NIC_HEADER_BYTES = 12 };
enum { NIC_F_CSUM = 0, NIC_F_GUEST_OFFLOADS = 2, NIC_F_MRG_RXBUF = 15, NIC_F_CTRL_VQ = 17, NIC_F_CTRL_RX = 18,
       NIC_F_CTRL_VLAN = 19, NIC_F_CTRL_RX_EXTRA = 20, NIC_F_ANNOUNCE = 21, NIC_F_MQ = 22, NIC_F_CTRL_MAC = 23 };

struct nic {
	struct virtio dev;
	struct virtq queue[NIC_QUEUES];
	bool has_ctrl;
};

/* Find both; skips the program without them. */
void nic_find_pair(struct nic nic[2]);
/* Reset, negotiate, set up receive, transmit and, with NIC_F_CTRL_VQ, control queue; DRIVER_OK. */
bool nic_start(struct nic *n, uint64_t features);
/* Give a buffer to receive into: header and frame in one. No kick is needed after it. */
void nic_post(struct nic *n, void *at, uint32_t bytes);
/* Send header and frame, in one buffer; waits until it was used. */
bool nic_send(struct nic *n, const void *at, uint32_t bytes);
/* Wait for a frame; its length with the header, 0 if none comes. */
uint32_t nic_receive(struct nic *n, uint64_t ticks);

#endif
