/*
 * The readings of hwloc's x86 back end (v2.9, hwloc/topology-x86.c: look_proc(), summarize()) and of Windows.
 */
#include "vmm/view/readers_internal.h"

#define HTT     (1u << 28) /* 1 EDX */
#define X2APIC  (1u << 21) /* 1 ECX */
#define TOPOEXT (1u << 22) /* 80000001 ECX */

enum { TYPE_THREAD = 1, TYPE_CORE = 2, TYPE_MODULE = 3, TYPE_DIE = 5 };
enum { TYPE_AMD_CCD = 3, TYPE_AMD_SOCKET = 4 };

struct tool_keys {
	const struct leaves *l;
	const struct read_cpu *cpu;
	enum read_set set;
	bool legacy;
};

static bool is_amd(const struct leaves *l)
{
	return l->vendor == VENDOR_AMD || l->vendor == VENDOR_HYGON;
}

/* How many ids leaf 1 gives a package, rounded up to a power of two: an exponent. */
static unsigned int leaf1_bits(const struct leaves *l)
{
	return l->l1.edx & HTT ? bits_for((l->l1.ebx >> 16) & 0xff) : 0;
}

static void level_key(const void *ctx, unsigned int i, struct read_key *key)
{
	const struct tool_keys *k = ctx;
	const struct read_cpu *cpu = &k->cpu[i];
	uint32_t id = k->set == READ_DIE ? cpu->die : k->set == READ_MODULE ? cpu->module : cpu->core;

	key->part[0] = cpu->package;
	if (k->set == READ_PACKAGE)
		return;
	key->part[1] = id;
	key->none = id == READ_NO_ID;
}

static int level_sets(struct reading *r, struct tool_keys *k)
{
	int rc = 0;

	for (enum read_set set = READ_PACKAGE; set <= READ_CORE && rc == 0; set++) {
		k->set = set;
		rc = reading_group(r, set, level_key, k);
		r->knows[set] = r->sets[set] > 0;
	}
	return rc;
}

static int cache_sets(struct reading *r, struct tool_keys *k,
		      void (*key)(const void *ctx, unsigned int cpu, struct read_key *key))
{
	int rc = 0;

	for (enum read_set set = READ_L1D; set < NR_READ_SETS && rc == 0; set++) {
		k->set = set;
		rc = reading_group(r, set, key, k);
		r->knows[set] = r->sets[set] > 0;
	}
	return rc;
}

/* ---- hwloc ---- */

/* The old cache leaves: small caches are private, L3 is the package's (read_amd_caches_legacy()). */
static bool old_amd_cache(const struct leaves *l, enum read_set set)
{
	switch (set) {
	case READ_L1D:
		return l->e5.ecx != 0;
	case READ_L1I:
		return l->e5.edx != 0;
	case READ_L2:
		return l->e6.ecx & 0xf000;
	case READ_L3:
		return l->e6.edx & 0xf000;
	default:
		return false;
	}
}

static void hwloc_cache_key(const void *ctx, unsigned int i, struct read_key *key)
{
	const struct tool_keys *k = ctx;
	const struct leaves *l = &k->l[i];
	bool topoext = l->e1.ecx & TOPOEXT && is_amd(l);
	const struct regs *c = read_cache_find(is_amd(l) ? &l->e1d : &l->l4, k->set);
	uint32_t id = k->cpu[i].apic_id;
	unsigned int sharing = c ? cache_sharing(c) : 1;

	key->part[0] = k->cpu[i].package;
	if (is_amd(l) && !topoext) {
		key->none = !old_amd_cache(l, k->set);
		key->part[1] = k->set == READ_L3 ? id >> leaf1_bits(l) : id;
		return;
	}
	key->none = !c;
	if (l->vendor == VENDOR_INTEL)
		key->part[1] = id >> bits_for(sharing);
	else if (k->set == READ_L3 && sharing == 6 && (l->family == 0x17 || l->family == 0x18))
		key->part[1] = id / 8;
	else
		key->part[1] = id / sharing;
}

