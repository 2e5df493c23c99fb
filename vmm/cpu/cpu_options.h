/*
 * The options about processors and memory, which `trellis run` and `trellis topology` share.
 */
#ifndef TRELLIS_CPU_CPU_OPTIONS_H
#define TRELLIS_CPU_CPU_OPTIONS_H

#include "vmm/base/opt.h"
#include "vmm/cpu/caches.h"
#include "vmm/cpu/memory_options.h"
#include "vmm/cpu/model.h"
#include "vmm/cpu/numa.h"
#include "vmm/cpu/override.h"
#include "vmm/cpu/pin.h"
#include "vmm/cpu/topology.h"

struct cpu_options {
	struct topology_spec shape;          /* --cpus */
	bool shape_said;
	char *topology;                      /* --topology, or NULL; owned, like all here */
	struct cache_spec caches;            /* --cache */
	struct numa_spec numa;               /* --numa */
	struct model_spec model;             /* --cpu */
	struct cpuid_override *cpuid;        /* --cpuid, in their order */
	unsigned int nr_cpuids;
	struct msr_override *msr;            /* --msr */
	unsigned int nr_msrs;
	struct pin_spec pin;                 /* --pin */
	struct memory_options memory;        /* --memory */
	bool list_models;                    /* --cpu help: print them, and do nothing else */
};

/* Their table, to be a group in a command's own; its config is the struct cpu_options. */
extern const struct opt cpu_opts[];

void cpu_options_init(struct cpu_options *o);   /* the defaults */
/* Print the models, one a line, to standard output. Returns 0. */
int cpu_options_list_models(void);

void cpu_options_fini(struct cpu_options *o);

#endif
