/*
 * Status, features, queues' lives, configuration space, on an echoing device. Saving and loading are
 * virtio_state_test.c's, registers virtio_pci_test.c's, rings virtq_test.c's.
 */
#include "devices/virtio/virtio.h"

#include <unistd.h>

#include "devices/virtio/virtio_core_rig.h"

/* ---- status and features ---- */

START_TEST(status_after_reset_is_0_and_nothing_is_accepted)
{
	ck_assert(td_start(&td, d, 0, 16));
	status(0);
	ck_assert_uint_eq(virtio_read_status(d), 0);
	ck_assert_uint_eq(virtio_accepted(d, 0) | virtio_accepted(d, 1), 0);
	ck_assert_uint_eq(d->queue[1].setup.size, ECHO_SIZE);
	ck_assert_uint_eq(d->queue[1].setup.desc, 0);
	ck_assert(!d->queue[1].enabled && !d->queue[1].running);
}
END_TEST

START_TEST(status_bits_only_rise)
{
	status(ACK | DRV);
	status(DRV);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV);
	status(NEEDS_RESET | 0x30 | ACK);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV);
}
END_TEST

START_TEST(features_ok_needs_version_1)
{
	virtio_accept(d, 0, 1 << ECHO_FEATURE);
	status(ACK | DRV | FOK);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV);
	virtio_accept(d, 1, (uint32_t)(VERSION_1 >> 32)); /* another try is allowed */
	status(ACK | DRV | FOK);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV | FOK);
	ck_assert(virtio_has(d, ECHO_FEATURE) && virtio_has(d, VIRTIO_F_VERSION_1));
}
END_TEST

START_TEST(features_never_offered_are_not_accepted)
{
	const uint32_t platform = 1 << (VIRTIO_F_ACCESS_PLATFORM - 32), version = (uint32_t)(VERSION_1 >> 32);

	ck_assert_uint_eq(virtio_offered(d, 1) & platform, 0);
	virtio_accept(d, 1, version | platform);
	ck_assert_uint_eq(virtio_accepted(d, 1), version);
	status(ACK | DRV | FOK);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV | FOK);
	ck_assert_uint_eq(d->negotiated, VERSION_1);
}
END_TEST

START_TEST(features_ok_refused_by_the_device_stays_clear)
{
	virtio_accept(d, 0, 1 << ECHO_FEATURE_REFUSED);
	virtio_accept(d, 1, (uint32_t)(VERSION_1 >> 32));
	status(ACK | DRV | FOK | DOK);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV);
	ck_assert_uint_eq(s->starts, 0);
}
END_TEST

START_TEST(features_are_frozen_after_features_ok)
{
	virtio_accept(d, 1, (uint32_t)(VERSION_1 >> 32));
	status(ACK | DRV | FOK);
	virtio_accept(d, 0, 1 << ECHO_FEATURE);
	ck_assert_uint_eq(virtio_accepted(d, 0), 0);
	ck_assert_uint_eq(d->negotiated, VERSION_1);
}
END_TEST

START_TEST(features_beyond_64_read_0_and_are_not_written)
{
	ck_assert_uint_eq(virtio_offered(d, 2), 0);
	virtio_accept(d, 2, 0xffffffff);
	virtio_accept(d, 0xffffffff, 0xffffffff);
	ck_assert_uint_eq(virtio_accepted(d, 2) | virtio_accepted(d, 0) | virtio_accepted(d, 1), 0);
}
END_TEST

START_TEST(driver_ok_needs_features_ok)
{
	status(ACK | DRV | DOK);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV);
	ck_assert_uint_eq(s->starts, 0);
}
END_TEST

START_TEST(failed_leaves_nothing_but_reset)
{
	prepare(0);
	status(ACK | DRV | FOK | FAILED | DOK);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV | FOK | FAILED);
	status(RUNNING);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV | FOK | FAILED);
	ck_assert_uint_eq(s->starts, 0);
	status(0);
	ck_assert_uint_eq(virtio_read_status(d), 0);
}
END_TEST

