/*
 * Unit tests of ioapic.c: a guest at its registers, lines moved by hand, messages caught. They do not prove that
 * KVM reports EOIs: guest-tests/ioapic_every_id.c does.
 */
#include <check.h>

#include "devices/ioapic.h"

#define MASKED (1u << 16)
#define LEVEL  (1u << 15)
#define RIRR   (1u << 14)

static struct ioapic a;
static unsigned int nr_sent, nr_watches;
static uint32_t sent_addr, sent_data;
static uint32_t watched[NR_IOAPIC_PINS][2];

static void send(void *ctx, uint32_t addr, uint32_t data)
{
	ck_assert_ptr_eq(ctx, &a);
	nr_sent++;
	sent_addr = addr;
	sent_data = data;
}

static void watch(void *ctx, unsigned int pin, uint32_t addr, uint32_t data)
{
	ck_assert_ptr_eq(ctx, &a);
	ck_assert_uint_lt(pin, NR_IOAPIC_PINS);
	nr_watches++;
	watched[pin][0] = addr;
	watched[pin][1] = data;
}

static void setup(void)
{
	const struct ioapic_host host = { &a, send, watch };

	nr_sent = nr_watches = 0;
	memset(watched, 0, sizeof(watched));
	ioapic_init(&a, &host);
}

static void teardown(void)
{
	ioapic_fini(&a);
}

static uint32_t get(uint8_t reg)
{
	ioapic_io_ops.write(&a, 0, 4, reg);
	return (uint32_t)ioapic_io_ops.read(&a, 0x10, 4);
}

static void put(uint8_t reg, uint32_t val)
{
	ioapic_io_ops.write(&a, 0, 4, reg);
	ioapic_io_ops.write(&a, 0x10, 4, val);
}

/* As guests do it: masked first. high: the upper half of the entry. */
static void route(unsigned int pin, uint32_t high, uint32_t low)
{
	put((uint8_t)(0x10 + 2 * pin), MASKED);
	put((uint8_t)(0x11 + 2 * pin), high);
	put((uint8_t)(0x10 + 2 * pin), low);
}

static uint32_t entry(unsigned int pin)
{
	return get((uint8_t)(0x10 + 2 * pin));
}

static void pulse(unsigned int pin)
{
	ioapic_set_line(&a, pin, true);
	ioapic_set_line(&a, pin, false);
}

START_TEST(init_shows_24_masked_pins_and_version_20)
{
	ck_assert_uint_eq(get(1), 0x00170020);
	for (unsigned int pin = 0; pin < NR_IOAPIC_PINS; pin++)
		ck_assert_uint_eq(entry(pin), MASKED);
	ck_assert_uint_eq(get(0x40), 0);
	ck_assert_uint_eq(get(0xff), 0);
	ck_assert_uint_eq(nr_watches, 0);
}
END_TEST

START_TEST(id_has_four_bits_and_arbitration_follows)
{
	put(0, 0xffffffff);
	ck_assert_uint_eq(get(0), 0x0f000000);
	ck_assert_uint_eq(get(2), 0x0f000000);
}
END_TEST

START_TEST(entry_keeps_writable_bits_only)
{
	route(5, 0xffffffff, 0xffffffff);
	ck_assert_uint_eq(entry(5), 0x0001afff);
	ck_assert_uint_eq(get(0x1b), 0xfffe0000);
}
END_TEST

START_TEST(edge_sends_once_for_each_rise)
{
	route(4, 7u << 24, 0x61);
	ioapic_set_line(&a, 4, true);
	ioapic_set_line(&a, 4, true);
	ck_assert_uint_eq(nr_sent, 1);
	ck_assert_uint_eq(sent_addr, 0xfee07000);
	ck_assert_uint_eq(sent_data, 0x4061);
	ioapic_set_line(&a, 4, false);
	ck_assert_uint_eq(nr_sent, 1);
	ioapic_set_line(&a, 4, true);
	ck_assert_uint_eq(nr_sent, 2);
	ck_assert_uint_eq(nr_watches, 0);
}
END_TEST

START_TEST(edge_at_masked_pin_is_lost)
{
	put(0x18, MASKED | 0x61);
	ioapic_set_line(&a, 4, true);
	put(0x18, 0x61);
	ck_assert_uint_eq(nr_sent, 0);
}
END_TEST

START_TEST(destination_of_15_bits_goes_into_the_message)
{
	route(4, 0x34u << 24 | 0x52u << 17, 0x61);
	pulse(4);
	ck_assert_uint_eq(sent_addr, 0xfee00000u | 0x34 << 12 | 0x52 << 5);
}
END_TEST

