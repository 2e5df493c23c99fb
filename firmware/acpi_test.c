/*
 * The ACPI tables: fields against ACPI 6.5, found as a guest finds them (RSDP, XSDT, ...), over many shapes;
 * and iasl's opinion of each. What an operating system makes of them is shown by the Linux boots.
 */
#include <errno.h>

#include "firmware/acpi_rig.h"

/* Shapes that are known to trip somebody: holes in ids, ids beyond 8 bits, pluggable processors. */
static const struct rig_shape shapes[] = {
	{ { 1, 1, 1, 1, 1 }, 0 },    { { 2, 4, 1, 1, 1 }, 0 },     { { 1, 3, 1, 1, 2 }, 4 },
	{ { 1, 5, 1, 3, 2 }, 0 },    { { 2, 3, 2, 2, 3 }, 1 },     { { 1, 254, 1, 1, 1 }, 0 },
	{ { 1, 255, 1, 1, 1 }, 0 },  { { 1, 256, 1, 1, 1 }, 128 }, { { 2, 64, 1, 1, 8 }, 0 },
	{ { 2, 3, 1, 5, 20 }, 100 }, { { 1, 1, 1, 1, 4096 }, 0 },  { { 2, 256, 1, 2, 4 }, 2 },
};

START_TEST(rsdp_has_both_checksums_and_roots)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r, rsdp);
	ck_assert_mem_eq(rsdp, "RSD PTR ", 8);
	ck_assert_uint_eq(sum(rsdp, 20), 0);
	ck_assert_uint_eq(sum(rsdp, 36), 0);
	ck_assert_uint_eq(rsdp[15], 2);
	ck_assert_uint_eq(get_le32(rsdp + 20), 36);
	ck_assert_mem_eq(at(&r, get_le32(rsdp + 16)), "RSDT", 4);
	ck_assert_mem_eq(at(&r, get_le64(rsdp + 24)), "XSDT", 4);
	rig_fini(&r);
}
END_TEST

START_TEST(rsdt_and_xsdt_list_the_same_tables)
{
	static const char *const order[] = { "FACP", "APIC", "MCFG" };
	const uint8_t *rsdt, *xsdt;
	uint8_t rsdp[ACPI_RSDP_BYTES];
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r, rsdp);
	rsdt = at(&r, get_le32(rsdp + 16));
	xsdt = at(&r, get_le64(rsdp + 24));
	ck_assert_uint_eq(sum(rsdt, get_le32(rsdt + 4)), 0);
	ck_assert_uint_eq(sum(xsdt, get_le32(xsdt + 4)), 0);
	ck_assert_uint_eq(get_le32(rsdt + 4), 36 + 4 * ARRAY_SIZE(order));
	ck_assert_uint_eq(get_le32(xsdt + 4), 36 + 8 * ARRAY_SIZE(order));
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		ck_assert_uint_eq(get_le32(rsdt + 36 + 4 * i), get_le64(xsdt + 36 + 8 * i));
		ck_assert_mem_eq(at(&r, get_le32(rsdt + 36 + 4 * i)), order[i], 4);
	}
	rig_fini(&r);
}
END_TEST

static void check_gas(const uint8_t *gas, uint8_t bits, uint8_t access, uint64_t port)
{
	ck_assert_uint_eq(gas[0], 1);
	ck_assert_uint_eq(gas[1], bits);
	ck_assert_uint_eq(gas[2], 0);
	ck_assert_uint_eq(gas[3], access);
	ck_assert_uint_eq(get_le64(gas + 4), port);
}

START_TEST(fadt_describes_fixed_hardware_twice)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *t;
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "FACP");
	ck_assert_uint_eq(get_le32(t + 4), 276);
	ck_assert_uint_eq(t[8], 6);
	ck_assert_uint_eq(t[131], 3);
	ck_assert_uint_eq(get_le16(t + 46), GSI_SCI);
	ck_assert_uint_eq(get_le32(t + 48), 0); /* SMI_CMD */
	ck_assert_uint_eq(get_le32(t + 56), PORT_PM_EVT);
	ck_assert_uint_eq(get_le32(t + 64), PORT_PM_CNT);
	ck_assert_uint_eq(get_le32(t + 76), PORT_PM_TMR);
	ck_assert_uint_eq(get_le32(t + 80), PORT_GPE0);
	ck_assert_mem_eq(t + 88, ((uint8_t[]){ 4, 2, 0, 4, GPE0_LEN, 0, 0 }), 7);
	check_gas(t + 116, 8, 1, PORT_RESET);
	ck_assert_uint_eq(t[128], RESET_VALUE);
	check_gas(t + 148, 32, 2, PORT_PM_EVT);
	check_gas(t + 172, 16, 2, PORT_PM_CNT);
	check_gas(t + 208, 32, 3, PORT_PM_TMR);
	check_gas(t + 220, 8 * GPE0_LEN, 1, PORT_GPE0);
	ck_assert_mem_eq(t + 268, "trellis", 8);
	rig_fini(&r);
}
END_TEST

