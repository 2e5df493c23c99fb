/* Turns of a few milliseconds on a thread that is shared. What a chain means is the device's business. */
#include "devices/virtio/virtio_turn.h"

#include <unistd.h>

#define TURN_NS 5000000ull

void virtio_kick_later(struct virtio_dev *d, unsigned int q)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then the kick is there already. */
	if (write(d->queue[q].kick.fd, &one, sizeof(one)) < 0)
		return;
}

/* Then the others go first. */
static bool turn_is_over(struct virtio_dev *d, unsigned int q, uint64_t end)
{
	if (clock_now_ns() < end)
		return false;
	virtio_kick_later(d, q);
	return true;
}

void virtio_take_turn(struct virtio_dev *d, unsigned int q,
		      bool (*handle)(struct virtio_dev *d, unsigned int q, struct chain *c))
{
	uint64_t end = clock_now_ns() + TURN_NS;
	struct virtq *vq = &d->queue[q].vq;
	bool more = true;

	if (atomic_load(&d->needs_reset)) /* no more of the driver's rings until then */
		return;
	do {
		struct chain *c;

		virtq_no_kicks(vq);
		while (more && (c = virtq_pop(vq)))
			more = handle(d, q, c) && !turn_is_over(d, q, end);
		virtq_flush(vq);
		/* A driver can show us a buffer here, and take it back before we pop, for ever. */
	} while (more && virtq_want_kicks(vq) && !turn_is_over(d, q, end));
}
