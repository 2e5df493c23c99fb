/*
 * A queue is reset on its own and set up again, elsewhere and with another size, while the device runs.
 * virtio 1.2, 2.6.1 and 4.1.4.3.
 */
#include "lib/clock.h"
#include "lib/hostile_blk.h"
#include "lib/tap.h"

static bool reset_queue(void)
{
	virtio_put16(&blk, VIRTIO_QUEUE_SELECT, 0);
	virtio_put16(&blk, VIRTIO_QUEUE_RESET, 1);
	return CLOCK_WAIT_FOR(!virtio_get16(&blk, VIRTIO_QUEUE_RESET), CLOCK_MS(2000)) &&
	       !virtio_get16(&blk, VIRTIO_QUEUE_ENABLE);
}

void test_main(void)
{
	static const uint16_t sizes[] = { 4, 16, 64, 8, 32 };

	blk_init();
	if (!(blk.offered & VIRTIO_F_RING_RESET))
		tap_skip_all("the device cannot reset a queue");
	tap_check(blk_rig.start() && blk.features & VIRTIO_F_RING_RESET, "set up, with the feature");
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		bool good = reset_queue() && virtq_setup(&blk_queue, &blk, 0, sizes[i]);

		for (unsigned int n = 0; n < 10 && good; n++) {
			arena_reset();
			good = blk_read() == SERVED && arena_intact();
		}
		tap_check(good, "reset, and served 10 times with %u descriptors", sizes[i]);
	}
	tap_check(!(virtio_status(&blk) & VIRTIO_NEEDS_RESET), "the device was well all the time");
}
