/* Unit tests of bus.c: who answers at which address, and accesses which fit no window. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "vmm/bus.h"

/* A device that remembers its accesses and reads as its number in every byte. */
struct probe {
	uint8_t number;
	unsigned int reads, writes;
	uint64_t off[16], val[16];
	unsigned int size[16];
};

static struct probe a = { .number = 0xa1 }, b = { .number = 0xb2 };
static struct bus bus;
static struct err e;

static uint64_t probe_read(void *dev, uint64_t off, unsigned int size)
{
	struct probe *p = dev;

	p->off[p->reads % 16] = off;
	p->size[p->reads++ % 16] = size;
	return 0x0101010101010101ull * p->number; /* always 8 bytes: the bus cuts */
}

static void probe_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct probe *p = dev;

	p->off[p->writes % 16] = off;
	p->size[p->writes % 16] = size;
	p->val[p->writes++ % 16] = val;
}

static const struct io_ops probe_ops = { .read = probe_read, .write = probe_write };

static void setup(void)
{
	bus_init(&bus, "port", 0x10000);
}

static void teardown(void)
{
	bus_fini(&bus);
}

static int add(uint64_t base, uint64_t len, struct probe *p)
{
	return bus_add(&bus, base, len, &probe_ops, p, p == &a ? "a" : "b", &e);
}

START_TEST(zeroed_bus_can_be_finished)
{
	struct bus none = { 0 };

	bus_fini(&none);
}
END_TEST

START_TEST(nobody_reads_as_all_ones)
{
	ck_assert_uint_eq(bus_read(&bus, 0x80, 1), 0xff);
	ck_assert_uint_eq(bus_read(&bus, 0x80, 2), 0xffff);
	ck_assert_uint_eq(bus_read(&bus, 0x80, 3), 0xffffff);
	ck_assert_uint_eq(bus_read(&bus, 0x80, 4), 0xffffffff);
	ck_assert_uint_eq(bus_read(&bus, 0x80, 8), UINT64_MAX);
	ck_assert_uint_eq(bus_read(&bus, UINT64_MAX, 8), UINT64_MAX);
	bus_write(&bus, 0x80, 4, 1);
	bus_write(&bus, UINT64_MAX, 8, 1);
}
END_TEST

START_TEST(device_sees_offset_size_and_cut_value)
{
	ck_assert_int_eq(add(0x100, 8, &a), 0);
	bus_write(&bus, 0x104, 2, 0x12345678);
	ck_assert_uint_eq(a.writes, 1);
	ck_assert_uint_eq(a.off[0], 4);
	ck_assert_uint_eq(a.size[0], 2);
	ck_assert_uint_eq(a.val[0], 0x5678);
	ck_assert_uint_eq(bus_read(&bus, 0x107, 1), 0xa1);
	ck_assert_uint_eq(a.off[0], 7);
	ck_assert_uint_eq(a.size[0], 1);
	ck_assert_uint_eq(bus_read(&bus, 0x100, 8), 0xa1a1a1a1a1a1a1a1);
}
END_TEST

START_TEST(window_ends_where_it_ends)
{
	ck_assert_int_eq(add(0x100, 8, &a), 0);
	ck_assert_uint_eq(bus_read(&bus, 0xff, 1), 0xff);
	ck_assert_uint_eq(bus_read(&bus, 0x108, 1), 0xff);
	bus_write(&bus, 0xff, 1, 0);
	bus_write(&bus, 0x108, 1, 0);
	ck_assert_uint_eq(a.reads + a.writes, 0);
}
END_TEST

START_TEST(access_across_two_windows_is_done_in_bytes)
{
	ck_assert_int_eq(add(0x100, 8, &a), 0);
	ck_assert_int_eq(add(0x108, 1, &b), 0);
	ck_assert_uint_eq(bus_read(&bus, 0x106, 4), 0xffb2a1a1);
	ck_assert_uint_eq(a.size[0], 1);
	ck_assert_uint_eq(a.off[1], 7);
	bus_write(&bus, 0x106, 4, 0x44332211);
	ck_assert_uint_eq(a.val[0], 0x11);
	ck_assert_uint_eq(a.val[1], 0x22);
	ck_assert_uint_eq(b.val[0], 0x33);
	ck_assert_uint_eq(b.writes, 1);
}
END_TEST

