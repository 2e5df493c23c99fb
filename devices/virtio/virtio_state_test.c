/*
 * Stopping, resuming, saving and loading an echoing device with a driver that goes on. Files may lie: every
 * field that could do harm is patched here.
 */
#include "devices/virtio/virtio_core_rig.h"

static void save_to(struct buf *b)
{
	virtio_stop(d);
	virtio_save(d, b);
	ck_assert_int_eq(buf_status(b), 0);
}

static struct err why;

static int load_from(struct virtio_dev *to, const struct buf *b, size_t len)
{
	struct state_reader r = { .data = b->data, .len = len };

	return virtio_load(to, &r, &why);
}

/* ---- stop, resume, save, load ---- */

START_TEST(stop_and_resume_under_traffic)
{
	struct td_seg seg = buffer(1);
	struct td_used used;

	ck_assert(td_start(&td, d, formats[_i], 16));
	for (unsigned int i = 0; i < 100; i++) {
		ck_assert_int_eq(echo(i % ECHO_QUEUES), 32);
		virtio_stop(d);
		ck_assert(!d->queue[0].running && d->queue[0].enabled);
		td_add(&td, 1, &seg, 1);
		td_kick(&td, 1);
		td_run(&td);
		ck_assert(!td_poll(&td, 1, &used));
		virtio_resume(d);
		ck_assert(td_wait(&td, 1, &used));
	}
	ck_assert_uint_eq(virtio_read_status(d), RUNNING);
	ck_assert(!td.failed);
}
END_TEST

START_TEST(stop_and_resume_before_driver_ok_do_nothing)
{
	prepare(0);
	status(ACK | DRV | FOK);
	virtio_queue_enable(d, 0);
	virtio_stop(d);
	virtio_resume(d);
	ck_assert_uint_eq(s->starts + s->stops, 0);
	status(RUNNING);
	ck_assert_int_eq(echo(0), 32);
}
END_TEST

START_TEST(reset_while_stopped_is_a_reset)
{
	ck_assert(td_start(&td, d, 0, 16));
	virtio_stop(d);
	virtio_reset(d);
	virtio_resume(d);
	ck_assert(!d->started && !d->queue[0].enabled);
}
END_TEST

START_TEST(loaded_device_goes_on_where_the_saved_one_was)
{
	struct echo *other = echo_new();
	uint8_t byte = 0x77;
	struct buf b = { 0 };

	ck_assert(td_start(&td, d, formats[_i], 16));
	for (unsigned int i = 0; i < 37; i++)
		ck_assert_int_eq(echo(1), 32);
	s->own = 9;
	virtio_config_write(d, 8, &byte, 1);
	save_to(&b);

	virtio_attach(&other->dev, d->transport, d->transport_ctx);
	other->dev.no_threads = true;
	ck_assert_int_eq(load_from(&other->dev, &b, b.len), 0);
	virtio_reset(d);
	virtio_attach(d, NULL, NULL);
	td.dev = &other->dev;

	ck_assert_uint_eq(virtio_read_status(td.dev), RUNNING);
	ck_assert_uint_eq(other->own, 9);
	ck_assert_uint_eq(other->dev.config[8], 0x77);
	ck_assert_uint_eq(td.config_interrupts, 0);
	for (unsigned int i = 0; i < 37; i++)
		ck_assert_int_eq(echo(i % ECHO_QUEUES), 32);
	ck_assert(!td.failed);
	td_stop(&td);
	echo_fini(other);
	free(other);
	buf_fini(&b);
}
END_TEST

START_TEST(load_of_a_broken_device_stays_broken)
{
	struct buf b = { 0 };

	ck_assert(td_start(&td, d, 0, 16));
	virtio_break(d, "a test says so");
	save_to(&b);
	s->starts = 0;
	ck_assert_int_eq(load_from(d, &b, b.len), 0);
	ck_assert_uint_eq(virtio_read_status(d), RUNNING | NEEDS_RESET);
	ck_assert_uint_eq(s->starts, 0);
	buf_fini(&b);
}
END_TEST

START_TEST(load_announces_what_the_host_changed_meanwhile)
{
	uint8_t v = 1;
	struct buf b = { 0 };

	ck_assert(td_start(&td, d, 0, 16));
	save_to(&b);
	virtio_config_put(d, 0, &v, 1, false);
	ck_assert_int_eq(load_from(d, &b, b.len), 0);
	ck_assert_uint_eq(d->config[0], 1);
	ck_assert_uint_eq(td.config_interrupts, 1);
	buf_fini(&b);
}
END_TEST

