/*
 * Virtual processors: one thread each, which runs the guest, serves its exits, and stops where the
 * machine wants it to.
 *
 * The main thread states a wish (run, park, leave) and kicks; a vCPU looks at the wish before each entry
 * into the guest. A kick sets immediate_exit and sends a signal, so that neither a vCPU inside KVM_RUN nor
 * one that is just about to call it can miss the wish.
 */
#ifndef TRELLIS_VCPU_H
#define TRELLIS_VCPU_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/base/dev.h"
#include "vmm/base/gmem.h"
#include "vmm/base/topology.h"
#include "vmm/bus.h"
#include "vmm/cpu/processors.h"
#include "vmm/kvm.h"

struct irqs;
struct vcpus;

struct vcpu {
	struct vcpus *all;            /* borrowed */
	const struct topo_cpu *place; /* borrowed */
	unsigned int index;
	int fd;                       /* owned */
	struct kvm_run *run;          /* owned mapping, shared with the kernel */
	bool takes_extint;            /* constant; the boot processor of a machine whose PICs are ours */
	pthread_t thread;
	atomic_bool started;          /* thread is there; written by the main thread */
	bool parked;                  /* guarded by all->lock, as the next two */
	bool placed;                  /* where any is pinned: the thread has tried to go to its CPUs, */
	int pin_rc;                   /* and this came of it, 0 or a negative errno */
};

enum vcpu_wish { VCPUS_RUN, VCPUS_PARK, VCPUS_LEAVE };

/* How a vCPU ends the machine, and what else is worth saying when it crashed. On the vCPU's thread. */
struct vcpu_owner {
	void *ctx;
	void (*stop)(void *ctx, enum stop_reason why, int value);
	void (*report)(void *ctx);
};

struct vcpus_config {
	struct kvm *kvm;             /* all borrowed for the life of the vCPUs */
	struct bus *pio, *mmio;
	const struct gmem *mem;
	struct irqs *irqs;
	const struct topology *topo;
	struct processors *procs;    /* topo is theirs */
	const struct pin_plan *pins; /* where they run, one set for each present; NULL or empty: wherever they are put */
	struct vcpu_owner owner;
};

struct vcpus {
	struct vcpus_config cfg;      /* constant */
	struct vcpu *vcpu;            /* owned, nr of them */
	unsigned int nr;
	atomic_int wish;              /* enum vcpu_wish */
	pthread_mutex_t lock;
	pthread_cond_t changed;       /* wish or nr_parked changed, or a vCPU is placed */
	unsigned int nr_parked;       /* guarded by lock */
	uint64_t cpuid_ns, set_cpuid_ns; /* how long vcpus_init() made CPUID tables, and KVM took them; constant */
};

/*
 * Make one vCPU for each present processor of the topology, all parked; no thread runs yet.
 * cfg    its processors' CPUID is what each vCPU gets
 * Returns 0 or a negative errno with a sentence. vcpus_fini() is safe on an all-zero struct.
 */
MUST_CHECK int vcpus_init(struct vcpus *all, const struct vcpus_config *cfg, struct err *e);

/* Ends the threads (clean join) and frees everything. Main thread. */
void vcpus_fini(struct vcpus *all);

/*
 * Start the threads, each on its CPUs. They park at once unless vcpus_resume() came before. Main thread, once.
 * Returns 0 or a negative errno with a sentence: no thread to be had, or none of its CPUs is there any more.
 */
MUST_CHECK int vcpus_start(struct vcpus *all, struct err *e);

/* Have all vCPUs enter the guest. Main thread. */
void vcpus_resume(struct vcpus *all);

/*
 * Have all vCPUs leave the guest and come no further; does not wait. Any thread, vCPU threads too:
 * the caller's own vCPU parks when its exit handler returns.
 */
void vcpus_ask_park(struct vcpus *all);

/* vcpus_ask_park(), then wait until every vCPU is parked, its last exit completed. Main thread. */
void vcpus_park(struct vcpus *all);

/*
 * vmm/vcpu_reset.c: put every vCPU into its state after power-on, read from a VM made for the purpose,
 * and the interrupt chips as well; then what firmware would have set up (vcpus_power_on()).
 * While all are parked. Returns 0 or a negative errno with a sentence.
 */
MUST_CHECK int vcpus_reset(struct vcpus *all, struct irqs *irqs, struct err *e);

/*
 * vmm/vcpu_reset.c: the model-specific registers that firmware leaves set, then those of --msr, on every vCPU.
 * Returns 0, or -EINVAL with a sentence when KVM refuses one of the latter.
 */
MUST_CHECK int vcpus_power_on(struct vcpus *all, struct err *e);

/* vmm/vcpu_exit.c: serve the exit that v->run describes. On the vCPU's thread. */
void vcpu_serve_exit(struct vcpu *v);

/*
 * vmm/vcpu_report.c: print why this vCPU cannot go on: a plain sentence, the registers, the bytes at
 * RIP. why is one sentence without a full stop. On the vCPU's thread, or on main while it is parked.
 */
void vcpu_report(struct vcpu *v, const char *why);

#endif
