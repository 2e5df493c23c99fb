/* Checksums and the IOAPIC's number. */
#include "firmware/tables.h"

#include "firmware/tables_rig.h"

START_TEST(checksum_makes_the_sum_zero)
{
	static const uint8_t bytes[] = { 0xff, 0x80, 0x01, 0x10 };

	ck_assert_uint_eq(tables_checksum(bytes, 0), 0);
	ck_assert_uint_eq(tables_checksum(bytes, 1), 0x01);
	ck_assert_uint_eq(tables_checksum(bytes, sizeof(bytes)), 0x70);
}
END_TEST

START_TEST(ioapic_takes_the_number_behind_the_last_processor)
{
	struct rig r;

	rig_init_flat(&r, 4);
	ck_assert_uint_eq(tables_ioapic_id(&r.p), 4);
	rig_fini(&r);
}
END_TEST

START_TEST(ioapic_takes_a_hole_between_processors)
{
	struct rig r;

	rig_init(&r, (struct rig_shape){ { 1, 3, 1, 1, 80 }, 0 });
	ck_assert_uint_eq(tables_ioapic_id(&r.p), 3);
	rig_fini(&r);
}
END_TEST

START_TEST(ioapic_number_is_never_the_broadcast)
{
	struct rig r;

	rig_init_flat(&r, 255); /* 0 to 254 are taken, 255 would be free */
	ck_assert_uint_eq(tables_ioapic_id(&r.p), 0);
	rig_fini(&r);
	rig_init_flat(&r, 1024);
	ck_assert_uint_eq(tables_ioapic_id(&r.p), 0);
	rig_fini(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tables");
	TCase *tc = tcase_create("shared");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, checksum_makes_the_sum_zero);
	tcase_add_test(tc, ioapic_takes_the_number_behind_the_last_processor);
	tcase_add_test(tc, ioapic_takes_a_hole_between_processors);
	tcase_add_test(tc, ioapic_number_is_never_the_broadcast);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
