/*
 * 256 interrupt entry points, 16 bytes apart, which all lead to trap_dispatch() with a struct
 * trap_frame. Vectors whose exceptions push an error code are those of SDM vol. 3A table 6-1 (and AMD
 * APM vol. 2 table 8-1 for 29 and 30); for the others a zero takes its place.
 */
	.section .text
	.code64
	.globl	vector_entries
	.balign	16
vector_entries:
	.set	number, 0
	.rept	256
	.balign	16
	.if	(number == 8 || (number >= 10 && number <= 14) || number == 17 || number == 21 || number == 29 || number == 30)
	.else
	pushq	$0
	.endif
	pushq	$number
	jmp	vector_common
	.set	number, number + 1
	.endr

vector_common:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rbx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, %rdi
	cld
	call	trap_dispatch
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rbx
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	iretq

	.section .note.GNU-stack, "", @progbits
