/*
 * Unit tests of the qcow2 format: every rule a header can break, reading and writing against a model with
 * qemu-img as the judge, and what is left after kill -9 and after a power cut at any moment. Direct I/O, locks
 * and engines are not here (qcow2_rig.h stands in for them). Without qemu-img the tests that need it are
 * skipped, and say so.
 */
#include <check.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "devices/block/qcow2.h"
#include "devices/block/qcow2_rig.h"
#include "vmm/base/log.h"

static char dir[64];
static struct err e;
static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(seed >> 4) % below);
}

static const char *in_dir(const char *name)
{
	static char path[4][128];
	static unsigned int next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

/* Run a command in the test's directory. Returns its exit status, output thrown away. */
PRINTF(1, 2) static int run(const char *fmt, ...)
{
	char command[512], whole[700];
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "cd %s && { %s; } >out 2>&1", dir, command);
	status = system(whole);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool have_qemu_img(void)
{
	return system("command -v qemu-img >/dev/null && command -v qemu-io >/dev/null") == 0;
}

#define NEED_QEMU_IMG()                                                                                      \
	do {                                                                                                 \
		if (!have_qemu_img()) {                                                                      \
			printf("SKIP %s: no qemu-img\n", __func__);                                          \
			return;                                                                              \
		}                                                                                            \
	} while (0)

/* qemu-img check: 0 is clean, 3 means leaks alone. */
static void check_image(const char *name, bool leaks_ok)
{
	int rc = run("qemu-img check -f qcow2 %s", name);

	if (rc == 0 || (leaks_ok && rc == 3))
		return;
	ck_abort_msg("qemu-img check %s: %d", name, rc);
}

static void setup(void)
{
	strcpy(dir, "/tmp/trellis-qcow2-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	seed = 1;
	e.text[0] = 0;
	log_set_level(LOG_ERROR);
}

static void teardown(void)
{
	rig_log_clear();
	run("rm -rf %s", dir);
}

static const struct block_options normal = {
	.cache = CACHE_WRITEBACK, .discard = true, .backing = true, .label = "disk0"
};

static void open_image(struct block_image *img, const char *name, bool readonly)
{
	int rc = qcow2_open(img, in_dir(name), &normal, readonly, 0, &e);

	ck_assert_msg(rc == 0, "%s", e.text);
}

static void close_image(struct block_image *img)
{
	img->ops->close(img->image);
	img->ops = NULL;
}

static uint64_t incompatible(const char *name)
{
	uint8_t field[8];
	int fd = open(in_dir(name), O_RDONLY);

	ck_assert_int_eq(pread(fd, field, sizeof(field), QCOW2_AT_INCOMPATIBLE), sizeof(field));
	close(fd);
	return get_be64(field);
}

/* ---- headers ---- */

/* A version 3 image made by hand: clusters of 512 bytes, 64 KiB of disk. */
enum { HAND_CLUSTER = 512, HAND_BYTES = 5 * HAND_CLUSTER, HAND_SIZE = 65536 };

static void hand_image(uint8_t *p)
{
	memset(p, 0, HAND_BYTES);
	put_be32(p, QCOW2_MAGIC);
	put_be32(p + 4, 3);
	put_be32(p + 20, 9);
	put_be64(p + 24, HAND_SIZE);
	put_be32(p + 36, 2);
	put_be64(p + 40, 3 * HAND_CLUSTER);
	put_be64(p + 48, HAND_CLUSTER);
	put_be32(p + 56, 1);
	put_be32(p + 96, 4);
	put_be32(p + 100, 104);
	put_be64(p + HAND_CLUSTER, 2 * HAND_CLUSTER);
	for (int i = 0; i < 4; i++)
		put_be16(p + 2 * HAND_CLUSTER + 2 * i, 1);
}

static void save(const char *name, const void *bytes, size_t len)
{
	FILE *f = fopen(in_dir(name), "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

/* Open what p holds; returns the code, with the sentence in e. */
static int try_open(const uint8_t *p, size_t len, bool readonly, const struct block_options *o)
{
	uint8_t after[HAND_BYTES];
	struct block_image img;
	FILE *f;
	int rc;

	save("try", p, len);
	rc = qcow2_open(&img, in_dir("try"), o, readonly, 0, &e);
	if (!rc) {
		close_image(&img);
		return 0;
	}
	f = fopen(in_dir("try"), "rb");
	ck_assert_uint_eq(fread(after, 1, sizeof(after), f), MIN(len, sizeof(after)));
	fclose(f);
	ck_assert_mem_eq(after, p, MIN(len, sizeof(after))); /* what is refused is not changed */
	return rc;
}

struct rule {
	unsigned int at, size;
	uint64_t value;
	const char *text; /* a piece of the sentence */
};

static const struct rule rules[] = {
	{ 0, 4, 0x12345678, "format=raw" },
	{ 4, 4, 1, "expected 2 or 3" },
	{ 4, 4, 4, "expected 2 or 3" },
	{ 20, 4, 8, "2^9" },
	{ 20, 4, 22, "2^21" },
	{ 20, 4, 0xffffffff, "2^21" },
	{ 24, 8, UINT64_MAX, "impossible" },
	{ 24, 8, 1ull << 40, "L1 table of 2 entries" },
	{ 32, 4, 1, "encrypted" },
	{ 32, 4, 2, "encrypted" },
	{ 36, 4, 1, "L1 table of 1 entries" },
	{ 36, 4, 0xffffffff, "L1 table of" },
	{ 36, 4, 4000000, "does not lie in the file" },
	{ 40, 8, 0, "L1 table" },
	{ 40, 8, 1537, "does not start at a cluster" },
	{ 40, 8, 1ull << 40, "does not lie in the file" },
	{ 40, 8, 0xfffffffffffffe00, "does not lie in the file" },
	{ 40, 8, 512, "shares its place" },
	{ 48, 8, 0, "refcount table" },
	{ 48, 8, 513, "does not start at a cluster" },
	{ 48, 8, 1 << 20, "does not lie in the file" },
	{ 56, 4, 0, "refcount table of 0 clusters" },
	{ 56, 4, 0xffffffff, "refcount table of" },
	{ 60, 4, 65537, "snapshots" },
	{ 60, 4, 1, "snapshot table" },
	{ 72, 8, 2, "marked corrupt" },
	{ 72, 8, 4, "external data file" },
	{ 72, 8, 8, "compression type" },
	{ 72, 8, 16, "extended L2" },
	{ 72, 8, 32, "bit 5" },
	{ 72, 8, 1ull << 63, "bit 63" },
	{ 96, 4, 7, "refcounts of 2^7" },
	{ 100, 4, 96, "header of 96" },
	{ 100, 4, 1024, "header of 1024" },
	{ 104, 8, 0xe2792acaffffffff, "does not fit" },
	{ 104, 8, 0x0537be7700000010, "LUKS" },
	{ 104, 8, 0x4441544100000010, "external data file" },
	{ 512, 8, 0x401, "refcount block" },
	{ 512, 8, 1ull << 50, "refcount block" },
	{ 512, 8, 0x600, "shares its place" },
	{ 1536, 8, 0x8000000000000000 | 0x10000, "L2 table" },
	{ 1536, 8, 0x8000000000000000 | 0x400, "shares its place" },
	{ 1536, 8, 0x8100000000000000 | 0x800, "reserved" },
};

START_TEST(broken_header_is_refused_with_its_sentence_and_left_alone)
{
	const struct rule *r = &rules[_i];
	uint8_t p[HAND_BYTES];

	hand_image(p);
	ck_assert_int_eq(try_open(p, sizeof(p), false, &normal), 0);
	for (unsigned int i = 0; i < r->size; i++)
		p[r->at + i] = (uint8_t)(r->value >> (8 * (r->size - 1 - i)));
	ck_assert_int_lt(try_open(p, sizeof(p), false, &normal), 0);
	ck_assert_msg(strstr(e.text, r->text), "\"%s\" lacks \"%s\"", e.text, r->text);
}
END_TEST

/* Two snapshots whose extra data is 4 GiB each: 2^24 clusters of tables, in a file of a few KiB and holes. */
START_TEST(more_tables_than_are_kept_in_memory_are_refused_for_writing)
{
	uint64_t table = HAND_BYTES;
	uint8_t p[HAND_BYTES + 40];
	struct block_image img;
	int fd;

	hand_image(p);
	memset(p + table, 0, 40);
	put_be32(p + 60, 2);
	put_be64(p + 64, table);
	put_be32(p + table + 36, 0xfffffff8 - 40);
	save("img", p, sizeof(p));
	fd = open(in_dir("img"), O_RDWR);
	ck_assert_int_eq(pwrite(fd, p + table, 40, (off_t)(table + 0xfffffff8)), 40);
	ck_assert_int_eq(ftruncate(fd, 9ll << 30), 0);
	close(fd);
	ck_assert_int_eq(qcow2_open(&img, in_dir("img"), &normal, false, 0, &e), -EFBIG);
	ck_assert_msg(strstr(e.text, "clusters of tables"), "%s", e.text);
	open_image(&img, "img", true);
	close_image(&img);
}
END_TEST

START_TEST(short_file_is_refused)
{
	uint8_t p[HAND_BYTES];

	hand_image(p);
	for (size_t len = 0; len < 3 * HAND_CLUSTER; len += 37)
		ck_assert_int_lt(try_open(p, len, len % 2, &normal), 0);
}
END_TEST

START_TEST(unknown_feature_is_called_by_the_image_s_name)
{
	uint8_t p[HAND_BYTES];

	hand_image(p);
	put_be64(p + 72, 1ull << 9);
	put_be64(p + 104, 0x6803f85700000060);
	p[112] = 1;
	p[113] = 9;
	strcpy((char *)p + 114, "compatible thing");
	p[160] = 0;
	p[161] = 9;
	strcpy((char *)p + 162, "time travel");
	ck_assert_int_eq(try_open(p, sizeof(p), true, &normal), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(e.text, "\"time travel\""));
}
END_TEST

START_TEST(corrupt_image_may_be_read_only)
{
	uint8_t p[HAND_BYTES];

	hand_image(p);
	put_be64(p + 72, QCOW2_INCOMPATIBLE_CORRUPT);
	ck_assert_int_lt(try_open(p, sizeof(p), false, &normal), 0);
	ck_assert_int_eq(try_open(p, sizeof(p), true, &normal), 0);
}
END_TEST

START_TEST(autoclear_bits_are_cleared_for_writing_only)
{
	uint8_t p[HAND_BYTES], field[8];
	struct block_image img;
	FILE *f;

	hand_image(p);
	put_be64(p + 88, 5);
	for (int writable = 0; writable < 2; writable++) {
		save("auto", p, sizeof(p));
		open_image(&img, "auto", !writable);
		close_image(&img);
		f = fopen(in_dir("auto"), "rb");
		fseek(f, 88, SEEK_SET);
		ck_assert_uint_eq(fread(field, 1, 8, f), 8);
		fclose(f);
		ck_assert_uint_eq(get_be64(field), writable ? 0 : 5);
	}
}
END_TEST

/* Give the hand-made image a backing file's name and, if there is one, its format. */
static void set_backing(uint8_t *p, const char *name, const char *format)
{
	hand_image(p);
	put_be64(p + 8, 300);
	put_be32(p + 16, (uint32_t)strlen(name));
	memcpy(p + 300, name, strlen(name));
	if (format) {
		put_be32(p + 104, 0xe2792aca);
		put_be32(p + 108, (uint32_t)strlen(format));
		memcpy(p + 112, format, strlen(format));
	}
}

START_TEST(backing_files_are_followed_only_as_told)
{
	struct block_options shy = normal;
	uint8_t p[HAND_BYTES];

	shy.backing = false;
	set_backing(p, "base", "raw");
	ck_assert_int_eq(try_open(p, sizeof(p), false, &shy), -EPERM);
	ck_assert_ptr_nonnull(strstr(e.text, "backing=on"));
	ck_assert_int_eq(try_open(p, sizeof(p), false, &normal), -ENOENT);
	save("base", p, 1024);
	ck_assert_int_eq(try_open(p, sizeof(p), false, &normal), 0);
	set_backing(p, "base", NULL);
	ck_assert_int_eq(try_open(p, sizeof(p), false, &normal), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "qemu-img rebase -u"));
	set_backing(p, "base", "vmdk");
	ck_assert_int_eq(try_open(p, sizeof(p), false, &normal), -ENOTSUP);
	set_backing(p, "json:{}", "raw");
	ck_assert_int_eq(try_open(p, sizeof(p), false, &normal), -ENOTSUP);
	set_backing(p, "nbd://host/x", "raw");
	ck_assert_int_eq(try_open(p, sizeof(p), false, &normal), -ENOTSUP);
	set_backing(p, "try", "qcow2"); /* itself */
	ck_assert_int_eq(try_open(p, sizeof(p), false, &normal), -ELOOP);
	put_be32(p + 16, 1024);
	ck_assert_int_eq(try_open(p, sizeof(p), false, &normal), -EINVAL);
}
END_TEST

/* ---- corruption met on the way ---- */

START_TEST(corrupt_entry_gives_an_error_marks_the_image_and_stops_writes)
{
	static const uint64_t entries[] = {
		0x8000000000000001 | 0x20000000, /* beyond the end, zero or not */
		0x8000000000000000 | 0x20000000,
		0x8000000000000000 | 0xa80ull >> 1, /* not aligned */
		0x8000000000000002 | 0x800,         /* reserved */
		0xc000000000000000 | 1ull << 45,
		0x4000000000000000, /* compressed nowhere */
		0x0100000000000000,
	};
	uint8_t p[7 * HAND_CLUSTER] = { 0 }, buf[512] = { 0 };
	struct block_image img;

	hand_image(p);
	put_be64(p + 3 * HAND_CLUSTER, QCOW2_COPIED | (4 * HAND_CLUSTER));
	put_be16(p + 2 * HAND_CLUSTER + 8, 1);
	put_be64(p + 4 * HAND_CLUSTER, entries[_i]);
	save("bad", p, sizeof(p));
	open_image(&img, "bad", false);
	ck_assert_int_eq(rig_io(&img, BLOCK_READ, 0, buf, 512), -EIO);
	ck_assert_int_eq(rig_io(&img, BLOCK_READ, 512, buf, 512), 0);
	ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, 512, buf, 512), -EIO);
	ck_assert_int_eq(rig_serve(&img, BLOCK_ZEROES, 1024, 512, true), -EIO);
	close_image(&img);
	ck_assert_uint_eq(incompatible("bad"), QCOW2_INCOMPATIBLE_CORRUPT);
}
END_TEST

START_TEST(write_over_metadata_is_caught)
{
	uint8_t p[7 * HAND_CLUSTER] = { 0 }, buf[512] = { 1 };
	struct block_image img;

	for (unsigned int target = 1; target <= 4; target++) {
		hand_image(p);
		put_be64(p + 3 * HAND_CLUSTER, QCOW2_COPIED | (4 * HAND_CLUSTER));
		put_be16(p + 2 * HAND_CLUSTER + 8, 1);
		put_be64(p + 4 * HAND_CLUSTER, QCOW2_COPIED | target * HAND_CLUSTER);
		save("over", p, sizeof(p));
		open_image(&img, "over", false);
		ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, 0, buf, 512), -EIO);
		close_image(&img);
	}
}
END_TEST

