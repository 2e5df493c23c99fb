/*
 * A driver for tests: rings as Linux's drivers/virtio/virtio_ring.c fills them, written apart from virtq.c so
 * that a mistake there is not made twice. What cannot be set up ends the test program.
 */
#include "devices/virtio/test_driver.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/map.h"

enum { TD_DESC = 16, TD_TABLE = 16 /* entries that a table has room for at least */ };

static void give_up(const char *what)
{
	fprintf(stderr, "test driver: %s\n", what);
	abort();
}

/* ---- memory ---- */

/* At a multiple of 2 MiB, so that tests may call parts of it large pages. What lies around stays unused. */
static uint8_t *map(uint64_t bytes)
{
	const uint64_t room = bytes + 2 * MIB;
	uint8_t *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *at;

	if (p == MAP_FAILED)
		give_up("no memory for the guest");
	at = (uint8_t *)(uintptr_t)align_up((uintptr_t)p, 2 * MIB);
	if (at > p)
		munmap(p, (size_t)(at - p));
	munmap(at + bytes, (size_t)(p + room - (at + bytes)));
	return at;
}

void td_init(struct test_driver *td, uint64_t ram_bytes)
{
	*td = (struct test_driver){ .ram_bytes = ram_bytes, .next = 4096 };
	td->ram = map(ram_bytes);
	td->high = map(TD_HIGH_BYTES);
	if (gmem_add(&td->mem, 0, ram_bytes, td->ram, NULL) < 0 ||
	    gmem_add(&td->mem, MAP_HIGH_RAM_BASE, TD_HIGH_BYTES, td->high, NULL) < 0)
		give_up("guest memory is no range");
	atomic_store(&td->access, true);
}

void td_fini(struct test_driver *td)
{
	if (td->dev)
		td_stop(td);
	free(td->q);
	munmap(td->ram, td->ram_bytes);
	munmap(td->high, TD_HIGH_BYTES);
	*td = (struct test_driver){ 0 };
}

uint64_t td_alloc(struct test_driver *td, uint64_t len, uint64_t align)
{
	uint64_t gpa = align_up(td->next, align);

	if (!range_ok(gpa, len, td->ram_bytes))
		give_up("guest memory is used up");
	td->next = gpa + len;
	memset(td->ram + gpa, 0, len);
	return gpa;
}

void *td_ptr(struct test_driver *td, uint64_t gpa)
{
	void *p = gmem_hva(&td->mem, gpa, 1);

	if (!p)
		give_up("an address is not RAM");
	return p;
}

/* ---- the transport ---- */

static void td_interrupt(void *ctx, unsigned int q)
{
	struct test_driver *td = ctx;

	__atomic_fetch_add(&td->q[q].interrupts, 1, __ATOMIC_RELAXED);
}

static void td_config_changed(void *ctx)
{
	struct test_driver *td = ctx;

	__atomic_fetch_add(&td->config_interrupts, 1, __ATOMIC_RELAXED);
}

static int td_kick_fd(void *ctx, unsigned int q)
{
	struct test_driver *td = ctx;

	return td->q[q].kick_fd;
}

static int td_call_fd(void *ctx, unsigned int q)
{
	(void)ctx;
	(void)q;
	return -1;
}

static const atomic_bool *td_access(void *ctx)
{
	struct test_driver *td = ctx;

	return &td->access;
}

static const struct virtio_transport_ops td_transport = {
	.interrupt = td_interrupt,
	.config_changed = td_config_changed,
	.kick_fd = td_kick_fd,
	.call_fd = td_call_fd,
	.access = td_access,
};

/* ---- set-up ---- */

/* Memory for the three areas, and the driver's idea of a fresh queue. */
static void queue_make(struct test_driver *td, struct td_queue *q, uint64_t features, uint16_t size)
{
	struct virtq_setup *s = &q->setup;

	*s = (struct virtq_setup){
		.size = size,
		.packed = features >> VIRTIO_F_RING_PACKED & 1,
		.event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1,
		.indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
		.in_order = features >> VIRTIO_F_IN_ORDER & 1,
	};
	s->desc = td_alloc(td, (uint64_t)TD_DESC * size, 16);
	s->driver = td_alloc(td, s->packed ? 4 : 6 + 2 * (uint64_t)size, 4);
	s->device = td_alloc(td, s->packed ? 4 : 6 + 8 * (uint64_t)size, 4);

	q->avail_wrap = q->used_wrap = true;
	q->nr_free = q->nr_free_ids = size;
	for (uint16_t i = 0; i < size; i++) {
		q->next[i] = i + 1;
		q->free_ids[i] = (uint16_t)(size - 1 - i);
	}
	if (s->packed && s->event_idx) {
		put_le16(td_ptr(td, s->driver), 1 << VRING_PACKED_EVENT_F_WRAP_CTR);
		put_le16(td_ptr(td, s->driver + 2), VRING_PACKED_EVENT_FLAG_DESC);
	}
}

