/* MSI and MSI-X against eventfds. That KVM delivers what is attached is not proven here. */
#include "devices/pci_rig.h"

static struct rig *r;
static uint64_t table; /* where the MSI-X BAR is */

enum { ADDR = 0xfee01000, ADDR2 = 0xfee02000 };

static void setup(void)
{
	r = rig_assigned();
	table = rig_read(r, rig_bar_reg(RIG_BAR_MSIX), 4);
	rig_command(r, PCI_COMMAND_MASTER, 0);
}

static void teardown(void)
{
	rig_free(r);
}

/* ---- MSI ---- */

static void msi_flags(unsigned int flags)
{
	rig_write(r, r->f.msi.cap + PCI_MSI_FLAGS, 2, flags);
}

static void msi_enable(unsigned int log2_messages)
{
	rig_write(r, r->f.msi.cap + PCI_MSI_ADDRESS_LO, 4, ADDR);
	rig_write(r, r->f.msi.cap + PCI_MSI_ADDRESS_HI, 4, 0);
	rig_write(r, r->f.msi.cap + PCI_MSI_DATA_64, 2, 0x4040);
	msi_flags(PCI_MSI_FLAGS_ENABLE | log2_messages << 4);
}

static uint64_t msi_pending(void)
{
	return rig_read(r, r->f.msi.cap + PCI_MSI_PENDING_64, 4);
}

START_TEST(msi_capability_is_64_bit_and_maskable_with_4_messages)
{
	ck_assert_uint_eq(rig_read(r, r->f.msi.cap + PCI_MSI_FLAGS, 2),
			  PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | 2 << 1);
}
END_TEST

START_TEST(msi_disabled_raise_does_nothing)
{
	ck_assert(!pci_msi_raise(&r->f, 0));
	ck_assert(!pci_msi_enabled(&r->f));
	msi_enable(0);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040), 0);
}
END_TEST

START_TEST(msi_enabled_raise_is_delivered)
{
	msi_enable(0);
	ck_assert(pci_msi_raise(&r->f, 0));
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040), 1);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040), 0);
}
END_TEST

START_TEST(msi_several_messages_modify_low_data_bits)
{
	msi_enable(2);
	rig_write(r, r->f.msi.cap + PCI_MSI_DATA_64, 2, 0x4043); /* low bits are the function's to change */
	pci_msi_raise(&r->f, 2);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4042), 1);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040) + fake_delivered(&r->fake, ADDR, 0x4041), 0);
}
END_TEST

START_TEST(msi_fewer_messages_than_vectors_wraps)
{
	msi_enable(1);
	pci_msi_raise(&r->f, 3);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4041), 1);
}
END_TEST

START_TEST(msi_more_messages_than_there_are_means_all)
{
	msi_enable(7);
	pci_msi_raise(&r->f, 3);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4043), 1);
	pci_msi_raise(&r->f, 1000);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040), 1);
}
END_TEST

START_TEST(msi_masked_is_pending_and_delivered_on_unmask)
{
	msi_enable(2);
	rig_write(r, r->f.msi.cap + PCI_MSI_MASK_64, 4, 0xffffffff);
	ck_assert_uint_eq(rig_read(r, r->f.msi.cap + PCI_MSI_MASK_64, 4), 0xf);
	pci_msi_raise(&r->f, 1);
	ck_assert_uint_eq(msi_pending(), 2);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4041), 0);
	rig_write(r, r->f.msi.cap + PCI_MSI_MASK_64, 4, 0xd);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4041), 1);
	ck_assert_uint_eq(msi_pending(), 0);
}
END_TEST

START_TEST(msi_pending_is_read_only)
{
	msi_enable(0);
	rig_write(r, r->f.msi.cap + PCI_MSI_PENDING_64, 4, 0xffffffff);
	ck_assert_uint_eq(msi_pending(), 0);
}
END_TEST

START_TEST(msi_address_change_while_enabled_moves_the_message)
{
	msi_enable(0);
	rig_write(r, r->f.msi.cap + PCI_MSI_ADDRESS_LO, 4, ADDR2 | 3);
	rig_write(r, r->f.msi.cap + PCI_MSI_ADDRESS_HI, 4, 1);
	pci_msi_raise(&r->f, 0);
	ck_assert_uint_eq(fake_delivered(&r->fake, 0x100000000ull | ADDR2, 0x4040), 1);
}
END_TEST