START_TEST(dropping_metadata_is_caught_before_it_is_given_back)
{
	uint8_t p[7 * HAND_CLUSTER] = { 0 }, after[HAND_BYTES];
	struct block_image img;
	int fd;

	for (unsigned int target = 1; target <= 4; target++) {
		hand_image(p);
		put_be64(p + 3 * HAND_CLUSTER, QCOW2_COPIED | (4 * HAND_CLUSTER));
		put_be16(p + 2 * HAND_CLUSTER + 8, 1);
		put_be64(p + 4 * HAND_CLUSTER, QCOW2_COPIED | target * HAND_CLUSTER);
		save("drop", p, sizeof(p));
		open_image(&img, "drop", false);
		ck_assert_int_eq(rig_serve(&img, BLOCK_DISCARD, 0, 512, false), 0);
		ck_assert_int_eq(rig_flush(&img), -EIO);
		close_image(&img);
		ck_assert_uint_eq(incompatible("drop"), QCOW2_INCOMPATIBLE_CORRUPT);
		fd = open(in_dir("drop"), O_RDONLY);
		ck_assert_int_eq(pread(fd, after, sizeof(after), 0), sizeof(after));
		close(fd);
		ck_assert_mem_eq(after + HAND_CLUSTER, p + HAND_CLUSTER, 3 * HAND_CLUSTER);
	}
}
END_TEST

