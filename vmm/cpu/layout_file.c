/*
 * Topology files: lines of words that say each vCPU's place, caches and nodes. docs/topology.md is the manual.
 * Only the words are judged here; whether the places make a machine is for topology_from_layout() to say.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/cpulist.h"
#include "vmm/base/opt.h"
#include "vmm/cpu/layout_file.h"

enum { FILE_LIMIT = 4 * 1024 * 1024 };

#define MAX_NODE_BYTES (1ull << 50) /* as for --numa */

const struct layout_file_slot layout_file_slots[NR_SLOTS] = {
	{ "l1d", 1, CACHE_DATA },   { "l1i", 1, CACHE_INSTRUCTION }, { "l1", 1, CACHE_UNIFIED },
	{ "l2", 2, CACHE_UNIFIED }, { "l3", 3, CACHE_UNIFIED },      { "l4", 4, CACHE_UNIFIED },
};

static const char *const cpu_words[NR_WORDS + 1] = {
	"thread", "core", "module", "die", "package", "node", "apic",
	"l1d",    "l1i",  "l1",     "l2",  "l3",      "l4",   "type",
};

int layout_file_refuse(struct file_reader *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_usage(r->e, "%s:%u: %s", r->path, r->line, text);
}

/* ---- words ---- */

/* The next word of the line, or NULL. */
static char *next_word(struct file_reader *r)
{
	char *word = r->rest + strspn(r->rest, " \t\r"), *end = word + strcspn(word, " \t\r");

	r->rest = *end ? end + 1 : end;
	*end = '\0';
	return *word ? word : NULL;
}

/*
 * The next key=value word: its place in words, or -ENOENT at the end of the line, or -EINVAL with a sentence.
 * seen  a bit for each word that was there before; updated
 */
static int next_key(struct file_reader *r, const char *const *words, unsigned int *seen, char **value)
{
	char *word = next_word(r), *equals = word ? strchr(word, '=') : NULL;
	char accepted[160] = "";
	size_t at = 0;

	if (!word)
		return -ENOENT;
	if (equals)
		*equals = '\0';
	for (unsigned int i = 0; words[i]; i++) {
		at += (size_t)snprintf(accepted + at, sizeof(accepted) - at, "%s%s=", i ? ", " : "",
				       words[i]);
		if (strcmp(word, words[i]) != 0)
			continue;
		if (!equals || !equals[1])
			return layout_file_refuse(r, "%s needs a value: %s=VALUE", word, word);
		if (*seen & 1u << i)
			return layout_file_refuse(r, "%s= is there twice", word);
		*seen |= 1u << i;
		*value = equals + 1;
		return (int)i;
	}
	return layout_file_refuse(r, "unknown word '%.40s'; known are %s", word, accepted);
}

static int list_add(void *ctx, unsigned int n)
{
	struct list *list = ctx;

	if (list->nr == TOPO_MAX_CPUS)
		return -E2BIG;
	if (list->nr && n <= list->value[list->nr - 1])
		list->ascending = false;
	list->value[list->nr++] = (uint16_t)n;
	return 0;
}

/* Read a list; what: the word that it belongs to. */
static int list_read(struct file_reader *r, struct list *list, const char *what, const char *text,
		     unsigned int max)
{
	list->nr = 0;
	list->ascending = true;
	list->none = false;
	if (cpulist_each(text, max, list_add, list) < 0 || !list->nr)
		return layout_file_refuse(r, "%s: '%.40s' is no list of numbers from 0 to %u, as in 0-3,8",
					  what, text, max);
	return 0;
}

static int number_read(struct file_reader *r, const char *what, const char *text, unsigned int min,
		       unsigned int max, unsigned int *out)
{
	uint64_t v;

	if (!text || opt_parse_uint(text, min, max, &v) < 0)
		return layout_file_refuse(r, "%s: %s%.40s%s; expected a number from %u to %u", what,
					  text ? "'" : "", text ? text : "no number",
					  text ? "' is none, or out of range" : "", min, max);
	*out = (unsigned int)v;
	return 0;
}

/* One of some words; returns its place, or -EINVAL with a sentence. */
static int choice_read(struct file_reader *r, const char *what, const char *text, const char *const *choices)
{
	char accepted[160] = "";
	size_t at = 0;

	for (int i = 0; choices[i]; i++) {
		if (!strcmp(text, choices[i]))
			return i;
		at += (size_t)snprintf(accepted + at, sizeof(accepted) - at, "%s%s", i ? ", " : "",
				       choices[i]);
	}
	return layout_file_refuse(r, "%s=%.40s: expected one of %s", what, text, accepted);
}

