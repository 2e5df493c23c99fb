/*
 * The leaves in which processors tell their topology. Two notions must not be mixed: how many *ids* fit
 * into a field (1 << shift), and how many *processors* there are (a product of counts). The comment at
 * each field says which of the two it wants.
 *
 * Every value of one vCPU (APIC id, core id, node) is written by cpuid_set_place().
 */
#include "vmm/cpu/cpuid_internal.h"

#include <errno.h>

#include "vmm/cpu/topology.h"

#define AMD_TOPOEXT    (1u << 22) /* 80000001 ECX */
#define AMD_CMP_LEGACY (1u << 1)  /* 80000001 ECX */
#define HTT            (1u << 28) /* 1 EDX */

/* Leaf 1 EBX[23:16]: Intel wants ids in a package, AMD processors in it; both 8 bits wide. */
static void build_leaf1(struct cpuid_table *table, const struct topology *t, enum cpuid_style style)
{
	struct kvm_cpuid_entry2 *c = cpuid_find(table, 1, 0);
	unsigned int cpus = topology_cpus_in(t, TOPO_PACKAGE);
	uint64_t ids = 1ull << t->shift[TOPO_PACKAGE];
	uint64_t n = style == CPUID_AMD ? cpus : ids;

	if (!c)
		return;
	c->ebx = (c->ebx & 0xffff) | (uint32_t)MIN(n, 255ull) << 16;
	c->edx &= ~HTT;
	if (n > 1)
		c->edx |= HTT;
}

/* Leaf 4 and 8000001D EAX: the sharing field counts ids, minus one. */
static int build_caches(struct cpuid_table *table, const struct topology *t, uint32_t leaf)
{
	unsigned int i;

	cpuid_drop(table, leaf);
	for (i = 0; i < t->nr_caches; i++) {
		const struct topo_cache *cache = &t->cache[i];
		struct kvm_cpuid_entry2 *c = cpuid_add(table, leaf, (int)i);
		uint32_t ids = 1u << t->shift[cache->shared];
		uint32_t core_ids = 1u << (t->shift[TOPO_PACKAGE] - t->shift[TOPO_CORE]);

		if (!c)
			return -ENOSPC;
		c->eax = (uint32_t)cache->type | (uint32_t)cache->level << 5 | 1u << 8 |
			 (uint32_t)cache->fully_associative << 9 | MIN(ids - 1, 0xfffu) << 14;
		if (leaf == 4)
			c->eax |= MIN(core_ids - 1, 63u) << 26;
		c->ebx = (cache->line - 1u) | (cache->partitions - 1u) << 12 | (cache->ways - 1u) << 22;
		c->ecx = cache->sets - 1;
		c->edx = (uint32_t)cache->inclusive << 1;
	}
	return cpuid_add(table, leaf, (int)i) ? 0 : -ENOSPC; /* all zero: the list ends */
}

/* One sub-leaf of 0B, 1F or 80000026; EDX, the x2APIC id, comes with the vCPU. */
static int add_level(struct cpuid_table *table, uint32_t leaf, unsigned int sub, unsigned int type,
		     unsigned int shift, unsigned int cpus)
{
	struct kvm_cpuid_entry2 *c = cpuid_add(table, leaf, (int)sub);

	if (!c)
		return -ENOSPC;
	c->eax = shift;
	c->ebx = cpus;
	c->ecx = type << 8 | sub;
	return 0;
}

/* 0B knows threads and cores only: its core level reaches up to the package. */
static int build_leaf_b(struct cpuid_table *table, const struct topology *t)
{
	cpuid_drop(table, 0xb);
	if (add_level(table, 0xb, 0, 1, t->shift[TOPO_CORE], topology_cpus_in(t, TOPO_CORE)) ||
	    add_level(table, 0xb, 1, 2, t->shift[TOPO_PACKAGE], topology_cpus_in(t, TOPO_PACKAGE)) ||
	    add_level(table, 0xb, 2, 0, 0, 0))
		return -ENOSPC;
	return 0;
}