START_TEST(metadata_counted_as_free_is_not_handed_out)
{
	uint8_t p[HAND_BYTES], buf[512] = { 1 }, after[HAND_BYTES];
	struct block_image img;
	int fd;

	for (int i = 0; i < 4; i++) {
		hand_image(p);
		put_be16(p + 2 * HAND_CLUSTER + 2 * i, 0);
		save("free", p, sizeof(p));
		open_image(&img, "free", false);
		ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, 0, buf, 512), -EIO);
		close_image(&img);
		fd = open(in_dir("free"), O_RDONLY);
		ck_assert_int_ge(pread(fd, after, sizeof(after), 0), sizeof(after));
		close(fd);
		p[79] |= QCOW2_INCOMPATIBLE_CORRUPT;
		ck_assert_mem_eq(after, p, sizeof(p));
	}
}
END_TEST

/* ---- random work against a model ---- */

enum { DISK = 4 << 20 };

struct shape {
	const char *options;
	bool backed;
};

static const struct shape shapes[] = {
	{ "compat=v3,cluster_size=64k", false },
	{ "compat=v3,cluster_size=512", false },
	{ "compat=0.10,cluster_size=4k", false },
	{ "compat=0.10,cluster_size=512", true },
	{ "compat=v3,cluster_size=2M", true },
	{ "compat=v3,cluster_size=512,refcount_bits=1", false },
	{ "compat=v3,cluster_size=1k,refcount_bits=4", true },
	{ "compat=v3,cluster_size=1k,refcount_bits=64", true },
	{ "compat=v3,cluster_size=4k,refcount_bits=8,lazy_refcounts=on", false },
	{ "compat=v3,cluster_size=8k,refcount_bits=32", true },
};

