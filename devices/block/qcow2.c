/*
 * qcow2 images: opening, what the rest of devices/block/ calls, closing.
 * QEMU's docs/interop/qcow2.txt (7.2) describes the format.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/log.h"

/* ---- the header while the image is open ---- */

int qcow2_sync(struct qcow2 *q)
{
	return q->sync ? block_file_sync(&q->file) : 0;
}

int qcow2_header_put(struct qcow2 *q, uint64_t at, const void *bytes, size_t len)
{
	int rc;

	pthread_mutex_lock(&q->header_lock);
	rc = block_file_write(&q->file, at, bytes, len);
	pthread_mutex_unlock(&q->header_lock);
	return rc;
}

int qcow2_header_flag(struct qcow2 *q, uint64_t set, uint64_t clear)
{
	uint8_t field[8];
	int rc;

	pthread_mutex_lock(&q->header_lock);
	q->incompatible = (q->incompatible | set) & ~clear;
	put_be64(field, q->incompatible);
	rc = block_file_write(&q->file, QCOW2_AT_INCOMPATIBLE, field, sizeof(field));
	pthread_mutex_unlock(&q->header_lock);
	return rc;
}

int qcow2_corrupt(struct qcow2 *q, const char *fmt, ...)
{
	char what[160];
	va_list ap;

	if (atomic_exchange(&q->corrupt, true))
		return -EIO;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	log_warn("%s: %s is corrupt: %s; %s, mend it with qemu-img check -r all", q->label, q->file.path,
		 what, q->readonly ? "what cannot be read gives I/O errors" : "no more writes");
	/* Version 2 has no place for it. */
	if (!q->readonly && q->version > 2 && qcow2_header_flag(q, QCOW2_INCOMPATIBLE_CORRUPT, 0))
		log_warn("%s: %s cannot be marked corrupt", q->label, q->file.path);
	return -EIO;
}

/* ---- what the queues call ---- */

static int serve_flush(struct qcow2 *q)
{
	int rc;

	pthread_mutex_lock(&q->meta);
	rc = qcow2_flush(q);
	pthread_mutex_unlock(&q->meta);
	return rc;
}

static int qcow2_serve(void *image, struct block_req *r)
{
	struct qcow2 *q = image;

	if (r->op == BLOCK_FLUSH)
		return serve_flush(q);
	if (!range_ok(r->offset, r->bytes, align_up(q->size, BLOCK_SECTOR)))
		return -EINVAL;
	if (!r->bytes)
		return 0;
	if (r->op == BLOCK_READ)
		return qcow2_read(q, r->offset, r->bytes, r->iov, r->nr_iov, 0);
	if (q->readonly)
		return -EROFS;
	switch (r->op) {
	case BLOCK_WRITE:
		return qcow2_write(q, r->offset, r->bytes, r->iov, r->nr_iov, 0);
	case BLOCK_DISCARD:
		return qcow2_discard(q, r->offset, r->bytes);
	case BLOCK_ZEROES:
		return qcow2_zeroes(q, r->offset, r->bytes, r->unmap && q->discard);
	default:
		return -EINVAL;
	}
}

static bool qcow2_flush_needs_work(void *image)
{
	struct qcow2 *q = image;
	bool dirty;

	pthread_mutex_lock(&q->lock);
	dirty = qcow2_cache_dirty(q) || q->corrupt || !q->sync;
	pthread_mutex_unlock(&q->lock);
	return dirty;
}

/* Memory only: what was written is the caller's business. */
static void qcow2_free(struct qcow2 *q)
{
	if (q->backing.ops)
		q->backing.ops->close(q->backing.image);
	block_file_close(&q->file);
	qcow2_cache_fini(q);
	qcow2_metadata_fini(q);
	spans_free(q->claims);
	free(q->l1);
	free(q->l1_sector_dirty);
	free(q->rt);
	free(q->rt_sector_dirty);
	free(q->pending);
	free(q->inflated);
	free(q->deflated);
	pthread_mutex_destroy(&q->meta);
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->header_lock);
	pthread_mutex_destroy(&q->inflate_lock);
	free(q);
}

