/*
 * Unit tests of the qcow2 format: what is left after kill -9, and after a power cut at any moment. As in
 * qcow2_test.c, files are qcow2_rig.h's; qemu-img is the judge.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#include "devices/block/qcow2_model.h"

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
	Suite *s = suite_create("qcow2_crash");
	TCase *t = tcase_create("qcow2_crash");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, power_cut_at_any_moment_leaves_a_sound_image, 0, 4);
	tcase_add_test(t, kill_9_at_any_moment_leaves_a_sound_image);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
