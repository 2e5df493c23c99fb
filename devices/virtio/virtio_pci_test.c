/*
 * The virtio function: capabilities, interrupts, resets, saving, several vCPUs. Registers are in
 * virtio_pci_regs_test.c. KVM's part of messages is the guest tests' to prove.
 */
#include "devices/virtio/virtio_pci_rig.h"

#include "devices/virtio/virtio_pci_internal.h"

/* ---- what the driver finds ---- */

START_TEST(ids_are_those_of_a_modern_device)
{
	ck_assert_uint_eq(cfg(PCI_VENDOR_ID, 4), (0x1040u + ECHO_TYPE) << 16 | 0x1af4);
	ck_assert_uint_eq(cfg(PCI_CLASS_REVISION, 4), 0x00ff0001);
	ck_assert_uint_eq(cfg(PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
	ck_assert_uint_eq(cfg(PCI_INTERRUPT_PIN, 1), 1);
}
END_TEST

START_TEST(capabilities_lie_in_bar_0)
{
	static const struct {
		uint8_t type, cap_len;
		uint32_t off, len;
	} want[] = {
		{ VIRTIO_PCI_CAP_COMMON_CFG, 16, VIRTIO_PCI_COMMON, 0x3c },
		{ VIRTIO_PCI_CAP_NOTIFY_CFG, 20, VIRTIO_PCI_NOTIFY, 4 * ECHO_QUEUES },
		{ VIRTIO_PCI_CAP_ISR_CFG, 16, VIRTIO_PCI_ISR, 1 },
		{ VIRTIO_PCI_CAP_DEVICE_CFG, 16, VIRTIO_PCI_DEVICE, ECHO_CONFIG },
		{ VIRTIO_PCI_CAP_PCI_CFG, 20, 0, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(want); i++) {
		unsigned int at = find_cap(want[i].type);

		ck_assert_uint_ne(at, 0);
		ck_assert_uint_eq(cfg(at + VIRTIO_PCI_CAP_LEN, 1), want[i].cap_len);
		ck_assert_uint_eq(cfg(at + VIRTIO_PCI_CAP_BAR, 1), 0);
		ck_assert_uint_eq(cfg(at + VIRTIO_PCI_CAP_OFFSET, 4), want[i].off);
		ck_assert_uint_eq(cfg(at + VIRTIO_PCI_CAP_LENGTH, 4), want[i].len);
		cfg_put(at + VIRTIO_PCI_CAP_LEN, 1, 0xff);
		cfg_put(at + VIRTIO_PCI_CAP_CFG_TYPE, 1, 0xff);
		ck_assert_uint_eq(cfg(at + VIRTIO_PCI_CAP_CFG_TYPE, 1), want[i].type);
	}
	ck_assert_uint_eq(cfg(find_cap(VIRTIO_PCI_CAP_NOTIFY_CFG) + VIRTIO_PCI_NOTIFY_CAP_MULT, 4), 4);
	ck_assert_uint_eq(cfg(vp->func.msix.cap + PCI_MSIX_FLAGS, 2), ECHO_QUEUES);
	ck_assert(cfg(vp->func.express + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
}
END_TEST

/* ---- interrupts ---- */

START_TEST(intx_rises_with_isr_bit_0_and_reading_lowers_it)
{
	drive(0);
	ck_assert(echo_once());
	ck_assert(r->fake.line[VP_LINE]);
	ck_assert_uint_eq(get(VIRTIO_PCI_ISR, 1), 1);
	ck_assert(!r->fake.line[VP_LINE]);
	ck_assert_uint_eq(get(VIRTIO_PCI_ISR, 1), 0);
}
END_TEST

START_TEST(intx_of_a_config_change_has_isr_bit_1)
{
	uint8_t v = 3;

	drive(0);
	(void)get(VIRTIO_PCI_ISR, 1);
	virtio_config_put(&s->dev, 0, &v, 1, true);
	ck_assert(r->fake.line[VP_LINE]);
	put(VIRTIO_PCI_ISR, 1, 0xff);
	ck_assert(echo_once());
	ck_assert_uint_eq(get(VIRTIO_PCI_ISR, 4), 3); /* any width acknowledges */
	ck_assert(!r->fake.line[VP_LINE]);
}
END_TEST

START_TEST(msix_sends_the_queues_vector_and_no_intx)
{
	msix_enable();
	drive(0);
	set_vector(0, 2);
	ck_assert(echo_once());
	ck_assert_uint_eq(messages(2), 1);
	ck_assert_uint_eq(messages(0) + messages(1) + messages(3), 0);
	ck_assert(!r->fake.line[VP_LINE]);
	ck_assert_uint_eq(get(VIRTIO_PCI_ISR, 1), 0);
}
END_TEST

START_TEST(msix_without_a_vector_sends_nothing)
{
	uint8_t v = 3;

	msix_enable();
	drive(0);
	ck_assert(echo_once());
	virtio_config_put(&s->dev, 0, &v, 1, true);
	for (unsigned int i = 0; i <= ECHO_QUEUES; i++)
		ck_assert_uint_eq(messages(i), 0);
	ck_assert(!r->fake.line[VP_LINE]);
}
END_TEST

START_TEST(msix_config_vector_hears_of_changes_and_of_needs_reset)
{
	uint8_t v = 3;

	msix_enable();
	drive(0);
	put(VIRTIO_PCI_COMMON_MSIX, 2, 3);
	virtio_config_put(&s->dev, 0, &v, 1, true);
	ck_assert_uint_eq(messages(3), 1);
	virtio_break(&s->dev, "a test says so");
	ck_assert_uint_eq(messages(3), 1);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_STATUS, 1), VP_RUNNING | VIRTIO_CONFIG_S_NEEDS_RESET);
}
END_TEST

START_TEST(msix_masked_vector_stays_pending)
{
	uint64_t table = cfg(PCI_BASE_ADDRESS_2, 4) & ~15ull;

	msix_enable();
	drive(0);
	set_vector(0, 1);
	fake_write(&r->fake, table + 16 + 12, 4, 1);
	ck_assert(echo_once());
	ck_assert_uint_eq(messages(1), 0);
	ck_assert_uint_eq(fake_read(&r->fake, table + 0x800, 8), 1 << 1);
	fake_write(&r->fake, table + 16 + 12, 4, 0);
	ck_assert_uint_eq(messages(1), 1);
}
END_TEST

START_TEST(call_fd_is_the_vectors_eventfd_while_there_is_one)
{
	const struct virtio_dev *dev = &s->dev;

	set_vector(1, 2);
	ck_assert_int_eq(dev->transport->call_fd(dev->transport_ctx, 1), -1);
	msix_enable();
	ck_assert_int_eq(dev->transport->call_fd(dev->transport_ctx, 1), pci_msix_fd(&vp->func, 2));
	ck_assert_int_eq(dev->transport->call_fd(dev->transport_ctx, 0), -1);
}
END_TEST

/* ---- resets, the end, saving ---- */

START_TEST(function_level_reset_resets_the_device)
{
	drive(0);
	ck_assert(echo_once());
	cfg_put(vp->func.express + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	ck_assert_uint_eq(s->resets, 1);
	ck_assert(!s->dev.queue[0].running);
	ck_assert(!r->fake.line[VP_LINE]);
	cfg_put(PCI_BASE_ADDRESS_0, 8, bar);
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_STATUS, 1), 0);
	ck_assert_uint_eq(get(VIRTIO_PCI_ISR, 1), 0);
}
END_TEST

START_TEST(machine_reset_resets_the_device)
{
	drive(0);
	pci_root_ops.reset(&r->root);
	virtio_pci_dev_ops.reset(vp);
	ck_assert_uint_eq(virtio_read_status(&s->dev), 0);
	ck_assert_uint_eq(s->stops, 1);
}
END_TEST

START_TEST(init_without_vectors_left_fails_cleanly)
{
	struct echo other;
	struct virtio_pci vp2 = { 0 };
	struct err e = { 0 };

	ck_assert_int_eq(echo_init(&other, &td.mem, ECHO_QUEUES), 0);
	r->fake.open_limit = r->fake.nr_vec + 1;
	ck_assert_int_eq(virtio_pci_init(&vp2, &other.dev, &r->fake.host, 0, &e), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(e.text, "MSI-X"));
	ck_assert_ptr_null(other.dev.transport);
	virtio_pci_fini(&vp2);
	echo_fini(&other);
}
END_TEST

START_TEST(fini_of_a_running_device_stops_it)
{
	drive(0);
	give_buffer();
	virtio_pci_fini(vp);
	ck_assert(!s->dev.queue[0].running);
	ck_assert_ptr_null(s->dev.transport);
	ck_assert_uint_eq(s->stops, 1);
}
END_TEST

START_TEST(as_many_queues_as_there_can_be)
{
	struct echo other;
	struct virtio_pci vp2 = { 0 };

	r->fake.refuse_bells = true; /* the rig remembers fewer */
	ck_assert_int_eq(echo_init(&other, &td.mem, VIRTIO_MAX_QUEUES), 0);
	ck_assert_int_eq(virtio_pci_init(&vp2, &other.dev, &r->fake.host, 0, NULL), 0);
	ck_assert_uint_eq(vp2.func.msix.nr, VIRTIO_MAX_QUEUES + 1);
	virtio_pci_fini(&vp2);
	echo_fini(&other);
}
END_TEST

static void save_all(struct buf *root, struct buf *dev)
{
	virtio_pci_dev_ops.stop(vp);
	pci_root_ops.save(&r->root, root);
	virtio_pci_dev_ops.save(vp, dev);
	ck_assert_int_eq(buf_status(root) | buf_status(dev), 0);
}

static int load(const struct dev_ops *ops, void *dev, const struct buf *b, size_t len)
{
	struct state_reader reader = { .data = b->data, .len = len };
	int rc = ops->load(dev, &reader, NULL);

	return rc == 0 ? state_close(&reader, "test", NULL) : rc;
}

/* _i: is the root loaded first? */
START_TEST(load_brings_back_a_running_function)
{
	struct buf root = { 0 }, dev = { 0 };

	drive(VIRTIO_BIT(VIRTIO_F_RING_PACKED));
	set_vector(0, 2);
	for (unsigned int i = 0; i < 21; i++)
		ck_assert(echo_once());
	ck_assert(r->fake.line[VP_LINE]);
	give_buffer(); /* nobody has seen it yet */
	save_all(&root, &dev);
	pci_root_ops.reset(&r->root);
	virtio_pci_dev_ops.reset(vp);
	ck_assert(!r->fake.line[VP_LINE]);

	if (_i)
		ck_assert_int_eq(load(&pci_root_ops, &r->root, &root, root.len), 0);
	ck_assert_int_eq(load(&virtio_pci_dev_ops, vp, &dev, dev.len), 0);
	if (!_i)
		ck_assert_int_eq(load(&pci_root_ops, &r->root, &root, root.len), 0);
	virtio_resume(&s->dev);
	ck_assert(r->fake.line[VP_LINE]);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_STATUS, 1), VP_RUNNING);
	ck_assert_uint_eq(get(VIRTIO_PCI_COMMON_Q_MSIX, 2), 2);
	ck_assert_uint_eq(get(VIRTIO_PCI_ISR, 1), 1);
	ck_assert(came_back());
	ck_assert(echo_once());
	buf_fini(&root);
	buf_fini(&dev);
}
END_TEST

