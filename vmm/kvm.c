/*
 * Opening KVM. Interrupt controllers are vmm/irq.c's, memory is vmm/memory.c's, vCPUs are vmm/vcpu.c's.
 */
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "vmm/base/map.h"

/* Linux 6.8; younger than the kernel headers of Debian 12. */
#ifndef KVM_CAP_MEMORY_FAULT_INFO
#define KVM_CAP_MEMORY_FAULT_INFO 232
#endif

#define NEEDED(word, what)   { .cap = KVM_CAP_##word, .name = "KVM_CAP_" #word, .required = true, .without = what }
#define OPTIONAL(word, what) { .cap = KVM_CAP_##word, .name = "KVM_CAP_" #word, .without = what }

const struct kvm_capability kvm_capabilities[] = {
	NEEDED(USER_MEMORY, "guest memory cannot be given to the guest"),
	NEEDED(IRQCHIP, "there are no interrupt controllers"),
	NEEDED(PIT2, "there is no timer chip"),
	NEEDED(SET_TSS_ADDR, "real mode cannot run"),
	NEEDED(SET_IDENTITY_MAP_ADDR, "real mode cannot run"),
	NEEDED(EXT_CPUID, "the guest's processor cannot be described"),
	NEEDED(IRQ_ROUTING, "interrupts cannot be routed"),
	NEEDED(IRQFD, "devices cannot interrupt"),
	NEEDED(IOEVENTFD, "devices cannot be notified"),
	NEEDED(SIGNAL_MSI, "message-signalled interrupts cannot be sent"),
	NEEDED(MP_STATE, "processors cannot be reset"),
	NEEDED(VCPU_EVENTS, "processors cannot be reset"),
	NEEDED(IMMEDIATE_EXIT, "a running processor cannot be stopped"),
	OPTIONAL(SPLIT_IRQCHIP, "a guest has at most 255 processors"),
	OPTIONAL(X2APIC_API, "a guest has at most 255 processors"),
	OPTIONAL(SET_BOOT_CPU_ID, "the first processor's APIC id must be 0"),
	OPTIONAL(TSC_DEADLINE_TIMER, "guests set their timers the slower way"),
	OPTIONAL(XSAVE, "a reset leaves AVX registers as they were"),
	OPTIONAL(XSAVE2, "a reset leaves AMX registers as they were"),
	OPTIONAL(SYNC_MMU, "memory that a balloon gives back stays in use"),
	OPTIONAL(BINARY_STATS_FD, "the page sizes in use cannot be counted"),
	OPTIONAL(MEMORY_FAULT_INFO, "lost memory is reported without its address"),
	{ .name = NULL },
};

static int kvm_cap(const struct kvm *kvm, int cap)
{
	return kvm_ioctl_value(kvm->fd, KVM_CHECK_EXTENSION, cap);
}

static int kvm_open_device(struct kvm *kvm, struct err *e)
{
	kvm->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm->fd >= 0)
		return 0;
	switch (errno) {
	case ENOENT:
		return err_set(e, -ENOENT,
			       "there is no /dev/kvm: switch virtualization on in the firmware set-up and load the "
			       "module (modprobe kvm_intel or kvm_amd)");
	case EACCES:
	case EPERM:
		return err_set(e, -EACCES,
			       "no permission to open /dev/kvm: add the user to the group kvm (usermod -aG kvm USER) "
			       "and log in again");
	case ENODEV:
	case ENXIO:
		return err_set(e, -ENODEV,
			       "/dev/kvm is there but nothing is behind it: load the module (modprobe kvm_intel or "
			       "kvm_amd)");
	default:
		return err_sys(e, -errno, "cannot open /dev/kvm");
	}
}

static int kvm_check(struct kvm *kvm, struct err *e)
{
	int version = kvm_ioctl(kvm->fd, KVM_GET_API_VERSION, NULL);
	int n;

	if (version < 0)
		return err_sys(e, -errno, "/dev/kvm does not answer as KVM");
	if (version != KVM_API_VERSION)
		return err_set(e, -EPROTO, "/dev/kvm speaks API version %d; trellis needs %d", version, KVM_API_VERSION);
	for (const struct kvm_capability *c = kvm_capabilities; c->name; c++)
		if (c->required && kvm_cap(kvm, c->cap) <= 0)
			return err_set(e, -ENOTSUP, "this KVM lacks %s, so %s: trellis needs Linux 4.11 or newer", c->name,
				       c->without);

	n = kvm_ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (n < (int)sizeof(struct kvm_run))
		return err_sys(e, n < 0 ? -errno : -EPROTO, "KVM_GET_VCPU_MMAP_SIZE");
	kvm->run_bytes = (size_t)n;

	n = kvm_cap(kvm, KVM_CAP_MAX_VCPUS);
	kvm->max_vcpus = n > 0 ? (unsigned int)n : 4; /* Documentation/virt/kvm/api.rst, 4.7 */
	n = kvm_cap(kvm, KVM_CAP_MAX_VCPU_ID);
	kvm->max_vcpu_id = n > 0 ? (unsigned int)n : kvm->max_vcpus;
	n = kvm_cap(kvm, KVM_CAP_X2APIC_API);
	kvm->x2apic_api = n >= (int)(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	kvm->split_irqchip = kvm_cap(kvm, KVM_CAP_SPLIT_IRQCHIP) > 0;
	kvm->tsc_deadline = kvm_cap(kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	return 0;
}

int kvm_open(struct kvm *kvm, struct err *e)
{
	int rc;

	*kvm = (struct kvm){ .fd = -1, .vm_fd = -1 };
	if ((rc = kvm_open_device(kvm, e)) < 0 || (rc = kvm_check(kvm, e)) < 0)
		kvm_close(kvm);
	return rc;
}

int kvm_create_vm(struct kvm *kvm, struct err *e)
{
	uint64_t identity = MAP_IDENTITY_PAGE;
	struct kvm_enable_cap x2apic = {
		.cap = KVM_CAP_X2APIC_API,
		.args = { KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK },
	};

	do
		kvm->vm_fd = kvm_ioctl(kvm->fd, KVM_CREATE_VM, NULL);
	while (kvm->vm_fd < 0 && errno == EINTR);
	if (kvm->vm_fd < 0 && errno == EBUSY)
		return err_set(e, -EBUSY, "KVM_CREATE_VM: another hypervisor owns this processor's virtualization");
	if (kvm->vm_fd < 0)
		return err_sys(e, -errno, "KVM_CREATE_VM");
	if (kvm_ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return err_sys(e, -errno, "KVM_SET_IDENTITY_MAP_ADDR");
	if (kvm_ioctl_value(kvm->vm_fd, KVM_SET_TSS_ADDR, MAP_TSS_BASE) < 0)
		return err_sys(e, -errno, "KVM_SET_TSS_ADDR");
	if (kvm->x2apic_api && kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &x2apic) < 0)
		return err_sys(e, -errno, "KVM_CAP_X2APIC_API");
	return 0;
}

void kvm_close(struct kvm *kvm)
{
	if (kvm->vm_fd >= 0)
		close(kvm->vm_fd);
	if (kvm->fd >= 0)
		close(kvm->fd);
	kvm->vm_fd = kvm->fd = -1;
}
