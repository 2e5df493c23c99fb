/* Guest RAM by NUMA node: where each node's is, and which of the host's nodes it comes from. */
#include "vmm/memory_internal.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/cpulist.h"
#include "vmm/base/log.h"
#include "vmm/base/map.h"
#include "vmm/base/sysfile.h"

enum {
	MASK_WORDS = 2,
	HOST_NODES = 64 * MASK_WORDS,
	KERNEL_NODES =
		1024, /* CONFIG_NODES_SHIFT of x86 goes up to 10; get_mempolicy(2) wants room for all */
	VERIFY_PAGES = 1024, /* of each guest node */
};

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

bool memory_node_is_placed(const struct topo_node *node)
{
	return node->policy != NODE_DEFAULT && (node->host_nodes[0] || node->host_nodes[1]);
}

bool memory_is_placed(const struct topology *t)
{
	for (unsigned int n = 0; n < t->nr_nodes; n++)
		if (memory_node_is_placed(&t->node[n]))
			return true;
	return false;
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

const char *memory_nodes_text(const uint64_t mask[MASK_WORDS], char *buf, size_t len)
{
	return cpulist_text(buf, len, HOST_NODES, mask_has_bit, mask);
}

/* One of the lists in /sys/devices/system/node (Documentation/ABI/stable/sysfs-devices-node, Linux 6.1). */
static int read_host_nodes(const char *root, const char *name, uint64_t mask[MASK_WORDS])
{
	char text[1024];
	int n = sysfile_text(root, text, sizeof(text), "/sys/devices/system/node/%s", name);

	return n < 0 ? n : cpulist_each(text, UINT16_MAX, add_node, mask);
}

/* What is known of this host's nodes. */
struct host_nodes {
	uint64_t online[MASK_WORDS], memory[MASK_WORDS];
	uint64_t allowed[MASK_WORDS]; /* to this process */
};

/*
 * Which nodes the cpuset of this process allows: all of them, where the kernel has no cpusets or does not tell.
 * mbind(2) silently leaves out others (mpol_set_nodemask(), mm/mempolicy.c, v6.1).
 */
static void read_allowed_nodes(const char *root, uint64_t mask[MASK_WORDS])
{
	static const char name[] = "\nMems_allowed_list:";
	char text[8192], *at, *end;

	memset(mask, 0xff, sizeof(uint64_t[MASK_WORDS]));
	if (sysfile_text(root, text, sizeof(text), "/proc/self/status") < 0 || !(at = strstr(text, name)))
		return;
	at += strlen(name);
	end = strchr(at, '\n');
	if (end)
		*end = '\0';
	memset(mask, 0, sizeof(uint64_t[MASK_WORDS]));
	if (cpulist_each(at, UINT16_MAX, add_node, mask) < 0)
		memset(mask, 0xff, sizeof(uint64_t[MASK_WORDS]));
}

static int read_all_nodes(const char *root, struct host_nodes *hn)
{
	*hn = (struct host_nodes){ 0 };
	if (read_host_nodes(root, "online", hn->online) < 0 ||
	    read_host_nodes(root, "has_memory", hn->memory) < 0)
		return -ENOENT;
	read_allowed_nodes(root, hn->allowed);
	return 0;
}

/* Why host node h cannot give node n memory. */
static int refuse_host_node(unsigned int n, unsigned int h, const struct host_nodes *hn, struct err *e)
{
	char list[256];

	if (mask_has(hn->memory, h))
		return err_usage(e,
				 "--numa node=%u: host-nodes: this process may not have memory of this "
				 "host's node %u, but of %s alone (Mems_allowed_list of /proc/self/status); "
				 "allow it by cpuset.mems of its cgroup",
				 n, h, memory_nodes_text(hn->allowed, list, sizeof(list)));
	return err_usage(e, "--numa node=%u: host-nodes: this host's node %u %s; those with memory are %s", n,
			 h, mask_has(hn->online, h) ? "has no memory" : "does not exist",
			 memory_nodes_text(hn->memory, list, sizeof(list)));
}

int memory_check_host_nodes(const struct topology *t, const char *root, struct err *e)
{
	struct host_nodes hn;
	bool asked = false;

	for (unsigned int n = 0; n < t->nr_nodes; n++) {
		if (!memory_node_is_placed(&t->node[n]))
			continue;
		if (!asked && read_all_nodes(root, &hn) < 0)
			return err_usage(e,
					 "--numa node=%u: host-nodes: this host's kernel tells of no NUMA "
					 "nodes in %s/sys/devices/system/node; leave host-nodes= out",
					 n, root);
		asked = true;
		for (unsigned int h = 0; h < HOST_NODES; h++)
			if (mask_has(t->node[n].host_nodes, h) &&
			    !(mask_has(hn.memory, h) && mask_has(hn.allowed, h)))
				return refuse_host_node(n, h, &hn, e);
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
			       "allow it, or leave host-nodes= out",
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

/* What the kernel calls a policy; for messages. */
static const char *mode_text(int mode)
{
	static const char *const words[] = {
		[MPOL_DEFAULT] = "default", [MPOL_PREFERRED] = "preferred",
		[MPOL_BIND] = "bind",       [MPOL_INTERLEAVE] = "interleave",
		[MPOL_LOCAL] = "local",     [MPOL_PREFERRED_MANY] = "preferred",
	};

	return mode >= 0 && (size_t)mode < ARRAY_SIZE(words) ? words[mode] : "another one";
}

/* Does the kernel have what we said, at this address? */
static int check_policy(unsigned int n, const struct topo_node *node, const uint8_t *hva, struct err *e)
{
	uint64_t mask[KERNEL_NODES / 64] = { 0 };
	char is[256], asked[256];
	int mode = -1;

	if (syscall(SYS_get_mempolicy, &mode, mask, KERNEL_NODES, hva, MPOL_F_ADDR) < 0) {
		if (errno == EPERM || errno == ENOSYS) /* to look is forbidden, to set was not */
			return 0;
		return err_sys(e, -errno, "--numa node=%u: get_mempolicy(2)", n);
	}
	mode &= ~MPOL_MODE_FLAGS;
	if (mode == policy_mode(node) && !memcmp(mask, node->host_nodes, sizeof(node->host_nodes)))
		return 0;
	return err_set(e, -EXDEV,
		       "--numa node=%u: the kernel took policy %s with this host's nodes %s, not %s with %s; "
		       "are they among the Mems_allowed_list of /proc/self/status?",
		       n, mode_text(mode), memory_nodes_text(mask, is, sizeof(is)),
		       mode_text(policy_mode(node)),
		       memory_nodes_text(node->host_nodes, asked, sizeof(asked)));
}

/* Bind [hva, hva + len), whole pages of the backing. */
static int bind_node(unsigned int n, const struct topo_node *node, uint8_t *hva, uint64_t len, struct err *e)
{
	int rc;

	/* One bit more than the mask has: mbind() takes one off (mm/mempolicy.c, get_nodes()). */
	if (syscall(SYS_mbind, hva, len, policy_mode(node), node->host_nodes, HOST_NODES + 1, 0) < 0)
		return refuse_bind(n, -errno, e);
	rc = check_policy(n, node, hva, e);
	return rc < 0 ? rc : check_policy(n, node, hva + len - 1, e);
}

/* Have the nodes that are named as much memory as is bound to them? */
static int check_room(uint64_t bytes, const struct topology *t, struct err *e)
{
	struct host_memory h;
	int rc = host_memory_read(&h, "");

	if (rc < 0)
		err_set(e, rc, "out of memory for the host's nodes");
	else
		rc = memory_check_node_room(&h, bytes, t, false, e);
	host_memory_fini(&h);
	return rc;
}

int memory_bind(struct memory *mem, const struct topology *t, struct err *e)
{
	uint64_t at = 0, len;
	int rc;

	if (!memory_is_placed(t)) /* most guests: not a file is looked at */
		return 0;
	rc = memory_check_host_nodes(t, "", e);
	if (rc == 0)
		rc = check_room(mem->backing.bytes, t, e);
	for (unsigned int n = 0; rc == 0 && n < t->nr_nodes; n++, at += len) {
		len = MIN(t->node[n].memory_bytes, mem->backing.bytes - at);
		if (len && memory_node_is_placed(&t->node[n]))
			rc = bind_node(n, &t->node[n], mem->backing.hva + at, len, e);
	}
	return rc;
}

/* ---- where the pages are ---- */

/* What was found of one guest node. */
struct placement {
	unsigned int pages[HOST_NODES]; /* by host node */
	unsigned int elsewhere;         /* on nodes that have no place in it */
	uint64_t wrong_at; /* of RAM: the first page that is where it should not be; UINT64_MAX: none */
	int wrong_node;
};

/*
 * Ask the kernel where up to VERIFY_PAGES pages of RAM [at, at + len) are, spread evenly (move_pages(2) without nodes
 * moves none). Returns 0 or a negative errno.
 */
static int placement_read(struct placement *p, const struct memory_backing *b, uint64_t at, uint64_t len,
			  const uint64_t allowed[MASK_WORDS])
{
	uint64_t nr = MAX(len / b->page_bytes, 1u), count = MIN(nr, (uint64_t)VERIFY_PAGES);
	void *page[VERIFY_PAGES];
	int status[VERIFY_PAGES];

	*p = (struct placement){ .wrong_at = UINT64_MAX };
	for (uint64_t i = 0; i < count; i++)
		page[i] = b->hva + at + i * nr / count * b->page_bytes;
	if (syscall(SYS_move_pages, 0, (unsigned long)count, page, NULL, status, 0) < 0)
		return -errno;
	for (uint64_t i = 0; i < count; i++) {
		bool known = status[i] >= 0 && status[i] < HOST_NODES;

		if (status[i] < 0) /* not there, or the kernel's page of zeros */
			continue;
		if (known)
			p->pages[status[i]]++;
		else
			p->elsewhere++;
		if (p->wrong_at == UINT64_MAX && !(known && mask_has(allowed, (unsigned int)status[i]))) {
			p->wrong_at = (uint64_t)((uint8_t *)page[i] - b->hva);
			p->wrong_node = status[i];
		}
	}
	return 0;
}

static void placement_log(const struct placement *p, unsigned int n)
{
	for (unsigned int h = 0; h < HOST_NODES; h++)
		if (p->pages[h])
			log_debug("guest node %u: %u of the pages looked at are on this host's node %u", n,
				  p->pages[h], h);
	if (p->elsewhere)
		log_debug("guest node %u: %u of the pages looked at are on this host's nodes from %d", n,
			  p->elsewhere, HOST_NODES);
}

static int refuse_placement(const struct placement *p, const struct memory *mem, unsigned int n,
			    const struct topo_node *node, struct err *e)
{
	uint64_t gpa = p->wrong_at < mem->low_bytes ? p->wrong_at
						    : MAP_HIGH_RAM_BASE + (p->wrong_at - mem->low_bytes);
	char asked[256];

	return err_set(e, -EXDEV,
		       "--numa node=%u: the page at guest-physical 0x%llx is on this host's node %d, and "
		       "policy=bind allows %s alone; was it there before (file=), or does something move "
		       "pages (migratepages, cpusets)?",
		       n, (unsigned long long)gpa, p->wrong_node,
		       memory_nodes_text(node->host_nodes, asked, sizeof(asked)));
}

int memory_verify(const struct memory *mem, const struct topology *t, struct err *e)
{
	uint64_t at = 0, len;

	for (unsigned int n = 0; n < t->nr_nodes; n++, at += len) {
		const struct topo_node *node = &t->node[n];
		struct placement p;
		int rc;

		len = MIN(node->memory_bytes, mem->backing.bytes - at);
		if (!len || !memory_node_is_placed(node))
			continue;
		rc = placement_read(&p, &mem->backing, at, len, node->host_nodes);
		if (rc == -EPERM || rc == -ENOSYS) /* containers may forbid it: then nobody can tell */
			return 0;
		if (rc < 0)
			return err_sys(e, rc, "--numa node=%u: move_pages(2)", n);
		placement_log(&p, n);
		if (node->policy == NODE_BIND && p.wrong_at != UINT64_MAX)
			return refuse_placement(&p, mem, n, node, e);
	}
	return 0;
}
