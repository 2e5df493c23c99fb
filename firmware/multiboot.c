/*
 * Multiboot 1 (Multiboot Specification 0.6.96): kernels as ELF or by address fields, with modules. No
 * video modes, no drives, no APM: the information block says so by its flags.
 */
#include "firmware/multiboot.h"

#include <errno.h>
#include <inttypes.h>

#define HEADER_MAGIC 0x1badb002u /* 3.1.1 */

/* Header flags (3.1.2). Bits 3 to 15 are requirements unknown to us; from 17 on may be ignored. */
#define NEED_PAGE_ALIGNED 0x00000001u /* we always do */
#define NEED_MEMORY       0x00000002u /* we always do */
#define NEED_VIDEO        0x00000004u /* there is no display: ignored, and no mode reported */
#define HAS_ADDRESSES     0x00010000u
#define NEEDS_UNKNOWN     0x0000fff8u

/* The information block (3.3). */
#define INFO_HAS_MEMORY   (1u << 0)
#define INFO_HAS_CMDLINE  (1u << 2)
#define INFO_HAS_MODULES  (1u << 3)
#define INFO_HAS_SECTIONS (1u << 5)
#define INFO_HAS_MMAP     (1u << 6)
#define INFO_HAS_NAME     (1u << 9)

enum {
	HEADER_BYTES = 12,         /* magic, flags, checksum */
	HEADER_ADDRESS_BYTES = 32, /* and the address fields */

	INFO_FLAGS = 0,
	INFO_MEM_LOWER = 4, /* KiB */
	INFO_MEM_UPPER = 8,
	INFO_CMDLINE = 16,
	INFO_MODS_COUNT = 20,
	INFO_MODS_ADDR = 24,
	INFO_SYMS = 28, /* num, size, addr, shndx */
	INFO_MMAP_LENGTH = 44,
	INFO_MMAP_ADDR = 48,
	INFO_LOADER_NAME = 64,
	INFO_BYTES = 120,

	MODULE_BYTES = 16,
	MODULE_STRING = 8,
	MMAP_ENTRY_SIZE = 20, /* what an entry says of itself: without the size field */
};

/* What was loaded besides the image. */
struct parts {
	uint64_t modules_gpa;
	struct multiboot_sections sections;
};

bool multiboot_probe(const struct boot_ctx *c, struct multiboot_header *h)
{
	for (size_t off = 0; off + HEADER_BYTES <= c->head_len; off += 4) {
		const uint8_t *p = c->head + off;
		uint32_t flags = get_le32(p + 4);

		if (get_le32(p) != HEADER_MAGIC || (uint32_t)(HEADER_MAGIC + flags + get_le32(p + 8)))
			continue;
		*h = (struct multiboot_header){ .offset = (uint32_t)off, .flags = flags };
		h->complete = off + HEADER_ADDRESS_BYTES <= c->head_len;
		if (h->complete) {
			h->header_addr = get_le32(p + 12);
			h->load_addr = get_le32(p + 16);
			h->load_end_addr = get_le32(p + 20);
			h->bss_end_addr = get_le32(p + 24);
			h->entry_addr = get_le32(p + 28);
		}
		return true;
	}
	return false;
}

