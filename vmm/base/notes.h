/*
 * Sentences that pile up: what is worth telling the user of an outcome, or every reason why something cannot be.
 */
#ifndef TRELLIS_BASE_NOTES_H
#define TRELLIS_BASE_NOTES_H

#include "vmm/base/err.h"

enum { MAX_NOTES = 64 };

struct notes {
	char *text[MAX_NOTES]; /* owned; one sentence each, without full stop */
	unsigned int nr;
	bool usage;            /* one of them is an error of the command line: see struct err */
};

/* Add a sentence. When there is no room or no memory left, it is dropped. */
PRINTF(2, 3) void notes_add(struct notes *n, const char *fmt, ...);

/* Add what went wrong, unless the same sentence is there already. */
void notes_add_err(struct notes *n, const struct err *e);

/*
 * Where one error is to be returned and there are several: all but the last go to the log, the last to e, usage if any
 * was. Not for an empty n.
 */
void notes_to_err(const struct notes *n, struct err *e);

/* Free the sentences; n is empty afterwards. */
void notes_fini(struct notes *n);

#endif
