/*
 * One vCPU's leaves against each other and against its APIC id. How many processors a unit has is counted from
 * the ids of all vCPUs, never taken from the shape.
 *
 * Sources: Intel SDM volume 2A, CPUID (253666-084), and volume 3A, 9.9; AMD APM volume 3, appendix E.4 (24594,
 * revision 3.36). What guests make of it: Linux v6.1 and v6.12, hwloc 2.9.
 */
#include "vmm/cpu/check_internal.h"

#include <stdio.h>

#define CMP_LEGACY (1u << 1)  /* 80000001 ECX */
#define TOPOEXT    (1u << 22) /* 80000001 ECX */
#define X2APIC     (1u << 21) /* 1 ECX */
#define HTT        (1u << 28) /* 1 EDX */
#define HYBRID     (1u << 15) /* 7.0 EDX */
#define HYPERVISOR (1u << 31) /* 1 ECX */
#define MSI_EXT_ID (1u << 15) /* 40000001 EAX */

enum { LAST_LINUX_ID = 0x7fff }; /* MAX_LOCAL_APIC - 1: arch/x86/include/asm/apicdef.h, v6.12 */

static const uint32_t level_leaf[NR_LEVELS_LEAVES] = { 0xb, 0x1f, 0x80000026 };

/* ---- B, 1F, 80000026 ---- */

/* Types rise from 1; B knows 1 and 2, AMD's leaf 1 to 4, Intel's 1 to 6 (3 module, 4 tile, 5 die, 6 die group). */
static bool type_fits(unsigned int which, unsigned int sub, unsigned int type, unsigned int before)
{
	static const uint8_t highest[NR_LEVELS_LEAVES] = { 2, 6, 4 };

	return (sub ? type > before : type == 1) && type <= highest[which];
}

/* A sub-leaf with a type: what it says of the unit which ends at its shift. */
static void check_level(struct check *c, unsigned int cpu, unsigned int which, unsigned int sub,
			const struct kvm_cpuid_entry2 *e, struct check_levels *out)
{
	uint32_t leaf = level_leaf[which], key = leaf ^ sub << 16;
	unsigned int shift = e->eax & 0x1f, type = e->ecx >> 8 & 0xff, cpus = e->ebx & 0xffff, real;

	if (!type_fits(which, sub, type, sub ? out->type[sub - 1] : 0))
		check_say(c, cpu, key,
			  "leaf 0x%x sub-leaf %u ECX[15:8] tells level type %u, which cannot follow type %u: "
			  "guests "
			  "put the level in a wrong place, or stop there",
			  leaf, sub, type, sub ? out->type[sub - 1] : 0);
	if (sub && shift < out->shift[sub - 1])
		check_say(c, cpu, key,
			  "leaf 0x%x sub-leaf %u EAX ends its level at bit %u, below the %u of sub-leaf %u: "
			  "a level is "
			  "larger than the one around it",
			  leaf, sub, shift, out->shift[sub - 1], sub - 1);
	real = check_size(c, 0, shift, cpu);
	if (cpus != real)
		check_say(
			c, cpu, key,
			"leaf 0x%x sub-leaf %u EBX tells %u logical processor%s in a unit, but %u APIC id%s "
			"%s equal from its EAX's bit %u up",
			leaf, sub, cpus, check_plural(cpus), real, check_plural(real),
			real == 1 ? "is" : "are", shift);
	out->shift[sub] = (uint8_t)shift;
	out->type[sub] = (uint8_t)type;
	out->nr = (uint8_t)(sub + 1);
}

/* Behind the last level guests see nothing. */
static void check_level_rest(struct check *c, unsigned int cpu, unsigned int which, unsigned int end,
			     const struct kvm_cpuid_entry2 *const *level)
{
	for (unsigned int sub = end + 1; sub < CHECK_SUBS; sub++)
		if (level[sub] && (level[sub]->ecx >> 8 & 0xff))
			check_say(c, cpu, level_leaf[which],
				  "leaf 0x%x sub-leaf %u is filled in, but sub-leaf %u ends the list: guests "
				  "never read it",
				  level_leaf[which], sub, end);
}

