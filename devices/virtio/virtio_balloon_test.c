/*
 * The balloon with a driver in the same process: which pages go, what is remembered, who is asked. Large pages
 * are played by small ones that only count together; that hugetlbfs gives them back is for a machine which has it.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/virtio/virtio_balloon_rig.h"
#include "vmm/base/map.h"

/* ---- inflate ---- */

START_TEST(inflated_pages_are_gone_and_their_neighbours_stay)
{
	begin(ALL_FEATURES);
	SEND(INFLATE, 9, 3, 4, 9, 2, 30);
	for (unsigned int i = 0; i < 64; i++)
		ck_assert_uint_eq(page_byte(i), i == 2 || i == 3 || i == 4 || i == 9 || i == 30 ? 0 : 0x55);
	ck_assert_uint_eq(stats().inflated_bytes, 6 * PAGE); /* one was named twice */
	ck_assert_uint_eq(stats().discarded_bytes, 5 * PAGE);
}
END_TEST

START_TEST(pages_that_are_not_ram_are_left_out)
{
	begin(ALL_FEATURES);
	SEND(INFLATE, 0x80000000, 5, 0x200000, (uint32_t)(RAM / PAGE - pages / PAGE));
	ck_assert_uint_eq(page_byte(5), 0);
	ck_assert_uint_eq(stats().discarded_bytes, PAGE);
	SEND(INFLATE, 6);
	ck_assert_uint_eq(page_byte(6), 0);
}
END_TEST

START_TEST(page_above_4_gib_is_found)
{
	uint8_t *at;

	begin(ALL_FEATURES);
	at = td_ptr(&td, MAP_HIGH_RAM_BASE + 2 * PAGE);
	*at = 1;
	SEND(INFLATE, (uint32_t)(MAP_HIGH_RAM_BASE / PAGE - pages / PAGE + 2));
	ck_assert_uint_eq(*at, 0);
}
END_TEST

START_TEST(list_may_be_cut_anywhere)
{
	struct td_seg seg[] = { { 0, 3, false }, { 0, 6, false }, { 0, 5, false } };

	begin(ALL_FEATURES);
	put_list((const uint32_t[]){ 1, 7, 12, 40 }, 4);
	seg[0].gpa = list;
	seg[1].gpa = list + 3;
	seg[2].gpa = list + 9; /* two bytes of the fourth number: no number */
	ck_assert_int_eq(td_do(&td, INFLATE, seg, 3), 0);
	ck_assert_uint_eq(page_byte(1) + page_byte(7) + page_byte(12), 0);
	ck_assert_uint_eq(page_byte(40), 0x55);
}
END_TEST

/* A second batch begins within the list: nothing of it is lost. */
START_TEST(long_list_is_read_to_its_end)
{
	static uint32_t page[2048];

	begin(ALL_FEATURES);
	page[2047] = 11;
	send(INFLATE, page, 2048);
	ck_assert_uint_eq(page_byte(0), 0);
	ck_assert_uint_eq(page_byte(11), 0);
	ck_assert_uint_eq(page_byte(10), 0x55);
}
END_TEST

static const struct td_seg odd_list[] = {
	{ 0x1000, 3, false },      /* less than a number */
	{ 0x1000, 4, true },       /* nothing to read */
	{ 0xf0000000, 64, false }, /* in no RAM */
	{ RAM - 4, 8, false },     /* leaves RAM */
	{ UINT64_MAX - 3, 4, false }, { 0x1000, UINT32_MAX, false },
};

START_TEST(odd_list_comes_back_and_the_next_is_served)
{
	begin(ALL_FEATURES);
	ck_assert_int_eq(td_do(&td, INFLATE, &odd_list[_i], 1), 0);
	ck_assert_int_eq(td_do(&td, DEFLATE, &odd_list[_i], 1), 0);
	ck_assert_uint_eq(stats().discarded_bytes, 0);
	SEND(INFLATE, 8);
	ck_assert_uint_eq(page_byte(8), 0);
}
END_TEST

