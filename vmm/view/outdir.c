/* Directories of output. Names are looked up relative to open directories, so that nobody can swap them under us. */
#include "vmm/view/outdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* A directory's entries; NULL with errno set. fd stays the caller's. */
static DIR *list(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;

	if (!d && copy >= 0)
		close(copy);
	return d;
}

/* Call each(fd, name, ctx) for every entry. Returns 0, or the first result that is not. */
static int walk(int fd, int (*each)(int fd, const char *name, void *ctx), void *ctx)
{
	struct dirent *entry;
	DIR *d = list(fd);
	int rc = 0;

	if (!d)
		return -errno;
	while (rc == 0 && (errno = 0, entry = readdir(d)))
		if (!is_dot(entry->d_name))
			rc = each(fd, entry->d_name, ctx);
	if (rc == 0 && errno)
		rc = -errno;
	closedir(d);
	return rc;
}

static bool holds(int fd, const char *name)
{
	struct stat st;

	return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int found_one(int fd, const char *name, void *ctx)
{
	(void)fd;
	(void)name;
	(void)ctx;
	return 1;
}

/* Is there anything that we must not write over? */
static int check_target(const struct outdir *d, struct err *e)
{
	int fd = open(d->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && errno == ENOTDIR)
		return err_usage(e, "%s is not a directory; give a new or an empty one", d->target);
	if (fd < 0)
		return err_sys(e, -errno, "cannot open %s", d->target);
	rc = walk(fd, found_one, NULL);
	if (rc == 1 && holds(fd, d->marker))
		rc = 0;
	close(fd);
	if (rc < 0)
		return err_sys(e, rc, "cannot read %s", d->target);
	return rc ? err_usage(
			    e,
			    "%s holds files, and no %s of an earlier dump; give a new or an empty directory",
			    d->target, d->marker)
		  : 0;
}

int outdir_begin(struct outdir *d, const char *dir, const char *marker, bool (*ours)(const char *name),
		 struct err *e)
{
	size_t len = strlen(dir);
	int rc;

	*d = (struct outdir){ .marker = marker, .ours = ours, .fd = -1 };
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (!len)
		return err_usage(e, "the directory to write to has no name");
	d->target = strndup(dir, len);
	if (!d->target)
		return err_set(e, -ENOMEM, "out of memory");
	rc = check_target(d, e);
	if (rc < 0)
		return rc;
	if (asprintf(&d->fresh, "%s.new-XXXXXX", d->target) < 0) {
		d->fresh = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	if (!mkdtemp(d->fresh)) {
		rc = -errno;
		free(d->fresh);
		d->fresh = NULL;
		return err_sys(e, rc, "cannot make a directory beside %s", d->target);
	}
	d->fd = open(d->fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->fd >= 0 ? 0 : err_sys(e, -errno, "cannot open %s", d->fresh);
}

int outdir_put(struct outdir *d, const char *name, void (*fill)(FILE *f, const void *ctx), const void *ctx,
	       struct err *e)
{
	int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	int rc = 0;

	if (!f) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return err_sys(e, rc, "cannot make %s in %s", name, d->target);
	}
	errno = 0;
	fill(f, ctx);
	if (ferror(f)) /* the write that failed, and those after it, left their reason */
		rc = errno ? -errno : -EIO;
	if (fclose(f) != 0 && rc == 0)
		rc = -errno;
	return rc < 0 ? err_sys(e, rc, "cannot write %s in %s", name, d->target) : 0;
}

/* What both of the following need. */
struct move {
	struct outdir *d;
	int target;
};

static int remove_stale(int fd, const char *name, void *ctx)
{
	const struct move *m = ctx;

	if (!m->d->ours(name) || holds(m->d->fd, name))
		return 0;
	return unlinkat(fd, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

static int move_one(int fd, const char *name, void *ctx)
{
	const struct move *m = ctx;

	return renameat(fd, name, m->target, name) == 0 ? 0 : -errno;
}

int outdir_commit(struct outdir *d, struct err *e)
{
	struct move m = { .d = d };
	mode_t mask = umask(0);
	int rc;

	umask(mask);
	if (fchmod(d->fd, 0777 & ~mask) < 0) /* mkdtemp() leaves it to the owner alone */
		return err_sys(e, -errno, "cannot open %s to readers", d->fresh);
	if (rename(d->fresh, d->target) == 0) { /* it is new, or was empty */
		free(d->fresh);
		d->fresh = NULL;
		return 0;
	}
	m.target = open(d->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m.target < 0)
		return err_sys(e, -errno, "cannot open %s", d->target);
	rc = walk(m.target, remove_stale, &m);
	if (rc == 0)
		rc = walk(d->fd, move_one, &m);
	close(m.target);
	return rc < 0 ? err_sys(e, rc, "cannot replace the files in %s", d->target) : 0;
}

static int remove_one(int fd, const char *name, void *ctx)
{
	(void)ctx;
	unlinkat(fd, name, 0);
	return 0;
}

void outdir_drop(struct outdir *d)
{
	if (d->fd >= 0) {
		if (d->fresh)
			(void)walk(d->fd, remove_one, NULL);
		close(d->fd);
	}
	if (d->fresh)
		rmdir(d->fresh);
	free(d->fresh);
	free(d->target);
	*d = (struct outdir){ .fd = -1 };
}
