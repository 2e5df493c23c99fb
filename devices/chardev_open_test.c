/*
 * Unit tests of chardev_open.c: what is special about files, pseudo-terminals and sockets. Moving bytes is tested
 * in chardev_test.c, a terminal's raw mode nowhere.
 */
#include <sys/resource.h>
#include <termios.h>

#include "devices/chardev_rig.h"

/* ---- files ---- */

START_TEST(file_gets_the_output_and_is_emptied_first)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(write(fd, "old and long", 12), 12);
	close(fd);
	ck_assert_int_eq(begin(CHARDEV_FILE, path), 0);
	ck_assert_str_eq(file_text(), "");
	put("new\n");
	run_ms(20);
	ck_assert_str_eq(file_text(), "new\n");
}
END_TEST

START_TEST(file_in_use_is_refused_and_not_emptied)
{
	static struct chardev other;

	ck_assert_int_eq(begin(CHARDEV_FILE, path), 0);
	put("precious");
	run_ms(20);
	ck_assert_int_eq(chardev_init(&other, CHARDEV_FILE, path, "COM2", &loop, NULL, &e), -EBUSY);
	ck_assert_ptr_nonnull(strstr(e.text, "COM2: another program writes to"));
	chardev_fini(&other);
	ck_assert_str_eq(file_text(), "precious");
	chardev_fini(&c);
	ck_assert_int_eq(begin(CHARDEV_FILE, path), 0); /* nobody uses it any more */
}
END_TEST

START_TEST(file_that_cannot_be_made_is_refused_with_its_name)
{
	ck_assert_int_eq(begin(CHARDEV_FILE, "/nowhere/at/all"), -ENOENT);
	ck_assert_str_eq(e.text, "COM1: cannot open /nowhere/at/all for writing: No such file or directory");
}
END_TEST

START_TEST(full_disk_keeps_what_fits_into_the_buffer)
{
	ck_assert_int_eq(begin(CHARDEV_FILE, "/dev/full"), 0);
	ck_assert_uint_eq(fill(0, A_MEBIBYTE), CHARDEV_OUT_BYTES);
	run_ms(1200); /* tried at once, and again after a second */
	ck_assert_uint_eq(lines_said(), 1);
	ck_assert_uint_eq(rooms, 0);
	ck_assert(!chardev_has_room(&c));
	ck_assert_uint_eq(chardev_drain(&c, 10), CHARDEV_OUT_BYTES);
}
END_TEST

START_TEST(disk_with_room_again_gets_everything)
{
	struct rlimit tight = { .rlim_cur = 100000, .rlim_max = RLIM_INFINITY }, wide = tight;

	signal(SIGXFSZ, SIG_IGN); /* a limit is as good as a full disk: part of a write, then EFBIG */
	wide.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(begin(CHARDEV_FILE, path), 0);
	setrlimit(RLIMIT_FSIZE, &tight);
	ck_assert_uint_eq(fill(0, 150000), 150000);
	run_ms(50);
	setrlimit(RLIMIT_FSIZE, &wide);
	ck_assert_uint_eq(c.out_len, 50000);
	run_ms(1200);
	ck_assert_uint_eq(wrong_bytes((const uint8_t *)file_text(), 0, 150000), 0);
	ck_assert_uint_eq(c.out_len, 0);
}
END_TEST

/* ---- pseudo-terminal ---- */

static int open_pty(void)
{
	int fd = open(c.path, O_RDWR | O_NOCTTY | O_NONBLOCK);

	ck_assert_int_ge(fd, 0);
	run_ms(500);
	return fd;
}

START_TEST(pty_carries_bytes_both_ways_unchanged)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_PTY, NULL), 0);
	ck_assert_uint_eq(lines_said(), 1); /* its name */
	fd = open_pty();
	put("a\r\nb\n");
	run_ms(20);
	ck_assert_str_eq(got(fd), "a\r\nb\n");
	ck_assert_int_eq(write(fd, "c\r\003\n", 4), 4);
	run_ms(20);
	ck_assert_str_eq(taken(), "c\r\003\n");
	close(fd);
}
END_TEST

