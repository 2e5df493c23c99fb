/*
 * Guest-physical memory as this process sees it: a few ranges of RAM, each mapped once.
 * Every access from our side goes through here with an address *and* a length (style R8).
 * It does not know KVM, and it does not decide what is where: vmm/memory.c does.
 */
#ifndef TRELLIS_BASE_GMEM_H
#define TRELLIS_BASE_GMEM_H

#include "vmm/base/base.h"
#include "vmm/base/err.h"

enum { GMEM_MAX_RANGES = 64 };

struct gmem_range {
	uint64_t gpa;  /* page aligned */
	uint64_t len;  /* page aligned, not 0 */
	uint8_t *hva;  /* borrowed: the mapping belongs to who added it */
	uint64_t page_bytes; /* what the host can take back at once: 4 KiB (as gmem_add() says), or the size of a
				hugetlb page */
	int fd;        /* borrowed: the file (memfd, hugetlbfs or any) that is mapped shared, and that is given back by
			  punching holes into it; -1 (as gmem_add() says): private memory */
	uint64_t fd_offset; /* of the range in the file */
	bool has_room;      /* the file has all its blocks, and keeps them where it can: what was given back can be
			       had again on a disk that got full */
};

struct gmem {
	struct gmem_range range[GMEM_MAX_RANGES]; /* by rising gpa, disjoint; constant while vCPUs run */
	unsigned int nr_ranges;
};

/*
 * Add RAM at [gpa, gpa + len), mapped at hva (borrowed for the life of m).
 * Returns 0; -EINVAL if empty, wrapping or overlapping; -ENOSPC after GMEM_MAX_RANGES ranges.
 * Setup only: no thread may use m meanwhile.
 */
MUST_CHECK int gmem_add(struct gmem *m, uint64_t gpa, uint64_t len, void *hva, struct err *e);

/*
 * The host address of [gpa, gpa + len), or NULL unless all of it lies in one range of RAM.
 * A length of 0 needs a valid gpa. The guest can change the bytes at any time: copy, then check.
 * Any thread; no lock.
 */
void *gmem_hva(const struct gmem *m, uint64_t gpa, size_t len);

/*
 * Copy len bytes out of or into guest RAM. The span may cross ranges that touch.
 * Returns 0, or -EFAULT if a byte is not RAM (then nothing at all was copied). Any thread; no lock.
 */
MUST_CHECK int gmem_read(const struct gmem *m, uint64_t gpa, void *buf, size_t len);
MUST_CHECK int gmem_write(const struct gmem *m, uint64_t gpa, const void *buf, size_t len);

/* As gmem_write(), with len zero bytes. */
MUST_CHECK int gmem_zero(const struct gmem *m, uint64_t gpa, size_t len);

/*
 * Give the memory of [gpa, gpa + len) back to the host: it reads as zeros afterwards and costs nothing until
 * it is touched. Only whole pages of the backing are given back; what is left at either end stays as it is.
 * Returns how many bytes were given back (0 when no whole page lies inside); -EFAULT if a byte is not RAM; the
 * negative errno of madvise(2). May take long. Any thread; no lock.
 */
int64_t gmem_discard(const struct gmem *m, uint64_t gpa, uint64_t len);

/*
 * Have the host's pages that hold [gpa, gpa + len) there again, after they were given back, without changing what
 * others keep in them: for large pages, whose pool may be empty by now.
 * Returns 0; -EFAULT if a byte is not RAM; -ENOMEM when the host has no page left now. May take long. Any thread.
 */
MUST_CHECK int gmem_populate(const struct gmem *m, uint64_t gpa, uint64_t len);

/* As gmem_discard(), for host addresses inside one range, such as the segments of a chain. */
int64_t gmem_discard_host(const struct gmem *m, const void *hva, uint64_t len);

#endif
