/*
 * A disk set up against the rules: rings in registers, nowhere, misaligned and on top of each other, sizes and
 * selectors out of range, queues enabled twice, never or too early, the status written at random, features
 * that were never offered, queue resets at odd times.
 *
 * virtio 1.2, 2.1, 2.2, 2.6 and 3.1. What the driver leaves undefined may come out in any way but harm.
 *
 * Not for QEMU 7.2: rings in registers, which it uses; misaligned rings, which stop it or not.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile_blk.h"
#include "lib/tap.h"

#define Q (&blk_queue)

enum { FEATURES = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK };

/* Everything before DRIVER_OK; the queue is not enabled. */
static bool half_way(void)
{
	if (!virtio_negotiate(&blk, hostile_features() | VIRTIO_F_RING_RESET) || !virtq_init(Q, &blk, 0, 16))
		return false;
	virtq_write(Q);
	return true;
}

static void queue_enable(void)
{
	virtio_put16(&blk, VIRTIO_QUEUE_SELECT, 0);
	virtio_put16(&blk, VIRTIO_QUEUE_ENABLE, 1);
}

/* A good read, which may stay undone: 400 ms are enough to see it done, on a busy host too. */
static unsigned int try_read(void)
{
	struct virtq_seg seg[3];
	uint32_t bytes;

	blk_read_segs(seg);
	virtq_add(Q, seg, 3);
	arena_remember();
	virtq_kick(Q);
	return blk_judge(hostile_poll(Q, &bytes, CLOCK_MS(400)));
}

static unsigned int go_on(void)
{
	queue_enable();
	virtio_driver_ok(&blk);
	return try_read();
}

/* ---- where the rings are ---- */

static unsigned int area_at(uint64_t reg, uint64_t place)
{
	if (!half_way())
		return WRONG;
	virtio_put64(&blk, (unsigned int)reg, hostile_place(&blk, (enum hostile_place)place));
	return go_on();
}

static unsigned int area_misaligned(uint64_t reg, uint64_t by)
{
	if (!half_way())
		return WRONG;
	virtio_put64(&blk, (unsigned int)reg, (uint64_t)Q->desc + (reg - VIRTIO_QUEUE_DESC) * 128 + by);
	return go_on();
}

static unsigned int areas_overlap(uint64_t reg, uint64_t other)
{
	uint64_t at = (uint64_t)Q->desc + (other - VIRTIO_QUEUE_DESC) * 128;

	if (!half_way())
		return WRONG;
	virtio_put64(&blk, (unsigned int)reg, at);
	return go_on();
}

static unsigned int areas_in_one_hole(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	if (!half_way())
		return WRONG;
	for (unsigned int reg = VIRTIO_QUEUE_DESC; reg <= VIRTIO_QUEUE_DEVICE; reg += 8)
		virtio_put64(&blk, reg, hostile_place(&blk, BEYOND_RAM));
	return go_on();
}

/* ---- sizes and selectors ---- */

static unsigned int queue_size(uint64_t size, uint64_t b)
{
	uint16_t most, got;

	(void)b;
	if (!virtio_negotiate(&blk, hostile_features()) || !virtq_init(Q, &blk, 0, 64))
		return WRONG;
	most = virtio_get16(&blk, VIRTIO_QUEUE_SIZE);
	virtq_write(Q);
	virtio_put16(&blk, VIRTIO_QUEUE_SIZE, (uint16_t)size);
	got = virtio_get16(&blk, VIRTIO_QUEUE_SIZE);
	if (got > most)
		return WRONG;
	if (got && got <= VIRTQ_MAX)
		Q->size = got;
	return go_on();
}

