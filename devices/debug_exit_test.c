/* Unit tests of debug_exit.c. */
#include <check.h>
#include <stdlib.h>

#include "devices/debug_exit.h"
#include "devices/fake_host.h"

static struct debug_exit d;

static void setup(void)
{
	memset(&fake_stopped, 0, sizeof(fake_stopped));
	debug_exit_init(&d, &fake_host);
}

START_TEST(write_stops_with_its_value)
{
	debug_exit_io_ops.write(&d, 0, 1, 0x31);
	ck_assert_uint_eq(fake_stopped.stops, 1);
	ck_assert_int_eq(fake_stopped.why, STOP_DEBUG_EXIT);
	ck_assert_int_eq(fake_stopped.value, 0x31);
}
END_TEST

START_TEST(value_has_the_width_of_the_access)
{
	debug_exit_io_ops.write(&d, 0, 1, 0x1234);
	ck_assert_int_eq(fake_stopped.value, 0x34);
	debug_exit_io_ops.write(&d, 2, 2, 0x12345678);
	ck_assert_int_eq(fake_stopped.value, 0x5678);
	debug_exit_io_ops.write(&d, 0, 4, 0x12345678);
	ck_assert_int_eq(fake_stopped.value, 0x12345678);
	debug_exit_io_ops.write(&d, 0, 8, UINT64_MAX);
	ck_assert_int_eq(fake_stopped.value, -1);
}
END_TEST

START_TEST(reads_and_other_offsets_do_nothing)
{
	ck_assert_uint_eq(debug_exit_io_ops.read(&d, 0, 4), 0);
	ck_assert_uint_eq(debug_exit_io_ops.read(&d, 4, 2), 0xffff);
	debug_exit_io_ops.write(&d, 4, 4, 1);
	debug_exit_io_ops.write(&d, UINT64_MAX, 8, 1);
	debug_exit_dev_ops.reset(&d);
	ck_assert_uint_eq(fake_stopped.stops, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("debug_exit");
	TCase *t = tcase_create("debug_exit");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, write_stops_with_its_value);
	tcase_add_test(t, value_has_the_width_of_the_access);
	tcase_add_test(t, reads_and_other_offsets_do_nothing);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
