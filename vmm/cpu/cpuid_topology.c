/*
 * The leaves in which processors tell their topology. Two notions must not be mixed: how many *ids* fit
 * into a field (1 << shift), and how many *processors* there are (counted). The comment at each field says
 * which of the two it wants.
 *
 * What all vCPUs have in common is built once; what a vCPU says of itself and of its own units, which need not be
 * like others', is written by cpuid_set_place().
 */
#include "vmm/cpu/cpuid_internal.h"

#include <errno.h>

#include "vmm/cpu/topology.h"

#define AMD_TOPOEXT    (1u << 22) /* 80000001 ECX */
#define AMD_CMP_LEGACY (1u << 1)  /* 80000001 ECX */
#define HTT            (1u << 28) /* 1 EDX */
#define HYBRID         (1u << 15) /* 7.0 EDX */

/* The most processors that any package has. */
static unsigned int package_most(const struct topology *t)
{
	unsigned int most = 1;

	for (unsigned int i = 0; i < t->nr_units[TOPO_PACKAGE]; i++)
		most = MAX(most, (unsigned int)t->unit_cpus[TOPO_PACKAGE][i]);
	return most;
}

/* HTT: Intel means ids in a package, AMD processors in it. The same for all vCPUs, also where packages differ. */
static void build_leaf1(struct cpuid_table *table, const struct topology *t, enum cpuid_style style)
{
	struct kvm_cpuid_entry2 *c = cpuid_find(table, 1, 0);

	if (!c)
		return;
	c->edx &= ~HTT;
	if (style == CPUID_AMD ? package_most(t) > 1 : t->shift[TOPO_PACKAGE] > 0)
		c->edx |= HTT;
}

/* Leaf 4 and 8000001D: room for the caches of any vCPU, and for the zero that ends the list. */
static int build_caches(struct cpuid_table *table, const struct topology *t, uint32_t leaf)
{
	unsigned int most = 0;

	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		unsigned int n = 0;

		for (unsigned int k = 0; k < t->nr_caches; k++)
			n += t->cpu[i].cache[k] != TOPO_NO_CACHE;
		most = MAX(most, n);
		if (t->regular && !t->hybrid)
			break; /* all are alike */
	}
	cpuid_drop(table, leaf);
	for (unsigned int i = 0; i <= most; i++)
		if (!cpuid_add(table, leaf, (int)i))
			return -ENOSPC;
	return 0;
}

/* A leaf of n levels and the closing one, empty: 0B, 1F or 80000026. */
static int build_levels(struct cpuid_table *table, uint32_t leaf, unsigned int n)
{
	cpuid_drop(table, leaf);
	for (unsigned int i = 0; i <= n; i++)
		if (!cpuid_add(table, leaf, (int)i))
			return -ENOSPC;
	return 0;
}

/* One sub-leaf of them. type 0 closes the list. */
static void fill_level(struct kvm_cpuid_entry2 *c, unsigned int type, unsigned int shift, unsigned int cpus, uint32_t id)
{
	c->eax = shift;
	c->ebx = cpus;
	c->ecx = type << 8 | c->index;
	c->edx = id; /* in every sub-leaf, the closing one too */
}

/* 0B knows threads and cores only: its core level reaches up to the package. */
static void fill_leaf_b(struct kvm_cpuid_entry2 *c, const struct topology *t, const struct topo_cpu *cpu)
{
	enum topo_level next = c->index == 0 ? TOPO_CORE : TOPO_PACKAGE;

	if (c->index < 2)
		fill_level(c, c->index + 1, t->shift[next], topo_unit_cpus(t, cpu, next), cpu->apic_id);
	else
		fill_level(c, 0, 0, 0, cpu->apic_id);
}

/* The domains that 1F lists: threads and cores always, the others where a unit has several. Returns their number. */
static unsigned int domains_1f(const struct topology *t, enum topo_level domain[4])
{
	unsigned int n = 0;

	domain[n++] = TOPO_THREAD;
	domain[n++] = TOPO_CORE;
	if (t->count[TOPO_MODULE] > 1)
		domain[n++] = TOPO_MODULE;
	if (t->count[TOPO_DIE] > 1)
		domain[n++] = TOPO_DIE;
	return n;
}

/*
 * 1F: one sub-leaf for each domain that exists, from the inside; each tells the shift to, and the
 * processors in, the next larger domain that is listed. The last reaches up to the package.
 */
