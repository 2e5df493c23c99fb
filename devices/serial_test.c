/*
 * Unit tests of serial.c: a guest that reads and writes registers on one side, a scripted chardev on the
 * other, time moved by hand. They do not test how fast anything is, nor two threads at once.
 */
#include <check.h>
#include <stdlib.h>

#include "devices/fake_loop.h"
#include "devices/serial.h"
#include "vmm/base/log.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

#define CHAR_NS 86806ull
#define SETTLE  2000000ull

/* The other side of the stream. */
struct chardev {
	struct chardev_user user;
	uint8_t out[64], in[64];
	size_t out_len, out_cap, in_pos, in_len;
};

void chardev_attach(struct chardev *c, const struct chardev_user *user)
{
	c->user = *user;
}

size_t chardev_write(struct chardev *c, const uint8_t *bytes, size_t len)
{
	size_t n = MIN(len, c->out_cap - c->out_len);

	memcpy(c->out + c->out_len, bytes, n);
	c->out_len += n;
	return n;
}

bool chardev_has_room(struct chardev *c)
{
	return c->out_len < c->out_cap;
}

size_t chardev_read(struct chardev *c, uint8_t *bytes, size_t len)
{
	size_t n = MIN(len, c->in_len - c->in_pos);

	memcpy(bytes, c->in + c->in_pos, n);
	c->in_pos += n;
	return n;
}

static struct serial s;
static struct chardev chr;
static bool line;
static unsigned int edges; /* rising ones, as an edge-triggered interrupt controller counts */

static void line_set(void *ctx, unsigned int pin, bool level)
{
	(void)ctx;
	ck_assert_uint_eq(pin, 4);
	edges += level && !line;
	line = level;
}

static void make_port(struct chardev *c)
{
	struct err e;

	memset(&chr, 0, sizeof(chr));
	chr.out_cap = sizeof(chr.out);
	memset(&fake_loop, 0, sizeof(fake_loop));
	fake_loop.now_ns = 1000000000;
	line = false;
	edges = 0;
	ck_assert_int_eq(serial_init(&s, (struct irq_line){ line_set, NULL, 4 }, c, NULL, "com1", &e), 0);
}

static void setup(void)
{
	make_port(&chr);
}

static void setup_unplugged(void)
{
	make_port(NULL);
}

static void teardown(void)
{
	serial_fini(&s);
}

static uint8_t in(unsigned int reg)
{
	return (uint8_t)serial_io_ops.read(&s, reg, 1);
}

static void out(unsigned int reg, uint8_t val)
{
	serial_io_ops.write(&s, reg, 1, val);
}

/* Somebody types. */
static void type(const char *text)
{
	size_t n = strlen(text);

	memcpy(chr.in + chr.in_len, text, n);
	chr.in_len += n;
	chr.user.input(chr.user.ctx);
}

/* A driver that has finished setting up: FIFOs with this trigger, these interrupts. */
static void start(uint8_t fcr, uint8_t ier)
{
	out(FCR, fcr);
	out(IER, ier);
	fake_loop_advance(SETTLE);
}

START_TEST(reset_gives_the_values_of_the_datasheet)
{
	ck_assert_uint_eq(in(IER), 0x00);
	ck_assert_uint_eq(in(IIR), 0x01);
	ck_assert_uint_eq(in(LCR), 0x00);
	ck_assert_uint_eq(in(MCR), 0x00);
	ck_assert_uint_eq(in(LSR), 0x60);
	ck_assert_uint_eq(in(MSR), 0xb0);
}
END_TEST

START_TEST(dlab_gives_the_divisor_and_keeps_data_and_ier)
{
	out(IER, 0x05);
	out(LCR, 0x83);
	out(DATA, 0x34);
	out(IER, 0x12);
	ck_assert_uint_eq(in(DATA), 0x34);
	ck_assert_uint_eq(in(IER), 0x12);
	out(LCR, 0x03);
	ck_assert_uint_eq(in(IER), 0x05);
	ck_assert_uint_eq(chr.out_len, 0);
}
END_TEST

