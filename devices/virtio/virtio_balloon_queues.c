/*
 * What the queues of the balloon mean (virtio 1.2, 5.5.6): inflate, deflate, statistics, free page reporting. All of it
 * runs on the device's thread.
 *
 * A driver that takes parts of large pages out waits until the host has them again. Meanwhile its list stays in the
 * ring, as if it had not been popped, and a timer tries again: there is nothing to lose at a stop or a reset.
 */
#include <errno.h>

#include "devices/virtio/virtio_balloon_internal.h"
#include "devices/virtio/virtio_turn.h"
#include "vmm/base/log.h"
#include "vmm/base/opt.h"

enum {
	BALLOON_BATCH = 1024,        /* page numbers that are read, and sorted, at once */
	BALLOON_MAX_PFNS = 64 << 10, /* of one chain: 256 MiB; Linux sends 256 numbers, Windows 1024 */
	BALLOON_MAX_STATS = 64,      /* entries of one statistics buffer that are looked at */
	DEFLATE_QUEUE = 1,
	STATS_QUEUE = 2,
};

/* How much is fetched before others on the thread get their turn: milliseconds of zeroing. */
#define FETCH_BYTES  (32 * MIB)

#define RETRY_NS     100000000ull   /* while the pool is empty */
#define WARN_POOL_NS 60000000000ull /* from one warning of that to the next, as a guest can bring it about */

_Static_assert(BALLOON_PAGE == 1 << VIRTIO_BALLOON_PFN_SHIFT, "virtio 1.2, 5.5.6");
_Static_assert(sizeof(struct virtio_balloon_stat) == 10, "virtio 1.2, 5.5.6.3");

enum balloon_role { ROLE_NONE, ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORT };

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

/* ---- pages that the host does not have now ---- */

static void again_in(struct virtio_balloon *b, uint64_t delay_ns)
{
	uint64_t at = clock_now_ns() + delay_ns;

	if (b->again_at_ns && b->again_at_ns <= at)
		return;
	b->again_at_ns = at;
	loop_timer_arm(&b->again_timer, delay_ns);
}

/*
 * rc     what balloon_pages_take() or balloon_pages_restore() said
 * guest  what a pool without pages means for it
 */
static void fetch_later(struct virtio_balloon *b, int rc, const char *guest)
{
	uint64_t bytes = balloon_pages_large_bytes(&b->pages), now = clock_now_ns();
	char size[24];

	again_in(b, rc == -EAGAIN ? 0 : RETRY_NS);
	if (rc == -EAGAIN || (b->warned_pool_ns && now - b->warned_pool_ns < WARN_POOL_NS))
		return;
	b->warned_pool_ns = now;
	b->told_shortage = true;
	log_warn("%s: the pool of %s pages is empty: %s; reserve more: echo N > "
		 "/sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages",
		 b->dev.name, opt_size_text(bytes, size, sizeof(size)), guest,
		 (unsigned long long)(bytes / KIB));
}

static void shortage_over(struct virtio_balloon *b)
{
	if (!b->told_shortage || b->deflate_waits || b->restoring)
		return;
	b->told_shortage = false;
	log_info("%s: the pages that were missing are there, and the guest goes on", b->dev.name);
}

/* What the guest gave away before it started afresh. It does not wait, and ends if it touches what is missing. */
static void restore(struct virtio_balloon *b)
{
	uint64_t left_bytes = FETCH_BYTES;
	int rc = balloon_pages_restore(&b->pages, &left_bytes);

	b->restoring = rc < 0;
	if (rc < 0)
		fetch_later(b, rc, "pages that the balloon gave back before a reset are missing");
	else
		shortage_over(b);
}

/* ---- inflate and deflate ---- */

