/*
 * CPUID of this host: as its KVM gives it to guests, and as the instruction tells it. The only file of this folder that
 * looks at the machine it runs on.
 */
#include <cpuid.h>
#include <errno.h>
#include <unistd.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/kvm.h"

/*
 * Some KVMs have no brand for guests, only zeros. It is the one thing that may come from the instruction: it says
 * which processor this is, not what a guest can use of it.
 */
static void read_brand(struct cpuid_table *table)
{
	static const char none[49];
	char brand[49];

	cpuid_brand(table, brand);
	if (memcmp(brand, none, sizeof(brand)))
		return;
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
		struct kvm_cpuid_entry2 *c = cpuid_find(table, leaf, 0);

		if (c) /* KVM knows the leaf, so the processor has it; asking for the last leaf would cost as much again */
			__cpuid(leaf, c->eax, c->ebx, c->ecx, c->edx);
	}
}

int cpuid_read_kvm(int kvm_fd, struct cpuid_table *table, struct err *e)
{
	*table = (struct cpuid_table){ .nent = CPUID_MAX_ENTRIES };
	if (kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, table) < 0) {
		int rc = -errno;

		table->nent = 0;
		return err_sys(e, rc, "KVM_GET_SUPPORTED_CPUID");
	}
	read_brand(table);
	return 0;
}

bool cpuid_ring0_interpreted(void)
{
	return access("/sys/module/kvm_pvm", F_OK) == 0;
}

enum {
	MAX_LEVELS = 8,     /* of 0B, 1F, 80000026 */
	MAX_CACHES = 16,    /* of 4, 8000001D */
	MAX_SUBLEAVES = 32, /* of leaves that tell their last sub-leaf */
	MAX_LEAVES = 0x40,  /* of one range */
};

/* Execute CPUID and append what it says. Returns NULL when the table is full. */
static struct kvm_cpuid_entry2 *read_one(struct cpuid_table *table, uint32_t leaf, int index)
{
	struct kvm_cpuid_entry2 *c = cpuid_add(table, leaf, index);

	if (c)
		__cpuid_count(leaf, index < 0 ? 0 : index, c->eax, c->ebx, c->ecx, c->edx);
	return c;
}

/* Leaf D: sub-leaves 0 and 1, and one for each component of XCR0 or XSS. */
static void read_xsave(struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *c = read_one(table, 0xd, 0);
	uint64_t mask = c ? c->eax | (uint64_t)c->edx << 32 : 0;

	c = read_one(table, 0xd, 1);
	mask |= c ? c->ecx | (uint64_t)c->edx << 32 : 0;
	for (int i = 2; i < 63; i++) /* 63 extends the bit vector, SDM volume 1, 13.1 */
		if (mask >> i & 1)
			read_one(table, 0xd, i);
}

/* Is this one of the list the last? Hardware ends its lists; a broken one is cut at the limit. */
static bool is_last(const struct kvm_cpuid_entry2 *c)
{
	if (c->function == 4 || c->function == 0x8000001d)
		return !(c->eax & 0x1f) || c->index + 1 >= MAX_CACHES;
	return !(c->ecx & 0xff00) || c->index + 1 >= MAX_LEVELS;
}

static void read_leaf(struct cpuid_table *table, uint32_t leaf)
{
	const struct kvm_cpuid_entry2 *c;
	uint32_t last;

	switch (leaf) {
	case 4:
	case 0xb:
	case 0x1f:
	case 0x8000001d:
	case 0x80000026:
		for (int i = 0; (c = read_one(table, leaf, i)) && !is_last(c); i++)
			;
		break;
	case 7:
	case 0x14:
	case 0x17:
	case 0x18:
	case 0x1d:
	case 0x20:
	case 0x24:
		c = read_one(table, leaf, 0);
		last = c ? MIN(c->eax, (uint32_t)MAX_SUBLEAVES) : 0;
		for (uint32_t i = 1; i <= last; i++)
			read_one(table, leaf, (int)i);
		break;
	case 0xd:
		read_xsave(table);
		break;
	case 0xf:
	case 0x12:
		read_one(table, leaf, 0);
		read_one(table, leaf, 1);
		break;
	case 0x10:
	case 0x80000020:
		for (int i = 0; i < 4; i++)
			read_one(table, leaf, i);
		break;
	case 0x1e:
		read_one(table, leaf, 0);
		break;
	default:
		read_one(table, leaf, -1);
	}
}

static void read_range(struct cpuid_table *table, uint32_t first)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid(first, eax, ebx, ecx, edx);
	if (eax < first || eax - first >= 0x10000) /* the range does not exist: something else answers */
		return;
	for (uint32_t leaf = first; leaf <= MIN(eax, first + MAX_LEAVES); leaf++)
		read_leaf(table, leaf);
}

void cpuid_read_instruction(struct cpuid_table *table)
{
	static const struct kvm_cpuid_entry2 kvm[] = {
		/* "KVMKVMKVM"; and what Linux 6.12 offers (Documentation/virt/kvm/x86/cpuid.rst) */
		{ .function = 0x40000000,
		  .eax = 0x40000001,
		  .ebx = 0x4b4d564b,
		  .ecx = 0x564b4d56,
		  .edx = 0x4d },
		{ .function = 0x40000001, .eax = 0x01007efb },
	};

	*table = (struct cpuid_table){ 0 };
	read_range(table, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(kvm); i++) {
		struct kvm_cpuid_entry2 *c = cpuid_add(table, kvm[i].function, -1);

		if (c)
			*c = kvm[i];
	}
	read_range(table, 0x80000000);
}