START_TEST(msi_disabled_again_delivers_nothing_and_forgets)
{
	msi_enable(0);
	msi_flags(0);
	ck_assert_int_eq(eventfd_write(pci_msi_fd(&r->f, 0), 1), 0);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040), 0);
	msi_flags(PCI_MSI_FLAGS_ENABLE);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040), 0);
}
END_TEST

START_TEST(msi_without_bus_master_waits_for_it)
{
	msi_enable(0);
	rig_command(r, 0, PCI_COMMAND_MASTER);
	pci_msi_raise(&r->f, 0);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040), 0);
	ck_assert_uint_eq(msi_pending(), 1);
	rig_command(r, PCI_COMMAND_MASTER, 0);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040), 1);
}
END_TEST

START_TEST(msi_enabled_silences_intx)
{
	pci_intx_set(&r->f, true);
	ck_assert(r->fake.line[1]);
	msi_enable(0);
	ck_assert(!r->fake.line[1]);
	msi_flags(0);
	ck_assert(r->fake.line[1]);
}
END_TEST

START_TEST(msi_refused_message_is_not_delivered_and_not_fatal)
{
	msi_enable(0);
	r->fake.refuse_messages = true;
	rig_write(r, r->f.msi.cap + PCI_MSI_ADDRESS_LO, 4, 0x1000);
	ck_assert(!r->f.msi.vec[0].v.live);
	ck_assert(r->f.warned);
	r->fake.refuse_messages = false;
	rig_write(r, r->f.msi.cap + PCI_MSI_ADDRESS_LO, 4, ADDR);
	pci_msi_raise(&r->f, 0);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x4040), 1);
}
END_TEST

START_TEST(msi_unchanged_message_is_set_once)
{
	msi_enable(0);
	r->fake.sets = 0;
	msi_flags(PCI_MSI_FLAGS_ENABLE);
	rig_command(r, PCI_COMMAND_SERR, 0);
	ck_assert_uint_eq(r->fake.sets, 0);
}
END_TEST

START_TEST(msi_without_vectors_left_says_so_and_cleans_up)
{
	struct pci_func g;
	struct err e;

	rig_describe(r, &g, 0, "g");
	r->fake.open_limit = r->fake.nr_vec + 3;
	ck_assert_int_eq(pci_add_msi(&g, 8, false, &e), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(e.text, "g: cannot make 8 MSI vectors"));
	pci_func_fini(&g);
}
END_TEST

/* ---- MSI-X ---- */

static void msix_flags(unsigned int flags)
{
	rig_write(r, r->f.msix.cap + PCI_MSIX_FLAGS, 2, flags);
}

static void msix_ctrl(unsigned int n, uint32_t ctrl)
{
	fake_write(&r->fake, table + 16 * n + 12, 4, ctrl);
}

/* Vector n sends data 0x100 + n. */
static void msix_program(unsigned int n, uint32_t ctrl)
{
	fake_write(&r->fake, table + 16 * n, 8, ADDR);
	fake_write(&r->fake, table + 16 * n + 8, 4, 0x100 + n);
	msix_ctrl(n, ctrl);
}

static unsigned int msix_got(unsigned int n)
{
	return fake_delivered(&r->fake, ADDR, 0x100 + n);
}

START_TEST(msix_capability_describes_table_and_pending_bits)
{
	unsigned int cap = r->f.msix.cap;

	ck_assert_uint_eq(rig_read(r, cap + PCI_MSIX_FLAGS, 2), RIG_NR_MSIX - 1);
	ck_assert_uint_eq(rig_read(r, cap + PCI_MSIX_TABLE, 4), RIG_BAR_MSIX);
	ck_assert_uint_eq(rig_read(r, cap + PCI_MSIX_PBA, 4), RIG_PBA | RIG_BAR_MSIX);
}
END_TEST

START_TEST(msix_table_is_masked_after_power_on)
{
	ck_assert_uint_eq(fake_read(&r->fake, table, 8), 0);
	ck_assert_uint_eq(fake_read(&r->fake, table + 16 * (RIG_NR_MSIX - 1) + 12, 4), 1);
	ck_assert_uint_eq(fake_read(&r->fake, table + 16 * RIG_NR_MSIX, 4) & 0xffff, 16 * RIG_NR_MSIX);
}
END_TEST

START_TEST(msix_table_keeps_what_is_written_in_any_size)
{
	fake_write(&r->fake, table, 8, 0x1122334455667788);
	fake_write(&r->fake, table + 2, 1, 0xaa);
	fake_write(&r->fake, table + 4, 2, 0xbbcc);
	fake_write(&r->fake, table + 12, 4, 0xfffffffe);
	ck_assert_uint_eq(fake_read(&r->fake, table, 8), 0x1122bbcc55aa7788);
	ck_assert_uint_eq(fake_read(&r->fake, table + 1, 2), 0xaa77);
	ck_assert_uint_eq(fake_read(&r->fake, table + 12, 4), 0);
}
END_TEST

