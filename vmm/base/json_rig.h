/*
 * For tests: a checker of JSON's grammar (RFC 8259) that knows nothing of those who write it. Of numbers it takes
 * unsigned ones without fraction, which is all that trellis prints.
 */
#ifndef TRELLIS_BASE_JSON_RIG_H
#define TRELLIS_BASE_JSON_RIG_H

#include "vmm/base/base.h"

/* Each takes what it understands and returns what is behind it, or NULL. */

static inline const char *json_blanks(const char *s)
{
	return s + strspn(s, " \t\n\r");
}

static inline const char *json_string(const char *s)
{
	if (*s++ != '"')
		return NULL;
	while (*s != '"') {
		if ((unsigned char)*s < 0x20)
			return NULL;
		if (*s != '\\') {
			s++;
			continue;
		}
		if (s[1] == 'u' && strspn(s + 2, "0123456789abcdefABCDEF") >= 4)
			s += 6;
		else if (s[1] && strchr("\"\\/bfnrt", s[1]))
			s += 2;
		else
			return NULL;
	}
	return s + 1;
}

static inline const char *json_value(const char *s, unsigned int depth);

/* Members between brackets; names: with a name and a colon before each. */
static inline const char *json_members(const char *s, char close, bool names, unsigned int depth)
{
	s = json_blanks(s);
	if (*s == close)
		return s + 1;
	for (;;) {
		if (names) {
			s = json_string(json_blanks(s));
			if (!s || *json_blanks(s) != ':')
				return NULL;
			s = json_blanks(s) + 1;
		}
		s = json_value(json_blanks(s), depth + 1);
		if (!s)
			return NULL;
		s = json_blanks(s);
		if (*s == close)
			return s + 1;
		if (*s++ != ',')
			return NULL;
	}
}

static inline const char *json_value(const char *s, unsigned int depth)
{
	static const char *const words[] = { "true", "false", "null" };

	if (depth > 16)
		return NULL;
	if (*s == '{')
		return json_members(s + 1, '}', true, depth);
	if (*s == '[')
		return json_members(s + 1, ']', false, depth);
	if (*s == '"')
		return json_string(s);
	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		if (!strncmp(s, words[i], strlen(words[i])))
			return s + strlen(words[i]);
	if (s[0] == '0' && s[1] >= '0' && s[1] <= '9')
		return NULL;
	return strspn(s, "0123456789") ? s + strspn(s, "0123456789") : NULL;
}

/* Is this text one value of JSON, and nothing else? */
static inline bool json_is_whole(const char *s)
{
	const char *end = json_value(json_blanks(s), 0);

	return end && !*json_blanks(end);
}

#endif
