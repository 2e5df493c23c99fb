/*
 * Dates in the bytes of an MC146818 (datasheet, table 3). Pure; see the header for what it does not do.
 */
#include "devices/rtc_time.h"

enum {
	SECOND = 0, SECOND_ALARM = 1, MINUTE = 2, MINUTE_ALARM = 3, HOUR = 4, HOUR_ALARM = 5,
	DAY_OF_WEEK = 6, DAY = 7, MONTH = 8, YEAR = 9, REG_B = 0x0b, CENTURY = 0x32,

	PM = 0x80,
	ANY = 0xc0, /* both top bits set: the alarm does not care (datasheet) */

	S_PER_DAY = 86400,
};

static unsigned int decode(uint8_t b, uint8_t byte)
{
	return b & RTC_BINARY ? byte : (byte >> 4) * 10u + (byte & 0x0f);
}

static uint8_t encode(uint8_t b, unsigned int v)
{
	return (uint8_t)(b & RTC_BINARY ? v : (v / 10) << 4 | v % 10);
}

static unsigned int decode_hour(uint8_t b, uint8_t byte)
{
	unsigned int hour;

	if (b & RTC_24H)
		return decode(b, byte);
	hour = decode(b, byte & (uint8_t)~PM);
	return (hour == 12 ? 0 : hour) + (byte & PM ? 12 : 0);
}

static uint8_t encode_hour(uint8_t b, unsigned int hour)
{
	unsigned int h12 = hour % 12 ? hour % 12 : 12;

	if (b & RTC_24H)
		return encode(b, hour);
	return encode(b, h12) | (hour >= 12 ? PM : 0);
}

/*
 * Days from 1970-01-01 to a proleptic Gregorian date. Years are counted from March, so that the leap day is
 * the year's last; months of 31 and 30 days then follow (153 m + 2) / 5. month is 1 to 12, year not negative.
 */
static int64_t days_of(int64_t year, unsigned int month, int64_t day)
{
	int64_t m = month > 2 ? month - 3 : month + 9;
	int64_t y = month > 2 ? year : year - 1;

	y += 400; /* not negative, for the divisions */
	return y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468 - 146097;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* The inverse of days_of(), by the same count from March; the year comes out as 0 to 9999. */
static void date_of(int64_t days, unsigned int *year, unsigned int *month, unsigned int *day)
{
	int64_t z = days + 719468, era = floor_div(z, 146097), in_era = z - era * 146097;
	int64_t y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * in_year + 2) / 153;
	int64_t full;

	*day = (unsigned int)(in_year - (153 * m + 2) / 5 + 1);
	*month = (unsigned int)(m < 10 ? m + 3 : m - 9);
	full = y + era * 400 + (*month <= 2);
	*year = (unsigned int)(full - floor_div(full, 10000) * 10000);
}

/* Seconds since 1970 of whatever is in the registers. */
static int64_t seconds_of(const uint8_t *reg)
{
	uint8_t b = reg[REG_B];
	unsigned int month = decode(b, reg[MONTH]);
	int64_t year = decode(b, reg[CENTURY]) * 100 + decode(b, reg[YEAR]);
	int64_t days = days_of(year, month < 1 || month > 12 ? 1 : month, decode(b, reg[DAY]));

	return days * S_PER_DAY + decode_hour(b, reg[HOUR]) * 3600 + decode(b, reg[MINUTE]) * 60 +
	       decode(b, reg[SECOND]);
}

static void put_time(uint8_t *reg, int64_t seconds)
{
	int64_t days = floor_div(seconds, S_PER_DAY);
	unsigned int in_day = (unsigned int)(seconds - days * S_PER_DAY), year, month, day;
	uint8_t b = reg[REG_B];

	date_of(days, &year, &month, &day);
	reg[SECOND] = encode(b, in_day % 60);
	reg[MINUTE] = encode(b, in_day / 60 % 60);
	reg[HOUR] = encode_hour(b, in_day / 3600);
	reg[DAY] = encode(b, day);
	reg[MONTH] = encode(b, month);
	reg[YEAR] = encode(b, year % 100);
	reg[CENTURY] = encode(b, year / 100);
}

