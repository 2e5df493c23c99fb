/*
 * Explicit shapes: one place for each vCPU, so that units need not be alike. Read from a file of ours, from
 * this host, or from an XML file of hwloc; topology_from_layout() makes a topology of it.
 */
#ifndef TRELLIS_CPU_LAYOUT_H
#define TRELLIS_CPU_LAYOUT_H

#include "vmm/base/err.h"
#include "vmm/base/topology.h"

#define LAYOUT_NO_ID UINT32_MAX

enum {
	LAYOUT_BY_LEVEL = -1, /* shared as topo_cache.shared says */
	LAYOUT_NONE = -2,     /* this vCPU has no such cache */
};

struct layout_cpu {
	uint16_t id[NR_TOPO_LEVELS];         /* as struct topo_cpu: package in the machine, die in its package ... */
	uint32_t apic_id;                    /* LAYOUT_NO_ID: to be computed; either all vCPUs have one or none */
	uint16_t node;
	uint8_t core_type;                   /* enum topo_core_type; all TOPO_ALIKE, or none */
	int32_t host_cpu;                    /* the host's CPU with this place, or -1 */
	int32_t group[TOPO_MAX_CACHES];      /* for each kind: number of the instance (any, below 4096), or see above */
};

struct layout {
	struct layout_cpu *cpu;              /* owned; in the order of the vCPUs */
	unsigned int nr_cpus;
	unsigned int nr_caches;              /* 0: nothing said, the host's caches by level */
	struct topo_cache cache[TOPO_MAX_CACHES]; /* as struct topology has them; bytes 0: as large as the host's */
	bool all_caches;                     /* there are no others; else the host's kinds that are not listed come too */
	unsigned int nr_nodes;               /* 0: no NUMA said */
	struct topo_node *node;              /* owned; nr_nodes, memory sizes as far as known; NULL without nodes */
	bool memory_said;                    /* by a topology file, for every node; hwloc's sizes are another machine's */
	uint8_t *distance;                   /* owned; nr_nodes * nr_nodes, or NULL: not said */
};

/* A vCPU with nothing said: all numbers 0, no id, every group by level. */
struct layout_cpu layout_cpu_default(void);

/*
 * Read a topology file (docs/topology.md describes the format).
 * Returns 0; -EINVAL (usage) with a sentence that begins "FILE:LINE: "; another negative errno with a
 * sentence. layout_fini() is safe either way, and on an all-zero struct.
 */
MUST_CHECK int layout_read_file(struct layout *l, const char *path, struct err *e);

/*
 * The shape of this host, or of some of its CPUs, from sysfs: places, caches with their true sharing among
 * the CPUs chosen, nodes with distances, core types. The order is by package, die, module, core, thread.
 * sysfs  "/sys" but in tests
 * list   CPUs as Linux writes them, "0-3,8"; NULL: all that are online and that this process may run on
 */
MUST_CHECK int layout_read_host(struct layout *l, const char *sysfs, const char *list, struct err *e);

/*
 * The shape that an XML file of hwloc 1.x or 2.x describes (lstopo --of xml). Only what a topology needs is
 * read, but the file must be well formed. A malformed or hostile file is an error, never more.
 */
MUST_CHECK int layout_read_hwloc(struct layout *l, const char *path, struct err *e);

/*
 * What --topology names: "host", "host:LIST", "hwloc:FILE" or a file of ours ("file:PATH" for names that look
 * like the others).
 */
MUST_CHECK int layout_read(struct layout *l, const char *source, struct err *e);

/*
 * What --memory is when the user does not say it: the sum of the nodes' memory, if a topology file says each node's;
 * else 0. At most 128 times what a file can say of one node, so that it does not overflow.
 */
uint64_t layout_memory_sum(const struct layout *l);

void layout_fini(struct layout *l);

#endif
