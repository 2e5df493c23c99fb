/*
 * Saving and loading the PCI layer; and that nothing a guest writes breaks what must always hold. It does not
 * prove that the order of operations inside KVM is right.
 */
#include <pthread.h>

#include "devices/pci_internal.h"
#include "devices/pci_rig.h"

static struct rig *r, *other;
static struct buf image;

enum { ADDR = 0xfee00000, LOW = 0xd0000000, NR_STEPS = 30000, NR_THREADS = 3 };

static void setup(void)
{
	r = rig_assigned();
	other = rig_new();
}

static void teardown(void)
{
	rig_free(r);
	rig_free(other);
	buf_fini(&image);
}

static int load(struct rig *to, struct err *e)
{
	struct state_reader in = { .data = image.data, .len = image.len, .version = pci_root_ops.version };
	int rc = pci_root_ops.load(&to->root, &in, e);

	return rc < 0 ? rc : state_close(&in, "pci", e);
}

/* A guest half way: BARs moved, MSI-X on with one vector pending, INTx raised in a second function. */
static void busy(struct rig *g)
{
	uint64_t table = LOW;

	rig_command(g, PCI_COMMAND_MASTER, 0);
	rig_write(g, rig_bar_reg(RIG_BAR_MSIX), 4, LOW);
	rig_write(g, rig_bar_reg(RIG_BAR_HIGH), 8, RIG_HIGH_BASE + 0x40000);
	rig_write(g, g->f.msix.cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned int n = 0; n < 3; n++) {
		fake_write(&g->fake, table + 16 * n, 8, ADDR);
		fake_write(&g->fake, table + 16 * n + 8, 4, n);
	}
	fake_write(&g->fake, table + 12, 4, 0);
	pci_msix_raise(&g->f, 2);
	pci_addr_ops.write(&g->root, 0, 4, 0x80000810);
}

START_TEST(load_brings_back_registers_windows_and_pending)
{
	busy(r);
	pci_root_ops.save(&r->root, &image);
	ck_assert_int_eq(load(other, NULL), 0);

	ck_assert_mem_eq(other->f.config, r->f.config, sizeof(r->f.config));
	ck_assert_mem_eq(other->f.msix.table, r->f.msix.table, 16 * RIG_NR_MSIX);
	ck_assert_uint_eq(other->fake.nr_win, r->fake.nr_win);
	ck_assert_uint_eq(fake_read(&other->fake, RIG_HIGH_BASE + 0x40010, 4), 0x5a5a0010);
	ck_assert_uint_eq(fake_read(&other->fake, LOW + RIG_PBA, 8), 4);
	ck_assert_uint_eq(pci_addr_ops.read(&other->root, 0, 4), 0x80000810);
	ck_assert(pci_bus_master(&other->f));
}
END_TEST

START_TEST(load_then_save_gives_the_same_bytes)
{
	struct buf again = { 0 };

	busy(r);
	pci_root_ops.save(&r->root, &image);
	ck_assert_int_eq(load(other, NULL), 0);
	pci_root_ops.save(&other->root, &again);
	ck_assert_uint_eq(again.len, image.len);
	ck_assert_mem_eq(again.data, image.data, image.len);
	buf_fini(&again);
}
END_TEST

START_TEST(load_delivers_by_the_loaded_messages)
{
	busy(r);
	pci_root_ops.save(&r->root, &image);
	ck_assert_int_eq(load(other, NULL), 0);
	ck_assert_uint_eq(fake_delivered(&other->fake, ADDR, 2), 0);
	fake_write(&other->fake, LOW + 16 * 2 + 12, 4, 0);
	ck_assert_uint_eq(fake_delivered(&other->fake, ADDR, 2), 1);
	pci_msix_raise(&other->f, 0);
	ck_assert_uint_eq(fake_delivered(&other->fake, ADDR, 0), 1);
}
END_TEST