static void put_day_of_week(uint8_t *reg, int64_t from_sunday)
{
	int64_t day = from_sunday - floor_div(from_sunday, 7) * 7;

	reg[DAY_OF_WEEK] = encode(reg[REG_B], (unsigned int)day + 1);
}

void rtc_time_set(uint8_t *reg, int64_t since_1970)
{
	put_time(reg, since_1970);
	put_day_of_week(reg, floor_div(since_1970, S_PER_DAY) + 4); /* 1970 began on a Thursday */
}

void rtc_time_add(uint8_t *reg, int64_t seconds)
{
	int64_t before = seconds_of(reg), after = before + seconds;

	put_time(reg, after);
	put_day_of_week(reg, (int64_t)decode(reg[REG_B], reg[DAY_OF_WEEK]) - 1 +
			floor_div(after, S_PER_DAY) - floor_div(before, S_PER_DAY));
}

/* The smallest v in [from, limit) which the alarm byte matches; limit: there is none. */
static unsigned int match_from(uint8_t alarm, unsigned int wanted, unsigned int from, unsigned int limit)
{
	if (alarm >= ANY)
		return from;
	return wanted >= from && wanted < limit ? wanted : limit;
}

/* The second of the day, from..86399, that matches; 86400: none any more today. */
static unsigned int alarm_from(const uint8_t *reg, unsigned int from)
{
	uint8_t b = reg[REG_B];
	unsigned int sec = decode(b, reg[SECOND_ALARM]), min = decode(b, reg[MINUTE_ALARM]);
	unsigned int hour = decode_hour(b, reg[HOUR_ALARM]);
	unsigned int h, m, s;

	/* Only an alarm that names no second of a minute goes through all of these, 1440 at most. */
	for (h = match_from(reg[HOUR_ALARM], hour, from / 3600, 24); h < 24;
	     h = match_from(reg[HOUR_ALARM], hour, h + 1, 24)) {
		unsigned int m_from = h == from / 3600 ? from / 60 % 60 : 0;

		for (m = match_from(reg[MINUTE_ALARM], min, m_from, 60); m < 60;
		     m = match_from(reg[MINUTE_ALARM], min, m + 1, 60)) {
			s = match_from(reg[SECOND_ALARM], sec, h * 60 + m == from / 60 ? from % 60 : 0, 60);
			if (s < 60)
				return h * 3600 + m * 60 + s;
		}
	}
	return S_PER_DAY;
}

int64_t rtc_time_to_alarm(const uint8_t *reg)
{
	int64_t now = seconds_of(reg);
	unsigned int in_day = (unsigned int)(now - floor_div(now, S_PER_DAY) * S_PER_DAY), at;

	at = alarm_from(reg, in_day + 1);
	if (at < S_PER_DAY)
		return at - in_day;
	at = alarm_from(reg, 0);
	return at < S_PER_DAY ? (int64_t)S_PER_DAY + at - in_day : 0;
}

static uint8_t reformat(uint8_t from, uint8_t to, uint8_t byte)
{
	return byte >= ANY ? byte : encode(to, decode(from, byte) % 100);
}

void rtc_time_reformat(uint8_t *reg, uint8_t b)
{
	uint8_t old = reg[REG_B];
	int64_t seconds = seconds_of(reg);

	if ((old ^ b) & (RTC_24H | RTC_BINARY)) {
		reg[SECOND_ALARM] = reformat(old, b, reg[SECOND_ALARM]);
		reg[MINUTE_ALARM] = reformat(old, b, reg[MINUTE_ALARM]);
		if (reg[HOUR_ALARM] < ANY)
			reg[HOUR_ALARM] = encode_hour(b, decode_hour(old, reg[HOUR_ALARM]) % 24);
		reg[DAY_OF_WEEK] = reformat(old, b, reg[DAY_OF_WEEK]);
	}
	reg[REG_B] = b;
	put_time(reg, seconds);
}
