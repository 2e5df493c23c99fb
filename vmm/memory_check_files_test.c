/*
 * Unit tests of memory_check_files.c: which files and directories RAM may be in. Mounts of hugetlbfs need root and are
 * not tested here, but for what is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/statfs.h>

#include "vmm/host/memory_rig.h"
#include "vmm/memory_internal.h"

enum { NOBODY = 65534 };

static struct err e;
static char path[256];
static uint64_t page_bytes;

/* Tests are not root: root may write everywhere. */
static void setup(void)
{
	rig_setup();
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(rig_root, NOBODY, NOBODY), 0);
		ck_assert_int_eq(setgid(NOBODY), 0);
		ck_assert_int_eq(setuid(NOBODY), 0);
	}
	snprintf(path, sizeof(path), "%s", rig_path("/ram"));
	page_bytes = 0;
	e = (struct err){ 0 };
}

static void check_said(const char *want)
{
	ck_assert_msg(strstr(e.text, want) != NULL, "'%s' is not in: %s", want, e.text);
}

static int make_file(off_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, bytes), 0);
	return fd;
}

/* ---- path= ---- */

START_TEST(directory_that_is_no_hugetlbfs_comes_with_the_command_that_makes_it_one)
{
	char want[512];

	ck_assert_int_eq(memory_check_path(rig_root, GIB, &page_bytes, &e), -EINVAL);
	ck_assert(!e.usage); /* a mount mends it */
	snprintf(want, sizeof(want),
		 "--memory path=%s: it is not on a hugetlbfs; make it one with: mount -t hugetlbfs -o "
		 "pagesize=2M none %s,",
		 rig_root, rig_root);
	check_said(want);
	page_bytes = GIB;
	ck_assert_int_eq(memory_check_path(rig_root, GIB, &page_bytes, &e), -EINVAL);
	check_said("-o pagesize=1G none");
}
END_TEST

START_TEST(directory_that_is_not_there_comes_with_the_commands_that_make_it)
{
	char want[1024];

	ck_assert_int_eq(memory_check_path(path, GIB, &page_bytes, &e), -ENOENT);
	snprintf(want, sizeof(want),
		 "--memory path=%s: No such file or directory; expected a directory on a hugetlbfs, as made "
		 "by: mkdir -p %s && mount -t hugetlbfs -o pagesize=2M none %s",
		 path, path, path);
	ck_assert_str_eq(e.text, want); /* nothing behind the command: it is to be copied */
}
END_TEST

/* ---- file= ---- */

START_TEST(file_that_can_be_made_is_fine_and_is_not_made)
{
	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), 0);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(chdir(rig_root), 0);
	ck_assert_int_eq(memory_check_file("ram", -1, MIB, &e), 0);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

static const struct {
	off_t bytes;
	const char *want; /* NULL: fine */
} sizes[] = {
	{ 0, NULL },
	{ MIB, NULL },
	{ MIB - 1, "the file has 1048575 bytes and RAM has 1M; expected another file" },
	{ 3 * MIB, "the file has 3M and RAM has 1M; expected --memory 3M, or another file" },
};

START_TEST(file_that_is_there_has_no_size_or_that_of_ram)
{
	int fd = make_file(sizes[_i].bytes);

	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), sizes[_i].want ? -EINVAL : 0);
	ck_assert_int_eq(e.usage, sizes[_i].want != NULL);
	if (sizes[_i].want)
		check_said(sizes[_i].want);
	ck_assert_int_eq(memory_check_file(path, fd, MIB, &e), sizes[_i].want ? -EINVAL : 0);
	close(fd);
}
END_TEST

START_TEST(file_without_directory_comes_with_the_command_that_makes_it)
{
	char want[512];

	snprintf(path, sizeof(path), "%s", rig_path("/none/ram"));
	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), -ENOENT);
	snprintf(want, sizeof(want),
		 "--memory file=%s: there is no directory %s/none; make it with: mkdir -p %s/none", path,
		 rig_root, rig_root);
	ck_assert_str_eq(e.text, want);
	memory_refuse_file(path, MIB, -ENOENT, &e); /* what memory_open() says */
	ck_assert_str_eq(e.text, want);
	ck_assert_int_eq(memory_check_file("/nonexistent", -1, MIB, &e), -EACCES);
	check_said("no file can be made in /; expected");
}
END_TEST

START_TEST(directory_that_may_not_be_written_is_told_alike_before_and_after)
{
	char said[sizeof(e.text)];

	ck_assert_int_eq(chmod(rig_root, 0500), 0);
	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), -EACCES);
	check_said("no file can be made in /tmp/");
	check_said("Permission denied");
	memcpy(said, e.text, sizeof(said));
	ck_assert_int_eq(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), -1);
	ck_assert_int_eq(memory_refuse_file(path, MIB, -errno, &e), -EACCES);
	ck_assert_str_eq(e.text, said);
	ck_assert_int_eq(chmod(rig_root, 0700), 0);
}
END_TEST

