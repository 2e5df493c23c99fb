/* Unit tests of gmem.c: two ranges that touch, one apart. What is RAM is decided elsewhere. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/gmem.h"

#define PAGE 0x1000ull
#define LOW  0x10000ull        /* two pages */
#define MID  (LOW + 2 * PAGE)  /* one page, touches LOW's end */
#define FAR  0x100000000ull    /* one page */

static uint8_t low[2 * PAGE], mid[PAGE], far[PAGE];
static struct gmem m;
static struct err e;

static void setup(void)
{
	m = (struct gmem){ 0 };
	e = (struct err){ 0 };
	memset(low, 0x11, sizeof(low));
	memset(mid, 0x22, sizeof(mid));
	memset(far, 0x33, sizeof(far));
	/* Not in the order of addresses: the table sorts. */
	ck_assert_int_eq(gmem_add(&m, FAR, sizeof(far), far, &e), 0);
	ck_assert_int_eq(gmem_add(&m, LOW, sizeof(low), low, &e), 0);
	ck_assert_int_eq(gmem_add(&m, MID, sizeof(mid), mid, &e), 0);
}

START_TEST(ranges_are_kept_by_rising_address)
{
	ck_assert_uint_eq(m.nr_ranges, 3);
	ck_assert_uint_eq(m.range[0].gpa, LOW);
	ck_assert_uint_eq(m.range[1].gpa, MID);
	ck_assert_uint_eq(m.range[2].gpa, FAR);
	ck_assert_ptr_eq(m.range[1].hva, mid);
}
END_TEST

static const struct {
	uint64_t gpa, len;
} bad_range[] = {
	{ 0x500000, 0 },                 /* empty */
	{ 0x500000, UINT64_MAX },        /* wraps */
	{ UINT64_MAX - PAGE + 1, PAGE }, /* its end is no number */
	{ LOW, PAGE },                   /* the same begin */
	{ LOW + PAGE, PAGE },            /* inside */
	{ LOW - PAGE, 2 * PAGE },        /* over the begin */
	{ LOW - PAGE, 8 * PAGE },        /* around two of them */
	{ MID, 2 * PAGE },               /* over the end */
	{ FAR - PAGE, PAGE + 1 },        /* one byte too many */
};

START_TEST(range_that_is_empty_wraps_or_overlaps_is_refused)
{
	ck_assert_int_eq(gmem_add(&m, bad_range[_i].gpa, bad_range[_i].len, low, &e), -EINVAL);
	ck_assert_str_ne(e.text, "");
	ck_assert_uint_eq(m.nr_ranges, 3);
}
END_TEST

START_TEST(more_ranges_than_fit_are_refused)
{
	for (uint64_t i = m.nr_ranges; i < GMEM_MAX_RANGES; i++)
		ck_assert_int_eq(gmem_add(&m, FAR + 2 * i * PAGE, PAGE, far, &e), 0);
	ck_assert_int_eq(gmem_add(&m, FAR + 4096 * PAGE, PAGE, far, &e), -ENOSPC);
	ck_assert_uint_eq(m.nr_ranges, GMEM_MAX_RANGES);
}
END_TEST

START_TEST(hva_inside_one_range_points_to_it)
{
	ck_assert_ptr_eq(gmem_hva(&m, LOW, 2 * PAGE), low);
	ck_assert_ptr_eq(gmem_hva(&m, LOW + 5, 1), low + 5);
	ck_assert_ptr_eq(gmem_hva(&m, MID - 1, 1), low + 2 * PAGE - 1);
	ck_assert_ptr_eq(gmem_hva(&m, FAR + PAGE - 8, 8), far + PAGE - 8);
}
END_TEST

