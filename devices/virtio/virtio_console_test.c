/*
 * The console with a driver on one side and sockets on the other, on one loop that the tests run. Whether
 * Linux finds its ports is for a Linux guest to show.
 */
#include "devices/virtio/virtio_console.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/chardev.h"
#include "devices/virtio/test_driver.h"

enum { RAM = 16 << 20, BUF = 4096, CONTROL_RX = 2, CONTROL_TX = 3, AGENT_RX = 4, AGENT_TX = 5, NR_PORTS = 2 };

#define MULTIPORT VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT)
#define AGENT     "org.qemu.guest_agent.0"

static struct test_driver td;
static struct iothread thread;
static struct virtio_console *console;
static struct chardev chr[NR_PORTS]; /* a console, and the agent's port */
static struct virtio_console_port port[NR_PORTS];
static char dir[] = "/tmp/virtio_console_test.XXXXXX";
static char path[NR_PORTS][64];
static uint64_t out_buf, big; /* in guest memory: a page, 2 MiB */

static void setup(void)
{
	struct err e = { 0 };

	signal(SIGPIPE, SIG_IGN);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	td_init(&td, RAM);
	ck_assert_int_eq(iothread_init(&thread, "console", NULL), 0);
	for (unsigned int i = 0; i < NR_PORTS; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%u", dir, i);
		ck_assert_msg(chardev_init(&chr[i], CHARDEV_UNIX, path[i], "port", &thread.loop, NULL, &e) ==
				      0,
			      "%s", e.text);
		port[i] = (struct virtio_console_port){ .chr = &chr[i], .name = i ? AGENT : NULL };
	}
	ck_assert_int_eq(virtio_console_new(&console, "console0", &thread, port, NR_PORTS, &td.mem, &e), 0);
	out_buf = td_alloc(&td, BUF, BUF);
	big = td_alloc(&td, 2 * MIB, BUF);
}

static void teardown(void)
{
	ck_assert(!td.failed);
	td_stop(&td);
	virtio_console_free(console);
	for (unsigned int i = 0; i < NR_PORTS; i++)
		chardev_fini(&chr[i]);
	iothread_fini(&thread);
	td_fini(&td);
	rmdir(dir);
}

/* Let the chardevs' timers and the sockets do what they do within a few milliseconds. */
static void run_ms(unsigned int ms)
{
	for (uint64_t end = clock_now_ns() + ms * 1000000ull; clock_now_ns() < end;)
		ck_assert_int_ge(loop_run_once(&thread.loop, 1), 0);
}

static int client(unsigned int nr)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, path[nr], sizeof(path[nr]));
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	run_ms(5);
	return fd;
}

static const char *got(int fd)
{
	static char text[1 << 16];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[MAX(n, 0)] = 0;
	return text;
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	run_ms(5);
}

static void begin(uint64_t features)
{
	ck_assert(td_start(&td, virtio_console_dev(console), features, 64));
	td_run(&td);
}

/* Give a buffer to fill; returns where it is. */
static uint64_t give(unsigned int q, uint32_t len)
{
	uint64_t gpa = td_alloc(&td, BUF, 16);
	struct td_seg seg = { gpa, len, true };

	ck_assert_int_ge(td_add(&td, q, &seg, 1), 0);
	td_kick(&td, q);
	td_run(&td);
	return gpa;
}

/* The guest prints. Returns whether the buffer came back. */
static bool print(unsigned int q, const char *text)
{
	struct td_seg seg = { out_buf, (uint32_t)strlen(text), false };
	struct td_used used;

	memcpy(td_ptr(&td, out_buf), text, strlen(text));
	ck_assert_int_ge(td_add(&td, q, &seg, 1), 0);
	td_kick(&td, q);
	td_run(&td);
	return td_poll(&td, q, &used);
}

static void control(uint32_t id, uint16_t event, uint16_t value)
{
	uint64_t gpa = td_alloc(&td, 8, 16);
	struct td_seg seg = { gpa, 8, false };
	uint8_t *p = td_ptr(&td, gpa);

	put_le32(p, id);
	put_le16(p + 4, event);
	put_le16(p + 6, value);
	ck_assert_int_eq(td_do(&td, CONTROL_TX, &seg, 1), 0);
}

static uint64_t control_buf; /* with the device; 0: none is */

