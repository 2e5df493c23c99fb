/*
 * Unit tests of chardev.c: moving bytes, with a real loop and real pipes, files and sockets. A test that hangs is
 * a lost wake-up, which Check's time limit finds. What is opened how is chardev_open_test.c's business.
 */
#include <pthread.h>

#include "devices/chardev_rig.h"

/* ---- output ---- */

START_TEST(output_waits_for_the_loop_and_arrives_in_order)
{
	begin_stdio();
	for (const char *p = "hello, world"; *p; p++)
		ck_assert_uint_eq(chardev_write(&c, (const uint8_t *)p, 1), 1);
	ck_assert_str_eq(got(far_out), "");
	run_ms(20);
	ck_assert_str_eq(got(far_out), "hello, world");
	put("again");
	run_ms(20);
	ck_assert_str_eq(got(far_out), "again");
	ck_assert_uint_eq(rooms, 0);
}
END_TEST

/* A byte waits for others. That a busy machine lets 2 ms pass at once must not fail 20 times in a row. */
START_TEST(lone_bytes_are_collected_for_a_while)
{
	unsigned int waited = 0;

	begin_stdio();
	for (int i = 0; i < 20; i++) {
		put("a");
		run_ms(0);
		waited += !*got(far_out);
		run_ms(5);
		got(far_out);
	}
	ck_assert_uint_gt(waited, 0);
}
END_TEST

START_TEST(much_output_does_not_wait_to_be_collected)
{
	char first[64];

	begin_stdio();
	fill(0, 16 << 10);
	run_ms(1); /* less than lone bytes wait */
	ck_assert_int_eq(read(far_out, first, sizeof(first)), sizeof(first));
}
END_TEST

START_TEST(full_buffer_takes_no_more_and_says_when_it_does)
{
	size_t taken_bytes;

	begin_stdio();
	taken_bytes = fill(0, A_MEBIBYTE);
	ck_assert_uint_eq(taken_bytes, CHARDEV_OUT_BYTES);
	ck_assert(!chardev_has_room(&c));
	ck_assert_uint_eq(put("x"), 0);
	ck_assert_uint_eq(rooms, 0);
	run_ms(20); /* 64 KiB go into the pipe, which is full then */
	got(far_out);
	run_ms(20);
	got(far_out);
	run_ms(20);
	ck_assert_uint_eq(rooms, 1);
	ck_assert(chardev_has_room(&c));
}
END_TEST

START_TEST(hint_that_there_is_no_room_is_followed_by_a_call)
{
	begin_stdio();
	fill(0, CHARDEV_OUT_BYTES); /* everything was taken: nobody was refused */
	ck_assert(!chardev_has_room(&c));
	for (int i = 0; i < 8; i++) {
		run_ms(5);
		got(far_out);
	}
	ck_assert_uint_eq(rooms, 1);
}
END_TEST

static atomic_size_t sent, received, wrong;

/* A guest that never gives up. */
static void *write_a_mebibyte(void *ctx)
{
	(void)ctx;
	while (atomic_load(&sent) < A_MEBIBYTE) {
		atomic_store(&sent, fill(atomic_load(&sent), A_MEBIBYTE));
		sched_yield();
	}
	return NULL;
}

/* A reader which is much slower than the guest. */
static void *read_a_mebibyte(void *ctx)
{
	int fd = *(int *)ctx;
	uint8_t piece[8192];
	size_t at = 0;

	while (at < A_MEBIBYTE) {
		ssize_t n = read(fd, piece, sizeof(piece));

		n = MAX(n, 0);
		atomic_fetch_add(&wrong, wrong_bytes(piece, at, (size_t)n));
		at += (size_t)n;
		atomic_store(&received, at);
		usleep(500);
	}
	loop_stop(&loop);
	return NULL;
}

static void carry_a_mebibyte(int fd)
{
	pthread_t writer, reader;

	ck_assert_int_eq(pthread_create(&writer, NULL, write_a_mebibyte, NULL), 0);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_a_mebibyte, &fd), 0);
	ck_assert_int_eq(loop_run(&loop), 0);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	ck_assert_uint_eq(atomic_load(&received), A_MEBIBYTE);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
}

START_TEST(nothing_is_lost_through_a_slow_pipe)
{
	begin_stdio();
	carry_a_mebibyte(far_out);
}
END_TEST

START_TEST(nothing_is_lost_through_a_slow_socket)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	fd = client();
	run_ms(20);
	carry_a_mebibyte(fd);
	close(fd);
}
END_TEST

