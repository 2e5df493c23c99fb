/* Who answers configuration accesses, INTx lines, assignment, reset. KVM and real guests are not proven. */
#include "devices/pci_rig.h"

static struct rig *r;

static void setup(void)
{
	r = rig_new();
}

static void teardown(void)
{
	rig_free(r);
}

static void port_select(uint32_t address)
{
	pci_addr_ops.write(&r->root, 0, 4, address);
}

static uint64_t port_read(unsigned int off, unsigned int size)
{
	return pci_data_ops.read(&r->root, off, size) & ones(size);
}

START_TEST(ecam_host_bridge_is_at_slot_0)
{
	ck_assert_uint_eq(rig_read_at(r, 0, PCI_VENDOR_ID, 4), 0x00081b36);
	ck_assert_uint_eq(rig_read_at(r, 0, PCI_CLASS_DEVICE, 2), 0x0600);
}
END_TEST

START_TEST(ecam_every_size_reads_the_same_bytes)
{
	ck_assert_uint_eq(rig_read(r, 0, 1), 0x34);
	ck_assert_uint_eq(rig_read(r, 1, 1), 0x12);
	ck_assert_uint_eq(rig_read(r, 2, 2), 0x5678);
	ck_assert_uint_eq(rig_read(r, 0, 4), 0x56781234);
	ck_assert_uint_eq(rig_read(r, 0, 8), 0x0010000056781234);
}
END_TEST

START_TEST(ecam_access_across_dwords_is_done_in_pieces)
{
	ck_assert_uint_eq(rig_read(r, 1, 2), 0x7812);
	ck_assert_uint_eq(rig_read(r, PCI_CLASS_REVISION - 1, 4), 0x00000700);
	rig_write(r, PCI_INTERRUPT_LINE - 1, 2, 0x55aa);
	ck_assert_uint_eq(rig_read(r, PCI_INTERRUPT_LINE, 1), 0x55);
}
END_TEST

START_TEST(ecam_absent_function_slot_and_bus_read_all_ones)
{
	ck_assert_uint_eq(rig_read_at(r, PCI_DEVFN(2, 0), 0, 4), 0xffffffff);
	ck_assert_uint_eq(rig_read_at(r, PCI_DEVFN(1, 1), 0, 2), 0xffff);
	ck_assert_uint_eq(pci_ecam_ops.read(&r->root, 1ull << 20, 4), 0xffffffff);
	ck_assert_uint_eq(pci_ecam_ops.read(&r->root, (256ull << 20) - 8, 8), UINT64_MAX);
}
END_TEST

START_TEST(ecam_write_to_absent_function_is_dropped)
{
	rig_write_at(r, PCI_DEVFN(9, 3), PCI_COMMAND, 2, 0xffff);
	pci_ecam_ops.write(&r->root, 77ull << 20, 8, UINT64_MAX);
	ck_assert_uint_eq(r->fake.nr_win, 0);
}
END_TEST

START_TEST(ecam_access_across_functions_reads_each_ones_bytes)
{
	/* The last byte of 00:00.7, which is absent, and the first of 00:01.0. */
	ck_assert_uint_eq(rig_read_at(r, PCI_DEVFN(0, 7), 0xfff, 2), 0x34ff);
}
END_TEST

START_TEST(ecam_extended_space_reads_zero)
{
	ck_assert_uint_eq(rig_read(r, 0x100, 4), 0);
	ck_assert_uint_eq(rig_read(r, 0xff8, 8), 0);
}
END_TEST

START_TEST(ports_reach_the_same_registers)
{
	port_select(0x80000000 | RIG_DEVFN << 8 | PCI_CLASS_REVISION);
	ck_assert_uint_eq(port_read(0, 4), 0x02000007);
	ck_assert_uint_eq(port_read(3, 1), 0x02);
	ck_assert_uint_eq(port_read(2, 2), 0x0200);
}
END_TEST

START_TEST(ports_write_the_same_registers)
{
	port_select(0x80000000 | RIG_DEVFN << 8 | PCI_INTERRUPT_LINE);
	pci_data_ops.write(&r->root, 0, 1, 0x5c);
	ck_assert_uint_eq(rig_read(r, PCI_INTERRUPT_LINE, 1), 0x5c);
}
END_TEST

