/*
 * The body of virtq_split_fuzz.c and virtq_packed_fuzz.c: the input says what an honest driver adds and what the
 * device does with it; now and then a few bytes of the rings or tables are overwritten behind both their backs.
 * After each step every open chain must point into RAM or nowhere, and no count may be out of bounds.
 *
 * It does not prove anything about races (memory changes between calls only), about other queues, or about
 * what devices do with chains.
 */
#ifndef TRELLIS_DEVICES_VIRTQ_FUZZ_RIG_H
#define TRELLIS_DEVICES_VIRTQ_FUZZ_RIG_H

#include <stdlib.h>

#include "devices/virtio/virtq_rig.h"

enum { FUZZ_MAX_SEGS = 24, FUZZ_DATA = 0x200000 };

struct fuzz {
	const uint8_t *in;
	size_t len;
	struct virtq_rig r;
	struct chain *open[RIG_MAX]; /* as they were popped */
	unsigned int nr_open;
	bool last_open; /* the last of them is what was popped last of all */
};

static inline uint32_t fuzz_take(struct fuzz *f, unsigned int bytes)
{
	uint32_t v = 0;

	for (; bytes && f->len; bytes--, f->len--)
		v = v << 8 | *f->in++;
	return v;
}

/* A finding. */
static inline void fuzz_want(bool ok)
{
	if (!ok)
		abort();
}

static inline bool fuzz_in(const void *base, size_t len, const uint8_t *from, uint64_t bytes)
{
	return range_ok((uintptr_t)base - (uintptr_t)from, len, bytes);
}

static inline void fuzz_check_segs(const struct fuzz *f, const struct iovec *v, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		fuzz_want(v[i].iov_len > 0);
		fuzz_want(!v[i].iov_base || fuzz_in(v[i].iov_base, v[i].iov_len, f->r.td.ram, RIG_RAM) ||
			  fuzz_in(v[i].iov_base, v[i].iov_len, f->r.td.high, TD_HIGH_BYTES));
	}
}

static inline void fuzz_check(const struct fuzz *f)
{
	const struct virtq *q = &f->r.q;

	fuzz_want(q->nr_open <= q->setup.size && q->nr_taken <= q->setup.size &&
		  q->unpublished <= q->nr_taken);
	fuzz_want(f->r.fails == q->broken);
	fuzz_want(!q->setup.packed || (q->next_avail < q->setup.size && q->next_used < q->setup.size));
	for (unsigned int i = 0; i < f->nr_open; i++) {
		const struct chain *c = f->open[i];

		fuzz_want(c->open && c->nr_out + c->nr_in <= q->max_size);
		fuzz_check_segs(f, c->out, c->nr_out);
		fuzz_check_segs(f, c->in, c->nr_in);
	}
}

/* Mostly in RAM. */
static inline uint64_t fuzz_gpa(struct fuzz *f)
{
	uint32_t v = fuzz_take(f, 2);

	switch (v >> 12) {
	case 0xf:
		return RIG_RAM - (v & 0xfff);
	case 0xe:
		return 0xfffffffffffff000ull + (v & 0xfff);
	case 0xd:
		return 0x100000000ull + TD_HIGH_BYTES - (v & 0xfff);
	default:
		return FUZZ_DATA + v;
	}
}

static inline void fuzz_add(struct fuzz *f)
{
	struct td_seg seg[FUZZ_MAX_SEGS];
	uint32_t how = fuzz_take(f, 1);
	unsigned int nr = 1 + how % FUZZ_MAX_SEGS, nr_out = fuzz_take(f, 1) % (nr + 1);

	for (unsigned int i = 0; i < nr; i++)
		seg[i] = (struct td_seg){ fuzz_gpa(f), fuzz_take(f, 1) * (how & 0x40 ? 65537u : 1u),
					  i >= nr_out };
	f->r.td.indirect = how & 0x80;
	(void)td_add(&f->r.td, 0, seg, nr); /* -1: the ring is full */
}

/* Overwrite a word of the rings, or of what lies near them: the tables. */
static inline void fuzz_poke(struct fuzz *f)
{
	const struct virtq_setup *s = &f->r.td.q->setup;
	const uint64_t area[4] = { s->desc, s->driver, s->device, s->device + 0x400 };
	uint32_t where = fuzz_take(f, 2), val = fuzz_take(f, 2);
	uint8_t *p = td_ptr(&f->r.td, area[where >> 14] + (where & 0x3ff) / 2 * 2);

	put_le16(p, where & 0x2000 ? (uint16_t)(get_le16(p) ^ 1u << val % 16) : (uint16_t)val);
}

static inline void fuzz_pop(struct fuzz *f)
{
	bool broken = f->r.q.broken || !f->r.q.started || !atomic_load(&f->r.td.access);
	struct chain *c = virtq_pop(&f->r.q);

	fuzz_want(!c || !broken);
	if (!c)
		return;
	fuzz_want(f->nr_open < f->r.q.setup.size);
	f->open[f->nr_open++] = c;
	f->last_open = true;
}

