/*
 * Requests of virtio-blk over a disk in memory: what each means, free framing, and the ladder for a driver
 * that lies. Discards are in virtio_blk_range_test.c, queues and limits in virtio_blk_queue_test.c, cache modes in
 * virtio_blk_cache_test.c; real disks are devices/block/'s.
 */
#include "devices/virtio/virtio_blk_rig.h"

/* ---- reads and writes ---- */

START_TEST(read_fills_the_buffer_and_counts_data_and_status)
{
	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_IN, 3, 4 * SECTOR), 4 * SECTOR + 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(rig_data(), disk->data + 3 * SECTOR, 4 * SECTOR);
	ck_assert_uint_eq(rig_data()[4 * SECTOR], UNTOUCHED);
	ck_assert_uint_eq(rig_stats().reads, 1);
	ck_assert_uint_eq(rig_stats().read_bytes, 4 * SECTOR);
}
END_TEST

START_TEST(write_reaches_the_disk_and_counts_the_status_alone)
{
	rig_start(ALL_FEATURES);
	memset(rig_data(), 0x5a, 2 * SECTOR);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_OUT, DISK_SECTORS - 2, 2 * SECTOR), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(rig_data(), disk->data + (DISK_SECTORS - 2) * SECTOR, 2 * SECTOR);
	ck_assert_uint_eq(disk->data[(DISK_SECTORS - 2) * SECTOR - 1], (uint8_t)(DISK_SECTORS - 3 + 255));
	ck_assert_uint_eq(rig_stats().writes, 1);
	ck_assert_uint_eq(rig_stats().write_bytes, 2 * SECTOR);
}
END_TEST

START_TEST(data_of_no_bytes_is_ok_and_reaches_nobody)
{
	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_IN, 0, 0), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_OUT, DISK_SECTORS, 0), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(disk->logged, 0);
}
END_TEST

/* ---- framing (2.7.4) ---- */

