/*
 * From the guest's offsets to places in the file: L1, L2, what an entry means; and which places are in use by
 * transfers under way.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* The specification, "L2 table entry" and after. Reserved bits must be 0, places must lie in the file. */
void qcow2_decode(const struct qcow2 *q, uint64_t entry, struct qcow2_run *r)
{
	unsigned int x = 62 - (q->cluster_bits - 8);
	uint64_t reserved = ~(QCOW2_OFFSET | QCOW2_COPIED | (q->version > 2 ? QCOW2_ZERO : 0));

	r->entry = entry;
	r->host_bytes = 0;
	if (entry & QCOW2_COMPRESSED) {
		r->host = entry & ((1ull << x) - 1);
		r->host_bytes =
			((((entry & ~QCOW2_COPIED & ~QCOW2_COMPRESSED) >> x) + 1) << 9) - (r->host & 511);
		r->copied = false;
		r->kind = r->host >= q->cluster_bytes && r->host < q->file_end ? QCOW2_IS_COMPRESSED
									       : QCOW2_IS_CORRUPT;
		return;
	}
	r->host = entry & QCOW2_OFFSET;
	r->copied = r->host && entry & QCOW2_COPIED;
	if (entry & reserved || !qcow2_aligned(q, r->host) || (r->host && r->host >= q->file_end))
		r->kind = QCOW2_IS_CORRUPT;
	else if (entry & QCOW2_ZERO)
		r->kind = QCOW2_IS_ZERO;
	else
		r->kind = r->host ? QCOW2_IS_NORMAL : QCOW2_IS_UNALLOCATED;
}

uint64_t qcow2_page_rest(const struct qcow2 *q, uint64_t offset)
{
	uint64_t span = (uint64_t)q->page_bytes / 8 << q->cluster_bits;

	return span - (offset & (span - 1));
}

/* An L1 entry's L2 table; 0: none. -EINVAL when it cannot be one. */
static int l2_table(const struct qcow2 *q, uint64_t offset, uint64_t *table, bool *copied)
{
	uint64_t entry = q->l1[offset >> (q->cluster_bits + qcow2_l2_bits(q))];

	*table = entry & QCOW2_OFFSET;
	*copied = entry & QCOW2_COPIED;
	if (entry & ~(QCOW2_OFFSET | QCOW2_COPIED) || !qcow2_aligned(q, *table) ||
	    (*table && !range_ok(*table, q->cluster_bytes, align_up(q->file_end, q->cluster_bytes))))
		return -EINVAL;
	return 0;
}

/* Where in the file the page is that describes offset, and which entry of it does. */
static uint64_t page_of(const struct qcow2 *q, uint64_t table, uint64_t offset, unsigned int *index)
{
	uint64_t i = offset >> q->cluster_bits & ((1ull << qcow2_l2_bits(q)) - 1);

	*index = (unsigned int)(i % (q->page_bytes / 8));
	return table + i / (q->page_bytes / 8) * q->page_bytes;
}

/* Does the next entry go on where the run's last cluster (its n-th) ends? */
static bool goes_on(const struct qcow2 *q, const struct qcow2_run *run, uint64_t host, uint64_t n,
		    uint64_t entry)
{
	struct qcow2_run next;

	qcow2_decode(q, entry, &next);
	if (next.kind != run->kind || next.copied != run->copied || run->kind == QCOW2_IS_COMPRESSED)
		return false;
	return host ? next.host == host + (n << q->cluster_bits) : !next.host;
}

int qcow2_run_find(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct qcow2_run *run, uint64_t *page_at)
{
	uint64_t in_cluster = offset & (q->cluster_bytes - 1), table, host;
	const struct qcow2_page *page;
	unsigned int index, n = 1;
	bool copied;

	*run = (struct qcow2_run){ .kind = QCOW2_IS_CORRUPT, .bytes = bytes };
	if (l2_table(q, offset, &table, &copied))
		return 0;
	if (!table) {
		run->kind = QCOW2_IS_UNALLOCATED;
		run->bytes = MIN(bytes, qcow2_l2_span(q) - (offset & (qcow2_l2_span(q) - 1)));
		return 0;
	}
	*page_at = page_of(q, table, offset, &index);
	page = qcow2_cache_find(q, *page_at);
	if (!page)
		return -EAGAIN;
	if (!page->l2)
		return 0;
	qcow2_decode(q, get_be64(page->data + 8 * index), run);
	host = run->host;
	while (index + n < q->page_bytes / 8 && ((uint64_t)n << q->cluster_bits) - in_cluster < bytes &&
	       goes_on(q, run, host, n, get_be64(page->data + 8 * (index + n))))
		n++;
	run->bytes = MIN(bytes, ((uint64_t)n << q->cluster_bits) - in_cluster);
	run->copied = run->copied && copied;
	if (run->host && run->kind != QCOW2_IS_COMPRESSED)
		run->host += in_cluster;
	return 0;
}

