/* Vectors of memory: cutting, copying, clearing. Nothing here fails. */
#include "devices/block/iov.h"

struct iov_cut iov_cut(const struct iov_cursor *c, unsigned int max, uint64_t *bytes)
{
	struct iov_cut cut = { 0 };
	uint64_t sum = 0;

	while (cut.nr < c->nr && cut.nr < max && sum < *bytes)
		sum += c->iov[cut.nr++].iov_len;
	if (sum > *bytes) {
		cut.rest = (size_t)(sum - *bytes);
		c->iov[cut.nr - 1].iov_len -= cut.rest;
	}
	*bytes = MIN(sum, *bytes);
	return cut;
}

void iov_uncut(const struct iov_cursor *c, const struct iov_cut *cut)
{
	if (cut->rest)
		c->iov[cut->nr - 1].iov_len += cut->rest;
}

void iov_advance(struct iov_cursor *c, uint64_t bytes)
{
	while (c->nr && bytes >= c->iov->iov_len) {
		bytes -= c->iov->iov_len;
		c->iov++;
		c->nr--;
	}
	if (c->nr && bytes) {
		c->iov->iov_base = (uint8_t *)c->iov->iov_base + bytes;
		c->iov->iov_len -= (size_t)bytes;
	}
}

unsigned int iov_window(const struct iovec *iov, unsigned int nr, uint64_t skip, uint64_t bytes,
			struct iovec *out, unsigned int max, uint64_t *got)
{
	unsigned int used = 0;

	*got = 0;
	for (unsigned int i = 0; i < nr && used < max && *got < bytes; i++) {
		size_t len = iov[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len = (size_t)MIN(len - skip, bytes - *got);
		out[used++] = (struct iovec){ .iov_base = (uint8_t *)iov[i].iov_base + skip, .iov_len = len };
		*got += len;
		skip = 0;
	}
	return used;
}

/* Walk [skip, skip + bytes) of iov[] with one of: copy to buf, copy from it, clear. */
enum walk { TO_BUF, FROM_BUF, CLEAR };

static void iov_walk(const struct iovec *iov, unsigned int nr, uint64_t skip, uint64_t bytes, enum walk what,
		     void *buf)
{
	uint8_t *at = buf;

	for (unsigned int i = 0; i < nr && bytes; i++) {
		uint8_t *base = iov[i].iov_base;
		size_t len = iov[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		base += skip;
		len = (size_t)MIN(len - skip, bytes);
		if (what == CLEAR)
			memset(base, 0, len);
		else
			memcpy(what == TO_BUF ? at : base, what == TO_BUF ? base : at, len);
		at = what == CLEAR ? at : at + len;
		bytes -= len;
		skip = 0;
	}
}

void iov_to_buf(const struct iovec *iov, unsigned int nr, uint64_t skip, void *buf, size_t bytes)
{
	iov_walk(iov, nr, skip, bytes, TO_BUF, buf);
}

void iov_from_buf(const struct iovec *iov, unsigned int nr, uint64_t skip, const void *buf, size_t bytes)
{
	iov_walk(iov, nr, skip, bytes, FROM_BUF, (void *)buf); /* FROM_BUF only reads it */
}

void iov_zero(const struct iovec *iov, unsigned int nr, uint64_t skip, uint64_t bytes)
{
	iov_walk(iov, nr, skip, bytes, CLEAR, NULL);
}
