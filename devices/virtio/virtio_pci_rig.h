/*
 * For tests of virtio_pci.c: an echoing virtio function at 00:02.0 of the PCI rig, with guest memory, and what
 * a driver does with its registers. Include it in one file of a test program, and have setup() and teardown()
 * as its fixture.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_PCI_RIG_H
#define TRELLIS_DEVICES_VIRTIO_PCI_RIG_H

#define VIRTIO_PCI_NO_LEGACY

#include "devices/virtio/virtio_pci.h"

#include <linux/virtio_pci.h>

#include "devices/pci_rig.h"
#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_rig.h"

enum {
	VP_DEVFN = PCI_DEVFN(2, 0),
	VP_LINE = 2,         /* INTA of slot 2 */
	VP_MSG = 0xfee00000, /* address of every message; its data is the vector */
	VP_DATA = 0x40,
	VP_ACK = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER,
	VP_RUNNING = VP_ACK | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK,
};

static struct rig *r;
static struct test_driver td; /* memory, and queue 0's rings; no device of its own */
static struct echo *s;
static struct virtio_pci *vp;
static uint64_t bar; /* 0, where it was assigned */

static inline uint64_t cfg(unsigned int off, unsigned int size)
{
	return rig_read_at(r, VP_DEVFN, off, size);
}

static inline void cfg_put(unsigned int off, unsigned int size, uint64_t val)
{
	rig_write_at(r, VP_DEVFN, off, size, val);
}

static inline uint64_t get(uint64_t off, unsigned int size)
{
	return fake_read(&r->fake, bar + off, size);
}

static inline void put(uint64_t off, unsigned int size, uint64_t val)
{
	fake_write(&r->fake, bar + off, size, val);
}

/* The capability of this type; 0: none. */
static inline unsigned int find_cap(uint8_t type)
{
	unsigned int at = (unsigned int)cfg(PCI_CAPABILITY_LIST, 1);

	while (at && (cfg(at, 1) != PCI_CAP_ID_VNDR || cfg(at + VIRTIO_PCI_CAP_CFG_TYPE, 1) != type))
		at = (unsigned int)cfg(at + PCI_CAP_LIST_NEXT, 1);
	return at;
}

static inline void setup(void)
{
	r = rig_new();
	s = calloc(1, sizeof(*s));
	vp = calloc(1, sizeof(*vp));
	ck_assert(s && vp);
	td_init(&td, 1 << 20);
	ck_assert_int_eq(echo_init(s, &td.mem, ECHO_QUEUES), 0);
	s->dev.no_threads = true;
	ck_assert_int_eq(virtio_pci_init(vp, &s->dev, &r->fake.host, 0x00ff00, NULL), 0);
	ck_assert_int_eq(pci_root_add(&r->root, VP_DEVFN, &vp->func, NULL), 0);
	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	bar = cfg(PCI_BASE_ADDRESS_0, 8) & ~15ull;
	s->resets = 0;
}

static inline void teardown(void)
{
	virtio_pci_fini(vp);
	echo_fini(s);
	rig_free(r);
	free(vp);
	free(s);
	td_fini(&td);
}

static inline void select_queue(unsigned int q)
{
	put(VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
}

/* Queue q gets queue 0's rings, and starts if DRIVER_OK is set. */
static inline void queue_up(unsigned int q)
{
	const struct virtq_setup *w = &td.q[0].setup;

	select_queue(q);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 2, w->size);
	put(VIRTIO_PCI_COMMON_Q_DESCLO, 4, (uint32_t)w->desc);
	put(VIRTIO_PCI_COMMON_Q_DESCHI, 4, w->desc >> 32);
	put(VIRTIO_PCI_COMMON_Q_AVAILLO, 8, w->driver);
	put(VIRTIO_PCI_COMMON_Q_USEDLO, 8, w->device);
	put(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

/* Negotiate features, and have queue 0 run. */
static inline void drive(uint64_t features)
{
	features |= VIRTIO_BIT(VIRTIO_F_VERSION_1);
	td_bare(&td, features, 16);
	put(VIRTIO_PCI_COMMON_STATUS, 1, VP_ACK);
	for (unsigned int i = 0; i < 2; i++) {
		put(VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		put(VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> (32 * i)));
	}
	put(VIRTIO_PCI_COMMON_STATUS, 1, VP_ACK | VIRTIO_CONFIG_S_FEATURES_OK);
	queue_up(0);
	put(VIRTIO_PCI_COMMON_STATUS, 1, VP_RUNNING);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_STATUS, 1), VP_RUNNING);
	echo_run(s);
}

static inline void give_buffer(void)
{
	struct td_seg seg = { .gpa = 0x800, .len = 32, .in = true };

	ck_assert_int_ge(td_add(&td, 0, &seg, 1), 0);
}

/* Has a buffer come back? */
static inline bool came_back(void)
{
	struct td_used used;

	echo_run(s);
	return td_poll(&td, 0, &used) && used.len == 32;
}

/* One buffer through queue 0, kicked as a driver does. */
static inline bool echo_once(void)
{
	give_buffer();
	put(VIRTIO_PCI_NOTIFY, 2, 0);
	return came_back();
}

static inline void msix_enable(void)
{
	uint64_t table = cfg(PCI_BASE_ADDRESS_2, 4) & ~15ull;

	for (unsigned int i = 0; i <= s->dev.nr_queues; i++) {
		fake_write(&r->fake, table + 16 * i, 8, VP_MSG);
		fake_write(&r->fake, table + 16 * i + 8, 8, VP_DATA + i);
	}
	cfg_put(vp->func.msix.cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

static inline void set_vector(unsigned int q, unsigned int vector)
{
	select_queue(q);
	put(VIRTIO_PCI_COMMON_Q_MSIX, 2, vector);
}

static inline unsigned int messages(unsigned int vector)
{
	return fake_delivered(&r->fake, VP_MSG, VP_DATA + vector);
}

#endif
