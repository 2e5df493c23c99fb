/*
 * Loading a kernel into guest memory, by whatever its file is. Writes memory only; the processor's
 * registers are vmm/boot.c's business, which reads struct boot_entry.
 */
#ifndef TRELLIS_FIRMWARE_BOOT_H
#define TRELLIS_FIRMWARE_BOOT_H

#include "firmware/platform.h"
#include "vmm/base/err.h"
#include "vmm/base/gmem.h"

/* A file that is loaded from: opened once, read with pread(2), so a reset loads it again. */
struct image {
	int fd;           /* owned */
	uint64_t bytes;
	const char *path; /* borrowed */
};

/*
 * Open a file for loading. what names its role in errors ("kernel", "initrd").
 * Returns 0, or a negative errno with a sentence (missing, a directory, empty, not readable ...).
 */
MUST_CHECK int image_open(struct image *img, const char *path, const char *what, struct err *e);

/* Safe on an image that was never opened (fd -1). */
void image_close(struct image *img);

/* Read exactly len bytes at off. Returns 0; -ENODATA past the end of the file; a negative errno. */
MUST_CHECK int image_read(const struct image *img, uint64_t off, void *buf, size_t len);

/*
 * As image_read(), into guest RAM at gpa; the range is checked to be RAM by the accessor.
 * Returns also -EFAULT when it is not.
 */
MUST_CHECK int image_read_guest(const struct image *img, uint64_t off, struct gmem *mem, uint64_t gpa, size_t len);

enum boot_mode {
	BOOT_LINUX64,    /* 64-bit, identity-mapped, RSI = boot_params (Documentation/arch/x86/boot.rst, v6.12) */
	BOOT_PVH,        /* 32-bit flat, paging off, EBX = hvm_start_info (Xen PVH ABI) */
	BOOT_MULTIBOOT,  /* 32-bit flat, paging off, EAX = 0x2badb002, EBX = info (Multiboot 0.6.96, 3.2) */
};

struct boot_entry {
	enum boot_mode mode;
	uint64_t rip;
	uint64_t info;   /* guest-physical address of boot_params, hvm_start_info or multiboot_info */
	const char *what; /* "Linux bzImage 6.1.0-...", "PVH ELF" ...: static or inside scratch */
	char scratch[128];
};

struct boot_request {
	const struct image *kernel;   /* borrowed */
	const struct image *initrds;  /* borrowed; nr_initrds. Linux: joined in order; Multiboot: modules */
	const char *const *initrd_args; /* borrowed, may be NULL; Multiboot: module command lines */
	unsigned int nr_initrds;
	const char *cmdline;          /* "" when none */
	const struct platform *platform; /* the memory map */
	uint64_t rsdp;                /* guest-physical address of the RSDP */
	uint64_t low_limit;           /* first byte below 4 GiB that is not free RAM: loads end here */
};

/* Guest-physical addresses below 1 MiB which the boot path itself uses (vmm/boot.c and firmware/). */
#define BOOT_GDT       0x00003000ull /* 3 descriptors + TSS; one page */
#define BOOT_PARAMS    0x00004000ull /* boot_params or hvm_start_info, one page and its map, one more */
#define BOOT_PAGES     0x00006000ull /* PML4, PDPT, four page directories: identity for 4 GiB */
#define BOOT_CMDLINE   0x00010000ull /* up to 64 KiB */

/*
 * Look at the kernel's first bytes, decide what it is, load it with its initrds and command line, and
 * write the information block that its protocol wants. Accepted: Linux bzImage (boot protocol 2.12 or
 * newer, 64-bit), ELF64 x86-64 or ELF32 with a PVH note, ELF64 without one (Linux 64-bit entry),
 * Multiboot 1 (ELF32 or address fields; looked for before plain ELF).
 * mem    where to load; every range is checked
 * entry  receives how to start
 * Returns 0; a negative errno with one sentence that names the file, what was found and what is
 * accepted (gzip, xz, zstd, ... are named). Pure apart from mem and the files.
 */
MUST_CHECK int boot_load(const struct boot_request *rq, struct gmem *mem, struct boot_entry *entry, struct err *e);

#endif
