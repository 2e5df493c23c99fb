/*
 * An entropy device given buffers that are empty, lie nowhere, are endless or may not be written.
 * virtio 1.2, 5.4. It comes back with what it could write, in front; nothing else is written.
 */
#include "lib/clock.h"
#include "lib/hostile.h"
#include "lib/tap.h"

#define BUFFER (arena + 0x100)

static struct virtio rng;
static struct virtq queue;

static bool rng_start(void)
{
	if (!virtio_negotiate(&rng, hostile_features()) || !virtq_setup(&queue, &rng, 0, 16))
		return false;
	virtio_driver_ok(&rng);
	return true;
}

static unsigned int submit(const struct virtq_seg *seg, unsigned int n, uint32_t *bytes)
{
	virtq_add(&queue, seg, n);
	arena_remember();
	return hostile_settle(&queue, bytes);
}

static bool rng_serve(void)
{
	const struct virtq_seg seg = { (uint64_t)BUFFER, 16, true };
	uint32_t bytes;

	arena_allow(BUFFER, 16);
	return submit(&seg, 1, &bytes) == RETURNED && bytes > 0 && bytes <= 16 && arena_intact();
}

static unsigned int buffer_at(uint64_t place, uint64_t bytes)
{
	const struct virtq_seg seg = { hostile_place(&rng, (enum hostile_place)place), (uint32_t)bytes, true };
	uint32_t used;

	return submit(&seg, 1, &used);
}

static unsigned int buffer_of(uint64_t bytes, uint64_t write)
{
	const struct virtq_seg seg = { (uint64_t)BUFFER, (uint32_t)bytes, write };
	uint32_t used = 0;
	unsigned int came;

	if (write)
		arena_allow(BUFFER, (uint32_t)bytes);
	came = submit(&seg, 1, &used);
	return used > bytes ? WRONG : came;
}

static unsigned int good_then_at(uint64_t place, uint64_t bytes)
{
	const struct virtq_seg seg[] = {
		{ (uint64_t)BUFFER, 16, true },
		{ hostile_place(&rng, (enum hostile_place)place), (uint32_t)bytes, true },
	};
	uint32_t used;

	arena_allow(BUFFER, 16);
	return submit(seg, 2, &used);
}

static unsigned int readable_then_good(uint64_t a, uint64_t b)
{
	const struct virtq_seg seg[] = { { (uint64_t)arena, 64, false }, { (uint64_t)BUFFER, 7, true } };
	uint32_t used;

	(void)a, (void)b;
	arena_allow(BUFFER, 7);
	return submit(seg, 2, &used);
}

static unsigned int full_ring(uint64_t a, uint64_t b)
{
	const struct virtq_seg seg = { (uint64_t)BUFFER, 8, true };
	unsigned int came = NOTHING;
	uint32_t used;

	(void)a, (void)b;
	arena_allow(BUFFER, 8);
	for (unsigned int i = 0; i < 15; i++)
		virtq_add(&queue, &seg, 1);
	came = submit(&seg, 1, &used);
	for (unsigned int i = 0; i < 15 && came == RETURNED; i++)
		came = hostile_poll(&queue, &used, CLOCK_MS(2000));
	return came;
}

static unsigned int reset_in_flight(uint64_t a, uint64_t b)
{
	const struct virtq_seg seg = { (uint64_t)BUFFER, 512, true };

	(void)a, (void)b;
	for (unsigned int i = 0; i < 8; i++) {
		virtq_add(&queue, &seg, 1);
		virtq_kick(&queue);
		if (!rng_start())
			return WRONG;
		arena_reset();
		clock_wait_ticks(CLOCK_US(200));
		if (!arena_intact())
			return WRONG;
	}
	return RETURNED;
}

static const struct hostile_case cases[] = {
	{ "buffer_empty_settled", SETTLED, buffer_of, 0, 1, CASE_NOT_QEMU },
	{ "buffer_of_1_byte_returned", RETURNED, buffer_of, 1, 1, 0 },
	{ "buffer_that_is_readable_settled", SETTLED, buffer_of, 64, 0, CASE_NOT_QEMU },
	{ "readable_part_in_front_returned", RETURNED, readable_then_good, 0, 0, 0 },
	{ "buffer_beyond_ram_settled", SETTLED, buffer_at, BEYOND_RAM, 64, CASE_NOT_QEMU },
	{ "buffer_over_end_of_ram_settled", SETTLED, buffer_at, RAM_END, 64, CASE_NOT_QEMU },
	{ "buffer_wrapping_settled", SETTLED, buffer_at, TOP_OF_SPACE, 64, CASE_NOT_QEMU },
	{ "buffer_with_bit_63_settled", SETTLED, buffer_at, BIT_63, 64, CASE_NOT_QEMU },
	{ "buffer_in_own_registers_settled", SETTLED, buffer_at, OWN_COMMON, 64, CASE_NOT_QEMU },
	{ "buffer_in_local_apic_settled", SETTLED, buffer_at, LAPIC_PAGE, 64, CASE_NOT_QEMU },
	{ "buffer_of_4_gib_less_1_settled", SETTLED, buffer_at, BEYOND_RAM, 0xffffffff, CASE_NOT_QEMU },
	{ "second_part_beyond_ram_settled", SETTLED, good_then_at, BEYOND_RAM, 64, CASE_NOT_QEMU },
	{ "second_part_of_4_gib_less_1_settled", SETTLED, good_then_at, BIT_52, 0xffffffff, CASE_NOT_QEMU },
	{ "ring_full_of_buffers_returned", RETURNED, full_ring, 0, 0, CASE_NOT_QEMU },
	{ "reset_in_flight_stops_everything", RETURNED, reset_in_flight, 0, 0, 0 },
};

static const struct hostile_rig rig = { .dev = &rng, .start = rng_start, .serve = rng_serve };

void test_main(void)
{
	virtio_find(&rng, VIRTIO_RNG, 0);
	HOSTILE_RUN(&rig, cases);
}
