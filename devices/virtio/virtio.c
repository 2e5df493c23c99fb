/*
 * The common part of a virtio device: status, features, the life of its queues, configuration space. What
 * registers look like is virtio_pci.c's business; what is in a ring, virtq.c's. Saved state is in
 * virtio_state.c.
 */
#include "devices/virtio/virtio.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "devices/virtio/virtio_internal.h"
#include "vmm/base/log.h"

/* What a driver can set. DEVICE_NEEDS_RESET is ours alone (virtio 1.2, 2.1). */
enum {
	STATUS_OF_DRIVER = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |
			   VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED,
};

#define RING_FEATURES                                                                                        \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_RING_PACKED) | VIRTIO_BIT(VIRTIO_F_IN_ORDER) | \
	 VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) |                     \
	 VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA) | VIRTIO_BIT(VIRTIO_F_RING_RESET))

int virtio_init(struct virtio_dev *d, const char *name, uint16_t type, const struct virtio_ops *ops,
		const struct gmem *mem, uint64_t features, unsigned int nr_queues, uint16_t max_size,
		unsigned int config_len, struct err *e)
{
	/* The device's own choices. */
	assert(nr_queues && nr_queues <= VIRTIO_MAX_QUEUES && config_len <= VIRTIO_CONFIG_BYTES &&
	       ops->serve);
	assert(max_size && max_size <= VIRTQ_MAX_SIZE && !(max_size & (max_size - 1)));

	*d = (struct virtio_dev){
		.name = name,
		.ops = ops,
		.type = type,
		.features = features | RING_FEATURES,
		.nr_queues = nr_queues,
		.mem = mem,
		.config_len = config_len,
	};
	d->queue = calloc(nr_queues, sizeof(*d->queue));
	if (!d->queue)
		return err_set(e, -ENOMEM, "%s: out of memory for %u queues", name, nr_queues);
	pthread_mutex_init(&d->config_lock, NULL);
	for (unsigned int i = 0; i < nr_queues; i++) {
		d->queue[i].dev = d;
		d->queue[i].kick.fd = -1;
		d->queue[i].setup.size = max_size;
		virtq_init(&d->queue[i].vq, mem, name, i, max_size);
	}
	return 0;
}

void virtio_fini(struct virtio_dev *d)
{
	if (!d->queue)
		return;
	for (unsigned int i = 0; i < d->nr_queues; i++)
		assert(!d->queue[i].running); /* virtio_reset(), by the transport's fini */
	pthread_mutex_destroy(&d->config_lock);
	free(d->queue);
	*d = (struct virtio_dev){ 0 };
}

/* ---- trouble, and other news for the driver ---- */

/*
 * Configuration change interrupt. Never before DRIVER_OK, and as status changes under the same lock, never
 * after a reset: a level-triggered line without a driver would stay up for good.
 */
static void notify_config_locked(struct virtio_dev *d)
{
	if (d->transport && (d->status & VIRTIO_CONFIG_S_DRIVER_OK))
		d->transport->config_changed(d->transport_ctx);
}

void virtio_notify_config(struct virtio_dev *d)
{
	pthread_mutex_lock(&d->config_lock);
	notify_config_locked(d);
	pthread_mutex_unlock(&d->config_lock);
}

void virtio_break(struct virtio_dev *d, const char *why)
{
	pthread_mutex_lock(&d->config_lock);
	log_warn_once(&d->warned, "%s: %s; the device stops until its driver resets it", d->name, why);
	if (!atomic_exchange(&d->needs_reset, true))
		notify_config_locked(d);
	pthread_mutex_unlock(&d->config_lock);
}

static void queue_break(struct virtio_queue *q, const char *why)
{
	char text[160];

	snprintf(text, sizeof(text), "queue %u: %s", q->vq.nr, why);
	virtio_break(q->dev, text);
}

static void queue_failed(void *ctx, struct virtq *vq, const char *why)
{
	(void)vq;
	queue_break(ctx, why);
}

