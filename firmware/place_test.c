/* Finding room in a memory map. */
#include "firmware/place.h"

#include "firmware/boot_testkit.h"

#include <errno.h>

static struct platform platform;
static struct place place;
static struct err err;
static uint64_t at;

/* RAM 0-0x9fbff, 0x100000-0x3fffff in two pieces that touch, 0x800000-0xffffff, and some above 4 GiB. */
static void setup(void)
{
	platform = (struct platform){ .nr_map = 6,
				      .map = {
					      { 0, 0x9fc00, MEM_RAM },
					      { 0x9fc00, 0x400, MEM_RESERVED },
					      { 0x100000, 0x100000, MEM_RAM },
					      { 0x200000, 0x200000, MEM_RAM },
					      { 0x800000, 0x800000, MEM_RAM },
					      { 4 * GIB, GIB, MEM_RAM },
				      } };
	place_init(&place, &platform, 0xf00000);
}

START_TEST(claim_across_touching_ranges_is_taken)
{
	ck_assert_int_eq(place_claim(&place, 0x1ff000, 0x2000, "x", &err), 0);
}
END_TEST

START_TEST(claim_outside_ram_says_where_ram_is)
{
	ck_assert_int_eq(place_claim(&place, 0x3ff000, 0x1001, "x", &err), -ENOSPC);

	ck_assert_ptr_nonnull(strstr(err.text, "0x3ff000 and 0x1001 bytes from there are not all free RAM"));
	ck_assert_ptr_nonnull(strstr(err.text, "0x0-0x9fbff and 0x100000-0x3fffff and 0x800000-0xefffff"));
}
END_TEST

START_TEST(claim_of_impossible_numbers_is_refused)
{
	ck_assert_int_eq(place_claim(&place, UINT64_MAX, 1, "x", &err), -ENOSPC);
	ck_assert_int_eq(place_claim(&place, 0x1000, UINT64_MAX, "x", &err), -ENOSPC);
	ck_assert_int_eq(place_claim(&place, UINT64_MAX - 5, UINT64_MAX - 5, "x", &err), -ENOSPC);
}
END_TEST

START_TEST(claim_at_the_limit_is_refused)
{
	ck_assert_int_eq(place_claim(&place, 0xeff000, 0x1000, "x", &err), 0);
	ck_assert_int_eq(place_claim(&place, 0xf00000, 0x1000, "x", &err), -ENOSPC);
	ck_assert_int_eq(place_claim(&place, 4 * GIB, 0x1000, "x", &err), -ENOSPC);
}
END_TEST

START_TEST(claim_above_4_gib_is_refused_whatever_the_limit)
{
	place_init(&place, &platform, UINT64_MAX);

	ck_assert_int_eq(place_claim(&place, 4 * GIB, 0x1000, "x", &err), -ENOSPC);
}
END_TEST

START_TEST(claim_of_taken_says_by_what)
{
	ck_assert_int_eq(place_claim(&place, 0x100000, 0x1000, "the kernel", &err), 0);

	ck_assert_int_eq(place_claim(&place, 0x100fff, 1, "x", &err), -ENOSPC);
	ck_assert_str_eq(err.text, "0x100fff-0x100fff overlaps the kernel at 0x100000-0x100fff");
	ck_assert_int_eq(place_claim(&place, 0x101000, 1, "x", &err), 0);
}
END_TEST

START_TEST(claim_when_the_list_is_full_is_refused)
{
	for (unsigned int i = 0; i < PLACE_MAX_SPANS; i++)
		ck_assert_int_eq(place_claim(&place, 0x100000 + i, 1, "x", &err), 0);

	ck_assert_int_eq(place_claim(&place, 0x200000, 1, "x", &err), -ENOSPC);
}
END_TEST

START_TEST(lowest_steps_over_what_is_taken)
{
	ck_assert_int_eq(place_claim(&place, 0x100000, 0x1001, "a", &err), 0);
	ck_assert_int_eq(place_claim(&place, 0x102000, 0x1000, "b", &err), 0);

	ck_assert_int_eq(place_lowest(&place, 0x1000, 0x1000, 0x100000, UINT64_MAX, &at), 0);
	ck_assert_uint_eq(at, 0x103000);
}
END_TEST

