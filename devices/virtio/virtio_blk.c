/*
 * The disk as a virtio device: what it offers (virtio 1.2, 5.2.3), its configuration space (5.2.4), and the
 * life of its queues. What requests mean is in virtio_blk_request.c. Secure erase, lifetime and zones are not
 * offered: no back end has them. Nor are the size limit of a segment and a geometry: there is neither.
 */
#include "devices/virtio/virtio_blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/virtio/virtio_blk_internal.h"
#include "vmm/base/log.h"

/* Of the configuration space: up to the fields of secure erase (5.2.4). */
enum {
	BLK_CONFIG_BYTES = 60,
	BLK_CONFIG_WCE = offsetof(struct virtio_blk_config, wce),
};

_Static_assert(offsetof(struct virtio_blk_config, wce) == 32, "virtio 1.2, 5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, write_zeroes_may_unmap) == 56, "virtio 1.2, 5.2.4");
_Static_assert(offsetof(struct virtio_blk, dev) == 0, "virtio_ops cast");

#define SIZE_POLL_NS 1000000000ull

static struct virtio_blk *blk_of(struct virtio_dev *d)
{
	return (struct virtio_blk *)d;
}

/* ---- configuration space ---- */

static uint64_t blk_features(const struct block_info *info, const struct virtio_blk_options *o)
{
	uint64_t f = VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) |
		     VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) |
		     VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE);

	if (o->nr_queues > 1)
		f |= VIRTIO_BIT(VIRTIO_BLK_F_MQ);
	if (info->readonly)
		return f | VIRTIO_BIT(VIRTIO_BLK_F_RO);
	if (o->discard && info->discard_bytes)
		f |= VIRTIO_BIT(VIRTIO_BLK_F_DISCARD);
	return f | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
}

/* How many times 2 goes from a logical to a physical block; 0 when that is no way to get there. */
static unsigned int blk_physical_exp(const struct block_info *info)
{
	unsigned int exp = 0;

	while (exp < 15 && (uint64_t)info->logical_bytes << exp < info->physical_bytes)
		exp++;
	return (uint64_t)info->logical_bytes << exp == info->physical_bytes ? exp : 0;
}

static void blk_fill_config(struct virtio_blk *b, const struct virtio_blk_options *o)
{
	const struct block_info *info = &b->info;
	unsigned int exp = blk_physical_exp(info);
	struct virtio_blk_config c = {
		.capacity = htole64(info->capacity_bytes / BLOCK_SECTOR),
		/* The header and the status byte need descriptors too, and a chain is no longer than the queue. */
		.seg_max =
			htole32(o->queue_size > 3 ? MIN(o->queue_size - 2u, (unsigned int)BLK_MAX_SEGS) : 1),
		.blk_size = htole32(info->logical_bytes),
		.physical_block_exp = (uint8_t)exp,
		.min_io_size = htole16((uint16_t)(1u << exp)),
		.opt_io_size = htole32(info->opt_io_bytes / info->logical_bytes),
		.wce = info->write_cache,
		.num_queues = htole16((uint16_t)o->nr_queues),
	};

	if (b->dev.features & VIRTIO_BIT(VIRTIO_BLK_F_DISCARD)) {
		c.max_discard_sectors = htole32(BLK_MAX_DISCARD_SECTORS);
		c.max_discard_seg = htole32(BLK_MAX_RANGES);
		c.discard_sector_alignment = htole32(MAX(info->discard_bytes / BLOCK_SECTOR, 1u));
	}
	if (b->dev.features & VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES)) {
		c.max_write_zeroes_sectors = htole32(BLK_MAX_ZEROES_SECTORS);
		c.max_write_zeroes_seg = htole32(BLK_MAX_RANGES);
		c.write_zeroes_may_unmap = b->may_unmap;
	}
	virtio_config_put(&b->dev, 0, &c, BLK_CONFIG_BYTES, false);
	/* A medium that always writes through cannot be told otherwise: its driver reads back 0. */
	b->dev.config_wmask[BLK_CONFIG_WCE] = info->write_cache;
}

static void blk_set_writeback(struct virtio_blk *b, bool on)
{
	uint8_t wce = on;

	virtio_config_put(&b->dev, BLK_CONFIG_WCE, &wce, 1, false);
	atomic_store(&b->writeback, on);
}

/* Take over what the configuration space says: the driver wrote it, or it was loaded. */
static void blk_read_writeback(struct virtio_blk *b)
{
	uint8_t wce;

	virtio_config_get(&b->dev, BLK_CONFIG_WCE, &wce, 1);
	atomic_store(&b->writeback, wce & 1);
}

