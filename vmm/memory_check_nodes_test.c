/*
 * Unit tests of memory_check_nodes.c: who can have how many pages, and what is said when they are too few. That the
 * kernel then hands pages out as the flow does is not proved, nor could it be.
 */
#include <errno.h>

#include "vmm/host/memory_rig.h"
#include "vmm/memory_internal.h"

static struct topo_node node[TOPO_MAX_NODES];
static struct topology t;
static struct host_memory h;
static struct err e;

static void setup(void)
{
	rig_setup();
	memset(node, 0, sizeof(node));
	t = (struct topology){ .node = node };
	e = (struct err){ 0 };
}

static void teardown(void)
{
	host_memory_fini(&h);
	rig_teardown();
}

/* Another node of the guest, bound to the host's nodes of a mask. */
static void guest_node(uint64_t mib, uint64_t host_nodes, enum node_policy policy)
{
	node[t.nr_nodes++] = (struct topo_node){ mib * MIB, { host_nodes }, policy };
}

/* Hosts of up to four nodes, with that many free pages of 2M in each, 10 others in use, and 1 GiB for each page. */
static void host(const char *nodes, const unsigned int free_pages[4])
{
	unsigned int sum = 0, n = 0;

	rig_nodes(nodes, nodes);
	for (; n < 4 && (n == 0 || free_pages[n]); n++) {
		rig_node_pool(n, 2, free_pages[n] + 10, free_pages[n]);
		rig_node(n, "", free_pages[n] * GIB, (4 - n) * GIB);
		sum += free_pages[n];
	}
	rig_pool("/sys/kernel/mm", 2, sum + 10 * n, sum);
}

static int check_pool(enum host_page size, uint64_t bytes)
{
	host_memory_fini(&h);
	ck_assert_int_eq(host_memory_read(&h, rig_root), 0);
	return memory_check_pool(&h, size, bytes, &t, &e);
}

static void check_said(const char *want)
{
	ck_assert_msg(strstr(e.text, want) != NULL, "'%s' is not in: %s", want, e.text);
}

START_TEST(pool_that_has_enough_says_nothing)
{
	host("0", (const unsigned int[4]){ 100 });
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 200 * MIB), 0);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 0), 0);
}
END_TEST

START_TEST(pool_that_lacks_a_page_says_how_many_there_are_on_each_node_and_how_to_get_more)
{
	host("0-1", (const unsigned int[4]){ 60, 40 });
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 1024 * MIB), -ENOMEM);
	ck_assert_str_eq(e.text, "--memory hugepages=2M: 512 pages of 2M are needed and 100 are free (node "
				 "0: 60 of 70 free, node 1: 40 of 50 free); reserve them with: echo 532 > "
				 "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	ck_assert(!e.usage);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 202 * MIB), -ENOMEM);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 200 * MIB + 4096), -ENOMEM); /* a part is a page */
}
END_TEST

START_TEST(pages_promised_to_others_are_not_free)
{
	host("0", (const unsigned int[4]){ 100 });
	rig_pool_number("/sys/kernel/mm", 2, "resv_hugepages", 30);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 140 * MIB), 0);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 142 * MIB), -ENOMEM);
	check_said("71 pages of 2M are needed and 100 are free, 30 of them promised to others (node 0: 100 "
		   "of 110 free)");
	check_said("echo 111 >");
}
END_TEST

START_TEST(surplus_pages_count_as_far_as_the_host_allows_them)
{
	host("0", (const unsigned int[4]){ 10 });
	rig_pool_number("/sys/kernel/mm", 2, "nr_overcommit_hugepages", 8);
	rig_pool_number("/sys/kernel/mm", 2, "surplus_hugepages", 3);
	guest_node(30, 1, NODE_BIND);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 30 * MIB), 0);
	node[0].memory_bytes = 32 * MIB;
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 32 * MIB), -ENOMEM);
}
END_TEST

