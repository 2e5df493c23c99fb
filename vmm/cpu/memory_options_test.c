/* Unit tests of memory_options.c: what each key means, what cannot be had together, and sizes. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/memory_options.h"

static struct memory_options o;
static struct err e;

static void setup(void)
{
	memory_options_init(&o);
	memset(&e, 0, sizeof(e));
}

static void teardown(void)
{
	memory_options_fini(&o);
}

static void parse(const char *arg)
{
	ck_assert_msg(memory_options_parse(&o, arg, &e) == 0, "%s: %s", arg, e.text);
}

START_TEST(defaults_are_256m_of_anonymous_memory)
{
	ck_assert_uint_eq(o.bytes, 256 * MIB);
	ck_assert(!o.said && !o.lock && !o.share && o.dump && !o.path && !o.file);
	ck_assert_int_eq(o.hugepages, MEMORY_PAGES_UNSAID);
	ck_assert_int_eq(o.thp, THP_MADVISE);
	ck_assert_int_eq(o.prealloc, MEMORY_UNSAID);
	ck_assert_int_eq(o.merge, MEMORY_UNSAID);
	ck_assert_uint_eq(o.threads, 0);
	ck_assert_uint_eq(o.hard_limit_bytes, 0);
	ck_assert_uint_eq(memory_options_page_bytes(&o), 0);
}
END_TEST

static const struct {
	const char *arg;
	uint64_t bytes;
} sizes[] = {
	{ "512", 512 * MIB },   { "2M", 2 * MIB },          { "2052K", 2052 * KIB },
	{ "size=3G", 3 * GIB }, { "1T", 1024 * GIB },       { "1024T", 1ull << 50 },
	{ "1GiB", GIB },        { "1G,hugepages=1G", GIB }, { "hugepages=2M,size=6M", 6 * MIB },
};

START_TEST(size_is_said)
{
	parse(sizes[_i].arg);
	ck_assert(o.said);
	ck_assert_uint_eq(o.bytes, sizes[_i].bytes);
}
END_TEST

START_TEST(every_key_has_its_meaning)
{
	parse("4G,thp=always,prealloc=on,threads=3,lock=on,merge=on,dump=off,hard-limit=5G");
	ck_assert_int_eq(o.thp, THP_ALWAYS);
	ck_assert_int_eq(o.prealloc, MEMORY_ON);
	ck_assert_uint_eq(o.threads, 3);
	ck_assert(o.lock && !o.dump);
	ck_assert_int_eq(o.merge, MEMORY_ON);
	ck_assert_uint_eq(o.hard_limit_bytes, 5 * GIB);
}
END_TEST

START_TEST(kinds_of_backing_have_their_meaning)
{
	parse("4G,hugepages=1G,path=/mnt/huge,prealloc-threads=64,share=on,merge=off");
	ck_assert_int_eq(o.hugepages, MEMORY_PAGES_1G);
	ck_assert_uint_eq(memory_options_page_bytes(&o), GIB);
	ck_assert_str_eq(o.path, "/mnt/huge");
	ck_assert_uint_eq(o.threads, 64);
	ck_assert(o.share);
	ck_assert_int_eq(o.merge, MEMORY_OFF);
}
END_TEST

START_TEST(comma_in_a_file_is_written_twice)
{
	parse("64M,file=a,,b,thp=never,prealloc=off,dump");
	ck_assert_str_eq(o.file, "a,b");
	ck_assert_int_eq(o.thp, THP_NEVER);
	ck_assert_int_eq(o.prealloc, MEMORY_OFF);
	ck_assert(o.dump);
}
END_TEST

START_TEST(size_not_said_stays_the_default)
{
	parse("hugepages=2M");
	ck_assert(!o.said);
	ck_assert_uint_eq(o.bytes, 256 * MIB);
	ck_assert_uint_eq(memory_options_page_bytes(&o), 2 * MIB);
	parse("hugepages=1G"); /* 256M would not do, but nobody asked for 256M */
}
END_TEST

START_TEST(later_option_keeps_what_it_does_not_say)
{
	parse("1G,lock=on,file=one");
	parse("file=two,lock=off");
	ck_assert(o.said);
	ck_assert_uint_eq(o.bytes, GIB);
	ck_assert_str_eq(o.file, "two");
	ck_assert(!o.lock);
	parse("2G");
	ck_assert_uint_eq(o.bytes, 2 * GIB);
	ck_assert_str_eq(o.file, "two");
}
END_TEST

START_TEST(later_option_takes_back)
{
	parse("1G,hugepages=2M");
	parse("hugepages=off,merge=on,prealloc=on");
	ck_assert_uint_eq(memory_options_page_bytes(&o), 0);
	parse("merge=auto,prealloc=auto");
	ck_assert_int_eq(o.merge, MEMORY_UNSAID);
	ck_assert_int_eq(o.prealloc, MEMORY_UNSAID);
}
END_TEST

/* Each may be had with the other. */
static const char *const fine[] = {
	"1G,hugepages=2M,prealloc=on,threads=2,lock=on,dump=off,share=on,hard-limit=2M",
	"1G,hugepages=2M,thp=madvise,merge=off",
	"1G,path=/mnt,threads=2",
	"1G,lock=on,threads=2",
	"1G,lock=on,prealloc=on,merge=on",
	"1G,share=on,merge=off,thp=always,lock=on",
	"1G,file=x,share=on,merge=off,thp=never,prealloc=on,lock=on,dump=off",
	"1G,prealloc=off,merge=on",
};

