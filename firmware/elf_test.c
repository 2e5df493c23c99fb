/* ELF files with and without a PVH note: where segments go, what the kernel is told, and every refusal. */
#include "firmware/boot_testkit.h"

#include <errno.h>

static struct kit k;
static struct kit_file f;

static void setup(void)
{
	kit_init(&k);
	kit_elf64(&f);
}

static void teardown(void)
{
	kit_fini(&k);
}

/* A second segment of one page, loaded to gpa from the start of the code. */
static void add_segment(uint64_t gpa)
{
	kit_ehdr64(&f)->e_phnum = 2;
	*kit_phdr64(&f, 1) = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R,
		.p_offset = KIT_ELF_CODE,
		.p_vaddr = gpa,
		.p_paddr = gpa,
		.p_filesz = 0x1000,
		.p_memsz = 0x1000,
	};
}

START_TEST(elf64_segment_is_copied_and_its_bss_cleared)
{
	kit_check_loads(&k, &f);

	kit_check_pattern(&k, KIT_ELF_GPA, KIT_ELF_BYTES, 9);
	kit_check_bytes(&k, KIT_ELF_GPA + KIT_ELF_BYTES, KIT_ELF_GPA + 2 * KIT_ELF_BYTES, 0);
	kit_check_bytes(&k, KIT_ELF_GPA + 2 * KIT_ELF_BYTES, KIT_LOW_LIMIT, KIT_CANARY);
	kit_check_reserved_untouched(&k);
}
END_TEST

START_TEST(elf64_without_note_enters_linux)
{
	kit_check_loads(&k, &f);

	ck_assert_int_eq(k.entry.mode, BOOT_LINUX64);
	ck_assert_uint_eq(k.entry.rip, KIT_ELF_ENTRY);
	ck_assert_uint_eq(k.entry.info, BOOT_PARAMS);
	ck_assert_str_eq(k.entry.what, "Linux ELF64");
}
END_TEST

START_TEST(elf64_without_note_gets_boot_params)
{
	const uint8_t *params = k.ram + BOOT_PARAMS;

	kit_add_initrd(&k, "a", "12345", 5);
	kit_check_loads(&k, &f);

	ck_assert_mem_eq(params + 0x202, "HdrS", 4);
	ck_assert_uint_eq(get_le16(params + 0x1fe), 0xaa55);
	ck_assert_uint_eq(params[0x210], 0xff);
	ck_assert_uint_eq(params[0x1e8], 5);
	ck_assert_uint_eq(get_le64(params + 0x070), 0xe1000);
	ck_assert_uint_eq(get_le32(params + 0x228), BOOT_CMDLINE);
	ck_assert_mem_eq(k.ram + get_le32(params + 0x218), "12345\0\0\0", 8);
}
END_TEST

START_TEST(elf64_cmdline_above_2047_is_refused)
{
	static char line[2049];

	memset(line, 'a', 2048);
	k.rq.cmdline = line;

	kit_check_refused(&k, &f, -E2BIG, "at most 2047 bytes");
}
END_TEST

START_TEST(virtual_entry_is_translated)
{
	kit_phdr64(&f, 0)->p_vaddr = 0xffffffff80000000;
	kit_ehdr64(&f)->e_entry = 0xffffffff80000123;

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, KIT_ELF_GPA + 0x123);
}
END_TEST

START_TEST(physical_entry_of_a_virtual_kernel_stays)
{
	kit_phdr64(&f, 0)->p_vaddr = 0xffffffff80000000;

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, KIT_ELF_ENTRY);
}
END_TEST

START_TEST(data_at_the_entrys_virtual_address_does_not_count)
{
	add_segment(0x300000);
	kit_phdr64(&f, 1)->p_vaddr = KIT_ELF_ENTRY & ~0xfffull;
	kit_phdr64(&f, 0)->p_vaddr = 0xffffffff80000000;

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, KIT_ELF_ENTRY);
}
END_TEST

