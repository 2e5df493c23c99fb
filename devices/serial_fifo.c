/*
 * The 16550A's receiver and transmitter: FIFOs, errors, the character timeout. They meet the chardev here and
 * nowhere else. Registers and the choice of interrupts are in serial.c.
 */
#include "devices/serial_internal.h"
#include "vmm/base/log.h"

/* --- receiver --- */

/* The errors of the character that is now first become visible in LSR (datasheet, LSR bits 2-4). */
static void rx_reveal_locked(struct serial *s)
{
	struct serial_char *c = &s->rx[s->rx_head];

	s->lsr_errors |= c->errors;
	c->errors = 0;
}

void serial_rx_push_locked(struct serial *s, uint8_t byte, uint8_t errors)
{
	s->timeout_ns = clock_now_ns() + SERIAL_TIMEOUT_NS;
	if (s->rx_len == serial_fifo_depth(s)) {
		s->lsr_errors |= LSR_OE;
		/* LSR bit 1: a full FIFO loses the new character; without FIFO it destroys the old one. */
		if (!serial_fifo_mode(s)) {
			s->rx[s->rx_head] = (struct serial_char){ byte, errors };
			rx_reveal_locked(s);
		}
		return;
	}
	s->rx[(s->rx_head + s->rx_len) % SERIAL_FIFO_DEPTH] = (struct serial_char){ byte, errors };
	if (++s->rx_len == 1)
		rx_reveal_locked(s);
}

static bool rx_wanted_locked(const struct serial *s)
{
	return s->chr && !(s->mcr & MCR_LOOP) && ((s->ier & IER_RDA) || s->polls >= SERIAL_POLLS_WANTED) &&
	       (s->rx_more || s->break_pending);
}

/* Let arrive what the chardev holds, as far as there is room. Nothing is lost: the rest stays there. */
static void rx_pull_locked(struct serial *s)
{
	uint8_t bytes[SERIAL_FIFO_DEPTH];
	size_t room, n;

	if (!rx_wanted_locked(s) || s->rx_len >= serial_fifo_depth(s) || clock_now_ns() < s->rx_next_ns)
		return;
	if (s->break_pending) {
		s->break_pending = false;
		serial_rx_push_locked(s, 0, LSR_BI | LSR_FE); /* a break has no stop bit either */
	}
	room = serial_fifo_depth(s) - s->rx_len;
	if (!room || !s->rx_more)
		return;
	n = chardev_read(s->chr, bytes, room);
	s->rx_more = n == room;
	for (size_t i = 0; i < n && i < room; i++)
		serial_rx_push_locked(s, bytes[i], 0);
}

/* Arm the timer for what comes next by itself: the next character or the timeout. Late is corrected there. */
void serial_rx_schedule_locked(struct serial *s)
{
	uint64_t now, at;

	if (s->rx_len == 0 && rx_wanted_locked(s))
		at = s->rx_next_ns;
	else if (s->rx_len && s->rx_len < serial_rx_trigger(s) && !s->timeout_pending)
		at = s->timeout_ns;
	else
		return;
	now = clock_now_ns();
	at = MAX(at, now + 1);
	if (s->timer_ns && s->timer_ns <= at)
		return;
	s->timer_ns = at;
	loop_timer_arm(&s->timer, at - now);
}

void serial_rx_timer_expired(void *ctx)
{
	struct serial *s = ctx;
	uint64_t now;

	pthread_mutex_lock(&s->lock);
	now = clock_now_ns();
	s->timer_ns = 0;
	if (s->rx_len == 0 || now >= s->timeout_ns)
		rx_pull_locked(s);
	if (s->rx_len && s->rx_len < serial_rx_trigger(s) && now >= s->timeout_ns)
		s->timeout_pending = true;
	serial_rx_schedule_locked(s);
	serial_update_irq_locked(s);
	pthread_mutex_unlock(&s->lock);
}

uint8_t serial_rx_pop_locked(struct serial *s)
{
	uint8_t byte;

	if (!s->rx_len)
		return 0;
	byte = s->rx[s->rx_head].byte;
	s->rx_head = (s->rx_head + 1) % SERIAL_FIFO_DEPTH;
	s->rx_len--;
	s->timeout_pending = false;
	if (s->rx_len) {
		rx_reveal_locked(s);
		s->timeout_ns = clock_now_ns() + SERIAL_TIMEOUT_NS;
	} else {
		s->rx_next_ns = clock_now_ns() + SERIAL_CHAR_NS;
	}
	serial_rx_schedule_locked(s);
	return byte;
}

void serial_rx_clear_locked(struct serial *s)
{
	s->rx_head = s->rx_len = 0;
	s->timeout_pending = false;
	s->lsr_errors &= LSR_OE;
	s->rx_next_ns = clock_now_ns() + SERIAL_CHAR_NS;
	serial_rx_schedule_locked(s);
}

/* Input, or room for it, may be there now. */
void serial_rx_arrive_locked(struct serial *s)
{
	rx_pull_locked(s);
	serial_rx_schedule_locked(s);
}

/* --- transmitter --- */

void serial_tx_drain_locked(struct serial *s)
{
	size_t n = chardev_write(s->chr, s->tx, s->tx_len);

	n = MIN(n, s->tx_len);
	s->tx_len -= (unsigned int)n;
	memmove(s->tx, s->tx + n, s->tx_len);
	if (!s->tx_len)
		s->thre_pending = true;
}

void serial_tx_put_locked(struct serial *s, uint8_t byte)
{
	/* The write takes the interrupt back (datasheet, table IV). Tell the line, even if THR is empty again
	 * a moment later: a driver that does not read IIR in between needs the edge. */
	s->thre_pending = false;
	serial_update_irq_locked(s);
	s->polls = 0;
	if (s->mcr & MCR_LOOP) {
		serial_rx_push_locked(s, byte, 0);
		serial_rx_schedule_locked(s);
		s->thre_pending = !s->tx_len;
	} else if (!s->chr) {
		s->thre_pending = true;
	} else if (s->tx_len == serial_fifo_depth(s)) {
		s->lost_bytes++;
		log_warn_once(&s->warned, "%s: the guest writes faster than output is taken; bytes are lost",
			      s->name);
	} else {
		s->tx[s->tx_len++] = byte;
		serial_tx_drain_locked(s);
	}
}

void serial_tx_clear_locked(struct serial *s)
{
	if (s->tx_len)
		s->thre_pending = true;
	s->tx_len = 0;
}
