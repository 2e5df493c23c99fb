/*
 * Receiving (virtio 1.2, 5.1.6.3 and 5.1.6.4): frames from the back end are read straight into the driver's
 * buffers. Buffers are taken from the ring until the largest frame to be expected fits, and what a frame does
 * not use stays for the next. Behind them lies a bounce buffer, so that no frame is cut: one that turns out
 * larger waits there for further buffers. The header goes through a copy of ours, as its last field is not
 * known before the frame is.
 *
 * It does not look into frames beyond the addresses that the filter needs.
 */
#include <errno.h>

#include "devices/virtio/virtio_net_internal.h"
#include "vmm/base/log.h"

static bool merges(const struct net_pair *p)
{
	return virtio_has(&p->n->dev, VIRTIO_NET_F_MRG_RXBUF);
}

/* How much of a frame, its header included, a buffer can hold: nothing if it is not all RAM, or tiny. */
static size_t rx_room(const struct chain *c)
{
	size_t room = chain_writable(c);

	return chain_in_ok(c) && room >= NET_HDR ? room : 0;
}

/*
 * Buffers go back to the driver in the order in which they came, so that those which are left when the queue
 * stops are the last, and can be put back (virtq_unpop()). A useless one goes back empty, but only when it is the
 * first; behind others it becomes a part, of no bytes, of the frame around it.
 */
static void rx_shed(struct net_rx *rx)
{
	unsigned int n = 0;

	while (n < rx->nr && !rx_room(rx->chain[n]))
		chain_complete(rx->chain[n++], 0);
	if (!n)
		return;
	rx->nr -= n;
	memmove(rx->chain, rx->chain + n, rx->nr * sizeof(*rx->chain));
}

/*
 * Take buffers until they hold len bytes; without MRG_RXBUF one, whatever its size. Useless ones cost budget, for
 * a driver may never tire of them.
 */
static void rx_collect(struct net_pair *p, size_t len, unsigned int *budget)
{
	struct net_rx *rx = &p->rx;
	struct chain *c;
	size_t room;

	while (*budget && rx->bytes < len && (rx->nr == 0 || merges(p))) {
		c = virtq_pop(net_rx_vq(p));
		if (!c)
			return;
		room = rx_room(c);
		rx->chain[rx->nr++] = c; /* as many as the ring has entries, at most: virtq_pop() */
		rx->bytes += MIN(room, SIZE_MAX - rx->bytes);
		if (!room) {
			rx_shed(rx);
			--*budget;
		}
	}
}

/* As rx_collect(). When that is not enough, the driver is asked to kick for its next buffer. */
static bool rx_collect_or_ask(struct net_pair *p, size_t len, unsigned int *budget)
{
	struct virtq *vq = net_rx_vq(p);

	rx_collect(p, len, budget);
	if (p->rx.bytes >= len)
		return true;
	virtq_flush(vq); /* what the driver gets back now, it can give again */
	if (virtq_want_kicks(vq)) {
		virtq_no_kicks(vq);
		rx_collect(p, len, budget); /* came in between */
		if (p->rx.bytes < len && virtq_want_kicks(vq))
			net_poke(p->n, vq->nr);
	}
	return p->rx.bytes >= len;
}

/* Lay out where the next frame goes. Returns how many segments; *first is the first one behind the header. */
static unsigned int rx_layout(struct net_pair *p, unsigned int *first)
{
	struct net_rx *rx = &p->rx;
	unsigned int nr = 0;
	size_t skip = NET_HDR, part;

	if (p->n->netdev->vnet_hdr)
		p->iov[nr++] = (struct iovec){ &rx->hdr, NET_HDR };
	*first = nr;
	rx->direct = NET_HDR;
	for (unsigned int i = 0; i < rx->nr; i++) {
		const struct chain *c = rx->chain[i];

		if (!rx_room(c))
			continue;
		for (unsigned int k = 0; k < c->nr_in; k++) {
			if (nr == NET_IOV - 1 || rx->direct > NET_BOUNCE)
				goto full;
			part = MIN(skip, c->in[k].iov_len);
			skip -= part;
			if (c->in[k].iov_len == part)
				continue;
			p->iov[nr++] = (struct iovec){ (uint8_t *)c->in[k].iov_base + part,
						       c->in[k].iov_len - part };
			rx->direct += c->in[k].iov_len - part;
		}
	}
full:
	p->iov[nr++] = (struct iovec){ rx->bounce, NET_BOUNCE };
	return nr;
}

/* The first bytes of the frame, from where they lie. Returns how many. */
static size_t rx_peek(const struct iovec *iov, unsigned int nr, uint8_t *bytes, size_t len)
{
	size_t got = 0;

	for (unsigned int i = 0; i < nr && got < len; i++) {
		size_t part = MIN(iov[i].iov_len, len - got);

		memcpy(bytes + got, iov[i].iov_base, part);
		got += part;
	}
	return got;
}

