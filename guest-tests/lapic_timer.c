/*
 * The local APIC timer: one-shot, periodic, masked, stopped, and TSC deadline where CPUID has it.
 *
 * SDM vol. 3A, 11.5.4. Rates are calibrated against the PM timer first, so the test proves consistency, not
 * an absolute frequency. Early is wrong; late may be the host's doing.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/lapic.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define VECTOR    0x50
#define PERIOD_MS 20
#define TRIES     8		/* a measurement that comes out late is made again */

static volatile unsigned int nr_ticks;

static void lapic_interrupt(struct trap_frame *frame)
{
	(void)frame;
	nr_ticks++;
	lapic_eoi();
}

/* Timer counts per millisecond at divisor 16. */
static uint32_t lapic_calibrate(void)
{
	uint64_t start, ticks;
	uint32_t counts;

	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR);
	lapic_write(LAPIC_TIMER_DIVIDE, 3);
	start = clock_ticks();
	lapic_write(LAPIC_TIMER_INITIAL, 0xffffffff);
	clock_wait_ticks(CLOCK_MS(50));
	counts = 0xffffffff - lapic_read(LAPIC_TIMER_CURRENT);
	ticks = clock_ticks() - start;
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	return (uint32_t)(counts * CLOCK_HZ / 1000 / ticks);
}

static void lapic_check_one_shot(uint32_t per_ms)
{
	uint64_t start, us = 0;

	lapic_write(LAPIC_LVT_TIMER, VECTOR);
	for (int tries = 0; tries < TRIES && (!us || us > PERIOD_MS * 4000); tries++) {
		nr_ticks = 0;
		start = clock_ticks();
		lapic_write(LAPIC_TIMER_INITIAL, per_ms * PERIOD_MS);
		us = CLOCK_WAIT_FOR(nr_ticks, CLOCK_MS(2000)) ? clock_to_us(clock_ticks() - start) : 0;
	}
	tap_between(us, PERIOD_MS * 900, PERIOD_MS * 4000, "one-shot: fires after 20 ms");
	clock_wait_ticks(CLOCK_MS(3 * PERIOD_MS));
	tap_equal(nr_ticks, 1, "one-shot: once");
	tap_equal(lapic_read(LAPIC_TIMER_CURRENT), 0, "one-shot: the count stays at 0");
}

static void lapic_check_periodic(uint32_t per_ms)
{
	uint64_t start, us = 0;

	lapic_write(LAPIC_LVT_TIMER, LAPIC_TIMER_PERIODIC | VECTOR);
	for (int tries = 0; tries < TRIES && (!us || us > PERIOD_MS * 16000); tries++) {
		nr_ticks = 0;
		start = clock_ticks();
		lapic_write(LAPIC_TIMER_INITIAL, per_ms * PERIOD_MS);
		us = CLOCK_WAIT_FOR(nr_ticks >= 10, CLOCK_MS(3000)) ? clock_to_us(clock_ticks() - start) : 0;
	}
	tap_between(us, PERIOD_MS * 9000, PERIOD_MS * 16000, "periodic: fires 10 times in 200 ms");
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | LAPIC_TIMER_PERIODIC | VECTOR);
	nr_ticks = 0;
	clock_wait_ticks(CLOCK_MS(3 * PERIOD_MS));
	tap_equal(nr_ticks, 0, "periodic, masked: silent");
	lapic_write(LAPIC_LVT_TIMER, LAPIC_TIMER_PERIODIC | VECTOR);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	nr_ticks = 0;
	clock_wait_ticks(CLOCK_MS(3 * PERIOD_MS));
	tap_equal(nr_ticks, 0, "initial count 0: stopped");
}

static void lapic_check_deadline(void)
{
	uint64_t start, per_ms, us = 0;

	if (!(cpu_cpuid(1, 0).ecx & (1u << 24))) {
		tap_skip("CPUID 1 ECX[24]: no TSC deadline");
		return;
	}
	start = cpu_rdtsc();
	clock_wait_ticks(CLOCK_MS(20));
	per_ms = (cpu_rdtsc() - start) / 20;
	lapic_write(LAPIC_LVT_TIMER, LAPIC_TIMER_DEADLINE | VECTOR);
	__asm__ volatile("mfence" : : : "memory");	/* SDM 3A, 11.5.4.1: order LVT before the MSR */
	for (int tries = 0; tries < TRIES && (!us || us > PERIOD_MS * 4000); tries++) {
		nr_ticks = 0;
		start = clock_ticks();
		cpu_wrmsr(MSR_TSC_DEADLINE, cpu_rdtsc() + per_ms * PERIOD_MS);
		us = CLOCK_WAIT_FOR(nr_ticks, CLOCK_MS(2000)) ? clock_to_us(clock_ticks() - start) : 0;
	}
	tap_between(us, PERIOD_MS * 900, PERIOD_MS * 4000, "TSC deadline: fires after 20 ms");
	tap_equal(cpu_rdmsr(MSR_TSC_DEADLINE), 0, "TSC deadline: the MSR reads 0 afterwards");
	cpu_wrmsr(MSR_TSC_DEADLINE, cpu_rdtsc() + per_ms * PERIOD_MS);
	cpu_wrmsr(MSR_TSC_DEADLINE, 0);
	nr_ticks = 0;
	clock_wait_ticks(CLOCK_MS(3 * PERIOD_MS));
	tap_equal(nr_ticks, 0, "TSC deadline: writing 0 disarms");
	cpu_wrmsr(MSR_TSC_DEADLINE, 1);
	tap_check(CLOCK_WAIT_FOR(nr_ticks, CLOCK_MS(2000)), "TSC deadline: one in the past fires at once");
}

void test_main(void)
{
	uint32_t per_ms, again;

	trap_set_handler(VECTOR, lapic_interrupt);
	per_ms = lapic_calibrate();
	again = lapic_calibrate();
	tap_note("%u counts per ms at divisor 16", per_ms);
	tap_between(again, per_ms - per_ms / 10, per_ms + per_ms / 10, "two calibrations agree within 10 %%");
	cpu_enable_interrupts();
	lapic_check_one_shot(per_ms);
	lapic_check_periodic(per_ms);
	lapic_check_deadline();
}