START_TEST(pages_of_1g_are_best_had_at_boot)
{
	rig_pool("/sys/kernel/mm", 1024, 3, 1);
	ck_assert_int_eq(check_pool(HOST_PAGE_1G, GIB), 0);
	ck_assert_int_eq(check_pool(HOST_PAGE_1G, 4 * GIB), -ENOMEM);
	check_said(
		"--memory hugepages=1G: 4 pages of 1G are needed and 1 is free (node 0: 1 of 3 free); "
		"reserve them with: echo 6 > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages, or,");
	check_said("boot the host with hugepagesz=1G hugepages=6");
}
END_TEST

START_TEST(host_without_pages_of_that_size_is_told_as_such)
{
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, GIB), -EOPNOTSUPP);
	check_said(
		"hugepages=2M: this host has no pages of 2M (its kernel was built without CONFIG_HUGETLBFS");
	ck_assert_int_eq(check_pool(HOST_PAGE_1G, GIB), -EOPNOTSUPP);
	check_said("hugepages=1G: this host has no pages of 1G (its processor or kernel cannot do them");
	ck_assert_ptr_null(strstr(e.text, "hugepages=2M"));
	rig_pool("/sys/kernel/mm", 2, 0, 0);
	ck_assert_int_eq(check_pool(HOST_PAGE_1G, GIB), -EOPNOTSUPP);
	check_said("it has pages of 2M: hugepages=2M");
}
END_TEST

START_TEST(node_that_runs_out_is_named_though_the_pool_has_enough)
{
	host("0-1", (const unsigned int[4]){ 600, 40 });
	guest_node(512, 1, NODE_BIND);
	guest_node(512, 2, NODE_BIND);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 1024 * MIB), -ENOMEM);
	ck_assert_str_eq(e.text, "--memory hugepages=2M: 256 pages of 2M are needed for guest node 1 bound "
				 "to this host's node 1, and 40 are free there (node 0: 600 of 610 free, "
				 "node 1: 40 of 50 free); reserve them with: echo 266 > "
				 "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages");
}
END_TEST

START_TEST(guest_nodes_on_the_same_host_node_are_summed_up)
{
	host("0-1", (const unsigned int[4]){ 600, 300 });
	guest_node(400, 2, NODE_BIND);
	guest_node(400, 2, NODE_BIND);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 800 * MIB), -ENOMEM);
	check_said("400 pages of 2M are needed for guest nodes 0-1 bound to this host's node 1, and 300 are "
		   "free there");
	check_said("echo 410 > /sys/devices/system/node/node1/");
}
END_TEST

START_TEST(several_nodes_that_run_out_have_a_command_each)
{
	host("0-3", (const unsigned int[4]){ 100, 100, 100, 100 });
	guest_node(202, 1, NODE_BIND);
	guest_node(100, 2, NODE_BIND);
	guest_node(240, 4, NODE_BIND);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 542 * MIB), -ENOMEM);
	check_said("221 pages of 2M are needed for guest nodes 0,2 bound to this host's nodes 0,2, and 200 "
		   "are free there");
	check_said("with: echo 111 > /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages "
		   "&& echo 130 > /sys/devices/system/node/node2/hugepages/hugepages-2048kB/nr_hugepages");
}
END_TEST

START_TEST(more_than_three_commands_are_cut_short)
{
	host("0-3", (const unsigned int[4]){ 100, 100, 100, 100 });
	for (unsigned int n = 0; n < 4; n++)
		guest_node(300, 1ull << n, NODE_BIND);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 1200 * MIB), -ENOMEM);
	check_said("node2/hugepages/hugepages-2048kB/nr_hugepages, and likewise for 1 more of the nodes");
	ck_assert_uint_lt(strlen(e.text), sizeof(e.text) - 1);
}
END_TEST

