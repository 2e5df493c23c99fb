/*
 * Between the files that make processor models: model.c (words), model_build.c (what a processor has), model_host.c
 * (what the host offers), model_table.c (CPUID entries) and model_xsave.c (leaf D).
 */
#ifndef TRELLIS_CPU_MODEL_INTERNAL_H
#define TRELLIS_CPU_MODEL_INTERNAL_H

#include "vmm/cpu/feature_set.h"
#include "vmm/cpu/model.h"
#include "vmm/cpu/models.h"

/* One processor in the making. */
struct build {
	const struct model_spec *spec; /* borrowed, like host, out, notes and e */
	const struct model_host *host;
	bool describe;
	struct cpuid_table *out;
	struct notes *notes;
	struct err *e;

	struct feature_graph graph;
	const struct model *model; /* NULL: the host's own processor */
	enum cpuid_style style;    /* the guest's */
	enum cpuid_style host_style;
	bool fixed;              /* described by name: nothing comes from the host */
	struct feature_set have; /* what can be had here */
	struct feature_set want; /* what the guest gets */
};

/* What mainline KVM (Linux 6.12) offers guests in leaf 40000001. */
#define KVM_FEATURES                                                                                         \
	"kvmclock_old kvm_nopiodelay kvmclock kvm_asyncpf kvm_steal_time kvm_pv_eoi kvm_pv_unhalt "          \
	"kvm_pv_tlb_flush "                                                                                  \
	"kvm_asyncpf_vmexit kvm_pv_ipi kvm_poll_control kvm_pv_sched_yield kvm_asyncpf_int "                 \
	"kvmclock_stable_bit"

/* Those that follow the shape (cpuid_build()), and those that the guest's own kernel switches (CR4). */
#define SHAPE_FEATURES "ht cmp_legacy topoext"
#define OS_FEATURES    "osxsave ospke"

/* model_host.c: fill have; *plain receives what a guest gets of it unless somebody says otherwise. */
void host_features(struct build *b, struct feature_set *plain);

/* model_host.c: take out what a host that interprets ring 0 cannot run there, and note it. */
void host_leave_out_ring0(struct build *b);

/* model_host.c: the named model of the host's vendor that is nearest to what the guest is to have; notes say so. */
const struct model *host_nearest_model(struct build *b);

/* model_host.c: is this feature switched on by the user's own words? */
bool wished_on(const struct build *b, const char *name);

/* model_host.c: all features of a named model. */
void model_features(const struct feature_graph *g, const struct model *m, struct feature_set *s);

/* model_table.c: write the table of the features in want. Returns 0, or a negative errno with a sentence. */
MUST_CHECK int table_write(struct build *b);

/* model_xsave.c: the bits of XCR0 and XSS which belong to features of a set. */
uint64_t xsave_components(const struct build *b, const struct feature_set *s);

/* model_xsave.c: take out of a set what a table's leaf D has no component for. */
void xsave_limit(const struct build *b, struct feature_set *s, const struct cpuid_table *table);

/* model_xsave.c: make leaf D that of the features in want. Returns 0, or -ENOSPC. */
MUST_CHECK int xsave_write(struct build *b);

#endif
