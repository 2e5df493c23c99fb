/*
 * Unit tests of stream.c, socket.c and datagram.c: framing, batches, full sockets, nonsense, and how two find each
 * other. They do not measure, and there is no guest.
 */
#include <fcntl.h>
#include <sys/file.h>

#include "devices/net/netdev_rig.h"
#include "devices/net/stream_internal.h"
#include "vmm/base/log.h"

static struct side a, b;
static int far; /* the other end of a's connection */
static char dir[] = "/tmp/stream_test.XXXXXX";
static char path[64], peer_path[72];
static uint8_t big[NETDEV_MAX_FRAME + 1], got[NETDEV_MAX_FRAME + 1];

static void setup(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/net", dir);
	snprintf(peer_path, sizeof(peer_path), "%s.peer", path);
	log_set_level(LOG_ERROR);
	ck_assert_int_eq(loop_init(&loop, &e), 0);
	a = b = (struct side){ 0 };
	far = -1;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 251);
}

static void teardown(void)
{
	if (a.n)
		side_close(&a);
	if (b.n)
		side_close(&b);
	if (far >= 0)
		close(far);
	loop_fini(&loop);
	unlink(path);
	unlink(peer_path);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* a over fd, owned. */
static void connect_side(int fd)
{
	struct stream *s = stream_new("test", NULL, NULL);

	ck_assert_ptr_nonnull(s);
	stream_connect(s, fd);
	a.n = &s->dev;
}

/* a on one end of a pair, far on the other. */
static void make_pair(void)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	far = fd[1];
	connect_side(fd[0]);
	side_attach(&a);
}

static void far_write(const void *bytes, size_t len)
{
	ck_assert_int_eq(send(far, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void far_frame(const void *frame, uint32_t len)
{
	uint32_t header = htobe32(len);

	far_write(&header, sizeof(header));
	far_write(frame, len);
}

static size_t far_read(void *bytes, size_t len)
{
	ssize_t n = recv(far, bytes, len, MSG_DONTWAIT);

	return n < 0 ? 0 : (size_t)n;
}

/* ---- framing ---- */

START_TEST(frame_is_sent_with_its_length_in_front)
{
	uint8_t bytes[16];

	make_pair();
	ck_assert_int_eq(side_send(&a, "frame", 5), 0);
	ck_assert_uint_eq(far_read(bytes, sizeof(bytes)), 0);
	side_flush(&a);
	ck_assert_uint_eq(far_read(bytes, sizeof(bytes)), 9);
	ck_assert_mem_eq(bytes, "\0\0\0\5frame", 9);
}
END_TEST

START_TEST(frames_are_cut_out_of_one_receive)
{
	make_pair();
	far_write("\0\0\0\3one\0\0\0\3two\0\0\0\5three", 4 + 3 + 4 + 3 + 4 + 5);
	run(0);
	ck_assert_uint_ge(a.ins, 1);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), 3);
	ck_assert_mem_eq(got, "one", 3);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), 3);
	ck_assert_mem_eq(got, "two", 3);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), 5);
	ck_assert_mem_eq(got, "three", 5);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), -EAGAIN);
}
END_TEST

START_TEST(frame_that_arrives_byte_by_byte_is_whole)
{
	static const char bytes[] = "\0\0\0\4abcd";

	make_pair();
	for (size_t i = 0; i < 8; i++) {
		ck_assert_int_eq(side_recv(&a, got, sizeof(got)), -EAGAIN);
		far_write(bytes + i, 1);
	}
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), 4);
	ck_assert_mem_eq(got, "abcd", 4);
}
END_TEST

START_TEST(frame_is_spread_over_segments_and_cut_at_their_end)
{
	struct iovec v[3] = { { got, 2 }, { got + 10, 0 }, { got + 20, 3 } };

	make_pair();
	far_frame("abcdefgh", 8);
	far_frame("next", 4);
	ck_assert_int_eq(a.n->ops->recv(a.n, 0, v, 3), 5);
	ck_assert_mem_eq(got, "ab", 2);
	ck_assert_mem_eq(got + 20, "cde", 3);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), 4);
	ck_assert_mem_eq(got, "next", 4);
}
END_TEST

