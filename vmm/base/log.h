/*
 * Lines on stderr (stdout belongs to the guest). Levels, style R23:
 * error: what you asked for did not happen; warn: odd, going on; info: rare milestones; debug.
 */
#ifndef TRELLIS_BASE_LOG_H
#define TRELLIS_BASE_LOG_H

#include "vmm/base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Drop messages above level; the default is LOG_INFO. Call before threads start. */
void log_set_level(enum log_level level);

/* End lines with CR LF, for the time the terminal is raw. Any thread. */
void log_set_raw_terminal(bool raw);

/*
 * Print one line, "trellis: LEVEL: text" (info has no level word). A single write(2), so lines of
 * several threads do not mix; dropped when it would block. Keeps errno. Any thread; no lock.
 */
PRINTF(2, 3) void log_line(enum log_level level, const char *fmt, ...);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/*
 * For what a guest can trigger at will: prints the first time only.
 * done  bool *, false at device reset; guarded by the device's lock
 */
#define log_warn_once(done, ...)                \
	do {                                    \
		if (!*(done)) {                 \
			*(done) = true;         \
			log_warn(__VA_ARGS__);  \
		}                               \
	} while (0)

#endif
