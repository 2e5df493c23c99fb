/*
 * Split and packed rings, the driver's side (virtio 1.2, 2.7 and 2.8). Descriptors are handed out in turn and
 * taken back unasked: a test must not have more under way than the ring holds.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/string.h"
#include "lib/virtio.h"

#define PAGES 48
#define DRIVER_AREA 1024	/* behind VIRTQ_MAX descriptors */
#define DEVICE_AREA 2048

static uint8_t pages[PAGES][4096] __attribute__((aligned(4096)));

static uint16_t get16(const uint8_t *at)
{
	return *(volatile const uint16_t *)at;
}

static void put16(uint8_t *at, uint16_t value)
{
	*(volatile uint16_t *)at = value;
}

/* x86 keeps the order of stores, and of loads: the compiler is the only one to hold back. */
static void barrier(void)
{
	__asm__ volatile("" : : : "memory");
}

/* ---- setting up ---- */

bool virtq_init(struct virtq *q, struct virtio *v, uint16_t index, uint16_t size)
{
	uint8_t *page = pages[((v->bdf >> 3) * 8u + index) % PAGES];	/* six devices of eight queues */
	uint16_t most;

	virtio_put16(v, VIRTIO_QUEUE_SELECT, index);
	most = virtio_get16(v, VIRTIO_QUEUE_SIZE);
	if (!most)
		return false;
	if (size > most)
		size = most;
	memset(page, 0, 4096);
	*q = (struct virtq){
		.dev = v,
		.index = index,
		.size = size,
		.packed = v->features & VIRTIO_F_PACKED,
		.desc = page,
		.driver = page + DRIVER_AREA,
		.device = page + DEVICE_AREA,
		.avail_wrap = true,
		.used_wrap = true,
	};
	q->doorbell = v->notify + (uint64_t)virtio_get16(v, VIRTIO_QUEUE_NOTIFY_OFF) * v->notify_step;
	return true;
}

void virtq_write(const struct virtq *q)
{
	virtio_put16(q->dev, VIRTIO_QUEUE_SELECT, q->index);
	virtio_put16(q->dev, VIRTIO_QUEUE_SIZE, q->size);
	virtio_put64(q->dev, VIRTIO_QUEUE_DESC, (uint64_t)q->desc);
	virtio_put64(q->dev, VIRTIO_QUEUE_DRIVER, (uint64_t)q->driver);
	virtio_put64(q->dev, VIRTIO_QUEUE_DEVICE, (uint64_t)q->device);
}

bool virtq_setup(struct virtq *q, struct virtio *v, uint16_t index, uint16_t size)
{
	if (!virtq_init(q, v, index, size))
		return false;
	virtq_write(q);
	virtio_put16(v, VIRTIO_QUEUE_ENABLE, 1);
	return true;
}

uint16_t virtq_set_vector(const struct virtq *q, uint16_t entry)
{
	virtio_put16(q->dev, VIRTIO_QUEUE_SELECT, q->index);
	virtio_put16(q->dev, VIRTIO_QUEUE_VECTOR, entry);
	return virtio_get16(q->dev, VIRTIO_QUEUE_VECTOR);
}

/* ---- making buffers available ---- */

uint16_t virtq_avail_flags(const struct virtq *q)
{
	return q->avail_wrap ? VIRTQ_AVAIL : VIRTQ_USED;
}

/* The first 14 bytes, then what a device looks at first in a packed ring. */
void virtq_put_desc(struct virtq *q, uint16_t at, const struct virtq_desc *d)
{
	uint8_t *to = q->desc + 16u * at;

	*(volatile uint64_t *)to = d->at;
	*(volatile uint32_t *)(to + 8) = d->bytes;
	put16(to + (q->packed ? 12 : 14), d->next);
	barrier();
	put16(to + (q->packed ? 14 : 12), d->flags);
}

void virtq_put_head(struct virtq *q, uint16_t head)
{
	put16(q->driver + 4 + 2 * (q->avail % q->size), head);
}

void virtq_put_avail_index(struct virtq *q, uint16_t index)
{
	barrier();
	q->avail = index;
	put16(q->driver + 2, index);
}

void virtq_advance(struct virtq *q, uint16_t id, unsigned int n)
{
	if (id < VIRTQ_MAX)
		q->count[id] = (uint16_t)n;
	q->next = (uint16_t)(q->next + n);
	if (q->next >= q->size) {
		q->next = (uint16_t)(q->next - q->size);
		q->avail_wrap = !q->avail_wrap;
	}
}

static uint16_t add_split(struct virtq *q, const struct virtq_seg *seg, unsigned int n)
{
	uint16_t head = q->next;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t at = q->next, next = (uint16_t)((at + 1) % q->size);
		uint16_t flags = (uint16_t)((seg[i].write ? VIRTQ_WRITE : 0) | (i + 1 < n ? VIRTQ_NEXT : 0));

		virtq_put_desc(q, at, &(struct virtq_desc){ seg[i].at, seg[i].bytes, flags, next });
		q->next = next;
	}
	virtq_put_head(q, head);
	virtq_put_avail_index(q, (uint16_t)(q->avail + 1));
	return head;
}