static void fill_leaf_1f(struct kvm_cpuid_entry2 *c, const struct topology *t, const struct topo_cpu *cpu)
{
	static const uint8_t type[NR_TOPO_LEVELS] = { /* domain types of the SDM */
		[TOPO_THREAD] = 1, [TOPO_CORE] = 2, [TOPO_MODULE] = 3, [TOPO_DIE] = 5,
	};
	enum topo_level domain[4], next;
	unsigned int n = domains_1f(t, domain);

	if (c->index >= n) {
		fill_level(c, 0, 0, 0, cpu->apic_id);
		return;
	}
	next = c->index + 1 < n ? domain[c->index + 1] : TOPO_PACKAGE;
	fill_level(c, type[domain[c->index]], t->shift[next], topo_unit_cpus(t, cpu, next), cpu->apic_id);
}

/*
 * Intel: 1F needs leaf 0 to reach it, and a leaf 0 that reaches it needs 1F: readers which find it
 * empty do not fall back to 0B. Without dies and modules 0B says it all, so a host without 1F keeps it so.
 * Kinds of cores (1A) are later than 1F.
 */
static int build_intel(struct cpuid_table *table, const struct topology *t)
{
	struct kvm_cpuid_entry2 *basic = cpuid_find(table, 0, 0);
	struct kvm_cpuid_entry2 *c = cpuid_find(table, 0x80000008, 0);
	enum topo_level domain[4];
	unsigned int domains = domains_1f(t, domain);

	if (c)
		c->ecx = 0; /* AMD's core count; reserved here */
	if (!basic)
		return 0;
	basic->eax = MAX(basic->eax, domains > 2 || t->hybrid ? 0x1fu : 0xbu);
	domains = basic->eax >= 0x1f ? domains : 0;
	c = cpuid_find(table, 2, 0);
	if (c) { /* descriptor FF: the caches are in leaf 4 */
		c->eax = 0xff01;
		c->ebx = c->ecx = c->edx = 0;
	}
	c = cpuid_find(table, 0x80000005, 0);
	if (c)
		c->eax = c->ebx = c->ecx = c->edx = 0;
	cpuid_drop(table, 0x8000001d);
	cpuid_drop(table, 0x8000001e);
	cpuid_drop(table, 0x80000026);
	cpuid_drop(table, 0x1a);
	if (build_caches(table, t, 4) < 0 || build_levels(table, 0xb, 2) < 0)
		return -ENOSPC;
	cpuid_drop(table, 0x1f);
	if (domains && build_levels(table, 0x1f, domains) < 0)
		return -ENOSPC;
	c = cpuid_find(table, 7, 0);
	if (!c && t->hybrid && !(c = cpuid_add(table, 7, 0)))
		return -ENOSPC;
	if (c)
		c->edx = t->hybrid ? c->edx | HYBRID : c->edx & ~HYBRID;
	return !t->hybrid || cpuid_add(table, 0x1a, 0) ? 0 : -ENOSPC;
}

static int build_amd(struct cpuid_table *table, const struct topology *t)
{
	struct kvm_cpuid_entry2 *basic = cpuid_find(table, 0, 0);
	struct kvm_cpuid_entry2 *ext = cpuid_find(table, 0x80000000, 0);
	struct kvm_cpuid_entry2 *c;

	if (basic) /* never up to 1F, which Linux 6.9 would then prefer */
		basic->eax = MIN(MAX(basic->eax, 0xbu), 0x10u);
	if (ext)
		ext->eax = MAX(ext->eax, 0x80000026u);
	c = cpuid_find(table, 0x80000001, 0);
	if (c) {
		c->ecx |= AMD_TOPOEXT;
		/* HTT without CmpLegacy would mean Intel's kind of hyper-threading. */
		c->ecx &= ~AMD_CMP_LEGACY;
		if (package_most(t) > 1)
			c->ecx |= AMD_CMP_LEGACY;
	}
	for (uint32_t leaf = 0x80000005; leaf <= 0x80000008; leaf++)
		if (leaf != 0x80000007 && !cpuid_find(table, leaf, 0) && !cpuid_add(table, leaf, -1))
			return -ENOSPC;
	c = cpuid_find(table, 7, 0);
	if (c)
		c->edx &= ~HYBRID; /* 80000026 tells it here */
	cpuid_drop(table, 2);
	cpuid_drop(table, 4);
	cpuid_drop(table, 0x1a);
	cpuid_drop(table, 0x1f);
	cpuid_drop(table, 0x8000001e);
	if (build_caches(table, t, 0x8000001d) < 0 || !cpuid_add(table, 0x8000001e, -1) ||
	    build_levels(table, 0xb, 2) < 0 || build_levels(table, 0x80000026, 4) < 0)
		return -ENOSPC;
	return 0;
}

