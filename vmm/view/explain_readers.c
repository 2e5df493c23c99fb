/* --explain: how each reader goes about it, and what it will say of this guest. */
#include <stdlib.h>

#include "vmm/view/explain_internal.h"

enum { MAX_NUMBERS = 12 };

static bool is_amd(const struct leaves *l)
{
	return l->vendor == VENDOR_AMD || l->vendor == VENDOR_HYGON;
}

/* In which order it asks, and what it does with the answer. */
static const char *method(enum reader reader, const struct leaves *l)
{
	bool amd = is_amd(l);

	switch (reader) {
	case READER_LINUX_6_1:
		if (l->vendor == VENDOR_ZHAOXIN)
			return "leaves 1 and 4 alone; caches by leaf 4";
		return amd ? "80000008H, then 8000001EH (core, NodeId as die), then 0BH for package and "
			     "core; caches by 8000001DH"
			   : "1FH if its sub-leaf 0 is valid, else 0BH, else 1 and 4; die numbers inside the "
			     "package; caches by leaf 4";
	case READER_LINUX_6_12:
		if (l->vendor == VENDOR_ZHAOXIN)
			return "leaves 1 and 4 alone; caches by leaf 4";
		return amd ? "80000026H, else 0BH, else 80000008H; node by 8000001EH; die numbers of the "
			     "whole machine; caches by "
			     "8000001DH"
			   : "1FH, else 0BH, else 1 and 4; die numbers of the whole machine; caches by leaf "
			     "4";
	case READER_HWLOC_2_9:
		return amd ? "8000001EH, then 0BH if x2APIC is set; no leaf for dies; caches by 8000001DH"
			   : "1FH if leaf 0 reaches it, else 0BH if x2APIC is set, else 1 and 4; caches by "
			     "leaf 4";
	case READER_HWLOC_NEW:
		return amd ? "80000026H first, then as before; dies by it" : "as before";
	case READER_WINDOWS:
		return amd ? "0BH, else 80000008H, as AMD's manual says (not published by Microsoft, not "
			     "tried here)"
			   : "1FH or 0BH, else 1 and 4, as Intel's manual says (not published by Microsoft, "
			     "not tried here)";
	case READER_LEGACY:
	default:
		return amd ? "(XP, Server 2003 to 2008) 1 and 80000008H alone: no threads, 8-bit ids"
			   : "(XP, Server 2003 to 2008) 1 and 4 alone: no dies, 8-bit ids";
	}
}

/* "4 dies", or nothing. */
static void put_count(FILE *out, const struct reading *r, enum read_set set, const char **comma)
{
	if (!r->knows[set])
		return;
	fprintf(out, "%s%u %s%s", *comma, r->sets[set], read_set_name(set), r->sets[set] == 1 ? "" : "s");
	*comma = ", ";
}

/* The numbers of the first few units, in the order of their first vCPU: "die_id 0 1 0 1". */
static void put_numbers(FILE *out, const struct reading *r, enum read_set set, const char *what)
{
	unsigned int shown = 0, all = 0;

	if (!r->knows[set])
		return;
	fprintf(out, "    %s", what);
	for (unsigned int i = 0; i < r->nr; i++) {
		if (r->set[set][i] != i)
			continue;
		if (r->id[set][i] != READ_NO_ID && shown++ < MAX_NUMBERS)
			fprintf(out, " %u", r->id[set][i]);
		all++;
	}
	fprintf(out, "%s\n", all > MAX_NUMBERS ? " ..." : "");
}

static const char *const number_name[][NR_READ_IDS] = {
	[READER_LINUX_6_1] = { "physical_package_id:", "die_id:", NULL, "core_id:" },
	[READER_LINUX_6_12] = { "physical_package_id:", "die_id:", NULL, "core_id:" },
	[READER_HWLOC_2_9] = { "Package P#:", "Die P#:", "Module P#:", "Core P#:" },
	[READER_HWLOC_NEW] = { "Package P#:", "Die P#:", "Module P#:", "Core P#:" },
};

