/*
 * Packed rings (virtio 1.2, 2.8): one ring of descriptors, which the device overwrites with used ones, and two
 * words that say when to interrupt and when to kick. Memory, order and who is told are virtq.c's business.
 *
 *   descriptor  le64 addr, le32 len, le16 id, le16 flags   (2.8.13)
 *   event       le16 offset and wrap counter, le16 flags   (2.8.14)
 */
#include "devices/virtio/virtq_internal.h"

enum {
	DESC_LEN = 8,
	DESC_ID = 12,
	DESC_FLAGS = 14,
	FLAG_AVAIL = 1 << VRING_PACKED_DESC_F_AVAIL,
	FLAG_USED = 1 << VRING_PACKED_DESC_F_USED,
	EVENT_WRAP = 1 << VRING_PACKED_EVENT_F_WRAP_CTR,
};

static uint8_t *entry_at(const struct virtq *q, uint16_t at)
{
	return q->desc + (size_t)at * VIRTQ_DESC_BYTES;
}

static struct virtq_desc desc_get(const uint8_t *from)
{
	uint8_t raw[VIRTQ_DESC_BYTES];

	ring_copy_desc(raw, from);
	return (struct virtq_desc){
		.gpa = get_le64(raw),
		.len = get_le32(raw + DESC_LEN),
		.next = get_le16(raw + DESC_ID),
		.flags = get_le16(raw + DESC_FLAGS),
	};
}

/* Move a place in the ring on by nr entries, at most its size; the wrap counter turns at the end (2.8.1). */
static void step(const struct virtq *q, uint16_t *place, bool *wrap, unsigned int nr)
{
	unsigned int next = *place + nr;

	if (next >= q->setup.size) {
		next -= q->setup.size;
		*wrap = !*wrap;
	}
	*place = (uint16_t)next;
}

bool virtq_packed_ready(const struct virtq *q)
{
	/*
	 * Pairs with the driver's barrier before it writes the flags of a chain's first descriptor, after all
	 * else of the chain (2.8.17.1.1).
	 */
	uint16_t flags = ring_get16_acquire(entry_at(q, q->next_avail) + DESC_FLAGS);

	return !!(flags & FLAG_AVAIL) == q->avail_wrap && !!(flags & FLAG_USED) != q->avail_wrap;
}

/* An indirect table: all its entries, one after the other; of their flags only WRITE counts (2.8.7). */
static const char *walk_table(struct virtq_walk *w, const struct virtq_desc *ref)
{
	const uint8_t *table;
	uint32_t nr;
	const char *why = virtq_walk_table(w, ref, &table, &nr);

	for (uint32_t i = 0; !why && i < nr; i++) {
		struct virtq_desc d = desc_get(table + (size_t)i * VIRTQ_DESC_BYTES);

		why = virtq_walk_add(w, &d);
	}
	return why;
}

/* id and nr receive the buffer id, which is in the last descriptor (2.8.6), and how many entries there are. */
static const char *walk(struct virtq_walk *w, uint16_t *id, uint16_t *nr)
{
	const struct virtq *q = w->q;
	unsigned int room = q->setup.size - q->nr_taken;
	uint16_t at = q->next_avail;

	for (unsigned int n = 1; n <= room; n++) {
		struct virtq_desc d = desc_get(entry_at(q, at));
		const char *why;

		*id = d.next;
		*nr = (uint16_t)n;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (n > 1) /* a chain has entries of one kind only (2.8.5) */
				return "an indirect descriptor is part of a chain";
			return walk_table(w, &d);
		}
		why = virtq_walk_add(w, &d);
		if (why || !(d.flags & VRING_DESC_F_NEXT))
			return why;
		at = at + 1 == q->setup.size ? 0 : at + 1;
	}
	return "a chain is longer than the queue"; /* it runs into entries that are ours */
}

struct chain *virtq_packed_pop(struct virtq *q)
{
	struct virtq_walk w;
	const char *why;
	uint16_t id, nr;

