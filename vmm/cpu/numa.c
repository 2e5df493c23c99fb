/* The --numa option. Where vCPUs and memory go is numa_place.c's business. */
#include "vmm/cpu/numa.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/cpulist.h"
#include "vmm/base/opt.h"

enum { HOST_NODES = 8 * sizeof(((struct numa_node_spec *)NULL)->host_nodes) };

/*
 * The table has latencies in picoseconds, which Linux takes in 32 bits (ACPI 6.5, 5.2.28.4); bandwidths could be
 * larger, but nothing is.
 */
enum { MAX_LATENCY_NS = 4000000, MAX_BANDWIDTH_MBS = 1000000000 };

/* What one --numa can say; the table's targets. */
struct numa_args {
	unsigned int node;
	char *cpus, *host_nodes; /* owned */
	uint64_t memory_bytes;   /* NOT_SAID */
	int policy;              /* in policies[], or -1 */
	char *dist, *hmat;       /* owned */
	unsigned int latency, read_latency, write_latency, bandwidth, read_bandwidth,
		write_bandwidth; /* 0: not said */
};

#define NOT_SAID UINT64_MAX

static const char *const policies[] = { "bind", "preferred", "interleave", NULL };
static const int policy_of[] = { NODE_BIND, NODE_PREFERRED, NODE_INTERLEAVE };

#define TARGET(field) .offset = offsetof(struct numa_args, field)

static const struct opt_key node_keys[] = {
	{ .name = "node", .value = "N", .kind = OPT_UINT, TARGET(node), .max = TOPO_MAX_NODES - 1 },
	{ .name = "cpus", .value = "a list of vCPUs, e.g. 0-3 or 0-3,,8", .kind = OPT_STRING, TARGET(cpus) },
	{ .name = "memory", .value = "SIZE", .kind = OPT_SIZE, TARGET(memory_bytes), .max = 1ull << 50 },
	{ .name = "host-nodes",
	  .value = "a list of the host's nodes, e.g. 0 or 0-1",
	  .kind = OPT_STRING,
	  TARGET(host_nodes) },
	{ .name = "policy", .value = "POLICY", .kind = OPT_CHOICE, TARGET(policy), .choices = policies },
	{ 0 },
};

static const struct opt_key dist_keys[] = {
	{ .name = "dist", .value = "FROM:TO:DISTANCE", .kind = OPT_STRING, TARGET(dist) },
	{ 0 },
};

#define LATENCY   .value = "NS", .kind = OPT_UINT, .min = 1, .max = MAX_LATENCY_NS
#define BANDWIDTH .value = "MBS", .kind = OPT_UINT, .min = 1, .max = MAX_BANDWIDTH_MBS

static const struct opt_key hmat_keys[] = {
	{ .name = "hmat", .value = "FROM:TO", .kind = OPT_STRING, TARGET(hmat) },
	{ .name = "latency", LATENCY, TARGET(latency) },
	{ .name = "read-latency", LATENCY, TARGET(read_latency) },
	{ .name = "write-latency", LATENCY, TARGET(write_latency) },
	{ .name = "bandwidth", BANDWIDTH, TARGET(bandwidth) },
	{ .name = "read-bandwidth", BANDWIDTH, TARGET(read_bandwidth) },
	{ .name = "write-bandwidth", BANDWIDTH, TARGET(write_bandwidth) },
	{ 0 },
};

static int add_nothing(void *ctx, unsigned int n)
{
	(void)ctx;
	(void)n;
	return 0;
}

static int add_host_node(void *ctx, unsigned int n)
{
	uint64_t *mask = ctx;

	mask[n / 64] |= 1ull << n % 64;
	return 0;
}

/* "A:B" or "A:B:C" as nr numbers, each below TOPO_MAX_NODES but the third below 256. */
static int parse_numbers(const char *text, unsigned int nr, unsigned int *out)
{
	char item[16];
	uint64_t v;

	for (unsigned int i = 0; i < nr; i++) {
		size_t len = strcspn(text, ":");

		if (len >= sizeof(item))
			return -EINVAL;
		memcpy(item, text, len);
		item[len] = 0;
		if (opt_parse_uint(item, 0, i < 2 ? TOPO_MAX_NODES - 1 : UINT8_MAX, &v) < 0)
			return -EINVAL;
		out[i] = (unsigned int)v;
		text += len;
		if (*text != (i + 1 < nr ? ':' : 0))
			return -EINVAL;
		text++;
	}
	return 0;
}

