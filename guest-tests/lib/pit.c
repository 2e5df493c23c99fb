/* 8254 access. No interrupt setup: that is the IOAPIC's. */
#include "lib/pit.h"
#include "lib/cpu.h"

void pit_set(unsigned int channel, unsigned int mode, uint16_t count)
{
	cpu_outb(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	cpu_outb((uint16_t)(0x40 + channel), (uint8_t)count);
	cpu_outb((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

void pit_stop(void)
{
	pit_set(0, PIT_ONE_SHOT, 1);
}

uint16_t pit_read(unsigned int channel)
{
	uint8_t low;

	cpu_outb(0x43, (uint8_t)(channel << 6));
	low = cpu_inb((uint16_t)(0x40 + channel));
	return (uint16_t)(low | cpu_inb((uint16_t)(0x40 + channel)) << 8);
}

uint8_t pit_status(unsigned int channel)
{
	cpu_outb(0x43, (uint8_t)(0xe0 | 2u << channel));
	return cpu_inb((uint16_t)(0x40 + channel));
}

void pit_gate2(bool on)
{
	cpu_outb(0x61, (uint8_t)((cpu_inb(0x61) & 0x0c) | on));
}

bool pit_output2(void)
{
	return cpu_inb(0x61) & 0x20;
}
