/*
 * Refcounts made anew from all that is referred to. Images with lazy refcounts need this after a crash: their
 * tables are right, their refcounts are not, and the dirty bit says so. The bit stays until all is written.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vmm/base/log.h"

#define MAX_CLUSTERS (1ull << 26) /* 256 MiB of counts; a file of 4 TiB with clusters of 64 KiB */

struct rebuild {
	struct qcow2 *q;
	uint32_t *count;   /* owned; for each cluster of the file */
	uint64_t nr, room; /* clusters; counts that there is memory for */
	uint64_t max;      /* what a refcount can hold */
	uint64_t *table;   /* owned; one L2 table, as it is in the file */
	struct err *e;
};

static int cannot(const struct rebuild *r, const char *why)
{
	return err_set(r->e, -EINVAL,
		       "%s was not closed properly, and its refcounts cannot be made anew here: %s; "
		       "qemu-img check -r all may mend it",
		       r->q->file.path, why);
}

/* One more reference to each cluster of [at, at + bytes). The end of the last may lie beyond the file's. */
static int count(struct rebuild *r, uint64_t at, uint64_t bytes)
{
	if (!bytes)
		return 0;
	for (uint64_t c = at >> r->q->cluster_bits; c <= (at + bytes - 1) >> r->q->cluster_bits; c++) {
		if (c >= r->nr)
			return cannot(r, "a table points beyond the end of the file");
		if (++r->count[c] > r->max)
			return cannot(r, "a cluster is referred to more often than can be counted");
	}
	return 0;
}

static int read_l2(struct rebuild *r, uint64_t at)
{
	int rc;

	if (!qcow2_aligned(r->q, at) || at >= r->q->file_end)
		return cannot(r, "an L2 table is not in the file, or not aligned");
	rc = block_file_read(&r->q->file, at, r->table, r->q->cluster_bytes);
	return rc ? err_sys(r->e, rc, "%s: cannot read an L2 table", r->q->file.path) : 0;
}

static int count_l2(struct rebuild *r, uint64_t at)
{
	int rc = read_l2(r, at);

	if (!rc)
		rc = count(r, at, r->q->cluster_bytes);
	for (uint64_t i = 0; i < r->q->cluster_bytes / 8 && !rc; i++) {
		struct qcow2_run run;

		qcow2_decode(r->q, be64toh(r->table[i]), &run);
		if (run.kind == QCOW2_IS_CORRUPT)
			return cannot(r, "an L2 entry makes no sense");
		if (run.kind == QCOW2_IS_COMPRESSED) /* its last sectors need not exist */
			run.host_bytes = MIN(run.host_bytes, (r->nr << r->q->cluster_bits) - run.host);
		if (run.host)
			rc = count(r, run.host, run.host_bytes ? run.host_bytes : r->q->cluster_bytes);
	}
	return rc;
}

/* A snapshot's L1 table, and all it refers to. */
static int count_snapshot(struct rebuild *r, const struct qcow2_l1 *l1)
{
	int rc = count(r, l1->at, 8 * l1->entries);

	for (uint64_t i = 0; i < l1->entries && !rc; i++) {
		uint8_t entry[8];

		rc = block_file_read(&r->q->file, l1->at + 8 * i, entry, sizeof(entry));
		if (rc)
			return err_sys(r->e, rc, "%s: cannot read a snapshot's L1 table", r->q->file.path);
		if (get_be64(entry) & QCOW2_OFFSET)
			rc = count_l2(r, get_be64(entry) & QCOW2_OFFSET);
	}
	return rc;
}

static int count_active(struct rebuild *r)
{
	struct qcow2 *q = r->q;
	int rc = count(r, 0, q->cluster_bytes);

	if (!rc)
		rc = count(r, q->l1_at, 8ull * q->l1_entries);
	if (!rc)
		rc = count(r, q->rt_at, 8 * q->rt_entries);
	for (uint64_t i = 0; i < q->rt_entries && !rc; i++)
		rc = count(r, q->rt[i], q->rt[i] ? q->cluster_bytes : 0);
	for (uint64_t i = 0; i < q->l1_entries && !rc; i++) {
		if (q->l1[i] & QCOW2_OFFSET)
			rc = count_l2(r, q->l1[i] & QCOW2_OFFSET);
	}
	return rc;
}

