/*
 * Having all of guest memory at once. What takes long is zeroing pages, which the kernel does while it has none of our
 * locks: threads share it out piece by piece, so that one on a busy CPU does not keep the others waiting.
 */
#include "vmm/memory_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/cpuset.h"
#include "vmm/base/signals.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* include/uapi/asm-generic/mman-common.h, Linux 5.14 */
#endif

enum {
	MAX_CHOSEN_THREADS = 16, /* more of them wait for memory, not for CPUs */
	STACK_BYTES = 256 << 10, /* address space; only what is used is touched */
	FIRST_DRAW_MS = 1000,
	REDRAW_MS = 100,
	COLUMNS = 79,
};

/* What a thread takes at once: long enough to be worth the way, short enough to notice a signal soon. */
static const uint64_t piece_min_bytes = 64 * MIB;

struct populate {
	uint8_t *hva; /* borrowed; constant, as the next three */
	uint64_t bytes, page_bytes;
	uint64_t piece_bytes;
	_Atomic uint64_t next; /* where nobody is yet */
	_Atomic uint64_t done; /* bytes */
	atomic_int failed;     /* the first negative errno; all threads end */
};

/* Without MADV_POPULATE_WRITE: write each page, leaving in it what is there. Nobody else has the memory yet. */
static void touch(uint8_t *at, uint64_t len, uint64_t page_bytes)
{
	for (uint64_t off = 0; off < len; off += page_bytes) {
		volatile uint8_t *p = at + off;

		*p = *p;
	}
}

static int populate_piece(struct populate *p, uint64_t at, uint64_t len)
{
	if (madvise(p->hva + at, len, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	touch(p->hva + at, len, p->page_bytes);
	return 0;
}

/* Take pieces until there are none left. each: called between two of them, or NULL. */
static void populate_pieces(struct populate *p, void (*each)(struct populate *p, void *ctx), void *ctx)
{
	int none = 0;

	while (!atomic_load(&p->failed)) {
		uint64_t at = atomic_fetch_add(&p->next, p->piece_bytes), len;
		int rc;

		if (at >= p->bytes)
			return;
		len = MIN(p->piece_bytes, p->bytes - at);
		rc = populate_piece(p, at, len);
		if (rc < 0) {
			atomic_compare_exchange_strong(&p->failed, &none, rc);
			return;
		}
		atomic_fetch_add(&p->done, len);
		if (each)
			each(p, ctx);
	}
}

static void *populate_main(void *arg)
{
	prctl(PR_SET_NAME, "prealloc");
	populate_pieces(arg, NULL, NULL);
	return NULL;
}

/* ---- what the main thread does in between ---- */

struct progress {
	bool terminal, drawn;
	uint64_t start_ms, draw_ms; /* when it began; when it is to be drawn next */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A terminal that takes nothing (Ctrl-s) does not stop us. */
static void draw(const char *text)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct winsize w = { .ws_col = 0 };
	bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col;
	int columns = known ? MIN(w.ws_col - 1, (int)COLUMNS) : COLUMNS; /* a second line would stay there */
	char line[COLUMNS + 3];
	int len = snprintf(line, sizeof(line), "\r%-*.*s\r", columns, columns, text);

	if (poll(&out, 1, 0) > 0 && write(STDERR_FILENO, line, (size_t)len) < 0)
		errno = 0; /* nowhere left to complain */
}

const char *memory_progress_text(uint64_t done, uint64_t total, char *buf, size_t len)
{
	static const char bar[] = "################################";
	enum { WIDTH = sizeof(bar) - 1 };
	double part = (double)done / (double)total;
	bool gib = total >= GIB;
	double unit = (double)(gib ? GIB : MIB);

	snprintf(buf, len, "memory [%-*.*s] %d %%  %.1f of %.1f %s", WIDTH, (int)(part * WIDTH), bar,
		 (int)(part * 100), (double)done / unit, (double)total / unit, gib ? "GiB" : "MiB");
	return buf;
}

/* SIGINT and its like are blocked when a machine is made (vmm/run.c), and whoever reads them later finds them still. */
static bool signal_waits(void)
{
	sigset_t waiting;

	return sigpending(&waiting) == 0 &&
	       (sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1 ||
		sigismember(&waiting, SIGHUP) == 1);
}

static void look_up(struct populate *p, void *ctx)
{
	struct progress *g = ctx;
	uint64_t now = now_ms();
	int none = 0;
	char text[COLUMNS + 1];

	if (signal_waits())
		atomic_compare_exchange_strong(&p->failed, &none, -EINTR);
	if (!g->terminal || now < g->draw_ms)
		return;
	draw(memory_progress_text(atomic_load(&p->done), p->bytes, text, sizeof(text)));
	g->drawn = true;
	g->draw_ms = now + REDRAW_MS;
}

/* ---- threads ---- */

static unsigned int choose_threads(const struct populate *p, unsigned int asked)
{
	uint64_t pieces = p->bytes / p->piece_bytes + (p->bytes % p->piece_bytes != 0);
	struct cpuset own;

	if (!asked)
		asked = cpuset_get_own(&own) == 0 ? MIN(cpuset_count(&own), (unsigned int)MAX_CHOSEN_THREADS)
						  : 1;
	return (unsigned int)MIN(pieces, MIN(asked, (unsigned int)MEMORY_MAX_THREADS));
}

/*
 * Begin nr threads. They take no signals but their own faults. Returns how many there are: with fewer, or none, it
 * only takes longer.
 */
static unsigned int begin(struct populate *p, pthread_t *thread, unsigned int nr)
{
	pthread_attr_t attr;
	sigset_t all, was;
	unsigned int i;

	if (!nr || pthread_attr_init(&attr) != 0)
		return 0;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	signals_fill_but_faults(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	for (i = 0; i < nr && pthread_create(&thread[i], &attr, populate_main, p) == 0; i++)
		;
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	pthread_attr_destroy(&attr);
	return i;
}

int memory_populate(uint8_t *hva, uint64_t bytes, uint64_t page_bytes, unsigned int threads)
{
	struct populate p = {
		.hva = hva,
		.bytes = bytes,
		.page_bytes = page_bytes,
		.piece_bytes = MAX(piece_min_bytes, page_bytes),
	};
	struct progress g = { .terminal = isatty(STDERR_FILENO), .draw_ms = now_ms() + FIRST_DRAW_MS };
	pthread_t thread[MEMORY_MAX_THREADS];
	unsigned int nr;

	if (signal_waits())
		return -EINTR;
	/* We are one of them. When no piece is left for us, the others are at their last. */
	nr = begin(&p, thread, choose_threads(&p, threads) - 1);
	populate_pieces(&p, look_up, &g);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(thread[i], NULL);
	if (g.drawn)
		draw("");
	return atomic_load(&p.failed);
}
