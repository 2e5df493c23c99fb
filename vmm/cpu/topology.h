/*
 * From what a user says of sockets, dies, modules, cores and threads, or from an explicit layout, to every
 * vCPU's place and APIC id. Pure; the result is plain data (vmm/base/topology.h).
 */
#ifndef TRELLIS_CPU_TOPOLOGY_H
#define TRELLIS_CPU_TOPOLOGY_H

#include "vmm/base/err.h"
#include "vmm/base/topology.h"
#include "vmm/cpu/layout.h"

/* What the user asked for; 0 where nothing was said. */
struct topology_spec {
	unsigned int cpus;                   /* present */
	unsigned int max;                    /* present and pluggable */
	unsigned int count[NR_TOPO_LEVELS];  /* threads in a core, cores in a module ... sockets */
};

/*
 * Derive what was not said and place every vCPU: thread fastest, then core, module, die, socket.
 * Missing numbers are found as QEMU 6.2 and newer find them: sockets, dies, modules and threads are 1
 * and cores take the rest; when only sockets are missing, they take it. No caches, no nodes yet.
 * Returns 0; -EINVAL with a sentence that names shapes which do fit; -ENOMEM. topology_fini() is safe
 * on an all-zero struct.
 */
MUST_CHECK int topology_init(struct topology *t, const struct topology_spec *spec, struct err *e);

/*
 * As topology_init(), from a layout. APIC ids are those of the layout, or made of its numbers; caches and nodes
 * are not touched (caches_place(), numa_place()).
 * present  how many of the vCPUs are started, the first ones; 0: all
 * Returns 0; -EINVAL with a sentence when two vCPUs have one place, or when the ids that were given cannot tell
 * the places; -ENOMEM.
 */
MUST_CHECK int topology_from_layout(struct topology *t, const struct layout *l, unsigned int present, struct err *e);

void topology_fini(struct topology *t);

/* How many logical processors one full unit of this level holds, where all are alike (level TOPO_THREAD: 1). */
unsigned int topology_cpus_in(const struct topology *t, enum topo_level level);

/* A word for one unit: "thread", "core", "module", "die", "socket". */
const char *topology_level_name(enum topo_level level);

/* The largest APIC id of all described vCPUs. */
uint32_t topology_max_apic_id(const struct topology *t);

/*
 * Is some id, of a present or a pluggable vCPU, 255 or more? xAPIC ids have 8 bits and 255 is the broadcast: such
 * machines start in x2APIC mode (Intel SDM volume 3A, 11.12.8), and KVM's IOAPIC does not reach all of them.
 */
bool topology_wide_ids(const struct topology *t);

#endif
