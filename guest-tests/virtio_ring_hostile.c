/*
 * Rings that make no sense, and buffers that lie nowhere, against a disk: whatever the driver puts into
 * descriptors, indirect tables and indices, the device writes nothing but what a request allows, and serves
 * again after a reset.
 *
 * virtio 1.2, 2.7 (split) and 2.8 (packed); "packed" on the command line chooses. What is wrong with a whole
 * ring (where it lies, its size) is virtio_setup_hostile.c's subject, requests virtio_blk_hostile.c's.
 *
 * Not for QEMU 7.2: buffers in registers, which it writes to by DMA; and what it is known to read differently.
 */
#include "lib/clock.h"
#include "lib/hostile_blk.h"
#include "lib/string.h"
#include "lib/tap.h"

#define Q (&blk_queue)
#define TABLE ((uint64_t)BLK_TABLE)

enum { HEADER, DATA, STATUS };

/* ---- buffers that lie nowhere ---- */

static unsigned int buffer_at(uint64_t part, uint64_t place)
{
	struct virtq_seg seg[3];

	blk_read_segs(seg);
	seg[part].at = hostile_place(&blk, (enum hostile_place)place);
	return blk_submit(seg, 3);
}

static unsigned int indirect_buffer_at(uint64_t part, uint64_t place)
{
	struct virtq_seg seg[3];

	blk_read_segs(seg);
	seg[part].at = hostile_place(&blk, (enum hostile_place)place);
	virtq_add_indirect(Q, BLK_TABLE, seg, 3);
	return blk_settle();
}

static unsigned int buffer_bytes(uint64_t part, uint64_t bytes)
{
	struct virtq_seg seg[3];

	blk_read_segs(seg);
	seg[part].bytes = (uint32_t)bytes;
	return blk_submit(seg, 3);
}

/* Two pieces of data which lie nowhere, and whose lengths make a small number in 32 bits. */
static unsigned int lengths_wrap(uint64_t first, uint64_t second)
{
	struct virtq_seg seg[4];

	blk_read_segs(seg);
	seg[3] = seg[2];
	seg[1].bytes = (uint32_t)first;
	seg[2] = (struct virtq_seg){ seg[1].at, (uint32_t)second, true };
	return blk_submit(seg, 4);
}

/* ---- chains ---- */

static unsigned int empty_segment(uint64_t part, uint64_t at)
{
	struct virtq_seg seg[4];

	blk_read_segs(seg + 1);
	for (unsigned int i = 0; i < part; i++)
		seg[i] = seg[i + 1];
	seg[part] = (struct virtq_seg){ at ? at : (uint64_t)BLK_DATA, 0, part > 1 };
	return blk_submit(seg, 4);
}

static unsigned int readable_after_writable(uint64_t indirect, uint64_t b)
{
	struct virtq_seg seg[3], turned[3];

	(void)b;
	blk_read_segs(seg);
	turned[0] = seg[1];
	turned[1] = seg[0];
	turned[2] = seg[2];
	if (!indirect)
		return blk_submit(turned, 3);
	virtq_add_indirect(Q, BLK_TABLE, turned, 3);
	return blk_settle();
}

/* Split: descriptors n to 0 in a ring that never ends. */
static unsigned int loop(uint64_t n, uint64_t write)
{
	uint16_t head = Q->next;

	blk_prepare(BLK_IN, 5);
	arena_allow(BLK_DATA, BLK_SECTOR);
	for (unsigned int i = 0; i < n; i++) {
		uint16_t next = (uint16_t)((head + (i + 1) % n) % Q->size);
		uint16_t flags = (uint16_t)(VIRTQ_NEXT | (write ? VIRTQ_WRITE : 0));
		struct virtq_desc d = { (uint64_t)BLK_DATA, 16, flags, next };

		virtq_put_desc(Q, (uint16_t)((head + i) % Q->size), &d);
	}
	virtq_put_head(Q, head);
	virtq_put_avail_index(Q, (uint16_t)(Q->avail + 1));
	return blk_settle();
}