static const struct {
	enum read_quirk quirk;
	const char *text;
} quirks[] = {
	{ READ_QUIRK_SINGLE,
	  "it counts one core of one thread where the boot processor is, and so thinks that there is no "
	  "multi-core: every processor is a package of its own in package_cpus_list (lscpu: as many "
	  "sockets), though physical_package_id is right" },
	{ READ_QUIRK_MODULE_DIE,
	  "with modules and dies in 1FH its die_id holds the module's bits: die_cpus_list is the module" },
	{ READ_QUIRK_L3_BY_8, "on this family it takes APIC id >> 3 for the L3 and ignores 8000001DH; family "
			      "17h model 30h and up, "
			      "or 19h, are free of it" },
	{ READ_QUIRK_HT, "HTT without CmpLegacy: it uses Intel's rules for threads" },
	{ READ_QUIRK_SAME_ID, "two vCPUs have one APIC id" },
	{ READ_QUIRK_NO_TOPOEXT, "without TOPOEXT it knows no threads, and no sharing of L1 and L2" },
	{ READ_QUIRK_EMPTY_1F, "leaf 0 reaches 1FH, which is empty: it does not fall back to 0BH" },
	{ READ_QUIRK_SHIFTS, "vCPUs tell other shifts than the boot processor: '[Firmware Bug]: CPU...: "
			     "Topology domain ... shift'" },
};

/* Does the shape have units of this level which are not just the next larger ones again? */
static bool is_level(const struct reading *shape, enum read_set set)
{
	return set != READ_PACKAGE && set <= READ_CORE && shape->sets[set] != shape->sets[set - 1];
}

/* Whatever this reader sees otherwise than the shape has it. */
static void put_differences(FILE *out, const struct reading *r, const struct reading *shape)
{
	for (enum read_set set = 0; set < NR_READ_SETS; set++) {
		const char *what = set <= READ_CORE ? "s" : " caches";

		if (!r->knows[set] && is_level(shape, set))
			fprintf(out, "    does not see: %s%s (the shape has %u)\n", read_set_name(set), what,
				shape->sets[set]);
		else if (r->knows[set] && shape->knows[set] && !reading_same_sets(r, shape, set))
			fprintf(out, "    differs from the shape: %s%s, %u here and %u asked for\n",
				read_set_name(set), what, r->sets[set], shape->sets[set]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(quirks); i++)
		if (r->quirks & quirks[i].quirk)
			fprintf(out, "    because: %s\n", quirks[i].text);
}

/* Linux allows Intel's L3 to lie in several nodes, but not AMD's (smpboot.c, match_llc()). */
static void put_llc_warning(FILE *out, const struct topology *t, const struct reading *r)
{
	for (unsigned int i = 0; i < r->nr; i++) {
		uint16_t first = r->set[READ_L3][i];

		if (first == READ_NO_SET || t->cpu[i].node == t->cpu[first].node)
			continue;
		fprintf(out,
			"    warns: 'sched: CPU #%u's llc-sibling CPU #%u is not on the same node!', as an "
			"L3 lies in two NUMA nodes\n",
			i, first);
		return;
	}
}

static void put_reading(FILE *out, enum reader reader, const struct leaves *l, const struct reading *r,
			const struct reading *shape)
{
	const char *comma = "";
	char name[16];

	fprintf(out, "  %s: %s\n", reader_name(reader), method(reader, l));
	fprintf(out, "    went by %s: package = id >> %u, core from bit %u\n",
		leaf_name(r->leaf, name, sizeof(name)), r->package_shift, r->core_shift);
	fprintf(out, "    says ");
	for (enum read_set set = READ_PACKAGE; set <= READ_CORE; set++)
		put_count(out, r, set, &comma);
	fprintf(out, ", %u thread%s; caches ", r->nr, r->nr == 1 ? "" : "s");
	comma = "";
	for (enum read_set set = READ_L1D; set < NR_READ_SETS; set++)
		if (r->knows[set]) {
			fprintf(out, "%s%u %s", comma, r->sets[set], read_set_name(set));
			comma = ", ";
		}
	fputs(*comma ? "\n" : "none\n", out);
	for (unsigned int i = 0; reader <= READER_HWLOC_NEW && i < NR_READ_IDS; i++)
		if (number_name[reader][i])
			put_numbers(out, r, (enum read_set)i, number_name[reader][i]);
	put_differences(out, r, shape);
	if (reader <= READER_HWLOC_NEW && reader >= READER_HWLOC_2_9 && r->quirks & READ_QUIRK_SAME_ID)
		fprintf(out, "    it gives up without a word, and shows no topology\n");
}

int explain_readers(const struct topology *t, const struct leaves *l, FILE *out)
{
	struct reading shape, r;
	int rc = reading_of_shape(&shape, t);

	fprintf(out, "\nWho reads it, and what they will say\n");
	for (enum reader reader = 0; reader < NR_READERS && rc == 0; reader++) {
		rc = reading_make(&r, reader, l, t->nr_present);
		if (rc == 0)
			put_reading(out, reader, l, &r, &shape);
		if (rc == 0 && reader <= READER_LINUX_6_12 && is_amd(l))
			put_llc_warning(out, t, &r);
		reading_fini(&r);
	}
	reading_fini(&shape);
	return rc;
}
