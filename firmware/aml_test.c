/*
 * AML, byte for byte against what ACPI 6.5 (chapter 20, and 6.4 for resources) prescribes. That an
 * interpreter understands whole tables is acpi_test.c's matter.
 */
#include "firmware/aml.h"

#include <check.h>
#include <stdlib.h>

#define CHECK_BYTES(b, ...)                                                                \
	do {                                                                               \
		static const uint8_t want[] = { __VA_ARGS__ };                             \
		ck_assert_uint_eq((b)->len, sizeof(want));                                 \
		ck_assert_mem_eq((b)->data, want, sizeof(want));                           \
		buf_fini(b);                                                               \
	} while (0)

START_TEST(integer_takes_the_smallest_encoding)
{
	struct buf b = { 0 };

	aml_put_integer(&b, 0);
	aml_put_integer(&b, 1);
	aml_put_integer(&b, UINT64_MAX);
	CHECK_BYTES(&b, 0x00, 0x01, 0xff);
	aml_put_integer(&b, 2);
	aml_put_integer(&b, 0xff);
	CHECK_BYTES(&b, 0x0a, 0x02, 0x0a, 0xff);
	aml_put_integer(&b, 0x100);
	aml_put_integer(&b, 0xffff);
	CHECK_BYTES(&b, 0x0b, 0x00, 0x01, 0x0b, 0xff, 0xff);
	aml_put_integer(&b, 0x10000);
	aml_put_integer(&b, 0xffffffff);
	CHECK_BYTES(&b, 0x0c, 0x00, 0x00, 0x01, 0x00, 0x0c, 0xff, 0xff, 0xff, 0xff);
	aml_put_integer(&b, 0x100000000);
	CHECK_BYTES(&b, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00);
}
END_TEST

START_TEST(path_of_one_segment_is_padded)
{
	struct buf b = { 0 };

	aml_put_path(&b, "RTC");
	CHECK_BYTES(&b, 'R', 'T', 'C', '_');
	aml_put_path(&b, "\\_SB");
	CHECK_BYTES(&b, '\\', '_', 'S', 'B', '_');
	aml_put_path(&b, "^^X");
	CHECK_BYTES(&b, '^', '^', 'X', '_', '_', '_');
}
END_TEST

START_TEST(path_of_many_segments_has_a_prefix)
{
	struct buf b = { 0 };

	aml_put_path(&b, "\\_SB.PCI0");
	CHECK_BYTES(&b, '\\', 0x2e, '_', 'S', 'B', '_', 'P', 'C', 'I', '0');
	aml_put_path(&b, "A.BC.DEF");
	CHECK_BYTES(&b, 0x2f, 3, 'A', '_', '_', '_', 'B', 'C', '_', '_', 'D', 'E', 'F', '_');
}
END_TEST

START_TEST(string_ends_with_nul)
{
	struct buf b = { 0 };

	aml_put_string(&b, "ab");
	CHECK_BYTES(&b, 0x0d, 'a', 'b', 0);
}
END_TEST

/* The compressed id of PNP0A03 is a well-known one: 41 d0 0a 03. */
START_TEST(eisaid_is_compressed)
{
	struct buf b = { 0 };

	aml_put_eisaid(&b, "PNP0A03");
	CHECK_BYTES(&b, 0x0c, 0x41, 0xd0, 0x0a, 0x03);
	aml_put_eisaid(&b, "PNP0C02");
	CHECK_BYTES(&b, 0x0c, 0x41, 0xd0, 0x0c, 0x02);
}
END_TEST

/* ACPI 6.5, 19.6, ToUUID: aabbccdd-eeff-gghh-iijj-kkllmmnnoopp becomes dd cc bb aa ff ee hh gg ii jj ... */
START_TEST(uuid_is_mixed_endian)
{
	struct buf b = { 0 };

	aml_put_uuid(&b, "00112233-4455-6677-8899-aabbCCDDEEFF");
	CHECK_BYTES(&b, 0x11, 0x13, 0x0a, 0x10, 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa,
		    0xbb, 0xcc, 0xdd, 0xee, 0xff);
}
END_TEST

