/*
 * What the firmware tables describe: plain data, filled by the machine, borrowed by every writer here.
 * Addresses, ports and lines that never change are in vmm/base/map.h.
 */
#ifndef TRELLIS_FIRMWARE_PLATFORM_H
#define TRELLIS_FIRMWARE_PLATFORM_H

#include "vmm/base/base.h"
#include "vmm/base/topology.h"

/* Kinds of memory, with the numbers that e820, PVH and Multiboot share (ACPI 6.5, table 15.6). */
enum mem_type { MEM_RAM = 1, MEM_RESERVED = 2, MEM_ACPI = 3, MEM_NVS = 4 };

struct mem_range {
	uint64_t start, len;
	uint32_t type; /* enum mem_type */
};

/* RAM of one NUMA node; a node which the hole below 4 GiB cuts has two. */
struct node_range {
	uint64_t start, len;
	unsigned int node;
};

/* A range for each node, and one more for the hole. */
enum { PLATFORM_MAX_RANGES = 64, PLATFORM_MAX_COMS = 4, PLATFORM_MAX_NODE_RANGES = TOPO_MAX_NODES + 2 };

struct platform {
	const struct topology *topo;     /* borrowed */

	/* The memory map as a guest is told it: by rising address, disjoint. */
	struct mem_range map[PLATFORM_MAX_RANGES];
	unsigned int nr_map;
	uint64_t ram_bytes;              /* all RAM the user asked for */

	/* The same RAM by NUMA node, by rising address, disjoint; empty when topo->nr_nodes is 0. */
	struct node_range node_map[PLATFORM_MAX_NODE_RANGES];
	unsigned int nr_node_map;

	/* Windows for PCI BARs; the 64-bit one may be absent (len 0). */
	uint64_t pci32_base, pci32_len;
	uint64_t pci64_base, pci64_len;
	unsigned int nr_buses;           /* decoded by ECAM, from bus 0 */

	bool com_present[PLATFORM_MAX_COMS];
	bool pvpanic_present;

	/* The processor as CPUID tells it, for SMBIOS type 4 and the MP table. */
	uint32_t cpuid1_eax, cpuid1_edx;
	char cpu_vendor[13];
	char cpu_brand[49];

	const char *name;                /* of the machine; borrowed */
	uint8_t uuid[16];                /* all zero: none given */
	const char *version;             /* of trellis; borrowed */
};

#endif
