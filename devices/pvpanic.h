/*
 * pvpanic: one port by which a guest says that it has crashed (QEMU docs/specs/pvpanic.rst, 7.2). The ACPI
 * device QEMU0001 that points to it is the firmware tables' business.
 */
#ifndef TRELLIS_DEVICES_PVPANIC_H
#define TRELLIS_DEVICES_PVPANIC_H

#include <pthread.h>

#include "vmm/base/dev.h"

struct pvpanic {
	pthread_mutex_t lock;
	const struct dev_host *host; /* borrowed; constant after init */
	bool told;                   /* about a crash kernel, since reset; guarded by lock */
};

/* host: borrowed; stop(STOP_PANIC) is called on the vCPU that panicked. */
void pvpanic_init(struct pvpanic *p, const struct dev_host *host);
void pvpanic_fini(struct pvpanic *p);

/* A window of one byte (struct pvpanic). */
extern const struct io_ops pvpanic_io_ops;
extern const struct dev_ops pvpanic_dev_ops;

#endif
