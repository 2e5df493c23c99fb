/*
 * Requests to a disk that make no sense: beyond its end, in odd pieces, without header or status, of unknown
 * types, discards of nothing known. The request fails, and nothing but its status is written.
 *
 * virtio 1.2, 5.2.6. The disk has 32768 sectors. Rings are sound here: see virtio_ring_hostile.c.
 */
#include "lib/clock.h"
#include "lib/hostile_blk.h"
#include "lib/string.h"
#include "lib/tap.h"

#define SECTORS 32768
#define RANGE   (arena + 0x180)

/* data of so many bytes, read or written by the device, in a request to a sector */
static unsigned int request(uint32_t type, uint64_t sector, uint32_t bytes)
{
	bool in = type == BLK_IN || type == BLK_GET_ID;
	struct virtq_seg seg[] = {
		{ (uint64_t)BLK_HEADER, BLK_HEADER_BYTES, false },
		{ (uint64_t)BLK_DATA, bytes, in },
		{ (uint64_t)BLK_STATUS, 1, true },
	};

	blk_prepare(type, sector);
	if (in)
		arena_allow(BLK_DATA, bytes);
	if (bytes)
		return blk_submit(seg, 3);
	seg[1] = seg[2];
	return blk_submit(seg, 2);
}

static unsigned int read_sector(uint64_t sector, uint64_t bytes)
{
	return request(BLK_IN, sector, (uint32_t)bytes);
}

static unsigned int write_sector(uint64_t sector, uint64_t bytes)
{
	return request(BLK_OUT, sector, (uint32_t)bytes);
}

static unsigned int of_type(uint64_t type, uint64_t bytes)
{
	return request((uint32_t)type, 5, (uint32_t)bytes);
}

/* ---- framing is free (2.7.4): these are served ---- */

static unsigned int header_in_pieces(uint64_t bytes, uint64_t data_in_one)
{
	struct virtq_seg seg[18];
	unsigned int n = 0;

	blk_read_segs(seg);
	seg[17] = seg[2];
	for (uint32_t at = 0; at < BLK_HEADER_BYTES; at += (uint32_t)bytes)
		seg[n++] = (struct virtq_seg){ (uint64_t)BLK_HEADER + at, (uint32_t)bytes, false };
	if (data_in_one) {
		arena_allow(BLK_DATA, BLK_SECTOR);
		seg[n++] = (struct virtq_seg){ (uint64_t)BLK_DATA, BLK_SECTOR, true };
	}
	seg[n++] = seg[17];
	virtq_add_indirect(&blk_queue, BLK_TABLE, seg, n);
	return blk_settle();
}

/* Data and status in one descriptor, and data in odd pieces. */
static unsigned int data_and_status(uint64_t first, uint64_t b)
{
	struct virtq_seg seg[] = {
		{ (uint64_t)BLK_HEADER, BLK_HEADER_BYTES, false },
		{ (uint64_t)BLK_DATA, (uint32_t)first, true },
		{ (uint64_t)BLK_DATA + first, BLK_SECTOR + 1 - (uint32_t)first, true },
	};
	unsigned int came;

	(void)b;
	blk_prepare(BLK_IN, 5);
	arena_allow(BLK_DATA, BLK_SECTOR + 1);
	BLK_DATA[BLK_SECTOR] = BLK_UNTOUCHED;
	came = blk_submit(seg, first <= BLK_SECTOR ? 3 : 2);
	if (came != RETURNED)
		return came;
	return *(volatile uint8_t *)(BLK_DATA + BLK_SECTOR) == 0 && BLK_DATA[0] == 0x5a ? SERVED : WRONG;
}

static unsigned int header_and_data(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[] = {
		{ (uint64_t)BLK_DATA, BLK_HEADER_BYTES + BLK_SECTOR, false },
		{ (uint64_t)BLK_STATUS, 1, true },
	};

	(void)a, (void)b;
	blk_prepare(BLK_OUT, 40);
	memmove(BLK_DATA, BLK_HEADER, BLK_HEADER_BYTES);
	return blk_submit(seg, 2);
}

/* ---- framing that leaves something out ---- */

static unsigned int only(uint64_t part, uint64_t bytes)
{
	struct virtq_seg seg[3];

	blk_read_segs(seg);
	if (bytes)
		seg[part].bytes = (uint32_t)bytes;
	return blk_submit(seg + part, 1);
}

static unsigned int all_readable(uint64_t type, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)b;
	blk_read_segs(seg);
	blk_prepare((uint32_t)type, 5);
	seg[1].write = seg[2].write = false;
	return blk_submit(seg, 3);
}

static unsigned int short_header(uint64_t bytes, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)b;
	blk_read_segs(seg);
	seg[0].bytes = (uint32_t)bytes;
	return blk_submit(seg, 3);
}

static unsigned int no_header(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)a, (void)b;
	blk_read_segs(seg);
	return blk_submit(seg + 1, 2);
}

