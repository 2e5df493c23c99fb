/* Guest RAM by NUMA node: where each node's is, and which of the host's nodes it comes from. */
#include "vmm/memory.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/cpulist.h"
#include "vmm/base/map.h"

enum { MASK_WORDS = 2, HOST_NODES = 64 * MASK_WORDS };

_Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "mbind(2) takes our masks as they are");
_Static_assert(sizeof(((struct topo_node *)NULL)->host_nodes) == sizeof(uint64_t[MASK_WORDS]),
	       "one size of masks");

unsigned int memory_node_map(const struct topology *t, uint64_t ram_bytes, struct node_range *map)
{
	uint64_t low = MIN(ram_bytes, MAP_LOW_RAM_MAX), at = 0, end;
	unsigned int nr = 0;

	for (unsigned int n = 0; n < t->nr_nodes && n < TOPO_MAX_NODES; n++, at = end) {
		end = at + MIN(t->node[n].memory_bytes, ram_bytes - at);
		if (at < MIN(end, low))
			map[nr++] = (struct node_range){ at, MIN(end, low) - at, n };
		if (end > MAX(at, low)) {
			uint64_t from = MAX(at, low);

			map[nr++] = (struct node_range){ MAP_HIGH_RAM_BASE + (from - low), end - from, n };
		}
	}
	return nr;
}

static bool names_host_nodes(const struct topo_node *node)
{
	return node->policy != NODE_DEFAULT && (node->host_nodes[0] || node->host_nodes[1]);
}

static int add_node(void *ctx, unsigned int n)
{
	uint64_t *mask = ctx;

	if (n < HOST_NODES) /* others cannot be named */
		mask[n / 64] |= 1ull << n % 64;
	return 0;
}

static bool mask_has(const uint64_t mask[MASK_WORDS], unsigned int n)
{
	return mask[n / 64] & 1ull << n % 64;
}

static bool mask_has_bit(const void *mask, unsigned int n)
{
	return mask_has(mask, n);
}

/* One of the lists in /sys/devices/system/node (Documentation/ABI/stable/sysfs-devices-node, Linux 6.1). */
static int read_host_nodes(const char *sysfs, const char *name, uint64_t mask[MASK_WORDS])
{
	char path[256], text[1024] = "";
	bool read;
	FILE *f;

	snprintf(path, sizeof(path), "%s/devices/system/node/%s", sysfs, name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	read = fgets(text, sizeof(text), f) != NULL;
	fclose(f);
	return read ? cpulist_each(text, UINT16_MAX, add_node, mask) : -EIO;
}

/* Why host node h cannot give node n memory. */
static int refuse_host_node(unsigned int n, unsigned int h, const uint64_t online[MASK_WORDS],
			    const uint64_t memory[MASK_WORDS], struct err *e)
{
	bool there = mask_has(online, h);
	char list[256] = "";
	FILE *out = fmemopen(list, sizeof(list) - 1, "w");

	if (out) {
		cpulist_print(out, HOST_NODES, mask_has_bit, memory);
		fclose(out);
	}
	return err_usage(e, "--numa node=%u: host-nodes: this host's node %u %s; those with memory are %s", n,
			 h, there ? "has no memory" : "does not exist", list);
}

int memory_check_host_nodes(const struct topology *t, const char *sysfs, struct err *e)
{
	uint64_t online[MASK_WORDS] = { 0 }, memory[MASK_WORDS] = { 0 };
	bool asked = false;

	for (unsigned int n = 0; n < t->nr_nodes; n++) {
		if (!names_host_nodes(&t->node[n]))
			continue;
		if (!asked && (read_host_nodes(sysfs, "online", online) < 0 ||
			       read_host_nodes(sysfs, "has_memory", memory) < 0))
			return err_usage(
				e,
				"--numa node=%u: host-nodes: this host's kernel tells of no NUMA nodes in "
				"%s/devices/system/node; leave host-nodes= out",
				n, sysfs);
		asked = true;
		for (unsigned int h = 0; h < HOST_NODES; h++)
			if (mask_has(t->node[n].host_nodes, h) && !mask_has(memory, h))
				return refuse_host_node(n, h, online, memory, e);
	}
	return 0;
}

/* More than one preferred node needs Linux 5.15; with one, the older word does. */
static int policy_mode(const struct topo_node *node)
{
	int nodes = __builtin_popcountll(node->host_nodes[0]) + __builtin_popcountll(node->host_nodes[1]);

	switch (node->policy) {
	case NODE_PREFERRED:
		return nodes > 1 ? MPOL_PREFERRED_MANY : MPOL_PREFERRED;
	case NODE_INTERLEAVE:
		return MPOL_INTERLEAVE;
	default:
		return MPOL_BIND;
	}
}

static int refuse_bind(unsigned int n, int rc, struct err *e)
{
	switch (rc) {
	case -EPERM:
	case -ENOSYS:
		return err_sys(e, rc,
			       "--numa node=%u: mbind(2) is not allowed here (containers often forbid it); "
			       "allow it, or "
			       "leave host-nodes= out",
			       n);
	case -EINVAL:
		return err_sys(
			e, rc,
			"--numa node=%u: mbind(2) refuses the host's nodes or the policy; are they among the "
			"Mems_allowed_list of /proc/self/status? (several preferred nodes need Linux 5.15)",
			n);
	default:
		return err_sys(e, rc, "--numa node=%u: mbind(2)", n);
	}
}

int memory_bind(struct memory *mem, const struct topology *t, struct err *e)
{
	uint64_t at = 0, len;
	int rc = memory_check_host_nodes(t, "/sys", e);

	if (rc < 0)
		return rc;
	for (unsigned int n = 0; n < t->nr_nodes; n++, at += len) {
		const struct topo_node *node = &t->node[n];

		len = MIN(node->memory_bytes, mem->backing.bytes - at);
		/* One bit more than the mask has: mbind() takes one off (mm/mempolicy.c, get_nodes()). */
		if (len && names_host_nodes(node) &&
		    syscall(SYS_mbind, mem->backing.hva + at, len, policy_mode(node), node->host_nodes,
			    HOST_NODES + 1, 0) < 0)
			return refuse_bind(n, -errno, e);
	}
	return 0;
}
