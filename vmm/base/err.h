/*
 * One error, made where the detail is known and printed once, in main() (style R11).
 */
#ifndef TRELLIS_BASE_ERR_H
#define TRELLIS_BASE_ERR_H

#include "vmm/base/base.h"

struct err {
	bool usage;      /* the command line is at fault: exit status 2, not 1 */
	char text[768];  /* one sentence, no full stop, no newline */
};

/*
 * Store a sentence and return rc, so that `return err_set(e, -EINVAL, ...)` reads well.
 * e  receives the text (an earlier text is replaced); NULL is allowed and drops it
 * rc a negative errno; not printed
 */
PRINTF(3, 4) int err_set(struct err *e, int rc, const char *fmt, ...);

/* As err_set(), and appends ": " and the text of errno -rc. For failed system calls. */
PRINTF(3, 4) int err_sys(struct err *e, int rc, const char *fmt, ...);

/* As err_set() with -EINVAL, and marks the command line as the cause. */
PRINTF(2, 3) int err_usage(struct err *e, const char *fmt, ...);

/* Put "fmt: " in front of the text that is there. For callers who know more. */
PRINTF(2, 3) void err_prefix(struct err *e, const char *fmt, ...);

#endif
