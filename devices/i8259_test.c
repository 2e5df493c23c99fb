/*
 * Unit tests of i8259.c: a guest at the ports, lines moved by hand, the processor's acknowledge cycles made by
 * hand. They do not prove that KVM takes the interrupt: guest-tests/pic_extint.c does.
 */
#include <check.h>

#include "devices/i8259.h"

static struct i8259 p;
static bool intr;
static unsigned int rises;

static void out_set(void *ctx, unsigned int pin, bool level)
{
	(void)ctx;
	(void)pin;
	rises += level && !intr;
	intr = level;
}

static void cmd(unsigned int which, uint8_t val)
{
	(which ? i8259_slave_io_ops : i8259_master_io_ops).write(&p, 0, 1, val);
}

static void data(unsigned int which, uint8_t val)
{
	(which ? i8259_slave_io_ops : i8259_master_io_ops).write(&p, 1, 1, val);
}

static uint8_t cmd_read(unsigned int which)
{
	return (uint8_t)(which ? i8259_slave_io_ops : i8259_master_io_ops).read(&p, 0, 1);
}

static uint8_t data_read(unsigned int which)
{
	return (uint8_t)(which ? i8259_slave_io_ops : i8259_master_io_ops).read(&p, 1, 1);
}

static uint8_t irr(unsigned int which)
{
	cmd(which, 0x0a);
	return cmd_read(which);
}

static uint8_t isr(unsigned int which)
{
	cmd(which, 0x0b);
	return cmd_read(which);
}

/* As every PC's firmware: vectors 0x20 and 0x28; icw4 of both. */
static void init_pair(uint8_t icw4)
{
	for (unsigned int which = 0; which < 2; which++) {
		cmd(which, 0x11);
		data(which, which ? 0x28 : 0x20);
		data(which, which ? 2 : 4);
		data(which, icw4);
	}
}

static void pulse(unsigned int line)
{
	i8259_set_line(&p, line, true);
	i8259_set_line(&p, line, false);
}

static void setup(void)
{
	intr = false;
	rises = 0;
	i8259_init(&p, (struct irq_line){ .set = out_set });
	init_pair(0x01);
}

static void teardown(void)
{
	i8259_fini(&p);
}

START_TEST(request_is_acknowledged_with_its_vector)
{
	pulse(4);
	ck_assert(intr);
	ck_assert_uint_eq(irr(0), 0x10);
	ck_assert_uint_eq(i8259_ack(&p), 0x24);
	ck_assert(!intr);
	ck_assert_uint_eq(irr(0), 0);
	ck_assert_uint_eq(isr(0), 0x10);
	cmd(0, 0x20);
	ck_assert_uint_eq(isr(0), 0);
}
END_TEST

START_TEST(slave_request_comes_through_the_cascade)
{
	pulse(8);
	ck_assert(intr);
	ck_assert_uint_eq(i8259_ack(&p), 0x28);
	ck_assert_uint_eq(isr(0), 0x04);
	ck_assert_uint_eq(isr(1), 0x01);
	cmd(1, 0x20);
	cmd(0, 0x20);
	ck_assert_uint_eq(isr(0) | isr(1), 0);
}
END_TEST

START_TEST(cascade_input_has_no_line)
{
	pulse(2);
	ck_assert(!intr);
	ck_assert_uint_eq(irr(0), 0);
}
END_TEST

START_TEST(higher_priority_interrupts_lower_and_not_the_other_way)
{
	pulse(5);
	ck_assert_uint_eq(i8259_ack(&p), 0x25);
	pulse(6);
	ck_assert(!intr);
	pulse(1);
	ck_assert(intr);
	ck_assert_uint_eq(i8259_ack(&p), 0x21);
	cmd(0, 0x20); /* ends 1, the higher of the two in service */
	ck_assert_uint_eq(isr(0), 0x20);
	ck_assert(!intr);
	cmd(0, 0x20);
	ck_assert(intr);
	ck_assert_uint_eq(i8259_ack(&p), 0x26);
}
END_TEST

START_TEST(masked_request_waits)
{
	data(0, 0x10);
	ck_assert_uint_eq(data_read(0), 0x10);
	pulse(4);
	ck_assert(!intr);
	data(0, 0);
	ck_assert(intr);
}
END_TEST

START_TEST(request_gone_before_acknowledge_is_spurious_7)
{
	pulse(4);
	data(0, 0xff);
	ck_assert(!intr);
	ck_assert_uint_eq(i8259_ack(&p), 0x27);
	ck_assert_uint_eq(isr(0), 0);
}
END_TEST