/* ---- virtio_ops ---- */

/* Nothing is refused. A driver that can set the cache mode but not flush begins with write-through (5.2.5.2). */
static bool blk_negotiate(struct virtio_dev *d, uint64_t features)
{
	if (features & VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) && !(features & VIRTIO_BIT(VIRTIO_BLK_F_FLUSH)))
		blk_set_writeback(blk_of(d), false);
	return true;
}

static void blk_config_write(struct virtio_dev *d, unsigned int off, unsigned int len)
{
	if (off <= BLK_CONFIG_WCE && off + len > BLK_CONFIG_WCE)
		blk_read_writeback(blk_of(d));
}

static void blk_reset(struct virtio_dev *d)
{
	struct virtio_blk *b = blk_of(d);

	blk_set_writeback(b, b->info.write_cache);
	atomic_store(&b->warned_io, false);
	atomic_store(&b->warned_driver, false);
}

/* The cache mode came with the configuration space; there is nothing else that the driver set. */
static int blk_load(struct virtio_dev *d, struct state_reader *r, struct err *e)
{
	(void)r;
	(void)e;
	blk_read_writeback(blk_of(d));
	return 0;
}

static void blk_serve(struct virtio_dev *d, unsigned int q)
{
	blk_queue_pump(&blk_of(d)->queue[q]);
}

/* On queue 0's thread, each second. */
static void blk_poll_size(void *ctx)
{
	struct virtio_blk *b = ctx;
	struct block_info info;
	uint64_t capacity;

	loop_timer_arm(&b->queue[0].size_timer, SIZE_POLL_NS);
	if (!block_poll_size(b->block))
		return;
	block_get_info(b->block, &info);
	capacity = info.capacity_bytes / BLOCK_SECTOR;
	atomic_store(&b->capacity_sectors, capacity);
	log_info("%s: the disk has %llu bytes now", b->dev.name, (unsigned long long)info.capacity_bytes);
	capacity = htole64(capacity);
	virtio_config_put(&b->dev, offsetof(struct virtio_blk_config, capacity), &capacity, sizeof(capacity),
			  true);
}

static void blk_queue_stop(struct virtio_dev *d, unsigned int nr)
{
	struct blk_queue *q = &blk_of(d)->queue[nr];

	if (q->io)
		blk_queue_drain(q);
	block_queue_close(q->io);
	q->io = NULL;
	free(q->req);
	q->req = NULL;
	loop_timer_fini(&q->thread.loop, &q->timer);
	loop_timer_fini(&q->thread.loop, &q->size_timer);
}

static int blk_queue_open(struct virtio_blk *b, struct blk_queue *q, struct err *e)
{
	unsigned int size = q->vq->setup.size;
	int rc;

	q->req = calloc(size, sizeof(*q->req));
	if (!q->req)
		return err_set(e, -ENOMEM, "out of memory for %u requests", size);
	for (unsigned int i = 0; i < size; i++)
		blk_request_init(&q->req[i], q);
	if ((rc = block_queue_open(&q->io, b->block, &q->thread.loop, b->dev.mem, size, e)) < 0 ||
	    (rc = loop_timer_init(&q->thread.loop, &q->timer, blk_queue_retry, q, e)) < 0)
		return rc;
	block_queue_on_batch(q->io, blk_queue_batch, q);
	if (q != b->queue)
		return 0;
	rc = loop_timer_init(&q->thread.loop, &q->size_timer, blk_poll_size, b, e);
	if (rc == 0)
		loop_timer_arm(&q->size_timer, SIZE_POLL_NS);
	return rc;
}

static int blk_queue_start(struct virtio_dev *d, unsigned int nr)
{
	struct virtio_blk *b = blk_of(d);
	struct blk_queue *q = &b->queue[nr];
	struct err e;
	int rc;

	q->limited = throttle_active(&b->throttle);
	q->stalled = q->resubmitted = false;
	rc = blk_queue_open(b, q, &e);
	if (rc < 0) {
		log_error("%s: queue %u cannot start: %s", d->name, nr, e.text);
		blk_queue_stop(d, nr);
	}
	return rc;
}

static const struct virtio_ops blk_ops = {
	.negotiate = blk_negotiate,
	.queue_start = blk_queue_start,
	.queue_stop = blk_queue_stop,
	.serve = blk_serve,
	.config_write = blk_config_write,
	.reset = blk_reset,
	.load = blk_load,
};

/* ---- the device ---- */

