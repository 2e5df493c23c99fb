/*
 * From options and host to the guest's processors, in the order in which one thing depends on another: shape,
 * model, caches, nodes, CPUID, overrides.
 */
#include "vmm/cpu/processors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define KVM_FEATURES_LEAF    0x40000001u
#define KVM_MSI_EXT_DEST_ID  (1u << 15)

static int shape_build(struct processors *p, struct err *e)
{
	const struct cpu_options *o = p->opts;
	int rc;

	if (!o->topology)
		return topology_init(&p->topo, &o->shape, e);
	if (o->shape.max || o->shape.count[TOPO_THREAD] || o->shape.count[TOPO_CORE] || o->shape.count[TOPO_MODULE] ||
	    o->shape.count[TOPO_DIE] || o->shape.count[TOPO_PACKAGE])
		return err_usage(e, "--cpus: the shape comes from --topology %s; only how many of its vCPUs are started can be said",
				 o->topology);
	rc = layout_read(&p->layout, o->topology, e);
	return rc < 0 ? rc : topology_from_layout(&p->topo, &p->layout, o->shape_said ? o->shape.cpus : 0, e);
}

/* Bits which depend on the shape, not on the model. */
static void table_adjust(struct processors *p)
{
	struct kvm_cpuid_entry2 *c;

	for (uint32_t i = 0; i < p->table->nent; i++) {
		c = &p->table->entry[i];
		/* Linux reaches ids above 254 by MSI only when it is told that messages can carry them. */
		if (c->function == KVM_FEATURES_LEAF)
			c->eax |= topology_wide_ids(&p->topo) ? KVM_MSI_EXT_DEST_ID : 0;
	}
}

/*
 * On family 17h up to model 1Fh, and on every Hygon, Linux takes the APIC id without three bits for the L3's number,
 * whatever the leaves say (arch/x86/kernel/cpu/cacheinfo.c, v6.12, cacheinfo_amd_init_llc_id()).
 */
static void note_old_zen(struct processors *p)
{
	const struct kvm_cpuid_entry2 *leaf1 = cpuid_get(p->table, 1, 0);
	unsigned int family = leaf1 ? ((leaf1->eax >> 8) & 0xf) + ((leaf1->eax >> 20) & 0xff) : 0;
	unsigned int model = leaf1 ? (leaf1->eax >> 12 & 0xf0) | (leaf1->eax >> 4 & 0xf) : 0;

	if (cpuid_style(p->table) != CPUID_AMD || (family != 0x17 && family != 0x18) || (family == 0x17 && model > 0x1f))
		return;
	for (unsigned int k = 0; k < p->topo.nr_caches; k++)
		if (p->topo.cache[k].level == 3 && p->topo.cpu[0].cache_shift[k] != 3 && p->topo.shift[TOPO_PACKAGE] > 3) {
			notes_add(&p->notes, "Linux takes eight APIC ids for each L3 of this processor model, whatever it is told; later "
					     "models, such as EPYC-Milan, show the L3s of this shape");
			return;
		}
}

/* MSRs are in no table that anything shows. */
static void note_msrs(struct processors *p)
{
	enum { FEW = 8, MOST = 32 }; /* those that are named; letters of one */
	const struct cpu_options *o = p->opts;
	char text[FEW * MOST + MOST];
	size_t at = 0;

	for (unsigned int i = 0; i < MIN(o->nr_msrs, (unsigned int)FEW); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s0x%x=0x%llx", i ? ", " : "", o->msr[i].index,
				       (unsigned long long)o->msr[i].value);
	if (o->nr_msrs > FEW)
		snprintf(text + at, sizeof(text) - at, " and %u more", o->nr_msrs - FEW);
	if (o->nr_msrs)
		notes_add(&p->notes, "--msr: every vCPU starts with %s", text);
}

