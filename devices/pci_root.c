/*
 * The root: which function an access reaches, who is on the bus, interrupt lines, and what firmware would
 * have done. Only bus 0 exists; the 255 others of the ECAM window read all ones.
 */
#include "devices/pci_internal.h"

#include <errno.h>

#include "vmm/base/map.h"

void pci_lock(struct pci_func *f)
{
	if (f->root)
		pthread_mutex_lock(&f->root->lock);
}

void pci_unlock(struct pci_func *f)
{
	if (f->root)
		pthread_mutex_unlock(&f->root->lock);
}

/* ---- configuration accesses ---- */

/* The function's hook, if this dword is its; the caller calls it without the lock. */
static bool hooked(const struct pci_func *f, unsigned int off)
{
	return off >= f->hook_off && off - f->hook_off < f->hook_len;
}

/* One access inside a dword of a function's space. */
static uint32_t dword_read(struct pci_root *root, unsigned int devfn, unsigned int off, unsigned int size)
{
	uint32_t val = (uint32_t)ones(size);
	struct pci_func *f;
	bool hook = false;

	pthread_mutex_lock(&root->lock);
	f = root->func[devfn];
	if (f) {
		hook = hooked(f, off);
		val = hook ? 0 : pci_func_read_locked(f, off, size);
	}
	pthread_mutex_unlock(&root->lock);
	if (hook)
		val = (uint32_t)(f->hook_ops->read(f->hook_dev, off - f->hook_off, size) & ones(size));
	return val;
}

static void dword_write(struct pci_root *root, unsigned int devfn, unsigned int off, unsigned int size,
			uint32_t val)
{
	bool hook = false, flr = false;
	struct pci_func *f;

	pthread_mutex_lock(&root->lock);
	f = root->func[devfn];
	if (f) {
		hook = hooked(f, off);
		flr = !hook && pci_func_write_locked(f, off, size, val);
	}
	pthread_mutex_unlock(&root->lock);
	if (hook)
		f->hook_ops->write(f->hook_dev, off - f->hook_off, size, val);
	if (flr)
		f->flr(f->flr_dev);
}

/* The largest piece of an access at off that has a natural size and stays inside one dword. */
static unsigned int piece_size(uint64_t off, unsigned int size)
{
	unsigned int piece = 4;

	while (piece > size || off % piece)
		piece /= 2;
	return piece;
}

/* Any access at an ECAM offset, in pieces; what lies behind the window reads all ones. */
static uint64_t config_read(struct pci_root *root, uint64_t addr, unsigned int size)
{
	uint64_t val = 0;
	unsigned int piece;

	for (unsigned int i = 0; i < size; i += piece) {
		uint64_t at = addr + i;
		uint64_t part;

		piece = piece_size(at, size - i);
		part = ones(piece);
		if (at >> 20 == 0)
			part = dword_read(root, (unsigned int)(at >> 12), at & 0xfff, piece);
		val |= part << (8 * i);
	}
	return val;
}

static void config_write(struct pci_root *root, uint64_t addr, unsigned int size, uint64_t val)
{
	unsigned int piece;

	for (unsigned int i = 0; i < size; i += piece) {
		uint64_t at = addr + i;

		piece = piece_size(at, size - i);
		if (at >> 20 == 0)
			dword_write(root, (unsigned int)(at >> 12), at & 0xfff, piece,
				    (uint32_t)(val >> (8 * i) & ones(piece)));
	}
}

static uint64_t ecam_read(void *dev, uint64_t off, unsigned int size)
{
	return config_read(dev, off, size);
}

static void ecam_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	config_write(dev, off, size, val);
}

const struct io_ops pci_ecam_ops = { .read = ecam_read, .write = ecam_write };

static uint64_t addr_read(void *dev, uint64_t off, unsigned int size)
{
	struct pci_root *root = dev;
	uint32_t val;

	if (off || size != 4)
		return ones(size);
	pthread_mutex_lock(&root->lock);
	val = root->address;
	pthread_mutex_unlock(&root->lock);
	return val;
}

static void addr_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct pci_root *root = dev;

	if (off || size != 4)
		return;
	pthread_mutex_lock(&root->lock);
	root->address = (uint32_t)val & 0x80fffffc; /* the rest is reserved and reads 0 (PCI 3.0, 3.2.2.3.2) */
	pthread_mutex_unlock(&root->lock);
}

const struct io_ops pci_addr_ops = { .read = addr_read, .write = addr_write };

/*
 * The ECAM offset of an access at port 0xcfc + off, and its size cut at the dword's end; false when the
 * address register does not claim it: then it is an ordinary port access to nobody.
 */
static bool data_address(struct pci_root *root, uint64_t off, unsigned int *size, uint64_t *addr)
{
	uint32_t reg;

	if (off >= 4)
		return false;
	pthread_mutex_lock(&root->lock);
	reg = root->address;
	pthread_mutex_unlock(&root->lock);

	*size = MIN(*size, 4 - (unsigned int)off);
	/* Bus 23:16, device and function 15:8, register 7:2; ECAM has bus 27:20 and device and function 19:12. */
	*addr = (uint64_t)(reg >> 8 & 0xffff) << 12 | (reg & 0xfc) | off;
	return reg & 0x80000000;
}

