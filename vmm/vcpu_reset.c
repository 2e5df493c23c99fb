/*
 * Processors after power-on. What that state is depends on KVM, the host and the CPUID table, so it is not
 * written down here: each reset asks a virtual machine that has never run. A guest which never resets pays
 * nothing for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/base/map.h"
#include "vmm/irq.h"
#include "vmm/vcpu.h"

#define MSR_IA32_MISC_ENABLE  0x1a0
#define MSR_MTRR_DEF_TYPE     0x2ff
#define MSR_K7_HWCR           0xc0010015
#define MSR_IA32_APICBASE     0x1b
#define MSR_IA32_FEAT_CTL     0x3a
#define APIC_BASE_BSP         (1ull << 8)
#define APIC_BASE_X2APIC      (1ull << 10)
#define APIC_BASE_ENABLE      (1ull << 11)
#define APIC_REG_ID           0x20

/* As struct kvm_msrs, with room for what we set at once. */
struct msr_block {
	uint32_t nmsrs, pad;
	struct kvm_msr_entry entry[4];
};

_Static_assert(offsetof(struct msr_block, entry) == sizeof(struct kvm_msrs), "layout of kvm_msrs");

/* A VM and a vCPU that have never run, and the MSRs which KVM saves and restores. */
struct fresh {
	int vm_fd, fd;              /* owned */
	struct kvm_msr_list *list;  /* owned */
	struct kvm_msrs *msrs;      /* owned; the fresh vCPU's values */
	void *xsave;                /* owned */
	size_t xsave_bytes;
};

/* MSRs which KVM keeps and does not list: MTRRs and machine-check banks (Intel SDM volume 4, 2.1). */
static const struct {
	uint32_t first, last;
} unlisted_msrs[] = { { 0x200, 0x20f }, { 0x250, 0x250 }, { 0x258, 0x259 }, { 0x268, 0x26f }, { 0x2ff, 0x2ff },
		      { 0x400, 0x47f } };

enum { NR_UNLISTED_MSRS = 16 + 1 + 2 + 8 + 1 + 128 };

static uint32_t add_unlisted_msrs(uint32_t *indices, uint32_t n)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(unlisted_msrs); i++)
		for (uint32_t msr = unlisted_msrs[i].first; msr <= unlisted_msrs[i].last; msr++)
			indices[n++] = msr;
	return n;
}

static int fresh_read_msrs(struct fresh *f, int kvm_fd)
{
	struct kvm_msr_list probe = { .nmsrs = 0 };
	uint32_t n;

	if (kvm_ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &probe) < 0 && errno != E2BIG)
		return -errno;
	n = probe.nmsrs;
	f->list = calloc(1, sizeof(*f->list) + (n + NR_UNLISTED_MSRS) * sizeof(f->list->indices[0]));
	f->msrs = calloc(1, sizeof(*f->msrs) + (n + NR_UNLISTED_MSRS) * sizeof(f->msrs->entries[0]));
	if (!f->list || !f->msrs)
		return -ENOMEM;
	f->list->nmsrs = n;
	if (kvm_ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, f->list) < 0)
		return -errno;
	n = add_unlisted_msrs(f->list->indices, n);

	/* One by one: KVM stops at the first which this guest's CPUID does not have. */
	for (uint32_t i = 0; i < n; i++) {
		struct msr_block one = { .nmsrs = 1, .entry[0].index = f->list->indices[i] };

		if (kvm_ioctl(f->fd, KVM_GET_MSRS, &one) == 1)
			f->msrs->entries[f->msrs->nmsrs++] = one.entry[0];
	}
	return 0;
}

static void fresh_fini(struct fresh *f)
{
	free(f->list);
	free(f->msrs);
	free(f->xsave);
	if (f->fd >= 0)
		close(f->fd);
	if (f->vm_fd >= 0)
		close(f->vm_fd);
}

