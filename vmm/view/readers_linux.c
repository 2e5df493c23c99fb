/*
 * Linux's readings. Functions of the kernel are named so that they can be looked up: v6.1.79 for the older
 * (arch/x86/kernel/cpu/topology.c, amd.c, cacheinfo.c, smpboot.c), v6.12 for the newer (topology_common.c,
 * topology_ext.c, topology_amd.c). Nodes are left out: processors of one unit in two nodes are the checker's matter.
 */
#include "vmm/view/readers_internal.h"

#define HTT        (1u << 28) /* 1 EDX */
#define HYPERVISOR (1u << 31) /* 1 ECX */
#define CMP_LEGACY (1u << 1)  /* 80000001 ECX */
#define TOPOEXT    (1u << 22) /* 80000001 ECX */

enum { TYPE_THREAD = 1, TYPE_CORE = 2, TYPE_MODULE = 3, TYPE_DIE = 5 };

/* What a set's key needs. */
struct linux_keys {
	const struct leaves *l;
	const struct read_cpu *cpu;
	enum read_set set;
	bool single; /* no multi-core, no threads: every mask is the processor itself */
	bool smt, topoext, nodes;
};

static bool is_amd(const struct leaves *l)
{
	return l->vendor == VENDOR_AMD || l->vendor == VENDOR_HYGON;
}

static bool has_topoext(const struct leaves *l)
{
	return is_amd(l) && l->e1.ecx & TOPOEXT;
}

/* A processor that shares with nobody. */
static void key_alone(unsigned int i, struct read_key *key)
{
	key->part[0] = 1;
	key->part[1] = i;
}

/* ---- caches, alike in both (cacheinfo.c: __cache_cpumap_setup(), __cache_amd_cpumap_setup()) ---- */

/* AMD: index 3 of the list is the last-level cache, which has rules of its own. */
static void amd_cache_key(const struct linux_keys *k, const struct leaves *l, unsigned int i,
			  struct read_key *key)
{
	const struct regs *c = read_cache_find(&l->e1d, k->set);
	unsigned int index = c ? (unsigned int)(c - l->e1d.sub) : 0;
	unsigned int sharing = c ? cache_sharing(c) : 1;

	if (!(l->e1.ecx & TOPOEXT) && l->vendor == VENDOR_AMD) { /* made of 80000005 and 80000006 */
		key->none = k->set == READ_L4 || !(k->set == READ_L1D   ? l->e5.ecx
						   : k->set == READ_L1I ? l->e5.edx
						   : k->set == READ_L2  ? l->e6.ecx >> 12 & 0xf
									: l->e6.edx >> 12 & 0xf);
		index = k->set == READ_L3 ? 3 : 0;
		sharing = 1;
	} else {
		key->none = !c;
	}
	if (index == 3 && !k->single && k->cpu[i].llc != READ_NO_ID) {
		key->part[2] = k->cpu[i].llc;
	} else if (index == 3 || sharing == 1) {
		key_alone(i, key);
	} else {
		key->part[2] = sharing;
		key->part[3] = k->cpu[i].apic_id / sharing;
	}
}

static void cache_key(const void *ctx, unsigned int i, struct read_key *key)
{
	const struct linux_keys *k = ctx;
	const struct leaves *l = &k->l[i];
	const struct regs *c;
	unsigned int bits;

	if (is_amd(l)) {
		amd_cache_key(k, l, i, key);
		return;
	}
	c = read_cache_find(&l->l4, k->set);
	key->none = !c;
	if (!c)
		return;
	bits = bits_for(cache_sharing(c));
	if (!bits) {
		key_alone(i, key);
		return;
	}
	key->part[2] = bits;
	key->part[3] = k->cpu[i].apic_id >> bits;
}

static int read_cache_sets(struct reading *r, struct linux_keys *k)
{
	int rc = 0;

	for (enum read_set set = READ_L1D; set < NR_READ_SETS && rc == 0; set++) {
		k->set = set;
		rc = reading_group(r, set, cache_key, k);
		r->knows[set] = r->sets[set] > 0;
	}
	return rc;
}

