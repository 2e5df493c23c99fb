/* Unit tests of layout_hwloc.c. The files are what lstopo writes, shortened by what is not read. */
#include "vmm/cpu/layout_rig.h"

#include <errno.h>

#define HEAD                                                                                                 \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n<topology "  \
	"version=\"2.0\">\n"
#define TAIL      "</topology>\n"
#define MACHINE   "<object type=\"Machine\" os_index=\"0\">\n"
#define END       "</object>\n"
#define PU(n)     "<object type=\"PU\" os_index=\"" #n "\"/>\n"
#define CORE(pus) "<object type=\"Core\">\n" pus END
#define L3                                                                                                   \
	"<object type=\"L3Cache\" cache_size=\"16777216\" depth=\"3\" cache_linesize=\"64\" "                \
	"cache_associativity=\"16\" cache_type=\"0\">\n"
#define L2                                                                                                   \
	"<object type=\"L2Cache\" cache_size=\"1048576\" depth=\"2\" cache_linesize=\"64\" "                 \
	"cache_associativity=\"-1\" cache_type=\"0\">\n"
#define L1D                                                                                                  \
	"<object type=\"L1Cache\" cache_size=\"32768\" depth=\"1\" cache_linesize=\"64\" "                   \
	"cache_associativity=\"8\" cache_type=\"1\">\n"
#define L1I                                                                                                  \
	"<object type=\"L1iCache\" cache_size=\"32768\" depth=\"1\" cache_linesize=\"64\" "                  \
	"cache_associativity=\"0\" cache_type=\"2\">\n"
#define PACKAGE "<object type=\"Package\">\n"
#define NODE(n, set, memory)                                                                                 \
	"<object type=\"NUMANode\" os_index=\"" #n "\" cpuset=\"" set "\" local_memory=\"" #memory           \
	"\"><page_type size=\"4096\" count=\"1\"/></object>\n"

static int read_text(const char *text)
{
	return layout_read_hwloc(&rig_layout, rig_file("machine.xml", text), &rig_err);
}

static void read_ok(const char *text)
{
	int rc = read_text(text);

	ck_assert_msg(rc == 0, "%s", rig_err.text);
}

/* ---- places ---- */

