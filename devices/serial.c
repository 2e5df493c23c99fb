/*
 * The 16550A's registers and its interrupt (PC16550D datasheet, June 1995, section 8). It does not talk to
 * terminals or files: the chardev does, behind serial_fifo.c.
 */
#include "devices/serial.h"

#include <errno.h>

#include "devices/bytewise.h"
#include "devices/serial_internal.h"

/* The interrupt of highest priority (datasheet, table IV). */
static uint8_t irq_source_locked(const struct serial *s)
{
	if ((s->ier & IER_RLS) && s->lsr_errors)
		return IIR_RLS;
	if ((s->ier & IER_RDA) && s->rx_len >= serial_rx_trigger(s))
		return IIR_RDA;
	if ((s->ier & IER_RDA) && s->timeout_pending)
		return IIR_CTI;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	if ((s->ier & IER_MS) && s->msr_delta)
		return IIR_MS;
	return IIR_NONE;
}

void serial_update_irq_locked(struct serial *s)
{
	bool level = irq_source_locked(s) != IIR_NONE;

	if (level == s->irq_level)
		return;
	s->irq_level = level;
	irq_line_set(&s->irq, level);
}

/* --- registers --- */

/* What the modem input pins read, as MSR bits 7-4. Loopback connects outputs to them (MCR bit 4). */
static uint8_t modem_inputs_locked(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return s->chr ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
	return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void mcr_write_locked(struct serial *s, uint8_t val)
{
	uint8_t before = modem_inputs_locked(s), now, changed;

	if ((s->mcr & MCR_LOOP) && !(val & MCR_LOOP))
		s->rx_next_ns = clock_now_ns() + SERIAL_CHAR_NS;
	s->mcr = val & MCR_MASK;
	now = modem_inputs_locked(s);
	changed = before ^ now;
	/* Datasheet, MSR bit 2: RI counts its trailing edge only. */
	s->msr_delta |= (uint8_t)((changed & MSR_CTS ? MSR_DCTS : 0) | (changed & MSR_DSR ? MSR_DDSR : 0) |
				  (before & ~now & MSR_RI ? MSR_TERI : 0) | (changed & MSR_DCD ? MSR_DDCD : 0));
	serial_rx_schedule_locked(s);
}

static void ier_write_locked(struct serial *s, uint8_t val)
{
	uint8_t risen = val & ~s->ier;

	s->ier = val & IER_MASK;
	/* Drivers start output by enabling the interrupt while THR is empty: it comes at once. */
	if (risen & IER_THRE)
		s->thre_pending = !s->tx_len;
	if (risen & IER_RDA) {
		s->rx_next_ns = MAX(s->rx_next_ns, clock_now_ns() + SERIAL_SETTLE_NS);
		serial_rx_schedule_locked(s);
	}
}

/* Datasheet, FCR: bit 0 must be set for the others to count, and changing it clears both FIFOs. */
static void fcr_write_locked(struct serial *s, uint8_t val)
{
	bool changed;

	if (!(val & FCR_ENABLE))
		val = 0;
	changed = (val ^ s->fcr) & FCR_ENABLE;
	s->fcr = val & FCR_KEPT;
	if (changed || (val & FCR_TX_RESET))
		serial_tx_clear_locked(s);
	if (changed || (val & FCR_RX_RESET))
		serial_rx_clear_locked(s);
	serial_rx_schedule_locked(s);
}

static void lcr_write_locked(struct serial *s, uint8_t val)
{
	bool began = (val & ~s->lcr) & LCR_BREAK;

	s->lcr = val;
	if (began && (s->mcr & MCR_LOOP)) {
		serial_rx_push_locked(s, 0, LSR_BI | LSR_FE);
		serial_rx_schedule_locked(s);
	}
}

static uint8_t lsr_read_locked(struct serial *s)
{
	uint8_t val = s->lsr_errors;

	if (!s->rx_len) {
		s->polls += s->polls < SERIAL_POLLS_WANTED;
		serial_rx_arrive_locked(s);
		val = s->lsr_errors;
	}
	if (s->rx_len)
		val |= LSR_DR;
	if (!s->tx_len)
		val |= LSR_THRE | LSR_TEMT;
	if (serial_fifo_mode(s) && (val & LSR_CHAR_ERRORS))
		val |= LSR_FIFO_ERROR;
	for (unsigned int i = 0; serial_fifo_mode(s) && i < s->rx_len; i++)
		if (s->rx[(s->rx_head + i) % SERIAL_FIFO_DEPTH].errors)
			val |= LSR_FIFO_ERROR;
	s->lsr_errors = 0;
	return val;
}

static uint8_t iir_read_locked(struct serial *s)
{
	uint8_t source = irq_source_locked(s);

	/* Reading clears THRE only if it is what was read (datasheet, table IV). */
	if (source == IIR_THRE)
		s->thre_pending = false;
	return source | (serial_fifo_mode(s) ? IIR_FIFOS : 0);
}

static uint8_t msr_read_locked(struct serial *s)
{
	uint8_t val = modem_inputs_locked(s) | s->msr_delta;

	s->msr_delta = 0;
	return val;
}

static uint8_t serial_read8_locked(void *dev, uint64_t off)
{
	struct serial *s = dev;
	bool dlab = s->lcr & LCR_DLAB;

	switch (off) {
	case REG_DATA:
		return dlab ? (uint8_t)s->divisor : serial_rx_pop_locked(s);
	case REG_IER:
		return dlab ? (uint8_t)(s->divisor >> 8) : s->ier;
	case REG_IIR_FCR:
		return iir_read_locked(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return lsr_read_locked(s);
	case REG_MSR:
		return msr_read_locked(s);
	case REG_SCR:
		return s->scr;
	default:
		return 0xff;
	}
}

static void serial_write8_locked(void *dev, uint64_t off, uint8_t val)
{
	struct serial *s = dev;
	bool dlab = s->lcr & LCR_DLAB;

	switch (off) {
	case REG_DATA:
		if (dlab)
			s->divisor = (uint16_t)((s->divisor & 0xff00) | val);
		else
			serial_tx_put_locked(s, val);
		break;
	case REG_IER:
		if (dlab)
			s->divisor = (uint16_t)((s->divisor & 0x00ff) | val << 8);
		else
			ier_write_locked(s, val);
		break;
	case REG_IIR_FCR:
		fcr_write_locked(s, val);
		break;
	case REG_LCR:
		lcr_write_locked(s, val);
		break;
	case REG_MCR:
		mcr_write_locked(s, val);
		break;
	case REG_SCR:
		s->scr = val;
		break;
	default: /* LSR and MSR: writes are for the factory */
		break;
	}
}

static uint64_t serial_read(void *dev, uint64_t off, unsigned int size)
{
	struct serial *s = dev;
	uint64_t val;

	pthread_mutex_lock(&s->lock);
	val = bytewise_read(s, off, size, serial_read8_locked);
	serial_update_irq_locked(s);
	pthread_mutex_unlock(&s->lock);
	return val;
}

static void serial_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct serial *s = dev;

	pthread_mutex_lock(&s->lock);
	bytewise_write(s, off, size, val, serial_write8_locked);
	serial_update_irq_locked(s);
	pthread_mutex_unlock(&s->lock);
}

const struct io_ops serial_io_ops = { .read = serial_read, .write = serial_write };

/* --- the chardev's callbacks, on the loop's thread --- */

static void serial_input(void *ctx)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->rx_more = true;
	serial_rx_arrive_locked(s);
	serial_update_irq_locked(s);
	pthread_mutex_unlock(&s->lock);
}

