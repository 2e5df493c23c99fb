/*
 * A small pull parser for XML. It works inside the caller's text: values are decoded where they stand, since
 * decoding only makes them shorter, and names end with a NUL that is written over what followed.
 */
#include "vmm/cpu/xml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

PRINTF(3, 4) static int refuse(const struct xml *x, struct err *e, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_usage(e, "%s:%u: %s", x->path, x->line, text);
}

void xml_init(struct xml *x, const char *path, char *text, size_t len)
{
	static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8 */

	*x = (struct xml){ .path = path, .next = text, .end = text + len, .line = 1 };
	if (len >= 3 && !memcmp(text, mark, 3))
		x->next += 3;
}

const char *xml_attr(const struct xml *x, const char *name)
{
	for (unsigned int i = 0; i < x->nr_attrs; i++)
		if (!strcmp(x->attr[i].name, name))
			return x->attr[i].value;
	return NULL;
}

/* ---- characters ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_name(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':')
		return true;
	return !first && ((c >= '0' && c <= '9') || c == '-' || c == '.');
}

/* A byte that no XML file may have (XML 1.0, 2.2). */
static bool is_control(char c)
{
	return (unsigned char)c < 0x20 && !is_space(c);
}

static void step(struct xml *x)
{
	x->line += *x->next == '\n';
	x->next++;
}

static bool skip_spaces(struct xml *x)
{
	const char *from = x->next;

	while (x->next < x->end && is_space(*x->next))
		step(x);
	return x->next != from;
}

static bool starts(const struct xml *x, const char *what)
{
	size_t len = strlen(what);

	return (size_t)(x->end - x->next) >= len && !memcmp(x->next, what, len);
}

/* ---- entities and values ---- */

