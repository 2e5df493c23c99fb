/*
 * Unit tests of forward.c and passt.c. Where passt is not installed, a script that behaves like it takes its
 * place; with it, one test speaks to the real one. They do not prove that a guest gets through: tools/test-virtio
 * does.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/wait.h>

#include "devices/net/forward.h"
#include "devices/net/netdev_rig.h"
#include "vmm/base/log.h"

static struct side a;
static char dir[] = "/tmp/passt_test.XXXXXX";
static char program[64], word[64], *old_path;
static struct forward f[4];

static void setup(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(program, sizeof(program), "%s/passt", dir);
	snprintf(word, sizeof(word), "%s/word", dir);
	old_path = strdup(getenv("PATH"));
	log_set_level(LOG_ERROR);
	memset(&e, 0, sizeof(e));
	a = (struct side){ 0 };
	ck_assert_int_eq(loop_init(&loop, &e), 0);
}

static void teardown(void)
{
	if (a.n)
		side_close(&a);
	loop_fini(&loop);
	setenv("PATH", old_path, 1);
	free(old_path);
	unlink(program);
	unlink(word);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* ---- forwards ---- */

static int parse(const char *text)
{
	return forward_parse(text, f, ARRAY_SIZE(f), &e);
}

START_TEST(forwards_are_parsed)
{
	static const struct {
		const char *text, *spec[3];
	} rows[] = {
		{ "tcp:2222:22", { "2222:22" } },
		{ "udp:5300:53", { "5300:53" } },
		{ "tcp:80", { "80:80" } },
		{ "tcp:1:65535,65535:1", { "1:65535", "65535:1" } },
		{ "tcp:127.0.0.1/2222:22", { "127.0.0.1/2222:22" } },
		{ "tcp:[::1]/2222:22,2223:23", { "::1/2222:22", "2223:23" } },
		{ "udp:::1/53", { "::1/53:53" } },
		{ "tcp:8000-8010:80-90", { "8000-8010:80-90" } },
		{ "tcp:1-65535", { "1-65535:1-65535" } },
	};
	char spec[FORWARD_SPEC];
	int nr = parse(rows[_i].text);

	ck_assert_msg(nr >= 1, "%s", e.text);
	for (int i = 0; i < nr; i++) {
		forward_spec(&f[i], spec, sizeof(spec));
		ck_assert_str_eq(spec, rows[_i].spec[i]);
		ck_assert_int_eq(f[i].udp, rows[_i].text[0] == 'u');
	}
	ck_assert_ptr_null(rows[_i].spec[nr]);
}
END_TEST

START_TEST(bad_forwards_are_refused_with_a_sentence)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "expected e.g. tcp:2222:22" },
		{ "sctp:1:1", "expected e.g. tcp:2222:22" },
		{ "TCP:1:1", "expected e.g. tcp:2222:22" },
		{ "tcp:", "ports from 1 to 65535" },
		{ "tcp:0:22", "'0:22' are no ports" },
		{ "tcp:22:0", "ports from 1 to 65535" },
		{ "tcp:65536:22", "ports from 1 to 65535" },
		{ "tcp:99999999999999999999:22", "ports from 1 to 65535" },
		{ "tcp:22:", "ports from 1 to 65535" },
		{ "tcp::22", "ports from 1 to 65535" },
		{ "tcp:22:22x", "'22:22x' are no ports" },
		{ "tcp:-1:22", "ports from 1 to 65535" },
		{ "tcp: 22:22", "ports from 1 to 65535" },
		{ "tcp:22,", "ports from 1 to 65535" },
		{ "tcp:22,,23", "ports from 1 to 65535" },
		{ "tcp:30-20", "ports from 1 to 65535" },
		{ "tcp:20-:20", "ports from 1 to 65535" },
		{ "tcp:20-30:40", "11 ports here lead to 1" },
		{ "tcp:host/22:22", "'host' is no IP address" },
		{ "tcp:/22:22", "'' is no IP address" },
		{ "tcp:1.2.3/22", "'1.2.3' is no IP address" },
		{ "tcp:[127.0.0.1/22", "is no IP address" },
		{ "tcp:1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222:3333:4444:5555/1",
		  "is no IP address" },
		{ "tcp:1,2,3,4,5", "more than the 4" },
	};

	ck_assert_int_eq(parse(rows[_i].text), -EINVAL);
	ck_assert_msg(strstr(e.text, rows[_i].says) != NULL, "%s", e.text);
	ck_assert(e.usage);
}
END_TEST

/* A port that is taken on 127.0.0.1; fd receives who has it. */
static uint16_t take_port(int type, int *fd)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	*fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(*fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(type == SOCK_STREAM ? listen(*fd, 1) : 0, 0);
	ck_assert_int_eq(getsockname(*fd, (struct sockaddr *)&addr, &len), 0);
	return ntohs(addr.sin_port);
}

