/* Sentences, in order. */
#include "vmm/base/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/log.h"

void notes_add(struct notes *n, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int len;

	if (n->nr == MAX_NOTES)
		return;
	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len >= 0) /* without memory a remark is what can be spared */
		n->text[n->nr++] = text;
}

void notes_add_err(struct notes *n, const struct err *e)
{
	n->usage |= e->usage;
	for (unsigned int i = 0; i < n->nr; i++)
		if (!strcmp(n->text[i], e->text))
			return;
	notes_add(n, "%s", e->text);
}

void notes_to_err(const struct notes *n, struct err *e)
{
	for (unsigned int i = 0; i + 1 < n->nr; i++)
		log_error("%s", n->text[i]);
	err_set(e, 0, "%s", n->text[n->nr - 1]);
	e->usage = n->usage;
}

void notes_fini(struct notes *n)
{
	for (unsigned int i = 0; i < n->nr; i++)
		free(n->text[i]);
	*n = (struct notes){ .nr = 0 };
}
