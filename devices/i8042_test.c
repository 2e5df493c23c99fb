/* Unit tests of i8042.c: what the drivers of guests ask, and every way to a reset. Not two threads at once. */
#include <check.h>
#include <stdlib.h>

#include "devices/fake_host.h"
#include "devices/i8042.h"

static struct i8042 k;
static bool line;
static unsigned int edges;

static void line_set(void *ctx, unsigned int pin, bool level)
{
	(void)ctx;
	ck_assert_uint_eq(pin, 1);
	edges += level && !line;
	line = level;
}

static void setup(void)
{
	memset(&fake_stopped, 0, sizeof(fake_stopped));
	line = false;
	edges = 0;
	i8042_init(&k, (struct irq_line){ line_set, NULL, 1 }, &fake_host);
}

static void teardown(void)
{
	i8042_fini(&k);
}

static void command(uint8_t cmd)
{
	i8042_cmd_io_ops.write(&k, 0, 1, cmd);
}

static void send(uint8_t byte)
{
	i8042_data_io_ops.write(&k, 0, 1, byte);
}

static uint8_t status(void)
{
	return (uint8_t)i8042_cmd_io_ops.read(&k, 0, 1);
}

static uint8_t answer(void)
{
	return (uint8_t)i8042_data_io_ops.read(&k, 0, 1);
}

START_TEST(idle_status_is_tested_unlocked_and_empty)
{
	ck_assert_uint_eq(status(), 0x14);
}
END_TEST

START_TEST(self_test_passes_and_the_answer_is_taken_once)
{
	command(0xaa);
	ck_assert_uint_eq(status() & 0x63, 0x01);
	ck_assert_uint_eq(answer(), 0x55);
	ck_assert_uint_eq(status() & 0x63, 0x00);
}
END_TEST

START_TEST(port_tests_report_a_dead_line)
{
	command(0xab);
	ck_assert_uint_eq(answer(), 0x04);
	command(0xa9);
	ck_assert_uint_eq(answer(), 0x04);
}
END_TEST

START_TEST(command_byte_keeps_what_is_written)
{
	command(0x60);
	send(0x47);
	command(0x20);
	ck_assert_uint_eq(answer(), 0x47);
}
END_TEST

START_TEST(port_switches_show_in_the_command_byte)
{
	command(0xae);
	command(0xa8);
	command(0x20);
	ck_assert_uint_eq(answer() & 0x30, 0x00);
	command(0xad);
	command(0x20);
	ck_assert_uint_eq(answer() & 0x30, 0x10);
	command(0xa7);
	command(0x20);
	ck_assert_uint_eq(answer() & 0x30, 0x30);
}
END_TEST

START_TEST(keyboard_byte_is_answered_by_resend_and_timeout)
{
	send(0xff);
	ck_assert_uint_eq(status() & 0x61, 0x41);
	ck_assert_uint_eq(answer(), 0xfe);
	ck_assert_uint_eq(status() & 0x61, 0x00);
}
END_TEST

START_TEST(mouse_byte_is_answered_by_resend_and_timeout)
{
	command(0xd4);
	send(0xf2);
	ck_assert_uint_eq(status() & 0x61, 0x61);
	ck_assert_uint_eq(answer(), 0xfe);
}
END_TEST

START_TEST(mouse_loop_does_not_look_like_a_mouse)
{
	command(0xd3);
	send(0x5a);
	ck_assert_uint_eq(status() & 0x21, 0x01);
	ck_assert_uint_eq(answer(), 0x5a);
}
END_TEST

START_TEST(answers_interrupt_only_when_enabled)
{
	send(0xf2);
	ck_assert(!line);
	command(0x60);
	send(0x41);
	ck_assert(line);
	answer();
	ck_assert(!line);
	send(0xed);
	send(0x00);
	ck_assert_uint_eq(edges, 3);
}
END_TEST

START_TEST(output_port_shows_a20_on_and_no_reset)
{
	command(0xd0);
	ck_assert_uint_eq(answer() & 0x03, 0x03);
}
END_TEST

START_TEST(output_port_with_bit_0_low_resets)
{
	command(0xd1);
	send(0xdf);
	ck_assert_uint_eq(fake_stopped.stops, 0);
	command(0xd1);
	send(0xde);
	ck_assert_uint_eq(fake_stopped.stops, 1);
	ck_assert_int_eq(fake_stopped.why, STOP_RESET);
}
END_TEST

