/*
 * Unit tests of host_memory.c, over small trees that look like /proc and /sys. That kernels write these files as the
 * trees have them is not proved here.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/host/memory_rig.h"
#include "vmm/host/host_memory.h"

static struct host_memory h;
static char text[512];

static void setup(void)
{
	rig_setup();
	h = (struct host_memory){ 0 };
}

static void teardown(void)
{
	host_memory_fini(&h);
	rig_teardown();
}

START_TEST(host_that_tells_nothing_is_all_unknown)
{
	ck_assert_int_eq(host_memory_read(&h, rig_root), 0);
	ck_assert_uint_eq(h.total_bytes, 0);
	ck_assert_uint_eq(h.nr_nodes, 0);
	ck_assert(!h.pool[HOST_PAGE_2M].known);
	ck_assert(!h.ksm_known);
	ck_assert_str_eq(h.thp, "");
	ck_assert_str_eq(h.thp_shmem, "");
	ck_assert_ptr_null(host_memory_node(&h, 0));
	ck_assert_str_eq(host_pool_text(&h, HOST_PAGE_2M, text, sizeof(text)), "node 0: 0 of 0 free");
}
END_TEST

START_TEST(numbers_of_the_whole_host_are_read)
{
	rig_file("/proc/meminfo",
		 "MemTotal:       10840276 kB\nMemFree:        9 kB\nMemAvailable:   10370236 "
		 "kB\nSwapCached:            3 kB\nSwapTotal:      64 kB\nSwapFree:       48 kB\n");
	rig_pool("/sys/kernel/mm", 2, 164, 100);
	rig_file("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "20\n");
	rig_file("/sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages", "4\n");
	rig_file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages", "10\n");
	rig_file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	rig_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
		 "always [within_size] advise never deny force\n");
	rig_file("/sys/kernel/mm/ksm/run", "1\n");
	rig_file("/sys/kernel/mm/ksm/pages_shared", "5\n");
	rig_file("/sys/kernel/mm/ksm/pages_sharing", "7\n");
	ck_assert_int_eq(host_memory_read(&h, rig_root), 0);
	ck_assert_uint_eq(h.total_bytes, 10840276 * KIB);
	ck_assert_uint_eq(h.available_bytes, 10370236 * KIB);
	ck_assert_uint_eq(h.swap_free_bytes, 48 * KIB);
	ck_assert(h.pool[HOST_PAGE_2M].known);
	ck_assert_uint_eq(h.pool[HOST_PAGE_2M].total, 164);
	ck_assert_uint_eq(h.pool[HOST_PAGE_2M].free, 100);
	ck_assert_uint_eq(h.pool[HOST_PAGE_2M].reserved, 20);
	ck_assert_uint_eq(h.pool[HOST_PAGE_2M].surplus, 4);
	ck_assert_uint_eq(h.pool[HOST_PAGE_2M].overcommit, 10);
	ck_assert(!h.pool[HOST_PAGE_1G].known);
	ck_assert_str_eq(h.thp, "madvise");
	ck_assert_str_eq(h.thp_shmem, "within_size");
	ck_assert(h.ksm_known);
	ck_assert_uint_eq(h.ksm_run, 1);
	ck_assert_uint_eq(h.ksm_pages_shared, 5);
	ck_assert_uint_eq(h.ksm_pages_sharing, 7);
	ck_assert_str_eq(host_pool_text(&h, HOST_PAGE_2M, text, sizeof(text)), "node 0: 100 of 164 free");
}
END_TEST

/* Node 1 has CPUs and no memory, node 8 memory and no CPUs; node 2 is not online. */
static void make_nodes(void)
{
	rig_nodes("0-1,8", "0,8");
	rig_node(0, "0-3", 1024 * MIB, 512 * MIB);
	rig_node(1, "4-7", 0, 0);
	rig_node(8, "", 2048 * MIB, 2000 * MIB);
	rig_node_pool(0, 2, 64, 60);
	rig_node_pool(0, 1024, 1, 0);
	rig_node_pool(8, 2, 100, 40);
}

