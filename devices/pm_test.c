/*
 * Unit tests of pm.c: registers in all widths, buttons, the timer moved by hand. They do not check what the
 * tables say about it.
 */
#include <check.h>
#include <stdlib.h>

#include "devices/fake_host.h"
#include "devices/fake_loop.h"
#include "devices/pm.h"
#include "vmm/base/log.h"

#define S 1000000000ull
#define HALF_TICKS (1ull << (PM_TMR_BITS - 1))
/* The first whole nanosecond at which the top bit has changed once. */
#define HALF_NS (HALF_TICKS / 3579545 * S + (HALF_TICKS % 3579545 * S + 3579544) / 3579545)

static struct pm pm;
static bool sci;

static void sci_set(void *ctx, unsigned int pin, bool level)
{
	(void)ctx;
	ck_assert_uint_eq(pin, 9);
	sci = level;
}

static void make_pm(void)
{
	struct err e;

	sci = false;
	ck_assert_int_eq(pm_init(&pm, (struct irq_line){ sci_set, NULL, 9 }, &fake_host, NULL, &e), 0);
}

static void setup(void)
{
	memset(&fake_loop, 0, sizeof(fake_loop));
	memset(&fake_stopped, 0, sizeof(fake_stopped));
	fake_loop.now_ns = 77 * S;
	make_pm();
}

static void teardown(void)
{
	pm_fini(&pm);
}

static uint64_t evt(uint64_t off, unsigned int size)
{
	return pm_evt_io_ops.read(&pm, off, size);
}

static void evt_put(uint64_t off, unsigned int size, uint64_t val)
{
	pm_evt_io_ops.write(&pm, off, size, val);
}

static void cnt_put(uint64_t off, unsigned int size, uint64_t val)
{
	pm_cnt_io_ops.write(&pm, off, size, val);
}

START_TEST(reset_state_is_quiet_with_acpi_on)
{
	ck_assert_uint_eq(evt(0, 4), 0);
	ck_assert_uint_eq(pm_cnt_io_ops.read(&pm, 0, 2), 0x0001);
	ck_assert_uint_eq(pm_gpe_io_ops.read(&pm, 0, 8), 0);
	ck_assert(!sci);
	ck_assert(!fake_loop_armed());
}
END_TEST

START_TEST(power_button_raises_sci_when_enabled)
{
	evt_put(2, 2, 0x0100);
	ck_assert(pm_press_power_button(&pm));
	ck_assert(sci);
	ck_assert_uint_eq(evt(0, 2), 0x0100);
	evt_put(0, 2, 0x0100);
	ck_assert(!sci);
	ck_assert_uint_eq(evt(0, 2), 0);
}
END_TEST

START_TEST(power_button_waits_for_a_guest_that_does_not_listen)
{
	ck_assert(!pm_press_power_button(&pm));
	ck_assert(!sci);
	evt_put(2, 2, 0x0100);
	ck_assert(sci);
}
END_TEST

START_TEST(writing_zeros_to_status_clears_nothing)
{
	pm_press_power_button(&pm);
	evt_put(0, 2, 0xfeff);
	ck_assert_uint_eq(evt(0, 2), 0x0100);
}
END_TEST

START_TEST(enable_keeps_defined_bits_only)
{
	evt_put(2, 2, 0xffff);
	ck_assert_uint_eq(evt(2, 2), 0x0721);
}
END_TEST

START_TEST(events_are_read_and_written_in_any_width)
{
	pm_press_power_button(&pm);
	evt_put(0, 4, 0x01200000); /* enables PWRBTN and GBL, clears nothing */
	ck_assert_uint_eq(evt(0, 4), 0x01200100);
	ck_assert_uint_eq(evt(1, 1), 0x01);
	ck_assert_uint_eq(evt(3, 1), 0x01);
	ck_assert_uint_eq(evt(1, 2), 0x2001);
	evt_put(3, 1, 0x00);
	ck_assert(!sci);
	ck_assert_uint_eq(evt(2, 2), 0x0020);
	evt_put(1, 1, 0x01);
	ck_assert_uint_eq(evt(0, 2), 0);
}
END_TEST

START_TEST(accesses_outside_the_windows_are_ignored)
{
	evt_put(4, 4, UINT64_MAX);
	evt_put(UINT64_MAX - 1, 8, UINT64_MAX);
	cnt_put(2, 8, UINT64_MAX);
	pm_gpe_io_ops.write(&pm, GPE0_LEN, 8, UINT64_MAX);
	pm_tmr_io_ops.write(&pm, 0, 4, 5);
	ck_assert_uint_eq(evt(4, 2), 0xffff);
	ck_assert_uint_eq(evt(2, 4), 0xffff0000);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 4, 4), 0xffffffff);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, UINT64_MAX, 8), UINT64_MAX);
	ck_assert_uint_eq(evt(0, 4), 0);
	ck_assert_uint_eq(fake_stopped.stops, 0);
}
END_TEST