static int type_read(struct file_reader *r, const char *text, uint8_t *type)
{
	static const char *const names[] = { "performance", "efficiency", "p", "e", NULL };
	int rc = choice_read(r, "type", text, names);

	if (rc < 0)
		return rc;
	*type = rc % 2 ? TOPO_EFFICIENCY : TOPO_PERFORMANCE;
	return 0;
}

/* ---- cpu LIST word=value ... ---- */

static int cpu_words_read(struct file_reader *r, uint8_t *type)
{
	unsigned int seen = 0;
	char *value;
	int rc, word;

	for (unsigned int i = 0; i < WORD_TYPE; i++)
		r->list[i].nr = 0;
	while ((word = next_key(r, cpu_words, &seen, &value)) >= 0) {
		struct list *list = &r->list[word % WORD_TYPE];

		if (word == WORD_TYPE) {
			rc = type_read(r, value, type);
		} else if (word >= WORD_CACHE && !strcmp(value, "none")) {
			list->nr = 1;
			list->none = true;
			rc = 0;
		} else {
			rc = list_read(r, list, cpu_words[word], value,
				       word == WORD_APIC   ? TOPO_MAX_APIC_ID
				       : word == WORD_NODE ? TOPO_MAX_NODES - 1
							   : TOPO_MAX_CPUS - 1);
		}
		if (rc < 0)
			return rc;
		if (word < NR_TOPO_LEVELS && !list->ascending)
			return layout_file_refuse(r, "%s=%.40s: expected rising numbers, as in 0-3,6",
						  cpu_words[word], value);
	}
	return word == -ENOENT ? 0 : word;
}

/* Do the lists fit the number of vCPUs? */
static int cpu_counts_check(struct file_reader *r)
{
	uint64_t places = 1;

	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
		places *= MAX(r->list[level].nr, 1u); /* at most 4096^5 */
	if (places != r->cpus.nr)
		return layout_file_refuse(
			r, "%u vCPUs, but package= x die= x module= x core= x thread= say %llu place%s",
			r->cpus.nr, (unsigned long long)places, places == 1 ? "" : "s");
	for (unsigned int i = WORD_NODE; i < WORD_TYPE; i++)
		if (r->list[i].nr > 1 && r->list[i].nr != r->cpus.nr)
			return layout_file_refuse(
				r, "%s= has %u numbers for %u vCPUs; expected one for all, or one for each",
				cpu_words[i], r->list[i].nr, r->cpus.nr);
	if (r->list[WORD_APIC].nr && r->list[WORD_APIC].nr != r->cpus.nr)
		return layout_file_refuse(r, "apic= has %u number for %u vCPUs; expected one for each",
					  r->list[WORD_APIC].nr, r->cpus.nr);
	return 0;
}

static unsigned int list_at(const struct list *list, unsigned int i)
{
	return list->nr ? list->value[list->nr == 1 ? 0 : i] : 0;
}

/* The vCPU at position i of the line. */
static int cpu_fill(struct file_reader *r, unsigned int i, uint8_t type)
{
	unsigned int number = r->cpus.value[i], digits = i;
	struct layout_cpu *c = &r->l->cpu[number];

	if (r->cpu_line[number])
		return layout_file_refuse(r, "vCPU %u is on line %u already", number, r->cpu_line[number]);
	r->cpu_line[number] = r->line;
	r->nr_described++;
	*c = layout_cpu_default();
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
		const struct list *list = &r->list[level];

		c->id[level] = list->nr ? list->value[digits % list->nr] : 0;
		digits /= MAX(list->nr, 1u);
	}
	c->core_type = type;
	c->node = (uint16_t)list_at(&r->list[WORD_NODE], i);
	r->any_nodes |= r->list[WORD_NODE].nr > 0;
	if (r->list[WORD_APIC].nr)
		c->apic_id = list_at(&r->list[WORD_APIC], i);
	for (unsigned int slot = 0; slot < NR_SLOTS; slot++) {
		const struct list *list = &r->list[WORD_CACHE + slot];

		r->said[number][slot] = !list->nr    ? LAYOUT_BY_LEVEL
					: list->none ? LAYOUT_NONE
						     : (int32_t)list_at(list, i);
	}
	return 0;
}

static int cpu_read(struct file_reader *r)
{
	char *numbers = next_word(r);
	uint8_t type = TOPO_ALIKE;
	int rc;

	if (!numbers)
		return layout_file_refuse(r, "cpu needs numbers, as in cpu 0-3 core=0-3");
	if ((rc = list_read(r, &r->cpus, "cpu", numbers, TOPO_MAX_CPUS - 1)) < 0 ||
	    (rc = cpu_words_read(r, &type)) < 0 || (rc = cpu_counts_check(r)) < 0)
		return rc;
	for (unsigned int i = 0; rc == 0 && i < r->cpus.nr; i++)
		rc = cpu_fill(r, i, type);
	return rc;
}