/* All of RAM as a list of pages, over and over in one chain: bounded work. */
START_TEST(list_of_gigabytes_ends)
{
	struct td_seg seg[32];

	begin(ALL_FEATURES);
	for (unsigned int i = 0; i < 32; i++)
		seg[i] = (struct td_seg){ MAP_HIGH_RAM_BASE, TD_HIGH_BYTES, false };
	ck_assert_int_eq(td_do(&td, INFLATE, seg, 32), 0);
	ck_assert_uint_le(stats().inflated_bytes, 64ull * 1024 * PAGE);
}
END_TEST

START_TEST(deflated_page_can_be_inflated_again)
{
	begin(ALL_FEATURES);
	SEND(INFLATE, 3);
	SEND(DEFLATE, 3, 60, UINT32_MAX);
	*(uint8_t *)td_ptr(&td, pages + 3 * PAGE + 17) = 7;
	SEND(INFLATE, 3);
	ck_assert_uint_eq(page_byte(3), 0);
}
END_TEST

/* ---- large pages ---- */

START_TEST(large_page_goes_when_its_last_part_comes)
{
	begin_large(ALL_FEATURES);
	SEND(INFLATE, 4, 6);
	SEND(INFLATE, 7, 8, 9);
	ck_assert_uint_eq(stats().discarded_bytes, 0);
	SEND(INFLATE, 5);
	ck_assert_uint_eq(stats().discarded_bytes, LARGE);
	ck_assert_uint_eq(page_byte(4) + page_byte(5) + page_byte(6) + page_byte(7), 0);
	ck_assert_uint_eq(page_byte(3) & page_byte(8), 0x55);
}
END_TEST

START_TEST(part_that_comes_twice_counts_once)
{
	begin_large(ALL_FEATURES);
	SEND(INFLATE, 4, 5, 6, 6);
	SEND(INFLATE, 4);
	ck_assert_uint_eq(stats().discarded_bytes, 0);
	ck_assert_uint_eq(page_byte(7), 0x55);
}
END_TEST

START_TEST(part_that_was_taken_out_is_kept)
{
	begin_large(ALL_FEATURES);
	SEND(INFLATE, 4, 5, 6);
	SEND(DEFLATE, 5, 5, 40);
	SEND(INFLATE, 7);
	ck_assert_uint_eq(page_byte(5), 0x55);
	SEND(INFLATE, 5);
	ck_assert_uint_eq(stats().discarded_bytes, LARGE);
}
END_TEST

START_TEST(reset_empties_the_balloon)
{
	begin_large(ALL_FEATURES);
	SEND(INFLATE, 4, 5, 6);
	td_stop(&td);
	begin(ALL_FEATURES);
	SEND(INFLATE, 7);
	ck_assert_uint_eq(stats().discarded_bytes, 0);
	ck_assert_uint_eq(page_byte(5), 0x55);
}
END_TEST

/* Who need not tell could touch a large page that cannot be had any more. */
START_TEST(driver_that_does_not_tell_gives_no_large_pages)
{
	begin_large(ALL_FEATURES & ~VIRTIO_BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST));
	SEND(INFLATE, 11, 8, 10, 9, 13);
	ck_assert_uint_eq(stats().inflated_bytes, 5 * PAGE);
	ck_assert_uint_eq(stats().discarded_bytes, 0);
	ck_assert_uint_eq(page_byte(9), 0x55);
	SEND(DEFLATE, 9);
}
END_TEST

START_TEST(must_tell_host_is_offered_for_large_pages_only)
{
	const uint64_t tell = VIRTIO_BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST);

	begin(ALL_FEATURES);
	ck_assert_uint_eq(virtio_balloon_dev(b)->features & tell, 0);
	td_stop(&td);
	virtio_balloon_free(b);
	b = NULL;
	begin_large(ALL_FEATURES);
	ck_assert_uint_eq(virtio_balloon_dev(b)->features & tell, tell);
}
END_TEST

