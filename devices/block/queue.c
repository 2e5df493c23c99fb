/*
 * A queue: requests in, extents to the ring or to workers, requests out. It knows no format's insides and no
 * system call of io_uring.
 */
#include "devices/block/queue.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/log.h"

/* Rounds of starting and completing before other sources of the loop have their turn. */
enum { QUEUE_ROUNDS = 4 };

static bool op_writes(enum block_op op)
{
	return op == BLOCK_WRITE || op == BLOCK_DISCARD || op == BLOCK_ZEROES;
}

/* ---- the end of a request ---- */

static void req_finish(struct block_queue *q, struct block_req *r, int rc)
{
	r->rc = rc;
	r->next = NULL;
	*q->finished_end = r;
	q->finished_end = &r->next;
}

static void job_finish(struct block_job *job, int rc)
{
	struct block_queue *q = job->queue;

	req_finish(q, job->req, rc);
	job->next = q->free;
	q->free = job;
}

/* ---- on a worker ---- */

/* The rest of the request as the format is to see it; the request itself stays as its owner made it. */
static int job_serve(struct block_job *job)
{
	struct block_req rest = *job->req;

	rest.offset += rest.moved;
	rest.bytes -= rest.moved;
	rest.moved = 0;
	rest.iov = job->cursor.iov;
	rest.nr_iov = job->cursor.nr;
	return job->queue->block->image.ops->serve(job->queue->block->image.image, &rest);
}

static int image_flush(const struct block_image *img)
{
	struct block_req flush = { .op = BLOCK_FLUSH };

	return img->ops->serve(img->image, &flush);
}

static int job_transfer(const struct block_job *job)
{
	const struct block_extent *x = &job->x;
	uint64_t at = x->at + (x->bytes - job->left);

	if (job->req->op == BLOCK_READ)
		return block_file_readv(x->file, at, job->cursor.iov, job->cut.nr, job->window);
	return block_file_writev(x->file, at, job->cursor.iov, job->cut.nr, job->window, job->sync);
}

static int job_work(struct block_job *job)
{
	const struct block_image *img = &job->queue->block->image;
	int rc;

	switch (job->kind) {
	case JOB_MOVE:
		return job_transfer(job);
	case JOB_SYNC:
		return block_file_sync(img->file);
	case JOB_FLUSH:
		return image_flush(img);
	case JOB_SERVE:
		rc = job_serve(job);
		return rc || !job->sync ? rc : image_flush(img);
	}
	return -EINVAL;
}

static void queue_signal(struct block_queue *q)
{
	uint64_t one = 1;

	(void)!write(q->event_fd, &one,
		     sizeof(one)); /* fails only when it is signalled 2^64 - 1 times over */
}

static void job_run(struct work *w)
{
	struct block_job *job = (struct block_job *)w; /* its first member */
	struct block_queue *q = job->queue;
	struct block_job *was;

	job->rc = job_work(job);
	was = atomic_load_explicit(&q->returned, memory_order_relaxed);
	do
		job->next = was;
	/* Release pairs with the acquire in queue_take_returned(): the job is written before it is seen. */
	while (!atomic_compare_exchange_weak_explicit(&q->returned, &was, job, memory_order_acq_rel,
						      memory_order_relaxed));
	if (!was)
		queue_signal(q); /* with some there already, somebody has signalled, or is about to */
	/* The last that we touch of q. Release pairs with the acquire in block_queue_close(), which frees it. */
	atomic_fetch_sub_explicit(&q->in_workers, 1, memory_order_release);
}

void job_to_worker(struct block_job *job, enum job_kind kind)
{
	job->kind = kind;
	job->work.run = job_run;
	atomic_fetch_add_explicit(&job->queue->in_workers, 1, memory_order_relaxed);
	workers_add(job->queue->block->workers, &job->work);
}

/* ---- a request's way ---- */