/* ---- queues ---- */

START_TEST(buffers_from_before_driver_ok_are_served)
{
	struct td_seg seg = buffer(1);
	struct td_used used;

	prepare(0);
	status(ACK | DRV | FOK);
	virtio_queue_enable(d, 1);
	ck_assert_int_ge(td_add(&td, 1, &seg, 1), 0);
	td_run(&td);
	ck_assert_uint_eq(s->serves, 0);
	status(RUNNING); /* and no kick */
	ck_assert(td_wait(&td, 1, &used));
	ck_assert_uint_eq(used.len, 32);
	ck_assert_uint_eq(*(uint8_t *)td_ptr(&td, seg.gpa), 0x5a);
	ck_assert_uint_eq(td.q[1].interrupts, 1);
}
END_TEST

START_TEST(only_enabled_queues_start)
{
	prepare(0);
	status(ACK | DRV | FOK);
	virtio_queue_enable(d, 2);
	status(RUNNING);
	ck_assert_uint_eq(s->queue_starts, 1);
	ck_assert(!d->queue[0].running && !d->queue[1].running && d->queue[2].running);
}
END_TEST

START_TEST(queue_enabled_after_driver_ok_starts_at_once)
{
	prepare(0);
	status(RUNNING);
	virtio_queue_enable(d, 0);
	virtio_queue_enable(d, 0);
	virtio_queue_enable(d, ECHO_QUEUES);
	ck_assert_uint_eq(s->queue_starts, 1);
	ck_assert_int_eq(echo(0), 32);
}
END_TEST

START_TEST(queue_of_the_kernel_is_not_polled)
{
	s->kernel = true;
	prepare(0);
	status(RUNNING);
	virtio_queue_enable(d, 0);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert(d->queue[0].running);
	ck_assert_uint_eq(s->serves, 0);
}
END_TEST

START_TEST(queue_without_bus_mastering_serves_nothing)
{
	struct td_seg seg = buffer(1);
	struct td_used used;

	ck_assert(td_start(&td, d, 0, 16));
	atomic_store(&td.access, false);
	td_add(&td, 0, &seg, 1);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert(!td_poll(&td, 0, &used));
	atomic_store(&td.access, true);
	virtio_resume(d); /* kicks what runs */
	ck_assert(td_wait(&td, 0, &used));
}
END_TEST

static void expect_broken_start(void)
{
	status(ACK | DRV | FOK);
	virtio_queue_enable(d, 0);
	virtio_queue_enable(d, 1);
	status(RUNNING);
	ck_assert_uint_eq(virtio_read_status(d), RUNNING | NEEDS_RESET);
	ck_assert(!d->queue[0].running && !d->queue[1].running);
	ck_assert_uint_eq(td.config_interrupts, 1);
	status(0);
	ck_assert_uint_eq(virtio_read_status(d), 0);
}

START_TEST(queue_outside_ram_needs_a_reset)
{
	prepare(0);
	d->queue[0].setup.device = RAM - 4;
	expect_broken_start();
}
END_TEST

START_TEST(queue_at_an_odd_address_needs_a_reset)
{
	prepare(PACKED);
	d->queue[0].setup.desc += 1;
	expect_broken_start();
}
END_TEST

START_TEST(split_queue_with_3_entries_needs_a_reset)
{
	prepare(0);
	d->queue[0].setup.size = 3;
	expect_broken_start();
}
END_TEST

START_TEST(packed_queue_with_3_entries_runs)
{
	ck_assert(td_start(&td, d, PACKED, 3));
	for (unsigned int i = 0; i < 10; i++)
		ck_assert_int_eq(echo(1), 32);
}
END_TEST

START_TEST(device_that_cannot_start_needs_a_reset)
{
	prepare(0);
	s->start_rc = -EIO;
	expect_broken_start();
	ck_assert_uint_eq(s->stops, 0);
}
END_TEST

