/*
 * Unit tests of i8254.c: a guest at the ports, the clock moved by hand. They do not compare with a real chip and
 * do not run two threads at once.
 */
#include <check.h>

#include "devices/fake_loop.h"
#include "devices/i8254.h"

#define MS 1000000ull

static struct i8254 pit;
static unsigned int ticks;
static bool line;

static void line_set(void *ctx, unsigned int pin, bool level)
{
	(void)ctx;
	(void)pin;
	ticks += level && !line;
	line = level;
}

static void setup(void)
{
	struct err e;

	memset(&fake_loop, 0, sizeof(fake_loop));
	fake_loop.now_ns = 5000 * MS;
	ticks = 0;
	line = false;
	ck_assert_int_eq(i8254_init(&pit, (struct irq_line){ .set = line_set }, NULL, &e), 0);
}

static void teardown(void)
{
	i8254_fini(&pit);
}

static void put(unsigned int port, uint8_t val)
{
	i8254_io_ops.write(&pit, port, 1, val);
}

static uint8_t get(unsigned int port)
{
	return (uint8_t)i8254_io_ops.read(&pit, port, 1);
}

static uint16_t get16(unsigned int port)
{
	uint8_t low = get(port);

	return (uint16_t)(low | get(port) << 8);
}

/* Low and high byte, binary. */
static void program(unsigned int channel, unsigned int mode, uint16_t count)
{
	put(3, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	put(channel, (uint8_t)count);
	put(channel, (uint8_t)(count >> 8));
}

/* Nanoseconds of so many clocks, rounded up. */
static uint64_t clocks(uint64_t n)
{
	return (n * 1000000000ull + I8254_HZ - 1) / I8254_HZ;
}

static uint8_t status(unsigned int channel)
{
	put(3, (uint8_t)(0xe0 | 2u << channel));
	return get(channel);
}

static void gate2(bool on)
{
	i8254_port61_io_ops.write(&pit, 0, 1, on);
}

static bool out2(void)
{
	return i8254_port61_io_ops.read(&pit, 0, 1) & 0x20;
}

START_TEST(nothing_runs_before_it_is_programmed)
{
	ck_assert(!fake_loop_armed());
	put(0, 1); /* the first half of a count */
	ck_assert(!fake_loop_armed());
	fake_loop_advance(1000 * MS);
	ck_assert_uint_eq(ticks, 0);
}
END_TEST

START_TEST(mode_2_ticks_at_its_rate_without_drift)
{
	program(0, 2, 11932); /* 10 ms */
	fake_loop_advance(clocks(11932) - 2000);
	ck_assert_uint_eq(ticks, 0);
	fake_loop_advance(4000);
	ck_assert_uint_eq(ticks, 1);
	fake_loop_advance(100000 * MS - clocks(11932));
	ck_assert_uint_eq(ticks, 100000 * I8254_HZ / 1000 / 11932);
}
END_TEST

START_TEST(mode_3_ticks_once_a_period)
{
	program(0, 3, 0); /* 65536: 18.2 Hz */
	fake_loop_advance(1000 * MS);
	ck_assert_uint_eq(ticks, 18);
}
END_TEST

START_TEST(mode_0_ticks_once)
{
	program(0, 0, 11932);
	ck_assert_uint_eq(status(0), 0x30);
	fake_loop_advance(11 * MS);
	ck_assert_uint_eq(ticks, 1);
	ck_assert_uint_eq(status(0), 0xb0);
	fake_loop_advance(1000 * MS);
	ck_assert_uint_eq(ticks, 1);
	ck_assert(!fake_loop_armed());
}
END_TEST

START_TEST(mode_4_ticks_once_for_each_count)
{
	program(0, 4, 1193);
	fake_loop_advance(1000 * MS);
	ck_assert_uint_eq(ticks, 1);
	put(0, 0xa9);
	put(0, 0x04);
	fake_loop_advance(1000 * MS);
	ck_assert_uint_eq(ticks, 2);
}
END_TEST

/* Low for one clock at the end of the count, so it rises a clock later than mode 0 does. */
START_TEST(mode_4_strobes_for_a_clock)
{
	program(0, 4, 100);
	fake_loop_advance(clocks(100) + 200);
	ck_assert_uint_eq(ticks, 0);
	ck_assert_uint_eq(status(0) & 0x80, 0);
	fake_loop_advance(clocks(1));
	ck_assert_uint_eq(ticks, 1);
	ck_assert_uint_eq(status(0) & 0x80, 0x80);
}
END_TEST

START_TEST(modes_1_and_5_need_a_gate_that_channel_0_lacks)
{
	program(0, 1, 100);
	fake_loop_advance(10 * MS);
	program(0, 5, 100);
	fake_loop_advance(10 * MS);
	ck_assert_uint_eq(ticks, 0);
}
END_TEST

START_TEST(modes_6_and_7_are_2_and_3)
{
	program(0, 6, 100);
	ck_assert_uint_eq(status(0) & 0x0e, 0x04);
	program(0, 7, 100);
	ck_assert_uint_eq(status(0) & 0x0e, 0x06);
}
END_TEST

START_TEST(control_word_ends_what_ran)
{
	program(0, 2, 11932);
	put(3, 0x34);
	fake_loop_advance(1000 * MS);
	ck_assert_uint_eq(ticks, 0);
}
END_TEST

START_TEST(new_count_in_mode_2_waits_for_the_period)
{
	program(0, 2, 11932);
	fake_loop_advance(5 * MS);
	put(0, 1193 & 0xff);
	put(0, 1193 >> 8);
	ck_assert_uint_eq(status(0) & 0x40, 0x40);
	fake_loop_advance(clocks(11932) - 5 * MS - 2000);
	ck_assert_uint_eq(ticks, 0);
	fake_loop_advance(4000);
	ck_assert_uint_eq(ticks, 1);
	ck_assert_uint_eq(status(0) & 0x40, 0);
	fake_loop_advance(10 * MS);
	ck_assert_uint_eq(ticks, 1 + 10);
}
END_TEST

START_TEST(count_goes_down_in_mode_2)
{
	program(0, 2, 1000);
	ck_assert_uint_eq(get16(0), 1000);
	fake_loop_stall(clocks(300));
	ck_assert_uint_eq(get16(0), 700);
	fake_loop_stall(clocks(700));
	ck_assert_uint_eq(get16(0), 1000);
}
END_TEST

START_TEST(count_goes_down_by_two_in_mode_3)
{
	program(2, 3, 1000);
	gate2(true);
	fake_loop_stall(clocks(100));
	ck_assert_uint_eq(get16(2), 800);
	ck_assert(out2());
	fake_loop_stall(clocks(450));
	ck_assert_uint_eq(get16(2), 900);
	ck_assert(!out2());
	program(2, 3, 5); /* high for three clocks, low for two */
	fake_loop_stall(clocks(2));
	ck_assert(out2());
	fake_loop_stall(clocks(1));
	ck_assert(!out2());
}
END_TEST

START_TEST(count_in_mode_0_goes_on_below_zero)
{
	program(0, 0, 100);
	fake_loop_stall(clocks(101));
	ck_assert_uint_eq(get16(0), 0xffff);
}
END_TEST

START_TEST(bcd_counts_in_decimal)
{
	put(3, 0x35);
	put(0, 0x00);
	put(0, 0x10);
	fake_loop_stall(clocks(1));
	ck_assert_uint_eq(get16(0), 0x0999);
	put(3, 0x31);
	put(0, 0);
	put(0, 0); /* 10000 */
	ck_assert_uint_eq(get16(0), 0);
	fake_loop_stall(clocks(1));
	ck_assert_uint_eq(get16(0), 0x9999);
}
END_TEST

START_TEST(one_byte_access_sets_and_shows_its_half)
{
	put(3, 0x14);
	put(0, 200);
	fake_loop_stall(clocks(1));
	ck_assert_uint_eq(get(0), 199);
	ck_assert_uint_eq(get(0), 199);
	put(3, 0x24);
	put(0, 2);
	fake_loop_stall(clocks(1));
	ck_assert_uint_eq(get(0), 1);
}
END_TEST

START_TEST(latched_count_stands_still_until_read)
{
	program(0, 2, 0x1234);
	put(3, 0x00);
	fake_loop_stall(clocks(0x100));
	put(3, 0x00); /* ignored: the first is unread */
	ck_assert_uint_eq(get16(0), 0x1234);
	ck_assert_uint_eq(get16(0), 0x1134);
}
END_TEST

START_TEST(read_back_latches_status_before_count)
{
	program(0, 2, 0x1234);
	program(1, 3, 0x4321);
	put(3, 0xc6);
	fake_loop_stall(clocks(0x100));
	ck_assert_uint_eq(get(0), 0xb4);
	ck_assert_uint_eq(get16(0), 0x1234);
	ck_assert_uint_eq(get(1), 0xb6);
	ck_assert_uint_eq(get16(1), 0x4320);
}
END_TEST

START_TEST(control_word_makes_null_count)
{
	put(3, 0x34);
	ck_assert_uint_eq(status(0), 0xf4);
	put(0, 1);
	put(0, 1);
	ck_assert_uint_eq(status(0), 0xb4);
}
END_TEST

/* As Linux's quick calibration and its slow one do (arch/x86/kernel/tsc.c). */
START_TEST(channel_2_counts_once_its_gate_is_up)
{
	gate2(true);
	program(2, 0, 11932);
	ck_assert(!out2());
	fake_loop_stall(clocks(11931));
	ck_assert(!out2());
	fake_loop_stall(clocks(2));
	ck_assert(out2());
	program(2, 0, 0xffff);
	fake_loop_stall(clocks(0x1ff));
	ck_assert_uint_eq(get16(2), 0xffff - 0x1ff);
	ck_assert_uint_eq(ticks, 0);
}
END_TEST

START_TEST(gate_down_stops_mode_0)
{
	gate2(true);
	program(2, 0, 1000);
	fake_loop_stall(clocks(100));
	gate2(false);
	fake_loop_stall(clocks(5000));
	ck_assert_uint_eq(get16(2), 900);
	gate2(true);
	fake_loop_stall(clocks(899));
	ck_assert(!out2());
	fake_loop_stall(clocks(2));
	ck_assert(out2());
}
END_TEST

START_TEST(gate_rise_reloads_mode_2)
{
	gate2(true);
	program(2, 2, 1000);
	fake_loop_stall(clocks(400));
	gate2(false);
	fake_loop_stall(clocks(400));
	ck_assert_uint_eq(get16(2), 600);
	ck_assert(out2());
	gate2(true);
	ck_assert_uint_eq(get16(2), 1000);
}
END_TEST

START_TEST(gate_rise_triggers_mode_1)
{
	gate2(false);
	program(2, 1, 1000);
	ck_assert(out2());
	gate2(true);
	ck_assert(!out2());
	fake_loop_stall(clocks(500));
	gate2(false); /* changes nothing */
	gate2(true);  /* triggers again */
	fake_loop_stall(clocks(900));
	ck_assert(!out2());
	fake_loop_stall(clocks(101));
	ck_assert(out2());
}
END_TEST

START_TEST(port61_shows_what_was_written_and_a_refresh_that_toggles)
{
	unsigned int seen = 0;

	i8254_port61_io_ops.write(&pit, 0, 1, 0xff);
	ck_assert_uint_eq(i8254_port61_io_ops.read(&pit, 0, 1) & 0xcf, 0x0f);
	for (unsigned int i = 0; i < 10; i++) {
		seen |= 1u << (i8254_port61_io_ops.read(&pit, 0, 1) >> 4 & 1);
		fake_loop_stall(7000);
	}
	ck_assert_uint_eq(seen, 3);
}
END_TEST

START_TEST(short_stall_is_made_up_for_in_time)
{
	program(0, 2, 11932);
	fake_loop_stall(50 * MS);
	fake_loop_advance(1);
	ck_assert_uint_eq(ticks, 1); /* one by one, a level is no counter */
	fake_loop_advance(151 * MS);
	ck_assert_uint_eq(ticks, 20);
}
END_TEST

START_TEST(long_stall_does_not_flood)
{
	program(0, 2, 11932);
	fake_loop_stall(3600000 * MS);
	fake_loop_advance(1000 * MS);
	ck_assert_uint_ge(ticks, 100);
	ck_assert_uint_le(ticks, 100 + 33);
}
END_TEST

START_TEST(too_fast_a_rate_is_limited)
{
	program(0, 2, 1);
	fake_loop_advance(100 * MS);
	ck_assert_uint_le(ticks, 500);
	ck_assert_uint_ge(ticks, 400);
	ck_assert_uint_le(fake_loop.arms, 1000);
}
END_TEST

START_TEST(reset_stops_everything)
{
	program(0, 2, 11932);
	gate2(true);
	i8254_dev_ops.reset(&pit);
	ck_assert(!fake_loop_armed());
	ck_assert_uint_eq(i8254_port61_io_ops.read(&pit, 0, 1) & 0xf, 0);
}
END_TEST

static void load(const uint8_t *bytes, size_t len)
{
	struct state_reader r = { .data = bytes, .len = len };
	struct err e;

	ck_assert_int_eq(i8254_dev_ops.load(&pit, &r, &e), 0);
}

START_TEST(saved_state_comes_back)
{
	struct buf b = { 0 };

	program(0, 2, 11932);
	gate2(true);
	program(2, 0, 1000);
	fake_loop_advance(clocks(500));
	i8254_dev_ops.save(&pit, &b);
	i8254_dev_ops.reset(&pit);
	fake_loop_advance(12345 * MS);
	load(b.data, b.len);
	ck_assert_uint_eq(ticks, 0);
	ck_assert_uint_eq(get16(2), 500);
	ck_assert_uint_eq(get16(0), 11432);
	fake_loop_advance(clocks(11432) + 2000);
	ck_assert_uint_eq(ticks, 1);
	fake_loop_advance(10 * MS);
	ck_assert_uint_eq(ticks, 2);
	buf_fini(&b);
}
END_TEST

START_TEST(load_of_any_bytes_gives_a_possible_state)
{
	uint8_t bytes[3 * 25 + 1];

	for (unsigned int fill = 0; fill < 256; fill++) {
		memset(bytes, (int)fill, sizeof(bytes));
		load(bytes, sizeof(bytes));
		fake_loop_advance(MS);
		(void)get16(0);
		(void)get16(2);
		(void)out2();
		gate2(true);
		gate2(false);
		program(0, fill % 6, 0x100);
	}
	ck_assert_uint_le(ticks, 256 * 6);
}
END_TEST

static Suite *i8254_suite(void)
{
	Suite *s = suite_create("i8254");
	TCase *t = tcase_create("i8254");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nothing_runs_before_it_is_programmed);
	tcase_add_test(t, mode_2_ticks_at_its_rate_without_drift);
	tcase_add_test(t, mode_3_ticks_once_a_period);
	tcase_add_test(t, mode_0_ticks_once);
	tcase_add_test(t, mode_4_ticks_once_for_each_count);
	tcase_add_test(t, mode_4_strobes_for_a_clock);
	tcase_add_test(t, modes_1_and_5_need_a_gate_that_channel_0_lacks);
	tcase_add_test(t, modes_6_and_7_are_2_and_3);
	tcase_add_test(t, control_word_ends_what_ran);
	tcase_add_test(t, new_count_in_mode_2_waits_for_the_period);
	tcase_add_test(t, count_goes_down_in_mode_2);
	tcase_add_test(t, count_goes_down_by_two_in_mode_3);
	tcase_add_test(t, count_in_mode_0_goes_on_below_zero);
	tcase_add_test(t, bcd_counts_in_decimal);
	tcase_add_test(t, one_byte_access_sets_and_shows_its_half);
	tcase_add_test(t, latched_count_stands_still_until_read);
	tcase_add_test(t, read_back_latches_status_before_count);
	tcase_add_test(t, control_word_makes_null_count);
	tcase_add_test(t, channel_2_counts_once_its_gate_is_up);
	tcase_add_test(t, gate_down_stops_mode_0);
	tcase_add_test(t, gate_rise_reloads_mode_2);
	tcase_add_test(t, gate_rise_triggers_mode_1);
	tcase_add_test(t, port61_shows_what_was_written_and_a_refresh_that_toggles);
	tcase_add_test(t, short_stall_is_made_up_for_in_time);
	tcase_add_test(t, long_stall_does_not_flood);
	tcase_add_test(t, too_fast_a_rate_is_limited);
	tcase_add_test(t, reset_stops_everything);
	tcase_add_test(t, saved_state_comes_back);
	tcase_add_test(t, load_of_any_bytes_gives_a_possible_state);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(i8254_suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
