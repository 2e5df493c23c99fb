/*
 * For tests of virtio.c and virtio_state.c: an echoing device and its driver, without registers between them.
 * Include it in one file of a test program, and have setup() and teardown() as its fixture.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_CORE_RIG_H
#define TRELLIS_DEVICES_VIRTIO_CORE_RIG_H

#include <check.h>
#include <stdlib.h>

#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_rig.h"
#include "vmm/base/log.h"

enum {
	ACK = VIRTIO_CONFIG_S_ACKNOWLEDGE,
	DRV = VIRTIO_CONFIG_S_DRIVER,
	FOK = VIRTIO_CONFIG_S_FEATURES_OK,
	DOK = VIRTIO_CONFIG_S_DRIVER_OK,
	FAILED = VIRTIO_CONFIG_S_FAILED,
	NEEDS_RESET = VIRTIO_CONFIG_S_NEEDS_RESET,
	RUNNING = ACK | DRV | FOK | DOK,
	RAM = 16 << 20,
};

#define VERSION_1  VIRTIO_BIT(VIRTIO_F_VERSION_1)
#define PACKED     VIRTIO_BIT(VIRTIO_F_RING_PACKED)
#define EVENT_IDX  VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX)
#define IN_ORDER   VIRTIO_BIT(VIRTIO_F_IN_ORDER)
#define RING_RESET VIRTIO_BIT(VIRTIO_F_RING_RESET)

static const uint64_t formats[4] = { 0, EVENT_IDX, PACKED, PACKED | EVENT_IDX | IN_ORDER };

static struct test_driver td;
static struct echo *s;
static struct virtio_dev *d;

static inline struct echo *echo_new(void)
{
	struct echo *n = calloc(1, sizeof(*n));

	ck_assert_ptr_nonnull(n);
	ck_assert_int_eq(echo_init(n, &td.mem, ECHO_QUEUES), 0);
	return n;
}

static inline void setup(void)
{
	log_set_level(LOG_ERROR); /* broken devices are provoked here on purpose */
	td_init(&td, RAM);
	s = echo_new();
	d = &s->dev;
}

static inline void teardown(void)
{
	td_stop(&td);
	echo_fini(s);
	free(s);
	td_fini(&td);
}

/* A driver that has come up to DRIVER_OK, and goes back to before it: rings are there, nothing runs. */
static inline void prepare(uint64_t features)
{
	ck_assert(td_start(&td, d, features, 16));
	virtio_write_status(d, 0);
	virtio_accept(d, 0, (uint32_t)features);
	virtio_accept(d, 1, (uint32_t)((features | VERSION_1) >> 32));
	for (unsigned int i = 0; i < ECHO_QUEUES; i++)
		d->queue[i].setup = td.q[i].setup;
	s->starts = s->stops = s->resets = s->serves = s->queue_starts = s->queue_stops = 0;
}

static inline void status(uint8_t to)
{
	virtio_write_status(d, to);
}

/* Something to write to, apart for each queue. */
static inline struct td_seg buffer(unsigned int q)
{
	return (struct td_seg){ .gpa = 0x800 + 64 * q, .len = 32, .in = true };
}

static inline int64_t echo(unsigned int q)
{
	struct td_seg seg = buffer(q);

	return td_do(&td, q, &seg, 1);
}

#endif
