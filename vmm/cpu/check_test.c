/*
 * Unit tests of the checker on CPUID. What trellis builds must pass, in every small shape; and every rule must see
 * the one register which breaks it.
 */
#include "vmm/cpu/check_rig.h"

static void run(void)
{
	findings_fini(&found);
	check_cpuid(&procs, &found);
}

/* ---- what is right ---- */

static void expect_clean(enum cpuid_style style, const struct topology_spec *spec)
{
	rig_build(style, spec);
	run();
	ck_assert_msg(!found.nr, "style %d, sockets=%u,dies=%u,modules=%u,cores=%u,threads=%u: %u findings%s",
		      (int)style, spec->count[TOPO_PACKAGE], spec->count[TOPO_DIE], spec->count[TOPO_MODULE],
		      spec->count[TOPO_CORE], spec->count[TOPO_THREAD], found.nr, rig_all());
	rig_fini();
}

enum { UP_TO = 24 };

START_TEST(every_small_shape_is_clean)
{
	unsigned int s = (unsigned int)_i;

	for (unsigned int d = 1; s * d <= UP_TO; d++)
		for (unsigned int m = 1; s * d * m <= UP_TO; m++)
			for (unsigned int c = 1; s * d * m * c <= UP_TO; c++)
				for (unsigned int h = 1; s * d * m * c * h <= UP_TO; h++) {
					const struct topology_spec spec = { .count = SHAPE(s, d, m, c, h) };

					expect_clean(CPUID_INTEL, &spec);
					expect_clean(CPUID_AMD, &spec);
				}
}
END_TEST

static const struct topology_spec large[] = {
	{ .count = SHAPE(1, 1, 1, 300, 1) },
	{ .count = SHAPE(2, 1, 1, 192, 2) },
	{ .count = SHAPE(3, 3, 1, 5, 2) },
	{ .count = SHAPE(1, 1, 1, 128, 2) },
	{ .count = SHAPE(4, 4, 2, 16, 2) },
	{ .count = SHAPE(300, 1, 1, 1, 1) },
	{ .cpus = 3, .count = SHAPE(1, 1, 1, 4, 1) },
	{ .cpus = 5, .max = 12, .count = SHAPE(2, 1, 1, 3, 2) },
	{ .count = SHAPE(1, 1, 1, 4096, 1) },
};

START_TEST(large_and_half_plugged_shapes_are_clean)
{
	struct topology_spec spec = large[_i];

	if (spec.cpus == 3)
		spec.max = 4;
	expect_clean(CPUID_INTEL, &spec);
	expect_clean(CPUID_AMD, &spec);
}
END_TEST

/* Two performance cores with two threads, four efficiency cores which share an L2; and a die of three. */
static void build_hybrid(enum cpuid_style style)
{
	struct layout_cpu cpu[8];
	struct layout l = { .cpu = cpu, .nr_cpus = 8, .nr_caches = 1 };

	for (unsigned int i = 0; i < 8; i++) {
		cpu[i] = layout_cpu_default();
		cpu[i].core_type = i < 4 ? TOPO_PERFORMANCE : TOPO_EFFICIENCY;
		cpu[i].id[TOPO_THREAD] = i < 4 ? i % 2 : 0;
		cpu[i].id[TOPO_CORE] = (uint16_t)(i < 4 ? 0 : i - 4);
		cpu[i].id[TOPO_MODULE] = (uint16_t)(i < 4 ? i / 2 : 2);
	}
	l.cache[0] = (struct topo_cache){ .type = CACHE_UNIFIED,
					  .level = 2,
					  .shared = TOPO_MODULE,
					  .bytes = 2 << 20,
					  .line = 64,
					  .ways = 16,
					  .partitions = 1,
					  .sets = 2048 };
	rig_host(style);
	ck_assert_int_eq(topology_from_layout(&procs.topo, &l, 0, &rig_err), 0);
	rig_finish(&l);
}

START_TEST(hybrid_part_is_clean)
{
	build_hybrid(_i ? CPUID_AMD : CPUID_INTEL);
	run();
	ck_assert_msg(!found.nr, "%u findings%s", found.nr, rig_all());
}
END_TEST

/* ---- one register that is wrong ---- */

enum { R_EAX = CPUID_EAX, R_EBX = CPUID_EBX, R_ECX = CPUID_ECX, R_EDX = CPUID_EDX };
#define ALL OVERRIDE_ALL_VCPUS

