/*
 * Requests of virtio-blk: from a chain to a block request, and back (virtio 1.2, 5.2.6). All of it runs on the
 * queue's thread, so nothing locks. A request that is wrong ends here with a status; what is submitted has been
 * checked against the capacity, and its segments lie in RAM. It does not know where the bytes are kept.
 *
 * Framing is free (2.7.4): the header is whatever comes first, the status byte whatever comes last, and data is
 * what is left in between.
 */
#include "devices/virtio/virtio_blk_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vmm/base/log.h"

enum {
	BLK_GO = -1,         /* in place of a status: the request is sound, submit it */
	BLK_MAX_ROUNDS = 16, /* through the ring before other callbacks of the thread get their turn */
	/*
	 * Rounds that share an interrupt while the driver goes on adding: from the page cache a request is done at
	 * once, and an interrupt for each costs more than the request. Few, as the driver waits for the first so long.
	 */
	BLK_FLUSH_ROUNDS = 4,
};

_Static_assert(sizeof(struct virtio_blk_outhdr) == 16, "virtio 1.2, 5.2.6");
_Static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "virtio 1.2, 5.2.6");
_Static_assert(offsetof(struct blk_request, io) == 0, "done() casts");

/* The only writer is the queue's thread, so a load and a store do. */
static void count_add(_Atomic uint64_t *n, uint64_t by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + by, memory_order_relaxed);
}

/* ---- the way out ---- */

/*
 * The status byte, and the chain is the driver's again. The used length counts the bytes that we vouch for:
 * of a failed read that is the status alone, wherever it lies.
 */
static void blk_finish(struct blk_request *r, uint8_t status)
{
	*r->status = status;
	chain_complete(r->chain, (status == VIRTIO_BLK_S_OK ? r->in_bytes : 0) + 1);
}

static void blk_count(struct blk_queue *q, const struct blk_request *r)
{
	switch (r->io.op) {
	case BLOCK_READ:
		count_add(&q->count.reads, 1);
		count_add(&q->count.read_bytes, r->io.bytes);
		break;
	case BLOCK_WRITE:
		count_add(&q->count.writes, 1);
		count_add(&q->count.write_bytes, r->io.bytes);
		break;
	case BLOCK_FLUSH:
		count_add(&q->count.flushes, 1);
		break;
	case BLOCK_DISCARD:
	case BLOCK_ZEROES:
		count_add(&q->count.discards, 1);
		break;
	}
}

static uint8_t blk_failed(struct blk_queue *q, const struct blk_request *r, int rc)
{
	static const char *const op[] = { "read", "write", "flush", "discard", "write-zeroes" };

	/* Not a failure: the driver shall stop asking, and Linux does. */
	if (rc == -EOPNOTSUPP && (r->io.op == BLOCK_DISCARD || r->io.op == BLOCK_ZEROES))
		return VIRTIO_BLK_S_UNSUPP;
	count_add(&q->count.errors, 1);
	if (!atomic_exchange(&q->blk->warned_io, true))
		log_warn("%s: %s of %" PRIu64 " bytes at offset %#" PRIx64
			 ": %s; the guest gets an I/O error",
			 q->blk->dev.name, op[r->io.op], r->io.bytes, r->io.offset, strerror(-rc));
	return VIRTIO_BLK_S_IOERR;
}

/* Make the next of several ranges the one to be done. */
static void blk_next_range(struct blk_request *r)
{
	const struct blk_range *x = &r->ranges[r->next_range++];

	r->io.offset = x->offset;
	r->io.bytes = x->bytes;
	r->io.unmap = x->unmap;
}

/* One after the other, so that a request never is more than one at the back end. */
static void blk_continue(struct blk_queue *q, struct blk_request *r)
{
	if (q->stopping) { /* block_drain() forbids to submit: blk_queue_drain() does it */
		r->next = q->unfinished;
		q->unfinished = r;
		return;
	}
	blk_next_range(r);
	block_submit(q->io, &r->io);
	q->resubmitted = true;
}