/* read_intel_cores_exttopoenum(): every number is counted inside the package. */
static bool hwloc_levels(struct reading *r, const struct leaves_levels *levels, uint32_t leaf,
			 struct read_cpu *cpu)
{
	unsigned int package = 0, shift = 0, nr = 0;

	while (nr < levels->nr && (levels->sub[nr].eax || levels->sub[nr].ebx))
		package = level_shift(&levels->sub[nr++]);
	for (unsigned int i = 0; i < nr; i++) {
		const struct regs *s = &levels->sub[i];
		uint32_t id = package > shift ? (s->edx >> shift) & ((1u << (package - shift)) - 1) : 0;
		unsigned int type = level_type(s);

		cpu->apic_id = s->edx;
		if (type == TYPE_THREAD)
			r->core_shift = level_shift(s);
		else if (type == TYPE_CORE)
			cpu->core = id;
		else if (leaf != 0x80000026 && type == TYPE_MODULE)
			cpu->module = id;
		else if (leaf == 0x80000026 ? type == TYPE_AMD_SOCKET : type == TYPE_DIE)
			cpu->die = id;
		shift = level_shift(s);
	}
	if (!nr)
		return false;
	cpu->package = cpu->apic_id >> shift;
	r->leaf = leaf;
	r->package_shift = shift;
	return true;
}

/* What leaves 1, 4 and 80000008 say, before better ones are asked. */
static void hwloc_legacy(struct reading *r, const struct leaves *l, struct read_cpu *cpu)
{
	unsigned int all = leaf1_bits(l), cores, threads, bits;

	cpu->apic_id = l->l1.ebx >> 24;
	cpu->package = cpu->apic_id >> all;
	r->leaf = 1;
	r->package_shift = all;
	if (!is_amd(l) && l->l4.nr) {
		cores = (l->l4.sub[0].eax >> 26) + 1;
		threads = MAX((1u << all) / cores, 1u);
		cpu->core = (cpu->apic_id & ((1u << all) - 1)) / threads;
		r->leaf = 4;
		r->core_shift = bits_for(threads);
	}
	if (is_amd(l) && l->max_extended >= 0x80000008 && !(l->l1.ecx & X2APIC)) {
		bits = (l->e8.ecx >> 12) & 0xf;
		cores = bits ? 1u << bits : (l->e8.ecx & 0xff) + 1;
		cpu->package = cpu->apic_id / cores;
		cpu->core = cpu->apic_id % cores;
		r->leaf = 0x80000008;
		r->package_shift = bits_for(cores);
	}
}

static void hwloc_cpu(struct reading *r, const struct leaves *l, struct read_cpu *cpu, bool knows_26)
{
	bool x2apic = l->l1.ecx & X2APIC, amd = is_amd(l);

	hwloc_legacy(r, l, cpu);
	if (amd && l->e1.ecx & TOPOEXT) {
		cpu->apic_id = l->e1e.eax;
		if (l->family > 0x16)
			cpu->core = l->e1e.ebx & 0xff;
	} else if (amd) {
		r->quirks |= READ_QUIRK_NO_TOPOEXT;
	}
	if (l->vendor == VENDOR_INTEL && l->max_basic >= 0x1f) {
		if (!hwloc_levels(r, &l->l1f, 0x1f, cpu))
			r->quirks |= READ_QUIRK_EMPTY_1F;
	} else if (!knows_26 || l->vendor != VENDOR_AMD || !hwloc_levels(r, &l->e26, 0x80000026, cpu)) {
		if (x2apic &&
		    (l->vendor == VENDOR_INTEL || l->vendor == VENDOR_AMD || l->vendor == VENDOR_ZHAOXIN))
			(void)hwloc_levels(r, &l->lb, 0xb, cpu);
	}
}

int read_hwloc(struct reading *r, const struct leaves *l, struct read_cpu *cpu, bool knows_26)
{
	struct tool_keys k = { .l = l, .cpu = cpu };
	struct reading other = { 0 };
	int rc;

	hwloc_cpu(r, &l[0], &cpu[0], knows_26);
	for (unsigned int i = 1; i < r->nr; i++)
		hwloc_cpu(&other, &l[i], &cpu[i], knows_26);
	r->quirks |= other.quirks;
	rc = level_sets(r, &k);
	return rc == 0 ? cache_sets(r, &k, hwloc_cache_key) : rc;
}

