/* Unit tests of opt.c and opt_help.c, with a table of our own that has every kind of key. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/opt.h"

struct target {
	unsigned int count;
	uint64_t bytes;
	bool on;
	int mode;
	char *path;
	uint64_t rate;
	struct opt_strings words;
	bool flag;
	unsigned int calls;
	char last[64];
};

static const char *const modes[] = { "none", "writeback", "directsync", NULL };

static const struct opt_key keys[] = {
	{ .name = "count", .value = "N", .kind = OPT_UINT, .offset = offsetof(struct target, count), .min = 1,
	  .max = 4096, .positional = true },
	{ .name = "size", .value = "SIZE", .help = "how big", .kind = OPT_SIZE, .offset = offsetof(struct target, bytes),
	  .min = 1 << 20, .max = 1ull << 40 },
	{ .name = "ro", .value = "on|off", .help = "read only", .kind = OPT_BOOL, .offset = offsetof(struct target, on) },
	{ .name = "cache", .value = "MODE", .help = "how to cache", .kind = OPT_CHOICE, .choices = modes,
	  .offset = offsetof(struct target, mode) },
	{ .name = "path", .value = "FILE", .help = "where", .kind = OPT_STRING, .offset = offsetof(struct target, path) },
	{ .name = "rate", .value = "BYTES", .help = "how fast", .kind = OPT_BYTES, .offset = offsetof(struct target, rate),
	  .max = 1 << 30 },
	{ .name = "word", .value = "TEXT", .help = "one more", .kind = OPT_STRINGS, .offset = offsetof(struct target, words) },
	{ 0 },
};

/* The same, with a name first, as --initrd has it. */
static const struct opt_key path_keys[] = {
	{ .name = "path", .value = "FILE", .kind = OPT_STRING, .offset = offsetof(struct target, path), .positional = true },
	{ .name = "ro", .value = "on|off", .help = "read only", .kind = OPT_BOOL, .offset = offsetof(struct target, on) },
	{ 0 },
};

static const struct opt_key lone_key[] = {
	{ .name = "count", .value = "N", .kind = OPT_UINT, .offset = offsetof(struct target, count), .max = 9,
	  .positional = true },
	{ 0 },
};

static struct target t;
static struct err e;

static void teardown(void)
{
	opt_free(keys, &t);
}

static int parse_list(const char *arg)
{
	return opt_parse_list("--thing", arg, keys, &t, &e);
}

/* ---- numbers and sizes ---- */

static const struct {
	const char *text;
	uint64_t want;
} good_uint[] = {
	{ "1", 1 }, { "4096", 4096 }, { "0x10", 16 }, { "0xFfF", 4095 },
};

START_TEST(number_is_understood)
{
	uint64_t v = 0;

	ck_assert_int_eq(opt_parse_uint(good_uint[_i].text, 1, 4096, &v), 0);
	ck_assert_uint_eq(v, good_uint[_i].want);
}
END_TEST

static const struct {
	const char *text;
	int want;
} bad_uint[] = {
	{ "", -EINVAL },    { " 1", -EINVAL },   { "+1", -EINVAL },   { "-1", -EINVAL },
	{ "1 ", -EINVAL },  { "1x", -EINVAL },   { "0x", -EINVAL },   { "x", -EINVAL },
	{ "1.5", -EINVAL }, { "1e3", -EINVAL },  { "0", -ERANGE },    { "4097", -ERANGE },
	{ "-", -EINVAL },   { "08", -EINVAL },   { "1,2", -EINVAL },  { "18446744073709551616", -EINVAL },
};

START_TEST(number_that_is_none_or_out_of_range_is_refused)
{
	uint64_t v = 77;

	ck_assert_int_eq(opt_parse_uint(bad_uint[_i].text, 1, 4096, &v), bad_uint[_i].want);
	ck_assert_uint_eq(v, 77);
}
END_TEST

START_TEST(largest_number_is_understood)
{
	uint64_t v = 0;

	ck_assert_int_eq(opt_parse_uint("18446744073709551615", 0, UINT64_MAX, &v), 0);
	ck_assert_uint_eq(v, UINT64_MAX);
}
END_TEST

static const struct {
	const char *text;
	uint64_t want;
} good_size[] = {
	{ "1", MIB },        { "512", 512 * MIB }, { "512M", 512 * MIB }, { "512m", 512 * MIB },   { "2G", 2 * GIB },
	{ "2g", 2 * GIB },   { "4K", 4096 },       { "4k", 4096 },        { "1T", 1024 * GIB },    { "3MB", 3 * MIB },
	{ "3MiB", 3 * MIB }, { "0x10K", 16384 },   { "0", 0 },            { "16777215T", 16777215ull << 40 },
};

