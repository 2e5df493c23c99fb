/*
 * What split and packed queues have in common: where they lie, the chains' memory, the order of completion,
 * and who is told. Ring formats are in virtq_split.c and virtq_packed.c, cursors in chain.c.
 */
#include "devices/virtio/virtq.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "devices/virtio/virtq_internal.h"

/* One mapping holds all of a queue's own memory; what no chain has used costs no host memory. */
struct layout {
	size_t free, order, chain, many, bytes;
};

static struct layout layout_of(const struct virtq *q)
{
	size_t size = q->setup.size;
	struct layout l = { .free = 0, .order = size * sizeof(*q->free) };

	l.chain = align_up(l.order + size * sizeof(*q->order), _Alignof(struct chain));
	l.many = align_up(l.chain + size * sizeof(*q->chain), 4 * KIB);
	l.bytes = l.many + size * q->max_size * sizeof(*q->many);
	return l;
}

void virtq_init(struct virtq *q, const struct gmem *mem, const char *name, unsigned int nr, uint16_t max_size)
{
	*q = (struct virtq){ .mem = mem, .name = name, .nr = nr, .max_size = MIN(max_size, VIRTQ_MAX_SIZE) };
}

void virtq_attach(struct virtq *q, const atomic_bool *access,
		  void (*fail)(void *ctx, struct virtq *q, const char *why),
		  void (*interrupt)(void *ctx, struct virtq *q), void *ctx)
{
	q->access = access;
	q->fail = fail;
	q->interrupt = interrupt;
	q->ctx = ctx;
}

/* Find one of the three areas. align is a power of two. */
static int area_find(const struct virtq *q, uint64_t gpa, size_t len, size_t align, uint8_t **hva)
{
	if (gpa % align)
		return -EINVAL;
	*hva = gmem_hva(q->mem, gpa, len);
	return *hva ? 0 : -EFAULT;
}

/* Sizes and alignments: virtio 1.2, 2.7 and 2.8.10.1. */
static int areas_find(struct virtq *q)
{
	const struct virtq_setup *s = &q->setup;
	size_t desc = (size_t)VIRTQ_DESC_BYTES * s->size;
	int rc;

	if (s->packed) {
		if ((rc = area_find(q, s->desc, desc, 16, &q->desc)) < 0 ||
		    (rc = area_find(q, s->driver, 4, 4, &q->driver)) < 0)
			return rc;
		return area_find(q, s->device, 4, 4, &q->device);
	}
	if ((rc = area_find(q, s->desc, desc, 16, &q->desc)) < 0 ||
	    (rc = area_find(q, s->driver, 6 + 2 * (size_t)s->size, 2, &q->driver)) < 0)
		return rc;
	return area_find(q, s->device, 6 + 8 * (size_t)s->size, 4, &q->device);
}