static void check_levels(struct check *c, unsigned int cpu, unsigned int which, const struct check_leaves *l,
			 struct check_levels *out)
{
	const struct kvm_cpuid_entry2 *const *level = l->level[which];
	uint32_t leaf = level_leaf[which], id = c->t->cpu[cpu].apic_id;
	unsigned int sub;

	for (sub = 0; sub < CHECK_SUBS && level[sub]; sub++) {
		const struct kvm_cpuid_entry2 *e = level[sub];

		if (!sub && !(e->ebx & 0xffff))
			return; /* the leaf is there and empty: guests look elsewhere */
		if (e->edx != id)
			check_say(c, cpu, leaf,
				  "leaf 0x%x sub-leaf %u EDX tells APIC id 0x%x, the local APIC has 0x%x: "
				  "guests place this vCPU by one of them and reach it by the other",
				  leaf, sub, e->edx, id);
		if ((e->ecx & 0xff) != sub)
			check_say(
				c, cpu, leaf ^ sub << 16,
				"leaf 0x%x sub-leaf %u ECX[7:0] tells sub-leaf %u: the index that was asked "
				"for must come back",
				leaf, sub, e->ecx & 0xff);
		if (!(e->ecx & 0xff00))
			break;
		if (!(e->ebx & 0xffff)) {
			check_say(
				c, cpu, leaf ^ sub << 16,
				"leaf 0x%x sub-leaf %u EBX tells no processors in a level of type %u: Linux "
				"ends the list there, hwloc does not",
				leaf, sub, e->ecx >> 8 & 0xff);
			break;
		}
		check_level(c, cpu, which, sub, e, out);
	}
	if (sub == CHECK_SUBS)
		check_say(c, cpu, leaf,
			  "leaf 0x%x has no closing sub-leaf of type 0 among the first %u: guests that look "
			  "for it "
			  "do not stop",
			  leaf, sub);
	else
		check_level_rest(c, cpu, which, sub, level);
}

/* Can guests read it, and is there something to be read? */
static void check_reach(struct check *c, unsigned int cpu, unsigned int which, uint32_t max,
			struct check_seen *s)
{
	uint32_t leaf = level_leaf[which];

	if (max >= leaf)
		return;
	if (s->levels[which].nr)
		check_say(c, cpu, leaf,
			  "leaf 0x%x is filled in, but leaf 0x%x EAX tells 0x%x as the last leaf: guests do "
			  "not read "
			  "it",
			  leaf, leaf & 0x80000000, max);
	s->levels[which].nr = 0;
}

static unsigned int last_shift(const struct check_levels *levels)
{
	return levels->shift[levels->nr - 1];
}

static void check_two_leaves(struct check *c, unsigned int cpu, const struct check_seen *s, unsigned int a,
			     unsigned int b)
{
	const struct check_levels *x = &s->levels[a], *y = &s->levels[b];

	if (!x->nr || !y->nr)
		return;
	if (last_shift(x) != last_shift(y))
		check_say(
			c, cpu, level_leaf[b],
			"leaf 0x%x begins the package's id at bit %u, leaf 0x%x at bit %u: guests that read "
			"one find other packages than those that read the other",
			level_leaf[a], last_shift(x), level_leaf[b], last_shift(y));
	if (x->shift[0] != y->shift[0])
		check_say(
			c, cpu, level_leaf[b],
			"leaf 0x%x begins the core's id at bit %u, leaf 0x%x at bit %u: guests that read one "
			"find other cores than those that read the other",
			level_leaf[a], x->shift[0], level_leaf[b], y->shift[0]);
}