START_TEST(names_bind_values)
{
	struct buf b = { 0 };

	aml_put_name_integer(&b, "_UID", 3);
	CHECK_BYTES(&b, 0x08, '_', 'U', 'I', 'D', 0x0a, 3);
	aml_put_name_string(&b, "_DDN", "x");
	CHECK_BYTES(&b, 0x08, '_', 'D', 'D', 'N', 0x0d, 'x', 0);
	aml_put_name_eisaid(&b, "_HID", "PNP0A03");
	CHECK_BYTES(&b, 0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x0a, 0x03);
}
END_TEST

START_TEST(containers_have_their_opcodes)
{
	struct buf b = { 0 };

	aml_close(&b, aml_open_scope(&b, "_SB"));
	CHECK_BYTES(&b, 0x10, 5, '_', 'S', 'B', '_');
	aml_close(&b, aml_open_device(&b, "DEV0"));
	CHECK_BYTES(&b, 0x5b, 0x82, 5, 'D', 'E', 'V', '0');
	aml_close(&b, aml_open_method(&b, "_OSC", 4));
	CHECK_BYTES(&b, 0x14, 6, '_', 'O', 'S', 'C', 4);
	aml_close(&b, aml_open_package(&b, 0));
	CHECK_BYTES(&b, 0x12, 2, 0);
	aml_close(&b, aml_open_if(&b));
	aml_close(&b, aml_open_else(&b));
	CHECK_BYTES(&b, 0xa0, 1, 0xa1, 1);
}
END_TEST

START_TEST(container_measures_its_contents)
{
	struct buf b = { 0 };
	size_t outer = aml_open_scope(&b, "_SB"), inner = aml_open_device(&b, "DEV0");

	aml_put_name_integer(&b, "_UID", 1);
	aml_close(&b, inner);
	aml_close(&b, outer);
	CHECK_BYTES(&b, 0x10, 18, '_', 'S', 'B', '_', 0x5b, 0x82, 11, 'D', 'E', 'V', '0', 0x08, '_', 'U', 'I', 'D', 1);
}
END_TEST

/* 20.2.4: where the length of the length grows. total: bytes behind the opcode, length included. */
static const struct {
	size_t body, total;
	uint8_t bytes[4];
} lengths[] = {
	{ 0, 1, { 0x01 } },
	{ 62, 63, { 0x3f } },
	{ 63, 65, { 0x41, 0x04 } },
	{ 4093, 4095, { 0x4f, 0xff } },
	{ 4094, 4097, { 0x81, 0x00, 0x01 } },
	{ 0xfffff - 3, 0xfffff, { 0x8f, 0xff, 0xff } },
	{ 0xfffff - 2, 0xfffff + 2, { 0xc1, 0x00, 0x00, 0x01 } },
};

START_TEST(length_counts_itself_at_every_width)
{
	struct buf b = { 0 };
	size_t mark = aml_open_if(&b), width = lengths[_i].total - lengths[_i].body;

	buf_put_zero(&b, lengths[_i].body);
	aml_close(&b, mark);
	ck_assert_uint_eq(b.len, 1 + lengths[_i].total);
	ck_assert_mem_eq(b.data + 1, lengths[_i].bytes, width);
	buf_fini(&b);
}
END_TEST

START_TEST(operators_are_prefixes)
{
	struct buf b = { 0 };

	aml_put_op(&b, AML_STORE);
	aml_put_op(&b, AML_DEREF);
	aml_put_op(&b, AML_INDEX);
	aml_put_op(&b, AML_ARG0 + 3);
	aml_put_integer(&b, 8);
	aml_put_no_target(&b);
	aml_put_op(&b, AML_LOCAL0);
	CHECK_BYTES(&b, 0x70, 0x83, 0x88, 0x6b, 0x0a, 0x08, 0x00, 0x60);
}
END_TEST