static unsigned int next_beyond(uint64_t next, uint64_t b)
{
	struct virtq_desc d = { (uint64_t)BLK_HEADER, 16, VIRTQ_NEXT, (uint16_t)next };

	(void)b;
	blk_prepare(BLK_IN, 5);
	virtq_add_raw(Q, &d);
	return blk_settle();
}

static unsigned int head_beyond(uint64_t head, uint64_t b)
{
	(void)b;
	blk_prepare(BLK_IN, 5);
	virtq_put_head(Q, (uint16_t)head);
	virtq_put_avail_index(Q, (uint16_t)(Q->avail + 1));
	return blk_settle();
}

/* A good request, and an index that promises others behind it. */
static unsigned int index_jump(uint64_t by, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)b;
	blk_read_segs(seg);
	virtq_add(Q, seg, 3);
	virtq_put_avail_index(Q, (uint16_t)(Q->avail - 1 + by));
	return blk_settle();
}

static unsigned int same_head_twice(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[3];
	uint16_t head;

	(void)a, (void)b;
	blk_read_segs(seg);
	head = virtq_add(Q, seg, 3);
	virtq_put_head(Q, head);
	virtq_put_avail_index(Q, (uint16_t)(Q->avail + 1));
	return blk_settle();
}

/* Packed: every descriptor says that another one follows. */
static unsigned int endless_chain(uint64_t a, uint64_t b)
{
	uint16_t first = Q->next;

	(void)a, (void)b;
	blk_prepare(BLK_IN, 5);
	arena_allow(BLK_DATA, BLK_SECTOR);
	for (unsigned int i = Q->size; i-- > 0;) {
		uint16_t at = (uint16_t)((first + i) % Q->size), flags = virtq_avail_flags(Q);
		struct virtq_desc d = { (uint64_t)BLK_DATA, 16, 0, first };

		if (first + i >= Q->size)
			flags ^= VIRTQ_AVAIL | VIRTQ_USED;
		d.flags = (uint16_t)(flags | VIRTQ_NEXT);
		virtq_put_desc(Q, at, &d);
	}
	return blk_settle();
}

/* Packed: a descriptor with flags of the round before, or of none, is not available. */
static unsigned int stale_flags(uint64_t flip, uint64_t b)
{
	struct virtq_desc d = { (uint64_t)BLK_HEADER, 16, 0, Q->next };
	const volatile uint16_t *flags = (void *)(Q->desc + 16u * Q->next + 14);

	(void)b;
	blk_prepare(BLK_IN, 5);
	d.flags = (uint16_t)(virtq_avail_flags(Q) ^ flip);
	virtq_put_desc(Q, Q->next, &d);
	arena_remember();
	virtq_kick(Q);
	clock_wait_ticks(CLOCK_MS(5));
	return *flags == d.flags && !(virtio_status(&blk) & VIRTIO_NEEDS_RESET) ? NOTHING : WRONG;
}

/* Packed: ids are the driver's own business. */
static unsigned int any_id(uint64_t id, uint64_t b)
{
	struct virtq_seg seg[3];
	uint32_t bytes;
	uint16_t got;

	(void)b;
	blk_read_segs(seg);
	virtq_fill_table(Q, BLK_TABLE, seg, 3);
	arena_remember();
	virtq_add_raw(Q, &(struct virtq_desc){ TABLE, 48, VIRTQ_INDIRECT, (uint16_t)id });
	virtq_kick(Q);
	if (!virtq_wait(Q, &got, &bytes, CLOCK_MS(2000)))
		return blk_judge(hostile_poll(Q, &bytes, 0));
	return got == id ? blk_judge(RETURNED) : WRONG;
}

