/*
 * What guest RAM is made of: anonymous memory, a sealed memfd, hugetlb pages or a file, and what the kernel is told
 * about it. All are one mapping, congruent to guest-physical addresses, so that the host can map huge pages.
 *
 * It neither populates nor binds, and whether the host can give it was asked before (memory_check.c).
 */
#include "vmm/memory_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/base/newfile.h"

/* include/uapi/linux/memfd.h, which cannot be had beside sys/mman.h. */
#define NOEXEC_SEAL     0x0008u /* MFD_NOEXEC_SEAL, Linux 6.3 */
#define HUGE_SIZE_SHIFT 26      /* MFD_HUGE_SHIFT */

/*
 * From here up thp=madvise asks for huge pages. A program of a few pages in a small machine would pay for them with
 * 2 MiB each: 20 pages touched in 4 MiB took 0.15 MiB and 40 us without, 4.1 MiB and 190 us with them (Linux 6.18).
 * What fills half a gigabyte is quicker with them, to touch (3 to 5 times) and to walk.
 */
static const uint64_t thp_min_bytes = 512 * MIB;

/* ---- mappings ---- */

static int refuse_map(uint64_t bytes, int rc, struct err *e)
{
	unsigned long long mib = bytes / MIB;

	if (rc == -ENOMEM)
		return err_set(e, rc,
			       "cannot map %llu MiB of guest memory: %s; the limits are ulimit -v and, when "
			       "it is 2, /proc/sys/vm/overcommit_memory",
			       mib, strerror(-rc));
	return err_sys(e, rc, "cannot map %llu MiB of guest memory", mib);
}

/*
 * Reserve bytes at a host address that is congruent to guest-physical 0 modulo the largest page that fits: hugetlb
 * pages always do, as there is no part of one. Takes address space alone, whatever its size.
 * Returns 0 or a negative errno.
 */