START_TEST(edge_counts_once_while_high)
{
	i8259_set_line(&p, 4, true);
	ck_assert_uint_eq(i8259_ack(&p), 0x24);
	i8259_set_line(&p, 4, true);
	cmd(0, 0x20);
	ck_assert(!intr);
	i8259_set_line(&p, 4, false);
	i8259_set_line(&p, 4, true);
	ck_assert(intr);
}
END_TEST

START_TEST(level_triggered_input_asks_while_high)
{
	i8259_elcr_io_ops.write(&p, 1, 1, 0x02); /* IRQ 9 */
	i8259_set_line(&p, 9, true);
	ck_assert_uint_eq(i8259_ack(&p), 0x29);
	cmd(1, 0x20);
	cmd(0, 0x20);
	ck_assert(intr);
	ck_assert_uint_eq(i8259_ack(&p), 0x29);
	i8259_set_line(&p, 9, false);
	cmd(1, 0x20);
	cmd(0, 0x20);
	ck_assert(!intr);
}
END_TEST

START_TEST(elcr_leaves_out_the_boards_own_lines)
{
	i8259_elcr_io_ops.write(&p, 0, 2, 0xffff);
	ck_assert_uint_eq(i8259_elcr_io_ops.read(&p, 0, 2), 0xdef8);
}
END_TEST

START_TEST(specific_eoi_ends_its_input)
{
	pulse(5);
	(void)i8259_ack(&p);
	pulse(1);
	(void)i8259_ack(&p);
	cmd(0, 0x60 | 5);
	ck_assert_uint_eq(isr(0), 0x02);
}
END_TEST

START_TEST(rotating_eoi_makes_its_input_the_lowest)
{
	pulse(3);
	(void)i8259_ack(&p);
	cmd(0, 0xa0);
	pulse(3);
	pulse(4);
	ck_assert_uint_eq(i8259_ack(&p), 0x24);
}
END_TEST

START_TEST(specific_rotating_eoi_does_both)
{
	pulse(0);
	(void)i8259_ack(&p);
	cmd(0, 0xe0);
	ck_assert_uint_eq(isr(0), 0);
	pulse(0);
	pulse(7);
	ck_assert_uint_eq(i8259_ack(&p), 0x27);
}
END_TEST

START_TEST(set_priority_command_names_the_lowest)
{
	cmd(0, 0xc0 | 4);
	pulse(0);
	pulse(5);
	ck_assert_uint_eq(i8259_ack(&p), 0x25);
}
END_TEST

START_TEST(auto_eoi_leaves_nothing_in_service)
{
	init_pair(0x03);
	pulse(4);
	pulse(9);
	ck_assert_uint_eq(i8259_ack(&p), 0x29);
	ck_assert(intr);
	ck_assert_uint_eq(i8259_ack(&p), 0x24);
	ck_assert(!intr);
	ck_assert_uint_eq(isr(0) | isr(1), 0);
}
END_TEST

START_TEST(auto_eoi_rotates_when_told)
{
	init_pair(0x03);
	cmd(0, 0x80);
	pulse(3);
	ck_assert_uint_eq(i8259_ack(&p), 0x23);
	pulse(3);
	pulse(4);
	ck_assert_uint_eq(i8259_ack(&p), 0x24);
	cmd(0, 0x00);
	(void)i8259_ack(&p);
	pulse(4); /* 4 was taken last with rotation: it is the lowest for good */
	pulse(5);
	ck_assert_uint_eq(i8259_ack(&p), 0x25);
}
END_TEST

START_TEST(special_mask_mode_lets_lower_ones_through)
{
	pulse(1);
	(void)i8259_ack(&p);
	pulse(6);
	ck_assert(!intr);
	data(0, 0x02);
	ck_assert(!intr);
	cmd(0, 0x68);
	ck_assert(intr);
	ck_assert_uint_eq(i8259_ack(&p), 0x26);
	cmd(0, 0x20); /* not 1, which is masked */
	ck_assert_uint_eq(isr(0), 0x02);
	cmd(0, 0x48);
	pulse(6);
	ck_assert(!intr);
}
END_TEST

START_TEST(special_fully_nested_mode_lets_the_slave_interrupt_itself)
{
	pulse(12);
	(void)i8259_ack(&p);
	pulse(8);
	ck_assert(!intr);
	i8259_dev_ops.reset(&p);
	init_pair(0x11);
	pulse(12);
	ck_assert_uint_eq(i8259_ack(&p), 0x2c);
	pulse(8);
	ck_assert(intr);
	ck_assert_uint_eq(i8259_ack(&p), 0x28);
}
END_TEST

START_TEST(poll_acknowledges_by_reading)
{
	cmd(0, 0x0c);
	ck_assert_uint_eq(cmd_read(0), 0);
	pulse(4);
	cmd(0, 0x0c);
	ck_assert_uint_eq(cmd_read(0), 0x84);
	ck_assert(!intr);
	ck_assert_uint_eq(isr(0), 0x10);
	pulse(10);
	cmd(1, 0x0c);
	ck_assert_uint_eq(cmd_read(1), 0x82);
	ck_assert_uint_eq(irr(0), 0);
}
END_TEST