static uint64_t data_read(void *dev, uint64_t off, unsigned int size)
{
	unsigned int inside = size;
	uint64_t addr;

	if (!data_address(dev, off, &inside, &addr))
		return ones(size);
	return config_read(dev, addr, inside) | (ones(size) & ~ones(inside));
}

static void data_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	uint64_t addr;

	if (data_address(dev, off, &size, &addr))
		config_write(dev, addr, size, val);
}

const struct io_ops pci_data_ops = { .read = data_read, .write = data_write };

/* ---- interrupt lines ---- */

/* Where a function's INTx arrives; only for functions with a pin. PCI-to-PCI Bridge 1.2, table 9-1. */
static unsigned int intx_line(const struct pci_func *f)
{
	return (PCI_SLOT(f->devfn) + f->config[PCI_INTERRUPT_PIN] - 1u) % PCI_NR_LINES;
}

void pci_intx_update_locked(struct pci_func *f)
{
	struct pci_root *root = f->root;
	bool want = f->intx_level && !(get_le16(f->config + PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE) &&
		    !pci_msi_enabled(f) && !pci_msix_enabled(f);
	unsigned int line;

	if (!f->config[PCI_INTERRUPT_PIN] || want == f->intx_driven)
		return;
	f->intx_driven = want;
	line = intx_line(f);
	/* Several functions share a line: it is high while any of them holds it. */
	if (want && root->line_users[line]++ == 0)
		irq_line_set(&root->line[line], true);
	if (!want && --root->line_users[line] == 0)
		irq_line_set(&root->line[line], false);
}

void pci_intx_set(struct pci_func *f, bool level)
{
	pci_lock(f);
	f->intx_level = level;
	if (f->root)
		pci_intx_update_locked(f);
	pci_unlock(f);
}

/* ---- who is on the bus ---- */

static int add_check_locked(const struct pci_root *root, unsigned int devfn, const struct pci_func *f,
			    struct err *e)
{
	if (devfn >= PCI_NR_DEVFN || f->root)
		return err_set(e, -EINVAL, "%s: cannot be put at device number 0x%x", f->name, devfn);
	if (root->func[devfn])
		return err_set(e, -EBUSY, "%s: PCI address 00:%02x.%u is taken by %s", f->name, PCI_SLOT(devfn),
			       PCI_FUNC(devfn), root->func[devfn]->name);
	/* A guest looks at functions 1 to 7 only when function 0 answers (PCI 3.0, 3.2.2.3.4). */
	if (PCI_FUNC(devfn) && !root->func[devfn & ~7u])
		return err_set(e, -EINVAL, "%s: PCI address 00:%02x.%u needs a function 00:%02x.0", f->name,
			       PCI_SLOT(devfn), PCI_FUNC(devfn), PCI_SLOT(devfn));
	return 0;
}

int pci_root_add(struct pci_root *root, unsigned int devfn, struct pci_func *f, struct err *e)
{
	struct pci_func *first;
	int rc;

	pthread_mutex_lock(&root->lock);
	rc = add_check_locked(root, devfn, f, e);
	if (rc == 0) {
		f->root = root;
		f->devfn = devfn;
		root->func[devfn] = f;
		first = root->func[devfn & ~7u];
		if (first != f) /* bit 7: there is more than one function */
			pci_config_set(first, PCI_HEADER_TYPE, 1, first->config[PCI_HEADER_TYPE] | 0x80);
		pci_func_update_locked(f);
	}
	pthread_mutex_unlock(&root->lock);
	return rc;
}

void pci_root_remove(struct pci_root *root, struct pci_func *f)
{
	if (f->root != root)
		return;
	pthread_mutex_lock(&root->lock);
	pci_func_reset_locked(f);
	root->func[f->devfn] = NULL;
	f->root = NULL;
	pthread_mutex_unlock(&root->lock);
}

int pci_root_free_slot(struct pci_root *root)
{
	int devfn = -ENOSPC;

	pthread_mutex_lock(&root->lock);
	for (unsigned int slot = 1; slot < PCI_NR_DEVFN / 8 && devfn < 0; slot++)
		if (!root->func[PCI_DEVFN(slot, 0)])
			devfn = (int)PCI_DEVFN(slot, 0); /* function 0 first and last: the others are free too */
	pthread_mutex_unlock(&root->lock);
	return devfn;
}

void pci_root_init(struct pci_root *root, const struct dev_host *host, const struct pci_windows *windows,
		   const struct irq_line lines[PCI_NR_LINES])
{
	/* The numbers of QEMU's generic PCIe host bridge, which guests know and have no driver for. */
	static const struct pci_ids bridge = {
		.vendor = 0x1b36,
		.device = 0x0008,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class = 0x060000,
	};

	*root = (struct pci_root){ .host = host, .windows = *windows };
	memcpy(root->line, lines, sizeof(root->line));
	pthread_mutex_init(&root->lock, NULL);
	pci_func_init(&root->bridge, host, &bridge, "pci host bridge");
	root->bridge.root = root;
	root->func[0] = &root->bridge;
}

void pci_root_fini(struct pci_root *root)
{
	if (!root->host)
		return;
	for (unsigned int devfn = PCI_NR_DEVFN; devfn-- > 0;)
		if (root->func[devfn])
			pci_root_remove(root, root->func[devfn]);
	pci_func_fini(&root->bridge);
	pthread_mutex_destroy(&root->lock);
	*root = (struct pci_root){ 0 };
}

/* ---- what firmware would have done ---- */

struct placer {
	uint64_t base, len, used;
};

struct placers {
	struct placer low, high, io;
};

static bool place(struct placer *p, uint64_t size, uint64_t *addr)
{
	uint64_t at;

	if (!range_ok(p->used, size, p->len))
		return false;
	at = align_up(p->base + p->used, size); /* a wrap to 0 fails the next check */
	if (!range_ok(at - p->base, size, p->len))
		return false;
	p->used = at - p->base + size;
	*addr = at;
	return true;
}

/* Place the BARs of exactly this size and of one kind. Largest first leaves no holes. */
static int assign_size_locked(struct pci_root *root, uint64_t size, bool wide, struct placers *p, struct err *e)
{
	for (unsigned int devfn = 0; devfn < PCI_NR_DEVFN; devfn++) {
		struct pci_func *f = root->func[devfn];

		for (unsigned int n = 0; f && n < PCI_NR_BARS; n++) {
			const struct pci_bar *bar = &f->bar[n];
			uint64_t addr;

			if (bar->size != size || !(bar->flags & PCI_BAR_MEM64) == wide)
				continue;
			if (!place(bar->flags & PCI_BAR_IO ? &p->io : &p->low, size, &addr) &&
			    !(wide && place(&p->high, size, &addr)))
				return err_set(e, -ENOSPC, "%s: no room in the PCI windows for BAR %u of 0x%llx bytes",
					       f->name, n, (unsigned long long)size);
			pci_bar_put_address(f, n, addr);
		}
	}
	return 0;
}

static int assign_addresses_locked(struct pci_root *root, struct err *e)
{
	const struct pci_windows *w = &root->windows;
	struct placers p = {
		.low = { .base = w->mem32_base, .len = w->mem32_len },
		.high = { .base = w->mem64_base, .len = w->mem64_len },
		.io = { .base = w->io_base, .len = w->io_len },
	};
	int rc = 0;

	for (unsigned int wide = 0; wide < 2; wide++)
		for (uint64_t size = 1ull << 63; size && rc == 0; size >>= 1)
			rc = assign_size_locked(root, size, wide, &p, e);
	return rc;
}

/* The bits that are there: those a function without such a BAR has not (see pci_add_bar()). */
static void decode_set_locked(struct pci_func *f, bool on)
{
	uint16_t bits = (PCI_COMMAND_IO | PCI_COMMAND_MEMORY) & get_le16(f->wmask + PCI_COMMAND);
	uint16_t command = get_le16(f->config + PCI_COMMAND);

	put_le16(f->config + PCI_COMMAND, on ? command | bits : command & (uint16_t)~bits);
	pci_bars_update_locked(f);
}

int pci_root_assign(struct pci_root *root, struct err *e)
{
	int rc;

	pthread_mutex_lock(&root->lock);
	for (unsigned int devfn = 0; devfn < PCI_NR_DEVFN; devfn++)
		if (root->func[devfn])
			decode_set_locked(root->func[devfn], false);
	rc = assign_addresses_locked(root, e);
	for (unsigned int devfn = 0; rc == 0 && devfn < PCI_NR_DEVFN; devfn++) {
		struct pci_func *f = root->func[devfn];

		if (!f)
			continue;
		if (f->config[PCI_INTERRUPT_PIN])
			f->config[PCI_INTERRUPT_LINE] = (uint8_t)(GSI_PCI_BASE + intx_line(f));
		decode_set_locked(f, true);
	}
	pthread_mutex_unlock(&root->lock);
	return rc;
}

static void root_reset(void *dev)
{
	struct pci_root *root = dev;

	pthread_mutex_lock(&root->lock);
	for (unsigned int devfn = 0; devfn < PCI_NR_DEVFN; devfn++)
		if (root->func[devfn]) {
			pci_func_reset_locked(root->func[devfn]);
			root->func[devfn]->warned = false;
		}
	root->address = 0;
	root->refused = false;
	pthread_mutex_unlock(&root->lock);
}

const struct dev_ops pci_root_ops = {
	.version = 1,
	.reset = root_reset,
	.save = pci_root_save,
	.load = pci_root_load,
};