static void blk_done(struct block_req *io, int rc)
{
	struct blk_request *r = (struct blk_request *)io;
	struct blk_queue *q = r->q;

	if (rc >= 0 && r->next_range < r->nr_ranges) {
		blk_continue(q, r);
		return;
	}
	if (r->ranges) {
		free(r->ranges);
		r->ranges = NULL;
	}
	if (rc < 0) {
		blk_finish(r, blk_failed(q, r, rc));
		return;
	}
	blk_count(q, r);
	blk_finish(r, VIRTIO_BLK_S_OK);
}

void blk_request_init(struct blk_request *r, struct blk_queue *q)
{
	r->q = q;
	r->io.done = blk_done;
}

/* ---- what a request means: these return BLK_GO or the status to end with ---- */

/*
 * Must a write be on the medium before it is done? So it is when the driver chose a write-through cache, or
 * could not ask for a flush (5.2.6.2). A driver that changes its mind while the write is under way may get either.
 */
static bool blk_write_through(const struct virtio_blk *b)
{
	if (!virtio_has(&b->dev, VIRTIO_BLK_F_FLUSH))
		return true;
	return virtio_has(&b->dev, VIRTIO_BLK_F_CONFIG_WCE) &&
	       !atomic_load_explicit(&b->writeback, memory_order_relaxed);
}

/* In sectors, so that nothing the guest says is multiplied. */
static bool blk_in_disk(const struct virtio_blk *b, uint64_t sector, uint64_t nr_sectors)
{
	return range_ok(sector, nr_sectors, atomic_load_explicit(&b->capacity_sectors, memory_order_relaxed));
}

static int blk_parse_read(struct blk_queue *q, struct blk_request *r, uint64_t sector)
{
	struct chain *c = r->chain;
	size_t bytes = chain_writable(c);

	if (bytes % BLOCK_SECTOR || bytes > BLK_MAX_BYTES ||
	    !blk_in_disk(q->blk, sector, bytes / BLOCK_SECTOR))
		return VIRTIO_BLK_S_IOERR;
	if (c->bad && !chain_in_ok(c))
		return VIRTIO_BLK_S_IOERR;
	if (!bytes)
		return VIRTIO_BLK_S_OK;
	r->io.op = BLOCK_READ;
	r->io.fua = false;
	r->io.offset = sector * BLOCK_SECTOR;
	r->io.bytes = bytes;
	r->io.iov = c->in;
	r->io.nr_iov = c->nr_in;
	r->in_bytes = (uint32_t)bytes;
	r->cost_bytes = bytes;
	return BLK_GO;
}

static int blk_parse_write(struct blk_queue *q, struct blk_request *r, uint64_t sector)
{
	struct chain *c = r->chain;
	size_t bytes = chain_readable(c);

	if (q->blk->info.readonly)
		return VIRTIO_BLK_S_IOERR;
	if (bytes % BLOCK_SECTOR || bytes > BLK_MAX_BYTES ||
	    !blk_in_disk(q->blk, sector, bytes / BLOCK_SECTOR))
		return VIRTIO_BLK_S_IOERR;
	if (c->bad && !chain_out_ok(c))
		return VIRTIO_BLK_S_IOERR;
	if (!bytes)
		return VIRTIO_BLK_S_OK;
	r->io.op = BLOCK_WRITE;
	r->io.fua = blk_write_through(q->blk);
	r->io.offset = sector * BLOCK_SECTOR;
	r->io.bytes = bytes;
	r->io.iov = c->out;
	r->io.nr_iov = c->nr_out;
	r->cost_bytes = bytes;
	return BLK_GO;
}

static int blk_parse_flush(struct blk_request *r)
{
	r->io.op = BLOCK_FLUSH;
	r->io.fua = false;
	r->io.offset = r->io.bytes = 0;
	r->io.iov = NULL;
	r->io.nr_iov = 0;
	return BLK_GO;
}

/* 20 bytes, padded with zeros; less room gets as much as it holds, as from QEMU. */
static int blk_get_id(struct blk_queue *q, struct blk_request *r)
{
	size_t len = MIN(chain_writable(r->chain), sizeof(q->blk->id));

	if (chain_write(r->chain, q->blk->id, len) < 0)
		return VIRTIO_BLK_S_IOERR;
	r->in_bytes = (uint32_t)len;
	return VIRTIO_BLK_S_OK;
}

