/*
 * Discards and zeroes. Whole clusters change in the tables alone; what is left at the ends is written as
 * zeros, or for a discard left as it is.
 */
#include "devices/block/qcow2.h"

#include <errno.h>

enum how { DISCARD, ZERO_UNMAP, ZERO_KEEP };

static void drop(struct qcow2 *q, const struct qcow2_run *old)
{
	if (old->host)
		qcow2_free_later(q, old->host,
				 old->kind == QCOW2_IS_COMPRESSED ? old->host_bytes : q->cluster_bytes);
}

/* What an entry becomes. *write: the cluster is to be written instead (version 2 has no zero clusters). */
static uint64_t change(const struct qcow2 *q, const struct qcow2_run *old, enum how how, bool *write)
{
	bool backed = q->backing.ops;

	*write = false;
	if (how == DISCARD) {
		if (old->kind == QCOW2_IS_UNALLOCATED || (backed && q->version < 3))
			return old->entry; /* old data of the backing file must not come back */
		return backed ? QCOW2_ZERO : 0;
	}
	if (old->kind == QCOW2_IS_UNALLOCATED && !backed)
		return old->entry;
	if (old->kind == QCOW2_IS_ZERO && how == ZERO_KEEP)
		return old->entry;
	if (q->version < 3) {
		*write = backed || how == ZERO_KEEP;
		return 0;
	}
	if (how == ZERO_KEEP && old->copied)
		return old->entry | QCOW2_ZERO;
	return backed || how == ZERO_KEEP ? QCOW2_ZERO : 0;
}

/* Is there nothing to do, and no table to be made for it? */
static bool nothing_there(struct qcow2 *q, uint64_t offset, uint64_t bytes, enum how how, uint64_t *skip)
{
	struct qcow2_run run;
	uint64_t page_at;
	int rc;

	pthread_mutex_lock(&q->lock);
	rc = qcow2_run_find(q, offset, bytes, &run, &page_at);
	pthread_mutex_unlock(&q->lock);
	*skip = run.bytes;
	return !rc && run.kind == QCOW2_IS_UNALLOCATED && (how == DISCARD || !q->backing.ops);
}

/* Clusters of one L2 page. *done receives for how many bytes this is over, all unless *write. With meta held. */
static int change_clusters(struct qcow2 *q, uint64_t offset, uint64_t bytes, enum how how, uint64_t *done,
			   bool *write)
{
	struct qcow2_page *page;
	struct qcow2_run old;
	uint64_t page_at;
	unsigned int index;
	int rc = q->corrupt ? -EIO : 0;

	*done = 0;
	*write = false;
	if (!rc && nothing_there(q, offset, bytes, how, done))
		return 0;
	*done = 0;
	if (!rc)
		rc = qcow2_l2_for_write(q, offset, &page_at, &index);
	if (!rc)
		rc = qcow2_cache_get(q, page_at, true, &page);
	for (; !rc && *done < bytes; *done += q->cluster_bytes, index++) {
		uint64_t new;

		qcow2_decode(q, get_be64(page->data + 8 * index), &old);
		if (old.kind == QCOW2_IS_CORRUPT)
			return qcow2_corrupt(q, "an L2 entry makes no sense (0x%llx)",
					     (unsigned long long)old.entry);
		new = change(q, &old, how, write);
		if (*write)
			return 0;
		if (new == old.entry)
			continue;
		qcow2_cache_put64(q, page, index, new);
		if ((new &QCOW2_OFFSET) == 0)
			drop(q, &old);
	}
	if (!rc && q->nr_pending > QCOW2_PENDING_FLUSH)
		rc = qcow2_flush(q);
	return rc;
}

/* Whole clusters, the last of which may reach beyond the end of the disk. */
static int change_range(struct qcow2 *q, uint64_t offset, uint64_t end, enum how how)
{
	while (offset < end) {
		uint64_t bytes = MIN(align_up(end - offset, q->cluster_bytes), qcow2_page_rest(q, offset)),
			 done;
		struct span claim = { 0 };
		bool write;
		int rc;

		spans_hold(q->claims, &claim, offset, offset + bytes, true);
		pthread_mutex_lock(&q->meta);
		rc = change_clusters(q, offset, bytes, how, &done, &write);
		pthread_mutex_unlock(&q->meta);
		spans_release(q->claims, &claim);
		offset += done;
		if (!rc && write) {
			rc = qcow2_write(q, offset, MIN(q->cluster_bytes, end - offset), NULL, 0, 0);
			offset += q->cluster_bytes;
		}
		if (rc)
			return rc;
	}
	return 0;
}

/* The whole clusters inside [offset, end); the end of the disk ends a cluster. */
static void inner(const struct qcow2 *q, uint64_t offset, uint64_t end, uint64_t *first, uint64_t *last)
{
	*first = align_up(offset, q->cluster_bytes);
	*last = end >= q->size ? end : align_down(end, q->cluster_bytes);
}

int qcow2_discard(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	uint64_t first, last;

	inner(q, offset, offset + bytes, &first, &last);
	return q->discard ? change_range(q, first, last, DISCARD) : 0;
}

/* Part of a cluster. */
static int zero_part(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	struct qcow2_run run;
	bool zero;
	int rc = bytes ? qcow2_run_hold(q, offset, bytes, &run) : 0;

	if (rc || !bytes)
		return rc;
	zero = run.bytes == bytes &&
	       (run.kind == QCOW2_IS_ZERO || (run.kind == QCOW2_IS_UNALLOCATED && !q->backing.ops));
	qcow2_run_release(q, &run);
	return zero ? 0 : qcow2_write(q, offset, bytes, NULL, 0, 0);
}

int qcow2_zeroes(struct qcow2 *q, uint64_t offset, uint64_t bytes, bool unmap)
{
	uint64_t end = offset + bytes, first, last;
	int rc;

	inner(q, offset, end, &first, &last);
	if (first >= last && (offset ^ (end - 1)) < q->cluster_bytes)
		return zero_part(q, offset, bytes); /* inside one cluster */
	rc = zero_part(q, offset, first - offset);
	if (!rc)
		rc = change_range(q, first, last, unmap ? ZERO_UNMAP : ZERO_KEEP);
	if (!rc)
		rc = zero_part(q, last, end - last);
	return rc;
}
