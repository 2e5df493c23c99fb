/*
 * Opening a file or block device, and what the host says about it. Everything that makes one unfit for a
 * disk is found here and has its sentence; nothing is changed in it.
 */
#include "devices/block/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
	ALIGN_GUESS = 4096, /* when nobody knows: right for every disk sold */
	ALIGN_MAX = 65536,
	PHYSICAL_MAX = 65536,
};

static const char *kind_text(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket";
	case S_IFCHR:
		return "a character device";
	default:
		return "neither file nor block device";
	}
}

static int check_kind(const char *path, const struct stat *st, struct err *e)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	return err_set(e, S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL,
		       "%s is %s; a disk needs a file or a block device", path, kind_text(st->st_mode));
}

static bool can_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static int open_failed(int rc, const char *path, bool readonly, bool direct, struct err *e)
{
	switch (rc) {
	case -ENOENT:
		return err_set(e, rc, "there is no %s", path);
	case -EACCES:
	case -EPERM:
		if (!readonly && can_read(path))
			return err_set(
				e, rc,
				"no permission to write %s; a disk that is only to be read needs readonly=on",
				path);
		return err_set(e, rc, "no permission to read %s; ls -l %s tells who may", path, path);
	case -EROFS:
		return err_set(e, rc, "%s lies on a read-only file system; give readonly=on, or snapshot=on",
			       path);
	case -EINVAL:
		if (direct)
			break;
		return err_sys(e, rc, "cannot open %s", path);
	default:
		return err_sys(e, rc, "cannot open %s", path);
	}
	return err_set(e, -EOPNOTSUPP,
		       "cache=none and cache=directsync need a file system with direct I/O, which that of %s "
		       "is not; use "
		       "cache=writeback",
		       path);
}

/* Look before opening: opening a pipe waits, and opening a tape rewinds it. */
static int file_open_fd(struct block_file *f, bool direct, struct err *e)
{
	int flags = (f->readonly ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0) | O_CLOEXEC | O_NOCTTY;
	struct stat st;
	int rc;

	if (stat(f->path, &st) < 0)
		return open_failed(-errno, f->path, f->readonly, direct, e);
	rc = check_kind(f->path, &st, e);
	if (rc < 0)
		return rc;
	f->fd = open(f->path, flags);
	if (f->fd < 0)
		return open_failed(-errno, f->path, f->readonly, direct, e);
	if (fstat(f->fd, &st) < 0)
		return err_sys(e, -errno, "cannot look at %s", f->path);
	f->device = S_ISBLK(st.st_mode);
	f->direct = direct;
	return check_kind(f->path, &st, e); /* again: somebody may have swapped it */
}

static int file_check_device(const struct block_file *f, struct err *e)
{
	int readonly = 0;

	if (f->device && !f->readonly && ioctl(f->fd, BLKROGET, &readonly) == 0 && readonly)
		return err_set(e, -EROFS, "the device %s is read-only; give readonly=on, or snapshot=on",
			       f->path);
	return 0;
}

/* Does a direct read of so many bytes work? Nothing is written, and no content is needed. */
static int probe_read(int fd, size_t bytes)
{
	void *buf = NULL;
	int rc = 0;

	if (posix_memalign(&buf, ALIGN_GUESS, bytes))
		return -ENOMEM;
	if (pread(fd, buf, bytes, 0) < 0)
		rc = -errno;
	free(buf);
	return rc;
}

static bool align_usable(uint32_t align)
{
	return align && align <= ALIGN_MAX && !(align & (align - 1));
}

/* statx(2), then the device's sector, then trying. */
static int file_find_align(struct block_file *f, struct err *e)
{
	int sector = 0;
	int rc;

	f->align = f->mem_align = 1;
	if (!f->direct)
		return 0;
	rc = file_statx_align(f->fd, &f->align, &f->mem_align);
	if (rc == -EOPNOTSUPP)
		return open_failed(-EINVAL, f->path, f->readonly, true, e);
	if (rc < 0 && f->device && ioctl(f->fd, BLKSSZGET, &sector) == 0)
		f->align = f->mem_align = (uint32_t)sector;
	else if (rc < 0)
		f->align = f->mem_align = probe_read(f->fd, BLOCK_SECTOR) == 0 ? BLOCK_SECTOR : ALIGN_GUESS;
	if (!align_usable(f->align))
		f->align = ALIGN_GUESS;
	if (!align_usable(f->mem_align))
		f->mem_align = f->align;
	f->align = MAX(f->align, BLOCK_SECTOR);
	rc = probe_read(f->fd, f->align);
	return rc < 0 ? err_sys(e, rc, "cannot read %s", f->path) : 0;
}

int block_file_size(const struct block_file *f, uint64_t *bytes)
{
	struct stat st;

	if (f->device)
		return ioctl(f->fd, BLKGETSIZE64, bytes) < 0 ? -errno : 0;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	*bytes = (uint64_t)st.st_size;
	return 0;
}