START_TEST(header_and_data_may_share_descriptors_in_any_way)
{
	uint64_t both = td_alloc(&td, 16 + SECTOR, 1);
	struct td_seg one[] = { { both, 16 + SECTOR, false }, { status, 1, true } };
	struct td_seg odd[] = { { both, 5, false },
				{ both + 5, 1, false },
				{ both + 6, 100, false },
				{ both + 106, 16 + SECTOR - 106, false },
				{ status, 1, true } };

	rig_start(ALL_FEATURES);
	rig_header(both, VIRTIO_BLK_T_OUT, 7);
	memset(td_ptr(&td, both + 16), 0x11, SECTOR);
	ck_assert_int_eq(td_do(&td, 0, one, 2), 1);
	ck_assert_mem_eq(disk->data + 7 * SECTOR, td_ptr(&td, both + 16), SECTOR);

	memset(td_ptr(&td, both + 16), 0x22, SECTOR);
	ck_assert_int_eq(td_do(&td, 0, odd, 5), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(disk->data + 7 * SECTOR, td_ptr(&td, both + 16), SECTOR);
}
END_TEST

START_TEST(status_byte_is_the_last_of_a_shared_descriptor)
{
	struct td_seg seg[] = { { hdr, 16, false },
				{ data, 100, true },
				{ data + 100, SECTOR - 100 + 1, true } };

	rig_start(ALL_FEATURES);
	rig_header(hdr, VIRTIO_BLK_T_IN, 9);
	ck_assert_int_eq(td_do(&td, 0, seg, 3), SECTOR + 1);
	ck_assert_mem_eq(rig_data(), disk->data + 9 * SECTOR, SECTOR);
	ck_assert_uint_eq(rig_data()[SECTOR], VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(rig_data()[SECTOR + 1], UNTOUCHED);
}
END_TEST

/* Also through the packed ring, and with tables; more segments than a chain has room for by itself. */
START_TEST(many_segments_gather_and_scatter)
{
	static const uint64_t features[] = {
		ALL_FEATURES,
		ALL_FEATURES | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC),
		ALL_FEATURES | VIRTIO_BIT(VIRTIO_F_RING_PACKED),
		ALL_FEATURES | VIRTIO_BIT(VIRTIO_F_RING_PACKED) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC),
	};
	struct td_seg seg[14] = { { hdr, 16, false } };

	for (unsigned int i = 0; i < 12; i++)
		seg[1 + i] = (struct td_seg){ data + i * 4096, 128, true };
	seg[13] = (struct td_seg){ status, 1, true };
	td.indirect = true;
	rig_start(features[_i]);
	rig_header(hdr, VIRTIO_BLK_T_IN, 20);
	ck_assert_int_eq(td_do(&td, 0, seg, 14), 12 * 128 + 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(fake_logged(disk, 0)->nr_iov, 12);
	for (unsigned int i = 0; i < 12; i++)
		ck_assert_mem_eq(rig_data() + i * 4096, disk->data + 20 * SECTOR + i * 128, 128);
}
END_TEST

/* ---- the ladder ---- */

START_TEST(short_header_returns_ioerr)
{
	struct td_seg seg[] = { { hdr, 15, false }, { status, 1, true } };
	struct td_seg none[] = { { status, 1, true } };

	rig_start(ALL_FEATURES);
	rig_header(hdr, VIRTIO_BLK_T_FLUSH, 0);
	ck_assert_int_eq(td_do(&td, 0, seg, 2), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	*(uint8_t *)td_ptr(&td, status) = UNTOUCHED;
	ck_assert_int_eq(td_do(&td, 0, none, 1), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	rig_expect_alive();
}
END_TEST

START_TEST(header_outside_ram_returns_ioerr)
{
	struct td_seg seg[] = { { HOLE, 16, false }, { status, 1, true } };
	struct td_seg edge[] = { { td.ram_bytes - 8, 16, false }, { status, 1, true } };

	rig_start(ALL_FEATURES);
	ck_assert_int_eq(td_do(&td, 0, seg, 2), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	*(uint8_t *)td_ptr(&td, status) = UNTOUCHED;
	ck_assert_int_eq(td_do(&td, 0, edge, 2), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	rig_expect_alive();
}
END_TEST

START_TEST(status_byte_that_is_missing_or_outside_ram_gives_length_0)
{
	struct td_seg none[] = { { hdr, 16, false }, { data, SECTOR, false } };
	struct td_seg hole[] = { { hdr, 16, false }, { data, SECTOR, true }, { HOLE, 1, true } };
	struct td_seg wrap[] = { { hdr, 16, false }, { UINT64_MAX, 1, true } };
	struct td_seg empty[] = { { hdr, 16, false }, { status, 0, true } };

	rig_start(ALL_FEATURES);
	rig_header(hdr, VIRTIO_BLK_T_OUT, 0);
	ck_assert_int_eq(td_do(&td, 0, none, 2), 0);
	rig_header(hdr, VIRTIO_BLK_T_IN, 0);
	ck_assert_int_eq(td_do(&td, 0, hole, 3), 0);
	ck_assert_int_eq(td_do(&td, 0, wrap, 2), 0);
	ck_assert_int_eq(td_do(&td, 0, empty, 2), 0);
	ck_assert_uint_eq(disk->logged, 0);
	ck_assert_uint_eq(rig_data()[0], UNTOUCHED);
	rig_expect_alive();
}
END_TEST

START_TEST(data_outside_ram_returns_ioerr)
{
	static const uint32_t type[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT };
	bool in = type[_i] == VIRTIO_BLK_T_IN;
	struct td_seg hole[] = {
		{ hdr, 16, false }, { data, SECTOR, in }, { HOLE, SECTOR, in }, { status, 1, true }
	};
	struct td_seg wrap[] = { { hdr, 16, false }, { UINT64_MAX - 255, SECTOR, in }, { status, 1, true } };
	struct td_seg end[] = { { hdr, 16, false }, { td.ram_bytes - 256, SECTOR, in }, { status, 1, true } };

	rig_start(ALL_FEATURES);
	rig_header(hdr, type[_i], 0);
	ck_assert_int_eq(td_do(&td, 0, hole, 4), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	*(uint8_t *)td_ptr(&td, status) = UNTOUCHED;
	ck_assert_int_eq(td_do(&td, 0, wrap, 3), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	*(uint8_t *)td_ptr(&td, status) = UNTOUCHED;
	ck_assert_int_eq(td_do(&td, 0, end, 3), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(disk->logged, 0);
	rig_expect_alive();
}
END_TEST

static const struct {
	uint64_t sector;
	uint32_t len;
} bad_places[] = {
	{ 0, 511 },
	{ 0, 1 },
	{ 0, SECTOR + 1 },
	{ DISK_SECTORS, SECTOR },
	{ DISK_SECTORS - 1, 2 * SECTOR },
	{ UINT64_MAX, SECTOR },
	{ UINT64_MAX / SECTOR + 1, SECTOR }, /* times 512 wraps to 0 */
	{ UINT64_MAX - 1, 2 * SECTOR },      /* the sum wraps to 0 */
	{ 1ull << 63, SECTOR },
};

START_TEST(read_of_a_bad_length_or_place_returns_ioerr)
{
	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_IN, bad_places[_i].sector, bad_places[_i].len), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(disk->logged, 0);
	ck_assert_uint_eq(rig_data()[0], UNTOUCHED);
	rig_expect_alive();
}
END_TEST

START_TEST(write_of_a_bad_length_or_place_returns_ioerr)
{
	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_OUT, bad_places[_i].sector, bad_places[_i].len), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(disk->logged, 0);
	rig_expect_alive();
}
END_TEST

/* The same RAM named again and again adds up to more than any request needs. */
START_TEST(data_beyond_two_gib_returns_ioerr)
{
	static const uint32_t type[] = { VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_IN };
	struct td_seg seg[258] = { { hdr, 16, false } };

	for (unsigned int i = 0; i < 256; i++)
		seg[1 + i] = (struct td_seg){ 0, 8 << 20, _i == 1 };
	seg[257] = (struct td_seg){ status, 1, true };
	opts.queue_size = 512;
	free(disk->data);
	disk->data = NULL;
	disk->info.capacity_bytes = 16 * GIB;
	rig_start(ALL_FEATURES);
	rig_header(hdr, type[_i], 0);
	ck_assert_int_eq(td_do(&td, 0, seg, 258), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	seg[256] = (struct td_seg){ status, 1, true };
	ck_assert_int_eq(td_do(&td, 0, seg, 257), _i ? (255ll << 23) + 1 : 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(fake_logged(disk, 0)->bytes, 255ull << 23);
}
END_TEST

START_TEST(write_to_a_read_only_disk_returns_ioerr)
{
	disk->info.readonly = true;
	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_OUT, 0, SECTOR), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(disk->logged, 0);
	rig_expect_alive();
}
END_TEST

START_TEST(unknown_types_are_unsupported)
{
	static const uint32_t type[] = { 2,  3,          5,          7,         9, VIRTIO_BLK_T_SECURE_ERASE,
					 15, 0x80000000, 0x80000001, UINT32_MAX };

	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(type[_i], 0, SECTOR), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_UNSUPP);
	ck_assert_uint_eq(disk->logged, 0);
	rig_expect_alive();
}
END_TEST

/* ---- errors of the disk ---- */

START_TEST(failure_of_the_disk_is_that_requests_alone)
{
	static const int rc[] = { -EIO, -ENOSPC };

	rig_start(ALL_FEATURES);
	disk->fail = rc[_i];
	disk->fail_op = BLOCK_WRITE;
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_OUT, 0, SECTOR), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(rig_stats().errors, 1);
	ck_assert_uint_eq(rig_stats().writes, 0);
	rig_expect_alive();
	disk->fail = 0;
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_OUT, 0, SECTOR), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(failed_read_vouches_for_the_status_byte_only)
{
	rig_start(ALL_FEATURES);
	disk->fail = -EIO;
	disk->fail_op = BLOCK_READ;
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_IN, 0, SECTOR), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
}
END_TEST

/* ---- flush, id ---- */

START_TEST(flush_is_passed_on)
{
	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_FLUSH, 0, 0), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_int_eq(fake_logged(disk, 0)->op, BLOCK_FLUSH);
	ck_assert_uint_eq(rig_stats().flushes, 1);
	disk->fail = -EIO;
	disk->fail_op = BLOCK_FLUSH;
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_FLUSH, 0, 0), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
}
END_TEST

START_TEST(id_is_the_serial_number_padded_with_zeros)
{
	static const char padded[20] = "TRELLIS-1";

	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_GET_ID, 0, 20), 21);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(rig_data(), padded, 20);
	ck_assert_uint_eq(rig_data()[20], UNTOUCHED);
	memset(rig_data(), UNTOUCHED, 32);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_GET_ID, 0, 32), 21);
	ck_assert_uint_eq(rig_data()[20], UNTOUCHED);
	memset(rig_data(), UNTOUCHED, 32);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_GET_ID, 0, 5), 6);
	ck_assert_mem_eq(rig_data(), "TRELL\xee", 6);
}
END_TEST

