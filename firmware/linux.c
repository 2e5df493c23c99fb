/*
 * Linux by its 64-bit entry point: bzImage files, and ELF files that have no other. Fields are named as in
 * Documentation/arch/x86/boot.rst and zero-page.rst, v6.12. The kernel is not decompressed here: it
 * does that itself.
 */
#include "firmware/boot_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* Offsets in boot_params; those from 0x1f1 are also offsets in the file. */
enum {
	BP_ACPI_RSDP_ADDR = 0x070,
	BP_EXT_RAMDISK_IMAGE = 0x0c0,
	BP_EXT_RAMDISK_SIZE = 0x0c4,
	BP_EXT_CMD_LINE_PTR = 0x0c8,
	BP_E820_ENTRIES = 0x1e8,
	HDR_SETUP_SECTS = 0x1f1, /* the setup header begins */
	HDR_SYSSIZE = 0x1f4,
	HDR_VID_MODE = 0x1fa,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP_LEN = 0x201, /* of the jump over the header: where it ends, from 0x202 */
	HDR_HEADER = 0x202,
	HDR_VERSION = 0x206,
	HDR_KERNEL_VERSION = 0x20e,
	HDR_TYPE_OF_LOADER = 0x210,
	HDR_LOADFLAGS = 0x211,
	HDR_CODE32_START = 0x214,
	HDR_RAMDISK_IMAGE = 0x218,
	HDR_RAMDISK_SIZE = 0x21c,
	HDR_EXT_LOADER_VER = 0x226,
	HDR_EXT_LOADER_TYPE = 0x227,
	HDR_CMD_LINE_PTR = 0x228,
	HDR_INITRD_ADDR_MAX = 0x22c,
	HDR_KERNEL_ALIGNMENT = 0x230,
	HDR_RELOCATABLE_KERNEL = 0x234,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_SETUP_DATA = 0x250,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_END_MIN = 0x264, /* what version 2.12 has */
	HDR_END_MAX = 0x290, /* where boot_params has other things */
	BP_E820_TABLE = 0x2d0,
	BP_E820_MAX = 128,
	BP_E820_BYTES = 20,
};

#define BOOT_FLAG        0xaa55
#define HEADER_MAGIC     0x53726448u /* "HdrS" */
#define VERSION_MIN      0x020c
#define LOADED_HIGH      0x01
#define CAN_USE_HEAP     0x80
#define XLF_KERNEL_64    0x01
#define LOADER_UNDEFINED 0xff
#define VID_MODE_NORMAL  0xffff
#define ENTRY_64         0x200 /* startup_64, from where the kernel was loaded */
#define ELF_CMDLINE_MAX  2047  /* COMMAND_LINE_SIZE, arch/x86/include/asm/setup.h, without the NUL */
#define ALIGNMENT_MAX    GIB

/* The setup header as we need it: decoded once, from a copy. */
struct setup {
	uint16_t version;
	uint64_t setup_bytes; /* real-mode part; the rest of the file is what runs */
	uint64_t payload_bytes;
	uint64_t pref_address, init_size, alignment;
	bool relocatable;
	uint32_t initrd_addr_max, cmdline_size;
	size_t header_end;
};

bool linux_probe(const struct boot_ctx *c)
{
	return c->head_len >= HDR_VERSION && get_le16(c->head + HDR_BOOT_FLAG) == BOOT_FLAG &&
	       get_le32(c->head + HDR_HEADER) == HEADER_MAGIC;
}

static int check_version(const struct boot_ctx *c, struct setup *s, struct err *e)
{
	const uint8_t *h = c->head;

	if (c->head_len < HDR_END_MIN)
		return boot_refuse(c, e,
				   "is a truncated Linux kernel: its %zu bytes end inside the setup header",
				   c->head_len);
	s->version = get_le16(h + HDR_VERSION);
	if (s->version < VERSION_MIN)
		return boot_refuse(c, e,
				   "is a Linux kernel with boot protocol %u.%02u, which has no 64-bit entry"
				   " point",
				   s->version >> 8, s->version & 0xff);
	if (!(get_le16(h + HDR_XLOADFLAGS) & XLF_KERNEL_64))
		return boot_refuse(c, e,
				   "is a 32-bit Linux kernel (boot protocol %u.%02u without XLF_KERNEL_64)",
				   s->version >> 8, s->version & 0xff);
	return 0;
}

