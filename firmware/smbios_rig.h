/*
 * For the unit tests of SMBIOS: build the table, and walk it as a guest does.
 */
#ifndef TRELLIS_FIRMWARE_SMBIOS_RIG_H
#define TRELLIS_FIRMWARE_SMBIOS_RIG_H

#include "firmware/smbios.h"
#include "firmware/tables_rig.h"

#define BASE 0x7fe00000ull

static const struct rig_shape shapes[] = {
	{ { 1, 1, 1, 1, 1 }, 0 },    { { 2, 4, 1, 1, 1 }, 0 },    { { 1, 3, 1, 1, 2 }, 4 },
	{ { 1, 5, 1, 3, 2 }, 0 },    { { 2, 3, 2, 2, 3 }, 1 },    { { 1, 256, 1, 1, 1 }, 2 },
	{ { 2, 3, 1, 5, 20 }, 100 }, { { 1, 1, 1, 1, 4096 }, 0 }, { { 2, 256, 1, 2, 4 }, 2 },
};

struct table {
	struct rig r;
	uint8_t entry[SMBIOS_ENTRY_BYTES];
	char name[2048];
};

static inline uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

static inline void table_build(struct table *t, uint64_t base)
{
	ck_assert_msg(smbios_build(&t->r.p, base, &t->r.out, t->entry, &t->r.e) == 0, "%s", t->r.e.text);
}

/* Behind a structure: its strings and their two NULs. Past the end when those are missing. */
static inline size_t next(const struct table *t, size_t off)
{
	const uint8_t *d = t->r.out.data;

	off += d[off + 1];
	while (off + 2 <= t->r.out.len && (d[off] || d[off + 1]))
		off++;
	return off + 2;
}

/* The n-th structure of a type, or NULL. */
static inline const uint8_t *find(const struct table *t, uint8_t type, unsigned int n)
{
	for (size_t off = 0; off < t->r.out.len; off = next(t, off))
		if (t->r.out.data[off] == type && n-- == 0)
			return t->r.out.data + off;
	return NULL;
}

static inline unsigned int count(const struct table *t, uint8_t type)
{
	unsigned int n = 0;

	for (size_t off = 0; off < t->r.out.len; off = next(t, off))
		n += t->r.out.data[off] == type;
	return n;
}

static inline const uint8_t *find_handle(const struct table *t, uint16_t handle)
{
	for (size_t off = 0; off < t->r.out.len; off = next(t, off))
		if (get_le16(t->r.out.data + off + 2) == handle)
			return t->r.out.data + off;
	return NULL;
}

/* The string which the field at off of a structure names. */
static inline const char *string(const uint8_t *s, size_t off)
{
	const char *p = (const char *)s + s[1];

	ck_assert_uint_ne(s[off], 0);
	for (unsigned int i = 1; i < s[off]; i++)
		p += strlen(p) + 1;
	return p;
}

#endif
