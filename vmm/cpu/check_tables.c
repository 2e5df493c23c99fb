/*
 * ACPI and SMBIOS tables as bytes, against the vCPUs that the machine will have. check_cpuid() holds CPUID's ids
 * against the same vCPUs, so that here MADT, SRAT and SMBIOS are compared with CPUID too.
 *
 * Sources: ACPI 6.5, 5.2; DMTF DSP0134 3.3.0, 6.1 and 7.5; Linux v6.1 and v6.12 for what guests make of it.
 */
#include "vmm/cpu/check_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ACPI_HEADER = 36, MADT_ENTRIES = 44, SRAT_ENTRIES = 48, SLIT_MATRIX = 44, MAX_MEMORY = 256 };

struct blob {
	const uint8_t *at; /* borrowed; NULL: there is none */
	size_t len;
};

struct range {
	uint64_t start, len;
};

struct tables {
	struct check *c;          /* borrowed */
	const struct topology *t; /* borrowed */
	struct findings *f;       /* borrowed */
	uint16_t *cpu_of;         /* owned; by APIC id: vCPU + 1, or 0 */
	uint32_t nr_ids;          /* largest APIC id, plus 1 */
	uint16_t *seen;           /* owned; by vCPU: how often the table at hand has it */
	struct blob madt, srat, slit;
	struct range memory[MAX_MEMORY];
	unsigned int nr_memory;
};

/* The vCPU with an id; says so and returns NULL when there is none. */
static const struct topo_cpu *find_cpu(struct tables *x, const char *table, uint32_t id)
{
	unsigned int i = id < x->nr_ids ? x->cpu_of[id] : 0;

	if (!i) {
		check_say(x->c, 0, (uint32_t)(uintptr_t)table, "the %s has APIC id 0x%x, which no vCPU has",
			  table, id);
		return NULL;
	}
	x->seen[i - 1]++;
	return &x->t->cpu[i - 1];
}

static unsigned int number_of(const struct tables *x, const struct topo_cpu *cpu)
{
	return (unsigned int)(cpu - x->t->cpu);
}

static void check_all_once(struct tables *x, const char *table)
{
	for (unsigned int i = 0; i < x->t->nr_cpus; i++)
		if (x->seen[i] != 1)
			check_say(x->c, i, (uint32_t)(uintptr_t)table,
				  "APIC id 0x%x is in the %s %u times: guests count each entry as "
				  "one processor",
				  x->t->cpu[i].apic_id, table, x->seen[i]);
	memset(x->seen, 0, x->t->nr_cpus * sizeof(*x->seen));
}

/* ---- MADT ---- */

static void check_madt_cpu(struct tables *x, uint32_t id, uint32_t flags, bool wide, unsigned int place)
{
	const struct topo_cpu *cpu = find_cpu(x, "MADT", id);
	uint32_t want;

	if (!cpu)
		return;
	want = cpu->present ? 1 : 2; /* 5.2.12.2: enabled, online capable; never both */
	if ((flags & 3) != want)
		check_say(x->c, number_of(x, cpu), 0,
			  "the MADT flags APIC id 0x%x as %u (1 enabled, 2 can come later), but this vCPU is "
			  "%s",
			  id, flags & 3, cpu->present ? "there from the start" : "pluggable");
	if (wide != (id >= 255))
		check_say(
			x->c, number_of(x, cpu), 0,
			"the MADT tells APIC id 0x%x in an entry of type %u: type 9 is for ids from 255 and "
			"for them alone, or Linux skips it",
			id, wide ? 9 : 0);
	if (place == 0 && cpu != &x->t->cpu[0])
		check_say(x->c, number_of(x, cpu), 0,
			  "it is first in the MADT, but vCPU 0 boots: guests take the first for the boot "
			  "processor");
}

static void check_madt(struct tables *x)
{
	const uint8_t *at = x->madt.at;
	unsigned int cpus = 0;
	size_t off, len;

	for (off = MADT_ENTRIES; off + 2 <= x->madt.len; off += len) {
		len = at[off + 1];
		if (len < 2 || len > x->madt.len - off)
			break;
		if (at[off] == 0 && len == 8)
			check_madt_cpu(x, at[off + 3], get_le32(at + off + 4), false, cpus++);
		else if (at[off] == 9 && len == 16)
			check_madt_cpu(x, get_le32(at + off + 4), get_le32(at + off + 8), true, cpus++);
		else if (at[off] == 0 || at[off] == 9)
			check_note(x->f,
				   "the MADT has a processor entry of type %u with %zu bytes, which guests "
				   "reject",
				   at[off], len);
	}
	if (off != x->madt.len)
		check_note(x->f,
			   "the MADT's entries end at byte %zu, the table at %zu: guests read the rest as "
			   "entries",
			   off, x->madt.len);
	check_all_once(x, "MADT");
}