/* ---- Windows, and what is older than 0BH ---- */

/*
 * The manuals' ways. Intel SDM volume 3A (June 2024), 9.9.5 "Algorithm for Three-Domain Mappings of APIC_ID";
 * AMD APM volume 3, appendix E.5 "Multiple Processor Calculation".
 */
static void legacy_cpu(struct reading *r, const struct leaves *l, struct read_cpu *cpu)
{
	unsigned int all = leaf1_bits(l), cores = 0;
	uint32_t id = l->l1.ebx >> 24;

	r->leaf = 4;
	if (is_amd(l)) {
		r->leaf = 0x80000008;
		all = (l->e8.ecx >> 12) & 0xf ? (l->e8.ecx >> 12) & 0xf : bits_for((l->e8.ecx & 0xff) + 1);
		cores = all;
	} else if (l->l4.nr) {
		cores = MIN(bits_for((l->l4.sub[0].eax >> 26) + 1), all);
	}
	r->core_shift = all - cores;
	r->package_shift = all;
	cpu->apic_id = id;
	cpu->package = id >> all;
	cpu->core = (id & ((1u << all) - 1)) >> (all - cores);
}

static void windows_cpu(struct reading *r, const struct leaves *l, struct read_cpu *cpu)
{
	const struct leaves_levels *levels = l->l1f.nr && level_cpus(&l->l1f.sub[0]) ? &l->l1f : &l->lb;
	unsigned int shift = 0, core = 0;

	if (is_amd(l))
		levels = &l->lb;
	if (!levels->nr || !level_cpus(&levels->sub[0])) {
		legacy_cpu(r, l, cpu);
		return;
	}
	r->leaf = levels == &l->lb ? 0xb : 0x1f;
	cpu->apic_id = levels->sub[0].edx;
	for (unsigned int i = 0; i < levels->nr && level_cpus(&levels->sub[i]); i++) {
		const struct regs *s = &levels->sub[i];

		if (level_type(s) == TYPE_THREAD)
			core = level_shift(s);
		else if (level_type(s) == TYPE_MODULE)
			cpu->module = cpu->apic_id >> shift;
		else if (level_type(s) == TYPE_DIE)
			cpu->die = cpu->apic_id >> shift;
		shift = level_shift(s);
	}
	r->core_shift = core;
	r->package_shift = shift;
	cpu->package = cpu->apic_id >> shift;
	cpu->core = (cpu->apic_id & ((1u << shift) - 1)) >> core;
}

static void windows_cache_key(const void *ctx, unsigned int i, struct read_key *key)
{
	const struct tool_keys *k = ctx;
	const struct leaves *l = &k->l[i];
	bool old_amd = is_amd(l) && (k->legacy || !(l->e1.ecx & TOPOEXT));
	const struct regs *c = read_cache_find(is_amd(l) ? &l->e1d : &l->l4, k->set);
	uint32_t id = k->cpu[i].apic_id;

	if (old_amd) {
		key->none = !old_amd_cache(l, k->set);
		key->part[0] = k->set == READ_L3 ? k->cpu[i].package : id;
		return;
	}
	key->none = !c;
	if (c)
		key->part[0] = id >> bits_for(cache_sharing(c));
}

int read_windows(struct reading *r, const struct leaves *l, struct read_cpu *cpu, bool legacy)
{
	struct tool_keys k = { .l = l, .cpu = cpu, .legacy = legacy };
	struct reading other = { 0 };
	int rc;

	for (unsigned int i = 0; i < r->nr; i++)
		(legacy ? legacy_cpu : windows_cpu)(i ? &other : r, &l[i], &cpu[i]);
	rc = level_sets(r, &k);
	return rc == 0 ? cache_sets(r, &k, windows_cache_key) : rc;
}
