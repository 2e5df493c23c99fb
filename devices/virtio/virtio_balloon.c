/*
 * The balloon device (virtio 1.2, 5.5): its features, its configuration and its life. What its queues mean is in
 * virtio_balloon_queues.c, which pages go back to the host in balloon_pages.c. Free page hints (for migration) are
 * not offered.
 *
 * Thread. All queues, the timers and the notes on pages belong to the device's iothread. Numbers that others read
 * are behind b->lock, which is never held while memory is given back or fetched.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/virtio/virtio_balloon_internal.h"

enum { BALLOON_QUEUE_SIZE = 128 }; /* Linux wants at least 32 for reporting, PAGE_REPORTING_CAPACITY */

_Static_assert(sizeof(struct virtio_balloon_config) == 16, "virtio 1.2, 5.5.4");

static void balloon_reset(struct virtio_dev *d)
{
	struct virtio_balloon *b = balloon_of(d);
	const uint32_t none = 0;

	iothread_call(b->thread, balloon_forget, b);
	virtio_config_put(d, BALLOON_CONFIG_AT(actual), &none, sizeof(none), false);
	virtio_config_put(d, BALLOON_CONFIG_AT(poison_val), &none, sizeof(none), false);
}

static const struct virtio_ops balloon_ops = {
	.queue_start = balloon_queue_start,
	.queue_stop = balloon_queue_stop,
	.serve = balloon_serve,
	.reset = balloon_reset,
};

/* ---- for the machine ---- */

int virtio_balloon_set_target(struct virtio_balloon *b, uint64_t bytes)
{
	uint64_t pages;
	uint32_t num;

	if (bytes > b->ram_bytes)
		return -EINVAL;
	pages = (b->ram_bytes - bytes) / BALLOON_PAGE;
	num = htole32((uint32_t)MIN(pages, (uint64_t)UINT32_MAX)); /* the field's width: 16 TiB */
	virtio_config_put(&b->dev, BALLOON_CONFIG_AT(num_pages), &num, sizeof(num), true);
	return 0;
}

/* What is left of RAM without the pages that a field of the configuration counts. */
static uint64_t ram_without(struct virtio_balloon *b, unsigned int field)
{
	uint32_t pages;

	virtio_config_get(&b->dev, field, &pages, sizeof(pages));
	return b->ram_bytes - MIN((uint64_t)le32toh(pages) * BALLOON_PAGE, b->ram_bytes);
}

uint64_t virtio_balloon_target(struct virtio_balloon *b)
{
	return ram_without(b, BALLOON_CONFIG_AT(num_pages));
}

uint64_t virtio_balloon_actual(struct virtio_balloon *b)
{
	return ram_without(b, BALLOON_CONFIG_AT(actual));
}

void virtio_balloon_get_stats(struct virtio_balloon *b, struct virtio_balloon_stats *s)
{
	pthread_mutex_lock(&b->lock);
	*s = b->stats;
	pthread_mutex_unlock(&b->lock);
}

void virtio_balloon_ask_stats(struct virtio_balloon *b)
{
	loop_timer_arm(&b->stats_timer, 0);
}

/*
 * Reporting has no way to ask for pages (5.5.6.7), and those of a pool that is empty cannot be had: the guest would
 * end. Small pages come from memory that the host can make room in.
 */
static bool may_report(const struct virtio_balloon *b, const struct virtio_balloon_options *o)
{
	return o->free_page_reporting && !b->pages.large;
}

/*
 * MUST_TELL_HOST matters for large pages alone: one which is about to go, as all its parts are in the balloon,
 * must not have a part in use again that we were not told of; and one that is gone has to be fetched first.
 * PAGE_POISON goes with reporting: without it, a Linux that fills free pages with a pattern, or with zeros, reports
 * none (virtballoon_validate(), v6.1).
 */
static uint64_t features_of(const struct virtio_balloon *b, const struct virtio_balloon_options *o)
{
	uint64_t features = VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ);

	if (b->pages.large)
		features |= VIRTIO_BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST);
	if (o->deflate_on_oom)
		features |= VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	if (may_report(b, o))
		features |= VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING) | VIRTIO_BIT(VIRTIO_BALLOON_F_PAGE_POISON);
	return features;
}

struct balloon_setup {
	struct virtio_balloon *b;
	struct err *e;
	int rc;
};

static void add_timers(void *ctx)
{
	struct balloon_setup *s = ctx;
	struct loop *l = &s->b->thread->loop;

	s->rc = loop_timer_init(l, &s->b->stats_timer, balloon_stats_due, s->b, s->e);
	if (s->rc == 0)
		s->rc = loop_timer_init(l, &s->b->again_timer, balloon_try_again, s->b, s->e);
}

static void remove_timers(void *ctx)
{
	struct virtio_balloon *b = ctx;

	loop_timer_fini(&b->thread->loop, &b->again_timer);
	loop_timer_fini(&b->thread->loop, &b->stats_timer);
}

static int balloon_init(struct virtio_balloon *b, const struct virtio_balloon_options *o,
			const struct gmem *mem, struct err *e)
{
	struct balloon_setup setup = { .b = b, .e = e };
	struct virtio_dev *d = &b->dev;
	unsigned int nr_queues;
	int rc;

	if (o->target_bytes > o->ram_bytes)
		return err_set(e, -EINVAL,
			       "%s: the guest has %llu MiB of memory, so it cannot be left with %llu MiB",
			       o->name, (unsigned long long)(o->ram_bytes / MIB),
			       (unsigned long long)(o->target_bytes / MIB));
	if ((rc = balloon_pages_init(&b->pages, mem, e)) < 0)
		return rc;
	nr_queues = may_report(b, o) ? 5 : 3;
	if ((rc = virtio_init(d, o->name, VIRTIO_ID_BALLOON, &balloon_ops, mem, features_of(b, o), nr_queues,
			      BALLOON_QUEUE_SIZE, sizeof(struct virtio_balloon_config), e)) < 0)
		return rc;
	for (unsigned int q = 0; q < nr_queues; q++)
		d->queue[q].thread = b->thread;
	memset(d->config_wmask + BALLOON_CONFIG_AT(actual), 0xff, sizeof(uint32_t));
	if (may_report(b, o))
		memset(d->config_wmask + BALLOON_CONFIG_AT(poison_val), 0xff, sizeof(uint32_t));
	iothread_call(b->thread, add_timers, &setup);
	return setup.rc < 0 ? setup.rc : virtio_balloon_set_target(b, o->target_bytes);
}

int virtio_balloon_new(struct virtio_balloon **out, const struct virtio_balloon_options *o,
		       const struct gmem *mem, struct err *e)
{
	struct virtio_balloon *b = calloc(1, sizeof(*b));
	int rc;

	*out = NULL;
	if (!b)
		return err_set(e, -ENOMEM, "%s: out of memory", o->name);
	b->thread = o->thread;
	b->ram_bytes = o->ram_bytes;
	b->stats_interval_ns = o->stats_interval_s * 1000000000ull;
	b->stats_timer.fd = b->again_timer.fd = -1;
	pthread_mutex_init(&b->lock, NULL);
	rc = balloon_init(b, o, mem, e);
	if (rc < 0) {
		virtio_balloon_free(b);
		return rc;
	}
	*out = b;
	return 0;
}

void virtio_balloon_free(struct virtio_balloon *b)
{
	if (!b)
		return;
	iothread_call(b->thread, remove_timers, b);
	virtio_fini(&b->dev);
	balloon_pages_fini(&b->pages);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

struct virtio_dev *virtio_balloon_dev(struct virtio_balloon *b)
{
	return &b->dev;
}
