/* The pvpanic port. It knows that a guest crashed, never why. */
#include "devices/pvpanic.h"

#include "vmm/base/log.h"

/* Newer revisions have bit 2, a regular shutdown: not offered, ACPI S5 says the same. */
enum { PANICKED = 0x01, CRASH_LOADED = 0x02 };

static uint64_t pvpanic_read(void *dev, uint64_t off, unsigned int size)
{
	(void)dev;
	return off ? ones(size) : (ones(size) & ~0xffull) | PANICKED | CRASH_LOADED;
}

static void pvpanic_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct pvpanic *p = dev;
	bool tell;

	(void)size;
	if (off)
		return;
	if (val & PANICKED) {
		p->host->stop(p->host->ctx, STOP_PANIC, 0);
		return;
	}
	if (!(val & CRASH_LOADED))
		return;
	pthread_mutex_lock(&p->lock);
	tell = !p->told;
	p->told = true;
	pthread_mutex_unlock(&p->lock);
	if (tell)
		log_info("pvpanic: the guest crashed and goes on in its crash kernel");
}

const struct io_ops pvpanic_io_ops = { .read = pvpanic_read, .write = pvpanic_write };

static void pvpanic_reset(void *dev)
{
	struct pvpanic *p = dev;

	pthread_mutex_lock(&p->lock);
	p->told = false;
	pthread_mutex_unlock(&p->lock);
}

const struct dev_ops pvpanic_dev_ops = { .version = 1, .reset = pvpanic_reset };

void pvpanic_init(struct pvpanic *p, const struct dev_host *host)
{
	*p = (struct pvpanic){ .host = host };
	pthread_mutex_init(&p->lock, NULL);
}

void pvpanic_fini(struct pvpanic *p)
{
	pthread_mutex_destroy(&p->lock);
}
