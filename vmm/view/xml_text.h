/* Text inside XML: SVG's, and Graphviz's HTML-like labels. */
#ifndef TRELLIS_VIEW_XML_TEXT_H
#define TRELLIS_VIEW_XML_TEXT_H

#include <stdio.h>

/*
 * Write text as character data that is safe in attributes too. Only ASCII goes through, anything else becomes '?':
 * control characters may not be in XML at all (XML 1.0, fifth edition, 2.2), and a brand string may hold any byte.
 */
static inline void xml_put(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '&')
			fputs("&amp;", out);
		else if (c == '<')
			fputs("&lt;", out);
		else if (c == '>')
			fputs("&gt;", out);
		else if (c == '"')
			fputs("&quot;", out);
		else
			fputc(c < 0x20 || c > 0x7e ? '?' : c, out);
	}
}

#endif
