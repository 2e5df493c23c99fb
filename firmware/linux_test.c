/* bzImage files: where everything goes, what boot_params say, and every refusal. No kernel runs here. */
#include "firmware/boot_testkit.h"

#include <errno.h>

static struct kit k;
static struct kit_file f;
static const uint8_t *params;

static void setup(void)
{
	kit_init(&k);
	kit_bzimage(&f);
	params = k.ram + BOOT_PARAMS;
}

static void teardown(void)
{
	kit_fini(&k);
}

START_TEST(bzimage_payload_goes_to_the_preferred_address)
{
	kit_check_loads(&k, &f);

	kit_check_pattern(&k, KIT_BZ_PREF, KIT_BZ_BYTES, 7);
	kit_check_bytes(&k, KIT_BZ_PREF + KIT_BZ_BYTES, KIT_LOW_LIMIT, KIT_CANARY);
	kit_check_reserved_untouched(&k);
}
END_TEST

START_TEST(bzimage_entry_is_the_64_bit_one)
{
	kit_check_loads(&k, &f);

	ck_assert_int_eq(k.entry.mode, BOOT_LINUX64);
	ck_assert_uint_eq(k.entry.rip, KIT_BZ_PREF + 0x200);
	ck_assert_uint_eq(k.entry.info, BOOT_PARAMS);
}
END_TEST

START_TEST(bzimage_is_named_by_its_version)
{
	kit_check_loads(&k, &f);

	ck_assert_str_eq(k.entry.what, "Linux bzImage 6.1.0-kit");
}
END_TEST

START_TEST(bzimage_with_a_wild_version_pointer_has_no_version)
{
	put_le16(f.bytes + 0x20e, 0xffff);

	kit_check_loads(&k, &f);

	ck_assert_str_eq(k.entry.what, "Linux bzImage");
}
END_TEST

START_TEST(bzimage_with_a_version_pointer_past_setup_has_no_version)
{
	put_le16(f.bytes + 0x20e, KIT_BZ_SETUP - 0x200 + 12); /* "+.147..." of the pattern */

	kit_check_loads(&k, &f);

	ck_assert_str_eq(k.entry.what, "Linux bzImage");
}
END_TEST

START_TEST(params_have_the_setup_header_and_nothing_around_it)
{
	kit_check_loads(&k, &f);

	ck_assert_mem_eq(params + 0x202, "HdrS", 4);
	ck_assert_uint_eq(get_le16(params + 0x206), 0x020f);
	ck_assert_uint_eq(get_le32(params + 0x264), 0x190);
	ck_assert_uint_eq(params[0x1ef], 0); /* the sentinel tells a clean copy */
	ck_assert_uint_eq(get_le32(params + 0x26c), 0);
	ck_assert_uint_eq(get_le64(params), 0); /* screen_info */
}
END_TEST

START_TEST(params_have_the_loader_fields)
{
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(params[0x210], 0xff);
	ck_assert_uint_eq(params[0x211], 0x01);
	ck_assert_uint_eq(get_le16(params + 0x1fa), 0xffff);
	ck_assert_uint_eq(get_le32(params + 0x214), KIT_BZ_PREF);
	ck_assert_uint_eq(get_le64(params + 0x250), 0);
	ck_assert_uint_eq(get_le64(params + 0x070), 0xe1000);
}
END_TEST

START_TEST(params_have_the_memory_map)
{
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(params[0x1e8], 5);
	ck_assert_uint_eq(get_le64(params + 0x2d0), 0);
	ck_assert_uint_eq(get_le64(params + 0x2d0 + 8), KIT_EBDA);
	ck_assert_uint_eq(get_le32(params + 0x2d0 + 16), MEM_RAM);
	ck_assert_uint_eq(get_le64(params + 0x2d0 + 80), KIT_LOW_LIMIT);
	ck_assert_uint_eq(get_le64(params + 0x2d0 + 88), KIT_RAM - KIT_LOW_LIMIT);
	ck_assert_uint_eq(get_le32(params + 0x2d0 + 96), MEM_ACPI);
}
END_TEST

START_TEST(cmdline_is_where_params_say)
{
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(get_le32(params + 0x228), BOOT_CMDLINE);
	ck_assert_uint_eq(get_le32(params + 0x0c8), 0);
	ck_assert_str_eq((char *)k.ram + BOOT_CMDLINE, "console=ttyS0");
}
END_TEST

START_TEST(cmdline_as_long_as_the_kernel_takes_is_loaded)
{
	char line[256];

	memset(line, 'a', 255);
	line[255] = 0;
	k.rq.cmdline = line;

	kit_check_loads(&k, &f);

	ck_assert_str_eq((char *)k.ram + BOOT_CMDLINE, line);
}
END_TEST

