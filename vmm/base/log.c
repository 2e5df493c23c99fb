/* Log lines. No file, no syslog, no timestamps: the caller's pipeline adds what it wants. */
#include "vmm/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static enum log_level max_level = LOG_INFO; /* constant once threads run */
static atomic_bool raw_terminal;

static const char *const level_word[] = {
	[LOG_ERROR] = "error: ",
	[LOG_WARN] = "warning: ",
	[LOG_INFO] = "",
	[LOG_DEBUG] = "debug: ",
};

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_set_raw_terminal(bool raw)
{
	atomic_store(&raw_terminal, raw);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	int saved = errno;
	char line[1024];
	size_t room = sizeof(line) - 2; /* for the line's end */
	size_t len;
	va_list ap;
	int n;

	if (level > max_level)
		return;
	n = snprintf(line, room, "trellis: %s", level_word[level]);
	len = (size_t)n;
	va_start(ap, fmt);
	n = vsnprintf(line + len, room - len, fmt, ap);
	va_end(ap);
	if (n > 0)
		len += MIN((size_t)n, room - len - 1);
	if (atomic_load(&raw_terminal))
		line[len++] = '\r';
	line[len++] = '\n';
	/* A pipe that nobody drains must not stop a guest: the line is dropped then. */
	if (poll(&out, 1, 0) != 0 && write(STDERR_FILENO, line, len) < 0)
		errno = 0; /* nowhere left to complain */
	errno = saved;
}
