/*
 * The MSI-X capability, its table and its pending bits (PCI 3.0, 6.8.2). Vectors themselves are in
 * pci_msi.c. The table is kept as the bytes the guest wrote, and judged entry by entry after each write.
 */
#include "devices/pci_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static uint64_t pba_len(unsigned int nr)
{
	return ((uint64_t)nr + 63) / 64 * 8;
}

static uint64_t table_len(unsigned int nr)
{
	return (uint64_t)nr * PCI_MSIX_ENTRY_SIZE;
}

static void table_clear(struct pci_msix *x)
{
	memset(x->table, 0, table_len(x->nr));
	for (unsigned int i = 0; i < x->nr; i++)
		put_le32(x->table + i * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL, PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

int pci_add_msix(struct pci_func *f, unsigned int bar, uint64_t table_off, uint64_t pba_off, unsigned int nr,
		 struct err *e)
{
	unsigned int at;
	int rc;

	/* The device's layout of its own BAR; the guest has no say. */
	assert(nr >= 1 && nr <= PCI_MSIX_MAX && bar < PCI_NR_BARS && !f->msix.cap);
	assert(table_off % 8 == 0 && pba_off % 8 == 0 && range_ok(table_off, table_len(nr), f->bar[bar].size) &&
	       range_ok(pba_off, pba_len(nr), f->bar[bar].size));
	assert(table_off + table_len(nr) <= pba_off || pba_off + pba_len(nr) <= table_off);

	f->msix.table = malloc(table_len(nr));
	if (!f->msix.table)
		return err_set(e, -ENOMEM, "%s: out of memory", f->name);
	f->msix.vec = pci_vectors_new(f, nr, &rc);
	if (!f->msix.vec)
		return err_sys(e, rc, "%s: cannot make %u MSI-X vectors", f->name, nr);

	at = pci_add_cap(f, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	pci_config_set(f, at + PCI_MSIX_FLAGS, 2, nr - 1);
	pci_config_writable(f, at + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_config_set(f, at + PCI_MSIX_TABLE, 4, (uint32_t)table_off | bar);
	pci_config_set(f, at + PCI_MSIX_PBA, 4, (uint32_t)pba_off | bar);
	f->msix.cap = at;
	f->msix.nr = nr;
	f->msix.bar = bar;
	f->msix.table_off = table_off;
	f->msix.pba_off = pba_off;
	table_clear(&f->msix);
	return 0;
}

/* May vectors speak at all? All but their own mask bits. */
static bool msix_open_locked(const struct pci_func *f)
{
	uint16_t flags = get_le16(f->config + f->msix.cap + PCI_MSIX_FLAGS);

	return (flags & PCI_MSIX_FLAGS_ENABLE) && !(flags & PCI_MSIX_FLAGS_MASKALL) && atomic_load(&f->bus_master);
}

static void msix_vector_update_locked(struct pci_func *f, unsigned int n)
{
	const uint8_t *entry = f->msix.table + n * PCI_MSIX_ENTRY_SIZE;
	bool masked = get_le32(entry + PCI_MSIX_ENTRY_VECTOR_CTRL) & PCI_MSIX_ENTRY_CTRL_MASKBIT;
	uint64_t addr = get_le64(entry + PCI_MSIX_ENTRY_LOWER_ADDR) & ~3ull;

	pci_vector_update_locked(f, &f->msix.vec[n], !masked && msix_open_locked(f), addr,
				 get_le32(entry + PCI_MSIX_ENTRY_DATA));
}

void pci_msix_update_locked(struct pci_func *f)
{
	struct pci_msix *x = &f->msix;
	bool on;

	if (!x->cap)
		return;
	on = get_le16(f->config + x->cap + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_ENABLE;
	/* As for MSI: what came while it was off is history. */
	for (unsigned int i = 0; i < x->nr && on && !atomic_load(&x->on); i++)
		pci_vector_set_pending_locked(&x->vec[i], false);
	atomic_store(&x->on, on);
	for (unsigned int i = 0; i < x->nr; i++)
		msix_vector_update_locked(f, i);
	pci_intx_update_locked(f);
}

void pci_msix_reset_locked(struct pci_func *f)
{
	if (!f->msix.cap)
		return;
	table_clear(&f->msix);
	pci_msix_update_locked(f);
	for (unsigned int i = 0; i < f->msix.nr; i++)
		pci_vector_set_pending_locked(&f->msix.vec[i], false);
}

/* An access that begins in the table or the pending bits, cut at their end: what is left of size, or 0. */
static unsigned int part_inside(uint64_t off, unsigned int size, uint64_t start, uint64_t len)
{
	if (off < start || off - start >= len)
		return 0;
	return (unsigned int)MIN((uint64_t)size, len - (off - start));
}

static uint64_t table_read(struct pci_func *f, uint64_t at, unsigned int size)
{
	uint64_t val = 0;

	pci_lock(f);
	for (unsigned int i = 0; i < size; i++)
		val |= (uint64_t)f->msix.table[at + i] << (8 * i);
	pci_unlock(f);
	return val;
}

/* Guests are to write aligned dwords and qwords; bytes and odd places are merged in all the same. */
static void table_write(struct pci_func *f, uint64_t at, unsigned int size, uint64_t val)
{
	struct pci_msix *x = &f->msix;
	unsigned int first = (unsigned int)(at / PCI_MSIX_ENTRY_SIZE);
	unsigned int last = (unsigned int)((at + size - 1) / PCI_MSIX_ENTRY_SIZE);

	pci_lock(f);
	for (unsigned int i = 0; i < size; i++)
		x->table[at + i] = (uint8_t)(val >> (8 * i));
	for (unsigned int n = first; n <= last; n++) {
		uint8_t *ctrl = x->table + n * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;

		put_le32(ctrl, get_le32(ctrl) & PCI_MSIX_ENTRY_CTRL_MASKBIT);
		msix_vector_update_locked(f, n);
	}
	pci_unlock(f);
}

static uint64_t pba_read(struct pci_func *f, uint64_t at, unsigned int size)
{
	uint64_t val = 0;

	pci_lock(f);
	for (unsigned int i = 0; i < 8 * size; i++) {
		uint64_t n = 8 * at + i;

		if (n < f->msix.nr && pci_vector_pending_locked(&f->msix.vec[n]))
			val |= 1ull << i;
	}
	pci_unlock(f);
	return val;
}

static uint64_t msix_bar_read(void *dev, uint64_t off, unsigned int size)
{
	struct pci_func *f = dev;
	const struct pci_msix *x = &f->msix;
	const struct pci_bar *bar = &f->bar[x->bar];
	unsigned int part;

	part = part_inside(off, size, x->table_off, table_len(x->nr));
	if (part)
		return table_read(f, off - x->table_off, part);
	part = part_inside(off, size, x->pba_off, pba_len(x->nr));
	if (part)
		return pba_read(f, off - x->pba_off, part);
	return bar->ops ? bar->ops->read(bar->dev, off, size) : 0;
}

static void msix_bar_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct pci_func *f = dev;
	const struct pci_msix *x = &f->msix;
	const struct pci_bar *bar = &f->bar[x->bar];
	unsigned int part;

	part = part_inside(off, size, x->table_off, table_len(x->nr));
	if (part)
		table_write(f, off - x->table_off, part, val);
	else if (!part_inside(off, size, x->pba_off, pba_len(x->nr)) && bar->ops) /* pending bits are read-only */
		bar->ops->write(bar->dev, off, size, val);
}

const struct io_ops pci_msix_bar_ops = { .read = msix_bar_read, .write = msix_bar_write };
