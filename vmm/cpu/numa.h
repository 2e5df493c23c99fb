/*
 * NUMA: which vCPUs and how much memory each node has, how far the nodes are from each other (SLIT), and how
 * fast their memory is (HMAT).
 */
#ifndef TRELLIS_CPU_NUMA_H
#define TRELLIS_CPU_NUMA_H

#include "vmm/base/err.h"
#include "vmm/cpu/layout.h"

struct numa_node_spec {
	char *cpus; /* owned; "0-3,8", or NULL: none */
	uint64_t memory_bytes;
	bool memory_said;
	uint64_t host_nodes[2];
	int policy; /* enum node_policy */
	bool said;
};

struct numa_pair {
	unsigned int from, to;
	uint8_t distance;      /* 0: not said here */
	struct topo_path path; /* all 0: not said here */
};

struct numa_spec {
	struct numa_node_spec *node; /* owned; by number */
	unsigned int nr_nodes;       /* largest number said, plus 1 */
	struct numa_pair *pair;      /* owned */
	unsigned int nr_pairs;
};

/*
 * Parse one --numa: "node=0,cpus=0-3,memory=1G,host-nodes=0,policy=bind", "dist=0:1:21" or
 * "hmat=0:1,latency=90,bandwidth=20000" (also read-latency= and so on; ns, MB/s).
 * Returns 0 or -EINVAL with a sentence.
 */
MUST_CHECK int numa_spec_parse(struct numa_spec *spec, const char *arg, struct err *e);
void numa_spec_fini(struct numa_spec *spec);

/*
 * What --memory is when the user does not say it: the sum of all nodes' memory; 0 unless there are nodes and every
 * one says its own.
 */
uint64_t numa_memory_sum(const struct numa_spec *spec);

/*
 * Give every vCPU its node, every node its memory, distances and paths. In numa_place.c.
 * spec       nodes that say no vCPUs share them out by socket or die; a distance holds both ways unless the other
 *            way is said itself
 * layout     NULL, or the layout that t was made from: its nodes hold unless the user said some; those of its vCPUs
 *            hold, too, when the user said as many nodes and no cpus=
 * ram_bytes  all RAM; nodes without a size share what is left; 0: not known, nothing is shared out
 * Returns 0; -EINVAL with a sentence (a vCPU in two nodes or in none, sizes that do not add up, a core in two
 * nodes, a distance of a node to itself other than 10); -ENOMEM. topology_fini() frees what was made either way.
 */
MUST_CHECK int numa_place(struct topology *t, const struct numa_spec *spec, const struct layout *layout,
			  uint64_t ram_bytes, struct err *e);

#endif
