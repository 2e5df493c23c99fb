/*
 * --pin auto: which CPU of the host suits which vCPU. A guest node stays inside one of the host's nodes and the
 * threads of a core on one of the host's cores where they fit; all other vCPUs get cores of their own until there are
 * none left. Neighbours in the guest become neighbours on the host, as both are gone through in order: same input,
 * same result.
 *
 * This is no search for the best of all placements. Nodes are served one after the other, those with the fewest CPUs
 * to choose from first; where the CPUs of two nodes overlap without one's being all of the other's, one may come away
 * empty that a cleverer choice would have served. Efficiency cores are cores like others.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/pin_internal.h"

/* What may be taken, from what suits best on. */
enum {
	KEEP_OFF, /* free CPUs which neither io= nor main= names */
	FREE,     /* free CPUs */
	SHARE,    /* any, the least loaded first */
};

enum { NOWHERE = -1 };

/* A vCPU that is to be placed. */
struct seeker {
	unsigned int vcpu, node, core; /* numbers of the guest */
	int at;                        /* in host.cpu[], or NOWHERE */
};

/* The vCPUs of a guest node: seeker[from] to seeker[to - 1]. */
struct seekers_node {
	unsigned int from, to, node;
	struct cpuset cpus; /* that it may have: all, or those of the host's nodes where its memory is */
	unsigned int nr_cpus;
};

struct auto_pins {
	struct pin_job *job;
	struct pin_host host;
	unsigned int *load, *core_load; /* owned; vCPUs on each CPU, on each core */
	struct seeker *seeker;          /* owned; by guest node, core, vCPU */
	unsigned int nr;
	struct seekers_node *node; /* owned; in the order in which they are served */
	unsigned int nr_nodes;
};

/* Where to look, and what to take. */
struct search {
	const struct cpuset *cpus;
	bool one_node; /* look at host_node alone */
	int32_t host_node;
	int level;      /* KEEP_OFF, FREE, SHARE */
	bool own_cores; /* nobody shares a core with another core of the guest */
};

/* ---- one guest core ---- */

static bool suits(const struct auto_pins *a, const struct search *s, unsigned int at)
{
	const struct pin_spec *spec = a->job->spec;
	const struct pin_cpu *c = &a->host.cpu[at];

	if (!cpuset_has(s->cpus, c->number) || (s->one_node && c->node != s->host_node))
		return false;
	if (s->own_cores && a->core_load[c->core_index])
		return false;
	if (s->level == KEEP_OFF && ((spec->io && cpuset_has(spec->io, c->number)) ||
				     (spec->main && cpuset_has(spec->main, c->number))))
		return false;
	return s->level == SHARE || !a->load[at];
}

static void take(struct auto_pins *a, struct seeker *who, unsigned int at)
{
	who->at = (int)at;
	a->load[at]++;
	a->core_load[a->host.cpu[at].core_index]++;
}

static void let_go(struct auto_pins *a, struct seeker *who)
{
	if (who->at == NOWHERE)
		return;
	a->load[who->at]--;
	a->core_load[a->host.cpu[who->at].core_index]--;
	who->at = NOWHERE;
}

/* The least loaded CPU, on the least loaded core, for one vCPU. */
static bool place_alone(struct auto_pins *a, const struct search *s, struct seeker *who)
{
	unsigned int best = UINT32_MAX;

	for (unsigned int i = 0; i < a->host.nr; i++) {
		const unsigned int core = a->host.cpu[i].core_index;

		if (suits(a, s, i) && (best == UINT32_MAX || a->load[i] < a->load[best] ||
				       (a->load[i] == a->load[best] &&
					a->core_load[core] < a->core_load[a->host.cpu[best].core_index])))
			best = i;
	}
	if (best == UINT32_MAX)
		return false;
	take(a, who, best);
	return true;
}

/* How many CPUs from at on are of one core. */
static unsigned int core_width(const struct auto_pins *a, unsigned int at)
{
	unsigned int n = 1;

	while (at + n < a->host.nr && a->host.cpu[at + n].core_index == a->host.cpu[at].core_index)
		n++;
	return n;
}

/* The threads of a guest core onto those of the least loaded core that has enough. */
static bool place_together(struct auto_pins *a, const struct search *s, struct seeker *who, unsigned int nr)
{
	unsigned int best = UINT32_MAX, width;

	for (unsigned int i = 0; i < a->host.nr; i += width) {
		unsigned int room = 0;

		width = core_width(a, i);
		for (unsigned int k = i; k < i + width; k++)
			room += suits(a, s, k);
		if (room >= nr && (best == UINT32_MAX || a->core_load[a->host.cpu[i].core_index] <
								 a->core_load[a->host.cpu[best].core_index]))
			best = i;
	}
	if (best == UINT32_MAX)
		return false;
	/* Which of them suit is asked first: taking one changes the answer where cores are to be free. */
	for (unsigned int i = best, n = 0; n < nr; i++) {
		const struct search any_core = { .cpus = s->cpus, .level = s->level };

		if (suits(a, &any_core, i))
			take(a, &who[n++], i);
	}
	return true;
}

