/*
 * Reading and writing parts of a file, by threads that may block. All of it is done, or an errno says why
 * not. What lies behind the end of the file reads as zeros.
 */
#include "devices/block/file_internal.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "devices/block/iov.h"

enum { WINDOW = 128 }; /* entries described at once when a transfer has to be gone on with */

int64_t file_preadv(int fd, uint64_t at, const struct iovec *iov, unsigned int nr)
{
	ssize_t n;

	do
		n = preadv(fd, iov, (int)nr, (off_t)at);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int64_t file_pwritev(int fd, uint64_t at, const struct iovec *iov, unsigned int nr, bool sync)
{
	ssize_t n;

	do {
		/* Not every C library has pwritev2() (Linux 4.6); 0 is the upper half of at where long has 32 bits. */
		if (sync)
			n = syscall(SYS_pwritev2, fd, iov, (unsigned long)nr, at, 0ul, RWF_DSYNC);
		else
			n = pwritev(fd, iov, (int)nr, (off_t)at);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

bool block_file_aligned(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
			uint64_t bytes)
{
	if (!f->direct)
		return true;
	if ((at | bytes) & (f->align - 1))
		return false;
	for (unsigned int i = 0; i < nr; i++)
		if (((uintptr_t)iov[i].iov_base & (f->mem_align - 1)) || (iov[i].iov_len & (f->align - 1)))
			return false;
	return true;
}

/* What is left of iov[] after done bytes: nearly always all of it, and then it need not be described anew. */
static const struct iovec *left(const struct iovec *iov, unsigned int *nr, uint64_t done, uint64_t bytes,
				struct iovec *part)
{
	uint64_t got;

	if (!done && *nr <= IOV_MAX)
		return iov;
	*nr = iov_window(iov, *nr, done, bytes - done, part, WINDOW, &got);
	return part;
}

int block_file_readv(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
		     uint64_t bytes)
{
	struct iovec part[WINDOW];
	uint64_t done = 0;

	if (!range_ok(at, bytes, INT64_MAX))
		return -EINVAL;
	if (!block_file_aligned(f, at, iov, nr, bytes))
		return file_bounce_read(f, at, iov, nr, bytes);
	while (done < bytes) {
		unsigned int now = nr;
		const struct iovec *v = left(iov, &now, done, bytes, part);
		int64_t n = file_preadv(f->fd, at + done, v, now);

		if (n < 0)
			return (int)n;
		done += (uint64_t)n;
		/* The end of the file: nothing, or part of a block from what else comes in blocks only. */
		if (!n || (f->direct && (done & (f->align - 1))))
			break;
	}
	iov_zero(iov, nr, done, bytes - done);
	return 0;
}

static int write_aligned(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
			 uint64_t bytes, bool sync)
{
	struct iovec part[WINDOW];
	uint64_t done = 0;

	while (done < bytes) {
		unsigned int now = nr;
		const struct iovec *v = left(iov, &now, done, bytes, part);
		int64_t n = file_pwritev(f->fd, at + done, v, now, sync);

		if (n <= 0)
			return n < 0 ? (int)n : -ENOSPC;
		done += (uint64_t)n;
	}
	return 0;
}

int block_file_writev(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
		      uint64_t bytes, bool sync)
{
	struct span span;
	int rc;

	if (!range_ok(at, bytes, INT64_MAX))
		return -EINVAL;
	if (!block_file_aligned(f, at, iov, nr, bytes))
		return file_bounce_write(f, at, iov, nr, bytes, sync);
	if (!f->spans)
		return write_aligned(f, at, iov, nr, bytes, sync);
	spans_hold(f->spans, &span, at, at + bytes, false);
	rc = write_aligned(f, at, iov, nr, bytes, sync);
	spans_release(f->spans, &span);
	return rc;
}

int block_file_read(const struct block_file *f, uint64_t at, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return block_file_readv(f, at, &iov, 1, len);
}

int block_file_write(const struct block_file *f, uint64_t at, const void *buf, size_t len)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len }; /* only read */

	return block_file_writev(f, at, &iov, 1, len, false);
}

int block_file_synced(struct block_file *f, int rc)
{
	int none = 0;

	if (rc < 0 && !f->direct)
		atomic_compare_exchange_strong(&f->lost, &none, rc);
	return rc < 0 ? rc : atomic_load(&f->lost);
}

int block_file_sync(struct block_file *f)
{
	int rc;

	do
		rc = fdatasync(f->fd);
	while (rc < 0 && errno == EINTR);
	return block_file_synced(f, rc < 0 ? -errno : 0);
}