START_TEST(load_brings_back_pending_msi)
{
	rig_command(r, PCI_COMMAND_MASTER, 0);
	rig_write(r, r->f.msi.cap + PCI_MSI_ADDRESS_LO, 4, ADDR);
	rig_write(r, r->f.msi.cap + PCI_MSI_MASK_64, 4, 1);
	rig_write(r, r->f.msi.cap + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
	pci_msi_raise(&r->f, 0);
	pci_root_ops.save(&r->root, &image);
	ck_assert_int_eq(load(other, NULL), 0);
	ck_assert_uint_eq(rig_read(other, other->f.msi.cap + PCI_MSI_PENDING_64, 4), 1);
	rig_write(other, other->f.msi.cap + PCI_MSI_MASK_64, 4, 0);
	ck_assert_uint_eq(fake_delivered(&other->fake, ADDR, 0), 1);
}
END_TEST

START_TEST(load_raises_the_line_again)
{
	pci_intx_set(&r->f, true);
	pci_root_ops.save(&r->root, &image);
	ck_assert_int_eq(load(other, NULL), 0);
	ck_assert(other->fake.line[1]);
}
END_TEST

START_TEST(load_over_a_running_state_replaces_it)
{
	pci_root_ops.save(&r->root, &image);
	busy(r);
	pci_intx_set(&r->f, true);
	ck_assert_int_eq(load(r, NULL), 0);
	ck_assert_ptr_null(fake_find(&r->fake, false, LOW));
	ck_assert_uint_eq(r->fake.nr_win, 4);
	ck_assert(!r->fake.line[1] && !pci_msix_enabled(&r->f));
}
END_TEST

START_TEST(load_of_overlapping_bars_keeps_who_was_decoded)
{
	/* BAR 4 has the place, BAR 0 wants it: in BAR order it would be the other way round. */
	rig_write(r, rig_bar_reg(RIG_BAR_MSIX), 4, LOW);
	rig_write(r, rig_bar_reg(RIG_BAR_LOW), 4, LOW);
	pci_root_ops.save(&r->root, &image);
	ck_assert_int_eq(load(other, NULL), 0);
	ck_assert(other->f.bar[RIG_BAR_MSIX].mapped && !other->f.bar[RIG_BAR_LOW].mapped);
}
END_TEST

START_TEST(load_into_another_machine_is_refused)
{
	struct err e;

	pci_root_ops.save(&r->root, &image);
	pci_root_remove(&other->root, &other->f);
	ck_assert_int_eq(load(other, &e), -EINVAL);
	ck_assert_int_eq(pci_root_add(&other->root, PCI_DEVFN(2, 0), &other->f, NULL), 0);
	ck_assert_int_eq(load(other, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "another device at PCI address 00:02.0"));
}
END_TEST

START_TEST(load_with_other_read_only_bits_is_refused)
{
	pci_config_set(&r->f, PCI_DEVICE_ID, 2, 0x5679);
	pci_root_ops.save(&r->root, &image);
	ck_assert_int_eq(load(other, NULL), -EINVAL);
}
END_TEST

START_TEST(load_cut_short_anywhere_is_refused_and_reset_helps)
{
	busy(r);
	pci_root_ops.save(&r->root, &image);
	for (size_t len = 0; len < image.len; len += len < 64 || len + 2048 > image.len ? 1 : 501) {
		struct state_reader in = { .data = image.data, .len = len };
		int rc = pci_root_ops.load(&other->root, &in, NULL);

		ck_assert(rc < 0 || state_close(&in, "pci", NULL) < 0);
	}
	pci_root_ops.reset(&other->root);
	ck_assert_uint_eq(other->fake.nr_win, 0);
	ck_assert_mem_eq(other->f.config, other->f.initial, sizeof(other->f.config));
}
END_TEST

START_TEST(load_of_damaged_bytes_never_breaks_the_rules)
{
	uint32_t x = 99;

	busy(r);
	pci_root_ops.save(&r->root, &image);
	for (unsigned int i = 0; i < 500; i++) {
		x = x * 1664525 + 1013904223;
		image.data[x % image.len] ^= (uint8_t)(x >> 24);
		(void)load(other, NULL);
	}
	pci_root_ops.reset(&other->root);
	ck_assert_uint_eq(other->fake.nr_win, 0);
}
END_TEST

/* ---- a guest that writes anything ---- */

static uint64_t rnd(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Values a guest might really write, and nonsense. */
static uint64_t rnd_value(uint64_t *x)
{
	switch (rnd(x) % 8) {
	case 0:
		return UINT64_MAX;
	case 1:
		return 0;
	case 2:
		return LOW + (rnd(x) % 8) * 0x1000;
	case 3:
		return RIG_HIGH_BASE >> 32;
	case 4:
		return RIG_IO + (rnd(x) & 0xffe0);
	case 5:
		return rnd(x) & 0x407;
	default:
		return rnd(x);
	}
}

static void step(struct rig *g, uint64_t *x)
{
	static const unsigned int devfns[] = { RIG_DEVFN, RIG_DEVFN, RIG_DEVFN, 0, PCI_DEVFN(1, 3), PCI_DEVFN(31, 7) };
	unsigned int devfn = devfns[rnd(x) % ARRAY_SIZE(devfns)];
	unsigned int off = (unsigned int)(rnd(x) % (rnd(x) % 4 ? 0x30 : 4096));
	unsigned int size = 1u << rnd(x) % 4;

	switch (rnd(x) % 10) {
	case 8: /* mostly sensible: BARs are moved with decoding on and off */
		rig_write(g, PCI_COMMAND, 2, rnd(x) & 0x407);
		break;
	case 9:
		rig_write(g, rig_bar_reg(rnd(x) % 6), 4, rnd_value(x));
		break;
	case 0:
		(void)rig_read_at(g, devfn, off, size);
		break;
	case 1:
		pci_addr_ops.write(&g->root, rnd(x) % 4, size, 0x80000000 | devfn << 8 | (off & 0xff));
		break;
	case 2:
		pci_data_ops.write(&g->root, rnd(x) % 4, size, rnd_value(x));
		break;
	case 3:
		(void)pci_data_ops.read(&g->root, rnd(x) % 4, size);
		break;
	case 4:
		pci_msix_bar_ops.write(&g->f, rnd(x) % 0x2000, size, rnd_value(x));
		(void)pci_msix_bar_ops.read(&g->f, rnd(x) % 0x2000, size);
		break;
	case 5:
		(void)pci_msix_raise(&g->f, (unsigned int)(rnd(x) % 80));
		(void)pci_msi_raise(&g->f, (unsigned int)(rnd(x) % 8));
		pci_intx_set(&g->f, rnd(x) & 1);
		break;
	default:
		rig_write_at(g, devfn, off, size, rnd_value(x));
	}
}

static bool inside(uint64_t base, uint64_t len, const struct fake_window *w)
{
	return w->base >= base && range_ok(w->base - base, w->len, len);
}

static void check_windows(const struct fake *k)
{
	for (unsigned int i = 0; i < k->nr_win; i++) {
		const struct fake_window *w = &k->win[i];

		ck_assert(w->io ? inside(RIG_IO, RIG_IO_LEN, w) :
				  inside(MAP_PCI32_BASE, MAP_PCI32_LEN, w) || inside(RIG_HIGH_BASE, RIG_HIGH_LEN, w));
		ck_assert_uint_eq(w->base % w->len, 0);
	}
}

/* What is decoded is what the registers say. */
static void check_bars(struct rig *g)
{
	unsigned int command = (unsigned int)rig_read(g, PCI_COMMAND, 2), mapped = 0;

	for (unsigned int n = 0; n < PCI_NR_BARS; n++) {
		const struct pci_bar *bar = &g->f.bar[n];
		bool io = bar->flags & PCI_BAR_IO;

		mapped += bar->mapped;
		if (!bar->mapped)
			continue;
		ck_assert_uint_eq(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY),
				  io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
		ck_assert_uint_eq(bar->addr, pci_bar_address(&g->f, n));
		ck_assert_uint_eq(fake_find(&g->fake, io, bar->addr)->base, bar->addr);
	}
	ck_assert_uint_eq(mapped + 1, g->fake.nr_win); /* and the neighbour's */
}

static void check_rules(struct rig *g, const struct pci_func *neighbour)
{
	check_windows(&g->fake);
	check_bars(g);
	ck_assert_uint_eq(rig_read(g, 0, 4), 0x56781234);
	ck_assert_uint_eq(rig_read(g, PCI_CAPABILITY_LIST, 1), 0x40);
	ck_assert(neighbour->bar[0].mapped && neighbour->bar[0].addr == LOW + 0x2000);
	ck_assert(pci_bus_master(&g->f) == !!(rig_read(g, PCI_COMMAND, 2) & PCI_COMMAND_MASTER));
	ck_assert(g->fake.line[1] == g->f.intx_driven);
}

static void neighbour_add(struct rig *g, struct pci_func *n)
{
	rig_describe(g, n, 0, "neighbour");
	pci_add_bar(n, 0, 0x1000, PCI_BAR_MEM32, &rig_io, g);
	ck_assert_int_eq(pci_root_add(&g->root, PCI_DEVFN(2, 0), n, NULL), 0);
	rig_write_at(g, PCI_DEVFN(2, 0), rig_bar_reg(0), 4, LOW + 0x2000);
	rig_write_at(g, PCI_DEVFN(2, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

START_TEST(any_writes_keep_the_rules)
{
	struct pci_func *n = calloc(1, sizeof(*n));
	uint64_t x = 0x9e3779b97f4a7c15;

	neighbour_add(r, n);
	for (unsigned int i = 0; i < NR_STEPS; i++) {
		step(r, &x);
		if (i % 8 == 0)
			check_rules(r, n);
	}
	check_rules(r, n);
	ck_assert_uint_gt(r->fake.adds, 100); /* the guest did get BARs mapped */
	ck_assert_uint_gt(r->flrs, 0);
	pci_func_fini(n);
	free(n);
}
END_TEST

static void *hammer(void *arg)
{
	uint64_t x = (uintptr_t)arg * 0x9e3779b97f4a7c15;

	for (unsigned int i = 0; i < NR_STEPS / 3; i++)
		step(r, &x);
	return NULL;
}

START_TEST(any_writes_by_several_threads_keep_the_rules)
{
	struct pci_func *n = calloc(1, sizeof(*n));
	pthread_t thread[NR_THREADS];

	neighbour_add(r, n);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, hammer, (void *)(i + 1)), 0);
	for (unsigned int i = 0; i < NR_THREADS; i++)
		pthread_join(thread[i], NULL);
	check_rules(r, n);
	pci_func_fini(n);
	free(n);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pci_state");
	TCase *t = tcase_create("state");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60); /* sanitizers, and a busy machine */
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, load_brings_back_registers_windows_and_pending);
	tcase_add_test(t, load_then_save_gives_the_same_bytes);
	tcase_add_test(t, load_delivers_by_the_loaded_messages);
	tcase_add_test(t, load_brings_back_pending_msi);
	tcase_add_test(t, load_raises_the_line_again);
	tcase_add_test(t, load_over_a_running_state_replaces_it);
	tcase_add_test(t, load_of_overlapping_bars_keeps_who_was_decoded);
	tcase_add_test(t, load_into_another_machine_is_refused);
	tcase_add_test(t, load_with_other_read_only_bits_is_refused);
	tcase_add_test(t, load_cut_short_anywhere_is_refused_and_reset_helps);
	tcase_add_test(t, load_of_damaged_bytes_never_breaks_the_rules);
	tcase_add_test(t, any_writes_keep_the_rules);
	tcase_add_test(t, any_writes_by_several_threads_keep_the_rules);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
