/*
 * Before a writable image is used: where all its metadata is, and that no two tables share a place. Images
 * that are only read need none of this: each entry is checked when it is used.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { SNAPSHOT_FIXED = 40 }; /* the specification, "Snapshots": bytes of an entry before its names */

struct snapshots {
	struct qcow2_l1 *l1; /* owned */
	uint32_t nr;
	uint64_t bytes; /* of the snapshot table */
};

/* Note a table, or say why it cannot be where it is said to be. */
static int note(struct qcow2 *q, const char *what, uint64_t at, uint64_t bytes, struct err *e)
{
	uint64_t end = align_up(q->file_end, q->cluster_bytes);
	uint64_t nr = align_up(bytes, q->cluster_bytes) >> q->cluster_bits;
	int rc = -EINVAL;

	if (!bytes)
		return 0;
	if (at >= q->file_end || !qcow2_aligned(q, at) || !range_ok(at, bytes, end))
		return err_set(e, rc,
			       "%s is corrupt: the %s at 0x%" PRIx64
			       " is not aligned, or not in the file of %" PRIu64
			       " bytes; qemu-img check -r all may mend it",
			       q->file.path, what, at, q->file_end);
	/* A sparse file can claim more than there is memory for. */
	if (!range_ok(q->metadata.nr, nr, QCOW2_MAX_METADATA))
		return err_set(e, -EFBIG,
			       "%s has more than %llu clusters of tables; open it with readonly=on",
			       q->file.path, QCOW2_MAX_METADATA);
	rc = qcow2_metadata_add(q, at >> q->cluster_bits, nr);
	if (rc == -EEXIST)
		return err_set(e, -EINVAL,
			       "%s is corrupt: the %s at 0x%" PRIx64 " shares its place with another table; "
			       "qemu-img check -r all may mend it",
			       q->file.path, what, at);
	return rc ? err_sys(e, rc, "%s", q->file.path) : 0;
}

static int read_snapshot(struct qcow2 *q, uint64_t at, struct qcow2_l1 *l1, uint64_t *bytes, struct err *e)
{
	uint8_t p[SNAPSHOT_FIXED];
	int rc;

	if (!range_ok(at, sizeof(p), q->file_end))
		return err_set(e, -EINVAL,
			       "%s is corrupt: its snapshot table reaches beyond the end of the file; "
			       "qemu-img check -r all may mend it",
			       q->file.path);
	rc = block_file_read(&q->file, at, p, sizeof(p));
	if (rc)
		return err_sys(e, rc, "%s: cannot read the snapshot table", q->file.path);
	l1->at = get_be64(p);
	l1->entries = get_be32(p + 8);
	if (l1->entries > QCOW2_MAX_L1_BYTES / 8)
		return err_set(e, -EINVAL,
			       "%s is corrupt: a snapshot has an L1 table of %" PRIu64
			       " entries (at most %llu); "
			       "qemu-img check -r all may mend it",
			       q->file.path, l1->entries, QCOW2_MAX_L1_BYTES / 8);
	*bytes = align_up(sizeof(p) + (uint64_t)get_be32(p + 36) + get_be16(p + 12) + get_be16(p + 14), 8);
	return 0;
}

static int read_snapshots(struct qcow2 *q, const struct qcow2_header *h, struct snapshots *s, struct err *e)
{
	int rc = 0;

	s->l1 = calloc(MAX(h->nr_snapshots, 1u), sizeof(*s->l1));
	if (!s->l1)
		return err_sys(e, -ENOMEM, "%s", q->file.path);
	for (s->nr = 0; s->nr < h->nr_snapshots && !rc; s->nr++) {
		uint64_t bytes = 0;

		rc = read_snapshot(q, h->snapshots_at + s->bytes, &s->l1[s->nr], &bytes, e);
		s->bytes += bytes;
	}
	if (!rc)
		rc = note(q, "snapshot table", h->snapshots_at, s->bytes, e);
	for (uint32_t i = 0; i < s->nr && !rc; i++)
		rc = note(q, "L1 table of a snapshot", s->l1[i].at, 8 * s->l1[i].entries, e);
	return rc;
}

/* Every table that the refcount table and the active L1 table name. */
static int note_named(struct qcow2 *q, struct err *e)
{
	int rc = 0;

	for (uint64_t i = 0; i < q->rt_entries && !rc; i++) {
		if (q->rt[i])
			rc = note(q, "refcount block", q->rt[i], q->cluster_bytes, e);
	}
	for (uint64_t i = 0; i < q->l1_entries && !rc; i++) {
		uint64_t entry = q->l1[i];

		if (entry & ~(QCOW2_OFFSET | QCOW2_COPIED))
			return err_set(e, -EINVAL,
				       "%s is corrupt: L1 entry %" PRIu64 " (0x%" PRIx64
				       ") has reserved bits set; "
				       "qemu-img check -r all may mend it",
				       q->file.path, i, entry);
		if (entry & QCOW2_OFFSET)
			rc = note(q, "L2 table", entry & QCOW2_OFFSET, q->cluster_bytes, e);
	}
	return rc;
}

/* Unknown ones may not stay when the image changes; and known to us is none (the specification, "Header"). */
static int clear_autoclear(struct qcow2 *q, struct err *e)
{
	const uint8_t none[8] = { 0 };
	int rc = qcow2_header_put(q, QCOW2_AT_AUTOCLEAR, none, sizeof(none));

	if (!rc)
		rc = qcow2_sync(q);
	return rc ? err_sys(e, rc, "%s: cannot write the header", q->file.path) : 0;
}

int qcow2_prepare_writing(struct qcow2 *q, const struct qcow2_header *h, struct err *e)
{
	struct snapshots s = { 0 };
	int rc = note(q, "header", 0, q->cluster_bytes, e);

	if (!rc)
		rc = note(q, "L1 table", q->l1_at, 8ull * q->l1_entries, e);
	if (!rc)
		rc = note(q, "refcount table", q->rt_at, 8 * q->rt_entries, e);
	if (!rc)
		rc = note_named(q, e);
	if (!rc)
		rc = read_snapshots(q, h, &s, e);
	/* From here on the file changes. */
	if (!rc && h->autoclear)
		rc = clear_autoclear(q, e);
	if (!rc && h->incompatible & QCOW2_INCOMPATIBLE_DIRTY)
		rc = qcow2_rebuild(q, s.l1, s.nr, h->snapshots_at, s.bytes, e);
	free(s.l1);
	return rc;
}
