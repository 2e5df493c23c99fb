/*
 * The reset control register at port 0xcf9 (Intel ICH9 datasheet, 316972-004, 13.7.5), which the FADT names
 * too. The port lies inside PCI's configuration address: the bus must give us one-byte accesses only.
 */
#ifndef TRELLIS_DEVICES_RESET_H
#define TRELLIS_DEVICES_RESET_H

#include <pthread.h>

#include "vmm/base/dev.h"

struct reset_port {
	pthread_mutex_t lock;
	const struct dev_host *host; /* borrowed; constant after init */
	uint8_t control;             /* guarded by lock */
};

/* host: borrowed; stop(STOP_RESET) is called on the vCPU that asks, without the lock. */
void reset_port_init(struct reset_port *r, const struct dev_host *host);
void reset_port_fini(struct reset_port *r);

/* A window of one byte (struct reset_port). */
extern const struct io_ops reset_port_io_ops;
extern const struct dev_ops reset_port_dev_ops;

#endif