START_TEST(largest_frame_passes_both_ways)
{
	uint8_t header[4];

	make_pair();
	far_frame(big, NETDEV_MAX_FRAME);
	ck_assert_int_eq(side_await(&a, got, sizeof(got)), NETDEV_MAX_FRAME);
	ck_assert_mem_eq(got, big, NETDEV_MAX_FRAME);
	ck_assert_int_eq(side_send(&a, big, NETDEV_MAX_FRAME), 0);
	side_flush(&a);
	memset(got, 0, sizeof(got));
	ck_assert_uint_eq(far_read(header, 4), 4);
	ck_assert_uint_eq(far_read(got, sizeof(got)), NETDEV_MAX_FRAME);
	ck_assert_mem_eq(got, big, NETDEV_MAX_FRAME);
}
END_TEST

START_TEST(frame_too_long_or_empty_is_not_sent)
{
	struct iovec v[2] = { { big, SIZE_MAX }, { big, SIZE_MAX } };

	make_pair();
	ck_assert_int_eq(side_send(&a, big, NETDEV_MAX_FRAME + 1), -EMSGSIZE);
	ck_assert_int_eq(side_send(&a, big, 0), -EMSGSIZE);
	ck_assert_int_eq(a.n->ops->send(a.n, 0, v, 2), -EMSGSIZE);
	side_flush(&a);
	ck_assert_uint_eq(far_read(got, sizeof(got)), 0);
}
END_TEST

START_TEST(many_sizes_in_order_survive_a_slow_reader)
{
	static const size_t sizes[] = { 60, 1514, 9014, 4096, 4097, 65549, 14, 30000 };
	size_t sent = 0, taken = 0, pos = 0, len = 0;
	static uint8_t in[1 << 20];

	make_pair();
	while (taken < 400) {
		size_t want = sizes[sent % ARRAY_SIZE(sizes)];

		if (sent < 400 && side_send(&a, big + sent % 3, want) == 0)
			sent++;
		else
			a.n->ops->want(a.n, 0, true, true);
		if (sent % 5 == 0)
			side_flush(&a);
		len += far_read(in + len, MIN(sizeof(in) - len, 7001 + sent)); /* uneven pieces */
		while (len - pos >= 4) {
			size_t frame = (size_t)in[pos + 1] << 16 | (size_t)in[pos + 2] << 8 | in[pos + 3];

			ck_assert_uint_eq(frame, sizes[taken % ARRAY_SIZE(sizes)]);
			if (len - pos - 4 < frame)
				break;
			ck_assert_mem_eq(in + pos + 4, big + taken % 3, frame);
			pos += 4 + frame;
			taken++;
		}
		memmove(in, in + pos, len - pos);
		len -= pos;
		pos = 0;
		if (sent == 400)
			side_flush(&a);
		run(0);
	}
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(a.downs, 0);
}
END_TEST

/* ---- room ---- */

START_TEST(full_socket_says_again_and_tells_when_there_is_room)
{
	unsigned int sent = 0;
	uint8_t room[70000];

	make_pair();
	while (side_send(&a, big, 1514) == 0 && sent < 100000)
		sent++;
	ck_assert_int_eq(side_send(&a, big, 1514), -EAGAIN);
	ck_assert_uint_lt(sent, 100000);
	a.n->ops->want(a.n, 0, true, true);
	run(0);
	ck_assert_uint_eq(a.outs, 0);
	for (int i = 0; i < 1000 && !a.outs; i++) {
		far_read(room, sizeof(room));
		run(0);
	}
	ck_assert_uint_ge(a.outs, 1);
	ck_assert_int_eq(side_send(&a, big, 1514), 0);
}
END_TEST

START_TEST(what_waits_goes_out_without_another_send)
{
	size_t total = 0, n;

	make_pair();
	for (int i = 0; i < 1000; i++)
		(void)side_send(&a, big, 1514);
	side_flush(&a);
	for (int idle = 0; idle < 3; idle += !n) {
		n = far_read(got, sizeof(got));
		total += n;
		run(0);
	}
	ck_assert_uint_gt(total, 192 * 1024);
	ck_assert_uint_eq(total % (1514 + 4), 0);
}
END_TEST

START_TEST(waiter_for_room_is_told_when_the_connection_ends)
{
	make_pair();
	while (side_send(&a, big, NETDEV_MAX_FRAME) == 0)
		;
	a.n->ops->want(a.n, 0, false, true);
	close(far);
	far = -1;
	run(50);
	ck_assert_uint_ge(a.outs, 1);
	ck_assert_int_eq(side_send(&a, big, 60), -ENOTCONN);
}
END_TEST