START_TEST(entry_outside_of_all_segments_is_refused)
{
	kit_ehdr64(&f)->e_entry = 0x100000;

	kit_check_foreign(&k, &f, "entry point 0x100000 is in none of its segments");
}
END_TEST

START_TEST(pvh_note_enters_by_it)
{
	kit_add_pvh64(&f, KIT_ELF_GPA + 0x40, 8, 4);

	kit_check_loads(&k, &f);

	ck_assert_int_eq(k.entry.mode, BOOT_PVH);
	ck_assert_uint_eq(k.entry.rip, KIT_ELF_GPA + 0x40);
	ck_assert_uint_eq(k.entry.info, BOOT_PARAMS);
	ck_assert_str_eq(k.entry.what, "PVH ELF64");
	kit_check_pattern(&k, KIT_ELF_GPA, KIT_ELF_BYTES, 9);
}
END_TEST

START_TEST(pvh_note_of_4_bytes_is_understood)
{
	kit_add_pvh64(&f, KIT_ELF_GPA + 0x44, 4, 4);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, KIT_ELF_GPA + 0x44);
}
END_TEST

START_TEST(pvh_notes_padded_to_8_are_understood)
{
	kit_add_pvh64(&f, KIT_ELF_GPA + 0x48, 8, 8);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, KIT_ELF_GPA + 0x48);
}
END_TEST

START_TEST(pvh_notes_padded_to_4_in_a_segment_aligned_to_8_are_understood)
{
	kit_add_pvh64(&f, KIT_ELF_GPA + 0x48, 8, 4);
	kit_phdr64(&f, 1)->p_align = 8;

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, KIT_ELF_GPA + 0x48);
}
END_TEST

START_TEST(pvh_elf32_is_understood)
{
	kit_elf32(&f);
	kit_add_pvh32(&f, KIT_ELF_GPA + 0x4c);

	kit_check_loads(&k, &f);

	ck_assert_int_eq(k.entry.mode, BOOT_PVH);
	ck_assert_uint_eq(k.entry.rip, KIT_ELF_GPA + 0x4c);
	ck_assert_str_eq(k.entry.what, "PVH ELF32");
}
END_TEST

START_TEST(pvh_start_info_says_where_everything_is)
{
	const uint8_t *info = k.ram + BOOT_PARAMS;
	const uint8_t *map;

	kit_add_pvh64(&f, KIT_ELF_ENTRY, 8, 4);
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(get_le32(info), 0x336ec578);
	ck_assert_uint_eq(get_le32(info + 4), 1);
	ck_assert_uint_eq(get_le32(info + 12), 0);
	ck_assert_str_eq((char *)k.ram + get_le64(info + 24), "console=ttyS0");
	ck_assert_uint_eq(get_le64(info + 32), 0xe1000);
	ck_assert_uint_eq(get_le32(info + 48), 5);
	map = k.ram + get_le64(info + 40);
	ck_assert_uint_eq(get_le64(map + 3 * 24), 0x100000);
	ck_assert_uint_eq(get_le64(map + 3 * 24 + 8), KIT_LOW_LIMIT - 0x100000);
	ck_assert_uint_eq(get_le32(map + 3 * 24 + 16), MEM_RAM);
}
END_TEST

START_TEST(pvh_initrds_are_one_module)
{
	const uint8_t *info = k.ram + BOOT_PARAMS, *module;

	kit_add_pvh64(&f, KIT_ELF_ENTRY, 8, 4);
	kit_add_initrd(&k, "a", "12345", 5);
	kit_add_initrd(&k, "b", "6789", 4);
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(get_le32(info + 12), 1);
	module = k.ram + get_le64(info + 16);
	ck_assert_uint_eq(get_le64(module + 8), 12);
	ck_assert_mem_eq(k.ram + get_le64(module),
			 "12345\0\0\0"
			 "6789",
			 12);
}
END_TEST

