/*
 * What memory this host has: NUMA nodes, pools of huge pages, transparent huge pages, KSM. Read from /proc and /sys;
 * what a kernel does not tell is 0 or not known. It decides nothing: vmm/memory_check.c and the report of
 * `trellis host` do.
 */
#ifndef TRELLIS_HOST_MEMORY_H
#define TRELLIS_HOST_MEMORY_H

#include "vmm/base/base.h"
#include "vmm/base/err.h"

/* The sizes of huge pages that x86 has; indices of pools. */
enum host_page { HOST_PAGE_2M, HOST_PAGE_1G, NR_HOST_PAGES };

static inline uint64_t host_page_bytes(enum host_page p)
{
	return p == HOST_PAGE_1G ? GIB : 2 * MIB;
}

/* The size of hugetlb pages of so many bytes. */
static inline enum host_page host_page_of(uint64_t bytes)
{
	return bytes == GIB ? HOST_PAGE_1G : HOST_PAGE_2M;
}

/* One pool, in pages (Documentation/admin-guide/mm/hugetlbpage.rst, v6.1). */
struct host_pool {
	bool known;             /* this kernel and processor have pages of that size */
	uint64_t total, free;
	uint64_t reserved;      /* of the free ones: promised to somebody, not yet touched; 0 for one node */
	uint64_t surplus;       /* of total: beyond nr_hugepages */
	uint64_t overcommit;    /* how many surplus pages there may be; 0 for one node */
};

struct host_node {
	unsigned int number;
	bool has_memory;
	uint64_t total_bytes, free_bytes;
	uint64_t available_bytes; /* free, or what only the page cache has: MemAvailable is not told by node */
	struct host_pool pool[NR_HOST_PAGES];
	char cpus[256];         /* as a list; what does not fit is cut off */
};

struct host_memory {
	uint64_t total_bytes, available_bytes, swap_free_bytes; /* MemTotal, MemAvailable, SwapFree */
	struct host_pool pool[NR_HOST_PAGES];
	unsigned int nr_nodes;  /* 0: this kernel tells of none */
	struct host_node *node; /* owned; by rising number */
	char thp[16];           /* "always", "madvise", "never", or "" when not known */
	char thp_shmem[16];     /* the same for shared memory: also "advise", "within_size", "deny", "force" */
	bool ksm_known;
	uint64_t ksm_run;       /* 0 stopped, 1 running, 2 unmerge */
	uint64_t ksm_pages_shared, ksm_pages_sharing;
};

/*
 * Read it all. root: see vmm/base/sysfile.h.
 * Returns 0; -ENOMEM. host_memory_fini() is safe on an all-zero struct.
 */
MUST_CHECK int host_memory_read(struct host_memory *h, const char *root);
void host_memory_fini(struct host_memory *h);

/*
 * May this process lock as much memory as it likes, whatever RLIMIT_MEMLOCK says (CAP_IPC_LOCK)? root of a container
 * may not. root: see vmm/base/sysfile.h.
 */
bool host_may_lock(const char *root);

/* How many pages of a pool a new guest can have: the free ones that nobody was promised, and surplus pages. */
uint64_t host_pool_available(const struct host_pool *p);

/* The node with that number, or NULL. */
const struct host_node *host_memory_node(const struct host_memory *h, unsigned int number);

/*
 * "node 0: 60 of 64 free, node 1: 0 of 0 free" for a size of pages; a host without nodes is one. What does not fit is
 * cut off. Returns buf.
 */
const char *host_pool_text(const struct host_memory *h, enum host_page p, char *buf, size_t len);

#endif
