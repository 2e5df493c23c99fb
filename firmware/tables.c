/* Checksums and the IOAPIC's number. */
#include "firmware/tables.h"

enum { NR_IDS = 255 }; /* 0xff is the broadcast */

uint8_t tables_checksum(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return (uint8_t)(0x100 - sum);
}

uint8_t tables_ioapic_id(const struct platform *p)
{
	bool taken[NR_IDS] = { false };

	for (unsigned int i = 0; i < p->topo->nr_cpus; i++)
		if (p->topo->cpu[i].apic_id < NR_IDS)
			taken[p->topo->cpu[i].apic_id] = true;
	for (unsigned int id = 0; id < NR_IDS; id++)
		if (!taken[id])
			return (uint8_t)id;
	return 0;
}
