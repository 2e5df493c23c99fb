/*
 * Unit tests of memory_backing.c and of memory_open(), which uses it: what is mapped, with what advice, and what is left
 * of it afterwards; file= has a file of its own. Large pages are looked at where this host has some to give. That the kernel then uses huge pages,
 * merges or binds, is not shown here.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/base/map.h"
#include "vmm/memory_internal.h"
#include "vmm/memory_rig.h"

static struct memory mem;
static struct memory_options o;
static struct topo_node node[2];
static struct topology t;
static struct err e;
static char dir[64];

static void setup(void)
{
	memset(&mem, 0, sizeof(mem));
	memset(&e, 0, sizeof(e));
	memset(node, 0, sizeof(node));
	t = (struct topology){ .node = node };
	memory_options_init(&o);
	snprintf(dir, sizeof(dir), "/tmp/trellis-backing-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	char cmd[96];

	memory_fini(&mem);
	memory_options_fini(&o);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static void options(const char *arg)
{
	ck_assert_msg(memory_options_parse(&o, arg, &e) == 0, "%s", e.text);
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

/* ---- the mapping ---- */

static const struct {
	uint64_t bytes, align;
	const char *arg;
} congruent[] = {
	{ 2 * MIB, 2 * MIB, "2M" },       { 2 * MIB + 4096, 2 * MIB, "2M" },
	{ GIB - 4096, 2 * MIB, "2M" },    { GIB, GIB, "2M" },
	{ 3 * GIB + 4096, GIB, "2M" },    { 64 * GIB, GIB, "2M" },
	{ 2 * MIB, 2 * MIB, "share=on" }, { 2 * MIB + 4096, 2 * MIB, "share=on" },
	{ GIB, GIB, "share=on" },         { 3 * GIB + 4096, GIB, "share=on" },
	{ 64 * GIB, GIB, "share=on" },
};

START_TEST(host_and_guest_addresses_agree_modulo_huge_pages)
{
	options(congruent[_i].arg);
	open_ram(congruent[_i].bytes);
	for (unsigned int i = 0; i < mem.gmem.nr_ranges; i++) {
		const struct gmem_range *r = &mem.gmem.range[i];

		ck_assert_uint_eq(((uintptr_t)r->hva - r->gpa) % congruent[_i].align, 0);
		ck_assert_uint_eq(r->page_bytes, 4096);
	}
	ck_assert_int_eq(gmem_write(&mem.gmem, 0, "x", 1), 0);
	mem.backing.hva[congruent[_i].bytes - 1] = 1;
}
END_TEST

START_TEST(anonymous_memory_has_no_file)
{
	open_ram(3 * GIB + 4096);
	ck_assert_int_eq(mem.backing.fd, -1);
	ck_assert_int_eq(mem.gmem.range[1].fd, -1);
}
END_TEST

START_TEST(shared_memory_can_be_mapped_by_others_at_its_offset)
{
	const struct gmem_range *high = &mem.gmem.range[1];
	char byte = 0;

	options("share=on");
	open_ram(3 * GIB + 8192);
	ck_assert_int_eq(mem.gmem.range[0].fd, mem.backing.fd);
	ck_assert_uint_eq(mem.gmem.range[0].fd_offset, 0);
	ck_assert_int_eq(high->fd, mem.backing.fd);
	ck_assert_uint_eq(high->fd_offset, 3 * GIB);
	ck_assert_int_eq(gmem_write(&mem.gmem, MAP_HIGH_RAM_BASE + 4096, "x", 1), 0);
	ck_assert_int_eq(pread(high->fd, &byte, 1, (off_t)high->fd_offset + 4096), 1);
	ck_assert_int_eq(byte, 'x');
	ck_assert(fcntl(high->fd, F_GETFD) & FD_CLOEXEC);
}
END_TEST