START_TEST(fadt_flags_say_what_is_there)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *t;
	uint32_t flags;
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "FACP");
	flags = get_le32(t + 112);
	ck_assert_uint_eq(flags & 1u << 4, 0);           /* the power button is fixed */
	ck_assert_uint_ne(flags & 1u << 5, 0);           /* the sleep button is not */
	ck_assert_uint_ne(flags & 1u << 8, 0);           /* 32 bits of timer */
	ck_assert_uint_ne(flags & 1u << 10, 0);          /* reset register */
	ck_assert_uint_eq(flags & 1u << 20, 0);          /* not hardware-reduced */
	ck_assert_uint_eq(get_le16(t + 109), 0x15);      /* legacy, no VGA, no ASPM; i8042 not announced */
	ck_assert_uint_eq(t[108], 0x32);                 /* century */
	ck_assert_uint_gt(get_le16(t + 96), 100);        /* no C2 */
	ck_assert_uint_gt(get_le16(t + 98), 1000);       /* no C3 */
	rig_fini(&r);
}
END_TEST

/* 5.2.9, bit 18: from the ninth processor on, flat logical mode cannot reach all. */
START_TEST(fadt_asks_for_clusters_beyond_eight_processors)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	struct rig eight, nine;

	rig_init_flat(&eight, 8);
	rig_build(&eight, rsdp);
	ck_assert_uint_eq(get_le32(find(&eight, rsdp, "FACP") + 112) & 1u << 18, 0);
	rig_init_flat(&nine, 9);
	rig_build(&nine, rsdp);
	ck_assert_uint_ne(get_le32(find(&nine, rsdp, "FACP") + 112) & 1u << 18, 0);
	rig_fini(&eight);
	rig_fini(&nine);
}
END_TEST

START_TEST(facs_is_aligned_and_has_version_2)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *t;
	uint32_t gpa;
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r, rsdp);
	gpa = get_le32(find(&r, rsdp, "FACP") + 36);
	t = at(&r, gpa);
	ck_assert_uint_eq(gpa % 64, 0);
	ck_assert_mem_eq(t, "FACS", 4);
	ck_assert_uint_eq(get_le32(t + 4), 64);
	ck_assert_uint_eq(t[32], 2);
	rig_fini(&r);
}
END_TEST

START_TEST(dsdt_is_told_the_same_way_twice)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *t;
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "FACP");
	ck_assert_uint_eq(get_le32(t + 40), get_le64(t + 140));
	ck_assert_mem_eq(at(&r, get_le32(t + 40)), "DSDT", 4);
	ck_assert_uint_eq(find(&r, rsdp, "DSDT")[8], 2);
	rig_fini(&r);
}
END_TEST

START_TEST(mcfg_ends_at_the_last_bus)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *t;
	struct rig r;

	rig_init_flat(&r, 2);
	r.p.nr_buses = 16;
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "MCFG");
	ck_assert_uint_eq(get_le32(t + 4), 60);
	ck_assert_uint_eq(get_le64(t + 44), MAP_ECAM_BASE);
	ck_assert_uint_eq(t[54], 0);
	ck_assert_uint_eq(t[55], 15);
	rig_fini(&r);
}
END_TEST

/* Every processor once, in order, in the entry its id wants, with the flag that fits. */
START_TEST(madt_lists_every_processor_of_any_shape)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *t, *entry;
	const struct topo_cpu *cpu;
	struct rig r;

	rig_init(&r, shapes[_i]);
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "APIC");
	ck_assert_uint_eq(t[8], 5);
	ck_assert_uint_eq(get_le32(t + 36), MAP_LAPIC_BASE);
	entry = t + 44;
	for (unsigned int i = 0; i < r.topo.nr_cpus; i++, entry += entry[1]) {
		bool wide = r.topo.cpu[i].apic_id >= 255;

		cpu = &r.topo.cpu[i];
		ck_assert_uint_eq(entry[0], wide ? 9 : 0);
		ck_assert_uint_eq(entry[1], wide ? 16 : 8);
		ck_assert_uint_eq(wide ? get_le32(entry + 4) : entry[3], cpu->apic_id);
		ck_assert_uint_eq(wide ? get_le32(entry + 12) : entry[2], cpu->apic_id);
		ck_assert_uint_eq(get_le32(entry + (wide ? 8 : 4)), cpu->present ? 1 : 2);
	}
	ck_assert_uint_eq(entry[0], 1);
	rig_fini(&r);
}
END_TEST

