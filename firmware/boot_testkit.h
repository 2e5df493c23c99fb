/*
 * For the loaders' unit tests: a machine of 4 MiB, files in memory, and small images of every kind. It
 * proves nothing about a processor that starts there.
 */
#ifndef TRELLIS_FIRMWARE_BOOT_TESTKIT_H
#define TRELLIS_FIRMWARE_BOOT_TESTKIT_H

#include "firmware/boot.h"

#include <check.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	KIT_RAM = 4 << 20,
	KIT_LOW_LIMIT = 0x3f0000, /* above lie "tables" */
	KIT_EBDA = 0x9fc00,
	KIT_CANARY = 0xcc, /* what RAM is full of before a load */
	KIT_FILE_MAX = 64 * 1024,
	KIT_INITRDS = 3,
};

struct kit {
	uint8_t *ram; /* owned */
	struct gmem mem;
	struct platform platform;
	struct image kernel, initrd[KIT_INITRDS];
	struct boot_request rq;
	struct boot_entry entry;
	struct err err;
};

struct kit_file {
	uint8_t bytes[KIT_FILE_MAX];
	size_t len;
};

static inline void kit_map_add(struct kit *k, uint64_t start, uint64_t end, uint32_t type)
{
	k->platform.map[k->platform.nr_map++] =
		(struct mem_range){ .start = start, .len = end - start, .type = type };
}

static inline void kit_init(struct kit *k)
{
	*k = (struct kit){ .kernel.fd = -1, .initrd = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } } };
	k->ram = malloc(KIT_RAM);
	ck_assert_ptr_nonnull(k->ram);
	memset(k->ram, KIT_CANARY, KIT_RAM);
	ck_assert_int_eq(gmem_add(&k->mem, 0, KIT_RAM, k->ram, &k->err), 0);
	kit_map_add(k, 0, KIT_EBDA, MEM_RAM);
	kit_map_add(k, KIT_EBDA, 0xa0000, MEM_RESERVED);
	kit_map_add(k, 0xe0000, 0x100000, MEM_RESERVED);
	kit_map_add(k, 0x100000, KIT_LOW_LIMIT, MEM_RAM);
	kit_map_add(k, KIT_LOW_LIMIT, KIT_RAM, MEM_ACPI);
	k->rq = (struct boot_request){
		.kernel = &k->kernel,
		.initrds = k->initrd,
		.cmdline = "console=ttyS0",
		.platform = &k->platform,
		.rsdp = 0xe1000,
		.low_limit = KIT_LOW_LIMIT,
	};
}

static inline void kit_fini(struct kit *k)
{
	image_close(&k->kernel);
	for (unsigned int i = 0; i < KIT_INITRDS; i++)
		image_close(&k->initrd[i]);
	free(k->ram);
}

/* A file without a name on disk. */
static inline struct image kit_image(const char *path, const void *bytes, size_t len)
{
	struct image img = { .fd = memfd_create(path, MFD_CLOEXEC), .bytes = len, .path = path };

	ck_assert_int_ge(img.fd, 0);
	ck_assert_int_eq(write(img.fd, bytes, len), (ssize_t)len);
	return img;
}

static inline void kit_set_kernel(struct kit *k, const struct kit_file *f)
{
	image_close(&k->kernel);
	k->kernel = kit_image("my-kernel", f->bytes, f->len);
}

static inline void kit_add_initrd(struct kit *k, const char *path, const void *bytes, size_t len)
{
	ck_assert_uint_lt(k->rq.nr_initrds, KIT_INITRDS);
	k->initrd[k->rq.nr_initrds++] = kit_image(path, bytes, len);
}

static inline int kit_load(struct kit *k, const struct kit_file *f)
{
	kit_set_kernel(k, f);
	return boot_load(&k->rq, &k->mem, &k->entry, &k->err);
}

static inline void kit_check_loads(struct kit *k, const struct kit_file *f)
{
	int rc = kit_load(k, f);

	ck_assert_msg(rc == 0, "%s", k->err.text);
}

/* Refused with this code, the file's name, and this text. */
static inline void kit_check_refused(struct kit *k, const struct kit_file *f, int rc, const char *text)
{
	ck_assert_int_eq(kit_load(k, f), rc);
	ck_assert_msg(strstr(k->err.text, "'my-kernel'") != NULL, "%s", k->err.text);
	ck_assert_msg(strstr(k->err.text, text) != NULL, "%s", k->err.text);
}

/* As above, for a file which is none we take: the sentence also says what is accepted. */
static inline void kit_check_foreign(struct kit *k, const struct kit_file *f, const char *text)
{
	kit_check_refused(k, f, -ENOEXEC, text);
	ck_assert_msg(strstr(k->err.text, "accepted are Linux bzImage") != NULL, "%s", k->err.text);
	ck_assert_msg(strstr(k->err.text, "and Multiboot 1") != NULL, "%s", k->err.text);
}

