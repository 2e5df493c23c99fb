/* Everything that the report says, in the order in which one thing wants another. */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "vmm/host/host.h"

static void read_system(struct host_report *r)
{
	struct utsname u;

	if (uname(&u) < 0)
		return;
	snprintf(r->release, sizeof(r->release), "%.*s", (int)sizeof(r->release) - 1, u.release);
	snprintf(r->machine, sizeof(r->machine), "%.*s", (int)sizeof(r->machine) - 1, u.machine);
}

static struct host_limit read_limit(int resource)
{
	struct rlimit l;

	if (getrlimit(resource, &l) < 0)
		return (struct host_limit){ .known = false };
	return (struct host_limit){
		.known = true,
		.soft = l.rlim_cur == RLIM_INFINITY ? HOST_UNLIMITED : l.rlim_cur,
		.hard = l.rlim_max == RLIM_INFINITY ? HOST_UNLIMITED : l.rlim_max,
	};
}

int host_collect(struct host_report *r, const char *root, struct err *e)
{
	int rc;

	*r = (struct host_report){ .nr_facilities = 0 };
	read_system(r);
	r->nofile = read_limit(RLIMIT_NOFILE);
	r->memlock = read_limit(RLIMIT_MEMLOCK);
	host_read_kvm(&r->kvm, root);
	if (r->kvm.usable == HOST_YES) {
		host_measure_ring0(&r->ring0);
		if (!r->ring0.made) { /* kvm_open() was content, but another hypervisor may own the processor */
			r->kvm.usable = HOST_NO;
			r->kvm.why = r->ring0.why;
		}
	} else {
		r->ring0.why = r->kvm.why;
	}
	if ((rc = host_read_cpu(&r->cpu, root)) < 0 || (rc = host_memory_read(&r->memory, root)) < 0 ||
	    (rc = host_read_iommu(&r->iommu, root)) < 0)
		return err_set(e, rc, "out of memory for a report on this host");
	if (r->kvm.nested == HOST_UNKNOWN && r->cpu.by_kvm) /* a module without the parameter */
		r->kvm.nested = r->cpu.can_nest ? HOST_YES : HOST_NO;
	host_read_facilities(r, root);
	return 0;
}

void host_fini(struct host_report *r)
{
	free(r->cpu.features);
	host_memory_fini(&r->memory);
	host_iommu_fini(&r->iommu);
	*r = (struct host_report){ .nr_facilities = 0 };
}

unsigned int host_count_problems(const struct host_report *r)
{
	unsigned int n = (r->kvm.usable == HOST_NO) + (r->ring0.interpreted == HOST_YES) +
			 (r->kvm.usable == HOST_YES && r->ring0.interpreted == HOST_UNKNOWN);

	for (unsigned int i = 0; i < r->nr_facilities; i++)
		n += r->facility[i].here == HOST_NO && !r->facility[i].optional;
	return n;
}
