/* Between table.c and drawing.c. */
#ifndef TRELLIS_VIEW_TABLE_H
#define TRELLIS_VIEW_TABLE_H

#include "vmm/view/view.h"

/*
 * The table of view_table().
 * shown  0: a line for each vCPU; else so many from the start and a few from the end, and a line that says so
 */
MUST_CHECK int table_print(struct processors *p, FILE *out, unsigned int shown, struct err *e);

#endif
