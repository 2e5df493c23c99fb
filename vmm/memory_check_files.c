/*
 * path= and file=: may RAM be there? Both are looked at before they are used, and the sentences are the same when using
 * them fails. Nothing is written here.
 */
#include "vmm/memory_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "vmm/base/newfile.h"
#include "vmm/base/opt.h"

/* ---- path= ---- */

/* dir is on a hugetlbfs, whose pages are of fs->f_bsize. */
static int check_mount(const char *dir, uint64_t asked_bytes, const struct statfs *fs, struct err *e)
{
	uint64_t page_bytes = (uint64_t)fs->f_bsize;
	char is[24], asked[24];

	opt_size_text(page_bytes, is, sizeof(is));
	if (asked_bytes && asked_bytes != page_bytes)
		return err_usage(
			e,
			"--memory path=%s: this hugetlbfs has pages of %s and hugepages=%s was asked for; "
			"expected hugepages=%s, or a mount with: mount -t hugetlbfs -o pagesize=%s none %s",
			dir, is, opt_size_text(asked_bytes, asked, sizeof(asked)), is, asked, dir);
	if (access(dir, W_OK | X_OK) < 0)
		return err_set(e, -errno,
			       "--memory path=%s: no file can be made there (%s); expected a directory that "
			       "this user may write to, e.g. by: chown %u %s",
			       dir, strerror(errno), (unsigned int)geteuid(), dir);
	return 0;
}

int memory_check_path(const char *dir, uint64_t bytes, uint64_t *page_bytes, struct err *e)
{
	const char *size = *page_bytes == GIB ? "1G" : "2M";
	struct statfs fs;
	int rc;

	if (statfs(dir, &fs) < 0)
		return err_set(e, -errno,
			       "--memory path=%s: %s; expected a directory on a hugetlbfs, as made by: "
			       "mkdir -p %s && mount -t hugetlbfs -o pagesize=%s none %s",
			       dir, strerror(errno), dir, size, dir);
	if (fs.f_type != HUGETLBFS_MAGIC)
		return err_set(
			e, -EINVAL,
			"--memory path=%s: it is not on a hugetlbfs; make it one with: mount -t hugetlbfs -o "
			"pagesize=%s none %s, or leave path= out, as hugepages= needs no mount",
			dir, size, dir);
	rc = check_mount(dir, *page_bytes, &fs, e);
	if (rc < 0)
		return rc;
	*page_bytes = (uint64_t)fs.f_bsize;
	/* Of a mount without size=, either is 0 (hugetlbfs_statfs(), fs/hugetlbfs/inode.c, v6.1). */
	if (fs.f_blocks && fs.f_blocks != UINT64_MAX && bytes / *page_bytes > fs.f_bavail)
		return err_set(e, -ENOSPC,
			       "--memory path=%s: %llu pages are needed and this mount has %llu left of its "
			       "size=; give it more with: mount -o remount,size=%llu %s",
			       dir, (unsigned long long)(bytes / *page_bytes),
			       (unsigned long long)fs.f_bavail,
			       (unsigned long long)((fs.f_blocks - fs.f_bavail) * *page_bytes + bytes), dir);
	return 0;
}

/* ---- file= ---- */

static int refuse_directory(const char *path, const char *dir, int rc, struct err *e)
{
	if (rc == -ENOENT || rc == -ENOTDIR)
		return err_set(e, rc, "--memory file=%s: there is no directory %s; make it with: mkdir -p %s",
			       path, dir, dir);
	return err_sys(e, rc,
		       "--memory file=%s: no file can be made in %s; expected a directory that this user may "
		       "write to",
		       path, dir);
}

/* left: of the file system, in bytes; or UINT64_MAX: not known. */
static int refuse_full(const char *path, uint64_t need_bytes, uint64_t left, int rc, struct err *e)
{
	char some[64] = "too few";

	if (left != UINT64_MAX)
		snprintf(some, sizeof(some), "%llu MiB", (unsigned long long)(left / MIB));
	return err_set(e, rc,
		       "--memory file=%s: %llu MiB are needed and its file system has %s left; remove "
		       "something there, or choose another one (see df)",
		       path, (unsigned long long)(need_bytes / MIB), some);
}

static int refuse_kind(const char *path, struct err *e)
{
	return err_usage(
		e, "--memory file=%s: it is not a regular file; expected one, or a name that is free", path);
}

/* What a file system has left for us, and no more than a quota lets us have: only using it tells. */
static uint64_t room_bytes(const struct statfs *fs)
{
	uint64_t block_bytes = (uint64_t)(fs->f_frsize ? fs->f_frsize : fs->f_bsize);
	uint64_t blocks = geteuid() == 0 ? fs->f_bfree : fs->f_bavail;

	if (!fs->f_blocks || !block_bytes) /* a tmpfs without size= */
		return UINT64_MAX;
	return blocks > UINT64_MAX / block_bytes ? UINT64_MAX : blocks * block_bytes;
}

