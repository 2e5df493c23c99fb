/*
 * CPUID entries for the features that model_build.c has settled on: the host's table trimmed to them, or a named model's
 * made from nothing. Topology and cache leaves come later, in cpuid_build().
 */
#include <errno.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/model_internal.h"

static bool wants(const struct build *b, const char *name)
{
	return set_has(&b->want, feature_number(&b->graph, name));
}

/* The entry of a leaf without sub-leaves, made if missing; NULL when the table is full. */
static struct kvm_cpuid_entry2 *entry(struct build *b, uint32_t leaf)
{
	struct kvm_cpuid_entry2 *c = cpuid_find(b->out, leaf, 0);

	return c ? c : cpuid_add(b->out, leaf, -1);
}

static void drop_range(struct build *b, uint32_t first, uint32_t last)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < b->out->nent; i++)
		if (b->out->entry[i].function < first || b->out->entry[i].function > last)
			b->out->entry[kept++] = b->out->entry[i];
	b->out->nent = kept;
}

/* ---- the host's own processor ---- */

/* Does mainline KVM (6.12) fill this leaf for guests? All others it answers with zeros. */
static bool filled_by_kvm(uint32_t leaf)
{
	static const uint32_t leaves[] = { 0,          1,          2,          4,          6,
					   7,          0xa,        0xb,        0xd,        0x1d,
					   0x1e,       0x1f,       0x80000019, 0x8000001a, 0x8000001d,
					   0x8000001e, 0x80000020, 0x80000021, 0x80000022, 0x80000026,
					   0x8000000a, 0x40000000, 0x40000001 };

	if (leaf >= 0x80000000 && leaf <= 0x80000008)
		return true;
	for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++)
		if (leaf == leaves[i])
			return true;
	return false;
}

/* The instruction tells what the host has; make of it what KVM would say. */
static void filter_as_kvm(struct build *b)
{
	struct kvm_cpuid_entry2 *c;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < b->out->nent; i++)
		if (filled_by_kvm(b->out->entry[i].function))
			b->out->entry[kept++] = b->out->entry[i];
	b->out->nent = kept;
	for (unsigned int i = 0; features[i].name; i++) {
		c = cpuid_find(b->out, features[i].leaf, features[i].index);
		if (c)
			cpuid_reg_set(c, features[i].reg,
				      0); /* bits without a name here are not known to be safe */
	}
	c = cpuid_find(b->out, 6, 0);
	if (c)
		c->ebx = c->edx = 0;
	c = cpuid_find(b->out, 0xa, 0);
	if (c && (c->eax & 0xff) > 2)
		c->eax = (c->eax & ~0xffu) | 2;
	c = cpuid_find(b->out, 0, 0);
	if (c)
		c->eax = MIN(c->eax, 0x1fu);
	c = cpuid_find(b->out, 0x80000000, 0);
	if (c)
		c->eax = MIN(c->eax, b->host_style == CPUID_AMD ? 0x80000022 : 0x80000008);
}

static void start_as_host(struct build *b)
{
	static const struct {
		uint32_t leaf;
		const char *feature;
	} owned[] = { { 0x12, "sgx" },
		      { 0x14, "intel_pt" },
		      { 0x19, "kl" },
		      { 0x24, "avx10" },
		      { 0x8000000a, "svm" } };

	b->out->nent = MIN(b->host->table->nent, (uint32_t)CPUID_MAX_ENTRIES);
	memcpy(b->out->entry, b->host->table->entry, b->out->nent * sizeof(b->out->entry[0]));
	if (!b->host->is_kvm)
		filter_as_kvm(b);
	for (unsigned int i = 0; i < ARRAY_SIZE(owned); i++)
		if (!wants(b, owned[i].feature))
			cpuid_drop(b->out, owned[i].leaf);
}

/* ---- a named model ---- */

/* Leaf 1 EAX (SDM volume 2A, figure 3-6; AMD APM volume 3, E.3.2): numbers past 15 go on in the extended fields. */
static uint32_t signature(const struct build *b)
{
	uint32_t family = b->model->family, model = b->model->model, stepping = b->model->stepping;

	if (b->model->vendor == MODEL_ANY) {
		/* Neither is special to Linux or Windows beyond its vendor: a late Pentium 4; a Milan. */
		family = b->style == CPUID_AMD ? 25 : 15;
		model = b->style == CPUID_AMD ? 1 : 6;
		stepping = 1;
	}
	return stepping | (model & 15) << 4 | MIN(family, 15u) << 8 | model >> 4 << 16 |
	       (family > 15 ? family - 15 : 0) << 20;
}

static int write_brand(struct build *b)
{
	char text[48] = "";

	strncpy(text, b->model->brand, sizeof(text) - 1);
	for (uint32_t i = 0; i < 3; i++) {
		struct kvm_cpuid_entry2 *c = entry(b, 0x80000002 + i);

		if (!c)
			return -ENOSPC;
		c->eax = get_le32(text + 16 * i);
		c->ebx = get_le32(text + 16 * i + 4);
		c->ecx = get_le32(text + 16 * i + 8);
		c->edx = get_le32(text + 16 * i + 12);
	}
	return 0;
}

