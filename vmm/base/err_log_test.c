/* Unit tests of err.c and log.c. Standard error is a pipe while a line is printed. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/err.h"
#include "vmm/base/log.h"

static struct err e;
static char said[1 << 16];
static int pipe_fd[2], real_stderr;

static void setup(void)
{
	e = (struct err){ 0 };
	ck_assert_int_eq(pipe2(pipe_fd, O_NONBLOCK), 0);
	real_stderr = dup(STDERR_FILENO);
	ck_assert_int_eq(dup2(pipe_fd[1], STDERR_FILENO), STDERR_FILENO);
}

/* What was printed since the last call. */
static const char *heard(void)
{
	ssize_t n = read(pipe_fd[0], said, sizeof(said) - 1);

	said[MAX(n, 0)] = 0;
	return said;
}

static void teardown(void)
{
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

START_TEST(set_stores_the_text_and_returns_the_code)
{
	e.usage = true;
	ck_assert_int_eq(err_set(&e, -EBUSY, "%s at 0x%x", "rtc", 0x70), -EBUSY);
	ck_assert_str_eq(e.text, "rtc at 0x70");
	ck_assert(!e.usage);
}
END_TEST

START_TEST(sys_adds_the_text_of_the_code)
{
	ck_assert_int_eq(err_sys(&e, -ENOENT, "cannot open %s", "x"), -ENOENT);
	ck_assert_str_eq(e.text, "cannot open x: No such file or directory");
}
END_TEST

START_TEST(usage_marks_the_command_line)
{
	ck_assert_int_eq(err_usage(&e, "--%s", "memory"), -EINVAL);
	ck_assert_str_eq(e.text, "--memory");
	ck_assert(e.usage);
}
END_TEST

START_TEST(prefix_goes_in_front_and_keeps_the_mark)
{
	err_usage(&e, "too big");
	err_prefix(&e, "disk %d", 3);
	ck_assert_str_eq(e.text, "disk 3: too big");
	ck_assert(e.usage);
}
END_TEST

START_TEST(nobody_listening_is_fine)
{
	ck_assert_int_eq(err_set(NULL, -EIO, "x"), -EIO);
	ck_assert_int_eq(err_sys(NULL, -EIO, "x"), -EIO);
	ck_assert_int_eq(err_usage(NULL, "x"), -EINVAL);
	err_prefix(NULL, "x");
}
END_TEST

START_TEST(long_text_is_cut_and_ended)
{
	ck_assert_int_eq(err_sys(&e, -EIO, "%2000d", 1), -EIO);
	ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
	err_prefix(&e, "%2000d", 2);
	ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
}
END_TEST

START_TEST(line_carries_its_level)
{
	log_error("a %d", 1);
	ck_assert_str_eq(heard(), "trellis: error: a 1\n");
	log_warn("b");
	ck_assert_str_eq(heard(), "trellis: warning: b\n");
	log_info("c");
	ck_assert_str_eq(heard(), "trellis: c\n");
	log_set_level(LOG_DEBUG);
	log_debug("d");
	ck_assert_str_eq(heard(), "trellis: debug: d\n");
}
END_TEST

START_TEST(level_above_the_limit_is_silent)
{
	log_debug("not by default");
	log_set_level(LOG_ERROR);
	log_warn("x");
	log_info("x");
	ck_assert_str_eq(heard(), "");
	log_error("y");
	ck_assert_str_eq(heard(), "trellis: error: y\n");
}
END_TEST

START_TEST(raw_terminal_gets_carriage_returns)
{
	log_set_raw_terminal(true);
	log_info("x");
	ck_assert_str_eq(heard(), "trellis: x\r\n");
	log_set_raw_terminal(false);
	log_info("x");
	ck_assert_str_eq(heard(), "trellis: x\n");
}
END_TEST

START_TEST(long_line_is_cut_and_still_ends)
{
	size_t len;

	log_set_raw_terminal(true);
	log_info("%5000d", 7);
	len = strlen(heard());
	ck_assert_uint_gt(len, 1000);
	ck_assert_uint_le(len, 1024);
	ck_assert_str_eq(said + len - 2, "\r\n");
}
END_TEST

START_TEST(printing_keeps_errno)
{
	errno = EXDEV;
	log_info("x");
	ck_assert_int_eq(errno, EXDEV);
	close(STDERR_FILENO); /* even when there is nowhere to print */
	log_info("x");
	ck_assert_int_eq(errno, EXDEV);
}
END_TEST

START_TEST(once_means_once_until_reset)
{
	bool warned = false;

	log_warn_once(&warned, "x");
	log_warn_once(&warned, "x");
	ck_assert_str_eq(heard(), "trellis: warning: x\n");
	warned = false;
	log_warn_once(&warned, "x");
	ck_assert_str_eq(heard(), "trellis: warning: x\n");
}
END_TEST

static void *print_lines(void *word)
{
	for (int i = 0; i < 100; i++)
		log_info("%s%s%s%s", (char *)word, (char *)word, (char *)word, (char *)word);
	return NULL;
}

START_TEST(lines_of_two_threads_do_not_mix)
{
	pthread_t other;
	unsigned int whole = 0;

	ck_assert_int_eq(pthread_create(&other, NULL, print_lines, "aaaaaaaa"), 0);
	print_lines("bbbbbbbb");
	pthread_join(other, NULL);
	heard();
	for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n"))
		whole += !strcmp(line, "trellis: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") ||
			 !strcmp(line, "trellis: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	ck_assert_uint_eq(whole, 200);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("err_log");
	TCase *t = tcase_create("err_log");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, set_stores_the_text_and_returns_the_code);
	tcase_add_test(t, sys_adds_the_text_of_the_code);
	tcase_add_test(t, usage_marks_the_command_line);
	tcase_add_test(t, prefix_goes_in_front_and_keeps_the_mark);
	tcase_add_test(t, nobody_listening_is_fine);
	tcase_add_test(t, long_text_is_cut_and_ended);
	tcase_add_test(t, line_carries_its_level);
	tcase_add_test(t, level_above_the_limit_is_silent);
	tcase_add_test(t, raw_terminal_gets_carriage_returns);
	tcase_add_test(t, long_line_is_cut_and_still_ends);
	tcase_add_test(t, printing_keeps_errno);
	tcase_add_test(t, once_means_once_until_reset);
	tcase_add_test(t, lines_of_two_threads_do_not_mix);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