/* Nothing behind a selector without a queue; and queue 0 keeps what it has. */
static unsigned int select_beyond(uint64_t queue, uint64_t b)
{
	(void)b;
	if (!half_way())
		return WRONG;
	virtio_put16(&blk, VIRTIO_QUEUE_SELECT, (uint16_t)queue);
	if (virtio_get16(&blk, VIRTIO_QUEUE_SIZE) || virtio_get16(&blk, VIRTIO_QUEUE_ENABLE))
		return WRONG;
	virtio_put16(&blk, VIRTIO_QUEUE_SIZE, 2);
	virtio_put16(&blk, VIRTIO_QUEUE_VECTOR, 0);
	for (unsigned int reg = VIRTIO_QUEUE_DESC; reg <= VIRTIO_QUEUE_DEVICE; reg += 8)
		virtio_put64(&blk, reg, -1ull);
	virtio_put16(&blk, VIRTIO_QUEUE_ENABLE, 1);
	virtio_put16(&blk, VIRTIO_QUEUE_RESET, 1);
	return go_on();
}

static unsigned int kick_value(uint64_t value, uint64_t bytes)
{
	unsigned int came = blk_read();

	if (came != SERVED)
		return came;
	if (bytes == 1)
		cpu_write8(Q->doorbell, (uint8_t)value);
	else if (bytes == 2)
		cpu_write16(Q->doorbell, (uint16_t)value);
	else if (bytes == 4)
		cpu_write32(Q->doorbell, (uint32_t)value);
	else
		cpu_write64(Q->doorbell, value);
	return blk_read();
}

static unsigned int kick_at(uint64_t offset, uint64_t b)
{
	(void)b;
	cpu_write16(blk.notify + offset, (uint16_t)(offset / 4));
	return blk_read();
}

/* ---- enabling ---- */

static unsigned int enable_twice(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	queue_enable();
	return blk_read();
}

static unsigned int enable_with(uint64_t value, uint64_t enabled_before)
{
	if (!half_way())
		return WRONG;
	if (enabled_before)
		queue_enable();
	virtio_put16(&blk, VIRTIO_QUEUE_ENABLE, (uint16_t)value);
	virtio_driver_ok(&blk);
	return try_read();
}

static unsigned int enable_before_addresses(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	if (!virtio_negotiate(&blk, hostile_features()) || !virtq_init(Q, &blk, 0, 16))
		return WRONG;
	for (unsigned int reg = VIRTIO_QUEUE_DESC; reg <= VIRTIO_QUEUE_DEVICE; reg += 8)
		virtio_put64(&blk, reg, hostile_place(&blk, BEYOND_RAM));
	queue_enable();
	virtq_write(Q);
	virtio_driver_ok(&blk);
	return try_read();
}

static unsigned int enable_before_features(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	virtio_reset(&blk);
	virtq_init(Q, &blk, 0, 16);
	virtq_write(Q);
	queue_enable();
	return try_read();
}

static unsigned int enable_after_driver_ok(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	if (!half_way())
		return WRONG;
	virtio_driver_ok(&blk);
	queue_enable();
	return try_read();
}

/* What is written to a queue that runs must not move it. */
static unsigned int move_while_enabled(uint64_t reg, uint64_t to)
{
	virtio_put16(&blk, VIRTIO_QUEUE_SELECT, 0);
	if (reg == VIRTIO_QUEUE_SIZE)
		virtio_put16(&blk, VIRTIO_QUEUE_SIZE, (uint16_t)to);
	else
		virtio_put64(&blk, (unsigned int)reg, to);
	return blk_read();
}

/* ---- kicks and status ---- */

static unsigned int kick_never_enabled(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	if (!half_way())
		return WRONG;
	virtio_driver_ok(&blk);
	return try_read();
}

static unsigned int kick_before_driver_ok(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	if (!half_way())
		return WRONG;
	queue_enable();
	return try_read();
}

/* Straight to a status; then a queue, set up as if all were well. */
static unsigned int status_jump(uint64_t status, uint64_t then)
{
	virtio_reset(&blk);
	virtio_put8(&blk, VIRTIO_STATUS, (uint8_t)status);
	virtq_init(Q, &blk, 0, 16);
	virtq_write(Q);
	queue_enable();
	if (then)
		virtio_put8(&blk, VIRTIO_STATUS, (uint8_t)then);
	return try_read();
}

