/* The network device over a fake back end: options, features, control queue, several pairs, saved state. */
#include "devices/virtio/virtio_net_fixture.h"

/* ---- making, features, configuration space ---- */

START_TEST(features_of_a_plain_back_end_have_no_offloads)
{
	fake->dev.vnet_hdr = false;
	make();
	ck_assert_uint_eq(
		net->dev.features & (NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS | BIT(CTRL_GUEST_OFFLOADS)), 0);
	ck_assert(net->dev.features & BIT(MRG_RXBUF));
	ck_assert(!(net->dev.features & (BIT(MQ) | BIT(MTU) | BIT(RSS) | BIT(HASH_REPORT))));
}
END_TEST

START_TEST(features_of_a_tap_are_offered_but_for_those_without_their_base)
{
	fake->dev.features &= ~BIT(CSUM);
	opt.pairs = 4;
	opt.mtu = 1400;
	make();
	ck_assert_uint_eq(net->dev.features & NET_GUEST_OFFLOADS, NET_GUEST_OFFLOADS);
	ck_assert_uint_eq(net->dev.features & NET_HOST_OFFLOADS, 0);
	ck_assert(net->dev.features & BIT(MQ));
	ck_assert(net->dev.features & BIT(MTU));
	ck_assert(net->dev.features & BIT(CTRL_GUEST_OFFLOADS));
}
END_TEST

static const struct {
	uint64_t features;
	bool ok;
} asked[] = {
	{ 0, true },
	{ BIT(GUEST_TSO4), false },
	{ BIT(GUEST_TSO4) | BIT(GUEST_CSUM), true },
	{ BIT(GUEST_TSO6) | BIT(CSUM), false },
	{ BIT(GUEST_ECN) | BIT(GUEST_CSUM), false },
	{ BIT(GUEST_ECN) | BIT(GUEST_CSUM) | BIT(GUEST_TSO6), true },
	{ BIT(GUEST_UFO), false },
	{ BIT(GUEST_USO4), false },
	{ BIT(GUEST_USO6), false },
	{ BIT(HOST_TSO4), false },
	{ BIT(HOST_TSO6) | BIT(GUEST_CSUM), false },
	{ BIT(HOST_ECN) | BIT(CSUM), false },
	{ BIT(HOST_ECN) | BIT(CSUM) | BIT(HOST_TSO4), true },
	{ BIT(HOST_UFO), false },
	{ BIT(HOST_USO), false },
	{ BIT(HOST_USO) | BIT(CSUM), true },
	{ BIT(CTRL_RX), false },
	{ BIT(CTRL_VLAN), false },
	{ BIT(GUEST_ANNOUNCE), false },
	{ BIT(MQ), false },
	{ BIT(CTRL_MAC_ADDR), false },
	{ BIT(CTRL_MAC_ADDR) | BIT(MQ) | BIT(CTRL_VQ), true },
};

START_TEST(features_are_accepted_with_what_they_need_only)
{
	make();
	ck_assert(net->dev.ops->negotiate(&net->dev, asked[_i].features) == asked[_i].ok);
}
END_TEST

START_TEST(config_space_tells_mac_link_pairs_and_mtu)
{
	uint8_t c[17];

	opt.pairs = 4;
	opt.mtu = 1400;
	start(0);
	virtio_config_read(&net->dev, 0, c, sizeof(c));
	ck_assert_mem_eq(c, own_mac, 6);
	ck_assert_uint_eq(get_le16(c + 6), VIRTIO_NET_S_LINK_UP);
	ck_assert_uint_eq(get_le16(c + 8), 4);
	ck_assert_uint_eq(get_le16(c + 10), 1400);
	ck_assert_uint_eq(get_le32(c + 12), UINT32_MAX);
	ck_assert_uint_eq(c[16], 0xff);
	virtio_config_write(&net->dev, 0, "\1\1\1\1\1\1", 6);
	virtio_config_read(&net->dev, 0, c, 6);
	ck_assert_mem_eq(c, own_mac, 6);
}
END_TEST

