/*
 * A BAR goes where it is told: sizing, decode off, moved, moved back, and its old place is empty.
 *
 * PCI Local Bus 3.0, 6.2.5.1 and 6.2.2. The edu device is the subject. open-bus=VALUE on the command line is
 * what unclaimed MMIO reads (default all ones; QEMU reads 0).
 */
#include "lib/cpu.h"
#include "lib/edu.h"
#include "lib/multiboot.h"
#include "lib/pci.h"
#include "lib/tap.h"

static struct edu edu;
static uint32_t open_bus;

static void bar_decode(bool on)
{
	pci_write(edu.bdf, PCI_COMMAND, 2, on ? PCI_COMMAND_MEMORY | PCI_COMMAND_NO_INTX : PCI_COMMAND_NO_INTX);
}

static bool bar_answers(uint64_t address)
{
	return cpu_read32(address + EDU_ID) == 0x010000ed;
}

static void bar_check_sizing(void)
{
	uint32_t old = pci_read(edu.bdf, PCI_BAR0, 4);
	uint32_t mask;

	bar_decode(false);
	pci_write(edu.bdf, PCI_BAR0, 4, 0xffffffff);
	mask = pci_read(edu.bdf, PCI_BAR0, 4);
	tap_equal(mask & 7, 0, "BAR0 is 32-bit memory");
	tap_equal(~(mask & ~0xfu) + 1, 0x100000, "sizing with all ones says 1 MiB");
	pci_write(edu.bdf, PCI_BAR0, 4, 0);
	tap_equal(pci_read(edu.bdf, PCI_BAR0, 4) & ~0xfu, 0, "all address bits can be cleared");
	pci_write(edu.bdf, PCI_BAR0, 4, old);
	tap_equal(pci_read(edu.bdf, PCI_BAR0, 4), old, "and set again");
	for (unsigned int bar = 1; bar < 6; bar++) {
		pci_write(edu.bdf, PCI_BAR0 + 4 * bar, 4, 0xffffffff);
		if (pci_read(edu.bdf, PCI_BAR0 + 4 * bar, 4))
			tap_bail("BAR%u exists", bar);
	}
	tap_check(true, "the other BARs read 0");
	bar_decode(true);
}

static void bar_check_round(uint64_t from, uint64_t to)
{
	pci_write(edu.bdf, PCI_BAR0, 4, (uint32_t)to);
	tap_check(bar_answers(to), "moved: answers at 0x%lx", to);
	tap_equal(cpu_read32(from), open_bus, "and no more at 0x%lx", from);
	edu.bar = to;
	edu_write(&edu, EDU_LIVENESS, 0x0f0f0f0f);
	tap_equal(edu_read(&edu, EDU_LIVENESS), 0xf0f0f0f0, "it works there");
}

void test_main(void)
{
	uint64_t home, away;

	open_bus = (uint32_t)args_number("open-bus", 0xffffffff);
	edu = edu_init();
	home = edu.bar;
	away = home ^ 0x02000000;	/* 32 MiB away: inside the window either way */
	tap_note("BAR0 at 0x%lx, goes to 0x%lx", home, away);
	if (multiboot_touches_ram(away, edu.bar_bytes))
		tap_bail("0x%lx is RAM", away);
	bar_check_sizing();
	tap_check(bar_answers(home), "answers at home");
	bar_decode(false);
	tap_equal(cpu_read32(home), open_bus, "decode off: nobody answers");
	cpu_write32(home + EDU_LIVENESS, 0x55555555);
	bar_decode(true);
	tap_check(bar_answers(home), "decode on: answers again");
	tap_check(edu_read(&edu, EDU_LIVENESS) != 0xaaaaaaaa, "what was written meanwhile is lost");
	bar_check_round(home, away);
	bar_check_round(away, home);
	pci_write(edu.bdf, PCI_BAR0, 1, 0xff);
	tap_equal(pci_read(edu.bdf, PCI_BAR0, 4), home, "a byte write to the read-only bits changes nothing");
	bar_decode(false);
	pci_write(edu.bdf, PCI_BAR0 + 2, 2, (uint32_t)(away >> 16));
	bar_decode(true);
	tap_check(bar_answers(away), "a word write to the upper half moves it too");
	pci_write(edu.bdf, PCI_BAR0, 4, (uint32_t)home);
}