START_TEST(icw1_forgets_edges_and_clears_the_mask)
{
	data(0, 0x55);
	i8259_set_line(&p, 4, true);
	init_pair(0x01);
	ck_assert(!intr);
	ck_assert_uint_eq(data_read(0), 0);
	i8259_set_line(&p, 4, true);
	ck_assert(!intr);
	i8259_set_line(&p, 4, false);
	i8259_set_line(&p, 4, true);
	ck_assert(intr);
}
END_TEST

START_TEST(icw_sequence_is_as_long_as_icw1_says)
{
	cmd(0, 0x12); /* single, no ICW4 */
	data(0, 0x40);
	data(0, 0xaa);
	ck_assert_uint_eq(data_read(0), 0xaa);
	cmd(0, 0x10); /* no ICW4 */
	data(0, 0x40);
	data(0, 4);
	data(0, 0xab);
	ck_assert_uint_eq(data_read(0), 0xab);
	cmd(0, 0x13); /* single */
	data(0, 0x40);
	data(0, 1);
	data(0, 0xac);
	ck_assert_uint_eq(data_read(0), 0xac);
}
END_TEST

START_TEST(reset_lowers_the_output_and_keeps_lines)
{
	i8259_set_line(&p, 4, true);
	i8259_dev_ops.reset(&p);
	ck_assert(!intr);
	init_pair(0x01);
	i8259_set_line(&p, 4, true); /* no edge: it was high before */
	ck_assert(!intr);
}
END_TEST

static void load(const uint8_t *bytes, size_t len)
{
	struct state_reader r = { .data = bytes, .len = len };
	struct err e;

	ck_assert_int_eq(i8259_dev_ops.load(&p, &r, &e), 0);
}

START_TEST(saved_state_comes_back)
{
	struct buf b = { 0 };

	init_pair(0x11);
	pulse(12);
	(void)i8259_ack(&p);
	pulse(8);
	data(1, 0x40);
	i8259_dev_ops.save(&p, &b);
	i8259_dev_ops.reset(&p);
	ck_assert(!intr);
	load(b.data, b.len);
	ck_assert(intr);
	ck_assert_uint_eq(data_read(1), 0x40);
	ck_assert_uint_eq(i8259_ack(&p), 0x28);
	ck_assert_uint_eq(isr(1), 0x11);
	buf_fini(&b);
}
END_TEST

START_TEST(load_of_any_bytes_gives_a_possible_state)
{
	uint8_t bytes[18];

	memset(bytes, 0xff, sizeof(bytes));
	load(bytes, sizeof(bytes));
	ck_assert_uint_eq(i8259_elcr_io_ops.read(&p, 0, 2), 0xdef8);
	ck_assert_uint_eq(i8259_ack(&p), 0xff);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("i8259");
	Suite *s = suite_create("i8259");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, request_is_acknowledged_with_its_vector);
	tcase_add_test(t, slave_request_comes_through_the_cascade);
	tcase_add_test(t, cascade_input_has_no_line);
	tcase_add_test(t, higher_priority_interrupts_lower_and_not_the_other_way);
	tcase_add_test(t, masked_request_waits);
	tcase_add_test(t, request_gone_before_acknowledge_is_spurious_7);
	tcase_add_test(t, edge_counts_once_while_high);
	tcase_add_test(t, level_triggered_input_asks_while_high);
	tcase_add_test(t, elcr_leaves_out_the_boards_own_lines);
	tcase_add_test(t, specific_eoi_ends_its_input);
	tcase_add_test(t, rotating_eoi_makes_its_input_the_lowest);
	tcase_add_test(t, specific_rotating_eoi_does_both);
	tcase_add_test(t, set_priority_command_names_the_lowest);
	tcase_add_test(t, auto_eoi_leaves_nothing_in_service);
	tcase_add_test(t, auto_eoi_rotates_when_told);
	tcase_add_test(t, special_mask_mode_lets_lower_ones_through);
	tcase_add_test(t, special_fully_nested_mode_lets_the_slave_interrupt_itself);
	tcase_add_test(t, poll_acknowledges_by_reading);
	tcase_add_test(t, icw1_forgets_edges_and_clears_the_mask);
	tcase_add_test(t, icw_sequence_is_as_long_as_icw1_says);
	tcase_add_test(t, reset_lowers_the_output_and_keeps_lines);
	tcase_add_test(t, saved_state_comes_back);
	tcase_add_test(t, load_of_any_bytes_gives_a_possible_state);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
