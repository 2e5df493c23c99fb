/* What the files file*.c share among themselves. */
#ifndef TRELLIS_DEVICES_BLOCK_FILE_INTERNAL_H
#define TRELLIS_DEVICES_BLOCK_FILE_INTERNAL_H

#include "devices/block/format.h"
#include "devices/block/span.h"

/* file_align.c: statx(2)'s word on direct I/O. Returns 0; -EOPNOTSUPP: not there; -ENODATA: the kernel does not say. */
MUST_CHECK int file_statx_align(int fd, uint32_t *offset, uint32_t *memory);

/*
 * file_lock.c: take and check the lock bytes. A file system without such locks is used without, with a warning.
 * Returns 0, or -EBUSY with a sentence.
 */
MUST_CHECK int file_lock(const struct block_file *f, struct err *e);
void file_unlock(const struct block_file *f);

/* file_bounce.c: move through a buffer of ours; any alignment. */
MUST_CHECK int file_bounce_read(const struct block_file *f, uint64_t at, const struct iovec *iov,
				unsigned int nr, uint64_t bytes);
MUST_CHECK int file_bounce_write(const struct block_file *f, uint64_t at, const struct iovec *iov,
				 unsigned int nr, uint64_t bytes, bool sync);

/*
 * file.c: one system call, begun again when a signal came. sync: RWF_DSYNC. Returns what it moved or a negative
 * errno.
 */
MUST_CHECK int64_t file_preadv(int fd, uint64_t at, const struct iovec *iov, unsigned int nr);
MUST_CHECK int64_t file_pwritev(int fd, uint64_t at, const struct iovec *iov, unsigned int nr, bool sync);

#endif
