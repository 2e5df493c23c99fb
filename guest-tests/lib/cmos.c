/* CMOS bytes. Interrupts and update timing are the business of rtc_time.c. */
#include "lib/cmos.h"
#include "lib/cpu.h"

uint8_t cmos_read(uint8_t index)
{
	cpu_outb(0x70, index);
	return cpu_inb(0x71);
}

void cmos_write(uint8_t index, uint8_t value)
{
	cpu_outb(0x70, index);
	cpu_outb(0x71, value);
}

uint8_t cmos_decode(uint8_t value)
{
	if (cmos_read(CMOS_B) & CMOS_B_BINARY)
		return value;
	return (uint8_t)((value >> 4) * 10 + (value & 15));
}

uint8_t cmos_encode(uint8_t value)
{
	if (cmos_read(CMOS_B) & CMOS_B_BINARY)
		return value;
	return (uint8_t)((value / 10) << 4 | value % 10);
}