START_TEST(load_cut_short_anywhere_is_refused_and_reset_helps)
{
	struct buf b = { 0 };

	ck_assert(td_start(&td, d, PACKED, 16));
	save_to(&b);
	for (size_t len = 0; len < b.len; len++) {
		ck_assert_int_eq(load_from(d, &b, len), -EINVAL);
		ck_assert_str_eq(why.text, "echo: saved state is cut short");
		ck_assert(!d->started);
	}
	buf_fini(&b);
	td_stop(&td);
	ck_assert(td_start(&td, d, 0, 16));
	ck_assert_int_eq(echo(0), 32);
}
END_TEST

/* Offsets into the saved state, see virtio_state.c. */
enum { AT_TYPE = 0, AT_STATUS = 2, AT_FEATURES = 4, AT_CONFIG_LEN = 16, AT_QUEUES = 18 + ECHO_CONFIG };

static void refuse_patched(size_t at, uint8_t val)
{
	struct buf b = { 0 };

	ck_assert(td_start(&td, d, 0, 16));
	save_to(&b);
	b.data[at] = val;
	ck_assert_int_eq(load_from(d, &b, b.len), -EINVAL);
	ck_assert(!d->started);
	buf_fini(&b);
}

START_TEST(load_of_another_type_is_refused)
{
	refuse_patched(AT_TYPE, 1);
}
END_TEST

START_TEST(load_of_driver_ok_without_features_ok_is_refused)
{
	refuse_patched(AT_STATUS, ACK | DRV | DOK);
}
END_TEST

START_TEST(load_of_unknown_status_is_refused)
{
	refuse_patched(AT_STATUS, RUNNING | 0x10);
}
END_TEST

START_TEST(load_of_features_not_offered_is_refused)
{
	refuse_patched(AT_FEATURES, 0x80);
}
END_TEST

START_TEST(load_of_another_configuration_length_is_refused)
{
	refuse_patched(AT_CONFIG_LEN, 255);
}
END_TEST

START_TEST(load_of_another_number_of_queues_is_refused)
{
	refuse_patched(AT_QUEUES, ECHO_QUEUES + 1);
}
END_TEST

START_TEST(load_of_a_queue_without_entries_is_refused)
{
	refuse_patched(AT_QUEUES + 3, 0);
}
END_TEST

START_TEST(load_of_a_queue_too_large_is_refused)
{
	refuse_patched(AT_QUEUES + 4, 0xff);
}
END_TEST

START_TEST(load_of_rings_outside_ram_needs_a_reset)
{
	struct buf b = { 0 };

	ck_assert(td_start(&td, d, 0, 16));
	save_to(&b);
	b.data[AT_QUEUES + 2 + 3 + 5] = 0xff; /* of queue 0: descriptors far beyond RAM */
	ck_assert_int_eq(load_from(d, &b, b.len), 0);
	ck_assert_uint_eq(virtio_read_status(d), RUNNING | NEEDS_RESET);
	buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio_state");
	TCase *t = tcase_create("state");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60); /* sanitizers, and a busy machine */
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, stop_and_resume_under_traffic, 0, ARRAY_SIZE(formats));
	tcase_add_test(t, stop_and_resume_before_driver_ok_do_nothing);
	tcase_add_test(t, reset_while_stopped_is_a_reset);
	tcase_add_loop_test(t, loaded_device_goes_on_where_the_saved_one_was, 0, ARRAY_SIZE(formats));
	tcase_add_test(t, load_of_a_broken_device_stays_broken);
	tcase_add_test(t, load_announces_what_the_host_changed_meanwhile);
	tcase_add_test(t, load_cut_short_anywhere_is_refused_and_reset_helps);
	tcase_add_test(t, load_of_another_type_is_refused);
	tcase_add_test(t, load_of_driver_ok_without_features_ok_is_refused);
	tcase_add_test(t, load_of_unknown_status_is_refused);
	tcase_add_test(t, load_of_features_not_offered_is_refused);
	tcase_add_test(t, load_of_another_configuration_length_is_refused);
	tcase_add_test(t, load_of_another_number_of_queues_is_refused);
	tcase_add_test(t, load_of_a_queue_without_entries_is_refused);
	tcase_add_test(t, load_of_a_queue_too_large_is_refused);
	tcase_add_test(t, load_of_rings_outside_ram_needs_a_reset);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
