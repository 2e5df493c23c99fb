/*
 * CPUID on every CPU tells the shape the machine was given: sockets x dies x modules x cores x threads.
 *
 * Command line: sockets=, dies=, modules=, cores=, threads= (each 1 if left out). The fields are those of SDM vol. 2A,
 * CPUID, and AMD APM vol. 3, appendix E.
 * Shapes are regular products here; caches are judged only by which CPUs share them.
 */
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/smp.h"
#include "lib/tap.h"

#define MAX_FAULTS 6

struct level {
	uint32_t shift, count;	/* of APIC id bits below it; of logical processors inside */
};

/* In the order of numbers below: thread siblings of a core, of a module, of a die, of a package. */
enum { IN_CORE, IN_MODULE, IN_DIE, IN_PACKAGE, NR_LEVELS };

static struct {
	uint32_t per[5];	/* threads, cores, modules, dies, sockets */
	struct level in[NR_LEVELS];
} shape;

struct fault {
	const char *what;
	uint32_t got, expected;
};

static struct report {
	uint32_t id;
	unsigned int nr_checks, nr_faults;
	struct fault faults[MAX_FAULTS];
} reports[CPU_MAX];

static bool is_amd;

static void topology_expect(struct report *r, uint32_t got, uint32_t expected, const char *what)
{
	r->nr_checks++;
	if (got == expected)
		return;
	if (r->nr_faults < MAX_FAULTS)
		r->faults[r->nr_faults] = (struct fault){ what, got, expected };
	r->nr_faults++;
}

static uint32_t topology_bits(uint32_t n)
{
	uint32_t bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

static void topology_read_shape(void)
{
	static const char *const names[] = { "threads", "cores", "modules", "dies", "sockets" };
	struct level in = { 0, 1 };

	for (unsigned int i = 0; i < 5; i++) {
		shape.per[i] = (uint32_t)args_number(names[i], 1);
		if (i == 4)
			break;
		in.shift += topology_bits(shape.per[i]);
		in.count *= shape.per[i];
		shape.in[i] = in;
	}
}

/* The APIC id of the n-th CPU: thread fastest, then core, module, die, socket. */
static uint32_t topology_id(unsigned int n)
{
	uint32_t id = n % shape.per[0];

	n /= shape.per[0];
	for (unsigned int i = 1; i < 5; i++) {
		id |= n % shape.per[i] << shape.in[i - 1].shift;
		n /= shape.per[i];
	}
	return id;
}

static uint32_t topology_min(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void topology_check_leaf1(struct report *r)
{
	const struct level *package = &shape.in[IN_PACKAGE];
	struct cpuid l = cpu_cpuid(1, 0);
	bool htt = is_amd ? package->count > 1 : package->shift > 0;

	topology_expect(r, l.ebx >> 24, r->id & 0xff, "1 EBX[31:24], APIC id");
	topology_expect(r, l.edx >> 28 & 1, htt, "1 EDX[28], HTT");
	if (!htt)
		return;
	if (is_amd)
		topology_expect(r, l.ebx >> 16 & 0xff, topology_min(package->count, 255), "1 EBX[23:16], CPUs of the package");
	else if (package->shift < 8)
		topology_expect(r, topology_bits(l.ebx >> 16 & 0xff), package->shift, "1 EBX[23:16], log2 of the package's ids");
}

static void topology_check_leaf0b(struct report *r)
{
	static const uint8_t level[] = { IN_CORE, IN_PACKAGE };

	for (uint32_t i = 0; i < 3; i++) {
		struct cpuid l = cpu_cpuid(0xb, i);

		topology_expect(r, l.edx, r->id, "0BH EDX, x2APIC id");
		topology_expect(r, l.ecx & 0xff, i, "0BH ECX[7:0], sub-leaf");
		topology_expect(r, l.ecx >> 8 & 0xff, i < 2 ? i + 1 : 0, "0BH ECX[15:8], type");
		topology_expect(r, l.eax & 0x1f, i < 2 ? shape.in[level[i]].shift : 0, "0BH EAX[4:0], shift");
		topology_expect(r, l.ebx & 0xffff, i < 2 ? shape.in[level[i]].count : 0, "0BH EBX[15:0], CPUs");
	}
}

/* 1FH describes, under each type, the domain of the next type enumerated: the last one is the package. */
static void topology_check_leaf1f(struct report *r)
{
	bool die_seen = false;
	struct cpuid l = cpu_cpuid(0x1f, 0);

	for (uint32_t i = 0; i < 7 && (l.ecx & 0xff00); i++) {
		struct cpuid next = cpu_cpuid(0x1f, i + 1);
		uint32_t next_type = next.ecx >> 8 & 0xff;
		unsigned int in = next_type == 2 ? IN_CORE : next_type == 3 ? IN_MODULE : next_type == 5 ? IN_DIE : IN_PACKAGE;

		topology_expect(r, l.eax & 0x1f, shape.in[in].shift, "1FH EAX[4:0], shift");
		topology_expect(r, l.ebx & 0xffff, shape.in[in].count, "1FH EBX[15:0], CPUs");
		topology_expect(r, l.edx, r->id, "1FH EDX, x2APIC id");
		topology_expect(r, l.ecx & 0xff, i, "1FH ECX[7:0], sub-leaf");
		topology_expect(r, i == 0, (l.ecx >> 8 & 0xff) == 1, "1FH: type 1 comes first and once");
		die_seen |= next_type == 5;
		l = next;
	}
	topology_expect(r, die_seen || shape.per[3] == 1, true, "1FH: dies are enumerated if there are several");
}

/* Leaf 4 and 8000001DH: EAX[25:14] + 1 ids share a cache; only the domains of the shape can. */
static void topology_check_caches(struct report *r, uint32_t leaf)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < 8; i++) {
		struct cpuid l = cpu_cpuid(leaf, i);
		uint32_t sharing = topology_bits((l.eax >> 14 & 0xfff) + 1);
		bool known = false;

		if (!(l.eax & 0x1f))
			break;
		for (unsigned int in = 0; in < NR_LEVELS; in++)
			known |= sharing == shape.in[in].shift;
		topology_expect(r, known, true, "cache: shared by a core, module, die or package");
		topology_expect(r, sharing >= last, true, "cache: a farther one is not shared by fewer");
		if ((l.eax >> 5 & 7) == 1)
			topology_expect(r, sharing, shape.in[IN_CORE].shift, "cache: L1 belongs to one core");
		if (leaf == 4)
			topology_expect(r, l.eax >> 26, topology_min((1u << (shape.in[IN_PACKAGE].shift - shape.in[IN_CORE].shift)) - 1, 63),
					"4 EAX[31:26], core ids of the package");
		last = sharing;
	}
}

