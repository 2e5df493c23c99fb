/*
 * Starting the other CPUs and making them do something. CPU numbers count MADT entries which are enabled,
 * with the boot CPU as number 0 wherever it stands. Between jobs the others sleep with interrupts enabled.
 */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/limits.h"

#define SMP_WAKE_VECTOR 0xf0

typedef void smp_job(unsigned int cpu, void *data);

/* Read the MADT; the boot CPU is number 0. Returns the number of CPUs. */
unsigned int smp_count(void);
/* Start all other CPUs by INIT and two start-up IPIs (SDM vol. 3A, 9.4.4.1). Returns how many CPUs run,
 * the boot CPU included; a CPU which does not come within 2 s is noted and left out. */
unsigned int smp_start(void);
/* The APIC id the MADT gives a CPU. */
uint32_t smp_apic_id(unsigned int cpu);
/* How often a CPU has come through its start; 1 is right, for the boot CPU it is 0. */
unsigned int smp_arrivals(unsigned int cpu);
/* The number of the calling CPU, read from its stack pointer. */
unsigned int smp_this_cpu(void);
/* Run a job on a CPU and wait up to 2 s for its end; on CPU 0 just call it. Returns false if late. */
bool smp_run(unsigned int cpu, smp_job *job, void *data);
/* The two halves of it, for a CPU other than 0: something else can be done in between. */
void smp_begin(unsigned int cpu, smp_job *job, void *data);
bool smp_finish(unsigned int cpu);
/* Where trampoline.S arrives; never returns. */
void smp_cpu_main(void);

#endif
