/*
 * Unit tests of kvm_stats.c on files made here, well-formed and not. They do not show that KVM writes such files:
 * guest tests do.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/kvm_stats.h"

enum { NAME_BYTES = 16, DESC_BYTES = sizeof(struct kvm_stats_desc) + NAME_BYTES };

static FILE *file;
static char seen[4096];

static void setup(void)
{
	file = tmpfile();
	ck_assert_ptr_nonnull(file);
	seen[0] = '\0';
}

static void teardown(void)
{
	fclose(file);
}

static void put(uint64_t at, const void *bytes, size_t len)
{
	ck_assert_int_eq(pwrite(fileno(file), bytes, len, (off_t)at), (ssize_t)len);
}

static void put_header(uint32_t name_size, uint32_t nr, uint32_t desc_offset, uint32_t data_offset)
{
	struct kvm_stats_header header = {
		.name_size = name_size,
		.num_desc = nr,
		.id_offset = sizeof(header),
		.desc_offset = desc_offset,
		.data_offset = data_offset,
	};

	put(0, &header, sizeof(header));
}

/* Descriptor i behind a header and an id, as KVM lays them out. */
static void put_desc(unsigned int i, uint32_t flags, uint16_t size, uint32_t offset, const char *name)
{
	uint8_t bytes[DESC_BYTES] = { 0 };
	struct kvm_stats_desc desc = { .flags = flags, .size = size, .offset = offset };

	memcpy(bytes, &desc, sizeof(desc));
	memcpy(bytes + sizeof(desc), name, strnlen(name, NAME_BYTES)); /* a full name has no terminator */
	put(64 + i * DESC_BYTES, bytes, sizeof(bytes));
}

static void put_value(uint64_t at, uint64_t value)
{
	put(at, &value, sizeof(value));
}

static void note(void *ctx, const char *name, uint64_t value)
{
	size_t len = strlen(seen);

	ck_assert_ptr_eq(ctx, seen);
	snprintf(seen + len, sizeof(seen) - len, "%s=%llu ", name, (unsigned long long)value);
}

static int read_all(void)
{
	return kvm_stats_read(fileno(file), note, seen);
}

START_TEST(numbers_come_in_order_and_raw)
{
	put_header(NAME_BYTES, 3, 64, 512);
	put_desc(0, KVM_STATS_TYPE_CUMULATIVE, 1, 16, "pages_4k");
	put_desc(1, KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BYTES | KVM_STATS_BASE_POW2, 1, 0, "pages_2m");
	put_desc(2, KVM_STATS_TYPE_PEAK, 1, 8, "peak");
	put_value(512, 7);
	put_value(520, UINT64_MAX);
	put_value(528, 0);
	ck_assert_int_eq(read_all(), 0);
	ck_assert_str_eq(seen, "pages_4k=0 pages_2m=7 peak=18446744073709551615 ");
}
END_TEST

START_TEST(histograms_and_unknown_types_are_left_out)
{
	put_header(NAME_BYTES, 5, 64, 512);
	put_desc(0, KVM_STATS_TYPE_LINEAR_HIST, 1, 0, "linear");
	put_desc(1, KVM_STATS_TYPE_LOG_HIST, 32, 0, "logarithmic");
	put_desc(2, KVM_STATS_TYPE_MASK, 1, 0, "tomorrow");
	put_desc(3, KVM_STATS_TYPE_INSTANT, 1, 0, "number");
	put_desc(4, KVM_STATS_TYPE_INSTANT, 2, 0, "pair");
	put_value(512, 1);
	ck_assert_int_eq(read_all(), 0);
	ck_assert_str_eq(seen, "number=1 ");
}
END_TEST

START_TEST(name_without_terminator_ends_where_its_room_does)
{
	put_header(NAME_BYTES, 1, 64, 512);
	put_desc(0, KVM_STATS_TYPE_INSTANT, 1, 0, "0123456789abcdef");
	put_value(512, 5);
	ck_assert_int_eq(read_all(), 0);
	ck_assert_str_eq(seen, "0123456789abcdef=5 ");
}
END_TEST

START_TEST(empty_file_is_no_statistics)
{
	ck_assert_int_eq(read_all(), -EPROTO);
}
END_TEST

START_TEST(no_descriptors_are_no_error)
{
	put_header(NAME_BYTES, 0, UINT32_MAX, UINT32_MAX);
	ck_assert_int_eq(read_all(), 0);
	ck_assert_str_eq(seen, "");
}
END_TEST

START_TEST(names_without_room_or_too_long_are_refused)
{
	put_value(1 << 20, 0); /* so that there is enough to read */
	put_header(0, 1, 64, 512);
	ck_assert_int_eq(read_all(), -EPROTO);
	put_header(513, 1, 64, 512);
	ck_assert_int_eq(read_all(), -EPROTO);
	put_header(UINT32_MAX, 1, 64, 512);
	ck_assert_int_eq(read_all(), -EPROTO);
}
END_TEST

START_TEST(longest_name_fits)
{
	struct kvm_stats_desc desc = { .size = 1 };
	char name[512];

	memset(name, 'n', sizeof(name));
	put_header(sizeof(name), 1, 64, 1024);
	put(64, &desc, sizeof(desc));
	put(64 + sizeof(desc), name, sizeof(name));
	put_value(1024, 9);
	ck_assert_int_eq(read_all(), 0);
	ck_assert_uint_eq(strspn(seen, "n"), sizeof(name));
	ck_assert_str_eq(seen + sizeof(name), "=9 ");
}
END_TEST

START_TEST(more_statistics_than_any_kernel_has_are_refused)
{
	put_header(NAME_BYTES, UINT32_MAX, 64, 512);
	put_value(512, 0);
	ck_assert_int_eq(read_all(), -EPROTO);
}
END_TEST

START_TEST(descriptors_or_values_beyond_the_end_are_refused)
{
	put_header(NAME_BYTES, 1, UINT32_MAX, 512);
	ck_assert_int_eq(read_all(), -EPROTO);
	put_header(NAME_BYTES, 1, 64, UINT32_MAX);
	put_desc(0, KVM_STATS_TYPE_INSTANT, 1, UINT32_MAX, "far");
	ck_assert_int_eq(read_all(), -EPROTO);
	ck_assert_str_eq(seen, "");
}
END_TEST

START_TEST(what_is_no_vm_has_no_statistics)
{
	ck_assert_int_eq(kvm_stats_each(fileno(file), note, seen), -EOPNOTSUPP);
	ck_assert_int_eq(kvm_stats_each(-1, note, seen), -EBADF);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kvm_stats");
	TCase *tc = tcase_create("kvm_stats");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, numbers_come_in_order_and_raw);
	tcase_add_test(tc, histograms_and_unknown_types_are_left_out);
	tcase_add_test(tc, name_without_terminator_ends_where_its_room_does);
	tcase_add_test(tc, empty_file_is_no_statistics);
	tcase_add_test(tc, no_descriptors_are_no_error);
	tcase_add_test(tc, names_without_room_or_too_long_are_refused);
	tcase_add_test(tc, longest_name_fits);
	tcase_add_test(tc, more_statistics_than_any_kernel_has_are_refused);
	tcase_add_test(tc, descriptors_or_values_beyond_the_end_are_refused);
	tcase_add_test(tc, what_is_no_vm_has_no_statistics);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
