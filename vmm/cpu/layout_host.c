/*
 * This host as a layout, from sysfs (Linux, Documentation/ABI/stable/sysfs-devices-system-cpu and
 * Documentation/admin-guide/cputopology.rst, v6.1). Old kernels, containers and guests lack some of the files, or
 * have -1 and 65535 in them: whatever cannot be known is left out, and a flat machine comes out of nothing at all.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/cpulist.h"
#include "vmm/base/opt.h"
#include "vmm/base/sysfile.h"
#include "vmm/cpu/layout_internal.h"

enum {
	HOST_MAX_CPU = 8191,  /* CONFIG_NR_CPUS of x86 goes up to 8192 */
	HOST_MAX_NODE = 1023, /* and CONFIG_NODES_SHIFT to 10 */
	HOST_MAX_INDEX = 16,  /* caches of one CPU */
	NOT_CHOSEN = UINT16_MAX,
};

/* One CPU on the way to its place. */
struct host_cpu {
	uint32_t number; /* the host's */
	int64_t package, die, core;
	uint32_t first_thread; /* the lowest CPU of its core; itself if not known */
};

struct host {
	const char *sysfs;
	struct err *e;
	struct layout *l;
	struct host_cpu *cpu; /* owned; nr */
	unsigned int nr;
	bool online[HOST_MAX_CPU + 1], chosen[HOST_MAX_CPU + 1];
	uint16_t vcpu[HOST_MAX_CPU + 1]; /* of each chosen CPU; else NOT_CHOSEN */
	uint16_t node[HOST_MAX_CPU + 1]; /* the host's node of each CPU */
	uint8_t type[HOST_MAX_CPU + 1];  /* enum topo_core_type */
};

/* ---- small files ---- */

enum { TEXT_BYTES = 32 * 1024 }; /* the longest list of 8192 CPUs, and a row of 1024 distances */