static const struct {
	unsigned int pairs, size, mtu;
	uint8_t mac0;
	int vhost;
	const char *word;
} wrong[] = {
	{ 0, 256, 0, 2, 0, "queues=0" },         { 5, 256, 0, 2, 0, "1 to 4" },
	{ 1, 100, 0, 2, 0, "power of two" },     { 1, 1, 0, 2, 0, "queue-size=1" },
	{ 1, 2048, 0, 2, 0, "queue-size=2048" }, { 1, 256, 67, 2, 0, "68" },
	{ 1, 256, 65536, 2, 0, "65535" },        { 1, 256, 1501, 2, 0, "ip link set dev fake0 mtu 1501" },
	{ 1, 256, 0, 3, 0, "group address" },    { 1, 256, 0, 2, VHOST_ON, "tap" },
};

START_TEST(wrong_options_are_refused_with_a_sentence)
{
	struct err e = { 0 };

	opt.pairs = wrong[_i].pairs;
	opt.queue_size = (uint16_t)wrong[_i].size;
	opt.mtu = wrong[_i].mtu;
	opt.mac[0] = wrong[_i].mac0;
	opt.vhost = wrong[_i].vhost;
	ck_assert_int_lt(virtio_net_new(&net, &opt, &td.mem, &e), 0);
	ck_assert_ptr_null(net);
	ck_assert_ptr_nonnull(strstr(e.text, wrong[_i].word));
}
END_TEST

START_TEST(vhost_try_does_without)
{
	opt.vhost = VHOST_TRY;
	start(0);
	ck_assert(!virtio_net_uses_vhost(net));
}
END_TEST

/* ---- the control queue ---- */

static const struct {
	uint64_t without; /* of CTRL and what follows */
	uint8_t class, cmd, data[12];
	unsigned int len;
	int ack;
} commands[] = {
	{ 0, VIRTIO_NET_CTRL_RX, 0, { 1 }, 1, GOOD },
	{ 0, VIRTIO_NET_CTRL_RX, 0, { 1 }, 0, BAD },
	{ 0, VIRTIO_NET_CTRL_RX, 0, { 1 }, 2, BAD },
	{ BIT(CTRL_RX), VIRTIO_NET_CTRL_RX, 1, { 1 }, 1, BAD },
	{ BIT(CTRL_RX_EXTRA), VIRTIO_NET_CTRL_RX, 1, { 1 }, 1, GOOD },
	{ BIT(CTRL_RX_EXTRA), VIRTIO_NET_CTRL_RX, 2, { 1 }, 1, BAD },
	{ 0, VIRTIO_NET_CTRL_RX, 5, { 1 }, 1, GOOD },
	{ 0, VIRTIO_NET_CTRL_RX, 6, { 1 }, 1, BAD },
	{ 0, VIRTIO_NET_CTRL_MAC, 1, { 2 }, 6, GOOD },
	{ 0, VIRTIO_NET_CTRL_MAC, 1, { 2 }, 5, BAD },
	{ 0, VIRTIO_NET_CTRL_MAC, 1, { 2 }, 7, BAD },
	{ BIT(CTRL_MAC_ADDR), VIRTIO_NET_CTRL_MAC, 1, { 2 }, 6, BAD },
	{ 0, VIRTIO_NET_CTRL_MAC, 0, { 0 }, 8, GOOD },
	{ 0, VIRTIO_NET_CTRL_MAC, 0, { 0 }, 7, BAD },
	{ 0, VIRTIO_NET_CTRL_MAC, 0, { 0 }, 9, BAD },
	{ 0, VIRTIO_NET_CTRL_MAC, 0, { 0 }, 3, BAD },
	{ 0, VIRTIO_NET_CTRL_MAC, 0, { 1 }, 9, BAD },
	{ BIT(CTRL_RX), VIRTIO_NET_CTRL_MAC, 0, { 0 }, 8, BAD },
	{ 0, VIRTIO_NET_CTRL_MAC, 2, { 0 }, 8, BAD },
	{ 0, VIRTIO_NET_CTRL_VLAN, 0, { 1 }, 2, GOOD },
	{ 0, VIRTIO_NET_CTRL_VLAN, 0, { 1 }, 3, BAD },
	{ BIT(CTRL_VLAN), VIRTIO_NET_CTRL_VLAN, 0, { 1 }, 2, BAD },
	{ 0, VIRTIO_NET_CTRL_ANNOUNCE, 0, { 0 }, 0, GOOD },
	{ 0, VIRTIO_NET_CTRL_ANNOUNCE, 0, { 0 }, 1, BAD },
	{ 0, VIRTIO_NET_CTRL_ANNOUNCE, 1, { 0 }, 0, BAD },
	{ BIT(GUEST_ANNOUNCE), VIRTIO_NET_CTRL_ANNOUNCE, 0, { 0 }, 0, BAD },
	{ 0, VIRTIO_NET_CTRL_MQ, 0, { 1 }, 2, BAD }, /* one pair: no MQ */
	{ 0, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, { 1 << VIRTIO_NET_F_GUEST_CSUM }, 8, GOOD },
	{ 0, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, { 1 << VIRTIO_NET_F_GUEST_CSUM }, 7, BAD },
	{ 0, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 1, { 1 << VIRTIO_NET_F_GUEST_CSUM }, 8, BAD },
	{ 0, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, { 1 }, 8, BAD },
	{ BIT(GUEST_CSUM), VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, { 1 << VIRTIO_NET_F_GUEST_CSUM }, 8, BAD },
	{ BIT(CTRL_GUEST_OFFLOADS), VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, { 0 }, 8, BAD },
	{ 0, VIRTIO_NET_CTRL_NOTF_COAL, 0, { 0 }, 8, BAD },
	{ 0, 0xff, 0xff, { 0 }, 12, BAD },
};