START_TEST(queue_that_the_device_refuses_needs_a_reset)
{
	prepare(0);
	s->queue_start_rc = -ENOMEM;
	expect_broken_start();
	ck_assert_uint_eq(s->queue_stops, 0);
	ck_assert_uint_eq(s->stops, 1);
}
END_TEST

START_TEST(reset_stops_queues_before_the_device)
{
	ck_assert(td_start(&td, d, 0, 16));
	s->resets = 0;
	status(0);
	ck_assert_uint_eq(s->queue_stops, ECHO_QUEUES);
	ck_assert_uint_eq(s->stops, 1);
	ck_assert_uint_eq(s->stops_before_queues, 0);
	ck_assert_uint_eq(s->resets, 1);
	status(0);
	ck_assert_uint_eq(s->stops, 1);
}
END_TEST

START_TEST(kick_after_reset_serves_nothing)
{
	ck_assert(td_start(&td, d, 0, 16));
	td_run(&td);
	status(0);
	s->serves = 0;
	td_kick(&td, 0);
	td_run(&td);
	ck_assert_uint_eq(s->serves, 0);
}
END_TEST

START_TEST(queue_reset_without_the_feature_is_ignored)
{
	ck_assert(td_start(&td, d, 0, 16));
	virtio_queue_reset(d, 0);
	ck_assert(d->queue[0].running);
	ck_assert_int_eq(echo(0), 32);
}
END_TEST

START_TEST(queue_reset_leaves_the_others_and_a_fresh_queue)
{
	struct td_queue *q;

	ck_assert(td_start(&td, d, RING_RESET | PACKED, 16));
	ck_assert_int_eq(echo(0), 32);
	virtio_queue_reset(d, 0);
	virtio_queue_reset(d, ECHO_QUEUES);
	ck_assert(!d->queue[0].running && !d->queue[0].enabled);
	ck_assert_uint_eq(d->queue[0].setup.size, ECHO_SIZE);
	ck_assert_uint_eq(d->queue[0].setup.desc, 0);
	ck_assert_int_eq(echo(1), 32);

	/* The driver begins anew, at the same place. */
	q = &td.q[0];
	memset(td_ptr(&td, q->setup.desc), 0, 16 * 16);
	q->avail = q->used = 0;
	q->avail_wrap = q->used_wrap = true;
	d->queue[0].setup = q->setup;
	virtio_queue_enable(d, 0);
	ck_assert_int_eq(echo(0), 32);
	ck_assert_uint_eq(virtio_read_status(d), RUNNING);
}
END_TEST

/* ---- NEEDS_RESET ---- */

START_TEST(broken_ring_stops_all_queues_and_tells_once)
{
	struct td_used used;
	struct td_seg seg = buffer(1);

	ck_assert(td_start(&td, d, 0, 16));
	put_le16((uint8_t *)td_ptr(&td, td.q[0].setup.driver) + 2, 100); /* an index that jumps */
	td_kick(&td, 0);
	td_run(&td);
	ck_assert_uint_eq(virtio_read_status(d), RUNNING | NEEDS_RESET);
	ck_assert_uint_eq(td.config_interrupts, 1);
	virtio_break(d, "again");
	ck_assert_uint_eq(td.config_interrupts, 1);

	s->serves = 0;
	td_add(&td, 1, &seg, 1);
	td_kick(&td, 1);
	td_run(&td);
	ck_assert_uint_eq(s->serves, 0);
	ck_assert(!td_poll(&td, 1, &used));
}
END_TEST

START_TEST(reset_mends_a_broken_device)
{
	ck_assert(td_start(&td, d, 0, 16));
	virtio_break(d, "a test says so");
	ck_assert(d->warned);
	td_stop(&td);
	ck_assert(!d->warned);
	ck_assert(td_start(&td, d, PACKED, 16));
	ck_assert_int_eq(echo(1), 32);
}
END_TEST

START_TEST(break_before_driver_ok_interrupts_nobody)
{
	prepare(0);
	status(ACK | DRV);
	virtio_break(d, "a test says so");
	ck_assert_uint_eq(td.config_interrupts, 0);
	ck_assert_uint_eq(virtio_read_status(d), ACK | DRV | NEEDS_RESET);
	status(RUNNING);
	ck_assert_uint_eq(s->starts, 0);
}
END_TEST

