/*
 * A port that ends the machine with a value, for test programs: what QEMU calls isa-debug-exit. It has no
 * state and needs no lock.
 */
#ifndef TRELLIS_DEVICES_DEBUG_EXIT_H
#define TRELLIS_DEVICES_DEBUG_EXIT_H

#include "vmm/base/dev.h"

enum { DEBUG_EXIT_WINDOW = 4 };

struct debug_exit {
	const struct dev_host *host; /* borrowed; constant after init */
};

/*
 * host: borrowed; stop(STOP_DEBUG_EXIT, value) is called on the vCPU that writes. value is what was written,
 * up to 32 bits. What exit status it becomes is the machine's choice.
 */
void debug_exit_init(struct debug_exit *d, const struct dev_host *host);

/* A window of DEBUG_EXIT_WINDOW bytes which are all the same (struct debug_exit); reads as 0. */
extern const struct io_ops debug_exit_io_ops;
extern const struct dev_ops debug_exit_dev_ops;

#endif
