/*
 * snapshot=on: a new image in a file without a name, in front of one that is never written. Nothing of it is
 * to survive, so it is never synced.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The new image's clusters: header, refcount table, one refcount block, L1 table. */
enum { OVERLAY_BITS = 16, RT_CLUSTER = 1, RB_CLUSTER = 2, L1_CLUSTER = 3 };

/* A file that goes when it is closed. Returns its descriptor or a negative errno. */
static int open_unnamed(const char *dir)
{
	char *name = NULL;
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd < 0 ? -errno : fd;
	/* File systems without such files: make one with a name and take the name away. */
	if (asprintf(&name, "%s/trellis-XXXXXX", dir) < 0)
		return -ENOMEM;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	else
		unlink(name);
	free(name);
	return fd;
}

static void encode_header(uint8_t *p, uint64_t size, uint64_t l1_entries)
{
	put_be32(p, QCOW2_MAGIC);
	put_be32(p + 4, 3);
	put_be32(p + 20, OVERLAY_BITS);
	put_be64(p + 24, size);
	put_be32(p + 36, (uint32_t)l1_entries);
	put_be64(p + 40, (uint64_t)L1_CLUSTER << OVERLAY_BITS);
	put_be64(p + QCOW2_AT_RT, (uint64_t)RT_CLUSTER << OVERLAY_BITS);
	put_be32(p + 56, 1);
	put_be32(p + 96, 4); /* refcounts of 16 bits */
	put_be32(p + 100, QCOW2_HEADER_V3);
}

/* The header with both refcount structures; the L1 table is a hole, which reads as zeros. */
static int write_image(struct block_file *f, uint64_t size)
{
	uint64_t cluster = 1ull << OVERLAY_BITS, l2_span = cluster << (OVERLAY_BITS - 3);
	uint64_t l1_entries = MAX(size / l2_span + !!(size % l2_span), 1);
	uint64_t l1_clusters = (8 * l1_entries + cluster - 1) >> OVERLAY_BITS;
	uint8_t *p = calloc(3, cluster);
	int rc = p ? 0 : -ENOMEM;

	if (!rc && l1_entries > QCOW2_MAX_L1_BYTES / 8)
		rc = -EFBIG;
	if (!rc) {
		encode_header(p, size, l1_entries);
		put_be64(p + RT_CLUSTER * cluster, RB_CLUSTER * cluster);
		for (uint64_t i = 0; i < L1_CLUSTER + l1_clusters; i++)
			put_be16(p + RB_CLUSTER * cluster + 2 * i, 1);
		rc = block_file_write(f, 0, p, 3 * cluster);
	}
	f->bytes = (L1_CLUSTER + l1_clusters) << OVERLAY_BITS;
	if (!rc && ftruncate(f->fd, (off_t)f->bytes) < 0)
		rc = -errno;
	free(p);
	return rc;
}

static int make_file(struct block_file *f, uint64_t size, struct err *e)
{
	const char *dir = getenv("TMPDIR");
	int rc;

	dir = dir && *dir ? dir : "/var/tmp";
	*f = (struct block_file){ .fd = -1, .align = 1, .mem_align = 1 };
	f->fd = open_unnamed(dir);
	if (f->fd < 0) {
		rc = f->fd;
		return err_sys(e, rc,
			       "snapshot=on needs a temporary file, and none can be made in %s (TMPDIR names "
			       "another "
			       "place)",
			       dir);
	}
	if (asprintf(&f->path, "%s/(snapshot)", dir) < 0)
		f->path = NULL;
	rc = f->path ? write_image(f, size) : -ENOMEM;
	return rc ? err_sys(e, rc, "snapshot=on: cannot write a temporary file in %s", dir) : 0;
}

int qcow2_overlay(struct block_image *img, struct block_image *base, const struct block_options *o,
		  struct err *e)
{
	struct block_options overlay = *o;
	struct qcow2_header h;
	struct block_file file;
	struct qcow2 *q = NULL;
	int rc = make_file(&file, base->info.capacity_bytes, e);

	overlay.cache = CACHE_UNSAFE;
	if (!rc)
		rc = qcow2_header_read(&file, false, &h, e);
	if (rc)
		block_file_close(&file);
	else
		q = qcow2_attach(&file, &h, &overlay, false, &rc, e);
	if (!q) {
		base->ops->close(base->image);
		return rc;
	}
	q->backing = *base;
	qcow2_describe(q, img);
	return 0;
}