START_TEST(size_is_understood)
{
	uint64_t v = 77;

	ck_assert_int_eq(opt_parse_size(good_size[_i].text, 0, UINT64_MAX, &v), 0);
	ck_assert_uint_eq(v, good_size[_i].want);
}
END_TEST

static const struct {
	const char *text;
	int want;
} bad_size[] = {
	{ "", -EINVAL },    { "M", -EINVAL },    { "4X", -EINVAL },   { "4 M", -EINVAL },        { "4M ", -EINVAL },
	{ "-4M", -EINVAL }, { "4MM", -EINVAL },  { "4Mi", -EINVAL },  { "4iB", -EINVAL },        { "1.5G", -EINVAL },
	{ "4MiBx", -EINVAL }, { "4B", -EINVAL }, { "4 ", -EINVAL }, { "17592186044424M", -ERANGE }, { "3", -ERANGE },
	{ "4095K", -ERANGE }, { "5G", -ERANGE }, { "4\x0b", -EINVAL }, { "4\xeb", -EINVAL },
};

START_TEST(size_that_is_none_or_out_of_range_is_refused)
{
	uint64_t v = 77;

	ck_assert_int_eq(opt_parse_size(bad_size[_i].text, 4 * MIB, 4 * GIB, &v), bad_size[_i].want);
	ck_assert_uint_eq(v, 77);
}
END_TEST

static const struct {
	uint64_t bytes;
	const char *want;
} size_text[] = {
	{ 0, "0 bytes" },   { 1, "1 bytes" },    { 1023, "1023 bytes" }, { KIB, "1K" },  { 1536 * KIB, "1536K" },
	{ MIB, "1M" },      { 512 * MIB, "512M" }, { 2 * GIB, "2G" },    { 1ull << 40, "1T" }, { 1ull << 50, "1024T" },
	{ UINT64_MAX, "18446744073709551615 bytes" },
};

START_TEST(size_is_written_with_the_largest_suffix_that_fits)
{
	char buf[32];

	ck_assert_str_eq(opt_size_text(size_text[_i].bytes, buf, sizeof(buf)), size_text[_i].want);
}
END_TEST

/* ---- lists ---- */

START_TEST(every_kind_of_key_is_stored)
{
	ck_assert_int_eq(parse_list("4,size=2G,ro=on,cache=directsync,path=/a=b"), 0);
	ck_assert_uint_eq(t.count, 4);
	ck_assert_uint_eq(t.bytes, 2 * GIB);
	ck_assert(t.on);
	ck_assert_int_eq(t.mode, 2);
	ck_assert_str_eq(t.path, "/a=b");
}
END_TEST

START_TEST(keys_which_are_not_there_keep_their_defaults)
{
	t.bytes = 5;
	t.mode = 1;
	ck_assert_int_eq(parse_list("7"), 0);
	ck_assert_uint_eq(t.count, 7);
	ck_assert_uint_eq(t.bytes, 5);
	ck_assert_int_eq(t.mode, 1);
}
END_TEST

START_TEST(positional_key_may_be_written_out)
{
	ck_assert_int_eq(parse_list("count=12,ro"), 0);
	ck_assert_uint_eq(t.count, 12);
	ck_assert(t.on);
}
END_TEST

START_TEST(positional_key_may_come_later_or_not_at_all)
{
	ck_assert_int_eq(parse_list("ro=on,count=3"), 0);
	ck_assert_uint_eq(t.count, 3);
	ck_assert_int_eq(parse_list("cache=none"), 0);
}
END_TEST

START_TEST(off_switches_off)
{
	t.on = true;
	ck_assert_int_eq(parse_list("1,ro=off"), 0);
	ck_assert(!t.on);
}
END_TEST

static const struct {
	const char *arg, *want;
} commas[] = {
	{ "1,path=a,,b", "a,b" },   { "1,path=a,,", "a," },      { "1,path=,,a", ",a" },
	{ "1,path=a,,,,b", "a,,b" }, { "1,path=a,,,ro", "a," },  { "path=a,,b,count=1", "a,b" },
};

START_TEST(doubled_comma_is_one_inside_the_value)
{
	ck_assert_int_eq(parse_list(commas[_i].arg), 0);
	ck_assert_str_eq(t.path, commas[_i].want);
}
END_TEST

