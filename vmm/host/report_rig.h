/* For the tests of what is printed: a report made by hand, of a host with two nodes. */
#ifndef TRELLIS_HOST_REPORT_RIG_H
#define TRELLIS_HOST_REPORT_RIG_H

#include <check.h>
#include <stdlib.h>

#include "vmm/host/host.h"

static struct host_report report; /* zeroed for each test: Check runs each in a process of its own */

static struct host_node report_nodes[] = {
	{ .number = 0,
	  .has_memory = true,
	  .total_bytes = 64 * GIB,
	  .free_bytes = 31 * GIB + 512 * MIB,
	  .cpus = "0-7",
	  .pool = { [HOST_PAGE_2M] = { .known = true, .total = 64, .free = 60 } } },
	{ .number = 2, .cpus = "8-15" },
};

static char report_features[] = "fpu vme sse2";

static struct host_device report_devices[] = {
	{ .group = 3,
	  .address = "0000:01:00.0",
	  .vendor = 0x8086,
	  .device = 0x1572,
	  .class = 0x020000,
	  .driver = "i40e" },
	{ .group = 3, .address = "0000:01:00.1", .vendor = 0x8086, .device = 0x1572, .class = 0x020000 },
};

/* A host on which nothing is missing. */
__attribute__((unused)) static void report_good(void)
{
	report = (struct host_report){
		.release = "6.1.0", .machine = "x86_64",
		.kvm = { .usable = HOST_YES, .api_version = 12, .module = "kvm_intel", .vendor = "intel", .nested = HOST_YES,
			 .max_vcpus = 1024, .max_vcpu_id = 4096 },
		.ring0 = { .interpreted = HOST_NO, .per_second = 6200000000 },
		.cpu = { .by_kvm = true, .vendor = "GenuineIntel", .brand = "Some \"Xeon\"", .family = 6, .model = 143,
			 .stepping = 8, .phys_bits = 46, .nearest = "SapphireRapids", .differs = "+a,-b", .nr_features = 3,
			 .shape = "1 socket x 8 cores = 8 CPUs", .allowed = "0-7", .nr_allowed = 8 },
		.memory = { .total_bytes = 64 * GIB, .available_bytes = 32 * GIB, .nr_nodes = 2, .node = report_nodes,
			    .thp = "madvise", .thp_shmem = "never", .ksm_known = true, .ksm_run = 1, .ksm_pages_shared = 2,
			    .ksm_pages_sharing = 5,
			    .pool = { [HOST_PAGE_2M] = { .known = true, .total = 64, .free = 60, .reserved = 10,
							 .surplus = 1, .overcommit = 2 } } },
		.nofile = { .known = true, .soft = 1024, .hard = 524288 },
		.memlock = { .known = true, .soft = 8 * MIB, .hard = HOST_UNLIMITED },
		.facility = {
			{ .key = "tap", .name = "/dev/net/tun", .here = HOST_YES, .without = "taps" },
			{ .key = "ksm", .name = "KSM", .optional = true, .here = HOST_YES, .without = "merging" },
		},
		.nr_facilities = 2,
		.iommu = { .nr_groups = 4, .device = report_devices, .nr_devices = 2 },
	};
	for (unsigned int i = 0; i < HOST_MAX_CAPABILITIES; i++)
		report.kvm.capability[i] = 1;
	report.cpu.features = report_features;
}

/* What a printer prints; free() it. */
__attribute__((unused)) static char *report_print(void (*print)(const struct host_report *r, FILE *out))
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(out);
	print(&report, out);
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

/* The same for the answer of --check. */
__attribute__((unused)) static char *report_print_check(void (*print)(const struct notes *problems,
								      FILE *out),
							const struct notes *problems)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(out);
	print(problems, out);
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

__attribute__((unused)) static int report_run(const char *name, TCase *c)
{
	Suite *suite = suite_create(name);
	SRunner *sr;
	int failed;

	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