static bool place_core(struct auto_pins *a, const struct search *s, struct seeker *who, unsigned int nr)
{
	if (nr > 1 && place_together(a, s, who, nr))
		return true;
	if (nr > 1 && s->own_cores)
		return false; /* torn apart only when it cannot be helped, as on a host without SMT */
	for (unsigned int i = 0; i < nr; i++)
		if (!place_alone(a, s, &who[i]))
			return false;
	return true;
}

/* ---- one guest node ---- */

/* All vCPUs of a node, or none: cores with several threads first, as they are harder to please. */
static bool place_all(struct auto_pins *a, const struct search *s, const struct seekers_node *n)
{
	bool placed = true;

	for (int several = 1; several >= 0 && placed; several--)
		for (unsigned int i = n->from, nr; i < n->to && placed; i += nr) {
			for (nr = 1; i + nr < n->to && a->seeker[i + nr].core == a->seeker[i].core; nr++)
				;
			if ((nr > 1) == (several == 1))
				placed = place_core(a, s, &a->seeker[i], nr);
		}
	for (unsigned int i = n->from; i < n->to && !placed; i++)
		let_go(a, &a->seeker[i]);
	return placed;
}

/* How many vCPUs are on the CPUs of a node of the host. */
static unsigned int host_node_load(const struct auto_pins *a, int32_t host_node)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < a->host.nr; i++)
		sum += a->host.cpu[i].node == host_node ? a->load[i] : 0;
	return sum;
}

struct candidate {
	int32_t host_node;
	unsigned int load, order;
};

static int candidate_compare(const void *x, const void *y)
{
	const struct candidate *p = x, *q = y;

	if (p->load != q->load)
		return p->load < q->load ? -1 : 1;
	return (p->order > q->order) - (p->order < q->order);
}

/* Inside one of the host's nodes, the least used first, so that guest nodes come to lie on different ones. */
static bool place_inside(struct auto_pins *a, struct search s, const struct seekers_node *n,
			 const struct candidate *candidate)
{
	s.one_node = true;
	for (unsigned int i = 0; i < a->host.nr_nodes; i++) {
		s.host_node = candidate[i].host_node;
		if (place_all(a, &s, n))
			return true;
	}
	return false;
}

static bool place_node(struct auto_pins *a, const struct seekers_node *n, struct candidate *candidate)
{
	struct search s = { .cpus = &n->cpus };

	for (unsigned int i = 0; i < a->host.nr_nodes; i++)
		candidate[i] = (struct candidate){ .host_node = a->host.nodes[i],
						   .load = host_node_load(a, a->host.nodes[i]),
						   .order = i };
	qsort(candidate, a->host.nr_nodes, sizeof(*candidate), candidate_compare);
	for (s.level = KEEP_OFF; s.level <= FREE; s.level++) {
		for (int own = 1; own >= 0; own--) {
			s.own_cores = own;
			if (place_inside(a, s, n, candidate))
				return true;
		}
		for (int own = 1; own >= 0; own--) {
			s.own_cores = own;
			if (place_all(a, &s, n))
				return true;
		}
	}
	s = (struct search){ .cpus = &n->cpus, .level = SHARE };
	return a->job->spec->overlap && place_all(a, &s, n);
}

/* ---- all of them ---- */

static int seeker_compare(const void *x, const void *y)
{
	const struct seeker *p = x, *q = y;

	if (p->node != q->node)
		return p->node < q->node ? -1 : 1;
	if (p->core != q->core)
		return p->core < q->core ? -1 : 1;
	return (p->vcpu > q->vcpu) - (p->vcpu < q->vcpu);
}

static int node_compare(const void *x, const void *y)
{
	const struct seekers_node *p = x, *q = y;

	if (p->nr_cpus != q->nr_cpus)
		return p->nr_cpus < q->nr_cpus ? -1 : 1;
	return (p->node > q->node) - (p->node < q->node);
}

/* Where the vCPUs of a guest node may run: on the nodes of its memory, unless these have no CPU at all. */
static void node_bind(const struct auto_pins *a, struct seekers_node *n)
{
	const struct topology *t = a->job->t;
	const uint64_t *mask = n->node < t->nr_nodes ? t->node[n->node].host_nodes : NULL;

	n->cpus = a->job->usable;
	if (mask && (mask[0] || mask[1])) {
		struct cpuset of_nodes;
		bool bound;

		pin_host_nodes_cpus(a->job->root, mask, &of_nodes);
		bound = !cpuset_empty(&of_nodes);
		for (size_t i = 0; i < ARRAY_SIZE(of_nodes.bits) && bound; i++)
			n->cpus.bits[i] &= of_nodes.bits[i];
	}
	n->nr_cpus = cpuset_count(&n->cpus);
}

