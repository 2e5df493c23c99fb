/*
 * What block.c, queue.c and queue_uring.c share: a queue, and a request's way through it.
 *
 *   submitted --start--> a job, which moves extent by extent (map, transfer) or is served by a worker
 *             --------> finished --> done()
 *
 * All of a queue belongs to its loop's thread, but for the list by which workers hand jobs back.
 */
#ifndef TRELLIS_DEVICES_BLOCK_QUEUE_H
#define TRELLIS_DEVICES_BLOCK_QUEUE_H

#include <stdatomic.h>

#include "devices/block/format.h"
#include "devices/block/iov.h"
#include "devices/block/span.h"
#include "devices/block/uring.h"
#include "devices/block/workers.h"

struct block {
	struct block_image image; /* constant but for what its format guards itself */
	char *label;              /* owned */
	enum block_cache cache;
	bool uring;       /* queues are to have an io_uring */
	bool uring_asked; /* and cannot do without */
	bool fixed_buffers;
	struct workers *workers;   /* owned; its own lock */
	struct block_file held;    /* owned; of a check: the file, locked as for writing, in place of image */
	_Atomic uint64_t capacity; /* what block_poll_size() saw last */
	atomic_int flush_failed;   /* a negative errno once the page cache has lost data; see job_flushed() */
	atomic_bool warned;        /* that a queue has no io_uring */
};

enum job_kind {
	JOB_SERVE, /* worker: the format does it */
	JOB_MOVE,  /* worker or ring: transfer with the extent */
	JOB_SYNC,  /* worker or ring: fdatasync */
	JOB_FLUSH, /* worker: after a write that must be on the medium, the format's own flush */
};

/* A request under way. */
struct block_job {
	struct work work; /* must be first: block_job_of() */
	struct block_queue *queue;
	struct block_req *req;
	struct block_job *next; /* in the free list, or among those that workers hand back */
	enum job_kind kind;
	bool sync;                /* a write that must be on the medium before it is done */
	struct iov_cursor cursor; /* what of the memory is still to be moved */
	struct block_extent x;    /* being moved */
	uint64_t left;            /* bytes of x still to be moved */
	uint64_t window;          /* bytes of them in flight, and how the memory was cut for them */
	struct iov_cut cut;
	struct span span; /* ring: of the write in flight */
	int rc;           /* worker's answer */
};

/* A part of guest memory that the ring knows as a fixed buffer. */
struct fixed_part {
	const uint8_t *base;
	uint64_t len;
};

struct block_queue {
	struct block *block; /* borrowed */
	struct loop *loop;   /* borrowed */
	unsigned int depth;
	unsigned int under_way; /* submitted and not done */
	struct block_req *submitted, **submitted_end;
	struct block_req *finished, **finished_end; /* done() is to be called */
	struct block_job *jobs;                     /* owned, depth of them */
	struct block_job *free;
	bool running;             /* inside queue_run() */
	uint64_t nr_done;         /* done() calls, ever */
	void (*batch)(void *ctx); /* after done() calls from the loop; may be NULL */
	void *batch_ctx;

	struct uring ring;        /* fd -1: everything goes to workers */
	struct fixed_part *fixed; /* owned; index: the buffer's number */
	unsigned int nr_fixed;

	int event_fd; /* owned; signalled by workers and by the ring */
	struct loop_source event_source;
	_Atomic(struct block_job *) returned; /* by workers; latest first */
	atomic_uint in_workers;               /* jobs that a worker has, or has not let go of completely */
};

/* ---- queue.c ---- */

/* On a worker's or the ring's word that the transfer or fdatasync in flight is over: go on with the job. */
void job_moved(struct block_job *job, int rc);
void job_synced(struct block_job *job, int rc);

/* Have a worker do kind; it comes back to the queue's thread by itself. */
void job_to_worker(struct block_job *job, enum job_kind kind);

/* ---- queue_uring.c; only with a ring ---- */

MUST_CHECK int queue_uring_init(struct block_queue *q, const struct gmem *mem, struct err *e);
void queue_uring_fini(struct block_queue *q);

/* Put the next part of the extent, or an fdatasync, into the ring. False: it must go to a worker. */
MUST_CHECK bool queue_uring_move(struct block_queue *q, struct block_job *job);
MUST_CHECK bool queue_uring_sync(struct block_queue *q, struct block_job *job);

/* Start what was put there; go on with what is over. */
void queue_uring_submit(struct block_queue *q);
void queue_uring_reap(struct block_queue *q);

#endif