START_TEST(positional_string_may_hold_equals_signs_and_commas)
{
	ck_assert_int_eq(opt_parse_list("--file", "dir=x/a,,b,ro", path_keys, &t, &e), 0);
	ck_assert_str_eq(t.path, "dir=x/a,b");
	ck_assert(t.on);
}
END_TEST

START_TEST(string_stored_again_by_another_list_is_not_leaked)
{
	ck_assert_int_eq(parse_list("1,path=first"), 0);
	ck_assert_int_eq(parse_list("1,path=second"), 0);
	ck_assert_str_eq(t.path, "second");
	opt_free(keys, &t);
	ck_assert_ptr_null(t.path);
	opt_free(keys, &t);
}
END_TEST

static const struct {
	const char *arg, *want;
} bad_list[] = {
	{ "0", "--thing 0: expected a number from 1 to 4096" },
	{ "4097", "--thing 4097: expected a number from 1 to 4096" },
	{ "four", "--thing four: expected a number from 1 to 4096" },
	{ "count=", "expected a number from 1 to 4096" },
	{ "count=4x", "--thing 4x: expected a number from 1 to 4096" },
	{ "1,size=1K", "--thing: size=1K: expected a size from 1M to 1T, e.g. 512M or 2G" },
	{ "1,size=2Q", "--thing: size=2Q: expected a size" },
	{ "1,size", "--thing: size needs a value: size=SIZE" },
	{ "1,ro=yes", "--thing: ro=yes: expected on or off" },
	{ "1,ro=", "--thing: ro=: expected on or off" },
	{ "1,cache=unsafe", "--thing: cache=unsafe: expected one of none, writeback, directsync" },
	{ "1,cache", "--thing: cache needs a value: cache=MODE" },
	{ "1,path=", "--thing: path=: expected FILE" },
	{ "1,path", "--thing: path needs a value: path=FILE" },
	{ "1,pat=x", "--thing: unknown key 'pat'; known are size=, ro=, cache=, path=" },
	{ "pat=x", "--thing: unknown key 'pat'; known are size=, ro=, cache=, path=" },
	{ "1,2", "--thing: unknown key '2'" },
	{ "1,Size=2M", "unknown key 'Size'" },
	{ "1, size=2M", "unknown key ' size'" },
	{ "1,=x", "unknown key ''" },
	{ "1,ro,ro=off", "--thing: ro is there twice" },
	{ "1,count=2", "--thing: count is there twice" },
	{ "count=1,count=2", "--thing: count is there twice" },
	{ "1,", "--thing 1,: there is nothing after a comma" },
	{ ",ro", "--thing ,ro: " },
	{ "1,,,ro", "--thing 1,: expected a number" }, /* "1," and then ro */
	{ "1,ro,", "there is nothing after a comma" },
	{ "", "--thing '': expected a number from" },
};

START_TEST(wrong_list_is_refused_with_what_would_do)
{
	ck_assert_int_eq(parse_list(bad_list[_i].arg), -EINVAL);
	ck_assert_msg(strstr(e.text, bad_list[_i].want), "'%s' does not have '%s'", e.text, bad_list[_i].want);
	ck_assert(e.usage);
}
END_TEST

START_TEST(list_with_no_other_key_says_unexpected)
{
	ck_assert_int_eq(opt_parse_list("--thing", "1,ro", lone_key, &t, &e), -EINVAL);
	ck_assert_str_eq(e.text, "--thing: unexpected 'ro'");
}
END_TEST

START_TEST(rate_without_suffix_counts_bytes)
{
	ck_assert_int_eq(parse_list("1,rate=1500"), 0);
	ck_assert_uint_eq(t.rate, 1500);
	ck_assert_int_eq(parse_list("1,rate=3M"), 0);
	ck_assert_uint_eq(t.rate, 3 * MIB);
	ck_assert_int_eq(parse_list("1,rate=2G"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "rate=2G: expected a number of bytes from 0 to 1G, e.g. 10M"));
}
END_TEST

START_TEST(repeated_strings_are_kept_in_their_order)
{
	ck_assert_int_eq(parse_list("1,word=a,rate=1,word=b,,c"), 0);
	ck_assert_uint_eq(t.words.nr, 2);
	ck_assert_str_eq(t.words.text[0], "a");
	ck_assert_str_eq(t.words.text[1], "b,c");
	ck_assert_int_eq(parse_list("1,word="), -EINVAL);
}
END_TEST