/* Free pages on nodes 0 to 3; guest nodes in pages, and what they are bound to; whether it can work out. */
static const struct {
	unsigned int free_pages[4], want[4];
	uint64_t bound[4];
	const char *lacking; /* NULL: it works out */
} shared[] = {
	/* The first must leave node 0 to the second, whatever the order. */
	{ { 100, 100 }, { 100, 100 }, { 3, 1 }, NULL },
	{ { 100, 100 }, { 100, 100 }, { 1, 3 }, NULL },
	{ { 100, 100 }, { 100, 100 }, { 3, 2 }, NULL },
	{ { 100, 100 },
	  { 101, 100 },
	  { 3, 1 },
	  "201 pages of 2M are needed for guest nodes 0-1 bound to this host's nodes 0-1" },
	{ { 100, 100 },
	  { 10, 101 },
	  { 3, 1 },
	  "101 pages of 2M are needed for guest node 1 bound to this host's node 0," },
	/* A chain: each has to make room for the next. */
	{ { 50, 50, 50, 50 }, { 50, 50, 50, 50 }, { 3, 6, 12, 1 }, NULL },
	{ { 50, 50, 50, 50 }, { 50, 50, 50, 50 }, { 9, 3, 6, 1 }, NULL },
	{ { 50, 50, 50, 50 },
	  { 50, 51, 50, 50 },
	  { 9, 3, 6, 1 },
	  "101 pages of 2M are needed for guest nodes 1,3 bound to this host's nodes 0-1, and 100 are free "
	  "there" },
	/* One is split over all, around the others. */
	{ { 50, 50, 50, 50 }, { 80, 40, 40, 40 }, { 15, 1, 2, 4 }, NULL },
	{ { 50, 50, 50, 50 }, { 40, 40, 40, 80 }, { 1, 2, 4, 15 }, NULL },
	{ { 50, 50, 50, 50 },
	  { 40, 40, 40, 80 },
	  { 1, 2, 4, 7 },
	  "200 pages of 2M are needed for guest nodes 0-3 bound to this host's nodes 0-2, and 150 are free "
	  "there" },
	/* Those that are not bound take what is left. */
	{ { 100, 100 }, { 150, 50 }, { 0, 1 }, NULL },
};

START_TEST(guest_nodes_that_share_host_nodes_make_room_for_each_other)
{
	unsigned int sum = 0;

	host("0-3", shared[_i].free_pages);
	for (unsigned int n = 0; n < 4 && shared[_i].want[n]; n++) {
		guest_node(2 * shared[_i].want[n], shared[_i].bound[n], NODE_BIND);
		sum += shared[_i].want[n];
	}
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, sum * 2 * MIB), shared[_i].lacking ? -ENOMEM : 0);
	if (shared[_i].lacking)
		check_said(shared[_i].lacking);
}
END_TEST

START_TEST(what_is_lacking_is_wanted_from_the_node_with_most_free_memory)
{
	host("0-1", (const unsigned int[4]){ 10, 10 });
	rig_node(0, "", GIB, 100 * MIB);
	rig_node(1, "", GIB, 200 * MIB);
	guest_node(60, 3, NODE_BIND);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 60 * MIB), -ENOMEM);
	check_said("echo 30 > /sys/devices/system/node/node1/");
	ck_assert_ptr_null(strstr(e.text, "/node0/"));
}
END_TEST

START_TEST(policies_other_than_bind_take_pages_from_any_node)
{
	host("0-1", (const unsigned int[4]){ 10, 100 });
	guest_node(100, 1, NODE_PREFERRED);
	guest_node(100, 1, NODE_INTERLEAVE);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 200 * MIB), 0);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 222 * MIB), -ENOMEM);
	check_said("111 pages of 2M are needed and 110 are free");
}
END_TEST

START_TEST(node_sizes_beyond_all_ram_do_not_count)
{
	host("0", (const unsigned int[4]){ 10 });
	guest_node(10, 1, NODE_BIND);
	guest_node(UINT64_MAX / MIB, 1, NODE_BIND);
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 20 * MIB), 0);
}
END_TEST

START_TEST(as_many_nodes_as_there_can_be_are_solved_at_once)
{
	rig_pool("/sys/kernel/mm", 2, 128, 128);
	rig_nodes("0-127", "0-127");
	for (unsigned int n = 0; n < 128; n++) {
		rig_node_pool(n, 2, 1, 1);
		node[n] = (struct topo_node){ 2 * MIB, { UINT64_MAX, UINT64_MAX }, NODE_BIND };
		/* The last ones want the nodes that the first ones would take. */
		if (n >= 64)
			node[n] = (struct topo_node){ 2 * MIB, { 1ull << (n - 64), 0 }, NODE_BIND };
	}
	t.nr_nodes = 128;
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 256 * MIB), 0);
	node[127].host_nodes[0] = 1; /* two for node 0 */
	ck_assert_int_eq(check_pool(HOST_PAGE_2M, 256 * MIB), -ENOMEM);
	check_said("2 pages of 2M are needed for guest nodes 64,127 bound to this host's node 0, and 1 is "
		   "free there");
}
END_TEST