/* A character's bytes in UTF-8; returns how many, 0 for what is no character (XML 1.0, 2.2). */
static unsigned int utf8_put(char *to, uint32_t c)
{
	if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c >= 0xd800 && c < 0xe000) || c == 0xfffe ||
	    c == 0xffff || c > 0x10ffff)
		return 0;
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* The number in "#65;" or "#x41;"; 0 if it is none. *at moves behind the semicolon. */
static uint32_t number_reference(const struct xml *x, char **at)
{
	char *p = *at + 1;
	unsigned int base = 10, digits = 0;
	uint32_t v = 0;

	if (p < x->end && *p == 'x') {
		base = 16;
		p++;
	}
	for (; p < x->end && v <= 0x10ffff; p++, digits++) {
		if (*p >= '0' && *p <= '9')
			v = v * base + (uint32_t)(*p - '0');
		else if (base == 16 && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f')
			v = v * base + (uint32_t)((*p | 0x20) - 'a') + 10;
		else
			break;
	}
	if (!digits || p >= x->end || *p != ';')
		return 0;
	*at = p + 1;
	return v;
}

/* Decode what begins with '&' at x->next, to *to; both move on. The shortest reference is as long as its result. */
static int entity(struct xml *x, char **to, struct err *e)
{
	static const struct {
		const char *text;
		char c;
	} known[] = {
		{ "&lt;", '<' }, { "&gt;", '>' }, { "&amp;", '&' }, { "&quot;", '"' }, { "&apos;", '\'' }
	};
	char *after = x->next + 1;
	unsigned int n;

	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
		if (starts(x, known[i].text)) {
			x->next += strlen(known[i].text);
			*(*to)++ = known[i].c;
			return 0;
		}
	if (after < x->end && *after == '#') {
		n = utf8_put(*to, number_reference(x, &after));
		if (n) {
			x->next = after;
			*to += n;
			return 0;
		}
	}
	return refuse(
		x, e,
		"'&' begins no entity that is known; known are &lt; &gt; &amp; &quot; &apos; &#N; &#xN;");
}

/*
 * Decode up to the character end (or, for text, to '<' or the end), where it stands. x->next is then at the end
 * character. what: for messages.
 */
static int decode(struct xml *x, char end, const char *what, const char **out, struct err *e)
{
	char *to = x->next;
	int rc;

	*out = to;
	while (x->next < x->end && *x->next != end) {
		if (is_control(*x->next))
			return refuse(x, e, "there is a byte 0x%02x in %s", (unsigned char)*x->next, what);
		if (*x->next == '<')
			return refuse(x, e, "there is a '<' in %s; expected &lt;", what);
		if (*x->next == '&') {
			if ((rc = entity(x, &to, e)) < 0)
				return rc;
			continue;
		}
		*to = *x->next;
		step(x);
		to++;
	}
	if (x->next == x->end && end != '<')
		return refuse(x, e, "the file ends in %s", what);
	if (to < x->next)
		*to = '\0';
	return 0;
}

/* ---- what is skipped ---- */

/* From here to behind the text that ends it. */
static int skip_to(struct xml *x, const char *end, const char *what, struct err *e)
{
	while (!starts(x, end)) {
		if (x->next == x->end)
			return refuse(x, e, "the file ends in %s", what);
		if (is_control(*x->next))
			return refuse(x, e, "there is a byte 0x%02x in %s", (unsigned char)*x->next, what);
		step(x);
	}
	x->next += strlen(end);
	return 0;
}

static int skip_doctype(struct xml *x, struct err *e)
{
	char quote = 0;

	if (x->had_root)
		return refuse(x, e, "there is a DOCTYPE behind the first element");
	for (; x->next < x->end; step(x)) {
		if (is_control(*x->next))
			break;
		if (quote)
			quote = *x->next == quote ? 0 : quote;
		else if (*x->next == '"' || *x->next == '\'')
			quote = *x->next;
		else if (*x->next == '[' || *x->next == '<')
			return refuse(x, e,
				      "the DOCTYPE has declarations of its own, which are not accepted");
		else if (*x->next == '>') {
			x->next++;
			return 0;
		}
	}
	return refuse(x, e, "the DOCTYPE has no end");
}

/* What begins with "<!" or "<?", the '<' being behind us. */
static int skip_other(struct xml *x, struct err *e)
{
	int rc;

	if (starts(x, "?")) {
		x->next++;
		return skip_to(x, "?>", "a processing instruction", e);
	}
	if (starts(x, "!--")) {
		x->next += 3;
		if ((rc = skip_to(x, "--", "a comment", e)) < 0)
			return rc;
		if (!starts(x, ">"))
			return refuse(x, e, "there is a '--' in a comment");
		x->next++;
		return 0;
	}
	if (starts(x, "!DOCTYPE")) {
		x->next += 8;
		return skip_doctype(x, e);
	}
	return refuse(x, e,
		      "'<!' begins neither a comment nor a DOCTYPE; CDATA and declarations are not accepted");
}

/* ---- tags ---- */

/* A name from here on; *end receives where it ends, for a NUL once what follows has been seen. */
static int name_read(struct xml *x, const char **name, char **end, struct err *e)
{
	*name = x->next;
	if (x->next == x->end || !is_name(*x->next, true))
		return refuse(x, e, "expected the name of an element or an attribute");
	while (x->next < x->end && is_name(*x->next, false))
		x->next++;
	*end = x->next;
	return 0;
}

static int attr_read(struct xml *x, struct err *e)
{
	struct xml_attr *a = &x->attr[x->nr_attrs];
	char *end, quote;
	int rc;

	if (x->nr_attrs == XML_MAX_ATTRS)
		return refuse(x, e, "an element has more than %d attributes", XML_MAX_ATTRS);
	if ((rc = name_read(x, &a->name, &end, e)) < 0)
		return rc;
	skip_spaces(x);
	if (!starts(x, "="))
		return refuse(x, e, "attribute %.*s has no value", (int)MIN(end - a->name, 40), a->name);
	x->next++;
	*end = '\0';
	skip_spaces(x);
	if (!starts(x, "\"") && !starts(x, "'"))
		return refuse(x, e, "the value of attribute %.40s is not in quotes", a->name);
	if (xml_attr(x, a->name))
		return refuse(x, e, "attribute %.40s is there twice", a->name);
	quote = *x->next++;
	if ((rc = decode(x, quote, "the value of an attribute", &a->value, e)) < 0)
		return rc;
	*x->next++ = '\0';
	x->nr_attrs++;
	return 0;
}

static int start_tag(struct xml *x, struct err *e)
{
	char *end;
	int rc;

	x->nr_attrs = 0;
	if (x->depth == 0 && x->had_root)
		return refuse(x, e, "there is a second element beside the first one");
	if (x->depth == XML_MAX_DEPTH)
		return refuse(x, e, "elements are nested more than %d deep", XML_MAX_DEPTH);
	if ((rc = name_read(x, &x->name, &end, e)) < 0)
		return rc;
	for (;;) {
		bool spaced = skip_spaces(x);

		x->empty = starts(x, "/>");
		if (x->empty || starts(x, ">"))
			break;
		if (x->next == x->end || !spaced)
			return refuse(x, e, "the tag of element %.*s has no end", (int)MIN(end - x->name, 40),
				      x->name);
		if ((rc = attr_read(x, e)) < 0)
			return rc;
	}
	x->next += x->empty ? 2 : 1;
	*end = '\0';
	x->open[x->depth++] = x->name;
	x->had_root = true;
	return XML_START;
}

static int end_tag(struct xml *x, struct err *e)
{
	const char *name;
	char *end;
	int rc;

	if ((rc = name_read(x, &name, &end, e)) < 0)
		return rc;
	skip_spaces(x);
	if (!starts(x, ">"))
		return refuse(x, e, "expected a '>' behind </%.*s", (int)MIN(end - name, 40), name);
	x->next++;
	*end = '\0';
	if (!x->depth || strcmp(name, x->open[x->depth - 1]) != 0)
		return refuse(x, e, "</%.40s> ends nothing; expected </%.40s>", name,
			      x->depth ? x->open[x->depth - 1] : "nothing");
	x->name = name;
	x->depth--;
	return XML_END;
}

static int text_read(struct xml *x, struct err *e)
{
	int rc = decode(x, '<', "text", &x->text, e);

	if (rc < 0)
		return rc;
	if (x->next < x->end) {
		*x->next++ = '\0';
		x->in_tag = true;
	}
	if (x->depth)
		return XML_TEXT;
	return x->text[strspn(x->text, " \t\r\n")]
		       ? refuse(x, e, "there is text outside of the first element")
		       : XML_TEXT;
}

int xml_next(struct xml *x, struct err *e)
{
	int rc;

	if (x->empty) {
		x->empty = false;
		x->name = x->open[--x->depth];
		return XML_END;
	}
	for (;;) {
		if (!x->in_tag && x->next < x->end && *x->next != '<') {
			rc = text_read(x, e);
			if (rc != XML_TEXT || x->depth)
				return rc;
			continue; /* blanks around the first element */
		}
		if (!x->in_tag && x->next == x->end) {
			if (x->depth)
				return refuse(x, e, "the file ends inside of element %.40s",
					      x->open[x->depth - 1]);
			return x->had_root ? XML_END_OF_FILE
					   : refuse(x, e, "there is no element; expected XML");
		}
		x->next += !x->in_tag;
		x->in_tag = false;
		if (starts(x, "/")) {
			x->next++;
			return end_tag(x, e);
		}
		if (!starts(x, "!") && !starts(x, "?"))
			return start_tag(x, e);
		if ((rc = skip_other(x, e)) < 0)
			return rc;
	}
}
