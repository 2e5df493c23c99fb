/*
 * --memory: its keys, and which of them can be had together. What the host makes of them is vmm/memory.h's business.
 */
#include "vmm/cpu/memory_options.h"

#include <errno.h>
#include <stdlib.h>

enum { SMALL_PAGE_BYTES = 4096 };

static const uint64_t default_bytes = 256 * MIB;

/* By enum memory_pages, memory_thp and memory_switch. */
static const char *const pages_choices[] = { "off", "2M", "1G", NULL };
static const char *const thp_choices[] = { "madvise", "always", "never", NULL };
static const char *const switch_choices[] = { "auto", "on", "off", NULL };

const struct opt_key memory_keys[] = {
	{ .name = "size",
	  .value = "SIZE",
	  .kind = OPT_SIZE,
	  .offset = offsetof(struct memory_options, bytes),
	  .min = 2 * MIB,
	  .max = 1ull << 50,
	  .positional = true },
	{ .name = "hugepages",
	  .value = "2M|1G",
	  .kind = OPT_CHOICE,
	  .offset = offsetof(struct memory_options, hugepages),
	  .choices = pages_choices,
	  .help = "pages of that size from the host's pool (hugetlb), all of them taken at the start "
		  "(default off)" },
	{ .name = "path",
	  .value = "DIR",
	  .kind = OPT_STRING,
	  .offset = offsetof(struct memory_options, path),
	  .help = "take them from the hugetlbfs mounted there, and of its size" },
	{ .name = "thp",
	  .value = "always|madvise|never",
	  .kind = OPT_CHOICE,
	  .offset = offsetof(struct memory_options, thp),
	  .choices = thp_choices,
	  .help = "transparent huge pages; madvise (default): wanted from 512M up, if the host has them; "
		  "always: or fail" },
	{ .name = "prealloc",
	  .value = "on|off",
	  .kind = OPT_CHOICE,
	  .offset = offsetof(struct memory_options, prealloc),
	  .choices = switch_choices,
	  .help = "take all of it at the start (default auto: with hugepages, path and lock)" },
	{ .name = "threads",
	  .alias = "prealloc-threads",
	  .value = "N",
	  .kind = OPT_UINT,
	  .offset = offsetof(struct memory_options, threads),
	  .min = 1,
	  .max = MEMORY_MAX_THREADS,
	  .help = "that do so (default: one for each CPU, 16 at most)" },
	{ .name = "lock",
	  .value = "on|off",
	  .kind = OPT_BOOL,
	  .offset = offsetof(struct memory_options, lock),
	  .help = "keep it from being swapped out (default off)" },
	{ .name = "merge",
	  .value = "on|off",
	  .kind = OPT_CHOICE,
	  .offset = offsetof(struct memory_options, merge),
	  .choices = switch_choices,
	  .help = "let KSM merge equal pages of guests (default auto: as the host does anyhow)" },
	{ .name = "dump",
	  .value = "on|off",
	  .kind = OPT_BOOL,
	  .offset = offsetof(struct memory_options, dump),
	  .help = "be part of core dumps of trellis (default on)" },
	{ .name = "share",
	  .value = "on|off",
	  .kind = OPT_BOOL,
	  .offset = offsetof(struct memory_options, share),
	  .help = "be a file that other processes can map: a sealed memfd (default off)" },
	{ .name = "file",
	  .value = "PATH",
	  .kind = OPT_STRING,
	  .offset = offsetof(struct memory_options, file),
	  .help = "be this file, which is made if need be, has exactly this size, and stays" },
	{ .name = "hard-limit",
	  .value = "SIZE",
	  .kind = OPT_SIZE,
	  .offset = offsetof(struct memory_options, hard_limit_bytes),
	  .min = 2 * MIB,
	  .max = 1ull << 50,
	  .help = "most that trellis and its guest may use: memory.max of a cgroup of version 2" },
	{ 0 },
};

void memory_options_init(struct memory_options *o)
{
	*o = (struct memory_options){ .bytes = default_bytes, .dump = true };
}