	if (!virtq_packed_ready(q))
		return NULL;
	/* Each open chain takes an entry at least, so that there is a free chain when there is an entry. */
	if (q->nr_taken == q->setup.size)
		return virtq_fail(q, "a descriptor was made available while the device has it");

	virtq_walk_begin(&w, q);
	why = walk(&w, &id, &nr);
	if (why)
		return virtq_fail(q, why);
	step(q, &q->next_avail, &q->avail_wrap, nr);
	return virtq_walk_end(&w, id, nr);
}

void virtq_packed_unpop(struct virtq *q, const struct chain *c)
{
	if (q->next_avail < c->nr_descs) {
		q->next_avail += q->setup.size;
		q->avail_wrap = !q->avail_wrap;
	}
	q->next_avail -= c->nr_descs;
}

void virtq_packed_put(struct virtq *q, const struct chain *c, uint32_t len)
{
	uint8_t *entry = entry_at(q, q->next_used);
	uint16_t flags = q->used_wrap ? FLAG_AVAIL | FLAG_USED : 0;

	if (len)
		flags |= VRING_DESC_F_WRITE; /* else len is reserved (2.8.4) */
	put_le32(entry + DESC_LEN, len);
	put_le16(entry + DESC_ID, c->id);
	/* The driver polls the first entry of a batch and goes on from there: that one comes last (2.8.9). */
	if (!q->unpublished)
		q->held_flags = flags;
	else
		ring_put16(entry + DESC_FLAGS, flags);
	q->unpublished += c->nr_descs;
	step(q, &q->next_used, &q->used_wrap, c->nr_descs);
}

/* Does the driver's event lie in what was just published, from told_used to next_used? */
static bool event_passed(const struct virtq *q, uint16_t off_wrap)
{
	uint16_t event = off_wrap & ~EVENT_WRAP;
	uint16_t old = q->told_used;

	/* Places of the round before count down from 0. */
	if (!!(off_wrap & EVENT_WRAP) != q->used_wrap)
		event -= q->setup.size;
	if (q->told_wrap != q->used_wrap)
		old -= q->setup.size;
	return virtq_event_passed(event, q->next_used, old);
}

bool virtq_packed_publish(struct virtq *q)
{
	uint32_t event;
	bool wanted;

	/* Pairs with the driver's read barrier behind the flags of a used descriptor (2.8.21). */
	ring_put16_release(entry_at(q, q->told_used) + DESC_FLAGS, q->held_flags);

	/*
	 * Pairs with the driver's full barrier between asking for interrupts and looking at its next entry once
	 * more (Linux: virtqueue_enable_cb_prepare() and virtqueue_poll()): one of us sees the other's store.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	/* The driver writes the offset before the flags: both in one go are never a new flag with an old offset. */
	event = le32toh(__atomic_load_n((const uint32_t *)(const void *)q->driver, __ATOMIC_ACQUIRE));
	switch (event >> 16 & 3) {
	case VRING_PACKED_EVENT_FLAG_DISABLE:
		wanted = false;
		break;
	case VRING_PACKED_EVENT_FLAG_DESC:
		wanted = !q->setup.event_idx || event_passed(q, (uint16_t)event);
		break;
	default:
		wanted = true;
	}
	q->told_used = q->next_used;
	q->told_wrap = q->used_wrap;
	return wanted;
}

void virtq_packed_kicks(struct virtq *q, bool on)
{
	uint32_t flags = VRING_PACKED_EVENT_FLAG_DISABLE, off_wrap = 0;

	if (on && q->setup.event_idx) {
		flags = VRING_PACKED_EVENT_FLAG_DESC;
		off_wrap = q->next_avail | (q->avail_wrap ? EVENT_WRAP : 0);
	} else if (on) {
		flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
	__atomic_store_n((uint32_t *)(void *)q->device, htole32(flags << 16 | off_wrap), __ATOMIC_RELAXED);
}