START_TEST(logical_lowest_priority_mode_goes_into_the_message)
{
	route(4, 3u << 24, 0x61 | 1u << 8 | 1u << 11);
	pulse(4);
	ck_assert_uint_eq(sent_addr, 0xfee03004);
	ck_assert_uint_eq(sent_data, 0x4161);
}
END_TEST

START_TEST(extint_entry_sends_nothing)
{
	route(0, 0, 7u << 8);
	pulse(0);
	route(0, 0, 7u << 8 | LEVEL);
	pulse(0);
	ck_assert_uint_eq(nr_sent, 0);
	ck_assert_uint_eq(entry(0) & RIRR, 0);
}
END_TEST

START_TEST(level_sends_once_until_eoi_and_again_while_high)
{
	route(16, 1u << 24, 0x90 | LEVEL);
	ioapic_set_line(&a, 16, true);
	ioapic_set_line(&a, 16, false);
	ioapic_set_line(&a, 16, true);
	ck_assert_uint_eq(nr_sent, 1);
	ck_assert_uint_eq(sent_data, 0xc090);
	ck_assert_uint_eq(entry(16), 0x90 | LEVEL | RIRR);
	ioapic_eoi(&a, 0x91);
	ck_assert_uint_eq(nr_sent, 1);
	ioapic_eoi(&a, 0x90);
	ck_assert_uint_eq(nr_sent, 2);
	ioapic_set_line(&a, 16, false);
	ioapic_eoi(&a, 0x90);
	ck_assert_uint_eq(nr_sent, 2);
	ck_assert_uint_eq(entry(16), 0x90 | LEVEL);
}
END_TEST

START_TEST(level_masked_at_eoi_comes_when_unmasked)
{
	route(16, 0, 0x90 | LEVEL);
	ioapic_set_line(&a, 16, true);
	put(0x30, 0x90 | LEVEL | MASKED);
	ioapic_eoi(&a, 0x90);
	ck_assert_uint_eq(nr_sent, 1);
	put(0x30, 0x90 | LEVEL);
	ck_assert_uint_eq(nr_sent, 2);
}
END_TEST

START_TEST(two_pins_with_one_vector_are_both_ended)
{
	route(16, 0, 0x90 | LEVEL);
	route(17, 0, 0x90 | LEVEL);
	ioapic_set_line(&a, 16, true);
	ioapic_set_line(&a, 17, true);
	ck_assert_uint_eq(nr_sent, 2);
	ioapic_eoi(&a, 0x90);
	ck_assert_uint_eq(nr_sent, 4);
}
END_TEST

START_TEST(eoi_register_ends_as_a_processor_does)
{
	route(16, 0, 0x90 | LEVEL);
	ioapic_set_line(&a, 16, true);
	ioapic_set_line(&a, 16, false);
	ioapic_io_ops.write(&a, 0x40, 4, 0x90);
	ck_assert_uint_eq(entry(16) & RIRR, 0);
}
END_TEST

START_TEST(edge_mode_clears_remote_irr)
{
	route(16, 0, 0x90 | LEVEL);
	ioapic_set_line(&a, 16, true);
	put(0x30, 0x90 | MASKED);
	put(0x30, 0x90 | MASKED | LEVEL);
	ck_assert_uint_eq(entry(16), 0x90 | MASKED | LEVEL);
}
END_TEST

START_TEST(watch_follows_unmasked_level_entries)
{
	route(16, 1u << 24 | 1u << 17, 0x90 | LEVEL);
	ck_assert_uint_eq(nr_watches, 1);
	ck_assert_uint_eq(watched[16][0], 0xfee01020);
	ck_assert_uint_eq(watched[16][1], 0xc090);
	put(0x30, 0x90 | LEVEL | MASKED);
	put(0x31, 2u << 24);
	ck_assert_uint_eq(nr_watches, 1);
	put(0x30, 0x90 | LEVEL);
	ck_assert_uint_eq(nr_watches, 2);
	ck_assert_uint_eq(watched[16][0], 0xfee02000);
	put(0x30, 0x90);
	ck_assert_uint_eq(nr_watches, 3);
	ck_assert_uint_eq(watched[16][0], 0);
}
END_TEST