START_TEST(pty_keeps_the_newest_output_until_somebody_looks)
{
	static uint8_t text[A_MEBIBYTE];
	size_t len = 0;
	int fd;

	ck_assert_int_eq(begin(CHARDEV_PTY, NULL), 0);
	run_ms(10);
	for (size_t at = 0; at < 400000; at += 50000) {
		ck_assert_uint_eq(fill(at, at + 50000), at + 50000); /* the guest is never held up */
		run_ms(5);
	}
	fd = open(c.path, O_RDWR | O_NOCTTY | O_NONBLOCK);
	for (int i = 0; i < 400; i++) {
		ssize_t n = read(fd, text + len, sizeof(text) - len);

		len += (size_t)MAX(n, 0);
		run_ms(2);
	}
	ck_assert_uint_ge(len, CHARDEV_OUT_BYTES / 2);
	ck_assert_uint_eq(wrong_bytes(text, 400000 - len, len), 0);
	close(fd);
}
END_TEST

START_TEST(pty_can_be_left_and_opened_again)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_PTY, NULL), 0);
	close(open_pty());
	run_ms(20);
	put("meanwhile");
	run_ms(20);
	fd = open_pty();
	ck_assert_str_eq(got(fd), "meanwhile");
	ck_assert_int_eq(write(fd, "back", 4), 4);
	run_ms(20);
	ck_assert_str_eq(taken(), "back");
	close(fd);
}
END_TEST

START_TEST(pty_is_raw_for_who_opens_it)
{
	struct termios tio;
	int fd;

	ck_assert_int_eq(begin(CHARDEV_PTY, NULL), 0);
	fd = open_pty();
	ck_assert_int_eq(tcgetattr(fd, &tio), 0);
	ck_assert_uint_eq(tio.c_lflag & (ICANON | ECHO | ISIG), 0);
	ck_assert_uint_eq(tio.c_oflag & OPOST, 0);
	close(fd);
}
END_TEST

/* ---- socket ---- */

START_TEST(socket_client_sees_what_was_printed_before)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	put("early ");
	run_ms(10);
	fd = client();
	run_ms(10);
	put("late");
	run_ms(10);
	ck_assert_str_eq(got(fd), "early late");
	close(fd);
}
END_TEST

START_TEST(next_client_gets_what_the_last_one_did_not)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	fd = client();
	run_ms(10);
	close(fd);
	run_ms(10);
	put("for the next");
	run_ms(10);
	fd = client();
	run_ms(10);
	ck_assert_str_eq(got(fd), "for the next");
	ck_assert_int_eq(write(fd, "hi", 2), 2);
	run_ms(10);
	ck_assert_str_eq(taken(), "hi");
	close(fd);
}
END_TEST

START_TEST(second_client_waits_for_the_first_to_leave)
{
	int first, second;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	first = client();
	run_ms(10);
	second = client();
	put("one");
	run_ms(10);
	ck_assert_str_eq(got(first), "one");
	ck_assert_str_eq(got(second), "");
	close(first);
	run_ms(10);
	put("two");
	run_ms(10);
	ck_assert_str_eq(got(second), "two");
	close(second);
}
END_TEST

/* The client takes a little, then nothing; the buffer fills; the client leaves. */
START_TEST(client_that_leaves_a_full_buffer_frees_the_guest)
{
	size_t at = 0;
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	fd = client();
	run_ms(10);
	for (int i = 0; i < 10; i++) {
		at = fill(at, 8 * A_MEBIBYTE);
		run_ms(5);
	}
	ck_assert(!chardev_has_room(&c));
	ck_assert_uint_gt(c.out_head + c.out_len, 0);
	close(fd);
	run_ms(20);
	ck_assert_uint_ge(rooms, 1);
	ck_assert_uint_eq(fill(at, at + A_MEBIBYTE), at + A_MEBIBYTE);
}
END_TEST

