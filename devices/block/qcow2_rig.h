/*
 * For tests of the qcow2 format alone: files that write down what is done to them, raw images of a few lines,
 * and short verbs. It stands in for file*.c and block.c, none of which is linked then; it has neither direct
 * I/O nor locks.
 */
#ifndef TRELLIS_DEVICES_BLOCK_QCOW2_RIG_H
#define TRELLIS_DEVICES_BLOCK_QCOW2_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/format.h"
#include "devices/block/iov.h"

enum rig_op { RIG_WRITE, RIG_SYNC, RIG_DISCARD, RIG_MARK };

/* What was done to a file that was opened for writing. */
struct rig_entry {
	enum rig_op op;
	uint64_t at, len; /* mark: what rig_mark() was given */
	uint8_t *data;    /* owned */
};

static struct rig_log {
	pthread_mutex_t lock;
	bool on;
	struct rig_entry *entry; /* guarded by lock, as is all below */
	size_t nr, cap;
	unsigned int fail_in; /* let a write fail when this gets to 0; 0 to begin with: never */
	int fail_with;
	bool failing;
} rig_log = { .lock = PTHREAD_MUTEX_INITIALIZER };

static inline void rig_log_add(enum rig_op op, uint64_t at, uint64_t len, const struct iovec *iov,
			       unsigned int nr)
{
	struct rig_entry entry = { .op = op, .at = at, .len = len };

	pthread_mutex_lock(&rig_log.lock);
	if (rig_log.on) {
		if (iov) {
			entry.data = malloc(len);
			iov_to_buf(iov, nr, 0, entry.data, len);
		}
		if (rig_log.nr == rig_log.cap) {
			rig_log.cap = rig_log.cap ? 2 * rig_log.cap : 256;
			rig_log.entry = realloc(rig_log.entry, rig_log.cap * sizeof(*rig_log.entry));
		}
		rig_log.entry[rig_log.nr++] = entry;
	}
	pthread_mutex_unlock(&rig_log.lock);
}

static inline void rig_mark(uint64_t what)
{
	rig_log_add(RIG_MARK, what, 0, NULL, 0);
}

static inline void rig_log_clear(void)
{
	for (size_t i = 0; i < rig_log.nr; i++)
		free(rig_log.entry[i].data);
	free(rig_log.entry);
	rig_log.entry = NULL;
	rig_log.nr = rig_log.cap = 0;
	rig_log.on = false;
	rig_log.fail_in = 0;
	rig_log.failing = false;
}

/* From the n-th write on, all fail, until rig_log_clear(). */
static inline int rig_failure(void)
{
	int rc;

	pthread_mutex_lock(&rig_log.lock);
	if (rig_log.fail_in && --rig_log.fail_in == 0)
		rig_log.failing = true;
	rc = rig_log.failing ? rig_log.fail_with : 0;
	pthread_mutex_unlock(&rig_log.lock);
	return rc;
}

/* ---- in place of file.c ---- */

int block_file_open(struct block_file *f, const char *path, bool readonly, bool direct, bool lock,
		    struct err *e)
{
	struct stat st;

	(void)lock;
	(void)direct;
	*f = (struct block_file){ .fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC),
				  .readonly = readonly };
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return err_sys(e, -errno, "%s", path);
	f->path = strdup(path);
	f->align = f->mem_align = 1;
	f->bytes = (uint64_t)st.st_size;
	return 0;
}

void block_file_close(struct block_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	f->fd = -1;
	f->path = NULL;
}

int block_file_readv(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
		     uint64_t bytes)
{
	ssize_t n = preadv(f->fd, iov, (int)nr, (off_t)at);

	if (n < 0)
		return -errno;
	iov_zero(iov, nr, (uint64_t)n, bytes - (uint64_t)n);
	return 0;
}

int block_file_writev(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
		      uint64_t bytes, bool sync)
{
	int rc = rig_failure();

	(void)sync;
	if (!rc && pwritev(f->fd, iov, (int)nr, (off_t)at) != (ssize_t)bytes)
		rc = -EIO;
	if (!rc)
		rig_log_add(RIG_WRITE, at, bytes, iov, nr);
	return rc;
}