START_TEST(ports_without_enable_bit_reach_nothing)
{
	port_select(RIG_DEVFN << 8 | PCI_INTERRUPT_LINE);
	pci_data_ops.write(&r->root, 0, 1, 0x5c);
	ck_assert_uint_eq(port_read(0, 4), 0xffffffff);
	ck_assert_uint_eq(rig_read(r, PCI_INTERRUPT_LINE, 1), 0);
}
END_TEST

START_TEST(ports_other_bus_reads_all_ones)
{
	port_select(0x80000000 | 3 << 16);
	ck_assert_uint_eq(port_read(0, 4), 0xffffffff);
}
END_TEST

START_TEST(ports_access_is_cut_at_the_end_of_the_dword)
{
	port_select(0x80000000 | RIG_DEVFN << 8 | PCI_VENDOR_ID);
	ck_assert_uint_eq(port_read(2, 4), 0xffff5678);
	ck_assert_uint_eq(port_read(0, 8), 0xffffffff56781234);
	ck_assert_uint_eq(port_read(4, 1), 0xff);
}
END_TEST

START_TEST(ports_address_keeps_defined_bits_only)
{
	port_select(0xffffffff);
	ck_assert_uint_eq(pci_addr_ops.read(&r->root, 0, 4), 0x80fffffc);
}
END_TEST

START_TEST(ports_address_ignores_other_sizes_and_places)
{
	port_select(0x80000800);
	pci_addr_ops.write(&r->root, 0, 1, 0x12);
	pci_addr_ops.write(&r->root, 0, 2, 0x1234);
	pci_addr_ops.write(&r->root, 1, 1, 0x06);
	pci_addr_ops.write(&r->root, 2, 4, 0);
	ck_assert_uint_eq(pci_addr_ops.read(&r->root, 0, 4), 0x80000800);
	ck_assert_uint_eq(pci_addr_ops.read(&r->root, 0, 1), 0xff);
}
END_TEST

