/* Unit tests of model_host.c: what `trellis host` says of the model nearest to a host. */
#include "vmm/cpu/model_rig.h"

static char differs[1024];

START_TEST(nearest_model_of_a_named_one_is_itself_without_difference)
{
	host_is("EPYC-Milan");
	ck_assert_str_eq(model_nearest(&host, differs, sizeof(differs)), "EPYC-Milan");
	ck_assert_str_eq(differs, "");
}
END_TEST

START_TEST(nearest_model_differs_by_what_is_more_and_what_is_less)
{
	host_is("EPYC-Rome,+vaes,+vpclmulqdq,-clwb");
	ck_assert_str_eq(model_nearest(&host, differs, sizeof(differs)), "EPYC-Rome");
	ck_assert_str_eq(differs, "+vaes,+vpclmulqdq,-clwb");
	host_is("Nehalem,+pclmulqdq");
	ck_assert_str_eq(model_nearest(&host, differs, sizeof(differs)), "Westmere");
	ck_assert_str_eq(differs, "-aes");
}
END_TEST

START_TEST(nearest_model_of_interpreted_ring0_lacks_what_cannot_run_there)
{
	host_is("EPYC-Milan");
	host.ring0_interpreted = true;
	ck_assert_ptr_nonnull(model_nearest(&host, differs, sizeof(differs)));
	ck_assert_ptr_nonnull(strstr(differs, "-xsave"));
}
END_TEST

START_TEST(differences_that_do_not_fit_are_counted)
{
	char small[40];

	host_is("EPYC-Rome,-avx2,-clwb,-sse4a,-abm");
	ck_assert_ptr_nonnull(model_nearest(&host, small, sizeof(small)));
	ck_assert_ptr_nonnull(strstr(small, "more"));
	ck_assert_uint_lt(strlen(small), sizeof(small));
}
END_TEST

START_TEST(empty_host_has_a_nearest_model_too)
{
	host_is("EPYC-Rome");
	host_table.nent = 0;
	ck_assert_ptr_nonnull(model_nearest(&host, differs, sizeof(differs)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("model_host");
	TCase *c = tcase_create("nearest");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, nearest_model_of_a_named_one_is_itself_without_difference);
	tcase_add_test(c, nearest_model_differs_by_what_is_more_and_what_is_less);
	tcase_add_test(c, nearest_model_of_interpreted_ring0_lacks_what_cannot_run_there);
	tcase_add_test(c, differences_that_do_not_fit_are_counted);
	tcase_add_test(c, empty_host_has_a_nearest_model_too);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
