/*
 * What --cpuid and --msr ask for, where guests never look, or where it contradicts CPUID. That overridden registers
 * fit each other is the business of the other files: they read the table as it comes out.
 *
 * Sources: Intel SDM volume 2A, CPUID (253666-084), volume 3A, 11.4.4 and 11.12.1, volume 4, table 2-2; AMD APM
 * volume 2, 3.1.7 (24593), volume 3, appendix E (24594, revision 3.36); Linux v6.12, arch/x86/kernel/cpu/topology.c.
 */
#include "vmm/cpu/check_internal.h"

#include <stdio.h>

enum { SUBJECT = 48 };

#define HEX "0x%llx"

/* ---- CPUID ---- */

/* The leaf whose EAX tells how far the leaves around this one go. */
static uint32_t limit_leaf(uint32_t leaf)
{
	if (leaf >= 0x40000000 && leaf < 0x50000000)
		return leaf & ~0xffu; /* hypervisors' leaves come in blocks of 256 */
	return leaf < 0x80000000 ? 0 : leaf & 0xc0000000;
}

/* Does sub-leaf 0 EAX of this leaf tell the last sub-leaf? */
static bool counts_sub_leaves(uint32_t leaf)
{
	return leaf == 7 || leaf == 0x14 || leaf == 0x17 || leaf == 0x18 || leaf == 0x1d || leaf == 0x20 ||
	       leaf == 0x24;
}

/* What guests of this vendor read in place of a leaf, or NULL: they read it. */
static const char *read_instead(uint32_t leaf, bool amd)
{
	if (amd)
		return leaf == 4 ? "0x8000001d" : leaf == 2 ? "0x80000005 and 0x80000006" : NULL;
	return leaf == 0x8000001d ? "0x4" : leaf == 0x8000001e ? "0xb and 0x1f" : NULL;
}

static const char *subject(const struct cpuid_override *o, char buf[SUBJECT])
{
	static const char reg[][4] = { "eax", "ebx", "ecx", "edx" };
	char sub[16] = "", vcpu[16] = "";

	if (o->has_index)
		snprintf(sub, sizeof(sub), ".%u", o->index);
	if (o->vcpu != OVERRIDE_ALL_VCPUS)
		snprintf(vcpu, sizeof(vcpu), "@%u", o->vcpu);
	snprintf(buf, SUBJECT, "%x%s.%s%s", o->leaf, sub, reg[o->reg & 3], vcpu);
	return buf;
}

static void check_one_reach(const struct cpuid_override *o, const struct cpuid_table *table,
			    struct findings *f)
{
	bool amd = cpuid_style(table) == CPUID_AMD;
	uint32_t limit = limit_leaf(o->leaf);
	const struct kvm_cpuid_entry2 *end = cpuid_get(table, limit, 0),
				      *first = cpuid_get(table, o->leaf, 0);
	const char *instead = read_instead(o->leaf, amd);
	char buf[SUBJECT];

	subject(o, buf);
	if (!end)
		check_note(f, "--cpuid %s: there is no leaf %#x, so guests do not read it", buf, limit);
	else if (o->leaf != limit && o->leaf > end->eax)
		check_note(f, "--cpuid %s: leaf %#x ends at %#x, so guests do not read it", buf, limit,
			   end->eax);
	else if (instead)
		check_note(f, "--cpuid %s: guests on %s processors do not read leaf %#x, but %s", buf,
			   amd ? "AMD" : "Intel", o->leaf, instead);
	else if (counts_sub_leaves(o->leaf) && o->index && (!first || o->index > first->eax))
		check_note(f, "--cpuid %s: sub-leaf 0 EAX of leaf %#x ends at %u, so guests do not read it",
			   buf, o->leaf, first ? first->eax : 0);
}

/* The same register on one vCPU after another is worth one sentence. */
static bool seen_before(const struct cpuid_override *list, unsigned int i)
{
	for (unsigned int k = 0; k < i; k++)
		if (list[k].leaf == list[i].leaf && list[k].index == list[i].index &&
		    list[k].reg == list[i].reg)
			return true;
	return false;
}

static void check_cpuid_overrides(struct processors *p, struct findings *f)
{
	const struct cpuid_override *list = p->opts->cpuid;

	for (unsigned int i = 0; i < p->opts->nr_cpuids; i++) {
		unsigned int vcpu = list[i].vcpu == OVERRIDE_ALL_VCPUS ? 0 : list[i].vcpu;
		const struct cpuid_table *table;

		if (seen_before(list, i) || vcpu >= p->topo.nr_cpus)
			continue;
		table = processors_cpuid(p, vcpu);
		if (table)
			check_one_reach(&list[i], table, f);
	}
}

/* ---- MSRs ---- */

#define APIC_BASE_BSP      (1ull << 8)
#define APIC_BASE_X2APIC   (1ull << 10)
#define APIC_BASE_ENABLE   (1ull << 11)
#define APIC_BASE_DEFAULT  0xfee00000ull

#define CPUID_1_ECX_VMX    (1u << 5)
#define CPUID_1_ECX_X2APIC (1u << 21)

#define FEAT_CTL_LOCKED    (1ull << 0)
#define FEAT_CTL_VMX       (1ull << 1 | 1ull << 2) /* inside SMX, outside */

struct msr_case {
	const struct topology *t; /* borrowed, like all here */
	const struct kvm_cpuid_entry2 *one, *ext1;
	bool amd;
	uint64_t value;
	struct findings *f;
};