START_TEST(these_can_be_had_together)
{
	parse(fine[_i]);
}
END_TEST

static const struct {
	const char *arg, *want;
} refused[] = {
	{ "", "--memory '': expected a size from 2M to 1024T" },
	{ "1M", "--memory 1M: expected a size from 2M" },
	{ "2000T", "expected a size from 2M to 1024T" },
	{ "4X", "--memory 4X: expected a size" },
	{ "2050K",
	  "--memory 2050K: expected a multiple of 4K, the size of its pages; the nearest are 2M and 2052K" },
	{ "3M,hugepages=2M",
	  "--memory 3M: expected a multiple of 2M, the size of its pages; the nearest are 2M and 4M" },
	{ "2500M,hugepages=1G", "the nearest are 2G and 3G" },
	{ "512M,hugepages=1G",
	  "--memory 512M: expected a multiple of 1G, the size of its pages: 1G at least" },
	{ "1G,size=2G", "size is there twice" },
	{ "1G,color=red", "unknown key 'color'; known are hugepages=, path=, thp=, prealloc=, threads=, "
			  "lock=, merge=, dump=, "
			  "share=, file=, hard-limit=" },
	{ "1G,hugepages=4M", "hugepages=4M: expected one of off, 2M, 1G" },
	{ "1G,hugepages", "hugepages needs a value: hugepages=2M|1G" },
	{ "1G,thp=on", "thp=on: expected one of madvise, always, never" },
	{ "1G,prealloc=yes", "prealloc=yes: expected one of auto, on, off" },
	{ "1G,prealloc=on,threads=0", "threads=0: expected a number from 1 to 64" },
	{ "1G,prealloc=on,threads=65", "threads=65: expected a number from 1 to 64" },
	{ "1G,lock=yes", "lock=yes: expected on or off" },
	{ "1G,path=", "path=: expected DIR" },
	{ "1G,file=", "file=: expected PATH" },
	{ "1G,hard-limit=1M", "hard-limit=1M: expected a size from 2M" },
	{ "1G,hugepages=2M,file=x", "hugepages= and file= cannot be had together" },
	{ "1G,path=/mnt,file=x", "path= and file= cannot be had together" },
	{ "1G,hugepages=2M,thp=always", "hugepages= and thp=always cannot be had together" },
	{ "1G,path=/mnt,thp=never", "path= and thp=never cannot be had together" },
	{ "1G,hugepages=1G,merge=on", "hugepages= and merge=on cannot be had together" },
	{ "1G,hugepages=2M,prealloc=off", "hugepages= and prealloc=off cannot be had together" },
	{ "1G,path=/mnt,prealloc=off", "path= and prealloc=off cannot be had together" },
	{ "1G,share=on,merge=on", "merge=on and share=on cannot be had together" },
	{ "1G,file=x,merge=on", "merge=on and file= cannot be had together" },
	{ "1G,lock=on,prealloc=off", "lock=on and prealloc=off cannot be had together" },
	{ "1G,threads=2", "threads= is about prealloc=on" },
	{ "1G,threads=2,prealloc=off", "threads= is about prealloc=on" },
};

START_TEST(refusal_says_what_would_do)
{
	ck_assert_int_eq(memory_options_parse(&o, refused[_i].arg, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, refused[_i].want) != NULL, "%s: %s", refused[_i].arg, e.text);
	ck_assert(e.usage);
}
END_TEST

START_TEST(what_two_options_say_cannot_be_had_together_either)
{
	parse("1G,merge=on");
	ck_assert_int_eq(memory_options_parse(&o, "hugepages=2M", &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "hugepages= and merge=on"));
}
END_TEST

START_TEST(earlier_size_must_suit_later_pages)
{
	parse("3M");
	ck_assert_int_eq(memory_options_parse(&o, "hugepages=2M", &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "the nearest are 2M and 4M"));
}
END_TEST

START_TEST(refused_option_leaves_a_size)
{
	ck_assert_int_eq(memory_options_parse(&o, "bad=1", &e), -EINVAL);
	ck_assert_uint_eq(o.bytes, 256 * MIB);
	ck_assert(!o.said);
}
END_TEST

START_TEST(every_key_has_a_line_of_help)
{
	for (const struct opt_key *k = memory_keys; k->name; k++)
		ck_assert_msg(k->positional || (k->help && strlen(k->help) < 110), "%s", k->name);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_options");
	TCase *t = tcase_create("memory_options");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, defaults_are_256m_of_anonymous_memory);
	tcase_add_loop_test(t, size_is_said, 0, ARRAY_SIZE(sizes));
	tcase_add_test(t, every_key_has_its_meaning);
	tcase_add_test(t, kinds_of_backing_have_their_meaning);
	tcase_add_test(t, comma_in_a_file_is_written_twice);
	tcase_add_test(t, size_not_said_stays_the_default);
	tcase_add_test(t, later_option_keeps_what_it_does_not_say);
	tcase_add_test(t, later_option_takes_back);
	tcase_add_loop_test(t, these_can_be_had_together, 0, ARRAY_SIZE(fine));
	tcase_add_loop_test(t, refusal_says_what_would_do, 0, ARRAY_SIZE(refused));
	tcase_add_test(t, what_two_options_say_cannot_be_had_together_either);
	tcase_add_test(t, earlier_size_must_suit_later_pages);
	tcase_add_test(t, refused_option_leaves_a_size);
	tcase_add_test(t, every_key_has_a_line_of_help);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
