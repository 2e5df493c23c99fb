/*
 * Base address registers: what the guest's addresses mean to the machine, and doorbells that move along.
 * It does not read or write what is behind a BAR: vCPU threads call the device's io_ops directly.
 */
#include "devices/pci_internal.h"

#include <assert.h>
#include <errno.h>

#include "vmm/base/log.h"

static unsigned int bar_reg(unsigned int n)
{
	return PCI_BASE_ADDRESS_0 + 4 * n;
}

uint64_t pci_bar_address(const struct pci_func *f, unsigned int n)
{
	uint32_t low = get_le32(f->config + bar_reg(n));

	if (f->bar[n].flags & PCI_BAR_IO)
		return low & (uint32_t)PCI_BASE_ADDRESS_IO_MASK;
	low &= (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
	if (f->bar[n].flags & PCI_BAR_MEM64)
		return (uint64_t)get_le32(f->config + bar_reg(n) + 4) << 32 | low;
	return low;
}

void pci_bar_put_address(struct pci_func *f, unsigned int n, uint64_t addr)
{
	uint8_t *reg = f->config + bar_reg(n);
	uint32_t mask = get_le32(f->wmask + bar_reg(n));

	put_le32(reg, (get_le32(reg) & ~mask) | ((uint32_t)addr & mask));
	if (f->bar[n].flags & PCI_BAR_MEM64)
		put_le32(reg + 4, (uint32_t)(addr >> 32) & get_le32(f->wmask + bar_reg(n) + 4));
}

void pci_add_bar(struct pci_func *f, unsigned int n, uint64_t size, unsigned int flags,
		 const struct io_ops *ops, void *dev)
{
	bool io = flags & PCI_BAR_IO, wide = flags & PCI_BAR_MEM64;
	uint32_t bits = 0;

	/* All of this is our own code's choice: see the callers of pci_add_bar(). */
	assert(n + wide < PCI_NR_BARS && !f->bar[n].size && !(io && wide));
	assert(size && !(size & (size - 1)) && (wide || size <= 0x80000000));
	assert(io ? size >= 4 && size <= 256 : size >= 16);

	f->bar[n] = (struct pci_bar){ .size = size, .flags = flags, .ops = ops, .dev = dev };
	if (io)
		bits = PCI_BASE_ADDRESS_SPACE_IO;
	if (wide)
		bits |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (flags & PCI_BAR_PREFETCH)
		bits |= PCI_BASE_ADDRESS_MEM_PREFETCH;

	/* Address bits below the size are read-only zero: that is how a guest sizes it (PCI 3.0, 6.2.5.1). */
	pci_config_set(f, bar_reg(n), 4, bits);
	pci_config_writable(f, bar_reg(n), 4, (uint32_t)~(size - 1));
	if (wide)
		pci_config_writable(f, bar_reg(n) + 4, 4, (uint32_t)(~(size - 1) >> 32));
	pci_config_writable(f, PCI_COMMAND, 2, get_le16(f->wmask + PCI_COMMAND) |
			    (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY));
}

static bool window_holds(uint64_t base, uint64_t len, uint64_t addr, uint64_t size)
{
	return addr >= base && range_ok(addr - base, size, len);
}

/*
 * Is BAR n to be decoded, and where? Addresses that the root does not route are not: a BAR that holds all
 * ones for sizing, or half of a 64-bit address, never reaches the machine.
 */
static bool bar_wanted(const struct pci_func *f, unsigned int n, uint64_t *addr)
{
	const struct pci_windows *w = &f->root->windows;
	uint16_t command = get_le16(f->config + PCI_COMMAND);
	uint64_t size = f->bar[n].size;

	if (!size)
		return false;
	*addr = pci_bar_address(f, n);
	if (f->bar[n].flags & PCI_BAR_IO)
		return (command & PCI_COMMAND_IO) && window_holds(w->io_base, w->io_len, *addr, size);
	return (command & PCI_COMMAND_MEMORY) && (window_holds(w->mem32_base, w->mem32_len, *addr, size) ||
						  window_holds(w->mem64_base, w->mem64_len, *addr, size));
}

static void doorbell_attach_locked(struct pci_func *f, struct pci_doorbell *d)
{
	const struct pci_bar *bar = &f->bar[d->bar];

	/* A refusal costs an exit for each write, nothing else: the BAR's io_ops know what to do. */
	if (bar->mapped && !d->live && f->host->doorbell)
		d->live = f->host->doorbell(f->host->ctx, true, bar->addr + d->off, d->len, d->fd) == 0;
}

static void doorbell_detach_locked(struct pci_func *f, struct pci_doorbell *d)
{
	if (d->live)
		(void)f->host->doorbell(f->host->ctx, false, f->bar[d->bar].addr + d->off, d->len, d->fd);
	d->live = false;
}

static uint64_t bar_empty_read(void *dev, uint64_t off, unsigned int size)
{
	(void)dev, (void)off, (void)size;
	return 0;
}

static void bar_empty_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	(void)dev, (void)off, (void)size, (void)val;
}

