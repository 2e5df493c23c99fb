/*
 * The 8259 pair interrupts the boot CPU through LINT0 as ExtINT, without the IOAPIC: PIT and clock as sources.
 *
 * Intel 8259A data sheet; SDM vol. 3A, 11.5.1, delivery mode ExtINT. This is "virtual wire mode", which every PC
 * boots in (MultiProcessor Specification 1.4, 3.6.2.2). Other CPUs play no part. KVM that interprets ring 0
 * (kvm_pvm) is slow, so counts are small. With the word reopen on the command line, opening LINT0 has to be enough
 * for a request that waits there; KVM's own PIC (Linux 6.1) does not see that before the PIC changes its mind.
 */
#include "lib/clock.h"
#include "lib/cmos.h"
#include "lib/cpu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/pit.h"
#include "lib/tap.h"
#include "lib/trap.h"

enum { MASTER = 0x20, SLAVE = 0xa0 };

#define BASE_MASTER 0x50
#define BASE_SLAVE  0x58
#define EXTINT      (7u << 8) /* LVT delivery mode */
#define PERIOD      ((uint16_t)(PIT_HZ * 20 / 1000))

static volatile unsigned int nr_pit, nr_clock, nr_other, isr_in_pit, isr_in_clock;

static uint8_t pic_isr(uint16_t port)
{
	cpu_outb(port, 0x0b);
	return cpu_inb(port);
}

static uint8_t pic_irr(uint16_t port)
{
	cpu_outb(port, 0x0a);
	return cpu_inb(port);
}

static void pic_init(void)
{
	ioapic_init(); /* masks all of it, and the PICs as well */
	cpu_outb(MASTER, 0x11);
	cpu_outb(MASTER + 1, BASE_MASTER);
	cpu_outb(MASTER + 1, 0x04);
	cpu_outb(MASTER + 1, 0x01);
	cpu_outb(SLAVE, 0x11);
	cpu_outb(SLAVE + 1, BASE_SLAVE);
	cpu_outb(SLAVE + 1, 0x02);
	cpu_outb(SLAVE + 1, 0x01);
	cpu_outb(MASTER + 1, 0xff);
	cpu_outb(SLAVE + 1, 0xff);
}

static void pic_pit_interrupt(struct trap_frame *frame)
{
	(void)frame;
	nr_pit++;
	isr_in_pit |= pic_isr(MASTER);
	cpu_outb(MASTER, 0x20);
}

static void pic_clock_interrupt(struct trap_frame *frame)
{
	(void)frame;
	nr_clock++;
	isr_in_clock |= pic_isr(SLAVE) << 8 | pic_isr(MASTER);
	cmos_read(CMOS_C);
	cpu_outb(SLAVE, 0x20);
	cpu_outb(MASTER, 0x20);
}

static void pic_other_interrupt(struct trap_frame *frame)
{
	(void)frame;
	nr_other++;
	cpu_outb(SLAVE, 0x20);
	cpu_outb(MASTER, 0x20);
}

/* Sleep until so many ticks have come, but give up after 3 s. Each sleep ends with an interrupt. */
static void pic_sleep(unsigned int ticks)
{
	uint64_t end = clock_ticks() + CLOCK_MS(3000);

	while (nr_pit < ticks && clock_ticks() < end)
		cpu_halt();
}

static void pic_check_pit(void)
{
	lapic_write(LAPIC_LVT_LINT0, EXTINT);
	pit_set(0, PIT_RATE, PERIOD);
	cpu_enable_interrupts();
	clock_wait_ticks(CLOCK_MS(60));
	tap_equal(nr_pit, 0, "masked at the PIC: no tick");
	cpu_outb(MASTER + 1, 0xfe);
	CLOCK_WAIT_FOR(nr_pit >= 3, CLOCK_MS(2000));
	tap_check(nr_pit >= 3, "IRQ 0 arrives through the PIC");
	tap_equal(isr_in_pit, 1, "and is alone in service meanwhile");
	nr_pit = 0;
	pic_sleep(3);
	tap_check(nr_pit >= 3, "it wakes a halted CPU");
}

static void pic_check_gates(void)
{
	cpu_disable_interrupts();
	clock_wait_ticks(CLOCK_MS(50));
	nr_pit = 0;
	tap_equal(pic_irr(MASTER) & 1, 1, "interrupts off: the request waits");
	tap_equal(pic_isr(MASTER), 0, "and is not in service");
	cpu_enable_interrupts();
	for (unsigned int i = 0; i < 100000 && !nr_pit; i++) /* nothing here that the VMM would notice */
		;
	tap_check(nr_pit, "interrupts on: it comes by itself");
	lapic_write(LAPIC_LVT_LINT0, LAPIC_LVT_MASKED | EXTINT);
	clock_wait_ticks(CLOCK_MS(50)); /* one may have been on its way */
	nr_pit = 0;
	clock_wait_ticks(CLOCK_MS(60));
	tap_equal(nr_pit, 0, "LINT0 masked: no tick");
	if (!args_has("reopen"))
		cpu_outb(MASTER + 1, 0xff);
	lapic_write(LAPIC_LVT_LINT0, EXTINT);
	if (!args_has("reopen"))
		cpu_outb(MASTER + 1, 0xfe);
	tap_check(CLOCK_WAIT_FOR(nr_pit, CLOCK_MS(1000)), "LINT0 open again: ticks again");
	cpu_outb(MASTER + 1, 0xff);
	pit_stop();
	clock_wait_ticks(CLOCK_MS(30));
}

/* The clock's periodic interrupt, 64 Hz (rate 10), is on the slave's first input. */
static void pic_check_slave(void)
{
	uint8_t a = cmos_read(CMOS_A), b = cmos_read(CMOS_B);

	nr_pit = 0;
	cmos_write(CMOS_A, (uint8_t)((a & 0x70) | 10));
	cmos_write(CMOS_B, b | CMOS_B_PIE);
	cmos_read(CMOS_C);
	cpu_outb(SLAVE + 1, 0xfe);
	clock_wait_ticks(CLOCK_MS(40));
	tap_equal(nr_clock, 0, "the cascade masked: the slave is not heard");
	cpu_outb(MASTER + 1, 0xfb);
	CLOCK_WAIT_FOR(nr_clock >= 3, CLOCK_MS(3000));
	tap_check(nr_clock >= 3, "IRQ 8 arrives through both PICs");
	tap_equal(isr_in_clock, 0x104, "in service: the slave's input 0 and the cascade");
	cpu_outb(SLAVE + 1, 0xff);
	cmos_write(CMOS_B, b);
	cmos_write(CMOS_A, a);
	cmos_read(CMOS_C);
	clock_wait_ticks(CLOCK_MS(20));
	tap_equal(nr_pit, 0, "nothing on IRQ 0 meanwhile");
	tap_equal(pic_isr(MASTER) | pic_isr(SLAVE), 0, "nothing is left in service");
}

void test_main(void)
{
	pic_init();
	for (uint8_t i = 0; i < 16; i++)
		trap_set_handler((uint8_t)(BASE_MASTER + i), pic_other_interrupt);
	trap_set_handler(BASE_MASTER, pic_pit_interrupt);
	trap_set_handler(BASE_SLAVE, pic_clock_interrupt);
	pic_check_pit();
	pic_check_gates();
	pic_check_slave();
	tap_note("%u spurious or other interrupts", nr_other);
	cpu_disable_interrupts();
	lapic_write(LAPIC_LVT_LINT0, LAPIC_LVT_MASKED);
}
