/*
 * Touch all free RAM, one write a page, and keep it: for who looks at the guest's memory from outside, in numa_maps,
 * smaps or KVM's statistics. Says "# touched" when all of it is there. The check is that each page still holds what
 * was written, at the end.
 *
 * Command line: pattern=same, all pages are equal, in all guests with one seed (KSM makes them one); otherwise pages
 * differ from each other in a guest, and from those of guests with another seed; seed=N (1); mib=N, no more than that;
 * 1g, in guest pages of 1 GiB (lib/ram.h); stay: wait for the power button, then check and power off. It waits as long
 * as it takes.
 */
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/ioapic.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/power.h"
#include "lib/ram.h"
#include "lib/tap.h"
#include "lib/trap.h"
#include "lib/user.h"

#define MIB    0x100000UL
#define PAGE   4096UL
#define VECTOR 0x49

/* What the functions in ring 3 work on. */
struct touch {
	struct ram_part part;
	uint64_t seed;
	bool same;
};

static uint16_t event_port;
static volatile bool pressed;

/* The word a page begins with; the rest is as it was, 0 for a new guest. Odd, so never 0. */
static uint64_t touch_word(const struct touch *t, uint64_t address)
{
	uint64_t page = t->same ? 0 : address / PAGE;

	return ((t->seed << 40) + page) * 0x9e3779b97f4a7c15UL << 1 | 1;
}

/* Ring 3. */
static uint64_t touch_write(void *data)
{
	const struct touch *t = data;

	for (uint64_t at = t->part.start; at < t->part.start + t->part.bytes; at += PAGE)
		cpu_write64(at, touch_word(t, at));
	return 0;
}

/* Returns how many pages do not hold their word. Ring 3. */
static uint64_t touch_verify(void *data)
{
	const struct touch *t = data;
	uint64_t bad = 0;

	for (uint64_t at = t->part.start; at < t->part.start + t->part.bytes; at += PAGE)
		bad += cpu_read64(at) != touch_word(t, at);
	return bad;
}

/* Have function go over the parts, up to mib= in all. Returns the sum of what it returned; *pages: over how many. */
static uint64_t touch_all(struct touch *t, uint64_t (*function)(void *data), uint64_t *pages)
{
	uint64_t left = args_number("mib", ~0UL / MIB) * MIB, sum = 0;

	*pages = 0;
	for (unsigned int n = 0; left && ram_part(n, &t->part); n++) {
		if (t->part.bytes > left)
			t->part.bytes = left;
		left -= t->part.bytes;
		*pages += t->part.bytes / PAGE;
		sum += user_run(function, t);
	}
	return sum;
}

static void touch_button(struct trap_frame *frame)
{
	uint16_t status = cpu_inw(event_port);

	(void)frame;
	pressed |= status & ACPI_PM1_PWRBTN;
	cpu_outw(event_port, status & ACPI_PM1_PWRBTN);
	lapic_eoi();
}

/* As power_button.c, which tests it. */
static void touch_listen(void)
{
	uint16_t enable_port;

	event_port = acpi_pm1_event_port();
	enable_port = (uint16_t)(event_port + acpi_fadt()->pm1_evt_len / 2);
	if (!acpi_enable())
		tap_bail("no ACPI mode, so no power button");
	ioapic_init();
	trap_set_handler(VECTOR, touch_button);
	cpu_outw(event_port, 0xffff);
	ioapic_route_isa((uint8_t)acpi_fadt()->sci_int, VECTOR, lapic_id());
	cpu_outw(enable_port, ACPI_PM1_PWRBTN);
}

void test_main(void)
{
	struct touch t = { .seed = args_number("seed", 1), .same = args_has("pattern=same") };
	bool stays = args_has("stay");
	uint16_t s5 = stays ? power_find_s5() : 0;
	uint64_t pages;

	if (stays)
		touch_listen();
	touch_all(&t, touch_write, &pages);
	tap_plan(2);
	tap_check(pages, "there is RAM to touch: %lu pages", pages);
	tap_note("touched %lu MiB", pages * PAGE / MIB);
	tap_note("ready"); /* guest-tests/run presses */
	while (stays && !pressed) {
		cpu_disable_interrupts();
		if (!pressed)
			cpu_halt();
	}
	tap_equal(touch_all(&t, touch_verify, &pages), 0, "each page holds what was written to it");
	if (stays)
		power_off(s5);
}