/* Overrides are tried on every vCPU they are meant for, so that later calls cannot fail. */
static int overrides_check(struct processors *p, struct err *e)
{
	for (unsigned int i = 0; i < p->opts->nr_cpuids; i++) {
		const struct cpuid_override *o = &p->opts->cpuid[i];
		unsigned int index = o->vcpu == OVERRIDE_ALL_VCPUS ? 0 : o->vcpu;

		if (index >= p->topo.nr_cpus)
			return err_usage(e, "--cpuid ...@%u: there are vCPUs 0 to %u", index, p->topo.nr_cpus - 1);
		if (!processors_cpuid(p, index))
			return err_usage(e, "--cpuid: the table would have more than the %d entries that KVM takes", CPUID_MAX_ENTRIES);
	}
	return 0;
}

/* How much RAM: --memory, or what the nodes of --numa or else of a topology file add up to, or the default. */
static uint64_t ram_size(const struct processors *p)
{
	const struct cpu_options *o = p->opts;
	uint64_t sum = o->numa.nr_nodes ? numa_memory_sum(&o->numa) : layout_memory_sum(&p->layout);

	return o->memory.said || !sum ? o->memory.bytes : sum;
}

int processors_shape(struct processors *p, const struct cpu_options *opts, struct err *e)
{
	int rc;

	*p = (struct processors){ .opts = opts };
	rc = shape_build(p, e);
	p->ram_bytes = ram_size(p);
	return rc;
}

/* Without --pin, the nodes of a shape that is this host's say where they come from, and bind nothing. */
static void nodes_loosen(struct processors *p)
{
	for (unsigned int i = 0; !p->opts->pin.automatic && !p->opts->numa.nr_nodes && p->topo.cpu[0].host_cpu >= 0 && i < p->topo.nr_nodes; i++)
		p->topo.node[i].policy = NODE_DEFAULT;
}

int processors_complete(struct processors *p, const struct model_host *host, bool describe, struct err *e)
{
	const struct cpu_options *opts = p->opts;
	const struct layout *layout = opts->topology ? &p->layout : NULL;
	int rc;

	p->table = calloc(1, sizeof(*p->table));
	p->vcpu_table = opts->nr_cpuids ? calloc(1, sizeof(*p->vcpu_table)) : NULL;
	if (!p->table || (opts->nr_cpuids && !p->vcpu_table))
		return err_set(e, -ENOMEM, "out of memory");
	if ((rc = model_build(&opts->model, host, describe, p->table, &p->notes, e)) < 0 ||
	    (rc = caches_place(&p->topo, &opts->caches, layout, host->table, e)) < 0 ||
	    (rc = numa_place(&p->topo, &opts->numa, layout, p->ram_bytes, e)) < 0 ||
	    (rc = cpuid_build(p->table, &p->topo, e)) < 0)
		return rc;
	nodes_loosen(p);
	table_adjust(p);
	note_old_zen(p);
	note_msrs(p);
	return overrides_check(p, e);
}

int processors_init(struct processors *p, const struct cpu_options *opts, const struct model_host *host, bool describe,
		    struct err *e)
{
	int rc = processors_shape(p, opts, e);

	return rc < 0 ? rc : processors_complete(p, host, describe, e);
}

void processors_fini(struct processors *p)
{
	topology_fini(&p->topo);
	layout_fini(&p->layout);
	notes_fini(&p->notes);
	free(p->table);
	free(p->vcpu_table);
	*p = (struct processors){ 0 };
}

struct cpuid_table *processors_cpuid(struct processors *p, unsigned int index)
{
	cpuid_set_place(p->table, &p->topo, &p->topo.cpu[index]);
	if (!p->vcpu_table)
		return p->table;
	/* Overrides may add entries and change what set_place() does not write: they get a table of their own. */
	memcpy(p->vcpu_table, p->table, sizeof(*p->table));
	if (cpuid_override_apply(p->opts->cpuid, p->opts->nr_cpuids, index, p->vcpu_table) < 0)
		return NULL;
	return p->vcpu_table;
}