static int refuse_large(const char *path, uint64_t bytes, struct err *e)
{
	char size[24];

	return err_set(e, -EFBIG,
		       "--memory file=%s: no file of %s can be made there: its file system has none as "
		       "large, or the limit of this user is lower (ulimit -f)",
		       path, opt_size_text(bytes, size, sizeof(size)));
}

static int refuse_hugetlbfs(const char *path, struct err *e)
{
	return err_usage(e, "--memory file=%s: it is on a hugetlbfs; expected path= with its directory",
			 path);
}

int memory_refuse_file(const char *path, uint64_t bytes, int rc, struct err *e)
{
	struct statfs fs;
	struct stat st;
	char dir[PATH_MAX];

	if (rc != -EWOULDBLOCK && lstat(path, &st) < 0) { /* it would have been made */
		return refuse_directory(path, newfile_directory(path, dir, sizeof(dir)), rc, e);
	}
	switch (rc) {
	case -ENOENT:
		return err_set(e, rc,
			       "--memory file=%s: it is a symbolic link to nothing; remove it, or make what "
			       "it points to",
			       path);
	case -EISDIR:
	case -ENXIO:
		refuse_kind(path, e);
		return rc;
	case -EWOULDBLOCK:
		return err_set(e, rc,
			       "--memory file=%s: another guest has it, or some program has locked it; "
			       "expected a file of this guest alone (see lslocks)",
			       path);
	case -ENOSPC:
	case -EDQUOT:
		return refuse_full(path, bytes, statfs(path, &fs) < 0 ? UINT64_MAX : room_bytes(&fs), rc, e);
	case -EFBIG:
		return refuse_large(path, bytes, e);
	default:
		return err_sys(e, rc, "--memory file=%s: expected a file that this user may read and write",
			       path);
	}
}

/*
 * need_bytes  how much more of the file system is needed
 * grows       the file does, to bytes: beyond the limit that would end us (SIGXFSZ)
 */
static int check_room(const char *path, uint64_t bytes, const struct statfs *fs, uint64_t need_bytes,
		      bool grows, struct err *e)
{
	uint64_t left = room_bytes(fs);
	struct rlimit limit;

	if (grows && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	    bytes > limit.rlim_cur)
		return refuse_large(path, bytes, e);
	return need_bytes > left ? refuse_full(path, need_bytes, left, -ENOSPC, e) : 0;
}

/* The file would have to be made. */
static int check_new_file(const char *path, uint64_t bytes, struct err *e)
{
	char dir[PATH_MAX];
	struct statfs fs;

	newfile_directory(path, dir, sizeof(dir));
	if (statfs(dir, &fs) < 0 || access(dir, W_OK | X_OK) < 0)
		return refuse_directory(path, dir, -errno, e);
	if (fs.f_type == HUGETLBFS_MAGIC)
		return refuse_hugetlbfs(path, e);
	return check_room(path, bytes, &fs, bytes, true, e);
}

static int refuse_size(const char *path, uint64_t file_bytes, uint64_t bytes, struct err *e)
{
	bool usable = file_bytes >= MEMORY_MIN_BYTES && file_bytes % MEMORY_SMALL_PAGE_BYTES == 0;
	char is[24], want[24];

	opt_size_text(file_bytes, is, sizeof(is));
	return err_usage(e, "--memory file=%s: the file has %s and RAM has %s; expected %s%s%sanother file",
			 path, is, opt_size_text(bytes, want, sizeof(want)), usable ? "--memory " : "",
			 usable ? is : "", usable ? ", or " : "");
}

/* Is what we opened fit for us? */
static int check_open_file(const char *path, int fd, uint64_t bytes, struct err *e)
{
	struct statfs fs;
	struct stat st;
	uint64_t has;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return memory_refuse_file(path, bytes, -errno, e);
	if (!S_ISREG(st.st_mode))
		return refuse_kind(path, e);
	if (fs.f_type == HUGETLBFS_MAGIC)
		return refuse_hugetlbfs(path, e);
	if (st.st_size && (uint64_t)st.st_size != bytes)
		return refuse_size(path, (uint64_t)st.st_size, bytes, e);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) /* not every file system has locks */
		return memory_refuse_file(path, bytes, -EWOULDBLOCK, e);
	has = (uint64_t)st.st_blocks * 512;
	return check_room(path, bytes, &fs, bytes - MIN(has, bytes), st.st_size == 0, e);
}

int memory_check_file(const char *path, int fd, uint64_t bytes, struct err *e)
{
	struct stat st;
	int rc;

	if (fd >= 0)
		return check_open_file(path, fd, bytes, e);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* opening a device may do something */
		return refuse_kind(path, e);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	rc = fd < 0 ? -errno : 0;
	if (rc == -ENOENT && lstat(path, &st) < 0)
		return check_new_file(path, bytes, e);
	if (rc < 0)
		return memory_refuse_file(path, bytes, rc, e);
	rc = check_open_file(path, fd, bytes, e);
	close(fd); /* and the lock goes */
	return rc;
}
