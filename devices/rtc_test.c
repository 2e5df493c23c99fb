/*
 * Unit tests of rtc.c: a guest at ports 0x70/0x71, a host clock and a timer moved by hand. They do not
 * compare with a real chip, and do not run two threads at once.
 */
#include <check.h>
#include <stdlib.h>

#include "devices/fake_loop.h"
#include "devices/rtc.h"

enum {
	SECOND, SECOND_ALARM, MINUTE, MINUTE_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D,
	CENTURY = 0x32,
};

#define S  1000000000ull
#define MS 1000000ull
#define T_2024_02_28_235950 1709164790ll /* a Wednesday */

static struct rtc rtc;
static int64_t utc_base_ns;
static bool line;
static unsigned int edges;

static int64_t utc_ns(void *ctx)
{
	(void)ctx;
	return utc_base_ns + (int64_t)fake_loop.now_ns;
}

static void line_set(void *ctx, unsigned int pin, bool level)
{
	(void)ctx;
	ck_assert_uint_eq(pin, 8);
	edges += level && !line;
	line = level;
}

static void make_rtc(void)
{
	struct rtc_clock clock = { utc_ns, NULL };
	struct irq_line irq = { line_set, NULL, 8 };
	struct err e;

	ck_assert_int_eq(rtc_init(&rtc, irq, NULL, &clock, 3 * GIB, 5 * GIB, &e), 0);
}

static void setup(void)
{
	memset(&fake_loop, 0, sizeof(fake_loop));
	utc_base_ns = T_2024_02_28_235950 * (int64_t)S;
	line = false;
	edges = 0;
	make_rtc();
}

static void teardown(void)
{
	rtc_fini(&rtc);
}

static uint8_t get(uint8_t reg)
{
	rtc_io_ops.write(&rtc, 0, 1, reg);
	return (uint8_t)rtc_io_ops.read(&rtc, 1, 1);
}

static void put(uint8_t reg, uint8_t val)
{
	rtc_io_ops.write(&rtc, 0, 1, reg);
	rtc_io_ops.write(&rtc, 1, 1, val);
}

/* Hour, minute and second as the registers show them, for one comparison. */
static unsigned int hms(void)
{
	return (unsigned int)get(HOUR) << 16 | (unsigned int)get(MINUTE) << 8 | get(SECOND);
}

static unsigned int ymd(void)
{
	return (unsigned int)get(CENTURY) << 24 | (unsigned int)get(YEAR) << 16 |
	       (unsigned int)get(MONTH) << 8 | get(DAY);
}

/* As Linux sets the time: halted, 12:34:56 on 1999-12-31, a Friday. */
static void set_1999(void)
{
	static const uint8_t reg[] = { SECOND, MINUTE, HOUR, WEEKDAY, DAY, MONTH, YEAR, CENTURY };
	static const uint8_t val[] = { 0x56, 0x34, 0x12, 6, 0x31, 0x12, 0x99, 0x19 };

	put(B, 0x82);
	for (unsigned int i = 0; i < ARRAY_SIZE(reg); i++)
		put(reg[i], val[i]);
	put(B, 0x02);
}

START_TEST(init_shows_host_utc_in_bcd_and_24_hours)
{
	ck_assert_uint_eq(ymd(), 0x20240228);
	ck_assert_uint_eq(hms(), 0x235950);
	ck_assert_uint_eq(get(WEEKDAY), 4);
	ck_assert_uint_eq(get(A), 0x26);
	ck_assert_uint_eq(get(B), 0x02);
	ck_assert_uint_eq(get(D), 0x80);
}
END_TEST

START_TEST(time_passes_over_midnight_into_a_leap_day)
{
	fake_loop_advance(10 * S);
	ck_assert_uint_eq(ymd(), 0x20240229);
	ck_assert_uint_eq(hms(), 0x000000);
	ck_assert_uint_eq(get(WEEKDAY), 5);
	fake_loop_advance(86400 * S);
	ck_assert_uint_eq(ymd(), 0x20240301);
}
END_TEST

START_TEST(century_turns_with_the_year)
{
	set_1999();
	fake_loop_advance(12 * 3600 * S);
	ck_assert_uint_eq(ymd(), 0x20000101);
	ck_assert_uint_eq(get(WEEKDAY), 7);
}
END_TEST

START_TEST(host_clock_stepped_back_is_followed)
{
	utc_base_ns -= 3600 * (int64_t)S;
	ck_assert_uint_eq(hms(), 0x225950);
	ck_assert_uint_eq(ymd(), 0x20240228);
}
END_TEST