/* All but the last columns are the override: leaf, sub-leaf, register, value, mask, vCPU. The shape is 2x2x1x3x2. */
static const struct {
	enum cpuid_style style;
	struct cpuid_override o;
	const char *want[2];
} wrong[] = {
	/* leaf 1 */
	{ CPUID_INTEL,
	  { 1, 0, 0, R_EBX, 7u << 24, 0xff000000, 3 },
	  { "vCPU 3: leaf 0x1 EBX[31:24] tells APIC id 0x7, the local APIC has 0x3", 0 } },
	{ CPUID_INTEL, { 1, 0, 0, R_EBX, 12u << 16, 0xff0000, 1 }, { 0 } }, /* rounds up to 16 */
	{ CPUID_INTEL,
	  { 1, 0, 0, R_EBX, 8u << 16, 0xff0000, 1 },
	  { "leaf 0x1 EBX[23:16] tells 8 APIC ids in a package, leaf 0xb that packages begin at bit 4", 0 } },
	{ CPUID_AMD,
	  { 1, 0, 0, R_EBX, 16u << 16, 0xff0000, ALL },
	  { "vCPU 0 and 23 more: leaf 0x1 EBX[23:16] tells 16 logical processors, but the package (APIC id "
	    "bits from 4) has 12",
	    0 } },
	{ CPUID_INTEL,
	  { 1, 0, 0, R_EDX, 0, 1u << 28, ALL },
	  { "leaf 0x1 EDX[28] (HTT) is clear, but packages have 16 ids", 0 } },
	{ CPUID_AMD, { 1, 0, 0, R_EDX, 0, 1u << 28, ALL }, { "(HTT) is clear", "(CmpLegacy) is 1" } },
	{ CPUID_AMD,
	  { 0x80000001, 0, 0, R_ECX, 0, 1u << 1, ALL },
	  { "leaf 0x1 EDX[28] (HTT) is 1, leaf 0x80000001 ECX[1] (CmpLegacy) is 0", 0 } },
	{ CPUID_INTEL,
	  { 0x80000001, 0, 0, R_ECX, 2, 2, ALL },
	  { "(CmpLegacy) is set on a processor that is not AMD's", 0 } },
	{ CPUID_AMD,
	  { 0x80000001, 0, 0, R_ECX, 0, 1u << 22, ALL },
	  { "leaf 0x80000001 ECX[22] (TopologyExtensions) is clear", 0 } },
	{ CPUID_INTEL, { 1, 0, 0, R_ECX, 0, 1u << 21, ALL }, { 0 } }, /* ids are small enough */
	/* how far leaves reach */
	{ CPUID_INTEL,
	  { 0, 0, 0, R_EAX, 0x16, ~0u, ALL },
	  { "leaf 0x1f is filled in, but leaf 0x0 EAX tells 0x16 as the last leaf",
	    "asked for were up to 2 dies in a package, but leaf 0x1f tells of none" } },
	{ CPUID_INTEL,
	  { 0, 0, 0, R_EAX, 0x4, ~0u, ALL },
	  { "leaf 0xb is filled in, but leaf 0x0 EAX tells 0x4", 0 } },
	{ CPUID_INTEL,
	  { 0, 0, 0, R_EAX, 0x20, ~0u, 5 },
	  { "vCPU 5: leaves 0x0 and 0x80000000 EAX tell 0x20 and 0x80000008 as the last leaves, on vCPU 0 "
	    "0x1f",
	    0 } },
	{ CPUID_AMD,
	  { 0, 0, 0, R_EAX, 0x1f, ~0u, ALL },
	  { "leaf 0x0 EAX tells 0x1f as the last leaf of an AMD processor", 0 } },
	{ CPUID_AMD,
	  { 0x80000000, 0, 0, R_EAX, 0x8000001f, ~0u, ALL },
	  { "leaf 0x80000026 is filled in, but leaf 0x80000000 EAX tells 0x8000001f", 0 } },
	{ CPUID_AMD,
	  { 0x80000000, 0, 0, R_EAX, 0x80000008, ~0u, ALL },
	  { "guests do not read 0x8000001d and 0x8000001e", 0 } },
	{ CPUID_INTEL,
	  { 0x1f, 0, true, R_EBX, 0, ~0u, ALL },
	  { "but leaf 0x1f is empty: hwloc does not fall back", 0 } },
	{ CPUID_INTEL,
	  { 0xb, 0, true, R_EBX, 0, ~0u, ALL },
	  { "leaf 0x1 ECX[21] tells of x2APIC, but leaf 0xb, where its id is, cannot be read", 0 } },
	/* levels */
	{ CPUID_INTEL,
	  { 0xb, 1, true, R_EDX, 0x99, ~0u, 4 },
	  { "vCPU 4: leaf 0xb sub-leaf 1 EDX tells APIC id 0x99, the local APIC has 0x4", 0 } },
	{ CPUID_INTEL, { 0xb, 2, true, R_EDX, 0x99, ~0u, 4 }, { "leaf 0xb sub-leaf 2 EDX", 0 } },
	{ CPUID_INTEL, { 0x1f, 3, true, R_EDX, 0x99, ~0u, 4 }, { "leaf 0x1f sub-leaf 3 EDX", 0 } },
	{ CPUID_AMD, { 0x80000026, 4, true, R_EDX, 0x99, ~0u, 4 }, { "leaf 0x80000026 sub-leaf 4 EDX", 0 } },
	{ CPUID_INTEL,
	  { 0xb, 1, true, R_ECX, 5, 0xff, ALL },
	  { "leaf 0xb sub-leaf 1 ECX[7:0] tells sub-leaf 5", 0 } },
	{ CPUID_INTEL,
	  { 0xb, 1, true, R_EBX, 6, 0xffff, ALL },
	  { "leaf 0xb sub-leaf 1 EBX tells 6 logical processors in a unit, but 12 APIC ids are equal from "
	    "its EAX's bit 4 up",
	    0 } },
	{ CPUID_INTEL,
	  { 0x1f, 1, true, R_EBX, 0, 0xffff, ALL },
	  { "leaf 0x1f sub-leaf 1 EBX tells no processors in a level of type 2", 0 } },
	{ CPUID_INTEL,
	  { 0xb, 1, true, R_EAX, 5, 0x1f, ALL },
	  { "leaf 0xb begins the package's id at bit 5, leaf 0x1f at bit 4", "but 24 APIC ids" } },
	{ CPUID_INTEL,
	  { 0x1f, 0, true, R_EAX, 0, 0x1f, ALL },
	  { "leaf 0xb begins the core's id at bit 1, leaf 0x1f at bit 0",
	    "guests find 1 processor in its core; asked for were 2" } },
	{ CPUID_INTEL,
	  { 0x1f, 1, true, R_EAX, 0, 0x1f, ALL },
	  { "leaf 0x1f sub-leaf 1 EAX ends its level at bit 0, below the 1 of sub-leaf 0", 0 } },
	{ CPUID_INTEL,
	  { 0x1f, 1, true, R_EAX, 2, 0x1f, ALL },
	  { "leaf 0x1f begins the die's id at bit 2", 0 } },
	{ CPUID_INTEL,
	  { 0x1f, 2, true, R_ECX, 7 << 8, 0xff00, ALL },
	  { "sub-leaf 2 ECX[15:8] tells level type 7, which cannot follow type 2", 0 } },
	{ CPUID_INTEL,
	  { 0xb, 0, true, R_ECX, 2 << 8, 0xff00, ALL },
	  { "leaf 0xb sub-leaf 0 ECX[15:8] tells level type 2", 0 } },
	{ CPUID_INTEL,
	  { 0x1f, 1, true, R_ECX, 0, 0xff00, ALL },
	  { "leaf 0x1f sub-leaf 2 is filled in, but sub-leaf 1 ends the list", 0 } },
	{ CPUID_INTEL,
	  { 0x1f, 1, true, R_ECX, 3 << 8, 0xff00, 7 },
	  { "vCPU 7: leaf 0x1f lists levels (type:bits) 1:1 3:3 5:4, on vCPU 0 1:1 2:3 5:4: all", 0 } },
	{ CPUID_AMD,
	  { 0x80000026, 3, true, R_EAX, 5, 0x1f, ALL },
	  { "leaf 0xb begins the package's id at bit 4, leaf 0x80000026 at bit 5", 0 } },
	{ CPUID_AMD,
	  { 0x80000026, 2, true, R_EAX, 4, 0x1f, ALL },
	  { "leaf 0x80000026 begins the die's id at bit 4, so guests find 12 processors in its die; asked "
	    "for were 6",
	    0 } },
	/* caches */
	{ CPUID_INTEL,
	  { 4, 0, true, R_EAX, 5u << 26, 0xfc000000, ALL },
	  { "leaf 0x4 sub-leaf 0 EAX[31:26] has room for 6 core ids, but bits 1 to 3 of the APIC id hold 8",
	    0 } },
	{ CPUID_INTEL,
	  { 4, 3, true, R_EAX, 15 << 14, 0xfff << 14, ALL },
	  { "share the L3 cache whose APIC ids are equal from bit 4 up: 12 vCPUs; asked for were 6", 0 } },
	{ CPUID_INTEL,
	  { 4, 3, true, R_EAX, 31 << 14, 0xfff << 14, ALL },
	  { "tells that 32 ids share the L3 cache, but a package has only 16", 0 } },
	{ CPUID_INTEL,
	  { 4, 0, true, R_EAX, 15 << 14, 0xfff << 14, 2 },
	  { "sub-leaf 2 EAX[25:14] tells that 2 ids share the L2 cache, but 16 share one nearer to the core",
	    0 } },
	{ CPUID_INTEL,
	  { 4, 1, true, R_EAX, 0, 0xfff << 14, ALL },
	  { "share the L1i cache whose APIC ids are equal from bit 0 up: 1 vCPU; asked for were 2", 0 } },
	{ CPUID_INTEL,
	  { 4, 2, true, R_EAX, 0, 0x1f, ALL },
	  { "leaf 0x4 sub-leaf 3 tells of a cache, but sub-leaf 2 ends the list",
	    "asked for was an L2 cache, leaf 0x4 tells of none" } },
	{ CPUID_INTEL,
	  { 4, 4, true, R_EAX, 0x183, ~0u, ALL },
	  { "sub-leaf 4 tells of an L4 cache, which was not asked for", "no closing sub-leaf" } },
	{ CPUID_INTEL,
	  { 4, 3, true, R_ECX, 16383, ~0u, ALL },
	  { "leaf 0x4 sub-leaf 3 tells an L3 cache of 16777216 bytes, asked for were 33554432", 0 } },
	{ CPUID_INTEL, { 4, 3, true, R_EAX, 4, 0x1f, ALL }, { "tells a cache of type 4", 0 } },
	{ CPUID_AMD,
	  { 0x8000001d, 3, true, R_EAX, 5 << 14, 0xfff << 14, ALL },
	  { "tells that 6 processors share the L3 cache: Linux and hwloc divide APIC ids", 0 } },
	{ CPUID_AMD,
	  { 0x80000006, 0, 0, R_EDX, 0, ~0u, ALL },
	  { "leaf 0x8000001d tells of an L3 cache, leaf 0x80000006 EDX of none", 0 } },
	{ CPUID_AMD,
	  { 0x80000006, 0, 0, R_ECX, 512u << 16, 0xffff0000, ALL },
	  { "leaf 0x80000006 ECX[31:16] tells an L2 cache of 512 KiB, leaf 0x8000001d one of 2048 KiB", 0 } },
	{ CPUID_AMD,
	  { 0x80000005, 0, 0, R_ECX, 64u << 24, 0xff000000, ALL },
	  { "ECX[31:24] tells an L1d cache of 64 KiB, leaf 0x8000001d one of 48 KiB", 0 } },
	/* AMD's ids */
	{ CPUID_AMD,
	  { 0x80000008, 0, 0, R_ECX, 5, 0xff, ALL },
	  { "leaf 0x80000008 ECX[7:0] tells 6 processors, but the package (APIC id bits from 4) has 12",
	    0 } },
	{ CPUID_AMD,
	  { 0x80000008, 0, 0, R_ECX, 3 << 12, 0xf000, ALL },
	  { "leaf 0x80000008 ECX[15:12] begins the package's id at bit 3, leaf 0xb at bit 4", 0 } },
	{ CPUID_AMD,
	  { 0x8000001e, 0, 0, R_EAX, 1, ~0u, 6 },
	  { "vCPU 6: leaf 0x8000001e EAX tells APIC id 0x1, the local APIC has 0x8", 0 } },
	{ CPUID_AMD,
	  { 0x8000001e, 0, 0, R_EBX, 0, 0xff00, ALL },
	  { "leaf 0x8000001e EBX[15:8] tells 1 thread in a core, but 2 APIC ids are equal", 0 } },
	{ CPUID_AMD,
	  { 0x8000001e, 0, 0, R_EBX, 0, 0xff, 8 },
	  { "vCPU 8: leaf 0x8000001e EBX[7:0] tells core 0, the APIC id 0xa has 5 there", 0 } },
	{ CPUID_AMD,
	  { 0x8000001e, 0, 0, R_ECX, 1, 0xff, 2 },
	  { "tells node 1, and node 0 on another processor of this", 0 } },
	{ CPUID_AMD,
	  { 0x8000001e, 0, 0, R_ECX, 0, 0xff, ALL },
	  { "tells node 0, as it does in another", 0 } },
	{ CPUID_AMD,
	  { 0x8000001e, 0, 0, R_ECX, 3 << 8, 0x700, ALL },
	  { "ECX[10:8] tells 4 nodes in a package, which has 2 dies", 0 } },
	/* kinds of cores */
	{ CPUID_INTEL,
	  { 7, 0, true, R_EDX, 1u << 15, 1u << 15, ALL },
	  { "leaf 0x7 EDX[15] tells of a hybrid part, leaf 0x1a EAX[31:24] of no core type", 0 } },
	{ CPUID_INTEL,
	  { 0x1a, 0, 0, R_EAX, 0x40u << 24, ~0u, ALL },
	  { "leaf 0x1a EAX[31:24] tells core type 0x40, leaf 0x7 EDX[15] that this is no hybrid part", 0 } },
};