static void queue_interrupt(void *ctx, struct virtq *vq)
{
	struct virtio_queue *q = ctx;

	q->dev->transport->interrupt(q->dev->transport_ctx, vq->nr);
}

static void queue_kicked(void *ctx, uint32_t events)
{
	struct virtio_queue *q = ctx;

	(void)events; /* edge-triggered: each kick is an event, and the counter need not be read */
	if (!atomic_load(&q->dev->needs_reset))
		q->dev->ops->serve(q->dev, q->vq.nr);
}

void virtio_attach(struct virtio_dev *d, const struct virtio_transport_ops *transport, void *ctx)
{
	pthread_mutex_lock(&d->config_lock);
	d->transport = transport;
	d->transport_ctx = ctx;
	pthread_mutex_unlock(&d->config_lock);
	for (unsigned int i = 0; i < d->nr_queues; i++) {
		struct virtio_queue *q = &d->queue[i];
		const atomic_bool *access = transport && transport->access ? transport->access(ctx) : NULL;

		virtq_attach(&q->vq, access, queue_failed, queue_interrupt, q);
		q->kick = (struct loop_source){ .fd = transport ? transport->kick_fd(ctx, i) : -1,
						.ready = queue_kicked,
						.ctx = q };
	}
}

/* ---- queues ---- */

struct queue_call {
	struct virtio_queue *q;
	int rc;
};

/* On the queue's thread. */
static void queue_start_call(void *ctx)
{
	struct queue_call *call = ctx;
	struct virtio_queue *q = call->q;
	struct virtio_dev *d = q->dev;

	q->kernel = false;
	if (d->ops->queue_start && (call->rc = d->ops->queue_start(d, q->vq.nr)) < 0)
		return;
	if (q->kernel)
		return;
	call->rc = loop_add(&q->thread->loop, &q->kick, EPOLLIN | EPOLLET);
	q->polled = call->rc == 0;
	if (call->rc < 0 && d->ops->queue_stop)
		d->ops->queue_stop(d, q->vq.nr);
}

/* Also on the thread: no more kicks first, then nothing under way. */
static void queue_stop_call(void *ctx)
{
	struct queue_call *call = ctx;
	struct virtio_queue *q = call->q;

	if (q->polled)
		loop_del(&q->thread->loop, &q->kick);
	q->polled = false;
	if (q->dev->ops->queue_stop)
		q->dev->ops->queue_stop(q->dev, q->vq.nr);
	virtq_indices(&q->vq, &q->saved_avail, &q->saved_used);
	virtq_stop(&q->vq);
}

/* What was made available while nobody listened is looked at as after a kick. */
static void queue_kick(struct virtio_queue *q)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then the thread is told already. */
	if (write(q->kick.fd, &one, sizeof(one)) < 0)
		return;
}

/* Why virtq_start() would not have the queue, for the warning. */
static const char *ring_trouble(int rc)
{
	switch (rc) {
	case -EINVAL:
		return "its size is not valid, or an address is not aligned";
	case -EFAULT:
		return "its rings are not in RAM";
	default:
		return strerror(-rc);
	}
}

/* again: where it was when it stopped, not from the beginning. */
static void queue_start(struct virtio_queue *q, bool again)
{
	struct virtio_dev *d = q->dev;
	struct queue_call call = { .q = q };
	int rc;

	if (atomic_load(&d->needs_reset))
		return;
	q->setup.packed = virtio_has(d, VIRTIO_F_RING_PACKED);
	q->setup.event_idx = virtio_has(d, VIRTIO_RING_F_EVENT_IDX);
	q->setup.indirect = virtio_has(d, VIRTIO_RING_F_INDIRECT_DESC);
	q->setup.in_order = virtio_has(d, VIRTIO_F_IN_ORDER);
	assert(q->thread); /* the device's init */
	rc = virtq_start(&q->vq, &q->setup);
	if (rc < 0) {
		queue_break(q, ring_trouble(rc));
		return;
	}
	if (again)
		virtq_set_indices(&q->vq, q->saved_avail, q->saved_used);
	if (!d->no_threads)
		call.rc = iothread_start(q->thread, NULL);
	if (call.rc == 0)
		iothread_call(q->thread, queue_start_call, &call);
	if (call.rc < 0) {
		virtq_stop(&q->vq);
		queue_break(q, strerror(-call.rc));
		return;
	}
	q->running = true;
	queue_kick(q);
}

