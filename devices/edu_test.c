/* The test device's registers on a fake machine. That KVM signals the doorbell is a guest test's to prove. */
#include "devices/edu.h"

#include "devices/pci_rig.h"

enum { RAM_BYTES = 0x4000, DEVFN = PCI_DEVFN(2, 0), ADDR = 0xfee00000 };

static struct rig *r;
static struct edu *d;
static struct gmem mem;
static uint8_t *ram;
static uint64_t bar;

static void setup(void)
{
	r = rig_new();
	d = calloc(1, sizeof(*d));
	ram = aligned_alloc(4096, RAM_BYTES);
	ck_assert(d && ram);
	for (unsigned int i = 0; i < RAM_BYTES; i++)
		ram[i] = (uint8_t)(i * 7);
	mem = (struct gmem){ 0 };
	ck_assert_int_eq(gmem_add(&mem, 0x100000, RAM_BYTES, ram, NULL), 0);
	ck_assert_int_eq(edu_init(d, &mem, &r->fake.host, NULL), 0);
	ck_assert_int_eq(pci_root_add(&r->root, DEVFN, &d->func, NULL), 0);
	ck_assert_int_eq(pci_root_assign(&r->root, NULL), 0);
	rig_write_at(r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	bar = rig_read_at(r, DEVFN, PCI_BASE_ADDRESS_0, 4);
}

static void teardown(void)
{
	edu_fini(d);
	rig_free(r);
	free(d);
	free(ram);
}

static uint64_t get(unsigned int off)
{
	return fake_read(&r->fake, bar + off, 4);
}

static void put(unsigned int off, uint64_t val)
{
	fake_write(&r->fake, bar + off, 4, val);
}

static void msi_enable(void)
{
	rig_write_at(r, DEVFN, d->func.msi.cap + PCI_MSI_ADDRESS_LO, 4, ADDR);
	rig_write_at(r, DEVFN, d->func.msi.cap + PCI_MSI_DATA_64, 2, 0x33);
	rig_write_at(r, DEVFN, d->func.msi.cap + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
}

static void dma(uint64_t src, uint64_t dst, uint64_t len, unsigned int command)
{
	fake_write(&r->fake, bar + 0x80, 8, src);
	fake_write(&r->fake, bar + 0x88, 8, dst);
	fake_write(&r->fake, bar + 0x90, 8, len);
	put(0x98, command);
}

START_TEST(identification_and_ids_are_edus)
{
	ck_assert_uint_eq(rig_read_at(r, DEVFN, 0, 4), 0x11e81234);
	ck_assert_uint_eq(get(0x00), 0x010000ed);
}
END_TEST

START_TEST(liveness_inverts_and_is_0_after_reset)
{
	ck_assert_uint_eq(get(0x04), 0);
	put(0x04, 0x12345678);
	ck_assert_uint_eq(get(0x04), 0xedcba987);
}
END_TEST

START_TEST(factorial_is_modulo_2_32_and_bounded)
{
	put(0x08, 5);
	ck_assert_uint_eq(get(0x08), 120);
	put(0x08, 13);
	ck_assert_uint_eq(get(0x08), 1932053504);
	put(0x08, 0);
	ck_assert_uint_eq(get(0x08), 1);
	put(0x08, 33);
	ck_assert_uint_eq(get(0x08), 0x80000000);
	put(0x08, 0xffffffff);
	ck_assert_uint_eq(get(0x08), 0);
	ck_assert_uint_eq(get(0x24), 0);
}
END_TEST

START_TEST(factorial_raises_when_asked)
{
	put(0x20, 0xff);
	ck_assert_uint_eq(get(0x20), 0x80);
	put(0x08, 3);
	ck_assert_uint_eq(get(0x24), 1);
	ck_assert(r->fake.line[2]);
}
END_TEST

START_TEST(raise_and_acknowledge_drive_intx)
{
	put(0x60, 0x30);
	put(0x60, 0x01);
	ck_assert_uint_eq(get(0x24), 0x31);
	ck_assert(r->fake.line[2]);
	put(0x64, 0x30);
	ck_assert(r->fake.line[2]);
	put(0x64, 0x01);
	ck_assert_uint_eq(get(0x24), 0);
	ck_assert(!r->fake.line[2]);
}
END_TEST

START_TEST(raise_of_nothing_raises_nothing)
{
	put(0x60, 0);
	ck_assert(!r->fake.line[2]);
}
END_TEST

START_TEST(raise_with_msi_sends_one_message_each)
{
	msi_enable();
	put(0x60, 1);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x33), 1);
	put(0x60, 1);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x33), 1);
	put(0x64, 1);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x33), 0);
	ck_assert(!r->fake.line[2]);
}
END_TEST

