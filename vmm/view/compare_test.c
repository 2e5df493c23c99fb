/* Unit tests of compare.c and dump_read.c: what is the same, what differs, and that no file does harm. */
#include "vmm/view/dump_rig.h"

#include <errno.h>
#include <sys/stat.h>

#include "vmm/view/dump_read.h"

static char file[] = "/tmp/trellis-compare-XXXXXX";

static void setup(void)
{
	int fd;

	strcpy(file + strlen(file) - 6, "XXXXXX");
	fd = mkstemp(file);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void teardown(void)
{
	rig_teardown();
	unlink(file);
}

static int view_it(struct processors *procs, FILE *out, struct err *err)
{
	return view_compare(procs, file, out, err);
}

/* Dump one, compare with the other. Returns what view_compare() did. */
static int compare(bool amd, const char *there, const char *here)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	rig_make(amd, there);
	ck_assert_int_eq(view_cpuid(&p, f, &e), 0);
	fclose(f);
	rig_make(amd, here);
	return rig_print(view_it);
}

static void write_file(const char *content, size_t len)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(content, 1, len, f), len);
	fclose(f);
}

START_TEST(own_dump_does_not_differ)
{
	static const char *const options[] = { "--cpus 1", "--cpus 24,sockets=2,dies=2,cores=3,threads=2",
					       "--cpus 8,max=16,modules=2,threads=2", "--cpus 300" };

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		ck_assert_int_eq(compare(_i, options[i], options[i]), 0);
		ck_assert(has("No difference that matters\n"));
		ck_assert(!has("differs"));
	}
}
END_TEST

static const struct {
	bool amd;
	const char *there, *here, *line;
} cases[] = {
	{ false, "--cpus 4,sockets=4", "--cpus 4,sockets=1", "  packages: differs: here 1, there 4\n" },
	{ false, "--cpus 4", "--cpus 6", "  vCPUs: differs: here 6, there 4\n" },
	{ false, "--cpus 8,dies=2", "--cpus 8",
	  "  dies (hwloc 2.9, newer hwloc, Windows): differs: known there, not here\n" },
	{ true, "--cpus 8,dies=2", "--cpus 8",
	  "  dies (Linux <= 6.8, Linux >= 6.9, newer hwloc): differs: here 1, there 2\n" },
	{ false, "--cpus 8,threads=2", "--cpus 8", "  cores: differs: here 8, there 4\n" },
	{ false, "--cpus 4 --cache l2=2M", "--cpus 4 --cache l2=1M",
	  "  L2 size: differs: here 1M, there 2M\n" },
	{ false, "--cpus 4 --cache l2=1M/die", "--cpus 4 --cache l2=1M/core",
	  "  L2 caches: differs: here 4, there 1\n" },
	{ false, "--cpus 4 --cpuid 1.ecx=0:1", "--cpus 4", "  differs: only here: pni\n" },
	{ false, "--cpus 4", "--cpus 4 --cpuid 1.ecx=0:1", "  differs: only there: pni\n" },
	{ false, "--cpus 4 --cpuid 1.eax=000306f2", "--cpus 4", "  model: differs: here 143, there 63\n" },
	{ false, "--cpus 4 --cpuid b.0.edx=9@2 --cpuid 1f.0.edx=9@2", "--cpus 4",
	  "  APIC ids: differs: 1 of 4; first vCPU 2: here 0x2, there 0x9\n" },
	{ false, "--cpus 6,cores=3,sockets=2",
	  "--cpus 6,cores=3,sockets=2 --cpuid b.1.eax=3:1f --cpuid 1f.1.eax=3:1f",
	  "  leaf 0BH: differs: here type 1 shift 0 of 1, type 2 shift 3 of 3; there type 1 shift 0 of 1, "
	  "type 2 shift 2 of 3\n" },
};

START_TEST(difference_is_told_at_its_level)
{
	ck_assert_int_eq(compare(cases[_i].amd, cases[_i].there, cases[_i].here), 1);
	ck_assert_msg(has(cases[_i].line), "want %sgot %s", cases[_i].line, text);
	ck_assert(has("There are differences that matter\n"));
}
END_TEST

START_TEST(bits_that_change_at_run_time_do_not_count)
{
	/* OSXSAVE, the APIC bit, OSPKE; the stepping. */
	ck_assert_int_eq(
		compare(false,
			"--cpus 2 --cpuid 1.ecx=08000000:08000000 --cpuid 1.edx=0:200 --cpuid 7.0.ecx=10:10 "
			"--cpuid 1.eax=0:f",
			"--cpus 2"),
		0);
}
END_TEST

START_TEST(dump_of_one_cpu_is_compared_as_far_as_it_goes)
{
	char *second;

	ck_assert_int_eq(compare(false, "--cpus 4", "--cpus 4"), 0);
	rig_make(false, "--cpus 4");
	ck_assert_int_eq(rig_print(view_cpuid), 0);
	second = strstr(text, "CPU 1:");
	ck_assert_ptr_nonnull(second);
	memcpy(text, "CPU:  ", 6);
	text[6] = '\n';
	write_file(text, (size_t)(second - text));
	ck_assert_int_eq(rig_print(view_it), 0);
	ck_assert(has("The dump is of one CPU"));
	ck_assert(!has("vCPUs:"));
}
END_TEST

#define LEAF0 "0x00000000 0x00: eax=0x00000001 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69\n"