START_TEST(strings_beyond_the_limit_are_refused)
{
	char list[8 * (OPT_MAX_STRINGS + 2)] = "1";

	for (unsigned int i = 0; i <= OPT_MAX_STRINGS; i++)
		strcat(list, ",word=x");
	ck_assert_int_eq(parse_list(list), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "word can be given 32 times at most"));
	ck_assert_uint_eq(t.words.nr, OPT_MAX_STRINGS);
}
END_TEST

/* ---- command lines ---- */

static int parse_thing(void *config, const char *arg, struct err *err)
{
	struct target *c = config;

	if (arg && !strcmp(arg, "bad"))
		return err_usage(err, "--thing bad: expected better");
	c->calls++;
	snprintf(c->last, sizeof(c->last), "%s", arg ? arg : "(none)");
	return 0;
}

static const struct opt opts[] = {
	{ .name = "thing", .alias = "t", .arg = "TEXT", .parse = parse_thing, .keys = keys,
	  .help = "A thing, with a long explanation which has to be broken into several lines, since terminals have eighty "
		  "columns and no more." },
	{ .name = "maybe", .arg = "TEXT", .parse = parse_thing, .optional = true, .help = "Maybe -one\\two." },
	{ .name = "flag", .alias = "f", .flag = offsetof(struct target, flag), .help = "'Quoted'." },
	{ 0 },
};

static int parse_args(char *const *argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return opt_parse_args(opts, argc, argv, &t, &e);
}

#define ARGS(...) (char *const[]){ "run", __VA_ARGS__ NULL }

static const struct {
	char *const *argv;
	const char *last;
	unsigned int calls;
	bool flag;
} good_args[] = {
	{ ARGS(), "", 0, false },
	{ ARGS("--thing", "a",), "a", 1, false },
	{ ARGS("--thing=a",), "a", 1, false },
	{ ARGS("--thing=",), "", 1, false },
	{ ARGS("--thing", "",), "", 1, false },
	{ ARGS("--thing=a=b",), "a=b", 1, false },
	{ ARGS("--thing", "--flag",), "--flag", 1, false }, /* a value may look like an option */
	{ ARGS("-thing", "a",), "a", 1, false },
	{ ARGS("-t", "a",), "a", 1, false },
	{ ARGS("-t=a",), "a", 1, false },
	{ ARGS("-t", "a", "-t", "b",), "b", 2, false },
	{ ARGS("--flag",), "", 0, true },
	{ ARGS("-f", "--flag", "--thing", "x",), "x", 1, true },
	{ ARGS("--maybe",), "(none)", 1, false },
	{ ARGS("--maybe=x",), "x", 1, false },
	{ ARGS("--maybe", "x",), "x", 1, false }, /* there are no operands that it could be instead */
	{ ARGS("--maybe", "--flag",), "(none)", 1, true },
	{ ARGS("--flag", "--",), "", 0, true },
};

START_TEST(command_line_is_understood)
{
	ck_assert_int_eq(parse_args(good_args[_i].argv), 0);
	ck_assert_str_eq(t.last, good_args[_i].last);
	ck_assert_uint_eq(t.calls, good_args[_i].calls);
	ck_assert_int_eq(t.flag, good_args[_i].flag);
}
END_TEST

static const struct {
	char *const *argv;
	const char *want;
} bad_args[] = {
	{ ARGS("a",), "'a' is no option; see trellis run --help" },
	{ ARGS("-",), "'-' is no option" },
	{ ARGS("",), "'' is no option" },
	{ ARGS("--flag", "a",), "'a' is no option" },
	{ ARGS("--", "a",), "'a' is no option" },
	{ ARGS("--", "--flag",), "'--flag' is no option" },
	{ ARGS("--nothing",), "unknown option --nothing; see trellis run --help" },
	{ ARGS("--thin", "a",), "unknown option --thin" },
	{ ARGS("--things", "a",), "unknown option --things" },
	{ ARGS("--t", "a",), "unknown option --t" },
	{ ARGS("---thing", "a",), "unknown option ---thing" },
	{ ARGS("--=x",), "unknown option --=x" },
	{ ARGS("-fx",), "unknown option -fx" },
	{ ARGS("--flag=on",), "--flag takes no value" },
	{ ARGS("--flag=",), "--flag takes no value" },
	{ ARGS("--thing",), "--thing needs a value: --thing TEXT" },
	{ ARGS("-t",), "--thing needs a value: --thing TEXT" },
	{ ARGS("--maybe", "x", "y",), "'y' is no option" },
	{ ARGS("--thing", "bad", "--flag",), "--thing bad: expected better" },
};

