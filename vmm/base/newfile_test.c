/* Unit tests of newfile.c: each answer is compared with what open(2) says. Read-only file systems are not tried. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/newfile.h"

static char dir[] = "/tmp/newfile_test.XXXXXX";
static char path[256];

static void setup(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void teardown(void)
{
	unlink(path);
	chmod(dir, 0700);
	ck_assert_int_eq(rmdir(dir), 0);
}

static int check_in_dir(const char *name)
{
	char where[300];

	snprintf(where, sizeof(where), "%s/%s", dir, name);
	return newfile_check(where);
}

START_TEST(writable_directory_takes_a_file)
{
	struct stat st;

	ck_assert_int_eq(check_in_dir("new"), 0);
	snprintf(path + strlen(dir), 10, "/new");
	ck_assert_int_lt(stat(path, &st), 0); /* and none was made */
	snprintf(path + strlen(dir), 10, "/file");
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(newfile_check("new"), 0);
}
END_TEST

START_TEST(directory_that_is_missing_is_told_as_open_does)
{
	ck_assert_int_eq(check_in_dir("absent/new"), -ENOENT);
	ck_assert_int_eq(newfile_check(""), -ENOENT);
}
END_TEST

START_TEST(file_in_place_of_the_directory_is_told_as_open_does)
{
	ck_assert_int_eq(check_in_dir("file/new"), -ENOTDIR);
	ck_assert_int_eq(check_in_dir("file/further/new"), -ENOTDIR);
}
END_TEST

START_TEST(name_of_a_directory_is_no_file)
{
	ck_assert_int_eq(check_in_dir("new/"), -ENOENT);
	ck_assert_int_eq(check_in_dir(""), -EISDIR);
}
END_TEST

START_TEST(path_that_is_too_long_is_refused)
{
	static char longest[5000];

	memset(longest, 'x', sizeof(longest) - 1);
	ck_assert_int_eq(newfile_check(longest), -ENAMETOOLONG);
}
END_TEST

START_TEST(directory_that_may_not_be_written_is_refused)
{
	int fd;

	ck_assert_int_eq(chmod(dir, 0500), 0);
	fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	ck_assert_int_lt(fd, 0);
	ck_assert_int_eq(check_in_dir("new"), geteuid() == 0 ? 0 : -EACCES); /* root may write everywhere */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("newfile");
	TCase *t = tcase_create("newfile");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, writable_directory_takes_a_file);
	tcase_add_test(t, directory_that_is_missing_is_told_as_open_does);
	tcase_add_test(t, file_in_place_of_the_directory_is_told_as_open_does);
	tcase_add_test(t, name_of_a_directory_is_no_file);
	tcase_add_test(t, path_that_is_too_long_is_refused);
	tcase_add_test(t, directory_that_may_not_be_written_is_refused);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
