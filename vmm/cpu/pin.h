/*
 * --pin: which of the host's CPUs vCPUs, I/O threads and the main thread run on.
 */
#ifndef TRELLIS_CPU_PIN_H
#define TRELLIS_CPU_PIN_H

#include "vmm/base/cpuset.h"
#include "vmm/base/err.h"
#include "vmm/base/topology.h"
#include "vmm/base/notes.h"

/* One vcpuN=LIST. */
struct pin_wish {
	unsigned int vcpu;
	struct cpuset cpus;
};

struct pin_spec {
	bool said;                /* any --pin but none */
	bool automatic;           /* auto */
	bool overlap;             /* overlap=ok */
	struct cpuset *vcpus;     /* vcpus=; owned, as all here; NULL: not said, as for the next two */
	struct cpuset *io, *main;
	struct pin_wish *wish;    /* vcpuN=, in their order */
	unsigned int nr_wishes;
};

/* What it comes to. NULL: not pinned. */
struct pin_plan {
	struct cpuset *vcpu;      /* owned; nr_vcpus of them; an empty set: that vCPU is not pinned */
	unsigned int nr_vcpus;
	struct cpuset *io, *main; /* owned */
};

/*
 * Parse one --pin: "auto", "none", or a list of vcpuN=LIST, vcpus=LIST, io=LIST, main=LIST and overlap=ok; a comma
 * inside LIST is written twice. May be given many times; none takes back what was said before.
 * Returns 0; -EINVAL (usage) with a sentence; -ENOMEM.
 */
MUST_CHECK int pin_spec_parse(struct pin_spec *spec, const char *arg, struct err *e);
void pin_spec_fini(struct pin_spec *spec);

/*
 * Work out who runs where. vcpus=LIST gives vCPU i the i-th CPU of the list, vcpuN= overrides it for one. auto: a
 * vCPU whose host_cpu is known (--topology host) gets that one; else CPUs that this process may use are shared out by
 * the guest's shape: threads of a core onto threads of one of the host's cores, other vCPUs onto cores of their own
 * first, and a guest node with host-nodes onto those nodes' CPUs. With auto, io and main get the CPUs that no vCPU
 * has, if there are any.
 * t         host_cpu of present vCPUs that auto places is set, for those who show it
 * root      see vmm/base/sysfile.h: CPUs online, their cores and nodes
 * problems  receives a sentence for each reason why it cannot be: a CPU that does not exist, is offline or not
 *           allowed to this process; two vCPUs on one CPU without overlap=ok; a vCPU that does not exist; too few CPUs
 * Returns 0; -EINVAL when problems were added; -ENOMEM. plan is empty on failure. pin_plan_fini() is safe either way.
 */
MUST_CHECK int pin_plan(struct pin_plan *plan, const struct pin_spec *spec, struct topology *t, const char *root,
			struct notes *problems);
void pin_plan_fini(struct pin_plan *plan);

#endif