START_TEST(nodes_are_those_online_with_their_memory_cpus_and_pools)
{
	const struct host_node *n;

	make_nodes();
	ck_assert_int_eq(host_memory_read(&h, rig_root), 0);
	ck_assert_uint_eq(h.nr_nodes, 3);
	n = host_memory_node(&h, 0);
	ck_assert(n && n->has_memory);
	ck_assert_uint_eq(n->total_bytes, 1024 * MIB);
	ck_assert_uint_eq(n->free_bytes, 512 * MIB);
	ck_assert_str_eq(n->cpus, "0-3");
	ck_assert_uint_eq(n->pool[HOST_PAGE_2M].free, 60);
	ck_assert_uint_eq(n->pool[HOST_PAGE_1G].total, 1);
	n = host_memory_node(&h, 1);
	ck_assert(n && !n->has_memory);
	ck_assert(!n->pool[HOST_PAGE_2M].known);
	n = host_memory_node(&h, 8);
	ck_assert(n && n->has_memory);
	ck_assert_uint_eq(n->number, 8);
	ck_assert_str_eq(n->cpus, "");
	ck_assert(!n->pool[HOST_PAGE_1G].known);
	ck_assert_ptr_null(host_memory_node(&h, 2));
}
END_TEST

START_TEST(kernel_that_does_not_say_which_nodes_have_memory_tells_by_their_size)
{
	make_nodes();
	rig_remove("/sys/devices/system/node/has_memory");
	ck_assert_int_eq(host_memory_read(&h, rig_root), 0);
	ck_assert(host_memory_node(&h, 0)->has_memory);
	ck_assert(!host_memory_node(&h, 1)->has_memory);
	ck_assert(host_memory_node(&h, 8)->has_memory);
}
END_TEST

START_TEST(pools_are_told_by_node_and_cut_off_where_the_room_ends)
{
	make_nodes();
	ck_assert_int_eq(host_memory_read(&h, rig_root), 0);
	ck_assert_str_eq(host_pool_text(&h, HOST_PAGE_2M, text, sizeof(text)),
			 "node 0: 60 of 64 free, node 8: 40 of 100 free");
	ck_assert_str_eq(host_pool_text(&h, HOST_PAGE_1G, text, sizeof(text)), "node 0: 0 of 1 free");
	memset(text, 'x', sizeof(text));
	ck_assert_str_eq(host_pool_text(&h, HOST_PAGE_2M, text, 26), "node 0: 60 of 64 free, no");
	ck_assert_int_eq(text[26], 'x');
	ck_assert_str_eq(host_pool_text(&h, HOST_PAGE_2M, text, 1), "");
}
END_TEST

static const struct {
	struct host_pool pool;
	uint64_t want;
} available[] = {
	{ { .total = 8, .free = 8 }, 8 },
	{ { .total = 8, .free = 8, .reserved = 3 }, 5 },
	{ { .total = 8, .free = 2, .reserved = 3 }, 0 },
	{ { .total = 8, .free = 2, .overcommit = 4 }, 6 },
	{ { .total = 8, .free = 2, .surplus = 3, .overcommit = 4 }, 3 },
	{ { .total = 8, .free = 2, .surplus = 5, .overcommit = 4 }, 2 },
	{ { .total = 8, .free = 2, .overcommit = UINT64_MAX }, UINT64_MAX },
};

START_TEST(pages_promised_to_others_are_not_available_and_surplus_ones_are)
{
	ck_assert_uint_eq(host_pool_available(&available[_i].pool), available[_i].want);
}
END_TEST

static const char *const odd_lists[] = { "\n", "none\n", "0-70000\n", "1-0\n" };

START_TEST(list_of_nodes_that_makes_no_sense_is_no_list)
{
	rig_nodes(odd_lists[_i], "0");
	ck_assert_int_eq(host_memory_read(&h, rig_root), 0);
	ck_assert_uint_eq(h.nr_nodes, 0);
}
END_TEST

START_TEST(this_host_has_memory)
{
	ck_assert_int_eq(host_memory_read(&h, ""), 0);
	ck_assert_uint_gt(h.total_bytes, MIB);
	ck_assert_uint_le(h.available_bytes, h.total_bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host_memory");
	TCase *c = tcase_create("host_memory");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, host_that_tells_nothing_is_all_unknown);
	tcase_add_test(c, numbers_of_the_whole_host_are_read);
	tcase_add_test(c, nodes_are_those_online_with_their_memory_cpus_and_pools);
	tcase_add_test(c, kernel_that_does_not_say_which_nodes_have_memory_tells_by_their_size);
	tcase_add_test(c, pools_are_told_by_node_and_cut_off_where_the_room_ends);
	tcase_add_loop_test(c, pages_promised_to_others_are_not_available_and_surplus_ones_are, 0,
			    ARRAY_SIZE(available));
	tcase_add_loop_test(c, list_of_nodes_that_makes_no_sense_is_no_list, 0, ARRAY_SIZE(odd_lists));
	tcase_add_test(c, this_host_has_memory);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
