/*
 * Disks through their queues: every engine with every cache mode against a model, and a request's way through
 * extents of every kind (a format of the test's own). What a power cut leaves is not tested here.
 */
#include <sys/mman.h>

#include "devices/block/block_rig.h"
#include "devices/block/queue.h"

enum { SECTOR = 512, DISK = 1 << 20, DEPTH = 16 };

static struct rig g;
static uint8_t *mem; /* 4 MiB */

static void setup(void)
{
	rig_init(&g);
	ck_assert_int_eq(posix_memalign((void **)&mem, 4096, 4 << 20), 0);
}

static void teardown(void)
{
	rig_fini(&g);
	free(mem);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void ck_open_fails(int want, const char *part)
{
	ck_assert_int_eq(block_open(&g.block, &g.o, &g.err), want);
	ck_assert_ptr_null(g.block);
	ck_assert_msg(strstr(g.err.text, part) != NULL, "no '%s' in: %s", part, g.err.text);
}

/* ---- opening ---- */

START_TEST(unfit_images_have_their_sentences)
{
	ck_open_fails(-ENOENT, "an empty disk is made with: qemu-img create -f raw");
	g.o.format = BLOCK_QCOW2;
	ck_open_fails(-ENOENT, "an empty disk is made with: qemu-img create -f qcow2");
	g.o.format = BLOCK_RAW;
	rig_make_file(&g, 0);
	ck_open_fails(-EINVAL, "is empty (0 bytes)");
	g.o.readonly = g.o.snapshot = true;
	ck_open_fails(-EINVAL, "either readonly=on or snapshot=on");
}
END_TEST

START_TEST(an_image_in_doubt_is_never_guessed_for_writing)
{
	int fd;

	g.o.format = -1;
	rig_make_file(&g, DISK);
	rig_open(&g, 1);
	rig_close(&g);
	fd = open(g.path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(write(fd, "QFI\xfb", 4), 4);
	close(fd);
	ck_open_fails(-EINVAL, "format=qcow2 or format=raw");
	ck_assert(g.err.usage);
	g.o.format = BLOCK_RAW;
	rig_open(&g, 1);
}
END_TEST

START_TEST(a_file_named_qcow2_without_its_content_is_refused)
{
	g.o.format = -1;
	strcat(g.path, ".qcow2");
	ck_open_fails(-ENOENT, "there is no");
	rig_make_file(&g, DISK);
	ck_open_fails(-EINVAL, "has the name of a qcow2 image");
	g.o.readonly = true;
	rig_open(&g, 1);
}
END_TEST

START_TEST(info_says_what_the_mode_means)
{
	static const bool write_cache[] = {
		[CACHE_WRITEBACK] = true,   [CACHE_NONE] = true,   [CACHE_WRITETHROUGH] = false,
		[CACHE_DIRECTSYNC] = false, [CACHE_UNSAFE] = true,
	};
	struct block_info info;
	int rc;

	rig_make_file(&g, DISK);
	g.o.cache = _i;
	rc = block_open(&g.block, &g.o, &g.err);
	if (rc == -EOPNOTSUPP) /* no direct I/O on this file system */
		return;
	ck_assert_int_eq(rc, 0);
	block_get_info(g.block, &info);
	ck_assert_uint_eq(info.capacity_bytes, DISK);
	ck_assert_uint_eq(info.logical_bytes, SECTOR);
	ck_assert_uint_eq(info.discard_bytes, 0);
	ck_assert(!info.readonly);
	ck_assert(info.write_cache == write_cache[_i]);
}
END_TEST

START_TEST(a_part_of_a_sector_counts_as_one_and_is_filled_with_zeros)
{
	struct block_info info;

	rig_make_file(&g, 1000);
	rig_open(&g, 1);
	block_get_info(g.block, &info);
	ck_assert_uint_eq(info.capacity_bytes, 1024);
	memset(mem, 0xee, 1024);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 0, mem, 1024), 0);
	ck_assert_uint_eq(mem[1023], 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_WRITE, 512, mem + 2048, 512), 0);
	ck_assert_uint_eq(rig_file_bytes(&g), 1024);
	ck_assert(!block_poll_size(g.block));
}
END_TEST

