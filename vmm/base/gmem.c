/* Bounds-checked guest memory. Nothing here maps or unmaps. */
#include "vmm/base/gmem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>
#include <sys/mman.h>

enum { SMALL_PAGE = 4096 };

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
	m->range[i] =
		(struct gmem_range){ .gpa = gpa, .len = len, .hva = hva, .page_bytes = SMALL_PAGE, .fd = -1 };
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
 * Private memory. What is locked goes as well, for which MADV_DONTNEED has no right (madvise(2)); that came with
 * Linux 5.18.
 */
static int drop_private(uint8_t *at, uint64_t len)
{
	if (madvise(at, len, MADV_DONTNEED) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	return madvise(at, len, MADV_DONTNEED_LOCKED) < 0 ? -errno : 0;
}

static int fallocate_range(const struct gmem_range *r, int mode, uint64_t off, uint64_t len)
{
	int rc;

	do {
		rc = fallocate(r->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)(r->fd_offset + off), (off_t)len);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

/*
 * A file keeps its pages through MADV_DONTNEED. A hole takes them out of it and out of every mapping of it, locked
 * ones too (fallocate(2)); shmem, hugetlbfs and the usual file systems have holes. Blocks on a disk are not what the
 * host is short of: zeroing them takes the pages away as well, where the file system can (ext4, xfs and btrfs).
 */
static int drop_shared(const struct gmem_range *r, uint64_t off, uint64_t len)
{
	int rc = r->has_room ? fallocate_range(r, FALLOC_FL_ZERO_RANGE, off, len) : -EOPNOTSUPP;

	return rc < 0 ? fallocate_range(r, FALLOC_FL_PUNCH_HOLE, off, len) : 0;
}

/*
 * Give back the whole pages of the backing in [off, off + len) of one range. What counts is where they lie in the
 * host: madvise(2) wants its addresses aligned, and those of a file are aligned alike.
 */
static int64_t gmem_discard_in(const struct gmem_range *r, uint64_t off, uint64_t len)
{
	uintptr_t base = (uintptr_t)r->hva;
	uintptr_t at = (uintptr_t)align_up(base + off, r->page_bytes);
	uintptr_t end = (uintptr_t)align_down(base + off + len, r->page_bytes);
	int rc;

	if (at >= end)
		return 0;
	rc = r->fd >= 0 ? drop_shared(r, at - base, end - at) : drop_private((uint8_t *)at, end - at);
	return rc < 0 ? rc : (int64_t)(end - at);
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

/*
 * Before Linux 5.14 there is no MADV_POPULATE_WRITE. Touching a page of a pool that is empty would end in SIGBUS, so
 * the file is asked for it. Small pages are found when they are touched.
 */
static int populate_by_file(const struct gmem_range *r, uint64_t off, uint64_t len)
{
	if (r->fd < 0 || r->page_bytes <= SMALL_PAGE)
		return 0;
	return fallocate(r->fd, FALLOC_FL_KEEP_SIZE, (off_t)(r->fd_offset + off), (off_t)len) < 0 ? -errno
												  : 0;
}

/* Part of a large page stands for all of it: the kernel rounds, and does not mind where a range begins. */
static int populate_in(const struct gmem_range *r, uint64_t off, uint64_t len)
{
	uint64_t from = align_down(off, SMALL_PAGE), to = MIN(align_up(off + len, SMALL_PAGE), r->len);
	int rc;

	do {
		rc = madvise(r->hva + from, to - from, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
	} while (rc == -EINTR);
	if (rc == -EINVAL)
		rc = populate_by_file(r, from, to - from);
	/* A pool without pages is EFAULT here: touching would be SIGBUS (madvise(2)). */
	return rc < 0 ? -ENOMEM : 0;
}

int gmem_populate(const struct gmem *m, uint64_t gpa, uint64_t len)
{
	if (!gmem_span_ok(m, gpa, len))
		return -EFAULT;
	while (len) {
		const struct gmem_range *r = gmem_find(m, gpa);
		uint64_t part = MIN(len, r->len - (gpa - r->gpa));
		int rc = populate_in(r, gpa - r->gpa, part);

		if (rc < 0)
			return rc;
		gpa += part;
		len -= part;
	}
	return 0;
}