static int start_as_model(struct build *b)
{
	const struct kvm_cpuid_entry2 *host;
	struct kvm_cpuid_entry2 *c;
	uint32_t max_extended = b->model->max_extended;

	if (b->style == CPUID_AMD)
		max_extended = MAX(max_extended, 0x8000001e);
	else
		max_extended = 0x80000008;
	if (!(c = entry(b, 0)))
		return -ENOSPC;
	c->eax = b->style == CPUID_AMD ? MIN(b->model->max_basic, 0x10u) : b->model->max_basic;
	if (!(c = entry(b, 1)))
		return -ENOSPC;
	c->eax = signature(b);
	c->ebx = 8 << 8; /* CLFLUSH: 8 times 8 bytes */
	if (b->style == CPUID_INTEL) {
		if (!(c = entry(b, 2)))
			return -ENOSPC;
		c->eax = 0x00ff0001; /* descriptor FF: see leaf 4 */
	}
	if (!cpuid_add(b->out, 7, 0) || !(c = entry(b, 0x80000000)))
		return -ENOSPC;
	c->eax = max_extended;
	if (!(c = entry(b, 0x80000001)) || write_brand(b) < 0 || !entry(b, 0x80000006) ||
	    !entry(b, 0x80000008))
		return -ENOSPC;
	if (b->style == CPUID_AMD) {
		c->eax = signature(b); /* as leaf 1's; Intel has nothing there (APM volume 3, E.4.2) */
		/* TLBs as of Zen 2: 64 entries, fully associative; level 2: 512 to 2048, 4- to 8-way (APM volume 3, E.4.5). */
		if (!(c = entry(b, 0x80000005)))
			return -ENOSPC;
		c->eax = c->ebx = 0xff40ff40;
		if (!(c = entry(b, 0x80000006)))
			return -ENOSPC;
		c->eax = 0x48002200;
		c->ebx = 0x68004200;
	}
	if (wants(b, "svm")) {
		host = b->fixed ? NULL : cpuid_get(b->host->table, 0x8000000a, 0);
		if (!(c = entry(b, 0x8000000a)))
			return -ENOSPC;
		c->eax = 1;                     /* revision */
		c->ebx = host ? host->ebx : 16; /* address space ids */
	}
	return 0;
}

/* ---- what both need ---- */

static void write_vendor(struct build *b)
{
	static const char names[2][13] = { [CPUID_INTEL] = "GenuineIntel", [CPUID_AMD] = "AuthenticAMD" };
	const char *name = names[b->style];
	static const uint32_t leaves[] = { 0, 0x80000000 };

	for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++) {
		struct kvm_cpuid_entry2 *c = cpuid_find(b->out, leaves[i], 0);
		bool tell = !leaves[i] || b->style == CPUID_AMD; /* Intel's 80000000 has no name */

		if (!c)
			continue;
		c->ebx = tell ? get_le32(name) : 0;
		c->edx = tell ? get_le32(name + 4) : 0;
		c->ecx = tell ? get_le32(name + 8) : 0;
	}
}

/* The host's leaves which the other vendor's processors do not have. */
static int drop_foreign_leaves(struct build *b)
{
	const struct kvm_cpuid_entry2 *one = cpuid_get(b->out, 1, 0);
	struct kvm_cpuid_entry2 *basic = cpuid_find(b->out, 0, 0);
	struct kvm_cpuid_entry2 *extended = cpuid_find(b->out, 0x80000000, 0);
	struct kvm_cpuid_entry2 *names = cpuid_find(b->out, 0x80000001, 0);

	/* The signature once more, and AMD's brand and package: reserved on Intel (APM volume 3, E.4.2). */
	if (names) {
		names->eax = b->style == CPUID_AMD && one ? one->eax : 0;
		names->ebx = 0;
	}
	if (b->style == CPUID_AMD) {
		if (basic)
			basic->eax = MIN(basic->eax, 0x10u);
		if (extended)
			extended->eax = MAX(extended->eax, 0x8000001e);
		cpuid_drop(b->out, 2);
		cpuid_drop(b->out, 4);
		cpuid_drop(b->out, 9);
		cpuid_drop(b->out, 0xa);
		drop_range(b, 0x11, 0x3fffffff);
		return entry(b, 0x80000005) && entry(b, 0x80000006) ? 0 : -ENOSPC;
	}
	if (extended)
		extended->eax = MIN(extended->eax, 0x80000008);
	cpuid_drop(b->out, 0x80000005);
	drop_range(b, 0x80000009, 0xbfffffff);
	return 0;
}

