/* Port 0xcf9. It does not reset anything itself: the machine does. */
#include "devices/reset.h"

enum {
	SYS_RST = 0x02, RST_CPU = 0x04, FULL_RST = 0x08,
	KEPT = SYS_RST | RST_CPU | FULL_RST,
};

static uint64_t reset_read(void *dev, uint64_t off, unsigned int size)
{
	struct reset_port *r = dev;
	uint8_t val;

	if (off)
		return ones(size);
	pthread_mutex_lock(&r->lock);
	val = r->control;
	pthread_mutex_unlock(&r->lock);
	return (ones(size) & ~0xffull) | val;
}

/* RST_CPU going from 0 to 1 resets; SYS_RST chooses between kinds that are all the same to us. */
static void reset_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct reset_port *r = dev;
	bool reset;

	(void)size;
	if (off)
		return;
	pthread_mutex_lock(&r->lock);
	reset = val & ~r->control & RST_CPU;
	r->control = val & KEPT;
	pthread_mutex_unlock(&r->lock);
	if (reset)
		r->host->stop(r->host->ctx, STOP_RESET, 0);
}

const struct io_ops reset_port_io_ops = { .read = reset_read, .write = reset_write };

static void reset_port_reset(void *dev)
{
	struct reset_port *r = dev;

	pthread_mutex_lock(&r->lock);
	r->control = 0;
	pthread_mutex_unlock(&r->lock);
}

static void reset_port_save(void *dev, struct buf *b)
{
	struct reset_port *r = dev;

	pthread_mutex_lock(&r->lock);
	buf_put8(b, r->control);
	pthread_mutex_unlock(&r->lock);
}

static int reset_port_load(void *dev, struct state_reader *sr, struct err *e)
{
	struct reset_port *r = dev;

	(void)e; /* any byte is a state */
	pthread_mutex_lock(&r->lock);
	r->control = state_get8(sr) & KEPT;
	pthread_mutex_unlock(&r->lock);
	return 0;
}

const struct dev_ops reset_port_dev_ops = {
	.version = 1,
	.reset = reset_port_reset,
	.save = reset_port_save,
	.load = reset_port_load,
};

void reset_port_init(struct reset_port *r, const struct dev_host *host)
{
	*r = (struct reset_port){ .host = host };
	pthread_mutex_init(&r->lock, NULL);
}

void reset_port_fini(struct reset_port *r)
{
	pthread_mutex_destroy(&r->lock);
}
