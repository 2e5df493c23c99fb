/*
 * Unit tests of the collectors, on directories that stand for "/". What the real /dev/kvm says is in no root: of that
 * only what holds on any machine is asked.
 */
#include <signal.h>
#include <sys/time.h>

#include "vmm/host/memory_rig.h"
#include "vmm/host/report_rig.h"

static struct err e;

static void teardown(void)
{
	host_fini(&report);
	rig_teardown();
}

static void link_to(const char *target, const char *name)
{
	ck_assert_int_eq(symlink(target, rig_path(name)), 0);
}

static const struct host_facility *facility(const char *key)
{
	for (unsigned int i = 0; i < report.nr_facilities; i++)
		if (!strcmp(report.facility[i].key, key))
			return &report.facility[i];
	ck_abort_msg("no facility %s", key);
}

/* Look at the facilities of the rig, with what is known of memory there. */
static void look(void)
{
	report = (struct host_report){ .nr_facilities = 0 };
	ck_assert_int_eq(host_memory_read(&report.memory, rig_root), 0);
	host_read_facilities(&report, rig_root);
}

/* ---- KVM's module ---- */

START_TEST(intel_module_and_its_nested_parameter_are_found)
{
	rig_file("/sys/module/kvm/refcnt", "1\n");
	rig_file("/sys/module/kvm_intel/parameters/nested", "Y\n");
	host_read_kvm(&report.kvm, rig_root);
	ck_assert_str_eq(report.kvm.module, "kvm_intel");
	ck_assert_str_eq(report.kvm.vendor, "intel");
	ck_assert_int_eq(report.kvm.nested, HOST_YES);
}
END_TEST

START_TEST(amd_module_writes_nested_as_a_number)
{
	rig_file("/sys/module/kvm_amd/parameters/nested", "0\n");
	host_read_kvm(&report.kvm, rig_root);
	ck_assert_str_eq(report.kvm.vendor, "amd");
	ck_assert_int_eq(report.kvm.nested, HOST_NO);
}
END_TEST

START_TEST(of_two_built_in_modules_the_processor_decides)
{
	rig_file("/sys/module/kvm_intel/parameters/nested", "N\n");
	rig_file("/sys/module/kvm_amd/parameters/nested", "1\n");
	rig_file("/proc/cpuinfo", "vendor_id\t: AuthenticAMD\nflags\t\t: fpu svm\n\nprocessor\t: 1\n");
	host_read_kvm(&report.kvm, rig_root);
	ck_assert_str_eq(report.kvm.module, "kvm_amd");
	ck_assert_int_eq(report.kvm.nested, HOST_YES);
}
END_TEST

START_TEST(module_that_nobody_knows_is_named_without_vendor)
{
	rig_file("/sys/module/kvm_novel/refcnt", "1\n");
	host_read_kvm(&report.kvm, rig_root);
	ck_assert_str_eq(report.kvm.module, "kvm_novel");
	ck_assert_ptr_null(report.kvm.vendor);
	ck_assert_int_eq(report.kvm.nested, HOST_UNKNOWN);
}
END_TEST

START_TEST(kvm_is_usable_or_there_is_a_sentence)
{
	host_read_kvm(&report.kvm, rig_root);
	ck_assert_str_eq(report.kvm.module, "");
	ck_assert_int_ne(report.kvm.usable, HOST_UNKNOWN);
	ck_assert_int_eq(report.kvm.usable == HOST_NO, report.kvm.why.text[0] != '\0');
	ck_assert_int_eq(report.kvm.usable == HOST_YES, report.kvm.max_vcpus > 0);
}
END_TEST

START_TEST(capabilities_have_names_reasons_and_room)
{
	unsigned int i = 0;

	for (; kvm_capabilities[i].name; i++) {
		ck_assert_int_eq(strncmp(kvm_capabilities[i].name, "KVM_CAP_", 8), 0);
		ck_assert_uint_gt(strlen(kvm_capabilities[i].without), 8);
		for (unsigned int j = 0; j < i; j++)
			ck_assert_int_ne(kvm_capabilities[i].cap, kvm_capabilities[j].cap);
	}
	ck_assert_uint_le(i, HOST_MAX_CAPABILITIES);
}
END_TEST

/* ---- ring 0 ---- */