static int seekers_find(struct auto_pins *a)
{
	const struct pin_plan *plan = a->job->plan;
	const struct topology *t = a->job->t;

	a->seeker = calloc(plan->nr_vcpus, sizeof(*a->seeker));
	if (!a->seeker)
		return -ENOMEM;
	for (unsigned int i = 0; i < plan->nr_vcpus; i++)
		if (cpuset_empty(&plan->vcpu[i]))
			a->seeker[a->nr++] = (struct seeker){ .vcpu = i,
							      .node = t->cpu[i].node,
							      .core = t->cpu[i].unit[TOPO_CORE],
							      .at = NOWHERE };
	qsort(a->seeker, a->nr, sizeof(*a->seeker), seeker_compare);
	a->node = calloc(MAX(t->nr_nodes, 1u), sizeof(*a->node));
	if (!a->node)
		return -ENOMEM;
	for (unsigned int i = 0; i < a->nr; i++) {
		struct seekers_node *n = a->node + a->nr_nodes;

		if (i && a->seeker[i].node == a->seeker[i - 1].node) {
			n[-1].to = i + 1;
			continue;
		}
		*n = (struct seekers_node){ .from = i, .to = i + 1, .node = a->seeker[i].node };
		node_bind(a, n);
		a->nr_nodes++;
	}
	qsort(a->node, a->nr_nodes, sizeof(*a->node), node_compare);
	return 0;
}

/* The host's CPUs, each with the vCPUs that were put there by name. */
static int host_find(struct auto_pins *a)
{
	const struct pin_plan *plan = a->job->plan;

	if (pin_host_read(&a->host, a->job->root, &a->job->usable) < 0)
		return -ENOMEM;
	a->load = calloc(a->host.nr + 1, sizeof(*a->load));
	a->core_load = calloc(a->host.nr + 1, sizeof(*a->core_load));
	if (!a->load || !a->core_load)
		return -ENOMEM;
	for (unsigned int i = 0; i < a->host.nr; i++)
		for (unsigned int v = 0; v < plan->nr_vcpus; v++)
			if (cpuset_has(&plan->vcpu[v], a->host.cpu[i].number)) {
				a->load[i]++;
				a->core_load[a->host.cpu[i].core_index]++;
			}
	return 0;
}

/* CPUs of a set without a vCPU. */
static struct cpuset free_cpus(const struct auto_pins *a, const struct cpuset *of)
{
	struct cpuset s = { 0 };

	for (unsigned int i = 0; i < a->host.nr; i++)
		if (!a->load[i] && cpuset_has(of, a->host.cpu[i].number))
			cpuset_add(&s, a->host.cpu[i].number);
	return s;
}

#define INSTEAD "start fewer vCPUs, or add overlap=ok, which has vCPUs share CPUs"

static void refuse_node(struct auto_pins *a, const struct seekers_node *n)
{
	const unsigned int nr = n->to - n->from;
	struct cpuset left = free_cpus(a, &n->cpus);
	char some[128];

	cpuset_text(&left, some, sizeof(some));
	if (!n->nr_cpus && a->job->spec->overlap)
		pin_refuse(a->job, false, "auto",
			   "guest node %u has its memory from nodes of the host on whose CPUs this process "
			   "may not run: taskset or a cgroup's cpuset leaves it none of them",
			   n->node);
	else
		pin_refuse(a->job, false, "auto",
			   "guest node %u has %u vCPU%s to place, and of the CPUs of its host-nodes %u %s "
			   "free (%s); " INSTEAD,
			   n->node, nr, nr == 1 ? "" : "s", cpuset_count(&left),
			   cpuset_count(&left) == 1 ? "is" : "are", some);
}

/* Too few for all is said once, and not node by node. */
static bool too_few(struct auto_pins *a)
{
	struct cpuset left = free_cpus(a, &a->job->usable);
	unsigned int nr = cpuset_count(&left);
	char some[128];

	if (a->job->spec->overlap ? a->host.nr > 0 : nr >= a->nr)
		return false;
	pin_refuse(a->job, false, "auto",
		   "%u vCPU%s to have a CPU each, and of those that this process may use %u %s free "
		   "(%s); " INSTEAD,
		   a->nr, a->nr == 1 ? " is" : "s are", nr, nr == 1 ? "is" : "are",
		   cpuset_text(&left, some, sizeof(some)));
	return true;
}

int pin_auto(struct pin_job *j)
{
	struct auto_pins a = { .job = j };
	struct candidate *candidate = NULL;
	int rc = seekers_find(&a);

	if (rc == 0 && a.nr)
		rc = host_find(&a);
	if (rc == 0 && a.nr) {
		candidate = calloc(a.host.nr_nodes + 1, sizeof(*candidate));
		rc = candidate ? 0 : -ENOMEM;
	}
	if (rc == 0 && a.nr && !too_few(&a)) {
		for (unsigned int i = 0; i < a.nr_nodes; i++)
			if (!place_node(&a, &a.node[i], candidate))
				refuse_node(&a, &a.node[i]);
		for (unsigned int i = 0; i < a.nr; i++)
			if (a.seeker[i].at != NOWHERE)
				cpuset_add(&j->plan->vcpu[a.seeker[i].vcpu],
					   a.host.cpu[a.seeker[i].at].number);
	}
	pin_host_fini(&a.host);
	free(candidate);
	free(a.load);
	free(a.core_load);
	free(a.seeker);
	free(a.node);
	return rc;
}
