/*
 * The balloon device (virtio 1.2, 5.5): what its queues and its configuration mean. Which pages go back to the
 * host is balloon_pages.c's business. Free page hints (for migration) are not offered.
 *
 * Thread. All queues, the statistics timer and the notes on pages belong to the device's iothread. Numbers
 * that others read are behind b->lock, which is never held while memory is given back.
 */
#include "devices/virtio/virtio_balloon.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/virtio/balloon_pages.h"
#include "devices/virtio/virtio_turn.h"
#include "vmm/base/log.h"

#define CONFIG_AT(field) ((unsigned int)offsetof(struct virtio_balloon_config, field))

enum {
	BALLOON_QUEUE_SIZE = 128,    /* Linux wants at least 32 for reporting, PAGE_REPORTING_CAPACITY */
	BALLOON_BATCH = 1024,        /* page numbers that are read, and sorted, at once */
	BALLOON_MAX_PFNS = 64 << 10, /* of one chain: 256 MiB; Linux sends 256 numbers, Windows 1024 */
	BALLOON_MAX_STATS = 64,      /* entries of one statistics buffer that are looked at */
	STATS_QUEUE = 2,
};

_Static_assert(BALLOON_PAGE == 1 << VIRTIO_BALLOON_PFN_SHIFT, "virtio 1.2, 5.5.6");
_Static_assert(sizeof(struct virtio_balloon_config) == 16, "virtio 1.2, 5.5.4");
_Static_assert(sizeof(struct virtio_balloon_stat) == 10, "virtio 1.2, 5.5.6.3");

enum balloon_role { ROLE_NONE, ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORT };

struct virtio_balloon {
	struct virtio_dev dev;         /* first: its address is ours */
	struct iothread *thread;       /* borrowed */
	uint64_t ram_bytes;            /* constant */
	uint64_t stats_interval_ns;    /* constant */
	struct loop_timer stats_timer; /* it is time to ask; any thread arms it */

	/* thread only */
	struct balloon_pages pages;
	bool stats_on;      /* the statistics queue runs */
	struct chain *held; /* the driver's buffer for statistics; given back, it asks for news */
	bool warned_guest, warned_host;

	pthread_mutex_t lock;
	struct virtio_balloon_stats stats; /* guarded by lock */
};

static struct virtio_balloon *balloon_of(struct virtio_dev *d)
{
	return (struct virtio_balloon *)d;
}

/*
 * What queue q is. The specification gives free page hints number 3 and reporting number 4 (5.5.2), whether
 * the others exist or not; Linux numbers those it uses without gaps (drivers/virtio/virtio_balloon.c and
 * vp_find_vqs_msix(), v6.1). As we offer no hints, no number means two things: we serve both ways of counting.
 */
static enum balloon_role role_of(const struct virtio_dev *d, unsigned int q)
{
	if (q < STATS_QUEUE)
		return q == 0 ? ROLE_INFLATE : ROLE_DEFLATE;
	if (q == STATS_QUEUE && virtio_has(d, VIRTIO_BALLOON_F_STATS_VQ))
		return ROLE_STATS;
	return virtio_has(d, VIRTIO_BALLOON_F_REPORTING) ? ROLE_REPORT : ROLE_NONE;
}

/* The host refuses; the guest, which can cause that again and again, hears nothing of it. */
static void warn_refused(struct virtio_balloon *b, int64_t rc)
{
	log_warn_once(&b->warned_host, "%s: the host does not take memory back: %s", b->dev.name,
		      strerror((int)-rc));
}

/* ---- inflate and deflate ---- */

static void inflate(struct virtio_balloon *b, uint32_t *pfn, unsigned int nr)
{
	struct balloon_result result = { 0 };

	balloon_pages_put(&b->pages, pfn, nr, virtio_has(&b->dev, VIRTIO_BALLOON_F_MUST_TELL_HOST), &result);
	if (result.beside)
		log_warn_once(&b->warned_guest, "%s: the driver puts pages into the balloon that are not RAM",
			      b->dev.name);
	if (result.rc < 0)
		warn_refused(b, result.rc);
	pthread_mutex_lock(&b->lock);
	b->stats.inflated_bytes += result.pages * BALLOON_PAGE;
	b->stats.discarded_bytes += result.bytes;
	pthread_mutex_unlock(&b->lock);
}

