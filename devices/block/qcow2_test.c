/*
 * Unit tests of the qcow2 format: every rule a header can break, backing files, and corruption met on the way.
 * Reading and writing are in qcow2_work_test.c, crashes in qcow2_crash_test.c. Direct I/O, locks and engines are
 * not here (qcow2_rig.h stands in for them).
 */
#include "devices/block/qcow2_model.h"

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
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
