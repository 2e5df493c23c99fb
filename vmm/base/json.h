/*
 * Strings of JSON (RFC 8259), for the commands that print for programs. Everything else of JSON is printed in place.
 */
#ifndef TRELLIS_BASE_JSON_H
#define TRELLIS_BASE_JSON_H

#include <stdio.h>

#include "vmm/base/base.h"

/*
 * Write text as a string, quotes included. Bytes that are no UTF-8 become the replacement character, since file names
 * may hold anything; NULL is written as null.
 */
void json_put_string(FILE *out, const char *text);

/* "true" or "false". */
static inline const char *json_bool(bool v)
{
	return v ? "true" : "false";
}

#endif
