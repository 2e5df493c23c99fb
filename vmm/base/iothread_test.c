/* Unit tests of iothread.c: real threads, and no timing but an upper limit. */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmm/base/iothread.h"

static struct iothread t;
static struct err e;
static pthread_t ran_on;
static unsigned int sum;    /* plain: calls of one thread never overlap */
static char thread_name[16];
static sigset_t mask;

static void setup(void)
{
	sum = 0;
	ck_assert_int_eq(iothread_init(&t, "unit-io", &e), 0);
}

static void teardown(void)
{
	iothread_fini(&t);
}

static void note(void *ctx)
{
	ran_on = pthread_self();
	prctl(PR_GET_NAME, thread_name);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	sum += *(unsigned int *)ctx;
}

START_TEST(call_without_a_thread_runs_in_the_caller)
{
	unsigned int one = 1;

	iothread_call(&t, note, &one);
	ck_assert(pthread_equal(ran_on, pthread_self()));
	ck_assert_uint_eq(sum, 1);
}
END_TEST

START_TEST(call_runs_on_the_named_thread_with_signals_blocked)
{
	unsigned int one = 1;

	ck_assert_int_eq(iothread_start(&t, &e), 0);
	ck_assert_int_eq(iothread_start(&t, &e), 0);
	iothread_call(&t, note, &one);
	ck_assert(pthread_equal(ran_on, t.thread));
	ck_assert_str_eq(thread_name, "unit-io");
	ck_assert_int_eq(sigismember(&mask, SIGTERM), 1);
	ck_assert_uint_eq(sum, 1);
}
END_TEST

static void nested(void *ctx)
{
	iothread_call(&t, note, ctx);
}

START_TEST(call_on_the_thread_itself_does_not_wait_for_itself)
{
	unsigned int one = 1;

	ck_assert_int_eq(iothread_start(&t, &e), 0);
	iothread_call(&t, nested, &one);
	ck_assert_uint_eq(sum, 1);
}
END_TEST

static void *many_calls(void *arg)
{
	for (int i = 0; i < 500; i++) {
		unsigned int before, one = 1;

		(void)arg;
		before = atomic_load((atomic_uint *)arg);
		iothread_call(&t, note, &one);
		atomic_store((atomic_uint *)arg, before + 1);
	}
	return NULL;
}

START_TEST(calls_of_many_threads_all_run_once)
{
	pthread_t caller[8];
	atomic_uint done[8] = { 0 };

	ck_assert_int_eq(iothread_start(&t, &e), 0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&caller[i], NULL, many_calls, &done[i]), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(caller[i], NULL);
	ck_assert_uint_eq(sum, 8 * 500);
}
END_TEST

START_TEST(call_after_stop_runs_in_the_caller_and_start_begins_again)
{
	unsigned int one = 1;

	ck_assert_int_eq(iothread_start(&t, &e), 0);
	iothread_stop(&t);
	iothread_call(&t, note, &one);
	ck_assert(pthread_equal(ran_on, pthread_self()));
	ck_assert_int_eq(iothread_start(&t, &e), 0);
	iothread_call(&t, note, &one);
	ck_assert_str_eq(thread_name, "unit-io");
	ck_assert_uint_eq(sum, 2);
}
END_TEST

static pthread_barrier_t together;

static void *one_start(void *arg)
{
	pthread_barrier_wait(&together);
	*(int *)arg = iothread_start(&t, NULL);
	return NULL;
}

static unsigned int nr_tasks(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int n = 0;

	for (struct dirent *entry; (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* Two vCPUs may set up two devices of one thread at the same time. */
START_TEST(starts_of_several_threads_make_one)
{
	unsigned int before = nr_tasks();
	pthread_t starter[2];
	int rc[2];

	pthread_barrier_init(&together, NULL, 2);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 2; i++)
			ck_assert_int_eq(pthread_create(&starter[i], NULL, one_start, &rc[i]), 0);
		for (int i = 0; i < 2; i++)
			pthread_join(starter[i], NULL);
		ck_assert_int_eq(rc[0] | rc[1], 0);
		iothread_stop(&t);
		usleep(100); /* a joined thread leaves /proc a little later */
		ck_assert_uint_le(nr_tasks(), before);
	}
	pthread_barrier_destroy(&together);
}
END_TEST

static atomic_uint served;

static void ready(void *ctx, uint32_t events)
{
	uint64_t n;

	(void)events;
	if (read(*(int *)ctx, &n, sizeof(n)) == (ssize_t)sizeof(n))
		atomic_fetch_add(&served, (unsigned int)n);
}

static struct loop_source source;

static void add_source(void *ctx)
{
	source = (struct loop_source){ .fd = *(int *)ctx, .ready = ready, .ctx = ctx };
	ck_assert_int_eq(loop_add(&t.loop, &source, EPOLLIN), 0);
}

static void del_source(void *ctx)
{
	(void)ctx;
	loop_del(&t.loop, &source);
}

START_TEST(events_are_served_between_calls)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint64_t one = 1;

	ck_assert_int_eq(iothread_start(&t, &e), 0);
	iothread_call(&t, add_source, &fd);
	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
	for (int i = 0; i < 2000 && !atomic_load(&served); i++)
		usleep(1000);
	ck_assert_uint_eq(atomic_load(&served), 1);
	iothread_call(&t, del_source, &fd);
	close(fd);
}
END_TEST

START_TEST(fini_of_an_empty_struct_does_nothing)
{
	struct iothread none = { 0 };

	iothread_fini(&none);
	iothread_fini(&none);
}
END_TEST

START_TEST(run_once_without_events_returns_none)
{
	ck_assert_int_eq(loop_run_once(&t.loop, 0), 0);
	loop_wake(&t.loop);
	ck_assert_int_eq(loop_run_once(&t.loop, 0), 1);
	ck_assert_int_eq(loop_run_once(&t.loop, 0), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iothread");
	TCase *c = tcase_create("iothread");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, call_without_a_thread_runs_in_the_caller);
	tcase_add_test(c, call_runs_on_the_named_thread_with_signals_blocked);
	tcase_add_test(c, call_on_the_thread_itself_does_not_wait_for_itself);
	tcase_add_test(c, calls_of_many_threads_all_run_once);
	tcase_add_test(c, call_after_stop_runs_in_the_caller_and_start_begins_again);
	tcase_add_test(c, starts_of_several_threads_make_one);
	tcase_add_test(c, events_are_served_between_calls);
	tcase_add_test(c, fini_of_an_empty_struct_does_nothing);
	tcase_add_test(c, run_once_without_events_returns_none);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