START_TEST(unused_bits_read_zero_and_scratch_keeps_all)
{
	out(IER, 0xff);
	out(MCR, 0xef);
	out(SCR, 0xa5);
	out(LSR, 0xff);
	ck_assert_uint_eq(in(IER), 0x0f);
	ck_assert_uint_eq(in(MCR), 0x0f);
	ck_assert_uint_eq(in(SCR), 0xa5);
	ck_assert_uint_eq(in(LSR), 0x60);
}
END_TEST

START_TEST(iir_shows_fifos_only_while_enabled)
{
	out(FCR, 0xc6); /* bit 0 clear: nothing of it counts */
	ck_assert_uint_eq(in(IIR), 0x01);
	out(FCR, 0xc1);
	ck_assert_uint_eq(in(IIR), 0xc1);
	out(FCR, 0x00);
	ck_assert_uint_eq(in(IIR), 0x01);
}
END_TEST

START_TEST(word_access_is_two_byte_accesses)
{
	serial_io_ops.write(&s, LCR, 2, 0x0b03); /* LCR, then MCR */
	ck_assert_uint_eq(in(LCR), 0x03);
	ck_assert_uint_eq(in(MCR), 0x0b);
	ck_assert_uint_eq(serial_io_ops.read(&s, LCR, 2), 0x0b03);
	ck_assert_uint_eq(serial_io_ops.read(&s, SCR, 2), 0xff00);
}
END_TEST

START_TEST(offsets_outside_the_window_are_ignored)
{
	serial_io_ops.write(&s, UINT64_MAX, 8, UINT64_MAX);
	serial_io_ops.write(&s, 8, 4, UINT64_MAX);
	ck_assert_uint_eq(serial_io_ops.read(&s, UINT64_MAX, 8), UINT64_MAX);
	ck_assert_uint_eq(in(IER), 0);
	ck_assert_uint_eq(chr.out_len, 0);
}
END_TEST

/* --- output --- */

START_TEST(output_reaches_the_chardev_in_order)
{
	out(DATA, 'h');
	out(DATA, 'i');
	ck_assert_uint_eq(chr.out_len, 2);
	ck_assert_mem_eq(chr.out, "hi", 2);
	ck_assert_uint_eq(in(LSR), 0x60);
	ck_assert(!line);
}
END_TEST

START_TEST(enabling_thre_while_empty_raises_at_once)
{
	out(IER, 0x02);
	ck_assert(line);
	ck_assert_uint_eq(in(IIR), 0x02);
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0x01);
}
END_TEST

START_TEST(enabling_thre_again_raises_again)
{
	/* Linux 6.1, serial8250_do_startup(): without this it believes in a broken chip and polls. */
	out(IER, 0x02);
	in(IIR);
	out(IER, 0x00);
	out(IER, 0x02);
	ck_assert_uint_eq(in(IIR), 0x02);
}
END_TEST

START_TEST(writing_ier_unchanged_does_not_raise_again)
{
	out(IER, 0x02);
	in(IIR);
	out(IER, 0x03);
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0x01);
}
END_TEST

START_TEST(disabling_thre_lowers_the_line)
{
	out(IER, 0x02);
	out(IER, 0x00);
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0x01);
}
END_TEST

START_TEST(each_write_gives_one_thre_interrupt)
{
	out(IER, 0x02);
	in(IIR);
	edges = 0;
	out(DATA, 'a');
	ck_assert_uint_eq(edges, 1);
	ck_assert_uint_eq(in(IIR), 0x02);
	out(DATA, 'b');
	ck_assert_uint_eq(edges, 2);
	ck_assert_uint_eq(in(IIR), 0x02);
	ck_assert_uint_eq(in(IIR), 0x01);
}
END_TEST

START_TEST(write_without_reading_iir_still_makes_an_edge)
{
	out(IER, 0x02);
	out(DATA, 'a');
	ck_assert_uint_eq(edges, 2);
	ck_assert(line);
}
END_TEST

