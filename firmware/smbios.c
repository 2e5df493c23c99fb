/*
 * SMBIOS 3.3 structures (DMTF DSP0134 3.3.0, chapter 7) and both entry points. It describes the machine
 * as the user asked for it, at the start: nothing here changes when processors or memory come and go.
 * Speeds and voltages are "unknown" rather than invented. Processors and caches are in smbios_cpu.c.
 */
#include "firmware/smbios.h"

#include <errno.h>
#include <stdio.h>

#include "firmware/smbios_writer.h"
#include "firmware/tables.h"
#include "vmm/base/map.h"

enum { ENTRY64_BYTES = 24, ENTRY32_BYTES = 31, ENTRY32_OFF = 32 };

/* Memory devices are made as large as is needed to have at most this many. */
enum { MAX_DIMMS = 16 };
#define DIMM_BYTES (16 * GIB)

/* 7.1. The release date is the format's, not the build's: equal versions make equal tables. */
static void bios_put(struct smbios *s)
{
	smbios_begin(s, 0, 0x1a);
	smbios_put_string(s, "trellis");
	smbios_put_string(s, s->p->version);
	buf_put16(s->b, 0xf000); /* segment of the BIOS area */
	smbios_put_string(s, "01/01/2026");
	buf_put8(s->b, 0);           /* ROM size: 64 KiB, the smallest that can be told */
	buf_put64(s->b, 1u << 7);    /* PCI is supported */
	buf_put8(s->b, 1u << 0);     /* ACPI is supported */
	buf_put8(s->b, 1u << 4);     /* this is a virtual machine */
	buf_put32(s->b, 0xffffffff); /* releases of BIOS and embedded controller: none */
	buf_put16(s->b, 0);          /* extended ROM size: see above */
	smbios_end(s);
}

/* 7.2.1: the first three groups of a UUID are little-endian, ours are in the order of the text. */
static void uuid_put(struct buf *b, const uint8_t uuid[16])
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

	for (size_t i = 0; i < sizeof(order); i++)
		buf_put8(b, uuid[order[i]]);
}

/* 7.2. */
static void system_put(struct smbios *s)
{
	smbios_begin(s, 1, 0x1b);
	smbios_put_string(s, "trellis");
	smbios_put_string(s, "KVM virtual machine");
	smbios_put_string(s, s->p->version);
	buf_put8(s->b, 0); /* serial number: none */
	uuid_put(s->b, s->p->uuid);
	buf_put8(s->b, 6); /* woken by the power switch */
	buf_put8(s->b, 0); /* SKU number: none */
	smbios_put_string(s, "Virtual Machine");
	smbios_end(s);
}

/* 7.4. The machine's name is on the asset tag: it is what its administrator calls it. */
static void chassis_put(struct smbios *s)
{
	smbios_begin(s, 3, 0x16);
	smbios_put_string(s, "trellis");
	buf_put8(s->b, 1); /* type: other */
	smbios_put_string(s, s->p->version);
	buf_put8(s->b, 0); /* serial number: none */
	smbios_put_string(s, s->p->name);
	buf_put8(s->b, 3);      /* boot-up, power supply and thermal state: safe */
	buf_put8(s->b, 3);
	buf_put8(s->b, 3);
	buf_put8(s->b, 2);      /* security status: unknown */
	buf_put_zero(s->b, 9);  /* OEM, height, power cords, elements, SKU number */
	smbios_end(s);
}

/* 7.17. Returns the array's handle. */
static uint16_t memory_array_put(struct smbios *s, unsigned int nr_dimms)
{
	uint64_t kib = s->p->ram_bytes / KIB;
	bool extended = kib >= 1ull << 31;
	uint16_t handle = smbios_begin(s, 16, 0x17);

	buf_put8(s->b, 1); /* location: other */
	buf_put8(s->b, 3); /* use: system memory */
	buf_put8(s->b, 2); /* error correction: unknown */
	buf_put32(s->b, extended ? 1u << 31 : (uint32_t)kib);
	buf_put16(s->b, SMBIOS_NOT_PROVIDED);
	buf_put16(s->b, (uint16_t)nr_dimms);
	buf_put64(s->b, extended ? s->p->ram_bytes : 0);
	smbios_end(s);
	return handle;
}

/* 7.18. Sizes are in MiB here; from 32 GiB on they are in a field of their own. */
static void memory_device_put(struct smbios *s, uint16_t array, unsigned int number, uint64_t bytes)
{
	uint32_t mib = (uint32_t)(align_up(bytes, MIB) / MIB);
	char locator[16];

	snprintf(locator, sizeof(locator), "DIMM %u", number);
	smbios_begin(s, 17, 0x5c);
	buf_put16(s->b, array);
	buf_put16(s->b, SMBIOS_NOT_PROVIDED);
	buf_put32(s->b, 0xffffffff); /* total and data width: unknown */
	buf_put16(s->b, (uint16_t)MIN(mib, 0x7fffu));
	buf_put8(s->b, 9); /* DIMM */
	buf_put8(s->b, 0); /* in no set */
	smbios_put_string(s, locator);
	buf_put8(s->b, 0); /* bank locator: none */
	buf_put8(s->b, 7); /* type: RAM */
	buf_put16(s->b, 1u << 1); /* detail: other */
	buf_put16(s->b, 0);       /* speed: unknown */
	smbios_put_string(s, "trellis");
	buf_put_zero(s->b, 4); /* serial number, asset tag, part number, rank: none, unknown */
	buf_put32(s->b, mib < 0x7fff ? 0 : mib);
	buf_put_zero(s->b, 8);    /* configured speed, voltages: unknown */
	buf_put8(s->b, 2);        /* technology: unknown */
	buf_put16(s->b, 1u << 3); /* works as volatile memory */
	buf_put_zero(s->b, 17);   /* firmware, module and controller ids, non-volatile size */
	buf_put64(s->b, bytes);   /* volatile size */
	buf_put_zero(s->b, 24);   /* cache and logical size, extended speeds */
	smbios_end(s);
}

