/*
 * Can this host give the RAM that was asked for, now? Each reason why not has a function, which makes its sentence;
 * memory_check() asks them all, memory_open() those whose time has come. Pools and nodes: memory_check_nodes.c; path=
 * and file=: memory_check_files.c. Others may take what was found free: having RAM is the only proof.
 */
#include "vmm/memory_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "vmm/base/log.h"
#include "vmm/base/opt.h"
#include "vmm/host/cgroup.h"

/* ---- limits ---- */

int memory_check_lock(uint64_t bytes, const char *root, struct err *e)
{
	struct rlimit limit;
	char command[96];

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return err_sys(e, -errno, "getrlimit(RLIMIT_MEMLOCK)");
	if (limit.rlim_cur == RLIM_INFINITY || bytes <= limit.rlim_cur || host_may_lock(root))
		return 0;
	if (limit.rlim_max == RLIM_INFINITY || bytes <= limit.rlim_max)
		snprintf(command, sizeof(command), "ulimit -l %llu", (unsigned long long)(bytes / KIB));
	else
		snprintf(command, sizeof(command),
			 "prlimit --memlock=%llu --pid $$ (as root, for this shell)",
			 (unsigned long long)bytes);
	return err_set(e, -EPERM,
		       "--memory lock=on: %llu KiB are to be locked and the limit (RLIMIT_MEMLOCK) is %llu "
		       "KiB; raise it with: %s, or for a service with: LimitMEMLOCK=%llu",
		       (unsigned long long)(bytes / KIB), (unsigned long long)(limit.rlim_cur / KIB), command,
		       (unsigned long long)bytes);
}

/* Does o have all RAM present at once? Then the word for it, else NULL. */
static const char *populated_by(const struct memory_options *o)
{
	return o->lock ? "lock=on" : o->prealloc == MEMORY_ON ? "prealloc=on" : NULL;
}

int memory_check_limit(const struct memory_options *o, uint64_t bytes, uint64_t page_bytes, struct err *e)
{
	const char *why = populated_by(o);
	char limit[24], ram[24], better[24];

	if (!o->hard_limit_bytes || !why || page_bytes > MEMORY_SMALL_PAGE_BYTES ||
	    o->hard_limit_bytes >= bytes)
		return 0;
	if (o->file && !o->lock) /* its pages are written to it and leave */
		return 0;
	return err_usage(e,
			 "--memory hard-limit=%s: with %s all %s of RAM are there at once; expected as much "
			 "and some for trellis and the kernel, as in hard-limit=%s",
			 opt_size_text(o->hard_limit_bytes, limit, sizeof(limit)), why,
			 opt_size_text(bytes, ram, sizeof(ram)),
			 opt_size_text(align_up(bytes + bytes / 64 + 64 * MIB, MIB), better, sizeof(better)));
}

int memory_check_room(const struct host_memory *h, uint64_t bytes, bool swap, struct err *e)
{
	uint64_t left = h->available_bytes + (swap ? h->swap_free_bytes : 0);
	char more[64] = "";

	if (!h->available_bytes || bytes <= left)
		return 0;
	if (swap)
		snprintf(more, sizeof(more), " and %llu MiB of swap",
			 (unsigned long long)(h->swap_free_bytes / MIB));
	return err_set(e, -ENOMEM,
		       "--memory %s: %llu MiB are to be there at once, and this host has %llu MiB "
		       "available%s (free -m tells); ask for less, end other programs, or leave it out",
		       swap ? "prealloc=on" : "lock=on", (unsigned long long)(bytes / MIB),
		       (unsigned long long)(h->available_bytes / MIB), more);
}

/* ---- what the kernel has ---- */

int memory_check_thp(const struct memory_options *o, const struct host_memory *h, struct err *e)
{
	/* Memory of memfd_create(2) has a switch of its own (Documentation/admin-guide/mm/transhuge.rst, v6.1). */
	const char *file = o->share ? "shmem_enabled" : "enabled", *word = o->share ? "advise" : "madvise";
	const char *is = o->share ? h->thp_shmem : h->thp;

	if (o->thp != THP_ALWAYS || o->file) /* what a file's pages are is its file system's business */
		return 0;
	if (!is[0])
		return err_set(e, -EOPNOTSUPP,
			       "--memory thp=always: this host's kernel has no transparent huge pages, or "
			       "hides /sys/kernel/mm/transparent_hugepage; expected no thp=");
	if (strcmp(is, "never") != 0 && strcmp(is, "deny") != 0)
		return 0;
	return err_set(e, -EOPNOTSUPP,
		       "--memory thp=always: this host's setting for %s memory is '%s'; change it with: echo "
		       "%s > /sys/kernel/mm/transparent_hugepage/%s",
		       o->share ? "shared" : "such", is, word, file);
}