START_TEST(iir_read_that_reports_another_source_keeps_thre)
{
	start(0x01, 0x03);
	type("x");
	ck_assert_uint_eq(in(IIR), 0xc4);
	ck_assert_uint_eq(in(IIR), 0xc4);
	ck_assert_uint_eq(in(DATA), 'x');
	ck_assert_uint_eq(in(IIR), 0xc2);
	ck_assert_uint_eq(in(IIR), 0xc1);
}
END_TEST

START_TEST(full_chardev_holds_thre_back_until_room)
{
	chr.out_cap = 1;
	out(DATA, 'a');
	out(IER, 0x02);
	in(IIR);
	out(DATA, 'b');
	ck_assert_uint_eq(in(LSR), 0x00);
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0x01);
	chr.out_cap = 8;
	chr.user.room(chr.user.ctx);
	ck_assert_uint_eq(in(LSR), 0x60);
	ck_assert_uint_eq(in(IIR), 0x02);
	ck_assert_mem_eq(chr.out, "ab", 2);
}
END_TEST

START_TEST(enabling_thre_while_held_back_does_not_raise)
{
	chr.out_cap = 0;
	out(DATA, 'a');
	out(IER, 0x02);
	ck_assert(!line);
	chr.out_cap = 8;
	chr.user.room(chr.user.ctx);
	ck_assert(line);
}
END_TEST

START_TEST(room_without_anything_held_back_is_no_interrupt)
{
	out(IER, 0x02);
	in(IIR);
	chr.user.room(chr.user.ctx);
	ck_assert(!line);
}
END_TEST

START_TEST(without_fifo_a_second_byte_is_lost_and_counted)
{
	log_set_level(LOG_ERROR);
	chr.out_cap = 0;
	out(DATA, 'a');
	out(DATA, 'b');
	ck_assert_uint_eq(serial_lost_bytes(&s), 1);
	chr.out_cap = 8;
	chr.user.room(chr.user.ctx);
	ck_assert_uint_eq(chr.out_len, 1);
	ck_assert_uint_eq(chr.out[0], 'a');
}
END_TEST

START_TEST(with_fifo_sixteen_bytes_wait_and_the_next_is_lost)
{
	log_set_level(LOG_ERROR);
	out(FCR, 0x01);
	chr.out_cap = 0;
	for (int i = 0; i < 17; i++)
		out(DATA, (uint8_t)('a' + i));
	ck_assert_uint_eq(serial_lost_bytes(&s), 1);
	chr.out_cap = 64;
	chr.user.room(chr.user.ctx);
	ck_assert_uint_eq(chr.out_len, 16);
	ck_assert_mem_eq(chr.out, "abcdefghijklmnop", 16);
}
END_TEST

START_TEST(partial_room_keeps_order_and_thre_clear)
{
	out(FCR, 0x01);
	chr.out_cap = 0;
	for (int i = 0; i < 4; i++)
		out(DATA, (uint8_t)('a' + i));
	out(IER, 0x02);
	chr.out_cap = 2;
	chr.user.room(chr.user.ctx);
	ck_assert_uint_eq(in(LSR) & 0x60, 0);
	ck_assert(!line);
	chr.out_cap = 8;
	chr.user.room(chr.user.ctx);
	ck_assert_mem_eq(chr.out, "abcd", 4);
	ck_assert_uint_eq(edges, 1);
}
END_TEST

START_TEST(transmit_reset_empties_what_waits)
{
	out(FCR, 0x01);
	chr.out_cap = 0;
	out(DATA, 'a');
	out(FCR, 0x05);
	ck_assert_uint_eq(in(LSR), 0x60);
	chr.out_cap = 8;
	chr.user.room(chr.user.ctx);
	ck_assert_uint_eq(chr.out_len, 0);
}
END_TEST

START_TEST(transmit_reset_of_an_empty_fifo_is_no_interrupt)
{
	out(IER, 0x02);
	in(IIR);
	out(FCR, 0x07);
	ck_assert(!line);
}
END_TEST