/* Which APIC ids share AMD's last-level cache (cacheinfo_amd_init_llc_id(), cacheinfo_hygon_init_llc_id()). */
static void amd_llc(struct reading *r, const struct leaves *l, struct read_cpu *cpu)
{
	const struct regs *last = l->e1d.nr ? &l->e1d.sub[l->e1d.nr - 1] : NULL;
	bool by_8 = l->vendor == VENDOR_HYGON || (l->family == 0x17 && l->model <= 0x1f);

	if (!l->e6.edx)
		return;
	if (l->vendor == VENDOR_AMD && l->family < 0x17) {
		cpu->llc = cpu->node;
	} else if (by_8) {
		cpu->llc = cpu->apic_id >> 3;
		if (last && bits_for(cache_sharing(last)) != 3)
			r->quirks |= READ_QUIRK_L3_BY_8;
	} else if (last) {
		cpu->llc = cpu->apic_id >> bits_for(cache_sharing(last));
	}
}

/* ---- up to 6.8 ---- */

struct linux_6_1 {
	unsigned int siblings;  /* smp_num_siblings: most threads seen in a core */
	unsigned int max_cores; /* x86_max_cores of the boot processor */
};

/* detect_extended_topology_leaf() */
static const struct leaves_levels *levels_6_1(const struct leaves *l, uint32_t *leaf)
{
	const struct leaves_levels *list[] = { &l->l1f, &l->lb };

	for (unsigned int i = 0; i < ARRAY_SIZE(list); i++) {
		if (list[i]->nr && level_cpus(&list[i]->sub[0]) &&
		    level_type(&list[i]->sub[0]) == TYPE_THREAD) {
			*leaf = i ? 0xb : 0x1f;
			return list[i];
		}
	}
	return NULL;
}

/* detect_extended_topology(). Returns the cores in a package (or in what it takes for one). */
static unsigned int walk_6_1(struct reading *r, const struct leaves_levels *levels, struct read_cpu *cpu,
			     unsigned int *siblings)
{
	const struct regs *s = levels->sub;
	unsigned int thread = level_shift(s), core = thread, die = thread, package = thread;
	unsigned int core_cpus = level_cpus(s);
	bool has_die = false, has_module = false;

	*siblings = MAX(*siblings, core_cpus);
	for (unsigned int i = 1; i < levels->nr && level_type(&s[i]); i++) {
		unsigned int type = level_type(&s[i]);

		package = level_shift(&s[i]);
		if (type == TYPE_CORE) {
			core_cpus = level_cpus(&s[i]);
			core = die = package;
		}
		has_module |= type == TYPE_MODULE;
		if (type == TYPE_DIE) {
			has_die = true;
			die = package;
		}
	}
	cpu->apic_id = s->edx;
	cpu->core = (cpu->apic_id & ((1u << package) - 1)) >> thread;
	if (has_die)
		cpu->die = die > core ? (cpu->apic_id >> core) & ((1u << (die - core)) - 1) : 0;
	cpu->package = cpu->apic_id >> package;
	if (has_die && has_module)
		r->quirks |= READ_QUIRK_MODULE_DIE;
	r->core_shift = thread;
	r->package_shift = package;
	return core_cpus / *siblings;
}

/* detect_ht(): leaf 1 tells how many ids a package has. */
static void ht_6_1(struct reading *r, const struct leaves *l, struct read_cpu *cpu, unsigned int max_cores,
		   unsigned int *siblings)
{
	unsigned int ids = (l->l1.ebx >> 16) & 0xff;
	unsigned int thread;

	if (!(l->l1.edx & HTT) || (is_amd(l) && l->e1.ecx & CMP_LEGACY) || ids <= 1)
		return;
	if (is_amd(l))
		r->quirks |= READ_QUIRK_HT;
	r->leaf = 1;
	r->package_shift = bits_for(ids);
	cpu->package = cpu->apic_id >> r->package_shift;
	*siblings = MAX(ids / max_cores, 1u);
	thread = bits_for(*siblings);
	r->core_shift = thread;
	cpu->core = (cpu->apic_id >> thread) & ((1u << bits_for(max_cores)) - 1);
}

