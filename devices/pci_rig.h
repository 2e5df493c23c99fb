/*
 * For unit tests of the PCI layer and of functions on it: a machine that remembers its windows, messages
 * and doorbells, a root, and one function with every kind of BAR. It delivers what an eventfd holds when
 * asked, as KVM would at once. Include it in one file of a test program.
 */
#ifndef TRELLIS_DEVICES_PCI_RIG_H
#define TRELLIS_DEVICES_PCI_RIG_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/pci.h"
#include "vmm/base/log.h"
#include "vmm/base/map.h"

enum { FAKE_WINDOWS = 64, FAKE_VECTORS = 256, FAKE_BELLS = 64 };

enum { RIG_IO = 0x1000, RIG_IO_LEN = 0xf000 };

#define RIG_HIGH_BASE 0x8000000000ull
#define RIG_HIGH_LEN  0x4000000000ull

struct fake_window {
	uint64_t base, len;
	const struct io_ops *ops;
	void *dev;
	bool io;
};

struct fake {
	struct dev_host host;
	struct fake_window win[FAKE_WINDOWS];
	unsigned int nr_win, adds, removes;
	struct msi_vector *vec[FAKE_VECTORS];
	uint64_t msg_addr[FAKE_VECTORS];
	uint32_t msg_data[FAKE_VECTORS];
	unsigned int nr_vec, sets, open_limit;
	struct { uint64_t gpa; unsigned int len; int fd; } bell[FAKE_BELLS];
	unsigned int nr_bell;
	bool refuse_bells, refuse_messages;
	bool line[PCI_NR_LINES];
	unsigned int line_sets;
};

static inline int fake_add(struct fake *k, bool io, uint64_t base, uint64_t len, const struct io_ops *ops,
			   void *dev)
{
	for (unsigned int i = 0; i < k->nr_win; i++)
		if (k->win[i].io == io && base < k->win[i].base + k->win[i].len && k->win[i].base < base + len)
			return -EBUSY;
	ck_assert_uint_lt(k->nr_win, FAKE_WINDOWS);
	k->win[k->nr_win++] = (struct fake_window){ base, len, ops, dev, io };
	k->adds++;
	return 0;
}

static inline void fake_remove(struct fake *k, bool io, uint64_t base, uint64_t len)
{
	for (unsigned int i = 0; i < k->nr_win; i++)
		if (k->win[i].io == io && k->win[i].base == base && k->win[i].len == len) {
			k->win[i] = k->win[--k->nr_win];
			k->removes++;
			return;
		}
	ck_abort_msg("removed a window that is not there");
}

static inline int fake_mmio_add(void *ctx, uint64_t gpa, uint64_t len, const struct io_ops *ops, void *dev,
				const char *name)
{
	ck_assert_ptr_nonnull(name);
	return fake_add(ctx, false, gpa, len, ops, dev);
}

static inline void fake_mmio_remove(void *ctx, uint64_t gpa, uint64_t len)
{
	fake_remove(ctx, false, gpa, len);
}

static inline int fake_pio_add(void *ctx, uint64_t port, uint64_t len, const struct io_ops *ops, void *dev,
			       const char *name)
{
	ck_assert_ptr_nonnull(name);
	return fake_add(ctx, true, port, len, ops, dev);
}

static inline void fake_pio_remove(void *ctx, uint64_t port, uint64_t len)
{
	fake_remove(ctx, true, port, len);
}

static inline int fake_msi_open(void *ctx, struct msi_vector *v)
{
	struct fake *k = ctx;

	if (k->nr_vec == k->open_limit)
		return -ENOSPC;
	*v = (struct msi_vector){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .gsi = 24 + (int)k->nr_vec };
	ck_assert_int_ge(v->fd, 0);
	k->vec[k->nr_vec++] = v;
	return 0;
}

static inline unsigned int fake_vector(const struct fake *k, const struct msi_vector *v)
{
	unsigned int i = 0;

	while (i < k->nr_vec && k->vec[i] != v)
		i++;
	ck_assert_uint_lt(i, k->nr_vec);
	return i;
}

static inline void fake_msi_close(void *ctx, struct msi_vector *v)
{
	struct fake *k = ctx;

	if (v->fd < 0)
		return;
	k->vec[fake_vector(k, v)] = NULL;
	close(v->fd);
	*v = (struct msi_vector){ .fd = -1, .gsi = -1 };
}

static inline int fake_msi_set(void *ctx, struct msi_vector *v, uint64_t addr, uint32_t data)
{
	struct fake *k = ctx;
	unsigned int i = fake_vector(k, v);

	if (k->refuse_messages)
		return -EINVAL;
	k->sets++;
	k->msg_addr[i] = addr;
	k->msg_data[i] = data;
	v->live = true;
	return 0;
}