static bool room_now;

static int check_room(uint64_t bytes)
{
	host_memory_fini(&h);
	ck_assert_int_eq(host_memory_read(&h, rig_root), 0);
	return memory_check_node_room(&h, bytes, &t, room_now, &e);
}

START_TEST(more_than_all_memory_of_a_node_is_refused)
{
	host("0-1", (const unsigned int[4]){ 1, 4 }); /* GiB */
	guest_node(1024, 1, NODE_BIND);
	guest_node(4096, 2, NODE_BIND);
	ck_assert_int_eq(check_room(5 * GIB), 0);
	node[0].memory_bytes = GIB + 4096;
	ck_assert_int_eq(check_room(6 * GIB), -ENOMEM);
	check_said("--numa: 1025 MiB are to come for guest node 0 bound to this host's node 0, and all the "
		   "memory there is 1024 MiB; expected");
	node[0].host_nodes[0] = 3;
	ck_assert_int_eq(check_room(6 * GIB), -ENOMEM);
	check_said("5121 MiB are to come for guest nodes 0-1 bound to this host's nodes 0-1, and all the "
		   "memory there is 5120");
	node[0].policy = NODE_PREFERRED;
	ck_assert_int_eq(check_room(6 * GIB), 0);
}
END_TEST

START_TEST(what_is_present_at_once_needs_memory_that_is_there_now)
{
	host("0-1", (const unsigned int[4]){ 4, 4 }); /* GiB; node 1 has 3 GiB free */
	guest_node(3072, 2, NODE_BIND);
	room_now = true;
	ck_assert_int_eq(check_room(3 * GIB), 0);
	node[0].memory_bytes += MIB;
	ck_assert_int_eq(check_room(4 * GIB), -ENOMEM);
	check_said("3073 MiB are to come for guest node 0 bound to this host's node 1, and at once, where there "
		   "are now 3072 MiB; expected");
	room_now = false;
	ck_assert_int_eq(check_room(4 * GIB), 0);
}
END_TEST

START_TEST(host_that_tells_no_sizes_has_room)
{
	guest_node(1 << 20, 1, NODE_BIND);
	ck_assert_int_eq(check_room(1 << 30), 0);
	rig_nodes("0", "0");
	ck_assert_int_eq(check_room(1 << 30), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_check_nodes");
	TCase *c = tcase_create("memory_check_nodes");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, pool_that_has_enough_says_nothing);
	tcase_add_test(c, pool_that_lacks_a_page_says_how_many_there_are_on_each_node_and_how_to_get_more);
	tcase_add_test(c, pages_promised_to_others_are_not_free);
	tcase_add_test(c, surplus_pages_count_as_far_as_the_host_allows_them);
	tcase_add_test(c, pages_of_1g_are_best_had_at_boot);
	tcase_add_test(c, host_without_pages_of_that_size_is_told_as_such);
	tcase_add_test(c, node_that_runs_out_is_named_though_the_pool_has_enough);
	tcase_add_test(c, guest_nodes_on_the_same_host_node_are_summed_up);
	tcase_add_test(c, several_nodes_that_run_out_have_a_command_each);
	tcase_add_test(c, more_than_three_commands_are_cut_short);
	tcase_add_loop_test(c, guest_nodes_that_share_host_nodes_make_room_for_each_other, 0,
			    ARRAY_SIZE(shared));
	tcase_add_test(c, what_is_lacking_is_wanted_from_the_node_with_most_free_memory);
	tcase_add_test(c, policies_other_than_bind_take_pages_from_any_node);
	tcase_add_test(c, node_sizes_beyond_all_ram_do_not_count);
	tcase_add_test(c, as_many_nodes_as_there_can_be_are_solved_at_once);
	tcase_add_test(c, more_than_all_memory_of_a_node_is_refused);
	tcase_add_test(c, what_is_present_at_once_needs_memory_that_is_there_now);
	tcase_add_test(c, host_that_tells_no_sizes_has_room);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
