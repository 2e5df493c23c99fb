/* The debug exit port. It does not end the process: main() does. */
#include "devices/debug_exit.h"

static uint64_t debug_exit_read(void *dev, uint64_t off, unsigned int size)
{
	(void)dev, (void)size;
	return off < DEBUG_EXIT_WINDOW ? 0 : ones(size);
}

static void debug_exit_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct debug_exit *d = dev;

	if (off < DEBUG_EXIT_WINDOW)
		d->host->stop(d->host->ctx, STOP_DEBUG_EXIT, (int)(uint32_t)(val & ones(size)));
}

const struct io_ops debug_exit_io_ops = { .read = debug_exit_read, .write = debug_exit_write };

static void debug_exit_reset(void *dev)
{
	(void)dev;
}

const struct dev_ops debug_exit_dev_ops = { .version = 1, .reset = debug_exit_reset };

void debug_exit_init(struct debug_exit *d, const struct dev_host *host)
{
	*d = (struct debug_exit){ .host = host };
}