void td_bare(struct test_driver *td, uint64_t features, uint16_t size)
{
	td->q = calloc(1, sizeof(*td->q));
	if (!td->q)
		give_up("no memory for a queue");
	queue_make(td, td->q, features, size);
}

static uint64_t negotiate(struct virtio_dev *dev, uint64_t features)
{
	uint64_t offered = virtio_offered(dev, 0) | (uint64_t)virtio_offered(dev, 1) << 32;

	features = (features | VIRTIO_BIT(VIRTIO_F_VERSION_1)) & offered;
	virtio_accept(dev, 0, (uint32_t)features);
	virtio_accept(dev, 1, (uint32_t)(features >> 32));
	return features;
}

bool td_start(struct test_driver *td, struct virtio_dev *dev, uint64_t features, uint16_t size)
{
	td->dev = dev;
	td->failed = false;
	td->q = calloc(dev->nr_queues, sizeof(*td->q));
	if (!td->q)
		give_up("no memory for queues");
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		td->q[i].kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (td->q[i].kick_fd < 0)
			give_up("no eventfd");
	}
	dev->no_threads = !td->threads;
	virtio_attach(dev, &td_transport, td);

	/* virtio 1.2, 3.1.1 */
	virtio_write_status(dev, 0);
	virtio_write_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_write_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	features = negotiate(dev, features);
	virtio_write_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					 VIRTIO_CONFIG_S_FEATURES_OK);
	if (!(virtio_read_status(dev) & VIRTIO_CONFIG_S_FEATURES_OK))
		return false;
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		queue_make(td, &td->q[i], features, MIN(size, dev->queue[i].vq.max_size));
		dev->queue[i].setup = td->q[i].setup;
		virtio_queue_enable(dev, i);
	}
	virtio_write_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
	return !(virtio_read_status(dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

void td_stop(struct test_driver *td)
{
	if (!td->dev)
		return;
	virtio_write_status(td->dev, 0);
	virtio_attach(td->dev, NULL, NULL);
	for (unsigned int i = 0; i < td->dev->nr_queues; i++)
		close(td->q[i].kick_fd);
	free(td->q);
	td->q = NULL;
	td->dev = NULL;
}

/* ---- buffers, both formats ---- */

/* The table of this id, with room for nr entries. */
static uint64_t table_for(struct test_driver *td, struct td_queue *q, uint16_t id, unsigned int nr)
{
	if (q->table_len[id] < nr) {
		q->table_len[id] = MAX(nr, (unsigned int)TD_TABLE);
		q->table[id] = td_alloc(td, (uint64_t)TD_DESC * q->table_len[id], 16);
	}
	return q->table[id];
}

static void split_desc(uint8_t *d, const struct td_seg *s, uint16_t flags, uint16_t next)
{
	put_le64(d, s->gpa);
	put_le32(d + 8, s->len);
	put_le16(d + 12, flags | (s->in ? VRING_DESC_F_WRITE : 0));
	put_le16(d + 14, next);
}

/* All but the flags, which may have to come last. */
static void packed_desc(uint8_t *d, const struct td_seg *s, uint16_t id)
{
	put_le64(d, s->gpa);
	put_le32(d + 8, s->len);
	put_le16(d + 12, id);
}

static void store16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(v), __ATOMIC_RELEASE);
}

static uint16_t load16(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE));
}

/* ---- split ---- */