START_TEST(nmi_bit_of_the_index_is_ignored)
{
	ck_assert_uint_eq(get(0x80 | HOUR), 0x23);
}
END_TEST

START_TEST(word_write_sets_index_and_data)
{
	rtc_io_ops.write(&rtc, 0, 2, 0xab40);
	ck_assert_uint_eq(get(0x40), 0xab);
	ck_assert_uint_eq(rtc_io_ops.read(&rtc, 0, 2), 0xabff);
}
END_TEST

START_TEST(offsets_outside_the_window_are_ignored)
{
	rtc_io_ops.write(&rtc, 2, 4, 0);
	rtc_io_ops.write(&rtc, UINT64_MAX, 8, 0);
	ck_assert_uint_eq(rtc_io_ops.read(&rtc, 2, 4), 0xffffffff);
	ck_assert_uint_eq(hms(), 0x235950);
}
END_TEST

START_TEST(binary_mode_counts_in_binary)
{
	put(B, 0x86);
	put(SECOND, 58);
	put(MINUTE, 59);
	put(HOUR, 22);
	put(DAY, 31);
	put(MONTH, 10);
	put(YEAR, 99);
	put(CENTURY, 20);
	put(B, 0x06);
	fake_loop_advance(2 * S);
	ck_assert_uint_eq(hms(), 23 << 16);
	ck_assert_uint_eq(ymd(), 20u << 24 | 99u << 16 | 10 << 8 | 31);
}
END_TEST

START_TEST(twelve_hour_mode_marks_the_afternoon)
{
	put(B, 0x80);
	put(HOUR, 0x11);
	put(MINUTE, 0x59);
	put(SECOND, 0x59);
	put(B, 0x00);
	fake_loop_advance(S);
	ck_assert_uint_eq(get(HOUR), 0x92); /* noon */
	fake_loop_advance(3600 * S);
	ck_assert_uint_eq(get(HOUR), 0x81);
	fake_loop_advance(11 * 3600 * S);
	ck_assert_uint_eq(get(HOUR), 0x12); /* midnight */
}
END_TEST

START_TEST(set_bit_halts_the_clock_and_keeps_raw_bytes)
{
	put(B, 0x82);
	put(SECOND, 0xff);
	fake_loop_advance(5 * S);
	ck_assert_uint_eq(get(SECOND), 0xff);
	put(SECOND, 0x10);
	put(B, 0x02);
	ck_assert_uint_eq(get(SECOND), 0x10);
	fake_loop_advance(S);
	ck_assert_uint_eq(get(SECOND), 0x11);
}
END_TEST

START_TEST(written_time_goes_on_from_there)
{
	set_1999();
	ck_assert_uint_eq(ymd(), 0x19991231);
	fake_loop_advance(4 * S);
	ck_assert_uint_eq(hms(), 0x123500);
}
END_TEST

START_TEST(a_date_written_piece_by_piece_is_not_bent)
{
	put(MONTH, 0x04);
	put(DAY, 0x31); /* not yet a date */
	put(MONTH, 0x05);
	ck_assert_uint_eq(ymd(), 0x20240531);
}
END_TEST

START_TEST(impossible_bytes_do_no_harm)
{
	for (uint8_t reg = SECOND; reg <= YEAR; reg++)
		put(reg, 0xff);
	put(CENTURY, 0xff);
	put(B, 0x72);
	fake_loop_advance(3 * S);
	ck_assert_uint_eq(get(C) & 0x10, 0x10);
	ck_assert_uint_le(get(SECOND), 0x59);
}
END_TEST

START_TEST(released_divider_updates_half_a_second_later)
{
	fake_loop_advance(300 * MS);
	put(A, 0x76); /* divider held, Linux 6.1, mc146818_set_time() */
	fake_loop_advance(7 * S);
	ck_assert_uint_eq(get(SECOND), 0x50);
	put(A, 0x26);
	fake_loop_advance(500 * MS - 1);
	ck_assert_uint_eq(get(SECOND), 0x50);
	fake_loop_advance(1);
	ck_assert_uint_eq(get(SECOND), 0x51);
}
END_TEST

START_TEST(uip_rises_before_the_update_and_falls_with_it)
{
	fake_loop_advance(S - 2228001);
	ck_assert_uint_eq(get(A), 0x26);
	fake_loop_advance(1);
	ck_assert_uint_eq(get(A), 0xa6);
	ck_assert_uint_eq(get(SECOND), 0x50);
	fake_loop_advance(2228000);
	ck_assert_uint_eq(get(A), 0x26);
	ck_assert_uint_eq(get(SECOND), 0x51);
}
END_TEST

