/*
 * Finding ACPI tables and the few fields other code needs. Interprets no AML; \_S5 and _HIDs are looked for
 * as bytes. Section numbers are those of ACPI 6.4.
 */
#ifndef GUEST_ACPI_H
#define GUEST_ACPI_H

#include <stdbool.h>
#include <stdint.h>

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.4, table 5.4");

struct acpi_gas {
	uint8_t space, bits, offset, access;
	uint64_t address;
} __attribute__((packed));

/* Fixed ACPI Description Table, ACPI 6.4 table 5.9; as long as revision 3. */
struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, preferred_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base, cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_facs, x_dsdt;
	struct acpi_gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_fadt) == 244, "ACPI 6.4, table 5.9 up to X_GPE1_BLK");

enum {
	ACPI_FADT_TMR_VAL_EXT = 1 << 8,
	ACPI_FADT_RESET_REG_SUP = 1 << 10,
	ACPI_FADT_HW_REDUCED = 1 << 20,
};

enum {
	ACPI_PM1_TMR_STS = 1 << 0,
	ACPI_PM1_PWRBTN = 1 << 8,	/* the same bit in status and enable */
	ACPI_PM1_SCI_EN = 1 << 0,	/* of the control register */
	ACPI_PM1_SLP_EN = 1 << 13,
};

/* Sum of all bytes modulo 256; 0 for a valid table. */
uint8_t acpi_sum(const void *table, uint32_t bytes);
/* The RSDP, or NULL. Looked for as ACPI 6.4, 5.2.5.1 says: EBDA, then 0xe0000 to 0xfffff. */
const uint8_t *acpi_rsdp(void);
/* The n-th table of the XSDT (or RSDT), from 0; NULL behind the last. DSDT and FACS are not in it. */
const struct acpi_header *acpi_table(unsigned int n);
/* The first table with this signature ("DSDT" through the FADT), or NULL. */
const struct acpi_header *acpi_find(const char *signature);
/* The FADT; bails out without one. */
const struct acpi_fadt *acpi_fadt(void);
/* I/O port of the PM1a event, PM1a control and PM timer block; X_ fields first; 0 if absent. */
uint16_t acpi_pm1_event_port(void);
uint16_t acpi_pm1_control_port(void);
uint16_t acpi_pm_timer_port(void);
/* The n-th MADT entry of a type, from 0, or NULL. Byte 0 is the type, byte 1 the length. */
const uint8_t *acpi_madt_entry(uint8_t type, unsigned int n);
/* GSI and MPS INTI flags of an ISA interrupt after the MADT's overrides (ACPI 6.4, 5.2.12.5). */
uint32_t acpi_isa_gsi(uint8_t irq, uint16_t *flags);
/* Base address of the ECAM of segment 0, first bus 0, or 0. */
uint64_t acpi_ecam_base(void);
/* SLP_TYP of \_S5 for PM1a, found by its name in the DSDT; -1 without it. */
int acpi_s5_type(void);
/* True if the bytes occur in the DSDT or an SSDT. */
bool acpi_aml_contains(const char *bytes, uint32_t n);
/* Switch from legacy to ACPI mode if the FADT asks for it (ACPI 6.4, 16.3); true if SCI_EN is set. */
bool acpi_enable(void);

#endif
