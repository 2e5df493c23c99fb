/* Unit tests of rtc_time.c: its dates against those of libc, alarms against a search second by second. */
#include <check.h>
#include <stdlib.h>
#include <time.h>

#include "devices/rtc.h"
#include "devices/rtc_time.h"

enum { REG_B = 0x0b };

static unsigned int bcd(uint8_t v)
{
	return (v >> 4) * 10u + (v & 15);
}

/* Days of 1600 to 2400, each with another second of the day. */
START_TEST(dates_are_those_of_libc)
{
	uint8_t reg[RTC_BYTES] = { [REG_B] = RTC_24H };

	for (int64_t t = -11676096000ll; t < 13569465600ll; t += 5 * 86400 - 1) {
		time_t libc_time = (time_t)t;
		struct tm tm;

		gmtime_r(&libc_time, &tm);
		rtc_time_set(reg, t);
		ck_assert_uint_eq(bcd(reg[0x32]) * 100 + bcd(reg[9]), (unsigned int)tm.tm_year + 1900);
		ck_assert_uint_eq(bcd(reg[8]), (unsigned int)tm.tm_mon + 1);
		ck_assert_uint_eq(bcd(reg[7]), (unsigned int)tm.tm_mday);
		ck_assert_uint_eq(bcd(reg[6]), (unsigned int)tm.tm_wday + 1);
		ck_assert_uint_eq(bcd(reg[4]), (unsigned int)tm.tm_hour);
		ck_assert_uint_eq(bcd(reg[2]), (unsigned int)tm.tm_min);
		ck_assert_uint_eq(bcd(reg[0]), (unsigned int)tm.tm_sec);
	}
}
END_TEST

START_TEST(adding_is_the_same_as_setting)
{
	uint8_t a[RTC_BYTES] = { 0 }, b[RTC_BYTES] = { 0 }; /* BCD, 12 hours */
	int64_t t = 0;

	rtc_time_set(a, t);
	for (int64_t step = 1; step < 1ll << 33; step = step * 3 + 7) {
		t += step;
		rtc_time_add(a, step);
		rtc_time_set(b, t);
		ck_assert_mem_eq(a, b, sizeof(a));
	}
}
END_TEST

START_TEST(any_bytes_are_accepted)
{
	uint8_t reg[RTC_BYTES];
	uint32_t random = 1;

	for (int i = 0; i < 20000; i++) {
		for (unsigned int j = 0; j < sizeof(reg); j++) {
			random = random * 1664525 + 1013904223;
			reg[j] = (uint8_t)(random >> 24);
		}
		rtc_time_add(reg, (int64_t)random - (1ll << 31));
		ck_assert_int_le(rtc_time_to_alarm(reg), 86400);
		ck_assert_int_ge(rtc_time_to_alarm(reg), 0);
		rtc_time_reformat(reg, RTC_24H);
		ck_assert_uint_le(bcd(reg[0]), 59);
		ck_assert_uint_le(bcd(reg[4]), 23);
		ck_assert_uint_le(bcd(reg[8]) - 1, 11);
	}
}
END_TEST

static bool matches(uint8_t alarm, uint8_t now)
{
	return alarm >= 0xc0 || alarm == now;
}

static int64_t search_alarm(const uint8_t *reg)
{
	uint8_t r[RTC_BYTES];

	memcpy(r, reg, sizeof(r));
	for (int64_t n = 1; n <= 86400; n++) {
		rtc_time_add(r, 1);
		if (matches(r[1], r[0]) && matches(r[3], r[2]) && matches(r[5], r[4]))
			return n;
	}
	return 0;
}

static const uint8_t alarms[][3] = { /* second, minute, hour */
	{ 0xff, 0xff, 0xff }, { 0x00, 0xff, 0xff }, { 0xff, 0x00, 0xff }, { 0xff, 0xff, 0x00 },
	{ 0x59, 0x59, 0x23 }, { 0x58, 0x59, 0x23 }, { 0x60, 0xff, 0xff }, { 0x30, 0xc0, 0x12 },
	{ 0xff, 0x30, 0x12 }, { 0x00, 0x00, 0x24 }, { 0x00, 0x61, 0xff }, { 0x15, 0x15, 0xff },
	{ 0x00, 0x00, 0x00 }, { 0x59, 0xff, 0x23 }, { 0xff, 0x59, 0x23 },
};

START_TEST(alarm_is_where_a_search_finds_it)
{
	static const unsigned int times[] = { 0, 1, 59, 3599, 43200, 45000, 45030, 86340, 86398, 86399 };
	uint8_t reg[RTC_BYTES] = { [REG_B] = RTC_24H };

	for (unsigned int i = 0; i < ARRAY_SIZE(times); i++) {
		rtc_time_set(reg, times[i]);
		for (unsigned int j = 0; j < 3; j++)
			reg[2 * j + 1] = alarms[_i][j];
		ck_assert_int_eq(rtc_time_to_alarm(reg), search_alarm(reg));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rtc_time");
	TCase *t = tcase_create("rtc_time");
	SRunner *sr;
	int failed;

	tcase_add_test(t, dates_are_those_of_libc);
	tcase_add_test(t, adding_is_the_same_as_setting);
	tcase_add_test(t, any_bytes_are_accepted);
	tcase_add_loop_test(t, alarm_is_where_a_search_finds_it, 0, (int)ARRAY_SIZE(alarms));
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
