/*
 * Where a file or socket would be made, and whether it could be. Asked without making it.
 */
#ifndef TRELLIS_BASE_NEWFILE_H
#define TRELLIS_BASE_NEWFILE_H

#include "vmm/base/base.h"

/* "dir" of "dir/file", "/" of "/file", "." of "file"; cut off where buf ends. Returns buf. */
const char *newfile_directory(const char *path, char *buf, size_t len);

/*
 * Look at the directory of a path where nothing is yet. Quotas and security modules are not asked.
 * Returns 0, or the negative errno that open(2) or bind(2) would fail with: -ENOENT, -ENOTDIR, -EACCES, -EROFS.
 */
MUST_CHECK int newfile_check(const char *path);

#endif