START_TEST(ring0_is_measured_or_there_is_a_reason)
{
	struct sigaction before, after;
	struct itimerval left;

	ck_assert_int_eq(sigaction(SIGALRM, NULL, &before), 0);
	host_measure_ring0(&report.ring0);
	ck_assert_int_eq(report.ring0.interpreted == HOST_UNKNOWN, report.ring0.why.text[0] != '\0');
	ck_assert_int_eq(report.ring0.interpreted == HOST_UNKNOWN, report.ring0.per_second == 0);
	ck_assert(report.ring0.made || report.ring0.interpreted == HOST_UNKNOWN);
	ck_assert_int_eq(getitimer(ITIMER_REAL, &left), 0);
	ck_assert_int_eq(sigaction(SIGALRM, NULL, &after), 0);
	ck_assert(!left.it_value.tv_sec && !left.it_value.tv_usec);
	ck_assert(before.sa_handler == after.sa_handler);
}
END_TEST

/* ---- facilities ---- */

START_TEST(device_file_without_its_module_is_not_opened)
{
	rig_file("/dev/net/tun", "");
	look();
	ck_assert_int_eq(facility("tap")->here, HOST_YES);
	ck_assert_ptr_nonnull(strstr(facility("tap")->detail.text, "when it is first used"));
	ck_assert_ptr_null(facility("tap")->mend);
}
END_TEST

START_TEST(device_file_with_its_module_is_opened)
{
	rig_file("/dev/vhost-net", "");
	rig_file("/sys/class/misc/vhost-net/dev", "10:238\n");
	look();
	ck_assert_int_eq(facility("vhost_net")->here, HOST_YES);
	ck_assert_str_eq(facility("vhost_net")->detail.text, "");
}
END_TEST

START_TEST(devices_that_are_missing_name_the_module_to_load)
{
	look();
	ck_assert_int_eq(facility("tap")->here, HOST_NO);
	ck_assert_str_eq(facility("tap")->mend, "modprobe tun");
	ck_assert_str_eq(facility("vhost_net")->mend, "modprobe vhost_net");
}
END_TEST

START_TEST(passt_is_looked_for_in_path)
{
	char *path = strdup(getenv("PATH"));

	rig_file("/opt/b/passt", "#!/bin/sh\n");
	ck_assert_int_eq(setenv("PATH", ":/opt/a:/opt/b:", 1), 0);
	look();
	ck_assert_int_eq(facility("passt")->here, HOST_NO);
	ck_assert_str_eq(facility("passt")->detail.text, "this user may not run it");
	ck_assert_ptr_nonnull(strstr(facility("passt")->mend, "install passt"));
	host_fini(&report);
	ck_assert_int_eq(chmod(rig_path("/opt/b/passt"), 0755), 0);
	look();
	ck_assert_int_eq(facility("passt")->here, HOST_YES);
	ck_assert_str_eq(facility("passt")->detail.text, "/opt/b/passt");
	host_fini(&report);
	ck_assert_int_eq(chdir(rig_path("/opt/b")),
			 0); /* where nothing between colons leads, as for execvp(3) */
	ck_assert_int_eq(setenv("PATH", "/opt/a:", 1), 0);
	look();
	ck_assert_str_eq(facility("passt")->detail.text, "./passt");
	ck_assert_int_eq(setenv("PATH", path, 1), 0); /* for rig_teardown() */
	free(path);
}
END_TEST

START_TEST(empty_pool_full_pool_and_no_pool_are_three_things)
{
	look();
	ck_assert_ptr_nonnull(strstr(facility("hugepages_1g")->detail.text, "no pages of that size"));
	host_fini(&report);
	rig_pool("/sys/kernel/mm", 2, 0, 0);
	look();
	ck_assert_int_eq(facility("hugepages_2m")->here, HOST_NO);
	ck_assert_str_eq(facility("hugepages_2m")->detail.text, "the pool is empty");
	ck_assert_ptr_nonnull(strstr(facility("hugepages_2m")->mend,
				     "echo PAGES > /sys/kernel/mm/hugepages/hugepages-2048kB/"));
	host_fini(&report);
	rig_pool("/sys/kernel/mm", 2, 8, 0);
	look();
	ck_assert_str_eq(facility("hugepages_2m")->detail.text, "all of the pool is in use");
	host_fini(&report);
	rig_pool("/sys/kernel/mm", 2, 8, 5);
	look();
	ck_assert_int_eq(facility("hugepages_2m")->here, HOST_YES);
	ck_assert_str_eq(facility("hugepages_2m")->detail.text, "5 pages can be had");
}
END_TEST

