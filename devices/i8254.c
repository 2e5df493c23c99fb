/*
 * The 8254's registers and interrupts. Nothing ticks: counts and outputs are computed from the clock when somebody
 * looks, and the host's timer runs for channel 0 alone. What a channel computes is i8254_channel.c's business.
 */
#include "devices/i8254.h"

#include "devices/bytewise.h"
#include "devices/i8254_internal.h"

#define NS_PER_S 1000000000ull

/*
 * A guest that asks for more interrupts than this costs the host and gets none of its work done; what it asked
 * beyond is lost. KVM draws the line at the same place (min_timer_period_us, Linux 6.12, arch/x86/kvm/x86.c).
 */
#define MIN_PERIOD_NS 200000ull

/* Interrupts that a busy host makes up for, each after half a period: enough for a clock, no flood. */
enum { MAX_OWED = 32 };

enum { GATE2 = 0x01, SPEAKER_WRITABLE = 0x0f, REFRESH = 0x10, OUT2 = 0x20 };
enum { LATCH_COMMAND = 0, READ_BACK = 3 };

static uint64_t now_clocks(void)
{
	uint64_t ns = clock_now_ns();

	return ns / NS_PER_S * I8254_HZ + ns % NS_PER_S * I8254_HZ / NS_PER_S;
}

/* The first nanosecond of a clock, so that now_clocks() says at least this then. */
static uint64_t clocks_to_ns(uint64_t clocks)
{
	return clocks / I8254_HZ * NS_PER_S + (clocks % I8254_HZ * NS_PER_S + I8254_HZ - 1) / I8254_HZ;
}

/* --- channel 0's interrupts --- */

/* Count what has been missed, up to now. */
static void catch_up_locked(struct i8254 *t, uint64_t now)
{
	struct i8254_channel *c = &t->channel[0];
	uint64_t edges = 0;

	if (c->reload && c->counting && now >= c->reload_at) {
		edges = i8254_channel_edges(c, t->seen, c->reload_at);
		t->seen = MAX(t->seen, c->reload_at);
		i8254_channel_settle(c, now);
	}
	edges += i8254_channel_edges(c, t->seen, now);
	t->seen = now;
	t->owed = (unsigned int)MIN(t->owed + edges, (uint64_t)MAX_OWED);
}

static void schedule_locked(struct i8254 *t, uint64_t now)
{
	const struct i8254_channel *c = &t->channel[0];
	uint64_t at = i8254_channel_next_edge(c, now), now_ns = clock_now_ns(), at_ns, delay;

	if (at == UINT64_MAX && !t->owed) {
		loop_timer_disarm(&t->timer);
		return;
	}
	if (t->owed && at != UINT64_MAX)
		at = MIN(at, now + c->count / 2);
	at_ns = at == UINT64_MAX ? 0 : clocks_to_ns(at);
	delay = at_ns > now_ns ? at_ns - now_ns : 0;
	loop_timer_arm(&t->timer, i8254_channel_is_periodic(c) ? MAX(delay, MIN_PERIOD_NS) : delay);
}

static void timer_expired(void *ctx)
{
	struct i8254 *t = ctx;
	uint64_t now;

	pthread_mutex_lock(&t->lock);
	now = now_clocks();
	catch_up_locked(t, now);
	if (t->owed) {
		t->owed--;
		irq_line_set(&t->irq, true);
		irq_line_set(&t->irq, false);
	}
	/* Faster than can be delivered: what is left has no meaning. */
	if (i8254_channel_is_periodic(&t->channel[0]) && clocks_to_ns(t->channel[0].count) < MIN_PERIOD_NS)
		t->owed = 0;
	schedule_locked(t, now);
	pthread_mutex_unlock(&t->lock);
}

/* Channel 0 has been given a new life: what the old one owed is forgotten. */
static void restart_locked(struct i8254 *t, uint64_t now)
{
	t->seen = now;
	t->owed = 0;
	schedule_locked(t, now);
}

/* --- registers --- */

