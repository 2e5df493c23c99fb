/*
 * When the kernel gets a pair of queues, and with what. vhost.c itself is replaced here by functions that write
 * down what they are asked; vhost_test.c tests it.
 */
#include "devices/virtio/virtio_net_fixture.h"

enum { TAP_FD = 1000 };

static struct {
	unsigned int opens, closes, starts, stops;
	int open_rc, start_rc;
	uint64_t features;
	int rx_kick, tx_kick, rx_call, tx_call, tap_fd;
} host;

int vhost_net_check(struct err *e)
{
	return host.open_rc < 0 ? err_set(e, host.open_rc, "no vhost here; run: modprobe vhost_net") : 0;
}

int vhost_net_open(struct vhost_net *v, const struct gmem *mem, struct err *e)
{
	int rc = vhost_net_check(e);

	(void)mem;
	if (rc < 0)
		return rc;
	host.opens++;
	v->open = true;
	return 0;
}

void vhost_net_close(struct vhost_net *v)
{
	host.closes++;
	v->open = false;
}

uint64_t vhost_net_mask(const struct vhost_net *v, uint64_t features)
{
	(void)v;
	return features & ~(VIRTIO_BIT(VIRTIO_F_RING_PACKED) | BIT(CSUM));
}

int vhost_net_start(struct vhost_net *v, uint64_t features, struct virtq *rx, struct virtq *tx, int rx_kick,
		    int tx_kick, int rx_call, int tx_call, int tap_fd)
{
	ck_assert(v->open && rx->started && tx->started);
	if (host.start_rc < 0)
		return host.start_rc;
	host.starts++;
	host.features = features;
	host.rx_kick = rx_kick;
	host.tx_kick = tx_kick;
	host.rx_call = rx_call;
	host.tx_call = tx_call;
	host.tap_fd = tap_fd;
	return 0;
}

void vhost_net_stop(struct vhost_net *v, struct virtq *rx, struct virtq *tx)
{
	ck_assert(v->open && rx->started && tx->started);
	host.stops++;
}

static int fake_fd(struct netdev *n, unsigned int q)
{
	(void)n;
	return TAP_FD + (int)q;
}

static struct netdev_ops ops;

static void setup_vhost(void)
{
	setup();
	memset(&host, 0, sizeof(host));
	ops = fake_net_ops;
	ops.fd = fake_fd;
	fake->dev.ops = &ops;
	opt.vhost = VHOST_ON;
}

START_TEST(kernel_gets_both_queues_of_a_pair_and_gives_them_back)
{
	start(BIT(MRG_RXBUF) | BIT(CSUM) | VIRTIO_BIT(VIRTIO_F_RING_PACKED));
	ck_assert(virtio_net_uses_vhost(net));
	ck_assert_uint_eq(host.starts, 1);
	ck_assert(!(host.features & (BIT(CSUM) | VIRTIO_BIT(VIRTIO_F_RING_PACKED))));
	ck_assert(host.features & BIT(MRG_RXBUF));
	ck_assert_int_eq(host.rx_kick, td.q[0].kick_fd);
	ck_assert_int_eq(host.tx_kick, td.q[1].kick_fd);
	ck_assert_int_eq(host.tap_fd, TAP_FD);
	ck_assert(net->dev.queue[0].kernel && net->dev.queue[1].kernel && !net->dev.queue[2].kernel);
	ck_assert(!fake->attached[0]);
	push(100); /* not ours to take */
	ck_assert_uint_eq(fake->next_coming, 0);
	td_stop(&td);
	ck_assert_uint_eq(host.stops, 1);
	start(0);
	ck_assert_uint_eq(host.starts, 2);
	td_stop(&td);
	virtio_net_free(net);
	net = NULL;
	ck_assert_uint_eq(host.closes, host.opens);
}
END_TEST

START_TEST(interrupts_without_a_vector_pass_through_the_device)
{
	uint64_t one = 1;

	start(0);
	ck_assert_int_ge(host.rx_call, 0);
	ck_assert_int_eq(write(host.tx_call, &one, 8), 8);
	settle();
	ck_assert_uint_eq(td.q[0].interrupts, 0);
	ck_assert_uint_eq(td.q[1].interrupts, 1);
}
END_TEST