START_TEST(load_then_save_gives_the_same_bytes)
{
	struct buf root = { 0 }, dev = { 0 }, again = { 0 };

	drive(0);
	put(VIRTIO_PCI_COMMON_DFSELECT, 4, 0x1234);
	save_all(&root, &dev);
	virtio_pci_dev_ops.reset(vp);
	ck_assert_int_eq(load(&virtio_pci_dev_ops, vp, &dev, dev.len), 0);
	virtio_pci_dev_ops.stop(vp);
	virtio_pci_dev_ops.save(vp, &again);
	ck_assert_uint_eq(again.len, dev.len);
	ck_assert_int_eq(memcmp(again.data, dev.data, dev.len), 0);
	buf_fini(&root);
	buf_fini(&dev);
	buf_fini(&again);
}
END_TEST

START_TEST(load_cut_short_anywhere_is_refused_and_reset_helps)
{
	struct buf root = { 0 }, dev = { 0 };

	drive(0);
	save_all(&root, &dev);
	for (size_t len = 0; len < dev.len; len++)
		ck_assert_int_lt(load(&virtio_pci_dev_ops, vp, &dev, len), 0);
	virtio_pci_dev_ops.reset(vp);
	ck_assert_int_eq(load(&virtio_pci_dev_ops, vp, &dev, dev.len), 0);
	ck_assert(echo_once());
	buf_fini(&root);
	buf_fini(&dev);
}
END_TEST

