/*
 * For the unit tests of the ACPI tables: build all of them, find one as a guest does, and let iasl judge it.
 */
#ifndef TRELLIS_FIRMWARE_ACPI_RIG_H
#define TRELLIS_FIRMWARE_ACPI_RIG_H

#include "firmware/acpi.h"
#include "firmware/tables_rig.h"

#define BASE 0x7ff00000ull

static inline uint8_t sum(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint8_t s = 0;

	for (size_t i = 0; i < len; i++)
		s = (uint8_t)(s + p[i]);
	return s;
}

static inline void rig_build(struct rig *r, uint8_t rsdp[ACPI_RSDP_BYTES])
{
	ck_assert_msg(acpi_build(&r->p, BASE, &r->out, rsdp, &r->e) == 0, "%s", r->e.text);
}

static inline const uint8_t *at(const struct rig *r, uint64_t gpa)
{
	ck_assert_uint_ge(gpa, BASE);
	ck_assert_uint_lt(gpa, BASE + r->out.len);
	return r->out.data + (gpa - BASE);
}

/* The table with this signature, from the XSDT or the FADT, or NULL; all checksums are checked on the way. */
static inline const uint8_t *look_for(const struct rig *r, const uint8_t *rsdp, const char *signature)
{
	const uint8_t *xsdt = at(r, get_le64(rsdp + 24)), *table, *fadt = NULL;
	unsigned int nr = (get_le32(xsdt + 4) - 36) / 8;

	for (unsigned int i = 0; i <= nr; i++) {
		table = i < nr ? at(r, get_le64(xsdt + 36 + 8 * i)) : at(r, get_le64(fadt + 140));
		ck_assert_uint_eq(sum(table, get_le32(table + 4)), 0);
		if (i == 0)
			fadt = table; /* it knows where the DSDT is */
		if (memcmp(table, signature, 4) == 0)
			return table;
	}
	return NULL;
}

static inline const uint8_t *find(const struct rig *r, const uint8_t *rsdp, const char *signature)
{
	const uint8_t *table = look_for(r, rsdp, signature);

	ck_assert_msg(table != NULL, "no %s", signature);
	return table;
}

/* Take one table apart and together again: no word of criticism, and nothing is lost or added. */
static inline void check_iasl(struct rig *r, const uint8_t *table)
{
	uint32_t len = get_le32(table + 4);
	struct buf log = { 0 }, again = { 0 };

	rig_write_file(r, "t.dat", table, len);
	ck_assert_int_eq(rig_run(r, "iasl -d t.dat"), 0);
	rig_read_file(r, "log", &log);
	ck_assert_msg(!strstr((char *)log.data, "rror") && !strstr((char *)log.data, "arning") &&
			      !strstr((char *)log.data, "nvalid"),
		      "%.4s: %s", (const char *)table, (char *)log.data);
	buf_fini(&log);
	ck_assert_int_eq(rig_run(r, "iasl -p again t.dsl"), 0);
	rig_read_file(r, "log", &log);
	ck_assert_msg(strstr((char *)log.data, "0 Errors, 0 Warnings, 0 Remarks") != NULL, "%.4s: %s",
		      (const char *)table, (char *)log.data);
	rig_read_file(r, "again.aml", &again);
	ck_assert_uint_eq(again.len, len);
	ck_assert_mem_eq(again.data, table, 9);            /* all but the checksum ... */
	ck_assert_mem_eq(again.data + 10, table + 10, 18); /* ... and the creator */
	ck_assert_mem_eq(again.data + 36, table + 36, len - 36);
	buf_fini(&log);
	buf_fini(&again);
}

#endif
