/* Which pages are in the balloon, as far as one must know. It knows no queues. */
#include "devices/virtio/balloon_pages.h"

#include <errno.h>
#include <stdlib.h>

/* Where a range begins in units of its large pages, in the host: that is where they are aligned. */
static uintptr_t large_base(const struct gmem_range *r)
{
	return (uintptr_t)align_down((uintptr_t)r->hva, r->page_bytes);
}

int balloon_pages_init(struct balloon_pages *p, const struct gmem *mem, struct err *e)
{
	*p = (struct balloon_pages){ .mem = mem };
	for (unsigned int i = 0; i < mem->nr_ranges; i++) {
		const struct gmem_range *r = &mem->range[i];
		struct balloon_range *b = &p->range[i];

		if (r->page_bytes <= BALLOON_PAGE)
			continue;
		p->large = true;
		b->nr_words = r->len / BALLOON_PAGE / 64 + 1;
		b->nr_large = ((uintptr_t)r->hva + r->len - large_base(r)) / r->page_bytes + 1;
		b->in = calloc(b->nr_words, sizeof(*b->in));
		b->nr_in = calloc(b->nr_large, sizeof(*b->nr_in));
		b->gone = calloc(b->nr_large, sizeof(*b->gone));
		if (!b->in || !b->nr_in || !b->gone) {
			balloon_pages_fini(p);
			return err_set(e, -ENOMEM, "out of memory for the balloon's notes on large pages");
		}
	}
	return 0;
}

void balloon_pages_fini(struct balloon_pages *p)
{
	for (unsigned int i = 0; i < GMEM_MAX_RANGES; i++) {
		free(p->range[i].in);
		free(p->range[i].nr_in);
		free(p->range[i].gone);
	}
	*p = (struct balloon_pages){ 0 };
}

void balloon_pages_forget(struct balloon_pages *p)
{
	for (unsigned int i = 0; i < GMEM_MAX_RANGES; i++) {
		struct balloon_range *b = &p->range[i];

		if (!b->in)
			continue;
		memset(b->in, 0, b->nr_words * sizeof(*b->in));
		memset(b->nr_in, 0, b->nr_large * sizeof(*b->nr_in));
	}
}

uint64_t balloon_pages_large_bytes(const struct balloon_pages *p)
{
	for (unsigned int i = 0; i < p->mem->nr_ranges; i++)
		if (p->range[i].in)
			return p->mem->range[i].page_bytes;
	return 0;
}

/* Returns whether anything was. */
static bool give_back(struct balloon_pages *p, uint64_t gpa, uint64_t len, struct balloon_result *result)
{
	int64_t n = gmem_discard(p->mem, gpa, len);

	if (n >= 0)
		result->bytes += (uint64_t)n;
	else if (!result->rc)
		result->rc = (int)n;
	return n > 0;
}

/* ---- large pages ---- */

/* The large page that holds offset off of range nr. */
static size_t large_of(const struct gmem_range *r, uint64_t off)
{
	return ((uintptr_t)r->hva + off - large_base(r)) / r->page_bytes;
}

/* Where it begins for the guest. Of one that lies in its range as a whole, as all do that can be complete. */
static uint64_t large_gpa(const struct gmem_range *r, size_t large)
{
	return r->gpa + (large_base(r) + large * r->page_bytes - (uintptr_t)r->hva);
}

static void set_gone(struct balloon_pages *p, struct balloon_range *b, size_t large, bool gone)
{
	if (gone && !b->gone[large])
		p->nr_gone++;
	else if (!gone && b->gone[large])
		p->nr_gone--;
	b->gone[large] = gone;
}

/* One page of 4 KiB into a range of large ones. The last part that comes in sends the whole page away. */
static void collect_page(struct balloon_pages *p, unsigned int nr, uint64_t off,
			 struct balloon_result *result)
{
	const struct gmem_range *r = &p->mem->range[nr];
	struct balloon_range *b = &p->range[nr];
	uint64_t page = off / BALLOON_PAGE, bit = 1ull << page % 64;
	size_t large = large_of(r, off);

	if (b->in[page / 64] & bit)
		return;
	b->in[page / 64] |= bit;
	if (++b->nr_in[large] < r->page_bytes / BALLOON_PAGE)
		return;
	if (give_back(p, large_gpa(r, large), r->page_bytes, result))
		set_gone(p, b, large, true);
}

