/*
 * Files as disks see them: opening and its refusals, locks, alignment, the end of the file, space. That a
 * medium keeps what fdatasync() promised is not tested: that takes a power cut.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "devices/block/block_rig.h"
#include "devices/block/format.h"
#include "devices/block/iov.h"
#include "devices/block/span.h"
#include "devices/block/workers.h"

enum { SECTOR = 512, BLOCK4K = 4096 };

static struct rig g;
static struct block_file f;
static uint8_t *mem; /* aligned */

static void setup(void)
{
	rig_init(&g);
	f = (struct block_file){ .fd = -1 };
	ck_assert_int_eq(posix_memalign((void **)&mem, 65536, 1 << 20), 0);
}

static void teardown(void)
{
	block_file_close(&f);
	rig_fini(&g);
	free(mem);
}

static void fill(uint8_t *p, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i * 13 + i / 251);
}

static int open_image(const char *path, bool readonly, bool direct)
{
	return block_file_open(&f, path, readonly, direct, true, &g.err);
}

/* Open a new file of so many bytes; under O_DIRECT as one with blocks of 4 KiB, whatever the host's are. */
static void make(uint64_t bytes, bool direct)
{
	int rc;

	rig_make_file(&g, bytes);
	rc = open_image(g.path, false, direct);
	if (direct && rc == -EOPNOTSUPP)
		rc = open_image(g.path, false, false); /* a file system without: the rest is still tested */
	ck_assert_msg(rc == 0, "%s", g.err.text);
	if (f.direct)
		f.align = f.mem_align = BLOCK4K;
}

static void content(uint64_t at, void *buf, size_t len)
{
	int fd = open(g.path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	memset(buf, 0, len);
	ck_assert_int_ge(pread(fd, buf, len, (off_t)at), 0);
	close(fd);
}

static void ck_sentence(int rc, int want, const char *part)
{
	ck_assert_int_eq(rc, want);
	ck_assert_msg(strstr(g.err.text, part) != NULL, "no '%s' in: %s", part, g.err.text);
	ck_assert_int_eq(f.fd, -1);
}

/* ---- refusals ---- */

START_TEST(open_of_a_missing_file_says_so)
{
	ck_sentence(open_image(g.path, false, false), -ENOENT, "there is no");
}
END_TEST

START_TEST(open_of_an_empty_path_is_a_usage_error)
{
	ck_sentence(open_image("", false, false), -EINVAL, "path=disk.img");
	ck_assert(g.err.usage);
}
END_TEST

START_TEST(open_of_what_is_no_disk_says_what_it_is)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_sentence(open_image(g.dir, false, false), -EISDIR, "is a directory");
	ck_sentence(open_image("/dev/null", false, false), -EINVAL, "is a character device");
	ck_assert_int_eq(mkfifo(g.path, 0600), 0);
	ck_sentence(open_image(g.path, false, false), -EINVAL, "is a pipe");
	unlink(g.path);
	memcpy(sun.sun_path, g.path, MIN(strlen(g.path), sizeof(sun.sun_path) - 1));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_sentence(open_image(g.path, false, false), -EINVAL, "is a socket");
	close(fd);
}
END_TEST

START_TEST(open_without_permission_says_readonly_when_that_would_do)
{
	rig_make_file(&g, SECTOR);
	ck_assert_int_eq(chmod(g.path, 0444), 0);
	ck_assert_int_eq(chmod(g.dir, 0755), 0);
	if (geteuid() == 0 && seteuid(65534) < 0)
		return;
	ck_sentence(open_image(g.path, false, false), -EACCES, "readonly=on");
	ck_assert_int_eq(open_image(g.path, true, false), 0);
	ck_assert_int_eq(getuid() == 0 ? seteuid(0) : 0, 0);
	block_file_close(&f);
	ck_assert_int_eq(chmod(g.path, 0000), 0);
	if (geteuid() == 0 && seteuid(65534) < 0)
		return;
	ck_sentence(open_image(g.path, false, false), -EACCES, "no permission to read");
	ck_assert_int_eq(getuid() == 0 ? seteuid(0) : 0, 0);
}
END_TEST