START_TEST(reporting_is_not_offered_with_large_pages)
{
	begin_large(ALL_FEATURES);
	ck_assert_uint_eq(virtio_balloon_dev(b)->features & (VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING) |
							     VIRTIO_BIT(VIRTIO_BALLOON_F_PAGE_POISON)),
			  0);
	ck_assert_uint_eq(virtio_balloon_dev(b)->nr_queues, 3);
}
END_TEST

/* ---- reporting ---- */

static int64_t report_pages(unsigned int q, unsigned int from, unsigned int nr)
{
	struct td_seg seg = { pages + from * PAGE, nr * PAGE, true };

	return td_do(&td, q, &seg, 1);
}

/* 5.5.2 says 4; Linux counts without gaps: 3, or 2 without statistics. */
static const struct {
	uint64_t features;
	unsigned int queue;
} report_queue[] = {
	{ ALL_FEATURES, 4 },
	{ ALL_FEATURES, 3 },
	{ ALL_FEATURES & ~VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ), 2 },
	{ ALL_FEATURES & ~VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ), 4 },
};

START_TEST(reported_pages_are_gone)
{
	begin(report_queue[_i].features);
	ck_assert_int_eq(report_pages(report_queue[_i].queue, 8, 16), 0);
	ck_assert_uint_eq(page_byte(7) & page_byte(24), 0x55);
	ck_assert_uint_eq(page_byte(8) + page_byte(23), 0);
	ck_assert_uint_eq(stats().reported_bytes, 16 * PAGE);
}
END_TEST

START_TEST(report_without_the_feature_does_nothing)
{
	begin(ALL_FEATURES & ~VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING));
	ck_assert_int_eq(report_pages(3, 8, 16), 0);
	ck_assert_uint_eq(page_byte(8), 0x55);
}
END_TEST

START_TEST(poisoned_pages_are_left_as_they_are)
{
	begin(ALL_FEATURES);
	config_set(12, 0xaaaaaaaa);
	ck_assert_int_eq(report_pages(3, 8, 16), 0);
	ck_assert_uint_eq(page_byte(8), 0x55);
	config_set(12, 0); /* init_on_free: what is free is zero */
	ck_assert_int_eq(report_pages(3, 8, 16), 0);
	ck_assert_uint_eq(page_byte(8), 0);
}
END_TEST

START_TEST(poison_value_is_forgotten_at_reset)
{
	begin(ALL_FEATURES);
	config_set(12, 0xaaaaaaaa);
	td_stop(&td);
	begin(ALL_FEATURES);
	ck_assert_int_eq(report_pages(3, 8, 16), 0);
	ck_assert_uint_eq(page_byte(8), 0);
}
END_TEST

START_TEST(report_of_parts_of_pages_takes_whole_ones_only)
{
	struct td_seg seg[] = { { pages + 100, 2 * PAGE, true }, { pages + 8 * PAGE, PAGE - 1, true } };

	begin(ALL_FEATURES);
	ck_assert_int_eq(td_do(&td, 3, seg, 2), 0);
	ck_assert_uint_eq(stats().reported_bytes, PAGE);
	ck_assert_uint_eq(page_byte(1), 0);
	ck_assert_uint_eq(page_byte(0) & page_byte(8), 0x55);
}
END_TEST

START_TEST(report_beside_ram_leaves_that_out)
{
	struct td_seg seg[] = {
		{ 0xf0000000, 4 * PAGE, true },
		{ pages, PAGE, true },
		{ RAM - PAGE, 2 * PAGE, true },
	};

	begin(ALL_FEATURES);
	ck_assert_int_eq(td_do(&td, 3, seg, 3), 0);
	ck_assert_uint_eq(stats().reported_bytes, PAGE);
}
END_TEST

