/*
 * Between the loaders of this folder; boot.c picks one of them. Nothing here is for others.
 */
#ifndef TRELLIS_FIRMWARE_BOOT_INTERNAL_H
#define TRELLIS_FIRMWARE_BOOT_INTERNAL_H

#include "firmware/boot.h"
#include "firmware/elf.h"
#include "firmware/place.h"

enum {
	BOOT_HEAD_BYTES = 8192,         /* what is looked at to tell files apart; Multiboot 0.6.96, 3.1 */
	BOOT_PARAMS_BYTES = 4096,       /* boot_params, or hvm_start_info with its lists */
	BOOT_CMDLINE_BYTES = 64 * 1024, /* room at BOOT_CMDLINE, with the NUL */
	BOOT_PAGE = 4096,
};

/* One load, on boot_load()'s stack. */
struct boot_ctx {
	const struct boot_request *rq; /* borrowed */
	struct gmem *mem;              /* borrowed */
	struct boot_entry *entry;      /* borrowed; filled last */
	struct place place;
	uint8_t head[BOOT_HEAD_BYTES]; /* the file's first bytes: decoded from here, read once */
	size_t head_len;
};

/* One list of what is accepted, for every refusal. */
#define BOOT_ACCEPTED                                                                                        \
	"accepted are Linux bzImage (64-bit, boot protocol 2.12 or newer), "                                 \
	"x86 ELF with a PVH note, ELF64 x86-64 Linux, and Multiboot 1"

/* The kernel file is none we take: "kernel 'x' TEXT; accepted are ...". Returns -ENOEXEC. */
PRINTF(3, 4) int boot_refuse(const struct boot_ctx *c, struct err *e, const char *fmt, ...);

/* It is, but something does not work out: "kernel 'x' TEXT". Returns rc. */
PRINTF(4, 5) int boot_fail(const struct boot_ctx *c, struct err *e, int rc, const char *fmt, ...);

/* Write to guest RAM. Returns 0; -EFAULT with a sentence. */
MUST_CHECK int boot_put(const struct boot_ctx *c, uint64_t gpa, const void *bytes, size_t len, struct err *e);

/* Load len bytes of the kernel at off to gpa. Returns 0; a negative errno with a sentence. */
MUST_CHECK int boot_read_kernel(const struct boot_ctx *c, uint64_t off, uint64_t gpa, size_t len,
				struct err *e);

/* Take the addresses which the Linux and PVH entries use below 1 MiB. Returns 0; -ENOSPC with a sentence. */
MUST_CHECK int boot_reserve_low(struct boot_ctx *c, struct err *e);

/*
 * Write the command line to BOOT_CMDLINE.
 * max  bytes without the NUL that the kernel takes; more is an error which says so
 * Returns 0; -E2BIG or -EFAULT with a sentence.
 */
MUST_CHECK int boot_put_cmdline(const struct boot_ctx *c, uint64_t max, struct err *e);

/*
 * Join all initrds, each padded to 4 bytes, as high as possible below ceiling and above 1 MiB, beside
 * everything taken; page aligned.
 * where  receives the place; len 0 when there are none
 * Returns 0; a negative errno with a sentence that names the file or the sizes.
 */
MUST_CHECK int initrd_load(struct boot_ctx *c, uint64_t ceiling, struct place_span *where, struct err *e);

/* Does the file begin with a Linux setup header, of whatever version? */
bool linux_probe(const struct boot_ctx *c);

/* Load a bzImage, or what follows a loaded ELF file, to the 64-bit entry (boot.rst, "64-bit BOOT PROTOCOL"). */
MUST_CHECK int linux_load_bzimage(struct boot_ctx *c, struct err *e);
MUST_CHECK int linux_load_elf(struct boot_ctx *c, const struct elf *elf, struct err *e);

/* Load an ELF file that has a PVH note. */
MUST_CHECK int pvh_load(struct boot_ctx *c, const struct elf *elf, struct err *e);

/* A Multiboot header, decoded (Multiboot 0.6.96, 3.1). */
struct multiboot_header {
	uint32_t offset; /* in the file */
	uint32_t flags;
	bool complete; /* the address fields are inside the bytes looked at */
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

/* Look for a header with a right checksum. Returns whether there is one. */
bool multiboot_probe(const struct boot_ctx *c, struct multiboot_header *h);
MUST_CHECK int multiboot_load(struct boot_ctx *c, const struct multiboot_header *h, struct err *e);

/* What a file that is none of ours seems to be, into text: "is gzip-compressed; ...". */
void foreign_describe(const struct boot_ctx *c, char *text, size_t size);

#endif