static void fill(uint8_t *buf, size_t len)
{
	uint32_t v = rnd(1u << 30);

	for (size_t i = 0; i < len; i += 4)
		put_le32(buf + i, v + (uint32_t)(i / 512));
}

/* The model begins as what the image shows. */
static void make_image(const struct shape *s, uint8_t *model)
{
	memset(model, 0, DISK);
	if (s->backed) {
		fill(model, DISK / 2);
		save("base.raw", model, DISK / 2);
	}
	if (s->backed)
		ck_assert_int_eq(
			run("qemu-img create -q -f qcow2 -F raw -b base.raw -o %s img %d", s->options, DISK),
			0);
	else
		ck_assert_int_eq(run("qemu-img create -q -f qcow2 -o %s img %d", s->options, DISK), 0);
}

static void random_range(uint64_t *offset, uint64_t *bytes)
{
	uint32_t max = rnd(8) ? 32 : 1024;

	*bytes = 512ull * (1 + rnd(max));
	*offset = 512ull * rnd((uint32_t)((DISK - *bytes) / 512) + 1);
	if (rnd(4) == 0)
		*offset = align_down(*offset, 65536);
}

static void random_op(struct block_image *img, uint8_t *model, uint8_t *buf)
{
	uint64_t offset, bytes;
	unsigned int what = rnd(100);
	bool strange = false;

	random_range(&offset, &bytes);
	if (what < 45) {
		fill(buf, bytes);
		memcpy(model + offset, buf, bytes);
		ck_assert_int_eq(rig_io(img, BLOCK_WRITE, offset, buf, bytes), 0);
	} else if (what < 75) {
		ck_assert_int_eq(rig_io(img, BLOCK_READ, offset, buf, bytes), 0);
		ck_assert_mem_eq(buf, model + offset, bytes);
	} else if (what < 90) {
		memset(model + offset, 0, bytes);
		ck_assert_int_eq(rig_serve(img, BLOCK_ZEROES, offset, bytes, what & 1), 0);
	} else if (what < 96) {
		/* What a discard leaves is the image's business: old bytes or zeros, in each sector. */
		ck_assert_int_eq(rig_serve(img, BLOCK_DISCARD, offset, bytes, false), 0);
		ck_assert_int_eq(rig_io(img, BLOCK_READ, offset, buf, bytes), 0);
		for (uint64_t i = 0; i < bytes; i++)
			strange |= buf[i] && buf[i] != model[offset + i];
		ck_assert(!strange);
		memcpy(model + offset, buf, bytes);
	} else {
		ck_assert_int_eq(rig_flush(img), 0);
	}
}

static void compare(struct block_image *img, const uint8_t *model)
{
	uint8_t *buf = malloc(DISK);

	ck_assert_int_eq(rig_io(img, BLOCK_READ, 0, buf, DISK), 0);
	ck_assert_mem_eq(buf, model, DISK);
	free(buf);
}

START_TEST(random_work_agrees_with_the_model_and_qemu_img)
{
	uint8_t *model = malloc(DISK), *buf = malloc(DISK);
	struct block_image img;

	NEED_QEMU_IMG();
	seed = (uint32_t)_i * 77 + 5;
	make_image(&shapes[_i], model);
	for (int round = 0; round < 3; round++) {
		open_image(&img, "img", false);
		for (int i = 0; i < 150; i++)
			random_op(&img, model, buf);
		compare(&img, model);
		close_image(&img);
		check_image("img", false);
		save("model", model, DISK);
		ck_assert_int_eq(run("qemu-img compare -f qcow2 -F raw img model"), 0);
		/* Snapshots share everything; the next round copies it. */
		if (round == 0 && !strstr(shapes[_i].options, "bits=1"))
			ck_assert_int_eq(run("cp model first && qemu-img snapshot -c first img"), 0);
		open_image(&img, "img", true);
		compare(&img, model);
		close_image(&img);
	}
	if (!strstr(shapes[_i].options, "bits=1")) {
		ck_assert_int_eq(
			run("qemu-img snapshot -a first img && qemu-img compare -f qcow2 -F raw img first"),
			0);
		check_image("img", false);
	}
	free(model);
	free(buf);
}
END_TEST

