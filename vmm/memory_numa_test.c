/*
 * Unit tests of memory_numa.c: where each node's RAM is, which of the host's nodes are refused, and what the kernel
 * was told. That pages then come from there is the kernel's business, and needs a host of several nodes.
 */
#include <check.h>
#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include "vmm/base/map.h"
#include "vmm/host/memory_rig.h"
#include "vmm/memory_internal.h"

static struct topo_node node[4];
static struct topology t;
static struct memory mem;
static struct node_range map[PLATFORM_MAX_NODE_RANGES];
static struct err e;

static void setup(void)
{
	rig_setup();
	memset(node, 0, sizeof(node));
	t = (struct topology){ .nr_nodes = 1, .node = node };
}

static void teardown(void)
{
	memory_fini(&mem);
	rig_teardown();
}

#define HIGH MAP_HIGH_RAM_BASE

static const struct {
	uint64_t node[4];
	unsigned int nr_nodes, nr;
	struct node_range want[5];
} maps[] = {
	{ { 0 }, 0, 0, { { 0 } } },
	{ { GIB }, 1, 1, { { 0, GIB, 0 } } },
	{ { GIB, 2 * GIB }, 2, 2, { { 0, GIB, 0 }, { GIB, 2 * GIB, 1 } } },
	/* The hole: inside a node, at the boundary of two, and behind a node without memory. */
	{ { 2 * GIB, 2 * GIB }, 2, 3, { { 0, 2 * GIB, 0 }, { 2 * GIB, GIB, 1 }, { HIGH, GIB, 1 } } },
	{ { 4 * GIB, GIB }, 2, 3, { { 0, 3 * GIB, 0 }, { HIGH, GIB, 0 }, { HIGH + GIB, GIB, 1 } } },
	{ { 3 * GIB, GIB }, 2, 2, { { 0, 3 * GIB, 0 }, { HIGH, GIB, 1 } } },
	{ { 3 * GIB - 4096, 0, 8192, 4096 },
	  4,
	  4,
	  { { 0, 3 * GIB - 4096, 0 },
	    { 3 * GIB - 4096, 4096, 2 },
	    { HIGH, 4096, 2 },
	    { HIGH + 4096, 4096, 3 } } },
	{ { 4 * MIB, 0, 0, 4 * MIB }, 4, 2, { { 0, 4 * MIB, 0 }, { 4 * MIB, 4 * MIB, 3 } } },
};

START_TEST(nodes_follow_each_other_around_the_hole)
{
	uint64_t sum = 0;

	t.nr_nodes = maps[_i].nr_nodes;
	for (unsigned int n = 0; n < 4; n++) {
		node[n].memory_bytes = maps[_i].node[n];
		sum += maps[_i].node[n];
	}
	ck_assert_int_eq(memory_init(&mem, sum ? sum : GIB, &e), 0);
	ck_assert_uint_eq(memory_node_map(&t, sum, map), maps[_i].nr);
	for (unsigned int i = 0; i < maps[_i].nr; i++) {
		ck_assert_uint_eq(map[i].start, maps[_i].want[i].start);
		ck_assert_uint_eq(map[i].len, maps[_i].want[i].len);
		ck_assert_uint_eq(map[i].node, maps[_i].want[i].node);
		ck_assert_ptr_nonnull(gmem_hva(&mem.gmem, map[i].start, map[i].len)); /* it is RAM */
	}
}
END_TEST

START_TEST(nodes_with_more_than_all_ram_end_where_it_ends)
{
	t.nr_nodes = 3;
	node[0].memory_bytes = GIB;
	node[1].memory_bytes = UINT64_MAX;
	node[2].memory_bytes = UINT64_MAX;
	ck_assert_uint_eq(memory_node_map(&t, 2 * GIB, map), 2);
	ck_assert_uint_eq(map[1].len, GIB);
}
END_TEST

