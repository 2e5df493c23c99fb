/*
 * Caches: what --cache says goes over what a layout says, and that over the host's sizes. Sharing is the shape's,
 * never the host's. CPUID can only say "those whose APIC ids are equal from bit N up", so whatever cannot be said
 * that way is refused here.
 */
#include "vmm/cpu/caches.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/topology.h"

enum { DEFAULT_LINE = 64 };

const char *cache_name(const struct topo_cache *c, char *buf, size_t len)
{
	static const char *const suffix[] = { [CACHE_DATA] = "d", [CACHE_INSTRUCTION] = "i", [CACHE_UNIFIED] = "" };

	snprintf(buf, len, "L%u%s", c->level, suffix[c->type]);
	return buf;
}

/* ---- sizes ---- */

/*
 * How many ways, when nobody says: a first-level cache is indexed inside a page of 4 KiB; others keep the host's
 * ways if that makes a power of two of sets, or take the nearest number that does, or any that divides.
 */
static unsigned int choose_ways(unsigned int level, uint64_t bytes, unsigned int line, unsigned int near_ways)
{
	unsigned int best = 0;
	double best_cost = 1e9;
	uint64_t lines = bytes / line;

	if (level == 1 && bytes % 4096 == 0 && bytes / 4096 <= 64)
		return (unsigned int)(bytes / 4096);
	for (unsigned int ways = 1; ways <= 64; ways++) {
		uint64_t sets = lines / ways;
		double cost = (double)MAX(ways, near_ways) / MIN(ways, near_ways);

		if (!sets || lines % ways)
			continue;
		if (sets & (sets - 1))
			cost *= 1000;
		if (cost < best_cost) {
			best = ways;
			best_cost = cost;
		}
	}
	return best ? best : 1;
}

/* Give a kind a size. like: where ways and line come from when they are not said; may be NULL. */
static int cache_resize(struct topo_cache *c, const struct topo_cache *like, uint64_t bytes, unsigned int ways,
			unsigned int line, struct err *e)
{
	unsigned int near_ways = like && !like->fully_associative && like->ways ? like->ways : 8;
	uint64_t sets;
	char name[8];

	cache_name(c, name, sizeof(name));
	if (!line)
		line = like && like->line ? like->line : DEFAULT_LINE;
	if (!ways)
		ways = choose_ways(c->level, bytes, line, near_ways);
	sets = bytes / ((uint64_t)line * ways);
	if (!sets || bytes % ((uint64_t)line * ways))
		return err_usage(e, "the %s cache: %llu bytes are no multiple of %u ways times lines of %u bytes; leave the ways out, and "
				    "a number that fits is taken", name,
				 (unsigned long long)bytes, ways, line);
	if (bytes > CACHE_MAX_BYTES || ways > CACHE_MAX_WAYS || line > 4096)
		return err_usage(e, "the %s cache: expected at most 2G, %d ways and lines of 4096 bytes", name, CACHE_MAX_WAYS);
	c->bytes = (uint32_t)bytes;
	c->line = (uint16_t)line;
	c->ways = (uint16_t)ways;
	c->partitions = 1;
	c->sets = (uint32_t)sets;
	c->fully_associative = false;
	return 0;
}

/* ---- the list of kinds ---- */

struct kinds {
	struct topo_cache cache[TOPO_MAX_CACHES];
	int layout[TOPO_MAX_CACHES];    /* which of the layout's kinds it is, or -1 */
	unsigned int nr;
};

static const struct topo_cache *find_like(const struct topo_cache *list, unsigned int nr, const struct topo_cache *c)
{
	for (unsigned int i = 0; i < nr; i++)
		if (list[i].level == c->level && list[i].type == c->type)
			return &list[i];
	return NULL;
}

static int kinds_add(struct kinds *k, const struct topo_cache *c, int layout, struct err *e)
{
	unsigned int at = k->nr;

	if (k->nr == TOPO_MAX_CACHES)
		return err_usage(e, "more than %d kinds of caches", TOPO_MAX_CACHES);
	while (at > 0 && (k->cache[at - 1].level > c->level ||
			  (k->cache[at - 1].level == c->level && k->cache[at - 1].type > c->type))) {
		k->cache[at] = k->cache[at - 1];
		k->layout[at] = k->layout[at - 1];
		at--;
	}
	k->cache[at] = *c;
	k->layout[at] = layout;
	k->nr++;
	return 0;
}

static int kinds_collect(struct kinds *k, const struct layout *l, const struct topo_cache *host, unsigned int nr_host,
			 struct err *e)
{
	int rc = 0;

