/*
 * Making a network device from its options, and what the rest of trellis asks of it afterwards.
 *
 * Receive-side scaling (RSS, HASH_REPORT; virtio 1.2, 5.1.6.5.6) is not offered: a tap chooses the queue of a
 * flow by itself, from where the flow's last frame came out, and could not be held to the driver's table.
 */
#include "devices/virtio/virtio_net.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/virtio/virtio_net_internal.h"

/* Configuration space (5.1.4) without the fields of RSS; all of it is the driver's to read only. */
enum {
	CONFIG_BYTES = offsetof(struct virtio_net_config, duplex) + 1,
	MTU_MIN = 68, /* RFC 791, and 5.1.4.1 */
	MTU_MAX = 65535,
};

_Static_assert(CONFIG_BYTES == 17, "virtio 1.2, 5.1.4");

static uint64_t features_of(const struct virtio_net_options *o)
{
	uint64_t f = BIT(MAC) | BIT(STATUS) | BIT(MRG_RXBUF) | BIT(CTRL_VQ) | BIT(CTRL_RX) |
		     BIT(CTRL_RX_EXTRA) | BIT(CTRL_VLAN) | BIT(CTRL_MAC_ADDR) | BIT(GUEST_ANNOUNCE) |
		     BIT(SPEED_DUPLEX);

	if (o->pairs > 1)
		f |= BIT(MQ);
	if (o->mtu)
		f |= BIT(MTU);
	if (o->netdev->vnet_hdr) {
		f |= o->netdev->features & NET_HOST_OFFLOADS;
		if (o->netdev->ops->set_offloads)
			f |= o->netdev->features & NET_GUEST_OFFLOADS;
		if (f & NET_GUEST_OFFLOADS)
			f |= BIT(CTRL_GUEST_OFFLOADS);
	}
	return net_sound_features(f);
}

static int options_check(const struct virtio_net_options *o, struct err *e)
{
	const struct netdev *b = o->netdev;
	const char *link = *b->mtu_of ? b->mtu_of : b->name;

	if (!o->pairs || o->pairs > MIN(b->max_pairs, (unsigned int)NETDEV_MAX_PAIRS))
		return err_set(e, -EINVAL, "%s: queues=%u: %s has 1 to %u", o->name, o->pairs, b->name,
			       MIN(b->max_pairs, (unsigned int)NETDEV_MAX_PAIRS));
	if (o->queue_size < 2 || o->queue_size > VIRTQ_MAX_SIZE || (o->queue_size & (o->queue_size - 1)))
		return err_set(e, -EINVAL, "%s: queue-size=%u: expected a power of two from 2 to %d", o->name,
			       o->queue_size, VIRTQ_MAX_SIZE);
	if (o->mac[0] & 1)
		return err_set(
			e, -EINVAL,
			"%s: mac=%02x:...: that is a group address; expected an even first byte, e.g. 02",
			o->name, o->mac[0]);
	if (o->mtu && (o->mtu < MTU_MIN || o->mtu > MTU_MAX))
		return err_set(e, -EINVAL, "%s: mtu=%u: expected %d to %d", o->name, o->mtu, MTU_MIN,
			       MTU_MAX);
	if (o->mtu && b->mtu && o->mtu > b->mtu)
		return err_set(
			e, -EINVAL,
			"%s: mtu=%u: %s carries %u at most; ask for less, or run: ip link set dev %s mtu %u",
			o->name, o->mtu, link, b->mtu, link, o->mtu);
	return 0;
}

int virtio_net_check(const struct virtio_net_options *o, struct err *e)
{
	int rc = options_check(o, e);

	return rc < 0 ? rc : net_vhost_check(o, e);
}

static int pair_init(struct net_pair *p, struct virtio_net *n, unsigned int nr,
		     const struct virtio_net_options *o, struct err *e)
{
	char name[32];
	int rc;

	p->n = n;
	p->nr = nr;
	snprintf(name, sizeof(name), "%s-%u", o->name, nr);
	rc = iothread_init(&p->thread, name, e);
	if (rc < 0)
		return rc;
	p->thread_made = true;
	if ((rc = loop_timer_init(&p->thread.loop, &p->rx.timer, net_rx_expired, p, e)) < 0 ||
	    (rc = loop_timer_init(&p->thread.loop, &p->tx.timer, net_tx_expired, p, e)) < 0)
		return rc;
	p->rx.chain = calloc(o->queue_size, sizeof(*p->rx.chain));
	p->rx.bounce = malloc(NET_BOUNCE);
	p->tx.bounce = malloc(NET_BOUNCE);
	if (!p->rx.chain || !p->rx.bounce || !p->tx.bounce)
		return err_set(e, -ENOMEM, "%s: out of memory for %u queue pairs", o->name, o->pairs);
	return 0;
}

/* On the pair's thread. */
static void pair_timers_fini(void *ctx)
{
	struct net_pair *p = ctx;

	loop_timer_fini(&p->thread.loop, &p->rx.timer);
	loop_timer_fini(&p->thread.loop, &p->tx.timer);
}

static void pair_fini(struct net_pair *p)
{
	if (p->thread_made) {
		iothread_call(&p->thread, pair_timers_fini, p);
		iothread_fini(&p->thread);
	}
	free(p->rx.chain);
	free(p->rx.bounce);
	free(p->tx.bounce);
}

/* The back end's cable came or went; on its thread, perhaps inside one of its functions. */
static void net_link_back(void *ctx, bool up)
{
	struct virtio_net *n = ctx;

	pthread_mutex_lock(&n->lock);
	n->link_back = up;
	net_update_status_locked(n, true);
	pthread_mutex_unlock(&n->lock);
	if (up && !n->vhost)
		net_poke(n, 0);
}