static void inflate(struct virtio_balloon *b, uint32_t *pfn, unsigned int nr)
{
	bool tells = virtio_has(&b->dev, VIRTIO_BALLOON_F_MUST_TELL_HOST);
	struct balloon_result result = { 0 };

	balloon_pages_put(&b->pages, pfn, nr, tells, &result);
	if (b->pages.large && !tells)
		log_warn_once(&b->warned_silent,
			      "%s: the driver does not tell before it uses pages again (it declined "
			      "VIRTIO_BALLOON_F_MUST_TELL_HOST), so huge pages are not given back",
			      b->dev.name);
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

/*
 * An array of page numbers, 32 bits each whatever the ring's layout (5.5.6). Returns 0 when the list is done with;
 * otherwise as balloon_pages_take(), and all of it is to be read once more: what is out already stays out.
 */
static int take_pfns(struct virtio_balloon *b, struct chain *c, bool in)
{
	size_t left = MIN(chain_readable(c) / sizeof(uint32_t), (size_t)BALLOON_MAX_PFNS);
	uint64_t fetch_bytes = FETCH_BYTES;
	uint32_t pfn[BALLOON_BATCH];
	int rc = 0;

	while (left && rc == 0) {
		unsigned int nr = (unsigned int)MIN(left, (size_t)BALLOON_BATCH);

		if (chain_read(c, pfn, nr * sizeof(*pfn)) < 0) {
			log_warn_once(&b->warned_guest, "%s: a list of pages does not lie in RAM",
				      b->dev.name);
			return 0;
		}
		for (unsigned int i = 0; i < nr; i++)
			pfn[i] = le32toh(pfn[i]);
		if (in)
			inflate(b, pfn, nr);
		else
			rc = balloon_pages_take(&b->pages, pfn, nr, &fetch_bytes);
		left -= nr;
	}
	return rc;
}

/*
 * Of a list that is too long to be read as a whole it is not known which pages are in use again, and those must never go
 * with their large page: nothing counts as in the balloon any more. Returns as balloon_pages_restore().
 */
static int take_all(struct virtio_balloon *b)
{
	uint64_t fetch_bytes = FETCH_BYTES;

	balloon_pages_forget(&b->pages);
	return balloon_pages_restore(&b->pages, &fetch_bytes);
}

/*
 * Only when the chain is used may the driver use the pages (5.5.6.1, VIRTIO_BALLOON_F_MUST_TELL_HOST), so it is not
 * before they are there. That goes for a guest which deflates as it runs out of memory, too: it waits then, and does
 * not end. Returns whether the chain was completed.
 */
static bool deflate(struct virtio_balloon *b, struct chain *c)
{
	bool whole = chain_readable(c) / sizeof(uint32_t) <= BALLOON_MAX_PFNS;
	int rc = whole ? take_pfns(b, c, false) : take_all(b);

	b->deflate_waits = rc < 0;
	if (rc < 0) {
		virtq_unpop(&b->dev.queue[DEFLATE_QUEUE].vq, c);
		fetch_later(b, rc, "the guest waits for pages that its balloon gave back");
		return false;
	}
	chain_complete(c, 0);
	shortage_over(b);
	return true;
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
		virtio_config_get(&b->dev, BALLOON_CONFIG_AT(poison_val), &poison, sizeof(poison));
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

void balloon_stats_due(void *ctx)
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
		(void)take_pfns(b, c, true); /* nothing is fetched */
		break;
	case ROLE_DEFLATE:
		return deflate(b, c);
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

void balloon_serve(struct virtio_dev *d, unsigned int q)
{
	virtio_take_turn(d, q, balloon_handle);
}

/* The timer. */
void balloon_try_again(void *ctx)
{
	struct virtio_balloon *b = ctx;

	b->again_at_ns = 0;
	if (b->restoring)
		restore(b);
	if (b->deflate_waits) /* then its queue runs */
		balloon_serve(&b->dev, DEFLATE_QUEUE);
	if (b->deflate_waits) /* even when nothing could be popped, as bus mastering is off */
		again_in(b, RETRY_NS);
}

int balloon_queue_start(struct virtio_dev *d, unsigned int q)
{
	struct virtio_balloon *b = balloon_of(d);

	if (role_of(d, q) != ROLE_STATS)
		return 0;
	b->stats_on = true;
	if (b->stats_interval_ns)
		loop_timer_arm(&b->stats_timer, b->stats_interval_ns);
	return 0;
}

void balloon_queue_stop(struct virtio_dev *d, unsigned int q)
{
	struct virtio_balloon *b = balloon_of(d);

	if (q == DEFLATE_QUEUE)
		b->deflate_waits = false;
	if (role_of(d, q) != ROLE_STATS)
		return;
	loop_timer_disarm(&b->stats_timer);
	b->stats_on = false;
	if (b->held) /* read once more when the queue goes on */
		virtq_unpop(&d->queue[q].vq, b->held);
	b->held = NULL;
}

/*
 * The guest starts afresh, with all of its pages. Having them there again can take long, and who resets does not wait
 * for it. On the thread, where a timer may be under way.
 */
void balloon_forget(void *ctx)
{
	struct virtio_balloon *b = ctx;

	balloon_pages_forget(&b->pages);
	b->restoring = b->pages.nr_gone > 0;
	if (b->restoring)
		again_in(b, 0);
	b->warned_guest = b->warned_host = b->warned_silent = b->told_shortage = false;
	pthread_mutex_lock(&b->lock);
	b->stats.at_ns = 0;
	memset(b->stats.known, 0, sizeof(b->stats.known));
	pthread_mutex_unlock(&b->lock);
}
