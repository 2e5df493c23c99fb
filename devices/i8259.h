/*
 * The two 8259A interrupt controllers of a PC/AT (Intel 8259A datasheet, 231468-003) with the edge/level
 * control registers that EISA added (Intel ICH9 datasheet, 316972-004, 13.4). Used when the in-kernel ones
 * cannot be. 8086 mode only; ICW1's LTIM is ignored as on every PC with ELCRs.
 */
#ifndef TRELLIS_DEVICES_I8259_H
#define TRELLIS_DEVICES_I8259_H

#include <pthread.h>

#include "vmm/base/dev.h"

enum { I8259_WINDOW = 2, I8259_NR_LINES = 16, I8259_CASCADE = 2 };

/* One of the two; everything is guarded by the pair's lock. */
struct i8259_chip {
	uint8_t lines; /* inputs that are high */
	uint8_t irr, imr, isr;
	uint8_t elcr;      /* inputs that are level-triggered */
	uint8_t base;      /* vector of input 0 */
	uint8_t lowest;    /* the input with the lowest priority */
	uint8_t icw;       /* the initialization word expected next: 2, 3, 4, or 0 */
	bool icw4, single; /* of ICW1: ICW4 will come; ICW3 will not */
	bool auto_eoi, rotate_on_auto_eoi;
	bool special_mask, special_nested;
	bool read_isr, poll; /* what the next read of the command port gives */
};

struct i8259 {
	pthread_mutex_t lock;
	struct irq_line out;       /* constant after init; INTR, driven under lock */
	struct i8259_chip chip[2]; /* guarded by lock; master, slave */
	bool out_level;            /* guarded by lock */
};

/* Make the pair in its power-on state. out: the INTR pin. Setup only. */
void i8259_init(struct i8259 *p, struct irq_line out);

/* Release. No thread may use p any more. */
void i8259_fini(struct i8259 *p);

/*
 * Set input line (below I8259_NR_LINES, as IRQ numbers count; I8259_CASCADE has no pin) high or low.
 * A rising edge is kept even if the line falls before the processor asks, as KVM's controllers do.
 * Any thread, also under a device's lock.
 */
void i8259_set_line(struct i8259 *p, unsigned int line, bool level);

/*
 * The processor's interrupt acknowledge cycle: returns the vector of the most important request, which is in
 * service from now on; input 7's when the request has gone meanwhile (datasheet, "spurious"). Any thread.
 */
uint8_t i8259_ack(struct i8259 *p);

/* Windows of I8259_WINDOW bytes: command and data of each, and the two ELCRs (struct i8259). */
extern const struct io_ops i8259_master_io_ops, i8259_slave_io_ops, i8259_elcr_io_ops;

/* A reset leaves the lines as those who drive them have them. */
extern const struct dev_ops i8259_dev_ops;

#endif
