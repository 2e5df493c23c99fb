/*
 * PIT channel 0 through the IOAPIC: periodic, one-shot, and its rate against the PM timer.
 *
 * Intel 8254 data sheet; the MADT says which GSI IRQ 0 has (usually 2). A tick must never be early; it may be
 * late, because a virtual machine can lose the processor. Channel 2 is in pmtimer_rate.c. The word no-square
 * on the command line leaves mode 3 out.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/pit.h"
#include "lib/tap.h"
#include "lib/trap.h"

#define VECTOR    0x40
#define TRIES     8
#define PERIOD_US 20000ULL
#define PERIOD    ((uint16_t)(PIT_HZ * PERIOD_US / 1000000))

static volatile unsigned int nr_ticks;

static void pit_interrupt(struct trap_frame *frame)
{
	(void)frame;
	nr_ticks++;
	lapic_eoi();
}

/* From programming to the 10th tick, in us; 0 if it does not come. */
static uint64_t pit_time_ten(unsigned int mode)
{
	uint64_t start = clock_ticks();

	pit_set(0, mode, PERIOD);
	nr_ticks = 0;
	if (!CLOCK_WAIT_FOR(nr_ticks >= 10, CLOCK_MS(3000)))
		return 0;
	return clock_to_us(clock_ticks() - start);
}

/* A tick pending from before may count as the first, so 9 periods are not early. A busy host gets more tries. */
static void pit_check_periodic(unsigned int mode)
{
	bool early = false;
	uint64_t us = 0;

	for (int tries = 0; tries < TRIES && (!us || us > 15 * PERIOD_US) && !early; tries++) {
		us = pit_time_ten(mode);
		early = us && us < 9 * PERIOD_US;
	}
	tap_between(us, 9 * PERIOD_US, 15 * PERIOD_US, "mode %u: 10 ticks of 20 ms take 200 ms", mode);
}

static void pit_check_count(void)
{
	unsigned int outside = 0;

	pit_set(0, PIT_RATE, PERIOD);
	clock_wait_ticks(CLOCK_US(100));
	for (int i = 0; i < 100; i++) {
		uint16_t count = pit_read(0);

		outside += count < 1 || count > PERIOD;
	}
	tap_equal(outside, 0, "mode 2: the count stays between 1 and the reload value");
	tap_equal(pit_status(0) & 0x3f, 0x34, "mode 2: read-back status: low/high byte, mode 2, binary");
}

static void pit_check_one_shot(void)
{
	bool silent = false;
	uint64_t start, us = 0;

	pit_stop();
	for (int tries = 0; tries < 5 && !silent; tries++) {	/* the last tick may be late, a running PIT ticks on */
		nr_ticks = 0;
		clock_wait_ticks(CLOCK_MS(60));
		silent = nr_ticks == 0;
	}
	tap_check(silent, "mode 0 after its end: silent");
	for (int tries = 0; tries < TRIES && (!us || us > 4 * PERIOD_US); tries++) {
		nr_ticks = 0;
		start = clock_ticks();
		pit_set(0, PIT_ONE_SHOT, PERIOD);
		us = CLOCK_WAIT_FOR(nr_ticks, CLOCK_MS(2000)) ? clock_to_us(clock_ticks() - start) : 0;
	}
	tap_between(us, PERIOD_US - 500, 4 * PERIOD_US, "mode 0: a tick after 20 ms");
	clock_wait_ticks(CLOCK_MS(100));
	tap_equal(nr_ticks, 1, "mode 0: once");
}

void test_main(void)
{
	uint32_t gsi;

	ioapic_init();
	trap_set_handler(VECTOR, pit_interrupt);
	gsi = ioapic_route_isa(0, VECTOR, lapic_id());
	tap_note("IRQ 0 is GSI %u", gsi);
	cpu_enable_interrupts();
	pit_check_periodic(PIT_RATE);
	if (args_has("no-square"))
		tap_skip("mode 3: this machine is known to tick twice per period");
	else
		pit_check_periodic(PIT_SQUARE);
	pit_check_count();
	pit_check_one_shot();
	ioapic_mask(gsi);
	pit_set(0, PIT_RATE, PERIOD);
	nr_ticks = 0;
	clock_wait_ticks(CLOCK_MS(60));
	tap_equal(nr_ticks, 0, "masked at the IOAPIC: no tick");
	pit_stop();
}
