/*
 * What machine.c and machine_check.c share: the steps of the recipe that need no guest, and the limits.
 */
#ifndef TRELLIS_MACHINE_INTERNAL_H
#define TRELLIS_MACHINE_INTERNAL_H

#include "firmware/boot.h"
#include "vmm/machine.h"

/*
 * machine.c: make an all-zero machine safe for machine_fini(). Not by assigning a whole struct: most of its pages may
 * never be needed.
 */
void machine_begin(struct machine *m, const struct run_options *opts);

/*
 * machine.c: complete m->procs, whose shape is there, and print what there is to say of them.
 * Returns 0 or a negative errno with a sentence.
 */
MUST_CHECK int machine_build_processors(struct machine *m, const struct model_host *host, struct err *e);

/* machine.c: the same after asking m->kvm, which is open, what processors can be here. */
MUST_CHECK int machine_ask_kvm(struct machine *m, struct err *e);

/* machine.c: what firmware tables say, the memory map, and the tables' places. Needs m->procs and m->mem's sizes. */
MUST_CHECK int machine_describe_platform(struct machine *m, struct err *e);

/* machine.c: what boot_load() is to load. After machine_describe_platform(). */
struct boot_request machine_boot_request(const struct machine *m);

/* machine_check.c: has KVM, which is open, so many vCPUs and APIC ids? Returns 0; -EINVAL (usage) with a sentence. */
MUST_CHECK int machine_check_vcpus(const struct machine *m, struct err *e);

/* machine_check.c: can the processors, which are built, address the RAM? Returns as machine_check_vcpus(). */
MUST_CHECK int machine_check_ram(const struct machine *m, struct err *e);

#endif
