/*
 * Unit tests of loop.c, with real pipes, timers and threads. A test that hangs is a lost wake-up: Check's
 * time limit finds it. How late a timer may be is not tested, only that it is never early.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#include "vmm/base/loop.h"

enum { NR_PIPES = 20 }; /* more than the loop takes from the kernel at once */

#define MS 1000000ull

static struct loop loop;
static struct err e;

struct pipe_rig {
	int rd, wr;
	struct loop_source source;
	unsigned int calls;
	uint32_t events;
};

static struct pipe_rig rig[NR_PIPES];
static struct pipe_rig *victim;

static void setup(void)
{
	ck_assert_int_eq(loop_init(&loop, &e), 0);
	memset(rig, 0, sizeof(rig));
}

static void teardown(void)
{
	loop_fini(&loop);
}

static void open_rig(struct pipe_rig *r, void (*ready)(void *ctx, uint32_t events))
{
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	r->rd = fd[0];
	r->wr = fd[1];
	r->source = (struct loop_source){ .fd = r->rd, .ready = ready, .ctx = r };
	ck_assert_int_eq(loop_add(&loop, &r->source, EPOLLIN), 0);
}

static void poke(struct pipe_rig *r)
{
	ck_assert_int_eq(write(r->wr, "x", 1), 1);
}

static void note(struct pipe_rig *r, uint32_t events)
{
	char b;

	r->calls++;
	r->events |= events;
	if (read(r->rd, &b, 1) < 0)
		r->events |= EPOLLERR;
}

static void count_only(void *ctx, uint32_t events)
{
	note(ctx, events);
}

static void count_and_stop(void *ctx, uint32_t events)
{
	note(ctx, events);
	loop_stop(&loop);
}

static void stop_loop(void *ctx)
{
	(void)ctx;
	loop_stop(&loop);
}

static void run_ms(uint64_t ms)
{
	struct loop_timer end;

	ck_assert_int_eq(loop_timer_init(&loop, &end, stop_loop, NULL, &e), 0);
	loop_timer_arm(&end, ms * MS);
	ck_assert_int_eq(loop_run(&loop), 0);
	loop_timer_fini(&loop, &end);
}

START_TEST(fini_of_a_zeroed_loop_closes_nothing)
{
	struct loop none = { 0 };

	loop_fini(&none);
	ck_assert_int_ge(fcntl(STDIN_FILENO, F_GETFD), 0);
}
END_TEST

START_TEST(readable_source_is_served)
{
	open_rig(&rig[0], count_and_stop);
	poke(&rig[0]);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_eq(rig[0].calls, 1);
	ck_assert_uint_eq(rig[0].events, EPOLLIN);
}
END_TEST

START_TEST(many_sources_are_all_served)
{
	for (unsigned int i = 0; i < NR_PIPES; i++) {
		open_rig(&rig[i], count_only);
		poke(&rig[i]);
	}
	run_ms(20);
	for (unsigned int i = 0; i < NR_PIPES; i++)
		ck_assert_uint_eq(rig[i].calls, 1);
}
END_TEST

START_TEST(deleted_source_is_not_served)
{
	open_rig(&rig[0], count_only);
	poke(&rig[0]);
	loop_del(&loop, &rig[0].source);
	run_ms(5);
	ck_assert_uint_eq(rig[0].calls, 0);
}
END_TEST

static void delete_all_others(void *ctx, uint32_t events)
{
	note(ctx, events);
	for (unsigned int i = 0; i < NR_PIPES; i++)
		if (&rig[i] != ctx)
			loop_del(&loop, &rig[i].source);
}

START_TEST(source_deleted_by_a_callback_in_the_same_turn_is_not_served)
{
	unsigned int calls = 0;

	for (unsigned int i = 0; i < NR_PIPES; i++) {
		open_rig(&rig[i], delete_all_others);
		poke(&rig[i]);
	}
	run_ms(5);
	for (unsigned int i = 0; i < NR_PIPES; i++)
		calls += rig[i].calls;
	ck_assert_uint_eq(calls, 1);
}
END_TEST