static unsigned int same_id_twice(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[3];
	uint32_t bytes;
	unsigned int came;

	(void)a, (void)b;
	blk_read_segs(seg);
	virtq_fill_table(Q, BLK_TABLE, seg, 3);
	for (unsigned int i = 0; i < 2; i++)
		virtq_add_raw(Q, &(struct virtq_desc){ TABLE, 48, VIRTQ_INDIRECT, 3 });
	came = blk_settle();
	return came == SERVED ? blk_judge(hostile_poll(Q, &bytes, CLOCK_MS(2000))) : came;
}

/* Bits that mean nothing here must not mean anything (2.7.5, 2.8.13). */
static unsigned int unknown_flags(uint64_t flags, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)b;
	blk_read_segs(seg);
	virtq_fill_table(Q, BLK_TABLE, seg, 3);
	for (unsigned int i = 0; i < 3; i++) {
		if (Q->packed)
			BLK_TABLE[i].next |= (uint16_t)flags;
		else
			BLK_TABLE[i].flags |= (uint16_t)flags;
	}
	virtq_add_raw(Q, &(struct virtq_desc){ TABLE, 48, VIRTQ_INDIRECT, Q->next });
	return blk_settle();
}

/* ---- indirect tables ---- */

static unsigned int table_of(uint64_t at, uint64_t bytes)
{
	struct virtq_seg seg[3];

	blk_read_segs(seg);
	virtq_fill_table(Q, BLK_TABLE, seg, 3);
	virtq_add_raw(Q, &(struct virtq_desc){ at ? at : TABLE, (uint32_t)bytes, VIRTQ_INDIRECT, Q->next });
	return blk_settle();
}

static unsigned int table_at(uint64_t place, uint64_t bytes)
{
	return table_of(hostile_place(&blk, (enum hostile_place)place), bytes);
}

static unsigned int table_flags(uint64_t flags, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)b;
	blk_read_segs(seg);
	virtq_fill_table(Q, BLK_TABLE, seg, 3);
	virtq_add_raw(Q, &(struct virtq_desc){ TABLE, 48, (uint16_t)(VIRTQ_INDIRECT | flags), Q->next });
	return blk_settle();
}

static unsigned int table_odd_address(uint64_t by, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)b;
	blk_read_segs(seg);
	virtq_fill_table(Q, BLK_TABLE, seg, 3);
	memmove((uint8_t *)BLK_TABLE + by, BLK_TABLE, 48);
	virtq_add_raw(Q, &(struct virtq_desc){ TABLE + by, 48, VIRTQ_INDIRECT, Q->next });
	return blk_settle();
}

/* The first entry refers to another table; or, packed, only looks like it (2.8.7). */
static unsigned int nested(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)a, (void)b;
	blk_read_segs(seg);
	virtq_fill_table(Q, BLK_TABLE + 8, seg, 3);
	BLK_TABLE[0] = (struct virtq_desc){ TABLE + 128, 48, VIRTQ_INDIRECT, 0 };
	if (Q->packed)
		BLK_TABLE[0] = (struct virtq_desc){ TABLE + 128, 48, 0, VIRTQ_INDIRECT };
	virtq_add_raw(Q, &(struct virtq_desc){ TABLE, 16, VIRTQ_INDIRECT, Q->next });
	return blk_settle();
}

static unsigned int refers_to_itself(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	blk_prepare(BLK_IN, 5);
	BLK_TABLE[0] = (struct virtq_desc){ TABLE, 16, VIRTQ_INDIRECT, 0 };
	virtq_add_raw(Q, &(struct virtq_desc){ TABLE, 16, VIRTQ_INDIRECT, Q->next });
	return blk_settle();
}

static unsigned int table_next(uint64_t next, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)b;
	blk_read_segs(seg);
	virtq_fill_table(Q, BLK_TABLE, seg, 3);
	BLK_TABLE[1].next = (uint16_t)next;
	virtq_add_raw(Q, &(struct virtq_desc){ TABLE, 48, VIRTQ_INDIRECT, Q->next });
	return blk_settle();
}

