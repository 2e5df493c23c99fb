/*
 * Discard and write-zeroes of virtio-blk over a disk in memory: one range, several, and the ladder for ranges
 * that are wrong (virtio 1.2, 5.2.6). What becomes of the space is the disk's business, in devices/block/.
 */
#include "devices/virtio/virtio_blk_rig.h"

static void put_range(unsigned int nr, uint64_t sector, uint32_t nr_sectors, uint32_t flags)
{
	uint8_t *p = rig_data() + 16 * nr;

	put_le64(p, sector);
	put_le32(p + 8, nr_sectors);
	put_le32(p + 12, flags);
}

static const uint32_t range_types[] = { VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };
static const enum block_op range_ops[] = { BLOCK_DISCARD, BLOCK_ZEROES };

START_TEST(range_is_passed_on)
{
	rig_start(ALL_FEATURES);
	put_range(0, 8, 16, 0);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(disk->logged, 1);
	ck_assert_int_eq(fake_logged(disk, 0)->op, range_ops[_i]);
	ck_assert_uint_eq(fake_logged(disk, 0)->offset, 8 * SECTOR);
	ck_assert_uint_eq(fake_logged(disk, 0)->bytes, 16 * SECTOR);
	ck_assert(!fake_logged(disk, 0)->unmap);
	ck_assert_uint_eq(rig_stats().discards, 1);
}
END_TEST

START_TEST(several_ranges_are_done_one_after_the_other)
{
	rig_start(ALL_FEATURES);
	disk->when = (enum fake_when)(_i / 2);
	for (unsigned int i = 0; i < 32; i++)
		put_range(i, 4 * i, i % 4, 0); /* every fourth is empty */
	ck_assert_int_eq(rig_do(range_types[_i % 2], 0, 32 * 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(disk->logged, 24);
	ck_assert_uint_eq(fake_logged(disk, 0)->offset, 4 * 31 * SECTOR);
	ck_assert_uint_eq(fake_logged(disk, 0)->bytes, 3 * SECTOR);
	ck_assert_uint_eq(fake_logged(disk, 23)->offset, 4 * SECTOR);
	ck_assert_uint_eq(rig_stats().discards, 1);
	rig_expect_alive();
}
END_TEST

START_TEST(one_bad_range_and_none_is_touched)
{
	rig_start(ALL_FEATURES);
	put_range(0, 0, 8, 0);
	put_range(1, DISK_SECTORS - 1, 2, 0);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 32), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	put_range(1, UINT64_MAX, 1, 0);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 32), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	put_range(1, 0, 1, 2);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 32), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_UNSUPP);
	put_range(1, 0, 1, 0x80000000);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 32), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_UNSUPP);
	ck_assert_uint_eq(disk->logged, 0);
	rig_expect_alive();
}
END_TEST

START_TEST(ranges_of_a_wrong_number_or_length_return_ioerr)
{
	static const uint32_t len[] = { 0, 8, 15, 17, 33 * 16 };
	struct td_seg hole[] = { { hdr, 16, false }, { HOLE, 16, false }, { status, 1, true } };

	rig_start(ALL_FEATURES);
	memset(rig_data(), 0, 33 * 16);
	for (unsigned int i = 0; i < ARRAY_SIZE(len); i++) {
		ck_assert_int_eq(rig_do(range_types[_i], 0, len[i]), 1);
		ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	}
	*(uint8_t *)td_ptr(&td, status) = UNTOUCHED;
	ck_assert_int_eq(td_do(&td, 0, hole, 3), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	rig_expect_alive();
}
END_TEST

START_TEST(range_longer_than_announced_returns_ioerr)
{
	uint32_t most;

	free(disk->data);
	disk->data = NULL;
	disk->info.capacity_bytes = 16 * GIB;
	rig_start(ALL_FEATURES);
	most = le32toh(_i ? rig_config().max_write_zeroes_sectors : rig_config().max_discard_sectors);
	put_range(0, 0, most, 0);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	put_range(0, 0, most + 1, 0);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
}
END_TEST

START_TEST(empty_ranges_are_ok_and_reach_nobody)
{
	rig_start(ALL_FEATURES);
	put_range(0, 5, 0, 0);
	put_range(1, DISK_SECTORS, 0, 0);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 32), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	put_range(1, DISK_SECTORS + 1, 0, 0);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 32), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(disk->logged, 0);
}
END_TEST

START_TEST(failed_range_ends_the_request)
{
	rig_start(ALL_FEATURES);
	for (unsigned int i = 0; i < 5; i++)
		put_range(i, i, 1, 0);
	disk->fail = -EIO;
	disk->fail_op = range_ops[_i];
	disk->fail_after = 2;
	ck_assert_int_eq(rig_do(range_types[_i], 0, 5 * 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(disk->logged, 3);
	rig_expect_alive();
}
END_TEST

START_TEST(range_that_the_host_cannot_do_is_unsupported_and_no_error)
{
	rig_start(ALL_FEATURES);
	put_range(0, 0, 1, 0);
	disk->fail = -EOPNOTSUPP;
	disk->fail_op = range_ops[_i];
	ck_assert_int_eq(rig_do(range_types[_i], 0, 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_UNSUPP);
	ck_assert_uint_eq(rig_stats().errors, 0);
}
END_TEST

START_TEST(unmap_is_for_zeroes_alone)
{
	rig_start(ALL_FEATURES);
	put_range(0, 0, 1, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_DISCARD, 0, 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_UNSUPP);
	ck_assert_uint_eq(disk->logged, 0);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert(fake_logged(disk, 0)->unmap);
}
END_TEST

START_TEST(zeroes_without_discard_keep_their_space)
{
	opts.discard = false;
	rig_start(ALL_FEATURES);
	put_range(0, 0, 1, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	ck_assert(!fake_logged(disk, 0)->unmap);
	ck_assert_uint_eq(disk->data[0], 0);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_DISCARD, 0, 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_UNSUPP);
}
END_TEST

START_TEST(ranges_without_the_feature_are_unsupported)
{
	rig_start(VIRTIO_BIT(VIRTIO_BLK_F_FLUSH));
	put_range(0, 0, 1, 0);
	ck_assert_int_eq(rig_do(range_types[_i], 0, 16), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_UNSUPP);
	ck_assert_uint_eq(disk->logged, 0);
}
END_TEST

static Suite *range_suite(void)
{
	Suite *s = suite_create("virtio_blk_range");
	TCase *t = tcase_create("ranges");

	tcase_add_checked_fixture(t, rig_make, rig_destroy);
	tcase_add_loop_test(t, range_is_passed_on, 0, 2);
	tcase_add_loop_test(t, several_ranges_are_done_one_after_the_other, 0, 4);
	tcase_add_loop_test(t, one_bad_range_and_none_is_touched, 0, 2);
	tcase_add_loop_test(t, ranges_of_a_wrong_number_or_length_return_ioerr, 0, 2);
	tcase_add_loop_test(t, range_longer_than_announced_returns_ioerr, 0, 2);
	tcase_add_loop_test(t, empty_ranges_are_ok_and_reach_nobody, 0, 2);
	tcase_add_loop_test(t, failed_range_ends_the_request, 0, 2);
	tcase_add_loop_test(t, range_that_the_host_cannot_do_is_unsupported_and_no_error, 0, 2);
	tcase_add_test(t, unmap_is_for_zeroes_alone);
	tcase_add_test(t, zeroes_without_discard_keep_their_space);
	tcase_add_loop_test(t, ranges_without_the_feature_are_unsupported, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(range_suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