START_TEST(resources_are_a_buffer_with_an_end_tag)
{
	struct buf b = { 0 };

	aml_close_resources(&b, aml_open_resources(&b));
	CHECK_BYTES(&b, 0x11, 0x05, 0x0a, 0x02, 0x79, 0x00);
}
END_TEST

START_TEST(small_resources_have_their_bytes)
{
	struct buf b = { 0 };

	aml_put_io(&b, 0x3f8, 8);
	CHECK_BYTES(&b, 0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08);
	aml_put_irq(&b, 8);
	CHECK_BYTES(&b, 0x22, 0x00, 0x01);
	aml_put_irq_shared(&b, 4);
	CHECK_BYTES(&b, 0x23, 0x10, 0x00, 0x11);
}
END_TEST

START_TEST(large_resources_have_their_bytes)
{
	struct buf b = { 0 };

	aml_put_memory32_fixed(&b, 0xe0000000, 0x100000);
	CHECK_BYTES(&b, 0x86, 0x09, 0x00, 0x01, 0x00, 0x00, 0x00, 0xe0, 0x00, 0x00, 0x10, 0x00);
	aml_put_bus_window(&b, 0, 255);
	CHECK_BYTES(&b, 0x88, 0x0d, 0x00, 0x02, 0x0c, 0x00, 0, 0, 0, 0, 0xff, 0, 0, 0, 0x00, 0x01);
	aml_put_io_window(&b, 0xd00, 0xffff);
	CHECK_BYTES(&b, 0x88, 0x0d, 0x00, 0x01, 0x0c, 0x03, 0, 0, 0x00, 0x0d, 0xff, 0xff, 0, 0, 0x00, 0xf3);
	aml_put_memory32_window(&b, 0xc0000000, 0x20000000);
	CHECK_BYTES(&b, 0x87, 0x17, 0x00, 0x00, 0x0c, 0x01, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff, 0xff, 0xdf, 0, 0,
		    0, 0, 0, 0, 0, 0x20);
	aml_put_memory64_window(&b, 1ull << 40, 1ull << 32);
	CHECK_BYTES(&b, 0x8a, 0x2b, 0x00, 0x00, 0x0c, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, /* granularity */
		    0, 0, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0,     /* first, last */
		    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0);                /* translation, length */
}
END_TEST

START_TEST(failed_buffer_stays_failed_and_harmless)
{
	struct buf b = { 0 };
	size_t mark = aml_open_scope(&b, "_SB"), resources = aml_open_resources(&b);

	b.failed = true;
	aml_put_name_string(&b, "_HID", "X");
	aml_close_resources(&b, resources);
	aml_close(&b, mark);
	ck_assert_int_lt(buf_status(&b), 0);
	buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("aml");
	TCase *tc = tcase_create("encodings");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, integer_takes_the_smallest_encoding);
	tcase_add_test(tc, path_of_one_segment_is_padded);
	tcase_add_test(tc, path_of_many_segments_has_a_prefix);
	tcase_add_test(tc, string_ends_with_nul);
	tcase_add_test(tc, eisaid_is_compressed);
	tcase_add_test(tc, uuid_is_mixed_endian);
	tcase_add_test(tc, names_bind_values);
	tcase_add_test(tc, containers_have_their_opcodes);
	tcase_add_test(tc, container_measures_its_contents);
	tcase_add_loop_test(tc, length_counts_itself_at_every_width, 0, ARRAY_SIZE(lengths));
	tcase_add_test(tc, operators_are_prefixes);
	tcase_add_test(tc, resources_are_a_buffer_with_an_end_tag);
	tcase_add_test(tc, small_resources_have_their_bytes);
	tcase_add_test(tc, large_resources_have_their_bytes);
	tcase_add_test(tc, failed_buffer_stays_failed_and_harmless);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