START_TEST(compressed_clusters_are_read_and_rewritten)
{
	static const char *const clusters[] = { "64k", "512", "2M" };
	uint8_t *model = malloc(DISK), *buf = malloc(DISK);
	struct block_image img;

	NEED_QEMU_IMG();
	for (size_t i = 0; i < DISK; i += 4)
		put_le32(model + i, rnd(3) ? 7 : rnd(1000));
	save("model", model, DISK);
	ck_assert_int_eq(
		run("qemu-img convert -q -c -f raw -O qcow2 -o cluster_size=%s model img", clusters[_i]), 0);
	open_image(&img, "img", true);
	compare(&img, model);
	close_image(&img);
	open_image(&img, "img", false);
	for (int n = 0; n < 200; n++)
		random_op(&img, model, buf);
	compare(&img, model);
	close_image(&img);
	check_image("img", false);
	save("model", model, DISK);
	ck_assert_int_eq(run("qemu-img compare -f qcow2 -F raw img model"), 0);
	free(model);
	free(buf);
}
END_TEST

START_TEST(damaged_compressed_data_gives_an_error)
{
	uint8_t *model = calloc(1, DISK), buf[512];
	struct block_image img;

	NEED_QEMU_IMG();
	memset(model, 5, 65536);
	save("model", model, DISK);
	free(model);
	ck_assert_int_eq(run("qemu-img convert -q -c -f raw -O qcow2 model img && "
			     "printf '\\377\\377\\377\\377' | dd of=img bs=1 seek=327680 conv=notrunc"),
			 0);
	open_image(&img, "img", true);
	ck_assert_int_eq(rig_io(&img, BLOCK_READ, 0, buf, 512), -EIO);
	close_image(&img);
}
END_TEST

START_TEST(refcount_table_grows_with_the_file)
{
	uint8_t *buf = malloc(DISK);
	struct block_image img;

	NEED_QEMU_IMG();
	fill(buf, DISK);
	/* 512-byte clusters, 64-bit refcounts: one cluster of the table counts 64 * 64 clusters, 2 MiB. */
	ck_assert_int_eq(run("qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=64 img 64M"), 0);
	open_image(&img, "img", false);
	for (int i = 0; i < 14; i++)
		ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, (uint64_t)i * DISK, buf, DISK), 0);
	close_image(&img);
	check_image("img", false);
	free(buf);
}
END_TEST

START_TEST(discarded_space_is_given_back_after_a_flush)
{
	uint8_t *buf = malloc(DISK);
	struct block_image img;
	struct stat before, after;

	NEED_QEMU_IMG();
	fill(buf, DISK);
	ck_assert_int_eq(run("qemu-img create -q -f qcow2 img 64M"), 0);
	open_image(&img, "img", false);
	ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, 0, buf, DISK), 0);
	ck_assert_int_eq(rig_flush(&img), 0);
	stat(in_dir("img"), &before);
	ck_assert_int_eq(rig_serve(&img, BLOCK_DISCARD, 0, DISK, false), 0);
	ck_assert_int_eq(rig_flush(&img), 0);
	stat(in_dir("img"), &after);
	ck_assert_int_le(after.st_blocks * 512, before.st_blocks * 512 - DISK);
	/* And the clusters are used again. */
	ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, 8 << 20, buf, DISK), 0);
	close_image(&img);
	stat(in_dir("img"), &after);
	ck_assert_int_eq(after.st_size, before.st_size);
	check_image("img", false);
	free(buf);
}
END_TEST

START_TEST(dropped_cluster_is_not_reused_while_a_transfer_goes_there)
{
	uint8_t buf[65536], *big = calloc(1, DISK);
	struct block_extent x, y;
	struct block_image img;

	NEED_QEMU_IMG();
	fill(buf, sizeof(buf));
	ck_assert_int_eq(run("qemu-img create -q -f qcow2 img 64M"), 0);
	open_image(&img, "img", false);
	ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, 0, buf, sizeof(buf)), 0);
	img.ops->map(img.image, true, 0, 512, &x);
	ck_assert_int_eq(x.kind, BLOCK_AT_FILE);
	ck_assert_int_eq(rig_serve(&img, BLOCK_DISCARD, 0, 65536, false), 0);
	ck_assert_int_eq(rig_flush(&img), 0);
	ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, 1 << 20, big, DISK), 0);
	for (uint64_t at = 1 << 20; at < (1 << 20) + DISK; at += 65536) {
		img.ops->map(img.image, false, at, 512, &y);
		ck_assert(y.kind == BLOCK_AT_FILE && y.at != x.at);
		img.ops->mapped_done(img.image, &y, false);
	}
	img.ops->mapped_done(img.image, &x, true);
	ck_assert_int_eq(rig_serve(&img, BLOCK_ZEROES, 32 << 20, 512, false), 0);
	close_image(&img);
	check_image("img", false);
	free(big);
}
END_TEST

/*
 * All 256 pages of the cache are made dirty with L2 tables, so that looking for free clusters has to flush; and
 * that frees more runs than are remembered, so that the search begins anew in front of them.
 */