START_TEST(msix_access_over_the_end_of_the_table_is_cut)
{
	uint64_t end = table + 16 * RIG_NR_MSIX;

	fake_write(&r->fake, end - 4, 8, UINT64_MAX);
	ck_assert_uint_eq(fake_read(&r->fake, end - 4, 8), 1);
	ck_assert_uint_eq(r->writes, 0);
}
END_TEST

START_TEST(msix_rest_of_the_bar_is_the_devices)
{
	fake_write(&r->fake, table + RIG_MSIX_OWN + 4, 4, 77);
	ck_assert_uint_eq(r->last_off, RIG_MSIX_OWN + 4);
	ck_assert_uint_eq(r->last_val, 77);
	ck_assert_uint_eq(fake_read(&r->fake, table + RIG_MSIX_OWN, 2), RIG_MSIX_OWN);
}
END_TEST

START_TEST(msix_enabled_and_unmasked_is_delivered)
{
	msix_program(0, 0);
	msix_program(69, 0);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	ck_assert(pci_msix_raise(&r->f, 69));
	ck_assert_uint_eq(msix_got(69), 1);
	ck_assert_uint_eq(msix_got(0), 0);
}
END_TEST

START_TEST(msix_disabled_or_absent_raise_does_nothing)
{
	msix_program(0, 0);
	ck_assert(!pci_msix_raise(&r->f, 0));
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	ck_assert(!pci_msix_raise(&r->f, RIG_NR_MSIX));
	ck_assert(!pci_msix_raise(&r->f, 0xffff));
	ck_assert_uint_eq(msix_got(0), 0);
	ck_assert_int_eq(pci_msix_fd(&r->f, RIG_NR_MSIX), -EINVAL);
	ck_assert_int_ge(pci_msix_fd(&r->f, 0), 0);
}
END_TEST

START_TEST(msix_masked_is_pending_then_delivered_on_unmask)
{
	msix_program(65, 1);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	ck_assert(pci_msix_raise(&r->f, 65));
	ck_assert_uint_eq(fake_read(&r->fake, table + RIG_PBA, 8), 0);
	ck_assert_uint_eq(fake_read(&r->fake, table + RIG_PBA + 8, 8), 2);
	ck_assert_uint_eq(fake_read(&r->fake, table + RIG_PBA + 8, 1), 2);
	ck_assert_uint_eq(msix_got(65), 0);
	msix_ctrl(65, 0);
	ck_assert_uint_eq(msix_got(65), 1);
	ck_assert_uint_eq(fake_read(&r->fake, table + RIG_PBA + 8, 4), 0);
}
END_TEST

START_TEST(msix_pending_bits_are_read_only)
{
	msix_program(1, 1);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	pci_msix_raise(&r->f, 1);
	fake_write(&r->fake, table + RIG_PBA, 8, 0);
	ck_assert_uint_eq(fake_read(&r->fake, table + RIG_PBA, 8), 2);
	ck_assert_uint_eq(r->writes, 0);
}
END_TEST

START_TEST(msix_function_mask_holds_all_and_releases_unmasked)
{
	msix_program(2, 0);
	msix_program(3, 1);
	msix_flags(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	ck_assert(pci_msix_raise(&r->f, 2));
	ck_assert(pci_msix_raise(&r->f, 3));
	ck_assert_uint_eq(fake_read(&r->fake, table + RIG_PBA, 4), 0xc);
	ck_assert_uint_eq(msix_got(2), 0);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	ck_assert_uint_eq(msix_got(2), 1);
	ck_assert_uint_eq(msix_got(3), 0);
	ck_assert_uint_eq(fake_read(&r->fake, table + RIG_PBA, 4), 0x8);
}
END_TEST

START_TEST(msix_entry_change_while_masked_counts_at_unmask)
{
	msix_program(4, 0);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	msix_ctrl(4, 1);
	fake_write(&r->fake, table + 64, 4, ADDR2);
	pci_msix_raise(&r->f, 4);
	msix_ctrl(4, 0);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR2, 0x104), 1);
}
END_TEST

START_TEST(msix_disable_and_enable_forgets_what_came_between)
{
	msix_program(5, 0);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	msix_flags(0);
	ck_assert_int_eq(eventfd_write(pci_msix_fd(&r->f, 5), 1), 0);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	ck_assert_uint_eq(msix_got(5), 0);
}
END_TEST

