/*
 * What the kernel tells of the host's memory: /proc/meminfo (Documentation/filesystems/proc.rst), the nodes
 * (Documentation/ABI/stable/sysfs-devices-node), the pools of huge pages (admin-guide/mm/hugetlbpage.rst), transparent
 * ones (transhuge.rst there) and KSM (ksm.rst there), all v6.1. Kernels built without one of these, and containers that
 * hide it, leave it not known.
 */
#include "vmm/host/host_memory.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/cpulist.h"
#include "vmm/base/sysfile.h"

enum { MAX_NODE = 1023 }; /* CONFIG_NODES_SHIFT of x86 goes up to 10 */

/* In bytes, the number of a line such as "MemTotal:  10840276 kB", in a node's file with "Node 0 " in front; or 0. */
static uint64_t meminfo_bytes(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = strstr(text, name); at; at = strstr(at + len, name))
		if ((at == text || at[-1] == '\n' || at[-1] == ' ') && at[len] == ':')
			return strtoull(at + len + 1, NULL, 10) * KIB;
	return 0;
}

/* A number, or 0. */
static uint64_t number_in(const char *root, const char *dir, const char *file)
{
	uint64_t v;

	return sysfile_u64(root, &v, "%s/%s", dir, file) < 0 ? 0 : v;
}

/* hugepages: the directory of that name, of all the host or of a node. */
static struct host_pool pool_read(const char *root, const char *hugepages, enum host_page p)
{
	struct host_pool pool = { 0 };
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/hugepages-%llukB", hugepages,
		 (unsigned long long)(host_page_bytes(p) / KIB));
	pool.known = sysfile_u64(root, &pool.total, "%s/nr_hugepages", dir) == 0;
	pool.free = number_in(root, dir, "free_hugepages");
	pool.surplus = number_in(root, dir, "surplus_hugepages");
	/* A node has no such files. */
	pool.reserved = number_in(root, dir, "resv_hugepages");
	pool.overcommit = number_in(root, dir, "nr_overcommit_hugepages");
	return pool;
}

static void node_read(struct host_node *n, const char *root)
{
	char text[4096], dir[64];

	snprintf(dir, sizeof(dir), "/sys/devices/system/node/node%u", n->number);
	sysfile_text(root, n->cpus, sizeof(n->cpus), "%s/cpulist", dir);
	sysfile_text(root, text, sizeof(text), "%s/meminfo", dir);
	n->total_bytes = meminfo_bytes(text, "MemTotal");
	n->free_bytes = meminfo_bytes(text, "MemFree");
	n->available_bytes = n->free_bytes + meminfo_bytes(text, "Active(file)") +
			     meminfo_bytes(text, "Inactive(file)") + meminfo_bytes(text, "SReclaimable");
	strcat(dir, "/hugepages");
	for (int p = 0; p < NR_HOST_PAGES; p++)
		n->pool[p] = pool_read(root, dir, p);
}

static int flag_add(void *ctx, unsigned int n)
{
	((bool *)ctx)[n] = true;
	return 0;
}

/* Which nodes are in a list; false when there is no such list. */
static bool nodes_in(const char *root, const char *name, bool *flags)
{
	char text[4096];

	return sysfile_text(root, text, sizeof(text), "/sys/devices/system/node/%s", name) > 0 &&
	       cpulist_each(text, MAX_NODE, flag_add, flags) == 0;
}

static int nodes_read(struct host_memory *h, const char *root)
{
	bool online[MAX_NODE + 1] = { false }, memory[MAX_NODE + 1] = { false }, memory_known;
	unsigned int nr = 0;

	if (!nodes_in(root, "online", online))
		return 0;
	memory_known = nodes_in(root, "has_memory", memory);
	for (unsigned int i = 0; i <= MAX_NODE; i++)
		nr += online[i];
	h->node = calloc(nr, sizeof(*h->node));
	if (!h->node)
		return -ENOMEM;
	for (unsigned int i = 0; i <= MAX_NODE; i++) {
		struct host_node *n = &h->node[h->nr_nodes];

		if (!online[i])
			continue;
		n->number = i;
		node_read(n, root);
		n->has_memory = memory_known ? memory[i] : n->total_bytes > 0;
		h->nr_nodes++;
	}
	return 0;
}

