/*
 * Run a program and tell how long it took, from just before it was made to what it reports and to its end.
 * It judges nothing but the exit status. stdin of the program is empty; its stdout is searched or dropped.
 *
 *   launch [--until TEXT] [--status N] [--limit SECONDS] [--thp never] PROGRAM [ARGUMENT]...
 *
 *   --until TEXT   notice when TEXT arrives on the program's stdout; its exit status is then its own business
 *   --status N     what it must exit with (0); otherwise its stderr is shown, and this program fails
 *   --limit S      kill it then (60)
 *   --thp never    no transparent huge pages for it, whatever it asks for (prctl(2), PR_SET_THP_DISABLE)
 *
 * Prints "exit=US [until=US] [exec=US first=US KEY=US...] [KEY=N...]" in microseconds. The last are there when a line
 * "# figures: KEY=N..." came on stdout, from a guest. exec, first and the KEYs are there
 * when the program printed a line "timing us: KEY=US ... main_ns=NS end_ns=NS" on stderr, CLOCK_MONOTONIC when its
 * main() began and when the guest made its first port write: exec is until the former, first until the latter.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { TEXT_BYTES = 256 << 10 };

struct stream {
	int fd;
	size_t len;
	char text[TEXT_BYTES]; /* what arrived, as far as it fits; ends with 0 */
};

struct launch {
	const char *until;
	int status, limit_s;
	uint64_t start_ns, until_ns, end_ns;
	struct stream out, err;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int fail(const char *what)
{
	fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
	return -1;
}

static int spawn(struct launch *l, char **argv, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	int out[2], err[2], rc;

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		return fail("pipe");
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&fa, err[1], STDERR_FILENO);
	l->start_ns = now_ns();
	rc = posix_spawnp(pid, argv[0], &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	close(out[1]);
	close(err[1]);
	l->out.fd = out[0];
	l->err.fd = err[0];
	errno = rc;
	return rc ? fail(argv[0]) : 0;
}

static void take(struct stream *s)
{
	char dropped[4096];
	size_t room = sizeof(s->text) - 1 - s->len;
	ssize_t n = read(s->fd, room ? s->text + s->len : dropped, room ? room : sizeof(dropped));

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		close(s->fd);
		s->fd = -1;
	} else if (room) {
		s->len += (size_t)n;
		s->text[s->len] = 0;
	}
}

/* Read until both streams end, or time is up. */
static void follow(struct launch *l, pid_t pid)
{
	uint64_t deadline = l->start_ns + (uint64_t)l->limit_s * 1000000000;

	while (l->out.fd >= 0 || l->err.fd >= 0) {
		struct pollfd p[] = { { .fd = l->out.fd, .events = POLLIN }, { .fd = l->err.fd, .events = POLLIN } };
		uint64_t now = now_ns();

		if (now >= deadline) {
			kill(pid, SIGKILL);
			return;
		}
		if (poll(p, 2, (int)((deadline - now) / 1000000) + 1) <= 0)
			continue;
		if (p[0].revents)
			take(&l->out);
		if (p[1].revents)
			take(&l->err);
		if (l->until && !l->until_ns && strstr(l->out.text, l->until))
			l->until_ns = now_ns();
	}
}

static uint64_t us_since(const struct launch *l, uint64_t ns)
{
	return (ns - l->start_ns) / 1000;
}

static void report(const struct launch *l)
{
	const char *line = strstr(l->err.text, "timing us: ");
	const char *main_text = line ? strstr(line, " main_ns=") : NULL;
	const char *end_text = line ? strstr(line, " end_ns=") : NULL;
	const char *figures = strstr(l->out.text, "# figures: ");

	printf("exit=%" PRIu64, us_since(l, l->end_ns));
	if (l->until_ns)
		printf(" until=%" PRIu64, us_since(l, l->until_ns));
	if (main_text && end_text) {
		const char *keys = line + strlen("timing us: ");

		printf(" exec=%" PRIu64, us_since(l, strtoull(main_text + strlen(" main_ns="), NULL, 10)));
		printf(" first=%" PRIu64, us_since(l, strtoull(end_text + strlen(" end_ns="), NULL, 10)));
		printf(" %.*s", (int)(main_text - keys), keys);
	}
	if (figures) {
		figures += strlen("# figures: ");
		printf(" %.*s", (int)strcspn(figures, "\r\n"), figures);
	}
	putchar('\n');
}

static int judge(const struct launch *l, const char *program, int how)
{
	int code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);

	if (l->until ? l->until_ns != 0 : code == l->status)
		return 0;
	fprintf(stderr, "launch: %s: status %d after %.1f s%s%s; it said:\n%s%s", program, code,
		(double)(l->end_ns - l->start_ns) / 1e9, l->until ? ", not a word of " : "", l->until ? l->until : "",
		l->err.text, l->out.text);
	return 1;
}

int main(int argc, char **argv)
{
	static struct launch l = { .limit_s = 60 };
	int opt = 1, how;
	pid_t pid;

	for (; opt + 1 < argc && !strncmp(argv[opt], "--", 2); opt += 2) {
		if (!strcmp(argv[opt], "--until"))
			l.until = argv[opt + 1];
		else if (!strcmp(argv[opt], "--status"))
			l.status = atoi(argv[opt + 1]);
		else if (!strcmp(argv[opt], "--limit"))
			l.limit_s = atoi(argv[opt + 1]);
		else if (!strcmp(argv[opt], "--thp") && !strcmp(argv[opt + 1], "never"))
			prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* children and exec inherit it */
		else
			break;
	}
	if (opt >= argc || !strncmp(argv[opt], "--", 2)) {
		fprintf(stderr, "usage: launch [--until TEXT] [--status N] [--limit SECONDS] [--thp never] PROGRAM "
				"[ARGUMENT]...\n");
		return 2;
	}
	if (spawn(&l, argv + opt, &pid) < 0)
		return 1;
	follow(&l, pid);
	while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
		;
	l.end_ns = now_ns();
	if (judge(&l, argv[opt], how))
		return 1;
	report(&l);
	return 0;
}