START_TEST(busy_port_is_named)
{
	bool udp = _i;
	char text[64], says[64];
	int fd, nr;
	uint16_t port = take_port(udp ? SOCK_DGRAM : SOCK_STREAM, &fd);

	snprintf(text, sizeof(text), "%s:%u:22", udp ? "udp" : "tcp", port);
	snprintf(says, sizeof(says), "%s port %u is in use", udp ? "UDP" : "TCP", port);
	nr = parse(text);
	ck_assert_int_eq(nr, 1);
	ck_assert_int_eq(forward_check_free(&f[0], false, &e), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(e.text, says));
	close(fd);
	ck_assert_int_eq(forward_check_free(&f[0], false, &e), 0);
}
END_TEST

START_TEST(address_of_somebody_else_is_named)
{
	ck_assert_int_eq(parse("tcp:192.0.2.77/2222:22"), 1);
	ck_assert_int_eq(forward_check_free(&f[0], false, &e), -EADDRNOTAVAIL);
	ck_assert_ptr_nonnull(strstr(e.text, "no address 192.0.2.77"));
}
END_TEST

/* ---- starting ---- */

static int passt_open(const char *forward, unsigned int mtu)
{
	int rc = netdev_passt_open(&a.n, &forward, forward != NULL, mtu, &e);

	if (rc < 0)
		a.n = NULL;
	return rc;
}

/* A program called passt, which is found first. */
static void make_passt(const char *script)
{
	char with_dir[4096];
	FILE *file = fopen(program, "w");

	ck_assert_ptr_nonnull(file);
	fprintf(file, "#!/bin/sh\n%s\n", script);
	fclose(file);
	chmod(program, 0755);
	snprintf(with_dir, sizeof(with_dir), "%s:%s", dir, old_path);
	setenv("PATH", with_dir, 1);
	setenv("WORD", word, 1);
}

static const char *read_word(void)
{
	static char text[512];
	FILE *file = fopen(word, "r");
	size_t len = 0;

	if (file) {
		len = fread(text, 1, sizeof(text) - 1, file);
		fclose(file);
	}
	text[len] = '\0';
	return text;
}

START_TEST(missing_program_names_the_package)
{
	setenv("PATH", dir, 1);
	ck_assert_int_eq(passt_open(NULL, 0), -ENOENT);
	ck_assert_str_eq(e.text,
			 "--net user needs passt: install the package passt (Debian: apt install passt)");
}
END_TEST

START_TEST(complaint_at_the_start_reaches_the_user)
{
	make_passt(
		"echo 'Failed to send 5 bytes to syslog' >&2; echo 'No such thing as a network' >&2; exit 1");
	ck_assert_int_eq(passt_open(NULL, 0), -EIO);
	ck_assert_str_eq(e.text, "passt could not start: No such thing as a network");
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* reaped */
}
END_TEST

START_TEST(unknown_option_of_another_passt_is_told_without_its_help)
{
	make_passt("echo \"passt: unrecognized option '--quiet'\" >&2; printf 'Usage: passt\\n  -x  for "
		   "x\\n' >&2; exit 1");
	ck_assert_int_eq(passt_open(NULL, 0), -EIO);
	ck_assert_str_eq(e.text, "passt could not start: passt: unrecognized option '--quiet'");
}
END_TEST

START_TEST(silent_end_at_the_start_is_told)
{
	make_passt("exit 0");
	ck_assert_int_eq(passt_open(NULL, 0), -EIO);
	ck_assert_ptr_nonnull(strstr(e.text, "ended without a word"));
}
END_TEST

START_TEST(options_are_passed_on_and_descriptors_are_not)
{
	int fd, ours = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint16_t port = take_port(SOCK_STREAM, &fd);
	char forward[64], says[256], script[256];

	close(fd);
	snprintf(script, sizeof(script),
		 "[ -S /dev/fd/3 ] && [ ! -e /proc/$$/fd/%d ] && echo \"$*\" >$WORD; exit 1", ours);
	make_passt(script);
	snprintf(forward, sizeof(forward), "tcp:127.0.0.1/%u:22", port);
	ck_assert_int_eq(passt_open(forward, 9000), -EIO);
	snprintf(says, sizeof(says), "--foreground --quiet --one-off --fd 3 --mtu 9000 -t 127.0.0.1/%u:22\n",
		 port);
	ck_assert_str_eq(read_word(), says);
	close(ours);
}
END_TEST

START_TEST(signals_are_as_in_a_new_program)
{
	sigset_t all, old;

	sigfillset(&all);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	ck_assert_int_eq(sigprocmask(SIG_SETMASK, &all, &old), 0);
	/* Signals 1 to 28; the C library keeps some for itself. */
	make_passt("sed -n 's/^Sig[BI].*\\(.......\\)$/\\1/p' /proc/self/status >$WORD; exit 1");
	ck_assert_int_eq(passt_open(NULL, 0), -EIO);
	sigprocmask(SIG_SETMASK, &old, NULL);
	ck_assert_str_eq(read_word(), "0000000\n0000000\n");
}
END_TEST

/* Reads the first frame, then waits; its process id is in the file. */
#define GOOD_PASST "echo $$ >$WORD; head -c 64 <&3 >/dev/null; "