START_TEST(access_that_begins_before_a_window_reaches_it_in_bytes)
{
	ck_assert_int_eq(add(0x102, 2, &a), 0);
	ck_assert_uint_eq(bus_read(&bus, 0x100, 4), 0xa1a1ffff);
	ck_assert_uint_eq(a.reads, 2);
}
END_TEST

START_TEST(odd_size_is_done_in_bytes)
{
	ck_assert_int_eq(add(0x100, 8, &a), 0);
	ck_assert_uint_eq(bus_read(&bus, 0x100, (unsigned int)_i), ones((unsigned int)_i) & 0xa1a1a1a1a1a1a1a1);
	ck_assert_uint_eq(a.reads, (unsigned int)_i);
	ck_assert_uint_eq(a.size[0], 1);
	bus_write(&bus, 0x100, (unsigned int)_i, 0x8877665544332211);
	ck_assert_uint_eq(a.writes, (unsigned int)_i);
	ck_assert_uint_eq(a.val[_i - 1], 0x11u * (unsigned int)_i);
}
END_TEST

START_TEST(size_0_touches_nobody)
{
	ck_assert_int_eq(add(0x100, 8, &a), 0);
	ck_assert_uint_eq(bus_read(&bus, 0x100, 0), 0);
	bus_write(&bus, 0x100, 0, 1);
	ck_assert_uint_eq(a.reads + a.writes, 0);
}
END_TEST

static const struct {
	uint64_t base, len;
} overlapping[] = {
	{ 0x200, 8 }, { 0x207, 1 }, { 0x1ff, 2 }, { 0x100, 0x200 }, { 0x204, 0x100 }, { 0, 0x10000 },
};

START_TEST(overlap_is_refused_and_names_both)
{
	ck_assert_int_eq(add(0x200, 8, &a), 0);
	ck_assert_int_eq(add(0x400, 8, &a), 0);
	ck_assert_int_eq(add(overlapping[_i].base, overlapping[_i].len, &b), -EBUSY);
	ck_assert_ptr_nonnull(strstr(e.text, "b: port 0x"));
	ck_assert_ptr_nonnull(strstr(e.text, "overlaps a at 0x200"));
	ck_assert_uint_eq(bus.nr_windows, 2);
}
END_TEST

START_TEST(touching_windows_are_fine)
{
	ck_assert_int_eq(add(0x200, 8, &a), 0);
	ck_assert_int_eq(add(0x208, 8, &b), 0);
	ck_assert_int_eq(add(0x1f8, 8, &b), 0);
	ck_assert_uint_eq(bus_read(&bus, 0x1ff, 1), 0xb2);
	ck_assert_uint_eq(bus_read(&bus, 0x200, 1), 0xa1);
	ck_assert_uint_eq(bus_read(&bus, 0x208, 1), 0xb2);
}
END_TEST

static const struct {
	uint64_t base, len;
} nowhere[] = {
	{ 0, 0 },          { 0x10000, 1 },          { 0xffff, 2 },      { 0, 0x10001 },
	{ UINT64_MAX, 1 }, { UINT64_MAX, UINT64_MAX }, { 1, UINT64_MAX },
};

START_TEST(window_beyond_the_limit_is_refused)
{
	ck_assert_int_eq(add(nowhere[_i].base, nowhere[_i].len, &a), -ERANGE);
	ck_assert_str_ne(e.text, "");
}
END_TEST

START_TEST(last_port_can_be_used_and_accesses_past_it_are_cut)
{
	ck_assert_int_eq(add(0xffff, 1, &a), 0);
	ck_assert_uint_eq(bus_read(&bus, 0xffff, 4), 0xffffffa1);
	ck_assert_uint_eq(a.reads, 1);
}
END_TEST

START_TEST(bus_without_a_limit_takes_high_addresses)
{
	struct bus mmio;

	bus_init(&mmio, "address", 0);
	ck_assert_int_eq(bus_add(&mmio, UINT64_MAX - 8, 8, &probe_ops, &a, "a", &e), 0);
	ck_assert_uint_eq(bus_read(&mmio, UINT64_MAX - 4, 4), 0xa1a1a1a1);
	ck_assert_int_eq(bus_add(&mmio, 2, UINT64_MAX, &probe_ops, &b, "b", &e), -ERANGE);
	bus_fini(&mmio);
}
END_TEST

