/*
 * --explain: where each level of the shape is told, by leaf, sub-leaf, register and bits, with this guest's values.
 * Sources: Intel SDM volume 2A, CPUID (June 2024, 253666-084); AMD APM volume 3, appendix E (24594, revision 3.36).
 */
#include "vmm/view/view.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "vmm/base/opt.h"
#include "vmm/view/explain_internal.h"

enum { NO_SUB = -1 };

static const char reg_name[][4] = { "EAX", "EBX", "ECX", "EDX" };

const char *leaf_name(uint32_t leaf, char *buf, size_t len)
{
	/* As the manuals have it: hexadecimal with an H, two digits where a letter comes first. */
	if (leaf < 10)
		snprintf(buf, len, "%u", leaf);
	else
		snprintf(buf, len, leaf < 0x10 ? "0%XH" : "%XH", leaf);
	return buf;
}

struct leaves *leaves_of_all(struct processors *p)
{
	struct leaves *l = calloc(p->topo.nr_present, sizeof(*l));

	for (unsigned int i = 0; l && i < p->topo.nr_present; i++) {
		const struct cpuid_table *table = processors_cpuid(p, i);

		if (table)
			leaves_read(table, p->topo.cpu[i].apic_id, &l[i]);
	}
	return l;
}

/* ---- the shape as sets ---- */

struct shape_keys {
	const struct topology *t;
	unsigned int level; /* enum topo_level */
	unsigned int cache_level;
	bool instruction;
};

/* The kind of cache that this vCPU has at this level, or TOPO_MAX_CACHES. */
static unsigned int cache_kind(const struct shape_keys *k, const struct topo_cpu *cpu)
{
	for (unsigned int i = 0; i < k->t->nr_caches; i++) {
		const struct topo_cache *c = &k->t->cache[i];

		if (c->level == k->cache_level && (c->type == CACHE_INSTRUCTION) == k->instruction &&
		    cpu->cache[i] != TOPO_NO_CACHE)
			return i;
	}
	return TOPO_MAX_CACHES;
}

static uint16_t unit_of(const struct shape_keys *k, const struct topo_cpu *cpu, unsigned int *kind)
{
	*kind = 0;
	if (!k->cache_level)
		return cpu->unit[k->level];
	*kind = cache_kind(k, cpu);
	return *kind < TOPO_MAX_CACHES ? cpu->cache[*kind] : TOPO_NO_CACHE;
}

/* The first vCPU of each unit. Units and instances are numbered below TOPO_MAX_CPUS. */
static int shape_set(struct reading *r, enum read_set set, const struct shape_keys *k)
{
	size_t room = (size_t)TOPO_MAX_CPUS * (k->cache_level ? TOPO_MAX_CACHES : 1);
	uint16_t *first = malloc(room * sizeof(*first));

	r->set[set] = calloc(r->nr, sizeof(*r->set[set]));
	if (!first || !r->set[set]) {
		free(first);
		return -ENOMEM;
	}
	memset(first, 0xff, room * sizeof(*first));
	for (unsigned int i = 0; i < r->nr; i++) {
		unsigned int kind;
		uint16_t unit = unit_of(k, &k->t->cpu[i], &kind);
		uint16_t *f = &first[(size_t)kind * TOPO_MAX_CPUS + unit];

		r->set[set][i] = READ_NO_SET;
		if (unit >= TOPO_MAX_CPUS)
			continue;
		if (*f == READ_NO_SET) {
			*f = (uint16_t)i;
			r->sets[set]++;
		}
		r->set[set][i] = *f;
	}
	r->knows[set] = r->sets[set] > 0;
	free(first);
	return 0;
}

int reading_of_shape(struct reading *r, const struct topology *t)
{
	static const enum topo_level level[NR_READ_IDS] = { TOPO_PACKAGE, TOPO_DIE, TOPO_MODULE, TOPO_CORE };
	int rc = 0;

	*r = (struct reading){ .nr = t->nr_present };
	for (enum read_set set = 0; set < NR_READ_SETS && rc == 0; set++) {
		struct shape_keys k = { .t = t };

		if (set <= READ_CORE) {
			k.level = level[set];
		} else {
			k.cache_level = set <= READ_L1I ? 1 : (unsigned int)(set - READ_L2) + 2;
			k.instruction = set == READ_L1I;
		}
		rc = shape_set(r, set, &k);
	}
	return rc;
}