static const struct {
	const char *text, *places;
} placed[] = {
	/* one package, uneven threads */
	{ HEAD MACHINE PACKAGE CORE(PU(0) PU(2)) CORE(PU(1)) END END TAIL, "0.0.0.0.0 0.0.0.0.1 0.0.0.1.0" },
	/* packages and dies of unequal size */
	{ HEAD MACHINE PACKAGE "<object type=\"Die\">" CORE(PU(0)) CORE(PU(1)) END
	  "<object type=\"Die\">" CORE(PU(2)) END END "<object type=\"Package\">" CORE(PU(3)) END END TAIL,
	  "0.0.0.0.0 0.0.0.1.0 0.1.0.0.0 1.0.0.0.0" },
	/* groups in a package are modules; a core beside them is one of its own */
	{ HEAD MACHINE PACKAGE CORE(PU(0) PU(1)) "<object type=\"Group\">" CORE(PU(2)) CORE(PU(3)) END
	  "<object type=\"Group\" subtype=\"Module\">" CORE(PU(4)) CORE(PU(5)) END END END TAIL,
	  "0.0.0.0.0 0.0.0.0.1 0.0.1.0.0 0.0.1.1.0 0.0.2.0.0 0.0.2.1.0" },
	/* groups around packages are not, nor are those with a node */
	{ HEAD MACHINE "<object type=\"Group\">" PACKAGE CORE(PU(0)) END END
	  "<object type=\"Group\">" PACKAGE "<object type=\"Group\">" NODE(0, "0x2", 0) CORE(PU(1)) END
	  "<object type=\"Group\">" CORE(PU(2)) END END END END TAIL,
	  "0.0.0.0.0 1.0.0.0.0 1.0.1.0.0" },
	/* a level-3 cache inside a group: the cache is the module, as its sharers need bits of their own */
	{ HEAD MACHINE PACKAGE "<object type=\"Group\">" L3 CORE(PU(0)) CORE(PU(1)) END L3 CORE(PU(2))
		  CORE(PU(3)) END END END END TAIL,
	  "0.0.0.0.0 0.0.0.1.0 0.0.1.0.0 0.0.1.1.0" },
	/* level-2 caches of several cores */
	{ HEAD MACHINE PACKAGE L3 L2 CORE(PU(0)) CORE(PU(1)) END L2 CORE(PU(2)) END END END END TAIL,
	  "0.0.0.0.0 0.0.0.1.0 0.0.1.0.0" },
	/* no cores: one for each PU */
	{ HEAD MACHINE PACKAGE PU(0) PU(1) END END TAIL, "0.0.0.0.0 0.0.0.1.0" },
	/* devices, and elements that are not known, are looked through */
	{ HEAD MACHINE PACKAGE "<object type=\"Misc\"><info name=\"a\" value=\"&quot;\"/>" CORE(PU(0))
		  END END
	  "<object type=\"MemCache\"/><object type=\"L5Cache\"/><object type=\"Bridge\" depth=\"0\"><object type=\"PCIDev\" pci_link_speed=\"0.0\"/></object>" END
	  "<support name=\"x\"/>" TAIL,
	  "0.0.0.0.0" },
	/* 1.x: sockets, and dies as groups with a word of their own */
	{ "<topology><object type=\"Machine\"><object type=\"Socket\"><object type=\"Group\"><info "
	  "name=\"Type\" value=\"Die\"/>" CORE(PU(0)) END
	  "<object type=\"Group\"><info name=\"Type\" value=\"Die\"/>" CORE(PU(1)) END END END TAIL,
	  "0.0.0.0.0 0.1.0.0.0" },
};

START_TEST(objects_around_a_pu_are_its_place)
{
	read_ok(placed[_i].text);
	ck_assert_str_eq(rig_places(), placed[_i].places);
	ck_assert_int_eq(rig_layout.cpu[0].host_cpu, -1);
	ck_assert_uint_eq(rig_layout.cpu[0].apic_id, LAYOUT_NO_ID);
}
END_TEST

/* ---- caches ---- */

START_TEST(caches_have_the_files_sizes_and_groups)
{
	read_ok(HEAD MACHINE PACKAGE L3 L2 L1D L1I CORE(PU(0) PU(1)) END END END L2 L1D L1I CORE(PU(2))
			END END END END END END TAIL);
	ck_assert_uint_eq(rig_layout.nr_caches, 4);
	ck_assert(rig_layout.all_caches);
	ck_assert_str_eq(rig_cache(0), "L1d 32K 8*64 sets 64 in core: 0 0 2");
	ck_assert_str_eq(rig_cache(1), "L1i 32K 0*64 sets 0 in core: 0 0 2");
	ck_assert_str_eq(rig_cache(2), "L2 1024K 0*64 sets 0 in core: 0 0 2");
	ck_assert_str_eq(rig_cache(3), "L3 16384K 16*64 sets 16384 in die: 0 0 0");
}
END_TEST

START_TEST(core_without_a_cache_has_none)
{
	read_ok(HEAD MACHINE PACKAGE L3 CORE(PU(0)) END CORE(PU(1)) END END TAIL);
	ck_assert_str_eq(rig_cache(0), "L3 16384K 16*64 sets 16384 in core: 0 -");
}
END_TEST

START_TEST(instruction_caches_that_were_left_out_come_back)
{
	read_ok(HEAD MACHINE PACKAGE L1D CORE(PU(0)) END L1D CORE(PU(1)) END END END TAIL);
	ck_assert_uint_eq(rig_layout.nr_caches, 2);
	ck_assert_str_eq(rig_cache(1), "L1i 0K 0*0 sets 0 in core: 0 1");
}
END_TEST

