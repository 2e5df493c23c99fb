/*
 * Giving back the pages of a balloon. The guest counts in pages of 4 KiB; where the host backs its memory with
 * larger ones, a page can only go when all its parts are in the balloon, so it is remembered which are.
 *
 * A small page that is touched again is there again. A large one may not be, as others can have emptied the pool
 * meanwhile; the guest would end over it. So it is fetched first, before the guest may use any of its parts.
 */
#ifndef TRELLIS_DEVICES_BALLOON_PAGES_H
#define TRELLIS_DEVICES_BALLOON_PAGES_H

#include "vmm/base/gmem.h"

enum { BALLOON_PAGE = 4096 };

struct balloon_range {   /* of gmem's range of the same number; all NULL where its pages are small */
	uint64_t *in;    /* owned; a bit for each page of 4 KiB: is it in the balloon? */
	uint32_t *nr_in; /* owned; of each large page: how many of its parts are */
	bool *gone;      /* owned; of each large page: it was given back, and not fetched since */
	size_t nr_words, nr_large;
};

struct balloon_pages {
	const struct gmem *mem; /* borrowed */
	bool large;             /* some range has large pages; constant */
	uint64_t nr_gone;       /* of all ranges */
	struct balloon_range range[GMEM_MAX_RANGES];
};

/*
 * mem is complete. Returns 0 or -ENOMEM with a sentence. fini: safe on all zero.
 * What follows is for one thread at a time, and takes no lock.
 */
MUST_CHECK int balloon_pages_init(struct balloon_pages *p, const struct gmem *mem, struct err *e);
void balloon_pages_fini(struct balloon_pages *p);

/* How it went with the pages that were put into the balloon. */
struct balloon_result {
	uint64_t pages;  /* of RAM, each as often as it was named */
	uint64_t beside; /* that are not RAM */
	uint64_t bytes;  /* given back to the host */
	int rc;          /* the first failure of gmem_discard(), or 0 */
};

/*
 * Put pages into the balloon, and adds to *result.
 * pfn      guest page frame numbers; sorted by the call, so that neighbours go at once
 * tells    the driver must tell before it uses pages again (VIRTIO_BALLOON_F_MUST_TELL_HOST): parts of large pages
 *          are remembered until they are complete. Otherwise nothing of large pages is given back
 */
void balloon_pages_put(struct balloon_pages *p, uint32_t *pfn, unsigned int nr, bool tells,
		       struct balloon_result *result);

/*
 * Take them out: on return they may be used again. Small pages come back when they are touched; a large page that is
 * gone is fetched. It does no harm to take pages out that are not in.
 * left_bytes  how much may be fetched, as that takes its time (zeroing); reduced by what was. The page that uses it up
 *             may be larger
 * Returns 0; -ENOMEM: the host has no page now; -EAGAIN: *left_bytes is 0, and more has to be fetched. After these
 * two call again with the same pages, some time.
 */
MUST_CHECK int balloon_pages_take(struct balloon_pages *p, const uint32_t *pfn, unsigned int nr,
				  uint64_t *left_bytes);

/* The balloon is empty, although nobody took the pages out: what is gone is to be fetched by the next function. */
void balloon_pages_forget(struct balloon_pages *p);

/* Fetch the large pages that are gone, and no longer in the balloon as a whole. left_bytes, returns: as above. */
MUST_CHECK int balloon_pages_restore(struct balloon_pages *p, uint64_t *left_bytes);

/* The size of the large pages, of the first range that has them, or 0. */
uint64_t balloon_pages_large_bytes(const struct balloon_pages *p);

#endif