/* ---- lines ---- */

struct page {
	FILE *out;
	const struct leaves *l; /* the boot processor's */
};

static uint32_t reg_of(const struct regs *r, unsigned int reg)
{
	const uint32_t value[] = { r->eax, r->ebx, r->ecx, r->edx };

	return value[reg];
}

/* "  1FH.1      EAX[4:0] = 4       what it means". sub: NO_SUB for leaves without. */
PRINTF(8, 9)
static void bits(const struct page *g, uint32_t leaf, int sub, const struct regs *r, unsigned int reg,
		 unsigned int high, unsigned int low, const char *fmt, ...)
{
	uint32_t value = (reg_of(r, reg) >> low) & (uint32_t)(((uint64_t)1 << (high - low + 1)) - 1);
	char where[40], name[16];
	va_list ap;

	leaf_name(leaf, name, sizeof(name));
	if (sub == NO_SUB)
		snprintf(where, sizeof(where), "%s %s[%u:%u]", name, reg_name[reg], high, low);
	else
		snprintf(where, sizeof(where), "%s.%d %s[%u:%u]", name, sub, reg_name[reg], high, low);
	if (high == low)
		snprintf(strchr(where, '['), 8, "[%u]", low);
	fprintf(g->out, "  %-24s = %-6u ", where, value);
	va_start(ap, fmt);
	vfprintf(g->out, fmt, ap);
	va_end(ap);
	fputc('\n', g->out);
}

/* The two numbers of one sub-leaf of 0B, 1F or 80000026. */
static void level_bits(const struct page *g, uint32_t leaf, const struct leaves_levels *levels,
		       unsigned int type, const char *unit, const char *of)
{
	for (unsigned int i = 0; i < levels->nr; i++) {
		const struct regs *r = &levels->sub[i];

		if (level_type(r) != type)
			continue;
		if (level_shift(r))
			bits(g, leaf, (int)i, r, 0, 4, 0, "the APIC id without its lowest %u bit%s numbers the %s",
			     level_shift(r), level_shift(r) == 1 ? "" : "s", unit);
		else
			bits(g, leaf, (int)i, r, 0, 4, 0, "the whole APIC id numbers the %s", unit);
		bits(g, leaf, (int)i, r, 1, 15, 0, "logical processors in %s", of);
	}
}

static bool amd(const struct page *g)
{
	return g->l->vendor == VENDOR_AMD || g->l->vendor == VENDOR_HYGON;
}

/* ---- levels ---- */

static void explain_thread(const struct page *g)
{
	const struct leaves *l = g->l;

	fprintf(g->out, "\nThread\n");
	bits(g, 1, NO_SUB, &l->l1, 3, 28, 28, "HTT: a package has %s",
	     l->l1.edx >> 28 & 1 ? "several ids, and leaf 1 EBX[23:16] is valid" : "one id");
	level_bits(g, 0xb, &l->lb, 1, "core", "a core");
	level_bits(g, 0x1f, &l->l1f, 1, "core", "a core");
	if (amd(g)) {
		bits(g, 0x80000001, NO_SUB, &l->e1, 2, 1, 1,
		     "CmpLegacy: HTT means cores here, not Intel's threads");
		bits(g, 0x80000001, NO_SUB, &l->e1, 2, 22, 22, "TOPOEXT: 8000001DH and 8000001EH are there");
		bits(g, 0x8000001e, NO_SUB, &l->e1e, 1, 15, 8, "threads in a core, minus 1");
		level_bits(g, 0x80000026, &l->e26, 1, "core", "a core");
	}
	bits(g, 1, NO_SUB, &l->l1, 2, 21, 21, "x2APIC: hwloc reads 0BH only with it");
}