START_TEST(s5_powers_off)
{
	cnt_put(0, 2, PM_SLP_TYP_S5 << 10);
	ck_assert_uint_eq(fake_stopped.stops, 0);
	cnt_put(0, 2, PM_SLP_TYP_S5 << 10 | 0x2000);
	ck_assert_uint_eq(fake_stopped.stops, 1);
	ck_assert_int_eq(fake_stopped.why, STOP_POWEROFF);
	ck_assert_uint_eq(pm_cnt_io_ops.read(&pm, 0, 2), PM_SLP_TYP_S5 << 10 | 1);
}
END_TEST

START_TEST(s5_works_by_its_upper_byte_alone)
{
	cnt_put(1, 1, PM_SLP_TYP_S5 << 2 | 0x20);
	ck_assert_uint_eq(fake_stopped.stops, 1);
	ck_assert_int_eq(fake_stopped.why, STOP_POWEROFF);
}
END_TEST

START_TEST(other_sleep_types_do_nothing)
{
	log_set_level(LOG_ERROR);
	for (unsigned int type = 0; type < 8; type++)
		cnt_put(0, 4, type << 10 | (type == PM_SLP_TYP_S5 ? 0 : 0x2000));
	ck_assert_uint_eq(fake_stopped.stops, 0);
}
END_TEST

START_TEST(acpi_cannot_be_switched_off)
{
	cnt_put(0, 2, 0x0002);
	ck_assert_uint_eq(pm_cnt_io_ops.read(&pm, 0, 2), 0x0003);
	ck_assert_uint_eq(pm_cnt_io_ops.read(&pm, 0, 1), 0x03);
}
END_TEST

START_TEST(timer_runs_at_its_frequency_from_reset)
{
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 0, 4), 0);
	fake_loop_advance(1000000);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 0, 4), 3579);
	fake_loop_advance(100 * S - 1000000);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 0, 4), 357954500);
}
END_TEST

START_TEST(timer_wraps_at_its_width)
{
	fake_loop_stall(100000 * S);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 0, 8), 357954500000ull % (1ull << PM_TMR_BITS));
}
END_TEST

START_TEST(timer_is_read_in_any_part)
{
	fake_loop_stall(100 * S); /* 357954500 is 0x1555f3c4 */
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 0, 1), 0xc4);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 1, 2), 0x55f3);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 3, 1), 0x15);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 3, 4), 0x15);
}
END_TEST

START_TEST(timer_status_is_polled_without_a_host_timer)
{
	fake_loop_stall(HALF_NS - 1);
	ck_assert_uint_eq(evt(0, 2), 0x0000);
	fake_loop_stall(1);
	ck_assert_uint_eq(evt(0, 2), 0x0001);
	evt_put(0, 2, 0x0001);
	ck_assert_uint_eq(evt(0, 2), 0x0000);
	fake_loop_stall(HALF_NS);
	ck_assert_uint_eq(evt(0, 2), 0x0001);
	ck_assert_uint_eq(fake_loop.arms, 0);
	ck_assert(!sci);
}
END_TEST

START_TEST(timer_interrupt_comes_with_each_change_of_the_top_bit)
{
	evt_put(2, 2, 0x0001);
	ck_assert(fake_loop_armed());
	fake_loop_advance(HALF_NS - 1);
	ck_assert(!sci);
	fake_loop_advance(1);
	ck_assert(sci);
	ck_assert(!fake_loop_armed());
	evt_put(0, 2, 0x0001);
	ck_assert(!sci);
	ck_assert(fake_loop_armed());
	fake_loop_advance(HALF_NS);
	ck_assert(sci);
}
END_TEST

START_TEST(timer_is_not_armed_once_disabled)
{
	evt_put(2, 2, 0x0001);
	evt_put(2, 2, 0x0100);
	ck_assert(!fake_loop_armed());
}
END_TEST

