/* Unit tests of override.c: words in, bits in a table out. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/override.h"

static struct cpuid_table table;
static struct err e;

static void setup(void)
{
	table.nent = 0;
	e = (struct err){ 0 };
}

/* ---- words ---- */

static const struct {
	const char *arg;
	struct cpuid_override want;
} good[] = {
	{ "1.ecx=0", { 1, 0, false, CPUID_ECX, 0, UINT32_MAX, OVERRIDE_ALL_VCPUS } },
	{ "7.0.ebx=0x20:0x20@3", { 7, 0, true, CPUID_EBX, 0x20, 0x20, 3 } },
	{ "0x80000008.ecx=0xf00f",
	  { 0x80000008, 0, false, CPUID_ECX, 0xf00f, UINT32_MAX, OVERRIDE_ALL_VCPUS } },
	{ "80000008.ECX=F00F", { 0x80000008, 0, false, CPUID_ECX, 0xf00f, UINT32_MAX, OVERRIDE_ALL_VCPUS } },
	{ "d.10.eax=ffffffff", { 0xd, 10, true, CPUID_EAX, UINT32_MAX, UINT32_MAX, OVERRIDE_ALL_VCPUS } },
	{ "d.0x10.edx=1:1", { 0xd, 16, true, CPUID_EDX, 1, 1, OVERRIDE_ALL_VCPUS } },
	{ "ffffffff.4294967295.Eax=0@4095",
	  { UINT32_MAX, UINT32_MAX, true, CPUID_EAX, 0, UINT32_MAX, 4095 } },
	{ "1f.1.ebx=8@0", { 0x1f, 1, true, CPUID_EBX, 8, UINT32_MAX, 0 } },
};

START_TEST(cpuid_override_is_understood)
{
	struct cpuid_override o;

	ck_assert_int_eq(cpuid_override_parse(&o, good[_i].arg, &e), 0);
	ck_assert_uint_eq(o.leaf, good[_i].want.leaf);
	ck_assert_uint_eq(o.index, good[_i].want.index);
	ck_assert_int_eq(o.has_index, good[_i].want.has_index);
	ck_assert_int_eq(o.reg, good[_i].want.reg);
	ck_assert_uint_eq(o.value, good[_i].want.value);
	ck_assert_uint_eq(o.mask, good[_i].want.mask);
	ck_assert_uint_eq(o.vcpu, good[_i].want.vcpu);
}
END_TEST

static const struct {
	const char *arg, *want;
} bad[] = {
	{ "", "expected a leaf" },
	{ "eax=1", "expected a leaf" }, /* hexadecimal at first sight */
	{ "1", "expected a leaf in hexadecimal and a dot first" },
	{ ".eax=1", "expected a leaf" },
	{ "0x.eax=1", "expected a leaf" },
	{ "0x0x1.eax=1", "expected a leaf" },
	{ "-1.eax=1", "expected a leaf" },
	{ " 1.eax=1", "expected a leaf" },
	{ "100000000.eax=1", "expected a leaf" },
	{ "g.eax=1", "expected a leaf" },
	{ "7.0", "expected a sub-leaf" },
	{ "7.0=1", "expected a sub-leaf" },
	{ "7.1a.eax=1", "expected a sub-leaf" },
	{ "7.4294967296.eax=1", "expected a sub-leaf (0 to 4294967295)" },
	{ "7.esi=1", "expected a register (eax, ebx, ecx or edx) after the leaf:" },
	{ "7.0.=1", "expected a register (eax, ebx, ecx or edx) after the leaf and sub-leaf" },
	{ "7.", "expected a register" },
	{ "7.e", "expected a register" },
	{ "7.eax", "expected =VALUE" },
	{ "7.eaxx=1", "expected =VALUE" },
	{ "7.eax:1", "expected =VALUE" },
	{ "7.eax=", "expected a value" },
	{ "7.eax=x", "expected a value" },
	{ "7.eax=1g", "expected a value" },
	{ "7.eax=100000000", "expected a value of at most 32 bits" },
	{ "7.eax=1:", "expected a mask" },
	{ "7.eax=0:0", "expected a mask of 1 to 32 bits" },
	{ "7.eax=1:1:1", "expected a mask" },
	{ "7.eax=3:1", "bits 0x2 of the value are outside the mask 0x1" },
	{ "7.eax=1@", "expected the number of a vCPU, 0 to 4095" },
	{ "7.eax=1@4096", "expected the number of a vCPU" },
	{ "7.eax=1@all", "expected the number of a vCPU" },
	{ "7.eax=1@1@2", "expected the number of a vCPU" },
	{ "7.eax=1@1:1", "expected the number of a vCPU" },
};