START_TEST(pvh_entry_outside_of_all_segments_is_refused)
{
	kit_add_pvh64(&f, 0x100000, 8, 4);

	kit_check_foreign(&k, &f, "PVH entry point 0x100000 is in none of its segments");
}
END_TEST

START_TEST(pvh_note_of_wrong_size_is_refused)
{
	kit_add_pvh64(&f, KIT_ELF_ENTRY, 2, 4);

	kit_check_foreign(&k, &f, "PVH note is damaged");
}
END_TEST

START_TEST(pvh_note_cut_by_its_segment_is_refused)
{
	kit_add_pvh64(&f, KIT_ELF_ENTRY, 8, 4);
	kit_phdr64(&f, 1)->p_filesz -= 4;

	kit_check_foreign(&k, &f, "PVH note is damaged");
}
END_TEST

START_TEST(pvh_note_of_another_owner_does_not_count)
{
	kit_add_pvh64(&f, KIT_ELF_GPA + 0x40, 8, 4);
	memcpy(f.bytes + KIT_ELF_NOTE + 20 + 24 + 12, "Yen", 3);

	kit_check_loads(&k, &f);

	ck_assert_int_eq(k.entry.mode, BOOT_LINUX64);
}
END_TEST

START_TEST(pvh_kernel_with_an_interpreter_loads)
{
	kit_add_pvh64(&f, KIT_ELF_ENTRY, 8, 4);
	kit_ehdr64(&f)->e_phnum = 3;
	kit_phdr64(&f, 2)->p_type = PT_INTERP;

	kit_check_loads(&k, &f);

	ck_assert_int_eq(k.entry.mode, BOOT_PVH);
}
END_TEST

START_TEST(program_with_an_interpreter_is_refused)
{
	kit_ehdr64(&f)->e_phnum = 2;
	kit_phdr64(&f, 1)->p_type = PT_INTERP;

	kit_check_foreign(&k, &f, "dynamically linked program");
}
END_TEST

START_TEST(elf32_without_note_is_refused)
{
	kit_elf32(&f);

	kit_check_foreign(&k, &f, "ELF32 x86 file without a PVH note or a Multiboot header");
}
END_TEST

START_TEST(elf_for_another_machine_is_named)
{
	kit_ehdr64(&f)->e_machine = EM_AARCH64;

	kit_check_foreign(&k, &f, "little-endian ELF64 file for machine 183 (AArch64)");
}
END_TEST

START_TEST(elf_with_big_endian_data_is_named)
{
	f.bytes[EI_DATA] = ELFDATA2MSB;
	kit_ehdr64(&f)->e_machine = EM_S390 << 8;

	kit_check_foreign(&k, &f, "big-endian ELF64 file for machine 22 (S/390)");
}
END_TEST

START_TEST(elf32_for_x86_64_is_named)
{
	kit_elf32(&f);
	kit_ehdr32(&f)->e_machine = EM_X86_64;

	kit_check_foreign(&k, &f, "ELF32 file for machine 62 (x86-64)");
}
END_TEST

START_TEST(elf_of_unknown_class_is_refused)
{
	f.bytes[EI_CLASS] = 9;

	kit_check_foreign(&k, &f, "unknown class 9");
}
END_TEST

START_TEST(object_file_is_named)
{
	kit_ehdr64(&f)->e_type = ET_REL;

	kit_check_foreign(&k, &f, "an object file or kernel module (type 1)");
}
END_TEST

START_TEST(core_dump_is_named)
{
	kit_ehdr64(&f)->e_type = ET_CORE;

	kit_check_foreign(&k, &f, "a core dump");
}
END_TEST

START_TEST(file_cut_in_the_elf_header_is_refused)
{
	f.len = 60;

	kit_check_foreign(&k, &f, "truncated ELF file: 60 bytes do not hold its header");
}
END_TEST

