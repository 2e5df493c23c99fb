/*
 * Unit tests of fault.c. Each fault happens in a child, whose standard error and end are looked at; what only
 * hardware can do is a signal that the child sends itself, with the codes and addresses of the real one. They do not
 * show that KVM fails as it says: guest tests with a file that is truncated do.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/iothread.h"
#include "vmm/exit_status.h"
#include "vmm/fault.h"
#include "vmm/terminal.h"
#include "vmm/vcpu.h"

enum { PAGE = 4096, PAGES = 8, THREADS = 6 };

static const uint64_t low = 0x100000, high = 0x40000000;

static struct gmem mem;
static uint8_t *at; /* RAM at low, then at high, of one file */
static int fd;
static int status; /* of the child, as wait(2) says */
static char said[4096];

static void setup(void)
{
	struct err e;

	fd = memfd_create("fault_test", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 2 * PAGES * PAGE), 0);
	at = mmap(NULL, 2 * PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(at != MAP_FAILED);
	mem = (struct gmem){ 0 };
	ck_assert_int_eq(gmem_add(&mem, low, PAGES * PAGE, at, &e), 0);
	ck_assert_int_eq(gmem_add(&mem, high, PAGES * PAGE, at + PAGES * PAGE, &e), 0);
	mem.range[0].fd = mem.range[1].fd = fd;
	mem.range[1].fd_offset = PAGES * PAGE;
	said[0] = '\0';
}

static void teardown(void)
{
	munmap(at, 2 * PAGES * PAGE);
	close(fd);
}

