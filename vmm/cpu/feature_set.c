/*
 * Sets of features: arithmetic, what needs what, and the way from and to CPUID tables.
 */
#include "vmm/cpu/feature_set.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "vmm/cpu/cpuid_internal.h"

struct feature_set set_without(struct feature_set a, const struct feature_set *b)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(a.word); i++)
		a.word[i] &= ~b->word[i];
	return a;
}

struct feature_set set_with(struct feature_set a, const struct feature_set *b)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(a.word); i++)
		a.word[i] |= b->word[i];
	return a;
}

struct feature_set set_common(struct feature_set a, const struct feature_set *b)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(a.word); i++)
		a.word[i] &= b->word[i];
	return a;
}

unsigned int set_count(const struct feature_set *s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(s->word); i++)
		n += (unsigned int)__builtin_popcountll(s->word[i]);
	return n;
}

/* ---- what needs what ---- */

static unsigned int hash(const char *name, size_t len)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 16777619u;
	return (h ^ h >> 16) % FEATURE_SLOTS;
}

static unsigned int number_of(const struct feature_graph *g, const char *name, size_t len)
{
	unsigned int at = hash(name, len);

	while (g->slot[at]) {
		const char *known = features[g->slot[at] - 1].name;

		if (!strncmp(known, name, len) && !known[len])
			return g->slot[at] - 1u;
		at = (at + 1) % FEATURE_SLOTS;
	}
	assert(!"a feature which our own tables name is in features[]"); /* tests read all of them */
	return 0;
}

unsigned int feature_number(const struct feature_graph *g, const char *name)
{
	return number_of(g, name, strlen(name));
}

void feature_graph_init(struct feature_graph *g)
{
	memset(g, 0, sizeof(*g));
	for (; features[g->nr].name; g->nr++) {
		unsigned int at = hash(features[g->nr].name, strlen(features[g->nr].name));

		while (g->slot[at])
			at = (at + 1) % FEATURE_SLOTS;
		g->slot[at] = (uint16_t)(g->nr + 1);
	}
	for (unsigned int i = 0; i < g->nr; i++) {
		const char *at = features[i].needs;

		for (unsigned int n = 0; at && *at && n < FEATURE_MAX_NEEDS; n++) {
			size_t len = strcspn(at, " ");

			g->needs[i][n] = (uint16_t)(number_of(g, at, len) + 1);
			at += len + strspn(at + len, " ");
		}
	}
}

void set_put_names(const struct feature_graph *g, struct feature_set *s, const char *names)
{
	while (names && *names) {
		size_t len = strcspn(names, " ");

		set_put(s, number_of(g, names, len));
		names += len + strspn(names + len, " ");
	}
}

/* Put what one feature needs itself; did that change anything? */
static bool put_needs_of(const struct feature_graph *g, struct feature_set *s, unsigned int i)
{
	bool changed = false;

	for (unsigned int n = 0; n < FEATURE_MAX_NEEDS && g->needs[i][n]; n++)
		if (!set_has(s, g->needs[i][n] - 1u)) {
			set_put(s, g->needs[i][n] - 1u);
			changed = true;
		}
	return changed;
}

void set_put_needs(const struct feature_graph *g, struct feature_set *s, unsigned int i)
{
	struct feature_set new = { 0 };
	bool changed;

	set_put(&new, i);
	do { /* as often as the longest chain is long */
		changed = false;
		for (unsigned int f = 0; f < g->nr; f++)
			if (set_has(&new, f))
				changed |= put_needs_of(g, &new, f);
	} while (changed);
	*s = set_with(*s, &new);
}

void set_close(const struct feature_graph *g, struct feature_set *s)
{
	bool changed;

	do {
		changed = false;
		for (unsigned int i = 0; i < g->nr; i++)
			for (unsigned int n = 0; set_has(s, i) && n < FEATURE_MAX_NEEDS && g->needs[i][n];
			     n++)
				if (!set_has(s, g->needs[i][n] - 1u)) {
					set_take(s, i);
					changed = true;
				}
	} while (changed);
}

/* ---- tables ---- */

static bool same_register(const struct feature *a, const struct feature *b)
{
	return a->leaf == b->leaf && a->index == b->index && a->reg == b->reg;
}

void set_read(struct feature_set *s, const struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *c = NULL;

	*s = (struct feature_set){ 0 };
	for (unsigned int i = 0; features[i].name; i++) {
		/* A register's features are neighbours: the entry is looked up once for all of them. */
		if (!i || !same_register(&features[i], &features[i - 1]))
			c = cpuid_get(table, features[i].leaf, features[i].index);
		if (c && (cpuid_reg_get(c, features[i].reg) >> features[i].bit & 1))
			set_put(s, i);
	}
}

/* Readers look at leaf 0, 7 or 80000000 first, and no further than those say. */
static void raise_limits(struct cpuid_table *table, const struct feature *f)
{
	uint32_t range = f->leaf & 0xf0000000;
	struct kvm_cpuid_entry2 *c = range == 0x40000000 ? NULL : cpuid_find(table, range, 0);

	if (c && c->eax < f->leaf)
		c->eax = f->leaf;
	c = f->leaf == 7 && f->index ? cpuid_find(table, 7, 0) : NULL;
	if (c && c->eax < f->index)
		c->eax = f->index;
}

static int write_register(struct cpuid_table *table, const struct feature *f, uint32_t known, uint32_t bits)
{
	struct kvm_cpuid_entry2 *c = cpuid_find(table, f->leaf, f->index);

	if (!c && bits && feature_set(table, f, true) < 0)
		return -ENOSPC;
	if (!c)
		c = cpuid_find(table, f->leaf, f->index);
	if (c)
		cpuid_reg_set(c, f->reg, (cpuid_reg_get(c, f->reg) & ~known) | bits);
	if (bits)
		raise_limits(table, f);
	return 0;
}

int set_write(const struct feature_set *s, struct cpuid_table *table)
{
	uint32_t known = 0, bits = 0;

	for (unsigned int i = 0; features[i].name; i++) {
		known |= 1u << features[i].bit;
		bits |= (uint32_t)set_has(s, i) << features[i].bit;
		if (features[i + 1].name && same_register(&features[i], &features[i + 1]))
			continue;
		if (write_register(table, &features[i], known, bits) < 0)
			return -ENOSPC;
		known = bits = 0;
	}
	return 0;
}

const char *set_names(const struct feature_set *s, const char *between, const char *before, char *buf,
		      size_t len)
{
	enum { LAST_WORDS = 24 }; /* room for "and N more" */
	unsigned int left = set_count(s);
	size_t at = 0;

	buf[0] = 0;
	for (unsigned int i = 0; features[i].name && left; i++) {
		size_t need = strlen(features[i].name) + strlen(before) + strlen(between);

		if (!set_has(s, i))
			continue;
		if (at + need + LAST_WORDS >= len) {
			snprintf(buf + at, len - at, " and %u more", left);
			break;
		}
		at += (size_t)snprintf(buf + at, len - at, "%s%s%s", at ? between : "", before,
				       features[i].name);
		left--;
	}
	return buf;
}
