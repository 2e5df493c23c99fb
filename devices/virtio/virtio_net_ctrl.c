/*
 * The control queue (virtio 1.2, 5.1.6.5), and the receive filter which most of it is about. A command is
 * carried out when its length is exactly right and its feature was negotiated; all else is answered
 * VIRTIO_NET_ERR.
 */
#include <errno.h>

#include "devices/virtio/virtio_net_internal.h"

enum { ETH_TYPE_VLAN = 0x8100 };

/* ---- the filter ---- */

void net_filter_reset(struct net_filter *f, const uint8_t mac[6])
{
	*f = (struct net_filter){ .promisc = true, .vlan_all = true };
	memcpy(f->mac, mac, sizeof(f->mac));
}

static bool macs_have(const struct net_macs *m, const uint8_t *mac)
{
	for (unsigned int i = 0; i < m->nr; i++)
		if (!memcmp(m->mac[i], mac, sizeof(m->mac[i])))
			return true;
	return false;
}

static bool vlan_passes(const struct net_filter *f, const uint8_t *frame, size_t len)
{
	unsigned int id;

	if (f->vlan_all || len < 16 || frame[12] != ETH_TYPE_VLAN >> 8 || frame[13] != (ETH_TYPE_VLAN & 0xff))
		return true;
	id = (frame[14] << 8 | frame[15]) & (NET_MAX_VLANS - 1);
	return f->vlans[id / 8] >> (id % 8) & 1;
}

/* In the order that QEMU asks, which drivers are used to. */
bool net_filter_passes(const struct net_filter *f, const uint8_t *frame, size_t len)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (f->promisc)
		return true;
	if (len < NET_MIN_FRAME || !vlan_passes(f, frame, len))
		return false;
	if (!memcmp(frame, broadcast, sizeof(broadcast)))
		return !f->nobcast;
	if (frame[0] & 1)
		return !f->nomulti && (f->allmulti || f->multi.overflow || macs_have(&f->multi, frame));
	return !f->nouni && (f->alluni || f->uni.overflow || !memcmp(frame, f->mac, sizeof(f->mac)) ||
			     macs_have(&f->uni, frame));
}

static void macs_save(const struct net_macs *m, struct buf *b)
{
	buf_put8(b, m->overflow);
	buf_put8(b, (uint8_t)m->nr);
	buf_put(b, m->mac, m->nr * sizeof(m->mac[0]));
}

static int macs_load(struct net_macs *m, struct state_reader *r, struct err *e)
{
	m->overflow = state_get8(r);
	m->nr = state_get8(r);
	if (m->nr > NET_MAX_MACS)
		return err_set(e, -EINVAL,
			       "saved state filters %u addresses of a network device, possible are %d", m->nr,
			       NET_MAX_MACS);
	state_get(r, m->mac, m->nr * sizeof(m->mac[0]));
	return 0;
}

/* The flags in the order of the commands that set them; vlan_all follows from the features. */
void net_filter_save(const struct net_filter *f, struct buf *b)
{
	buf_put8(b, f->promisc);
	buf_put8(b, f->allmulti);
	buf_put8(b, f->alluni);
	buf_put8(b, f->nomulti);
	buf_put8(b, f->nouni);
	buf_put8(b, f->nobcast);
	buf_put(b, f->mac, sizeof(f->mac));
	macs_save(&f->uni, b);
	macs_save(&f->multi, b);
	buf_put(b, f->vlans, sizeof(f->vlans));
}

int net_filter_load(struct net_filter *f, struct state_reader *r, struct err *e)
{
	int rc;

	*f = (struct net_filter){ .vlan_all = true };
	f->promisc = state_get8(r);
	f->allmulti = state_get8(r);
	f->alluni = state_get8(r);
	f->nomulti = state_get8(r);
	f->nouni = state_get8(r);
	f->nobcast = state_get8(r);
	state_get(r, f->mac, sizeof(f->mac));
	if ((rc = macs_load(&f->uni, r, e)) < 0 || (rc = macs_load(&f->multi, r, e)) < 0)
		return rc;
	state_get(r, f->vlans, sizeof(f->vlans));
	return 0;
}

/* ---- commands; each returns whether it was carried out. Under n->lock ---- */

/* The command's data, if it is exactly len bytes. */
static bool ctrl_data(struct chain *c, void *bytes, size_t len)
{
	return chain_readable(c) == len && chain_read(c, bytes, len) == 0;
}

static bool has(const struct virtio_net *n, unsigned int feature)
{
	return virtio_has(&n->dev, feature);
}

static bool ctrl_rx_locked(struct virtio_net *n, uint8_t command, struct chain *c)
{
	struct net_filter *f = &n->filter;
	bool *const flag[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &f->promisc, [VIRTIO_NET_CTRL_RX_ALLMULTI] = &f->allmulti,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &f->alluni,   [VIRTIO_NET_CTRL_RX_NOMULTI] = &f->nomulti,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &f->nouni,     [VIRTIO_NET_CTRL_RX_NOBCAST] = &f->nobcast,
	};
	bool extra = command >= VIRTIO_NET_CTRL_RX_ALLUNI;
	uint8_t on;

	if (command >= ARRAY_SIZE(flag) || !has(n, extra ? VIRTIO_NET_F_CTRL_RX_EXTRA : VIRTIO_NET_F_CTRL_RX))
		return false;
	if (!ctrl_data(c, &on, sizeof(on)))
		return false;
	*flag[command] = on;
	return true;
}

