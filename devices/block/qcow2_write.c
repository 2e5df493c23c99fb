/*
 * Writing: in place where a cluster is ours alone, otherwise into new clusters, whose L2 entries are set once
 * the data is there. A long write takes its clusters in one go and copies only what it leaves of the first and
 * the last one.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "devices/block/iov.h"

/* What is written: [skip, ...) of iov; iov NULL: zeros. */
struct source {
	const struct iovec *iov;
	unsigned int nr;
	uint64_t skip;
};

/* A piece of a write that goes to one place in the file. */
struct piece {
	uint64_t offset, bytes; /* of the guest's disk; what the guest writes */
	uint64_t host;          /* of the first cluster; in place: of the first byte */
	uint64_t clusters;      /* 0: in place */
	bool reuse;             /* the clusters belong to these entries already, which read as zeros */
	bool fresh;             /* the clusters read as zeros */
	uint8_t *head,
		*tail; /* owned; what the first and last cluster keep; NULL: nothing, or zeros in place */
	uint64_t head_bytes, tail_bytes;
};

/* ---- the data ---- */

static unsigned int source_window(const struct source *s, uint64_t done, uint64_t bytes, struct iovec *out,
				  unsigned int max, uint64_t *got)
{
	if (!s->iov)
		return qcow2_zero_window(out, max, bytes, got);
	return iov_window(s->iov, s->nr, s->skip + done, bytes, out, max, got);
}

/* Write head, data and tail, with as few calls as vectors allow. */
static int write_data(struct qcow2 *q, const struct piece *p, const struct source *s)
{
	uint64_t at = p->host, done = 0;
	bool tail_done = !p->tail, head_done = !p->head;
	struct iovec iov[QCOW2_IOVS];

	if (p->clusters && !p->head)
		at += p->head_bytes;
	while (done < p->bytes || !tail_done) {
		unsigned int nr = 0;
		uint64_t got, bytes = 0;
		int rc;

		if (!head_done) {
			iov[nr++] = (struct iovec){ p->head, p->head_bytes };
			bytes += p->head_bytes;
			head_done = true;
		}
		nr += source_window(s, done, p->bytes - done, iov + nr, QCOW2_IOVS - 1 - nr, &got);
		if (done < p->bytes && !got)
			return -EINVAL; /* fewer bytes than the request says: the caller's fault */
		done += got;
		bytes += got;
		if (done == p->bytes && !tail_done) {
			iov[nr++] = (struct iovec){ p->tail, p->tail_bytes };
			bytes += p->tail_bytes;
			tail_done = true;
		}
		rc = block_file_writev(&q->file, at, iov, nr, bytes, false);
		if (rc)
			return rc;
		at += bytes;
	}
	return 0;
}

/* What the guest sees at [offset, offset + bytes), to be copied. NULL with *rc 0: zeros which are there already. */
static uint8_t *keep(struct qcow2 *q, uint64_t offset, uint64_t bytes, bool fresh, int *rc)
{
	uint64_t inside = offset < q->size ? MIN(bytes, align_up(q->size - offset, BLOCK_SECTOR)) : 0;
	struct iovec iov = { NULL, bytes };
	struct qcow2_run run;
	bool zeros;

	if (!bytes)
		return NULL;
	if (inside) {
		*rc = qcow2_run_hold(q, offset, inside, &run);
		if (*rc)
			return NULL;
		zeros = run.bytes == inside &&
			(run.kind == QCOW2_IS_ZERO || (run.kind == QCOW2_IS_UNALLOCATED && !q->backing.ops));
		qcow2_run_release(q, &run);
		if (zeros && fresh)
			return NULL;
	} else if (fresh) {
		return NULL;
	}
	iov.iov_base = calloc(1, bytes);
	if (!iov.iov_base)
		*rc = -ENOMEM;
	else if (inside)
		*rc = qcow2_read(q, offset, inside, &iov, 1, 0);
	return iov.iov_base;
}

static int keep_both(struct qcow2 *q, struct piece *p)
{
	uint64_t end = p->offset + p->bytes;
	int rc = 0;

	p->head_bytes = p->offset & (q->cluster_bytes - 1);
	p->tail_bytes = align_up(end, q->cluster_bytes) - end;
	p->head = keep(q, p->offset - p->head_bytes, p->head_bytes, p->fresh, &rc);
	if (!rc)
		p->tail = keep(q, end, p->tail_bytes, p->fresh, &rc);
	return rc;
}

/* ---- the tables ---- */

/* How many clusters from index on cannot be written in place, up to max. */
static int count_new(struct qcow2 *q, const struct qcow2_page *page, unsigned int index, uint64_t max,
		     uint64_t *nr)
{
	struct qcow2_run run;

	for (*nr = 0; *nr < max; (*nr)++) {
		qcow2_decode(q, get_be64(page->data + 8 * (index + *nr)), &run);
		if (run.kind == QCOW2_IS_CORRUPT && !*nr)
			return qcow2_corrupt(q, "an L2 entry makes no sense (0x%" PRIx64 ")", run.entry);
		if (run.kind == QCOW2_IS_CORRUPT || run.copied)
			break;
	}
	return 0;
}