/* A status written to a device that runs. */
static unsigned int status_write(uint64_t status, uint64_t b)
{
	(void)b;
	virtio_put8(&blk, VIRTIO_STATUS, (uint8_t)status);
	return try_read();
}

static unsigned int status_storm(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	for (unsigned int i = 0; i < 256; i++)
		virtio_put8(&blk, VIRTIO_STATUS, (uint8_t)(i * 37));
	return try_read();
}

static unsigned int reset_storm(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	for (unsigned int i = 0; i < 64; i++)
		virtio_put8(&blk, VIRTIO_STATUS, 0);
	return virtio_status(&blk) == 0 ? NOTHING : WRONG;
}

static unsigned int reset_in_flight(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)a, (void)b;
	for (unsigned int i = 0; i < 8; i++) {
		blk_read_segs(seg);
		virtq_add(Q, seg, 3);
		virtq_kick(Q);
		if (!blk_rig.start())
			return WRONG;
		arena_reset();	/* nothing may come after the reset */
		clock_wait_ticks(CLOCK_US(300));
		if (!arena_intact())
			return WRONG;
	}
	return SERVED;
}

/* ---- features ---- */

/* Features the device never offered: it says no, or leaves them out. */
static unsigned int features_unoffered(uint64_t features, uint64_t b)
{
	uint64_t got;

	(void)b;
	virtio_reset(&blk);
	virtio_put8(&blk, VIRTIO_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	virtio_put_features(&blk, features);
	virtio_put8(&blk, VIRTIO_STATUS, FEATURES);
	if (!(virtio_status(&blk) & VIRTIO_FEATURES_OK))
		return ERROR;
	got = (uint64_t)virtio_get32(&blk, VIRTIO_DRIVER_FEATURE) << 32;
	virtio_put32(&blk, VIRTIO_DRIVER_FEATURE_SELECT, 0);
	got |= virtio_get32(&blk, VIRTIO_DRIVER_FEATURE);
	return got & ~blk.offered ? WRONG : SERVED;
}

static unsigned int features_beyond(uint64_t select, uint64_t b)
{
	(void)b;
	if (!half_way())
		return WRONG;
	virtio_put32(&blk, VIRTIO_DEVICE_FEATURE_SELECT, (uint32_t)select);
	if (virtio_get32(&blk, VIRTIO_DEVICE_FEATURE) != 0)
		return WRONG;
	virtio_put32(&blk, VIRTIO_DRIVER_FEATURE_SELECT, (uint32_t)select);
	virtio_put32(&blk, VIRTIO_DRIVER_FEATURE, 0xffffffff);
	return go_on();
}

static unsigned int features_too_late(uint64_t features, uint64_t b)
{
	(void)b;
	virtio_put_features(&blk, features);
	return blk_read();
}

/* ---- queue reset, 2.6.1 ---- */

static unsigned int queue_again(void)
{
	if (!CLOCK_WAIT_FOR(!virtio_get16(&blk, VIRTIO_QUEUE_RESET), CLOCK_MS(2000)))
		return WRONG;
	if (virtio_get16(&blk, VIRTIO_QUEUE_ENABLE) || !virtq_setup(Q, &blk, 0, 16))
		return WRONG;
	return blk_read();
}

static bool can_reset_queues(void)
{
	return blk.features & VIRTIO_F_RING_RESET;
}

static unsigned int queue_reset_in_flight(uint64_t nr, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)b;
	if (!can_reset_queues())
		return NOTHING;
	blk_read_segs(seg);
	for (unsigned int i = 0; i < nr; i++)
		virtq_add(Q, seg, 3);
	virtq_kick(Q);
	virtio_put16(&blk, VIRTIO_QUEUE_SELECT, 0);
	virtio_put16(&blk, VIRTIO_QUEUE_RESET, 1);
	return queue_again();
}