START_TEST(as_many_windows_as_fit_are_found_in_any_order)
{
	/* 37 has no factor in common with 512: every window once, in a mixed order. */
	for (unsigned int i = 0; i < BUS_MAX_WINDOWS; i++)
		ck_assert_int_eq(add((i * 37 % BUS_MAX_WINDOWS) * 16, 8, &a), 0);
	ck_assert_int_eq(add(0xf000, 8, &b), -ENOSPC);
	for (unsigned int i = 0; i < BUS_MAX_WINDOWS; i++) {
		ck_assert_uint_eq(bus_read(&bus, i * 16 + 7, 1), 0xa1);
		ck_assert_uint_eq(bus_read(&bus, i * 16 + 8, 1), 0xff);
	}
}
END_TEST

START_TEST(removed_window_is_gone_and_its_place_free)
{
	ck_assert_int_eq(add(0x100, 8, &a), 0);
	ck_assert_int_eq(add(0x200, 8, &a), 0);
	bus_remove(&bus, 0x100, 8);
	ck_assert_uint_eq(bus_read(&bus, 0x100, 1), 0xff);
	ck_assert_uint_eq(bus_read(&bus, 0x200, 1), 0xa1);
	ck_assert_int_eq(add(0x104, 8, &b), 0);
	ck_assert_uint_eq(bus_read(&bus, 0x104, 1), 0xb2);
}
END_TEST

START_TEST(remove_wants_the_exact_window)
{
	ck_assert_int_eq(add(0x100, 8, &a), 0);
	bus_remove(&bus, 0x100, 4);
	bus_remove(&bus, 0x101, 7);
	bus_remove(&bus, 0x200, 8);
	bus_remove(&bus, 0, 8);
	ck_assert_uint_eq(bus_read(&bus, 0x100, 1), 0xa1);
}
END_TEST

START_TEST(adding_and_removing_around_powers_of_two_keeps_all)
{
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < 33; i++)
			ck_assert_int_eq(add(i * 16, 8, &a), 0);
		for (unsigned int i = 0; i < 33; i++) {
			ck_assert_uint_eq(bus_read(&bus, i * 16, 1), 0xa1);
			bus_remove(&bus, i * 16, 8);
		}
	}
	ck_assert_uint_eq(bus.nr_windows, 0);
}
END_TEST

/* ---- exact windows: 0xcf8 is PCI's for 4 bytes, 0xcf9 the reset register's ---- */

START_TEST(exact_window_answers_its_own_size_only)
{
	ck_assert_int_eq(bus_add_exact(&bus, 0xcf8, 4, &probe_ops, &a, "pci", &e), 0);
	ck_assert_int_eq(add(0xcf9, 1, &b), 0);
	ck_assert_uint_eq(bus_read(&bus, 0xcf8, 4), 0xa1a1a1a1);
	ck_assert_uint_eq(bus_read(&bus, 0xcf9, 1), 0xb2);
	ck_assert_uint_eq(bus_read(&bus, 0xcf8, 2), 0xb2ff);
	ck_assert_uint_eq(bus_read(&bus, 0xcf8, 1), 0xff);
	ck_assert_uint_eq(bus_read(&bus, 0xcf8, 8), 0xffffffffffffb2ff);
	bus_write(&bus, 0xcf8, 4, 0x80000000);
	ck_assert_uint_eq(a.writes, 1);
	ck_assert_uint_eq(b.writes, 0);
	bus_write(&bus, 0xcf9, 1, 6);
	ck_assert_uint_eq(b.writes, 1);
}
END_TEST

START_TEST(exact_window_comes_before_a_plain_one)
{
	ck_assert_int_eq(add(0xcf8, 8, &b), 0);
	ck_assert_int_eq(bus_add_exact(&bus, 0xcf8, 4, &probe_ops, &a, "pci", &e), 0);
	ck_assert_uint_eq(bus_read(&bus, 0xcf8, 4), 0xa1a1a1a1);
	ck_assert_uint_eq(bus_read(&bus, 0xcfc, 4), 0xb2b2b2b2);
}
END_TEST

START_TEST(third_exact_window_is_refused)
{
	ck_assert_int_eq(bus_add_exact(&bus, 0xcf8, 4, &probe_ops, &a, "pci", &e), 0);
	ck_assert_int_eq(bus_add_exact(&bus, 0xd00, 4, &probe_ops, &a, "pci", &e), 0);
	ck_assert_int_eq(bus_add_exact(&bus, 0xd08, 4, &probe_ops, &a, "pci", &e), -ENOSPC);
}
END_TEST

