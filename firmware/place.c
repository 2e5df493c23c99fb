/* Finding room in the memory map. Knows neither files nor guest memory. */
#include "firmware/place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void place_init(struct place *pl, const struct platform *p, uint64_t limit)
{
	*pl = (struct place){ 0 };
	limit = MIN(limit, 4 * GIB);
	for (unsigned int i = 0; i < MIN(p->nr_map, (unsigned int)PLATFORM_MAX_RANGES); i++) {
		const struct mem_range *r = &p->map[i];
		struct place_span *last = pl->nr_ram ? &pl->ram[pl->nr_ram - 1] : NULL;
		uint64_t len;

		if (r->type != MEM_RAM || !r->len || r->start >= limit)
			continue;
		len = MIN(r->len, limit - r->start);
		if (last && last->start + last->len == r->start)
			last->len += len;
		else
			pl->ram[pl->nr_ram++] = (struct place_span){ r->start, len, "RAM" };
	}
}

/* What is taken and overlaps [start, start + len), or NULL. The range does not wrap. */
static const struct place_span *find_taken(const struct place *pl, uint64_t start, uint64_t len)
{
	for (unsigned int i = 0; i < pl->nr_taken; i++) {
		const struct place_span *t = &pl->taken[i];

		if (start < t->start + t->len && t->start < start + len)
			return t;
	}
	return NULL;
}

static bool all_ram(const struct place *pl, uint64_t start, uint64_t len)
{
	for (unsigned int i = 0; i < pl->nr_ram; i++)
		if (start >= pl->ram[i].start && range_ok(start - pl->ram[i].start, len, pl->ram[i].len))
			return true;
	return false;
}

int place_reserve(struct place *pl, uint64_t start, uint64_t len, const char *name, struct err *e)
{
	if (pl->nr_taken == PLACE_MAX_SPANS)
		return err_set(e, -ENOSPC, "more than %d separate pieces to load", PLACE_MAX_SPANS);
	pl->taken[pl->nr_taken++] = (struct place_span){ start, len, name };
	return 0;
}

int place_claim(struct place *pl, uint64_t start, uint64_t len, const char *name, struct err *e)
{
	const struct place_span *t;
	char ram[160];

	if (!all_ram(pl, start, len)) {
		place_describe_ram(pl, ram, sizeof(ram));
		return err_set(e, -ENOSPC,
			       "0x%" PRIx64 " and 0x%" PRIx64 " bytes from there are not all free RAM"
			       " (free RAM to load to is %s)",
			       start, len, ram);
	}
	t = find_taken(pl, start, len);
	if (t)
		return err_set(e, -ENOSPC,
			       "0x%" PRIx64 "-0x%" PRIx64 " overlaps %s at 0x%" PRIx64 "-0x%" PRIx64, start,
			       start + len - 1, t->name, t->start, t->start + t->len - 1);
	return place_reserve(pl, start, len, name, e);
}

int place_lowest(const struct place *pl, uint64_t len, uint64_t align, uint64_t floor, uint64_t ceiling,
		 uint64_t *at)
{
	for (unsigned int i = 0; i < pl->nr_ram; i++) {
		const struct place_span *r = &pl->ram[i];
		uint64_t end = MIN(r->start + r->len, ceiling), try = MAX(r->start, floor);

		/* Every round passes one more taken span, for good; try stays below 8 GiB. */
		while (try < end) {
			const struct place_span *t;

			try = align_up(try, align);
			if (!range_ok(try, len, end))
				break;
			t = find_taken(pl, try, len);
			if (!t) {
				*at = try;
				return 0;
			}
			try = t->start + t->len;
		}
	}
	return -ENOSPC;
}

int place_highest(const struct place *pl, uint64_t len, uint64_t align, uint64_t floor, uint64_t ceiling,
		  uint64_t *at)
{
	for (unsigned int i = pl->nr_ram; i-- > 0;) {
		const struct place_span *r = &pl->ram[i];
		uint64_t end = MIN(r->start + r->len, ceiling), begin = MAX(r->start, floor);

		while (end > begin && len <= end - begin) {
			uint64_t try = align_down(end - len, align);
			const struct place_span *t;

			if (try < begin)
				break;
			t = find_taken(pl, try, len);
			if (!t) {
				*at = try;
				return 0;
			}
			end = t->start;
		}
	}
	return -ENOSPC;
}

void place_describe_ram(const struct place *pl, char *text, size_t size)
{
	size_t at = 0;

	snprintf(text, size, "nowhere");
	for (unsigned int i = 0; i < pl->nr_ram && at < size; i++)
		at += (size_t)snprintf(text + at, size - at, "%s0x%" PRIx64 "-0x%" PRIx64, i ? " and " : "",
				       pl->ram[i].start, pl->ram[i].start + pl->ram[i].len - 1);
}