START_TEST(nothing_is_lost_through_a_slow_pty)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_PTY, NULL), 0);
	fd = open(c.path, O_RDWR | O_NOCTTY | O_NONBLOCK);
	run_ms(500); /* it is looked for five times a second */
	carry_a_mebibyte(fd);
	close(fd);
}
END_TEST

static atomic_bool enough;

static void *print_without_end(void *ctx)
{
	(void)ctx;
	while (!atomic_load(&enough))
		fill(0, A_MEBIBYTE);
	return NULL;
}

/* The loop has more to do: signals, timers, the power button. */
START_TEST(guest_that_prints_without_end_does_not_hold_the_loop)
{
	pthread_t guests[2];
	uint64_t begun = clock_now_ns(), took;

	ck_assert_int_eq(begin(CHARDEV_FILE, "/dev/null"), 0);
	ck_assert_int_eq(pthread_create(&guests[0], NULL, print_without_end, NULL), 0);
	ck_assert_int_eq(pthread_create(&guests[1], NULL, print_without_end, NULL), 0);
	for (int i = 0; i < 10; i++)
		run_ms(10);
	took = clock_now_ns() - begun;
	atomic_store(&enough, true);
	pthread_join(guests[0], NULL);
	pthread_join(guests[1], NULL);
	ck_assert_uint_lt(took, 5000 * MS);
}
END_TEST

START_TEST(reader_that_left_makes_output_vanish_with_one_warning)
{
	begin_stdio();
	close(far_out);
	put("x");
	run_ms(20);
	ck_assert_uint_eq(lines_said(), 1);
	ck_assert_uint_eq(fill(0, A_MEBIBYTE), A_MEBIBYTE);
	ck_assert(chardev_has_room(&c));
	run_ms(20);
	ck_assert_uint_eq(lines_said(), 0);
	ck_assert_uint_eq(chardev_drain(&c, 1000), 0);
}
END_TEST

START_TEST(reader_that_leaves_a_full_buffer_frees_the_guest)
{
	begin_stdio();
	fill(0, A_MEBIBYTE);
	run_ms(5);
	fill(0, A_MEBIBYTE);
	close(far_out);
	run_ms(20);
	ck_assert_uint_ge(rooms, 1);
	ck_assert_uint_eq(put("x"), 1);
}
END_TEST

/* ---- drain ---- */

START_TEST(drain_writes_all_without_a_loop)
{
	ck_assert_int_eq(begin(CHARDEV_FILE, path), 0);
	ck_assert_uint_eq(fill(0, 200000), 200000);
	ck_assert_uint_eq(chardev_drain(&c, 1000), 0);
	ck_assert_uint_eq(wrong_bytes((const uint8_t *)file_text(), 0, 200000), 0);
	ck_assert_uint_eq(c.out_len, 0);
}
END_TEST

START_TEST(drain_gives_up_after_its_time_and_counts_what_is_left)
{
	uint64_t begun;
	size_t left;

	begin_stdio();
	fill(0, A_MEBIBYTE);
	begun = clock_now_ns();
	left = chardev_drain(&c, 50); /* nobody reads the pipe, which holds 64 KiB */
	ck_assert_uint_ge(clock_now_ns() - begun, 50 * MS);
	ck_assert_uint_eq(left, CHARDEV_OUT_BYTES - (64 << 10));
}
END_TEST

START_TEST(drain_of_a_socket_nobody_listens_to_loses_nothing_that_counts)
{
	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	put("x");
	ck_assert_uint_eq(chardev_drain(&c, 1000), 0);
}
END_TEST

/* ---- input and keys ---- */

START_TEST(input_arrives_and_the_device_is_told)
{
	begin_stdio();
	ck_assert_int_eq(write(far_in, "ls\n", 3), 3);
	run_ms(5);
	ck_assert_uint_eq(inputs, 1);
	ck_assert_str_eq(taken(), "ls\n");
	ck_assert_str_eq(taken(), "");
}
END_TEST

START_TEST(input_not_taken_stays)
{
	uint8_t b;

	begin_stdio();
	ck_assert_int_eq(write(far_in, "ab", 2), 2);
	run_ms(5);
	ck_assert_uint_eq(chardev_read(&c, &b, 1), 1);
	ck_assert_uint_eq(b, 'a');
	ck_assert_int_eq(write(far_in, "c", 1), 1);
	run_ms(5);
	ck_assert_str_eq(taken(), "bc");
}
END_TEST