/* ---- cache NAME word=value ... ---- */

/* Fill in what follows from size, ways and line; whatever is not said is left to caches_place(). */
static int cache_geometry(struct file_reader *r, struct topo_cache *c)
{
	uint64_t set = (uint64_t)c->ways * c->line;

	if (!c->bytes && (c->ways || c->line))
		return layout_file_refuse(r, "ways= and line= want a size= too");
	if (!c->bytes || !set)
		return 0;
	if (c->bytes % set)
		return layout_file_refuse(r, "size=%uK is no multiple of %u ways times lines of %u bytes",
					  c->bytes >> 10, c->ways, c->line);
	c->sets = (uint32_t)(c->bytes / set);
	return 0;
}

/* The values of one cache line. */
static int cache_words_read(struct file_reader *r, struct topo_cache *c)
{
	static const char *const words[] = { "size", "ways", "line", "shared", "type", NULL };
	static const char *const levels[] = { "thread", "core", "module", "die", "package", "socket", NULL };
	unsigned int seen = 0, v = 0;
	uint64_t bytes;
	char *value;
	int rc, word;

	while ((word = next_key(r, words, &seen, &value)) >= 0) {
		rc = 0;
		switch (word) {
		case 0: /* a bare number would be MiB, as for memory; too odd for a cache */
			if (value[strlen(value) - 1] <= '9' ||
			    opt_parse_size(value, KIB, 2 * GIB, &bytes) < 0)
				return layout_file_refuse(
					r, "size=%.40s: expected a size from 1K to 2G, e.g. 48K or 2M",
					value);
			c->bytes = (uint32_t)bytes;
			break;
		case 1:
			rc = number_read(r, "ways", value, 1, 1024, &v);
			c->ways = (uint16_t)v;
			break;
		case 2:
			rc = number_read(r, "line", value, 16, 4096, &v);
			if (rc == 0 && (v & (v - 1)))
				return layout_file_refuse(
					r, "line=%u: expected a power of two from 16 to 4096", v);
			c->line = (uint16_t)v;
			break;
		case 3:
			rc = choice_read(r, "shared", value, levels);
			if (rc >= 0)
				c->shared = (enum topo_level)MIN(rc, (int)TOPO_PACKAGE);
			break;
		default:
			rc = type_read(r, value, &c->core_type);
			break;
		}
		if (rc < 0)
			return rc;
	}
	return word == -ENOENT ? cache_geometry(r, c) : word;
}

static int cache_read(struct file_reader *r)
{
	struct cache_line *own = &r->cache[r->nr_caches];
	char *name = next_word(r);
	unsigned int slot = 0;
	int rc;

	while (slot < NR_SLOTS && name && strcmp(name, layout_file_slots[slot].name) != 0)
		slot++;
	if (!name || slot == NR_SLOTS)
		return layout_file_refuse(r, "cache %.40s: expected one of l1d, l1i, l1, l2, l3, l4",
					  name ? name : "needs a name");
	if (r->nr_caches == TOPO_MAX_CACHES)
		return layout_file_refuse(r, "more than %d kinds of caches", TOPO_MAX_CACHES);
	*own = (struct cache_line){ slot,
				    r->line,
				    { .level = layout_file_slots[slot].level,
				      .type = layout_file_slots[slot].type,
				      .partitions = 1,
				      .shared = layout_file_slots[slot].level >= 3 ? TOPO_DIE : TOPO_CORE } };
	if ((rc = cache_words_read(r, &own->cache)) < 0)
		return rc;
	for (unsigned int k = 0; k < r->nr_caches; k++) {
		uint8_t other = r->cache[k].cache.core_type;

		if (r->cache[k].slot == slot &&
		    (!other || !own->cache.core_type || other == own->cache.core_type))
			return layout_file_refuse(
				r,
				"cache %s is on line %u already; several need a type= each, and not the same",
				name, r->cache[k].line);
	}
	r->nr_caches++;
	return 0;
}

/* ---- node N word=value ..., distance FROM TO VALUE ---- */

static int node_mask_add(void *ctx, unsigned int n)
{
	((uint64_t *)ctx)[n / 64] |= 1ull << n % 64;
	return 0;
}

