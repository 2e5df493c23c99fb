/* RAM that nothing lives in, for programs that want much of it: what the memory map calls RAM, above the image. */
#ifndef GUEST_RAM_H
#define GUEST_RAM_H

#include <stdbool.h>
#include <stdint.h>

struct ram_part {
	uint64_t start, bytes; /* multiples of 4 KiB */
};

/*
 * The n-th part, from 0, by the map's order, mapped for both rings: with "1g" on the command line in pages of 1 GiB
 * where the CPU has them (a remark says where not), otherwise of 2 MiB. Modules and the loader's data may be in it:
 * the command line and the map are saved by then. Returns false behind the last part.
 */
bool ram_part(unsigned int n, struct ram_part *part);

#endif
