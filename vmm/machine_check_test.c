/*
 * Unit tests of machine_check.c: command lines with several things wrong, and every one of them is told, with the
 * sentence of the step that would fail. What this host has is different everywhere: of the checks of a host only those
 * are tried whose outcome is the same on any. Nothing is run: that `trellis run` says the same is the business of each
 * step's own tests.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/base/newfile.h"
#include "vmm/machine_internal.h"

static struct run_options o;
static struct machine *m;
static struct notes problems;
static struct err e;
static char dir[] = "/tmp/machine_check.XXXXXX", kernel[64], path[64];

/* Multiboot 0.6.96, 3.1.1: a header with address fields, and nothing else to load. */
static void write_kernel(void)
{
	static const uint32_t header[] = {
		0x1badb002, 0x00010000, 0u - 0x1badb002 - 0x00010000, 0x00200000, 0x00200000, 0x00200040,
		0,          0x00200020,
	};
	uint32_t file[64] = { 0 };
	int fd = open(kernel, O_WRONLY | O_CREAT, 0600);

	memcpy(file, header, sizeof(header));
	ck_assert_int_eq(write(fd, file, sizeof(file)), sizeof(file));
	close(fd);
}

static void setup(void)
{
	log_set_level(LOG_ERROR);
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	snprintf(path, sizeof(path), "%s/it", dir);
	write_kernel();
	m = calloc(1, sizeof(*m));
	ck_assert_ptr_nonnull(m);
}

static void teardown(void)
{
	machine_fini(m);
	free(m);
	notes_fini(&problems);
	run_options_fini(&o);
	unlink(kernel);
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* Parse and check. Returns how many problems there are. */
static unsigned int check(bool host, char *const *argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	ck_assert_msg(run_options_parse(&o, argc, argv, &e) == 0, "%s", e.text);
	machine_check(m, &o, host, &problems);
	return problems.nr;
}

#define CHECK(host, ...) check(host, (char *const[]){ "run", "--serial", "none", __VA_ARGS__, NULL })

/* Is there a sentence with this text in it? */
static bool told(const char *text)
{
	for (unsigned int i = 0; i < problems.nr; i++)
		if (strstr(problems.text[i], text))
			return true;
	return false;
}

static void expect(unsigned int nr)
{
	for (unsigned int i = 0; i < problems.nr && problems.nr != nr; i++)
		fprintf(stderr, "# %s\n", problems.text[i]);
	ck_assert_uint_eq(problems.nr, nr);
}

START_TEST(machine_that_can_be_has_no_problem)
{
	CHECK(false, "--kernel", kernel, "--memory", "64M");
	expect(0);
	ck_assert(!problems.usage);
}
END_TEST

START_TEST(every_missing_file_is_told)
{
	CHECK(false, "--kernel", "/absent/kernel", "--initrd", "/absent/one", "--initrd", kernel, "--initrd",
	      "/absent/two");
	expect(3);
	ck_assert(told("kernel '/absent/kernel'") && told("initrd '/absent/one'") &&
		  told("initrd '/absent/two'"));
	ck_assert_uint_eq(m->nr_initrds, 1);
}
END_TEST

START_TEST(three_reasons_give_three_sentences)
{
	CHECK(false, "--kernel", "/absent/kernel", "--disk", "/absent/disk", "--console", "file:/absent/log");
	expect(3);
	ck_assert(told("kernel '/absent/kernel'"));
	ck_assert(told("there is no /absent/disk; an empty disk is made with"));
	ck_assert(told("console: cannot open /absent/log for writing"));
	ck_assert(!problems.usage);
}
END_TEST

START_TEST(wrong_words_make_it_a_usage_error)
{
	CHECK(false, "--kernel", "/absent/kernel", "--memory", "64M", "--balloon", "size=128M");
	expect(2);
	ck_assert(told("--balloon: size=128M is more than the machine's memory of 64M"));
	ck_assert(problems.usage);
}
END_TEST

START_TEST(shape_that_cannot_be_leaves_out_what_depends_on_it)
{
	CHECK(false, "--kernel", kernel, "--cpus", "8,sockets=3", "--balloon", "size=1T", "--disk",
	      "/absent/disk");
	expect(2);
	ck_assert(told("--cpus"));
	ck_assert(told("/absent/disk"));
}
END_TEST

START_TEST(file_that_is_no_kernel_is_told_along_with_a_model_that_cannot_be)
{
	int fd = open(kernel, O_WRONLY | O_TRUNC);

	ck_assert_int_eq(write(fd, "#!/bin/sh\n", 10), 10);
	close(fd);
	CHECK(false, "--kernel", kernel, "--memory", "64M", "--numa", "node=0,memory=32M");
	expect(2);
	ck_assert(told("is a script"));
	ck_assert(told("--numa"));
}
END_TEST

START_TEST(ram_beyond_the_address_width_is_told_and_not_mapped)
{
	CHECK(false, "--kernel", kernel, "--memory", "1024T", "--cpu", "host,phys-bits=36");
	expect(1);
	ck_assert(told("--memory: a guest on this processor can have at most 31G (36 address bits)"));
	ck_assert_uint_le(m->mem.backing.bytes, 3 * GIB);
}
END_TEST

/* Programs have 128 TiB (Documentation/x86/x86_64/mm.rst, Linux 6.1), or that much without asking for more. */
START_TEST(guest_larger_than_the_address_space_is_told)
{
	CHECK(true, "--kernel", kernel, "--memory", "200T");
	ck_assert(told("cannot map 209715200 MiB of guest memory: Cannot allocate memory; the limits are "
		       "ulimit -v"));
}
END_TEST

START_TEST(large_guest_is_checked_without_its_memory)
{
	CHECK(false, "--kernel", kernel, "--memory", "24G");
	expect(0);
	ck_assert_uint_le(m->mem.backing.bytes, 3 * GIB);
	ck_assert_uint_eq(m->platform.ram_bytes, 24 * GIB);
}
END_TEST

START_TEST(every_disk_is_told)
{
	CHECK(false, "--kernel", kernel, "--disk", "/absent/one", "--disk", "/absent/two,readonly=on",
	      "--disk", "/dev/zero");
	expect(3);
	ck_assert(told("there is no /absent/one; an empty disk") && told("there is no /absent/two"));
	ck_assert(told("/dev/zero is a character device"));
}
END_TEST

START_TEST(one_file_is_not_two_disks)
{
	char readonly[80];
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(ftruncate(fd, MIB), 0);
	close(fd);
	snprintf(readonly, sizeof(readonly), "%s,readonly=on", path);
	CHECK(false, "--kernel", kernel, "--disk", path, "--disk", path, "--disk", readonly);
	expect(2);
	ck_assert(told("is in use by another process"));
	ck_assert(told("is being written by another process"));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_blocks, 0);
}
END_TEST

