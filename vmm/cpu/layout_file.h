/*
 * Between layout_file.c, which reads the lines, and layout_file_whole.c, which judges them together.
 */
#ifndef TRELLIS_CPU_LAYOUT_FILE_H
#define TRELLIS_CPU_LAYOUT_FILE_H

#include "vmm/cpu/layout_internal.h"

enum { NR_SLOTS = 6 };

/* A list of numbers, as written behind a word. */
struct list {
	unsigned int nr; /* 0: the word is not there */
	bool ascending, none;
	uint16_t value[TOPO_MAX_CPUS];
};

/* The words of a `cpu` line: five places, the node, the id, the caches, the type. */
enum { WORD_NODE = NR_TOPO_LEVELS, WORD_APIC, WORD_CACHE, WORD_TYPE = WORD_CACHE + NR_SLOTS, NR_WORDS };

/* A kind of cache as its line has it. */
struct cache_line {
	unsigned int slot, line; /* the latter: in the file */
	struct topo_cache cache;
};

struct file_reader {
	const char *path;
	unsigned int line;
	char *rest; /* of the line, words to come */
	struct err *e;
	struct layout *l; /* cpu has room for TOPO_MAX_CPUS meanwhile */
	struct list cpus, list[WORD_TYPE];
	unsigned int cpu_line[TOPO_MAX_CPUS]; /* 0: not described */
	unsigned int nr_described;
	int32_t said[TOPO_MAX_CPUS][NR_SLOTS]; /* as struct layout_cpu.group */
	struct cache_line cache[TOPO_MAX_CACHES];
	unsigned int nr_caches;
	bool any_nodes;
	struct topo_node node[TOPO_MAX_NODES];
	unsigned int nr_memories;             /* nodes that say theirs */
	unsigned int node_line[TOPO_MAX_NODES];
	uint8_t distance[TOPO_MAX_NODES][TOPO_MAX_NODES]; /* 0: not said */
	unsigned int distance_line;                       /* the last one; 0: none */
};

/* Cache names, and what they mean. */
struct layout_file_slot {
	const char *name;
	uint8_t level;
	enum cache_type type;
};

extern const struct layout_file_slot layout_file_slots[NR_SLOTS];

/* Store a sentence with r->path and r->line in front; returns -EINVAL. */
PRINTF(2, 3) int layout_file_refuse(struct file_reader *r, const char *fmt, ...);

/*
 * All lines have been read: check what only the whole can tell, and fill the layout's caches and nodes.
 * Returns 0, -EINVAL or -ENOMEM with a sentence.
 */
MUST_CHECK int layout_file_finish(struct file_reader *r);

#endif
