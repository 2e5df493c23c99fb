/*
 * For fuzz targets of PCI functions: a machine with windows, messages, doorbells and lines, which traps when
 * it is used against its rules, and a source of bytes. It delivers no message. Include it in one file of a
 * target.
 */
#ifndef TRELLIS_DEVICES_FUZZ_HOST_H
#define TRELLIS_DEVICES_FUZZ_HOST_H

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/pci.h"
#include "vmm/base/map.h"

enum { FUZZ_WINDOWS = 32, FUZZ_BELLS = 32, FUZZ_IO = 0x1000, FUZZ_IO_LEN = 0xf000 };

#define FUZZ_HIGH_BASE 0x8000000000ull
#define FUZZ_HIGH_LEN  0x4000000000ull

/* A rule of ours is broken: the fuzzer reports it with the input. */
#define FUZZ_CHECK(what)                                                                                     \
	do {                                                                                                 \
		if (!(what))                                                                                 \
			__builtin_trap();                                                                    \
	} while (0)

/* ---- the input ---- */

struct fuzz_input {
	const uint8_t *data;
	size_t len;
};

/* The next byte; 0 when there is none left. */
static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
	if (!in->len)
		return 0;
	in->len--;
	return *in->data++;
}

static inline uint64_t fuzz_bytes(struct fuzz_input *in, unsigned int nr)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < nr; i++)
		v |= (uint64_t)fuzz_byte(in) << (8 * i);
	return v;
}

/* 0 to nr - 1. */
static inline unsigned int fuzz_pick(struct fuzz_input *in, unsigned int nr)
{
	return fuzz_byte(in) % nr;
}

/* ---- the machine ---- */

struct fuzz_window {
	uint64_t base, len;
	const struct io_ops *ops;
	void *dev;
	bool io;
};

struct fuzz_bell {
	uint64_t gpa;
	unsigned int len;
	int fd;
};

struct fuzz_host {
	struct dev_host host;
	struct fuzz_window win[FUZZ_WINDOWS];
	struct fuzz_bell bell[FUZZ_BELLS];
	unsigned int nr_win, nr_bell;
	bool refuse; /* doorbells */
	bool line[PCI_NR_LINES];
};

static inline bool fuzz_inside(uint64_t base, uint64_t len, uint64_t at, uint64_t size)
{
	return at >= base && range_ok(at - base, size, len);
}

static inline int fuzz_add(struct fuzz_host *h, bool io, uint64_t base, uint64_t len,
			   const struct io_ops *ops, void *dev)
{
	FUZZ_CHECK(io ? fuzz_inside(FUZZ_IO, FUZZ_IO_LEN, base, len)
		      : fuzz_inside(MAP_PCI32_BASE, MAP_PCI32_LEN, base, len) ||
				   fuzz_inside(FUZZ_HIGH_BASE, FUZZ_HIGH_LEN, base, len));
	for (unsigned int i = 0; i < h->nr_win; i++)
		if (h->win[i].io == io && base < h->win[i].base + h->win[i].len &&
		    h->win[i].base < base + len)
			return -EBUSY;
	FUZZ_CHECK(h->nr_win < FUZZ_WINDOWS);
	h->win[h->nr_win++] = (struct fuzz_window){ base, len, ops, dev, io };
	return 0;
}

static inline void fuzz_remove(struct fuzz_host *h, bool io, uint64_t base, uint64_t len)
{
	unsigned int i = 0;

	while (i < h->nr_win && (h->win[i].io != io || h->win[i].base != base || h->win[i].len != len))
		i++;
	FUZZ_CHECK(i < h->nr_win);
	h->win[i] = h->win[--h->nr_win];
}

static inline int fuzz_mmio_add(void *ctx, uint64_t gpa, uint64_t len, const struct io_ops *ops, void *dev,
				const char *name)
{
	(void)name;
	return fuzz_add(ctx, false, gpa, len, ops, dev);
}

static inline void fuzz_mmio_remove(void *ctx, uint64_t gpa, uint64_t len)
{
	fuzz_remove(ctx, false, gpa, len);
}

static inline int fuzz_pio_add(void *ctx, uint64_t port, uint64_t len, const struct io_ops *ops, void *dev,
			       const char *name)
{
	(void)name;
	return fuzz_add(ctx, true, port, len, ops, dev);
}

static inline void fuzz_pio_remove(void *ctx, uint64_t port, uint64_t len)
{
	fuzz_remove(ctx, true, port, len);
}

