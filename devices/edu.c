/*
 * The test device's registers. Interrupt delivery, BARs and the doorbell's place are pci.h's business.
 */
#include "devices/edu.h"

#include <errno.h>

enum {
	EDU_BAR_BYTES = 0x100000,
	EDU_IRQ_FACTORIAL = 0x001,
	EDU_IRQ_DMA = 0x100,
	EDU_STATUS_IRQ = 0x80,
	EDU_DMA_GO = 1,
	EDU_DMA_TO_RAM = 2,
	EDU_DMA_IRQ = 4,
};

/* n! modulo 2^32. From 34 on it has 32 factors of two, so there is nothing to compute. */
static uint32_t factorial(uint32_t n)
{
	uint32_t product = 1;

	if (n >= 34)
		return 0;
	for (; n > 1; n--)
		product *= n;
	return product;
}

static void edu_raise_locked(struct edu *d, uint32_t bits)
{
	d->irq_status |= bits;
	if (!d->irq_status)
		return;
	(void)pci_msi_raise(&d->func, 0); /* false: MSI is off, and INTx speaks */
	pci_intx_set(&d->func, true);
}

static void edu_acknowledge_locked(struct edu *d, uint32_t bits)
{
	d->irq_status &= ~bits;
	if (!d->irq_status)
		pci_intx_set(&d->func, false);
}

static void edu_dma_locked(struct edu *d)
{
	uint64_t device = d->dma_cmd & EDU_DMA_TO_RAM ? d->dma_src : d->dma_dst;
	uint64_t ram = d->dma_cmd & EDU_DMA_TO_RAM ? d->dma_dst : d->dma_src;
	uint64_t at = device - EDU_BUFFER; /* below the buffer: wraps to far beyond it */
	int rc = -EFAULT;

	if (pci_bus_master(&d->func) && range_ok(at, d->dma_len, EDU_BUFFER_BYTES)) {
		if (d->dma_cmd & EDU_DMA_TO_RAM)
			rc = gmem_write(d->mem, ram, d->buffer + at, d->dma_len);
		else
			rc = gmem_read(d->mem, ram, d->buffer + at, d->dma_len);
	}
	(void)rc; /* the device has no error bit: guests look at the bytes */
	d->dma_cmd &= ~(uint64_t)EDU_DMA_GO;
	if (d->dma_cmd & EDU_DMA_IRQ)
		edu_raise_locked(d, EDU_IRQ_DMA);
}

static uint64_t edu_read_locked(const struct edu *d, uint64_t off)
{
	switch (off) {
	case 0x00:
		return 0x010000ed;
	case 0x04:
		return d->liveness;
	case 0x08:
		return d->factorial;
	case 0x20:
		return d->status;
	case 0x24:
		return d->irq_status;
	case 0x80:
		return d->dma_src;
	case 0x84:
		return d->dma_src >> 32;
	case 0x88:
		return d->dma_dst;
	case 0x8c:
		return d->dma_dst >> 32;
	case 0x90:
		return d->dma_len;
	case 0x98:
		return d->dma_cmd;
	default:
		return UINT64_MAX;
	}
}

/* The upper half of an address register, for guests that write 4 bytes at a time. */
static void put_high(uint64_t *reg, uint64_t val)
{
	*reg = (uint32_t)*reg | val << 32;
}

static void edu_write_locked(struct edu *d, uint64_t off, uint64_t val)
{
	switch (off) {
	case 0x04:
		d->liveness = ~(uint32_t)val;
		break;
	case 0x08:
		d->factorial = factorial((uint32_t)val);
		if (d->status & EDU_STATUS_IRQ)
			edu_raise_locked(d, EDU_IRQ_FACTORIAL);
		break;
	case 0x20:
		d->status = (uint32_t)val & EDU_STATUS_IRQ;
		break;
	case 0x60:
		edu_raise_locked(d, (uint32_t)val);
		break;
	case 0x64:
		edu_acknowledge_locked(d, (uint32_t)val);
		break;
	case 0x80:
		d->dma_src = val;
		break;
	case 0x84:
		put_high(&d->dma_src, val);
		break;
	case 0x88:
		d->dma_dst = val;
		break;
	case 0x8c:
		put_high(&d->dma_dst, val);
		break;
	case 0x90:
		d->dma_len = val;
		break;
	case 0x98:
		d->dma_cmd = val & (EDU_DMA_GO | EDU_DMA_TO_RAM | EDU_DMA_IRQ);
		if (d->dma_cmd & EDU_DMA_GO)
			edu_dma_locked(d);
		break;
	case EDU_DOORBELL: /* only when the machine had no doorbell left; see struct pci_doorbell */
		(void)pci_msi_raise(&d->func, 0);
		break;
	}
}

