/*
 * For cpuid_test.c only: tables as hosts have them, and a decoder that reads a guest's leaves as Linux does and says
 * whether it finds a vCPU where the shape puts it.
 */
#ifndef TRELLIS_CPU_CPUID_RIG_H
#define TRELLIS_CPU_CPUID_RIG_H

#include <check.h>

#include "vmm/cpu/caches.h"
#include "vmm/cpu/cpuid.h"
#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/topology.h"

static struct cpuid_table table;
static struct topology t;
static struct err e;

static inline struct kvm_cpuid_entry2 *put(uint32_t leaf, int index, uint32_t eax, uint32_t ebx, uint32_t ecx,
					   uint32_t edx)
{
	struct kvm_cpuid_entry2 *c = cpuid_add(&table, leaf, index);

	ck_assert_ptr_nonnull(c);
	c->eax = eax;
	c->ebx = ebx;
	c->ecx = ecx;
	c->edx = edx;
	return c;
}

/* Caches as a host tells them, shared as no guest would: the sharing fields must not get through. */
static inline void put_caches(uint32_t leaf, uint32_t l2_ways)
{
	put(leaf, 0, 0xfffffd21, 7u << 22 | 63, 63, 0);
	put(leaf, 1, 0xfffffd22, 7u << 22 | 63, 63, 0);
	put(leaf, 2, 0xfffffd43, (l2_ways - 1) << 22 | 63, 1023, 0);
	put(leaf, 3, 0xfffffd63, 15u << 22 | 63, 16383, 0);
	put(leaf, 4, 0, 0, 0, 0);
}

/* What KVM_GET_SUPPORTED_CPUID gives: leaf 1 and 4 of the host, B and 1F with one zeroed sub-leaf. */
static inline void host_intel(uint32_t max_basic)
{
	table.nent = 0;
	put(0, -1, max_basic, 0x756e6547, 0x6c65746e, 0x49656e69);
	put(1, -1, 0x806f8, 0x77ff0800, 0x00200020, 0x0fffffff);
	put_caches(4, 16);
	put(7, 0, 0, 0, 0, 0);
	put(0xb, 0, 0, 0, 0, 0);
	put(0x1a, -1, 0x40000001, 0, 0, 0);
	put(0x1f, 0, 0, 0, 0, 0);
	put(0x80000000, -1, 0x80000008, 0, 0, 0);
	put(0x80000001, -1, 0, 0, 0x121, 0x2c100800);
	put(0x80000008, -1, 0x302e, 0, 0xbeef, 0);
}

static inline void host_amd(uint32_t max_basic, uint32_t max_extended)
{
	table.nent = 0;
	put(0, -1, max_basic, 0x68747541, 0x444d4163, 0x69746e65);
	put(1, -1, 0xa20f12, 0x77ff0800, 0x00200000, 0x0fffffff);
	put(0xb, 0, 0, 0, 0, 0);
	put(0x80000000, -1, max_extended, 0x68747541, 0x444d4163, 0x69746e65);
	put(0x80000001, -1, 0xa20f12, 0, 0x4, 0x2fd3fbff);
	put(0x80000005, -1, 0xff48ff40, 0xff48ff40, 0, 0);
	put(0x80000006, -1, 0x48002200, 0x68004200, 0, 0);
	put(0x80000008, -1, 0x3030, 0x111ef657, 0xffff007f, 0x10000);
	put(0x8000000a, -1, 1, 0x8000, 0, 0);
	put_caches(0x8000001d, 8);
	put(0x8000001e, -1, 0x55, 0x5555, 0x5555, 0);
}

static inline void host(enum cpuid_style style)
{
	if (style == CPUID_AMD)
		host_amd(0x10, 0x80000021);
	else
		host_intel(0x1f);
}

/* The shape, with the host's caches. */
static inline void place(const struct topology_spec *spec)
{
	static const struct cache_spec nothing_said;

	ck_assert_int_eq(topology_init(&t, spec, &e), 0);
	ck_assert_int_eq(caches_place(&t, &nothing_said, NULL, &table, &e), 0);
}

/* The whole way: the host's caches into the shape, the shape into the table, the first vCPU's values as well. */
static inline void build(const struct topology_spec *spec)
{
	place(spec);
	ck_assert_int_eq(cpuid_build(&table, &t, &e), 0);
	cpuid_set_place(&table, &t, &t.cpu[0]);
}

