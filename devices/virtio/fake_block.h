/*
 * A disk in memory in place of devices/block/, for virtio_blk_test.c and virtio_blk_fuzz.c: it does what
 * block.h promises, when and how the test wants it, and ends the program when its caller breaks the contract.
 * Include it in one file of a program, which then is not linked with the real one.
 */
#ifndef TRELLIS_DEVICES_FAKE_BLOCK_H
#define TRELLIS_DEVICES_FAKE_BLOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/block/block.h"

#define FAKE_DEMAND(cond)                                                                                    \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			fprintf(stderr, "fake_block: broken contract: %s\n", #cond);                         \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

enum fake_when {
	FAKE_AT_KICK, /* done inside block_kick(), as from the page cache */
	FAKE_LATER,   /* done from the loop */
	FAKE_HELD,    /* done from the loop after fake_release(), or in block_drain() */
};

enum { FAKE_QUEUES = 64, FAKE_LOG = 64 };

struct fake_request {
	enum block_op op;
	bool fua, unmap;
	uint64_t offset, bytes;
	unsigned int nr_iov;
};

struct block {
	struct block_info info;
	uint8_t *data; /* owned; NULL: what is read stays as it is, as of the null disk */
	enum fake_when when;
	int fail; /* negative errno for requests of fail_op */
	enum block_op fail_op;
	unsigned int fail_after; /* so many of them succeed first */
	uint64_t resize_bytes;   /* block_poll_size() finds it; 0: nothing new */
	int open_rc;             /* of block_queue_open() */
	pthread_mutex_t lock;    /* of all below: a queue's thread may be any */
	unsigned int nr_queues, kicks;
	struct block_queue *queue[FAKE_QUEUES];
	struct fake_request log[FAKE_LOG]; /* what was submitted, the last ones */
	unsigned int logged;
	void (*meanwhile)(void); /* at the end of each block_kick(): what a driver does at that time; NULL: nothing */
};

struct block_queue {
	struct block *b;
	struct loop *loop;
	struct loop_source source;
	struct block_req *first, *last;     /* submitted */
	struct block_req *started, *newest; /* kicked */
	unsigned int under_way, depth;
	bool draining;
	void (*batch)(void *ctx);
	void *ctx;
};

static struct block *fake_new(uint64_t bytes)
{
	struct block *b = calloc(1, sizeof(*b));

	FAKE_DEMAND(b);
	b->info = (struct block_info){
		.capacity_bytes = bytes,
		.logical_bytes = 512,
		.physical_bytes = 4096,
		.opt_io_bytes = 65536,
		.discard_bytes = 4096,
		.write_cache = true,
	};
	pthread_mutex_init(&b->lock, NULL);
	if (bytes <= 64 * MIB)
		b->data = calloc(1, bytes);
	return b;
}

static void fake_free(struct block *b)
{
	FAKE_DEMAND(!b->nr_queues);
	pthread_mutex_destroy(&b->lock);
	free(b->data);
	free(b);
}

/* The request that was submitted last, or n before it. */
__attribute__((unused)) static const struct fake_request *fake_logged(const struct block *b, unsigned int n)
{
	return &b->log[(b->logged - 1 - n) % FAKE_LOG];
}

static void fake_append(struct block_req **first, struct block_req **last, struct block_req *r)
{
	r->next = NULL;
	if (*first)
		(*last)->next = r;
	else
		*first = r;
	*last = r;
}

static struct block_req *fake_take(struct block_req **first)
{
	struct block_req *r = *first;

	if (r)
		*first = r->next;
	return r;
}

static void fake_move(struct block *b, const struct block_req *r)
{
	uint8_t *at = b->data + r->offset;

	for (unsigned int i = 0; i < r->nr_iov; i++) {
		if (r->op == BLOCK_READ)
			memcpy(r->iov[i].iov_base, at, r->iov[i].iov_len);
		else
			memcpy(at, r->iov[i].iov_base, r->iov[i].iov_len);
		at += r->iov[i].iov_len;
	}
	if (r->op == BLOCK_DISCARD || r->op == BLOCK_ZEROES)
		memset(at, 0, r->bytes);
	/* The engine may change it, so that nobody may look at it afterwards. */
	for (unsigned int i = 0; i < r->nr_iov; i++)
		r->iov[i] = (struct iovec){ 0 };
}

static void fake_finish(struct block_queue *q, struct block_req *r)
{
	struct block *b = q->b;
	int rc = 0;

	if (b->fail && r->op == b->fail_op) {
		if (b->fail_after)
			b->fail_after--;
		else
			rc = b->fail;
	}
	if (!rc && b->data)
		fake_move(b, r);
	q->under_way--;
	r->done(r, rc);
}

static void fake_signal(struct block_queue *q)
{
	uint64_t one = 1;

	FAKE_DEMAND(write(q->source.fd, &one, sizeof(one)) == sizeof(one));
}