static const struct {
	unsigned int host_node;
	const char *want; /* NULL: fine */
} hosts[] = {
	{ 0, NULL },
	{ 2, NULL },
	{ 1, "node=1: host-nodes: this host's node 1 has no memory; those with memory are 0,2,70" },
	{ 3, "this host's node 3 does not exist; those with memory are 0,2,70" },
	{ 70, NULL },
	{ 127, "node 127 does not exist" },
};

START_TEST(host_nodes_must_have_memory)
{
	unsigned int h = hosts[_i].host_node;

	rig_nodes("0-2,70,900\n", "0,2,70,900\n");
	t.nr_nodes = 2;
	node[1] = (struct topo_node){ MIB, { [0] = 0 }, NODE_BIND };
	node[1].host_nodes[h / 64] = 1ull << h % 64;
	ck_assert_int_eq(memory_check_host_nodes(&t, rig_root, &e), hosts[_i].want ? -EINVAL : 0);
	ck_assert_msg(!hosts[_i].want || strstr(e.text, hosts[_i].want), "%s", e.text);
}
END_TEST

START_TEST(host_nodes_must_be_allowed_to_this_process)
{
	rig_nodes("0-3\n", "0-3\n");
	rig_file("/proc/self/status",
		 "Name:\tx\nMems_allowed:\t5\nMems_allowed_list:\t0,2\nvoluntary_ctxt_switches:\t9\n");
	node[0] = (struct topo_node){ MIB, { 5 }, NODE_BIND };
	ck_assert_int_eq(memory_check_host_nodes(&t, rig_root, &e), 0);
	node[0].host_nodes[0] = 7;
	ck_assert_int_eq(memory_check_host_nodes(&t, rig_root, &e), -EINVAL);
	ck_assert_msg(
		strstr(e.text,
		       "may not have memory of this host's node 1, but of 0,2 alone (Mems_allowed_list") !=
			NULL,
		"%s", e.text);
	rig_file("/proc/self/status", "Name:\tx\n"); /* not told */
	ck_assert_int_eq(memory_check_host_nodes(&t, rig_root, &e), 0);
	rig_file("/proc/self/status", "Name:\tx\nMems_allowed_list:\tmost\n");
	ck_assert_int_eq(memory_check_host_nodes(&t, rig_root, &e), 0);
}
END_TEST

START_TEST(host_without_numa_is_told_as_such)
{
	node[0] = (struct topo_node){ MIB, { 1 }, NODE_BIND };
	ck_assert_int_eq(memory_check_host_nodes(&t, "/nonexistent", &e), -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(e.text, "tells of no NUMA nodes in /nonexistent/sys/devices/system/node"));
	node[0].policy = NODE_DEFAULT; /* not asked for, not looked for */
	ck_assert_int_eq(memory_check_host_nodes(&t, "/nonexistent", &e), 0);
}
END_TEST

/* What mbind() was told of the page at this guest-physical address. */
static void check_policy(uint64_t gpa, int want, unsigned long want_mask)
{
	unsigned long mask[16] = { 0 };
	int mode = -1;

	ck_assert_int_eq(syscall(SYS_get_mempolicy, &mode, mask, 8 * sizeof(mask),
				 gmem_hva(&mem.gmem, gpa, 1), MPOL_F_ADDR),
			 0);
	ck_assert_int_eq(mode, want);
	ck_assert_uint_eq(mask[0], want_mask);
}

static bool have_mbind(void)
{
	int mode;

	if (syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 &&
	    access("/sys/devices/system/node/node0", F_OK) == 0)
		return true;
	printf("# SKIP no mbind(2) here\n");
	return false;
}

