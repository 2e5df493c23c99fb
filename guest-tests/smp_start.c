/*
 * Every CPU of the MADT starts once, and agrees with the MADT about who it is.
 *
 * Ids are read in all places a guest looks: MADT, local APIC, CPUID 1 EBX[31:24] and every sub-leaf of
 * CPUID 0BH (SDM vol. 2A, CPUID; vol. 3A, 9.4). The shape of the machine is cpuid_topology's business.
 * Command line: cpus=N, how many the machine should have; x2apic to use that mode.
 */
#include "lib/cpu.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/smp.h"
#include "lib/tap.h"

struct identity {
	uint32_t lapic, leaf1, leaf0b;
	bool leaf0b_agrees;	/* EDX is the same in every sub-leaf, the closing one too */
	bool bsp, x2apic;
};

static struct identity seen[CPU_MAX];

static void smp_read_identity(unsigned int cpu, void *data)
{
	struct identity *id = data;

	(void)cpu;
	id->lapic = lapic_id();
	id->leaf1 = cpu_cpuid(1, 0).ebx >> 24;
	id->leaf0b_agrees = true;
	id->bsp = cpu_rdmsr(MSR_APIC_BASE) & 0x100;
	id->x2apic = lapic_is_x2apic();
	if (cpu_cpuid(0, 0).eax < 0xb)
		return;
	id->leaf0b = cpu_cpuid(0xb, 0).edx;
	for (uint32_t i = 0; i < 8; i++) {
		struct cpuid r = cpu_cpuid(0xb, i);

		id->leaf0b_agrees &= r.edx == id->leaf0b;
		if (!(r.ecx & 0xff00))
			break;
	}
}

static void smp_check_identity(unsigned int cpu)
{
	const struct identity *id = &seen[cpu];
	uint32_t madt = smp_apic_id(cpu);

	tap_equal(id->lapic, madt, "CPU %u: local APIC id is the MADT's", cpu);
	tap_equal(id->leaf1, madt & 0xff, "CPU %u: CPUID 1 EBX[31:24] is it too", cpu);
	if (cpu_cpuid(0, 0).eax < 0xb || !cpu_cpuid(0xb, 0).ebx) {
		tap_skip("CPU %u: no CPUID leaf 0BH", cpu);
	} else {
		tap_equal(id->leaf0b, madt, "CPU %u: CPUID 0BH EDX is it too", cpu);
		tap_check(id->leaf0b_agrees, "CPU %u: the same in every sub-leaf", cpu);
	}
	tap_equal(id->bsp, cpu == 0, "CPU %u: APIC_BASE.BSP only on the boot CPU", cpu);
	tap_equal(id->x2apic, args_has("x2apic") || lapic_is_x2apic(), "CPU %u: APIC mode", cpu);
}

static bool smp_ids_unique(unsigned int cpus)
{
	for (unsigned int a = 0; a < cpus; a++)
		for (unsigned int b = 0; b < a; b++)
			if (seen[a].lapic == seen[b].lapic)
				return false;
	return true;
}

void test_main(void)
{
	unsigned int cpus = smp_count();

	tap_equal(cpus, args_number("cpus", cpus), "the MADT has the CPUs asked for");
	if (!tap_equal(smp_start(), cpus, "all of them run"))
		tap_bail("no point in going on");
	for (unsigned int i = 0; i < cpus; i++) {
		bool done = smp_run(i, smp_read_identity, &seen[i]);

		tap_check(done && smp_arrivals(i) == (i != 0), "CPU %u: started once and answers", i);
		if (i < 4 || cpus <= 4)
			smp_check_identity(i);
	}
	for (unsigned int i = 4; i < cpus; i++)
		tap_check(seen[i].lapic == smp_apic_id(i) && seen[i].leaf1 == (smp_apic_id(i) & 0xff) && !seen[i].bsp &&
			  seen[i].leaf0b_agrees, "CPU %u: identity 0x%x", i, seen[i].lapic);
	tap_check(smp_ids_unique(cpus), "APIC ids are unique");
}