static void add_victim(void *ctx, uint32_t events)
{
	note(ctx, events);
	ck_assert_int_eq(loop_add(&loop, &victim->source, EPOLLIN), 0);
}

START_TEST(source_added_by_a_callback_is_served)
{
	victim = &rig[1];
	open_rig(&rig[0], add_victim);
	open_rig(victim, count_only);
	loop_del(&loop, &victim->source);
	poke(&rig[0]);
	poke(victim);
	run_ms(5);
	ck_assert_uint_eq(victim->calls, 1);
}
END_TEST

START_TEST(changed_events_are_what_is_waited_for)
{
	open_rig(&rig[0], count_only);
	loop_mod(&loop, &rig[0].source, 0);
	poke(&rig[0]);
	run_ms(5);
	ck_assert_uint_eq(rig[0].calls, 0);
	loop_mod(&loop, &rig[0].source, EPOLLIN);
	run_ms(5);
	ck_assert_uint_eq(rig[0].calls, 1);
}
END_TEST

START_TEST(hang_up_is_told)
{
	open_rig(&rig[0], count_and_stop);
	close(rig[0].wr);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_eq(rig[0].events, EPOLLHUP);
}
END_TEST

START_TEST(regular_file_is_refused_with_eperm)
{
	char name[] = "/tmp/loop_test.XXXXXX";
	struct loop_source s = { .fd = mkstemp(name) };

	unlink(name);
	ck_assert_int_eq(loop_add(&loop, &s, EPOLLIN), -EPERM);
	close(s.fd);
}
END_TEST

START_TEST(source_added_twice_is_refused)
{
	open_rig(&rig[0], count_only);
	ck_assert_int_eq(loop_add(&loop, &rig[0].source, EPOLLIN), -EEXIST);
}
END_TEST

START_TEST(source_without_a_descriptor_is_refused)
{
	struct loop_source s = { .fd = -1 };

	ck_assert_int_eq(loop_add(&loop, &s, EPOLLIN), -EBADF);
	loop_mod(&loop, &s, EPOLLIN);
	loop_del(&loop, &s);
}
END_TEST

/* ---- stop and wake ---- */

START_TEST(stop_before_run_is_not_lost)
{
	loop_stop(&loop);
	ck_assert_int_eq(loop_run(&loop), 0);
}
END_TEST

START_TEST(loop_runs_again_after_a_stop)
{
	open_rig(&rig[0], count_and_stop);
	loop_stop(&loop);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_eq(rig[0].calls, 0);
	poke(&rig[0]);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_eq(rig[0].calls, 1);
}
END_TEST

static unsigned int wakes;
static pthread_t waker_thread;

static void on_wake(void *ctx)
{
	wakes++;
	ck_assert_ptr_eq(ctx, &wakes);
}

START_TEST(wake_before_run_is_served_once)
{
	loop.on_wake = on_wake;
	loop.wake_ctx = &wakes;
	loop_wake(&loop);
	loop_wake(&loop);
	run_ms(5);
	ck_assert_uint_eq(wakes, 1);
}
END_TEST

START_TEST(stop_alone_is_no_wake)
{
	loop.on_wake = on_wake;
	loop.wake_ctx = &wakes;
	loop_stop(&loop);
	ck_assert_int_eq(loop_run(&loop), 0);
	run_ms(5);
	ck_assert_uint_eq(wakes, 0);
}
END_TEST

START_TEST(wake_without_a_listener_is_harmless)
{
	loop_wake(&loop);
	run_ms(5);
}
END_TEST

enum { ROUNDS = 20000 };

static atomic_uint asked, answered;

static void answer(void *ctx)
{
	(void)ctx;
	atomic_store(&answered, atomic_load(&asked));
}