START_TEST(report_of_more_than_all_ram_is_cut)
{
	struct td_seg seg[3];

	begin(ALL_FEATURES);
	for (unsigned int i = 0; i < 3; i++)
		seg[i] = (struct td_seg){ MAP_HIGH_RAM_BASE, TD_HIGH_BYTES, true };
	ck_assert_int_eq(td_do(&td, 3, seg, 3), 0);
	ck_assert_uint_eq(stats().reported_bytes, 3 * TD_HIGH_BYTES);
	seg[0] = (struct td_seg){ 0, UINT32_MAX, true }; /* not RAM, and longer than all of it */
	ck_assert_int_eq(td_do(&td, 3, seg, 3), 0);
	ck_assert_uint_eq(stats().reported_bytes, 3 * TD_HIGH_BYTES);
}
END_TEST

/* ---- statistics ---- */

static unsigned int put_stat(unsigned int nr, uint16_t tag, uint64_t val)
{
	uint8_t *p = (uint8_t *)td_ptr(&td, list) + 10 * nr;

	put_le16(p, tag);
	put_le64(p + 2, val);
	return nr + 1;
}

static void send_stats(uint32_t len)
{
	struct td_seg seg = { list, len, false };

	ck_assert_int_ge(td_add(&td, STATS, &seg, 1), 0);
	td_kick(&td, STATS);
	td_run(&td);
}

START_TEST(statistics_are_kept_with_their_time)
{
	begin(ALL_FEATURES);
	ck_assert_uint_eq(stats().at_ns, 0);
	put_stat(put_stat(put_stat(0, VIRTIO_BALLOON_S_MEMFREE, 12345), VIRTIO_BALLOON_S_MEMTOT, UINT64_MAX),
		 VIRTIO_BALLOON_S_HTLB_PGFAIL, 3);
	send_stats(30);
	ck_assert_uint_gt(stats().at_ns, 0);
	ck_assert_uint_eq(stats().value[VIRTIO_BALLOON_S_MEMFREE], 12345);
	ck_assert_uint_eq(stats().value[VIRTIO_BALLOON_S_MEMTOT], UINT64_MAX);
	ck_assert_uint_eq(stats().value[VIRTIO_BALLOON_S_HTLB_PGFAIL], 3);
	ck_assert(stats().known[VIRTIO_BALLOON_S_MEMFREE] && !stats().known[VIRTIO_BALLOON_S_SWAP_IN]);
}
END_TEST

START_TEST(unknown_tags_and_a_cut_entry_are_ignored)
{
	begin(ALL_FEATURES);
	put_stat(put_stat(put_stat(put_stat(0, BALLOON_NR_STATS, 1), UINT16_MAX, 2), VIRTIO_BALLOON_S_AVAIL,
			  3),
		 VIRTIO_BALLOON_S_CACHES, 4);
	send_stats(39);
	ck_assert(stats().known[VIRTIO_BALLOON_S_AVAIL] && !stats().known[VIRTIO_BALLOON_S_CACHES]);
}
END_TEST

START_TEST(buffer_comes_back_only_when_news_are_wanted)
{
	struct td_used used;

	begin(ALL_FEATURES);
	put_stat(0, VIRTIO_BALLOON_S_MEMFREE, 1);
	send_stats(10);
	ck_assert(!td_poll(&td, STATS, &used));
	virtio_balloon_ask_stats(b);
	ck_assert(td_wait(&td, STATS, &used));
	put_stat(0, VIRTIO_BALLOON_S_MEMFREE, 2);
	send_stats(10);
	ck_assert_uint_eq(stats().value[VIRTIO_BALLOON_S_MEMFREE], 2);
	ck_assert(!td_poll(&td, STATS, &used));
}
END_TEST

START_TEST(asking_without_a_buffer_does_no_harm)
{
	struct td_used used;

	begin(ALL_FEATURES);
	td_run(&td);
	virtio_balloon_ask_stats(b);
	ck_assert_int_ge(loop_run_once(&thread.loop, 1000), 1);
	send_stats(10);
	ck_assert(!td_poll(&td, STATS, &used));
	td_stop(&td);
	virtio_balloon_ask_stats(b);
	ck_assert_int_ge(loop_run_once(&thread.loop, 1000), 1);
}
END_TEST

