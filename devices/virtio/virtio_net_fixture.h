/*
 * What the tests of the network device share: a device over a fake back end, a driver in memory, buffers and
 * frames. Include it in one file of a test program.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_NET_FIXTURE_H
#define TRELLIS_DEVICES_VIRTIO_NET_FIXTURE_H

#include <check.h>
#include <linux/virtio_ring.h>
#include <unistd.h>

#include "devices/virtio/virtio_net_rig.h"
#include "vmm/base/log.h"

enum { RAM = 16 << 20, SIZE = 64, GOOD = 0, BAD = 1 };

#define HOLE 0xc0000000ull

static const uint8_t own_mac[6] = { 0x02, 1, 2, 3, 4, 5 }, other_mac[6] = { 0x02, 9, 9, 9, 9, 9 };

static struct test_driver td;
static struct fake_net *fake;
static struct virtio_net *net;
static struct virtio_net_options opt;
static uint8_t frame[NETDEV_MAX_FRAME + 64];

static inline void setup(void)
{
	log_set_level(LOG_ERROR);
	td_init(&td, RAM);
	fake = fake_net_new(true);
	opt = (struct virtio_net_options){
		.name = "net0", .netdev = &fake->dev, .pairs = 1, .queue_size = 256
	};
	memcpy(opt.mac, own_mac, 6);
	for (unsigned int i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(frame, own_mac, 6);
}

static inline void teardown(void)
{
	td_stop(&td);
	virtio_net_free(net);
	net = NULL;
	netdev_close(&fake->dev);
	td_fini(&td);
}

static inline void make(void)
{
	struct err e = { 0 };

	ck_assert_msg(virtio_net_new(&net, &opt, &td.mem, &e) == 0, "%s", e.text);
}

static inline void start(uint64_t features)
{
	if (!net)
		make();
	ck_assert(td_start(&td, virtio_net_dev(net), features, SIZE));
	td_run(&td);
}

#define CTRL (BIT(CTRL_VQ) | BIT(CTRL_RX) | BIT(CTRL_RX_EXTRA) | BIT(CTRL_VLAN) | BIT(CTRL_MAC_ADDR))

static inline void settle(void)
{
	ck_assert(fake_net_run(fake, &td)); /* and it does not spin */
	ck_assert(!td.failed);
}

static inline int add(unsigned int q, uint64_t gpa, uint32_t len, bool in)
{
	struct td_seg s = { gpa, len, in };

	return td_add(&td, q, &s, 1);
}

/* A receive buffer; returns where it lies. */
static inline uint64_t give(uint32_t len)
{
	uint64_t gpa = td_alloc(&td, len + 1, 64);

	ck_assert_int_ge(add(0, gpa, len, true), 0);
	td_kick(&td, 0);
	return gpa;
}

static inline struct virtio_net_stats stats(void)
{
	struct virtio_net_stats s;

	virtio_net_get_stats(net, &s);
	return s;
}

static inline void push(unsigned int len)
{
	fake_net_push(fake, NULL, frame, len);
	settle();
}

static inline uint32_t used_len(unsigned int q)
{
	struct td_used u;

	ck_assert(td_poll(&td, q, &u));
	return u.len;
}

static inline void none_used(unsigned int q)
{
	struct td_used u;

	ck_assert(!td_poll(&td, q, &u));
}

/* Transmit these segments; the used length. */
static inline void send_segs(const struct td_seg *seg, unsigned int nr)
{
	ck_assert_int_ge(td_add(&td, 1, seg, nr), 0);
	td_kick(&td, 1);
	settle();
}

static inline void send_frame(const struct virtio_net_hdr_v1 *hdr, unsigned int len)
{
	uint64_t gpa = td_alloc(&td, NET_HDR + len, 64);

	memcpy(td_ptr(&td, gpa), hdr, NET_HDR);
	memcpy((uint8_t *)td_ptr(&td, gpa) + NET_HDR, frame, len);
	send_segs(&(struct td_seg){ gpa, NET_HDR + len, false }, 1);
}

static const struct virtio_net_hdr_v1 no_hdr;

/* A control command in one readable segment, acknowledged in another byte. */
static inline int command_on(unsigned int q, uint8_t class, uint8_t cmd, const void *data, unsigned int len)
{
	uint64_t gpa = td_alloc(&td, len + 16, 64), ack = td_alloc(&td, 1, 1);
	struct td_seg seg[2] = { { gpa, len + 2, false }, { ack, 1, true } };
	uint8_t *p = td_ptr(&td, gpa);

	p[0] = class;
	p[1] = cmd;
	if (len)
		memcpy(p + 2, data, len);
	*(uint8_t *)td_ptr(&td, ack) = 0x55;
	ck_assert_int_eq(td_do(&td, q, seg, 2), 1);
	settle();
	return *(uint8_t *)td_ptr(&td, ack);
}

static inline int command(uint8_t class, uint8_t cmd, const void *data, unsigned int len)
{
	return command_on(2, class, cmd, data, len);
}

static inline int rx_mode(uint8_t cmd, uint8_t on)
{
	return command(VIRTIO_NET_CTRL_RX, cmd, &on, 1);
}

/* For loop tests: rings without and with merged buffers, of each kind. */
static const uint64_t ring[] = { 0, BIT(MRG_RXBUF), BIT(MRG_RXBUF) | VIRTIO_BIT(VIRTIO_F_RING_PACKED),
				 BIT(MRG_RXBUF) | VIRTIO_BIT(VIRTIO_F_IN_ORDER) |
					 VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) };

static inline int run_suite(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}

#endif
