/* Parsing of options. Printing them is opt_help.c's business; what they mean is the caller's. */
#include "vmm/base/opt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int parse_number(const char *text, const char **end, uint64_t *out)
{
	char *stop;
	unsigned long long v;

	if (text[0] < '0' || text[0] > '9') /* strtoull() would take blanks and signs */
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &stop, 0);
	if (errno)
		return -ERANGE;
	*end = stop;
	*out = v;
	return 0;
}

int opt_parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *end;
	uint64_t v;

	if (parse_number(text, &end, &v) < 0 || *end)
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

/* shift: what a number without a suffix counts, as a power of two. */
static int parse_scaled(const char *text, unsigned int shift, uint64_t min, uint64_t max, uint64_t *out)
{
	static const char suffixes[] = "KMGT";
	const char *end, *suffix;
	uint64_t v;

	if (parse_number(text, &end, &v) < 0)
		return -EINVAL;
	if (*end) {
		suffix = strchr(suffixes, *end & ~0x20); /* either case */
		if (!suffix || !*suffix)
			return -EINVAL;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
		end++;
		if (end[0] == 'i' && end[1] == 'B')
			end += 2;
		else if (end[0] == 'B')
			end++;
		if (*end)
			return -EINVAL;
	}
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	v <<= shift;
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int opt_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	return parse_scaled(text, 20, min, max, out);
}

int opt_parse_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	return parse_scaled(text, 0, min, max, out);
}

const char *opt_size_text(uint64_t bytes, char *buf, size_t len)
{
	static const char suffixes[] = "KMGT";
	unsigned int i = 0;

	if (!bytes || bytes % KIB) {
		snprintf(buf, len, "%llu bytes", (unsigned long long)bytes);
		return buf;
	}
	for (bytes >>= 10; i < 3 && bytes % 1024 == 0; i++)
		bytes >>= 10;
	snprintf(buf, len, "%llu%c", (unsigned long long)bytes, suffixes[i]);
	return buf;
}

/* What a key accepts, in words, for error messages. */
static void key_accepts(const struct opt_key *k, char *buf, size_t len)
{
	char lo[24], hi[24];
	size_t at = 0;

	switch (k->kind) {
	case OPT_UINT:
		snprintf(buf, len, "a number from %llu to %llu", (unsigned long long)k->min, (unsigned long long)k->max);
		break;
	case OPT_SIZE:
		snprintf(buf, len, "a size from %s to %s, e.g. 512M or 2G", opt_size_text(k->min, lo, sizeof(lo)),
			 opt_size_text(k->max, hi, sizeof(hi)));
		break;
	case OPT_BYTES:
		snprintf(buf, len, "a number of bytes from %llu to %s, e.g. 10M", (unsigned long long)k->min,
			 opt_size_text(k->max, hi, sizeof(hi)));
		break;
	case OPT_BOOL:
		snprintf(buf, len, "on or off");
		break;
	case OPT_CHOICE:
		snprintf(buf, len, "one of");
		at = strlen(buf);
		for (unsigned int i = 0; k->choices[i] && at < len; i++)
			at += (size_t)snprintf(buf + at, len - at, "%s %s", i ? "," : "", k->choices[i]);
		break;
	case OPT_STRING:
	case OPT_STRINGS:
		snprintf(buf, len, "%s", k->value);
		break;
	}
}

static int refuse_value(const char *option, const struct opt_key *k, const char *text, struct err *e)
{
	char accepts[256];

	key_accepts(k, accepts, sizeof(accepts));
	if (k->positional)
		return err_usage(e, *text ? "%s %s: expected %s" : "%s '%s': expected %s", option, text, accepts);
	return err_usage(e, "%s: %s=%s: expected %s", option, k->name, text, accepts);
}

static int store_one_more(const char *option, const struct opt_key *k, const char *text, struct opt_strings *s,
			  struct err *e)
{
	if (s->nr == OPT_MAX_STRINGS)
		return err_usage(e, "%s: %s can be given %d times at most", option, k->name, OPT_MAX_STRINGS);
	s->text[s->nr] = strdup(text);
	if (!s->text[s->nr])
		return err_set(e, -ENOMEM, "out of memory");
	s->nr++;
	return 0;
}