START_TEST(file_that_may_not_be_written_is_refused)
{
	close(make_file(MIB));
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), -EACCES);
	check_said("expected a file that this user may read and write: Permission denied");
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused_and_not_opened)
{
	ck_assert_int_eq(memory_check_file(rig_root, -1, MIB, &e), -EINVAL);
	check_said("it is not a regular file");
	ck_assert_int_eq(memory_check_file("/dev/zero", -1, MIB, &e), -EINVAL);
	check_said("--memory file=/dev/zero: it is not a regular file; expected one, or a name that is free");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), -EINVAL); /* at once */
	ck_assert(e.usage);
	ck_assert_int_eq(memory_refuse_file(rig_root, MIB, -EISDIR, &e), -EISDIR);
	ck_assert(e.usage);
}
END_TEST

START_TEST(link_to_nothing_is_told_as_such)
{
	ck_assert_int_eq(symlink("nothing", path), 0);
	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), -ENOENT);
	check_said("it is a symbolic link to nothing");
}
END_TEST

START_TEST(file_of_another_guest_is_refused_until_it_ends)
{
	int fd = make_file(MIB), own = make_file(MIB);

	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), -EWOULDBLOCK);
	check_said("another guest has it, or some program has locked it");
	ck_assert_int_eq(memory_check_file(path, own, MIB, &e), -EWOULDBLOCK);
	close(fd);
	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), 0);
	close(own);
}
END_TEST

START_TEST(check_leaves_no_lock_behind_and_opening_does)
{
	int fd = make_file(MIB), other = make_file(MIB);

	ck_assert_int_eq(memory_check_file(path, -1, MIB, &e), 0);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	ck_assert_int_eq(flock(fd, LOCK_UN), 0);
	ck_assert_int_eq(memory_check_file(path, fd, MIB, &e), 0);
	ck_assert_int_eq(flock(other, LOCK_EX | LOCK_NB), -1);
	close(fd);
	close(other);
}
END_TEST

START_TEST(file_system_that_is_too_small_is_refused_with_figures)
{
	struct statfs fs;
	uint64_t left;

	ck_assert_int_eq(statfs(rig_root, &fs), 0);
	left = fs.f_blocks ? (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize : UINT64_MAX;
	ck_assert_int_eq(memory_check_file(path, -1, 1ull << 60, &e), left < 1ull << 60 ? -ENOSPC : 0);
	if (left == UINT64_MAX) /* it is one without a size */
		return;
	check_said("1099511627776 MiB are needed and its file system has ");
	close(make_file(0));
	ck_assert_int_eq(memory_check_file(path, -1, 1ull << 60, &e), -ENOSPC);
	check_said("remove something there, or choose another one (see df)");
	ck_assert_int_eq(memory_refuse_file(path, 1ull << 60, -ENOSPC, &e),
			 -ENOSPC); /* with what is left by then */
	check_said("1099511627776 MiB are needed and its file system has ");
}
END_TEST

START_TEST(file_that_would_grow_beyond_the_limit_is_refused_before_a_signal_comes)
{
	struct rlimit limit = { .rlim_cur = MIB, .rlim_max = MIB };
	char said[sizeof(e.text)];
	int fd;

	fd = make_file(2 * MIB);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(memory_check_file(path, fd, 2 * MIB, &e), 0); /* it has its size */
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(memory_check_file(path, fd, MIB, &e), 0);
	ck_assert_int_eq(memory_check_file(path, fd, 2 * MIB, &e), -EFBIG);
	check_said("no file of 2M can be made there");
	memcpy(said, e.text, sizeof(said));
	ck_assert_int_eq(memory_refuse_file(path, 2 * MIB, -EFBIG, &e), -EFBIG);
	ck_assert_str_eq(e.text, said);
	close(fd);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(memory_check_file(path, -1, 2 * MIB, &e), -EFBIG);
	ck_assert_str_eq(e.text, said);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_check_files");
	TCase *c = tcase_create("memory_check_files");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, rig_teardown);
	tcase_add_test(c, directory_that_is_no_hugetlbfs_comes_with_the_command_that_makes_it_one);
	tcase_add_test(c, directory_that_is_not_there_comes_with_the_commands_that_make_it);
	tcase_add_test(c, file_that_can_be_made_is_fine_and_is_not_made);
	tcase_add_loop_test(c, file_that_is_there_has_no_size_or_that_of_ram, 0, ARRAY_SIZE(sizes));
	tcase_add_test(c, file_without_directory_comes_with_the_command_that_makes_it);
	tcase_add_test(c, directory_that_may_not_be_written_is_told_alike_before_and_after);
	tcase_add_test(c, file_that_may_not_be_written_is_refused);
	tcase_add_test(c, what_is_no_regular_file_is_refused_and_not_opened);
	tcase_add_test(c, link_to_nothing_is_told_as_such);
	tcase_add_test(c, file_of_another_guest_is_refused_until_it_ends);
	tcase_add_test(c, check_leaves_no_lock_behind_and_opening_does);
	tcase_add_test(c, file_system_that_is_too_small_is_refused_with_figures);
	tcase_add_test(c, file_that_would_grow_beyond_the_limit_is_refused_before_a_signal_comes);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
