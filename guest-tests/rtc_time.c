/*
 * The CMOS clock: plausible date, advancing seconds, update flag, its three interrupts on IRQ 8, RAM bytes.
 *
 * Motorola MC146818A data sheet. Uses NVRAM bytes 0x50 to 0x57, which no firmware of ours gives a meaning. The
 * date is not compared with the host's; whole test takes about 6 s of the guest's time.
 */
#include "lib/clock.h"
#include "lib/cmos.h"
#include "lib/cpu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define VECTOR 0x48
#define TRIES  4	/* what comes out late on a busy host is measured again */

static volatile unsigned int nr_interrupts;
static volatile uint8_t flags_seen, flags_bad;

static void rtc_interrupt(struct trap_frame *frame)
{
	uint8_t c = cmos_read(CMOS_C);	/* reading C lowers the line and clears the flags */

	(void)frame;
	nr_interrupts++;
	flags_seen |= c;
	if (!(c & 0x80))
		flags_bad++;
	lapic_eoi();
}

static uint8_t rtc_second(void)
{
	CLOCK_WAIT_FOR(!(cmos_read(CMOS_A) & 0x80), CLOCK_MS(20));
	return cmos_decode(cmos_read(0));
}

static void rtc_interrupts_on(uint8_t enable)
{
	cmos_write(CMOS_B, CMOS_B_24H);
	cmos_read(CMOS_C);
	nr_interrupts = flags_seen = flags_bad = 0;
	cmos_write(CMOS_B, CMOS_B_24H | enable);
}

static void rtc_check_date(void)
{
	static const struct { uint8_t index, low, high; const char *name; } fields[] = {
		{ 0, 0, 59, "seconds" }, { 2, 0, 59, "minutes" }, { 4, 0, 23, "hours" }, { 6, 1, 7, "day of the week" },
		{ 7, 1, 31, "day" }, { 8, 1, 12, "month" }, { 9, 20, 99, "year" },
	};

	tap_check(cmos_read(CMOS_D) & 0x80, "register D: valid RAM and time");
	tap_check(cmos_read(CMOS_B) & CMOS_B_24H, "register B: 24-hour mode");
	tap_equal(cmos_read(CMOS_A) & 0x70, 0x20, "register A: divider runs");
	rtc_second();
	for (unsigned int i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint8_t raw = cmos_read(fields[i].index);

		tap_between(cmos_decode(raw), fields[i].low, fields[i].high, "%s", fields[i].name);
		if (!(cmos_read(CMOS_B) & CMOS_B_BINARY) && (raw & 15) > 9)
			tap_check(false, "%s is not BCD: 0x%x", fields[i].name, raw);
	}
	tap_equal(cmos_decode(cmos_read(0x32)), 20, "century (0x32, as FADT would say)");
}

/* Watch one second end. UIP is up for the last 244 us of it, so whoever polled less than that before the
 * change must have seen it; who was away longer (a busy host) has learned nothing. */
static enum update { UPDATE_SEEN, UPDATE_UNSEEN, UPDATE_UNKNOWN } rtc_watch_update(void)
{
	uint8_t second = cmos_read(0);
	uint64_t end = clock_ticks() + CLOCK_MS(1500), before = 0, now;

	while ((now = clock_ticks()) < end) {
		if (cmos_read(CMOS_A) & 0x80)
			return UPDATE_SEEN;
		if (cmos_read(0) != second)
			return clock_ticks() - before < CLOCK_US(200) ? UPDATE_UNSEEN : UPDATE_UNKNOWN;
		before = now;	/* of the last look at UIP which came before the change */
	}
	return now - before < CLOCK_MS(100) ? UPDATE_UNSEEN : UPDATE_UNKNOWN;	/* or away until the end */
}

