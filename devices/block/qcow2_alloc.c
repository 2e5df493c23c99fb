/*
 * Host clusters: finding free ones, taking them, and giving them back once nothing on the disk and no transfer
 * under way needs them.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vmm/base/log.h"

/* How many clusters from cluster on are free, up to want, counted in one refcount block. 0 if the first is not. */
static int count_free(struct qcow2 *q, uint64_t cluster, uint64_t want, uint64_t *nr)
{
	uint64_t block_end = ((cluster >> qcow2_rb_bits(q)) + 1) << qcow2_rb_bits(q), v;
	int rc;

	want = MIN(want, block_end - cluster);
	for (*nr = 0; *nr < want; (*nr)++) {
		rc = qcow2_refcount_get(q, cluster + *nr, &v);
		if (rc)
			return rc;
		if (v)
			break;
	}
	return 0;
}

/* Have a refcount block for a region where nothing is in use: it lies in the region that it counts. */
static int new_block(struct qcow2 *q, uint64_t region, uint64_t cluster)
{
	int rc = qcow2_refcount_block_new(q, region, cluster);

	if (rc)
		return rc;
	rc = qcow2_refcount_set(q, cluster, 1);
	if (rc) { /* one that is counted as free would be handed out */
		qcow2_rt_put(q, region, 0);
		qcow2_metadata_del(q, cluster, 1);
	}
	return rc;
}

/*
 * Find free clusters beyond the hint, and make the refcount block for them if there is none. Looking at refcounts
 * may flush, which frees clusters and so may move the hint back: what was looked at is what is told.
 */
static int find_free(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *nr)
{
	for (;;) {
		uint64_t hint = q->hint, at = hint, region = at >> qcow2_rb_bits(q);
		int rc = qcow2_reachable(q, at, 1);

		if (!rc && region >= q->rt_entries) {
			rc = qcow2_grow_refcounts(q);
			if (rc)
				return rc;
			continue;
		}
		if (!rc && !q->rt[region])
			rc = new_block(q, region, at++);
		if (!rc)
			rc = count_free(q, at, want, nr);
		if (rc)
			return rc;
		*first = at;
		if (q->hint == hint)
			q->hint = at + !*nr;
		if (*nr)
			return 0;
	}
}

/* The last of the runs that were freed. */
static bool take_reuse(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *nr)
{
	struct qcow2_clusters *run;

	if (!q->nr_reuse)
		return false;
	run = &q->reuse[q->nr_reuse - 1];
	*first = run->first;
	*nr = MIN(want, run->nr);
	run->first += *nr;
	run->nr -= *nr;
	if (!run->nr)
		q->nr_reuse--;
	return true;
}

static int find_clusters(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *nr)
{
	while (take_reuse(q, want, first, nr)) {
		uint64_t free_nr;
		int rc = count_free(q, *first, *nr, &free_nr);

		if (!rc && free_nr == *nr && *first + *nr <= q->hint)
			return 0;
		if (rc)
			return rc;
	}
	return find_free(q, want, first, nr);
}

int qcow2_alloc(struct qcow2 *q, uint64_t want, uint64_t *host, uint64_t *nr, bool *fresh)
{
	uint64_t first, done = 0;
	int rc = q->corrupt ? -EIO : find_clusters(q, want, &first, nr);

	if (!rc)
		rc = qcow2_reachable(q, first, *nr);
	if (!rc)
		rc = qcow2_check_free(q, first, *nr);
	if (rc)
		return rc;
	*host = first << q->cluster_bits;
	*fresh = *host >= q->file_end && !q->file.device;
	for (; done < *nr && !rc; done++)
		rc = qcow2_refcount_set(q, first + done, 1);
	if (rc) {
		qcow2_unalloc(q, *host, done - 1);
		return rc;
	}
	if (q->hint >= first) /* else it was moved back, to clusters that were freed meanwhile */
		q->hint = MAX(q->hint, first + *nr);
	qcow2_extend(q, *host + (*nr << q->cluster_bits));
	return 0;
}

/* ---- giving back ---- */

/* Too many runs to remember: search from the first of them. */
static void look_again(struct qcow2 *q, uint64_t first)
{
	for (unsigned int i = 0; i < q->nr_reuse; i++)
		first = MIN(first, q->reuse[i].first);
	q->hint = first;
	q->nr_reuse = 0;
}

/* Remember free clusters; when there is no room, look for them from there later. */
static void remember(struct qcow2 *q, uint64_t first, uint64_t nr)
{
	struct qcow2_clusters *last = q->nr_reuse ? &q->reuse[q->nr_reuse - 1] : NULL;

	if (first >= q->hint)
		return; /* found when the hint gets there */
	nr = MIN(nr, q->hint - first);
	if (last && last->first + last->nr == first)
		last->nr += nr;
	else if (q->nr_reuse < QCOW2_REUSE)
		q->reuse[q->nr_reuse++] = (struct qcow2_clusters){ first, nr };
	else
		look_again(q, first);
}

