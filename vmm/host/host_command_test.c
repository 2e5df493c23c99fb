/*
 * Unit tests of host_command.c: which words are whose, and what comes out. That the sentences are those of `trellis run`
 * is vmm/machine_check_test.c's business.
 */
#include <errno.h>
#include <unistd.h>

#include "vmm/base/json_rig.h"
#include "vmm/host/report_rig.h"

static struct err e;
static char printed[65536];

/* Run `trellis host` with these words; printed receives what it writes to standard output. */
static int host(int argc, const char *const *words)
{
	char *argv[16] = { (char[]){ "host" } };
	FILE *to = tmpfile();
	int was = dup(STDOUT_FILENO), rc;
	size_t n;

	ck_assert(to && was >= 0);
	for (int i = 0; i < argc; i++)
		argv[i + 1] = strdup(words[i]);
	fflush(stdout);
	ck_assert_int_ge(dup2(fileno(to), STDOUT_FILENO), 0);
	rc = host_main(argc + 1, argv, &e);
	fflush(stdout);
	ck_assert_int_ge(dup2(was, STDOUT_FILENO), 0);
	close(was);
	rewind(to);
	n = fread(printed, 1, sizeof(printed) - 1, to);
	printed[n] = '\0';
	fclose(to);
	for (int i = 0; i < argc; i++)
		free(argv[i + 1]);
	return rc;
}

#define HOST(...)                                                                                            \
	host((int)(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)), (const char *[]){ __VA_ARGS__ })

START_TEST(check_without_options_lacks_a_kernel)
{
	ck_assert_int_eq(HOST("--check"), 1);
	ck_assert_int_eq(strncmp(printed, "problem: --kernel is missing", 28), 0);
}
END_TEST

START_TEST(wrong_option_is_a_reason_not_a_failure)
{
	ck_assert_int_eq(HOST("--check", "--memory", "4X"), 1);
	ck_assert_ptr_nonnull(strstr(printed, "problem: --memory 4X"));
	ck_assert_int_eq(HOST("--check", "--json"), 1);
	ck_assert_ptr_nonnull(strstr(printed, "problem: unknown option --json; see trellis run --help"));
}
END_TEST

START_TEST(json_before_check_gives_the_answer_as_json)
{
	ck_assert_int_eq(HOST("--json", "-check", "--kernel", "/nowhere/kernel"), 1);
	ck_assert_int_eq(strncmp(printed, "{\"starts\": false, \"problems\": [", 31), 0);
	ck_assert_ptr_nonnull(strstr(printed, "/nowhere/kernel"));
	ck_assert(json_is_whole(printed));
}
END_TEST

START_TEST(report_is_a_page_or_json)
{
	ck_assert_int_eq(HOST("--json"), 0);
	ck_assert(json_is_whole(printed));
	ck_assert_int_eq(host(0, NULL), 0);
	ck_assert_int_eq(strncmp(printed, "What this computer can do for guests\n", 37), 0);
}
END_TEST

START_TEST(unknown_words_are_errors_of_usage)
{
	ck_assert_int_eq(HOST("--kernel", "x"), -EINVAL);
	ck_assert(e.usage);
	ck_assert_str_eq(e.text, "unknown option --kernel; see trellis host --help");
	ck_assert_int_eq(HOST("--check=--kernel"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "as words of their own"));
	ck_assert_str_eq(printed, "");
}
END_TEST

START_TEST(help_wins_over_check)
{
	ck_assert_int_eq(HOST("--help"), 0);
	ck_assert_ptr_nonnull(strstr(printed, "usage: trellis host"));
	ck_assert_int_eq(HOST("--check", "--help"), 0);
	ck_assert_ptr_nonnull(strstr(printed, "--check [RUN OPTIONS]"));
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("command");

	tcase_add_test(c, check_without_options_lacks_a_kernel);
	tcase_add_test(c, wrong_option_is_a_reason_not_a_failure);
	tcase_add_test(c, json_before_check_gives_the_answer_as_json);
	tcase_add_test(c, report_is_a_page_or_json);
	tcase_add_test(c, unknown_words_are_errors_of_usage);
	tcase_add_test(c, help_wins_over_check);
	return report_run("host_command", c);
}
