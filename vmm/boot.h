/*
 * From a loaded kernel to a processor that is about to run its first instruction.
 */
#ifndef TRELLIS_BOOT_H
#define TRELLIS_BOOT_H

#include "firmware/boot.h"
#include "vmm/vcpu.h"

/*
 * Put the boot processor into the state that the entry's protocol wants, and write the descriptors and
 * page tables which that state needs into guest memory.
 * Returns 0 or a negative errno with a sentence. While v is parked.
 */
MUST_CHECK int boot_enter(struct vcpu *v, const struct boot_entry *entry, struct gmem *mem, struct err *e);

#endif