int host_memory_read(struct host_memory *h, const char *root)
{
	char text[8192];

	*h = (struct host_memory){ 0 };
	sysfile_text(root, text, sizeof(text), "/proc/meminfo");
	h->total_bytes = meminfo_bytes(text, "MemTotal");
	h->available_bytes = meminfo_bytes(text, "MemAvailable");
	h->swap_free_bytes = meminfo_bytes(text, "SwapFree");
	for (int p = 0; p < NR_HOST_PAGES; p++)
		h->pool[p] = pool_read(root, "/sys/kernel/mm/hugepages", p);
	if (sysfile_choice(root, h->thp, sizeof(h->thp), "/sys/kernel/mm/transparent_hugepage/enabled") < 0)
		h->thp[0] = '\0';
	if (sysfile_choice(root, h->thp_shmem, sizeof(h->thp_shmem),
			   "/sys/kernel/mm/transparent_hugepage/shmem_enabled") < 0)
		h->thp_shmem[0] = '\0';
	h->ksm_known = sysfile_u64(root, &h->ksm_run, "/sys/kernel/mm/ksm/run") == 0;
	h->ksm_pages_shared = number_in(root, "/sys/kernel/mm/ksm", "pages_shared");
	h->ksm_pages_sharing = number_in(root, "/sys/kernel/mm/ksm", "pages_sharing");
	return nodes_read(h, root);
}

void host_memory_fini(struct host_memory *h)
{
	free(h->node);
	*h = (struct host_memory){ 0 };
}

/*
 * In the first user namespace (can_do_mlock(), mm/mlock.c, v6.1): root of a container has the capability in its own,
 * which does not count. The first one is who maps all ids to themselves (user_namespaces(7)).
 */
bool host_may_lock(const char *root)
{
	char text[4096], *at;
	unsigned long long inside, outside, nr;

	if (sysfile_text(root, text, sizeof(text), "/proc/self/uid_map") > 0 &&
	    (sscanf(text, "%llu %llu %llu", &inside, &outside, &nr) != 3 || inside || outside ||
	     nr != UINT32_MAX))
		return false;
	sysfile_text(root, text, sizeof(text), "/proc/self/status");
	at = strstr(text, "\nCapEff:");
	return at && strtoull(at + strlen("\nCapEff:"), NULL, 16) >> CAP_IPC_LOCK & 1;
}

uint64_t host_pool_available(const struct host_pool *p)
{
	uint64_t idle = p->free - MIN(p->reserved, p->free);
	uint64_t more = p->overcommit - MIN(p->surplus, p->overcommit);

	return idle + MIN(more, UINT64_MAX - idle);
}

const struct host_node *host_memory_node(const struct host_memory *h, unsigned int number)
{
	for (unsigned int i = 0; i < h->nr_nodes; i++)
		if (h->node[i].number == number)
			return &h->node[i];
	return NULL;
}

/* Append one node's words at *at, if they fit. */
static void pool_text(char *buf, size_t len, size_t *at, unsigned int number, const struct host_pool *p)
{
	int n = snprintf(buf + *at, len - *at, "%snode %u: %llu of %llu free", *at ? ", " : "", number,
			 (unsigned long long)p->free, (unsigned long long)p->total);

	*at = n < 0 ? *at : MIN(*at + (size_t)n, len - 1);
}

const char *host_pool_text(const struct host_memory *h, enum host_page p, char *buf, size_t len)
{
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < h->nr_nodes; i++)
		if (h->node[i].pool[p].known) /* nodes without memory have none */
			pool_text(buf, len, &at, h->node[i].number, &h->node[i].pool[p]);
	if (!at)
		pool_text(buf, len, &at, 0, &h->pool[p]);
	return buf;
}
