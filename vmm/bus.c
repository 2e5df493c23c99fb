/* Address to device. A window is copied out under the lock and called without it. */
#include "vmm/bus.h"

#include <errno.h>
#include <stdlib.h>

void bus_init(struct bus *bus, const char *name, uint64_t limit)
{
	*bus = (struct bus){ .name = name, .limit = limit };
	pthread_rwlock_init(&bus->lock, NULL);
}

void bus_fini(struct bus *bus)
{
	if (!bus->name)
		return;
	pthread_rwlock_destroy(&bus->lock);
	free(bus->window);
	*bus = (struct bus){ 0 };
}

/* The number of windows which begin at or below addr. */
static unsigned int bus_rank(const struct bus *bus, uint64_t addr)
{
	unsigned int lo = 0, hi = bus->nr_windows;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (bus->window[mid].base <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int bus_insert_locked(struct bus *bus, const struct bus_window *w, struct err *e)
{
	unsigned int at = bus_rank(bus, w->base);
	const struct bus_window *hit = NULL;

	if (at > 0 && w->base - bus->window[at - 1].base < bus->window[at - 1].len)
		hit = &bus->window[at - 1];
	else if (at < bus->nr_windows && bus->window[at].base - w->base < w->len)
		hit = &bus->window[at];
	if (hit)
		return err_set(e, -EBUSY, "%s: %s 0x%llx to 0x%llx overlaps %s at 0x%llx", w->name, bus->name,
			       (unsigned long long)w->base, (unsigned long long)(w->base + w->len - 1), hit->name,
			       (unsigned long long)hit->base);
	if (bus->nr_windows == BUS_MAX_WINDOWS)
		return err_set(e, -ENOSPC, "%s: more than %d windows", w->name, BUS_MAX_WINDOWS);
	if ((bus->nr_windows & (bus->nr_windows - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
		size_t cap = bus->nr_windows ? 2 * (size_t)bus->nr_windows : 1;
		struct bus_window *grown = realloc(bus->window, cap * sizeof(*grown));

		if (!grown)
			return err_set(e, -ENOMEM, "%s: out of memory", w->name);
		bus->window = grown;
	}
	memmove(&bus->window[at + 1], &bus->window[at], (bus->nr_windows - at) * sizeof(*w));
	bus->window[at] = *w;
	bus->nr_windows++;
	return 0;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t len, const struct io_ops *ops, void *dev, const char *name,
	    struct err *e)
{
	struct bus_window w = { .base = base, .len = len, .ops = ops, .dev = dev, .name = name };
	int rc;

	if (!len || !range_ok(base, len, bus->limit ? bus->limit : UINT64_MAX))
		return err_set(e, -ERANGE, "%s: %s 0x%llx with length 0x%llx does not exist", name, bus->name,
			       (unsigned long long)base, (unsigned long long)len);
	pthread_rwlock_wrlock(&bus->lock);
	rc = bus_insert_locked(bus, &w, e);
	pthread_rwlock_unlock(&bus->lock);
	return rc;
}

int bus_add_exact(struct bus *bus, uint64_t base, uint64_t len, const struct io_ops *ops, void *dev,
		  const char *name, struct err *e)
{
	if (bus->nr_exact == ARRAY_SIZE(bus->exact))
		return err_set(e, -ENOSPC, "%s: no room for another exact window", name);
	bus->exact[bus->nr_exact++] =
		(struct bus_window){ .base = base, .len = len, .ops = ops, .dev = dev, .name = name };
	return 0;
}

void bus_remove(struct bus *bus, uint64_t base, uint64_t len)
{
	unsigned int at;

	pthread_rwlock_wrlock(&bus->lock);
	at = bus_rank(bus, base);
	if (at > 0 && bus->window[at - 1].base == base && bus->window[at - 1].len == len) {
		memmove(&bus->window[at - 1], &bus->window[at], (bus->nr_windows - at) * sizeof(bus->window[0]));
		bus->nr_windows--;
	}
	pthread_rwlock_unlock(&bus->lock);
}

/* The window that holds all of [addr, addr + size), copied into w. */
static bool bus_find(struct bus *bus, uint64_t addr, unsigned int size, struct bus_window *w)
{
	bool found = false;
	unsigned int at;

	pthread_rwlock_rdlock(&bus->lock);
	for (unsigned int i = 0; i < bus->nr_exact && !found; i++)
		if (bus->exact[i].base == addr && bus->exact[i].len == size) {
			*w = bus->exact[i];
			found = true;
		}
	at = bus_rank(bus, addr);
	if (!found && at > 0 && range_ok(addr - bus->window[at - 1].base, size, bus->window[at - 1].len)) {
		*w = bus->window[at - 1];
		found = true;
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

/* Sizes that a device is asked for; KVM makes others when an access crosses a page. */
static bool size_is_plain(unsigned int size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned int size)
{
	struct bus_window w;
	uint64_t val = 0;

	if (size_is_plain(size) && bus_find(bus, addr, size, &w))
		return w.ops->read(w.dev, addr - w.base, size) & ones(size);
	if (size == 1)
		return 0xff;
	for (unsigned int i = 0; i < size; i++)
		val |= bus_read(bus, addr + i, 1) << (8 * i);
	return val;
}

void bus_write(struct bus *bus, uint64_t addr, unsigned int size, uint64_t val)
{
	struct bus_window w;

	if (size_is_plain(size) && bus_find(bus, addr, size, &w)) {
		w.ops->write(w.dev, addr - w.base, size, val & ones(size));
		return;
	}
	for (unsigned int i = 0; size > 1 && i < size; i++)
		bus_write(bus, addr + i, 1, (val >> (8 * i)) & 0xff);
}
