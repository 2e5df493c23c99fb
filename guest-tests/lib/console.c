/* COM1 output and the smallest printf which serves TAP. Registers: National PC16550D data sheet, 8. */
#include "lib/console.h"
#include "lib/cpu.h"

enum { THR = 0, IER = 1, FCR = 2, LCR = 3, MCR = 4, LSR = 5 };

static char held[4096];
static unsigned int nr_held;
static bool holding;

void console_init(void)
{
	cpu_outb(COM1 + IER, 0);
	cpu_outb(COM1 + LCR, 0x80);	/* DLAB: the first two registers are the divisor */
	cpu_outb(COM1 + THR, 1);
	cpu_outb(COM1 + IER, 0);
	cpu_outb(COM1 + LCR, 0x03);
	cpu_outb(COM1 + FCR, 0x07);
	cpu_outb(COM1 + MCR, 0x0b);
}

static void console_send(char c)
{
	for (int tries = 0; tries < 100000; tries++)
		if (cpu_inb(COM1 + LSR) & 0x20)
			break;
	cpu_outb(COM1 + THR, (uint8_t)c);
}

void console_put(char c)
{
	if (!holding)
		console_send(c);
	else if (nr_held < sizeof(held))
		held[nr_held++] = c;
}

void console_hold(void)
{
	holding = true;
}

void console_release(void)
{
	if (!holding)
		return;
	holding = false;
	console_init();
	for (unsigned int i = 0; i < nr_held; i++)
		console_send(held[i]);
	nr_held = 0;
}

static void console_print_number(uint64_t value, unsigned int base, int width, char pad)
{
	char text[24];
	int n = 0;

	do {
		text[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	for (; width > n; width--)
		console_put(pad);
	while (n)
		console_put(text[--n]);
}

static void console_print_signed(int64_t value, int width, char pad)
{
	if (value < 0)
		console_put('-');
	console_print_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10, width, pad);
}

static void console_print_text(const char *s)
{
	for (s = s ? s : "(null)"; *s; s++)
		console_put(*s);
}

/* One conversion; f points behind '%'. Returns the last character of it. */
static const char *console_convert(const char *f, va_list *list)
{
	char pad = ' ';
	int width = 0;
	bool wide = false;

	if (*f == '0')
		pad = *f++;
	while (*f >= '0' && *f <= '9')
		width = width * 10 + *f++ - '0';
	for (; *f == 'l' || *f == 'z'; f++)
		wide = true;
	switch (*f) {
	case 'd':
		console_print_signed(wide ? va_arg(*list, int64_t) : va_arg(*list, int), width, pad);
		break;
	case 'u':
	case 'x':
		console_print_number(wide ? va_arg(*list, uint64_t) : va_arg(*list, unsigned int),
				     *f == 'x' ? 16 : 10, width, pad);
		break;
	case 'p':
		console_print_number((uint64_t)va_arg(*list, void *), 16, width, pad);
		break;
	case 's':
		console_print_text(va_arg(*list, const char *));
		break;
	case 'c':
		console_put((char)va_arg(*list, int));
		break;
	default:
		console_put(*f);
	}
	return f;
}

void console_print_list(const char *format, va_list list)
{
	va_list copy;

	va_copy(copy, list);
	for (; *format; format++) {
		if (*format == '%')
			format = console_convert(format + 1, &copy);
		else
			console_put(*format);
	}
	va_end(copy);
}

void console_print(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	console_print_list(format, list);
	va_end(list);
}