static int node_read(struct file_reader *r)
{
	static const char *const words[] = { "memory", "host-nodes", "policy", NULL };
	static const char *const policies[] = { "default", "bind", "preferred", "interleave", NULL };
	unsigned int seen = 0, number = 0;
	struct topo_node *node;
	char *value;
	int rc, word;

	if ((rc = number_read(r, "node", next_word(r), 0, TOPO_MAX_NODES - 1, &number)) < 0)
		return rc;
	if (r->node_line[number])
		return layout_file_refuse(r, "node %u is on line %u already", number, r->node_line[number]);
	r->node_line[number] = r->line;
	r->any_nodes = true;
	node = &r->node[number];
	while ((word = next_key(r, words, &seen, &value)) >= 0) {
		if (word == 0 && opt_parse_size(value, 0, MAX_NODE_BYTES, &node->memory_bytes) < 0)
			return layout_file_refuse(r, "memory=%.40s: expected a size up to 1024T, e.g. 512M or 2G",
						  value);
		if (word == 0 && node->memory_bytes % (4 * KIB))
			return layout_file_refuse(r, "memory=%.40s: expected a multiple of 4K", value);
		if (word == 1 && cpulist_each(value, TOPO_MAX_NODES - 1, node_mask_add, node->host_nodes) < 0)
			return layout_file_refuse(
				r, "host-nodes=%.40s: expected the host's nodes from 0 to %d, as in 0-1",
				value, TOPO_MAX_NODES - 1);
		if (word == 2 && (node->policy = choice_read(r, "policy", value, policies)) < 0)
			return node->policy;
	}
	if (word != -ENOENT)
		return word;
	r->nr_memories += seen & 1;
	if (node->policy != NODE_DEFAULT && !(seen & 2))
		return layout_file_refuse(r, "policy=%s wants host-nodes= too", policies[node->policy]);
	if (node->policy == NODE_DEFAULT && (seen & 6) == 2) /* what else could the host's nodes be for */
		node->policy = NODE_BIND;
	return 0;
}

static int distance_read(struct file_reader *r)
{
	unsigned int from = 0, to = 0, value = 0;
	char *more;
	int rc;

	if ((rc = number_read(r, "distance, from", next_word(r), 0, TOPO_MAX_NODES - 1, &from)) < 0 ||
	    (rc = number_read(r, "distance, to", next_word(r), 0, TOPO_MAX_NODES - 1, &to)) < 0 ||
	    (rc = number_read(r, "distance", next_word(r), from == to ? 10 : 11, 255, &value)) < 0)
		return rc;
	if ((more = next_word(r)))
		return layout_file_refuse(
			r, "'%.40s' is too much; expected distance FROM TO VALUE, as in distance 0 1 21",
			more);
	if (from == to && value != 10) /* ACPI 6.5, 5.2.17 */
		return layout_file_refuse(
			r, "distance %u %u %u: it is 10 from a node to itself, and 11 to 255 to others", from,
			to, value);
	if (r->distance[from][to])
		return layout_file_refuse(r, "the distance from node %u to node %u is there twice", from, to);
	r->distance[from][to] = (uint8_t)value;
	r->distance_line = r->line;
	return 0;
}

/* ---- the whole file ---- */

static int line_read(struct file_reader *r, char *line)
{
	static const struct {
		const char *word;
		int (*read)(struct file_reader *r);
	} kinds[] = { { "cpu", cpu_read },
		      { "cache", cache_read },
		      { "node", node_read },
		      { "distance", distance_read } };
	char *word;

	line[strcspn(line, "#")] = '\0';
	r->rest = line;
	word = next_word(r);
	if (!word)
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(word, kinds[i].word))
			return kinds[i].read(r);
	return layout_file_refuse(
		r, "a line cannot begin with '%.40s'; expected cpu, cache, node, distance or #", word);
}

/* Words go into error messages, and those to a terminal: no control characters. */
static int text_check(struct file_reader *r, const char *text, size_t len)
{
	r->line = 1;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && !strchr("\t\r\n", c)) || c == 0 || c == 0x7f)
			return layout_file_refuse(r, "there is a byte 0x%02x; expected lines of text", c);
		r->line += c == '\n';
	}
	return 0;
}

static int lines_read(struct file_reader *r, char *text, size_t len)
{
	int rc = text_check(r, text, len);

	r->line = 0;
	for (char *line = text, *end; rc == 0 && line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		r->line++;
		rc = line_read(r, line);
	}
	return rc;
}

int layout_read_file(struct layout *l, const char *path, struct err *e)
{
	struct file_reader *r = calloc(1, sizeof(*r));
	char *text = NULL;
	size_t len;
	int rc;

	*l = (struct layout){ .cpu = calloc(TOPO_MAX_CPUS, sizeof(*l->cpu)) };
	if (!r || !l->cpu) {
		rc = err_set(e, -ENOMEM, "out of memory for a topology file");
		goto end;
	}
	r->path = path;
	r->e = e;
	r->l = l;
	if ((rc = layout_read_text(path, FILE_LIMIT, &text, &len, e)) == 0 &&
	    (rc = lines_read(r, text, len)) == 0)
		rc = layout_file_finish(r);
end:
	free(text);
	free(r);
	return rc;
}