void memory_options_fini(struct memory_options *o)
{
	opt_free(memory_keys, o);
}

uint64_t memory_options_page_bytes(const struct memory_options *o)
{
	switch (o->hugepages) {
	case MEMORY_PAGES_2M:
		return 2 * MIB;
	case MEMORY_PAGES_1G:
		return GIB;
	default:
		return 0;
	}
}

int memory_options_check_size(uint64_t bytes, uint64_t page_bytes, struct err *e)
{
	uint64_t below = align_down(bytes, page_bytes);
	char size[24], page[24], less[24], more[24];

	if (below == bytes)
		return 0;
	opt_size_text(bytes, size, sizeof(size));
	opt_size_text(page_bytes, page, sizeof(page));
	opt_size_text(below, less, sizeof(less));
	opt_size_text(below + page_bytes, more, sizeof(more));
	if (!below)
		return err_usage(e,
				 "--memory %s: expected a multiple of %s, the size of its pages: %s at least",
				 size, page, more);
	return err_usage(
		e, "--memory %s: expected a multiple of %s, the size of its pages; the nearest are %s and %s",
		size, page, less, more);
}

/* What hugetlb pages cannot be; which word asked for them. */
static int check_hugetlb(const struct memory_options *o, const char *word, struct err *e)
{
	if (o->file)
		return err_usage(
			e,
			"--memory: %s and file= cannot be had together; leave one of them out, or name a "
			"directory on a hugetlbfs with path=",
			word);
	if (o->thp != THP_MADVISE)
		return err_usage(e,
				 "--memory: %s and thp=%s cannot be had together: hugetlb pages are not "
				 "transparent ones; leave one of them out",
				 word, thp_choices[o->thp]);
	if (o->merge == MEMORY_ON)
		return err_usage(e,
				 "--memory: %s and merge=on cannot be had together: KSM merges small pages "
				 "alone; leave one of them out",
				 word);
	if (o->prealloc == MEMORY_OFF)
		return err_usage(e,
				 "--memory: %s and prealloc=off cannot be had together: a guest dies of a "
				 "page that the pool has no more; leave prealloc=off out",
				 word);
	return 0;
}

static int check_together(const struct memory_options *o, struct err *e)
{
	bool hugetlb = o->hugepages != MEMORY_PAGES_UNSAID || o->path;
	int rc;

	if (hugetlb) {
		rc = check_hugetlb(o, o->hugepages == MEMORY_PAGES_UNSAID ? "path=" : "hugepages=", e);
		if (rc < 0)
			return rc;
	}
	if (o->merge == MEMORY_ON && (o->share || o->file))
		return err_usage(e,
				 "--memory: merge=on and %s cannot be had together: KSM merges private "
				 "memory alone; leave one of them out",
				 o->share ? "share=on" : "file=");
	if (o->lock && o->prealloc == MEMORY_OFF)
		return err_usage(e, "--memory: lock=on and prealloc=off cannot be had together: what is "
				    "locked is there from the start; leave prealloc=off out");
	if (o->threads && !hugetlb && !o->lock && o->prealloc != MEMORY_ON)
		return err_usage(e, "--memory: threads= is about prealloc=on, which is not there; add it, or "
				    "leave threads= out");
	return 0;
}

int memory_options_parse(struct memory_options *o, const char *arg, struct err *e)
{
	uint64_t before = o->bytes, page_bytes;
	int rc;

	/* No size is 0, so that tells whether one was said now; before is what an earlier --memory said, or the default. */
	o->bytes = 0;
	rc = opt_parse_list("--memory", arg, memory_keys, o, e);
	o->said |= o->bytes != 0;
	o->bytes = o->bytes ? o->bytes : before;
	if (rc < 0 || (rc = check_together(o, e)) < 0)
		return rc;
	page_bytes = memory_options_page_bytes(o);
	return o->said ? memory_options_check_size(o->bytes, page_bytes ? page_bytes : SMALL_PAGE_BYTES, e)
		       : 0;
}
