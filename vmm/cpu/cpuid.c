/*
 * CPUID tables. The topology leaves are in cpuid_topology.c; here is what surrounds them.
 */
#include "vmm/cpu/cpuid.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/kvm.h"

int cpuid_read_host(int kvm_fd, struct cpuid_table *table, struct err *e)
{
	*table = (struct cpuid_table){ .nent = CPUID_MAX_ENTRIES };
	if (kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, table) < 0)
		return err_sys(e, -errno, "KVM_GET_SUPPORTED_CPUID");
	return 0;
}

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
	{ CACHE_DATA, 1, TOPO_CORE, 32 << 10, 64, 8, 1, 64, false, false },
	{ CACHE_INSTRUCTION, 1, TOPO_CORE, 32 << 10, 64, 8, 1, 64, false, false },
	{ CACHE_UNIFIED, 2, TOPO_CORE, 512 << 10, 64, 8, 1, 1024, true, false },
	{ CACHE_UNIFIED, 3, TOPO_DIE, 16 << 20, 64, 16, 1, 16384, false, false },
};

void cpuid_fill_caches(const struct cpuid_table *host, struct topology *t)
{
	uint32_t leaf = cpuid_style(host) == CPUID_AMD ? 0x8000001d : 4;

	t->nr_caches = 0;
	while (t->nr_caches < TOPO_MAX_CACHES &&
	       read_cache(cpuid_get(host, leaf, t->nr_caches), &t->cache[t->nr_caches]))
		t->nr_caches++;
	if (!t->nr_caches) {
		memcpy(t->cache, plain_caches, sizeof(plain_caches));
		t->nr_caches = ARRAY_SIZE(plain_caches);
	}
}

/* Features which depend on us and not on the host. */
static void build_features(struct cpuid_table *table, bool tsc_deadline)
{
	struct kvm_cpuid_entry2 *c = cpuid_find(table, 1, 0);

	if (c) {
		c->ecx |= 1u << 31; /* a hypervisor is present */
		c->ecx |= 1u << 21; /* x2APIC: KVM's LAPIC has it whatever the host has */
		c->ecx &= ~(1u << 5); /* VMX: no nested guests */
		c->ecx &= ~(1u << 24);
		if (tsc_deadline)
			c->ecx |= 1u << 24;
	}
	c = cpuid_find(table, 0x80000001, 0);
	if (c)
		c->ecx &= ~(1u << 2); /* SVM */
	cpuid_drop(table, 0x8000000a);
}

int cpuid_build(struct cpuid_table *table, const struct topology *t, bool tsc_deadline, struct err *e)
{
	build_features(table, tsc_deadline);
	if (cpuid_build_topology(table, t) < 0)
		return err_set(e, -ENOSPC, "the CPUID table has more than %d entries", CPUID_MAX_ENTRIES);
	return 0;
}
