/* First and second boot of the reset tests. NVRAM bytes 0x50 to 0x53: "TR", number, its complement. */
#include "lib/reset.h"
#include "lib/clock.h"
#include "lib/cmos.h"
#include "lib/console.h"
#include "lib/cpu.h"
#include "lib/multiboot.h"
#include "lib/pci.h"
#include "lib/pit.h"
#include "lib/tap.h"

/* In .data: a loader which does not load the image again shows the dirty value. */
static volatile uint32_t fresh = 0x600df00d;
static volatile uint32_t zeroed;

static void reset_mark(uint8_t number)
{
	cmos_write(0x50, 'T');
	cmos_write(0x51, 'R');
	cmos_write(0x52, number);
	cmos_write(0x53, (uint8_t)(0xff - number));
}

static bool reset_is_marked(uint8_t number)
{
	return cmos_read(0x50) == 'T' && cmos_read(0x51) == 'R' && cmos_read(0x52) == number &&
	       cmos_read(0x53) == 0xff - number;
}

static void reset_make_dirty(void)
{
	uint16_t bdf = pci_find(0x1234, 0x11e8);

	fresh = zeroed = 0xbad;
	cpu_outb(COM1 + 7, 0x5a);
	pit_gate2(true);
	cmos_write(CMOS_B, CMOS_B_24H | CMOS_B_AIE | CMOS_B_UIE);
	if (bdf != PCI_NONE)
		pci_write(bdf, PCI_COMMAND, 2, PCI_COMMAND_NO_INTX);
}

/* runtime_main() has touched COM1 and the PICs already; what is left must be as after power-on. */
static void reset_check_fresh(void)
{
	tap_equal(fresh, 0x600df00d, "initialised data is loaded again");
	tap_equal(zeroed, 0, "zeroed data is zero again");
	tap_equal(entry_state.magic, MULTIBOOT_MAGIC, "EAX is the loader's magic again");
	tap_equal(entry_state.cr0 & 0x80000001, 1, "CR0: protected mode, no paging");
	tap_equal(entry_state.eflags & 0x20200, 0, "EFLAGS: no interrupts, no virtual 8086 mode");
	tap_equal(cpu_inb(COM1 + 7), 0, "COM1's scratch register is back at 0");
	tap_equal(cpu_inb(0x61) & 3, 0, "port 0x61: gate 2 and speaker are off");
	tap_equal(cmos_read(CMOS_B) & 0x70, 0, "RTC: interrupts are disabled");
}

static void reset_check_pci(void)
{
	uint16_t bdf = pci_find(0x1234, 0x11e8);

	if (bdf == PCI_NONE)
		tap_skip("no edu device");
	else
		tap_equal(pci_read(bdf, PCI_COMMAND, 2) & PCI_COMMAND_NO_INTX, 0, "edu: command register was reset");
}

void reset_check(unsigned char number, void (*way)(void))
{
	bool once = args_has("once");

	if (!once && reset_is_marked(number)) {
		reset_mark(0);
		tap_check(true, "came back from reset");
		reset_check_fresh();
		reset_check_pci();
		return;
	}
	tap_note("first boot, resetting");
	if (once) {
		tap_plan(1);
		tap_check(true, "about to reset");
	}
	reset_mark(number);
	reset_make_dirty();
	way();
	clock_wait_ticks(CLOCK_MS(2000));
	reset_mark(0);
	tap_bail("still here after the reset");
}