/* ---- SRAT and SLIT ---- */

static void check_srat_cpu(struct tables *x, uint32_t id, uint32_t node, uint32_t flags)
{
	const struct topo_cpu *cpu = find_cpu(x, "SRAT", id);

	if (!cpu)
		return;
	if (node != cpu->node)
		check_say(x->c, number_of(x, cpu), 0,
			  "the SRAT puts APIC id 0x%x into node %u, asked for was node %u", id, node,
			  cpu->node);
	if (!(flags & 1))
		check_say(x->c, number_of(x, cpu), 0,
			  "the SRAT's entry for APIC id 0x%x is not enabled, so guests give it no node", id);
}

static void check_srat_memory(struct tables *x, uint32_t node, uint64_t start, uint64_t len, uint64_t *bytes)
{
	if (node >= x->t->nr_nodes) {
		check_note(x->f, "the SRAT has memory of node %u, but there are %u nodes", node,
			   x->t->nr_nodes);
		return;
	}
	if (len > UINT64_MAX - start) {
		check_note(x->f, "the SRAT has memory of node %u at 0x%" PRIx64 " that ends above 16 EiB",
			   node, start);
		return;
	}
	bytes[node] += len;
	if (x->nr_memory < MAX_MEMORY)
		x->memory[x->nr_memory++] = (struct range){ start, len };
}

/* One entry (5.2.16.1 to 5.2.16.3); returns false when its length is not that of its type. */
static bool check_srat_entry(struct tables *x, const uint8_t *at, size_t len, uint64_t *bytes)
{
	static const uint8_t lengths[] = { 16, 40, 24 };

	if (at[0] >= ARRAY_SIZE(lengths))
		return true; /* not a processor, not memory */
	if (len != lengths[at[0]])
		return false;
	if (at[0] == 0)
		check_srat_cpu(x, at[3], at[2] | (get_le32(at + 8) & ~0xffu), get_le32(at + 4));
	else if (at[0] == 2)
		check_srat_cpu(x, get_le32(at + 8), get_le32(at + 4), get_le32(at + 12));
	else if (get_le32(at + 28) & 1)
		check_srat_memory(x, get_le32(at + 2), get_le64(at + 8), get_le64(at + 16), bytes);
	return true;
}

static int by_start(const void *a, const void *b)
{
	uint64_t x = ((const struct range *)a)->start, y = ((const struct range *)b)->start;

	return x < y ? -1 : x > y;
}

static void check_memory(struct tables *x, const uint64_t *bytes)
{
	qsort(x->memory, x->nr_memory, sizeof(x->memory[0]), by_start);
	for (unsigned int i = 1; i < x->nr_memory; i++)
		if (x->memory[i].start - x->memory[i - 1].start < x->memory[i - 1].len)
			check_note(x->f,
				   "the SRAT has the memory at 0x%" PRIx64
				   " twice, which makes Linux drop the table",
				   x->memory[i].start);
	for (unsigned int n = 0; n < x->t->nr_nodes; n++)
		if (bytes[n] != x->t->node[n].memory_bytes)
			check_note(x->f,
				   "the SRAT gives node %u %" PRIu64
				   " bytes of memory, asked for were %" PRIu64,
				   n, bytes[n], x->t->node[n].memory_bytes);
}

static void check_srat(struct tables *x)
{
	uint64_t bytes[TOPO_MAX_NODES] = { 0 };
	const uint8_t *at = x->srat.at;
	size_t off, len;

	for (off = SRAT_ENTRIES; off + 2 <= x->srat.len; off += len) {
		len = at[off + 1];
		if (len < 2 || len > x->srat.len - off)
			break;
		if (!check_srat_entry(x, at + off, len, bytes))
			check_note(x->f,
				   "the SRAT has an entry of type %u with %zu bytes, which makes Linux drop "
				   "the table",
				   at[off], len);
	}
	if (off != x->srat.len)
		check_note(x->f, "the SRAT's entries end at byte %zu, the table at %zu: Linux drops it", off,
			   x->srat.len);
	check_all_once(x, "SRAT");
	check_memory(x, bytes);
}

