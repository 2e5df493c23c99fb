/*
 * Reset by the keyboard controller: command 0xfe pulses output line 0 (IBM PC AT Technical Reference, 8042).
 * The checks are in lib/reset.c.
 */
#include "lib/cpu.h"
#include "lib/reset.h"
#include "lib/tap.h"

static void reset_by_i8042(void)
{
	for (int tries = 0; tries < 10000 && (cpu_inb(0x64) & 2); tries++)
		;
	cpu_outb(0x64, 0xfe);
}

void test_main(void)
{
	reset_check(3, reset_by_i8042);
}
