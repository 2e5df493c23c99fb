/* NUMA nodes of a shape: who is in them, how much memory they have, how far they are. Parsing is numa.c's. */
#include "vmm/cpu/numa.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/base/cpulist.h"
#include "vmm/base/opt.h"

enum { NO_NODE = UINT16_MAX, FAR = 20 };

#define MAX_NODES_BYTES (1ull << 52) /* more than any address width; keeps every sum in 64 bits */

static int nodes_alloc(struct topology *t, unsigned int nr, struct err *e)
{
	free(t->node);
	free(t->distance);
	free(t->path);
	t->path = NULL;
	t->node = nr ? calloc(nr, sizeof(*t->node)) : NULL;
	t->distance = nr ? calloc(nr, nr) : NULL;
	t->nr_nodes = t->node && t->distance ? nr : 0;
	return nr && !t->nr_nodes ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* Numbers are dense, because tables are: SLIT has a row for each number up to the last (ACPI 6.5, 5.2.17). */
static int check_dense(const struct numa_spec *spec, struct err *e)
{
	for (unsigned int i = 0; i < spec->nr_nodes; i++)
		if (!spec->node[i].said)
			return err_usage(e,
					 "--numa: there is a node %u but no node %u; nodes are numbered from "
					 "0 without gaps",
					 spec->nr_nodes - 1, i);
	return 0;
}

/* ---- vCPUs ---- */

struct listing {
	struct topology *t;
	unsigned int node;
	struct err *e;
};

static int list_cpu(void *ctx, unsigned int n)
{
	struct listing *l = ctx;
	struct topo_cpu *cpu;

	if (n >= l->t->nr_cpus)
		return err_usage(l->e, "--numa node=%u: there is no vCPU %u; the last one is %u", l->node, n,
				 l->t->nr_cpus - 1);
	cpu = &l->t->cpu[n];
	if (cpu->node == l->node)
		return err_usage(l->e, "--numa node=%u: vCPU %u is there twice", l->node, n);
	if (cpu->node != NO_NODE)
		return err_usage(l->e, "--numa node=%u: vCPU %u is in node %u already; each is in one node",
				 l->node, n, cpu->node);
	cpu->node = (uint16_t)l->node;
	return 0;
}

static int cpus_from_lists(struct topology *t, const struct numa_spec *spec, struct err *e)
{
	unsigned int missing = 0, first = 0;
	int rc;

	for (unsigned int i = 0; i < t->nr_cpus; i++)
		t->cpu[i].node = NO_NODE;
	for (unsigned int n = 0; n < spec->nr_nodes; n++) {
		struct listing l = { .t = t, .node = n, .e = e };

		if (!spec->node[n].cpus)
			continue;
		rc = cpulist_each(spec->node[n].cpus, TOPO_MAX_CPUS - 1, list_cpu, &l);
		if (rc < 0)
			return rc;
	}
	for (unsigned int i = t->nr_cpus; i-- > 0;)
		if (t->cpu[i].node == NO_NODE) {
			missing++;
			first = i;
		}
	if (missing > 1)
		return err_usage(e, "--numa: vCPU %u and %u more are in no node%s; add them to cpus= of one",
				 first, missing - 1,
				 first >= t->nr_present ? " (those to be plugged need one, too)" : "");
	if (missing)
		return err_usage(e, "--numa: vCPU %u is in no node%s; add it to cpus= of one", first,
				 first >= t->nr_present ? " (those to be plugged need one, too)" : "");
	return 0;
}

/* No node said its vCPUs: whole sockets to each, or whole dies. */
static int cpus_deal_out(struct topology *t, struct err *e)
{
	static const enum topo_level levels[] = { TOPO_PACKAGE, TOPO_DIE };

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		unsigned int each = t->nr_units[levels[i]] / t->nr_nodes;

		if (t->nr_units[levels[i]] % t->nr_nodes)
			continue;
		for (unsigned int c = 0; c < t->nr_cpus; c++)
			t->cpu[c].node = (uint16_t)(t->cpu[c].unit[levels[i]] / each);
		return 0;
	}
	return err_usage(e,
			 "--numa: %u nodes cannot share out %u socket%s with %u die%s in all evenly; say "
			 "each node's vCPUs, "
			 "e.g. node=0,cpus=0-3, or have a number of sockets that %u divides",
			 t->nr_nodes, t->nr_units[TOPO_PACKAGE], t->nr_units[TOPO_PACKAGE] == 1 ? "" : "s",
			 t->nr_units[TOPO_DIE], t->nr_units[TOPO_DIE] == 1 ? "" : "s", t->nr_nodes);
}