START_TEST(clusters_freed_while_free_ones_are_looked_for_do_not_mix_up_the_search)
{
	enum { PAGES = 256, SPAN = 64 * 512, DISK_BYTES = PAGES * SPAN, LAST = DISK_BYTES - 2 * 512 };
	uint8_t *buf = malloc(DISK_BYTES), *got = malloc(DISK_BYTES);
	struct block_image img;

	NEED_QEMU_IMG();
	fill(buf, DISK_BYTES);
	ck_assert_int_eq(
		run("qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=1 img %d", DISK_BYTES), 0);
	open_image(&img, "img", false);
	ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, 0, buf, LAST), 0);
	ck_assert_int_eq(rig_flush(&img), 0);
	for (uint64_t at = 0; at < DISK_BYTES; at += SPAN) {
		ck_assert_int_eq(rig_serve(&img, BLOCK_DISCARD, at, 512, false), 0);
		ck_assert_int_eq(rig_serve(&img, BLOCK_DISCARD, at + 1024, 512, false), 0);
		memset(buf + at, 0, 512);
		memset(buf + at + 1024, 0, 512);
	}
	ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, LAST, buf + LAST, 2 * 512), 0);
	ck_assert_int_eq(rig_io(&img, BLOCK_READ, 0, got, DISK_BYTES), 0);
	ck_assert_mem_eq(got, buf, DISK_BYTES);
	close_image(&img);
	check_image("img", false);
	free(buf);
	free(got);
}
END_TEST

/* So that a flush, and a power cut, may come right after it. */
START_TEST(new_refcount_block_counts_itself_from_the_first)
{
	for (unsigned int bits = 1; bits <= 64; bits *= 2) {
		struct block_image img;
		struct qcow2 *q;

		NEED_QEMU_IMG();
		ck_assert_int_eq(
			run("qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=%u img 1M", bits),
			0);
		open_image(&img, "img", false);
		q = img.image;
		ck_assert_int_eq(qcow2_refcount_block_new(q, 1, (1ull << qcow2_rb_bits(q)) + 7), 0);
		ck_assert_int_eq(qcow2_flush_refcounts(q), 0);
		close_image(&img);
		ck_assert_int_eq(run("truncate -s +4M img"), 0);
		check_image("img", false);
	}
}
END_TEST

START_TEST(lazy_refcounts_are_counted_anew)
{
	uint8_t *model = calloc(1, DISK);
	struct block_image img;

	NEED_QEMU_IMG();
	/* qemu-io killed between write and close leaves the dirty bit and stale refcounts. */
	ck_assert_int_eq(
		run("qemu-img create -q -f qcow2 -o lazy_refcounts=on,cluster_size=4k img 4M && "
		    "qemu-img snapshot -c one img && "
		    "! qemu-io -f qcow2 -c 'write -P 9 0 1M' -c 'flush' -c 'write -P 8 2M 64k' -c 'flush' "
		    "-c 'sigraise 9' img"),
		0);
	ck_assert_uint_eq(incompatible("img"), QCOW2_INCOMPATIBLE_DIRTY);
	ck_assert_int_eq(run("qemu-img check -f qcow2 img"), 2);
	memset(model, 9, 1 << 20);
	memset(model + (2 << 20), 8, 65536);
	open_image(&img, "img", true);
	compare(&img, model);
	close_image(&img);
	open_image(&img, "img", false);
	compare(&img, model);
	close_image(&img);
	check_image("img", false);
	ck_assert_uint_eq(incompatible("img"), 0);
	free(model);
}
END_TEST

START_TEST(failed_writes_lose_nothing_that_is_there)
{
	uint8_t *model = malloc(DISK), *buf = malloc(DISK);
	struct block_image img;

	NEED_QEMU_IMG();
	for (unsigned int n = 1; n < 40; n += 3) {
		make_image(&shapes[1], model);
		open_image(&img, "img", false);
		fill(buf, DISK / 4);
		ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, 0, buf, DISK / 4), 0);
		ck_assert_int_eq(rig_flush(&img), 0);
		memcpy(model, buf, DISK / 4);
		rig_log.fail_in = n;
		rig_log.fail_with = -ENOSPC;
		for (int i = 0; i < 20; i++) {
			if (rig_io(&img, BLOCK_WRITE, (uint64_t)DISK / 2 + (uint64_t)i * 7168, buf,
				   3072 + 512))
				break;
		}
		if (rig_log.failing)
			ck_assert_int_eq(rig_flush(&img), -ENOSPC);
		rig_log.failing = false;
		rig_log.fail_in = 0;
		ck_assert_int_eq(rig_io(&img, BLOCK_WRITE, DISK / 2, buf, 512), 0);
		ck_assert_int_eq(rig_flush(&img), 0);
		ck_assert_int_eq(rig_io(&img, BLOCK_READ, 0, buf, DISK / 4), 0);
		ck_assert_mem_eq(buf, model, DISK / 4);
		close_image(&img);
		check_image("img", true);
	}
	free(model);
	free(buf);
}
END_TEST

/* ---- overlay ---- */

START_TEST(overlay_takes_writes_and_leaves_the_image_alone)
{
	uint8_t *model = malloc(DISK), *buf = malloc(DISK);
	struct block_image base, img;

	NEED_QEMU_IMG();
	make_image(&shapes[3], model);
	ck_assert_int_eq(run("cp img before"), 0);
	open_image(&base, "img", true);
	ck_assert_int_eq(qcow2_overlay(&img, &base, &normal, &e), 0);
	ck_assert_uint_eq(img.info.capacity_bytes, DISK);
	for (int i = 0; i < 300; i++)
		random_op(&img, model, buf);
	compare(&img, model);
	close_image(&img);
	ck_assert_int_eq(run("cmp img before"), 0);
	free(model);
	free(buf);
}
END_TEST