/* 3.1.3: the fields say which part of the file goes where; the ELF header, if any, is not looked at. */
static int load_by_addresses(struct boot_ctx *c, const struct multiboot_header *h, struct err *e)
{
	uint64_t bytes = c->rq->kernel->bytes, file_off, load_bytes, mem_bytes;
	int rc;

	if (!h->complete)
		return boot_refuse(c, e, "is a truncated Multiboot kernel: its header at 0x%x is cut off",
				   h->offset);
	if (h->load_addr > h->header_addr || h->header_addr - h->load_addr > h->offset)
		return boot_refuse(
			c, e,
			"is a damaged Multiboot kernel: load_addr 0x%x does not fit header_addr 0x%x and"
			" the header at 0x%x in the file",
			h->load_addr, h->header_addr, h->offset);
	file_off = h->offset - (h->header_addr - h->load_addr);
	load_bytes = bytes - file_off; /* load_end_addr 0: all of the file */
	if (h->load_end_addr) {
		if (h->load_end_addr <= h->load_addr)
			return boot_refuse(
				c, e,
				"is a damaged Multiboot kernel: load_end_addr 0x%x is not above load_addr"
				" 0x%x",
				h->load_end_addr, h->load_addr);
		load_bytes = h->load_end_addr - h->load_addr;
	}
	if (!range_ok(file_off, load_bytes, bytes))
		return boot_refuse(c, e,
				   "is a truncated Multiboot kernel: 0x%" PRIx64 " bytes at 0x%" PRIx64
				   " to load, the"
				   " file has 0x%" PRIx64,
				   load_bytes, file_off, bytes);
	mem_bytes = load_bytes;
	if (h->bss_end_addr) {
		if (h->bss_end_addr < h->load_addr + load_bytes)
			return boot_refuse(
				c, e,
				"is a damaged Multiboot kernel: bss_end_addr 0x%x is below the end of what is"
				" loaded, 0x%" PRIx64,
				h->bss_end_addr, h->load_addr + load_bytes);
		mem_bytes = h->bss_end_addr - h->load_addr;
	}
	if (h->entry_addr < h->load_addr || h->entry_addr - h->load_addr >= mem_bytes)
		return boot_refuse(
			c, e, "is a damaged Multiboot kernel: entry_addr 0x%x is outside of what is loaded",
			h->entry_addr);
	if ((rc = place_claim(&c->place, h->load_addr, mem_bytes, "the kernel", e)) < 0) {
		err_prefix(e, "kernel '%.256s': cannot load the Multiboot image", c->rq->kernel->path);
		return rc;
	}
	if ((rc = boot_read_kernel(c, file_off, h->load_addr, load_bytes, e)) < 0)
		return rc;
	if (gmem_zero(c->mem, h->load_addr + load_bytes, mem_bytes - load_bytes) < 0)
		return boot_fail(c, e, -EFAULT, "needs RAM at 0x%x, where there is none", h->load_addr);
	c->entry->rip = h->entry_addr;
	c->entry->what = "Multiboot image";
	return 0;
}

static int load_elf(struct boot_ctx *c, struct elf *elf, struct err *e)
{
	int rc;

	if (!elf_probe(c))
		return boot_refuse(
			c, e, "has a Multiboot header without address fields (flag 16), and is no ELF file");
	if ((rc = elf_parse(c, elf, e)) < 0 || (rc = elf_entry(c, elf, &c->entry->rip, e)) < 0 ||
	    (rc = elf_load(c, elf, e)) < 0)
		return rc;
	c->entry->what = elf->is64 ? "Multiboot ELF64" : "Multiboot ELF32";
	return 0;
}

int multiboot_place_above(struct boot_ctx *c, uint64_t len, const char *name, uint64_t *gpa)
{
	uint64_t end = MIB;

	for (unsigned int i = 0; i < c->place.nr_taken; i++)
		end = MAX(end, c->place.taken[i].start + c->place.taken[i].len);
	if (place_lowest(&c->place, len, BOOT_PAGE, end, UINT64_MAX, gpa) < 0 &&
	    place_lowest(&c->place, len, BOOT_PAGE, MIB, UINT64_MAX, gpa) < 0)
		return -ENOSPC;
	return place_claim(&c->place, *gpa, len, name, NULL);
}

