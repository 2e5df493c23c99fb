/*
 * `trellis host`: what this computer can do for guests. Facts are collected into plain data, which is then printed as
 * a page for people or as JSON for programs. Nothing is changed on the way; the only thing that is made, and gone
 * again at once, is the guest of one page that measures ring 0.
 *
 *   host_command.c     the command and its options; --check
 *   host_collect.c     everything, in order; system and limits
 *   host_kvm.c         KVM: module, capabilities
 *   host_ring0.c       how fast ring 0 is
 *   host_cpu.c         the processor: model, features, shape
 *   host_facilities.c  what is there or not, what is lost without it, and what mends it
 *   host_iommu.c       devices in groups, for passthrough
 *   host_text.c        the page
 *   host_json.c        the object
 *
 * What a function reads below /proc, /sys and /dev it reads below root, "" but in tests (vmm/base/sysfile.h).
 */
#ifndef TRELLIS_HOST_HOST_H
#define TRELLIS_HOST_HOST_H

#include <stdio.h>

#include "vmm/base/err.h"
#include "vmm/base/notes.h"
#include "vmm/base/opt.h"
#include "vmm/host/host_memory.h"
#include "vmm/kvm.h"

enum host_answer { HOST_UNKNOWN, HOST_NO, HOST_YES };

enum { HOST_MAX_CAPABILITIES = 32, HOST_MAX_FACILITIES = 20, HOST_MAX_DEVICES = 4096 };

struct host_kvm {
	enum host_answer usable; /* kvm_open() succeeds; HOST_UNKNOWN: nobody has tried */
	struct err why;          /* its sentence when it does not */
	int api_version;         /* 0: not known, as everything below */
	char module[32];         /* "kvm_intel"; "": none is loaded */
	const char *vendor;      /* "intel", "amd", "pvm" or NULL */
	enum host_answer nested;
	unsigned int max_vcpus, max_vcpu_id;
	int capability
		[HOST_MAX_CAPABILITIES]; /* by index in kvm_capabilities: what KVM answered; -1: not asked */
};

struct host_ring0 {
	bool made;                    /* a guest could be made; when not, no guest can run */
	enum host_answer interpreted; /* HOST_UNKNOWN: not measured */
	uint64_t per_second;          /* instructions */
	struct err why;               /* it was not measured */
};

struct host_cpu {
	bool by_kvm;   /* table and features are what KVM gives guests; else what CPUID says here */
	bool can_nest; /* VMX or SVM is among the features */
	bool is_guest; /* this computer is itself a virtual machine */
	char vendor[13], brand[49];
	unsigned int family, model, stepping, phys_bits;
	const char *nearest; /* what --cpu host-model comes to; NULL: not known */
	char differs[1024];  /* how this processor differs from it: "+a,-b" */
	char *features;      /* owned; names with blanks between; NULL: not known */
	unsigned int nr_features;
	char shape[1024]; /* one sentence; "": see shape_why */
	struct err shape_why;
	char allowed[256]; /* CPUs that this process may run on, as a list; cut off where it does not fit */
	unsigned int nr_allowed;
};

#define HOST_UNLIMITED UINT64_MAX

struct host_limit {
	bool known;
	uint64_t soft, hard; /* HOST_UNLIMITED, or the limit */
};

/* Something that is there or is not. */
struct host_facility {
	const char *key;  /* for programs: "vhost_net" */
	const char *name; /* for people: "/dev/vhost-net" */
	bool optional;    /* nobody needs it who did not ask for it: no problem when it is not there */
	enum host_answer here;
	struct err detail;   /* what was found, or why it is not there */
	const char *without; /* what is lost without it */
	const char *mend;    /* the command, or what else mends it; NULL: nothing, or detail says so */
};

struct host_device {
	unsigned int group;
	char address[16]; /* "0000:00:1f.2" */
	uint16_t vendor, device;
	uint32_t class;  /* base class, sub-class, interface */
	char driver[32]; /* "": none */
};

struct host_iommu {
	unsigned int nr_groups;
	struct host_device *device; /* owned; by group, then address */
	unsigned int nr_devices;
	const char *why_none, *mend; /* without groups */
};

struct host_report {
	char release[65], machine[65]; /* as uname(1) tells them */
	struct host_kvm kvm;
	struct host_ring0 ring0;
	struct host_cpu cpu;
	struct host_memory memory;
	struct host_limit nofile, memlock;
	struct host_facility facility[HOST_MAX_FACILITIES];
	unsigned int nr_facilities;
	struct host_iommu iommu;
};

/*
 * Collect it all. Whatever cannot be found out is left "not known".
 * r  large: not for small stacks
 * Returns 0; -ENOMEM with a sentence. host_fini() is safe either way, and on an all-zero struct.
 */
MUST_CHECK int host_collect(struct host_report *r, const char *root, struct err *e);
void host_fini(struct host_report *r);

/* The parts of host_collect() that are of interest alone. */
void host_read_kvm(struct host_kvm *k, const char *root);
void host_measure_ring0(struct host_ring0 *r);
MUST_CHECK int host_read_cpu(struct host_cpu *c, const char *root);     /* 0 or -ENOMEM */
MUST_CHECK int host_read_iommu(struct host_iommu *i, const char *root); /* 0 or -ENOMEM */
void host_iommu_fini(struct host_iommu *i);

/* host_cpu.c: is this word in what /proc/cpuinfo says of the first processor: a vendor, a feature? */
bool host_cpuinfo_has(const char *root, const char *word);

/* Fill in r->facility; wants r->kvm, r->cpu, r->memory and r->memlock. */
void host_read_facilities(struct host_report *r, const char *root);

/* How many things are wrong that a guest without special wishes could meet: those that the page marks with '!'. */
unsigned int host_count_problems(const struct host_report *r);

/* The page, about 100 columns wide / the object, whose keys host_json.c lists. Errors stay in the stream. */
void host_print_text(const struct host_report *r, FILE *out);
void host_print_json(const struct host_report *r, FILE *out);

/* The answer of --check: each problem in a line of its own, or that there is none / {"starts", "problems"}. */
void host_check_text(const struct notes *problems, FILE *out);
void host_check_json(const struct notes *problems, FILE *out);

/* host_command.c: the command. argv[0] is "host". Returns an exit status, or a negative errno with a sentence. */
extern const struct opt host_opts[];
MUST_CHECK int host_main(int argc, char *const *argv, struct err *e);

#endif