START_TEST(old_words_for_caches_are_known)
{
	read_ok("<topology><object type=\"Machine\"><object type=\"Cache\" cache_size=\"4194304\" "
		"depth=\"2\" cache_linesize=\"64\">"
		"<object type=\"Cache\" cache_size=\"32768\" depth=\"1\" cache_linesize=\"64\" "
		"cache_associativity=\"8\" cache_type=\"2\">"
		"<object type=\"Cache\" cache_size=\"32768\" depth=\"1\" cache_linesize=\"64\" "
		"cache_associativity=\"8\">" CORE(PU(0)) END END END END TAIL);
	ck_assert_str_eq(rig_cache(0), "L1d 32K 8*64 sets 64 in core: 0");
	ck_assert_str_eq(rig_cache(1), "L1i 32K 8*64 sets 64 in core: 0");
	ck_assert_str_eq(rig_cache(2), "L2 4096K 0*64 sets 0 in core: 0");
}
END_TEST

/* ---- types ---- */

START_TEST(kinds_of_core_make_a_hybrid_machine)
{
	read_ok(HEAD MACHINE PACKAGE L2 CORE(PU(0)) END L2 CORE(PU(1)) CORE(PU(40)) END END END
		"<cpukind cpuset=\"0x00000100,0x00000002\"><info name=\"CoreType\" "
		"value=\"IntelAtom\"/></cpukind>"
		"<cpukind cpuset=\"0x1\"><info name=\"FrequencyMaxMHz\" value=\"5\"/><info name=\"CoreType\" "
		"value=\"IntelCore\"/></cpukind>" TAIL);
	ck_assert_str_eq(rig_each(RIG_TYPE), "1 2 2");
	ck_assert_str_eq(rig_places(), "0.0.0.0.0 0.0.1.0.0 0.0.1.1.0");
	ck_assert_str_eq(rig_cache(0), "L2 1024K 0*64 sets 0 in module: 0 1 1");
}
END_TEST

START_TEST(one_kind_of_core_is_no_kind)
{
	read_ok(HEAD MACHINE CORE(PU(0)) END
		"<cpukind cpuset=\"0xf...f\"><info name=\"CoreType\" value=\"IntelCore\"/></cpukind>" TAIL);
	ck_assert_str_eq(rig_each(RIG_TYPE), "0");
}
END_TEST

/* ---- nodes ---- */

#define TWO_PACKAGES PACKAGE CORE(PU(0)) END PACKAGE CORE(PU(1)) END
#define DISTANCES(attrs, indexes, values)                                                                    \
	"<distances2 type=\"NUMANode\" nbobjs=\"3\" " attrs "><indexes length=\"1\">" indexes                \
	"</indexes><u64values length=\"1\">" values "</u64values></distances2>"
#define THREE_NODES NODE(4, "0x3", 7) NODE(1, "0x2,0x0", 3) NODE(0, "0xf...f,,0x1", 1073741824)

START_TEST(pu_is_in_the_smallest_node_and_all_nodes_are_there)
{
	read_ok(HEAD MACHINE NODE(2, "0x3", 5) NODE(1, "0x2", 3) NODE(0, "0x1", 1073741824) NODE(7, "", 0)
			NODE(8, "0x2", 1) TWO_PACKAGES END TAIL);
	ck_assert_uint_eq(rig_layout.nr_nodes, 5);
	ck_assert_str_eq(rig_each(RIG_NODE), "0 1");
	ck_assert_uint_eq(rig_layout.node[0].memory_bytes, GIB);
	ck_assert_uint_eq(rig_layout.node[2].memory_bytes, 5);
	ck_assert_str_eq(rig_distances(), "none");
}
END_TEST

START_TEST(one_node_is_no_numa)
{
	read_ok(HEAD MACHINE NODE(0, "0x3", 1) TWO_PACKAGES END TAIL);
	ck_assert_uint_eq(rig_layout.nr_nodes, 0);
}
END_TEST