/* init_amd() with amd_detect_cmp() and amd_get_topology(); init_hygon() is like it. Returns x86_max_cores. */
static unsigned int amd_6_1(struct reading *r, const struct leaves *l, struct read_cpu *cpu,
			    unsigned int *siblings)
{
	unsigned int max_cores = l->max_extended >= 0x80000008 ? (l->e8.ecx & 0xff) + 1 : 1;
	unsigned int bits = (l->e8.ecx >> 12) & 0xf ? (l->e8.ecx >> 12) & 0xf : bits_for(max_cores);
	const struct leaves_levels *levels;

	r->leaf = 0x80000008;
	r->package_shift = bits;
	cpu->core = cpu->apic_id & ((1u << bits) - 1);
	cpu->package = cpu->llc = cpu->die = cpu->apic_id >> bits;
	if (!has_topoext(l)) {
		r->quirks |= READ_QUIRK_NO_TOPOEXT;
	} else {
		*siblings = MAX(*siblings, ((l->e1e.ebx >> 8) & 0xff) + 1);
		cpu->die = cpu->node = l->e1e.ecx & 0xff;
		if (l->family >= 0x17 || l->vendor == VENDOR_HYGON) {
			cpu->core = l->e1e.ebx & 0xff;
			max_cores = MAX(max_cores / *siblings, 1u);
		}
		levels = levels_6_1(l, &r->leaf);
		if (levels)
			max_cores = walk_6_1(r, levels, cpu, siblings);
		if (l->vendor == VENDOR_HYGON && !(l->l1.ecx & HYPERVISOR))
			cpu->package = cpu->apic_id >> 6;
		cpu->die = cpu->node; /* a die of 1F would not count */
		amd_llc(r, l, cpu);
	}
	ht_6_1(r, l, cpu, MAX(max_cores, 1u), siblings);
	return max_cores;
}

static unsigned int cpu_6_1(struct reading *r, const struct leaves *l, struct read_cpu *cpu,
			    unsigned int *siblings)
{
	const struct leaves_levels *levels = l->vendor == VENDOR_INTEL ? levels_6_1(l, &r->leaf) : NULL;
	unsigned int max_cores = 1;

	cpu->apic_id = cpu->package = l->l1.ebx >> 24;
	cpu->core = cpu->die = 0;
	if (is_amd(l))
		return amd_6_1(r, l, cpu, siblings);
	if (levels)
		return walk_6_1(r, levels, cpu, siblings);
	r->leaf = l->l4.nr ? 4 : 1; /* detect_num_cpu_cores() */
	if (l->vendor != VENDOR_OTHER && l->l4.nr)
		max_cores = (l->l4.sub[0].eax >> 26) + 1;
	ht_6_1(r, l, cpu, max_cores, siblings);
	return max_cores;
}

/* set_cpu_sibling_map() with match_pkg(), match_die() and match_smt(). */
static void level_key(const void *ctx, unsigned int i, struct read_key *key)
{
	const struct linux_keys *k = ctx;
	const struct read_cpu *cpu = &k->cpu[i];

	if (k->single || (k->set == READ_CORE && !k->smt)) {
		key_alone(i, key);
		return;
	}
	key->part[1] = cpu->package;
	if (k->set == READ_PACKAGE)
		return;
	key->part[2] = cpu->die;
	if (k->set == READ_DIE) {
		key->part[3] = k->nodes ? cpu->node : 0;
		return;
	}
	key->part[3] = cpu->core;
	if (k->topoext)
		key->part[4] = cpu->llc;
}

/* As level_key() for packages, whatever masks there are. */
static void package_id_key(const void *ctx, unsigned int i, struct read_key *key)
{
	key->part[1] = ((const struct linux_keys *)ctx)->cpu[i].package;
}

static int read_level_sets(struct reading *r, struct linux_keys *k)
{
	static const enum read_set sets[] = { READ_PACKAGE, READ_DIE, READ_CORE };
	int rc = reading_group(r, READ_PACKAGE, package_id_key, k);

	if (rc == 0 && k->single && r->sets[READ_PACKAGE] < r->nr)
		r->quirks |= READ_QUIRK_SINGLE;
	for (unsigned int i = 0; i < ARRAY_SIZE(sets) && rc == 0; i++) {
		k->set = sets[i];
		rc = reading_group(r, sets[i], level_key, k);
	}
	return rc == 0 ? read_cache_sets(r, k) : rc;
}

