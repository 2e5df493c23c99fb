/* Lists of small numbers: the parser for sysfs and for users, and the printer. */
#include "vmm/base/cpulist.h"

#include <errno.h>

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* The value of one digit, or base when it is none. */
static unsigned int digit(char c, unsigned int base)
{
	unsigned int v = base;

	if (c >= '0' && c <= '9')
		v = (unsigned int)(c - '0');
	else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		v = (unsigned int)((c | 0x20) - 'a') + 10;
	return MIN(v, base);
}

/* One number at *at, which moves behind it. "010" is ten: there are no octal numbers in such lists. */
static int number(const char **at, unsigned int max, unsigned int *out)
{
	const char *p = *at, *start;
	unsigned int base = 10;
	uint64_t v = 0;

	if (p[0] == '0' && (p[1] | 0x20) == 'x') {
		base = 16;
		p += 2;
	}
	for (start = p; digit(*p, base) < base; p++) {
		v = v * base + digit(*p, base);
		if (v > max)
			return -EINVAL;
	}
	if (p == start)
		return -EINVAL;
	*at = p;
	*out = (unsigned int)v;
	return 0;
}

int cpulist_each(const char *text, unsigned int max, int (*add)(void *ctx, unsigned int n), void *ctx)
{
	const char *p = skip_blanks(text);
	unsigned int from, to;
	int rc;

	while (*p) {
		if (number(&p, max, &from) < 0)
			return -EINVAL;
		to = from;
		if (*p == '-') {
			p++;
			if (number(&p, max, &to) < 0 || to < from)
				return -EINVAL;
		}
		for (unsigned int n = from;; n++) {
			if ((rc = add(ctx, n)) != 0)
				return rc;
			if (n == to) /* not in the loop's condition: to may be UINT_MAX */
				break;
		}
		if (*p == ',' && p[1]) /* a comma wants a number after it */
			p++;
		else if (*(p = skip_blanks(p)))
			return -EINVAL;
	}
	return 0;
}

void cpulist_print(FILE *out, unsigned int nr, bool (*in)(const void *ctx, unsigned int i), const void *ctx)
{
	const char *comma = "";

	for (unsigned int i = 0; i < nr; i++) {
		unsigned int first = i;

		if (!in(ctx, i))
			continue;
		while (i + 1 < nr && in(ctx, i + 1))
			i++;
		if (first == i)
			fprintf(out, "%s%u", comma, i);
		else
			fprintf(out, "%s%u-%u", comma, first, i);
		comma = ",";
	}
}

const char *cpulist_text(char *buf, size_t len, unsigned int nr, bool (*in)(const void *ctx, unsigned int i),
			 const void *ctx)
{
	FILE *out = fmemopen(buf, len, "w");

	buf[0] = '\0';
	if (out) {
		setvbuf(out, NULL, _IONBF, 0); /* so that what does not fit is cut off, not lost */
		cpulist_print(out, nr, in, ctx);
		fclose(out);
	}
	buf[len - 1] = '\0';
	return buf;
}
