/*
 * Overrides of single CPUID registers and MSRs: the words of the command line, and putting them in.
 */
#include "vmm/cpu/override.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/cpuid_internal.h"

/*
 * A number up to one of the characters in stops, or the end. 0x may stand before it. Returns what follows, or NULL when
 * there is no number or it is larger than max.
 */
static const char *number(const char *text, int base, const char *stops, uint64_t max, uint64_t *out)
{
	const char *digits = text;
	unsigned long long v;
	char *end;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		digits += 2;
		base = 16;
	}
	/* strtoull() takes blanks, signs and another 0x */
	if (!strchr(base == 16 ? "0123456789abcdefABCDEF" : "0123456789", *digits) || !*digits ||
	    ((digits[1] == 'x' || digits[1] == 'X')))
		return NULL;
	errno = 0;
	v = strtoull(digits, &end, base);
	if (errno || v > max || (*end && !strchr(stops, *end)))
		return NULL;
	*out = v;
	return end;
}

static const char *reg_name(const char *text, int *reg)
{
	static const char names[][4] = { "eax", "ebx", "ecx", "edx" };

	for (int i = 0; i < (int)ARRAY_SIZE(names); i++)
		if ((text[0] | 0x20) == names[i][0] && (text[1] | 0x20) == names[i][1] &&
		    (text[2] | 0x20) == names[i][2]) {
			*reg = i;
			return text + 3;
		}
	return NULL;
}

#define CPUID_FORM "LEAF[.SUBLEAF].REG=VALUE[:MASK][@vCPU], e.g. 7.0.ebx=0x20:0x20@3"

/* LEAF[.SUBLEAF].REG= */
static const char *parse_where(struct cpuid_override *o, const char *arg, struct err *e)
{
	const char *at;
	uint64_t v;

	at = number(arg, 16, ".", UINT32_MAX, &v);
	if (!at || *at != '.') {
		err_usage(e, "--cpuid %s: expected a leaf in hexadecimal and a dot first: %s", arg,
			  CPUID_FORM);
		return NULL;
	}
	o->leaf = (uint32_t)v;
	at++;
	if (*at >= '0' && *at <= '9') {
		at = number(at, 10, ".", UINT32_MAX, &v);
		if (!at || *at != '.') {
			err_usage(e,
				  "--cpuid %s: expected a sub-leaf (0 to 4294967295) and a dot after the "
				  "leaf: %s",
				  arg, CPUID_FORM);
			return NULL;
		}
		o->index = (uint32_t)v;
		o->has_index = true;
		at++;
	}
	at = reg_name(at, &o->reg);
	if (!at)
		err_usage(e, "--cpuid %s: expected a register (eax, ebx, ecx or edx) after the leaf%s: %s",
			  arg, o->has_index ? " and sub-leaf" : "", CPUID_FORM);
	else if (*at != '=')
		err_usage(e, "--cpuid %s: expected =VALUE after the register: %s", arg, CPUID_FORM);
	return at && *at == '=' ? at + 1 : NULL;
}

int cpuid_override_parse(struct cpuid_override *o, const char *arg, struct err *e)
{
	const char *at;
	uint64_t v;

	*o = (struct cpuid_override){ .mask = UINT32_MAX, .vcpu = OVERRIDE_ALL_VCPUS };
	at = parse_where(o, arg, e);
	if (!at)
		return -EINVAL;
	at = number(at, 16, ":@", UINT32_MAX, &v);
	if (!at)
		return err_usage(e, "--cpuid %s: expected a value of at most 32 bits in hexadecimal: %s", arg,
				 CPUID_FORM);
	o->value = (uint32_t)v;
	if (*at == ':') {
		at = number(at + 1, 16, "@", UINT32_MAX, &v);
		if (!at || !v)
			return err_usage(e, "--cpuid %s: expected a mask of 1 to 32 bits in hexadecimal: %s",
					 arg, CPUID_FORM);
		o->mask = (uint32_t)v;
	}
	if (o->value & ~o->mask)
		return err_usage(
			e, "--cpuid %s: bits 0x%x of the value are outside the mask 0x%x and would be lost",
			arg, o->value & ~o->mask, o->mask);
	if (*at == '@') {
		at = number(at + 1, 10, "", TOPO_MAX_CPUS - 1, &v);
		if (!at)
			return err_usage(e, "--cpuid %s: expected the number of a vCPU, 0 to %d, after @: %s",
					 arg, TOPO_MAX_CPUS - 1, CPUID_FORM);
		o->vcpu = (uint32_t)v;
	}
	return 0;
}

int msr_override_parse(struct msr_override *o, const char *arg, struct err *e)
{
	const char *at;
	uint64_t v;

	*o = (struct msr_override){ 0 };
	at = number(arg, 16, "=", UINT32_MAX, &v);
	if (!at || *at != '=')
		return err_usage(e,
				 "--msr %s: expected an index of at most 32 bits in hexadecimal and = first: "
				 "INDEX=VALUE, e.g. 0x1a0=0x1",
				 arg);
	o->index = (uint32_t)v;
	if (!number(at + 1, 16, "", UINT64_MAX, &o->value))
		return err_usage(e,
				 "--msr %s: expected a value of at most 64 bits in hexadecimal after =: "
				 "INDEX=VALUE, e.g. 0x1a0=0x1",
				 arg);
	return 0;
}

/* Leaves that have sub-leaves (SDM volume 2A, CPUID; APM volume 3, E.4): without the flag all of them read alike. */
static bool has_sub_leaves(uint32_t leaf)
{
	static const uint32_t leaves[] = { 4,    7,    0xb,  0xd,        0xf,        0x10,
					   0x12, 0x14, 0x17, 0x18,       0x1d,       0x1f,
					   0x20, 0x23, 0x24, 0x8000001d, 0x80000020, 0x80000026 };

	for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++)
		if (leaf == leaves[i])
			return true;
	return false;
}

/* The entry that a vCPU's CPUID answers from; one is made where there is none. */
static struct kvm_cpuid_entry2 *entry_for(const struct cpuid_override *o, struct cpuid_table *table)
{
	struct kvm_cpuid_entry2 *c = cpuid_find(table, o->leaf, o->index);
	bool sub_leaves = o->has_index || has_sub_leaves(o->leaf);

	/*
	 * An entry without the flag answers for every sub-leaf. If one of them is to differ, it becomes sub-leaf 0: KVM
	 * takes the first entry that fits.
	 */
	if (c && o->index && !(c->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)) {
		c->flags |= KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		c->index = 0;
		c = NULL;
	}
	for (uint32_t i = 0; i < table->nent && !sub_leaves; i++)
		sub_leaves = table->entry[i].function == o->leaf;
	return c ? c : cpuid_add(table, o->leaf, sub_leaves ? (int)o->index : -1);
}

int cpuid_override_apply(const struct cpuid_override *o, unsigned int nr, unsigned int index,
			 struct cpuid_table *table)
{
	for (; nr; nr--, o++) {
		struct kvm_cpuid_entry2 *c;
		uint32_t v;

		if (o->vcpu != OVERRIDE_ALL_VCPUS && o->vcpu != index)
			continue;
		c = entry_for(o, table);
		if (!c)
			return -ENOSPC;
		v = cpuid_reg_get(c, (enum cpuid_reg)o->reg);
		cpuid_reg_set(c, (enum cpuid_reg)o->reg, (v & ~o->mask) | (o->value & o->mask));
	}
	return 0;
}