START_TEST(file_cut_in_the_program_headers_is_refused)
{
	f.len = 100;

	kit_check_foreign(&k, &f, "program header 0 would lie at 0x40, the file has 0x64 bytes");
}
END_TEST

START_TEST(file_cut_in_a_segment_is_refused)
{
	f.len--;

	kit_check_foreign(&k, &f, "segment 0 is 0x2000 bytes at 0x1000, the file has 0x2fff bytes");
}
END_TEST

START_TEST(wild_program_header_offset_is_refused)
{
	kit_ehdr64(&f)->e_phoff = UINT64_MAX - 10;

	kit_check_foreign(&k, &f, "program headers at 0xfffffffffffffff5");
}
END_TEST

START_TEST(wild_segment_offset_is_refused)
{
	kit_phdr64(&f, 0)->p_offset = UINT64_MAX - 10;

	kit_check_foreign(&k, &f, "truncated ELF file: segment 0");
}
END_TEST

START_TEST(more_bytes_in_the_file_than_in_memory_is_refused)
{
	kit_phdr64(&f, 0)->p_memsz = KIT_ELF_BYTES - 1;

	kit_check_foreign(&k, &f, "segment 0 has 0x2000 bytes in the file, 0x1fff in memory");
}
END_TEST

START_TEST(program_headers_of_wrong_size_are_refused)
{
	kit_ehdr64(&f)->e_phentsize = 32;

	kit_check_foreign(&k, &f, "1 program headers of 32 bytes");
}
END_TEST

START_TEST(too_many_program_headers_are_refused)
{
	kit_ehdr64(&f)->e_phnum = 0xffff;

	kit_check_foreign(&k, &f, "65535 program headers");
}
END_TEST

START_TEST(too_many_segments_are_refused)
{
	for (unsigned int i = 0; i < 66; i++)
		*kit_phdr64(&f, i) =
			(Elf64_Phdr){ .p_type = PT_LOAD, .p_paddr = 0x200000 + i * 16, .p_memsz = 16 };
	kit_ehdr64(&f)->e_phnum = 66;

	kit_check_foreign(&k, &f, "more than 64 segments");
}
END_TEST

START_TEST(nothing_to_load_is_refused)
{
	kit_phdr64(&f, 0)->p_type = PT_NULL;

	kit_check_foreign(&k, &f, "nothing to load");
}
END_TEST

START_TEST(empty_segment_is_ignored)
{
	add_segment(0xfffffffff0000000);
	kit_phdr64(&f, 1)->p_filesz = kit_phdr64(&f, 1)->p_memsz = 0;

	kit_check_loads(&k, &f);
}
END_TEST

START_TEST(segment_outside_ram_is_refused_with_its_address)
{
	add_segment(0x3ef001);

	kit_check_refused(
		&k, &f, -ENOSPC,
		"segment 1 of the ELF file: 0x3ef001 and 0x1000 bytes from there are not all free RAM");
}
END_TEST

START_TEST(segment_larger_than_ram_is_refused)
{
	kit_phdr64(&f, 0)->p_memsz = UINT64_MAX;

	kit_check_refused(&k, &f, -ENOSPC, "0xffffffffffffffff bytes from there are not all free RAM");
}
END_TEST

START_TEST(segment_in_the_video_hole_is_refused)
{
	add_segment(0xb8000);

	kit_check_refused(&k, &f, -ENOSPC, "0xb8000");
}
END_TEST

START_TEST(segments_that_overlap_are_refused_with_addresses)
{
	add_segment(KIT_ELF_GPA + 0x3fff);

	kit_check_refused(&k, &f, -ENOSPC, "0x203fff-0x204ffe overlaps another segment at 0x200000-0x203fff");
}
END_TEST

START_TEST(segment_over_the_boot_area_is_refused)
{
	add_segment(0xb000);

	kit_check_refused(&k, &f, -ENOSPC,
			  "0xb000-0xbfff overlaps the boot information and page tables at 0x3000-0xbfff");
}
END_TEST