static void counter_write_locked(struct i8254 *t, unsigned int which, uint8_t val)
{
	struct i8254_channel *c = &t->channel[which];
	uint64_t now = now_clocks();
	bool was_reload;

	if (which == 0)
		catch_up_locked(t, now);
	i8254_channel_settle(c, now);
	if (c->access == 3 && !c->write_high) {
		c->low = val;
		c->write_high = true;
		if (c->mode == 0) { /* the first byte stops the counting (datasheet, mode 0) */
			c->stopped_after = 0;
			c->counting = false;
		}
		return;
	}
	was_reload = i8254_channel_is_periodic(c) && c->count && c->counting;
	if (c->access == 3)
		i8254_channel_write(c, (uint16_t)(val << 8 | c->low), now);
	else
		i8254_channel_write(c, (uint16_t)(c->access == 2 ? val << 8 : val), now);
	c->write_high = false;
	if (which != 0)
		return;
	if (was_reload)
		schedule_locked(t, now); /* the running period ends as it would have */
	else
		restart_locked(t, now);
}

static uint8_t counter_read_locked(struct i8254 *t, unsigned int which)
{
	struct i8254_channel *c = &t->channel[which];
	uint64_t now = now_clocks();
	uint16_t val;
	bool high;

	if (which == 0)
		catch_up_locked(t, now);
	i8254_channel_settle(c, now);
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	val = c->latched ? c->latch : i8254_channel_count(c, now);
	high = c->access == 2 || (c->access == 3 && c->read_high);
	if (c->access == 3)
		c->read_high = !c->read_high;
	if (c->latched)
		c->latched--;
	return (uint8_t)(high ? val >> 8 : val);
}

/* A latched count stays until it is read: a second latch command does nothing (datasheet, "Counter Latch"). */
static void latch_count(struct i8254_channel *c, uint64_t now)
{
	if (c->latched)
		return;
	c->latch = i8254_channel_count(c, now);
	c->latched = c->access == 3 && !c->read_high ? 2 : 1;
}

static void latch_status(struct i8254_channel *c, uint64_t now)
{
	if (c->status_latched)
		return;
	c->status = (uint8_t)(i8254_channel_output(c, now) << 7 | c->null_count << 6 | c->access << 4 |
			      c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static void read_back_locked(struct i8254 *t, uint8_t val, uint64_t now)
{
	for (unsigned int i = 0; i < I8254_NR_CHANNELS; i++) {
		if (!(val & 2u << i))
			continue;
		if (i == 0)
			catch_up_locked(t, now);
		i8254_channel_settle(&t->channel[i], now);
		if (!(val & 0x20)) /* both bits are active low */
			latch_count(&t->channel[i], now);
		if (!(val & 0x10))
			latch_status(&t->channel[i], now);
	}
}

static void control_write_locked(struct i8254 *t, uint8_t val)
{
	unsigned int which = val >> 6, access = val >> 4 & 3, mode = val >> 1 & 7;
	uint64_t now = now_clocks();
	struct i8254_channel *c;

	if (which == READ_BACK) {
		read_back_locked(t, val, now);
		return;
	}
	c = &t->channel[which];
	if (which == 0)
		catch_up_locked(t, now);
	i8254_channel_settle(c, now);
	if (access == LATCH_COMMAND) {
		latch_count(c, now);
		return;
	}
	if (mode >= 6) /* they are 2 and 3 (datasheet, "Control Word Format") */
		mode -= 4;
	*c = (struct i8254_channel){
		.mode = (uint8_t)mode,
		.access = (uint8_t)access,
		.bcd = val & 1,
		.gate = c->gate,
		.null_count = true,
	};
	if (which == 0)
		restart_locked(t, now);
}

static uint8_t i8254_read8_locked(void *dev, uint64_t off)
{
	return off < I8254_NR_CHANNELS ? counter_read_locked(dev, (unsigned int)off) : 0xff;
}

static void i8254_write8_locked(void *dev, uint64_t off, uint8_t val)
{
	if (off < I8254_NR_CHANNELS)
		counter_write_locked(dev, (unsigned int)off, val);
	else if (off == I8254_NR_CHANNELS)
		control_write_locked(dev, val);
}

static uint64_t i8254_read(void *dev, uint64_t off, unsigned int size)
{
	struct i8254 *t = dev;
	uint64_t val;

	pthread_mutex_lock(&t->lock);
	val = bytewise_read(t, off, size, i8254_read8_locked);
	pthread_mutex_unlock(&t->lock);
	return val;
}

static void i8254_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct i8254 *t = dev;

	pthread_mutex_lock(&t->lock);
	bytewise_write(t, off, size, val, i8254_write8_locked);
	pthread_mutex_unlock(&t->lock);
}

const struct io_ops i8254_io_ops = { .read = i8254_read, .write = i8254_write };

/* --- port 0x61 --- */

static uint64_t port61_read(void *dev, uint64_t off, unsigned int size)
{
	struct i8254 *t = dev;
	uint64_t now;
	uint8_t val;

	(void)off;
	(void)size;
	pthread_mutex_lock(&t->lock);
	now = now_clocks();
	i8254_channel_settle(&t->channel[2], now);
	val = t->speaker;
	/* The refresh request toggles every 15 us (PC/AT Technical Reference): channel 1, whatever it is set to. */
	if (now / 18 % 2)
		val |= REFRESH;
	if (i8254_channel_output(&t->channel[2], now))
		val |= OUT2;
	pthread_mutex_unlock(&t->lock);
	return val;
}

static void port61_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct i8254 *t = dev;

	(void)off;
	(void)size;
	pthread_mutex_lock(&t->lock);
	t->speaker = (uint8_t)val & SPEAKER_WRITABLE;
	i8254_channel_gate(&t->channel[2], val & GATE2, now_clocks());
	pthread_mutex_unlock(&t->lock);
}