/* ---- transfers under way ---- */

static unsigned int hold_shift(const struct qcow2 *q)
{
	return MAX(q->cluster_bits, (unsigned int)__builtin_ctz(QCOW2_HOLD_BYTES));
}

static void hold_add(struct qcow2 *q, uint64_t at, uint64_t bytes, uint32_t add)
{
	unsigned int shift = hold_shift(q);

	if (q->readonly)
		return; /* nothing is ever dropped */
	for (uint64_t i = at >> shift; i <= (at + bytes - 1) >> shift; i++)
		q->busy[i % QCOW2_BUSY] += add;
}

void qcow2_hold(struct qcow2 *q, uint64_t at, uint64_t bytes)
{
	hold_add(q, at, bytes, 1);
}

void qcow2_release(struct qcow2 *q, uint64_t at, uint64_t bytes)
{
	hold_add(q, at, bytes, UINT32_MAX);
}

bool qcow2_held(const struct qcow2 *q, uint64_t at, uint64_t bytes)
{
	unsigned int shift = hold_shift(q);

	for (uint64_t i = at >> shift; i <= (at + bytes - 1) >> shift; i++) {
		if (q->busy[i % QCOW2_BUSY])
			return true;
	}
	return false;
}

/* The bytes in the file that a run reads. */
static uint64_t run_host_bytes(const struct qcow2_run *run)
{
	if (run->kind == QCOW2_IS_NORMAL)
		return run->bytes;
	return run->kind == QCOW2_IS_COMPRESSED ? run->host_bytes : 0;
}

static int find_and_hold(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct qcow2_run *run,
			 uint64_t *page_at)
{
	int rc;

	pthread_mutex_lock(&q->lock);
	rc = qcow2_run_find(q, offset, bytes, run, page_at);
	if (!rc && run_host_bytes(run))
		qcow2_hold(q, run->host, run_host_bytes(run));
	pthread_mutex_unlock(&q->lock);
	return rc;
}

int qcow2_run_hold(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct qcow2_run *run)
{
	struct qcow2_page *page;
	uint64_t page_at;
	int rc = find_and_hold(q, offset, bytes, run, &page_at);

	if (rc == -EAGAIN) {
		pthread_mutex_lock(&q->meta);
		rc = find_and_hold(q, offset, bytes, run, &page_at);
		if (rc == -EAGAIN)
			rc = qcow2_cache_get(q, page_at, true, &page);
		if (!rc && !run_host_bytes(run)) /* held already if somebody else was quicker */
			rc = find_and_hold(q, offset, bytes, run, &page_at);
		pthread_mutex_unlock(&q->meta);
	}
	if (!rc && run->kind == QCOW2_IS_CORRUPT)
		rc = qcow2_corrupt(q,
				   "the table entries for offset 0x%" PRIx64
				   " of the disk make no sense (0x%" PRIx64 ")",
				   offset, run->entry);
	return rc;
}

void qcow2_run_release(struct qcow2 *q, const struct qcow2_run *run)
{
	if (!run_host_bytes(run))
		return;
	pthread_mutex_lock(&q->lock);
	qcow2_release(q, run->host, run_host_bytes(run));
	pthread_mutex_unlock(&q->lock);
}

/* ---- what the queues ask ---- */

static void map_backing(struct qcow2 *q, uint64_t offset, struct block_extent *x)
{
	uint64_t end = q->backing.info.capacity_bytes;

	if (!q->backing.ops || offset >= end) {
		x->kind = BLOCK_IS_ZERO;
		return;
	}
	q->backing.ops->map(q->backing.image, false, offset, MIN(x->bytes, end - offset), x);
}

