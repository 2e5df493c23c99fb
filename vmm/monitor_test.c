/* The monitor's protocol over a real socket, with a machine that notes what it is asked for. */
#include "vmm/monitor.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop loop;
static struct monitor m;
static struct err e;
static char dir[] = "/tmp/monitor_test.XXXXXX";
static char path[64];
static int fd;

static uint64_t target;
static unsigned int sets;
static int fail;
static size_t stats_bytes; /* more than the usual */

static int fake_set(void *ctx, uint64_t bytes, struct err *err)
{
	ck_assert_ptr_eq(ctx, &target);
	sets++;
	if (fail == -EINVAL)
		return err_set(err, fail, "the guest has only 1 GiB");
	if (!fail)
		target = bytes;
	return fail;
}

static int fake_get(void *ctx, uint64_t *actual, uint64_t *want, struct err *err)
{
	ck_assert_ptr_eq(ctx, &target);
	*actual = 1 << 20;
	*want = target;
	return fail ? err_set(err, fail, "there is no balloon; start trellis with --balloon") : 0;
}

static void fake_stats(void *ctx, struct buf *text)
{
	ck_assert_ptr_eq(ctx, &target);
	for (size_t n = 0; n < stats_bytes; n += 8)
		buf_put(text, "x y=123\n", 8);
	buf_put(text, "disk0 reads=1\n", 14);
}

static const struct monitor_ops ops = { .set_balloon = fake_set,
					.get_balloon = fake_get,
					.stats = fake_stats };

static void run_ms(unsigned int ms)
{
	for (uint64_t end = clock_now_ns() + ms * 1000000ull; clock_now_ns() < end;)
		ck_assert_int_ge(loop_run_once(&loop, 1), 0);
}

static int client(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, path, sizeof(path));
	ck_assert_int_eq(connect(c, (const struct sockaddr *)&a, sizeof(a)), 0);
	fcntl(c, F_SETFL, O_NONBLOCK);
	run_ms(5);
	return c;
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/monitor", dir);
	ck_assert_int_eq(loop_init(&loop, &e), 0);
	ck_assert_msg(monitor_init(&m, path, &loop, &ops, &target, &e) == 0, "%s", e.text);
	fd = client();
}

static void teardown(void)
{
	monitor_fini(&m);
	monitor_fini(&m);
	loop_fini(&loop);
	rmdir(dir);
}

static const char *got(void)
{
	static char text[1 << 20];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0) {
		len += (size_t)n;
		run_ms(2);
	}
	text[len] = 0;
	return text;
}

static void say(const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	run_ms(5);
}

static const struct {
	const char *line, *answer;
	uint64_t target;
} command[] = {
	{ "balloon 512M\n", "ok\n", 512 * MIB },
	{ "balloon 1G\r\n", "ok\n", GIB },
	{ "  balloon\t 256  \n", "ok\n", 256 * MIB }, /* a bare number counts MiB, as in options */
	{ "balloon 0\n", "error: balloon: expected a size of 1M or more, e.g. 'balloon 512M'\n", 7 },
	{ "balloon?\n", "balloon actual=1048576 target=7\n", 7 },
	{ "stats\n", "disk0 reads=1\nok\n", 7 },
	{ "\n \n\r\n", "", 7 },
	{ "balloon?", "", 7 }, /* no line yet */
	{ "balloon\n", "error: balloon: expected a size of 1M or more, e.g. 'balloon 512M'\n", 7 },
	{ "balloon 5X\n", "error: balloon: expected a size of 1M or more, e.g. 'balloon 512M'\n", 7 },
	{ "balloon 5M 6M\n", "error: balloon: expected a size of 1M or more, e.g. 'balloon 512M'\n", 7 },
	{ "balloon -1\n", "error: balloon: expected a size of 1M or more, e.g. 'balloon 512M'\n", 7 },
	{ "balloons 5M\n", "error: unknown command; 'balloon SIZE', 'balloon?' and 'stats' are accepted\n",
	  7 },
	{ "Stats\n", "error: unknown command; 'balloon SIZE', 'balloon?' and 'stats' are accepted\n", 7 },
	{ "\x1b[A%n%s\n", "error: unknown command; 'balloon SIZE', 'balloon?' and 'stats' are accepted\n",
	  7 },
};

START_TEST(command_is_answered)
{
	target = 7;
	say(command[_i].line);
	ck_assert_str_eq(got(), command[_i].answer);
	ck_assert_uint_eq(target, command[_i].target);
}
END_TEST