static const struct {
	const char *text, *want;
} distances[] = {
	{ DISTANCES("kind=\"5\" indexing=\"os\"", "4 0 1", "10 40 41\n 4 10 1 14 1 10"), "none" },
	{ DISTANCES("kind=\"5\" indexing=\"os\"", "4 0 1", "10 40 41 40 10 11 41 12 10"),
	  "10 11 40 12 10 41 40 41 10" },
	{ DISTANCES("kind=\"5\"", "4 0</indexes><indexes length=\"1\">1",
		    "10 40 41</u64values><u64values length=\"2\">40 10 11 41 12 10"),
	  "10 11 40 12 10 41 40 41 10" },
	{ DISTANCES("kind=\"9\"", "4 0 1", "10 40 41 40 10 11 41 12 10"), "none" }, /* bandwidths */
	{ DISTANCES("kind=\"9\"", "4 0 1", "x")
		  DISTANCES("kind=\"6\"", "0 1 4", "10 20 30 20 10 30 30 20 10"),
	  "10 20 30 20 10 30 30 20 10" },
	{ DISTANCES("kind=\"5\" indexing=\"gp\"", "4 0 1", "10 40 41 40 10 11 41 12 10"), "none" },
	{ DISTANCES("kind=\"5\"", "4 0 2", "10 40 41 40 10 11 41 12 10"), "none" },
	{ DISTANCES("kind=\"5\"", "4 0 1 2", "10 40 41 40 10 11 41 12 10"), "none" },
	{ DISTANCES("kind=\"5\"", "4 0 1", "10 40 41 40 10 11 41 12 10 10"), "none" },
	{ DISTANCES("kind=\"5\"", "4 0 1", "10 40 41 40 10 11 41 12"), "none" },
	{ DISTANCES("kind=\"5\"", "4 0 1", "10 40 256 40 10 11 41 12 10"), "none" },
	{ DISTANCES("kind=\"5\"", "4 0 1", "10 40 -1 40 10 11 41 12 10"), "none" },
	{ "<distances nbobjs=\"3\" relative_depth=\"1\" latency_base=\"10.0\"><latency "
	  "value=\"1.0\"/><latency value=\"2.1\"/><latency value=\"3\"/>"
	  "<latency value=\"2.1\"/><latency value=\"1\"/><latency value=\"3\"/><latency "
	  "value=\"3\"/><latency value=\"3\"/><latency value=\"1\"/>"
	  "</distances>",
	  "10 21 30 21 10 30 30 30 10" },
	{ "<distances nbobjs=\"3\" latency_base=\"nan\"><latency value=\"1.0\"/></distances>", "none" },
};

START_TEST(distances_between_nodes_are_found)
{
	char text[4096];

	snprintf(text, sizeof(text), HEAD MACHINE THREE_NODES TWO_PACKAGES END "%s" TAIL, distances[_i].text);
	read_ok(text);
	ck_assert_str_eq(rig_distances(), distances[_i].want);
}
END_TEST

START_TEST(words_of_a_cpuset_are_read_from_the_highest)
{
	read_ok(HEAD MACHINE NODE(0, "0x3,,0x00000001", 1) NODE(1, "0xf...f,,0x0,", 1)
			NODE(2, ",0x80000000", 1) PACKAGE CORE(PU(0)) CORE(PU(31)) CORE(PU(32)) CORE(PU(64))
				CORE(PU(65)) CORE(PU(96)) END END TAIL);
	ck_assert_str_eq(rig_each(RIG_NODE), "0 2 0 0 0 1");
}
END_TEST

/* ---- errors ---- */

