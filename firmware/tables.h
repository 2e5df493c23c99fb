/*
 * The few things that every table here does in the same way. What is in a table is its writer's business.
 */
#ifndef TRELLIS_FIRMWARE_TABLES_H
#define TRELLIS_FIRMWARE_TABLES_H

#include "firmware/platform.h"

/*
 * The byte that makes the sum of len bytes and itself zero modulo 256: every checksum in ACPI, SMBIOS
 * and the MP specification. Its own place among the bytes must hold 0 (or be left out). Pure.
 */
uint8_t tables_checksum(const void *bytes, size_t len);

/*
 * A number for the IOAPIC which no processor has as its APIC id: they share one number space
 * (MultiProcessor Specification 1.4, 3.6.6). The smallest free one, because KVM's IOAPIC keeps four
 * bits; 0 in the shape where all 255 are taken, where only a 32-bit guest without ACPI would mind.
 * p  its topology is read; borrowed
 * Returns 0 to 254. Pure.
 */
uint8_t tables_ioapic_id(const struct platform *p);

#endif
