/*
 * What another CPU executes first: real mode to 32-bit protected mode, then start.S takes over.
 *
 * smp.c copies trampoline_begin..trampoline_end to TRAMPOLINE_BASE. A start-up IPI with vector VV
 * begins at CS = VV00, IP = 0 (SDM vol. 3A, 9.4.3), so everything here is relative to CS. CPUs come
 * one at a time: smp_start_stack holds the stack of the one being started.
 */
#include "lib/limits.h"

	.section .text
	.globl	trampoline_begin, trampoline_end
	.code16
trampoline_begin:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	trampoline_gdt - trampoline_begin
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$0x18, $(TRAMPOLINE_BASE + trampoline_protected - trampoline_begin)

	.code32
trampoline_protected:
	movw	$0x10, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	smp_start_stack, %esp
	movl	$smp_cpu_main, %edi
	movl	$start_long_mode, %eax
	jmp	*%eax

	.balign	8
trampoline_gdt:
	.word	31
	.long	gdt
trampoline_end:

	.section .note.GNU-stack, "", @progbits
