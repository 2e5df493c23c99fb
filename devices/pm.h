/*
 * ACPI fixed hardware without an SMI handler (ACPI 6.5, 4.8): PM1a events and control, the PM timer, GPE
 * block 0. Ports, lengths and the S5 value are in vmm/base/map.h, where the tables read them too. No sleep
 * state but S5.
 */
#ifndef TRELLIS_DEVICES_PM_H
#define TRELLIS_DEVICES_PM_H

#include <pthread.h>

#include "vmm/base/dev.h"
#include "vmm/base/loop.h"
#include "vmm/base/map.h"

enum { PM_EVT_WINDOW = 4, PM_CNT_WINDOW = 2, PM_TMR_WINDOW = 4, PM_NR_GPES = GPE0_LEN / 2 * 8 };

struct pm {
	pthread_mutex_t lock;
	struct irq_line sci;          /* constant after init; driven under lock */
	const struct dev_host *host;  /* borrowed; constant after init */
	struct loop *loop;            /* borrowed; constant after init */

	/* All that follows is guarded by lock. */
	uint16_t status, enable;      /* PM1a_STS, PM1a_EN */
	uint16_t control;             /* PM1a_CNT without its write-only bits */
	uint8_t gpe_status[GPE0_LEN / 2], gpe_enable[GPE0_LEN / 2];
	uint64_t timer_start_ns;      /* CLOCK_MONOTONIC when the PM timer was timer_start_ticks */
	uint64_t timer_start_ticks;
	uint64_t timer_half;          /* changes of the timer's top bit that status has seen */
	struct loop_timer timer;      /* to the next change, while TMR_EN is set and TMR_STS is not */
	bool sci_level;
	bool warned;                  /* about a sleep state that is not there, since reset */
};

/*
 * Make the registers in their power-on state.
 * sci   level, active while any enabled status bit is set
 * host  borrowed; stop(STOP_POWEROFF) is called on the vCPU that enters S5, without the lock
 * loop  borrowed until pm_fini(); serves the timer
 * Returns 0 or a negative errno. Setup only. After a failure pm_fini() is not needed.
 */
MUST_CHECK int pm_init(struct pm *p, struct irq_line sci, const struct dev_host *host, struct loop *loop,
		       struct err *e);

/* Release. No thread may use p any more. Loop thread or setup. */
void pm_fini(struct pm *p);

/*
 * Press and release the power button: ask the guest to shut down (ACPI 6.5, 4.8.3.1.1.1).
 * Returns whether the guest listens to the button, now. If not, it finds the status bit when it begins to.
 * Any thread.
 */
bool pm_press_power_button(struct pm *p);

/* Set status bit gpe of GPE block 0, below PM_NR_GPES (others do nothing). Any thread. */
void pm_raise_gpe(struct pm *p, unsigned int gpe);

/* Windows of PM_EVT_WINDOW, PM_CNT_WINDOW, PM_TMR_WINDOW and GPE0_LEN bytes (struct pm). */
extern const struct io_ops pm_evt_io_ops;
extern const struct io_ops pm_cnt_io_ops;
extern const struct io_ops pm_tmr_io_ops;
extern const struct io_ops pm_gpe_io_ops;
extern const struct dev_ops pm_dev_ops;

#endif