static const struct {
	const char *content, *error;
} bad[] = {
	{ "", ": there is no CPU in this file" },
	{ "\n\n", ":2: there is no CPU in this file" },
	{ LEAF0, ":1: expected 'CPU 0:' before the first leaf" },
	{ "CPU 0:\nhello\n", ":2: expected 'LEAF SUBLEAF:" },
	{ "CPU 0:\n" LEAF0 LEAF0, ":3: leaf 0x0 sub-leaf 0x0 of CPU 0 comes twice" },
	{ "CPU 0:\n" LEAF0 "CPU 0:\n", ":3: expected a CPU number above 0" },
	{ "CPU 1:\n" LEAF0 "CPU 0:\n", ":3: expected a CPU number above 1" },
	{ "CPU 0:\nCPU 1:\n", ":2: CPU 0 has no leaf 0" },
	{ "CPU:\n" LEAF0 "CPU 1:\n", ":3: 'CPU:' without a number" },
	{ "CPU 123456:\n", ":1: expected 'CPU', its number and a colon" },
	{ "CPU -1:\n", ":1: expected 'CPU', its number and a colon" },
	{ "CPU 0\n", ":1: expected 'CPU', its number and a colon" },
	{ "CPU 0: x\n", ":1: expected 'CPU', its number and a colon" },
	{ "CPU 0:\n0x000000000 0x00: eax=0x0 ebx=0x0 ecx=0x0 edx=0x0\n", ":2: expected 'LEAF" },
	{ "CPU 0:\n0x0 0x0: eax=0x ebx=0x0 ecx=0x0 edx=0x0\n", ":2: expected 'LEAF" },
	{ "CPU 0:\n0x0 0x0: eax=0x0 ebx=0x0 ecx=0x0\n", ":2: expected 'LEAF" },
	{ "CPU 0:\n0x0 0x0: eax=0x0 ebx=0x0 ecx=0x0 edx=0x0 esi=0x0\n", ":2: expected 'LEAF" },
	{ "Architecture: x86\n", ":1: expected 'LEAF" },
};

START_TEST(what_is_no_dump_is_refused_with_its_line)
{
	rig_make(false, "--cpus 1");
	write_file(bad[_i].content, strlen(bad[_i].content));
	ck_assert_int_eq(rig_print(view_it), -EINVAL);
	ck_assert(e.usage);
	ck_assert_msg(strstr(e.text, bad[_i].error) != NULL, "%s", e.text);
}
END_TEST

START_TEST(long_lines_and_zero_bytes_are_refused)
{
	static char line[1000];

	rig_make(false, "--cpus 1");
	memset(line, ' ', sizeof(line));
	write_file(line, sizeof(line));
	ck_assert_int_eq(rig_print(view_it), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, ":1: a line has more than"));
	write_file("CPU 0:\0\nx", 9);
	ck_assert_int_eq(rig_print(view_it), -EINVAL);
}
END_TEST

START_TEST(file_that_cannot_be_opened_is_an_error)
{
	rig_make(false, "--cpus 1");
	unlink(file);
	ck_assert_int_eq(rig_print(view_it), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "cannot open"));
	ck_assert_int_eq(mkdir(file, 0700), 0);
	ck_assert_int_eq(rig_print(view_it), -EISDIR);
	ck_assert_ptr_nonnull(strstr(e.text, ": Is a directory"));
	rmdir(file);
}
END_TEST

START_TEST(file_without_lines_has_no_line_to_name)
{
	rig_make(false, "--cpus 1");
	write_file("", 0);
	ck_assert_int_eq(rig_print(view_it), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, ": there is no CPU in this file"));
	ck_assert_ptr_null(strstr(e.text, ":0:"));
}
END_TEST

/* A dump with one byte changed is read or refused, and no more. */
START_TEST(damaged_dumps_are_survived)
{
	uint32_t seed = 99;
	size_t len;
	char *good;

	rig_make(true, "--cpus 3");
	ck_assert_int_eq(rig_print(view_cpuid), 0);
	good = strdup(text);
	len = strlen(good);
	for (unsigned int i = 0; i < 500; i++) {
		size_t at;
		char old;
		int rc;

		seed = seed * 1664525 + 1013904223;
		at = (seed >> 8) % len;
		old = good[at];
		good[at] = "0123456789abcdefx:= \nC"[(seed >> 3) % 22];
		write_file(good, len - (i % 7 ? 0 : at));
		rc = rig_print(view_it);
		ck_assert(rc == 0 || rc == 1 || rc == -EINVAL);
		good[at] = old;
	}
	free(good);
}
END_TEST

/* Bytes that a terminal would obey do not get through. */
START_TEST(vendor_is_printed_without_control_characters)
{
	static const char escapes[] =
		"CPU 0:\n0x0 0x0: eax=0x00000001 ebx=0x1b1b1b1b ecx=0x1b1b1b1b edx=0x1b1b1b1b\n";

	rig_make(false, "--cpus 1");
	write_file(escapes, strlen(escapes));
	ck_assert_int_eq(rig_print(view_it), 1);
	ck_assert(has("there ????????????"));
	ck_assert_ptr_null(strchr(text, 0x1b));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("compare");
	TCase *c = tcase_create("compare");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, own_dump_does_not_differ, 0, 2);
	tcase_add_loop_test(c, difference_is_told_at_its_level, 0, ARRAY_SIZE(cases));
	tcase_add_test(c, bits_that_change_at_run_time_do_not_count);
	tcase_add_test(c, dump_of_one_cpu_is_compared_as_far_as_it_goes);
	tcase_add_loop_test(c, what_is_no_dump_is_refused_with_its_line, 0, ARRAY_SIZE(bad));
	tcase_add_test(c, long_lines_and_zero_bytes_are_refused);
	tcase_add_test(c, file_that_cannot_be_opened_is_an_error);
	tcase_add_test(c, file_without_lines_has_no_line_to_name);
	tcase_add_test(c, damaged_dumps_are_survived);
	tcase_add_test(c, vendor_is_printed_without_control_characters);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