START_TEST(direct_where_there_is_none_says_writeback)
{
	ck_sentence(open_image("/proc/self/status", true, true), -EOPNOTSUPP, "use cache=writeback");
}
END_TEST

/* ---- locks ---- */

START_TEST(a_writer_keeps_everybody_away)
{
	struct block_file other;

	make(SECTOR, false);
	ck_assert_int_eq(block_file_open(&other, g.path, false, false, true, &g.err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(g.err.text, "in use by another process"));
	ck_assert_int_eq(block_file_open(&other, g.path, true, false, true, &g.err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(g.err.text, "being written by another process"));
	ck_assert_int_eq(block_file_open(&other, g.path, true, false, false, &g.err), 0);
	block_file_close(&other);
	block_file_close(&f);
	ck_assert_int_eq(open_image(g.path, false, false), 0);
}
END_TEST

START_TEST(readers_share_and_keep_writers_away)
{
	struct block_file other;

	rig_make_file(&g, SECTOR);
	ck_assert_int_eq(open_image(g.path, true, false), 0);
	ck_assert_int_eq(block_file_open(&other, g.path, true, false, true, &g.err), 0);
	block_file_close(&other);
	ck_assert_int_eq(block_file_open(&other, g.path, false, false, true, &g.err), -EBUSY);
}
END_TEST

/* Run "before IMAGE after" by the shell. */
static int shell(const char *before, const char *after)
{
	char command[400];

	snprintf(command, sizeof(command), "%s %s %s", before, g.path, after);
	return system(command);
}

#define QEMU_WRITE "qemu-io -c 'write 0 512' -f qcow2"
#define QEMU_INFO  "qemu-img info -f qcow2"

START_TEST(qemu_is_refused_an_image_that_we_hold)
{
	if (system("command -v qemu-io qemu-img >/dev/null") != 0)
		return;
	ck_assert_int_eq(shell("qemu-img create -q -f qcow2", "1M"), 0);
	ck_assert_int_eq(open_image(g.path, false, false), 0);
	ck_assert_int_eq(shell(QEMU_WRITE, "2>&1 | grep -q 'Failed to get \"write\" lock'"), 0);
	ck_assert_int_eq(shell(QEMU_INFO, "2>&1 | grep -q 'Failed to get shared \"write\" lock'"), 0);
	block_file_close(&f);
	ck_assert_int_eq(shell(QEMU_WRITE, ">/dev/null 2>&1"), 0);
	ck_assert_int_eq(open_image(g.path, true, false), 0);
	ck_assert_int_eq(shell(QEMU_INFO, ">/dev/null 2>&1"), 0);
	ck_assert_int_eq(shell(QEMU_WRITE, "2>&1 | grep -q 'Failed to get \"write\" lock'"), 0);
}
END_TEST

START_TEST(an_image_that_qemu_holds_is_refused)
{
	int to[2], from[2];
	char c = 0;
	pid_t pid;

	if (system("command -v qemu-io >/dev/null") != 0)
		return;
	rig_make_file(&g, 1 << 20);
	ck_assert_int_eq(pipe2(to, O_CLOEXEC) | pipe2(from, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		execlp("qemu-io", "qemu-io", "-f", "raw", g.path, NULL);
		_exit(127);
	}
	close(from[1]);
	ck_assert_int_eq(read(from[0], &c, 1), 1); /* its prompt: the image is open */
	ck_sentence(open_image(g.path, false, false), -EBUSY, "in use");
	ck_sentence(open_image(g.path, true, false), -EBUSY, "being written");
	close(to[1]);
	while (read(from[0], &c, 1) > 0)
		;
	ck_assert_int_eq(open_image(g.path, false, false), 0);
	close(to[0]);
	close(from[0]);
}
END_TEST

/* ---- reading and writing ---- */

START_TEST(what_lies_behind_the_end_reads_as_zeros)
{
	make(5000, _i);
	fill(mem, 5000, 1);
	ck_assert_int_eq(block_file_write(&f, 0, mem, 5000), 0);
	memset(mem + 65536, 0xee, 65536);
	ck_assert_int_eq(block_file_read(&f, 0, mem + 65536, 3 * BLOCK4K), 0);
	ck_assert_mem_eq(mem + 65536, mem, 5000);
	for (unsigned int i = 5000; i < 3 * BLOCK4K; i++)
		ck_assert_uint_eq(mem[65536 + i], 0);
	ck_assert_int_eq(block_file_read(&f, 1 << 20, mem + 65536, SECTOR), 0);
	ck_assert_uint_eq(mem[65536], 0);
}
END_TEST

START_TEST(unaligned_direct_access_bounces_and_keeps_its_neighbours)
{
	static const struct {
		unsigned int at, len, skew;
	} t[] = {
		{ 512, 512, 0 },       { 4096, 4096, 512 },         { 3584, 1024, 3 },
		{ 512, 300 << 10, 1 }, { 0, (256 << 10) + 512, 0 }, { 100, 7, 9 },
		{ 4095, 2, 0 },
	};
	uint8_t *model = calloc(1, 1 << 20), *all = calloc(1, 1 << 20);

	make(1 << 20, true);
	fill(model, 1 << 20, 3);
	memcpy(mem, model, 1 << 20);
	ck_assert_int_eq(block_file_write(&f, 0, mem, 1 << 20), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
		fill(mem + t[i].skew, t[i].len, 77 + i);
		memcpy(model + t[i].at, mem + t[i].skew, t[i].len);
		ck_assert_int_eq(block_file_write(&f, t[i].at, mem + t[i].skew, t[i].len), 0);
		memset(mem, 0, 1 << 19);
		ck_assert_int_eq(block_file_read(&f, t[i].at, mem + t[i].skew, t[i].len), 0);
		ck_assert_mem_eq(mem + t[i].skew, model + t[i].at, t[i].len);
	}
	content(0, all, 1 << 20);
	ck_assert_mem_eq(all, model, 1 << 20);
	free(model);
	free(all);
}
END_TEST

START_TEST(padding_does_not_make_a_raw_image_longer)
{
	make(4608, true);
	f.keep_size = true;
	memset(mem, 0x55, SECTOR);
	ck_assert_int_eq(block_file_write(&f, 4096, mem, SECTOR), 0);
	ck_assert_uint_eq(rig_file_bytes(&g), 4608);
	ck_assert_int_eq(block_file_write(&f, 4608, mem, SECTOR), 0);
	ck_assert_uint_eq(rig_file_bytes(&g), 5120);
}
END_TEST

START_TEST(a_vector_longer_than_the_kernel_takes_is_moved_whole)
{
	enum { NR = 3000, LEN = 8 };
	struct iovec *iov = calloc(NR, sizeof(*iov));
	uint8_t *back = calloc(NR, LEN);

	make(1 << 16, _i);
	for (unsigned int i = 0; i < NR; i++)
		iov[i] = (struct iovec){ .iov_base = mem + (size_t)(NR - 1 - i) * LEN, .iov_len = LEN };
	fill(mem, NR * LEN, 5);
	ck_assert_int_eq(block_file_writev(&f, SECTOR, iov, NR, NR * LEN, true), 0);
	content(SECTOR, back, NR * LEN);
	for (unsigned int i = 0; i < NR; i++)
		ck_assert_mem_eq(back + (size_t)i * LEN, mem + (size_t)(NR - 1 - i) * LEN, LEN);
	memcpy(back, mem, NR * LEN);
	memset(mem, 0, NR * LEN);
	ck_assert_int_eq(block_file_readv(&f, SECTOR, iov, NR, NR * LEN), 0);
	ck_assert_mem_eq(mem, back, NR * LEN);
	free(iov);
	free(back);
}
END_TEST

START_TEST(ranges_past_any_file_are_refused)
{
	make(SECTOR, false);
	ck_assert_int_eq(block_file_read(&f, INT64_MAX, mem, SECTOR), -EINVAL);
	ck_assert_int_eq(block_file_write(&f, UINT64_MAX - 10, mem, SECTOR), -EINVAL);
	ck_assert_int_eq(block_file_zero(&f, UINT64_MAX - 10, 11, true), -EINVAL);
	ck_assert_int_eq(block_file_discard(&f, INT64_MAX, 11), -EINVAL);
}
END_TEST

/* Threads that write sectors of the same few blocks, each its own: what one loses, it finds lost. */
struct scribbler {
	pthread_t thread;
	unsigned int first, step, len;
	int rc;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	uint8_t *buf = NULL, *back = NULL;

	if (posix_memalign((void **)&buf, BLOCK4K, BLOCK4K) ||
	    posix_memalign((void **)&back, BLOCK4K, BLOCK4K))
		return NULL;
	s->rc = 0;
	for (unsigned int round = 0; round < 150 && !s->rc; round++) {
		uint64_t at = s->first + (uint64_t)(round % 2) * s->step;

		memset(buf, (int)(round + s->first / SECTOR), s->len);
		s->rc = block_file_write(&f, at, buf, s->len);
		if (!s->rc)
			s->rc = block_file_read(&f, at, back, s->len);
		if (!s->rc && memcmp(buf, back, s->len))
			s->rc = -EIO;
	}
	free(buf);
	free(back);
	return NULL;
}

START_TEST(concurrent_writers_of_one_block_lose_nothing)
{
	struct scribbler s[8];

	make(4 * BLOCK4K, true);
	for (unsigned int i = 0; i < 7; i++) /* two blocks, seven sectors of each */
		s[i] = (struct scribbler){
			.first = i * SECTOR, .step = BLOCK4K, .len = SECTOR, .rc = -ENOMEM
		};
	s[7] = (struct scribbler){ .first = 2 * BLOCK4K, .step = BLOCK4K, .len = BLOCK4K, .rc = -ENOMEM };
	for (unsigned int i = 0; i < ARRAY_SIZE(s); i++)
		ck_assert_int_eq(pthread_create(&s[i].thread, NULL, scribble, &s[i]), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(s); i++) {
		pthread_join(s[i].thread, NULL);
		ck_assert_int_eq(s[i].rc, 0);
	}
}
END_TEST

/* ---- spans ---- */

START_TEST(a_span_held_alone_keeps_overlapping_ones_out)
{
	struct spans *s = spans_new();
	struct span a, b, c;

	spans_hold(s, &a, 4096, 8192, true);
	ck_assert(!spans_try_share(s, &b, 8191, 9000));
	ck_assert(!spans_try_share(s, &b, 0, 4097));
	ck_assert(spans_try_share(s, &b, 8192, 9000));
	ck_assert(spans_try_share(s, &c, 8192, 9000));
	spans_release(s, &a);
	spans_release(s, &a);
	spans_release(s, &b);
	ck_assert(spans_try_share(s, &a, 4096, 8192));
	spans_release(s, &a);
	spans_release(s, &c);
	ck_assert_ptr_null(s->first);
	ck_assert_ptr_null(s->last);
	spans_free(s);
}
END_TEST

struct waiter {
	struct spans *s;
	struct span span;
	atomic_bool has;
};

static void *wait_alone(void *arg)
{
	struct waiter *w = arg;

	spans_hold(w->s, &w->span, 0, 4096, true);
	atomic_store(&w->has, true);
	spans_release(w->s, &w->span);
	return NULL;
}

START_TEST(one_who_waits_alone_is_not_overtaken)
{
	struct waiter w = { .s = spans_new() };
	struct span a, b;
	pthread_t thread;

	ck_assert(spans_try_share(w.s, &a, 0, 512));
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_alone, &w), 0);
	while (spans_try_share(w.s, &b, 512, 1024)) /* until it waits; then it comes first */
		spans_release(w.s, &b);
	ck_assert(!atomic_load(&w.has));
	spans_release(w.s, &a);
	pthread_join(thread, NULL);
	ck_assert(atomic_load(&w.has));
	spans_free(w.s);
}
END_TEST

/* ---- space ---- */

static uint64_t file_blocks(void)
{
	struct stat st;

	ck_assert_int_eq(stat(g.path, &st), 0);
	return (uint64_t)st.st_blocks;
}

START_TEST(zeroing_zeroes_exactly_and_gives_back_only_if_asked)
{
	uint8_t *back = malloc(1 << 20);
	uint64_t before;

	make(1 << 20, _i);
	memset(mem, 0x77, 1 << 20);
	ck_assert_int_eq(block_file_write(&f, 0, mem, 1 << 20), 0);
	ck_assert_int_eq(block_file_sync(&f), 0);
	before = file_blocks();
	ck_assert_int_eq(block_file_zero(&f, 65536 + SECTOR, 262144, false), 0);
	ck_assert_uint_ge(file_blocks() + 16, before);
	memset(mem + 65536 + SECTOR, 0, 262144);
	ck_assert_int_eq(block_file_zero(&f, 524288 + SECTOR, 262144, true), 0);
	memset(mem + 524288 + SECTOR, 0, 262144);
	content(0, back, 1 << 20);
	ck_assert_mem_eq(back, mem, 1 << 20);
	ck_assert_uint_eq(rig_file_bytes(&g), 1 << 20);
	ck_assert_uint_lt(file_blocks(), before);
	free(back);
}
END_TEST

START_TEST(discard_gives_back_and_info_says_so)
{
	struct block_info info;
	uint64_t before;

	make(1 << 20, false);
	block_file_get_info(&f, true, &info);
	ck_assert_uint_ge(info.discard_bytes, SECTOR);
	ck_assert_uint_ge(info.physical_bytes, info.logical_bytes);
	ck_assert_uint_eq(info.logical_bytes, SECTOR);
	memset(mem, 0x77, 1 << 20);
	ck_assert_int_eq(block_file_write(&f, 0, mem, 1 << 20), 0);
	ck_assert_int_eq(block_file_sync(&f), 0);
	before = file_blocks();
	ck_assert_int_eq(block_file_discard(&f, 0, 1 << 19), 0);
	ck_assert_uint_lt(file_blocks(), before);
	ck_assert_int_eq(block_file_read(&f, 0, mem, SECTOR), 0);
	ck_assert_uint_eq(mem[0], 0);
	ck_assert_uint_eq(rig_file_bytes(&g), 1 << 20);
	block_file_get_info(&f, false, &info);
	ck_assert_uint_eq(info.discard_bytes, 0);
}
END_TEST

START_TEST(once_the_page_cache_has_lost_data_no_sync_succeeds)
{
	int pipes[2], fd;

	make(64 << 10, false);
	ck_assert_int_eq(block_file_sync(&f), 0);
	ck_assert_int_eq(pipe(pipes), 0);
	fd = f.fd;
	f.fd = pipes[0]; /* cannot be synced */
	ck_assert_int_eq(block_file_sync(&f), -EINVAL);
	f.fd = fd;
	ck_assert_int_eq(block_file_sync(&f), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

START_TEST(a_file_that_may_not_grow_fails_the_write_alone)
{
	struct rlimit limit = { .rlim_cur = 4096, .rlim_max = RLIM_INFINITY };

	make(4096, false);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(block_file_write(&f, 4096, mem, SECTOR), -EFBIG);
	ck_assert_int_eq(block_file_write(&f, 0, mem, SECTOR), 0);
}
END_TEST

START_TEST(a_full_file_system_fails_the_write_alone)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", g.dir, "tmpfs", 0, "size=64k") < 0)
		return; /* not ours to do here */
	make(1 << 20, false);
	memset(mem, 1, 1 << 20);
	ck_assert_int_eq(block_file_write(&f, 0, mem, 1 << 17), -ENOSPC);
	ck_assert_int_eq(block_file_read(&f, 0, mem, SECTOR), 0);
	ck_assert_int_eq(block_file_discard(&f, 0, 1 << 17), 0);
	ck_assert_int_eq(block_file_write(&f, 0, mem, SECTOR), 0);
	block_file_close(&f);
	umount(g.dir);
}
END_TEST

/* ---- vectors ---- */

START_TEST(cutting_a_vector_is_undone_exactly)
{
	struct iovec iov[3] = { { mem, 10 }, { mem + 100, 0 }, { mem + 200, 30 } };
	struct iov_cursor c = { .iov = iov, .nr = 3 };
	uint64_t bytes = 15;
	struct iov_cut cut = iov_cut(&c, 8, &bytes);

	ck_assert_uint_eq(cut.nr, 3);
	ck_assert_uint_eq(bytes, 15);
	ck_assert_uint_eq(iov[2].iov_len, 5);
	iov_uncut(&c, &cut);
	ck_assert_uint_eq(iov[2].iov_len, 30);
	iov_advance(&c, 15);
	ck_assert_uint_eq(c.nr, 1);
	ck_assert_ptr_eq(c.iov->iov_base, mem + 205);
	ck_assert_uint_eq(c.iov->iov_len, 25);
	bytes = 100;
	cut = iov_cut(&c, 8, &bytes);
	ck_assert_uint_eq(bytes, 25);
	iov_uncut(&c, &cut);
	iov_advance(&c, 25);
	ck_assert_uint_eq(c.nr, 0);
}
END_TEST

/* ---- workers ---- */

struct counted {
	struct work work;
	atomic_uint *count;
};

static void count_up(struct work *w)
{
	struct timespec ms = { .tv_nsec = 200000 };

	nanosleep(&ms, NULL);
	atomic_fetch_add(((struct counted *)w)->count, 1);
}

START_TEST(all_work_is_done_once_before_the_pool_goes)
{
	enum { NR = 500 };
	struct counted *c = calloc(NR, sizeof(*c));
	struct workers *p = workers_new();
	atomic_uint count = 0;

	for (unsigned int i = 0; i < NR; i++) {
		c[i] = (struct counted){ .work = { .run = count_up }, .count = &count };
		workers_add(p, &c[i].work);
	}
	workers_free(p);
	ck_assert_uint_eq(count, NR);
	free(c);
}
END_TEST

START_TEST(work_is_done_even_where_no_thread_can_be_had)
{
	int status = 0;
	pid_t pid = fork(); /* the limit is for good, and what looks for leaks needs threads itself */

	if (!pid) {
		struct rlimit limit = { 0 };
		atomic_uint count = 0;
		struct counted c = { .work = { .run = count_up }, .count = &count };

		if (geteuid() == 0 && setgid(65534) | setuid(65534)) /* root is not limited */
			_exit(3);
		if (setrlimit(RLIMIT_NPROC, &limit) < 0)
			_exit(4);
		workers_add(workers_new(), &c.work);
		_exit(count == 1 ? 0 : 5);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("block_file");
	TCase *t = tcase_create("file"), *bare = tcase_create("bare");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, open_of_a_missing_file_says_so);
	tcase_add_test(t, open_of_an_empty_path_is_a_usage_error);
	tcase_add_test(t, open_of_what_is_no_disk_says_what_it_is);
	tcase_add_test(t, open_without_permission_says_readonly_when_that_would_do);
	tcase_add_test(t, direct_where_there_is_none_says_writeback);
	tcase_add_test(t, a_writer_keeps_everybody_away);
	tcase_add_test(t, readers_share_and_keep_writers_away);
	tcase_add_test(t, qemu_is_refused_an_image_that_we_hold);
	tcase_add_test(t, an_image_that_qemu_holds_is_refused);
	tcase_add_loop_test(t, what_lies_behind_the_end_reads_as_zeros, 0, 2);
	tcase_add_test(t, unaligned_direct_access_bounces_and_keeps_its_neighbours);
	tcase_add_test(t, padding_does_not_make_a_raw_image_longer);
	tcase_add_loop_test(t, a_vector_longer_than_the_kernel_takes_is_moved_whole, 0, 2);
	tcase_add_test(t, ranges_past_any_file_are_refused);
	tcase_add_test(t, concurrent_writers_of_one_block_lose_nothing);
	tcase_add_loop_test(t, zeroing_zeroes_exactly_and_gives_back_only_if_asked, 0, 2);
	tcase_add_test(t, discard_gives_back_and_info_says_so);
	tcase_add_test(t, once_the_page_cache_has_lost_data_no_sync_succeeds);
	tcase_add_test(t, a_file_that_may_not_grow_fails_the_write_alone);
	tcase_add_test(t, a_full_file_system_fails_the_write_alone);
	tcase_add_test(t, cutting_a_vector_is_undone_exactly);
	suite_add_tcase(s, t);
	tcase_add_test(bare, a_span_held_alone_keeps_overlapping_ones_out);
	tcase_add_test(bare, one_who_waits_alone_is_not_overtaken);
	tcase_add_test(bare, all_work_is_done_once_before_the_pool_goes);
	tcase_add_test(bare, work_is_done_even_where_no_thread_can_be_had);
	suite_add_tcase(s, bare);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
