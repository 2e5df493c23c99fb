/*
 * Topologies made by hand, for the tests of the views: they need no option, no host and none of vmm/cpu/'s makers.
 */
#ifndef TRELLIS_VIEW_VIEW_RIG_H
#define TRELLIS_VIEW_VIEW_RIG_H

#include <check.h>
#include <stdlib.h>

#include "vmm/view/view.h"

/* One vCPU of an uneven machine. */
struct rig_cpu {
	uint16_t package, die, module, core, thread;
	uint8_t type;
};

static inline unsigned int rig_bits(unsigned int n)
{
	unsigned int bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

/* A vCPU is in the same unit of a level as another when all numbers from there up are equal. */
static inline bool rig_same(const struct topo_cpu *a, const struct topo_cpu *b, unsigned int level)
{
	for (unsigned int i = level; i < NR_TOPO_LEVELS; i++)
		if (a->id[i] != b->id[i])
			return false;
	return true;
}

/* From id[] to everything else. Units must not come back once left. */
static inline void rig_finish(struct topology *t)
{
	t->nr_present = t->nr_cpus;
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
		t->count[level] = 0;
		for (unsigned int i = 0; i < t->nr_cpus; i++)
			t->count[level] = MAX(t->count[level], t->cpu[i].id[level] + 1u);
		t->shift[level] = level ? t->shift[level - 1] + rig_bits(t->count[level - 1]) : 0;
		t->unit_cpus[level] = level ? calloc(t->nr_cpus, sizeof(uint16_t)) : NULL;
	}
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		struct topo_cpu *c = &t->cpu[i];

		c->present = true;
		c->host_cpu = -1;
		for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
			c->apic_id |= (uint32_t)c->id[level] << t->shift[level];
			if (!i || !rig_same(c, c - 1, level))
				t->nr_units[level]++;
			c->unit[level] = (uint16_t)(t->nr_units[level] - 1);
			if (level)
				t->unit_cpus[level][c->unit[level]]++;
		}
		for (unsigned int k = 0; k < TOPO_MAX_CACHES; k++)
			c->cache[k] = TOPO_NO_CACHE;
		t->hybrid = t->hybrid || c->core_type != TOPO_ALIKE;
	}
}

static inline void rig_regular(struct topology *t, unsigned int packages, unsigned int dies,
			       unsigned int modules, unsigned int cores, unsigned int threads)
{
	const unsigned int count[NR_TOPO_LEVELS] = { threads, cores, modules, dies, packages };

	*t = (struct topology){ .regular = true, .nr_cpus = packages * dies * modules * cores * threads };
	t->cpu = calloc(t->nr_cpus, sizeof(*t->cpu));
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		unsigned int rest = i;

		for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++, rest /= count[level - 1])
			t->cpu[i].id[level] = (uint16_t)(rest % count[level]);
	}
	rig_finish(t);
}

static inline void rig_uneven(struct topology *t, const struct rig_cpu *cpus, unsigned int nr)
{
	*t = (struct topology){ .nr_cpus = nr };
	t->cpu = calloc(nr, sizeof(*t->cpu));
	for (unsigned int i = 0; i < nr; i++) {
		t->cpu[i].id[TOPO_THREAD] = cpus[i].thread;
		t->cpu[i].id[TOPO_CORE] = cpus[i].core;
		t->cpu[i].id[TOPO_MODULE] = cpus[i].module;
		t->cpu[i].id[TOPO_DIE] = cpus[i].die;
		t->cpu[i].id[TOPO_PACKAGE] = cpus[i].package;
		t->cpu[i].core_type = cpus[i].type;
	}
	rig_finish(t);
}

/* Four performance cores with two threads each, and four efficiency cores. */
static inline void rig_hybrid(struct topology *t)
{
	struct rig_cpu cpus[12] = { { 0 } };

	for (unsigned int i = 0; i < 12; i++)
		cpus[i] = i < 8 ? (struct rig_cpu){ .core = (uint16_t)(i / 2),
						    .thread = i % 2,
						    .type = TOPO_PERFORMANCE }
				: (struct rig_cpu){ .core = (uint16_t)(i - 4), .type = TOPO_EFFICIENCY };
	rig_uneven(t, cpus, 12);
}

/* The first vCPUs are there, the others can be plugged. */
static inline void rig_present(struct topology *t, unsigned int present)
{
	t->nr_present = present;
	for (unsigned int i = 0; i < t->nr_cpus; i++)
		t->cpu[i].present = i < present;
}

/*
 * One more kind of cache, which each unit of a level has. Only cores of this type have it; 0: all. cores: so many
 * cores together have one, where that is no level (0: it is one).
 */
static inline void rig_cache_of(struct topology *t, unsigned int level, enum cache_type type, uint32_t bytes,
				enum topo_level shared, uint8_t core_type, unsigned int cores)
{
	unsigned int kind = t->nr_caches++;
	uint16_t base = UINT16_MAX;

