/*
 * The body of the DSDT: what the guest cannot find by itself. For acpi.c alone.
 */
#ifndef TRELLIS_FIRMWARE_ACPI_DSDT_H
#define TRELLIS_FIRMWARE_ACPI_DSDT_H

#include "firmware/platform.h"
#include "vmm/base/buf.h"

/*
 * Append the AML behind the DSDT's header: sleep state S5, processors, PCI root with its windows and
 * interrupts, reserved addresses, serial ports, RTC, pvpanic.
 * p  has been checked by acpi_build(); borrowed
 * b  errors stick in it
 * Pure.
 */
void acpi_dsdt_put(const struct platform *p, struct buf *b);

#endif