/* 5.2.17, and Linux's slit_valid(): one wrong number and none is used. */
static void check_slit(struct tables *x)
{
	size_t n = x->t->nr_nodes;

	if (x->slit.len < SLIT_MATRIX || get_le64(x->slit.at + ACPI_HEADER) != n ||
	    x->slit.len != SLIT_MATRIX + n * n) {
		check_note(x->f, "the SLIT is for %" PRIu64 " nodes in %zu bytes, but there are %zu nodes",
			   x->slit.len < SLIT_MATRIX ? 0 : get_le64(x->slit.at + ACPI_HEADER), x->slit.len,
			   n);
		return;
	}
	for (size_t i = 0; i < n * n; i++) {
		unsigned int told = x->slit.at[SLIT_MATRIX + i];

		if (i / n == i % n ? told != 10 : told <= 10)
			check_note(x->f,
				   "the SLIT tells distance %u from node %zu to node %zu: it is 10 inside a "
				   "node and more outside, or "
				   "Linux ignores the table",
				   told, i / n, i % n);
		else if (told != x->t->distance[i])
			check_note(x->f,
				   "the SLIT tells distance %u from node %zu to node %zu, asked for was %u",
				   told, i / n, i % n, x->t->distance[i]);
	}
}

/* ---- finding the tables ---- */

static void note_table(struct tables *x, const uint8_t *at, size_t len)
{
	uint8_t sum = 0;

	if (!memcmp(at, "FACS", 4))
		return; /* the one without a checksum (5.2.10) */
	for (size_t i = 0; i < len; i++)
		sum += at[i];
	if (sum)
		check_note(x->f, "the ACPI table %.4s has a wrong checksum: guests ignore it",
			   (const char *)at);
	if (!memcmp(at, "APIC", 4))
		x->madt = (struct blob){ at, len };
	else if (!memcmp(at, "SRAT", 4))
		x->srat = (struct blob){ at, len };
	else if (!memcmp(at, "SLIT", 4))
		x->slit = (struct blob){ at, len };
}

/* Tables follow each other, with zeros between them; where the blob lies does not matter for that. */
static void find_tables(struct tables *x, const uint8_t *acpi, size_t acpi_len)
{
	size_t off = 0, len;

	while (acpi_len - off >= 8) {
		if (!get_le32(acpi + off)) {
			off += 4;
			continue;
		}
		len = get_le32(acpi + off + 4);
		if (len < ACPI_HEADER || len > acpi_len - off) {
			check_note(x->f, "the ACPI table at byte %zu has a length of %zu bytes, of %zu", off,
				   len, acpi_len - off);
			return;
		}
		note_table(x, acpi + off, len);
		off = MIN(align_up(off + len, 4), acpi_len);
	}
}

static void check_acpi(struct tables *x, const uint8_t *acpi, size_t len)
{
	find_tables(x, acpi, len);
	if (x->madt.at)
		check_madt(x);
	else
		check_note(x->f, "there is no MADT: guests find one processor");
	if (!!x->srat.at != (x->t->nr_nodes > 0))
		check_note(x->f, "there is %s SRAT, but %u nodes", x->srat.at ? "a" : "no", x->t->nr_nodes);
	else if (x->srat.at)
		check_srat(x);
	if (x->slit.at)
		check_slit(x);
}

/* ---- SMBIOS type 4 ---- */

/* A socket's counts as one number, so that sockets can be sorted. */
static uint64_t socket_key(unsigned int threads, unsigned int cores, unsigned int enabled)
{
	return (uint64_t)threads << 32 | (uint64_t)cores << 16 | enabled;
}

static int by_key(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* What the packages hold, sorted; core: two bits for each core, counted and started. */
static void sockets_asked(const struct topology *t, uint64_t *key, uint8_t *core)
{
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		const struct topo_cpu *cpu = &t->cpu[i];
		uint8_t *seen = &core[cpu->unit[TOPO_CORE]], now = cpu->present ? 3 : 1;

		key[cpu->unit[TOPO_PACKAGE]] +=
			socket_key(1, (now & 1) > (*seen & 1), (now & 2) > (*seen & 2));
		*seen |= now;
	}
	qsort(key, t->nr_units[TOPO_PACKAGE], sizeof(*key), by_key);
}

/* 7.5.6 to 7.5.8: a byte, or 0xff and then 16 bits. */
static unsigned int count_field(const uint8_t *at, size_t len, unsigned int byte, unsigned int word)
{
	return at[byte] == 0xff && len >= word + 2 ? get_le16(at + word) : at[byte];
}

static uint64_t socket_decode(struct tables *x, const uint8_t *at, size_t len)
{
	unsigned int cores, enabled, threads;

	if (len < 0x28) {
		check_note(x->f, "an SMBIOS processor (type 4) has %zu bytes, too few for its counts", len);
		return 0;
	}
	cores = count_field(at, len, 0x23, 0x2a);
	enabled = count_field(at, len, 0x24, 0x2c);
	threads = count_field(at, len, 0x25, 0x2e);
	if (!(at[0x18] & 0x40) != !enabled)
		check_note(x->f,
			   "an SMBIOS processor (type 4) has %u enabled cores, but its status says that the "
			   "socket is %s",
			   enabled, at[0x18] & 0x40 ? "populated" : "empty");
	return socket_key(threads, cores, enabled);
}