static inline void fake_msi_mask(void *ctx, struct msi_vector *v)
{
	(void)fake_vector(ctx, v);
	v->live = false;
}

static inline int fake_doorbell(void *ctx, bool add, uint64_t gpa, unsigned int len, int fd)
{
	struct fake *k = ctx;

	if (add && k->refuse_bells)
		return -ENOSPC;
	if (add) {
		ck_assert_uint_lt(k->nr_bell, FAKE_BELLS);
		k->bell[k->nr_bell].gpa = gpa;
		k->bell[k->nr_bell].len = len;
		k->bell[k->nr_bell++].fd = fd;
		return 0;
	}
	for (unsigned int i = 0; i < k->nr_bell; i++)
		if (k->bell[i].gpa == gpa && k->bell[i].len == len && k->bell[i].fd == fd) {
			k->bell[i] = k->bell[--k->nr_bell];
			return 0;
		}
	ck_abort_msg("removed a doorbell that is not there");
}

static inline void fake_line_set(void *ctx, unsigned int pin, bool level)
{
	struct fake *k = ctx;

	k->line[pin] = level;
	k->line_sets++;
}

/* How many messages (addr, data) arrive now; several signals of one vector count once. */
static inline unsigned int fake_delivered(struct fake *k, uint64_t addr, uint32_t data)
{
	unsigned int nr = 0;
	uint64_t count;

	for (unsigned int i = 0; i < k->nr_vec; i++)
		if (k->vec[i] && k->vec[i]->live && k->msg_addr[i] == addr && k->msg_data[i] == data)
			nr += read(k->vec[i]->fd, &count, sizeof(count)) == sizeof(count);
	return nr;
}

static inline struct fake_window *fake_find(struct fake *k, bool io, uint64_t addr)
{
	for (unsigned int i = 0; i < k->nr_win; i++)
		if (k->win[i].io == io && addr >= k->win[i].base && addr - k->win[i].base < k->win[i].len)
			return &k->win[i];
	return NULL;
}

static inline uint64_t fake_read(struct fake *k, uint64_t gpa, unsigned int size)
{
	struct fake_window *w = fake_find(k, false, gpa);

	return w ? w->ops->read(w->dev, gpa - w->base, size) & ones(size) : ones(size);
}

static inline void fake_write(struct fake *k, uint64_t gpa, unsigned int size, uint64_t val)
{
	struct fake_window *w = fake_find(k, false, gpa);
	uint64_t one = 1;

	for (unsigned int i = 0; i < k->nr_bell; i++)
		if (k->bell[i].gpa == gpa && (!k->bell[i].len || k->bell[i].len == size)) {
			ck_assert_int_eq(write(k->bell[i].fd, &one, sizeof(one)), sizeof(one));
			return;
		}
	if (w)
		w->ops->write(w->dev, gpa - w->base, size, val);
}

static inline void fake_init(struct fake *k)
{
	*k = (struct fake){ .open_limit = FAKE_VECTORS };
	k->host = (struct dev_host){
		.ctx = k,
		.mmio_add = fake_mmio_add,
		.mmio_remove = fake_mmio_remove,
		.pio_add = fake_pio_add,
		.pio_remove = fake_pio_remove,
		.msi_open = fake_msi_open,
		.msi_close = fake_msi_close,
		.msi_set = fake_msi_set,
		.msi_mask = fake_msi_mask,
		.doorbell = fake_doorbell,
	};
}

/* ---- a root and one function at 00:01.0 ---- */

enum {
	RIG_DEVFN = PCI_DEVFN(1, 0),
	RIG_BAR_LOW = 0,    /* 4 KiB, 32-bit */
	RIG_BAR_IO = 1,     /* 32 ports */
	RIG_BAR_HIGH = 2,   /* 16 KiB, 64-bit, prefetchable */
	RIG_BAR_MSIX = 4,   /* 8 KiB, 32-bit: table at 0, pending bits at 0x1000, the device's from 0x1800 */
	RIG_PBA = 0x1000,
	RIG_MSIX_OWN = 0x1800,
	RIG_NR_MSI = 4,
	RIG_NR_MSIX = 70,
};

struct rig {
	struct fake fake;
	struct pci_root root;
	struct pci_func f;
	atomic_uint flrs, reads, writes; /* several threads may be in the registers */
	_Atomic uint64_t last_off, last_val;
};

static inline uint64_t rig_io_read(void *dev, uint64_t off, unsigned int size)
{
	struct rig *r = dev;

	r->reads++;
	r->last_off = off;
	return 0x5a5a5a5a5a5a0000 | (off & 0xffff & ~(uint64_t)(size - 1));
}

