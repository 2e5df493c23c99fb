/* Multiboot 1 kernels: both ways to load, the information block, modules, and every refusal. */
#include "firmware/boot_testkit.h"

#include <errno.h>

static struct kit k;
static struct kit_file f;

static void setup(void)
{
	kit_init(&k);
	kit_elf32(&f);
	kit_add_multiboot(&f, 0x200, 3);
}

static void teardown(void)
{
	kit_fini(&k);
}

static uint32_t info32(unsigned int off)
{
	return get_le32(k.ram + k.entry.info + off);
}

static const char *string_at(uint32_t gpa)
{
	ck_assert_uint_lt(gpa, KIT_EBDA);
	return (char *)k.ram + gpa;
}

START_TEST(elf32_is_loaded_and_entered_in_32_bit)
{
	kit_check_loads(&k, &f);

	ck_assert_int_eq(k.entry.mode, BOOT_MULTIBOOT);
	ck_assert_uint_eq(k.entry.rip, KIT_ELF_ENTRY);
	ck_assert_str_eq(k.entry.what, "Multiboot ELF32");
	kit_check_pattern(&k, KIT_ELF_GPA, KIT_ELF_BYTES, 9);
	kit_check_bytes(&k, KIT_ELF_GPA + KIT_ELF_BYTES, KIT_ELF_GPA + 2 * KIT_ELF_BYTES, 0);
	kit_check_reserved_untouched(&k);
}
END_TEST

START_TEST(elf64_is_loaded_and_entered_in_32_bit)
{
	kit_elf64(&f);
	kit_add_multiboot(&f, 0x200, 3);

	kit_check_loads(&k, &f);

	ck_assert_int_eq(k.entry.mode, BOOT_MULTIBOOT);
	ck_assert_str_eq(k.entry.what, "Multiboot ELF64");
}
END_TEST

START_TEST(info_lies_in_low_ram_above_page_2)
{
	kit_check_loads(&k, &f);

	ck_assert_uint_ge(k.entry.info, 0x3000);
	ck_assert_uint_lt(k.entry.info, KIT_EBDA);
	kit_check_bytes(&k, 0, 0x3000, KIT_CANARY);
}
END_TEST

START_TEST(info_moves_when_the_image_is_there)
{
	kit_phdr32(&f, 0)->p_paddr = kit_phdr32(&f, 0)->p_vaddr = 0x2000;
	kit_ehdr32(&f)->e_entry = 0x2010;

	kit_check_loads(&k, &f);

	ck_assert_uint_ge(k.entry.info, 0x2000 + 2 * KIT_ELF_BYTES);
	kit_check_pattern(&k, 0x2000, KIT_ELF_BYTES, 9);
	kit_check_bytes(&k, 0x2000 + KIT_ELF_BYTES, 0x2000 + 2 * KIT_ELF_BYTES, 0);
}
END_TEST

START_TEST(info_without_room_is_refused)
{
	kit_phdr32(&f, 0)->p_paddr = kit_phdr32(&f, 0)->p_vaddr = 0;
	kit_phdr32(&f, 0)->p_memsz = KIT_EBDA;
	kit_ehdr32(&f)->e_entry = 0x10;

	kit_check_refused(&k, &f, -ENOSPC, "leaves no room below 1 MiB");
}
END_TEST

START_TEST(info_flags_say_what_is_there)
{
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(info32(0), 1 | 4 | 8 | 0x40 | 0x200);
}
END_TEST

START_TEST(info_has_the_sizes_of_memory)
{
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(info32(4), 639);
	ck_assert_uint_eq(info32(8), (KIT_LOW_LIMIT - 0x100000) / 1024);
}
END_TEST

START_TEST(info_has_the_memory_map)
{
	const uint8_t *map;

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(info32(44), 5 * 24);
	map = k.ram + info32(48) + 4 * 24;
	ck_assert_uint_eq(get_le32(map), 20);
	ck_assert_uint_eq(get_le64(map + 4), KIT_LOW_LIMIT);
	ck_assert_uint_eq(get_le64(map + 12), KIT_RAM - KIT_LOW_LIMIT);
	ck_assert_uint_eq(get_le32(map + 20), MEM_ACPI);
}
END_TEST

