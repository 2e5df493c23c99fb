/*
 * Unit tests of file= in memory_backing.c: which files are taken, and what is left of them. Whether a full disk is told in
 * time is shown with a limit of this process, as filling a disk takes root.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/memory_internal.h"
#include "vmm/memory_rig.h"

static struct memory mem, other;
static struct memory_options o, o2;
static struct topo_node node[1];
static struct topology t;
static struct err e;
static char dir[64], path[96];

static void setup(void)
{
	memset(&mem, 0, sizeof(mem));
	memset(&other, 0, sizeof(other));
	memset(&e, 0, sizeof(e));
	memset(node, 0, sizeof(node));
	t = (struct topology){ .node = node };
	memory_options_init(&o);
	memory_options_init(&o2);
	snprintf(dir, sizeof(dir), "/tmp/trellis-backing-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/ram", dir);
}

static void teardown(void)
{
	char cmd[96];

	memory_fini(&mem);
	memory_fini(&other);
	memory_options_fini(&o);
	memory_options_fini(&o2);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static void open_ram(uint64_t bytes)
{
	ck_assert_msg(memory_open(&mem, &o, bytes, &t, &e) == 0, "%s", e.text);
}

static void expect_refused(uint64_t bytes, int want, const char *text)
{
	int rc = memory_open(&mem, &o, bytes, &t, &e);

	ck_assert_msg(rc == want, "%d: %s", rc, e.text);
	ck_assert_msg(strstr(e.text, text) != NULL, "%s", e.text);
	ck_assert_ptr_null(mem.backing.hva);
}

static void file_option(void)
{
	o.file = strdup(path);
	o2.file = strdup(path);
}

static struct stat file_stat(void)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st;
}

/* A file of that many bytes, the first of which is 'f'. */
static void make_file(off_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, bytes), 0);
	ck_assert_int_eq(pwrite(fd, "f", bytes != 0, 0), bytes != 0);
	close(fd);
}

START_TEST(new_file_stays_when_the_machine_starts)
{
	file_option();
	open_ram(4 * MIB + 4096);
	ck_assert_int_eq(gmem_write(&mem.gmem, 4 * MIB, "x", 1), 0);
	memory_keep(&mem);
	memory_fini(&mem);
	ck_assert_int_eq(file_stat().st_size, 4 * MIB + 4096);
	ck_assert_uint_eq(file_stat().st_mode & 07777, 0600);
	ck_assert_int_ge(file_stat().st_blocks,
			 (4 * (int)MIB + 4096) / 512); /* no holes: no SIGBUS when the disk is full */

	open_ram(4 * MIB + 4096);
	ck_assert_mem_eq(gmem_hva(&mem.gmem, 4 * MIB, 1), "x", 1);
	ck_assert_uint_eq((uintptr_t)mem.backing.hva % (2 * MIB), 0);
}
END_TEST

/* Not on a tmpfs, whose blocks are the host's memory. */
static bool blocks_can_be_zeroed(void)
{
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600);
	bool can = fd >= 0 && fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096) == 0;

	close(fd);
	return can;
}

START_TEST(balloon_takes_the_pages_of_a_file_and_leaves_its_blocks)
{
	unsigned char there;
	blkcnt_t full;

	if (!blocks_can_be_zeroed())
		return;
	file_option();
	open_ram(4 * MIB);
	full = file_stat().st_blocks;
	ck_assert_int_eq(gmem_write(&mem.gmem, MIB, "x", 1), 0);
	ck_assert_int_eq(gmem_discard(&mem.gmem, 0, 2 * MIB), 2 * (int)MIB);
	ck_assert_int_eq(mincore(mem.backing.hva + MIB, 4096, &there), 0);
	ck_assert_int_eq(there & 1, 0);
	ck_assert_int_ge(file_stat().st_blocks, full);
	ck_assert_mem_eq(gmem_hva(&mem.gmem, MIB, 1), "", 1);
}
END_TEST