START_TEST(doorbell_sends_the_message_without_the_device)
{
	msi_enable();
	ck_assert_uint_eq(r->fake.nr_bell, 1);
	put(EDU_DOORBELL, 0xabcd);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x33), 1);
	ck_assert_uint_eq(get(0x24), 0);
	ck_assert_uint_eq(get(EDU_DOORBELL), 0xffffffff);
}
END_TEST

START_TEST(doorbell_works_without_the_machines_help)
{
	rig_write_at(r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	r->fake.refuse_bells = true;
	rig_write_at(r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	msi_enable();
	put(EDU_DOORBELL, 1);
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x33), 1);
}
END_TEST

START_TEST(doorbell_with_msi_disabled_is_forgotten)
{
	put(EDU_DOORBELL, 1);
	ck_assert(!r->fake.line[2]);
	msi_enable();
	ck_assert_uint_eq(fake_delivered(&r->fake, ADDR, 0x33), 0);
}
END_TEST

START_TEST(dma_there_and_back_moves_the_bytes)
{
	dma(0x100010, EDU_BUFFER + 4, 100, 1);
	ck_assert_uint_eq(get(0x98), 0);
	dma(EDU_BUFFER + 4, 0x102000, 100, 3);
	ck_assert_mem_eq(ram + 0x2000, ram + 0x10, 100);
	ck_assert_uint_eq(get(0x24), 0);
}
END_TEST

START_TEST(dma_raises_when_asked)
{
	dma(0x100000, EDU_BUFFER, 4096, 5);
	ck_assert_uint_eq(get(0x24), 0x100);
	ck_assert_mem_eq(d->buffer, ram, 4096);
}
END_TEST

START_TEST(dma_outside_buffer_or_ram_moves_nothing)
{
	uint8_t was[EDU_BUFFER_BYTES] = { 0 };

	dma(0x100000, EDU_BUFFER + 1, 4096, 1);
	dma(0x100000, EDU_BUFFER - 1, 2, 1);
	dma(0x100000, EDU_BUFFER, UINT64_MAX, 1);
	dma(0x100000, EDU_BUFFER + EDU_BUFFER_BYTES, 1, 1);
	dma(0x100000, UINT64_MAX, 2, 1);
	dma(0x100000 + RAM_BYTES - 1, EDU_BUFFER, 2, 1);
	dma(UINT64_MAX - 1, EDU_BUFFER, 4, 5);
	ck_assert_mem_eq(d->buffer, was, sizeof(was));
	ck_assert_uint_eq(get(0x24), 0x100);
}
END_TEST

START_TEST(dma_to_where_no_ram_is_moves_nothing)
{
	uint8_t was[RAM_BYTES];

	memcpy(was, ram, RAM_BYTES);
	dma(EDU_BUFFER, 0x100000 - 1, 16, 3);
	dma(EDU_BUFFER + 4000, 0x100000, 97, 3);
	ck_assert_mem_eq(ram, was, RAM_BYTES);
}
END_TEST