START_TEST(id_of_twenty_bytes_has_no_terminator)
{
	opts.serial = "12345678901234567890";
	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_GET_ID, 0, 20), 21);
	ck_assert_mem_eq(rig_data(), opts.serial, 20);
}
END_TEST

/* ---- what is offered, and the configuration space ---- */

START_TEST(config_tells_what_the_disk_is)
{
	struct virtio_blk_config c;

	rig_start(ALL_FEATURES);
	c = rig_config();
	ck_assert_uint_eq(le64toh(c.capacity), DISK_SECTORS);
	ck_assert_uint_eq(le32toh(c.size_max), 0);
	ck_assert_uint_eq(le32toh(c.seg_max), QUEUE_SIZE - 2);
	ck_assert_uint_eq(le32toh(c.blk_size), 512);
	ck_assert_uint_eq(c.physical_block_exp, 3);
	ck_assert_uint_eq(c.alignment_offset, 0);
	ck_assert_uint_eq(le16toh(c.min_io_size), 8);
	ck_assert_uint_eq(le32toh(c.opt_io_size), 128);
	ck_assert_uint_eq(c.wce, 1);
	ck_assert_uint_eq(le16toh(c.num_queues), 1);
	ck_assert_uint_eq(le32toh(c.max_discard_sectors), 1 << 22);
	ck_assert_uint_eq(le32toh(c.max_discard_seg), 32);
	ck_assert_uint_eq(le32toh(c.discard_sector_alignment), 8);
	ck_assert_uint_eq(le32toh(c.max_write_zeroes_sectors), 1 << 11);
	ck_assert_uint_eq(le32toh(c.max_write_zeroes_seg), 32);
	ck_assert_uint_eq(c.write_zeroes_may_unmap, 1);
	ck_assert_uint_eq(virtio_blk_dev(blk)->config_len, 60);
}
END_TEST

