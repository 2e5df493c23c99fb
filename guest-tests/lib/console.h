/*
 * Text out of COM1 by polling. No input, no interrupts. While held, text waits in memory, so that a
 * test can take COM1 apart and still report afterwards.
 */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdarg.h>

#define COM1 0x3f8

/* Set COM1 to 115200 8N1 with FIFOs, no interrupts, DTR, RTS and OUT2 on. */
void console_init(void);
/* Write one character; a bounded wait for the transmitter, so a dead UART costs output, not the test. */
void console_put(char c);
/* Write formatted text. Knows %d %u %x %s %c %p %%, l/ll/z, width and leading zeros. */
void console_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with a va_list. */
void console_print_list(const char *format, va_list list) __attribute__((format(printf, 1, 0)));
/* Keep text in memory (4 KiB, the rest is lost) until console_release(). */
void console_hold(void);
/* Reset COM1 to its console state and write what was held. */
void console_release(void);

#endif