static const char *event_text(const uint8_t *msg)
{
	switch (get_le16(msg + 4)) {
	case VIRTIO_CONSOLE_PORT_ADD:
		return "+";
	case VIRTIO_CONSOLE_CONSOLE_PORT:
		return "C";
	case VIRTIO_CONSOLE_PORT_NAME:
		return "=";
	case VIRTIO_CONSOLE_PORT_OPEN:
		return get_le16(msg + 6) ? "^" : "v";
	default:
		return "?";
	}
}

/*
 * Everything the device says on the control queue until it has no more, as a string: "0+ 0C 1=name 1^ 1v " for
 * ports that are added, a console, named, opened, closed. The device has one buffer at a time.
 */
static const char *told(void)
{
	static char text[1024];
	struct td_used used;
	size_t at = 0;

	text[0] = 0;
	for (;;) {
		const uint8_t *p;

		if (!control_buf)
			control_buf = give(CONTROL_RX, BUF);
		if (!td_poll(&td, CONTROL_RX, &used))
			return text;
		p = td_ptr(&td, control_buf);
		control_buf = 0;
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%u%s%.*s ", get_le32(p), event_text(p),
				       (int)used.len - 8, p + 8);
	}
}

/* A driver with both ports up, and the agent's open. */
static void begin_ports(void)
{
	begin(MULTIPORT);
	control(UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

/* ---- control ---- */

START_TEST(ports_are_added_named_and_opened)
{
	begin(MULTIPORT);
	ck_assert_str_eq(told(), "");
	control(UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
	ck_assert_str_eq(told(), "0+ 1+ ");
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	ck_assert_str_eq(told(), "0C 0^ 1=" AGENT " ");
}
END_TEST

START_TEST(news_wait_for_buffers_and_none_is_lost)
{
	int fd;

	begin_ports();
	for (unsigned int i = 0; i < 50; i++) {
		fd = client(1);
		close(fd);
		run_ms(2);
	}
	fd = client(1);
	ck_assert_str_eq(told(), "0+ 0C 0^ 1+ 1=" AGENT " 1v 1^ ");
	close(fd);
}
END_TEST

START_TEST(buffer_that_is_too_small_loses_no_message)
{
	struct td_used used;

	begin_ports();
	give(CONTROL_RX, 7);
	ck_assert(td_poll(&td, CONTROL_RX, &used));
	ck_assert_uint_eq(used.len, 0);
	ck_assert_str_eq(told(), "0+ 0C 0^ 1+ 1=" AGENT " ");
}
END_TEST

START_TEST(agent_hears_of_clients_that_come_and_go)
{
	int fd;

	begin_ports();
	told();
	fd = client(1);
	ck_assert_str_eq(told(), "1^ ");
	close(fd);
	run_ms(5);
	ck_assert_str_eq(told(), "1v ");
}
END_TEST

static const struct {
	uint32_t id;
	uint16_t event, value;
} nonsense[] = {
	{ 2, VIRTIO_CONSOLE_PORT_READY, 1 }, { UINT32_MAX, VIRTIO_CONSOLE_PORT_READY, 1 },
	{ 31, VIRTIO_CONSOLE_PORT_OPEN, 1 }, { 0x80000000, VIRTIO_CONSOLE_PORT_OPEN, 1 },
	{ 0, VIRTIO_CONSOLE_PORT_READY, 0 }, { 0, VIRTIO_CONSOLE_DEVICE_READY, 0 },
	{ 0, VIRTIO_CONSOLE_PORT_ADD, 1 },   { 0, VIRTIO_CONSOLE_PORT_NAME, 1 },
	{ 0, VIRTIO_CONSOLE_RESIZE, 1 },     { 0, 0xffff, 0xffff },
};

START_TEST(control_message_that_means_nothing_is_ignored)
{
	begin(MULTIPORT);
	control(nonsense[_i].id, nonsense[_i].event, nonsense[_i].value);
	ck_assert_str_eq(told(), "");
	ck_assert(!atomic_load(&virtio_console_dev(console)->needs_reset));
}
END_TEST

static const struct td_seg odd_control[] = {
	{ 0x1000, 7, false },  { 0x1000, 8, true },   { 0xf0000000, 8, false },
	{ RAM - 4, 8, false }, { 0x1000, 64, false },
};

START_TEST(odd_control_buffer_comes_back)
{
	begin(MULTIPORT);
	ck_assert_int_eq(td_do(&td, CONTROL_TX, &odd_control[_i], 1), 0);
	control(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	ck_assert_ptr_nonnull(strstr(told(), "1+"));
}
END_TEST

START_TEST(reset_forgets_what_was_to_be_told)
{
	begin_ports();
	td_stop(&td);
	begin(MULTIPORT);
	ck_assert_str_eq(told(), "");
}
END_TEST

/* ---- output ---- */

START_TEST(output_reaches_the_client_of_its_port)
{
	int fd[2];

	begin_ports();
	fd[0] = client(0);
	fd[1] = client(1);
	ck_assert(print(1, "login: "));
	ck_assert(print(AGENT_TX, "{}"));
	run_ms(10);
	ck_assert_str_eq(got(fd[0]), "login: ");
	ck_assert_str_eq(got(fd[1]), "{}");
}
END_TEST

START_TEST(driver_without_multiport_has_port_0)
{
	struct td_used used;
	uint64_t gpa;
	int fd;

	begin(0);
	fd = client(0);
	ck_assert(print(1, "hello"));
	run_ms(10);
	ck_assert_str_eq(got(fd), "hello");
	gpa = give(0, 100);
	say(fd, "yes");
	ck_assert(td_wait(&td, 0, &used));
	ck_assert_uint_eq(used.len, 3);
	ck_assert_mem_eq(td_ptr(&td, gpa), "yes", 3);
}
END_TEST

START_TEST(output_without_a_client_is_thrown_away)
{
	int fd;

	begin_ports();
	ck_assert(print(AGENT_TX, "for nobody"));
	ck_assert(print(1, "for nobody"));
	fd = client(1);
	ck_assert(print(AGENT_TX, "for you"));
	run_ms(10);
	ck_assert_str_eq(got(fd), "for you");
}
END_TEST

static const struct td_seg odd_output[] = {
	{ 0x1000, 4, true },      { 0xf0000000, 8, false }, { RAM - 4, 8, false },
	{ UINT64_MAX, 2, false }, { 0x1000, 0, false },
};

START_TEST(odd_output_buffer_comes_back_and_the_next_is_served)
{
	int fd;

	begin_ports();
	fd = client(1);
	ck_assert_int_eq(td_do(&td, AGENT_TX, &odd_output[_i], 1), 0);
	ck_assert(print(AGENT_TX, "next"));
	run_ms(10);
	ck_assert_str_eq(got(fd), "next");
}
END_TEST

static void fill_big(void)
{
	uint8_t *p = td_ptr(&td, big);

	for (unsigned int i = 0; i < 2 * MIB; i++)
		p[i] = (uint8_t)(i % 251);
}

/* Read until nothing more comes; how many bytes did, and are all in their place? */
static size_t read_all(int fd, size_t at)
{
	static uint8_t bytes[1 << 16];
	unsigned int idle = 0;

	while (idle < 20) {
		ssize_t n = read(fd, bytes, sizeof(bytes));

		idle = n > 0 ? 0 : idle + 1;
		for (ssize_t i = 0; i < n; i++)
			ck_assert_uint_eq(bytes[i], (at + (size_t)i) % 251);
		at += (size_t)MAX(n, 0);
		run_ms(1);
	}
	return at;
}

START_TEST(long_output_waits_for_the_reader_and_arrives_whole)
{
	struct td_seg seg[] = { { big, 1000, false }, { big + 1000, 2 * MIB - 1000, false } };
	struct td_used used;
	int fd;

	begin_ports();
	fill_big();
	fd = client(1);
	td_add(&td, AGENT_TX, seg, 2);
	td_kick(&td, AGENT_TX);
	run_ms(20);
	ck_assert(!td_poll(&td, AGENT_TX, &used));
	ck_assert_uint_eq(read_all(fd, 0), 2 * MIB);
	ck_assert(td_poll(&td, AGENT_TX, &used));
	close(fd);
}
END_TEST

START_TEST(client_that_leaves_frees_the_guest)
{
	struct td_seg seg = { big, 2 * MIB, false };
	struct td_used used;
	int fd;

	begin_ports();
	fd = client(1);
	td_add(&td, AGENT_TX, &seg, 1);
	td_kick(&td, AGENT_TX);
	run_ms(20);
	ck_assert(!td_poll(&td, AGENT_TX, &used));
	close(fd);
	ck_assert(td_wait(&td, AGENT_TX, &used));
	fd = client(1);
	run_ms(10);
	ck_assert_str_eq(got(fd), "");
	close(fd);
}
END_TEST

/* Stopped in the midst of a buffer, saved, loaded: the rest goes out, and nothing twice. */
START_TEST(output_goes_on_where_it_stopped)
{
	struct td_seg seg = { big, 2 * MIB, false };
	struct virtio_dev *d = virtio_console_dev(console);
	struct buf buf = { 0 };
	struct state_reader r;
	struct td_used used;
	int fd;

	begin_ports();
	fill_big();
	fd = client(1);
	td_add(&td, AGENT_TX, &seg, 1);
	td_kick(&td, AGENT_TX);
	run_ms(20);
	virtio_stop(d);
	virtio_save(d, &buf);
	r = (struct state_reader){ .data = buf.data, .len = buf.len, .version = 1 };
	ck_assert_int_eq(virtio_load(d, &r, NULL), 0);
	ck_assert_uint_eq(read_all(fd, 0), 2 * MIB);
	ck_assert(td_poll(&td, AGENT_TX, &used));
	ck_assert_str_eq(told(), "0+ 0C 0^ 1+ 1=" AGENT " 1v 1^ ");
	buf_fini(&buf);
	close(fd);
}
END_TEST

START_TEST(saved_state_that_is_cut_is_refused)
{
	struct virtio_dev *d = virtio_console_dev(console);
	struct buf buf = { 0 };
	struct state_reader r;
	struct err e = { 0 };

	begin_ports();
	virtio_stop(d);
	virtio_save(d, &buf);
	r = (struct state_reader){ .data = buf.data, .len = buf.len - 1, .version = 1 };
	ck_assert_int_eq(virtio_load(d, &r, &e), -EINVAL);
	ck_assert_str_ne(e.text, "");
	buf_fini(&buf);
}
END_TEST

/* ---- input ---- */

START_TEST(input_waits_until_the_guest_opens_the_port)
{
	struct td_used used;
	uint64_t gpa;
	int fd;

	begin(MULTIPORT);
	control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	gpa = give(AGENT_RX, 100);
	fd = client(1);
	say(fd, "guest-ping");
	ck_assert(!td_poll(&td, AGENT_RX, &used));
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	ck_assert(td_wait(&td, AGENT_RX, &used));
	ck_assert_uint_eq(used.len, 10);
	ck_assert_mem_eq(td_ptr(&td, gpa), "guest-ping", 10);
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	give(AGENT_RX, 100);
	say(fd, "again");
	ck_assert(!td_poll(&td, AGENT_RX, &used));
}
END_TEST

START_TEST(input_of_a_client_that_left_arrives)
{
	struct td_used used;
	int fd;

	begin_ports();
	fd = client(1);
	say(fd, "shutdown");
	close(fd);
	run_ms(5);
	give(AGENT_RX, 100);
	ck_assert(td_poll(&td, AGENT_RX, &used));
	ck_assert_uint_eq(used.len, 8);
}
END_TEST

START_TEST(input_is_cut_to_the_buffers_and_kept_in_order)
{
	struct td_used used;
	const char *text = "0123456789";
	int fd;

	begin_ports();
	fd = client(0);
	say(fd, text);
	for (unsigned int i = 0; i < 5; i++) {
		uint64_t gpa = give(0, 2);

		ck_assert(td_poll(&td, 0, &used));
		ck_assert_uint_eq(used.len, 2);
		ck_assert_mem_eq(td_ptr(&td, gpa), text + 2 * i, 2);
	}
	give(0, 2);
	ck_assert(!td_poll(&td, 0, &used));
}
END_TEST

static const struct td_seg odd_input[] = {
	{ 0x1000, 4, false },
	{ 0xf0000000, 8, true },
	{ RAM - 4, 8, true },
	{ 0x1000, 0, true },
};

START_TEST(odd_input_buffer_comes_back_empty_and_no_byte_is_lost)
{
	struct td_used used;
	int fd;

	begin_ports();
	td_add(&td, 0, &odd_input[_i], 1);
	td_kick(&td, 0);
	td_run(&td);
	ck_assert(td_poll(&td, 0, &used));
	ck_assert_uint_eq(used.len, 0);
	fd = client(0);
	say(fd, "abc");
	give(0, 10);
	ck_assert(td_poll(&td, 0, &used));
	ck_assert_uint_eq(used.len, 3);
}
END_TEST

/* ---- configuration ---- */

START_TEST(configuration_says_how_many_ports_there_are)
{
	uint8_t config[12];

	virtio_config_read(virtio_console_dev(console), 0, config, 4);
	virtio_config_read(virtio_console_dev(console), 4, config + 4, 8);
	ck_assert_uint_eq(get_le32(config + 4), NR_PORTS);
	ck_assert_uint_eq(virtio_console_dev(console)->nr_queues, 2 * NR_PORTS + 2);
	ck_assert_uint_eq(virtio_console_dev(console)->features & VIRTIO_BIT(VIRTIO_CONSOLE_F_SIZE), 0);
}
END_TEST

START_TEST(emergency_write_prints_one_character_before_any_queue_exists)
{
	uint8_t text[4] = { '!', 'x', 'x', 'x' };
	int fd = client(0);

	virtio_config_write(virtio_console_dev(console), 8, text, 4);
	virtio_config_write(virtio_console_dev(console), 4, text, 4);
	virtio_config_write(virtio_console_dev(console), 9, text, 2);
	virtio_config_write(virtio_console_dev(console), 200, text, 4);
	run_ms(10);
	ck_assert_str_eq(got(fd), "!");
	close(fd);
}
END_TEST

static const struct {
	unsigned int nr;
	const char *first, *second, *says;
} bad_ports[] = {
	{ 0, NULL, NULL, "1 to 31 ports" },
	{ 32, NULL, NULL, "1 to 31 ports" },
	{ 2, "a", "a", "two ports are called a" },
	{ 1, "", NULL, "1 to 255 bytes" },
};

START_TEST(impossible_ports_are_refused)
{
	struct virtio_console_port some[32] = { { &chr[0], bad_ports[_i].first },
						{ &chr[1], bad_ports[_i].second } };
	struct virtio_console *other;
	struct err e = { 0 };

	ck_assert_int_eq(virtio_console_new(&other, "console1", &thread, some, bad_ports[_i].nr, &td.mem, &e),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, bad_ports[_i].says));
	ck_assert_ptr_null(other);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, ports_are_added_named_and_opened);
	tcase_add_test(t, news_wait_for_buffers_and_none_is_lost);
	tcase_add_test(t, buffer_that_is_too_small_loses_no_message);
	tcase_add_test(t, agent_hears_of_clients_that_come_and_go);
	tcase_add_loop_test(t, control_message_that_means_nothing_is_ignored, 0, ARRAY_SIZE(nonsense));
	tcase_add_loop_test(t, odd_control_buffer_comes_back, 0, ARRAY_SIZE(odd_control));
	tcase_add_test(t, reset_forgets_what_was_to_be_told);
	tcase_add_test(t, output_reaches_the_client_of_its_port);
	tcase_add_test(t, driver_without_multiport_has_port_0);
	tcase_add_test(t, output_without_a_client_is_thrown_away);
	tcase_add_loop_test(t, odd_output_buffer_comes_back_and_the_next_is_served, 0,
			    ARRAY_SIZE(odd_output));
	tcase_add_test(t, long_output_waits_for_the_reader_and_arrives_whole);
	tcase_add_test(t, client_that_leaves_frees_the_guest);
	tcase_add_test(t, output_goes_on_where_it_stopped);
	tcase_add_test(t, saved_state_that_is_cut_is_refused);
	tcase_add_test(t, input_waits_until_the_guest_opens_the_port);
	tcase_add_test(t, input_of_a_client_that_left_arrives);
	tcase_add_test(t, input_is_cut_to_the_buffers_and_kept_in_order);
	tcase_add_loop_test(t, odd_input_buffer_comes_back_empty_and_no_byte_is_lost, 0,
			    ARRAY_SIZE(odd_input));
	tcase_add_test(t, configuration_says_how_many_ports_there_are);
	tcase_add_test(t, emergency_write_prints_one_character_before_any_queue_exists);
	tcase_add_loop_test(t, impossible_ports_are_refused, 0, ARRAY_SIZE(bad_ports));
}

int main(void)
{
	Suite *suite = suite_create("virtio_console");
	TCase *t = tcase_create("virtio_console");
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
