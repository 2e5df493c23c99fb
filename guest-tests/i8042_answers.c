/*
 * The keyboard controller answers every command in bounded time, and a missing keyboard does not hang anyone.
 *
 * IBM PC AT Technical Reference, 8042. A keyboard or mouse need not be there: their commands may be answered
 * or time out, but the input buffer must empty itself again. Resetting is reset_i8042's business.
 */
#include "lib/cpu.h"
#include "lib/tap.h"

#define TRIES 2000

enum { DATA = 0x60, STATUS = 0x64 };
enum { STATUS_OUTPUT_FULL = 1, STATUS_INPUT_FULL = 2, STATUS_SYSTEM = 4 };

static bool i8042_accepts(void)
{
	for (int tries = 0; tries < TRIES; tries++)
		if (!(cpu_inb(STATUS) & STATUS_INPUT_FULL))
			return true;
	return false;
}

/* One byte of output within bounds, or -1. */
static int i8042_receive(void)
{
	for (int tries = 0; tries < TRIES; tries++)
		if (cpu_inb(STATUS) & STATUS_OUTPUT_FULL)
			return cpu_inb(DATA);
	return -1;
}

static void i8042_flush(void)
{
	for (int tries = 0; tries < 64 && (cpu_inb(STATUS) & STATUS_OUTPUT_FULL); tries++)
		cpu_inb(DATA);
}

static int i8042_command(uint8_t command)
{
	i8042_flush();
	if (!i8042_accepts())
		return -2;
	cpu_outb(STATUS, command);
	return i8042_receive();
}

static void i8042_check_keyboard(uint8_t command)
{
	int answer;

	i8042_flush();
	cpu_outb(DATA, command);
	tap_check(i8042_accepts(), "keyboard command 0x%x is taken", command);
	answer = i8042_receive();
	tap_check(answer == -1 || answer == 0xfa || answer == 0xfe, "answered by ACK, RESEND or nothing: %d", answer);
	i8042_flush();
}

void test_main(void)
{
	int command_byte;

	if (!tap_check(cpu_inb(STATUS) != 0xff, "port 0x64 is there: 0x%x", cpu_inb(STATUS)))
		tap_bail("no keyboard controller");
	tap_check(i8042_accepts(), "ready for a command");
	i8042_flush();
	tap_check(!(cpu_inb(STATUS) & STATUS_OUTPUT_FULL), "the output buffer can be emptied");
	tap_equal((uint64_t)i8042_command(0xaa), 0x55, "self test 0xaa answers 0x55");
	tap_check(cpu_inb(STATUS) & STATUS_SYSTEM, "and sets the system flag");
	tap_check(i8042_command(0xab) >= 0, "interface test 0xab answers");
	command_byte = i8042_command(0x20);
	tap_check(command_byte >= 0, "command byte: 0x%x", command_byte);
	tap_equal((uint64_t)i8042_command(0xad), (uint64_t)-1, "0xad (keyboard off) has no answer");
	tap_check(i8042_accepts(), "and is taken");
	tap_equal((uint64_t)i8042_command(0xae), (uint64_t)-1, "0xae (keyboard on) neither");
	tap_check(i8042_command(0xa9) >= -1, "0xa9 (mouse port test) does not hang");
	i8042_check_keyboard(0xf4);
	i8042_check_keyboard(0xed);
	i8042_check_keyboard(0x00);
	tap_check(i8042_command(0x5f) >= -1, "an unknown command does not hang");
	tap_check(i8042_accepts(), "ready at the end");
}
