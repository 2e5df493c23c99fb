/*
 * ELF32 and ELF64 (System V ABI, generic ABI edition 4.1 with the x86 supplements), as far as loading
 * goes. Every field is the file's claim: checked on the copy, with sums that cannot overflow.
 */
#include "firmware/elf.h"

#include "firmware/boot_internal.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>

#define XEN_ELFNOTE_PHYS32_ENTRY 18 /* xen/include/public/elfnote.h, Xen 4.19 */

enum { ELF_MAX_NOTES = 1024, ELF_NOTE_HEADER = 12 };

bool elf_probe(const struct boot_ctx *c)
{
	return c->head_len >= SELFMAG && !memcmp(c->head, ELFMAG, SELFMAG);
}

const char *elf_machine_name(uint16_t machine)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} names[] = {
		{ EM_386, "x86" },         { EM_X86_64, "x86-64" },    { EM_ARM, "ARM" },
		{ EM_AARCH64, "AArch64" }, { EM_RISCV, "RISC-V" },     { EM_PPC, "PowerPC" },
		{ EM_PPC64, "PowerPC64" }, { EM_S390, "S/390" },       { EM_MIPS, "MIPS" },
		{ EM_IA_64, "Itanium" },   { EM_SPARCV9, "SPARC V9" }, { 258, "LoongArch" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].machine == machine)
			return names[i].name;
	return NULL;
}

/* Is this a program for an x86 processor at all? */
static int check_ident(const struct boot_ctx *c, struct elf *elf, struct err *e)
{
	const uint8_t *h = c->head;
	const char *name;
	uint16_t machine, type;

	if (c->head_len < sizeof(Elf32_Ehdr) ||
	    (h[EI_CLASS] == ELFCLASS64 && c->head_len < sizeof(Elf64_Ehdr)))
		return boot_refuse(c, e, "is a truncated ELF file: %zu bytes do not hold its header",
				   c->head_len);
	if (h[EI_CLASS] != ELFCLASS32 && h[EI_CLASS] != ELFCLASS64)
		return boot_refuse(c, e, "is an ELF file of unknown class %u", h[EI_CLASS]);
	elf->is64 = h[EI_CLASS] == ELFCLASS64;
	machine = get_le16(h + offsetof(Elf64_Ehdr, e_machine));
	type = get_le16(h + offsetof(Elf64_Ehdr, e_type)); /* the first fields are alike in both classes */
	if (h[EI_DATA] == ELFDATA2MSB)
		machine = (uint16_t)(machine << 8 | machine >> 8);
	name = elf_machine_name(machine);
	if (h[EI_DATA] != ELFDATA2LSB || machine != (elf->is64 ? EM_X86_64 : EM_386))
		return boot_refuse(c, e, "is a %s-endian ELF%d file for machine %u (%s)",
				   h[EI_DATA] == ELFDATA2MSB ? "big" : "little", elf->is64 ? 64 : 32, machine,
				   name ? name : "unknown");
	if (type != ET_EXEC && type != ET_DYN)
		return boot_refuse(c, e, "is an ELF%d file but no program: %s (type %u)", elf->is64 ? 64 : 32,
				   type == ET_REL    ? "an object file or kernel module"
				   : type == ET_CORE ? "a core dump"
						     : "of another type",
				   type);
	return 0;
}

/* One program header, whichever class. */
static int read_phdr(const struct boot_ctx *c, const struct elf *elf, uint64_t off, uint32_t *type,
		     uint64_t *align, struct elf_segment *s)
{
	uint8_t raw[sizeof(Elf64_Phdr)];
	int rc = image_read(c->rq->kernel, off, raw, elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));

	if (rc < 0)
		return rc;
	*type = get_le32(raw + offsetof(Elf64_Phdr, p_type));
	if (elf->is64) {
		*s = (struct elf_segment){
			.offset = get_le64(raw + offsetof(Elf64_Phdr, p_offset)),
			.filesz = get_le64(raw + offsetof(Elf64_Phdr, p_filesz)),
			.vaddr = get_le64(raw + offsetof(Elf64_Phdr, p_vaddr)),
			.paddr = get_le64(raw + offsetof(Elf64_Phdr, p_paddr)),
			.memsz = get_le64(raw + offsetof(Elf64_Phdr, p_memsz)),
			.executable = get_le32(raw + offsetof(Elf64_Phdr, p_flags)) & PF_X,
		};
		*align = get_le64(raw + offsetof(Elf64_Phdr, p_align));
	} else {
		*s = (struct elf_segment){
			.offset = get_le32(raw + offsetof(Elf32_Phdr, p_offset)),
			.filesz = get_le32(raw + offsetof(Elf32_Phdr, p_filesz)),
			.vaddr = get_le32(raw + offsetof(Elf32_Phdr, p_vaddr)),
			.paddr = get_le32(raw + offsetof(Elf32_Phdr, p_paddr)),
			.memsz = get_le32(raw + offsetof(Elf32_Phdr, p_memsz)),
			.executable = get_le32(raw + offsetof(Elf32_Phdr, p_flags)) & PF_X,
		};
		*align = get_le32(raw + offsetof(Elf32_Phdr, p_align));
	}
	return 0;
}