START_TEST(a_file_of_another_size_is_noticed_once)
{
	struct block_info info;

	rig_make_file(&g, DISK);
	rig_open(&g, 1);
	ck_assert(!block_poll_size(g.block));
	ck_assert_int_eq(truncate(g.path, 2 * DISK + 100), 0);
	ck_assert(block_poll_size(g.block));
	ck_assert(!block_poll_size(g.block));
	block_get_info(g.block, &info);
	ck_assert_uint_eq(info.capacity_bytes, 2 * DISK + SECTOR);
	ck_assert_int_eq(truncate(g.path, 0), 0);
	ck_assert(!block_poll_size(g.block));
}
END_TEST

START_TEST(a_readonly_disk_takes_no_writes)
{
	rig_make_file(&g, DISK);
	g.o.readonly = true;
	rig_open(&g, 1);
	ck_assert_int_eq(rig_do(&g, BLOCK_WRITE, 0, mem, SECTOR), -EROFS);
	ck_assert_int_eq(rig_do(&g, BLOCK_ZEROES, 0, NULL, SECTOR), -EROFS);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 0, mem, SECTOR), 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), 0);
}
END_TEST

START_TEST(the_null_disk_is_zeros_whatever_was_written)
{
	g.o.format = BLOCK_NULL;
	g.o.path = "64G";
	rig_open(&g, 4);
	memset(mem, 1, SECTOR);
	ck_assert_int_eq(rig_do(&g, BLOCK_WRITE, 63 * GIB, mem, SECTOR), 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 63 * GIB, mem, SECTOR), 0);
	ck_assert_uint_eq(mem[0] | mem[511], 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_ZEROES, 0, NULL, SECTOR), 0);
	rig_close(&g);
	g.o.path = "lots";
	ck_open_fails(-EINVAL, "path=64G");
}
END_TEST

/* ---- every engine, every mode ---- */

struct model {
	uint8_t disk[DISK];
	struct rig_req req[DEPTH];
	const uint8_t *buf[DEPTH]; /* the memory of each */
	uint64_t seed;
};

/* A request on [at, at + bytes) with its memory cut into up to eight pieces, aligned or not. */
static void model_prepare(struct model *m, struct rig_req *q, uint64_t at, uint64_t bytes, uint8_t *buf)
{
	static const enum block_op ops[] = { BLOCK_READ,  BLOCK_READ,   BLOCK_WRITE,  BLOCK_WRITE,
					     BLOCK_WRITE, BLOCK_ZEROES, BLOCK_DISCARD };
	enum block_op op = ops[next_random(&m->seed) % ARRAY_SIZE(ops)];
	bool skewed = next_random(&m->seed) % 4 == 0;
	uint64_t done = 0;

	m->buf[q - m->req] = buf + skewed;
	rig_prepare(q, op, at, buf, bytes);
	q->r.fua = next_random(&m->seed) % 4 == 0;
	q->r.unmap = next_random(&m->seed) % 2;
	for (q->r.nr_iov = 0; done < bytes; q->r.nr_iov++) {
		uint64_t len =
			skewed ? next_random(&m->seed) % 3000 : (1 + next_random(&m->seed) % 8) * SECTOR;

		len = q->r.nr_iov == 7 ? bytes - done : MIN(len, bytes - done);
		q->iov[q->r.nr_iov] =
			(struct iovec){ .iov_base = buf + skewed + done, .iov_len = (size_t)len };
		done += len;
	}
	if (op == BLOCK_WRITE)
		for (uint64_t i = 0; i < bytes; i++)
			buf[skewed + i] = m->disk[at + i] = (uint8_t)next_random(&m->seed);
	else if (op != BLOCK_READ)
		memset(m->disk + at, 0, (size_t)bytes);
}