/* ---- the loop ---- */

START_TEST(frames_left_over_are_told_of_again)
{
	make_pair();
	far_write("\0\0\0\3one\0\0\0\3two", 14);
	run(0);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), 3);
	a.ins = 0;
	run(0);
	ck_assert_uint_ge(a.ins, 1);
}
END_TEST

START_TEST(frames_left_over_are_told_of_when_wanted_again)
{
	make_pair();
	far_write("\0\0\0\3one\0\0\0\3two", 14);
	a.n->ops->want(a.n, 0, false, false);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), 3);
	run(10);
	ck_assert_uint_eq(a.ins, 0);
	a.n->ops->want(a.n, 0, true, false);
	run(0);
	ck_assert_uint_ge(a.ins, 1);
}
END_TEST

START_TEST(frames_that_came_before_attaching_are_not_lost)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	far = fd[1];
	far_frame("early", 5);
	connect_side(fd[0]);
	side_attach(&a);
	ck_assert_int_eq(a.link, 1);
	ck_assert_int_eq(side_await(&a, got, sizeof(got)), 5);
	a.n->ops->detach(a.n, 0);
	far_frame("later", 5);
	side_attach(&a);
	ck_assert_int_eq(side_await(&a, got, sizeof(got)), 5);
	ck_assert_mem_eq(got, "later", 5);
}
END_TEST

START_TEST(end_while_no_frame_is_wanted_does_not_spin_and_loses_nothing)
{
	int events = 0;

	make_pair();
	a.n->ops->want(a.n, 0, false, false);
	far_frame("last", 4);
	close(far);
	far = -1;
	for (int i = 0; i < 10; i++)
		events += loop_run_once(&loop, 5);
	ck_assert_int_le(events, 1);
	a.n->ops->want(a.n, 0, true, false);
	ck_assert_int_eq(side_await(&a, got, sizeof(got)), 4);
	ck_assert_int_eq(side_await(&a, got, sizeof(got)), -ENOTCONN);
	ck_assert_int_eq(a.link, 0);
}
END_TEST

/* ---- nonsense ---- */

START_TEST(impossible_length_closes_the_connection)
{
	static const char *const headers[] = { "\0\0\0\0", "\xff\xff\xff\xff", "\0\1\0\x12", "\x7f\0\0\1" };

	make_pair();
	far_frame("fine", 4);
	far_write(headers[_i], 4);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), 4);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), -ENOTCONN);
	ck_assert_int_eq(a.link, 0);
	ck_assert_int_eq(recv(far, got, 1, 0), 0);
	ck_assert_int_eq(side_send(&a, big, 60), -ENOTCONN);
	side_flush(&a);
	run(0);
}
END_TEST

START_TEST(end_in_the_middle_of_a_frame_takes_the_link_down)
{
	make_pair();
	far_write("\0\0\0\10half", 8);
	close(far);
	far = -1;
	run(0);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), -EAGAIN);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), -ENOTCONN);
	ck_assert_int_eq(a.link, 0);
	ck_assert_uint_eq(a.downs, 1);
}
END_TEST

/* ---- two find each other ---- */

static void open_side(struct side *s, bool datagram)
{
	ck_assert_msg(netdev_socket_open(&s->n, path, datagram, &e) == 0, "%s", e.text);
	side_attach(s);
}

static void exchange(struct side *from, struct side *to)
{
	ck_assert_int_eq(side_send(from, "hello", 5), 0);
	side_flush(from);
	ck_assert_int_eq(side_await(to, got, sizeof(got)), 5);
	ck_assert_mem_eq(got, "hello", 5);
}

START_TEST(two_at_one_path_are_connected)
{
	open_side(&a, false);
	ck_assert_int_eq(a.link, 0);
	ck_assert_int_eq(side_send(&a, big, 60), -ENOTCONN);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), -EAGAIN);
	open_side(&b, false);
	await_link(&a, true);
	await_link(&b, true);
	exchange(&a, &b);
	exchange(&b, &a);
}
END_TEST

START_TEST(listener_takes_the_next_after_one_has_gone)
{
	open_side(&a, false);
	for (int i = 0; i < 3; i++) {
		open_side(&b, false);
		await_link(&a, true);
		exchange(&a, &b);
		side_close(&b);
		run(10);
		ck_assert_int_eq(side_recv(&a, got, sizeof(got)), -EAGAIN);
		ck_assert_int_eq(a.link, 0);
	}
}
END_TEST

