/* Receiving, over a fake back end: buffers of every kind, frames of every size, the filter. */
#include "devices/virtio/virtio_net_fixture.h"

/* ---- receiving ---- */

START_TEST(frame_arrives_with_header_and_length)
{
	uint64_t gpa;
	uint8_t *p;

	start(ring[_i]);
	gpa = give(2048);
	settle();
	push(1000);
	ck_assert_uint_eq(used_len(0), NET_HDR + 1000);
	p = td_ptr(&td, gpa);
	ck_assert_mem_eq(p, "\0\0\0\0\0\0\0\0\0\0\1\0", NET_HDR);
	ck_assert_mem_eq(p + NET_HDR, frame, 1000);
	ck_assert_uint_eq(stats().rx_frames, 1);
	ck_assert_uint_eq(stats().rx_bytes, 1000);
	ck_assert_uint_ge(td.q[0].interrupts, 1);
}
END_TEST

START_TEST(frame_of_a_plain_back_end_gets_an_empty_header)
{
	uint64_t gpa;
	uint8_t *p;

	fake->dev.vnet_hdr = false;
	start(BIT(MRG_RXBUF));
	gpa = give(2048);
	p = td_ptr(&td, gpa);
	memset(p, 0x5a, NET_HDR);
	push(60);
	ck_assert_uint_eq(used_len(0), NET_HDR + 60);
	ck_assert_mem_eq(p, "\0\0\0\0\0\0\0\0\0\0\1\0", NET_HDR);
	ck_assert_mem_eq(p + NET_HDR, frame, 60);
}
END_TEST

START_TEST(frame_of_bytewise_segments_is_whole)
{
	struct td_seg seg[40];
	uint64_t gpa;

	start(ring[_i]);
	gpa = td_alloc(&td, 4096, 64);
	for (unsigned int i = 0; i < 40; i++)
		seg[i] = (struct td_seg){ gpa + i, i == 39 ? 2000 : 1, true };
	ck_assert_int_ge(td_add(&td, 0, seg, 40), 0);
	td_kick(&td, 0);
	settle();
	push(1000);
	ck_assert_uint_eq(used_len(0), NET_HDR + 1000);
	ck_assert_mem_eq((uint8_t *)td_ptr(&td, gpa) + NET_HDR, frame, 1000);
}
END_TEST

START_TEST(large_frame_is_merged_over_buffers_and_the_rest_serve_the_next)
{
	uint64_t gpa[8];
	unsigned int at = 0;

	start(ring[_i] | BIT(GUEST_CSUM) | BIT(GUEST_TSO4));
	for (unsigned int i = 0; i < 8; i++)
		gpa[i] = give(1024 + i);
	settle();
	push(4000);
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int skip = i ? 0 : NET_HDR, len = MIN(1024 + i - skip, 4000 - at);

		ck_assert_uint_eq(used_len(0), len + skip);
		ck_assert_mem_eq((uint8_t *)td_ptr(&td, gpa[i]) + skip, frame + at, len);
		at += len;
	}
	none_used(0);
	ck_assert_uint_eq(at, 4000);
	ck_assert_uint_eq(get_le16((uint8_t *)td_ptr(&td, gpa[0]) + 10), 4);
	push(100);
	ck_assert_uint_eq(used_len(0), NET_HDR + 100);
	ck_assert_mem_eq((uint8_t *)td_ptr(&td, gpa[4]) + NET_HDR, frame, 100);
}
END_TEST

START_TEST(largest_frame_beyond_what_was_laid_out_is_whole)
{
	uint64_t gpa[44];
	unsigned int at = 0;

	start(BIT(MRG_RXBUF)); /* the device expects 1518 bytes, and takes one buffer */
	for (unsigned int i = 0; i < 44; i++)
		gpa[i] = give(1526);
	settle();
	push(NETDEV_MAX_FRAME);
	for (unsigned int i = 0; at < NETDEV_MAX_FRAME; i++) {
		unsigned int skip = i ? 0 : NET_HDR, len = MIN(1526 - skip, NETDEV_MAX_FRAME - at);

		ck_assert_uint_eq(used_len(0), len + skip);
		ck_assert_mem_eq((uint8_t *)td_ptr(&td, gpa[i]) + skip, frame + at, len);
		at += len;
	}
	none_used(0);
}
END_TEST

START_TEST(frame_longer_than_any_is_dropped)
{
	start(BIT(MRG_RXBUF));
	give(100000);
	give(100000);
	push(NETDEV_MAX_FRAME + 1);
	push(13);
	none_used(0);
	ck_assert_uint_eq(stats().rx_dropped, 2);
	push(14);
	ck_assert_uint_eq(used_len(0), NET_HDR + 14);
}
END_TEST

