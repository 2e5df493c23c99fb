/*
 * Registers and priorities of the 8259A pair. The slave's output is the master's input 2, at any time.
 */
#include "devices/i8259.h"

#include "devices/bytewise.h"

enum { MASTER, SLAVE };

enum {
	ICW1 = 0x10,
	ICW1_IC4 = 0x01,
	ICW1_SINGLE = 0x02,
	ICW4_AUTO_EOI = 0x02,
	ICW4_NESTED = 0x10,
	OCW3 = 0x08,
	OCW3_POLL = 0x04,
	SPURIOUS = 7,
};

/* IRQ 0, 1, 2, 8 and 13 belong to the board and stay edge-triggered (ICH9 datasheet, 13.4.9, 13.4.10). */
static const uint8_t elcr_writable[2] = { 0xf8, 0xde };

/* Rank of the most important input among mask: 0 is the highest priority, 8 when mask is empty. */
static unsigned int rank_of(const struct i8259_chip *c, uint8_t mask)
{
	unsigned int rank = 0;

	while (rank < 8 && !(mask & 1u << ((c->lowest + 1 + rank) & 7)))
		rank++;
	return rank;
}

static unsigned int input_of(const struct i8259_chip *c, unsigned int rank)
{
	return (c->lowest + 1 + rank) & 7;
}

/* The input which the chip asks its master or processor to serve now, or -1. */
static int wanted(const struct i8259 *p, unsigned int which)
{
	const struct i8259_chip *c = &p->chip[which];
	uint8_t busy = c->isr;
	unsigned int rank = rank_of(c, c->irr & (uint8_t)~c->imr);

	if (c->special_mask) /* masked inputs in service inhibit nobody (datasheet, "Special Mask Mode") */
		busy &= (uint8_t)~c->imr;
	if (c->special_nested && which == MASTER) /* the slave may interrupt itself */
		busy &= (uint8_t) ~(1u << I8259_CASCADE);
	return rank < rank_of(c, busy) ? (int)input_of(c, rank) : -1;
}

/* An input's level has changed. */
static void chip_set_line(struct i8259_chip *c, unsigned int input, bool level)
{
	uint8_t bit = (uint8_t)(1u << input);

	if (c->elcr & bit)
		c->irr = level ? c->irr | bit : c->irr & (uint8_t)~bit;
	else if (level && !(c->lines & bit))
		c->irr |= bit;
	c->lines = level ? c->lines | bit : c->lines & (uint8_t)~bit;
}

/* The cascade is one board's wire between two chips: the request lives exactly as long as the slave's output. */
static void update_locked(struct i8259 *p)
{
	struct i8259_chip *master = &p->chip[MASTER];
	bool level;

	if (wanted(p, SLAVE) >= 0)
		master->irr |= 1u << I8259_CASCADE;
	else
		master->irr &= (uint8_t) ~(1u << I8259_CASCADE);
	level = wanted(p, MASTER) >= 0;
	if (level == p->out_level)
		return;
	p->out_level = level;
	irq_line_set(&p->out, level);
}

void i8259_set_line(struct i8259 *p, unsigned int line, bool level)
{
	if (line == I8259_CASCADE)
		return;
	pthread_mutex_lock(&p->lock);
	chip_set_line(&p->chip[line / 8], line % 8, level);
	update_locked(p);
	pthread_mutex_unlock(&p->lock);
}

/* Begin to serve an input. */
static void chip_take(struct i8259_chip *c, unsigned int input)
{
	uint8_t bit = (uint8_t)(1u << input);

	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_on_auto_eoi)
		c->lowest = (uint8_t)input;
	if (!(c->elcr & bit))
		c->irr &= (uint8_t)~bit;
}

/* Take what the chip wants, or the spurious input, which does not count as being served. */
static unsigned int take_wanted(struct i8259 *p, unsigned int which)
{
	int input = wanted(p, which);

	if (input < 0)
		return SPURIOUS;
	chip_take(&p->chip[which], (unsigned int)input);
	return (unsigned int)input;
}

uint8_t i8259_ack(struct i8259 *p)
{
	unsigned int which = MASTER, input;
	uint8_t vector;

	pthread_mutex_lock(&p->lock);
	input = take_wanted(p, MASTER);
	if (input == I8259_CASCADE) {
		which = SLAVE;
		input = take_wanted(p, SLAVE);
	}
	vector = (uint8_t)(p->chip[which].base + input);
	update_locked(p);
	pthread_mutex_unlock(&p->lock);
	return vector;
}

/* --- registers --- */

/*
 * ICW1 (datasheet, "Initialization Command Words"). Edges seen so far are forgotten, and an input must fall
 * before it can make another; level-triggered inputs ask on.
 */
