/*
 * Small things with vectors of memory. The memory is the guest's and may change at any time; the array is ours.
 */
#ifndef TRELLIS_DEVICES_BLOCK_IOV_H
#define TRELLIS_DEVICES_BLOCK_IOV_H

#include <sys/uio.h>

#include "vmm/base/base.h"

/* The part of an array that is left; advanced by what was done. */
struct iov_cursor {
	struct iovec *iov;
	unsigned int nr;
};

/* What iov_cut() took off, for iov_uncut(). */
struct iov_cut {
	unsigned int nr; /* entries that hold what was asked */
	size_t rest;     /* bytes taken off the last of them */
};

/*
 * Shorten the front of c so that its first cut.nr entries hold exactly *bytes; with more than max entries
 * needed, *bytes becomes less. iov_uncut() must follow, before anything else is done with c.
 */
struct iov_cut iov_cut(const struct iov_cursor *c, unsigned int max, uint64_t *bytes);
void iov_uncut(const struct iov_cursor *c, const struct iov_cut *cut);

/* Drop the first bytes, which must be there. Entries change. */
void iov_advance(struct iov_cursor *c, uint64_t bytes);

/*
 * Describe [skip, skip + bytes) of iov[] in out[], at most max entries, without touching iov[].
 * Returns how many entries were used; *got receives their bytes.
 */
unsigned int iov_window(const struct iovec *iov, unsigned int nr, uint64_t skip, uint64_t bytes,
			struct iovec *out, unsigned int max, uint64_t *got);

/* Copy between [skip, skip + bytes) of iov[] and buf; what does not exist is left out. */
void iov_to_buf(const struct iovec *iov, unsigned int nr, uint64_t skip, void *buf, size_t bytes);
void iov_from_buf(const struct iovec *iov, unsigned int nr, uint64_t skip, const void *buf, size_t bytes);
void iov_zero(const struct iovec *iov, unsigned int nr, uint64_t skip, uint64_t bytes);

#endif
