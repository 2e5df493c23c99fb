/* Unit tests of host_text.c: the page of a host made by hand. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "vmm/host/report_rig.h"

static char *text;

static void teardown(void)
{
	free(text);
	text = NULL;
}

static void must_have(const char *lines)
{
	text = report_print(host_print_text);
	ck_assert_msg(strstr(text, lines), "not there:\n%s\nin:\n%.3000s", lines, text);
	teardown();
}

START_TEST(good_host_has_a_page_without_marks)
{
	report_good();
	text = report_print(host_print_text);
	ck_assert_ptr_null(strstr(text, "\n!"));
	ck_assert_ptr_null(strstr(text, "\n-"));
	ck_assert_ptr_nonnull(strstr(text, "guests can run, and nothing that they usually want is missing"));
	ck_assert_uint_eq(host_count_problems(&report), 0);
}
END_TEST

START_TEST(page_is_narrow_and_has_no_blanks_at_the_end)
{
	report_good();
	report.facility[0].here = HOST_NO;
	memset(report.facility[0].detail.text, 'x', 60);
	strcat(report.facility[0].detail.text,
	       " and many more words, so that the line has to be broken somewhere, twice, "
	       "if it is to stay inside the page");
	text = report_print(host_print_text);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		ck_assert_msg(strlen(line) <= 100, "%zu: %s", strlen(line), line);
		ck_assert_msg(line[strlen(line) - 1] != ' ', "%s|", line);
	}
}
END_TEST

START_TEST(page_fits_a_terminal_of_80_columns)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	char name[64], line[256];
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	FILE *out, *in = fdopen(master, "r");

	ck_assert_ptr_nonnull(in);
	ck_assert(grantpt(master) == 0 && unlockpt(master) == 0);
	ck_assert_int_eq(ptsname_r(master, name, sizeof(name)), 0);
	out = fopen(name, "w");
	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(ioctl(fileno(out), TIOCSWINSZ, &size), 0);
	report = (struct host_report){ .kvm.usable = HOST_NO };
	err_set(&report.kvm.why, -ENOENT,
		"no, and here come many more words, so that the line has to be broken at the terminal's "
		"last column");
	host_print_text(&report, out);
	ck_assert_int_eq(fputs("end\n", out), 1);
	ck_assert_int_eq(fflush(out), 0);
	while (fgets(line, sizeof(line), in) && strcmp(line, "end\r\n") != 0)
		ck_assert_msg(strlen(line) <= 80 + strlen("\r\n"), "%zu: %s", strlen(line), line);
	fclose(out);
	fclose(in);
}
END_TEST

START_TEST(kvm_and_processor_are_told)
{
	report_good();
	must_have("\n  module                 kvm_intel\n");
	must_have("\n  vCPUs                  at most 1024, with APIC ids below 4096\n");
	must_have("\n  ring 0                 executed by the processor: 6200 million instructions a second, "
		  "measured\n");
	must_have("\n  USER_MEMORY            yes   guest memory cannot be given to the guest\n");
	must_have("\n  version                GenuineIntel family 6 model 143 stepping 8\n");
	must_have("\n  --cpu host-model       SapphireRapids, with +a -b\n");
	must_have("\n  features for guests    fpu vme sse2\n");
}
END_TEST

START_TEST(nodes_and_pools_are_tables)
{
	report_good();
	must_have("\n  memory                 64 GiB, 32 GiB available, nothing of swap free\n");
	must_have("\n  KSM                    running; 2 pages stand for 7\n");
	report.memory.ksm_run = 0;
	report.memory.ksm_pages_shared = 0;
	must_have("\n  KSM                    stopped; no pages are shared\n");
	must_have("\n  node       memory       free  CPUs\n"
		  "  0          64 GiB   31.5 GiB  0-7\n"
		  "  2            none       none  8-15\n");
	must_have("\n  pages   node      total       free   reserved    surplus\n"
		  "  2M       all         64         60         10          1\n"
		  "             0         64         60                     0\n\n");
}
END_TEST

START_TEST(what_is_missing_is_marked_with_loss_and_mend)
{
	report_good();
	report.facility[0] = (struct host_facility){ .name = "/dev/net/tun",
						     .here = HOST_NO,
						     .detail.text = "gone",
						     .without = "taps",
						     .mend = "modprobe tun" };
	must_have("\n! /dev/net/tun           no: gone\n"
		  "                         lost: taps\n"
		  "                         mend: modprobe tun\n");
	must_have("\n! verdict                guests can run; marked with ! below: 1\n");
	report.facility[1].here = HOST_NO;
	must_have("\n- KSM                    no\n                         lost: merging\n");
	ck_assert_uint_eq(host_count_problems(&report), 1);
}
END_TEST

START_TEST(host_without_kvm_says_why_and_still_tells_the_rest)
{
	report_good();
	report.kvm = (struct host_kvm){ .usable = HOST_NO, .why.text = "there is no /dev/kvm: do something" };
	memset(report.kvm.capability, 0xff, sizeof(report.kvm.capability));
	report.ring0 = (struct host_ring0){ .why.text = "there is no /dev/kvm" };
	report.cpu.by_kvm = false;
	must_have("\n! verdict                no guest can run; marked with ! below: 1\n");
	must_have("\n! usable                 no: there is no /dev/kvm: do something\n  module               "
		  "  none that is known\n\n");
	must_have("\n  features here          fpu vme sse2\n");
	must_have("\nMemory\n");
}
END_TEST

START_TEST(capabilities_that_are_missing_are_marked_by_their_weight)
{
	report_good();
	report.kvm.capability[0] = 0;
	must_have("\n! USER_MEMORY            no    guest memory cannot be given to the guest\n");
	for (unsigned int i = 0; kvm_capabilities[i].name; i++)
		report.kvm.capability[i] = 0;
	must_have("\n- X2APIC_API             no    a guest has at most 255 processors\n");
}
END_TEST

START_TEST(interpreted_ring0_is_a_problem)
{
	report_good();
	report.ring0 = (struct host_ring0){ .interpreted = HOST_YES, .per_second = 1890000 };
	must_have("\n! ring 0                 interpreted: 1.9 million instructions a second, measured\n");
	ck_assert_uint_eq(host_count_problems(&report), 1);
	report.ring0 = (struct host_ring0){ .why.text = "it did not run" };
	must_have("\n! ring 0                 not measured: it did not run\n");
	ck_assert_uint_eq(host_count_problems(&report), 1);
}
END_TEST

START_TEST(iommu_groups_are_listed_or_explained)
{
	report_good();
	must_have("\n  IOMMU groups           4, with 2 PCI devices\n\n"
		  "  group  device        class  ids        driver\n"
		  "      3  0000:01:00.0  020000 8086:1572  i40e\n"
		  "      3  0000:01:00.1  020000 8086:1572  none\n");
	report.iommu = (struct host_iommu){ .why_none = "it is off", .mend = "switch it on" };
	must_have(
		"\n- IOMMU groups           none: it is off\n                         mend: switch it on\n");
}
END_TEST

START_TEST(unlimited_limits_are_called_so)
{
	report_good();
	must_have("\n  open files             1024; it can be raised to: 524288\n"
		  "  locked memory          8 MiB; it can be raised to: unlimited\n");
	report.nofile.soft = report.nofile.hard;
	must_have("\n  open files             524288\n");
}
END_TEST

START_TEST(check_lists_every_problem_or_says_that_it_starts)
{
	struct notes n = { 0 };

	text = report_print_check(host_check_text, &n);
	ck_assert_str_eq(text, "this guest would start\n");
	teardown();
	notes_add(&n, "one");
	notes_add(&n, "two");
	text = report_print_check(host_check_text, &n);
	ck_assert_str_eq(text, "problem: one\nproblem: two\n");
	notes_fini(&n);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("page");

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, good_host_has_a_page_without_marks);
	tcase_add_test(c, page_is_narrow_and_has_no_blanks_at_the_end);
	tcase_add_test(c, page_fits_a_terminal_of_80_columns);
	tcase_add_test(c, kvm_and_processor_are_told);
	tcase_add_test(c, nodes_and_pools_are_tables);
	tcase_add_test(c, what_is_missing_is_marked_with_loss_and_mend);
	tcase_add_test(c, host_without_kvm_says_why_and_still_tells_the_rest);
	tcase_add_test(c, capabilities_that_are_missing_are_marked_by_their_weight);
	tcase_add_test(c, interpreted_ring0_is_a_problem);
	tcase_add_test(c, iommu_groups_are_listed_or_explained);
	tcase_add_test(c, unlimited_limits_are_called_so);
	tcase_add_test(c, check_lists_every_problem_or_says_that_it_starts);
	return report_run("host_text", c);
}
