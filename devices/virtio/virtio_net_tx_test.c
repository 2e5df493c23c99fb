/* Transmitting, over a fake back end. What a tap does with frames is virtio_net_tap_test.c's to show. */
#include "devices/virtio/virtio_net_fixture.h"

/* ---- transmitting ---- */

START_TEST(frame_goes_out_with_its_header)
{
	struct td_seg seg[3];
	uint64_t gpa;

	start(ring[_i]);
	gpa = td_alloc(&td, 4096, 64);
	memcpy((uint8_t *)td_ptr(&td, gpa) + NET_HDR, frame, 1500);
	seg[0] = (struct td_seg){ gpa, 5, false }; /* framing is free (2.7.4) */
	seg[1] = (struct td_seg){ gpa + 5, 20, false };
	seg[2] = (struct td_seg){ gpa + 25, 1487, false };
	send_segs(seg, 3);
	ck_assert_uint_eq(used_len(1), 0);
	ck_assert_uint_eq(fake->nr_gone, 1);
	ck_assert_uint_eq(fake->gone[0].len, NET_HDR + 1500);
	ck_assert_mem_eq(fake->gone[0].bytes, &no_hdr, NET_HDR);
	ck_assert_mem_eq(fake->gone[0].bytes + NET_HDR, frame, 1500);
	ck_assert_uint_eq(stats().tx_frames, 1);
	ck_assert_uint_eq(stats().tx_bytes, 1500);
	ck_assert_uint_ge(fake->flushes, 1);
}
END_TEST

START_TEST(frame_to_a_plain_back_end_has_no_header)
{
	fake->dev.vnet_hdr = false;
	start(0);
	send_frame(&no_hdr, 60);
	ck_assert_uint_eq(fake->gone[0].len, 60);
	ck_assert_mem_eq(fake->gone[0].bytes, frame, 60);
}
END_TEST

START_TEST(useless_frames_are_dropped_and_their_buffers_come_back)
{
	uint64_t gpa;
	unsigned int n = 0;

	start(ring[_i]);
	gpa = td_alloc(&td, NETDEV_MAX_FRAME + 64, 64);
	send_segs(&(struct td_seg){ gpa, NET_HDR - 1, false }, 1), n++;
	send_segs(&(struct td_seg){ gpa, NET_HDR + 13, false }, 1), n++;
	send_segs(&(struct td_seg){ gpa, NET_HDR + NETDEV_MAX_FRAME + 1, false }, 1), n++;
	send_segs(&(struct td_seg){ gpa, 100, true }, 1), n++;
	send_segs(&(struct td_seg){ HOLE, 100, false }, 1), n++;
	send_segs((struct td_seg[]){ { gpa, NET_HDR, false }, { HOLE, 100, false } }, 2), n++;
	send_segs((struct td_seg[]){ { gpa, NET_HDR, false }, { 0, UINT32_MAX, false } }, 2), n++;
	for (unsigned int i = 0; i < n; i++)
		ck_assert_uint_eq(used_len(1), 0);
	ck_assert_uint_eq(stats().tx_dropped, n);
	ck_assert_uint_eq(fake->nr_gone, 0);
	send_frame(&no_hdr, 14);
	send_frame(&no_hdr, NETDEV_MAX_FRAME);
	ck_assert_uint_eq(fake->nr_gone, 2);
}
END_TEST

#define ALL_TSO (BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6))