static void check_apic_base(const struct msr_case *m)
{
	unsigned long long v = m->value;
	bool x2apic = v & APIC_BASE_X2APIC, on = v & APIC_BASE_ENABLE;

	if (!on)
		check_note(m->f,
			   "--msr 0x1b=" HEX
			   ": bit 11 is clear, so every local APIC is off and no second vCPU can be started",
			   v);
	if (x2apic && !on)
		check_note(m->f,
			   "--msr 0x1b=" HEX ": bit 10 (x2APIC) without bit 11 (enable) is no valid state",
			   v);
	if (x2apic && !(m->one && m->one->ecx & CPUID_1_ECX_X2APIC))
		check_note(m->f,
			   "--msr 0x1b=" HEX
			   ": bit 10 sets x2APIC mode, leaf 0x1 ECX[21] tells that there is none",
			   v);
	if (!x2apic && topology_wide_ids(m->t))
		check_note(m->f,
			   "--msr 0x1b=" HEX
			   ": bit 10 is clear, but APIC ids go up to 0x%x, which needs x2APIC mode",
			   v, topology_max_apic_id(m->t));
	if ((v & ~0xfffull) != APIC_BASE_DEFAULT)
		check_note(m->f,
			   "--msr 0x1b=" HEX ": the local APICs move to " HEX
			   ", the MADT and KVM have them at 0xfee00000",
			   v, v & ~0xfffull);
	if (m->t->nr_cpus > 1 && v & APIC_BASE_BSP)
		check_note(m->f,
			   "--msr 0x1b=" HEX
			   ": bit 8 marks every vCPU as the boot processor, which only vCPU 0 is",
			   v);
	if (m->t->nr_cpus > 1 && !(v & APIC_BASE_BSP))
		check_note(m->f,
			   "--msr 0x1b=" HEX
			   ": bit 8 marks no vCPU as the boot processor: Linux 6.9 and newer take that for a "
			   "crash kernel's start and use one processor",
			   v);
}

static void check_efer(const struct msr_case *m)
{
	static const struct {
		unsigned int bit, cpuid;
		bool ecx;
		const char *name;
	} bits[] = {
		{ 0, 11, false, "SCE" },  { 8, 29, false, "LME" }, { 10, 29, false, "LMA" },
		{ 11, 20, false, "NXE" }, { 12, 2, true, "SVME" },
	};
	unsigned long long v = m->value;

	for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
		uint32_t reg = !m->ext1 ? 0 : bits[i].ecx ? m->ext1->ecx : m->ext1->edx;

		if (v >> bits[i].bit & 1 && !(reg >> bits[i].cpuid & 1))
			check_note(m->f,
				   "--msr 0xc0000080=" HEX
				   ": bit %u (%s) is set, leaf 0x80000001 %s[%u] tells that there is no "
				   "such feature",
				   v, bits[i].bit, bits[i].name, bits[i].ecx ? "ECX" : "EDX", bits[i].cpuid);
	}
	if (v >> 10 & 1 && !(v >> 8 & 1))
		check_note(m->f,
			   "--msr 0xc0000080=" HEX ": bit 10 (LMA) without bit 8 (LME) is no valid state", v);
}

static void check_feat_ctl(const struct msr_case *m)
{
	bool vmx = m->one && m->one->ecx & CPUID_1_ECX_VMX;
	unsigned long long v = m->value;

	if (m->amd)
		check_note(m->f, "--msr 0x3a=" HEX ": AMD processors have no such register", v);
	else if (!vmx && v & FEAT_CTL_VMX)
		check_note(m->f,
			   "--msr 0x3a=" HEX ": VMX is switched on, leaf 0x1 ECX[5] tells that there is none",
			   v);
	else if (vmx && v & FEAT_CTL_LOCKED && !(v & 1ull << 2))
		check_note(m->f,
			   "--msr 0x3a=" HEX ": VMX is locked off, leaf 0x1 ECX[5] tells that there is one",
			   v);
}

static void check_x2apic_id(const struct msr_case *m)
{
	check_note(m->f,
		   "--msr 0x802=" HEX
		   ": this register reads as each vCPU's own APIC id and cannot be written",
		   (unsigned long long)m->value);
}

static void check_msrs(struct processors *p, struct findings *f)
{
	static const struct {
		uint32_t index;
		void (*check)(const struct msr_case *m);
	} rules[] = {
		{ 0x1b, check_apic_base },
		{ 0x3a, check_feat_ctl },
		{ 0x802, check_x2apic_id },
		{ 0xc0000080, check_efer },
	};
	const struct cpuid_table *table = p->opts->nr_msrs ? processors_cpuid(p, 0) : NULL;
	struct msr_case m = { .t = &p->topo, .f = f };

	if (!table)
		return;
	m.one = cpuid_get(table, 1, 0);
	m.ext1 = cpuid_get(table, 0x80000001, 0);
	m.amd = cpuid_style(table) == CPUID_AMD;
	for (unsigned int i = 0; i < p->opts->nr_msrs; i++) {
		m.value = p->opts->msr[i].value;
		for (unsigned int k = 0; k < ARRAY_SIZE(rules); k++)
			if (rules[k].index == p->opts->msr[i].index)
				rules[k].check(&m);
	}
}

void check_overrides(struct processors *p, struct findings *f)
{
	if (!p->opts)
		return;
	check_cpuid_overrides(p, f);
	check_msrs(p, f);
}
