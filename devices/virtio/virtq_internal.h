/*
 * What virtq.c shares with its two ring formats, virtq_split.c and virtq_packed.c. Not for devices.
 */
#ifndef TRELLIS_DEVICES_VIRTQ_INTERNAL_H
#define TRELLIS_DEVICES_VIRTQ_INTERNAL_H

#include <linux/virtio_ring.h>

#include "devices/virtio/virtq.h"

enum { VIRTQ_DESC_BYTES = 16 };

/* One descriptor, our copy. */
struct virtq_desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* packed: the buffer id */
};

/* A chain in the making. It becomes the queue's only when its last descriptor was sound. */
struct virtq_walk {
	struct virtq *q;
	struct chain *c;   /* a free one: its few[] and its part of q->many may be written */
	struct iovec *seg; /* where the segments are collected: one of these two */
	unsigned int nr_descs, nr_segs, nr_out;
	bool in; /* a writable descriptor was seen */
	bool bad;
};

/*
 * The little-endian halfword at p, which the driver may write meanwhile; p is even. Relaxed unless the name
 * says otherwise.
 */
static inline uint16_t ring_get16(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED));
}

static inline uint16_t ring_get16_acquire(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE));
}

static inline void ring_put16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(v), __ATOMIC_RELAXED);
}

static inline void ring_put16_release(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(v), __ATOMIC_RELEASE);
}

/*
 * Copy 16 bytes of a descriptor, at any alignment (indirect tables have none), exactly once: the fence keeps
 * the compiler from reading the driver's memory again for what it has in a register.
 */
static inline void ring_copy_desc(uint8_t to[VIRTQ_DESC_BYTES], const uint8_t *from)
{
	memcpy(to, from, VIRTQ_DESC_BYTES);
	atomic_signal_fence(memory_order_seq_cst);
}

/* The host address of a segment, or NULL. As gmem_hva(), inline: it is asked for each segment. len is not 0. */
static inline void *virtq_hva(const struct virtq *q, uint64_t gpa, uint32_t len)
{
	for (unsigned int i = 0; i < q->mem->nr_ranges; i++) {
		const struct gmem_range *r = &q->mem->range[i];

		/* Below the range the difference wraps to more than any length. */
		if (range_ok(gpa - r->gpa, len, r->len))
			return r->hva + (gpa - r->gpa);
	}
	return NULL;
}

/* The free chain that the next pop would take; there must be one. Last released, first taken. */
static inline struct chain *virtq_free_chain(const struct virtq *q)
{
	return &q->chain[q->free[q->setup.size - q->nr_open - 1]];
}

/* Say once that the ring is nonsense. Returns NULL, for virtq_pop(). */
struct chain *virtq_fail(struct virtq *q, const char *why);

/* Begin a chain; a free one must be there. */
static inline void virtq_walk_begin(struct virtq_walk *w, struct virtq *q)
{
	struct chain *c = virtq_free_chain(q);

	*w = (struct virtq_walk){ .q = q, .c = c, .seg = c->few };
}

/* The segments outgrow few[]. */
void virtq_walk_grow(struct virtq_walk *w);

/*
 * Take one descriptor that is no reference to a table.
 * Returns NULL, or what is wrong with the ring.
 */
static inline const char *virtq_walk_add(struct virtq_walk *w, const struct virtq_desc *d)
{
	bool in = d->flags & VRING_DESC_F_WRITE;
	void *hva;

	if (w->nr_descs++ == w->q->max_size)
		return "a chain is longer than the queue";
	if (w->in && !in)
		return "a readable descriptor follows a writable one";
	w->in = in;
	if (!d->len)
		return NULL;
	if (w->nr_segs == CHAIN_FEW_SEGS && w->seg == w->c->few)
		virtq_walk_grow(w);
	hva = virtq_hva(w->q, d->gpa, d->len);
	w->bad |= !hva;
	w->seg[w->nr_segs++] = (struct iovec){ hva, d->len };
	w->nr_out += !in;
	return NULL;
}

/*
 * Look up the table that d refers to, having checked d itself. nr receives its number of entries.
 * Returns NULL, or what is wrong with the ring.
 */
const char *virtq_walk_table(const struct virtq_walk *w, const struct virtq_desc *d, const uint8_t **table,
			     uint32_t *nr);

/* The chain is whole: it is open from now on, under this id and with so many ring entries. */
struct chain *virtq_walk_end(struct virtq_walk *w, uint16_t id, uint16_t nr_entries);

/*
 * The event index rule (2.7.7.1, 2.7.10.1): was the entry at event passed on the way from old to now?
 * All three count the same way and wrap at 2^16.
 */
static inline bool virtq_event_passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/*
 * The two formats; q is started and not broken.
 *
 * ready     is there something to pop, or something wrong to find?
 * pop       the next chain, or NULL
 * unpop     step back over c
 * put       write one used entry that the driver does not see yet
 * publish   show what was put. Returns whether the driver wants an interrupt for it
 * kicks     ask for a kick at the next chain, or for none
 */
bool virtq_split_ready(const struct virtq *q);
struct chain *virtq_split_pop(struct virtq *q);
void virtq_split_unpop(struct virtq *q, const struct chain *c);
void virtq_split_put(struct virtq *q, const struct chain *c, uint32_t len);
bool virtq_split_publish(struct virtq *q);
void virtq_split_kicks(struct virtq *q, bool on);

bool virtq_packed_ready(const struct virtq *q);
struct chain *virtq_packed_pop(struct virtq *q);
void virtq_packed_unpop(struct virtq *q, const struct chain *c);
void virtq_packed_put(struct virtq *q, const struct chain *c, uint32_t len);
bool virtq_packed_publish(struct virtq *q);
void virtq_packed_kicks(struct virtq *q, bool on);

#endif
