/*
 * CPUID leaf D: which state components XSAVE knows, where in its area they lie, and how large that is. Each component
 * belongs to a feature, and neither is there without the other (Intel SDM volume 1, 13.2; AMD APM volume 2, 11.5).
 */
#include <errno.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/model_internal.h"

/* An area begins with the legacy region and the header; reset leaves only x87 enabled in XCR0 (SDM volume 1, 13.4, 13.6). */
enum { AREA_START = 512 + 64 };

#define ALIGNED     (1u << 1) /* ECX: in the compacted form, on a 64-byte boundary */
#define FAULTS      (1u << 2) /* ECX: XFD can disable it */
#define SUPERVISOR  (1u << 0) /* ECX: in XSS, not in XCR0 */
#define X87_AND_SSE 3u

/*
 * Components with the features they belong to. Offsets in the standard form are the processor's own: AMD's have no gap
 * where Intel's had MPX. 0: the vendor has none, so the host's must be taken.
 */
static const struct component {
	uint8_t nr;
	bool supervisor;
	const char *feature;
	uint16_t size, intel, amd;
	uint32_t ecx;
} components[] = {
	{ 2, false, "avx", 256, 576, 576, 0 },
	{ 3, false, "mpx", 64, 960, 0, 0 },
	{ 4, false, "mpx", 64, 1024, 0, 0 },
	{ 5, false, "avx512f", 64, 1088, 832, 0 },
	{ 6, false, "avx512f", 512, 1152, 896, 0 },
	{ 7, false, "avx512f", 1024, 1664, 1408, 0 },
	{ 8, true, "intel_pt", 128, 0, 0, 0 },
	{ 9, false, "pku", 8, 2688, 2432, 0 },
	{ 10, true, "enqcmd", 8, 0, 0, 0 },
	{ 11, true, "shstk", 16, 0, 0, 0 },
	{ 12, true, "shstk", 24, 0, 0, 0 },
	{ 14, true, "uintr", 48, 0, 0, 0 },
	{ 15, true, "arch_lbr", 808, 0, 0, 0 },
	{ 17, false, "amx_tile", 64, 2752, 2752, ALIGNED },
	{ 18, false, "amx_tile", 8192, 2816, 2816, ALIGNED | FAULTS },
};

uint64_t xsave_components(const struct build *b, const struct feature_set *s)
{
	uint64_t mask = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(components); i++)
		if (set_has(s, feature_number(&b->graph, components[i].feature)))
			mask |= 1ull << components[i].nr;
	return mask;
}

/* XCR0 and XSS as a table allows them. */
static uint64_t table_components(const struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *user = cpuid_get(table, 0xd, 0);
	const struct kvm_cpuid_entry2 *more = cpuid_get(table, 0xd, 1);
	uint64_t mask = user ? user->eax | (uint64_t)user->edx << 32 : 0;

	/* An entry without sub-leaves answers for index 1, too, but not with XSS. */
	if (more && more != user)
		mask |= more->ecx | (uint64_t)more->edx << 32;
	return mask;
}

void xsave_limit(const struct build *b, struct feature_set *s, const struct cpuid_table *table)
{
	uint64_t mask = table_components(table);

	for (unsigned int i = 0; i < ARRAY_SIZE(components); i++)
		if (!components[i].supervisor && !(mask >> components[i].nr & 1))
			set_take(s, feature_number(&b->graph, components[i].feature));
	if ((mask & X87_AND_SSE) != X87_AND_SSE)
		set_take(s, feature_number(&b->graph, "xsave"));
}

/* One component as the guest will see it: the host's where the guest runs there, since the hardware lays it out. */
static struct kvm_cpuid_entry2 component_entry(const struct build *b, const struct component *c)
{
	const struct kvm_cpuid_entry2 *host = b->fixed ? NULL : cpuid_get(b->host->table, 0xd, c->nr);
	struct kvm_cpuid_entry2 entry = { .function = 0xd,
					  .index = c->nr,
					  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX };

	if (host && host->index == c->nr && host->eax) {
		entry.eax = host->eax;
		entry.ebx = host->ebx;
		entry.ecx = host->ecx;
		return entry;
	}
	entry.eax = c->size;
	entry.ebx = b->style == CPUID_AMD ? c->amd : c->intel;
	entry.ecx = c->ecx | (c->supervisor ? SUPERVISOR : 0);
	return entry;
}

/* Sub-leaves 2 and up. XSS components exist only where the host says how large they are and XSAVES is there. */
static int write_components(struct build *b, uint64_t *user, uint64_t *supervisor, uint32_t *area)
{
	uint64_t wanted = xsave_components(b, &b->want);
	uint64_t host = b->fixed ? 0 : table_components(b->host->table);
	bool xsaves = set_has(&b->want, feature_number(&b->graph, "xsaves"));

	for (unsigned int i = 0; i < ARRAY_SIZE(components); i++) {
		const struct component *c = &components[i];
		struct kvm_cpuid_entry2 entry, *new;

		if (!(wanted >> c->nr & 1) || (c->supervisor && !(xsaves && (host >> c->nr & 1))))
			continue;
		entry = component_entry(b, c);
		if (!c->supervisor && !entry.ebx)
			continue;
		new = cpuid_add(b->out, 0xd, c->nr);
		if (!new)
			return -ENOSPC;
		*new = entry;
		*(c->supervisor ? supervisor : user) |= 1ull << c->nr;
		if (!c->supervisor && entry.eax <= UINT32_MAX - entry.ebx)
			*area = MAX(*area, entry.ebx + entry.eax);
	}
	return 0;
}

int xsave_write(struct build *b)
{
	static const char *const kinds[] = { "xsaveopt", "xsavec", "xgetbv1", "xsaves",
					     "xfd" }; /* D.1 EAX[4:0] */
	uint64_t user = X87_AND_SSE, supervisor = 0;
	uint32_t area = AREA_START;
	struct kvm_cpuid_entry2 *first, *second, *limit = cpuid_find(b->out, 0, 0);

	cpuid_drop(b->out, 0xd);
	if (!set_has(&b->want, feature_number(&b->graph, "xsave")))
		return 0;
	first = cpuid_add(b->out, 0xd, 0);
	second = cpuid_add(b->out, 0xd, 1);
	if (!first || !second || write_components(b, &user, &supervisor, &area) < 0)
		return -ENOSPC;
	if (limit)
		limit->eax = MAX(limit->eax, 0xdu);
	first->eax = (uint32_t)user;
	first->edx = (uint32_t)(user >> 32);
	first->ebx =
		AREA_START; /* for XCR0 as reset leaves it; KVM rewrites it when the guest changes XCR0 */
	first->ecx = area;
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		second->eax |= (uint32_t)set_has(&b->want, feature_number(&b->graph, kinds[i])) << i;
	if (second->eax & (1u << 1 | 1u << 3)) /* XSAVEC or XSAVES: the compacted form's size */
		second->ebx = AREA_START;
	second->ecx = (uint32_t)supervisor;
	second->edx = (uint32_t)(supervisor >> 32);
	return 0;
}