int cpuid_build(struct cpuid_table *table, const struct topology *t, struct err *e)
{
	enum cpuid_style style = cpuid_style(table);
	int rc;

	build_leaf1(table, t, style);
	rc = style == CPUID_AMD ? build_amd(table, t) : build_intel(table, t);
	return rc < 0 ? err_set(e, rc, "the CPUID table has more than %d entries", CPUID_MAX_ENTRIES) : 0;
}

static const struct topo_cache *own_cache(const struct topology *t, const struct topo_cpu *cpu, unsigned int level,
					  enum cache_type type, unsigned int *shift)
{
	for (unsigned int k = 0; k < t->nr_caches; k++)
		if (cpu->cache[k] != TOPO_NO_CACHE && t->cache[k].level == level &&
		    (t->cache[k].type == type || t->cache[k].type == CACHE_UNIFIED)) {
			*shift = cpu->cache_shift[k];
			return &t->cache[k];
		}
	return NULL;
}

/* Core, complex, die, socket: unlike Intel's leaf each level tells its own shift and size. */
static void fill_leaf_26(struct kvm_cpuid_entry2 *c, const struct topology *t, const struct topo_cpu *cpu)
{
	const enum topo_level level[] = { TOPO_CORE, t->complex, TOPO_DIE, TOPO_PACKAGE };

	if (c->index >= ARRAY_SIZE(level)) {
		fill_level(c, 0, 0, 0, cpu->apic_id);
		return;
	}
	fill_level(c, c->index + 1, t->shift[level[c->index]], topo_unit_cpus(t, cpu, level[c->index]), cpu->apic_id);
	if (c->index == 0 && t->hybrid) { /* heterogeneous cores; core type 0 performance, 1 efficiency */
		c->eax |= 1u << 30;
		c->ebx |= (cpu->core_type == TOPO_EFFICIENCY ? 1u : 0u) << 28;
	}
}

/* Leaf 4 and 8000001D: the sharing field counts ids, minus one, and so does that of cores in the package. */
static void fill_cache(struct kvm_cpuid_entry2 *c, const struct topology *t, const struct topo_cache *cache,
		       unsigned int shift)
{
	uint64_t ids = 1ull << shift;
	uint64_t core_ids = 1ull << (t->shift[TOPO_PACKAGE] - t->shift[TOPO_CORE]);

	c->eax = (uint32_t)cache->type | (uint32_t)cache->level << 5 | 1u << 8 | (uint32_t)cache->fully_associative << 9 |
		 (uint32_t)MIN(ids - 1, 0xfffull) << 14;
	if (c->function == 4)
		c->eax |= (uint32_t)MIN(core_ids - 1, 63ull) << 26;
	c->ebx = (cache->line - 1u) | (cache->partitions - 1u) << 12 | (cache->ways - 1u) << 22;
	c->ecx = cache->sets - 1;
	c->edx = (uint32_t)cache->inclusive << 1;
}

/* The vCPU's cache of this number, counted without those it has not; NR means the list is over. */
static unsigned int nth_cache(const struct topology *t, const struct topo_cpu *cpu, unsigned int n)
{
	unsigned int k;

	for (k = 0; k < t->nr_caches; k++)
		if (cpu->cache[k] != TOPO_NO_CACHE && n-- == 0)
			break;
	return k;
}

static void fill_nth_cache(struct kvm_cpuid_entry2 *c, const struct topology *t, const struct topo_cpu *cpu)
{
	unsigned int k = nth_cache(t, cpu, c->index);

	if (k < t->nr_caches)
		fill_cache(c, t, &t->cache[k], cpu->cache_shift[k]);
	else
		c->eax = c->ebx = c->ecx = c->edx = 0;
}

/* 80000006: associativity as a code (APM volume 3, table E-4); 9 means "see 8000001D". */
static uint32_t amd_assoc(const struct topo_cache *c)
{
	if (c->fully_associative)
		return 0xf;
	switch (c->ways) {
	case 1:
	case 2:
	case 4:
		return c->ways;
	case 8:
		return 6;
	case 16:
		return 8;
	default:
		return 9;
	}
}

static uint32_t amd_l1(const struct topo_cache *c)
{
	return c ? MIN(c->bytes >> 10, 255u) << 24 | MIN(c->ways, 255u) << 16 | 1u << 8 | (c->line & 0xffu) : 0;
}