	t->cache[kind] = (struct topo_cache){ .type = type,
					      .level = (uint8_t)level,
					      .shared = shared,
					      .bytes = bytes,
					      .line = 64,
					      .ways = 8,
					      .partitions = 1,
					      .sets = bytes / 512,
					      .core_type = core_type };
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		struct topo_cpu *c = &t->cpu[i];
		unsigned int unit = c->unit[shared] / MAX(cores, 1u);

		if (core_type && c->core_type != core_type)
			continue;
		if (base == UINT16_MAX)
			base = (uint16_t)unit;
		c->cache[kind] = (uint16_t)(unit - base);
		c->cache_shift[kind] = (uint8_t)(t->shift[shared] + rig_bits(MAX(cores, 1u)));
	}
}

/* What most servers have: L1 and L2 in the core, L3 in the die. */
static inline void rig_caches(struct topology *t)
{
	rig_cache_of(t, 1, CACHE_DATA, 48 * KIB, TOPO_CORE, 0, 0);
	rig_cache_of(t, 1, CACHE_INSTRUCTION, 32 * KIB, TOPO_CORE, 0, 0);
	rig_cache_of(t, 2, CACHE_UNIFIED, 2 * MIB, TOPO_CORE, 0, 0);
	rig_cache_of(t, 3, CACHE_UNIFIED, 32 * MIB, TOPO_DIE, 0, 0);
}

static inline void rig_hybrid_caches(struct topology *t)
{
	rig_cache_of(t, 1, CACHE_DATA, 48 * KIB, TOPO_CORE, TOPO_PERFORMANCE, 0);
	rig_cache_of(t, 1, CACHE_DATA, 32 * KIB, TOPO_CORE, TOPO_EFFICIENCY, 0);
	rig_cache_of(t, 1, CACHE_INSTRUCTION, 32 * KIB, TOPO_CORE, TOPO_PERFORMANCE, 0);
	rig_cache_of(t, 1, CACHE_INSTRUCTION, 64 * KIB, TOPO_CORE, TOPO_EFFICIENCY, 0);
	rig_cache_of(t, 2, CACHE_UNIFIED, 2 * MIB, TOPO_CORE, TOPO_PERFORMANCE, 0);
	rig_cache_of(t, 2, CACHE_UNIFIED, 4 * MIB, TOPO_CORE, TOPO_EFFICIENCY, 4);
	rig_cache_of(t, 3, CACHE_UNIFIED, 24 * MIB, TOPO_PACKAGE, 0, 0);
}

/* Nodes of equal memory, 10 to themselves and 21 to others; each takes so many vCPUs, the last ones may get none. */
static inline void rig_nodes(struct topology *t, unsigned int nr, unsigned int cpus_each, uint64_t bytes)
{
	t->nr_nodes = nr;
	t->node = calloc(nr, sizeof(*t->node));
	t->distance = calloc((size_t)nr * nr, 1);
	for (unsigned int i = 0; i < nr; i++)
		t->node[i].memory_bytes = bytes;
	for (unsigned int i = 0; i < nr * nr; i++)
		t->distance[i] = i / nr == i % nr ? 10 : 21;
	for (unsigned int i = 0; i < t->nr_cpus; i++)
		t->cpu[i].node = (uint16_t)MIN(i / cpus_each, nr - 1);
}

/* What a view prints; free() it. */
static inline char *rig_print(int (*view)(struct processors *p, FILE *out, struct err *e),
			      struct processors *p)
{
	struct err e = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(view(p, out, &e), 0);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_str_eq(e.text, "");
	return text;
}

/* How often a text holds another. */
static inline unsigned int rig_count(const char *text, const char *what)
{
	unsigned int nr = 0;

	for (const char *s = strstr(text, what); s; s = strstr(s + strlen(what), what))
		nr++;
	return nr;
}

/* The text's line that begins so, cut out of it; "" when there is none. Valid until the next call. */
static inline const char *rig_line(const char *text, const char *begin)
{
	static char line[512];
	size_t len;

	for (line[0] = '\0'; text && *text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL) {
		if (strncmp(text, begin, strlen(begin)))
			continue;
		len = MIN(strcspn(text, "\n"), sizeof(line) - 1);
		memcpy(line, text, len);
		line[len] = '\0';
		break;
	}
	return line;
}

/* main() of a test program with one case. */
static inline int rig_run(const char *name, TCase *c)
{
	Suite *suite = suite_create(name);
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, 60);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static inline void rig_fini(struct topology *t)
{
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
		free(t->unit_cpus[level]);
	free(t->cpu);
	free(t->node);
	free(t->distance);
	free(t->path);
	*t = (struct topology){ 0 };
}

#endif