START_TEST(one_file_that_is_read_is_not_written_as_another_disk)
{
	char readonly[80];
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(ftruncate(fd, MIB), 0);
	close(fd);
	snprintf(readonly, sizeof(readonly), "%s,readonly=on", path);
	CHECK(false, "--kernel", kernel, "--disk", readonly, "--disk", path);
	expect(1);
	ck_assert(told("is in use by another process"));
}
END_TEST

START_TEST(one_file_may_be_two_disks_that_are_read)
{
	char readonly[80];
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(ftruncate(fd, MIB), 0);
	close(fd);
	snprintf(readonly, sizeof(readonly), "%s,readonly=on", path);
	CHECK(false, "--kernel", kernel, "--disk", readonly, "--disk", readonly);
	expect(0);
}
END_TEST

START_TEST(every_stream_is_told_and_none_is_made)
{
	char file[80], sock[80];

	snprintf(file, sizeof(file), "file:%s", path);
	snprintf(sock, sizeof(sock), "unix:%s/socket", dir);
	CHECK(false, "--kernel", kernel, "--serial", file, "--console", file, "--serial", "file:/absent/log",
	      "--monitor", sock, "--console", sock);
	expect(3);
	ck_assert(told("COM3: cannot open /absent/log for writing"));
	ck_assert(told("console: another program writes to"));
	ck_assert(told("monitor: "));
	ck_assert_int_eq(newfile_check(path), 0);
	ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(host_nodes_that_are_not_there_are_told)
{
	CHECK(false, "--kernel", kernel, "--memory", "64M", "--numa", "node=0,host-nodes=127,policy=bind");
	expect(1);
	ck_assert(told("--numa node=0: host-nodes"));
	ck_assert(problems.usage);
}
END_TEST

START_TEST(pins_that_cannot_be_are_told)
{
	CHECK(false, "--kernel", kernel, "--memory", "64M", "--cpus", "2", "--pin", "vcpu0=8191,vcpu7=0");
	expect(2);
	ck_assert(told("8191"));
	ck_assert(told("7"));
}
END_TEST

START_TEST(memory_file_is_told_without_asking_the_host)
{
	CHECK(false, "--kernel", kernel, "--memory", "64M,file=/absent/directory/ram");
	expect(1);
	ck_assert(told("/absent/directory/ram"));
}
END_TEST

START_TEST(memory_file_does_not_follow_nodes_without_asking_the_host)
{
	char memory[80];

	snprintf(memory, sizeof(memory), "64M,file=/proc/%d/ram",
		 (int)getpid()); /* no tmpfs on any machine */
	CHECK(false, "--kernel", kernel, "--memory", memory, "--numa", "node=0,host-nodes=0,policy=bind");
	ck_assert(told("which pages of a file do not follow"));
}
END_TEST

START_TEST(interfaces_are_the_hosts_business)
{
	CHECK(false, "--kernel", kernel, "--memory", "64M", "--net", "tap,ifname=trellis-none");
	expect(0);
}
END_TEST

START_TEST(every_interface_is_told)
{
	CHECK(true, "--kernel", kernel, "--memory", "64M", "--net", "tap,ifname=trellis-none", "--net",
	      "bridge=trellis-none", "--net", "socket=/absent/directory/socket", "--net", "tap,fd=999,id=wan",
	      "--disk", "/absent/disk");
	ck_assert(told("net0: there is no network interface trellis-none"));
	ck_assert(told("net1: there is no bridge trellis-none"));
	ck_assert(told("net2: cannot make the socket /absent/directory/socket"));
	ck_assert(told("wan: file descriptor 999 is not open"));
	ck_assert(told("/absent/disk"));
}
END_TEST

START_TEST(tap_and_vhost_of_one_interface_are_told)
{
	CHECK(true, "--kernel", kernel, "--memory", "64M", "--net",
	      "tap,ifname=trellis-none,vhost=on,rate-in=1000");
	ck_assert(told("net0: there is no network interface trellis-none"));
	ck_assert(told("net0: vhost=on: vhost knows no rate limits"));
}
END_TEST

START_TEST(nodes_are_looked_at_when_the_model_cannot_be)
{
	CHECK(false, "--kernel", kernel, "--memory", "64M", "--cpu", "x86-64-v4,+svm,+vmx,+sgx", "--numa",
	      "node=0,host-nodes=127,policy=bind");
	expect(2);
	ck_assert(told("--cpu"));
	ck_assert(told("--numa node=0: host-nodes"));
}
END_TEST

START_TEST(kvm_is_asked_for_only_when_the_host_is)
{
	bool there;

	CHECK(true, "--kernel", kernel, "--memory", "64M", "--disk", "/absent/disk");
	there = access("/dev/kvm", R_OK | W_OK) == 0;
	ck_assert(there || told("/dev/kvm"));
	ck_assert(told("/absent/disk"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("machine_check");
	TCase *t = tcase_create("machine_check");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, machine_that_can_be_has_no_problem);
	tcase_add_test(t, every_missing_file_is_told);
	tcase_add_test(t, three_reasons_give_three_sentences);
	tcase_add_test(t, wrong_words_make_it_a_usage_error);
	tcase_add_test(t, shape_that_cannot_be_leaves_out_what_depends_on_it);
	tcase_add_test(t, file_that_is_no_kernel_is_told_along_with_a_model_that_cannot_be);
	tcase_add_test(t, ram_beyond_the_address_width_is_told_and_not_mapped);
	tcase_add_test(t, guest_larger_than_the_address_space_is_told);
	tcase_add_test(t, large_guest_is_checked_without_its_memory);
	tcase_add_test(t, every_disk_is_told);
	tcase_add_test(t, one_file_is_not_two_disks);
	tcase_add_test(t, one_file_that_is_read_is_not_written_as_another_disk);
	tcase_add_test(t, one_file_may_be_two_disks_that_are_read);
	tcase_add_test(t, every_stream_is_told_and_none_is_made);
	tcase_add_test(t, host_nodes_that_are_not_there_are_told);
	tcase_add_test(t, pins_that_cannot_be_are_told);
	tcase_add_test(t, memory_file_is_told_without_asking_the_host);
	tcase_add_test(t, memory_file_does_not_follow_nodes_without_asking_the_host);
	tcase_add_test(t, interfaces_are_the_hosts_business);
	tcase_add_test(t, every_interface_is_told);
	tcase_add_test(t, tap_and_vhost_of_one_interface_are_told);
	tcase_add_test(t, nodes_are_looked_at_when_the_model_cannot_be);
	tcase_add_test(t, kvm_is_asked_for_only_when_the_host_is);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
