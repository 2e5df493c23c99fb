/*
 * Picks the loader for a kernel file by its first bytes, and holds what all loaders share: sentences and
 * checked writes. Knows no protocol itself.
 */
#include "firmware/boot_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

int boot_refuse(const struct boot_ctx *c, struct err *e, const char *fmt, ...)
{
	char found[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(found, sizeof(found), fmt, ap);
	va_end(ap);
	return err_set(e, -ENOEXEC, "kernel '%.256s' %s; %s", c->rq->kernel->path, found, BOOT_ACCEPTED);
}

int boot_fail(const struct boot_ctx *c, struct err *e, int rc, const char *fmt, ...)
{
	char text[480];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, rc, "kernel '%.256s' %s", c->rq->kernel->path, text);
}

int boot_put(const struct boot_ctx *c, uint64_t gpa, const void *bytes, size_t len, struct err *e)
{
	int rc = gmem_write(c->mem, gpa, bytes, len);

	if (rc < 0)
		return boot_fail(c, e, rc,
				 "needs RAM for its boot information at 0x%" PRIx64 ", where there is none",
				 gpa);
	return 0;
}

int boot_read_kernel(const struct boot_ctx *c, uint64_t off, uint64_t gpa, size_t len, struct err *e)
{
	int rc = image_read_guest(c->rq->kernel, off, c->mem, gpa, len);

	if (rc == -EFAULT)
		return boot_fail(c, e, rc, "needs RAM at 0x%" PRIx64 ", where there is none", gpa);
	if (rc < 0)
		return boot_fail(c, e, rc, "cannot be read: %s",
				 rc == -ENODATA ? "it is shorter than when it was opened" : strerror(-rc));
	return 0;
}

int boot_reserve_low(struct boot_ctx *c, struct err *e)
{
	int rc = place_reserve(&c->place, BOOT_GDT, BOOT_PAGES + 6 * BOOT_PAGE - BOOT_GDT,
			       "the boot information and page tables", e);

	if (rc < 0)
		return rc;
	return place_reserve(&c->place, BOOT_CMDLINE, BOOT_CMDLINE_BYTES, "the command line", e);
}

int boot_put_cmdline(const struct boot_ctx *c, uint64_t max, struct err *e)
{
	size_t len = strlen(c->rq->cmdline);

	max = MIN(max, BOOT_CMDLINE_BYTES - 1);
	if (len > max)
		return boot_fail(c, e, -E2BIG,
				 "takes a command line of at most %" PRIu64 " bytes, this one has %zu", max,
				 len);
	return boot_put(c, BOOT_CMDLINE, c->rq->cmdline, len + 1, e);
}

static int load_elf(struct boot_ctx *c, struct err *e)
{
	struct elf elf;
	int rc = elf_parse(c, &elf, e);

	if (rc < 0)
		return rc;
	if (elf.has_pvh)
		return pvh_load(c, &elf, e);
	if (!elf.is64)
		return boot_refuse(c, e, "is an ELF32 x86 file without a PVH note or a Multiboot header");
	if (elf.has_interp)
		return boot_refuse(c, e, "is a dynamically linked program, no kernel");
	return linux_load_elf(c, &elf, e);
}

int boot_load(const struct boot_request *rq, struct gmem *mem, struct boot_entry *entry, struct err *e)
{
	struct boot_ctx c = { .rq = rq, .mem = mem, .entry = entry };
	struct multiboot_header mb;
	char found[200];
	int rc;

	*entry = (struct boot_entry){ 0 };
	c.head_len = MIN(rq->kernel->bytes, sizeof(c.head));
	rc = image_read(rq->kernel, 0, c.head, c.head_len);
	if (rc < 0)
		return boot_fail(&c, e, rc, "cannot be read: %s", strerror(-rc));
	place_init(&c.place, rq->platform, rq->low_limit);

	if (linux_probe(&c))
		return linux_load_bzimage(&c, e);
	if (multiboot_probe(&c, &mb))
		return multiboot_load(&c, &mb, e);
	if (elf_probe(&c))
		return load_elf(&c, e);
	foreign_describe(&c, found, sizeof(found));
	return boot_refuse(&c, e, "%s", found);
}
