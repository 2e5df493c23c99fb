/*
 * CPUID tables. The topology leaves are in cpuid_topology.c; here is what surrounds them.
 */
#include "vmm/cpu/cpuid.h"


#include "vmm/cpu/cpuid_internal.h"

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < table->nent; i++) {
		struct kvm_cpuid_entry2 *c = &table->entry[i];

		if (c->function == leaf && (!(c->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || c->index == index))
			return c;
	}
	return NULL;
}

const struct kvm_cpuid_entry2 *cpuid_get(const struct cpuid_table *table, uint32_t leaf, uint32_t index)
{
	return cpuid_find((struct cpuid_table *)table, leaf, index);
}

void cpuid_drop(struct cpuid_table *table, uint32_t leaf)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < table->nent; i++)
		if (table->entry[i].function != leaf)
			table->entry[kept++] = table->entry[i];
	table->nent = kept;
}

struct kvm_cpuid_entry2 *cpuid_add(struct cpuid_table *table, uint32_t leaf, int index)
{
	struct kvm_cpuid_entry2 *c;

	if (table->nent == CPUID_MAX_ENTRIES)
		return NULL;
	c = &table->entry[table->nent++];
	*c = (struct kvm_cpuid_entry2){ .function = leaf };
	if (index >= 0) {
		c->index = (uint32_t)index;
		c->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
	return c;
}

void cpuid_vendor(const struct cpuid_table *table, char out[13])
{
	const struct kvm_cpuid_entry2 *c = cpuid_get(table, 0, 0);

	memset(out, 0, 13);
	if (!c)
		return;
	put_le32(out, c->ebx);
	put_le32(out + 4, c->edx);
	put_le32(out + 8, c->ecx);
}

void cpuid_brand(const struct cpuid_table *table, char out[49])
{
	memset(out, 0, 49);
	for (uint32_t i = 0; i < 3; i++) {
		const struct kvm_cpuid_entry2 *c = cpuid_get(table, 0x80000002 + i, 0);

		if (!c)
			return;
		put_le32(out + 16 * i, c->eax);
		put_le32(out + 16 * i + 4, c->ebx);
		put_le32(out + 16 * i + 8, c->ecx);
		put_le32(out + 16 * i + 12, c->edx);
	}
}

enum cpuid_style cpuid_style(const struct cpuid_table *table)
{
	char vendor[13];

	cpuid_vendor(table, vendor);
	return !strcmp(vendor, "AuthenticAMD") || !strcmp(vendor, "HygonGenuine") ? CPUID_AMD : CPUID_INTEL;
}

unsigned int cpuid_phys_bits(const struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *c = cpuid_get(table, 0x80000008, 0);

	return c && (c->eax & 0xff) ? c->eax & 0xff : 36;
}

/* One sub-leaf of leaf 4 or 8000001D: both have the same form. Returns false at the end of the list. */
static bool read_cache(const struct kvm_cpuid_entry2 *c, struct topo_cache *out)
{
	unsigned int type = c ? c->eax & 0x1f : 0;

	if (type < CACHE_DATA || type > CACHE_UNIFIED)
		return false;
	*out = (struct topo_cache){
		.core_type = TOPO_ALIKE,
		.type = (enum cache_type)type,
		.level = (c->eax >> 5) & 7,
		.line = (uint16_t)((c->ebx & 0xfff) + 1),
		.partitions = (uint16_t)(((c->ebx >> 12) & 0x3ff) + 1),
		.ways = (uint16_t)(((c->ebx >> 22) & 0x3ff) + 1),
		.sets = c->ecx + 1,
		.inclusive = c->edx & 2,
		.fully_associative = c->eax & 0x200,
	};
	out->shared = out->level >= 3 ? TOPO_DIE : TOPO_CORE;
	out->bytes = (uint32_t)out->line * out->partitions * out->ways * out->sets;
	return true;
}

/* Caches of a middle-of-the-road server core, for hosts that tell none. */
static const struct topo_cache plain_caches[] = {
	{ CACHE_DATA, 1, TOPO_CORE, 32 << 10, 64, 8, 1, 64, false, false, 0 },
	{ CACHE_INSTRUCTION, 1, TOPO_CORE, 32 << 10, 64, 8, 1, 64, false, false, 0 },
	{ CACHE_UNIFIED, 2, TOPO_CORE, 512 << 10, 64, 8, 1, 1024, true, false, 0 },
	{ CACHE_UNIFIED, 3, TOPO_DIE, 16 << 20, 64, 16, 1, 16384, false, false, 0 },
};

unsigned int cpuid_read_caches(const struct cpuid_table *host, struct topo_cache *cache, unsigned int max)
{
	uint32_t leaf = cpuid_style(host) == CPUID_AMD ? 0x8000001d : 4;
	unsigned int nr = 0;

	while (nr < max && read_cache(cpuid_get(host, leaf, nr), &cache[nr]))
		nr++;
	if (!nr) {
		nr = MIN(max, (unsigned int)ARRAY_SIZE(plain_caches));
		memcpy(cache, plain_caches, nr * sizeof(cache[0]));
	}
	return nr;
}