static void model_check(const struct model *m, unsigned int nr)
{
	const struct rig_req *q = &m->req[nr];

	ck_assert(q->over);
	ck_assert_int_eq(q->rc, 0);
	if (q->r.op == BLOCK_READ)
		ck_assert_mem_eq(m->buf[nr], m->disk + q->r.offset, q->r.bytes);
}

/* A round: requests on neighbouring ranges that do not overlap, all at once; then everything is looked at. */
static void model_round(struct model *m)
{
	static uint8_t back[DISK];
	uint64_t at = (uint64_t)(next_random(&m->seed) % 64) * SECTOR;
	unsigned int nr = 0;

	while (nr < DEPTH) {
		uint64_t bytes = (1 + next_random(&m->seed) % (next_random(&m->seed) % 4 ? 9 : 120)) * SECTOR;

		if (at + bytes > DISK)
			break;
		model_prepare(m, &m->req[nr], at, bytes, mem + (size_t)nr * (128 << 10));
		block_submit(g.queue, &m->req[nr++].r);
		at += bytes + (next_random(&m->seed) % 3 ? 0 : SECTOR);
	}
	block_kick(g.queue);
	for (unsigned int i = 0; i < nr; i++) {
		for (unsigned int tries = 0; tries < 1000 && !m->req[i].over; tries++)
			ck_assert_int_ge(loop_run_once(&g.loop, 10), 0);
		model_check(m, i);
	}
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 0, back, DISK), 0);
	ck_assert_mem_eq(back, m->disk, DISK);
}

START_TEST(random_requests_agree_with_the_model)
{
	static const enum block_aio aio[] = { AIO_IO_URING, AIO_THREADS };
	struct model *m = calloc(1, sizeof(*m));
	struct block_image *img;
	int rc;

	rig_make_file(&g, DISK);
	g.o.aio = aio[_i / 10];
	g.o.cache = _i % 5;
	g.o.discard = true;
	m->seed = (uint64_t)_i;
	rc = g.o.aio == AIO_IO_URING && !rig_has_uring(&g) ? -ENOSYS : block_open(&g.block, &g.o, &g.err);
	if (rc == -EOPNOTSUPP || rc == -ENOSYS) { /* not to be had here */
		free(m);
		return;
	}
	ck_assert_int_eq(rc, 0);
	img = &g.block->image;
	if (_i % 10 >= 5 && img->file->direct) /* as on a disk with blocks of 4 KiB: read-modify-write */
		img->file->align = img->file->mem_align = 4096;
	ck_assert_int_eq(block_queue_open(&g.queue, g.block, &g.loop, NULL, DEPTH, &g.err), 0);
	for (unsigned int round = 0; round < 12; round++)
		model_round(m);
	ck_assert_uint_eq(rig_file_bytes(&g), DISK);
	free(m);
}
END_TEST

/* ---- queues ---- */

static void use_engine(int i)
{
	rig_make_file(&g, DISK);
	g.o.aio = i ? AIO_THREADS : AIO_AUTO;
}

START_TEST(more_requests_than_the_depth_are_all_done)
{
	enum { NR = 200 };
	struct rig_req *q = calloc(NR, sizeof(*q));

	use_engine(_i);
	rig_open(&g, 3);
	for (unsigned int i = 0; i < NR; i++) {
		memset(mem + (size_t)i * SECTOR, (int)i, SECTOR);
		rig_prepare(&q[i], BLOCK_WRITE, (uint64_t)i * SECTOR, mem + (size_t)i * SECTOR, SECTOR);
		block_submit(g.queue, &q[i].r);
		ck_assert(!q[i].over);
	}
	block_drain(g.queue);
	for (unsigned int i = 0; i < NR; i++)
		ck_assert(q[i].over && q[i].rc == 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 199 * SECTOR, mem, SECTOR), 0);
	ck_assert_uint_eq(mem[5], 199);
	free(q);
}
END_TEST