static void queue_stop(struct virtio_queue *q)
{
	struct queue_call call = { .q = q };

	if (!q->running)
		return;
	iothread_call(q->thread, queue_stop_call, &call);
	q->running = false;
}

static void queue_forget(struct virtio_queue *q)
{
	q->setup = (struct virtq_setup){ .size = q->vq.max_size };
	q->enabled = false;
	q->saved_avail = q->saved_used = 0;
}

void virtio_queue_enable(struct virtio_dev *d, unsigned int q)
{
	if (q >= d->nr_queues || d->queue[q].enabled)
		return;
	d->queue[q].enabled = true;
	if (d->started)
		queue_start(&d->queue[q], false);
}

void virtio_queue_reset(struct virtio_dev *d, unsigned int q)
{
	if (q >= d->nr_queues || !virtio_has(d, VIRTIO_F_RING_RESET))
		return;
	queue_stop(&d->queue[q]);
	queue_forget(&d->queue[q]);
}

/* ---- the life of the device ---- */

static void set_status(struct virtio_dev *d, uint8_t status)
{
	pthread_mutex_lock(&d->config_lock);
	d->status = status;
	pthread_mutex_unlock(&d->config_lock);
}

void virtio_start(struct virtio_dev *d, bool again)
{
	int rc;

	if (d->started || atomic_load(&d->needs_reset))
		return;
	if (d->ops->start && (rc = d->ops->start(d)) < 0) {
		virtio_break(d, strerror(-rc));
		return;
	}
	d->started = true;
	for (unsigned int i = 0; i < d->nr_queues; i++)
		if (d->queue[i].enabled)
			queue_start(&d->queue[i], again);
}

void virtio_stop(struct virtio_dev *d)
{
	if (!d->started)
		return;
	for (unsigned int i = 0; i < d->nr_queues; i++)
		queue_stop(&d->queue[i]);
	if (d->ops->stop)
		d->ops->stop(d);
	d->started = false;
}

