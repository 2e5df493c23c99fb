/*
 * Images without a format: every byte of the disk is the byte of the file at the same place; and the null
 * image, which has no file: reads give zeros, writes go nowhere.
 */
#include "devices/block/raw.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/base/log.h"
#include "vmm/base/opt.h"

struct raw {
	struct block_file file;
	bool discard; /* zeroes may give space back */
	bool sync;    /* on closing */
};

static void raw_map(void *image, bool write, uint64_t offset, uint64_t bytes, struct block_extent *x)
{
	struct raw *r = image;

	(void)write;
	*x = (struct block_extent){ .kind = BLOCK_AT_FILE, .file = &r->file, .at = offset, .bytes = bytes };
}

static int raw_serve(void *image, struct block_req *r)
{
	struct raw *raw = image;
	int rc;

	switch (r->op) {
	case BLOCK_READ:
		return block_file_readv(&raw->file, r->offset, r->iov, r->nr_iov, r->bytes);
	case BLOCK_WRITE:
		return block_file_writev(&raw->file, r->offset, r->iov, r->nr_iov, r->bytes, false);
	case BLOCK_FLUSH:
		return block_file_sync(&raw->file);
	case BLOCK_DISCARD:
		rc = block_file_discard(&raw->file, r->offset, r->bytes);
		return rc == -EOPNOTSUPP ? 0 : rc; /* a hint (virtio 1.2, 5.2.6.2), and nothing has changed */
	case BLOCK_ZEROES:
		return block_file_zero(&raw->file, r->offset, r->bytes, r->unmap && raw->discard);
	}
	return -EINVAL;
}

static bool raw_flush_needs_work(void *image)
{
	(void)image;
	return false;
}

static void raw_close(void *image)
{
	struct raw *r = image;

	int rc = r->sync ? block_file_sync(&r->file) : 0;

	if (rc < 0) /* the guest's own flushes were answered; what came after the last of them is in danger */
		log_warn("%s: not everything could be written to the medium: %s", r->file.path,
			 strerror(-rc));
	block_file_close(&r->file);
	free(r);
}

static const struct block_format_ops raw_ops = {
	.map = raw_map,
	.serve = raw_serve,
	.flush_needs_work = raw_flush_needs_work,
	.close = raw_close,
};

static int raw_check_size(const struct block_file *f, struct err *e)
{
	if (!f->bytes)
		return err_set(e, -EINVAL, "%s is empty (0 bytes); give it a size with: truncate -s 10G %s",
			       f->path, f->path);
	if (f->bytes > INT64_MAX - BLOCK_SECTOR)
		return err_set(e, -EFBIG, "%s is too large for a disk: 2^63 bytes is the end", f->path);
	return 0;
}

int raw_open(struct block_image *img, const char *path, const struct block_options *o, bool readonly,
	     struct err *e)
{
	bool direct = o->cache == CACHE_NONE || o->cache == CACHE_DIRECTSYNC;
	struct raw *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return err_set(e, -ENOMEM, "no memory for the disk %s", path);
	rc = block_file_open(&r->file, path, readonly, direct, true, e);
	if (rc < 0) {
		free(r);
		return rc;
	}
	rc = raw_check_size(&r->file, e);
	if (rc < 0) {
		raw_close(r);
		return rc;
	}
	r->file.keep_size = true;
	r->discard = o->discard;
	r->sync = !readonly && o->cache != CACHE_UNSAFE;
	*img = (struct block_image){ .ops = &raw_ops, .image = r, .file = &r->file };
	block_file_get_info(&r->file, o->discard, &img->info);
	/* A last sector that the file has only part of is whole to the guest, and filled up with zeros, as with QEMU. */
	img->info.capacity_bytes = align_up(r->file.bytes, BLOCK_SECTOR);
	img->info.readonly = readonly;
	img->info.write_cache = o->cache != CACHE_WRITETHROUGH && o->cache != CACHE_DIRECTSYNC;
	return 0;
}

bool raw_capacity(const struct block_image *img, uint64_t *bytes)
{
	if (img->ops != &raw_ops || block_file_size(img->file, bytes) < 0)
		return false;
	*bytes = align_up(MIN(*bytes, (uint64_t)INT64_MAX - BLOCK_SECTOR), BLOCK_SECTOR);
	return *bytes != 0; /* an emptied file is an accident, not a disk without sectors */
}

static void null_map(void *image, bool write, uint64_t offset, uint64_t bytes, struct block_extent *x)
{
	(void)image;
	(void)write;
	*x = (struct block_extent){ .kind = BLOCK_IS_ZERO, .at = offset, .bytes = bytes };
}

static int null_serve(void *image, struct block_req *r)
{
	(void)image;
	(void)r;
	return 0;
}

static void null_close(void *image)
{
	(void)image;
}

static const struct block_format_ops null_ops = {
	.map = null_map,
	.serve = null_serve,
	.flush_needs_work = raw_flush_needs_work,
	.close = null_close,
};

int null_open(struct block_image *img, const struct block_options *o, struct err *e)
{
	uint64_t bytes;

	if (!o->path || opt_parse_bytes(o->path, BLOCK_SECTOR, 1ull << 60, &bytes) < 0 ||
	    bytes % BLOCK_SECTOR)
		return err_usage(e,
				 "format=null has no file: path= is its size, a multiple of 512, e.g. "
				 "path=64G, not '%s'",
				 o->path ? o->path : "");
	*img = (struct block_image){ .ops = &null_ops };
	img->info = (struct block_info){
		.capacity_bytes = bytes,
		.logical_bytes = BLOCK_SECTOR,
		.physical_bytes = BLOCK_SECTOR,
		.discard_bytes = o->discard ? BLOCK_SECTOR : 0,
		.readonly = o->readonly,
		.write_cache = o->cache != CACHE_WRITETHROUGH && o->cache != CACHE_DIRECTSYNC,
	};
	return 0;
}