START_TEST(close_waits_for_what_is_under_way)
{
	struct rig_req q[8];

	use_engine(_i);
	rig_open(&g, 8);
	for (unsigned int i = 0; i < 8; i++) {
		rig_prepare(&q[i], BLOCK_WRITE, i * (DISK / 8), mem, DISK / 8);
		block_submit(g.queue, &q[i].r);
	}
	block_kick(g.queue);
	rig_close(&g);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert(q[i].over && q[i].rc == 0);
}
END_TEST

static struct rig_req again;
static unsigned int nr_again, nr_batches;

static void done_again(struct block_req *r, int rc)
{
	ck_assert_int_eq(rc, 0);
	if (++nr_again < 100) {
		block_submit(r->queue, r);
		block_kick(r->queue);
	}
}

static void count_batch(void *ctx)
{
	(void)ctx;
	nr_batches++;
}

START_TEST(done_may_submit_and_kick)
{
	if (_i == 2) {
		g.o.format = BLOCK_NULL;
		g.o.path = "1M";
	} else {
		use_engine(_i);
	}
	rig_open(&g, 1);
	block_queue_on_batch(g.queue, count_batch, NULL);
	rig_prepare(&again, BLOCK_READ, 0, mem, SECTOR);
	again.r.done = done_again;
	block_submit(g.queue, &again.r);
	block_kick(g.queue);
	ck_assert_uint_le(nr_again, 4 + 1); /* others have their turn */
	for (unsigned int i = 0; i < 1000 && nr_again < 100; i++)
		ck_assert_int_ge(loop_run_once(&g.loop, 10), 0);
	ck_assert_uint_eq(nr_again, 100);
	ck_assert_uint_ge(nr_batches, 1);
	ck_assert_uint_le(nr_batches, 100);
}
END_TEST

START_TEST(what_the_ring_does_not_take_workers_do)
{
	struct rig_req q[4];
	int fd;

	use_engine(0);
	if (!rig_has_uring(&g))
		return;
	rig_open(&g, 4);
	fd = g.queue->ring.enter_fd;
	g.queue->ring.enter_fd = -1; /* the kernel says EBADF, or EINVAL */
	for (unsigned int i = 0; i < 4; i++) {
		rig_prepare(&q[i], i == 3 ? BLOCK_FLUSH : BLOCK_WRITE, i * SECTOR, i == 3 ? NULL : mem,
			    i == 3 ? 0 : SECTOR);
		block_submit(g.queue, &q[i].r);
	}
	block_drain(g.queue);
	g.queue->ring.enter_fd = fd;
	for (unsigned int i = 0; i < 4; i++)
		ck_assert(q[i].over && q[i].rc == 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 0, mem, SECTOR), 0);
}
END_TEST

START_TEST(a_write_waits_for_a_read_modify_write_of_its_block)
{
	struct block_file *file;
	struct span held;
	struct rig_req q;

	use_engine(_i);
	g.o.cache = CACHE_NONE;
	if (block_open(&g.block, &g.o, &g.err) == -EOPNOTSUPP)
		return;
	ck_assert_int_eq(block_queue_open(&g.queue, g.block, &g.loop, NULL, 4, &g.err), 0);
	file = g.block->image.file;
	file->align = file->mem_align = 4096;
	spans_hold(file->spans, &held, 0, 4096, true);
	rig_prepare(&q, BLOCK_WRITE, 0, mem, 8192);
	block_submit(g.queue, &q.r);
	block_kick(g.queue);
	for (unsigned int i = 0; i < 5; i++)
		ck_assert_int_ge(loop_run_once(&g.loop, 10), 0);
	ck_assert(!q.over);
	ck_assert_int_eq(rig_do(&g, BLOCK_WRITE, 8192, mem, 4096), 0); /* another block's */
	spans_release(file->spans, &held);
	block_drain(g.queue);
	ck_assert(q.over && q.rc == 0);
	ck_assert_ptr_null(file->spans->first);
}
END_TEST