START_TEST(wrong_register_is_found)
{
	const struct topology_spec spec = { .count = SHAPE(2, 2, 1, 3, 2) };
	struct cpuid_override o = wrong[_i].o;
	const char *const *want = wrong[_i].want;

	rig_build(wrong[_i].style, &spec);
	rig_override(&o);
	run();
	ck_assert_msg(want[0] || !found.nr, "%u findings%s", found.nr, rig_all());
	for (unsigned int i = 0; i < 2 && want[i]; i++)
		ck_assert_msg(rig_count(want[i]), "none of %u findings has '%s'%s", found.nr, want[i],
			      rig_all());
	ck_assert_uint_eq(found.nr, found.notes.nr);
}
END_TEST

/* A core of the wrong kind. */
START_TEST(core_type_that_was_not_asked_for_is_found)
{
	struct cpuid_override o = { 0x1a, 0, 0, R_EAX, 0x40u << 24, ~0u, 5 };

	build_hybrid(CPUID_INTEL);
	rig_override(&o);
	run();
	ck_assert_msg(rig_count("vCPU 5: leaf 0x1a EAX[31:24] tells core type 0x40, asked for was an "
				"efficiency core"),
		      "%s", rig_all());
}
END_TEST

START_TEST(hybrid_part_without_its_bit_is_found)
{
	struct cpuid_override o = { 7, 0, true, R_EDX, 0, 1u << 15, ALL };

	build_hybrid(CPUID_INTEL);
	rig_override(&o);
	run();
	ck_assert_msg(rig_count("leaf 0x7 EDX[15] that this is no hybrid part"), "%s", rig_all());
}
END_TEST