static int cpus_from_layout(struct topology *t, const struct layout *layout, struct err *e)
{
	for (unsigned int i = 0; i < t->nr_cpus && i < layout->nr_cpus; i++) {
		t->cpu[i].node = layout->cpu[i].node;
		if (t->cpu[i].node >= t->nr_nodes)
			return err_usage(e, "--topology: vCPU %u is in node %u, but the last node is %u", i,
					 t->cpu[i].node, t->nr_nodes - 1);
	}
	return 0;
}

/* Linux splits such a core and warns. A cache in two nodes is legal (sub-NUMA clusters): check.c judges that. */
static int check_cores(const struct topology *t, struct err *e)
{
	uint16_t *first = calloc(MAX(t->nr_units[TOPO_CORE], 1u), sizeof(*first));
	int rc = 0;

	if (!first)
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned int i = t->nr_cpus; i-- > 0;)
		first[t->cpu[i].unit[TOPO_CORE]] = (uint16_t)i;
	for (unsigned int i = 0; i < t->nr_cpus && rc == 0; i++) {
		unsigned int other = first[t->cpu[i].unit[TOPO_CORE]];

		if (t->cpu[i].node != t->cpu[other].node)
			rc = err_usage(e,
				       "--numa: vCPUs %u and %u are threads of one core, but in nodes %u and "
				       "%u; put both "
				       "into one node",
				       other, i, t->cpu[other].node, t->cpu[i].node);
	}
	free(first);
	return rc;
}

/* ---- memory ---- */

static int refuse_sum(uint64_t said, uint64_t ram_bytes, bool all, struct err *e)
{
	char a[24], b[24];

	opt_size_text(said, a, sizeof(a));
	opt_size_text(ram_bytes, b, sizeof(b));
	if (all)
		return err_usage(e,
				 "--numa: the nodes have %s of memory in all, but the machine has %s; make "
				 "them equal with "
				 "--memory %s, or let one node go without memory=: it gets what is left",
				 a, b, a);
	return err_usage(e,
			 "--numa: the nodes that say their memory have %s, more than the machine's %s; give "
			 "it more with "
			 "--memory, or them less",
			 a, b);
}

/* Nodes that say their memory have it; the others share the rest alike, in large pages where those go round. */
static int memory_from_spec(struct topology *t, const struct numa_spec *spec, uint64_t ram_bytes,
			    struct err *e)
{
	unsigned int unsaid = 0, last = 0;
	uint64_t said = 0, left, each;
	char text[24];

	for (unsigned int n = 0; n < t->nr_nodes; n++) {
		if (n < spec->nr_nodes && spec->node[n].memory_said) {
			t->node[n].memory_bytes = spec->node[n].memory_bytes;
			said += spec->node[n].memory_bytes;
		} else {
			unsaid++;
			last = n;
		}
	}
	if (!ram_bytes)
		return 0;
	if (unsaid ? said > ram_bytes : said != ram_bytes)
		return refuse_sum(said, ram_bytes, !unsaid, e);
	if (!unsaid)
		return 0;
	left = ram_bytes - said;
	each = align_down(left / unsaid, left / unsaid >= 2 * MIB ? 2 * MIB : 4 * KIB);
	if (!each)
		return err_usage(
			e,
			"--numa: nothing of the machine's %s is left for node %u; give the machine more with "
			"--memory, or say memory=0 for the node",
			opt_size_text(ram_bytes, text, sizeof(text)), last);
	for (unsigned int n = 0; n < t->nr_nodes; n++)
		if (n >= spec->nr_nodes || !spec->node[n].memory_said)
			t->node[n].memory_bytes = n == last ? left - each * (unsaid - 1) : each;
	return 0;
}

static struct topo_node *largest_node(struct topology *t)
{
	struct topo_node *largest = &t->node[0];

	for (unsigned int n = 1; n < t->nr_nodes; n++)
		if (t->node[n].memory_bytes > largest->memory_bytes)
			largest = &t->node[n];
	return largest;
}

/*
 * The layout's sizes hold if they add up; else they are proportions: whole granules to each node, the rest to the
 * largest, and at least one to each that has memory.
 */