/* A read in so many pieces: header, pieces of data, status. */
static unsigned int pieces(uint64_t n, uint64_t b)
{
	static struct virtq_desc table[1100];
	struct virtq_desc d = { 0 };

	(void)b;
	blk_prepare(BLK_IN, 5);
	arena_allow(BLK_DATA, 2 * BLK_SECTOR);
	for (unsigned int i = 0; i < n; i++) {
		bool last = i == n - 1;
		uint16_t flags = (uint16_t)((i ? VIRTQ_WRITE : 0) | (last || Q->packed ? 0 : VIRTQ_NEXT));

		d.at = !i ? (uint64_t)BLK_HEADER : last ? (uint64_t)BLK_STATUS : (uint64_t)(BLK_DATA + i - 1);
		d.bytes = !i ? 16 : 1;
		d.flags = Q->packed ? 0 : flags;
		d.next = Q->packed ? flags : (uint16_t)(i + 1);
		table[i] = d;
	}
	virtq_add_raw(Q, &(struct virtq_desc){ (uint64_t)table, (uint32_t)(16 * n), VIRTQ_INDIRECT, Q->next });
	return blk_settle();
}

static unsigned int table_in_chain(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[3];
	uint16_t head = Q->next, next = (uint16_t)((head + 1) % Q->size);
	uint16_t flags = Q->packed ? virtq_avail_flags(Q) : 0;
	uint16_t later = next ? flags : (uint16_t)(flags ^ (VIRTQ_AVAIL | VIRTQ_USED));
	struct virtq_desc d;

	(void)a, (void)b;
	blk_read_segs(seg);
	virtq_fill_table(Q, BLK_TABLE, seg + 1, 2);
	d = (struct virtq_desc){ TABLE, 32, VIRTQ_INDIRECT, head };
	d.flags |= Q->packed ? later : 0;
	virtq_put_desc(Q, next, &d);
	d = (struct virtq_desc){ (uint64_t)BLK_HEADER, 16, (uint16_t)(VIRTQ_NEXT | flags), Q->packed ? head : next };
	virtq_put_desc(Q, head, &d);
	if (Q->packed) {
		virtq_advance(Q, head, 2);
	} else {
		virtq_put_head(Q, head);
		virtq_put_avail_index(Q, (uint16_t)(Q->avail + 1));
	}
	return blk_settle();
}

static unsigned int not_negotiated(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	if (!blk_start_with(hostile_features() & ~VIRTIO_F_INDIRECT))
		return WRONG;
	return table_of(0, 48);
}

/* ---- what the device is to read, and what it is not ---- */

static unsigned int garbage_in_driver_area(uint64_t word, uint64_t at)
{
	*(volatile uint16_t *)(Q->driver + (at == 2 && !Q->packed ? 4u + 2 * Q->size : at)) = (uint16_t)word;
	return blk_read();
}

static unsigned int garbage_in_device_area(uint64_t byte, uint64_t b)
{
	(void)b;
	if (Q->packed)
		memset(Q->device, (int)byte, 4);
	else
		memset(Q->device + 4, (int)byte, 8u * Q->size + 2);	/* all but what we read ourselves */
	return blk_read();
}

static unsigned int used_index_garbage(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[3];

	(void)a, (void)b;
	blk_read_segs(seg);
	virtq_add(Q, seg, 3);
	*(volatile uint16_t *)(Q->device + 2) = 0x7777;
	arena_remember();
	virtq_kick(Q);
	CLOCK_WAIT_FOR(*(volatile uint8_t *)BLK_STATUS != BLK_UNTOUCHED, CLOCK_MS(2000));
	return blk_judge(RETURNED);
}