/* All modules in one piece, each from a page boundary, whether the header asks for that (flag 0) or not. */
static int load_modules(struct boot_ctx *c, uint64_t *gpa, struct err *e)
{
	const struct boot_request *rq = c->rq;
	uint64_t total = 0, at;
	int rc;

	*gpa = 0;
	for (unsigned int i = 0; i < rq->nr_initrds; i++) {
		if (rq->initrds[i].bytes > 4 * GIB || total > 4 * GIB)
			return err_set(e, -EFBIG,
				       "module '%.256s' of %" PRIu64 " bytes is too large: all must fit below"
				       " 4 GiB",
				       rq->initrds[i].path, rq->initrds[i].bytes);
		total += align_up(rq->initrds[i].bytes, BOOT_PAGE);
	}
	if (!total)
		return 0;
	if (multiboot_place_above(c, total, "a module", gpa) < 0) {
		char ram[160];

		place_describe_ram(&c->place, ram, sizeof(ram));
		return err_set(e, -ENOSPC,
			       "module '%.256s'%s: 0x%" PRIx64 " bytes do not fit into RAM beside the kernel"
			       " (free RAM to load to is %s)",
			       rq->initrds[0].path, rq->nr_initrds > 1 ? " and the others" : "", total, ram);
	}
	at = *gpa;
	for (unsigned int i = 0; i < rq->nr_initrds; i++) {
		rc = image_read_guest(&rq->initrds[i], 0, c->mem, at, rq->initrds[i].bytes);
		if (rc < 0)
			return err_set(e, rc, "module '%.256s' cannot be loaded to 0x%" PRIx64 ": %s",
				       rq->initrds[i].path, at,
				       rc == -ENODATA ? "it is shorter than when it was opened"
						      : strerror(-rc));
		at += align_up(rq->initrds[i].bytes, BOOT_PAGE);
	}
	return 0;
}

/* KiB of RAM from start up to the first hole; neighbouring ranges count as one. */
static uint32_t kib_from(const struct platform *p, uint64_t start)
{
	uint64_t end = start;

	for (unsigned int i = 0; i < MIN(p->nr_map, (unsigned int)PLATFORM_MAX_RANGES); i++) {
		const struct mem_range *r = &p->map[i];

		if (r->type == MEM_RAM && r->start <= end && end - r->start < r->len)
			end = r->start + r->len;
	}
	return (uint32_t)MIN((end - start) / KIB, (uint64_t)UINT32_MAX);
}

static void put_mmap(const struct boot_ctx *c, struct buf *b, uint64_t base)
{
	const struct platform *p = c->rq->platform;
	size_t at = b->len;

	for (unsigned int i = 0; i < MIN(p->nr_map, (unsigned int)PLATFORM_MAX_RANGES); i++) {
		buf_put32(b, MMAP_ENTRY_SIZE);
		buf_put64(b, p->map[i].start);
		buf_put64(b, p->map[i].len);
		buf_put32(b, p->map[i].type);
	}
	buf_patch32(b, INFO_MMAP_LENGTH, (uint32_t)(b->len - at));
	buf_patch32(b, INFO_MMAP_ADDR, (uint32_t)(base + at));
}

static void put_string(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s) + 1);
}

/* The list first, aligned, then the strings. A module without one has its file's name. */
static void put_modules(const struct boot_ctx *c, const struct parts *parts, struct buf *b, uint64_t base)
{
	const struct boot_request *rq = c->rq;
	uint64_t gpa = parts->modules_gpa;
	size_t list = b->len;

	buf_patch32(b, INFO_MODS_COUNT, rq->nr_initrds);
	if (!rq->nr_initrds)
		return;
	buf_patch32(b, INFO_MODS_ADDR, (uint32_t)(base + list));
	for (unsigned int i = 0; i < rq->nr_initrds; i++) {
		buf_put32(b, (uint32_t)gpa);
		buf_put32(b, (uint32_t)(gpa + rq->initrds[i].bytes));
		buf_put64(b, 0);
		gpa += align_up(rq->initrds[i].bytes, BOOT_PAGE);
	}
	for (unsigned int i = 0; i < rq->nr_initrds; i++) {
		const char *args = rq->initrd_args ? rq->initrd_args[i] : NULL;

		buf_patch32(b, list + i * MODULE_BYTES + MODULE_STRING, (uint32_t)(base + b->len));
		put_string(b, args ? args : rq->initrds[i].path);
	}
}