START_TEST(the_second_becomes_the_listener_when_the_first_has_gone)
{
	struct stat st;

	open_side(&a, false);
	open_side(&b, false);
	await_link(&a, true);
	side_close(&a);
	ck_assert_int_eq(lstat(path, &st), -1);
	run(10);
	ck_assert_int_eq(side_recv(&b, got, sizeof(got)), -EAGAIN);
	ck_assert_int_eq(b.link, 0);
	for (int i = 0; i < 100 && lstat(path, &st) < 0; i++)
		run(10);
	open_side(&a, false);
	await_link(&b, true);
	exchange(&a, &b);
	exchange(&b, &a);
}
END_TEST

START_TEST(third_is_turned_away_and_the_pair_is_not_disturbed)
{
	struct side third = { 0 };

	open_side(&a, false);
	open_side(&b, false);
	await_link(&a, true);
	open_side(&third, false);
	run(20);
	(void)side_recv(&third, got, sizeof(got));
	ck_assert_int_eq(third.link, 0);
	exchange(&a, &b);
	exchange(&b, &a);
	ck_assert_uint_eq(a.downs, 1); /* before b came */
	side_close(&third);
}
END_TEST

START_TEST(nonsense_from_the_other_side_makes_room_for_the_next)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	open_side(&a, false);
	strcpy(addr.sun_path, path);
	far = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(far, (struct sockaddr *)&addr, sizeof(addr)), 0);
	await_link(&a, true);
	far_write("\xff\xff\xff\xff", 4);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), -EAGAIN);
	ck_assert_int_eq(a.link, 0);
	open_side(&b, false);
	await_link(&a, true);
	exchange(&b, &a);
}
END_TEST

/* A socket file of this type that nobody has open. */
static void leave_stale(int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	strcpy(addr.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
}

START_TEST(stale_socket_is_replaced)
{
	leave_stale(SOCK_STREAM);
	open_side(&a, false);
	open_side(&b, false);
	await_link(&a, true);
	exchange(&a, &b);
}
END_TEST

START_TEST(file_that_is_no_socket_is_left_alone)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	struct stat st;

	close(fd);
	ck_assert_int_eq(netdev_socket_open(&a.n, path, _i, &e), -ENOTSOCK);
	ck_assert_ptr_nonnull(strstr(e.text, "is no socket"));
	ck_assert_int_eq(lstat(path, &st), 0);
}
END_TEST

START_TEST(socket_of_the_other_kind_is_refused)
{
	open_side(&a, _i);
	ck_assert_int_eq(netdev_socket_open(&b.n, path, !_i, &e), -EPROTOTYPE);
	ck_assert_ptr_nonnull(strstr(e.text, "datagram"));
}
END_TEST

START_TEST(bad_paths_are_refused_with_a_sentence)
{
	char text[200];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(netdev_socket_open(&a.n, text, _i, &e), -ENAMETOOLONG);
	ck_assert_ptr_nonnull(strstr(e.text, "longer than the 107 bytes"));
	ck_assert_int_eq(netdev_socket_open(&a.n, "", _i, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "expected the path"));
	ck_assert_int_eq(netdev_socket_open(&a.n, "/tmp/no/such/dir/x", _i, &e), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "/tmp/no/such/dir/x"));
}
END_TEST

START_TEST(directory_locked_by_another_is_waited_for)
{
	int lock = open(dir, O_RDONLY | O_DIRECTORY);

	ck_assert_int_eq(flock(lock, LOCK_EX), 0);
	if (fork() == 0) {
		usleep(50000);
		_exit(0); /* the lock belongs to the open file, which goes with its last descriptor */
	}
	close(lock);
	open_side(&a, false);
}
END_TEST

/* ---- datagrams ---- */

START_TEST(datagrams_join_two)
{
	struct stat st;

	open_side(&a, true);
	ck_assert_int_eq(a.link, -1);
	ck_assert_int_eq(side_send(&a, big, 60), -ENOTCONN);
	open_side(&b, true);
	exchange(&a, &b);
	exchange(&b, &a);
	ck_assert_int_eq(lstat(peer_path, &st), 0);
	ck_assert_int_eq(netdev_socket_open(&(struct netdev *){ NULL }, path, true, &e), -EADDRINUSE);
	side_close(&b);
	ck_assert_int_eq(lstat(peer_path, &st), -1);
	ck_assert_int_eq(side_send(&a, big, 60), -ENOTCONN);
	ck_assert_int_eq(side_recv(&a, got, sizeof(got)), -EAGAIN);
	open_side(&b, true);
	exchange(&b, &a);
	exchange(&a, &b);
}
END_TEST