/* What may be written in place must be ours alone. */
static int check_copied(struct rebuild *r)
{
	struct qcow2 *q = r->q;
	int rc = 0;

	for (uint64_t i = 0; i < q->l1_entries && !rc; i++) {
		uint64_t at = q->l1[i] & QCOW2_OFFSET;

		if (!at)
			continue;
		if (q->l1[i] & QCOW2_COPIED && r->count[at >> q->cluster_bits] > 1)
			return cannot(r, "an L2 table is shared, and marked as not shared");
		rc = read_l2(r, at);
		for (uint64_t n = 0; n < q->cluster_bytes / 8 && !rc; n++) {
			struct qcow2_run run;

			qcow2_decode(q, be64toh(r->table[n]), &run);
			if (run.copied && r->count[run.host >> q->cluster_bits] > 1)
				return cannot(r, "a cluster is shared, and marked as not shared");
		}
	}
	return rc;
}

/* A region without a block in which something is in use: the block goes to the end of the file. */
static int add_block(struct rebuild *r, uint64_t region)
{
	int rc;

	if (region >= r->q->rt_entries || r->nr >= r->room)
		return cannot(r, "the refcount table is too small");
	rc = qcow2_refcount_block_new(r->q, region, r->nr);
	if (rc)
		return err_sys(r->e, rc, "%s: cannot write a refcount block", r->q->file.path);
	r->count[r->nr++] = 1;
	return 0;
}

static int apply(struct rebuild *r)
{
	struct qcow2 *q = r->q;
	int rc = 0;

	for (uint64_t c = 0; c < r->nr; c++) {
		uint64_t was, region = c >> qcow2_rb_bits(q);

		if (r->count[c] && (region >= q->rt_entries || !q->rt[region])) {
			rc = add_block(r, region);
			if (rc)
				return rc;
		}
		rc = qcow2_refcount_get(q, c, &was);
		if (!rc && was != r->count[c])
			rc = qcow2_refcount_set(q, c, r->count[c]);
		if (rc)
			return err_sys(r->e, rc, "%s: cannot correct the refcounts", q->file.path);
	}
	rc = qcow2_flush_refcounts(q);
	if (!rc)
		rc = qcow2_header_flag(q, 0, QCOW2_INCOMPATIBLE_DIRTY);
	if (!rc)
		rc = qcow2_sync(q);
	return rc ? err_sys(r->e, rc, "%s: cannot correct the refcounts", q->file.path) : 0;
}

int qcow2_rebuild(struct qcow2 *q, const struct qcow2_l1 *snapshots, uint32_t nr_snapshots, uint64_t table_at,
		  uint64_t table_bytes, struct err *e)
{
	struct rebuild r = { .q = q,
			     .e = e,
			     .nr = align_up(q->file_end, q->cluster_bytes) >> q->cluster_bits };
	int rc;

	r.max = q->refcount_order > 4 ? UINT32_MAX - 1 : (1ull << (1u << q->refcount_order)) - 1;
	r.room = r.nr + (r.nr >> qcow2_rb_bits(q)) + 16;
	if (r.nr > MAX_CLUSTERS)
		return cannot(&r, "the file is too long");
	log_info("%s: %s was not closed properly: counting what is in use", q->label, q->file.path);
	r.count = calloc(r.room, sizeof(*r.count));
	r.table = malloc(q->cluster_bytes);
	rc = r.count && r.table ? 0 : err_sys(e, -ENOMEM, "%s", q->file.path);
	if (!rc)
		rc = count(&r, table_at, table_bytes);
	for (uint32_t i = 0; i < nr_snapshots && !rc; i++)
		rc = count_snapshot(&r, &snapshots[i]);
	if (!rc)
		rc = count_active(&r);
	if (!rc)
		rc = check_copied(&r);
	if (!rc)
		rc = apply(&r);
	free(r.count);
	free(r.table);
	return rc;
}