static void qcow2_close(void *image)
{
	struct qcow2 *q = image;
	int rc = 0;

	if (!q->readonly && !q->corrupt) {
		rc = qcow2_flush(q);
		if (!rc) /* the refcounts of what that freed */
			rc = qcow2_flush_refcounts(q);
	}
	if (rc && !q->corrupt) /* else it has been said */
		log_error("%s: %s: what the guest wrote last cannot be saved: %s", q->label, q->file.path,
			  strerror(-rc));
	qcow2_free(q);
}

static const struct block_format_ops qcow2_ops = {
	.map = qcow2_map,
	.mapped_done = qcow2_mapped_done,
	.serve = qcow2_serve,
	.flush_needs_work = qcow2_flush_needs_work,
	.close = qcow2_close,
};

void qcow2_describe(struct qcow2 *q, struct block_image *img)
{
	img->ops = &qcow2_ops;
	img->image = q;
	img->file = &q->file;
	img->info = (struct block_info){ 0 };
	block_file_get_info(&q->file, q->discard, &img->info);
	img->info.capacity_bytes = align_up(q->size, BLOCK_SECTOR);
	img->info.opt_io_bytes = (uint32_t)q->cluster_bytes;
	img->info.discard_bytes = q->discard && !q->readonly ? (uint32_t)q->cluster_bytes : 0;
	img->info.readonly = q->readonly;
	img->info.write_cache = q->write_cache;
}

/* ---- opening ---- */

/* Read a table of 8-byte entries into memory, in our byte order. */
static int read_table(struct qcow2 *q, uint64_t at, uint64_t entries, uint64_t **table,
		      uint8_t **sector_dirty)
{
	int rc;

	*table = calloc(entries + 1, sizeof(**table));
	*sector_dirty = calloc(entries / 64 + 1, 1);
	if (!*table || !*sector_dirty)
		return -ENOMEM;
	rc = entries ? block_file_read(&q->file, at, *table, entries * sizeof(**table)) : 0;
	for (uint64_t i = 0; i < entries; i++)
		(*table)[i] = be64toh((*table)[i]);
	return rc;
}

static int load(struct qcow2 *q, const struct qcow2_header *h, struct err *e)
{
	int rc;

	if (q->file.direct && q->cluster_bytes < q->file.align)
		return err_set(e, -EINVAL,
			       "%s: clusters of %" PRIu64 " bytes are less than the %u that its file system "
			       "takes with cache=none and cache=directsync; choose another cache mode",
			       q->file.path, q->cluster_bytes, q->file.align);
	q->claims = spans_new();
	rc = q->claims ? qcow2_cache_init(q) : -ENOMEM;
	if (!rc)
		rc = read_table(q, q->l1_at, q->l1_entries, &q->l1, &q->l1_sector_dirty);
	if (!rc && !q->readonly)
		rc = read_table(q, q->rt_at, q->rt_entries, &q->rt, &q->rt_sector_dirty);
	if (rc)
		return err_sys(e, rc, "%s: cannot read the image's tables", q->file.path);
	return q->readonly ? 0 : qcow2_prepare_writing(q, h, e);
}

struct qcow2 *qcow2_attach(struct block_file *file, const struct qcow2_header *h,
			   const struct block_options *o, bool readonly, int *rc, struct err *e)
{
	struct qcow2 *q = calloc(1, sizeof(*q));

	if (!q) {
		*rc = err_sys(e, -ENOMEM, "%s", file->path);
		block_file_close(file);
		return NULL;
	}
	q->file = *file;
	q->readonly = readonly;
	q->sync = o->cache != CACHE_UNSAFE;
	q->discard = o->discard;
	q->write_cache = o->cache != CACHE_WRITETHROUGH && o->cache != CACHE_DIRECTSYNC;
	q->version = h->version;
	q->cluster_bits = h->cluster_bits;
	q->refcount_order = h->refcount_order;
	q->cluster_bytes = 1ull << h->cluster_bits;
	q->page_bytes = (uint32_t)MIN(q->cluster_bytes, (uint64_t)QCOW2_PAGE_BYTES);
	q->size = h->size;
	q->l1_at = h->l1_at;
	q->l1_entries = h->l1_entries;
	q->rt_at = h->rt_at;
	q->rt_entries = (uint64_t)h->rt_clusters << (h->cluster_bits - 3);
	q->incompatible = h->incompatible;
	q->file_end = file->bytes;
	snprintf(q->label, sizeof(q->label), "%s", o->label ? o->label : "disk");
	pthread_mutex_init(&q->meta, NULL);
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_init(&q->header_lock, NULL);
	pthread_mutex_init(&q->inflate_lock, NULL);
	*rc = load(q, h, e);
	if (!*rc)
		return q;
	qcow2_free(q);
	return NULL;
}