/* The first descriptor comes last: with its flags the device has them all (2.8.6). */
static uint16_t add_packed(struct virtq *q, const struct virtq_seg *seg, unsigned int n)
{
	uint16_t id = q->next, end = (uint16_t)(q->size - q->next);

	for (unsigned int i = n; i-- > 0;) {
		uint16_t flags = virtq_avail_flags(q);

		if (i >= end)
			flags ^= VIRTQ_AVAIL | VIRTQ_USED;
		flags |= (uint16_t)((seg[i].write ? VIRTQ_WRITE : 0) | (i + 1 < n ? VIRTQ_NEXT : 0));
		virtq_put_desc(q, (uint16_t)((id + i) % q->size),
			       &(struct virtq_desc){ seg[i].at, seg[i].bytes, flags, id });
	}
	virtq_advance(q, id, n);
	return id;
}

uint16_t virtq_add(struct virtq *q, const struct virtq_seg *seg, unsigned int n)
{
	return q->packed ? add_packed(q, seg, n) : add_split(q, seg, n);
}

uint16_t virtq_add_raw(struct virtq *q, const struct virtq_desc *d)
{
	struct virtq_desc mine = *d;
	uint16_t at = q->next;

	if (q->packed) {
		mine.flags |= virtq_avail_flags(q);
		virtq_put_desc(q, at, &mine);
		virtq_advance(q, mine.next, 1);
		return mine.next;
	}
	virtq_put_desc(q, at, &mine);
	q->next = (uint16_t)((at + 1) % q->size);
	virtq_put_head(q, at);
	virtq_put_avail_index(q, (uint16_t)(q->avail + 1));
	return at;
}

void virtq_fill_table(const struct virtq *q, struct virtq_desc *table, const struct virtq_seg *seg, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = seg[i].write ? VIRTQ_WRITE : 0;

		if (!q->packed && i + 1 < n)
			flags |= VIRTQ_NEXT;
		/* Packed: id and flags change places, and the id means nothing (2.8.7). */
		table[i] = (struct virtq_desc){ seg[i].at, seg[i].bytes, q->packed ? 0 : flags,
						q->packed ? flags : (uint16_t)(i + 1) };
	}
}

uint16_t virtq_add_indirect(struct virtq *q, struct virtq_desc *table, const struct virtq_seg *seg, unsigned int n)
{
	virtq_fill_table(q, table, seg, n);
	return virtq_add_raw(q, &(struct virtq_desc){ (uint64_t)table, 16 * n, VIRTQ_INDIRECT, q->next });
}

void virtq_kick(const struct virtq *q)
{
	uint32_t value = q->index;

	__asm__ volatile("lock; addl $0, (%%rsp)" : : : "memory", "cc");	/* 2.7.13.4: a full barrier */
	if (!(q->dev->features & VIRTIO_F_NOTIFICATION)) {
		cpu_write16(q->doorbell, q->index);
		return;
	}
	/* 4.1.5.2: where the next available entry will be. */
	value |= (uint32_t)(q->packed ? q->next | q->avail_wrap << 15 : q->avail) << 16;
	cpu_write32(q->doorbell, value);
}

/* ---- taking them back ---- */

static bool take_packed(struct virtq *q, uint16_t *id, uint32_t *bytes)
{
	const uint8_t *d = q->desc + 16u * q->used;
	uint16_t flags = get16(d + 14), n;

	if (!!(flags & VIRTQ_AVAIL) != q->used_wrap || !!(flags & VIRTQ_USED) != q->used_wrap)
		return false;
	barrier();
	*id = get16(d + 12);
	*bytes = *(volatile const uint32_t *)(d + 8);
	n = *id < VIRTQ_MAX && q->count[*id] ? q->count[*id] : 1;
	q->used = (uint16_t)(q->used + n);
	if (q->used >= q->size) {
		q->used = (uint16_t)(q->used - q->size);
		q->used_wrap = !q->used_wrap;
	}
	return true;
}

bool virtq_take(struct virtq *q, uint16_t *id, uint32_t *bytes)
{
	const uint8_t *entry = q->device + 4 + 8u * (q->used % q->size);

	if (q->packed)
		return take_packed(q, id, bytes);
	if (get16(q->device + 2) == q->used)
		return false;
	barrier();
	*id = (uint16_t)*(volatile const uint32_t *)entry;
	*bytes = *(volatile const uint32_t *)(entry + 4);
	q->used++;
	return true;
}

bool virtq_wait(struct virtq *q, uint16_t *id, uint32_t *bytes, uint64_t ticks)
{
	for (int i = 0; i < 60; i++)	/* cheaper than the clock, and mostly enough */
		if (virtq_take(q, id, bytes))
			return true;
	return CLOCK_WAIT_FOR(virtq_take(q, id, bytes), ticks);
}
