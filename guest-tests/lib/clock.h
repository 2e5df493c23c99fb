/*
 * Time for the tests: the ACPI PM timer, 3.579545 MHz (ACPI 6.4, 4.8.3.3), extended to 64 bits. It is the
 * one clock whose rate needs no calibration. Boot CPU only; must be read once in 4 s or a wrap is lost.
 */
#ifndef GUEST_CLOCK_H
#define GUEST_CLOCK_H

#include <stdint.h>

#define CLOCK_HZ    3579545ULL
#define CLOCK_US(u) ((u) * CLOCK_HZ / 1000000ULL)
#define CLOCK_MS(m) ((m) * CLOCK_HZ / 1000ULL)

/* Ticks since the first call. Bails out if the FADT names no timer. */
uint64_t clock_ticks(void);
/* Microseconds of a number of ticks. */
uint64_t clock_to_us(uint64_t ticks);
/* Wait with interrupts as they are. */
void clock_wait_ticks(uint64_t ticks);

/* Poll until the condition is true or the ticks are over; its value is the condition. The condition is looked
 * at once more after the end: the host may have taken the CPU away just before. */
#define CLOCK_WAIT_FOR(condition, ticks)                                        \
	__extension__({                                                         \
		uint64_t clock_end_ = clock_ticks() + (ticks);                  \
		_Bool clock_ok_, clock_late_;                                   \
		do {                                                            \
			clock_late_ = clock_ticks() >= clock_end_;              \
			clock_ok_ = (condition);                                \
		} while (!clock_ok_ && !clock_late_);                           \
		clock_ok_;                                                      \
	})

#endif