START_TEST(fixed_buffers_move_the_same_bytes)
{
	struct gmem m = { 0 };
	uint8_t *ram = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	use_engine(0);
	if (!rig_has_uring(&g))
		return;
	ck_assert_int_eq(gmem_add(&m, 0, 1 << 19, ram, NULL), 0);
	g.o.fixed_buffers = true;
	ck_assert_int_eq(block_open(&g.block, &g.o, &g.err), 0);
	ck_assert_int_eq(block_queue_open(&g.queue, g.block, &g.loop, &m, 8, &g.err), 0);
	ck_assert_uint_eq(g.queue->nr_fixed, 1);
	memset(ram, 0x3c, 8192);
	ck_assert_int_eq(rig_do(&g, BLOCK_WRITE, 4096, ram, 8192), 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 4096, ram + (1 << 19) - 8192, 8192), 0);
	ck_assert_mem_eq(ram + (1 << 19) - 8192, ram, 8192);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 4096, ram + (1 << 19) - 4096, 8192), 0); /* half outside */
	ck_assert_mem_eq(ram + (1 << 19) - 4096, ram, 8192);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 4096, mem, 8192), 0); /* outside */
	ck_assert_mem_eq(mem, ram, 8192);
	rig_close(&g);
	munmap(ram, 1 << 20);
}
END_TEST

START_TEST(two_queues_share_a_disk)
{
	struct block_queue *other;
	struct rig_req q;

	use_engine(_i);
	rig_open(&g, 4);
	ck_assert_int_eq(block_queue_open(&other, g.block, &g.loop, NULL, 4, &g.err), 0);
	memset(mem, 0x42, SECTOR);
	ck_assert_int_eq(rig_do(&g, BLOCK_WRITE, 0, mem, SECTOR), 0);
	rig_prepare(&q, BLOCK_READ, 0, mem + 4096, SECTOR);
	block_submit(other, &q.r);
	block_drain(other);
	ck_assert_int_eq(q.rc, 0);
	ck_assert_mem_eq(mem, mem + 4096, SECTOR);
	block_queue_close(other);
}
END_TEST

/* ---- a format of the test's own: extents of 1 KiB, in turn in the file, zero, and for a worker ---- */

enum { EXTENT = 1024 };

static struct {
	struct block_file *file;
	unsigned int mapped, mapped_done, served, flushes;
	bool needs_flush;
	int serve_rc;
} fake;

static void fake_map(void *image, bool write, uint64_t offset, uint64_t bytes, struct block_extent *x)
{
	static const enum block_map_kind kinds[] = { BLOCK_AT_FILE, BLOCK_IS_ZERO, BLOCK_NEEDS_WORK };
	uint64_t nr = offset / EXTENT;

	(void)image;
	x->kind = kinds[nr % 3];
	if (write && x->kind == BLOCK_IS_ZERO)
		x->kind = BLOCK_AT_FILE;
	x->file = fake.file;
	x->at = offset + 65536;
	x->bytes = MIN(bytes, EXTENT - offset % EXTENT);
	fake.mapped += x->kind == BLOCK_AT_FILE;
}

static void fake_mapped_done(void *image, const struct block_extent *x, bool write)
{
	(void)image;
	(void)write;
	ck_assert_uint_le(x->bytes, EXTENT);
	fake.mapped_done++;
}

/* Reads: every byte is 0xaa. */
static int fake_serve(void *image, struct block_req *r)
{
	(void)image;
	if (r->op == BLOCK_FLUSH) {
		fake.flushes++;
		return fake.serve_rc;
	}
	fake.served++;
	for (unsigned int i = 0; r->op == BLOCK_READ && i < r->nr_iov; i++)
		memset(r->iov[i].iov_base, 0xaa, r->iov[i].iov_len);
	ck_assert_uint_eq(r->moved, 0);
	return fake.serve_rc;
}