START_TEST(config_read_only_registers_stay)
{
	rig_write(r, PCI_VENDOR_ID, 4, 0);
	rig_write(r, PCI_CLASS_REVISION, 4, 0xffffffff);
	rig_write(r, PCI_SUBSYSTEM_VENDOR_ID, 4, 0);
	rig_write(r, PCI_CAPABILITY_LIST, 1, 0);
	rig_write(r, PCI_INTERRUPT_PIN, 1, 4);
	ck_assert_uint_eq(rig_read(r, PCI_VENDOR_ID, 4), 0x56781234);
	ck_assert_uint_eq(rig_read(r, PCI_CLASS_REVISION, 4), 0x02000007);
	ck_assert_uint_eq(rig_read(r, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
	ck_assert_uint_eq(rig_read(r, PCI_CAPABILITY_LIST, 1), 0x40);
	ck_assert_uint_eq(rig_read(r, PCI_INTERRUPT_PIN, 1), 1);
}
END_TEST

START_TEST(config_command_has_defined_bits_only)
{
	rig_write(r, PCI_COMMAND, 2, 0xffff);
	ck_assert_uint_eq(rig_read(r, PCI_COMMAND, 2), PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
			  PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
}
END_TEST

START_TEST(config_function_without_bars_cannot_decode)
{
	rig_write_at(r, 0, PCI_COMMAND, 2, 0xffff);
	ck_assert_uint_eq(rig_read_at(r, 0, PCI_COMMAND, 2) & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY), 0);
}
END_TEST

START_TEST(config_status_bits_clear_by_writing_one)
{
	r->f.config[PCI_STATUS + 1] = 0xf9; /* as if a device had set all of them */
	rig_write(r, PCI_STATUS, 2, PCI_STATUS_DETECTED_PARITY);
	ck_assert_uint_eq(rig_read(r, PCI_STATUS, 2), 0x7900 | PCI_STATUS_CAP_LIST);
	rig_write(r, PCI_STATUS, 2, 0xffff);
	ck_assert_uint_eq(rig_read(r, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
}
END_TEST

START_TEST(config_capabilities_form_a_list)
{
	unsigned int at = (unsigned int)rig_read(r, PCI_CAPABILITY_LIST, 1);

	ck_assert_uint_eq(rig_read(r, at, 1), PCI_CAP_ID_EXP);
	at = (unsigned int)rig_read(r, at + 1, 1);
	ck_assert_uint_eq(rig_read(r, at, 1), PCI_CAP_ID_PM);
	at = (unsigned int)rig_read(r, at + 1, 1);
	ck_assert_uint_eq(rig_read(r, at, 1), PCI_CAP_ID_MSI);
	at = (unsigned int)rig_read(r, at + 1, 1);
	ck_assert_uint_eq(rig_read(r, at, 2), PCI_CAP_ID_MSIX);
}
END_TEST

START_TEST(config_express_is_an_integrated_endpoint_with_flr)
{
	ck_assert_uint_eq(rig_read(r, r->f.express + PCI_EXP_FLAGS, 2), 2 | PCI_EXP_TYPE_RC_END << 4);
	ck_assert_uint_eq(rig_read(r, r->f.express + PCI_EXP_DEVCAP, 4), PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER);
}
END_TEST

START_TEST(config_power_state_d3hot_and_back_keeps_registers)
{
	rig_write(r, PCI_INTERRUPT_LINE, 1, 9);
	rig_write(r, r->f.pm + PCI_PM_CTRL, 2, 3);
	ck_assert_uint_eq(rig_read(r, r->f.pm + PCI_PM_CTRL, 2), PCI_PM_CTRL_NO_SOFT_RESET | 3);
	rig_write(r, r->f.pm + PCI_PM_CTRL, 2, 0);
	ck_assert_uint_eq(rig_read(r, r->f.pm + PCI_PM_CTRL, 2), PCI_PM_CTRL_NO_SOFT_RESET);
	ck_assert_uint_eq(rig_read(r, PCI_INTERRUPT_LINE, 1), 9);
}
END_TEST

START_TEST(config_power_states_that_do_not_exist_are_dropped)
{
	rig_write(r, r->f.pm + PCI_PM_CTRL, 2, 3);
	rig_write(r, r->f.pm + PCI_PM_CTRL, 2, 1);
	rig_write(r, r->f.pm + PCI_PM_CTRL, 1, 2);
	ck_assert_uint_eq(rig_read(r, r->f.pm + PCI_PM_CTRL, 2), PCI_PM_CTRL_NO_SOFT_RESET | 3);
}
END_TEST

START_TEST(config_hook_takes_its_dwords_only)
{
	pci_config_hook(&r->f, 0xf0, 8, &rig_io, r);
	rig_write(r, 0xf4, 2, 0xbeef);
	ck_assert_uint_eq(r->writes, 1);
	ck_assert_uint_eq(r->last_off, 4);
	ck_assert_uint_eq(r->last_val, 0xbeef);
	ck_assert_uint_eq(rig_read(r, 0xf0, 4), 0x5a5a0000);
	ck_assert_uint_eq(rig_read(r, 0xec, 4), 0);
	ck_assert_uint_eq(rig_read(r, 0xf8, 4), 0);
	ck_assert_uint_eq(r->reads, 1);
}
END_TEST

START_TEST(flr_resets_configuration_and_calls_the_device)
{
	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	rig_command(r, PCI_COMMAND_MASTER, 0);
	rig_write(r, r->f.express + PCI_EXP_DEVCTL, 2, 0x8000);
	ck_assert_uint_eq(r->flrs, 1);
	ck_assert_uint_eq(rig_read(r, PCI_COMMAND, 2), 0);
	ck_assert_uint_eq(rig_read(r, rig_bar_reg(RIG_BAR_LOW), 4), 0);
	ck_assert_uint_eq(rig_read(r, r->f.express + PCI_EXP_DEVCTL, 2), 0x2810);
	ck_assert_uint_eq(r->fake.nr_win, 0);
	ck_assert(!pci_bus_master(&r->f));
}
END_TEST

START_TEST(flr_by_one_byte_works_and_other_bytes_do_not)
{
	rig_write(r, r->f.express + PCI_EXP_DEVCTL, 1, 0x80);
	rig_write(r, r->f.express + PCI_EXP_DEVSTA, 2, 0x8000);
	rig_write(r, r->f.express + PCI_EXP_DEVCTL + 1, 1, 0x7f);
	ck_assert_uint_eq(r->flrs, 0);
	rig_write(r, r->f.express + PCI_EXP_DEVCTL + 1, 1, 0x80);
	ck_assert_uint_eq(r->flrs, 1);
}
END_TEST

START_TEST(flr_without_the_capability_bit_does_nothing)
{
	struct pci_func g;

	rig_describe(r, &g, 1, "g");
	pci_add_express(&g, NULL, NULL);
	ck_assert_int_eq(pci_root_add(&r->root, PCI_DEVFN(2, 0), &g, NULL), 0);
	rig_write_at(r, PCI_DEVFN(2, 0), PCI_INTERRUPT_LINE, 1, 7);
	rig_write_at(r, PCI_DEVFN(2, 0), g.express + PCI_EXP_DEVCTL, 2, 0xffff);
	ck_assert_uint_eq(rig_read_at(r, PCI_DEVFN(2, 0), PCI_INTERRUPT_LINE, 1), 7);
	ck_assert_uint_eq(rig_read_at(r, PCI_DEVFN(2, 0), g.express + PCI_EXP_DEVCTL, 2), 0x7fff);
	pci_func_fini(&g);
}
END_TEST

START_TEST(add_taken_address_is_refused)
{
	struct pci_func g;
	struct err e;

	rig_describe(r, &g, 1, "g");
	ck_assert_int_eq(pci_root_add(&r->root, RIG_DEVFN, &g, &e), -EBUSY);
	ck_assert_ptr_nonnull(strstr(e.text, "00:01.0"));
	pci_func_fini(&g);
}
END_TEST

START_TEST(add_function_1_without_function_0_is_refused)
{
	struct pci_func g;

	rig_describe(r, &g, 1, "g");
	ck_assert_int_eq(pci_root_add(&r->root, PCI_DEVFN(3, 1), &g, NULL), -EINVAL);
	ck_assert_int_eq(pci_root_add(&r->root, 256, &g, NULL), -EINVAL);
	pci_func_fini(&g);
}
END_TEST

START_TEST(add_second_function_sets_the_multifunction_bit)
{
	struct pci_func g;

	rig_describe(r, &g, 2, "g");
	ck_assert_uint_eq(rig_read(r, PCI_HEADER_TYPE, 1), 0);
	ck_assert_int_eq(pci_root_add(&r->root, RIG_DEVFN + 1, &g, NULL), 0);
	ck_assert_uint_eq(rig_read(r, PCI_HEADER_TYPE, 1), 0x80);
	pci_root_ops.reset(&r->root);
	ck_assert_uint_eq(rig_read(r, PCI_HEADER_TYPE, 1), 0x80);
	pci_func_fini(&g);
}
END_TEST

START_TEST(free_slot_is_the_first_one_empty)
{
	ck_assert_int_eq(pci_root_free_slot(&r->root), PCI_DEVFN(2, 0));
}
END_TEST

START_TEST(remove_unmaps_silences_and_frees_the_address)
{
	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	pci_intx_set(&r->f, true);
	pci_root_remove(&r->root, &r->f);
	ck_assert_uint_eq(r->fake.nr_win, 0);
	ck_assert(!r->fake.line[1]);
	ck_assert_uint_eq(rig_read(r, 0, 4), 0xffffffff);
	ck_assert_int_eq(pci_root_add(&r->root, RIG_DEVFN, &r->f, NULL), 0);
	ck_assert_uint_eq(rig_read(r, 0, 4), 0x56781234);
}
END_TEST

START_TEST(intx_arrives_at_device_plus_pin)
{
	pci_intx_set(&r->f, true);
	ck_assert(r->fake.line[1] && !r->fake.line[0] && !r->fake.line[2] && !r->fake.line[3]);
	ck_assert_uint_eq(rig_read(r, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	pci_intx_set(&r->f, false);
	ck_assert(!r->fake.line[1]);
	ck_assert_uint_eq(rig_read(r, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0);
}
END_TEST

START_TEST(intx_disable_lowers_the_line_and_keeps_the_status)
{
	pci_intx_set(&r->f, true);
	rig_command(r, PCI_COMMAND_INTX_DISABLE, 0);
	ck_assert(!r->fake.line[1]);
	ck_assert_uint_eq(rig_read(r, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	rig_command(r, 0, PCI_COMMAND_INTX_DISABLE);
	ck_assert(r->fake.line[1]);
}
END_TEST

START_TEST(intx_shared_line_is_high_while_anyone_holds_it)
{
	struct pci_func g;

	/* Slot 4, INTB and slot 1, INTA: both line 1. */
	rig_describe(r, &g, 2, "g");
	ck_assert_int_eq(pci_root_add(&r->root, PCI_DEVFN(4, 0), &g, NULL), 0);
	pci_intx_set(&r->f, true);
	pci_intx_set(&g, true);
	pci_intx_set(&g, true);
	pci_intx_set(&r->f, false);
	ck_assert(r->fake.line[1]);
	pci_intx_set(&g, false);
	ck_assert(!r->fake.line[1]);
	ck_assert_uint_eq(r->fake.line_sets, 2);
	pci_func_fini(&g);
}
END_TEST

START_TEST(intx_of_a_function_without_pin_goes_nowhere)
{
	pci_intx_set(&r->root.bridge, true);
	ck_assert_uint_eq(r->fake.line_sets, 0);
}
END_TEST

START_TEST(assign_gives_addresses_and_switches_decoding_on)
{
	uint64_t low, high;

	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	low = rig_read(r, rig_bar_reg(RIG_BAR_LOW), 4);
	high = rig_read(r, rig_bar_reg(RIG_BAR_HIGH), 8) & ~0xfull;
	ck_assert(low >= MAP_PCI32_BASE && low % 0x1000 == 0 && fake_find(&r->fake, false, low));
	ck_assert(high >= MAP_PCI32_BASE && high < MAP_ECAM_BASE && high % 0x4000 == 0);
	ck_assert_ptr_nonnull(fake_find(&r->fake, false, high));
	ck_assert_ptr_nonnull(fake_find(&r->fake, true, rig_read(r, rig_bar_reg(RIG_BAR_IO), 4) & ~3ull));
	ck_assert_uint_eq(r->fake.nr_win, 4);
	ck_assert_uint_eq(rig_read(r, PCI_COMMAND, 2), PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	ck_assert_uint_eq(rig_read(r, PCI_INTERRUPT_LINE, 1), GSI_PCI_BASE + 1);
}
END_TEST

START_TEST(assign_puts_a_large_64_bit_bar_high)
{
	struct pci_func g;

	rig_describe(r, &g, 0, "g");
	pci_add_bar(&g, 0, 4 * GIB, PCI_BAR_MEM64, NULL, NULL);
	ck_assert_int_eq(pci_root_add(&r->root, PCI_DEVFN(2, 0), &g, NULL), 0);
	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	ck_assert_uint_eq(rig_read_at(r, PCI_DEVFN(2, 0), rig_bar_reg(0), 8), RIG_HIGH_BASE | 4);
	ck_assert_uint_eq(fake_read(&r->fake, RIG_HIGH_BASE + 12345, 4), 0);
	pci_func_fini(&g);
}
END_TEST

START_TEST(assign_without_room_names_the_function)
{
	struct pci_func g;
	struct err e;

	rig_describe(r, &g, 0, "huge");
	pci_add_bar(&g, 0, 0x40000000, PCI_BAR_MEM32, NULL, NULL);
	ck_assert_int_eq(pci_root_add(&r->root, PCI_DEVFN(2, 0), &g, NULL), 0);
	ck_assert_int_eq(pci_root_assign(&r->root, &e), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(e.text, "huge"));
	pci_func_fini(&g);
}
END_TEST

START_TEST(assign_twice_gives_the_same)
{
	uint64_t was;

	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	was = rig_read(r, rig_bar_reg(RIG_BAR_HIGH), 8);
	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	ck_assert_uint_eq(rig_read(r, rig_bar_reg(RIG_BAR_HIGH), 8), was);
	ck_assert_uint_eq(r->fake.nr_win, 4);
}
END_TEST

START_TEST(reset_returns_everything_to_power_on)
{
	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	pci_intx_set(&r->f, true);
	port_select(0x80000800);
	pci_root_ops.reset(&r->root);
	ck_assert_uint_eq(r->fake.nr_win, 0);
	ck_assert(!r->fake.line[1]);
	ck_assert_mem_eq(r->f.config, r->f.initial, sizeof(r->f.config));
	ck_assert_uint_eq(pci_addr_ops.read(&r->root, 0, 4), 0);
	ck_assert_uint_eq(r->flrs, 0);
}
END_TEST

START_TEST(fini_of_a_function_on_the_bus_takes_it_off)
{
	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	pci_func_fini(&r->f);
	ck_assert_uint_eq(r->fake.nr_win, 0);
	ck_assert_uint_eq(rig_read(r, 0, 4), 0xffffffff);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pci_root");
	TCase *t = tcase_create("root");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, ecam_host_bridge_is_at_slot_0);
	tcase_add_test(t, ecam_every_size_reads_the_same_bytes);
	tcase_add_test(t, ecam_access_across_dwords_is_done_in_pieces);
	tcase_add_test(t, ecam_absent_function_slot_and_bus_read_all_ones);
	tcase_add_test(t, ecam_write_to_absent_function_is_dropped);
	tcase_add_test(t, ecam_access_across_functions_reads_each_ones_bytes);
	tcase_add_test(t, ecam_extended_space_reads_zero);
	tcase_add_test(t, ports_reach_the_same_registers);
	tcase_add_test(t, ports_write_the_same_registers);
	tcase_add_test(t, ports_without_enable_bit_reach_nothing);
	tcase_add_test(t, ports_other_bus_reads_all_ones);
	tcase_add_test(t, ports_access_is_cut_at_the_end_of_the_dword);
	tcase_add_test(t, ports_address_keeps_defined_bits_only);
	tcase_add_test(t, ports_address_ignores_other_sizes_and_places);
	tcase_add_test(t, config_read_only_registers_stay);
	tcase_add_test(t, config_command_has_defined_bits_only);
	tcase_add_test(t, config_function_without_bars_cannot_decode);
	tcase_add_test(t, config_status_bits_clear_by_writing_one);
	tcase_add_test(t, config_capabilities_form_a_list);
	tcase_add_test(t, config_express_is_an_integrated_endpoint_with_flr);
	tcase_add_test(t, config_power_state_d3hot_and_back_keeps_registers);
	tcase_add_test(t, config_power_states_that_do_not_exist_are_dropped);
	tcase_add_test(t, config_hook_takes_its_dwords_only);
	tcase_add_test(t, flr_resets_configuration_and_calls_the_device);
	tcase_add_test(t, flr_by_one_byte_works_and_other_bytes_do_not);
	tcase_add_test(t, flr_without_the_capability_bit_does_nothing);
	tcase_add_test(t, add_taken_address_is_refused);
	tcase_add_test(t, add_function_1_without_function_0_is_refused);
	tcase_add_test(t, add_second_function_sets_the_multifunction_bit);
	tcase_add_test(t, free_slot_is_the_first_one_empty);
	tcase_add_test(t, remove_unmaps_silences_and_frees_the_address);
	tcase_add_test(t, intx_arrives_at_device_plus_pin);
	tcase_add_test(t, intx_disable_lowers_the_line_and_keeps_the_status);
	tcase_add_test(t, intx_shared_line_is_high_while_anyone_holds_it);
	tcase_add_test(t, intx_of_a_function_without_pin_goes_nowhere);
	tcase_add_test(t, assign_gives_addresses_and_switches_decoding_on);
	tcase_add_test(t, assign_puts_a_large_64_bit_bar_high);
	tcase_add_test(t, assign_without_room_names_the_function);
	tcase_add_test(t, assign_twice_gives_the_same);
	tcase_add_test(t, reset_returns_everything_to_power_on);
	tcase_add_test(t, fini_of_a_function_on_the_bus_takes_it_off);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