static const struct {
	const char *text, *want;
} refused[] = {
	{ "", "machine.xml:1: there is no element; expected XML" },
	{ "<html/>",
	  "machine.xml:1: the first element is html; expected topology, as lstopo --of xml writes it" },
	{ "<topology/>", "there is no PU; expected a topology with objects of type PU" },
	{ HEAD MACHINE "\n<object type=\"Kore\">" PU(0),
	  "an object has the unknown type 'Kore'; known are Machine, System, NUMANode, Node, Package" },
	{ "<topology><object type='L6Cache'/>", "unknown type 'L6Cache'" },
	{ "<topology><object type='L4iCache'/>", "unknown type 'L4iCache'" },
	{ "<topology><object type='L'/>", "unknown type 'L'" },
	{ "<topology><object type=''/>", "unknown type ''" },
	{ "<topology>\n<object/>", "machine.xml:2: an object has no type" },
	{ "<topology>" PU(0) PU(1) PU(0), "machine.xml:3: there are two PUs with os_index 0" },
	{ "<topology>" PU(8192), "the attribute os_index is no number from 0 to 8191" },
	{ "<topology>" PU(-1), "the attribute os_index is no number" },
	{ "<topology>" PU(0), "the file ends inside of element topology" },
	{ "<topology>" PU(0) "</topolog>", "</topolog> ends nothing; expected </topology>" },
	{ "<topology><object type='L2Cache' depth='2' cache_size='x'/>",
	  "the attribute cache_size is no number from 0 to" },
	{ "<topology><object type='L2Cache' depth='2' cache_type='3'/>",
	  "the attribute cache_type is no number from 0 to 2" },
	{ "<topology>" NODE(0, "0x1", 0) NODE(0, "0x2", 0), "there are two NUMA nodes with os_index 0" },
	{ "<topology>" NODE(0, "1", 0), "a cpuset is no set; expected words as in 0x00000003,0xffffffff" },
	{ "<topology>" NODE(0, "0x", 0), "a cpuset is no set" },
	{ "<topology>" NODE(0, "0xg", 0), "a cpuset is no set" },
	{ "<topology>" NODE(0, "0x1 ", 0), "a cpuset is no set" },
	{ "<topology>" NODE(0, "0x123456789", 0), "a cpuset is no set" },
	{ "<topology>" NODE(0, "0xf...f0x1", 0), "a cpuset is no set" },
	{ "<topology><cpukind/>", "a cpukind has no cpuset" },
	{ "<topology><distances2 nbobjs='x'/>", "the attribute nbobjs is no number" },
};

START_TEST(wrong_file_is_refused_with_a_sentence)
{
	ck_assert_int_eq(read_text(refused[_i].text), -EINVAL);
	ck_assert_msg(strstr(rig_err.text, refused[_i].want), "'%s' does not have '%s'", rig_err.text,
		      refused[_i].want);
	ck_assert(rig_err.usage);
}
END_TEST

/* A file of many elements, each with a number in the middle: 0, step, 2 * step ... */
static int read_many(const char *before, const char *after, unsigned int step, unsigned int nr)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int rc;

	ck_assert_ptr_nonnull(out);
	fputs("<topology><object type='Machine'>", out);
	for (unsigned int i = 0; i < nr; i++)
		fprintf(out, "%s%u%s\n", before, i * step, after);
	fputs("</object></topology>", out);
	fclose(out);
	rc = read_text(text);
	free(text);
	return rc;
}

START_TEST(pus_up_to_the_limit_are_read)
{
	ck_assert_int_eq(read_many("<object type='PU' os_index='", "'/>", 1, 4096), 0);
	ck_assert_uint_eq(rig_layout.nr_cpus, 4096);
	layout_fini(&rig_layout);
	ck_assert_int_eq(read_many("<object type='PU' os_index='", "'/>", 1, 4097), -EINVAL);
	ck_assert_ptr_nonnull(strstr(rig_err.text, "machine.xml:4097: there are more than 4096 PUs"));
}
END_TEST

