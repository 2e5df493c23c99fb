/*
 * Keeping others away from an image, and us from theirs: the bytes that QEMU locks (block/file-posix.c, v7.2).
 * Nobody reads or writes them; their locks alone have a meaning.
 *
 *   byte 100 + n is read-locked: I use permission n
 *   byte 200 + n is read-locked: nobody else may use permission n
 *
 * One takes one's locks first and then looks for those of others that forbid it, so of two that come at the
 * same moment both may give up, but never do both go on.
 */
#include "devices/block/file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "vmm/base/log.h"

enum { USED_BASE = 100, KEPT_BASE = 200, NR_PERMISSIONS = 4 };
enum { LOCK_TRIES = 12, LOCK_WAIT_MS = 25 };
enum { CONSISTENT_READ = 1 << 0, WRITE = 1 << 1, WRITE_UNCHANGED = 1 << 2, RESIZE = 1 << 3 };

static int lock_byte(int fd, int command, short type, unsigned int byte, bool *taken)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	if (fcntl(fd, command, &fl) < 0)
		return -errno;
	*taken = command == F_OFD_GETLK && fl.l_type != F_UNLCK;
	return 0;
}

/* Lock or (command F_OFD_GETLK) ask for the bytes at base of all permissions in mask. */
static int lock_bytes(int fd, int command, short type, unsigned int base, unsigned int mask, bool *taken)
{
	*taken = false;
	for (unsigned int n = 0; n < NR_PERMISSIONS && !*taken; n++) {
		int rc = mask & 1u << n ? lock_byte(fd, command, type, base + n, taken) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int file_busy(const struct block_file *f, struct err *e)
{
	if (f->readonly)
		return err_set(
			e, -EBUSY,
			"%s is being written by another process (trellis, QEMU, qemu-img or qemu-nbd) or another "
			"--disk, so it cannot be read consistently; end that one first",
			f->path);
	return err_set(e, -EBUSY,
		       "%s is in use by another process (trellis, QEMU, qemu-img or qemu-nbd) or another --disk; "
		       "end that one first, or give each its own overlay: qemu-img create -f qcow2 -b IMAGE "
		       "-F FORMAT OVERLAY",
		       f->path);
}

/* Returns whether somebody forbids it; or a negative errno: no such locks here. */
static int file_try_lock(const struct block_file *f)
{
	unsigned int used = f->readonly ? CONSISTENT_READ : CONSISTENT_READ | WRITE | RESIZE;
	unsigned int kept = WRITE | RESIZE;
	bool taken;
	int rc;

	/* Read locks do not exclude each other, and need no right to write. */
	rc = lock_bytes(f->fd, F_OFD_SETLK, F_RDLCK, USED_BASE, used, &taken);
	if (!rc)
		rc = lock_bytes(f->fd, F_OFD_SETLK, F_RDLCK, KEPT_BASE, kept, &taken);
	if (rc == -EAGAIN || rc == -EACCES)
		return 1; /* somebody has a write lock, as QEMU never does */
	if (!rc)
		rc = lock_bytes(f->fd, F_OFD_GETLK, F_WRLCK, USED_BASE, kept, &taken);
	if (!rc && !taken)
		rc = lock_bytes(f->fd, F_OFD_GETLK, F_WRLCK, KEPT_BASE, used, &taken);
	return rc < 0 ? rc : taken;
}

int file_lock(const struct block_file *f, struct err *e)
{
	int rc = file_try_lock(f);

	/*
	 * The io_uring of a process that was just killed keeps its files for some milliseconds more, and their
	 * locks. Ours are let go of meanwhile, so that two who wait do not wait for each other.
	 */
	for (unsigned int i = 0; i < LOCK_TRIES && rc > 0; i++) {
		file_unlock(f);
		(void)poll(NULL, 0, LOCK_WAIT_MS);
		rc = file_try_lock(f);
	}
	if (rc > 0)
		return file_busy(f, e);
	if (rc < 0)
		log_warn("%s cannot be locked (%s): nothing keeps other processes away from it", f->path,
			 strerror(-rc));
	return 0;
}

/* Closing alone might leave the locks where an io_uring has the file for a moment longer. */
void file_unlock(const struct block_file *f)
{
	struct flock fl = {
		.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = USED_BASE, .l_len = KEPT_BASE
	};

	if (f->fd >= 0)
		(void)fcntl(f->fd, F_OFD_SETLK, &fl); /* where it fails there were none */
}