int block_file_read(const struct block_file *f, uint64_t at, void *buf, size_t len)
{
	struct iovec iov = { buf, len };

	return block_file_readv(f, at, &iov, 1, len);
}

int block_file_write(const struct block_file *f, uint64_t at, const void *buf, size_t len)
{
	struct iovec iov = { (void *)buf, len };

	return block_file_writev(f, at, &iov, 1, len, false);
}

int block_file_sync(struct block_file *f)
{
	int rc = rig_failure();

	(void)f; /* the machine stays on */
	if (!rc)
		rig_log_add(RIG_SYNC, 0, 0, NULL, 0);
	return rc;
}

int block_file_discard(const struct block_file *f, uint64_t at, uint64_t len)
{
	if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len) < 0)
		return -errno;
	rig_log_add(RIG_DISCARD, at, len, NULL, 0);
	return 0;
}

void block_file_get_info(const struct block_file *f, bool discard, struct block_info *info)
{
	(void)f;
	(void)discard;
	info->logical_bytes = info->physical_bytes = BLOCK_SECTOR;
}

/* ---- in place of block.c and raw.c: raw images that are only read ---- */

static inline void rig_raw_map(void *image, bool write, uint64_t offset, uint64_t bytes,
			       struct block_extent *x)
{
	(void)write;
	*x = (struct block_extent){ BLOCK_AT_FILE, image, offset, bytes };
}

static inline void rig_raw_close(void *image)
{
	block_file_close(image);
	free(image);
}

static const struct block_format_ops rig_raw_ops = { .map = rig_raw_map, .close = rig_raw_close };

int block_image_open(struct block_image *img, const char *path, int format, const struct block_options *o,
		     bool readonly, unsigned int depth, struct err *e)
{
	struct block_file *f;
	int rc;

	if (format == BLOCK_QCOW2)
		return qcow2_open(img, path, o, readonly, depth, e);
	f = calloc(1, sizeof(*f));
	rc = block_file_open(f, path, readonly, false, false, e);
	if (rc) {
		free(f);
		return rc;
	}
	*img = (struct block_image){ &rig_raw_ops, f, { .capacity_bytes = align_down(f->bytes, 512) }, f };
	return 0;
}

/* ---- verbs ---- */

/* As a queue would: by the map if it can be, through serve() otherwise. */
static inline int rig_io(struct block_image *img, enum block_op op, uint64_t offset, void *buf,
			 uint64_t bytes)
{
	bool write = op == BLOCK_WRITE;

	while (bytes) {
		struct block_extent x;
		struct iovec iov = { buf, 0 };
		int rc = 0;

		img->ops->map(img->image, write, offset, bytes, &x);
		iov.iov_len = x.bytes;
		if (!x.bytes || x.bytes > bytes)
			return -ERANGE;
		if (x.kind == BLOCK_IS_ZERO && !write) {
			memset(buf, 0, x.bytes);
		} else if (x.kind == BLOCK_AT_FILE) {
			rc = write ? block_file_writev(x.file, x.at, &iov, 1, x.bytes, false)
				   : block_file_readv(x.file, x.at, &iov, 1, x.bytes);
			img->ops->mapped_done(img->image, &x, write);
		} else {
			struct block_req r = {
				.op = op, .offset = offset, .bytes = x.bytes, .iov = &iov, .nr_iov = 1
			};

			rc = img->ops->serve(img->image, &r);
		}
		if (rc)
			return rc;
		offset += x.bytes;
		bytes -= x.bytes;
		buf = (uint8_t *)buf + x.bytes;
	}
	return 0;
}

static inline int rig_serve(struct block_image *img, enum block_op op, uint64_t offset, uint64_t bytes,
			    bool unmap)
{
	struct block_req r = { .op = op, .offset = offset, .bytes = bytes, .unmap = unmap };

	return img->ops->serve(img->image, &r);
}

static inline int rig_flush(struct block_image *img)
{
	if (!img->ops->flush_needs_work(img->image))
		return block_file_sync(img->file);
	return rig_serve(img, BLOCK_FLUSH, 0, 0, false);
}

#endif