START_TEST(wrong_command_line_is_refused_with_a_sentence)
{
	ck_assert_int_eq(parse_args(bad_args[_i].argv), -EINVAL);
	ck_assert_msg(strstr(e.text, bad_args[_i].want), "'%s' does not have '%s'", e.text, bad_args[_i].want);
	ck_assert(e.usage);
	ck_assert(!t.flag || _i == 3);
}
END_TEST

/* ---- help ---- */

/* Run print with standard output in a file; returns what it wrote. */
static const char *printed(void (*print)(const struct opt *o))
{
	static char text[8192];
	FILE *file = tmpfile();
	size_t n;

	fflush(stdout);
	ck_assert_int_eq(dup2(fileno(file), STDOUT_FILENO), STDOUT_FILENO);
	print(opts);
	fflush(stdout);
	rewind(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = 0;
	fclose(file);
	return text;
}

START_TEST(help_lists_options_aliases_and_keys)
{
	const char *text = printed(opt_print_help);

	ck_assert_ptr_nonnull(strstr(text, "  --thing TEXT   (also -t)\n        A thing, with"));
	ck_assert_ptr_nonnull(strstr(text, "  --maybe [TEXT]\n        Maybe -one\\two.\n"));
	ck_assert_ptr_nonnull(strstr(text, "  --flag   (also -f)\n"));
	ck_assert_ptr_nonnull(strstr(text, "        size=SIZE        how big\n"));
	ck_assert_ptr_null(strstr(text, "count=N")); /* the positional key is in the option's own line */
}
END_TEST

START_TEST(help_lines_fit_into_80_columns)
{
	for (const char *line = printed(opt_print_help); *line; line += strcspn(line, "\n") + 1)
		ck_assert_uint_le(strcspn(line, "\n"), 80);
}
END_TEST

START_TEST(man_source_escapes_what_mdoc_would_eat)
{
	const char *text = printed(opt_print_mdoc);

	ck_assert_ptr_nonnull(strstr(text, ".It Fl \\-thing Ar TEXT , Fl t\n"));
	ck_assert_ptr_nonnull(strstr(text, ".It Fl \\-maybe Op Ar TEXT\nMaybe \\-one\\etwo.\n"));
	ck_assert_ptr_nonnull(strstr(text, "\n\\&'Quoted'.\n"));
	ck_assert_ptr_nonnull(strstr(text, ".Cm cache Ns = Ns Ar MODE :\nhow to cache\n"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("opt");
	TCase *c = tcase_create("opt");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_loop_test(c, number_is_understood, 0, ARRAY_SIZE(good_uint));
	tcase_add_loop_test(c, number_that_is_none_or_out_of_range_is_refused, 0, ARRAY_SIZE(bad_uint));
	tcase_add_test(c, largest_number_is_understood);
	tcase_add_loop_test(c, size_is_understood, 0, ARRAY_SIZE(good_size));
	tcase_add_loop_test(c, size_that_is_none_or_out_of_range_is_refused, 0, ARRAY_SIZE(bad_size));
	tcase_add_loop_test(c, size_is_written_with_the_largest_suffix_that_fits, 0, ARRAY_SIZE(size_text));
	tcase_add_test(c, every_kind_of_key_is_stored);
	tcase_add_test(c, keys_which_are_not_there_keep_their_defaults);
	tcase_add_test(c, positional_key_may_be_written_out);
	tcase_add_test(c, positional_key_may_come_later_or_not_at_all);
	tcase_add_test(c, off_switches_off);
	tcase_add_loop_test(c, doubled_comma_is_one_inside_the_value, 0, ARRAY_SIZE(commas));
	tcase_add_test(c, positional_string_may_hold_equals_signs_and_commas);
	tcase_add_test(c, string_stored_again_by_another_list_is_not_leaked);
	tcase_add_loop_test(c, wrong_list_is_refused_with_what_would_do, 0, ARRAY_SIZE(bad_list));
	tcase_add_test(c, list_with_no_other_key_says_unexpected);
	tcase_add_test(c, rate_without_suffix_counts_bytes);
	tcase_add_test(c, repeated_strings_are_kept_in_their_order);
	tcase_add_test(c, strings_beyond_the_limit_are_refused);
	tcase_add_loop_test(c, command_line_is_understood, 0, ARRAY_SIZE(good_args));
	tcase_add_loop_test(c, wrong_command_line_is_refused_with_a_sentence, 0, ARRAY_SIZE(bad_args));
	tcase_add_test(c, help_lists_options_aliases_and_keys);
	tcase_add_test(c, help_lines_fit_into_80_columns);
	tcase_add_test(c, man_source_escapes_what_mdoc_would_eat);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
