/*
 * Sets of vCPUs: those that guests form by the bits of APIC ids, against those that were asked for.
 *
 * Two ways of dividing the vCPUs are the same when, for every set, all its members have one number in the other way,
 * and as many vCPUs have that number as the set has members. That needs one look at each vCPU.
 */
#include "vmm/cpu/check_internal.h"

#include <stdlib.h>

int check_set(struct check *c, unsigned int cpu, unsigned int class, unsigned int shift, uint32_t *first,
	      unsigned int asked)
{
	uint32_t number = c->t->cpu[cpu].apic_id >> shift;
	unsigned int told = check_size(c, class, shift, cpu);

	if (!*first)
		*first = number + 1; /* ids end long before this wraps */
	if (told != asked)
		return (int)told;
	return *first == number + 1 ? 0 : -1;
}

/* The leaf that a level was read from, for the sentence. */
static const char *level_source(const struct check_seen *s, enum topo_level level, bool amd)
{
	if (amd && s->levels[LEVELS_26].nr)
		return "leaf 0x80000026";
	if (!amd && s->levels[LEVELS_1F].nr)
		return "leaf 0x1f";
	if (s->levels[LEVELS_B].nr)
		return "leaf 0xb";
	if (amd)
		return level == TOPO_CORE ? "leaf 0x8000001e" : "leaf 0x80000008";
	return "leaves 0x1 and 0x4";
}

static const char *level_word(enum topo_level level)
{
	static const char *const word[NR_TOPO_LEVELS] = { "thread", "core", "module", "die", "package" };

	return word[level];
}

static void check_unit(struct check *c, unsigned int cpu, enum topo_level level, uint32_t *first, bool amd)
{
	const struct check_seen *s = &c->seen[cpu];
	const struct topo_cpu *place = &c->t->cpu[cpu];
	unsigned int asked = topo_unit_cpus(c->t, place, level), shift = s->shift[level];
	int told = check_set(c, cpu, 0, shift, &first[place->unit[level]], asked);

	if (told > 0)
		check_say(c, cpu, level,
			  "%s begins the %s's id at bit %u, so guests find %d processor%s in its %s; asked "
			  "for %s %u",
			  level_source(s, level, amd), level_word(level), shift, told,
			  check_plural((unsigned int)told), level_word(level), asked == 1 ? "was" : "were",
			  asked);
	else if (told < 0)
		check_say(c, cpu, level,
			  "%s begins the %s's id at bit %u, so guests put it into a %s with other processors "
			  "than were "
			  "asked for",
			  level_source(s, level, amd), level_word(level), shift, level_word(level));
}

/* A level that was asked for and that no leaf tells. AMD has no leaf for modules. */
static void check_untold(struct check *c, unsigned int cpu, enum topo_level level, bool amd)
{
	if (level == TOPO_DIE && c->t->count[level] > 1)
		check_say(c, cpu, level, "asked for were up to %u dies in a package, but %s tells of none",
			  c->t->count[level], amd ? "leaf 0x80000026" : "leaf 0x1f");
	if (level == TOPO_MODULE && c->t->count[level] > 1 && !amd)
		check_say(c, cpu, level,
			  "asked for were up to %u modules in a die, but leaf 0x1f tells of none",
			  c->t->count[level]);
}

/* 8000001E ECX: one node for each package, or one for each die; another number in each. */
static void check_amd_node(struct check *c, unsigned int cpu, uint32_t *first, int holder[256])
{
	const struct check_seen *s = &c->seen[cpu];
	const struct topo_cpu *place = &c->t->cpu[cpu];
	enum topo_level level = s->nodes > 1 ? TOPO_DIE : TOPO_PACKAGE;
	unsigned int unit = place->unit[level];

	if (s->node < 0)
		return;
	if (s->nodes > 1 && s->nodes != MIN(c->t->count[TOPO_DIE], 8u)) /* 3 bits */
		check_say(c, cpu, 0x8000001e,
			  "leaf 0x8000001e ECX[10:8] tells %u node%s in a package, which has %u die%s",
			  s->nodes, check_plural(s->nodes), c->t->count[TOPO_DIE],
			  check_plural(c->t->count[TOPO_DIE]));
	if (!first[unit])
		first[unit] = (uint32_t)s->node + 1;
	if (first[unit] != (uint32_t)s->node + 1)
		check_say(
			c, cpu, 0x8000001e,
			"leaf 0x8000001e ECX[7:0] tells node %d, and node %u on another processor of this %s",
			s->node, first[unit] - 1, level_word(level));
	if (holder[s->node] < 0)
		holder[s->node] = (int)unit;
	if (holder[s->node] != (int)unit && c->t->nr_units[level] <= 256)
		check_say(c, cpu, 0x8000001e,
			  "leaf 0x8000001e ECX[7:0] tells node %d, as it does in another %s", s->node,
			  level_word(level));
}

void check_units(struct check *c)
{
	uint32_t *first = calloc((size_t)NR_TOPO_LEVELS * c->n, sizeof(*first));
	int holder[256];

	memset(holder, 0xff, sizeof(holder));
	c->failed |= !first;
	for (unsigned int i = 0; first && i < c->n; i++) {
		for (int level = TOPO_CORE; level < NR_TOPO_LEVELS; level++) {
			if (c->seen[i].shift[level] == CHECK_UNKNOWN)
				check_untold(c, i, (enum topo_level)level, c->amd);
			else
				check_unit(c, i, (enum topo_level)level, first + (size_t)level * c->n,
					   c->amd);
		}
		if (c->amd)
			check_amd_node(c, i, first, holder); /* TOPO_THREAD's part is free */
	}
	free(first);
}
