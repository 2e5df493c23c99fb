/*
 * The registers of a virtio function: every width at every offset, what a driver may write when, doorbells, and
 * the window of configuration space. KVM's part of doorbells is the guest tests' to prove.
 */
#include "devices/virtio/virtio_pci_rig.h"

/* ---- common configuration ---- */

/* Every writable field whose value has no meaning before a queue is enabled. */
static const struct {
	unsigned int off, size;
	uint64_t val;
} plain[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4, 0x89abcdef },
	{ VIRTIO_PCI_COMMON_GFSELECT, 4, 1 },
	{ VIRTIO_PCI_COMMON_GF, 4, 0x149 }, /* all of it offered in half 1 */
	{ VIRTIO_PCI_COMMON_MSIX, 2, ECHO_QUEUES },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2, 1 },
	{ VIRTIO_PCI_COMMON_Q_SIZE, 2, 32 },
	{ VIRTIO_PCI_COMMON_Q_MSIX, 2, 2 },
	{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x11111111 },
	{ VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0x22222222 },
	{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x33333333 },
	{ VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 0x44444444 },
	{ VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x55555555 },
	{ VIRTIO_PCI_COMMON_Q_USEDHI, 4, 0x66666666 },
	{ VIRTIO_PCI_COMMON_STATUS, 1, VP_ACK },
};

START_TEST(fields_keep_what_was_written)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(plain); i++)
		put(plain[i].off, plain[i].size, plain[i].val);
	for (unsigned int i = 0; i < ARRAY_SIZE(plain); i++)
		ck_assert_uint_eq(get(plain[i].off, plain[i].size), plain[i].val);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0x2222222211111111);
	put(VIRTIO_PCI_COMMON_Q_USEDLO, 8, 0x0123456789abcdef);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_USEDHI, 4), 0x01234567);
}
END_TEST

/* Is this a field, and its width? */
static bool field_width(unsigned int off, unsigned int size)
{
	static const struct {
		unsigned int off, size;
	} more[] = {
		{ VIRTIO_PCI_COMMON_DF, 4 },       { VIRTIO_PCI_COMMON_NUMQ, 2 },
		{ VIRTIO_PCI_COMMON_Q_ENABLE, 2 }, { VIRTIO_PCI_COMMON_Q_NOFF, 2 },
		{ VIRTIO_PCI_COMMON_Q_NDATA, 2 },  { VIRTIO_PCI_COMMON_Q_RESET, 2 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 8 }, { VIRTIO_PCI_COMMON_Q_AVAILLO, 8 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, 8 }, { VIRTIO_PCI_COMMON_CFGGENERATION, 1 },
	};
	bool is = false;

	for (unsigned int i = 0; i < ARRAY_SIZE(plain); i++)
		is |= plain[i].off == off && plain[i].size == size;
	for (unsigned int i = 0; i < ARRAY_SIZE(more); i++)
		is |= more[i].off == off && more[i].size == size;
	return is;
}

START_TEST(other_widths_and_places_read_0_and_write_nothing)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(plain); i++)
		put(plain[i].off, plain[i].size, plain[i].val);
	for (unsigned int off = 0; off < 0x48; off++)
		for (unsigned int size = 1; size <= 8; size *= 2)
			if (!field_width(off, size)) {
				put(off, size, 0x0101010101010101);
				ck_assert_uint_eq(get(off, size), 0);
			}
	for (unsigned int i = 0; i < ARRAY_SIZE(plain); i++)
		ck_assert_uint_eq(get(plain[i].off, plain[i].size), plain[i].val);
	put(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 2); /* only 1 enables */
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
}
END_TEST

START_TEST(features_are_read_in_halves)
{
	put(VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_DF, 4), s->dev.features >> 32);
	put(VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_DF, 4), (uint32_t)s->dev.features);
	put(VIRTIO_PCI_COMMON_DF, 4, 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_DF, 4), (uint32_t)s->dev.features);
	put(VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_DF, 4), 0);
}
END_TEST

