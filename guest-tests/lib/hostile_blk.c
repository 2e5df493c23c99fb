/* The disk under test. Requests: virtio 1.2, 5.2.6. */
#include "lib/hostile_blk.h"
#include "lib/clock.h"
#include "lib/string.h"
#include "lib/tap.h"

#define SIZE    16
#define SECTOR  5
#define PATTERN 0x5a

struct virtio blk;
struct virtq blk_queue;

bool blk_start_with(uint64_t features)
{
	if (!virtio_negotiate(&blk, features) || !virtq_setup(&blk_queue, &blk, 0, SIZE))
		return false;
	virtio_driver_ok(&blk);
	return !(virtio_status(&blk) & VIRTIO_NEEDS_RESET);
}

static bool blk_start(void)
{
	return blk_start_with(hostile_features() | VIRTIO_BIT(BLK_F_FLUSH) | VIRTIO_BIT(BLK_F_DISCARD) |
			      VIRTIO_BIT(BLK_F_WRITE_ZEROES) | VIRTIO_F_RING_RESET);
}

void blk_prepare(uint32_t type, uint64_t sector)
{
	volatile uint32_t *header = (void *)BLK_HEADER;

	header[0] = type;
	header[1] = 0;
	header[2] = (uint32_t)sector;
	header[3] = (uint32_t)(sector >> 32);
	*(volatile uint8_t *)BLK_STATUS = BLK_UNTOUCHED;
	arena_allow(BLK_STATUS, 1);
}

void blk_read_segs(struct virtq_seg seg[3])
{
	blk_prepare(BLK_IN, SECTOR);
	arena_allow(BLK_DATA, BLK_SECTOR);
	seg[0] = (struct virtq_seg){ (uint64_t)BLK_HEADER, BLK_HEADER_BYTES, false };
	seg[1] = (struct virtq_seg){ (uint64_t)BLK_DATA, BLK_SECTOR, true };
	seg[2] = (struct virtq_seg){ (uint64_t)BLK_STATUS, 1, true };
}

unsigned int blk_judge(unsigned int came)
{
	uint8_t status = *(volatile uint8_t *)BLK_STATUS;

	if (came != RETURNED || status == BLK_UNTOUCHED)
		return came;
	return status == 0 ? SERVED : ERROR;
}

unsigned int blk_settle(void)
{
	uint32_t bytes;

	arena_remember();
	return blk_judge(hostile_settle(&blk_queue, &bytes));
}

unsigned int blk_submit(const struct virtq_seg *seg, unsigned int n)
{
	virtq_add(&blk_queue, seg, n);
	return blk_settle();
}

unsigned int blk_read(void)
{
	struct virtq_seg seg[3];
	unsigned int came;

	blk_read_segs(seg);
	came = blk_submit(seg, 3);
	if (came == SERVED && (BLK_DATA[0] != PATTERN || memcmp(BLK_DATA, BLK_DATA + 1, BLK_SECTOR - 1) != 0)) {
		tap_note("sector %d is not what was written", SECTOR);
		return WRONG;
	}
	return came;
}

static bool blk_serve(void)
{
	return blk_read() == SERVED && arena_intact();
}

const struct hostile_rig blk_rig = { .dev = &blk, .start = blk_start, .serve = blk_serve };

void blk_init(void)
{
	const struct virtq_seg seg[] = {
		{ (uint64_t)BLK_HEADER, BLK_HEADER_BYTES, false },
		{ (uint64_t)BLK_DATA, BLK_SECTOR, false },
		{ (uint64_t)BLK_STATUS, 1, true },
	};

	unsigned int came;

	virtio_find(&blk, VIRTIO_BLK, 0);
	arena_reset();
	blk_prepare(BLK_OUT, SECTOR);
	memset(BLK_DATA, PATTERN, BLK_SECTOR);
	if (!blk_start())
		tap_bail("the disk does not start");
	came = blk_submit(seg, 3);
	if (came != SERVED)
		tap_bail("the disk takes no write: 0x%x, status 0x%x", came, virtio_status(&blk));
}