/*
 * Check one segment of a discard or write-zeroes request and decode it. An unknown flag, and unmap in a
 * discard, are unsupported (5.2.6.2). An empty range is fine, and nothing.
 */
static int blk_parse_range(const struct virtio_blk *b, bool discard,
			   const struct virtio_blk_discard_write_zeroes *s, struct blk_range *x)
{
	uint64_t sector = le64toh(s->sector);
	uint32_t nr_sectors = le32toh(s->num_sectors), flags = le32toh(s->flags);

	if (flags & ~(discard ? 0u : (uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		return VIRTIO_BLK_S_UNSUPP;
	if (nr_sectors > (discard ? BLK_MAX_DISCARD_SECTORS : BLK_MAX_ZEROES_SECTORS) || !blk_in_disk(b, sector, nr_sectors))
		return VIRTIO_BLK_S_IOERR;
	x->offset = sector * BLOCK_SECTOR;
	x->bytes = (uint64_t)nr_sectors * BLOCK_SECTOR;
	x->unmap = b->may_unmap && flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	return BLK_GO;
}

/* All ranges are judged before the first is touched. */
static int blk_parse_ranges(struct blk_queue *q, struct blk_request *r, bool discard)
{
	struct virtio_blk_discard_write_zeroes seg[BLK_MAX_RANGES];
	struct blk_range range[BLK_MAX_RANGES];
	size_t len = chain_readable(r->chain);
	unsigned int nr = 0;
	int status;

	if (!virtio_has(&q->blk->dev, discard ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES))
		return VIRTIO_BLK_S_UNSUPP;
	if (!len || len % sizeof(seg[0]) || len > sizeof(seg) || chain_read(r->chain, seg, len) < 0)
		return VIRTIO_BLK_S_IOERR;
	for (unsigned int i = 0; i < len / sizeof(seg[0]); i++) {
		status = blk_parse_range(q->blk, discard, &seg[i], &range[nr]);
		if (status != BLK_GO)
			return status;
		r->cost_bytes += discard ? 0 : range[nr].bytes;
		nr += range[nr].bytes != 0;
	}
	if (!nr)
		return VIRTIO_BLK_S_OK;
	r->io.op = discard ? BLOCK_DISCARD : BLOCK_ZEROES;
	r->io.fua = !discard && blk_write_through(q->blk);
	r->io.offset = range[0].offset;
	r->io.bytes = range[0].bytes;
	r->io.unmap = range[0].unmap;
	r->io.iov = NULL;
	r->io.nr_iov = 0;
	if (nr == 1)
		return BLK_GO;
	r->ranges = malloc(nr * sizeof(range[0]));
	if (!r->ranges)
		return VIRTIO_BLK_S_IOERR;
	memcpy(r->ranges, range, nr * sizeof(range[0]));
	r->nr_ranges = nr;
	r->next_range = 1;
	return BLK_GO;
}

static int blk_parse(struct blk_queue *q, struct blk_request *r)
{
	struct virtio_blk_outhdr hdr;

	if (chain_read(r->chain, &hdr, sizeof(hdr)) < 0)
		return VIRTIO_BLK_S_IOERR;
	switch (le32toh(hdr.type)) {
	case VIRTIO_BLK_T_IN:
		return blk_parse_read(q, r, le64toh(hdr.sector));
	case VIRTIO_BLK_T_OUT:
		return blk_parse_write(q, r, le64toh(hdr.sector));
	case VIRTIO_BLK_T_FLUSH:
		return blk_parse_flush(r);
	case VIRTIO_BLK_T_GET_ID:
		return blk_get_id(q, r);
	case VIRTIO_BLK_T_DISCARD:
		return blk_parse_ranges(q, r, true);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return blk_parse_ranges(q, r, false);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* ---- the way in ---- */

/* Flushes are free: what they write was paid for. A discard is an operation without bytes. */
static bool blk_throttle_pass(struct blk_queue *q, const struct blk_request *r, bool again)
{
	uint64_t wait_ns;

	if (!q->limited || r->io.op == BLOCK_FLUSH)
		return true;
	wait_ns = throttle_take(&q->blk->throttle, clock_now_ns(), r->cost_bytes, again);
	if (wait_ns)
		loop_timer_arm(&q->timer, wait_ns);
	return !wait_ns;
}

static void blk_take(struct blk_queue *q, struct chain *c)
{
	struct blk_request *r = &q->req[c->nr];
	int status;

	r->chain = c;
	r->in_bytes = 0;
	r->nr_ranges = r->next_range = 0;
	r->cost_bytes = 0;
	if (chain_cut_tail(c, &r->status, 1) < 0) {
		if (!atomic_exchange(&q->blk->warned_driver, true))
			log_warn("%s: queue %u, buffer %u: a request without a status byte in RAM",
				 q->blk->dev.name, q->vq->nr, c->id);
		chain_complete(c, 0);
		return;
	}
	status = blk_parse(q, r);
	if (status != BLK_GO)
		blk_finish(r, (uint8_t)status);
	else if (blk_throttle_pass(q, r, false))
		block_submit(q->io, &r->io);
	else
		q->waiting = r;
}

/* At most a ring full: a driver that makes buffers available as fast as they fail does not keep us here. */
static void blk_take_available(struct blk_queue *q)
{
	unsigned int size = q->vq->setup.size;
	struct chain *c;

	for (unsigned int i = 0; i < size && !q->waiting && (c = virtq_pop(q->vq)); i++)
		blk_take(q, c);
}

/* Start what was submitted. done() may submit the next range; there are at most BLK_MAX_RANGES. */
static void blk_kick(struct blk_queue *q)
{
	do {
		q->resubmitted = false;
		block_kick(q->io);
	} while (q->resubmitted);
}

/* Perhaps by another queue: nothing is taken or begun any more (2.1.2). */
static bool blk_is_broken(struct blk_queue *q)
{
	return atomic_load_explicit(&q->blk->dev.needs_reset, memory_order_relaxed);
}

void blk_queue_pump(struct blk_queue *q)
{
	unsigned int rounds = 0;
	bool more;

	if (blk_is_broken(q) || q->waiting) /* its timer goes on; kicks are not wanted until then */
		return;
	do {
		virtq_no_kicks(q->vq);
		blk_take_available(q);
		blk_kick(q);
		if (++rounds % BLK_FLUSH_ROUNDS == 0)
			virtq_flush(q->vq);
		q->stalled = q->vq->nr_open >= q->vq->setup.size;
		more = !q->stalled && !q->waiting && virtq_want_kicks(q->vq);
	} while (more && rounds < BLK_MAX_ROUNDS);
	/* What the driver adds when it sees these, it kicks for. */
	virtq_flush(q->vq);
	if (more)
		loop_timer_arm(&q->timer, 0);
}

void blk_queue_batch(void *ctx)
{
	struct blk_queue *q = ctx;

	virtq_flush(q->vq);
	if (q->resubmitted) {
		blk_kick(q);
		virtq_flush(q->vq);
	}
	if (q->stalled)
		blk_queue_pump(q);
}

void blk_queue_retry(void *ctx)
{
	struct blk_queue *q = ctx;
	struct blk_request *r = q->waiting;

	if (r) {
		if (blk_is_broken(q) || !blk_throttle_pass(q, r, true))
			return;
		q->waiting = NULL;
		block_submit(q->io, &r->io);
	}
	blk_queue_pump(q);
}

void blk_queue_drain(struct blk_queue *q)
{
	struct blk_request *r, *next;

	q->stopping = true;
	block_drain(q->io);
	while (q->unfinished) { /* at most BLK_MAX_RANGES times */
		r = q->unfinished;
		q->unfinished = NULL;
		for (; r; r = next) {
			next = r->next;
			blk_next_range(r);
			block_submit(q->io, &r->io);
		}
		block_kick(q->io);
		block_drain(q->io);
	}
	/* Not begun, so it is as if never taken: after a snapshot the queue finds it again. */
	if (q->waiting) {
		free(q->waiting->ranges);
		q->waiting->ranges = NULL;
		virtq_unpop(q->vq, q->waiting->chain);
		q->waiting = NULL;
	}
	virtq_flush(q->vq);
	q->stopping = false;
}