static void config_init(struct virtio_net *n, const struct virtio_net_options *o)
{
	uint8_t config[CONFIG_BYTES] = { 0 };

	if (o->pairs > 1)
		put_le16(config + offsetof(struct virtio_net_config, max_virtqueue_pairs),
			 (uint16_t)o->pairs);
	put_le16(config + offsetof(struct virtio_net_config, mtu), (uint16_t)o->mtu);
	put_le32(config + offsetof(struct virtio_net_config, speed), UINT32_MAX); /* unknown, as is duplex */
	config[offsetof(struct virtio_net_config, duplex)] = 0xff;
	virtio_config_put(&n->dev, 0, config, sizeof(config), false);
}

static int net_init(struct virtio_net *n, const struct virtio_net_options *o, const struct gmem *mem,
		    struct err *e)
{
	int rc = virtio_init(&n->dev, o->name, VIRTIO_ID_NET, &net_ops, mem, features_of(o), 2 * o->pairs + 1,
			     o->queue_size, CONFIG_BYTES, e);

	for (unsigned int i = 0; i < n->nr_pairs && rc == 0; i++)
		rc = pair_init(&n->pair[i], n, i, o, e);
	if (rc == 0)
		rc = net_vhost_choose(n, o, mem, e);
	if (rc < 0)
		return rc;
	for (unsigned int i = 0; i < n->nr_pairs; i++)
		n->dev.queue[2 * i].thread = n->dev.queue[2 * i + 1].thread = &n->pair[i].thread;
	n->dev.queue[2 * n->nr_pairs].thread = &n->pair[0].thread;
	config_init(n, o);
	net_reset(&n->dev);
	return 0;
}

int virtio_net_new(struct virtio_net **out, const struct virtio_net_options *o, const struct gmem *mem,
		   struct err *e)
{
	struct virtio_net *n;
	int rc;

	*out = NULL;
	rc = options_check(o, e);
	if (rc < 0)
		return rc;
	n = calloc(1, sizeof(*n));
	if (n)
		n->pair = calloc(o->pairs, sizeof(*n->pair));
	if (!n || !n->pair) {
		free(n);
		return err_set(e, -ENOMEM, "%s: out of memory for %u queue pairs", o->name, o->pairs);
	}
	n->nr_pairs = o->pairs;
	for (unsigned int i = 0; i < n->nr_pairs; i++) {
		n->pair[i].rx.timer.fd = n->pair[i].tx.timer.fd = -1;
		n->pair[i].call[0].fd = n->pair[i].call[1].fd = -1;
	}
	n->netdev = o->netdev;
	n->mtu = o->mtu;
	n->ctrl_q = 2 * o->pairs;
	n->link_user = n->link_back = true;
	memcpy(n->default_mac, o->mac, sizeof(n->default_mac));
	pthread_mutex_init(&n->lock, NULL);
	throttle_init(&n->in, &o->rate_in);
	throttle_init(&n->out, &o->rate_out);
	rc = net_init(n, o, mem, e);
	if (rc < 0) {
		virtio_net_free(n);
		return rc;
	}
	n->netdev->link = net_link_back;
	n->netdev->link_ctx = n;
	*out = n;
	return 0;
}

void virtio_net_free(struct virtio_net *n)
{
	if (!n)
		return;
	if (n->netdev->link_ctx == n)
		n->netdev->link = NULL;
	for (unsigned int i = 0; i < n->nr_pairs; i++)
		pair_fini(&n->pair[i]);
	net_vhost_close(n);
	virtio_fini(&n->dev);
	throttle_fini(&n->in);
	throttle_fini(&n->out);
	pthread_mutex_destroy(&n->lock);
	free(n->pair);
	free(n);
}

struct virtio_dev *virtio_net_dev(struct virtio_net *n)
{
	return &n->dev;
}

bool virtio_net_uses_vhost(const struct virtio_net *n)
{
	return n->vhost;
}

void virtio_net_set_link(struct virtio_net *n, bool up)
{
	pthread_mutex_lock(&n->lock);
	n->link_user = up;
	net_update_status_locked(n, true);
	pthread_mutex_unlock(&n->lock);
}

void virtio_net_announce(struct virtio_net *n)
{
	pthread_mutex_lock(&n->lock);
	if (n->can_announce) {
		n->announce = true;
		net_update_status_locked(n, true);
	}
	pthread_mutex_unlock(&n->lock);
}

/* Including the wait that goes on. */
static uint64_t throttled_ns(struct throttle *t)
{
	uint64_t ns, now = clock_now_ns();

	pthread_mutex_lock(&t->lock);
	ns = t->waited_ns;
	if (t->waiting_since_ns && now > t->waiting_since_ns)
		ns += now - t->waiting_since_ns;
	pthread_mutex_unlock(&t->lock);
	return ns;
}

void virtio_net_get_stats(struct virtio_net *n, struct virtio_net_stats *s)
{
	*s = (struct virtio_net_stats){ .in_throttled_ns = throttled_ns(&n->in),
					.out_throttled_ns = throttled_ns(&n->out) };
	for (unsigned int i = 0; i < n->nr_pairs; i++) {
		struct net_stats *p = &n->pair[i].stats;

		s->rx_frames += atomic_load_explicit(&p->rx_frames, memory_order_relaxed);
		s->rx_bytes += atomic_load_explicit(&p->rx_bytes, memory_order_relaxed);
		s->rx_dropped += atomic_load_explicit(&p->rx_dropped, memory_order_relaxed);
		s->tx_frames += atomic_load_explicit(&p->tx_frames, memory_order_relaxed);
		s->tx_bytes += atomic_load_explicit(&p->tx_bytes, memory_order_relaxed);
		s->tx_dropped += atomic_load_explicit(&p->tx_dropped, memory_order_relaxed);
	}
}