void qcow2_unalloc(struct qcow2 *q, uint64_t host, uint64_t nr)
{
	uint64_t first = host >> q->cluster_bits;

	for (uint64_t i = 0; i < nr; i++) {
		if (qcow2_refcount_set(q, first + i, 0))
			return; /* a leak, which qemu-img check finds */
	}
	if (nr)
		remember(q, first, nr);
}

void qcow2_free_later(struct qcow2 *q, uint64_t at, uint64_t bytes)
{
	uint64_t first = at >> q->cluster_bits, nr = ((at + bytes - 1) >> q->cluster_bits) - first + 1;
	struct qcow2_clusters *last = q->nr_pending ? &q->pending[q->nr_pending - 1] : NULL;

	if (last && last->first + last->nr == first) {
		last->nr += nr;
		return;
	}
	if (q->nr_pending == q->cap_pending) {
		size_t cap = MAX(64, 2 * q->cap_pending);
		void *more = cap <= QCOW2_PENDING_MAX ? realloc(q->pending, cap * sizeof(*q->pending)) : NULL;

		if (!more) {
			log_warn_once(&q->leaked,
				      "%s: too many freed clusters wait for their turn: some are lost until "
				      "qemu-img check -r leaks %s",
				      q->label, q->file.path);
			return;
		}
		q->pending = more;
		q->cap_pending = cap;
	}
	q->pending[q->nr_pending++] = (struct qcow2_clusters){ first, nr };
}

/* Clusters are free: nobody knows them, and the host's file system may have their space. */
static void give_back(struct qcow2 *q, uint64_t first, uint64_t nr)
{
	int rc = q->discard ? block_file_discard(&q->file, first << q->cluster_bits, nr << q->cluster_bits)
			    : 0;

	(void)rc; /* a kindness */
	remember(q, first, nr);
}

/* Lower the refcounts of a run by one each. Those that are free then are given back to the host's file system. */
static int free_run(struct qcow2 *q, struct qcow2_clusters run)
{
	uint64_t first_free = 0, nr_free = 0, v;

	for (uint64_t c = run.first; c < run.first + run.nr; c++) {
		int rc = qcow2_refcount_get(q, c, &v);

		if (!rc && !v)
			rc = qcow2_corrupt(q,
					   "the cluster at 0x%" PRIx64 " was in use and is counted as free",
					   c << q->cluster_bits);
		if (!rc && qcow2_metadata_overlap(q, c << q->cluster_bits, 1)) /* a table's own goes first */
			rc = qcow2_corrupt(q, "an L2 entry pointed to metadata at 0x%" PRIx64,
					   c << q->cluster_bits);
		if (!rc)
			rc = qcow2_refcount_set(q, c, v - 1);
		if (rc)
			return rc;
		if (v > 1)
			continue;
		qcow2_cache_forget(q, c << q->cluster_bits);
		if (nr_free && first_free + nr_free == c) {
			nr_free++;
			continue;
		}
		if (nr_free)
			give_back(q, first_free, nr_free);
		first_free = c;
		nr_free = 1;
	}
	if (nr_free)
		give_back(q, first_free, nr_free);
	return 0;
}

int qcow2_free_pending(struct qcow2 *q)
{
	struct qcow2_clusters *pending = q->pending;
	size_t nr = q->nr_pending;
	uint64_t step = MAX(QCOW2_HOLD_BYTES >> q->cluster_bits, 1);
	int rc = 0;

	/* What is busy goes back into the list. Steps are small so that little of a long run does. */
	q->pending = NULL;
	q->nr_pending = 0;
	q->cap_pending = 0;
	for (size_t i = 0; i < nr; i++) {
		struct qcow2_clusters run = pending[i], idle = { run.first, 0 };

		for (uint64_t c = run.first, n; c < run.first + run.nr; c += n) {
			bool held;

			n = MIN(step - (c & (step - 1)), run.first + run.nr - c);
			pthread_mutex_lock(&q->lock);
			held = qcow2_held(q, c << q->cluster_bits, n << q->cluster_bits);
			pthread_mutex_unlock(&q->lock);
			if (!held) {
				idle.nr += n;
				continue;
			}
			qcow2_free_later(q, c << q->cluster_bits, n << q->cluster_bits);
			if (!rc)
				rc = free_run(q, idle);
			idle = (struct qcow2_clusters){ c + n, 0 };
		}
		if (!rc)
			rc = free_run(q, idle);
	}
	free(pending);
	return rc;
}