/* The old cache leaves; Intel has the second-level cache there too, and nothing else. */
static void fill_old_caches(struct kvm_cpuid_entry2 *c, const struct topology *t, const struct topo_cpu *cpu, bool amd)
{
	unsigned int shift;
	const struct topo_cache *l2 = own_cache(t, cpu, 2, CACHE_UNIFIED, &shift);
	const struct topo_cache *l3 = own_cache(t, cpu, 3, CACHE_UNIFIED, &shift);

	if (c->function == 0x80000005) {
		c->ecx = amd ? amd_l1(own_cache(t, cpu, 1, CACHE_DATA, &shift)) : 0;
		c->edx = amd ? amd_l1(own_cache(t, cpu, 1, CACHE_INSTRUCTION, &shift)) : 0;
		return;
	}
	c->ecx = l2 ? MIN(l2->bytes >> 10, 0xffffu) << 16 | amd_assoc(l2) << 12 | (amd ? 1u << 8 : 0) | (l2->line & 0xffu) : 0;
	c->edx = 0;
	if (amd && l3) /* in units of 512 KiB, all L3s of the package together; not 0, or Linux computes no L3 ids */
		c->edx = MIN(MAX(t->package_l3_kib[cpu->unit[TOPO_PACKAGE]] / 512, 1u), 0x3fffu) << 18 | 9u << 12 | 1u << 8 |
			 (l3->line & 0xffu);
}

/* Leaf 1 EBX[23:16]: Intel wants ids in a package, AMD processors in it; both 8 bits wide. */
static void fill_leaf1(struct kvm_cpuid_entry2 *c, const struct topology *t, const struct topo_cpu *cpu, bool amd)
{
	uint64_t n = amd ? topo_unit_cpus(t, cpu, TOPO_PACKAGE) : 1ull << t->shift[TOPO_PACKAGE];

	c->ebx = (c->ebx & 0xffff) | (uint32_t)MIN(n, 255ull) << 16 | (cpu->apic_id & 0xff) << 24;
}

/*
 * Each die is a node, numbered in the machine: Linux before 6.9 finds dies in this leaf and nowhere else.
 */
static void fill_8000001e(struct kvm_cpuid_entry2 *c, const struct topology *t, const struct topo_cpu *cpu)
{
	uint32_t in_package = cpu->apic_id & ((1u << t->shift[TOPO_PACKAGE]) - 1);

	c->eax = cpu->apic_id;
	c->ebx = MIN(topo_unit_cpus(t, cpu, TOPO_CORE) - 1, 0xffu) << 8 | ((in_package >> t->shift[TOPO_CORE]) & 0xff);
	c->ecx = MIN(t->count[TOPO_DIE] - 1, 7u) << 8 | ((cpu->apic_id >> t->shift[TOPO_DIE]) & 0xff);
}

void cpuid_set_place(struct cpuid_table *table, const struct topology *t, const struct topo_cpu *cpu)
{
	bool amd = cpuid_style(table) == CPUID_AMD;

	for (uint32_t i = 0; i < table->nent; i++) {
		struct kvm_cpuid_entry2 *c = &table->entry[i];

		switch (c->function) {
		case 1:
			fill_leaf1(c, t, cpu, amd);
			break;
		case 4:
		case 0x8000001d:
			fill_nth_cache(c, t, cpu);
			break;
		case 0xb:
			fill_leaf_b(c, t, cpu);
			break;
		case 0x1a: /* EAX[31:24]: 40 Core, 20 Atom */
			c->eax = (cpu->core_type == TOPO_EFFICIENCY ? 0x20u : 0x40u) << 24;
			break;
		case 0x1f:
			fill_leaf_1f(c, t, cpu);
			break;
		case 0x80000005:
		case 0x80000006:
			fill_old_caches(c, t, cpu, amd);
			break;
		case 0x80000008: /* AMD: processors in the package, minus one, and the bits of their ids */
			if (amd)
				c->ecx = (c->ecx & ~0xffffu) | MIN(topo_unit_cpus(t, cpu, TOPO_PACKAGE) - 1, 255u) |
					 MIN(t->shift[TOPO_PACKAGE], 15u) << 12;
			break;
		case 0x8000001e:
			fill_8000001e(c, t, cpu);
			break;
		case 0x80000026:
			fill_leaf_26(c, t, cpu);
			break;
		default:
			break;
		}
	}
}
