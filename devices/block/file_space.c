/*
 * Zeroing parts of a file and giving them back to the host: fallocate(2) on files, ioctls on devices, and
 * plain writing of zeros where the host can do neither.
 */
#include "devices/block/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>

enum {
	ZEROS_BYTES = 256 << 10, /* written at once */
	ZEROS_ALIGN = 4096,
};

static int space_fallocate(const struct block_file *f, int mode, uint64_t at, uint64_t len)
{
	int rc;

	do
		rc = fallocate(f->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int space_ioctl(const struct block_file *f, unsigned long request, uint64_t at, uint64_t len)
{
	uint64_t range[2] = { at, len };

	return ioctl(f->fd, (int)request, range) < 0 ? -errno : 0;
}

/* Does rc say that the host cannot do it, in whichever of its ways? */
static bool unsupported(int rc)
{
	return rc == -EOPNOTSUPP || rc == -ENOTTY || rc == -ENOSYS || rc == -EINVAL || rc == -ENODEV;
}

static int write_zeros(const struct block_file *f, uint64_t at, uint64_t len)
{
	size_t size = (size_t)MIN(len, ZEROS_BYTES);
	void *zeros = NULL;
	int rc = 0;

	if (!len)
		return 0;
	if (posix_memalign(&zeros, ZEROS_ALIGN, size))
		return -ENOMEM;
	memset(zeros, 0, size);
	while (!rc && len) {
		size_t now = (size_t)MIN(len, size);

		rc = block_file_write(f, at, zeros, now);
		at += now;
		len -= now;
	}
	free(zeros);
	return rc;
}

/* By the host's own means. The range is held shared: to a read-modify-write beside it, it is a write. */
static int host_zero(const struct block_file *f, uint64_t at, uint64_t len, bool unmap)
{
	struct span span;
	int rc = -EOPNOTSUPP;

	if (f->spans)
		spans_hold(f->spans, &span, at, at + len, false);
	if (unmap)
		rc = space_fallocate(f, FALLOC_FL_PUNCH_HOLE, at, len);
	if (unsupported(rc))
		rc = f->device ? space_ioctl(f, BLKZEROOUT, at, len)
			       : space_fallocate(f, FALLOC_FL_ZERO_RANGE, at, len);
	if (f->spans)
		spans_release(f->spans, &span);
	return rc;
}

/* What a device's own commands count in; 1 for files. */
static uint32_t space_unit(const struct block_file *f)
{
	int sector = 0;

	if (!f->device)
		return 1;
	return ioctl(f->fd, BLKSSZGET, &sector) == 0 && sector >= BLOCK_SECTOR ? (uint32_t)sector
									       : BLOCK_SECTOR;
}

int block_file_zero(const struct block_file *f, uint64_t at, uint64_t len, bool unmap)
{
	uint32_t unit = space_unit(f);
	uint64_t lo, hi;
	int rc;

	if (!range_ok(at, len, INT64_MAX - unit))
		return -EINVAL;
	lo = align_up(at, unit);
	hi = align_down(at + len, unit);
	if (lo >= hi)
		return write_zeros(f, at, len);
	rc = host_zero(f, lo, hi - lo, unmap);
	if (unsupported(rc))
		return write_zeros(f, at, len);
	if (!rc)
		rc = write_zeros(f, at, lo - at);
	if (!rc)
		rc = write_zeros(f, hi, at + len - hi);
	return rc;
}

int block_file_discard(const struct block_file *f, uint64_t at, uint64_t len)
{
	uint32_t unit = space_unit(f);
	struct span span;
	uint64_t lo, hi;
	int rc;

	if (!range_ok(at, len, INT64_MAX - unit))
		return -EINVAL;
	lo = align_up(at, unit);
	hi = align_down(at + len, unit);
	if (lo >= hi)
		return 0;
	if (f->spans)
		spans_hold(f->spans, &span, lo, hi, false);
	rc = f->device ? space_ioctl(f, BLKDISCARD, lo, hi - lo)
		       : space_fallocate(f, FALLOC_FL_PUNCH_HOLE, lo, hi - lo);
	if (f->spans)
		spans_release(f->spans, &span);
	return unsupported(rc) ? -EOPNOTSUPP : rc;
}
