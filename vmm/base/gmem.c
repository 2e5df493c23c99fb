/* Bounds-checked guest memory. Nothing here maps or unmaps. */
#include "vmm/base/gmem.h"

#include <errno.h>
#include <sys/mman.h>

int gmem_add(struct gmem *m, uint64_t gpa, uint64_t len, void *hva, struct err *e)
{
	unsigned int i;

	if (!len || gpa + len < gpa)
		return err_set(e, -EINVAL, "guest memory at 0x%llx of length 0x%llx is no range",
			       (unsigned long long)gpa, (unsigned long long)len);
	if (m->nr_ranges == GMEM_MAX_RANGES)
		return err_set(e, -ENOSPC, "more than %d ranges of guest memory", GMEM_MAX_RANGES);

	for (i = m->nr_ranges; i > 0 && m->range[i - 1].gpa > gpa; i--)
		;
	if ((i > 0 && m->range[i - 1].gpa + m->range[i - 1].len > gpa) ||
	    (i < m->nr_ranges && gpa + len > m->range[i].gpa))
		return err_set(e, -EINVAL, "guest memory at 0x%llx overlaps memory that is there",
			       (unsigned long long)gpa);

	memmove(&m->range[i + 1], &m->range[i], (m->nr_ranges - i) * sizeof(m->range[0]));
	m->range[i] = (struct gmem_range){ .gpa = gpa, .len = len, .hva = hva, .page_bytes = 4096 };
	m->nr_ranges++;
	return 0;
}

/* The range that holds gpa, or NULL. */
static const struct gmem_range *gmem_find(const struct gmem *m, uint64_t gpa)
{
	for (unsigned int i = 0; i < m->nr_ranges; i++)
		if (gpa >= m->range[i].gpa && gpa - m->range[i].gpa < m->range[i].len)
			return &m->range[i];
	return NULL;
}

void *gmem_hva(const struct gmem *m, uint64_t gpa, size_t len)
{
	const struct gmem_range *r = gmem_find(m, gpa);

	if (!r || !range_ok(gpa - r->gpa, len, r->len))
		return NULL;
	return r->hva + (gpa - r->gpa);
}

/* Is every byte of the span RAM? Ranges may touch; a gap ends it. */
static bool gmem_span_ok(const struct gmem *m, uint64_t gpa, size_t len)
{
	while (len) {
		const struct gmem_range *r = gmem_find(m, gpa);
		uint64_t part;

		if (!r)
			return false;
		part = MIN(len, r->len - (gpa - r->gpa));
		gpa += part; /* gmem_add() refused ranges that wrap, but the last may end at 2^64 - 1 */
		len -= part;
	}
	return true;
}

int gmem_read(const struct gmem *m, uint64_t gpa, void *buf, size_t len)
{
	uint8_t *to = buf;

	if (!gmem_span_ok(m, gpa, len))
		return -EFAULT;
	while (len) {
		const struct gmem_range *r = gmem_find(m, gpa);
		size_t part = MIN(len, r->len - (gpa - r->gpa));

		memcpy(to, r->hva + (gpa - r->gpa), part);
		to += part;
		gpa += part;
		len -= part;
	}
	return 0;
}

int gmem_write(const struct gmem *m, uint64_t gpa, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	if (!gmem_span_ok(m, gpa, len))
		return -EFAULT;
	while (len) {
		const struct gmem_range *r = gmem_find(m, gpa);
		size_t part = MIN(len, r->len - (gpa - r->gpa));

		memcpy(r->hva + (gpa - r->gpa), from, part);
		from += part;
		gpa += part;
		len -= part;
	}
	return 0;
}

int gmem_zero(const struct gmem *m, uint64_t gpa, size_t len)
{
	if (!gmem_span_ok(m, gpa, len))
		return -EFAULT;
	while (len) {
		const struct gmem_range *r = gmem_find(m, gpa);
		size_t part = MIN(len, r->len - (gpa - r->gpa));

		memset(r->hva + (gpa - r->gpa), 0, part);
		gpa += part;
		len -= part;
	}
	return 0;
}

/*
 * Give back the whole pages of the backing in [off, off + len) of one range. What counts is where they lie in the
 * host: madvise(2) wants its addresses aligned, and so does a hole in a file. A shared mapping keeps its pages
 * through MADV_DONTNEED, as the file has them; MADV_REMOVE takes them out of the file (shmem, hugetlbfs).
 */
static int64_t gmem_discard_in(const struct gmem_range *r, uint64_t off, uint64_t len)
{
	uintptr_t at = (uintptr_t)align_up((uintptr_t)r->hva + off, r->page_bytes);
	uintptr_t end = (uintptr_t)align_down((uintptr_t)r->hva + off + len, r->page_bytes);

	if (at >= end)
		return 0;
	if (madvise((void *)at, end - at, r->shared ? MADV_REMOVE : MADV_DONTNEED) < 0)
		return -errno;
	return (int64_t)(end - at);
}

int64_t gmem_discard(const struct gmem *m, uint64_t gpa, uint64_t len)
{
	int64_t total = 0;

	if (!gmem_span_ok(m, gpa, len))
		return -EFAULT;
	while (len) {
		const struct gmem_range *r = gmem_find(m, gpa);
		uint64_t part = MIN(len, r->len - (gpa - r->gpa));
		int64_t n = gmem_discard_in(r, gpa - r->gpa, part);

		if (n < 0)
			return n;
		total += n;
		gpa += part;
		len -= part;
	}
	return total;
}

int64_t gmem_discard_host(const struct gmem *m, const void *hva, uint64_t len)
{
	uintptr_t at = (uintptr_t)hva;

	for (unsigned int i = 0; i < m->nr_ranges; i++) {
		const struct gmem_range *r = &m->range[i];
		uintptr_t base = (uintptr_t)r->hva;

		if (at >= base && range_ok(at - base, len, r->len))
			return gmem_discard_in(r, at - base, len);
	}
	return -EFAULT;
}