START_TEST(frame_too_large_for_an_unmerged_buffer_is_dropped_and_the_buffer_stays)
{
	start(0);
	give(NET_HDR + 100);
	settle();
	push(101);
	none_used(0);
	ck_assert_uint_eq(stats().rx_dropped, 1);
	push(100);
	ck_assert_uint_eq(used_len(0), NET_HDR + 100);
}
END_TEST

START_TEST(useless_buffers_come_back_empty)
{
	start(ring[_i]);
	give(NET_HDR - 1);                                      /* no room for a header */
	ck_assert_int_ge(add(0, HOLE, 2048, true), 0);          /* not RAM */
	ck_assert_int_ge(add(0, RAM - 100, 2048, true), 0);     /* half of it */
	ck_assert_int_ge(add(0, 4096, 2048, false), 0);         /* not for writing */
	ck_assert_int_ge(add(0, UINT64_MAX - 5, 100, true), 0); /* around the end */
	give(2048);
	settle();
	push(500);
	for (unsigned int i = 0; i < 5; i++)
		ck_assert_uint_eq(used_len(0), 0);
	ck_assert_uint_eq(used_len(0), NET_HDR + 500);
}
END_TEST

/* Completed at once, the useless one would be taken again when the queue stops and puts the first back. */
START_TEST(useless_buffer_behind_another_waits_for_its_turn)
{
	start(ring[_i] | BIT(GUEST_CSUM) | BIT(GUEST_TSO4));
	give(1000);
	ck_assert_int_ge(add(0, HOLE, 2048, true), 0);
	give(1000);
	ck_assert_int_ge(add(0, HOLE, 2048, true), 0);
	settle();
	none_used(0);
	virtio_stop(&net->dev);
	ck_assert_uint_eq(net->dev.queue[0].saved_avail & 0x7fff, 0);
	virtio_resume(&net->dev);
	td_run(&td);
	push(1500);
	ck_assert_uint_eq(used_len(0), 1000);
	ck_assert_uint_eq(used_len(0), 0);
	ck_assert_uint_eq(used_len(0), NET_HDR + 500);
	ck_assert_uint_eq(used_len(0), 0);
	none_used(0);
}
END_TEST

START_TEST(without_buffers_the_back_end_is_left_alone_until_a_kick)
{
	start(BIT(MRG_RXBUF));
	push(100);
	ck_assert(!fake->in[0]);
	ck_assert_uint_eq(fake->next_coming, 0);
	give(2048);
	give(2048);
	settle();
	ck_assert(fake->in[0]);
	ck_assert_uint_eq(used_len(0), NET_HDR + 100);
}
END_TEST

START_TEST(frame_waits_for_the_buffers_it_lacks)
{
	uint64_t first, second;

	start(BIT(MRG_RXBUF) | BIT(GUEST_CSUM) | BIT(GUEST_TSO4));
	first = give(1000);
	settle();
	push(1500);
	none_used(0);
	ck_assert(!fake->in[0]);
	second = give(1000);
	settle();
	ck_assert_uint_eq(used_len(0), 1000);
	ck_assert_uint_eq(used_len(0), 512);
	ck_assert_mem_eq((uint8_t *)td_ptr(&td, first) + NET_HDR, frame, 988);
	ck_assert_mem_eq(td_ptr(&td, second), frame + 988, 512);
	ck_assert_uint_eq(stats().rx_dropped, 0);
}
END_TEST

START_TEST(frame_that_never_gets_its_buffers_is_dropped_and_the_next_arrives)
{
	start(BIT(MRG_RXBUF) | BIT(GUEST_CSUM) | BIT(GUEST_TSO4));
	give(1000);
	settle();
	push(1500);
	usleep(NET_SHORT_WAIT_NS / 1000 + 10000);
	settle();
	ck_assert_uint_eq(stats().rx_dropped, 1);
	push(100);
	ck_assert_uint_eq(used_len(0), NET_HDR + 100);
}
END_TEST