/* As above, with a part of the buffer already written: the space in front of the rest counts, too. */
START_TEST(guest_is_never_held_up_while_nobody_is_connected)
{
	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	fill(0, CHARDEV_OUT_BYTES);
	pthread_mutex_lock(&c.lock);
	c.out_head += 100; /* as if a client had taken them */
	c.out_len -= 100;
	pthread_mutex_unlock(&c.lock);
	ck_assert(chardev_has_room(&c));
	ck_assert_uint_eq(put("x"), 1);
	ck_assert_uint_eq(fill(0, A_MEBIBYTE), A_MEBIBYTE);
}
END_TEST

/* The client floods us and reads nothing: both directions are stuck; then the device takes its input. */
START_TEST(input_goes_on_while_output_is_stuck)
{
	uint8_t flood[4 * CHARDEV_IN_BYTES] = { 0 };
	size_t at = 0, taken_bytes = 0;
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	fd = client();
	ck_assert_int_eq(write(fd, flood, sizeof(flood)), sizeof(flood));
	run_ms(20);
	for (int i = 0; i < 20; i++) {
		at = fill(at, 8 * A_MEBIBYTE);
		run_ms(5);
	}
	ck_assert(!chardev_has_room(&c));
	for (int i = 0; i < 8; i++) {
		taken_bytes += chardev_read(&c, flood, sizeof(flood));
		run_ms(10);
	}
	ck_assert_uint_eq(taken_bytes, sizeof(flood));
	ck_assert_uint_eq(lines_said(), 0);
	close(fd);
}
END_TEST

/* Its input has filled the buffer, the guest reads none of it, and prints nothing either. */
START_TEST(client_that_left_unread_makes_way_for_the_next)
{
	static const uint8_t flood[2 * CHARDEV_IN_BYTES];
	int first, second;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	first = client();
	ck_assert_int_eq(write(first, flood, sizeof(flood)), sizeof(flood));
	run_ms(20);
	second = client();
	run_ms(10);
	ck_assert_uint_eq(opens, 1); /* as long as the first is there */
	close(first);
	run_ms(20);
	ck_assert_uint_eq(opens, 2);
	ck_assert_uint_eq(closes, 1);
	put("two");
	run_ms(10);
	ck_assert_str_eq(got(second), "two");
	ck_assert_int_eq(write(second, "!", 1), 1);
	for (int i = 0; i < CHARDEV_IN_BYTES; i++)
		ck_assert_uint_eq(chardev_read(&c, (uint8_t[1]){ 1 }, 1), 1);
	run_ms(10);
	ck_assert_str_eq(taken(), "!");
	close(second);
	run_ms(10);
	ck_assert_uint_eq(closes, 2);
}
END_TEST

START_TEST(input_of_a_client_that_left_stays_while_nobody_else_comes)
{
	uint8_t flood[4 * CHARDEV_IN_BYTES] = { 0 };
	size_t taken_bytes = 0;
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	fd = client();
	ck_assert_int_eq(write(fd, flood, sizeof(flood)), sizeof(flood));
	run_ms(20);
	close(fd);
	for (int i = 0; i < 8; i++) {
		run_ms(10);
		taken_bytes += chardev_read(&c, flood, sizeof(flood));
	}
	ck_assert_uint_eq(taken_bytes, sizeof(flood));
	run_ms(10);
	ck_assert_uint_eq(closes, 1);
	fd = client();
	run_ms(10);
	ck_assert_uint_eq(opens, 2);
	close(fd);
	ck_assert_uint_eq(lines_said(), 0);
}
END_TEST

START_TEST(stale_socket_is_replaced)
{
	struct sockaddr_un a = address();
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	close(fd); /* the file stays, nobody listens */
	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	close(client());
}
END_TEST