static int blk_make_queues(struct virtio_blk *b, struct err *e)
{
	char name[32];
	int rc;

	b->queue = calloc(b->dev.nr_queues, sizeof(*b->queue));
	if (!b->queue)
		return err_set(e, -ENOMEM, "%s: out of memory for %u queues", b->dev.name, b->dev.nr_queues);
	for (unsigned int i = 0; i < b->dev.nr_queues; i++) {
		struct blk_queue *q = &b->queue[i];

		q->blk = b;
		q->vq = &b->dev.queue[i].vq;
		q->timer.fd = q->size_timer.fd = -1;
	}
	for (unsigned int i = 0; i < b->dev.nr_queues; i++) {
		snprintf(name, sizeof(name), "%s-%u", b->dev.name, i);
		rc = iothread_init(&b->queue[i].thread, name, e);
		if (rc < 0)
			return rc;
		b->dev.queue[i].thread = &b->queue[i].thread;
	}
	return 0;
}

/* What the options' parser has checked for users is checked here for callers. */
static int blk_check_options(const struct virtio_blk_options *o, struct err *e)
{
	if (!o->nr_queues || o->nr_queues > 64)
		return err_set(e, -EINVAL, "%s: %u queues asked for, 1 to 64 are possible", o->name,
			       o->nr_queues);
	if (o->queue_size < 2 || o->queue_size > VIRTQ_MAX_SIZE || (o->queue_size & (o->queue_size - 1)))
		return err_set(e, -EINVAL,
			       "%s: a queue size of %u asked for, possible is a power of two from 2 to %d",
			       o->name, o->queue_size, VIRTQ_MAX_SIZE);
	if (o->serial && strlen(o->serial) > VIRTIO_BLK_ID_BYTES)
		return err_set(e, -EINVAL,
			       "%s: the serial number '%s' is too long, the guest sees at most %d bytes",
			       o->name, o->serial, VIRTIO_BLK_ID_BYTES);
	return 0;
}

int virtio_blk_new(struct virtio_blk **out, const struct virtio_blk_options *o, const struct gmem *mem,
		   struct err *e)
{
	struct virtio_blk *b;
	int rc;

	*out = NULL;
	rc = blk_check_options(o, e);
	if (rc < 0)
		return rc;
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(e, -ENOMEM, "%s: out of memory", o->name);
	b->block = o->block;
	block_get_info(o->block, &b->info);
	throttle_init(&b->throttle, &o->limits);
	rc = virtio_init(&b->dev, o->name, VIRTIO_ID_BLOCK, &blk_ops, mem, blk_features(&b->info, o),
			 o->nr_queues, o->queue_size, BLK_CONFIG_BYTES, e);
	if (rc < 0 || (rc = blk_make_queues(b, e)) < 0) {
		virtio_blk_free(b);
		return rc;
	}
	if (o->serial)
		memcpy(b->id, o->serial, strlen(o->serial)); /* checked; zeros follow */
	b->may_unmap = o->discard && b->info.discard_bytes;
	atomic_store(&b->capacity_sectors, b->info.capacity_bytes / BLOCK_SECTOR);
	atomic_store(&b->writeback, b->info.write_cache);
	blk_fill_config(b, o);
	*out = b;
	return 0;
}

void virtio_blk_free(struct virtio_blk *b)
{
	if (!b)
		return;
	for (unsigned int i = 0; b->queue && i < b->dev.nr_queues; i++)
		iothread_fini(&b->queue[i].thread);
	free(b->queue);
	virtio_fini(&b->dev);
	throttle_fini(&b->throttle);
	free(b);
}

struct virtio_dev *virtio_blk_dev(struct virtio_blk *b)
{
	return &b->dev;
}

void virtio_blk_get_stats(struct virtio_blk *b, struct virtio_blk_stats *s)
{
	*s = (struct virtio_blk_stats){ 0 };
	for (unsigned int i = 0; i < b->dev.nr_queues; i++) {
		struct blk_counters *n = &b->queue[i].count;

		s->reads += atomic_load_explicit(&n->reads, memory_order_relaxed);
		s->read_bytes += atomic_load_explicit(&n->read_bytes, memory_order_relaxed);
		s->writes += atomic_load_explicit(&n->writes, memory_order_relaxed);
		s->write_bytes += atomic_load_explicit(&n->write_bytes, memory_order_relaxed);
		s->flushes += atomic_load_explicit(&n->flushes, memory_order_relaxed);
		s->discards += atomic_load_explicit(&n->discards, memory_order_relaxed);
		s->errors += atomic_load_explicit(&n->errors, memory_order_relaxed);
	}
	pthread_mutex_lock(&b->throttle.lock);
	s->throttled = b->throttle.waits;
	s->throttled_ns = b->throttle.waited_ns;
	pthread_mutex_unlock(&b->throttle.lock);
}
