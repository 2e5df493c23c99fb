/* Names for files that people pass as kernels and that are none we take. Decides nothing. */
#include "firmware/boot_internal.h"

#include <inttypes.h>
#include <stdio.h>

struct magic {
	uint64_t off;
	uint8_t len;
	const char *bytes;
	const char *what;
};

#define MAGIC(o, b, w)                                                                                       \
	{                                                                                                    \
		.off = (o), .len = sizeof(b) - 1, .bytes = (b), .what = (w)                                  \
	}

/* The more particular first. Formats' own specifications; the numbers are also in file(1)'s database. */
static const struct magic magics[] = {
	MAGIC(0, "\x1f\x8b", "is gzip-compressed; decompress it first (gunzip) or give the bzImage"),
	MAGIC(0,
	      "\xfd"
	      "7zXZ\0",
	      "is xz-compressed; decompress it first (unxz) or give the bzImage"),
	MAGIC(0, "\x28\xb5\x2f\xfd", "is zstd-compressed; decompress it first (unzstd) or give the bzImage"),
	MAGIC(0, "BZh", "is bzip2-compressed; decompress it first (bunzip2) or give the bzImage"),
	MAGIC(0, "\x04\x22\x4d\x18", "is lz4-compressed; decompress it first (unlz4) or give the bzImage"),
	MAGIC(0, "\x02\x21\x4c\x18", "is lz4-compressed; decompress it first (unlz4) or give the bzImage"),
	MAGIC(0, "\x5d\0\0", "is lzma-compressed; decompress it first (unlzma) or give the bzImage"),
	MAGIC(0, "\x89LZO", "is lzop-compressed; decompress it first (lzop -d) or give the bzImage"),
	MAGIC(0, "PK\x03\x04", "is a zip archive"),
	MAGIC(0, "QFI\xfb", "is a qcow2 disk image, which belongs to --disk"),
	MAGIC(0, "KDMV", "is a VMDK disk image, which belongs to --disk"),
	MAGIC(0, "vhdxfile", "is a VHDX disk image"),
	MAGIC(0, "070701", "is a cpio archive, which belongs to --initrd"),
	MAGIC(0, "070702", "is a cpio archive, which belongs to --initrd"),
	MAGIC(0, "hsqs", "is a squashfs file system"),
	MAGIC(0, "!<arch>\n", "is an ar archive or a Debian package"),
	MAGIC(0, "\xed\xab\xee\xdb", "is an RPM package"),
	MAGIC(0, "\x27\x05\x19\x56", "is a U-Boot image"),
	MAGIC(0, "\xd0\x0d\xfe\xed", "is a device tree or a FIT image"),
	MAGIC(56, "ARM\x64", "is an AArch64 Linux image"),
	MAGIC(56, "RSC\x05", "is a RISC-V Linux image"),
	MAGIC(4, "zimg", "is a compressed EFI kernel (zboot) without a Linux setup header"),
	MAGIC(0, "MZ", "is a PE file (EFI or Windows program) without a Linux setup header"),
	MAGIC(32769, "CD001", "is an ISO 9660 CD image"),
	MAGIC(257, "ustar", "is a tar archive"),
	MAGIC(512, "EFI PART", "is a disk image with a GPT, which belongs to --disk"),
	MAGIC(510, "\x55\xaa", "is a boot sector or a disk image without a Linux setup header"),
	MAGIC(0, "#!", "is a script"),
};

static bool magic_matches(const struct boot_ctx *c, const struct magic *m)
{
	uint8_t bytes[16];

	return m->len <= sizeof(bytes) && !image_read(c->rq->kernel, m->off, bytes, m->len) &&
	       !memcmp(bytes, m->bytes, m->len);
}

/* Multiboot 2, 3.1.1: magic, architecture, length and a checksum, 8-byte aligned in the first 32 KiB. */
static bool is_multiboot2(const struct boot_ctx *c)
{
	for (size_t off = 0; off + 16 <= c->head_len; off += 8) {
		const uint8_t *h = c->head + off;

		if (get_le32(h) == 0xe85250d6 &&
		    (uint32_t)(get_le32(h) + get_le32(h + 4) + get_le32(h + 8) + get_le32(h + 12)) == 0)
			return true;
	}
	return false;
}

/* Do the first bytes, up to 512, consist of one kind only: printable ASCII, or zero? */
static bool is_text(const struct boot_ctx *c)
{
	for (size_t i = 0; i < MIN(c->head_len, (size_t)512); i++)
		if (!strchr("\t\n\r\f", c->head[i]) && (c->head[i] < 0x20 || c->head[i] > 0x7e))
			return false;
	return memchr(c->head, 0, MIN(c->head_len, (size_t)512)) == NULL;
}

static bool is_zero(const struct boot_ctx *c)
{
	for (size_t i = 0; i < MIN(c->head_len, (size_t)512); i++)
		if (c->head[i])
			return false;
	return true;
}

void foreign_describe(const struct boot_ctx *c, char *text, size_t size)
{
	const uint8_t *h = c->head;

	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		if (magic_matches(c, &magics[i])) {
			snprintf(text, size, "%s", magics[i].what);
			return;
		}
	}
	if (is_multiboot2(c))
		snprintf(text, size, "is a Multiboot 2 kernel; of Multiboot only version 1 is known");
	else if (!c->head_len)
		snprintf(text, size, "is empty");
	else if (is_zero(c))
		snprintf(text, size, "begins with nothing but zeros");
	else if (is_text(c))
		snprintf(text, size, "is a text file");
	else if (c->head_len < 512)
		snprintf(text, size, "is no kernel: it has only %zu bytes", c->head_len);
	else
		snprintf(text, size,
			 "is of no known kind: it begins with %02x %02x %02x %02x %02x %02x %02x %02x", h[0],
			 h[1], h[2], h[3], h[4], h[5], h[6], h[7]);
}
