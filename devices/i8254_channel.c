/*
 * One channel of the 8254: its count, its output and its gate, computed from the clock. A load takes effect at
 * once, not with the next clock; in mode 3 a new count takes over at the end of the period, not of its half.
 */
#include "devices/i8254_internal.h"

bool i8254_channel_is_periodic(const struct i8254_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Clocks since the load. */
static uint64_t elapsed(const struct i8254_channel *c, uint64_t now)
{
	return c->counting ? now - c->start : c->stopped_after;
}

/* A count written while a period runs takes over at its end (datasheet, modes 2 and 3). */
void i8254_channel_settle(struct i8254_channel *c, uint64_t now)
{
	if (!c->reload || !c->counting || now < c->reload_at)
		return;
	c->count = c->next_count;
	c->start = c->reload_at;
	c->reload = c->null_count = false;
}

bool i8254_channel_output(const struct i8254_channel *c, uint64_t now)
{
	uint64_t n = elapsed(c, now);

	if (!c->count) /* never loaded */
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1:
		return n >= c->count;
	case 2:
		return !c->counting || n % c->count != c->count - 1;
	case 3:
		return !c->counting || n % c->count < (c->count + 1) / 2;
	default: /* a strobe of one clock */
		return n != c->count;
	}
}

/* What the counting element shows. */
uint16_t i8254_channel_count(const struct i8254_channel *c, uint64_t now)
{
	uint32_t wrap = c->bcd ? 10000 : 65536, half, val;
	uint64_t n = elapsed(c, now);

	if (!c->count)
		return 0;
	switch (c->mode) {
	case 2:
		val = c->count - (uint32_t)(n % c->count);
		break;
	case 3: /* in steps of two, once with the output high and once low */
		half = (c->count + 1) / 2;
		val = (uint32_t)(n % c->count);
		val = (c->count & ~1u) - 2 * (val < half ? val : val - half);
		break;
	default: /* goes on below zero */
		val = c->count % wrap + wrap - (uint32_t)(n % wrap);
		break;
	}
	val %= wrap;
	if (!c->bcd)
		return (uint16_t)val;
	return (uint16_t)(val / 1000 << 12 | val / 100 % 10 << 8 | val / 10 % 10 << 4 | val % 10);
}

static uint32_t count_decode(const struct i8254_channel *c, uint16_t val)
{
	uint32_t n = val;

	if (c->bcd)
		n = (val >> 12) * 1000u + (val >> 8 & 0xf) * 100u + (val >> 4 & 0xf) * 10u + (val & 0xf);
	if (n == 0)
		return c->bcd ? 10000 : 65536;
	return n;
}

static void load(struct i8254_channel *c, uint64_t now)
{
	c->count = c->next_count;
	c->start = now;
	c->stopped_after = 0;
	c->counting = c->gate || c->mode == 1 || c->mode == 5;
	c->armed = c->reload = c->null_count = false;
}

void i8254_channel_write(struct i8254_channel *c, uint16_t val, uint64_t now)
{
	c->next_count = count_decode(c, val);
	c->null_count = true;
	if (c->mode == 1 || c->mode == 5) {
		c->armed = true; /* until the gate rises */
	} else if (i8254_channel_is_periodic(c) && c->count && c->counting) {
		c->reload = true;
		c->reload_at = c->start + ((now - c->start) / c->count + 1) * c->count;
	} else {
		load(c, now);
	}
}

/* What a gate does depends on the mode (datasheet, figure 21). */
void i8254_channel_gate(struct i8254_channel *c, bool gate, uint64_t now)
{
	bool rises = gate && !c->gate;

	i8254_channel_settle(c, now);
	if (gate == c->gate)
		return;
	c->gate = gate;
	switch (c->mode) {
	case 1:
	case 5:
		if (rises && (c->count || c->armed)) {
			c->next_count = c->armed ? c->next_count : c->count;
			load(c, now);
		}
		break;
	case 2:
	case 3:
		if (rises && c->count) {
			c->next_count = c->reload ? c->next_count : c->count;
			load(c, now);
		} else if (!rises) {
			c->stopped_after = elapsed(c, now);
			c->counting = false;
		}
		break;
	default:
		if (rises)
			c->start = now - c->stopped_after;
		else
			c->stopped_after = elapsed(c, now);
		c->counting = rises && c->count;
		break;
	}
}

