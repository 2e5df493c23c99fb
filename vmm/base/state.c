/* Sections of saved state. */
#include "vmm/base/state.h"

#include <errno.h>

size_t state_begin(struct buf *b, const char *name, uint32_t version)
{
	size_t len = strlen(name);
	size_t mark;

	buf_put8(b, (uint8_t)len);
	buf_put(b, name, len);
	buf_put32(b, version);
	mark = b->len;
	buf_put32(b, 0);
	return mark;
}

void state_end(struct buf *b, size_t mark)
{
	buf_patch32(b, mark, (uint32_t)(b->len - mark - 4));
}

int state_open(struct state_reader *r, const char *name, uint32_t max_version, struct state_reader *body,
	       struct err *e)
{
	char found[256] = "";
	uint8_t len = state_get8(r);
	uint32_t version, body_len;

	state_get(r, found, len);
	version = state_get32(r);
	body_len = state_get32(r);
	if (r->failed)
		return err_set(e, -EINVAL, "saved state ends where section '%s' was expected", name);
	if (strcmp(found, name) != 0)
		return err_set(e, -EINVAL, "saved state has section '%.64s' where '%s' was expected", found, name);
	if (version < 1 || version > max_version)
		return err_set(e, -EINVAL, "saved state of '%s' has version %u; this program reads 1 to %u", name,
			       version, max_version);
	if (!range_ok(r->pos, body_len, r->len))
		return err_set(e, -EINVAL, "saved state of '%s' is cut short", name);

	*body = (struct state_reader){ .data = r->data + r->pos, .len = body_len, .version = version };
	r->pos += body_len;
	return 0;
}

void state_get(struct state_reader *r, void *bytes, size_t len)
{
	if (r->failed || !range_ok(r->pos, len, r->len)) {
		r->failed = true;
		memset(bytes, 0, len);
		return;
	}
	memcpy(bytes, r->data + r->pos, len);
	r->pos += len;
}

uint8_t state_get8(struct state_reader *r)
{
	uint8_t v;

	state_get(r, &v, sizeof(v));
	return v;
}

uint16_t state_get16(struct state_reader *r)
{
	uint16_t v;

	state_get(r, &v, sizeof(v));
	return le16toh(v);
}

uint32_t state_get32(struct state_reader *r)
{
	uint32_t v;

	state_get(r, &v, sizeof(v));
	return le32toh(v);
}

uint64_t state_get64(struct state_reader *r)
{
	uint64_t v;

	state_get(r, &v, sizeof(v));
	return le64toh(v);
}

int state_close(const struct state_reader *body, const char *name, struct err *e)
{
	if (body->failed)
		return err_set(e, -EINVAL, "saved state of '%s' is cut short", name);
	if (body->pos != body->len)
		return err_set(e, -EINVAL, "saved state of '%s' has %zu bytes too many", name, body->len - body->pos);
	return 0;
}