static inline void rig_io_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct rig *r = dev;

	r->writes++;
	r->last_off = off;
	r->last_val = val & ones(size);
}

static const struct io_ops rig_io = { .read = rig_io_read, .write = rig_io_write };

static inline void rig_flr(void *dev)
{
	((struct rig *)dev)->flrs++;
}

static inline void rig_describe(struct rig *r, struct pci_func *f, uint8_t pin, const char *name)
{
	struct pci_ids ids = { .vendor = 0x1234, .device = 0x5678, .subvendor = 0x9abc, .subdevice = 0xdef0,
			       .class = 0x020000, .revision = 7, .pin = pin };

	pci_func_init(f, &r->fake.host, &ids, name);
}

static inline void rig_root(struct rig *r)
{
	struct pci_windows w = { .mem32_base = MAP_PCI32_BASE, .mem32_len = MAP_PCI32_LEN, .mem64_base = RIG_HIGH_BASE,
				 .mem64_len = RIG_HIGH_LEN, .io_base = RIG_IO, .io_len = RIG_IO_LEN };
	struct irq_line line[PCI_NR_LINES];

	log_set_level(LOG_ERROR); /* refusals are provoked here on purpose */
	fake_init(&r->fake);
	for (unsigned int i = 0; i < PCI_NR_LINES; i++)
		line[i] = (struct irq_line){ .set = fake_line_set, .ctx = &r->fake, .pin = i };
	pci_root_init(&r->root, &r->fake.host, &w, line);
}

/* A root with the function on it; nothing assigned. The rest of the machine is one window below the BARs'. */
static inline struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	rig_root(r);
	rig_describe(r, &r->f, 1, "rig");
	pci_add_bar(&r->f, RIG_BAR_LOW, 0x1000, PCI_BAR_MEM32, &rig_io, r);
	pci_add_bar(&r->f, RIG_BAR_IO, 32, PCI_BAR_IO, &rig_io, r);
	pci_add_bar(&r->f, RIG_BAR_HIGH, 0x4000, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &rig_io, r);
	pci_add_bar(&r->f, RIG_BAR_MSIX, 0x2000, PCI_BAR_MEM32, &rig_io, r);
	pci_add_express(&r->f, rig_flr, r);
	pci_add_pm(&r->f);
	ck_assert_int_eq(pci_add_msi(&r->f, RIG_NR_MSI, true, NULL), 0);
	ck_assert_int_eq(pci_add_msix(&r->f, RIG_BAR_MSIX, 0, RIG_PBA, RIG_NR_MSIX, NULL), 0);
	ck_assert_int_eq(pci_root_add(&r->root, RIG_DEVFN, &r->f, NULL), 0);
	return r;
}

/* The same as firmware leaves it. */
static inline struct rig *rig_assigned(void)
{
	struct rig *r = rig_new();

	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	return r;
}

static inline void rig_free(struct rig *r)
{
	pci_func_fini(&r->f);
	pci_root_fini(&r->root);
	ck_assert_uint_eq(r->fake.nr_win, 0);
	ck_assert_uint_eq(r->fake.nr_bell, 0);
	for (unsigned int i = 0; i < r->fake.nr_vec; i++)
		ck_assert_ptr_null(r->fake.vec[i]);
	free(r);
}

static inline uint64_t rig_read_at(struct rig *r, unsigned int devfn, unsigned int off, unsigned int size)
{
	return pci_ecam_ops.read(&r->root, (uint64_t)devfn << 12 | off, size) & ones(size);
}

static inline void rig_write_at(struct rig *r, unsigned int devfn, unsigned int off, unsigned int size,
				uint64_t val)
{
	pci_ecam_ops.write(&r->root, (uint64_t)devfn << 12 | off, size, val);
}

static inline uint64_t rig_read(struct rig *r, unsigned int off, unsigned int size)
{
	return rig_read_at(r, RIG_DEVFN, off, size);
}

static inline void rig_write(struct rig *r, unsigned int off, unsigned int size, uint64_t val)
{
	rig_write_at(r, RIG_DEVFN, off, size, val);
}

static inline unsigned int rig_bar_reg(unsigned int n)
{
	return PCI_BASE_ADDRESS_0 + 4 * n;
}

/* Change bits of the command register. */
static inline void rig_command(struct rig *r, unsigned int set, unsigned int clear)
{
	rig_write(r, PCI_COMMAND, 2, (rig_read(r, PCI_COMMAND, 2) & ~(uint64_t)clear) | set);
}

#endif
