/* TAP version 12 lines: https://testanything.org/tap-specification.html. Knows no test by name. */
#include "lib/tap.h"
#include "lib/console.h"
#include "lib/cpu.h"

#define EXIT_PORT 0xf4

static unsigned int nr_checks, nr_failed, planned;

void tap_plan(unsigned int checks)
{
	planned = checks;
	console_print("1..%u\n", checks);
}

static __attribute__((format(printf, 2, 0))) void tap_line(bool good, const char *format, va_list list)
{
	nr_checks++;
	nr_failed += !good;
	console_print("%s %u - ", good ? "ok" : "not ok", nr_checks);
	console_print_list(format, list);
	console_put('\n');
}

bool tap_check(bool condition, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	tap_line(condition, format, list);
	va_end(list);
	return condition;
}

bool tap_equal(uint64_t got, uint64_t expected, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	tap_line(got == expected, format, list);
	va_end(list);
	if (got != expected)
		console_print("#   got 0x%lx (%lu), expected 0x%lx (%lu)\n", got, got, expected, expected);
	return got == expected;
}

bool tap_between(uint64_t got, uint64_t low, uint64_t high, const char *format, ...)
{
	bool good = low <= got && got <= high;
	va_list list;

	va_start(list, format);
	tap_line(good, format, list);
	va_end(list);
	if (!good)
		console_print("#   got %lu (0x%lx), expected %lu to %lu\n", got, got, low, high);
	return good;
}

void tap_skip(const char *format, ...)
{
	va_list list;

	console_print("ok %u # SKIP ", ++nr_checks);
	va_start(list, format);
	console_print_list(format, list);
	va_end(list);
	console_put('\n');
}

void tap_note(const char *format, ...)
{
	va_list list;

	console_print("# ");
	va_start(list, format);
	console_print_list(format, list);
	va_end(list);
	console_put('\n');
}

void tap_skip_all(const char *format, ...)
{
	va_list list;

	console_release();
	console_print("1..0 # SKIP ");
	va_start(list, format);
	console_print_list(format, list);
	va_end(list);
	console_put('\n');
	tap_exit(0);
}

void tap_bail(const char *format, ...)
{
	va_list list;

	console_release();
	console_print("Bail out! ");
	va_start(list, format);
	console_print_list(format, list);
	va_end(list);
	console_put('\n');
	tap_exit(1);
}

void tap_finish(void)
{
	console_release();
	if (!planned)
		console_print("1..%u\n", nr_checks);
	tap_exit(nr_failed || (planned && planned != nr_checks));
}

void tap_exit(uint8_t value)
{
	for (int tries = 0; tries < 100000; tries++)	/* let the last character leave: LSR.TEMT */
		if (cpu_inb(COM1 + 5) & 0x40)
			break;
	cpu_outb(EXIT_PORT, value);
	console_print("# the exit port did nothing\n");
	for (;;) {
		cpu_disable_interrupts();
		__asm__ volatile("hlt");
	}
}
