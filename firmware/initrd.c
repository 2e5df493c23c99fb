/*
 * Initial RAM disks for Linux: joined into one, high in RAM. Linux unpacks what follows another archive at
 * a multiple of 4 (Documentation/driver-api/early-userspace/buffer-format.rst, v6.12). For Multiboot
 * the same files are modules, which is multiboot.c's business.
 */
#include "firmware/boot_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* The sum of all, padded; -EFBIG for what can never fit. */
static int sum_bytes(const struct boot_ctx *c, uint64_t *total, struct err *e)
{
	*total = 0;
	for (unsigned int i = 0; i < c->rq->nr_initrds; i++) {
		const struct image *img = &c->rq->initrds[i];

		if (img->bytes > 4 * GIB || *total + align_up(img->bytes, 4) > 4 * GIB)
			return err_set(e, -EFBIG,
				       "initrd '%.256s' of %" PRIu64 " bytes is too large: all must fit"
				       " below 4 GiB",
				       img->path, img->bytes);
		*total += align_up(img->bytes, 4);
	}
	return 0;
}

static int read_one(const struct boot_ctx *c, const struct image *img, uint64_t gpa, struct err *e)
{
	int rc = image_read_guest(img, 0, c->mem, gpa, img->bytes);

	if (!rc)
		rc = gmem_zero(c->mem, gpa + img->bytes, align_up(img->bytes, 4) - img->bytes);
	if (rc == -EFAULT)
		return err_set(e, rc, "initrd '%.256s' needs RAM at 0x%" PRIx64 ", where there is none",
			       img->path, gpa);
	if (rc < 0)
		return err_set(e, rc, "initrd '%.256s' cannot be read: %s", img->path,
			       rc == -ENODATA ? "it is shorter than when it was opened" : strerror(-rc));
	return 0;
}

int initrd_load(struct boot_ctx *c, uint64_t ceiling, struct place_span *where, struct err *e)
{
	uint64_t total, at, gpa;
	char ram[160];
	int rc;

	*where = (struct place_span){ 0 };
	if ((rc = sum_bytes(c, &total, e)) < 0 || !total)
		return rc;
	if (place_highest(&c->place, total, BOOT_PAGE, MIB, ceiling, &at) < 0) {
		place_describe_ram(&c->place, ram, sizeof(ram));
		return err_set(e, -ENOSPC,
			       "initrd '%.256s'%s of %" PRIu64
			       " bytes does not fit into RAM beside the kernel,"
			       " below 0x%" PRIx64 " (free RAM to load to is %s)",
			       c->rq->initrds[0].path, c->rq->nr_initrds > 1 ? " and the others," : "", total,
			       ceiling, ram);
	}
	if ((rc = place_claim(&c->place, at, total, "the initrd", e)) < 0)
		return rc;
	gpa = at;
	for (unsigned int i = 0; i < c->rq->nr_initrds; i++) {
		if ((rc = read_one(c, &c->rq->initrds[i], gpa, e)) < 0)
			return rc;
		gpa += align_up(c->rq->initrds[i].bytes, 4);
	}
	*where = (struct place_span){ at, total, "the initrd" };
	return 0;
}
