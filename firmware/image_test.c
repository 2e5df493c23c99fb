/* Files that are loaded from. Not tested: read errors of the disk. */
#include "firmware/boot_testkit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct image img;
static struct err err;
static char dir[] = "/tmp/image_test_XXXXXX";
static char path[64];

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

static void make_file(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(open_regular_file_has_its_size)
{
	make_file("hello");

	ck_assert_int_eq(image_open(&img, path, "kernel", &err), 0);

	ck_assert_uint_eq(img.bytes, 5);
	ck_assert_str_eq(img.path, path);
	image_close(&img);
	ck_assert_int_eq(img.fd, -1);
}
END_TEST

START_TEST(open_missing_file_says_role_and_path)
{
	ck_assert_int_eq(image_open(&img, path, "initrd", &err), -ENOENT);

	ck_assert_ptr_nonnull(strstr(err.text, "initrd '/tmp/image_test_"));
	ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
	ck_assert_int_eq(img.fd, -1);
}
END_TEST

START_TEST(open_directory_is_refused)
{
	ck_assert_int_eq(image_open(&img, dir, "kernel", &err), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "is a directory"));
	ck_assert_int_eq(img.fd, -1);
}
END_TEST

START_TEST(open_empty_file_is_refused)
{
	make_file("");

	ck_assert_int_eq(image_open(&img, path, "kernel", &err), -ENODATA);
	ck_assert_ptr_nonnull(strstr(err.text, "is empty"));
}
END_TEST

START_TEST(open_fifo_is_refused_without_waiting)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);

	ck_assert_int_eq(image_open(&img, path, "kernel", &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "neither a regular file nor a block device"));
}
END_TEST

START_TEST(open_character_device_is_refused)
{
	ck_assert_int_eq(image_open(&img, "/dev/zero", "kernel", &err), -EINVAL);
}
END_TEST

START_TEST(close_of_never_opened_is_harmless)
{
	img = (struct image){ .fd = -1 };

	image_close(&img);

	ck_assert_int_eq(img.fd, -1);
}
END_TEST

START_TEST(read_in_the_middle_gives_those_bytes)
{
	char buf[4] = { 0 };

	img = kit_image("f", "0123456789", 10);

	ck_assert_int_eq(image_read(&img, 7, buf, 3), 0);
	ck_assert_str_eq(buf, "789");
	image_close(&img);
}
END_TEST

START_TEST(read_past_the_end_is_enodata)
{
	char buf[8];

	img = kit_image("f", "0123456789", 10);

	ck_assert_int_eq(image_read(&img, 8, buf, 3), -ENODATA);
	ck_assert_int_eq(image_read(&img, UINT64_MAX, buf, 3), -ENODATA);
	ck_assert_int_eq(image_read(&img, 10, buf, 0), 0);
	image_close(&img);
}
END_TEST

START_TEST(read_of_a_file_cut_since_is_enodata)
{
	char buf[8];

	img = kit_image("f", "0123456789", 10);
	ck_assert_int_eq(ftruncate(img.fd, 4), 0);

	ck_assert_int_eq(image_read(&img, 0, buf, 8), -ENODATA);
	image_close(&img);
}
END_TEST

START_TEST(read_guest_crosses_ranges_that_touch)
{
	uint8_t low[4096] = { 0 }, high[4096] = { 0 };
	struct gmem mem = { 0 };

	ck_assert_int_eq(gmem_add(&mem, 0x1000, 4096, low, &err), 0);
	ck_assert_int_eq(gmem_add(&mem, 0x2000, 4096, high, &err), 0);
	img = kit_image("f", "0123456789", 10);

	ck_assert_int_eq(image_read_guest(&img, 1, &mem, 0x1ffd, 9), 0);
	ck_assert_mem_eq(low + 4093, "123", 3);
	ck_assert_mem_eq(high, "456789\0", 7);
	image_close(&img);
}
END_TEST

START_TEST(read_guest_into_a_hole_writes_nothing)
{
	uint8_t low[4096] = { 0 }, high[4096] = { 0 };
	struct gmem mem = { 0 };

	ck_assert_int_eq(gmem_add(&mem, 0x1000, 4096, low, &err), 0);
	ck_assert_int_eq(gmem_add(&mem, 0x3000, 4096, high, &err), 0);
	img = kit_image("f", "0123456789", 10);

	ck_assert_int_eq(image_read_guest(&img, 0, &mem, 0x1ffd, 9), -EFAULT);
	ck_assert_int_eq(image_read_guest(&img, 0, &mem, UINT64_MAX, 9), -EFAULT);
	ck_assert_mem_eq(low + 4093, "\0\0\0", 3);
	image_close(&img);
}
END_TEST

START_TEST(read_guest_past_the_end_writes_nothing)
{
	uint8_t low[4096] = { 0 }, high[4096] = { 0 };
	struct gmem mem = { 0 };

	ck_assert_int_eq(gmem_add(&mem, 0x1000, 4096, low, &err), 0);
	ck_assert_int_eq(gmem_add(&mem, 0x2000, 4096, high, &err), 0);
	img = kit_image("f", "0123456789", 10);

	ck_assert_int_eq(image_read_guest(&img, 5, &mem, 0x1ffd, 6), -ENODATA);
	ck_assert_mem_eq(low + 4093, "\0\0\0", 3);
	image_close(&img);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("image");
	TCase *t = tcase_create("image");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, open_regular_file_has_its_size);
	tcase_add_test(t, open_missing_file_says_role_and_path);
	tcase_add_test(t, open_directory_is_refused);
	tcase_add_test(t, open_empty_file_is_refused);
	tcase_add_test(t, open_fifo_is_refused_without_waiting);
	tcase_add_test(t, open_character_device_is_refused);
	tcase_add_test(t, close_of_never_opened_is_harmless);
	tcase_add_test(t, read_in_the_middle_gives_those_bytes);
	tcase_add_test(t, read_past_the_end_is_enodata);
	tcase_add_test(t, read_of_a_file_cut_since_is_enodata);
	tcase_add_test(t, read_guest_crosses_ranges_that_touch);
	tcase_add_test(t, read_guest_into_a_hole_writes_nothing);
	tcase_add_test(t, read_guest_past_the_end_writes_nothing);
	suite_add_tcase(s, t);
	return kit_run(s);
}
