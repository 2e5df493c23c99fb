/*
 * Virtqueues, split and packed (virtio 1.2, 2.7 and 2.8): buffers come out as chains, and go back with a
 * length. Only these files point into rings; every descriptor is copied once and judged on the copy.
 * What a chain means is the device's business; where interrupts go is the transport's.
 *
 * A queue belongs to one thread from virtq_start() to virtq_stop(); nothing here locks or blocks.
 *
 * What a lying driver can do: a descriptor outside RAM makes a chain with a bad segment, which the device
 * completes with an error. Nonsense that leaves no chain to name (a head or next beyond the queue, a chain
 * longer than the queue, an index that jumps by more than the queue, a readable descriptor behind a
 * writable one, an indirect table that is empty, nested, odd or outside RAM) breaks the queue: fail() is
 * called once, and virtq_pop() returns NULL until the queue is started anew.
 */
#ifndef TRELLIS_DEVICES_VIRTQ_H
#define TRELLIS_DEVICES_VIRTQ_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "vmm/base/base.h"
#include "vmm/base/buf.h"
#include "vmm/base/err.h"
#include "vmm/base/gmem.h"
#include "vmm/base/state.h"

enum {
	VIRTQ_MAX_SIZE = 1024,  /* entries; what trellis offers at most */
	CHAIN_FEW_SEGS = 8,     /* segments that a chain has room for without taking more memory */
};

struct virtq;

/*
 * One chain of descriptors, from virtq_pop() to chain_complete(): the readable segments first, then the
 * writable ones. Reading, writing and skipping advance the cursor: seg[] shrinks from its front.
 */
struct chain {
	struct virtq *q;          /* borrowed */
	struct iovec *out;        /* readable segments not yet consumed; a NULL base is a bad segment */
	struct iovec *in;         /* writable segments not yet consumed; the same */
	uint16_t nr_out, nr_in;
	uint16_t id;              /* split: head descriptor; packed: buffer id */
	uint16_t nr_descs;        /* packed: ring entries it takes */
	bool bad;                 /* some segment does not lie in RAM */
	bool open;                /* popped and not completed */
	bool done;                /* in-order queues: completed, waiting for those before it */
	uint32_t used_len;        /* the same */
	uint32_t nr;              /* its place in q->chain[]; constant */
	void *user;               /* the device's own */
	struct iovec few[CHAIN_FEW_SEGS];
};

/* Where a queue lies and how it speaks; what the transport learned from the driver. */
struct virtq_setup {
	uint64_t desc, driver, device; /* guest-physical: table, available ring, used ring (2.7); or ring,
					  driver event, device event (2.8) */
	uint16_t size;                 /* 1 to the maximum; split: a power of two */
	bool packed, event_idx, indirect, in_order; /* negotiated features */
};

struct virtq {
	/* constant after virtq_init() */
	const struct gmem *mem;   /* borrowed */
	const char *name;         /* borrowed; of the device, for messages */
	unsigned int nr;          /* of the queue in its device */
	uint16_t max_size;
	void (*fail)(void *ctx, struct virtq *q, const char *why);  /* the ring is nonsense; on the queue's thread */
	void (*interrupt)(void *ctx, struct virtq *q);              /* tell the driver; on the queue's thread */
	void *ctx;
	const atomic_bool *access; /* borrowed, may be NULL */

	/* constant from start to stop */
	struct virtq_setup setup;
	bool started;
	uint8_t *desc, *driver, *device; /* host addresses of the three areas, in RAM */
	struct chain *chain;      /* owned; setup.size of them */
	struct iovec *many;       /* owned, max_size segments for each chain; touched when used */

	/* the queue's thread only */
	bool broken;              /* fail() was called */
	uint16_t next_avail;      /* split: free-running index; packed: place in the ring */
	uint16_t next_used;       /* the same */
	uint16_t told_used;       /* next_used when the driver was last considered for an interrupt */
	bool avail_wrap, used_wrap, told_wrap; /* packed: wrap counters (2.8.1) */
	uint16_t unpublished;     /* split: used entries written and not shown; packed: ring entries */
	uint16_t held_flags;      /* packed: of the first of them, written last (2.8.9) */
	bool quiet;               /* the driver was asked not to kick */
	uint16_t nr_open;         /* chains popped and not completed */
	uint16_t nr_taken;        /* heads (packed: ring entries) popped and not shown as used yet */
	uint16_t *free;           /* owned; stack of chain numbers */
	uint16_t *order;          /* owned; in-order: open chains as they came, a ring of setup.size */
	uint16_t order_head, order_len;
};

