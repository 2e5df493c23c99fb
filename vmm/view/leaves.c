/* CPUID as a guest reads it. Pure; it knows nothing of how the table was made. */
#include "vmm/view/leaves.h"

enum { FIND_LIMIT = 0x100 }; /* leaves of one range that are looked at: an override may claim four billion */

#define HYPERVISOR_BASE 0x40000000u
#define EXTENDED_BASE   0x80000000u

static enum vendor vendor_of(const struct cpuid_table *table)
{
	static const struct {
		const char *text;
		enum vendor vendor;
	} known[] = {
		{ "GenuineIntel", VENDOR_INTEL },   { "AuthenticAMD", VENDOR_AMD },
		{ "HygonGenuine", VENDOR_HYGON },   { "  Shanghai  ", VENDOR_ZHAOXIN },
		{ "CentaurHauls", VENDOR_ZHAOXIN },
	};
	char vendor[13];

	cpuid_vendor(table, vendor);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(vendor, known[i].text))
			return known[i].vendor;
	return VENDOR_OTHER;
}

static struct regs regs_of(const struct kvm_cpuid_entry2 *c)
{
	return (struct regs){ c->eax, c->ebx, c->ecx, c->edx };
}

/* Is the leaf above what its range claims? The ranges are those that KVM distinguishes. */
static bool out_of_range(const struct cpuid_table *table, uint32_t leaf)
{
	const struct kvm_cpuid_entry2 *class;

	if (leaf >= HYPERVISOR_BASE && leaf <= 0x4fffffffu)
		class = cpuid_get(table, leaf & 0xffffff00u, 0);
	else if (leaf >= 0xc0000000u)
		class = cpuid_get(table, 0xc0000000u, 0);
	else
		class = cpuid_get(table, leaf & 0x80000000u, 0);
	return !class || leaf > class->eax;
}

struct regs leaves_answer(const struct cpuid_table *table, uint32_t leaf, uint32_t index)
{
	const struct kvm_cpuid_entry2 *c = cpuid_get(table, leaf, index), *basic;

	if (c)
		return regs_of(c);
	basic = cpuid_get(table, 0, 0);
	if (basic && cpuid_style(table) != CPUID_AMD && out_of_range(table, leaf)) {
		c = cpuid_get(table, basic->eax, index);
		if (c)
			return regs_of(c);
		leaf = basic->eax;
	}
	c = leaf == 0xb || leaf == 0x1f ? cpuid_get(table, leaf, 1) : NULL;
	return c ? (struct regs){ .ecx = index & 0xff, .edx = c->edx } : (struct regs){ 0 };
}

