/* The directory decides whether a name can be added (path_resolution(7)). */
#include "vmm/base/newfile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

const char *newfile_directory(const char *path, char *buf, size_t len)
{
	const char *slash = strrchr(path, '/');

	snprintf(buf, len, "%.*s", slash ? (int)MAX(slash - path, 1) : 1, slash ? path : ".");
	return buf;
}

int newfile_check(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	struct stat st;

	if (strlen(path) >= sizeof(dir))
		return -ENAMETOOLONG;
	if (!*path)
		return -ENOENT;
	if (stat(newfile_directory(path, dir, sizeof(dir)), &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (slash && !slash[1])
		return -EISDIR; /* the name of a directory that is not there */
	return access(dir, W_OK | X_OK) < 0 ? -errno : 0;
}