/* A write whose data the device may only write, and a read whose data it may only read. */
static unsigned int data_turned_round(uint64_t type, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)b;
	blk_read_segs(seg);
	blk_prepare((uint32_t)type, 5);
	seg[1].write = type == BLK_OUT;
	return blk_submit(seg, 3);
}

/* Segments which are all the same memory. */
static unsigned int all_in_one_place(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)a, (void)b;
	blk_read_segs(seg);
	seg[2].at = seg[0].at = seg[1].at;
	memmove(BLK_DATA, BLK_HEADER, BLK_HEADER_BYTES);
	return blk_submit(seg, 3);
}

/* ---- discard and write-zeroes ---- */

static unsigned int ranges(uint32_t type, const void *bytes, uint32_t nr_bytes)
{
	const struct virtq_seg seg[] = {
		{ (uint64_t)BLK_HEADER, BLK_HEADER_BYTES, false },
		{ (uint64_t)RANGE, nr_bytes, false },
		{ (uint64_t)BLK_STATUS, 1, true },
	};

	blk_prepare(type, 0);
	memmove(RANGE, bytes, nr_bytes < 64 ? nr_bytes : 64);
	return blk_submit(seg, 3);
}

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

static unsigned int range_at(uint64_t type, uint64_t sector)
{
	struct range r = { sector, 8, 0 };

	return ranges((uint32_t)type, &r, sizeof(r));
}

static unsigned int range_sectors(uint64_t type, uint64_t sectors)
{
	struct range r = { 64, (uint32_t)sectors, 0 };

	return ranges((uint32_t)type, &r, sizeof(r));
}

static unsigned int range_flags(uint64_t type, uint64_t flags)
{
	struct range r = { 64, 8, (uint32_t)flags };

	return ranges((uint32_t)type, &r, sizeof(r));
}

static unsigned int range_bytes(uint64_t type, uint64_t bytes)
{
	struct range r[4] = { { 64, 8, 0 }, { 80, 8, 0 }, { 96, 8, 0 }, { 112, 8, 0 } };

	return ranges((uint32_t)type, r, (uint32_t)bytes);
}

/* One good range, and one beyond the end: the good one must be left alone too, as sector 5 shows. */
static unsigned int second_range_bad(uint64_t type, uint64_t b)
{
	struct range r[2] = { { 5, 1, 0 }, { SECTORS, 8, 0 } };

	(void)b;
	return ranges((uint32_t)type, r, sizeof(r));
}