START_TEST(close_ends_and_reaps_it)
{
	pid_t pid;

	make_passt(GOOD_PASST "trap '' TERM HUP INT; while :; do sleep 1; done");
	ck_assert_int_eq(passt_open(NULL, 0), 0);
	pid = atoi(read_word());
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(kill(pid, 0), 0);
	netdev_close(a.n);
	a.n = NULL;
	ck_assert_int_eq(kill(pid, 0), -1);
	ck_assert_int_eq(errno, ESRCH);
}
END_TEST

START_TEST(its_end_takes_the_link_down_and_leaves_no_zombie)
{
	uint8_t frame[100];
	pid_t pid;

	make_passt(GOOD_PASST "printf '\\000\\000\\000\\003abc' >&3; read -r line <&3; exit 3");
	ck_assert_int_eq(passt_open(NULL, 0), 0);
	pid = atoi(read_word());
	side_attach(&a);
	ck_assert_int_eq(a.link, 1);
	ck_assert_int_eq(side_await(&a, frame, sizeof(frame)), 3);
	ck_assert_int_eq(dup2(open("/dev/null", O_WRONLY), STDERR_FILENO),
			 STDERR_FILENO); /* an error is expected */
	ck_assert_int_eq(side_send(&a, "bye\n", 4), 0);
	side_flush(&a);
	ck_assert_int_eq(side_await(&a, frame, sizeof(frame)), -ENOTCONN);
	ck_assert_int_eq(a.link, 0);
	for (int i = 0; i < 200 && kill(pid, 0) == 0; i++)
		run(10);
	ck_assert_int_eq(kill(pid, 0), -1);
	ck_assert_int_eq(side_send(&a, "more", 4), -ENOTCONN);
}
END_TEST

START_TEST(bad_mtu_is_refused)
{
	static const unsigned int mtus[] = { 1, 1279, 65521, 4000000000u };

	ck_assert_int_eq(passt_open(NULL, mtus[_i]), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "expected 1280 to 65520"));
}
END_TEST

START_TEST(busy_port_is_refused_before_it_starts)
{
	char text[64];
	int fd;

	make_passt("echo started >$WORD; exit 1");
	snprintf(text, sizeof(text), "tcp:%u:22", take_port(SOCK_STREAM, &fd));
	ck_assert_int_eq(passt_open(text, 0), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(e.text, "is in use"));
	ck_assert_str_eq(read_word(), "");
	close(fd);
}
END_TEST

/* An ARP request (RFC 826) for 192.0.2.1, which a passt that has IPv4 answers. */
START_TEST(real_passt_answers)
{
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0,    1,    2,   3, 8, 6,
			      0,    1,    8,    0,    6,    4,    0,    1,    0x52, 0x54, 0,   1, 2, 3,
			      192,  0,    2,    99,   0,    0,    0,    0,    0,    0,    192, 0, 2, 1 };
	uint8_t answer[2000];
	int rc = -EAGAIN;

	if (system("command -v passt >/dev/null") != 0)
		return; /* skipped: there is none */
	rc = passt_open(NULL, 1500);
	if (rc == -EIO && strstr(e.text, "interface"))
		return; /* skipped: this host has no network */
	ck_assert_msg(rc == 0, "%s", e.text);
	ck_assert_uint_eq(a.n->mtu, 1500);
	side_attach(&a);
	ck_assert_int_eq(side_send(&a, frame, sizeof(frame)), 0);
	side_flush(&a);
	for (int i = 0; i < 50; i++) {
		rc = side_await(&a, answer, sizeof(answer));
		if (rc >= 42 && answer[12] == 8 && answer[13] == 6)
			break;
	}
	ck_assert_int_ge(rc, 42);
	ck_assert_uint_eq(answer[21], 2); /* a reply */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("passt");
	TCase *t = tcase_create("passt");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 20);
	tcase_add_loop_test(t, forwards_are_parsed, 0, 9);
	tcase_add_loop_test(t, bad_forwards_are_refused_with_a_sentence, 0, 24);
	tcase_add_loop_test(t, busy_port_is_named, 0, 2);
	tcase_add_test(t, address_of_somebody_else_is_named);
	tcase_add_test(t, missing_program_names_the_package);
	tcase_add_test(t, complaint_at_the_start_reaches_the_user);
	tcase_add_test(t, unknown_option_of_another_passt_is_told_without_its_help);
	tcase_add_test(t, silent_end_at_the_start_is_told);
	tcase_add_test(t, options_are_passed_on_and_descriptors_are_not);
	tcase_add_test(t, signals_are_as_in_a_new_program);
	tcase_add_test(t, close_ends_and_reaps_it);
	tcase_add_test(t, its_end_takes_the_link_down_and_leaves_no_zombie);
	tcase_add_loop_test(t, bad_mtu_is_refused, 0, 4);
	tcase_add_test(t, busy_port_is_refused_before_it_starts);
	tcase_add_test(t, real_passt_answers);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