/* Store one value; text is NULL when only the key was written. */
static int store(const char *option, const struct opt_key *k, const char *text, void *base, struct err *e)
{
	void *target = (char *)base + k->offset;
	uint64_t v = 0;

	if (!text && k->kind != OPT_BOOL)
		return err_usage(e, "%s: %s needs a value: %s=%s", option, k->name, k->name, k->value);
	switch (k->kind) {
	case OPT_UINT:
		if (opt_parse_uint(text, k->min, k->max, &v) < 0)
			return refuse_value(option, k, text, e);
		*(unsigned int *)target = (unsigned int)v;
		return 0;
	case OPT_SIZE:
		if (opt_parse_size(text, k->min, k->max, &v) < 0)
			return refuse_value(option, k, text, e);
		*(uint64_t *)target = v;
		return 0;
	case OPT_BYTES:
		if (opt_parse_bytes(text, k->min, k->max, &v) < 0)
			return refuse_value(option, k, text, e);
		*(uint64_t *)target = v;
		return 0;
	case OPT_BOOL:
		if (text && strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
			return refuse_value(option, k, text, e);
		*(bool *)target = !text || !strcmp(text, "on");
		return 0;
	case OPT_CHOICE:
		for (int i = 0; k->choices[i]; i++)
			if (!strcmp(text, k->choices[i])) {
				*(int *)target = i;
				return 0;
			}
		return refuse_value(option, k, text, e);
	case OPT_STRING:
		if (!*text)
			return refuse_value(option, k, text, e);
		free(*(char **)target);
		*(char **)target = strdup(text);
		return *(char **)target ? 0 : err_set(e, -ENOMEM, "out of memory");
	case OPT_STRINGS:
		if (!*text)
			return refuse_value(option, k, text, e);
		return store_one_more(option, k, text, target, e);
	}
	return -EINVAL;
}

/* The keys that have names: "ro=, size="; buf is empty when there are none. */
static void known_keys(const struct opt_key *keys, char *buf, size_t len)
{
	size_t at = 0;

	*buf = 0;
	for (const struct opt_key *k = keys; k->name && at < len; k++)
		if (!k->positional)
			at += (size_t)snprintf(buf + at, len - at, "%s%s=", at ? ", " : "", k->name);
}

/* An empty argument. */
static int refuse_nothing(const char *option, const struct opt_key *keys, struct err *e)
{
	char known[512];

	if (keys->positional)
		return refuse_value(option, keys, "", e);
	known_keys(keys, known, sizeof(known));
	return err_usage(e, "%s '': expected one or more of %s", option, known);
}

static int refuse_key(const char *option, const struct opt_key *keys, const char *key, struct err *e)
{
	char known[512];

	known_keys(keys, known, sizeof(known));
	if (!*known)
		return err_usage(e, "%s: unexpected '%s'", option, key);
	return err_usage(e, "%s: unknown key '%s'; known are %s", option, key, known);
}

/*
 * Take the text up to the next single comma into item; doubled commas become one. more: such a comma was
 * there, so another item must follow.
 */
static const char *next_item(const char *at, char *item, bool *more)
{
	*more = false;
	while (*at && !*more) {
		if (*at == ',' && *++at != ',')
			*more = true;
		else
			*item++ = *at++;
	}
	*item = 0;
	return at;
}

/* Is the text before '=' in item the name or alias of k? */
static bool key_named(const struct opt_key *k, const char *item)
{
	size_t len = strcspn(item, "=");

	return item[len] && ((strlen(k->name) == len && !strncmp(item, k->name, len)) ||
			     (k->alias && strlen(k->alias) == len && !strncmp(item, k->alias, len)));
}

/* Does item begin with a key other than the positional one? */
static bool begins_with_key(const char *item, const struct opt_key *keys)
{
	for (const struct opt_key *k = keys + 1; k->name; k++)
		if (key_named(k, item))
			return true;
	return false;
}

static int parse_item(const char *option, char *item, bool first, const struct opt_key *keys, uint64_t *seen,
		      void *base, struct err *e)
{
	const struct opt_key *k;
	char *value;

	/* `--cpus sockets=2`: the positional value may be left out when a known key begins the list. */
	if (first && keys->positional && !begins_with_key(item, keys)) {
		if (key_named(keys, item)) /* the key may be written out, too: cpus=4 */
			item = strchr(item, '=') + 1;
		k = keys;
		value = item;
		if (store(option, k, value, base, e) == 0) {
			*seen |= 1;
			return 0;
		}
		if (!strchr(item, '=')) /* otherwise it is a key that nobody knows */
			return -EINVAL;
	}
	value = strchr(item, '=');
	if (value)
		*value++ = 0;
	for (k = keys; k->name && strcmp(k->name, item) != 0 && (!k->alias || strcmp(k->alias, item) != 0); k++)
		;
	if (!k->name)
		return refuse_key(option, keys, item, e);
	if (*seen & 1ull << (k - keys) && k->kind != OPT_STRINGS)
		return err_usage(e, "%s: %s is there twice", option, k->name);
	*seen |= 1ull << (k - keys);
	return store(option, k, value, base, e);
}

int opt_parse_list(const char *option, const char *arg, const struct opt_key *keys, void *base, struct err *e)
{
	char *item = malloc(strlen(arg) + 1);
	uint64_t seen = 0;
	const char *at = arg;
	bool first = true, more = true;
	int rc = 0;

	if (!item)
		return err_set(e, -ENOMEM, "out of memory");
	if (!*arg)
		rc = refuse_nothing(option, keys, e);
	while (rc == 0 && more) {
		at = next_item(at, item, &more);
		if (!*item)
			rc = err_usage(e, "%s %s: there is nothing %s", option, arg,
				       first ? "before the comma" : "after a comma");
		else
			rc = parse_item(option, item, first, keys, &seen, base, e);
		first = false;
	}
	free(item);
	return rc;
}

void opt_free(const struct opt_key *keys, void *base)
{
	for (const struct opt_key *k = keys; k->name; k++)
		if (k->kind == OPT_STRING) {
			char **target = (char **)((char *)base + k->offset);

			free(*target);
			*target = NULL;
		} else if (k->kind == OPT_STRINGS) {
			struct opt_strings *s = (struct opt_strings *)((char *)base + k->offset);

			while (s->nr)
				free(s->text[--s->nr]);
		}
}

/* Does arg name o? value receives the text behind '=', or NULL. */
static bool names(const struct opt *o, const char *arg, const char **value)
{
	bool two = arg[0] == '-' && arg[1] == '-';
	const char *name = two ? arg + 2 : arg + 1;
	size_t len = strcspn(name, "=");

	*value = name[len] ? name + len + 1 : NULL;
	if (strlen(o->name) == len && !strncmp(o->name, name, len))
		return true; /* one dash will do, as for QEMU */
	return o->alias && !two && strlen(o->alias) == len && !strncmp(o->alias, name, len);
}

/* The option that arg names, here or in a group; config moves along to the one it belongs to. */
static const struct opt *find(const struct opt *opts, const char *arg, const char **value, void **config)
{
	for (const struct opt *o = opts; o->name; o++) {
		void *inner = (char *)*config + o->flag;
		const struct opt *found = o->group ? find(o->group, arg, value, &inner) : NULL;

		if (found) {
			*config = inner;
			return found;
		}
		if (!o->group && names(o, arg, value))
			return o;
	}
	return NULL;
}

int opt_parse_args(const struct opt *opts, int argc, char *const *argv, void *config, struct err *e)
{
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *value = NULL;
		void *target = config;
		const struct opt *o;
		int rc;

		if (arg[0] != '-' || !arg[1])
			return err_usage(e, "'%s' is no option; see trellis %s --help", arg, argv[0]);
		if (!strcmp(arg, "--")) {
			if (i + 1 == argc)
				return 0;
			return err_usage(e, "'%s' is no option; see trellis %s --help", argv[i + 1], argv[0]);
		}
		o = find(opts, arg, &value, &target);
		if (!o)
			return err_usage(e, "unknown option %s; see trellis %s --help", arg, argv[0]);
		if (!o->arg && value)
			return err_usage(e, "--%s takes no value", o->name);
		if (!o->parse) {
			*(bool *)((char *)target + o->flag) = true;
			continue;
		}
		/* There are no operands, so a word without a dash can only be the argument of the option before it. */
		if (!value && o->optional && i + 1 < argc && argv[i + 1][0] != '-') {
			value = argv[++i];
		} else if (!value && !o->optional) {
			if (i + 1 == argc)
				return err_usage(e, "--%s needs a value: --%s %s", o->name, o->name, o->arg);
			value = argv[++i];
		}
		rc = o->parse(target, value, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}