START_TEST(unplugged_port_drops_output_and_is_always_ready)
{
	out(IER, 0x02);
	in(IIR);
	out(DATA, 'a');
	ck_assert(line);
	ck_assert_uint_eq(in(LSR), 0x60);
	ck_assert_uint_eq(in(MSR), 0x00);
	ck_assert_uint_eq(serial_lost_bytes(&s), 0);
}
END_TEST

/* --- input --- */

START_TEST(without_fifo_characters_come_one_by_one)
{
	start(0x00, 0x01);
	type("abc");
	ck_assert_uint_eq(in(IIR), 0x04);
	ck_assert_uint_eq(in(LSR), 0x61);
	ck_assert_uint_eq(in(DATA), 'a');
	ck_assert(!line);
	ck_assert_uint_eq(in(LSR), 0x60);
	fake_loop_advance(CHAR_NS);
	ck_assert_uint_eq(in(DATA), 'b');
	fake_loop_advance(CHAR_NS);
	ck_assert_uint_eq(in(DATA), 'c');
	ck_assert_uint_eq(edges, 3);
}
END_TEST

START_TEST(trigger_level_raises_rda_and_one_less_does_not)
{
	start(0x81, 0x01); /* 8 */
	type("1234567");
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0xc1);
	type("8");
	ck_assert(line);
	ck_assert_uint_eq(in(IIR), 0xc4);
}
END_TEST

START_TEST(rda_falls_below_the_trigger_level)
{
	start(0x41, 0x01); /* 4 */
	type("1234");
	ck_assert_uint_eq(in(IIR), 0xc4);
	in(DATA);
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0xc1);
	ck_assert_uint_eq(in(LSR), 0x61);
}
END_TEST

START_TEST(timeout_comes_four_characters_after_the_last_one)
{
	start(0xc1, 0x01);
	type("12");
	fake_loop_advance(4 * CHAR_NS - 1);
	ck_assert(!line);
	fake_loop_advance(1);
	ck_assert(line);
	ck_assert_uint_eq(in(IIR), 0xcc);
}
END_TEST

START_TEST(reading_a_character_ends_the_timeout_and_starts_it_anew)
{
	start(0xc1, 0x01);
	type("12");
	fake_loop_advance(4 * CHAR_NS);
	ck_assert_uint_eq(in(DATA), '1');
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0xc1);
	fake_loop_advance(4 * CHAR_NS);
	ck_assert_uint_eq(in(IIR), 0xcc);
	ck_assert_uint_eq(in(DATA), '2');
	fake_loop_advance(100 * CHAR_NS);
	ck_assert(!line);
	ck_assert_uint_eq(edges, 2);
}
END_TEST

START_TEST(a_later_character_postpones_the_timeout)
{
	start(0xc1, 0x01);
	type("1");
	fake_loop_advance(3 * CHAR_NS);
	type("2");
	fake_loop_advance(3 * CHAR_NS);
	ck_assert(!line);
	fake_loop_advance(CHAR_NS);
	ck_assert(line);
}
END_TEST

START_TEST(timeout_needs_the_rda_enable)
{
	out(FCR, 0xc1);
	out(MCR, 0x10);
	out(DATA, 'x');
	fake_loop_advance(10 * CHAR_NS);
	ck_assert(!line);
	out(IER, 0x01);
	ck_assert_uint_eq(in(IIR), 0xcc);
}
END_TEST

START_TEST(fourteen_characters_are_one_interrupt)
{
	start(0xc1, 0x01);
	type("0123456789abcd");
	ck_assert_uint_eq(edges, 1);
	for (int i = 0; i < 14; i++)
		in(DATA);
	fake_loop_advance(100 * CHAR_NS);
	ck_assert_uint_eq(edges, 1);
	ck_assert(!line);
}
END_TEST

