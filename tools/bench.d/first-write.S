/*
 * The guest of tools/bench: a Multiboot kernel (Multiboot 0.6.96, 3.1) which says that it runs, by a write to port
 * 0x80 and an 'R' to port 0xe9 (isa-debugcon). Then it ends the machine through port 0xf4 (isa-debug-exit) or,
 * with -DSTAY, halts for good, deaf to interrupts, since it has no table for them. It touches one page of RAM.
 */
#define MULTIBOOT_MAGIC 0x1badb002

	.code32
	.section .text.start, "ax"
	.balign 4
	.long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

	.globl start
start:
	xorl %eax, %eax
	outb %al, $0x80
	movb $'R', %al
	outb %al, $0xe9
	xorl %eax, %eax
#ifdef STAY
	cli
#else
	outb %al, $0xf4
#endif
1:	hlt
	jmp 1b