START_TEST(socket_in_use_is_refused_and_stays)
{
	static struct chardev other;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	ck_assert_int_eq(chardev_init(&other, CHARDEV_UNIX, path, "COM2", &loop, NULL, &e), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(e.text, "is there already"));
	chardev_fini(&other);
	close(client());
}
END_TEST

START_TEST(file_in_the_place_of_a_socket_is_refused_and_stays)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(write(fd, "precious", 8), 8);
	close(fd);
	ck_assert_int_eq(begin(CHARDEV_UNIX, path), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(e.text, "is there already"));
	chardev_fini(&c);
	ck_assert_str_eq(file_text(), "precious");
}
END_TEST

START_TEST(socket_path_that_is_too_long_is_refused)
{
	char longer[200];

	memset(longer, 'x', sizeof(longer));
	longer[199] = 0;
	ck_assert_int_eq(begin(CHARDEV_UNIX, longer), -ENAMETOOLONG);
	ck_assert_ptr_nonnull(strstr(e.text, "longer than the 107 bytes"));
}
END_TEST

START_TEST(socket_is_removed_at_the_end)
{
	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	chardev_fini(&c);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(ctrl_a_in_a_socket_is_the_guests)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	fd = client();
	ck_assert_int_eq(write(fd, "\001x", 2), 2);
	run_ms(20);
	ck_assert_str_eq(taken(), "\001x");
	close(fd);
}
END_TEST

/* ---- is somebody there? ---- */

START_TEST(socket_tells_when_a_client_comes_and_goes)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	ck_assert(!chardev_is_open(&c));
	fd = client();
	run_ms(10);
	ck_assert_uint_eq(opens, 1);
	ck_assert(chardev_is_open(&c));
	close(fd);
	run_ms(10);
	ck_assert_uint_eq(closes, 1);
	ck_assert(!chardev_is_open(&c));
	close(client()); /* came, and is gone before anybody looks */
	run_ms(10);
	ck_assert_uint_eq(opens, 2);
	ck_assert_uint_eq(closes, 2);
}
END_TEST

static size_t filled;

static void fill_when_opened(void *ctx, bool open)
{
	(void)ctx;
	if (open)
		filled = fill(0, A_MEBIBYTE);
}

/* From then on there is a reader to wait for: nothing gives way to newer output. */
START_TEST(output_written_as_a_client_comes_is_not_overwritten)
{
	const struct chardev_user filler = { .ctx = &c, .opened = fill_when_opened };
	uint8_t first[1000];
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	chardev_attach(&c, &filler);
	fd = client();
	run_ms(10);
	ck_assert_uint_eq(filled, CHARDEV_OUT_BYTES);
	ck_assert_int_eq(read(fd, first, sizeof(first)), sizeof(first));
	ck_assert_uint_eq(wrong_bytes(first, 0, sizeof(first)), 0);
	close(fd);
}
END_TEST

START_TEST(pty_tells_when_somebody_opens_and_closes_it)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_PTY, NULL), 0);
	run_ms(20);
	ck_assert_uint_eq(opens, 0);
	fd = open_pty();
	run_ms(300);
	ck_assert_uint_eq(opens, 1);
	close(fd);
	run_ms(300);
	ck_assert_uint_eq(closes, 1);
}
END_TEST

START_TEST(files_and_standard_output_are_always_open)
{
	ck_assert_int_eq(begin(CHARDEV_FILE, path), 0);
	ck_assert(chardev_is_open(&c));
	chardev_fini(&c);
	begin_stdio();
	ck_assert(chardev_is_open(&c));
	close(far_out);
	put("x");
	run_ms(20);
	ck_assert(chardev_is_open(&c));
	ck_assert_uint_eq(opens + closes, 0);
}
END_TEST

START_TEST(output_that_was_dropped_reaches_no_later_client)
{
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	put("not for you");
	chardev_drop_output(&c);
	put("for you");
	fd = client();
	run_ms(20);
	ck_assert_str_eq(got(fd), "for you");
	close(fd);
}
END_TEST