START_TEST(pulse_resets_when_bit_0_is_clear)
{
	command(0xff);
	command(0xf1);
	ck_assert_uint_eq(fake_stopped.stops, 0);
	command(0xfe);
	ck_assert_uint_eq(fake_stopped.stops, 1);
	command(0xf0);
	ck_assert_uint_eq(fake_stopped.stops, 2);
	ck_assert_int_eq(fake_stopped.why, STOP_RESET);
}
END_TEST

START_TEST(all_commands_and_bytes_are_survived)
{
	for (unsigned int cmd = 0; cmd < 0xf0; cmd++)
		for (unsigned int byte = 1; byte < 256; byte += 2) {
			command((uint8_t)cmd);
			send((uint8_t)byte);
			answer();
		}
	ck_assert_uint_eq(status() & 0x01, 0);
	ck_assert_uint_eq(fake_stopped.stops, 0);
}
END_TEST

START_TEST(wide_and_outlying_accesses_touch_one_byte)
{
	i8042_data_io_ops.write(&k, 1, 4, 0);
	i8042_cmd_io_ops.write(&k, UINT64_MAX, 8, 0xfe);
	ck_assert_uint_eq(i8042_cmd_io_ops.read(&k, 0, 2), 0xff14);
	ck_assert_uint_eq(i8042_data_io_ops.read(&k, 5, 8), UINT64_MAX);
	ck_assert_uint_eq(fake_stopped.stops, 0);
}
END_TEST

START_TEST(port92_keeps_a20_and_resets_on_bit_0_rising)
{
	ck_assert_uint_eq(i8042_port92_io_ops.read(&k, 0, 1), 0x02);
	i8042_port92_io_ops.write(&k, 0, 1, 0x00);
	ck_assert_uint_eq(i8042_port92_io_ops.read(&k, 0, 1), 0x00);
	ck_assert_uint_eq(fake_stopped.stops, 0);
	i8042_port92_io_ops.write(&k, 0, 1, 0x03);
	ck_assert_uint_eq(fake_stopped.stops, 1);
	ck_assert_int_eq(fake_stopped.why, STOP_RESET);
}
END_TEST

START_TEST(load_restores_answer_command_and_line)
{
	struct buf b = { 0 };
	struct state_reader r;
	struct err e;

	command(0x60);
	send(0x45);
	send(0xf2);
	command(0xd1);
	i8042_dev_ops.save(&k, &b);
	i8042_fini(&k);
	setup();
	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_int_eq(i8042_dev_ops.load(&k, &r, &e), 0);
	ck_assert_int_eq(state_close(&r, "i8042", &e), 0);
	ck_assert(line);
	ck_assert_uint_eq(status(), 0x5d);
	ck_assert_uint_eq(answer(), 0xfe);
	send(0x00); /* still the output port's data */
	ck_assert_uint_eq(fake_stopped.stops, 1);
	buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("i8042");
	TCase *t = tcase_create("i8042");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, idle_status_is_tested_unlocked_and_empty);
	tcase_add_test(t, self_test_passes_and_the_answer_is_taken_once);
	tcase_add_test(t, port_tests_report_a_dead_line);
	tcase_add_test(t, command_byte_keeps_what_is_written);
	tcase_add_test(t, port_switches_show_in_the_command_byte);
	tcase_add_test(t, keyboard_byte_is_answered_by_resend_and_timeout);
	tcase_add_test(t, mouse_byte_is_answered_by_resend_and_timeout);
	tcase_add_test(t, mouse_loop_does_not_look_like_a_mouse);
	tcase_add_test(t, answers_interrupt_only_when_enabled);
	tcase_add_test(t, output_port_shows_a20_on_and_no_reset);
	tcase_add_test(t, output_port_with_bit_0_low_resets);
	tcase_add_test(t, pulse_resets_when_bit_0_is_clear);
	tcase_add_test(t, all_commands_and_bytes_are_survived);
	tcase_add_test(t, wide_and_outlying_accesses_touch_one_byte);
	tcase_add_test(t, port92_keeps_a20_and_resets_on_bit_0_rising);
	tcase_add_test(t, load_restores_answer_command_and_line);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
