/*
 * For the unit tests of virtio-blk: a disk in memory, the device over it without threads, and
 * the driver of test_driver.h. Include it in one file of a test program.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_BLK_RIG_H
#define TRELLIS_DEVICES_VIRTIO_BLK_RIG_H

#include <check.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>

#include "devices/virtio/fake_block.h"
#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_blk.h"

enum {
	SECTOR = 512,
	DISK_SECTORS = 128,
	QUEUE_SIZE = 16,
	DATA_BYTES = 64 << 10,
	HOLE = 0x40000000, /* no RAM there */
	UNTOUCHED = 0xee,
};

#define ALL_FEATURES                                                                                         \
	(VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) |                              \
	 VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES) |                          \
	 VIRTIO_BIT(VIRTIO_BLK_F_MQ))

static struct test_driver td;
static struct block *disk;
static struct virtio_blk *blk;
static struct virtio_blk_options opts;
static uint64_t hdr, data, status; /* guest addresses of one request's parts */

static inline void rig_make(void)
{
	td_init(&td, 16 * MIB);
	disk = fake_new(DISK_SECTORS * SECTOR);
	for (unsigned int i = 0; i < DISK_SECTORS * SECTOR; i++)
		disk->data[i] = (uint8_t)(i / SECTOR + i);
	opts = (struct virtio_blk_options){
		.name = "disk0",
		.block = disk,
		.serial = "TRELLIS-1",
		.nr_queues = 1,
		.queue_size = QUEUE_SIZE,
		.discard = true,
	};
	blk = NULL;
	hdr = td_alloc(&td, 16, 16);
	status = td_alloc(&td, 1, 1);
	data = td_alloc(&td, DATA_BYTES, 4096);
	memset(td_ptr(&td, data), UNTOUCHED, DATA_BYTES);
}

static inline void rig_destroy(void)
{
	td_stop(&td);
	virtio_blk_free(blk);
	fake_free(disk);
	td_fini(&td);
}

/* The device as opts and disk are now, driven with these features and those of the ring that are given. */
static inline void rig_start(uint64_t features)
{
	if (!blk)
		ck_assert_int_eq(virtio_blk_new(&blk, &opts, &td.mem, NULL), 0);
	ck_assert(td_start(&td, virtio_blk_dev(blk), features, opts.queue_size));
}

static inline uint8_t *rig_data(void)
{
	return td_ptr(&td, data);
}

static inline uint8_t rig_status(void)
{
	return *(uint8_t *)td_ptr(&td, status);
}

static inline void rig_header(uint64_t at, uint32_t type, uint64_t sector)
{
	uint8_t *p = td_ptr(&td, at);

	put_le32(p, type);
	put_le32(p + 4, 0);
	put_le64(p + 8, sector);
}

/* A request of the usual shape: header, len bytes of data one way or the other, status. Not kicked. */
static inline int rig_add(unsigned int q, uint32_t type, uint64_t sector, uint32_t len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct td_seg seg[3] = { { hdr, 16, false }, { data, len, in }, { status, 1, true } };

	rig_header(hdr, type, sector);
	*(uint8_t *)td_ptr(&td, status) = UNTOUCHED;
	if (!len)
		seg[1] = seg[2];
	return td_add(&td, q, seg, len ? 3 : 2);
}

/* One that keeps its own header and status byte, for having several under way. Returns where the status is. */
static inline uint64_t rig_add_own(unsigned int q, uint32_t type, uint64_t sector, uint32_t len)
{
	uint64_t mine = td_alloc(&td, 32, 16);
	struct td_seg seg[3] = { { mine, 16, false },
				 { data, len, type == VIRTIO_BLK_T_IN },
				 { mine + 16, 1, true } };

	rig_header(mine, type, sector);
	*(uint8_t *)td_ptr(&td, mine + 16) = UNTOUCHED;
	if (!len)
		seg[1] = seg[2];
	ck_assert_int_ge(td_add(&td, q, seg, len ? 3 : 2), 0);
	return mine + 16;
}

/* Do a request on queue 0: returns the used length. */
static inline int64_t rig_do(uint32_t type, uint64_t sector, uint32_t len)
{
	struct td_used used;

	ck_assert_int_ge(rig_add(0, type, sector, len), 0);
	td_kick(&td, 0);
	ck_assert(td_wait(&td, 0, &used));
	return used.len;
}

/* Does the device still do what it should? */
static inline void rig_expect_alive(void)
{
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_IN, 1, SECTOR), SECTOR + 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(rig_data(), disk->data + SECTOR, SECTOR);
	ck_assert(!td.failed);
	ck_assert_uint_eq(virtio_read_status(td.dev) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

static inline struct virtio_blk_config rig_config(void)
{
	struct virtio_blk_config c;

	virtio_config_read(virtio_blk_dev(blk), 0, &c, sizeof(c));
	return c;
}

static inline struct virtio_blk_stats rig_stats(void)
{
	struct virtio_blk_stats s;

	virtio_blk_get_stats(blk, &s);
	return s;
}

#endif
