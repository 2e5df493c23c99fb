/*
 * Lists of small numbers as Linux writes them: "0-3,8,10-11".
 */
#ifndef TRELLIS_BASE_CPULIST_H
#define TRELLIS_BASE_CPULIST_H

#include <stdio.h>

#include "vmm/base/base.h"

/*
 * Call add(ctx, n) for each number of the list, in its order; blanks and newlines around are skipped, an empty
 * list is one. Numbers may be hexadecimal with 0x in front, as users write APIC ids. The order is free, and
 * nothing is said of numbers that come twice.
 * Returns 0; -EINVAL when the text is no list, when a range runs backwards or when a number is above max; or
 * what add returns when that is not 0 (and stops there).
 */
MUST_CHECK int cpulist_each(const char *text, unsigned int max, int (*add)(void *ctx, unsigned int n), void *ctx);

/* Print the numbers i below nr for which in(ctx, i) as such a list; "" for none. */
void cpulist_print(FILE *out, unsigned int nr, bool (*in)(const void *ctx, unsigned int i), const void *ctx);

/* The same into buf, cut off where that ends. Returns buf. */
const char *cpulist_text(char *buf, size_t len, unsigned int nr, bool (*in)(const void *ctx, unsigned int i),
			 const void *ctx);

#endif
