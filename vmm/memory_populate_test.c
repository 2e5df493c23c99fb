/*
 * Unit tests of memory_populate.c: that all pages are there, on any number of threads and without Linux 5.14's advice,
 * and what ends it early. How fast it is, and the bar on a terminal, are not shown here: tools/bench is for the one.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/memory_internal.h"
#include "vmm/memory_rig.h"

static struct memory mem;
static struct err e;

static void setup(void)
{
	memset(&mem, 0, sizeof(mem));
}

static void teardown(void)
{
	memory_fini(&mem);
}

static uint64_t pages_there(void)
{
	uint64_t nr = mem.backing.bytes / 4096, there = 0;
	unsigned char *vec = malloc(nr);

	ck_assert_ptr_nonnull(vec);
	ck_assert_int_eq(mincore(mem.backing.hva, mem.backing.bytes, vec), 0);
	for (uint64_t i = 0; i < nr; i++)
		there += vec[i] & 1;
	free(vec);
	return there;
}

static int populate(unsigned int threads)
{
	return memory_populate(mem.backing.hva, mem.backing.bytes, 4096, threads);
}

static const struct {
	uint64_t bytes;
	unsigned int threads;
} populated[] = {
	{ 2 * MIB, 1 },          { 2 * MIB + 4096, 5 },   { 64 * MIB - 4096, 2 },  { 64 * MIB, 0 },
	{ 64 * MIB + 4096, 2 },  { 64 * MIB + 4096, 64 }, { 200 * MIB + 8192, 1 }, { 200 * MIB + 8192, 2 },
	{ 330 * MIB + 8192, 5 }, { 200 * MIB, 0 },
};

START_TEST(every_page_is_there_afterwards)
{
	ck_assert_int_eq(memory_init(&mem, populated[_i].bytes, &e), 0);
	ck_assert_uint_eq(pages_there(), 0);
	ck_assert_int_eq(populate(populated[_i].threads), 0);
	ck_assert_uint_eq(pages_there(), populated[_i].bytes / 4096);
}
END_TEST

START_TEST(what_is_in_memory_stays)
{
	uint8_t byte = 0;

	ck_assert_int_eq(memory_init(&mem, 130 * MIB, &e), 0);
	ck_assert_int_eq(gmem_write(&mem.gmem, 65 * MIB, "x", 1), 0);
	ck_assert_int_eq(populate(2), 0);
	ck_assert_int_eq(gmem_read(&mem.gmem, 65 * MIB, &byte, 1), 0);
	ck_assert_uint_eq(byte, 'x');
}
END_TEST

START_TEST(older_kernel_has_its_pages_written)
{
	uint8_t byte = 0;

	ck_assert_int_eq(memory_init(&mem, 70 * MIB + 4096, &e), 0);
	ck_assert_int_eq(gmem_write(&mem.gmem, 4096, "x", 1), 0);
	rig_refuse_advice(RIG_POPULATE_WRITE, EINVAL);
	ck_assert_int_eq(populate((unsigned int)_i), 0);
	ck_assert_uint_eq(pages_there(), mem.backing.bytes / 4096);
	ck_assert_int_eq(gmem_read(&mem.gmem, 4096, &byte, 1), 0);
	ck_assert_uint_eq(byte, 'x');
}
END_TEST

/* A page that cannot be had is an error, not SIGBUS. */
START_TEST(page_that_is_not_there_is_an_error)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	uint8_t *at = mmap(NULL, 130 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	ck_assert_ptr_ne(at, MAP_FAILED);
	ck_assert_int_eq(ftruncate(fd, 129 * MIB), 0);
	ck_assert_int_eq(memory_populate(at, 130 * MIB, 4096, (unsigned int)_i), -EFAULT);
	munmap(at, 130 * MIB);
	close(fd);
}
END_TEST

/* ---- signals ---- */

static void block(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static bool waits(int signal)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, signal) == 1;
}

static const int requests[] = { SIGINT, SIGTERM, SIGHUP };

START_TEST(blocked_request_to_end_is_seen_and_left)
{
	ck_assert_int_eq(memory_init(&mem, 130 * MIB, &e), 0);
	block(requests[_i]);
	raise(requests[_i]);
	ck_assert_int_eq(populate(2), -EINTR);
	ck_assert(waits(requests[_i]));
	ck_assert_uint_eq(pages_there(), 0);
}
END_TEST

START_TEST(other_blocked_signal_does_not_end_it)
{
	ck_assert_int_eq(memory_init(&mem, 130 * MIB, &e), 0);
	block(SIGUSR1);
	raise(SIGUSR1);
	ck_assert_int_eq(populate(2), 0);
	ck_assert_uint_eq(pages_there(), mem.backing.bytes / 4096);
}
END_TEST

/* 1 GiB in small pages takes longer than 2 ms on any machine; a piece is 64 MiB. */
START_TEST(request_on_the_way_ends_it_early)
{
	struct sigevent request = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM };
	struct itimerspec soon = { .it_value.tv_nsec = 2000000 };
	timer_t timer;

	ck_assert_int_eq(memory_init(&mem, GIB, &e), 0);
	ck_assert(madvise(mem.backing.hva, GIB, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
	block(SIGTERM);
	ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &request, &timer), 0);
	ck_assert_int_eq(timer_settime(timer, 0, &soon, NULL), 0);
	ck_assert_int_eq(populate((unsigned int)_i), -EINTR);
	ck_assert_uint_gt(pages_there(), 0);
	ck_assert_uint_lt(pages_there(), GIB / 4096);
	timer_delete(timer);
}
END_TEST

/* ---- the bar ---- */

static const struct {
	uint64_t done, total;
	const char *want;
} bars[] = {
	{ 0, 4 * GIB, "memory [                                ] 0 %  0.0 of 4.0 GiB" },
	{ 2 * GIB, 4 * GIB, "memory [################                ] 50 %  2.0 of 4.0 GiB" },
	{ 4 * GIB - 4096, 4 * GIB, "memory [############################### ] 99 %  4.0 of 4.0 GiB" },
	{ GIB, GIB, "memory [################################] 100 %  1.0 of 1.0 GiB" },
	{ 64 * MIB, 640 * MIB, "memory [###                             ] 10 %  64.0 of 640.0 MiB" },
	{ 1ull << 50, 1ull << 50,
	  "memory [################################] 100 %  1048576.0 of 1048576.0 GiB" },
};

START_TEST(bar_tells_how_much_there_is_in_79_columns)
{
	char text[128];

	ck_assert_str_eq(memory_progress_text(bars[_i].done, bars[_i].total, text, sizeof(text)),
			 bars[_i].want);
	ck_assert_uint_le(strlen(text), 79);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_populate");
	TCase *t = tcase_create("memory_populate");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, every_page_is_there_afterwards, 0, ARRAY_SIZE(populated));
	tcase_add_test(t, what_is_in_memory_stays);
	tcase_add_loop_test(t, older_kernel_has_its_pages_written, 1, 4);
	tcase_add_loop_test(t, page_that_is_not_there_is_an_error, 1, 4);
	tcase_add_loop_test(t, blocked_request_to_end_is_seen_and_left, 0, ARRAY_SIZE(requests));
	tcase_add_test(t, other_blocked_signal_does_not_end_it);
	tcase_add_loop_test(t, request_on_the_way_ends_it_early, 1, 3);
	tcase_add_loop_test(t, bar_tells_how_much_there_is_in_79_columns, 0, ARRAY_SIZE(bars));
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
