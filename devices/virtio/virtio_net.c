/*
 * The network device while it works: which features go together, how queues start and stop, its link, reset
 * and saved state. It moves no frame itself: virtio_net_rx.c and virtio_net_tx.c do, or the kernel.
 */
#include "devices/virtio/virtio_net.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <unistd.h>

#include "devices/virtio/virtio_net_internal.h"

enum { MTU_USUAL = 1500 };

/* ---- features ---- */

static const struct {
	uint64_t feature, needs; /* one of these */
} needs[] = {
	/* virtio 1.2, 5.1.3.1 */
	{ BIT(GUEST_TSO4), BIT(GUEST_CSUM) },
	{ BIT(GUEST_TSO6), BIT(GUEST_CSUM) },
	{ BIT(GUEST_ECN), BIT(GUEST_TSO4) | BIT(GUEST_TSO6) },
	{ BIT(GUEST_UFO), BIT(GUEST_CSUM) },
	{ BIT(GUEST_USO4), BIT(GUEST_CSUM) },
	{ BIT(GUEST_USO6), BIT(GUEST_CSUM) },
	{ BIT(HOST_TSO4), BIT(CSUM) },
	{ BIT(HOST_TSO6), BIT(CSUM) },
	{ BIT(HOST_ECN), BIT(HOST_TSO4) | BIT(HOST_TSO6) },
	{ BIT(HOST_UFO), BIT(CSUM) },
	{ BIT(HOST_USO), BIT(CSUM) },
	{ BIT(CTRL_RX), BIT(CTRL_VQ) },
	{ BIT(CTRL_VLAN), BIT(CTRL_VQ) },
	{ BIT(GUEST_ANNOUNCE), BIT(CTRL_VQ) },
	{ BIT(MQ), BIT(CTRL_VQ) },
	{ BIT(CTRL_MAC_ADDR), BIT(CTRL_VQ) },
};

static bool net_negotiate(struct virtio_dev *d, uint64_t features)
{
	(void)d;
	for (unsigned int i = 0; i < ARRAY_SIZE(needs); i++)
		if ((features & needs[i].feature) && !(features & needs[i].needs))
			return false;
	return true;
}

uint64_t net_sound_features(uint64_t features)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(needs); i++)
		if ((features & needs[i].feature) && !(features & needs[i].needs))
			features &= ~needs[i].feature;
	return features;
}

/* ---- what several files need ---- */

void net_poke(struct virtio_net *n, unsigned int q)
{
	uint64_t one = 1;
	int fd = n->dev.transport ? n->dev.transport->kick_fd(n->dev.transport_ctx, q) : -1;

	/* Fails only when the counter is full: then the queue is served anyway. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

void net_update_want(struct net_pair *p)
{
	struct netdev *b = p->n->netdev;
	bool in, out;

	if (!p->attached)
		return;
	in = p->rx.running && p->rx.wait == NET_RX_GO && p->nr < atomic_load(&p->n->active_pairs);
	out = p->tx.running && p->tx.blocked;
	if (in == p->wants_in && out == p->wants_out)
		return;
	p->wants_in = in;
	p->wants_out = out;
	b->ops->want(b, p->nr, in, out);
}

void net_update_status_locked(struct virtio_net *n, bool tell)
{
	bool up = n->link_user && n->link_back;
	uint8_t status[2];

	atomic_store(&n->link, up);
	put_le16(status, (up ? VIRTIO_NET_S_LINK_UP : 0) | (n->announce ? VIRTIO_NET_S_ANNOUNCE : 0));
	virtio_config_put(&n->dev, offsetof(struct virtio_net_config, status), status, sizeof(status), tell);
}

int net_set_offloads_locked(struct virtio_net *n, uint64_t offloads)
{
	unsigned int mtu = MAX(MAX(n->netdev->mtu, n->mtu), (unsigned int)MTU_USUAL);
	bool large = offloads & NET_GUEST_LARGE;
	int rc;

	if (!(offloads & BIT(GUEST_CSUM))) /* segments have partial checksums */
		large = false;
	if (n->netdev->ops->set_offloads) {
		rc = n->netdev->ops->set_offloads(n->netdev, large ? offloads : offloads & BIT(GUEST_CSUM));
		if (rc < 0)
			return rc;
	}
	n->offloads = offloads;
	atomic_store(&n->frame_max, large ? NETDEV_MAX_FRAME : MIN(mtu + 18, (unsigned int)NETDEV_MAX_FRAME));
	return 0;
}

