/*
 * SRAT, SLIT and HMAT; section numbers are those of ACPI 6.5. A proximity domain is a node's number. A guest may
 * drop a whole table for one entry it does not like, so there is nothing optional here.
 */
#include "firmware/acpi_numa.h"

enum { HEADER_BYTES = 36 };

/* ---- SRAT ---- */

/* The same kind of entry as in the MADT (5.2.16.1, 5.2.16.3): the wider one for ids that need it. */
static void srat_put_cpu(struct buf *b, const struct topo_cpu *cpu)
{
	if (cpu->apic_id < 255) {
		buf_put8(b, 0);
		buf_put8(b, 16);
		buf_put8(b, (uint8_t)cpu->node); /* bits 31:8 are below; nodes have 7 bits */
		buf_put8(b, (uint8_t)cpu->apic_id);
		buf_put32(b, 1u << 0); /* enabled: the entry, not the processor */
		buf_put32(b, 0);       /* SAPIC EID, bits 31:8 of the domain */
		buf_put32(b, 0);       /* clock domain */
	} else {
		buf_put8(b, 2);
		buf_put8(b, 24);
		buf_put16(b, 0);
		buf_put32(b, cpu->node);
		buf_put32(b, cpu->apic_id);
		buf_put32(b, 1u << 0);
		buf_put32(b, 0); /* clock domain */
		buf_put32(b, 0);
	}
}

/* 5.2.16.2. */
static void srat_put_memory(struct buf *b, const struct node_range *r)
{
	buf_put8(b, 1);
	buf_put8(b, 40);
	buf_put32(b, r->node);
	buf_put16(b, 0);
	buf_put64(b, r->start);
	buf_put64(b, r->len);
	buf_put32(b, 0);
	buf_put32(b, 1u << 0); /* enabled; not hot-pluggable, volatile */
	buf_put64(b, 0);
}

/*
 * 5.2.16. Pluggable processors are listed, too: their node is known before they come. All RAM is: Linux drops the
 * table when more than a MiB of the memory map is missing. A node without memory has no memory entry.
 */
void acpi_srat_put(const struct platform *p, struct buf *b)
{
	buf_put32(b, 1); /* reserved, must be 1 */
	buf_put64(b, 0);
	for (unsigned int i = 0; i < p->topo->nr_cpus; i++)
		srat_put_cpu(b, &p->topo->cpu[i]);
	for (unsigned int i = 0; i < p->nr_node_map; i++)
		srat_put_memory(b, &p->node_map[i]);
}

/* ---- SLIT ---- */

/* 5.2.17: a row for each node. */
void acpi_slit_put(const struct platform *p, struct buf *b)
{
	size_t nr = p->topo->nr_nodes;

	buf_put64(b, nr);
	buf_put(b, p->topo->distance, nr * nr);
}

/* ---- HMAT ---- */

/* Who starts requests and who answers them: nodes with processors, nodes with RAM. */
struct ends {
	uint8_t initiator[TOPO_MAX_NODES], target[TOPO_MAX_NODES];
	unsigned int nr_initiators, nr_targets;
};

static void ends_find(const struct platform *p, struct ends *ends)
{
	bool cpus[TOPO_MAX_NODES] = { false }, memory[TOPO_MAX_NODES] = { false };

	*ends = (struct ends){ .nr_targets = 0 };
	for (unsigned int i = 0; i < p->topo->nr_cpus; i++)
		cpus[p->topo->cpu[i].node] = true;
	for (unsigned int i = 0; i < p->nr_node_map; i++)
		memory[p->node_map[i].node] = true;
	for (unsigned int n = 0; n < p->topo->nr_nodes; n++) {
		if (cpus[n])
			ends->initiator[ends->nr_initiators++] = (uint8_t)n;
		if (memory[n])
			ends->target[ends->nr_targets++] = (uint8_t)n;
	}
}

/* The memory's own node if it has processors, else the one with processors which is nearest. */
static unsigned int nearest(const struct topology *t, const struct ends *ends, unsigned int target)
{
	unsigned int best = ends->initiator[0];

	for (unsigned int i = 1; i < ends->nr_initiators; i++) {
		unsigned int n = ends->initiator[i];

		if (t->distance[n * t->nr_nodes + target] < t->distance[best * t->nr_nodes + target])
			best = n;
	}
	return best;
}

/* 5.2.28.3. Linux refuses all of the HMAT for memory that the SRAT does not have. */
static void hmat_put_proximity(struct buf *b, unsigned int initiator, unsigned int target)
{
	buf_put16(b, 0);
	buf_put16(b, 0);
	buf_put32(b, 40);
	buf_put16(b, 1u << 0); /* the initiator is valid */
	buf_put16(b, 0);
	buf_put32(b, initiator);
	buf_put32(b, target);
	buf_put_zero(b, 20);
}

