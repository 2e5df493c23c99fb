/*
 * Into ring 3 and out of it, for user.c: IRETQ to a less privileged level (SDM vol. 3A, 6.14.3), back by UD2. That
 * raises #UD on every processor and hypervisor (SDM vol. 2B, UD), while a KVM that interprets ring 0 takes no INT n
 * from ring 3. The selectors are start.S's.
 */
#include "lib/limits.h"

	.section .text
	.code64

/*
 * uint64_t user_enter(function RDI, data RSI, user's stack RDX, RSP0's place in the TSS RCX)
 * What the caller wants to keep is on the stack, below it traps find theirs. RAX passes through user.c's handler.
 */
	.globl	user_enter
user_enter:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rcx)
	movq	%rdi, %rax
	movq	%rsi, %rdi
	pushq	$(USER_DATA | 3)
	pushq	%rdx
	pushq	$0x2			/* RFLAGS: interrupts off */
	pushq	$(USER_CODE | 3)
	pushq	$user_begin
	iretq

user_begin:				/* ring 3 */
	call	*%rax
	.globl	user_end
user_end:
	ud2

	.globl	user_return
user_return:				/* ring 0 again; IRETQ has emptied DS and ES on its way out */
	movl	$0x10, %ecx
	movl	%ecx, %ds
	movl	%ecx, %es
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.section .note.GNU-stack, "", @progbits
