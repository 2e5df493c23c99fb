/*
 * A pair of queues that the kernel serves (vhost-net): when, and with which descriptors. The rest of the device
 * stays ours: features, control queue, configuration space. What we do not see then: frames are neither
 * counted nor filtered, and a link that is down is only said to be.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/virtio_net_internal.h"
#include "vmm/base/log.h"

static void call_ready(void *ctx, uint32_t events)
{
	struct net_call *call = ctx;
	struct virtio_dev *d = &call->pair->n->dev;
	uint64_t count;

	(void)events;
	if (read(call->fd, &count, sizeof(count)) == sizeof(count))
		d->transport->interrupt(d->transport_ctx, call->q);
}

/*
 * Where the kernel signals used buffers: straight at the machine's interrupt; where there is none, at an
 * eventfd of ours whose reader makes one. The vector is the one of now: drivers set it before DRIVER_OK.
 */
static int call_open(struct net_pair *p, unsigned int q)
{
	struct virtio_dev *d = &p->n->dev;
	struct net_call *call = &p->call[q & 1];
	int fd = d->transport->call_fd ? d->transport->call_fd(d->transport_ctx, q) : -1;
	int rc;

	if (fd >= 0)
		return fd;
	call->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (call->fd < 0)
		return -errno;
	call->pair = p;
	call->q = q;
	call->source = (struct loop_source){ .fd = call->fd, .ready = call_ready, .ctx = call };
	rc = loop_add(&p->thread.loop, &call->source, EPOLLIN);
	call->polled = rc == 0;
	return rc < 0 ? rc : call->fd;
}

static void calls_close(struct net_pair *p)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(p->call); i++) {
		struct net_call *call = &p->call[i];

		if (call->polled)
			loop_del(&p->thread.loop, &call->source);
		call->polled = false;
		if (call->fd >= 0)
			close(call->fd);
		call->fd = -1;
	}
}

int net_vhost_queue_start(struct net_pair *p, unsigned int q)
{
	struct virtio_dev *d = &p->n->dev;
	unsigned int rx = 2 * p->nr, tx = rx + 1;
	int rx_call, tx_call, rc;

	if (p->vhost_queues == 0) {
		p->vhost_queues = 1;
		d->queue[q].kernel = true;
		return 0;
	}
	rx_call = call_open(p, rx);
	tx_call = rx_call < 0 ? rx_call : call_open(p, tx);
	rc = MIN(rx_call, tx_call);
	if (rc >= 0)
		rc = vhost_net_start(&p->vhost, d->negotiated, &d->queue[rx].vq, &d->queue[tx].vq,
				     d->transport->kick_fd(d->transport_ctx, rx),
				     d->transport->kick_fd(d->transport_ctx, tx), rx_call, tx_call,
				     p->n->netdev->ops->fd(p->n->netdev, p->nr));
	if (rc < 0) {
		calls_close(p);
		return rc;
	}
	p->vhost_queues = 2;
	p->vhost_running = true;
	d->queue[q].kernel = true;
	return 0;
}

void net_vhost_queue_stop(struct net_pair *p)
{
	if (p->vhost_running) {
		vhost_net_stop(&p->vhost, net_rx_vq(p), net_tx_vq(p));
		calls_close(p);
		p->vhost_running = false;
	}
	p->vhost_queues--;
}

void net_vhost_close(struct virtio_net *n)
{
	for (unsigned int i = 0; i < n->nr_pairs; i++)
		if (n->pair[i].vhost.open)
			vhost_net_close(&n->pair[i].vhost);
}

static int net_vhost_possible(const struct virtio_net_options *o, struct err *e)
{
	struct netdev *b = o->netdev;
	const bool checked = !b->ops; /* by netdev_tap_check(): there will be descriptors */

	if (!b->vnet_hdr || !(checked || (b->ops->fd && b->ops->fd(b, 0) >= 0)))
		return err_set(e, -EINVAL, "vhost works with a tap that has virtio headers, and %s is none",
			       b->name);
	if (o->rate_in.bytes || o->rate_in.ops || o->rate_out.bytes || o->rate_out.ops)
		return err_set(e, -EINVAL,
			       "vhost knows no rate limits, so rate-in= and rate-out= cannot be had with it");
	return 0;
}

/* Returns rc, a negative errno. */
static int net_vhost_refuse(int rc, const struct virtio_net_options *o, const struct err *why, struct err *e)
{
	return err_set(e, rc, "%s: vhost=on: %s; vhost=try goes on without", o->name, why->text);
}

int net_vhost_check(const struct virtio_net_options *o, struct err *e)
{
	struct err why = { 0 };
	int rc;

	if (o->vhost != VHOST_ON)
		return 0;
	if ((rc = net_vhost_possible(o, &why)) < 0 || (rc = vhost_net_check(&why)) < 0)
		return net_vhost_refuse(rc, o, &why, e);
	return 0;
}

static int net_vhost_open(struct virtio_net *n, const struct virtio_net_options *o, const struct gmem *mem,
			  struct err *e)
{
	int rc = net_vhost_possible(o, e);

	for (unsigned int i = 0; i < n->nr_pairs && rc == 0; i++)
		rc = vhost_net_open(&n->pair[i].vhost, mem, e);
	if (rc < 0)
		net_vhost_close(n);
	return rc;
}

int net_vhost_choose(struct virtio_net *n, const struct virtio_net_options *o, const struct gmem *mem,
		     struct err *e)
{
	struct err why = { 0 };
	int rc;

	if (o->vhost == VHOST_OFF)
		return 0;
	rc = net_vhost_open(n, o, mem, &why);
	if (rc == 0) {
		n->vhost = true;
		n->dev.features = net_sound_features(vhost_net_mask(&n->pair[0].vhost, n->dev.features));
	} else if (o->vhost == VHOST_ON) {
		return net_vhost_refuse(rc, o, &why, e);
	} else {
		log_info("%s: without vhost: %s", o->name, why.text);
	}
	return 0;
}
