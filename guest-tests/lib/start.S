/*
 * From the Multiboot entry to runtime_main() in long mode, and the same way for other CPUs.
 *
 * Entered as Multiboot 0.6.96 section 3.2 says: 32-bit protected mode, flat segments, paging off,
 * EAX = magic, EBX = information. The machine state is saved first, so that multiboot_info can judge
 * it. The page tables are constants made by the assembler: filling them in the guest would cost
 * thousands of instructions, and on a KVM which interprets ring 0 each of them is slow. This file
 * does not set up interrupts or devices.
 */
#include "lib/limits.h"

	.section .multiboot, "a"
	.balign	4
	.set	HEADER_FLAGS, 0x3	/* align modules on pages; tell us about memory */
	.long	0x1badb002
	.long	HEADER_FLAGS
	.long	-(0x1badb002 + HEADER_FLAGS)

	.section .text
	.code32
	.globl	image_start
image_start:
	movl	%eax, entry_state
	movl	%ebx, entry_state + 4
	movl	$cpu_stacks + CPU_STACK_BYTES, %esp
	pushfl
	popl	entry_state + 8
	cli
	cld
	movl	%cr0, %eax
	movl	%eax, entry_state + 12
	movw	%cs, entry_state + 16
	movw	%ds, entry_state + 18
	movw	%es, entry_state + 20
	movw	%ss, entry_state + 22
	lgdt	gdt_pointer
	movl	$runtime_main, %edi

/* EDI = where to go, ESP = its stack; the GDT is loaded. Other CPUs come here from trampoline.S. */
	.globl	start_long_mode
start_long_mode:
	movl	$page_pml4, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x20, %eax		/* CR4.PAE (SDM vol. 3A, 4.1.1) */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx	/* EFER */
	rdmsr
	orl	$0x100, %eax		/* EFER.LME */
	wrmsr
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax	/* CD, NW off: INIT leaves caching disabled (SDM 3A, 9.1.1) */
	orl	$0x80000001, %eax	/* PG, PE */
	movl	%eax, %cr0
	ljmp	$0x08, $long_entry

	.code64
long_entry:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%esp, %esp		/* the upper half is undefined after the switch */
	movl	%edi, %edi
	xorl	%ebp, %ebp
	call	*%rdi
1:	cli
	hlt
	jmp	1b

/*
 * Null, 64-bit code 0x08, data 0x10, 32-bit code 0x18, data and 64-bit code of ring 3: flat (SDM 3A, 3.4.5). Accessed
 * bits preset. user.c fills in the TSS. Other CPUs have the limit of trampoline.S, which ends before ring 3.
 */
	.section .data
	.balign	16
gdt:
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
	.quad	0x00cf9b000000ffff
	.quad	0x00cff3000000ffff
	.quad	0x00affb000000ffff
	.quad	0, 0
gdt_end:
	.globl	gdt, gdt_pointer
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

	.globl	entry_state
	.balign	8
entry_state:			/* struct entry_state in multiboot.h; in .data, so never cleared */
	.fill	24, 1, 0

/*
 * Identity map of the first 4 GiB in 2 MiB pages (SDM 3A, 4.5). From 3 GiB up only devices live, so
 * those pages are uncached (PCD, PWT) and not for ring 3. paging.c fills further entries of page_pdpt.
 */
	.globl	page_pml4, page_pdpt
	.balign	4096
page_pml4:
	.quad	page_pdpt + 0x7
	.fill	511, 8, 0
page_pdpt:
	.quad	page_pd + 0x0007, page_pd + 0x1007, page_pd + 0x2007, page_pd + 0x3003
	.fill	508, 8, 0
page_pd:
	.set	number, 0
	.rept	1536
	.quad	(number << 21) + 0x87
	.set	number, number + 1
	.endr
	.rept	512
	.quad	(number << 21) + 0x9b
	.set	number, number + 1
	.endr

	.section .bss
	.globl	cpu_stacks
	.balign	CPU_STACK_BYTES
cpu_stacks:
	.skip	CPU_STACK_BYTES * CPU_MAX

	.section .note.GNU-stack, "", @progbits
