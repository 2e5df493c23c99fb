/*
 * The options about processors: their table and a parser for each kind of argument. What they mean together is
 * processors.c's business.
 */
#include "vmm/cpu/cpu_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT_OF(level) offsetof(struct topology_spec, count) + (level) * sizeof(unsigned int)

static const struct opt_key cpus_keys[] = {
	{ .name = "cpus", .value = "N", .kind = OPT_UINT, .offset = offsetof(struct topology_spec, cpus), .min = 1,
	  .max = TOPO_MAX_CPUS, .positional = true },
	{ .name = "max", .alias = "maxcpus", .value = "M", .help = "processors that there is room for (default N)", .kind = OPT_UINT,
	  .offset = offsetof(struct topology_spec, max), .min = 1, .max = TOPO_MAX_CPUS },
	{ .name = "sockets", .value = "N", .help = "sockets in the machine (default 1)", .kind = OPT_UINT,
	  .offset = COUNT_OF(TOPO_PACKAGE), .min = 1, .max = TOPO_MAX_CPUS },
	{ .name = "dies", .value = "N", .help = "dies in a socket (default 1)", .kind = OPT_UINT,
	  .offset = COUNT_OF(TOPO_DIE), .min = 1, .max = TOPO_MAX_CPUS },
	{ .name = "modules", .value = "N", .help = "modules in a die (default 1)", .kind = OPT_UINT,
	  .offset = COUNT_OF(TOPO_MODULE), .min = 1, .max = TOPO_MAX_CPUS },
	{ .name = "cores", .value = "N", .help = "cores in a module (default: what is left)", .kind = OPT_UINT,
	  .offset = COUNT_OF(TOPO_CORE), .min = 1, .max = TOPO_MAX_CPUS },
	{ .name = "threads", .value = "N", .help = "threads in a core (default 1)", .kind = OPT_UINT,
	  .offset = COUNT_OF(TOPO_THREAD), .min = 1, .max = TOPO_MAX_CPUS },
	{ 0 },
};

static int parse_cpus(void *config, const char *arg, struct err *e)
{
	struct cpu_options *o = config;

	o->shape = (struct topology_spec){ 0 };
	o->shape_said = true;
	return opt_parse_list("--cpus", arg, cpus_keys, &o->shape, e);
}