static bool edu_size_ok(uint64_t off, unsigned int size)
{
	return size == 4 || (size == 8 && off >= 0x80 && off % 8 == 0 && off != EDU_DOORBELL);
}

static uint64_t edu_read(void *dev, uint64_t off, unsigned int size)
{
	struct edu *d = dev;
	uint64_t val;

	if (!edu_size_ok(off, size))
		return ones(size);
	pthread_mutex_lock(&d->lock);
	val = edu_read_locked(d, off);
	pthread_mutex_unlock(&d->lock);
	return val & ones(size);
}

static void edu_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct edu *d = dev;

	if (!edu_size_ok(off, size))
		return;
	pthread_mutex_lock(&d->lock);
	edu_write_locked(d, off, val & ones(size));
	pthread_mutex_unlock(&d->lock);
}

static const struct io_ops edu_io = { .read = edu_read, .write = edu_write };

/* After power-on, and function-level reset. */
static void edu_reset(void *dev)
{
	struct edu *d = dev;

	pthread_mutex_lock(&d->lock);
	d->liveness = d->factorial = d->status = d->irq_status = 0;
	d->dma_src = d->dma_dst = d->dma_len = d->dma_cmd = 0;
	memset(d->buffer, 0, sizeof(d->buffer));
	pci_intx_set(&d->func, false);
	pthread_mutex_unlock(&d->lock);
}

static void edu_save(void *dev, struct buf *b)
{
	struct edu *d = dev;

	pthread_mutex_lock(&d->lock);
	buf_put32(b, d->liveness);
	buf_put32(b, d->factorial);
	buf_put32(b, d->status);
	buf_put32(b, d->irq_status);
	buf_put64(b, d->dma_src);
	buf_put64(b, d->dma_dst);
	buf_put64(b, d->dma_len);
	buf_put64(b, d->dma_cmd);
	buf_put(b, d->buffer, sizeof(d->buffer));
	pthread_mutex_unlock(&d->lock);
}

static int edu_load(void *dev, struct state_reader *r, struct err *e)
{
	struct edu *d = dev;

	(void)e; /* a body that is too short is the machine's to report, state_close() */
	pthread_mutex_lock(&d->lock);
	d->liveness = state_get32(r);
	d->factorial = state_get32(r);
	d->status = state_get32(r) & EDU_STATUS_IRQ;
	d->irq_status = state_get32(r);
	d->dma_src = state_get64(r);
	d->dma_dst = state_get64(r);
	d->dma_len = state_get64(r);
	d->dma_cmd = state_get64(r) & (EDU_DMA_TO_RAM | EDU_DMA_IRQ);
	state_get(r, d->buffer, sizeof(d->buffer));
	pci_intx_set(&d->func, d->irq_status != 0);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

const struct dev_ops edu_dev_ops = { .version = 1, .reset = edu_reset, .save = edu_save, .load = edu_load };

int edu_init(struct edu *d, const struct gmem *mem, const struct dev_host *host, struct err *e)
{
	static const struct pci_ids ids = {
		.vendor = 0x1234,
		.device = 0x11e8,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class = 0x00ff00,
		.revision = 0x10,
		.pin = 1,
	};
	int rc;

	*d = (struct edu){ .mem = mem };
	pthread_mutex_init(&d->lock, NULL);
	pci_func_init(&d->func, host, &ids, "edu");
	pci_add_bar(&d->func, 0, EDU_BAR_BYTES, PCI_BAR_MEM32, &edu_io, d);
	pci_add_express(&d->func, edu_reset, d);
	pci_add_pm(&d->func);
	rc = pci_add_msi(&d->func, 1, false, e);
	if (rc < 0) {
		edu_fini(d);
		return rc;
	}
	d->bell = (struct pci_doorbell){ .bar = 0, .off = EDU_DOORBELL, .len = 4, .fd = pci_msi_fd(&d->func, 0) };
	pci_doorbell_add(&d->func, &d->bell);
	return 0;
}

void edu_fini(struct edu *d)
{
	if (!d->mem)
		return;
	pci_func_fini(&d->func);
	pthread_mutex_destroy(&d->lock);
	*d = (struct edu){ 0 };
}
