/* Unit tests of json.c, with a checker of the grammar (RFC 8259) that knows nothing of the writer. */
#include "vmm/base/json_rig.h"
#include "vmm/view/view_rig.h"

static struct processors p;
static struct cpuid_table table;
static char *text;

static void setup(void)
{
	p = (struct processors){ 0 };
	table = (struct cpuid_table){ 0 };
}

static void teardown(void)
{
	free(text);
	text = NULL;
	rig_fini(&p.topo);
}

static const char *json(void)
{
	free(text);
	text = rig_print(view_json, &p);
	ck_assert_msg(json_is_whole(text), "no JSON:\n%.2000s", text);
	return text;
}

static const struct {
	const char *text;
	bool want;
} grammar[] = {
	{ "{}", true },
	{ "{\"a\": [1, {\"b\": null}]}\n", true },
	{ "[1,]", false },
	{ "[1 2]", false },
	{ "{\"a\" 1}", false },
	{ "{1: 1}", false },
	{ "[01]", false },
	{ "\"\n\"", false },
	{ "\"\\x\"", false },
	{ "\"\\u12\"", false },
	{ "[\"\\u1234\"]", true },
	{ "[", false },
	{ "{} {}", false },
	{ "[nul]", false },
	{ "", false },
};

START_TEST(checker_knows_json_from_what_is_none)
{
	ck_assert_int_eq(json_is_whole(grammar[_i].text), grammar[_i].want);
}
END_TEST

/* ---- shapes ---- */

START_TEST(smallest_machine_is_json)
{
	rig_regular(&p.topo, 1, 1, 1, 1, 1);
	json();
	ck_assert_ptr_nonnull(strstr(text, "\"vcpus\": 1,"));
	ck_assert_ptr_nonnull(strstr(text, "\"paths\": [],"));
	ck_assert_ptr_nonnull(strstr(text, "\"notes\": []"));
	ck_assert_ptr_nonnull(strstr(text, "\"cpu\": {\"model\": null, \"vendor\": null"));
}
END_TEST

START_TEST(every_vcpu_tells_its_place)
{
	rig_regular(&p.topo, 2, 2, 1, 3, 2);
	rig_caches(&p.topo);
	rig_present(&p.topo, 23);
	json();
	ck_assert_ptr_nonnull(strstr(
		text, "\"vcpus\": 24,\n  \"present\": 23,\n  \"regular\": true,\n  \"hybrid\": false"));
	ck_assert_str_eq(
		rig_line(text, "    {\"vcpu\": 23"),
		"    {\"vcpu\": 23, \"apic_id\": 29, \"present\": false, \"core_type\": null, "
		"\"number\": {\"package\": 1, \"die\": 1, \"module\": 0, \"core\": 2, \"thread\": 1}, "
		"\"unit\": {\"package\": 1, \"die\": 3, \"module\": 3, \"core\": 11, \"thread\": 23}, "
		"\"caches\": [11, 11, 11, 3], \"node\": null, \"host_cpu\": null}");
	ck_assert_str_eq(rig_line(text, "    \"die\""),
			 "    \"die\": {\"per_unit\": 2, \"units\": 4, \"shift\": 3},");
}
END_TEST

START_TEST(caches_tell_who_shares_them)
{
	rig_hybrid(&p.topo);
	rig_hybrid_caches(&p.topo);
	json();
	ck_assert_ptr_nonnull(
		strstr(text, "\"core_type\": \"efficiency\",\n     \"instances\": [[8, 9, 10, 11]]}"));
	ck_assert_ptr_nonnull(strstr(text, "\"instances\": [[0, 1], [2, 3], [4, 5], [6, 7]]}"));
	ck_assert_ptr_nonnull(
		strstr(rig_line(text, "    {\"vcpu\": 11"), "\"caches\": [null, 3, null, 3, null, 0, 0]"));
}
END_TEST

START_TEST(nodes_tell_memory_distances_and_paths)
{
	rig_regular(&p.topo, 2, 1, 1, 2, 1);
	rig_nodes(&p.topo, 3, 2, 5 * GIB);
	p.topo.node[1].host_nodes[1] = 3;
	p.topo.node[1].policy = NODE_INTERLEAVE;
	p.topo.distance[1] = 31;
	p.topo.path = calloc(9, sizeof(*p.topo.path));
	p.topo.path[5] = (struct topo_path){ .read_ns = 90, .write_mbs = 20000 };
	json();
	ck_assert_str_eq(rig_line(text, "    {\"node\": 1"),
			 "    {\"node\": 1, \"memory_bytes\": 5368709120, "
			 "\"cpus\": [2, 3], \"host_nodes\": [64, 65], "
			 "\"policy\": \"interleave\"},");
	ck_assert_ptr_nonnull(strstr(rig_line(text, "    {\"node\": 2"), "\"cpus\": []"));
	ck_assert_ptr_nonnull(strstr(text, "    [10, 31, 21],\n    [21, 10, 21],\n    [21, 21, 10]\n"));
	ck_assert_str_eq(rig_line(text, "    {\"from\""),
			 "    {\"from\": 1, \"to\": 2, \"read_ns\": 90, \"write_ns\": 0, "
			 "\"read_mbs\": 0, \"write_mbs\": 20000}");
}
END_TEST

