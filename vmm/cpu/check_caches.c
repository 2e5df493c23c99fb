/*
 * Leaf 4 and 8000001D, and the older leaves that tell cache sizes; who shares a cache, against who was to share it;
 * cores and caches that NUMA nodes divide.
 *
 * Sources: Intel SDM volume 2A, CPUID, leaf 04H (253666-084); AMD APM volume 3, E.4.4, E.4.5, E.4.15 (24594, revision
 * 3.36); Linux v6.1 and v6.12, arch/x86/kernel/cpu/cacheinfo.c and arch/x86/kernel/smpboot.c.
 */
#include "vmm/cpu/check_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* What one sub-leaf tells. */
struct told {
	unsigned int level, type, field, shift;
	uint64_t bytes;
};

static struct told cache_decode(const struct kvm_cpuid_entry2 *e)
{
	struct told d = {
		.level = e->eax >> 5 & 7,
		.type = e->eax & 0x1f,
		.field = e->eax >> 14 & 0xfff,
		.bytes = ((uint64_t)(e->ebx & 0xfff) + 1) * ((e->ebx >> 12 & 0x3ff) + 1) *
			 ((e->ebx >> 22) + 1),
	};

	d.bytes *= (uint64_t)e->ecx + 1;
	d.shift = check_bits(d.field + 1);
	return d;
}

/* A number for caches of this level and type; 0 when there are too many kinds, or the type is none. */
static unsigned int class_of(struct check *c, const struct told *d)
{
	uint8_t key = (uint8_t)(d->level << 2 | (d->type & 3));

	for (unsigned int i = 1; i < c->nr_classes; i++)
		if (c->class_key[i] == key)
			return i;
	if (c->nr_classes == CHECK_CLASSES)
		return 0;
	c->class_key[c->nr_classes] = key;
	return c->nr_classes++;
}

/* "L1d". */
static const char *class_name(unsigned int level, unsigned int type, char buf[16])
{
	snprintf(buf, 16, "L%u%s", level, type == CACHE_DATA ? "d" : type == CACHE_INSTRUCTION ? "i" : "");
	return buf;
}

/* The kind that was asked for, or -1. */
static int asked_kind(const struct check *c, unsigned int cpu, unsigned int level, unsigned int type)
{
	for (unsigned int k = 0; k < c->t->nr_caches; k++)
		if (c->t->cache[k].level == level && c->t->cache[k].type == type &&
		    c->t->cpu[cpu].cache[k] != TOPO_NO_CACHE)
			return (int)k;
	return -1;
}

/* One sub-leaf against the levels. widest: of the caches nearer to the core. */
static void check_one(struct check *c, unsigned int cpu, uint32_t leaf, unsigned int sub,
		      const struct kvm_cpuid_entry2 *e, unsigned int widest)
{
	const struct check_seen *s = &c->seen[cpu];
	unsigned int pkg = s->shift[TOPO_PACKAGE], core = s->shift[TOPO_CORE];
	uint32_t key = leaf ^ sub << 16;
	struct told d = cache_decode(e);
	char bits[CHECK_BIT_NAMES];

	if (d.type > CACHE_UNIFIED || !d.level)
		check_say(c, cpu, key,
			  "leaf 0x%x sub-leaf %u EAX tells a cache of type %u and level %u: types are 1 to "
			  "3, levels "
			  "begin with 1",
			  leaf, sub, d.type, d.level);
	if (d.shift < widest)
		check_say(c, cpu, key,
			  "leaf 0x%x sub-leaf %u EAX[25:14] tells that %u id%s the L%u cache, but %u share "
			  "one nearer to the core",
			  leaf, sub, d.field + 1, d.field ? "s share" : " has", d.level, 1u << widest);
	if (leaf == 0x8000001d && (d.field & (d.field + 1)))
		check_say(c, cpu, key,
			  "leaf 0x8000001d sub-leaf %u EAX[25:14] tells that %u processors share the L%u "
			  "cache: Linux and "
			  "hwloc divide APIC ids by it, which a power of two alone allows",
			  sub, d.field + 1, d.level);
	if (pkg == CHECK_UNKNOWN || core == CHECK_UNKNOWN)
		return;
	if (d.shift > pkg)
		check_say(c, cpu, key,
			  "leaf 0x%x sub-leaf %u EAX[25:14] tells that %u ids share the L%u cache, but a "
			  "package has only %u",
			  leaf, sub, d.field + 1, d.level, 1u << pkg);
	if (leaf == 4 && pkg >= core && (e->eax >> 26) + 1 != MIN(1u << (pkg - core), 64u))
		check_say(c, cpu, key,
			  "leaf 0x4 sub-leaf %u EAX[31:26] has room for %u core id%s, but %s of the APIC id "
			  "%s %u: guests "
			  "that read leaf 0x4 find other cores than those that read leaf 0xb",
			  sub, (e->eax >> 26) + 1, check_plural((e->eax >> 26) + 1),
			  check_bit_names(core, pkg, bits), pkg - core > 1 ? "hold" : "holds",
			  1u << (pkg - core));
}