START_TEST(interval_asks_by_itself)
{
	struct td_used used;

	options.stats_interval_s = 1;
	begin(ALL_FEATURES);
	send_stats(10);
	ck_assert(!td_poll(&td, STATS, &used));
	ck_assert(td_wait(&td, STATS, &used));
}
END_TEST

START_TEST(second_buffer_sends_the_first_back)
{
	struct td_used used;

	begin(ALL_FEATURES);
	send_stats(10);
	send_stats(10);
	ck_assert(td_poll(&td, STATS, &used));
	ck_assert(!td_poll(&td, STATS, &used));
	ck_assert(!td.failed);
}
END_TEST

static const struct td_seg odd_stats[] = {
	{ 0x1000, 9, false },
	{ 0x1000, 10, true },
	{ 0xf0000000, 10, false },
	{ UINT64_MAX, 10, false },
};

START_TEST(odd_buffer_for_statistics_changes_nothing_and_asks_all_the_same)
{
	struct td_used used;

	begin(ALL_FEATURES);
	ck_assert_int_ge(td_add(&td, STATS, &odd_stats[_i], 1), 0);
	td_kick(&td, STATS);
	td_run(&td);
	ck_assert_uint_eq(stats().at_ns, 0);
	virtio_balloon_ask_stats(b);
	ck_assert(td_wait(&td, STATS, &used));
}
END_TEST

START_TEST(held_buffer_survives_saving_and_is_forgotten_at_reset)
{
	struct virtio_dev *d;
	struct td_used used;
	struct buf buf = { 0 };
	struct state_reader r;

	begin(ALL_FEATURES);
	d = virtio_balloon_dev(b);
	put_stat(0, VIRTIO_BALLOON_S_MEMFREE, 1);
	send_stats(10);
	config_set(4, 77);
	virtio_stop(d);
	virtio_save(d, &buf);
	r = (struct state_reader){ .data = buf.data, .len = buf.len, .version = 1 };
	ck_assert_int_eq(virtio_load(d, &r, NULL), 0);
	td_run(&td);
	ck_assert_uint_eq(config(4), 77);
	virtio_balloon_ask_stats(b);
	ck_assert(td_wait(&td, STATS, &used));
	buf_fini(&buf);
	send_stats(10);
	td_stop(&td);
	ck_assert_uint_eq(stats().at_ns, 0);
}
END_TEST

/* ---- configuration ---- */

START_TEST(target_is_told_in_pages_with_an_interrupt)
{
	options.target_bytes = RAM - 16 * PAGE;
	begin(ALL_FEATURES);
	ck_assert_uint_eq(config(0), 16);
	ck_assert_int_eq(virtio_balloon_set_target(b, RAM / 2), 0);
	ck_assert_uint_eq(config(0), RAM / 2 / PAGE);
	ck_assert_uint_eq(virtio_balloon_target(b), RAM / 2);
	ck_assert_uint_eq(td.config_interrupts, 1);
	ck_assert_int_eq(virtio_balloon_set_target(b, RAM + 1), -EINVAL);
	ck_assert_uint_eq(virtio_balloon_target(b), RAM / 2);
}
END_TEST

START_TEST(actual_is_the_drivers_to_say_and_the_target_is_not)
{
	begin(ALL_FEATURES);
	config_set(0, 5);
	config_set(4, 100);
	config_set(8, 5);
	ck_assert_uint_eq(config(0), 0);
	ck_assert_uint_eq(config(8), 0);
	ck_assert_uint_eq(virtio_balloon_actual(b), RAM - 100 * PAGE);
	config_set(4, UINT32_MAX);
	ck_assert_uint_eq(virtio_balloon_actual(b), 0);
	td_stop(&td);
	ck_assert_uint_eq(virtio_balloon_actual(b), RAM);
}
END_TEST

START_TEST(target_beyond_ram_is_refused_at_the_start)
{
	struct err e = { 0 };

	options.target_bytes = 2 * RAM;
	ck_assert_int_eq(virtio_balloon_new(&b, &options, &td.mem, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "4 MiB"));
	ck_assert_ptr_null(b);
}
END_TEST

