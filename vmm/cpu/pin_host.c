/*
 * Where this host's CPUs are: their packages, nodes, caches and cores, from sysfs
 * (Documentation/admin-guide/cputopology.rst and Documentation/ABI/stable/sysfs-devices-node, v6.12). Old kernels and
 * containers lack some of the files. Whatever cannot be known keeps no CPU from being used.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/sysfile.h"
#include "vmm/cpu/pin_internal.h"

enum {
	LIST_BYTES = 32 << 10, /* the longest list of 8192 CPUs */
	MAX_NODE = 1023,       /* CONFIG_NODES_SHIFT of x86 goes up to 10 */
	NOT_KNOWN = -1,
};

bool pin_host_list(struct cpuset *s, const char *root, const char *path)
{
	char text[LIST_BYTES];

	memset(s, 0, sizeof(*s));
	return sysfile_text(root, text, sizeof(text), "%s", path) > 0 && cpuset_parse(s, text) == 0;
}

/* The lowest of the CPUs in a list of cpuN's, or unknown. */
static unsigned int first_of(const char *root, unsigned int cpu, const char *name, unsigned int unknown)
{
	struct cpuset cpus;
	char path[96];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/%s", cpu, name);
	if (!pin_host_list(&cpus, root, path))
		return unknown;
	for (unsigned int i = 0;; i++)
		if (cpuset_has(&cpus, i))
			return i;
}

static void place_read(struct pin_cpu *c, const char *root)
{
	uint64_t package;

	if (sysfile_u64(root, &package, "/sys/devices/system/cpu/cpu%u/topology/physical_package_id",
			c->number) == 0 &&
	    package <= INT32_MAX)
		c->package = (int32_t)package;
	/* index3 is level 3 where there is one: two of level 1 and one of level 2 come first */
	c->l3 = first_of(root, c->number, "cache/index3/shared_cpu_list", 0);
	c->core = first_of(root, c->number, "topology/core_cpus_list", CPUSET_BITS);
	if (c->core == CPUSET_BITS) /* before v5.3 */
		c->core = first_of(root, c->number, "topology/thread_siblings_list", c->number);
}

/* ---- nodes ---- */

/* The CPUs of one node. Returns false when there is no such node, or no CPU in it. */
static bool node_cpus(const char *root, unsigned int node, struct cpuset *cpus)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist", node);
	return pin_host_list(cpus, root, path);
}

/* Which node each CPU is in. */
static void nodes_read(struct pin_host *h, const char *root)
{
	struct cpuset online, cpus;

	if (!pin_host_list(&online, root, "/sys/devices/system/node/online"))
		return; /* a kernel without NUMA */
	for (unsigned int node = 0; node <= MAX_NODE; node++) {
		if (!cpuset_has(&online, node) || !node_cpus(root, node, &cpus))
			continue;
		for (unsigned int i = 0; i < h->nr; i++)
			if (cpuset_has(&cpus, h->cpu[i].number))
				h->cpu[i].node = (int32_t)node;
	}
}

void pin_host_nodes_cpus(const char *root, const uint64_t mask[2], struct cpuset *cpus)
{
	struct cpuset one;

	memset(cpus, 0, sizeof(*cpus));
	for (unsigned int node = 0; node < 128; node++) {
		if (!(mask[node / 64] >> node % 64 & 1) || !node_cpus(root, node, &one))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(one.bits); i++)
			cpus->bits[i] |= one.bits[i];
	}
}

/* ---- order ---- */

static int by(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int cpu_compare(const void *a, const void *b)
{
	const struct pin_cpu *x = a, *y = b;
	int order = by(x->package, y->package);

	order = order ? order : by(x->node, y->node);
	order = order ? order : by(x->l3, y->l3);
	order = order ? order : by(x->core, y->core);
	return order ? order : by(x->number, y->number);
}

/* Number the cores and list the nodes, in order of appearance. */
static void cores_and_nodes_count(struct pin_host *h)
{
	for (unsigned int i = 0; i < h->nr; i++) {
		const struct pin_cpu *last = i ? &h->cpu[i - 1] : NULL;
		unsigned int n = 0;

		if (!last || last->core != h->cpu[i].core || last->l3 != h->cpu[i].l3 ||
		    last->node != h->cpu[i].node || last->package != h->cpu[i].package)
			h->nr_cores++;
		h->cpu[i].core_index = h->nr_cores - 1;
		while (n < h->nr_nodes && h->nodes[n] != h->cpu[i].node)
			n++;
		if (n == h->nr_nodes)
			h->nodes[h->nr_nodes++] = h->cpu[i].node;
	}
}

int pin_host_read(struct pin_host *h, const char *root, const struct cpuset *usable)
{
	unsigned int nr = cpuset_count(usable);

	*h = (struct pin_host){ 0 };
	h->cpu = calloc(nr + 1, sizeof(*h->cpu)); /* + 1: of none there is one, too */
	h->nodes = calloc(nr + 1, sizeof(*h->nodes));
	if (!h->cpu || !h->nodes)
		return -ENOMEM;
	for (unsigned int i = 0; i < CPUSET_BITS; i++) {
		if (!cpuset_has(usable, i))
			continue;
		h->cpu[h->nr] = (struct pin_cpu){ .number = i, .package = NOT_KNOWN, .node = NOT_KNOWN };
		place_read(&h->cpu[h->nr++], root);
	}
	nodes_read(h, root);
	qsort(h->cpu, h->nr, sizeof(*h->cpu), cpu_compare);
	cores_and_nodes_count(h);
	return 0;
}

void pin_host_fini(struct pin_host *h)
{
	free(h->cpu);
	free(h->nodes);
	*h = (struct pin_host){ 0 };
}
