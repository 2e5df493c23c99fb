/*
 * Unit tests of the qcow2 format at work: reading and writing against a model with qemu-img as the judge, by one
 * and by several workers, and an overlay. As in qcow2_test.c, files are qcow2_rig.h's.
 */
#include "devices/block/qcow2_model.h"

/* ---- random work against a model ---- */

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

int main(void)
{
	Suite *s = suite_create("qcow2_work");
	TCase *t = tcase_create("qcow2_work");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
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
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
