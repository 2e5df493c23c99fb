/*
 * A PCI device for tests: registers, interrupts and DMA of QEMU's `edu` (docs/specs/edu in its sources),
 * so that the same guest test runs in both. Only present with --test-device. It starts no thread and
 * finishes everything before the write that asked for it returns.
 *
 * PCI 1234:11e8, INTA, MSI with one message, BAR 0: 1 MiB of memory. Registers below 0x80 are 4 bytes wide,
 * the others 4 or 8; accesses of other sizes or elsewhere read all ones and write nothing.
 *
 *   0x00  identification, 0x010000ed            0x60  raise: OR into the interrupt status
 *   0x04  reads as the inverse of what was put  0x64  acknowledge: clear in the interrupt status
 *   0x08  n becomes n! modulo 2^32              0x80  DMA source address
 *   0x20  status; 0x80: raise 1 after n!        0x88  DMA destination address
 *   0x24  interrupt status                      0x90  DMA length in bytes
 *                                               0x98  DMA command: 1 go, 2 edu to RAM, 4 raise 0x100 after
 *
 * An interrupt is asserted while the status is not 0: INTx is high, or one MSI for each raise. Device
 * addresses for DMA are 0x40000 to 0x40fff, the 4 KiB buffer; it is not visible through the BAR. A
 * transfer which leaves the buffer or RAM, or without Bus Master Enable, moves nothing and ends as usual.
 * Addresses have 64 bits: QEMU's default mask of 28 bits is not imitated.
 *
 * Ours alone:
 *   0x1000  doorbell, 4 bytes: a write of any value sends MSI message 0 without touching the interrupt
 *           status and without a thread of ours: the eventfd that KVM signals (ioeventfd) is the one it
 *           takes the message from (irqfd). Reads all ones. With MSI disabled nothing happens.
 */
#ifndef TRELLIS_DEVICES_EDU_H
#define TRELLIS_DEVICES_EDU_H

#include <pthread.h>

#include "devices/pci.h"
#include "vmm/base/dev.h"
#include "vmm/base/gmem.h"

enum { EDU_BUFFER = 0x40000, EDU_BUFFER_BYTES = 4096, EDU_DOORBELL = 0x1000 };

struct edu {
	struct pci_func func;            /* for pci_root_add(); has its own guard */
	struct pci_doorbell bell;
	const struct gmem *mem;          /* borrowed */
	pthread_mutex_t lock;
	uint32_t liveness;               /* as it reads; guarded by lock, as is everything below */
	uint32_t factorial;
	uint32_t status;
	uint32_t irq_status;
	uint64_t dma_src, dma_dst, dma_len, dma_cmd;
	uint8_t buffer[EDU_BUFFER_BYTES];
};

/* reset, save and load of the registers (dev: struct edu); configuration space is pci_root_ops' part. */
extern const struct dev_ops edu_dev_ops;

/*
 * Make the device; pci_root_add(root, devfn, &d->func) puts it on the bus.
 * mem, host  borrowed for the life of d
 * Returns 0 or a negative errno with a sentence. edu_fini() is safe after a failure and on an all-zero
 * struct, and takes the device off its bus first. Main thread.
 */
MUST_CHECK int edu_init(struct edu *d, const struct gmem *mem, const struct dev_host *host, struct err *e);
void edu_fini(struct edu *d);

#endif
