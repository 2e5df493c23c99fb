/*
 * Saved state of devices: sections with a name, a version and a length, all little-endian.
 *
 *   section = u8 name length, name, u32 version, u32 body length, body
 *
 * A reader can skip what it does not know, and never reads past a body (a file may lie).
 */
#ifndef TRELLIS_BASE_STATE_H
#define TRELLIS_BASE_STATE_H

#include "vmm/base/buf.h"
#include "vmm/base/err.h"

struct state_reader {
	const uint8_t *data; /* borrowed */
	size_t len;          /* of the whole input, or of the open section's body */
	size_t pos;
	uint32_t version;    /* of the open section */
	bool failed;         /* read past the end once: later gets return 0 */
};

/* Open a section; returns the mark that state_end() needs. name: 1 to 255 bytes. */
size_t state_begin(struct buf *b, const char *name, uint32_t version);
void state_end(struct buf *b, size_t mark);

/*
 * Take the next section of r, which must be called name and have a version from 1 to max_version.
 * body receives a reader over its body; r moves behind it.
 * Returns 0; -EINVAL with a sentence when the section is another one, too new, or cut short.
 */
MUST_CHECK int state_open(struct state_reader *r, const char *name, uint32_t max_version,
			  struct state_reader *body, struct err *e);

/* Take bytes or one integer; after a failure zeros. */
void state_get(struct state_reader *r, void *bytes, size_t len);
uint8_t state_get8(struct state_reader *r);
uint16_t state_get16(struct state_reader *r);
uint32_t state_get32(struct state_reader *r);
uint64_t state_get64(struct state_reader *r);

/* 0 when every get found its bytes and none is left over; -EINVAL with a sentence otherwise. */
MUST_CHECK int state_close(const struct state_reader *body, const char *name, struct err *e);

#endif