int net_set_pairs_locked(struct virtio_net *n, unsigned int pairs)
{
	unsigned int before = atomic_load(&n->active_pairs);
	int rc;

	if (n->netdev->ops->set_pairs) {
		rc = n->netdev->ops->set_pairs(n->netdev, pairs);
		if (rc < 0)
			return rc;
	}
	atomic_store(&n->active_pairs, pairs);
	for (unsigned int i = MIN(before, pairs); i < MAX(before, pairs); i++)
		net_poke(n, 2 * i); /* so that it begins or ends to want frames */
	return 0;
}

/* ---- queues ---- */

static bool is_ctrl(const struct virtio_net *n, unsigned int q)
{
	return q == n->ctrl_q;
}

/* The pair that queue q is of; NULL for the control queue and those that mean nothing (without MQ). */
static struct net_pair *pair_of(struct virtio_net *n, unsigned int q)
{
	return q < n->ctrl_q && q / 2 < n->nr_pairs ? &n->pair[q / 2] : NULL;
}

static void net_ready(void *ctx, bool in, bool out)
{
	struct net_pair *p = ctx;

	if (out && p->tx.running && p->tx.blocked) {
		p->tx.blocked = false;
		net_tx_run(p);
	}
	if (in && p->rx.running)
		net_rx_run(p);
	net_update_want(p);
}

static int pair_attach(struct net_pair *p)
{
	struct netdev *b = p->n->netdev;
	int rc;

	if (p->attached)
		return 0;
	rc = b->ops->attach(b, p->nr, &p->thread.loop, net_ready, p);
	if (rc < 0)
		return rc;
	p->attached = true;
	p->wants_in = p->wants_out = false;
	b->ops->want(b, p->nr, false, false);
	return 0;
}

static void pair_detach(struct net_pair *p)
{
	if (!p->attached)
		return;
	p->n->netdev->ops->detach(p->n->netdev, p->nr);
	p->attached = false;
}

static int net_queue_start(struct virtio_dev *d, unsigned int q)
{
	struct virtio_net *n = net_of(d);
	struct net_pair *p = pair_of(n, q);
	int rc;

	if (!p)
		return 0;
	if (n->vhost)
		return net_vhost_queue_start(p, q);
	rc = pair_attach(p);
	if (rc < 0)
		return rc;
	if (q & 1)
		net_tx_start(p);
	else
		net_rx_start(p);
	net_update_want(p);
	return 0;
}

static void net_queue_stop(struct virtio_dev *d, unsigned int q)
{
	struct virtio_net *n = net_of(d);
	struct net_pair *p = pair_of(n, q);

	if (!p)
		return;
	if (n->vhost) {
		net_vhost_queue_stop(p);
		return;
	}
	if (q & 1)
		net_tx_stop(p);
	else
		net_rx_stop(p);
	net_update_want(p);
	if (!p->rx.running && !p->tx.running)
		pair_detach(p);
}

static void net_serve(struct virtio_dev *d, unsigned int q)
{
	struct virtio_net *n = net_of(d);
	struct net_pair *p = pair_of(n, q);

	if (is_ctrl(n, q)) {
		net_ctrl_serve(n, q);
		return;
	}
	if (!p || n->vhost)
		return;
	if (q & 1)
		net_tx_run(p);
	else
		net_rx_serve(p);
	net_update_want(p);
}

/* ---- the life of the device ---- */

/*
 * The control queue comes behind the pairs that the driver can use: without MQ that is one (5.1.2). Queue 2
 * is therefore either pair 1's or the control queue, and runs on the thread of pair 1 or 0.
 */
