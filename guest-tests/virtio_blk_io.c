/*
 * A virtio disk reads what it wrote, by each format of ring and by indirect tables; twice around the ring.
 *
 * virtio 1.2, 2.7, 2.8 and 5.2.6. "packed" and "event" on the command line choose the ring's features.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile_blk.h"
#include "lib/multiboot.h"
#include "lib/string.h"
#include "lib/tap.h"

#define AROUND 20

static unsigned int transfer(uint32_t type, uint64_t sector, bool indirect)
{
	const struct virtq_seg seg[] = {
		{ (uint64_t)BLK_HEADER, BLK_HEADER_BYTES, false },
		{ (uint64_t)BLK_DATA, BLK_SECTOR, type == BLK_IN },
		{ (uint64_t)(BLK_DATA + BLK_SECTOR), BLK_SECTOR, type == BLK_IN },
		{ (uint64_t)BLK_STATUS, 1, true },
	};

	arena_allow(BLK_DATA, 2 * BLK_SECTOR);
	blk_prepare(type, sector);
	if (!indirect)
		return blk_submit(seg, 4);
	virtq_add_indirect(&blk_queue, BLK_TABLE, seg, 4);
	return blk_settle();
}

static void check_round(bool indirect, const char *how)
{
	bool good = true;

	for (unsigned int i = 0; i < AROUND && good; i++) {
		arena_reset();
		memset(BLK_DATA, (int)i, BLK_SECTOR);
		memset(BLK_DATA + BLK_SECTOR, (int)i + 100, BLK_SECTOR);
		good = transfer(BLK_OUT, 8 + 2 * (i % 8), indirect) == SERVED;
		memset(BLK_DATA, 0xff, 2 * BLK_SECTOR);
		good = good && transfer(BLK_IN, 8 + 2 * (i % 8), indirect) == SERVED && arena_intact();
		good = good && BLK_DATA[0] == i && BLK_DATA[BLK_SECTOR - 1] == i && BLK_DATA[BLK_SECTOR] == i + 100 &&
		       BLK_DATA[2 * BLK_SECTOR - 1] == i + 100;
	}
	tap_check(good, "%d writes read back, %s", AROUND, how);
}

static void check_id(void)
{
	const struct virtq_seg seg[] = {
		{ (uint64_t)BLK_HEADER, BLK_HEADER_BYTES, false },
		{ (uint64_t)BLK_DATA, 20, true },
		{ (uint64_t)BLK_STATUS, 1, true },
	};

	arena_reset();
	arena_allow(BLK_DATA, 20);
	blk_prepare(BLK_GET_ID, 0);
	tap_equal(blk_submit(seg, 3), SERVED, "it has an identity");
	tap_check(arena_intact(), "of 20 bytes");
}

static void check_flush(void)
{
	const struct virtq_seg seg[] = {
		{ (uint64_t)BLK_HEADER, BLK_HEADER_BYTES, false },
		{ (uint64_t)BLK_STATUS, 1, true },
	};

	arena_reset();
	blk_prepare(BLK_FLUSH, 0);
	tap_equal(blk_submit(seg, 2), SERVED, "it can be flushed");
}

void test_main(void)
{
	blk_init();
	tap_check(blk_rig.start(), "set up");
	if (args_has("packed"))
		tap_check(blk.features & VIRTIO_F_PACKED, "with a packed ring");
	tap_equal(cpu_read32(blk.config), 32768, "a capacity of 16 MiB");
	check_round(false, "by chains");
	check_round(true, "by indirect tables");
	check_id();
	check_flush();
	arena_reset();
	tap_check(blk_rig.serve(), "what was written first is still there");
	tap_check(virtio_reset(&blk), "and it resets");
}
