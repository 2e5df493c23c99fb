/*
 * What is there or not, what is lost without it, and what mends it. Looking changes nothing: modules that the kernel
 * would load for an open(2) are not loaded, and no page is reserved.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "devices/block/uring.h"
#include "devices/net/netdev.h"
#include "vmm/base/sysfile.h"
#include "vmm/host/cgroup.h"
#include "vmm/host/host.h"

/* Looks, and fills in here and detail, and mend where it depends on what was found. */
typedef void find_fn(const struct host_report *r, const char *root, struct host_facility *f);

PRINTF(3, 4) static void found(struct host_facility *f, enum host_answer here, const char *fmt, ...)
{
	va_list ap;

	f->here = here;
	va_start(ap, fmt);
	vsnprintf(f->detail.text, sizeof(f->detail.text), fmt, ap);
	va_end(ap);
}

/* ---- device files ---- */

/*
 * May we open a device file for reading and writing? misc: its name below /sys/class/misc, where it is once its module
 * is loaded; before that only the permissions are looked at, since opening the file would load the module.
 */
static int try_device(const char *root, const char *file, const char *misc, bool *loaded)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/sys/class/misc/%s", root, misc) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	*loaded = access(path, F_OK) == 0;
	if (snprintf(path, sizeof(path), "%s%s", root, file) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (!*loaded)
		return faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0 ? -errno : 0;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static void find_device(const char *root, struct host_facility *f, const char *misc, const char *load,
			const char *permit)
{
	bool loaded = false;
	int rc = try_device(root, f->name, misc, &loaded);

	if (rc == 0) {
		found(f, HOST_YES, "%s", loaded ? "" : "its module is loaded when it is first used");
	} else if (rc == -EACCES || rc == -EPERM) {
		found(f, HOST_NO, "this user may not open it");
		f->mend = permit;
	} else {
		found(f, HOST_NO, "%s", rc == -ENOENT ? "there is no such file" : strerror(-rc));
		f->mend = load;
	}
}

static void find_tun(const struct host_report *r, const char *root, struct host_facility *f)
{
	(void)r;
	find_device(root, f, "tun", "modprobe tun",
		    "chmod 0666 /dev/net/tun (taps have owners of their own)");
}

static void find_vhost(const struct host_report *r, const char *root, struct host_facility *f)
{
	(void)r;
	find_device(root, f, "vhost-net", "modprobe vhost_net",
		    "adduser USER kvm (the group that owns /dev/vhost-net)");
}

/* ---- programs ---- */

static void find_passt(const struct host_report *r, const char *root, struct host_facility *f)
{
	char file[PATH_MAX];
	int rc = netdev_passt_find(root, file, sizeof(file));

	(void)r;
	if (rc == 0)
		found(f, HOST_YES, "%s", file + (*file == '/' ? strlen(root) : 0));
	else
		found(f, HOST_NO, rc == -EACCES ? "this user may not run it" : "it is not in PATH");
}

/* ---- system calls ---- */

static void find_uring(const struct host_report *r, const char *root, struct host_facility *f)
{
	struct err e = { 0 };
	uint64_t disabled = 0;

	(void)r;
	if (sysfile_u64(root, &disabled, "/proc/sys/kernel/io_uring_disabled") < 0)
		disabled = 0;
	if (uring_check(&e) == 0)
		found(f, HOST_YES, "%s",
		      disabled ? "kernel.io_uring_disabled lets only some users have it" : "");
	else
		found(f, HOST_NO, "%s", e.text);
	f->mend = disabled ? "sysctl -w kernel.io_uring_disabled=0" : NULL;
}

/*
 * KVM touches guest memory in the kernel, so a userfaultfd that serves faults of user space alone is of no use
 * (Documentation/admin-guide/mm/userfaultfd.rst, v6.1).
 */
static void find_userfaultfd(const struct host_report *r, const char *root, struct host_facility *f)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), rc = fd < 0 ? -errno : 0;
	bool loaded;

	(void)r;
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		found(f, HOST_YES, "%s", "");
	else if (rc == -ENOSYS)
		found(f, HOST_NO, "this kernel has no userfaultfd, or a seccomp filter hides it");
	else if (try_device(root, "/dev/userfaultfd", "userfaultfd", &loaded) == 0)
		found(f, HOST_YES, "by /dev/userfaultfd");
	else
		found(f, HOST_NO, "this user may not have one that serves faults in the kernel");
	if (rc && rc != -ENOSYS)
		f->mend = "sysctl -w vm.unprivileged_userfaultfd=1";
}