/* The text of sysfs/devices/..., without the newline at its end; false when there is none. text: TEXT_BYTES. */
PRINTF(3, 4) static bool host_text(const struct host *h, char *text, const char *fmt, ...)
{
	char name[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	return sysfile_text(h->sysfs, text, TEXT_BYTES, "/devices/%s", name) >= 0;
}

/* A number of cpuN's, or -1: so are those that the kernel does not know (65535: the same in 16 bits). */
static int64_t cpu_number(const struct host *h, unsigned int cpu, const char *name)
{
	char text[TEXT_BYTES];
	uint64_t v;

	if (!host_text(h, text, "system/cpu/cpu%u/%s", cpu, name) ||
	    opt_parse_uint(text, 0, UINT32_MAX - 1, &v) < 0)
		return -1;
	return v == 65535 ? -1 : (int64_t)v;
}

static int first_only(void *ctx, unsigned int n)
{
	*(uint32_t *)ctx = n;
	return 1;
}

/* The lowest CPU of those in a list of cpuN's, or cpu itself. */
static uint32_t cpu_first(const struct host *h, unsigned int cpu, const char *name)
{
	char text[TEXT_BYTES];
	uint32_t first = cpu;

	if (host_text(h, text, "system/cpu/cpu%u/%s", cpu, name) &&
	    cpulist_each(text, HOST_MAX_CPU, first_only, &first) < 0)
		return cpu;
	return first;
}

/* ---- which CPUs ---- */

static int flag_add(void *ctx, unsigned int n)
{
	((bool *)ctx)[n] = true;
	return 0;
}

static bool in_flags(const void *ctx, unsigned int i)
{
	return ((const bool *)ctx)[i];
}

/* "0-3,8" of flags. Returns buf. */
static const char *flags_text(const bool *flags, char *buf, size_t len)
{
	FILE *out = fmemopen(buf, len, "w");

	buf[0] = '\0';
	if (out) {
		setvbuf(out, NULL, _IONBF, 0); /* so that what does not fit is cut off, not lost */
		cpulist_print(out, HOST_MAX_CPU + 1, in_flags, flags);
		fclose(out);
	}
	buf[len - 1] = '\0';
	return buf;
}

static int allowed_read(bool *allowed, struct err *e)
{
	size_t size = CPU_ALLOC_SIZE(HOST_MAX_CPU + 1);
	cpu_set_t *set = CPU_ALLOC(HOST_MAX_CPU + 1);
	int rc = set ? 0 : -ENOMEM;

	if (rc == 0 && sched_getaffinity(0, size, set) < 0)
		rc = -errno;
	for (unsigned int i = 0; rc == 0 && i <= HOST_MAX_CPU; i++)
		allowed[i] = CPU_ISSET_S(i, size, set);
	CPU_FREE(set);
	return rc < 0 ? err_sys(e, rc, "--topology host: sched_getaffinity") : 0;
}

static int choose(struct host *h, const char *list)
{
	char text[TEXT_BYTES], some[128];
	bool known = host_text(h, text, "system/cpu/online") &&
		     cpulist_each(text, HOST_MAX_CPU, flag_add, h->online) == 0 && *text;
	int rc;

	if (!list && (rc = allowed_read(h->chosen, h->e)) < 0)
		return rc;
	if (list &&
	    (cpulist_each(list, HOST_MAX_CPU, flag_add, h->chosen) < 0 || !list[strspn(list, " \t\r\n")]))
		return err_usage(
			h->e,
			"--topology host:%.80s: expected CPUs of this host, as in host:0-3,8; online are %s",
			list, known ? flags_text(h->online, some, sizeof(some)) : "not known");
	for (unsigned int i = 0; i <= HOST_MAX_CPU; i++) {
		if (list && known && h->chosen[i] && !h->online[i])
			return err_usage(h->e,
					 "--topology host:%.80s: CPU %u of this host is not online; expected "
					 "some of %s",
					 list, i, flags_text(h->online, some, sizeof(some)));
		h->chosen[i] &= !known || h->online[i];
		h->nr += h->chosen[i];
	}
	if (!h->nr || h->nr > TOPO_MAX_CPUS)
		return err_usage(h->e,
				 "--topology host: %u CPUs of this host; a machine can have 1 to %d, choose "
				 "some with host:CPUS",
				 h->nr, TOPO_MAX_CPUS);
	return 0;
}

/* ---- places ---- */

static int place_compare(const void *a, const void *b)
{
	const struct host_cpu *x = a, *y = b;

	if (x->package != y->package)
		return x->package < y->package ? -1 : 1;
	if (x->die != y->die)
		return x->die < y->die ? -1 : 1;
	if (x->core != y->core)
		return x->core < y->core ? -1 : 1;
	if (x->first_thread != y->first_thread)
		return x->first_thread < y->first_thread ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void place_read(const struct host *h, struct host_cpu *c)
{
	char text[TEXT_BYTES];

	c->package = cpu_number(h, c->number, "topology/physical_package_id");
	c->die = cpu_number(h, c->number, "topology/die_id");
	c->core = cpu_number(h, c->number, "topology/core_id");
	if (host_text(h, text, "system/cpu/cpu%u/topology/core_cpus_list", c->number))
		c->first_thread = cpu_first(h, c->number, "topology/core_cpus_list");
	else if (host_text(h, text, "system/cpu/cpu%u/topology/thread_siblings_list",
			   c->number)) /* before v5.3 */
		c->first_thread = cpu_first(h, c->number, "topology/thread_siblings_list");
	else /* the core's number must do */
		c->first_thread = c->core < 0 ? c->number : 0;
}

static int places_fill(struct host *h)
{
	struct layout *l = h->l;

	h->cpu = calloc(h->nr, sizeof(*h->cpu));
	l->cpu = calloc(h->nr, sizeof(*l->cpu));
	if (!h->cpu || !l->cpu)
		return err_set(h->e, -ENOMEM, "out of memory for %u processors", h->nr);
	for (uint32_t i = 0; i <= HOST_MAX_CPU; i++)
		if (h->chosen[i])
			h->cpu[l->nr_cpus++].number = i;
	for (unsigned int i = 0; i < h->nr; i++)
		place_read(h, &h->cpu[i]);
	qsort(h->cpu, h->nr, sizeof(*h->cpu), place_compare);
	for (unsigned int i = 0; i < h->nr; i++) {
		const struct host_cpu *c = &h->cpu[i], *last = i ? c - 1 : c;

		h->vcpu[c->number] = (uint16_t)i;
		l->cpu[i] = layout_cpu_default();
		l->cpu[i].host_cpu = (int32_t)c->number;
		layout_place_next(l, i,
				  c->package != last->package ? TOPO_PACKAGE
				  : c->die != last->die       ? TOPO_DIE
				  : c->core != last->core || c->first_thread != last->first_thread
					  ? TOPO_CORE
					  : TOPO_THREAD);
	}
	return 0;
}

/* ---- core types ---- */

/* Linux names hybrid cores by their performance counters: intel_pmu_init(), arch/x86/events/intel/core.c, v6.1. */
static void types_fill(struct host *h)
{
	static const struct {
		const char *pmu;
		uint8_t type;
	} pmus[] = {
		{ "cpu_core", TOPO_PERFORMANCE },
		{ "cpu_atom", TOPO_EFFICIENCY },
		{ "cpu_lowpower", TOPO_EFFICIENCY },
	};
	char text[TEXT_BYTES];
	bool found[3] = { false }, flags[HOST_MAX_CPU + 1];

	for (unsigned int p = 0; p < ARRAY_SIZE(pmus); p++) {
		memset(flags, 0, sizeof(flags));
		if (!host_text(h, text, "%s/cpus", pmus[p].pmu) ||
		    cpulist_each(text, HOST_MAX_CPU, flag_add, flags) < 0)
			continue;
		for (unsigned int i = 0; i <= HOST_MAX_CPU; i++)
			if (flags[i])
				h->type[i] = pmus[p].type;
	}
	for (unsigned int i = 0; i < h->nr; i++)
		found[h->type[h->l->cpu[i].host_cpu]] = true;
	/* a machine of one type is not hybrid, and one with CPUs of no type has not been understood */
	for (unsigned int i = 0;
	     i < h->nr && !found[TOPO_ALIKE] && found[TOPO_PERFORMANCE] && found[TOPO_EFFICIENCY]; i++)
		h->l->cpu[i].core_type = h->type[h->l->cpu[i].host_cpu];
}

/* ---- caches ---- */

/* A number of cpuN/cache/indexM's, or 0. */
static unsigned int cache_number(const struct host *h, unsigned int cpu, unsigned int index, const char *name,
				 uint64_t max)
{
	char file[64];
	int64_t v;

	snprintf(file, sizeof(file), "cache/index%u/%s", index, name);
	v = cpu_number(h, cpu, file);
	return v < 0 || (uint64_t)v > max ? 0 : (unsigned int)v;
}

/* Read a cache; false: there is none, or none that CPUID could tell of. */
static bool cache_read(const struct host *h, unsigned int cpu, unsigned int index, struct topo_cache *c)
{
	static const struct {
		const char *word;
		enum cache_type type;
	} types[] = { { "Data", CACHE_DATA },
		      { "Instruction", CACHE_INSTRUCTION },
		      { "Unified", CACHE_UNIFIED } };
	char text[TEXT_BYTES];
	uint64_t bytes;

	*c = (struct topo_cache){ .level = (uint8_t)cache_number(h, cpu, index, "level", 4),
				  .partitions = 1 };
	if (!c->level || !host_text(h, text, "system/cpu/cpu%u/cache/index%u/type", cpu, index))
		return false;
	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(text, types[i].word))
			c->type = types[i].type;
	if (!c->type || !host_text(h, text, "system/cpu/cpu%u/cache/index%u/size", cpu, index))
		return c->type != 0;
	if (opt_parse_size(text, KIB, 2 * GIB, &bytes) < 0)
		return true; /* of a size that is not known */
	c->bytes = (uint32_t)bytes;
	c->line = (uint16_t)cache_number(h, cpu, index, "coherency_line_size", 4096);
	c->ways = (uint16_t)cache_number(h, cpu, index, "ways_of_associativity", 1024);
	c->sets = cache_number(h, cpu, index, "number_of_sets", UINT32_MAX);
	c->partitions = (uint16_t)MAX(cache_number(h, cpu, index, "physical_line_partition", 1024), 1u);
	if ((uint64_t)c->line * c->ways * c->partitions * c->sets != bytes || (c->line & (c->line - 1)))
		c->ways = c->line = 0, c->sets = 0,
		c->partitions = 1; /* numbers that do not go together: caches_place() finds some */
	return true;
}

/* Find the first chosen CPU of a list. */
struct sharers {
	const struct host *h;
	uint16_t lowest; /* vCPU */
	bool own;        /* the CPU itself is there */
	unsigned int cpu;
};

static int sharers_add(void *ctx, unsigned int n)
{
	struct sharers *s = ctx;

	s->own |= n == s->cpu;
	s->lowest = MIN(s->lowest, s->h->vcpu[n]);
	return 0;
}

/* The number of an instance is its first vCPU. */
static int32_t cache_group(const struct host *h, unsigned int cpu, unsigned int index)
{
	struct sharers s = { .h = h, .lowest = NOT_CHOSEN, .cpu = cpu };
	char text[TEXT_BYTES];

	if (!host_text(h, text, "system/cpu/cpu%u/cache/index%u/shared_cpu_list", cpu, index))
		return LAYOUT_BY_LEVEL;
	if (cpulist_each(text, HOST_MAX_CPU, sharers_add, &s) < 0 || !s.own)
		return h->vcpu[cpu];
	return s.lowest;
}

static int caches_fill(struct host *h)
{
	struct layout *l = h->l;
	struct topo_cache c;

	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		unsigned int cpu = (unsigned int)l->cpu[i].host_cpu;

		for (unsigned int index = 0; index < HOST_MAX_INDEX; index++) {
			int kind;

			if (!cache_read(h, cpu, index, &c))
				continue;
			kind = layout_cache_kind(l, &c);
			if (kind < 0)
				return err_set(h->e, kind,
					       "--topology host: this host has more than %d kinds of caches",
					       TOPO_MAX_CACHES);
			l->cpu[i].group[kind] = cache_group(h, cpu, index);
		}
	}
	l->all_caches = l->nr_caches > 0;
	return 0;
}