/* ---- what must not be taken for wrong, and how it is said ---- */

START_TEST(hygon_has_amds_leaves)
{
	const struct topology_spec spec = { .count = SHAPE(2, 2, 1, 3, 2) };

	rig_host(CPUID_AMD);
	procs.table->entry[0].ebx = 0x6f677948; /* HygonGenuine */
	procs.table->entry[0].edx = 0x6e65476e;
	procs.table->entry[0].ecx = 0x656e6975;
	ck_assert_int_eq(topology_init(&procs.topo, &spec, &rig_err), 0);
	rig_finish(NULL);
	run();
	ck_assert_msg(!found.nr, "%s", rig_all());
}
END_TEST

/* Two places on one vCPU are one sentence about one vCPU. */
START_TEST(vcpu_is_counted_once)
{
	const struct topology_spec spec = { .cpus = 8 };
	struct cpuid_override o[2] = { { 0xb, 0, true, R_EDX, 0x99, ~0u, 4 },
				       { 0xb, 1, true, R_EDX, 0x99, ~0u, 4 } };

	rig_build(CPUID_INTEL, &spec);
	rig_override(o);
	opts.nr_cpuids = 2;
	run();
	ck_assert_uint_eq(found.nr, 1);
	ck_assert_uint_eq(rig_count("vCPU 4: leaf 0xb sub-leaf 0 EDX tells APIC id 0x99"), 1);
}
END_TEST