/* As a guest reads it: nothing there is zeros. */
static inline struct kvm_cpuid_entry2 reg(uint32_t leaf, uint32_t index)
{
	const struct kvm_cpuid_entry2 *c = cpuid_get(&table, leaf, index);

	return c ? *c : (struct kvm_cpuid_entry2){ 0 };
}

/* ---- the decoder: what Linux finds (arch/x86/kernel/cpu/topology_*.c, v6.12), written anew ---- */

enum domain { DOM_SMT, DOM_CORE, DOM_MODULE, DOM_DIE, NR_DOM };

/* end[d] is the first bit above the field of domain d; cpus[d] the processors in a unit of what is above d. */
struct decoded {
	unsigned int end[NR_DOM];
	unsigned int cpus[NR_DOM];
	unsigned int subleaves;
};

/*
 * B and 1F: each sub-leaf tells where the id of the next domain begins, and all domains above it begin there, too,
 * until another sub-leaf says more. Returns false when a sub-leaf contradicts the id, the number or the order.
 */
static inline bool decode_extended(uint32_t leaf, uint32_t apic_id, struct decoded *d)
{
	static const int domain_of[] = { -1, DOM_SMT, DOM_CORE, DOM_MODULE, -1, DOM_DIE };
	int last = -1;

	*d = (struct decoded){ 0 };
	for (uint32_t sub = 0; sub < 8; sub++) {
		struct kvm_cpuid_entry2 c = reg(leaf, sub);
		uint32_t type = (c.ecx >> 8) & 0xff;

		if (c.edx != apic_id || (c.ecx & 0xff) != sub || !(c.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX))
			return false;
		if (!type)
			return !c.eax && !c.ebx && sub >= 2;
		if (type >= ARRAY_SIZE(domain_of) || domain_of[type] <= last)
			return false;
		last = domain_of[type];
		for (int dom = last; dom < NR_DOM; dom++) {
			d->end[dom] = c.eax & 0x1f;
			d->cpus[dom] = c.ebx & 0xffff;
		}
		d->subleaves++;
	}
	return false;
}

static inline unsigned int field(uint32_t apic_id, unsigned int from, unsigned int to)
{
	return (apic_id >> from) & ((1u << (to - from)) - 1);
}