static void rtc_check_update(void)
{
	enum update update = UPDATE_UNKNOWN;
	uint8_t before, after = 0;
	uint64_t start, us = 0;

	rtc_second();
	for (int tries = 0; tries < 4 && update == UPDATE_UNKNOWN; tries++)
		update = rtc_watch_update();
	if (update == UPDATE_UNKNOWN)
		tap_skip("UIP: the host is too busy to catch 244 us");
	else
		tap_check(update == UPDATE_SEEN, "UIP is seen before an update");
	tap_check(CLOCK_WAIT_FOR(!(cmos_read(CMOS_A) & 0x80), CLOCK_MS(500)), "UIP goes away");
	before = rtc_second();
	tap_check(CLOCK_WAIT_FOR(rtc_second() != before, CLOCK_MS(1500)), "the second changes");
	for (int tries = 0; tries < TRIES && (us < 600000 || us > 1500000); tries++) {
		start = clock_ticks();
		before = rtc_second();
		CLOCK_WAIT_FOR((after = rtc_second()) != before, CLOCK_MS(1500));
		us = clock_to_us(clock_ticks() - start);
	}
	tap_between(us, 600000, 1500000, "and again a second later, as far as a busy host can tell");
	tap_equal(after, (before + 1) % 60, "by one");
}

static void rtc_check_set(void)
{
	uint8_t before;

	cmos_write(CMOS_B, CMOS_B_SET | CMOS_B_24H);
	before = cmos_read(0);
	tap_check(!CLOCK_WAIT_FOR(cmos_read(CMOS_A) & 0x80, CLOCK_MS(1050)), "SET: no UIP");
	tap_equal(cmos_read(0), before, "SET: time stands still");
	cmos_write(CMOS_B, CMOS_B_24H);
}

static void rtc_check_periodic(void)
{
	uint64_t start, us = 0;

	cmos_write(CMOS_A, 0x2a);	/* 64 Hz */
	for (int tries = 0; tries < TRIES && (!us || us > 220000); tries++) {
		rtc_interrupts_on(0);
		start = clock_ticks();
		rtc_interrupts_on(CMOS_B_PIE);
		us = CLOCK_WAIT_FOR(nr_interrupts >= 8, CLOCK_MS(1500)) ? clock_to_us(clock_ticks() - start) : 0;
	}
	rtc_interrupts_on(0);
	/* The first may come at once: the divider runs on while PIE is off. */
	tap_between(us, 105000, 220000, "64 Hz: 8 periodic interrupts take 109 to 125 ms");
	cmos_write(CMOS_A, 0x26);
}

static void rtc_check_second_interrupts(void)
{
	uint8_t second;

	rtc_interrupts_on(CMOS_B_UIE);
	second = rtc_second();
	tap_check(CLOCK_WAIT_FOR(nr_interrupts, CLOCK_MS(1500)), "update-ended interrupt");
	tap_check(flags_seen & 0x10, "register C said so");
	tap_equal(rtc_second(), (second + 1) % 60, "with the new second");
	rtc_interrupts_on(0);
	second = (uint8_t)((rtc_second() + 2) % 60);
	cmos_write(1, cmos_encode(second));
	cmos_write(3, 0xff);		/* 0xc0 to 0xff: do not care */
	cmos_write(5, 0xff);
	rtc_interrupts_on(CMOS_B_AIE);
	tap_check(CLOCK_WAIT_FOR(nr_interrupts, CLOCK_MS(2500)), "alarm interrupt");
	tap_check(flags_seen & 0x20, "register C said so");
	tap_equal(rtc_second(), second, "in the second asked for");
	clock_wait_ticks(CLOCK_MS(20));
	tap_equal(nr_interrupts, 1, "once");
	tap_equal(flags_bad, 0, "IRQF accompanied every interrupt");
	rtc_interrupts_on(0);
}

static void rtc_check_nvram(void)
{
	unsigned int right = 0;

	for (uint8_t i = 0x50; i < 0x58; i++)
		cmos_write(i, (uint8_t)(i * 7));
	for (uint8_t i = 0x50; i < 0x58; i++)
		right += cmos_read(i) == (uint8_t)(i * 7);
	tap_equal(right, 8, "NVRAM bytes 0x50 to 0x57 hold what was written");
	for (uint8_t i = 0x50; i < 0x58; i++)
		cmos_write(i, 0);
}

void test_main(void)
{
	ioapic_init();
	trap_set_handler(VECTOR, rtc_interrupt);
	rtc_check_date();
	rtc_check_nvram();
	rtc_check_update();
	rtc_check_set();
	rtc_interrupts_on(0);
	ioapic_route_isa(8, VECTOR, lapic_id());
	cpu_enable_interrupts();
	rtc_check_periodic();
	rtc_check_second_interrupts();
}