	for (unsigned int i = 0; l && rc == 0 && i < l->nr_caches; i++) {
		struct topo_cache c = l->cache[i];
		bool used = false;
		const struct topo_cache *like = find_like(host, nr_host, &c);

		for (unsigned int cpu = 0; cpu < l->nr_cpus && !used; cpu++)
			used = l->cpu[cpu].group[i] != LAYOUT_NONE;
		if (!used)
			continue; /* "none" everywhere: that is what the layout names it for */
		if (!c.bytes && like) {
			c.bytes = like->bytes;
			c.line = like->line;
			c.ways = like->ways;
			c.partitions = like->partitions;
			c.sets = like->sets;
			c.inclusive = like->inclusive;
			c.fully_associative = like->fully_associative;
		} else if (!c.bytes) {
			return err_usage(e, "--topology: the host has no L%u cache to take the size from; say it, as in 'cache l%u size=8M'",
					 c.level, c.level);
		} else if (!c.sets || !c.ways || !c.line || !c.partitions) {
			rc = cache_resize(&c, like, c.bytes, c.ways, c.line, e);
		}
		if (rc == 0)
			rc = kinds_add(k, &c, (int)i, e);
	}
	for (unsigned int i = 0; rc == 0 && i < nr_host; i++)
		if (!l || !l->nr_caches || (!l->all_caches && !find_like(l->cache, l->nr_caches, &host[i])))
			rc = kinds_add(k, &host[i], -1, e);
	return rc;
}

static void kinds_remove(struct kinds *k, uint8_t level, enum cache_type type)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < k->nr; i++)
		if (k->cache[i].level != level || k->cache[i].type != type) {
			k->cache[kept] = k->cache[i];
			k->layout[kept++] = k->layout[i];
		}
	k->nr = kept;
}

/* What --cache says of one kind. */
static int kinds_apply(struct kinds *k, unsigned int slot, const struct cache_wish *w, struct err *e)
{
	struct topo_cache made = { .level = cache_slots[slot].level, .type = cache_slots[slot].type,
				   .shared = cache_slots[slot].level >= 3 ? TOPO_DIE : TOPO_CORE };
	bool found = false;
	int rc = 0;

	if (w->off) {
		kinds_remove(k, made.level, made.type);
		return 0;
	}
	if (made.type == CACHE_UNIFIED && made.level == 1) { /* one for both: the split ones go */
		kinds_remove(k, 1, CACHE_DATA);
		kinds_remove(k, 1, CACHE_INSTRUCTION);
	}
	for (unsigned int i = 0; rc == 0 && i < k->nr; i++) {
		struct topo_cache *c = &k->cache[i];
		const struct topo_cache was = *c;

		if (c->level != made.level || c->type != made.type)
			continue;
		found = true;
		rc = cache_resize(c, &was, w->bytes, w->ways, w->line, e);
		if (w->shared >= 0) {
			c->shared = (enum topo_level)w->shared;
			k->layout[i] = -1; /* no groups any more */
		}
	}
	if (rc < 0 || found)
		return rc;
	if (w->shared >= 0)
		made.shared = (enum topo_level)w->shared;
	rc = cache_resize(&made, NULL, w->bytes, w->ways, w->line, e);
	return rc < 0 ? rc : kinds_add(k, &made, -1, e);
}

/* ---- who shares what ---- */

enum { OF_GROUP = 0xff }; /* a shift that instances_check() is to find */

/* Give every vCPU its instance of kind k: numbers of groups and of units become numbers of instances. */
static unsigned int instances_number(struct topology *t, unsigned int k, const struct layout *l, int of_layout)
{
	const struct topo_cache *kind = &t->cache[k];
	uint16_t number[2][TOPO_MAX_CPUS];
	unsigned int nr = 0;

	/* No more than can be used: most machines are small, and start often. */
	memset(number[0], 0xff, t->nr_units[kind->shared] * sizeof(number[0][0]));
	if (of_layout >= 0)
		memset(number[1], 0xff, sizeof(number[1]));
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		struct topo_cpu *c = &t->cpu[i];
		int32_t group = of_layout < 0 ? LAYOUT_BY_LEVEL : l->cpu[i].group[of_layout];
		uint16_t *n;

		c->cache[k] = TOPO_NO_CACHE;
		c->cache_shift[k] = 0;
		if (group == LAYOUT_NONE || (kind->core_type != TOPO_ALIKE && kind->core_type != c->core_type))
			continue;
		n = group >= 0 ? &number[1][group % TOPO_MAX_CPUS] : &number[0][c->unit[kind->shared]];
		if (*n == UINT16_MAX)
			*n = (uint16_t)nr++;
		c->cache[k] = *n;
		c->cache_shift[k] = (uint8_t)(group >= 0 ? OF_GROUP : t->shift[kind->shared]);
	}
	return nr;
}

struct instance {
	uint32_t first_id, differ;  /* of the ids */
	uint32_t first;             /* vCPU */
	uint32_t cpus;
	bool by_level;              /* it is a unit of the kind's level, and so is its shift */
	bool same[NR_TOPO_LEVELS];  /* all are in one unit of the level */
};