static void check_all_levels(struct check *c, unsigned int cpu, const struct check_leaves *l,
			     struct check_seen *s)
{
	for (unsigned int which = 0; which < NR_LEVELS_LEAVES; which++) {
		if (which == LEVELS_26 && !l->amd)
			continue; /* Intel's guests do not know it */
		check_levels(c, cpu, which, l, &s->levels[which]);
		check_reach(c, cpu, which, which == LEVELS_26 ? s->max_ext : s->max_basic, s);
	}
	check_two_leaves(c, cpu, s, LEVELS_B, LEVELS_1F);
	check_two_leaves(c, cpu, s, LEVELS_B, LEVELS_26);
	if (l->amd && s->max_basic >= 0x1f)
		check_say(c, cpu, 0,
			  "leaf 0x0 EAX tells 0x%x as the last leaf of an AMD processor, where 0x1f does not "
			  "exist: Linux "
			  "6.9 and newer prefer it to 0x80000026 and 0xb",
			  s->max_basic);
	else if (s->max_basic >= 0x1f && !s->levels[LEVELS_1F].nr)
		check_say(c, cpu, 0,
			  "leaf 0x0 EAX tells 0x%x as the last leaf, but leaf 0x1f is empty: hwloc does not "
			  "fall back to "
			  "leaf 0xb, Linux does",
			  s->max_basic);
}

/* ---- leaf 1 and what came before leaf B ---- */

/* Intel counts ids, rounded up to a power of two; AMD counts processors. Both have 8 bits. */
static void check_leaf1_count(struct check *c, unsigned int cpu, const struct check_leaves *l,
			      unsigned int shift)
{
	unsigned int told = l->one->ebx >> 16 & 0xff, cpus = MIN(check_size(c, 0, shift, cpu), 255u);

	if (l->amd && told != cpus)
		check_say(c, cpu, 1,
			  "leaf 0x1 EBX[23:16] tells %u logical processor%s, but the package (APIC id "
			  "bits from %u) has %u: guests without leaf 0xb count by the first",
			  told, check_plural(told), shift, cpus);
	else if (!l->amd && check_bits(told) != MIN(shift, 8u))
		check_say(c, cpu, 1,
			  "leaf 0x1 EBX[23:16] tells %u APIC id%s in a package, leaf 0xb that packages begin "
			  "at bit %u: guests without leaf 0xb find other packages",
			  told, check_plural(told), shift);
}

/*
 * Without interrupt remapping Linux uses x2APIC mode only where a hypervisor is known to give it, and then ids above
 * 255 only if messages can carry them (arch/x86/kernel/apic/apic.c, v6.12, try_to_enable_x2apic()).
 */
static void check_linux_reach(struct check *c, unsigned int cpu, const struct check_leaves *l)
{
	bool is_kvm = l->one->ecx & HYPERVISOR && l->kvm && l->kvm->ebx == 0x4b4d564b &&
		      l->kvm->ecx == 0x564b4d56 && l->kvm->edx == 0x4d; /* KVMKVMKVM */
	uint32_t id = c->t->cpu[cpu].apic_id;

	if (id > LAST_LINUX_ID)
		check_say(c, cpu, 1, "APIC id 0x%x is above 0x%x, the last that Linux starts", id,
			  (unsigned int)LAST_LINUX_ID);
	else if (id > 254 && !is_kvm)
		check_say(c, cpu, 0x40000000,
			  "APIC id 0x%x: guests do not see KVM's leaf 0x40000000, without which Linux does "
			  "not use x2APIC mode "
			  "and does not start this vCPU",
			  id);
	else if (id > 255 && !(l->kvm1 && l->kvm1->eax & MSI_EXT_ID))
		check_say(c, cpu, 0x40000001,
			  "APIC id 0x%x: leaf 0x40000001 EAX[15] does not tell that interrupts reach ids "
			  "above 255, so Linux "
			  "does not start this vCPU",
			  id);
}

