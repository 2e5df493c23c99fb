/*
 * The guest's processors as a whole: what all options and the host make of them. `trellis run` gives it to KVM
 * and to the firmware tables, `trellis topology` prints it; there is no other way from options to processors.
 */
#ifndef TRELLIS_CPU_PROCESSORS_H
#define TRELLIS_CPU_PROCESSORS_H

#include "vmm/cpu/cpu_options.h"

struct processors {
	const struct cpu_options *opts;      /* borrowed */
	struct topology topo;
	struct layout layout;                /* empty unless --topology was given */
	struct cpuid_table *table;           /* owned; what the vCPUs have in common, no overrides */
	struct cpuid_table *vcpu_table;      /* owned; one vCPU's, with its overrides; NULL where there are none */
	uint64_t ram_bytes;                  /* all RAM: what was said, or what the nodes add up to */
	struct notes notes;                  /* worth telling the user */
};

/* The first half of processors_init(), which needs no host: the shape. A wrong one is refused before KVM is opened. */
MUST_CHECK int processors_shape(struct processors *p, const struct cpu_options *opts, struct err *e);

/* The second half: model, caches, nodes and CPUID. */
MUST_CHECK int processors_complete(struct processors *p, const struct model_host *host, bool describe, struct err *e);

/*
 * Work everything out.
 * opts      borrowed for the life of p
 * host      borrowed during the call
 * describe  see model_build()
 * Returns 0 or a negative errno with a sentence. processors_fini() is safe on an all-zero struct.
 */
MUST_CHECK int processors_init(struct processors *p, const struct cpu_options *opts, const struct model_host *host,
			       bool describe, struct err *e);
void processors_fini(struct processors *p);

/*
 * Make p->table one vCPU's, overrides included, and return it: what KVM_SET_CPUID2 takes. Valid until the next
 * call. NULL when an override leaves no room (processors_init() has tried them all, so it does not).
 */
struct cpuid_table *processors_cpuid(struct processors *p, unsigned int index);

#endif