/*
 * What the driver may be told about the frame (5.1.6.4.1). The back end was asked for nothing else, but frames
 * may have waited in it since before that, and a tap says DATA_VALID to everybody. False: the driver could
 * make nothing of it.
 */
static bool rx_check_hdr(const struct virtio_net *n, struct virtio_net_hdr_v1 *hdr)
{
	if (!n->netdev->vnet_hdr) {
		*hdr = (struct virtio_net_hdr_v1){ 0 };
		return true;
	}
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE && !(n->dev.negotiated & NET_GUEST_LARGE))
		return false;
	if (!virtio_has(&n->dev, VIRTIO_NET_F_GUEST_CSUM)) {
		*hdr = (struct virtio_net_hdr_v1){ 0 };
		return true;
	}
	hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		hdr->csum_start = hdr->csum_offset = 0;
	return true;
}

/* Take a frame in hand. Returns 1; 0: there was one, and it is not for the driver; -EAGAIN; other: no back end. */
static int rx_take(struct net_pair *p)
{
	struct net_rx *rx = &p->rx;
	unsigned int first, nr = rx_layout(p, &first);
	uint8_t start[18];
	size_t len;
	int rc;

	rc = p->n->netdev->ops->recv(p->n->netdev, p->nr, p->iov, nr);
	if (rc < 0)
		return rc;
	len = (size_t)rc;
	if (p->n->netdev->vnet_hdr)
		len -= MIN(len, (size_t)NET_HDR);
	if (len < NET_MIN_FRAME || len > NETDEV_MAX_FRAME) {
		net_count(&p->stats.rx_dropped, 1);
		return 0;
	}
	rx_peek(p->iov + first, nr - first, start, MIN(len, sizeof(start)));
	if (!net_filter_passes(&p->filter, start, MIN(len, sizeof(start))))
		return 0; /* somebody else's: not dropped */
	if (!atomic_load_explicit(&p->n->link, memory_order_relaxed) || !rx_check_hdr(p->n, &rx->hdr)) {
		net_count(&p->stats.rx_dropped, 1);
		return 0;
	}
	rx->held = NET_HDR + len;
	rx->paid = rx->asked = false;
	return 1;
}

/* May the frame in hand go on, by the rate limit? If not, the timer is set. */
static bool rx_pay(struct net_pair *p)
{
	struct net_rx *rx = &p->rx;
	uint64_t wait;

	if (rx->paid || !throttle_active(&p->n->in))
		return true;
	wait = throttle_take(&p->n->in, clock_now_ns(), rx->held - NET_HDR, rx->asked);
	rx->paid = wait == 0;
	rx->asked = true;
	if (wait) {
		rx->wait = NET_RX_THROTTLED;
		loop_timer_arm(&rx->timer, wait);
	}
	return rx->paid;
}

static void rx_drop(struct net_pair *p)
{
	if (p->rx.held)
		net_count(&p->stats.rx_dropped, 1);
	p->rx.held = 0;
}

/*
 * Complete chain c with bytes [off, off + len) of the frame in hand, header included: those before direct are in
 * place, the rest is in the bounce buffer.
 */
static void rx_complete(struct net_pair *p, struct chain *c, size_t off, size_t len)
{
	struct net_rx *rx = &p->rx;
	size_t at = off, end = off + len;
	int rc = 0;

	if (at == 0) {
		rc = chain_write(c, &rx->hdr, NET_HDR);
		at = NET_HDR;
	}
	if (rc == 0 && at < rx->direct) {
		size_t part = MIN(end, rx->direct) - at;

		rc = chain_skip_in(c, part);
		at += part;
	}
	if (rc == 0 && at < end)
		rc = chain_write(c, rx->bounce + (at - rx->direct), end - at);
	chain_complete(c, rc < 0 ? 0 : (uint32_t)len); /* rc < 0: cannot be, rx_collect() looked */
}

/* The frame in hand fits: give it to the driver, in as few buffers as it takes. */
static void rx_deliver(struct net_pair *p)
{
	struct net_rx *rx = &p->rx;
	size_t off = 0, room;
	unsigned int used = 0;

	for (size_t have = 0; have < rx->held; used++)
		have += MIN(rx_room(rx->chain[used]), SIZE_MAX - have);
	rx->hdr.num_buffers = htole16((uint16_t)used); /* 1 without MRG_RXBUF as well (5.1.6.4.1) */
	for (unsigned int i = 0; i < used; i++) {
		size_t len;

		room = rx_room(rx->chain[i]);
		len = MIN(room, rx->held - off);
		rx_complete(p, rx->chain[i], off, len);
		off += len;
		rx->bytes -= MIN(room, rx->bytes);
	}
	rx->nr -= used;
	memmove(rx->chain, rx->chain + used, rx->nr * sizeof(*rx->chain));
	rx_shed(rx);
	net_count(&p->stats.rx_frames, 1);
	net_count(&p->stats.rx_bytes, rx->held - NET_HDR);
	rx->held = 0;
}