static int net_start(struct virtio_dev *d)
{
	struct virtio_net *n = net_of(d);
	int rc;

	n->ctrl_q = virtio_has(d, VIRTIO_NET_F_MQ) ? 2 * n->nr_pairs : 2;
	d->queue[2].thread = &n->pair[n->ctrl_q == 2 ? 0 : 1].thread;

	pthread_mutex_lock(&n->lock);
	n->filter.vlan_all = !virtio_has(d, VIRTIO_NET_F_CTRL_VLAN);
	n->can_announce = virtio_has(d, VIRTIO_NET_F_GUEST_ANNOUNCE);
	atomic_fetch_add(&n->filter_generation, 1);
	rc = net_set_offloads_locked(n,
				     n->offloads_chosen ? n->offloads : d->negotiated & NET_GUEST_OFFLOADS);
	if (rc == 0)
		rc = net_set_pairs_locked(n, atomic_load(&n->active_pairs));
	pthread_mutex_unlock(&n->lock);
	return rc;
}

static void net_stop(struct virtio_dev *d)
{
	struct virtio_net *n = net_of(d);

	pthread_mutex_lock(&n->lock);
	n->can_announce = false;
	pthread_mutex_unlock(&n->lock);
}

static void put_mac(struct virtio_net *n)
{
	virtio_config_put(&n->dev, offsetof(struct virtio_net_config, mac), n->filter.mac, 6, false);
}

void net_reset(struct virtio_dev *d)
{
	struct virtio_net *n = net_of(d);

	pthread_mutex_lock(&n->lock);
	net_filter_reset(&n->filter, n->default_mac);
	n->offloads = 0;
	n->offloads_chosen = n->announce = false;
	atomic_store(&n->active_pairs, 1); /* until the driver says otherwise (5.1.6.5.5) */
	atomic_store(&n->warned_gone, false);
	put_mac(n);
	net_update_status_locked(n, false);
	pthread_mutex_unlock(&n->lock);
}

static void net_save(struct virtio_dev *d, struct buf *b)
{
	struct virtio_net *n = net_of(d);

	pthread_mutex_lock(&n->lock);
	net_filter_save(&n->filter, b);
	buf_put64(b, n->offloads);
	buf_put8(b, n->offloads_chosen);
	buf_put8(b, n->announce);
	buf_put16(b, (uint16_t)atomic_load(&n->active_pairs));
	pthread_mutex_unlock(&n->lock);
}

static int net_load(struct virtio_dev *d, struct state_reader *r, struct err *e)
{
	struct virtio_net *n = net_of(d);
	struct net_filter f;
	uint64_t offloads;
	bool chosen, announce;
	unsigned int pairs;
	int rc;

	rc = net_filter_load(&f, r, e);
	if (rc < 0)
		return rc;
	offloads = state_get64(r);
	chosen = state_get8(r);
	announce = state_get8(r);
	pairs = state_get16(r);
	if (!r->failed &&
	    (!pairs || pairs > n->nr_pairs || (offloads & ~(d->negotiated & NET_GUEST_OFFLOADS))))
		return err_set(
			e, -EINVAL,
			"%s: saved state uses %u queue pairs with offloads 0x%llx; here are %u, 0x%llx",
			d->name, pairs, (unsigned long long)offloads, n->nr_pairs,
			(unsigned long long)(d->negotiated & NET_GUEST_OFFLOADS));
	if (r->failed)
		return 0; /* virtio_load() says so */

	pthread_mutex_lock(&n->lock);
	n->filter = f;
	n->offloads = offloads;
	n->offloads_chosen = chosen;
	n->announce = announce;
	atomic_store(&n->active_pairs, pairs);
	put_mac(n);
	net_update_status_locked(n, false);
	pthread_mutex_unlock(&n->lock);
	return 0;
}

const struct virtio_ops net_ops = {
	.negotiate = net_negotiate,
	.start = net_start,
	.stop = net_stop,
	.queue_start = net_queue_start,
	.queue_stop = net_queue_stop,
	.serve = net_serve,
	.reset = net_reset,
	.save = net_save,
	.load = net_load,
};