static bool fake_flush_needs_work(void *image)
{
	(void)image;
	return fake.needs_flush;
}

static const struct block_format_ops fake_ops = {
	.map = fake_map,
	.mapped_done = fake_mapped_done,
	.serve = fake_serve,
	.flush_needs_work = fake_flush_needs_work,
};

/* Swap the raw image's operations; teardown swaps them back to close it. */
static void fake_open(void)
{
	rig_make_file(&g, DISK);
	rig_open(&g, 4);
	fake.file = g.block->image.file;
	memset(mem, 0x11, DISK);
	ck_assert_int_eq(block_file_write(fake.file, 0, mem, DISK), 0);
	g.block->image.ops = &fake_ops;
}

static void fake_close(const struct block_format_ops *raw)
{
	block_queue_close(g.queue);
	g.queue = NULL;
	g.block->image.ops = raw;
}

static const struct block_format_ops *raw_ops_of(void)
{
	const struct block_format_ops *raw;

	rig_make_file(&g, DISK);
	rig_open(&g, 1);
	raw = g.block->image.ops;
	rig_close(&g);
	return raw;
}

START_TEST(a_request_goes_through_extents_of_every_kind)
{
	const struct block_format_ops *raw = raw_ops_of();
	struct rig_req q;

	g.o.aio = _i ? AIO_THREADS : AIO_AUTO;
	fake_open();
	memset(mem, 0xee, 8192);
	rig_prepare(&q, BLOCK_READ, 512, mem, 2560); /* file, zero, then all that is left by a worker */
	q.iov[0].iov_len = 700;
	q.iov[1] = (struct iovec){ .iov_base = mem + 1000, .iov_len = 1860 };
	q.r.nr_iov = 2;
	ck_assert_int_eq(rig_finish(&g, &q), 0);
	ck_assert_uint_eq(q.r.offset, 512);
	ck_assert_uint_eq(q.r.bytes, 2560);
	ck_assert_uint_eq(mem[0], 0x11);
	ck_assert_uint_eq(mem[511], 0x11);
	ck_assert_uint_eq(mem[512], 0);
	ck_assert_uint_eq(mem[699], 0);
	ck_assert_uint_eq(mem[700], 0xee);
	ck_assert_uint_eq(mem[1000 + 835], 0);
	ck_assert_uint_eq(mem[1000 + 836], 0xaa);
	ck_assert_uint_eq(mem[1000 + 1859], 0xaa);
	ck_assert_uint_eq(mem[1000 + 1860], 0xee);
	ck_assert_uint_eq(fake.served, 1);
	ck_assert_uint_eq(fake.mapped, 1);
	ck_assert_uint_eq(fake.mapped_done, 1);
	fake_close(raw);
}
END_TEST

START_TEST(a_write_that_must_be_on_the_medium_has_the_format_flushed)
{
	const struct block_format_ops *raw = raw_ops_of();
	struct rig_req q;

	g.o.aio = _i ? AIO_THREADS : AIO_AUTO;
	fake_open();
	fake.needs_flush = true;
	ck_assert_int_eq(rig_do(&g, BLOCK_WRITE, 0, mem, 2048), 0);
	ck_assert_uint_eq(fake.flushes, 0);
	rig_prepare(&q, BLOCK_WRITE, 0, mem, 2048);
	q.r.fua = true;
	ck_assert_int_eq(rig_finish(&g, &q), 0);
	ck_assert_uint_eq(fake.flushes, 1);
	rig_prepare(&q, BLOCK_WRITE, 2048, mem, 1024); /* the worker's */
	q.r.fua = true;
	ck_assert_int_eq(rig_finish(&g, &q), 0);
	ck_assert_uint_eq(fake.flushes, 2);
	ck_assert_uint_eq(fake.mapped_done, fake.mapped);
	fake_close(raw);
}
END_TEST

