/* Small text files of the kernel: opened, read or written in one go, closed. */
#include "vmm/base/sysfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Open root and then fmt. Returns a descriptor or a negative errno. */
PRINTF(3, 0) static int open_under(const char *root, int flags, const char *fmt, va_list ap)
{
	char path[PATH_MAX];
	size_t at = strlen(root);
	int n, fd;

	if (at >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, root, at);
	n = vsnprintf(path + at, sizeof(path) - at, fmt, ap);
	if (n < 0 || (size_t)n >= sizeof(path) - at)
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* Read to the end, or until text is full. Returns the length or a negative errno. */
static int read_text(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, text + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (int)len;
}

PRINTF(4, 0) static int vsysfile_text(const char *root, char *text, size_t len, const char *fmt, va_list ap)
{
	int fd = open_under(root, O_RDONLY, fmt, ap), n = fd;

	if (fd >= 0) {
		n = read_text(fd, text, MIN(len - 1, (size_t)INT_MAX));
		close(fd);
	}
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[MAX(n, 0)] = '\0';
	return n;
}

int sysfile_text(const char *root, char *text, size_t len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsysfile_text(root, text, len, fmt, ap);
	va_end(ap);
	return n;
}

int sysfile_u64(const char *root, uint64_t *v, const char *fmt, ...)
{
	char text[32]; /* 20 digits are the most; what is cut off leaves too many */
	unsigned long long found;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsysfile_text(root, text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return n;
	if (!n || strspn(text, "0123456789") != (size_t)n) /* strtoull() would take blanks and signs */
		return -EINVAL;
	errno = 0;
	found = strtoull(text, NULL, 10);
	if (errno)
		return -EINVAL;
	*v = found;
	return 0;
}

int sysfile_choice(const char *root, char *word, size_t len, const char *fmt, ...)
{
	const char *open, *close;
	char text[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsysfile_text(root, text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return n;
	open = strchr(text, '[');
	close = open ? strchr(open, ']') : NULL;
	if (!close || (size_t)(close - open) > len)
		return -EINVAL;
	n = (int)(close - open) - 1;
	memcpy(word, open + 1, (size_t)n);
	word[n] = '\0';
	return 0;
}

int sysfile_write(const char *root, const char *text, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;
	ssize_t n;
	int fd, rc;

	va_start(ap, fmt);
	fd = open_under(root, O_WRONLY | O_TRUNC, fmt, ap);
	va_end(ap);
	if (fd < 0)
		return fd;
	do /* such files take one write(2) as one command */
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	rc = n < 0 ? -errno : (size_t)n < len ? -EIO : 0;
	close(fd);
	return rc;
}