START_TEST(each_node_is_bound_by_its_own_policy)
{
	t.nr_nodes = 4;
	node[0] = (struct topo_node){ 2 * GIB, { 0 }, NODE_DEFAULT };
	node[1] = (struct topo_node){ 2 * GIB, { 1 }, NODE_BIND };
	node[2] = (struct topo_node){ 4096, { 1 }, NODE_PREFERRED };
	node[3] = (struct topo_node){ 4096, { 1 }, NODE_INTERLEAVE };
	ck_assert_int_eq(memory_init(&mem, 4 * GIB + 8192, &e), 0);
	ck_assert_msg(memory_bind(&mem, &t, &e) == 0, "%s", e.text);
	check_policy(0, MPOL_DEFAULT, 0);
	check_policy(2 * GIB - 4096, MPOL_DEFAULT, 0);
	check_policy(2 * GIB, MPOL_BIND, 1);
	check_policy(3 * GIB - 4096, MPOL_BIND, 1);
	check_policy(HIGH, MPOL_BIND, 1);
	check_policy(HIGH + GIB - 4096, MPOL_BIND, 1);
	check_policy(HIGH + GIB, MPOL_PREFERRED, 1);
	check_policy(HIGH + GIB + 4096, MPOL_INTERLEAVE, 1);
	ck_assert_int_eq(gmem_write(&mem.gmem, 2 * GIB, "x", 1), 0); /* a page comes */
}
END_TEST

START_TEST(host_node_that_does_not_exist_is_refused_before_mbind)
{
	node[0] = (struct topo_node){ 2 * MIB, { [1] = 1ull << 63 }, NODE_BIND };
	ck_assert_int_eq(memory_init(&mem, 2 * MIB, &e), 0);
	ck_assert_int_eq(memory_bind(&mem, &t, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "this host's node 127 does not exist"));
	ck_assert(e.usage);
}
END_TEST

START_TEST(more_than_a_host_node_has_is_refused_before_mbind)
{
	uint64_t bytes = 1ull << 46; /* address space is there, and no node of that size */

	node[0] = (struct topo_node){ bytes, { 1 }, NODE_BIND };
	ck_assert_int_eq(memory_init(&mem, bytes, &e), 0);
	ck_assert_int_eq(memory_bind(&mem, &t, &e), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(
		e.text, "--numa: 67108864 MiB are to come for guest node 0 bound to this host's node 0"));
	node[0].policy = NODE_PREFERRED; /* as much as there is */
	ck_assert_msg(memory_bind(&mem, &t, &e) == 0, "%s", e.text);
}
END_TEST

START_TEST(guest_that_names_no_host_nodes_is_neither_bound_nor_verified)
{
	node[0] = (struct topo_node){ 2 * MIB, { 0 }, NODE_BIND };
	ck_assert_int_eq(memory_init(&mem, 2 * MIB, &e), 0);
	ck_assert_int_eq(memory_bind(&mem, &t, &e), 0);
	check_policy(0, MPOL_DEFAULT, 0);
	ck_assert_int_eq(gmem_write(&mem.gmem, 0, "x", 1), 0);
	ck_assert_int_eq(memory_verify(&mem, &t, &e), 0);
}
END_TEST

/* Guest nodes of 64 MiB around the hole, all bound to host node 0; the second is there, and the end of the third. */
static void make_bound(void)
{
	t.nr_nodes = 3;
	node[0] = (struct topo_node){ 3 * GIB - 32 * MIB, { 1 }, NODE_BIND };
	node[1] = (struct topo_node){ 64 * MIB, { 1 }, NODE_BIND };
	node[2] = (struct topo_node){ 64 * MIB, { 1 }, NODE_BIND };
	ck_assert_int_eq(memory_init(&mem, 3 * GIB + 96 * MIB, &e), 0);
	ck_assert_msg(memory_bind(&mem, &t, &e) == 0, "%s", e.text);
	memset(gmem_hva(&mem.gmem, 3 * GIB - 32 * MIB, 32 * MIB), 1, 32 * MIB);
	memset(gmem_hva(&mem.gmem, HIGH, 32 * MIB), 1, 32 * MIB);
	memset(gmem_hva(&mem.gmem, HIGH + 94 * MIB, 2 * MIB), 1, 2 * MIB);
}

