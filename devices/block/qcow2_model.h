/*
 * For the tests of the qcow2 format: a directory, qemu-img as the judge, and an image with a model beside it.
 * Without qemu-img the tests that need it are skipped, and say so.
 */
#ifndef TRELLIS_DEVICES_BLOCK_QCOW2_MODEL_H
#define TRELLIS_DEVICES_BLOCK_QCOW2_MODEL_H

#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "devices/block/qcow2.h"
#include "devices/block/qcow2_rig.h"
#include "vmm/base/log.h"

static char dir[64];
static struct err e;
static uint32_t seed;

static inline uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(seed >> 4) % below);
}

static inline const char *in_dir(const char *name)
{
	static char path[4][128];
	static unsigned int next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

/* Run a command in the test's directory. Returns its exit status, output thrown away. */
PRINTF(1, 2) static inline int run(const char *fmt, ...)
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

static inline bool have_qemu_img(void)
{
	return system("command -v qemu-img >/dev/null && command -v qemu-io >/dev/null") == 0;
}

#define NEED_QEMU_IMG()                                                                                      \
	do {                                                                                                 \
		if (!have_qemu_img()) {                                                                      \
			printf("ok - %s # SKIP no qemu-img\n", __func__);                                    \
			return;                                                                              \
		}                                                                                            \
	} while (0)

/* qemu-img check: 0 is clean, 3 means leaks alone. */
static inline void check_image(const char *name, bool leaks_ok)
{
	int rc = run("qemu-img check -f qcow2 %s", name);

	if (rc == 0 || (leaks_ok && rc == 3))
		return;
	ck_abort_msg("qemu-img check %s: %d", name, rc);
}

static inline void setup(void)
{
	strcpy(dir, "/tmp/trellis-qcow2-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	seed = 1;
	e.text[0] = 0;
	log_set_level(LOG_ERROR);
}

static inline void teardown(void)
{
	rig_log_clear();
	run("rm -rf %s", dir);
}

static const struct block_options normal = {
	.cache = CACHE_WRITEBACK, .discard = true, .backing = true, .label = "disk0"
};

static inline void open_image(struct block_image *img, const char *name, bool readonly)
{
	int rc = qcow2_open(img, in_dir(name), &normal, readonly, 0, &e);

	ck_assert_msg(rc == 0, "%s", e.text);
}

static inline void close_image(struct block_image *img)
{
	img->ops->close(img->image);
	img->ops = NULL;
}

static inline uint64_t incompatible(const char *name)
{
	uint8_t field[8];
	int fd = open(in_dir(name), O_RDONLY);

	ck_assert_int_eq(pread(fd, field, sizeof(field), QCOW2_AT_INCOMPATIBLE), sizeof(field));
	close(fd);
	return get_be64(field);
}

static inline void save(const char *name, const void *bytes, size_t len)
{
	FILE *f = fopen(in_dir(name), "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

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

static inline void fill(uint8_t *buf, size_t len)
{
	uint32_t v = rnd(1u << 30);

	for (size_t i = 0; i < len; i += 4)
		put_le32(buf + i, v + (uint32_t)(i / 512));
}

/* The model begins as what the image shows. */
static inline void make_image(const struct shape *s, uint8_t *model)
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

static inline void random_range(uint64_t *offset, uint64_t *bytes)
{
	uint32_t max = rnd(8) ? 32 : 1024;

	*bytes = 512ull * (1 + rnd(max));
	*offset = 512ull * rnd((uint32_t)((DISK - *bytes) / 512) + 1);
	if (rnd(4) == 0)
		*offset = align_down(*offset, 65536);
}

static inline void compare(struct block_image *img, const uint8_t *model)
{
	uint8_t *buf = malloc(DISK);

	ck_assert_int_eq(rig_io(img, BLOCK_READ, 0, buf, DISK), 0);
	ck_assert_mem_eq(buf, model, DISK);
	free(buf);
}

#endif