START_TEST(long_input_arrives_whole_through_interrupts)
{
	static const char text[] = "The quick brown fox jumps over the lazy dog, twice.";
	char got[sizeof(text)] = "";
	size_t n = 0;

	start(0x81, 0x01);
	type(text);
	for (int i = 0; i < 1000; i++) {
		fake_loop_advance(CHAR_NS);
		for (uint8_t iir = in(IIR); iir == 0xc4 || iir == 0xcc; iir = in(IIR))
			got[n++] = (char)in(DATA);
	}
	ck_assert_str_eq(got, text);
}
END_TEST

START_TEST(an_emptied_receiver_stays_empty_for_a_character)
{
	start(0x01, 0x01);
	type("0123456789abcdefGH");
	for (int i = 0; i < 16; i++)
		in(DATA);
	ck_assert_uint_eq(in(LSR), 0x60);
	ck_assert(!line);
	fake_loop_advance(CHAR_NS);
	ck_assert(line);
	ck_assert_uint_eq(in(DATA), 'G');
}
END_TEST

START_TEST(input_waits_for_a_reader_and_survives_the_drivers_flush)
{
	type("early");
	out(FCR, 0x07);
	out(FCR, 0x00);
	in(LSR), in(DATA), in(IIR), in(MSR); /* Linux 6.1, serial8250_do_startup() */
	ck_assert_uint_eq(chr.in_pos, 0);
	out(IER, 0x01);
	out(FCR, 0x01);
	out(FCR, 0x81);
	fake_loop_advance(SETTLE);
	ck_assert_uint_eq(chr.in_pos, 5);
	ck_assert_uint_eq(in(DATA), 'e');
}
END_TEST

START_TEST(polling_lsr_lets_input_arrive)
{
	type("p");
	for (int i = 0; i < 7; i++)
		ck_assert_uint_eq(in(LSR), 0x60);
	ck_assert_uint_eq(in(LSR), 0x61);
	ck_assert_uint_eq(in(DATA), 'p');
	ck_assert(!line);
}
END_TEST

START_TEST(receive_reset_drops_the_fifo_and_its_interrupt)
{
	start(0x01, 0x01);
	type("abc");
	out(FCR, 0x03);
	ck_assert(!line);
	ck_assert_uint_eq(in(LSR), 0x60);
	type("d");
	fake_loop_advance(CHAR_NS);
	ck_assert_uint_eq(in(DATA), 'd');
}
END_TEST

START_TEST(switching_fifos_off_clears_them)
{
	start(0x01, 0x01);
	type("abc");
	out(FCR, 0x00);
	ck_assert_uint_eq(in(LSR), 0x60);
	ck_assert_uint_eq(in(IIR), 0x01);
}
END_TEST

START_TEST(reading_an_empty_receiver_is_harmless)
{
	start(0x01, 0x01);
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(in(DATA), 0);
	type("z");
	ck_assert_uint_eq(in(DATA), 'z');
}
END_TEST

/* --- line status --- */

START_TEST(break_is_a_zero_with_bi_and_raises_line_status)
{
	start(0x01, 0x05);
	chr.user.brk(chr.user.ctx);
	ck_assert_uint_eq(in(IIR), 0xc6);
	ck_assert_uint_eq(in(LSR), 0xf9); /* FIFO error, TEMT, THRE, BI, FE, DR */
	ck_assert_uint_eq(in(IIR), 0xc4);
	ck_assert_uint_eq(in(LSR), 0x61);
	ck_assert_uint_eq(in(DATA), 0);
}
END_TEST

START_TEST(break_shows_when_its_character_is_first)
{
	start(0x01, 0x05);
	type("a");
	chr.user.brk(chr.user.ctx);
	ck_assert_uint_eq(in(IIR), 0xc4);
	ck_assert_uint_eq(in(LSR), 0xe1); /* only "an error is in the FIFO" */
	ck_assert_uint_eq(in(DATA), 'a');
	ck_assert_uint_eq(in(IIR), 0xc6);
	ck_assert_uint_eq(in(LSR), 0xf9);
	ck_assert_uint_eq(in(DATA), 0);
	ck_assert_uint_eq(in(LSR), 0x60);
}
END_TEST

