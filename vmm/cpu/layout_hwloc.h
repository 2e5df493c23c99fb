/*
 * Between layout_hwloc.c, which reads objects, and layout_hwloc_values.c, which reads numbers, sets and tables.
 */
#ifndef TRELLIS_CPU_LAYOUT_HWLOC_H
#define TRELLIS_CPU_LAYOUT_HWLOC_H

#include "vmm/cpu/layout_internal.h"
#include "vmm/cpu/xml.h"

enum {
	MAX_INDEX = 8191, /* of a PU */
	MAX_KINDS = 32,   /* of core */
	SET_WORDS = (MAX_INDEX + 1) / 32,
};

enum object_type {
	OBJ_UNKNOWN, /* refused */
	OBJ_OTHER,   /* looked through */
	OBJ_MACHINE,
	OBJ_NODE,
	OBJ_PACKAGE,
	OBJ_DIE,
	OBJ_GROUP,
	OBJ_MODULE,
	OBJ_CACHE,
	OBJ_CORE,
	OBJ_PU,
};

/* PUs, by their os_index. */
struct set {
	uint32_t word[SET_WORDS];
};

/* One open element. */
struct frame {
	enum object_type type; /* OBJ_OTHER also for elements that are no objects */
	uint32_t serial;       /* of the object in the file */
	bool parted;           /* a group which holds a node or a level-3 cache: no module */
	int kind;              /* of a cache that counts; else -1 */
	int32_t group;         /* of that cache: its first vCPU, or -1 */
};

struct node {
	unsigned int os_index;
	struct set set;
	unsigned int weight; /* of the set */
	uint64_t memory_bytes;
};

struct core_kind {
	struct set set;
	uint8_t type; /* enum topo_core_type */
};

/* The objects around one PU, by serial numbers; 0: none. */
struct around {
	uint32_t package, die, module, core;
};

/* A table of distances while it is read. */
struct table {
	bool wanted;
	char text; /* 'i' in indexes, 'v' in values, 0 elsewhere */
	double scale;
	unsigned int nr, nr_indexes, nr_values;
	unsigned int index[TOPO_MAX_NODES];
	uint8_t value[TOPO_MAX_NODES * TOPO_MAX_NODES];
	bool done;     /* a whole one is here; the first one counts */
	bool by_order; /* 1.x: in the order of the objects */
};

struct hwloc_reader {
	const char *path;
	struct err *e;
	struct layout *l; /* cpu has room for TOPO_MAX_CPUS meanwhile */
	struct xml xml;
	struct frame frame[XML_MAX_DEPTH];
	uint32_t serials;
	unsigned int os_index[TOPO_MAX_CPUS];
	struct around around[TOPO_MAX_CPUS];
	struct set seen; /* PUs */
	struct node node[TOPO_MAX_NODES];
	unsigned int nr_nodes;
	struct core_kind kind[MAX_KINDS];
	unsigned int nr_kinds;
	bool in_kind;
	struct table table;
};

/* err_usage() with the file and the line in front. */
#define hwloc_refuse(r, ...) (err_usage((r)->e, __VA_ARGS__), hwloc_refuse_here(r))
int hwloc_refuse_here(struct hwloc_reader *r);

/* A numeric attribute; fallback when it is not there. Returns 0, or -EINVAL with a sentence. */
MUST_CHECK int hwloc_number(struct hwloc_reader *r, const char *name, uint64_t max, uint64_t fallback,
			    uint64_t *out);

/* A cpuset, as hwloc writes it. Returns 0, or -EINVAL with a sentence. */
MUST_CHECK int hwloc_set(struct hwloc_reader *r, const char *text, struct set *set);
bool hwloc_set_has(const struct set *set, unsigned int i);
unsigned int hwloc_set_weight(const struct set *set);

/*
 * Distances: a table begins (of 2.x, of 1.x), has a value of 1.x, has text of 2.x, and ends. What is wrong with its
 * numbers makes a table useless, not the file. Return 0, or -EINVAL with a sentence.
 */
MUST_CHECK int hwloc_table_begin_2(struct hwloc_reader *r);
MUST_CHECK int hwloc_table_begin_1(struct hwloc_reader *r);
void hwloc_table_latency(struct hwloc_reader *r);
void hwloc_table_text(struct hwloc_reader *r);
void hwloc_table_end(struct hwloc_reader *r);

/* The layout's distances, if there is a table of all its nodes, which are sorted by now. Returns 0 or -ENOMEM. */
MUST_CHECK int hwloc_distances_fill(struct hwloc_reader *r);

#endif