static int decode_setup(const struct boot_ctx *c, struct setup *s, struct err *e)
{
	uint64_t bytes = c->rq->kernel->bytes;
	const uint8_t *h = c->head;

	*s = (struct setup){ 0 };
	if (check_version(c, s, e) < 0)
		return -ENOEXEC;
	s->setup_bytes = ((h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : 4u) + 1u) * 512; /* 0 means 4 */
	s->payload_bytes = get_le32(h + HDR_SYSSIZE) * 16ull;
	s->pref_address = get_le64(h + HDR_PREF_ADDRESS);
	s->init_size = get_le32(h + HDR_INIT_SIZE);
	s->alignment = get_le32(h + HDR_KERNEL_ALIGNMENT);
	s->relocatable = h[HDR_RELOCATABLE_KERNEL];
	s->initrd_addr_max = get_le32(h + HDR_INITRD_ADDR_MAX);
	s->cmdline_size = get_le32(h + HDR_CMDLINE_SIZE);
	s->header_end = HDR_HEADER + (size_t)h[HDR_JUMP_LEN];
	if (s->header_end < HDR_END_MIN || s->header_end > HDR_END_MAX || s->header_end > c->head_len)
		return boot_refuse(c, e, "is a damaged Linux kernel: its setup header ends at 0x%zx",
				   s->header_end);
	if (s->payload_bytes <= ENTRY_64)
		return boot_refuse(c, e, "is a damaged Linux kernel: syssize says 0x%" PRIx64 " bytes",
				   s->payload_bytes);
	/* syssize counts 16 bytes; the last of them need not be all there. What comes after is a signature. */
	if (bytes <= s->setup_bytes || bytes - s->setup_bytes + 15 < s->payload_bytes)
		return boot_refuse(c, e,
				   "is a truncated Linux kernel: 0x%" PRIx64 " bytes of setup and 0x%" PRIx64
				   " of kernel, the file has 0x%" PRIx64,
				   s->setup_bytes, s->payload_bytes, bytes);
	s->payload_bytes = MIN(s->payload_bytes, bytes - s->setup_bytes);
	if (s->relocatable &&
	    (!s->alignment || (s->alignment & (s->alignment - 1)) || s->alignment > ALIGNMENT_MAX))
		return boot_refuse(c, e, "is a damaged Linux kernel: kernel_alignment is 0x%" PRIx64,
				   s->alignment);
	return 0;
}

/*
 * Where to load: the address the kernel prefers, else the next one above where it fits. Never below: the
 * 64-bit entry (arch/x86/boot/compressed/head_64.S, v6.12) moves a kernel that lies below its preferred
 * address up to that address, whatever is there.
 */
static int place_kernel(struct boot_ctx *c, const struct setup *s, uint64_t *load, struct err *e)
{
	uint64_t need = MAX(s->init_size, s->payload_bytes);
	char ram[160];

	*load = s->pref_address;
	if (!place_claim(&c->place, *load, need, "the kernel", NULL))
		return 0;
	if (s->relocatable &&
	    !place_lowest(&c->place, need, s->alignment, MAX(s->pref_address, MIB), UINT64_MAX, load))
		return place_claim(&c->place, *load, need, "the kernel", e);
	place_describe_ram(&c->place, ram, sizeof(ram));
	return boot_fail(c, e, -ENOSPC,
			 "needs 0x%" PRIx64 " bytes (%" PRIu64 " MiB) of RAM at 0x%" PRIx64 "%s;"
			 " free RAM to load to is %s",
			 need, (uint64_t)((need + MIB - 1) / MIB), s->pref_address,
			 s->relocatable ? " or above" : "", ram);
}

/* "Linux bzImage 6.1.0-13-amd64": the first word of the version string, as far as it is printable. */
static void name_kernel(const struct boot_ctx *c, const struct setup *s)
{
	struct boot_entry *entry = c->entry;
	uint64_t off = get_le16(c->head + HDR_KERNEL_VERSION) + 0x200ull;
	uint8_t text[65] = { 0 };
	size_t len = 0;

	if (off > 0x200 && off < s->setup_bytes &&
	    !image_read(c->rq->kernel, off, text, MIN(sizeof(text) - 1, c->rq->kernel->bytes - off)))
		while (text[len] > 0x20 && text[len] < 0x7f)
			len++;
	snprintf(entry->scratch, sizeof(entry->scratch), "Linux bzImage%s%.*s", len ? " " : "", (int)len,
		 (char *)text);
	entry->what = entry->scratch;
}

