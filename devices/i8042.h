/*
 * A keyboard controller with nothing plugged in, and system control port A (IBM PS/2 Hardware Interface
 * Technical Reference, 1990: "Keyboard and Auxiliary Device Controller", "System Control Port A"). It is
 * there for its reset line, and answers everything else at once so that no guest waits for a keyboard. A20 is
 * always on.
 */
#ifndef TRELLIS_DEVICES_I8042_H
#define TRELLIS_DEVICES_I8042_H

#include <pthread.h>

#include "vmm/base/dev.h"

struct i8042 {
	pthread_mutex_t lock;
	struct irq_line irq;          /* IRQ 1; constant after init; driven under lock */
	const struct dev_host *host;  /* borrowed; constant after init */

	/* All that follows is guarded by lock. */
	uint8_t config;               /* the command byte */
	uint8_t status;               /* without the bits that never change */
	uint8_t output;               /* what port 0x60 reads */
	uint8_t pending;              /* the command that waits for its data byte; 0: none */
	uint8_t port92;
	bool irq_level;
};

/*
 * Make a controller in its power-on state.
 * irq   raised for an answer while the command byte enables it; may lead nowhere
 * host  borrowed; stop(STOP_RESET) is called on the vCPU that asks for a reset, without the lock
 */
void i8042_init(struct i8042 *k, struct irq_line irq, const struct dev_host *host);
void i8042_fini(struct i8042 *k);

/* Windows of one byte each (struct i8042): ports 0x60, 0x64, 0x92. */
extern const struct io_ops i8042_data_io_ops;
extern const struct io_ops i8042_cmd_io_ops;
extern const struct io_ops i8042_port92_io_ops;
extern const struct dev_ops i8042_dev_ops;

#endif
