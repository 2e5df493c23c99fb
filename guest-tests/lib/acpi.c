/* ACPI table access. The results of the searches are not cached, except for the FADT: polled through it. */
#include "lib/acpi.h"
#include "lib/cpu.h"
#include "lib/string.h"
#include "lib/tap.h"

uint8_t acpi_sum(const void *table, uint32_t bytes)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	while (bytes--)
		sum = (uint8_t)(sum + *p++);
	return sum;
}

static const uint8_t *acpi_scan(uint64_t from, uint64_t to)
{
	for (; from + 20 <= to; from += 16)
		if (cpu_read64(from) == 0x2052545020445352ULL && !acpi_sum((const void *)from, 20)) /* "RSD PTR " */
			return (const uint8_t *)from;
	return NULL;
}

const uint8_t *acpi_rsdp(void)
{
	static const uint8_t *found;
	uint64_t ebda = (uint64_t)cpu_read16(0x40e) << 4;

	if (!found && ebda >= 0x80000 && ebda < 0xa0000)
		found = acpi_scan(ebda, ebda + 1024);
	if (!found)
		found = acpi_scan(0xe0000, 0x100000);
	return found;
}

const struct acpi_header *acpi_table(unsigned int n)
{
	const uint8_t *rsdp = acpi_rsdp();
	const struct acpi_header *root;
	unsigned int entry_bytes = 4;
	uint64_t address;

	if (!rsdp)
		return NULL;
	if (rsdp[15] >= 2) {
		entry_bytes = 8;
		address = cpu_read64((uint64_t)rsdp + 24);
	} else {
		address = cpu_read32((uint64_t)rsdp + 16);
	}
	root = (const void *)address;
	if (sizeof(*root) + (n + 1UL) * entry_bytes > root->length)
		return NULL;
	address = (uint64_t)(root + 1) + (uint64_t)n * entry_bytes;
	address = entry_bytes == 8 ? cpu_read64(address) : cpu_read32(address);
	return (const void *)address;
}

const struct acpi_header *acpi_find(const char *signature)
{
	const struct acpi_header *t;

	if (!memcmp(signature, "DSDT", 4)) {
		const struct acpi_fadt *f = acpi_fadt();
		bool wide = f->header.length >= offsetof(struct acpi_fadt, x_pm1a_evt) && f->x_dsdt;

		return (const void *)(wide ? f->x_dsdt : f->dsdt);
	}
	for (unsigned int n = 0; (t = acpi_table(n)) != NULL; n++)
		if (!memcmp(t->signature, signature, 4))
			return t;
	return NULL;
}

const struct acpi_fadt *acpi_fadt(void)
{
	static const struct acpi_fadt *fadt;

	if (!fadt)
		fadt = (const void *)acpi_find("FACP");
	if (!fadt)
		tap_bail("no FADT (RSDP at %p)", (const void *)acpi_rsdp());
	return fadt;
}

static uint16_t acpi_port(const struct acpi_gas *wide, uint32_t narrow)
{
	const struct acpi_fadt *f = acpi_fadt();
	bool has_wide = (uint64_t)(wide + 1) <= (uint64_t)f + f->header.length;

	if (has_wide && wide->space == 1 && wide->address)
		return (uint16_t)wide->address;
	return (uint16_t)narrow;
}

uint16_t acpi_pm1_event_port(void)
{
	return acpi_port(&acpi_fadt()->x_pm1a_evt, acpi_fadt()->pm1a_evt);
}

uint16_t acpi_pm1_control_port(void)
{
	return acpi_port(&acpi_fadt()->x_pm1a_cnt, acpi_fadt()->pm1a_cnt);
}

uint16_t acpi_pm_timer_port(void)
{
	return acpi_port(&acpi_fadt()->x_pm_tmr, acpi_fadt()->pm_tmr);
}

const uint8_t *acpi_madt_entry(uint8_t type, unsigned int n)
{
	const struct acpi_header *madt = acpi_find("APIC");
	const uint8_t *at, *end;

	if (!madt)
		return NULL;
	end = (const uint8_t *)madt + madt->length;
	for (at = (const uint8_t *)madt + 44; at + 2 <= end && at[1] >= 2; at += at[1])
		if (at[0] == type && n-- == 0)
			return at;
	return NULL;
}

uint32_t acpi_isa_gsi(uint8_t irq, uint16_t *flags)
{
	const uint8_t *e;

	for (unsigned int n = 0; (e = acpi_madt_entry(2, n)) != NULL; n++)
		if (e[2] == 0 && e[3] == irq) {
			*flags = cpu_read16((uint64_t)e + 8);
			return cpu_read32((uint64_t)e + 4);
		}
	*flags = 0;
	return irq;
}

uint64_t acpi_ecam_base(void)
{
	const struct acpi_header *mcfg = acpi_find("MCFG");
	const uint8_t *e = (const uint8_t *)mcfg + 44;

	if (!mcfg)
		return 0;
	for (; e + 16 <= (const uint8_t *)mcfg + mcfg->length; e += 16)
		if (cpu_read16((uint64_t)e + 8) == 0 && e[10] == 0)
			return cpu_read64((uint64_t)e);
	return 0;
}

static const uint8_t *acpi_search(const struct acpi_header *t, const char *bytes, uint32_t n)
{
	const uint8_t *at = (const uint8_t *)(t + 1);
	const uint8_t *end = (const uint8_t *)t + t->length - n;

	for (; at <= end; at++)
		if (*at == (uint8_t)bytes[0] && !memcmp(at, bytes, n))
			return at;
	return NULL;
}

bool acpi_aml_contains(const char *bytes, uint32_t n)
{
	const struct acpi_header *t = acpi_find("DSDT");

	if (t && acpi_search(t, bytes, n))
		return true;
	for (unsigned int i = 0; (t = acpi_table(i)) != NULL; i++)
		if (!memcmp(t->signature, "SSDT", 4) && acpi_search(t, bytes, n))
			return true;
	return false;
}

/* Name (_S5_, Package {typ_a, typ_b, ...}): 08 "_S5_" 12 PkgLength NumElements, ACPI 6.4, 20.2. */
int acpi_s5_type(void)
{
	const struct acpi_header *dsdt = acpi_find("DSDT");
	const uint8_t *at = dsdt ? acpi_search(dsdt, "_S5_\x12", 5) : NULL;

	if (!at)
		return -1;
	at += 5;
	at += 1 + (*at >> 6);		/* PkgLength: bits 7:6 count further bytes (20.2.4) */
	at++;				/* NumElements */
	switch (*at) {
	case 0x00:			/* ZeroOp */
	case 0x01:			/* OneOp */
		return *at;
	case 0x0a:			/* BytePrefix */
	case 0x0b:			/* WordPrefix */
		return at[1];
	}
	return -1;
}

bool acpi_enable(void)
{
	const struct acpi_fadt *f = acpi_fadt();
	uint16_t port = acpi_pm1_control_port();

	if (!(cpu_inw(port) & ACPI_PM1_SCI_EN) && f->smi_cmd && f->acpi_enable)
		cpu_outb((uint16_t)f->smi_cmd, f->acpi_enable);
	for (int tries = 0; tries < 10000; tries++)
		if (cpu_inw(port) & ACPI_PM1_SCI_EN)
			return true;
	return false;
}