static void put_e820(const struct boot_ctx *c, uint8_t *params)
{
	const struct platform *p = c->rq->platform;
	unsigned int nr = MIN(p->nr_map, (unsigned int)PLATFORM_MAX_RANGES);

	_Static_assert((int)PLATFORM_MAX_RANGES <= (int)BP_E820_MAX, "zero-page.rst: e820_table");
	params[BP_E820_ENTRIES] = (uint8_t)nr;
	for (unsigned int i = 0; i < nr; i++) {
		uint8_t *entry = params + BP_E820_TABLE + i * BP_E820_BYTES;

		put_le64(entry, p->map[i].start);
		put_le64(entry + 8, p->map[i].len);
		put_le32(entry + 16, p->map[i].type);
	}
}

/* What is the same for both kinds of file. params has the setup header already; the rest of it is zero. */
static int finish(struct boot_ctx *c, uint8_t *params, uint64_t initrd_ceiling, uint64_t cmdline_max,
		  struct err *e)
{
	struct place_span initrd;
	int rc;

	if ((rc = boot_put_cmdline(c, cmdline_max, e)) < 0 ||
	    (rc = initrd_load(c, initrd_ceiling, &initrd, e)) < 0)
		return rc;
	put_e820(c, params);
	put_le64(params + BP_ACPI_RSDP_ADDR, c->rq->rsdp);
	put_le16(params + HDR_VID_MODE, VID_MODE_NORMAL);
	params[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	params[HDR_EXT_LOADER_VER] = params[HDR_EXT_LOADER_TYPE] = 0;
	params[HDR_LOADFLAGS] = (uint8_t)((params[HDR_LOADFLAGS] | LOADED_HIGH) & ~CAN_USE_HEAP);
	put_le32(params + HDR_RAMDISK_IMAGE, (uint32_t)initrd.start);
	put_le32(params + HDR_RAMDISK_SIZE, (uint32_t)initrd.len);
	put_le32(params + BP_EXT_RAMDISK_IMAGE, (uint32_t)(initrd.start >> 32));
	put_le32(params + BP_EXT_RAMDISK_SIZE, (uint32_t)(initrd.len >> 32));
	put_le32(params + HDR_CMD_LINE_PTR, (uint32_t)BOOT_CMDLINE);
	put_le32(params + BP_EXT_CMD_LINE_PTR, 0);
	put_le64(params + HDR_SETUP_DATA, 0);
	c->entry->mode = BOOT_LINUX64;
	c->entry->info = BOOT_PARAMS;
	return boot_put(c, BOOT_PARAMS, params, BOOT_PARAMS_BYTES, e);
}

int linux_load_bzimage(struct boot_ctx *c, struct err *e)
{
	uint8_t params[BOOT_PARAMS_BYTES] = { 0 };
	struct setup s;
	uint64_t load;
	int rc;

	if ((rc = decode_setup(c, &s, e)) < 0 || (rc = boot_reserve_low(c, e)) < 0 ||
	    (rc = place_kernel(c, &s, &load, e)) < 0 ||
	    (rc = boot_read_kernel(c, s.setup_bytes, load, s.payload_bytes, e)) < 0)
		return rc;
	memcpy(params + HDR_SETUP_SECTS, c->head + HDR_SETUP_SECTS, s.header_end - HDR_SETUP_SECTS);
	put_le32(params + HDR_CODE32_START, (uint32_t)load);
	name_kernel(c, &s);
	c->entry->rip = load + ENTRY_64;
	return finish(c, params, s.initrd_addr_max + 1ull, s.cmdline_size, e);
}

/* vmlinux has no setup header; this is the part of one which a kernel reads again after startup_64. */
int linux_load_elf(struct boot_ctx *c, const struct elf *elf, struct err *e)
{
	uint8_t params[BOOT_PARAMS_BYTES] = { 0 };
	int rc;

	if ((rc = boot_reserve_low(c, e)) < 0 || (rc = elf_entry(c, elf, &c->entry->rip, e)) < 0 ||
	    (rc = elf_load(c, elf, e)) < 0)
		return rc;
	put_le16(params + HDR_BOOT_FLAG, BOOT_FLAG);
	put_le32(params + HDR_HEADER, HEADER_MAGIC);
	put_le16(params + HDR_VERSION, VERSION_MIN);
	put_le16(params + HDR_XLOADFLAGS, XLF_KERNEL_64);
	put_le32(params + HDR_CMDLINE_SIZE, ELF_CMDLINE_MAX);
	put_le32(params + HDR_INITRD_ADDR_MAX, UINT32_MAX);
	c->entry->what = "Linux ELF64";
	return finish(c, params, 4 * GIB, ELF_CMDLINE_MAX, e);
}
