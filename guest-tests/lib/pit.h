/* The 8254 timer (Intel 8254 data sheet), 1.193182 MHz, and the speaker port which gates channel 2. */
#ifndef GUEST_PIT_H
#define GUEST_PIT_H

#include <stdbool.h>
#include <stdint.h>

#define PIT_HZ       1193182ULL
#define PIT_ONE_SHOT 0		/* mode 0, interrupt on terminal count */
#define PIT_RATE     2		/* mode 2, rate generator */
#define PIT_SQUARE   3		/* mode 3, square wave */

/* Program a channel: mode and count (0 means 65536), low byte then high byte. */
void pit_set(unsigned int channel, unsigned int mode, uint16_t count);
/* Channel 0: mode 0 with count 1, so at most one more tick until the next pit_set(). The 8254 stops at the
 * control word already, but QEMU 7.2 and Linux's in-kernel PIT go on until a count is written. */
void pit_stop(void);
/* Latch and read a channel's count. */
uint16_t pit_read(unsigned int channel);
/* Read-back status of a channel: output in bit 7, null count in bit 6, mode in bits 3:1. */
uint8_t pit_status(unsigned int channel);
/* Channel 2's gate (port 0x61 bit 0), speaker off. */
void pit_gate2(bool on);
/* Channel 2's output (port 0x61 bit 5). */
bool pit_output2(void);

#endif