static void check_leaf1(struct check *c, unsigned int cpu, const struct check_leaves *l,
			const struct check_seen *s)
{
	uint32_t id = c->t->cpu[cpu].apic_id;
	unsigned int shift = s->shift[TOPO_PACKAGE];
	bool htt = l->one->edx & HTT;

	if (l->one->ebx >> 24 != (id & 0xff))
		check_say(c, cpu, 1,
			  "leaf 0x1 EBX[31:24] tells APIC id 0x%x, the local APIC has 0x%x (of which its low "
			  "8 bits fit)",
			  l->one->ebx >> 24, id);
	if (id > 254 && !(l->one->ecx & X2APIC))
		check_say(c, cpu, 1,
			  "APIC id 0x%x needs x2APIC mode, leaf 0x1 ECX[21] tells that there is none", id);
	check_linux_reach(c, cpu, l);
	if ((l->one->ecx & X2APIC) && !s->levels[LEVELS_B].nr)
		check_say(c, cpu, 0xb,
			  "leaf 0x1 ECX[21] tells of x2APIC, but leaf 0xb, where its id is, cannot be read");
	if (shift == CHECK_UNKNOWN)
		return;
	if (htt)
		check_leaf1_count(c, cpu, l, shift);
	else if (l->amd ? check_size(c, 0, shift, cpu) > 1 : shift > 0)
		check_say(c, cpu, 1,
			  "leaf 0x1 EDX[28] (HTT) is clear, but packages have %u id%s (from bit %u) and this "
			  "one %u processor%s: old guests see one in each",
			  1u << shift, check_plural(1u << shift), shift, check_size(c, 0, shift, cpu),
			  check_plural(check_size(c, 0, shift, cpu)));
	if (htt && !(l->amd ? c->many : shift > 0))
		check_say(c, cpu, 1, "leaf 0x1 EDX[28] (HTT) is set, but no package has a second %s",
			  l->amd ? "processor" : "APIC id");
}

/* Linux v6.1, detect_ht_early(): with CmpLegacy the Intel way of counting is not tried, without it it is. */
static void check_cmp_legacy(struct check *c, unsigned int cpu, const struct check_leaves *l)
{
	bool htt = l->one && (l->one->edx & HTT), legacy = l->ext1 && (l->ext1->ecx & CMP_LEGACY);

	if (l->amd && htt != legacy)
		check_say(c, cpu, 0x80000001,
			  "leaf 0x1 EDX[28] (HTT) is %u, leaf 0x80000001 ECX[1] (CmpLegacy) is %u: on AMD "
			  "processors both or none are set, or Linux before 6.9 takes cores for threads",
			  htt, legacy);
	if (!l->amd && legacy)
		check_say(c, cpu, 0x80000001,
			  "leaf 0x80000001 ECX[1] (CmpLegacy) is set on a processor that is not AMD's: Linux "
			  "before "
			  "6.9 then does not look for threads");
}

/* ---- AMD's own leaves ---- */

static void check_leaf8(struct check *c, unsigned int cpu, const struct check_leaves *l, unsigned int shift)
{
	unsigned int cpus = check_size(c, 0, shift, cpu), told = (l->ext8->ecx & 0xff) + 1,
		     size = l->ext8->ecx >> 12 & 15;

	if (told != MIN(cpus, 256u))
		check_say(c, cpu, 0x80000008,
			  "leaf 0x80000008 ECX[7:0] tells %u processor%s, but the package (APIC id bits from "
			  "%u) has %u",
			  told, check_plural(told), shift, cpus);
	if (size != MIN(shift, 15u))
		check_say(c, cpu, 0x80000008,
			  "leaf 0x80000008 ECX[15:12] begins the package's id at bit %u, leaf 0xb at bit %u",
			  size, shift);
}

/* 8000001E: guests without leaf B find cores by it, and all find nodes. */
static void check_leaf1e(struct check *c, unsigned int cpu, const struct check_leaves *l,
			 struct check_seen *s)
{
	uint32_t id = c->t->cpu[cpu].apic_id, pkg = s->shift[TOPO_PACKAGE], smt = s->shift[TOPO_CORE];
	uint32_t core = (id & ((1u << pkg) - 1)) >> smt, threads = check_size(c, 0, smt, cpu);
	char bits[CHECK_BIT_NAMES];

	if (l->ext1e->eax != id)
		check_say(c, cpu, 0x8000001e,
			  "leaf 0x8000001e EAX tells APIC id 0x%x, the local APIC has 0x%x", l->ext1e->eax,
			  id);
	if ((l->ext1e->ebx >> 8 & 0xff) + 1 != threads)
		check_say(c, cpu, 0x8000001e,
			  "leaf 0x8000001e EBX[15:8] tells %u thread%s in a core, but %u APIC id%s equal "
			  "from bit %u up",
			  (l->ext1e->ebx >> 8 & 0xff) + 1, check_plural((l->ext1e->ebx >> 8 & 0xff) + 1),
			  threads, threads == 1 ? " is" : "s are", smt);
	if ((l->ext1e->ebx & 0xff) != (core & 0xff))
		check_say(c, cpu, 0x8000001e,
			  "leaf 0x8000001e EBX[7:0] tells core %u, the APIC id 0x%x has %u there (%s)",
			  l->ext1e->ebx & 0xff, id, core, check_bit_names(smt, pkg, bits));
	s->node = (int)(l->ext1e->ecx & 0xff);
	s->nodes = (l->ext1e->ecx >> 8 & 7) + 1;
}