START_TEST(shared_memory_keeps_its_size_whoever_has_it)
{
	options("share=on");
	open_ram(4 * MIB);
	ck_assert_int_eq(ftruncate(mem.backing.fd, 4096), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(ftruncate(mem.backing.fd, 8 * MIB), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(fcntl(mem.backing.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	/* The balloon's way to give pages back is open. */
	ck_assert_int_eq(fallocate(mem.backing.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
}
END_TEST

START_TEST(more_than_can_be_mapped_is_refused_with_limits)
{
	options(_i ? "share=on" : "2M");
	expect_refused(1ull << 50, -ENOMEM,
		       "MiB of guest memory: Cannot allocate memory; the limits are ulimit -v");
}
END_TEST

START_TEST(sparse_terabyte_costs_no_memory)
{
	struct rusage before, after;

	options(_i ? "1T,share=on" : "1T");
	getrusage(RUSAGE_SELF, &before);
	open_ram(1024 * GIB);
	getrusage(RUSAGE_SELF, &after);
	ck_assert_int_le(after.ru_minflt - before.ru_minflt, 100);
}
END_TEST

START_TEST(size_that_is_no_multiple_is_refused)
{
	options("hugepages=2M");
	expect_refused(3 * MIB, -EINVAL, "--memory 3M: expected a multiple of 2M, the size of its pages");
	ck_assert(e.usage);
}
END_TEST

START_TEST(node_that_ends_inside_a_large_page_is_refused)
{
	t.nr_nodes = 2;
	node[0].memory_bytes = node[1].memory_bytes = 3 * MIB;
	options("hugepages=2M");
	expect_refused(6 * MIB, -EINVAL, "--numa node=0");
	ck_assert(e.usage);
}
END_TEST

START_TEST(directory_that_is_no_hugetlbfs_is_refused)
{
	o.path = strdup(dir);
	expect_refused(2 * MIB, -EINVAL, "it is not on a hugetlbfs; make it one with: mount -t hugetlbfs");
}
END_TEST

/* ---- advice ---- */

/* Does the kernel's list of our mappings have this flag for guest memory (Documentation/filesystems/proc.rst, v6.1)? */
static bool has_flag(const char *flag)
{
	char line[1024], name[8];
	unsigned long long start = 0, end = 0;
	bool found = false, ours = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	ck_assert_ptr_nonnull(f);
	snprintf(name, sizeof(name), " %s ", flag);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			ours = start <= (uintptr_t)mem.backing.hva && (uintptr_t)mem.backing.hva < end;
		if (ours && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, name) != NULL;
	}
	fclose(f);
	return found;
}

static const struct {
	const char *arg, *flag;
	uint64_t bytes;
	bool want;
} flags[] = {
	{ "2M", "hg", 256 * MIB, false }, /* a small machine is left alone */
	{ "2M", "nh", 256 * MIB, false },
	{ "thp=madvise", "hg", 511 * MIB, false },
	{ "thp=madvise", "hg", 512 * MIB, true },
	{ "thp=never", "hg", GIB, false },
	{ "thp=never", "nh", GIB, true },
	{ "share=on", "hg", 512 * MIB, true },
	{ "thp=never,share=on", "nh", 2 * MIB, true },
	{ "2M", "dd", 2 * MIB, false },
	{ "dump=on", "dd", 2 * MIB, false },
	{ "dump=off", "dd", 2 * MIB, true },
	{ "dump=off,share=on", "dd", 2 * MIB, true },
	{ "2M", "mg", 2 * MIB, false },
	{ "merge=off", "mg", 2 * MIB, false },
	{ "merge=on", "mg", 2 * MIB, true },
	{ "2M", "lo", 2 * MIB, false },
	{ "lock=on", "lo", 2 * MIB + 4096, true },
	{ "lock=on,share=on", "lo", 2 * MIB, true },
	{ "thp=always", "hg", 2 * MIB, true },
};

static bool starts_with(const char *file, const char *word)
{
	char text[64] = "";
	FILE *f = fopen(file, "r");
	bool is = f && fgets(text, sizeof(text), f) && strstr(text, word);

	if (f)
		fclose(f);
	return is;
}

/* What this host's kernel has not, or does not let us, cannot be looked at. */
static bool host_can(const char *arg, const char *flag)
{
	static const char thp[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	struct err why;

	if (!strcmp(flag, "hg") || !strcmp(flag, "nh"))
		return access(thp, R_OK) == 0 && !(strstr(arg, "always") && starts_with(thp, "[never]"));
	if (!strcmp(flag, "mg"))
		return access("/sys/kernel/mm/ksm/run", R_OK) == 0;
	if (!strcmp(flag, "lo"))
		return memory_check_lock(4 * MIB, "", &why) == 0;
	return true;
}

START_TEST(advice_is_what_was_asked_for)
{
	if (!host_can(flags[_i].arg, flags[_i].flag))
		return;
	options(flags[_i].arg);
	open_ram(flags[_i].bytes);
	ck_assert_int_eq(has_flag(flags[_i].flag), flags[_i].want);
}
END_TEST

/* ---- populated from the start ---- */

static uint64_t pages_there(void)
{
	static unsigned char vec[4096];
	uint64_t there = 0;

	ck_assert_uint_le(mem.backing.bytes, sizeof(vec) * 4096);
	ck_assert_int_eq(mincore(mem.backing.hva, mem.backing.bytes, vec), 0);
	for (uint64_t i = 0; i < mem.backing.bytes / 4096; i++)
		there += vec[i] & 1;
	return there;
}

static const struct {
	const char *arg;
	bool all;
} present[] = {
	{ "prealloc=off", false },
	{ "2M", false },
	{ "share=on", false },
	{ "prealloc=on", true },
	{ "prealloc=on,threads=3", true },
	{ "prealloc=on,share=on", true },
	{ "prealloc=on,thp=never", true },
};

START_TEST(prealloc_has_every_page_there)
{
	options(present[_i].arg);
	open_ram(8 * MIB + 4096);
	ck_assert_uint_eq(pages_there(), present[_i].all ? mem.backing.bytes / 4096 : 0);
}
END_TEST

START_TEST(locked_memory_is_there)
{
	if (!host_can("lock=on", "lo"))
		return;
	options("lock=on");
	open_ram(4 * MIB);
	ck_assert_uint_eq(pages_there(), mem.backing.bytes / 4096);
}
END_TEST

/* As if somebody pressed Ctrl-c, while vmm/run.c has it blocked. */
static void ask_to_end(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGINT);
}

START_TEST(signal_while_populating_is_said)
{
	ask_to_end();
	options("prealloc=on");
	expect_refused(8 * MIB, -EINTR, "--memory 8M: a signal ended trellis");
}
END_TEST

static const struct {
	unsigned int error;
	int want;
	const char *arg, *text;
} failures[] = {
	{ ENOMEM, -ENOMEM, "prealloc=on", "--memory 8M: the host cannot have all of it present" },
	{ EFAULT, -ENOMEM, "prealloc=on,share=on", "--memory 8M: the host cannot have all of it present" },
	{ EHWPOISON, -EHWPOISON, "prealloc=on", "--memory 8M: the hardware reports a broken page" },
	{ EIO, -EIO, "prealloc=on,threads=3",
	  "--memory 8M: cannot make it ready (MADV_POPULATE_WRITE): Input/output error" },
};

START_TEST(failure_while_populating_is_said)
{
	options(failures[_i].arg);
	rig_refuse_advice(RIG_POPULATE_WRITE, failures[_i].error);
	expect_refused(8 * MIB, failures[_i].want, failures[_i].text);
}
END_TEST

START_TEST(more_than_the_host_has_is_refused_before_it_is_taken)
{
	options("prealloc=on");
	expect_refused(64 * 1024 * GIB, -ENOMEM,
		       "--memory prealloc=on: 67108864 MiB are to be there at once");
}
END_TEST

START_TEST(limit_of_locked_memory_is_said)
{
	struct rlimit low = { 64 * KIB, 64 * KIB };

	ck_assert(geteuid() != 0 || chown(dir, 65534, 65534) == 0);
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &low), 0);
	ck_assert(geteuid() != 0 || setuid(65534) == 0);
	options("lock=on");
	expect_refused(
		4 * MIB, -EPERM,
		"--memory lock=on: 4096 KiB are to be locked and the limit (RLIMIT_MEMLOCK) is 64 KiB");
}
END_TEST

/* ---- large pages ---- */

static uint64_t free_pages(void)
{
	struct host_memory h;
	uint64_t nr;

	ck_assert_int_eq(host_memory_read(&h, ""), 0);
	nr = host_pool_available(&h.pool[HOST_PAGE_2M]);
	host_memory_fini(&h);
	return nr;
}

START_TEST(large_pages_are_all_there_and_all_go_back)
{
	uint64_t before = free_pages();

	options("hugepages=2M");
	if (before < 3 || memory_open(&mem, &o, 6 * MIB, &t, &e) == -ENOMEM) /* others may take them */
		return;
	ck_assert_msg(mem.backing.hva != NULL, "%s", e.text);
	ck_assert_uint_eq(mem.gmem.range[0].page_bytes, 2 * MIB);
	ck_assert_int_ge(mem.gmem.range[0].fd, 0);
	ck_assert_uint_eq(pages_there(), mem.backing.bytes / 4096);
	ck_assert(has_flag("ht"));
	ck_assert_int_eq(ftruncate(mem.backing.fd, 0), -1);
	memory_fini(&mem);
	ck_assert_uint_eq(free_pages(), before);
}
END_TEST

START_TEST(shortage_of_large_pages_is_an_error_and_takes_none)
{
	uint64_t before = free_pages();

	options("hugepages=2M");
	ck_assert_int_lt(memory_open(&mem, &o, (before + 1) * 2 * MIB, &t, &e), 0);
	ck_assert_msg(strstr(e.text, "hugepages=2M") != NULL, "%s", e.text);
	ck_assert_ptr_null(mem.backing.hva);
	ck_assert_uint_eq(free_pages(), before);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_backing");
	TCase *c = tcase_create("memory_backing");
	SRunner *sr;
	int failed;

	log_set_level(LOG_WARN);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, host_and_guest_addresses_agree_modulo_huge_pages, 0, ARRAY_SIZE(congruent));
	tcase_add_test(c, anonymous_memory_has_no_file);
	tcase_add_test(c, shared_memory_can_be_mapped_by_others_at_its_offset);
	tcase_add_test(c, shared_memory_keeps_its_size_whoever_has_it);
	tcase_add_loop_test(c, more_than_can_be_mapped_is_refused_with_limits, 0, 2);
	tcase_add_loop_test(c, sparse_terabyte_costs_no_memory, 0, 2);
	tcase_add_test(c, size_that_is_no_multiple_is_refused);
	tcase_add_test(c, node_that_ends_inside_a_large_page_is_refused);
	tcase_add_test(c, directory_that_is_no_hugetlbfs_is_refused);
	tcase_add_loop_test(c, advice_is_what_was_asked_for, 0, ARRAY_SIZE(flags));
	tcase_add_loop_test(c, prealloc_has_every_page_there, 0, ARRAY_SIZE(present));
	tcase_add_test(c, locked_memory_is_there);
	tcase_add_test(c, signal_while_populating_is_said);
	tcase_add_loop_test(c, failure_while_populating_is_said, 0, ARRAY_SIZE(failures));
	tcase_add_test(c, more_than_the_host_has_is_refused_before_it_is_taken);
	tcase_add_test(c, limit_of_locked_memory_is_said);
	tcase_add_test(c, large_pages_are_all_there_and_all_go_back);
	tcase_add_test(c, shortage_of_large_pages_is_an_error_and_takes_none);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
