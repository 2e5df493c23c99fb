/*
 * What all kernels have in common: files that are none are named, and files with flipped bytes load or are
 * refused, but never write outside free RAM. The mutations are few and blind; a real fuzzer goes deeper.
 */
#include "firmware/boot_testkit.h"

#include <errno.h>
#include <fcntl.h>

static struct kit k;
static struct kit_file f;

static void setup(void)
{
	kit_init(&k);
	memset(&f, 0, sizeof(f));
}

static void teardown(void)
{
	kit_fini(&k);
}

#define FOREIGN(o, b, n, t)                                                                                  \
	{                                                                                                    \
		.off = (o), .bytes = (b), .bytes_len = sizeof(b) - 1, .len = (n), .text = (t)                \
	}

static const struct foreign {
	size_t off;
	const char *bytes;
	size_t bytes_len, len;
	const char *text;
} foreign[] = {
	FOREIGN(0, "\x1f\x8b\x08", 4096,
		"is gzip-compressed; decompress it first (gunzip) or give the bzImage"),
	FOREIGN(0,
		"\xfd"
		"7zXZ\0",
		4096, "is xz-compressed"),
	FOREIGN(0, "\x28\xb5\x2f\xfd", 4096, "is zstd-compressed"),
	FOREIGN(0, "BZh9", 4096, "is bzip2-compressed"),
	FOREIGN(0, "\x04\x22\x4d\x18", 4096, "is lz4-compressed"),
	FOREIGN(0, "\x02\x21\x4c\x18", 4096, "is lz4-compressed"),
	FOREIGN(0, "\x5d\0\0\x80", 4096, "is lzma-compressed"),
	FOREIGN(0, "\x89LZO\0", 4096, "is lzop-compressed"),
	FOREIGN(0, "MZ\x90", 4096, "is a PE file"),
	FOREIGN(0, "MZ\0\0zimg", 4096, "compressed EFI kernel (zboot)"),
	FOREIGN(56, "ARM\x64", 4096, "AArch64 Linux image"),
	FOREIGN(32769, "CD001", 40000, "ISO 9660"),
	FOREIGN(0, "QFI\xfb", 4096, "is a qcow2 disk image, which belongs to --disk"),
	FOREIGN(0, "070701", 4096, "is a cpio archive, which belongs to --initrd"),
	FOREIGN(510, "\x55\xaa", 4096, "is a boot sector or a disk image"),
	FOREIGN(512, "EFI PART", 4096, "disk image with a GPT"),
	FOREIGN(0, "\xd6\x50\x52\xe8\0\0\0\0\x10\0\0\0\x1a\xaf\xad\x17", 4096, "is a Multiboot 2 kernel"),
	FOREIGN(0, "#!/bin/sh\n", 10, "is a script"),
	FOREIGN(0, "Hello, world\n", 13, "is a text file"),
	FOREIGN(0, "", 4096, "begins with nothing but zeros"),
	FOREIGN(0, "\x01\x02", 100, "is no kernel: it has only 100 bytes"),
	FOREIGN(0, "\x01\x02\x03\xff", 4096, "is of no known kind: it begins with 01 02 03 ff 00 00 00 00"),
	FOREIGN(0, "", 0, "is empty"),
};

START_TEST(foreign_file_is_named)
{
	const struct foreign *t = &foreign[_i];

	memcpy(f.bytes + t->off, t->bytes, t->bytes_len);
	f.len = t->len;

	kit_check_foreign(&k, &f, t->text);
}
END_TEST

START_TEST(foreign_file_writes_nothing)
{
	memcpy(f.bytes, "\x1f\x8b", 2);
	f.len = 4096;

	ck_assert_int_eq(kit_load(&k, &f), -ENOEXEC);

	kit_check_bytes(&k, 0, KIT_RAM, KIT_CANARY);
}
END_TEST

START_TEST(very_long_path_still_says_what_is_accepted)
{
	static char path[4096];

	memset(path, 'p', sizeof(path) - 1);
	memcpy(f.bytes, "\x1f\x8b", 2);
	f.len = 4096;
	kit_set_kernel(&k, &f);
	k.kernel.path = path;

	ck_assert_int_eq(boot_load(&k.rq, &k.mem, &k.entry, &k.err), -ENOEXEC);

	ck_assert_ptr_nonnull(strstr(k.err.text, "is gzip-compressed"));
	ck_assert_ptr_nonnull(strstr(k.err.text, "and Multiboot 1"));
}
END_TEST

START_TEST(kernel_cut_since_opening_is_refused)
{
	kit_elf64(&f);
	kit_set_kernel(&k, &f);
	ck_assert_int_eq(ftruncate(k.kernel.fd, 0x2000), 0);

	ck_assert_int_eq(boot_load(&k.rq, &k.mem, &k.entry, &k.err), -ENODATA);
	ck_assert_ptr_nonnull(strstr(k.err.text, "'my-kernel' cannot be read"));
}
END_TEST