static void compare_sockets(struct tables *x, const uint64_t *told, unsigned int nr, const uint64_t *asked)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (told[i] == asked[i])
			continue;
		check_note(x->f,
			   "SMBIOS type 4 tells of a socket with %u core%s, %u enabled, %u thread%s where "
			   "CPUID has one with %u, %u, %u",
			   (unsigned int)(told[i] >> 16 & 0xffff), check_plural(told[i] >> 16 & 0xffff),
			   (unsigned int)(told[i] & 0xffff), (unsigned int)(told[i] >> 32),
			   check_plural((unsigned int)(told[i] >> 32)),
			   (unsigned int)(asked[i] >> 16 & 0xffff), (unsigned int)(asked[i] & 0xffff),
			   (unsigned int)(asked[i] >> 32));
		return; /* the others are not in the same order then */
	}
}

/* Structures: a header of type, length and handle, fields, strings up to an empty one (6.1.2, 6.1.3). */
static unsigned int find_sockets(struct tables *x, const uint8_t *at, size_t len, uint64_t *key,
				 unsigned int max)
{
	unsigned int nr = 0;
	size_t off = 0;

	while (len - off >= 4) {
		size_t fields = at[off + 1], end = off + fields;

		if (fields < 4 || fields > len - off) {
			check_note(x->f, "the SMBIOS structure at byte %zu has a length of %zu bytes", off,
				   fields);
			break;
		}
		if (at[off] == 4 && nr++ < max)
			key[nr - 1] = socket_decode(x, at + off, fields);
		while (end + 1 < len && (at[end] || at[end + 1]))
			end++;
		if (at[off] == 127)
			break;
		off = MIN(end + 2, len);
	}
	return nr;
}

static void check_smbios(struct tables *x, const uint8_t *smbios, size_t len)
{
	unsigned int nr = x->t->nr_units[TOPO_PACKAGE], found;
	uint64_t *key = calloc(2 * (size_t)nr, sizeof(*key));
	uint8_t *core = calloc(x->t->nr_units[TOPO_CORE], 1);

	if (key && core) {
		sockets_asked(x->t, key, core);
		found = find_sockets(x, smbios, len, key + nr, nr);
		qsort(key + nr, MIN(found, nr), sizeof(*key), by_key);
		if (found != nr)
			check_note(x->f, "SMBIOS type 4 tells of %u socket%s, CPUID of %u package%s", found,
				   check_plural(found), nr, check_plural(nr));
		else
			compare_sockets(x, key + nr, nr, key);
	}
	x->c->failed |= !key || !core;
	free(key);
	free(core);
}

/* ---- everything ---- */

static void index_ids(struct tables *x)
{
	for (unsigned int i = 0; i < x->t->nr_cpus; i++)
		x->nr_ids = MAX(x->nr_ids, MIN(x->t->cpu[i].apic_id, (uint32_t)TOPO_MAX_APIC_ID) + 1);
	x->cpu_of = calloc(x->nr_ids, sizeof(*x->cpu_of));
	x->seen = calloc(x->t->nr_cpus, sizeof(*x->seen));
	for (unsigned int i = 0; x->cpu_of && i < x->t->nr_cpus; i++)
		if (x->t->cpu[i].apic_id < x->nr_ids)
			x->cpu_of[x->t->cpu[i].apic_id] = (uint16_t)(i + 1);
}

void check_tables(struct processors *p, const uint8_t *acpi, size_t acpi_len, const uint8_t *smbios,
		  size_t smbios_len, struct findings *f)
{
	struct check *c = p->topo.nr_cpus ? calloc(1, sizeof(*c)) : NULL;
	struct tables x = { .c = c, .t = &p->topo, .f = f };

	if (!p->topo.nr_cpus)
		return;
	if (c) {
		c->findings = f;
		index_ids(&x);
	}
	if (!c || !x.cpu_of || !x.seen) {
		check_note(f, "ACPI and SMBIOS tables are not checked: no memory");
	} else {
		if (acpi_len)
			check_acpi(&x, acpi, acpi_len);
		if (smbios_len)
			check_smbios(&x, smbios, smbios_len);
		check_say_all(c);
		if (c->failed)
			check_note(f, "ACPI and SMBIOS tables are not wholly checked: no memory");
	}
	free(x.cpu_of);
	free(x.seen);
	if (c)
		free(c->sentence);
	free(c);
}