static const struct {
	const char *typed, *guest;
	unsigned int quits, breaks, lines;
} keys[] = {
	{ "abc", "abc", 0, 0, 0 },
	{ "\001x", "", 1, 0, 0 },
	{ "\001X", "", 1, 0, 0 },
	{ "a\001xb", "ab", 1, 0, 0 },
	{ "\001b", "", 0, 1, 0 },
	{ "\001h", "", 0, 0, 4 },
	{ "\001?", "", 0, 0, 4 },
	{ "\001\001", "\001", 0, 0, 0 },
	{ "\001\001x", "\001x", 0, 0, 0 },
	{ "\001\001\001x", "\001", 1, 0, 0 },
	{ "x\001", "x", 0, 0, 0 },
	{ "\003\004\032", "\003\004\032", 0, 0, 0 },
};

START_TEST(keys_after_ctrl_a_are_ours)
{
	size_t len = strlen(keys[_i].typed);

	begin_stdio();
	ck_assert_int_eq(write(far_in, keys[_i].typed, len), (ssize_t)len);
	run_ms(5);
	ck_assert_str_eq(taken(), keys[_i].guest);
	ck_assert_uint_eq(quits, keys[_i].quits);
	ck_assert_uint_eq(breaks, keys[_i].breaks);
	ck_assert_uint_eq(lines_said(), keys[_i].lines);
}
END_TEST

START_TEST(key_may_come_long_after_ctrl_a)
{
	begin_stdio();
	ck_assert_int_eq(write(far_in, "a\001", 2), 2);
	run_ms(5);
	ck_assert_int_eq(write(far_in, "xb", 2), 2);
	run_ms(5);
	ck_assert_uint_eq(quits, 1);
	ck_assert_str_eq(taken(), "ab");
}
END_TEST

START_TEST(keys_work_while_the_guest_takes_no_input)
{
	uint8_t flood[CHARDEV_IN_BYTES - 2] = { 0 };

	begin_stdio();
	ck_assert_int_eq(write(far_in, flood, sizeof(flood)), sizeof(flood));
	ck_assert_int_eq(write(far_in, "\001x", 2), 2);
	run_ms(10);
	ck_assert_uint_eq(quits, 1);
}
END_TEST

START_TEST(input_is_not_read_further_while_enough_waits)
{
	uint8_t flood[3 * CHARDEV_IN_BYTES], back[sizeof(flood)];
	size_t at = 0;

	begin_stdio();
	for (size_t i = 0; i < sizeof(flood); i++)
		flood[i] = (uint8_t)('a' + i % 23);
	ck_assert_int_eq(write(far_in, flood, sizeof(flood)), sizeof(flood));
	run_ms(20);
	ck_assert_uint_eq(c.in_len, CHARDEV_IN_BYTES);
	ck_assert_uint_eq(inputs, 1); /* and the loop slept */
	for (int i = 0; i < 3; i++) {
		at += chardev_read(&c, back + at, sizeof(back) - at);
		run_ms(20);
	}
	ck_assert_uint_eq(at, sizeof(flood));
	ck_assert_mem_eq(back, flood, sizeof(flood));
}
END_TEST

/* The device's thread empties the buffer just when the loop's thread finds it full: who resumes the input? */
static void *feed_input(void *ctx)
{
	uint8_t piece[4096];
	size_t at = 0;

	while (at < 4 * A_MEBIBYTE) {
		size_t len = MIN(sizeof(piece) - at % 1000, 4 * A_MEBIBYTE - at);
		ssize_t n;

		for (size_t i = 0; i < len; i++)
			piece[i] = (uint8_t)(2 + (at + i) % 201); /* no Ctrl-a */
		n = write(*(int *)ctx, piece, len);
		at += (size_t)MAX(n, 0);
	}
	return NULL;
}

static void *take_input(void *ctx)
{
	uint8_t piece[CHARDEV_IN_BYTES];
	size_t at = 0;

	(void)ctx;
	while (at < 4 * A_MEBIBYTE) {
		size_t n = chardev_read(&c, piece, sizeof(piece));

		for (size_t i = 0; i < n; i++)
			atomic_fetch_add(&wrong, piece[i] != (uint8_t)(2 + (at + i) % 201));
		at += n;
	}
	loop_stop(&loop);
	return NULL;
}

START_TEST(input_never_stalls_under_a_device_on_another_thread)
{
	pthread_t feeder, taker;

	begin_stdio();
	fcntl(far_in, F_SETFL, 0);
	ck_assert_int_eq(pthread_create(&feeder, NULL, feed_input, &far_in), 0);
	ck_assert_int_eq(pthread_create(&taker, NULL, take_input, NULL), 0);
	ck_assert_int_eq(loop_run(&loop), 0);
	pthread_join(feeder, NULL);
	pthread_join(taker, NULL);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
}
END_TEST

