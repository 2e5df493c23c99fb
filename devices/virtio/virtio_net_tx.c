/*
 * Transmitting (virtio 1.2, 5.1.6.2): the header is copied and made to say only what was negotiated; the frame
 * itself goes to the back end from where the driver has it. What the offsets in the header mean is for the
 * kernel to judge, which trusts no writer of a tap either.
 */
#include <errno.h>

#include "devices/virtio/virtio_net_internal.h"

/* The segmentation a driver may ask for, and what it must have negotiated (5.1.6.2.1). */
static bool gso_allowed(const struct virtio_dev *d, uint8_t type)
{
	if ((type & VIRTIO_NET_HDR_GSO_ECN) && !virtio_has(d, VIRTIO_NET_F_HOST_ECN))
		return false;
	switch (type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
		return virtio_has(d, VIRTIO_NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
	case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
		return virtio_has(d, VIRTIO_NET_F_HOST_TSO6);
	case VIRTIO_NET_HDR_GSO_UDP:
		return virtio_has(d, VIRTIO_NET_F_HOST_UFO);
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return virtio_has(d, VIRTIO_NET_F_HOST_USO);
	default:
		return false;
	}
}

/* Leave in the header what was negotiated, and zeros elsewhere. False: such a frame must not be. */
static bool tx_check_hdr(const struct virtio_dev *d, struct virtio_net_hdr_v1 *hdr)
{
	struct virtio_net_hdr_v1 clean = { 0 };

	if (virtio_has(d, VIRTIO_NET_F_CSUM) && (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		clean.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		clean.csum_start = hdr->csum_start;
		clean.csum_offset = hdr->csum_offset;
	}
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (!gso_allowed(d, hdr->gso_type))
			return false;
		clean.gso_type = hdr->gso_type;
		clean.gso_size = hdr->gso_size;
		clean.hdr_len = hdr->hdr_len;
	}
	*hdr = clean;
	return true;
}

/* Has the frame in front, of len bytes, its tokens? If not, the timer is set. */
static bool tx_pay(struct net_pair *p, size_t len)
{
	struct net_tx *tx = &p->tx;
	uint64_t wait;

	/* What was paid before the back end said no still counts, for as much as the frame was then. */
	if (!throttle_active(&p->n->out) || len <= tx->paid)
		return true;
	wait = throttle_take(&p->n->out, clock_now_ns(), len - tx->paid, tx->asked);
	if (wait) {
		tx->asked = tx->throttled = true;
		loop_timer_arm(&tx->timer, wait);
		return false;
	}
	tx->asked = false;
	tx->paid = len;
	return true;
}

/* Hand the frame over. Returns as netdev_ops.send. */
static int tx_send(struct net_pair *p, struct chain *c, struct virtio_net_hdr_v1 *hdr, size_t len)
{
	struct netdev *b = p->n->netdev;
	unsigned int nr = 0;

	if (b->vnet_hdr)
		p->iov[nr++] = (struct iovec){ hdr, NET_HDR };
	if (c->nr_out <= NET_IOV - nr) {
		memcpy(p->iov + nr, c->out, c->nr_out * sizeof(*c->out));
		nr += c->nr_out;
	} else {
		int rc = chain_read(c, p->tx.bounce, len);

		if (rc < 0)
			return rc;
		p->iov[nr++] = (struct iovec){ p->tx.bounce, len };
	}
	return b->ops->send(b, p->nr, p->iov, nr);
}

/* One frame: 0 when the chain is done with, sent or not; -EAGAIN when it has to wait. */
static int tx_frame(struct net_pair *p, struct chain *c)
{
	struct virtio_net_hdr_v1 hdr;
	size_t len;
	int rc = -EINVAL;

	if (!chain_out_ok(c) || chain_read(c, &hdr, sizeof(hdr)) < 0)
		goto drop;
	len = chain_readable(c);
	if (len < NET_MIN_FRAME || len > NETDEV_MAX_FRAME || !tx_check_hdr(&p->n->dev, &hdr))
		goto drop;
	if (!atomic_load_explicit(&p->n->link, memory_order_relaxed))
		goto drop;
	if (!tx_pay(p, len))
		return -EAGAIN;
	rc = tx_send(p, c, &hdr, len);
	if (rc == -EAGAIN) {
		p->tx.blocked = true;
		return rc;
	}
	p->tx.paid = 0;
	if (rc < 0)
		goto drop;
	net_count(&p->stats.tx_frames, 1);
	net_count(&p->stats.tx_bytes, len);
	return 0;
drop:
	net_count(&p->stats.tx_dropped, 1);
	return 0;
}

static bool tx_waits(const struct net_pair *p)
{
	return p->tx.blocked || p->tx.throttled;
}

void net_tx_run(struct net_pair *p)
{
	struct netdev *b = p->n->netdev;
	struct virtq *vq = net_tx_vq(p);
	unsigned int budget = NET_BATCH;
	struct chain *c;

	if (!p->tx.running || tx_waits(p) || atomic_load(&p->n->dev.needs_reset))
		return;
	virtq_no_kicks(vq);
	while (budget) {
		c = virtq_pop(vq);
		if (!c) {
			budget--; /* a driver that is always between its entry and its index ends as well */
			if (virtq_want_kicks(vq))
				continue;
			break;
		}
		if (tx_frame(p, c) == -EAGAIN) {
			virtq_unpop(vq, c);
			break;
		}
		chain_complete(c, 0);
		if (--budget % NET_FLUSH == 0)
			virtq_flush(vq);
	}
	if (b->ops->flush)
		b->ops->flush(b, p->nr);
	virtq_flush(vq);
	if (!budget && !tx_waits(p))
		net_poke(p->n, vq->nr); /* more may be there; the others first */
}

void net_tx_expired(void *ctx)
{
	struct net_pair *p = ctx;

	if (!p->tx.running)
		return;
	p->tx.throttled = false;
	net_tx_run(p);
	net_update_want(p);
}

void net_tx_start(struct net_pair *p)
{
	p->tx.running = true;
	p->tx.blocked = p->tx.throttled = p->tx.asked = false;
	p->tx.paid = 0;
}

void net_tx_stop(struct net_pair *p)
{
	loop_timer_disarm(&p->tx.timer);
	p->tx.running = p->tx.blocked = p->tx.throttled = false;
}