START_TEST(thousands_of_frames_arrive_in_order_in_a_small_ring)
{
	unsigned int got = 0;
	uint64_t gpa[SIZE];
	struct td_used u;

	start(ring[_i] | BIT(GUEST_CSUM) | BIT(GUEST_TSO4));
	for (unsigned int i = 0; i < SIZE; i++)
		gpa[i] = td_alloc(&td, 2048, 64);
	for (unsigned int i = 0; i < SIZE; i++)
		ck_assert_int_ge(add(0, gpa[i], 2048, true), 0);
	td_kick(&td, 0);
	for (unsigned int i = 0; i < 600; i++) {
		put_le32(frame + 14, i);
		fake_net_push(fake, NULL, frame, 60 + i % 1500);
	}
	while (got < 600) {
		settle();
		ck_assert(td_poll(&td, 0, &u));
		ck_assert_uint_eq(u.len, NET_HDR + 60 + got % 1500);
		ck_assert_uint_eq(get_le32((uint8_t *)td_ptr(&td, gpa[got % SIZE]) + NET_HDR + 14), got);
		ck_assert_int_ge(add(0, gpa[got % SIZE], 2048, true), 0);
		td_kick(&td, 0);
		got++;
	}
	ck_assert_uint_eq(stats().rx_dropped, 0);
}
END_TEST

START_TEST(header_says_only_what_was_negotiated)
{
	struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					 .csum_start = 34,
					 .csum_offset = 6 };
	uint64_t gpa;

	start(_i ? BIT(GUEST_CSUM) : 0);
	gpa = give(2048);
	fake_net_push(fake, &hdr, frame, 200);
	hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	fake_net_push(fake, &hdr, frame, 200);
	give(2048);
	settle();
	used_len(0);
	none_used(0); /* the segmented frame was dropped: TSO was not negotiated */
	hdr = (struct virtio_net_hdr_v1){ .num_buffers = 1 };
	if (_i) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = 34;
		hdr.csum_offset = 6;
	}
	ck_assert_mem_eq(td_ptr(&td, gpa), &hdr, NET_HDR);
}
END_TEST

START_TEST(failed_back_end_is_asked_again_at_the_next_kick)
{
	start(BIT(MRG_RXBUF));
	give(2048);
	fake->recv_rc = -EBADFD;
	settle();
	ck_assert(!fake->in[0]);
	fake->recv_rc = 0;
	push(100);
	none_used(0);
	td_kick(&td, 0);
	settle();
	ck_assert_uint_eq(used_len(0), NET_HDR + 100);
}
END_TEST

START_TEST(back_end_that_comes_back_is_asked_again)
{
	uint16_t status;

	start(BIT(MRG_RXBUF));
	give(2048);
	fake->recv_rc = -ENOTCONN;
	settle();
	fake->dev.link(fake->dev.link_ctx, false);
	virtio_config_get(&net->dev, 6, &status, 2);
	ck_assert_uint_eq(status, 0);
	fake->recv_rc = 0;
	fake->dev.link(fake->dev.link_ctx, true);
	push(100);
	ck_assert_uint_eq(used_len(0), NET_HDR + 100);
	ck_assert_uint_eq(td.config_interrupts, 2);
}
END_TEST

START_TEST(pulled_cable_drops_frames_both_ways_and_tells_the_driver)
{
	uint16_t status;

	start(BIT(MRG_RXBUF));
	give(2048);
	virtio_net_set_link(net, false);
	virtio_net_set_link(net, false);
	ck_assert_uint_eq(td.config_interrupts, 1);
	virtio_config_get(&net->dev, 6, &status, 2);
	ck_assert_uint_eq(status & VIRTIO_NET_S_LINK_UP, 0);
	push(100);
	send_frame(&no_hdr, 100);
	none_used(0);
	ck_assert_uint_eq(used_len(1), 0);
	ck_assert_uint_eq(fake->nr_gone, 0);
	virtio_net_set_link(net, true);
	push(100);
	ck_assert_uint_eq(used_len(0), NET_HDR + 100);
	ck_assert_uint_eq(stats().rx_dropped, 1);
	ck_assert_uint_eq(stats().tx_dropped, 1);
}
END_TEST

START_TEST(stopped_queue_puts_its_buffers_back_and_goes_on)
{
	uint64_t gpa[3];

	start(ring[_i] | BIT(GUEST_CSUM) | BIT(GUEST_TSO4));
	for (unsigned int i = 0; i < 3; i++)
		gpa[i] = give(2048);
	settle();
	push(100); /* the other two stay with the device */
	used_len(0);
	virtio_stop(&net->dev);
	ck_assert(!fake->attached[0]);
	ck_assert_uint_eq(net->dev.queue[0].saved_avail & 0x7fff, 1);
	virtio_resume(&net->dev);
	td_run(&td);
	push(200);
	ck_assert_uint_eq(used_len(0), NET_HDR + 200);
	ck_assert_mem_eq((uint8_t *)td_ptr(&td, gpa[1]) + NET_HDR, frame, 200);
}
END_TEST

