/*
 * Exceptions and interrupts: one IDT for all CPUs, one handler per vector. An exception or an interrupt
 * nobody asked for is reported and ends the program as failed. Handlers send their own EOI.
 */
#ifndef GUEST_TRAP_H
#define GUEST_TRAP_H

#include <stdint.h>

/* The stack as vectors.S leaves it; fields are in push order from the last. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code;
	uint64_t rip, cs, rflags, rsp, ss;
};

typedef void trap_handler(struct trap_frame *frame);

/* Build the IDT and load it on the boot CPU. */
void trap_init(void);
/* Load the IDT on the calling CPU. */
void trap_load(void);
/* Register a handler, which runs with interrupts off on the CPU that took the vector; NULL removes it. */
void trap_set_handler(uint8_t vector, trap_handler *handler);
/* Called by vectors.S only. */
void trap_dispatch(struct trap_frame *frame);

#endif
