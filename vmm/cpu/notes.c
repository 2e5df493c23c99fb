/*
 * What is to be said about the outcome of a long calculation: sentences, in order.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/model.h"

void notes_add(struct notes *n, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int len;

	if (n->nr == MODEL_MAX_NOTES)
		return;
	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len >= 0) /* without memory a remark is what can be spared */
		n->text[n->nr++] = text;
}

void notes_fini(struct notes *n)
{
	for (unsigned int i = 0; i < n->nr; i++)
		free(n->text[i]);
	*n = (struct notes){ .nr = 0 };
}
