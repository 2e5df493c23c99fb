/* Fast reset by bit 0 of port 0x92 (Intel ICH9 data sheet, 13.7.3 PORT92). The checks are in lib/reset.c. */
#include "lib/cpu.h"
#include "lib/reset.h"
#include "lib/tap.h"

static void reset_by_port92(void)
{
	cpu_outb(0x92, (uint8_t)(cpu_inb(0x92) & ~1u));
	cpu_outb(0x92, (uint8_t)(cpu_inb(0x92) | 1));
}

void test_main(void)
{
	reset_check(5, reset_by_port92);
}