/* 7.20. KiB, both ends included; in bytes, in fields of their own, when KiB do not fit. */
static void memory_mapped_put(struct smbios *s, uint16_t array, unsigned int nr_dimms, uint64_t start,
			      uint64_t len)
{
	uint64_t last = start + len - 1;
	bool extended = last / KIB >= UINT32_MAX;

	smbios_begin(s, 19, 0x1f);
	buf_put32(s->b, extended ? UINT32_MAX : (uint32_t)(start / KIB));
	buf_put32(s->b, extended ? UINT32_MAX : (uint32_t)(last / KIB));
	buf_put16(s->b, array);
	buf_put8(s->b, (uint8_t)nr_dimms); /* partition width: devices that form a row */
	buf_put64(s->b, extended ? start : 0);
	buf_put64(s->b, extended ? last : 0);
	smbios_end(s);
}

/* RAM from 4 GiB up. What is not there is below, in one piece: the map's reserved ranges are RAM as well. */
static uint64_t high_ram(const struct platform *p)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < p->nr_map; i++)
		if (p->map[i].type == MEM_RAM && p->map[i].start >= MAP_HIGH_RAM_BASE)
			bytes += p->map[i].len;
	return MIN(bytes, p->ram_bytes);
}

static void memory_put(struct smbios *s)
{
	const struct platform *p = s->p;
	uint64_t high = high_ram(p), low = p->ram_bytes - high;
	uint64_t dimm = DIMM_BYTES, left = p->ram_bytes;
	unsigned int nr;
	uint16_t array;

	while (dimm * MAX_DIMMS < left)
		dimm *= 2;
	nr = (unsigned int)((left + dimm - 1) / dimm);
	array = memory_array_put(s, nr);
	for (unsigned int i = 0; i < nr; i++) {
		memory_device_put(s, array, i, MIN(dimm, left));
		left -= MIN(dimm, left);
	}
	if (low)
		memory_mapped_put(s, array, nr, 0, low);
	if (high)
		memory_mapped_put(s, array, nr, MAP_HIGH_RAM_BASE, high);
}

/* 7.33: no error at the last boot. */
static void boot_status_put(struct smbios *s)
{
	smbios_begin(s, 32, 0x0b);
	buf_put_zero(s->b, 7);
	smbios_end(s);
}

/* 7.45: end of table. */
static void end_put(struct smbios *s)
{
	smbios_begin(s, 127, 4);
	smbios_end(s);
}

/* 5.2.2. */
static void entry64_fill(uint8_t *entry, uint64_t base, size_t len)
{
	memcpy(entry, "_SM3_", 5);
	entry[6] = ENTRY64_BYTES;
	entry[7] = 3; /* SMBIOS 3.3.0 */
	entry[8] = 3;
	entry[10] = 1; /* revision of this entry point */
	put_le32(entry + 12, (uint32_t)len);
	put_le64(entry + 16, base);
	entry[5] = tables_checksum(entry, ENTRY64_BYTES);
}

/* 5.2.1. Its second half has an anchor and a checksum of its own. */
static void entry32_fill(uint8_t *entry, uint64_t base, size_t len, const struct smbios *s)
{
	memcpy(entry, "_SM_", 4);
	entry[5] = ENTRY32_BYTES;
	entry[6] = 3;
	entry[7] = 3;
	put_le16(entry + 8, (uint16_t)s->largest);
	memcpy(entry + 16, "_DMI_", 5);
	put_le16(entry + 22, (uint16_t)len);
	put_le32(entry + 24, (uint32_t)base);
	put_le16(entry + 28, (uint16_t)s->nr);
	entry[30] = 0x33;
	entry[21] = tables_checksum(entry + 16, ENTRY32_BYTES - 16);
	entry[4] = tables_checksum(entry, ENTRY32_BYTES);
}

size_t smbios_size_max(const struct platform *p)
{
	/* A socket has 130 bytes of type 4 and at most 16 times 55 of type 7; 16 DIMMs take 2 KiB. */
	size_t strings = strlen(p->name ? p->name : "") + 3 * strlen(p->version ? p->version : "");

	return align_up(4 * KIB + p->topo->nr_units[TOPO_PACKAGE] * KIB + strings, 4 * KIB);
}

int smbios_build(const struct platform *p, uint64_t base, struct buf *out, uint8_t entry[SMBIOS_ENTRY_BYTES],
		 struct err *e)
{
	struct smbios s = { .p = p, .b = out };
	int rc;

	if (!p->ram_bytes || !p->topo->nr_cpus)
		return err_set(e, -EINVAL, "SMBIOS tables of a machine without memory or processors");
	bios_put(&s);
	system_put(&s);
	chassis_put(&s);
	rc = smbios_put_cpus(&s, e);
	if (rc < 0)
		return rc;
	memory_put(&s);
	boot_status_put(&s);
	end_put(&s);
	rc = buf_status(out);
	if (rc < 0)
		return err_set(e, rc, "no memory for the SMBIOS tables");
	if (!range_ok(base, out->len, 1ull << 32))
		return err_set(e, -EINVAL, "SMBIOS tables cannot lie at 0x%llx", (unsigned long long)base);
	memset(entry, 0, SMBIOS_ENTRY_BYTES);
	entry64_fill(entry, base, out->len);
	if (out->len <= UINT16_MAX)
		entry32_fill(entry + ENTRY32_OFF, base, out->len, &s);
	return 0;
}
