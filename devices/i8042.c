/*
 * The keyboard controller's commands. There is no keyboard, no mouse and no scan code in here.
 *
 * How guests find out that nothing is plugged in, without waiting:
 *  - port tests (0xab, 0xa9) answer 4, "data line stuck high": SeaBIOS 1.16 stops at any error; Linux 6.1
 *    takes 0, 0xfa and 0xff for a working mouse port, FreeBSD 14 also 1 to 3, so 4 is the least ambiguous;
 *  - the mouse loop (0xd3) comes back without AUXDATA, which Linux 6.1 (i8042_command()) takes as "no mouse
 *    port";
 *  - a byte for a device is answered by 0xfe with the timeout bit, as the controller does when no device
 *    clocks it.
 */
#include "devices/i8042.h"

enum {
	ST_OBF = 0x01, ST_SYSTEM = 0x04, ST_COMMAND = 0x08, ST_UNLOCKED = 0x10, ST_AUX = 0x20,
	ST_TIMEOUT = 0x40, ST_ANSWER = ST_OBF | ST_AUX | ST_TIMEOUT,

	CFG_KBD_IRQ = 0x01, CFG_SYSTEM = 0x04, CFG_KBD_OFF = 0x10, CFG_AUX_OFF = 0x20, CFG_TRANSLATE = 0x40,

	CMD_READ_CONFIG = 0x20, CMD_READ_RAM_LAST = 0x3f, CMD_WRITE_CONFIG = 0x60, CMD_WRITE_RAM_LAST = 0x7f,
	CMD_AUX_OFF = 0xa7, CMD_AUX_ON = 0xa8, CMD_AUX_TEST = 0xa9, CMD_SELF_TEST = 0xaa, CMD_KBD_TEST = 0xab,
	CMD_KBD_OFF = 0xad, CMD_KBD_ON = 0xae, CMD_READ_INPUT = 0xc0, CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1, CMD_KBD_LOOP = 0xd2, CMD_AUX_LOOP = 0xd3, CMD_AUX_SEND = 0xd4,
	CMD_PULSE = 0xf0,

	SELF_TEST_OK = 0x55, TEST_STUCK_HIGH = 0x04, ANSWER_RESEND = 0xfe,
	INPUT_UNLOCKED = 0x80,
	OUTPUT_NO_RESET = 0x01, OUTPUT_A20 = 0x02, OUTPUT_OBF = 0x10,

	PORT92_RESET = 0x01, PORT92_A20 = 0x02,
};

static void update_irq_locked(struct i8042 *k)
{
	bool level = (k->config & CFG_KBD_IRQ) && (k->status & ST_OBF) && !(k->status & ST_AUX);

	if (level == k->irq_level)
		return;
	k->irq_level = level;
	irq_line_set(&k->irq, level);
}

/* Put a byte where port 0x60 finds it; one that nobody took is replaced. */
static void answer_locked(struct i8042 *k, uint8_t byte, uint8_t how)
{
	k->output = byte;
	k->status = (uint8_t)((k->status & ~ST_ANSWER) | ST_OBF | how);
	/* The line falls for a moment, so that a second answer is a second edge. */
	k->irq_level = false;
	irq_line_set(&k->irq, false);
	update_irq_locked(k);
}

/* Returns whether the reset line was pulled. */
static bool command_locked(struct i8042 *k, uint8_t cmd)
{
	k->pending = 0;
	k->status |= ST_COMMAND;
	switch (cmd) {
	case CMD_READ_CONFIG:
		answer_locked(k, k->config, 0);
		break;
	case CMD_READ_CONFIG + 1 ... CMD_READ_RAM_LAST:
		answer_locked(k, 0, 0);
		break;
	case CMD_WRITE_CONFIG ... CMD_WRITE_RAM_LAST:
	case CMD_WRITE_OUTPUT ... CMD_AUX_SEND:
		k->pending = cmd;
		break;
	case CMD_AUX_OFF:
		k->config |= CFG_AUX_OFF;
		break;
	case CMD_AUX_ON:
		k->config &= (uint8_t)~CFG_AUX_OFF;
		break;
	case CMD_AUX_TEST:
	case CMD_KBD_TEST:
		answer_locked(k, TEST_STUCK_HIGH, 0);
		break;
	case CMD_SELF_TEST:
		k->status |= ST_SYSTEM;
		answer_locked(k, SELF_TEST_OK, 0);
		break;
	case CMD_KBD_OFF:
		k->config |= CFG_KBD_OFF;
		break;
	case CMD_KBD_ON:
		k->config &= (uint8_t)~CFG_KBD_OFF;
		break;
	case CMD_READ_INPUT:
		answer_locked(k, INPUT_UNLOCKED, 0);
		break;
	case CMD_READ_OUTPUT:
		answer_locked(k, OUTPUT_NO_RESET | OUTPUT_A20 | (k->status & ST_OBF ? OUTPUT_OBF : 0), 0);
		break;
	case CMD_PULSE ... 0xff: /* bits 3-0: lines to leave alone; bit 0 is the reset line */
		return !(cmd & 1);
	default: /* not a command */
		break;
	}
	return false;
}