START_TEST(break_waits_for_room_in_a_full_fifo)
{
	start(0x01, 0x01);
	type("0123456789abcdef");
	chr.user.brk(chr.user.ctx);
	for (int i = 0; i < 16; i++)
		in(DATA);
	fake_loop_advance(CHAR_NS);
	ck_assert_uint_eq(in(LSR), 0xf9);
}
END_TEST

START_TEST(loopback_overrun_of_a_full_fifo_loses_the_newest)
{
	start(0x01, 0x04);
	out(MCR, 0x10);
	for (int i = 0; i < 17; i++)
		out(DATA, (uint8_t)i);
	ck_assert_uint_eq(in(IIR), 0xc6);
	ck_assert_uint_eq(in(LSR), 0x63);
	ck_assert_uint_eq(in(LSR), 0x61);
	for (int i = 0; i < 16; i++)
		ck_assert_uint_eq(in(DATA), i);
	ck_assert_uint_eq(in(LSR), 0x60);
}
END_TEST

START_TEST(loopback_overrun_without_fifo_destroys_the_oldest)
{
	out(MCR, 0x10);
	out(DATA, 1);
	out(DATA, 2);
	ck_assert_uint_eq(in(LSR), 0x63);
	ck_assert_uint_eq(in(DATA), 2);
}
END_TEST

/* --- modem, loopback --- */

START_TEST(loopback_returns_bytes_and_sends_none)
{
	out(MCR, 0x10);
	out(DATA, 0x5a);
	ck_assert_uint_eq(chr.out_len, 0);
	ck_assert_uint_eq(in(LSR), 0x61);
	ck_assert_uint_eq(in(DATA), 0x5a);
}
END_TEST

START_TEST(loopback_keeps_outside_input_waiting)
{
	start(0x01, 0x01);
	out(MCR, 0x10);
	type("x");
	fake_loop_advance(10 * CHAR_NS);
	ck_assert_uint_eq(in(LSR), 0x60);
	out(MCR, 0x00);
	fake_loop_advance(CHAR_NS);
	ck_assert_uint_eq(in(DATA), 'x');
}
END_TEST

START_TEST(loopback_connects_outputs_to_inputs)
{
	static const uint8_t outputs[] = { 0x1, 0x2, 0x4, 0x8 }, inputs[] = { 0x20, 0x10, 0x40, 0x80 };

	for (unsigned int i = 0; i < 4; i++) {
		out(MCR, 0x10 | outputs[i]);
		ck_assert_uint_eq(in(MSR) & 0xf0, inputs[i]);
	}
	out(MCR, 0x1a); /* Linux 6.1, autoconfig() */
	ck_assert_uint_eq(in(MSR) & 0xf0, 0x90);
}
END_TEST

START_TEST(deltas_are_set_by_changes_and_cleared_by_reading)
{
	out(MCR, 0x10);
	in(MSR);
	out(MCR, 0x1b);
	ck_assert_uint_eq(in(MSR), 0xbb); /* CTS, DSR, DCD, each with its delta */
	ck_assert_uint_eq(in(MSR), 0xb0);
}
END_TEST

START_TEST(ring_counts_its_trailing_edge_only)
{
	out(MCR, 0x10);
	in(MSR);
	out(MCR, 0x14);
	ck_assert_uint_eq(in(MSR), 0x40);
	out(MCR, 0x10);
	ck_assert_uint_eq(in(MSR), 0x04);
}
END_TEST

START_TEST(modem_interrupt_is_raised_and_cleared_by_msr)
{
	out(MCR, 0x10);
	in(MSR);
	out(IER, 0x08);
	ck_assert(!line);
	out(MCR, 0x11);
	ck_assert(line);
	ck_assert_uint_eq(in(IIR), 0x00);
	in(MSR);
	ck_assert(!line);
}
END_TEST