void virtio_resume(struct virtio_dev *d)
{
	if (!(d->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	virtio_start(d, true);
	for (unsigned int i = 0; i < d->nr_queues; i++)
		if (d->queue[i].running)
			queue_kick(&d->queue[i]);
}

void virtio_reset(struct virtio_dev *d)
{
	virtio_stop(d);
	set_status(d, 0);
	d->driver_features = d->negotiated = 0;
	for (unsigned int i = 0; i < d->nr_queues; i++)
		queue_forget(&d->queue[i]);
	if (d->ops->reset)
		d->ops->reset(d);

	pthread_mutex_lock(&d->config_lock);
	atomic_store(&d->needs_reset, false);
	d->warned = false;
	pthread_mutex_unlock(&d->config_lock);
}

/* May the driver have what it asked for? No answer but FEATURES_OK staying clear is provided for (3.1.1). */
bool virtio_features_sound(struct virtio_dev *d)
{
	uint64_t f = d->driver_features;

	if (!(f & VIRTIO_BIT(VIRTIO_F_VERSION_1)) || (f & ~d->features))
		return false;
	return !d->ops->negotiate || d->ops->negotiate(d, f);
}

/* Which of the bits that are to rise may. */
static uint8_t status_granted(struct virtio_dev *d, uint8_t risen)
{
	if ((risen & VIRTIO_CONFIG_S_FEATURES_OK) && !virtio_features_sound(d))
		risen &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!((d->status | risen) & VIRTIO_CONFIG_S_FEATURES_OK) || (risen & VIRTIO_CONFIG_S_FAILED))
		risen &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	return risen;
}

void virtio_write_status(struct virtio_dev *d, uint8_t status)
{
	uint8_t risen = status & STATUS_OF_DRIVER & (uint8_t)~d->status;

	if (!status) {
		virtio_reset(d);
		return;
	}
	/* A driver that gave up has to reset before anything else (2.1.1). */
	if (!risen || (d->status & VIRTIO_CONFIG_S_FAILED))
		return;
	risen = status_granted(d, risen);
	if (risen & VIRTIO_CONFIG_S_FEATURES_OK)
		d->negotiated = d->driver_features;
	set_status(d, d->status | risen);
	if (risen & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_start(d, false);
}

uint8_t virtio_read_status(const struct virtio_dev *d)
{
	return d->status | (atomic_load(&d->needs_reset) ? VIRTIO_CONFIG_S_NEEDS_RESET : 0);
}

/* ---- features ---- */

static uint32_t half(uint64_t features, uint32_t sel)
{
	return sel < 2 ? (uint32_t)(features >> (32 * sel)) : 0;
}

uint32_t virtio_offered(const struct virtio_dev *d, uint32_t sel)
{
	return half(d->features, sel);
}

uint32_t virtio_accepted(const struct virtio_dev *d, uint32_t sel)
{
	return half(d->driver_features, sel);
}

void virtio_accept(struct virtio_dev *d, uint32_t sel, uint32_t val)
{
	if (sel > 1 || (d->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	d->driver_features &= ~(0xffffffffull << (32 * sel));
	/* What was never offered is not there to accept; reading back shows it (2.2.1). */
	d->driver_features |= ((uint64_t)val << (32 * sel)) & d->features;
}

/* ---- configuration space ---- */

void virtio_config_put(struct virtio_dev *d, unsigned int off, const void *bytes, unsigned int len,
		       bool announce)
{
	assert(range_ok(off, len, d->config_len)); /* the device's own layout */
	pthread_mutex_lock(&d->config_lock);
	if (memcmp(d->config + off, bytes, len) != 0) {
		memcpy(d->config + off, bytes, len);
		if (announce) {
			atomic_fetch_add(&d->generation, 1);
			notify_config_locked(d);
		}
	}
	pthread_mutex_unlock(&d->config_lock);
}

void virtio_config_get(struct virtio_dev *d, unsigned int off, void *bytes, unsigned int len)
{
	assert(range_ok(off, len, d->config_len));
	pthread_mutex_lock(&d->config_lock);
	memcpy(bytes, d->config + off, len);
	pthread_mutex_unlock(&d->config_lock);
}

/* How much of an access at off lies inside. */
static unsigned int config_inside(const struct virtio_dev *d, unsigned int off, unsigned int len)
{
	return off < d->config_len ? MIN(len, d->config_len - off) : 0;
}

void virtio_config_read(struct virtio_dev *d, unsigned int off, void *bytes, unsigned int len)
{
	unsigned int inside = config_inside(d, off, len);

	memset(bytes, 0, len);
	if (inside)
		virtio_config_get(d, off, bytes, inside);
}

void virtio_config_write(struct virtio_dev *d, unsigned int off, const void *bytes, unsigned int len)
{
	unsigned int inside = config_inside(d, off, len);
	const uint8_t *byte = bytes;

	if (!inside)
		return;
	pthread_mutex_lock(&d->config_lock);
	for (unsigned int i = 0; i < inside; i++) {
		uint8_t mask = d->config_wmask[off + i];

		d->config[off + i] = (uint8_t)((d->config[off + i] & ~mask) | (byte[i] & mask));
	}
	pthread_mutex_unlock(&d->config_lock);
	if (d->ops->config_write)
		d->ops->config_write(d, off, inside);
}