int read_linux_6_1(struct reading *r, const struct leaves *l, struct read_cpu *cpu)
{
	struct linux_keys k = { .l = l, .cpu = cpu, .topoext = has_topoext(&l[0]) };
	struct reading other = { 0 }; /* leaf and shifts are told as the boot processor has them */
	unsigned int siblings = 1, max_cores = cpu_6_1(r, &l[0], &cpu[0], &siblings);

	for (unsigned int i = 1; i < r->nr; i++)
		(void)cpu_6_1(&other, &l[i], &cpu[i], &siblings);
	r->quirks |= other.quirks;
	k.smt = siblings > 1;
	k.single = !k.smt && max_cores <= 1;
	return read_level_sets(r, &k);
}

/* ---- from 6.9 ---- */

enum domain { DOM_SMT, DOM_CORE, DOM_MODULE, DOM_TILE, DOM_DIE, DOM_DIEGRP, DOM_PKG, NR_DOMAINS };

struct scan {
	unsigned int shift[NR_DOMAINS], cpus[NR_DOMAINS];
	uint32_t initial_id, node;
	unsigned int nodes;
	uint32_t leaf;
};

/* topology_set_dom(): the levels above follow. */
static void set_domain(struct scan *s, unsigned int dom, unsigned int shift, unsigned int cpus)
{
	for (; dom < NR_DOMAINS; dom++) {
		s->shift[dom] = shift;
		s->cpus[dom] = cpus;
	}
}

/* parse_topology_leaf() */
static bool scan_levels(struct scan *s, const struct leaves_levels *levels, uint32_t leaf)
{
	static const uint8_t map_1f[] = { 0, DOM_SMT, DOM_CORE, DOM_MODULE, DOM_TILE, DOM_DIE, DOM_DIEGRP };
	static const uint8_t map_26[] = { 0, DOM_SMT, DOM_CORE, DOM_TILE, DOM_DIE };
	const uint8_t *map = leaf == 0x80000026 ? map_26 : map_1f;
	unsigned int types = leaf == 0xb ? 3 : leaf == 0x1f ? ARRAY_SIZE(map_1f) : ARRAY_SIZE(map_26);
	unsigned int dom, last = 0, i;

	for (i = 0; i < levels->nr; i++) {
		const struct regs *r = &levels->sub[i];

		if (!level_cpus(r) || !level_type(r))
			break;
		if (level_type(r) < types)
			dom = last = map[level_type(r)];
		else
			dom = last + 1;
		if (!dom)
			s->initial_id = r->edx;
		set_domain(s, dom, level_shift(r), level_cpus(r));
	}
	if (!i)
		return false;
	if (!s->shift[DOM_SMT] && s->cpus[DOM_SMT] > 1)
		s->shift[DOM_SMT] = bits_for(s->cpus[DOM_SMT]);
	s->leaf = leaf;
	return true;
}

/* cpu_parse_topology_ext() */
static bool scan_extended(struct scan *s, const struct leaves *l)
{
	return scan_levels(s, &l->l1f, 0x1f) || scan_levels(s, &l->e26, 0x80000026) ||
	       scan_levels(s, &l->lb, 0xb);
}

/* parse_legacy() */
static void scan_legacy(struct scan *s, const struct leaves *l)
{
	unsigned int cores = l->l4.nr ? (l->l4.sub[0].eax >> 26) + 1 : 1;
	unsigned int core = bits_for(cores), smt = 0, all = bits_for((l->l1.ebx >> 16) & 0xff);

	s->leaf = l->l4.nr ? 4 : 1;
	if (l->l1.edx & HTT && all >= core)
		smt = all - core;
	set_domain(s, DOM_SMT, smt, 1u << smt);
	set_domain(s, DOM_CORE, core + smt, cores << smt);
}

/* parse_topology_amd() */
static void scan_amd(struct reading *r, struct scan *s, const struct leaves *l)
{
	unsigned int bits = (l->e8.ecx >> 12) & 0xf;
	bool extended = has_topoext(l) && scan_extended(s, l);

	if (!extended) {
		if (l->max_extended < 0x80000008)
			return;
		s->leaf = 0x80000008;
		s->shift[DOM_SMT] = 0;
		s->cpus[DOM_SMT] = 1;
		set_domain(s, DOM_CORE, bits ? bits : bits_for((l->e8.ecx & 0xff) + 1),
			   (l->e8.ecx & 0xff) + 1);
	}
	if (!has_topoext(l)) {
		r->quirks |= READ_QUIRK_NO_TOPOEXT;
		return;
	}
	if (!extended) {
		s->initial_id = l->e1e.eax;
		s->cpus[DOM_SMT] = ((l->e1e.ebx >> 8) & 0xff) + 1; /* not the levels above */
		s->shift[DOM_SMT] = bits_for(s->cpus[DOM_SMT]);
	}
	s->nodes = ((l->e1e.ecx >> 8) & 7) + 1;
	s->node = l->e1e.ecx & 0xff;
	if (l->vendor == VENDOR_HYGON && !(l->l1.ecx & HYPERVISOR) && l->model <= 3)
		set_domain(s, DOM_CORE, 6, s->cpus[DOM_CORE]);
}