START_TEST(cmdline_that_is_longer_is_refused_with_the_limit)
{
	char line[257];

	memset(line, 'a', 256);
	line[256] = 0;
	k.rq.cmdline = line;

	kit_check_refused(&k, &f, -E2BIG, "at most 255 bytes, this one has 256");
}
END_TEST

START_TEST(cmdline_longer_than_our_room_is_refused)
{
	static char line[65537];

	memset(line, 'a', 65536);
	k.rq.cmdline = line;
	put_le32(f.bytes + 0x238, UINT32_MAX);

	kit_check_refused(&k, &f, -E2BIG, "at most 65535 bytes");
}
END_TEST

START_TEST(initrd_lies_at_the_top)
{
	uint8_t bytes[5000];

	kit_pattern(bytes, sizeof(bytes), 1);
	kit_add_initrd(&k, "my-initrd", bytes, sizeof(bytes));

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(get_le32(params + 0x218), KIT_LOW_LIMIT - 0x2000);
	ck_assert_uint_eq(get_le32(params + 0x21c), 5000);
	kit_check_pattern(&k, KIT_LOW_LIMIT - 0x2000, 5000, 1);
	kit_check_reserved_untouched(&k);
}
END_TEST

START_TEST(initrds_are_joined_each_padded_to_4)
{
	kit_add_initrd(&k, "a", "12345", 5);
	kit_add_initrd(&k, "b", "678", 3);
	kit_add_initrd(&k, "c", "wxyz", 4);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(get_le32(params + 0x21c), 16);
	ck_assert_mem_eq(k.ram + get_le32(params + 0x218),
			 "12345\0\0\0"
			 "678\0"
			 "wxyz",
			 16);
}
END_TEST

START_TEST(initrd_respects_initrd_addr_max)
{
	put_le32(f.bytes + 0x22c, 0x2fffff);
	kit_add_initrd(&k, "a", "12345", 5);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(get_le32(params + 0x218), 0x2ff000);
}
END_TEST

START_TEST(initrd_stays_out_of_the_kernels_init_size)
{
	put_le32(f.bytes + 0x260, KIT_LOW_LIMIT - KIT_BZ_PREF - 0x1000);
	kit_add_initrd(&k, "a", "12345", 5);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(get_le32(params + 0x218), KIT_LOW_LIMIT - 0x1000);
}
END_TEST

START_TEST(initrd_without_room_is_refused_with_sizes)
{
	put_le32(f.bytes + 0x260, KIT_LOW_LIMIT - KIT_BZ_PREF);
	kit_add_initrd(&k, "my-initrd", "12345", 5);

	ck_assert_int_eq(kit_load(&k, &f), -ENOSPC);

	ck_assert_ptr_nonnull(strstr(k.err.text, "initrd 'my-initrd' of 8 bytes does not fit"));
	ck_assert_ptr_nonnull(strstr(k.err.text, "0x100000-0x3effff"));
}
END_TEST

START_TEST(initrd_of_absurd_size_is_refused)
{
	kit_add_initrd(&k, "my-initrd", "12345", 5);
	k.initrd[0].bytes = UINT64_MAX - 1;

	ck_assert_int_eq(kit_load(&k, &f), -EFBIG);
	ck_assert_ptr_nonnull(strstr(k.err.text, "too large"));
}
END_TEST

START_TEST(initrds_too_large_together_are_refused)
{
	kit_add_initrd(&k, "a", "12345", 5);
	kit_add_initrd(&k, "b", "12345", 5);
	k.initrd[0].bytes = k.initrd[1].bytes = 3 * GIB;

	ck_assert_int_eq(kit_load(&k, &f), -EFBIG);
	ck_assert_ptr_nonnull(strstr(k.err.text, "initrd 'b'"));
}
END_TEST

START_TEST(initrd_cut_since_opening_is_refused)
{
	kit_add_initrd(&k, "my-initrd", "12345", 5);
	ck_assert_int_eq(ftruncate(k.initrd[0].fd, 2), 0);

	ck_assert_int_eq(kit_load(&k, &f), -ENODATA);
	ck_assert_ptr_nonnull(strstr(k.err.text, "'my-initrd' cannot be read"));
}
END_TEST

START_TEST(no_initrd_leaves_the_fields_zero)
{
	kit_check_loads(&k, &f);

	ck_assert_uint_eq(get_le32(params + 0x218), 0);
	ck_assert_uint_eq(get_le32(params + 0x21c), 0);
}
END_TEST

START_TEST(relocatable_goes_above_a_preferred_address_in_a_hole)
{
	put_le64(f.bytes + 0x258, 0x0f8000);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, 0x100200);
	ck_assert_uint_eq(get_le32(params + 0x214), 0x100000);
}
END_TEST