int memory_check_merge(const struct memory_options *o, const struct host_memory *h, struct err *e)
{
	if (o->merge != MEMORY_ON)
		return 0;
	if (h->ksm_known && h->ksm_run != 1)
		log_info("--memory merge=on: KSM does not run on this host; start it with: echo 1 > "
			 "/sys/kernel/mm/ksm/run");
	if (h->ksm_known)
		return 0;
	return err_set(e, -EOPNOTSUPP,
		       "--memory merge=on: this host's kernel has no KSM (CONFIG_KSM), or hides "
		       "/sys/kernel/mm/ksm; expected no merge=");
}

int memory_check_node_sizes(const struct topology *t, uint64_t bytes, uint64_t page_bytes, struct err *e)
{
	uint64_t at = 0, len;

	for (unsigned int n = 0; n < t->nr_nodes; n++, at += len) {
		char is[24], page[24], below[24], above[24];
		uint64_t down;

		len = MIN(t->node[n].memory_bytes, bytes - at);
		down = align_down(len, page_bytes);
		if (len == down)
			continue;
		return err_usage(e,
				 "--numa node=%u: its memory of %s is no multiple of the pages of %s behind "
				 "it; the nearest %s %s%s%s",
				 n, opt_size_text(len, is, sizeof(is)),
				 opt_size_text(page_bytes, page, sizeof(page)), down ? "are" : "is",
				 down ? opt_size_text(down, below, sizeof(below)) : "", down ? " and " : "",
				 opt_size_text(down + page_bytes, above, sizeof(above)));
	}
	return 0;
}

/* ---- all of it ---- */

/* What is behind RAM when it is no huge page. */
static void check_small_pages(const struct memory_options *o, uint64_t bytes, const struct host_memory *h,
			      struct notes *problems)
{
	struct err e;

	if (memory_check_thp(o, h, &e) < 0)
		notes_add_err(problems, &e);
	if (populated_by(o) && (!o->file || o->lock) && memory_check_room(h, bytes, !o->lock, &e) < 0)
		notes_add_err(problems, &e);
}

bool memory_check_words(const struct memory_options *o, uint64_t bytes, const struct topology *t,
			const char *root, uint64_t *page_bytes, struct notes *problems)
{
	bool nodes_there;
	struct err e;

	*page_bytes = memory_options_page_bytes(o);
	if (o->path && memory_check_path(o->path, bytes, page_bytes, &e) < 0)
		notes_add_err(problems, &e);
	*page_bytes = MAX(*page_bytes, (uint64_t)MEMORY_SMALL_PAGE_BYTES);
	if (memory_options_check_size(bytes, *page_bytes, &e) < 0 ||
	    memory_check_node_sizes(t, bytes, *page_bytes, &e) < 0)
		notes_add_err(problems, &e);
	if (o->file && memory_check_file(o->file, -1, bytes, &e) < 0)
		notes_add_err(problems, &e);
	if (memory_check_file_nodes(o, t, &e) < 0)
		notes_add_err(problems, &e);
	if (memory_check_limit(o, bytes, *page_bytes, &e) < 0)
		notes_add_err(problems, &e);
	nodes_there = memory_check_host_nodes(t, root, &e) == 0;
	if (!nodes_there)
		notes_add_err(problems, &e);
	return nodes_there;
}

void memory_check(const struct memory_options *o, uint64_t bytes, const struct topology *t, const char *root,
		  struct notes *problems)
{
	const struct topology nowhere = { .nr_nodes = 0 }; /* of nodes that are not there enough is said */
	struct host_memory h;
	uint64_t page_bytes;
	struct err e;

	if (host_memory_read(&h, root) < 0)
		notes_add(problems, "out of memory for what this host has");
	if (!memory_check_words(o, bytes, t, root, &page_bytes, problems))
		t = &nowhere;
	if (page_bytes == MEMORY_SMALL_PAGE_BYTES && !o->path)
		check_small_pages(o, bytes, &h, problems);
	else if (page_bytes > MEMORY_SMALL_PAGE_BYTES &&
		 memory_check_pool(&h, host_page_of(page_bytes), bytes, t, &e) < 0)
		notes_add_err(problems, &e);
	if (memory_check_merge(o, &h, &e) < 0)
		notes_add_err(problems, &e);
	if (o->lock && memory_check_lock(bytes, root, &e) < 0)
		notes_add_err(problems, &e);
	if (memory_check_node_room(&h, bytes, t, populated_by(o) && page_bytes == MEMORY_SMALL_PAGE_BYTES,
				   &e) < 0)
		notes_add_err(problems, &e);
	if (o->hard_limit_bytes && cgroup_check(root, o->hard_limit_bytes, &e) < 0)
		notes_add_err(problems, &e);
	host_memory_fini(&h);
}