START_TEST(pages_where_they_should_be_are_verified_and_absent_ones_skipped)
{
	make_bound();
	ck_assert_msg(memory_verify(&mem, &t, &e) == 0, "%s", e.text);
	node[0].host_nodes[0] = 2; /* elsewhere, but there is no page to be wrong */
	ck_assert_msg(memory_verify(&mem, &t, &e) == 0, "%s", e.text);
}
END_TEST

static const struct {
	unsigned int node;
	uint64_t host_nodes[2];
	int policy;
	const char *want; /* NULL: fine */
} placed[] = {
	{ 1,
	  { 2 },
	  NODE_BIND,
	  "--numa node=1: the page at guest-physical 0xbe000000 is on this host's node 0, and policy=bind" },
	{ 2,
	  { 6, 1ull << 63 },
	  NODE_BIND,
	  "node=2: the page at guest-physical 0x105e00000 is on this host's node 0, and policy=bind allows "
	  "1-2,127 alone" },
	{ 1, { 3 }, NODE_BIND, NULL },
	{ 1, { 2 }, NODE_PREFERRED, NULL }, /* a wish */
	{ 1, { 2 }, NODE_INTERLEAVE, NULL },
	{ 1, { 0 }, NODE_BIND, NULL },
};

START_TEST(page_on_a_node_that_bind_does_not_allow_is_told_with_its_address)
{
	make_bound();
	node[placed[_i].node].policy = placed[_i].policy;
	memcpy(node[placed[_i].node].host_nodes, placed[_i].host_nodes, sizeof(placed[_i].host_nodes));
	ck_assert_int_eq(memory_verify(&mem, &t, &e), placed[_i].want ? -EXDEV : 0);
	ck_assert_msg(!placed[_i].want || strstr(e.text, placed[_i].want), "%s", e.text);
}
END_TEST

static const struct {
	uint64_t mask[2];
	const char *want;
} masks[] = {
	{ { 0 }, "" },
	{ { 1 }, "0" },
	{ { 0xb, 1ull << 63 }, "0-1,3,127" },
	{ { UINT64_MAX, UINT64_MAX }, "0-127" },
};

START_TEST(masks_of_host_nodes_are_written_as_lists)
{
	char text[256];

	ck_assert_str_eq(memory_nodes_text(masks[_i].mask, text, sizeof(text)), masks[_i].want);
}
END_TEST

START_TEST(list_that_does_not_fit_is_cut_off)
{
	char text[8];

	memset(text, 'x', sizeof(text));
	memory_nodes_text((const uint64_t[2]){ 0x5555, 0 }, text, 6);
	ck_assert_uint_lt(strlen(text), 6);
	ck_assert_int_eq(text[6], 'x');
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_numa");
	TCase *c = tcase_create("memory_numa");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, nodes_follow_each_other_around_the_hole, 0, ARRAY_SIZE(maps));
	tcase_add_test(c, nodes_with_more_than_all_ram_end_where_it_ends);
	tcase_add_loop_test(c, host_nodes_must_have_memory, 0, ARRAY_SIZE(hosts));
	tcase_add_test(c, host_nodes_must_be_allowed_to_this_process);
	tcase_add_test(c, host_without_numa_is_told_as_such);
	tcase_add_loop_test(c, masks_of_host_nodes_are_written_as_lists, 0, ARRAY_SIZE(masks));
	tcase_add_test(c, list_that_does_not_fit_is_cut_off);
	if (have_mbind()) {
		tcase_add_test(c, each_node_is_bound_by_its_own_policy);
		tcase_add_test(c, host_node_that_does_not_exist_is_refused_before_mbind);
		tcase_add_test(c, more_than_a_host_node_has_is_refused_before_mbind);
		tcase_add_test(c, guest_that_names_no_host_nodes_is_neither_bound_nor_verified);
		tcase_add_test(c, pages_where_they_should_be_are_verified_and_absent_ones_skipped);
		tcase_add_loop_test(c, page_on_a_node_that_bind_does_not_allow_is_told_with_its_address, 0,
				    ARRAY_SIZE(placed));
	}
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