static int add_load(const struct boot_ctx *c, struct elf *elf, const struct elf_segment *s, unsigned int i,
		    struct err *e)
{
	if (!s->memsz && !s->filesz)
		return 0;
	if (s->filesz > s->memsz)
		return boot_refuse(c, e,
				   "is a damaged ELF file: segment %u has 0x%" PRIx64 " bytes in the file, "
				   "0x%" PRIx64 " in memory",
				   i, s->filesz, s->memsz);
	if (elf->nr_loads == ELF_MAX_LOADS)
		return boot_refuse(c, e, "is an ELF file with more than %d segments to load", ELF_MAX_LOADS);
	elf->load[elf->nr_loads++] = *s;
	return 0;
}

/*
 * Look for the PVH entry in a segment of notes. Fields and names are padded to align bytes (4, or 8 where
 * the program header says so).
 * Returns 1 when found, 0 when not, or a negative errno with a sentence.
 */
static int find_pvh_note(const struct boot_ctx *c, struct elf *elf, const struct elf_segment *s,
			 uint64_t align, struct err *e)
{
	uint64_t off = 0;

	for (unsigned int i = 0; i < ELF_MAX_NOTES && range_ok(off, ELF_NOTE_HEADER, s->filesz); i++) {
		uint8_t raw[ELF_NOTE_HEADER + 4] = { 0 }, desc[8] = { 0 };
		uint64_t rest = s->filesz - off, namesz, descsz, desc_off;
		int rc = image_read(c->rq->kernel, s->offset + off, raw, MIN(rest, sizeof(raw)));

		if (rc < 0)
			return boot_fail(c, e, rc, "cannot be read: %s", strerror(-rc));
		namesz = get_le32(raw);
		descsz = get_le32(raw + 4);
		desc_off = align_up(ELF_NOTE_HEADER + namesz, align);
		if (get_le32(raw + 8) == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 &&
		    !memcmp(raw + 12, "Xen", 4)) {
			if ((descsz != 4 && descsz != 8) || !range_ok(desc_off, descsz, rest))
				return boot_refuse(c, e,
						   "is an ELF file whose PVH note is damaged (0x%" PRIx64
						   " bytes; 4 or 8 are right)",
						   descsz);
			rc = image_read(c->rq->kernel, s->offset + off + desc_off, desc, descsz);
			if (rc < 0)
				return boot_fail(c, e, rc, "cannot be read: %s", strerror(-rc));
			elf->has_pvh = true;
			elf->pvh_entry = get_le64(desc);
			return 1;
		}
		off += align_up(desc_off + descsz, align);
	}
	return 0;
}

/* Some linkers align the segment to 8 and what is inside to 4: what the header says first, then 4. */
static int scan_notes(const struct boot_ctx *c, struct elf *elf, const struct elf_segment *s, uint64_t align,
		      struct err *e)
{
	int rc = 0;

	if (align == 8)
		rc = find_pvh_note(c, elf, s, 8, e);
	if (!rc)
		rc = find_pvh_note(c, elf, s, 4, e);
	return rc;
}

static int parse_phdr(const struct boot_ctx *c, struct elf *elf, uint64_t off, unsigned int i, struct err *e)
{
	uint64_t align, bytes = c->rq->kernel->bytes;
	struct elf_segment s;
	uint32_t type;
	int rc;

	rc = read_phdr(c, elf, off, &type, &align, &s);
	if (rc == -ENODATA)
		return boot_refuse(c, e,
				   "is a truncated ELF file: program header %u would lie at 0x%" PRIx64
				   ", the file has 0x%" PRIx64 " bytes",
				   i, off, bytes);
	if (rc < 0)
		return boot_fail(c, e, rc, "cannot be read: %s", strerror(-rc));
	if (type == PT_INTERP)
		elf->has_interp = true;
	if (type != PT_LOAD && type != PT_NOTE)
		return 0;
	if (!range_ok(s.offset, s.filesz, bytes))
		return boot_refuse(c, e,
				   "is a truncated ELF file: segment %u is 0x%" PRIx64 " bytes at 0x%" PRIx64
				   ", the file has 0x%" PRIx64 " bytes",
				   i, s.filesz, s.offset, bytes);
	if (type == PT_LOAD)
		return add_load(c, elf, &s, i, e);
	if (elf->has_pvh)
		return 0;
	rc = scan_notes(c, elf, &s, align, e);
	return rc < 0 ? rc : 0;
}

