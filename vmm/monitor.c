/*
 * The monitor's lines: taken apart here, answered by the machine's ops. It keeps no state between commands.
 */
#include "vmm/monitor.h"

#include <errno.h>
#include <stdio.h>

#include "vmm/base/opt.h"

#define COMMANDS "'balloon SIZE', 'balloon?' and 'stats'"

/* ---- answers ---- */

static void say(struct monitor *m, const char *text)
{
	buf_put(&m->answer, text, strlen(text));
}

static void say_error(struct monitor *m, const char *text)
{
	say(m, "error: ");
	say(m, text);
	say(m, "\n");
}

/* Write what waits. Returns true when nothing waits any more. */
static bool answer(struct monitor *m)
{
	size_t left = m->answer.len - m->answered, n;

	if (m->answer.failed) /* out of memory: the client sees nothing, and may ask again */
		left = 0;
	n = left ? chardev_write(&m->chr, m->answer.data + m->answered, left) : 0;
	m->answered += n;
	if (n < left)
		return false; /* until monitor_room() */
	buf_fini(&m->answer);
	m->answered = 0;
	return true;
}

/* ---- commands ---- */

static void set_balloon(struct monitor *m, const char *size)
{
	struct err e = { 0 };
	uint64_t bytes;
	int rc;

	if (opt_parse_size(size, MIB, UINT64_MAX, &bytes) < 0) {
		say_error(m, "balloon: expected a size of 1M or more, e.g. 'balloon 512M'");
		return;
	}
	rc = m->ops->set_balloon(m->ctx, bytes, &e);
	if (rc < 0)
		say_error(m, *e.text ? e.text : strerror(-rc));
	else
		say(m, "ok\n");
}

static void get_balloon(struct monitor *m)
{
	uint64_t actual, target;
	struct err e = { 0 };
	char text[80];
	int rc = m->ops->get_balloon(m->ctx, &actual, &target, &e);

	if (rc < 0) {
		say_error(m, *e.text ? e.text : strerror(-rc));
		return;
	}
	snprintf(text, sizeof(text), "balloon actual=%llu target=%llu\n", (unsigned long long)actual,
		 (unsigned long long)target);
	say(m, text);
}

/* Cut blanks, and the CR of those who send CR LF, off both ends. Returns the beginning. */
static char *trim(char *line)
{
	char *end = line + strlen(line);

	while (end > line && strchr(" \t\r", end[-1]))
		*--end = 0;
	return line + strspn(line, " \t");
}

/* A whole line; an empty one is no command. */
static void obey(struct monitor *m, char *line)
{
	line = trim(line);
	if (!*line)
		return;
	if (!strcmp(line, "balloon?")) {
		get_balloon(m);
	} else if (!strcmp(line, "stats")) {
		m->ops->stats(m->ctx, &m->answer);
		say(m, "ok\n");
	} else if (!strncmp(line, "balloon", 7) && (!line[7] || strchr(" \t", line[7]))) {
		set_balloon(m, trim(line + 7));
	} else {
		say_error(m, "unknown command; " COMMANDS " are accepted");
	}
}

static void line_ended(struct monitor *m)
{
	m->line[m->len] = 0;
	if (m->too_long)
		say_error(m, "a line has at most 255 bytes");
	else if (memchr(m->line, 0, m->len))
		say_error(m, "a line with a NUL byte is no command; " COMMANDS " are accepted");
	else
		obey(m, m->line);
	m->len = 0;
	m->too_long = false;
}

/* ---- the stream ---- */

/* Byte by byte: what follows a command stays in the stream until the answer is on its way. */
static void monitor_input(void *ctx)
{
	struct monitor *m = ctx;
	uint8_t byte;

	while (answer(m) && chardev_read(&m->chr, &byte, 1) == 1) {
		if (byte == '\n')
			line_ended(m);
		else if (m->len < sizeof(m->line) - 1)
			m->line[m->len++] = (char)byte;
		else
			m->too_long = true;
	}
	/* Who sends a command and closes its end at once is to see the answer; nobody waits here. */
	(void)chardev_drain(&m->chr, 0);
}

static void monitor_opened(void *ctx, bool open)
{
	struct monitor *m = ctx;

	/* What the last client left half said, or did not listen to, is not for the next. */
	m->len = 0;
	m->too_long = false;
	buf_fini(&m->answer);
	m->answered = 0;
	if (!open)
		chardev_drop_output(&m->chr);
}

int monitor_init(struct monitor *m, const char *path, struct loop *loop, const struct monitor_ops *ops,
		 void *ctx, struct err *e)
{
	const struct chardev_user user = {
		.ctx = m,
		.input = monitor_input,
		.room = monitor_input,
		.opened = monitor_opened,
	};
	int rc;

	*m = (struct monitor){ .ops = ops, .ctx = ctx };
	rc = chardev_init(&m->chr, CHARDEV_UNIX, path, MONITOR_LABEL, loop, NULL, e);
	m->open = true; /* chardev_fini() is wanted even after a failed init */
	if (rc < 0) {
		monitor_fini(m);
		return rc;
	}
	chardev_attach(&m->chr, &user);
	return 0;
}

void monitor_fini(struct monitor *m)
{
	if (m->open)
		chardev_fini(&m->chr);
	buf_fini(&m->answer);
	*m = (struct monitor){ 0 };
}