/* All data has been moved, or the format has served it. */
static void job_settle(struct block_job *job)
{
	const struct block_image *img = &job->queue->block->image;

	if (job->sync && img->ops->flush_needs_work(img->image))
		job_to_worker(job, JOB_FLUSH); /* the data is on the medium, but not yet where to find it */
	else
		job_finish(job, 0);
}

/* Move what is left of the extent, by the ring or else by a worker. */
static void job_move(struct block_job *job)
{
	struct block_queue *q = job->queue;

	if (q->ring.fd >= 0 && queue_uring_move(q, job))
		return;
	job->window = job->left;
	job->cut = iov_cut(&job->cursor, UINT32_MAX, &job->window);
	if (job->window)
		job_to_worker(job, JOB_MOVE);
	else
		job_moved(
			job,
			-EINVAL); /* less memory than bytes: the caller's mistake must not go round for ever */
}

/* Begin the next extents, up to one that takes time. */
static void job_step(struct block_job *job)
{
	const struct block_image *img = &job->queue->block->image;
	struct block_req *r = job->req;
	struct block_extent *x = &job->x;
	bool write = r->op == BLOCK_WRITE;

	while (r->moved < r->bytes) {
		img->ops->map(img->image, write, r->offset + r->moved, r->bytes - r->moved, x);
		assert(x->bytes && x->bytes <= r->bytes - r->moved); /* every map() */
		if (x->kind == BLOCK_NEEDS_WORK) {
			job_to_worker(job, JOB_SERVE);
			return;
		}
		if (x->kind == BLOCK_AT_FILE) {
			job->left = x->bytes;
			job_move(job);
			return;
		}
		if (!write)
			iov_zero(job->cursor.iov, job->cursor.nr, 0, x->bytes);
		iov_advance(&job->cursor, x->bytes);
		r->moved += x->bytes;
	}
	job_settle(job);
}

/*
 * The end of a flush. Once one has failed, none succeeds: see block_file_synced(). The file itself has heard of
 * what a worker synced, for whatever reason; this is for the ring's, and for a format's failures.
 */
static int job_flushed(const struct block_job *job, int rc)
{
	struct block *b = job->queue->block;
	int none = 0;

	if (!b->image.file)
		return rc;
	if (rc < 0 && !b->image.file->direct)
		atomic_compare_exchange_strong(&b->flush_failed, &none, rc);
	if (rc == 0)
		rc = atomic_load(&b->flush_failed);
	return rc < 0 ? rc : block_file_synced(b->image.file, 0);
}

void job_moved(struct block_job *job, int rc)
{
	const struct block_image *img = &job->queue->block->image;

	iov_uncut(&job->cursor, &job->cut);
	if (rc >= 0) {
		iov_advance(&job->cursor, job->window);
		job->left -= job->window;
		if (job->left) {
			job_move(job);
			return;
		}
	}
	if (img->ops->mapped_done)
		img->ops->mapped_done(img->image, &job->x, job->req->op == BLOCK_WRITE);
	if (rc == -EIO && job->sync) /* RWF_DSYNC also tells, once, of what earlier writes have lost */
		rc = job_flushed(job, rc);
	if (rc < 0) {
		job_finish(job, rc);
		return;
	}
	job->req->moved += job->x.bytes;
	job_step(job);
}

void job_synced(struct block_job *job, int rc)
{
	job_finish(job, job_flushed(job, rc));
}

static void job_start_flush(struct block_job *job)
{
	struct block_queue *q = job->queue;
	const struct block_image *img = &q->block->image;

	if (q->block->cache == CACHE_UNSAFE || !img->file)
		job_finish(job, 0);
	else if (img->ops->flush_needs_work(img->image))
		job_to_worker(job, JOB_SERVE);
	else if (q->ring.fd < 0 || !queue_uring_sync(q, job))
		job_to_worker(job, JOB_SYNC);
}

