/*
 * Between explain.c (which bits tell what) and explain_readers.c (what readers make of them).
 */
#ifndef TRELLIS_VIEW_EXPLAIN_INTERNAL_H
#define TRELLIS_VIEW_EXPLAIN_INTERNAL_H

#include <stdio.h>

#include "vmm/cpu/processors.h"
#include "vmm/view/readers.h"

/* The shape that was asked for, in a reading's form: sets of the present vCPUs. Returns 0 or -ENOMEM. */
MUST_CHECK int reading_of_shape(struct reading *r, const struct topology *t);

/* "1FH", "0BH", "80000026H", "4": buf at least 16 bytes. Returns buf. */
const char *leaf_name(uint32_t leaf, char *buf, size_t len);

/* The present vCPUs' leaves, nr_present of them; owned by the caller, free(). NULL without memory. */
struct leaves *leaves_of_all(struct processors *p);

/* For each reader, how it goes about it and what it will say. Returns 0 or -ENOMEM. */
MUST_CHECK int explain_readers(const struct topology *t, const struct leaves *l, FILE *out);

#endif
