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
 * The gate opens at once after loading: QEMU and Linux's in-kernel PIT count in mode 0 whatever the gate says. */
static uint64_t pmtimer_time_pit(uint16_t count, uint64_t *tsc)
{
	uint64_t start;

	pit_gate2(false);
	pit_set(2, PIT_ONE_SHOT, count);
	*tsc = cpu_rdtsc();
	start = clock_ticks();
	pit_gate2(true);
	if (!CLOCK_WAIT_FOR(pit_output2(), CLOCK_MS(500)))
		tap_bail("PIT channel 2 never ends: port 0x61 reads 0x%x", cpu_inb(0x61));
	start = clock_ticks() - start;
	*tsc = cpu_rdtsc() - *tsc;
	pit_gate2(false);
	return start;
}

void test_main(void)
{
	uint64_t tsc[2], ticks[2], per_ms[2];

	pmtimer_check_width(acpi_pm_timer_port());
	pit_gate2(false);
	pit_set(2, PIT_ONE_SHOT, 0);
	tap_check(!pit_output2(), "PIT channel 2: output low when loaded");
	for (int i = 0; i < 2; i++) {
		ticks[i] = pmtimer_time_pit(59659, &tsc[i]);	/* 50 ms */
		per_ms[i] = tsc[i] * CLOCK_HZ / 1000 / ticks[i];
		tap_between(ticks[i], 59659 * 3 - 900, 59659 * 3 * 13 / 10, "59659 PIT ticks are 178977 PM ticks");
	}
	tap_note("TSC: %lu per ms", per_ms[0]);
	tap_between(per_ms[1], per_ms[0] - per_ms[0] / 20, per_ms[0] + per_ms[0] / 20, "TSC rate: both measurements agree");
}