START_TEST(relocatable_is_aligned_as_it_asks)
{
	put_le64(f.bytes + 0x258, 0x0f8000);
	put_le32(f.bytes + 0x230, 0x200000);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, 0x200200);
}
END_TEST

START_TEST(relocatable_never_goes_below_its_preferred_address)
{
	put_le64(f.bytes + 0x258, 0x1000000);

	kit_check_refused(&k, &f, -ENOSPC, "needs 0x20000 bytes (1 MiB) of RAM at 0x1000000 or above");
}
END_TEST

START_TEST(fixed_kernel_without_its_address_is_refused)
{
	f.bytes[0x234] = 0;
	put_le64(f.bytes + 0x258, 0x0f8000);

	kit_check_refused(&k, &f, -ENOSPC, "of RAM at 0xf8000; free RAM to load to is");
}
END_TEST

START_TEST(init_size_larger_than_ram_is_refused)
{
	put_le32(f.bytes + 0x260, 0x40000000);

	kit_check_refused(&k, &f, -ENOSPC, "(1024 MiB)");
}
END_TEST

START_TEST(wild_preferred_address_is_refused)
{
	put_le64(f.bytes + 0x258, UINT64_MAX - 3);

	kit_check_refused(&k, &f, -ENOSPC, "0xfffffffffffffffc");
}
END_TEST

START_TEST(preferred_address_over_the_boot_area_moves_up)
{
	put_le64(f.bytes + 0x258, BOOT_PARAMS);

	kit_check_loads(&k, &f);

	ck_assert_uint_eq(k.entry.rip, 0x100200);
}
END_TEST

START_TEST(setup_sects_0_means_4)
{
	memmove(f.bytes + 5 * 512, f.bytes + KIT_BZ_SETUP, KIT_BZ_BYTES);
	f.bytes[0x1f1] = 0;
	f.len = 5 * 512 + KIT_BZ_BYTES;

	kit_check_loads(&k, &f);

	kit_check_pattern(&k, KIT_BZ_PREF, KIT_BZ_BYTES, 7);
}
END_TEST

START_TEST(signature_behind_the_kernel_is_not_loaded)
{
	memset(f.bytes + f.len, 's', 100);
	f.len += 100;

	kit_check_loads(&k, &f);

	kit_check_bytes(&k, KIT_BZ_PREF + KIT_BZ_BYTES, KIT_BZ_PREF + KIT_BZ_BYTES + 100, KIT_CANARY);
}
END_TEST

START_TEST(last_paragraph_may_be_short)
{
	f.len -= 15;

	kit_check_loads(&k, &f);

	kit_check_bytes(&k, KIT_BZ_PREF + KIT_BZ_BYTES - 15, KIT_BZ_PREF + KIT_BZ_BYTES, KIT_CANARY);
}
END_TEST

START_TEST(second_load_gives_the_same_memory)
{
	uint8_t *first = malloc(KIT_RAM);

	kit_add_initrd(&k, "a", "12345", 5);
	kit_check_loads(&k, &f);
	memcpy(first, k.ram, KIT_RAM);
	memset(k.ram, KIT_CANARY, KIT_RAM);

	ck_assert_int_eq(boot_load(&k.rq, &k.mem, &k.entry, &k.err), 0);

	ck_assert(memcmp(first, k.ram, KIT_RAM) == 0);
	free(first);
}
END_TEST

START_TEST(old_protocol_is_refused_with_its_version)
{
	put_le16(f.bytes + 0x206, 0x020b);

	kit_check_foreign(&k, &f, "boot protocol 2.11, which has no 64-bit entry point");
}
END_TEST

START_TEST(kernel_for_32_bits_is_refused)
{
	put_le16(f.bytes + 0x236, 0x3e);

	kit_check_foreign(&k, &f, "32-bit Linux kernel (boot protocol 2.15 without XLF_KERNEL_64)");
}
END_TEST

START_TEST(file_cut_in_the_setup_header_is_refused)
{
	f.len = 0x230;

	kit_check_foreign(&k, &f, "truncated Linux kernel: its 560 bytes end inside the setup header");
}
END_TEST

START_TEST(file_cut_in_the_setup_code_is_refused)
{
	f.len = KIT_BZ_SETUP;

	kit_check_foreign(
		&k, &f,
		"truncated Linux kernel: 0x400 bytes of setup and 0x1000 of kernel, the file has 0x400");
}
END_TEST

START_TEST(file_cut_in_the_kernel_is_refused)
{
	f.len -= 16;

	kit_check_foreign(&k, &f, "truncated Linux kernel");
}
END_TEST

START_TEST(setup_header_too_short_is_refused)
{
	f.bytes[0x201] = 0x61;

	kit_check_foreign(&k, &f, "setup header ends at 0x263");
}
END_TEST

