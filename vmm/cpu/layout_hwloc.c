/*
 * Another machine's shape, from the XML that hwloc writes (lstopo --of xml), of its versions 1.x and 2.x. Objects
 * nest as the machine does: each PU becomes a vCPU, in the order of the file, and belongs to the objects that are
 * open around it. Nodes are found by their cpuset, since in 2.x they are beside the CPUs, not around them.
 * I/O devices are looked through; a type that is not known is refused, as what is inside could belong to it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/opt.h"
#include "vmm/cpu/layout_hwloc.h"

enum { FILE_LIMIT = 64 * 1024 * 1024 }; /* 4096 PUs make 40 MiB, of sets mostly */

/* ---- objects ---- */

/* What a group is by its subtype, which 1.x has in an <info name="Type"> of the object. */
static enum object_type type_of_group(const char *subtype)
{
	static const char *const modules[] = { "Module", "Cluster", "Compute Unit", "ComputeUnit" };

	for (unsigned int m = 0; m < ARRAY_SIZE(modules); m++)
		if (!strcmp(subtype, modules[m]))
			return OBJ_MODULE;
	return strcmp(subtype, "Die") ? OBJ_GROUP : OBJ_DIE;
}

/* hwloc 1.x says Socket, Node and Cache where 2.x says Package, NUMANode and L1Cache, L1iCache ... */
static enum object_type type_of(const char *name, const char *subtype)
{
	static const struct {
		const char *name;
		enum object_type type;
	} types[] = {
		{ "Machine", OBJ_MACHINE }, { "System", OBJ_MACHINE },  { "NUMANode", OBJ_NODE },
		{ "Node", OBJ_NODE },       { "Package", OBJ_PACKAGE }, { "Socket", OBJ_PACKAGE },
		{ "Die", OBJ_DIE },         { "Group", OBJ_GROUP },     { "Cache", OBJ_CACHE },
		{ "Core", OBJ_CORE },       { "PU", OBJ_PU },           { "MemCache", OBJ_OTHER },
		{ "Misc", OBJ_OTHER },      { "Bridge", OBJ_OTHER },    { "PCIDev", OBJ_OTHER },
		{ "OSDev", OBJ_OTHER },
	};
	unsigned int level = name[0] == 'L' && name[1] >= '1' && name[1] <= '5' ? (unsigned int)(name[1] - '0') : 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(name, types[i].name))
			return types[i].type == OBJ_GROUP && subtype ? type_of_group(subtype) : types[i].type;
	if ((level && !strcmp(name + 2, "Cache")) || (level && level <= 3 && !strcmp(name + 2, "iCache")))
		return OBJ_CACHE;
	return OBJ_UNKNOWN;
}

/* A cache that has begun: which kind it is. CPUID has levels up to 4; deeper ones are looked through. */
static int cache_begin(struct hwloc_reader *r, struct frame *f, const char *name)
{
	struct topo_cache c = { .partitions = 1 };
	const char *ways = xml_attr(&r->xml, "cache_associativity");
	uint64_t level, type, bytes, line, v;
	bool instruction = name[0] == 'L' && name[2] == 'i';
	int rc;

	if ((rc = hwloc_number(r, "depth", 255, name[0] == 'L' ? (uint64_t)(name[1] - '0') : 0, &level)) <
		    0 ||
	    (rc = hwloc_number(r, "cache_type", 2, instruction ? 2 : 0, &type)) < 0 ||
	    (rc = hwloc_number(r, "cache_size", UINT64_MAX, 0, &bytes)) < 0 ||
	    (rc = hwloc_number(r, "cache_linesize", UINT64_MAX, 0, &line)) < 0)
		return rc;
	if (level < 1 || level > 4)
		return 0;
	if (level == 1 &&
	    type == 0) /* 1.x before 1.9: nobody said; none of those machines had a unified one */
		type = 1;
	c.level = (uint8_t)level;
	c.type = type == 1 ? CACHE_DATA : type == 2 ? CACHE_INSTRUCTION : CACHE_UNIFIED;
	if (bytes >= KIB && bytes <= 2 * GIB && bytes % KIB == 0)
		c.bytes = (uint32_t)bytes;
	if (c.bytes && line >= 16 && line <= 4096 && !(line & (line - 1)))
		c.line = (uint16_t)line;
	/* 0: not known; -1: fully associative, which caches_place() approaches, as no x86 has it above a few lines */
	if (c.line && ways && opt_parse_uint(ways, 1, 1024, &v) == 0 && c.bytes % (v * c.line) == 0) {
		c.ways = (uint16_t)v;
		c.sets = (uint32_t)(c.bytes / (v * c.line));
	}
	f->kind = layout_cache_kind(r->l, &c);
	if (f->kind < 0)
		return hwloc_refuse(r, "there are more than %d kinds of caches", TOPO_MAX_CACHES);
	for (unsigned int i = 0; level == 3 && i + 1 < r->xml.depth; i++)
		r->frame[i].parted = true;
	return 0;
}

