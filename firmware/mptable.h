/*
 * The MultiProcessor table (Intel MultiProcessor Specification 1.4): for guests without ACPI. It lists
 * processors whose APIC id fits into 8 bits and knows nothing of topology or hotplug.
 */
#ifndef TRELLIS_FIRMWARE_MPTABLE_H
#define TRELLIS_FIRMWARE_MPTABLE_H

#include "firmware/platform.h"
#include "vmm/base/buf.h"
#include "vmm/base/err.h"

/*
 * Build floating pointer and configuration table, to lie together at base (16-byte aligned, in the
 * BIOS area 0xf0000-0xfffff where guests look).
 * out  receives the bytes (appended to an empty buffer)
 * Returns 0; -ENOMEM. Pure.
 */
MUST_CHECK int mptable_build(const struct platform *p, uint64_t base, struct buf *out, struct err *e);

#endif
