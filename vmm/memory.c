/*
 * Guest RAM: one mapping, laid out around the hole below 4 GiB, and given to KVM. What lies in that hole is
 * vmm/base/map.h's business, what is mapped memory_backing.c's.
 */
#include "vmm/memory_internal.h"

#include <errno.h>

#include "vmm/base/log.h"
#include "vmm/base/map.h"

uint64_t memory_max_bytes(unsigned int phys_bits)
{
	uint64_t space = 1ull << MIN(phys_bits, 48u); /* the 64-bit PCI window's width, vmm/machine.c */

	/* Up to half of the address space, where that window begins; the hole below 4 GiB is not RAM. */
	return space <= 8 * GIB ? MAP_LOW_RAM_MAX : space / 2 - (MAP_HIGH_RAM_BASE - MAP_LOW_RAM_MAX);
}

/* The ranges of what is mapped. Low RAM ends on a gigabyte whenever there is high RAM: one mapping serves both. */
static int lay_out(struct memory *mem, struct err *e)
{
	const struct memory_backing *b = &mem->backing;
	int rc;

	mem->low_bytes = MIN(b->bytes, MAP_LOW_RAM_MAX);
	mem->high_bytes = b->bytes - mem->low_bytes;
	rc = gmem_add(&mem->gmem, 0, mem->low_bytes, b->hva, e);
	if (rc == 0 && mem->high_bytes)
		rc = gmem_add(&mem->gmem, MAP_HIGH_RAM_BASE, mem->high_bytes, b->hva + mem->low_bytes, e);
	for (unsigned int i = 0; rc == 0 && i < mem->gmem.nr_ranges; i++) {
		struct gmem_range *r = &mem->gmem.range[i];

		r->page_bytes = b->page_bytes;
		r->fd = b->fd;
		r->fd_offset = b->fd < 0 ? 0 : (uint64_t)(r->hva - b->hva);
		r->has_room = b->has_room;
	}
	return rc;
}

int memory_init(struct memory *mem, uint64_t bytes, struct err *e)
{
	int rc;

	*mem = (struct memory){ 0 };
	rc = memory_backing_anonymous(&mem->backing, bytes, e);
	if (rc == 0)
		rc = lay_out(mem, e);
	if (rc < 0)
		memory_fini(mem);
	return rc;
}

/* Is all RAM there before the guest starts? */
static bool present_at_start(const struct memory_options *o)
{
	return o->prealloc == MEMORY_ON || o->lock || o->path || memory_options_page_bytes(o);
}

/*
 * Can the host give it? Asked before anything is mapped, for sentences that say what to do. A guest that wants nothing
 * special starts without a look at /proc or /sys.
 */
static int ask_host(const struct memory_options *o, uint64_t bytes, uint64_t page_bytes,
		    const struct topology *t, struct err *e)
{
	bool hugetlb = page_bytes > MEMORY_SMALL_PAGE_BYTES;
	struct host_memory h = { 0 };
	int rc = memory_check_limit(o, bytes, page_bytes, e);

	if (rc < 0 || (o->lock && (rc = memory_check_lock(bytes, "", e)) < 0))
		return rc;
	if (!present_at_start(o) && !memory_is_placed(t) && o->thp != THP_ALWAYS && o->merge != MEMORY_ON)
		return 0;
	rc = memory_check_host_nodes(t, "", e); /* first: a node that is not there has no pages either */
	if (rc < 0)
		return rc;
	rc = host_memory_read(&h, "");
	if (rc < 0)
		err_set(e, rc, "out of memory for what this host has");
	else if (hugetlb)
		rc = memory_check_pool(&h, host_page_of(page_bytes), bytes, t, e);
	else if (present_at_start(o) && (!o->file || o->lock)) /* a file's pages can leave for the disk */
		rc = memory_check_room(&h, bytes, !o->lock, e);
	if (rc == 0 && (rc = memory_check_thp(o, &h, e)) == 0 && (rc = memory_check_merge(o, &h, e)) == 0)
		rc = memory_check_node_room(&h, bytes, t, present_at_start(o) && !hugetlb, e);
	host_memory_fini(&h);
	return rc;
}

/*
 * No page was left while we took them, though there were enough before: somebody else was quicker, or a limit counts
 * what the pool does not. What we took is given back first, so that the figures are those of a new start.
 */
static int refuse_shortage(struct memory *mem, const struct memory_options *o, const struct topology *t,
			   struct err *e)
{
	uint64_t bytes = mem->backing.bytes, page_bytes = mem->backing.page_bytes;
	bool hugetlb = page_bytes > MEMORY_SMALL_PAGE_BYTES;
	struct host_memory h = { 0 };
	char size[24];
	int rc = 0;

	memory_fini(mem);
	if (host_memory_read(&h, "") == 0)
		rc = hugetlb ? memory_check_pool(&h, host_page_of(page_bytes), bytes, t, e)
			     : memory_check_room(&h, bytes, !o->lock, e);
	host_memory_fini(&h);
	if (rc < 0)
		return rc;
	opt_size_text(bytes, size, sizeof(size));
	if (hugetlb)
		return err_set(
			e, -ENOMEM,
			"--memory %s: the pool of huge pages had none left on the way; another program took "
			"them, or the hugetlb.%s.max of our cgroup is too low; try again, or see "
			"/proc/self/cgroup",
			size, page_bytes == GIB ? "1GB" : "2MB");
	return err_set(e, -ENOMEM,
		       "--memory %s: the host cannot have all of it present (prealloc=on or lock=on); see "
		       "free -m and the memory.max of the cgroup in /proc/self/cgroup",
		       size);
}

