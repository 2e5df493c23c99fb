/*
 * ELF files as boot loaders need them: headers, program segments, one kind of note. No symbols, no
 * relocation, no section contents.
 */
#ifndef TRELLIS_FIRMWARE_ELF_H
#define TRELLIS_FIRMWARE_ELF_H

#include "vmm/base/base.h"
#include "vmm/base/err.h"

struct boot_ctx;

enum { ELF_MAX_PHDRS = 256, ELF_MAX_LOADS = 64 };

/* One PT_LOAD with something in it; offset and filesz were checked against the file. */
struct elf_segment {
	uint64_t offset, filesz;      /* in the file */
	uint64_t vaddr, paddr, memsz; /* memsz >= filesz, not 0 */
	bool executable;
};

struct elf {
	bool is64;      /* x86-64; otherwise 32-bit x86 */
	uint64_t entry; /* as the header has it: see elf_entry() */
	uint64_t shoff; /* section headers; nothing of them was checked */
	uint16_t shnum, shentsize, shstrndx;
	struct elf_segment load[ELF_MAX_LOADS];
	unsigned int nr_loads;
	bool has_interp; /* wants a dynamic linker; so do FreeBSD's kernels, which have a PVH note */
	bool has_pvh;
	uint64_t pvh_entry; /* physical, below 4 GiB */
};

/* Do the first bytes say ELF, of whatever kind? */
bool elf_probe(const struct boot_ctx *c);

/* The name of an ELF machine number ("AArch64"), or NULL. Static. */
const char *elf_machine_name(uint16_t machine);

/*
 * Read the headers of the kernel file and check everything that can be checked without a memory map.
 * Returns 0; a negative errno with a sentence that says what was found.
 */
MUST_CHECK int elf_parse(const struct boot_ctx *c, struct elf *elf, struct err *e);

/*
 * Claim the segments' physical addresses in c->place, then copy them and clear the rest of each.
 * Returns 0; a negative errno with a sentence that has the addresses.
 */
MUST_CHECK int elf_load(struct boot_ctx *c, const struct elf *elf, struct err *e);

/*
 * The physical address of the entry point.
 * gpa  receives it; inside a segment
 * Returns 0; -ENOEXEC with a sentence.
 */
MUST_CHECK int elf_entry(const struct boot_ctx *c, const struct elf *elf, uint64_t *gpa, struct err *e);

/* Is the physical address inside a segment? */
bool elf_has_paddr(const struct elf *elf, uint64_t gpa);

#endif