static const struct {
	uint64_t features;
	uint8_t gso;
	bool goes;
} gso[] = {
	{ 0, VIRTIO_NET_HDR_GSO_NONE, true },
	{ 0, VIRTIO_NET_HDR_GSO_TCPV4, false },
	{ ALL_TSO, VIRTIO_NET_HDR_GSO_TCPV4, true },
	{ ALL_TSO & ~BIT(HOST_TSO4), VIRTIO_NET_HDR_GSO_TCPV4, false },
	{ ALL_TSO, VIRTIO_NET_HDR_GSO_TCPV6, true },
	{ ALL_TSO & ~BIT(HOST_TSO6), VIRTIO_NET_HDR_GSO_TCPV6, false },
	{ ALL_TSO, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, false },
	{ ALL_TSO | BIT(HOST_ECN), VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, true },
	{ ALL_TSO | BIT(HOST_ECN), VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN, true },
	{ ALL_TSO | BIT(HOST_ECN), VIRTIO_NET_HDR_GSO_ECN, false },
	{ ALL_TSO | BIT(HOST_ECN) | BIT(HOST_UFO), VIRTIO_NET_HDR_GSO_UDP | VIRTIO_NET_HDR_GSO_ECN, false },
	{ ALL_TSO, VIRTIO_NET_HDR_GSO_UDP, false },
	{ ALL_TSO | BIT(HOST_UFO), VIRTIO_NET_HDR_GSO_UDP, true },
	{ ALL_TSO, VIRTIO_NET_HDR_GSO_UDP_L4, false },
	{ ALL_TSO | BIT(HOST_USO), VIRTIO_NET_HDR_GSO_UDP_L4, true },
	{ ALL_TSO | BIT(HOST_USO) | BIT(HOST_UFO), 2, false },
	{ ALL_TSO | BIT(HOST_USO) | BIT(HOST_UFO), 0x7f, false },
};

START_TEST(segmentation_is_passed_on_as_negotiated_only)
{
	struct virtio_net_hdr_v1 hdr = { .flags = 0xff,
					 .gso_type = gso[_i].gso,
					 .hdr_len = 54,
					 .gso_size = 1448,
					 .csum_start = 34,
					 .csum_offset = 16,
					 .num_buffers = 0x1234 };
	struct virtio_net_hdr_v1 expected = hdr;

	start(gso[_i].features);
	send_frame(&hdr, 3000);
	ck_assert_uint_eq(used_len(1), 0);
	ck_assert_uint_eq(fake->nr_gone, gso[_i].goes);
	if (!gso[_i].goes)
		return;
	expected.num_buffers = 0;
	expected.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (!(gso[_i].features & BIT(CSUM)))
		expected.flags = 0, expected.csum_start = expected.csum_offset = 0;
	if (gso[_i].gso == VIRTIO_NET_HDR_GSO_NONE)
		expected.hdr_len = expected.gso_size = 0;
	ck_assert_mem_eq(fake->gone[0].bytes, &expected, NET_HDR);
}
END_TEST

START_TEST(full_back_end_makes_frames_wait_in_order)
{
	start(ring[_i]);
	fake->full = true;
	for (unsigned int i = 0; i < 5; i++)
		send_frame(&no_hdr, 100 + i);
	none_used(1);
	ck_assert(fake->out[0]);
	fake->full = false;
	settle();
	ck_assert(!fake->out[0]);
	ck_assert_uint_eq(fake->nr_gone, 5);
	for (unsigned int i = 0; i < 5; i++) {
		ck_assert_uint_eq(fake->gone[i].len, NET_HDR + 100 + i);
		ck_assert_uint_eq(used_len(1), 0);
	}
}
END_TEST

START_TEST(refused_frame_is_dropped)
{
	start(0);
	fake->send_rc = -EIO;
	send_frame(&no_hdr, 100);
	ck_assert_uint_eq(used_len(1), 0);
	ck_assert_uint_eq(stats().tx_dropped, 1);
	ck_assert(!fake->out[0]);
}
END_TEST