static int node_begin(struct hwloc_reader *r)
{
	const char *set = xml_attr(&r->xml, "cpuset");
	struct node *n = &r->node[r->nr_nodes];
	uint64_t index;
	int rc;

	if (r->nr_nodes == TOPO_MAX_NODES)
		return hwloc_refuse(r, "there are more than %d NUMA nodes", TOPO_MAX_NODES);
	if ((rc = hwloc_number(r, "os_index", UINT32_MAX, r->nr_nodes, &index)) < 0 ||
	    (rc = hwloc_number(r, "local_memory", UINT64_MAX, 0, &n->memory_bytes)) < 0 ||
	    (set && (rc = hwloc_set(r, set, &n->set)) < 0))
		return rc;
	for (unsigned int i = 0; i < r->nr_nodes; i++)
		if (r->node[i].os_index == index)
			return hwloc_refuse(r, "there are two NUMA nodes with os_index %u",
					    (unsigned int)index);
	n->os_index = (unsigned int)index;
	n->weight = hwloc_set_weight(&n->set);
	r->nr_nodes++;
	for (unsigned int i = 0; i + 1 < r->xml.depth; i++)
		r->frame[i].parted = true;
	return 0;
}

static int pu_begin(struct hwloc_reader *r)
{
	struct layout *l = r->l;
	unsigned int i = l->nr_cpus;
	struct around *a = &r->around[i];
	uint64_t index;
	int rc;

	if (i == TOPO_MAX_CPUS)
		return hwloc_refuse(r, "there are more than %d PUs", TOPO_MAX_CPUS);
	if ((rc = hwloc_number(r, "os_index", MAX_INDEX, i, &index)) < 0)
		return rc;
	if (hwloc_set_has(&r->seen, (unsigned int)index))
		return hwloc_refuse(r, "there are two PUs with os_index %u", (unsigned int)index);
	r->seen.word[index / 32] |= 1u << index % 32;
	r->os_index[i] = (unsigned int)index;
	l->cpu[i] = layout_cpu_default();
	for (unsigned int k = 0; k < TOPO_MAX_CACHES; k++)
		l->cpu[i].group[k] = LAYOUT_NONE;
	*a = (struct around){ 0 };
	for (unsigned int d = 0; d < r->xml.depth; d++) {
		struct frame *f = &r->frame[d];

		switch (f->type) {
		case OBJ_PACKAGE: /* whatever is outside of it is larger */
			*a = (struct around){ .package = f->serial };
			break;
		case OBJ_DIE:
			*a = (struct around){ .package = a->package, .die = f->serial };
			break;
		case OBJ_GROUP:
			a->module = f->parted ? a->module : f->serial;
			break;
		case OBJ_MODULE:
			a->module = f->serial;
			break;
		case OBJ_CORE:
			a->core = f->serial;
			break;
		case OBJ_CACHE:
			if (f->kind < 0)
				break;
			f->group = f->group < 0 ? (int32_t)i : f->group;
			l->cpu[i].group[f->kind] = f->group;
			break;
		default:
			break;
		}
	}
	if (!a->core) /* hwloc was told to leave them out: a core of its own */
		a->core = r->frame[r->xml.depth - 1].serial;
	l->nr_cpus++;
	return 0;
}

static int object_begin(struct hwloc_reader *r, struct frame *f)
{
	const char *name = xml_attr(&r->xml, "type");

	if (!name)
		return hwloc_refuse(r, "an object has no type");
	f->type = type_of(name, xml_attr(&r->xml, "subtype"));
	f->serial = ++r->serials;
	switch (f->type) {
	case OBJ_CACHE:
		return cache_begin(r, f, name);
	case OBJ_NODE:
		return node_begin(r);
	case OBJ_PU:
		return pu_begin(r);
	case OBJ_UNKNOWN:
		return hwloc_refuse(r,
				    "an object has the unknown type '%.40s'; known are Machine, System, NUMANode, Node, "
				    "Package, Socket, Die, Group, L1Cache to L5Cache, L1iCache to L3iCache, Cache, Core, "
				    "PU, Misc, Bridge, PCIDev, OSDev, MemCache",
				    name);
	default:
		return 0;
	}
}