static const struct {
	uint64_t gpa;
	size_t len;
} no_hva[] = {
	{ 0, 1 },
	{ LOW - 1, 1 },
	{ LOW - 1, 2 },
	{ LOW, 2 * PAGE + 1 },     /* leaves its range, although RAM follows */
	{ MID - 1, 2 },
	{ MID + PAGE, 1 },
	{ MID + PAGE, 0 },         /* a length of 0 needs a valid address, too */
	{ FAR, SIZE_MAX },
	{ FAR + 1, SIZE_MAX },     /* gpa + len wraps to RAM's begin */
	{ UINT64_MAX, 1 },
	{ UINT64_MAX, SIZE_MAX },
};

START_TEST(hva_that_leaves_its_range_is_null)
{
	ck_assert_ptr_null(gmem_hva(&m, no_hva[_i].gpa, no_hva[_i].len));
}
END_TEST

START_TEST(hva_of_length_0_inside_ram_is_valid)
{
	ck_assert_ptr_eq(gmem_hva(&m, LOW + 7, 0), low + 7);
}
END_TEST

START_TEST(read_across_touching_ranges_gives_both)
{
	uint8_t got[4] = { 0 };
	const uint8_t want[4] = { 0x11, 0x11, 0x22, 0x22 };

	ck_assert_int_eq(gmem_read(&m, MID - 2, got, 4), 0);
	ck_assert_mem_eq(got, want, 4);
}
END_TEST

START_TEST(write_across_touching_ranges_reaches_both)
{
	ck_assert_int_eq(gmem_write(&m, MID - 2, "abcd", 4), 0);
	ck_assert_mem_eq(low + 2 * PAGE - 2, "ab", 2);
	ck_assert_mem_eq(mid, "cd", 2);
	ck_assert_uint_eq(low[2 * PAGE - 3], 0x11);
	ck_assert_uint_eq(mid[2], 0x22);
}
END_TEST

START_TEST(zero_across_touching_ranges_clears_no_more_than_asked)
{
	ck_assert_int_eq(gmem_zero(&m, MID - 1, PAGE), 0);
	ck_assert_uint_eq(low[2 * PAGE - 2], 0x11);
	ck_assert_uint_eq(low[2 * PAGE - 1], 0);
	ck_assert_uint_eq(mid[PAGE - 2], 0);
	ck_assert_uint_eq(mid[PAGE - 1], 0x22);
}
END_TEST

static const struct {
	uint64_t gpa;
	size_t len;
} not_ram[] = {
	{ LOW - 1, 2 },
	{ MID, PAGE + 1 },
	{ LOW, 3 * PAGE + 1 },     /* both touching ranges, and a byte behind them */
	{ FAR + PAGE - 1, 2 },
	{ UINT64_MAX, 2 },
	{ FAR, SIZE_MAX },
	{ FAR + PAGE - 1, SIZE_MAX },
};

START_TEST(span_with_a_byte_outside_ram_copies_nothing)
{
	static uint8_t want_low[2 * PAGE], want_mid[PAGE], want_far[PAGE];
	uint8_t buf[1] = { 0xaa };

	memset(want_low, 0x11, sizeof(want_low));
	memset(want_mid, 0x22, sizeof(want_mid));
	memset(want_far, 0x33, sizeof(want_far));
	ck_assert_int_eq(gmem_read(&m, not_ram[_i].gpa, buf, not_ram[_i].len), -EFAULT);
	ck_assert_int_eq(gmem_write(&m, not_ram[_i].gpa, buf, not_ram[_i].len), -EFAULT);
	ck_assert_int_eq(gmem_zero(&m, not_ram[_i].gpa, not_ram[_i].len), -EFAULT);
	ck_assert_uint_eq(buf[0], 0xaa);
	ck_assert_mem_eq(low, want_low, sizeof(low));
	ck_assert_mem_eq(mid, want_mid, sizeof(mid));
	ck_assert_mem_eq(far, want_far, sizeof(far));
}
END_TEST

START_TEST(empty_memory_has_no_ram)
{
	struct gmem none = { 0 };
	uint8_t b;

	ck_assert_ptr_null(gmem_hva(&none, 0, 0));
	ck_assert_int_eq(gmem_read(&none, 0, &b, 1), -EFAULT);
}
END_TEST

