/*
 * Transfers by io_uring: what a job's extent becomes in the ring, and what a completion means. Whatever the
 * ring cannot do, a worker can: nothing is lost when the kernel takes no more.
 */
#include "devices/block/queue.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>

enum {
	WINDOW_ENTRIES = IOV_MAX, /* what the kernel takes in one vector */
	WINDOW_BYTES = 1 << 30,   /* and fewer bytes than it moves at once */
	FIXED_BYTES = 1 << 30,    /* of one fixed buffer (io_uring_register.2) */
	SUBMIT_TRIES = 8,
};

/* Register all of guest memory, in parts that the kernel takes. */
static int queue_register_memory(struct block_queue *q, const struct gmem *mem, struct err *e)
{
	struct iovec *iov;
	unsigned int nr = 0;
	int rc;

	for (unsigned int i = 0; i < mem->nr_ranges; i++)
		nr += (unsigned int)((mem->range[i].len + FIXED_BYTES - 1) / FIXED_BYTES);
	iov = calloc(MAX(nr, 1), sizeof(*iov));
	q->fixed = calloc(MAX(nr, 1), sizeof(*q->fixed));
	if (!iov || !q->fixed) {
		free(iov);
		return err_set(e, -ENOMEM, "no memory to register fixed buffers");
	}
	nr = 0;
	for (unsigned int i = 0; i < mem->nr_ranges; i++) {
		const struct gmem_range *r = &mem->range[i];

		for (uint64_t at = 0; at < r->len; at += FIXED_BYTES) {
			size_t len = (size_t)MIN(r->len - at, FIXED_BYTES);

			iov[nr] = (struct iovec){ .iov_base = r->hva + at, .iov_len = len };
			q->fixed[nr++] = (struct fixed_part){ .base = r->hva + at, .len = len };
		}
	}
	rc = uring_register_buffers(&q->ring, iov, nr);
	free(iov);
	if (rc < 0)
		return err_sys(
			e, rc,
			"guest memory cannot be registered as fixed buffers (it is locked in memory, which "
			"ulimit -l limits)");
	q->nr_fixed = nr;
	return 0;
}

int queue_uring_init(struct block_queue *q, const struct gmem *mem, struct err *e)
{
	int rc;

	rc = uring_init(&q->ring, q->depth, e);
	if (rc < 0)
		return rc;
	if ((rc = uring_register_file(&q->ring, q->block->image.file->fd)) < 0 ||
	    (rc = uring_register_event(&q->ring, q->event_fd)) < 0)
		err_sys(e, rc, "the io_uring does not take the image's file, or its eventfd");
	else if (q->block->fixed_buffers && mem)
		rc = queue_register_memory(q, mem, e);
	if (rc < 0)
		queue_uring_fini(q);
	return rc;
}

void queue_uring_fini(struct block_queue *q)
{
	uring_fini(&q->ring);
	free(q->fixed);
	q->fixed = NULL;
	q->nr_fixed = 0;
}

/* The number of the fixed buffer that holds all of v, or -1. */
static int fixed_index(const struct block_queue *q, const struct iovec *v)
{
	/* Below the part the difference wraps, to far beyond it. */
	for (unsigned int i = 0; i < q->nr_fixed; i++)
		if (range_ok((uintptr_t)v->iov_base - (uintptr_t)q->fixed[i].base, v->iov_len,
			     q->fixed[i].len))
			return (int)i;
	return -1;
}

static struct io_uring_sqe *job_sqe(struct block_queue *q, struct block_job *job, const struct block_file *f)
{
	struct io_uring_sqe *sqe = uring_sqe(&q->ring); /* there is room: no more than depth jobs exist */

	sqe->user_data = (uintptr_t)job;
	sqe->fd = f->fd;
	if (f == q->block->image.file) {
		sqe->fd = 0;
		sqe->flags = IOSQE_FIXED_FILE;
	}
	return sqe;
}

/* The operation for the memory of the window: one piece is cheaper than a vector, a registered one cheapest. */
static void sqe_set_memory(const struct block_queue *q, struct io_uring_sqe *sqe, const struct block_job *job,
			   bool write)
{
	const struct iovec *v = job->cursor.iov;
	int fixed;

	if (job->cut.nr != 1) {
		sqe->opcode = write ? IORING_OP_WRITEV : IORING_OP_READV;
		sqe->addr = (uintptr_t)v;
		sqe->len = job->cut.nr;
		return;
	}
	sqe->addr = (uintptr_t)v->iov_base;
	sqe->len = (uint32_t)v->iov_len;
	fixed = fixed_index(q, v);
	if (fixed < 0) {
		sqe->opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
		return;
	}
	sqe->opcode = write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
	sqe->buf_index = (uint16_t)fixed;
}

