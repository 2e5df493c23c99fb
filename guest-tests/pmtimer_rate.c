/*
 * The ACPI PM timer: width as the FADT says, never backwards, and three times as fast as the PIT.
 *
 * ACPI 6.4, 4.8.3.3: 3.579545 MHz, 24 or 32 bits. Both clocks come from one crystal on a PC, so the ratio to
 * PIT channel 2 is exactly 3; the TSC must agree with itself over both. Wrapping takes 4.7 s and is not waited for.
 */
#include "lib/acpi.h"
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/pit.h"
#include "lib/tap.h"

#define COUNT 59659UL	/* 50 ms */

static void pmtimer_check_width(uint16_t port)
{
	bool wide = acpi_fadt()->flags & ACPI_FADT_TMR_VAL_EXT;
	unsigned int backwards = 0, high = 0;
	uint32_t last = cpu_inl(port);

	for (int i = 0; i < 2000; i++) {
		uint32_t now = cpu_inl(port);

		backwards += ((now - last) & 0xffffff) > 0x800000;
		high += now >> 24 != 0;
		last = now;
	}
	tap_equal(backwards, 0, "2000 reads never go backwards");
	if (!wide)
		tap_equal(high, 0, "24 bits wide: the upper 8 read 0");
	else
		tap_check(true, "32 bits wide");
	tap_check((last & 0xffffff) != (cpu_inl(port) & 0xffffff) || CLOCK_WAIT_FOR(cpu_inl(port) != last, 100), "it runs");
	tap_equal(acpi_fadt()->pm_tmr_len, 4, "FADT: PM_TMR_LEN is 4");
	tap_equal(port & 3, 0, "port 0x%x is aligned", port);
}

/* Times channel 2 counting down in mode 0 (Intel 8254 data sheet); returns PM ticks, and TSC ticks in *tsc.
 * The gate opens at once after loading: QEMU and Linux's in-kernel PIT count in mode 0 whatever the gate says.
 * The clock is read first and last, so that a host which takes the CPU away can only make it longer. */
static uint64_t pmtimer_time_pit(uint64_t *tsc)
{
	uint64_t start = clock_ticks();

	*tsc = cpu_rdtsc();
	pit_gate2(false);
	pit_set(2, PIT_ONE_SHOT, COUNT);
	pit_gate2(true);
	if (!CLOCK_WAIT_FOR(pit_output2(), CLOCK_MS(500)))
		tap_bail("PIT channel 2 never ends: port 0x61 reads 0x%x", cpu_inb(0x61));
	*tsc = cpu_rdtsc() - *tsc;
	start = clock_ticks() - start;
	pit_gate2(false);
	return start;
}

static bool pmtimer_is_near(uint64_t a, uint64_t b)
{
	return a > b - b / 20 && a < b + b / 20;
}

/* Short is wrong at once; long, or two TSC rates which differ, may be the host's doing and is tried again. */
static void pmtimer_check_rate(void)
{
	uint64_t tsc, ticks, shortest = ~0ULL, rate = 0, last;
	bool agree = false;

	for (int tries = 0; tries < 8 && !(agree && shortest <= 3 * COUNT * 13 / 10); tries++) {
		ticks = pmtimer_time_pit(&tsc);
		last = rate;
		rate = tsc * CLOCK_HZ / 1000 / ticks;
		agree |= tries && pmtimer_is_near(rate, last);
		if (ticks < shortest)
			shortest = ticks;
	}
	tap_between(shortest, 3 * COUNT - 900, 3 * COUNT * 13 / 10, "%lu PIT ticks are %lu PM ticks", COUNT, 3 * COUNT);
	tap_note("TSC: %lu per ms", rate);
	tap_check(agree, "two measurements of the TSC agree within 5 %%");
}

void test_main(void)
{
	pmtimer_check_width(acpi_pm_timer_port());
	pit_gate2(false);
	pit_set(2, PIT_ONE_SHOT, 0);
	tap_check(!pit_output2(), "PIT channel 2: output low when loaded");
	pmtimer_check_rate();
}