START_TEST(cmdline_begins_with_the_programs_name)
{
	kit_check_loads(&k, &f);

	ck_assert_str_eq(string_at(info32(16)), "my-kernel console=ttyS0");
}
END_TEST

START_TEST(cmdline_without_append_is_the_name_alone)
{
	k.rq.cmdline = "";

	kit_check_loads(&k, &f);

	ck_assert_str_eq(string_at(info32(16)), "my-kernel");
}
END_TEST

START_TEST(cmdline_too_long_for_low_ram_is_refused)
{
	static char line[0xa0000];

	memset(line, 'a', sizeof(line) - 1);
	k.rq.cmdline = line;

	kit_check_refused(&k, &f, -ENOSPC, "leaves no room below 1 MiB");
}
END_TEST

START_TEST(loader_has_a_name)
{
	kit_check_loads(&k, &f);

	ck_assert_str_eq(string_at(info32(64)), "trellis");
}
END_TEST

START_TEST(no_module_gives_a_count_of_0)
{
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(info32(20), 0);
}
END_TEST

START_TEST(modules_are_separate_and_page_aligned_above_the_image)
{
	const uint8_t *mods;
	uint8_t bytes[5000];

	kit_pattern(bytes, sizeof(bytes), 1);
	kit_add_initrd(&k, "a.bin", bytes, sizeof(bytes));
	kit_add_initrd(&k, "b.bin", "12345", 5);
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(info32(20), 2);
	mods = k.ram + info32(24);
	ck_assert_uint_eq(get_le32(mods), KIT_ELF_GPA + 2 * KIT_ELF_BYTES);
	ck_assert_uint_eq(get_le32(mods + 4), KIT_ELF_GPA + 2 * KIT_ELF_BYTES + 5000);
	ck_assert_uint_eq(get_le32(mods + 16), KIT_ELF_GPA + 2 * KIT_ELF_BYTES + 0x2000);
	ck_assert_uint_eq(get_le32(mods + 20), KIT_ELF_GPA + 2 * KIT_ELF_BYTES + 0x2005);
	kit_check_pattern(&k, get_le32(mods), 5000, 1);
	ck_assert_mem_eq(k.ram + get_le32(mods + 16), "12345", 5);
}
END_TEST

START_TEST(module_strings_are_arguments_or_the_path)
{
	const char *args[] = { "first one=1", NULL };
	const uint8_t *mods;

	k.rq.initrd_args = args;
	kit_add_initrd(&k, "a.bin", "12345", 5);
	kit_add_initrd(&k, "b.bin", "12345", 5);
	kit_check_loads(&k, &f);

	mods = k.ram + info32(24);
	ck_assert_str_eq(string_at(get_le32(mods + 8)), "first one=1");
	ck_assert_str_eq(string_at(get_le32(mods + 24)), "b.bin");
}
END_TEST

START_TEST(module_without_room_above_goes_below_the_image)
{
	kit_phdr32(&f, 0)->p_memsz = KIT_LOW_LIMIT - KIT_ELF_GPA;
	kit_add_initrd(&k, "a.bin", "12345", 5);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(get_le32(k.ram + info32(24)), 0x100000);
}
END_TEST

START_TEST(module_too_large_is_refused)
{
	kit_add_initrd(&k, "a.bin", "12345", 5);
	k.initrd[0].bytes = KIT_RAM;

	ck_assert_int_eq(kit_load(&k, &f), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(k.err.text, "module 'a.bin': 0x400000 bytes do not fit"));
}
END_TEST

START_TEST(module_of_absurd_size_is_refused)
{
	kit_add_initrd(&k, "a.bin", "12345", 5);
	k.initrd[0].bytes = UINT64_MAX;

	ck_assert_int_eq(kit_load(&k, &f), -EFBIG);
}
END_TEST