/* ---- nodes ---- */

struct node_cpus {
	struct host *h;
	uint16_t node;
};

static int node_add_cpu(void *ctx, unsigned int n)
{
	struct node_cpus *nc = ctx;

	nc->h->node[n] = nc->node;
	return 0;
}

/* The row of one host node; from and to: the host's nodes of ours. Returns false when it is not to be had. */
static bool distance_row(const struct host *h, const bool *online, const uint16_t *host_node,
			 unsigned int from)
{
	unsigned int nr = h->l->nr_nodes, to = 0;
	char text[TEXT_BYTES], *word, *save = NULL;
	uint64_t v;

	if (!host_text(h, text, "system/node/node%u/distance", host_node[from]))
		return false;
	word = strtok_r(text, " ", &save);
	for (unsigned int i = 0; i <= HOST_MAX_NODE && to < nr;
	     i++) { /* one number for each node that is online */
		if (!online[i])
			continue;
		if (!word || opt_parse_uint(word, 1, 255, &v) < 0)
			return false;
		if (i == host_node[to])
			h->l->distance[from * nr + to++] = (uint8_t)v;
		word = strtok_r(NULL, " ", &save);
	}
	return to == nr;
}

static int distances_fill(struct host *h, const bool *online, const uint16_t *host_node)
{
	struct layout *l = h->l;
	bool known = true;

	l->distance = calloc(l->nr_nodes, l->nr_nodes);
	if (!l->distance)
		return -ENOMEM;
	for (unsigned int i = 0; known && i < l->nr_nodes; i++)
		known = distance_row(h, online, host_node, i);
	if (!known || !layout_distances_fit(l->distance, l->nr_nodes)) {
		free(l->distance);
		l->distance = NULL;
	}
	return 0;
}

