/*
 * Small text files as kernels offer them: /proc, /sys, cgroups. Every reader takes a root, "" but in tests, where it
 * is a directory that stands for "/".
 */
#ifndef TRELLIS_BASE_SYSFILE_H
#define TRELLIS_BASE_SYSFILE_H

#include "vmm/base/base.h"

/*
 * Read the file whose path is root and then fmt into text, without the newlines at its end, always terminated.
 * Returns the length (what does not fit is cut off), or the negative errno of open(2) or read(2), text then being "".
 */
PRINTF(4, 5) int sysfile_text(const char *root, char *text, size_t len, const char *fmt, ...);

/* Read one unsigned decimal number. Returns 0; -EINVAL when the file holds anything else; else as sysfile_text(). */
PRINTF(3, 4) MUST_CHECK int sysfile_u64(const char *root, uint64_t *v, const char *fmt, ...);

/*
 * The word in brackets of a file such as "always [madvise] never". Returns 0; -EINVAL when there is none, or it has
 * len bytes or more; else as sysfile_text().
 */
PRINTF(4, 5) MUST_CHECK int sysfile_choice(const char *root, char *word, size_t len, const char *fmt, ...);

/* Write text, whole and at once, to a file that is there. Returns 0 or a negative errno. */
PRINTF(3, 4) MUST_CHECK int sysfile_write(const char *root, const char *text, const char *fmt, ...);

#endif