static unsigned int queue_reset_twice(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	if (!can_reset_queues())
		return NOTHING;
	virtio_put16(&blk, VIRTIO_QUEUE_SELECT, 0);
	virtio_put16(&blk, VIRTIO_QUEUE_RESET, 1);
	virtio_put16(&blk, VIRTIO_QUEUE_RESET, 1);
	return queue_again();
}

static unsigned int queue_reset_never_enabled(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	if (!half_way())
		return WRONG;
	virtio_put16(&blk, VIRTIO_QUEUE_RESET, 1);
	virtq_setup(Q, &blk, 0, 16);
	virtio_driver_ok(&blk);
	return try_read();
}

static unsigned int queue_reset_not_negotiated(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	if (!blk_start_with(hostile_features()))
		return WRONG;
	virtio_put16(&blk, VIRTIO_QUEUE_SELECT, 0);
	virtio_put16(&blk, VIRTIO_QUEUE_RESET, 1);
	return blk_read();
}

static unsigned int queue_reset_value(uint64_t value, uint64_t b)
{
	(void)b;
	virtio_put16(&blk, VIRTIO_QUEUE_SELECT, 0);
	virtio_put16(&blk, VIRTIO_QUEUE_RESET, (uint16_t)value);
	return try_read();
}

static unsigned int queue_reset_broken(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	virtq_add_raw(Q, &(struct virtq_desc){ (uint64_t)arena, 0, VIRTQ_INDIRECT, Q->next });
	if (blk_settle() != BROKEN)
		return WRONG;
	virtio_put16(&blk, VIRTIO_QUEUE_SELECT, 0);
	virtio_put16(&blk, VIRTIO_QUEUE_RESET, 1);
	virtq_setup(Q, &blk, 0, 16);
	return try_read();
}

#define UNUSABLE (BROKEN | NOTHING)

