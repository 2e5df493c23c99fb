/*
 * Fuzzing of the network device: a driver that is mostly right, with buffers of any shape and place, frames from
 * both sides, control commands, and now and then bytes thrown into a ring. In the end the device must neither
 * have spun nor used a buffer twice, and after a reset serve a correct request.
 *
 * Seeds: tools/fuzz.d/virtio_net/. The first 4 bytes choose the device, every 8 after that are one step.
 * It does not prove: anything about threads or time (timers expire when the input says so), vhost, a real tap,
 * the transport, or that frames hold what was sent (virtio_net_test.c).
 */
#include <linux/virtio_ring.h>
#include <stdio.h>

#include "devices/virtio/virtio_net_rig.h"
#include "vmm/base/log.h"

enum { RAM = 4 << 20, SIZE = 16, STEPS = 200, ARENA = 256 << 10, MAX_SEGS = 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t pattern[256 + UINT16_MAX]; /* frames begin somewhere in its first 256 bytes */

struct fuzz {
	struct test_driver td;
	struct fake_net *fake;
	struct virtio_net *net;
	uint64_t arena;
	bool spoilt; /* the driver broke the ring itself */
};

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "virtio_net_fuzz: %s\n", what);
	abort();
}

/* Where a segment lies: mostly in the arena, now and then nowhere, at the edge of RAM, or in the rings. */
static struct td_seg segment(struct fuzz *f, uint8_t place, uint16_t len, bool in)
{
	uint64_t gpa = f->arena + (uint64_t)place * 512;

	switch (place) {
	case 0xff:
		gpa = 0xc0000000;
		break;
	case 0xfe:
		gpa = RAM - len / 2;
		break;
	case 0xfd:
		gpa = UINT64_MAX - len / 2;
		break;
	case 0xfc:
		gpa = f->td.q[0].setup.desc;
		f->spoilt |= in; /* by the frame that arrives there */
		break;
	}
	return (struct td_seg){ gpa, place == 0xfb ? len * 65536u : len, in };
}

/* One chain: count segments, alike or each one byte longer; the first few readable. */
static void step_add(struct fuzz *f, unsigned int q, const uint8_t *b)
{
	unsigned int nr = 1 + b[2] % MAX_SEGS, out = MIN((unsigned int)b[3] % (MAX_SEGS + 1), nr);
	uint16_t len = get_le16(b + 4);
	struct td_seg seg[MAX_SEGS];

	if (b[3] & 0x80) /* the usual: all of one kind */
		out = q & 1 ? nr : 0;
	for (unsigned int i = 0; i < nr; i++)
		seg[i] = segment(f, i == b[7] % nr ? b[6] : (uint8_t)(i * 3), (uint16_t)(len + i), i >= out);
	(void)td_add(&f->td, q, seg, nr);
}

/* A control command, with b[4] telling how much of it there is. */
static void step_command(struct fuzz *f, unsigned int q, const uint8_t *b)
{
	struct td_seg seg[2] = { { f->arena, 2 + b[4] % 32, false },
				 { f->arena + 4096, 1 + (b[4] >> 7), true } };
	uint8_t *p = td_ptr(&f->td, f->arena);

	memset(p, b[7], 40);
	p[0] = b[2] % 8;
	p[1] = b[3] % 8;
	p[2] = b[5];
	p[3] = b[6];
	if (td_add(&f->td, q, seg, 2) >= 0)
		td_kick(&f->td, q);
}

static void step_transmit(struct fuzz *f, unsigned int q, const uint8_t *b)
{
	struct virtio_net_hdr_v1 hdr = {
		.flags = b[2], .gso_type = b[3], .gso_size = b[6], .csum_start = b[7]
	};
	struct td_seg seg[2] = { { f->arena, NET_HDR, false }, { f->arena + 64, get_le16(b + 4), false } };

	memcpy(td_ptr(&f->td, f->arena), &hdr, sizeof(hdr));
	if (td_add(&f->td, q, seg, 2) >= 0)
		td_kick(&f->td, q);
}

static void step_spoil(struct fuzz *f, unsigned int q, const uint8_t *b)
{
	const struct virtq_setup *s = &f->td.q[q].setup;
	uint64_t area = b[2] & 1 ? s->driver : s->desc;

	memcpy(td_ptr(&f->td, area + (b[2] & 1 ? b[3] % 32 : b[3])), b + 4, 1 + (b[2] >> 1) % 4);
	f->spoilt = true;
	td_kick(&f->td, q);
}

static void step_other(struct fuzz *f, const uint8_t *b)
{
	switch (b[2] % 10) {
	case 0:
		f->fake->full = b[3] & 1;
		break;
	case 1:
		f->fake->recv_rc = b[3] & 1 ? -ENOTCONN : 0;
		break;
	case 2:
		virtio_net_set_link(f->net, b[3] & 1);
		break;
	case 3:
		f->net->netdev->link(f->net->netdev->link_ctx, b[3] & 1);
		break;
	case 4:
		virtio_net_announce(f->net);
		break;
	case 5:
		for (unsigned int i = 0; i < f->net->nr_pairs; i++) {
			net_rx_expired(&f->net->pair[i]);
			net_tx_expired(&f->net->pair[i]);
		}
		break;
	case 6:
		virtio_stop(&f->net->dev);
		virtio_resume(&f->net->dev);
		break;
	case 7:
		f->fake->offloads_rc = b[3] & 1 ? -EINVAL : 0;
		f->fake->pairs_rc = b[3] & 2 ? -EINVAL : 0;
		break;
	case 8:
		atomic_store(&f->td.access, b[3] & 1);
		break;
	case 9:
		f->td.indirect = b[3] & 1;
		break;
	}
}

