/*
 * The MP table against MultiProcessor Specification 1.4, chapter 4, walked as a guest walks it. There is no
 * independent tool to judge it: that Linux likes it is shown by a boot with acpi=off.
 */
#include "firmware/mptable.h"

#include "firmware/tables_rig.h"

#define BASE 0xf1230ull

enum { CPU, BUS, IOAPIC, IO_INT, LOCAL_INT, NR_ENTRY_TYPES };

static const struct rig_shape shapes[] = {
	{ { 1, 1, 1, 1, 1 }, 0 },   { { 2, 4, 1, 1, 1 }, 0 }, { { 1, 3, 1, 1, 2 }, 4 }, { { 2, 3, 2, 2, 3 }, 1 },
	{ { 1, 254, 1, 1, 1 }, 0 }, { { 1, 256, 1, 1, 1 }, 0 }, { { 2, 3, 1, 5, 20 }, 100 },
	{ { 1, 1, 1, 1, 4096 }, 0 },
};

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

static void rig_build(struct rig *r)
{
	ck_assert_int_eq(mptable_build(&r->p, BASE, &r->out, &r->e), 0);
}

/* Visit every entry in order; count[type] says how many there are. Returns where they end. */
static size_t walk(const struct rig *r, unsigned int count[NR_ENTRY_TYPES])
{
	unsigned int nr = get_le16(r->out.data + 16 + 34);
	uint8_t type, last = 0;
	size_t off = 16 + 44;

	memset(count, 0, NR_ENTRY_TYPES * sizeof(count[0]));
	for (unsigned int i = 0; i < nr; i++) {
		ck_assert_uint_lt(off, r->out.len);
		type = r->out.data[off];
		ck_assert_uint_lt(type, NR_ENTRY_TYPES);
		ck_assert_uint_ge(type, last);
		last = type;
		count[type]++;
		off += type == CPU ? 20 : 8;
	}
	return off;
}

/* The n-th entry of a type. */
static const uint8_t *entry(const struct rig *r, uint8_t type, unsigned int n)
{
	size_t off = 16 + 44;

	while (r->out.data[off] != type || n--) {
		off += r->out.data[off] == CPU ? 20 : 8;
		ck_assert_uint_lt(off, r->out.len);
	}
	return r->out.data + off;
}

START_TEST(pointer_leads_to_the_table)
{
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r);
	ck_assert_mem_eq(r.out.data, "_MP_", 4);
	ck_assert_uint_eq(get_le32(r.out.data + 4), BASE + 16);
	ck_assert_uint_eq(r.out.data[8], 1);
	ck_assert_uint_eq(r.out.data[9], 4);
	ck_assert_uint_eq(sum(r.out.data, 16), 0);
	ck_assert_uint_eq(r.out.data[11], 0); /* a table, not a default configuration */
	ck_assert_mem_eq(r.out.data + 16, "PCMP", 4);
	ck_assert_uint_eq(get_le32(r.out.data + 16 + 36), MAP_LAPIC_BASE);
	rig_fini(&r);
}
END_TEST

START_TEST(table_of_any_shape_adds_up)
{
	unsigned int count[NR_ENTRY_TYPES], want = 0;
	struct rig r;

	rig_init(&r, shapes[_i]);
	for (unsigned int i = 0; i < r.topo.nr_cpus; i++)
		want += r.topo.cpu[i].present && r.topo.cpu[i].apic_id < 255;
	rig_build(&r);
	ck_assert_uint_eq(walk(&r, count), r.out.len);
	ck_assert_uint_eq(get_le16(r.out.data + 16 + 4), r.out.len - 16);
	ck_assert_uint_eq(sum(r.out.data + 16, r.out.len - 16), 0);
	ck_assert_uint_eq(count[CPU], want);
	ck_assert_uint_eq(count[BUS], 2);
	ck_assert_uint_eq(count[IOAPIC], 1);
	ck_assert_uint_eq(count[IO_INT], 15 + 32 * 4);
	ck_assert_uint_eq(count[LOCAL_INT], 2);
	ck_assert_uint_lt(r.out.len, 8 * KIB);
	rig_fini(&r);
}
END_TEST