START_TEST(gpe_raises_sci_when_enabled_and_is_cleared_by_one)
{
	pm_raise_gpe(&pm, 9);
	ck_assert(!sci);
	pm_gpe_io_ops.write(&pm, GPE0_LEN / 2 + 1, 1, 0x02);
	ck_assert(sci);
	ck_assert_uint_eq(pm_gpe_io_ops.read(&pm, 0, 8), 0x0000020000000200ull);
	pm_gpe_io_ops.write(&pm, 0, 4, 0x00000100);
	ck_assert(sci);
	pm_gpe_io_ops.write(&pm, 0, 4, 0x00000200);
	ck_assert(!sci);
}
END_TEST

START_TEST(gpe_numbers_beyond_the_block_do_nothing)
{
	pm_raise_gpe(&pm, PM_NR_GPES);
	pm_raise_gpe(&pm, UINT32_MAX);
	ck_assert_uint_eq(pm_gpe_io_ops.read(&pm, 0, 4), 0);
}
END_TEST

START_TEST(sci_stays_up_until_the_last_cause_is_gone)
{
	evt_put(2, 2, 0x0100);
	pm_gpe_io_ops.write(&pm, GPE0_LEN / 2, 1, 0x01);
	pm_press_power_button(&pm);
	pm_raise_gpe(&pm, 0);
	evt_put(0, 2, 0x0100);
	ck_assert(sci);
	pm_gpe_io_ops.write(&pm, 0, 1, 0x01);
	ck_assert(!sci);
}
END_TEST

START_TEST(reset_lowers_sci_and_restarts_the_timer)
{
	evt_put(2, 2, 0x0101);
	pm_press_power_button(&pm);
	fake_loop_advance(5 * S);
	pm_dev_ops.reset(&pm);
	ck_assert(!sci);
	ck_assert(!fake_loop_armed());
	ck_assert_uint_eq(evt(0, 4), 0);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 0, 4), 0);
}
END_TEST

START_TEST(load_restores_registers_timer_and_sci)
{
	struct buf b = { 0 };
	struct state_reader r;
	struct err e;

	evt_put(2, 2, 0x0101);
	cnt_put(0, 2, 0x1402);
	pm_press_power_button(&pm);
	pm_raise_gpe(&pm, 31);
	fake_loop_advance(100 * S);
	pm_dev_ops.save(&pm, &b);
	pm_fini(&pm);
	fake_loop_advance(1234 * S);
	make_pm();
	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_int_eq(pm_dev_ops.load(&pm, &r, &e), 0);
	ck_assert_int_eq(state_close(&r, "pm", &e), 0);
	ck_assert(sci);
	ck_assert_uint_eq(evt(0, 4), 0x01010100);
	ck_assert_uint_eq(pm_cnt_io_ops.read(&pm, 0, 2), 0x1403);
	ck_assert_uint_eq(pm_gpe_io_ops.read(&pm, 0, 8), 0x80000000);
	ck_assert_uint_eq(pm_tmr_io_ops.read(&pm, 0, 4), 357954500);
	fake_loop_advance(HALF_NS - 100 * S);
	ck_assert_uint_eq(evt(0, 2), 0x0101);
	buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pm");
	TCase *t = tcase_create("pm");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, reset_state_is_quiet_with_acpi_on);
	tcase_add_test(t, power_button_raises_sci_when_enabled);
	tcase_add_test(t, power_button_waits_for_a_guest_that_does_not_listen);
	tcase_add_test(t, writing_zeros_to_status_clears_nothing);
	tcase_add_test(t, enable_keeps_defined_bits_only);
	tcase_add_test(t, events_are_read_and_written_in_any_width);
	tcase_add_test(t, accesses_outside_the_windows_are_ignored);
	tcase_add_test(t, s5_powers_off);
	tcase_add_test(t, s5_works_by_its_upper_byte_alone);
	tcase_add_test(t, other_sleep_types_do_nothing);
	tcase_add_test(t, acpi_cannot_be_switched_off);
	tcase_add_test(t, timer_runs_at_its_frequency_from_reset);
	tcase_add_test(t, timer_wraps_at_its_width);
	tcase_add_test(t, timer_is_read_in_any_part);
	tcase_add_test(t, timer_status_is_polled_without_a_host_timer);
	tcase_add_test(t, timer_interrupt_comes_with_each_change_of_the_top_bit);
	tcase_add_test(t, timer_is_not_armed_once_disabled);
	tcase_add_test(t, gpe_raises_sci_when_enabled_and_is_cleared_by_one);
	tcase_add_test(t, gpe_numbers_beyond_the_block_do_nothing);
	tcase_add_test(t, sci_stays_up_until_the_last_cause_is_gone);
	tcase_add_test(t, reset_lowers_sci_and_restarts_the_timer);
	tcase_add_test(t, load_restores_registers_timer_and_sci);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