/* --- the output's edges --- */

/* Rising edges of the output in (from, to]; nothing but time passes meanwhile. */
uint64_t i8254_channel_edges(const struct i8254_channel *c, uint64_t from, uint64_t to)
{
	uint64_t at;

	if (!c->count || !c->counting || to <= c->start)
		return 0;
	from = MAX(from, c->start);
	if (i8254_channel_is_periodic(c))
		return (to - c->start) / c->count - (from - c->start) / c->count;
	/* Modes 4 and 5 are low for a clock first. */
	at = c->start + c->count + (c->mode >= 4);
	return from < at && at <= to;
}

/* When the next rising edge comes, UINT64_MAX if none. */
uint64_t i8254_channel_next_edge(const struct i8254_channel *c, uint64_t now)
{
	uint64_t at;

	if (!c->count || !c->counting)
		return UINT64_MAX;
	if (i8254_channel_is_periodic(c))
		return c->start + ((now - c->start) / c->count + 1) * c->count;
	at = c->start + c->count + (c->mode >= 4);
	return now < at ? at : UINT64_MAX;
}

/* --- saved state --- */

/* Flags of a channel in its saved form. */
enum {
	F_BCD = 1,
	F_GATE = 2,
	F_ARMED = 4,
	F_COUNTING = 8,
	F_RELOAD = 16,
	F_NULL = 32,
	F_WRITE_HIGH = 64,
	F_READ_HIGH = 128,
	F_STATUS = 256,
};

void i8254_channel_save(const struct i8254_channel *c, struct buf *b, uint64_t now)
{
	buf_put8(b, c->mode);
	buf_put8(b, c->access);
	buf_put16(b, (uint16_t)(F_BCD * c->bcd | F_GATE * c->gate | F_ARMED * c->armed |
				F_COUNTING * c->counting | F_RELOAD * c->reload | F_NULL * c->null_count |
				F_WRITE_HIGH * c->write_high | F_READ_HIGH * c->read_high |
				F_STATUS * c->status_latched));
	buf_put32(b, c->count);
	buf_put32(b, c->next_count);
	buf_put64(b, i8254_channel_is_periodic(c) && c->count ? elapsed(c, now) % c->count : elapsed(c, now));
	buf_put8(b, c->low);
	buf_put8(b, c->latched);
	buf_put16(b, c->latch);
	buf_put8(b, c->status);
}

/* Whatever the bytes say, what comes out is a state that the guest's writes could have made. */
void i8254_channel_load(struct i8254_channel *c, struct state_reader *r, uint64_t now)
{
	uint8_t mode = state_get8(r), access = state_get8(r) & 3;
	uint16_t flags = state_get16(r);
	uint32_t count = state_get32(r), next_count = state_get32(r);
	uint64_t since = state_get64(r);

	c->mode = mode % 6;
	c->access = access ? access : 3;
	c->count = MIN(count, 65536u);
	c->next_count = next_count ? MIN(next_count, 65536u) : 65536;
	c->stopped_after = MIN(since, now);
	c->low = state_get8(r);
	c->latched = state_get8(r) % 3;
	c->latch = state_get16(r);
	c->status = state_get8(r);
	c->bcd = flags & F_BCD;
	c->gate = flags & F_GATE;
	c->armed = flags & F_ARMED;
	c->counting = (flags & F_COUNTING) && c->count;
	c->reload = (flags & F_RELOAD) && c->counting && i8254_channel_is_periodic(c);
	c->null_count = flags & F_NULL;
	c->write_high = flags & F_WRITE_HIGH;
	c->read_high = flags & F_READ_HIGH;
	c->status_latched = flags & F_STATUS;
	c->start = now - c->stopped_after;
	if (c->reload)
		c->reload_at = c->start + ((now - c->start) / c->count + 1) * c->count;
}