static int memory_scale(struct topology *t, uint64_t ram_bytes, struct err *e)
{
	uint64_t total = 0, granule, given = 0;
	unsigned int nr = 0;
	bool pages = true;

	for (unsigned int n = 0; n < t->nr_nodes; n++) {
		if (t->node[n].memory_bytes > MAX_NODES_BYTES - total)
			return err_usage(e, "--topology: the nodes have more than %llu TiB of memory in all",
					 MAX_NODES_BYTES / (1024 * GIB));
		total += t->node[n].memory_bytes;
		nr += t->node[n].memory_bytes != 0;
		pages &= t->node[n].memory_bytes % (4 * KIB) == 0;
	}
	if (!ram_bytes || !nr || (total == ram_bytes && pages))
		return 0;
	granule = ram_bytes >= nr * 2 * MIB ? 2 * MIB : 4 * KIB;
	if (ram_bytes < nr * granule)
		return err_usage(e, "--memory: %llu KiB are too little for %u nodes with memory",
				 (unsigned long long)(ram_bytes / KIB), nr);
	for (unsigned int n = 0; n < t->nr_nodes; n++) {
		uint64_t share = (uint64_t)((unsigned __int128)ram_bytes * t->node[n].memory_bytes / total);

		if (!t->node[n].memory_bytes)
			continue;
		t->node[n].memory_bytes = MAX(align_down(share, granule), granule);
		given += t->node[n].memory_bytes;
	}
	for (; given > ram_bytes; given -= granule) /* then some node has several, as nr of them fit */
		largest_node(t)->memory_bytes -= granule;
	largest_node(t)->memory_bytes += ram_bytes - given;
	return 0;
}

static int memory_from_layout(struct topology *t, const struct layout *layout, uint64_t ram_bytes,
			      struct err *e)
{
	bool known = false;

	for (unsigned int n = 0; layout->node && n < t->nr_nodes; n++) {
		t->node[n] = layout->node[n];
		known |= layout->node[n].memory_bytes != 0;
	}
	if (known)
		return memory_scale(t, ram_bytes, e);
	return memory_from_spec(t, &(struct numa_spec){ 0 }, ram_bytes, e);
}

/* Nobody's node: a guest would number it, or not, as it likes. And firmware and kernels begin at address 0. */
static int check_nodes(const struct topology *t, uint64_t ram_bytes, const struct numa_spec *spec,
		       struct err *e)
{
	bool has_cpu[TOPO_MAX_NODES] = { false };

	for (unsigned int i = 0; i < t->nr_cpus; i++)
		has_cpu[t->cpu[i].node] = true;
	for (unsigned int n = 0; n < t->nr_nodes; n++) {
		bool known = ram_bytes || (n < spec->nr_nodes && spec->node[n].memory_said);

		if (known && !t->node[n].memory_bytes && !has_cpu[n])
			return err_usage(
				e,
				"--numa: node %u has neither vCPUs nor memory; give it cpus= or memory=", n);
	}
	if (spec->nr_nodes && spec->node[0].memory_said && !spec->node[0].memory_bytes)
		return err_usage(e, "--numa node=0: memory=0: guests boot from the memory at address 0, "
				    "which is node 0's; let "
				    "another node go without");
	return 0;
}

/* ---- distances and paths ---- */

static int check_pairs(const struct topology *t, const struct numa_spec *spec, struct err *e)
{
	for (unsigned int i = 0; i < spec->nr_pairs; i++) {
		const struct numa_pair *p = &spec->pair[i];

		if (!t->nr_nodes)
			return err_usage(
				e,
				"--numa %s=%u:%u: there are no nodes; say them with --numa node=0 and so on",
				p->distance ? "dist" : "hmat", p->from, p->to);
		if (p->from >= t->nr_nodes || p->to >= t->nr_nodes)
			return err_usage(e, "--numa %s=%u:%u: there is no node %u; the last one is %u",
					 p->distance ? "dist" : "hmat", p->from, p->to, MAX(p->from, p->to),
					 t->nr_nodes - 1);
	}
	return 0;
}

/* layout: NULL unless the nodes are its own. Guests drop a SLIT with an impossible distance, all of it. */
static int set_distances(struct topology *t, const struct numa_spec *spec, const struct layout *layout,
			 struct err *e)
{
	unsigned int nr = t->nr_nodes;

	for (unsigned int i = 0; i < nr * nr; i++)
		t->distance[i] = layout && layout->distance ? layout->distance[i] : i % (nr + 1) ? FAR : 10;
	for (unsigned int i = 0; i < spec->nr_pairs; i++)
		if (spec->pair[i].distance)
			t->distance[spec->pair[i].to * nr + spec->pair[i].from] = spec->pair[i].distance;
	for (unsigned int i = 0; i < spec->nr_pairs; i++)
		if (spec->pair[i].distance)
			t->distance[spec->pair[i].from * nr + spec->pair[i].to] = spec->pair[i].distance;
	for (unsigned int i = 0; i < nr * nr; i++) {
		if (i % (nr + 1) == 0 && t->distance[i] != 10)
			return err_usage(
				e, "--topology: the distance of node %u to itself is %u; it is always 10",
				i / nr, t->distance[i]);
		if (i % (nr + 1) && t->distance[i] <= 10)
			return err_usage(e,
					 "--topology: the distance from node %u to %u is %u; expected 11 to "
					 "255, e.g. with "
					 "--numa dist=%u:%u:%d",
					 i / nr, i % nr, t->distance[i], i / nr, i % nr, FAR);
	}
	return 0;
}

