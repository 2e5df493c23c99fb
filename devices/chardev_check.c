/*
 * Whether a byte stream can be opened, asked without opening it, and the sentences when it cannot, which
 * chardev_open.c has, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/chardev_internal.h"
#include "vmm/base/newfile.h"

/* ---- the sentences ---- */

int chardev_refuse_writing(int rc, const char *label, const char *path, struct err *e)
{
	return err_sys(e, rc, "%s: cannot open %s for writing", label, path);
}

int chardev_refuse_busy(const char *label, const char *path, struct err *e)
{
	return err_set(e, -EBUSY, "%s: another program writes to %s; give each guest a file of its own",
		       label, path);
}

int chardev_refuse_pty(int rc, const char *label, struct err *e)
{
	return err_sys(e, rc, "%s: cannot make a pseudo-terminal", label);
}

int chardev_refuse_long(const char *label, const char *path, struct err *e)
{
	return err_set(e, -ENAMETOOLONG,
		       "%s: the socket path %s is longer than the %zu bytes that Linux takes", label, path,
		       sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
}

int chardev_refuse_taken(const char *label, const char *path, struct err *e)
{
	return err_set(
		e, -EADDRINUSE,
		"%s: %s is there already, and it is no socket or another program listens at it; give each "
		"guest a path of its own",
		label, path);
}

int chardev_refuse_listening(int rc, const char *label, const char *path, struct err *e)
{
	return err_sys(e, rc, "%s: cannot listen at %s", label, path);
}

/* ---- files ---- */

/* Has another program the lock? Only files that are there and that we may write have one to look at. */
static int check_lock(const struct chardev_wish *w, struct err *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(w->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY), rc = 0;

	if (fd < 0)
		return chardev_refuse_writing(-errno, w->label, w->path, e);
	if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		rc = chardev_refuse_busy(w->label, w->path, e);
	close(fd);
	return rc;
}

static int check_file(const struct chardev_wish *w, struct err *e)
{
	struct stat st;
	int rc = 0;

	if (stat(w->path, &st) == 0 && S_ISREG(st.st_mode))
		return check_lock(w, e);
	/* Opening a pipe would be seen at its other end, and opening a terminal can move a modem's lines. */
	if (stat(w->path, &st) == 0)
		rc = S_ISDIR(st.st_mode) ? -EISDIR : access(w->path, W_OK) < 0 ? -errno : 0;
	else
		rc = errno == ENOENT ? newfile_check(w->path) : -errno;
	return rc < 0 ? chardev_refuse_writing(rc, w->label, w->path, e) : 0;
}

/* Will a stream before this one have locked the file, or listen at the socket? */
static bool is_taken_before(const struct chardev_wish *w, unsigned int i)
{
	struct stat st;

	if (w[i].kind == CHARDEV_FILE && stat(w[i].path, &st) == 0 && !S_ISREG(st.st_mode))
		return false; /* /dev/null is for all */
	for (unsigned int k = 0; k < i; k++)
		if (w[k].kind == w[i].kind && w[k].path && !strcmp(w[k].path, w[i].path))
			return true;
	return false;
}

/* ---- the others ---- */

static int check_pty(const struct chardev_wish *w, struct err *e)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return chardev_refuse_pty(-errno, w->label, e);
	close(fd);
	return 0;
}

/*
 * Has nobody the socket open? A datagram socket is connected: one of another type refuses it and never knows, but
 * first it has to be there (net/unix/af_unix.c, v6.1, unix_find_bsd()).
 */
static bool is_left_over(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool nobody = fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
		      errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return nobody;
}

static int check_unix(const struct chardev_wish *w, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int rc;

	if (strlen(w->path) >= sizeof(addr.sun_path))
		return chardev_refuse_long(w->label, w->path, e);
	strcpy(addr.sun_path, w->path);
	if (lstat(w->path, &st) < 0) {
		rc = errno == ENOENT ? newfile_check(w->path) : -errno;
		return rc < 0 ? chardev_refuse_listening(rc, w->label, w->path, e) : 0;
	}
	/* A leftover is replaced, where it can be removed. */
	if (!S_ISSOCK(st.st_mode) || !is_left_over(&addr) || newfile_check(w->path) < 0)
		return chardev_refuse_taken(w->label, w->path, e);
	return 0;
}

int chardev_check(const struct chardev_wish *w, unsigned int i, struct err *e)
{
	switch (w[i].kind) {
	case CHARDEV_STDIO:
		return 0;
	case CHARDEV_FILE:
		if (is_taken_before(w, i))
			return chardev_refuse_busy(w[i].label, w[i].path, e);
		return check_file(&w[i], e);
	case CHARDEV_PTY:
		return check_pty(&w[i], e);
	case CHARDEV_UNIX:
		if (is_taken_before(w, i))
			return chardev_refuse_taken(w[i].label, w[i].path, e);
		return check_unix(&w[i], e);
	}
	return 0;
}
