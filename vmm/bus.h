/*
 * Ports and memory-mapped registers: which window answers at an address. A bus has one of each kind,
 * pio (64 Ki ports) and mmio. It knows no device beyond its io_ops.
 */
#ifndef TRELLIS_BUS_H
#define TRELLIS_BUS_H

#include <pthread.h>

#include "vmm/base/dev.h"
#include "vmm/base/err.h"

enum { BUS_MAX_WINDOWS = 512 };

struct bus_window {
	uint64_t base, len;
	const struct io_ops *ops; /* borrowed */
	void *dev;                /* borrowed */
	const char *name;         /* borrowed; for messages */
};

struct bus {
	const char *name;         /* "port" or "address" */
	uint64_t limit;           /* windows end at or below it; 0: 2^64 - 1 */
	pthread_rwlock_t lock;    /* held for look-up and change only, never while a device is called */
	unsigned int nr_windows;  /* guarded by lock */
	struct bus_window *window; /* owned; guarded by lock; by rising base, disjoint */
	struct bus_window exact[2]; /* guarded by lock; see bus_add_exact() */
	unsigned int nr_exact;
};

/* Safe to fini an all-zero bus. name and limit as in the struct. */
void bus_init(struct bus *bus, const char *name, uint64_t limit);
void bus_fini(struct bus *bus);

/*
 * Have ops answer at [base, base + len).
 * Returns 0; -EBUSY with a sentence when it overlaps another window; -ERANGE beyond the limit;
 * -ENOSPC or -ENOMEM. Any thread, also under a device's lock.
 */
MUST_CHECK int bus_add(struct bus *bus, uint64_t base, uint64_t len, const struct io_ops *ops, void *dev,
		       const char *name, struct err *e);

/*
 * Have ops answer an access of exactly len bytes at base, before any window is asked. This is how
 * port 0xcf8 is PCI's for 4 bytes and its neighbour 0xcf9 the reset register's for one byte
 * (PCI Local Bus 3.0, 3.2.2.3.2). Setup only; at most two.
 */
MUST_CHECK int bus_add_exact(struct bus *bus, uint64_t base, uint64_t len, const struct io_ops *ops, void *dev,
			     const char *name, struct err *e);

/*
 * Take away the window that begins at base and has this length; nothing happens when there is none.
 * An access that another thread began before may still be inside the device.
 */
void bus_remove(struct bus *bus, uint64_t base, uint64_t len);

/*
 * One access of size bytes (1 to 8) by the guest. Nobody there: reads give all ones, writes are
 * dropped. An access that leaves its window, or of an odd size, is done in pieces.
 * vCPU threads; no lock is held while the device is called.
 */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned int size);
void bus_write(struct bus *bus, uint64_t addr, unsigned int size, uint64_t val);

#endif