static void explain_core(const struct page *g)
{
	const struct leaves *l = g->l;

	fprintf(g->out, "\nCore\n");
	level_bits(g, 0xb, &l->lb, 2, "package", "a package (0BH knows no dies)");
	level_bits(g, 0x1f, &l->l1f, 2, "next larger unit that is listed", "one of those");
	if (!amd(g) && l->l4.nr)
		bits(g, 4, 0, &l->l4.sub[0], 0, 31, 26, "ids of cores in a package, minus 1 (ends at 63)");
	if (amd(g))
		bits(g, 0x8000001e, NO_SUB, &l->e1e, 1, 7, 0,
		     "vCPU 0's core, counted in its package, holes included");
	if (l->l7.edx >> 15 & 1)
		bits(g, 0x1a, NO_SUB, &l->l1a, 0, 31, 24,
		     "vCPU 0's kind of core: 64 performance, 32 efficiency");
}

static void explain_module(const struct page *g, const struct topology *t)
{
	if (t->nr_units[TOPO_MODULE] == t->nr_units[TOPO_DIE])
		return;
	fprintf(g->out, "\nModule\n");
	level_bits(g, 0x1f, &g->l->l1f, 3, "next larger unit that is listed", "one of those");
	fprintf(g->out, "  Linux shows modules only as 'cluster': the processors that share an L2\n");
	if (amd(g))
		fprintf(g->out, "  AMD's leaves know no modules\n");
}

static void explain_die(const struct page *g, const struct topology *t)
{
	const struct leaves *l = g->l;

	if (t->nr_units[TOPO_DIE] == t->nr_units[TOPO_PACKAGE])
		return;
	fprintf(g->out, "\nDie\n");
	level_bits(g, 0x1f, &l->l1f, 5, "package", "a package");
	if (!amd(g))
		return;
	level_bits(g, 0x80000026, &l->e26, 2, "complex, the cores with one L3", "a complex");
	level_bits(g, 0x80000026, &l->e26, 3, "die", "a die");
	bits(g, 0x8000001e, NO_SUB, &l->e1e, 2, 10, 8,
	     "nodes in a package, minus 1 (ends at 7; these are AMD's, not NUMA nodes)");
	bits(g, 0x8000001e, NO_SUB, &l->e1e, 2, 7, 0, "vCPU 0's node");
}

static void explain_package(const struct page *g)
{
	const struct leaves *l = g->l;

	fprintf(g->out, "\nPackage\n");
	bits(g, 1, NO_SUB, &l->l1, 1, 23, 16,
	     amd(g) ? "logical processors in a package (ends at 255)" : "ids in a package (ends at 255)");
	bits(g, 1, NO_SUB, &l->l1, 1, 31, 24, "vCPU 0's APIC id, its low 8 bits");
	if (amd(g)) {
		bits(g, 0x80000008, NO_SUB, &l->e8, 2, 7, 0,
		     "logical processors in a package, minus 1 (ends at 255)");
		bits(g, 0x80000008, NO_SUB, &l->e8, 2, 15, 12, "bits of the APIC id below the package");
		level_bits(g, 0x80000026, &l->e26, 4, "package", "a package");
	}
	if (!amd(g) || !l->e26.nr)
		fprintf(g->out, "  The last sub-leaf of %s above reaches up to the package\n",
			l->l1f.nr ? "1FH" : "0BH");
}

/* Hybrid machines have other caches in other cores: those of the first vCPU of each list are shown. */
static void explain_cache_list(const struct page *g, const struct leaves *l, const struct topo_cpu *cpu)
{
	uint32_t leaf = amd(g) ? 0x8000001d : 4;
	const struct leaves_caches *list = amd(g) ? &l->e1d : &l->l4;
	char size[24];

	for (unsigned int i = 0; i < list->nr; i++) {
		const struct regs *c = &list->sub[i];
		unsigned int type = cache_type_of(c);

		bits(g, leaf, (int)i, c, 0, 25, 14, "L%u%s, %s: shared by %u id%s, minus 1%s",
		     cache_level_of(c),
		     type == CACHE_DATA          ? "d"
		     : type == CACHE_INSTRUCTION ? "i"
						 : "",
		     opt_size_text(cache_bytes(c), size, sizeof(size)), cache_sharing(c),
		     cache_sharing(c) == 1 ? "" : "s",
		     cpu->core_type == TOPO_PERFORMANCE  ? " (performance cores)"
		     : cpu->core_type == TOPO_EFFICIENCY ? " (efficiency cores)"
							 : "");
	}
}

