/*
 * The entropy device fills buffers of any size with bytes that differ. virtio 1.2, 5.4.
 * How good the bytes are is not looked at.
 */
#include "lib/clock.h"
#include "lib/hostile.h"
#include "lib/string.h"
#include "lib/tap.h"

static struct virtio rng;
static struct virtq queue;

/* A device may fill less than there is room for (5.4.6.2). */
static uint32_t fill(uint8_t *at, uint32_t bytes)
{
	const struct virtq_seg seg = { (uint64_t)at, bytes, true };
	uint32_t used = 0;
	uint16_t id;

	arena_allow(at, bytes);
	virtq_add(&queue, &seg, 1);
	arena_remember();
	virtq_kick(&queue);
	return virtq_wait(&queue, &id, &used, CLOCK_MS(5000)) ? used : 0;
}

void test_main(void)
{
	uint8_t first[64];
	bool all = true;

	virtio_find(&rng, VIRTIO_RNG, 0);
	tap_check(virtio_negotiate(&rng, hostile_features()) && virtq_setup(&queue, &rng, 0, 8), "set up");
	virtio_driver_ok(&rng);
	arena_reset();
	tap_between(fill(arena + 64, 64), 1, 64, "64 bytes or less");
	memcpy(first, arena + 64, 64);
	tap_check(arena_intact(), "and nothing beside them");
	tap_between(fill(arena + 64, 64), 1, 64, "again");
	tap_check(memcmp(first, arena + 64, 16) != 0, "they differ");
	for (unsigned int bytes = 1; bytes < 40; bytes++) {
		arena_reset();
		all = all && fill(arena + 100, bytes) >= 1 && arena_intact();
	}
	tap_check(all, "buffers of 1 to 39 bytes, around the ring");
}