static void check_amd(struct check *c, unsigned int cpu, const struct check_leaves *l, struct check_seen *s)
{
	bool topoext = l->ext1 && (l->ext1->ecx & TOPOEXT);

	if (!topoext && ((l->cache[1][0] && l->cache[1][0]->eax) || (l->ext1e && l->ext1e->eax)))
		check_say(c, cpu, 0x80000001,
			  "leaf 0x80000001 ECX[22] (TopologyExtensions) is clear, but leaves 0x8000001d and "
			  "0x8000001e "
			  "are filled in: Linux ignores these, and leaf 0xb, too");
	if (s->max_ext < 0x8000001e && (l->cache[1][0] || l->ext1e))
		check_say(
			c, cpu, 0x80000000,
			"leaf 0x80000000 EAX tells 0x%x as the last leaf: guests do not read 0x8000001d and "
			"0x8000001e, which are filled in",
			s->max_ext);
	if (s->shift[TOPO_PACKAGE] == CHECK_UNKNOWN || s->shift[TOPO_CORE] == CHECK_UNKNOWN)
		return;
	if (l->ext8)
		check_leaf8(c, cpu, l, s->shift[TOPO_PACKAGE]);
	if (l->ext1e && topoext)
		check_leaf1e(c, cpu, l, s);
}

/* ---- hybrid parts ---- */

static void check_core_type(struct check *c, unsigned int cpu, const struct check_leaves *l,
			    const struct check_seen *s)
{
	static const uint8_t type_of[] = {
		[TOPO_ALIKE] = 0, [TOPO_PERFORMANCE] = 0x40, [TOPO_EFFICIENCY] = 0x20
	};
	bool hybrid = l->seven && (l->seven->edx & HYBRID);
	unsigned int type = l->type && s->max_basic >= 0x1a ? l->type->eax >> 24 : 0;

	if (hybrid && !type)
		check_say(c, cpu, 0x1a,
			  "leaf 0x7 EDX[15] tells of a hybrid part, leaf 0x1a EAX[31:24] of no core type");
	else if (!hybrid && type)
		check_say(c, cpu, 0x1a,
			  "leaf 0x1a EAX[31:24] tells core type 0x%x, leaf 0x7 EDX[15] that this is no "
			  "hybrid part",
			  type);
	else if (hybrid && type != type_of[c->t->cpu[cpu].core_type])
		check_say(c, cpu, 0x1a, "leaf 0x1a EAX[31:24] tells core type 0x%x, asked for was %s", type,
			  c->t->cpu[cpu].core_type == TOPO_PERFORMANCE  ? "a performance core (0x40)"
			  : c->t->cpu[cpu].core_type == TOPO_EFFICIENCY ? "an efficiency core (0x20)"
									: "a machine of one kind of core");
	else if (!hybrid && c->t->hybrid)
		check_say(c, cpu, 0x1a,
			  "asked for were performance and efficiency cores, leaf 0x7 EDX[15] tells of no "
			  "hybrid part");
}

/* ---- where units begin ---- */

/* Intel: a level reaches from the bit where the one before ends; AMD's 80000026 tells a level's own end. */
static void units_between(const struct check_levels *f, struct check_seen *s)
{
	for (unsigned int i = 1; i < f->nr; i++) {
		if (f->type[i] == 3)
			s->shift[TOPO_MODULE] = f->shift[i - 1];
		if (f->type[i] == 5)
			s->shift[TOPO_DIE] = f->shift[i - 1];
	}
}

