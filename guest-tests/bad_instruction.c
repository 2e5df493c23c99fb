/*
 * An instruction KVM may be unable to emulate: CMPXCHG16B on device memory (SDM vol. 2A, CMPXCHG8B/16B).
 *
 * A CPU would do it. KVM has no 16-byte MMIO exit and may answer with KVM_EXIT_INTERNAL_ERROR, which a VMM must
 * report and turn into its own exit status, not into a hang or a loop. Either end is accepted by the table.
 */
#include "lib/cpu.h"
#include "lib/lapic.h"
#include "lib/tap.h"

void test_main(void)
{
	uint64_t low = 0, high = 0;
	void *where = (void *)0xd8000000;

	if (!(cpu_cpuid(1, 0).ecx & (1u << 13)))
		tap_skip_all("CPUID 1 ECX[13]: no CMPXCHG16B");
	tap_plan(1);
	tap_note("now CMPXCHG16B on unclaimed memory");
	__asm__ volatile("lock cmpxchg16b (%2)" : "+a"(low), "+d"(high) : "r"(where), "b"(0UL), "c"(0UL) : "memory", "cc");
	tap_check(true, "it was executed");
}