/* ---- giving back ---- */

enum { PAGES = 16, BEFORE = 3 /* pages of the file that are not ours */ };

static uint8_t *pages; /* PAGES of them, at LOW */
static int fd;         /* the file that is mapped, or -1 */

static void file_pages(unsigned int nr)
{
	ck_assert_int_eq(ftruncate(fd, (off_t)(BEFORE + nr) * (off_t)PAGE), 0);
}

static void map_pages(bool shared)
{
	fd = shared ? memfd_create("gmem_test", MFD_CLOEXEC) : -1;
	if (shared)
		file_pages(PAGES);
	pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		     shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, shared ? BEFORE * PAGE : 0);
	ck_assert_ptr_ne(pages, MAP_FAILED);
	memset(pages, 0x55, PAGES * PAGE);
	m = (struct gmem){ 0 };
	ck_assert_int_eq(gmem_add(&m, LOW, 10 * PAGE, pages, &e), 0);
	ck_assert_int_eq(gmem_add(&m, LOW + 10 * PAGE, (PAGES - 10) * PAGE, pages + 10 * PAGE, &e), 0);
	ck_assert_int_eq(m.range[0].fd, -1);
	m.range[0].fd = m.range[1].fd = fd;
	m.range[0].fd_offset = BEFORE * PAGE;
	m.range[1].fd_offset = (BEFORE + 10) * PAGE;
}

/* How many of the pages read as zeros; every other one must be as it was. */
static unsigned int zero_pages(void)
{
	unsigned int zero = 0;

	for (unsigned int i = 0; i < PAGES; i++) {
		uint8_t first = pages[i * PAGE];

		ck_assert(first == 0 || first == 0x55);
		for (unsigned int b = 0; b < PAGE; b++)
			ck_assert_uint_eq(pages[i * PAGE + b], first);
		zero += !first;
	}
	return zero;
}

static unsigned int resident_pages(void)
{
	unsigned char in[PAGES];
	unsigned int nr = 0;

	ck_assert_int_eq(mincore(pages, PAGES * PAGE, in), 0);
	for (unsigned int i = 0; i < PAGES; i++)
		nr += in[i] & 1;
	return nr;
}

/* _i: is a file mapped? */
START_TEST(discarded_pages_are_gone_and_read_as_zeros)
{
	map_pages(_i);
	ck_assert_int_eq(gmem_discard(&m, LOW + 3 * PAGE, 4 * PAGE), 4 * PAGE);
	ck_assert_uint_eq(resident_pages(), PAGES - 4);
	ck_assert_uint_eq(zero_pages(), 4);
	ck_assert_uint_eq(pages[3 * PAGE], 0);
	ck_assert_uint_eq(pages[6 * PAGE], 0);
}
END_TEST

START_TEST(discard_across_touching_ranges_takes_both)
{
	map_pages(_i);
	ck_assert_int_eq(gmem_discard(&m, LOW + 8 * PAGE, 4 * PAGE), 4 * PAGE);
	ck_assert_uint_eq(zero_pages(), 4);
}
END_TEST

START_TEST(discard_leaves_parts_of_pages_alone)
{
	map_pages(_i);
	ck_assert_int_eq(gmem_discard(&m, LOW + 1, 2 * PAGE - 2), 0);
	ck_assert_int_eq(gmem_discard(&m, LOW + PAGE - 1, PAGE + 1), PAGE);
	ck_assert_int_eq(gmem_discard(&m, LOW + PAGE, 0), 0);
	ck_assert_uint_eq(zero_pages(), 1);
}
END_TEST

START_TEST(discard_takes_whole_pages_of_the_backing_only)
{
	uint64_t gpa, skip;

	map_pages(_i);
	m.range[0].page_bytes = 4 * PAGE;
	skip = align_up((uintptr_t)pages, 4 * PAGE) - (uintptr_t)pages;
	gpa = LOW + skip;
	ck_assert_int_eq(gmem_discard(&m, gpa, 4 * PAGE - 1), 0);
	ck_assert_int_eq(gmem_discard(&m, gpa + PAGE, 4 * PAGE), 0);
	ck_assert_int_eq(gmem_discard(&m, gpa, 6 * PAGE), 4 * PAGE);
	ck_assert_uint_eq(zero_pages(), 4);
	ck_assert_uint_eq(pages[skip], 0);
}
END_TEST

