/* What processors can be on this host: KVM is asked, and where it cannot be, the CPUID instruction. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cpu/model.h"
#include "vmm/kvm.h"

void model_host_read(struct model_host *host, struct cpuid_table *table, struct notes *notes)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct err e = { 0 };

	*host = (struct model_host){ .table = table, .tsc_deadline = true };
	if (fd < 0)
		err_sys(&e, -errno, "/dev/kvm");
	host->is_kvm = fd >= 0 && cpuid_read_kvm(fd, table, &e) == 0;
	if (host->is_kvm) {
		host->tsc_deadline = kvm_ioctl_value(fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
		host->ring0_interpreted = cpuid_ring0_interpreted();
	} else {
		cpuid_read_instruction(table);
		notes_add(notes, "KVM cannot be asked what it supports here (%s): the CPUID instruction stands in for it", e.text);
	}
	if (fd >= 0)
		close(fd);
}