START_TEST(setup_header_too_long_is_refused)
{
	f.bytes[0x201] = 0x8f;

	kit_check_foreign(&k, &f, "setup header ends at 0x291");
}
END_TEST

START_TEST(kernel_of_no_bytes_is_refused)
{
	put_le32(f.bytes + 0x1f4, 0x20);

	kit_check_foreign(&k, &f, "syssize says 0x200 bytes");
}
END_TEST

START_TEST(alignment_that_is_no_power_of_two_is_refused)
{
	put_le32(f.bytes + 0x230, 0x30000);

	kit_check_foreign(&k, &f, "kernel_alignment is 0x30000");
}
END_TEST

START_TEST(alignment_0_is_refused)
{
	put_le32(f.bytes + 0x230, 0);

	kit_check_foreign(&k, &f, "kernel_alignment is 0x0");
}
END_TEST

START_TEST(memory_without_a_low_page_is_refused)
{
	struct gmem mem = { 0 };

	ck_assert_int_eq(gmem_add(&mem, 0x100000, KIT_RAM - 0x100000, k.ram, &k.err), 0);
	kit_set_kernel(&k, &f);

	ck_assert_int_eq(boot_load(&k.rq, &mem, &k.entry, &k.err), -EFAULT);
	ck_assert_ptr_nonnull(strstr(k.err.text, "where there is none"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("linux");
	TCase *t = tcase_create("linux");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, bzimage_payload_goes_to_the_preferred_address);
	tcase_add_test(t, bzimage_entry_is_the_64_bit_one);
	tcase_add_test(t, bzimage_is_named_by_its_version);
	tcase_add_test(t, bzimage_with_a_wild_version_pointer_has_no_version);
	tcase_add_test(t, bzimage_with_a_version_pointer_past_setup_has_no_version);
	tcase_add_test(t, params_have_the_setup_header_and_nothing_around_it);
	tcase_add_test(t, params_have_the_loader_fields);
	tcase_add_test(t, params_have_the_memory_map);
	tcase_add_test(t, cmdline_is_where_params_say);
	tcase_add_test(t, cmdline_as_long_as_the_kernel_takes_is_loaded);
	tcase_add_test(t, cmdline_that_is_longer_is_refused_with_the_limit);
	tcase_add_test(t, cmdline_longer_than_our_room_is_refused);
	tcase_add_test(t, initrd_lies_at_the_top);
	tcase_add_test(t, initrds_are_joined_each_padded_to_4);
	tcase_add_test(t, initrd_respects_initrd_addr_max);
	tcase_add_test(t, initrd_stays_out_of_the_kernels_init_size);
	tcase_add_test(t, initrd_without_room_is_refused_with_sizes);
	tcase_add_test(t, initrd_of_absurd_size_is_refused);
	tcase_add_test(t, initrds_too_large_together_are_refused);
	tcase_add_test(t, initrd_cut_since_opening_is_refused);
	tcase_add_test(t, no_initrd_leaves_the_fields_zero);
	tcase_add_test(t, relocatable_goes_above_a_preferred_address_in_a_hole);
	tcase_add_test(t, relocatable_is_aligned_as_it_asks);
	tcase_add_test(t, relocatable_never_goes_below_its_preferred_address);
	tcase_add_test(t, fixed_kernel_without_its_address_is_refused);
	tcase_add_test(t, init_size_larger_than_ram_is_refused);
	tcase_add_test(t, wild_preferred_address_is_refused);
	tcase_add_test(t, preferred_address_over_the_boot_area_moves_up);
	tcase_add_test(t, setup_sects_0_means_4);
	tcase_add_test(t, signature_behind_the_kernel_is_not_loaded);
	tcase_add_test(t, last_paragraph_may_be_short);
	tcase_add_test(t, second_load_gives_the_same_memory);
	tcase_add_test(t, old_protocol_is_refused_with_its_version);
	tcase_add_test(t, kernel_for_32_bits_is_refused);
	tcase_add_test(t, file_cut_in_the_setup_header_is_refused);
	tcase_add_test(t, file_cut_in_the_setup_code_is_refused);
	tcase_add_test(t, file_cut_in_the_kernel_is_refused);
	tcase_add_test(t, setup_header_too_short_is_refused);
	tcase_add_test(t, setup_header_too_long_is_refused);
	tcase_add_test(t, kernel_of_no_bytes_is_refused);
	tcase_add_test(t, alignment_that_is_no_power_of_two_is_refused);
	tcase_add_test(t, alignment_0_is_refused);
	tcase_add_test(t, memory_without_a_low_page_is_refused);
	suite_add_tcase(s, t);
	return kit_run(s);
}