START_TEST(dma_without_bus_master_moves_nothing)
{
	rig_write_at(r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	dma(0x100000, EDU_BUFFER, 4, 1);
	ck_assert_uint_eq(d->buffer[1], 0);
}
END_TEST

START_TEST(dma_addresses_take_both_halves_by_4_bytes)
{
	put(0x80, 0x11111111);
	put(0x84, 0x22222222);
	ck_assert_uint_eq(fake_read(&r->fake, bar + 0x80, 8), 0x2222222211111111);
	ck_assert_uint_eq(get(0x84), 0x22222222);
	put(0x88, 5);
	put(0x8c, 6);
	ck_assert_uint_eq(fake_read(&r->fake, bar + 0x88, 8), 0x600000005);
}
END_TEST

START_TEST(other_sizes_and_offsets_are_ignored)
{
	fake_write(&r->fake, bar + 0x60, 1, 1);
	fake_write(&r->fake, bar + 0x60, 8, 1);
	fake_write(&r->fake, bar + 0x61, 4, 1);
	fake_write(&r->fake, bar + 0xffff8, 8, 1);
	ck_assert_uint_eq(get(0x24), 0);
	ck_assert_uint_eq(fake_read(&r->fake, bar, 2), 0xffff);
	ck_assert_uint_eq(fake_read(&r->fake, bar, 8), UINT64_MAX);
	ck_assert_uint_eq(get(0x40000), 0xffffffff);
}
END_TEST

START_TEST(flr_clears_registers_and_line)
{
	put(0x04, 1);
	put(0x60, 1);
	rig_write_at(r, DEVFN, d->func.express + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	ck_assert(!r->fake.line[2]);
	rig_write_at(r, DEVFN, PCI_BASE_ADDRESS_0, 4, bar);
	rig_write_at(r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	ck_assert_uint_eq(get(0x04), 0);
	ck_assert_uint_eq(get(0x24), 0);
}
END_TEST

START_TEST(save_and_load_bring_everything_back)
{
	struct buf b = { 0 }, again = { 0 };
	struct state_reader in;

	put(0x04, 1);
	put(0x20, 0x80);
	put(0x60, 0x42);
	dma(0x100000, EDU_BUFFER, 4096, 1);
	edu_dev_ops.save(d, &b);
	edu_dev_ops.reset(d);
	ck_assert(!r->fake.line[2]);
	in = (struct state_reader){ .data = b.data, .len = b.len, .version = 1 };
	ck_assert_int_eq(edu_dev_ops.load(d, &in, NULL), 0);
	ck_assert_int_eq(state_close(&in, "edu", NULL), 0);
	edu_dev_ops.save(d, &again);
	ck_assert_uint_eq(again.len, b.len);
	ck_assert_mem_eq(again.data, b.data, b.len);
	ck_assert(r->fake.line[2]);
	buf_fini(&b);
	buf_fini(&again);
}
END_TEST

START_TEST(init_without_vectors_fails_cleanly)
{
	struct edu *x = calloc(1, sizeof(*x));
	struct err e;

	r->fake.open_limit = r->fake.nr_vec;
	ck_assert_int_eq(edu_init(x, &mem, &r->fake.host, &e), -ENOSPC);
	edu_fini(x);
	free(x);
}
END_TEST

START_TEST(any_register_writes_are_survived)
{
	uint64_t x = 88172645463325252;

	for (unsigned int i = 0; i < 50000; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		fake_write(&r->fake, bar + (x & 0x100 ? x & 0xff : x & 0xfffff), 1u << (x >> 20 & 3), x >> (x >> 58));
		(void)fake_read(&r->fake, bar + (x & 0xff), 1u << (x >> 24 & 3));
	}
	ck_assert_uint_eq(get(0x00), 0x010000ed);
	ck_assert(r->fake.line[2] == (get(0x24) != 0));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("edu");
	TCase *t = tcase_create("edu");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, identification_and_ids_are_edus);
	tcase_add_test(t, liveness_inverts_and_is_0_after_reset);
	tcase_add_test(t, factorial_is_modulo_2_32_and_bounded);
	tcase_add_test(t, factorial_raises_when_asked);
	tcase_add_test(t, raise_and_acknowledge_drive_intx);
	tcase_add_test(t, raise_of_nothing_raises_nothing);
	tcase_add_test(t, raise_with_msi_sends_one_message_each);
	tcase_add_test(t, doorbell_sends_the_message_without_the_device);
	tcase_add_test(t, doorbell_works_without_the_machines_help);
	tcase_add_test(t, doorbell_with_msi_disabled_is_forgotten);
	tcase_add_test(t, dma_there_and_back_moves_the_bytes);
	tcase_add_test(t, dma_raises_when_asked);
	tcase_add_test(t, dma_outside_buffer_or_ram_moves_nothing);
	tcase_add_test(t, dma_to_where_no_ram_is_moves_nothing);
	tcase_add_test(t, dma_without_bus_master_moves_nothing);
	tcase_add_test(t, dma_addresses_take_both_halves_by_4_bytes);
	tcase_add_test(t, other_sizes_and_offsets_are_ignored);
	tcase_add_test(t, flr_clears_registers_and_line);
	tcase_add_test(t, save_and_load_bring_everything_back);
	tcase_add_test(t, init_without_vectors_fails_cleanly);
	tcase_add_test(t, any_register_writes_are_survived);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
