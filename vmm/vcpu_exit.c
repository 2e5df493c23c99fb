/*
 * Why a vCPU left the guest, and what is done about it. Each exit reason of KVM is in one of the two
 * switches below: served, or explained and final (Documentation/virt/kvm/api.rst, 5).
 */
#include <stdio.h>

#include "vmm/base/log.h"
#include "vmm/irq.h"
#include "vmm/vcpu.h"

static void vcpu_stop(struct vcpu *v, enum stop_reason why)
{
	v->all->cfg.owner.stop(v->all->cfg.owner.ctx, why, (int)v->index);
}

/* Port accesses; the string instructions bring several at once. */
static void serve_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus *pio = v->all->cfg.pio;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		uint64_t val = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&val, data, size);
			bus_write(pio, run->io.port, size, le64toh(val));
		} else {
			val = htole64(bus_read(pio, run->io.port, size));
			memcpy(data, &val, size);
		}
	}
}

static void serve_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus *mmio = v->all->cfg.mmio;
	unsigned int size = MIN(run->mmio.len, (uint32_t)sizeof(run->mmio.data));
	uint64_t val = 0;

	if (run->mmio.is_write) {
		memcpy(&val, run->mmio.data, size);
		bus_write(mmio, run->mmio.phys_addr, size, le64toh(val));
	} else {
		val = htole64(bus_read(mmio, run->mmio.phys_addr, size));
		memcpy(run->mmio.data, &val, size);
	}
}

static void serve_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vcpu_stop(v, STOP_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vcpu_stop(v, STOP_RESET);
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		vcpu_stop(v, STOP_PANIC);
		break;
	default:
		log_warn("vcpu%u: KVM reports system event %u, which trellis does not know; going on", v->index,
			 v->run->system_event.type);
	}
}

static const char *internal_error_text(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "KVM had to interpret an instruction and does not know it";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "two exceptions arrived at the same time";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "KVM could not deliver an event: the guest's stack or descriptor tables may lie outside RAM";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "the processor left the guest for a reason that this kernel's KVM does not know";
	default:
		return "KVM gives no reason";
	}
}

static void fail_internal_error(struct vcpu *v)
{
	const struct kvm_run *run = v->run;
	uint32_t n = MIN(run->internal.ndata, (uint32_t)ARRAY_SIZE(run->internal.data));
	char why[512];
	int len = snprintf(why, sizeof(why), "KVM internal error %u: %s", run->internal.suberror,
			   internal_error_text(run->internal.suberror));

	for (uint32_t i = 0; i < n && len > 0 && (size_t)len < sizeof(why); i++)
		len += snprintf(why + len, sizeof(why) - (size_t)len, "%s0x%llx", i ? " " : "; data ",
				(unsigned long long)run->internal.data[i]);
	vcpu_report(v, why);
	vcpu_stop(v, STOP_KVM_ERROR);
}

/* Exits after which this machine cannot go on. */
static void fail(struct vcpu *v)
{
	const struct kvm_run *run = v->run;
	char why[256];

	switch (run->exit_reason) {
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(why, sizeof(why),
			 "the processor refused to enter the guest (hardware reason 0x%llx): the registers form no "
			 "state that it can run",
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_UNKNOWN:
		snprintf(why, sizeof(why), "the processor left the guest for reason 0x%llx, unknown to KVM",
			 (unsigned long long)run->hw.hardware_exit_reason);
		break;
	case KVM_EXIT_EXCEPTION:
		snprintf(why, sizeof(why), "exception %u with error code 0x%x reached the host", run->ex.exception,
			 run->ex.error_code);
		break;
	case KVM_EXIT_HLT:
		snprintf(why, sizeof(why), "HLT reached us although KVM has the interrupt controller");
		break;
	default:
		snprintf(why, sizeof(why), "KVM exit reason %u, which trellis never asks for", run->exit_reason);
		break;
	}
	vcpu_report(v, why);
	vcpu_stop(v, STOP_KVM_ERROR);
}

void vcpu_serve_exit(struct vcpu *v)
{
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		serve_io(v);
		break;
	case KVM_EXIT_MMIO:
		serve_mmio(v);
		break;
	case KVM_EXIT_INTR:            /* a signal: the caller looks at the wish */
	case KVM_EXIT_IRQ_WINDOW_OPEN: /* the PICs' interrupt can be taken: see vcpu_offer_extint() */
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_TPR_ACCESS:
	case KVM_EXIT_NMI:
	case KVM_EXIT_DEBUG:
	case KVM_EXIT_X86_BUS_LOCK:
		break;
	case KVM_EXIT_IOAPIC_EOI:
		irqs_eoi(v->all->cfg.irqs, v->run->eoi.vector);
		break;
	case KVM_EXIT_HYPERCALL:
		v->run->hypercall.ret = (uint64_t)-1000; /* -KVM_ENOSYS */
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		serve_system_event(v);
		break;
	case KVM_EXIT_SHUTDOWN:
		vcpu_stop(v, STOP_TRIPLE_FAULT);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		fail_internal_error(v);
		break;
	default:
		fail(v);
		break;
	}
}