static const struct hostile_case cases[] = {
	{ "header_beyond_ram_refused", REFUSED, buffer_at, HEADER, BEYOND_RAM, 0 },
	{ "header_over_end_of_ram_refused", REFUSED, buffer_at, HEADER, RAM_END, 0 },
	{ "header_wrapping_to_zero_refused", REFUSED, buffer_at, HEADER, TOP_OF_SPACE, 0 },
	{ "header_with_bit_63_refused", REFUSED, buffer_at, HEADER, BIT_63, 0 },
	{ "header_with_bit_32_refused", REFUSED, buffer_at, HEADER, BIT_32, 0 },
	{ "header_in_own_registers_refused", REFUSED, buffer_at, HEADER, OWN_COMMON, CASE_NOT_QEMU },
	{ "header_in_ecam_refused", REFUSED, buffer_at, HEADER, ECAM, CASE_NOT_QEMU },
	{ "data_beyond_ram_refused", REFUSED, buffer_at, DATA, BEYOND_RAM, 0 },
	{ "data_over_end_of_ram_refused", REFUSED, buffer_at, DATA, RAM_END, 0 },
	{ "data_wrapping_to_zero_refused", REFUSED, buffer_at, DATA, TOP_OF_SPACE, 0 },
	{ "data_with_bit_63_refused", REFUSED, buffer_at, DATA, BIT_63, 0 },
	{ "data_with_bit_52_refused", REFUSED, buffer_at, DATA, BIT_52, 0 },
	{ "data_with_bit_32_refused", REFUSED, buffer_at, DATA, BIT_32, 0 },
	{ "data_in_own_registers_refused", REFUSED, buffer_at, DATA, OWN_COMMON, CASE_NOT_QEMU },
	{ "data_in_own_doorbells_refused", REFUSED, buffer_at, DATA, OWN_NOTIFY, CASE_NOT_QEMU },
	{ "data_in_own_vectors_refused", REFUSED, buffer_at, DATA, OWN_MSIX, CASE_NOT_QEMU },
	{ "data_in_local_apic_refused", REFUSED, buffer_at, DATA, LAPIC_PAGE, CASE_NOT_QEMU },
	{ "data_in_ecam_refused", REFUSED, buffer_at, DATA, ECAM, CASE_NOT_QEMU },
	{ "status_beyond_ram_returned", SETTLED, buffer_at, STATUS, BEYOND_RAM, 0 },
	{ "status_at_top_of_space_returned", SETTLED, buffer_at, STATUS, TOP_OF_SPACE, 0 },
	{ "status_with_bit_63_returned", SETTLED, buffer_at, STATUS, BIT_63, 0 },
	{ "status_in_own_registers_returned", SETTLED, buffer_at, STATUS, OWN_COMMON, CASE_NOT_QEMU },
	{ "indirect_header_beyond_ram_refused", REFUSED, indirect_buffer_at, HEADER, BEYOND_RAM, 0 },
	{ "indirect_data_beyond_ram_refused", REFUSED, indirect_buffer_at, DATA, BEYOND_RAM, 0 },
	{ "indirect_data_over_end_of_ram_refused", REFUSED, indirect_buffer_at, DATA, RAM_END, 0 },
	{ "indirect_data_wrapping_refused", REFUSED, indirect_buffer_at, DATA, TOP_OF_SPACE, 0 },
	{ "indirect_data_in_own_registers_refused", REFUSED, indirect_buffer_at, DATA, OWN_COMMON, CASE_NOT_QEMU },
	{ "indirect_status_beyond_ram_returned", SETTLED, indirect_buffer_at, STATUS, BEYOND_RAM, 0 },
	{ "data_of_4_gib_less_1_refused", REFUSED, buffer_bytes, DATA, 0xffffffff, CASE_NOT_QEMU },
	{ "data_of_2_gib_refused", REFUSED, buffer_bytes, DATA, 0x80000000, CASE_NOT_QEMU },
	{ "data_of_all_ram_refused", REFUSED, buffer_bytes, DATA, 0x8000000, CASE_NOT_QEMU },
	{ "data_with_negative_sector_refused", REFUSED, buffer_bytes, DATA, -512 & 0xffffffff, CASE_NOT_QEMU },
	{ "lengths_that_add_up_to_0_refused", REFUSED, lengths_wrap, 0x80000000, 0x80000000, CASE_NOT_QEMU },
	{ "lengths_that_add_up_to_512_refused", REFUSED, lengths_wrap, 0xfffffe00, 0x400, CASE_NOT_QEMU },
	{ "empty_segment_in_front_harmless", SERVED | BROKEN, empty_segment, 0, 0, 0 },
	{ "empty_segment_before_data_harmless", SERVED | BROKEN, empty_segment, 1, 0, 0 },
	{ "empty_segment_before_status_harmless", SERVED | BROKEN, empty_segment, 2, 0, 0 },
	{ "empty_segment_at_end_harmless", SERVED | BROKEN, empty_segment, 3, 0, 0 },
	{ "empty_segment_nowhere_harmless", SERVED | BROKEN, empty_segment, 2, 0xfffffffffffff000, 0 },
	{ "readable_after_writable_breaks", REFUSED, readable_after_writable, 0, 0, 0 },
	{ "readable_after_writable_in_table_breaks", REFUSED, readable_after_writable, 1, 0, 0 },

	{ "loop_of_one_breaks", BROKEN, loop, 1, 0, CASE_SPLIT },
	{ "loop_of_two_breaks", BROKEN, loop, 2, 0, CASE_SPLIT },
	{ "loop_of_whole_queue_breaks", BROKEN, loop, 16, 0, CASE_SPLIT },
	{ "loop_of_writable_breaks", BROKEN, loop, 3, 1, CASE_SPLIT },
	{ "next_one_beyond_queue_breaks", BROKEN, next_beyond, 16, 0, CASE_SPLIT },
	{ "next_far_beyond_queue_breaks", BROKEN, next_beyond, 0xffff, 0, CASE_SPLIT },
	{ "head_one_beyond_queue_breaks", BROKEN, head_beyond, 16, 0, CASE_SPLIT },
	{ "head_far_beyond_queue_breaks", BROKEN, head_beyond, 0xffff, 0, CASE_SPLIT },
	{ "index_jump_of_queue_and_1_breaks", BROKEN, index_jump, 17, 0, CASE_SPLIT },
	{ "index_jump_of_half_breaks", BROKEN, index_jump, 0x8000, 0, CASE_SPLIT },
	{ "index_one_back_breaks", BROKEN, index_jump, 0xffff, 0, CASE_SPLIT },
	{ "index_jump_of_whole_queue_harmless", SETTLED, index_jump, 16, 0, CASE_SPLIT },
	{ "same_head_twice_harmless", SETTLED, same_head_twice, 0, 0, CASE_SPLIT },
	{ "table_entry_loops_breaks", BROKEN, table_next, 1, 0, CASE_SPLIT },
	{ "table_next_one_beyond_breaks", BROKEN, table_next, 3, 0, CASE_SPLIT },
	{ "table_next_far_beyond_breaks", BROKEN, table_next, 0xffff, 0, CASE_SPLIT },
	{ "table_in_table_breaks", BROKEN, nested, 0, 0, CASE_SPLIT },
	{ "table_that_is_its_own_breaks", BROKEN, refers_to_itself, 0, 0, CASE_SPLIT },
	{ "table_behind_plain_descriptor_served", SERVED, table_in_chain, 0, 0, CASE_SPLIT | CASE_NOT_QEMU },
	{ "avail_flags_garbage_served", SERVED, garbage_in_driver_area, 0xffff, 0, CASE_SPLIT },
	{ "used_index_overwritten_served", SERVED, used_index_garbage, 0, 0, CASE_SPLIT },

	{ "chain_without_end_breaks", BROKEN, endless_chain, 0, 0, CASE_PACKED },
	{ "flags_of_round_before_ignored", NOTHING, stale_flags, VIRTQ_AVAIL | VIRTQ_USED, 0, CASE_PACKED },
	{ "flags_both_of_this_round_ignored", NOTHING, stale_flags, VIRTQ_USED, 0, CASE_PACKED },
	{ "flags_both_of_round_before_ignored", NOTHING, stale_flags, VIRTQ_AVAIL, 0, CASE_PACKED },
	{ "id_beyond_queue_served", SERVED, any_id, 16, 0, CASE_PACKED },
	{ "id_all_ones_served", SERVED, any_id, 0xffff, 0, CASE_PACKED },
	{ "same_id_twice_served", SERVED, same_id_twice, 0, 0, CASE_PACKED },
	{ "table_flag_in_table_ignored", REFUSED | RETURNED, nested, 0, 0, CASE_PACKED },
	{ "table_behind_plain_descriptor_breaks", REFUSED, table_in_chain, 0, 0, CASE_PACKED | CASE_NOT_QEMU },
	{ "reserved_event_flags_served", SERVED, garbage_in_driver_area, 3, 2, CASE_PACKED },
	{ "event_offset_beyond_queue_served", SERVED, garbage_in_driver_area, 0x7fff, 0, CASE_PACKED },

	{ "table_of_length_0_breaks", BROKEN, table_of, 0, 0, 0 },
	{ "table_of_15_bytes_breaks", BROKEN, table_of, 0, 15, 0 },
	{ "table_of_17_bytes_breaks", BROKEN, table_of, 0, 17, 0 },
	{ "table_of_4_gib_breaks", BROKEN, table_of, 0, 0xfffffff0, 0 },
	{ "table_of_4_gib_less_1_breaks", BROKEN, table_of, 0, 0xffffffff, 0 },
	{ "table_beyond_ram_breaks", BROKEN, table_at, BEYOND_RAM, 48, 0 },
	{ "table_over_end_of_ram_breaks", BROKEN, table_at, RAM_END, 48, 0 },
	{ "table_wrapping_to_zero_breaks", BROKEN, table_at, TOP_OF_SPACE, 48, 0 },
	{ "table_with_bit_63_breaks", BROKEN, table_at, BIT_63, 48, 0 },
	{ "table_with_bit_32_breaks", BROKEN, table_at, BIT_32, 48, 0 },
	{ "table_in_own_registers_breaks", BROKEN, table_at, OWN_COMMON, 48, CASE_NOT_QEMU },
	{ "table_in_local_apic_breaks", BROKEN, table_at, LAPIC_PAGE, 48, CASE_NOT_QEMU },
	{ "table_with_next_breaks", BROKEN, table_flags, VIRTQ_NEXT, 0, CASE_NOT_QEMU },
	{ "table_with_write_flag_served", SERVED, table_flags, VIRTQ_WRITE, 0, 0 },
	{ "table_with_unknown_flags_served", SERVED, table_flags, 0x0f00, 0, 0 },
	{ "table_at_odd_address_served", SERVED, table_odd_address, 1, 0, 0 },
	{ "table_at_half_descriptor_served", SERVED, table_odd_address, 8, 0, 0 },
	{ "table_not_negotiated_breaks", BROKEN, not_negotiated, 0, 0, CASE_NOT_QEMU },
	{ "unknown_flags_in_table_served", SERVED, unknown_flags, 0x7f78, 0, 0 },
	{ "sector_in_514_pieces_settled", SETTLED, pieces, 514, 0, 0 },
	{ "chain_of_1025_descriptors_refused", REFUSED, pieces, 1025, 0, 0 },
	{ "used_ring_overwritten_served", SERVED, garbage_in_device_area, 0xff, 0, 0 },
};

void test_main(void)
{
	blk_init();
	HOSTILE_RUN(&blk_rig, cases);
}
