/*
 * The ACPI tables about processors and nodes as files, which iasl -d takes apart. They are built as for a guest and
 * cut out by walking the XSDT, so what is seen here is what a guest gets.
 */
#include "vmm/view/view.h"

#include <errno.h>

#include "firmware/acpi.h"
#include "vmm/tables.h"
#include "vmm/view/outdir.h"

enum { HEADER_BYTES = 36, ENTRY_BYTES = 8 };

#define TABLES_AT 0x00100000ull /* any place would do: none of these tables tells an address of another */

static const struct {
	const char *signature, *file;
} tables[] = {
	{ "APIC", "apic.dat" },
	{ "SRAT", "srat.dat" },
	{ "SLIT", "slit.dat" },
	{ "HMAT", "hmat.dat" },
};

static bool is_table_file(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (!strcmp(name, tables[i].file))
			return true;
	return false;
}

struct table {
	const uint8_t *bytes;
	uint32_t len;
};

/* A table by its address; len 0 when it does not lie inside the blob. */
static struct table table_at(const struct buf *b, uint64_t gpa)
{
	struct table t = { 0 };

	if (gpa < TABLES_AT || !range_ok(gpa - TABLES_AT, HEADER_BYTES, b->len))
		return t;
	t.bytes = b->data + (gpa - TABLES_AT);
	t.len = get_le32(t.bytes + 4);
	if (t.len < HEADER_BYTES || !range_ok(gpa - TABLES_AT, t.len, b->len))
		t.len = 0;
	return t;
}

/* What the RSDP's XSDT lists under this signature; len 0: nothing. */
static struct table table_find(const struct buf *b, const uint8_t rsdp[ACPI_RSDP_BYTES],
			       const char *signature)
{
	struct table xsdt = table_at(b, get_le64(rsdp + 24));

	for (uint32_t off = HEADER_BYTES; xsdt.len && off + ENTRY_BYTES <= xsdt.len; off += ENTRY_BYTES) {
		struct table t = table_at(b, get_le64(xsdt.bytes + off));

		if (t.len && !memcmp(t.bytes, signature, 4))
			return t;
	}
	return (struct table){ 0 };
}

static void put_table(FILE *f, const void *ctx)
{
	const struct table *t = ctx;

	fwrite(t->bytes, 1, t->len, f);
}

static int put_tables(const char *dir, const struct buf *b, const uint8_t rsdp[ACPI_RSDP_BYTES],
		      struct err *e)
{
	struct outdir d;
	int rc = outdir_begin(&d, dir, tables[0].file, is_table_file, e);

	for (size_t i = 0; i < ARRAY_SIZE(tables) && rc == 0; i++) {
		struct table t = table_find(b, rsdp, tables[i].signature);

		if (t.len)
			rc = outdir_put(&d, tables[i].file, put_table, &t, e);
	}
	if (rc == 0)
		rc = outdir_commit(&d, e);
	outdir_drop(&d);
	return rc;
}

int view_acpi(struct processors *p, const char *dir, struct err *e)
{
	uint8_t rsdp[ACPI_RSDP_BYTES];
	struct platform f;
	struct buf b = { 0 };
	int rc;

	tables_describe(&f, p);
	rc = acpi_build(&f, TABLES_AT, &b, rsdp, e);
	if (rc == 0)
		rc = put_tables(dir, &b, rsdp, e);
	buf_fini(&b);
	return rc;
}