START_TEST(queue_beyond_the_last_has_size_0_and_takes_nothing)
{
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_NUMQ, 2), ECHO_QUEUES);
	select_queue(ECHO_QUEUES);
	for (unsigned int off = VIRTIO_PCI_COMMON_Q_SIZE; off < 0x3c; off += 2)
		put(off, 2, 1);
	put(VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x1000);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_NO_VECTOR);
	select_queue(0xffff);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
}
END_TEST

START_TEST(queue_size_out_of_range_is_ignored)
{
	select_queue(1);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 2, 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), ECHO_SIZE);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 2, ECHO_SIZE + 1);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 2, 0xffff);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), ECHO_SIZE);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 2, 1);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), 1);
}
END_TEST

START_TEST(enabled_queue_is_frozen_but_for_its_vector)
{
	uint64_t desc;

	drive(0);
	desc = get(VIRTIO_PCI_COMMON_Q_DESCLO, 8);
	put(VIRTIO_PCI_COMMON_Q_SIZE, 2, 8);
	put(VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0);
	put(VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0);
	put(VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 1);
	put(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	put(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 2);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), 16);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_DESCLO, 8), desc);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_AVAILHI, 4), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	put(VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), 1);
	ck_assert(echo_once());
}
END_TEST

START_TEST(vector_beyond_the_table_reads_back_as_none)
{
	put(VIRTIO_PCI_COMMON_MSIX, 2, ECHO_QUEUES);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_MSIX, 2), ECHO_QUEUES);
	put(VIRTIO_PCI_COMMON_MSIX, 2, ECHO_QUEUES + 1);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_NO_VECTOR);
	set_vector(1, 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0);
	set_vector(1, 0xfffe);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_NO_VECTOR);
}
END_TEST

START_TEST(status_0_puts_everything_back)
{
	drive(0);
	put(VIRTIO_PCI_COMMON_MSIX, 2, 1);
	put(VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	ck_assert(echo_once());
	ck_assert(r->fake.line[VP_LINE]);
	select_queue(2);
	put(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_STATUS, 1), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_NO_VECTOR);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_SELECT, 2), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_NO_VECTOR);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_SIZE, 2), ECHO_SIZE);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_GF, 4), 0);
	ck_assert(!r->fake.line[VP_LINE]);
	ck_assert_uint_eq(get(VIRTIO_PCI_ISR, 1), 0);
}
END_TEST

START_TEST(queue_reset_through_its_register)
{
	drive(VIRTIO_BIT(VIRTIO_F_RING_RESET));
	set_vector(0, 1);
	put(VIRTIO_PCI_COMMON_Q_RESET, 2, 2);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	put(VIRTIO_PCI_COMMON_Q_RESET, 2, 1);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_NO_VECTOR);
	queue_up(0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_STATUS, 1), VP_RUNNING);
	ck_assert(echo_once());
}
END_TEST

START_TEST(queue_reset_not_negotiated_changes_nothing)
{
	drive(0);
	set_vector(0, 1);
	put(VIRTIO_PCI_COMMON_Q_RESET, 2, 1);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), 1);
	ck_assert(echo_once());
}
END_TEST

/* ---- doorbells, the device's registers, the window ---- */

START_TEST(kick_through_the_bar_when_there_is_no_doorbell_left)
{
	drive(0);
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	r->fake.refuse_bells = true;
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	ck_assert_uint_eq(r->fake.nr_bell, 0);
	ck_assert(echo_once());
	give_buffer();
	put(VIRTIO_PCI_NOTIFY, 4, 0x00010000); /* notification data */
	ck_assert(came_back());
}
END_TEST