START_TEST(frame_in_too_many_pieces_is_put_together)
{
	static struct td_seg seg[VIRTQ_MAX_SIZE];
	uint64_t gpa;

	opt.queue_size = VIRTQ_MAX_SIZE;
	make();
	ck_assert(td_start(&td, virtio_net_dev(net), 0, VIRTQ_MAX_SIZE));
	gpa = td_alloc(&td, 2048, 64);
	memcpy((uint8_t *)td_ptr(&td, gpa) + NET_HDR, frame, 1500);
	seg[0] = (struct td_seg){ gpa, NET_HDR - 1, false };
	for (unsigned int i = 1; i < VIRTQ_MAX_SIZE; i++)
		seg[i] = (struct td_seg){ gpa + NET_HDR - 2 + i, i + 1 < VIRTQ_MAX_SIZE ? 1 : 1500 - 1021,
					  false };
	send_segs(seg, VIRTQ_MAX_SIZE);
	ck_assert_uint_eq(fake->gone[0].len, NET_HDR + 1500);
	ck_assert_mem_eq(fake->gone[0].bytes + NET_HDR, frame, 1500);
	ck_assert_uint_le(fake->segments, NET_IOV);
}
END_TEST

START_TEST(more_frames_than_a_batch_all_go_for_one_kick)
{
	uint64_t gpa;

	opt.queue_size = VIRTQ_MAX_SIZE;
	make();
	ck_assert(td_start(&td, virtio_net_dev(net), 0, VIRTQ_MAX_SIZE));
	gpa = td_alloc(&td, 200, 64);
	for (unsigned int i = 0; i < 3 * NET_BATCH; i++)
		ck_assert_int_ge(add(1, gpa, 100, false), 0);
	td_kick(&td, 1);
	settle();
	ck_assert_uint_eq(fake->nr_gone, 3 * NET_BATCH);
	for (unsigned int i = 0; i < 3 * NET_BATCH; i++)
		used_len(1);
}
END_TEST

START_TEST(rate_limit_holds_frames_from_the_guest_back)
{
	opt.rate_out = (struct throttle_limits){ .bytes = 20000, .bytes_burst = 1000 };
	start(0);
	send_frame(&no_hdr, 1000);
	send_frame(&no_hdr, 1000);
	ck_assert_uint_eq(fake->nr_gone, 1);
	td_kick(&td, 1);
	settle(); /* kicks do not push */
	ck_assert_uint_eq(fake->nr_gone, 1);
	usleep(70000);
	settle();
	ck_assert_uint_eq(fake->nr_gone, 2);
	ck_assert_uint_ge(stats().out_throttled_ns, 40000000);
}
END_TEST

START_TEST(frame_that_the_back_end_refused_is_paid_once)
{
	opt.rate_out = (struct throttle_limits){ .bytes = 1000, .bytes_burst = 2000 };
	start(0);
	fake->full = true;
	send_frame(&no_hdr, 1000);
	for (unsigned int i = 0; i < 5; i++) {
		fake->ready[0](fake->ctx[0], false, true);
		settle();
	}
	fake->full = false;
	settle();
	send_frame(&no_hdr, 1000);
	ck_assert_uint_eq(fake->nr_gone, 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtio_net_tx");
	TCase *t = tcase_create("virtio_net_tx");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, frame_goes_out_with_its_header, 0, ARRAY_SIZE(ring));
	tcase_add_test(t, frame_to_a_plain_back_end_has_no_header);
	tcase_add_loop_test(t, useless_frames_are_dropped_and_their_buffers_come_back, 0, ARRAY_SIZE(ring));
	tcase_add_loop_test(t, segmentation_is_passed_on_as_negotiated_only, 0, ARRAY_SIZE(gso));
	tcase_add_loop_test(t, full_back_end_makes_frames_wait_in_order, 0, ARRAY_SIZE(ring));
	tcase_add_test(t, refused_frame_is_dropped);
	tcase_add_test(t, frame_in_too_many_pieces_is_put_together);
	tcase_add_test(t, more_frames_than_a_batch_all_go_for_one_kick);
	tcase_add_test(t, rate_limit_holds_frames_from_the_guest_back);
	tcase_add_test(t, frame_that_the_back_end_refused_is_paid_once);
	suite_add_tcase(s, t);
	return run_suite(s);
}
