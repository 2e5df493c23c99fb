/*
 * SRAT, SLIT and HMAT, found as a guest finds them, tell the nodes the machine was given.
 *
 * ACPI 6.4, 5.2.16, 5.2.17 and 5.2.27. Command line: nodes=N; map=0x..., the node of each CPU of the MADT, the first in
 * the lowest four bits; mbA=, MiB of node A; dAB=, the distance from node A to node B if it is not 20; nsAB= and
 * mbsAB=, latency and bandwidth of B's memory as CPUs of A see it, for all pairs that have one. Nodes have one digit.
 */
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/multiboot.h"
#include "lib/tap.h"

#define MAX_NODES  8
#define MAX_CPUS   16 /* of which map= can tell */
#define MAX_MEMORY 32

struct memory {
	uint64_t start, bytes;
};

static uint64_t nodes;
static struct memory memory[MAX_MEMORY];
static unsigned int nr_memory;

/* name with one or two digits behind it, as a number of the command line. */
static uint64_t numa_argument(const char *name, int a, int b, uint64_t fallback)
{
	char word[16];
	unsigned int n = 0;

	for (; name[n] && n < 12; n++)
		word[n] = name[n];
	word[n++] = (char)('0' + a);
	if (b >= 0)
		word[n++] = (char)('0' + b);
	word[n] = '\0';
	return args_number(word, fallback);
}

/* ---- SRAT ---- */

struct affinity {
	uint32_t id, node, flags;
};

static struct affinity srat_cpu(const uint8_t *e)
{
	uint64_t at = (uint64_t)e;

	if (e[0] == 0)
		return (struct affinity){ e[3], e[2] | (cpu_read32(at + 8) & ~0xffu), cpu_read32(at + 4) };
	return (struct affinity){ cpu_read32(at + 8), cpu_read32(at + 4), cpu_read32(at + 12) };
}

/* The n-th entry of processors (types 0 and 2), or of memory (1); NULL behind the last. */
static const uint8_t *srat_entry(const struct acpi_header *srat, bool processors, unsigned int n)
{
	const uint8_t *end = (const uint8_t *)srat + srat->length;

	for (const uint8_t *at = (const uint8_t *)srat + 48; at + 2 <= end && at[1] >= 2; at += at[1])
		if ((processors ? at[0] == 0 || at[0] == 2 : at[0] == 1) && n-- == 0)
			return at;
	return NULL;
}

static void srat_check_length(const struct acpi_header *srat)
{
	static const uint8_t bytes[] = { 16, 40, 24 };
	const uint8_t *at = (const uint8_t *)srat + 48, *end = (const uint8_t *)srat + srat->length;
	bool known = true;

	for (; at + 2 <= end && at[1] >= 2; at += at[1])
		known &= at[0] < sizeof(bytes) && at[1] == bytes[at[0]];
	tap_check(known && at == end, "SRAT: entries have the length of their type and fill the table");
	tap_equal(cpu_read32((uint64_t)srat + 36), 1, "SRAT: the reserved field is 1");
}

/* Each processor of the MADT is in the SRAT once, enabled, in the node it was given. */
static void srat_check_cpu(const struct acpi_header *srat, unsigned int cpu, uint32_t id)
{
	unsigned int found = 0;
	struct affinity a = { 0, 0, 0 }, e;
	const uint8_t *at;

	for (unsigned int n = 0; (at = srat_entry(srat, true, n)) != NULL; n++) {
		e = srat_cpu(at);
		if (e.id != id)
			continue;
		a = e;
		found++;
	}
	tap_check(found == 1 && (a.flags & 1), "SRAT: CPU %u, id 0x%x, is there once (%u), enabled", cpu, id,
		  found);
	tap_equal(a.node, args_number("map", 0) >> (4 * cpu) & 15, "SRAT: CPU %u is in its node", cpu);
}

static void srat_check_cpus(const struct acpi_header *srat)
{
	const uint8_t *e;
	unsigned int cpus = 0, entries = 0;

	for (; cpus < MAX_CPUS && (e = acpi_madt_entry(0, cpus)) != NULL; cpus++)
		srat_check_cpu(srat, cpus, e[3]);
	while (srat_entry(srat, true, entries))
		entries++;
	tap_equal(entries, cpus, "SRAT: no processors but the MADT's");
}

static bool srat_overlaps(struct memory m)
{
	for (unsigned int i = 0; i < nr_memory; i++)
		if (m.start < memory[i].start + memory[i].bytes && memory[i].start < m.start + m.bytes)
			return true;
	return false;
}

static void srat_check_memory(const struct acpi_header *srat)
{
	uint64_t bytes[MAX_NODES] = { 0 };
	bool apart = true;
	const uint8_t *e;

	while (nr_memory < MAX_MEMORY && (e = srat_entry(srat, false, nr_memory)) != NULL) {
		struct memory m = { cpu_read64((uint64_t)e + 8), cpu_read64((uint64_t)e + 16) };
		uint32_t node = cpu_read32((uint64_t)e + 2);

		tap_check(node < nodes && (cpu_read32((uint64_t)e + 28) & 7) == 1,
			  "SRAT: memory at 0x%lx, node %u, enabled", m.start, node);
		if (node < nodes)
			bytes[node] += m.bytes;
		apart &= !srat_overlaps(m);
		memory[nr_memory++] = m;
	}
	tap_check(apart, "SRAT: no memory is there twice");
	for (unsigned int n = 0; n < nodes; n++)
		tap_equal(bytes[n], numa_argument("mb", (int)n, -1, 0) << 20, "SRAT: the memory of node %u",
			  n);
}