static inline int fuzz_msi_open(void *ctx, struct msi_vector *v)
{
	(void)ctx;
	*v = (struct msi_vector){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .gsi = 24 };
	return v->fd < 0 ? -errno : 0;
}

static inline void fuzz_msi_close(void *ctx, struct msi_vector *v)
{
	(void)ctx;
	if (v->fd >= 0)
		close(v->fd);
	*v = (struct msi_vector){ .fd = -1, .gsi = -1 };
}

static inline int fuzz_msi_set(void *ctx, struct msi_vector *v, uint64_t addr, uint32_t data)
{
	(void)ctx;
	(void)data;
	FUZZ_CHECK(v->fd >= 0);
	if (addr % 4)
		return -EINVAL;
	v->live = true;
	return 0;
}

static inline void fuzz_msi_mask(void *ctx, struct msi_vector *v)
{
	(void)ctx;
	FUZZ_CHECK(v->fd >= 0);
	v->live = false;
}

static inline int fuzz_doorbell(void *ctx, bool add, uint64_t gpa, unsigned int len, int fd)
{
	struct fuzz_host *h = ctx;
	unsigned int i = 0;

	if (add && h->refuse)
		return -ENOSPC;
	if (add) {
		FUZZ_CHECK(h->nr_bell < FUZZ_BELLS);
		h->bell[h->nr_bell++] = (struct fuzz_bell){ gpa, len, fd };
		return 0;
	}
	while (i < h->nr_bell && (h->bell[i].gpa != gpa || h->bell[i].len != len || h->bell[i].fd != fd))
		i++;
	FUZZ_CHECK(i < h->nr_bell);
	h->bell[i] = h->bell[--h->nr_bell];
	return 0;
}

static inline void fuzz_line(void *ctx, unsigned int pin, bool level)
{
	struct fuzz_host *h = ctx;

	FUZZ_CHECK(h->line[pin] != level); /* the root drives changes only */
	h->line[pin] = level;
}

/* The machine, with an empty root. */
static inline void fuzz_host_init(struct fuzz_host *h, struct pci_root *root)
{
	static const struct pci_windows windows = { .mem32_base = MAP_PCI32_BASE,
						    .mem32_len = MAP_PCI32_LEN,
						    .mem64_base = FUZZ_HIGH_BASE,
						    .mem64_len = FUZZ_HIGH_LEN,
						    .io_base = FUZZ_IO,
						    .io_len = FUZZ_IO_LEN };
	struct irq_line line[PCI_NR_LINES];

	*h = (struct fuzz_host){ .host = {
					 .ctx = h,
					 .mmio_add = fuzz_mmio_add,
					 .mmio_remove = fuzz_mmio_remove,
					 .pio_add = fuzz_pio_add,
					 .pio_remove = fuzz_pio_remove,
					 .msi_open = fuzz_msi_open,
					 .msi_close = fuzz_msi_close,
					 .msi_set = fuzz_msi_set,
					 .msi_mask = fuzz_msi_mask,
					 .doorbell = fuzz_doorbell,
				 } };
	for (unsigned int i = 0; i < PCI_NR_LINES; i++)
		line[i] = (struct irq_line){ .set = fuzz_line, .ctx = h, .pin = i };
	pci_root_init(root, &h->host, &windows, line);
}

/* A guest's write of size bytes: a doorbell there takes it, else the window. */
static inline void fuzz_mmio_write(struct fuzz_host *h, uint64_t gpa, unsigned int size, uint64_t val)
{
	uint64_t one = 1;

	for (unsigned int i = 0; i < h->nr_bell; i++)
		if (h->bell[i].gpa == gpa && (!h->bell[i].len || h->bell[i].len == size)) {
			FUZZ_CHECK(write(h->bell[i].fd, &one, sizeof(one)) == sizeof(one));
			return;
		}
	for (unsigned int i = 0; i < h->nr_win; i++)
		if (!h->win[i].io && fuzz_inside(h->win[i].base, h->win[i].len, gpa, 1)) {
			h->win[i].ops->write(h->win[i].dev, gpa - h->win[i].base, size, val);
			return;
		}
}

static inline uint64_t fuzz_mmio_read(struct fuzz_host *h, uint64_t gpa, unsigned int size)
{
	for (unsigned int i = 0; i < h->nr_win; i++)
		if (!h->win[i].io && fuzz_inside(h->win[i].base, h->win[i].len, gpa, 1))
			return h->win[i].ops->read(h->win[i].dev, gpa - h->win[i].base, size);
	return ones(size);
}

#endif
