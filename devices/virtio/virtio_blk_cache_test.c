/*
 * What the driver can change of a virtio-blk disk, its cache mode (virtio 1.2, 5.2.5 and 5.2.6.2), and what the
 * host can, its size. The disk is one in memory, and only says which writes were to be on the medium.
 */
#include "devices/virtio/virtio_blk_rig.h"

static bool write_is_through(void)
{
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_OUT, 0, SECTOR), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
	return fake_logged(disk, 0)->fua;
}

static void set_writeback(uint8_t on)
{
	virtio_config_write(td.dev, offsetof(struct virtio_blk_config, wce), &on, 1);
}

START_TEST(write_without_flush_is_written_through)
{
	rig_start(0);
	ck_assert(write_is_through());
	td_stop(&td);
	rig_start(VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES));
	put_le32(rig_data() + 8, 1);
	memset(rig_data(), 0, 8);
	put_le32(rig_data() + 12, 0);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), 1);
	ck_assert_int_eq(fake_logged(disk, 0)->op, BLOCK_ZEROES);
	ck_assert(fake_logged(disk, 0)->fua);
}
END_TEST

START_TEST(write_with_flush_may_stay_in_the_cache)
{
	rig_start(VIRTIO_BIT(VIRTIO_BLK_F_FLUSH));
	ck_assert(!write_is_through());
	set_writeback(0); /* without the feature this means nothing */
	ck_assert(!write_is_through());
}
END_TEST

START_TEST(cache_mode_follows_the_driver_and_reset)
{
	rig_start(ALL_FEATURES);
	ck_assert_uint_eq(rig_config().wce, 1);
	ck_assert(!write_is_through());
	set_writeback(0);
	ck_assert_uint_eq(rig_config().wce, 0);
	ck_assert(write_is_through());
	set_writeback(0xff);
	ck_assert_uint_eq(rig_config().wce, 1);
	ck_assert(!write_is_through());
	set_writeback(2);
	ck_assert_uint_eq(rig_config().wce, 0);
	td_stop(&td);
	rig_start(ALL_FEATURES);
	ck_assert_uint_eq(rig_config().wce, 1);
	ck_assert(!write_is_through());
}
END_TEST

START_TEST(cache_mode_without_flush_begins_as_write_through)
{
	rig_start(VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE));
	ck_assert_uint_eq(rig_config().wce, 0);
	ck_assert(write_is_through());
}
END_TEST

START_TEST(medium_that_writes_through_cannot_be_told_otherwise)
{
	disk->info.write_cache = false;
	rig_start(ALL_FEATURES);
	ck_assert_uint_eq(rig_config().wce, 0);
	set_writeback(1);
	ck_assert_uint_eq(rig_config().wce, 0);
	ck_assert(write_is_through());
}
END_TEST

START_TEST(nothing_but_the_cache_mode_can_be_written)
{
	uint8_t ff[8], before[64], after[64];

	memset(ff, 0xff, sizeof(ff));
	rig_start(ALL_FEATURES);
	virtio_config_read(td.dev, 0, before, 64);
	for (unsigned int off = 0; off < 72; off += 8)
		virtio_config_write(td.dev, off, ff, 8);
	virtio_config_read(td.dev, 0, after, 64);
	ck_assert_mem_eq(before, after, 64);
}
END_TEST

START_TEST(saved_cache_mode_comes_back)
{
	struct buf b = { 0 };
	struct state_reader r;
	struct err e = { 0 };

	rig_start(ALL_FEATURES);
	set_writeback(0);
	virtio_stop(td.dev);
	virtio_save(td.dev, &b);
	virtio_reset(td.dev);
	ck_assert_uint_eq(rig_config().wce, 1);
	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_msg(virtio_load(td.dev, &r, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(rig_config().wce, 0);
	ck_assert(write_is_through());
	buf_fini(&b);
}
END_TEST

/* ---- size ---- */

START_TEST(disk_that_grows_is_announced_and_usable)
{
	uint8_t generation;

	rig_start(ALL_FEATURES);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_IN, DISK_SECTORS, SECTOR), 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_IOERR);
	generation = (uint8_t)atomic_load(&td.dev->generation);
	disk->resize_bytes = (DISK_SECTORS + 8) * SECTOR;
	for (unsigned int i = 0; i < 30 && !td.config_interrupts; i++)
		ck_assert_int_ge(loop_run_once(&td.dev->queue[0].thread->loop, 100), 0);
	ck_assert_uint_eq(td.config_interrupts, 1);
	ck_assert_uint_ne(generation, (uint8_t)atomic_load(&td.dev->generation));
	ck_assert_uint_eq(le64toh(rig_config().capacity), DISK_SECTORS + 8);
	ck_assert_int_eq(rig_do(VIRTIO_BLK_T_IN, DISK_SECTORS + 7, SECTOR), SECTOR + 1);
	ck_assert_uint_eq(rig_status(), VIRTIO_BLK_S_OK);
}
END_TEST

static Suite *cache_suite(void)
{
	Suite *s = suite_create("virtio_blk_cache");
	TCase *t = tcase_create("cache mode and size");

	tcase_add_checked_fixture(t, rig_make, rig_destroy);
	tcase_add_test(t, write_without_flush_is_written_through);
	tcase_add_test(t, write_with_flush_may_stay_in_the_cache);
	tcase_add_test(t, cache_mode_follows_the_driver_and_reset);
	tcase_add_test(t, cache_mode_without_flush_begins_as_write_through);
	tcase_add_test(t, medium_that_writes_through_cannot_be_told_otherwise);
	tcase_add_test(t, nothing_but_the_cache_mode_can_be_written);
	tcase_add_test(t, saved_cache_mode_comes_back);
	tcase_add_test(t, disk_that_grows_is_announced_and_usable);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(cache_suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
