/*
 * Giving back the pages of a balloon. The guest counts in pages of 4 KiB; where the host backs its memory with
 * larger ones, a page can only go when all its parts are in the balloon, so it is remembered which are.
 */
#ifndef TRELLIS_DEVICES_BALLOON_PAGES_H
#define TRELLIS_DEVICES_BALLOON_PAGES_H

#include "vmm/base/gmem.h"

enum { BALLOON_PAGE = 4096 };

struct balloon_range {   /* of gmem's range of the same number; all NULL where its pages are small */
	uint64_t *in;    /* owned; a bit for each page of 4 KiB: is it in the balloon? */
	uint32_t *nr_in; /* owned; of each large page: how many of its parts are */
	size_t nr_words, nr_large;
};

struct balloon_pages {
	const struct gmem *mem; /* borrowed */
	bool large;             /* some range has large pages; constant */
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
 * collect  remember parts of large pages until they are complete; the driver must tell before it uses pages
 *          again (VIRTIO_BALLOON_F_MUST_TELL_HOST). Otherwise only what is complete in pfn is given back
 */
void balloon_pages_put(struct balloon_pages *p, uint32_t *pfn, unsigned int nr, bool collect,
		       struct balloon_result *result);

/* Take them out: they may be used again. Nothing is to be done for small pages, which come back when touched. */
void balloon_pages_take(struct balloon_pages *p, const uint32_t *pfn, unsigned int nr);

/* The balloon is empty. */
void balloon_pages_forget(struct balloon_pages *p);

#endif