/* Run body in a child that watches mem, until it ends. */
static void in_child(void (*body)(void *arg), void *arg)
{
	size_t len = 0;
	ssize_t n;
	int out[2];
	pid_t pid;

	ck_assert_int_eq(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		close(out[1]);
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
		fault_init(&mem);
		body(arg);
		_exit(99);
	}
	close(out[1]);
	while ((n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	close(out[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

static void check_reported(const char *text)
{
	ck_assert_msg(strstr(said, text) != NULL, "not in it: %s\nbut: %s", text, said);
	ck_assert_msg(strncmp(said, "trellis: error: guest memory at guest-physical 0x", 49) == 0, "%s",
		      said);
	ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_HOST_ERROR);
}

static void check_killed_silently(void)
{
	ck_assert_str_eq(said, "");
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGBUS);
}

static void touch(void *byte)
{
	(void)*(volatile uint8_t *)byte;
}

/* SIGBUS as the kernel sends it: a process may send itself any code (rt_sigqueueinfo(2)). */
struct fake_fault {
	int code;
	void *addr;
	short lsb;
};

static void fake(void *arg)
{
	const struct fake_fault *f = arg;
	siginfo_t info = { .si_signo = SIGBUS, .si_code = f->code };

	info.si_addr = f->addr;
	info.si_addr_lsb = f->lsb;
	syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info);
}

START_TEST(truncated_file_is_reported_with_addresses_and_range)
{
	char host[64];

	ck_assert_int_eq(ftruncate(fd, 5 * PAGE), 0);
	in_child(touch, at + 6 * PAGE + 0x123);
	check_reported("guest-physical 0x106123 (range 0x100000-0x107fff, host address ");
	check_reported(") is gone: the file behind it was truncated; 0x105000-0x107fff is lost\n");
	snprintf(host, sizeof(host), "host address 0x%llx)",
		 (unsigned long long)(uintptr_t)(at + 6 * PAGE + 0x123));
	check_reported(host);
}
END_TEST

START_TEST(second_range_of_a_file_is_looked_up_at_its_offset)
{
	ck_assert_int_eq(ftruncate(fd, (PAGES + 2) * PAGE), 0);
	in_child(touch, at + (PAGES + 2) * PAGE);
	check_reported("guest-physical 0x40002000 (range 0x40000000-0x40007fff, ");
	check_reported("truncated; 0x40002000-0x40007fff is lost\n");
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	in_child(touch, at + (PAGES + 1) * PAGE);
	check_reported("truncated; 0x40000000-0x40007fff is lost\n");
}
END_TEST

START_TEST(rest_of_the_last_page_is_not_lost)
{
	ck_assert_int_eq(ftruncate(fd, 2 * PAGE + 1), 0);
	in_child(touch, at + 3 * PAGE - 1);
	ck_assert_str_eq(said, "");
	ck_assert_int_eq(WEXITSTATUS(status), 99);
	in_child(touch, at + 3 * PAGE);
	check_reported("; 0x103000-0x107fff is lost\n");
}
END_TEST

static void touch_in_iothread(void *byte)
{
	struct iothread t;
	struct err e;

	if (iothread_init(&t, "t", &e) == 0 && iothread_start(&t, &e) == 0)
		iothread_call(&t, touch, byte);
}

START_TEST(fault_in_an_io_thread_is_reported)
{
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	in_child(touch_in_iothread, at);
	check_reported("guest-physical 0x100000 ");
}
END_TEST

static pthread_barrier_t all_there;

static void *touch_with_others(void *byte)
{
	pthread_barrier_wait(&all_there);
	touch(byte);
	return NULL;
}

static void touch_in_many_threads(void *byte)
{
	pthread_t thread[THREADS];

	pthread_barrier_init(&all_there, NULL, THREADS);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, touch_with_others, byte);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

START_TEST(faults_in_many_threads_are_one_report)
{
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	for (unsigned int i = 0; i < 20; i++) {
		in_child(touch_in_many_threads, at);
		check_reported("guest-physical 0x100000 ");
	}
}
END_TEST

START_TEST(broken_page_is_named_with_its_size)
{
	struct fake_fault small = { BUS_MCEERR_AR, at + PAGE + 5, 12 };
	struct fake_fault odd = { BUS_MCEERR_AO, at + PAGE + 5, 0 };

	in_child(fake, &small);
	check_reported("guest-physical 0x101005 ");
	check_reported(": the hardware reports a broken page of 4 KiB; 0x101000-0x101fff is lost\n");
	in_child(fake, &odd);
	check_reported("broken page of 4 KiB; 0x101000-0x101fff is lost\n");
}
END_TEST

START_TEST(large_broken_page_is_cut_to_the_range)
{
	struct fake_fault large = { BUS_MCEERR_AR, at + PAGES * PAGE, 30 };

	in_child(fake, &large); /* a page of 1 GiB around it */
	check_reported("; 0x40000000-0x40007fff is lost\n");
}
END_TEST

START_TEST(missing_hugetlb_page_is_the_pools_fault)
{
	struct fake_fault gone = { BUS_ADRERR, at, 0 };

	mem.range[0].page_bytes = 2 * MIB;
	in_child(fake, &gone);
	check_reported(
		": the host has no page of 2 MiB left for it, as the pool is empty or a limit is reached; ");
	mem.range[0].page_bytes = GIB;
	in_child(fake, &gone);
	check_reported(": the host has no page of 1 GiB left for it");
}
END_TEST

START_TEST(other_failures_are_told_apart_by_the_backing)
{
	struct fake_fault gone = { BUS_ADRERR, at, 0 };

	in_child(fake, &gone);
	check_reported(": the file behind it cannot be read or written there; 0x100000-0x100fff is lost\n");
	mem.range[0].fd = -1;
	in_child(fake, &gone);
	check_reported(
		": the kernel cannot bring it back, as when swap space fails; 0x100000-0x100fff is lost\n");
}
END_TEST

START_TEST(fault_elsewhere_dies_of_the_signal)
{
	int other = memfd_create("other", MFD_CLOEXEC);
	void *byte = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, other, 0);
	struct fake_fault mce = { BUS_MCEERR_AR, &status, 12 };

	in_child(touch, byte);
	check_killed_silently();
	in_child(fake, &mce);
	check_killed_silently();
	munmap(byte, PAGE);
	close(other);
}
END_TEST

static void send_to_itself(void *arg)
{
	(void)arg;
	kill(getpid(), SIGBUS);
}

START_TEST(signal_from_somebody_dies_of_the_signal)
{
	struct fake_fault sent = { SI_QUEUE, at, 0 };

	in_child(send_to_itself, NULL);
	check_killed_silently();
	in_child(fake, &sent);
	check_killed_silently();
}
END_TEST

static void touch_after_fini(void *byte)
{
	fault_fini();
	fault_fini();
	signal(SIGBUS, SIG_DFL);
	fault_init(&mem);
	fault_fini();
	touch(byte);
}

START_TEST(fini_gives_the_signal_back)
{
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	in_child(touch_after_fini, at);
	check_killed_silently();
}
END_TEST

static void system_call_reads(void *byte)
{
	int out[2];

	if (pipe(out) == 0 && write(out[1], byte, 1) < 0 && errno == EFAULT)
		_exit(42);
}

START_TEST(system_call_on_lost_memory_fails_without_signal)
{
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	in_child(system_call_reads, at);
	ck_assert_str_eq(said, "");
	ck_assert_int_eq(WEXITSTATUS(status), 42);
}
END_TEST

/* In the order of `trellis run`: guest memory is watched from its beginning, the terminal becomes raw last. */
static void touch_with_raw_terminal(void *byte)
{
	terminal_make_raw();
	touch(byte);
}

START_TEST(report_leaves_the_terminal_sane)
{
	int master, slave;
	struct termios now;
	pid_t pid;

	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	pid = fork();
	if (pid == 0) {
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		dup2(slave, STDIN_FILENO);
		in_child(touch_with_raw_terminal, at);
		check_reported("guest-physical 0x100000 ");
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(tcgetattr(slave, &now), 0);
	ck_assert(now.c_lflag & ICANON);
	ck_assert(now.c_lflag & ECHO);
	close(master);
	close(slave);
}
END_TEST

/* A vCPU for which KVM_RUN has just failed. */
static const char *explain(int error, uint32_t exit_reason, uint64_t gpa)
{
	struct kvm_run run = { .exit_reason = exit_reason };
	uint64_t fault[3] = { 0, gpa, PAGE }; /* flags, gpa, size */
	struct vcpus all = { .cfg.mem = &mem };
	struct vcpu v = { .all = &all, .run = &run, .fd = -1 };

	memcpy(run.padding, fault, sizeof(fault));
	ck_assert_ptr_eq(fault_explain(&v, error, said, sizeof(said)), said);
	return said;
}

START_TEST(kvm_tells_the_address_and_the_backing_the_cause)
{
	ck_assert_int_eq(ftruncate(fd, 4 * PAGE), 0);
	ck_assert_str_eq(
		explain(EFAULT, 39, 0x105000),
		"KVM_RUN failed: guest memory at guest-physical 0x105000 (range 0x100000-0x107fff) is gone: "
		"the file behind it was truncated; 0x104000-0x107fff is lost");
	ck_assert_str_eq(
		explain(EHWPOISON, 39, 0x101000),
		"KVM_RUN failed: guest memory at guest-physical 0x101000 (range 0x100000-0x107fff) is gone: "
		"the hardware reports a broken page of 4 KiB; 0x101000-0x101fff is lost");
	mem.range[0].page_bytes = 2 * MIB;
	mem.range[0].fd = -1;
	ck_assert_ptr_nonnull(strstr(explain(EFAULT, 39, 0x101000), "no page of 2 MiB left"));
}
END_TEST

START_TEST(kvm_names_an_address_without_ram)
{
	ck_assert_str_eq(
		explain(EFAULT, 39, 0xfee00000),
		"KVM_RUN failed: KVM cannot reach guest-physical 0xfee00000, where there is no RAM of ours");
}
END_TEST

START_TEST(silent_kvm_and_a_truncated_file)
{
	ck_assert_int_eq(ftruncate(fd, (PAGES + 1) * PAGE), 0);
	ck_assert_str_eq(
		explain(EFAULT, KVM_EXIT_UNKNOWN, 0x100000),
		"KVM_RUN failed: guest memory at guest-physical 0x40001000 (range 0x40000000-0x40007fff) is "
		"gone: the file behind it was truncated; 0x40001000-0x40007fff is lost");
}
END_TEST

static void report_triple_fault(void *unused)
{
	struct vcpus all = { .cfg.mem = &mem };
	struct topo_cpu place = { 0 };
	struct vcpu v = { .all = &all, .place = &place, .fd = -1 };

	(void)unused;
	vcpu_report(&v, "triple fault");
	_exit(0);
}

START_TEST(report_of_a_triple_fault_tells_of_a_truncated_file)
{
	in_child(report_triple_fault, NULL);
	ck_assert_ptr_null(strstr(said, "is gone"));
	ck_assert_int_eq(ftruncate(fd, 4 * PAGE), 0);
	in_child(report_triple_fault, NULL);
	ck_assert_ptr_nonnull(
		strstr(said, "triple fault\ntrellis: error:   guest memory at guest-physical 0x104000 "));
}
END_TEST

START_TEST(silent_kvm_and_missing_hugetlb_pages)
{
	uint8_t *three = mmap(NULL, 6 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct err e;

	ck_assert(three != MAP_FAILED);
	madvise(three, 6 * MIB, MADV_NOHUGEPAGE);
	mem = (struct gmem){ 0 };
	ck_assert_int_eq(gmem_add(&mem, 0, 6 * MIB, three, &e), 0);
	mem.range[0].fd = -1;
	mem.range[0].page_bytes = 2 * MIB;
	three[0] = 1;
	explain(EFAULT, KVM_EXIT_UNKNOWN, 0);
	ck_assert_ptr_nonnull(
		strstr(said, "no page of 2 MiB is behind guest-physical 0x200000 and 1 more places"));
	three[2 * MIB] = 1;
	explain(EFAULT, KVM_EXIT_UNKNOWN, 0);
	ck_assert_ptr_nonnull(strstr(said, "no page of 2 MiB is behind guest-physical 0x400000"));
	ck_assert_ptr_null(strstr(said, "more places"));
	munmap(three, 6 * MIB);
}
END_TEST

START_TEST(silent_kvm_and_nothing_found)
{
	ck_assert_str_eq(explain(EFAULT, KVM_EXIT_UNKNOWN, 0),
			 "KVM_RUN failed: KVM cannot reach guest memory, and does not say where");
	ck_assert_str_eq(explain(EHWPOISON, KVM_EXIT_UNKNOWN, 0),
			 "KVM_RUN failed: the hardware reports a broken page in guest memory, and KVM does "
			 "not say where");
}
END_TEST

START_TEST(access_to_ram_as_if_it_were_a_device_is_a_loss)
{
	struct kvm_run run = { .exit_reason = KVM_EXIT_MMIO, .mmio.phys_addr = 0x107fff };
	struct vcpus all = { .cfg.mem = &mem };
	struct vcpu v = { .all = &all, .run = &run, .fd = -1 };

	ck_assert_int_eq(ftruncate(fd, 4 * PAGE), 0);
	ck_assert(fault_is_mmio(&v));
	ck_assert_str_eq(fault_explain(&v, 0, said, sizeof(said)),
			 "guest memory at guest-physical 0x107fff (range 0x100000-0x107fff) is gone: the "
			 "file behind it "
			 "was truncated; 0x104000-0x107fff is lost");
	run.mmio.phys_addr = 0x108000;
	ck_assert(!fault_is_mmio(&v));
	run.mmio.phys_addr = 0x107fff;
	run.exit_reason = KVM_EXIT_IO;
	ck_assert(!fault_is_mmio(&v));
}
END_TEST

START_TEST(explanation_is_cut_where_the_buffer_ends)
{
	struct kvm_run run = { .exit_reason = KVM_EXIT_UNKNOWN };
	struct vcpus all = { .cfg.mem = &mem };
	struct vcpu v = { .all = &all, .run = &run, .fd = -1 };
	char small[8];

	ck_assert_str_eq(fault_explain(&v, EFAULT, small, sizeof(small)), "KVM_RUN");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fault");
	TCase *tc = tcase_create("fault");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, truncated_file_is_reported_with_addresses_and_range);
	tcase_add_test(tc, second_range_of_a_file_is_looked_up_at_its_offset);
	tcase_add_test(tc, rest_of_the_last_page_is_not_lost);
	tcase_add_test(tc, fault_in_an_io_thread_is_reported);
	tcase_add_test(tc, faults_in_many_threads_are_one_report);
	tcase_add_test(tc, broken_page_is_named_with_its_size);
	tcase_add_test(tc, large_broken_page_is_cut_to_the_range);
	tcase_add_test(tc, missing_hugetlb_page_is_the_pools_fault);
	tcase_add_test(tc, other_failures_are_told_apart_by_the_backing);
	tcase_add_test(tc, fault_elsewhere_dies_of_the_signal);
	tcase_add_test(tc, signal_from_somebody_dies_of_the_signal);
	tcase_add_test(tc, fini_gives_the_signal_back);
	tcase_add_test(tc, system_call_on_lost_memory_fails_without_signal);
	tcase_add_test(tc, report_leaves_the_terminal_sane);
	tcase_add_test(tc, kvm_tells_the_address_and_the_backing_the_cause);
	tcase_add_test(tc, kvm_names_an_address_without_ram);
	tcase_add_test(tc, silent_kvm_and_a_truncated_file);
	tcase_add_test(tc, report_of_a_triple_fault_tells_of_a_truncated_file);
	tcase_add_test(tc, silent_kvm_and_missing_hugetlb_pages);
	tcase_add_test(tc, silent_kvm_and_nothing_found);
	tcase_add_test(tc, access_to_ram_as_if_it_were_a_device_is_a_loss);
	tcase_add_test(tc, explanation_is_cut_where_the_buffer_ends);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
