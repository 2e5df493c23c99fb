/*
 * Unit tests of memory_check.c: every reason why RAM cannot be had, alone and together. Where memory_open() asks for
 * them is memory_test.c's business.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>

#include "vmm/host/memory_rig.h"
#include "vmm/memory_internal.h"

static struct topo_node node[4];
static struct topology t;
static struct memory_options o;
static struct host_memory h;
static struct notes problems;
static struct err e;

static void setup(void)
{
	rig_setup();
	memset(node, 0, sizeof(node));
	t = (struct topology){ .node = node };
	memory_options_init(&o);
	e = (struct err){ 0 };
}

static void teardown(void)
{
	notes_fini(&problems);
	memory_options_fini(&o);
	host_memory_fini(&h);
	rig_teardown();
}

static void parse(const char *arg)
{
	ck_assert_msg(memory_options_parse(&o, arg, &e) == 0, "%s", e.text);
}

static void check_said(const char *want)
{
	ck_assert_msg(strstr(e.text, want) != NULL, "'%s' is not in: %s", want, e.text);
}

/* ---- lock=on ---- */

/* Two lines of /proc/self, and a limit. */
static void lock_rig(const char *cap_eff, const char *uid_map, rlim_t bytes)
{
	struct rlimit limit = { .rlim_cur = bytes, .rlim_max = bytes };
	char text[96];

	snprintf(text, sizeof(text), "Name:\ttrellis\nCapEff:\t%s\nSeccomp:\t0\n", cap_eff);
	rig_file("/proc/self/status", text);
	rig_file("/proc/self/uid_map", uid_map);
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

#define ALL_IDS  "         0          0 4294967295\n"
#define SOME_IDS "         0     100000      65536\n"

static const struct {
	const char *cap_eff, *uid_map;
	int rc;
} locks[] = {
	{ "0000000000000000", ALL_IDS, -EPERM },
	{ "000001ffffffbfff", ALL_IDS, -EPERM }, /* all but CAP_IPC_LOCK */
	{ "0000000000004000", ALL_IDS, 0 },
	{ "000001ffffffffff", ALL_IDS, 0 },
	{ "000001ffffffffff", SOME_IDS, -EPERM }, /* of a container's own */
	{ "000001ffffffffff", "         0          0          1\n", -EPERM },
	{ "000001ffffffffff", "", 0 }, /* a kernel without user namespaces */
};

START_TEST(who_may_lock_beyond_the_limit_has_the_capability_in_the_first_namespace)
{
	lock_rig(locks[_i].cap_eff, locks[_i].uid_map, 64 * KIB);
	ck_assert_int_eq(memory_check_lock(64 * KIB, rig_root, &e), 0);
	ck_assert_int_eq(memory_check_lock(64 * KIB + 4096, rig_root, &e), locks[_i].rc);
}
END_TEST

START_TEST(process_that_tells_nothing_of_itself_has_no_capability)
{
	lock_rig("0", ALL_IDS, 64 * KIB);
	rig_remove("/proc/self/status");
	rig_remove("/proc/self/uid_map");
	ck_assert_int_eq(memory_check_lock(GIB, rig_root, &e), -EPERM);
}
END_TEST

START_TEST(limit_of_locked_memory_is_told_with_the_command_that_raises_it)
{
	struct rlimit limit = { .rlim_cur = 8 * MIB, .rlim_max = 8 * MIB };

	lock_rig("0", ALL_IDS, 8 * MIB);
	ck_assert_int_eq(memory_check_lock(GIB, rig_root, &e), -EPERM);
	check_said(
		"--memory lock=on: 1048576 KiB are to be locked and the limit (RLIMIT_MEMLOCK) is 8192 KiB");
	check_said("prlimit --memlock=1073741824 --pid $$ (as root, for this shell)"); /* ulimit could not */
	check_said("LimitMEMLOCK=1073741824");
	limit.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	ck_assert_int_eq(memory_check_lock(4 * MIB, rig_root, &e), -EPERM);
	check_said("is 0 KiB; raise it with: ulimit -l 4096, or");
}
END_TEST

/* ---- what the kernel has ---- */

static const struct {
	const char *arg, *thp, *shmem, *want; /* want NULL: fine */
} thps[] = {
	{ "1G", "never", "never", NULL },
	{ "1G,thp=never", "never", "never", NULL },
	{ "1G,thp=always", "always", "never", NULL },
	{ "1G,thp=always", "madvise", "never", NULL },
	{ "1G,thp=always", "never", "always",
	  "is 'never'; change it with: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled" },
	{ "1G,thp=always", "", "", "this host's kernel has no transparent huge pages" },
	{ "1G,thp=always,share=on", "never", "advise", NULL },
	{ "1G,thp=always,share=on", "always", "never",
	  "for shared memory is 'never'; change it with: echo advise > "
	  "/sys/kernel/mm/transparent_hugepage/shmem_enabled" },
	{ "1G,thp=always,share=on", "always", "deny", "is 'deny'" },
	{ "1G,thp=always,file=/x", "never", "never", NULL },
};

START_TEST(transparent_huge_pages_for_sure_need_a_host_that_gives_them)
{
	parse(thps[_i].arg);
	strcpy(h.thp, thps[_i].thp);
	strcpy(h.thp_shmem, thps[_i].shmem);
	ck_assert_int_eq(memory_check_thp(&o, &h, &e), thps[_i].want ? -EOPNOTSUPP : 0);
	if (thps[_i].want)
		check_said(thps[_i].want);
}
END_TEST

START_TEST(merging_needs_a_kernel_that_can)
{
	parse("1G,merge=off");
	ck_assert_int_eq(memory_check_merge(&o, &h, &e), 0);
	parse("merge=on");
	ck_assert_int_eq(memory_check_merge(&o, &h, &e), -EOPNOTSUPP);
	check_said("--memory merge=on: this host's kernel has no KSM");
}
END_TEST

START_TEST(ksm_that_does_not_run_is_mentioned_with_the_command_that_starts_it)
{
	char said[256] = "";
	int out[2];

	ck_assert_int_eq(pipe(out), 0);
	dup2(out[1], STDERR_FILENO);
	parse("1G,merge=on");
	h.ksm_known = true;
	h.ksm_run = 1;
	ck_assert_int_eq(memory_check_merge(&o, &h, &e), 0);
	h.ksm_run = 0;
	ck_assert_int_eq(memory_check_merge(&o, &h, &e), 0);
	ck_assert_int_gt(read(out[0], said, sizeof(said) - 1), 0);
	ck_assert_str_eq(said, "trellis: --memory merge=on: KSM does not run on this host; start it with: "
			       "echo 1 > /sys/kernel/mm/ksm/run\n");
}
END_TEST

static const struct {
	uint64_t node[3], page_bytes;
	const char *want; /* NULL: fine */
} node_sizes[] = {
	{ { 2 * MIB, 4 * MIB, 2 * MIB }, 2 * MIB, NULL },
	{ { 4096, MIB, 7 * MIB - 4096 }, 4096, NULL },
	{ { 2 * MIB, 3 * MIB, 3 * MIB },
	  2 * MIB,
	  "--numa node=1: its memory of 3M is no multiple of the pages of 2M behind it; the nearest are 2M "
	  "and 4M" },
	{ { 7 * MIB, MIB, 0 }, 2 * MIB, "--numa node=0: its memory of 7M is no multiple" },
	{ { 0, MIB, 7 * MIB },
	  2 * MIB,
	  "node=1: its memory of 1M is no multiple of the pages of 2M behind it; the nearest is 2M" },
	{ { 8 * MIB, UINT64_MAX, UINT64_MAX }, 2 * MIB, NULL }, /* beyond all RAM */
};

START_TEST(nodes_end_where_pages_end)
{
	t.nr_nodes = 3;
	for (unsigned int n = 0; n < 3; n++)
		node[n].memory_bytes = node_sizes[_i].node[n];
	ck_assert_int_eq(memory_check_node_sizes(&t, 8 * MIB, node_sizes[_i].page_bytes, &e),
			 node_sizes[_i].want ? -EINVAL : 0);
	ck_assert_int_eq(e.usage, node_sizes[_i].want != NULL);
	if (node_sizes[_i].want)
		check_said(node_sizes[_i].want);
}
END_TEST

/* ---- how much there is ---- */

START_TEST(room_is_what_is_available_and_swap_where_it_counts)
{
	ck_assert_int_eq(memory_check_room(&h, 1ull << 50, true, &e), 0); /* not known */
	h.available_bytes = 10 * GIB;
	h.swap_free_bytes = 2 * GIB;
	ck_assert_int_eq(memory_check_room(&h, 12 * GIB, true, &e), 0);
	ck_assert_int_eq(memory_check_room(&h, 12 * GIB + 4096, true, &e), -ENOMEM);
	check_said("--memory prealloc=on: 12288 MiB are to be there at once, and this host has 10240 MiB "
		   "available and 2048 MiB of swap");
	ck_assert_int_eq(memory_check_room(&h, 10 * GIB, false, &e), 0);
	ck_assert_int_eq(memory_check_room(&h, 11 * GIB, false, &e), -ENOMEM);
	check_said("--memory lock=on: 11264 MiB are to be there at once, and this host has 10240 MiB "
		   "available (free -m");
}
END_TEST

static const struct {
	const char *arg;
	uint64_t page_bytes;
	const char *want; /* NULL: fine */
} limits[] = {
	{ "1G", 4096, NULL },
	{ "1G,prealloc=on", 4096, NULL },
	{ "1G,hard-limit=512M", 4096, NULL }, /* it may never need more */
	{ "1G,prealloc=on,hard-limit=1G", 4096, NULL },
	{ "1G,prealloc=on,hard-limit=1023M", 4096,
	  "hard-limit=1023M: with prealloc=on all 1G of RAM are there at once; expected as much and some for "
	  "trellis and the kernel, as in hard-limit=1104M" },
	{ "1G,lock=on,hard-limit=512M", 4096, "hard-limit=512M: with lock=on all 1G" },
	{ "1G,hugepages=2M,hard-limit=512M", 2 * MIB, NULL }, /* memory.max does not count them */
	{ "1G,file=/x,prealloc=on,hard-limit=512M", 4096, NULL },
	{ "1G,file=/x,lock=on,hard-limit=512M", 4096, "with lock=on" },
};

START_TEST(hard_limit_below_what_is_there_at_once_cannot_work)
{
	parse(limits[_i].arg);
	ck_assert_int_eq(memory_check_limit(&o, o.bytes, limits[_i].page_bytes, &e),
			 limits[_i].want ? -EINVAL : 0);
	if (limits[_i].want)
		check_said(limits[_i].want);
}
END_TEST

/* ---- all of it ---- */

static bool said(const char *want)
{
	for (unsigned int i = 0; i < problems.nr; i++)
		if (strstr(problems.text[i], want))
			return true;
	return false;
}

static void check_all(unsigned int nr)
{
	char all[4096] = "";

	memory_check(&o, o.bytes, &t, rig_root, &problems);
	for (unsigned int i = 0; i < problems.nr; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "\n%s", problems.text[i]);
	ck_assert_msg(problems.nr == nr, "%u problems, not %u: %s", problems.nr, nr, all);
}

START_TEST(plain_memory_is_no_problem_on_a_host_that_tells_nothing)
{
	parse("1G,dump=off,share=on,merge=off,prealloc=on");
	check_all(0);
}
END_TEST

START_TEST(sparse_memory_may_be_larger_than_the_host)
{
	rig_file("/proc/meminfo", "MemTotal: 1024 kB\nMemAvailable: 512 kB\nSwapFree: 0 kB\n");
	parse("1T");
	check_all(0);
	parse("prealloc=on");
	check_all(1);
	ck_assert(said("--memory prealloc=on: 1048576 MiB are to be there at once, and this host has 0 MiB "
		       "available"));
	ck_assert(!problems.usage);
}
END_TEST

START_TEST(every_reason_is_told_at_once)
{
	char arg[256];

	lock_rig("0", ALL_IDS, 64 * KIB);
	rig_file("/proc/meminfo", "MemTotal: 9999 kB\nMemAvailable: 4096 kB\nSwapFree: 9999999 kB\n");
	rig_file("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
	rig_nodes("0-1", "0-1");
	rig_node(0, "", GIB, 0);
	rig_node(1, "", GIB, 0);
	t.nr_nodes = 2;
	node[0] = (struct topo_node){ 2 * GIB, { 1 }, NODE_BIND };
	node[1] = (struct topo_node){ 2 * GIB, { 2 }, NODE_BIND };
	parse("4G,lock=on,merge=on,thp=always,hard-limit=1G");
	check_all(7); /* cgroups: the rig has none */
	ck_assert(said("--memory lock=on: 4194304 KiB are to be locked"));
	ck_assert(said("--memory lock=on: 4096 MiB are to be there at once"));
	ck_assert(said("--memory merge=on: "));
	ck_assert(said("--memory thp=always: "));
	ck_assert(said("--memory hard-limit=1G: with lock=on"));
	ck_assert(said("--numa: 4096 MiB are to come for guest nodes 0-1"));
	ck_assert(problems.usage);
	notes_fini(&problems);

	memory_options_fini(&o);
	memory_options_init(&o);
	node[1].host_nodes[0] = 4;
	snprintf(arg, sizeof(arg), "4G,file=%s/none/ram", rig_root);
	parse(arg);
	check_all(3);
	ck_assert(said("there is no directory"));
	ck_assert(said("which pages of a file do not follow"));
	ck_assert(said("--numa node=1: host-nodes: this host's node 2 does not exist"));
}
END_TEST

START_TEST(pages_are_not_missed_on_a_node_that_is_not_there)
{
	rig_nodes("0", "0");
	rig_node(0, "", 8 * GIB, GIB);
	rig_pool("/sys/kernel/mm", 2, 512, 512);
	rig_node_pool(0, 2, 512, 512);
	t.nr_nodes = 1;
	node[0] = (struct topo_node){ GIB, { 128 }, NODE_BIND };
	parse("1G,hugepages=2M");
	check_all(1);
	ck_assert(said("--numa node=0: host-nodes: this host's node 7 does not exist"));
}
END_TEST

START_TEST(large_pages_are_checked_by_size_pool_and_node)
{
	rig_nodes("0-1", "0-1");
	rig_node(0, "", 8 * GIB, GIB);
	rig_node(1, "", 8 * GIB, GIB);
	rig_pool("/sys/kernel/mm", 2, 1024, 1024);
	rig_node_pool(0, 2, 1000, 1000);
	rig_node_pool(1, 2, 24, 24);
	t.nr_nodes = 2;
	node[0] = (struct topo_node){ 512 * MIB, { 1 }, NODE_BIND };
	node[1] = (struct topo_node){ 512 * MIB, { 2 }, NODE_BIND };
	parse("1G,hugepages=2M");
	check_all(1);
	ck_assert(said("256 pages of 2M are needed for guest node 1 bound to this host's node 1, and 24 are "
		       "free there"));
	notes_fini(&problems);
	node[0].memory_bytes = 1023 * MIB;
	node[1].memory_bytes = 1 * MIB;
	check_all(1);
	ck_assert(said("--numa node=0: its memory of 1023M is no multiple of the pages of 2M behind it"));
	notes_fini(&problems);
	parse("hugepages=1G");
	node[0].memory_bytes = GIB;
	node[1].memory_bytes = 0;
	check_all(1);
	ck_assert(said("this host has no pages of 1G"));
}
END_TEST

START_TEST(path_that_is_no_hugetlbfs_is_one_reason_and_the_pool_another)
{
	char arg[256];

	snprintf(arg, sizeof(arg), "1G,path=%s", rig_root);
	parse(arg);
	check_all(1); /* nobody knows of which size its pages would be */
	ck_assert(said("it is not on a hugetlbfs"));
	notes_fini(&problems);
	parse("hugepages=2M");
	check_all(2);
	ck_assert(said("this host has no pages of 2M"));
}
END_TEST

START_TEST(size_that_is_no_multiple_of_pages_is_told)
{
	rig_pool("/sys/kernel/mm", 2, 1024, 1024);
	parse("1G,hugepages=2M");
	o.bytes = 1023 * MIB; /* of somebody who did not ask memory_options_parse() */
	check_all(1);
	ck_assert(said("--memory 1023M: expected a multiple of 2M"));
}
END_TEST

START_TEST(checking_changes_nothing)
{
	char arg[256];
	int fd;

	rig_file("/ram", "");
	snprintf(arg, sizeof(arg), "4M,file=%s", rig_path("/ram"));
	parse(arg);
	check_all(0);
	fd = open(rig_path("/ram"), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 0);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_check");
	TCase *c = tcase_create("memory_check");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, who_may_lock_beyond_the_limit_has_the_capability_in_the_first_namespace, 0,
			    ARRAY_SIZE(locks));
	tcase_add_test(c, process_that_tells_nothing_of_itself_has_no_capability);
	tcase_add_test(c, limit_of_locked_memory_is_told_with_the_command_that_raises_it);
	tcase_add_loop_test(c, transparent_huge_pages_for_sure_need_a_host_that_gives_them, 0,
			    ARRAY_SIZE(thps));
	tcase_add_test(c, merging_needs_a_kernel_that_can);
	tcase_add_test(c, ksm_that_does_not_run_is_mentioned_with_the_command_that_starts_it);
	tcase_add_loop_test(c, nodes_end_where_pages_end, 0, ARRAY_SIZE(node_sizes));
	tcase_add_test(c, room_is_what_is_available_and_swap_where_it_counts);
	tcase_add_loop_test(c, hard_limit_below_what_is_there_at_once_cannot_work, 0, ARRAY_SIZE(limits));
	tcase_add_test(c, plain_memory_is_no_problem_on_a_host_that_tells_nothing);
	tcase_add_test(c, sparse_memory_may_be_larger_than_the_host);
	tcase_add_test(c, every_reason_is_told_at_once);
	tcase_add_test(c, pages_are_not_missed_on_a_node_that_is_not_there);
	tcase_add_test(c, large_pages_are_checked_by_size_pool_and_node);
	tcase_add_test(c, path_that_is_no_hugetlbfs_is_one_reason_and_the_pool_another);
	tcase_add_test(c, size_that_is_no_multiple_of_pages_is_told);
	tcase_add_test(c, checking_changes_nothing);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