START_TEST(config_of_a_4k_disk_counts_in_its_blocks)
{
	struct virtio_blk_config c;

	disk->info.logical_bytes = 4096;
	opts.nr_queues = 3;
	opts.queue_size = 1024;
	opts.discard = false;
	rig_start(ALL_FEATURES);
	c = rig_config();
	ck_assert_uint_eq(le64toh(c.capacity), DISK_SECTORS);
	ck_assert_uint_eq(le32toh(c.seg_max), 254);
	ck_assert_uint_eq(le32toh(c.blk_size), 4096);
	ck_assert_uint_eq(c.physical_block_exp, 0);
	ck_assert_uint_eq(le16toh(c.min_io_size), 1);
	ck_assert_uint_eq(le32toh(c.opt_io_size), 16);
	ck_assert_uint_eq(le16toh(c.num_queues), 3);
	ck_assert_uint_eq(le32toh(c.max_discard_sectors), 0);
	ck_assert_uint_eq(c.write_zeroes_may_unmap, 0);
}
END_TEST

START_TEST(offered_is_what_the_disk_can_do)
{
	uint64_t common = VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) |
			  VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) |
			  VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE);
	static const struct {
		unsigned int nr_queues;
		bool readonly, discard, can_discard;
		uint64_t more;
	} t[] = {
		{ 1, false, true, true,
		  VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES) },
		{ 1, false, true, false, VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES) },
		{ 2, false, false, true,
		  VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES) | VIRTIO_BIT(VIRTIO_BLK_F_MQ) },
		{ 1, true, true, true, VIRTIO_BIT(VIRTIO_BLK_F_RO) },
	};

	opts.nr_queues = t[_i].nr_queues;
	opts.discard = t[_i].discard;
	disk->info.readonly = t[_i].readonly;
	disk->info.discard_bytes = t[_i].can_discard ? 4096 : 0;
	ck_assert_int_eq(virtio_blk_new(&blk, &opts, &td.mem, NULL), 0);
	/* Bits 24 and up are the ring's and the transport's. */
	ck_assert_uint_eq(virtio_blk_dev(blk)->features & 0xffffff, common | t[_i].more);
}
END_TEST