START_TEST(iir_reports_by_priority)
{
	out(FCR, 0x01);
	out(MCR, 0x10);
	in(MSR);
	out(IER, 0x0f);
	out(LCR, 0x40); /* break, looped back */
	out(MCR, 0x11);
	ck_assert_uint_eq(in(IIR), 0xc6);
	in(LSR);
	ck_assert_uint_eq(in(IIR), 0xc4);
	in(DATA);
	ck_assert_uint_eq(in(IIR), 0xc2);
	ck_assert_uint_eq(in(IIR), 0xc0);
	in(MSR);
	ck_assert_uint_eq(in(IIR), 0xc1);
	ck_assert(!line);
}
END_TEST

/* --- life --- */

static void save_and_load_into_a_fresh_port(void)
{
	struct buf b = { 0 };
	struct chardev kept = chr;
	struct state_reader r;
	struct err e;

	serial_dev_ops.save(&s, &b);
	serial_fini(&s);
	make_port(&chr);
	memcpy(chr.out, kept.out, sizeof(chr.out));
	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_int_eq(serial_dev_ops.load(&s, &r, &e), 0);
	ck_assert_int_eq(state_close(&r, "com1", &e), 0);
	buf_fini(&b);
}

START_TEST(load_restores_registers_fifos_and_line)
{
	start(0xc1, 0x03);
	out(LCR, 0x83);
	out(DATA, 0x01);
	out(IER, 0x02);
	out(LCR, 0x1b);
	out(MCR, 0x0b);
	out(SCR, 0x77);
	type("ab");
	chr.user.brk(chr.user.ctx);
	save_and_load_into_a_fresh_port();
	ck_assert(line);
	ck_assert_uint_eq(in(IIR), 0xc2);
	ck_assert_uint_eq(in(IIR), 0xc1);
	ck_assert_uint_eq(in(IER), 0x03);
	ck_assert_uint_eq(in(LCR), 0x1b);
	ck_assert_uint_eq(in(MCR), 0x0b);
	ck_assert_uint_eq(in(SCR), 0x77);
	fake_loop_advance(4 * CHAR_NS);
	ck_assert_uint_eq(in(IIR), 0xcc);
	ck_assert_uint_eq(in(DATA), 'a');
	ck_assert_uint_eq(in(DATA), 'b');
	ck_assert_uint_eq(in(LSR), 0xf9);
	out(LCR, 0x80);
	ck_assert_uint_eq(serial_io_ops.read(&s, DATA, 2), 0x0201);
}
END_TEST

START_TEST(load_sends_what_had_been_waiting)
{
	out(FCR, 0x01);
	chr.out_cap = 0;
	out(DATA, 'x');
	out(DATA, 'y');
	save_and_load_into_a_fresh_port();
	ck_assert_uint_eq(chr.out_len, 2);
	ck_assert_mem_eq(chr.out, "xy", 2);
	ck_assert_uint_eq(in(LSR), 0x60);
}
END_TEST

START_TEST(load_refuses_counts_that_do_not_fit)
{
	uint8_t bytes[11] = { 0 };
	struct state_reader r = { .data = bytes, .len = sizeof(bytes) };
	struct err e;

	bytes[10] = 17;
	ck_assert_int_lt(serial_dev_ops.load(&s, &r, &e), 0);
}
END_TEST

START_TEST(reset_lowers_the_line_and_forgets_characters)
{
	start(0x01, 0x0f);
	type("abc");
	out(LCR, 0x80);
	serial_dev_ops.reset(&s);
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0x01);
	ck_assert_uint_eq(in(LSR), 0x60);
	ck_assert_uint_eq(in(IER), 0x00);
}
END_TEST