/* A processor in the midst of those that share an L3, without one. */
START_TEST(processor_without_a_cache_does_not_share_it)
{
	const struct topology_spec spec = { .cpus = 8 };

	rig_build(CPUID_INTEL, &spec);
	procs.topo.cpu[3].cache[3] = TOPO_NO_CACHE;
	run();
	ck_assert_msg(!found.nr, "%s", rig_all());
}
END_TEST

/* Guests from before leaf B find the same by leaves 1 and 4. */
START_TEST(old_leaves_alone_tell_the_same)
{
	const struct topology_spec spec = { .count = SHAPE(2, 1, 1, 3, 2) };
	struct cpuid_override o = { 0, 0, 0, R_EAX, 4, ~0u, ALL };

	rig_build(CPUID_INTEL, &spec);
	rig_override(&o);
	run();
	ck_assert_msg(!rig_count("guests find") && !rig_count("guests put"), "%s", rig_all());
	ck_assert_msg(rig_count("leaf 0xb is filled in, but leaf 0x0 EAX tells 0x4"), "%s", rig_all());
}
END_TEST

START_TEST(modules_that_nobody_tells_are_found)
{
	const struct topology_spec spec = { .count = SHAPE(1, 1, 2, 2, 2) };
	struct cpuid_override o = { 0, 0, 0, R_EAX, 0x16, ~0u, ALL };

	rig_build(CPUID_INTEL, &spec);
	rig_override(&o);
	run();
	ck_assert_msg(rig_count("asked for were up to 2 modules in a die, but leaf 0x1f tells of none"), "%s",
		      rig_all());
}
END_TEST

/* 8192 ids in a package, of which the field can tell 4096. */
START_TEST(sharing_that_the_field_cannot_tell_is_let_pass)
{
	const struct topology_spec spec = { .count = SHAPE(1, 3, 1, 5, 256) };

	opts.caches.slot[4] = (struct cache_wish){ .said = true, .bytes = 32 * MIB, .shared = TOPO_PACKAGE };
	rig_build(CPUID_INTEL, &spec);
	ck_assert_uint_eq(procs.topo.shift[TOPO_PACKAGE], 13);
	run();
	ck_assert_msg(!found.nr, "%s", rig_all());
}
END_TEST

/* L1d and L1i need not have the same neighbours. */
START_TEST(caches_of_one_level_are_not_compared)
{
	const struct topology_spec spec = { .count = SHAPE(2, 2, 1, 3, 2) };
	struct cpuid_override o = { 4, 0, true, R_EAX, 15 << 14, 0xfff << 14, 2 };

	rig_build(CPUID_INTEL, &spec);
	rig_override(&o);
	run();
	ck_assert_msg(!rig_count("share the L1 cache, but"), "%s", rig_all());
}
END_TEST

/* ---- entries as a builder could get them wrong ---- */

static struct kvm_cpuid_entry2 *entry(uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < procs.table->nent; i++)
		if (procs.table->entry[i].function == leaf && procs.table->entry[i].index == index)
			return &procs.table->entry[i];
	ck_abort_msg("no leaf");
	return NULL;
}

START_TEST(missing_index_flag_is_found)
{
	static const uint32_t leaf[] = { 4, 7, 0xb, 0x1f };
	const struct topology_spec spec = { .cpus = 4 };

	rig_build(CPUID_INTEL, &spec);
	entry(leaf[_i], 0)->flags = 0;
	run();
	ck_assert_msg(rig_count("sub-leaf 0 has no index flag"), "%s", rig_all());
}
END_TEST

START_TEST(missing_extended_leaf_is_found)
{
	const struct topology_spec spec = { .cpus = 4 };

	rig_build(CPUID_INTEL, &spec);
	entry(0x80000000, 0)->function = 0x40000077;
	run();
	ck_assert_msg(rig_count("there is no leaf 0x80000000: KVM answers with the last basic leaf, 0x1f"),
		      "%s", rig_all());
}
END_TEST

/* ---- shapes that cannot be told, or that guests dislike ---- */

START_TEST(id_twice_is_found)
{
	const struct topology_spec spec = { .cpus = 4 };

	rig_build(CPUID_INTEL, &spec);
	procs.topo.cpu[3].apic_id = 1;
	run();
	ck_assert_msg(rig_count("vCPU 3: APIC id 0x1 is also that of vCPU 1"), "%s", rig_all());
}
END_TEST

