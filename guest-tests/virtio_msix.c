/*
 * A disk's queue interrupts by the MSI-X vector it was given, once for a request, by another after a change, and
 * not at all without one. virtio 1.2, 4.1.5.1.2; PCI Local Bus 3.0, 6.8.2.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile_blk.h"
#include "lib/lapic.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define VECTOR 0xa0
#define ROUNDS 10

static volatile unsigned int counts[2];

static void interrupt(struct trap_frame *frame)
{
	counts[frame->vector - VECTOR]++;
	lapic_eoi();
}

/* Requests, each waited for; how many interrupts came by an entry? */
static unsigned int requests(unsigned int entry)
{
	unsigned int was = counts[entry];

	for (unsigned int i = 1; i <= ROUNDS; i++) {
		arena_reset();
		if (blk_read() != SERVED)
			return 0;
		CLOCK_WAIT_FOR(counts[entry] == was + i, CLOCK_MS(2000));
	}
	clock_wait_ticks(CLOCK_MS(2));
	return counts[entry] - was;
}

void test_main(void)
{
	blk_init();
	if (!blk.msix)
		tap_bail("no MSI-X");
	for (unsigned int i = 0; i < 2; i++)
		trap_set_handler((uint8_t)(VECTOR + i), interrupt);
	tap_check(blk_rig.start(), "set up");
	tap_between(blk.nr_vectors, 2, 2048, "%u vectors", blk.nr_vectors);
	for (unsigned int i = 0; i < 2; i++)
		virtio_msix_route(&blk, i, lapic_msi_address(lapic_id()), VECTOR + i, false);
	virtio_msix_enable(&blk, true);
	cpu_enable_interrupts();
	tap_equal(virtq_set_vector(&blk_queue, 0), 0, "the queue has vector 0");
	tap_equal(requests(0), ROUNDS, "each request interrupts once");
	tap_equal(virtq_set_vector(&blk_queue, 1), 1, "the queue has vector 1");
	tap_equal(requests(1), ROUNDS, "each request interrupts once there");
	tap_equal(counts[0], ROUNDS, "and not by the old one");
	tap_equal(virtq_set_vector(&blk_queue, VIRTIO_NO_VECTOR), VIRTIO_NO_VECTOR, "the queue has no vector");
	arena_reset();
	tap_equal(blk_read(), SERVED, "it is served without");
	clock_wait_ticks(CLOCK_MS(3));
	tap_equal(counts[0] + counts[1], 2 * ROUNDS, "and no interrupt comes");
}
