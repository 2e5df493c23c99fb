/*
 * Reading what the guest sees, when it takes more than a place in the file: tables not in the cache,
 * compressed clusters, backing files that are images themselves.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "devices/block/inflate.h"
#include "devices/block/iov.h"

/* Where what is read goes to: [skip, ...) of iov. */
struct target {
	const struct iovec *iov;
	unsigned int nr;
	uint64_t skip;
};

static int read_file(const struct block_file *f, uint64_t at, uint64_t bytes, const struct target *t)
{
	struct iovec iov[QCOW2_IOVS];
	int rc = 0;

	for (uint64_t done = 0, got; done < bytes && !rc; done += got) {
		unsigned int nr =
			iov_window(t->iov, t->nr, t->skip + done, bytes - done, iov, QCOW2_IOVS, &got);

		if (!got)
			return -EINVAL; /* fewer bytes than the request says: the caller's fault */
		rc = block_file_readv(f, at + done, iov, nr, got);
	}
	return rc;
}

static int serve_backing(const struct block_image *b, uint64_t offset, uint64_t bytes, const struct target *t)
{
	struct iovec iov[QCOW2_IOVS];
	int rc = 0;

	for (uint64_t done = 0, got; done < bytes && !rc; done += got) {
		struct block_req r = { .op = BLOCK_READ, .offset = offset + done, .iov = iov };

		r.nr_iov = iov_window(t->iov, t->nr, t->skip + done, bytes - done, iov, QCOW2_IOVS, &got);
		if (!got)
			return -EINVAL;
		r.bytes = got;
		rc = b->ops->serve(b->image, &r);
	}
	return rc;
}

/* Unallocated here: the backing file's bytes, and zeros where it ends (the specification, "Cluster mapping"). */
static int read_backing(const struct block_image *b, uint64_t offset, uint64_t bytes, struct target t)
{
	while (bytes) {
		struct block_extent x = { .kind = BLOCK_IS_ZERO, .bytes = bytes };
		int rc = 0;

		if (b->ops && offset < b->info.capacity_bytes)
			b->ops->map(b->image, false, offset, MIN(bytes, b->info.capacity_bytes - offset), &x);
		if (x.kind == BLOCK_IS_ZERO)
			iov_zero(t.iov, t.nr, t.skip, x.bytes);
		else if (x.kind == BLOCK_AT_FILE)
			rc = read_file(x.file, x.at, x.bytes, &t);
		else
			rc = serve_backing(b, offset, x.bytes, &t);
		if (x.kind == BLOCK_AT_FILE && b->ops->mapped_done)
			b->ops->mapped_done(b->image, &x, false);
		if (rc)
			return rc;
		offset += x.bytes;
		t.skip += x.bytes;
		bytes -= x.bytes;
	}
	return 0;
}

/* Have the compressed cluster of a run in q->inflated. */
static int inflate_locked(struct qcow2 *q, const struct qcow2_run *run)
{
	int64_t n;
	int rc;

	if (q->inflated_entry == run->entry)
		return 0;
	if (!q->inflated)
		q->inflated = malloc(q->cluster_bytes);
	if (!q->deflated)
		q->deflated =
			malloc(2 * q->cluster_bytes); /* the count of sectors has cluster_bits - 8 bits */
	if (!q->inflated || !q->deflated)
		return -ENOMEM;
	q->inflated_entry = 0;
	rc = block_file_read(&q->file, run->host, q->deflated, run->host_bytes);
	if (rc)
		return rc;
	n = inflate_raw(q->inflated, q->cluster_bytes, q->deflated, run->host_bytes);
	if (n < 0 || (uint64_t)n != q->cluster_bytes)
		return qcow2_corrupt(q, "the compressed data at 0x%" PRIx64 " is damaged", run->host);
	q->inflated_entry = run->entry;
	return 0;
}

static int read_compressed(struct qcow2 *q, const struct qcow2_run *run, uint64_t offset,
			   const struct target *t)
{
	int rc;

	pthread_mutex_lock(&q->inflate_lock);
	rc = inflate_locked(q, run);
	if (!rc)
		iov_from_buf(t->iov, t->nr, t->skip, q->inflated + (offset & (q->cluster_bytes - 1)),
			     run->bytes);
	pthread_mutex_unlock(&q->inflate_lock);
	return rc;
}

static int read_run(struct qcow2 *q, const struct qcow2_run *run, uint64_t offset, const struct target *t)
{
	switch (run->kind) {
	case QCOW2_IS_NORMAL:
		return read_file(&q->file, run->host, run->bytes, t);
	case QCOW2_IS_COMPRESSED:
		return read_compressed(q, run, offset, t);
	case QCOW2_IS_UNALLOCATED:
		return read_backing(&q->backing, offset, run->bytes, *t);
	default:
		iov_zero(t->iov, t->nr, t->skip, run->bytes);
		return 0;
	}
}

int qcow2_read(struct qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned int nr_iov,
	       uint64_t skip)
{
	struct target t = { iov, nr_iov, skip };

	while (bytes) {
		struct qcow2_run run;
		int rc = qcow2_run_hold(q, offset, bytes, &run);

		if (rc)
			return rc;
		rc = read_run(q, &run, offset, &t);
		qcow2_run_release(q, &run);
		if (rc)
			return rc;
		offset += run.bytes;
		t.skip += run.bytes;
		bytes -= run.bytes;
	}
	return 0;
}