struct id {
	uint32_t id, cpu;
};

static int id_compare(const void *a, const void *b)
{
	uint32_t x = ((const struct id *)a)->id, y = ((const struct id *)b)->id;

	return x < y ? -1 : x > y;
}

/* Does this vCPU have any cache of kind k's level and type? Guests ask no other which it shares. */
static bool has_like(const struct topology *t, unsigned int k, const struct topo_cpu *c)
{
	for (unsigned int i = 0; i < t->nr_caches; i++)
		if (c->cache[i] != TOPO_NO_CACHE && t->cache[i].level == t->cache[k].level &&
		    t->cache[i].type == t->cache[k].type)
			return true;
	return false;
}

/* How many of the sorted ids are below bound. */
static unsigned int ids_below(const struct id *id, unsigned int nr, uint64_t bound)
{
	unsigned int low = 0;

	while (nr > 0) {
		unsigned int half = nr / 2;

		if (id[low + half].id < bound) {
			low += half + 1;
			nr -= half + 1;
		} else {
			nr = half;
		}
	}
	return low;
}

/* The shift that tells this instance: that of the smallest level whose unit it is, else the least that does. */
static unsigned int instance_shift(const struct topology *t, const struct topo_cache *kind, const struct instance *in)
{
	unsigned int shift = 0;

	if (in->by_level)
		return t->shift[kind->shared];
	for (unsigned int level = TOPO_THREAD; level < NR_TOPO_LEVELS; level++)
		if (in->same[level] && topo_unit_cpus(t, &t->cpu[in->first], (enum topo_level)level) == in->cpus)
			return t->shift[level];
	while (in->differ >> shift)
		shift++;
	return shift;
}

/* Where sharing does not follow a level for all vCPUs alike: find each instance's shift, and see that it is one. */
static int instances_check(struct topology *t, unsigned int k, unsigned int nr, struct id *sorted, struct err *e)
{
	struct instance *in = calloc(MAX(nr, 1u), sizeof(*in));
	struct id *own_ids = sorted + t->nr_cpus; /* of those that have such a cache */
	unsigned int nr_ids = 0;
	char name[8];
	int rc = in ? 0 : err_set(e, -ENOMEM, "out of memory for %u caches", nr);

	for (unsigned int i = 0; i < t->nr_cpus; i++)
		if (has_like(t, k, &t->cpu[sorted[i].cpu]))
			own_ids[nr_ids++] = sorted[i];
	for (unsigned int i = 0; rc == 0 && i < t->nr_cpus; i++) {
		const struct topo_cpu *c = &t->cpu[i];
		struct instance *own = c->cache[k] == TOPO_NO_CACHE ? NULL : &in[c->cache[k]];

		if (!own)
			continue;
		if (!own->cpus++) {
			*own = (struct instance){ .first_id = c->apic_id, .first = i, .cpus = 1,
						  .by_level = c->cache_shift[k] != OF_GROUP,
						  .same = { true, true, true, true, true } };
		}
		own->differ |= own->first_id ^ c->apic_id;
		for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
			own->same[level] &= c->unit[level] == t->cpu[own->first].unit[level];
	}
	for (unsigned int i = 0; rc == 0 && i < nr; i++) {
		unsigned int shift = instance_shift(t, &t->cache[k], &in[i]);
		uint64_t base = (uint64_t)(in[i].first_id >> shift) << shift;
		unsigned int members = ids_below(own_ids, nr_ids, base + (1ull << shift)) - ids_below(own_ids, nr_ids, base);

		if (members != in[i].cpus)
			rc = err_usage(e, "--topology: %u vCPUs, the first of them %u, share an %s cache, but CPUID would make it %u: sharing is "
					  "told by the APIC id's bits from %u up; put those that share into a module or die of their own",
				       in[i].cpus, in[i].first, cache_name(&t->cache[k], name, sizeof(name)), members, shift);
		in[i].differ = shift;
	}
	for (unsigned int i = 0; rc == 0 && i < t->nr_cpus; i++)
		if (t->cpu[i].cache[k] != TOPO_NO_CACHE)
			t->cpu[i].cache_shift[k] = (uint8_t)in[t->cpu[i].cache[k]].differ;
	free(in);
	return rc;
}

/* An L3 never serves more than a module: then modules are what AMD calls complexes. */
static enum topo_level find_complex(const struct topology *t)
{
	bool any = false;

	for (unsigned int k = 0; k < t->nr_caches; k++)
		for (unsigned int i = 0; t->cache[k].level == 3 && i < t->nr_cpus; i++) {
			if (t->cpu[i].cache[k] == TOPO_NO_CACHE)
				continue;
			any = true;
			if (t->cpu[i].cache_shift[k] > t->shift[TOPO_MODULE])
				return TOPO_DIE;
		}
	return any ? TOPO_MODULE : TOPO_DIE;
}

