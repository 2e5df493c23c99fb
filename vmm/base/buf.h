/*
 * A growing byte buffer for tables and saved state. Errors stick: write everything, check once.
 */
#ifndef TRELLIS_BASE_BUF_H
#define TRELLIS_BASE_BUF_H

#include "vmm/base/base.h"

struct buf {
	uint8_t *data; /* owned; may move at every put */
	size_t len;
	size_t cap;
	bool failed;   /* out of memory once: later puts do nothing */
};

/* Release the memory; b is empty and usable afterwards. An all-zero struct buf is empty. */
void buf_fini(struct buf *b);

/* Have room for len more bytes, so that the next puts do not move the data. */
void buf_reserve(struct buf *b, size_t len);

/* Append bytes, len zero bytes, or one little-endian integer. */
void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_put_zero(struct buf *b, size_t len);
void buf_put8(struct buf *b, uint8_t v);
void buf_put16(struct buf *b, uint16_t v);
void buf_put32(struct buf *b, uint32_t v);
void buf_put64(struct buf *b, uint64_t v);

/* Append zero bytes up to a multiple of align (a power of two). */
void buf_align(struct buf *b, size_t align);

/* Overwrite what was put at off earlier; does nothing after a failure. off + size must be <= len. */
void buf_patch8(struct buf *b, size_t off, uint8_t v);
void buf_patch16(struct buf *b, size_t off, uint16_t v);
void buf_patch32(struct buf *b, size_t off, uint32_t v);
void buf_patch64(struct buf *b, size_t off, uint64_t v);

/* 0, or -ENOMEM if any put failed. */
MUST_CHECK int buf_status(const struct buf *b);

#endif
