/* Unit tests of notes.c. Running out of memory is not tested. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/notes.h"

static struct notes notes;
static struct err e;

static void setup(void)
{
	notes = (struct notes){ .nr = 0 };
}

static void teardown(void)
{
	notes_fini(&notes);
}

START_TEST(sentences_stay_in_their_order)
{
	notes_add(&notes, "one of %d", 2);
	notes_add(&notes, "two");
	notes_add(&notes, "two"); /* who adds a note knows what it says */
	ck_assert_uint_eq(notes.nr, 3);
	ck_assert_str_eq(notes.text[0], "one of 2");
	ck_assert_str_eq(notes.text[1], "two");
	ck_assert(!notes.usage);
}
END_TEST

START_TEST(error_said_twice_is_noted_once)
{
	err_set(&e, -1, "no disk");
	notes_add_err(&notes, &e);
	err_set(&e, -1, "no 100%% disk");
	notes_add_err(&notes, &e);
	err_set(&e, -1, "no disk");
	notes_add_err(&notes, &e);
	ck_assert_uint_eq(notes.nr, 2);
	ck_assert_str_eq(notes.text[1], "no 100% disk");
}
END_TEST

START_TEST(one_error_of_the_command_line_is_enough_for_usage)
{
	err_set(&e, -1, "no disk");
	notes_add_err(&notes, &e);
	ck_assert(!notes.usage);
	err_usage(&e, "no disk"); /* the same words */
	notes_add_err(&notes, &e);
	ck_assert(notes.usage);
	err_set(&e, -1, "no net");
	notes_add_err(&notes, &e);
	ck_assert(notes.usage);
	ck_assert_uint_eq(notes.nr, 2);
}
END_TEST

START_TEST(sentences_beyond_the_room_are_dropped)
{
	for (int i = 0; i <= MAX_NOTES; i++)
		notes_add(&notes, "%d", i);
	err_usage(&e, "another");
	notes_add_err(&notes, &e);
	ck_assert_uint_eq(notes.nr, MAX_NOTES);
	ck_assert_str_eq(notes.text[MAX_NOTES - 1], "63");
	ck_assert(notes.usage);
}
END_TEST

START_TEST(of_several_the_last_becomes_the_error_and_usage_is_kept)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(dup2(null, STDERR_FILENO), STDERR_FILENO); /* the others are printed */
	close(null);
	err_usage(&e, "one");
	notes_add_err(&notes, &e);
	notes_add(&notes, "two%%");
	err_set(&e, -1, "before");
	notes_to_err(&notes, &e);
	ck_assert_str_eq(e.text, "two%");
	ck_assert(e.usage);
}
END_TEST

START_TEST(finished_notes_can_be_used_again)
{
	err_usage(&e, "one");
	notes_add_err(&notes, &e);
	notes_fini(&notes);
	ck_assert_uint_eq(notes.nr, 0);
	ck_assert(!notes.usage);
	notes_add(&notes, "two");
	ck_assert_str_eq(notes.text[0], "two");
	notes_fini(&notes);
	notes_fini(&notes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("notes");
	TCase *c = tcase_create("notes");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, sentences_stay_in_their_order);
	tcase_add_test(c, error_said_twice_is_noted_once);
	tcase_add_test(c, one_error_of_the_command_line_is_enough_for_usage);
	tcase_add_test(c, sentences_beyond_the_room_are_dropped);
	tcase_add_test(c, of_several_the_last_becomes_the_error_and_usage_is_kept);
	tcase_add_test(c, finished_notes_can_be_used_again);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