START_TEST(control_queue_stays_with_the_device)
{
	start(CTRL);
	ck_assert_int_eq(rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), GOOD);
}
END_TEST

START_TEST(kernel_that_refuses_breaks_the_device_until_reset)
{
	host.start_rc = -EINVAL;
	make();
	ck_assert(!td_start(&td, virtio_net_dev(net), 0, SIZE));
	ck_assert(virtio_read_status(&net->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	td_stop(&td);
	ck_assert_uint_eq(host.stops, 0);
	host.start_rc = 0;
	start(0);
	ck_assert_uint_eq(host.starts, 1);
}
END_TEST

START_TEST(every_pair_has_a_kernel_of_its_own)
{
	opt.pairs = 3;
	start(CTRL | BIT(MQ));
	ck_assert_uint_eq(host.opens, 3);
	ck_assert_uint_eq(host.starts, 3);
	ck_assert_int_eq(host.tap_fd, TAP_FD + 2);
	td_stop(&td);
	ck_assert_uint_eq(host.stops, 3);
}
END_TEST

START_TEST(vhost_on_without_vhost_is_an_error_and_try_is_not)
{
	struct err e = { 0 };

	host.open_rc = -ENOENT;
	ck_assert_int_eq(virtio_net_new(&net, &opt, &td.mem, &e), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "net0: vhost=on: no vhost here; run: modprobe"));
	opt.vhost = VHOST_TRY;
	make();
	ck_assert(!virtio_net_uses_vhost(net));
	ck_assert(net->dev.features & BIT(CSUM));
}
END_TEST

START_TEST(vhost_does_not_go_with_rate_limits)
{
	struct err e = { 0 };

	opt.rate_out.bytes = 1000;
	ck_assert_int_eq(virtio_net_new(&net, &opt, &td.mem, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "rate limits"));
}
END_TEST

/* Both of them, the check with what is known of a back end before it is opened. */
static void refused_alike(int rc)
{
	struct netdev known = *opt.netdev, *real = opt.netdev;
	struct err e = { 0 }, said = { 0 };

	known.ops = NULL;
	opt.netdev = &known;
	ck_assert_int_eq(virtio_net_check(&opt, &said), rc);
	opt.netdev = real;
	ck_assert_int_eq(virtio_net_new(&net, &opt, &td.mem, &e), rc);
	ck_assert_str_eq(said.text, e.text);
}

START_TEST(check_says_what_making_says)
{
	struct err e = { 0 };

	ck_assert_int_eq(virtio_net_check(&opt, &e), 0);
	ck_assert_uint_eq(host.opens, 0);
	host.open_rc = -EACCES;
	refused_alike(-EACCES);
	opt.vhost = VHOST_TRY;
	ck_assert_int_eq(virtio_net_check(&opt, &e), 0);
	opt.vhost = VHOST_ON;
	host.open_rc = 0;
	opt.rate_in.bytes = 1000;
	refused_alike(-EINVAL);
	opt.rate_in.bytes = 0;
	opt.netdev->vnet_hdr = false;
	refused_alike(-EINVAL);
	opt.netdev->vnet_hdr = true;
	opt.netdev->mtu = 1500;
	opt.mtu = 9000;
	refused_alike(-EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtio_net_vhost");
	TCase *t = tcase_create("virtio_net_vhost");

	tcase_add_checked_fixture(t, setup_vhost, teardown);
	tcase_add_test(t, kernel_gets_both_queues_of_a_pair_and_gives_them_back);
	tcase_add_test(t, interrupts_without_a_vector_pass_through_the_device);
	tcase_add_test(t, control_queue_stays_with_the_device);
	tcase_add_test(t, kernel_that_refuses_breaks_the_device_until_reset);
	tcase_add_test(t, every_pair_has_a_kernel_of_its_own);
	tcase_add_test(t, vhost_on_without_vhost_is_an_error_and_try_is_not);
	tcase_add_test(t, vhost_does_not_go_with_rate_limits);
	tcase_add_test(t, check_says_what_making_says);
	suite_add_tcase(s, t);
	return run_suite(s);
}
