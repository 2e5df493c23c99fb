/*
 * The ELF section headers that a Multiboot kernel may ask for (Multiboot 0.6.96, 3.3, flag 5), with the symbol
 * and string tables they lead to. Sections which are part of the image are where its segments put them.
 */
#include "firmware/multiboot.h"

#include <elf.h>
#include <errno.h>

enum { SECTIONS_MAX_BYTES = 16 * 1024 }; /* of headers: they share the space below 1 MiB */

struct section {
	uint32_t type;
	uint64_t flags, addr, offset, bytes;
};

static struct section section_get(const struct elf *elf, const uint8_t *h)
{
	if (elf->is64)
		return (struct section){
			.type = get_le32(h + offsetof(Elf64_Shdr, sh_type)),
			.flags = get_le64(h + offsetof(Elf64_Shdr, sh_flags)),
			.addr = get_le64(h + offsetof(Elf64_Shdr, sh_addr)),
			.offset = get_le64(h + offsetof(Elf64_Shdr, sh_offset)),
			.bytes = get_le64(h + offsetof(Elf64_Shdr, sh_size)),
		};
	return (struct section){
		.type = get_le32(h + offsetof(Elf32_Shdr, sh_type)),
		.flags = get_le32(h + offsetof(Elf32_Shdr, sh_flags)),
		.addr = get_le32(h + offsetof(Elf32_Shdr, sh_addr)),
		.offset = get_le32(h + offsetof(Elf32_Shdr, sh_offset)),
		.bytes = get_le32(h + offsetof(Elf32_Shdr, sh_size)),
	};
}

static void section_set_addr(const struct elf *elf, struct buf *headers, size_t at, uint64_t addr)
{
	if (elf->is64)
		buf_patch64(headers, at + offsetof(Elf64_Shdr, sh_addr), addr);
	else
		buf_patch32(headers, at + offsetof(Elf32_Shdr, sh_addr), (uint32_t)addr);
}

/* Symbols and strings that no segment brings along. */
static bool section_wanted(const struct boot_ctx *c, const struct section *s)
{
	return (s->type == SHT_SYMTAB || s->type == SHT_STRTAB) && !(s->flags & SHF_ALLOC) && !s->addr &&
	       s->bytes && range_ok(s->offset, s->bytes, c->rq->kernel->bytes);
}

static int load_contents(struct boot_ctx *c, const struct elf *elf, struct multiboot_sections *out,
			 struct err *e)
{
	uint64_t total = 0, gpa;
	struct section s;
	int rc;

	for (size_t at = 0; at < out->headers.len; at += out->entry_bytes) {
		s = section_get(elf, out->headers.data + at);
		if (section_wanted(c, &s) && s.bytes <= 4 * GIB)
			total += align_up(s.bytes, 16); /* at most a few hundred times 4 GiB: cannot wrap */
	}
	if (!total || multiboot_place_above(c, total, "the ELF sections", &gpa) < 0)
		return 0;
	for (size_t at = 0; at < out->headers.len; at += out->entry_bytes) {
		s = section_get(elf, out->headers.data + at);
		if (!section_wanted(c, &s) || s.bytes > 4 * GIB)
			continue;
		if ((rc = boot_read_kernel(c, s.offset, gpa, s.bytes, e)) < 0)
			return rc;
		section_set_addr(elf, &out->headers, at, gpa);
		gpa += align_up(s.bytes, 16);
	}
	return 0;
}

int multiboot_load_sections(struct boot_ctx *c, const struct elf *elf, struct multiboot_sections *out,
			    struct err *e)
{
	size_t entry_bytes = elf->is64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
	size_t bytes = elf->shnum * entry_bytes;
	int rc;

	if (!elf->shoff || !elf->shnum || elf->shentsize != entry_bytes || bytes > SECTIONS_MAX_BYTES ||
	    !range_ok(elf->shoff, bytes, c->rq->kernel->bytes))
		return 0;
	buf_put_zero(&out->headers, bytes);
	if ((rc = buf_status(&out->headers)) < 0)
		return err_sys(e, rc, "ELF section headers");
	out->nr = elf->shnum;
	out->entry_bytes = (uint32_t)entry_bytes;
	out->names = elf->shstrndx;
	if ((rc = image_read(c->rq->kernel, elf->shoff, out->headers.data, bytes)) < 0)
		return boot_fail(c, e, rc, "cannot be read: %s", strerror(-rc));
	return load_contents(c, elf, out, e);
}