START_TEST(datagram_is_cut_and_the_next_is_whole)
{
	open_side(&a, true);
	open_side(&b, true);
	ck_assert_int_eq(side_send(&a, big, NETDEV_MAX_FRAME), 0);
	ck_assert_int_eq(side_send(&a, big, NETDEV_MAX_FRAME + 1), -EMSGSIZE);
	ck_assert_int_eq(side_send(&a, "next", 4), 0);
	ck_assert_int_eq(side_await(&b, got, 100), 100);
	ck_assert_int_eq(side_await(&b, got, sizeof(got)), 4);
}
END_TEST

START_TEST(full_datagram_socket_says_again_and_tells_when_there_is_room)
{
	unsigned int sent = 0;

	open_side(&a, true);
	open_side(&b, true);
	while (side_send(&a, big, 1514) == 0 && sent < 100000)
		sent++;
	ck_assert_int_eq(side_send(&a, big, 1514), -EAGAIN);
	a.n->ops->want(a.n, 0, true, true);
	run(10);
	ck_assert_uint_eq(a.outs, 0);
	for (unsigned int i = 0; i < sent; i++)
		ck_assert_int_eq(side_recv(&b, got, sizeof(got)), 1514);
	run(10);
	ck_assert_uint_ge(a.outs, 1);
}
END_TEST

START_TEST(stale_datagram_socket_is_replaced)
{
	leave_stale(SOCK_DGRAM);
	open_side(&a, true);
	open_side(&b, true);
	exchange(&b, &a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stream");
	TCase *t = tcase_create("stream");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, frame_is_sent_with_its_length_in_front);
	tcase_add_test(t, frames_are_cut_out_of_one_receive);
	tcase_add_test(t, frame_that_arrives_byte_by_byte_is_whole);
	tcase_add_test(t, frame_is_spread_over_segments_and_cut_at_their_end);
	tcase_add_test(t, largest_frame_passes_both_ways);
	tcase_add_test(t, frame_too_long_or_empty_is_not_sent);
	tcase_add_test(t, many_sizes_in_order_survive_a_slow_reader);
	tcase_add_test(t, full_socket_says_again_and_tells_when_there_is_room);
	tcase_add_test(t, what_waits_goes_out_without_another_send);
	tcase_add_test(t, waiter_for_room_is_told_when_the_connection_ends);
	tcase_add_test(t, frames_left_over_are_told_of_again);
	tcase_add_test(t, frames_left_over_are_told_of_when_wanted_again);
	tcase_add_test(t, frames_that_came_before_attaching_are_not_lost);
	tcase_add_test(t, end_while_no_frame_is_wanted_does_not_spin_and_loses_nothing);
	tcase_add_loop_test(t, impossible_length_closes_the_connection, 0, 4);
	tcase_add_test(t, end_in_the_middle_of_a_frame_takes_the_link_down);
	tcase_add_test(t, two_at_one_path_are_connected);
	tcase_add_test(t, listener_takes_the_next_after_one_has_gone);
	tcase_add_test(t, the_second_becomes_the_listener_when_the_first_has_gone);
	tcase_add_test(t, third_is_turned_away_and_the_pair_is_not_disturbed);
	tcase_add_test(t, nonsense_from_the_other_side_makes_room_for_the_next);
	tcase_add_test(t, stale_socket_is_replaced);
	tcase_add_loop_test(t, file_that_is_no_socket_is_left_alone, 0, 2);
	tcase_add_loop_test(t, socket_of_the_other_kind_is_refused, 0, 2);
	tcase_add_loop_test(t, bad_paths_are_refused_with_a_sentence, 0, 2);
	tcase_add_test(t, directory_locked_by_another_is_waited_for);
	tcase_add_test(t, datagrams_join_two);
	tcase_add_test(t, datagram_is_cut_and_the_next_is_whole);
	tcase_add_test(t, full_datagram_socket_says_again_and_tells_when_there_is_room);
	tcase_add_test(t, stale_datagram_socket_is_replaced);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