/* An array of page numbers, 32 bits each whatever the ring's layout (5.5.6). */
static void take_pfns(struct virtio_balloon *b, struct chain *c, bool in)
{
	size_t left = MIN(chain_readable(c) / sizeof(uint32_t), (size_t)BALLOON_MAX_PFNS);
	uint32_t pfn[BALLOON_BATCH];

	while (left) {
		unsigned int nr = (unsigned int)MIN(left, (size_t)BALLOON_BATCH);

		if (chain_read(c, pfn, nr * sizeof(*pfn)) < 0) {
			log_warn_once(&b->warned_guest, "%s: a list of pages does not lie in RAM",
				      b->dev.name);
			return;
		}
		for (unsigned int i = 0; i < nr; i++)
			pfn[i] = le32toh(pfn[i]);
		if (in)
			inflate(b, pfn, nr);
		else
			balloon_pages_take(&b->pages, pfn, nr);
		left -= nr;
	}
}

/* ---- free page reporting ---- */

/*
 * Pages that the guest does not use: each segment is one span of them. What is reported reads as zeros later.
 * If the guest expects another value, nothing may be done (5.5.6.7.2). More than all of RAM in one report is
 * repeating itself, and is left alone.
 */
static void report(struct virtio_balloon *b, struct chain *c)
{
	uint64_t left = b->ram_bytes, total = 0;
	uint32_t poison = 0;

	if (virtio_has(&b->dev, VIRTIO_BALLOON_F_PAGE_POISON))
		virtio_config_get(&b->dev, CONFIG_AT(poison_val), &poison, sizeof(poison));
	for (unsigned int i = 0; !poison && i < c->nr_in && c->in[i].iov_len <= left; i++) {
		const struct iovec *seg = &c->in[i];
		int64_t n = 0;

		if (seg->iov_base)
			n = gmem_discard_host(b->dev.mem, seg->iov_base, seg->iov_len);
		if (n < 0)
			warn_refused(b, n);
		else
			total += (uint64_t)n;
		left -= seg->iov_len;
	}
	if (c->bad)
		log_warn_once(&b->warned_guest, "%s: the driver reports pages that are not RAM", b->dev.name);
	pthread_mutex_lock(&b->lock);
	b->stats.reported_bytes += total;
	pthread_mutex_unlock(&b->lock);
}

/* ---- statistics ---- */

static void read_stats(struct virtio_balloon *b, struct chain *c)
{
	struct virtio_balloon_stats fresh = { .at_ns = clock_now_ns() };
	struct virtio_balloon_stat entry;
	bool any = false;

	for (unsigned int n = 0; n < BALLOON_MAX_STATS && chain_read(c, &entry, sizeof(entry)) == 0; n++) {
		uint16_t tag = le16toh(entry.tag);

		if (tag >= BALLOON_NR_STATS) /* of a newer driver, or of none */
			continue;
		fresh.value[tag] = le64toh(entry.val);
		fresh.known[tag] = any = true;
	}
	if (!any) /* the first buffer may be empty (5.5.6.3) */
		return;
	pthread_mutex_lock(&b->lock);
	fresh.inflated_bytes = b->stats.inflated_bytes;
	fresh.discarded_bytes = b->stats.discarded_bytes;
	fresh.reported_bytes = b->stats.reported_bytes;
	b->stats = fresh;
	pthread_mutex_unlock(&b->lock);
}

/* The driver fills a buffer and waits until it comes back, which means: fill another one (5.5.6.3). */
static void keep_stats(struct virtio_balloon *b, struct chain *c)
{
	read_stats(b, c);
	if (b->held) /* it was to be the only one */
		chain_complete(b->held, 0);
	b->held = c;
}

static void stats_due(void *ctx)
{
	struct virtio_balloon *b = ctx;

	if (!b->stats_on)
		return;
	if (b->held) {
		chain_complete(b->held, 0);
		b->held = NULL;
		virtq_flush(&b->dev.queue[STATS_QUEUE].vq);
	}
	if (b->stats_interval_ns)
		loop_timer_arm(&b->stats_timer, b->stats_interval_ns);
}

/* ---- the device ---- */

static bool balloon_handle(struct virtio_dev *d, unsigned int q, struct chain *c)
{
	struct virtio_balloon *b = balloon_of(d);

	switch (role_of(d, q)) {
	case ROLE_INFLATE:
		take_pfns(b, c, true);
		break;
	case ROLE_DEFLATE:
		take_pfns(b, c, false);
		break;
	case ROLE_REPORT:
		report(b, c);
		break;
	case ROLE_STATS:
		keep_stats(b, c);
		return true;
	case ROLE_NONE:
		break;
	}
	chain_complete(c, 0);
	return true;
}

static void balloon_serve(struct virtio_dev *d, unsigned int q)
{
	virtio_take_turn(d, q, balloon_handle);
}

static int balloon_queue_start(struct virtio_dev *d, unsigned int q)
{
	struct virtio_balloon *b = balloon_of(d);

	if (role_of(d, q) != ROLE_STATS)
		return 0;
	b->stats_on = true;
	if (b->stats_interval_ns)
		loop_timer_arm(&b->stats_timer, b->stats_interval_ns);
	return 0;
}