static void fake_ready(void *ctx, uint32_t events)
{
	struct block_queue *q = ctx;
	struct block_req *r, *todo = q->started;
	uint64_t count;

	(void)events;
	FAKE_DEMAND(read(q->source.fd, &count, sizeof(count)) == sizeof(count));
	q->started = NULL;
	while ((r = fake_take(&todo)))
		fake_finish(q, r);
	if (q->batch)
		q->batch(q->ctx);
}

/* Let what is held go, on all queues. */
__attribute__((unused)) static void fake_release(struct block *b)
{
	for (unsigned int i = 0; i < b->nr_queues; i++)
		fake_signal(b->queue[i]);
}

void block_get_info(struct block *b, struct block_info *info)
{
	*info = b->info;
}

bool block_poll_size(struct block *b)
{
	if (!b->resize_bytes || b->resize_bytes == b->info.capacity_bytes)
		return false;
	b->data = realloc(b->data, b->resize_bytes);
	FAKE_DEMAND(b->data);
	b->info.capacity_bytes = b->resize_bytes;
	return true;
}

int block_queue_open(struct block_queue **out, struct block *b, struct loop *loop, const struct gmem *mem,
		     unsigned int depth, struct err *e)
{
	struct block_queue *q;

	(void)mem;
	*out = NULL;
	if (b->open_rc)
		return err_set(e, b->open_rc, "the test wants it so");
	q = calloc(1, sizeof(*q));
	FAKE_DEMAND(q);
	q->b = b;
	q->loop = loop;
	q->depth = depth;
	q->source = (struct loop_source){ .fd = eventfd(0, EFD_CLOEXEC), .ready = fake_ready, .ctx = q };
	FAKE_DEMAND(q->source.fd >= 0 && loop_add(loop, &q->source, EPOLLIN) == 0);
	pthread_mutex_lock(&b->lock);
	FAKE_DEMAND(b->nr_queues < FAKE_QUEUES);
	b->queue[b->nr_queues++] = q;
	pthread_mutex_unlock(&b->lock);
	*out = q;
	return 0;
}

void block_queue_on_batch(struct block_queue *q, void (*batch)(void *ctx), void *ctx)
{
	q->batch = batch;
	q->ctx = ctx;
}

void block_queue_close(struct block_queue *q)
{
	struct block *b;

	if (!q)
		return;
	block_drain(q);
	b = q->b;
	loop_del(q->loop, &q->source);
	close(q->source.fd);
	pthread_mutex_lock(&b->lock);
	for (unsigned int i = 0; i < b->nr_queues; i++)
		if (b->queue[i] == q)
			b->queue[i] = b->queue[--b->nr_queues];
	pthread_mutex_unlock(&b->lock);
	free(q);
}

void block_submit(struct block_queue *q, struct block_req *r)
{
	struct block *b = q->b;
	uint64_t sum = 0;

	FAKE_DEMAND(!q->draining);
	FAKE_DEMAND(q->under_way < q->depth);
	FAKE_DEMAND(r->offset % BLOCK_SECTOR == 0 && r->bytes % BLOCK_SECTOR == 0);
	FAKE_DEMAND(range_ok(r->offset, r->bytes, b->info.capacity_bytes));
	FAKE_DEMAND(r->nr_iov <= 1024);
	for (unsigned int i = 0; i < r->nr_iov; i++) {
		FAKE_DEMAND(r->iov[i].iov_base);
		sum += r->iov[i].iov_len;
	}
	FAKE_DEMAND(sum == (r->op == BLOCK_READ || r->op == BLOCK_WRITE ? r->bytes : 0));
	FAKE_DEMAND((r->bytes == 0) == (r->op == BLOCK_FLUSH));
	FAKE_DEMAND(!b->info.readonly || r->op == BLOCK_READ || r->op == BLOCK_FLUSH);

	pthread_mutex_lock(&b->lock);
	b->log[b->logged++ % FAKE_LOG] = (struct fake_request){
		.op = r->op,
		.fua = r->fua,
		.unmap = r->unmap,
		.offset = r->offset,
		.bytes = r->bytes,
		.nr_iov = r->nr_iov,
	};
	pthread_mutex_unlock(&b->lock);
	q->under_way++;
	fake_append(&q->first, &q->last, r);
}

void block_kick(struct block_queue *q)
{
	struct block_req *r, *todo = q->first;
	enum fake_when when = q->b->when;

	q->first = NULL;
	if (!todo)
		return;
	pthread_mutex_lock(&q->b->lock);
	q->b->kicks++;
	pthread_mutex_unlock(&q->b->lock);
	while ((r = fake_take(&todo))) {
		if (when == FAKE_AT_KICK)
			fake_finish(q, r);
		else
			fake_append(&q->started, &q->newest, r);
	}
	if (when == FAKE_LATER)
		fake_signal(q);
	if (q->b->meanwhile)
		q->b->meanwhile();
}

void block_drain(struct block_queue *q)
{
	struct block_req *r;

	q->draining = true;
	while ((r = fake_take(&q->started)) || (r = fake_take(&q->first)))
		fake_finish(q, r);
	FAKE_DEMAND(!q->under_way);
	q->draining = false;
}

#endif