static Suite *serial_suite(void)
{
	Suite *suite = suite_create("serial");
	TCase *t = tcase_create("port"), *u = tcase_create("unplugged");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, reset_gives_the_values_of_the_datasheet);
	tcase_add_test(t, dlab_gives_the_divisor_and_keeps_data_and_ier);
	tcase_add_test(t, unused_bits_read_zero_and_scratch_keeps_all);
	tcase_add_test(t, iir_shows_fifos_only_while_enabled);
	tcase_add_test(t, word_access_is_two_byte_accesses);
	tcase_add_test(t, offsets_outside_the_window_are_ignored);
	tcase_add_test(t, output_reaches_the_chardev_in_order);
	tcase_add_test(t, enabling_thre_while_empty_raises_at_once);
	tcase_add_test(t, enabling_thre_again_raises_again);
	tcase_add_test(t, writing_ier_unchanged_does_not_raise_again);
	tcase_add_test(t, disabling_thre_lowers_the_line);
	tcase_add_test(t, each_write_gives_one_thre_interrupt);
	tcase_add_test(t, write_without_reading_iir_still_makes_an_edge);
	tcase_add_test(t, iir_read_that_reports_another_source_keeps_thre);
	tcase_add_test(t, full_chardev_holds_thre_back_until_room);
	tcase_add_test(t, enabling_thre_while_held_back_does_not_raise);
	tcase_add_test(t, room_without_anything_held_back_is_no_interrupt);
	tcase_add_test(t, without_fifo_a_second_byte_is_lost_and_counted);
	tcase_add_test(t, with_fifo_sixteen_bytes_wait_and_the_next_is_lost);
	tcase_add_test(t, partial_room_keeps_order_and_thre_clear);
	tcase_add_test(t, transmit_reset_empties_what_waits);
	tcase_add_test(t, transmit_reset_of_an_empty_fifo_is_no_interrupt);
	tcase_add_test(t, without_fifo_characters_come_one_by_one);
	tcase_add_test(t, trigger_level_raises_rda_and_one_less_does_not);
	tcase_add_test(t, rda_falls_below_the_trigger_level);
	tcase_add_test(t, timeout_comes_four_characters_after_the_last_one);
	tcase_add_test(t, reading_a_character_ends_the_timeout_and_starts_it_anew);
	tcase_add_test(t, a_later_character_postpones_the_timeout);
	tcase_add_test(t, timeout_needs_the_rda_enable);
	tcase_add_test(t, fourteen_characters_are_one_interrupt);
	tcase_add_test(t, long_input_arrives_whole_through_interrupts);
	tcase_add_test(t, an_emptied_receiver_stays_empty_for_a_character);
	tcase_add_test(t, input_waits_for_a_reader_and_survives_the_drivers_flush);
	tcase_add_test(t, polling_lsr_lets_input_arrive);
	tcase_add_test(t, receive_reset_drops_the_fifo_and_its_interrupt);
	tcase_add_test(t, switching_fifos_off_clears_them);
	tcase_add_test(t, reading_an_empty_receiver_is_harmless);
	tcase_add_test(t, break_is_a_zero_with_bi_and_raises_line_status);
	tcase_add_test(t, break_shows_when_its_character_is_first);
	tcase_add_test(t, break_waits_for_room_in_a_full_fifo);
	tcase_add_test(t, loopback_overrun_of_a_full_fifo_loses_the_newest);
	tcase_add_test(t, loopback_overrun_without_fifo_destroys_the_oldest);
	tcase_add_test(t, loopback_returns_bytes_and_sends_none);
	tcase_add_test(t, loopback_keeps_outside_input_waiting);
	tcase_add_test(t, loopback_connects_outputs_to_inputs);
	tcase_add_test(t, deltas_are_set_by_changes_and_cleared_by_reading);
	tcase_add_test(t, ring_counts_its_trailing_edge_only);
	tcase_add_test(t, modem_interrupt_is_raised_and_cleared_by_msr);
	tcase_add_test(t, iir_reports_by_priority);
	tcase_add_test(t, load_restores_registers_fifos_and_line);
	tcase_add_test(t, load_sends_what_had_been_waiting);
	tcase_add_test(t, load_refuses_counts_that_do_not_fit);
	tcase_add_test(t, reset_lowers_the_line_and_forgets_characters);
	suite_add_tcase(suite, t);

	tcase_add_checked_fixture(u, setup_unplugged, teardown);
	tcase_add_test(u, unplugged_port_drops_output_and_is_always_ready);
	suite_add_tcase(suite, u);
	return suite;
}

int main(void)
{
	SRunner *sr = srunner_create(serial_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