/* Ask, and wait for the answer: one wake-up that gets lost hangs the test. */
static void *ask_many_times(void *ctx)
{
	(void)ctx;
	for (unsigned int i = 1; i <= ROUNDS; i++) {
		atomic_store(&asked, i);
		loop_wake(&loop);
		while (atomic_load(&answered) != i)
			sched_yield();
	}
	loop_stop(&loop);
	return NULL;
}

START_TEST(wakes_from_another_thread_are_never_lost)
{
	loop.on_wake = answer;
	ck_assert_int_eq(pthread_create(&waker_thread, NULL, ask_many_times, NULL), 0);
	ck_assert_int_eq(loop_run(&loop), 0);
	pthread_join(waker_thread, NULL);
	ck_assert_uint_eq(atomic_load(&answered), ROUNDS);
}
END_TEST

static atomic_uint runs;

/* Stop each run of the loop once; the next stop comes only when the run has ended. */
static void *stop_many_times(void *ctx)
{
	(void)ctx;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		loop_stop(&loop);
		while (atomic_load(&runs) == i)
			sched_yield();
	}
	return NULL;
}

START_TEST(stops_from_another_thread_are_never_lost)
{
	ck_assert_int_eq(pthread_create(&waker_thread, NULL, stop_many_times, NULL), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		ck_assert_int_eq(loop_run(&loop), 0);
		atomic_fetch_add(&runs, 1);
	}
	pthread_join(waker_thread, NULL);
}
END_TEST

static void stop_on_signal(int sig)
{
	(void)sig;
	loop_stop(&loop);
}

START_TEST(stop_in_a_signal_handler_ends_the_run_and_keeps_errno)
{
	const struct itimerval soon = { .it_value = { .tv_usec = 5000 } };

	signal(SIGALRM, stop_on_signal);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
	ck_assert_int_eq(loop_run(&loop), 0);
	errno = EXDEV;
	stop_on_signal(SIGALRM);
	ck_assert_int_eq(errno, EXDEV);
}
END_TEST

static atomic_uint signals;

static void count_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&signals, 1);
}

START_TEST(signals_do_not_end_a_run)
{
	const struct itimerval often = { .it_value = { .tv_usec = 1000 }, .it_interval = { .tv_usec = 1000 } };
	const struct sigaction sa = { .sa_handler = count_signal }; /* no SA_RESTART */

	sigaction(SIGALRM, &sa, NULL);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	run_ms(20);
	ck_assert_uint_gt(atomic_load(&signals), 0);
}
END_TEST

/* ---- timers ---- */

static uint64_t expired_ns;
static unsigned int expired_calls;

static void on_expired(void *ctx)
{
	(void)ctx;
	expired_calls++;
	expired_ns = clock_now_ns();
	loop_stop(&loop);
}

START_TEST(timer_expires_not_early_and_once)
{
	struct loop_timer t;
	uint64_t begin = clock_now_ns();

	ck_assert_int_eq(loop_timer_init(&loop, &t, on_expired, NULL, &e), 0);
	loop_timer_arm(&t, 20 * MS);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_ge(expired_ns - begin, 20 * MS);
	run_ms(30);
	ck_assert_uint_eq(expired_calls, 1);
	loop_timer_fini(&loop, &t);
}
END_TEST

START_TEST(timer_of_0_expires_at_once)
{
	struct loop_timer t;

	ck_assert_int_eq(loop_timer_init(&loop, &t, on_expired, NULL, &e), 0);
	loop_timer_arm(&t, 0);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_eq(expired_calls, 1);
	loop_timer_fini(&loop, &t);
}
END_TEST

START_TEST(later_arm_replaces_the_earlier_one)
{
	struct loop_timer t;
	uint64_t begin = clock_now_ns();

	ck_assert_int_eq(loop_timer_init(&loop, &t, on_expired, NULL, &e), 0);
	loop_timer_arm(&t, 1 * MS);
	loop_timer_arm(&t, 30 * MS);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_ge(expired_ns - begin, 30 * MS);
	ck_assert_uint_eq(expired_calls, 1);
	loop_timer_fini(&loop, &t);
}
END_TEST