START_TEST(address_fields_load_that_part_of_the_file)
{
	kit_multiboot_raw(&f);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, KIT_ELF_ENTRY);
	ck_assert_str_eq(k.entry.what, "Multiboot image");
	ck_assert_mem_eq(k.ram + KIT_ELF_GPA, f.bytes + KIT_RAW_FROM, KIT_RAW_BYTES - KIT_RAW_FROM);
	kit_check_bytes(&k, KIT_ELF_GPA + KIT_RAW_BYTES - KIT_RAW_FROM,
			KIT_ELF_GPA + KIT_RAW_BYTES - KIT_RAW_FROM + KIT_RAW_BSS, 0);
	kit_check_bytes(&k, KIT_ELF_GPA + KIT_RAW_BYTES - KIT_RAW_FROM + KIT_RAW_BSS, KIT_LOW_LIMIT,
			KIT_CANARY);
}
END_TEST

START_TEST(address_fields_win_over_the_elf_header)
{
	kit_add_multiboot(&f, 0x200, 0x10000);
	put_le32(f.bytes + 0x200 + 12, 0x300200);
	put_le32(f.bytes + 0x200 + 16, 0x300000);
	put_le32(f.bytes + 0x200 + 28, 0x300010);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, 0x300010);
	ck_assert_mem_eq(k.ram + 0x300000, f.bytes, f.len);
}
END_TEST

START_TEST(load_end_0_means_the_whole_file)
{
	kit_multiboot_raw(&f);
	put_le32(f.bytes + KIT_RAW_HEADER + 20, 0);
	put_le32(f.bytes + KIT_RAW_HEADER + 24, 0);

	kit_check_loads(&k, &f);

	ck_assert_mem_eq(k.ram + KIT_ELF_GPA, f.bytes + KIT_RAW_FROM, KIT_RAW_BYTES - KIT_RAW_FROM);
	kit_check_bytes(&k, KIT_ELF_GPA + KIT_RAW_BYTES - KIT_RAW_FROM, KIT_LOW_LIMIT, KIT_CANARY);
}
END_TEST

START_TEST(video_request_is_ignored)
{
	kit_add_multiboot(&f, 0x200, 7);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(info32(0) & 0x1800, 0);
}
END_TEST

START_TEST(optional_unknown_flags_are_ignored)
{
	kit_add_multiboot(&f, 0x200, 0x80000003);

	kit_check_loads(&k, &f);
}
END_TEST

START_TEST(required_unknown_flags_are_refused)
{
	kit_add_multiboot(&f, 0x200, 0x8003);

	kit_check_foreign(&k, &f, "requires unknown features (header flags 0x8003; 0x10007 are known)");
}
END_TEST

START_TEST(header_with_a_wrong_checksum_does_not_count)
{
	f.bytes[0x208]++;

	kit_check_foreign(&k, &f, "without a PVH note or a Multiboot header");
}
END_TEST

START_TEST(header_at_the_very_end_of_8192_bytes_is_found)
{
	kit_elf32(&f);
	kit_add_multiboot(&f, 8192 - 12, 3);

	kit_check_loads(&k, &f);

	ck_assert_int_eq(k.entry.mode, BOOT_MULTIBOOT);
}
END_TEST

START_TEST(header_past_8192_bytes_does_not_count)
{
	kit_elf32(&f);
	kit_add_multiboot(&f, 8192 - 8, 3);

	kit_check_foreign(&k, &f, "without a PVH note or a Multiboot header");
}
END_TEST

START_TEST(unaligned_header_does_not_count)
{
	kit_elf32(&f);
	kit_add_multiboot(&f, 0x202, 3);

	kit_check_foreign(&k, &f, "without a PVH note or a Multiboot header");
}
END_TEST

START_TEST(header_without_addresses_in_no_elf_is_refused)
{
	kit_multiboot_raw(&f);
	kit_add_multiboot(&f, KIT_RAW_HEADER, 3);

	kit_check_foreign(&k, &f, "Multiboot header without address fields (flag 16), and is no ELF file");
}
END_TEST

START_TEST(header_cut_off_is_refused)
{
	kit_multiboot_raw(&f);
	f.len = KIT_RAW_HEADER + 20;

	kit_check_foreign(&k, &f, "truncated Multiboot kernel: its header at 0x40 is cut off");
}
END_TEST

