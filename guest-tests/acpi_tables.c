/*
 * ACPI tables: checksums, lengths and the fields every guest relies on.
 *
 * ACPI 6.4, chapter 5. AML is not interpreted. With rsdp=2 on the command line the RSDP must be revision 2
 * with a good XSDT; old firmware (SeaBIOS from QEMU) still writes revision 0.
 */
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/lapic.h"
#include "lib/multiboot.h"
#include "lib/string.h"
#include "lib/tap.h"

static void tables_check_rsdp(void)
{
	const uint8_t *rsdp = acpi_rsdp();

	if (!tap_check(rsdp != NULL, "an RSDP in the EBDA or the BIOS area"))
		tap_bail("no RSDP");
	tap_note("RSDP at %p, revision %u", (const void *)rsdp, rsdp[15]);
	tap_equal((uint64_t)rsdp & 15, 0, "on a 16-byte boundary");
	if (args_number("rsdp", 0))
		tap_equal(rsdp[15], args_number("rsdp", 0), "RSDP revision");
	if (rsdp[15] < 2) {
		tap_skip("revision 0: no XSDT");
		return;
	}
	tap_equal(cpu_read32((uint64_t)rsdp + 20), 36, "RSDP length");
	tap_equal(acpi_sum(rsdp, 36), 0, "RSDP extended checksum");
	tap_equal(acpi_sum((void *)cpu_read64((uint64_t)rsdp + 24), cpu_read32(cpu_read64((uint64_t)rsdp + 24) + 4)), 0,
		  "XSDT checksum");
}

static void tables_check_sum(const struct acpi_header *t)
{
	const char *s = t->signature;

	tap_check(t->length >= sizeof(*t) && t->length < 0x100000 && !acpi_sum(t, t->length),
		  "%c%c%c%c revision %u, %u bytes: checksum", s[0], s[1], s[2], s[3], t->revision, t->length);
}

static void tables_check_fadt_blocks(const struct acpi_fadt *f)
{
	tap_equal(f->pm1_evt_len, 4, "PM1_EVT_LEN");
	tap_check(f->pm1_cnt_len >= 2, "PM1_CNT_LEN");
	tap_check(f->pm1a_evt && f->pm1a_cnt && f->pm_tmr, "PM1a event, PM1a control and PM timer exist");
	tap_equal(f->gpe0 ? f->gpe0_len & 1 : f->gpe0_len, 0, "GPE0 length %u is even", f->gpe0_len);
	if (f->header.length < sizeof(*f) || !f->x_pm1a_evt.address) {
		tap_skip("no 64-bit addresses of the blocks");
		return;
	}
	tap_check(f->x_pm1a_evt.address == f->pm1a_evt && f->x_pm1a_cnt.address == f->pm1a_cnt &&
		  (!f->x_pm_tmr.address || f->x_pm_tmr.address == f->pm_tmr), "64-bit addresses agree with the 32-bit ones");
}

static void tables_check_fadt(void)
{
	static const struct { uint8_t revision; uint16_t length; } sizes[] = {
		{ 1, 116 }, { 3, 244 }, { 4, 244 }, { 5, 268 }, { 6, 276 },
	};
	const struct acpi_fadt *f = acpi_fadt();
	bool known = false;

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		known |= f->header.revision == sizes[i].revision && f->header.length == sizes[i].length;
	tap_check(known, "FADT revision %u has %u bytes", f->header.revision, f->header.length);
	tap_check(!(f->flags & ACPI_FADT_HW_REDUCED), "fixed hardware, not hardware-reduced");
	tables_check_fadt_blocks(f);
	tap_check(f->sci_int > 0 && f->sci_int < 24, "SCI_INT is %u", f->sci_int);
	tap_check(!f->smi_cmd || f->acpi_enable, "ACPI_ENABLE goes with SMI_CMD");
	if (f->header.length >= 244 && f->x_dsdt && f->dsdt)
		tap_equal(f->x_dsdt, f->dsdt, "X_DSDT is DSDT");
	if (f->facs) {
		tap_check(!memcmp((void *)(uint64_t)f->facs, "FACS", 4) && cpu_read32(f->facs + 4UL) >= 64, "FACS is one");
		tap_equal(f->facs & 63, 0, "on a 64-byte boundary");
	}
	tap_check(acpi_s5_type() >= 0, "the DSDT has \\_S5");
}

static void tables_check_madt(void)
{
	const struct acpi_header *madt = acpi_find("APIC");
	const uint8_t *end, *at;
	unsigned int nr_cpus = 0;
	uint16_t flags;

	if (!tap_check(madt != NULL, "there is a MADT"))
		return;
	tap_equal(cpu_read32((uint64_t)madt + 36), cpu_rdmsr(MSR_APIC_BASE) & 0xfffff000, "its local APIC address is APIC_BASE's");
	end = (const uint8_t *)madt + madt->length;
	for (at = (const uint8_t *)madt + 44; at + 2 <= end && at[1] >= 2; at += at[1])
		nr_cpus += at[0] == 0 || at[0] == 9;
	tap_check(at == end, "its entries fill it exactly");
	tap_check(nr_cpus >= 1, "%u CPUs", nr_cpus);
	tap_check(acpi_madt_entry(1, 0) != NULL, "an IOAPIC");
	tap_equal(acpi_isa_gsi(0, &flags), 2, "IRQ 0 is GSI 2");
	acpi_isa_gsi((uint8_t)acpi_fadt()->sci_int, &flags);
	tap_equal(flags & 0xc, 0xc, "the SCI is level-triggered");
	tap_check(acpi_madt_entry(4, 0) || acpi_madt_entry(10, 0), "LINT1 is said to be NMI");
}

static void tables_check_mcfg(void)
{
	const struct acpi_header *mcfg = acpi_find("MCFG");
	const uint8_t *e = (const uint8_t *)mcfg + 44;

	if (!tap_check(mcfg != NULL, "there is an MCFG"))
		return;
	tap_check(mcfg->length >= 60 && (mcfg->length - 44) % 16 == 0, "it has whole entries");
	tap_equal(cpu_read64((uint64_t)e) & 0xfffff, 0, "ECAM is aligned");
	tap_check(e[10] == 0 && e[11] >= e[10], "buses %u to %u", e[10], e[11]);
}

void test_main(void)
{
	const struct acpi_header *t;

	tables_check_rsdp();
	for (unsigned int n = 0; (t = acpi_table(n)) != NULL; n++)
		tables_check_sum(t);
	tables_check_sum(acpi_find("DSDT"));
	tables_check_fadt();
	tables_check_madt();
	tables_check_mcfg();
}