/* As many in each set as was asked for, but others: only the numbers tell. */
START_TEST(exchanged_members_are_found)
{
	const struct topology_spec spec = { .count = SHAPE(2, 1, 1, 2, 2) };
	struct topo_cpu *cpu;

	rig_build(CPUID_INTEL, &spec);
	cpu = procs.topo.cpu;
	cpu[1].unit[TOPO_CORE] = cpu[2].unit[TOPO_CORE];
	cpu[2].unit[TOPO_CORE] = cpu[0].unit[TOPO_CORE];
	cpu[1].cache[2] = cpu[3].cache[2];
	cpu[2].cache[2] = cpu[0].cache[2];
	run();
	ck_assert_msg(rig_count("guests put it into a core with other processors than were asked for"), "%s",
		      rig_all());
	ck_assert_msg(rig_count("share the L2 cache whose APIC ids are equal from bit 1 up: other vCPUs"),
		      "%s", rig_all());
}
END_TEST

START_TEST(id_above_254_without_x2apic_is_found)
{
	const struct topology_spec spec = { .cpus = 300 };
	struct cpuid_override o = { 1, 0, 0, R_ECX, 0, 1u << 21, ALL };

	rig_build(CPUID_INTEL, &spec);
	rig_override(&o);
	run();
	ck_assert_msg(rig_count("vCPU 255 and 44 more: APIC id 0xff needs x2APIC mode"), "%s", rig_all());
}
END_TEST

/* Packages that count 1: Intel's ids, AMD's processors; and a level that no longer has a bit. */
START_TEST(one_is_said_as_one)
{
	const struct topology_spec spec = { .count = SHAPE(2, 1, 1, 2, 2) };
	struct cpuid_override o[] = { { 1, 0, 0, R_EBX, 1u << 16, 0xff0000, ALL },
				      { 0xb, 1, true, R_EBX, 1, 0xffff, ALL },
				      { 4, 2, true, R_EAX, 0, 0xfff << 14, ALL },
				      { 4, 3, true, R_EAX, 0, 0xfff << 14, ALL } };

	rig_build(CPUID_INTEL, &spec);
	rig_override(o);
	opts.nr_cpuids = ARRAY_SIZE(o);
	run();
	ck_assert_msg(rig_count("EBX[23:16] tells 1 APIC id in a package"), "%s", rig_all());
	ck_assert_msg(
		rig_count("sub-leaf 1 EBX tells 1 logical processor in a unit, but 4 APIC ids are equal"),
		"%s", rig_all());
	ck_assert_msg(rig_count("tells that 1 id has the L2 cache, but 2 share one nearer"), "%s", rig_all());
	ck_assert_msg(rig_count("the L2 cache whose APIC ids are equal from bit 0 up: 1 vCPU; asked"), "%s",
		      rig_all());
	ck_assert_msg(!rig_count(" 1 ids") && !rig_count("1 processors") && !rig_count("which are"), "%s",
		      rig_all());
}
END_TEST

/* ---- what Linux starts ---- */

START_TEST(id_above_254_without_kvms_leaves_is_found)
{
	const struct topology_spec spec = { .cpus = 300 };
	struct cpuid_override no_bit = { 0x40000001, 0, 0, R_EAX, 0, 1u << 15, ALL };
	struct cpuid_override no_hypervisor = { 1, 0, 0, R_ECX, 0, 1u << 31, ALL };

	rig_build(CPUID_INTEL, &spec);
	rig_override(&no_bit);
	run();
	ck_assert_msg(rig_count("vCPU 256 and 43 more: APIC id 0x100: leaf 0x40000001 EAX[15]") == 1 &&
			      found.nr == 1,
		      "%s", rig_all());
	rig_override(&no_hypervisor);
	run();
	ck_assert_msg(rig_count("vCPU 255 and 44 more: APIC id 0xff: guests do not see KVM's leaf") == 1 &&
			      found.nr == 1,
		      "%s", rig_all());
}
END_TEST

START_TEST(id_above_32767_is_found)
{
	const struct topology_spec spec = { .count = SHAPE(300, 1, 1, 1, 1) };

	rig_build(CPUID_INTEL, &spec);
	procs.topo.cpu[7].apic_id = 0x7fff;
	procs.topo.cpu[8].apic_id = 0x8000;
	procs.topo.cpu[9].apic_id = 0x8001;
	run();
	ck_assert_msg(
		rig_count("vCPU 8 and 1 more: APIC id 0x8000 is above 0x7fff, the last that Linux starts"),
		"%s", rig_all());
}
END_TEST

/* ---- overrides in vain ---- */