static void initialize(struct i8259_chip *c, uint8_t val)
{
	c->irr = c->lines & c->elcr;
	c->imr = c->isr = 0;
	c->lowest = 7;
	c->auto_eoi = c->rotate_on_auto_eoi = false;
	c->special_mask = c->special_nested = false;
	c->read_isr = c->poll = false;
	c->icw4 = val & ICW1_IC4;
	c->single = val & ICW1_SINGLE;
	c->icw = 2;
}

/* OCW2 (datasheet, "OCW2"): end of interrupt, rotation, priority. */
static void ocw2(struct i8259_chip *c, uint8_t val)
{
	bool rotate = val & 0x80, specific = val & 0x40, eoi = val & 0x20;
	unsigned int input = val & 7, rank;

	if (!specific && !eoi) {
		c->rotate_on_auto_eoi = rotate;
		return;
	}
	if (!specific) {
		/* In special mask mode it does not clear what is masked. */
		rank = rank_of(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
		if (rank == 8)
			return;
		input = input_of(c, rank);
	}
	if (eoi)
		c->isr &= (uint8_t) ~(1u << input);
	if (rotate)
		c->lowest = (uint8_t)input;
}

static void ocw3(struct i8259_chip *c, uint8_t val)
{
	if (val & 0x02)
		c->read_isr = val & 0x01;
	if (val & 0x40)
		c->special_mask = val & 0x20;
	c->poll = val & OCW3_POLL;
}

/* ICW2, 3, 4 in a row, then OCW1. ICW3 says how the board is wired, which is known. */
static void data_write(struct i8259_chip *c, uint8_t val)
{
	uint8_t last = c->icw4 ? 4 : 0;

	switch (c->icw) {
	case 2:
		c->base = val & 0xf8;
		c->icw = c->single ? last : 3;
		break;
	case 3:
		c->icw = last;
		break;
	case 4:
		c->auto_eoi = val & ICW4_AUTO_EOI;
		c->special_nested = val & ICW4_NESTED;
		c->icw = 0;
		break;
	default:
		c->imr = val;
		break;
	}
}

/* Reading after a poll command acknowledges (datasheet, "Poll Command"). */
static uint8_t poll_read(struct i8259 *p, unsigned int which)
{
	p->chip[which].poll = false;
	if (wanted(p, which) < 0)
		return 0;
	return (uint8_t)(0x80 | take_wanted(p, which));
}

static uint8_t read8_locked(struct i8259 *p, unsigned int which, uint64_t off)
{
	const struct i8259_chip *c = &p->chip[which];
	uint8_t val;

	if (off > 1)
		return 0xff;
	if (c->poll) {
		val = poll_read(p, which);
		update_locked(p);
		return val;
	}
	if (off == 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static void write8_locked(struct i8259 *p, unsigned int which, uint64_t off, uint8_t val)
{
	struct i8259_chip *c = &p->chip[which];

	if (off > 1)
		return;
	if (off == 1)
		data_write(c, val);
	else if (val & ICW1)
		initialize(c, val);
	else if (val & OCW3)
		ocw3(c, val);
	else
		ocw2(c, val);
	update_locked(p);
}

static uint8_t master_read8_locked(void *dev, uint64_t off)
{
	return read8_locked(dev, MASTER, off);
}

static uint8_t slave_read8_locked(void *dev, uint64_t off)
{
	return read8_locked(dev, SLAVE, off);
}

static uint8_t elcr_read8_locked(void *dev, uint64_t off)
{
	const struct i8259 *p = dev;

	return off > 1 ? 0xff : p->chip[off].elcr;
}

static void master_write8_locked(void *dev, uint64_t off, uint8_t val)
{
	write8_locked(dev, MASTER, off, val);
}

static void slave_write8_locked(void *dev, uint64_t off, uint8_t val)
{
	write8_locked(dev, SLAVE, off, val);
}

static void elcr_write8_locked(void *dev, uint64_t off, uint8_t val)
{
	struct i8259 *p = dev;

	if (off > 1)
		return;
	p->chip[off].elcr = val & elcr_writable[off];
	p->chip[off].irr |= p->chip[off].lines & p->chip[off].elcr; /* a level that is there already counts */
	update_locked(p);
}

static uint64_t locked_read(struct i8259 *p, uint64_t off, unsigned int size,
			    uint8_t (*read8)(void *, uint64_t))
{
	uint64_t val;

	pthread_mutex_lock(&p->lock);
	val = bytewise_read(p, off, size, read8);
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void locked_write(struct i8259 *p, uint64_t off, unsigned int size, uint64_t val,
			 void (*write8)(void *, uint64_t, uint8_t))
{
	pthread_mutex_lock(&p->lock);
	bytewise_write(p, off, size, val, write8);
	pthread_mutex_unlock(&p->lock);
}

static uint64_t master_read(void *dev, uint64_t off, unsigned int size)
{
	return locked_read(dev, off, size, master_read8_locked);
}

static void master_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	locked_write(dev, off, size, val, master_write8_locked);
}

static uint64_t slave_read(void *dev, uint64_t off, unsigned int size)
{
	return locked_read(dev, off, size, slave_read8_locked);
}

static void slave_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	locked_write(dev, off, size, val, slave_write8_locked);
}

static uint64_t elcr_read(void *dev, uint64_t off, unsigned int size)
{
	return locked_read(dev, off, size, elcr_read8_locked);
}

static void elcr_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	locked_write(dev, off, size, val, elcr_write8_locked);
}

const struct io_ops i8259_master_io_ops = { .read = master_read, .write = master_write };
const struct io_ops i8259_slave_io_ops = { .read = slave_read, .write = slave_write };
const struct io_ops i8259_elcr_io_ops = { .read = elcr_read, .write = elcr_write };

/* --- life --- */

static void i8259_reset(void *dev)
{
	struct i8259 *p = dev;

	pthread_mutex_lock(&p->lock);
	for (unsigned int i = 0; i < 2; i++)
		p->chip[i] = (struct i8259_chip){ .lines = p->chip[i].lines, .lowest = 7 };
	p->out_level = false;
	irq_line_set(&p->out, false);
	pthread_mutex_unlock(&p->lock);
}

/* Bits of the byte that holds a chip's modes. */
enum {
	F_ICW4 = 1,
	F_AUTO_EOI = 2,
	F_ROTATE = 4,
	F_MASK = 8,
	F_NESTED = 16,
	F_ISR = 32,
	F_POLL = 64,
	F_SINGLE = 128
};

static void i8259_save(void *dev, struct buf *b)
{
	struct i8259 *p = dev;

	pthread_mutex_lock(&p->lock);
	for (unsigned int i = 0; i < 2; i++) {
		const struct i8259_chip *c = &p->chip[i];
		const uint8_t bytes[] = {
			c->lines,
			c->irr,
			c->imr,
			c->isr,
			c->elcr,
			c->base,
			c->lowest,
			c->icw,
			(uint8_t)(F_ICW4 * c->icw4 | F_AUTO_EOI * c->auto_eoi |
				  F_ROTATE * c->rotate_on_auto_eoi | F_MASK * c->special_mask |
				  F_NESTED * c->special_nested | F_ISR * c->read_isr | F_POLL * c->poll |
				  F_SINGLE * c->single),
		};

		buf_put(b, bytes, sizeof(bytes));
	}
	pthread_mutex_unlock(&p->lock);
}

static void chip_load(struct i8259_chip *c, struct state_reader *r, uint8_t elcr_mask)
{
	uint8_t modes;

	c->lines = state_get8(r);
	c->irr = state_get8(r);
	c->imr = state_get8(r);
	c->isr = state_get8(r);
	c->elcr = state_get8(r) & elcr_mask;
	c->base = state_get8(r) & 0xf8;
	c->lowest = state_get8(r) & 7;
	c->icw = state_get8(r) % 5;
	modes = state_get8(r);
	c->icw4 = modes & F_ICW4;
	c->auto_eoi = modes & F_AUTO_EOI;
	c->rotate_on_auto_eoi = modes & F_ROTATE;
	c->special_mask = modes & F_MASK;
	c->special_nested = modes & F_NESTED;
	c->read_isr = modes & F_ISR;
	c->poll = modes & F_POLL;
	c->single = modes & F_SINGLE;
}

static int i8259_load(void *dev, struct state_reader *r, struct err *e)
{
	struct i8259 *p = dev;

	(void)e; /* any bytes are a state; a short body is found by state_close() */
	pthread_mutex_lock(&p->lock);
	for (unsigned int i = 0; i < 2; i++)
		chip_load(&p->chip[i], r, elcr_writable[i]);
	update_locked(p);
	irq_line_set(&p->out, p->out_level);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

const struct dev_ops i8259_dev_ops = {
	.version = 1,
	.reset = i8259_reset,
	.save = i8259_save,
	.load = i8259_load,
};

void i8259_init(struct i8259 *p, struct irq_line out)
{
	*p = (struct i8259){ .out = out };
	pthread_mutex_init(&p->lock, NULL);
	i8259_reset(p);
}

void i8259_fini(struct i8259 *p)
{
	pthread_mutex_destroy(&p->lock);
}