START_TEST(commands_are_taken_up_in_order_however_they_are_cut)
{
	say("ball");
	say("oon 5M\nballoon?\nnon");
	say("sense\nballoon 6M\n");
	ck_assert_str_eq(got(),
			 "ok\nballoon actual=1048576 target=5242880\n"
			 "error: unknown command; 'balloon SIZE', 'balloon?' and 'stats' are accepted\nok\n");
	ck_assert_uint_eq(target, 6 * MIB);
}
END_TEST

START_TEST(machines_refusal_is_passed_on)
{
	fail = -EINVAL;
	say("balloon 512G\nballoon?\n");
	ck_assert_str_eq(got(), "error: the guest has only 1 GiB\n"
				"error: there is no balloon; start trellis with --balloon\n");
	fail = -EBUSY;
	say("balloon 1G\n");
	ck_assert_str_eq(got(), "error: Device or resource busy\n");
}
END_TEST

START_TEST(line_of_255_bytes_is_read_and_a_longer_one_refused_as_a_whole)
{
	char line[1000];

	memset(line, ' ', sizeof(line));
	memcpy(line + 248, "stats  \n", 9);
	say(line);
	ck_assert_str_eq(got(), "disk0 reads=1\nok\n");
	memset(line, ' ', sizeof(line));
	memcpy(line + 256, "\nstats\n", 8);
	say(line);
	ck_assert_str_eq(got(), "error: a line has at most 255 bytes\ndisk0 reads=1\nok\n");
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	say(line);
	ck_assert_str_eq(got(), "");
	say("\nballoon 1M\n");
	ck_assert_str_eq(got(), "error: a line has at most 255 bytes\nok\n");
}
END_TEST

START_TEST(nul_byte_is_no_command)
{
	ck_assert_int_eq(write(fd, "stats\0 more\n", 12), 12);
	run_ms(5);
	ck_assert_ptr_eq(strstr(got(), "error: a line with a NUL byte"), got());
}
END_TEST

START_TEST(half_a_line_dies_with_its_client)
{
	say("balloon 1");
	close(fd);
	run_ms(5);
	fd = client();
	say("2M\n");
	ck_assert_ptr_nonnull(strstr(got(), "error: unknown command"));
	ck_assert_uint_eq(sets, 0);
}
END_TEST

START_TEST(answer_reaches_a_client_that_sends_and_shuts_at_once)
{
	ck_assert_int_eq(write(fd, "balloon 3M\n", 11), 11);
	shutdown(fd, SHUT_WR);
	run_ms(10);
	ck_assert_str_eq(got(), "ok\n");
}
END_TEST

/* 8 MiB of answers, to a client that reads only at the end: commands wait, and nothing is lost. */
START_TEST(client_that_does_not_read_is_not_served_further)
{
	static char big[1 << 20];
	size_t total = 0;
	ssize_t n;

	stats_bytes = sizeof(big);
	for (unsigned int i = 0; i < 8; i++)
		say("stats\n");
	say("balloon 9M\n");
	ck_assert_uint_eq(sets, 0);
	for (unsigned int idle = 0; idle<20; idle = n> 0 ? 0 : idle + 1) {
		n = read(fd, big, sizeof(big));
		total += (size_t)MAX(n, 0);
		run_ms(1);
	}
	ck_assert_uint_eq(total, 8 * (sizeof(big) + 14 + 3) + 3);
	ck_assert_uint_eq(target, 9 * MIB);
}
END_TEST

START_TEST(answers_of_one_client_do_not_reach_the_next)
{
	stats_bytes = 1 << 20;
	say("stats\n");
	close(fd);
	run_ms(5);
	fd = client();
	ck_assert_str_eq(got(), "");
	say("balloon?\n");
	ck_assert_ptr_eq(strstr(got(), "balloon actual"), got());
}
END_TEST

START_TEST(path_in_use_is_refused)
{
	static struct monitor other;

	ck_assert_int_eq(monitor_init(&other, path, &loop, &ops, &target, &e), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(e.text, "monitor: "));
	monitor_fini(&other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("monitor");
	TCase *t = tcase_create("monitor");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, command_is_answered, 0, ARRAY_SIZE(command));
	tcase_add_test(t, commands_are_taken_up_in_order_however_they_are_cut);
	tcase_add_test(t, machines_refusal_is_passed_on);
	tcase_add_test(t, line_of_255_bytes_is_read_and_a_longer_one_refused_as_a_whole);
	tcase_add_test(t, nul_byte_is_no_command);
	tcase_add_test(t, half_a_line_dies_with_its_client);
	tcase_add_test(t, answer_reaches_a_client_that_sends_and_shuts_at_once);
	tcase_add_test(t, client_that_does_not_read_is_not_served_further);
	tcase_add_test(t, answers_of_one_client_do_not_reach_the_next);
	tcase_add_test(t, path_in_use_is_refused);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