/* ---- configuration space ---- */

START_TEST(config_reads_0_beyond_its_end)
{
	uint8_t bytes[8], ones8[8];

	memset(ones8, 0xff, sizeof(ones8));
	virtio_config_put(d, ECHO_CONFIG - 2, ones8, 2, false);
	memset(bytes, 0xee, sizeof(bytes));
	virtio_config_read(d, ECHO_CONFIG - 2, bytes, 8);
	ck_assert_uint_eq(get_le64(bytes), 0xffff);
	virtio_config_read(d, ECHO_CONFIG, bytes, 8);
	ck_assert_uint_eq(get_le64(bytes), 0);
	virtio_config_read(d, 0xfff, bytes, 8);
	ck_assert_uint_eq(get_le64(bytes), 0);
}
END_TEST

START_TEST(config_write_changes_what_the_mask_allows)
{
	uint8_t bytes[8];

	memset(bytes, 0xff, sizeof(bytes));
	virtio_config_write(d, 6, bytes, 8);
	virtio_config_read(d, 6, bytes, 8);
	ck_assert_uint_eq(get_le64(bytes), 0x000fffffffff0000);
	ck_assert_uint_eq(s->config_writes, 1);
	ck_assert_uint_eq(s->config_off, 6);
	ck_assert_uint_eq(s->config_len, 8);
}
END_TEST

START_TEST(config_write_is_cut_at_the_end)
{
	uint8_t bytes[8] = { 0 };

	virtio_config_write(d, ECHO_CONFIG - 1, bytes, 8);
	ck_assert_uint_eq(s->config_len, 1);
	virtio_config_write(d, ECHO_CONFIG, bytes, 8);
	virtio_config_write(d, 0xff0, bytes, 8);
	ck_assert_uint_eq(s->config_writes, 1);
}
END_TEST

START_TEST(config_change_is_announced_when_it_is_one)
{
	uint32_t v = 7;
	unsigned int generation;

	ck_assert(td_start(&td, d, 0, 16));
	generation = atomic_load(&d->generation);
	virtio_config_put(d, 4, &v, 4, true);
	ck_assert_uint_eq(atomic_load(&d->generation), generation + 1);
	ck_assert_uint_eq(td.config_interrupts, 1);
	virtio_config_put(d, 4, &v, 4, true); /* the same */
	v = 8;
	virtio_config_put(d, 4, &v, 4, false); /* not announced */
	ck_assert_uint_eq(atomic_load(&d->generation), generation + 1);
	ck_assert_uint_eq(td.config_interrupts, 1);
}
END_TEST

START_TEST(config_change_before_driver_ok_interrupts_nobody)
{
	uint32_t v = 7;
	unsigned int generation = atomic_load(&d->generation);

	prepare(0);
	status(ACK | DRV | FOK);
	virtio_config_put(d, 4, &v, 4, true);
	ck_assert_uint_eq(td.config_interrupts, 0);
	ck_assert_uint_eq(atomic_load(&d->generation), generation + 1);
}
END_TEST

/* ---- with threads ---- */

static void traffic(unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		for (unsigned int q = 0; q < ECHO_QUEUES; q++) {
			struct td_seg seg = buffer(q);

			if (td_add(&td, q, &seg, 1) >= 0)
				td_kick(&td, q);
		}
}

START_TEST(reset_in_flight_leaves_no_thread_inside)
{
	td.threads = true;
	for (unsigned int i = 0; i < 100; i++) {
		unsigned int serves;

		ck_assert(td_start(&td, d, formats[i % 4], 16));
		traffic(i % 16);
		virtio_reset(d);
		serves = s->serves;
		traffic(1);
		usleep(20);
		ck_assert_uint_eq(s->serves, serves);
		td_stop(&td);
		td.next = 4096; /* rings of the last turn are gone */
	}
	ck_assert_uint_eq(s->stops_before_queues, 0);
}
END_TEST

