/*
 * How an SMBIOS structure is written, for smbios*.c alone: header, fields in order, strings behind them.
 */
#ifndef TRELLIS_FIRMWARE_SMBIOS_WRITER_H
#define TRELLIS_FIRMWARE_SMBIOS_WRITER_H

#include "firmware/platform.h"
#include "vmm/base/buf.h"
#include "vmm/base/err.h"

enum { SMBIOS_MAX_STRINGS = 8 };

/* Handles which refer to nothing: there is none, nobody told (DSP0134 3.3.0, 7.5, 7.17). */
enum { SMBIOS_NONE = 0xffff, SMBIOS_NOT_PROVIDED = 0xfffe };

struct smbios {
	const struct platform *p;                 /* borrowed */
	struct buf *b;                            /* borrowed */
	unsigned int nr;                          /* structures, and so the next handle */
	size_t largest;                           /* structure, with its strings */
	size_t start, formatted;                  /* of the open structure: offset, bytes without strings */
	const char *strings[SMBIOS_MAX_STRINGS];  /* of the open structure; borrowed until smbios_end() */
	unsigned int nr_strings;
};

/*
 * Start a structure with len bytes of fields, header included; the caller puts the others into s->b, in
 * order. Returns its handle.
 */
uint16_t smbios_begin(struct smbios *s, uint8_t type, uint8_t len);

/* A field which is the number of a string; "" and NULL are "not specified". */
void smbios_put_string(struct smbios *s, const char *string);

/* Put the strings behind (6.1.3). Exactly the fields that smbios_begin() announced must be there. */
void smbios_end(struct smbios *s);

/*
 * Types 4 and 7: one processor for each socket of the topology, also an empty one, and its caches.
 * Returns 0; -ENOMEM.
 */
MUST_CHECK int smbios_put_cpus(struct smbios *s, struct err *e);

#endif