/* Have it all, and see whether it is where it should be. */
static int populate(struct memory *mem, const struct memory_options *o, const struct topology *t,
		    struct err *e)
{
	const struct memory_backing *b = &mem->backing;
	char size[24];
	int rc = memory_populate(b->hva, b->bytes, b->page_bytes, o->threads);

	opt_size_text(b->bytes, size, sizeof(size));
	switch (rc) {
	case 0:
		return memory_verify(mem, t, e);
	case -EINTR:
		return err_set(e, rc, "--memory %s: a signal ended trellis while the memory was made ready",
			       size);
	case -EHWPOISON:
		return err_set(
			e, rc,
			"--memory %s: the hardware reports a broken page of memory; see the kernel's log",
			size);
	case -EFAULT: /* what would be SIGBUS if the guest touched it */
		if (o->file)
			return err_set(e, -EIO,
				       "--memory file=%s: its file system gives no page for some of it; see "
				       "the kernel's log",
				       o->file);
		return refuse_shortage(mem, o, t, e);
	case -ENOMEM:
		return refuse_shortage(mem, o, t, e);
	default:
		return err_sys(e, rc, "--memory %s: cannot make it ready (MADV_POPULATE_WRITE)", size);
	}
}

int memory_open(struct memory *mem, const struct memory_options *o, uint64_t bytes, const struct topology *t,
		struct err *e)
{
	uint64_t page_bytes = memory_options_page_bytes(o);
	int rc = o->path ? memory_check_path(o->path, bytes, &page_bytes, e) : 0;

	*mem = (struct memory){ 0 };
	page_bytes = page_bytes ? page_bytes : MEMORY_SMALL_PAGE_BYTES;
	if (rc < 0 || (rc = memory_options_check_size(bytes, page_bytes, e)) < 0 ||
	    (rc = memory_check_node_sizes(t, bytes, page_bytes, e)) < 0 ||
	    (rc = memory_check_file_nodes(o, t, e)) < 0 || (rc = ask_host(o, bytes, page_bytes, t, e)) < 0)
		return rc;
	rc = memory_backing_open(&mem->backing, o, bytes, page_bytes, e);
	if (rc == -ENOMEM && page_bytes > MEMORY_SMALL_PAGE_BYTES) {
		mem->backing = (struct memory_backing){ .bytes = bytes, .page_bytes = page_bytes };
		return refuse_shortage(mem, o, t, e);
	}
	/* Pages that are there neither move nor change their size: advice and binding come before the first of them. */
	if (rc < 0 || (rc = lay_out(mem, e)) < 0 || (rc = memory_backing_advise(&mem->backing, o, e)) < 0 ||
	    (rc = memory_bind(mem, t, e)) < 0 ||
	    (o->lock && (rc = memory_backing_lock(&mem->backing, e)) < 0) ||
	    (present_at_start(o) && (rc = populate(mem, o, t, e)) < 0))
		memory_fini(mem);
	return rc;
}

void memory_keep(struct memory *mem)
{
	memory_backing_keep(&mem->backing);
}

void memory_fini(struct memory *mem)
{
	if (mem->backing.hva)
		memory_backing_close(&mem->backing);
	*mem = (struct memory){ 0 };
}

/*
 * A slot has less than 2^31 pages (KVM_MEM_MAX_NR_PAGES; Documentation/virt/kvm/api.rst, 4.35, Linux 6.1, tells only
 * of EINVAL). A multiple of 1 GiB leaves huge pages whole.
 */
static const uint64_t slot_max_bytes = 4096 * GIB;

static int add_slot(struct kvm *kvm, unsigned int number, const struct gmem_range *r, uint64_t at,
		    struct err *e)
{
	struct kvm_userspace_memory_region slot = {
		.slot = number,
		.guest_phys_addr = r->gpa + at,
		.memory_size = MIN(r->len - at, slot_max_bytes),
		.userspace_addr = (uintptr_t)r->hva + at,
	};
	char size[24];

	if (kvm_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) >= 0)
		return 0;
	if (errno == ENOMEM)
		return err_set(
			e, -ENOMEM,
			"KVM has no memory for its own tables of %s of RAM at 0x%llx, which take up to 1/256 "
			"of that; give the guest less with --memory, or the host more",
			opt_size_text(slot.memory_size, size, sizeof(size)),
			(unsigned long long)slot.guest_phys_addr);
	return err_sys(e, -errno, "KVM_SET_USER_MEMORY_REGION at 0x%llx",
		       (unsigned long long)slot.guest_phys_addr);
}

int memory_attach(struct memory *mem, struct kvm *kvm, struct err *e)
{
	unsigned int number = 0;

	for (unsigned int i = 0; i < mem->gmem.nr_ranges; i++) {
		const struct gmem_range *r = &mem->gmem.range[i];

		for (uint64_t at = 0; at < r->len; at += slot_max_bytes) {
			int rc = add_slot(kvm, number++, r, at, e);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}
