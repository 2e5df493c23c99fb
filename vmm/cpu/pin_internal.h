/*
 * Between pin.c, pin_auto.c and pin_host.c: this host's CPUs, and the second half of pin_plan().
 */
#ifndef TRELLIS_CPU_PIN_INTERNAL_H
#define TRELLIS_CPU_PIN_INTERNAL_H

#include "vmm/cpu/pin.h"

/* A CPU of this host that we may use, its place in numbers of the host; package and node are -1 where not known. */
struct pin_cpu {
	unsigned int number;
	int32_t package, node;
	unsigned int l3;   /* the lowest CPU of those that share it; 0 where there is none, or not known */
	unsigned int core; /* likewise; number itself where not known */
	unsigned int core_index; /* of its core, in order of appearance */
};

/* Those of usable that are there, sorted by package, node, level-3 cache and core: neighbours stand together. */
struct pin_host {
	struct pin_cpu *cpu; /* owned */
	unsigned int nr, nr_cores;
	int32_t *nodes; /* owned; those that they are in, each once; one of -1 where nodes are not known */
	unsigned int nr_nodes;
};

/* Read a list of CPUs or nodes at a path below root. Returns whether there is one, and it is not empty. */
bool pin_host_list(struct cpuset *s, const char *root, const char *path);

/* Read the places of the CPUs in usable. Returns 0 or -ENOMEM. pin_host_fini() is safe either way. */
MUST_CHECK int pin_host_read(struct pin_host *h, const char *root, const struct cpuset *usable);
void pin_host_fini(struct pin_host *h);

/*
 * The CPUs of the host's nodes in the mask of a struct topo_node. Empty where there are none, as for nodes that are
 * nothing but memory, and where nodes are not known.
 */
void pin_host_nodes_cpus(const char *root, const uint64_t mask[2], struct cpuset *cpus);

/* What goes into a plan, and what comes in its way. */
struct pin_job {
	struct pin_plan *plan;
	const struct pin_spec *spec;
	struct topology *t; /* not written */
	const char *root;
	struct cpuset usable; /* online, and allowed to this process */
	struct notes *problems;
	bool refused;
};

/* Add a sentence that begins with "--pin WHAT: ", and remember that there was one. usage: see struct err. */
PRINTF(4, 5) void pin_refuse(struct pin_job *j, bool usage, const char *what, const char *fmt, ...);

/*
 * Give a CPU to each present vCPU that has none in the plan yet, whatever host_cpu says.
 * Returns 0, also when sentences were added; -ENOMEM.
 */
MUST_CHECK int pin_auto(struct pin_job *j);

/* pin_plan() in a process that may use the CPUs in allowed. */
MUST_CHECK int pin_plan_allowed(struct pin_plan *plan, const struct pin_spec *spec, struct topology *t,
				const char *root, const struct cpuset *allowed, struct notes *problems);

#endif