static inline void kit_check_bytes(const struct kit *k, uint64_t from, uint64_t to, uint8_t value)
{
	uint64_t i = from;

	/* One assertion, not one for each byte: each costs Check a system call. */
	while (i < to && k->ram[i] == value)
		i++;
	ck_assert_msg(i >= to, "0x%llx is not 0x%x", (unsigned long long)i, value);
}

/* Nothing but RAM that is free by the map was written to. */
static inline void kit_check_reserved_untouched(const struct kit *k)
{
	kit_check_bytes(k, KIT_EBDA, 0x100000, KIT_CANARY);
	kit_check_bytes(k, KIT_LOW_LIMIT, KIT_RAM, KIT_CANARY);
}

/* The bytes that stand for code: byte i is the lower half of 3 * i + seed. */
static inline void kit_pattern(uint8_t *to, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)(3 * i + seed);
}

static inline void kit_check_pattern(const struct kit *k, uint64_t gpa, size_t len, uint8_t seed)
{
	size_t i = 0;

	while (i < len && k->ram[gpa + i] == (uint8_t)(3 * i + seed))
		i++;
	ck_assert_uint_eq(i, len);
}

/*
 * A bzImage: setup of 2 sectors, KIT_BZ_BYTES of kernel with pattern 7; prefers 1 MiB, needs KIT_BZ_INIT there,
 * relocatable to multiples of 64 KiB, a command line of 255 bytes, version string "6.1.0-kit".
 */
enum { KIT_BZ_SETUP = 1024, KIT_BZ_BYTES = 4096, KIT_BZ_INIT = 0x20000, KIT_BZ_PREF = 0x100000 };

static inline void kit_bzimage(struct kit_file *f)
{
	uint8_t *h = f->bytes;

	memset(f, 0, sizeof(*f));
	h[0] = 'M';
	h[1] = 'Z';
	h[0x1ef] = 0xff; /* the sentinel, not to be copied */
	h[0x1f1] = 1;    /* setup_sects */
	put_le32(h + 0x1f4, KIT_BZ_BYTES / 16);
	put_le16(h + 0x1fe, 0xaa55);
	put_le16(h + 0x200, 0x6aeb); /* jump to 0x26c */
	memcpy(h + 0x202, "HdrS", 4);
	put_le16(h + 0x206, 0x020f);
	put_le16(h + 0x20e, 0x100); /* version string at 0x300 */
	h[0x211] = 0x81;
	put_le32(h + 0x214, 0x100000);
	put_le32(h + 0x22c, 0x7fffffff); /* initrd_addr_max */
	put_le32(h + 0x230, 0x10000);    /* kernel_alignment */
	h[0x234] = 1;
	put_le16(h + 0x236, 0x3f);
	put_le32(h + 0x238, 255);
	put_le64(h + 0x250, 0x1122334455667788); /* setup_data: ours to set */
	put_le64(h + 0x258, KIT_BZ_PREF);
	put_le32(h + 0x260, KIT_BZ_INIT);
	put_le32(h + 0x264, 0x190);
	memcpy(h + 0x26c, "tail", 4); /* past the header: not to be copied */
	memcpy(h + 0x300, "6.1.0-kit (me@here) #1", 23);
	kit_pattern(h + KIT_BZ_SETUP, KIT_BZ_BYTES, 7);
	f->len = KIT_BZ_SETUP + KIT_BZ_BYTES;
}

/*
 * ELF files: headers at 0, up to 4 program headers behind, KIT_ELF_BYTES of code (pattern 9) at
 * KIT_ELF_CODE, loaded to 2 MiB with as much bss again; entry at 2 MiB + 16.
 */
enum { KIT_ELF_CODE = 0x1000, KIT_ELF_BYTES = 0x2000, KIT_ELF_GPA = 0x200000, KIT_ELF_NOTE = 0x800 };
#define KIT_ELF_ENTRY (KIT_ELF_GPA + 16)

static inline Elf64_Ehdr *kit_ehdr64(struct kit_file *f)
{
	return (void *)f->bytes;
}

static inline Elf64_Phdr *kit_phdr64(struct kit_file *f, unsigned int i)
{
	return (Elf64_Phdr *)(void *)(f->bytes + sizeof(Elf64_Ehdr)) + i;
}

static inline Elf32_Ehdr *kit_ehdr32(struct kit_file *f)
{
	return (void *)f->bytes;
}

static inline Elf32_Phdr *kit_phdr32(struct kit_file *f, unsigned int i)
{
	return (Elf32_Phdr *)(void *)(f->bytes + sizeof(Elf32_Ehdr)) + i;
}

static inline void kit_elf64(struct kit_file *f)
{
	memset(f, 0, sizeof(*f));
	*kit_ehdr64(f) = (Elf64_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = KIT_ELF_ENTRY,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	*kit_phdr64(f, 0) = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_offset = KIT_ELF_CODE,
		.p_vaddr = KIT_ELF_GPA,
		.p_paddr = KIT_ELF_GPA,
		.p_filesz = KIT_ELF_BYTES,
		.p_memsz = 2 * KIT_ELF_BYTES,
		.p_align = 4096,
	};
	kit_pattern(f->bytes + KIT_ELF_CODE, KIT_ELF_BYTES, 9);
	f->len = KIT_ELF_CODE + KIT_ELF_BYTES;
}

