/*
 * Between topology.c and topology_layout.c.
 */
#ifndef TRELLIS_CPU_TOPOLOGY_INTERNAL_H
#define TRELLIS_CPU_TOPOLOGY_INTERNAL_H

#include "vmm/cpu/topology.h"

/* ceil(log2(n)), n >= 1: bits that number n things. */
unsigned int topology_bits_for(unsigned int n);

/* Make the arrays that t->nr_cpus and t->nr_units call for, all zero. Returns 0, or -ENOMEM with a sentence. */
MUST_CHECK int topology_alloc(struct topology *t, struct err *e);

#endif
