/*
 * Reset by triple fault: an exception with an empty IDT (SDM vol. 3A, 6.15, interrupt 8). PC chipsets turn the
 * resulting shutdown cycle into a reset. The checks are in lib/reset.c.
 */
#include <stdint.h>

#include "lib/reset.h"
#include "lib/tap.h"

static void reset_by_triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) empty;

	__asm__ volatile("lidt %0; ud2" : : "m"(empty));
}

void test_main(void)
{
	reset_check(4, reset_by_triple_fault);
}
