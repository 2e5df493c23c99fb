/* BARs: sizing, moving, decoding, refusals, doorbells. Real buses and ioeventfds are not proven here. */
#include "devices/pci_rig.h"

static struct rig *r;

enum { LOW = 0xd0000000, LOW2 = 0xd0100000, BELL = 0x800 };

static void setup(void)
{
	r = rig_assigned();
}

static void teardown(void)
{
	rig_free(r);
}

static void bar_put(unsigned int n, uint32_t val)
{
	rig_write(r, rig_bar_reg(n), 4, val);
}

START_TEST(sizing_reads_back_the_size_and_kind)
{
	rig_command(r, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	for (unsigned int n = 0; n < PCI_NR_BARS; n++)
		bar_put(n, 0xffffffff);
	ck_assert_uint_eq(rig_read(r, rig_bar_reg(RIG_BAR_LOW), 4), 0xfffff000);
	ck_assert_uint_eq(rig_read(r, rig_bar_reg(RIG_BAR_IO), 4), 0xffffffe1);
	ck_assert_uint_eq(rig_read(r, rig_bar_reg(RIG_BAR_HIGH), 8), 0xffffffffffffc00c);
	ck_assert_uint_eq(rig_read(r, rig_bar_reg(RIG_BAR_MSIX), 4), 0xffffe000);
	ck_assert_uint_eq(rig_read(r, rig_bar_reg(5), 4), 0);
}
END_TEST

START_TEST(sizing_with_decode_on_decodes_nothing_and_restores)
{
	uint32_t was = (uint32_t)rig_read(r, rig_bar_reg(RIG_BAR_LOW), 4);

	bar_put(RIG_BAR_LOW, 0xffffffff);
	ck_assert_ptr_null(fake_find(&r->fake, false, 0xfffff000));
	ck_assert_uint_eq(fake_read(&r->fake, was, 4), 0xffffffff);
	bar_put(RIG_BAR_LOW, was);
	ck_assert_uint_eq(fake_read(&r->fake, was, 4), 0x5a5a0000);
}
END_TEST

START_TEST(sizing_by_bytes_works_too)
{
	for (unsigned int i = 0; i < 4; i++)
		rig_write(r, rig_bar_reg(RIG_BAR_LOW) + i, 1, 0xff);
	ck_assert_uint_eq(rig_read(r, rig_bar_reg(RIG_BAR_LOW), 4), 0xfffff000);
}
END_TEST

START_TEST(expansion_rom_is_absent)
{
	rig_write(r, PCI_ROM_ADDRESS, 4, 0xffffffff);
	ck_assert_uint_eq(rig_read(r, PCI_ROM_ADDRESS, 4), 0);
}
END_TEST

START_TEST(move_with_decode_on_follows_at_once)
{
	uint32_t was = (uint32_t)rig_read(r, rig_bar_reg(RIG_BAR_LOW), 4);

	bar_put(RIG_BAR_LOW, LOW);
	ck_assert_uint_eq(fake_read(&r->fake, LOW + 0x10, 4), 0x5a5a0010);
	ck_assert_uint_eq(fake_read(&r->fake, was + 0x10, 4), 0xffffffff);
}
END_TEST

START_TEST(move_with_decode_off_costs_nothing_until_on)
{
	rig_command(r, 0, PCI_COMMAND_MEMORY);
	r->fake.adds = 0;
	r->fake.removes = 0;
	bar_put(RIG_BAR_LOW, LOW);
	bar_put(RIG_BAR_LOW, LOW2);
	ck_assert_uint_eq(r->fake.adds + r->fake.removes, 0);
	rig_command(r, PCI_COMMAND_MEMORY, 0);
	ck_assert_uint_eq(fake_read(&r->fake, LOW2, 4), 0x5a5a0000);
}
END_TEST

START_TEST(write_of_the_same_address_changes_nothing)
{
	uint32_t was = (uint32_t)rig_read(r, rig_bar_reg(RIG_BAR_LOW), 4);

	r->fake.adds = 0;
	r->fake.removes = 0;
	bar_put(RIG_BAR_LOW, was);
	bar_put(RIG_BAR_LOW, was | 0xfff);
	ck_assert_uint_eq(r->fake.adds + r->fake.removes, 0);
}
END_TEST

START_TEST(memory_decode_off_leaves_io_and_back)
{
	uint32_t low = (uint32_t)rig_read(r, rig_bar_reg(RIG_BAR_LOW), 4);
	uint32_t io = (uint32_t)rig_read(r, rig_bar_reg(RIG_BAR_IO), 4) & ~3u;

	rig_command(r, 0, PCI_COMMAND_MEMORY);
	ck_assert_uint_eq(r->fake.nr_win, 1);
	ck_assert_ptr_nonnull(fake_find(&r->fake, true, io));
	rig_command(r, PCI_COMMAND_MEMORY, PCI_COMMAND_IO);
	ck_assert_uint_eq(r->fake.nr_win, 3);
	ck_assert_ptr_null(fake_find(&r->fake, true, io));
	ck_assert_uint_eq(fake_read(&r->fake, low, 4), 0x5a5a0000);
}
END_TEST

START_TEST(wide_bar_moves_above_4g_in_two_writes)
{
	bar_put(RIG_BAR_HIGH, 0x00010000);
	bar_put(RIG_BAR_HIGH + 1, RIG_HIGH_BASE >> 32);
	ck_assert_uint_eq(fake_read(&r->fake, RIG_HIGH_BASE + 0x10020, 4), 0x5a5a0020);
	ck_assert_uint_eq(rig_read(r, rig_bar_reg(RIG_BAR_HIGH), 8), RIG_HIGH_BASE + 0x10000 + 12);
}
END_TEST

START_TEST(wide_bar_moves_in_one_8_byte_write)
{
	rig_write(r, rig_bar_reg(RIG_BAR_HIGH), 8, RIG_HIGH_BASE + 0x20000);
	ck_assert_uint_eq(fake_read(&r->fake, RIG_HIGH_BASE + 0x20000, 4), 0x5a5a0000);
}
END_TEST

START_TEST(address_outside_the_windows_is_not_decoded)
{
	bar_put(RIG_BAR_LOW, 0x00100000);
	ck_assert_ptr_null(fake_find(&r->fake, false, 0x00100000));
	bar_put(RIG_BAR_LOW, MAP_ECAM_BASE);
	ck_assert_ptr_null(fake_find(&r->fake, false, MAP_ECAM_BASE));
	bar_put(RIG_BAR_IO, 0xf00);
	ck_assert_ptr_null(fake_find(&r->fake, true, 0xf00));
	bar_put(RIG_BAR_LOW, MAP_ECAM_BASE - 0x1000);
	ck_assert_ptr_nonnull(fake_find(&r->fake, false, MAP_ECAM_BASE - 0x1000));
}
END_TEST

START_TEST(overlap_refused_keeps_the_other_bar_working)
{
	bar_put(RIG_BAR_LOW, LOW);
	bar_put(RIG_BAR_MSIX, LOW);
	ck_assert_uint_eq(fake_read(&r->fake, LOW, 4), 0x5a5a0000);
	ck_assert_ptr_eq(fake_find(&r->fake, false, LOW)->dev, r);
	ck_assert(r->f.warned);
	ck_assert_uint_eq(r->fake.nr_win, 3);
}
END_TEST

START_TEST(overlap_refused_is_decoded_after_it_moves)
{
	bar_put(RIG_BAR_LOW, LOW);
	bar_put(RIG_BAR_MSIX, LOW);
	bar_put(RIG_BAR_MSIX, LOW2);
	ck_assert_uint_eq(fake_read(&r->fake, LOW2 + RIG_MSIX_OWN, 4), 0x5a5a0000 | RIG_MSIX_OWN);
}
END_TEST

START_TEST(overlap_swap_of_two_bars_ends_with_both_decoded)
{
	struct pci_func g;

	rig_describe(r, &g, 0, "g");
	pci_add_bar(&g, 0, 0x1000, PCI_BAR_MEM32, NULL, NULL);
	ck_assert_int_eq(pci_root_add(&r->root, PCI_DEVFN(2, 0), &g, NULL), 0);
	rig_write_at(r, PCI_DEVFN(2, 0), rig_bar_reg(0), 4, LOW2);
	rig_write_at(r, PCI_DEVFN(2, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	bar_put(RIG_BAR_LOW, LOW);

	bar_put(RIG_BAR_LOW, LOW2); /* taken */
	rig_write_at(r, PCI_DEVFN(2, 0), rig_bar_reg(0), 4, LOW);
	ck_assert_ptr_eq(fake_find(&r->fake, false, LOW2)->dev, r);
	ck_assert_uint_eq(fake_read(&r->fake, LOW, 4), 0);
	pci_func_fini(&g);
}
END_TEST

START_TEST(overlap_with_the_rest_of_the_machine_is_refused)
{
	ck_assert_int_eq(fake_add(&r->fake, false, LOW + 0x800, 8, &rig_io, &r->fake), 0);
	bar_put(RIG_BAR_LOW, LOW);
	ck_assert_ptr_null(fake_find(&r->fake, false, LOW));
	fake_remove(&r->fake, false, LOW + 0x800, 8);
}
END_TEST

START_TEST(bar_without_ops_reads_zero)
{
	struct pci_func g;

	rig_describe(r, &g, 0, "g");
	pci_add_bar(&g, 0, 0x1000, PCI_BAR_MEM32, NULL, NULL);
	ck_assert_int_eq(pci_root_add(&r->root, PCI_DEVFN(2, 0), &g, NULL), 0);
	rig_write_at(r, PCI_DEVFN(2, 0), rig_bar_reg(0), 4, LOW);
	rig_write_at(r, PCI_DEVFN(2, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_write(&r->fake, LOW, 4, 1);
	ck_assert_uint_eq(fake_read(&r->fake, LOW, 8), 0);
	pci_func_fini(&g);
}
END_TEST

static struct pci_doorbell bell_make(void)
{
	return (struct pci_doorbell){ .bar = RIG_BAR_LOW, .off = BELL, .len = 4, .fd = pci_msix_fd(&r->f, 3) };
}

START_TEST(doorbell_follows_its_bar)
{
	struct pci_doorbell bell = bell_make();

	pci_doorbell_add(&r->f, &bell);
	bar_put(RIG_BAR_LOW, LOW);
	ck_assert_uint_eq(r->fake.nr_bell, 1);
	ck_assert_uint_eq(r->fake.bell[0].gpa, LOW + BELL);
	rig_command(r, 0, PCI_COMMAND_MEMORY);
	ck_assert_uint_eq(r->fake.nr_bell, 0);
	rig_command(r, PCI_COMMAND_MEMORY, 0);
	ck_assert_uint_eq(r->fake.nr_bell, 1);
	pci_doorbell_remove(&r->f, &bell);
	ck_assert_uint_eq(r->fake.nr_bell, 0);
}
END_TEST

START_TEST(doorbell_added_or_removed_twice_is_harmless)
{
	struct pci_doorbell bell = bell_make(), other = bell_make();

	other.off += 4;
	pci_doorbell_add(&r->f, &bell);
	pci_doorbell_add(&r->f, &other);
	pci_doorbell_add(&r->f, &bell);
	ck_assert_uint_eq(r->fake.nr_bell, 2);
	pci_doorbell_remove(&r->f, &bell);
	pci_doorbell_remove(&r->f, &bell);
	ck_assert_uint_eq(r->fake.nr_bell, 1);
	pci_doorbell_remove(&r->f, &other);
}
END_TEST

START_TEST(doorbell_refused_leaves_writes_to_the_device)
{
	struct pci_doorbell bell = bell_make();

	r->fake.refuse_bells = true;
	bar_put(RIG_BAR_LOW, LOW);
	pci_doorbell_add(&r->f, &bell);
	fake_write(&r->fake, LOW + BELL, 4, 9);
	ck_assert_uint_eq(r->last_off, BELL);
	bar_put(RIG_BAR_LOW, LOW2);
	pci_doorbell_remove(&r->f, &bell);
}
END_TEST

START_TEST(doorbell_is_gone_while_its_bar_is_refused)
{
	struct pci_doorbell bell = bell_make();

	bar_put(RIG_BAR_MSIX, LOW);
	pci_doorbell_add(&r->f, &bell);
	bar_put(RIG_BAR_LOW, LOW);
	ck_assert_uint_eq(r->fake.nr_bell, 0);
	bar_put(RIG_BAR_MSIX, LOW2);
	ck_assert_uint_eq(r->fake.nr_bell, 1);
	pci_doorbell_remove(&r->f, &bell);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pci_bar");
	TCase *t = tcase_create("bar");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, sizing_reads_back_the_size_and_kind);
	tcase_add_test(t, sizing_with_decode_on_decodes_nothing_and_restores);
	tcase_add_test(t, sizing_by_bytes_works_too);
	tcase_add_test(t, expansion_rom_is_absent);
	tcase_add_test(t, move_with_decode_on_follows_at_once);
	tcase_add_test(t, move_with_decode_off_costs_nothing_until_on);
	tcase_add_test(t, write_of_the_same_address_changes_nothing);
	tcase_add_test(t, memory_decode_off_leaves_io_and_back);
	tcase_add_test(t, wide_bar_moves_above_4g_in_two_writes);
	tcase_add_test(t, wide_bar_moves_in_one_8_byte_write);
	tcase_add_test(t, address_outside_the_windows_is_not_decoded);
	tcase_add_test(t, overlap_refused_keeps_the_other_bar_working);
	tcase_add_test(t, overlap_refused_is_decoded_after_it_moves);
	tcase_add_test(t, overlap_swap_of_two_bars_ends_with_both_decoded);
	tcase_add_test(t, overlap_with_the_rest_of_the_machine_is_refused);
	tcase_add_test(t, bar_without_ops_reads_zero);
	tcase_add_test(t, doorbell_follows_its_bar);
	tcase_add_test(t, doorbell_added_or_removed_twice_is_harmless);
	tcase_add_test(t, doorbell_refused_leaves_writes_to_the_device);
	tcase_add_test(t, doorbell_is_gone_while_its_bar_is_refused);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
