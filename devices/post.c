/*
 * Port 0x80. Linux writes here just to wait (v6.1, native_io_delay()), so a write costs a lock, a clock
 * reading only when the value changes, and no system call. It interprets no value.
 */
#include "devices/post.h"

#include "vmm/base/loop.h"

static uint64_t post_read(void *dev, uint64_t off, unsigned int size)
{
	struct post *p = dev;
	uint8_t val;

	if (off)
		return ones(size);
	pthread_mutex_lock(&p->lock);
	val = p->last;
	pthread_mutex_unlock(&p->lock);
	return (ones(size) & ~0xffull) | val;
}

/* Returns whether this was the first write since init. */
static bool post_note_locked(struct post *p, uint8_t val)
{
	struct post_code *newest = &p->ring[(p->nr_codes + POST_RING - 1) % POST_RING];
	uint64_t ns;
	bool first = !p->seen;

	p->last = val;
	if (p->nr_codes && newest->value == val) {
		newest->repeats++;
		return false;
	}
	ns = clock_now_ns() - p->start_ns;
	p->ring[p->nr_codes++ % POST_RING] = (struct post_code){ .value = val, .ns = ns, .repeats = 1 };
	if (first) {
		p->seen = true;
		p->first_ns = MAX(ns, 1);
	}
	return first;
}

static void post_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct post *p = dev;
	uint64_t first_ns;
	bool first;

	(void)size;
	if (off)
		return;
	pthread_mutex_lock(&p->lock);
	first = post_note_locked(p, (uint8_t)val);
	first_ns = p->first_ns;
	pthread_mutex_unlock(&p->lock);
	if (first && p->first)
		p->first(p->first_ctx, first_ns);
}

const struct io_ops post_io_ops = { .read = post_read, .write = post_write };

uint64_t post_first_ns(struct post *p)
{
	uint64_t ns;

	pthread_mutex_lock(&p->lock);
	ns = p->first_ns;
	pthread_mutex_unlock(&p->lock);
	return ns;
}

void post_each(struct post *p, void (*show)(void *ctx, const struct post_code *code), void *ctx)
{
	struct post_code ring[POST_RING];
	uint64_t end, nr;

	pthread_mutex_lock(&p->lock);
	memcpy(ring, p->ring, sizeof(ring));
	end = p->nr_codes;
	pthread_mutex_unlock(&p->lock);
	nr = MIN(end, POST_RING);
	for (uint64_t i = end - nr; i < end; i++)
		show(ctx, &ring[i % POST_RING]);
}

static void post_reset(void *dev)
{
	struct post *p = dev;

	pthread_mutex_lock(&p->lock);
	p->nr_codes = 0;
	p->last = 0;
	pthread_mutex_unlock(&p->lock);
}

/* Only what the guest can read: the ring is our diary of this process. */
static void post_save(void *dev, struct buf *b)
{
	struct post *p = dev;

	pthread_mutex_lock(&p->lock);
	buf_put8(b, p->last);
	pthread_mutex_unlock(&p->lock);
}

static int post_load(void *dev, struct state_reader *r, struct err *e)
{
	struct post *p = dev;

	(void)e; /* any byte is a state */
	pthread_mutex_lock(&p->lock);
	p->last = state_get8(r);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

const struct dev_ops post_dev_ops = {
	.version = 1,
	.reset = post_reset,
	.save = post_save,
	.load = post_load,
};

void post_init(struct post *p, uint64_t start_ns, void (*first)(void *ctx, uint64_t ns), void *first_ctx)
{
	*p = (struct post){ .start_ns = start_ns, .first = first, .first_ctx = first_ctx };
	pthread_mutex_init(&p->lock, NULL);
}

void post_fini(struct post *p)
{
	pthread_mutex_destroy(&p->lock);
}