/* Everything behind the processors; holes begin with the first of them. */
static const uint8_t *madt_tail(const struct rig *r, const uint8_t *rsdp)
{
	const uint8_t *entry = find(r, rsdp, "APIC") + 44;

	for (unsigned int i = 0; i < r->topo.nr_cpus; i++)
		entry += entry[1];
	return entry;
}

START_TEST(madt_tells_ioapic_overrides_and_nmi)
{
	static const uint8_t want[] = {
		1, 12, 4, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0, /* IOAPIC 4 at 0xfec00000, GSI 0 */
		2, 10, 0, 0, 2, 0, 0, 0, 0, 0,                   /* IRQ 0 is GSI 2 */
		2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0,                /* SCI: level, active high */
		4, 6, 0xff, 0, 0, 1,                             /* NMI at everybody's LINT1 */
	};
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *t;
	struct rig r;

	rig_init_flat(&r, 4);
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "APIC");
	ck_assert_ptr_eq(madt_tail(&r, rsdp) + sizeof(want), t + get_le32(t + 4));
	ck_assert_mem_eq(madt_tail(&r, rsdp), want, sizeof(want));
	rig_fini(&r);
}
END_TEST

START_TEST(madt_tells_nmi_of_wide_ids_too)
{
	static const uint8_t want[] = { 0x0a, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0 };
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *t;
	struct rig r;

	rig_init_flat(&r, 256); /* the last one has id 255 */
	rig_build(&r, rsdp);
	t = find(&r, rsdp, "APIC");
	ck_assert_mem_eq(t + get_le32(t + 4) - sizeof(want), want, sizeof(want));
	rig_fini(&r);
}
END_TEST

START_TEST(tables_of_any_shape_stay_below_the_bound)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	struct rig r;

	rig_init(&r, shapes[_i]);
	memset(r.p.com_present, true, sizeof(r.p.com_present));
	rig_build(&r, rsdp);
	ck_assert_uint_le(r.out.len, acpi_size_max(&r.p));
	ck_assert_uint_eq(acpi_size_max(&r.p) % 4096, 0);
	rig_fini(&r);
}
END_TEST

START_TEST(base_that_cannot_hold_the_tables_is_refused)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	struct rig r;

	rig_init_flat(&r, 2);
	ck_assert_int_eq(acpi_build(&r.p, BASE + 16, &r.out, rsdp, &r.e), -EINVAL);
	ck_assert_int_eq(acpi_build(&r.p, 0xfffff000, &r.out, rsdp, &r.e), -EINVAL);
	ck_assert_int_eq(acpi_build(&r.p, 1ull << 32, &r.out, rsdp, &r.e), -EINVAL);
	ck_assert_uint_eq(r.out.len, 0);
	rig_fini(&r);
}
END_TEST

START_TEST(buses_that_ecam_cannot_decode_are_refused)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	struct rig r;

	rig_init_flat(&r, 2);
	r.p.nr_buses = 0;
	ck_assert_int_eq(acpi_build(&r.p, BASE, &r.out, rsdp, &r.e), -EINVAL);
	r.p.nr_buses = 257;
	ck_assert_int_eq(acpi_build(&r.p, BASE, &r.out, rsdp, &r.e), -EINVAL);
	rig_fini(&r);
}
END_TEST

START_TEST(windows_that_overflow_are_refused)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	struct rig r;

	rig_init_flat(&r, 2);
	r.p.pci32_len = 1ull << 31;
	ck_assert_int_eq(acpi_build(&r.p, BASE, &r.out, rsdp, &r.e), -EINVAL);
	r.p.pci32_len = MAP_PCI32_LEN;
	r.p.pci64_base = UINT64_MAX - 4095;
	ck_assert_int_eq(acpi_build(&r.p, BASE, &r.out, rsdp, &r.e), -EINVAL);
	rig_fini(&r);
}
END_TEST

/* --- iasl --- */

static void check_iasl_all(struct rig *r)
{
	static const char *const signature[] = { "FACP", "APIC", "MCFG", "DSDT" };
	uint8_t rsdp[ACPI_RSDP_BYTES];

	rig_build(r, rsdp);
	rig_make_dir(r);
	check_iasl(r, at(r, get_le64(rsdp + 24)));
	check_iasl(r, at(r, get_le32(rsdp + 16)));
	for (size_t i = 0; i < ARRAY_SIZE(signature); i++)
		check_iasl(r, find(r, rsdp, signature[i]));
}

/* iasl of 2020 does not know that x2APIC entries may be online capable: such shapes are left out here. */
static const struct rig_shape iasl_shapes[] = {
	{ { 1, 1, 1, 1, 1 }, 0 }, { { 1, 3, 1, 1, 2 }, 4 }, { { 2, 3, 1, 5, 20 }, 0 }, { { 1, 1024, 1, 1, 1 }, 0 },
};