static const struct {
	enum cpuid_style style;
	struct cpuid_override o;
	const char *want; /* NULL: guests read it */
} vain[] = {
	{ CPUID_AMD,
	  { 0x1f, 0, true, R_EAX, 1, ~0u, ALL },
	  "--cpuid 1f.0.eax: leaf 0 ends at 0x10, so guests do not read it" },
	{ CPUID_AMD, { 0x12345678, 0, 0, R_EDX, 1, ~0u, 3 }, "--cpuid 12345678.edx@3: leaf 0 ends at 0x10" },
	{ CPUID_INTEL,
	  { 0x80000009, 0, 0, R_EAX, 1, ~0u, ALL },
	  "--cpuid 80000009.eax: leaf 0x80000000 ends at 0x80000008" },
	{ CPUID_INTEL,
	  { 0x40000010, 0, 0, R_EAX, 1, ~0u, ALL },
	  "40000010.eax: leaf 0x40000000 ends at 0x40000001" },
	{ CPUID_INTEL,
	  { 0x40000101, 0, 0, R_EAX, 1, ~0u, ALL },
	  "40000101.eax: there is no leaf 0x40000100" },
	{ CPUID_INTEL,
	  { 0xc0000001, 0, 0, R_EAX, 1, ~0u, ALL },
	  "c0000001.eax: there is no leaf 0xc0000000" },
	{ CPUID_INTEL, { 0x40000100, 0, 0, R_EBX, 1, ~0u, ALL }, NULL },
	{ CPUID_AMD,
	  { 4, 3, true, R_EAX, 0x163, ~0u, ALL },
	  "4.3.eax: guests on AMD processors do not read leaf 0x4, but 0x8000001d" },
	{ CPUID_AMD,
	  { 2, 0, 0, R_EAX, 1, ~0u, ALL },
	  "2.eax: guests on AMD processors do not read leaf 0x2" },
	{ CPUID_INTEL, { 7, 2, true, R_EDX, 1, ~0u, ALL }, "7.2.edx: sub-leaf 0 EAX of leaf 0x7 ends at 0" },
	{ CPUID_INTEL, { 6, 0, 0, R_ECX, 1, ~0u, ALL }, NULL },
	{ CPUID_AMD, { 0x80000007, 0, 0, R_EDX, 0x100, ~0u, ALL }, NULL },
};

START_TEST(override_that_no_guest_reads_is_found)
{
	const struct topology_spec spec = { .cpus = 4 };
	struct cpuid_override o[2] = { vain[_i].o, vain[_i].o };

	rig_build(vain[_i].style, &spec);
	rig_override(o);
	opts.nr_cpuids = 2; /* the same register twice is one sentence */
	run();
	ck_assert_msg(rig_count("--cpuid ") == (vain[_i].want != NULL) &&
			      (!vain[_i].want || rig_count(vain[_i].want)),
		      "%s", rig_all());
}
END_TEST

START_TEST(limit_that_is_overridden_too_counts)
{
	const struct topology_spec spec = { .cpus = 4 };
	struct cpuid_override o[2] = { { 0x80000000, 0, 0, R_EAX, 0x80000021, ~0u, ALL },
				       { 0x80000021, 0, 0, R_EAX, 1, ~0u, ALL } };

	rig_build(CPUID_INTEL, &spec);
	rig_override(o);
	opts.nr_cpuids = 2;
	run();
	ck_assert_msg(!rig_count("--cpuid "), "%s", rig_all());
}
END_TEST

/* ---- MSRs; the rig's processors have LME and NX, but neither VMX nor SVM ---- */

static const struct {
	unsigned int cpus;
	enum cpuid_style style;
	struct msr_override o;
	const char *want; /* NULL: all is well */
} msrs[] = {
	{ 1, CPUID_INTEL, { 0x1b, 0xfee00900 }, NULL },
	{ 2, CPUID_INTEL, { 0x1b, 0xfee00900 }, "--msr 0x1b=0xfee00900: bit 8 marks every vCPU" },
	{ 2, CPUID_INTEL, { 0x1b, 0xfee00800 }, "bit 8 marks no vCPU as the boot processor" },
	{ 1, CPUID_INTEL, { 0x1b, 0xfee00100 }, "bit 11 is clear, so every local APIC is off" },
	{ 1, CPUID_INTEL, { 0x1b, 0xfee00500 }, "bit 10 (x2APIC) without bit 11" },
	{ 1, CPUID_INTEL, { 0x1b, 0x1000000900 }, "the local APICs move to 0x1000000000" },
	{ 300, CPUID_INTEL, { 0x1b, 0xfee00800 }, "bit 10 is clear, but APIC ids go up to 0x12b" },
	{ 1, CPUID_INTEL, { 0xc0000080, 0x901 }, NULL },
	{ 1, CPUID_INTEL, { 0xc0000080, 0x1000 }, "bit 12 (SVME) is set, leaf 0x80000001 ECX[2] tells" },
	{ 1, CPUID_AMD, { 0xc0000080, 0x1000 }, NULL },
	{ 1, CPUID_INTEL, { 0xc0000080, 0x400 }, "bit 10 (LMA) without bit 8 (LME)" },
	{ 1, CPUID_INTEL, { 0x3a, 5 }, "VMX is switched on, leaf 0x1 ECX[5] tells that there is none" },
	{ 1, CPUID_INTEL, { 0x3a, 1 }, NULL },
	{ 1, CPUID_AMD, { 0x3a, 1 }, "AMD processors have no such register" },
	{ 1, CPUID_INTEL, { 0x802, 7 }, "--msr 0x802=0x7: this register reads as each vCPU's own APIC id" },
	{ 1, CPUID_INTEL, { 0x1a0, 1 }, NULL },
};

START_TEST(msr_against_cpuid_is_found)
{
	const struct topology_spec spec = { .cpus = msrs[_i].cpus };
	struct msr_override o = msrs[_i].o;

	rig_build(msrs[_i].style, &spec);
	opts.msr = &o;
	opts.nr_msrs = 1;
	run();
	ck_assert_msg(msrs[_i].want ? rig_count(msrs[_i].want) == 1 : !found.nr, "%u: %s", _i, rig_all());
}
END_TEST

