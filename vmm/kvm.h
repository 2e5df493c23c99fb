/*
 * /dev/kvm and the virtual machine behind it: what must be there, and what is nice to have.
 */
#ifndef TRELLIS_KVM_H
#define TRELLIS_KVM_H

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "vmm/base/base.h"
#include "vmm/base/err.h"

/*
 * ioctl(2) with a pointer or with a plain number. Request numbers have 32 bits, which C libraries take as
 * int or as long; the cast serves both. Returns what ioctl() does; errno is set on failure.
 */
static inline int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, (int)request, arg);
}

static inline int kvm_ioctl_value(int fd, unsigned long request, unsigned long value)
{
	return ioctl(fd, (int)request, value);
}

/* What trellis uses of KVM_CHECK_EXTENSION (Documentation/virt/kvm/api.rst). */
struct kvm_capability {
	int cap;
	const char *name;
	bool required;       /* kvm_open() refuses a KVM without it */
	const char *without; /* what is lost without it */
};

/* Ends with an entry whose name is NULL. */
extern const struct kvm_capability kvm_capabilities[];

struct kvm {
	int fd;                    /* owned: /dev/kvm */
	int vm_fd;                 /* owned */
	size_t run_bytes;          /* of the structure that vCPU and kernel share */
	unsigned int max_vcpus;
	unsigned int max_vcpu_id;  /* largest APIC id + 1 */
	bool x2apic_api;           /* 32-bit APIC ids in messages and saved state */
	bool split_irqchip;        /* local APICs without the other interrupt controllers */
	bool tsc_deadline;
};

/*
 * Open /dev/kvm and check every capability that trellis needs.
 * Returns 0, or a negative errno with one sentence that says what is missing and what mends it.
 * On failure nothing is left open.
 */
MUST_CHECK int kvm_open(struct kvm *kvm, struct err *e);

/* Make the virtual machine: TSS and identity page, 32-bit APIC ids. Call once, after kvm_open(). */
MUST_CHECK int kvm_create_vm(struct kvm *kvm, struct err *e);

/* Safe on a struct kvm whose fds are -1. */
void kvm_close(struct kvm *kvm);

#endif