/*
 * Writes through the ring need a span only where a block is larger than a sector: elsewhere requests are whole
 * blocks, so that no read-modify-write of guest data exists, and a format's own data does not share a block
 * with it.
 */
static bool job_try_span(struct block_job *job, uint64_t at)
{
	const struct block_file *f = job->x.file;

	if (!f->spans || f->align <= BLOCK_SECTOR)
		return true;
	return spans_try_share(f->spans, &job->span, at, at + job->window);
}

bool queue_uring_move(struct block_queue *q, struct block_job *job)
{
	const struct block_file *f = job->x.file;
	uint64_t at = job->x.at + (job->x.bytes - job->left);
	bool write = job->req->op == BLOCK_WRITE;
	struct io_uring_sqe *sqe;

	job->window = MIN(job->left, WINDOW_BYTES);
	job->cut = iov_cut(&job->cursor, WINDOW_ENTRIES, &job->window);
	job->span.listed = false;
	if (!job->window || !block_file_aligned(f, at, job->cursor.iov, job->cut.nr, job->window) ||
	    (write && !job_try_span(job, at))) {
		iov_uncut(&job->cursor, &job->cut);
		return false;
	}
	job->kind = JOB_MOVE;
	sqe = job_sqe(q, job, f);
	sqe_set_memory(q, sqe, job, write);
	sqe->off = at;
	sqe->rw_flags = job->sync ? RWF_DSYNC : 0;
	return true;
}

bool queue_uring_sync(struct block_queue *q, struct block_job *job)
{
	struct io_uring_sqe *sqe = job_sqe(q, job, q->block->image.file);

	job->kind = JOB_SYNC;
	sqe->opcode = IORING_OP_FSYNC;
	sqe->fsync_flags = IORING_FSYNC_DATASYNC;
	return true;
}

/* The job leaves the ring for a worker, with the window that it has. */
static void job_leave_ring(struct block_job *job)
{
	/* Held by one who waits for a worker, it could keep all workers waiting: a worker takes its own. */
	if (job->x.file && job->x.file->spans)
		spans_release(job->x.file->spans, &job->span);
	job_to_worker(job, job->kind);
}

void queue_uring_submit(struct block_queue *q)
{
	uint64_t data;

	if (!uring_pending(&q->ring) && !uring_must_enter(&q->ring))
		return;
	for (unsigned int i = 0; i < SUBMIT_TRIES; i++) {
		int rc = uring_enter(&q->ring);

		if (!rc)
			return;
		if (rc != -EAGAIN && rc != -EBUSY)
			break;
		/* No memory for a request, or too many completions wait: they hold what the next one needs. */
		queue_uring_reap(q);
	}
	while (uring_take_back(&q->ring, &data))
		job_leave_ring((struct block_job *)(uintptr_t)data);
}

/* What the kernel says of a transfer: all of it, part of it, or a reason. */
static void job_completed(struct block_job *job, int res)
{
	const struct block_file *f = job->x.file;
	bool write = job->req->op == BLOCK_WRITE;

	if (res == -EAGAIN || res == -EINTR) {
		job_leave_ring(job); /* whoever may wait can do it */
		return;
	}
	if (job->kind == JOB_SYNC) {
		job_synced(job, res);
		return;
	}
	if (f->spans)
		spans_release(f->spans, &job->span);
	if (res < 0 || (uint64_t)res >= job->window) {
		job_moved(job, MIN(res, 0));
		return;
	}
	if (!res && write) {
		job_moved(job, -ENOSPC);
		return;
	}
	/* Less than asked. The end of a file reads as zeros; else go on behind what was moved. */
	iov_uncut(&job->cursor, &job->cut);
	job->cut = (struct iov_cut){ 0 };
	if (res)
		job->window = (uint64_t)res;
	else
		iov_zero(job->cursor.iov, job->cursor.nr, 0, job->window);
	job_moved(job, 0);
}

void queue_uring_reap(struct block_queue *q)
{
	const struct io_uring_cqe *cqe;

	/* Bounded: a round completes no more than was under way; what it starts is submitted in the next. */
	while ((cqe = uring_cqe(&q->ring))) {
		struct block_job *job = (struct block_job *)(uintptr_t)cqe->user_data;
		int res = cqe->res;

		uring_cqe_seen(&q->ring);
		job_completed(job, res);
	}
}