START_TEST(lowest_goes_to_the_next_range_when_short)
{
	ck_assert_int_eq(place_lowest(&place, 0x400000, 0x200000, 0x1000, UINT64_MAX, &at), 0);
	ck_assert_uint_eq(at, 0x800000);
}
END_TEST

START_TEST(lowest_respects_the_ceiling)
{
	ck_assert_int_eq(place_lowest(&place, 0x1000, 16, 0x9f000, MIB, &at), -ENOSPC);
	ck_assert_int_eq(place_lowest(&place, 0xc00, 16, 0x9f000, MIB, &at), 0);
	ck_assert_uint_eq(at, 0x9f000);
}
END_TEST

START_TEST(lowest_with_an_impossible_floor_finds_nothing)
{
	ck_assert_int_eq(place_lowest(&place, 0x1000, GIB, UINT64_MAX, UINT64_MAX, &at), -ENOSPC);
	ck_assert_int_eq(place_lowest(&place, UINT64_MAX, 16, 0, UINT64_MAX, &at), -ENOSPC);
}
END_TEST

START_TEST(highest_ends_at_the_limit)
{
	ck_assert_int_eq(place_highest(&place, 0x1800, 0x1000, MIB, UINT64_MAX, &at), 0);
	ck_assert_uint_eq(at, 0xefe000);
}
END_TEST

START_TEST(highest_stays_below_the_ceiling_and_what_is_taken)
{
	ck_assert_int_eq(place_claim(&place, 0x3f0000, 0x10000, "a", &err), 0);

	ck_assert_int_eq(place_highest(&place, 0x1000, 0x1000, MIB, 0x700000, &at), 0);
	ck_assert_uint_eq(at, 0x3ef000);
}
END_TEST

START_TEST(highest_stays_above_the_floor)
{
	ck_assert_int_eq(place_highest(&place, 0x400000, 0x1000, MIB, 0x800000, &at), -ENOSPC);
	ck_assert_int_eq(place_highest(&place, UINT64_MAX, 0x1000, MIB, UINT64_MAX, &at), -ENOSPC);
}
END_TEST

START_TEST(describe_without_ram_says_nowhere)
{
	char text[32];

	place_init(&place, &platform, 0);
	place_describe_ram(&place, text, sizeof(text));

	ck_assert_str_eq(text, "nowhere");
}
END_TEST

START_TEST(describe_into_too_little_room_is_cut)
{
	char text[16];

	place_describe_ram(&place, text, sizeof(text));

	ck_assert_str_eq(text, "0x0-0x9fbff and");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("place");
	TCase *t = tcase_create("place");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, claim_across_touching_ranges_is_taken);
	tcase_add_test(t, claim_outside_ram_says_where_ram_is);
	tcase_add_test(t, claim_of_impossible_numbers_is_refused);
	tcase_add_test(t, claim_at_the_limit_is_refused);
	tcase_add_test(t, claim_above_4_gib_is_refused_whatever_the_limit);
	tcase_add_test(t, claim_of_taken_says_by_what);
	tcase_add_test(t, claim_when_the_list_is_full_is_refused);
	tcase_add_test(t, lowest_steps_over_what_is_taken);
	tcase_add_test(t, lowest_goes_to_the_next_range_when_short);
	tcase_add_test(t, lowest_respects_the_ceiling);
	tcase_add_test(t, lowest_with_an_impossible_floor_finds_nothing);
	tcase_add_test(t, highest_ends_at_the_limit);
	tcase_add_test(t, highest_stays_below_the_ceiling_and_what_is_taken);
	tcase_add_test(t, highest_stays_above_the_floor);
	tcase_add_test(t, describe_without_ram_says_nowhere);
	tcase_add_test(t, describe_into_too_little_room_is_cut);
	suite_add_tcase(s, t);
	return kit_run(s);
}