static const struct hostile_case cases[] = {
	{ "descriptors_beyond_ram_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DESC, BEYOND_RAM, 0 },
	{ "descriptors_over_end_of_ram_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DESC, RAM_END, CASE_NOT_QEMU },
	{ "descriptors_wrapping_to_zero_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DESC, TOP_OF_SPACE, CASE_NOT_QEMU },
	{ "descriptors_with_bit_63_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DESC, BIT_63, 0 },
	{ "descriptors_with_bit_32_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DESC, BIT_32, 0 },
	{ "descriptors_in_own_registers_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DESC, OWN_COMMON, CASE_NOT_QEMU },
	{ "descriptors_in_local_apic_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DESC, LAPIC_PAGE, CASE_NOT_QEMU },
	{ "driver_area_beyond_ram_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DRIVER, BEYOND_RAM, CASE_SPLIT },
	{ "driver_area_beyond_ram_harmless", ANYTHING, area_at, VIRTIO_QUEUE_DRIVER, BEYOND_RAM, CASE_PACKED },
	{ "driver_area_in_own_registers_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DRIVER, OWN_COMMON, CASE_NOT_QEMU },
	{ "driver_area_with_bit_63_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DRIVER, BIT_63, CASE_SPLIT },
	{ "device_area_beyond_ram_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DEVICE, BEYOND_RAM, CASE_SPLIT },
	{ "device_area_beyond_ram_harmless", ANYTHING, area_at, VIRTIO_QUEUE_DEVICE, BEYOND_RAM, CASE_PACKED },
	{ "device_area_in_own_registers_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DEVICE, OWN_COMMON, CASE_NOT_QEMU },
	{ "device_area_in_own_vectors_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DEVICE, OWN_MSIX, CASE_NOT_QEMU },
	{ "device_area_with_bit_52_unusable", UNUSABLE, area_at, VIRTIO_QUEUE_DEVICE, BIT_52, CASE_SPLIT },
	{ "descriptors_misaligned_harmless", ANYTHING, area_misaligned, VIRTIO_QUEUE_DESC, 8, CASE_NOT_QEMU },
	{ "descriptors_at_odd_address_harmless", ANYTHING, area_misaligned, VIRTIO_QUEUE_DESC, 1, CASE_NOT_QEMU },
	{ "driver_area_at_odd_address_harmless", ANYTHING, area_misaligned, VIRTIO_QUEUE_DRIVER, 1, CASE_NOT_QEMU },
	{ "device_area_misaligned_harmless", ANYTHING, area_misaligned, VIRTIO_QUEUE_DEVICE, 2, CASE_NOT_QEMU },
	{ "used_ring_over_descriptors_harmless", ANYTHING, areas_overlap, VIRTIO_QUEUE_DEVICE, VIRTIO_QUEUE_DESC, 0 },
	{ "avail_ring_over_descriptors_harmless", ANYTHING, areas_overlap, VIRTIO_QUEUE_DRIVER, VIRTIO_QUEUE_DESC, 0 },
	{ "used_ring_over_avail_ring_harmless", ANYTHING, areas_overlap, VIRTIO_QUEUE_DEVICE, VIRTIO_QUEUE_DRIVER, 0 },
	{ "rings_all_in_one_hole_unusable", UNUSABLE, areas_in_one_hole, 0, 0, 0 },

	{ "queue_size_0_harmless", ANYTHING, queue_size, 0, 0, 0 },
	{ "queue_size_17_harmless", ANYTHING, queue_size, 17, 0, CASE_SPLIT | CASE_NOT_QEMU },
	{ "queue_size_17_served", SERVED, queue_size, 17, 0, CASE_PACKED },
	{ "queue_size_4096_harmless", ANYTHING, queue_size, 4096, 0, 0 },
	{ "queue_size_all_ones_harmless", ANYTHING, queue_size, 0xffff, 0, CASE_NOT_QEMU },
	{ "select_one_beyond_served", SERVED, select_beyond, 64, 0, 0 },
	{ "select_all_ones_served", SERVED, select_beyond, 0xffff, 0, CASE_NOT_QEMU },
	{ "kick_with_wrong_number_served", SERVED, kick_value, 0x1234, 2, 0 },
	{ "kick_of_1_byte_served", SERVED, kick_value, 0xff, 1, 0 },
	{ "kick_of_4_bytes_served", SERVED, kick_value, 0xffffffff, 4, 0 },
	{ "kick_of_8_bytes_served", SERVED, kick_value, -1ull, 8, 0 },
	{ "kick_of_last_queue_beyond_served", SERVED, kick_at, 0xf00, 0, 0 },
	{ "kick_between_doorbells_served", SERVED, kick_at, 2, 0, 0 },

	{ "queue_enabled_twice_served", SERVED, enable_twice, 0, 0, 0 },
	{ "queue_enable_0_leaves_it_off", NOTHING, enable_with, 0, 0, 0 },
	{ "queue_enable_2_harmless", ANYTHING, enable_with, 2, 0, 0 },
	{ "queue_enable_0_of_enabled_harmless", ANYTHING, enable_with, 0, true, 0 },
	{ "enabled_before_addresses_harmless", ANYTHING, enable_before_addresses, 0, 0, 0 },
	{ "enabled_before_features_not_served", UNUSABLE, enable_before_features, 0, 0, CASE_NOT_QEMU },
	{ "enabled_after_driver_ok_harmless", ANYTHING, enable_after_driver_ok, 0, 0, 0 },
	{ "descriptors_moved_while_enabled_stay", SERVED, move_while_enabled, VIRTIO_QUEUE_DESC, -16ull, CASE_NOT_QEMU },
	{ "driver_area_moved_while_enabled_stays", SERVED, move_while_enabled, VIRTIO_QUEUE_DRIVER, 0x50000000,
	  CASE_NOT_QEMU },
	{ "device_area_moved_while_enabled_stays", SERVED, move_while_enabled, VIRTIO_QUEUE_DEVICE, 0x50000000,
	  CASE_NOT_QEMU },
	{ "size_changed_while_enabled_stays", SERVED, move_while_enabled, VIRTIO_QUEUE_SIZE, 4, CASE_NOT_QEMU },

	{ "kick_of_queue_never_enabled_nothing", NOTHING, kick_never_enabled, 0, 0, 0 },
	{ "kick_before_driver_ok_nothing", NOTHING, kick_before_driver_ok, 0, 0, CASE_NOT_QEMU },
	{ "driver_ok_without_features_ok_not_served", UNUSABLE, status_jump, 7, 0, CASE_NOT_QEMU },
	{ "driver_ok_alone_not_served", UNUSABLE, status_jump, 4, 0, CASE_NOT_QEMU },
	{ "status_all_ones_from_nothing_not_served", UNUSABLE, status_jump, 0xff, 0, CASE_NOT_QEMU },
	{ "driver_ok_after_failed_not_served", UNUSABLE, status_jump, 0x83, 0x0f, CASE_NOT_QEMU },
	{ "status_bits_cleared_harmless", ANYTHING, status_write, 1, 0, 0 },
	{ "features_ok_cleared_harmless", ANYTHING, status_write, 7, 0, 0 },
	{ "failed_while_running_harmless", ANYTHING, status_write, 0x8f, 0, 0 },
	{ "needs_reset_written_by_driver_harmless", ANYTHING, status_write, 0x4f, 0, 0 },
	{ "driver_ok_twice_served", SERVED, status_write, 0x0f, 0, 0 },
	{ "reserved_status_bits_harmless", ANYTHING, status_write, 0x3f, 0, 0 },
	{ "status_storm_harmless", ANYTHING, status_storm, 0, 0, CASE_NOT_QEMU },
	{ "reset_storm_harmless", NOTHING, reset_storm, 0, 0, 0 },
	{ "reset_in_flight_stops_everything", SERVED, reset_in_flight, 0, 0, 0 },

	{ "features_never_offered_refused", ERROR | SERVED, features_unoffered, VIRTIO_F_VERSION_1 | VIRTIO_BIT(50), 0,
	  CASE_NOT_QEMU },
	{ "features_all_ones_refused", ERROR | SERVED, features_unoffered, -1ull, 0, CASE_NOT_QEMU },
	{ "features_without_version_1_refused", ERROR, features_unoffered, VIRTIO_F_INDIRECT, 0, CASE_NOT_QEMU },
	{ "features_none_refused", ERROR, features_unoffered, 0, 0, CASE_NOT_QEMU },
	{ "feature_select_2_reads_0", SERVED, features_beyond, 2, 0, 0 },
	{ "feature_select_all_ones_reads_0", SERVED, features_beyond, 0xffffffff, 0, 0 },
	{ "features_after_features_ok_ignored", SERVED, features_too_late, 0, 0, CASE_NOT_QEMU },
	{ "features_after_driver_ok_ignored", SERVED, features_too_late, -1ull, 0, CASE_NOT_QEMU },

	{ "queue_reset_in_flight_then_served", SERVED | NOTHING, queue_reset_in_flight, 1, 0, 0 },
	{ "queue_reset_with_5_in_flight_then_served", SERVED | NOTHING, queue_reset_in_flight, 5, 0, 0 },
	{ "queue_reset_of_idle_then_served", SERVED | NOTHING, queue_reset_in_flight, 0, 0, 0 },
	{ "queue_reset_twice_then_served", SERVED | NOTHING, queue_reset_twice, 0, 0, 0 },
	{ "queue_reset_of_disabled_then_served", SERVED, queue_reset_never_enabled, 0, 0, 0 },
	{ "queue_reset_not_negotiated_ignored", SERVED, queue_reset_not_negotiated, 0, 0, CASE_NOT_QEMU },
	{ "queue_reset_0_harmless", SERVED, queue_reset_value, 0, 0, 0 },
	{ "queue_reset_2_harmless", ANYTHING, queue_reset_value, 2, 0, 0 },
	{ "queue_reset_of_broken_does_not_mend", ANYTHING, queue_reset_broken, 0, 0, CASE_NOT_QEMU },
};

void test_main(void)
{
	blk_init();
	HOSTILE_RUN(&blk_rig, cases);
}