START_TEST(image_cut_off_is_refused)
{
	kit_multiboot_raw(&f);
	f.len--;

	kit_check_foreign(&k, &f,
			  "truncated Multiboot kernel: 0x1fe0 bytes at 0x20 to load, the file has 0x1fff");
}
END_TEST

START_TEST(load_addr_above_header_addr_is_refused)
{
	kit_multiboot_raw(&f);
	put_le32(f.bytes + KIT_RAW_HEADER + 16, KIT_ELF_GPA + 0x1000);

	kit_check_foreign(&k, &f, "damaged Multiboot kernel: load_addr 0x201000");
}
END_TEST

START_TEST(load_addr_that_wraps_is_refused)
{
	kit_multiboot_raw(&f);
	put_le32(f.bytes + KIT_RAW_HEADER + 12, 0x10);
	put_le32(f.bytes + KIT_RAW_HEADER + 16, 0xfffffff0);

	kit_check_foreign(&k, &f, "damaged Multiboot kernel: load_addr 0xfffffff0");
}
END_TEST

START_TEST(load_addr_before_the_file_is_refused)
{
	kit_multiboot_raw(&f);
	put_le32(f.bytes + KIT_RAW_HEADER + 16, KIT_ELF_GPA - 0x1000);

	kit_check_foreign(&k, &f, "damaged Multiboot kernel: load_addr");
}
END_TEST

START_TEST(load_end_below_load_addr_is_refused)
{
	kit_multiboot_raw(&f);
	put_le32(f.bytes + KIT_RAW_HEADER + 20, KIT_ELF_GPA);

	kit_check_foreign(&k, &f, "load_end_addr 0x200000 is not above load_addr");
}
END_TEST

START_TEST(bss_end_below_load_end_is_refused)
{
	kit_multiboot_raw(&f);
	put_le32(f.bytes + KIT_RAW_HEADER + 24, KIT_ELF_GPA + 0x100);

	kit_check_foreign(&k, &f, "bss_end_addr 0x200100 is below the end");
}
END_TEST

START_TEST(entry_outside_of_the_image_is_refused)
{
	kit_multiboot_raw(&f);
	put_le32(f.bytes + KIT_RAW_HEADER + 28, KIT_ELF_GPA - 1);

	kit_check_foreign(&k, &f, "entry_addr 0x1fffff is outside");
}
END_TEST

START_TEST(image_outside_ram_is_refused)
{
	kit_multiboot_raw(&f);
	put_le32(f.bytes + KIT_RAW_HEADER + 24, 0xfffffff0);

	kit_check_refused(&k, &f, -ENOSPC,
			  "cannot load the Multiboot image: 0x200000 and 0xffdffff0 bytes from there");
}
END_TEST

/* Section headers at 0x400 in the file: null, a symbol table at 0x600, names at 0x700. */
static void add_sections(void)
{
	Elf32_Shdr *sh = (void *)(f.bytes + 0x400);

	kit_ehdr32(&f)->e_shoff = 0x400;
	kit_ehdr32(&f)->e_shentsize = sizeof(Elf32_Shdr);
	kit_ehdr32(&f)->e_shnum = 3;
	kit_ehdr32(&f)->e_shstrndx = 2;
	sh[1] = (Elf32_Shdr){ .sh_type = SHT_SYMTAB, .sh_offset = 0x600, .sh_size = 5 };
	sh[2] = (Elf32_Shdr){ .sh_type = SHT_STRTAB, .sh_offset = 0x700, .sh_size = 6 };
	memcpy(f.bytes + 0x600, "SYMS", 5);
	memcpy(f.bytes + 0x700, "\0.str", 6);
}

START_TEST(elf_sections_are_told_and_symbols_loaded)
{
	const Elf32_Shdr *sh;

	add_sections();
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(info32(0) & 0x30, 0x20);
	ck_assert_uint_eq(info32(28), 3);
	ck_assert_uint_eq(info32(32), sizeof(Elf32_Shdr));
	ck_assert_uint_eq(info32(40), 2);
	sh = (const void *)(k.ram + info32(36));
	ck_assert_mem_eq(k.ram + sh[1].sh_addr, "SYMS", 5);
	ck_assert_mem_eq(k.ram + sh[2].sh_addr, "\0.str", 6);
	ck_assert_uint_ge(sh[1].sh_addr, KIT_ELF_GPA + 2 * KIT_ELF_BYTES);
}
END_TEST