START_TEST(msix_without_bus_master_waits_for_it)
{
	msix_program(6, 0);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	rig_command(r, 0, PCI_COMMAND_MASTER);
	pci_msix_raise(&r->f, 6);
	ck_assert_uint_eq(msix_got(6), 0);
	rig_command(r, PCI_COMMAND_MASTER, 0);
	ck_assert_uint_eq(msix_got(6), 1);
}
END_TEST

START_TEST(msix_enabled_silences_intx)
{
	pci_intx_set(&r->f, true);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	ck_assert(pci_msix_enabled(&r->f));
	ck_assert(!r->fake.line[1]);
}
END_TEST

START_TEST(msix_keeps_working_while_its_bar_is_not_decoded)
{
	msix_program(7, 0);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	rig_command(r, 0, PCI_COMMAND_MEMORY);
	pci_msix_raise(&r->f, 7);
	ck_assert_uint_eq(msix_got(7), 1);
}
END_TEST

START_TEST(reset_masks_everything_and_forgets_pending)
{
	msix_program(8, 1);
	msix_program(9, 0);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	pci_msix_raise(&r->f, 8);
	pci_root_ops.reset(&r->root);
	ck_assert(!r->f.msix.vec[9].v.live);
	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	ck_assert_uint_eq(fake_read(&r->fake, table + RIG_PBA, 8), 0);
	ck_assert_uint_eq(fake_read(&r->fake, table + 16 * 9, 8), 0);
	ck_assert_uint_eq(fake_read(&r->fake, table + 16 * 9 + 12, 4), 1);
}
END_TEST

START_TEST(flr_masks_everything_and_raise_does_nothing)
{
	msix_program(9, 0);
	msix_flags(PCI_MSIX_FLAGS_ENABLE);
	rig_write(r, r->f.express + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	ck_assert(!pci_msix_raise(&r->f, 9));
	ck_assert_uint_eq(msix_got(9), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pci_msi");
	TCase *t = tcase_create("msi");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, msi_capability_is_64_bit_and_maskable_with_4_messages);
	tcase_add_test(t, msi_disabled_raise_does_nothing);
	tcase_add_test(t, msi_enabled_raise_is_delivered);
	tcase_add_test(t, msi_several_messages_modify_low_data_bits);
	tcase_add_test(t, msi_fewer_messages_than_vectors_wraps);
	tcase_add_test(t, msi_more_messages_than_there_are_means_all);
	tcase_add_test(t, msi_masked_is_pending_and_delivered_on_unmask);
	tcase_add_test(t, msi_pending_is_read_only);
	tcase_add_test(t, msi_address_change_while_enabled_moves_the_message);
	tcase_add_test(t, msi_disabled_again_delivers_nothing_and_forgets);
	tcase_add_test(t, msi_without_bus_master_waits_for_it);
	tcase_add_test(t, msi_enabled_silences_intx);
	tcase_add_test(t, msi_refused_message_is_not_delivered_and_not_fatal);
	tcase_add_test(t, msi_unchanged_message_is_set_once);
	tcase_add_test(t, msi_without_vectors_left_says_so_and_cleans_up);
	tcase_add_test(t, msix_capability_describes_table_and_pending_bits);
	tcase_add_test(t, msix_table_is_masked_after_power_on);
	tcase_add_test(t, msix_table_keeps_what_is_written_in_any_size);
	tcase_add_test(t, msix_access_over_the_end_of_the_table_is_cut);
	tcase_add_test(t, msix_rest_of_the_bar_is_the_devices);
	tcase_add_test(t, msix_enabled_and_unmasked_is_delivered);
	tcase_add_test(t, msix_disabled_or_absent_raise_does_nothing);
	tcase_add_test(t, msix_masked_is_pending_then_delivered_on_unmask);
	tcase_add_test(t, msix_pending_bits_are_read_only);
	tcase_add_test(t, msix_function_mask_holds_all_and_releases_unmasked);
	tcase_add_test(t, msix_entry_change_while_masked_counts_at_unmask);
	tcase_add_test(t, msix_disable_and_enable_forgets_what_came_between);
	tcase_add_test(t, msix_without_bus_master_waits_for_it);
	tcase_add_test(t, msix_enabled_silences_intx);
	tcase_add_test(t, msix_keeps_working_while_its_bar_is_not_decoded);
	tcase_add_test(t, reset_masks_everything_and_forgets_pending);
	tcase_add_test(t, flr_masks_everything_and_raise_does_nothing);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