static void explain_caches(const struct page *g, const struct leaves *l, const struct topology *t)
{
	bool seen[3] = { false };

	fprintf(g->out, "\nCaches\n");
	for (unsigned int i = 0; i < t->nr_present; i++) {
		unsigned int type = MIN(t->cpu[i].core_type, (uint8_t)TOPO_EFFICIENCY);

		if (!seen[type])
			explain_cache_list(g, &l[i], &t->cpu[i]);
		seen[type] = true;
	}
	fprintf(g->out, "  A cache is shared by vCPUs whose ids are equal without their lowest bits; how "
			"many bits: the number\n"
			"  of ids, rounded up to a power of two\n");
	if (amd(g))
		bits(g, 0x80000006, NO_SUB, &l->e6, 3, 31, 18,
		     "L3 of the package in 512 KiB; Linux numbers L3s only if EDX is not 0");
}

static void explain_nodes(const struct page *g, const struct topology *t)
{
	fprintf(g->out, "\nNUMA node\n");
	if (!t->nr_nodes) {
		fprintf(g->out, "  none: there is no SRAT, and the guest has one node\n");
		return;
	}
	fprintf(g->out,
		"  CPUID tells none; %u nodes are told by ACPI: SRAT type 0 (ids below 255), 2 (x2APIC) and "
		"1 (memory);\n"
		"  SLIT has the distances%s\n",
		t->nr_nodes, t->path ? ", HMAT latency and bandwidth" : "");
	fprintf(g->out, "  Linux, hwloc on Linux and Windows go by these tables alone\n");
}

/* The fields of an APIC id, from the package down: "package 1, die 0, core 2, thread 1". */
static void explain_id(const struct page *g, const struct topology *t)
{
	static const char *const name[] = { "thread", "core", "module", "die", "package" };
	const struct topo_cpu *cpu = &t->cpu[t->nr_present - 1];

	fprintf(g->out, "x2APIC id of vCPU %u: 0x%x =", t->nr_present - 1, cpu->apic_id);
	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--) {
		unsigned int low = t->shift[level];
		unsigned int high = level == TOPO_PACKAGE ? 31 : t->shift[level + 1];
		uint32_t value = cpu->apic_id >> low;

		if (level != TOPO_PACKAGE && high == low)
			continue; /* a level without bits */
		if (level != TOPO_PACKAGE)
			value &= (1u << (high - low)) - 1;
		fprintf(g->out, "%s %s %u", level == TOPO_PACKAGE ? "" : ",", name[level], value);
		if (level == TOPO_PACKAGE)
			fprintf(g->out, " (from bit %u)", low);
		else if (high - low == 1)
			fprintf(g->out, " (bit %u)", low);
		else
			fprintf(g->out, " (bits %u:%u)", high - 1, low);
	}
	fputc('\n', g->out);
}

int view_explain(struct processors *p, FILE *out, struct err *e)
{
	const struct topology *t = &p->topo;
	struct leaves *l = leaves_of_all(p);
	struct page g = { .out = out, .l = l };
	char vendor[13], summary[VIEW_SUMMARY];
	int rc;

	if (!l)
		return err_set(e, -ENOMEM, "out of memory");
	cpuid_vendor(p->table, vendor);
	fprintf(out, "%s\n%s, family %u model %u\n", view_summary(t, summary), vendor, l->family, l->model);
	explain_id(&g, t);
	fprintf(out, "Values are vCPU 0's where vCPUs differ; leaf.sub-leaf register[bits] = value\n");
	explain_thread(&g);
	explain_core(&g);
	explain_module(&g, t);
	explain_die(&g, t);
	explain_package(&g);
	explain_caches(&g, l, t);
	explain_nodes(&g, t);
	rc = explain_readers(t, l, out);
	free(l);
	return rc < 0 ? err_set(e, rc, "out of memory") : 0;
}