static int split_add(struct test_driver *td, struct td_queue *q, const struct td_seg *seg, unsigned int nr)
{
	bool indirect = td->indirect && q->setup.indirect;
	uint8_t *table = td_ptr(td, q->setup.desc), *avail = td_ptr(td, q->setup.driver);
	uint16_t head = q->free_head, takes = indirect ? 1 : (uint16_t)nr;

	if (takes > q->nr_free)
		return -1;
	if (indirect) {
		struct td_seg ref = { table_for(td, q, head, nr), nr * TD_DESC, false };
		uint8_t *d = td_ptr(td, ref.gpa);

		for (unsigned int i = 0; i < nr; i++)
			split_desc(d + i * TD_DESC, &seg[i], i + 1 < nr ? VRING_DESC_F_NEXT : 0,
				   (uint16_t)(i + 1));
		split_desc(table + head * TD_DESC, &ref, VRING_DESC_F_INDIRECT, 0);
		q->free_head = q->next[head];
	} else {
		for (unsigned int i = 0; i < nr; i++) {
			uint16_t at = q->free_head;

			q->free_head = q->next[at];
			split_desc(table + at * TD_DESC, &seg[i], i + 1 < nr ? VRING_DESC_F_NEXT : 0,
				   q->next[at]);
		}
	}
	q->nr_free -= takes;
	q->nr_descs[head] = takes;
	put_le16(avail + 4 + 2 * (q->avail % q->setup.size), head);
	/* Pairs with the device's acquire of avail->idx. */
	store16(avail + 2, ++q->avail);
	return head;
}

/* The descriptors of a chain go back in front of the free ones. */
static void split_release(struct td_queue *q, uint16_t head)
{
	uint16_t last = head;

	for (uint16_t i = 1; i < q->nr_descs[head]; i++)
		last = q->next[last];
	q->next[last] = q->free_head;
	q->free_head = head;
}

static bool split_poll(struct test_driver *td, struct td_queue *q, struct td_used *used)
{
	uint8_t *avail = td_ptr(td, q->setup.driver), *ring = td_ptr(td, q->setup.device);
	const uint8_t *entry = ring + 4 + 8 * (q->used % q->setup.size);

	/* Pairs with the device's release of used->idx. */
	if (load16(ring + 2) == q->used)
		return false;
	*used = (struct td_used){ get_le32(entry), get_le32(entry + 4) };
	q->used++;
	if (q->setup.event_idx)
		store16(avail + 4 + 2 * q->setup.size, q->used);
	return true;
}

/* ---- packed ---- */

static uint16_t packed_flags(bool wrap)
{
	return wrap ? 1 << VRING_PACKED_DESC_F_AVAIL : 1 << VRING_PACKED_DESC_F_USED;
}

static void packed_step(const struct td_queue *q, uint16_t *place, bool *wrap, unsigned int nr)
{
	unsigned int next = *place + nr;

	*wrap ^= next >= q->setup.size;
	*place = (uint16_t)(next % q->setup.size);
}

static int packed_add(struct test_driver *td, struct td_queue *q, const struct td_seg *seg, unsigned int nr)
{
	bool indirect = td->indirect && q->setup.indirect;
	uint8_t *ring = td_ptr(td, q->setup.desc), *first = ring + q->avail * TD_DESC;
	uint16_t takes = indirect ? 1 : (uint16_t)nr, first_flags = 0, id;

	if (takes > q->nr_free)
		return -1;
	id = q->free_ids[q->nr_free_ids - 1];
	if (indirect) {
		struct td_seg ref = { table_for(td, q, id, nr), nr * TD_DESC, false };
		uint8_t *d = td_ptr(td, ref.gpa);

		for (unsigned int i = 0; i < nr; i++, d += TD_DESC) {
			packed_desc(d, &seg[i], 0);
			put_le16(d + 14, seg[i].in ? VRING_DESC_F_WRITE : 0);
		}
		packed_desc(first, &ref, id);
		first_flags = packed_flags(q->avail_wrap) | VRING_DESC_F_INDIRECT;
		packed_step(q, &q->avail, &q->avail_wrap, 1);
	} else {
		for (unsigned int i = 0; i < nr; i++) {
			uint16_t flags = packed_flags(q->avail_wrap);

			flags |= (seg[i].in ? VRING_DESC_F_WRITE : 0) | (i + 1 < nr ? VRING_DESC_F_NEXT : 0);
			packed_desc(ring + q->avail * TD_DESC, &seg[i], id);
			if (i)
				put_le16(ring + q->avail * TD_DESC + 14, flags);
			else
				first_flags = flags;
			packed_step(q, &q->avail, &q->avail_wrap, 1);
		}
	}
	q->nr_free -= takes;
	q->nr_free_ids--;
	q->nr_descs[id] = takes;
	/* Pairs with the device's acquire of the first descriptor's flags. */
	store16(first + 14, first_flags);
	return id;
}

