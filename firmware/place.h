/*
 * Where a loader may put things: free RAM below the limit, minus what is taken already. Plain
 * arithmetic on the memory map; nothing here touches guest memory.
 */
#ifndef TRELLIS_FIRMWARE_PLACE_H
#define TRELLIS_FIRMWARE_PLACE_H

#include "firmware/platform.h"
#include "vmm/base/err.h"

enum { PLACE_MAX_SPANS = 96 };

struct place_span {
	uint64_t start, len;
	const char *name; /* static; for the sentence when something else wants to lie here */
};

struct place {
	struct place_span ram[PLATFORM_MAX_RANGES]; /* by rising address; touching ones are joined */
	unsigned int nr_ram;
	struct place_span taken[PLACE_MAX_SPANS];
	unsigned int nr_taken;
};

/* Start with all RAM of the map below limit (at most 4 GiB), nothing taken. */
void place_init(struct place *pl, const struct platform *p, uint64_t limit);

/*
 * Take [start, start + len) at exactly this address; len is not 0.
 * name  static; what lies there
 * Returns 0; -ENOSPC with a sentence that begins with the addresses when it is not all free RAM (nothing
 * is taken then).
 */
MUST_CHECK int place_claim(struct place *pl, uint64_t start, uint64_t len, const char *name, struct err *e);

/*
 * Take addresses which we use ourselves, without asking whether they are RAM (a write finds out).
 * Returns 0; -ENOSPC with a sentence when the list is full.
 */
MUST_CHECK int place_reserve(struct place *pl, uint64_t start, uint64_t len, const char *name, struct err *e);

/*
 * The lowest or highest free address which is a multiple of align (a power of two, at most 1 GiB) where len
 * bytes fit between floor and ceiling. Does not take it. Any numbers may be passed.
 * at  receives the address
 * Returns 0; -ENOSPC without a sentence.
 */
MUST_CHECK int place_lowest(const struct place *pl, uint64_t len, uint64_t align, uint64_t floor,
			    uint64_t ceiling, uint64_t *at);
MUST_CHECK int place_highest(const struct place *pl, uint64_t len, uint64_t align, uint64_t floor,
			     uint64_t ceiling, uint64_t *at);

/* Describe the RAM for an error: "0x0-0x9fbff and 0x100000-0x7ffffff". Always ends in NUL. */
void place_describe_ram(const struct place *pl, char *text, size_t size);

#endif