/* All level-3 caches of each package together. */
static int package_sums(struct topology *t, struct err *e)
{
	t->package_l3_kib = calloc(t->nr_units[TOPO_PACKAGE], sizeof(*t->package_l3_kib));
	if (!t->package_l3_kib)
		return err_set(e, -ENOMEM, "out of memory for %u packages", t->nr_units[TOPO_PACKAGE]);
	for (unsigned int k = 0; k < t->nr_caches; k++) {
		unsigned int next = 0; /* instances are numbered in order of appearance */

		for (unsigned int i = 0; t->cache[k].level == 3 && i < t->nr_cpus; i++)
			if (t->cpu[i].cache[k] == next) {
				t->package_l3_kib[t->cpu[i].unit[TOPO_PACKAGE]] += t->cache[k].bytes >> 10;
				next++;
			}
	}
	return 0;
}

/*
 * Readers number caches by the ids' bits from the shift up (Linux: the id of a cache in sysfs, and last-level caches
 * on AMD), so where shifts differ, two caches can get one number: 4 >> 1 and 8 >> 2. All caches of a level and type
 * therefore tell the largest shift among them, if those who share one are then still the same.
 */
static void shifts_align(struct topology *t, unsigned int k, const struct id *sorted)
{
	const struct topo_cache *kind = &t->cache[k];
	uint16_t cpus[TOPO_MAX_CPUS] = { 0 };
	unsigned int shift = 0;

	for (unsigned int i = 0; i < t->nr_cpus; i++)
		if (t->cpu[i].cache[k] != TOPO_NO_CACHE)
			cpus[t->cpu[i].cache[k]]++;
	for (unsigned int other = 0; other < t->nr_caches; other++)
		for (unsigned int i = 0; t->cache[other].level == kind->level && t->cache[other].type == kind->type &&
					 i < t->nr_cpus; i++)
			shift = MAX(shift, (unsigned int)t->cpu[i].cache_shift[other]);
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		const struct topo_cpu *c = &t->cpu[i];
		uint64_t base = (uint64_t)(c->apic_id >> shift) << shift;

		if (c->cache[k] != TOPO_NO_CACHE &&
		    ids_below(sorted, t->nr_cpus, base + (1ull << shift)) - ids_below(sorted, t->nr_cpus, base) !=
			    cpus[c->cache[k]])
			return;
	}
	for (unsigned int i = 0; i < t->nr_cpus; i++)
		if (t->cpu[i].cache[k] != TOPO_NO_CACHE)
			t->cpu[i].cache_shift[k] = (uint8_t)shift;
}

static int instances_place(struct topology *t, const struct layout *l, const struct kinds *kinds, struct err *e)
{
	struct id *sorted = malloc(2 * (size_t)t->nr_cpus * sizeof(*sorted)); /* and as many again to work with */
	unsigned int nr[TOPO_MAX_CACHES];
	int rc = sorted ? 0 : err_set(e, -ENOMEM, "out of memory for %u processors", t->nr_cpus);

	for (unsigned int i = 0; sorted && i < t->nr_cpus; i++)
		sorted[i] = (struct id){ t->cpu[i].apic_id, i };
	if (sorted && l)
		qsort(sorted, t->nr_cpus, sizeof(*sorted), id_compare);
	for (unsigned int k = 0; rc == 0 && k < t->nr_caches; k++)
		nr[k] = instances_number(t, k, l, kinds->layout[k]);
	for (unsigned int k = 0; rc == 0 && l && k < t->nr_caches; k++)
		rc = instances_check(t, k, nr[k], sorted, e);
	for (unsigned int k = 0; rc == 0 && l && k < t->nr_caches; k++)
		shifts_align(t, k, sorted);
	free(sorted);
	t->complex = find_complex(t);
	return rc < 0 ? rc : package_sums(t, e);
}

int caches_place(struct topology *t, const struct cache_spec *spec, const struct layout *layout,
		 const struct cpuid_table *host, struct err *e)
{
	struct topo_cache own[TOPO_MAX_CACHES];
	unsigned int nr_own = cpuid_read_caches(host, own, TOPO_MAX_CACHES);
	struct kinds kinds = { .nr = 0 };
	int rc = kinds_collect(&kinds, layout, own, nr_own, e);

	for (unsigned int i = 0; rc == 0 && i < CACHE_SLOTS; i++)
		if (spec->slot[i].said)
			rc = kinds_apply(&kinds, i, &spec->slot[i], e);
	if (rc < 0)
		return rc;
	t->nr_caches = kinds.nr;
	memcpy(t->cache, kinds.cache, sizeof(t->cache));
	return instances_place(t, layout, &kinds, e);
}