/* Data types of 5.2.28.4. */
enum { ACCESS_LATENCY, READ_LATENCY, WRITE_LATENCY, ACCESS_BANDWIDTH, READ_BANDWIDTH, WRITE_BANDWIDTH };

static uint32_t path_value(const struct topo_path *p, unsigned int type)
{
	switch (type) {
	case ACCESS_LATENCY:
	case READ_LATENCY:
		return p->read_ns;
	case WRITE_LATENCY:
		return p->write_ns;
	case WRITE_BANDWIDTH:
		return p->write_mbs;
	default:
		return p->read_mbs;
	}
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* What entries count in so that the largest has 16 bits; 0xffff has a meaning of its own. Exact where it can be. */
static uint32_t entry_unit(uint32_t max, uint32_t divisor)
{
	if (max < UINT16_MAX)
		return 1;
	if (max / divisor < UINT16_MAX)
		return divisor;
	return max / (UINT16_MAX - 1) + 1;
}

/* 0, which is what was not said, stays 0: no information. Nothing else becomes it. */
static uint16_t entry_value(uint32_t value, uint32_t unit)
{
	return (uint16_t)(value ? MAX((value + unit / 2) / unit, 1u) : 0);
}

/*
 * 5.2.28.4: a matrix of initiators and targets. Nothing is written when no entry is known.
 * type  one of the data types
 */
static void hmat_put_matrix(const struct topology *t, const struct ends *ends, unsigned int type,
			    struct buf *b)
{
	unsigned int ni = ends->nr_initiators, nt = ends->nr_targets;
	uint32_t max = 0, divisor = 0, unit, v;

	for (unsigned int i = 0; i < ni * nt; i++) {
		v = path_value(&t->path[ends->initiator[i / nt] * t->nr_nodes + ends->target[i % nt]], type);
		max = MAX(max, v);
		divisor = common_divisor(divisor, v);
	}
	if (!max)
		return;
	unit = entry_unit(max, divisor);
	buf_put16(b, 1);
	buf_put16(b, 0);
	buf_put32(b, 32 + 4 * ni + 4 * nt + 2 * ni * nt);
	buf_put8(b, 0); /* of memory, not of a cache before it */
	buf_put8(b, (uint8_t)type);
	buf_put16(b, 0); /* no minimum of transfer size */
	buf_put32(b, ni);
	buf_put32(b, nt);
	buf_put32(b, 0);
	buf_put64(b, type < ACCESS_BANDWIDTH ? 1000ull * unit : unit); /* picoseconds, MB/s */
	for (unsigned int i = 0; i < ni; i++)
		buf_put32(b, ends->initiator[i]);
	for (unsigned int i = 0; i < nt; i++)
		buf_put32(b, ends->target[i]);
	for (unsigned int i = 0; i < ni * nt; i++) {
		v = path_value(&t->path[ends->initiator[i / nt] * t->nr_nodes + ends->target[i % nt]], type);
		buf_put16(b, entry_value(v, unit));
	}
}

/* One matrix when reads are as writes everywhere, else one for each. read: the first data type of the three. */
static void hmat_put_matrices(const struct topology *t, const struct ends *ends, unsigned int access,
			      struct buf *b)
{
	bool alike = true;

	for (unsigned int i = 0; i < t->nr_nodes * t->nr_nodes; i++)
		alike &= path_value(&t->path[i], access + 1) == path_value(&t->path[i], access + 2);
	if (alike) {
		hmat_put_matrix(t, ends, access, b);
		return;
	}
	hmat_put_matrix(t, ends, access + 1, b);
	hmat_put_matrix(t, ends, access + 2, b);
}

/* 5.2.28. */
void acpi_hmat_put(const struct platform *p, struct buf *b)
{
	struct ends ends;

	ends_find(p, &ends);
	buf_put32(b, 0);
	for (unsigned int i = 0; i < ends.nr_targets; i++)
		hmat_put_proximity(b, nearest(p->topo, &ends, ends.target[i]), ends.target[i]);
	hmat_put_matrices(p->topo, &ends, ACCESS_LATENCY, b);
	hmat_put_matrices(p->topo, &ends, ACCESS_BANDWIDTH, b);
}

size_t acpi_numa_size_max(const struct platform *p)
{
	size_t nr = p->topo->nr_nodes, bytes;

	if (!nr)
		return 0;
	bytes = HEADER_BYTES + 12 + 24 * (size_t)p->topo->nr_cpus + 40 * PLATFORM_MAX_NODE_RANGES;
	bytes += HEADER_BYTES + 8 + nr * nr;
	if (p->topo->path)
		bytes += HEADER_BYTES + 4 + 40 * nr + 4 * (32 + 8 * nr + 2 * nr * nr);
	return bytes;
}
