/*
 * What the tests of disks share: a temporary folder, an image in it, a queue with a loop that the test runs
 * by hand, and requests that say when they are done.
 */
#ifndef TRELLIS_DEVICES_BLOCK_RIG_H
#define TRELLIS_DEVICES_BLOCK_RIG_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/block.h"

struct rig {
	char dir[64];
	char path[128];
	struct block_options o;
	struct block *block;
	struct block_queue *queue;
	struct loop loop;
	struct err err;
};

/* A request with memory of its own. */
struct rig_req {
	struct block_req r;
	struct iovec iov[8];
	bool over;
	int rc;
};

static inline void rig_done(struct block_req *r, int rc)
{
	struct rig_req *q = (struct rig_req *)r;

	ck_assert(!q->over);
	q->over = true;
	q->rc = rc;
}

/* Below $TMPDIR, else /var/tmp: /tmp may be a file system without direct I/O. */
static inline void rig_init(struct rig *g)
{
	const char *tmp = getenv("TMPDIR");

	*g = (struct rig){ .o = { .format = BLOCK_RAW, .label = "disk0" } };
	snprintf(g->dir, sizeof(g->dir), "%s/block_test_XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/var/tmp");
	ck_assert_ptr_nonnull(mkdtemp(g->dir));
	snprintf(g->path, sizeof(g->path), "%s/disk.img", g->dir);
	g->o.path = g->path;
	ck_assert_int_eq(loop_init(&g->loop, &g->err), 0);
}

static inline void rig_close(struct rig *g)
{
	block_queue_close(g->queue);
	block_close(g->block);
	g->queue = NULL;
	g->block = NULL;
}

static inline void rig_fini(struct rig *g)
{
	char command[160];

	rig_close(g);
	loop_fini(&g->loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", g->dir);
	ck_assert_int_eq(system(command), 0);
}

static inline void rig_make_file(struct rig *g, uint64_t bytes)
{
	int fd = open(g->path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

static inline uint64_t rig_file_bytes(const struct rig *g)
{
	struct stat st;

	ck_assert_int_eq(stat(g->path, &st), 0);
	return (uint64_t)st.st_size;
}

/* Open g->o with a queue; a failure fails the test with its sentence. */
static inline void rig_open(struct rig *g, unsigned int depth)
{
	int rc = block_open(&g->block, &g->o, &g->err);

	ck_assert_msg(rc == 0, "%s", g->err.text);
	rc = block_queue_open(&g->queue, g->block, &g->loop, NULL, depth, &g->err);
	ck_assert_msg(rc == 0, "%s", g->err.text);
}

/* Fill in a request of one piece of memory. */
static inline void rig_prepare(struct rig_req *q, enum block_op op, uint64_t offset, void *buf,
			       uint64_t bytes)
{
	*q = (struct rig_req){ .r = { .op = op, .offset = offset, .bytes = bytes, .done = rig_done } };
	q->iov[0] = (struct iovec){ .iov_base = buf, .iov_len = (size_t)bytes };
	q->r.iov = q->iov;
	q->r.nr_iov = buf ? 1 : 0;
}

/* Submit, and run the loop until it is over; ten seconds are for ever. */
static inline int rig_finish(struct rig *g, struct rig_req *q)
{
	block_submit(g->queue, &q->r);
	block_kick(g->queue);
	for (unsigned int i = 0; i < 1000 && !q->over; i++)
		ck_assert_int_ge(loop_run_once(&g->loop, 10), 0);
	ck_assert_msg(q->over, "a request got lost");
	return q->rc;
}

static inline int rig_do(struct rig *g, enum block_op op, uint64_t offset, void *buf, uint64_t bytes)
{
	struct rig_req q;

	rig_prepare(&q, op, offset, buf, bytes);
	return rig_finish(g, &q);
}

/* Is there io_uring here? Tests for it are skipped where there is none. */
static inline bool rig_has_uring(struct rig *g)
{
	int aio = g->o.aio;
	bool yes;

	g->o.aio = AIO_AUTO;
	ck_assert_int_eq(block_open(&g->block, &g->o, &g->err), 0);
	yes = !strcmp(block_engine_name(g->block), "io_uring");
	rig_close(g);
	g->o.aio = aio;
	return yes;
}

#endif