static void step(struct fuzz *f, const uint8_t *b)
{
	unsigned int q = b[1] % f->net->dev.nr_queues;
	uint8_t hdr[NET_HDR] = { b[6], b[7] };
	struct td_used used;

	switch (b[0] % 16) {
	case 0 ... 3:
		step_add(f, q, b);
		break;
	case 4 ... 5:
		td_kick(&f->td, q);
		break;
	case 6 ... 7:
		fake_net_push(f->fake, hdr, pattern + b[3], get_le16(b + 4));
		break;
	case 8 ... 9:
		step_transmit(f, MIN(q | 1, f->net->dev.nr_queues - 2), b);
		break;
	case 10:
		step_command(f, q, b);
		break;
	case 11 ... 12:
		check(fake_net_run(f->fake, &f->td), "the device spins");
		break;
	case 13:
		while (td_poll(&f->td, q, &used))
			;
		break;
	case 14:
		step_other(f, b);
		break;
	case 15:
		step_spoil(f, q, b);
		break;
	}
}

/* Mostly what Linux asks for; some less, some with another ring. */
static uint64_t features_from(const uint8_t *b)
{
	uint64_t f = NET_HOST_OFFLOADS | BIT(CTRL_VQ) | BIT(CTRL_RX) | BIT(CTRL_RX_EXTRA) | BIT(CTRL_VLAN) |
		     BIT(CTRL_MAC_ADDR) | BIT(MQ) | BIT(GUEST_ANNOUNCE) | BIT(STATUS);

	f |= b[0] & 1 ? BIT(MRG_RXBUF) : 0;
	f |= b[0] & 2 ? NET_GUEST_OFFLOADS | BIT(CTRL_GUEST_OFFLOADS) : 0;
	f |= b[0] & 4 ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0;
	f |= b[0] & 8 ? VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) : 0;
	f |= b[0] & 16 ? VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0;
	f |= b[0] & 32 ? VIRTIO_BIT(VIRTIO_F_IN_ORDER) : 0;
	f &= b[0] & 64 ? ~BIT(MQ) : UINT64_MAX;
	f &= b[1] & 1 ? ~NET_HOST_OFFLOADS : UINT64_MAX;
	return f;
}

/* Whatever came before: after a reset the device works. */
static void prove_alive(struct fuzz *f)
{
	struct td_seg seg = { f->arena, 2048, true };
	struct td_used used = { 0 };

	td_stop(&f->td);
	f->fake->full = false;
	f->fake->recv_rc = f->fake->send_rc = f->fake->offloads_rc = f->fake->pairs_rc = 0;
	while (f->fake->next_coming < f->fake->nr_coming)
		free(f->fake->coming[f->fake->next_coming++].bytes);
	atomic_store(&f->td.access, true);
	f->td.indirect = false;
	virtio_net_set_link(f->net, true);
	f->net->netdev->link(f->net->netdev->link_ctx, true);
	check(td_start(&f->td, &f->net->dev, BIT(MRG_RXBUF), SIZE), "the device does not start again");
	td_add(&f->td, 0, &seg, 1);
	td_kick(&f->td, 0);
	fake_net_push(f->fake, NULL, pattern, 60);
	check(fake_net_run(f->fake, &f->td) && td_poll(&f->td, 0, &used) && used.len == NET_HDR + 60,
	      "no frame arrives after a reset");
	seg = (struct td_seg){ f->arena, 100, false };
	check(td_do(&f->td, 1, &seg, 1) == 0, "no frame is sent after a reset");
	td_stop(&f->td);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fuzz f;
	struct virtio_net_options o = { .name = "net0", .mac = { 2 }, .queue_size = SIZE };

	log_set_level(LOG_ERROR);
	if (len < 4)
		return 0;
	f = (struct fuzz){ .fake = fake_net_new(!(data[1] & 2)) };
	f.fake->forget = true;
	td_init(&f.td, RAM);
	f.arena = td_alloc(&f.td, ARENA, 4096);
	o.netdev = &f.fake->dev;
	o.pairs = 1 + data[2] % 2;
	check(virtio_net_new(&f.net, &o, &f.td.mem, NULL) == 0, "no device");
	check(td_start(&f.td, &f.net->dev, features_from(data), SIZE), "the device does not start");
	for (size_t i = 4; i + 8 <= len && i < 4 + 8 * STEPS; i += 8)
		step(&f, data + i);
	check(fake_net_run(f.fake, &f.td), "the device spins");
	for (unsigned int q = 0; q < f.net->dev.nr_queues; q++)
		for (struct td_used used; !f.spoilt && td_poll(&f.td, q, &used);)
			;
	check(f.spoilt || !f.td.failed, "the device used a buffer that it did not have");
	prove_alive(&f);
	virtio_net_free(f.net);
	td_fini(&f.td);
	netdev_close(&f.fake->dev);
	return 0;
}