/* ---- many workers ---- */

enum { WORKERS = 4, STRIPE = DISK / WORKERS };

struct worker {
	pthread_t thread;
	struct block_image *img;
	uint8_t *model;
	unsigned int nr;
};

/* Each worker owns the sectors whose number has its own remainder, so that clusters are shared. */
static void *work(void *ctx)
{
	struct worker *w = ctx;
	uint32_t s = w->nr + 1;
	uint8_t buf[512];

	for (int i = 0; i < 1500; i++) {
		uint64_t offset;

		s = s * 1664525 + 1013904223;
		offset = ((s >> 8) % (STRIPE / 512) * WORKERS + w->nr) * 512;
		switch (s >> 28) {
		case 0:
			if (rig_flush(w->img))
				return "flush";
			break;
		case 1:
			if (rig_serve(w->img, BLOCK_ZEROES, offset, 512, true))
				return "zeroes";
			memset(w->model + offset, 0, 512);
			break;
		case 2:
		case 3:
		case 4:
		case 5:
			if (rig_io(w->img, BLOCK_READ, offset, buf, 512) ||
			    memcmp(buf, w->model + offset, 512))
				return "read";
			break;
		default:
			memset(buf, (int)(s >> 20), sizeof(buf));
			memcpy(w->model + offset, buf, 512);
			if (rig_io(w->img, BLOCK_WRITE, offset, buf, 512))
				return "write";
		}
	}
	return NULL;
}

START_TEST(workers_in_the_same_clusters_lose_nothing)
{
	uint8_t *model = malloc(DISK);
	struct worker w[WORKERS];
	struct block_image img;

	NEED_QEMU_IMG();
	make_image(&shapes[_i], model);
	open_image(&img, "img", false);
	for (unsigned int i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){ .img = &img, .model = model, .nr = i };
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		void *failed;

		pthread_join(w[i].thread, &failed);
		ck_assert_msg(!failed, "worker %u: %s", i, (char *)failed);
	}
	compare(&img, model);
	close_image(&img);
	check_image("img", false);
	free(model);
}
END_TEST

/* ---- kill -9 and power cuts ---- */

/*
 * What a sector may hold after a crash: what it held at the last flush, or anything written to it since.
 * Each write puts its number into every sector; 0 is zeros.
 */
enum { SECTORS = DISK / 512, EVENTS = 4096 };

struct event {
	uint32_t first, nr; /* sectors; nr 0: a flush that is over */
	uint32_t stamp;
	bool discard; /* may leave what was there */
};

struct history {
	struct event event[EVENTS];
	_Atomic uint32_t nr;   /* events begun */
	_Atomic uint32_t done; /* events over */
};

static void stamped_op(struct block_image *img, struct history *h, uint8_t *buf)
{
	struct event *v = &h->event[h->nr];
	uint64_t offset, bytes;
	unsigned int what = rnd(20);
	int rc;

	random_range(&offset, &bytes);
	*v = (struct event){ (uint32_t)(offset / 512), (uint32_t)(bytes / 512), what < 12 ? h->nr + 1 : 0,
			     what >= 18 };
	if (what == 17)
		v->nr = 0;
	h->nr++;
	rig_mark(h->nr);
	for (uint64_t i = 0; i < bytes; i += 512) {
		memset(buf + i, 0, 512);
		put_le32(buf + i, v->stamp);
	}
	if (what < 12)
		rc = rig_io(img, BLOCK_WRITE, offset, buf, bytes);
	else if (what < 17)
		rc = rig_serve(img, BLOCK_ZEROES, offset, bytes, what & 1);
	else if (what == 17)
		rc = rig_flush(img);
	else
		rc = rig_serve(img, BLOCK_DISCARD, offset, bytes, false);
	ck_assert_int_eq(rc, 0);
	h->done = h->nr;
	rig_mark(h->nr | 1ull << 32);
}

/* begun and done: how many events had begun and were over when the crash came. */
static void check_history(const char *name, const struct history *h, uint32_t begun, uint32_t done)
{
	uint8_t *now = malloc(DISK);
	uint32_t flushed = 0;
	struct block_image img;

	for (uint32_t i = 0; i < done; i++) {
		if (!h->event[i].nr)
			flushed = i;
	}
	open_image(&img, name, true);
	ck_assert_int_eq(rig_io(&img, BLOCK_READ, 0, now, DISK), 0);
	close_image(&img);
	for (uint32_t s = 0; s < SECTORS; s++) {
		uint32_t is = get_le32(now + 512ull * s);
		bool ok = false, settled = false;

		for (uint32_t i = begun; i-- > 0 && !ok && !settled;) {
			const struct event *v = &h->event[i];

			if (s < v->first || s - v->first >= v->nr)
				continue;
			ok = v->stamp == is;
			settled = i < flushed && !v->discard;
		}
		if (!settled)
			ok = ok || is == 0;
		if (!ok)
			ck_abort_msg("sector %u holds %u; %u begun, %u done, flush at %u", s, is, begun, done,
				     flushed);
	}
	free(now);
}

