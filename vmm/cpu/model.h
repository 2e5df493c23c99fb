/*
 * Processor models: what the user asks with --cpu, and the CPUID table that comes of it, before the topology
 * leaves are put in. Pure.
 */
#ifndef TRELLIS_CPU_MODEL_H
#define TRELLIS_CPU_MODEL_H

#include "vmm/base/notes.h"
#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/feature.h"

enum model_enforce { ENFORCE_UNSAID, ENFORCE_ON, ENFORCE_OFF };

/* One +feature, -feature or feature=on|off, in the order of the command line. */
struct feature_wish {
	const struct feature *feature;
	bool on;
};

enum { MODEL_MAX_WISHES = 64 };

struct model_spec {
	char name[32];                       /* "host", "max", "host-model", "x86-64-v3", "EPYC-Milan" ...; "": host */
	struct feature_wish wish[MODEL_MAX_WISHES];
	unsigned int nr_wishes;
	int vendor;                          /* 0: the model's; else 1 + enum cpuid_style */
	unsigned int phys_bits;              /* 0: the model's and the host's, whichever is less */
	bool no_hypervisor;                  /* hypervisor=off */
	bool no_kvm;                         /* kvm=off */
	bool nested;                         /* nested=on */
	bool nested_implied;                 /* nobody said so: +vmx or +svm did */
	int enforce;                         /* enum model_enforce */
};

/* What the processor is to run on. */
struct model_host {
	const struct cpuid_table *table;     /* what KVM supports here, or what CPUID tells where KVM cannot be asked */
	bool is_kvm;                         /* the former */
	bool ring0_interpreted;              /* KVM interprets guest ring 0, so some instructions cannot run there */
	bool tsc_deadline;                   /* KVM's timer has that mode */
};

/*
 * host_processor.c: find out. notes gets a sentence when KVM cannot be asked.
 * table  filled, and borrowed by host
 */
void model_host_read(struct model_host *host, struct cpuid_table *table, struct notes *notes);

/*
 * Parse --cpu: "MODEL[,+f][,-f][,f=on|off][,vendor=intel|amd][,phys-bits=N][,hypervisor=off][,kvm=off]
 * [,nested=on|off][,enforce=on|off]". Unknown names are errors that tell the nearest known one.
 */
MUST_CHECK int model_spec_parse(struct model_spec *spec, const char *arg, struct err *e);

/*
 * Make the table of one processor: leaf 0, 1, 7, D, 80000000 ... with vendor, family, brand and features; the
 * topology leaves (4, B, 1F, 80000008 ECX, 8000001D ...) may hold anything, cpuid_build() writes them.
 *
 * Features that the host has not: an error that names them all. With enforce=off they are left out, and a note
 * names them. With ENFORCE_UNSAID and describe set they stay in, and a note says that this host cannot run it.
 * describe  nothing will run: a named model is drawn as it is wherever one looks at it
 * notes     receives what was left out by dependency, host-model's choice and differences, and warnings
 */
MUST_CHECK int model_build(const struct model_spec *spec, const struct model_host *host, bool describe,
			   struct cpuid_table *out, struct notes *notes, struct err *e);

/*
 * What --cpu host-model comes to here: the named model that is nearest to what a guest gets of this host.
 * differs  receives how that differs from the model, "+a,+b,-c"; "" when it does not; cut off where it does not fit
 * Returns the model's name; NULL when there is none. Pure.
 */
const char *model_nearest(const struct model_host *host, char *differs, size_t len);

/* For --help and errors: the name of model i, NULL past the last; "host" first. */
const char *model_name(unsigned int i);
/* One line about it: vendor, family, model, stepping, year. */
const char *model_about(unsigned int i);

#endif
