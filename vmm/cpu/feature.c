/*
 * Looking up features by name, and reading and writing their bits. The features are in feature_table.c; sets of them
 * are in feature_set.c.
 */
#include "vmm/cpu/feature.h"

#include <errno.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/feature_set.h"

/* QEMU writes sse4.1 and sse4-1, libvirt sse4.1, Linux sse4_1. */
static char plain(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '-' || c == '.' ? '_' : c;
}

/* Is name the word of len letters at word? */
static bool same(const char *name, const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!name[i] || plain(name[i]) != plain(word[i]))
			return false;
	return !name[i];
}

static bool in_list(const char *name, const char *list)
{
	while (list && *list) {
		size_t len = strcspn(list, " ");

		if (same(name, list, len))
			return true;
		list += len + strspn(list + len, " ");
	}
	return false;
}

const struct feature *feature_find(const char *name)
{
	for (const struct feature *f = features; f->name; f++)
		if (same(name, f->name, strlen(f->name)) || in_list(name, f->alias))
			return f;
	return NULL;
}

bool feature_begins(const char *name, const char *start)
{
	while (*start && *name && plain(*name) == plain(*start)) {
		name++;
		start++;
	}
	return !*start;
}

/* Levenshtein's distance, where two letters that changed places count as one change. */
unsigned int feature_distance(const char *a, const char *b)
{
	enum { LONGEST = 32 };
	unsigned int row[3][LONGEST + 1]; /* for i letters of a: row[i % 3] */
	size_t la = strlen(a), lb = strlen(b);

	if (la > LONGEST || lb > LONGEST)
		return UINT16_MAX;
	for (unsigned int j = 0; j <= lb; j++)
		row[0][j] = j;
	for (unsigned int i = 1; i <= la; i++) {
		unsigned int *now = row[i % 3];
		const unsigned int *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];

		now[0] = i;
		for (unsigned int j = 1; j <= lb; j++) {
			char x = plain(a[i - 1]), y = plain(b[j - 1]);

			now[j] = MIN(before[j - 1] + (x != y), MIN(before[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && x == plain(b[j - 2]) && y == plain(a[i - 2]))
				now[j] = MIN(now[j], earlier[j - 2] + 1);
		}
	}
	return row[la % 3][lb];
}

unsigned int feature_likeness(const char *name)
{
	return (unsigned int)MIN(strlen(name) / 3, 4u);
}

/* The distance to the nearest of a feature's names. */
static unsigned int distance_to(const char *name, const struct feature *f)
{
	unsigned int best = feature_distance(name, f->name);
	const char *at = f->alias;

	while (at && *at) {
		size_t len = strcspn(at, " ");
		char alias[33];

		if (len < sizeof(alias)) {
			memcpy(alias, at, len);
			alias[len] = 0;
			best = MIN(best, feature_distance(name, alias));
		}
		at += len + strspn(at + len, " ");
	}
	return best;
}

const char *feature_nearest(const char *name)
{
	unsigned int best = feature_likeness(name) + 1;
	size_t len = strlen(name);
	const char *found = NULL;

	for (const struct feature *f = features; f->name; f++) {
		unsigned int d = distance_to(name, f);

		if (d < best) {
			best = d;
			found = f->name;
		}
	}
	for (const struct feature *f = features; !found && len >= 2 && f->name; f++)
		if (feature_begins(f->name, name))
			found = f->name;
	return found;
}

uint32_t cpuid_reg_get(const struct kvm_cpuid_entry2 *c, enum cpuid_reg reg)
{
	switch (reg) {
	case CPUID_EAX:
		return c->eax;
	case CPUID_EBX:
		return c->ebx;
	case CPUID_ECX:
		return c->ecx;
	case CPUID_EDX:
		return c->edx;
	}
	return 0;
}

void cpuid_reg_set(struct kvm_cpuid_entry2 *c, enum cpuid_reg reg, uint32_t value)
{
	switch (reg) {
	case CPUID_EAX:
		c->eax = value;
		break;
	case CPUID_EBX:
		c->ebx = value;
		break;
	case CPUID_ECX:
		c->ecx = value;
		break;
	case CPUID_EDX:
		c->edx = value;
		break;
	}
}

bool feature_get(const struct cpuid_table *table, const struct feature *f)
{
	const struct kvm_cpuid_entry2 *c = cpuid_get(table, f->leaf, f->index);

	return c && (cpuid_reg_get(c, f->reg) >> f->bit & 1);
}

int feature_set(struct cpuid_table *table, const struct feature *f, bool on)
{
	struct kvm_cpuid_entry2 *c = cpuid_find(table, f->leaf, f->index);
	bool sub_leaves = f->leaf == 7 || f->leaf == 0xd || f->leaf == 0xf || f->leaf == 0x12;
	uint32_t bit = 1u << f->bit;

	if (!c && !on)
		return 0;
	if (!c)
		c = cpuid_add(table, f->leaf, sub_leaves ? (int)f->index : -1);
	if (!c)
		return -ENOSPC;
	cpuid_reg_set(c, f->reg, on ? cpuid_reg_get(c, f->reg) | bit : cpuid_reg_get(c, f->reg) & ~bit);
	return 0;
}