/* ---- kinds of core ---- */

static int kind_begin(struct hwloc_reader *r)
{
	const char *set = xml_attr(&r->xml, "cpuset");

	if (r->nr_kinds == MAX_KINDS)
		return hwloc_refuse(r, "there are more than %d kinds of core", MAX_KINDS);
	r->in_kind = true;
	r->kind[r->nr_kinds].type = TOPO_ALIKE;
	return set ? hwloc_set(r, set, &r->kind[r->nr_kinds++].set)
		   : hwloc_refuse(r, "a cpukind has no cpuset");
}

/* What is said of the element around; core types are CPUID 1AH EAX[31:24] (SDM volume 2A) in hwloc's words. */
static void info_begin(struct hwloc_reader *r)
{
	const char *name = xml_attr(&r->xml, "name"), *value = xml_attr(&r->xml, "value");
	struct frame *around = &r->frame[r->xml.depth - 2];

	if (!name || !value)
		return;
	if (around->type == OBJ_GROUP && !strcmp(name, "Type"))
		around->type = type_of_group(value);
	if (r->in_kind && !strcmp(name, "CoreType") && !strcmp(value, "IntelCore"))
		r->kind[r->nr_kinds - 1].type = TOPO_PERFORMANCE;
	if (r->in_kind && !strcmp(name, "CoreType") && !strcmp(value, "IntelAtom"))
		r->kind[r->nr_kinds - 1].type = TOPO_EFFICIENCY;
}

/* ---- elements ---- */

static int element_begin(struct hwloc_reader *r)
{
	struct xml *x = &r->xml;
	struct frame *f = &r->frame[x->depth - 1];

	*f = (struct frame){ .type = OBJ_OTHER, .kind = -1, .group = -1 };
	if (x->depth == 1 && strcmp(x->name, "topology") != 0)
		return hwloc_refuse(
			r, "the first element is %.40s; expected topology, as lstopo --of xml writes it",
			x->name);
	if (!strcmp(x->name, "object"))
		return object_begin(r, f);
	if (!strcmp(x->name, "cpukind"))
		return kind_begin(r);
	if (!strcmp(x->name, "info") && x->depth > 1)
		info_begin(r);
	if (!strcmp(x->name, "distances2"))
		return hwloc_table_begin_2(r);
	if (!strcmp(x->name, "distances"))
		return hwloc_table_begin_1(r);
	if (!strcmp(x->name, "latency") && r->table.wanted)
		hwloc_table_latency(r);
	if (!strcmp(x->name, "indexes") || !strcmp(x->name, "u64values"))
		r->table.text = x->name[0] == 'i' ? 'i' : 'v';
	return 0;
}

static void element_end(struct hwloc_reader *r)
{
	const char *name = r->xml.name;

	if (!strcmp(name, "cpukind"))
		r->in_kind = false;
	else if (!strcmp(name, "indexes") || !strcmp(name, "u64values"))
		r->table.text = 0;
	else if (!strcmp(name, "distances") || !strcmp(name, "distances2"))
		hwloc_table_end(r);
}

static int elements_read(struct hwloc_reader *r)
{
	int rc;

	while ((rc = xml_next(&r->xml, r->e)) > 0) {
		if (rc == XML_START && (rc = element_begin(r)) < 0)
			return rc;
		if (rc == XML_END)
			element_end(r);
		if (rc == XML_TEXT && r->table.text && r->table.wanted)
			hwloc_table_text(r);
	}
	return rc;
}

/* ---- what becomes of it ---- */

static void places_fill(struct hwloc_reader *r)
{
	bool modules = false;

	for (unsigned int i = 0; i < r->l->nr_cpus; i++)
		modules |= r->around[i].module != 0;
	for (unsigned int i = 0; i < r->l->nr_cpus; i++) {
		struct around *a = &r->around[i], *last = i ? a - 1 : a;

		if (modules && !a->module) /* a core beside modules is one: Intel's performance cores */
			a->module = a->core;
		layout_place_next(r->l, i,
				  a->package != last->package ? TOPO_PACKAGE
				  : a->die != last->die       ? TOPO_DIE
				  : a->module != last->module ? TOPO_MODULE
				  : a->core != last->core     ? TOPO_CORE
							      : TOPO_THREAD);
	}
}