START_TEST(broken_ring_stops_every_queue_without_spinning)
{
	start(BIT(MRG_RXBUF));
	give(2048);
	settle();
	put_le16((uint8_t *)td_ptr(&td, td.q[1].setup.driver) + 2, 0x8000); /* far ahead */
	td_kick(&td, 1);
	settle();
	ck_assert(virtio_read_status(&net->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	push(100);
	none_used(0);
	td_stop(&td);
	start(BIT(MRG_RXBUF));
	give(2048);
	push(100);
	used_len(0);
}
END_TEST

START_TEST(rate_limit_holds_frames_to_the_guest_back)
{
	opt.rate_in = (struct throttle_limits){ .bytes = 20000, .bytes_burst = 1000 };
	start(BIT(MRG_RXBUF));
	give(2048);
	give(2048);
	push(1000);
	ck_assert_uint_eq(used_len(0), NET_HDR + 1000);
	push(1000);
	none_used(0);
	ck_assert(!fake->in[0]);
	usleep(70000);
	settle();
	ck_assert_uint_eq(used_len(0), NET_HDR + 1000);
	ck_assert_uint_ge(stats().in_throttled_ns, 40000000);
	ck_assert_uint_eq(stats().out_throttled_ns, 0);
}
END_TEST

/* ---- the filter ---- */

static const uint8_t group_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 },
		     all_macs[6] = { 255, 255, 255, 255, 255, 255 };

static bool arrives(const uint8_t *to, int vlan)
{
	unsigned int before = (unsigned int)stats().rx_frames;
	uint8_t f[64] = { 0 };

	memcpy(f, to, 6);
	if (vlan >= 0) {
		f[12] = 0x81;
		f[14] = (uint8_t)(0xe0 | vlan >> 8);
		f[15] = (uint8_t)vlan;
	}
	give(2048);
	fake_net_push(fake, NULL, f, sizeof(f));
	settle();
	return stats().rx_frames > before;
}

static void table(const uint8_t *uni, const uint8_t *multi, int expected)
{
	uint8_t t[20] = { uni ? 1 : 0 };
	unsigned int len = 4;

	if (uni)
		memcpy(t + 4, uni, 6);
	len += uni ? 6 : 0;
	t[len] = multi ? 1 : 0;
	if (multi)
		memcpy(t + len + 4, multi, 6);
	len += multi ? 10 : 4;
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, t, len), expected);
}

START_TEST(filter_lets_all_pass_until_the_driver_says_otherwise)
{
	start(BIT(MRG_RXBUF) | CTRL);
	ck_assert(arrives(other_mac, -1));
	ck_assert(arrives(group_mac, 5));
	ck_assert_int_eq(rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), GOOD);
	ck_assert(!arrives(other_mac, -1));
	ck_assert(!arrives(group_mac, -1));
	ck_assert(arrives(own_mac, -1));
	ck_assert(arrives(all_macs, -1));
	ck_assert_uint_eq(stats().rx_dropped, 0); /* somebody else's frames are not lost */
	td_stop(&td);
	start(BIT(MRG_RXBUF));
	ck_assert(arrives(other_mac, -1));
}
END_TEST

START_TEST(filter_follows_each_mode)
{
	start(BIT(MRG_RXBUF) | CTRL);
	rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	rx_mode(VIRTIO_NET_CTRL_RX_ALLMULTI, 1);
	ck_assert(arrives(group_mac, -1));
	ck_assert(!arrives(other_mac, -1));
	rx_mode(VIRTIO_NET_CTRL_RX_NOMULTI, 1);
	ck_assert(!arrives(group_mac, -1));
	rx_mode(VIRTIO_NET_CTRL_RX_ALLUNI, 1);
	ck_assert(arrives(other_mac, -1));
	rx_mode(VIRTIO_NET_CTRL_RX_NOUNI, 1);
	ck_assert(!arrives(own_mac, -1));
	rx_mode(VIRTIO_NET_CTRL_RX_NOBCAST, 1);
	ck_assert(!arrives(all_macs, -1));
}
END_TEST