int virtq_start(struct virtq *q, const struct virtq_setup *setup)
{
	struct layout l;
	uint8_t *mem;
	int rc;

	virtq_stop(q);
	if (!setup->size || setup->size > q->max_size)
		return -EINVAL;
	if (!setup->packed && (setup->size & (setup->size - 1))) /* virtio 1.2, 2.7 */
		return -EINVAL;
	q->setup = *setup;
	rc = areas_find(q);
	if (rc < 0)
		return rc;

	l = layout_of(q);
	mem = mmap(NULL, l.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	q->free = (void *)(mem + l.free);
	q->order = (void *)(mem + l.order);
	q->chain = (void *)(mem + l.chain);
	q->many = (void *)(mem + l.many);
	for (unsigned int i = 0; i < setup->size; i++)
		q->free[i] = (uint16_t)(setup->size - 1 - i);

	q->broken = q->quiet = false;
	q->next_avail = q->next_used = q->told_used = 0;
	q->avail_wrap = q->used_wrap = q->told_wrap = true;
	q->unpublished = q->nr_open = q->nr_taken = 0;
	q->order_head = q->order_len = 0;
	q->started = true;
	return 0;
}

void virtq_stop(struct virtq *q)
{
	if (!q->started)
		return;
	munmap(q->free, layout_of(q).bytes); /* free is the first in it */
	q->free = q->order = NULL;
	q->chain = NULL;
	q->many = NULL;
	q->started = false;
}

void virtq_indices(const struct virtq *q, uint16_t *avail, uint16_t *used)
{
	*avail = q->next_avail;
	*used = q->next_used;
	if (q->setup.packed) {
		*avail |= (uint16_t)(q->avail_wrap << 15);
		*used |= (uint16_t)(q->used_wrap << 15);
	}
}

void virtq_set_indices(struct virtq *q, uint16_t avail, uint16_t used)
{
	if (q->setup.packed) {
		q->avail_wrap = avail >> 15;
		q->used_wrap = used >> 15;
		avail &= 0x7fff;
		used &= 0x7fff;
		if (avail >= q->setup.size || used >= q->setup.size) {
			virtq_fail(q, "its saved place lies beyond the queue");
			avail = used = 0;
		}
	}
	q->next_avail = avail;
	q->next_used = q->told_used = used;
	q->told_wrap = q->used_wrap;
	q->unpublished = q->nr_taken = 0;
}

struct chain *virtq_fail(struct virtq *q, const char *why)
{
	if (!q->broken) {
		q->broken = true;
		q->fail(q->ctx, q, why);
	}
	return NULL;
}

void virtq_walk_grow(struct virtq_walk *w)
{
	/* A chain has at most max_size descriptors, whatever part of them is in an indirect table. */
	w->seg = w->q->many + (size_t)(w->c - w->q->chain) * w->q->max_size;
	memcpy(w->seg, w->c->few, sizeof(w->c->few));
}

const char *virtq_walk_table(const struct virtq_walk *w, const struct virtq_desc *d, const uint8_t **table,
			     uint32_t *nr)
{
	if (!w->q->setup.indirect)
		return "an indirect descriptor came without the feature";
	if (d->flags & VRING_DESC_F_NEXT) /* 2.7.5.3.1 */
		return "an indirect descriptor is not the last of its chain";
	if (!d->len || d->len % VIRTQ_DESC_BYTES)
		return "the length of an indirect table is not that of descriptors";
	*table = gmem_hva(w->q->mem, d->gpa, d->len);
	*nr = d->len / VIRTQ_DESC_BYTES;
	return *table ? NULL : "an indirect table does not lie in RAM";
}

struct chain *virtq_walk_end(struct virtq_walk *w, uint16_t id, uint16_t nr_entries)
{
	struct virtq *q = w->q;
	struct chain *c = w->c;

	c->q = q;
	c->out = w->seg;
	c->in = w->seg + w->nr_out;
	c->nr_out = (uint16_t)w->nr_out;
	c->nr_in = (uint16_t)(w->nr_segs - w->nr_out);
	c->id = id;
	c->nr_descs = nr_entries;
	c->bad = w->bad;
	c->open = true;
	c->done = false;
	c->nr = (uint32_t)(c - q->chain);
	c->user = NULL;

	q->nr_open++;
	q->nr_taken += nr_entries;
	if (q->setup.in_order) {
		q->order[(q->order_head + q->order_len) % q->setup.size] = (uint16_t)c->nr;
		q->order_len++;
	}
	return c;
}

/* May we look at, and write into, the rings now? */
static bool usable(const struct virtq *q)
{
	return q->started && !q->broken &&
	       (!q->access || atomic_load_explicit(q->access, memory_order_relaxed));
}

struct chain *virtq_pop(struct virtq *q)
{
	if (!usable(q))
		return NULL;
	return q->setup.packed ? virtq_packed_pop(q) : virtq_split_pop(q);
}

/* The chain is free again; the last one released is the first one taken, while it is in the cache. */
static void release(struct virtq *q, struct chain *c)
{
	c->open = false;
	q->free[q->setup.size - q->nr_open] = (uint16_t)c->nr;
	q->nr_open--;
}

void virtq_unpop(struct virtq *q, struct chain *c)
{
	assert(c->q == q && c->open && !c->done); /* the device's own: it came from virtq_pop() */
	if (q->setup.packed)
		virtq_packed_unpop(q, c);
	else
		virtq_split_unpop(q, c);
	if (q->setup.in_order)
		q->order_len--;
	q->nr_taken -= c->nr_descs;
	release(q, c);
}

bool virtq_want_kicks(struct virtq *q)
{
	if (!usable(q))
		return false;
	q->quiet = false;
	if (q->setup.packed)
		virtq_packed_kicks(q, true);
	else
		virtq_split_kicks(q, true);
	/*
	 * Pairs with the driver's full barrier between making a buffer available and looking whether we want a
	 * kick (2.7.13.4, 2.8.17.2): one of us sees the other's store.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	return q->setup.packed ? virtq_packed_ready(q) : virtq_split_ready(q);
}

void virtq_no_kicks(struct virtq *q)
{
	if (q->quiet || !usable(q))
		return;
	q->quiet = true;
	if (q->setup.packed)
		virtq_packed_kicks(q, false);
	else
		virtq_split_kicks(q, false);
}

static void put(struct virtq *q, struct chain *c, uint32_t len)
{
	if (q->setup.packed)
		virtq_packed_put(q, c, len);
	else
		virtq_split_put(q, c, len);
	release(q, c);
}

void chain_complete(struct chain *c, uint32_t len)
{
	struct virtq *q = c->q;

	assert(c->open && !c->done); /* the device's own: it came from virtq_pop(), and comes back once */
	if (!q->setup.in_order) {
		put(q, c, len);
		return;
	}
	/* Buffers are used in the order in which they came (2.7.9, 2.8.8): wait for those before this one. */
	c->done = true;
	c->used_len = len;
	while (q->order_len && q->chain[q->order[q->order_head]].done) {
		struct chain *first = &q->chain[q->order[q->order_head]];

		q->order_head = (uint16_t)((q->order_head + 1) % q->setup.size);
		q->order_len--;
		first->done = false;
		put(q, first, first->used_len);
	}
}

void virtq_flush(struct virtq *q)
{
	bool wanted;

	if (!q->unpublished)
		return;
	wanted = q->setup.packed ? virtq_packed_publish(q) : virtq_split_publish(q);
	q->nr_taken -= q->unpublished;
	q->unpublished = 0;
	if (wanted)
		q->interrupt(q->ctx, q);
}