/* AMD repeats these bits of leaf 1 EDX in 80000001 EDX, Intel does not (APM volume 3, E.4.2). */
static void write_mirror(struct build *b)
{
	const uint32_t mirrored = 0x0183f3ff;
	const struct kvm_cpuid_entry2 *one = cpuid_get(b->out, 1, 0);
	struct kvm_cpuid_entry2 *c = cpuid_find(b->out, 0x80000001, 0);

	if (!c)
		return;
	c->edx &= ~mirrored;
	if (one && b->style == CPUID_AMD)
		c->edx |= one->edx & mirrored;
}

/* Tiles: one palette, 8 tiles of 16 rows of 64 bytes (SDM volume 1, 18.2; volume 2A, CPUID leaves 1D and 1E). */
static int write_amx(struct build *b)
{
	static const struct kvm_cpuid_entry2 usual[] = {
		{ .function = 0x1d, .index = 0, .eax = 1 },
		{ .function = 0x1d, .index = 1, .eax = 1024 << 16 | 8192, .ebx = 8 << 16 | 64, .ecx = 16 },
		{ .function = 0x1e, .index = 0, .ebx = 64 << 8 | 16 },
	};
	struct kvm_cpuid_entry2 *c;

	if (!wants(b, "amx_tile")) {
		cpuid_drop(b->out, 0x1d);
		cpuid_drop(b->out, 0x1e);
		return 0;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(usual); i++) {
		const struct kvm_cpuid_entry2 *host =
			b->fixed ? NULL : cpuid_get(b->host->table, usual[i].function, usual[i].index);

		if (cpuid_find(b->out, usual[i].function, usual[i].index))
			continue;
		c = cpuid_add(b->out, usual[i].function, (int)usual[i].index);
		if (!c)
			return -ENOSPC;
		c->eax = host ? host->eax : usual[i].eax;
		c->ebx = host ? host->ebx : usual[i].ebx;
		c->ecx = host ? host->ecx : usual[i].ecx;
	}
	c = cpuid_find(b->out, 0, 0);
	if (c)
		c->eax = MAX(c->eax, 0x1eu);
	return 0;
}

/* 80000008 EAX: widths of physical and linear addresses. */
static int write_address_bits(struct build *b)
{
	unsigned int host = cpuid_phys_bits(b->host->table), bits = b->spec->phys_bits;
	bool loose = b->spec->enforce == ENFORCE_OFF || (b->describe && b->spec->enforce == ENFORCE_UNSAID);
	struct kvm_cpuid_entry2 *c = entry(b, 0x80000008);
	uint32_t guest_bits; /* EAX[23:16]: how far a hypervisor's guests can map, where that is less */

	if (!c)
		return -ENOSPC;
	if (bits > host && !loose)
		return err_set(
			b->e, -ENOTSUP,
			"--cpu phys-bits=%u: this host's physical addresses have %u bits; expected 32 to %u",
			bits, host, host);
	if (bits > host && !b->fixed)
		notes_add(
			b->notes,
			"phys-bits=%u is more than this host's %u: addresses beyond those fault differently",
			bits, host);
	if (!bits)
		bits = !b->model ? host : b->fixed ? b->model->phys_bits : MIN(host, b->model->phys_bits);
	guest_bits = b->model || bits != host ? 0 : c->eax & 0xff0000;
	c->eax = bits | (wants(b, "la57") ? 57u : 48u) << 8 | guest_bits;
	return 0;
}

static int write_hypervisor(struct build *b)
{
	struct kvm_cpuid_entry2 *c;

	if (b->spec->no_kvm || b->spec->no_hypervisor) {
		drop_range(b, 0x40000000, 0x4fffffff);
		return 0;
	}
	if (cpuid_find(b->out, 0x40000000, 0) && cpuid_find(b->out, 0x40000001, 0))
		return 0;
	if (!entry(b, 0x40000001) || !(c = entry(b, 0x40000000)))
		return -ENOSPC;
	c->eax = 0x40000001;
	c->ebx = get_le32(
		"KVMK"); /* "KVMKVMKVM" and three zero bytes (Documentation/virt/kvm/x86/cpuid.rst) */
	c->ecx = get_le32("VMKV");
	c->edx = get_le32("M\0\0");
	return 0;
}

static int full(struct build *b)
{
	return err_set(b->e, -ENOSPC, "the processor's CPUID table has more than %d entries",
		       CPUID_MAX_ENTRIES);
}

int table_write(struct build *b)
{
	int rc;

	b->out->nent = b->out->padding = 0;
	if (b->model) {
		if (start_as_model(b) < 0)
			return full(b);
	} else {
		start_as_host(b);
		if (b->style != b->host_style && drop_foreign_leaves(b) < 0)
			return full(b);
	}
	if (b->model || b->spec->vendor)
		write_vendor(b);
	if (set_write(&b->want, b->out) < 0 || write_amx(b) < 0 || write_hypervisor(b) < 0 ||
	    xsave_write(b) < 0)
		return full(b);
	write_mirror(b);
	rc = write_address_bits(b);
	return rc == -ENOSPC ? full(b) : rc;
}