/* Bring the frame in hand to its end, if that can be now. False: it waits, and rx->wait says for what. */
static bool rx_finish(struct net_pair *p, unsigned int *budget)
{
	struct net_rx *rx = &p->rx;

	if (!rx_pay(p))
		return false;
	if (rx->bytes < rx->held && !merges(p)) {
		rx_drop(p); /* the driver's buffers are as large as it wants frames (5.1.6.3.1) */
		return true;
	}
	if (rx->bytes < rx->held && !rx_collect_or_ask(p, rx->held, budget)) {
		rx->wait = NET_RX_SHORT;
		loop_timer_arm(&rx->timer, NET_SHORT_WAIT_NS);
		return false;
	}
	rx_deliver(p);
	return true;
}

/* The back end failed. It is asked again when the driver kicks or the link comes back. */
static void rx_gone(struct net_pair *p, int rc)
{
	struct virtio_net *n = p->n;

	p->rx.wait = NET_RX_GONE;
	if (p->nr < atomic_load(&n->active_pairs) && !atomic_exchange(&n->warned_gone, true))
		log_warn("%s: no frames from %s: %s", n->dev.name, n->netdev->name, strerror(-rc));
}

static void rx_refresh_filter(struct net_pair *p)
{
	struct virtio_net *n = p->n;

	if (p->filter_generation == atomic_load_explicit(&n->filter_generation, memory_order_acquire))
		return;
	pthread_mutex_lock(&n->lock);
	p->filter = n->filter;
	p->filter_generation = atomic_load(&n->filter_generation);
	pthread_mutex_unlock(&n->lock);
}

/* One step towards the next frame. False: nothing can be done until an event. */
static bool rx_step(struct net_pair *p, unsigned int *budget)
{
	struct net_rx *rx = &p->rx;
	int rc;

	if (!rx->held) {
		rx_collect(p, NET_HDR + atomic_load_explicit(&p->n->frame_max, memory_order_relaxed), budget);
		if (rx->nr == 0 && !rx_collect_or_ask(p, NET_HDR, budget)) {
			rx->wait = NET_RX_STARVED;
			return false;
		}
		rc = rx_take(p);
		if (rc == -EAGAIN)
			return false;
		if (rc < 0) {
			rx_gone(p, rc);
			return false;
		}
		if (rc == 0)
			return true;
	}
	return rx_finish(p, budget);
}

void net_rx_run(struct net_pair *p)
{
	struct virtq *vq = net_rx_vq(p);
	unsigned int budget = NET_BATCH;

	if (!p->rx.running || p->rx.wait != NET_RX_GO || p->nr >= atomic_load(&p->n->active_pairs))
		return;
	if (atomic_load(&p->n->dev.needs_reset)) {
		p->rx.wait = NET_RX_STARVED; /* no buffer is touched until the reset (2.1.2) */
		return;
	}
	rx_refresh_filter(p);
	while (budget && rx_step(p, &budget)) {
		budget -= budget > 0;
		if (budget % NET_FLUSH == 0)
			virtq_flush(vq);
	}
	virtq_flush(vq);
	/* A frame that is there wakes the loop again by itself; one that we hold does not. */
	if (!budget && p->rx.wait == NET_RX_GO && p->rx.held)
		net_poke(p->n, vq->nr);
}

void net_rx_serve(struct net_pair *p)
{
	if (p->rx.wait != NET_RX_THROTTLED)
		p->rx.wait = NET_RX_GO;
	if (p->rx.wait == NET_RX_GO)
		virtq_no_kicks(net_rx_vq(p));
	net_rx_run(p);
}

void net_rx_expired(void *ctx)
{
	struct net_pair *p = ctx;

	if (!p->rx.running || (p->rx.wait != NET_RX_THROTTLED && p->rx.wait != NET_RX_SHORT))
		return;
	if (p->rx.wait == NET_RX_SHORT)
		rx_drop(p); /* all the driver has may be with us already: then it would wait for ever */
	p->rx.wait = NET_RX_GO;
	net_rx_run(p);
	net_update_want(p);
}

void net_rx_start(struct net_pair *p)
{
	p->rx.running = true;
	p->rx.wait = NET_RX_GO;
	p->rx.nr = 0;
	p->rx.bytes = p->rx.held = 0;
	p->filter_generation = atomic_load(&p->n->filter_generation) - 1; /* none yet */
}

void net_rx_stop(struct net_pair *p)
{
	loop_timer_disarm(&p->rx.timer);
	rx_drop(p);
	while (p->rx.nr)
		virtq_unpop(net_rx_vq(p), p->rx.chain[--p->rx.nr]);
	p->rx.bytes = 0;
	p->rx.running = false;
}
