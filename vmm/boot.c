/*
 * The boot processor's registers, for each way in. The other processors wait for their INIT and SIPI.
 */
#include "vmm/boot.h"

#include <errno.h>

#define CR0_PE   (1ull << 0)
#define CR0_ET   (1ull << 4)
#define CR0_NE   (1ull << 5)
#define CR0_PG   (1ull << 31)
#define CR4_PAE  (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)

#define MULTIBOOT_LOADER_MAGIC 0x2badb002u /* Multiboot 0.6.96, 3.2 */

/* Page-table entry bits (Intel SDM volume 3A, 4.5). */
#define PTE_PRESENT_WRITE 3ull
#define PTE_LARGE         (1ull << 7)

enum { SEL_CODE = 0x10, SEL_DATA = 0x18, SEL_TSS = 0x20 }; /* __BOOT_CS and __BOOT_DS are the first two */

/* Identity for 4 GiB in 2 MiB pages: one PML4, one page of pointers, four directories. */
static int write_page_tables(struct gmem *mem)
{
	uint64_t table[512] = { 0 };
	int rc;

	put_le64(&table[0], (BOOT_PAGES + 0x1000) | PTE_PRESENT_WRITE);
	if ((rc = gmem_write(mem, BOOT_PAGES, table, sizeof(table))) < 0)
		return rc;
	for (unsigned int i = 0; i < 4; i++)
		put_le64(&table[i], (BOOT_PAGES + 0x2000 + i * 0x1000) | PTE_PRESENT_WRITE);
	if ((rc = gmem_write(mem, BOOT_PAGES + 0x1000, table, sizeof(table))) < 0)
		return rc;
	for (unsigned int d = 0; d < 4; d++) {
		for (unsigned int i = 0; i < 512; i++)
			put_le64(&table[i], (d * GIB + i * 2 * MIB) | PTE_PRESENT_WRITE | PTE_LARGE);
		if ((rc = gmem_write(mem, BOOT_PAGES + 0x2000 + d * 0x1000ull, table, sizeof(table))) < 0)
			return rc;
	}
	return 0;
}

/* Descriptors that match the segments below (Intel SDM volume 3A, 3.4.5). */
static int write_gdt(struct gmem *mem)
{
	uint64_t gdt[6] = { 0 };

	put_le64(&gdt[SEL_CODE / 8], 0x00af9b000000ffffull); /* 64-bit code */
	put_le64(&gdt[SEL_DATA / 8], 0x00cf93000000ffffull);
	put_le64(&gdt[SEL_TSS / 8], 0x00008b0000000067ull);
	return gmem_write(mem, BOOT_GDT, gdt, sizeof(gdt));
}

static void flat_segments(struct kvm_sregs *s, bool long_mode)
{
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = SEL_CODE, .type = 11, .present = 1, .s = 1, .g = 1,
		.db = !long_mode, .l = long_mode,
	};
	struct kvm_segment data = {
		.limit = 0xffffffff, .selector = SEL_DATA, .type = 3, .present = 1, .s = 1, .g = 1, .db = 1,
	};

	s->cs = code;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = (struct kvm_segment){ .limit = 0x67, .selector = SEL_TSS, .type = 11, .present = 1 };
	s->ldt = (struct kvm_segment){ .type = 2, .unusable = 1 };
	s->idt = (struct kvm_dtable){ 0 };
}

int boot_enter(struct vcpu *v, const struct boot_entry *entry, struct gmem *mem, struct err *e)
{
	bool long_mode = entry->mode == BOOT_LINUX64;
	struct kvm_regs regs = { .rip = entry->rip, .rflags = 2 };
	struct kvm_sregs sregs;
	int rc = 0;

	if (kvm_ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0)
		return err_sys(e, -errno, "KVM_GET_SREGS");
	flat_segments(&sregs, long_mode);
	sregs.cr0 = CR0_PE | CR0_ET;
	if (long_mode) {
		if ((rc = write_gdt(mem)) < 0 || (rc = write_page_tables(mem)) < 0)
			return err_sys(e, rc, "cannot write the boot page tables");
		sregs.gdt = (struct kvm_dtable){ .base = BOOT_GDT, .limit = 6 * 8 - 1 };
		sregs.cr0 |= CR0_PG | CR0_NE;
		sregs.cr3 = BOOT_PAGES;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
		regs.rsi = entry->info;
	} else {
		regs.rbx = entry->info;
		if (entry->mode == BOOT_MULTIBOOT)
			regs.rax = MULTIBOOT_LOADER_MAGIC;
	}
	if (kvm_ioctl(v->fd, KVM_SET_SREGS, &sregs) < 0)
		return err_sys(e, -errno, "KVM_SET_SREGS");
	if (kvm_ioctl(v->fd, KVM_SET_REGS, &regs) < 0)
		return err_sys(e, -errno, "KVM_SET_REGS");
	return 0;
}