START_TEST(largest_machine_is_json)
{
	rig_regular(&p.topo, 16, 2, 2, 32, 2);
	rig_caches(&p.topo);
	rig_nodes(&p.topo, 128, 32, GIB);
	json();
	ck_assert_uint_eq(rig_count(text, "\"vcpu\":"), TOPO_MAX_CPUS);
}
END_TEST

/* ---- the processor and strings ---- */

static void set_leaf(unsigned int i, uint32_t leaf, const char regs[16])
{
	table.entry[i].function = leaf;
	memcpy(&table.entry[i].eax, regs, 4);
	memcpy(&table.entry[i].ebx, regs + 4, 4);
	memcpy(&table.entry[i].ecx, regs + 8, 4);
	memcpy(&table.entry[i].edx, regs + 12, 4);
	table.nent = i + 1;
}

static const struct {
	uint32_t eax;
	const char *want;
} versions[] = {
	{ 0x00806f8, "\"family\": 6, \"cpu_model\": 143, \"stepping\": 8" }, /* Sapphire Rapids */
	{ 0x0a00f11, "\"family\": 25, \"cpu_model\": 1, \"stepping\": 1" },  /* Milan */
	{ 0x0000f4a, "\"family\": 15, \"cpu_model\": 4, \"stepping\": 10" }, /* Prescott */
	{ 0x0000543,
	  "\"family\": 5, \"cpu_model\": 4, \"stepping\": 3" }, /* Pentium MMX: no extended fields */
};

START_TEST(version_is_decoded_as_vendors_say)
{
	rig_regular(&p.topo, 1, 1, 1, 1, 1);
	p.table = &table;
	table.entry[0].function = 1;
	table.entry[0].eax = versions[_i].eax;
	table.entry[0].ecx = 1u << 31;
	table.nent = 1;
	ck_assert_ptr_nonnull(strstr(json(), versions[_i].want));
	ck_assert_ptr_nonnull(strstr(text, "\"hypervisor\": true"));
}
END_TEST

START_TEST(strings_are_escaped)
{
	struct cpu_options opts = { .model.name = "a\"b\\c" };
	char *notes[] = { (char[]){ "tab\there, euro \xe2\x82\xac" },
			  (char[]){ "\xff \xc0\xaf \xed\xa0\x80 \xe2\x82 end\x7f" } };

	rig_regular(&p.topo, 1, 1, 1, 1, 1);
	p.opts = &opts;
	p.table = &table;
	set_leaf(0, 0, "\x01\0\0\0A\"\\\nB\x80\x1b\x43xyz!");
	p.notes.text[0] = notes[0];
	p.notes.text[1] = notes[1];
	p.notes.nr = 2;
	json();
	ck_assert_ptr_nonnull(strstr(text, "\"model\": \"a\\\"b\\\\c\""));
	ck_assert_ptr_nonnull(strstr(text, "\"tab\\u0009here, euro \xe2\x82\xac\""));
	ck_assert_ptr_nonnull(
		strstr(text, "\"\\ufffd \\ufffd\\ufffd \\ufffd\\ufffd\\ufffd \\ufffd\\ufffd end\\u007f\""));
}
END_TEST

START_TEST(msrs_are_listed)
{
	struct msr_override msr[] = { { 0x1a0, 1 }, { 0xc0000080, UINT64_MAX } };
	struct cpu_options opts = { .msr = msr, .nr_msrs = 2 };

	rig_regular(&p.topo, 1, 1, 1, 1, 1);
	ck_assert_ptr_nonnull(strstr(json(), "\"msrs\": []"));
	p.opts = &opts;
	ck_assert_ptr_nonnull(strstr(json(), "{\"index\": \"0x1a0\", \"value\": \"0x1\"},"));
	ck_assert_ptr_nonnull(strstr(text, "{\"index\": \"0xc0000080\", \"value\": \"0xffffffffffffffff\"}"));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("json");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, checker_knows_json_from_what_is_none, 0, ARRAY_SIZE(grammar));
	tcase_add_test(c, smallest_machine_is_json);
	tcase_add_test(c, every_vcpu_tells_its_place);
	tcase_add_test(c, caches_tell_who_shares_them);
	tcase_add_test(c, nodes_tell_memory_distances_and_paths);
	tcase_add_test(c, largest_machine_is_json);
	tcase_add_loop_test(c, version_is_decoded_as_vendors_say, 0, ARRAY_SIZE(versions));
	tcase_add_test(c, strings_are_escaped);
	tcase_add_test(c, msrs_are_listed);
	return rig_run("json", c);
}
