/*
 * For tests of virtqueues: one queue without a device, the test driver on its other side, and what the queue
 * told: interrupts and failures. Include it in one file of a test program.
 */
#ifndef TRELLIS_DEVICES_VIRTQ_RIG_H
#define TRELLIS_DEVICES_VIRTQ_RIG_H

#include <linux/virtio_ring.h>

#include "devices/virtio/test_driver.h"

enum { RIG_RAM = 4 << 20, RIG_MAX = VIRTQ_MAX_SIZE };

#define RIG_PACKED   VIRTIO_BIT(VIRTIO_F_RING_PACKED)
#define RIG_EVENT    VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX)
#define RIG_INDIRECT VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define RIG_IN_ORDER VIRTIO_BIT(VIRTIO_F_IN_ORDER)

struct virtq_rig {
	struct test_driver td;
	struct virtq q;
	unsigned int interrupts, fails;
	const char *why; /* what the last failure said */
};

static inline void rig_fail(void *ctx, struct virtq *q, const char *why)
{
	struct virtq_rig *r = ctx;

	(void)q;
	r->fails++;
	r->why = why;
}

static inline void rig_interrupt(void *ctx, struct virtq *q)
{
	struct virtq_rig *r = ctx;

	(void)q;
	r->interrupts++;
}

/* Returns what virtq_start() does. */
static inline int rig_start(struct virtq_rig *r, uint64_t features, uint16_t size, uint16_t max_size)
{
	*r = (struct virtq_rig){ .why = "" };
	td_init(&r->td, RIG_RAM);
	td_bare(&r->td, features, size);
	r->td.indirect = features & RIG_INDIRECT;
	virtq_init(&r->q, &r->td.mem, "rig", 0, max_size);
	virtq_attach(&r->q, &r->td.access, rig_fail, rig_interrupt, r);
	return virtq_start(&r->q, &r->td.q->setup);
}

static inline void rig_stop(struct virtq_rig *r)
{
	virtq_stop(&r->q);
	td_fini(&r->td);
}

/* Places in the rings, to write what td_add() would not. */
static inline uint8_t *rig_desc(struct virtq_rig *r, unsigned int i)
{
	return (uint8_t *)td_ptr(&r->td, r->td.q->setup.desc) + 16 * i;
}

static inline uint8_t *rig_driver(struct virtq_rig *r, unsigned int off)
{
	return (uint8_t *)td_ptr(&r->td, r->td.q->setup.driver) + off;
}

static inline uint8_t *rig_device(struct virtq_rig *r, unsigned int off)
{
	return (uint8_t *)td_ptr(&r->td, r->td.q->setup.device) + off;
}

/* One descriptor, anywhere. The last two words are flags and next, or id and flags when the ring is packed. */
static inline void rig_put(uint8_t *d, uint64_t gpa, uint32_t len, uint16_t w12, uint16_t w14)
{
	put_le64(d, gpa);
	put_le32(d + 8, len);
	put_le16(d + 12, w12);
	put_le16(d + 14, w14);
}

/* Would Linux kick, having just added one chain of nr entries (virtqueue_kick_prepare_split(), _packed())? */
static inline bool rig_driver_kicks(struct virtq_rig *r, unsigned int nr)
{
	const struct virtq_setup *s = &r->q.setup;
	uint16_t now = r->td.q->avail, event = get_le16(rig_device(r, 0)), flags = get_le16(rig_device(r, 2));
	bool wrap;

	if (!s->packed && !s->event_idx)
		return !(event & VRING_USED_F_NO_NOTIFY);
	if (!s->packed)
		return (uint16_t)(now - get_le16(rig_device(r, 4 + 8 * s->size)) - 1) < 1;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	wrap = event >> 15;
	event &= 0x7fff;
	if (wrap != r->td.q->avail_wrap)
		event -= s->size;
	return (uint16_t)(now - event - 1) < nr;
}

#endif
