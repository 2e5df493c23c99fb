/*
 * For tests of the transport's two layers: a virtio device which gives every buffer back at once, counts what
 * it is told, and fails when asked. Its writable bytes are filled with 0x5a. Include it in one file of a test
 * program.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_RIG_H
#define TRELLIS_DEVICES_VIRTIO_RIG_H

#include <errno.h>
#include <linux/virtio_ring.h>

#include "devices/virtio/virtio.h"

enum {
	ECHO_QUEUES = 3,
	ECHO_SIZE = 64,
	ECHO_CONFIG = 20,
	ECHO_TYPE = 42,
	ECHO_FEATURE = 5,         /* offered */
	ECHO_FEATURE_REFUSED = 6, /* offered, and not accepted */
};

struct echo {
	struct virtio_dev dev;
	struct iothread thread[2]; /* queue 0 has its own, the others share one */
	/* What to do; constant while the device runs. */
	int start_rc, queue_start_rc;
	unsigned int failing_queue;
	bool kernel; /* say that vhost reads the kicks */
	bool dead;   /* serve nothing */
	/* What happened. */
	atomic_uint starts, stops, resets, serves, queue_starts, queue_stops, config_writes,
		stops_before_queues;
	unsigned int config_off, config_len;
	uint8_t own; /* saved and loaded */
};

static inline struct echo *echo_of(struct virtio_dev *d)
{
	return (struct echo *)(void *)d; /* dev is the first member */
}

static inline bool echo_negotiate(struct virtio_dev *d, uint64_t features)
{
	(void)d;
	return !(features & VIRTIO_BIT(ECHO_FEATURE_REFUSED));
}

static inline int echo_start(struct virtio_dev *d)
{
	echo_of(d)->starts++;
	return echo_of(d)->start_rc;
}

static inline void echo_stop(struct virtio_dev *d)
{
	echo_of(d)->stops++;
	echo_of(d)->stops_before_queues += echo_of(d)->queue_starts != echo_of(d)->queue_stops;
}

static inline int echo_queue_start(struct virtio_dev *d, unsigned int q)
{
	struct echo *s = echo_of(d);

	if (s->queue_start_rc < 0 && s->failing_queue == q)
		return s->queue_start_rc;
	s->queue_starts++;
	d->queue[q].kernel = s->kernel;
	return 0;
}

static inline void echo_queue_stop(struct virtio_dev *d, unsigned int q)
{
	(void)q;
	echo_of(d)->queue_stops++;
}

static inline void echo_serve(struct virtio_dev *d, unsigned int q)
{
	static const uint8_t fill[64] = { [0 ... 63] = 0x5a };
	struct virtq *vq = &d->queue[q].vq;
	unsigned int turns = 4 * ECHO_SIZE; /* as many as a driver can have at a time, and some: then wait */

	echo_of(d)->serves++;
	if (echo_of(d)->dead)
		return;
	do {
		struct chain *c;

		while (turns && (c = virtq_pop(vq))) {
			uint32_t len = (uint32_t)MIN(chain_writable(c), sizeof(fill));

			turns--;
			chain_complete(c, chain_write(c, fill, len) == 0 ? len : 0);
		}
	} while (virtq_want_kicks(vq) && turns);
	virtq_flush(vq);
}

static inline void echo_config_write(struct virtio_dev *d, unsigned int off, unsigned int len)
{
	echo_of(d)->config_writes++;
	echo_of(d)->config_off = off;
	echo_of(d)->config_len = len;
}

static inline void echo_reset(struct virtio_dev *d)
{
	static const uint8_t none[5];

	echo_of(d)->resets++;
	echo_of(d)->own = 0;
	virtio_config_put(d, 8, none, sizeof(none), false); /* what the driver wrote */
}

static inline void echo_save(struct virtio_dev *d, struct buf *b)
{
	buf_put8(b, echo_of(d)->own);
}

static inline int echo_load(struct virtio_dev *d, struct state_reader *r, struct err *e)
{
	(void)e;
	echo_of(d)->own = state_get8(r);
	return 0;
}

static const struct virtio_ops echo_ops = {
	.negotiate = echo_negotiate,
	.start = echo_start,
	.stop = echo_stop,
	.queue_start = echo_queue_start,
	.queue_stop = echo_queue_stop,
	.serve = echo_serve,
	.config_write = echo_config_write,
	.reset = echo_reset,
	.save = echo_save,
	.load = echo_load,
};

/* Bytes 0 to 7 of the configuration space are the device's, 8 to 11 the driver's, and of 12 the low nibble. */
static inline int echo_init(struct echo *s, const struct gmem *mem, unsigned int nr_queues)
{
	int rc;

	*s = (struct echo){ 0 };
	rc = virtio_init(&s->dev, "echo", ECHO_TYPE, &echo_ops, mem,
			 VIRTIO_BIT(ECHO_FEATURE) | VIRTIO_BIT(ECHO_FEATURE_REFUSED), nr_queues, ECHO_SIZE,
			 ECHO_CONFIG, NULL);
	for (unsigned int i = 0; i < 2 && rc == 0; i++)
		rc = iothread_init(&s->thread[i], "echo", NULL);
	for (unsigned int i = 0; i < nr_queues && rc == 0; i++)
		s->dev.queue[i].thread = &s->thread[i != 0];
	memset(s->dev.config_wmask + 8, 0xff, 4);
	s->dev.config_wmask[12] = 0x0f;
	return rc;
}

static inline void echo_fini(struct echo *s)
{
	iothread_fini(&s->thread[0]);
	iothread_fini(&s->thread[1]);
	virtio_fini(&s->dev);
}

/* Run the device's loops until they have nothing to do; without threads. */
static inline void echo_run(struct echo *s)
{
	while (loop_run_once(&s->thread[0].loop, 0) > 0 || loop_run_once(&s->thread[1].loop, 0) > 0)
		;
}

#endif