/* Linux drops an SRAT that leaves out more than a MiB of the RAM in the map (5.2.16.2 wants all of it). */
static void srat_check_map(void)
{
	for (unsigned int i = 0; i < multiboot.nr_ranges; i++) {
		uint64_t at = multiboot.ranges[i].start, end = at + multiboot.ranges[i].bytes;

		if (multiboot.ranges[i].type != 1)
			continue;
		for (unsigned int n = 0; n < nr_memory * nr_memory && at < end; n++) {
			const struct memory *m = &memory[n % nr_memory];

			if (at >= m->start && at - m->start < m->bytes)
				at = m->start + m->bytes;
		}
		tap_check(at >= end, "SRAT: all RAM from 0x%lx to 0x%lx has a node",
			  multiboot.ranges[i].start, end);
	}
}

/* ---- SLIT ---- */

static void slit_check(void)
{
	const struct acpi_header *slit = acpi_find("SLIT");
	const uint8_t *row = (const uint8_t *)slit + 44;

	if (!tap_check(slit != NULL, "there is a SLIT"))
		return;
	tap_equal(cpu_read64((uint64_t)slit + 36), nodes, "SLIT: as many nodes");
	if (!tap_equal(slit->length, 44 + nodes * nodes, "SLIT: a row for each"))
		return;
	for (unsigned int a = 0; a < nodes; a++)
		for (unsigned int b = 0; b < nodes; b++)
			tap_equal(row[a * nodes + b], numa_argument("d", (int)a, (int)b, a == b ? 10 : 20),
				  "SLIT: from node %u to %u", a, b);
}

/* ---- HMAT ---- */

/* One matrix (5.2.27.4): what it tells of a pair in units of 1 ns or 1 MB/s, 0 for nothing. */
static uint64_t hmat_value(const uint8_t *s, uint32_t from, uint32_t to)
{
	uint64_t at = (uint64_t)s, value;
	uint32_t ni = cpu_read32(at + 12), nt = cpu_read32(at + 16), i, t;

	for (i = 0; i < ni && cpu_read32(at + 32 + 4UL * i) != from; i++)
		;
	for (t = 0; t < nt && cpu_read32(at + 32 + 4UL * (ni + t)) != to; t++)
		;
	if (i == ni || t == nt)
		return 0;
	value = cpu_read16(at + 32 + 4UL * (ni + nt) + 2UL * (i * nt + t)) * cpu_read64(at + 24);
	return s[9] < 3 ? value / 1000 : value; /* latencies count in picoseconds */
}

/* What all matrices together tell of a pair; bandwidth or latency, access or read. */
static uint64_t hmat_find(const struct acpi_header *hmat, bool bandwidth, uint32_t from, uint32_t to)
{
	const uint8_t *end = (const uint8_t *)hmat + hmat->length;
	uint32_t bytes;

	for (const uint8_t *s = (const uint8_t *)hmat + 40; s + 8 <= end; s += bytes) {
		bytes = cpu_read32((uint64_t)s + 4);
		if (bytes < 8)
			break;
		if (cpu_read16((uint64_t)s) == 1 &&
		    (s[9] == (bandwidth ? 3 : 0) || s[9] == (bandwidth ? 4 : 1)) && hmat_value(s, from, to))
			return hmat_value(s, from, to);
	}
	return 0;
}

static void hmat_check(void)
{
	const struct acpi_header *hmat = acpi_find("HMAT");
	bool any = false;

	for (int a = 0; a < (int)nodes; a++)
		for (int b = 0; b < (int)nodes; b++)
			any |= numa_argument("ns", a, b, 0) || numa_argument("mbs", a, b, 0);
	tap_equal(hmat != NULL, any, "there is a HMAT if there is something to tell");
	if (!hmat || !any)
		return;
	tap_equal(hmat->revision, 2, "HMAT: revision");
	for (int a = 0; a < (int)nodes; a++)
		for (int b = 0; b < (int)nodes; b++) {
			tap_equal(hmat_find(hmat, false, (uint32_t)a, (uint32_t)b),
				  numa_argument("ns", a, b, 0), "HMAT: ns from node %d to %d", a, b);
			tap_equal(hmat_find(hmat, true, (uint32_t)a, (uint32_t)b),
				  numa_argument("mbs", a, b, 0), "HMAT: MB/s from node %d to %d", a, b);
		}
}

static void numa_check_sum(const char *signature)
{
	const struct acpi_header *t = acpi_find(signature);

	if (t)
		tap_equal(acpi_sum(t, t->length), 0, "%s: checksum", signature);
}

void test_main(void)
{
	const struct acpi_header *srat = acpi_find("SRAT");

	nodes = args_number("nodes", 0);
	if (nodes > MAX_NODES)
		tap_bail("nodes= is at most %u", MAX_NODES);
	if (!nodes) {
		tap_check(!srat && !acpi_find("SLIT") && !acpi_find("HMAT"),
			  "without nodes there are no such tables");
		return;
	}
	if (!tap_check(srat != NULL, "there is a SRAT"))
		return;
	numa_check_sum("SRAT");
	numa_check_sum("SLIT");
	numa_check_sum("HMAT");
	tap_equal(srat->revision, 3, "SRAT: revision");
	srat_check_length(srat);
	srat_check_cpus(srat);
	srat_check_memory(srat);
	srat_check_map();
	slit_check();
	hmat_check();
}
