/*
 * Registers on a byte-wide bus: a wider access is one access for each byte, lowest address first, as the
 * ISA bridge of a PC makes it. Takes no lock.
 */
#ifndef TRELLIS_DEVICES_BYTEWISE_H
#define TRELLIS_DEVICES_BYTEWISE_H

#include "vmm/base/base.h"

/*
 * Read size bytes at off through read8, which answers for one byte at any offset.
 * Bytes beyond the end of the 64-bit offset space read as 0xff. Call with the device's lock.
 */
static inline uint64_t bytewise_read(void *dev, uint64_t off, unsigned int size,
				     uint8_t (*read8)(void *dev, uint64_t off))
{
	uint64_t val = 0;

	for (unsigned int i = 0; i < size && i < 8; i++) {
		uint8_t byte = off + i < off ? 0xff : read8(dev, off + i);

		val |= (uint64_t)byte << (8 * i);
	}
	return val;
}

/* Write the low size bytes of val at off through write8. Call with the device's lock. */
static inline void bytewise_write(void *dev, uint64_t off, unsigned int size, uint64_t val,
				  void (*write8)(void *dev, uint64_t off, uint8_t val))
{
	for (unsigned int i = 0; i < size && i < 8 && off + i >= off; i++)
		write8(dev, off + i, (uint8_t)(val >> (8 * i)));
}

#endif