START_TEST(wrong_cpuid_override_is_refused_with_a_sentence)
{
	struct cpuid_override o;

	ck_assert_int_eq(cpuid_override_parse(&o, bad[_i].arg, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, bad[_i].want), "'%s' does not have '%s'", e.text, bad[_i].want);
	ck_assert_ptr_nonnull(strstr(e.text, bad[_i].arg));
	ck_assert(e.usage);
}
END_TEST

START_TEST(msr_override_is_understood)
{
	struct msr_override o;

	ck_assert_int_eq(msr_override_parse(&o, "0x1a0=1", &e), 0);
	ck_assert_uint_eq(o.index, 0x1a0);
	ck_assert_uint_eq(o.value, 1);
	ck_assert_int_eq(msr_override_parse(&o, "C0011029=0xFFFFFFFFffffffff", &e), 0);
	ck_assert_uint_eq(o.index, 0xc0011029);
	ck_assert_uint_eq(o.value, UINT64_MAX);
}
END_TEST

static const struct {
	const char *arg, *want;
} bad_msr[] = {
	{ "", "expected an index" },
	{ "1a0", "expected an index of at most 32 bits in hexadecimal and = first" },
	{ "=1", "expected an index" },
	{ "100000000=1", "expected an index" },
	{ "1a0:1", "expected an index" },
	{ "1a0=", "expected a value" },
	{ "1a0=z", "expected a value of at most 64 bits" },
	{ "1a0=-1", "expected a value" },
	{ "1a0=10000000000000000", "expected a value" },
	{ "1a0=1@2", "expected a value" },
};

START_TEST(wrong_msr_override_is_refused_with_a_sentence)
{
	struct msr_override o;

	ck_assert_int_eq(msr_override_parse(&o, bad_msr[_i].arg, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, bad_msr[_i].want), "'%s' does not have '%s'", e.text, bad_msr[_i].want);
	ck_assert(e.usage);
}
END_TEST

/* ---- tables ---- */

static void apply(const char *arg, unsigned int vcpu)
{
	struct cpuid_override o;

	ck_assert_int_eq(cpuid_override_parse(&o, arg, &e), 0);
	ck_assert_int_eq(cpuid_override_apply(&o, 1, vcpu, &table), 0);
}

START_TEST(only_bits_of_the_mask_change)
{
	cpuid_add(&table, 7, 0)->ebx = 0xf0f0f0f0;
	apply("7.0.ebx=0x0a:0xff", 0);
	ck_assert_uint_eq(cpuid_get(&table, 7, 0)->ebx, 0xf0f0f00a);
	ck_assert_uint_eq(table.nent, 1);
}
END_TEST

START_TEST(other_vcpus_stay_as_they_are)
{
	cpuid_add(&table, 1, -1)->edx = 5;
	apply("1.edx=0@3", 2);
	ck_assert_uint_eq(cpuid_get(&table, 1, 0)->edx, 5);
	apply("1.edx=0@3", 3);
	ck_assert_uint_eq(cpuid_get(&table, 1, 0)->edx, 0);
}
END_TEST

START_TEST(later_overrides_win)
{
	struct cpuid_override o[2];

	ck_assert_int_eq(cpuid_override_parse(&o[0], "1.eax=ff", &e), 0);
	ck_assert_int_eq(cpuid_override_parse(&o[1], "1.eax=1:f", &e), 0);
	ck_assert_int_eq(cpuid_override_apply(o, 2, 0, &table), 0);
	ck_assert_uint_eq(cpuid_get(&table, 1, 0)->eax, 0xf1);
}
END_TEST

