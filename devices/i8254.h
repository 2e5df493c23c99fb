/*
 * The 8254 interval timer of a PC (Intel 8254 datasheet, 231164-005), 1.193182 MHz, and the part of port 0x61
 * that belongs to it: channel 2's gate and output, the refresh bit (IBM PC/AT Technical Reference 1984, "System
 * Board I/O"). Used when the in-kernel one cannot be. No sound.
 *
 * Channel 0 interrupts; nobody sees channel 1. Their gates are tied high.
 */
#ifndef TRELLIS_DEVICES_I8254_H
#define TRELLIS_DEVICES_I8254_H

#include <pthread.h>

#include "vmm/base/dev.h"
#include "vmm/base/loop.h"

#define I8254_HZ 1193182ull

enum { I8254_WINDOW = 4, I8254_NR_CHANNELS = 3 };

/* Everything is guarded by the timer's lock. Times are in clocks of 1/I8254_HZ s. */
struct i8254_channel {
	uint8_t mode;   /* 0 to 5 */
	uint8_t access; /* of the control word: 1 low byte, 2 high byte, 3 low then high */
	bool bcd;
	bool gate;
	bool armed;      /* a count has been written since the control word (modes 1, 5: no trigger yet) */
	bool counting;   /* start counts; otherwise the counting element stands still */
	bool reload;     /* modes 2, 3: next_count takes over at reload_at */
	bool null_count; /* what was written last is not in the counting element yet */
	uint32_t count;  /* 1 to 65536: what was loaded, once counting or stopped */
	uint32_t next_count;    /* written, not loaded yet */
	uint64_t start;         /* when count was loaded */
	uint64_t stopped_after; /* while not counting: clocks counted since the load */
	uint64_t reload_at;

	bool write_high, read_high; /* the other byte of the count is next */
	uint8_t low;                /* of a count whose high byte is still to come */
	uint8_t latched;            /* bytes of latch still to be read */
	uint16_t latch;
	bool status_latched;
	uint8_t status;
};

struct i8254 {
	pthread_mutex_t lock;
	struct irq_line irq; /* constant after init; driven under lock */
	struct loop *loop;   /* borrowed; constant after init */

	/* All that follows is guarded by lock. */
	struct i8254_channel channel[I8254_NR_CHANNELS];
	uint8_t speaker;         /* port 0x61, bits 3-0 as written */
	uint64_t seen;           /* clocks up to which channel 0's rising edges have been counted */
	unsigned int owed;       /* interrupts that are late */
	struct loop_timer timer; /* to channel 0's next rising edge */
};

/*
 * Make the timer with no channel programmed.
 * irq   IRQ 0: a short pulse for each rising edge of channel 0's output
 * loop  borrowed until i8254_fini(); its thread delivers interrupts
 * Returns 0 or a negative errno. Setup only. After a failure i8254_fini() is not needed.
 */
MUST_CHECK int i8254_init(struct i8254 *t, struct irq_line irq, struct loop *loop, struct err *e);

/* Release. No thread may use t any more. Loop thread or setup. */
void i8254_fini(struct i8254 *t);

/* Windows of I8254_WINDOW bytes: three counters and the control word; and of one byte: port 0x61 (struct i8254). */
extern const struct io_ops i8254_io_ops, i8254_port61_io_ops;
extern const struct dev_ops i8254_dev_ops;

#endif
