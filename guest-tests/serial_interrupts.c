/*
 * The 16550A behind COM1 to COM4: identification, loopback, FIFO and exact interrupt counts.
 *
 * National PC16550D data sheet, section 8. Every present port is tested, each with its interrupt through
 * the IOAPIC (COM1 and COM3 on IRQ 4, COM2 and COM4 on IRQ 3); an absent one (0xff everywhere) is skipped.
 * COM1 carries the TAP lines, so the console is held while a port is under test. Baud rates are
 * not measured: virtual UARTs send at once.
 */
#include "lib/clock.h"
#include "lib/console.h"
#include "lib/cpu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/tap.h"
#include "lib/trap.h"

enum { DATA = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
enum { IER_RX = 1, IER_THRE = 2, IER_LINE = 4 };
enum { IIR_NONE = 1, IIR_THRE = 2, IIR_RX = 4, IIR_LINE = 6, IIR_TIMEOUT = 0xc };
enum { LSR_DR = 1, LSR_OE = 2, LSR_THRE = 0x20, LSR_TEMT = 0x40 };
enum { MCR_LOOP = 0x10, MCR_CONSOLE = 0x0b };

#define VECTOR 0x44
#define SLOW   384

static uint16_t port;
static volatile unsigned int nr_interrupts, nr_idle;	/* nr_idle: nothing was pending in IIR */
static volatile uint8_t causes[16];

static uint8_t serial_read(unsigned int reg)
{
	return cpu_inb((uint16_t)(port + reg));
}

static void serial_write(unsigned int reg, uint8_t value)
{
	cpu_outb((uint16_t)(port + reg), value);
}

static uint8_t serial_cause(void)
{
	return serial_read(IIR) & 0x0f;
}

static void serial_interrupt(struct trap_frame *frame)
{
	uint8_t cause;

	(void)frame;
	nr_interrupts++;
	nr_idle += (cause = serial_cause()) == IIR_NONE;
	for (int tries = 0; tries < 32 && cause != IIR_NONE; tries++) {
		causes[cause]++;
		if (cause == IIR_RX || cause == IIR_TIMEOUT)
			serial_read(DATA);
		cause = serial_cause();
	}
	lapic_eoi();
}

/* Interrupts off, FIFOs empty and on, nothing pending. */
static void serial_reset(uint8_t mcr)
{
	serial_write(IER, 0);
	serial_write(LCR, 0x03);
	serial_write(MCR, mcr);
	serial_write(FCR, 0x07);
	for (int i = 0; i < 20 && (serial_read(LSR) & LSR_DR); i++)
		serial_read(DATA);
	serial_read(IIR);
	serial_read(MSR);
	nr_interrupts = nr_idle = 0;
	for (unsigned int i = 0; i < sizeof(causes); i++)
		causes[i] = 0;
}

/* 115200 / divisor baud. The character timeout is 4 character times (8.6.5), so a slow rate leaves room for a
 * busy host: 133 ms at 300 baud. */
static void serial_set_divisor(uint16_t divisor)
{
	serial_write(LCR, 0x83);
	serial_write(DATA, (uint8_t)divisor);
	serial_write(IER, (uint8_t)(divisor >> 8));
	serial_write(LCR, 0x03);
}

static bool serial_transmitter_empty(void)
{
	return CLOCK_WAIT_FOR((serial_read(LSR) & (LSR_THRE | LSR_TEMT)) == (LSR_THRE | LSR_TEMT), CLOCK_MS(500));
}

static void serial_check_registers(void)
{
	serial_reset(MCR_CONSOLE);
	serial_write(SCR, 0x5a);
	tap_equal(serial_read(SCR), 0x5a, "%x: scratch register holds 0x5a", port);
	serial_write(SCR, 0xa5);
	tap_equal(serial_read(SCR), 0xa5, "%x: and 0xa5", port);
	tap_equal(serial_read(IIR) & 0xc0, 0xc0, "%x: FIFOs on: IIR[7:6] = 11, a 16550A", port);
	serial_write(FCR, 0);
	tap_equal(serial_read(IIR) & 0xc0, 0, "%x: FIFOs off: IIR[7:6] = 00", port);
	serial_write(IER, 0xff);
	tap_equal(serial_read(IER) & 0xf0, 0, "%x: IER[7:4] read 0", port);
	serial_reset(MCR_CONSOLE);
	serial_write(LCR, 0x83);
	serial_write(DATA, 0x34);
	serial_write(IER, 0x12);
	tap_equal(serial_read(DATA) | serial_read(IER) << 8, 0x1234, "%x: divisor latch reads back", port);
	serial_set_divisor(1);
	tap_equal(serial_read(IER), 0, "%x: and hides behind DLAB", port);
	tap_equal(serial_read(LSR) & (LSR_THRE | LSR_TEMT), LSR_THRE | LSR_TEMT, "%x: idle transmitter: THRE, TEMT", port);
}

/* MCR to MSR in loopback: OUT2->DCD, OUT1->RI, DTR->DSR, RTS->CTS (data sheet 8.6.7). */
static void serial_check_loopback(void)
{
	static const struct { uint8_t mcr, msr; } lines[] = { { 0, 0 }, { 1, 0x20 }, { 2, 0x10 }, { 4, 0x40 }, { 8, 0x80 }, { 15, 0xf0 } };
	unsigned int right = 0;

	serial_reset(MCR_LOOP);
	for (unsigned int i = 0; i < 6; i++) {
		serial_write(MCR, MCR_LOOP | lines[i].mcr);
		right += (serial_read(MSR) & 0xf0) == lines[i].msr;
	}
	tap_equal(right, 6, "%x: loopback: modem outputs appear as inputs", port);
	serial_reset(MCR_LOOP);
	tap_equal(serial_read(LSR) & LSR_DR, 0, "%x: loopback: no data at first", port);
	right = 0;
	for (unsigned int i = 0; i < 16; i++) {
		serial_write(DATA, (uint8_t)(i * 37 + 1));
		serial_transmitter_empty();
	}
	for (unsigned int i = 0; i < 16; i++)
		right += CLOCK_WAIT_FOR(serial_read(LSR) & LSR_DR, CLOCK_MS(50)) && serial_read(DATA) == (uint8_t)(i * 37 + 1);
	tap_equal(right, 16, "%x: loopback: 16 bytes come back in order", port);
	tap_equal(serial_read(LSR) & LSR_DR, 0, "%x: loopback: and no more", port);
}

/* More than 16 bytes into the receive FIFO: the newest is lost, OE set, reading LSR clears it (8.6.3). */
static void serial_check_overrun(void)
{
	serial_reset(MCR_LOOP);
	for (unsigned int i = 0; i < 17; i++) {
		serial_write(DATA, (uint8_t)i);
		serial_transmitter_empty();	/* reads LSR, so only the 17th can leave OE */
		if (i == 15)
			tap_equal(serial_read(LSR) & (LSR_OE | LSR_DR), LSR_DR, "%x: FIFO takes 16 bytes", port);
	}
	tap_equal(serial_read(DATA), 0, "%x: overrun keeps the oldest byte", port);
	serial_write(FCR, 0x03);
	tap_equal(serial_read(LSR) & (LSR_OE | LSR_DR), 0, "%x: FIFO reset empties it", port);
}

/* The transmitter-empty cause in IIR, polled: data sheet 8.6.5, table 4. */
static void serial_check_thre_cause(void)
{
	serial_reset(MCR_LOOP);
	tap_equal(serial_cause(), IIR_NONE, "%x: nothing pending", port);
	serial_write(IER, IER_THRE);
	tap_equal(serial_cause(), IIR_THRE, "%x: enabling THRE with an empty THR: pending at once", port);
	tap_equal(serial_cause(), IIR_NONE, "%x: reading IIR clears it", port);
	serial_write(IER, 0);
	serial_write(IER, IER_THRE);
	tap_equal(serial_cause(), IIR_THRE, "%x: off and on again: pending again", port);
	serial_write(DATA, 'x');
	serial_transmitter_empty();
	tap_equal(serial_cause(), IIR_THRE, "%x: a sent byte: pending", port);
	tap_equal(serial_cause(), IIR_NONE, "%x: once", port);
	serial_write(IER, IER_RX | IER_THRE);
	serial_write(DATA, 'y');
	serial_transmitter_empty();
	CLOCK_WAIT_FOR((serial_read(LSR) & LSR_DR), CLOCK_MS(50));
	tap_check(serial_cause() & IIR_RX, "%x: received data comes before THRE", port);
	serial_write(IER, 0);
	tap_equal(serial_cause(), IIR_NONE, "%x: IER = 0: nothing pending", port);
}

/* Receive trigger level 8 and the character timeout (8.6.4, 8.6.5), polled in loopback. */
static void serial_check_receive_cause(void)
{
	serial_reset(MCR_LOOP);
	serial_set_divisor(SLOW);
	serial_write(FCR, 0x87);
	serial_write(IER, IER_RX);
	for (unsigned int i = 0; i < 7; i++) {
		serial_write(DATA, (uint8_t)i);
		serial_transmitter_empty();
	}
	tap_check(serial_cause() != IIR_RX, "%x: trigger 8, 7 bytes: no data interrupt", port);
	tap_check(CLOCK_WAIT_FOR(serial_cause() == IIR_TIMEOUT, CLOCK_MS(1500)), "%x: but a character timeout", port);
	serial_read(DATA);
	tap_check(serial_cause() != IIR_TIMEOUT, "%x: reading a byte ends the timeout", port);
	for (unsigned int i = 0; i < 2; i++) {
		serial_write(DATA, (uint8_t)i);
		serial_transmitter_empty();
	}
	tap_check(CLOCK_WAIT_FOR(serial_cause() == IIR_RX, CLOCK_MS(50)), "%x: 8 bytes: data interrupt", port);
	tap_check(serial_cause() == IIR_RX, "%x: reading IIR does not end it", port);
	serial_read(DATA);
	tap_check(serial_cause() != IIR_RX, "%x: below the level it ends", port);
	serial_reset(MCR_LOOP);
	serial_write(IER, IER_RX);
	serial_write(DATA, 'z');
	tap_check(CLOCK_WAIT_FOR(serial_cause() == IIR_RX, CLOCK_MS(50)), "%x: trigger 1: data interrupt", port);
	serial_read(DATA);
	tap_equal(serial_cause(), IIR_NONE, "%x: over when read", port);
	serial_set_divisor(1);
}

static bool serial_interrupts_reach(unsigned int expected)
{
	CLOCK_WAIT_FOR(nr_interrupts >= expected, CLOCK_MS(1000));
	clock_wait_ticks(CLOCK_MS(5));	/* a surplus one would come now */
	return nr_interrupts == expected;
}

/* The line itself, edge-triggered on the IOAPIC. Outside loopback, where OUT2 gates it on a PC. */
static void serial_check_line(void)
{
	unsigned int got;

	serial_reset(MCR_CONSOLE);
	ioapic_route_isa(port & 0x100 ? 4 : 3, VECTOR, lapic_id());
	cpu_enable_interrupts();
	clock_wait_ticks(CLOCK_MS(5));
	tap_equal(nr_interrupts, 0, "%x: no interrupt while IER is 0", port);
	serial_write(IER, IER_THRE);
	serial_interrupts_reach(1);
	tap_equal(nr_interrupts, 1, "%x: enabling THRE: exactly one interrupt", port);
	for (unsigned int i = 0; i < 20; i++) {
		serial_write(DATA, i < 19 ? ' ' : '\n');
		serial_interrupts_reach(2 + i);
	}
	tap_equal(nr_interrupts, 21, "%x: 20 bytes sent one by one: 20 interrupts more", port);
	tap_equal(causes[IIR_THRE], 21, "%x: each with cause THRE", port);
	serial_write(IER, 0);
	serial_write(DATA, '\n');
	clock_wait_ticks(CLOCK_MS(5));
	tap_equal(nr_interrupts, 21, "%x: none after IER = 0", port);
	tap_equal(nr_idle, 0, "%x: no spurious one", port);
	/* A PC's OUT2 is off in loopback, which cuts the line; the chip's own pin works (8.6.7). Both exist. */
	serial_reset(MCR_LOOP | MCR_CONSOLE);
	serial_set_divisor(SLOW);
	serial_write(IER, IER_RX);
	serial_write(DATA, 'r');
	serial_interrupts_reach(1);
	got = nr_interrupts;
	tap_check(got <= 1 && nr_idle == 0, "%x: loopback byte: at most one interrupt (%u)", port, got);
	cpu_disable_interrupts();
	ioapic_mask(port & 0x100 ? 4 : 3);
	serial_set_divisor(1);
	serial_reset(MCR_CONSOLE);
}

static bool serial_present(void)
{
	return serial_read(LSR) != 0xff || serial_read(IIR) != 0xff || serial_read(MCR) != 0xff;
}

void test_main(void)
{
	static const uint16_t ports[] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };

	ioapic_init();
	trap_set_handler(VECTOR, serial_interrupt);
	for (unsigned int i = 0; i < 4; i++) {
		port = ports[i];
		if (!serial_present()) {
			tap_skip("%x: no UART there", port);
			continue;
		}
		serial_transmitter_empty();
		console_hold();
		serial_check_registers();
		serial_check_loopback();
		serial_check_overrun();
		serial_check_thre_cause();
		serial_check_receive_cause();
		serial_check_line();
		console_release();
	}
}
