/*
 * Test Anything Protocol on COM1, and the exit port. Call on the boot CPU only, with interrupts in any
 * state. A test function test_main() makes checks and returns; the runtime then prints the plan
 * and leaves with 0 if every check passed, 1 otherwise.
 */
#ifndef GUEST_TAP_H
#define GUEST_TAP_H

#include <stdbool.h>
#include <stdint.h>

#define TAP_FORMAT(f, a) __attribute__((format(printf, f, a)))

/* What each program defines. */
void test_main(void);

/* Announce the number of checks first; needed only when the program ends by losing the machine. */
void tap_plan(unsigned int checks);
/* One check: ok or not ok, with a description. Returns the condition. */
bool tap_check(bool condition, const char *format, ...) TAP_FORMAT(2, 3);
/* One check that got equals expected; prints both if not. Returns whether. */
bool tap_equal(uint64_t got, uint64_t expected, const char *format, ...) TAP_FORMAT(3, 4);
/* One check that low <= got <= high; prints all three if not. Returns whether. */
bool tap_between(uint64_t got, uint64_t low, uint64_t high, const char *format, ...) TAP_FORMAT(4, 5);
/* One check which cannot be made here, and why: counts as passed, shown as skipped. */
void tap_skip(const char *format, ...) TAP_FORMAT(1, 2);
/* A remark, no check. */
void tap_note(const char *format, ...) TAP_FORMAT(1, 2);
/* The whole program cannot be run here: 1..0 # SKIP reason, exit 0. */
_Noreturn void tap_skip_all(const char *format, ...) TAP_FORMAT(1, 2);
/* Going on makes no sense: Bail out! reason, exit 1. */
_Noreturn void tap_bail(const char *format, ...) TAP_FORMAT(1, 2);
/* Print the plan if it is not out yet, and leave. */
_Noreturn void tap_finish(void);
/* Write a value to the exit port (QEMU docs: isa-debug-exit at 0xf4); does not return. */
_Noreturn void tap_exit(uint8_t value);

#endif