/* A scheme such as nbd: or json: in front of what would be a path. */
static bool has_protocol(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

	return n && name[n] == ':';
}

/* A backing file's path: relative to the directory that the image is in. Returns memory to be freed, or NULL. */
static char *backing_path(const char *image, const char *name)
{
	const char *slash = strrchr(image, '/');
	int dir = *name == '/' || !slash ? 0 : (int)(slash - image + 1);
	char *path;

	return asprintf(&path, "%.*s%s", dir, image, name) < 0 ? NULL : path;
}

/* Refuse what is not to be followed. Returns an enum block_format or a negative errno. */
static int backing_format(const struct qcow2_header *h, const char *path, const struct block_options *o,
			  unsigned int depth, struct err *e)
{
	if (!o->backing)
		return err_set(
			e, -EPERM,
			"%s: it stands on the backing file \"%s\"; add backing=on to have that opened, "
			"or join the two with: qemu-img rebase -b \"\" %s",
			path, h->backing, path);
	if (depth + 1 >= QCOW2_MAX_DEPTH)
		return err_set(e, -ELOOP,
			       "%s: the chain of backing files is longer than %d images, or a circle", path,
			       QCOW2_MAX_DEPTH);
	if (has_protocol(h->backing))
		return err_set(e, -ENOTSUP,
			       "%s: its backing file \"%s\" is not a plain path; only files can be followed",
			       path, h->backing);
	if (!strcmp(h->backing_format, "raw"))
		return BLOCK_RAW;
	if (!strcmp(h->backing_format, "qcow2"))
		return BLOCK_QCOW2;
	if (*h->backing_format)
		return err_set(e, -ENOTSUP,
			       "%s: its backing file \"%s\" has a format that trellis does not have: "
			       "expected raw or qcow2",
			       path, h->backing);
	return err_set(e, -EINVAL,
		       "%s: it does not say which format its backing file \"%s\" has, and trellis does not "
		       "guess; say it with: qemu-img rebase -u -b \"%s\" -F raw|qcow2 %s",
		       path, h->backing, h->backing, path);
}

static int open_backing(struct block_image *img, const struct qcow2_header *h, const char *path,
			const struct block_options *o, unsigned int depth, struct err *e)
{
	int format = backing_format(h, path, o, depth, e), rc;
	char *name;

	if (format < 0)
		return format;
	name = backing_path(path, h->backing);
	if (!name)
		return err_sys(e, -ENOMEM, "%s", path);
	rc = block_image_open(img, name, format, o, true, depth + 1, e);
	if (rc && depth == 0)
		err_prefix(e, "backing file of %s", path);
	free(name);
	return rc;
}

int qcow2_open(struct block_image *img, const char *path, const struct block_options *o, bool readonly,
	       unsigned int depth, struct err *e)
{
	bool direct = o->cache == CACHE_NONE || o->cache == CACHE_DIRECTSYNC;
	struct block_image backing = { 0 };
	struct qcow2_header h;
	struct block_file file;
	struct qcow2 *q;
	int rc = block_file_open(&file, path, readonly, direct, true, e);

	if (rc)
		return rc;
	rc = qcow2_header_read(&file, readonly, &h, e);
	if (!rc && h.has_backing)
		rc = open_backing(&backing, &h, path, o, depth, e);
	if (rc) {
		block_file_close(&file);
		return rc;
	}
	/* Last, because a dirty image is put right here, and what is refused must not be changed. */
	q = qcow2_attach(&file, &h, o, readonly, &rc, e);
	if (!q) {
		if (backing.ops)
			backing.ops->close(backing.image);
		return rc;
	}
	q->backing = backing;
	qcow2_describe(q, img);
	return 0;
}
