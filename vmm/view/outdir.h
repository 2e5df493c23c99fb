/*
 * A directory of files that are written together: into a new directory beside the target first, so that an error
 * leaves what was there. Only files of our own kind are ever replaced or removed.
 */
#ifndef TRELLIS_VIEW_OUTDIR_H
#define TRELLIS_VIEW_OUTDIR_H

#include <stdio.h>

#include "vmm/base/err.h"

struct outdir {
	char *target, *fresh; /* owned; paths */
	const char *marker;   /* borrowed; a name that every such directory holds */
	bool (*ours)(const char *name);
	int fd; /* owned; of fresh, or -1 */
};

/*
 * Begin.
 * dir     the target: missing, empty, or with a file named marker inside
 * marker  borrowed
 * ours    says which names belong to such a directory
 * Returns 0; -EINVAL (usage) with a sentence when the target holds something else; another negative errno with a
 * sentence. End with outdir_commit() or outdir_drop(); the latter is safe after everything.
 */
MUST_CHECK int outdir_begin(struct outdir *d, const char *dir, const char *marker,
			    bool (*ours)(const char *name), struct err *e);

/* Write one file. fill prints it. Returns 0 or a negative errno with a sentence. */
MUST_CHECK int outdir_put(struct outdir *d, const char *name, void (*fill)(FILE *f, const void *ctx),
			  const void *ctx, struct err *e);

/* Put everything in place; files of our kind that were not written this time go. */
MUST_CHECK int outdir_commit(struct outdir *d, struct err *e);

/* Give up, or clean up after outdir_commit(). */
void outdir_drop(struct outdir *d);

#endif