START_TEST(disarmed_timer_does_not_expire)
{
	struct loop_timer t;

	ck_assert_int_eq(loop_timer_init(&loop, &t, on_expired, NULL, &e), 0);
	loop_timer_arm(&t, 1 * MS);
	loop_timer_disarm(&t);
	run_ms(10);
	ck_assert_uint_eq(expired_calls, 0);
	loop_timer_fini(&loop, &t);
}
END_TEST

static struct loop_timer second;

static void rearm_second(void *ctx, uint32_t events)
{
	note(ctx, events);
	loop_timer_arm(&second, 20 * MS);
}

/* Both are due in the same turn; the first to be served moves the second away. */
START_TEST(timer_armed_anew_in_the_turn_it_was_due_expires_at_the_new_time)
{
	uint64_t begin = clock_now_ns();

	open_rig(&rig[0], rearm_second);
	poke(&rig[0]);
	ck_assert_int_eq(loop_timer_init(&loop, &second, on_expired, NULL, &e), 0);
	loop_timer_arm(&second, 0);
	usleep(1000);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_ge(expired_ns - begin, 20 * MS);
	ck_assert_uint_eq(expired_calls, 1);
	loop_timer_fini(&loop, &second);
}
END_TEST

START_TEST(finished_timer_does_not_expire)
{
	struct loop_timer t;

	ck_assert_int_eq(loop_timer_init(&loop, &t, on_expired, NULL, &e), 0);
	loop_timer_arm(&t, 0);
	loop_timer_fini(&loop, &t);
	ck_assert_int_eq(t.fd, -1);
	loop_timer_fini(&loop, &t);
	run_ms(5);
	ck_assert_uint_eq(expired_calls, 0);
}
END_TEST

START_TEST(clock_does_not_go_backwards)
{
	uint64_t a = clock_now_ns(), b;

	usleep(1000);
	b = clock_now_ns();
	ck_assert_uint_ge(b - a, 1 * MS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *t = tcase_create("loop");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 20);
	tcase_add_test(t, fini_of_a_zeroed_loop_closes_nothing);
	tcase_add_test(t, readable_source_is_served);
	tcase_add_test(t, many_sources_are_all_served);
	tcase_add_test(t, deleted_source_is_not_served);
	tcase_add_test(t, source_deleted_by_a_callback_in_the_same_turn_is_not_served);
	tcase_add_test(t, source_added_by_a_callback_is_served);
	tcase_add_test(t, changed_events_are_what_is_waited_for);
	tcase_add_test(t, hang_up_is_told);
	tcase_add_test(t, regular_file_is_refused_with_eperm);
	tcase_add_test(t, source_added_twice_is_refused);
	tcase_add_test(t, source_without_a_descriptor_is_refused);
	tcase_add_test(t, stop_before_run_is_not_lost);
	tcase_add_test(t, loop_runs_again_after_a_stop);
	tcase_add_test(t, wake_before_run_is_served_once);
	tcase_add_test(t, stop_alone_is_no_wake);
	tcase_add_test(t, wake_without_a_listener_is_harmless);
	tcase_add_test(t, wakes_from_another_thread_are_never_lost);
	tcase_add_test(t, stops_from_another_thread_are_never_lost);
	tcase_add_test(t, stop_in_a_signal_handler_ends_the_run_and_keeps_errno);
	tcase_add_test(t, signals_do_not_end_a_run);
	tcase_add_test(t, timer_expires_not_early_and_once);
	tcase_add_test(t, timer_of_0_expires_at_once);
	tcase_add_test(t, later_arm_replaces_the_earlier_one);
	tcase_add_test(t, disarmed_timer_does_not_expire);
	tcase_add_test(t, timer_armed_anew_in_the_turn_it_was_due_expires_at_the_new_time);
	tcase_add_test(t, finished_timer_does_not_expire);
	tcase_add_test(t, clock_does_not_go_backwards);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