static int fresh_init(struct fresh *f, struct kvm *kvm, bool split, struct cpuid_table *table, struct err *e)
{
	int n = kvm_ioctl_value(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	int rc;

	*f = (struct fresh){ .vm_fd = -1, .fd = -1 };
	f->xsave_bytes = MAX((size_t)MAX(n, 0), sizeof(struct kvm_xsave));
	f->xsave = calloc(1, f->xsave_bytes); /* XSTATE_BV 0: every component is in its initial state */
	do
		f->vm_fd = kvm_ioctl(kvm->fd, KVM_CREATE_VM, NULL);
	while (f->vm_fd < 0 && errno == EINTR);
	if (!f->xsave || f->vm_fd < 0)
		return err_sys(e, f->xsave ? -errno : -ENOMEM, "cannot make a VM to learn the reset state from");
	rc = irqs_create_chips(f->vm_fd, split, e);
	if (rc < 0)
		return rc;
	f->fd = kvm_ioctl_value(f->vm_fd, KVM_CREATE_VCPU, 0);
	if (f->fd < 0 || kvm_ioctl(f->fd, KVM_SET_CPUID2, table) < 0)
		return err_sys(e, -errno, "cannot make a vCPU to learn the reset state from");
	rc = fresh_read_msrs(f, kvm->fd);
	return rc < 0 ? err_sys(e, rc, "cannot read the MSRs of a new vCPU") : 0;
}

/* Write back only what differs: some registers may be read but not written. */
static void reset_msrs(struct vcpu *v, const struct fresh *f)
{
	for (uint32_t i = 0; i < f->msrs->nmsrs; i++) {
		struct msr_block one = { .nmsrs = 1, .entry[0].index = f->msrs->entries[i].index };

		if (kvm_ioctl(v->fd, KVM_GET_MSRS, &one) != 1 || one.entry[0].data == f->msrs->entries[i].data)
			continue;
		one.entry[0].data = f->msrs->entries[i].data;
		if (kvm_ioctl(v->fd, KVM_SET_MSRS, &one) != 1)
			log_debug("vcpu%u: MSR 0x%x keeps its value over the reset", v->index, one.entry[0].index);
	}
}

static int reset_apic(struct vcpu *v, const struct fresh *f, const struct kvm_sregs *sregs)
{
	struct kvm_lapic_state lapic;
	bool x2apic = sregs->apic_base & (1ull << 10);
	uint32_t id = v->place->apic_id;

	if (kvm_ioctl(f->fd, KVM_GET_LAPIC, &lapic) < 0)
		return -errno;
	put_le32(lapic.regs + APIC_REG_ID, x2apic ? id : id << 24);
	return kvm_ioctl(v->fd, KVM_SET_LAPIC, &lapic) < 0 ? -errno : 0;
}

/* Copy one kind of state from the fresh vCPU; the request's number tells its size. */
static int copy_state(const struct vcpu *v, const struct fresh *f, unsigned long get, unsigned long set)
{
	uint64_t state[128];

	_Static_assert(sizeof(state) >= sizeof(struct kvm_fpu) && sizeof(state) >= sizeof(struct kvm_xcrs), "room");
	return kvm_ioctl(f->fd, get, state) < 0 || kvm_ioctl(v->fd, set, state) < 0 ? -errno : 0;
}

static int vcpu_reset(struct vcpu *v, const struct fresh *f)
{
	struct kvm_mp_state mp = { .mp_state = v->index ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs sregs;
	int rc;

	if (kvm_ioctl(f->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.apic_base &= ~APIC_BASE_BSP;
	if (v->index == 0)
		sregs.apic_base |= APIC_BASE_BSP;
	if (kvm_ioctl(v->fd, KVM_SET_SREGS, &sregs) < 0)
		return -errno;
	reset_msrs(v, f);
	if ((rc = copy_state(v, f, KVM_GET_REGS, KVM_SET_REGS)) < 0 ||
	    (rc = copy_state(v, f, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS)) < 0 ||
	    (rc = copy_state(v, f, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS)) < 0 ||
	    (rc = copy_state(v, f, KVM_GET_FPU, KVM_SET_FPU)) < 0 ||
	    (rc = reset_apic(v, f, &sregs)) < 0)
		return rc;
	/* Hosts without XSAVE have neither; KVM_SET_FPU was all there is. */
	(void)kvm_ioctl(v->fd, KVM_SET_XSAVE, f->xsave);
	(void)copy_state(v, f, KVM_GET_XCRS, KVM_SET_XCRS);
	v->run->ready_for_interrupt_injection = 0; /* of the exit before; the next one tells */
	return kvm_ioctl(v->fd, KVM_SET_MP_STATE, &mp) < 0 ? -errno : 0;
}

int vcpus_reset(struct vcpus *all, struct irqs *irqs, struct err *e)
{
	struct cpuid_table *table = processors_cpuid(all->cfg.procs, 0);
	struct fresh f;
	int rc;

	if ((rc = fresh_init(&f, all->cfg.kvm, irqs->split, table, e)) < 0 || (rc = irqs_reset(irqs, f.vm_fd, e)) < 0)
		goto out;
	for (unsigned int i = 0; i < all->nr; i++) {
		rc = vcpu_reset(&all->vcpu[i], &f);
		if (rc < 0) {
			err_sys(e, rc, "cannot reset vCPU %u", i);
			goto out;
		}
	}
	rc = vcpus_power_on(all, e);
out:
	fresh_fini(&f);
	return rc;
}

/* What the user wants in MSRs. */
static int set_overrides(struct vcpu *v, const struct cpu_options *o, struct err *e)
{
	for (unsigned int i = 0; i < o->nr_msrs; i++) {
		struct msr_block one = { .nmsrs = 1, .entry[0] = { .index = o->msr[i].index, .data = o->msr[i].value } };

		if (kvm_ioctl(v->fd, KVM_SET_MSRS, &one) != 1)
			return err_usage(e, "--msr 0x%x=0x%llx: KVM on this host does not let vCPU %u have that value", o->msr[i].index,
					 (unsigned long long)o->msr[i].value, v->index);
	}
	return 0;
}

int vcpus_power_on(struct vcpus *all, struct err *e)
{
	const struct processors *procs = all->cfg.procs;
	enum cpuid_style style = cpuid_style(procs->table);
	const struct kvm_cpuid_entry2 *leaf1 = cpuid_get(procs->table, 1, 0);
	bool x2apic = topology_wide_ids(all->cfg.topo), vmx = leaf1 && leaf1->ecx & 1u << 5;
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < all->nr; i++) {
		uint64_t apic_base = MAP_LAPIC_BASE | APIC_BASE_ENABLE | APIC_BASE_X2APIC | (i ? 0 : APIC_BASE_BSP);
		struct msr_block msrs = { .entry = {
			/* Memory is write-back: guests that find MTRRs disabled leave PAT alone too. */
			{ .index = MSR_MTRR_DEF_TYPE, .data = 1u << 11 | 6 },
			{ .index = MSR_IA32_MISC_ENABLE, .data = 1 }, /* fast strings */
		} };

		msrs.nmsrs = 2;
		if (x2apic)
			msrs.entry[msrs.nmsrs++] = (struct kvm_msr_entry){ .index = MSR_IA32_APICBASE, .data = apic_base };
		/* Firmware locks the switch for VMX, turned on outside SMX (Intel SDM volume 3C, 24.7). */
		if (vmx)
			msrs.entry[msrs.nmsrs++] = (struct kvm_msr_entry){ .index = MSR_IA32_FEAT_CTL, .data = 1u << 0 | 1u << 2 };
		/* The TSC counts with P0's frequency, which Linux asks for on AMD. */
		if (style == CPUID_AMD)
			msrs.entry[msrs.nmsrs++] = (struct kvm_msr_entry){ .index = MSR_K7_HWCR, .data = 1u << 24 };
		/* Older kernels refuse the last one, and guests live without any of them. */
		(void)kvm_ioctl(all->vcpu[i].fd, KVM_SET_MSRS, &msrs);
		rc = set_overrides(&all->vcpu[i], procs->opts, e);
	}
	return rc;
}