START_TEST(load_of_damaged_bytes_never_harms)
{
	struct buf root = { 0 }, dev = { 0 };

	drive(0);
	save_all(&root, &dev);
	for (size_t i = 0; i < 8 * dev.len; i++) {
		dev.data[i / 8] ^= (uint8_t)(1 << i % 8);
		(void)load(&virtio_pci_dev_ops, vp, &dev, dev.len);
		echo_run(s);
		virtio_pci_dev_ops.reset(vp);
		dev.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	ck_assert_int_eq(load(&virtio_pci_dev_ops, vp, &dev, dev.len), 0);
	buf_fini(&root);
	buf_fini(&dev);
}
END_TEST

/* ---- several vCPUs, and the device's threads ---- */

enum { NR_THREADS = 3, NR_STEPS = 4000 };

static uint64_t rnd(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

static void step(uint64_t *x)
{
	static const unsigned int regions[] = { VIRTIO_PCI_COMMON, VIRTIO_PCI_COMMON, VIRTIO_PCI_ISR,
						VIRTIO_PCI_DEVICE, VIRTIO_PCI_NOTIFY };
	static const uint8_t statuses[] = { 0, VP_ACK, VP_ACK | VIRTIO_CONFIG_S_FEATURES_OK, VP_RUNNING };
	uint64_t off = regions[rnd(x) % 5] + rnd(x) % 0x40;
	unsigned int size = 1u << rnd(x) % 4;

	switch (rnd(x) % 8) {
	case 0:
		virtio_pci_bar_ops.write(vp, VIRTIO_PCI_COMMON_STATUS, 1, statuses[rnd(x) % 4]);
		break;
	case 1:
		virtio_pci_bar_ops.write(vp, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
		virtio_pci_bar_ops.write(vp, VIRTIO_PCI_COMMON_GF, 4, 1 | rnd(x) % 2 << 8);
		break;
	case 2:
		virtio_pci_bar_ops.write(vp, VIRTIO_PCI_COMMON_Q_SELECT, 2, rnd(x) % 4);
		virtio_pci_bar_ops.write(vp, VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x10000);
		virtio_pci_bar_ops.write(vp, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, 0x11000);
		virtio_pci_bar_ops.write(vp, VIRTIO_PCI_COMMON_Q_USEDLO, 8, 0x12000 + rnd(x) % 4 * 2);
		virtio_pci_bar_ops.write(vp, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		break;
	case 3:
		cfg_put(vp->func.msix.cap + PCI_MSIX_FLAGS, 2, (rnd(x) & 1) << 15);
		break;
	case 4:
		cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MASTER | (rnd(x) & PCI_COMMAND_MEMORY));
		break;
	case 5:
		(void)virtio_pci_bar_ops.read(vp, off, size);
		break;
	default:
		virtio_pci_bar_ops.write(vp, off, size, rnd(x));
	}
}

static void *hammer(void *arg)
{
	uint64_t x = (uintptr_t)arg * 0x9e3779b97f4a7c15;

	for (unsigned int i = 0; i < NR_STEPS; i++)
		step(&x);
	return NULL;
}

START_TEST(any_writes_by_several_threads_end_in_a_device_that_works)
{
	pthread_t thread[NR_THREADS];

	s->dev.no_threads = false;
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, hammer, (void *)(i + 1)), 0);
	for (unsigned int i = 0; i < NR_THREADS; i++)
		pthread_join(thread[i], NULL);
	cfg_put(PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	cfg_put(vp->func.msix.cap + PCI_MSIX_FLAGS, 2, 0);
	put(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	ck_assert_uint_eq(s->queue_starts, s->queue_stops);
	ck_assert_uint_eq(s->stops_before_queues, 0);
	ck_assert(!r->fake.line[VP_LINE]);
	ck_assert_uint_gt(s->queue_starts, 0); /* the hammer did get that far */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio_pci");
	TCase *t = tcase_create("virtio_pci");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60); /* sanitizers, and a busy machine */
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, ids_are_those_of_a_modern_device);
	tcase_add_test(t, capabilities_lie_in_bar_0);
	tcase_add_test(t, intx_rises_with_isr_bit_0_and_reading_lowers_it);
	tcase_add_test(t, intx_of_a_config_change_has_isr_bit_1);
	tcase_add_test(t, msix_sends_the_queues_vector_and_no_intx);
	tcase_add_test(t, msix_without_a_vector_sends_nothing);
	tcase_add_test(t, msix_config_vector_hears_of_changes_and_of_needs_reset);
	tcase_add_test(t, msix_masked_vector_stays_pending);
	tcase_add_test(t, call_fd_is_the_vectors_eventfd_while_there_is_one);
	tcase_add_test(t, function_level_reset_resets_the_device);
	tcase_add_test(t, machine_reset_resets_the_device);
	tcase_add_test(t, init_without_vectors_left_fails_cleanly);
	tcase_add_test(t, fini_of_a_running_device_stops_it);
	tcase_add_test(t, as_many_queues_as_there_can_be);
	tcase_add_loop_test(t, load_brings_back_a_running_function, 0, 2);
	tcase_add_test(t, load_then_save_gives_the_same_bytes);
	tcase_add_test(t, load_cut_short_anywhere_is_refused_and_reset_helps);
	tcase_add_test(t, load_of_damaged_bytes_never_harms);
	tcase_add_test(t, any_writes_by_several_threads_end_in_a_device_that_works);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