/* Write some of the log into a copy of the image: all up to the last sync before the cut, and chance for the rest. */
static void replay(const char *name, size_t cut, uint32_t *begun, uint32_t *done)
{
	size_t synced = 0;
	int fd = open(in_dir(name), O_RDWR);

	*begun = *done = 0;
	for (size_t i = 0; i < cut; i++) {
		if (rig_log.entry[i].op == RIG_SYNC)
			synced = i;
		if (rig_log.entry[i].op == RIG_MARK)
			*(rig_log.entry[i].at >> 32 ? done : begun) = (uint32_t)rig_log.entry[i].at;
	}
	for (size_t i = 0; i < cut; i++) {
		const struct rig_entry *r = &rig_log.entry[i];
		unsigned int luck = rnd(4); /* nothing, everything, or sector by sector */

		for (uint64_t at = 0; at < r->len; at += 512) {
			uint64_t len = MIN(512, r->len - at);

			if (i > synced && (luck == 0 || (luck > 1 && rnd(2))))
				continue;
			if (r->op == RIG_DISCARD)
				fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(r->at + at),
					  (off_t)len);
			else if (pwrite(fd, r->data + at, len, (off_t)(r->at + at)) != (ssize_t)len)
				ck_abort_msg("cannot replay");
		}
	}
	close(fd);
}

START_TEST(power_cut_at_any_moment_leaves_a_sound_image)
{
	struct history *h = calloc(1, sizeof(*h));
	uint8_t *buf = malloc(DISK);
	struct block_image img;
	static const char *const options[] = { "cluster_size=64k", "cluster_size=512",
					       "compat=0.10,cluster_size=1k",
					       "cluster_size=512,refcount_bits=64" };

	NEED_QEMU_IMG();
	seed = 99 + (uint32_t)_i;
	ck_assert_int_eq(run("qemu-img create -q -f qcow2 -o %s img %d", options[_i], DISK), 0);
	/* Half of it stands in the image already, shared with a snapshot. */
	ck_assert_int_eq(run("qemu-io -f qcow2 -c 'write -P 0 0 1M' img && qemu-img snapshot -c s img && cp "
			     "img before"),
			 0);
	open_image(&img, "img", false);
	rig_log.on = true;
	for (int i = 0; i < 120; i++)
		stamped_op(&img, h, buf);
	close_image(&img);
	rig_log.on = false;
	for (int i = 0; i < 50; i++) {
		uint32_t begun, done;

		ck_assert_int_eq(run("cp before cut"), 0);
		replay("cut", i ? 1 + rnd((uint32_t)rig_log.nr) : rig_log.nr, &begun, &done);
		check_image("cut", true);
		check_history("cut", h, begun, done);
	}
	free(buf);
	free(h);
}
END_TEST

START_TEST(kill_9_at_any_moment_leaves_a_sound_image)
{
	struct history *h = mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static const char *const options[] = { "cluster_size=64k", "cluster_size=512" };

	NEED_QEMU_IMG();
	for (unsigned int i = 0; i < 12; i++) {
		struct timespec wait = { .tv_nsec = (long)rnd(60000000) + 1000000 };
		pid_t child;

		memset(h, 0, sizeof(*h));
		seed = 1000 + i;
		ck_assert_int_eq(run("qemu-img create -q -f qcow2 -o %s img %d", options[i % 2], DISK), 0);
		child = fork();
		if (!child) {
			struct block_image img;
			uint8_t *buf = malloc(DISK);

			open_image(&img, "img", false);
			while (h->nr < EVENTS)
				stamped_op(&img, h, buf);
			_exit(0);
		}
		nanosleep(&wait, NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		check_image("img", true);
		check_history("img", h, h->nr, h->done);
	}
	munmap(h, sizeof(*h));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("qcow2");
	TCase *t = tcase_create("qcow2");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, broken_header_is_refused_with_its_sentence_and_left_alone, 0,
			    ARRAY_SIZE(rules));
	tcase_add_test(t, more_tables_than_are_kept_in_memory_are_refused_for_writing);
	tcase_add_test(t, short_file_is_refused);
	tcase_add_test(t, unknown_feature_is_called_by_the_image_s_name);
	tcase_add_test(t, corrupt_image_may_be_read_only);
	tcase_add_test(t, autoclear_bits_are_cleared_for_writing_only);
	tcase_add_test(t, backing_files_are_followed_only_as_told);
	tcase_add_loop_test(t, corrupt_entry_gives_an_error_marks_the_image_and_stops_writes, 0, 7);
	tcase_add_test(t, write_over_metadata_is_caught);
	tcase_add_test(t, dropping_metadata_is_caught_before_it_is_given_back);
	tcase_add_test(t, metadata_counted_as_free_is_not_handed_out);
	tcase_add_loop_test(t, random_work_agrees_with_the_model_and_qemu_img, 0, ARRAY_SIZE(shapes));
	tcase_add_loop_test(t, compressed_clusters_are_read_and_rewritten, 0, 3);
	tcase_add_test(t, damaged_compressed_data_gives_an_error);
	tcase_add_test(t, refcount_table_grows_with_the_file);
	tcase_add_test(t, discarded_space_is_given_back_after_a_flush);
	tcase_add_test(t, dropped_cluster_is_not_reused_while_a_transfer_goes_there);
	tcase_add_test(t, clusters_freed_while_free_ones_are_looked_for_do_not_mix_up_the_search);
	tcase_add_test(t, new_refcount_block_counts_itself_from_the_first);
	tcase_add_test(t, lazy_refcounts_are_counted_anew);
	tcase_add_test(t, failed_writes_lose_nothing_that_is_there);
	tcase_add_test(t, overlay_takes_writes_and_leaves_the_image_alone);
	tcase_add_loop_test(t, workers_in_the_same_clusters_lose_nothing, 0, 4);
	tcase_add_loop_test(t, power_cut_at_any_moment_leaves_a_sound_image, 0, 4);
	tcase_add_test(t, kill_9_at_any_moment_leaves_a_sound_image);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