START_TEST(end_of_input_ends_input_only)
{
	begin_stdio();
	ck_assert_int_eq(write(far_in, "bye", 3), 3);
	close(far_in);
	run_ms(10);
	ck_assert_str_eq(taken(), "bye");
	ck_assert_int_eq(c.in_fd, -1);
	put("still here");
	run_ms(20);
	ck_assert_str_eq(got(far_out), "still here");
}
END_TEST

START_TEST(standard_input_from_a_file_is_read_to_its_end)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	uint8_t flood[2 * CHARDEV_IN_BYTES + 10];
	size_t at = 0;

	memset(flood, 'f', sizeof(flood));
	ck_assert_int_eq(write(fd, flood, sizeof(flood)), sizeof(flood));
	lseek(fd, 0, SEEK_SET);
	dup2(fd, STDIN_FILENO);
	ck_assert_int_eq(begin(CHARDEV_STDIO, NULL), 0);
	for (int i = 0; i < 4; i++) {
		run_ms(20);
		at += chardev_read(&c, flood, sizeof(flood));
	}
	ck_assert_uint_eq(at, sizeof(flood));
	ck_assert_int_eq(c.in_fd, -1);
	close(fd);
}
END_TEST

START_TEST(detached_stream_keeps_input_and_calls_nobody)
{
	begin_stdio();
	chardev_attach(&c, &(const struct chardev_user){ 0 });
	ck_assert_int_eq(write(far_in, "a\001b", 3), 3);
	run_ms(5);
	ck_assert_uint_eq(inputs + breaks, 0);
	ck_assert_str_eq(taken(), "a");
}
END_TEST

START_TEST(finished_stream_is_not_served_any_more)
{
	begin_stdio();
	put("x");
	chardev_fini(&c);
	ck_assert_int_eq(write(far_in, "a", 1), 1); /* standard input itself is still open */
	run_ms(10);
	ck_assert_uint_eq(inputs, 0);
}
END_TEST

START_TEST(flags_of_standard_output_are_left_alone)
{
	begin_stdio();
	put("x");
	run_ms(10);
	ck_assert_int_eq(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

static void add_stream_tests(TCase *t)
{
	tcase_add_test(t, output_waits_for_the_loop_and_arrives_in_order);
	tcase_add_test(t, lone_bytes_are_collected_for_a_while);
	tcase_add_test(t, much_output_does_not_wait_to_be_collected);
	tcase_add_test(t, full_buffer_takes_no_more_and_says_when_it_does);
	tcase_add_test(t, hint_that_there_is_no_room_is_followed_by_a_call);
	tcase_add_test(t, nothing_is_lost_through_a_slow_pipe);
	tcase_add_test(t, nothing_is_lost_through_a_slow_socket);
	tcase_add_test(t, nothing_is_lost_through_a_slow_pty);
	tcase_add_test(t, guest_that_prints_without_end_does_not_hold_the_loop);
	tcase_add_test(t, reader_that_left_makes_output_vanish_with_one_warning);
	tcase_add_test(t, reader_that_leaves_a_full_buffer_frees_the_guest);
	tcase_add_test(t, drain_writes_all_without_a_loop);
	tcase_add_test(t, drain_gives_up_after_its_time_and_counts_what_is_left);
	tcase_add_test(t, drain_of_a_socket_nobody_listens_to_loses_nothing_that_counts);
	tcase_add_test(t, input_arrives_and_the_device_is_told);
	tcase_add_test(t, input_not_taken_stays);
	tcase_add_loop_test(t, keys_after_ctrl_a_are_ours, 0, ARRAY_SIZE(keys));
	tcase_add_test(t, key_may_come_long_after_ctrl_a);
	tcase_add_test(t, keys_work_while_the_guest_takes_no_input);
	tcase_add_test(t, input_is_not_read_further_while_enough_waits);
	tcase_add_test(t, input_never_stalls_under_a_device_on_another_thread);
	tcase_add_test(t, end_of_input_ends_input_only);
	tcase_add_test(t, standard_input_from_a_file_is_read_to_its_end);
	tcase_add_test(t, detached_stream_keeps_input_and_calls_nobody);
	tcase_add_test(t, finished_stream_is_not_served_any_more);
	tcase_add_test(t, flags_of_standard_output_are_left_alone);
}

int main(void)
{
	Suite *suite = suite_create("chardev");
	TCase *t = tcase_create("chardev");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	add_stream_tests(t);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
