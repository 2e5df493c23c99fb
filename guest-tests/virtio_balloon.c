/*
 * Pages go into the balloon and come back, and can be used then. virtio 1.2, 5.5.
 * That the host gets memory is not visible from here.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile.h"
#include "lib/string.h"
#include "lib/tap.h"

#define PAGES 64

enum { INFLATE, DEFLATE, ACTUAL = 4 };

static struct virtio balloon;
static struct virtq queue[2];
static uint8_t pages[PAGES + 1][4096] __attribute__((aligned(4096)));
static uint32_t list[PAGES];

static bool move_pages(unsigned int q)
{
	const struct virtq_seg seg = { (uint64_t)list, sizeof(list), false };
	uint32_t used;
	uint16_t id;

	virtq_add(&queue[q], &seg, 1);
	virtq_kick(&queue[q]);
	return virtq_wait(&queue[q], &id, &used, CLOCK_MS(2000));
}

void test_main(void)
{
	bool good = true;

	virtio_find(&balloon, VIRTIO_BALLOON, 0);
	tap_check(virtio_negotiate(&balloon, hostile_features()) && virtq_setup(&queue[INFLATE], &balloon, 0, 8) &&
			  virtq_setup(&queue[DEFLATE], &balloon, 1, 8), "set up");
	virtio_driver_ok(&balloon);
	memset(pages, 0x66, sizeof(pages));
	for (unsigned int i = 0; i < PAGES; i++)
		list[i] = (uint32_t)((uint64_t)pages[PAGES - 1 - i] >> 12);
	for (unsigned int i = 0; i < 10; i++)
		good = good && move_pages(INFLATE) && move_pages(DEFLATE);
	tap_check(good, "%d pages in and out, ten times", PAGES);
	cpu_write32(balloon.config + ACTUAL, PAGES);
	tap_equal(cpu_read32(balloon.config + ACTUAL), PAGES, "their number can be told");
	memset(pages, 0x55, PAGES * 4096);
	tap_check(pages[0][0] == 0x55 && !memcmp(pages, pages[0] + 1, PAGES * 4096 - 1), "they are ours again");
	tap_check(pages[PAGES][0] == 0x66 && !memcmp(pages[PAGES], pages[PAGES] + 1, 4095), "their neighbour is untouched");
}