START_TEST(kick_beside_the_queues_is_nobodys)
{
	drive(0);
	s->serves = 0;
	put(VIRTIO_PCI_NOTIFY + 2, 2, 0);
	put(VIRTIO_PCI_NOTIFY + 4 * ECHO_QUEUES, 2, 0);
	put(VIRTIO_PCI_BAR_BYTES - 4, 4, 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_NOTIFY, 4), 0);
	echo_run(s);
	ck_assert_uint_eq(s->serves, 0);
}
END_TEST

START_TEST(doorbells_follow_the_bar)
{
	drive(0);
	bar = 0xd0000000;
	cfg_put(PCI_BASE_ADDRESS_0, 8, bar);
	ck_assert(echo_once());
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MASTER); /* decoding off */
	give_buffer();
	put(VIRTIO_PCI_NOTIFY, 2, 0);
	ck_assert(!came_back());
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	put(VIRTIO_PCI_NOTIFY, 2, 0);
	ck_assert(came_back());
}
END_TEST

START_TEST(without_bus_mastering_nothing_is_served)
{
	drive(0);
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	ck_assert(!echo_once());
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	put(VIRTIO_PCI_NOTIFY, 2, 0);
	ck_assert(came_back());
}
END_TEST

START_TEST(device_registers_have_all_widths_and_an_end)
{
	uint64_t v = 0x1122334455667788;

	virtio_config_put(&s->dev, 0, &v, 8, false);
	ck_assert_uint_eq(get(VIRTIO_PCI_DEVICE, 8), v);
	ck_assert_uint_eq(get(VIRTIO_PCI_DEVICE + 3, 2), 0x4455);
	put(VIRTIO_PCI_DEVICE + 8, 4, 0xa1b2c3d4);
	ck_assert_uint_eq(get(VIRTIO_PCI_DEVICE + 8, 4), 0xa1b2c3d4);
	put(VIRTIO_PCI_DEVICE + 11, 1, 0x77);
	ck_assert_uint_eq(get(VIRTIO_PCI_DEVICE + 8, 8), 0x77b2c3d4);
	ck_assert_uint_eq(s->config_writes, 2);
	put(VIRTIO_PCI_DEVICE + ECHO_CONFIG, 8, 1);
	put(VIRTIO_PCI_NOTIFY - 4, 8, 1);
	ck_assert_uint_eq(get(VIRTIO_PCI_NOTIFY - 4, 8), 0);
	ck_assert_uint_eq(s->config_writes, 2);
}
END_TEST

START_TEST(generation_changes_with_the_device_registers)
{
	uint8_t v = 3, was = (uint8_t)get(VIRTIO_PCI_COMMON_CFGGENERATION, 1);

	virtio_config_put(&s->dev, 0, &v, 1, true);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_CFGGENERATION, 1), was + 1u);
	put(VIRTIO_PCI_COMMON_CFGGENERATION, 1, 0x55);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_CFGGENERATION, 1), was + 1u);
}
END_TEST

static unsigned int window(unsigned int win_bar, uint32_t off, uint32_t len)
{
	unsigned int at = find_cap(VIRTIO_PCI_CAP_PCI_CFG);

	cfg_put(at + VIRTIO_PCI_CAP_BAR, 1, win_bar);
	cfg_put(at + VIRTIO_PCI_CAP_OFFSET, 4, off);
	cfg_put(at + VIRTIO_PCI_CAP_LENGTH, 4, len);
	return at + 16;
}

START_TEST(window_reaches_registers_without_decoding)
{
	unsigned int data;

	drive(0);
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	data = window(0, VIRTIO_PCI_COMMON_STATUS, 1);
	ck_assert_uint_eq(cfg(data, 1), VP_RUNNING);
	ck_assert_uint_eq(cfg(data, 4), VP_RUNNING);
	cfg_put(window(0, VIRTIO_PCI_COMMON_GFSELECT, 4), 4, 1);
	ck_assert_uint_eq(vp->driver_feature_select, 1);
	give_buffer();
	cfg_put(window(0, VIRTIO_PCI_NOTIFY, 2), 2, 0);
	ck_assert(came_back());
	cfg_put(window(0, VIRTIO_PCI_COMMON_STATUS, 1), 4, 0xffffff00); /* the first byte counts */
	ck_assert_uint_eq(virtio_read_status(&s->dev), 0);
}
END_TEST