/* ---- threads ---- */

static atomic_bool done;

static uint64_t steady_read(void *dev, uint64_t off, unsigned int size)
{
	(void)off;
	(void)size;
	return *(uint8_t *)dev;
}

/* A device may change the bus while it is being called: no lock is held then. */
static void moving_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	(void)off;
	(void)size;
	bus_remove(&bus, 0x100, 8);
	ck_assert_int_eq(bus_add(&bus, val, 8, &probe_ops, dev, "moved", &e), 0);
}

static const struct io_ops steady_ops = { .read = steady_read };
static const struct io_ops moving_ops = { .write = moving_write };

START_TEST(device_may_move_its_own_window_in_a_write)
{
	ck_assert_int_eq(bus_add(&bus, 0x100, 8, &moving_ops, &a, "bar", &e), 0);
	bus_write(&bus, 0x100, 4, 0x300);
	ck_assert_uint_eq(bus_read(&bus, 0x100, 1), 0xff);
	ck_assert_uint_eq(bus_read(&bus, 0x300, 1), 0xa1);
}
END_TEST

static void *move_windows(void *ctx)
{
	static uint8_t other = 0xee;

	for (unsigned int i = 0; i < 20000; i++) {
		int rc = bus_add(&bus, 0x100 + 16 * (i % 40), 8, &steady_ops, &other, "other", NULL);

		*(int *)ctx |= rc;
		bus_remove(&bus, 0x100 + 16 * (i % 40), 8);
	}
	atomic_store(&done, true);
	return NULL;
}

START_TEST(window_answers_always_while_others_come_and_go)
{
	uint8_t mine = 0x5c;
	unsigned int wrong = 0;
	pthread_t mover;
	int rc = 0;

	ck_assert_int_eq(bus_add(&bus, 0x80, 8, &steady_ops, &mine, "low", &e), 0);
	ck_assert_int_eq(bus_add(&bus, 0x800, 8, &steady_ops, &mine, "high", &e), 0);
	ck_assert_int_eq(pthread_create(&mover, NULL, move_windows, &rc), 0);
	while (!atomic_load(&done)) {
		wrong += bus_read(&bus, 0x80, 1) != 0x5c;
		wrong += bus_read(&bus, 0x800, 1) != 0x5c;
	}
	pthread_join(mover, NULL);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_int_eq(rc, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bus");
	TCase *t = tcase_create("bus");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, zeroed_bus_can_be_finished);
	tcase_add_test(t, nobody_reads_as_all_ones);
	tcase_add_test(t, device_sees_offset_size_and_cut_value);
	tcase_add_test(t, window_ends_where_it_ends);
	tcase_add_test(t, access_across_two_windows_is_done_in_bytes);
	tcase_add_test(t, access_that_begins_before_a_window_reaches_it_in_bytes);
	tcase_add_loop_test(t, odd_size_is_done_in_bytes, 5, 8);
	tcase_add_loop_test(t, odd_size_is_done_in_bytes, 3, 4);
	tcase_add_test(t, size_0_touches_nobody);
	tcase_add_loop_test(t, overlap_is_refused_and_names_both, 0, ARRAY_SIZE(overlapping));
	tcase_add_test(t, touching_windows_are_fine);
	tcase_add_loop_test(t, window_beyond_the_limit_is_refused, 0, ARRAY_SIZE(nowhere));
	tcase_add_test(t, last_port_can_be_used_and_accesses_past_it_are_cut);
	tcase_add_test(t, bus_without_a_limit_takes_high_addresses);
	tcase_add_test(t, as_many_windows_as_fit_are_found_in_any_order);
	tcase_add_test(t, removed_window_is_gone_and_its_place_free);
	tcase_add_test(t, remove_wants_the_exact_window);
	tcase_add_test(t, adding_and_removing_around_powers_of_two_keeps_all);
	tcase_add_test(t, exact_window_answers_its_own_size_only);
	tcase_add_test(t, exact_window_comes_before_a_plain_one);
	tcase_add_test(t, third_exact_window_is_refused);
	tcase_add_test(t, device_may_move_its_own_window_in_a_write);
	tcase_add_test(t, window_answers_always_while_others_come_and_go);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