START_TEST(elf_sections_past_the_end_are_not_told)
{
	add_sections();
	kit_ehdr32(&f)->e_shoff = (uint32_t)f.len - 1;

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(info32(0) & 0x20, 0);
}
END_TEST

START_TEST(elf_section_with_wild_contents_is_not_loaded)
{
	const Elf32_Shdr *sh;

	add_sections();
	((Elf32_Shdr *)(void *)(f.bytes + 0x400))[1].sh_size = UINT32_MAX;
	kit_check_loads(&k, &f);

	sh = (const void *)(k.ram + info32(36));
	ck_assert_uint_eq(sh[1].sh_addr, 0);
	ck_assert_uint_ne(sh[2].sh_addr, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("multiboot");
	TCase *t = tcase_create("multiboot");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, elf32_is_loaded_and_entered_in_32_bit);
	tcase_add_test(t, elf64_is_loaded_and_entered_in_32_bit);
	tcase_add_test(t, info_lies_in_low_ram_above_page_2);
	tcase_add_test(t, info_moves_when_the_image_is_there);
	tcase_add_test(t, info_without_room_is_refused);
	tcase_add_test(t, info_flags_say_what_is_there);
	tcase_add_test(t, info_has_the_sizes_of_memory);
	tcase_add_test(t, info_has_the_memory_map);
	tcase_add_test(t, cmdline_begins_with_the_programs_name);
	tcase_add_test(t, cmdline_without_append_is_the_name_alone);
	tcase_add_test(t, cmdline_too_long_for_low_ram_is_refused);
	tcase_add_test(t, loader_has_a_name);
	tcase_add_test(t, no_module_gives_a_count_of_0);
	tcase_add_test(t, modules_are_separate_and_page_aligned_above_the_image);
	tcase_add_test(t, module_strings_are_arguments_or_the_path);
	tcase_add_test(t, module_without_room_above_goes_below_the_image);
	tcase_add_test(t, module_too_large_is_refused);
	tcase_add_test(t, module_of_absurd_size_is_refused);
	tcase_add_test(t, address_fields_load_that_part_of_the_file);
	tcase_add_test(t, address_fields_win_over_the_elf_header);
	tcase_add_test(t, load_end_0_means_the_whole_file);
	tcase_add_test(t, video_request_is_ignored);
	tcase_add_test(t, optional_unknown_flags_are_ignored);
	tcase_add_test(t, required_unknown_flags_are_refused);
	tcase_add_test(t, header_with_a_wrong_checksum_does_not_count);
	tcase_add_test(t, header_at_the_very_end_of_8192_bytes_is_found);
	tcase_add_test(t, header_past_8192_bytes_does_not_count);
	tcase_add_test(t, unaligned_header_does_not_count);
	tcase_add_test(t, header_without_addresses_in_no_elf_is_refused);
	tcase_add_test(t, header_cut_off_is_refused);
	tcase_add_test(t, image_cut_off_is_refused);
	tcase_add_test(t, load_addr_above_header_addr_is_refused);
	tcase_add_test(t, load_addr_that_wraps_is_refused);
	tcase_add_test(t, load_addr_before_the_file_is_refused);
	tcase_add_test(t, load_end_below_load_addr_is_refused);
	tcase_add_test(t, bss_end_below_load_end_is_refused);
	tcase_add_test(t, entry_outside_of_the_image_is_refused);
	tcase_add_test(t, image_outside_ram_is_refused);
	tcase_add_test(t, elf_sections_are_told_and_symbols_loaded);
	tcase_add_test(t, elf_sections_past_the_end_are_not_told);
	tcase_add_test(t, elf_section_with_wild_contents_is_not_loaded);
	suite_add_tcase(s, t);
	return kit_run(s);
}