/* What was asked for must be told, and nothing else. */
static void check_sizes(struct check *c, unsigned int cpu, uint32_t leaf, unsigned int sub,
			const struct told *d)
{
	int k = asked_kind(c, cpu, d->level, d->type);
	char name[16];

	class_name(d->level, d->type, name);
	if (k < 0)
		check_say(c, cpu, leaf ^ sub << 16,
			  "leaf 0x%x sub-leaf %u tells of an %s cache, which was not asked for", leaf, sub,
			  name);
	else if (c->t->cache[k].bytes != d->bytes)
		check_say(c, cpu, leaf ^ sub << 16,
			  "leaf 0x%x sub-leaf %u tells an %s cache of %llu bytes, asked for were %u", leaf,
			  sub, name, (unsigned long long)d->bytes, c->t->cache[k].bytes);
}

static void check_missing(struct check *c, unsigned int cpu, uint32_t leaf)
{
	const struct check_seen *s = &c->seen[cpu];
	char name[16];

	for (unsigned int k = 0; k < c->t->nr_caches; k++) {
		const struct topo_cache *cache = &c->t->cache[k];
		bool told = c->t->cpu[cpu].cache[k] == TOPO_NO_CACHE;

		for (unsigned int i = 0; i < s->nr_caches; i++)
			told |= c->class_key[s->cache_class[i]] == (uint8_t)(cache->level << 2 | cache->type);
		if (!told)
			check_say(c, cpu, leaf ^ k << 16,
				  "asked for was an %s cache, leaf 0x%x tells of none",
				  class_name(cache->level, cache->type, name), leaf);
	}
}

/* 80000006 and 80000005, which guests read that do not know the newer leaves. */
static void check_old_sizes(struct check *c, unsigned int cpu, const struct check_leaves *l,
			    const struct told *d)
{
	uint64_t kib = d->bytes >> 10;

	if (d->level == 2 && l->ext6 && l->ext6->ecx >> 16 != MIN(kib, 0xffffull))
		check_say(c, cpu, 0x80000006,
			  "leaf 0x80000006 ECX[31:16] tells an L2 cache of %u KiB, leaf 0x%x one of %llu KiB",
			  l->ext6->ecx >> 16, l->amd ? 0x8000001d : 4, (unsigned long long)kib);
	if (d->level == 1 && d->type == CACHE_DATA && l->amd && l->ext5 &&
	    l->ext5->ecx >> 24 != MIN(kib, 255ull))
		check_say(c, cpu, 0x80000005,
			  "leaf 0x80000005 ECX[31:24] tells an L1d cache of %u KiB, leaf 0x8000001d one of "
			  "%llu KiB",
			  l->ext5->ecx >> 24, (unsigned long long)kib);
	if (d->level == 3 && l->amd && (!l->ext6 || !l->ext6->edx))
		check_say(
			c, cpu, 0x80000006,
			"leaf 0x8000001d tells of an L3 cache, leaf 0x80000006 EDX of none: Linux then finds "
			"nobody who shares it");
}

static void check_end(struct check *c, unsigned int cpu, uint32_t leaf, unsigned int end,
		      const struct kvm_cpuid_entry2 *const *cache)
{
	if (end == CHECK_CACHES || !cache[end])
		check_say(c, cpu, leaf, "leaf 0x%x has no closing sub-leaf of type 0 behind its %u cache%s",
			  leaf, end, check_plural(end));
	for (unsigned int sub = end + 1; sub < CHECK_CACHES; sub++)
		if (cache[sub] && (cache[sub]->eax & 0x1f))
			check_say(c, cpu, leaf,
				  "leaf 0x%x sub-leaf %u tells of a cache, but sub-leaf %u ends the list: "
				  "guests never "
				  "read it",
				  leaf, sub, end);
}

void check_caches(struct check *c, unsigned int cpu, const struct check_leaves *l)
{
	const struct kvm_cpuid_entry2 *const *cache = l->cache[l->amd];
	struct check_seen *s = &c->seen[cpu];
	uint32_t leaf = l->amd ? 0x8000001d : 4;
	unsigned int sub, widest = 0, wider = 0, level = 0;

	if (!cache[0] || (l->amd ? s->max_ext : s->max_basic) < leaf) {
		check_missing(c, cpu, leaf);
		return;
	}
	for (sub = 0; sub < CHECK_CACHES && cache[sub] && (cache[sub]->eax & 0x1f); sub++) {
		struct told d = cache_decode(cache[sub]);

		if (d.level > level) { /* caches of one level are not compared */
			widest = wider;
			level = d.level;
		}
		check_one(c, cpu, leaf, sub, cache[sub], widest);
		wider = MAX(wider, d.shift);
		check_sizes(c, cpu, leaf, sub, &d);
		check_old_sizes(c, cpu, l, &d);
		s->cache_class[sub] = (uint8_t)class_of(c, &d);
		s->cache_shift[sub] =
			(uint8_t)(d.field == 0xfff ? CHECK_UNKNOWN : d.shift); /* 12 bits: 4096, or more */
		s->nr_caches = (uint8_t)(sub + 1);
	}
	check_missing(c, cpu, leaf);
	check_end(c, cpu, leaf, sub, cache);
}

