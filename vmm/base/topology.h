/*
 * The shape of the guest's processors: plain data which CPUID, ACPI, the MP table and SMBIOS read.
 * vmm/cpu/ fills it (topology.c, caches.c, numa.c); nobody else writes it.
 *
 * A unit is one package, die, module or core. Each vCPU knows its number inside the next larger unit
 * (id[]) and the number of each of its units in the whole machine (unit[]).
 *
 * APIC ids are made of bit fields, thread lowest: a unit of a level is the vCPUs whose ids are equal from bit
 * shift[level] up. Counts that are no powers of two leave holes: a vCPU's index is not its APIC id.
 */
#ifndef TRELLIS_BASE_TOPOLOGY_H
#define TRELLIS_BASE_TOPOLOGY_H

#include "vmm/base/base.h"

enum topo_level { TOPO_THREAD, TOPO_CORE, TOPO_MODULE, TOPO_DIE, TOPO_PACKAGE, NR_TOPO_LEVELS };

enum { TOPO_MAX_CACHES = 16, TOPO_MAX_CPUS = 4096, TOPO_MAX_NODES = 128, TOPO_MAX_APIC_ID = 0xffff };

/* Kinds of core in a hybrid machine; a machine whose cores are all alike has TOPO_ALIKE everywhere. */
enum topo_core_type { TOPO_ALIKE, TOPO_PERFORMANCE, TOPO_EFFICIENCY };

#define TOPO_NO_CACHE UINT16_MAX

/* One vCPU's place. */
struct topo_cpu {
	uint32_t apic_id;                         /* x2APIC id; also KVM's vCPU id */
	uint16_t id[NR_TOPO_LEVELS];              /* number inside the next larger unit (package: in the machine) */
	uint16_t unit[NR_TOPO_LEVELS];            /* number in the machine, from 0, in order of appearance */
	uint16_t node;                            /* NUMA node; 0 where there is no NUMA */
	bool present;                             /* started with the machine; others are described, not made */
	uint8_t core_type;                        /* enum topo_core_type */
	uint16_t cache[TOPO_MAX_CACHES];          /* for each kind: which instance is its own, or TOPO_NO_CACHE */
	uint8_t cache_shift[TOPO_MAX_CACHES];     /* who shares it: equal ids from this bit up */
	int32_t host_cpu;                         /* the host's CPU it stands for, or -1 */
};

enum cache_type { CACHE_DATA = 1, CACHE_INSTRUCTION = 2, CACHE_UNIFIED = 3 }; /* as CPUID 4 EAX[4:0] */

/* One kind of cache. */
struct topo_cache {
	enum cache_type type;
	uint8_t level;                  /* 1 to 4 */
	enum topo_level shared;         /* each unit of this level has one, unless a layout says groups */
	uint32_t bytes;                 /* of one instance: line * ways * sets * partitions */
	uint16_t line, ways, partitions;
	uint32_t sets;
	bool inclusive, fully_associative;
	uint8_t core_type;              /* TOPO_ALIKE: every core has it; else cores of this type only */
};

/* Where a node's memory comes from on the host. */
enum node_policy { NODE_DEFAULT, NODE_BIND, NODE_PREFERRED, NODE_INTERLEAVE };

struct topo_node {
	uint64_t memory_bytes;          /* may be 0 */
	uint64_t host_nodes[2];         /* bit mask of the host's nodes 0 to 127; all zero: not said */
	int policy;                     /* enum node_policy */
};

/* How an initiator's node reaches a memory node (ACPI HMAT); 0: not said. */
struct topo_path {
	uint32_t read_ns, write_ns;     /* latency */
	uint32_t read_mbs, write_mbs;   /* bandwidth in MB/s (10^6 bytes) */
};

struct topology {
	unsigned int nr_cpus;                    /* described: present and pluggable ones */
	unsigned int nr_present;                 /* the first nr_present are present */
	struct topo_cpu *cpu;                    /* owned; nr_cpus, boot processor first */

	bool regular;                            /* all units of a level hold the same */
	bool hybrid;                             /* there are performance or efficiency cores */
	unsigned int count[NR_TOPO_LEVELS];      /* most units of the level in one next larger unit */
	unsigned int shift[NR_TOPO_LEVELS];      /* first bit of the level's field in the APIC id; THREAD: 0 */
	unsigned int nr_units[NR_TOPO_LEVELS];   /* in the machine; THREAD: nr_cpus */
	uint16_t *unit_cpus[NR_TOPO_LEVELS];     /* owned; vCPUs in each unit, by unit[]; THREAD: NULL */

	unsigned int nr_caches;                  /* kinds */
	struct topo_cache cache[TOPO_MAX_CACHES]; /* by rising level, data before instruction, then core type */
	enum topo_level complex;                 /* whose cores share an L3, for all alike: TOPO_MODULE or TOPO_DIE */
	uint32_t *package_l3_kib;                /* owned; by package: its level-3 caches together; NULL without caches */

	unsigned int nr_nodes;                   /* 0: no NUMA */
	struct topo_node *node;                  /* owned */
	uint8_t *distance;                       /* owned; nr_nodes * nr_nodes, [from * nr_nodes + to]; never NULL with nodes */
	struct topo_path *path;                  /* owned; as distance; NULL: no HMAT */
};

/* How many logical processors this vCPU's unit of a level holds, itself included (TOPO_THREAD: 1). */
static inline unsigned int topo_unit_cpus(const struct topology *t, const struct topo_cpu *cpu, enum topo_level level)
{
	return level == TOPO_THREAD ? 1 : t->unit_cpus[level][cpu->unit[level]];
}

#endif