static const struct {
	const char *before, *after;
	unsigned int step;
	const char *want;
} many[] = {
	{ "<object type='NUMANode' os_index='", "'/>", 1,
	  "machine.xml:129: there are more than 128 NUMA nodes" },
	{ "<object type='L2Cache' cache_size='", "'/>", 1024,
	  "machine.xml:17: there are more than 16 kinds of caches" },
	{ "<cpukind cpuset='0x", "'/>", 1, "machine.xml:33: there are more than 32 kinds of core" },
	{ "<object type='Group' os_index='", "'>", 1,
	  "machine.xml:127: elements are nested more than 128 deep" },
};

START_TEST(hostile_numbers_of_things_are_refused)
{
	ck_assert_int_eq(read_many(many[_i].before, many[_i].after, many[_i].step, 200), -EINVAL);
	ck_assert_msg(strstr(rig_err.text, many[_i].want), "'%s' does not have '%s'", rig_err.text,
		      many[_i].want);
}
END_TEST

START_TEST(cpuset_of_more_pus_than_there_can_be_is_refused)
{
	char text[1024] = "<topology><cpukind cpuset='0x1";

	memset(text + strlen(text), ',', 256); /* word 256: the text behind is all zeroes */
	strcat(text, "'/></topology>");
	ck_assert_int_eq(read_text(text), -EINVAL);
	ck_assert_ptr_nonnull(strstr(rig_err.text, "a cpuset has PUs above 8191"));
}
END_TEST

/* Cut anywhere, or with any attribute's value gone wrong: an error or a layout, never more. */
START_TEST(damaged_file_does_no_harm)
{
	static const char whole[] = "<topology><object type='Machine'>" NODE(0, "0x1", 9) NODE(1, "0x2", 9)
		PACKAGE L3 L2 CORE(PU(0)) END L2 CORE(PU(1)) END END END END
		"<cpukind cpuset='0x1'><info name='CoreType' value='IntelCore'/></cpukind><distances2 "
		"type='NUMANode' nbobjs='2' kind='5'>"
		"<indexes>0 1</indexes><u64values>10 20 20 10</u64values></distances2></topology>";
	char text[sizeof(whole)];

	for (size_t at = 0; at < sizeof(whole) - 1; at++) {
		memcpy(text, whole, sizeof(whole));
		text[at] = "9x,'\0<"[at % 6];
		if (read_text(text) == 0)
			ck_assert_uint_le(rig_layout.nr_cpus, 2);
		layout_fini(&rig_layout);
	}
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("layout_hwloc");

	tcase_add_loop_test(c, objects_around_a_pu_are_its_place, 0, ARRAY_SIZE(placed));
	tcase_add_test(c, caches_have_the_files_sizes_and_groups);
	tcase_add_test(c, core_without_a_cache_has_none);
	tcase_add_test(c, instruction_caches_that_were_left_out_come_back);
	tcase_add_test(c, old_words_for_caches_are_known);
	tcase_add_test(c, kinds_of_core_make_a_hybrid_machine);
	tcase_add_test(c, one_kind_of_core_is_no_kind);
	tcase_add_test(c, pu_is_in_the_smallest_node_and_all_nodes_are_there);
	tcase_add_test(c, one_node_is_no_numa);
	tcase_add_loop_test(c, distances_between_nodes_are_found, 0, ARRAY_SIZE(distances));
	tcase_add_test(c, words_of_a_cpuset_are_read_from_the_highest);
	tcase_add_loop_test(c, wrong_file_is_refused_with_a_sentence, 0, ARRAY_SIZE(refused));
	tcase_add_test(c, pus_up_to_the_limit_are_read);
	tcase_add_loop_test(c, hostile_numbers_of_things_are_refused, 0, ARRAY_SIZE(many));
	tcase_add_test(c, cpuset_of_more_pus_than_there_can_be_is_refused);
	tcase_add_test(c, damaged_file_does_no_harm);
	return rig_run(suite_create("layout_hwloc"), c);
}