START_TEST(options_out_of_range_are_refused_with_a_sentence)
{
	struct err e = { 0 };

	opts.nr_queues = 65;
	ck_assert_int_eq(virtio_blk_new(&blk, &opts, &td.mem, &e), -EINVAL);
	ck_assert_str_eq(e.text, "disk0: 65 queues asked for, 1 to 64 are possible");
	opts.nr_queues = 1;
	opts.queue_size = 48;
	ck_assert_int_eq(virtio_blk_new(&blk, &opts, &td.mem, &e), -EINVAL);
	ck_assert_str_eq(e.text,
			 "disk0: a queue size of 48 asked for, possible is a power of two from 2 to 1024");
	opts.queue_size = 64;
	opts.serial = "123456789012345678901";
	ck_assert_int_eq(virtio_blk_new(&blk, &opts, &td.mem, &e), -EINVAL);
	ck_assert_str_eq(e.text,
			 "disk0: the serial number '123456789012345678901' is too long, the guest sees at "
			 "most 20 bytes");
	ck_assert_ptr_null(blk);
}
END_TEST

static Suite *blk_suite(void)
{
	Suite *s = suite_create("virtio_blk");
	TCase *t = tcase_create("requests");

	tcase_add_checked_fixture(t, rig_make, rig_destroy);
	tcase_add_test(t, read_fills_the_buffer_and_counts_data_and_status);
	tcase_add_test(t, write_reaches_the_disk_and_counts_the_status_alone);
	tcase_add_test(t, data_of_no_bytes_is_ok_and_reaches_nobody);
	tcase_add_test(t, header_and_data_may_share_descriptors_in_any_way);
	tcase_add_test(t, status_byte_is_the_last_of_a_shared_descriptor);
	tcase_add_loop_test(t, many_segments_gather_and_scatter, 0, 4);
	tcase_add_test(t, short_header_returns_ioerr);
	tcase_add_test(t, header_outside_ram_returns_ioerr);
	tcase_add_test(t, status_byte_that_is_missing_or_outside_ram_gives_length_0);
	tcase_add_loop_test(t, data_outside_ram_returns_ioerr, 0, 2);
	tcase_add_loop_test(t, read_of_a_bad_length_or_place_returns_ioerr, 0, ARRAY_SIZE(bad_places));
	tcase_add_loop_test(t, write_of_a_bad_length_or_place_returns_ioerr, 0, ARRAY_SIZE(bad_places));
	tcase_add_loop_test(t, data_beyond_two_gib_returns_ioerr, 0, 2);
	tcase_add_test(t, write_to_a_read_only_disk_returns_ioerr);
	tcase_add_loop_test(t, unknown_types_are_unsupported, 0, 10);
	tcase_add_loop_test(t, failure_of_the_disk_is_that_requests_alone, 0, 2);
	tcase_add_test(t, failed_read_vouches_for_the_status_byte_only);
	tcase_add_test(t, flush_is_passed_on);
	tcase_add_test(t, id_is_the_serial_number_padded_with_zeros);
	tcase_add_test(t, id_of_twenty_bytes_has_no_terminator);
	suite_add_tcase(s, t);

	t = tcase_create("offer");
	tcase_add_checked_fixture(t, rig_make, rig_destroy);
	tcase_add_test(t, config_tells_what_the_disk_is);
	tcase_add_test(t, config_of_a_4k_disk_counts_in_its_blocks);
	tcase_add_loop_test(t, offered_is_what_the_disk_can_do, 0, 4);
	tcase_add_test(t, options_out_of_range_are_refused_with_a_sentence);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(blk_suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
