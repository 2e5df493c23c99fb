/* Unit tests of pvpanic.c; what it prints is caught in a pipe. */
#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/fake_host.h"
#include "devices/pvpanic.h"

static struct pvpanic p;

static void setup(void)
{
	memset(&fake_stopped, 0, sizeof(fake_stopped));
	pvpanic_init(&p, &fake_host);
}

static void teardown(void)
{
	pvpanic_fini(&p);
}

START_TEST(read_shows_the_supported_events)
{
	ck_assert_uint_eq(pvpanic_io_ops.read(&p, 0, 1), 0x03);
	ck_assert_uint_eq(pvpanic_io_ops.read(&p, 0, 2), 0xff03);
	ck_assert_uint_eq(pvpanic_io_ops.read(&p, 1, 1), 0xff);
}
END_TEST

START_TEST(panic_stops_the_machine)
{
	pvpanic_io_ops.write(&p, 0, 1, 0x01);
	ck_assert_uint_eq(fake_stopped.stops, 1);
	ck_assert_int_eq(fake_stopped.why, STOP_PANIC);
}
END_TEST

START_TEST(crash_kernel_goes_on_and_is_told_once_per_reset)
{
	char text[1024];
	int fds[2];
	ssize_t n;
	unsigned int lines = 0;

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
	pvpanic_io_ops.write(&p, 0, 1, 0x02);
	pvpanic_io_ops.write(&p, 0, 1, 0x02);
	pvpanic_dev_ops.reset(&p);
	pvpanic_io_ops.write(&p, 0, 1, 0x02);
	n = read(fds[0], text, sizeof(text));
	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	ck_assert_uint_eq(lines, 2);
	ck_assert_uint_eq(fake_stopped.stops, 0);
}
END_TEST

START_TEST(unknown_events_and_offsets_do_nothing)
{
	pvpanic_io_ops.write(&p, 0, 8, ~0x03ull);
	pvpanic_io_ops.write(&p, 1, 1, 0x01);
	pvpanic_io_ops.write(&p, UINT64_MAX, 8, 0x01);
	ck_assert_uint_eq(fake_stopped.stops, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pvpanic");
	TCase *t = tcase_create("pvpanic");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, read_shows_the_supported_events);
	tcase_add_test(t, panic_stops_the_machine);
	tcase_add_test(t, crash_kernel_goes_on_and_is_told_once_per_reset);
	tcase_add_test(t, unknown_events_and_offsets_do_nothing);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