static void find_memfd(const struct host_report *r, const char *root, struct host_facility *f)
{
	/* Pages are reserved when it is mapped, not before. */
	int fd = (int)syscall(SYS_memfd_create, "trellis", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB),
	    rc = fd < 0 ? -errno : 0;

	(void)r;
	(void)root;
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		found(f, HOST_YES, "%s", "");
	else
		found(f, HOST_NO, "memfd_create(2) says: %s", strerror(-rc));
}

/* ---- memory ---- */

static void find_pool(const struct host_report *r, struct host_facility *f, enum host_page size,
		      const char *reserve, const char *enable)
{
	const struct host_pool *p = &r->memory.pool[size];
	uint64_t can_have = p->known ? host_pool_available(p) : 0;

	if (!p->known) {
		found(f, HOST_NO, "this kernel or processor has no pages of that size");
		f->mend = enable;
	} else if (!can_have) {
		found(f, HOST_NO, "%s", p->total ? "all of the pool is in use" : "the pool is empty");
		f->mend = reserve;
	} else {
		found(f, HOST_YES, "%llu pages can be had", (unsigned long long)can_have);
	}
}

static void find_2m(const struct host_report *r, const char *root, struct host_facility *f)
{
	(void)root;
	find_pool(r, f, HOST_PAGE_2M, "echo PAGES > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
		  "a kernel with CONFIG_HUGETLBFS");
}

static void find_1g(const struct host_report *r, const char *root, struct host_facility *f)
{
	(void)root;
	find_pool(r, f, HOST_PAGE_1G,
		  "hugepagesz=1G hugepages=PAGES on the kernel's command line; early after boot also: "
		  "echo PAGES > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
		  "a processor with pdpe1gb and a kernel with CONFIG_HUGETLBFS");
}

static void find_thp(const struct host_report *r, const char *root, struct host_facility *f)
{
	const char *thp = r->memory.thp;

	(void)root;
	if (!*thp)
		found(f, HOST_UNKNOWN, "this kernel does not tell");
	else
		found(f, strcmp(thp, "never") ? HOST_YES : HOST_NO, "%s", thp);
	if (f->here == HOST_NO)
		f->mend = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
}

static void find_ksm(const struct host_report *r, const char *root, struct host_facility *f)
{
	const struct host_memory *m = &r->memory;

	(void)root;
	if (!m->ksm_known)
		found(f, HOST_NO, "this kernel has no KSM");
	else
		found(f, m->ksm_run == 1 ? HOST_YES : HOST_NO, "%s", m->ksm_run == 1 ? "" : "it is stopped");
	f->mend = m->ksm_known && f->here == HOST_NO ? "echo 1 > /sys/kernel/mm/ksm/run" : NULL;
}

/* CAP_IPC_LOCK makes the limit void (mlock(2)). */
static void find_lock(const struct host_report *r, const char *root, struct host_facility *f)
{
	if (host_may_lock(root))
		found(f, HOST_YES, "this user is privileged");
	else if (!r->memlock.known)
		found(f, HOST_UNKNOWN, "the limit is not known");
	else if (r->memlock.soft == HOST_UNLIMITED)
		found(f, HOST_YES, "%s", "");
	else
		found(f, HOST_NO, "at most %llu KiB may be locked",
		      (unsigned long long)(r->memlock.soft / KIB));
	if (f->here == HOST_NO)
		f->mend = "prlimit --memlock=BYTES --pid $$ (as root, for this shell), or for a service "
			  "LimitMEMLOCK=BYTES";
}