START_TEST(error_may_be_dropped)
{
	f.len = 4096;
	kit_set_kernel(&k, &f);

	ck_assert_int_eq(boot_load(&k.rq, &k.mem, &k.entry, NULL), -ENOEXEC);
}
END_TEST

/* xorshift64*: the same mutations every time. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* Interesting values are rarer than one in 256: half of the flips store one. */
static void mutate(struct kit_file *file, size_t hot_from, size_t hot_bytes, uint64_t *random)
{
	static const uint8_t special[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x10, 0x20 };
	uint64_t flips = 1 + next_random(random) % 6;

	for (uint64_t i = 0; i < flips; i++) {
		uint64_t r = next_random(random);
		size_t at = hot_from + (r >> 8) % hot_bytes;
		size_t run = (r & 0x30) ? 1 : 1 + (r >> 40) % 8;

		for (size_t j = 0; j < run; j++)
			file->bytes[(at + j) % file->len] =
				(r & 1) ? special[(r >> 1) % 8] : (uint8_t)(r >> 48);
	}
	if (next_random(random) % 16 == 0)
		file->len = next_random(random) % file->len;
}

static void make_elf64(struct kit_file *file)
{
	kit_elf64(file);
}

static void make_pvh64(struct kit_file *file)
{
	kit_elf64(file);
	kit_add_pvh64(file, KIT_ELF_ENTRY, 8, 8);
}

static void make_pvh32(struct kit_file *file)
{
	kit_elf32(file);
	kit_add_pvh32(file, KIT_ELF_ENTRY);
}

static void make_multiboot_elf(struct kit_file *file)
{
	kit_elf32(file);
	kit_add_multiboot(file, 0x100, 3);
	kit_ehdr32(file)->e_shoff = 0x180;
	kit_ehdr32(file)->e_shentsize = sizeof(Elf32_Shdr);
	kit_ehdr32(file)->e_shnum = 2;
	put_le32(file->bytes + 0x180 + sizeof(Elf32_Shdr) + 4, SHT_STRTAB);
	put_le32(file->bytes + 0x180 + sizeof(Elf32_Shdr) + 16, 0x800);
	put_le32(file->bytes + 0x180 + sizeof(Elf32_Shdr) + 20, 0x100);
}

/* Each kind of image, and where its headers are: most of the flips hit them. */
static const struct kind {
	void (*make)(struct kit_file *file);
	size_t hot_from, hot_bytes;
} kinds[] = {
	{ kit_bzimage, 0x1f1, 0x120 },     { make_elf64, 0, 0x80 },
	{ make_pvh64, 0, 0xb0 },           { make_pvh64, KIT_ELF_NOTE, 0x60 },
	{ make_pvh32, 0, 0x74 },           { make_multiboot_elf, 0, 0x60 },
	{ make_multiboot_elf, 0x180, 80 }, { kit_multiboot_raw, KIT_RAW_HEADER + 12, 20 },
};

enum { MUTATIONS = 1200 };

static void check_result(int rc)
{
	ck_assert_int_le(rc, 0);
	kit_check_reserved_untouched(&k);
	if (rc < 0) {
		ck_assert_uint_ne(k.err.text[0], 0);
		return;
	}
	ck_assert_uint_lt(k.entry.rip, KIT_LOW_LIMIT);
	ck_assert_uint_lt(k.entry.info, MIB);
	ck_assert_ptr_nonnull(k.entry.what);
}

START_TEST(mutated_image_never_leaves_free_ram)
{
	const struct kind *kind = &kinds[_i];
	uint64_t random = 0x1234567 + (uint64_t)_i;
	unsigned int loaded = 0;

	kit_add_initrd(&k, "initrd", "0123456789", 10);
	for (unsigned int i = 0; i < MUTATIONS; i++) {
		int rc;

		kind->make(&f);
		mutate(&f, kind->hot_from, kind->hot_bytes, &random);
		k.err.text[0] = 0;
		rc = kit_load(&k, &f);
		check_result(rc);
		loaded += !rc;
	}
	/* Neither all nor none: otherwise the flips hit nothing, or nothing behind the first check. */
	ck_assert_uint_gt(loaded, MUTATIONS / 50);
	ck_assert_uint_lt(loaded, MUTATIONS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot");
	TCase *t = tcase_create("boot"), *slow = tcase_create("mutations");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, foreign_file_is_named, 0, (int)ARRAY_SIZE(foreign));
	tcase_add_test(t, foreign_file_writes_nothing);
	tcase_add_test(t, very_long_path_still_says_what_is_accepted);
	tcase_add_test(t, kernel_cut_since_opening_is_refused);
	tcase_add_test(t, error_may_be_dropped);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(slow, setup, teardown);
	tcase_set_timeout(slow, 120);
	tcase_add_loop_test(slow, mutated_image_never_leaves_free_ram, 0, (int)ARRAY_SIZE(kinds));
	suite_add_tcase(s, slow);
	return kit_run(s);
}
