/*
 * The entropy device: one queue of buffers to fill (virtio 1.2, 5.4). The bytes are the host kernel's; we keep
 * none of them.
 */
#include "devices/virtio/virtio_rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "devices/virtio/virtio_turn.h"

#define NOT_READY_NS 100000000ull /* until a host that has just booted is asked again */

enum {
	RNG_QUEUE_SIZE = 64,
	RNG_MAX_BYTES = 64 << 10, /* of one buffer; a longer one is used in part, which 5.4.6.2 allows */
	RNG_PIECE = 1024,
};

struct virtio_rng {
	struct virtio_dev dev;   /* first: its address is ours */
	struct iothread *thread; /* borrowed */
	struct throttle throttle;
	struct loop_timer timer; /* goes on with the queue */
	/* thread only */
	bool running;
	bool again; /* the buffer in front was told to wait */
};

static struct virtio_rng *rng_of(struct virtio_dev *d)
{
	return (struct virtio_rng *)d;
}

/* Put the chain back and go on later. */
static bool rng_wait(struct virtio_rng *r, struct chain *c, uint64_t delay_ns)
{
	virtq_unpop(&r->dev.queue[0].vq, c);
	loop_timer_arm(&r->timer, delay_ns);
	return false;
}

static bool rng_fill(struct virtio_dev *d, unsigned int q, struct chain *c)
{
	struct virtio_rng *r = rng_of(d);
	size_t want = MIN(chain_writable(c), (size_t)RNG_MAX_BYTES), done = 0;
	uint64_t wait = throttle_take(&r->throttle, clock_now_ns(), want, r->again);
	uint8_t bytes[RNG_PIECE];
	ssize_t n;

	(void)q;
	r->again = wait != 0;
	if (wait)
		return rng_wait(r, c, wait);
	while ((n = getrandom(bytes, MIN(want - done, sizeof(bytes)), GRND_NONBLOCK)) > 0) {
		if (chain_write(c, bytes, (size_t)n) < 0)
			break; /* not RAM: the driver gets what lies in front */
		done += (size_t)n;
	}
	if (n < 0 && !done) /* EAGAIN: the host has not gathered enough since it booted (getrandom(2)) */
		return rng_wait(r, c, NOT_READY_NS);
	explicit_bzero(bytes, sizeof(bytes)); /* the guest's secrets */
	chain_complete(c, (uint32_t)done);
	return true;
}

static void rng_serve(struct virtio_dev *d, unsigned int q)
{
	virtio_take_turn(d, q, rng_fill);
}

static void rng_go_on(void *ctx)
{
	struct virtio_rng *r = ctx;

	if (r->running)
		rng_serve(&r->dev, 0);
}

static int rng_queue_start(struct virtio_dev *d, unsigned int q)
{
	struct virtio_rng *r = rng_of(d);

	(void)q;
	r->running = true;
	r->again = false;
	return 0;
}

static void rng_queue_stop(struct virtio_dev *d, unsigned int q)
{
	struct virtio_rng *r = rng_of(d);

	(void)q;
	r->running = false;
	loop_timer_disarm(&r->timer);
}

static const struct virtio_ops rng_ops = {
	.queue_start = rng_queue_start,
	.queue_stop = rng_queue_stop,
	.serve = rng_serve,
};

struct rng_setup {
	struct virtio_rng *r;
	struct err *e;
	int rc;
};

static void rng_add_timer(void *ctx)
{
	struct rng_setup *s = ctx;

	s->rc = loop_timer_init(&s->r->thread->loop, &s->r->timer, rng_go_on, s->r, s->e);
}

static void rng_remove_timer(void *ctx)
{
	struct virtio_rng *r = ctx;

	loop_timer_fini(&r->thread->loop, &r->timer);
}

int virtio_rng_new(struct virtio_rng **out, const char *name, struct iothread *thread,
		   const struct throttle_limits *limits, const struct gmem *mem, struct err *e)
{
	struct virtio_rng *r = calloc(1, sizeof(*r));
	struct rng_setup setup = { .r = r, .e = e };

	*out = NULL;
	if (!r)
		return err_set(e, -ENOMEM, "%s: out of memory", name);
	r->thread = thread;
	r->timer.fd = -1;
	throttle_init(&r->throttle, limits);
	setup.rc = virtio_init(&r->dev, name, VIRTIO_ID_RNG, &rng_ops, mem, 0, 1, RNG_QUEUE_SIZE, 0, e);
	if (setup.rc == 0) {
		r->dev.queue[0].thread = thread;
		iothread_call(thread, rng_add_timer, &setup);
	}
	if (setup.rc < 0) {
		virtio_rng_free(r);
		return setup.rc;
	}
	*out = r;
	return 0;
}

void virtio_rng_free(struct virtio_rng *r)
{
	if (!r)
		return;
	iothread_call(r->thread, rng_remove_timer, r);
	virtio_fini(&r->dev);
	throttle_fini(&r->throttle);
	free(r);
}

struct virtio_dev *virtio_rng_dev(struct virtio_rng *r)
{
	return &r->dev;
}
