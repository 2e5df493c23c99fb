/*
 * The machine state and the information a Multiboot loader promises, command line and modules included.
 *
 * Multiboot 0.6.96, 3.2 and 3.3. Command line: words first=1 and "second"; module-bytes=N and module-sum=S (sum of
 * all bytes) if there is a module. The memory map is memory_map's business.
 */
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/multiboot.h"
#include "lib/string.h"
#include "lib/tap.h"

extern const uint8_t image_begin[], image_end[];

static void info_check_state(void)
{
	tap_equal(entry_state.magic, MULTIBOOT_MAGIC, "EAX is the magic number");
	tap_equal(entry_state.cr0 & 0x80000001, 1, "CR0: PE set, PG clear");
	tap_equal(entry_state.eflags & 0x20200, 0, "EFLAGS: VM and IF clear");
	tap_check((entry_state.cs & 7) == 0 && entry_state.cs, "CS is a ring 0 selector: 0x%x", entry_state.cs);
	tap_check(entry_state.ds && entry_state.es && entry_state.ss, "DS, ES, SS are not null");
	/* A20: with the gate shut 0x100000 is 0 again, and this code would not be here; prove it anyway. */
	cpu_write32(0x500, 0x0a200a20);
	tap_check(cpu_read32(0x100500) != 0x0a200a20, "A20 is on");
}

static void info_check_place(void)
{
	uint64_t at = entry_state.info;

	tap_check(at >= 0x3000 && at < 0xa0000, "the information is in low RAM, above page 2: 0x%lx", at);
	tap_equal(at & 3, 0, "aligned to 4 bytes");
	tap_check(at >= (uint64_t)image_end || at + 116 <= (uint64_t)image_begin, "not in the image");
	tap_check(multiboot.flags & MULTIBOOT_HAS_MEMORY, "flags[0]: memory sizes");
	tap_check(multiboot.flags & MULTIBOOT_HAS_CMDLINE, "flags[2]: command line");
	tap_check(multiboot.flags & MULTIBOOT_HAS_MMAP, "flags[6]: memory map");
	tap_check((multiboot.flags & 0x30) != 0x30, "flags[4] and [5] exclude each other");
	tap_check(multiboot.mmap_address && multiboot.mmap_bytes >= 24, "the map has an address and a length");
}

static void info_check_cmdline(void)
{
	const char *program = multiboot.cmdline;
	bool named = false;

	for (const char *s = program; *s && *s != ' '; s++)
		named |= string_begins(s, "multiboot_info");
	tap_note("command line: %s", program);
	tap_check(named, "the command line begins with the program's name");
	tap_equal(args_number("first", 0), 1, "first=1 came through");
	tap_check(args_has("second"), "so did second");
	tap_check(multiboot.cmdline_address >= (uint64_t)image_end ||
		  multiboot.cmdline_address + strlen(program) < (uint64_t)image_begin, "it is not in the image");
}

static void info_check_module(void)
{
	uint64_t bytes = args_number("module-bytes", 0), sum = 0;
	const struct multiboot_module *m = &multiboot.modules[0];

	if (!bytes) {
		tap_equal(multiboot.nr_modules, 0, "no module was given, none is there");
		return;
	}
	tap_check(multiboot.flags & MULTIBOOT_HAS_MODULES, "flags[3]: modules");
	if (!tap_equal(multiboot.nr_modules, 1, "one module"))
		return;
	tap_equal(m->end - m->start, bytes, "of %lu bytes at 0x%x", bytes, m->start);
	tap_equal(m->start & 0xfff, 0, "on a page boundary, as the header asks");
	for (uint32_t at = m->start; at < m->end; at++)
		sum += cpu_read8(at);
	tap_equal(sum, args_number("module-sum", 0), "with the right content");
	tap_check(m->start >= (uint64_t)image_end || m->end <= (uint64_t)image_begin, "not in the image");
	tap_equal(multiboot_type(m->start, bytes), 1, "in RAM");
}

static void info_check_page_zero(void)
{
	uint64_t old = cpu_read64(0x10);

	cpu_write64(0x10, 0x1122334455667788);
	tap_equal(cpu_read64(0x10), 0x1122334455667788, "page 0 is RAM");
	cpu_write64(0x10, old);
}

void test_main(void)
{
	info_check_state();
	info_check_place();
	info_check_cmdline();
	info_check_module();
	info_check_page_zero();
}
