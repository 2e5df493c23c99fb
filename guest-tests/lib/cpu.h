/*
 * The instructions C has no words for: ports, MSRs, CPUID, TSC, interrupt flag, MMIO accesses.
 * One function per instruction, no policy. Nothing here allocates, fails or blocks (but cpu_halt()).
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/* Write one byte to an I/O port. */
static inline void cpu_outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

/* Write two bytes to an I/O port. */
static inline void cpu_outw(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

/* Write four bytes to an I/O port. */
static inline void cpu_outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

/* Read one byte from an I/O port. */
static inline uint8_t cpu_inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* Read two bytes from an I/O port. */
static inline uint16_t cpu_inw(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* Read four bytes from an I/O port. */
static inline uint32_t cpu_inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* Read a model-specific register; #GP (and so a failed test) if the CPU lacks it. */
static inline uint64_t cpu_rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

/* Write a model-specific register; #GP if the CPU refuses. */
static inline void cpu_wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* Execute CPUID for a leaf and sub-leaf on the calling CPU. */
static inline struct cpuid cpu_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

/* The time stamp counter; not ordered against other instructions. */
static inline uint64_t cpu_rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* The faulting address of the last page fault. */
static inline uint64_t cpu_read_cr2(void)
{
	uint64_t value;

	__asm__ volatile("movq %%cr2, %0" : "=r"(value));
	return value;
}

/* The stack pointer of the calling CPU. */
static inline uint64_t cpu_read_rsp(void)
{
	uint64_t value;

	__asm__ volatile("movq %%rsp, %0" : "=r"(value));
	return value;
}

/* Let maskable interrupts in. */
static inline void cpu_enable_interrupts(void)
{
	__asm__ volatile("sti" : : : "memory");
}

/* Keep maskable interrupts out. */
static inline void cpu_disable_interrupts(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* Spin-loop hint. */
static inline void cpu_pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/* Enable interrupts and sleep until one arrives; STI's shadow leaves no gap between the two. */
static inline void cpu_halt(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

/* The same number, but unknown to the compiler, which else takes low addresses for NULL dereferences. */
static inline uint64_t cpu_hide(uint64_t address)
{
	__asm__("" : "+r"(address));
	return address;
}

/* Read one byte of device memory. */
static inline uint8_t cpu_read8(uint64_t address)
{
	return *(volatile uint8_t *)cpu_hide(address);
}

/* Read two bytes of device memory. */
static inline uint16_t cpu_read16(uint64_t address)
{
	return *(volatile uint16_t *)cpu_hide(address);
}

/* Read four bytes of device memory in one access. */
static inline uint32_t cpu_read32(uint64_t address)
{
	return *(volatile uint32_t *)cpu_hide(address);
}

/* Read eight bytes of memory in one access. */
static inline uint64_t cpu_read64(uint64_t address)
{
	return *(volatile uint64_t *)cpu_hide(address);
}

/* Write one byte of device memory. */
static inline void cpu_write8(uint64_t address, uint8_t value)
{
	*(volatile uint8_t *)cpu_hide(address) = value;
}

/* Write two bytes of device memory. */
static inline void cpu_write16(uint64_t address, uint16_t value)
{
	*(volatile uint16_t *)cpu_hide(address) = value;
}

/* Write four bytes of device memory in one access. */
static inline void cpu_write32(uint64_t address, uint32_t value)
{
	*(volatile uint32_t *)cpu_hide(address) = value;
}

/* Write eight bytes of memory in one access. */
static inline void cpu_write64(uint64_t address, uint64_t value)
{
	*(volatile uint64_t *)cpu_hide(address) = value;
}

#endif