/*
 * 1F: one sub-leaf for each domain that exists, from the inside; each tells the shift to, and the
 * processors in, the next larger domain that is listed. The last reaches up to the package.
 */
static int build_leaf_1f(struct cpuid_table *table, const struct topology *t)
{
	const struct {
		enum topo_level level;
		unsigned int type; /* domain type: 1 logical processor, 2 core, 3 module, 5 die */
	} domain[] = { { TOPO_THREAD, 1 }, { TOPO_CORE, 2 }, { TOPO_MODULE, 3 }, { TOPO_DIE, 5 } };
	unsigned int sub = 0;

	cpuid_drop(table, 0x1f);
	for (unsigned int i = 0; i < ARRAY_SIZE(domain); i++) {
		/* The next level may be absent: then it has the shift and the size of the one behind it. */
		enum topo_level next = domain[i].level + 1;

		if (domain[i].level > TOPO_CORE && t->count[domain[i].level] == 1)
			continue;
		if (add_level(table, 0x1f, sub++, domain[i].type, t->shift[next], topology_cpus_in(t, next)))
			return -ENOSPC;
	}
	return add_level(table, 0x1f, sub, 0, 0, 0);
}

/*
 * Intel: 1F needs leaf 0 to reach it, and a leaf 0 that reaches it needs 1F: readers which find it
 * empty do not fall back to 0B. Without dies and modules 0B says it all, so a host without 1F keeps it so.
 */