START_TEST(segment_over_the_command_line_is_refused)
{
	add_segment(0x1f000);

	kit_check_refused(&k, &f, -ENOSPC, "overlaps the command line at 0x10000-0x1ffff");
}
END_TEST

START_TEST(segment_in_free_low_ram_is_loaded)
{
	add_segment(0x1000);

	kit_check_loads(&k, &f);

	kit_check_pattern(&k, 0x1000, 0x1000, 9);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("elf");
	TCase *t = tcase_create("elf");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, elf64_segment_is_copied_and_its_bss_cleared);
	tcase_add_test(t, elf64_without_note_enters_linux);
	tcase_add_test(t, elf64_without_note_gets_boot_params);
	tcase_add_test(t, elf64_cmdline_above_2047_is_refused);
	tcase_add_test(t, virtual_entry_is_translated);
	tcase_add_test(t, physical_entry_of_a_virtual_kernel_stays);
	tcase_add_test(t, data_at_the_entrys_virtual_address_does_not_count);
	tcase_add_test(t, entry_outside_of_all_segments_is_refused);
	tcase_add_test(t, pvh_note_enters_by_it);
	tcase_add_test(t, pvh_note_of_4_bytes_is_understood);
	tcase_add_test(t, pvh_notes_padded_to_8_are_understood);
	tcase_add_test(t, pvh_notes_padded_to_4_in_a_segment_aligned_to_8_are_understood);
	tcase_add_test(t, pvh_elf32_is_understood);
	tcase_add_test(t, pvh_start_info_says_where_everything_is);
	tcase_add_test(t, pvh_initrds_are_one_module);
	tcase_add_test(t, pvh_entry_outside_of_all_segments_is_refused);
	tcase_add_test(t, pvh_note_of_wrong_size_is_refused);
	tcase_add_test(t, pvh_note_cut_by_its_segment_is_refused);
	tcase_add_test(t, pvh_note_of_another_owner_does_not_count);
	tcase_add_test(t, pvh_kernel_with_an_interpreter_loads);
	tcase_add_test(t, program_with_an_interpreter_is_refused);
	tcase_add_test(t, elf32_without_note_is_refused);
	tcase_add_test(t, elf_for_another_machine_is_named);
	tcase_add_test(t, elf_with_big_endian_data_is_named);
	tcase_add_test(t, elf32_for_x86_64_is_named);
	tcase_add_test(t, elf_of_unknown_class_is_refused);
	tcase_add_test(t, object_file_is_named);
	tcase_add_test(t, core_dump_is_named);
	tcase_add_test(t, file_cut_in_the_elf_header_is_refused);
	tcase_add_test(t, file_cut_in_the_program_headers_is_refused);
	tcase_add_test(t, file_cut_in_a_segment_is_refused);
	tcase_add_test(t, wild_program_header_offset_is_refused);
	tcase_add_test(t, wild_segment_offset_is_refused);
	tcase_add_test(t, more_bytes_in_the_file_than_in_memory_is_refused);
	tcase_add_test(t, program_headers_of_wrong_size_are_refused);
	tcase_add_test(t, too_many_program_headers_are_refused);
	tcase_add_test(t, too_many_segments_are_refused);
	tcase_add_test(t, nothing_to_load_is_refused);
	tcase_add_test(t, empty_segment_is_ignored);
	tcase_add_test(t, segment_outside_ram_is_refused_with_its_address);
	tcase_add_test(t, segment_larger_than_ram_is_refused);
	tcase_add_test(t, segment_in_the_video_hole_is_refused);
	tcase_add_test(t, segments_that_overlap_are_refused_with_addresses);
	tcase_add_test(t, segment_over_the_boot_area_is_refused);
	tcase_add_test(t, segment_over_the_command_line_is_refused);
	tcase_add_test(t, segment_in_free_low_ram_is_loaded);
	suite_add_tcase(s, t);
	return kit_run(s);
}