START_TEST(once_a_flush_has_failed_none_succeeds)
{
	const struct block_format_ops *raw = raw_ops_of();

	fake_open();
	fake.needs_flush = true;
	fake.serve_rc = -EIO;
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 2048, mem, 1024), -EIO);
	fake.serve_rc = 0;
	ck_assert_int_eq(rig_do(&g, BLOCK_READ, 2048, mem, 1024), 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	fake.needs_flush = false;
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	fake_close(raw);
}
END_TEST

/* A worker's sync, for a write that must be on the medium or for a format's tables, is told of it once. */
START_TEST(data_lost_in_the_page_cache_fails_each_flush_whoever_was_told)
{
	use_engine(_i);
	rig_open(&g, 2);
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), 0);
	ck_assert_int_eq(block_file_synced(g.block->image.file, -EIO), -EIO);
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	ck_assert_int_eq(rig_do(&g, BLOCK_WRITE, 0, mem, 4096), 0);
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), -EIO);
}
END_TEST

START_TEST(an_unsafe_disk_flushes_nothing)
{
	const struct block_format_ops *raw = raw_ops_of();
	struct rig_req q;

	g.o.cache = CACHE_UNSAFE;
	fake_open();
	fake.needs_flush = true;
	ck_assert_int_eq(rig_do(&g, BLOCK_FLUSH, 0, NULL, 0), 0);
	rig_prepare(&q, BLOCK_WRITE, 0, mem, 1024);
	q.r.fua = true;
	ck_assert_int_eq(rig_finish(&g, &q), 0);
	ck_assert_uint_eq(fake.flushes, 0);
	fake_close(raw);
}
END_TEST

START_TEST(less_memory_than_bytes_is_an_error_not_a_hang)
{
	struct rig_req q;

	use_engine(_i);
	rig_open(&g, 2);
	rig_prepare(&q, BLOCK_READ, 0, mem, 4096);
	q.iov[0].iov_len = 512;
	ck_assert_int_eq(rig_finish(&g, &q), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("block");
	TCase *t = tcase_create("block");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, unfit_images_have_their_sentences);
	tcase_add_test(t, an_image_in_doubt_is_never_guessed_for_writing);
	tcase_add_test(t, a_file_named_qcow2_without_its_content_is_refused);
	tcase_add_loop_test(t, info_says_what_the_mode_means, CACHE_WRITEBACK, CACHE_UNSAFE + 1);
	tcase_add_test(t, a_part_of_a_sector_counts_as_one_and_is_filled_with_zeros);
	tcase_add_test(t, a_file_of_another_size_is_noticed_once);
	tcase_add_test(t, a_readonly_disk_takes_no_writes);
	tcase_add_test(t, the_null_disk_is_zeros_whatever_was_written);
	tcase_add_loop_test(t, random_requests_agree_with_the_model, 0, 20);
	tcase_add_loop_test(t, more_requests_than_the_depth_are_all_done, 0, 2);
	tcase_add_loop_test(t, close_waits_for_what_is_under_way, 0, 2);
	tcase_add_loop_test(t, done_may_submit_and_kick, 0, 3);
	tcase_add_test(t, what_the_ring_does_not_take_workers_do);
	tcase_add_loop_test(t, a_write_waits_for_a_read_modify_write_of_its_block, 0, 2);
	tcase_add_test(t, fixed_buffers_move_the_same_bytes);
	tcase_add_loop_test(t, two_queues_share_a_disk, 0, 2);
	tcase_add_loop_test(t, a_request_goes_through_extents_of_every_kind, 0, 2);
	tcase_add_loop_test(t, a_write_that_must_be_on_the_medium_has_the_format_flushed, 0, 2);
	tcase_add_test(t, once_a_flush_has_failed_none_succeeds);
	tcase_add_loop_test(t, data_lost_in_the_page_cache_fails_each_flush_whoever_was_told, 0, 2);
	tcase_add_test(t, an_unsafe_disk_flushes_nothing);
	tcase_add_loop_test(t, less_memory_than_bytes_is_an_error_not_a_hang, 0, 2);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