/*
 * Give the queue its place in a device. No memory is taken before virtq_start().
 * max_size  at most VIRTQ_MAX_SIZE
 */
void virtq_init(struct virtq *q, const struct gmem *mem, const char *name, unsigned int nr, uint16_t max_size);

/*
 * Who hears of broken rings and of interrupts; before virtq_start().
 * access  borrowed; while it is false nothing is popped, and virtq_want_kicks() says that nothing is there.
 *         NULL: always
 */
void virtq_attach(struct virtq *q, const atomic_bool *access, void (*fail)(void *ctx, struct virtq *q, const char *why),
		  void (*interrupt)(void *ctx, struct virtq *q), void *ctx);

/*
 * Begin: the three areas are looked up in RAM, indices are those of a fresh queue.
 * Returns 0; -EINVAL when the size is none of this queue's or an area is misaligned; -EFAULT when one does
 * not lie in RAM; -ENOMEM.
 * virtq_stop() forgets every open chain and frees; safe on a queue that is not started.
 */
MUST_CHECK int virtq_start(struct virtq *q, const struct virtq_setup *setup);
void virtq_stop(struct virtq *q);

/*
 * The indices, for save, load, and vhost (which counts the same way: bit 15 of the packed numbers is the
 * wrap counter). Only while no chain is open. set: after virtq_start(); anything is accepted, a wrong
 * value breaks the queue later.
 */
void virtq_indices(const struct virtq *q, uint16_t *avail, uint16_t *used);
void virtq_set_indices(struct virtq *q, uint16_t avail, uint16_t used);

/*
 * Take the next chain, or NULL: none is there, all are open already, or the queue is broken.
 * The chain stays valid until chain_complete(), virtq_unpop() or virtq_stop().
 */
struct chain *virtq_pop(struct virtq *q);

/* Put the chain that was popped last back, as if it had not been popped; with several, the last first. */
void virtq_unpop(struct virtq *q, struct chain *c);

/*
 * Ask the driver to kick again. Returns true when there is something to pop already: the caller goes on
 * instead of waiting. virtq_no_kicks() asks for silence meanwhile; it is only a hint.
 */
MUST_CHECK bool virtq_want_kicks(struct virtq *q);
void virtq_no_kicks(struct virtq *q);

/*
 * Give the chain back, the only way out. len is how many bytes from its first writable one on are
 * valid. The driver sees all that was completed at once at virtq_flush() (a packet in several merged
 * buffers needs that, 5.1.6.4), which also interrupts it if it wants that: flush after each batch, and
 * before waiting. Flushing with nothing completed does nothing.
 */
void chain_complete(struct chain *c, uint32_t len);
void virtq_flush(struct virtq *q);

/* Bytes that are left to read or write, bad segments included. Saturates at SIZE_MAX. */
size_t chain_readable(const struct chain *c);
size_t chain_writable(const struct chain *c);

/*
 * Copy exactly len bytes off the readable part, or into the writable part, and advance.
 * Returns 0; -ENODATA if fewer than len are left; -EFAULT if a bad segment is in the way. Then nothing is
 * copied and the cursor stays.
 */
MUST_CHECK int chain_read(struct chain *c, void *bytes, size_t len);
MUST_CHECK int chain_write(struct chain *c, const void *bytes, size_t len);

/* As these, without copying. */
MUST_CHECK int chain_skip_out(struct chain *c, size_t len);
MUST_CHECK int chain_skip_in(struct chain *c, size_t len);

/*
 * Cut the last len bytes (1 to 8) off the writable part: where status bytes are. at receives len host
 * addresses, one for each byte, as they may lie in different segments.
 * Returns as chain_write(); nothing is cut on failure.
 */
MUST_CHECK int chain_cut_tail(struct chain *c, uint8_t **at, size_t len);

/* Is every segment that is left in RAM? (c->bad tells of all the chain's.) */
bool chain_out_ok(const struct chain *c);
bool chain_in_ok(const struct chain *c);

/* What is for virtq.c and its two ring formats alone is in devices/virtio/virtq_internal.h. */

#endif