static void find_cgroup(const struct host_report *r, const char *root, struct host_facility *f)
{
	struct err e = { 0 };

	(void)r;
	if (cgroup_check(root, GIB, &e) == 0)
		found(f, HOST_YES, "%s", "");
	else
		found(f, HOST_NO, "%s", e.text);
}

/* ---- KVM ---- */

static void find_nested(const struct host_report *r, const char *root, struct host_facility *f)
{
	const struct host_kvm *k = &r->kvm;
	const char *silent = k->usable == HOST_YES ? "this KVM does not tell" : "KVM cannot be asked";

	(void)root;
	found(f, k->nested, "%s", k->nested == HOST_UNKNOWN ? silent : "");
	if (k->nested == HOST_NO && k->vendor && !strcmp(k->vendor, "intel"))
		f->mend = "modprobe -r kvm_intel && modprobe kvm_intel nested=1";
	else if (k->nested == HOST_NO && k->vendor && !strcmp(k->vendor, "amd"))
		f->mend = "modprobe -r kvm_amd && modprobe kvm_amd nested=1";
}

/* ---- all of them ---- */

static const struct {
	struct host_facility fixed;
	find_fn *find;
} facilities[] = {
	{ { .key = "tap",
	    .name = "/dev/net/tun",
	    .without = "--net tap and --net bridge=; --net user is left" },
	  find_tun },
	{ { .key = "vhost_net",
	    .name = "/dev/vhost-net",
	    .without = "--net vhost=on; every packet passes through trellis" },
	  find_vhost },
	{ { .key = "passt",
	    .name = "passt",
	    .without = "--net user, the network that needs no privileges",
	    .mend = "apt install passt, or your distribution's package of that name" },
	  find_passt },
	{ { .key = "io_uring",
	    .name = "io_uring",
	    .without = "disks are served by threads, at a higher cost" },
	  find_uring },
	{ { .key = "thp",
	    .name = "transparent huge pages",
	    .without = "guests run on pages of 4K, unless hugepages= is given" },
	  find_thp },
	{ { .key = "hugepages_2m",
	    .name = "huge pages of 2M",
	    .optional = true,
	    .without = "--memory hugepages=2M" },
	  find_2m },
	{ { .key = "hugepages_1g",
	    .name = "huge pages of 1G",
	    .optional = true,
	    .without = "--memory hugepages=1G" },
	  find_1g },
	{ { .key = "memfd_hugetlb",
	    .name = "memfd on huge pages",
	    .optional = true,
	    .without = "--memory hugepages= without path=",
	    .mend = "a kernel with CONFIG_HUGETLBFS and CONFIG_MEMFD_CREATE" },
	  find_memfd },
	{ { .key = "ksm",
	    .name = "KSM",
	    .optional = true,
	    .without = "--memory merge=on; equal pages are not shared" },
	  find_ksm },
	{ { .key = "lock",
	    .name = "locked memory",
	    .optional = true,
	    .without = "--memory lock=on for more than the limit" },
	  find_lock },
	{ { .key = "hard_limit",
	    .name = "cgroup limit",
	    .optional = true,
	    .without = "--memory hard-limit=" },
	  find_cgroup },
	{ { .key = "userfaultfd",
	    .name = "userfaultfd",
	    .optional = true,
	    .without = "post-copy migration, which trellis does not have yet" },
	  find_userfaultfd },
	{ { .key = "nested",
	    .name = "nested virtualization",
	    .optional = true,
	    .without = "--cpu nested=on; guests cannot run guests" },
	  find_nested },
};

_Static_assert(ARRAY_SIZE(facilities) <= HOST_MAX_FACILITIES, "room for all");

void host_read_facilities(struct host_report *r, const char *root)
{
	for (size_t i = 0; i < ARRAY_SIZE(facilities); i++) {
		struct host_facility *f = &r->facility[r->nr_facilities++];

		*f = facilities[i].fixed;
		facilities[i].find(r, root, f);
		if (f->here != HOST_NO)
			f->mend = NULL;
	}
}
