/*
 * Direct I/O that is not aligned: memory, place or length. It goes through a buffer of ours; a write of part of
 * a block reads the block first, and holds it alone meanwhile (span.h).
 */
#include "devices/block/file_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/block/iov.h"

enum {
	BOUNCE_BYTES = 256 << 10, /* a multiple of every alignment that file_open.c accepts */
	BOUNCE_ALIGN = 4096,
};

/* The transfer as the file sees it. */
struct bounce {
	const struct block_file *f;
	uint64_t at, end;     /* what was asked for */
	uint64_t start, stop; /* the same in whole blocks */
	uint8_t *buf;         /* owned */
};

static int bounce_init(struct bounce *b, const struct block_file *f, uint64_t at, uint64_t bytes)
{
	void *buf = NULL;
	size_t len;

	*b = (struct bounce){ .f = f, .at = at, .end = at + bytes };
	b->start = align_down(b->at, f->align);
	b->stop = align_up(b->end, f->align);
	len = (size_t)MIN(b->stop - b->start, BOUNCE_BYTES);
	if (posix_memalign(&buf, MAX(f->mem_align, BOUNCE_ALIGN), len))
		return -ENOMEM;
	b->buf = buf;
	return 0;
}

/* Whole blocks into buf; what the file has not is zeros. */
static int read_blocks(const struct block_file *f, uint64_t at, uint8_t *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct iovec v = { .iov_base = buf + done, .iov_len = len - done };
		int64_t n = file_preadv(f->fd, at + done, &v, 1);

		if (n < 0)
			return (int)n;
		done += (size_t)n;
		if (!n || (done & (f->align - 1)))
			break;
	}
	memset(buf + done, 0, len - done);
	return 0;
}

static int write_blocks(const struct block_file *f, uint64_t at, uint8_t *buf, size_t len, bool sync)
{
	size_t done = 0;

	while (done < len) {
		struct iovec v = { .iov_base = buf + done, .iov_len = len - done };
		int64_t n = file_pwritev(f->fd, at + done, &v, 1, sync);

		if (n <= 0)
			return n < 0 ? (int)n : -ENOSPC;
		done += (size_t)n;
	}
	return 0;
}

int file_bounce_read(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
		     uint64_t bytes)
{
	struct bounce b;
	int rc = bounce_init(&b, f, at, bytes);

	for (uint64_t pos = b.start; !rc && pos < b.stop; pos += BOUNCE_BYTES) {
		size_t len = (size_t)MIN(b.stop - pos, BOUNCE_BYTES);
		uint64_t lo = MAX(pos, b.at), hi = MIN(pos + len, b.end);

		rc = read_blocks(f, pos, b.buf, len);
		if (!rc)
			iov_from_buf(iov, nr, lo - b.at, b.buf + (lo - pos), (size_t)(hi - lo));
	}
	free(b.buf);
	return rc;
}

/* Fetch what the blocks [pos, pos + len) hold beside [lo, hi), which is to be written: at most two of them. */
static int fetch_edges(const struct bounce *b, uint64_t pos, size_t len, uint64_t lo, uint64_t hi)
{
	uint32_t block = b->f->align;
	size_t last = len - block;
	int rc = 0;

	if (lo > pos)
		rc = read_blocks(b->f, pos, b->buf, block);
	if (!rc && hi < pos + len && (last || lo == pos))
		rc = read_blocks(b->f, pos + last, b->buf + last, block);
	return rc;
}

static int write_held(const struct bounce *b, const struct iovec *iov, unsigned int nr, bool sync)
{
	int rc = 0;

	for (uint64_t pos = b->start; !rc && pos < b->stop; pos += BOUNCE_BYTES) {
		size_t len = (size_t)MIN(b->stop - pos, BOUNCE_BYTES);
		uint64_t lo = MAX(pos, b->at), hi = MIN(pos + len, b->end);

		rc = fetch_edges(b, pos, len, lo, hi);
		if (rc < 0)
			break;
		iov_to_buf(iov, nr, lo - b->at, b->buf + (lo - pos), (size_t)(hi - lo));
		rc = write_blocks(b->f, pos, b->buf, len, sync);
	}
	return rc;
}

/*
 * As write_held(), but the last block must not leave the file longer than what was asked for makes it: the size
 * of a raw image is the disk's. Nobody else is in that block, and behind it a raw image has nothing.
 */
static int write_held_keeping_size(const struct bounce *b, const struct iovec *iov, unsigned int nr,
				   bool sync)
{
	uint64_t was = 0;
	int rc = block_file_size(b->f, &was);

	if (!rc)
		rc = write_held(b, iov, nr, sync);
	if (was < b->stop && ftruncate(b->f->fd, (off_t)MAX(was, b->end)) < 0 && !rc)
		rc = -errno;
	return rc;
}

int file_bounce_write(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
		      uint64_t bytes, bool sync)
{
	bool partial = (at | bytes) & (f->align - 1);
	struct span span;
	struct bounce b;
	int rc = bounce_init(&b, f, at, bytes);

	if (rc < 0)
		return rc;
	spans_hold(f->spans, &span, b.start, b.stop, partial);
	if (partial && f->keep_size && !f->device)
		rc = write_held_keeping_size(&b, iov, nr, sync);
	else
		rc = write_held(&b, iov, nr, sync);
	spans_release(f->spans, &span);
	free(b.buf);
	return rc;
}
