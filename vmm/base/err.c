/* The text of an error. It does not print: main() does. */
#include "vmm/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

PRINTF(3, 0) static void err_vset(struct err *e, bool usage, const char *fmt, va_list ap)
{
	if (!e)
		return;
	e->usage = usage;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
}

int err_set(struct err *e, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(e, false, fmt, ap);
	va_end(ap);
	return rc;
}

int err_sys(struct err *e, int rc, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	err_vset(e, false, fmt, ap);
	va_end(ap);
	if (e) {
		len = strlen(e->text);
		snprintf(e->text + len, sizeof(e->text) - len, ": %s", strerror(-rc));
	}
	return rc;
}

int err_usage(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(e, true, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void err_prefix(struct err *e, const char *fmt, ...)
{
	char was[sizeof(e->text)];
	size_t len;
	va_list ap;

	if (!e)
		return;
	memcpy(was, e->text, sizeof(was));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	snprintf(e->text + len, sizeof(e->text) - len, ": %s", was);
}