static int reserve_congruent(uint64_t bytes, int prot, uint8_t **at)
{
	uint64_t align = bytes >= GIB ? GIB : 2 * MIB;
	uint8_t *raw;

	if (bytes > SIZE_MAX - align)
		return -ENOMEM;
	raw = mmap(NULL, bytes + align, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		return -errno;
	*at = (uint8_t *)(uintptr_t)align_up((uintptr_t)raw, align);
	if (*at > raw)
		munmap(raw, (size_t)(*at - raw));
	munmap(*at + bytes, (size_t)(raw + align - *at));
	return 0;
}

int memory_check_map(const struct memory_options *o, uint64_t bytes, struct err *e)
{
	bool shared = o->file || o->path || o->share || memory_options_page_bytes(o);
	uint8_t *at;
	int rc = reserve_congruent(bytes, shared ? PROT_NONE : PROT_READ | PROT_WRITE, &at);

	if (rc < 0)
		return refuse_map(bytes, rc, e);
	munmap(at, bytes);
	return 0;
}

int memory_backing_anonymous(struct memory_backing *b, uint64_t bytes, struct err *e)
{
	int rc;

	*b = (struct memory_backing){ .bytes = bytes, .fd = -1, .page_bytes = MEMORY_SMALL_PAGE_BYTES };
	rc = reserve_congruent(bytes, PROT_READ | PROT_WRITE, &b->hva);
	return rc < 0 ? refuse_map(bytes, rc, e) : 0;
}

/*
 * Map b->fd. Without MAP_NORESERVE hugetlb pages are promised to us from here on, or it fails (Documentation/
 * admin-guide/mm/hugetlbpage.rst, Linux 6.1: HugePages_Rsvd).
 */
static int map_shared(struct memory_backing *b, struct err *e)
{
	uint8_t *at;
	int rc = reserve_congruent(b->bytes, PROT_NONE, &at);

	if (rc == 0 &&
	    mmap(at, b->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, b->fd, 0) == MAP_FAILED) {
		rc = -errno;
		munmap(at, b->bytes);
	}
	if (rc < 0)
		return refuse_map(b->bytes, rc, e);
	b->hva = at;
	return 0;
}

/* ---- files of our own ---- */

/* Make a memfd that can be sealed. Returns it or a negative errno. */
static int memfd(unsigned int flags)
{
	int fd = memfd_create("trellis-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL | flags);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("trellis-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
	return fd < 0 ? -errno : fd;
}

/* Give it its size, for good: whoever has the descriptor, too, can then not take pages from under the guest. */
static int memfd_open(struct memory_backing *b, const char *what, struct err *e)
{
	unsigned int huge = MFD_HUGETLB | (unsigned int)__builtin_ctzll(b->page_bytes) << HUGE_SIZE_SHIFT;

	b->fd = memfd(b->page_bytes > MEMORY_SMALL_PAGE_BYTES ? huge : 0);
	if (b->fd < 0)
		return err_sys(e, b->fd, "--memory %s: memfd_create(2)", what);
	if (ftruncate(b->fd, (off_t)b->bytes) < 0 ||
	    fcntl(b->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, -errno, "--memory %s: cannot make a file of %llu MiB in memory", what,
			       (unsigned long long)(b->bytes / MIB));
	return map_shared(b, e);
}

/* A file without a name on the hugetlbfs: its pages go back to the pool with us, however we end. */
static int hugetlbfs_open(struct memory_backing *b, const char *dir, struct err *e)
{
	char *name;

	b->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (b->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) { /* hugetlbfs before Linux 5.4 */
		if (asprintf(&name, "%s/trellis-XXXXXX", dir) < 0)
			return err_set(e, -ENOMEM, "out of memory");
		b->fd = mkostemp(name, O_CLOEXEC);
		if (b->fd >= 0)
			unlink(name);
		free(name);
	}
	if (b->fd < 0)
		return err_sys(e, -errno, "--memory path=%s: cannot make a file there", dir);
	if (ftruncate(b->fd, (off_t)b->bytes) < 0)
		return err_sys(e, -errno, "--memory path=%s: cannot make a file of %llu MiB there", dir,
			       (unsigned long long)(b->bytes / MIB));
	return map_shared(b, e);
}

/* ---- file= ---- */

/* Does path lead to the file that is open? */
static bool names_file(const char *path, int fd)
{
	struct stat by_name, by_fd;

	return stat(path, &by_name) == 0 && fstat(fd, &by_fd) == 0 && by_name.st_dev == by_fd.st_dev &&
	       by_name.st_ino == by_fd.st_ino;
}

/*
 * Open the file or make it, and lock it. Between the two another trellis may have locked a file that we made, and
 * removed it again: what we have not locked is not ours, and what has no name any more is of no use.
 */
static int file_lock(struct memory_backing *b, const char *path, struct err *e)
{
	struct stat st;
	bool made;
	int rc;

	b->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	made = b->fd >= 0;
	if (b->fd < 0 && errno == EEXIST) {
		if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* opening a device may do something */
			return memory_refuse_file(path, b->bytes, -ENXIO, e);
		/* O_NONBLOCK: it may turn out to be a pipe or a device all the same */
		b->fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	}
	if (b->fd < 0)
		return memory_refuse_file(path, b->bytes, -errno, e);
	if (made && (flock(b->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)) {
		b->created = strdup(path);
		if (!b->created) {
			unlink(path);
			return err_set(e, -ENOMEM, "out of memory");
		}
	}
	rc = memory_check_file(path, b->fd, b->bytes, e);
	if (rc == 0 && !names_file(path, b->fd))
		return err_set(e, -EAGAIN, "--memory file=%s: it was removed while it was opened; try again",
			       path);
	return rc;
}

/*
 * All blocks of the file are had now: a disk that gets full would end the guest with SIGBUS. The size of a file that
 * has one does not change (fallocate(2), mode 0).
 */
static int file_open(struct memory_backing *b, const char *path, struct err *e)
{
	struct stat st;
	int rc = file_lock(b, path, e);

	if (rc < 0)
		return rc;
	if (fstat(b->fd, &st) < 0)
		return memory_refuse_file(path, b->bytes, -errno, e);
	if (st.st_size == 0) {
		b->was_empty = !b->created;
		if (ftruncate(b->fd, (off_t)b->bytes) < 0)
			return memory_refuse_file(path, b->bytes, -errno, e);
	}
	while ((rc = fallocate(b->fd, 0, 0, (off_t)b->bytes) < 0 ? -errno : 0) == -EINTR)
		;
	if (rc == -EOPNOTSUPP || rc == -ENOSYS)
		log_warn("--memory file=%s: this file system cannot reserve room (fallocate(2)); should it "
			 "get full, the guest ends",
			 path);
	else if (rc < 0)
		return memory_refuse_file(path, b->bytes, rc, e);
	b->has_room = rc == 0;
	return map_shared(b, e);
}

/* Is the file on a tmpfs, or would it be, if it is not there? */
static bool on_tmpfs(const char *path)
{
	struct statfs fs;
	char dir[PATH_MAX];
	int rc = statfs(path, &fs);

	if (rc < 0 && errno == ENOENT)
		rc = statfs(newfile_directory(path, dir, sizeof(dir)), &fs);
	return rc == 0 && fs.f_type == TMPFS_MAGIC;
}

int memory_check_file_nodes(const struct memory_options *o, const struct topology *t, struct err *e)
{
	for (unsigned int n = 0; o->file && n < t->nr_nodes; n++) {
		if (!memory_node_is_placed(&t->node[n]))
			continue;
		if (on_tmpfs(o->file))
			return 0;
		return err_usage(e,
				 "--memory file=%s: node %u has host-nodes=, which pages of a file do not "
				 "follow (mbind(2)); expected a file on a tmpfs such as /dev/shm, or no "
				 "host-nodes=",
				 o->file, n);
	}
	return 0;
}

/* ---- all of them ---- */

int memory_backing_open(struct memory_backing *b, const struct memory_options *o, uint64_t bytes,
			uint64_t page_bytes, struct err *e)
{
	int rc;

	*b = (struct memory_backing){ .bytes = bytes, .fd = -1, .page_bytes = page_bytes };
	if (o->file)
		rc = file_open(b, o->file, e);
	else if (o->path)
		rc = hugetlbfs_open(b, o->path, e);
	else if (page_bytes > MEMORY_SMALL_PAGE_BYTES)
		rc = memfd_open(b, page_bytes == GIB ? "hugepages=1G" : "hugepages=2M", e);
	else if (o->share)
		rc = memfd_open(b, "share=on", e);
	else
		return memory_backing_anonymous(b, bytes, e);
	if (rc < 0)
		memory_backing_close(b);
	return rc;
}

void memory_backing_keep(struct memory_backing *b)
{
	free(b->created);
	b->created = NULL;
	b->was_empty = false;
}

void memory_backing_close(struct memory_backing *b)
{
	if (b->hva)
		munmap(b->hva, b->bytes);
	if (b->created && names_file(b->created, b->fd))
		unlink(b->created);
	if (b->was_empty && ftruncate(b->fd, 0) < 0)
		log_warn("cannot empty the file of guest memory again: %s", strerror(errno));
	if (b->fd >= 0)
		close(b->fd); /* and its lock goes */
	free(b->created);
	*b = (struct memory_backing){ .fd = -1 };
}

/* ---- what the kernel is told ---- */

static int advise(const struct memory_backing *b, int advice, const char *what, struct err *e)
{
	if (madvise(b->hva, b->bytes, advice) == 0)
		return 0;
	return err_sys(e, -errno, "--memory %s: madvise(2)", what);
}

/* Hugetlb pages are of one size. Elsewhere a kernel without transparent huge pages says EINVAL. */
static int advise_thp(const struct memory_backing *b, const struct memory_options *o, struct err *e)
{
	if (b->page_bytes > MEMORY_SMALL_PAGE_BYTES)
		return 0;
	switch (o->thp) {
	case THP_ALWAYS:
		return advise(b, MADV_HUGEPAGE, "thp=always", e);
	case THP_NEVER:
		return madvise(b->hva, b->bytes, MADV_NOHUGEPAGE) == 0 || errno == EINVAL
			       ? 0
			       : err_sys(e, -errno, "--memory thp=never: madvise(2)");
	default:
		if (b->bytes >= thp_min_bytes && madvise(b->hva, b->bytes, MADV_HUGEPAGE) < 0)
			log_debug("no transparent huge pages: %s",
				  strerror(errno)); /* a wish, not a condition */
		return 0;
	}
}

int memory_backing_advise(const struct memory_backing *b, const struct memory_options *o, struct err *e)
{
	int rc = advise_thp(b, o, e);

	if (rc == 0 && o->merge == MEMORY_ON)
		rc = advise(b, MADV_MERGEABLE, "merge=on", e);
	/* A process may have KSM for all it maps (PR_SET_MEMORY_MERGE, Linux 6.4). EINVAL: there is no KSM anyway. */
	if (rc == 0 && o->merge == MEMORY_OFF && madvise(b->hva, b->bytes, MADV_UNMERGEABLE) < 0 &&
	    errno != EINVAL)
		rc = err_sys(e, -errno, "--memory merge=off: madvise(2)");
	if (rc == 0 && !o->dump)
		rc = advise(b, MADV_DONTDUMP, "dump=off", e);
	return rc;
}

int memory_backing_lock(const struct memory_backing *b, struct err *e)
{
	if (mlock2(b->hva, b->bytes, MLOCK_ONFAULT) == 0)
		return 0;
	return err_sys(e, -errno, "--memory lock=on: cannot lock %llu MiB; see ulimit -l",
		       (unsigned long long)(b->bytes / MIB));
}