static void serial_room(void *ctx)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	if (s->tx_len)
		serial_tx_drain_locked(s);
	serial_update_irq_locked(s);
	pthread_mutex_unlock(&s->lock);
}

static void serial_break(void *ctx)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->break_pending = true;
	serial_rx_arrive_locked(s);
	serial_update_irq_locked(s);
	pthread_mutex_unlock(&s->lock);
}

/* --- life --- */

/* Datasheet, table I, "UART reset configuration". The divisor is undefined there and 9600 baud by custom. */
static void serial_reset(void *dev)
{
	struct serial *s = dev;

	pthread_mutex_lock(&s->lock);
	s->ier = s->fcr = s->lcr = s->mcr = s->scr = 0;
	s->divisor = 12;
	s->msr_delta = s->lsr_errors = 0;
	s->lost_bytes += s->tx_len;
	s->tx_len = 0;
	s->thre_pending = false;
	s->rx_head = s->rx_len = 0;
	s->timeout_pending = s->break_pending = false;
	s->rx_more = s->chr != NULL;
	s->polls = 0;
	s->rx_next_ns = s->timeout_ns = 0;
	s->warned = false;
	s->irq_level = false;
	irq_line_set(&s->irq, false);
	pthread_mutex_unlock(&s->lock);
}

static void serial_save(void *dev, struct buf *b)
{
	struct serial *s = dev;

	pthread_mutex_lock(&s->lock);
	buf_put8(b, s->ier);
	buf_put8(b, s->fcr);
	buf_put8(b, s->lcr);
	buf_put8(b, s->mcr);
	buf_put8(b, s->scr);
	buf_put8(b, s->msr_delta);
	buf_put8(b, s->lsr_errors);
	buf_put16(b, s->divisor);
	buf_put8(b, (uint8_t)((s->thre_pending ? SAVED_THRE : 0) | (s->timeout_pending ? SAVED_TIMEOUT : 0) |
			      (s->break_pending ? SAVED_BREAK : 0)));
	buf_put8(b, (uint8_t)s->rx_len);
	for (unsigned int i = 0; i < s->rx_len; i++) {
		const struct serial_char *c = &s->rx[(s->rx_head + i) % SERIAL_FIFO_DEPTH];

		buf_put8(b, c->byte);
		buf_put8(b, c->errors);
	}
	buf_put8(b, (uint8_t)s->tx_len);
	buf_put(b, s->tx, s->tx_len);
	pthread_mutex_unlock(&s->lock);
}

