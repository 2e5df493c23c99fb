/*
 * The bodies of the tables about NUMA; the headers are acpi.c's. All need p->topo->nr_nodes > 0, the nodes of all
 * vCPUs below that, and p->node_map.
 */
#ifndef TRELLIS_FIRMWARE_ACPI_NUMA_H
#define TRELLIS_FIRMWARE_ACPI_NUMA_H

#include "firmware/platform.h"
#include "vmm/base/buf.h"

/*
 * Each appends what follows the 36 bytes of a table's header.
 * p  borrowed
 * b  receives the bytes; errors stick in it
 */
void acpi_srat_put(const struct platform *p,
		   struct buf *b); /* revision 3: whose node, processors and memory */
void acpi_slit_put(const struct platform *p, struct buf *b); /* revision 1: distances */

/* Revision 2: latencies and bandwidths. Needs p->topo->path. */
void acpi_hmat_put(const struct platform *p, struct buf *b);

/* Upper bound of all three with their headers, in bytes; 0 without nodes. */
size_t acpi_numa_size_max(const struct platform *p);

#endif