static int parse_topology(void *config, const char *arg, struct err *e)
{
	struct cpu_options *o = config;

	if (!*arg)
		return err_usage(e, "--topology: expected the path of a topology file, host, host:CPUS or hwloc:FILE.xml");
	free(o->topology);
	o->topology = strdup(arg);
	return o->topology ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int parse_cache(void *config, const char *arg, struct err *e)
{
	struct cpu_options *o = config;

	return cache_spec_parse(&o->caches, arg, e);
}

static int parse_numa(void *config, const char *arg, struct err *e)
{
	struct cpu_options *o = config;

	return numa_spec_parse(&o->numa, arg, e);
}

static int parse_cpu(void *config, const char *arg, struct err *e)
{
	struct cpu_options *o = config;

	o->list_models = !strcmp(arg, "help") || !strcmp(arg, "?");
	o->model = (struct model_spec){ 0 };
	return o->list_models ? 0 : model_spec_parse(&o->model, arg, e);
}

enum { MAX_OVERRIDES = 1024 };

/* Room for one more element. */
static int grow(void **list, unsigned int nr, size_t bytes, const char *option, struct err *e)
{
	void *more = nr < MAX_OVERRIDES ? realloc(*list, (nr + 1) * bytes) : NULL;

	if (!more)
		return nr < MAX_OVERRIDES ? err_set(e, -ENOMEM, "out of memory") :
					    err_usage(e, "%s: at most %d can be given", option, MAX_OVERRIDES);
	*list = more;
	return 0;
}

static int parse_cpuid(void *config, const char *arg, struct err *e)
{
	struct cpu_options *o = config;
	int rc = grow((void **)&o->cpuid, o->nr_cpuids, sizeof(*o->cpuid), "--cpuid", e);

	return rc < 0 ? rc : cpuid_override_parse(&o->cpuid[o->nr_cpuids++], arg, e);
}

static int parse_msr(void *config, const char *arg, struct err *e)
{
	struct cpu_options *o = config;
	int rc = grow((void **)&o->msr, o->nr_msrs, sizeof(*o->msr), "--msr", e);

	return rc < 0 ? rc : msr_override_parse(&o->msr[o->nr_msrs++], arg, e);
}

static int parse_pin(void *config, const char *arg, struct err *e)
{
	struct cpu_options *o = config;

	return pin_spec_parse(&o->pin, arg, e);
}

static int parse_memory(void *config, const char *arg, struct err *e)
{
	struct cpu_options *o = config;

	return memory_options_parse(&o->memory, arg, e);
}

const struct opt cpu_opts[] = {
	{ .name = "cpus", .alias = "smp", .arg = "N[,max=M][,sockets=,dies=,modules=,cores=,threads=]",
	  .parse = parse_cpus, .keys = cpus_keys,
	  .help = "Processors and their shape (default 1). What is not said is derived: one socket, and as many cores "
		  "as it takes. The numbers must multiply to max." },
	{ .name = "topology", .arg = "FILE|host[:CPUS]|hwloc:FILE.xml", .parse = parse_topology,
	  .help = "Any other shape: one line a vCPU or a group in FILE (docs/topology.md), the shape of this host or of some "
		  "of its CPUs (host:0-3,8), or that of another machine, as lstopo wrote it. --cpus N then starts only the "
		  "first N of them." },
	{ .name = "cache", .arg = "l1d=SIZE[:WAYS[:LINE]][/LEVEL],l1i=,l1=,l2=,l3=,l4=", .parse = parse_cache,
	  .help = "Sizes of the caches, and which level shares one: thread, core, module, die or socket (default: the host's "
		  "sizes; l1 and l2 by core, l3 by die). l3=off takes one away." },
	{ .name = "numa", .arg = "node=N[,cpus=LIST][,memory=SIZE][,host-nodes=LIST][,policy=]|dist=A:B:D|hmat=A:B,...",
	  .parse = parse_numa,
	  .help = "A NUMA node: its vCPUs, its memory, and the host's nodes the memory comes from (policy bind, preferred or "
		  "interleave). dist is the distance of two nodes, 10 being none (default 20). hmat=A:B,latency=NS,bandwidth=MBS "
		  "is how node A reaches the memory of B; also read-latency, write-latency, read-bandwidth, write-bandwidth. May "
		  "be given many times; a list with a comma has it twice: cpus=0-3,,8." },
	{ .name = "cpu", .arg = "MODEL[,+FEATURE][,-FEATURE][,FEATURE=on|off][,KEY=VALUE]", .parse = parse_cpu,
	  .help = "The processor's model: host (default), max, host-model, x86-64-v1 to x86-64-v4, or one of those that "
		  "'--cpu help' lists. Features have the names of /proc/cpuinfo or QEMU's. Keys: vendor=intel|amd, phys-bits=N, "
		  "hypervisor=off and kvm=off (not to tell that this is a virtual machine, or which), nested=on (VMX or SVM for "
		  "the guest), enforce=off (leave out what this host cannot give, with a warning)." },
	{ .name = "cpuid", .arg = "LEAF[.SUBLEAF].REG=VALUE[:MASK][@VCPU]", .parse = parse_cpuid,
	  .help = "Override a CPUID register, on one vCPU or on all: --cpuid 0x80000008.ecx=0x3000:0xf000. Leaf, value and mask "
		  "are hexadecimal. Applied last; you "
		  "are warned of what it makes inconsistent. May be given many times." },
	{ .name = "msr", .arg = "INDEX=VALUE", .parse = parse_msr,
	  .help = "The value of a model-specific register after power-on, on every vCPU; both hexadecimal. May be given many times." },
	{ .name = "pin", .arg = "vcpuN=LIST|vcpus=LIST|io=LIST|main=LIST,...|auto|none", .parse = parse_pin,
	  .help = "Which of the host's CPUs threads run on: one vCPU's (vcpu0=2,vcpu1=3), all vCPUs', each on its own CPU, in rising "
		  "order (vcpus=2-9), those of disks and networks (io=0-1), and the main thread (main=0). auto: each "
		  "vCPU on a CPU that suits its place, with --topology host the one whose place it has, and nodes' memory from "
		  "the host's nodes. Two vCPUs on one CPU are refused unless overlap=ok is said. A list with a comma has it "
		  "twice: io=0,,4. May be given many times." },
	{ .name = "memory", .alias = "m", .arg = "SIZE[,KEY=VALUE...]", .parse = parse_memory, .keys = memory_keys,
	  .help = "Guest RAM with a suffix K, M, G or T; a bare number counts MiB (default 256M, or what the nodes have), and "
		  "what is behind it." },
	{ 0 },
};

int cpu_options_list_models(void)
{
	for (unsigned int i = 0; model_name(i); i++)
		printf("  %-20s %s\n", model_name(i), model_about(i));
	return 0;
}

void cpu_options_init(struct cpu_options *o)
{
	*o = (struct cpu_options){ .shape.cpus = 1 };
	memory_options_init(&o->memory);
}

void cpu_options_fini(struct cpu_options *o)
{
	numa_spec_fini(&o->numa);
	pin_spec_fini(&o->pin);
	memory_options_fini(&o->memory);
	free(o->topology);
	free(o->cpuid);
	free(o->msr);
	*o = (struct cpu_options){ 0 };
}