static void load_registers_locked(struct serial *s, struct state_reader *r)
{
	uint8_t flags;

	s->ier = state_get8(r) & IER_MASK;
	s->fcr = state_get8(r) & FCR_KEPT;
	s->lcr = state_get8(r);
	s->mcr = state_get8(r) & MCR_MASK;
	s->scr = state_get8(r);
	s->msr_delta = state_get8(r) & 0x0f;
	s->lsr_errors = state_get8(r) & (LSR_OE | LSR_CHAR_ERRORS);
	s->divisor = state_get16(r);
	flags = state_get8(r);
	s->thre_pending = flags & SAVED_THRE;
	s->timeout_pending = flags & SAVED_TIMEOUT;
	s->break_pending = flags & SAVED_BREAK;
}

static int load_fifos_locked(struct serial *s, struct state_reader *r, struct err *e)
{
	unsigned int rx_len = state_get8(r), tx_len;

	if (rx_len > serial_fifo_depth(s))
		return err_set(e, -EINVAL, "%s: %u received characters, at most %u fit", s->name, rx_len,
			       serial_fifo_depth(s));
	s->rx_head = 0;
	s->rx_len = rx_len;
	for (unsigned int i = 0; i < rx_len; i++) {
		s->rx[i].byte = state_get8(r);
		s->rx[i].errors = state_get8(r) & LSR_CHAR_ERRORS;
	}
	tx_len = state_get8(r);
	if (tx_len > serial_fifo_depth(s))
		return err_set(e, -EINVAL, "%s: %u bytes to send, at most %u fit", s->name, tx_len,
			       serial_fifo_depth(s));
	s->tx_len = tx_len;
	state_get(r, s->tx, tx_len);
	return 0;
}

static int serial_load(void *dev, struct state_reader *r, struct err *e)
{
	struct serial *s = dev;
	int rc;

	pthread_mutex_lock(&s->lock);
	load_registers_locked(s, r);
	rc = load_fifos_locked(s, r, e);
	if (rc == 0) {
		if (!s->chr)
			serial_tx_clear_locked(s);
		if (s->tx_len)
			serial_tx_drain_locked(s);
		/* Other clocks ran meanwhile: what waits in rx starts to wait again. */
		s->timeout_ns = clock_now_ns() + SERIAL_TIMEOUT_NS;
		s->rx_next_ns = 0;
		s->rx_more = s->chr != NULL;
		serial_rx_schedule_locked(s);
		s->irq_level = irq_source_locked(s) != IIR_NONE;
		irq_line_set(&s->irq, s->irq_level);
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

const struct dev_ops serial_dev_ops = {
	.version = 1,
	.reset = serial_reset,
	.save = serial_save,
	.load = serial_load,
};

int serial_init(struct serial *s, struct irq_line irq, struct chardev *chr, struct loop *loop,
		const char *name, struct err *e)
{
	const struct chardev_user user = {
		.ctx = s, .input = serial_input, .room = serial_room, .brk = serial_break,
	};
	int rc;

	*s = (struct serial){ .irq = irq, .chr = chr, .loop = loop, .name = name, .timer = { .fd = -1 } };
	rc = loop_timer_init(loop, &s->timer, serial_rx_timer_expired, s, e);
	if (rc < 0)
		return rc;
	pthread_mutex_init(&s->lock, NULL);
	serial_reset(s);
	if (chr)
		chardev_attach(chr, &user);
	return 0;
}

void serial_fini(struct serial *s)
{
	if (s->chr)
		chardev_attach(s->chr, &(struct chardev_user){ 0 });
	loop_timer_fini(s->loop, &s->timer);
	pthread_mutex_destroy(&s->lock);
}

uint64_t serial_lost_bytes(struct serial *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->lock);
	n = s->lost_bytes;
	pthread_mutex_unlock(&s->lock);
	return n;
}