/* Returns whether the reset line was pulled. */
static bool data_locked(struct i8042 *k, uint8_t val)
{
	uint8_t cmd = k->pending;

	k->pending = 0;
	k->status &= (uint8_t)~ST_COMMAND;
	switch (cmd) {
	case 0: /* for the keyboard */
		answer_locked(k, ANSWER_RESEND, ST_TIMEOUT);
		return false;
	case CMD_WRITE_CONFIG:
		k->config = val;
		k->status = (uint8_t)((k->status & ~ST_SYSTEM) | (val & CFG_SYSTEM ? ST_SYSTEM : 0));
		update_irq_locked(k);
		return false;
	case CMD_WRITE_OUTPUT:
		return !(val & OUTPUT_NO_RESET);
	case CMD_KBD_LOOP:
	case CMD_AUX_LOOP:
		answer_locked(k, val, 0);
		return false;
	case CMD_AUX_SEND:
		answer_locked(k, ANSWER_RESEND, ST_TIMEOUT | ST_AUX);
		return false;
	default: /* controller RAM that nothing reads */
		return false;
	}
}

/* The upper bytes of a wider access reach ports that are not ours. */
static uint64_t as_byte_port(uint8_t val, uint64_t off, unsigned int size)
{
	return off ? ones(size) : (ones(size) & ~0xffull) | val;
}

static uint64_t data_read(void *dev, uint64_t off, unsigned int size)
{
	struct i8042 *k = dev;
	uint8_t val;

	pthread_mutex_lock(&k->lock);
	val = k->output;
	if (off == 0)
		k->status &= (uint8_t)~ST_ANSWER;
	update_irq_locked(k);
	pthread_mutex_unlock(&k->lock);
	return as_byte_port(val, off, size);
}

static uint64_t cmd_read(void *dev, uint64_t off, unsigned int size)
{
	struct i8042 *k = dev;
	uint8_t val;

	pthread_mutex_lock(&k->lock);
	val = k->status | ST_UNLOCKED;
	pthread_mutex_unlock(&k->lock);
	return as_byte_port(val, off, size);
}

static void write_byte(struct i8042 *k, uint64_t off, uint64_t val, bool (*act)(struct i8042 *k, uint8_t val))
{
	bool reset;

	if (off)
		return;
	pthread_mutex_lock(&k->lock);
	reset = act(k, (uint8_t)val);
	pthread_mutex_unlock(&k->lock);
	if (reset)
		k->host->stop(k->host->ctx, STOP_RESET, 0);
}

static void data_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	(void)size;
	write_byte(dev, off, val, data_locked);
}

/* Linux with reboot=k ends here with 0xfe (Documentation/admin-guide/kernel-parameters.txt, v6.1). */
static void cmd_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	(void)size;
	write_byte(dev, off, val, command_locked);
}

static uint64_t port92_read(void *dev, uint64_t off, unsigned int size)
{
	struct i8042 *k = dev;
	uint8_t val;

	pthread_mutex_lock(&k->lock);
	val = k->port92;
	pthread_mutex_unlock(&k->lock);
	return as_byte_port(val, off, size);
}

/* "Alternate hot reset": bit 0 going from 0 to 1. */
static bool port92_locked(struct i8042 *k, uint8_t val)
{
	bool reset = val & ~k->port92 & PORT92_RESET;

	k->port92 = val;
	return reset;
}

static void port92_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	(void)size;
	write_byte(dev, off, val, port92_locked);
}

const struct io_ops i8042_data_io_ops = { .read = data_read, .write = data_write };
const struct io_ops i8042_cmd_io_ops = { .read = cmd_read, .write = cmd_write };
const struct io_ops i8042_port92_io_ops = { .read = port92_read, .write = port92_write };

/* As firmware leaves it: tested, translating, both devices off. */
static void i8042_reset(void *dev)
{
	struct i8042 *k = dev;

	pthread_mutex_lock(&k->lock);
	k->config = CFG_SYSTEM | CFG_KBD_OFF | CFG_AUX_OFF | CFG_TRANSLATE;
	k->status = ST_SYSTEM;
	k->output = 0;
	k->pending = 0;
	k->port92 = PORT92_A20;
	k->irq_level = false;
	irq_line_set(&k->irq, false);
	pthread_mutex_unlock(&k->lock);
}

static void i8042_save(void *dev, struct buf *b)
{
	struct i8042 *k = dev;

	pthread_mutex_lock(&k->lock);
	buf_put8(b, k->config);
	buf_put8(b, k->status);
	buf_put8(b, k->output);
	buf_put8(b, k->pending);
	buf_put8(b, k->port92);
	pthread_mutex_unlock(&k->lock);
}

static int i8042_load(void *dev, struct state_reader *r, struct err *e)
{
	struct i8042 *k = dev;

	(void)e; /* any bytes are a state */
	pthread_mutex_lock(&k->lock);
	k->config = state_get8(r);
	k->status = state_get8(r) & (ST_ANSWER | ST_SYSTEM | ST_COMMAND);
	k->output = state_get8(r);
	k->pending = state_get8(r);
	k->port92 = state_get8(r);
	k->irq_level = false;
	irq_line_set(&k->irq, false);
	update_irq_locked(k);
	pthread_mutex_unlock(&k->lock);
	return 0;
}

const struct dev_ops i8042_dev_ops = {
	.version = 1,
	.reset = i8042_reset,
	.save = i8042_save,
	.load = i8042_load,
};

void i8042_init(struct i8042 *k, struct irq_line irq, const struct dev_host *host)
{
	*k = (struct i8042){ .irq = irq, .host = host };
	pthread_mutex_init(&k->lock, NULL);
	i8042_reset(k);
}

void i8042_fini(struct i8042 *k)
{
	pthread_mutex_destroy(&k->lock);
}
