/* Unit tests of json.c: every string is one that any reader takes. */
#include "vmm/base/json.h"

#include <check.h>
#include <stdlib.h>

#include "vmm/base/json_rig.h"

static const struct {
	const char *text, *want;
} strings[] = {
	{ "", "\"\"" },
	{ "plain", "\"plain\"" },
	{ "a \"quote\" and a \\", "\"a \\\"quote\\\" and a \\\\\"" },
	{ "line\nend\ttab\x7f", "\"line\\u000aend\\u0009tab\\u007f\"" },
	{ "gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"" },
	{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
	{ "\xff", "\"\\ufffd\"" },
	{ "\xc3", "\"\\ufffd\"" },                                  /* cut off */
	{ "\xc0\xaf", "\"\\ufffd\\ufffd\"" },                       /* longer than it must be */
	{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },            /* half of a surrogate pair */
	{ "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" }, /* past U+10FFFF */
	{ NULL, "null" },
};

START_TEST(any_bytes_become_a_string)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(out);
	json_put_string(out, strings[_i].text);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_str_eq(text, strings[_i].want);
	ck_assert(json_is_whole(text));
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json");
	TCase *c = tcase_create("strings");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(c, any_bytes_become_a_string, 0, ARRAY_SIZE(strings));
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