START_TEST(processors_have_ids_with_holes_and_one_boot_processor)
{
	static const uint8_t ids[] = { 0, 1, 2, 4, 5, 6 };
	struct rig r;

	rig_init(&r, (struct rig_shape){ { 1, 3, 1, 1, 2 }, 0 });
	rig_build(&r);
	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		ck_assert_uint_eq(entry(&r, CPU, i)[1], ids[i]);
		ck_assert_uint_eq(entry(&r, CPU, i)[3], i == 0 ? 3 : 1);
		ck_assert_uint_eq(get_le32(entry(&r, CPU, i) + 4), 0x6f8);
		ck_assert_uint_eq(get_le32(entry(&r, CPU, i) + 8), r.p.cpuid1_edx);
	}
	rig_fini(&r);
}
END_TEST

START_TEST(ioapic_has_a_free_id)
{
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r);
	ck_assert_mem_eq(entry(&r, IOAPIC, 0), ((uint8_t[]){ 2, 2, 0x11, 1, 0, 0, 0xc0, 0xfe }), 8);
	rig_fini(&r);
}
END_TEST

START_TEST(isa_interrupts_are_identity_but_the_timer)
{
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r);
	ck_assert_mem_eq(entry(&r, IO_INT, 0), ((uint8_t[]){ 3, 0, 0, 0, 1, 0, 2, 2 }), 8);
	ck_assert_mem_eq(entry(&r, IO_INT, 1), ((uint8_t[]){ 3, 0, 0, 0, 1, 1, 2, 1 }), 8);
	ck_assert_mem_eq(entry(&r, IO_INT, 2), ((uint8_t[]){ 3, 0, 0, 0, 1, 3, 2, 3 }), 8);
	ck_assert_mem_eq(entry(&r, IO_INT, 8), ((uint8_t[]){ 3, 0, 0x0d, 0, 1, 9, 2, 9 }), 8); /* SCI */
	ck_assert_mem_eq(entry(&r, IO_INT, 14), ((uint8_t[]){ 3, 0, 0, 0, 1, 15, 2, 15 }), 8);
	rig_fini(&r);
}
END_TEST

START_TEST(pci_interrupts_rotate_over_four_lines)
{
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r);
	for (unsigned int i = 0; i < 32 * 4; i++) {
		ck_assert_uint_eq(entry(&r, IO_INT, 15 + i)[4], 0); /* bus 0 */
		ck_assert_uint_eq(entry(&r, IO_INT, 15 + i)[5], i); /* slot << 2 | pin */
		ck_assert_uint_eq(entry(&r, IO_INT, 15 + i)[7], 16 + (i / 4 + i % 4) % 4);
	}
	rig_fini(&r);
}
END_TEST

START_TEST(local_interrupts_are_extint_and_nmi)
{
	struct rig r;

	rig_init_flat(&r, 2);
	rig_build(&r);
	ck_assert_mem_eq(entry(&r, LOCAL_INT, 0), ((uint8_t[]){ 4, 3, 0, 0, 1, 0, 0xff, 0 }), 8);
	ck_assert_mem_eq(entry(&r, LOCAL_INT, 1), ((uint8_t[]){ 4, 1, 0, 0, 1, 0, 0xff, 1 }), 8);
	rig_fini(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mptable");
	TCase *tc = tcase_create("table");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, pointer_leads_to_the_table);
	tcase_add_loop_test(tc, table_of_any_shape_adds_up, 0, ARRAY_SIZE(shapes));
	tcase_add_test(tc, processors_have_ids_with_holes_and_one_boot_processor);
	tcase_add_test(tc, ioapic_has_a_free_id);
	tcase_add_test(tc, isa_interrupts_are_identity_but_the_timer);
	tcase_add_test(tc, pci_interrupts_rotate_over_four_lines);
	tcase_add_test(tc, local_interrupts_are_extint_and_nmi);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
