/*
 * Unit tests of cpuid_host.c on whatever processor this is: the form of the table, not its values. KVM's answer is
 * checked where there is a /dev/kvm, and skipped elsewhere.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/cpu/cpuid_internal.h"

static struct cpuid_table table;
static struct err e;

START_TEST(instruction_tells_vendor_features_and_kvms_leaves)
{
	char vendor[13];

	cpuid_read_instruction(&table);
	cpuid_vendor(&table, vendor);
	ck_assert_uint_eq(strlen(vendor), 12);
	ck_assert_uint_ge(cpuid_get(&table, 0, 0)->eax, 1);
	ck_assert_uint_ne(cpuid_get(&table, 1, 0)->edx, 0);
	ck_assert(cpuid_get(&table, 0x80000001, 0)->edx & 1u << 29); /* long mode: we run in it */
	ck_assert_uint_eq(cpuid_get(&table, 0x40000000, 0)->ebx, 0x4b4d564b);
	ck_assert_uint_ne(cpuid_get(&table, 0x40000001, 0)->eax, 0);
	ck_assert_uint_lt(table.nent, CPUID_MAX_ENTRIES);
}
END_TEST

START_TEST(no_leaf_is_there_twice_and_lists_have_indices)
{
	cpuid_read_instruction(&table);
	for (uint32_t i = 0; i < table.nent; i++) {
		const struct kvm_cpuid_entry2 *c = &table.entry[i];

		ck_assert_msg(cpuid_get(&table, c->function, c->index) == c, "%x.%u", c->function, c->index);
		if (c->function == 4 || c->function == 7 || c->function == 0xb || c->function == 0xd)
			ck_assert_uint_eq(c->flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	}
}
END_TEST

START_TEST(reading_what_is_not_kvm_fails_with_a_sentence)
{
	int fd = open("/dev/null", O_RDWR);

	ck_assert_int_lt(cpuid_read_kvm(fd, &table, &e), 0);
	ck_assert_ptr_nonnull(strstr(e.text, "KVM_GET_SUPPORTED_CPUID"));
	ck_assert_uint_eq(table.nent, 0);
	close(fd);
}
END_TEST

START_TEST(kvm_tells_what_it_supports)
{
	static struct cpuid_table real;
	char brand[49], real_brand[49];
	int fd = open("/dev/kvm", O_RDWR);

	if (fd < 0) {
		fprintf(stderr, "skipped: no /dev/kvm\n");
		return;
	}
	ck_assert_int_eq(cpuid_read_kvm(fd, &table, &e), 0);
	ck_assert_ptr_nonnull(cpuid_get(&table, 0, 0));
	ck_assert_ptr_nonnull(cpuid_get(&table, 0x40000001, 0));
	cpuid_read_instruction(&real);
	cpuid_brand(&table, brand);
	cpuid_brand(&real, real_brand);
	ck_assert_msg(*brand || !*real_brand, "KVM has no brand, the processor is '%s'", real_brand);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cpuid_host");
	TCase *c = tcase_create("cpuid_host");
	SRunner *sr;
	int failed;

	tcase_add_test(c, instruction_tells_vendor_features_and_kvms_leaves);
	tcase_add_test(c, no_leaf_is_there_twice_and_lists_have_indices);
	tcase_add_test(c, reading_what_is_not_kvm_fails_with_a_sentence);
	tcase_add_test(c, kvm_tells_what_it_supports);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
