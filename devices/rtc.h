/*
 * The MC146818 clock and its CMOS RAM behind ports 0x70/0x71 (MC146818 datasheet, Motorola 1984; IBM PC/AT
 * Technical Reference 1984 for the RAM's contents). The guest's time is an offset from the host's UTC; the
 * host's clock is never set. No square wave, no daylight-saving switch.
 */
#ifndef TRELLIS_DEVICES_RTC_H
#define TRELLIS_DEVICES_RTC_H

#include <pthread.h>

#include "vmm/base/dev.h"
#include "vmm/base/loop.h"

enum { RTC_BYTES = 128, RTC_WINDOW = 2 };

#define RTC_CENTURY 0x32 /* for the FADT's CENTURY field (ACPI 6.5, table 5.9) */

/* Where time comes from. */
struct rtc_clock {
	int64_t (*utc_ns)(void *ctx); /* nanoseconds since 1970 */
	void *ctx;
};

struct rtc {
	pthread_mutex_t lock;
	struct irq_line irq;          /* constant after init; driven under lock */
	struct loop *loop;            /* borrowed; constant after init */
	struct rtc_clock clock;       /* constant after init */

	/* All that follows is guarded by lock. */
	uint8_t index;                /* bits 6-0 of port 0x70 */
	uint8_t reg[RTC_BYTES];       /* time registers as of second base_s */
	int64_t phase_ns;             /* seconds change when utc + phase is a whole one; 0 .. 1e9 - 1 */
	int64_t base_s;               /* (utc + phase) in whole seconds when reg was brought up to date */
	uint64_t periods;             /* of the periodic interrupt, counted when register C was read */
	struct loop_timer timer;      /* armed while an enabled interrupt may come */
	bool irq_level;
};

/*
 * Make a clock that shows the host's time in UTC, 24 hours, BCD, and RAM with the memory sizes that old
 * guests read there.
 * irq               IRQ 8: level as the chip's (inverted) IRQ pin
 * clock             NULL: the host's CLOCK_REALTIME
 * low_ram, high_ram bytes of RAM below 4 GiB (counted from 0) and from 4 GiB up
 * loop              borrowed until rtc_fini(); its thread delivers interrupts
 * Returns 0 or a negative errno. Setup only. After a failure rtc_fini() is not needed.
 */
MUST_CHECK int rtc_init(struct rtc *t, struct irq_line irq, struct loop *loop, const struct rtc_clock *clock,
			uint64_t low_ram, uint64_t high_ram, struct err *e);

/* Release. No thread may use t any more. Loop thread or setup. */
void rtc_fini(struct rtc *t);

/*
 * A window of RTC_WINDOW bytes: index, data (struct rtc). A word written at the index sets both.
 * A reset keeps time, alarm and RAM, as the battery does, and leaves 24 hours, BCD, no interrupts.
 */
extern const struct io_ops rtc_io_ops;
extern const struct dev_ops rtc_dev_ops;

#endif