START_TEST(iasl_takes_tables_of_any_shape_and_back)
{
	struct rig r;

	rig_init(&r, iasl_shapes[_i]);
	check_iasl_all(&r);
	rig_fini(&r);
}
END_TEST

START_TEST(iasl_takes_tables_of_a_bare_machine_and_back)
{
	struct rig r;

	rig_init_flat(&r, 1);
	memset(r.p.com_present, 0, sizeof(r.p.com_present));
	r.p.pvpanic_present = false;
	r.p.pci64_len = 0;
	r.p.nr_buses = 1;
	check_iasl_all(&r);
	rig_fini(&r);
}
END_TEST

START_TEST(iasl_takes_tables_of_a_full_machine_and_back)
{
	struct rig r;

	rig_init_flat(&r, 4);
	memset(r.p.com_present, true, sizeof(r.p.com_present));
	check_iasl_all(&r);
	rig_fini(&r);
}
END_TEST

/* --- the interpreter of ACPICA, which is also that of Linux and FreeBSD --- */

/* The bytes that PCI0._OSC answers, as acpiexec prints them. */
static void check_osc(struct rig *r, const char *args, const char *want)
{
	struct buf log = { 0 };
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "acpiexec -b 'execute \\_SB.PCI0._OSC %s' t.dat", args);
	ck_assert_int_eq(rig_run(r, cmd), 0);
	rig_read_file(r, "log", &log);
	ck_assert_msg(strstr((char *)log.data, want) != NULL, "expected %s in %s", want, (char *)log.data);
	buf_fini(&log);
}

START_TEST(osc_grants_the_capability_structure_alone)
{
#define PCI_UUID "(5B 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66)"
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *dsdt;
	struct rig r;

	rig_init_flat(&r, 1);
	rig_build(&r, rsdp);
	rig_make_dir(&r);
	dsdt = find(&r, rsdp, "DSDT");
	rig_write_file(&r, "t.dat", dsdt, get_le32(dsdt + 4));
	check_osc(&r, PCI_UUID " 1 3 (01 00 00 00 1F 00 00 00 3F 01 00 00)", "11 00 00 00 1F 00 00 00 10 00 00 00");
	check_osc(&r, PCI_UUID " 1 3 (00 00 00 00 1F 00 00 00 10 00 00 00)", "00 00 00 00 1F 00 00 00 10 00 00 00");
	check_osc(&r, PCI_UUID " 2 3 (00 00 00 00 1F 00 00 00 00 00 00 00)", "08 00 00 00 1F 00 00 00 00 00 00 00");
	check_osc(&r, PCI_UUID " 1 2 (00 00 00 00 1F 00 00 00)", "02 00 00 00 1F 00 00 00");
	check_osc(&r, "(00 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66) 1 3 (00 00 00 00 1F 00 00 00 10 00 00 00)",
		  "04 00 00 00 1F 00 00 00 10 00 00 00");
	rig_fini(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("acpi");
	TCase *tc = tcase_create("tables"), *tools = tcase_create("tools");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, rsdp_has_both_checksums_and_roots);
	tcase_add_test(tc, rsdt_and_xsdt_list_the_same_tables);
	tcase_add_test(tc, fadt_describes_fixed_hardware_twice);
	tcase_add_test(tc, fadt_flags_say_what_is_there);
	tcase_add_test(tc, fadt_asks_for_clusters_beyond_eight_processors);
	tcase_add_test(tc, facs_is_aligned_and_has_version_2);
	tcase_add_test(tc, dsdt_is_told_the_same_way_twice);
	tcase_add_test(tc, mcfg_ends_at_the_last_bus);
	tcase_add_loop_test(tc, madt_lists_every_processor_of_any_shape, 0, ARRAY_SIZE(shapes));
	tcase_add_test(tc, madt_tells_ioapic_overrides_and_nmi);
	tcase_add_test(tc, madt_tells_nmi_of_wide_ids_too);
	tcase_add_loop_test(tc, tables_of_any_shape_stay_below_the_bound, 0, ARRAY_SIZE(shapes));
	tcase_add_test(tc, base_that_cannot_hold_the_tables_is_refused);
	tcase_add_test(tc, buses_that_ecam_cannot_decode_are_refused);
	tcase_add_test(tc, windows_that_overflow_are_refused);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(tools, 60);
	if (rig_has_tool("iasl")) {
		tcase_add_loop_test(tools, iasl_takes_tables_of_any_shape_and_back, 0, ARRAY_SIZE(iasl_shapes));
		tcase_add_test(tools, iasl_takes_tables_of_a_bare_machine_and_back);
		tcase_add_test(tools, iasl_takes_tables_of_a_full_machine_and_back);
	}
	if (rig_has_tool("acpiexec"))
		tcase_add_test(tools, osc_grants_the_capability_structure_alone);
	suite_add_tcase(suite, tools);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