START_TEST(stop_and_resume_in_flight_lose_nothing)
{
	struct td_used used;
	unsigned int back = 0;

	td.threads = true;
	ck_assert(td_start(&td, d, PACKED | EVENT_IDX, 16));
	for (unsigned int i = 0; i < 100; i++) {
		traffic(1);
		virtio_stop(d);
		virtio_resume(d);
		for (unsigned int q = 0; q < ECHO_QUEUES; q++)
			back += td_wait(&td, q, &used);
	}
	ck_assert_uint_eq(back, 100 * ECHO_QUEUES);
	ck_assert(!td.failed);
}
END_TEST

static void *breaker(void *arg)
{
	virtio_break(arg, "a test says so");
	return NULL;
}

START_TEST(break_from_any_thread_while_resetting_is_harmless)
{
	td.threads = true;
	for (unsigned int i = 0; i < 50; i++) {
		pthread_t thread;

		ck_assert(td_start(&td, d, 0, 16));
		ck_assert_int_eq(pthread_create(&thread, NULL, breaker, d), 0);
		traffic(4);
		virtio_reset(d);
		pthread_join(thread, NULL);
		virtio_reset(d);
		ck_assert_uint_eq(virtio_read_status(d), 0);
		td_stop(&td);
		td.next = 4096;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio");
	TCase *t = tcase_create("virtio");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60); /* sanitizers, and a busy machine */
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, status_after_reset_is_0_and_nothing_is_accepted);
	tcase_add_test(t, status_bits_only_rise);
	tcase_add_test(t, features_ok_needs_version_1);
	tcase_add_test(t, features_never_offered_are_not_accepted);
	tcase_add_test(t, features_ok_refused_by_the_device_stays_clear);
	tcase_add_test(t, features_are_frozen_after_features_ok);
	tcase_add_test(t, features_beyond_64_read_0_and_are_not_written);
	tcase_add_test(t, driver_ok_needs_features_ok);
	tcase_add_test(t, failed_leaves_nothing_but_reset);
	tcase_add_test(t, buffers_from_before_driver_ok_are_served);
	tcase_add_test(t, only_enabled_queues_start);
	tcase_add_test(t, queue_enabled_after_driver_ok_starts_at_once);
	tcase_add_test(t, queue_of_the_kernel_is_not_polled);
	tcase_add_test(t, queue_without_bus_mastering_serves_nothing);
	tcase_add_test(t, queue_outside_ram_needs_a_reset);
	tcase_add_test(t, queue_at_an_odd_address_needs_a_reset);
	tcase_add_test(t, split_queue_with_3_entries_needs_a_reset);
	tcase_add_test(t, packed_queue_with_3_entries_runs);
	tcase_add_test(t, device_that_cannot_start_needs_a_reset);
	tcase_add_test(t, queue_that_the_device_refuses_needs_a_reset);
	tcase_add_test(t, reset_stops_queues_before_the_device);
	tcase_add_test(t, kick_after_reset_serves_nothing);
	tcase_add_test(t, queue_reset_without_the_feature_is_ignored);
	tcase_add_test(t, queue_reset_leaves_the_others_and_a_fresh_queue);
	tcase_add_test(t, broken_ring_stops_all_queues_and_tells_once);
	tcase_add_test(t, reset_mends_a_broken_device);
	tcase_add_test(t, break_before_driver_ok_interrupts_nobody);
	tcase_add_test(t, config_reads_0_beyond_its_end);
	tcase_add_test(t, config_write_changes_what_the_mask_allows);
	tcase_add_test(t, config_write_is_cut_at_the_end);
	tcase_add_test(t, config_change_is_announced_when_it_is_one);
	tcase_add_test(t, config_change_before_driver_ok_interrupts_nobody);
	tcase_add_test(t, reset_in_flight_leaves_no_thread_inside);
	tcase_add_test(t, stop_and_resume_in_flight_lose_nothing);
	tcase_add_test(t, break_from_any_thread_while_resetting_is_harmless);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