int elf_parse(const struct boot_ctx *c, struct elf *elf, struct err *e)
{
	const uint8_t *h = c->head;
	unsigned int phnum, phentsize;
	uint64_t phoff;
	int rc;

	*elf = (struct elf){ 0 };
	if ((rc = check_ident(c, elf, e)) < 0)
		return rc;
	/* Behind the three addresses both classes have the same 16-bit fields. */
	h += elf->is64 ? offsetof(Elf64_Ehdr, e_phentsize) : offsetof(Elf32_Ehdr, e_phentsize);
	phentsize = get_le16(h);
	phnum = get_le16(h + 2);
	elf->shentsize = get_le16(h + 4);
	elf->shnum = get_le16(h + 6);
	elf->shstrndx = get_le16(h + 8);
	h = c->head;
	elf->entry = elf->is64 ? get_le64(h + offsetof(Elf64_Ehdr, e_entry))
			       : get_le32(h + offsetof(Elf32_Ehdr, e_entry));
	elf->shoff = elf->is64 ? get_le64(h + offsetof(Elf64_Ehdr, e_shoff))
			       : get_le32(h + offsetof(Elf32_Ehdr, e_shoff));
	phoff = elf->is64 ? get_le64(h + offsetof(Elf64_Ehdr, e_phoff))
			  : get_le32(h + offsetof(Elf32_Ehdr, e_phoff));
	if (phnum > ELF_MAX_PHDRS ||
	    (phnum && phentsize != (elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr))))
		return boot_refuse(c, e, "is a damaged ELF file: %u program headers of %u bytes", phnum,
				   phentsize);
	if (phoff > c->rq->kernel->bytes) /* so that the sums below cannot wrap */
		return boot_refuse(c, e,
				   "is a truncated ELF file: program headers at 0x%" PRIx64
				   ", the file has 0x%" PRIx64 " bytes",
				   phoff, c->rq->kernel->bytes);
	for (unsigned int i = 0; i < phnum; i++)
		if ((rc = parse_phdr(c, elf, phoff + (uint64_t)i * phentsize, i, e)) < 0)
			return rc;
	if (!elf->nr_loads)
		return boot_refuse(c, e, "is an ELF file with nothing to load");
	return 0;
}

int elf_load(struct boot_ctx *c, const struct elf *elf, struct err *e)
{
	const struct elf_segment *s;
	int rc;

	for (unsigned int i = 0; i < elf->nr_loads; i++) {
		s = &elf->load[i];
		rc = place_claim(&c->place, s->paddr, s->memsz, "another segment", e);
		if (rc < 0) {
			err_prefix(e, "kernel '%.256s': cannot load segment %u of the ELF file",
				   c->rq->kernel->path, i);
			return rc;
		}
	}
	for (unsigned int i = 0; i < elf->nr_loads; i++) {
		s = &elf->load[i];
		if ((rc = boot_read_kernel(c, s->offset, s->paddr, s->filesz, e)) < 0)
			return rc;
		rc = gmem_zero(c->mem, s->paddr + s->filesz, s->memsz - s->filesz);
		if (rc < 0)
			return boot_fail(c, e, rc, "needs RAM at 0x%" PRIx64 ", where there is none",
					 s->paddr);
	}
	return 0;
}

bool elf_has_paddr(const struct elf *elf, uint64_t gpa)
{
	for (unsigned int i = 0; i < elf->nr_loads; i++)
		if (gpa >= elf->load[i].paddr && gpa - elf->load[i].paddr < elf->load[i].memsz)
			return true;
	return false;
}

/*
 * The header's entry is virtual by the ELF specification, yet vmlinux has the physical one. So: code at that
 * virtual address decides, and otherwise it is physical. Linux has its per-CPU data at virtual 0, which is
 * why only executable segments count.
 */
int elf_entry(const struct boot_ctx *c, const struct elf *elf, uint64_t *gpa, struct err *e)
{
	for (unsigned int i = 0; i < elf->nr_loads; i++) {
		const struct elf_segment *s = &elf->load[i];

		if (!s->executable || elf->entry < s->vaddr || elf->entry - s->vaddr >= s->memsz)
			continue;
		*gpa = s->paddr + (elf->entry - s->vaddr);
		return 0;
	}
	if (!elf_has_paddr(elf, elf->entry))
		return boot_refuse(
			c, e, "is an ELF file whose entry point 0x%" PRIx64 " is in none of its segments",
			elf->entry);
	*gpa = elf->entry;
	return 0;
}