START_TEST(uip_stays_clear_while_set)
{
	put(B, 0x82);
	fake_loop_advance(S - 1);
	ck_assert_uint_eq(get(A), 0x26);
}
END_TEST

START_TEST(uip_cannot_be_written)
{
	put(A, 0xa6);
	ck_assert_uint_eq(get(A), 0x26);
}
END_TEST

START_TEST(registers_c_and_d_cannot_be_written)
{
	put(C, 0xff);
	put(D, 0x00);
	ck_assert_uint_eq(get(C), 0x00);
	ck_assert_uint_eq(get(D), 0x80);
}
END_TEST

START_TEST(update_flag_is_polled_without_interrupt_or_timer)
{
	put(A, 0x20);
	fake_loop_stall(S);
	ck_assert_uint_eq(get(C), 0x10);
	ck_assert_uint_eq(get(C), 0x00);
	ck_assert(!fake_loop_armed());
	ck_assert(!line);
}
END_TEST

START_TEST(update_interrupt_comes_each_second_after_each_read_of_c)
{
	put(A, 0x20);
	put(B, 0x12);
	fake_loop_advance(S);
	ck_assert(line);
	ck_assert(!fake_loop_armed());
	fake_loop_advance(3 * S);
	ck_assert_uint_eq(edges, 1);
	ck_assert_uint_eq(get(C), 0x90);
	ck_assert(!line);
	fake_loop_advance(S);
	ck_assert_uint_eq(edges, 2);
}
END_TEST

START_TEST(enabling_an_interrupt_whose_flag_is_set_raises_at_once)
{
	fake_loop_advance(S);
	put(B, 0x12);
	ck_assert(line);
}
END_TEST

START_TEST(setting_set_clears_the_update_interrupt_enable)
{
	put(B, 0x12);
	put(B, 0x92);
	ck_assert_uint_eq(get(B), 0x82);
	ck_assert(!fake_loop_armed());
}
END_TEST

START_TEST(alarm_comes_at_its_second)
{
	put(A, 0x20);
	put(HOUR_ALARM, 0x00);
	put(MINUTE_ALARM, 0x01);
	put(SECOND_ALARM, 0x05);
	put(B, 0x22);
	fake_loop_advance(75 * S - 1);
	ck_assert(!line);
	fake_loop_advance(1);
	ck_assert(line);
	ck_assert_uint_eq(hms(), 0x000105);
	ck_assert_uint_eq(get(C), 0xb0);
}
END_TEST

START_TEST(alarm_that_does_not_care_comes_every_second_or_minute)
{
	put(A, 0x20);
	put(HOUR_ALARM, 0xff);
	put(MINUTE_ALARM, 0xc0);
	put(SECOND_ALARM, 0xff);
	put(B, 0x22);
	fake_loop_advance(S);
	ck_assert_uint_eq(get(C), 0xb0);
	put(SECOND_ALARM, 0x30);
	fake_loop_advance(38 * S);
	ck_assert_uint_eq(get(C), 0x10);
	fake_loop_advance(S);
	ck_assert_uint_eq(get(C), 0xb0);
	fake_loop_advance(59 * S);
	ck_assert_uint_eq(get(C), 0x10);
	fake_loop_advance(S);
	ck_assert_uint_eq(get(C), 0xb0);
}
END_TEST

START_TEST(alarm_already_past_today_comes_tomorrow)
{
	put(A, 0x20);
	put(HOUR_ALARM, 0x23);
	put(MINUTE_ALARM, 0x59);
	put(SECOND_ALARM, 0x50);
	put(B, 0x22);
	fake_loop_advance(86400 * S - 1);
	ck_assert(!line);
	fake_loop_advance(1);
	ck_assert(line);
}
END_TEST

START_TEST(alarm_in_twelve_hour_mode_knows_the_afternoon)
{
	put(A, 0x20);
	put(B, 0x80);
	put(HOUR, 0x01);
	put(MINUTE, 0x00);
	put(SECOND, 0x00);
	put(HOUR_ALARM, 0x81);
	put(MINUTE_ALARM, 0x00);
	put(SECOND_ALARM, 0x00);
	put(B, 0x20);
	fake_loop_advance(12 * 3600 * S - 1);
	ck_assert(!line);
	fake_loop_advance(1);
	ck_assert(line);
}
END_TEST