static void put_sections(const struct multiboot_sections *s, struct buf *b, uint64_t base)
{
	if (!s->headers.len)
		return;
	buf_align(b, 8);
	buf_patch32(b, INFO_SYMS, s->nr);
	buf_patch32(b, INFO_SYMS + 4, s->entry_bytes);
	buf_patch32(b, INFO_SYMS + 8, (uint32_t)(base + b->len));
	buf_patch32(b, INFO_SYMS + 12, s->names);
	buf_put(b, s->headers.data, s->headers.len);
}

/* Everything the kernel is told, to lie at base. The length does not depend on base. */
static void compose(const struct boot_ctx *c, const struct parts *parts, uint64_t base, struct buf *b)
{
	buf_put_zero(b, INFO_BYTES);
	buf_patch32(b, INFO_FLAGS,
		    INFO_HAS_MEMORY | INFO_HAS_CMDLINE | INFO_HAS_MODULES | INFO_HAS_MMAP | INFO_HAS_NAME |
			    (parts->sections.headers.len ? INFO_HAS_SECTIONS : 0));
	buf_patch32(b, INFO_MEM_LOWER, MIN(kib_from(c->rq->platform, 0), 640u));
	buf_patch32(b, INFO_MEM_UPPER, kib_from(c->rq->platform, MIB));
	put_mmap(c, b, base);
	put_sections(&parts->sections, b, base);
	put_modules(c, parts, b, base);

	/* The program's name first, as everybody who parses it expects. */
	buf_patch32(b, INFO_CMDLINE, (uint32_t)(base + b->len));
	buf_put(b, c->rq->kernel->path, strlen(c->rq->kernel->path));
	if (c->rq->cmdline[0])
		buf_put(b, " ", 1);
	put_string(b, c->rq->cmdline);
	buf_patch32(b, INFO_LOADER_NAME, (uint32_t)(base + b->len));
	put_string(b, "trellis");
}

/* Below 1 MiB, above pages 0 to 2 (vectors, BIOS data, what test kernels use), outside of what is loaded. */
static int put_info(struct boot_ctx *c, const struct parts *parts, struct err *e)
{
	struct buf b = { 0 };
	uint64_t base = 0;
	size_t bytes;
	int rc;

	compose(c, parts, 0, &b);
	bytes = b.len;
	buf_fini(&b);
	if (place_lowest(&c->place, bytes, 16, BOOT_PARAMS, MIB, &base) < 0)
		return boot_fail(c, e, -ENOSPC,
				 "leaves no room below 1 MiB for %zu bytes of Multiboot information, command"
				 " line and module names included",
				 bytes);
	compose(c, parts, base, &b);
	rc = buf_status(&b);
	if (rc < 0)
		err_sys(e, rc, "Multiboot information");
	else
		rc = boot_put(c, base, b.data, b.len, e);
	buf_fini(&b);
	c->entry->info = base;
	return rc;
}

int multiboot_load(struct boot_ctx *c, const struct multiboot_header *h, struct err *e)
{
	struct parts parts = { 0 };
	struct elf elf = { 0 };
	int rc;

	_Static_assert((NEEDS_UNKNOWN & (NEED_PAGE_ALIGNED | NEED_MEMORY | NEED_VIDEO | HAS_ADDRESSES)) == 0,
		       "3.1.2");
	if (h->flags & NEEDS_UNKNOWN)
		return boot_refuse(
			c, e,
			"is a Multiboot kernel which requires unknown features (header flags 0x%x; 0x%x are"
			" known)",
			h->flags, NEED_PAGE_ALIGNED | NEED_MEMORY | NEED_VIDEO | HAS_ADDRESSES);
	rc = h->flags & HAS_ADDRESSES ? load_by_addresses(c, h, e) : load_elf(c, &elf, e);
	if (rc < 0 || (rc = load_modules(c, &parts.modules_gpa, e)) < 0)
		return rc;
	if (elf.nr_loads && (rc = multiboot_load_sections(c, &elf, &parts.sections, e)) < 0)
		goto out;
	c->entry->mode = BOOT_MULTIBOOT;
	rc = put_info(c, &parts, e);
out:
	buf_fini(&parts.sections.headers);
	return rc;
}
