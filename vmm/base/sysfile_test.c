/* Unit tests of sysfile.c, over a directory that stands for "/". What a kernel does with a write is not tested. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/sysfile.h"

static char root[64], text[64];
static uint64_t number;

static void setup(void)
{
	snprintf(root, sizeof(root), "/tmp/trellis-sysfile-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	memset(text, 'x', sizeof(text));
	number = 77;
}

static void teardown(void)
{
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	ck_assert_int_eq(system(cmd), 0);
}

static void put(const char *name, const char *content)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(content, f);
	fclose(f);
}

static const struct {
	const char *content, *want;
} texts[] = {
	{ "0-3,8\n", "0-3,8" },
	{ "no newline", "no newline" },
	{ "two\nlines\n\n", "two\nlines" },
	{ "", "" },
	{ "\n", "" },
	{ " blank stays \n", " blank stays " },
};

START_TEST(text_comes_without_the_newlines_at_its_end)
{
	put("file", texts[_i].content);
	ck_assert_int_eq(sysfile_text(root, text, sizeof(text), "/%s", "file"), (int)strlen(texts[_i].want));
	ck_assert_str_eq(text, texts[_i].want);
}
END_TEST

START_TEST(text_that_does_not_fit_is_cut_off)
{
	put("file", "0123456789\n");
	ck_assert_int_eq(sysfile_text(root, text, 5, "/file"), 4);
	ck_assert_str_eq(text, "0123");
	ck_assert_int_eq(text[5], 'x');
	ck_assert_int_eq(sysfile_text(root, text, 1, "/file"), 0);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(file_that_cannot_be_read_leaves_an_empty_text)
{
	ck_assert_int_eq(sysfile_text(root, text, sizeof(text), "/missing"), -ENOENT);
	ck_assert_str_eq(text, "");
	text[0] = 'x';
	ck_assert_int_eq(sysfile_text(root, text, sizeof(text), "/"), -EISDIR);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(path_that_is_too_long_is_refused)
{
	char *longest = malloc(PATH_MAX + 2);

	memset(longest, '/', PATH_MAX + 1);
	longest[PATH_MAX + 1] = '\0';
	ck_assert_int_eq(sysfile_text("", text, sizeof(text), "%s", longest), -ENAMETOOLONG);
	ck_assert_int_eq(sysfile_text(longest, text, sizeof(text), "/x"), -ENAMETOOLONG);
	longest[PATH_MAX] = '\0'; /* no room for the end */
	ck_assert_int_eq(sysfile_text("", text, sizeof(text), "%s", longest), -ENAMETOOLONG);
	longest[PATH_MAX - 1] = '\0';
	ck_assert_int_eq(sysfile_text("", text, sizeof(text), "%s", longest), -EISDIR);
	free(longest);
}
END_TEST

static const struct {
	const char *content;
	int rc;
	uint64_t want;
} numbers[] = {
	{ "0\n", 0, 0 },
	{ "512\n", 0, 512 },
	{ "010\n", 0, 10 }, /* not octal */
	{ "18446744073709551615\n", 0, UINT64_MAX },
	{ "18446744073709551616\n", -EINVAL, 77 },
	{ "99999999999999999999999999999999999999\n", -EINVAL, 77 },
	{ "max\n", -EINVAL, 77 },
	{ "-1\n", -EINVAL, 77 },
	{ "0x10\n", -EINVAL, 77 },
	{ " 1\n", -EINVAL, 77 },
	{ "1 kB\n", -EINVAL, 77 },
	{ "\n", -EINVAL, 77 },
	{ NULL, -ENOENT, 77 },
};

START_TEST(number_is_decimal_and_nothing_else)
{
	if (numbers[_i].content)
		put("file", numbers[_i].content);
	ck_assert_int_eq(sysfile_u64(root, &number, "/file"), numbers[_i].rc);
	ck_assert_uint_eq(number, numbers[_i].want);
}
END_TEST

static const struct {
	const char *content;
	int rc;
	const char *want;
} choices[] = {
	{ "always [madvise] never\n", 0, "madvise" },
	{ "[always] madvise never\n", 0, "always" },
	{ "a [1234567]\n", 0, "1234567" },
	{ "a [12345678]\n", -EINVAL, NULL }, /* one byte more than there is room for */
	{ "always madvise never\n", -EINVAL, NULL },
	{ "always [madvise\n", -EINVAL, NULL },
	{ "] [\n", -EINVAL, NULL },
	{ "[]\n", 0, "" },
	{ NULL, -ENOENT, NULL },
};

START_TEST(choice_is_the_word_in_brackets)
{
	if (choices[_i].content)
		put("file", choices[_i].content);
	ck_assert_int_eq(sysfile_choice(root, text, 8, "/file"), choices[_i].rc);
	ck_assert_int_eq(text[8], 'x');
	if (choices[_i].want)
		ck_assert_str_eq(text, choices[_i].want);
}
END_TEST

START_TEST(written_text_replaces_what_was_there)
{
	put("file", "a longer text\n");
	ck_assert_int_eq(sysfile_write(root, "12", "/%s", "file"), 0);
	ck_assert_int_eq(sysfile_text(root, text, sizeof(text), "/file"), 2);
	ck_assert_str_eq(text, "12");
}
END_TEST

START_TEST(writing_makes_no_file)
{
	ck_assert_int_eq(sysfile_write(root, "12", "/missing"), -ENOENT);
	ck_assert_int_eq(sysfile_text(root, text, sizeof(text), "/missing"), -ENOENT);
}
END_TEST

START_TEST(refused_write_is_told)
{
	ck_assert_int_eq(sysfile_write("", "12", "/dev/full"), -ENOSPC);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sysfile");
	TCase *c = tcase_create("sysfile");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, text_comes_without_the_newlines_at_its_end, 0, ARRAY_SIZE(texts));
	tcase_add_test(c, text_that_does_not_fit_is_cut_off);
	tcase_add_test(c, file_that_cannot_be_read_leaves_an_empty_text);
	tcase_add_test(c, path_that_is_too_long_is_refused);
	tcase_add_loop_test(c, number_is_decimal_and_nothing_else, 0, ARRAY_SIZE(numbers));
	tcase_add_loop_test(c, choice_is_the_word_in_brackets, 0, ARRAY_SIZE(choices));
	tcase_add_test(c, written_text_replaces_what_was_there);
	tcase_add_test(c, writing_makes_no_file);
	tcase_add_test(c, refused_write_is_told);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
