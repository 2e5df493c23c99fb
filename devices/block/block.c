/* Opening and closing images: options, formats, engines. Requests are queue.c's. */
#include "devices/block/block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/queue.h"
#include "devices/block/raw.h"

/* qcow2's first bytes (QEMU docs/interop/qcow2.txt). */
static const uint8_t qcow2_magic[] = { 'Q', 'F', 'I', 0xfb };

static bool has_suffix(const char *path, const char *suffix)
{
	size_t len = strlen(path), n = strlen(suffix);

	return len > n && !strcmp(path + len - n, suffix);
}

/* Does the file begin as a qcow2 image? Files that cannot be looked at do not: whoever opens them says why. */
static bool looks_like_qcow2(const char *path)
{
	uint8_t head[sizeof(qcow2_magic)];
	struct stat st;
	bool yes;
	int fd;

	if (stat(path, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return false;
	yes = pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	      !memcmp(head, qcow2_magic, sizeof(head));
	close(fd);
	return yes;
}

/*
 * The format of an image for which none was given. The content of a disk is the guest's to write: one that
 * wrote a qcow2 header with a backing file into its raw disk would be given that file at the next start. So
 * the content decides only for what is not written, and for what is, an image in doubt is refused.
 */
static int find_format(const char *path, bool readonly, int *format, struct err *e)
{
	bool qcow2 = path && looks_like_qcow2(path);

	*format = BLOCK_RAW;
	if (readonly && qcow2)
		*format = BLOCK_QCOW2;
	if (readonly || !path)
		return 0;
	if (qcow2)
		return err_usage(
			e,
			"%s begins like a qcow2 image, but a guest may have written that into a raw one: add "
			"format=qcow2 or format=raw",
			path);
	if ((has_suffix(path, ".qcow2") || has_suffix(path, ".qcow")) && access(path, F_OK) == 0)
		return err_usage(e,
				 "%s has the name of a qcow2 image, but not its content: add format=qcow2 or "
				 "format=raw",
				 path);
	return 0;
}

int block_image_open(struct block_image *img, const char *path, int format, const struct block_options *o,
		     bool readonly, unsigned int depth, struct err *e)
{
	int rc = 0;

	if (format < 0)
		rc = find_format(path, readonly && !o->check_only, &format, e);
	if (rc < 0)
		return rc;
	switch (format) {
	case BLOCK_RAW:
		return raw_open(img, path, o, readonly, e);
	case BLOCK_QCOW2:
		return qcow2_open(img, path, o, readonly, depth, e);
	case BLOCK_NULL:
		return null_open(img, o, e);
	default:
		return err_usage(e, "unknown disk format: raw, qcow2 and null are known");
	}
}

static int check_options(const struct block_options *o, struct err *e)
{
	if (o->snapshot && o->readonly)
		return err_usage(
			e,
			"a disk is either readonly=on or snapshot=on: a snapshot is there to be written to");
	if (o->snapshot && o->format == BLOCK_NULL)
		return err_usage(
			e, "format=null keeps nothing, so there is nothing for snapshot=on to keep apart");
	return 0;
}

/* Where the disk itself is missing, and would be written, say how one is made; a backing file is another matter. */
static int none_there(int rc, const struct block_options *o, struct err *e)
{
	if (rc != -ENOENT || o->snapshot || (o->readonly && !o->check_only) || access(o->path, F_OK) == 0)
		return rc;
	return err_set(e, rc, "there is no %s; an empty disk is made with: qemu-img create -f %s %s 10G", o->path,
		       o->format == BLOCK_QCOW2 || has_suffix(o->path, ".qcow2") ? "qcow2" : "raw", o->path);
}

/*
 * A check opens the image for reading. So that it says what the opening would, the file alone is opened for writing
 * before, and locked: that changes nothing in it.
 */
static int try_writing(struct block_file *f, const struct block_options *o, struct err *e)
{
	bool direct = o->cache == CACHE_NONE || o->cache == CACHE_DIRECTSYNC;
	int rc = 0, format = o->format;

	if (format < 0)
		rc = find_format(o->path, false, &format, e);
	if (rc < 0 || format == BLOCK_NULL)
		return rc;
	return block_file_open(f, o->path, false, direct, true, e);
}

/* The image of a check has been opened: keep others away from now on as it would. */
static int hold(struct block *b, const struct block_options *o, struct err *e)
{
	b->image.ops->close(b->image.image);
	b->image.ops = NULL;
	return try_writing(&b->held, o, e);
}

static int open_images(struct block *b, const struct block_options *o, struct err *e)
{
	struct block_image base;
	int rc = o->check_only ? try_writing(&b->held, o, e) : 0;

	if (rc < 0)
		return rc;
	block_file_close(&b->held);
	if (!o->snapshot || o->check_only)
		return block_image_open(&b->image, o->path, o->format, o, o->readonly || o->check_only, 0, e);
	rc = block_image_open(&base, o->path, o->format, o, true, 1, e);
	return rc < 0 ? rc : qcow2_overlay(&b->image, &base, o, e);
}

/* io_uring where it is there, unless threads were asked for; an error only where it was asked for by name. */
static int choose_engine(struct block *b, const struct block_options *o, struct err *e)
{
	struct err why = { 0 };
	int rc;

	if (o->aio == AIO_THREADS || !b->image.file)
		return 0;
	rc = uring_check(&why);
	b->uring = rc == 0;
	b->uring_asked = o->aio == AIO_IO_URING;
	if (rc < 0 && b->uring_asked)
		return err_set(e, rc, "aio=io_uring is not to be had: %s; aio=threads works", why.text);
	return 0;
}

int block_open(struct block **b, const struct block_options *o, struct err *e)
{
	struct block *n;
	int rc;

	*b = NULL;
	rc = check_options(o, e);
	if (rc < 0)
		return rc;
	n = calloc(1, sizeof(*n));
	if (!n)
		return err_set(e, -ENOMEM, "no memory for a disk");
	n->cache = (enum block_cache)o->cache;
	n->fixed_buffers = o->fixed_buffers;
	n->label = strdup(o->label ? o->label : "disk");
	n->held.fd = -1;
	n->workers = workers_new();
	rc = n->label && n->workers ? 0 : err_set(e, -ENOMEM, "no memory for a disk");
	if (!rc)
		rc = none_there(open_images(n, o, e), o, e);
	if (!rc)
		rc = choose_engine(n, o, e);
	if (!rc && o->check_only)
		rc = hold(n, o, e);
	if (rc < 0) {
		block_close(n);
		return rc;
	}
	atomic_store(&n->capacity, n->image.info.capacity_bytes);
	*b = n;
	return 0;
}

void block_close(struct block *b)
{
	if (!b)
		return;
	workers_free(b->workers);
	if (b->image.ops)
		b->image.ops->close(b->image.image);
	block_file_close(&b->held);
	free(b->label);
	free(b);
}

void block_get_info(struct block *b, struct block_info *info)
{
	*info = b->image.info;
	info->capacity_bytes = atomic_load(&b->capacity);
}

bool block_poll_size(struct block *b)
{
	uint64_t bytes;

	return raw_capacity(&b->image, &bytes) && atomic_exchange(&b->capacity, bytes) != bytes;
}

const char *block_engine_name(const struct block *b)
{
	return b->uring ? "io_uring" : "threads";
}