const struct io_ops i8254_port61_io_ops = { .read = port61_read, .write = port61_write };

/* --- life --- */

static void i8254_reset(void *dev)
{
	struct i8254 *t = dev;

	pthread_mutex_lock(&t->lock);
	for (unsigned int i = 0; i < I8254_NR_CHANNELS; i++)
		t->channel[i] = (struct i8254_channel){ .access = 3, .gate = i != 2, .null_count = true };
	t->speaker = 0;
	irq_line_set(&t->irq, false);
	restart_locked(t, now_clocks());
	pthread_mutex_unlock(&t->lock);
}

static void i8254_save(void *dev, struct buf *b)
{
	struct i8254 *t = dev;
	uint64_t now;

	pthread_mutex_lock(&t->lock);
	now = now_clocks();
	catch_up_locked(t, now);
	for (unsigned int i = 0; i < I8254_NR_CHANNELS; i++) {
		i8254_channel_settle(&t->channel[i], now);
		i8254_channel_save(&t->channel[i], b, now);
	}
	buf_put8(b, t->speaker);
	pthread_mutex_unlock(&t->lock);
}

static int i8254_load(void *dev, struct state_reader *r, struct err *e)
{
	struct i8254 *t = dev;
	uint64_t now;

	(void)e; /* any bytes are a state; a short body is found by state_close() */
	pthread_mutex_lock(&t->lock);
	now = now_clocks();
	for (unsigned int i = 0; i < I8254_NR_CHANNELS; i++)
		i8254_channel_load(&t->channel[i], r, now);
	t->speaker = state_get8(r) & SPEAKER_WRITABLE;
	t->channel[0].gate = t->channel[1].gate = true;
	t->channel[2].gate = t->speaker & GATE2;
	restart_locked(t, now);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

const struct dev_ops i8254_dev_ops = {
	.version = 1,
	.reset = i8254_reset,
	.save = i8254_save,
	.load = i8254_load,
};

int i8254_init(struct i8254 *t, struct irq_line irq, struct loop *loop, struct err *e)
{
	int rc;

	*t = (struct i8254){ .irq = irq, .loop = loop, .timer = { .fd = -1 } };
	rc = loop_timer_init(loop, &t->timer, timer_expired, t, e);
	if (rc < 0)
		return rc;
	pthread_mutex_init(&t->lock, NULL);
	i8254_reset(t);
	return 0;
}

void i8254_fini(struct i8254 *t)
{
	loop_timer_fini(t->loop, &t->timer);
	pthread_mutex_destroy(&t->lock);
}
