/*
 * Every CPU's CPUID is what `trellis topology --format cpuid` promised for it, bit for bit.
 *
 * The promise is a module in a short form which guest-tests/run makes of the dump: for each CPU a line "cpu", then
 * lines "LEAF SUBLEAF EAX EBX ECX EDX" (hexadecimal), all of them for CPU 0, and for the others those that differ
 * from CPU 0's. Bits that change at run time are not compared. With host-words on the command line neither are the
 * feature words that the host's KVM replaces by its own. Leaves that the dump has not are not looked at.
 */
#include "lib/cpu.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/smp.h"
#include "lib/tap.h"

#define MAX_LINES  512  /* of one CPU */
#define MAX_OTHERS 8192 /* of all CPUs but the first */
#define MAX_FAULTS 6
#define NR_REGS    4

struct line {
	uint32_t leaf, index, reg[NR_REGS];
};

struct fault {
	uint32_t leaf, index, reg, got, expected;
};

static struct promise {
	const struct line *line;
	unsigned int nr;
} promises[CPU_MAX];

static struct report {
	unsigned int nr_lines, nr_faults, nr_unused;
	struct fault faults[MAX_FAULTS];
} reports[CPU_MAX];

static struct line first[MAX_LINES], others[MAX_OTHERS];
static bool host_words;

/* ---- the module ---- */

static const char *at, *end;

static void dump_skip_blanks(void)
{
	while (at < end && (*at == ' ' || *at == '\n'))
		at++;
}

static uint32_t dump_number(void)
{
	uint32_t value = 0;

	dump_skip_blanks();
	if (at == end)
		tap_bail("the module ends inside a line");
	for (; at < end && *at != ' ' && *at != '\n'; at++) {
		unsigned int digit = *at <= '9' ? (unsigned int)*at - '0' : (unsigned int)*at - 'a' + 10;

		if (digit > 15)
			tap_bail("'%c' in the module", *at);
		value = value << 4 | digit;
	}
	return value;
}

/* True if the next line begins a CPU; then it is taken. */
static bool dump_next_cpu(void)
{
	dump_skip_blanks();
	if (end - at < 3 || at[0] != 'c' || at[1] != 'p' || at[2] != 'u')
		return false;
	at += 3;
	return true;
}

/* Read one CPU's lines into room for max. Returns how many there are. */
static unsigned int dump_read_cpu(struct line *line, unsigned int max)
{
	unsigned int nr = 0;

	for (dump_skip_blanks(); at < end && *at != 'c'; dump_skip_blanks()) {
		if (nr == max)
			tap_bail("the module has too many lines");
		line[nr].leaf = dump_number();
		line[nr].index = dump_number();
		for (unsigned int r = 0; r < NR_REGS; r++)
			line[nr].reg[r] = dump_number();
		nr++;
	}
	return nr;
}

/* Returns the number of CPUs. */
static unsigned int dump_read(void)
{
	unsigned int cpus = 0, used = 0;

	if (multiboot.nr_modules != 1)
		tap_bail("no module with the promised CPUID");
	at = (const char *)(uint64_t)multiboot.modules[0].start;
	end = (const char *)(uint64_t)multiboot.modules[0].end;
	while (dump_next_cpu()) {
		struct line *to = cpus ? others + used : first;

		if (cpus == CPU_MAX)
			tap_bail("the module has more than %u CPUs", CPU_MAX);
		promises[cpus].line = to;
		promises[cpus].nr = dump_read_cpu(to, cpus ? MAX_OTHERS - used : MAX_LINES);
		used += cpus ? promises[cpus].nr : 0;
		cpus++;
	}
	if (at != end)
		tap_bail("the module does not begin with a CPU");
	return cpus;
}

/* ---- the comparison ---- */

/* The bits of a register that must be as promised. Register 0 is EAX. */
static uint32_t dump_mask(const struct line *line, unsigned int reg)
{
	enum { EAX, EBX, ECX, EDX };

	if (host_words && ((line->leaf == 1 && reg >= ECX) || line->leaf == 7 || line->leaf == 0xd))
		return 0;
	switch (line->leaf) {
	case 1: /* OSXSAVE follows CR4; the APIC bit APIC_BASE (SDM vol. 2A, CPUID) */
		return reg == ECX ? ~(1u << 27) : reg == EDX ? ~(1u << 9) : ~0u;
	case 7: /* OSPKE follows CR4 */
		return line->index == 0 && reg == ECX ? ~(1u << 4) : ~0u;
	case 0xd: /* the size of what XCR0 and IA32_XSS enable now */
		return line->index < 2 && reg == EBX ? 0 : ~0u;
	default:
		return ~0u;
	}
}

static void dump_compare(struct report *r, const struct line *line)
{
	struct cpuid c = cpu_cpuid(line->leaf, line->index);
	const uint32_t got[NR_REGS] = { c.eax, c.ebx, c.ecx, c.edx };

	r->nr_lines++;
	for (unsigned int i = 0; i < NR_REGS; i++) {
		if (!((got[i] ^ line->reg[i]) & dump_mask(line, i)))
			continue;
		if (r->nr_faults < MAX_FAULTS)
			r->faults[r->nr_faults] =
				(struct fault){ line->leaf, line->index, i, got[i], line->reg[i] };
		r->nr_faults++;
	}
}

/* A CPU's own lines are in the order of CPU 0's, each in the place of one of them. */
static void dump_visit(unsigned int cpu, void *data)
{
	const struct promise *own = &promises[cpu];
	struct report *r = data;
	unsigned int used = 0;

	for (unsigned int i = 0; i < promises[0].nr; i++) {
		const struct line *line = &first[i];

		if (cpu && used < own->nr && own->line[used].leaf == line->leaf &&
		    own->line[used].index == line->index)
			line = &own->line[used++];
		dump_compare(r, line);
	}
	r->nr_unused = cpu ? own->nr - used : 0;
}

static void dump_print(unsigned int cpu)
{
	static const char *const names[NR_REGS] = { "EAX", "EBX", "ECX", "EDX" };
	const struct report *r = &reports[cpu];

	tap_check(!r->nr_faults && !r->nr_unused, "CPU %u, id 0x%x: %u lines, %u of its own", cpu,
		  smp_apic_id(cpu), r->nr_lines, cpu ? promises[cpu].nr : r->nr_lines);
	if (r->nr_unused)
		tap_note("  %u lines are not in the order of CPU 0's", r->nr_unused);
	for (unsigned int i = 0; i < r->nr_faults && i < MAX_FAULTS; i++)
		tap_note("  0x%x.%u %s: got 0x%x, promised 0x%x", r->faults[i].leaf, r->faults[i].index,
			 names[r->faults[i].reg], r->faults[i].got, r->faults[i].expected);
}

void test_main(void)
{
	unsigned int cpus = dump_read();

	host_words = args_has("host-words");
	tap_check(promises[0].nr >= 8, "CPU 0 was promised %u lines", promises[0].nr);
	if (!tap_equal(smp_start(), cpus, "as many CPUs run as were promised"))
		tap_bail("no point in going on");
	for (unsigned int i = 0; i < cpus; i++) {
		if (!smp_run(i, dump_visit, &reports[i]))
			tap_bail("CPU %u does not answer", i);
		dump_print(i);
	}
}