static void job_start(struct block_job *job, struct block_req *r)
{
	struct block_queue *q = job->queue;
	const struct block_image *img = &q->block->image;
	bool through = q->block->cache == CACHE_WRITETHROUGH || q->block->cache == CACHE_DIRECTSYNC;

	job->req = r;
	job->x = (struct block_extent){ 0 };
	job->span.listed = false;
	job->cursor = (struct iov_cursor){ .iov = r->iov, .nr = r->nr_iov };
	job->sync = (r->op == BLOCK_WRITE || r->op == BLOCK_ZEROES) && (r->fua || through) &&
		    q->block->cache != CACHE_UNSAFE;
	r->moved = 0;
	if (op_writes(r->op) && img->info.readonly)
		job_finish(job, -EROFS);
	else if (r->op == BLOCK_FLUSH)
		job_start_flush(job);
	else if (r->op == BLOCK_READ || r->op == BLOCK_WRITE)
		job_step(job);
	else if (!img->file || (r->op == BLOCK_DISCARD && !img->info.discard_bytes))
		job_finish(job, 0); /* null; or a hint that is not taken */
	else
		job_to_worker(job,
			      JOB_SERVE); /* an io_uring would have a thread of the kernel do it: no gain */
}

/* A worker has come back. */
static void job_returned(struct block_job *job)
{
	switch (job->kind) {
	case JOB_MOVE:
		job_moved(job, job->rc);
		break;
	case JOB_SYNC:
		job_synced(job, job->rc);
		break;
	case JOB_FLUSH:
		job_finish(job, job_flushed(job, job->rc));
		break;
	case JOB_SERVE:
		job_finish(job, job->req->op == BLOCK_FLUSH ? job_flushed(job, job->rc) : job->rc);
		break;
	}
}

/* ---- the queue ---- */

static void queue_start(struct block_queue *q)
{
	while (q->submitted && q->free) {
		struct block_req *r = q->submitted;
		struct block_job *job = q->free;

		q->submitted = r->next;
		if (!q->submitted)
			q->submitted_end = &q->submitted;
		q->free = job->next;
		job_start(job, r);
	}
}

static void queue_take_returned(struct block_queue *q)
{
	struct block_job *latest, *first = NULL;

	if (!atomic_load_explicit(&q->returned, memory_order_relaxed))
		return;
	latest = atomic_exchange_explicit(&q->returned, NULL, memory_order_acquire);
	while (latest) { /* turn the list round: first come, first served */
		struct block_job *job = latest;

		latest = job->next;
		job->next = first;
		first = job;
	}
	while (first) {
		struct block_job *job = first;

		first = job->next;
		job_returned(job);
	}
}

static void queue_finish(struct block_queue *q)
{
	struct block_req *r = q->finished;

	q->finished = NULL;
	q->finished_end = &q->finished;
	while (r) {
		struct block_req *next = r->next; /* r is its owner's again in done() */

		q->under_way--;
		q->nr_done++;
		r->done(r, r->rc);
		r = next;
	}
}

/* Is there something to do without waiting for anybody? */
static bool queue_ready(const struct block_queue *q)
{
	return (q->submitted && q->free) || q->finished || (q->ring.fd >= 0 && uring_pending(&q->ring));
}

static void queue_run(struct block_queue *q)
{
	bool more = false;

	if (q->running)
		return; /* called from done(): the rounds below see to what was submitted */
	q->running = true;
	for (unsigned int i = 0; i < QUEUE_ROUNDS; i++) {
		if (q->ring.fd >= 0)
			(void)uring_quiet(&q->ring, true);
		queue_start(q);
		if (q->ring.fd >= 0) {
			queue_uring_submit(q);
			queue_uring_reap(q);
		}
		queue_take_returned(q);
		queue_finish(q);
		more = (q->ring.fd >= 0 && uring_quiet(&q->ring, false)) || queue_ready(q);
		if (!more)
			break;
	}
	if (more)
		queue_signal(q); /* go on after the others */
	q->running = false;
}