/* ---- all vCPUs together ---- */

/* How many vCPUs have each instance of each kind, [kind * n + instance]; NULL without memory. */
static uint16_t *count_instances(const struct topology *t)
{
	uint16_t *nr = calloc((size_t)MAX(t->nr_caches, 1u) * t->nr_cpus, sizeof(*nr));

	for (unsigned int i = 0; nr && i < t->nr_cpus; i++)
		for (unsigned int k = 0; k < t->nr_caches; k++)
			if (t->cpu[i].cache[k] < t->nr_cpus)
				nr[(size_t)k * t->nr_cpus + t->cpu[i].cache[k]]++;
	return nr;
}

static void check_cache_set(struct check *c, unsigned int cpu, unsigned int i, uint32_t *first,
			    const uint16_t *nr)
{
	const struct check_seen *s = &c->seen[cpu];
	unsigned int class = s->cache_class[i], shift = s->cache_shift[i], level, type;
	int k, told;
	size_t at;
	char name[16];

	if (!class || shift >= CHECK_SHIFTS)
		return;
	level = c->class_key[class] >> 2;
	type = c->class_key[class] & 3;
	k = asked_kind(c, cpu, level, type);
	if (k < 0 || c->t->cpu[cpu].cache[k] >= c->n)
		return;
	at = (size_t)k * c->n + c->t->cpu[cpu].cache[k];
	told = check_set(c, cpu, class, shift, &first[at], nr[at]);
	if (told > 0)
		check_say(c, cpu, class,
			  "leaf 0x%x tells that those share the %s cache whose APIC ids are equal from bit "
			  "%u up: %d vCPU%s; asked for %s %u",
			  c->amd ? 0x8000001d : 4, class_name(level, type, name), shift, told,
			  check_plural((unsigned int)told), nr[at] == 1 ? "was" : "were", nr[at]);
	else if (told < 0)
		check_say(c, cpu, class,
			  "leaf 0x%x tells that those share the %s cache whose APIC ids are equal from bit "
			  "%u up: other "
			  "vCPUs than were asked for",
			  c->amd ? 0x8000001d : 4, class_name(level, type, name), shift);
}

/* Linux v6.1, smpboot.c, topology_sane(): an L3 in two nodes is known from Intel's sub-NUMA clustering alone. */
static void check_cache_node(struct check *c, unsigned int cpu, unsigned int k, uint32_t *node)
{
	const struct topo_cache *cache = &c->t->cache[k];
	uint32_t own = c->t->cpu[cpu].node + 1u;
	char name[16];

	if (!*node)
		*node = own;
	if (*node == own || (cache->level >= 3 && !c->amd))
		return;
	check_say(c, cpu, 0x10000 + k,
		  "NUMA node %u has it, node %u others that share its %s cache: Linux warns that these "
		  "siblings "
		  "are not on the same node, and takes them apart",
		  own - 1, *node - 1, class_name(cache->level, cache->type, name));
}

static void check_core_node(struct check *c, unsigned int cpu, uint32_t *node)
{
	uint32_t own = c->t->cpu[cpu].node + 1u;

	if (!*node)
		*node = own;
	if (*node != own)
		check_say(c, cpu, 0,
			  "NUMA node %u has it, node %u other threads of its core: Linux warns that these "
			  "siblings are not "
			  "on the same node, and takes them apart",
			  own - 1, *node - 1);
}

static void check_nodes(struct check *c)
{
	const struct topology *t = c->t;
	uint32_t *node = calloc((size_t)(t->nr_caches + 1) * c->n, sizeof(*node));

	c->failed |= !node;
	for (unsigned int i = 0; node && i < c->n; i++) {
		check_core_node(c, i, &node[(size_t)t->nr_caches * c->n + t->cpu[i].unit[TOPO_CORE]]);
		for (unsigned int k = 0; k < t->nr_caches; k++)
			if (t->cpu[i].cache[k] < c->n)
				check_cache_node(c, i, k, &node[(size_t)k * c->n + t->cpu[i].cache[k]]);
	}
	free(node);
}

void check_sharing(struct check *c)
{
	uint32_t *first = calloc((size_t)MAX(c->t->nr_caches, 1u) * c->n, sizeof(*first));
	uint16_t *nr = count_instances(c->t);

	c->failed |= !first || !nr;
	for (unsigned int i = 0; first && nr && i < c->n; i++)
		for (unsigned int k = 0; k < c->seen[i].nr_caches; k++)
			check_cache_set(c, i, k, first, nr);
	if (c->t->nr_nodes)
		check_nodes(c);
	free(first);
	free(nr);
}