/* In place, or into the host clusters that entries which read as zeros still have. */
static int plan_own(struct qcow2 *q, struct piece *p, const struct qcow2_run *run)
{
	uint64_t in_cluster = p->offset & (q->cluster_bytes - 1);

	if (qcow2_metadata_overlap(q, run->host, run->bytes))
		return qcow2_corrupt(q, "an L2 entry (0x%" PRIx64 ") points to metadata", run->entry);
	p->host = run->host;
	p->bytes = run->bytes;
	if (run->kind == QCOW2_IS_NORMAL) {
		pthread_mutex_lock(&q->lock);
		qcow2_hold(q, p->host, p->bytes);
		pthread_mutex_unlock(&q->lock);
		return 0;
	}
	p->host -= in_cluster;
	p->clusters = (in_cluster + p->bytes + q->cluster_bytes - 1) >> q->cluster_bits;
	p->reuse = true;
	return 0;
}

/* Decide where the first part of [p->offset, p->offset + p->bytes), of one L2 page, goes. With meta held. */
static int plan(struct qcow2 *q, struct piece *p)
{
	uint64_t in_cluster = p->offset & (q->cluster_bytes - 1), page_at, nr, got;
	struct qcow2_page *page;
	struct qcow2_run run;
	unsigned int index;
	int rc = q->corrupt ? -EIO : qcow2_l2_for_write(q, p->offset, &page_at, &index);

	if (!rc)
		rc = qcow2_cache_get(q, page_at, true, &page);
	if (!rc) {
		pthread_mutex_lock(&q->lock);
		rc = qcow2_run_find(q, p->offset, p->bytes, &run, &page_at);
		pthread_mutex_unlock(&q->lock);
	}
	if (rc)
		return rc;
	if (run.copied && (run.kind == QCOW2_IS_NORMAL || run.kind == QCOW2_IS_ZERO))
		return plan_own(q, p, &run);
	nr = (in_cluster + p->bytes + q->cluster_bytes - 1) >> q->cluster_bits;
	rc = count_new(q, page, index, nr, &nr);
	if (!rc)
		rc = qcow2_alloc(q, nr, &p->host, &got, &p->fresh);
	if (rc)
		return rc;
	p->clusters = got;
	p->bytes = MIN(p->bytes, (got << q->cluster_bits) - in_cluster);
	return 0;
}

/* The data is in the file: have the entries say so, and drop what they named before. With meta held. */
static int commit(struct qcow2 *q, const struct piece *p)
{
	struct qcow2_page *page;
	struct qcow2_run old;
	uint64_t page_at;
	unsigned int index;
	int rc = qcow2_l2_for_write(q, p->offset, &page_at, &index);

	if (!rc)
		rc = qcow2_cache_get(q, page_at, true, &page);
	if (rc)
		return rc;
	for (uint64_t i = 0; i < p->clusters; i++) {
		qcow2_decode(q, get_be64(page->data + 8 * (index + i)), &old);
		qcow2_cache_put64(q, page, index + (unsigned int)i,
				  (p->host + (i << q->cluster_bits)) | QCOW2_COPIED);
		if (old.host && !p->reuse)
			qcow2_free_later(q, old.host,
					 old.kind == QCOW2_IS_COMPRESSED ? old.host_bytes : q->cluster_bytes);
	}
	return 0;
}

static int finish(struct qcow2 *q, const struct piece *p, int rc)
{
	if (!p->clusters) {
		pthread_mutex_lock(&q->lock);
		qcow2_release(q, p->host, p->bytes);
		pthread_mutex_unlock(&q->lock);
		return rc;
	}
	pthread_mutex_lock(&q->meta);
	if (!rc)
		rc = commit(q, p);
	if (rc && !p->reuse)
		qcow2_unalloc(q, p->host, p->clusters);
	if (!rc && q->nr_pending > QCOW2_PENDING_FLUSH)
		rc = qcow2_flush(q);
	pthread_mutex_unlock(&q->meta);
	return rc;
}

/* The first part of what the claimed range still needs. p->bytes receives how much was written. */
static int write_piece(struct qcow2 *q, struct piece *p, const struct source *s)
{
	int rc;

	pthread_mutex_lock(&q->meta);
	rc = plan(q, p);
	pthread_mutex_unlock(&q->meta);
	if (rc)
		return rc;
	if (p->clusters)
		rc = keep_both(q, p);
	if (!rc)
		rc = write_data(q, p, s);
	free(p->head);
	free(p->tail);
	return finish(q, p, rc);
}

int qcow2_write(struct qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov,
		unsigned int nr_iov, uint64_t skip)
{
	struct source s = { iov, nr_iov, skip };
	uint64_t end = offset + bytes;
	struct span claim = { 0 };
	int rc = 0;

	spans_hold(q->claims, &claim, align_down(offset, q->cluster_bytes), align_up(end, q->cluster_bytes),
		   true);
	while (offset < end && !rc) {
		struct piece p = { .offset = offset, .bytes = MIN(end - offset, qcow2_page_rest(q, offset)) };

		rc = write_piece(q, &p, &s);
		offset += p.bytes;
		s.skip += p.bytes;
	}
	spans_release(q->claims, &claim);
	return rc;
}
