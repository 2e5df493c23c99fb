/*
 * A small pull parser for XML: elements, attributes, text, the five entities and numeric ones, comments,
 * processing instructions and a DOCTYPE without an internal subset (all but the first three are skipped). No
 * CDATA, no namespaces, no validation. It does not know what the elements mean.
 *
 * What it accepts is well formed (XML 1.0, fifth edition) but for the names' alphabet, which is ASCII here.
 */
#ifndef TRELLIS_CPU_XML_H
#define TRELLIS_CPU_XML_H

#include "vmm/base/err.h"

enum { XML_MAX_DEPTH = 128, XML_MAX_ATTRS = 48 };

enum xml_event { XML_END_OF_FILE, XML_START, XML_END, XML_TEXT };

struct xml_attr {
	const char *name, *value;
};

struct xml {
	const char *path; /* borrowed; for messages */
	char *next, *end; /* in the text */
	unsigned int line;
	unsigned int depth;              /* of open elements */
	const char *open[XML_MAX_DEPTH]; /* their names */
	bool in_tag;                     /* next is behind a '<' that is gone */
	bool empty;                      /* the element that has just begun ends here: <a/> */
	bool had_root;

	const char *name;      /* of XML_START and XML_END */
	unsigned int nr_attrs; /* of XML_START */
	struct xml_attr attr[XML_MAX_ATTRS];
	const char *text; /* of XML_TEXT: entities are resolved; text may come in several pieces */
};

/* Begin. text: len bytes and a NUL; borrowed, and written to. path: for messages; borrowed. */
void xml_init(struct xml *x, const char *path, char *text, size_t len);

/*
 * Go on to the next event. Its strings are valid as long as the text is.
 * Returns enum xml_event, or -EINVAL with a sentence that begins "FILE:LINE: ". After an error, do not go on.
 */
MUST_CHECK int xml_next(struct xml *x, struct err *e);

/* The value of an attribute of the element that has just begun, or NULL. */
const char *xml_attr(const struct xml *x, const char *name);

#endif