START_TEST(new_file_goes_when_the_machine_does_not_start)
{
	file_option();
	open_ram(2 * MIB);
	memory_fini(&mem);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(new_file_goes_when_something_fails_later)
{
	sigset_t set;

	file_option();
	o.prealloc = MEMORY_ON;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGTERM);
	expect_refused(4 * MIB, -EINTR, "a signal ended trellis");
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(file_of_the_right_size_stays_as_it_is)
{
	file_option();
	make_file(4 * MIB);
	open_ram(4 * MIB);
	ck_assert_mem_eq(mem.backing.hva, "f", 1);
	memory_fini(&mem);
	ck_assert_int_eq(file_stat().st_size, 4 * MIB);
	ck_assert_uint_eq(file_stat().st_mode & 07777, 0644);
}
END_TEST

START_TEST(file_of_another_size_is_refused_and_left)
{
	off_t bytes = _i ? 8 * (off_t)MIB : 1;

	file_option();
	make_file(bytes);
	expect_refused(4 * MIB, -EINVAL,
		       _i ? "the file has 8M and RAM has 4M" : "the file has 1 bytes and RAM has 4M");
	ck_assert_int_eq(file_stat().st_size, bytes);
}
END_TEST

START_TEST(empty_file_counts_as_new)
{
	file_option();
	make_file(0);
	open_ram(4 * MIB);
	ck_assert_int_eq(file_stat().st_size, 4 * MIB);
	if (_i)
		memory_keep(&mem);
	memory_fini(&mem);
	ck_assert_int_eq(file_stat().st_size, _i ? 4 * (int)MIB : 0);
}
END_TEST

START_TEST(two_guests_cannot_have_one_file)
{
	file_option();
	open_ram(4 * MIB);
	ck_assert_int_eq(memory_open(&other, &o2, 4 * MIB, &t, &e), -EWOULDBLOCK);
	ck_assert_msg(strstr(e.text, "another guest has it") != NULL, "%s", e.text);
	ck_assert_int_eq(file_stat().st_size, 4 * MIB);
	memory_keep(&mem);
	memory_fini(&mem);
	ck_assert_int_eq(memory_open(&other, &o2, 4 * MIB, &t, &e), 0);
}
END_TEST

START_TEST(file_that_took_its_name_is_not_removed)
{
	file_option();
	open_ram(4 * MIB);
	ck_assert_int_eq(unlink(path), 0);
	make_file(1);
	memory_fini(&mem);
	ck_assert_int_eq(file_stat().st_size, 1);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
	if (_i == 0)
		ck_assert_int_eq(mkdir(path, 0700), 0);
	else if (_i == 1)
		ck_assert_int_eq(mkfifo(path, 0600), 0);
	else
		ck_assert_int_eq(symlink("/dev/null", path), 0);
	file_option();
	ck_assert_int_lt(memory_open(&mem, &o, 4 * MIB, &t, &e), 0);
	ck_assert_msg(strstr(e.text, "it is not a regular file") != NULL, "%s", e.text);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

/* Opening a tape rewinds it, opening a watchdog starts it. A pipe tells its reader that somebody was there. */
START_TEST(what_is_no_file_is_not_even_opened)
{
	struct pollfd reader = { .events = POLLIN };

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	reader.fd = open(path, O_RDONLY | O_NONBLOCK);
	ck_assert_int_ge(reader.fd, 0);
	file_option();
	ck_assert_int_lt(memory_open(&mem, &o, 4 * MIB, &t, &e), 0);
	ck_assert_int_eq(poll(&reader, 1, 0), 0);
	close(reader.fd);
}
END_TEST

START_TEST(file_in_no_directory_is_refused)
{
	snprintf(path, sizeof(path), "%s/none/ram", dir);
	file_option();
	expect_refused(4 * MIB, -ENOENT, "there is no directory");
}
END_TEST

START_TEST(file_whose_pages_do_not_come_is_refused)
{
	file_option();
	o.prealloc = MEMORY_ON;
	rig_refuse_advice(RIG_POPULATE_WRITE, EFAULT);
	expect_refused(4 * MIB, -EIO, "its file system gives no page for some of it");
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

/* A full disk says ENOSPC at the same place; it takes root to make one. */
START_TEST(file_that_cannot_get_its_blocks_is_refused_and_goes)
{
	struct rlimit low = { MIB, MIB };

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
	file_option();
	if (_i)
		make_file(0);
	expect_refused(4 * MIB, -EFBIG, "no file of 4M can be made there");
	ck_assert_int_eq(access(path, F_OK), _i ? 0 : -1);
}
END_TEST

START_TEST(file_larger_than_its_file_system_is_refused_and_goes)
{
	file_option();
	ck_assert_int_lt(memory_open(&mem, &o, 1ull << 50, &t, &e), 0);
	ck_assert_msg(strstr(e.text, "1073741824 MiB are needed") || strstr(e.text, "no file of 1024T"), "%s",
		      e.text);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

/* The page cache takes its pages where it likes. */
START_TEST(file_and_nodes_of_the_host_are_refused_but_on_a_tmpfs)
{
	t.nr_nodes = 1;
	node[0] = (struct topo_node){ 4 * MIB, { 1 }, NODE_BIND };
	o.file = strdup("/proc/no/such/file");
	ck_assert_int_eq(memory_check_file_nodes(&o, &t, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "node 0 has host-nodes=, which pages of a file do not follow"));
	node[0].policy = NODE_DEFAULT;
	ck_assert_int_eq(memory_check_file_nodes(&o, &t, &e), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_backing_file");
	TCase *c = tcase_create("memory_backing_file");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, new_file_stays_when_the_machine_starts);
	tcase_add_test(c, balloon_takes_the_pages_of_a_file_and_leaves_its_blocks);
	tcase_add_test(c, new_file_goes_when_the_machine_does_not_start);
	tcase_add_test(c, new_file_goes_when_something_fails_later);
	tcase_add_test(c, file_of_the_right_size_stays_as_it_is);
	tcase_add_loop_test(c, file_of_another_size_is_refused_and_left, 0, 2);
	tcase_add_loop_test(c, empty_file_counts_as_new, 0, 2);
	tcase_add_test(c, two_guests_cannot_have_one_file);
	tcase_add_test(c, file_that_took_its_name_is_not_removed);
	tcase_add_loop_test(c, what_is_no_file_is_refused, 0, 3);
	tcase_add_test(c, what_is_no_file_is_not_even_opened);
	tcase_add_test(c, file_in_no_directory_is_refused);
	tcase_add_loop_test(c, file_that_cannot_get_its_blocks_is_refused_and_goes, 0, 2);
	tcase_add_test(c, file_whose_pages_do_not_come_is_refused);
	tcase_add_test(c, file_larger_than_its_file_system_is_refused_and_goes);
	tcase_add_test(c, file_and_nodes_of_the_host_are_refused_but_on_a_tmpfs);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
