/*
 * Reset by port 0xcf9 (Intel ICH9 data sheet, 13.7.5 RST_CNT): system reset bit first, then the reset bit too.
 * The checks are in lib/reset.c.
 */
#include "lib/cpu.h"
#include "lib/reset.h"
#include "lib/tap.h"

static void reset_by_cf9(void)
{
	cpu_outb(0xcf9, 0x02);
	cpu_outb(0xcf9, 0x06);
}

void test_main(void)
{
	reset_check(2, reset_by_cf9);
}
