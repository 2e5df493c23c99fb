/* CPU start and a one-slot mailbox per CPU. No locks: one writer (the boot CPU), one reader per slot. */
#include "lib/smp.h"
#include "lib/acpi.h"
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/lapic.h"
#include "lib/string.h"
#include "lib/tap.h"
#include "lib/trap.h"

struct cpu {
	uint32_t apic_id;
	volatile unsigned int arrivals;
	smp_job *volatile job;	/* set by CPU 0, cleared by the CPU when done */
	void *data;
};

extern uint8_t cpu_stacks[];
extern const uint8_t trampoline_begin[], trampoline_end[];

volatile uint32_t smp_start_stack;	/* trampoline.S reads it */
static struct cpu cpus[CPU_MAX];
static unsigned int nr_cpus;

static void smp_add(uint32_t apic_id, uint32_t flags)
{
	if (!(flags & 1) || apic_id == cpus[0].apic_id)
		return;
	if (nr_cpus == CPU_MAX)
		tap_bail("more than %u CPUs", CPU_MAX);
	cpus[nr_cpus++].apic_id = apic_id;
}

unsigned int smp_count(void)
{
	const uint8_t *e;

	if (nr_cpus)
		return nr_cpus;
	nr_cpus = 1;
	cpus[0].apic_id = lapic_id();
	for (unsigned int n = 0; (e = acpi_madt_entry(0, n)) != NULL; n++)
		smp_add(e[3], cpu_read32((uint64_t)e + 4));
	for (unsigned int n = 0; (e = acpi_madt_entry(9, n)) != NULL; n++)
		smp_add(cpu_read32((uint64_t)e + 4), cpu_read32((uint64_t)e + 8));
	return nr_cpus;
}

static void smp_wake(struct trap_frame *frame)
{
	(void)frame;
	lapic_eoi();
}

unsigned int smp_start(void)
{
	unsigned int running = 1;

	smp_count();
	trap_set_handler(SMP_WAKE_VECTOR, smp_wake);
	memcpy((void *)TRAMPOLINE_BASE, trampoline_begin, (size_t)(trampoline_end - trampoline_begin));
	for (unsigned int i = 1; i < nr_cpus; i++)
		lapic_send(cpus[i].apic_id, LAPIC_ICR_INIT | LAPIC_ICR_ASSERT);
	clock_wait_ticks(CLOCK_MS(10));
	for (unsigned int i = 1; i < nr_cpus; i++) {
		smp_start_stack = (uint32_t)(uint64_t)(cpu_stacks + (i + 1) * CPU_STACK_BYTES);
		for (int times = 0; times < 2; times++) {
			lapic_send(cpus[i].apic_id, LAPIC_ICR_STARTUP | LAPIC_ICR_ASSERT | TRAMPOLINE_BASE >> 12);
			clock_wait_ticks(CLOCK_US(200));
		}
		if (CLOCK_WAIT_FOR(cpus[i].arrivals, CLOCK_MS(2000)))
			running++;
		else
			tap_note("CPU %u with APIC id 0x%x did not start", i, cpus[i].apic_id);
	}
	return running;
}

uint32_t smp_apic_id(unsigned int cpu)
{
	return cpus[cpu].apic_id;
}

unsigned int smp_arrivals(unsigned int cpu)
{
	return cpus[cpu].arrivals;
}

unsigned int smp_this_cpu(void)
{
	return (unsigned int)((cpu_read_rsp() - (uint64_t)cpu_stacks) / CPU_STACK_BYTES);
}

void smp_begin(unsigned int cpu, smp_job *job, void *data)
{
	cpus[cpu].data = data;
	__atomic_store_n(&cpus[cpu].job, job, __ATOMIC_RELEASE);	/* pairs with smp_cpu_main() */
	lapic_send(cpus[cpu].apic_id, LAPIC_ICR_ASSERT | SMP_WAKE_VECTOR);
}

bool smp_finish(unsigned int cpu)
{
	return CLOCK_WAIT_FOR(!__atomic_load_n(&cpus[cpu].job, __ATOMIC_ACQUIRE), CLOCK_MS(2000));
}

bool smp_run(unsigned int cpu, smp_job *job, void *data)
{
	if (cpu == 0) {
		job(0, data);
		return true;
	}
	smp_begin(cpu, job, data);
	return smp_finish(cpu);
}

void smp_cpu_main(void)
{
	unsigned int me = smp_this_cpu();
	struct cpu *c = &cpus[me];

	trap_load();
	lapic_init();
	c->arrivals++;
	for (;;) {
		smp_job *job;

		cpu_disable_interrupts();
		job = __atomic_load_n(&c->job, __ATOMIC_ACQUIRE);	/* pairs with smp_run() */
		if (!job) {
			cpu_halt();
			continue;
		}
		job(me, c->data);
		__atomic_store_n(&c->job, NULL, __ATOMIC_RELEASE);
	}
}