static inline void kit_elf32(struct kit_file *f)
{
	memset(f, 0, sizeof(*f));
	*kit_ehdr32(f) = (Elf32_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_entry = KIT_ELF_ENTRY,
		.e_phoff = sizeof(Elf32_Ehdr),
		.e_ehsize = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 1,
	};
	*kit_phdr32(f, 0) = (Elf32_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_offset = KIT_ELF_CODE,
		.p_vaddr = KIT_ELF_GPA,
		.p_paddr = KIT_ELF_GPA,
		.p_filesz = KIT_ELF_BYTES,
		.p_memsz = 2 * KIT_ELF_BYTES,
		.p_align = 4096,
	};
	kit_pattern(f->bytes + KIT_ELF_CODE, KIT_ELF_BYTES, 9);
	f->len = KIT_ELF_CODE + KIT_ELF_BYTES;
}

/* One note at off; returns where the next goes. */
static inline size_t kit_note(struct kit_file *f, size_t off, const char *name, uint32_t type,
			      const void *desc, uint32_t descsz, size_t align)
{
	uint32_t namesz = (uint32_t)strlen(name) + 1;
	size_t at = off;

	put_le32(f->bytes + at, namesz);
	put_le32(f->bytes + at + 4, descsz);
	put_le32(f->bytes + at + 8, type);
	memcpy(f->bytes + at + 12, name, namesz);
	at = off + align_up(12 + namesz, align);
	memcpy(f->bytes + at, desc, descsz);
	return off + align_up(at - off + descsz, align);
}

/* Notes at KIT_ELF_NOTE, among them the PVH entry, with a program header for them. */
static inline void kit_add_pvh64(struct kit_file *f, uint32_t entry, uint32_t descsz, size_t align)
{
	uint8_t desc[8] = { 0 };
	size_t end;

	put_le32(desc, entry);
	end = kit_note(f, KIT_ELF_NOTE, "GNU", 3, "id", 3, align);
	end = kit_note(f, end, "Xen", 6, "linux", 6, align);
	end = kit_note(f, end, "Xen", 18, desc, descsz, align);
	kit_ehdr64(f)->e_phnum = 2;
	*kit_phdr64(f, 1) = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = KIT_ELF_NOTE,
		.p_filesz = end - KIT_ELF_NOTE,
		.p_memsz = end - KIT_ELF_NOTE,
		.p_align = align,
	};
}

static inline void kit_add_pvh32(struct kit_file *f, uint32_t entry)
{
	uint8_t desc[4];
	size_t end;

	put_le32(desc, entry);
	end = kit_note(f, KIT_ELF_NOTE, "Xen", 18, desc, 4, 4);
	kit_ehdr32(f)->e_phnum = 2;
	*kit_phdr32(f, 1) = (Elf32_Phdr){
		.p_type = PT_NOTE,
		.p_offset = KIT_ELF_NOTE,
		.p_filesz = (uint32_t)(end - KIT_ELF_NOTE),
		.p_align = 4,
	};
}

/* A Multiboot header at off with these flags; address fields are put by kit_multiboot_raw(). */
static inline void kit_add_multiboot(struct kit_file *f, size_t off, uint32_t flags)
{
	put_le32(f->bytes + off, 0x1badb002);
	put_le32(f->bytes + off + 4, flags);
	put_le32(f->bytes + off + 8, 0u - 0x1badb002u - flags);
}

/* No ELF: 8 KiB, header at 0x40; all from 0x20 on is loaded to KIT_ELF_GPA, then 0x1000 bytes of bss. */
enum { KIT_RAW_HEADER = 0x40, KIT_RAW_FROM = 0x20, KIT_RAW_BYTES = 0x2000, KIT_RAW_BSS = 0x1000 };

static inline void kit_multiboot_raw(struct kit_file *f)
{
	memset(f, 0, sizeof(*f));
	kit_pattern(f->bytes, KIT_RAW_BYTES, 11);
	kit_add_multiboot(f, KIT_RAW_HEADER, 0x10003);
	put_le32(f->bytes + KIT_RAW_HEADER + 12, KIT_ELF_GPA + KIT_RAW_HEADER - KIT_RAW_FROM);
	put_le32(f->bytes + KIT_RAW_HEADER + 16, KIT_ELF_GPA);
	put_le32(f->bytes + KIT_RAW_HEADER + 20, KIT_ELF_GPA + KIT_RAW_BYTES - KIT_RAW_FROM);
	put_le32(f->bytes + KIT_RAW_HEADER + 24, KIT_ELF_GPA + KIT_RAW_BYTES - KIT_RAW_FROM + KIT_RAW_BSS);
	put_le32(f->bytes + KIT_RAW_HEADER + 28, KIT_ELF_ENTRY);
	f->len = KIT_RAW_BYTES;
}

/* Run one suite of one case; the exit status of a test program. */
static inline int kit_run(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
