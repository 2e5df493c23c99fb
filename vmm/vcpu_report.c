/* What a crashed vCPU looked like. Text on stderr for people; nothing here changes the vCPU. */
#include <stdio.h>

#include "vmm/base/log.h"
#include "vmm/fault.h"
#include "vmm/vcpu.h"

enum { CODE_BEFORE = 16, CODE_AFTER = 16 };

static void report_regs(const struct kvm_regs *r)
{
	const struct {
		const char *name[4];
		uint64_t val[4];
	} rows[] = {
		{ { "rax", "rbx", "rcx", "rdx" }, { r->rax, r->rbx, r->rcx, r->rdx } },
		{ { "rsi", "rdi", "rsp", "rbp" }, { r->rsi, r->rdi, r->rsp, r->rbp } },
		{ { "r8 ", "r9 ", "r10", "r11" }, { r->r8, r->r9, r->r10, r->r11 } },
		{ { "r12", "r13", "r14", "r15" }, { r->r12, r->r13, r->r14, r->r15 } },
		{ { "rip", "rfl", NULL, NULL }, { r->rip, r->rflags, 0, 0 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char line[160] = "";
		size_t len = 0;

		for (unsigned int k = 0; k < 4 && rows[i].name[k]; k++)
			len += (size_t)snprintf(line + len, sizeof(line) - len, " %s %016llx", rows[i].name[k],
						(unsigned long long)rows[i].val[k]);
		log_error(" %s", line);
	}
}

static void report_segment(const char *name, const struct kvm_segment *s)
{
	log_error("  %s %04x base %016llx limit %08x type %x s %u dpl %u p %u %s", name, s->selector,
		  (unsigned long long)s->base, s->limit, s->type, s->s, s->dpl, s->present,
		  s->l ? "64-bit" : s->db ? "32-bit" : "16-bit");
}

static void report_sregs(const struct kvm_sregs *s)
{
	report_segment("cs", &s->cs);
	report_segment("ss", &s->ss);
	report_segment("ds", &s->ds);
	report_segment("tr", &s->tr);
	log_error("  gdt %016llx limit %04x  idt %016llx limit %04x", (unsigned long long)s->gdt.base, s->gdt.limit,
		  (unsigned long long)s->idt.base, s->idt.limit);
	log_error("  cr0 %016llx cr2 %016llx cr3 %016llx cr4 %016llx", (unsigned long long)s->cr0,
		  (unsigned long long)s->cr2, (unsigned long long)s->cr3, (unsigned long long)s->cr4);
	log_error("  efer %016llx apic base %016llx", (unsigned long long)s->efer, (unsigned long long)s->apic_base);
}

/* One byte at a linear address, by the guest's own page tables; -1 when it is not RAM. */
static int code_byte(struct vcpu *v, uint64_t linear)
{
	struct kvm_translation tr = { .linear_address = linear };
	uint8_t byte;

	if (kvm_ioctl(v->fd, KVM_TRANSLATE, &tr) < 0 || !tr.valid ||
	    gmem_read(v->all->cfg.mem, tr.physical_address, &byte, 1) < 0)
		return -1;
	return byte;
}

static void report_code(struct vcpu *v, uint64_t rip)
{
	char line[3 * (CODE_BEFORE + CODE_AFTER) + 8] = "";
	size_t len = 0;

	for (int i = -CODE_BEFORE; i < CODE_AFTER; i++) {
		int byte = code_byte(v, rip + (uint64_t)(int64_t)i);
		char text[3] = "??";

		if (byte >= 0)
			snprintf(text, sizeof(text), "%02x", (unsigned int)byte);
		len += (size_t)snprintf(line + len, sizeof(line) - len, i ? " %s" : " <%s>", text);
	}
	log_error("  code%s", line);
}

void vcpu_report(struct vcpu *v, const char *why)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	char lost[384];

	log_error("vcpu%u (APIC id %u): %s", v->index, v->place->apic_id, why);
	if (!strstr(why, " is gone: ") && fault_truncated(v->all->cfg.mem, lost, sizeof(lost)))
		log_error("  %s", lost);
	if (kvm_ioctl(v->fd, KVM_GET_REGS, &regs) < 0 || kvm_ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0) {
		log_error("  its registers cannot be read");
		return;
	}
	if (sregs.cs.base == 0xffff0000 && regs.rip == 0xfff0) {
		/* On AMD, KVM gives a processor that shut down its reset state (shutdown_interception(), Linux 6.12). */
		log_error("  its registers are those after a reset, as KVM on AMD leaves them: what it last did is lost");
	} else {
		report_regs(&regs);
		report_sregs(&sregs);
		report_code(v, sregs.cs.base + regs.rip);
	}
	if (v->all->cfg.owner.report)
		v->all->cfg.owner.report(v->all->cfg.owner.ctx);
}
