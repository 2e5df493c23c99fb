/* Unit tests of memory.c, but for KVM slots: those need /dev/kvm, and the guest tests show them. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/map.h"
#include "vmm/memory.h"

static struct memory mem;
static struct err e;

static void teardown(void)
{
	memory_fini(&mem);
}

static const struct {
	uint64_t bytes, low, high;
	unsigned int ranges;
} layout[] = {
	{ 2 * MIB, 2 * MIB, 0, 1 },
	{ 2 * MIB + 4096, 2 * MIB + 4096, 0, 1 },
	{ 256 * MIB, 256 * MIB, 0, 1 },
	{ 3 * GIB - 4096, 3 * GIB - 4096, 0, 1 },
	{ 3 * GIB, 3 * GIB, 0, 1 },
	{ 3 * GIB + 4096, 3 * GIB, 4096, 2 },
	{ 4 * GIB, 3 * GIB, 1 * GIB, 2 },
	{ 64 * GIB, 3 * GIB, 61 * GIB, 2 },
};

START_TEST(ram_lies_below_3g_and_from_4g_up)
{
	ck_assert_int_eq(memory_init(&mem, layout[_i].bytes, &e), 0);
	ck_assert_uint_eq(mem.low_bytes, layout[_i].low);
	ck_assert_uint_eq(mem.high_bytes, layout[_i].high);
	ck_assert_uint_eq(mem.gmem.nr_ranges, layout[_i].ranges);
	ck_assert_uint_eq(mem.gmem.range[0].gpa, 0);
	ck_assert_uint_eq(mem.gmem.range[0].len, layout[_i].low);
}
END_TEST

START_TEST(bytes_behind_ram_are_no_ram)
{
	ck_assert_int_eq(memory_init(&mem, 4 * GIB, &e), 0);
	ck_assert_ptr_nonnull(gmem_hva(&mem.gmem, MAP_LOW_RAM_MAX - 1, 1));
	ck_assert_ptr_null(gmem_hva(&mem.gmem, MAP_LOW_RAM_MAX, 1));
	ck_assert_ptr_null(gmem_hva(&mem.gmem, MAP_HIGH_RAM_BASE - 1, 1));
	ck_assert_ptr_nonnull(gmem_hva(&mem.gmem, MAP_HIGH_RAM_BASE, 1));
	ck_assert_ptr_nonnull(gmem_hva(&mem.gmem, MAP_HIGH_RAM_BASE + GIB - 1, 1));
	ck_assert_ptr_null(gmem_hva(&mem.gmem, MAP_HIGH_RAM_BASE + GIB, 1));
}
END_TEST

START_TEST(low_and_high_ram_are_different_bytes)
{
	uint8_t low, high;

	ck_assert_int_eq(memory_init(&mem, 3 * GIB + 4096, &e), 0);
	ck_assert_int_eq(gmem_write(&mem.gmem, MAP_LOW_RAM_MAX - 1, "l", 1), 0);
	ck_assert_int_eq(gmem_write(&mem.gmem, MAP_HIGH_RAM_BASE, "h", 1), 0);
	ck_assert_int_eq(gmem_read(&mem.gmem, MAP_LOW_RAM_MAX - 1, &low, 1), 0);
	ck_assert_int_eq(gmem_read(&mem.gmem, MAP_HIGH_RAM_BASE, &high, 1), 0);
	ck_assert_uint_eq(low, 'l');
	ck_assert_uint_eq(high, 'h');
}
END_TEST

START_TEST(ram_begins_as_zeros_and_can_be_written_to_its_last_byte)
{
	const uint8_t zero[4096] = { 0 };
	uint8_t page[4096];

	ck_assert_int_eq(memory_init(&mem, 2 * MIB + 4096, &e), 0);
	ck_assert_int_eq(gmem_read(&mem.gmem, 2 * MIB, page, sizeof(page)), 0);
	ck_assert_mem_eq(page, zero, sizeof(page));
	memset(mem.backing.hva, 0xff, mem.backing.bytes);
}
END_TEST

static const struct {
	uint64_t bytes, align;
} congruent[] = {
	{ 2 * MIB, 2 * MIB }, { 100 * MIB, 2 * MIB }, { 1 * GIB, 1 * GIB }, { 3 * GIB + 4096, 1 * GIB }, { 16 * GIB, 1 * GIB },
};

/* Otherwise the host could never back guest pages with huge ones. */
START_TEST(host_and_guest_addresses_agree_modulo_huge_pages)
{
	ck_assert_int_eq(memory_init(&mem, congruent[_i].bytes, &e), 0);
	for (unsigned int i = 0; i < mem.gmem.nr_ranges; i++)
		ck_assert_uint_eq(((uintptr_t)mem.gmem.range[i].hva - mem.gmem.range[i].gpa) % congruent[_i].align, 0);
}
END_TEST

static const uint64_t too_much[] = { 1ull << 50, 1ull << 62, UINT64_MAX - 4095 };

START_TEST(more_than_the_host_can_map_is_refused_with_a_sentence)
{
	errno = 0;
	ck_assert_int_eq(memory_init(&mem, too_much[_i], &e), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(e.text, "cannot map"));
	ck_assert_ptr_nonnull(strstr(e.text, "MiB of guest memory: "));
	ck_assert_ptr_null(mem.backing.hva);
}
END_TEST

START_TEST(zeroed_memory_can_be_finished_twice)
{
	memory_fini(&mem);
	memory_fini(&mem);
}
END_TEST

static const struct {
	unsigned int bits;
	uint64_t want;
} widest[] = {
	{ 32, 3 * GIB },   { 33, 3 * GIB },   { 34, 7 * GIB },           { 36, 31 * GIB },      { 39, 255 * GIB },
	{ 46, 32767 * GIB }, { 48, 131071 * GIB }, { 52, 131071 * GIB }, { UINT32_MAX, 131071 * GIB },
};

/* The upper half is the 64-bit PCI window's; low RAM ends a gigabyte before high RAM begins. */
START_TEST(ram_ends_where_half_of_the_address_space_ends)
{
	ck_assert_uint_eq(memory_max_bytes(widest[_i].bits), widest[_i].want);
}
END_TEST

START_TEST(most_ram_stays_below_the_upper_half)
{
	const struct gmem_range *last;

	ck_assert_int_eq(memory_init(&mem, memory_max_bytes((unsigned int)_i), &e), 0);
	last = &mem.gmem.range[mem.gmem.nr_ranges - 1];
	ck_assert_uint_le(last->gpa + last->len, 1ull << (_i - 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory");
	TCase *t = tcase_create("memory");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(t, ram_lies_below_3g_and_from_4g_up, 0, ARRAY_SIZE(layout));
	tcase_add_test(t, bytes_behind_ram_are_no_ram);
	tcase_add_test(t, low_and_high_ram_are_different_bytes);
	tcase_add_test(t, ram_begins_as_zeros_and_can_be_written_to_its_last_byte);
	tcase_add_loop_test(t, host_and_guest_addresses_agree_modulo_huge_pages, 0, ARRAY_SIZE(congruent));
	tcase_add_loop_test(t, more_than_the_host_can_map_is_refused_with_a_sentence, 0, ARRAY_SIZE(too_much));
	tcase_add_test(t, zeroed_memory_can_be_finished_twice);
	tcase_add_loop_test(t, ram_ends_where_half_of_the_address_space_ends, 0, ARRAY_SIZE(widest));
	tcase_add_loop_test(t, most_ram_stays_below_the_upper_half, 34, 45);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
