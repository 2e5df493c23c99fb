/*
 * A 16550A serial port (PC16550D datasheet, National Semiconductor, June 1995) between a guest and a chardev.
 * It does not know baud rates: bytes leave at once and arrive as fast as the guest takes them. Word length,
 * parity and the divisor are stored and otherwise ignored. OUT2 does not gate the interrupt.
 */
#ifndef TRELLIS_DEVICES_SERIAL_H
#define TRELLIS_DEVICES_SERIAL_H

#include <pthread.h>

#include "vmm/base/chardev.h"
#include "vmm/base/dev.h"
#include "vmm/base/loop.h"

enum { SERIAL_FIFO_DEPTH = 16, SERIAL_WINDOW = 8 };

/* A received character and the line-status errors that belong to it. */
struct serial_char {
	uint8_t byte, errors;
};

struct serial {
	pthread_mutex_t lock;          /* before the chardev's lock */
	struct irq_line irq;           /* constant after init; driven under lock */
	struct chardev *chr;           /* borrowed, NULL: nothing is plugged in; constant after init */
	struct loop *loop;             /* borrowed; constant after init */
	const char *name;              /* borrowed, for messages; constant after init */

	/* All that follows is guarded by lock. */
	bool irq_level;                /* what irq was last told */
	uint8_t ier, fcr, lcr, mcr, scr;
	uint16_t divisor;
	uint8_t msr_delta;             /* MSR bits 3-0 */
	uint8_t lsr_errors;            /* LSR bits 4-1, revealed and not yet read */

	struct serial_char rx[SERIAL_FIFO_DEPTH];
	unsigned int rx_head, rx_len;
	bool rx_more;                  /* the chardev may hold more input */
	bool break_pending;            /* a break waits for room in rx */
	bool timeout_pending;          /* the character timeout, IIR 0xc */
	unsigned int polls;            /* LSR reads in vain since the last output */
	uint64_t rx_next_ns;           /* no character arrives before */
	uint64_t timeout_ns;           /* when characters in rx have waited too long */
	struct loop_timer timer;       /* the receiver's clock */
	uint64_t timer_ns;             /* when it will expire; 0: not armed */

	uint8_t tx[SERIAL_FIFO_DEPTH]; /* what the chardev had no room for, oldest first */
	unsigned int tx_len;
	bool thre_pending;             /* THR became empty and nobody has looked */
	uint64_t lost_bytes;           /* of output, since init */
	bool warned;                   /* about lost output, since reset */
};

/*
 * Make a port in its power-on state and attach it to its chardev.
 * irq   the line to drive, level as the chip's INTR pin; ports that share a line are the machine's business
 * chr   borrowed until serial_fini(); NULL: output is dropped, nothing arrives, modem inputs are off
 * loop  borrowed until serial_fini(); the loop whose thread calls the chardev's callbacks
 * name  for messages ("com1"); borrowed
 * Returns 0 or a negative errno. Setup only. After a failure serial_fini() is not needed.
 */
MUST_CHECK int serial_init(struct serial *s, struct irq_line irq, struct chardev *chr, struct loop *loop,
			   const char *name, struct err *e);

/* Detach and release. No thread may use s any more. Loop thread or setup. */
void serial_fini(struct serial *s);

/* Bytes the guest wrote while the transmitter was full, and which nobody will see. Any thread. */
uint64_t serial_lost_bytes(struct serial *s);

/* The window of SERIAL_WINDOW byte registers (datasheet, table II), and the life of a struct serial. */
extern const struct io_ops serial_io_ops;
extern const struct dev_ops serial_dev_ops;

#endif