START_TEST(missing_leaf_is_added_with_sub_leaves_as_asked)
{
	apply("40000010.eax=5", 0);
	ck_assert_uint_eq(table.entry[0].flags, 0);
	apply("12.1.eax=6", 0);
	ck_assert_uint_eq(table.entry[1].flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	ck_assert_uint_eq(table.entry[1].index, 1);
	apply("12.ebx=7", 0); /* the leaf has sub-leaves by now */
	ck_assert_uint_eq(table.entry[2].flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	ck_assert_uint_eq(cpuid_get(&table, 0x12, 0)->ebx, 7);
	ck_assert_uint_eq(cpuid_get(&table, 0x12, 1)->eax, 6);
}
END_TEST

START_TEST(leaf_with_sub_leaves_is_added_with_its_index)
{
	static const char *const with[] = { "4.eax=1",       "7.eax=1",  "b.eax=1",  "d.eax=1",
					    "f.eax=1",       "10.eax=1", "12.eax=1", "14.eax=1",
					    "17.eax=1",      "18.eax=1", "1d.eax=1", "1f.eax=1",
					    "20.eax=1",      "23.eax=1", "24.eax=1", "8000001d.eax=1",
					    "80000026.eax=1" };

	for (unsigned int i = 0; i < ARRAY_SIZE(with); i++) {
		apply(with[i], 0);
		ck_assert_uint_eq(table.nent, i + 1);
		ck_assert_msg(table.entry[i].flags == KVM_CPUID_FLAG_SIGNIFCANT_INDEX &&
				      !table.entry[i].index,
			      "%s", with[i]);
	}
	apply("80000008.eax=1", 0);
	ck_assert_uint_eq(table.entry[ARRAY_SIZE(with)].flags, 0);
}
END_TEST

START_TEST(sub_leaf_of_a_leaf_without_them_makes_it_sub_leaf_0)
{
	cpuid_add(&table, 0x10, -1)->eax = 9;
	apply("10.2.eax=1", 0);
	ck_assert_uint_eq(cpuid_get(&table, 0x10, 0)->eax, 9);
	ck_assert_uint_eq(cpuid_get(&table, 0x10, 2)->eax, 1);
	ck_assert_ptr_null(cpuid_get(&table, 0x10, 1));
}
END_TEST

START_TEST(full_table_is_refused)
{
	struct cpuid_override o;

	while (cpuid_add(&table, 0x40000100, (int)table.nent))
		;
	ck_assert_int_eq(cpuid_override_parse(&o, "1.eax=1", &e), 0);
	ck_assert_int_eq(cpuid_override_apply(&o, 1, 0, &table), -ENOSPC);
	ck_assert_int_eq(cpuid_override_apply(&o, 0, 0, &table), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("override");
	TCase *c = tcase_create("override");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_loop_test(c, cpuid_override_is_understood, 0, ARRAY_SIZE(good));
	tcase_add_loop_test(c, wrong_cpuid_override_is_refused_with_a_sentence, 0, ARRAY_SIZE(bad));
	tcase_add_test(c, msr_override_is_understood);
	tcase_add_loop_test(c, wrong_msr_override_is_refused_with_a_sentence, 0, ARRAY_SIZE(bad_msr));
	tcase_add_test(c, only_bits_of_the_mask_change);
	tcase_add_test(c, other_vcpus_stay_as_they_are);
	tcase_add_test(c, later_overrides_win);
	tcase_add_test(c, missing_leaf_is_added_with_sub_leaves_as_asked);
	tcase_add_test(c, leaf_with_sub_leaves_is_added_with_its_index);
	tcase_add_test(c, sub_leaf_of_a_leaf_without_them_makes_it_sub_leaf_0);
	tcase_add_test(c, full_table_is_refused);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
