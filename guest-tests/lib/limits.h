/* Sizes shared by C and assembly; nothing else, because start.S includes it. */
#ifndef GUEST_LIMITS_H
#define GUEST_LIMITS_H

#define CPU_MAX         320
#define CPU_STACK_BYTES 8192	/* a power of two: smp_this_cpu() reads the number out of RSP */
#define USER_DATA       0x20	/* selectors of ring 3, see start.S and user.c */
#define USER_CODE       0x28
#define USER_TSS        0x30
#define TRAMPOLINE_BASE 0x8000	/* SIPI vector 0x08; free RAM on every PC */

#endif