START_TEST(impossible_alarm_never_comes)
{
	put(A, 0x20);
	put(HOUR_ALARM, 0x99);
	put(B, 0x22);
	fake_loop_advance(2 * 86400 * S);
	ck_assert(!line);
	ck_assert_uint_eq(get(C), 0x10);
}
END_TEST

START_TEST(alarm_missed_while_nobody_looked_is_still_flagged)
{
	put(HOUR_ALARM, 0x02);
	fake_loop_stall(86400 * S);
	ck_assert_uint_eq(get(C) & 0x20, 0x20);
}
END_TEST

START_TEST(periodic_interrupt_comes_at_its_rate)
{
	put(A, 0x2f); /* 2 Hz */
	put(B, 0x42);
	fake_loop_advance(500 * MS - 1);
	ck_assert(!line);
	fake_loop_advance(1);
	ck_assert(line);
	ck_assert_uint_eq(get(C), 0xc0);
	fake_loop_advance(500 * MS);
	ck_assert_uint_eq(edges, 2);
}
END_TEST

START_TEST(periodic_interrupts_do_not_drift)
{
	put(A, 0x26); /* 1024 Hz */
	put(B, 0x42);
	for (unsigned int us = 0; us < 10000000; us += 50) {
		fake_loop_advance(50000);
		if (line)
			get(C);
	}
	ck_assert_uint_eq(edges, 10240);
}
END_TEST

START_TEST(rates_one_and_two_are_slow_ones)
{
	put(A, 0x21); /* 256 Hz, 3.90625 ms */
	put(B, 0x42);
	fake_loop_advance(3906249);
	ck_assert(!line);
	fake_loop_advance(1);
	ck_assert(line);
}
END_TEST

START_TEST(rate_zero_is_no_periodic_interrupt)
{
	put(A, 0x20);
	put(B, 0x42);
	fake_loop_advance(900 * MS);
	ck_assert(!line);
	ck_assert(!fake_loop_armed());
	ck_assert_uint_eq(get(C), 0x00);
}
END_TEST

START_TEST(periodic_flag_is_polled_without_timer)
{
	put(A, 0x26);
	fake_loop_stall(976562);
	ck_assert_uint_eq(get(C), 0x00);
	fake_loop_stall(1);
	ck_assert_uint_eq(get(C), 0x40);
	ck_assert_uint_eq(get(C), 0x00);
}
END_TEST

START_TEST(memory_sizes_are_in_ram)
{
	ck_assert_uint_eq(get(0x15) | get(0x16) << 8, 640);
	ck_assert_uint_eq(get(0x17) | get(0x18) << 8, 0xffff);
	ck_assert_uint_eq(get(0x30) | get(0x31) << 8, 0xffff);
	ck_assert_uint_eq(get(0x34) | get(0x35) << 8, (3072 - 16) * 16);
	ck_assert_uint_eq(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 5120 * 16);
}
END_TEST

START_TEST(reset_keeps_ram_and_time_and_ends_interrupts)
{
	put(0x0e, 0x11);
	put(0x7f, 0x22);
	set_1999();
	put(B, 0x72);
	fake_loop_advance(S);
	ck_assert(line);
	rtc_dev_ops.reset(&rtc);
	ck_assert(!line);
	ck_assert(!fake_loop_armed());
	ck_assert_uint_eq(get(0x0e), 0x11);
	ck_assert_uint_eq(get(0x7f), 0x22);
	ck_assert_uint_eq(get(B), 0x02);
	ck_assert_uint_eq(get(C), 0x00);
	ck_assert_uint_eq(hms(), 0x123457);
}
END_TEST

START_TEST(reset_turns_binary_twelve_hours_into_bcd)
{
	put(B, 0x84);
	put(HOUR, 0x80 | 11);
	put(MINUTE, 45);
	put(SECOND, 30);
	put(HOUR_ALARM, 0x80 | 10);
	put(B, 0x04);
	rtc_dev_ops.reset(&rtc);
	ck_assert_uint_eq(hms(), 0x234530);
	ck_assert_uint_eq(get(HOUR_ALARM), 0x22);
}
END_TEST