/* Where that node's words go; nodes up to it come to be. NULL when there is no memory. */
static struct numa_node_spec *node_get(struct numa_spec *spec, unsigned int n)
{
	if (n >= spec->nr_nodes) {
		struct numa_node_spec *grown = realloc(spec->node, (n + 1) * sizeof(*grown));

		if (!grown)
			return NULL;
		memset(grown + spec->nr_nodes, 0, (n + 1 - spec->nr_nodes) * sizeof(*grown));
		spec->node = grown;
		spec->nr_nodes = n + 1;
	}
	return &spec->node[n];
}

/* As node_get(), for a pair of nodes, which is there once however often it is named. */
static struct numa_pair *pair_get(struct numa_spec *spec, unsigned int from, unsigned int to)
{
	struct numa_pair *grown;

	for (unsigned int i = 0; i < spec->nr_pairs; i++)
		if (spec->pair[i].from == from && spec->pair[i].to == to)
			return &spec->pair[i];
	grown = realloc(spec->pair, (spec->nr_pairs + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	spec->pair = grown;
	spec->pair[spec->nr_pairs] = (struct numa_pair){ .from = from, .to = to };
	return &spec->pair[spec->nr_pairs++];
}

static int check_node(const struct numa_args *a, uint64_t host_nodes[2], struct err *e)
{
	char size[24];

	if (a->cpus && cpulist_each(a->cpus, TOPO_MAX_CPUS - 1, add_nothing, NULL) < 0)
		return err_usage(
			e,
			"--numa node=%u: cpus=%s: expected a list of vCPUs from 0 to %d, e.g. 0-3 or 0-3,,8",
			a->node, a->cpus, TOPO_MAX_CPUS - 1);
	if (a->memory_bytes != NOT_SAID && a->memory_bytes % (4 * KIB))
		return err_usage(e, "--numa node=%u: memory=%s: expected a multiple of 4K", a->node,
				 opt_size_text(a->memory_bytes, size, sizeof(size)));
	if (a->policy >= 0 && !a->host_nodes)
		return err_usage(
			e, "--numa node=%u: policy=%s needs host-nodes=, the host's nodes which it is about",
			a->node, policies[a->policy]);
	if (a->host_nodes && cpulist_each(a->host_nodes, HOST_NODES - 1, add_host_node, host_nodes) < 0)
		return err_usage(e,
				 "--numa node=%u: host-nodes=%s: expected a list of the host's nodes, from 0 "
				 "to %d, e.g. "
				 "0 or 0-1 or 0,,2",
				 a->node, a->host_nodes, HOST_NODES - 1);
	return 0;
}

static int parse_node(struct numa_spec *spec, struct numa_args *a, struct err *e)
{
	uint64_t host_nodes[2] = { 0 };
	struct numa_node_spec *node;
	int rc = check_node(a, host_nodes, e);

	if (rc < 0)
		return rc;
	node = node_get(spec, a->node);
	if (!node)
		return err_set(e, -ENOMEM, "out of memory");
	if (node->said)
		return err_usage(e, "--numa node=%u is there twice; say all of a node in one --numa",
				 a->node);
	node->said = true;
	node->cpus = a->cpus;
	a->cpus = NULL;
	node->memory_said = a->memory_bytes != NOT_SAID;
	node->memory_bytes = node->memory_said ? a->memory_bytes : 0;
	memcpy(node->host_nodes, host_nodes, sizeof(host_nodes));
	if (a->host_nodes)
		node->policy = a->policy >= 0 ? policy_of[a->policy] : NODE_BIND;
	return 0;
}

/* SLIT, ACPI 6.5, 5.2.17: 10 is a node itself, 255 is unreachable, below 10 is reserved. */
static int parse_dist(struct numa_spec *spec, struct numa_args *a, struct err *e)
{
	unsigned int v[3];
	struct numa_pair *pair;

	if (parse_numbers(a->dist, 3, v) < 0)
		return err_usage(e,
				 "--numa dist=%s: expected FROM:TO:DISTANCE, two nodes from 0 to %d and a "
				 "number up to 255, "
				 "e.g. dist=0:1:21",
				 a->dist, TOPO_MAX_NODES - 1);
	if (v[0] == v[1] && v[2] != 10)
		return err_usage(e, "--numa dist=%s: the distance of a node to itself is always 10", a->dist);
	if (v[0] != v[1] && v[2] <= 10)
		return err_usage(e,
				 "--numa dist=%s: another node is farther away than the 10 of a node to "
				 "itself: expected 11 "
				 "to 254, or 255 for unreachable",
				 a->dist);
	pair = pair_get(spec, v[0], v[1]);
	if (!pair)
		return err_set(e, -ENOMEM, "out of memory");
	if (pair->distance)
		return err_usage(e,
				 "--numa dist=%s: the distance from node %u to node %u was said before: %u",
				 a->dist, v[0], v[1], pair->distance);
	pair->distance = (uint8_t)v[2];
	return 0;
}

static bool path_said(const struct topo_path *p)
{
	return p->read_ns || p->write_ns || p->read_mbs || p->write_mbs;
}

static int parse_hmat(struct numa_spec *spec, struct numa_args *a, struct err *e)
{
	const struct topo_path path = {
		.read_ns = a->read_latency ? a->read_latency : a->latency,
		.write_ns = a->write_latency ? a->write_latency : a->latency,
		.read_mbs = a->read_bandwidth ? a->read_bandwidth : a->bandwidth,
		.write_mbs = a->write_bandwidth ? a->write_bandwidth : a->bandwidth,
	};
	struct numa_pair *pair;
	unsigned int v[2];

	if (parse_numbers(a->hmat, 2, v) < 0)
		return err_usage(
			e,
			"--numa hmat=%s: expected FROM:TO, two nodes from 0 to %d, e.g. hmat=0:1,latency=90",
			a->hmat, TOPO_MAX_NODES - 1);
	if (!path_said(&path))
		return err_usage(e,
				 "--numa hmat=%s says nothing: add latency=NS, bandwidth=MBS, or one for "
				 "reads and one for "
				 "writes, e.g. read-latency=NS,write-latency=NS",
				 a->hmat);
	pair = pair_get(spec, v[0], v[1]);
	if (!pair)
		return err_set(e, -ENOMEM, "out of memory");
	if (path_said(&pair->path))
		return err_usage(e, "--numa hmat=%s is there twice; say all of a path in one --numa",
				 a->hmat);
	pair->path = path;
	return 0;
}

/* A number behind a single comma: somebody meant a list. */
static const char *split_list(const char *arg)
{
	for (const char *p = strchr(arg, ','); p; p = strchr(p, ',')) {
		size_t commas = strspn(p, ",");

		p += commas;
		if (commas % 2 && *p >= '0' && *p <= '9')
			return p;
	}
	return NULL;
}

int numa_spec_parse(struct numa_spec *spec, const char *arg, struct err *e)
{
	static const struct {
		const struct opt_key *keys;
		int (*parse)(struct numa_spec *spec, struct numa_args *a, struct err *e);
	} form[] = { { node_keys, parse_node }, { dist_keys, parse_dist }, { hmat_keys, parse_hmat } };
	struct numa_args a = { .memory_bytes = NOT_SAID, .policy = -1 };
	const char *split = split_list(arg);
	size_t len = strcspn(arg, "=,");
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(form); i++) {
		if (arg[len] != '=' || strlen(form[i].keys->name) != len ||
		    strncmp(arg, form[i].keys->name, len) != 0)
			continue;
		if (split)
			return err_usage(e,
					 "--numa %s: '%s' behind a comma is no key=value; a comma inside a "
					 "list is written "
					 "twice: cpus=0-3,,8",
					 arg, split);
		rc = opt_parse_list("--numa", arg, form[i].keys, &a, e);
		if (rc == 0)
			rc = form[i].parse(spec, &a, e);
		opt_free(form[i].keys, &a);
		return rc;
	}
	return err_usage(e,
			 "--numa %s: expected node=N, dist=FROM:TO:DISTANCE or hmat=FROM:TO first, e.g. "
			 "node=0,cpus=0-3,memory=1G",
			 arg);
}

void numa_spec_fini(struct numa_spec *spec)
{
	for (unsigned int i = 0; i < spec->nr_nodes; i++)
		free(spec->node[i].cpus);
	free(spec->node);
	free(spec->pair);
	*spec = (struct numa_spec){ 0 };
}

uint64_t numa_memory_sum(const struct numa_spec *spec)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < spec->nr_nodes; i++) {
		if (!spec->node[i].memory_said)
			return 0;
		sum += spec->node[i].memory_bytes;
	}
	return sum;
}