static const struct io_ops bar_empty_ops = { .read = bar_empty_read, .write = bar_empty_write };

void pci_bar_map_locked(struct pci_func *f, unsigned int n)
{
	const struct dev_host *host = f->host;
	struct pci_bar *bar = &f->bar[n];
	const struct io_ops *ops = bar->ops;
	void *dev = bar->dev;
	uint64_t addr;
	int rc;

	if (bar->mapped || !bar_wanted(f, n, &addr))
		return;
	if (f->msix.cap && f->msix.bar == n) {
		ops = &pci_msix_bar_ops;
		dev = f;
	} else if (!ops) {
		ops = &bar_empty_ops;
	}
	if (bar->flags & PCI_BAR_IO)
		rc = host->pio_add(host->ctx, addr, bar->size, ops, dev, f->name);
	else
		rc = host->mmio_add(host->ctx, addr, bar->size, ops, dev, f->name);
	if (rc < 0) {
		f->root->refused = true;
		log_warn_once(&f->warned, "%s: BAR %u at 0x%llx is not decoded: %s", f->name, n,
			      (unsigned long long)addr, rc == -EBUSY ? "the place is taken" : strerror(-rc));
		return;
	}
	bar->mapped = true;
	bar->addr = addr;
	for (struct pci_doorbell *d = bar->doorbells; d; d = d->next)
		doorbell_attach_locked(f, d);
}

static void bar_unmap_locked(struct pci_func *f, struct pci_bar *bar)
{
	const struct dev_host *host = f->host;

	if (!bar->mapped)
		return;
	for (struct pci_doorbell *d = bar->doorbells; d; d = d->next)
		doorbell_detach_locked(f, d);
	if (bar->flags & PCI_BAR_IO)
		host->pio_remove(host->ctx, bar->addr, bar->size);
	else
		host->mmio_remove(host->ctx, bar->addr, bar->size);
	bar->mapped = false;
}

/* A place became free: BARs that were refused one may have it now, as when a guest swaps two of them. */
static void refused_retry_locked(struct pci_root *root)
{
	if (!root->refused)
		return;
	root->refused = false; /* set again by those who are still refused */
	for (unsigned int devfn = 0; devfn < PCI_NR_DEVFN; devfn++)
		for (unsigned int n = 0; root->func[devfn] && n < PCI_NR_BARS; n++)
			pci_bar_map_locked(root->func[devfn], n);
}

void pci_bars_update_locked(struct pci_func *f)
{
	bool freed = false;
	uint64_t addr;

	for (unsigned int n = 0; n < PCI_NR_BARS; n++) {
		struct pci_bar *bar = &f->bar[n];

		if (!bar->mapped || (bar_wanted(f, n, &addr) && addr == bar->addr))
			continue;
		bar_unmap_locked(f, bar);
		freed = true;
	}
	for (unsigned int n = 0; n < PCI_NR_BARS; n++)
		pci_bar_map_locked(f, n);
	if (freed)
		refused_retry_locked(f->root);
}

void pci_doorbell_add(struct pci_func *f, struct pci_doorbell *d)
{
	struct pci_doorbell *other;
	struct pci_bar *bar = &f->bar[d->bar];

	assert(d->bar < PCI_NR_BARS && range_ok(d->off, MAX(d->len, 1u), bar->size)); /* the device's choice */
	pci_lock(f);
	for (other = bar->doorbells; other && other != d; other = other->next)
		;
	if (!other) {
		d->live = false;
		d->next = bar->doorbells;
		bar->doorbells = d;
		doorbell_attach_locked(f, d);
	}
	pci_unlock(f);
}

void pci_doorbell_remove(struct pci_func *f, struct pci_doorbell *d)
{
	struct pci_doorbell **at;

	assert(d->bar < PCI_NR_BARS);
	pci_lock(f);
	for (at = &f->bar[d->bar].doorbells; *at && *at != d; at = &(*at)->next)
		;
	if (*at) {
		doorbell_detach_locked(f, d);
		*at = d->next;
		d->next = NULL;
	}
	pci_unlock(f);
}