static inline unsigned int log2_up(unsigned int n)
{
	unsigned int bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

/* 1F, or B where the shape has neither dies nor modules: every number of the place comes back. */
static inline bool full_decode_fits(uint32_t leaf, const struct topo_cpu *p)
{
	uint32_t id = p->apic_id;
	struct decoded d;

	return decode_extended(leaf, id, &d) && field(id, 0, d.end[DOM_SMT]) == p->id[TOPO_THREAD] &&
	       field(id, d.end[DOM_SMT], d.end[DOM_CORE]) == p->id[TOPO_CORE] &&
	       field(id, d.end[DOM_CORE], d.end[DOM_MODULE]) == p->id[TOPO_MODULE] &&
	       field(id, d.end[DOM_MODULE], d.end[DOM_DIE]) == p->id[TOPO_DIE] &&
	       id >> d.end[DOM_DIE] == p->id[TOPO_PACKAGE] && d.cpus[DOM_SMT] == topology_cpus_in(&t, TOPO_CORE) &&
	       d.cpus[DOM_CORE] == topology_cpus_in(&t, TOPO_MODULE) &&
	       d.cpus[DOM_MODULE] == topology_cpus_in(&t, TOPO_DIE) &&
	       d.cpus[DOM_DIE] == topology_cpus_in(&t, TOPO_PACKAGE) &&
	       d.subleaves == 2u + (t.count[TOPO_MODULE] > 1) + (t.count[TOPO_DIE] > 1);
}

/* B: threads and packages come back; what is between them is one number. */
static inline bool leaf_b_fits(const struct topo_cpu *p)
{
	uint32_t id = p->apic_id;
	struct decoded d;

	return decode_extended(0xb, id, &d) && d.subleaves == 2 && field(id, 0, d.end[DOM_SMT]) == p->id[TOPO_THREAD] &&
	       id >> d.end[DOM_CORE] == p->id[TOPO_PACKAGE] && d.cpus[DOM_SMT] == topology_cpus_in(&t, TOPO_CORE) &&
	       d.cpus[DOM_CORE] == topology_cpus_in(&t, TOPO_PACKAGE);
}

/*
 * Leaf 1 and 4 alone, for guests from before leaf B: widths, rounded up to powers of two. The number of cores
 * has six bits; a guest that old meets no more.
 */
static inline bool intel_legacy_fits(const struct topo_cpu *p)
{
	struct kvm_cpuid_entry2 one = reg(1, 0);
	unsigned int ids = (one.edx >> 28 & 1) ? one.ebx >> 16 & 0xff : 1;
	unsigned int core_ids = (reg(4, 0).eax >> 26) + 1;
	unsigned int pkg = log2_up(ids), smt = pkg - log2_up(core_ids);
	bool all_cores = pkg - t.shift[TOPO_CORE] <= 6;

	return one.ebx >> 24 == (p->apic_id & 0xff) && p->apic_id >> pkg == p->id[TOPO_PACKAGE] &&
	       (!all_cores || field(p->apic_id, 0, smt) == p->id[TOPO_THREAD]);
}

/* 80000026: each level's own shift and size; the complex, where L3 is shared, is our die. */
static inline bool leaf_26_fits(const struct topo_cpu *p)
{
	uint32_t id = p->apic_id;
	struct kvm_cpuid_entry2 l[5];

	for (uint32_t sub = 0; sub < 5; sub++) {
		l[sub] = reg(0x80000026, sub);
		if (l[sub].edx != id || (l[sub].ecx & 0xff) != sub || (l[sub].ecx >> 8 & 0xff) != (sub + 1) % 5)
			return false;
	}
	return id >> l[3].eax == p->id[TOPO_PACKAGE] && field(id, l[2].eax, l[3].eax) == p->id[TOPO_DIE] &&
	       l[1].eax == l[2].eax && l[1].ebx == l[2].ebx && field(id, 0, l[0].eax) == p->id[TOPO_THREAD] &&
	       l[0].ebx == topology_cpus_in(&t, TOPO_CORE) && l[2].ebx == topology_cpus_in(&t, TOPO_DIE) &&
	       l[3].ebx == topology_cpus_in(&t, TOPO_PACKAGE) && !l[4].eax && !l[4].ebx;
}

/* 1, 80000008 and 8000001E: what Linux 6.1 takes without B, and the old count of processors. */
static inline bool amd_legacy_fits(const struct topo_cpu *p)
{
	struct kvm_cpuid_entry2 one = reg(1, 0), nc = reg(0x80000008, 0), ext = reg(0x8000001e, 0), f = reg(0x80000001, 0);
	unsigned int pkg = nc.ecx >> 12 & 0xf, cpus = topology_cpus_in(&t, TOPO_PACKAGE);
	unsigned int core = field(p->apic_id, t.shift[TOPO_CORE], t.shift[TOPO_PACKAGE]);
	bool many = cpus > 1;

	return p->apic_id >> pkg == p->id[TOPO_PACKAGE] && one.ebx >> 24 == (p->apic_id & 0xff) &&
	       (nc.ecx & 0xff) + 1 == cpus && (one.ebx >> 16 & 0xff) == cpus && (one.edx >> 28 & 1) == many &&
	       (f.ecx >> 1 & 1) == many && (f.ecx >> 22 & 1) && ext.eax == p->apic_id && (ext.ebx & 0xff) == core &&
	       (ext.ebx >> 8 & 0xff) + 1 == t.count[TOPO_THREAD] &&
	       (ext.ecx & 0xff) == ((p->apic_id >> t.shift[TOPO_DIE]) & 0xff) &&
	       ext.ecx >> 8 == MIN(t.count[TOPO_DIE] - 1, 7u);
}

/* Caches: ids which agree above the sharing field are neighbours at the cache; that must be one core, or one die. */
static inline bool caches_fit(uint32_t leaf)
{
	for (uint32_t i = 0; i < 4; i++) {
		struct kvm_cpuid_entry2 c = reg(leaf, i);

		if (1u << t.shift[i == 3 ? TOPO_DIE : TOPO_CORE] != (c.eax >> 14 & 0xfff) + 1 || !(c.eax & 0x100))
			return false;
	}
	return !reg(leaf, 4).eax;
}

static inline bool intel_fits(const struct topo_cpu *p)
{
	return full_decode_fits(0x1f, p) && leaf_b_fits(p) && intel_legacy_fits(p);
}

static inline bool amd_fits(const struct topo_cpu *p)
{
	return leaf_26_fits(p) && leaf_b_fits(p) && amd_legacy_fits(p);
}

#endif