static void balloon_queue_stop(struct virtio_dev *d, unsigned int q)
{
	struct virtio_balloon *b = balloon_of(d);

	if (role_of(d, q) != ROLE_STATS)
		return;
	loop_timer_disarm(&b->stats_timer);
	b->stats_on = false;
	if (b->held) /* read once more when the queue goes on */
		virtq_unpop(&d->queue[q].vq, b->held);
	b->held = NULL;
}

/* The guest starts afresh, with all of its pages. On the thread, where a timer may be under way. */
static void balloon_forget(void *ctx)
{
	struct virtio_balloon *b = ctx;

	balloon_pages_forget(&b->pages);
	b->warned_guest = b->warned_host = false;
	pthread_mutex_lock(&b->lock);
	b->stats.at_ns = 0;
	memset(b->stats.known, 0, sizeof(b->stats.known));
	pthread_mutex_unlock(&b->lock);
}

static void balloon_reset(struct virtio_dev *d)
{
	struct virtio_balloon *b = balloon_of(d);
	const uint32_t none = 0;

	iothread_call(b->thread, balloon_forget, b);
	virtio_config_put(d, CONFIG_AT(actual), &none, sizeof(none), false);
	virtio_config_put(d, CONFIG_AT(poison_val), &none, sizeof(none), false);
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
	virtio_config_put(&b->dev, CONFIG_AT(num_pages), &num, sizeof(num), true);
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
	return ram_without(b, CONFIG_AT(num_pages));
}

uint64_t virtio_balloon_actual(struct virtio_balloon *b)
{
	return ram_without(b, CONFIG_AT(actual));
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
 * MUST_TELL_HOST matters for large pages alone: one which is about to go, as all its parts are in the balloon,
 * must not have a part in use again that we were not told of. PAGE_POISON goes with reporting: without it, a
 * Linux that fills free pages with a pattern, or with zeros, reports none (virtballoon_validate(), v6.1).
 */
static uint64_t features_of(const struct virtio_balloon *b, const struct virtio_balloon_options *o)
{
	uint64_t features = VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ);

	if (b->pages.large)
		features |= VIRTIO_BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST);
	if (o->deflate_on_oom)
		features |= VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	if (o->free_page_reporting)
		features |= VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING) | VIRTIO_BIT(VIRTIO_BALLOON_F_PAGE_POISON);
	return features;
}

struct balloon_setup {
	struct virtio_balloon *b;
	struct err *e;
	int rc;
};

static void add_timer(void *ctx)
{
	struct balloon_setup *s = ctx;

	s->rc = loop_timer_init(&s->b->thread->loop, &s->b->stats_timer, stats_due, s->b, s->e);
}

static void remove_timer(void *ctx)
{
	struct virtio_balloon *b = ctx;

	loop_timer_fini(&b->thread->loop, &b->stats_timer);
}

static int balloon_init(struct virtio_balloon *b, const struct virtio_balloon_options *o,
			const struct gmem *mem, struct err *e)
{
	unsigned int nr_queues = o->free_page_reporting ? 5 : 3;
	struct balloon_setup setup = { .b = b, .e = e };
	struct virtio_dev *d = &b->dev;
	int rc;

	if (o->target_bytes > o->ram_bytes)
		return err_set(e, -EINVAL,
			       "%s: the guest has %llu MiB of memory, so it cannot be left with %llu MiB",
			       o->name, (unsigned long long)(o->ram_bytes / MIB),
			       (unsigned long long)(o->target_bytes / MIB));
	if ((rc = balloon_pages_init(&b->pages, mem, e)) < 0 ||
	    (rc = virtio_init(d, o->name, VIRTIO_ID_BALLOON, &balloon_ops, mem, features_of(b, o), nr_queues,
			      BALLOON_QUEUE_SIZE, sizeof(struct virtio_balloon_config), e)) < 0)
		return rc;
	for (unsigned int q = 0; q < nr_queues; q++)
		d->queue[q].thread = b->thread;
	memset(d->config_wmask + CONFIG_AT(actual), 0xff, sizeof(uint32_t));
	if (o->free_page_reporting)
		memset(d->config_wmask + CONFIG_AT(poison_val), 0xff, sizeof(uint32_t));
	iothread_call(b->thread, add_timer, &setup);
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
	b->stats_timer.fd = -1;
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
	iothread_call(b->thread, remove_timer, b);
	virtio_fini(&b->dev);
	balloon_pages_fini(&b->pages);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

struct virtio_dev *virtio_balloon_dev(struct virtio_balloon *b)
{
	return &b->dev;
}
