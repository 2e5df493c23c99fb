/*
 * The MC146818's ten time bytes and the century as a date: BCD or binary, 12 or 24 hours, alarms.
 * Pure: bytes in, bytes out. It has no clock and no lock.
 */
#ifndef TRELLIS_DEVICES_RTC_TIME_H
#define TRELLIS_DEVICES_RTC_TIME_H

#include "vmm/base/base.h"

/* Bits of register B that say how the bytes are to be read (datasheet, "Register B"). */
enum { RTC_24H = 0x02, RTC_BINARY = 0x04 };

/*
 * In all of these reg is the whole register file (RTC_BYTES), register B included. Bytes that are no date are
 * taken as far as they can be, never refused: the guest may have written anything.
 */

/* Show the second since_1970 (proleptic Gregorian, years 0 to 9999 and then around), day of week included. */
void rtc_time_set(uint8_t *reg, int64_t since_1970);

/*
 * Let seconds pass, backwards if negative. The day of the week only counts midnights, as the chip's does.
 * |seconds| < 2^41.
 */
void rtc_time_add(uint8_t *reg, int64_t seconds);

/* Seconds, 1 to 86400, until the time matches the alarm bytes; 0: never. 0xc0 and above match anything. */
int64_t rtc_time_to_alarm(const uint8_t *reg);

/* Rewrite time and alarm from the format register B names to the one b names; register B becomes b. */
void rtc_time_reformat(uint8_t *reg, uint8_t b);

#endif
