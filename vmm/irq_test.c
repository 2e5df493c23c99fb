/*
 * Unit tests of what vmm/irq.h computes, and of the PICs' way to the boot processor. Nothing here talks to KVM:
 * the guest tests called @split and @288 do.
 */
#include <check.h>
#include <errno.h>

#include "vmm/irq.h"

static struct irqs irqs;
static unsigned int kicks;

static void count_kick(void *ctx)
{
	ck_assert_ptr_eq(ctx, &kicks);
	ck_assert(irqs_extint(&irqs)); /* whoever is kicked must find it */
	kicks++;
}

START_TEST(extended_id_moves_to_the_upper_half)
{
	ck_assert_uint_eq(irqs_extended_addr(0xfee12000), 0xfee12000);
	ck_assert_uint_eq(irqs_extended_addr(0xfee12fec), 0x7f00fee1200cull);
	ck_assert_uint_eq(irqs_extended_addr(0xfee00020), 0x100fee00000ull);
	ck_assert_uint_eq(irqs_extended_addr(0), 0);
}
END_TEST

START_TEST(message_to_memory_is_no_interrupt)
{
	static const uint64_t addrs[] = { 0, 0x50000000, 0xfed00000, 0xfef00000, 0x1fee00000, 0xfee0000000000000 };
	struct msi_vector v = { .fd = -1, .gsi = 30 };

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
		ck_assert_int_eq(irqs_msi_set(&irqs, &v, addrs[i], 0xa0), -EINVAL);
	ck_assert(!v.live);
}
END_TEST

START_TEST(pics_kick_when_their_output_rises)
{
	struct irq_line intr = irqs_intr_line(&irqs);
	struct i8259 pic;

	irqs_set_kick(&irqs, count_kick, &kicks);
	i8259_init(&pic, intr);
	irqs_attach_chips(&irqs, NULL, &pic);
	ck_assert_uint_eq(kicks, 0);
	i8259_set_line(&pic, 4, true);
	ck_assert_uint_eq(kicks, 1);
	ck_assert_uint_eq(irqs_extint_ack(&irqs), 4);
	ck_assert(!irqs_extint(&irqs));
	ck_assert_uint_eq(kicks, 1);
	irqs_set_kick(&irqs, NULL, NULL);
	i8259_set_line(&pic, 3, true);
	ck_assert(irqs_extint(&irqs));
	i8259_fini(&pic);
}
END_TEST

START_TEST(split_without_kvms_help_says_how_many_are_possible)
{
	struct kvm kvm = { .fd = -1, .vm_fd = -1, .x2apic_api = true };
	struct err e = { 0 };

	ck_assert_int_lt(irqs_init(&irqs, &kvm, true, &e), 0);
	ck_assert_ptr_nonnull(strstr(e.text, "KVM_CAP_SPLIT_IRQCHIP"));
	ck_assert_ptr_nonnull(strstr(e.text, "at most 255 processors"));
	irqs_fini(&irqs);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("irq");
	TCase *t = tcase_create("irq");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, extended_id_moves_to_the_upper_half);
	tcase_add_test(t, message_to_memory_is_no_interrupt);
	tcase_add_test(t, pics_kick_when_their_output_rises);
	tcase_add_test(t, split_without_kvms_help_says_how_many_are_possible);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