START_TEST(window_that_leads_nowhere_reads_0_and_writes_nothing)
{
	static const struct {
		unsigned int bar;
		uint32_t off, len;
	} bad[] = {
		{ 1, VIRTIO_PCI_COMMON_GFSELECT, 4 },
		{ 2, 0, 4 },
		{ 0, VIRTIO_PCI_COMMON_GFSELECT, 0 },
		{ 0, VIRTIO_PCI_COMMON_GFSELECT, 3 },
		{ 0, VIRTIO_PCI_COMMON_GFSELECT, 8 },
		{ 0, VIRTIO_PCI_COMMON_GFSELECT, 0xffffffff },
		{ 0, 2, 4 },
		{ 0, VIRTIO_PCI_BAR_BYTES, 4 },
		{ 0, 0xfffffffc, 4 },
		{ 255, 0, 1 },
		{ 0, VIRTIO_PCI_DEVICE + 9, 2 },
		{ 0, VIRTIO_PCI_DEVICE + 10, 4 },
	};

	put(VIRTIO_PCI_DEVICE + 8, 4, 0xffffffff);
	put(VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		unsigned int data = window(bad[i].bar, bad[i].off, bad[i].len);

		cfg_put(data, 4, 0x5a5a5a5a);
		ck_assert_uint_eq(cfg(data, 4), 0);
	}
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_GFSELECT, 4), 1);
}
END_TEST

START_TEST(window_data_narrower_than_its_length_or_apart_is_ignored)
{
	unsigned int data = window(0, VIRTIO_PCI_COMMON_GFSELECT, 4);

	put(VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	cfg_put(data, 2, 0);
	cfg_put(data + 2, 2, 0);
	cfg_put(data + 1, 1, 7);
	ck_assert_uint_eq(cfg(data, 2), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_GFSELECT, 4), 1);
	put(VIRTIO_PCI_COMMON_STATUS, 1, VP_ACK);
	data = window(0, VIRTIO_PCI_COMMON_STATUS, 1);
	ck_assert_uint_eq(cfg(data, 1), VP_ACK);
	ck_assert_uint_eq(cfg(data + 1, 1) | cfg(data + 2, 2), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio_pci_regs");
	TCase *t = tcase_create("registers");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60); /* sanitizers, and a busy machine */
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, fields_keep_what_was_written);
	tcase_add_test(t, other_widths_and_places_read_0_and_write_nothing);
	tcase_add_test(t, features_are_read_in_halves);
	tcase_add_test(t, queue_beyond_the_last_has_size_0_and_takes_nothing);
	tcase_add_test(t, queue_size_out_of_range_is_ignored);
	tcase_add_test(t, enabled_queue_is_frozen_but_for_its_vector);
	tcase_add_test(t, vector_beyond_the_table_reads_back_as_none);
	tcase_add_test(t, status_0_puts_everything_back);
	tcase_add_test(t, queue_reset_through_its_register);
	tcase_add_test(t, queue_reset_not_negotiated_changes_nothing);
	tcase_add_test(t, kick_through_the_bar_when_there_is_no_doorbell_left);
	tcase_add_test(t, kick_beside_the_queues_is_nobodys);
	tcase_add_test(t, doorbells_follow_the_bar);
	tcase_add_test(t, without_bus_mastering_nothing_is_served);
	tcase_add_test(t, device_registers_have_all_widths_and_an_end);
	tcase_add_test(t, generation_changes_with_the_device_registers);
	tcase_add_test(t, window_reaches_registers_without_decoding);
	tcase_add_test(t, window_that_leads_nowhere_reads_0_and_writes_nothing);
	tcase_add_test(t, window_data_narrower_than_its_length_or_apart_is_ignored);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