START_TEST(discard_beside_ram_gives_nothing_back)
{
	map_pages(false);
	ck_assert_int_eq(gmem_discard(&m, LOW - PAGE, 2 * PAGE), -EFAULT);
	ck_assert_int_eq(gmem_discard(&m, LOW, (PAGES + 1) * PAGE), -EFAULT);
	ck_assert_int_eq(gmem_discard(&m, LOW + PAGE, UINT64_MAX), -EFAULT);
	ck_assert_int_eq(gmem_discard_host(&m, pages - 1, PAGE), -EFAULT);
	ck_assert_int_eq(gmem_discard_host(&m, pages + 9 * PAGE, 2 * PAGE), -EFAULT); /* leaves its range */
	ck_assert_int_eq(gmem_discard_host(&m, pages + PAGE, UINT64_MAX), -EFAULT);
	ck_assert_uint_eq(zero_pages(), 0);
}
END_TEST

START_TEST(discard_by_host_address_takes_the_same_pages)
{
	map_pages(_i);
	ck_assert_int_eq(gmem_discard_host(&m, pages + 11 * PAGE, 5 * PAGE), 5 * PAGE);
	ck_assert_uint_eq(zero_pages(), 5);
	ck_assert_uint_eq(pages[11 * PAGE], 0);
}
END_TEST

/* --memory lock=on; mlock(2) is happy with so little. */
START_TEST(locked_pages_are_given_back_too)
{
	map_pages(_i);
	ck_assert_int_eq(mlock(pages, PAGES * PAGE), 0);
	ck_assert_int_eq(gmem_discard(&m, LOW + 8 * PAGE, 4 * PAGE), 4 * PAGE);
	ck_assert_uint_eq(resident_pages(), PAGES - 4);
	ck_assert_uint_eq(zero_pages(), 4);
}
END_TEST

START_TEST(file_that_has_no_holes_refuses_and_keeps_its_pages)
{
	int to_nowhere[2];

	map_pages(true);
	ck_assert_int_eq(pipe(to_nowhere), 0);
	m.range[0].fd = to_nowhere[1];
	ck_assert_int_lt(gmem_discard(&m, LOW, 4 * PAGE), 0);
	ck_assert_uint_eq(zero_pages(), 0);
}
END_TEST

/* ---- having it again ---- */

START_TEST(populated_pages_are_there_and_others_are_as_they_were)
{
	map_pages(_i);
	ck_assert_int_eq(gmem_discard(&m, LOW + 4 * PAGE, 10 * PAGE), 10 * PAGE);
	ck_assert_int_eq(gmem_populate(&m, LOW + 9 * PAGE + 5, PAGE),
			 0); /* parts of two pages, in two ranges */
	ck_assert_uint_eq(resident_pages(), PAGES - 8);
	ck_assert_int_eq(gmem_populate(&m, LOW, PAGES * PAGE), 0);
	ck_assert_uint_eq(resident_pages(), PAGES);
	ck_assert_uint_eq(zero_pages(), 10);
}
END_TEST

/* A file that has become shorter is like a pool without pages: touching would be SIGBUS. */
START_TEST(page_that_cannot_be_had_is_no_memory_until_it_can)
{
	map_pages(true);
	file_pages(12);
	ck_assert_int_eq(gmem_populate(&m, LOW + 11 * PAGE, PAGE), 0);
	ck_assert_int_eq(gmem_populate(&m, LOW + 12 * PAGE, 1), -ENOMEM);
	ck_assert_int_eq(gmem_populate(&m, LOW, PAGES * PAGE), -ENOMEM);
	file_pages(PAGES);
	ck_assert_int_eq(gmem_populate(&m, LOW + 12 * PAGE, 1), 0);
	ck_assert_uint_eq(pages[12 * PAGE], 0);
}
END_TEST