static bool packed_poll(struct test_driver *td, struct td_queue *q, struct td_used *used)
{
	uint8_t *event = td_ptr(td, q->setup.driver);
	const uint8_t *d = (uint8_t *)td_ptr(td, q->setup.desc) + q->used * TD_DESC;
	/* Pairs with the device's release of the flags. */
	uint16_t flags = load16(d + 14);
	bool is_used = flags >> VRING_PACKED_DESC_F_USED & 1;

	if (is_used != (flags >> VRING_PACKED_DESC_F_AVAIL & 1) || is_used != q->used_wrap)
		return false;
	*used = (struct td_used){ get_le16(d + 12), flags & VRING_DESC_F_WRITE ? get_le32(d + 8) : 0 };
	if (used->id < q->setup.size)
		packed_step(q, &q->used, &q->used_wrap, q->nr_descs[used->id]);
	if (q->setup.event_idx)
		store16(event, (uint16_t)(q->used | q->used_wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
	return true;
}

/* ---- for the test ---- */

int td_add(struct test_driver *td, unsigned int queue, const struct td_seg *seg, unsigned int nr)
{
	struct td_queue *q = &td->q[queue];
	int id;

	if (!nr)
		return -1;
	id = q->setup.packed ? packed_add(td, q, seg, nr) : split_add(td, q, seg, nr);
	if (id >= 0)
		q->order[(q->order_head + q->order_len++) % VIRTQ_MAX_SIZE] = (uint16_t)id;
	return id;
}

void td_kick(struct test_driver *td, unsigned int q)
{
	uint64_t one = 1;

	if (write(td->q[q].kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		give_up("cannot kick");
}

bool td_poll(struct test_driver *td, unsigned int queue, struct td_used *used)
{
	struct td_queue *q = &td->q[queue];

	if (td->failed || !(q->setup.packed ? packed_poll(td, q, used) : split_poll(td, q, used)))
		return false;
	if (used->id >= q->setup.size || !q->nr_descs[used->id] ||
	    (q->setup.in_order && q->order[q->order_head] != used->id)) {
		td->failed = true;
		return false;
	}
	if (q->setup.packed)
		q->free_ids[q->nr_free_ids++] = (uint16_t)used->id;
	else
		split_release(q, (uint16_t)used->id);
	q->nr_free += q->nr_descs[used->id];
	q->nr_descs[used->id] = 0;
	q->order_head = (q->order_head + 1) % VIRTQ_MAX_SIZE;
	q->order_len--;
	return true;
}

/* One round over the loops of the device; several queues may share one. Returns how many events were served. */
static int run_once(struct test_driver *td, int wait_ms)
{
	int served = 0;

	for (unsigned int i = 0; i < td->dev->nr_queues; i++) {
		struct iothread *t = td->dev->queue[i].thread;
		bool seen = false;
		int rc;

		for (unsigned int k = 0; k < i; k++)
			seen |= td->dev->queue[k].thread == t;
		if (seen)
			continue;
		rc = loop_run_once(&t->loop, wait_ms);
		if (rc < 0)
			give_up("a loop failed");
		served += rc;
	}
	return served;
}

void td_run(struct test_driver *td)
{
	while (run_once(td, 0))
		;
}

bool td_wait(struct test_driver *td, unsigned int q, struct td_used *used)
{
	uint64_t end_ns = clock_now_ns() + 2000000000ull;
	int wait_ms = 0;

	while (!td_poll(td, q, used)) {
		if (td->failed || clock_now_ns() > end_ns)
			return false;
		if (td->threads)
			usleep(20);
		else /* look at all loops first, then wait a little for what comes from outside */
			wait_ms = run_once(td, wait_ms) ? 0 : 1;
	}
	return true;
}

int64_t td_do(struct test_driver *td, unsigned int q, const struct td_seg *seg, unsigned int nr)
{
	struct td_used used;
	int id = td_add(td, q, seg, nr);

	if (id < 0)
		return -1;
	td_kick(td, q);
	if (!td_wait(td, q, &used) || (int)used.id != id)
		return -1;
	return used.len;
}
