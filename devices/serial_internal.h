/*
 * What serial.c and serial_fifo.c share: the bits of the registers (PC16550D datasheet, June 1995, section 8)
 * and the receiver's and transmitter's verbs. For no one else.
 */
#ifndef TRELLIS_DEVICES_SERIAL_INTERNAL_H
#define TRELLIS_DEVICES_SERIAL_INTERNAL_H

#include "devices/serial.h"

enum {
	REG_DATA = 0, REG_IER = 1, REG_IIR_FCR = 2, REG_LCR = 3,
	REG_MCR = 4, REG_LSR = 5, REG_MSR = 6, REG_SCR = 7,

	IER_RDA = 0x01, IER_THRE = 0x02, IER_RLS = 0x04, IER_MS = 0x08, IER_MASK = 0x0f,

	IIR_MS = 0x00, IIR_NONE = 0x01, IIR_THRE = 0x02, IIR_RDA = 0x04, IIR_RLS = 0x06, IIR_CTI = 0x0c,
	IIR_FIFOS = 0xc0,

	FCR_ENABLE = 0x01, FCR_RX_RESET = 0x02, FCR_TX_RESET = 0x04, FCR_KEPT = 0xc9, /* enable, DMA, trigger */

	LCR_BREAK = 0x40, LCR_DLAB = 0x80,

	MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10, MCR_MASK = 0x1f,

	LSR_DR = 0x01, LSR_OE = 0x02, LSR_PE = 0x04, LSR_FE = 0x08, LSR_BI = 0x10,
	LSR_THRE = 0x20, LSR_TEMT = 0x40, LSR_FIFO_ERROR = 0x80,
	LSR_CHAR_ERRORS = LSR_PE | LSR_FE | LSR_BI,

	MSR_DCTS = 0x01, MSR_DDSR = 0x02, MSR_TERI = 0x04, MSR_DDCD = 0x08,
	MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80,

	SAVED_THRE = 0x01, SAVED_TIMEOUT = 0x02, SAVED_BREAK = 0x04,
};

/*
 * A character takes 87 us (ten bits at 115200 baud), whatever the divisor says, where time matters at all:
 *  - the character timeout comes four characters after the last arrival or read (datasheet, "FIFO interrupt
 *    mode operation"). It is not given at once: IRQ 4 is edge triggered, and the line must fall between
 *    "trigger level reached" and "timeout" for a driver that serves one of them per interrupt. It also keeps
 *    one interrupt for 14 characters one interrupt;
 *  - an emptied receiver stays empty for one character. Otherwise a long paste would never let LSR.DR or the
 *    line fall, and Linux would give up ("too much work for irq4") inside its handler.
 */
#define SERIAL_CHAR_NS    86806ull
#define SERIAL_TIMEOUT_NS (4 * SERIAL_CHAR_NS)

/*
 * Input is left in the chardev until somebody reads it, so that what is piped in before the guest's driver is
 * ready is not thrown away by the driver's start-up flush. "Somebody" is the received-data interrupt enabled
 * for SERIAL_SETTLE_NS (Linux writes FCR, which flushes, shortly after IER) or SERIAL_POLLS_WANTED looks at
 * LSR in a row.
 */
#define SERIAL_SETTLE_NS    2000000ull
#define SERIAL_POLLS_WANTED 8

static inline bool serial_fifo_mode(const struct serial *s)
{
	return s->fcr & FCR_ENABLE;
}

static inline unsigned int serial_fifo_depth(const struct serial *s)
{
	return serial_fifo_mode(s) ? SERIAL_FIFO_DEPTH : 1;
}

/* Datasheet, FCR bits 7-6. */
static inline unsigned int serial_rx_trigger(const struct serial *s)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return serial_fifo_mode(s) ? level[s->fcr >> 6] : 1;
}

/* Set the interrupt line to what the registers say. All with _locked: with the port's lock. */
void serial_update_irq_locked(struct serial *s);

/* A character arrives: into the FIFO, or lost with an overrun error. errors: LSR bits 4-2. */
void serial_rx_push_locked(struct serial *s, uint8_t byte, uint8_t errors);

/* The first character, which leaves the FIFO; 0 when there is none. */
uint8_t serial_rx_pop_locked(struct serial *s);

/* Empty the FIFO and its errors. */
void serial_rx_clear_locked(struct serial *s);

/* Input, or room for it, may be there now: take what is due. */
void serial_rx_arrive_locked(struct serial *s);

/* Arm the timer for what comes next by itself, if anything does. Call after any change that matters. */
void serial_rx_schedule_locked(struct serial *s);

/* The timer's callback; takes the lock. ctx: struct serial */
void serial_rx_timer_expired(void *ctx);

/* The guest writes THR. */
void serial_tx_put_locked(struct serial *s, uint8_t byte);

/* Hand what waits to the chardev, which is there. Sets THRE when nothing is left. */
void serial_tx_drain_locked(struct serial *s);

/* Drop what waits. */
void serial_tx_clear_locked(struct serial *s);

#endif