START_TEST(thp_is_missing_only_when_it_is_never)
{
	look();
	ck_assert_int_eq(facility("thp")->here, HOST_UNKNOWN);
	rig_file("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
	look();
	ck_assert_int_eq(facility("thp")->here, HOST_NO);
	ck_assert_str_eq(facility("thp")->mend, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
	ck_assert(!facility("thp")->optional);
	rig_file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	look();
	ck_assert_int_eq(facility("thp")->here, HOST_YES);
}
END_TEST

START_TEST(stopped_ksm_can_be_started)
{
	rig_file("/sys/kernel/mm/ksm/run", "0\n");
	look();
	ck_assert_int_eq(facility("ksm")->here, HOST_NO);
	ck_assert_str_eq(facility("ksm")->mend, "echo 1 > /sys/kernel/mm/ksm/run");
	rig_file("/sys/kernel/mm/ksm/run", "1\n");
	look();
	ck_assert_int_eq(facility("ksm")->here, HOST_YES);
}
END_TEST

START_TEST(locking_is_unlimited_for_the_privileged)
{
	rig_file("/proc/self/status", "Name:\ttrellis\nCapEff:\t0000000000004000\n");
	look();
	ck_assert_int_eq(facility("lock")->here, HOST_YES);
	rig_file("/proc/self/status", "Name:\ttrellis\nCapEff:\t00000000ffffbfff\n");
	report = (struct host_report){ .memlock = { .known = true, .soft = 65536, .hard = 65536 } };
	host_read_facilities(&report, rig_root);
	ck_assert_int_eq(facility("lock")->here, HOST_NO);
	ck_assert_str_eq(facility("lock")->detail.text, "at most 64 KiB may be locked");
}
END_TEST

START_TEST(root_of_a_container_may_not_lock_beyond_its_limit)
{
	rig_file("/proc/self/status", "Name:\ttrellis\nCapEff:\t000001ffffffffff\n");
	rig_file("/proc/self/uid_map", "         0     100000      65536\n");
	report = (struct host_report){ .memlock = { .known = true, .soft = 65536, .hard = 65536 } };
	host_read_facilities(&report, rig_root);
	ck_assert_int_eq(facility("lock")->here, HOST_NO);
}
END_TEST

/* ---- passthrough ---- */

START_TEST(groups_and_their_devices_are_read_in_order)
{
	rig_file("/sys/kernel/iommu_groups/10/devices/0000:00:1f.0", "");
	rig_file("/sys/kernel/iommu_groups/2/devices/0000:01:00.1", "");
	rig_file("/sys/kernel/iommu_groups/2/devices/0000:01:00.0", "");
	rig_file("/sys/kernel/iommu_groups/2/devices/a-platform-device", "");
	rig_file("/sys/kernel/iommu_groups/7/type", "DMA\n");
	rig_file("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x8086\n");
	rig_file("/sys/bus/pci/devices/0000:01:00.0/device", "0x1572\n");
	rig_file("/sys/bus/pci/devices/0000:01:00.0/class", "0x020000\n");
	link_to("../../../../bus/pci/drivers/i40e", "/sys/bus/pci/devices/0000:01:00.0/driver");
	ck_assert_int_eq(host_read_iommu(&report.iommu, rig_root), 0);
	ck_assert_uint_eq(report.iommu.nr_groups, 3);
	ck_assert_uint_eq(report.iommu.nr_devices, 3);
	ck_assert_str_eq(report.iommu.device[0].address, "0000:01:00.0");
	ck_assert_uint_eq(report.iommu.device[0].vendor, 0x8086);
	ck_assert_uint_eq(report.iommu.device[0].device, 0x1572);
	ck_assert_uint_eq(report.iommu.device[0].class, 0x20000);
	ck_assert_str_eq(report.iommu.device[0].driver, "i40e");
	ck_assert_str_eq(report.iommu.device[1].address, "0000:01:00.1");
	ck_assert_str_eq(report.iommu.device[1].driver, "");
	ck_assert_uint_eq(report.iommu.device[2].group, 10);
}
END_TEST

static const struct {
	const char *cpuinfo, *mend;
} switched_off[] = {
	{ "vendor_id : GenuineIntel\nflags : fpu vmx\n\n", "intel_iommu=on" },
	{ "vendor_id : AuthenticAMD\nflags : fpu svm\n\n", "amd_iommu=off" },
	{ "vendor_id : GenuineIntel\nflags : fpu hypervisor\n\n", "a virtual IOMMU" },
};

START_TEST(no_group_is_explained_by_the_processor)
{
	rig_file("/sys/kernel/iommu_groups/.keep", "");
	rig_file("/proc/cpuinfo", switched_off[_i].cpuinfo);
	ck_assert_int_eq(host_read_iommu(&report.iommu, rig_root), 0);
	ck_assert_uint_eq(report.iommu.nr_groups, 0);
	ck_assert_ptr_nonnull(report.iommu.why_none);
	ck_assert_msg(strstr(report.iommu.mend, switched_off[_i].mend), "%s", report.iommu.mend);
}
END_TEST

START_TEST(kernel_without_iommu_says_so)
{
	ck_assert_int_eq(host_read_iommu(&report.iommu, rig_root), 0);
	ck_assert_ptr_nonnull(strstr(report.iommu.why_none, "built without"));
}
END_TEST

/* ---- words of /proc/cpuinfo ---- */

START_TEST(words_are_whole_and_of_the_first_processor)
{
	rig_file("/proc/cpuinfo",
		 "processor\t: 0\nflags\t\t: fpu svm_lock\nbugs\t:\n\nprocessor\t: 1\nflags\t: avx\n\n");
	ck_assert(host_cpuinfo_has(rig_root, "fpu"));
	ck_assert(host_cpuinfo_has(rig_root, "svm_lock"));
	ck_assert(!host_cpuinfo_has(rig_root, "svm"));
	ck_assert(!host_cpuinfo_has(rig_root, "avx"));
}
END_TEST

/* ---- all of it ---- */

START_TEST(computer_without_sysfs_has_a_report_all_the_same)
{
	ck_assert_int_eq(host_collect(&report, rig_root, &e), 0);
	ck_assert_str_ne(report.release, "");
	ck_assert_ptr_nonnull(report.cpu.features);
	ck_assert(*report.cpu.shape || *report.cpu.shape_why.text);
	ck_assert_uint_eq(report.memory.nr_nodes, 0);
	ck_assert_uint_eq(report.nr_facilities, 13);
}
END_TEST

START_TEST(two_nodes_with_pools_are_collected)
{
	rig_nodes("0-1\n", "0-1\n");
	rig_node(0, "0-1", GIB, 512 * MIB);
	rig_node(1, "2-3", 2 * GIB, 512 * MIB);
	rig_pool("/sys/kernel/mm", 2, 64, 60);
	rig_node_pool(1, 2, 64, 60);
	ck_assert_int_eq(host_collect(&report, rig_root, &e), 0);
	ck_assert_uint_eq(report.memory.nr_nodes, 2);
	ck_assert_uint_eq(report.memory.node[1].total_bytes, 2 * GIB);
	ck_assert_str_eq(report.memory.node[1].cpus, "2-3");
	ck_assert_uint_eq(report.memory.node[1].pool[HOST_PAGE_2M].free, 60);
	ck_assert_str_eq(facility("hugepages_2m")->detail.text, "60 pages can be had");
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("collect");

	tcase_add_checked_fixture(c, rig_setup, teardown);
	tcase_add_test(c, intel_module_and_its_nested_parameter_are_found);
	tcase_add_test(c, amd_module_writes_nested_as_a_number);
	tcase_add_test(c, of_two_built_in_modules_the_processor_decides);
	tcase_add_test(c, module_that_nobody_knows_is_named_without_vendor);
	tcase_add_test(c, kvm_is_usable_or_there_is_a_sentence);
	tcase_add_test(c, capabilities_have_names_reasons_and_room);
	tcase_add_test(c, ring0_is_measured_or_there_is_a_reason);
	tcase_add_test(c, device_file_without_its_module_is_not_opened);
	tcase_add_test(c, device_file_with_its_module_is_opened);
	tcase_add_test(c, devices_that_are_missing_name_the_module_to_load);
	tcase_add_test(c, passt_is_looked_for_in_path);
	tcase_add_test(c, empty_pool_full_pool_and_no_pool_are_three_things);
	tcase_add_test(c, thp_is_missing_only_when_it_is_never);
	tcase_add_test(c, stopped_ksm_can_be_started);
	tcase_add_test(c, locking_is_unlimited_for_the_privileged);
	tcase_add_test(c, root_of_a_container_may_not_lock_beyond_its_limit);
	tcase_add_test(c, groups_and_their_devices_are_read_in_order);
	tcase_add_loop_test(c, no_group_is_explained_by_the_processor, 0, ARRAY_SIZE(switched_off));
	tcase_add_test(c, kernel_without_iommu_says_so);
	tcase_add_test(c, words_are_whole_and_of_the_first_processor);
	tcase_add_test(c, computer_without_sysfs_has_a_report_all_the_same);
	tcase_add_test(c, two_nodes_with_pools_are_collected);
	return report_run("host_collect", c);
}
