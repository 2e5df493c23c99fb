/*
 * Unit tests of chardev_check.c: it says what chardev_init() says in the same situation, and leaves that situation as
 * it is. Read-only file systems and standard input and output are not tried.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include "devices/chardev_rig.h"

enum { NOBODY = 54321 };

static struct err said;

static int check(enum chardev_kind kind, const char *where)
{
	const struct chardev_wish w = { .kind = kind, .path = where, .label = "COM1" };

	said = e = (struct err){ 0 };
	return chardev_check(&w, 0, &said);
}

static void same(enum chardev_kind kind, const char *where, int rc)
{
	ck_assert_msg(check(kind, where) == rc, "%s", said.text);
	ck_assert_msg(begin(kind, where) == rc, "%s", e.text);
	ck_assert_str_eq(said.text, e.text);
	chardev_fini(&c);
}

static int open_file(const char *text)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

START_TEST(file_that_can_be_made_is_not_made)
{
	ck_assert_int_eq(check(CHARDEV_FILE, path), 0);
	ck_assert_int_lt(access(path, F_OK), 0);
	same(CHARDEV_FILE, path, 0);
}
END_TEST

START_TEST(file_that_is_there_is_not_emptied)
{
	int fd = open_file("precious");

	ck_assert_int_eq(check(CHARDEV_FILE, path), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 8);
	same(CHARDEV_FILE, path, 0);
	close(fd);
}
END_TEST

START_TEST(files_that_cannot_be_written_are_refused_alike)
{
	static char longest[5000];

	memset(longest, 'x', sizeof(longest) - 1);
	same(CHARDEV_FILE, longest, -ENAMETOOLONG);
	same(CHARDEV_FILE, "/nowhere/at/all", -ENOENT);
	same(CHARDEV_FILE, "/dev/null/it", -ENOTDIR);
	same(CHARDEV_FILE, dir, -EISDIR);
	same(CHARDEV_FILE, "", -ENOENT);
	same(CHARDEV_FILE, "/dev/null", 0);
}
END_TEST

START_TEST(file_of_another_program_is_refused_alike)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_file("");

	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	same(CHARDEV_FILE, path, -EBUSY);
	close(fd);
	same(CHARDEV_FILE, path, 0);
}
END_TEST

START_TEST(reader_of_a_pipe_sees_nothing_of_a_check)
{
	char byte;
	int fd;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_NONBLOCK);
	ck_assert_int_eq(check(CHARDEV_FILE, path), 0);
	ck_assert_int_lt(read(fd, &byte, 1), 0);
	ck_assert_int_eq(errno, EAGAIN);
	close(fd);
}
END_TEST

static int bind_it(int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 4), 0);
	return fd;
}

START_TEST(socket_that_can_be_made_is_not_made)
{
	ck_assert_int_eq(check(CHARDEV_UNIX, path), 0);
	ck_assert_int_lt(access(path, F_OK), 0);
	same(CHARDEV_UNIX, path, 0);
}
END_TEST

START_TEST(leftover_of_a_socket_is_fine_and_stays)
{
	close(bind_it(SOCK_STREAM));
	ck_assert_int_eq(check(CHARDEV_UNIX, path), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	same(CHARDEV_UNIX, path, 0);
}
END_TEST

START_TEST(sockets_that_cannot_be_made_are_refused_alike)
{
	static char longest[200];

	memset(longest, 'x', sizeof(longest) - 1);
	same(CHARDEV_UNIX, longest, -ENAMETOOLONG);
	same(CHARDEV_UNIX, "/nowhere/at/all", -ENOENT);
	same(CHARDEV_UNIX, "/dev/null/it", -ENOTDIR);
	same(CHARDEV_UNIX, "/dev/null", -EADDRINUSE);
	same(CHARDEV_UNIX, dir, -EADDRINUSE);
}
END_TEST

START_TEST(listener_is_refused_and_hears_nothing)
{
	int fd = bind_it(SOCK_STREAM);

	ck_assert_int_eq(check(CHARDEV_UNIX, path), -EADDRINUSE);
	ck_assert_int_lt(accept(fd, NULL, NULL), 0);
	ck_assert_int_eq(errno, EAGAIN);
	same(CHARDEV_UNIX, path, -EADDRINUSE);
	close(fd);
	unlink(path);
	fd = bind_it(SOCK_DGRAM);
	same(CHARDEV_UNIX, path, -EADDRINUSE);
	close(fd);
}
END_TEST

START_TEST(pty_can_be_had)
{
	same(CHARDEV_PTY, NULL, 0);
}
END_TEST

START_TEST(streams_of_one_machine_are_not_the_same)
{
	struct chardev_wish w[] = {
		{ CHARDEV_FILE, path, "COM1" },        { CHARDEV_FILE, "/dev/null", "COM2" },
		{ CHARDEV_FILE, "/dev/null", "COM3" }, { CHARDEV_STDIO, NULL, "COM4" },
		{ CHARDEV_FILE, path, "console" },
	};
	static struct chardev other;

	for (unsigned int i = 0; i < 4; i++)
		ck_assert_msg(chardev_check(w, i, &said) == 0, "%s", said.text);
	ck_assert_int_eq(chardev_check(w, 4, &said), -EBUSY);
	ck_assert_int_eq(begin(CHARDEV_FILE, path), 0);
	ck_assert_int_eq(chardev_init(&other, CHARDEV_FILE, path, "console", &loop, NULL, &e), -EBUSY);
	ck_assert_str_eq(said.text, e.text);
	chardev_fini(&other);
	chardev_fini(&c);
	unlink(path);

	w[0].kind = w[4].kind = CHARDEV_UNIX;
	ck_assert_int_eq(chardev_check(w, 0, &said), 0);
	ck_assert_int_eq(chardev_check(w, 4, &said), -EADDRINUSE);
	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	ck_assert_int_eq(chardev_init(&other, CHARDEV_UNIX, path, "console", &loop, NULL, &e), -EADDRINUSE);
	ck_assert_str_eq(said.text, e.text);
	chardev_fini(&other);
}
END_TEST

static bool refused_alike(enum chardev_kind kind)
{
	return check(kind, path) == -EACCES && begin(kind, path) == -EACCES && !strcmp(said.text, e.text);
}

START_TEST(directory_of_somebody_else_is_refused_alike)
{
	int status;
	pid_t pid;

	ck_assert_int_eq(chmod(dir, 0555), 0);
	pid = fork();
	if (pid == 0)
		_exit((geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0) &&
				      refused_alike(CHARDEV_FILE) && refused_alike(CHARDEV_UNIX)
			      ? 0
			      : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("chardev_check");
	TCase *t = tcase_create("chardev_check");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, file_that_can_be_made_is_not_made);
	tcase_add_test(t, file_that_is_there_is_not_emptied);
	tcase_add_test(t, files_that_cannot_be_written_are_refused_alike);
	tcase_add_test(t, file_of_another_program_is_refused_alike);
	tcase_add_test(t, reader_of_a_pipe_sees_nothing_of_a_check);
	tcase_add_test(t, socket_that_can_be_made_is_not_made);
	tcase_add_test(t, leftover_of_a_socket_is_fine_and_stays);
	tcase_add_test(t, sockets_that_cannot_be_made_are_refused_alike);
	tcase_add_test(t, listener_is_refused_and_hears_nothing);
	tcase_add_test(t, pty_can_be_had);
	tcase_add_test(t, streams_of_one_machine_are_not_the_same);
	tcase_add_test(t, directory_of_somebody_else_is_refused_alike);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
