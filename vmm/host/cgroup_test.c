/*
 * Unit tests of cgroup.c in a directory that stands for "/", with plain files for those of a kernel. They do not show
 * what a kernel does with them: such a directory is not filled by mkdir(2), so the new group is put there before, and
 * stays, as rmdir(2) finds files in it. Some want not to be root, and leave that to a child.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/host/cgroup.h"

#define V2_MOUNT "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

enum { NO_SUCH_PID = 2000000000 };

static char root[] = "/tmp/cgroup_test.XXXXXX";
static struct err e;
static struct cgroup c;
static char text[PATH_MAX + 64];

PRINTF(2, 3) static const char *in_root(char *path, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(path, PATH_MAX, "%s", root);

	va_start(ap, fmt);
	vsnprintf(path + n, (size_t)(PATH_MAX - n), fmt, ap);
	va_end(ap);
	return path;
}

/* Make a directory and those above it. */
static void put_dir(const char *name)
{
	char path[PATH_MAX];

	in_root(path, "%s", name);
	for (char *p = path + strlen(root) + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			mkdir(path, 0755);
			*p = '/';
		}
	ck_assert(mkdir(path, 0755) == 0 || errno == EEXIST);
}

static void put_file(const char *dir, const char *name, const char *bytes)
{
	char path[PATH_MAX];
	int fd;

	put_dir(dir);
	fd = open(in_root(path, "%s/%s", dir, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
	close(fd);
}

static const char *file_text(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int fd = open(in_root(path, "%s/%s", dir, name), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[MAX(n, 0)] = '\0';
	close(fd);
	return text;
}

static bool is_there(const char *name)
{
	char path[PATH_MAX];

	return access(in_root(path, "%s", name), F_OK) == 0;
}

/* A group with the files that every one has. */
static void put_group(const char *dir, const char *controllers, const char *subtree)
{
	put_file(dir, "cgroup.controllers", controllers);
	put_file(dir, "cgroup.subtree_control", subtree);
	put_file(dir, "cgroup.procs", "");
}

/* The name of the group that will be made. */
static const char *own_name(const char *base, const char *guest)
{
	static char name[256];

	snprintf(name, sizeof(name), "%s/trellis-%s%d", base, guest, (int)getpid());
	return name;
}

/* What a kernel puts into it at once. */
static void put_own_group(const char *base, const char *guest)
{
	put_file(own_name(base, guest), "cgroup.events", "populated 0\nfrozen 0\n");
	put_file(own_name(base, guest), "cgroup.procs", "");
	put_file(own_name(base, guest), "memory.max", "max\n");
}

/* As on a host with systemd where the user has groups of her own. */
static void put_usual_host(void)
{
	put_file("/proc/self", "cgroup", "0::/app.slice/shell.scope\n");
	put_file("/proc/self", "mountinfo", "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n" V2_MOUNT);
	put_group("/sys/fs/cgroup", "cpu memory pids\n", "memory pids\n");
	put_group("/sys/fs/cgroup/app.slice", "memory pids\n", "memory pids\n");
	put_group("/sys/fs/cgroup/app.slice/shell.scope", "memory pids\n", "\n");
}

static void setup(void)
{
	strcpy(root + strlen(root) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	e = (struct err){ 0 };
	c = (struct cgroup){ 0 };
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void teardown(void)
{
	cgroup_fini(&c);
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void check_says(const char *part)
{
	ck_assert_msg(strstr(e.text, part) != NULL, "not in it: %s\nbut: %s", part, e.text);
}

START_TEST(group_is_made_beside_ours)
{
	const char *own = own_name("/sys/fs/cgroup/app.slice", "vm1-");
	char pid[16];

	put_usual_host();
	put_own_group("/sys/fs/cgroup/app.slice", "vm1-");
	ck_assert_int_eq(cgroup_check(root, 512 * MIB, &e), 0);
	ck_assert_int_eq(cgroup_init(&c, root, "vm1", 512 * MIB, &e), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ck_assert_str_eq(c.dir + strlen(root), own);
	ck_assert_str_eq(c.parent + strlen(root), "/sys/fs/cgroup/app.slice/shell.scope");
	ck_assert_str_eq(file_text(own, "memory.max"), "536870912");
	ck_assert_str_eq(file_text(own, "cgroup.procs"), pid);
	ck_assert_str_eq(file_text("/sys/fs/cgroup/app.slice", "cgroup.subtree_control"), "memory pids\n");
	ck_assert_str_eq(file_text(c.parent + strlen(root), "cgroup.procs"), "");
	cgroup_fini(&c);
	ck_assert_str_eq(file_text("/sys/fs/cgroup/app.slice/shell.scope", "cgroup.procs"), pid);
	ck_assert_str_eq(file_text("/sys/fs/cgroup/app.slice", "cgroup.procs"), "");
	ck_assert_ptr_null(c.dir);
}
END_TEST

START_TEST(group_that_is_gone_is_replaced_by_the_one_above)
{
	char pid[16], path[PATH_MAX];

	put_usual_host();
	put_own_group("/sys/fs/cgroup/app.slice", "");
	ck_assert_int_eq(cgroup_init(&c, root, NULL, MIB, &e), 0);
	ck_assert_int_eq(unlink(in_root(path, "/sys/fs/cgroup/app.slice/shell.scope/cgroup.procs")), 0);
	cgroup_fini(&c);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ck_assert_str_eq(file_text("/sys/fs/cgroup/app.slice", "cgroup.procs"), pid);
}
END_TEST

START_TEST(root_group_gets_the_memory_controller)
{
	put_file("/proc/self", "cgroup", "9:name=systemd:/\n0::/\n");
	put_file("/proc/self", "mountinfo", V2_MOUNT);
	put_group("/sys/fs/cgroup", "cpu memory\n", "cpu");
	put_own_group("/sys/fs/cgroup", "");
	ck_assert_int_eq(cgroup_check(root, MIB, &e), 0);
	ck_assert_str_eq(file_text("/sys/fs/cgroup", "cgroup.subtree_control"),
			 "cpu"); /* a check changes nothing */
	ck_assert_int_eq(cgroup_init(&c, root, "", MIB, &e), 0);
	ck_assert_str_eq(file_text("/sys/fs/cgroup", "cgroup.subtree_control"), "+memory");
	ck_assert_str_eq(c.parent + strlen(root), "/sys/fs/cgroup");
}
END_TEST

START_TEST(group_just_below_the_root_has_the_root_for_base)
{
	put_file("/proc/self", "cgroup", "0::/mine\n");
	put_file("/proc/self", "mountinfo", V2_MOUNT);
	put_group("/sys/fs/cgroup", "memory\n", "\n");
	put_group("/sys/fs/cgroup/mine", "", "");
	put_own_group("/sys/fs/cgroup", "");
	ck_assert_int_eq(cgroup_init(&c, root, "", MIB, &e), 0);
	ck_assert_str_eq(c.parent + strlen(root), "/sys/fs/cgroup/mine");
}
END_TEST

START_TEST(hybrid_mount_and_mount_of_a_part_are_understood)
{
	put_file("/proc/self", "cgroup", "4:memory:/x\n0::/container/a/b\n");
	put_file("/proc/self", "mountinfo",
		 "nonsense\n35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n"
		 "40 31 0:38 /other /elsewhere rw - cgroup2 cgroup2 rw\n"
		 "41 31 0:38 /container /my\\040cg/unified rw - cgroup2 cgroup2 rw\n");
	put_group("/my cg/unified/a", "memory", "memory");
	put_group("/my cg/unified/a/b", "memory", "");
	put_own_group("/my cg/unified/a", "");
	ck_assert_int_eq(cgroup_init(&c, root, "", MIB, &e), 0);
	ck_assert_str_eq(c.parent + strlen(root), "/my cg/unified/a/b");
}
END_TEST

START_TEST(guest_name_is_made_safe_and_short)
{
	char *long_name = malloc(1000), expected[80];

	put_usual_host();
	put_own_group("/sys/fs/cgroup/app.slice", ".._a_b_-");
	ck_assert_int_eq(cgroup_init(&c, root, "../a b\n", MIB, &e), 0);
	cgroup_fini(&c);
	memset(long_name, 'n', 999);
	long_name[999] = '\0';
	memcpy(expected, long_name, 64);
	strcpy(expected + 64, "-");
	put_own_group("/sys/fs/cgroup/app.slice", expected);
	ck_assert_int_eq(cgroup_init(&c, root, long_name, MIB, &e), 0);
	free(long_name);
}
END_TEST

START_TEST(empty_groups_of_dead_processes_are_removed)
{
	char alive[128], dead[128], full[128];

	snprintf(alive, sizeof(alive), "/sys/fs/cgroup/app.slice/trellis-vm-%d", (int)getppid());
	snprintf(dead, sizeof(dead), "/sys/fs/cgroup/app.slice/trellis-a-b-%d", NO_SUCH_PID);
	snprintf(full, sizeof(full), "/sys/fs/cgroup/app.slice/trellis-%d", NO_SUCH_PID);
	put_usual_host();
	put_own_group("/sys/fs/cgroup/app.slice", "");
	put_dir(alive);
	put_dir(dead);
	put_file(full, "somebody", "is in it");
	put_dir("/sys/fs/cgroup/app.slice/trellis-");
	put_dir("/sys/fs/cgroup/app.slice/trellis-vm");
	put_dir("/sys/fs/cgroup/app.slice/trellis-99999999999999999999");
	put_dir("/sys/fs/cgroup/app.slice/trellis--1x");
	put_dir("/sys/fs/cgroup/app.slice/other-2000000000");
	ck_assert_int_eq(cgroup_check(root, MIB, &e), 0);
	ck_assert(is_there(dead));
	ck_assert_int_eq(cgroup_init(&c, root, "", MIB, &e), 0);
	ck_assert(!is_there(dead));
	ck_assert(is_there(alive));
	ck_assert(is_there(full));
	ck_assert(is_there("/sys/fs/cgroup/app.slice/trellis-"));
	ck_assert(is_there("/sys/fs/cgroup/app.slice/trellis-vm"));
	ck_assert(is_there("/sys/fs/cgroup/app.slice/trellis-99999999999999999999"));
	ck_assert(is_there("/sys/fs/cgroup/app.slice/trellis--1x"));
	ck_assert(is_there("/sys/fs/cgroup/app.slice/other-2000000000"));
}
END_TEST

START_TEST(group_of_our_name_with_somebody_in_it_is_left_alone)
{
	put_usual_host();
	put_own_group("/sys/fs/cgroup/app.slice", "");
	put_file(own_name("/sys/fs/cgroup/app.slice", ""), "cgroup.events", "populated 1\n");
	ck_assert_int_eq(cgroup_init(&c, root, "", MIB, &e), -EEXIST);
	check_says("cannot make the control group ");
	ck_assert_str_eq(file_text(own_name("/sys/fs/cgroup/app.slice", ""), "memory.max"), "max\n");
	ck_assert_ptr_null(c.dir);
}
END_TEST

START_TEST(failed_init_leaves_nothing)
{
	put_usual_host(); /* the new group stays empty, so there is no memory.max */
	ck_assert_int_eq(cgroup_init(&c, root, "", 3 * GIB + 1, &e), -ENOENT);
	check_says("--memory hard-limit=3221225473 bytes: cannot set ");
	check_says("/memory.max (No such file or directory); ");
	ck_assert(!is_there(own_name("/sys/fs/cgroup/app.slice", "")));
	ck_assert_ptr_null(c.dir);
	ck_assert_ptr_null(c.parent);
}
END_TEST

START_TEST(no_version_2_says_what_to_mount)
{
	ck_assert_int_eq(cgroup_check(root, MIB, &e), -EOPNOTSUPP);
	ck_assert_str_eq(
		e.text,
		"--memory hard-limit=1M: there are no control groups of version 2 here; mount version 2, "
		"as root: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	put_file("/proc/self", "mountinfo", V2_MOUNT);
	ck_assert_int_eq(cgroup_check(root, MIB, &e), -EOPNOTSUPP);
	ck_assert_int_eq(cgroup_init(&c, root, "", MIB, &e), -EOPNOTSUPP);
}
END_TEST

START_TEST(memory_of_version_1_says_its_commands)
{
	put_file("/proc/self", "cgroup", "4:memory:/x\n0::/\n");
	put_file("/proc/self", "mountinfo",
		 "34 31 0:31 / /cg/cpu rw - cgroup cgroup rw,cpu\n"
		 "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n" V2_MOUNT);
	put_group("/sys/fs/cgroup", "hugetlb\n", "\n");
	ck_assert_int_eq(cgroup_check(root, 2 * GIB, &e), -EOPNOTSUPP);
	check_says("--memory hard-limit=2G: the memory controller belongs to control groups of version 1 "
		   "here; leave "
		   "hard-limit= out, and as root in the shell that starts it: mkdir ");
	check_says("/cg/memory/trellis; echo 2147483648 >");
	check_says("/cg/memory/trellis/memory.limit_in_bytes; echo $$ >");
}
END_TEST

START_TEST(systemd_is_asked_where_it_runs)
{
	put_usual_host();
	put_dir("/run/systemd/system");
	put_group("/sys/fs/cgroup/app.slice", "pids\n", "pids\n");
	ck_assert_int_eq(cgroup_check(root, 512 * MIB, &e), -EOPNOTSUPP);
	check_says(": the memory controller is off for the control groups in ");
	check_says("/sys/fs/cgroup/app.slice; run it without hard-limit= by: systemd-run --scope -p "
		   "MemoryMax=536870912 -- "
		   "trellis run ...");
}
END_TEST

START_TEST(controller_that_is_off_below_the_root_is_not_ours_to_switch_on)
{
	put_usual_host();
	put_group("/sys/fs/cgroup/app.slice", "memory pids\n", "pids memoryx\n");
	ck_assert_int_eq(cgroup_init(&c, root, "", MIB, &e), -EOPNOTSUPP);
	check_says("the memory controller is off for the control groups in ");
	check_says("; leave hard-limit= out, and as root in the shell that starts it: echo +memory >");
	check_says("/sys/fs/cgroup/trellis; echo 1048576 >");
	ck_assert_str_eq(file_text("/sys/fs/cgroup/app.slice", "cgroup.subtree_control"), "pids memoryx\n");
}
END_TEST

START_TEST(kernel_without_memory_controller_is_told)
{
	put_file("/proc/self", "cgroup", "0::/\n");
	put_file("/proc/self", "mountinfo", V2_MOUNT);
	put_group("/sys/fs/cgroup", "cpu pids\n", "\n");
	ck_assert_int_eq(cgroup_check(root, MIB, &e), -EOPNOTSUPP);
	check_says("; boot Linux without cgroup_disable=memory");
}
END_TEST

START_TEST(group_outside_of_the_namespace_is_refused)
{
	put_usual_host();
	put_file("/proc/self", "cgroup", "0::/../outside\n");
	ck_assert_int_eq(cgroup_check(root, MIB, &e), -EOPNOTSUPP);
	check_says("our control group /../outside is not below ");
}
END_TEST

/* As nobody, in a child: root may write everywhere. Returns the errno that cgroup_check() gave. */
static int check_as_nobody(const char *part)
{
	int status;
	pid_t pid;

	ck_assert_int_eq(chmod(root, 0755), 0);
	pid = fork();
	if (pid == 0) {
		int rc;

		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(255);
		rc = cgroup_check(root, MIB, &e);
		_exit(strstr(e.text, part) ? -rc : 254);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void forbid(const char *name)
{
	char path[PATH_MAX];

	ck_assert_int_eq(chmod(in_root(path, "%s", name), 0555), 0);
}

static void allow(const char *name)
{
	char path[PATH_MAX];

	ck_assert_int_eq(chmod(in_root(path, "%s", name), 0777), 0);
}

START_TEST(group_of_somebody_else_is_refused)
{
	put_usual_host();
	forbid("/sys/fs/cgroup/app.slice");
	allow("/sys/fs/cgroup/app.slice/cgroup.procs");
	ck_assert_int_eq(check_as_nobody("/sys/fs/cgroup/app.slice (Permission denied); "), EACCES);
	allow("/sys/fs/cgroup/app.slice");
	ck_assert_int_eq(check_as_nobody(""), 0);
	forbid("/sys/fs/cgroup/app.slice/cgroup.procs");
	ck_assert_int_eq(check_as_nobody("we may not make a control group in "), EACCES);
}
END_TEST

START_TEST(root_group_of_somebody_else_stays_as_it_is)
{
	put_file("/proc/self", "cgroup", "0::/\n");
	put_file("/proc/self", "mountinfo", V2_MOUNT);
	put_group("/sys/fs/cgroup", "memory\n", "\n");
	forbid("/sys/fs/cgroup/cgroup.subtree_control");
	ck_assert_int_eq(check_as_nobody("we may not switch the memory controller on in "), EACCES);
}
END_TEST

START_TEST(fini_of_nothing_does_nothing)
{
	cgroup_fini(&c);
	cgroup_fini(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cgroup");
	TCase *tc = tcase_create("cgroup");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, group_is_made_beside_ours);
	tcase_add_test(tc, group_that_is_gone_is_replaced_by_the_one_above);
	tcase_add_test(tc, root_group_gets_the_memory_controller);
	tcase_add_test(tc, group_just_below_the_root_has_the_root_for_base);
	tcase_add_test(tc, hybrid_mount_and_mount_of_a_part_are_understood);
	tcase_add_test(tc, guest_name_is_made_safe_and_short);
	tcase_add_test(tc, empty_groups_of_dead_processes_are_removed);
	tcase_add_test(tc, group_of_our_name_with_somebody_in_it_is_left_alone);
	tcase_add_test(tc, failed_init_leaves_nothing);
	tcase_add_test(tc, no_version_2_says_what_to_mount);
	tcase_add_test(tc, memory_of_version_1_says_its_commands);
	tcase_add_test(tc, systemd_is_asked_where_it_runs);
	tcase_add_test(tc, controller_that_is_off_below_the_root_is_not_ours_to_switch_on);
	tcase_add_test(tc, kernel_without_memory_controller_is_told);
	tcase_add_test(tc, group_outside_of_the_namespace_is_refused);
	tcase_add_test(tc, group_of_somebody_else_is_refused);
	tcase_add_test(tc, root_group_of_somebody_else_stays_as_it_is);
	tcase_add_test(tc, fini_of_nothing_does_nothing);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