/* From the loop: nobody else is there to say that a run of done() calls is over. */
static void event_ready(void *ctx, uint32_t events)
{
	struct block_queue *q = ctx;
	uint64_t was = q->nr_done;

	(void)events; /* edge-triggered: the eventfd need not be read */
	queue_run(q);
	if (q->nr_done != was && q->batch)
		q->batch(q->batch_ctx);
}

void block_queue_on_batch(struct block_queue *q, void (*batch)(void *ctx), void *ctx)
{
	q->batch = batch;
	q->batch_ctx = ctx;
}

void block_submit(struct block_queue *q, struct block_req *r)
{
	r->queue = q;
	r->next = NULL;
	*q->submitted_end = r;
	q->submitted_end = &r->next;
	q->under_way++;
}

void block_kick(struct block_queue *q)
{
	queue_run(q);
}

void block_drain(struct block_queue *q)
{
	queue_run(q);
	while (q->under_way) {
		struct pollfd fd = { .fd = q->event_fd, .events = POLLIN };
		uint64_t count;

		(void)poll(&fd, 1, -1);
		(void)!read(q->event_fd, &count,
			    sizeof(count)); /* does not block; poll() looks at the level */
		queue_run(q);
	}
}

static int queue_init(struct block_queue *q, const struct gmem *mem, struct err *e)
{
	struct err why = { 0 };
	int rc = 0;

	q->jobs = calloc(q->depth, sizeof(*q->jobs));
	q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->event_source = (struct loop_source){ .fd = q->event_fd, .ready = event_ready, .ctx = q };
	if (!q->jobs)
		return err_set(e, -ENOMEM, "%s: no memory for a queue of %u requests", q->block->label,
			       q->depth);
	if (q->event_fd < 0)
		return err_sys(e, -errno, "%s: cannot make an eventfd", q->block->label);
	for (unsigned int i = 0; i < q->depth; i++) {
		q->jobs[i].queue = q;
		q->jobs[i].next = q->free;
		q->free = &q->jobs[i];
	}
	rc = loop_add(q->loop, &q->event_source, EPOLLIN | EPOLLET);
	if (rc < 0)
		return err_sys(e, rc, "%s: cannot wait for events", q->block->label);
	if (!q->block->uring)
		return 0;
	rc = queue_uring_init(q, mem, &why);
	if (!rc)
		return 0;
	if (q->block->uring_asked)
		return err_set(e, rc, "%s: %s; aio=threads works without", q->block->label, why.text);
	if (!atomic_exchange(&q->block->warned, true))
		log_warn("%s: %s: it goes on with threads", q->block->label, why.text);
	return 0;
}

int block_queue_open(struct block_queue **q, struct block *b, struct loop *loop, const struct gmem *mem,
		     unsigned int depth, struct err *e)
{
	struct block_queue *n = calloc(1, sizeof(*n));
	int rc;

	*q = NULL;
	if (!n)
		return err_set(e, -ENOMEM, "%s: no memory for a queue", b->label);
	*n = (struct block_queue){
		.block = b, .loop = loop, .depth = MAX(depth, 1), .event_fd = -1, .ring.fd = -1
	};
	n->submitted_end = &n->submitted;
	n->finished_end = &n->finished;
	rc = queue_init(n, mem, e);
	if (rc < 0) {
		block_queue_close(n);
		return rc;
	}
	*q = n;
	return 0;
}

void block_queue_close(struct block_queue *q)
{
	if (!q)
		return;
	if (q->under_way)
		block_drain(q);
	while (atomic_load_explicit(&q->in_workers, memory_order_acquire))
		(void)poll(NULL, 0, 1); /* one has handed in its job and is about to leave */
	if (q->ring.fd >= 0)
		queue_uring_fini(q);
	if (q->event_fd >= 0) {
		loop_del(q->loop, &q->event_source);
		close(q->event_fd);
	}
	free(q->jobs);
	free(q);
}