bool leaves_indexed(const struct cpuid_table *table, uint32_t leaf)
{
	for (uint32_t i = 0; i < table->nent; i++)
		if (table->entry[i].function == leaf &&
		    table->entry[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)
			return true;
	return false;
}

/* The next larger sub-leaf that the table has, from `from` up. Returns false when there is none. */
static bool next_index(const struct cpuid_table *table, uint32_t leaf, uint64_t from, uint32_t *index)
{
	bool found = false;

	for (uint32_t i = 0; i < table->nent; i++) {
		const struct kvm_cpuid_entry2 *c = &table->entry[i];

		if (c->function != leaf || !(c->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || c->index < from)
			continue;
		if (!found || c->index < *index)
			*index = c->index;
		found = true;
	}
	return found;
}

/* Lists that a reader walks until something says stop: is this sub-leaf the one? */
static bool ends_list(uint32_t leaf, const struct regs *r)
{
	switch (leaf) {
	case 4:
	case 0x8000001d:
		return !cache_type_of(r);
	case 0xb:
	case 0x1f:
	case 0x80000026:
		return !level_type(r);
	default:
		return true;
	}
}

static void each_index(const struct cpuid_table *table, uint32_t leaf,
		       void (*each)(void *ctx, uint32_t leaf, uint32_t index, bool indexed,
				    const struct regs *regs),
		       void *ctx)
{
	bool indexed = leaves_indexed(table, leaf);
	uint32_t index = 0;
	uint64_t from = 0;
	struct regs r = { 0 };

	if (!indexed) {
		r = leaves_answer(table, leaf, 0);
		each(ctx, leaf, 0, false, &r);
		return;
	}
	while (from <= UINT32_MAX && next_index(table, leaf, from, &index)) {
		r = leaves_answer(table, leaf, index);
		each(ctx, leaf, index, true, &r);
		from = (uint64_t)index + 1;
	}
	if (!ends_list(leaf, &r) && index < UINT32_MAX) {
		r = leaves_answer(table, leaf, index + 1);
		each(ctx, leaf, index + 1, true, &r);
	}
}

static void each_in_range(const struct cpuid_table *table, uint32_t base,
			  void (*each)(void *ctx, uint32_t leaf, uint32_t index, bool indexed,
				       const struct regs *regs),
			  void *ctx)
{
	const struct kvm_cpuid_entry2 *c = cpuid_get(table, base, 0);

	if (!c || c->eax < base)
		return;
	for (uint32_t leaf = base; leaf - base <= MIN(c->eax - base, FIND_LIMIT - 1u); leaf++)
		each_index(table, leaf, each, ctx);
}

void leaves_each(const struct cpuid_table *table,
		 void (*each)(void *ctx, uint32_t leaf, uint32_t index, bool indexed,
			      const struct regs *regs),
		 void *ctx)
{
	const struct kvm_cpuid_entry2 *l1 = cpuid_get(table, 1, 0);

	each_in_range(table, 0, each, ctx);
	/* Other hypervisors' leaves follow at steps of 0x100; KVM shows its own behind them when both are there. */
	for (uint32_t base = HYPERVISOR_BASE; l1 && l1->ecx >> 31 && base < HYPERVISOR_BASE + 0x1000;
	     base += 0x100)
		each_in_range(table, base, each, ctx);
	each_in_range(table, EXTENDED_BASE, each, ctx);
}

/* ---- the few that tell topology ---- */

static struct regs in_range(const struct cpuid_table *table, const struct leaves *l, uint32_t leaf)
{
	bool there = leaf >= EXTENDED_BASE ? leaf <= l->max_extended : leaf <= l->max_basic;

	return there ? leaves_answer(table, leaf, 0) : (struct regs){ 0 };
}

static void read_levels(const struct cpuid_table *table, uint32_t leaf, struct leaves_levels *out)
{
	while (out->nr < LEAVES_LEVELS) {
		struct regs r = leaves_answer(table, leaf, out->nr);

		if (!r.eax && !r.ebx && !level_type(&r))
			break;
		out->sub[out->nr++] = r;
	}
}

static void read_caches(const struct cpuid_table *table, uint32_t leaf, struct leaves_caches *out)
{
	while (out->nr < LEAVES_CACHES) {
		struct regs r = leaves_answer(table, leaf, out->nr);

		if (!cache_type_of(&r))
			break;
		out->sub[out->nr++] = r;
	}
}

/* Family and model as Linux has them (arch/x86/lib/cpu.c, v6.12). */
static void read_signature(struct leaves *l)
{
	uint32_t sig = l->l1.eax;

	l->family = (sig >> 8) & 0xf;
	l->model = (sig >> 4) & 0xf;
	l->stepping = sig & 0xf;
	if (l->family == 0xf)
		l->family += (sig >> 20) & 0xff;
	if (l->family >= 6)
		l->model |= ((sig >> 16) & 0xf) << 4;
}

void leaves_read(const struct cpuid_table *table, uint32_t apic_id, struct leaves *out)
{
	uint32_t extended = leaves_answer(table, EXTENDED_BASE, 0).eax;

	*out = (struct leaves){ .vendor = vendor_of(table), .apic_id = apic_id };
	out->max_basic = leaves_answer(table, 0, 0).eax;
	out->max_extended = extended >> 16 == 0x8000 ? extended : 0;
	out->l1 = in_range(table, out, 1);
	out->l7 = in_range(table, out, 7);
	out->l1a = in_range(table, out, 0x1a);
	out->e1 = in_range(table, out, 0x80000001);
	out->e5 = in_range(table, out, 0x80000005);
	out->e6 = in_range(table, out, 0x80000006);
	out->e8 = in_range(table, out, 0x80000008);
	out->e1e = in_range(table, out, 0x8000001e);
	read_signature(out);
	if (out->max_basic >= 0xb)
		read_levels(table, 0xb, &out->lb);
	if (out->max_basic >= 0x1f)
		read_levels(table, 0x1f, &out->l1f);
	if (out->max_extended >= 0x80000026)
		read_levels(table, 0x80000026, &out->e26);
	if (out->max_basic >= 4)
		read_caches(table, 4, &out->l4);
	if (out->max_extended >= 0x8000001d)
		read_caches(table, 0x8000001d, &out->e1d);
}

uint64_t cache_bytes(const struct regs *r)
{
	return (uint64_t)((r->ebx & 0xfff) + 1) * (((r->ebx >> 12) & 0x3ff) + 1) * ((r->ebx >> 22) + 1) *
	       ((uint64_t)r->ecx + 1);
}

unsigned int bits_for(unsigned int v)
{
	unsigned int bits = 0;

	while (bits < 31 && 1u << bits < v)
		bits++;
	return bits;
}