/* One table: le32 entries, addresses. More than we hold are passed over, and their kind is not filtered. */
static bool read_macs(struct net_macs *m, struct chain *c)
{
	uint32_t entries;
	size_t len;

	*m = (struct net_macs){ 0 };
	if (chain_read(c, &entries, sizeof(entries)) < 0)
		return false;
	entries = le32toh(entries);
	len = (size_t)entries * sizeof(m->mac[0]); /* 32 bits by 6: cannot overflow */
	if (entries > NET_MAX_MACS) {
		m->overflow = true;
		return chain_skip_out(c, len) == 0;
	}
	m->nr = entries;
	return chain_read(c, m->mac, len) == 0;
}

static bool ctrl_mac_locked(struct virtio_net *n, uint8_t command, struct chain *c)
{
	struct net_macs uni, multi;
	uint8_t mac[6];

	switch (command) {
	case VIRTIO_NET_CTRL_MAC_ADDR_SET:
		if (!has(n, VIRTIO_NET_F_CTRL_MAC_ADDR) || !ctrl_data(c, mac, sizeof(mac)))
			return false;
		memcpy(n->filter.mac, mac, sizeof(mac));
		virtio_config_put(&n->dev, offsetof(struct virtio_net_config, mac), mac, sizeof(mac), false);
		return true;
	case VIRTIO_NET_CTRL_MAC_TABLE_SET:
		if (!has(n, VIRTIO_NET_F_CTRL_RX) || !read_macs(&uni, c) || !read_macs(&multi, c) ||
		    chain_readable(c) != 0)
			return false;
		n->filter.uni = uni;
		n->filter.multi = multi;
		return true;
	default:
		return false;
	}
}

static bool ctrl_vlan_locked(struct virtio_net *n, uint8_t command, struct chain *c)
{
	uint8_t data[2], *byte;
	unsigned int id;

	if (!has(n, VIRTIO_NET_F_CTRL_VLAN) || !ctrl_data(c, data, sizeof(data)))
		return false;
	id = get_le16(data);
	if (id >= NET_MAX_VLANS)
		return false;
	byte = &n->filter.vlans[id / 8];
	switch (command) {
	case VIRTIO_NET_CTRL_VLAN_ADD:
		*byte |= (uint8_t)(1u << (id % 8));
		return true;
	case VIRTIO_NET_CTRL_VLAN_DEL:
		*byte &= (uint8_t) ~(1u << (id % 8));
		return true;
	default:
		return false;
	}
}

static bool ctrl_announce_locked(struct virtio_net *n, uint8_t command, struct chain *c)
{
	if (!has(n, VIRTIO_NET_F_GUEST_ANNOUNCE) || command != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
	    chain_readable(c) != 0)
		return false;
	n->announce = false;
	net_update_status_locked(n, false);
	return true;
}

static bool ctrl_mq_locked(struct virtio_net *n, uint8_t command, struct chain *c)
{
	uint8_t data[2];
	unsigned int pairs;

	if (!has(n, VIRTIO_NET_F_MQ) || command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    !ctrl_data(c, data, sizeof(data)))
		return false;
	pairs = get_le16(data);
	return pairs >= VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN && pairs <= n->nr_pairs &&
	       net_set_pairs_locked(n, pairs) == 0;
}

static bool ctrl_offloads_locked(struct virtio_net *n, uint8_t command, struct chain *c)
{
	uint8_t data[8];
	uint64_t offloads;

	if (!has(n, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    !ctrl_data(c, data, sizeof(data)))
		return false;
	offloads = get_le64(data);
	if ((offloads & ~(n->dev.negotiated & NET_GUEST_OFFLOADS)) ||
	    net_set_offloads_locked(n, offloads) < 0)
		return false;
	n->offloads_chosen = true;
	return true;
}

static bool ctrl_execute_locked(struct virtio_net *n, const struct virtio_net_ctrl_hdr *hdr, struct chain *c)
{
	switch (hdr->class) {
	case VIRTIO_NET_CTRL_RX:
		return ctrl_rx_locked(n, hdr->cmd, c);
	case VIRTIO_NET_CTRL_MAC:
		return ctrl_mac_locked(n, hdr->cmd, c);
	case VIRTIO_NET_CTRL_VLAN:
		return ctrl_vlan_locked(n, hdr->cmd, c);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return ctrl_announce_locked(n, hdr->cmd, c);
	case VIRTIO_NET_CTRL_MQ:
		return ctrl_mq_locked(n, hdr->cmd, c);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return ctrl_offloads_locked(n, hdr->cmd, c);
	default:
		return false;
	}
}

/* ---- the queue ---- */

static void ctrl_serve_one(struct virtio_net *n, struct chain *c)
{
	struct virtio_net_ctrl_hdr hdr;
	uint8_t *ack;
	bool ok;

	if (chain_cut_tail(c, &ack, 1) < 0) {
		chain_complete(c, 0);
		return;
	}
	ok = chain_read(c, &hdr, sizeof(hdr)) == 0;
	if (ok) {
		pthread_mutex_lock(&n->lock);
		ok = ctrl_execute_locked(n, &hdr, c);
		if (ok)
			atomic_fetch_add_explicit(&n->filter_generation, 1, memory_order_release);
		pthread_mutex_unlock(&n->lock);
	}
	*ack = ok ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	/* A length counts from the first byte on: with others in front that we did not write, there is none. */
	chain_complete(c, c->nr_in ? 0 : 1);
}

void net_ctrl_serve(struct virtio_net *n, unsigned int q)
{
	struct virtq *vq = &n->dev.queue[q].vq;
	unsigned int budget = NET_CTRL_BATCH;
	struct chain *c;

	while (budget--) {
		c = virtq_pop(vq);
		if (c)
			ctrl_serve_one(n, c);
		else if (!virtq_want_kicks(vq))
			break;
		if (!budget)
			net_poke(n, q);
	}
	virtq_flush(vq);
}