START_TEST(command_is_acknowledged_as_it_deserves)
{
	start((CTRL | BIT(GUEST_ANNOUNCE) | BIT(GUEST_CSUM) | BIT(CTRL_GUEST_OFFLOADS)) &
	      ~commands[_i].without);
	ck_assert_int_eq(command(commands[_i].class, commands[_i].cmd, commands[_i].data, commands[_i].len),
			 commands[_i].ack);
}
END_TEST

START_TEST(command_that_cannot_be_acknowledged_comes_back_empty)
{
	uint64_t gpa;

	start(CTRL);
	gpa = td_alloc(&td, 64, 64);
	ck_assert_int_eq(td_do(&td, 2, &(struct td_seg){ gpa, 3, false }, 1), 0);
	ck_assert_int_eq(td_do(&td, 2, (struct td_seg[]){ { gpa, 3, false }, { HOLE, 1, true } }, 2), 0);
	ck_assert_int_eq(td_do(&td, 2, &(struct td_seg){ gpa, 1, true }, 1), 1);
	ck_assert_uint_eq(*(uint8_t *)td_ptr(&td, gpa), VIRTIO_NET_ERR); /* no header at all */
	memset(td_ptr(&td, gpa), 0, 3);
	ck_assert_int_eq(td_do(&td, 2, (struct td_seg[]){ { HOLE, 3, false }, { gpa + 9, 1, true } }, 2), 1);
	ck_assert_uint_eq(((uint8_t *)td_ptr(&td, gpa))[9], VIRTIO_NET_ERR);
	ck_assert_int_eq(td_do(&td, 2, (struct td_seg[]){ { gpa, 3, false }, { gpa + 16, 5, true } }, 2), 0);
	ck_assert_uint_eq(((uint8_t *)td_ptr(&td, gpa))[20], VIRTIO_NET_OK); /* the last byte, 5.1.6.5 */
}
END_TEST

