/*
 * What the hostile virtio drivers share: places where no buffer may be, memory with canaries, and the run of
 * one case after another. A case does one thing wrong and tells what came of it; then its canaries are
 * looked at, the device is reset, and must serve a correct request. One case is one line of TAP.
 *
 * What it does not see: writes far from the request's own memory, and threads of the host that spin.
 */
#ifndef GUEST_HOSTILE_H
#define GUEST_HOSTILE_H

#include "lib/virtio.h"

/* What came of a request. */
enum {
	SERVED = 1,	/* used, and the device says it was done */
	ERROR = 2,	/* used, and the device says it was not */
	RETURNED = 4,	/* used, and there was no place for the device to say anything */
	BROKEN = 8,	/* DEVICE_NEEDS_RESET */
	NOTHING = 16,	/* none of these, for some time */
	WRONG = 32,	/* the case saw what must not be */
	REFUSED = ERROR | BROKEN,
	SETTLED = SERVED | ERROR | RETURNED | BROKEN,
	ANYTHING = SETTLED | NOTHING,	/* the driver left no right answer: only harm is wrong */
};

/* Places where no buffer and no ring may be. */
enum hostile_place {
	BEYOND_RAM,
	RAM_END,	/* the last 8 bytes of RAM: what is longer runs out of it */
	OWN_COMMON,	/* the device's own registers */
	OWN_NOTIFY,
	OWN_MSIX,
	LAPIC_PAGE,
	ECAM,
	TOP_OF_SPACE,	/* the last 8 bytes of 64 bits: what is longer wraps to 0 */
	BIT_63,		/* our own memory, if somebody cuts the address short */
	BIT_52,
	BIT_32,
};

enum { CASE_SPLIT = 1, CASE_PACKED = 2, CASE_NOT_QEMU = 4 };

struct hostile_case {
	const char *name;
	unsigned int want;		/* what may come of it */
	unsigned int (*run)(uint64_t a, uint64_t b);
	uint64_t a, b;
	unsigned int flags;		/* formats of ring that have this case, none: both; CASE_NOT_QEMU: why is said there */
};

struct hostile_rig {
	struct virtio *dev;
	bool (*start)(void);		/* reset and set up, up to DRIVER_OK */
	bool (*serve)(void);		/* one correct request */
};

/* Memory for requests; all of it is canaries but what a case allows. */
#define ARENA_BYTES 4096
extern uint8_t arena[ARENA_BYTES];

/* The features that the command line asks for: "packed", "event". INDIRECT always; others are the case's. */
uint64_t hostile_features(void);
/* The address of a place. */
uint64_t hostile_place(const struct virtio *v, enum hostile_place place);
/* Fill the arena and forget what was allowed. */
void arena_reset(void);
/* The device may write these bytes. */
void arena_allow(const void *at, uint32_t bytes);
/* Remember the arena as it is: the request is complete. The next arena_intact() compares with it. */
void arena_remember(void);
bool arena_intact(void);
/* Kick and wait until a buffer is used (*bytes is its length) or the device is broken, 2 s at most. Returns
 * RETURNED, BROKEN or NOTHING. hostile_poll() does so without a kick, and for as long as it is told. */
unsigned int hostile_settle(struct virtq *q, uint32_t *bytes);
unsigned int hostile_poll(struct virtq *q, uint32_t *bytes, uint64_t ticks);
/* Run the cases, a line each. */
void hostile_run(const struct hostile_rig *rig, const struct hostile_case *c, unsigned int nr);

#define HOSTILE_RUN(rig, cases) hostile_run(rig, cases, sizeof(cases) / sizeof((cases)[0]))

#endif
