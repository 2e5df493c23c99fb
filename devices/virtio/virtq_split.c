/*
 * Split rings (virtio 1.2, 2.7): a table of descriptors, a ring of heads that are available, a ring of heads
 * that were used. Memory, order and who is told are virtq.c's business.
 *
 *   available  le16 flags, le16 idx, le16 ring[size], le16 used_event          (2.7.6)
 *   used       le16 flags, le16 idx, { le32 id, le32 len } ring[size], le16 avail_event  (2.7.8)
 */
#include "devices/virtio/virtq_internal.h"

enum { RING_FLAGS = 0, RING_IDX = 2, RING_ENTRIES = 4 };

static struct virtq_desc desc_get(const uint8_t *from)
{
	uint8_t raw[VIRTQ_DESC_BYTES];

	ring_copy_desc(raw, from);
	return (struct virtq_desc){
		.gpa = get_le64(raw),
		.len = get_le32(raw + 8),
		.flags = get_le16(raw + 12),
		.next = get_le16(raw + 14),
	};
}

static uint8_t *avail_entry(const struct virtq *q, uint16_t idx)
{
	return q->driver + RING_ENTRIES + 2 * (idx & (q->setup.size - 1u));
}

static uint8_t *used_entry(const struct virtq *q, uint16_t idx)
{
	return q->device + RING_ENTRIES + 8 * (idx & (q->setup.size - 1u));
}

static uint8_t *used_event(const struct virtq *q)
{
	return q->driver + RING_ENTRIES + 2 * q->setup.size;
}

static uint8_t *avail_event(const struct virtq *q)
{
	return q->device + RING_ENTRIES + 8 * q->setup.size;
}

bool virtq_split_ready(const struct virtq *q)
{
	/* Pairs with the driver's release of avail->idx (2.7.13): the entries before it are complete. */
	return ring_get16_acquire(q->driver + RING_IDX) != q->next_avail;
}

/* An indirect table: its entries are chained by next as those of the big table are (2.7.5.3). */
static const char *walk_table(struct virtq_walk *w, const struct virtq_desc *ref)
{
	const uint8_t *table;
	uint32_t nr, at = 0;
	const char *why = virtq_walk_table(w, ref, &table, &nr);

	while (!why) {
		struct virtq_desc d = desc_get(table + (size_t)at * VIRTQ_DESC_BYTES);

		if (d.flags & VRING_DESC_F_INDIRECT)
			return "an indirect table refers to another one";
		why = virtq_walk_add(w, &d);
		if (why || !(d.flags & VRING_DESC_F_NEXT))
			break;
		at = d.next;
		if (at >= nr)
			return "a descriptor names a next one beyond its indirect table";
	}
	return why;
}

static const char *walk(struct virtq_walk *w, uint16_t head)
{
	unsigned int size = w->q->setup.size;
	uint16_t at = head;

	for (unsigned int n = 0; n < size; n++) {
		struct virtq_desc d = desc_get(w->q->desc + (size_t)at * VIRTQ_DESC_BYTES);
		const char *why;

		/* A table may end a chain of plain descriptors (2.7.5.3.2). */
		if (d.flags & VRING_DESC_F_INDIRECT)
			return walk_table(w, &d);
		why = virtq_walk_add(w, &d);
		if (why || !(d.flags & VRING_DESC_F_NEXT))
			return why;
		at = d.next;
		if (at >= size)
			return "a descriptor names a next one beyond the queue";
	}
	return "a chain is longer than the queue"; /* a loop */
}

struct chain *virtq_split_pop(struct virtq *q)
{
	/* Pairs with the driver's release of avail->idx (2.7.13): the entries before it are complete. */
	uint16_t ahead = (uint16_t)(ring_get16_acquire(q->driver + RING_IDX) - q->next_avail);
	struct virtq_walk w;
	const char *why;
	uint16_t head;

	if (!ahead)
		return NULL;
	/* The driver has size heads in all, less those it has not seen used yet: that also leaves a free chain. */
	if (ahead > q->setup.size - q->nr_taken)
		return virtq_fail(q, "the available index jumps by more than the queue");
	head = ring_get16(avail_entry(q, q->next_avail));
	if (head >= q->setup.size)
		return virtq_fail(q, "the head of a chain lies beyond the queue");

	virtq_walk_begin(&w, q);
	why = walk(&w, head);
	if (why)
		return virtq_fail(q, why);
	q->next_avail++;
	return virtq_walk_end(&w, head, 1);
}

void virtq_split_unpop(struct virtq *q, const struct chain *c)
{
	(void)c;
	q->next_avail--;
}

void virtq_split_put(struct virtq *q, const struct chain *c, uint32_t len)
{
	uint8_t *entry = used_entry(q, q->next_used++);

	put_le32(entry, c->id);
	put_le32(entry + 4, len);
	q->unpublished++;
}

bool virtq_split_publish(struct virtq *q)
{
	uint16_t old = q->told_used;

	/* Pairs with the driver's read barrier behind used->idx (2.7.14): the entries before it are complete. */
	ring_put16_release(q->device + RING_IDX, q->next_used);
	q->told_used = q->next_used;

	/*
	 * Pairs with the driver's full barrier between asking for interrupts and looking at used->idx once
	 * more (Linux: virtqueue_enable_cb_prepare() and virtqueue_poll()): one of us sees the other's store.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (q->setup.event_idx) /* the flag is to be ignored then (2.7.7.2) */
		return virtq_event_passed(ring_get16(used_event(q)), q->next_used, old);
	return !(ring_get16(q->driver + RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
}

void virtq_split_kicks(struct virtq *q, bool on)
{
	if (!q->setup.event_idx)
		ring_put16(q->device + RING_FLAGS, on ? 0 : VRING_USED_F_NO_NOTIFY);
	else if (on) /* an event that stays behind is silence enough (2.7.10) */
		ring_put16(avail_event(q), q->next_avail);
}