static const struct hostile_case cases[] = {
	{ "read_at_end_fails", ERROR, read_sector, SECTORS, 512, 0 },
	{ "read_over_end_fails", ERROR, read_sector, SECTORS - 1, 1024, 0 },
	{ "read_far_beyond_fails", ERROR, read_sector, 1ull << 40, 512, 0 },
	{ "read_of_last_number_fails", ERROR, read_sector, -1ull, 512, 0 },
	{ "read_whose_byte_offset_wraps_fails", ERROR, read_sector, 1ull << 55, 512, 0 },
	{ "read_whose_byte_offset_wraps_to_5_fails", ERROR, read_sector, (1ull << 55) + 5, 512, 0 },
	{ "read_whose_end_wraps_fails", ERROR, read_sector, (1ull << 55) - 1, 1024, 0 },
	{ "write_at_end_fails", ERROR, write_sector, SECTORS, 512, 0 },
	{ "write_over_end_fails", ERROR, write_sector, SECTORS - 1, 1024, 0 },
	{ "write_of_last_number_fails", ERROR, write_sector, -1ull, 512, 0 },
	{ "write_whose_byte_offset_wraps_to_5_fails", ERROR, write_sector, (1ull << 55) + 5, 512, 0 },
	{ "read_of_511_bytes_fails", ERROR, read_sector, 5, 511, 0 },
	{ "read_of_513_bytes_fails", ERROR, read_sector, 5, 513, 0 },
	{ "read_of_1_byte_fails", ERROR, read_sector, 5, 1, 0 },
	{ "write_of_511_bytes_fails", ERROR, write_sector, 5, 511, 0 },
	{ "write_of_1_byte_fails", ERROR, write_sector, 5, 1, 0 },
	{ "read_of_nothing_settled", SERVED | ERROR, read_sector, 5, 0, 0 },
	{ "write_of_nothing_settled", SERVED | ERROR, write_sector, 5, 0, 0 },
	{ "type_2_unsupported", ERROR, of_type, 2, 512, 0 },
	{ "type_all_ones_unsupported", ERROR, of_type, 0xffffffff, 512, 0 },
	{ "type_with_barrier_bit_settled", SERVED | ERROR, of_type, 0x80000000, 0, 0 },
	{ "secure_erase_unsupported", ERROR, of_type, 14, 16, CASE_NOT_QEMU },
	{ "flush_with_data_settled", SERVED | ERROR, of_type, BLK_FLUSH, 512, 0 },
	{ "get_id_short_settled", SERVED | ERROR, of_type, BLK_GET_ID, 3, 0 },
	{ "get_id_without_room_settled", SERVED | ERROR, of_type, BLK_GET_ID, 0, 0 },
	{ "get_id_long_settled", SERVED | ERROR, of_type, BLK_GET_ID, 512, 0 },

	{ "header_of_1_byte_pieces_served", SERVED, header_in_pieces, 1, 0, 0 },
	{ "header_of_8_byte_pieces_served", SERVED, header_in_pieces, 8, 1, 0 },
	{ "status_in_descriptor_of_data_served", SERVED, data_and_status, BLK_SECTOR + 1, 0, CASE_NOT_QEMU },
	{ "data_in_odd_pieces_served", SERVED, data_and_status, 3, 0, 0 },
	{ "status_behind_most_of_data_served", SERVED, data_and_status, 511, 0, 0 },
	{ "header_and_data_in_one_served", SERVED, header_and_data, 0, 0, 0 },

	{ "header_alone_settled", SETTLED, only, 0, 0, 0 },
	{ "status_alone_settled", SETTLED, only, 2, 0, 0 },
	{ "data_alone_settled", SETTLED, only, 1, 0, 0 },
	{ "no_header_settled", ERROR | BROKEN | RETURNED, no_header, 0, 0, 0 },
	{ "header_of_15_bytes_refused", REFUSED, short_header, 15, 0, 0 },
	{ "header_of_1_byte_refused", REFUSED, short_header, 1, 0, 0 },
	{ "header_of_17_bytes_settled", SETTLED, short_header, 17, 0, 0 },
	{ "read_without_status_returned", RETURNED | BROKEN, all_readable, BLK_IN, 0, 0 },
	{ "write_without_status_returned", RETURNED | BROKEN, all_readable, BLK_OUT, 0, 0 },
	{ "read_into_readable_settled", SETTLED, data_turned_round, BLK_IN, 0, 0 },
	{ "write_from_writable_settled", SETTLED, data_turned_round, BLK_OUT, 0, 0 },
	{ "all_parts_in_one_place_settled", SETTLED, all_in_one_place, 0, 0, 0 },

	{ "discard_at_end_fails", ERROR, range_at, BLK_DISCARD, SECTORS, 0 },
	{ "discard_over_end_fails", ERROR, range_at, BLK_DISCARD, SECTORS - 4, 0 },
	{ "discard_of_last_number_fails", ERROR, range_at, BLK_DISCARD, -1ull, 0 },
	{ "discard_whose_end_wraps_fails", ERROR, range_at, BLK_DISCARD, -4ull, 0 },
	{ "discard_of_most_sectors_fails", ERROR, range_sectors, BLK_DISCARD, 0xffffffff, 0 },
	{ "discard_of_nothing_settled", SERVED | ERROR, range_sectors, BLK_DISCARD, 0, 0 },
	{ "discard_with_unmap_unsupported", ERROR, range_flags, BLK_DISCARD, 1, 0 },
	{ "discard_with_unknown_flags_unsupported", ERROR, range_flags, BLK_DISCARD, 0xfffffffe, 0 },
	{ "discard_of_half_a_range_fails", REFUSED, range_bytes, BLK_DISCARD, 8, 0 },
	{ "discard_of_range_and_a_half_fails", REFUSED, range_bytes, BLK_DISCARD, 24, 0 },
	{ "discard_of_1024_bytes_of_ranges_settled", SERVED | ERROR, range_bytes, BLK_DISCARD, 1024, CASE_NOT_QEMU },
	{ "discard_with_second_range_bad_fails_whole", ERROR, second_range_bad, BLK_DISCARD, 0, CASE_NOT_QEMU },
	{ "zeroes_at_end_fails", ERROR, range_at, BLK_WRITE_ZEROES, SECTORS, 0 },
	{ "zeroes_over_end_fails", ERROR, range_at, BLK_WRITE_ZEROES, SECTORS - 4, 0 },
	{ "zeroes_whose_end_wraps_fails", ERROR, range_at, BLK_WRITE_ZEROES, -4ull, 0 },
	{ "zeroes_of_most_sectors_fails", ERROR, range_sectors, BLK_WRITE_ZEROES, 0xffffffff, 0 },
	{ "zeroes_with_unknown_flags_unsupported", ERROR, range_flags, BLK_WRITE_ZEROES, 0x80000002, 0 },
	{ "zeroes_of_15_bytes_fails", REFUSED, range_bytes, BLK_WRITE_ZEROES, 15, 0 },
	{ "zeroes_with_second_range_bad_fails_whole", ERROR, second_range_bad, BLK_WRITE_ZEROES, 0, CASE_NOT_QEMU },
};

void test_main(void)
{
	blk_init();
	HOSTILE_RUN(&blk_rig, cases);
}