/* Without B and 1F: counts of ids (Intel) or 80000008 and 8000001E (AMD). */
static void units_legacy(const struct check_leaves *l, struct check_seen *s)
{
	const struct kvm_cpuid_entry2 *l1 = l->cache[0][0];
	unsigned int pkg, cores;

	if (l->amd) {
		if (l->ext8)
			s->shift[TOPO_PACKAGE] = l->ext8->ecx >> 12 & 15;
		if (l->ext1e)
			s->shift[TOPO_CORE] = (uint8_t)check_bits((l->ext1e->ebx >> 8 & 0xff) + 1);
		return;
	}
	if (!l->one)
		return;
	pkg = l->one->edx & HTT ? check_bits(l->one->ebx >> 16 & 0xff) : 0;
	s->shift[TOPO_PACKAGE] = (uint8_t)pkg;
	if (!l1 || s->max_basic < 4)
		return;
	cores = check_bits((l1->eax >> 26) + 1);
	s->shift[TOPO_CORE] = (uint8_t)(pkg - MIN(cores, pkg));
}

static void find_units(const struct check_leaves *l, struct check_seen *s)
{
	const struct check_levels *b = &s->levels[LEVELS_B], *f = &s->levels[LEVELS_1F],
				  *x = &s->levels[LEVELS_26];
	const struct check_levels *best = l->amd ? (x->nr ? x : b) : (f->nr ? f : b);

	memset(s->shift, CHECK_UNKNOWN, sizeof(s->shift));
	if (best->nr) {
		s->shift[TOPO_CORE] = best->shift[0];
		s->shift[TOPO_PACKAGE] = (uint8_t)last_shift(best);
	} else {
		units_legacy(l, s);
	}
	if (!l->amd)
		units_between(f, s);
	for (unsigned int i = 0; l->amd && i < x->nr; i++)
		if (x->type[i] == 3)
			s->shift[TOPO_DIE] = x->shift[i];
}

enum { LIST_BYTES = CHECK_SUBS * 8 };

/* "1:1 2:4", or "none". */
static const char *level_list(const struct check_levels *levels, char buf[LIST_BYTES])
{
	size_t at = 0;

	strcpy(buf, "none");
	for (unsigned int i = 0; i < levels->nr; i++)
		at += (size_t)snprintf(buf + at, LIST_BYTES - at, "%s%u:%u", i ? " " : "", levels->type[i],
				       levels->shift[i]);
	return buf;
}

/* Linux 6.9 and newer take shifts and types from the boot processor, and complain of others'. */
static void check_like_first(struct check *c, unsigned int cpu)
{
	const struct check_seen *s = &c->seen[cpu], *boot = &c->seen[0];
	char own[LIST_BYTES], first[LIST_BYTES];

	for (unsigned int which = 0; which < NR_LEVELS_LEAVES; which++)
		if (memcmp(&s->levels[which], &boot->levels[which], sizeof(s->levels[which])))
			check_say(c, cpu, level_leaf[which],
				  "leaf 0x%x lists levels (type:bits) %s, on vCPU 0 %s: all processors must "
				  "agree where ids are split",
				  level_leaf[which], level_list(&s->levels[which], own),
				  level_list(&boot->levels[which], first));
	if (s->max_basic != boot->max_basic || s->max_ext != boot->max_ext)
		check_say(c, cpu, 0,
			  "leaves 0x0 and 0x80000000 EAX tell 0x%x and 0x%x as the last leaves, on vCPU 0 "
			  "0x%x and 0x%x",
			  s->max_basic, s->max_ext, boot->max_basic, boot->max_ext);
}

void check_leaves(struct check *c, unsigned int cpu, const struct check_leaves *l)
{
	struct check_seen *s = &c->seen[cpu];

	s->node = -1;
	s->max_basic = l->basic ? l->basic->eax : 0;
	s->max_ext = l->ext ? l->ext->eax : 0;
	if (!l->ext && !l->amd)
		check_say(
			c, cpu, 0x80000000,
			"there is no leaf 0x80000000: KVM answers with the last basic leaf, 0x%x, and guests "
			"take that for a number of leaves",
			s->max_basic);
	check_all_levels(c, cpu, l, s);
	find_units(l, s);
	if (l->one)
		check_leaf1(c, cpu, l, s);
	check_cmp_legacy(c, cpu, l);
	if (l->amd)
		check_amd(c, cpu, l, s);
	else
		check_core_type(c, cpu, l, s);
	check_like_first(c, cpu);
}