/* Have a large page again. */
static int fetch(struct balloon_pages *p, unsigned int nr, size_t large, uint64_t *left_bytes)
{
	const struct gmem_range *r = &p->mem->range[nr];
	int rc;

	if (!p->range[nr].gone[large])
		return 0;
	if (!*left_bytes)
		return -EAGAIN;
	rc = gmem_populate(p->mem, large_gpa(r, large), r->page_bytes);
	if (rc < 0)
		return rc;
	*left_bytes -= MIN(*left_bytes, r->page_bytes);
	set_gone(p, &p->range[nr], large, false);
	return 0;
}

/* The page first: as long as it is not there, its parts stay where they are. */
static int release_page(struct balloon_pages *p, unsigned int nr, uint64_t off, uint64_t *left_bytes)
{
	struct balloon_range *b = &p->range[nr];
	uint64_t page = off / BALLOON_PAGE, bit = 1ull << page % 64;
	size_t large = large_of(&p->mem->range[nr], off);
	int rc = fetch(p, nr, large, left_bytes);

	if (rc < 0 || !(b->in[page / 64] & bit))
		return rc;
	b->in[page / 64] &= ~bit;
	b->nr_in[large]--;
	return 0;
}

int balloon_pages_restore(struct balloon_pages *p, uint64_t *left_bytes)
{
	for (unsigned int i = 0; p->nr_gone && i < p->mem->nr_ranges; i++) {
		const struct balloon_range *b = &p->range[i];
		uint64_t parts = p->mem->range[i].page_bytes / BALLOON_PAGE;
		int rc;

		if (!b->in)
			continue;
		for (size_t large = 0; large < b->nr_large; large++)
			if (b->gone[large] && b->nr_in[large] < parts &&
			    (rc = fetch(p, i, large, left_bytes)) < 0)
				return rc;
	}
	return 0;
}

/* ---- pages by their numbers ---- */

/* How much of [gpa, gpa + len) lies in range r, and where; 0: nothing. */
static uint64_t overlap(const struct gmem_range *r, uint64_t gpa, uint64_t len, uint64_t *off)
{
	uint64_t from = MAX(gpa, r->gpa),
		 to = MIN(gpa + len, r->gpa + r->len); /* 44 bits, and RAM: no overflow */

	*off = from - r->gpa;
	return from < to ? to - from : 0;
}

/* Neighbouring pages, as one span. */
static void put_run(struct balloon_pages *p, uint64_t gpa, uint64_t len, bool tells,
		    struct balloon_result *result)
{
	for (unsigned int i = 0; i < p->mem->nr_ranges; i++) {
		uint64_t off, part = overlap(&p->mem->range[i], gpa, len, &off);

		if (part && !p->range[i].in)
			give_back(p, p->mem->range[i].gpa + off, part, result);
		for (uint64_t at = 0; at < part && tells && p->range[i].in; at += BALLOON_PAGE)
			collect_page(p, i, off + at, result);
	}
}

static bool is_ram(const struct gmem *mem, uint32_t pfn)
{
	return gmem_hva(mem, (uint64_t)pfn * BALLOON_PAGE, BALLOON_PAGE) != NULL;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

void balloon_pages_put(struct balloon_pages *p, uint32_t *pfn, unsigned int nr, bool tells,
		       struct balloon_result *result)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < nr; i++)
		if (is_ram(p->mem, pfn[i]))
			pfn[kept++] = pfn[i];
	result->pages += kept;
	result->beside += nr - kept;
	qsort(pfn, kept, sizeof(*pfn), by_number);

	for (unsigned int i = 0, end; i < kept; i = end) {
		/* A page may be named twice. */
		for (end = i + 1; end < kept && pfn[end] - pfn[end - 1] <= 1; end++)
			;
		put_run(p, (uint64_t)pfn[i] * BALLOON_PAGE,
			((uint64_t)pfn[end - 1] - pfn[i] + 1) * BALLOON_PAGE, tells, result);
	}
}

static int take_page(struct balloon_pages *p, uint64_t gpa, uint64_t *left_bytes)
{
	for (unsigned int i = 0; i < p->mem->nr_ranges; i++) {
		uint64_t off;

		if (p->range[i].in && overlap(&p->mem->range[i], gpa, BALLOON_PAGE, &off))
			return release_page(p, i, off, left_bytes);
	}
	return 0;
}

int balloon_pages_take(struct balloon_pages *p, const uint32_t *pfn, unsigned int nr, uint64_t *left_bytes)
{
	int rc = 0;

	for (unsigned int i = 0; p->large && i < nr && rc == 0; i++)
		rc = take_page(p, (uint64_t)pfn[i] * BALLOON_PAGE, left_bytes);
	return rc;
}