START_TEST(populate_beside_ram_is_refused)
{
	map_pages(false);
	ck_assert_int_eq(gmem_populate(&m, LOW - 1, 2), -EFAULT);
	ck_assert_int_eq(gmem_populate(&m, LOW, PAGES * PAGE + 1), -EFAULT);
	ck_assert_int_eq(gmem_populate(&m, LOW + PAGE, UINT64_MAX), -EFAULT);
	ck_assert_int_eq(gmem_populate(&m, LOW + PAGE, 0), 0);
}
END_TEST

static uint64_t file_bytes(void)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* The kernel says EINVAL to a mapping that cannot be written, as an old one says to the advice it does not know. */
START_TEST(without_the_advice_the_file_is_asked_for_large_pages_only)
{
	uint64_t full;

	map_pages(true);
	full = file_bytes();
	ck_assert_int_eq(gmem_discard(&m, LOW + PAGE, 4 * PAGE), 4 * PAGE);
	ck_assert_int_eq(mprotect(pages, PAGES * PAGE, PROT_READ), 0);
	ck_assert_int_eq(gmem_populate(&m, LOW + PAGE, 4 * PAGE), 0);
	ck_assert_uint_eq(file_bytes(), full - 4 * PAGE);
	m.range[0].page_bytes = 4 * PAGE;
	ck_assert_int_eq(gmem_populate(&m, LOW + PAGE, 4 * PAGE), 0);
	ck_assert_uint_eq(file_bytes(), full);
	m.range[0].fd = m.range[1].fd = -1;
	ck_assert_int_eq(gmem_populate(&m, LOW, PAGES * PAGE), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gmem");
	TCase *t = tcase_create("gmem");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, ranges_are_kept_by_rising_address);
	tcase_add_loop_test(t, range_that_is_empty_wraps_or_overlaps_is_refused, 0, ARRAY_SIZE(bad_range));
	tcase_add_test(t, more_ranges_than_fit_are_refused);
	tcase_add_test(t, hva_inside_one_range_points_to_it);
	tcase_add_loop_test(t, hva_that_leaves_its_range_is_null, 0, ARRAY_SIZE(no_hva));
	tcase_add_test(t, hva_of_length_0_inside_ram_is_valid);
	tcase_add_test(t, read_across_touching_ranges_gives_both);
	tcase_add_test(t, write_across_touching_ranges_reaches_both);
	tcase_add_test(t, zero_across_touching_ranges_clears_no_more_than_asked);
	tcase_add_loop_test(t, span_with_a_byte_outside_ram_copies_nothing, 0, ARRAY_SIZE(not_ram));
	tcase_add_test(t, empty_memory_has_no_ram);
	tcase_add_loop_test(t, discarded_pages_are_gone_and_read_as_zeros, 0, 2);
	tcase_add_loop_test(t, discard_across_touching_ranges_takes_both, 0, 2);
	tcase_add_loop_test(t, discard_leaves_parts_of_pages_alone, 0, 2);
	tcase_add_loop_test(t, discard_takes_whole_pages_of_the_backing_only, 0, 2);
	tcase_add_test(t, discard_beside_ram_gives_nothing_back);
	tcase_add_loop_test(t, discard_by_host_address_takes_the_same_pages, 0, 2);
	tcase_add_loop_test(t, locked_pages_are_given_back_too, 0, 2);
	tcase_add_test(t, file_that_has_no_holes_refuses_and_keeps_its_pages);
	tcase_add_loop_test(t, populated_pages_are_there_and_others_are_as_they_were, 0, 2);
	tcase_add_test(t, page_that_cannot_be_had_is_no_memory_until_it_can);
	tcase_add_test(t, populate_beside_ram_is_refused);
	tcase_add_test(t, without_the_advice_the_file_is_asked_for_large_pages_only);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
