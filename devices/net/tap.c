/*
 * Taps (Documentation/networking/tuntap.rst) and macvtaps at work: one file descriptor for each queue, frames
 * with a virtio header of 12 bytes before them. How they are opened is in tap_open.c.
 */
#include "devices/net/tap_internal.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/base/log.h"

/* Linux 6.2; younger than the kernel headers of Debian 12. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif

#define BIT(name) (1ull << VIRTIO_NET_F_##name)

static struct tap *tap_of(struct netdev *n)
{
	return (struct tap *)(void *)((char *)n - offsetof(struct tap, dev));
}

/* ---- frames ---- */

static int tap_recv(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr)
{
	ssize_t len = readv(tap_of(n)->queue[q].fd, iov, (int)nr);

	return len < 0 ? -errno : (int)len;
}

static int tap_send(struct netdev *n, unsigned int q, const struct iovec *iov, unsigned int nr)
{
	return writev(tap_of(n)->queue[q].fd, iov, (int)nr) < 0 ? -errno : 0;
}

static void tap_ready(void *ctx, uint32_t events)
{
	struct tap_queue *t = ctx;
	bool bad = events & (EPOLLERR | EPOLLHUP); /* reading and writing tell what it is */

	t->ready(t->ctx, (t->events & EPOLLIN) && (bad || (events & EPOLLIN)),
		 (t->events & EPOLLOUT) && (bad || (events & EPOLLOUT)));
}

static int tap_attach(struct netdev *n, unsigned int q, struct loop *loop,
		      void (*ready)(void *ctx, bool in, bool out), void *ctx)
{
	struct tap_queue *t = &tap_of(n)->queue[q];

	t->loop = loop;
	t->ready = ready;
	t->ctx = ctx;
	t->source = (struct loop_source){ .fd = t->fd, .ready = tap_ready, .ctx = t };
	t->events = 0;
	return 0;
}

/* A queue that nothing is wanted of leaves the loop: that of a deleted interface is in error all the time. */
static void tap_want(struct netdev *n, unsigned int q, bool in, bool out)
{
	struct tap_queue *t = &tap_of(n)->queue[q];
	uint32_t events = (in ? EPOLLIN : 0u) | (out ? EPOLLOUT : 0u);
	int rc;

	if (!t->loop || events == t->events)
		return;
	if (!events) {
		loop_del(t->loop, &t->source);
	} else if (t->events) {
		loop_mod(t->loop, &t->source, events);
	} else {
		rc = loop_add(t->loop, &t->source, events);
		if (rc < 0) { /* out of memory: the next change tries again */
			log_error("%s: cannot wait for queue %u: %s", n->name, q, strerror(-rc));
			return;
		}
	}
	t->events = events;
}

static void tap_detach(struct netdev *n, unsigned int q)
{
	struct tap_queue *t = &tap_of(n)->queue[q];

	tap_want(n, q, false, false);
	t->loop = NULL;
}

/* ---- what frames look like, and how many queues ---- */

static unsigned int tun_offloads(uint64_t f)
{
	unsigned int o = 0;

	if (!(f & BIT(GUEST_CSUM)))
		return 0;
	o = TUN_F_CSUM;
	o |= f & BIT(GUEST_TSO4) ? TUN_F_TSO4 : 0u;
	o |= f & BIT(GUEST_TSO6) ? TUN_F_TSO6 : 0u;
	o |= (f & BIT(GUEST_ECN)) && (o & (TUN_F_TSO4 | TUN_F_TSO6)) ? TUN_F_TSO_ECN : 0u;
	o |= f & BIT(GUEST_UFO) ? TUN_F_UFO : 0u;
	if ((f & BIT(GUEST_USO4)) && (f & BIT(GUEST_USO6))) /* the kernel knows both or none */
		o |= TUN_F_USO4 | TUN_F_USO6;
	return o;
}

static int tap_set_offloads(struct netdev *n, uint64_t guest_features)
{
	return ioctl(tap_of(n)->queue[0].fd, TUNSETOFFLOAD, (unsigned long)tun_offloads(guest_features)) < 0
		       ? -errno
		       : 0;
}

/*
 * Offloads are of the interface, not of a descriptor: leave them as somebody may have set them until a driver
 * decides; here they are tried and switched off, which is what a driver without any would get.
 */
static void tap_probe_offloads(struct netdev *n)
{
	static const uint64_t usual = BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN);
	static const uint64_t more[] = {
		BIT(GUEST_UFO) | BIT(GUEST_USO4) | BIT(GUEST_USO6),
		BIT(GUEST_USO4) | BIT(GUEST_USO6),
		BIT(GUEST_UFO),
		0,
	};

	n->features = BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) | BIT(HOST_UFO);
	for (unsigned int i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		if (tap_set_offloads(n, usual | more[i]) < 0)
			continue;
		n->features |= usual | more[i];
		if (more[i] & BIT(GUEST_USO4)) /* came with the other direction */
			n->features |= BIT(HOST_USO);
		break;
	}
	(void)tap_set_offloads(n, 0);
}

/* With one queue there is nothing to change, and the kernel, which would refuse to detach it, is not asked. */
static int tap_set_pairs(struct netdev *n, unsigned int pairs)
{
	struct tap *t = tap_of(n);

	for (unsigned int i = 0; i < t->nr_queues; i++) {
		struct ifreq ifr = { 0 };
		bool detach = i >= pairs;

		if (detach == t->queue[i].detached)
			continue;
		ifr.ifr_flags = detach ? IFF_DETACH_QUEUE : IFF_ATTACH_QUEUE;
		if (ioctl(t->queue[i].fd, TUNSETQUEUE, &ifr) < 0)
			return -errno;
		t->queue[i].detached = detach;
	}
	return 0;
}

static int tap_fd(struct netdev *n, unsigned int q)
{
	return tap_of(n)->queue[q].fd;
}

static void tap_close(struct netdev *n)
{
	struct tap *t = tap_of(n);

	for (unsigned int i = 0; i < t->nr_queues; i++)
		if (t->queue[i].fd >= 0)
			close(t->queue[i].fd);
	free(t);
}

static const struct netdev_ops tap_ops = {
	.recv = tap_recv,
	.send = tap_send,
	.attach = tap_attach,
	.detach = tap_detach,
	.want = tap_want,
	.set_offloads = tap_set_offloads,
	.set_pairs = tap_set_pairs,
	.fd = tap_fd,
	.close = tap_close,
};

struct tap *tap_new(unsigned int pairs, const char *name)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->dev.ops = &tap_ops;
	t->dev.max_pairs = t->nr_queues = pairs;
	snprintf(t->dev.name, sizeof(t->dev.name), "%s", name);
	for (unsigned int i = 0; i < NETDEV_MAX_PAIRS; i++)
		t->queue[i].fd = -1;
	return t;
}

int tap_set_up(struct tap *t, struct err *e)
{
	for (unsigned int i = 0; i < t->nr_queues && t->dev.vnet_hdr; i++) {
		int len = NETDEV_VNET_HDR, yes = 1;

		if (ioctl(t->queue[i].fd, TUNSETVNETHDRSZ, &len) < 0)
			return err_sys(e, -errno, "%s: cannot have virtio headers of %d bytes", t->dev.name,
				       len);
		/* Little-endian is the rule on this machine anyway where the call is not known (before 4.0). */
		(void)ioctl(t->queue[i].fd, TUNSETVNETLE, &yes);
	}
	if (t->dev.vnet_hdr)
		tap_probe_offloads(&t->dev);
	return 0;
}