static void scan_cpu(struct reading *r, struct scan *s, const struct leaves *l)
{
	*s = (struct scan){ .initial_id = l->l1.ebx >> 24, .nodes = 1, .leaf = 1 };
	set_domain(s, DOM_SMT, 0, 1);
	if (is_amd(l))
		scan_amd(r, s, l);
	else if (l->vendor == VENDOR_ZHAOXIN || (l->vendor == VENDOR_INTEL && !scan_extended(s, l)))
		scan_legacy(s, l);
}

/* topo_set_ids(): by the boot processor's shifts. */
static void set_ids(struct reading *r, const struct scan *boot, const struct scan *s, const struct leaves *l,
		    struct read_cpu *cpu)
{
	uint32_t id = l->apic_id == LEAVES_NO_APIC_ID ? s->initial_id : l->apic_id;

	cpu->apic_id = id;
	cpu->package = id >> boot->shift[DOM_DIEGRP];
	cpu->die = id >> boot->shift[DOM_TILE];
	cpu->core = (id & ((1u << boot->shift[DOM_PKG]) - 1)) >> boot->shift[DOM_SMT];
	cpu->node = s->node;
	if (is_amd(l) && has_topoext(l))
		amd_llc(r, l, cpu);
	if (is_amd(l) && cpu->llc == READ_NO_ID)
		cpu->llc = id >> s->shift[DOM_CORE];
	if (l->vendor == VENDOR_AMD && l->family < 0x17 && s->nodes > 1 && s->cpus[DOM_CORE] >= s->nodes)
		cpu->core %= s->cpus[DOM_CORE] / s->nodes;
	if (memcmp(s->shift, boot->shift, sizeof(s->shift)))
		r->quirks |= READ_QUIRK_SHIFTS;
}

struct all_ids {
	const struct read_cpu *cpu;
	unsigned int shift;
};

static void shifted_key(const void *ctx, unsigned int i, struct read_key *key)
{
	const struct all_ids *a = ctx;

	key->part[0] = a->cpu[i].apic_id >> a->shift;
}

/* topology_init_possible_cpus(): threads are there when there are more ids than cores, cores when the first package
 * has several. */
static int count_units(struct reading *r, const struct scan *boot, struct linux_keys *k)
{
	struct all_ids ids = { .cpu = k->cpu };
	unsigned int threads, cores, first = 0;
	int rc = reading_group(r, READ_CORE, shifted_key, &ids);

	threads = r->sets[READ_CORE];
	ids.shift = boot->shift[DOM_SMT];
	if (rc == 0)
		rc = reading_group(r, READ_CORE, shifted_key, &ids);
	cores = r->sets[READ_CORE];
	for (unsigned int i = 0; i < r->nr && rc == 0; i++)
		first += r->set[READ_CORE][i] == i && k->cpu[i].package == k->cpu[0].package;
	k->smt = threads > cores;
	k->single = !k->smt && first <= 1;
	return rc;
}

int read_linux_6_12(struct reading *r, const struct leaves *l, struct read_cpu *cpu)
{
	struct linux_keys k = { .l = l, .cpu = cpu, .topoext = has_topoext(&l[0]) };
	struct scan boot, s;
	int rc;

	scan_cpu(r, &boot, &l[0]);
	r->leaf = boot.leaf;
	r->core_shift = boot.shift[DOM_SMT];
	r->package_shift = boot.shift[DOM_DIEGRP];
	for (unsigned int i = 0; i < r->nr; i++) {
		scan_cpu(r, &s, &l[i]);
		set_ids(r, &boot, &s, &l[i], &cpu[i]);
	}
	k.nodes = k.topoext && boot.nodes > 1;
	rc = count_units(r, &boot, &k);
	return rc == 0 ? read_level_sets(r, &k) : rc;
}
