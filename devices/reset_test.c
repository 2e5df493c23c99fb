/* Unit tests of reset.c. */
#include <check.h>
#include <stdlib.h>

#include "devices/fake_host.h"
#include "devices/reset.h"
#include "vmm/base/map.h"

static struct reset_port port;

static void setup(void)
{
	memset(&fake_stopped, 0, sizeof(fake_stopped));
	reset_port_init(&port, &fake_host);
}

static void teardown(void)
{
	reset_port_fini(&port);
}

static void put(uint8_t val)
{
	reset_port_io_ops.write(&port, 0, 1, val);
}

static uint64_t get(void)
{
	return reset_port_io_ops.read(&port, 0, 1);
}

START_TEST(value_of_the_fadt_resets)
{
	put(RESET_VALUE);
	ck_assert_uint_eq(fake_stopped.stops, 1);
	ck_assert_int_eq(fake_stopped.why, STOP_RESET);
}
END_TEST

START_TEST(type_alone_does_not_reset_and_reads_back)
{
	put(0x0a);
	ck_assert_uint_eq(fake_stopped.stops, 0);
	ck_assert_uint_eq(get(), 0x0a);
}
END_TEST

START_TEST(only_the_rising_bit_resets)
{
	put(0x02);
	put(0x06);
	put(0x06);
	ck_assert_uint_eq(fake_stopped.stops, 1);
	put(0x02);
	put(0x06);
	ck_assert_uint_eq(fake_stopped.stops, 2);
}
END_TEST

START_TEST(undefined_bits_read_zero)
{
	put(0xf1);
	ck_assert_uint_eq(get(), 0x00);
	ck_assert_uint_eq(fake_stopped.stops, 0);
}
END_TEST

START_TEST(other_offsets_and_widths_are_harmless)
{
	reset_port_io_ops.write(&port, 1, 4, 0x06060606);
	ck_assert_uint_eq(reset_port_io_ops.read(&port, 1, 4), 0xffffffff);
	ck_assert_uint_eq(reset_port_io_ops.read(&port, 0, 2), 0xff00);
	ck_assert_uint_eq(fake_stopped.stops, 0);
}
END_TEST

START_TEST(reset_clears_and_load_restores)
{
	struct buf b = { 0 };
	struct state_reader r;
	struct err e;

	put(0x0a);
	reset_port_dev_ops.save(&port, &b);
	reset_port_dev_ops.reset(&port);
	ck_assert_uint_eq(get(), 0x00);
	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_int_eq(reset_port_dev_ops.load(&port, &r, &e), 0);
	ck_assert_int_eq(state_close(&r, "reset", &e), 0);
	ck_assert_uint_eq(get(), 0x0a);
	buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reset");
	TCase *t = tcase_create("reset");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, value_of_the_fadt_resets);
	tcase_add_test(t, type_alone_does_not_reset_and_reads_back);
	tcase_add_test(t, only_the_rising_bit_resets);
	tcase_add_test(t, undefined_bits_read_zero);
	tcase_add_test(t, other_offsets_and_widths_are_harmless);
	tcase_add_test(t, reset_clears_and_load_restores);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