START_TEST(offloads_reach_the_back_end_and_are_forgotten_at_reset)
{
	uint8_t data[8];

	start(CTRL | BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(CTRL_GUEST_OFFLOADS));
	ck_assert_uint_eq(fake->offloads, BIT(GUEST_CSUM) | BIT(GUEST_TSO4));
	put_le64(data, 0);
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, data, 8), GOOD);
	ck_assert_uint_eq(fake->offloads, 0);
	put_le64(data, BIT(GUEST_TSO4)); /* means nothing without GUEST_CSUM */
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, data, 8), GOOD);
	ck_assert_uint_eq(fake->offloads, 0);
	fake->offloads_rc = -EINVAL;
	put_le64(data, BIT(GUEST_CSUM));
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, data, 8), BAD);
	fake->offloads_rc = 0;
	td_stop(&td);
	start(BIT(GUEST_CSUM));
	ck_assert_uint_eq(fake->offloads, BIT(GUEST_CSUM));
}
END_TEST

START_TEST(announcement_is_asked_for_and_acknowledged)
{
	uint16_t status;

	start(CTRL | BIT(GUEST_ANNOUNCE));
	virtio_net_announce(net);
	virtio_config_get(&net->dev, 6, &status, 2);
	ck_assert_uint_eq(status, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	ck_assert_uint_eq(td.config_interrupts, 1);
	ck_assert_int_eq(command(VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0), GOOD);
	virtio_config_get(&net->dev, 6, &status, 2);
	ck_assert_uint_eq(status, VIRTIO_NET_S_LINK_UP);
	td_stop(&td);
	start(CTRL);
	virtio_net_announce(net); /* to a driver that cannot */
	virtio_config_get(&net->dev, 6, &status, 2);
	ck_assert_uint_eq(status, VIRTIO_NET_S_LINK_UP);
}
END_TEST

/* ---- several pairs ---- */

static int set_pairs(uint16_t pairs)
{
	uint8_t data[2];

	put_le16(data, pairs);
	return command_on(8, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, data, 2);
}

START_TEST(pairs_receive_from_when_the_driver_says_so)
{
	opt.pairs = 4;
	start(BIT(MRG_RXBUF) | CTRL | BIT(MQ));
	for (unsigned int q = 0; q < 8; q += 2) {
		ck_assert_int_ge(add(q, td_alloc(&td, 2048, 64), 2048, true), 0);
		td_kick(&td, q);
	}
	settle();
	ck_assert(fake->in[0] && !fake->in[1] && !fake->in[2] && !fake->in[3]);
	ck_assert_int_eq(set_pairs(3), GOOD);
	ck_assert_uint_eq(fake->pairs, 3);
	ck_assert(fake->in[0] && fake->in[1] && fake->in[2] && !fake->in[3]);
	ck_assert_int_eq(set_pairs(0), BAD);
	ck_assert_int_eq(set_pairs(5), BAD);
	ck_assert_int_eq(set_pairs(2), GOOD);
	ck_assert(fake->in[0] && fake->in[1] && !fake->in[2]);
	fake->pairs_rc = -EINVAL;
	ck_assert_int_eq(set_pairs(1), BAD);
	ck_assert(fake->in[1]);
	fake->pairs_rc = 0;
	td_stop(&td);
	start(BIT(MRG_RXBUF));
	ck_assert_uint_eq(fake->pairs, 1);
}
END_TEST

START_TEST(every_pair_transmits)
{
	uint64_t gpa;

	opt.pairs = 4;
	start(BIT(MRG_RXBUF) | CTRL | BIT(MQ));
	gpa = td_alloc(&td, 200, 64);
	for (unsigned int q = 1; q < 8; q += 2) {
		ck_assert_int_ge(add(q, gpa, 100, false), 0);
		td_kick(&td, q);
	}
	settle();
	ck_assert_uint_eq(fake->nr_gone, 4);
}
END_TEST

START_TEST(control_queue_is_the_third_without_mq)
{
	opt.pairs = 4;
	start(BIT(MRG_RXBUF) | CTRL);
	ck_assert_int_eq(rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), GOOD);
	ck_assert_ptr_eq(net->dev.queue[2].thread, net->dev.queue[0].thread);
	give(2048);
	push(100);
	used_len(0);
	td_kick(&td, 5); /* mean nothing, and are let alone */
	td_kick(&td, 8);
	settle();
	td_stop(&td);
	start(BIT(MRG_RXBUF) | CTRL | BIT(MQ));
	ck_assert_ptr_eq(net->dev.queue[2].thread, net->dev.queue[3].thread);
	ck_assert_int_eq(set_pairs(4), GOOD);
}
END_TEST