void qcow2_map(void *image, bool write, uint64_t offset, uint64_t bytes, struct block_extent *x)
{
	struct qcow2 *q = image;
	struct qcow2_run run;
	uint64_t page_at;
	int rc;

	*x = (struct block_extent){ .kind = BLOCK_NEEDS_WORK, .bytes = bytes };
	if (!range_ok(offset, bytes, align_up(q->size, BLOCK_SECTOR)) || (write && q->readonly))
		return; /* serve() refuses it */
	pthread_mutex_lock(&q->lock);
	rc = qcow2_run_find(q, offset, bytes, &run, &page_at);
	if (rc || run.kind == QCOW2_IS_CORRUPT || run.kind == QCOW2_IS_COMPRESSED)
		goto out;
	if (write && (run.kind != QCOW2_IS_NORMAL || !run.copied || q->corrupt ||
		      qcow2_metadata_overlap(q, run.host, run.bytes)))
		goto out;
	x->bytes = run.bytes;
	if (run.kind == QCOW2_IS_NORMAL) {
		x->kind = BLOCK_AT_FILE;
		x->file = &q->file;
		x->at = run.host;
		qcow2_hold(q, run.host, run.bytes);
	} else if (run.kind == QCOW2_IS_ZERO) {
		x->kind = BLOCK_IS_ZERO;
	}
out:
	pthread_mutex_unlock(&q->lock);
	if (!rc && run.kind == QCOW2_IS_UNALLOCATED && !write)
		map_backing(q, offset, x);
}

void qcow2_mapped_done(void *image, const struct block_extent *x, bool write)
{
	struct qcow2 *q = image;

	(void)write;
	if (x->file != &q->file)
		return; /* a backing file's, whose clusters never move */
	pthread_mutex_lock(&q->lock);
	qcow2_release(q, x->at, x->bytes);
	pthread_mutex_unlock(&q->lock);
}

/* ---- tables for writing ---- */

/* Copy a table that a snapshot shares, or begin an empty one, in a new cluster. */
static int table_fill(struct qcow2 *q, uint64_t from, uint64_t to)
{
	uint8_t *buf;
	int rc;

	if (!from)
		return qcow2_write_zeros(q, to, q->cluster_bytes);
	buf = malloc(q->cluster_bytes);
	rc = buf ? block_file_read(&q->file, from, buf, q->cluster_bytes) : -ENOMEM;
	/* Whatever the old table said: what two tables name is not to be written in place. */
	for (uint64_t i = 0; !rc && i < q->cluster_bytes; i += 8)
		put_be64(buf + i, get_be64(buf + i) & ~QCOW2_COPIED);
	if (!rc)
		rc = block_file_write(&q->file, to, buf, q->cluster_bytes);
	free(buf);
	return rc;
}

static int table_new(struct qcow2 *q, uint64_t l1_index, uint64_t old)
{
	uint64_t host, nr;
	bool fresh;
	int rc = qcow2_alloc(q, 1, &host, &nr, &fresh);

	if (rc)
		return rc;
	rc = table_fill(q, old, host);
	if (!rc)
		rc = qcow2_metadata_add(q, host >> q->cluster_bits, 1);
	if (rc) {
		qcow2_unalloc(q, host, 1);
		return rc;
	}
	qcow2_cache_forget(q, host);
	qcow2_l1_put(q, l1_index, host | QCOW2_COPIED);
	if (old) {
		qcow2_metadata_del(q, old >> q->cluster_bits, 1);
		qcow2_free_later(q, old, q->cluster_bytes);
	}
	return 0;
}

int qcow2_l2_for_write(struct qcow2 *q, uint64_t offset, uint64_t *page_at, unsigned int *index)
{
	uint64_t l1_index = offset >> (q->cluster_bits + qcow2_l2_bits(q)), table;
	bool copied;
	int rc = l2_table(q, offset, &table, &copied);

	if (rc)
		return qcow2_corrupt(q, "L1 entry %" PRIu64 " (0x%" PRIx64 ") makes no sense", l1_index,
				     q->l1[l1_index]);
	if (!table || !copied) {
		rc = table_new(q, l1_index, table);
		if (rc)
			return rc;
		table = q->l1[l1_index] & QCOW2_OFFSET;
	}
	*page_at = page_of(q, table, offset, index);
	return 0;
}
