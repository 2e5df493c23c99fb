/* The MC146818 clock and its RAM (Motorola MC146818A data sheet), ports 0x70 and 0x71. */
#ifndef GUEST_CMOS_H
#define GUEST_CMOS_H

#include <stdint.h>

enum { CMOS_A = 0x0a, CMOS_B = 0x0b, CMOS_C = 0x0c, CMOS_D = 0x0d };
enum { CMOS_B_SET = 0x80, CMOS_B_PIE = 0x40, CMOS_B_AIE = 0x20, CMOS_B_UIE = 0x10, CMOS_B_BINARY = 4, CMOS_B_24H = 2 };

/* Read one byte; NMI stays enabled (bit 7 of the index is 0). */
uint8_t cmos_read(uint8_t index);
/* Write one byte. */
void cmos_write(uint8_t index, uint8_t value);
/* Convert a clock byte as register B says: BCD or binary. */
uint8_t cmos_decode(uint8_t value);
/* The reverse. */
uint8_t cmos_encode(uint8_t value);

#endif