/*
 * Nodes of the CPUs chosen, from 0 on in the host's order, bound to the host's. A host with one node has no NUMA.
 * Memory sizes are left out: a guest has less than the host.
 */
static int nodes_fill(struct host *h)
{
	bool online[HOST_MAX_NODE + 1] = { false }, used[HOST_MAX_NODE + 1] = { false };
	uint16_t number[HOST_MAX_NODE + 1] = { 0 }, host_node[TOPO_MAX_NODES];
	struct layout *l = h->l;
	char text[TEXT_BYTES];
	unsigned int nr = 0, all = 0;

	memset(h->node, 0xff, sizeof(h->node));
	if (!host_text(h, text, "system/node/online") ||
	    cpulist_each(text, HOST_MAX_NODE, flag_add, online) < 0)
		return 0;
	for (unsigned int i = 0; i <= HOST_MAX_NODE; i++) {
		struct node_cpus nc = { .h = h, .node = (uint16_t)i };

		all += online[i];
		if (online[i] && host_text(h, text, "system/node/node%u/cpulist", i) &&
		    cpulist_each(text, HOST_MAX_CPU, node_add_cpu, &nc) < 0)
			return 0;
	}
	for (unsigned int i = 0; i < l->nr_cpus; i++)
		if (h->node[l->cpu[i].host_cpu] <= HOST_MAX_NODE)
			used[h->node[l->cpu[i].host_cpu]] = true;
	for (unsigned int i = 0; i <= HOST_MAX_NODE; i++) {
		if (used[i] && nr == TOPO_MAX_NODES)
			return err_set(h->e, -ENOSPC, "--topology host: these CPUs are in more than %d nodes",
				       TOPO_MAX_NODES);
		if (used[i]) {
			host_node[nr] = (uint16_t)i;
			number[i] = (uint16_t)nr++;
		}
	}
	if (all < 2 || !nr)
		return 0;
	l->node = calloc(nr, sizeof(*l->node));
	if (!l->node)
		return -ENOMEM;
	l->nr_nodes = nr;
	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		uint16_t node = h->node[l->cpu[i].host_cpu];

		l->cpu[i].node = node <= HOST_MAX_NODE ? number[node] : 0;
	}
	for (unsigned int i = 0; i < nr; i++)
		if (host_node[i] < 128) {
			l->node[i].host_nodes[host_node[i] / 64] = 1ull << host_node[i] % 64;
			l->node[i].policy = NODE_BIND;
		}
	return distances_fill(h, online, host_node);
}

int layout_read_host(struct layout *l, const char *sysfs, const char *list, struct err *e)
{
	struct host *h = calloc(1, sizeof(*h));
	int rc;

	*l = (struct layout){ 0 };
	if (!h)
		return err_set(e, -ENOMEM, "out of memory for this host's processors");
	h->sysfs = sysfs;
	h->e = e;
	h->l = l;
	memset(h->vcpu, 0xff, sizeof(h->vcpu));
	if ((rc = choose(h, list)) < 0 || (rc = places_fill(h)) < 0 || (rc = caches_fill(h)) < 0 ||
	    (rc = layout_find_modules(l, e)) < 0)
		goto end;
	types_fill(h);
	layout_describe_caches(l);
	rc = nodes_fill(h);
	if (rc == -ENOMEM)
		rc = err_set(e, rc, "out of memory for this host's nodes");
end:
	free(h->cpu);
	free(h);
	return rc;
}
