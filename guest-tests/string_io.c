/*
 * String instructions on ports and device memory: each element arrives, once, in order, in both directions.
 *
 * SDM vol. 2, INS, OUTS, MOVS. A VMM sees many elements in one exit (KVM_EXIT_IO with count > 1) or one exit per
 * element; the guest must not notice. MMIO part needs the edu device.
 */
#include "lib/acpi.h"
#include "lib/clock.h"
#include "lib/console.h"
#include "lib/cpu.h"
#include "lib/edu.h"
#include "lib/pci.h"
#include "lib/string.h"
#include "lib/tap.h"

#define MCR_LOOP 0x10

static void string_outsb(uint16_t port, const void *from, uint64_t n)
{
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(port) : "memory");
}

static void string_insb(uint16_t port, void *to, uint64_t n)
{
	__asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(port) : "memory");
}

static void string_insl(uint16_t port, void *to, uint64_t n)
{
	__asm__ volatile("rep insl" : "+D"(to), "+c"(n) : "d"(port) : "memory");
}

/* The string leaves by COM1 for the eye; then again in loopback, where it can be read back. */
static void string_check_outs(void)
{
	static const char text[] = "# sixteen bytes\n";
	char back[17] = "";

	string_outsb(COM1, text, 16);
	CLOCK_WAIT_FOR((cpu_inb(COM1 + 5) & 0x60) == 0x60, CLOCK_MS(200));
	console_hold();
	cpu_outb(COM1 + 2, 0x07);
	cpu_outb(COM1 + 4, MCR_LOOP);
	string_outsb(COM1, text, 16);
	clock_wait_ticks(CLOCK_MS(5));
	string_insb(COM1, back, 16);
	tap_check(!memcmp(text, back, 16), "rep outsb to COM1, rep insb from it: 16 bytes in order");
	tap_equal(cpu_inb(COM1 + 5) & 1, 0, "no byte too many");
	for (char c = 'a'; c < 'i'; c++)
		cpu_outb(COM1, (uint8_t)c);
	clock_wait_ticks(CLOCK_MS(2));
	memset(back, 0, sizeof(back));
	__asm__ volatile("std; rep insb; cld" : : "D"(back + 7), "c"(8UL), "d"((uint16_t)COM1) : "memory");
	tap_check(!memcmp(back, "hgfedcba", 8), "rep insb downwards");
	console_release();
}

static void string_check_ins(void)
{
	uint32_t times[9];
	unsigned int bad = 0;

	times[8] = 0x600df00d;
	string_insl(acpi_pm_timer_port(), times, 8);
	for (int i = 1; i < 8; i++)
		bad += ((times[i] - times[i - 1]) & 0xffffff) > 0x7fffff;
	tap_equal(bad, 0, "rep insl from the PM timer: 8 times in order");
	tap_equal(times[8], 0x600df00d, "nothing behind the last");
	string_insl(acpi_pm_timer_port(), times + 8, 0);
	tap_equal(times[8], 0x600df00d, "rep insl of 0 elements does nothing");
	cpu_outl(0xcf8, 0x80000000);
	string_insl(0xcfc, times, 2);
	tap_check(times[0] == times[1] && times[0] == pci_read(0, 0, 4), "rep insl from 0xcfc");
}

/* Across a page boundary, so that one element lies in two pages of guest memory. */
static void string_check_page_crossing(void)
{
	static uint8_t pages[8192] __attribute__((aligned(4096)));

	cpu_outl(0xcf8, 0x80000000);
	string_insl(0xcfc, pages + 4094, 1);
	tap_equal(cpu_read32((uint64_t)pages + 4094), pci_read(0, 0, 4), "insl across a page boundary");
	memset(pages + 4092, 0, 8);
	string_insl(0xcfc, pages + 4088, 4);
	tap_check(cpu_read32((uint64_t)pages + 4088) == cpu_read32((uint64_t)pages + 4100), "rep insl into two pages");
}

static void string_check_mmio(void)
{
	struct edu e;
	uint32_t got[4] = { 0 };
	const void *from;
	void *to = got;
	uint64_t n = 2;

	if (pci_find(0x1234, 0x11e8) == PCI_NONE) {
		tap_skip("no edu device: no MMIO strings");
		return;
	}
	e = edu_init();
	edu_write(&e, EDU_LIVENESS, 0x11223344);
	from = (const void *)(e.bar + EDU_ID);
	__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	tap_check(got[0] == edu_read(&e, EDU_ID) && got[1] == ~0x11223344u, "rep movsl from device memory");
	got[0] = 0x01020304;
	from = got;
	to = (void *)(e.bar + EDU_LIVENESS);
	n = 1;
	__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	tap_equal(edu_read(&e, EDU_LIVENESS), ~0x01020304u, "rep movsl to device memory");
}

void test_main(void)
{
	string_check_outs();
	string_check_ins();
	string_check_page_crossing();
	string_check_mmio();
}