int block_file_open(struct block_file *f, const char *path, bool readonly, bool direct, bool lock,
		    struct err *e)
{
	int rc;

	*f = (struct block_file){ .fd = -1, .readonly = readonly, .align = 1, .mem_align = 1 };
	if (!path || !*path)
		return err_usage(
			e,
			"the path of the disk is empty; give a file or a block device, e.g. path=disk.img");
	f->path = strdup(path);
	if (!f->path)
		return err_set(e, -ENOMEM, "no memory for the name of a disk");
	if ((rc = file_open_fd(f, direct, e)) < 0 || (rc = file_check_device(f, e)) < 0 ||
	    (lock && (rc = file_lock(f, e)) < 0) || (rc = file_find_align(f, e)) < 0)
		goto fail;
	rc = block_file_size(f, &f->bytes);
	if (rc < 0) {
		err_sys(e, rc, "cannot find the size of %s", path);
		goto fail;
	}
	if (direct && !readonly && !(f->spans = spans_new())) {
		rc = err_set(e, -ENOMEM, "no memory for the disk %s", path);
		goto fail;
	}
	return 0;
fail:
	block_file_close(f);
	return rc;
}

void block_file_close(struct block_file *f)
{
	file_unlock(f);
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	spans_free(f->spans);
	*f = (struct block_file){ .fd = -1 };
}

/*
 * The granularity of discards on a block device, from /sys (Documentation/ABI/stable/sysfs-block, v6.1); a
 * partition has its disk's.
 */
static uint32_t device_discard_bytes(const struct block_file *f)
{
	static const char *const where[] = { "queue", "../queue" };
	struct stat st;
	char name[96];
	unsigned long long max = 0, bytes = 0;

	if (fstat(f->fd, &st) < 0)
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(where) && !bytes; i++) {
		for (unsigned int j = 0; j < 2; j++) {
			FILE *file;

			snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/%s/%s", major(st.st_rdev),
				 minor(st.st_rdev), where[i],
				 j ? "discard_granularity" : "discard_max_bytes");
			file = fopen(name, "re");
			if (!file)
				continue;
			if (fscanf(file, "%llu", j ? &bytes : &max) != 1)
				bytes = 0;
			fclose(file);
		}
	}
	return max && bytes <= UINT32_MAX ? (uint32_t)bytes : 0;
}

/* Does the file system punch holes? Asked behind the end of the file, where there is nothing to lose. */
static uint32_t file_discard_bytes(const struct block_file *f, const struct stat *st)
{
	uint32_t block =
		st->st_blksize > 0 && st->st_blksize <= PHYSICAL_MAX ? (uint32_t)st->st_blksize : ALIGN_GUESS;
	uint64_t behind;

	if (f->bytes > INT64_MAX - 4 * (uint64_t)block)
		return 0;
	behind = (f->bytes / block + 2) * block;
	if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)behind, block) < 0)
		return 0;
	return block;
}

/* The largest power of two up to v, but 512 to PHYSICAL_MAX. */
static uint32_t block_size_of(uint64_t v)
{
	uint32_t bytes = BLOCK_SECTOR;

	while (bytes < PHYSICAL_MAX && bytes * 2ull <= v)
		bytes *= 2;
	return bytes;
}

/*
 * A file is a disk with sectors of 512 bytes whatever lies below it: what its partition table counts in must
 * not depend on the cache mode or on where the file was copied. A device keeps its own sectors.
 */
void block_file_get_info(const struct block_file *f, bool discard, struct block_info *info)
{
	unsigned int physical = 0, opt = 0;
	int sector = 0;
	struct stat st;

	*info = (struct block_info){ .logical_bytes = BLOCK_SECTOR, .physical_bytes = BLOCK_SECTOR };
	if (fstat(f->fd, &st) < 0)
		return;
	if (!f->device) {
		info->physical_bytes =
			block_size_of(st.st_blksize > 0 ? (uint64_t)st.st_blksize : BLOCK_SECTOR);
		info->physical_bytes = MAX(info->physical_bytes, f->align);
		info->discard_bytes = discard && !f->readonly ? file_discard_bytes(f, &st) : 0;
		return;
	}
	if (ioctl(f->fd, BLKSSZGET, &sector) == 0 && sector > 0)
		info->logical_bytes = block_size_of((uint64_t)sector);
	if (ioctl(f->fd, BLKPBSZGET, &physical) == 0)
		info->physical_bytes = MAX(block_size_of(physical), info->logical_bytes);
	if (ioctl(f->fd, BLKIOOPT, &opt) == 0)
		info->opt_io_bytes = opt;
	info->discard_bytes = discard && !f->readonly ? device_discard_bytes(f) : 0;
}