static void types_fill(struct hwloc_reader *r)
{
	struct layout *l = r->l;
	bool found[3] = { false };

	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		for (unsigned int k = 0; k < r->nr_kinds; k++)
			if (r->kind[k].type && hwloc_set_has(&r->kind[k].set, r->os_index[i]))
				l->cpu[i].core_type = r->kind[k].type;
		found[l->cpu[i].core_type] = true;
	}
	if (found[TOPO_ALIKE] || !found[TOPO_PERFORMANCE] || !found[TOPO_EFFICIENCY])
		for (unsigned int i = 0; i < l->nr_cpus; i++)
			l->cpu[i].core_type = TOPO_ALIKE;
}

/* lstopo can leave out instruction caches, but no x86 is without: as many as data caches, of the host's size. */
static void instruction_caches_fill(struct layout *l)
{
	unsigned int nr = l->nr_caches;

	for (unsigned int k = 0; k < nr; k++)
		if (l->cache[k].level == 1 && l->cache[k].type == CACHE_INSTRUCTION)
			return;
	for (unsigned int k = 0; k < nr && l->nr_caches < TOPO_MAX_CACHES; k++) {
		if (l->cache[k].level != 1 || l->cache[k].type != CACHE_DATA)
			continue;
		l->cache[l->nr_caches] = (struct topo_cache){
			.level = 1, .type = CACHE_INSTRUCTION, .partitions = 1, .shared = TOPO_CORE
		};
		for (unsigned int i = 0; i < l->nr_cpus; i++)
			l->cpu[i].group[l->nr_caches] = l->cpu[i].group[k];
		l->nr_caches++;
	}
}

static int node_compare(const void *a, const void *b)
{
	unsigned int x = ((const struct node *)a)->os_index, y = ((const struct node *)b)->os_index;

	return x < y ? -1 : x > y;
}

/*
 * Every machine has a node in 2.x; one alone is no NUMA. A PU may be in several, of different kinds of memory: its
 * own is the smallest, or the first of those, as hwloc lists ordinary memory first.
 */
static int nodes_fill(struct hwloc_reader *r)
{
	struct layout *l = r->l;

	if (r->nr_nodes < 2)
		return 0;
	qsort(r->node, r->nr_nodes, sizeof(r->node[0]), node_compare);
	l->node = calloc(r->nr_nodes, sizeof(*l->node));
	if (!l->node)
		return -ENOMEM;
	l->nr_nodes = r->nr_nodes;
	for (unsigned int n = 0; n < r->nr_nodes; n++)
		l->node[n].memory_bytes = r->node[n].memory_bytes;
	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		unsigned int best = UINT32_MAX;

		for (unsigned int n = 0; n < r->nr_nodes; n++)
			if (hwloc_set_has(&r->node[n].set, r->os_index[i]) && r->node[n].weight < best) {
				best = r->node[n].weight;
				l->cpu[i].node = (uint16_t)n;
			}
	}
	return hwloc_distances_fill(r);
}

static int layout_fill(struct hwloc_reader *r)
{
	struct layout *l = r->l;
	bool modules = false;
	int rc = 0;

	if (!l->nr_cpus)
		return hwloc_refuse(r, "there is no PU; expected a topology with objects of type PU");
	places_fill(r);
	types_fill(r);
	rc = nodes_fill(r);
	for (unsigned int i = 0; i < l->nr_cpus; i++)
		modules |= l->cpu[i].id[TOPO_MODULE] != 0;
	instruction_caches_fill(l);
	l->all_caches = l->nr_caches > 0;
	if (rc == 0 && !modules)
		rc = layout_find_modules(l, r->e);
	layout_describe_caches(l);
	return rc == -ENOMEM ? err_set(r->e, rc, "out of memory for the processors of %s", r->path) : rc;
}

int layout_read_hwloc(struct layout *l, const char *path, struct err *e)
{
	struct hwloc_reader *r = calloc(1, sizeof(*r));
	char *text = NULL;
	size_t len;
	int rc;

	*l = (struct layout){ .cpu = calloc(TOPO_MAX_CPUS, sizeof(*l->cpu)) };
	if (!r || !l->cpu) {
		rc = err_set(e, -ENOMEM, "out of memory for %s", path);
		goto end;
	}
	r->path = path;
	r->e = e;
	r->l = l;
	rc = layout_read_text(path, FILE_LIMIT, &text, &len, e);
	if (rc < 0)
		goto end;
	xml_init(&r->xml, path, text, len);
	rc = elements_read(r);
	if (rc == 0)
		rc = layout_fill(r);
end:
	free(text);
	free(r);
	return rc;
}