START_TEST(watch_comes_before_the_first_message)
{
	ioapic_set_line(&a, 16, true);
	put(0x31, 0);
	put(0x30, 0x90 | LEVEL);
	ck_assert_uint_eq(nr_sent, 1);
	ck_assert_uint_eq(watched[16][1], 0xc090);
}
END_TEST

START_TEST(narrow_and_odd_accesses_do_no_harm)
{
	ioapic_io_ops.write(&a, 0, 1, 1);
	ck_assert_uint_eq(ioapic_io_ops.read(&a, 0, 4), 1);
	ck_assert_uint_eq(ioapic_io_ops.read(&a, 0x10, 1), 0x20);
	ck_assert_uint_eq(ioapic_io_ops.read(&a, 0x10, 8), 0x170020);
	ck_assert_uint_eq(ioapic_io_ops.read(&a, 0x14, 4), 0);
	ioapic_io_ops.write(&a, 0xffc, 4, ~0u);
	ck_assert_uint_eq(get(1), 0x00170020);
}
END_TEST

START_TEST(reset_masks_forgets_watches_and_keeps_lines)
{
	route(16, 0, 0x90 | LEVEL);
	ioapic_set_line(&a, 16, true);
	ioapic_dev_ops.reset(&a);
	ck_assert_uint_eq(entry(16), MASKED);
	ck_assert_uint_eq(watched[16][0], 0);
	ck_assert_uint_eq(nr_sent, 1);
	put(0x30, 0x91 | LEVEL);
	ck_assert_uint_eq(nr_sent, 2);
}
END_TEST

static void save_and_load(const uint8_t *bytes, size_t len)
{
	struct state_reader r = { .data = bytes, .len = len };
	struct err e;

	ck_assert_int_eq(ioapic_dev_ops.load(&a, &r, &e), 0);
}

START_TEST(saved_state_comes_back)
{
	struct buf b = { 0 };

	route(16, 5u << 24, 0x90 | LEVEL);
	ioapic_set_line(&a, 16, true);
	put(0, 3u << 24);
	ioapic_dev_ops.save(&a, &b);
	teardown();
	setup();
	save_and_load(b.data, b.len);
	ck_assert_uint_eq(nr_sent, 0);
	ck_assert_uint_eq(watched[16][0], 0xfee05000);
	ck_assert_uint_eq(entry(16), 0x90 | LEVEL | RIRR);
	ioapic_eoi(&a, 0x90);
	ck_assert_uint_eq(nr_sent, 1);
	buf_fini(&b);
}
END_TEST

START_TEST(load_of_any_bytes_gives_a_possible_state)
{
	uint8_t bytes[6 + 8 * NR_IOAPIC_PINS];

	memset(bytes, 0xff, sizeof(bytes));
	save_and_load(bytes, sizeof(bytes));
	ck_assert_uint_eq(entry(3), 0x1afff | RIRR);
	ck_assert_uint_eq(a.level, 0xffffff);
	memset(bytes, 0, sizeof(bytes));
	bytes[6 + 1] = 0x40; /* Remote IRR of an edge entry */
	save_and_load(bytes, sizeof(bytes));
	ck_assert_uint_eq(entry(0), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("ioapic");
	Suite *s = suite_create("ioapic");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, init_shows_24_masked_pins_and_version_20);
	tcase_add_test(t, id_has_four_bits_and_arbitration_follows);
	tcase_add_test(t, entry_keeps_writable_bits_only);
	tcase_add_test(t, edge_sends_once_for_each_rise);
	tcase_add_test(t, edge_at_masked_pin_is_lost);
	tcase_add_test(t, destination_of_15_bits_goes_into_the_message);
	tcase_add_test(t, logical_lowest_priority_mode_goes_into_the_message);
	tcase_add_test(t, extint_entry_sends_nothing);
	tcase_add_test(t, level_sends_once_until_eoi_and_again_while_high);
	tcase_add_test(t, level_masked_at_eoi_comes_when_unmasked);
	tcase_add_test(t, two_pins_with_one_vector_are_both_ended);
	tcase_add_test(t, eoi_register_ends_as_a_processor_does);
	tcase_add_test(t, edge_mode_clears_remote_irr);
	tcase_add_test(t, watch_follows_unmasked_level_entries);
	tcase_add_test(t, watch_comes_before_the_first_message);
	tcase_add_test(t, narrow_and_odd_accesses_do_no_harm);
	tcase_add_test(t, reset_masks_forgets_watches_and_keeps_lines);
	tcase_add_test(t, saved_state_comes_back);
	tcase_add_test(t, load_of_any_bytes_gives_a_possible_state);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