/* ---- saved state ---- */

START_TEST(saved_device_comes_back_as_it_was)
{
	uint64_t f = BIT(MRG_RXBUF) | CTRL | BIT(MQ) | BIT(GUEST_CSUM) | BIT(CTRL_GUEST_OFFLOADS) |
		     BIT(GUEST_ANNOUNCE);
	struct buf b = { 0 };
	struct state_reader r;
	uint8_t data[8] = { 0 };

	opt.pairs = 4;
	start(f);
	ck_assert_int_eq(set_pairs(3), GOOD);
	command_on(8, VIRTIO_NET_CTRL_RX, 0, "\0", 1);
	command_on(8, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other_mac, 6);
	command_on(8, VIRTIO_NET_CTRL_VLAN, 0, "\7\0", 2);
	command_on(8, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, data, 8);
	virtio_net_announce(net);
	virtio_stop(&net->dev);
	virtio_save(&net->dev, &b);
	virtio_reset(&net->dev);
	ck_assert(net->filter.promisc);

	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_int_eq(virtio_load(&net->dev, &r, NULL), 0);
	ck_assert_uint_eq(r.pos, b.len);
	td_run(&td);
	ck_assert(!net->filter.promisc);
	ck_assert_mem_eq(net->dev.config, other_mac, 6);
	ck_assert_uint_eq(net->filter.vlans[0], 1 << 7);
	ck_assert_uint_eq(fake->pairs, 3);
	ck_assert_uint_eq(fake->offloads, 0);
	ck_assert(net->announce);
	for (size_t cut = 0; cut < b.len; cut += 37) {
		r = (struct state_reader){ .data = b.data, .len = cut };
		ck_assert_int_lt(virtio_load(&net->dev, &r, NULL), 0);
	}
	b.data[b.len - 2] = 5; /* pairs */
	r = (struct state_reader){ .data = b.data, .len = b.len };
	ck_assert_int_eq(virtio_load(&net->dev, &r, NULL), -EINVAL);
	buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtio_net");
	TCase *t = tcase_create("virtio_net");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, features_of_a_plain_back_end_have_no_offloads);
	tcase_add_test(t, features_of_a_tap_are_offered_but_for_those_without_their_base);
	tcase_add_loop_test(t, features_are_accepted_with_what_they_need_only, 0, ARRAY_SIZE(asked));
	tcase_add_test(t, config_space_tells_mac_link_pairs_and_mtu);
	tcase_add_loop_test(t, wrong_options_are_refused_with_a_sentence, 0, ARRAY_SIZE(wrong));
	tcase_add_test(t, vhost_try_does_without);
	tcase_add_loop_test(t, command_is_acknowledged_as_it_deserves, 0, ARRAY_SIZE(commands));
	tcase_add_test(t, command_that_cannot_be_acknowledged_comes_back_empty);
	tcase_add_test(t, offloads_reach_the_back_end_and_are_forgotten_at_reset);
	tcase_add_test(t, announcement_is_asked_for_and_acknowledged);
	tcase_add_test(t, pairs_receive_from_when_the_driver_says_so);
	tcase_add_test(t, every_pair_transmits);
	tcase_add_test(t, control_queue_is_the_third_without_mq);
	tcase_add_test(t, saved_device_comes_back_as_it_was);
	suite_add_tcase(s, t);
	return run_suite(s);
}