START_TEST(filter_knows_the_addresses_of_its_tables)
{
	start(BIT(MRG_RXBUF) | CTRL);
	rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	table(other_mac, NULL, GOOD);
	ck_assert(arrives(other_mac, -1));
	ck_assert(!arrives(group_mac, -1));
	table(NULL, group_mac, GOOD);
	ck_assert(!arrives(other_mac, -1));
	ck_assert(arrives(group_mac, -1));
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other_mac, 6), GOOD);
	ck_assert(arrives(other_mac, -1));
	ck_assert(!arrives(own_mac, -1));
	ck_assert_mem_eq(net->dev.config, other_mac, 6);
	td_stop(&td);
	ck_assert_mem_eq(net->dev.config, own_mac, 6);
}
END_TEST

START_TEST(filter_with_more_addresses_than_it_holds_lets_their_kind_pass)
{
	static uint8_t t[8 + 65 * 6];

	put_le32(t, 65);
	start(BIT(MRG_RXBUF) | CTRL);
	rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, t, sizeof(t)), GOOD);
	ck_assert(arrives(other_mac, -1));
	ck_assert(!arrives(group_mac, -1));
	put_le32(t, UINT32_MAX);
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, t, sizeof(t)), BAD);
}
END_TEST

START_TEST(filter_knows_vlans)
{
	uint8_t id[2] = { 0x05, 0x01 };

	start(BIT(MRG_RXBUF) | CTRL);
	rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	ck_assert(!arrives(own_mac, 0x105));
	ck_assert(arrives(own_mac, -1));
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, id, 2), GOOD);
	ck_assert(arrives(own_mac, 0x105));
	ck_assert(!arrives(own_mac, 0x106));
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, id, 2), GOOD);
	ck_assert(!arrives(own_mac, 0x105));
	put_le16(id, 4096);
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, id, 2), BAD);
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_VLAN, 2, id, 2), BAD);
}
END_TEST

START_TEST(filter_without_vlan_feature_passes_all_vlans)
{
	start(BIT(MRG_RXBUF) | (CTRL & ~BIT(CTRL_VLAN)));
	rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	ck_assert(arrives(own_mac, 0x105));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtio_net_rx");
	TCase *t = tcase_create("virtio_net_rx");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, frame_arrives_with_header_and_length, 0, ARRAY_SIZE(ring));
	tcase_add_test(t, frame_of_a_plain_back_end_gets_an_empty_header);
	tcase_add_loop_test(t, frame_of_bytewise_segments_is_whole, 0, ARRAY_SIZE(ring));
	tcase_add_loop_test(t, large_frame_is_merged_over_buffers_and_the_rest_serve_the_next, 1,
			    ARRAY_SIZE(ring));
	tcase_add_test(t, largest_frame_beyond_what_was_laid_out_is_whole);
	tcase_add_test(t, frame_longer_than_any_is_dropped);
	tcase_add_test(t, frame_too_large_for_an_unmerged_buffer_is_dropped_and_the_buffer_stays);
	tcase_add_loop_test(t, useless_buffers_come_back_empty, 0, ARRAY_SIZE(ring));
	tcase_add_loop_test(t, useless_buffer_behind_another_waits_for_its_turn, 1, ARRAY_SIZE(ring));
	tcase_add_test(t, without_buffers_the_back_end_is_left_alone_until_a_kick);
	tcase_add_test(t, frame_waits_for_the_buffers_it_lacks);
	tcase_add_test(t, frame_that_never_gets_its_buffers_is_dropped_and_the_next_arrives);
	tcase_add_loop_test(t, thousands_of_frames_arrive_in_order_in_a_small_ring, 0, ARRAY_SIZE(ring));
	tcase_add_loop_test(t, header_says_only_what_was_negotiated, 0, 2);
	tcase_add_test(t, failed_back_end_is_asked_again_at_the_next_kick);
	tcase_add_test(t, back_end_that_comes_back_is_asked_again);
	tcase_add_test(t, pulled_cable_drops_frames_both_ways_and_tells_the_driver);
	tcase_add_loop_test(t, stopped_queue_puts_its_buffers_back_and_goes_on, 0, ARRAY_SIZE(ring));
	tcase_add_test(t, broken_ring_stops_every_queue_without_spinning);
	tcase_add_test(t, rate_limit_holds_frames_to_the_guest_back);
	tcase_add_test(t, filter_lets_all_pass_until_the_driver_says_otherwise);
	tcase_add_test(t, filter_follows_each_mode);
	tcase_add_test(t, filter_knows_the_addresses_of_its_tables);
	tcase_add_test(t, filter_with_more_addresses_than_it_holds_lets_their_kind_pass);
	tcase_add_test(t, filter_knows_vlans);
	tcase_add_test(t, filter_without_vlan_feature_passes_all_vlans);
	suite_add_tcase(s, t);
	return run_suite(s);
}