START_TEST(dropping_a_full_buffer_makes_room_and_says_so)
{
	begin_stdio();
	fill(0, A_MEBIBYTE);
	ck_assert_uint_eq(put("x"), 0);
	chardev_drop_output(&c);
	run_ms(5);
	ck_assert_uint_eq(rooms, 1);
	ck_assert_uint_eq(put("x"), 1);
}
END_TEST

START_TEST(only_a_terminal_has_a_size)
{
	uint16_t cols, rows;

	begin_stdio();
	ck_assert(!chardev_get_size(&c, &cols, &rows));
}
END_TEST

/* With a full buffer holding the guest up. Nobody writes then, so nobody else would tell. */
START_TEST(hang_up_noticed_by_reading_frees_the_guest)
{
	size_t at = 0;
	int fd;

	ck_assert_int_eq(begin(CHARDEV_UNIX, path), 0);
	fd = client();
	run_ms(10);
	for (int i = 0; i < 10; i++) {
		at = fill(at, 8 * A_MEBIBYTE);
		run_ms(5);
	}
	ck_assert(!chardev_has_room(&c));
	rooms = 0;
	shutdown(fd, SHUT_WR);
	run_ms(20);
	ck_assert_uint_eq(closes, 1);
	ck_assert_uint_ge(rooms, 1);
	close(fd);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, socket_tells_when_a_client_comes_and_goes);
	tcase_add_test(t, output_written_as_a_client_comes_is_not_overwritten);
	tcase_add_test(t, pty_tells_when_somebody_opens_and_closes_it);
	tcase_add_test(t, files_and_standard_output_are_always_open);
	tcase_add_test(t, output_that_was_dropped_reaches_no_later_client);
	tcase_add_test(t, dropping_a_full_buffer_makes_room_and_says_so);
	tcase_add_test(t, only_a_terminal_has_a_size);
	tcase_add_test(t, hang_up_noticed_by_reading_frees_the_guest);
	tcase_add_test(t, file_gets_the_output_and_is_emptied_first);
	tcase_add_test(t, file_in_use_is_refused_and_not_emptied);
	tcase_add_test(t, file_that_cannot_be_made_is_refused_with_its_name);
	tcase_add_test(t, full_disk_keeps_what_fits_into_the_buffer);
	tcase_add_test(t, disk_with_room_again_gets_everything);
	tcase_add_test(t, pty_carries_bytes_both_ways_unchanged);
	tcase_add_test(t, pty_keeps_the_newest_output_until_somebody_looks);
	tcase_add_test(t, pty_can_be_left_and_opened_again);
	tcase_add_test(t, pty_is_raw_for_who_opens_it);
	tcase_add_test(t, ctrl_a_in_a_socket_is_the_guests);
	tcase_add_test(t, socket_client_sees_what_was_printed_before);
	tcase_add_test(t, next_client_gets_what_the_last_one_did_not);
	tcase_add_test(t, second_client_waits_for_the_first_to_leave);
	tcase_add_test(t, client_that_leaves_a_full_buffer_frees_the_guest);
	tcase_add_test(t, guest_is_never_held_up_while_nobody_is_connected);
	tcase_add_test(t, input_goes_on_while_output_is_stuck);
	tcase_add_test(t, client_that_left_unread_makes_way_for_the_next);
	tcase_add_test(t, input_of_a_client_that_left_stays_while_nobody_else_comes);
	tcase_add_test(t, stale_socket_is_replaced);
	tcase_add_test(t, socket_in_use_is_refused_and_stays);
	tcase_add_test(t, file_in_the_place_of_a_socket_is_refused_and_stays);
	tcase_add_test(t, socket_path_that_is_too_long_is_refused);
	tcase_add_test(t, socket_is_removed_at_the_end);
}

int main(void)
{
	Suite *suite = suite_create("chardev_open");
	TCase *t = tcase_create("chardev_open");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	add_tests(t);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
