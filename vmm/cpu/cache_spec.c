/* The --cache option. What becomes of it is caches.c's business. */
#include <errno.h>

#include "vmm/base/opt.h"
#include "vmm/cpu/caches.h"
#include "vmm/cpu/topology.h"

const struct cache_slot cache_slots[CACHE_SLOTS] = {
	{ "l1d", 1, CACHE_DATA }, { "l1i", 1, CACHE_INSTRUCTION }, { "l1", 1, CACHE_UNIFIED },
	{ "l2", 2, CACHE_UNIFIED }, { "l3", 3, CACHE_UNIFIED }, { "l4", 4, CACHE_UNIFIED },
};

static int level_parse(const char *text)
{
	for (int level = TOPO_THREAD; level < NR_TOPO_LEVELS; level++)
		if (!strcmp(text, topology_level_name((enum topo_level)level)))
			return level;
	return strcmp(text, "package") ? -1 : TOPO_PACKAGE;
}

/* Cut text at the last separator; returns what follows it, or NULL. */
static char *cut(char *text, char separator)
{
	char *at = strchr(text, separator);

	if (at)
		*at++ = '\0';
	return at;
}

/* One value: SIZE[:WAYS[:LINE]][/LEVEL], or off. Writes into text. */
static int wish_parse(struct cache_wish *w, const char *name, char *text, struct err *e)
{
	char *level = cut(text, '/'), *ways = cut(text, ':'), *line = ways ? cut(ways, ':') : NULL;
	uint64_t v;

	*w = (struct cache_wish){ .said = true, .shared = -1 };
	if (level && (w->shared = level_parse(level)) < 0)
		return err_usage(e, "--cache %s: '%s' is no level; expected thread, core, module, die or socket after the '/'",
				 name, level);
	if (!strcmp(text, "off") && !ways && !level) {
		w->off = true;
		return 0;
	}
	if (opt_parse_size(text, 1 * KIB, CACHE_MAX_BYTES, &w->bytes) < 0)
		return err_usage(e, "--cache %s=%s: expected SIZE[:WAYS[:LINE]][/LEVEL], SIZE from 1K to 2G, or off", name, text);
	if (ways && opt_parse_uint(ways, 1, CACHE_MAX_WAYS, &v) < 0)
		return err_usage(e, "--cache %s: '%s' is no number of ways; expected 1 to %d", name, ways, CACHE_MAX_WAYS);
	w->ways = ways ? (unsigned int)v : 0;
	if (line && (opt_parse_uint(line, 16, 4096, &v) < 0 || (v & (v - 1))))
		return err_usage(e, "--cache %s: '%s' is no line size; expected a power of two from 16 to 4096 bytes", name, line);
	w->line = line ? (unsigned int)v : 0;
	return 0;
}

int cache_spec_parse(struct cache_spec *spec, const char *arg, struct err *e)
{
	struct texts {
		char *text[CACHE_SLOTS];
	} given = { { NULL } };
#define SLOT(i, word) { .name = word, .value = "SIZE[:WAYS[:LINE]][/LEVEL]", .kind = OPT_STRING, \
			.offset = offsetof(struct texts, text) + (i) * sizeof(char *) }
	static const struct opt_key keys[] = {
		SLOT(0, "l1d"), SLOT(1, "l1i"), SLOT(2, "l1"), SLOT(3, "l2"), SLOT(4, "l3"), SLOT(5, "l4"), { 0 },
	};
#undef SLOT
	int rc = opt_parse_list("--cache", arg, keys, &given, e);

	for (unsigned int i = 0; rc == 0 && i < CACHE_SLOTS; i++)
		if (given.text[i])
			rc = wish_parse(&spec->slot[i], cache_slots[i].name, given.text[i], e);
	opt_free(keys, &given);
	if (rc == 0 && spec->slot[2].said && !spec->slot[2].off && (spec->slot[0].said || spec->slot[1].said))
		return err_usage(e, "--cache: l1 is one cache for data and code; give either it or l1d and l1i");
	return rc;
}