START_TEST(msr_that_shuts_vmx_or_long_mode_is_found)
{
	const struct topology_spec spec = { .cpus = 1 };
	struct cpuid_override o[] = { { 1, 0, 0, R_ECX, 1u << 5, 1u << 5 | 1u << 21, ALL },
				      { 0x80000001, 0, 0, R_EDX, 0, 1u << 29, ALL } };
	struct msr_override m[] = { { 0x3a, 1 }, { 0xc0000080, 0x100 }, { 0x1b, 0xfee00d00 } };

	rig_build(CPUID_INTEL, &spec);
	rig_override(o);
	opts.nr_cpuids = 2;
	opts.msr = m;
	opts.nr_msrs = 3;
	run();
	ck_assert_msg(rig_count("VMX is locked off, leaf 0x1 ECX[5] tells that there is one"), "%s",
		      rig_all());
	ck_assert_msg(rig_count("bit 8 (LME) is set, leaf 0x80000001 EDX[29] tells"), "%s", rig_all());
	ck_assert_msg(rig_count("bit 10 sets x2APIC mode, leaf 0x1 ECX[21] tells"), "%s", rig_all());
}
END_TEST

/* Nodes which divide 1x2x1x2x2: 1 by die, 2 by core, 3 by thread. shift is of the index, as 4, 2, 1 vCPUs have one. */
static void build_nodes(enum cpuid_style style, unsigned int shift)
{
	const struct topology_spec spec = { .count = SHAPE(1, 2, 1, 2, 2) };

	rig_build(style, &spec);
	procs.topo.nr_nodes = 8 >> shift;
	for (unsigned int i = 0; i < 8; i++)
		procs.topo.cpu[i].node = (uint16_t)(i >> shift);
	run();
}

START_TEST(node_that_is_a_die_is_clean)
{
	build_nodes(_i ? CPUID_AMD : CPUID_INTEL, 2);
	ck_assert_msg(!found.nr, "%s", rig_all());
}
END_TEST

START_TEST(l3_in_two_nodes_is_found_on_amd_alone)
{
	build_nodes(CPUID_INTEL, 1);
	ck_assert_msg(!found.nr, "%s", rig_all());
	rig_fini();
	build_nodes(CPUID_AMD, 1);
	ck_assert_msg(rig_count("NUMA node 1 has it, node 0 others that share its L3 cache") == 1 &&
			      found.nr == 1,
		      "%s", rig_all());
}
END_TEST

START_TEST(core_in_two_nodes_is_found)
{
	build_nodes(_i ? CPUID_AMD : CPUID_INTEL, 0);
	ck_assert_msg(rig_count("NUMA node 1 has it, node 0 other threads of its core"), "%s", rig_all());
	ck_assert_msg(rig_count("others that share its L2 cache"), "%s", rig_all());
}
END_TEST

START_TEST(no_processors_are_no_findings)
{
	run();
	ck_assert_uint_eq(found.nr, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("check");
	TCase *c = tcase_create("check");
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, NULL, rig_fini);
	tcase_add_loop_test(c, every_small_shape_is_clean, 1, UP_TO + 1);
	tcase_add_loop_test(c, large_and_half_plugged_shapes_are_clean, 0, ARRAY_SIZE(large));
	tcase_add_loop_test(c, hybrid_part_is_clean, 0, 2);
	tcase_add_loop_test(c, wrong_register_is_found, 0, ARRAY_SIZE(wrong));
	tcase_add_test(c, core_type_that_was_not_asked_for_is_found);
	tcase_add_test(c, hybrid_part_without_its_bit_is_found);
	tcase_add_test(c, hygon_has_amds_leaves);
	tcase_add_test(c, vcpu_is_counted_once);
	tcase_add_test(c, processor_without_a_cache_does_not_share_it);
	tcase_add_test(c, old_leaves_alone_tell_the_same);
	tcase_add_test(c, modules_that_nobody_tells_are_found);
	tcase_add_test(c, sharing_that_the_field_cannot_tell_is_let_pass);
	tcase_add_test(c, caches_of_one_level_are_not_compared);
	tcase_add_loop_test(c, missing_index_flag_is_found, 0, 4);
	tcase_add_test(c, missing_extended_leaf_is_found);
	tcase_add_test(c, id_twice_is_found);
	tcase_add_test(c, exchanged_members_are_found);
	tcase_add_test(c, id_above_254_without_x2apic_is_found);
	tcase_add_test(c, one_is_said_as_one);
	tcase_add_test(c, id_above_254_without_kvms_leaves_is_found);
	tcase_add_test(c, id_above_32767_is_found);
	tcase_add_loop_test(c, override_that_no_guest_reads_is_found, 0, ARRAY_SIZE(vain));
	tcase_add_test(c, limit_that_is_overridden_too_counts);
	tcase_add_loop_test(c, msr_against_cpuid_is_found, 0, ARRAY_SIZE(msrs));
	tcase_add_test(c, msr_that_shuts_vmx_or_long_mode_is_found);
	tcase_add_loop_test(c, node_that_is_a_die_is_clean, 0, 2);
	tcase_add_test(c, l3_in_two_nodes_is_found_on_amd_alone);
	tcase_add_loop_test(c, core_in_two_nodes_is_found, 0, 2);
	tcase_add_test(c, no_processors_are_no_findings);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
