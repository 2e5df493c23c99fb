/* A growing byte buffer. */
#include "vmm/base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

/* Room for len more bytes; returns where they go, or NULL after a failure. */
static uint8_t *buf_grow(struct buf *b, size_t len)
{
	uint8_t *at;

	if (b->failed)
		return NULL;
	if (len > b->cap - b->len) {
		size_t cap = MAX(b->cap * 2, (size_t)256);
		uint8_t *data = NULL;

		if (range_ok(b->len, len, SIZE_MAX / 2)) { /* doubling cannot wrap */
			while (cap - b->len < len)
				cap *= 2;
			data = realloc(b->data, cap);
		}
		if (!data) {
			b->failed = true;
			return NULL;
		}
		b->data = data;
		b->cap = cap;
	}
	at = b->data + b->len;
	b->len += len;
	return at;
}

void buf_reserve(struct buf *b, size_t len)
{
	if (buf_grow(b, len))
		b->len -= len;
}

void buf_put(struct buf *b, const void *bytes, size_t len)
{
	uint8_t *at;

	if (len && (at = buf_grow(b, len)))
		memcpy(at, bytes, len);
}

void buf_put_zero(struct buf *b, size_t len)
{
	uint8_t *at;

	if (len && (at = buf_grow(b, len)))
		memset(at, 0, len);
}

void buf_put8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, sizeof(v));
}

void buf_put16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_put(b, &v, sizeof(v));
}

void buf_put32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_put(b, &v, sizeof(v));
}

void buf_put64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_put(b, &v, sizeof(v));
}

void buf_align(struct buf *b, size_t align)
{
	buf_put_zero(b, align_up(b->len, align) - b->len);
}

static void buf_patch(struct buf *b, size_t off, const void *bytes, size_t len)
{
	if (b->failed)
		return;
	assert(range_ok(off, len, b->len)); /* callers patch only what they put */
	memcpy(b->data + off, bytes, len);
}

void buf_patch8(struct buf *b, size_t off, uint8_t v)
{
	buf_patch(b, off, &v, sizeof(v));
}

void buf_patch16(struct buf *b, size_t off, uint16_t v)
{
	v = htole16(v);
	buf_patch(b, off, &v, sizeof(v));
}

void buf_patch32(struct buf *b, size_t off, uint32_t v)
{
	v = htole32(v);
	buf_patch(b, off, &v, sizeof(v));
}

void buf_patch64(struct buf *b, size_t off, uint64_t v)
{
	v = htole64(v);
	buf_patch(b, off, &v, sizeof(v));
}

int buf_status(const struct buf *b)
{
	return b->failed ? -ENOMEM : 0;
}