START_TEST(load_restores_everything_and_the_clock_went_on)
{
	struct buf b = { 0 };
	struct state_reader r;
	struct err e;

	set_1999();
	put(0x44, 0x99);
	put(HOUR_ALARM, 0xff);
	put(MINUTE_ALARM, 0xff);
	put(SECOND_ALARM, 0x59);
	put(A, 0x20);
	put(B, 0x22);
	rtc_dev_ops.save(&rtc, &b);
	rtc_fini(&rtc);
	make_rtc();
	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_int_eq(rtc_dev_ops.load(&rtc, &r, &e), 0);
	ck_assert_int_eq(state_close(&r, "rtc", &e), 0);
	ck_assert_uint_eq(rtc_io_ops.read(&rtc, 1, 1), 0x22); /* the index was B */
	ck_assert_uint_eq(ymd(), 0x19991231);
	ck_assert_uint_eq(hms(), 0x123456);
	ck_assert_uint_eq(get(0x44), 0x99);
	ck_assert_uint_eq(get(A), 0x20);
	fake_loop_advance(3 * S);
	ck_assert(line);
	ck_assert_uint_eq(get(C), 0xb0);
	buf_fini(&b);
}
END_TEST

START_TEST(load_restores_a_raised_line)
{
	struct buf b = { 0 };
	struct state_reader r;
	struct err e;

	put(B, 0x12);
	fake_loop_advance(S);
	rtc_dev_ops.save(&rtc, &b);
	rtc_fini(&rtc);
	make_rtc();
	ck_assert(!line);
	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_int_eq(rtc_dev_ops.load(&rtc, &r, &e), 0);
	ck_assert(line);
	ck_assert_uint_eq(get(C) & 0x90, 0x90);
	buf_fini(&b);
}
END_TEST

static Suite *rtc_suite(void)
{
	Suite *suite = suite_create("rtc");
	TCase *t = tcase_create("rtc");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, init_shows_host_utc_in_bcd_and_24_hours);
	tcase_add_test(t, time_passes_over_midnight_into_a_leap_day);
	tcase_add_test(t, century_turns_with_the_year);
	tcase_add_test(t, host_clock_stepped_back_is_followed);
	tcase_add_test(t, nmi_bit_of_the_index_is_ignored);
	tcase_add_test(t, word_write_sets_index_and_data);
	tcase_add_test(t, offsets_outside_the_window_are_ignored);
	tcase_add_test(t, binary_mode_counts_in_binary);
	tcase_add_test(t, twelve_hour_mode_marks_the_afternoon);
	tcase_add_test(t, set_bit_halts_the_clock_and_keeps_raw_bytes);
	tcase_add_test(t, written_time_goes_on_from_there);
	tcase_add_test(t, a_date_written_piece_by_piece_is_not_bent);
	tcase_add_test(t, impossible_bytes_do_no_harm);
	tcase_add_test(t, released_divider_updates_half_a_second_later);
	tcase_add_test(t, uip_rises_before_the_update_and_falls_with_it);
	tcase_add_test(t, uip_stays_clear_while_set);
	tcase_add_test(t, uip_cannot_be_written);
	tcase_add_test(t, registers_c_and_d_cannot_be_written);
	tcase_add_test(t, update_flag_is_polled_without_interrupt_or_timer);
	tcase_add_test(t, update_interrupt_comes_each_second_after_each_read_of_c);
	tcase_add_test(t, enabling_an_interrupt_whose_flag_is_set_raises_at_once);
	tcase_add_test(t, setting_set_clears_the_update_interrupt_enable);
	tcase_add_test(t, alarm_comes_at_its_second);
	tcase_add_test(t, alarm_that_does_not_care_comes_every_second_or_minute);
	tcase_add_test(t, alarm_already_past_today_comes_tomorrow);
	tcase_add_test(t, alarm_in_twelve_hour_mode_knows_the_afternoon);
	tcase_add_test(t, impossible_alarm_never_comes);
	tcase_add_test(t, alarm_missed_while_nobody_looked_is_still_flagged);
	tcase_add_test(t, periodic_interrupt_comes_at_its_rate);
	tcase_add_test(t, periodic_interrupts_do_not_drift);
	tcase_add_test(t, rates_one_and_two_are_slow_ones);
	tcase_add_test(t, rate_zero_is_no_periodic_interrupt);
	tcase_add_test(t, periodic_flag_is_polled_without_timer);
	tcase_add_test(t, memory_sizes_are_in_ram);
	tcase_add_test(t, reset_keeps_ram_and_time_and_ends_interrupts);
	tcase_add_test(t, reset_turns_binary_twelve_hours_into_bcd);
	tcase_add_test(t, load_restores_everything_and_the_clock_went_on);
	tcase_add_test(t, load_restores_a_raised_line);
	suite_add_tcase(suite, t);
	return suite;
}

int main(void)
{
	SRunner *sr = srunner_create(rtc_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