/* Initiators have vCPUs and targets have memory (ACPI 6.5, 5.2.28.4): what is said of others would be lost. */
static int check_path(const struct topology *t, const struct numa_pair *p, uint64_t ram_bytes, struct err *e)
{
	unsigned int i = 0;

	while (i < t->nr_cpus && t->cpu[i].node != p->from)
		i++;
	if (i == t->nr_cpus)
		return err_usage(e, "--numa hmat=%u:%u: node %u has no vCPU that could reach anything",
				 p->from, p->to, p->from);
	if (ram_bytes && !t->node[p->to].memory_bytes)
		return err_usage(e, "--numa hmat=%u:%u: node %u has no memory to be reached", p->from, p->to,
				 p->to);
	return 0;
}

static int set_paths(struct topology *t, const struct numa_spec *spec, uint64_t ram_bytes, struct err *e)
{
	static const struct topo_path none;
	int rc;

	for (unsigned int i = 0; i < spec->nr_pairs; i++) {
		const struct numa_pair *p = &spec->pair[i];

		if (!memcmp(&p->path, &none, sizeof(none)))
			continue;
		rc = check_path(t, p, ram_bytes, e);
		if (rc < 0)
			return rc;
		if (!t->path)
			t->path = calloc((size_t)t->nr_nodes * t->nr_nodes, sizeof(*t->path));
		if (!t->path)
			return err_set(e, -ENOMEM, "out of memory");
		t->path[p->from * t->nr_nodes + p->to] = p->path;
	}
	return 0;
}

static bool any_cpus_said(const struct numa_spec *spec)
{
	for (unsigned int n = 0; n < spec->nr_nodes; n++)
		if (spec->node[n].cpus)
			return true;
	return false;
}

/* Which vCPUs and how much memory. own: the layout, if its vCPUs' nodes hold. */
static int fill_nodes(struct topology *t, const struct numa_spec *spec, const struct layout *own,
		      uint64_t ram_bytes, struct err *e)
{
	int rc;

	if (own)
		rc = cpus_from_layout(t, own, e);
	else if (any_cpus_said(spec))
		rc = cpus_from_lists(t, spec, e);
	else
		rc = cpus_deal_out(t, e);
	if (rc < 0 || (rc = check_cores(t, e)) < 0)
		return rc;
	for (unsigned int n = 0; n < spec->nr_nodes; n++) {
		memcpy(t->node[n].host_nodes, spec->node[n].host_nodes, sizeof(t->node[n].host_nodes));
		t->node[n].policy = spec->node[n].policy;
	}
	if (spec->nr_nodes)
		rc = memory_from_spec(t, spec, ram_bytes, e);
	else
		rc = memory_from_layout(t, own, ram_bytes, e);
	return rc < 0 ? rc : check_nodes(t, ram_bytes, spec, e);
}

int numa_place(struct topology *t, const struct numa_spec *spec, const struct layout *layout,
	       uint64_t ram_bytes, struct err *e)
{
	unsigned int nr = spec->nr_nodes;
	int rc;

	if (layout && (!layout->nr_nodes || any_cpus_said(spec) || (nr && nr != layout->nr_nodes)))
		layout = NULL;
	if (layout)
		nr = layout->nr_nodes;
	if (nr > TOPO_MAX_NODES)
		return err_usage(e, "--topology: %u nodes are more than the %d that a machine can have", nr,
				 TOPO_MAX_NODES);
	for (unsigned int i = 0; i < t->nr_cpus; i++)
		t->cpu[i].node = 0;
	if ((rc = nodes_alloc(t, nr, e)) < 0 || (rc = check_dense(spec, e)) < 0 ||
	    (rc = check_pairs(t, spec, e)) < 0)
		return rc;
	if (!nr)
		return 0;
	if ((rc = fill_nodes(t, spec, layout, ram_bytes, e)) < 0 ||
	    (rc = set_distances(t, spec, layout, e)) < 0)
		return rc;
	return set_paths(t, spec, ram_bytes, e);
}
