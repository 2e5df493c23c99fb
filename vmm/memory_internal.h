/*
 * What the files of vmm/memory.h share: every reason why RAM cannot be had is found, and its sentence made, in one
 * place, memory_check.c and memory_check_*.c. memory_open() asks there before it does something or after it failed,
 * memory_check() asks without doing anything.
 */
#ifndef TRELLIS_MEMORY_INTERNAL_H
#define TRELLIS_MEMORY_INTERNAL_H

#include "vmm/memory.h"

enum { MEMORY_SMALL_PAGE_BYTES = 4096 }; /* x86's; of all that is not hugetlb */

/*
 * path=: is the directory on a hugetlbfs, may we make files there, is its page size the one asked for, and has
 * the mount pages left (its size=)? Whether the pool has is memory_check_pool()'s business. Changes nothing.
 * page_bytes  in: what hugepages= says (memory_options_page_bytes()), or 0; out: the mount's
 * Returns 0; -EINVAL (usage) or another negative errno with a sentence.
 */
MUST_CHECK int memory_check_path(const char *dir, uint64_t bytes, uint64_t *page_bytes, struct err *e);

/*
 * file=: can RAM of bytes bytes be in this file? It is a regular file of exactly that size, or of none, and nobody
 * else has locked it, or it can be made; and the file system has room for what is not allocated yet.
 * fd  the file, open for reading and writing: the lock is taken and stays with it; -1: not open yet, the path is
 *     looked at, and nothing changes
 * Returns 0; -EINVAL (usage) or another negative errno with a sentence.
 */
MUST_CHECK int memory_check_file(const char *path, int fd, uint64_t bytes, struct err *e);

/* The sentence when open(2) or fallocate(2) of file= failed with rc, a negative errno. Returns rc. */
int memory_refuse_file(const char *path, uint64_t bytes, int rc, struct err *e);

/*
 * lock=on: may this process lock bytes (CAP_IPC_LOCK, or RLIMIT_MEMLOCK)? root: see vmm/base/sysfile.h.
 * Returns 0, or -EPERM with a sentence: limit, need, and the command that mends it.
 */
MUST_CHECK int memory_check_lock(uint64_t bytes, const char *root, struct err *e);

/* thp=always: does the host give transparent huge pages to memory like this? Returns 0; -EOPNOTSUPP with a sentence. */
MUST_CHECK int memory_check_thp(const struct memory_options *o, const struct host_memory *h, struct err *e);

/* merge=on: has this kernel KSM? One that does not run is logged. Returns 0; -EOPNOTSUPP with a sentence. */
MUST_CHECK int memory_check_merge(const struct memory_options *o, const struct host_memory *h, struct err *e);

/*
 * Nodes of the guest begin and end on pages of the backing: with large pages their sizes are multiples of those.
 * Returns 0; -EINVAL (usage) with a sentence that names the node and the nearest sizes.
 */
MUST_CHECK int memory_check_node_sizes(const struct topology *t, uint64_t bytes, uint64_t page_bytes,
				       struct err *e);

/*
 * hard-limit=: is it enough for RAM that is all present at once (lock=on, prealloc=on)? Hugetlb pages do not count
 * towards it. page_bytes: of the backing.
 * Returns 0; -EINVAL (usage) with a sentence.
 */
MUST_CHECK int memory_check_limit(const struct memory_options *o, uint64_t bytes, uint64_t page_bytes,
				  struct err *e);

/*
 * Has the host bytes of memory left, for RAM that will be present at once? swap: its swap space counts, too.
 * Returns 0 (also when the host does not tell); -ENOMEM with a sentence.
 */
MUST_CHECK int memory_check_room(const struct host_memory *h, uint64_t bytes, bool swap, struct err *e);

/*
 * Is the memory of the host's nodes as large as what policy bind puts there? Hugetlb pages: memory_check_pool().
 * now  all of it will be present at once: what is available counts, as the kernel would rather kill us than take
 *      memory from other nodes
 * Returns 0 (also when the host does not tell); -ENOMEM with a sentence.
 */
MUST_CHECK int memory_check_node_room(const struct host_memory *h, uint64_t bytes, const struct topology *t,
				      bool now, struct err *e);

/* ---- memory_numa.c ---- */

/* Does the node say from which of the host's nodes its memory comes? Does any? */
bool memory_node_is_placed(const struct topo_node *node);
bool memory_is_placed(const struct topology *t);

/* "0-1,3" of a mask of the host's nodes, as in struct topo_node; cut off where buf ends. Returns buf. */
const char *memory_nodes_text(const uint64_t mask[2], char *buf, size_t len);

/* ---- memory_backing.c ---- */

/*
 * file= together with host-nodes=: pages of a file go where the thread that touches them first may have some, not where
 * mbind(2) says, but on a tmpfs. memory_check() asks it, too.
 * Returns 0; -EINVAL (usage) with a sentence.
 */
MUST_CHECK int memory_check_file_nodes(const struct memory_options *o, const struct topology *t,
				       struct err *e);

/* Map bytes of anonymous memory. Returns 0 or a negative errno with a sentence; b is empty then. */
MUST_CHECK int memory_backing_anonymous(struct memory_backing *b, uint64_t bytes, struct err *e);

/*
 * Map bytes of what o asks for. Nothing of it is there yet, but hugetlb pages and the blocks of a file are promised.
 * page_bytes  of hugetlb, of which bytes is a multiple; else MEMORY_SMALL_PAGE_BYTES
 * Returns 0; -ENOMEM (for hugetlb: no pages) or another negative errno with a sentence. b is empty then.
 */
MUST_CHECK int memory_backing_open(struct memory_backing *b, const struct memory_options *o, uint64_t bytes,
				   uint64_t page_bytes, struct err *e);

/* Tell the kernel of huge pages, merging and core dumps (madvise(2)), before there are pages. Returns 0 or a negative
 * errno with a sentence. */
MUST_CHECK int memory_backing_advise(const struct memory_backing *b, const struct memory_options *o,
				     struct err *e);

/* Lock what is there and what will come (mlock2(2)). memory_check_lock() was asked. Returns 0 or a negative errno. */
MUST_CHECK int memory_backing_lock(const struct memory_backing *b, struct err *e);

/* A file that was made for b stays, as large as it is now. */
void memory_backing_keep(struct memory_backing *b);

/* Unmap and close; take back what was done to a file, unless it was kept. For what one of the above has filled in. */
void memory_backing_close(struct memory_backing *b);

/* ---- memory_populate.c ---- */

/* "memory [####      ] 40 %  1.6 of 4.0 GiB", in 79 columns at most. total: not 0. Returns buf. */
const char *memory_progress_text(uint64_t done, uint64_t total, char *buf, size_t len);

#endif
