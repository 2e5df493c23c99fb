/*
 * Ring 3, for what takes many instructions: a KVM that interprets ring 0 still has the processor execute ring 3.
 * One address space, all of RAM is mapped for both (start.S, paging.c). Boot CPU only. A function that runs there may
 * call no other part of lib/ but string.h, cpu_rdtsc() and memory accesses: no ports, no text, no interrupts. An
 * exception ends the program as failed, as everywhere.
 */
#ifndef GUEST_USER_H
#define GUEST_USER_H

#include <stdint.h>

/* Call function(data) in ring 3, on a stack of 4 KiB of its own, interrupts off; returns what it returns. */
uint64_t user_run(uint64_t (*function)(void *data), void *data);

#endif