static void topology_check_amd(struct report *r)
{
	const struct level *package = &shape.in[IN_PACKAGE];
	uint32_t max = cpu_cpuid(0x80000000, 0).eax;
	struct cpuid l = cpu_cpuid(0x80000001, 0);
	uint32_t nodes, node;

	topology_expect(r, l.ecx >> 1 & 1, package->count > 1, "80000001H ECX[1], CmpLegacy");
	topology_expect(r, l.ecx >> 22 & 1, 1, "80000001H ECX[22], TOPOEXT");
	l = cpu_cpuid(0x80000008, 0);
	topology_expect(r, l.ecx & 0xff, topology_min(package->count - 1, 255), "80000008H ECX[7:0], CPUs - 1");
	topology_expect(r, l.ecx >> 12 & 15, package->shift, "80000008H ECX[15:12], id bits");
	l = cpu_cpuid(0x8000001e, 0);
	topology_expect(r, l.eax, r->id, "8000001EH EAX, x2APIC id");
	topology_expect(r, l.ebx >> 8 & 0xff, shape.per[0] - 1, "8000001EH EBX[15:8], threads - 1");
	topology_expect(r, l.ebx & 0xff, (r->id & ((1u << package->shift) - 1)) >> shape.in[IN_CORE].shift, "8000001EH EBX[7:0], core id");
	nodes = (l.ecx >> 8 & 7) + 1;	/* a node is a die, or the package: both are found in hardware */
	node = r->id >> (nodes > 1 ? shape.in[IN_DIE].shift : package->shift);
	topology_expect(r, nodes == 1 || nodes == shape.per[3], true, "8000001EH ECX[10:8], nodes of a package");
	topology_expect(r, l.ecx & 0xff, node & 0xff, "8000001EH ECX[7:0], node id");
	topology_check_caches(r, 0x8000001d);
	if (max >= 0x80000026)
		topology_expect(r, cpu_cpuid(0x80000026, 0).edx, r->id, "80000026H EDX, x2APIC id");
}

static void topology_visit(unsigned int cpu, void *data)
{
	struct report *r = data;

	(void)cpu;
	r->id = lapic_id();
	topology_check_leaf1(r);
	topology_check_leaf0b(r);
	if (cpu_cpuid(0, 0).eax >= 0x1f && cpu_cpuid(0x1f, 0).ebx)
		topology_check_leaf1f(r);
	else
		topology_expect(r, is_amd || shape.per[3] == 1, true, "1FH exists if there are dies");
	if (is_amd)
		topology_check_amd(r);
	else
		topology_check_caches(r, 4);
}

static void topology_print(unsigned int cpu)
{
	const struct report *r = &reports[cpu];

	tap_equal(r->id, topology_id(cpu), "CPU %u: APIC id of the shape", cpu);
	tap_equal(r->nr_faults, 0, "CPU %u: %u fields agree with it", cpu, r->nr_checks);
	for (unsigned int i = 0; i < r->nr_faults && i < MAX_FAULTS; i++)
		tap_note("  %s: got 0x%x, expected 0x%x", r->faults[i].what, r->faults[i].got, r->faults[i].expected);
}

void test_main(void)
{
	uint32_t cpus;
	const uint8_t *first = acpi_madt_entry(0, 0);

	topology_read_shape();
	cpus = shape.in[IN_PACKAGE].count * shape.per[4];
	is_amd = cpu_cpuid(0, 0).ecx == 0x444d4163 || cpu_cpuid(0, 0).ecx == 0x656e6975; /* "cAMD", "uine" */
	tap_note("%u x %u x %u x %u x %u, %s", shape.per[4], shape.per[3], shape.per[2], shape.per[1], shape.per[0],
		 is_amd ? "AMD" : "Intel");
	tap_check(first && first[3] == lapic_id(), "the boot CPU is the MADT's first");
	if (!tap_equal(smp_start(), cpus, "as many CPUs as the shape has"))
		tap_bail("no point in going on");
	for (unsigned int i = 0; i < cpus; i++) {
		if (!smp_run(i, topology_visit, &reports[i]))
			tap_bail("CPU %u does not answer", i);
		topology_print(i);
	}
}