START_TEST(features_follow_the_options)
{
	struct virtio_dev *d;

	options.deflate_on_oom = true;
	options.free_page_reporting = false;
	begin(ALL_FEATURES);
	d = virtio_balloon_dev(b);
	ck_assert_uint_eq(d->features & 0x3f, VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ) |
						      VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM));
	ck_assert_uint_eq(d->nr_queues, 3);
}
END_TEST

/* ---- with threads ---- */

/* More chains than fit into one turn, and a reset in the midst of them. */
START_TEST(reset_while_a_flood_is_served_returns)
{
	struct td_seg seg;

	td.threads = true;
	begin(ALL_FEATURES);
	seg = (struct td_seg){ MAP_HIGH_RAM_BASE, 1 << 18, false };
	for (unsigned int i = 0; i < 60; i++)
		ck_assert_int_ge(td_add(&td, INFLATE, &seg, 1), 0);
	td_kick(&td, INFLATE);
	td_stop(&td);
	begin(ALL_FEATURES);
	SEND(INFLATE, 1);
	ck_assert_uint_eq(page_byte(1), 0);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, inflated_pages_are_gone_and_their_neighbours_stay);
	tcase_add_test(t, pages_that_are_not_ram_are_left_out);
	tcase_add_test(t, page_above_4_gib_is_found);
	tcase_add_test(t, list_may_be_cut_anywhere);
	tcase_add_test(t, long_list_is_read_to_its_end);
	tcase_add_loop_test(t, odd_list_comes_back_and_the_next_is_served, 0, ARRAY_SIZE(odd_list));
	tcase_add_test(t, list_of_gigabytes_ends);
	tcase_add_test(t, deflated_page_can_be_inflated_again);
	tcase_add_test(t, large_page_goes_when_its_last_part_comes);
	tcase_add_test(t, part_that_comes_twice_counts_once);
	tcase_add_test(t, part_that_was_taken_out_is_kept);
	tcase_add_test(t, reset_empties_the_balloon);
	tcase_add_test(t, driver_that_does_not_tell_gives_no_large_pages);
	tcase_add_test(t, must_tell_host_is_offered_for_large_pages_only);
	tcase_add_test(t, reporting_is_not_offered_with_large_pages);
	tcase_add_loop_test(t, reported_pages_are_gone, 0, ARRAY_SIZE(report_queue));
	tcase_add_test(t, report_without_the_feature_does_nothing);
	tcase_add_test(t, poisoned_pages_are_left_as_they_are);
	tcase_add_test(t, poison_value_is_forgotten_at_reset);
	tcase_add_test(t, report_of_parts_of_pages_takes_whole_ones_only);
	tcase_add_test(t, report_beside_ram_leaves_that_out);
	tcase_add_test(t, report_of_more_than_all_ram_is_cut);
	tcase_add_test(t, statistics_are_kept_with_their_time);
	tcase_add_test(t, unknown_tags_and_a_cut_entry_are_ignored);
	tcase_add_test(t, buffer_comes_back_only_when_news_are_wanted);
	tcase_add_test(t, asking_without_a_buffer_does_no_harm);
	tcase_add_test(t, interval_asks_by_itself);
	tcase_add_test(t, second_buffer_sends_the_first_back);
	tcase_add_loop_test(t, odd_buffer_for_statistics_changes_nothing_and_asks_all_the_same, 0,
			    ARRAY_SIZE(odd_stats));
	tcase_add_test(t, held_buffer_survives_saving_and_is_forgotten_at_reset);
	tcase_add_test(t, target_is_told_in_pages_with_an_interrupt);
	tcase_add_test(t, actual_is_the_drivers_to_say_and_the_target_is_not);
	tcase_add_test(t, target_beyond_ram_is_refused_at_the_start);
	tcase_add_test(t, features_follow_the_options);
	tcase_add_test(t, reset_while_a_flood_is_served_returns);
}

int main(void)
{
	Suite *suite = suite_create("virtio_balloon");
	TCase *t = tcase_create("virtio_balloon");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	add_tests(t);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