static inline void fuzz_complete(struct fuzz *f)
{
	uint32_t v = fuzz_take(f, 2);
	unsigned int i;

	if (!f->nr_open)
		return;
	i = v % f->nr_open;
	chain_complete(f->open[i], v);
	f->last_open &= i + 1 < f->nr_open;
	f->nr_open--;
	memmove(&f->open[i], &f->open[i + 1], (f->nr_open - i) * sizeof(f->open[0]));
}

static inline void fuzz_unpop(struct fuzz *f)
{
	if (!f->nr_open || !f->last_open)
		return;
	virtq_unpop(&f->r.q, f->open[--f->nr_open]);
	f->last_open = false; /* the one before may be completed */
}

/* Use the cursors of the newest chain. */
static inline void fuzz_cursor(struct fuzz *f)
{
	static uint8_t bytes[8192];
	uint32_t v = fuzz_take(f, 2);
	struct chain *c = f->nr_open ? f->open[f->nr_open - 1] : NULL;
	size_t len = v % sizeof(bytes), left;
	uint8_t *at[8];
	int rc = 0;

	if (!c)
		return;
	left = chain_readable(c);
	switch (v >> 13) {
	case 0:
	case 1:
		rc = chain_read(c, bytes, len);
		fuzz_want(chain_readable(c) == (rc ? left : left - len));
		break;
	case 2:
		rc = chain_skip_out(c, len);
		fuzz_want(chain_readable(c) == (rc ? left : left - len));
		break;
	case 3:
		rc = chain_skip_in(c, len);
		break;
	case 4:
	case 5:
		left = chain_writable(c);
		rc = chain_write(c, bytes, len);
		fuzz_want(chain_writable(c) == (rc ? left : left - len));
		break;
	default:
		len = 1 + len % 8;
		rc = chain_cut_tail(c, at, len);
		for (size_t i = 0; !rc && i < len; i++)
			*at[i] = 0xff;
	}
	fuzz_want(!rc || c->bad || chain_readable(c) < len || chain_writable(c) < len);
}

static inline void fuzz_step(struct fuzz *f)
{
	unsigned int before = f->r.interrupts;
	struct td_used u;

	switch (fuzz_take(f, 1) % 20) {
	case 0 ... 4:
		fuzz_add(f);
		break;
	case 5 ... 8:
		fuzz_pop(f);
		break;
	case 9 ... 11:
		fuzz_complete(f);
		break;
	case 12:
		virtq_flush(&f->r.q);
		fuzz_want(f->r.interrupts - before <= 1 && !f->r.q.unpublished);
		break;
	case 13:
		(void)td_poll(&f->r.td, 0, &u);
		break;
	case 14:
		if (virtq_want_kicks(&f->r.q)) /* then a pop gives something, or breaks the queue */
			fuzz_pop(f);
		break;
	case 15:
		virtq_no_kicks(&f->r.q);
		break;
	case 16:
		fuzz_unpop(f);
		break;
	case 17:
		fuzz_poke(f);
		break;
	case 18:
		fuzz_cursor(f);
		break;
	case 19:
		atomic_store(&f->r.td.access, fuzz_take(f, 1) % 8);
		break;
	}
}

static inline int fuzz_run(const uint8_t *in, size_t len, bool packed)
{
	static const uint16_t sizes[] = { 1, 2, 4, 8, 16, 64, 3, 7 };
	static struct fuzz f;
	uint32_t how, avail, used;

	f = (struct fuzz){ .in = in, .len = len };
	how = fuzz_take(&f, 1);
	fuzz_want(rig_start(&f.r,
			    (packed ? RIG_PACKED : 0) | (how & 8 ? RIG_EVENT : 0) |
				    (how & 16 ? RIG_INDIRECT : 0) | (how & 32 ? RIG_IN_ORDER : 0),
			    sizes[how % (packed ? 8 : 6)], 32 << (how >> 7)) == 0 ||
		  sizes[how % (packed ? 8 : 6)] > 32);
	if (how & 64) { /* as loaded from a file that may lie */
		avail = fuzz_take(&f, 2);
		used = fuzz_take(&f, 2);
		if (f.r.q.started)
			virtq_set_indices(&f.r.q, (uint16_t)avail, (uint16_t)used);
		put_le16(rig_driver(&f.r, 2), (uint16_t)avail);
		f.r.td.q->avail = packed ? 0 : (uint16_t)avail;
	}
	while (f.len && f.r.q.started) {
		fuzz_step(&f);
		fuzz_check(&f);
	}
	while (f.nr_open)
		fuzz_complete(&f);
	virtq_flush(&f.r.q);
	fuzz_want(!f.r.q.nr_open);
	rig_stop(&f.r);
	return 0;
}

#endif