static int build_intel(struct cpuid_table *table, const struct topology *t)
{
	struct kvm_cpuid_entry2 *basic = cpuid_find(table, 0, 0);
	struct kvm_cpuid_entry2 *c = cpuid_find(table, 0x80000008, 0);
	bool levels = t->count[TOPO_DIE] > 1 || t->count[TOPO_MODULE] > 1;

	if (c)
		c->ecx = 0; /* AMD's core count; reserved here */
	if (!basic)
		return 0;
	if (basic->eax < 0xb)
		basic->eax = 0xb;
	if (levels && basic->eax < 0x1f)
		basic->eax = 0x1f;
	if (build_caches(table, t, 4) < 0 || build_leaf_b(table, t) < 0)
		return -ENOSPC;
	cpuid_drop(table, 0x1a); /* no hybrid parts: all cores are of one kind */
	if (cpuid_find(table, 0, 0)->eax >= 0x1f)
		return build_leaf_1f(table, t);
	cpuid_drop(table, 0x1f);
	return 0;
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

/* The old cache leaves. 80000006 EDX must not be 0, or Linux computes no L3 ids. */
static void build_amd_old_caches(struct cpuid_table *table, const struct topology *t)
{
	struct kvm_cpuid_entry2 *l1 = cpuid_find(table, 0x80000005, 0);
	struct kvm_cpuid_entry2 *l2 = cpuid_find(table, 0x80000006, 0);

	for (unsigned int i = 0; i < t->nr_caches && l1 && l2; i++) {
		const struct topo_cache *c = &t->cache[i];
		uint32_t kib = c->bytes >> 10;
		uint32_t all = kib * (topology_cpus_in(t, TOPO_PACKAGE) / topology_cpus_in(t, c->shared));

		if (c->level == 1 && c->type == CACHE_DATA)
			l1->ecx = MIN(kib, 255u) << 24 | MIN(c->ways, 255u) << 16 | 1u << 8 | (c->line & 0xffu);
		else if (c->level == 1)
			l1->edx = MIN(kib, 255u) << 24 | MIN(c->ways, 255u) << 16 | 1u << 8 | (c->line & 0xffu);
		else if (c->level == 2)
			l2->ecx = MIN(kib, 0xffffu) << 16 | amd_assoc(c) << 12 | 1u << 8 | (c->line & 0xffu);
		else if (c->level == 3) /* in units of 512 KiB, all L3s of the package together */
			l2->edx = MIN(MAX(all / 512, 1u), 0x3fffu) << 18 | 9u << 12 | 1u << 8 | (c->line & 0xffu);
	}
}

static int build_leaf_26(struct cpuid_table *table, const struct topology *t)
{
	unsigned int die = topology_cpus_in(t, TOPO_DIE);

	/* Each level tells its own shift and size: core, complex, die, socket. Our complex is the die. */
	cpuid_drop(table, 0x80000026);
	if (add_level(table, 0x80000026, 0, 1, t->shift[TOPO_CORE], topology_cpus_in(t, TOPO_CORE)) ||
	    add_level(table, 0x80000026, 1, 2, t->shift[TOPO_DIE], die) ||
	    add_level(table, 0x80000026, 2, 3, t->shift[TOPO_DIE], die) ||
	    add_level(table, 0x80000026, 3, 4, t->shift[TOPO_PACKAGE], topology_cpus_in(t, TOPO_PACKAGE)) ||
	    add_level(table, 0x80000026, 4, 0, 0, 0))
		return -ENOSPC;
	return 0;
}

static int build_amd(struct cpuid_table *table, const struct topology *t)
{
	struct kvm_cpuid_entry2 *basic = cpuid_find(table, 0, 0);
	struct kvm_cpuid_entry2 *ext = cpuid_find(table, 0x80000000, 0);
	struct kvm_cpuid_entry2 *c;
	unsigned int cpus = topology_cpus_in(t, TOPO_PACKAGE);

	if (basic) /* never up to 1F, which Linux 6.9 would then prefer */
		basic->eax = MIN(MAX(basic->eax, 0xbu), 0x10u);
	if (ext)
		ext->eax = MAX(ext->eax, 0x80000026u);
	c = cpuid_find(table, 0x80000001, 0);
	if (c) {
		c->ecx |= AMD_TOPOEXT;
		/* HTT without CmpLegacy would mean Intel's kind of hyper-threading. */
		c->ecx &= ~AMD_CMP_LEGACY;
		if (cpus > 1)
			c->ecx |= AMD_CMP_LEGACY;
	}
	c = cpuid_find(table, 0x80000008, 0);
	if (c)
		c->ecx = (c->ecx & ~0xffffu) | MIN(cpus - 1, 255u) | MIN(t->shift[TOPO_PACKAGE], 15u) << 12;
	build_amd_old_caches(table, t);
	cpuid_drop(table, 4);
	cpuid_drop(table, 0x1f);
	cpuid_drop(table, 0x8000001e);
	if (build_caches(table, t, 0x8000001d) < 0 || !cpuid_add(table, 0x8000001e, -1) ||
	    build_leaf_b(table, t) < 0)
		return -ENOSPC;
	return build_leaf_26(table, t);
}

int cpuid_build_topology(struct cpuid_table *table, const struct topology *t)
{
	enum cpuid_style style = cpuid_style(table);

	build_leaf1(table, t, style);
	return style == CPUID_AMD ? build_amd(table, t) : build_intel(table, t);
}

void cpuid_set_place(struct cpuid_table *table, const struct topology *t, const struct topo_cpu *place)
{
	uint32_t id = place->apic_id;
	uint32_t in_package = id & ((1u << t->shift[TOPO_PACKAGE]) - 1);

	for (uint32_t i = 0; i < table->nent; i++) {
		struct kvm_cpuid_entry2 *c = &table->entry[i];

		switch (c->function) {
		case 1:
			c->ebx = (c->ebx & 0xffffff) | (id & 0xff) << 24;
			break;
		case 0xb:
		case 0x1f:
		case 0x80000026:
			c->edx = id; /* in every sub-leaf, the closing one too */
			break;
		case 0x8000001e:
			c->eax = id;
			c->ebx = (t->count[TOPO_THREAD] - 1) << 8 | ((in_package >> t->shift[TOPO_CORE]) & 0xff);
			c->ecx = (id >> t->shift[TOPO_PACKAGE]) & 0xff; /* one node a package */
			break;
		default:
			break;
		}
	}
}
