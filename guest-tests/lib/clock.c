/* The PM timer as a 64-bit clock. Only the low 24 bits are used: all there are without TMR_VAL_EXT. */
#include "lib/clock.h"
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/tap.h"

#define MASK 0xffffffu

uint64_t clock_ticks(void)
{
	static uint16_t port;
	static uint32_t last;
	static uint64_t ticks;
	uint32_t now;

	if (!port) {
		port = acpi_pm_timer_port();
		if (!port)
			tap_bail("the FADT names no PM timer");
		last = cpu_inl(port) & MASK;
	}
	now = cpu_inl(port) & MASK;
	ticks += (now - last) & MASK;
	last = now;
	return ticks;
}

uint64_t clock_to_us(uint64_t ticks)
{
	return ticks * 1000000 / CLOCK_HZ;
}

void clock_wait_ticks(uint64_t ticks)
{
	uint64_t end = clock_ticks() + ticks;

	while (clock_ticks() < end)
		cpu_pause();
}
