/*
 * The shape of the guest's processors: plain data which CPUID, ACPI, the MP table and SMBIOS read.
 * vmm/cpu/topology.c fills it; nobody else writes it.
 *
 * APIC ids are made of bit fields, thread lowest:
 *   package << shift[TOPO_PACKAGE] | die << shift[TOPO_DIE] | ... | thread << shift[TOPO_THREAD]
 * so shift[TOPO_THREAD] is 0, and shift[TOPO_PACKAGE] is where the package number begins. Counts that
 * are no powers of two leave holes: a vCPU's index is not its APIC id.
 */
#ifndef TRELLIS_BASE_TOPOLOGY_H
#define TRELLIS_BASE_TOPOLOGY_H

#include "vmm/base/base.h"

enum topo_level { TOPO_THREAD, TOPO_CORE, TOPO_MODULE, TOPO_DIE, TOPO_PACKAGE, NR_TOPO_LEVELS };

/* One vCPU's place: id[level] is its number inside the next larger unit (package: in the machine). */
struct topo_cpu {
	uint32_t apic_id;               /* x2APIC id; also KVM's vCPU id */
	uint16_t id[NR_TOPO_LEVELS];
	uint16_t node;                  /* NUMA node */
	bool present;                   /* started with the machine; others are described, not made */
};

enum cache_type { CACHE_DATA = 1, CACHE_INSTRUCTION = 2, CACHE_UNIFIED = 3 }; /* as CPUID 4 EAX[4:0] */

/* One kind of cache: each unit of level `shared` has one. */
struct topo_cache {
	enum cache_type type;
	uint8_t level;                  /* 1 to 4 */
	enum topo_level shared;
	uint32_t bytes;                 /* of one instance; line * ways * sets * partitions */
	uint16_t line, ways, partitions;
	uint32_t sets;
	bool inclusive, fully_associative;
};

enum { TOPO_MAX_CACHES = 8, TOPO_MAX_CPUS = 4096 };

struct topology {
	unsigned int nr_cpus;                 /* described: present and pluggable ones */
	unsigned int nr_present;              /* the first nr_present are present */
	unsigned int count[NR_TOPO_LEVELS];   /* largest number of units inside the next larger one */
	unsigned int shift[NR_TOPO_LEVELS];   /* first bit of the level's field in the APIC id */
	unsigned int nr_nodes;                /* 0: no NUMA */
	struct topo_cpu *cpu;                 /* owned; nr_cpus, boot processor first */
	unsigned int nr_caches;
	struct topo_cache cache[TOPO_MAX_CACHES]; /* by rising level, data before instruction */
};

#endif
